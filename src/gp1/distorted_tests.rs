//! Frames of a strongly distorted camera through the deep path: measured, solved or not, stacked, and compared with the truth.

use super::camera_distortions::learn;
use super::error::Gp1Error;
use super::frame_group::FrameGroup;
use super::frame_steps::{RawFrame, StepContext, background_of, process_raw};
use super::masters_in_force::MastersInForce;
use super::reduced_file::read_reduced;
use super::settings::{InstanceSettings, Steps};
use super::test_sky::TestCatalogue;
use super::workspace::{FramePaths, tests::keywords};
use crate::fits::{FitsStore, Header, NewPlane, cfitsio::Cfitsio, keywords::KeywordMap, wcs_cards};
use crate::imaging::{
    CalibratedImage, Image,
    camera_distortion::CameraDistortion,
    polynomial::{BivariatePolynomial, PolynomialTerm},
    sip::SipDistortion,
    tpv::{TpvAxis, TpvDistortion},
    wcs::{TangentPlane, cd_from_rotation},
    world_coordinates::{Distortion, WorldCoordinates},
};
use crate::model::{
    CatalogueObject, FrameIdentity, FrameKeywords, FrameRecord, FrameState, ObjectKind,
    SkyPosition, UtcTime,
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Normal};
use std::path::Path;

const SIZE: usize = 1024;
const SHAPE: (usize, usize) = (SIZE, SIZE);
const MIDDLE: f64 = (SIZE as f64 - 1.0) / 2.0;
const SCALE_DEGREES: f64 = 0.000195;
const SKY_ELECTRONS: f64 = 200.0;
const SIGMA_PIXELS: f64 = 1.6;
/// Of the stars: far apart, so that nothing but the resampling is asked.
const SPACING_PIXELS: f64 = 62.0;
/// Holds all light of a star.
const REACH_PIXELS: f64 = 10.0;
/// Frames are dithered by these, arcseconds, and turned, degrees.
const DITHERS: [((f64, f64), f64); 2] = [((0.0, 0.0), 0.0), ((23.0, -31.0), 57.0)];

/// Twelve pixels of third degree in the corners, three of second: what the optics of a fast telescope do.
fn sip() -> SipDistortion {
    let corner = MIDDLE * 2f64.sqrt();
    let (cubic, square) = (12.0 / corner.powi(3), 3.0 / corner.powi(2));
    let axis = |terms: &[((usize, usize), f64)]| {
        let terms: Vec<PolynomialTerm> = terms
            .iter()
            .map(|(powers, coefficient)| PolynomialTerm {
                powers: *powers,
                coefficient: *coefficient,
            })
            .collect();
        BivariatePolynomial::new(&terms).unwrap()
    };
    SipDistortion {
        forward: [
            axis(&[((3, 0), cubic), ((1, 2), cubic), ((2, 0), square)]),
            axis(&[((0, 3), cubic), ((2, 1), cubic), ((1, 1), -square)]),
        ],
        inverse: None,
    }
}

/// The same as TPV writes it: the third degree in the tangent plane.
fn tpv() -> TpvDistortion {
    let corner = MIDDLE * 2f64.sqrt() * SCALE_DEGREES;
    let cubic = 12.0 * SCALE_DEGREES / corner.powi(3);
    let axis = || TpvAxis::new(&[(1, 1.0), (7, cubic), (9, cubic)]).unwrap();
    TpvDistortion { xi: axis(), eta: axis(), pole_longitude_degrees: 180.0 }
}

fn centre() -> SkyPosition {
    SkyPosition::new(30.27, 24.51)
}

/// The coordinates of a frame; `error` moves them by (east, north) arcseconds and a turn in degrees.
fn coordinates(
    distortion: &Distortion,
    index: usize,
    error: ((f64, f64), f64),
) -> WorldCoordinates {
    let ((east, north), turn) = DITHERS[index];
    WorldCoordinates {
        plane: TangentPlane {
            reference_pixel: (MIDDLE, MIDDLE),
            reference_sky: centre().offset_arcsec(east + error.0.0, north + error.0.1),
            cd: cd_from_rotation((-SCALE_DEGREES, SCALE_DEGREES), turn + error.1),
        },
        distortion: distortion.clone(),
    }
}

