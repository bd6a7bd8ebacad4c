//! The binary serialisations of a VOTable: BINARY and BINARY2 (Ochsenbein et al. 2019, sections 5.3, 5.4 and 6) in base64.
//!
//! Cells are read one by one, so that memory does not depend on the length of the stream.

use super::{TableValue, shortest, text_value};
use std::io::{self, BufRead, Read};

/// Longest cell that is kept or skipped, bytes.
const MAXIMUM_CELL: u64 = 1 << 16;

/// How the data of a table are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Serialisation {
    Binary,
    /// With a bit for each field of a row, set where it is null.
    Binary2,
}

/// What the cells of a field look like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CellForm {
    kind: CellKind,
    /// Number of elements; `None` where each cell says it.
    count: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CellKind {
    Boolean,
    Bit,
    UnsignedByte,
    Short,
    Int,
    Long,
    Character,
    Unicode,
    Float,
    Double,
    FloatComplex,
    DoubleComplex,
}

impl CellKind {
    fn bytes(self, count: u64) -> Option<u64> {
        let each = match self {
            Self::Bit => return Some(count.div_ceil(8)),
            Self::Boolean | Self::UnsignedByte | Self::Character => 1,
            Self::Short | Self::Unicode => 2,
            Self::Int | Self::Float => 4,
            Self::Long | Self::Double | Self::FloatComplex => 8,
            Self::DoubleComplex => 16,
        };
        count.checked_mul(each)
    }
}

impl CellForm {
    /// From the attributes of a FIELD.
    ///
    /// # Errors
    /// A type or size that the standard does not have, or that is too large.
    pub fn of(datatype: Option<&str>, arraysize: Option<&str>) -> Result<Self, String> {
        let kind = match datatype.unwrap_or_default() {
            "boolean" => CellKind::Boolean,
            "bit" => CellKind::Bit,
            "unsignedByte" => CellKind::UnsignedByte,
            "short" => CellKind::Short,
            "int" => CellKind::Int,
            "long" => CellKind::Long,
            "char" => CellKind::Character,
            "unicodeChar" => CellKind::Unicode,
            "float" => CellKind::Float,
            "double" => CellKind::Double,
            "floatComplex" => CellKind::FloatComplex,
            "doubleComplex" => CellKind::DoubleComplex,
            other => return Err(format!("a field has the unknown datatype '{other}'")),
        };
        let size = arraysize.map(str::trim).filter(|size| !size.is_empty()).unwrap_or("1");
        if size.ends_with('*') {
            return Ok(Self { kind, count: None });
        }
        let count = size
            .split('x')
            .try_fold(1_u64, |product, part| product.checked_mul(part.trim().parse().ok()?))
            .filter(|count| kind.bytes(*count).is_some_and(|bytes| bytes <= MAXIMUM_CELL))
            .ok_or_else(|| format!("a field has the arraysize '{size}'"))?;
        Ok(Self { kind, count: Some(count) })
    }

    /// Reads a cell; its value is only made if it `is_wanted`. Arrays of numbers have none.
    fn read(&self, stream: &mut impl Read, is_wanted: bool) -> io::Result<TableValue> {
        let count = match self.count {
            Some(count) => count,
            None => u64::from(u32::from_be_bytes(piece(stream)?)),
        };
        let bytes = self.kind.bytes(count).filter(|bytes| *bytes <= MAXIMUM_CELL);
        let Some(bytes) = bytes else {
            let what = format!("a cell is longer than the {MAXIMUM_CELL} bytes that are read");
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        };
        let mut cell = Vec::new();
        if stream.take(bytes).read_to_end(&mut cell)? as u64 != bytes {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(if is_wanted { self.value(&cell, count) } else { TableValue::Missing })
    }

    fn value(&self, cell: &[u8], count: u64) -> TableValue {
        let text = |text: &str| text_value(text.split('\0').next().unwrap_or_default());
        match self.kind {
            CellKind::Character => return text(&String::from_utf8_lossy(cell)),
            CellKind::Unicode => {
                let units: Vec<u16> = cell
                    .chunks_exact(2)
                    .map(|pair| pair.iter().fold(0, |sum, byte| (sum << 8) | u16::from(*byte)))
                    .collect();
                return text(&String::from_utf16_lossy(&units));
            }
            _ if count != 1 => return TableValue::Missing,
            _ => (),
        }
        let word = cell.iter().fold(0_u64, |sum, byte| (sum << 8) | u64::from(*byte));
        let number = |value: f64| match value.is_nan() {
            true => TableValue::Missing,
            false => TableValue::Number(value),
        };
        match self.kind {
            CellKind::Boolean => match cell.first() {
                Some(b'T' | b't' | b'1') => TableValue::Text("true".to_owned()),
                Some(b'F' | b'f' | b'0') => TableValue::Text("false".to_owned()),
                _ => TableValue::Missing,
            },
            // The standard has the first bit, astropy the fifth; the others are padding.
            CellKind::Bit => TableValue::Integer(i64::from(word != 0)),
            CellKind::UnsignedByte => TableValue::Integer(word as i64),
            CellKind::Short => TableValue::Integer(i64::from(word as i16)),
            CellKind::Int => TableValue::Integer(i64::from(word as i32)),
            CellKind::Long => TableValue::Integer(word as i64),
            CellKind::Float => number(shortest(f32::from_bits(word as u32))),
            CellKind::Double => number(f64::from_bits(word)),
            CellKind::Character
            | CellKind::Unicode
            | CellKind::FloatComplex
            | CellKind::DoubleComplex => TableValue::Missing,
        }
    }
}

fn piece<const N: usize>(stream: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// The rows of a stream, one after the other.
pub(super) struct BinaryRows<'a, R> {
    stream: Base64<R>,
    serialisation: Serialisation,
    forms: &'a [CellForm],
    is_wanted: Vec<bool>,
    nulls: &'a [Option<String>],
    /// The fields of the row that was read last; what was not asked for is missing.
    pub row: Vec<TableValue>,
}

impl<'a, R: BufRead> BinaryRows<'a, R> {
    /// `places` are the fields that are asked for, `nulls` the values that stand for nothing.
    pub fn new(
        stream: R,
        serialisation: Serialisation,
        forms: &'a [CellForm],
        nulls: &'a [Option<String>],
        places: &[usize],
    ) -> Self {
        let is_wanted = (0..forms.len()).map(|place| places.contains(&place)).collect();
        let stream = Base64::new(stream);
        Self { stream, serialisation, forms, is_wanted, nulls, row: Vec::new() }
    }

