//! The width of the stars of a frame, among galaxies, blends and cosmic rays.

use super::{planes::Planes, statistics};

/// What is asked of a source before it may say how wide a star is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct WidthSample {
    /// Of the circle that holds half of its light, pixels.
    pub half_light_diameter: f64,
    pub signal_to_noise: f64,
    /// Saturated, blended, truncated or masked.
    pub flagged: bool,
    /// Semi-major over semi-minor axis.
    pub elongation: f64,
    /// No telescope makes an image as sharp: see [`is_sharp`].
    pub sharp: bool,
}

const LEAST_SIGNAL_TO_NOISE: f64 = 20.0;
const MOST_ELONGATED: f64 = 1.6;
const FEWEST_STARS: usize = 3;
/// Stars lie within this share of the densest width.
const LOCUS_HALF_WIDTH: f64 = 0.2;
/// Least brightness, relative to the peak, of the neighbours on both sides of it in any of the four directions. A
/// Gaussian of a full width of 1.8 pixels has 0.18 on the diagonals, in the worst position; a cosmic ray has next to
/// nothing across its track.
const LEAST_SHOULDER: f64 = 0.12;

/// Is the peak at (`column`, `row`) sharper than a star of a full width of 1.8 pixels can be? Cosmic rays and hot pixels
/// are. The side pixels are taken in pairs, as a star between two pixels has one bright and one faint side.
pub(super) fn is_sharp(planes: &Planes<'_>, row: usize, column: usize) -> bool {
    let light = |dy: i64, dx: i64| -> Option<f64> {
        let row = usize::try_from(row as i64 + dy).ok().filter(|&row| row < planes.height)?;
        let column =
            usize::try_from(column as i64 + dx).ok().filter(|&column| column < planes.width)?;
        let pixel = planes.pixel(row, column);
        pixel.usable.then_some(pixel.signal)
    };
    let Some(peak) = light(0, 0).filter(|&peak| peak > 0.0) else {
        return false;
    };
    [(0, 1), (1, 0), (1, 1), (1, -1)].iter().any(|&(dy, dx)| {
        match (light(dy, dx), light(-dy, -dx)) {
            (Some(one), Some(other)) => (one + other) / 2.0 < LEAST_SHOULDER * peak,
            _ => false,
        }
    })
}

/// The stars among the sources, and how wide they are.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct StarLocus {
    /// Median diameter of the circle that holds half of a star's light, pixels.
    pub half_light_diameter: f64,
    /// Places of the stars among the samples.
    pub stars: Vec<usize>,
}

/// The densest width among compact, unflagged sources with S/N > 20 (the half-sample mode of Robertson & Cryer 1974), then those
/// within a fifth of it and their median. Stars share one width whatever their brightness, galaxies do not, and what is sharper
/// than the optics does not count. `None` with fewer than three.
pub(super) fn star_locus(samples: &[WidthSample]) -> Option<StarLocus> {
    let mut widths: Vec<(f64, usize)> = samples
        .iter()
        .enumerate()
        .filter(|(_, sample)| {
            !sample.flagged
                && !sample.sharp
                && sample.signal_to_noise > LEAST_SIGNAL_TO_NOISE
                && sample.elongation < MOST_ELONGATED
                && sample.half_light_diameter.is_finite()
                && sample.half_light_diameter > 0.0
        })
        .map(|(index, sample)| (sample.half_light_diameter, index))
        .collect();
    if widths.len() < FEWEST_STARS {
        return None;
    }
    widths.sort_by(|one, other| one.0.total_cmp(&other.0));
    let sorted: Vec<f64> = widths.iter().map(|pair| pair.0).collect();
    let mode = half_sample_mode(&sorted)?;
    widths.retain(|(width, _)| (width / mode - 1.0).abs() < LOCUS_HALF_WIDTH);
    if widths.len() < FEWEST_STARS {
        return None;
    }
    let locus: Vec<f64> = widths.iter().map(|pair| pair.0).collect();
    let half_light_diameter = statistics::median_and_deviation(&locus)?.0;
    let mut stars: Vec<usize> = widths.into_iter().map(|pair| pair.1).collect();
    stars.sort_unstable();
    Some(StarLocus { half_light_diameter, stars })
}

