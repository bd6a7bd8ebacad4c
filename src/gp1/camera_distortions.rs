//! The distortions of the cameras: learned from solved frames by `gic distortion`, kept in files that the configuration names, used
//! by the astrometry of every frame of the camera.
//!
//! No frame changes them while a night runs: what a night gives depends on its frames and on its configuration.

use super::astrometry::AstrometryStatus;
use super::error::Gp1Error;
use super::frame_input::reduced_record;
use super::nominal::plane_of;
use super::reduced_file::read_measurement;
use super::settings::InstanceSettings;
use super::source_table::{MeasuredSource, read_sources};
use super::workspace::{component, write_atomically};
use crate::fits::{FitsStore, keywords::KeywordMap};
use crate::imaging::camera_distortion::CameraDistortion;
use crate::imaging::distortion_fit::{DistortionFitError, fit_sip};
use crate::imaging::left_out::median_miss;
use crate::imaging::wcs::{PixelSkyPair, TangentPlane};
use crate::imaging::world_coordinates::WorldCoordinates;
use crate::model::{FrameKeywords, ObjectKind, SourceFlags, UtcTime};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Stars fainter than this many times their noise do not teach.
const LEAST_SIGNAL_TO_NOISE: f64 = 20.0;
/// Residuals beyond this many standard deviations are of wrong pairs.
const CLIP_SIGMA: f64 = 4.0;
/// Stars a distortion was not learned from must lie nearer to their places by it than by a plane, by this share of the median distance.
const LEAST_GAIN: f64 = 0.05;
/// The ending of the files.
const ENDING: &str = "json";
const MAXIMUM_BYTES: u64 = 1 << 20;

/// The name by which a camera's distortion is known: that of its file, else what its header says.
pub fn camera_name(keywords: &FrameKeywords) -> &str {
    match keywords.camera.name.as_str() {
        "" => &keywords.instrument,
        name => name,
    }
}

impl InstanceSettings {
    /// The same with the distortions of the file or directory that `astrometry.cfg` names, if it does.
    ///
    /// # Errors
    /// Those of [`read`].
    pub fn with_distortions(self, path: Option<&Path>) -> Result<Self, Gp1Error> {
        let distortions = path.map_or(Ok(Vec::new()), read)?;
        Ok(Self { distortions, ..self })
    }

    /// What is remembered of the camera of a frame of `shape` (rows, columns).
    pub fn distortion_of(
        &self,
        keywords: &FrameKeywords,
        shape: (usize, usize),
    ) -> Option<&CameraDistortion> {
        let camera = camera_name(keywords);
        self.distortions.iter().find(|known| known.check(camera, shape).is_ok())
    }
}

/// Reads a file, or all of a directory by name.
///
/// # Errors
/// [`Gp1Error::Io`], and [`Gp1Error::Content`] for a file that is none, or of another version of the program.
pub fn read(path: &Path) -> Result<Vec<CameraDistortion>, Gp1Error> {
    let failed = |source| Gp1Error::Io { path: path.to_owned(), source };
    if !std::fs::metadata(path).map_err(failed)?.is_dir() {
        return Ok(vec![read_one(path)?]);
    }
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(path).map_err(failed)? {
        let file = entry.map_err(failed)?.path();
        if file.extension().is_some_and(|ending| ending == ENDING) {
            files.push(file);
        }
    }
    files.sort();
    files.iter().map(|file| read_one(file)).collect()
}

fn read_one(path: &Path) -> Result<CameraDistortion, Gp1Error> {
    let failed = |source| Gp1Error::Io { path: path.to_owned(), source };
    let wrong = |what: String| Gp1Error::Content { path: path.to_owned(), what };
    let length = std::fs::metadata(path).map_err(failed)?.len();
    if length > MAXIMUM_BYTES {
        return Err(wrong(format!("{length} bytes are no distortion of a camera")));
    }
    let text = std::fs::read(path).map_err(failed)?;
    let known: CameraDistortion =
        serde_json::from_slice(&text).map_err(|error| wrong(error.to_string()))?;
    known.check(&known.camera, known.shape).map_err(|error| wrong(error.to_string()))?;
    Ok(known)
}