    /// Reads the next row; `false` at the end of the stream.
    ///
    /// # Errors
    /// A stream that ends within a row, that is not base64, or a cell that is too long.
    pub fn next_row(&mut self) -> io::Result<bool> {
        if self.stream.is_at_end()? {
            return Ok(false);
        }
        let mask_bytes = match self.serialisation {
            Serialisation::Binary => 0,
            Serialisation::Binary2 => self.forms.len().div_ceil(8),
        };
        if mask_bytes == 0 && self.forms.iter().all(|form| form.count == Some(0)) {
            let what = "data of a table whose fields hold nothing";
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        let mut mask = vec![0_u8; mask_bytes];
        self.stream.read_exact(&mut mask)?;
        self.row.clear();
        for (place, form) in self.forms.iter().enumerate() {
            let is_wanted = self.is_wanted.get(place).copied().unwrap_or(false);
            let value = form.read(&mut self.stream, is_wanted)?;
            let is_null = mask.get(place / 8).is_some_and(|byte| byte & (0x80 >> (place % 8)) != 0)
                || self.is_null_value(place, &value);
            self.row.push(if is_null { TableValue::Missing } else { value });
        }
        Ok(true)
    }

    fn is_null_value(&self, place: usize, value: &TableValue) -> bool {
        let Some(Some(null)) = self.nulls.get(place) else { return false };
        match value {
            TableValue::Missing => false,
            TableValue::Integer(value) => null.trim().parse() == Ok(*value),
            TableValue::Number(value) => null.trim().parse() == Ok(*value),
            TableValue::Text(text) => text == null.trim(),
        }
    }
}

/// Bytes of base64 (RFC 4648) up to the next `<`, which is left where it is.
struct Base64<R> {
    inner: R,
    /// Bytes that are decoded and not yet handed out, in the order of time.
    decoded: [u8; 3],
    ready: std::ops::Range<usize>,
    has_ended: bool,
}

impl<R: BufRead> Base64<R> {
    fn new(inner: R) -> Self {
        Self { inner, decoded: [0; 3], ready: 0..0, has_ended: false }
    }

    /// Whether nothing is left; decodes ahead to know it.
    fn is_at_end(&mut self) -> io::Result<bool> {
        if self.ready.is_empty() {
            self.decode()?;
        }
        Ok(self.ready.is_empty())
    }

    /// The next character that is no white space; `None` at `<`.
    fn character(&mut self) -> io::Result<Option<u8>> {
        loop {
            let buffer = self.inner.fill_buf()?;
            let Some(&byte) = buffer.first() else {
                return Err(io::ErrorKind::UnexpectedEof.into());
            };
            if byte == b'<' {
                return Ok(None);
            }
            self.inner.consume(1);
            if !byte.is_ascii_whitespace() {
                return Ok(Some(byte));
            }
        }
    }

    /// Decodes four characters.
    fn decode(&mut self) -> io::Result<()> {
        let wrong = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
        if self.has_ended {
            return Ok(());
        }
        let (mut word, mut count, mut padding) = (0_u32, 0, 0);
        while count < 4 {
            let Some(byte) = self.character()? else { break };
            let value = match byte {
                b'A'..=b'Z' => byte - b'A',
                b'a'..=b'z' => byte - b'a' + 26,
                b'0'..=b'9' => byte - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                b'=' if count >= 2 => {
                    padding += 1;
                    0
                }
                _ => return Err(wrong("the stream is not base64")),
            };
            if padding > 0 && byte != b'=' {
                return Err(wrong("the stream goes on after its padding"));
            }
            word = (word << 6) | u32::from(value);
            count += 1;
        }
        match (count, padding) {
            (0, _) => self.has_ended = true,
            (4, 0..=2) => {
                let [_, first, second, third] = word.to_be_bytes();
                self.decoded = [first, second, third];
                self.ready = 0..3 - padding;
                if padding > 0 {
                    self.has_ended = true;
                    if self.character()?.is_some() {
                        return Err(wrong("the stream goes on after its padding"));
                    }
                }
            }
            _ => return Err(wrong("the stream ends within four characters of base64")),
        }
        Ok(())
    }
}

impl<R: BufRead> Read for Base64<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut written = 0;
        while written < buffer.len() {
            if self.is_at_end()? {
                break;
            }
            let from = self.decoded.get(self.ready.clone()).unwrap_or_default();
            let to = buffer.get_mut(written..).unwrap_or_default();
            let count = from.len().min(to.len());
            to.iter_mut().zip(from).for_each(|(slot, byte)| *slot = *byte);
            self.ready.start += count;
            written += count;
        }
        Ok(written)
    }
}
