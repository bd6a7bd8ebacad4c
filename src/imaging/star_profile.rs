//! How a star's light falls off on one image: measured from its own stars, or a Moffat profile where there are too few.

use super::{CalibratedImage, background::Background, planes::Planes};
use crate::model::{Source, SourceFlags};

/// Stars used, and how bright they must be.
const MOST_STARS: usize = 60;
const FEWEST_STARS: usize = 5;
const SIGNAL_TO_NOISE: f64 = 50.0;
/// Widths about the median that are stars.
const STELLAR_WIDTHS: std::ops::RangeInclusive<f64> = 0.8..=1.25;
/// Width of a ring, pixels.
const RING_PIXELS: f64 = 0.25;

/// A profile needs this many rings, a pixel and a half.
const FEWEST_RINGS: usize = 6;
/// Of the Moffat profiles fitted for the full width; the last is next to a Gaussian.
const MOFFAT_EXPONENTS: (f64, f64) = (1.5, 50.0);

/// Light of a star at a distance from its centre, on one pixel, relative to its light in the aperture.
#[derive(Debug, Clone, PartialEq)]
pub struct StarProfile {
    /// Medians at the middles of the rings; empty: the Moffat profile.
    rings: Vec<f64>,
    /// Square of the core radius of the Moffat profile of index 3.
    core_square: f64,
}

impl StarProfile {
    /// A Moffat profile of index 3 and this full width at half maximum.
    pub fn moffat(fwhm_pixels: f64) -> Self {
        // Half the light's height at half the width.
        let core_square = fwhm_pixels.max(0.5).powi(2) / (4.0 * (2_f64.cbrt() - 1.0));
        Self { rings: Vec::new(), core_square }
    }

    /// The profile of the image's bright, lone, whole stars out to `radius_pixels` (and the reach of a pixel); fluxes of `sources` are in
    /// an aperture of that radius.
    pub fn measure(
        image: &CalibratedImage,
        background: &Background,
        sources: &[Source],
        radius_pixels: f64,
        fwhm_pixels: f64,
    ) -> Self {
        let moffat = Self::moffat(fwhm_pixels);
        let Some(planes) = Planes::new(image, background) else { return moffat };
        let stars: Vec<&Source> = sources
            .iter()
            .filter(|source| {
                source.flags == SourceFlags::default()
                    && source.signal_to_noise() > SIGNAL_TO_NOISE
                    && STELLAR_WIDTHS.contains(&(source.fwhm_pixels / fwhm_pixels))
            })
            .take(MOST_STARS)
            .collect();
        if stars.len() < FEWEST_STARS {
            return moffat;
        }
        let stars: Vec<StarLight> = stars
            .iter()
            .map(|star| StarLight { x: star.x, y: star.y, electrons: star.flux_electrons })
            .collect();
        let rings: Vec<f64> = rings(&planes, &stars, radius_pixels + 1.0)
            .into_iter()
            .map_while(|light| light)
            .collect();
        if (rings.len() as f64) * RING_PIXELS < radius_pixels {
            return moffat;
        }
        Self { rings, ..moffat }
    }

    /// Relative light at `distance` pixels from the centre; interpolated between the rings.
    pub fn light(&self, distance: f64) -> f64 {
        let place = (distance / RING_PIXELS - 0.5).max(0.0);
        let index = place as usize;
        match (self.rings.get(index), self.rings.get(index + 1)) {
            (Some(inner), Some(outer)) => {
                (inner + (place - index as f64) * (outer - inner)).max(0.0)
            }
            (Some(last), None) => last.max(0.0),
            (None, _) if self.rings.is_empty() => {
                (1.0 + distance * distance / self.core_square).powi(-3)
            }
            (None, _) => 0.0,
        }
    }
}

/// Where a star is, and its light.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct StarLight {
    pub x: f64,
    pub y: f64,
    /// In the same aperture for all.
    pub electrons: f64,
}

/// Medians of the stars' light on a pixel, in rings of a quarter of a pixel, out to `reach` pixels; each star's relative to its
/// `electrons`. `None` for a ring without a pixel.
fn rings(planes: &Planes<'_>, stars: &[StarLight], reach: f64) -> Vec<Option<f64>> {
    let count = (reach / RING_PIXELS).ceil() as usize + 1;
    let mut samples: Vec<Vec<f64>> = vec![Vec::new(); count];
    for star in stars {
        let (rows, columns) = planes.window(star.x, star.y, reach);
        for row in rows {
            for column in columns.clone() {
                let distance = (column as f64 - star.x).hypot(row as f64 - star.y);
                let pixel = planes.pixel(row, column);
                if let Some(ring) = samples.get_mut((distance / RING_PIXELS) as usize)
                    && pixel.usable
                {
                    ring.push(pixel.signal / star.electrons);
                }
            }
        }
    }
    samples.into_iter().map(median).collect()
}

/// Full width at half maximum of the stars, pixels, from a Moffat profile (Moffat 1969) fitted to their light in rings out to
/// `reach` pixels; the pixel's own width is part of it, as in every figure that is read from an image. `None` with fewer than five
/// stars, or when the light does not fall off.
pub(super) fn full_width(planes: &Planes<'_>, stars: &[StarLight], reach: f64) -> Option<f64> {
    moffat_of(planes, stars, reach).map(|(width, _)| width)
}

