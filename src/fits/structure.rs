//! The chain of header-data units of a file, read without trusting it (FITS Standard 4.0, §3 and §4.4.1).
//!
//! Everything is checked against the length of the file before anything is allocated: an engine that reads only
//! what passed here allocates no more than a small multiple of the file.

use super::card_format::{RECORD_LENGTH, Record, keyword_of, parse_record};
use super::column_form::FieldForm;
use super::defect::{Defect, Refusal};
use super::{CardValue, Header};
use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};

/// Length of a FITS block, bytes.
pub(super) const BLOCK_LENGTH: usize = 2880;

/// Greatest image that is read: pixels along an axis.
pub(super) const MAXIMUM_AXIS: u64 = 20_000;
/// Greatest image that is read: pixels in all.
pub(super) const MAXIMUM_PIXELS: u64 = 400_000_000;

/// A header of more blocks is no header (72 000 cards; the telescope writes about a thousand).
const MAXIMUM_HEADER_BLOCKS: usize = 2_000;
const MAXIMUM_HDUS: usize = 10_000;
/// Bytes of all headers of a file together: they are held in memory.
const MAXIMUM_HEADERS: u64 = 64 << 20;
const MAXIMUM_FIELDS: i64 = 999;
/// No tile compression reaches this many pixels per stored byte on anything but an attack.
const MAXIMUM_PIXELS_PER_BYTE: u64 = 2_048;

/// What an HDU holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HduKind {
    /// Primary array or IMAGE extension; perhaps without data.
    Image,
    /// An image in a binary table (FITS Standard 4.0, §10.1).
    CompressedImage,
    BinaryTable,
    /// ASCII tables, random groups, foreign extensions: described so far that the next HDU is found.
    Other,
}

/// Where an HDU lies in the file and what its header says of its layout.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Hdu {
    /// Counted from 1, as cfitsio and its users do.
    pub number: usize,
    pub kind: HduKind,
    /// EXTNAME; empty for none, and for the name fpack gives to a primary array.
    pub name: String,
    /// Bytes from the start of the file.
    pub header_start: u64,
    pub data_start: u64,
    /// Bytes of data without the fill of the last block.
    pub data_length: u64,
    /// BITPIX, or ZBITPIX of a compressed image.
    pub bits_per_pixel: i64,
    /// NAXISn, or ZNAXISn of a compressed image: columns first.
    pub axes: Vec<u64>,
    /// All card images before END.
    pub records: Vec<Record>,
}

impl Hdu {
    /// Byte after the last block of the HDU.
    pub fn end(&self) -> u64 {
        self.data_start + padded(self.data_length)
    }

    /// Whether there is an image with at least one pixel.
    pub fn has_pixels(&self) -> bool {
        matches!(self.kind, HduKind::Image | HduKind::CompressedImage)
            && !self.axes.is_empty()
            && self.axes.iter().all(|&length| length > 0)
    }

    /// Rows and columns of a plane; axes of length one after the second do not count.
    pub fn plane(&self) -> Result<(usize, usize), Refusal> {
        let (columns, rows) = match self.axes.as_slice() {
            [columns, rows, rest @ ..] if rest.iter().all(|&length| length == 1) => {
                (*columns, *rows)
            }
            axes => {
                return Err(Refusal::damaged(format!(
                    "HDU {}: an image of axes {axes:?} is not a plane",
                    self.number
                )));
            }
        };
        self.check_size()?;
        Ok((rows as usize, columns as usize))
    }

    /// Refuses images greater than the engines read.
    pub fn check_size(&self) -> Result<(), Refusal> {
        let pixels =
            self.axes.iter().try_fold(1_u64, |product, &length| product.checked_mul(length));
        let fits = self.axes.iter().all(|&length| length <= MAXIMUM_AXIS)
            && pixels.is_some_and(|pixels| pixels <= MAXIMUM_PIXELS);
        if fits {
            return Ok(());
        }
        let what = format!(
            "HDU {}: an image of axes {:?}; at most {MAXIMUM_AXIS} pixels per axis and {MAXIMUM_PIXELS} in all are read",
            self.number, self.axes
        );
        Err(Refusal::new(Defect::TooLarge, what))
    }

