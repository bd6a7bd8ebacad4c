//! The masters of a night: from journaled calibration frames to files in `masters/`, with the daily record.

use super::{
    Gp1Error, MastersInForce,
    calibration_record::calibration_record,
    master_file::write_master,
    masters::{CalibrationFrame, MasterPolicy, ValidationCuts, make_masters},
    sections::cut,
    workspace::{make_directory, write_atomically},
};
use crate::{
    config::controller::{CalibrationSettings, SiteSettings},
    fits::FitsStore,
    imaging::calibration::Combination,
    model::{FrameRecord, Master},
};
use std::path::Path;

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
    let mut readable = Vec::new();
    for frame in frames {
        match store.read_image(&frame.path) {
            Ok(image) => {
                night.combined.push(frame.id);
                readable.push(CalibrationFrame {
                    name: frame.identity.name.clone(),
                    keywords: frame.keywords.clone(),
                    data: cut(image.data, None, &frame.keywords.camera).0,
                });
            }
            Err(error) => night.failed.push((frame.id, error.to_string())),
        }
    }
    let before = MastersInForce::load(store, in_force)?;
    for outcome in make_masters(readable, &before, &settings.policy) {
        let candidate = match outcome {
            Ok(candidate) => candidate,
            Err(failure) => {
                night.missing.push(failure.to_string());
                continue;
            }
        };
        let place = if candidate.record.valid { "current" } else { "rejected" };
        let kind = directory.join(candidate.record.kind.to_string());
        let master = write_master(store, &kind.join(place), &candidate)?;
        write_record(&master, settings)?;
        night.masters.push(master);
    }
    Ok(night)
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
