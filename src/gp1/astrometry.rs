//! The world coordinates of a frame: solved against the catalogue, else inherited from a frame it aligns with, else the
//! pointing.

use super::distorted_solution::{DistortionVerdict, SolvedFrame, solve_frame};
use super::nominal::Nominal;
use super::settings::AlignmentParameters;
use crate::fits::Header;
use crate::imaging::{
    alignment::{AffineTransform, align},
    astrometry::{AstrometryParameters, match_nearest},
    undistorted_pixels::UndistortedPixels,
    wcs::TangentPlane,
    world_coordinates::WorldCoordinates,
};
use crate::model::{CatalogueObject, Degradation, Source};

/// Half of the diagonal of the frame is added to the search radius in the catalogue, with this much to spare.
const CONE_MARGIN_DEGREES: f64 = 0.01;

/// How the coordinates of a frame came about, from the best to the worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AstrometryStatus {
    /// Against the catalogue.
    Solved,
    /// The frame fits one that was solved, and has its coordinates from it.
    Aligned,
    /// Those of the telescope; frames of one field may agree among themselves.
    Pointing,
    None,
}

impl AstrometryStatus {
    /// The word in [`crate::model::FrameQuality::astrometry`].
    pub fn word(self) -> &'static str {
        match self {
            Self::Solved => "solved",
            Self::Aligned => "aligned",
            Self::Pointing => "pointing",
            Self::None => "none",
        }
    }

    /// The status of a word; anything unknown is [`AstrometryStatus::None`].
    pub fn from_word(word: &str) -> Self {
        match word {
            "solved" => Self::Solved,
            "aligned" => Self::Aligned,
            "pointing" => Self::Pointing,
            _ => Self::None,
        }
    }

    /// Whether positions agree with the catalogue to a fraction of an arcsecond.
    pub fn is_absolute(self) -> bool {
        matches!(self, Self::Solved | Self::Aligned)
    }
}

/// Coordinates of one frame with their evidence.
#[derive(Debug, Clone, PartialEq)]
pub struct FrameAstrometry {
    /// With the distortion of the camera, where it is known.
    pub wcs: Option<WorldCoordinates>,
    pub status: AstrometryStatus,
    /// Stars of the solution, or sources of the alignment.
    pub match_count: usize,
    /// Per axis.
    pub rms_arcsec: Option<f64>,
    /// Name of the frame it was aligned with.
    pub aligned_with: Option<String>,
    pub degradation: Option<Degradation>,
    /// How a solution differs from the nominal one, and what speaks for it.
    pub correction: Option<Correction>,
    /// What became of a known distortion in the solution.
    pub distortion: Option<DistortionVerdict>,
    /// One line for HISTORY.
    pub history: String,
}

/// What a solution found wrong with the nominal one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Correction {
    /// Of the centre of the image.
    pub offset_arcsec: f64,
    pub rotation_degrees: f64,
    /// log₁₀ of the expected number of solutions as good as this by chance.
    pub log10_false: f64,
}

impl FrameAstrometry {
    /// Coordinates that nothing was done to find.
    pub fn not_sought(nominal: Option<WorldCoordinates>) -> Self {
        let status = match nominal {
            Some(_) => AstrometryStatus::Pointing,
            None => AstrometryStatus::None,
        };
        Self {
            wcs: nominal,
            status,
            match_count: 0,
            rms_arcsec: None,
            aligned_with: None,
            degradation: None,
            correction: None,
            distortion: None,
            history: "astrometry: not run".into(),
        }
    }

    /// Writes what speaks for the coordinates.
    pub fn set_cards(&self, header: &mut Header) {
        if let Some(verdict) = self.distortion {
            header.set("WCSDIST", verdict.word(), "distortion: camera, header, refined, refused");
        }
        if let Some(correction) = &self.correction {
            header.set("WCSOFFS", correction.offset_arcsec, "[arcsec] shift from the pointing");
            header.set("WCSTURN", correction.rotation_degrees, "[deg] turn from the nominal angle");
            // A header holds no infinity.
            let chance = correction.log10_false.max(-999.0);
            header.set("WCSFALSE", chance, "log10 of such solutions by chance");
        }
    }
}

/// A frame whose coordinates others may inherit.
#[derive(Debug, Clone, Copy)]
pub struct ReferenceField<'a> {
    pub name: &'a str,
    pub wcs: &'a WorldCoordinates,
    /// Rows, columns.
    pub shape: (usize, usize),
    pub status: AstrometryStatus,
    pub sources: &'a [Source],
}

