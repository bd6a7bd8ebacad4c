//! Where sources may stand: the distances that keep new sources and the afterglow measurable.

use super::SimulationError;
use rand::Rng;
use rand_chacha::ChaCha8Rng;

/// Tries before a sky is called too crowded.
const ATTEMPTS: usize = 10_000;
/// Stars brighter than this bleed along a column.
const BLEEDING_MAGNITUDE: f64 = 11.0;
const BLEEDING_HALF_WIDTH_ARCSEC: f64 = 15.0;
const BLEEDING_HALF_LENGTH_ARCSEC: f64 = 150.0;
/// Distance kept from ordinary faint stars and galaxies.
const FAINT_DISTANCE_ARCSEC: f64 = 4.0;

/// A place on the tangent plane of the field.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Offset {
    pub east_arcsec: f64,
    pub north_arcsec: f64,
}

impl Offset {
    pub fn distance_arcsec(self, other: Self) -> f64 {
        (self.east_arcsec - other.east_arcsec).hypot(self.north_arcsec - other.north_arcsec)
    }
}

/// Uniform over a square of this half width.
pub fn anywhere(generator: &mut ChaCha8Rng, half_width_arcsec: f64) -> Offset {
    Offset {
        east_arcsec: (2.0 * generator.random::<f64>() - 1.0) * half_width_arcsec,
        north_arcsec: (2.0 * generator.random::<f64>() - 1.0) * half_width_arcsec,
    }
}

/// Uniform over the area of a ring.
pub fn in_ring(generator: &mut ChaCha8Rng, (inner, outer): (f64, f64)) -> Offset {
    let radius =
        (inner * inner + generator.random::<f64>() * (outer * outer - inner * inner)).sqrt();
    let (sin, cos) = (generator.random::<f64>() * std::f64::consts::TAU).sin_cos();
    Offset { east_arcsec: radius * sin, north_arcsec: radius * cos }
}

/// Draws places until one is allowed.
pub fn draw_allowed(
    generator: &mut ChaCha8Rng,
    what: &str,
    draw: impl Fn(&mut ChaCha8Rng) -> Offset,
    allowed: impl Fn(Offset) -> bool,
) -> Result<Offset, SimulationError> {
    for _ in 0..ATTEMPTS {
        let offset = draw(generator);
        if allowed(offset) {
            return Ok(offset);
        }
    }
    Err(SimulationError::NoRoom { what: what.to_owned(), attempts: ATTEMPTS })
}

/// Whether a source at `place` can be measured beside a static object of this magnitude at `object`. `separation_arcsec`
/// is the distance kept from bright stars; saturating ones need more, bleeding ones also a strip along their column.
pub fn is_clear_of(
    place: Offset,
    object: Offset,
    object_magnitude: f64,
    separation_arcsec: f64,
) -> bool {
    let distance = place.distance_arcsec(object);
    let wanted = match object_magnitude {
        m if m < 10.0 => separation_arcsec.max(60.0),
        m if m < 13.0 => separation_arcsec.max(25.0),
        m if m < 17.0 => separation_arcsec,
        _ => FAINT_DISTANCE_ARCSEC.min(separation_arcsec),
    };
    let in_bleeding_strip = object_magnitude < BLEEDING_MAGNITUDE
        && (place.east_arcsec - object.east_arcsec).abs() < BLEEDING_HALF_WIDTH_ARCSEC
        && (place.north_arcsec - object.north_arcsec).abs() < BLEEDING_HALF_LENGTH_ARCSEC;
    distance >= wanted && !in_bleeding_strip
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulation::random::{Purpose, stream};

    #[test]
    fn rings_and_squares_are_filled_evenly() {
        let mut generator = stream(3, Purpose::Star, 0);
        let centre = Offset { east_arcsec: 0.0, north_arcsec: 0.0 };
        let radii: Vec<f64> = (0..4000)
            .map(|_| in_ring(&mut generator, (40.0, 190.0)).distance_arcsec(centre))
            .collect();
        assert!(radii.iter().all(|radius| (40.0..=190.0).contains(radius)));
        // Half of the area lies within √((40² + 190²)/2) = 137.3.
        let within = radii.iter().filter(|radius| **radius < 137.3).count();
        assert!((1900..2100).contains(&within), "{within}");
        let mean: f64 =
            (0..4000).map(|_| anywhere(&mut generator, 100.0).east_arcsec).sum::<f64>() / 4000.0;
        assert!(mean.abs() < 3.0, "{mean}");
    }

    #[test]
    fn distances_grow_with_brightness() {
        let star = Offset { east_arcsec: 0.0, north_arcsec: 0.0 };
        let at = |east_arcsec, north_arcsec| Offset { east_arcsec, north_arcsec };
        assert!(is_clear_of(at(5.0, 0.0), star, 20.0, 8.0));
        assert!(!is_clear_of(at(3.0, 0.0), star, 20.0, 8.0));
        assert!(!is_clear_of(at(7.9, 0.0), star, 15.0, 8.0));
        assert!(!is_clear_of(at(24.0, 0.0), star, 12.0, 8.0));
        assert!(!is_clear_of(at(2.0, 140.0), star, 9.0, 8.0));
        assert!(is_clear_of(at(70.0, 0.0), star, 9.0, 8.0));
    }

    #[test]
    fn a_full_sky_is_an_error() {
        let mut generator = stream(3, Purpose::Star, 0);
        let result = draw_allowed(
            &mut generator,
            "new source 1",
            |generator| anywhere(generator, 10.0),
            |_| false,
        );
        assert!(matches!(result, Err(SimulationError::NoRoom { attempts: ATTEMPTS, .. })));
    }
}