/// Writes what was learned into `directory`, one file for each camera and size of frame. The path written.
pub fn write(directory: &Path, learned: &CameraDistortion) -> Result<PathBuf, Gp1Error> {
    let (rows, columns) = learned.shape;
    let name = format!("{}_{rows}x{columns}.{ENDING}", component(&learned.camera));
    let path = directory.join(name);
    let text = serde_json::to_vec_pretty(learned)
        .map_err(|error| Gp1Error::Content { path: path.clone(), what: error.to_string() })?;
    write_atomically(&path, &text)?;
    Ok(path)
}

/// Learns the distortion of the one camera of `frames` (reduced frames, each with its table of sources and its quality record beside it) as a SIP
/// polynomial of degree `order`. Of the frames themselves the headers are read. Those that were not solved teach nothing.
///
/// # Errors
/// [`Gp1Error::Input`] for frames of several cameras, none solved, stars that give no sound fit, or a distortion that stars it was not learned from do not
/// confirm: the errors of a catalogue are the same in every frame, and would be taken for one.
pub fn learn(
    store: &dyn FitsStore,
    keywords: &KeywordMap,
    frames: &[PathBuf],
    order: usize,
) -> Result<CameraDistortion, Gp1Error> {
    let wrong = |what: String| Gp1Error::Input { module: "distortion".into(), what };
    let mut lesson: Option<Lesson> = None;
    for path in frames {
        let beside = |ending: &str| {
            file_beside(path, ending).ok_or_else(|| {
                wrong(format!("{} is not named as a reduced frame is", path.display()))
            })
        };
        let header = store.read_header(path)?;
        let status = header.text("WCSSTAT").unwrap_or_default();
        if AstrometryStatus::from_word(&status) != AstrometryStatus::Solved {
            continue;
        }
        let shape = read_measurement(&beside("_quality.json")?)?.shape;
        let Some(plane) = plane_of(&header, shape) else { continue };
        let record = reduced_record(keywords, path, &header, shape, "")?;
        let camera = camera_name(&record.keywords).to_owned();
        let lesson = lesson.get_or_insert_with(|| Lesson {
            camera: camera.clone(),
            shape,
            common: plane,
            date: record.keywords.date_obs,
            stars: Vec::new(),
        });
        if (camera.as_str(), shape) != (lesson.camera.as_str(), lesson.shape) {
            let what = format!("{} is of another camera or size than the first", path.display());
            return Err(wrong(what));
        }
        lesson.date = lesson.date.max(record.keywords.date_obs);
        lesson.add(&plane, &read_sources(store, &beside("_sources.fits")?)?);
    }
    let lesson = lesson.ok_or_else(|| wrong("none of the frames is solved".into()))?;
    let learned = lesson.learned(order).map_err(|error| wrong(error.to_string()))?;
    lesson.confirm(order).map_err(wrong)?;
    Ok(learned)
}

/// `<frame><ending>` beside `<frame>_reduced.fits`.
fn file_beside(reduced: &Path, ending: &str) -> Option<PathBuf> {
    let stem = reduced.file_name()?.to_str()?.strip_suffix("_reduced.fits")?;
    Some(reduced.with_file_name(format!("{stem}{ending}")))
}

/// Stars of one camera from frames of any pointing.
struct Lesson {
    camera: String,
    shape: (usize, usize),
    /// The plane of the first frame: the sky of the others is carried to it.
    common: TangentPlane,
    date: UtcTime,
    /// The name in the catalogue, and where it was.
    stars: Vec<(String, PixelSkyPair)>,
}

impl Lesson {
    fn add(&mut self, plane: &TangentPlane, sources: &[MeasuredSource]) {
        let spoiled = SourceFlags::SATURATED
            | SourceFlags::TRUNCATED
            | SourceFlags::MASKED
            | SourceFlags::BLENDED;
        for MeasuredSource { source, object } in sources {
            let Some(object) = object.as_ref().filter(|object| object.kind != ObjectKind::Galaxy)
            else {
                continue;
            };
            if source.flags.has(spoiled) || source.signal_to_noise() < LEAST_SIGNAL_TO_NOISE {
                continue;
            }
            // Where the star would be on a camera without distortion, and what the first frame would call that place.
            let Some((x, y)) = plane.sky_to_pixel(object.position) else { continue };
            let sky = self.common.pixel_to_sky(x, y);
            let pair = PixelSkyPair { pixel: (source.x, source.y), sky, weight: 1.0 };
            self.stars.push((object.id.clone(), pair));
        }
    }

