//! Rows of a binary table one after the other, in bounded memory (FITS Standard 4.0, §7.3).
//!
//! For tables of any length, such as parts of an all-sky catalogue, of which a few columns are wanted. The layout is checked
//! against the length of the file before anything is read.

use super::column_form::FieldForm;
use super::screening::ScreeningError;
use super::source::{Source, SourceError};
use super::structure::{self, Hdu, HduKind, StructureError};
use super::{CardValue, FitsError};
use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// Bytes of rows read at a time.
const CHUNK_BYTES: u64 = 1 << 20;

/// A field of a row.
#[derive(Debug, Clone, PartialEq)]
pub enum TableValue {
    /// Undefined: TNULLn, NaN, an empty text.
    Missing,
    Integer(i64),
    Number(f64),
    Text(String),
}

/// A column as it can be asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct TableColumn {
    pub name: String,
    /// TUNITn; empty for none.
    pub unit: String,
    /// Whether a field holds one value or one text; others (arrays, complex numbers, bits) are not read.
    pub is_single: bool,
    field: Field,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Field {
    letter: char,
    /// Bytes from the start of the row.
    start: usize,
    length: usize,
    scale: f64,
    zero: f64,
    null: Option<i64>,
}

/// A binary table of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct TableDescription {
    /// Of the HDU, counted from 1.
    pub number: usize,
    /// EXTNAME.
    pub name: String,
    pub row_count: u64,
    pub columns: Vec<TableColumn>,
    row_length: u64,
    data_start: u64,
}

/// A file whose tables are read row by row.
pub struct TableFile {
    path: PathBuf,
    source: Source,
    tables: Vec<TableDescription>,
}

impl TableFile {
    /// Looks at the layout of the file.
    ///
    /// # Errors
    /// What cannot be read, is no FITS file, or announces more than it holds.
    pub fn open(path: &Path) -> Result<Self, FitsError> {
        let at = |error: ScreeningError| error.at(path);
        let mut source = Source::open(path).map_err(|error: SourceError| at(error.into()))?;
        let chain =
            structure::scan(&mut source).map_err(|error: StructureError| at(error.into()))?;
        if chain.trailing > 0 {
            // Perhaps the start of a table: rows would be lost without a word.
            let what =
                format!("{} bytes after the last HDU are no HDU: truncated?", chain.trailing);
            return Err(FitsError::Damaged { path: path.to_owned(), what });
        }
        let tables = chain
            .hdus
            .iter()
            .filter(|hdu| hdu.kind == HduKind::BinaryTable)
            .filter_map(describe)
            .collect();
        Ok(Self { path: path.to_owned(), source, tables })
    }

    pub fn tables(&self) -> &[TableDescription] {
        &self.tables
    }

    /// Calls `each` with the chosen columns of every row of a table, in the order of `columns`.
    ///
    /// # Errors
    /// [`FitsError::Missing`] for a table or column that is not there or not single; what reading gives; what `each` gives.
    pub fn rows<E: From<FitsError>>(
        &mut self,
        table: usize,
        columns: &[usize],
        mut each: impl FnMut(&[TableValue]) -> Result<(), E>,
    ) -> Result<(), E> {
        let path = self.path.clone();
        let missing = |what: String| FitsError::Missing { path: path.clone(), what };
        let description =
            self.tables.get(table).ok_or_else(|| missing(format!("no table {table}")))?;
        let mut fields = Vec::with_capacity(columns.len());
        for &column in columns {
            let found = description
                .columns
                .get(column)
                .ok_or_else(|| missing(format!("no column {column} in table {table}")))?;
            if !found.is_single {
                let what = format!("column '{}' holds more than single values", found.name);
                return Err(missing(what).into());
            }
            fields.push(found.field);
        }
        let row_length = description.row_length;
        let rows_per_chunk = (CHUNK_BYTES / row_length.max(1)).max(1);
        let mut left = description.row_count;
        let io = |source| FitsError::Io { path: path.clone(), source };
        self.source.seek(SeekFrom::Start(description.data_start)).map_err(io)?;
        let mut buffer = Vec::new();
        let mut values = Vec::with_capacity(fields.len());
        while left > 0 {
            let rows = left.min(rows_per_chunk);
            buffer.resize((rows * row_length) as usize, 0);
            self.source.read_exact(&mut buffer).map_err(io)?;
            for row in buffer.chunks_exact(row_length as usize) {
                values.clear();
                values.extend(fields.iter().map(|field| field.value(row)));
                each(&values)?;
            }
            left -= rows;
        }
        Ok(())
    }
}

