//! The HDUs of a new file: their card images and their data, the same for both engines.
//!
//! Both engines write these very cards, so that a file does not depend, not in one byte, on who wrote it or when.

use super::card_format::{RECORD_LENGTH, Record, format_header, value_record};
use super::structure::padded;
use super::{CardValue, Column, ColumnData, FitsTables, Header, NewPlane, Table, checksum};
use std::collections::BTreeSet;

const BZERO_OF_UNSIGNED: f64 = 32768.0;
const MAXIMUM_COLUMNS: usize = 999;
/// Characters of a text on one card.
const CARD_TEXT: usize = 68;

/// An HDU to be written. Its last two cards are CHECKSUM, unset, and DATASUM of no data.
#[derive(Debug)]
pub(super) struct NewHdu<'a> {
    pub records: Vec<Record>,
    pub data: NewData<'a>,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum NewData<'a> {
    None,
    Plane(NewPlane<'a>),
    Table(&'a Table),
}

/// The HDUs of a file of images. The text of an error says what is wrong.
pub(super) fn image_hdus<'a>(
    images: &[(&str, &Header, NewPlane<'a>)],
) -> Result<Vec<NewHdu<'a>>, String> {
    if images.is_empty() {
        return Err("no image to write".to_owned());
    }
    check_names(images.iter().map(|(name, ..)| *name))?;
    let mut hdus = Vec::with_capacity(images.len());
    for (index, &(name, header, plane)) in images.iter().enumerate() {
        let place = match index {
            0 => PlanePlace::Primary { has_extensions: images.len() > 1 },
            _ => PlanePlace::Extension,
        };
        let records = plane_records(name, header, plane.form(), plane.shape(), place)?;
        hdus.push(NewHdu { records, data: NewData::Plane(plane) });
    }
    Ok(hdus)
}

/// BITPIX of a plane, and whether its integers are stored with the offset of unsigned ones.
pub(super) type PlaneForm = (i64, bool);

/// Where in a file an image is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PlanePlace {
    Primary { has_extensions: bool },
    Extension,
}

/// The cards of an image of these rows and columns.
pub(super) fn plane_records(
    name: &str,
    header: &Header,
    (bits, is_unsigned): PlaneForm,
    (rows, columns): (usize, usize),
    place: PlanePlace,
) -> Result<Vec<Record>, String> {
    let mut cards = Cards::begin(match place {
        PlanePlace::Primary { .. } => None,
        PlanePlace::Extension => Some("IMAGE"),
    });
    cards.add("BITPIX", bits, "bits per pixel");
    cards.add("NAXIS", 2_i64, "number of axes");
    cards.add("NAXIS1", columns, "[pixel] columns");
    cards.add("NAXIS2", rows, "[pixel] rows");
    match place {
        PlanePlace::Primary { has_extensions: true } => {
            cards.add("EXTEND", true, "extensions follow");
        }
        PlanePlace::Primary { has_extensions: false } => {}
        PlanePlace::Extension => {
            cards.add("PCOUNT", 0_i64, "no parameters");
            cards.add("GCOUNT", 1_i64, "one group");
        }
    }
    if is_unsigned {
        cards.add("BSCALE", 1.0, "value = BZERO + BSCALE * stored");
        cards.add("BZERO", BZERO_OF_UNSIGNED, "16-bit unsigned integers");
    }
    cards.finish(name, header)
}

/// The HDUs of a file of tables.
pub(super) fn table_hdus(content: &FitsTables) -> Result<Vec<NewHdu<'_>>, String> {
    check_names(content.tables.iter().map(|table| table.name.as_str()))?;
    let mut cards = Cards::begin(None);
    cards.add("BITPIX", 8_i64, "bits per pixel");
    cards.add("NAXIS", 0_i64, "no data in the primary HDU");
    cards.add("EXTEND", true, "extensions follow");
    let mut hdus =
        vec![NewHdu { records: cards.finish("", &content.primary)?, data: NewData::None }];
    for table in &content.tables {
        hdus.push(NewHdu { records: table_records(table)?, data: NewData::Table(table) });
    }
    Ok(hdus)
}