    fn middle(&self) -> (f64, f64) {
        ((self.shape.1 as f64 - 1.0) / 2.0, (self.shape.0 as f64 - 1.0) / 2.0)
    }

    /// Learns from half of the stars and looks at the other half, and the other way round. What speaks against the distortion, if
    /// anything does.
    fn confirm(&self, order: usize) -> Result<(), String> {
        let names: BTreeSet<&str> = self.stars.iter().map(|(name, _)| name.as_str()).collect();
        let second: BTreeSet<&str> = names.iter().skip(1).step_by(2).copied().collect();
        let halves: [Vec<PixelSkyPair>; 2] = [false, true].map(|is_second| {
            let of_half =
                self.stars.iter().filter(|(name, _)| second.contains(name.as_str()) == is_second);
            of_half.map(|(_, pair)| *pair).collect()
        });
        let with = median_miss(&halves, |taught: &[PixelSkyPair]| {
            fit_sip(taught, self.middle(), order, CLIP_SIGMA)
                .map(|fit| fit.coordinates)
                .map_err(|error| format!("half of the stars: {error}"))
        })?;
        let without = median_miss(&halves, |taught: &[PixelSkyPair]| {
            TangentPlane::fit(taught, self.middle())
                .map(WorldCoordinates::from)
                .ok_or_else(|| "half of the stars make no plane".to_owned())
        })?;
        if with < (1.0 - LEAST_GAIN) * without {
            return Ok(());
        }
        Err(format!(
            "{} stars show no distortion: those that were left out lie {with:.4} pixels from their places by it, {without:.4} by a plane",
            names.len()
        ))
    }

    fn learned(&self, order: usize) -> Result<CameraDistortion, DistortionFitError> {
        let pairs: Vec<PixelSkyPair> = self.stars.iter().map(|(_, pair)| *pair).collect();
        let fit = fit_sip(&pairs, self.middle(), order, CLIP_SIGMA)?;
        CameraDistortion::learned(&self.camera, self.shape, &fit, self.date)
            .ok_or(DistortionFitError::Degenerate)
    }
}

#[cfg(test)]
mod tests {
    use super::super::astrometry::{locate, tests::source};
    use super::super::nominal::Nominal;
    use super::super::settings::{AlignmentParameters, Steps};
    use super::super::source_table::IdentifiedObject;
    use super::*;
    use crate::imaging::astrometry::AstrometryParameters;
    use crate::imaging::distortion_fit::tests::{camera, stars};
    use crate::model::{CatalogueObject, SkyPosition};
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    const SHAPE: (usize, usize) = (2048, 2048);

    fn pointed(camera: &WorldCoordinates, ra: f64, dec: f64) -> WorldCoordinates {
        let mut pointed = camera.clone();
        pointed.plane.reference_sky = SkyPosition::new(ra, dec);
        pointed
    }

