//! Total flux in the elliptical aperture of Kron (1980, ApJS 43, 305): FLUX_AUTO, FLUXERR_AUTO and KRON_RADIUS of SExtractor's manual.

use super::{ellipse::Ellipse, surroundings::Surroundings};

/// The first moment is taken within this many semi-axes (SExtractor's choice).
const MOMENT_REACH: f64 = 6.0;
/// PHOT_AUTOPARAMS: the aperture in first moments, and its least size in semi-axes.
const APERTURE_IN_MOMENTS: f64 = 2.5;
const LEAST_APERTURE: f64 = 3.5;
/// A bound on time: no semi-axis of an aperture is longer, pixels.
const LONGEST_AXIS: f64 = 200.0;

/// What lies in the aperture of a source.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct KronFlux {
    /// Semi-axes of the aperture over those of the source's moments.
    pub radius: f64,
    pub flux_electrons: f64,
    pub flux_error_electrons: f64,
}

/// First moment Σ r·I / Σ I over the pixels whose centres lie within six semi-axes, r in units of the semi-axes. `None` without
/// light on balance.
pub(super) fn first_moment(surroundings: &mut Surroundings<'_>, ellipse: &Ellipse) -> Option<f64> {
    let (rows, columns) = surroundings.window_of(&ellipse.scaled(MOMENT_REACH));
    let (mut moment, mut sum) = (0.0, 0.0);
    for row in rows {
        let (signal, _) = surroundings.row(row, &columns);
        for (column, light) in columns.clone().zip(signal) {
            let radius = ellipse.radius_of(column, row);
            if radius <= MOMENT_REACH {
                moment += radius * light;
                sum += light;
            }
        }
    }
    (sum > 0.0 && moment > 0.0).then(|| moment / sum)
}

/// The total flux of a source with these moments about its centre. `None` when the source has no light on balance.
pub(super) fn measure(
    surroundings: &mut Surroundings<'_>,
    (semi_major, semi_minor, theta): (f64, f64, f64),
) -> Option<KronFlux> {
    let (x, y) = surroundings.centre();
    let ellipse = Ellipse::new(x, y, semi_major, semi_minor, theta)?;
    let longest = LONGEST_AXIS / semi_major;
    if longest < LEAST_APERTURE {
        return None;
    }
    let moment = first_moment(surroundings, &ellipse)?;
    let radius = (APERTURE_IN_MOMENTS * moment).max(LEAST_APERTURE).min(longest);
    let aperture = ellipse.scaled(radius);
    let (rows, columns) = surroundings.window_of(&aperture);
    let (mut flux, mut total_variance) = (0.0, 0.0);
    for row in rows {
        let (signal, variance) = surroundings.row(row, &columns);
        for ((column, light), variance) in columns.clone().zip(signal).zip(variance) {
            let overlap = aperture.overlap(column, row);
            if overlap > 0.0 {
                flux += overlap * light;
                total_variance += overlap * variance;
            }
        }
    }
    Some(KronFlux { radius, flux_electrons: flux, flux_error_electrons: total_variance.sqrt() })
}
