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
        let reach = radius_pixels + 1.0;
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
                        ring.push(pixel.signal / star.flux_electrons);
                    }
                }
            }
        }
        let rings: Vec<f64> = samples.into_iter().map_while(median).collect();
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

    #[test]
    fn without_stars_it_is_a_moffat_profile() {
        let image = frame((64, 64), &[], 3.0, 100.0, 0.0, 5);
        let background = background::estimate(&image.data, &image.mask, 32);
        let profile = StarProfile::measure(&image, &background, &[], 3.0, 3.0);
        assert!((profile.light(1.5) / profile.light(0.0) - 0.5).abs() < 1e-12);
    }
}
