//! An object of the store as bytes of fixed length, little-endian.
//!
//! | bytes | what |
//! |---|---|
//! | n | identifier: 64-bit unsigned integer (n = 8), or UTF-8 filled up with NUL |
//! | 8, 8 | right ascension and declination at the epoch, degrees, 64-bit floats |
//! | 4, 4 | proper motion along right ascension (μα cos δ) and declination, mas a year, 32-bit floats; NaN for unknown |
//! | 4 | epoch of the position, Julian year, 32-bit float |
//! | 1 | kind: 0 unknown, 1 star, 2 galaxy |
//! | 3 | zero |
//! | 4, 4 for each band | magnitude and its standard error, 32-bit floats; NaN for none |

use crate::model::{BandMagnitude, ObjectKind, SkyPosition};
use serde::{Deserialize, Serialize};

/// Bytes besides the identifier and the bands.
const FIXED_BYTES: usize = 32;
const BAND_BYTES: usize = 8;

/// Proper motion, milliarcseconds a year.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ProperMotion {
    /// μα cos δ.
    pub east_mas: f32,
    pub north_mas: f32,
}

/// An object as the store holds it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StoredObject {
    pub id: String,
    pub kind: ObjectKind,
    /// At the epoch.
    pub position: SkyPosition,
    pub proper_motion: Option<ProperMotion>,
    /// Julian year.
    pub epoch_year: f32,
    /// In the order of the bands of the header.
    pub magnitudes: Vec<Option<BandMagnitude>>,
}

impl StoredObject {
    /// The position at another epoch (Julian year): on the tangent plane at the catalogued position, ξ = μα cos δ · Δt and
    /// η = μδ · Δt. Parallax and radial motion are left aside. Against uniform motion on the sphere this is off by
    /// (μ Δt)³ / 3: a milliarcsecond for 10″ a year and 50 years.
    pub fn position_at(&self, year: f64) -> SkyPosition {
        let Some(motion) = self.proper_motion else { return self.position };
        let arcsec = (year - f64::from(self.epoch_year)) / 1000.0;
        self.position.offset_arcsec(
            f64::from(motion.east_mas) * arcsec,
            f64::from(motion.north_mas) * arcsec,
        )
    }
}

/// How identifiers are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IdentifierForm {
    Integer,
    Text,
}

/// The lengths that a store's records have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordLayout {
    pub identifier_form: IdentifierForm,
    pub identifier_bytes: usize,
    pub band_count: usize,
}

impl RecordLayout {
    pub fn record_bytes(self) -> usize {
        self.identifier_bytes + FIXED_BYTES + BAND_BYTES * self.band_count
    }

    /// Appends the bytes of an object. `None` if the identifier does not have the form, or a band is too many or too few.
    pub fn encode(self, object: &StoredObject, bytes: &mut Vec<u8>) -> Option<()> {
        if object.magnitudes.len() != self.band_count {
            return None;
        }
        match self.identifier_form {
            IdentifierForm::Integer => {
                bytes.extend_from_slice(&integer_identifier(&object.id)?.to_le_bytes());
            }
            IdentifierForm::Text => {
                let fill = self.identifier_bytes.checked_sub(object.id.len())?;
                bytes.extend_from_slice(object.id.as_bytes());
                bytes.extend(std::iter::repeat_n(0, fill));
            }
        }
        bytes.extend_from_slice(&object.position.ra_degrees.to_le_bytes());
        bytes.extend_from_slice(&object.position.dec_degrees.to_le_bytes());
        let motion = object.proper_motion;
        for value in [
            motion.map_or(f32::NAN, |motion| motion.east_mas),
            motion.map_or(f32::NAN, |motion| motion.north_mas),
            object.epoch_year,
        ] {
            bytes.extend_from_slice(&value.to_le_bytes());
        }
        let kind = match object.kind {
            ObjectKind::Unknown => 0,
            ObjectKind::Star => 1,
            ObjectKind::Galaxy => 2,
        };
        bytes.extend_from_slice(&[kind, 0, 0, 0]);
        for magnitude in &object.magnitudes {
            let value = magnitude.map_or(f32::NAN, |magnitude| magnitude.value);
            let error = magnitude.and_then(|magnitude| magnitude.error).unwrap_or(f32::NAN);
            bytes.extend_from_slice(&value.to_le_bytes());
            bytes.extend_from_slice(&error.to_le_bytes());
        }
        Some(())
    }

    /// The position of a record alone. `None` if the bytes are too few or say no direction.
    pub fn position(self, record: &[u8]) -> Option<SkyPosition> {
        let rest = record.get(self.identifier_bytes..)?;
        let ra_degrees = f64::from_le_bytes(*rest.first_chunk()?);
        let dec_degrees = f64::from_le_bytes(*rest.get(8..)?.first_chunk()?);
        let is_direction =
            (0.0..=360.0).contains(&ra_degrees) && (-90.0..=90.0).contains(&dec_degrees);
        is_direction.then_some(SkyPosition { ra_degrees, dec_degrees })
    }

