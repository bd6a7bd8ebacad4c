//! Solving a frame whose camera distorts: with what is known of the distortion, and a verdict on it.

use super::nominal::{DistortionOrigin, Nominal};
use crate::imaging::{
    astrometry::{AstrometricSolution, AstrometryFailure, AstrometryParameters, solve},
    camera_distortion::CameraDistortion,
    distortion_fit::{DistortionFit, fit_sip},
    left_out::{halves, median_miss},
    polynomial::powers_up_to,
    wcs::{PixelSkyPair, TangentPlane},
    world_coordinates::WorldCoordinates,
};
use crate::model::{CatalogueObject, ObjectKind, Source, SourceFlags};

/// Stars fainter than this many times their noise do not refine.
const LEAST_SIGNAL_TO_NOISE: f64 = 20.0;
/// Stars of one frame per coefficient of an axis: enough that their noise is small beside what a header may be wrong by.
const STARS_PER_COEFFICIENT: usize = 10;
/// Degrees that the stars of a frame are fitted with, from that of the header upwards.
const REFINED_DEGREES: (usize, usize) = (2, 4);
/// A refined distortion brings stars that it was not fitted to nearer to their places, by this share of the median distance.
const LEAST_GAIN: f64 = 0.05;
/// Residuals beyond this many standard deviations are of wrong pairs.
const CLIP_SIGMA: f64 = 4.0;
/// A plane with this share more of stars, or as many with this share less of residual, contradicts a distortion, …
const CONTRADICTION: f64 = 0.05;
/// … if the share is more than this many times what chance gives.
const CONTRADICTION_SIGMA: f64 = 2.0;
/// Coefficients of a plane, which every solution has.
const PLANE_COEFFICIENTS: f64 = 6.0;

/// What became of what was known of the distortion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DistortionVerdict {
    /// That of the camera, as it was learned.
    Camera,
    /// That of the header, as it is.
    Header,
    /// That of the header, refined by the stars of the frame, which others of them confirm.
    Refined,
    /// The stars fit a plane better: the distortion is left aside.
    Refused,
}

impl DistortionVerdict {
    /// The word in the header.
    pub fn word(self) -> &'static str {
        match self {
            Self::Camera => "camera",
            Self::Header => "header",
            Self::Refined => "refined",
            Self::Refused => "refused",
        }
    }
}

/// A solution, and the coordinates it gives to the pixels of the frame.
#[derive(Debug, Clone, PartialEq)]
pub struct SolvedFrame {
    pub solution: AstrometricSolution,
    pub coordinates: WorldCoordinates,
    /// Per axis, with the distortion.
    pub rms_arcsec: f64,
    /// `None` where nothing was known.
    pub verdict: Option<DistortionVerdict>,
}

/// Solves with the distortion that is known: stars are matched where they would be on a perfect camera. One learned from the
/// camera was confirmed and is taken if there is a solution with it; one that the header states must not do worse than a plane, and is refined where the
/// frame has the stars for it.
///
/// # Errors
/// Those of [`solve`] on a perfect camera, after both have failed.
pub fn solve_frame(
    sources: &[Source],
    objects: &[CatalogueObject],
    nominal: &Nominal<'_>,
    shape: (usize, usize),
    parameters: &AstrometryParameters,
) -> Result<SolvedFrame, AstrometryFailure> {
    let plain = || solve(sources, objects, &nominal.plane, shape, parameters);
    let Some(known) = &nominal.distortion else { return Ok(SolvedFrame::plane(plain()?, None)) };
    let distortion = known.distortion.as_ref();
    let moved: Vec<Source> = sources
        .iter()
        .map(|source| {
            let (x, y) = distortion.undistorted(source.x, source.y);
            Source { x, y, ..source.clone() }
        })
        .collect();
    let with =
        solve(&moved, objects, &nominal.plane, shape, parameters).ok().and_then(|solution| {
            let coordinates = distortion.world_coordinates(&solution.wcs)?;
            Some(SolvedFrame {
                rms_arcsec: solution.rms_arcsec,
                solution,
                coordinates,
                verdict: Some(DistortionVerdict::Camera),
            })
        });
    match (with, known.origin) {
        (Some(solved), DistortionOrigin::Camera) => Ok(solved),
        (None, _) => Ok(SolvedFrame::plane(plain()?, Some(DistortionVerdict::Refused))),
        (Some(stated), DistortionOrigin::Header) => {
            if let Ok(plane) = plain()
                && contradicts(&plane, &stated.solution)
            {
                return Ok(SolvedFrame::plane(plane, Some(DistortionVerdict::Refused)));
            }
            let stated = SolvedFrame { verdict: Some(DistortionVerdict::Header), ..stated };
            Ok(match refined(&stated, sources, objects, distortion, shape) {
                Some(fit) => SolvedFrame {
                    rms_arcsec: fit.rms_pixels * fit.coordinates.central_scale_arcsec(shape),
                    coordinates: fit.coordinates,
                    verdict: Some(DistortionVerdict::Refined),
                    ..stated
                },
                None => stated,
            })
        }
    }
}