/// Repeatedly the half of the sorted sample with the smallest ratio of its ends.
fn half_sample_mode(sorted: &[f64]) -> Option<f64> {
    let mut sample = sorted;
    while sample.len() > 3 {
        let half = sample.len().div_ceil(2);
        let best = (0..=sample.len() - half).min_by(|&a, &b| {
            let ratio = |start: usize| sample[start + half - 1] / sample[start];
            ratio(a).total_cmp(&ratio(b))
        })?;
        sample = &sample[best..best + half];
    }
    statistics::median_and_deviation(sample).map(|pair| pair.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imaging::{
        CalibratedImage, Image, Mask,
        background::Background,
        synthetic::{Generator, Star, add_stars},
    };

    fn sample(half_light_diameter: f64) -> WidthSample {
        WidthSample {
            half_light_diameter,
            signal_to_noise: 50.0,
            flagged: false,
            elongation: 1.1,
            sharp: false,
        }
    }

    #[test]
    fn galaxies_and_blends_do_not_shift_it() {
        let mut generator = Generator::new(5);
        let mut samples: Vec<WidthSample> =
            (0..40).map(|_| sample(3.2 + 0.1 * generator.normal())).collect();
        samples.extend((0..50).map(|_| sample(4.0 + 6.0 * generator.uniform())));
        samples.extend((0..100).map(|_| WidthSample { sharp: true, ..sample(1.1) }));
        samples.extend((0..100).map(|_| WidthSample { signal_to_noise: 5.0, ..sample(2.0) }));
        let locus = star_locus(&samples).unwrap();
        let width = locus.half_light_diameter;
        assert!((width - 3.2).abs() < 0.1, "{width}");
        let first_galaxy = 40;
        assert!(
            locus.stars.iter().filter(|&&place| place < first_galaxy).count() > 35,
            "{locus:?}"
        );
    }

    #[test]
    fn three_stars_are_needed() {
        let width = |widths: &[f64]| {
            let samples: Vec<WidthSample> = widths.iter().map(|&width| sample(width)).collect();
            star_locus(&samples).map(|locus| locus.half_light_diameter)
        };
        assert_eq!(width(&[]), None);
        assert_eq!(width(&[3.0, 3.0]), None);
        assert_eq!(width(&[3.0, 3.1, 2.9]), Some(3.0));
        assert_eq!(width(&[3.0, 6.1, f64::NAN, 12.0]), None);
    }

    #[test]
    fn stars_are_not_sharp_and_cosmic_rays_are() {
        let shape = (31, 31);
        let background = Background {
            level: Image::zeros(shape).into(),
            noise: Image::ones(shape).into(),
            global_level: 0.0,
            global_noise: 1.0,
        };
        for fwhm in [1.8, 2.5, 4.0] {
            for shift in [0.0, 0.25, 0.49] {
                let mut light = ndarray::Array2::zeros(shape);
                add_stars(
                    &mut light,
                    &[Star { x: 15.0 + shift, y: 15.0 - shift, flux: 1e4 }],
                    fwhm,
                    15,
                );
                let image = CalibratedImage {
                    data: light.mapv(|value| value as f32),
                    variance: Image::ones(shape),
                    mask: Mask::zeros(shape),
                };
                let planes = Planes::new(&image, &background).unwrap();
                assert!(!is_sharp(&planes, 15, 15), "{fwhm} {shift}");
            }
        }
        let track =
            [(15, 15, 900.0), (16, 16, 700.0), (16, 15, 300.0), (17, 17, 400.0), (14, 14, 500.0)];
        for pixels in [&track[..1], &track[..2], &track[..]] {
            let mut data = Image::zeros(shape);
            for &(row, column, electrons) in pixels {
                data[[row, column]] = electrons;
            }
            let image =
                CalibratedImage { data, variance: Image::ones(shape), mask: Mask::zeros(shape) };
            let planes = Planes::new(&image, &background).unwrap();
            assert!(is_sharp(&planes, 15, 15));
            assert!(!is_sharp(&planes, 0, 0));
        }
    }
}
