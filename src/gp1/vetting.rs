//! Why a candidate is what it is, and how much like a counterpart that makes it (interfaces.md §9).

use crate::model::{FadingFit, VettingReason};

/// χ² gained by fading that chance gives to the luckiest of some hundred constant sources.
const CHANCE_GAIN: f64 = 12.0;
/// χ² gain beyond chance at which fading counts half.
const HALF_GAIN: f64 = 60.0;
/// A gain from here on is called fading (5σ).
const FADING_GAIN: f64 = 25.0;
/// Decay indices of afterglows; what falls much faster is a particle or a flare on a star.
pub(super) const STEEPEST_INDEX: f64 = 3.0;
/// Index of their steepest rise, with time: that of a reverse shock is up to five, of others two or three.
pub(super) const STEEPEST_RISE: f64 = 4.0;
/// How well a power law must fit for its gain to be an explanation.
const GOOD_ENOUGH: f64 = 0.5;
/// χ² from which on frames that do not show a source exclude that it is one.
const EXCLUDING_CHI_SQUARE: f64 = 14.0;
const SHALLOWEST_INDEX: f64 = 0.15;
/// Relative width of a detection, compared with the stars of its frame.
const SHARP_RATIO: f64 = 0.7;
const WIDE_RATIO: f64 = 1.5;
/// Axis ratio from which a detection is a streak.
const STREAK_RATIO: f64 = 2.5;
/// From here on a place has changed since the template; and below here it has not.
const CHANGED_SIGMA: f64 = 5.0;
const UNCHANGED_SIGMA: f64 = 3.0;
/// A source of so many standard deviations would be told on the difference.
const TOLD_SIGNAL_TO_NOISE: f64 = 12.0;
/// Share of the score that comes from fading.
const FADING_SHARE: f64 = 0.85;

/// What frames that do not show a source say of it.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Contradiction {
    /// Of all of them together.
    pub chi_square: f64,
    /// That say so at three sigma.
    pub frames: usize,
}

/// What is known of a candidate.
#[derive(Debug, Clone, PartialEq)]
pub struct Evidence<'a> {
    pub fits: &'a [FadingFit],
    /// χ² of the best constant beyond its degrees of freedom, over all filters.
    pub constant_excess: f64,
    /// Points of the light curve with a detection.
    pub detection_count: usize,
    /// Frames on which a source of this brightness would have been seen.
    pub chances: usize,
    /// By how much the other frames exclude any afterglow, were there one on the frame that shows it best.
    pub contradiction: Contradiction,
    pub best_signal_to_noise: f64,
    /// Median over its detections of the width relative to the stars of the frame.
    pub relative_width: Option<f64>,
    /// Whether its detections together are extended, by their spread models.
    pub extended: bool,
    /// Largest axis ratio of its detections.
    pub axis_ratio: f64,
    pub near_edge: bool,
    /// Part of its light is off the frame, so that its place is not known.
    pub is_cut: bool,
    /// It stands beside a brighter source that is saturated.
    pub beside_saturated: bool,
    pub near_saturated: bool,
    pub near_masked: bool,
    /// Brightest magnitude beyond the faint limit of the catalogue.
    pub fainter_than_catalogue: bool,
    pub brighter_than_catalogue: bool,
    pub catalogue_available: bool,
    pub near_galaxy: bool,
    /// Standard deviations by which its place has changed since a template; `None` where there is none.
    pub change: Option<f64>,
    /// Most detections lie where a minor planet is predicted, within its error.
    pub on_minor_planet: bool,
    /// `None` where there is no search region: the whole frame counts.
    pub in_search_region: Option<bool>,
}

/// What is thought of a candidate.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// In a fixed order.
    pub reasons: Vec<VettingReason>,
    /// 0 to 1.
    pub score: f64,
    /// The reason for which it is no candidate.
    pub set_aside: Option<VettingReason>,
}

