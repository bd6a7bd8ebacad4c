//! The order in which the searches for a solution are tried: what is usual and quick first.

use super::alignment::AffineTransform;
use super::astrometric_field::{Field, Reach, Trials};
use super::astrometry::{AstrometricSolution, AstrometryFailure, AstrometryParameters};
use super::{offset_vote, pair_vote, verification};
use std::f64::consts::PI;

/// A header that is nearly right: the limits of the quick looks.
const NEAR: Limits = Limits { offset_arcsec: 60.0, rotation_degrees: 0.5, scale: 0.005 };
/// One that is wrong as far as a telescope without a model of its errors is.
const NEARBY: Limits = Limits { offset_arcsec: 120.0, rotation_degrees: 1.0, scale: 0.02 };
/// How far the frame's pairs may miss, in radii of the match.
const PAIR_TOLERANCE: f64 = 2.0;
/// How many times larger than the frame the sky given is thought to be at most.
const MAXIMUM_AREA_RATIO: f64 = 8.0;

#[derive(Debug, Clone, Copy, PartialEq)]
struct Limits {
    offset_arcsec: f64,
    rotation_degrees: f64,
    scale: f64,
}

/// One way to look.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// By vote of shifts, about the nominal solution.
    Vote(Limits, offset_vote::Stage),
    /// By pairs, over all that is allowed: so many sources, and times so many catalogue objects for each of them that could be in
    /// the frame if both lists were equally deep.
    Pairs { sources: usize, depth: f64 },
}

/// Short lists first: they are quick and, with lists of like depth, enough. Trails, cosmic rays and catalogues of another depth
/// need longer ones.
const STEPS: [Step; 11] = [
    Step::Vote(NEAR, offset_vote::Stage { left: 40, right: 60 }),
    Step::Vote(NEAR, offset_vote::Stage { left: 40, right: 200 }),
    Step::Pairs { sources: 20, depth: 1.0 },
    Step::Pairs { sources: 30, depth: 1.5 },
    Step::Vote(NEARBY, offset_vote::Stage { left: 120, right: 200 }),
    Step::Vote(NEARBY, offset_vote::Stage { left: 300, right: 120 }),
    Step::Pairs { sources: 60, depth: 0.7 },
    Step::Pairs { sources: 30, depth: 5.0 },
    Step::Vote(NEARBY, offset_vote::Stage { left: 300, right: 600 }),
    Step::Pairs { sources: 120, depth: 0.5 },
    Step::Vote(NEARBY, offset_vote::Stage { left: 1000, right: 1500 }),
];

/// Tries one step after the other until a candidate is confirmed.
pub(super) fn search(
    field: &Field<'_>,
    parameters: &AstrometryParameters,
    minimum: usize,
) -> Result<AstrometricSolution, AstrometryFailure> {
    let mut failure = AstrometryFailure::NoPattern {
        votes: 0,
        searched_arcsec: parameters.maximum_offset_arcsec,
        searched_degrees: parameters.maximum_rotation_degrees,
    };
    // Short lists would make later steps repeat earlier ones.
    let mut tried: Vec<Look> = Vec::new();
    for step in STEPS {
        let look = Look::of(step, field, parameters);
        if tried.contains(&look) {
            continue;
        }
        let trials = look.trials(field, parameters);
        for (transform, votes) in look.candidates(field, parameters) {
            match field.confirm(&transform, votes, &trials, parameters, minimum) {
                Ok(solution) => return Ok(solution),
                Err(reason) => failure = nearer(failure, reason),
            }
        }
        tried.push(look);
    }
    Err(failure)
}

/// A step with the lists as long as they are.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Look {
    Vote(Limits, offset_vote::Stage),
    Pairs(pair_vote::Stage),
}

impl Look {
    fn of(step: Step, field: &Field<'_>, parameters: &AstrometryParameters) -> Self {
        let source_count = field.points.len();
        match step {
            Step::Vote(limits, stage) => {
                let limits = Limits {
                    offset_arcsec: limits.offset_arcsec.min(parameters.maximum_offset_arcsec),
                    rotation_degrees: limits
                        .rotation_degrees
                        .min(parameters.maximum_rotation_degrees),
                    scale: limits.scale.min(parameters.scale_tolerance),
                };
                let left = stage.left.min(source_count);
                let right = stage.right.min(field.objects.len());
                Self::Vote(limits, offset_vote::Stage { left, right })
            }
            Step::Pairs { sources, depth } => {
                let moved = sources.min(source_count);
                let wanted = (moved as f64 * depth * field.area_ratio(MAXIMUM_AREA_RATIO)).ceil();
                let reference = (wanted as usize).min(field.objects.len());
                Self::Pairs(pair_vote::Stage { reference, moved })
            }
        }
    }

    fn trials(&self, field: &Field<'_>, parameters: &AstrometryParameters) -> Trials {
        let (search, offset, rotation, scale, parities) = match self {
            Self::Vote(limits, _) => (
                Reach::Nominal,
                limits.offset_arcsec,
                limits.rotation_degrees.to_radians(),
                limits.scale,
                1.0,
            ),
            Self::Pairs(_) => (
                Reach::Anywhere,
                parameters.maximum_offset_arcsec,
                parameters.maximum_rotation_degrees.to_radians().min(PI),
                parameters.scale_tolerance,
                2.0,
            ),
        };
        // Half the radius: the smaller radii that are looked at distinguish more transforms.
        let radius = parameters.match_radius_arcsec / 2.0;
        let shifts = parities * PI * offset * offset;
        let log10 = verification::log10_transforms(
            shifts,
            2.0 * rotation,
            2.0 * scale,
            field.half_diagonal,
            radius,
        );
        Trials { search, log10 }
    }

    /// Transforms of the sources with the number of stars that speak for each, best first.
    fn candidates(
        &self,
        field: &Field<'_>,
        parameters: &AstrometryParameters,
    ) -> Vec<(AffineTransform, usize)> {
        match *self {
            Self::Vote(limits, stage) => {
                let margin = limits.offset_arcsec + 0.1 * field.half_diagonal;
                let objects = field.objects_within(&AffineTransform::IDENTITY, margin);
                let search = offset_vote::Search {
                    maximum_offset: limits.offset_arcsec,
                    maximum_rotation_radians: limits.rotation_degrees.to_radians(),
                    scale_tolerance: limits.scale,
                    cell: parameters.match_radius_arcsec,
                };
                offset_vote::find(&field.points, &objects, &search, stage)
                    .into_iter()
                    .map(|candidate| (candidate.transform, candidate.votes))
                    .collect()
            }
            Self::Pairs(stage) => {
                let search = pair_vote::Search {
                    tolerance: PAIR_TOLERANCE * parameters.match_radius_arcsec,
                    scale_tolerance: parameters.scale_tolerance,
                    maximum_offset: parameters.maximum_offset_arcsec,
                };
                pair_vote::find(&field.objects, &field.points, &search, stage)
                    .into_iter()
                    .map(|candidate| (candidate.transform, candidate.votes))
                    .collect()
            }
        }
    }
}

/// The failure that tells more: the one that came nearer to a solution.
fn nearer(left: AstrometryFailure, right: AstrometryFailure) -> AstrometryFailure {
    let count = |failure: &AstrometryFailure| match failure {
        AstrometryFailure::TooFew { .. } => (0, 0),
        AstrometryFailure::NoPattern { votes, .. } => (1, *votes),
        AstrometryFailure::NotConfirmed { matches, .. } => (2, *matches),
    };
    if count(&right) > count(&left) { right } else { left }
}