impl SolvedFrame {
    fn plane(solution: AstrometricSolution, verdict: Option<DistortionVerdict>) -> Self {
        Self {
            coordinates: solution.wcs.into(),
            rms_arcsec: solution.rms_arcsec,
            solution,
            verdict,
        }
    }
}

fn contradicts(plane: &AstrometricSolution, distorted: &AstrometricSolution) -> bool {
    let (matched, others) = (plane.matches.len() as f64, distorted.matches.len() as f64);
    // A count varies by its root; a root mean square of n numbers by 1/√(2n) of itself, the difference of two such by √2 more.
    let more = (CONTRADICTION * others).max(CONTRADICTION_SIGMA * others.sqrt());
    let freedom = (2.0 * matched - PLANE_COEFFICIENTS).max(1.0);
    let less = CONTRADICTION.max(CONTRADICTION_SIGMA / freedom.sqrt());
    matched > others + more
        || (matched >= (1.0 - CONTRADICTION) * others
            && plane.rms_arcsec < (1.0 - less) * distorted.rms_arcsec)
}

/// The distortion from the stars of the frame itself, if stars left out confirm that it is better: of the degree that the header states, or of a higher one
/// that is better still.
fn refined(
    stated: &SolvedFrame,
    sources: &[Source],
    objects: &[CatalogueObject],
    distortion: &CameraDistortion,
    shape: (usize, usize),
) -> Option<DistortionFit> {
    let spoiled = SourceFlags::SATURATED
        | SourceFlags::TRUNCATED
        | SourceFlags::MASKED
        | SourceFlags::BLENDED;
    let pairs: Vec<PixelSkyPair> = stated
        .solution
        .matches
        .iter()
        .filter_map(|&(source, object)| Some((sources.get(source)?, objects.get(object)?)))
        .filter(|(source, object)| {
            object.kind != ObjectKind::Galaxy
                && !source.flags.has(spoiled)
                && source.signal_to_noise() >= LEAST_SIGNAL_TO_NOISE
        })
        .map(|(source, object)| PixelSkyPair {
            pixel: (source.x, source.y),
            sky: object.position,
            weight: 1.0,
        })
        .collect();
    let stated_degree =
        distortion.sip.forward.iter().map(|axis| axis.degree()).max().unwrap_or_default();
    let middle = ((shape.1 as f64 - 1.0) / 2.0, (shape.0 as f64 - 1.0) / 2.0);
    let halves = halves(&pairs);
    let as_stated = |taught: &[PixelSkyPair]| {
        let straight: Vec<PixelSkyPair> = taught
            .iter()
            .map(|pair| PixelSkyPair {
                pixel: distortion.undistorted(pair.pixel.0, pair.pixel.1),
                ..*pair
            })
            .collect();
        let plane = TangentPlane::fit(&straight, distortion.reference_pixel).ok_or(())?;
        distortion.world_coordinates(&plane).ok_or(())
    };
    let kept = median_miss(&halves, as_stated).ok()?;
    let (mut least, mut best) = (kept, None);
    for degree in stated_degree.max(REFINED_DEGREES.0)..=REFINED_DEGREES.1 {
        if pairs.len() < STARS_PER_COEFFICIENT * powers_up_to(degree).count() {
            break;
        }
        let anew = median_miss(&halves, |taught: &[PixelSkyPair]| {
            fit_sip(taught, middle, degree, CLIP_SIGMA).map(|fit| fit.coordinates)
        });
        if let Ok(miss) = anew
            && miss < (1.0 - LEAST_GAIN) * least
        {
            (least, best) = (miss, Some(degree));
        }
    }
    fit_sip(&pairs, middle, best?, CLIP_SIGMA).ok()
}