/// Stars over all frames with their light, electrons.
fn stars() -> Vec<(SkyPosition, f64)> {
    let mut random = ChaCha8Rng::seed_from_u64(3);
    let plane = TangentPlane::nominal((MIDDLE, MIDDLE), centre(), SCALE_DEGREES);
    let across = (1.6 * SIZE as f64 / SPACING_PIXELS) as usize;
    (0..across * across)
        .map(|place| {
            let mut along = |step: usize| {
                let even = (step as f64 - across as f64 / 2.0 + 0.5) * SPACING_PIXELS;
                MIDDLE + even + random.random_range(-14.0..14.0)
            };
            let (x, y) = (along(place % across), along(place / across));
            let flux = 10f64.powf(random.random_range(5.7..6.5));
            (plane.pixel_to_sky(x, y), flux)
        })
        .collect()
}

fn catalogue(stars: &[(SkyPosition, f64)]) -> TestCatalogue {
    let objects = stars.iter().enumerate().map(|(number, (position, flux))| CatalogueObject {
        id: number.to_string(),
        kind: ObjectKind::Star,
        position: *position,
        magnitude: 25.0 - 2.5 * (flux / 60.0).log10(),
        magnitude_error: 0.01,
        magnitudes: Vec::new(),
    });
    TestCatalogue(objects.collect())
}

/// Light of a frame with its noise.
fn sky(frame: &WorldCoordinates, stars: &[(SkyPosition, f64)], seed: u64) -> Image {
    let mut light = ndarray::Array2::from_elem(SHAPE, SKY_ELECTRONS);
    for (position, flux) in stars {
        let Ok((x, y)) = frame.sky_to_pixel(*position) else { continue };
        let range = |middle: f64| {
            let first = (middle - REACH_PIXELS).max(0.0).ceil() as usize;
            first..((middle + REACH_PIXELS).min(SIZE as f64 - 1.0) + 1.0).max(0.0) as usize
        };
        for row in range(y) {
            for column in range(x) {
                let square = (column as f64 - x).powi(2) + (row as f64 - y).powi(2);
                let variance = SIGMA_PIXELS * SIGMA_PIXELS;
                light[(row, column)] +=
                    flux * (-square / (2.0 * variance)).exp() / (std::f64::consts::TAU * variance);
            }
        }
    }
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    light.mapv(|mean: f64| {
        let noise: f64 = Normal::new(0.0, mean.sqrt()).unwrap().sample(&mut random);
        (mean + noise) as f32
    })
}

/// Writes a frame with these coordinates in its header, wrong or none, and measures it.
fn measure(
    context: StepContext<'_>,
    group: &mut FrameGroup,
    directory: &Path,
    index: usize,
    (data, stated): (&Image, Option<&WorldCoordinates>),
) {
    let start = UtcTime::parse("2019-10-16T04:20:00").unwrap().plus_seconds(70.0 * index as f64);
    let mut header = Header::new();
    header.set("EXPTIME", 60.0, "");
    header.set("DATE-OBS", start.iso_milliseconds(), "");
    header.set("FILTER", "w", "");
    header.set("INSTRUME", "C0", "");
    header.set("EXPTYPE", "object", "");
    if let Some(stated) = stated {
        wcs_cards::write_distorted(&mut header, stated);
    }
    let name = format!("{}C0o", start.compact());
    let path = directory.join(format!("{name}.fits"));
    Cfitsio.write_images(&path, &[("", &header, NewPlane::Float32(data))]).unwrap();
    let record = FrameRecord {
        id: index as i64,
        identity: FrameIdentity { name: name.clone(), data_sha256: format!("{index:064}") },
        path,
        keywords: FrameKeywords {
            filter: "w".into(),
            date_obs: start,
            pointing: Some(centre()),
            gain_electrons: Some(1.0),
            read_noise_electrons: Some(1.0),
            saturation: Some(1e6),
            size_pixels: (SIZE, SIZE),
            ..keywords(Some("929744"))
        },
        instance: "svom".into(),
        arrived_at: start.plus_seconds(62.0),
        state: FrameState::Arrived,
        reason: None,
        attempts: 0,
        quality: None,
    };
    let file = |ending: &str| directory.join(format!("{name}{ending}"));
    let paths = FramePaths {
        reduced: file("_reduced.fits"),
        sources: file("_sources.fits"),
        quality: file("_quality.json"),
        directory: directory.to_owned(),
    };
    let references = group.references();
    let references: Vec<_> = references.iter().map(|known| known.as_reference()).collect();
    let raw =
        RawFrame { path: &record.path, identity: &record.identity, keywords: &record.keywords };
    process_raw(context, raw, &MastersInForce::default(), &references, &paths).unwrap();
    group.absorb(context, &record, &paths).unwrap();
}

