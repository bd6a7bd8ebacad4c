//! Binary tables (FITS Standard 4.0, §7.3).

use super::Header;

#[derive(Debug, Clone, PartialEq)]
pub enum ColumnData {
    Integer16(Vec<i16>),
    Integer32(Vec<i32>),
    Integer64(Vec<i64>),
    Float32(Vec<f32>),
    Float64(Vec<f64>),
    /// Fixed width in characters.
    Text {
        width: usize,
        values: Vec<String>,
    },
}

impl ColumnData {
    pub fn len(&self) -> usize {
        match self {
            Self::Integer16(values) => values.len(),
            Self::Integer32(values) => values.len(),
            Self::Integer64(values) => values.len(),
            Self::Float32(values) => values.len(),
            Self::Float64(values) => values.len(),
            Self::Text { values, .. } => values.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    pub name: String,
    /// TUNITn; empty for none.
    pub unit: String,
    /// Comment of the TTYPEn card.
    pub description: String,
    pub data: ColumnData,
}

/// A table; all columns have the same length.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// EXTNAME.
    pub name: String,
    pub header: Header,
    pub columns: Vec<Column>,
}

impl Table {
    pub fn row_count(&self) -> usize {
        self.columns.first().map_or(0, |column| column.data.len())
    }

    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }
}