#[cfg(test)]
mod tests {
    use super::super::astrometry::tests::source;
    use super::*;
    use crate::imaging::distortion_fit::tests::{camera, stars};
    use crate::imaging::polynomial::{BivariatePolynomial, PolynomialTerm};
    use crate::imaging::sip::SipDistortion;
    use crate::imaging::world_coordinates::Distortion;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    const SHAPE: (usize, usize) = (2048, 2048);

    /// The same camera with its distortion `times` as strong.
    fn scaled(camera: &WorldCoordinates, times: f64) -> WorldCoordinates {
        let Distortion::Sip(sip) = &camera.distortion else { panic!("no SIP") };
        let forward = sip.forward.each_ref().map(|axis| {
            let terms: Vec<PolynomialTerm> = axis
                .terms()
                .map(|term| PolynomialTerm { coefficient: times * term.coefficient, ..term })
                .collect();
            BivariatePolynomial::new(&terms).unwrap()
        });
        let distortion = Distortion::Sip(SipDistortion { forward, inverse: None });
        WorldCoordinates { distortion, ..camera.clone() }
    }

    /// `count` stars with centroids good to 0.03 pixel, a header that says `times` the distortion and is 15″ off.
    fn solved(count: usize, times: f64) -> (SolvedFrame, f64) {
        let mut random = ChaCha8Rng::seed_from_u64(31);
        let camera = camera(3, &mut random);
        let pairs = stars(&camera, count, 0.03, &mut random);
        let (sources, objects): (Vec<Source>, Vec<CatalogueObject>) = pairs
            .iter()
            .enumerate()
            .map(|(number, pair)| {
                let flux = 1e6 / (number + 1) as f64;
                let object = CatalogueObject {
                    id: number.to_string(),
                    kind: ObjectKind::Star,
                    position: pair.sky,
                    magnitude: 25.0 - 2.5 * flux.log10(),
                    magnitude_error: 0.01,
                    magnitudes: Vec::new(),
                };
                (source(pair.pixel.0, pair.pixel.1, flux), object)
            })
            .unzip();
        let mut header = scaled(&camera, times);
        header.plane.reference_sky = header.plane.reference_sky.offset_arcsec(9.0, -12.0);
        let stated = CameraDistortion::stated("C1", SHAPE, &header).unwrap();
        let nominal = Nominal {
            plane: header.closest_plane(SHAPE).unwrap(),
            coordinates: header,
            distortion: Some(super::super::nominal::KnownDistortion {
                distortion: std::borrow::Cow::Owned(stated),
                origin: DistortionOrigin::Header,
            }),
        };
        let solved =
            solve_frame(&sources, &objects, &nominal, SHAPE, &AstrometryParameters::default())
                .unwrap();
        let worst = [(0.0, 0.0), (2047.0, 0.0), (0.0, 2047.0), (2047.0, 2047.0), (1000.0, 900.0)]
            .map(|(x, y)| {
                let truth = camera.pixel_to_sky(x, y);
                solved.coordinates.pixel_to_sky(x, y).separation_arcsec(truth)
            })
            .into_iter()
            .fold(0.0, f64::max);
        println!(
            "{count} stars, header {times} times: {:?}, {} matches, rms {:.4}, worst {worst:.4} arcsec",
            solved.verdict,
            solved.solution.matches.len(),
            solved.rms_arcsec
        );
        (solved, worst)
    }

    #[test]
    fn a_right_header_is_kept_and_an_old_one_refined() {
        let (kept, worst) = solved(400, 1.0);
        assert_eq!(kept.verdict, Some(DistortionVerdict::Header));
        assert!(worst < 0.02 && kept.solution.matches.len() > 390, "{worst}");
        let (refined, worst) = solved(400, 0.8);
        assert_eq!(refined.verdict, Some(DistortionVerdict::Refined));
        // Ten coefficients of 400 stars of 0.02″: at a corner a few times 0.02″·√(10/400).
        assert!(worst < 0.03 && refined.rms_arcsec < 0.03, "{worst} {refined:?}");
        // Too few to say anything better than the header.
        let (few, _) = solved(60, 0.9);
        assert_eq!(few.verdict, Some(DistortionVerdict::Header));
    }

    #[test]
    fn a_header_that_the_stars_contradict_is_left_aside() {
        let (refused, _) = solved(400, -1.0);
        assert_eq!(refused.verdict, Some(DistortionVerdict::Refused));
        assert!(!refused.coordinates.is_distorted());
    }
}