/// Reasons, score, and whether it is a candidate at all.
pub fn judge(evidence: &Evidence<'_>) -> Verdict {
    let mut reasons = Vec::new();
    reasons.push(match (evidence.catalogue_available, evidence.brighter_than_catalogue) {
        (false, _) => VettingReason::CatalogueUnavailable,
        (true, true) => VettingReason::BrighterThanCatalogue,
        (true, false) => VettingReason::NotInCatalogue,
    });

    let gain = |wanted: fn(&FadingFit) -> bool| -> f64 {
        evidence.fits.iter().filter(|fit| wanted(fit)).map(|fit| fit.chi_square_gain).sum()
    };
    let fading_gain = gain(|fit| fit.index > 0.0);
    let brightening_gain = gain(|fit| fit.index < 0.0);
    let seen_once = evidence.detection_count <= 1
        && (evidence.chances > 1 || evidence.contradiction.chi_square > EXCLUDING_CHI_SQUARE);
    let is_intermittent =
        !seen_once && evidence.contradiction.frames >= evidence.detection_count.max(2);
    let is_fading = !seen_once && fading_gain >= FADING_GAIN && fading_gain > brightening_gain;
    if seen_once {
        reasons.push(VettingReason::SeenOnce);
    } else if is_intermittent {
        reasons.push(VettingReason::Intermittent);
    } else if is_fading {
        reasons.push(VettingReason::Fading);
    } else if brightening_gain >= FADING_GAIN {
        reasons.push(VettingReason::Brightening);
    } else if !evidence.fits.is_empty() {
        reasons.push(VettingReason::Constant);
    }

    let mut factor = 1.0;
    let mut weigh = |holds: bool, reason: VettingReason, weight: f64| {
        if holds {
            reasons.push(reason);
            factor *= weight;
        }
    };
    let is_streak = evidence.axis_ratio > STREAK_RATIO;
    weigh(evidence.near_edge, VettingReason::NearEdge, 0.6);
    weigh(evidence.near_saturated, VettingReason::NearSaturated, 0.3);
    weigh(evidence.near_masked, VettingReason::NearMaskedPixels, 0.5);
    let width = evidence.relative_width;
    weigh(width.is_some_and(|width| width < SHARP_RATIO), VettingReason::SharperThanStars, 0.1);
    weigh(
        is_streak || evidence.extended || width.is_some_and(|width| width > WIDE_RATIO),
        VettingReason::WiderThanStars,
        if is_streak { 0.1 } else { 0.4 },
    );
    weigh(evidence.near_galaxy, VettingReason::NearGalaxy, 1.0);
    weigh(evidence.on_minor_planet, VettingReason::MinorPlanet, 0.05);
    let has_changed = evidence.change.is_some_and(|sigma| sigma >= CHANGED_SIGMA);
    // A source this bright would stand out of the difference, were it not on the template.
    let is_as_before = evidence.best_signal_to_noise >= TOLD_SIGNAL_TO_NOISE
        && evidence.change.is_some_and(|sigma| sigma.abs() < UNCHANGED_SIGMA);
    weigh(has_changed, VettingReason::InDifference, 1.0);
    weigh(is_as_before, VettingReason::InTemplate, 0.2);
    if evidence.fainter_than_catalogue {
        reasons.push(VettingReason::FainterThanCatalogueLimit);
    }
    reasons.push(match evidence.in_search_region {
        Some(false) => VettingReason::OutsideSearchRegion,
        Some(true) | None => VettingReason::InSearchRegion,
    });

    if seen_once || is_intermittent {
        factor *= 0.05;
    }
    let fading = fading_strength(evidence, fading_gain);
    // What is there at all: bright, absent from a catalogue that should have it, near a possible host.
    let signal = evidence.best_signal_to_noise.max(0.0);
    let mut presence = signal / (signal + 30.0);
    if evidence.fainter_than_catalogue {
        presence *= 0.05;
    }
    if evidence.near_galaxy {
        presence *= 1.2;
    }
    if has_changed {
        // No catalogue has to have it: it is new, or brighter than it was.
        presence = (2.0 * signal / (signal + 30.0)).max(presence);
    }
    // It varies, but not as an afterglow: worth a look, less than fading.
    let excess = (evidence.constant_excess.max(0.0) - fading_gain.max(0.0)).max(0.0);
    let varying = 0.2 * saturating(excess);
    let score = FADING_SHARE * fading.max(varying) + (1.0 - FADING_SHARE) * presence.min(1.0);
    let fades_well = is_fading
        && evidence.fits.iter().any(|fit| {
            fit.index > 0.0 && fit.chi_square_gain >= FADING_GAIN && good_fit(fit) >= GOOD_ENOUGH
        });
    let set_aside = match (seen_once, is_intermittent) {
        (true, _) => Some(VettingReason::SeenOnce),
        (_, true) => Some(VettingReason::Intermittent),
        _ => flaw(evidence, fades_well),
    };
    Verdict { reasons, score: (factor * score).clamp(0.0, 1.0), set_aside }
}