    /// The object of a record. `None` if the bytes are no object of this layout.
    pub fn decode(self, record: &[u8]) -> Option<StoredObject> {
        if record.len() != self.record_bytes() {
            return None;
        }
        let (identifier, rest) = record.split_at_checked(self.identifier_bytes)?;
        let id = match self.identifier_form {
            IdentifierForm::Integer => u64::from_le_bytes(*identifier.first_chunk()?).to_string(),
            IdentifierForm::Text => {
                let end = identifier.iter().position(|&byte| byte == 0).unwrap_or(identifier.len());
                std::str::from_utf8(identifier.get(..end)?).ok()?.to_owned()
            }
        };
        let float = |start: usize| Some(f32::from_le_bytes(*rest.get(start..)?.first_chunk()?));
        let (east_mas, north_mas, epoch_year) = (float(16)?, float(20)?, float(24)?);
        let proper_motion = (east_mas.is_finite() && north_mas.is_finite())
            .then_some(ProperMotion { east_mas, north_mas });
        let kind = match rest.get(28)? {
            0 => ObjectKind::Unknown,
            1 => ObjectKind::Star,
            2 => ObjectKind::Galaxy,
            _ => return None,
        };
        let mut magnitudes = Vec::with_capacity(self.band_count);
        for band in 0..self.band_count {
            let start = FIXED_BYTES + BAND_BYTES * band;
            let (value, error) = (float(start)?, float(start + 4)?);
            let error = error.is_finite().then_some(error);
            magnitudes.push(value.is_finite().then_some(BandMagnitude { value, error }));
        }
        let position = self.position(record)?;
        epoch_year.is_finite().then_some(StoredObject {
            id,
            kind,
            position,
            proper_motion,
            epoch_year,
            magnitudes,
        })
    }
}

/// The number that an identifier is, if it is written back the same.
pub fn integer_identifier(id: &str) -> Option<u64> {
    let number: u64 = id.parse().ok()?;
    let is_plain =
        id.bytes().all(|byte| byte.is_ascii_digit()) && (id == "0" || !id.starts_with('0'));
    is_plain.then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn object(id: &str) -> StoredObject {
        StoredObject {
            id: id.to_owned(),
            kind: ObjectKind::Galaxy,
            position: SkyPosition::new(359.999_999_9, -89.5),
            proper_motion: Some(ProperMotion { east_mas: -10.5, north_mas: 10_000.0 }),
            epoch_year: 2015.5,
            magnitudes: vec![Some(BandMagnitude { value: 21.5, error: None }), None],
        }
    }

    fn layout(identifier_form: IdentifierForm, identifier_bytes: usize) -> RecordLayout {
        RecordLayout { identifier_form, identifier_bytes, band_count: 2 }
    }

    #[test]
    fn what_is_written_is_read() {
        for (id, layout) in [
            ("5853498713190525696", layout(IdentifierForm::Integer, 8)),
            ("1200-00123456 é", layout(IdentifierForm::Text, 20)),
        ] {
            let mut bytes = Vec::new();
            layout.encode(&object(id), &mut bytes).unwrap();
            assert_eq!(bytes.len(), layout.record_bytes());
            assert_eq!(layout.decode(&bytes).unwrap(), object(id));
        }
        let mut bytes = Vec::new();
        assert!(layout(IdentifierForm::Integer, 8).encode(&object("x"), &mut bytes).is_none());
        assert!(layout(IdentifierForm::Text, 2).encode(&object("xyz"), &mut bytes).is_none());
        assert_eq!(integer_identifier("007"), None);
        assert_eq!(integer_identifier("+7"), None);
        assert_eq!(integer_identifier("0"), Some(0));
    }

    #[test]
    fn stars_move_along_the_tangent_plane() {
        let mut star = object("1");
        star.position = SkyPosition::new(10.0, 60.0);
        star.proper_motion = Some(ProperMotion { east_mas: 3000.0, north_mas: 4000.0 });
        let moved = star.position_at(2025.5);
        assert!((moved.separation_arcsec(star.position) - 50.0).abs() < 1e-5);
        // μα cos δ of 3″ a year at declination 60° is 6″ a year of right ascension.
        assert!(((moved.ra_degrees - 10.0) * 3600.0 - 60.0).abs() < 0.05);
        star.proper_motion = None;
        assert_eq!(star.position_at(2100.0), star.position);
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = layout(IdentifierForm::Integer, 8).decode(&bytes);
            let _ = layout(IdentifierForm::Text, 16).decode(&bytes);
            let _ = layout(IdentifierForm::Text, 24).position(&bytes);
        }
    }
}