    /// The cards that are not structural.
    pub fn header(&self) -> Header {
        super::card_format::parse_header(&self.records)
    }

    /// The structural values, by keyword.
    pub fn values(&self) -> BTreeMap<String, CardValue> {
        values_of(&self.records)
    }
}

/// `length` brought up to whole blocks.
pub(super) fn padded(length: u64) -> u64 {
    length.div_ceil(BLOCK_LENGTH as u64) * BLOCK_LENGTH as u64
}

/// First value of each keyword.
fn values_of(records: &[Record]) -> BTreeMap<String, CardValue> {
    let mut values = BTreeMap::new();
    for record in records {
        let Some(keyword) = keyword_of(record) else { continue };
        if !super::card_format::is_structural(keyword) || values.contains_key(keyword) {
            continue;
        }
        if let Some(value) = parse_record(record).and_then(|card| card.value) {
            values.insert(keyword.to_owned(), value);
        }
    }
    values
}

/// Why a chain of HDUs cannot be followed.
#[derive(Debug, thiserror::Error)]
pub(super) enum StructureError {
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error("{0}")]
    Refused(Refusal),
}

impl StructureError {
    fn refused(defect: Defect, what: String) -> Self {
        Self::Refused(Refusal::new(defect, what))
    }
}

/// What a file holds.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Chain {
    pub hdus: Vec<Hdu>,
    /// Bytes of the file.
    pub length: u64,
    /// Bytes after the last HDU that are no HDU.
    pub trailing: u64,
}

/// Follows the HDUs of a file from its start.
///
/// The fill of the last block may be missing, as common readers allow; [`super::screening`] is stricter.
pub(super) fn scan<R: Read + Seek>(reader: &mut R) -> Result<Chain, StructureError> {
    let length = reader.seek(SeekFrom::End(0))?;
    if length == 0 {
        return Err(StructureError::refused(Defect::Truncated, "an empty file".to_owned()));
    }
    let mut hdus: Vec<Hdu> = Vec::new();
    let mut position = 0;
    let mut headers = 0;
    while position < length {
        let number = hdus.len() + 1;
        reader.seek(SeekFrom::Start(position))?;
        let found = read_records(reader, number, length - position)?;
        let Some(records) = found else { break };
        if number > MAXIMUM_HDUS {
            let what = format!("more than {MAXIMUM_HDUS} HDUs");
            return Err(StructureError::refused(Defect::TooLarge, what));
        }
        let cards = records.len() as u64 + 1;
        let data_start = position + padded(cards * RECORD_LENGTH as u64);
        headers += data_start - position;
        if headers > MAXIMUM_HEADERS {
            let what = format!("its headers take more than {MAXIMUM_HEADERS} bytes");
            return Err(StructureError::refused(Defect::TooLarge, what));
        }
        let hdu =
            describe(records, number, position, data_start).map_err(StructureError::Refused)?;
        if hdu.data_length > length.saturating_sub(data_start) {
            return Err(StructureError::refused(
                Defect::Truncated,
                format!(
                    "HDU {number}: truncated: its header announces {} bytes of data, the file holds {}",
                    hdu.data_length,
                    length.saturating_sub(data_start)
                ),
            ));
        }
        position = hdu.end();
        hdus.push(hdu);
    }
    Ok(Chain { hdus, length, trailing: length.saturating_sub(position) })
}