fn table_records(table: &Table) -> Result<Vec<Record>, String> {
    let complaint = |what: String| format!("table '{}': {what}", table.name);
    if table.columns.is_empty() || table.columns.len() > MAXIMUM_COLUMNS {
        return Err(complaint(format!(
            "{} columns; 1 to {MAXIMUM_COLUMNS} can be written",
            table.columns.len()
        )));
    }
    let rows = table.row_count();
    let mut names = BTreeSet::new();
    let mut row_length = 0;
    for column in &table.columns {
        check_column(column, rows).map_err(&complaint)?;
        if !names.insert(column.name.to_ascii_uppercase()) {
            return Err(complaint(format!("two columns are called '{}'", column.name)));
        }
        row_length += field(&column.data).1;
    }
    let mut cards = Cards::begin(Some("BINTABLE"));
    cards.add("BITPIX", 8_i64, "rows are bytes");
    cards.add("NAXIS", 2_i64, "number of axes");
    cards.add("NAXIS1", row_length, "[byte] length of a row");
    cards.add("NAXIS2", rows, "rows");
    cards.add("PCOUNT", 0_i64, "no heap");
    cards.add("GCOUNT", 1_i64, "one group");
    cards.add("TFIELDS", table.columns.len(), "columns");
    for (index, column) in table.columns.iter().enumerate() {
        let number = index + 1;
        cards.add(&format!("TTYPE{number}"), column.name.as_str(), &column.description);
        cards.add(&format!("TFORM{number}"), field(&column.data).0, "");
        if !column.unit.trim().is_empty() {
            cards.add(&format!("TUNIT{number}"), column.unit.trim(), "");
        }
    }
    cards.finish(&table.name, &table.header).map_err(complaint)
}

fn check_names<'a>(names: impl Iterator<Item = &'a str>) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for name in names.filter(|name| !name.is_empty()) {
        if name.len() > CARD_TEXT / 2 || !name.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
            return Err(format!(
                "'{name}' is no EXTNAME: at most {} printable ASCII characters",
                CARD_TEXT / 2
            ));
        }
        if !seen.insert(name.to_ascii_uppercase()) {
            return Err(format!("two HDUs are called '{name}'"));
        }
    }
    Ok(())
}

fn check_column(column: &Column, rows: usize) -> Result<(), String> {
    let name = &column.name;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if name.is_empty() || name.len() > CARD_TEXT || !name.bytes().all(is_plain) {
        return Err(format!(
            "'{name}' is no column name: letters, digits and '_' (FITS Standard 4.0, §7.3.2)"
        ));
    }
    if column.unit.len() > CARD_TEXT
        || !column.unit.bytes().all(|byte| (b' '..=b'~').contains(&byte))
    {
        return Err(format!("column '{name}': '{}' is no unit", column.unit));
    }
    if column.data.len() != rows {
        return Err(format!(
            "column '{name}' has {} rows, the first column {rows}",
            column.data.len()
        ));
    }
    if let ColumnData::Text { width, values } = &column.data
        && let Some(text) = values.iter().find(|text| text.chars().count() > *width)
    {
        return Err(format!("column '{name}': '{text}' is longer than {width} characters"));
    }
    Ok(())
}

/// TFORM and bytes of a field.
fn field(data: &ColumnData) -> (String, usize) {
    match data {
        ColumnData::Integer16(_) => ("1I".to_owned(), 2),
        ColumnData::Integer32(_) => ("1J".to_owned(), 4),
        ColumnData::Integer64(_) => ("1K".to_owned(), 8),
        ColumnData::Float32(_) => ("1E".to_owned(), 4),
        ColumnData::Float64(_) => ("1D".to_owned(), 8),
        ColumnData::Text { width, .. } => (format!("{width}A"), *width),
    }
}

/// A text as it is stored: ASCII (other characters become `?`), filled with blanks to `width`.
pub(super) fn padded_text(text: &str, width: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> = text
        .chars()
        .map(|character| if (' '..='~').contains(&character) { character as u8 } else { b'?' })
        .collect();
    bytes.resize(width, b' ');
    bytes
}

/// A pixel as an unsigned integer: rounded and clamped; what is not a number is 0.
pub(super) fn to_unsigned16(value: f32) -> u16 {
    value.round() as u16
}

/// As [`to_unsigned16`], to 8 bits.
pub(super) fn to_byte(value: f32) -> u8 {
    value.round() as u8
}

/// The stored bytes of [`to_unsigned16`]: the offset of 32768 turns the highest bit over.
pub(super) fn unsigned16_bytes(value: f32) -> [u8; 2] {
    (to_unsigned16(value) ^ 0x8000).to_be_bytes()
}