/// A flaw for which it is no candidate. What fades well has none: a particle's hit is on one frame, sharper than any star or a streak;
/// beside a saturated star stand its wings, spikes and bleeding; a source that the edge cuts, or makes wide, is somewhere else.
fn flaw(evidence: &Evidence<'_>, fades_well: bool) -> Option<VettingReason> {
    let is_single = evidence.detection_count <= 1;
    let is_wider = |ratio| evidence.relative_width.is_some_and(|width| width > ratio);
    if is_single && evidence.relative_width.is_some_and(|width| width < SHARP_RATIO) {
        Some(VettingReason::SharperThanStars)
    } else if is_single && evidence.axis_ratio > STREAK_RATIO {
        Some(VettingReason::WiderThanStars)
    } else if fades_well {
        None
    } else if evidence.beside_saturated {
        Some(VettingReason::NearSaturated)
    } else if evidence.is_cut || evidence.near_edge && is_wider(WIDE_RATIO) {
        Some(VettingReason::NearEdge)
    } else {
        None
    }
}

fn saturating(gain: f64) -> f64 {
    let beyond = (gain - CHANCE_GAIN).max(0.0);
    beyond / (beyond + HALF_GAIN)
}

/// How strongly the light curves fade like an afterglow, 0 to 1.
fn fading_strength(evidence: &Evidence<'_>, gain: f64) -> f64 {
    let total: f64 = evidence.fits.iter().map(|fit| fit.chi_square_gain.max(0.0)).sum();
    if total <= 0.0 || gain <= 0.0 {
        return 0.0;
    }
    let plausible: f64 = evidence
        .fits
        .iter()
        .filter(|fit| fit.index > 0.0)
        .map(|fit| {
            fit.chi_square_gain.max(0.0)
                * plausible_index(fit.index, fit.index_error)
                * good_fit(fit)
        })
        .sum::<f64>()
        / total;
    saturating(gain) * plausible
}

/// 1 for indices that afterglows have, falling to zero outside, with the benefit of two standard errors.
fn plausible_index(index: f64, error: f64) -> f64 {
    let error = if error.is_finite() { 2.0 * error } else { 0.0 };
    let beyond = (index - error - STEEPEST_INDEX).max(SHALLOWEST_INDEX - index - error).max(0.0);
    (1.0 - beyond / 1.5).clamp(0.02, 1.0)
}

