//! The masters of a night: from journaled calibration frames to files in `masters/`, with the daily record.

use super::{
    Gp1Error, MastersInForce,
    calibration_record::calibration_record,
    frame_input::{expand, frame_stem},
    frame_pixels::FramePixels,
    master_file::write_master,
    masters::{
        CalibrationFrame, MasterCandidate, MasterFailure, MasterPolicy, ValidationCuts,
        make_masters,
    },
    workspace::{make_directory, write_atomically},
};
use crate::{
    config::controller::{CalibrationSettings, SiteSettings},
    fits::{FitsStore, KeywordMap},
    imaging::{calibration::Combination, combination::PixelRows},
    model::{FrameRecord, Master},
};
use std::path::{Path, PathBuf};

/// How masters are made, judged and recorded.
#[derive(Debug, Clone, PartialEq)]
pub struct MasterSettings {
    pub policy: MasterPolicy,
    /// ORIGIN and TELESCOP of the record.
    pub origin: String,
    pub telescope: String,
}

impl MasterSettings {
    /// The settings of `gic.toml`; cuts that it does not name keep their defaults.
    pub fn from_config(calibration: &CalibrationSettings, site: &SiteSettings) -> Self {
        let [low, high] = calibration.mean_difference;
        let [_, rms] = calibration.rms_difference;
        Self {
            policy: MasterPolicy {
                minimum_frames: calibration.minimum_frames,
                combination: Combination::ClippedMean { sigma: calibration.clip_sigma as f32 },
                bias_cuts: ValidationCuts { mean_difference: high.max(-low), rms_difference: rms },
                ..MasterPolicy::default()
            },
            origin: site.origin.clone(),
            telescope: site.telescope.clone(),
        }
    }
}

/// What became of the calibration frames of a night.
#[derive(Debug, Clone, Default)]
pub struct NightMasters {
    /// Valid and rejected ones, written.
    pub masters: Vec<Master>,
    /// Journal ids of frames that went into a decision.
    pub combined: Vec<i64>,
    /// Journal ids of frames that could not be read, with the reason.
    pub failed: Vec<(i64, String)>,
    /// Masters that could not be made, in words.
    pub missing: Vec<String>,
}

/// What became of calibration frames in files.
#[derive(Debug, Clone, Default)]
pub struct FileMasters {
    /// Valid and rejected ones, written.
    pub masters: Vec<Master>,
    /// Frames that could not be read, with the reason.
    pub failed: Vec<(PathBuf, String)>,
    /// Masters that could not be made, in words.
    pub missing: Vec<String>,
}

/// Makes and writes the masters that the frames allow: valid ones under `<directory>/<kind>/current/`, rejected ones under
/// `<directory>/<kind>/rejected/`, with the daily record beside each. Which of several valid ones is in force is the journal's to
/// say, so no file has to move for it.
pub fn make_night_masters(
    frames: &[FrameRecord],
    in_force: &[Master],
    directory: &Path,
    store: &dyn FitsStore,
    settings: &MasterSettings,
) -> Result<NightMasters, Gp1Error> {
    let mut night = NightMasters::default();
    let (mut opened, mut ids) = (Vec::new(), Vec::new());
    for frame in frames {
        let pixels = FramePixels::open(store, &frame.path)
            .and_then(|pixels| pixels.with_sections(&frame.keywords.camera));
        match pixels {
            Ok(pixels) => {
                ids.push(frame.id);
                opened.push(CalibrationFrame {
                    name: frame.identity.name.clone(),
                    keywords: frame.keywords.clone(),
                    pixels,
                });
            }
            Err(error) => night.failed.push((frame.id, error.to_string())),
        }
    }
    let before = MastersInForce::load(store, in_force)?;
    let made = make_masters(opened, store, &before, &settings.policy);
    for (place, id) in ids.into_iter().enumerate() {
        match made.unreadable.iter().find(|unreadable| unreadable.0 == place) {
            Some((_, reason)) => night.failed.push((id, reason.clone())),
            None => night.combined.push(id),
        }
    }
    let (masters, missing) = write_made(made.outcomes, directory, store, settings)?;
    Ok(NightMasters { masters, missing, ..night })
}

/// As [`make_night_masters`], of frames in files, without a journal and without masters in force.
pub fn make_masters_of_files(
    inputs: &[PathBuf],
    directory: &Path,
    store: &dyn FitsStore,
    keywords: &KeywordMap,
    settings: &MasterSettings,
) -> Result<FileMasters, Gp1Error> {
    let (mut opened, mut paths, mut failed) = (Vec::new(), Vec::new(), Vec::new());
    for path in expand(inputs)? {
        match open_frame(&path, store, keywords) {
            Ok(frame) => {
                opened.push(frame);
                paths.push(path);
            }
            Err(error) => failed.push((path, error.to_string())),
        }
    }
    let made = make_masters(opened, store, &MastersInForce::default(), &settings.policy);
    failed.extend(
        made.unreadable
            .into_iter()
            .filter_map(|(place, reason)| paths.get(place).map(|path| (path.clone(), reason))),
    );
    let (masters, missing) = write_made(made.outcomes, directory, store, settings)?;
    Ok(FileMasters { masters, failed, missing })
}