/// The same with the profile's index.
pub(super) fn moffat_of(
    planes: &Planes<'_>,
    stars: &[StarLight],
    reach: f64,
) -> Option<(f64, f64)> {
    let stars = &stars[..stars.len().min(MOST_STARS)];
    if stars.len() < FEWEST_STARS {
        return None;
    }
    let lights: Vec<(f64, f64)> = rings(planes, stars, reach)
        .into_iter()
        .enumerate()
        .filter_map(|(index, light)| Some(((index as f64 + 0.5) * RING_PIXELS, light?)))
        .collect();
    moffat_through(&lights, reach)
}

/// Full width and index through light at distances in pixels. `None` for too few distances, and for light that does not fall off.
fn moffat_through(lights: &[(f64, f64)], reach: f64) -> Option<(f64, f64)> {
    if lights.len() < FEWEST_RINGS {
        return None;
    }
    let best_width = |log_exponent: f64| {
        let exponent = log_exponent.exp();
        golden_section(|width| moffat_misfit(lights, width, exponent), 0.5, 2.0 * reach)
    };
    let (low, high) = MOFFAT_EXPONENTS;
    let log_exponent = golden_section(
        |log_exponent| moffat_misfit(lights, best_width(log_exponent), log_exponent.exp()),
        low.ln(),
        high.ln(),
    );
    let width = best_width(log_exponent);
    (width.is_finite() && width < 1.9 * reach).then_some((width, log_exponent.exp()))
}

/// Weighted sum of the squares that the best height leaves, for a Moffat profile of this full width and exponent. A ring counts as
/// its pixels do: by its circumference.
fn moffat_misfit(lights: &[(f64, f64)], full_width: f64, exponent: f64) -> f64 {
    let core_square = full_width.powi(2) / (4.0 * (2_f64.powf(1.0 / exponent) - 1.0));
    let (mut model_square, mut cross, mut light_square) = (0.0, 0.0, 0.0);
    for &(radius, light) in lights {
        let model = (1.0 + radius * radius / core_square).powf(-exponent);
        model_square += radius * model * model;
        cross += radius * model * light;
        light_square += radius * light * light;
    }
    if model_square > 0.0 { light_square - cross * cross / model_square } else { f64::INFINITY }
}

/// Each takes 0.618 of what the one before it left.
const GOLDEN_STEPS: usize = 20;

/// Where `function`, with one minimum between `low` and `high`, is least; to a ten-thousandth of the
/// interval.
fn golden_section(function: impl Fn(f64) -> f64, low: f64, high: f64) -> f64 {
    let share = (5_f64.sqrt() - 1.0) / 2.0;
    let (mut low, mut high) = (low, high);
    for _ in 0..GOLDEN_STEPS {
        let step = share * (high - low);
        if function(high - step) < function(low + step) {
            high = low + step;
        } else {
            low = high - step;
        }
    }
    (low + high) / 2.0
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imaging::{
        background,
        detection::{DetectionParameters, detect},
        synthetic::{frame, scattered},
    };

    #[test]
    fn the_measured_profile_is_that_of_the_stars() {
        let stars = scattered(40, (300, 300), 20.0, 30_000.0, 200_000.0, 11);
        let image = frame((300, 300), &stars, 3.0, 100.0, 0.0, 5);
        let background = background::estimate(&image.data, &image.mask, 50);
        let found = detect(&image, &background, &DetectionParameters::default());
        let fwhm = found.stellar_fwhm_pixels.unwrap();
        // Through square pixels (scipy's integral) a width of 3 becomes 3.119.
        assert!((fwhm / 3.119 - 1.0).abs() < 0.01, "{fwhm}");
        let radius = found.aperture_radius_pixels;
        let measured = StarProfile::measure(&image, &background, &found.sources, radius, fwhm);
        assert!(!measured.rings.is_empty());
        // The stars are Moffat profiles of index 3 and of a width of 3 pixels: the fall-off is theirs.
        let truth = StarProfile::moffat(3.0);
        for distance in [0.5, 1.0, 1.5, 2.0, 2.5] {
            let ratio = (measured.light(distance) / measured.light(0.25))
                / (truth.light(distance) / truth.light(0.25));
            assert!((0.85..1.15).contains(&ratio), "{distance}: {ratio}");
        }
    }

    /// Light falling off as another profile than the fitted ones, or too little of it.
    #[test]
    fn the_full_width_is_that_of_the_profile() {
        for (exponent, width) in [(2.2, 2.6), (3.5, 4.2), (1e3, 3.0), (4.7, 6.5)] {
            let core_square = width * width / (4.0 * (2_f64.powf(1.0 / exponent) - 1.0));
            let lights: Vec<(f64, f64)> = (0..(6.0 * width) as usize)
                .map(|index| (index as f64 + 0.5) * RING_PIXELS)
                .map(|radius| (radius, (1.0 + radius * radius / core_square).powf(-exponent)))
                .collect();
            let (best, _) = moffat_through(&lights, 1.5 * width).unwrap();
            assert!((best / width - 1.0).abs() < 0.015, "{best} for {width}, index {exponent}");
        }
        let flat: Vec<(f64, f64)> = (0..20).map(|index| (f64::from(index) + 0.5, 1.0)).collect();
        assert_eq!(moffat_through(&flat, 5.0), None);
        assert_eq!(moffat_through(&flat[..3], 5.0), None);
    }

    #[test]
    fn without_stars_it_is_a_moffat_profile() {
        let image = frame((64, 64), &[], 3.0, 100.0, 0.0, 5);
        let background = background::estimate(&image.data, &image.mask, 32);
        let profile = StarProfile::measure(&image, &background, &[], 3.0, 3.0);
        assert!((profile.light(1.5) / profile.light(0.0) - 0.5).abs() < 1e-12);
    }
}
