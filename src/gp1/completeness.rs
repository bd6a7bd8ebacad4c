//! How complete and how pure the list of a deadline is, measured on its own images: artificial stars are looked for as real sources
//! are, and in the image upside down nothing may be found.

use super::analysis::{StackView, rules};
use super::findstars::{StarField, find_stars};
use super::frame_scale::FieldCatalogue;
use super::frame_steps::StepContext;
use super::settings::FindstarsParameters;
use super::tracks::{FieldSources, unexplained_sources};
use crate::imaging::{
    CalibratedImage,
    injection::{InjectedStar, inject, places},
    star_profile::StarProfile,
};
use crate::model::{InjectionStep, InjectionStudy, Source, SourceFlags};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// Stars put into an image, if there is room.
const STARS: usize = 600;
/// Width of a step, magnitudes; and steps brighter and fainter than the one at ten sigma.
const STEP_MAGNITUDES: f64 = 0.25;
const BRIGHTER_STEPS: usize = 5;
const FAINTER_STEPS: usize = 4;
/// A star is found where a source stands nearer than this share of the full width, and no less than a pixel.
const MATCH_WIDTHS: f64 = 0.5;

/// The study of a stack. `None` without a zero point, a limit or the width of its stars. What it gives depends on the stack and `seed` alone.
pub(super) fn study(
    context: StepContext<'_>,
    view: &StackView<'_>,
    catalogue: Option<FieldCatalogue<'_>>,
    seed: u64,
) -> Option<InjectionStudy> {
    let detections = &view.field.detections;
    let fwhm = detections.stellar_fwhm_pixels?;
    let limit = view.limit()?;
    let reference = &view.stack.reference;
    let (zero_point, _) = view.zero_point();
    let profile = StarProfile::measure(
        &view.image,
        &view.field.background,
        &detections.sources,
        detections.aperture_radius_pixels,
        fwhm,
    );
    let start = ((seed % 997) as f64 / 997.0, (seed / 997 % 991) as f64 / 991.0);
    let places = places(&view.image, fwhm, STARS, start);
    let steps = BRIGHTER_STEPS + 1 + FAINTER_STEPS;
    let brightest = limit - STEP_MAGNITUDES * (BRIGHTER_STEPS as f64 + 0.5);
    // Evenly over the steps, and over each of them.
    let magnitude_of = |index: usize| {
        let within = (index / steps) as f64 * 0.618_033_988_749_895;
        brightest + STEP_MAGNITUDES * ((index % steps) as f64 + within.fract())
    };
    let stars: Vec<InjectedStar> = places
        .into_iter()
        .enumerate()
        .map(|(index, (x, y))| {
            let rate = 10f64.powf(0.4 * (zero_point - magnitude_of(index)));
            InjectedStar { x, y, electrons: reference.exposure_seconds * rate }
        })
        .collect();
    let share = reference.exposure_seconds / view.stack.exposure_seconds.max(f64::MIN_POSITIVE);
    let mut image = view.image.clone();
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    inject(&mut image, &profile, fwhm, &stars, share, &mut random);
    let found = listed(context, view, &image, catalogue);
    let reach = (MATCH_WIDTHS * fwhm).max(1.0);
    let mut table: Vec<InjectionStep> = (0..steps)
        .map(|step| {
            let brightest = brightest + STEP_MAGNITUDES * step as f64;
            InjectionStep {
                brightest,
                faintest: brightest + STEP_MAGNITUDES,
                injected: 0,
                listed: 0,
            }
        })
        .collect();
    for (index, star) in stars.iter().enumerate() {
        let is_listed =
            found.iter().any(|source| (source.x - star.x).hypot(source.y - star.y) <= reach);
        if let Some(step) = table.get_mut(index % steps) {
            step.injected += 1;
            step.listed += usize::from(is_listed);
        }
    }
    // Light for darkness, the sky where it was.
    image.clone_from(&view.image);
    image.data.mapv_inplace(|value| -value);
    let negative = find_stars(&image, &quick(context));
    let flawed = SourceFlags::SATURATED | SourceFlags::MASKED | SourceFlags::TRUNCATED;
    let from_nothing = negative.detections.sources.iter().filter(|source| {
        source.signal_to_noise() >= view.least_signal_to_noise() && !source.flags.has(flawed)
    });
    Some(InjectionStudy {
        filter: view.stack.filter.clone(),
        image: view.name.clone(),
        limiting_magnitude: limit,
        at_ten_sigma: table.get(BRIGHTER_STEPS).and_then(InjectionStep::share),
        half_magnitude: half(&table),
        false_detections: from_nothing.count(),
        steps: table,
    })
}

/// Settings that leave out what a list does not need.
fn quick(context: StepContext<'_>) -> FindstarsParameters {
    FindstarsParameters { psf_photometry: false, spread_model: false, ..context.settings.findstars }
}

/// The sources of an image that would be candidates.
fn listed(
    context: StepContext<'_>,
    view: &StackView<'_>,
    image: &CalibratedImage,
    catalogue: Option<FieldCatalogue<'_>>,
) -> Vec<Source> {
    let StarField { detections, .. } = find_stars(image, &quick(context));
    let fields = FieldSources { sources: &detections.sources, ..view.fields() };
    let objects = catalogue.unwrap_or_default().as_seen_by(view.scale());
    unexplained_sources(&fields, &objects, &rules(context))
        .into_iter()
        .filter_map(|(index, _)| detections.sources.get(index))
        .filter(|source| source.signal_to_noise() >= view.least_signal_to_noise())
        .cloned()
        .collect()
}

/// Where the share falls through one half, between the middles of steps.
fn half(steps: &[InjectionStep]) -> Option<f64> {
    let known: Vec<(f64, f64)> = steps
        .iter()
        .filter_map(|step| Some((0.5 * (step.brightest + step.faintest), step.share()?)))
        .collect();
    known.windows(2).find_map(|pair| match pair {
        [(bright, above), (faint, below)] if *above >= 0.5 && *below < 0.5 => {
            Some(bright + (faint - bright) * (above - 0.5) / (above - below))
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(index: usize, listed: usize) -> InjectionStep {
        let brightest = 20.0 + 0.25 * index as f64;
        InjectionStep { brightest, faintest: brightest + 0.25, injected: 20, listed }
    }

    #[test]
    fn half_is_between_the_steps_about_it() {
        let steps = [step(0, 20), step(1, 18), step(2, 12), step(3, 4), step(4, 0)];
        let magnitude = half(&steps).unwrap();
        assert!((magnitude - (20.625 + 0.25 * 0.1 / 0.4)).abs() < 1e-9, "{magnitude}");
        assert_eq!(half(&steps[..3]), None);
        assert_eq!(half(&[]), None);
    }
}