/// `None` for a table without rows or columns that could be read.
fn describe(hdu: &Hdu) -> Option<TableDescription> {
    let [row_length, row_count] = *hdu.axes.as_slice() else { return None };
    let values = hdu.values();
    let fields = match values.get("TFIELDS") {
        Some(CardValue::Integer(count)) => usize::try_from(*count).ok()?,
        _ => return None,
    };
    let mut start = 0_usize;
    let mut columns = Vec::with_capacity(fields);
    for number in 1..=fields {
        let form = FieldForm::parse(&text(&values, "TFORM", number))?;
        let length = usize::try_from(form.width()?).ok()?;
        columns.push(TableColumn {
            name: text(&values, "TTYPE", number),
            unit: text(&values, "TUNIT", number),
            is_single: form.letter == 'A' || (form.repeat == 1 && "LBIJKED".contains(form.letter)),
            field: Field {
                letter: form.letter,
                start,
                length,
                scale: number_of(&values, "TSCAL", number).unwrap_or(1.0),
                zero: number_of(&values, "TZERO", number).unwrap_or(0.0),
                null: match values.get(&format!("TNULL{number}")) {
                    Some(CardValue::Integer(null)) => Some(*null),
                    _ => None,
                },
            },
        });
        start = start.checked_add(length)?;
    }
    if start as u64 > row_length || row_length == 0 {
        return None;
    }
    Some(TableDescription {
        number: hdu.number,
        name: hdu.name.clone(),
        row_count,
        columns,
        row_length,
        data_start: hdu.data_start,
    })
}

fn text(values: &BTreeMap<String, CardValue>, stem: &str, number: usize) -> String {
    match values.get(&format!("{stem}{number}")) {
        Some(CardValue::Text(text)) => text.trim().to_owned(),
        _ => String::new(),
    }
}

fn number_of(values: &BTreeMap<String, CardValue>, stem: &str, number: usize) -> Option<f64> {
    match values.get(&format!("{stem}{number}")) {
        Some(CardValue::Float(value)) => Some(*value),
        Some(CardValue::Integer(value)) => Some(*value as f64),
        _ => None,
    }
}

impl Field {
    fn value(&self, row: &[u8]) -> TableValue {
        let Some(bytes) = row.get(self.start..self.start.saturating_add(self.length)) else {
            return TableValue::Missing;
        };
        let stored = match (self.letter, bytes) {
            ('A', _) => return text_value(bytes),
            ('L', [b'T']) => return TableValue::Integer(1),
            ('L', [b'F']) => return TableValue::Integer(0),
            ('B', [byte]) => i64::from(*byte),
            ('I', [a, b]) => i64::from(i16::from_be_bytes([*a, *b])),
            ('J', [a, b, c, d]) => i64::from(i32::from_be_bytes([*a, *b, *c, *d])),
            ('K', [a, b, c, d, e, f, g, h]) => i64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]),
            ('E', [a, b, c, d]) => {
                return self.number(f64::from(f32::from_be_bytes([*a, *b, *c, *d])));
            }
            ('D', [a, b, c, d, e, f, g, h]) => {
                return self.number(f64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]));
            }
            _ => return TableValue::Missing,
        };
        if self.null == Some(stored) {
            return TableValue::Missing;
        }
        let is_whole = self.scale == 1.0 && self.zero.fract() == 0.0;
        match stored.checked_add(self.zero as i64) {
            Some(value) if is_whole => TableValue::Integer(value),
            _ => self.number(stored as f64),
        }
    }

    fn number(&self, stored: f64) -> TableValue {
        let value = stored * self.scale + self.zero;
        if value.is_nan() { TableValue::Missing } else { TableValue::Number(value) }
    }
}