fn open_frame(
    path: &Path,
    store: &dyn FitsStore,
    keywords: &KeywordMap,
) -> Result<CalibrationFrame, Gp1Error> {
    let pixels = FramePixels::open(store, path)?;
    let name = frame_stem(path).unwrap_or_default().to_owned();
    let (rows, columns) = pixels.dim();
    let keywords = keywords
        .read(pixels.header(), &name, (columns, rows))
        .map_err(|source| Gp1Error::Keywords { path: path.to_owned(), source })?;
    let pixels = pixels.with_sections(&keywords.camera)?;
    Ok(CalibrationFrame { name, keywords, pixels })
}

/// Writes those that were made; in words those that were not.
fn write_made(
    outcomes: Vec<Result<MasterCandidate, MasterFailure>>,
    directory: &Path,
    store: &dyn FitsStore,
    settings: &MasterSettings,
) -> Result<(Vec<Master>, Vec<String>), Gp1Error> {
    let (mut masters, mut missing) = (Vec::new(), Vec::new());
    for outcome in outcomes {
        let candidate = match outcome {
            Ok(candidate) => candidate,
            Err(failure) => {
                missing.push(failure.to_string());
                continue;
            }
        };
        let place = if candidate.record.valid { "current" } else { "rejected" };
        let kind = directory.join(candidate.record.kind.to_string());
        let master = write_master(store, &kind.join(place), &candidate)?;
        write_record(&master, settings)?;
        masters.push(master);
    }
    Ok((masters, missing))
}

/// `<master>.json`: the record of seed 003 for the web side.
fn write_record(master: &Master, settings: &MasterSettings) -> Result<(), Gp1Error> {
    let record = calibration_record(master, &settings.origin, &settings.telescope);
    let path = master.path.with_extension("json");
    if let Some(parent) = path.parent() {
        make_directory(parent)?;
    }
    let text = serde_json::to_vec_pretty(&record)
        .map_err(|error| Gp1Error::Content { path: path.clone(), what: error.to_string() })?;
    write_atomically(&path, &text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::ControllerConfig,
        fits::{Header, NewPlane, cfitsio::Cfitsio},
        imaging::Image,
        model::MasterKind,
    };

    fn write(directory: &Path, kind: &str, number: usize, level: f32, seconds: f64) {
        let data = Image::from_shape_fn((40, 48), |(row, column)| {
            level + ((row * 7 + column * 3 + number * 5) % 5) as f32 - 2.0
        });
        let mut header = Header::new();
        header.set("EXPTYPE", kind, "");
        header.set("EXPTIME", seconds, "");
        header.set("DATE-OBS", format!("2026-11-02T01:00:{number:02}"), "");
        header.set("INSTRUME", "C0", "");
        header.set("FILTER", "w", "");
        let path = directory.join(format!("20261102T0100{number:02}C0{}.fits", &kind[..1]));
        let images = [("", &header, NewPlane::Unsigned16(&data))];
        Cfitsio.write_images(&path, &images).unwrap();
    }

    #[test]
    fn files_become_masters_and_what_cannot_be_read_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let (frames, masters) = (directory.path().join("in"), directory.path().join("out"));
        std::fs::create_dir(&frames).unwrap();
        for number in 0..5 {
            write(&frames, "bias", number, 600.0, 0.0);
            write(&frames, "dark", 10 + number, 650.0, 50.0);
            write(&frames, "object", 20 + number, 900.0, 50.0);
        }
        write(&frames, "flat", 30, 9000.0, 5.0);
        std::fs::write(frames.join("20261102T010040C0b.fits"), b"SIMPLE").unwrap();
        let config = ControllerConfig::default();
        let made = make_masters_of_files(
            std::slice::from_ref(&frames),
            &masters,
            &Cfitsio,
            &KeywordMap::default(),
            &MasterSettings::from_config(&config.calibration, &config.site),
        )
        .unwrap();
        let [bias, dark] = made.masters.as_slice() else { panic!("{made:?}") };
        assert_eq!((bias.kind, bias.frame_count), (MasterKind::Bias, 5));
        assert_eq!((dark.kind, dark.statistics.median), (MasterKind::Dark, 1.0));
        assert!(bias.path.starts_with(masters.join("bias/current")));
        assert!(bias.path.with_extension("json").exists());
        assert!((Cfitsio.read_image(&bias.path).unwrap().data.mean().unwrap() - 600.0).abs() < 0.1);
        assert_eq!(made.failed.len(), 1);
        assert!(made.missing[0].contains("1 good frames"), "{:?}", made.missing);
    }
}
