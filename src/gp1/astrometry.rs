//! The world coordinates of a frame: solved against the catalogue, else inherited from a frame it aligns with, else the
//! pointing.

use super::settings::AlignmentParameters;
use crate::fits::{Header, wcs_cards};
use crate::imaging::{
    alignment::{AffineTransform, align},
    astrometry::{
        AstrometricSolution, AstrometryFailure, AstrometryParameters, match_nearest, solve,
    },
    camera_distortion::CameraDistortion,
    wcs::TangentPlane,
    world_coordinates::{Distortion, WorldCoordinates},
};
use crate::model::{CatalogueObject, Degradation, FrameKeywords, Source};

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
    /// The plane that comes closest: what alignment, stacks and tracks go by.
    pub wcs: Option<TangentPlane>,
    /// The same with the distortion of the camera, where it is known and the frame was solved with it.
    pub coordinates: Option<WorldCoordinates>,
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

/// Where a frame is thought to lie.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Nominal<'a> {
    pub plane: TangentPlane,
    /// What is known of the camera.
    pub distortion: Option<&'a CameraDistortion>,
}

impl FrameAstrometry {
    /// Coordinates that nothing was done to find.
    pub fn not_sought(nominal: Option<TangentPlane>) -> Self {
        let status = match nominal {
            Some(_) => AstrometryStatus::Pointing,
            None => AstrometryStatus::None,
        };
        Self {
            wcs: nominal,
            coordinates: nominal.map(WorldCoordinates::from),
            status,
            match_count: 0,
            rms_arcsec: None,
            aligned_with: None,
            degradation: None,
            correction: None,
            history: "astrometry: not run".into(),
        }
    }