/// Card images up to END. `None` where what follows the first HDU is no extension.
fn read_records<R: Read>(
    reader: &mut R,
    number: usize,
    available: u64,
) -> Result<Option<Vec<Record>>, StructureError> {
    let refused =
        |defect, what: &str| Err(StructureError::refused(defect, format!("HDU {number}: {what}")));
    let mut records = Vec::new();
    let mut block = [0_u8; BLOCK_LENGTH];
    for index in 0..MAXIMUM_HEADER_BLOCKS {
        if (available as usize) < (index + 1) * BLOCK_LENGTH {
            let complaint = match (number, index) {
                (1, 0) => "truncated: shorter than a FITS block of 2880 bytes",
                (_, 0) => return Ok(None),
                _ => "truncated inside its header: no END card",
            };
            return refused(Defect::Truncated, complaint);
        }
        reader.read_exact(&mut block)?;
        if index == 0 {
            let expected: &[u8] = if number == 1 { b"SIMPLE  =" } else { b"XTENSION=" };
            if !block.starts_with(expected) {
                return if number == 1 {
                    refused(Defect::Foreign, "not FITS: it does not begin with SIMPLE")
                } else {
                    Ok(None)
                };
            }
        }
        let (cards, _) = block.as_chunks::<RECORD_LENGTH>();
        for card in cards {
            if card.starts_with(b"END") && card[3..].iter().all(|&byte| byte == b' ') {
                return Ok(Some(records));
            }
            records.push(*card);
        }
    }
    refused(Defect::TooLarge, "no END card in 2000 blocks")
}

/// Reads the layout of an HDU from its cards.
pub(super) fn describe(
    records: Vec<Record>,
    number: usize,
    header_start: u64,
    data_start: u64,
) -> Result<Hdu, Refusal> {
    let layout = Layout { number, values: values_of(&records) };
    layout.check_cards(&records)?;
    let extension = match layout.values.get("XTENSION") {
        Some(CardValue::Text(text)) if number > 1 => Some(text.trim().to_owned()),
        _ if number > 1 => return Err(layout.complaint("XTENSION is not a text")),
        _ => None,
    };
    if extension.is_none() && layout.values.get("SIMPLE") != Some(&CardValue::Logical(true)) {
        return Err(
            layout.complaint("SIMPLE is not T: the file does not claim to follow the standard")
        );
    }
    let bits_per_pixel = layout.bits("BITPIX")?;
    let axes = layout.axes("NAXIS")?;
    let (is_table, is_image) = match extension.as_deref() {
        None | Some("IMAGE" | "IUEIMAGE") => (false, true),
        Some("BINTABLE" | "A3DTABLE") => (true, false),
        Some(_) => (false, false),
    };
    let is_groups = extension.is_none()
        && axes.first() == Some(&0)
        && layout.values.get("GROUPS") == Some(&CardValue::Logical(true));
    let counted = extension.is_some() || is_groups;
    let parameters = if counted { layout.count("PCOUNT", 0)? } else { 0 };
    let groups = if counted { layout.count("GCOUNT", 1)? } else { 1 };
    let counted_axes = if is_groups { axes.get(1..).unwrap_or_default() } else { &axes };
    let elements = if counted_axes.is_empty() {
        Some(0)
    } else {
        counted_axes.iter().try_fold(1_u64, |product, &length| product.checked_mul(length))
    };
    let data_length = elements
        .and_then(|elements| elements.checked_add(parameters))
        .and_then(|elements| elements.checked_mul(groups))
        .and_then(|elements| elements.checked_mul(bits_per_pixel.unsigned_abs() / 8))
        .filter(|&length| length <= i64::MAX as u64 / 2)
        .ok_or_else(|| layout.complaint("its header announces more data than any file holds"))?;
    let mut hdu = Hdu {
        number,
        kind: if is_image && !is_groups { HduKind::Image } else { HduKind::Other },
        name: match layout.values.get("EXTNAME") {
            Some(CardValue::Text(name)) if name.trim() != "COMPRESSED_IMAGE" => {
                name.trim().to_owned()
            }
            _ => String::new(),
        },
        header_start,
        data_start,
        data_length,
        bits_per_pixel,
        axes,
        records: Vec::new(),
    };
    if is_table {
        layout.check_table(&hdu, parameters)?;
        hdu.kind = HduKind::BinaryTable;
        if layout.values.get("ZIMAGE") == Some(&CardValue::Logical(true)) {
            layout.check_compressed(&mut hdu)?;
        }
    }
    hdu.records = records;
    Ok(hdu)
}