/// A power law that does not fit explains little, however large the gain.
fn good_fit(fit: &FadingFit) -> f64 {
    if fit.point_count <= 2 {
        return 1.0;
    }
    1.0 / (1.0 + (fit.reduced_chi_square - 3.0).max(0.0) / 5.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fit(index: f64, gain: f64, points: usize) -> FadingFit {
        FadingFit {
            filter: "w".into(),
            magnitude_at_60_seconds: 16.0,
            index,
            index_error: 0.05,
            reduced_chi_square: 1.0,
            point_count: points,
            first_seconds: 150.0,
            last_seconds: 300.0,
            chi_square_gain: gain,
        }
    }

    fn evidence(fits: &[FadingFit]) -> Evidence<'_> {
        Evidence {
            fits,
            constant_excess: 0.0,
            detection_count: 3,
            chances: 3,
            contradiction: Contradiction::default(),
            best_signal_to_noise: 80.0,
            relative_width: Some(1.0),
            extended: false,
            axis_ratio: 1.1,
            near_edge: false,
            is_cut: false,
            beside_saturated: false,
            near_saturated: false,
            near_masked: false,
            fainter_than_catalogue: false,
            brighter_than_catalogue: false,
            catalogue_available: true,
            near_galaxy: false,
            change: None,
            on_minor_planet: false,
            in_search_region: Some(true),
        }
    }

    fn score(evidence: &Evidence<'_>) -> f64 {
        judge(evidence).score
    }

    #[test]
    fn the_fading_one_is_above_every_constant_one() {
        let fading = [fit(1.0, 150.0, 3)];
        let constant = [fit(0.05, 8.0, 3)];
        let mut bright = evidence(&constant);
        bright.best_signal_to_noise = 1000.0;
        bright.near_galaxy = true;
        let Verdict { reasons, score: value, set_aside } = judge(&evidence(&fading));
        assert_eq!(set_aside, None);
        assert!(reasons.contains(&VettingReason::Fading));
        assert!(value > 2.0 * score(&bright), "{value} {}", score(&bright));
        assert!(judge(&bright).reasons.contains(&VettingReason::Constant));
        let fainter = Evidence {
            best_signal_to_noise: 9.0,
            fainter_than_catalogue: true,
            ..evidence(&fading)
        };
        assert!(score(&fainter) > score(&bright));
    }

    #[test]
    fn particles_and_streaks_stay_low() {
        // A particle on the first frame alone, and one on a constant source: too steep a fall.
        let steep = [fit(5.5, 900.0, 2)];
        let fading = [fit(1.0, 150.0, 3)];
        assert!(score(&evidence(&steep)) < 0.4 * score(&evidence(&fading)));
        let once = Evidence { detection_count: 1, chances: 3, ..evidence(&fading) };
        assert!(score(&once) < 0.1 * score(&evidence(&fading)));
        assert!(judge(&once).reasons.contains(&VettingReason::SeenOnce));
        for flawed in [
            Evidence { relative_width: Some(0.4), ..evidence(&fading) },
            Evidence { axis_ratio: 6.0, ..evidence(&fading) },
            Evidence { extended: true, ..evidence(&fading) },
            Evidence { near_saturated: true, ..evidence(&fading) },
            Evidence { near_masked: true, ..evidence(&fading) },
            Evidence { near_edge: true, ..evidence(&fading) },
            Evidence { on_minor_planet: true, ..evidence(&fading) },
        ] {
            assert!(score(&flawed) < 0.7 * score(&evidence(&fading)), "{flawed:?}");
        }
    }

    #[test]
    fn a_single_frame_is_not_a_source_seen_once() {
        let single = Evidence { detection_count: 1, chances: 1, ..evidence(&[]) };
        let Verdict { reasons, score: value, .. } = judge(&single);
        assert!(!reasons.contains(&VettingReason::SeenOnce));
        assert!(value > 0.05 && value < 0.2, "{value}");
    }

    #[test]
    fn too_faint_for_the_catalogue_and_constant_is_next_to_nothing() {
        let constant = [fit(0.0, 1.0, 5)];
        let faint = Evidence { fainter_than_catalogue: true, ..evidence(&constant) };
        assert!(score(&faint) < 0.01);
        assert!(judge(&faint).reasons.contains(&VettingReason::FainterThanCatalogueLimit));
    }

    #[test]
    fn without_a_region_the_whole_frame_counts() {
        let reasons =
            |region| judge(&Evidence { in_search_region: region, ..evidence(&[]) }).reasons;
        assert!(reasons(None).contains(&VettingReason::InSearchRegion));
        assert!(reasons(Some(false)).contains(&VettingReason::OutsideSearchRegion));
    }

    #[test]
    fn what_is_no_source_is_set_aside_and_what_fades_never() {
        let fading = [fit(1.0, 150.0, 3)];
        let once = Evidence { detection_count: 1, chances: 1, ..evidence(&[]) };
        assert_eq!(judge(&once).set_aside, None);
        for (flawed, reason) in [
            (Evidence { chances: 3, ..once.clone() }, VettingReason::SeenOnce),
            (
                Evidence {
                    contradiction: Contradiction { chi_square: 20.0, frames: 1 },
                    ..once.clone()
                },
                VettingReason::SeenOnce,
            ),
            (
                Evidence { relative_width: Some(0.5), ..once.clone() },
                VettingReason::SharperThanStars,
            ),
            (Evidence { axis_ratio: 4.0, ..once }, VettingReason::WiderThanStars),
            (Evidence { beside_saturated: true, ..evidence(&[]) }, VettingReason::NearSaturated),
            (Evidence { is_cut: true, ..evidence(&[]) }, VettingReason::NearEdge),
            (
                Evidence { near_edge: true, relative_width: Some(1.8), ..evidence(&[]) },
                VettingReason::NearEdge,
            ),
            (
                Evidence {
                    contradiction: Contradiction { chi_square: 20.0, frames: 3 },
                    ..evidence(&[])
                },
                VettingReason::Intermittent,
            ),
        ] {
            assert_eq!(judge(&flawed).set_aside, Some(reason), "{flawed:?}");
            let seen_again = Evidence { detection_count: 4, fits: &fading, ..flawed };
            let poorly = [FadingFit { reduced_chi_square: 40.0, ..fading[0].clone() }];
            let fading_poorly = Evidence { fits: &poorly, ..seen_again.clone() };
            let is_of_place =
                matches!(reason, VettingReason::NearSaturated | VettingReason::NearEdge);
            assert_eq!(judge(&fading_poorly).set_aside.is_some(), is_of_place, "{reason:?}");
            assert_eq!(judge(&seen_again).set_aside, None, "{seen_again:?}");
        }
    }
}