/// How stars on the stack differ from the truth: centroid in pixels and light in magnitudes, the worst and the median.
#[derive(Debug, Clone, Copy)]
struct Differences {
    stars: usize,
    worst_pixels: f64,
    median_pixels: f64,
    worst_magnitudes: f64,
    mean_magnitudes: f64,
}

/// `image` is on the pixels of `grid`. Stars within `corner_pixels` of a corner, and not at the edge of `frames`.
fn differences(
    image: &CalibratedImage,
    grid: &WorldCoordinates,
    frames: &[WorldCoordinates],
    stars: &[(SkyPosition, f64)],
    corner_pixels: f64,
) -> Differences {
    let is_inside = |(x, y): (f64, f64)| {
        let inside = 16.0..SIZE as f64 - 17.0;
        inside.contains(&x) && inside.contains(&y)
    };
    let (mut misses, mut magnitudes) = (Vec::new(), Vec::new());
    for (position, flux) in stars {
        let on = |frame: &WorldCoordinates| frame.sky_to_pixel(*position).is_ok_and(is_inside);
        let Ok((x, y)) = grid.sky_to_pixel(*position) else { continue };
        let from_corner = (MIDDLE - (x - MIDDLE).abs()).hypot(MIDDLE - (y - MIDDLE).abs());
        if !is_inside((x, y)) || !frames.iter().all(on) || from_corner > corner_pixels {
            continue;
        }
        let (mut sum, mut x_sum, mut y_sum) = (0.0, 0.0, 0.0);
        let range =
            |middle: f64| (middle - REACH_PIXELS) as usize..=(middle + REACH_PIXELS) as usize;
        for row in range(y) {
            for column in range(x) {
                let (dx, dy) = (column as f64 - x, row as f64 - y);
                if dx.hypot(dy) <= REACH_PIXELS {
                    let value = f64::from(image.data[(row, column)]);
                    sum += value;
                    x_sum += value * dx;
                    y_sum += value * dy;
                }
            }
        }
        misses.push((x_sum / sum).hypot(y_sum / sum));
        magnitudes.push(-2.5 * (sum / flux).log10());
    }
    misses.sort_by(f64::total_cmp);
    Differences {
        stars: misses.len(),
        worst_pixels: misses.last().copied().unwrap_or(f64::NAN),
        median_pixels: misses.get(misses.len() / 2).copied().unwrap_or(f64::NAN),
        worst_magnitudes: magnitudes.iter().fold(0.0, |worst, m: &f64| worst.max(m.abs())),
        mean_magnitudes: magnitudes.iter().sum::<f64>() / magnitudes.len() as f64,
    }
}

/// What the header of the frames says, and what else is known.
struct Case {
    name: &'static str,
    distortion: Distortion,
    in_header: bool,
    learned: bool,
    solved: bool,
}

/// Centroids in the corners and light, on the second frame resampled to the first and on the stack of both.
fn stacked(case: &Case) -> [Differences; 2] {
    let directory = tempfile::tempdir().unwrap();
    let mut settings = InstanceSettings::new("svom", Steps::ALL, directory.path());
    let truth: Vec<WorldCoordinates> =
        (0..2).map(|index| coordinates(&case.distortion, index, ((0.0, 0.0), 0.0))).collect();
    if case.learned {
        let camera = "C0";
        settings.distortions = vec![CameraDistortion::stated(camera, SHAPE, &truth[0]).unwrap()];
    }
    let stars = stars();
    let catalogue = if case.solved { catalogue(&stars) } else { TestCatalogue(Vec::new()) };
    let context = StepContext { settings: &settings, store: &Cfitsio, catalogue: &catalogue };
    let mut group = FrameGroup::default();
    for (index, frame) in truth.iter().enumerate() {
        let data = sky(frame, &stars, 40 + index as u64);
        let stated = if case.in_header { &case.distortion } else { &Distortion::None };
        let nominal = coordinates(stated, index, ((40.0, -25.0), 0.3));
        measure(context, &mut group, directory.path(), index, (&data, Some(&nominal)));
    }
    let frames = group.frames();
    for frame in frames {
        let quality = &frame.measurement.quality;
        println!(
            "{}: {} {} stars, rms {:?} arcsec, {:?}",
            case.name,
            quality.astrometry,
            quality.astrometry_matches,
            quality.astrometry_rms_arcsec,
            frame.not_stacked
        );
        assert_eq!(frame.status.is_absolute(), case.solved, "{}", case.name);
        assert_eq!(frame.not_stacked, None, "{}", case.name);
    }
    let (_, stack) = group.stacks().named()[0];
    assert_eq!(stack.stacked.len(), 2, "{}", case.name);
    let second = read_reduced(context.store, &frames[1].paths.reduced).unwrap();
    let background = background_of(&second.image, &settings);
    let moved = stack.on_grid(&frames[1], &second.image, &background, &settings.alignment).unwrap();
    [&moved, &stack.image()].map(|image| {
        let found = differences(image, &truth[0], &truth, &stars, 330.0);
        println!("{}: {found:?}", case.name);
        found
    })
}

