//! Astrometric solution: matches sources with catalogue stars from a nominal solution that may be wrong
//! by arcminutes and by a rotation, then refines all six coefficients.

use super::wcs::TangentPlane;
use crate::model::{CatalogueObject, Source};

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AstrometryParameters {
    /// How far the nominal centre may be off.
    pub maximum_offset_arcsec: f64,
    /// How far the nominal position angle may be off.
    pub maximum_rotation_degrees: f64,
    /// Relative tolerance on the nominal scale.
    pub scale_tolerance: f64,
    /// Radius of the last match.
    pub match_radius_arcsec: f64,
    /// Fewer matches are no solution.
    pub minimum_matches: usize,
    /// A larger residual per axis is no solution.
    pub maximum_rms_arcsec: f64,
}

impl Default for AstrometryParameters {
    fn default() -> Self {
        Self {
            maximum_offset_arcsec: 90.0,
            maximum_rotation_degrees: 1.0,
            scale_tolerance: 0.02,
            match_radius_arcsec: 1.5,
            minimum_matches: 8,
            maximum_rms_arcsec: 0.6,
        }
    }
}

/// A solution with its evidence.
#[derive(Debug, Clone, PartialEq)]
pub struct AstrometricSolution {
    pub wcs: TangentPlane,
    /// Index of the source and index of the catalogue object, one to one.
    pub matches: Vec<(usize, usize)>,
    /// Root mean square residual per axis after clipping.
    pub rms_arcsec: f64,
    /// Shift of the image centre from the nominal solution.
    pub offset_arcsec: f64,
    pub rotation_degrees: f64,
}

/// Why there is no solution.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum AstrometryFailure {
    #[error(
        "{sources} sources and {catalogue} catalogue objects are too few to match (need {needed})"
    )]
    TooFew { sources: usize, catalogue: usize, needed: usize },
    #[error(
        "no pattern of the catalogue was found within {searched_arcsec:.0} arcsec and {searched_degrees:.1} degrees of the pointing (best agreement {votes} stars)"
    )]
    NoPattern { votes: usize, searched_arcsec: f64, searched_degrees: f64 },
    #[error("a pattern was found, but only {matches} stars agree with {rms_arcsec:.2} arcsec")]
    NotConfirmed { matches: usize, rms_arcsec: f64 },
}

/// Solves one frame. A wrong solution is never accepted: the match must be far above what chance gives.
/// Deterministic.
pub fn solve(
    sources: &[Source],
    catalogue: &[CatalogueObject],
    nominal: &TangentPlane,
    shape: (usize, usize),
    parameters: &AstrometryParameters,
) -> Result<AstrometricSolution, AstrometryFailure> {
    let _ = (sources, catalogue, nominal, shape, parameters);
    unimplemented!()
}

/// Pairs each point of `left` with the nearest of `right` within `radius`, one to one, closest pairs first.
/// Returns indices (left, right) in order of `left`.
pub fn match_nearest(
    left: &[(f64, f64)],
    right: &[(f64, f64)],
    radius: f64,
) -> Vec<(usize, usize)> {
    let _ = (left, right, radius);
    unimplemented!()
}