impl NewPlane<'_> {
    fn form(&self) -> PlaneForm {
        match self {
            Self::Float32(_) => (-32, false),
            Self::Unsigned16(_) => (16, true),
            Self::Byte(_) | Self::Bits(_) => (8, false),
        }
    }

    /// Rows, columns.
    fn shape(&self) -> (usize, usize) {
        match self {
            Self::Float32(image) | Self::Unsigned16(image) | Self::Byte(image) => image.dim(),
            Self::Bits(mask) => mask.dim(),
        }
    }
}

impl NewData<'_> {
    /// The data as they lie in the file, without the fill of the last block.
    pub fn bytes(&self) -> Vec<u8> {
        match self {
            Self::None => Vec::new(),
            Self::Plane(NewPlane::Float32(image)) => {
                image.iter().flat_map(|value| value.to_be_bytes()).collect()
            }
            Self::Plane(NewPlane::Unsigned16(image)) => {
                image.iter().flat_map(|&value| unsigned16_bytes(value)).collect()
            }
            Self::Plane(NewPlane::Byte(image)) => {
                image.iter().map(|&value| to_byte(value)).collect()
            }
            Self::Plane(NewPlane::Bits(mask)) => mask.iter().copied().collect(),
            Self::Table(table) => table_bytes(table),
        }
    }
}

fn table_bytes(table: &Table) -> Vec<u8> {
    let mut bytes = Vec::new();
    for row in 0..table.row_count() {
        for column in &table.columns {
            match &column.data {
                ColumnData::Integer16(values) => bytes.extend(values[row].to_be_bytes()),
                ColumnData::Integer32(values) => bytes.extend(values[row].to_be_bytes()),
                ColumnData::Integer64(values) => bytes.extend(values[row].to_be_bytes()),
                ColumnData::Float32(values) => bytes.extend(values[row].to_be_bytes()),
                ColumnData::Float64(values) => bytes.extend(values[row].to_be_bytes()),
                ColumnData::Text { width, values } => {
                    bytes.extend(padded_text(&values[row], *width))
                }
            }
        }
    }
    bytes
}

/// The header as it lies in the file: cards, END, blanks up to whole blocks.
pub(super) fn header_bytes(records: &[Record]) -> Vec<u8> {
    let mut bytes: Vec<u8> = records.iter().flatten().copied().collect();
    bytes.extend_from_slice(b"END");
    bytes.resize(padded(bytes.len() as u64) as usize, b' ');
    debug_assert!(bytes.len().is_multiple_of(RECORD_LENGTH));
    bytes
}

/// The header of an HDU with its two sums (FITS Standard 4.0, Appendix J.3). The layout ends its cards with CHECKSUM and DATASUM.
pub(super) fn summed_header(records: &[Record], data_sum: u32) -> Vec<u8> {
    let mut records = records[..records.len().saturating_sub(2)].to_vec();
    let place = records.len();
    records.extend([checksum_record(checksum::UNSET), datasum_record(data_sum)]);
    let sum = checksum::accumulate(data_sum, &header_bytes(&records));
    records[place] = checksum_record(&checksum::encode(sum));
    header_bytes(&records)
}

/// The CHECKSUM card. Its comment bears no date, unlike cfitsio's: the same content must give the same file.
pub(super) fn checksum_record(value: &str) -> Record {
    value_record("CHECKSUM", &CardValue::Text(value.to_owned()), "HDU checksum")
}

/// The DATASUM card.
pub(super) fn datasum_record(sum: u32) -> Record {
    value_record("DATASUM", &CardValue::Text(sum.to_string()), "data checksum")
}

/// Card images in the making.
struct Cards {
    records: Vec<Record>,
}

impl Cards {
    /// A primary HDU, or an extension of that type.
    fn begin(extension: Option<&str>) -> Self {
        let mut cards = Self { records: Vec::new() };
        match extension {
            None => cards.add("SIMPLE", true, "FITS Standard 4.0"),
            Some(kind) => cards.add("XTENSION", kind, "FITS Standard 4.0"),
        }
        cards
    }

    fn add(&mut self, keyword: &str, value: impl Into<CardValue>, comment: &str) {
        self.records.push(value_record(keyword, &value.into(), comment));
    }

    fn finish(mut self, name: &str, header: &Header) -> Result<Vec<Record>, String> {
        if !name.is_empty() {
            self.add("EXTNAME", name, "name of this HDU");
        }
        self.records.extend(format_header(header).map_err(|error| error.to_string())?);
        self.records.push(checksum_record(checksum::UNSET));
        self.records.push(datasum_record(0));
        Ok(self.records)
    }
}
