//! Solutions of real frames reproduced from their sources alone. Each test says that it was skipped where the data are absent.

use gic::fits::{FitsStore, Header, pure::PureRust, wcs_cards};
use gic::gp1::astrometry::{Nominal, distortion_of, locate};
use gic::gp1::findstars::find_stars;
use gic::gp1::settings::{AlignmentParameters, FindstarsParameters};
use gic::imaging::astrometry::AstrometryParameters;
use gic::imaging::wcs::{TangentPlane, cd_from_rotation};
use gic::imaging::world_coordinates::WorldCoordinates;
use gic::imaging::{CalibratedImage, Mask};
use gic::model::{CatalogueObject, ObjectKind, Source};
use std::path::{Path, PathBuf};

type Shape = (usize, usize);

struct RealFrame {
    header: Header,
    coordinates: WorldCoordinates,
    sources: Vec<Source>,
    shape: Shape,
}

fn data(name: &str) -> Option<PathBuf> {
    let root = std::env::var_os("GIC_TEST_DATA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data"),
        PathBuf::from,
    );
    let path = root.join(name);
    if path.exists() {
        return Some(path);
    }
    println!("skipped: {} is not there", path.display());
    None
}

/// A frame with a solution in its header, and its sources.
fn read(path: &Path) -> RealFrame {
    let image = PureRust.read_image(path).unwrap();
    let shape = image.data.dim();
    let variance = image.data.mapv(|value| value.max(1.0));
    let pixels = CalibratedImage { data: image.data, variance, mask: Mask::zeros(shape) };
    let sources = find_stars(&pixels, &FindstarsParameters::default()).detections.sources;
    let coordinates = wcs_cards::read_distorted(&image.header).unwrap();
    RealFrame { header: image.header, coordinates, sources, shape }
}

/// What the frame shows, as a catalogue of the sky.
fn catalogue_of(frame: &RealFrame) -> Vec<CatalogueObject> {
    frame
        .sources
        .iter()
        .enumerate()
        .filter(|(_, source)| source.flux_electrons > 0.0)
        .map(|(number, source)| CatalogueObject {
            id: number.to_string(),
            kind: ObjectKind::Star,
            position: frame.coordinates.pixel_to_sky(source.x, source.y),
            magnitude: 30.0 - 2.5 * source.flux_electrons.log10(),
            magnitude_error: 0.05,
            magnitudes: Vec::new(),
        })
        .collect()
}

/// Solves from a pointing that is wrong by 4′ and says nothing of how the frame lies; the largest distance from the header's own
/// solution over corners and centre, arcseconds.
fn solve_and_compare(frame: &RealFrame, catalogue: &[CatalogueObject]) -> f64 {
    let (rows, columns) = frame.shape;
    let last = (columns as f64 - 1.0, rows as f64 - 1.0);
    let middle = (last.0 / 2.0, last.1 / 2.0);
    let scale = frame.coordinates.scale_arcsec(middle.0, middle.1) / 3600.0 * 1.01;
    let plane = TangentPlane {
        reference_pixel: middle,
        reference_sky: frame
            .coordinates
            .pixel_to_sky(middle.0, middle.1)
            .offset_arcsec(180.0, -160.0),
        cd: cd_from_rotation((-scale, scale), 77.0),
    };
    let distortion = distortion_of(&frame.header, "", frame.shape);
    let located = locate(
        &frame.sources,
        Some(catalogue),
        Some(Nominal { plane, distortion: distortion.as_ref() }),
        frame.shape,
        &AstrometryParameters::default(),
        &[],
        &AlignmentParameters::default(),
    );
    let found = located.coordinates.filter(|_| located.correction.is_some());
    let found = found.unwrap_or_else(|| panic!("{}", located.history));
    [(0.0, 0.0), (last.0, 0.0), (0.0, last.1), last, middle]
        .iter()
        .map(|&(x, y)| {
            found.pixel_to_sky(x, y).separation_arcsec(frame.coordinates.pixel_to_sky(x, y))
        })
        .fold(0.0, f64::max)
}

#[test]
fn the_solutions_of_arcsat_frames_are_reproduced_against_another_frame() {
    let Some(directory) = data("arcsat_xo1_z") else { return };
    let times = ["041008", "042313", "043123", "044440", "045253", "050102", "050913", "052513"];
    let frames: Vec<RealFrame> = times
        .iter()
        .map(|time| read(&directory.join(format!("XO1-b_z_20250602_{time}.fits.fz"))))
        .collect();
    let catalogue = catalogue_of(&frames[0]);
    for (frame, time) in frames.iter().zip(times).skip(1) {
        let worst = solve_and_compare(frame, &catalogue);
        println!("ARCSAT {time}: {worst:.2} arcsec");
        // A pixel is 0.67 arcsec; each header's solution is its own fit to some stars.
        assert!(worst < 1.5, "{time}: {worst} arcsec");
    }
}

#[test]
fn frames_with_sip_in_their_header_are_reproduced_with_it() {
    for (name, limit) in [("frames_misc/fram.fits", 0.05), ("frames_misc/solved.fits.fz", 0.05)] {
        let Some(path) = data(name) else { continue };
        let frame = read(&path);
        let worst = solve_and_compare(&frame, &catalogue_of(&frame));
        println!("{name}: {worst:.4} arcsec");
        assert!(worst < limit, "{name}: {worst} arcsec");
    }
}
