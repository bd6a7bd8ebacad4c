//! Artificial stars put into an image, to see which of them are found again.

use super::{CalibratedImage, image::mask_bits, star_profile::StarProfile};
use rand::Rng;
use rand_distr::{Distribution, StandardNormal};

/// Stars keep this many full widths from each other: they are not to hide one another.
const APART_WIDTHS: f64 = 10.0;
/// The light of a star is drawn out to so many full widths.
const REACH_WIDTHS: f64 = 4.0;
/// Of the sequence of places: the inverse of the plastic number and its square (Roberts 2018), which cover a plane evenly and lie on no grid.
const STEPS: (f64, f64) = (0.754_877_666_246_692_8, 0.569_840_290_998_053_2);
/// Places tried for each star wanted.
const TRIALS: usize = 20;

/// An artificial star.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct InjectedStar {
    /// Pixels, the centre of the first one at 0.
    pub x: f64,
    pub y: f64,
    /// Light in the aperture of the profile.
    pub electrons: f64,
}

/// Up to `count` places evenly over the pixels that hold data, on stars or beside them, ten full widths apart. `start` chooses the sequence.
pub fn places(
    image: &CalibratedImage,
    fwhm_pixels: f64,
    count: usize,
    start: (f64, f64),
) -> Vec<(f64, f64)> {
    let (rows, columns) = image.shape();
    let apart = APART_WIDTHS * fwhm_pixels.max(1.0);
    let cells = |pixels: usize| (pixels as f64 / apart).ceil().max(1.0) as usize;
    let (cell_rows, cell_columns) = (cells(rows), cells(columns));
    let mut taken: Vec<Vec<(f64, f64)>> = vec![Vec::new(); cell_rows * cell_columns];
    let mut places = Vec::new();
    for number in 0..count.saturating_mul(TRIALS) {
        if places.len() == count {
            break;
        }
        let x = (start.0 + number as f64 * STEPS.0).fract() * columns as f64 - 0.5;
        let y = (start.1 + number as f64 * STEPS.1).fract() * rows as f64 - 0.5;
        let at = (y.round().max(0.0) as usize, x.round().max(0.0) as usize);
        let holds_data = image
            .mask
            .get(at)
            .is_some_and(|bits| bits & (mask_bits::NO_DATA | mask_bits::BAD) == 0);
        let (row, column) = (((y + 0.5) / apart) as usize, ((x + 0.5) / apart) as usize);
        let is_free = || {
            (row.saturating_sub(1)..=(row + 1).min(cell_rows - 1)).all(|row| {
                (column.saturating_sub(1)..=(column + 1).min(cell_columns - 1)).all(|column| {
                    let near = taken.get(row * cell_columns + column);
                    near.is_none_or(|near| {
                        near.iter()
                            .all(|(other_x, other_y)| (other_x - x).hypot(other_y - y) >= apart)
                    })
                })
            })
        };
        if holds_data && is_free() {
            if let Some(cell) = taken.get_mut(row * cell_columns + column) {
                cell.push((x, y));
            }
            places.push((x, y));
        }
    }
    places
}

/// Adds stars of this profile with their own photon noise: `variance_share` is the variance of an electron of light in the units of the
/// image, one for an exposure, one over their number for a mean of exposures.
pub fn inject(
    image: &mut CalibratedImage,
    profile: &StarProfile,
    fwhm_pixels: f64,
    stars: &[InjectedStar],
    variance_share: f64,
    random: &mut impl Rng,
) {
    let (rows, columns) = image.shape();
    let reach = (REACH_WIDTHS * fwhm_pixels).max(2.0);
    let span = |centre: f64, length: usize| {
        let first = (centre - reach).ceil().max(0.0) as usize;
        first..((centre + reach).floor() + 1.0).clamp(first as f64, length as f64) as usize
    };
    for star in stars {
        for row in span(star.y, rows) {
            for column in span(star.x, columns) {
                let distance = (column as f64 - star.x).hypot(row as f64 - star.y);
                let light = star.electrons * profile.light(distance);
                let variance = light.max(0.0) * variance_share;
                let noise: f64 = StandardNormal.sample(random);
                if let Some(value) = image.data.get_mut((row, column)) {
                    *value += (light + variance.sqrt() * noise) as f32;
                }
                if let Some(value) = image.variance.get_mut((row, column)) {
                    *value += variance as f32;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imaging::{Image, Mask};
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    fn empty(shape: (usize, usize)) -> CalibratedImage {
        CalibratedImage {
            data: Image::zeros(shape),
            variance: Image::from_elem(shape, 1.0),
            mask: Mask::zeros(shape),
        }
    }

    #[test]
    fn places_are_apart_even_and_on_data() {
        let mut image = empty((400, 300));
        image.mask.slice_mut(ndarray::s![..200, ..]).fill(mask_bits::NO_DATA);
        let found = places(&image, 2.0, 60, (0.3, 0.6));
        assert_eq!(found.len(), 60);
        for (index, one) in found.iter().enumerate() {
            assert!(one.1 >= 199.4, "{one:?}");
            for other in &found[..index] {
                assert!((one.0 - other.0).hypot(one.1 - other.1) >= 20.0);
            }
        }
        let left = found.iter().filter(|place| place.0 < 150.0).count();
        assert!((22..=38).contains(&left), "{left}");
        // No more than there is room for.
        assert!(places(&image, 20.0, 60, (0.3, 0.6)).len() < 5);
    }

    #[test]
    fn light_and_noise_are_those_of_the_stars() {
        let mut image = empty((600, 600));
        let profile = StarProfile::moffat(3.0);
        let stars: Vec<InjectedStar> = places(&image, 3.0, 200, (0.1, 0.2))
            .into_iter()
            .map(|(x, y)| InjectedStar { x, y, electrons: 1000.0 })
            .collect();
        inject(&mut image, &profile, 3.0, &stars, 0.25, &mut ChaCha8Rng::seed_from_u64(1));
        // The profile's light at the centre is one: 1000 electrons there, a quarter of that as variance.
        let (mut sum, mut squares) = (0.0, 0.0);
        let mut expected = 0.0;
        for star in &stars {
            let place = (star.y.round() as usize, star.x.round() as usize);
            let distance = (place.1 as f64 - star.x).hypot(place.0 as f64 - star.y);
            let light = 1000.0 * profile.light(distance);
            let deviation = f64::from(image.data[place]) - light;
            assert!((f64::from(image.variance[place]) - 1.0 - light / 4.0).abs() < 0.1);
            sum += deviation;
            squares += deviation * deviation;
            expected += light / 4.0;
        }
        let count = stars.len() as f64;
        assert!((squares / expected - 1.0).abs() < 0.3, "{squares} {expected}");
        assert!((sum / count).abs() < 3.0 * (expected / count / count).sqrt());
    }
}
