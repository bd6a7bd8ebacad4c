//! Formats of descriptors and the values they accept (FITS Standard 4.0, §4.2 and Table 18).

use crate::fits::CardValue;
use std::{fmt, str::FromStr};

/// A value offered for a keyword or a cell of a table.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Text(String),
    Integer(i64),
    Float(f64),
}

impl Value {
    /// The value of a card; logicals are T and F.
    pub fn of_card(value: &CardValue) -> Self {
        match value {
            CardValue::Text(text) => Self::Text(text.clone()),
            CardValue::Integer(number) => Self::Integer(*number),
            CardValue::Float(number) => Self::Float(*number),
            CardValue::Logical(flag) => Self::Text(if *flag { "T" } else { "F" }.to_owned()),
        }
    }

    /// As a number, if it is one.
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Integer(number) => Some(*number as f64),
            Self::Float(number) => Some(*number),
            Self::Text(_) => None,
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(formatter, "'{text}'"),
            Self::Integer(number) => write!(formatter, "{number}"),
            Self::Float(number) => write!(formatter, "{number:?}"),
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<usize> for Value {
    fn from(number: usize) -> Self {
        Self::Integer(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Integer(i64::from(number))
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Integer(i64::from(flag))
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Float(number)
    }
}

/// Type of a keyword or a column, in the letters of TFORMn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `nA`: at most so many characters.
    Text(usize),
    /// `I`
    Integer16,
    /// `J`
    Integer32,
    /// `K`
    Integer64,
    /// `E`
    Float32,
    /// `D`
    Float64,
}

/// A text that names no format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no format: nA, I, J, K, E or D")]
pub struct FormatError(pub String);

impl FromStr for Format {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let failed = || FormatError(text.to_owned());
        match text {
            "I" | "1I" => Ok(Self::Integer16),
            "J" | "1J" => Ok(Self::Integer32),
            "K" | "1K" => Ok(Self::Integer64),
            "E" | "1E" => Ok(Self::Float32),
            "D" | "1D" => Ok(Self::Float64),
            _ => {
                let width = text.strip_suffix('A').ok_or_else(failed)?;
                let width = width.parse().map_err(|_| failed())?;
                if width == 0 { Err(failed()) } else { Ok(Self::Text(width)) }
            }
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(width) => write!(formatter, "{width}A"),
            Self::Integer16 => formatter.write_str("I"),
            Self::Integer32 => formatter.write_str("J"),
            Self::Integer64 => formatter.write_str("K"),
            Self::Float32 => formatter.write_str("E"),
            Self::Float64 => formatter.write_str("D"),
        }
    }
}

impl Format {
    /// Whether a value may stand there: texts of any length (a longer one is cut when it is placed), integers in range,
    /// and integers where floats are asked for.
    pub fn accepts(self, value: &Value) -> bool {
        match (self, value) {
            (Self::Text(_), Value::Text(_)) | (Self::Integer64, Value::Integer(_)) => true,
            (Self::Integer16, Value::Integer(number)) => i16::try_from(*number).is_ok(),
            (Self::Integer32, Value::Integer(number)) => i32::try_from(*number).is_ok(),
            (Self::Float32 | Self::Float64, Value::Integer(_) | Value::Float(_)) => true,
            _ => false,
        }
    }

    /// Reads the text of a descriptor cell; `''` is the blank text.
    pub fn read(self, text: &str) -> Option<Value> {
        let value = match self {
            Self::Text(width) => {
                let text = if text == "''" { "" } else { text };
                if text.len() > width {
                    return None;
                }
                Value::from(text)
            }
            Self::Integer16 | Self::Integer32 | Self::Integer64 => {
                Value::Integer(text.parse().ok()?)
            }
            Self::Float32 | Self::Float64 => {
                Value::Float(text.parse().ok().filter(|number: &f64| number.is_finite())?)
            }
        };
        self.accepts(&value).then_some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_round_trip() {
        for text in ["50A", "I", "J", "K", "E", "D"] {
            assert_eq!(text.parse::<Format>().unwrap().to_string(), text);
        }
        for text in ["", "A", "0A", "L", "2D", "text", "-3A"] {
            assert!(text.parse::<Format>().is_err(), "{text}");
        }
    }

    #[test]
    fn numbers_must_fit() {
        assert!(Format::Integer16.accepts(&Value::Integer(32767)));
        assert!(!Format::Integer16.accepts(&Value::Integer(32768)));
        assert!(!Format::Integer32.accepts(&Value::Integer(1 << 31)));
        assert!(!Format::Integer32.accepts(&Value::Float(1.0)));
        assert!(Format::Float64.accepts(&Value::Integer(1)));
        assert!(!Format::Float64.accepts(&Value::from("1")));
    }

    #[test]
    fn cells_are_read_in_their_format() {
        assert_eq!(Format::Text(8).read("''"), Some(Value::from("")));
        assert_eq!(Format::Text(2).read("abc"), None);
        assert_eq!(Format::Integer32.read("57754"), Some(Value::Integer(57754)));
        assert_eq!(Format::Integer32.read("0.5"), None);
        assert_eq!(Format::Float64.read("0.0"), Some(Value::Float(0.0)));
        assert_eq!(Format::Float64.read("NaN"), None);
    }
}