/// The structural values of a header, with complaints that name the HDU.
struct Layout {
    number: usize,
    values: BTreeMap<String, CardValue>,
}

impl Layout {
    fn complaint(&self, what: &str) -> Refusal {
        Refusal::damaged(format!("HDU {}: {what}", self.number))
    }

    /// A card of the layout must have one meaning: another reader may take the last of two, or read a value where this
    /// one sees none, and then trust a length that was never checked.
    fn check_cards(&self, records: &[Record]) -> Result<(), Refusal> {
        let is_compressed = self.values.get("ZIMAGE") == Some(&CardValue::Logical(true));
        for record in records {
            let Some(keyword) = keyword_of(record) else { continue };
            let stem = keyword.trim_end_matches(|character: char| character.is_ascii_digit());
            let is_layout = match keyword {
                "BITPIX" | "NAXIS" | "PCOUNT" | "GCOUNT" | "GROUPS" | "TFIELDS" | "THEAP" => true,
                "ZIMAGE" | "ZBITPIX" | "ZNAXIS" | "ZCMPTYPE" => true,
                _ => match stem {
                    "NAXIS" | "TFORM" => true,
                    "TTYPE" | "ZNAXIS" | "ZTILE" | "ZNAME" | "ZVAL" => is_compressed,
                    _ => false,
                },
            };
            if !is_layout {
                continue;
            }
            match parse_record(record).and_then(|card| card.value) {
                None => return Err(self.complaint(&format!("{keyword} has no value"))),
                Some(value) if self.values.get(keyword) != Some(&value) => {
                    return Err(
                        self.complaint(&format!("{keyword} is there twice, with two values"))
                    );
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    fn integer(&self, keyword: &str) -> Option<i64> {
        match self.values.get(keyword) {
            Some(CardValue::Integer(number)) => Some(*number),
            _ => None,
        }
    }

    fn required(&self, keyword: &str) -> Result<i64, Refusal> {
        self.integer(keyword)
            .ok_or_else(|| self.complaint(&format!("{keyword} is missing or not an integer")))
    }

    fn count(&self, keyword: &str, default: u64) -> Result<u64, Refusal> {
        match self.values.get(keyword) {
            None => Ok(default),
            Some(_) => u64::try_from(self.required(keyword)?)
                .map_err(|_| self.complaint(&format!("{keyword} is negative"))),
        }
    }

    fn bits(&self, keyword: &str) -> Result<i64, Refusal> {
        let bits = self.required(keyword)?;
        match bits {
            8 | 16 | 32 | 64 | -32 | -64 => Ok(bits),
            _ => Err(self.complaint(&format!("{keyword} = {bits} is no pixel format"))),
        }
    }

    fn axes(&self, stem: &str) -> Result<Vec<u64>, Refusal> {
        let count = self.required(stem)?;
        if !(0..=MAXIMUM_FIELDS).contains(&count) {
            return Err(self.complaint(&format!("{stem} = {count} is not between 0 and 999")));
        }
        (1..=count)
            .map(|axis| {
                u64::try_from(self.required(&format!("{stem}{axis}"))?)
                    .map_err(|_| self.complaint(&format!("{stem}{axis} is negative")))
            })
            .collect()
    }

    /// A binary table has rows of bytes, and its fields fill a row (§7.3.1).
    fn check_table(&self, hdu: &Hdu, parameters: u64) -> Result<(), Refusal> {
        let [row_length, rows] = hdu.axes.as_slice() else {
            return Err(self.complaint("a binary table must have two axes"));
        };
        if hdu.bits_per_pixel != 8 {
            return Err(self.complaint("a binary table must have BITPIX 8"));
        }
        if *row_length == 0 && *rows > 0 {
            return Err(self.complaint("rows without a byte in a binary table"));
        }
        let fields = self.required("TFIELDS")?;
        if !(0..=MAXIMUM_FIELDS).contains(&fields) {
            return Err(self.complaint(&format!("TFIELDS = {fields} is not between 0 and 999")));
        }
        let mut width = 0_u64;
        for field in 1..=fields {
            let form = match self.values.get(&format!("TFORM{field}")) {
                Some(CardValue::Text(form)) => form,
                _ => return Err(self.complaint(&format!("TFORM{field} is missing"))),
            };
            width = FieldForm::parse(form)
                .and_then(|form| form.width())
                .and_then(|bytes| width.checked_add(bytes))
                .ok_or_else(|| {
                    self.complaint(&format!("TFORM{field} = '{form}' is no field format"))
                })?;
        }
        if width != *row_length {
            return Err(self.complaint(&format!(
                "the fields of a row take {width} bytes, NAXIS1 says {row_length}"
            )));
        }
        let main = row_length.saturating_mul(*rows);
        let heap = self.count("THEAP", main)?;
        if heap < main || heap > main.saturating_add(parameters) {
            return Err(self.complaint("THEAP lies outside the data"));
        }
        Ok(())
    }

    /// Takes the axes of the image in a compressed one, and sees that they can be true.
    fn check_compressed(&self, hdu: &mut Hdu) -> Result<(), Refusal> {
        let tiles = hdu.axes.get(1).copied().unwrap_or_default();
        let axes = self.axes("ZNAXIS")?;
        let mut expected_tiles = 1_u64;
        let mut pixels = 1_u64;
        for (index, &length) in axes.iter().enumerate() {
            let keyword = format!("ZTILE{}", index + 1);
            let tile = self.count(&keyword, if index == 0 { length } else { 1 })?;
            if tile == 0 || tile > length.max(1) {
                return Err(
                    self.complaint(&format!("{keyword} = {tile} does not fit an axis of {length}"))
                );
            }
            expected_tiles = expected_tiles.saturating_mul(length.div_ceil(tile));
            pixels = pixels.saturating_mul(length);
        }
        if !axes.is_empty() && tiles != expected_tiles {
            return Err(
                self.complaint(&format!("{tiles} tiles where {expected_tiles} make the image"))
            );
        }
        if pixels / MAXIMUM_PIXELS_PER_BYTE > hdu.data_length {
            return Err(self.complaint(&format!(
                "{pixels} pixels cannot come out of {} bytes",
                hdu.data_length
            )));
        }
        hdu.bits_per_pixel = self.bits("ZBITPIX")?;
        hdu.kind = HduKind::CompressedImage;
        hdu.axes = axes;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fits::card_format::value_record;
    use std::io::Cursor;

    /// A header of `cards`, filled to whole blocks.
    fn header(cards: &[(&str, CardValue)]) -> Vec<u8> {
        let mut bytes: Vec<u8> =
            cards.iter().flat_map(|(keyword, value)| value_record(keyword, value, "")).collect();
        bytes.extend_from_slice(b"END");
        bytes.resize(padded(bytes.len() as u64) as usize, b' ');
        bytes
    }

    fn primary(bits: i64, axes: &[i64]) -> Vec<u8> {
        let mut cards = vec![
            ("SIMPLE".to_owned(), CardValue::Logical(true)),
            ("BITPIX".to_owned(), bits.into()),
            ("NAXIS".to_owned(), axes.len().into()),
        ];
        for (index, &length) in axes.iter().enumerate() {
            cards.push((format!("NAXIS{}", index + 1), length.into()));
        }
        let cards: Vec<(&str, CardValue)> =
            cards.iter().map(|(keyword, value)| (keyword.as_str(), value.clone())).collect();
        header(&cards)
    }

    fn complaint(bytes: &[u8]) -> String {
        scan(&mut Cursor::new(bytes)).unwrap_err().to_string()
    }

    #[test]
    fn a_sound_chain_is_followed() {
        let mut bytes = primary(16, &[3, 2]);
        bytes.extend([0; 2880]);
        let chain = scan(&mut Cursor::new(&bytes)).unwrap();
        assert_eq!(chain.hdus.len(), 1);
        assert_eq!((chain.hdus[0].data_start, chain.hdus[0].data_length), (2880, 12));
        assert_eq!(chain.hdus[0].plane(), Ok((2, 3)));
        assert_eq!(chain.trailing, 0);
        bytes.extend([0; 100]);
        assert_eq!(scan(&mut Cursor::new(&bytes)).unwrap().trailing, 100);
    }

    #[test]
    fn sizes_are_checked_before_anything_is_allocated() {
        assert!(
            complaint(&primary(-64, &[i64::MAX, i64::MAX])).contains("more data than any file")
        );
        assert!(complaint(&primary(16, &[20_000, 20_000])).contains("truncated"));
        assert!(complaint(&primary(16, &[-1, 1])).contains("negative"));
        assert!(complaint(&primary(12, &[1, 1])).contains("no pixel format"));
        let card = |keyword, value: i64| (keyword, CardValue::from(value));
        let twice = header(&[
            ("SIMPLE", CardValue::Logical(true)),
            card("BITPIX", 16),
            card("NAXIS", 1),
            card("NAXIS1", 1),
            card("NAXIS1", 2_000_000_000),
        ]);
        assert!(complaint(&twice).contains("NAXIS1 is there twice"));
        assert!(complaint(b"hello").contains("shorter"));
        assert!(complaint(&[b'x'; 2880]).contains("not FITS"));
        let mut endless = primary(8, &[]);
        endless.truncate(240);
        endless.resize(5760, b' ');
        assert!(complaint(&endless).contains("no END"));
    }

    #[test]
    fn tables_and_tiles_must_add_up() {
        let text = |text: &str| CardValue::Text(text.to_owned());
        let table = |row: i64, rows: i64, form: &str, more: &[(&str, CardValue)]| {
            let mut cards = vec![
                ("XTENSION", text("BINTABLE")),
                ("BITPIX", 8_i64.into()),
                ("NAXIS", 2_i64.into()),
                ("NAXIS1", row.into()),
                ("NAXIS2", rows.into()),
                ("PCOUNT", 0_i64.into()),
                ("GCOUNT", 1_i64.into()),
                ("TFIELDS", 1_i64.into()),
                ("TFORM1", text(form)),
            ];
            cards.extend_from_slice(more);
            let mut bytes = primary(8, &[]);
            bytes.extend(header(&cards));
            bytes.resize(bytes.len() + 2880, 0);
            bytes
        };
        assert_eq!(scan(&mut Cursor::new(table(8, 3, "1D", &[]))).unwrap().hdus.len(), 2);
        assert!(complaint(&table(9, 3, "1D", &[])).contains("NAXIS1 says 9"));
        assert!(complaint(&table(0, 1 << 60, "0D", &[])).contains("rows without a byte"));
        assert!(complaint(&table(8, 3, "1W", &[])).contains("no field format"));
        let tiles = |width: i64| {
            vec![
                ("ZIMAGE", CardValue::Logical(true)),
                ("ZBITPIX", 16_i64.into()),
                ("ZNAXIS", 2_i64.into()),
                ("ZNAXIS1", width.into()),
                ("ZNAXIS2", 3_i64.into()),
            ]
        };
        let sound = scan(&mut Cursor::new(table(8, 3, "1PB(8)", &tiles(10)))).unwrap();
        assert_eq!(sound.hdus[1].kind, HduKind::CompressedImage);
        assert_eq!(sound.hdus[1].axes, [10, 3]);
        assert!(complaint(&table(8, 4, "1PB(8)", &tiles(10))).contains("tiles"));
        assert!(complaint(&table(8, 3, "1PB(8)", &tiles(1 << 40))).contains("cannot come out"));
    }
}
