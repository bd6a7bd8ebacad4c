//! What coordinates are worth for stars that they were not fitted to.

use super::statistics::median_and_deviation;
use super::wcs::PixelSkyPair;
use super::world_coordinates::WorldCoordinates;

/// Fits each half of the stars and asks the other where it lies: the median distance from there, pixels; infinite where nothing can be
/// asked.
///
/// # Errors
/// That of `fit`.
pub fn median_miss<E>(
    halves: &[Vec<PixelSkyPair>; 2],
    fit: impl Fn(&[PixelSkyPair]) -> Result<WorldCoordinates, E>,
) -> Result<f64, E> {
    let [first, second] = halves;
    let mut misses = Vec::with_capacity(first.len() + second.len());
    for (taught, asked) in [(first, second), (second, first)] {
        let coordinates = fit(taught)?;
        misses.extend(asked.iter().map(|PixelSkyPair { pixel, sky, .. }| {
            let found = coordinates.sky_to_pixel(*sky).ok();
            found.map_or(f64::INFINITY, |(x, y)| (x - pixel.0).hypot(y - pixel.1))
        }));
    }
    misses.retain(|miss| miss.is_finite());
    Ok(median_and_deviation(&misses).map_or(f64::INFINITY, |(median, _)| median))
}

/// Every other star, and the rest.
pub fn halves(pairs: &[PixelSkyPair]) -> [Vec<PixelSkyPair>; 2] {
    [0, 1].map(|first| pairs.iter().skip(first).step_by(2).copied().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imaging::distortion_fit::{
        fit_sip,
        tests::{camera, stars},
    };
    use crate::imaging::wcs::TangentPlane;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn a_distortion_shows_and_noise_does_not() {
        let mut random = ChaCha8Rng::seed_from_u64(21);
        let middle = (1023.5, 1023.5);
        let distorted = camera(3, &mut random);
        let perfect = WorldCoordinates::from(distorted.plane);
        let plane = |pairs: &[PixelSkyPair]| {
            TangentPlane::fit(pairs, middle).map(WorldCoordinates::from).ok_or(())
        };
        let sip = |pairs: &[PixelSkyPair]| {
            fit_sip(pairs, middle, 3, 4.0).map(|fit| fit.coordinates).map_err(|_| ())
        };
        let halves = halves(&stars(&distorted, 200, 0.1, &mut random));
        let (with, without) =
            (median_miss(&halves, sip).unwrap(), median_miss(&halves, plane).unwrap());
        assert!(with < 0.15 && without > 1.0, "{with} {without}");
        let halves = super::halves(&stars(&perfect, 60, 0.1, &mut random));
        let (with, without) =
            (median_miss(&halves, sip).unwrap(), median_miss(&halves, plane).unwrap());
        assert!(with > 0.95 * without, "{with} {without}");
        assert_eq!(median_miss(&[Vec::new(), Vec::new()], plane), Err(()));
    }
}