/// Text up to its first NUL, without the blanks around it.
fn text_value(bytes: &[u8]) -> TableValue {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    let text = String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).trim().to_owned();
    if text.is_empty() { TableValue::Missing } else { TableValue::Text(text) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fits::{Column, ColumnData, FitsStore, FitsTables, Header, Table, cfitsio::Cfitsio};

    fn column(name: &str, data: ColumnData) -> Column {
        Column { name: name.into(), unit: "mag".into(), description: String::new(), data }
    }

    #[test]
    fn rows_are_as_cfitsio_wrote_them() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("table.fits");
        let names: Vec<String> = (0..70_000).map(|n| format!("s{n}")).collect();
        let table = Table {
            name: "STARS".into(),
            header: Header::new(),
            columns: vec![
                column("ID", ColumnData::Text { width: 8, values: names }),
                column("N", ColumnData::Integer64((0..70_000).map(|n| n - 5).collect())),
                column("MAG", ColumnData::Float32(vec![f32::NAN; 70_000])),
                column(
                    "RA",
                    ColumnData::Float64((0..70_000).map(|n| f64::from(n) / 7.0).collect()),
                ),
            ],
        };
        let content = FitsTables { primary: Header::new(), tables: vec![table] };
        Cfitsio.write_tables(&path, &content).unwrap();
        let mut file = TableFile::open(&path).unwrap();
        assert_eq!(file.tables()[0].name, "STARS");
        assert_eq!(file.tables()[0].row_count, 70_000);
        assert_eq!(file.tables()[0].columns[3].unit, "mag");
        let mut row = 0_i64;
        file.rows::<FitsError>(0, &[3, 0, 1, 2], |values| {
            assert_eq!(values[0], TableValue::Number(row as f64 / 7.0));
            assert_eq!(values[1], TableValue::Text(format!("s{row}")));
            assert_eq!(values[2], TableValue::Integer(row - 5));
            assert_eq!(values[3], TableValue::Missing);
            row += 1;
            Ok(())
        })
        .unwrap();
        assert_eq!(row, 70_000);
        let absent = file.rows::<FitsError>(0, &[4], |_| Ok(())).unwrap_err();
        assert!(matches!(absent, FitsError::Missing { .. }));
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        assert!(matches!(TableFile::open(&path), Err(FitsError::Damaged { .. })));
    }

    #[test]
    fn scaled_null_and_logical_fields_follow_the_standard() {
        let field = |letter, length, scale, zero, null| Field {
            letter,
            start: 1,
            length,
            scale,
            zero,
            null,
        };
        let row = [9, 0xff, 0xfe, 0, 0];
        assert_eq!(field('I', 2, 1.0, 0.0, None).value(&row), TableValue::Integer(-2));
        assert_eq!(field('I', 2, 1.0, 32768.0, None).value(&row), TableValue::Integer(32766));
        assert_eq!(field('I', 2, 0.5, 3.0, None).value(&row), TableValue::Number(2.0));
        assert_eq!(field('I', 2, 1.0, 0.0, Some(-2)).value(&row), TableValue::Missing);
        assert_eq!(field('L', 1, 1.0, 0.0, None).value(b"xT"), TableValue::Integer(1));
        assert_eq!(field('L', 1, 1.0, 0.0, None).value(b"x\0"), TableValue::Missing);
        assert_eq!(field('D', 8, 1.0, 0.0, None).value(&row), TableValue::Missing);
        assert_eq!(field('A', 4, 1.0, 0.0, None).value(b"x a \0z"), TableValue::Text("a".into()));
    }
}
