//! An orbit as the store holds it: a record of fixed length, little-endian, with a checksum of its own.

use super::{mpcorb::Orbit, orbit::Elements};
use crate::catalogs::store::crc_of;

/// Bytes of a record: eight elements (64 bits each), H, G and the date of the last observation (32 bits each, NaN where absent), U (one
/// byte, 255 where absent), length of the name (one byte), the name (34 bytes, filled with zeros), CRC-32 of what stands before.
pub(super) const RECORD_BYTES: usize = 116;
const NAME_PLACE: usize = 78;
const NAME_BYTES: usize = 34;
const CRC_PLACE: usize = 112;
const NO_UNCERTAINTY: u8 = 255;

pub(super) fn to_bytes(orbit: &Orbit) -> [u8; RECORD_BYTES] {
    let Elements {
        epoch_mjd,
        mean_anomaly_degrees,
        argument_of_perihelion_degrees,
        ascending_node_degrees,
        inclination_degrees,
        eccentricity,
        mean_motion_degrees_per_day,
        semi_major_axis_au,
    } = orbit.elements;
    let doubles = [
        epoch_mjd,
        mean_anomaly_degrees,
        argument_of_perihelion_degrees,
        ascending_node_degrees,
        inclination_degrees,
        eccentricity,
        mean_motion_degrees_per_day,
        semi_major_axis_au,
    ];
    let singles = [
        orbit.absolute_magnitude.unwrap_or(f32::NAN),
        orbit.slope,
        orbit.last_observed_mjd.unwrap_or(f32::NAN),
    ];
    let name = orbit.name.as_bytes();
    let name = name.get(..NAME_BYTES).unwrap_or(name);
    let fields = doubles
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .chain(singles.iter().flat_map(|value| value.to_le_bytes()))
        .chain([orbit.uncertainty.unwrap_or(NO_UNCERTAINTY), name.len() as u8])
        .chain(name.iter().copied());
    let mut bytes = [0; RECORD_BYTES];
    bytes.iter_mut().zip(fields).for_each(|(slot, byte)| *slot = byte);
    let (content, crc) = bytes.split_at_mut(CRC_PLACE);
    crc.copy_from_slice(&crc_of(content).to_le_bytes());
    bytes
}

/// The orbit of a record; `None` if it is damaged.
pub(super) fn from_bytes(bytes: &[u8]) -> Option<Orbit> {
    let elements = elements_of(bytes)?;
    let single = |place: usize| {
        let bytes = bytes.get(place..)?.first_chunk()?;
        Some(f32::from_le_bytes(*bytes))
    };
    let present = |value: f32| Some(value).filter(|value| value.is_finite());
    let uncertainty = *bytes.get(76)?;
    let length = usize::from(*bytes.get(77)?);
    let name = bytes.get(NAME_PLACE..CRC_PLACE)?.get(..length)?;
    Some(Orbit {
        name: std::str::from_utf8(name).ok()?.to_owned(),
        elements,
        absolute_magnitude: present(single(64)?),
        slope: present(single(68)?)?,
        uncertainty: (uncertainty <= 9).then_some(uncertainty),
        last_observed_mjd: present(single(72)?),
    })
}

/// The elements alone.
pub(super) fn elements_of(bytes: &[u8]) -> Option<Elements> {
    let (content, crc) = (bytes.get(..CRC_PLACE)?, bytes.get(CRC_PLACE..)?.first_chunk()?);
    if crc_of(content) != u32::from_le_bytes(*crc) {
        return None;
    }
    let double = |place: usize| {
        let bytes = content.get(8 * place..)?.first_chunk()?;
        Some(f64::from_le_bytes(*bytes)).filter(|value| value.is_finite())
    };
    let elements = Elements {
        epoch_mjd: double(0)?,
        mean_anomaly_degrees: double(1)?,
        argument_of_perihelion_degrees: double(2)?,
        ascending_node_degrees: double(3)?,
        inclination_degrees: double(4)?,
        eccentricity: double(5)?,
        mean_motion_degrees_per_day: double(6)?,
        semi_major_axis_au: double(7)?,
    };
    let is_sound = (0.0..1.0).contains(&elements.eccentricity)
        && elements.semi_major_axis_au > 0.0
        && elements.mean_motion_degrees_per_day > 0.0;
    is_sound.then_some(elements)
}