    /// Writes the coordinates, with their distortion, and what speaks for them.
    pub fn set_cards(&self, header: &mut Header) {
        if let Some(coordinates) = &self.coordinates {
            wcs_cards::write_distorted(header, coordinates);
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

/// The plane nearest to the coordinates of a header, their distortion (SIP, TPV) taken into account over the image.
pub fn plane_of(header: &Header, shape: (usize, usize)) -> Option<TangentPlane> {
    match wcs_cards::read_distorted(header) {
        Ok(coordinates) => coordinates.closest_plane(shape),
        // A distortion that is not known leaves the linear part.
        Err(_) => wcs_cards::read(header),
    }
}

/// A frame whose coordinates others may inherit.
#[derive(Debug, Clone, Copy)]
pub struct ReferenceField<'a> {
    pub name: &'a str,
    pub wcs: &'a TangentPlane,
    pub status: AstrometryStatus,
    pub sources: &'a [Source],
}

/// Where the telescope says it looks: the header's own coordinates (`header_wcs`), else the pointing with the scale of the
/// settings or the camera, which also says how the frame lies. `shape` is rows, columns.
pub fn nominal_wcs(
    header_wcs: Option<TangentPlane>,
    keywords: &FrameKeywords,
    scale_degrees: Option<f64>,
    shape: (usize, usize),
) -> Option<TangentPlane> {
    let is_sound = |wcs: &TangentPlane| {
        let [[a, b], [c, d]] = wcs.cd;
        let determinant = a * d - b * c;
        determinant.is_finite() && determinant != 0.0
    };
    let from_pointing = || {
        let centre = ((shape.1 as f64 - 1.0) / 2.0, (shape.0 as f64 - 1.0) / 2.0);
        let camera = &keywords.camera;
        let scale = scale_degrees.or(camera.pixel_scale_degrees)?;
        let nominal = TangentPlane::nominal(centre, keywords.pointing?, scale);
        let cd = orientation(scale, camera.rotation_degrees, camera.is_mirrored);
        Some(TangentPlane { cd, ..nominal })
    };
    header_wcs.filter(is_sound).or_else(from_pointing)
}

/// The matrix of a frame whose upward direction lies at `rotation_degrees` from north through east; unless it is mirrored, east
/// is a quarter turn counterclockwise of north.
fn orientation(scale_degrees: f64, rotation_degrees: f64, is_mirrored: bool) -> [[f64; 2]; 2] {
    // Without a rotation the zeros are exact.
    let (sin, cos) = match rotation_degrees {
        0.0 => (0.0, 1.0),
        degrees => degrees.to_radians().sin_cos(),
    };
    let side = if is_mirrored { scale_degrees } else { -scale_degrees };
    [[side * cos, scale_degrees * sin], [-side * sin, scale_degrees * cos]]
}

/// Radius of the cone about the centre of the frame that holds all catalogue objects that can be on it, degrees.
pub fn cone_radius_degrees(
    nominal: &TangentPlane,
    shape: (usize, usize),
    maximum_offset_arcsec: f64,
) -> f64 {
    let diagonal_pixels = (shape.0 as f64).hypot(shape.1 as f64);
    (diagonal_pixels / 2.0 * nominal.scale_arcsec() + maximum_offset_arcsec) / 3600.0
        + CONE_MARGIN_DEGREES
}

/// Gives a frame its coordinates. Tried in order: the catalogue; alignment with each of `references`; the pointing. What failed is
/// in the degradation, with the reason. Without a catalogue (`None`) the pointing of the first frame of each field is all there is,
/// and later frames of the field agree with it.
pub fn locate(
    sources: &[Source],
    catalogue: Option<&[CatalogueObject]>,
    nominal: Option<Nominal<'_>>,
    shape: (usize, usize),
    parameters: &AstrometryParameters,
    references: &[ReferenceField<'_>],
    alignment: &AlignmentParameters,
) -> FrameAstrometry {
    let mut failures: Vec<String> = Vec::new();
    match (catalogue, &nominal) {
        (Some(objects), Some(nominal)) => {
            match solve_with(sources, objects, nominal, shape, parameters) {
                Ok(solved) => return solved,
                Err(failure) => failures.push(failure.to_string()),
            }
        }
        (Some(_), None) => {
            failures.push("the header says nothing of where the telescope looked".into())
        }
        (None, _) => failures.push("there is no catalogue to solve against".into()),
    }
    for reference in references {
        match inherit(sources, *reference, alignment) {
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
    let plane = nominal.map(|nominal| nominal.plane);
    let stands = if plane.is_some() { "the pointing" } else { "nothing" };
    FrameAstrometry {
        history: format!("astrometry: {stands} stands: {}", failures.join("; ")),
        degradation: Some(degradation(&failures, stands)),
        ..FrameAstrometry::not_sought(plane)
    }
}

/// Solves with the distortion of the camera, where it is known: stars are matched where they would be on a perfect one. A
/// distortion with which there is no solution is left aside.
fn solve_with(
    sources: &[Source],
    objects: &[CatalogueObject],
    nominal: &Nominal<'_>,
    shape: (usize, usize),
    parameters: &AstrometryParameters,
) -> Result<FrameAstrometry, AstrometryFailure> {
    if let Some(distortion) = nominal.distortion {
        let moved: Vec<Source> = sources
            .iter()
            .map(|source| {
                let (x, y) = distortion.undistorted(source.x, source.y);
                Source { x, y, ..source.clone() }
            })
            .collect();
        if let Ok(solution) = solve(&moved, objects, &nominal.plane, shape, parameters)
            && let Some(coordinates) = distortion.world_coordinates(&solution.wcs)
            && let Some(plane) = coordinates.closest_plane(shape)
        {
            let mut located = located_by(&solution, plane, coordinates);
            located.history.push_str(", with the distortion of the camera");
            return Ok(located);
        }
    }
    let solution = solve(sources, objects, &nominal.plane, shape, parameters)?;
    Ok(located_by(&solution, solution.wcs, solution.wcs.into()))
}

fn located_by(
    solution: &AstrometricSolution,
    plane: TangentPlane,
    coordinates: WorldCoordinates,
) -> FrameAstrometry {
    FrameAstrometry {
        wcs: Some(plane),
        coordinates: Some(coordinates),
        status: AstrometryStatus::Solved,
        match_count: solution.matches.len(),
        rms_arcsec: Some(solution.rms_arcsec),
        aligned_with: None,
        degradation: None,
        correction: Some(Correction {
            offset_arcsec: solution.offset_arcsec,
            rotation_degrees: solution.rotation_degrees,
            log10_false: solution.log10_false,
        }),
        history: format!(
            "astrometry: {} stars, rms {:.3} arcsec, {:.1} arcsec and {:.3} degrees from nominal",
            solution.matches.len(),
            solution.rms_arcsec,
            solution.offset_arcsec,
            solution.rotation_degrees
        ),
    }
}

/// The distortion that a header states for its own frame (SIP).
pub fn distortion_of(
    header: &Header,
    camera: &str,
    shape: (usize, usize),
) -> Option<CameraDistortion> {
    let WorldCoordinates { plane, distortion: Distortion::Sip(sip) } =
        wcs_cards::read_distorted(header).ok()?
    else {
        return None;
    };
    Some(CameraDistortion::stated(camera, shape, plane.reference_pixel, sip))
}

fn degradation(failures: &[String], stands: &str) -> Degradation {
    Degradation::new(
        "NOWCS",
        format!("{stands} stands for the astrometry: {}", failures.join("; ")),
    )
}

fn inherit(
    sources: &[Source],
    reference: ReferenceField<'_>,
    parameters: &AlignmentParameters,
) -> Result<FrameAstrometry, String> {
    let bright = |all: &[Source]| -> Vec<Source> {
        all.iter().take(parameters.maximum_sources).cloned().collect()
    };
    let (transform, count, residual) = align(&bright(reference.sources), &bright(sources))
        .map_err(|failure| failure.to_string())?;
    if count < parameters.minimum_matches || residual > parameters.match_radius_pixels {
        return Err(format!(
            "the alignment with {} is weak: {count} sources, residual {residual:.2} pixels",
            reference.name
        ));
    }
    let wcs = transported(reference.wcs, &transform)
        .ok_or_else(|| format!("the alignment with {} is singular", reference.name))?;
    let status = match reference.status {
        status if status.is_absolute() => AstrometryStatus::Aligned,
        _ => AstrometryStatus::Pointing,
    };
    Ok(FrameAstrometry {
        rms_arcsec: Some(residual * wcs.scale_arcsec()),
        wcs: Some(wcs),
        coordinates: Some(wcs.into()),
        correction: None,
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
    let scale = wcs.plane.scale_arcsec();
    let mut identity = vec![None; sources.len()];
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
    use crate::model::{FrameKind, ObjectKind, SkyPosition, SourceFlags, UtcTime};

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
                Some(Nominal { plane: nominal, distortion: None }),
                (512, 512),
                &parameters,
                references,
                &alignment,
            )
        };
        let solved = all(&sources, Some(&catalogue), &[]);
        assert_eq!(solved.status, AstrometryStatus::Solved, "{solved:?}");
        let position = solved.wcs.unwrap().pixel_to_sky(100.0, 400.0);
        assert!(position.separation_arcsec(true_wcs.pixel_to_sky(100.0, 400.0)) < 0.05);

        let moved = turned(&sources);
        let reference = ReferenceField {
            name: "first",
            wcs: &true_wcs,
            status: AstrometryStatus::Solved,
            sources: &sources,
        };
        let aligned = all(&moved, None, &[reference]);
        assert_eq!(aligned.status, AstrometryStatus::Aligned, "{aligned:?}");
        assert!(aligned.degradation.is_none());
        for (before, after) in sources.iter().zip(&moved) {
            let expected = true_wcs.pixel_to_sky(before.x, before.y);
            let found = aligned.wcs.unwrap().pixel_to_sky(after.x, after.y);
            assert!(found.separation_arcsec(expected) < 0.02);
        }

        let alone = all(&sources[..3], Some(&catalogue), &[]);
        assert_eq!(alone.status, AstrometryStatus::Pointing);
        assert_eq!(alone.wcs, Some(nominal));
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
        let wcs = wcs();
        let reference = ReferenceField {
            name: "first",
            wcs: &wcs,
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
    fn the_pointing_serves_where_the_header_has_no_coordinates() {
        let mut keywords = FrameKeywords {
            kind: FrameKind::Object,
            trigger_id: None,
            observer: None,
            object: None,
            instrument: "C0".into(),
            filter: "w".into(),
            exposure_seconds: 10.0,
            date_obs: UtcTime::from_unix_microseconds(0),
            pointing: Some(SkyPosition::new(30.0, 24.0)),
            gain_electrons: None,
            read_noise_electrons: None,
            saturation: None,
            binning: 1,
            size_pixels: (512, 512),
            camera: Default::default(),
        };
        let nominal = nominal_wcs(None, &keywords, Some(0.000195), (512, 512)).unwrap();
        assert_eq!(nominal, wcs());
        let mut singular = wcs();
        singular.cd = [[0.0, 0.0], [0.0, 0.0]];
        assert_eq!(nominal_wcs(Some(singular), &keywords, Some(0.000195), (512, 512)), Some(wcs()));
        assert_eq!(nominal_wcs(None, &keywords, None, (512, 512)), None);
        keywords.pointing = None;
        assert_eq!(nominal_wcs(None, &keywords, Some(0.000195), (512, 512)), None);
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
