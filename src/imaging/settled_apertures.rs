//! The aperture of a frame, settled when its sources are known.
//!
//! The diameter of half of a star's light is a good radius for stars that stand alone. Where they do not, neighbours leak into it as the seeing changes; there
//! the radius is the full width at half maximum. Light under masked pixels is put back by the profile of the frame's stars.

use super::{
    CalibratedImage,
    aperture::{measure_in, measure_star},
    background::Background,
    bands,
    detection::Detections,
    planes::Planes,
    star_profile::StarProfile,
};
use crate::model::{Source, SourceFlags};

/// Sources as bright as this tell whether a field is crowded, if they are as many.
const LEAST_SIGNAL_TO_NOISE: f64 = 20.0;
const FEWEST_SOURCES: usize = 20;
/// A field is crowded where more of them have neighbours.
const CROWDED_SHARE: f64 = 1.0 / 3.0;
const SMALLEST_RADIUS: f64 = 2.0;
/// A source as wide as this many stars has not their profile.
const WIDEST_STAR: f64 = 1.5;

/// Measures again what the first aperture did not suit. With `is_radius_given` the radius stays. The sources stay in order of brightness.
pub fn settle(
    image: &CalibratedImage,
    background: &Background,
    detections: &mut Detections,
    is_radius_given: bool,
) {
    let Some(planes) = Planes::new(image, background) else { return };
    let Some(fwhm) = detections.stellar_fwhm_pixels else { return };
    let radius = match is_crowded(&detections.sources) && !is_radius_given {
        true => fwhm.max(SMALLEST_RADIUS).min(detections.aperture_radius_pixels),
        false => detections.aperture_radius_pixels,
    };
    if radius < detections.aperture_radius_pixels {
        let fluxes = bands::map(&detections.sources, |source| {
            measure_in(&planes, source.x, source.y, radius)
        });
        for (source, sum) in detections.sources.iter_mut().zip(fluxes) {
            if let Some(sum) = sum {
                source.flux_electrons = sum.flux_electrons;
                source.flux_error_electrons = sum.flux_error_electrons;
            }
            source.aperture_radius_pixels = radius;
        }
        detections.aperture_radius_pixels = radius;
    }
    let is_cut = |source: &Source| {
        source.flags.has(SourceFlags::MASKED) && source.fwhm_pixels < WIDEST_STAR * fwhm
    };
    if detections.sources.iter().any(is_cut) {
        let profile = StarProfile::measure(image, background, &detections.sources, radius, fwhm);
        let fluxes = bands::map(&detections.sources, |source| {
            is_cut(source)
                .then(|| measure_star(image, background, (source.x, source.y), radius, &profile))
                .flatten()
        });
        for (source, sum) in detections.sources.iter_mut().zip(fluxes) {
            if let Some(sum) = sum {
                source.flux_electrons = sum.flux_electrons;
                source.flux_error_electrons = sum.flux_error_electrons;
            }
        }
    }
    detections.sources.sort_by(|a, b| {
        b.flux_electrons
            .total_cmp(&a.flux_electrons)
            .then(a.y.total_cmp(&b.y))
            .then(a.x.total_cmp(&b.x))
    });
}

fn is_crowded(sources: &[Source]) -> bool {
    let bright =
        || sources.iter().filter(|source| source.signal_to_noise() >= LEAST_SIGNAL_TO_NOISE);
    let count = bright().count();
    let disturbed = SourceFlags::BLENDED | SourceFlags::CROWDED;
    let neighbours = bright().filter(|source| source.flags.has(disturbed)).count();
    count >= FEWEST_SOURCES && neighbours as f64 > CROWDED_SHARE * count as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imaging::{
        background,
        detection::detect,
        mask_bits,
        synthetic::{Star, frame, scattered},
    };

    fn settled(image: &CalibratedImage, is_radius_given: bool) -> (Detections, Detections) {
        let background = background::estimate(&image.data, &image.mask, 64);
        let before = detect(image, &background, &Default::default());
        let mut after = before.clone();
        settle(image, &background, &mut after, is_radius_given);
        (before, after)
    }

    #[test]
    fn the_aperture_is_smaller_in_a_crowd_only() {
        let lone =
            frame((400, 400), &scattered(40, (400, 400), 20.0, 2e3, 2e5, 3), 3.0, 200.0, 0.0, 4);
        let (before, after) = settled(&lone, false);
        assert_eq!(before, after);
        let crowd =
            frame((400, 400), &scattered(900, (400, 400), 5.0, 3e3, 2e5, 3), 3.0, 200.0, 0.0, 4);
        let (before, after) = settled(&crowd, false);
        assert_eq!(Some(after.aperture_radius_pixels), after.stellar_fwhm_pixels);
        assert!(after.aperture_radius_pixels < before.aperture_radius_pixels);
        let radius = after.aperture_radius_pixels;
        assert!(after.sources.iter().all(|source| source.aperture_radius_pixels == radius));
        let (before, after) = settled(&crowd, true);
        assert_eq!(before.aperture_radius_pixels, after.aperture_radius_pixels);
    }

    #[test]
    fn light_under_masked_pixels_comes_back() {
        let stars: Vec<Star> = (0..16)
            .map(|index| Star {
                x: 30.0 + 60.0 * f64::from(index % 4) + 0.1 * f64::from(index),
                y: 30.0 + 60.0 * f64::from(index / 4),
                flux: 1e5,
            })
            .collect();
        let mut image = frame((240, 240), &stars, 3.0, 200.0, 0.0, 4);
        // One pixel beside the middle of the first star.
        image.mask[[31, 30]] = mask_bits::BAD;
        let (before, after) = settled(&image, false);
        let of = |found: &Detections| {
            let first =
                found.sources.iter().find(|each| (each.x - 30.0).hypot(each.y - 30.0) < 2.0);
            let others: Vec<f64> = found
                .sources
                .iter()
                .filter(|each| each.flags.0 == 0 && each.flux_electrons > 1e4)
                .map(|each| each.flux_electrons)
                .collect();
            first.unwrap().flux_electrons / (others.iter().sum::<f64>() / others.len() as f64)
        };
        assert!(of(&before) < 0.97, "{}", of(&before));
        // The profile is known to a tenth, on the pixels that are put back.
        assert!((of(&after) - 1.0).abs() < 0.015, "{}", of(&after));
    }
}
