//! What the stacks of a deadline have that a template has not: sources to look at, and for every place how much has changed there.

use super::analysis::StackView;
use super::frame_steps::StepContext;
use super::subtraction::{difference_to, set_cards};
use super::template::{self, Template};
use super::tracks::{StackPlace, Track, TrackRules};
use crate::fits::Header;
use crate::imaging::{difference_sources::DifferenceSource, subtraction::Difference};
use crate::model::SkyPosition;

/// A star that was subtracted out of place leaves as much darkness as light; a new source none.
const LARGEST_OPPOSITE_SHARE: f64 = 0.5;
/// Rise of the middle over that of a star: a particle's hit is above, the rest of a galaxy below.
const SHARPNESS: std::ops::RangeInclusive<f64> = 0.5..=1.8;
const LARGEST_MASKED_SHARE: f64 = 0.2;
/// Least change of a star that was there before, as a share of its light: what a kernel leaves of a bright one is below.
const LEAST_CHANGE: f64 = 0.1;

/// A stack less a template.
pub(super) struct StackDifference {
    /// Name of the template.
    pub template: String,
    /// What a file of it says: that of the stack, and how the difference was made.
    pub header: Header,
    pub difference: Difference,
    /// The most significant first.
    pub sources: Vec<DifferenceSource>,
}

/// The difference of a stack to the first template that fits; `None` where that step is not wanted, or the settings name no place of templates. The error says why there is none.
pub(super) fn stack_difference(
    context: StepContext<'_>,
    view: &StackView<'_>,
) -> Option<Result<StackDifference, String>> {
    if !context.settings.steps.subtraction {
        return None;
    }
    let settings = &context.settings.subtraction;
    let place = settings.template.as_deref()?;
    let reference = &view.stack.reference;
    let header = view.stack.header();
    let paths = match template::candidates(context.store, place, &header, reference.shape) {
        Ok(paths) => paths,
        Err(error) => return Some(Err(error.to_string())),
    };
    let mut refusal = format!("no template of filter {} for {}", view.stack.filter, view.name);
    for path in paths {
        let made = Template::read(context.store, &path)
            .map_err(|error| error.to_string())
            .and_then(|template| {
                let wcs = reference.is_absolute.then_some(&reference.wcs);
                let (difference, found) = difference_to(&view.image, wcs, &template, settings)?;
                let mut header = header.clone();
                set_cards(&mut header, &template, &difference, &found);
                let (template, sources) = (template.name, found.sources);
                Ok(StackDifference { template, header, difference, sources })
            });
        match made {
            Ok(made) => return Some(Ok(made)),
            Err(error) => refusal = error,
        }
    }
    Some(Err(refusal))
}

impl StackDifference {
    /// Standard deviations by which a place has changed, the largest within a pixel of it; `None` where nothing is known of it.
    pub fn significance_at(&self, view: &StackView<'_>, position: SkyPosition) -> Option<f64> {
        let (x, y) = view.stack.reference.wcs.sky_to_pixel(position).ok()?;
        if !(x > -0.5 && y > -0.5) {
            return None;
        }
        let (column, row) = (x.round() as usize, y.round() as usize);
        if self.difference.image.mask.get((row, column))? & !BRIGHT != 0 {
            return None;
        }
        let around = (row.saturating_sub(1)..=row + 1).flat_map(|row| {
            (column.saturating_sub(1)..=column + 1).map(move |column| (row, column))
        });
        around
            .filter_map(|place| self.difference.significance.get(place))
            .map(|value| f64::from(*value))
            .max_by(|one, other| one.abs().total_cmp(&other.abs()))
    }

    /// Sources that have appeared or brightened where no track is: also those upon a catalogued object, as in a galaxy.
    pub fn tracks(&self, view: &StackView<'_>, known: &[Track], rules: &TrackRules) -> Vec<Track> {
        let is_enough =
            |source: &&DifferenceSource| source.significance >= view.least_signal_to_noise();
        self.sources
            .iter()
            .filter(is_enough)
            .filter(|source| looks_like_a_star(source))
            .filter_map(|source| {
                let place = StackPlace {
                    x: source.x,
                    y: source.y,
                    error_pixels: source.position_error,
                    fwhm_pixels: self.difference.fwhm_pixels,
                    brighter_than: None,
                };
                Track::of_stack(place, &view.stack.reference, known, rules)
            })
            .collect()
    }
}

/// Mask bits with which a pixel still tells something.
const BRIGHT: u8 = crate::imaging::mask_bits::SATURATED | crate::imaging::mask_bits::BLEED;

fn looks_like_a_star(source: &DifferenceSource) -> bool {
    source.opposite_share < LARGEST_OPPOSITE_SHARE
        && SHARPNESS.contains(&source.sharpness)
        && source.masked_share < LARGEST_MASKED_SHARE
        && source.changed_share >= LEAST_CHANGE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn residuals_of_stars_particles_and_masked_places_are_no_sources() {
        let star = DifferenceSource {
            x: 1.0,
            y: 1.0,
            position_error: 0.1,
            significance: 20.0,
            flux_electrons: 1000.0,
            flux_error: 50.0,
            opposite_share: 0.1,
            sharpness: 1.0,
            masked_share: 0.0,
            masked_distance: None,
            changed_share: f64::INFINITY,
        };
        assert!(looks_like_a_star(&star));
        for flawed in [
            DifferenceSource { opposite_share: 0.9, ..star },
            DifferenceSource { sharpness: 3.0, ..star },
            DifferenceSource { sharpness: 0.2, ..star },
            DifferenceSource { masked_share: 0.5, ..star },
            DifferenceSource { changed_share: 0.02, ..star },
        ] {
            assert!(!looks_like_a_star(&flawed), "{flawed:?}");
        }
    }
}
