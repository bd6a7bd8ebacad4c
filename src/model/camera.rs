//! What is known of the camera a frame comes from, beside its header.

use super::FilterRules;
use serde::{Deserialize, Serialize};

/// A rectangle of pixels as FITS writes it: counted from 1, both ends in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PixelSection {
    pub first_column: usize,
    pub last_column: usize,
    pub first_row: usize,
    pub last_row: usize,
}

impl PixelSection {
    /// `[51:2098,1:4102]`: columns, then rows, each ascending.
    pub fn parse(text: &str) -> Option<Self> {
        let inner = text.trim().strip_prefix('[')?.strip_suffix(']')?;
        let (columns, rows) = inner.split_once(',')?;
        let range = |text: &str| {
            let (first, last) = text.split_once(':')?;
            let (first, last): (usize, usize) =
                (first.trim().parse().ok()?, last.trim().parse().ok()?);
            (first >= 1 && first <= last).then_some((first, last))
        };
        let ((first_column, last_column), (first_row, last_row)) = (range(columns)?, range(rows)?);
        Some(Self { first_column, last_column, first_row, last_row })
    }

    /// Rows and columns it holds.
    pub fn shape(self) -> (usize, usize) {
        (self.last_row - self.first_row + 1, self.last_column - self.first_column + 1)
    }

    /// Whether it lies within a frame of `shape` (rows, columns).
    pub fn is_within(self, shape: (usize, usize)) -> bool {
        self.last_row <= shape.0 && self.last_column <= shape.1
    }
}

/// What a camera's file adds to the header of a frame; all empty for a camera without one.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CameraTraits {
    /// Name of the camera's file; empty where none fits the header.
    pub name: String,
    /// Name of the telescope in products; empty where the file has none.
    pub telescope: String,
    /// Of a pixel as it is binned, degrees.
    pub pixel_scale_degrees: Option<f64>,
    /// Direction of the columns on the sky, from north through east.
    pub rotation_degrees: f64,
    /// East lies clockwise of north.
    pub is_mirrored: bool,
    /// Frames come reduced: no master is applied.
    pub is_reduced: bool,
    /// The pixels that see the sky.
    pub data_section: Option<PixelSection>,
    /// Pixels that see nothing, beside the others.
    pub overscan_section: Option<PixelSection>,
    /// Flats with a lower median above bias are too faint, data numbers.
    pub minimum_flat_level_dn: Option<f64>,
    /// Of the filter of the frame.
    pub filter_rules: FilterRules,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_are_read_as_fits_writes_them() {
        let section = PixelSection::parse(" [46:2229, 34:1505] ").unwrap();
        assert_eq!(section.shape(), (1472, 2184));
        assert!(section.is_within((1505, 2229)) && !section.is_within((1504, 2229)));
        for text in ["", "[1:2]", "[0:5,1:5]", "[5:1,1:5]", "[1:5,1:5", "[a:b,c:d]", "[1:5,-1:5]"] {
            assert_eq!(PixelSection::parse(text), None, "{text}");
        }
    }
}
