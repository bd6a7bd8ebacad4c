//! Columns of a binary table as the header describes them (FITS Standard 4.0, §7.3.1 and §7.3.2).

use super::CardValue;
use super::card_format::{keyword_of, parse_record};
use super::structure::Hdu;

/// TFORMn of a binary table: repeat count and type letter; the rest (`PE(12)`) is left aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FieldForm {
    pub repeat: u64,
    pub letter: char,
}

impl FieldForm {
    /// `None` where the text is no format.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (repeat, rest) = text.split_at(digits);
        let repeat = if repeat.is_empty() { 1 } else { repeat.parse().ok()? };
        let letter = rest.chars().next()?.to_ascii_uppercase();
        "LXBIJKAEDCMPQ".contains(letter).then_some(Self { repeat, letter })
    }

    /// Bytes in a row.
    pub fn width(self) -> Option<u64> {
        let unit = match self.letter {
            'X' => return Some(self.repeat.div_ceil(8)),
            'I' => 2,
            'J' | 'E' => 4,
            'K' | 'D' | 'C' | 'P' => 8,
            'M' | 'Q' => 16,
            _ => 1,
        };
        self.repeat.checked_mul(unit)
    }
}

/// How a stored column is handed out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum ColumnKind {
    /// `L`: 1 for true, 0 for false and undefined.
    Logical,
    /// `B`.
    Byte,
    Integer16,
    Integer32,
    Integer64,
    Float32,
    Float64,
    /// Integers with a whole TZEROn and TSCALn 1: the unsigned types. Handed out with 64 bits.
    OffsetInteger {
        zero: i64,
    },
    /// Anything else with TSCALn or TZEROn: handed out as 64-bit floats.
    Scaled {
        scale: f64,
        zero: f64,
    },
    Text {
        width: usize,
    },
}

/// A column as its cards describe it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ColumnForm {
    /// Counted from 1.
    pub number: usize,
    pub name: String,
    pub unit: String,
    pub description: String,
    pub kind: ColumnKind,
}

impl ColumnForm {
    /// The columns of a table in order. Refuses arrays in a field, complex numbers, bits and variable lengths, by name.
    pub fn all(hdu: &Hdu) -> Result<Vec<Self>, String> {
        let values = hdu.values();
        let count = match values.get("TFIELDS") {
            Some(CardValue::Integer(count)) => usize::try_from(*count).unwrap_or_default(),
            _ => 0,
        };
        let text = |stem: &str, number: usize| match values.get(&format!("{stem}{number}")) {
            Some(CardValue::Text(text)) => text.trim().to_owned(),
            _ => String::new(),
        };
        let number_of = |stem: &str, number: usize, default: f64| match values
            .get(&format!("{stem}{number}"))
        {
            Some(CardValue::Float(value)) => *value,
            Some(CardValue::Integer(value)) => *value as f64,
            _ => default,
        };
        let mut columns = Vec::with_capacity(count);
        for number in 1..=count {
            let name = text("TTYPE", number);
            let form = text("TFORM", number);
            let kind = FieldForm::parse(&form)
                .and_then(|field| {
                    kind(field, number_of("TSCAL", number, 1.0), number_of("TZERO", number, 0.0))
                })
                .ok_or_else(|| {
                    format!(
                        "HDU {}: column {number} ('{name}') has the format '{form}', which is not read: only single \
                         values are",
                        hdu.number
                    )
                })?;
            columns.push(Self {
                number,
                unit: text("TUNIT", number),
                description: comment_of(hdu, &format!("TTYPE{number}")),
                name,
                kind,
            });
        }
        Ok(columns)
    }
}

fn kind(field: FieldForm, scale: f64, zero: f64) -> Option<ColumnKind> {
    if field.letter == 'A' {
        return Some(ColumnKind::Text { width: usize::try_from(field.repeat).ok()? });
    }
    if field.repeat != 1 {
        return None;
    }
    let is_scaled = scale != 1.0 || zero != 0.0;
    let is_whole = scale == 1.0 && zero.fract() == 0.0 && zero.abs() <= 2_f64.powi(53);
    Some(match field.letter {
        'L' => ColumnKind::Logical,
        'B' | 'I' | 'J' | 'K' if is_scaled && is_whole => {
            ColumnKind::OffsetInteger { zero: zero as i64 }
        }
        'B' | 'I' | 'J' | 'K' | 'E' | 'D' if is_scaled => ColumnKind::Scaled { scale, zero },
        'B' => ColumnKind::Byte,
        'I' => ColumnKind::Integer16,
        'J' => ColumnKind::Integer32,
        'K' => ColumnKind::Integer64,
        'E' => ColumnKind::Float32,
        'D' => ColumnKind::Float64,
        _ => return None,
    })
}

fn comment_of(hdu: &Hdu, keyword: &str) -> String {
    hdu.records
        .iter()
        .find(|record| keyword_of(record) == Some(keyword))
        .and_then(parse_record)
        .map_or_else(String::new, |card| card.comment)
}

/// A text field as it is stored: up to the first NUL, without trailing blanks (§7.3.3.1).
pub(super) fn stored_text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).trim_end_matches(' ').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_and_their_widths() {
        for (text, repeat, letter, width) in [
            ("D", 1, 'D', 8),
            ("50A", 50, 'A', 50),
            ("17X", 17, 'X', 3),
            ("1PB(123)", 1, 'P', 8),
            ("2QE", 2, 'Q', 32),
            (" 3j ", 3, 'J', 12),
        ] {
            let form = FieldForm::parse(text).unwrap();
            assert_eq!(
                (form.repeat, form.letter, form.width()),
                (repeat, letter, Some(width)),
                "{text}"
            );
        }
        for text in ["", "12", "Z", "99999999999999999999J"] {
            assert_eq!(FieldForm::parse(text), None, "{text}");
        }
        assert_eq!(FieldForm { repeat: u64::MAX, letter: 'D' }.width(), None);
    }

    #[test]
    fn unsigned_columns_are_offsets_and_arrays_are_refused() {
        let form = |text| FieldForm::parse(text).unwrap();
        assert_eq!(kind(form("I"), 1.0, 32768.0), Some(ColumnKind::OffsetInteger { zero: 32768 }));
        assert_eq!(kind(form("I"), 0.5, 0.0), Some(ColumnKind::Scaled { scale: 0.5, zero: 0.0 }));
        assert_eq!(kind(form("E"), 1.0, 0.0), Some(ColumnKind::Float32));
        assert_eq!(kind(form("2E"), 1.0, 0.0), None);
        assert_eq!(kind(form("PB"), 1.0, 0.0), None);
    }

    #[test]
    fn stored_texts_end_at_nul_or_blanks() {
        assert_eq!(stored_text(b"abc  "), "abc");
        assert_eq!(stored_text(b"ab\0cd"), "ab");
        assert_eq!(stored_text(b""), "");
    }
}