/// Learned from the files that the steps write, through the quality records and the headers alone.
#[test]
fn the_distortion_of_solved_frames_is_learned_from_their_files() {
    let directory = tempfile::tempdir().unwrap();
    let settings = InstanceSettings::new("svom", Steps::QUALITY, directory.path());
    let stars = stars();
    let catalogue = catalogue(&stars);
    let context = StepContext { settings: &settings, store: &Cfitsio, catalogue: &catalogue };
    let distortion = Distortion::Sip(sip());
    let mut group = FrameGroup::default();
    for index in 0..2 {
        let frame = coordinates(&distortion, index, ((0.0, 0.0), 0.0));
        let nominal = coordinates(&distortion, index, ((40.0, -25.0), 0.3));
        let data = sky(&frame, &stars, 50 + index as u64);
        measure(context, &mut group, directory.path(), index, (&data, Some(&nominal)));
    }
    let frames: Vec<_> = group.frames().iter().map(|frame| frame.paths.reduced.clone()).collect();
    let keywords = KeywordMap::default();
    let learned = learn(&Cfitsio, &keywords, &frames, 3).unwrap();
    assert_eq!((learned.camera.as_str(), learned.shape), ("C0", SHAPE));
    assert!(learned.star_count > 400 && learned.rms_pixels < 0.01, "{learned:?}");
    let truth =
        CameraDistortion::stated("C0", SHAPE, &coordinates(&distortion, 0, ((0.0, 0.0), 0.0)));
    let truth = truth.unwrap();
    // A plane may stand between the two: differences of the curvature count.
    let bend = |camera: &CameraDistortion, (x, y): (f64, f64)| {
        let at = |x, y| camera.undistorted(x, y);
        let (middle, near, far) =
            (at(MIDDLE, MIDDLE), at(x, y), at(2.0 * MIDDLE - x, 2.0 * MIDDLE - y));
        (near.0 + far.0 - 2.0 * middle.0, near.1 + far.1 - 2.0 * middle.1)
    };
    for corner in [(20.0, 20.0), (1003.0, 20.0), (400.0, 1003.0)] {
        let (found, expected) = (bend(&learned, corner), bend(&truth, corner));
        let miss = (found.0 - expected.0).hypot(found.1 - expected.1);
        assert!(miss < 0.02, "{corner:?}: {found:?} {expected:?}");
    }
    std::fs::remove_file(&group.frames()[0].paths.quality).unwrap();
    assert!(matches!(learn(&Cfitsio, &keywords, &frames, 3), Err(Gp1Error::Io { .. })));
}

/// Two frames, dithered by 200 pixels and turned by 57 degrees. The light of the faintest star is uncertain by 1.5 mmag on one frame, its centroid by
/// 0.003 pixel.
#[test]
fn corners_of_a_stack_of_distorted_frames_are_where_the_sky_is() {
    let cases = [
        ("SIP in the header", Distortion::Sip(sip()), true, false, true),
        ("TPV in the header", Distortion::Tpv(tpv()), true, false, true),
        ("learned, the header without it", Distortion::Sip(sip()), false, true, true),
        ("learned, without a catalogue", Distortion::Sip(sip()), false, true, false),
        ("SIP in the header, without a catalogue", Distortion::Sip(sip()), true, false, false),
    ];
    // What it is worth: with planes alone the corners of the second frame are pixels away.
    let name = "nothing known";
    let distortion = Distortion::Sip(sip());
    let case = Case { name, distortion, in_header: false, learned: false, solved: true };
    assert!(stacked(&case)[0].median_pixels > 0.5);
    for (name, distortion, in_header, learned, solved) in cases {
        let case = Case { name, distortion, in_header, learned, solved };
        for found in stacked(&case) {
            assert!(found.stars > 15, "{name}: {found:?}");
            assert!(found.worst_pixels < 0.02 && found.median_pixels < 0.01, "{name}: {found:?}");
            assert!(found.worst_magnitudes < 0.005, "{name}: {found:?}");
            assert!(found.mean_magnitudes.abs() < 0.002, "{name}: {found:?}");
        }
    }
}