    /// Stars on a frame, brightest first, and what the catalogue says of them.
    fn field(
        frame: &WorldCoordinates,
        random: &mut ChaCha8Rng,
    ) -> (Vec<MeasuredSource>, Vec<CatalogueObject>) {
        let pairs = stars(frame, 400, 0.02, random);
        pairs
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
                let source = source(pair.pixel.0, pair.pixel.1, flux);
                let known = Some(IdentifiedObject::of(&object));
                (MeasuredSource { source, object: known }, object)
            })
            .unzip()
    }

    fn lesson(camera: &WorldCoordinates, random: &mut ChaCha8Rng) -> Lesson {
        let frames =
            [(30.0, 24.0), (31.0, 23.0), (200.0, -60.0)].map(|(ra, dec)| pointed(camera, ra, dec));
        let mut lesson = Lesson {
            camera: "C1".into(),
            shape: SHAPE,
            common: frames[0].closest_plane(SHAPE).unwrap(),
            date: UtcTime::from_unix_microseconds(1_700_000_000_000_000),
            stars: Vec::new(),
        };
        for frame in &frames {
            lesson.add(&frame.closest_plane(SHAPE).unwrap(), &field(frame, random).0);
        }
        lesson
    }

    #[test]
    fn what_frames_of_several_fields_teach_solves_another_to_its_corners() {
        let mut random = ChaCha8Rng::seed_from_u64(11);
        let camera = camera(3, &mut random);
        let learned = lesson(&camera, &mut random).learned(3).unwrap();
        assert!(learned.star_count > 1000 && learned.rms_pixels < 0.03, "{learned:?}");

        let truth = pointed(&camera, 120.0, 10.0);
        let (measured, catalogue) = field(&truth, &mut random);
        let sources: Vec<_> = measured.into_iter().map(|each| each.source).collect();
        let mut plane = truth.closest_plane(SHAPE).unwrap();
        plane.reference_sky = plane.reference_sky.offset_arcsec(15.0, -20.0);
        let worst = |distortion: Option<&CameraDistortion>| {
            let located =
                locate(
                    &sources,
                    Some(&catalogue),
                    Some(&distortion.map_or(Nominal::undistorted(plane), |known| {
                        Nominal::learned(plane, known)
                    })),
                    SHAPE,
                    &AstrometryParameters::default(),
                    &[],
                    &AlignmentParameters::default(),
                );
            let found = located.wcs.unwrap();
            let corners = [(0.0, 0.0), (2047.0, 0.0), (0.0, 2047.0), (2047.0, 2047.0)];
            let errors = corners
                .map(|(x, y)| found.pixel_to_sky(x, y).separation_arcsec(truth.pixel_to_sky(x, y)));
            (errors.into_iter().fold(0.0, f64::max), located.match_count)
        };
        let (with, without) = (worst(Some(&learned)), worst(None));
        assert!(with.0 < 0.03 && with.1 > 380, "{with:?}");
        assert!(without.0 > 1.0, "the plane alone: {without:?}");
    }

    #[test]
    fn the_errors_of_a_catalogue_are_not_taken_for_a_distortion() {
        let mut random = ChaCha8Rng::seed_from_u64(13);
        let real = camera(3, &mut random);
        assert_eq!(lesson(&real, &mut random).confirm(3), Ok(()));

        // Sixty frames of one field on a perfect camera: 100 stars, each with the same error every time.
        let plane = real.closest_plane(SHAPE).unwrap();
        let perfect: WorldCoordinates = plane.into();
        let stars = stars(&perfect, 100, 0.1, &mut random);
        let lesson = Lesson {
            camera: "C1".into(),
            shape: SHAPE,
            common: plane,
            date: UtcTime::from_unix_microseconds(0),
            stars: (0..60)
                .flat_map(|_| {
                    stars.iter().enumerate().map(|(name, pair)| (name.to_string(), *pair))
                })
                .collect(),
        };
        let fit = lesson.learned(3).unwrap();
        assert!(fit.star_count > 5000);
        let complaint = lesson.confirm(3).unwrap_err();
        assert!(complaint.starts_with("100 stars show no distortion"), "{complaint}");
    }

    #[test]
    fn it_is_kept_in_a_file_and_used_for_its_own_camera_alone() {
        let mut random = ChaCha8Rng::seed_from_u64(12);
        let camera = camera(2, &mut random);
        let learned = lesson(&camera, &mut random).learned(2).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let path = write(directory.path(), &learned).unwrap();
        assert!(path.ends_with("C1_2048x2048.json"));
        std::fs::write(directory.path().join("notes.txt"), "not one").unwrap();
        let settings = InstanceSettings::new("svom", Steps::ALL, "workspace");
        let without = settings.fingerprint();
        let settings = settings.with_distortions(Some(directory.path())).unwrap();
        // Other distortions are another configuration.
        assert_ne!(settings.fingerprint(), without);
        let keywords = |instrument: &str| FrameKeywords {
            instrument: instrument.into(),
            ..crate::gp1::workspace::tests::keywords(None)
        };
        assert!(settings.distortion_of(&keywords("C1"), SHAPE).is_some());
        assert!(settings.distortion_of(&keywords("C2"), SHAPE).is_none());
        assert!(settings.distortion_of(&keywords("C1"), (1024, 1024)).is_none());

        std::fs::write(directory.path().join("broken.json"), "{}").unwrap();
        assert!(matches!(read(directory.path()), Err(Gp1Error::Content { .. })));
        assert!(matches!(read(Path::new("/nowhere/at/all")), Err(Gp1Error::Io { .. })));
    }
}