/// Radius of the cone about the centre of the frame that holds all catalogue objects that can be on it, degrees.
pub fn cone_radius_degrees(
    scale_arcsec: f64,
    shape: (usize, usize),
    maximum_offset_arcsec: f64,
) -> f64 {
    let diagonal_pixels = (shape.0 as f64).hypot(shape.1 as f64);
    (diagonal_pixels / 2.0 * scale_arcsec + maximum_offset_arcsec) / 3600.0 + CONE_MARGIN_DEGREES
}

/// Gives a frame its coordinates. Tried in order: the catalogue; alignment with each of `references`; the pointing. What failed is
/// in the degradation, with the reason. Without a catalogue (`None`) the pointing of the first frame of each field is all there is,
/// and later frames of the field agree with it.
pub fn locate(
    sources: &[Source],
    catalogue: Option<&[CatalogueObject]>,
    nominal: Option<&Nominal<'_>>,
    shape: (usize, usize),
    parameters: &AstrometryParameters,
    references: &[ReferenceField<'_>],
    alignment: &AlignmentParameters,
) -> FrameAstrometry {
    let mut failures: Vec<String> = Vec::new();
    match (catalogue, nominal) {
        (Some(objects), Some(nominal)) => {
            match solve_frame(sources, objects, nominal, shape, parameters) {
                Ok(solved) => return located_by(solved),
                Err(failure) => failures.push(failure.to_string()),
            }
        }
        (Some(_), None) => {
            failures.push("the header says nothing of where the telescope looked".into())
        }
        (None, _) => failures.push("there is no catalogue to solve against".into()),
    }
    for reference in references {
        match inherit(sources, nominal, *reference, alignment) {
            Ok(mut inherited) => {
                if !inherited.status.is_absolute() {
                    inherited.degradation =
                        Some(degradation(&failures, "the pointing of the first frame"));
                }
                return inherited;
            }
            Err(failure) => failures.push(failure),
        }
    }
    let pointing = nominal.map(|nominal| nominal.coordinates.clone());
    let stands = if pointing.is_some() { "the pointing" } else { "nothing" };
    FrameAstrometry {
        history: format!("astrometry: {stands} stands: {}", failures.join("; ")),
        degradation: Some(degradation(&failures, stands)),
        ..FrameAstrometry::not_sought(pointing)
    }
}

fn located_by(solved: SolvedFrame) -> FrameAstrometry {
    let SolvedFrame { solution, coordinates, rms_arcsec, verdict } = solved;
    let distortion =
        verdict.map_or_else(String::new, |verdict| format!(", distortion: {}", verdict.word()));
    FrameAstrometry {
        wcs: Some(coordinates),
        status: AstrometryStatus::Solved,
        match_count: solution.matches.len(),
        rms_arcsec: Some(rms_arcsec),
        aligned_with: None,
        degradation: None,
        correction: Some(Correction {
            offset_arcsec: solution.offset_arcsec,
            rotation_degrees: solution.rotation_degrees,
            log10_false: solution.log10_false,
        }),
        history: format!(
            "astrometry: {} stars, rms {rms_arcsec:.3} arcsec, {:.1} arcsec and {:.3} degrees from nominal{distortion}",
            solution.matches.len(),
            solution.offset_arcsec,
            solution.rotation_degrees
        ),
        distortion: verdict,
    }
}

fn degradation(failures: &[String], stands: &str) -> Degradation {
    Degradation::new(
        "NOWCS",
        format!("{stands} stands for the astrometry: {}", failures.join("; ")),
    )
}

/// The coordinates of the reference, carried over by the stars that both have. Where a camera is known to distort they are compared
/// where a perfect one would have them.
fn inherit(
    sources: &[Source],
    nominal: Option<&Nominal<'_>>,
    reference: ReferenceField<'_>,
    parameters: &AlignmentParameters,
) -> Result<FrameAstrometry, String> {
    let bright = |all: &[Source], straight: &dyn Fn(f64, f64) -> (f64, f64)| -> Vec<Source> {
        let moved = |source: &Source| {
            let (x, y) = straight(source.x, source.y);
            Source { x, y, ..source.clone() }
        };
        all.iter().take(parameters.maximum_sources).map(moved).collect()
    };
    let singular = || format!("the alignment with {} is singular", reference.name);
    let reference_plane = reference.wcs.closest_plane(reference.shape).ok_or_else(singular)?;
    let of_reference = UndistortedPixels::of(Some(reference.wcs), reference.shape);
    let distortion =
        nominal.and_then(|nominal| nominal.distortion.as_ref()).map(|known| &known.distortion);
    let (transform, count, residual) = align(
        &bright(reference.sources, &|x, y| of_reference.from_frame(x, y)),
        &bright(sources, &|x, y| distortion.map_or((x, y), |known| known.undistorted(x, y))),
    )
    .map_err(|failure| failure.to_string())?;
    if count < parameters.minimum_matches || residual > parameters.match_radius_pixels {
        return Err(format!(
            "the alignment with {} is weak: {count} sources, residual {residual:.2} pixels",
            reference.name
        ));
    }
    let plane = transported(&reference_plane, &transform).ok_or_else(singular)?;
    let wcs = match distortion {
        Some(known) => known.world_coordinates(&plane).ok_or_else(singular)?,
        None => plane.into(),
    };
    let status = match reference.status {
        status if status.is_absolute() => AstrometryStatus::Aligned,
        _ => AstrometryStatus::Pointing,
    };
    Ok(FrameAstrometry {
        rms_arcsec: Some(residual * plane.scale_arcsec()),
        wcs: Some(wcs),
        correction: None,
        distortion: None,
        status,
        match_count: count,
        aligned_with: Some(reference.name.to_owned()),
        degradation: None,
        history: format!(
            "astrometry: aligned with {} by {count} sources, residual {residual:.3} pixels",
            reference.name
        ),
    })
}

/// The coordinates of a frame from those of its reference: `transform` takes its pixels to those of the reference.
pub fn transported(reference: &TangentPlane, transform: &AffineTransform) -> Option<TangentPlane> {
    let (x, y) = reference.reference_pixel;
    let reference_pixel = transform.inverse()?.apply(x, y);
    let [[a, b], [c, d]] = reference.cd;
    let cd = [
        [a * transform.a + b * transform.d, a * transform.b + b * transform.e],
        [c * transform.a + d * transform.d, c * transform.b + d * transform.e],
    ];
    Some(TangentPlane { reference_pixel, reference_sky: reference.reference_sky, cd })
}

/// For each source the catalogue object that it is: nearest within the radius, one to one, closest pairs first.
pub fn identify(
    sources: &[Source],
    wcs: &WorldCoordinates,
    catalogue: &[CatalogueObject],
    radius_arcsec: f64,
) -> Vec<Option<usize>> {
    let mut identity = vec![None; sources.len()];
    let scale = sources.first().map_or(f64::NAN, |source| wcs.scale_arcsec(source.x, source.y));
    if scale.is_nan() || scale <= 0.0 {
        return identity;
    }
    let left: Vec<(f64, f64)> = sources.iter().map(|source| (source.x, source.y)).collect();
    let (indices, right): (Vec<usize>, Vec<(f64, f64)>) = catalogue
        .iter()
        .enumerate()
        .filter_map(|(index, object)| Some((index, wcs.sky_to_pixel(object.position).ok()?)))
        .unzip();
    for (source, object) in match_nearest(&left, &right, radius_arcsec / scale) {
        identity[source] = indices.get(object).copied();
    }
    identity
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::model::{ObjectKind, SkyPosition, SourceFlags};

    pub(crate) fn source(x: f64, y: f64, flux: f64) -> Source {
        Source {
            x,
            y,
            position_error_pixels: 0.02,
            peak_electrons: flux / 10.0,
            flux_electrons: flux,
            flux_error_electrons: flux.abs().sqrt() + 10.0,
            aperture_radius_pixels: 3.0,
            semi_major_pixels: 1.3,
            semi_minor_pixels: 1.3,
            theta_radians: 0.0,
            fwhm_pixels: 3.0,
            half_light_radius_pixels: 1.6,
            isophotal_flux_electrons: 0.9 * flux,
            isophotal_flux_error_electrons: flux.abs().sqrt(),
            total: None,
            point: None,
            spread: None,
            pixel_count: 20,
            flags: SourceFlags::default(),
        }
    }

    fn field() -> Vec<Source> {
        // Irregular places from a multiplicative sequence, so that no two triangles are alike.
        let mut sources: Vec<Source> = (1..60u32)
            .map(|number| {
                let x = f64::from(number * 7919 % 997) * 0.5 + 5.0;
                let y = f64::from(number * 104_729 % 983) * 0.5 + 5.0;
                source(x, y, 1e5 / f64::from(number))
            })
            .collect();
        sources.sort_by(|left, right| right.flux_electrons.total_cmp(&left.flux_electrons));
        sources
    }

    fn wcs() -> TangentPlane {
        TangentPlane::nominal((255.5, 255.5), SkyPosition::new(30.0, 24.0), 0.000195)
    }

    fn catalogue_of(sources: &[Source], wcs: &TangentPlane) -> Vec<CatalogueObject> {
        sources
            .iter()
            .enumerate()
            .map(|(number, source)| CatalogueObject {
                id: number.to_string(),
                kind: ObjectKind::Star,
                position: wcs.pixel_to_sky(source.x, source.y),
                magnitude: 25.0 - 2.5 * source.flux_electrons.log10(),
                magnitude_error: 0.03,
                magnitudes: Vec::new(),
            })
            .collect()
    }

    fn turned(sources: &[Source]) -> Vec<Source> {
        let (sin, cos) = 0.002f64.sin_cos();
        sources
            .iter()
            .map(|each| Source {
                x: cos * each.x - sin * each.y + 14.0,
                y: sin * each.x + cos * each.y - 9.0,
                ..each.clone()
            })
            .collect()
    }

    #[test]
    fn solved_then_aligned_then_the_pointing() {
        let sources = field();
        let true_wcs = wcs();
        let true_coordinates = true_wcs.into();
        let catalogue = catalogue_of(&sources, &true_wcs);
        let mut nominal = true_wcs;
        nominal.reference_sky = nominal.reference_sky.offset_arcsec(20.0, -12.0);
        let parameters = AstrometryParameters::default();
        let alignment = AlignmentParameters::default();
        let all = |sources: &[Source],
                   catalogue: Option<&[CatalogueObject]>,
                   references: &[ReferenceField<'_>]| {
            locate(
                sources,
                catalogue,
                Some(&Nominal::undistorted(nominal)),
                (512, 512),
                &parameters,
                references,
                &alignment,
            )
        };
        let solved = all(&sources, Some(&catalogue), &[]);
        assert_eq!(solved.status, AstrometryStatus::Solved, "{solved:?}");
        let position = solved.wcs.as_ref().unwrap().pixel_to_sky(100.0, 400.0);
        assert!(position.separation_arcsec(true_wcs.pixel_to_sky(100.0, 400.0)) < 0.05);

        let moved = turned(&sources);
        let reference = ReferenceField {
            name: "first",
            wcs: &true_coordinates,
            shape: (512, 512),
            status: AstrometryStatus::Solved,
            sources: &sources,
        };
        let aligned = all(&moved, None, &[reference]);
        assert_eq!(aligned.status, AstrometryStatus::Aligned, "{aligned:?}");
        assert!(aligned.degradation.is_none());
        for (before, after) in sources.iter().zip(&moved) {
            let expected = true_wcs.pixel_to_sky(before.x, before.y);
            let found = aligned.wcs.as_ref().unwrap().pixel_to_sky(after.x, after.y);
            assert!(found.separation_arcsec(expected) < 0.02);
        }

        let alone = all(&sources[..3], Some(&catalogue), &[]);
        assert_eq!(alone.status, AstrometryStatus::Pointing);
        assert_eq!(alone.wcs, Some(nominal.into()));
        assert_eq!(alone.degradation.unwrap().code, "NOWCS");
    }

    #[test]
    fn a_frame_of_another_field_does_not_inherit() {
        let sources = field();
        let other: Vec<Source> = (1..60u32)
            .map(|number| {
                source(f64::from(number * 613 % 509), f64::from(number * 389 % 503), 900.0)
            })
            .collect();
        let wcs = wcs().into();
        let reference = ReferenceField {
            name: "first",
            wcs: &wcs,
            shape: (512, 512),
            status: AstrometryStatus::Solved,
            sources: &sources,
        };
        let located = locate(
            &other,
            None,
            None,
            (512, 512),
            &AstrometryParameters::default(),
            &[reference],
            &AlignmentParameters::default(),
        );
        assert_eq!(located.status, AstrometryStatus::None, "{located:?}");
    }

    #[test]
    fn sources_are_identified_one_to_one() {
        let sources = field();
        let wcs = wcs();
        let catalogue = catalogue_of(&sources[5..20], &wcs);
        let identity = identify(&sources, &wcs.into(), &catalogue, 0.3);
        let expected: Vec<Option<usize>> =
            (0..sources.len()).map(|index| (5..20).contains(&index).then(|| index - 5)).collect();
        assert_eq!(identity, expected);
    }
}
