//! Masters that `reduction.cfg` names: used for every frame of their shape, whatever their headers say.

use super::error::Gp1Error;
use super::frame_input::sha256_of;
use super::masters_in_force::{KnownBadPixels, LoadedMaster, MastersInForce};
use crate::fits::FitsStore;
use crate::imaging::{Image, bands, statistics::median_of_plane};
use crate::model::{FrameKeywords, Master, MasterKind, MasterStatistics};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The files, as `[Calibration]` of `reduction.cfg` has them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MasterFiles {
    pub bias: Option<PathBuf>,
    pub dark: Option<PathBuf>,
    pub flat: Option<PathBuf>,
}

/// The planes of named masters.
#[derive(Debug, Clone, Default)]
pub struct NamedMasters {
    planes: Vec<(MasterKind, PathBuf, String, Arc<Image>)>,
    bad_pixels: KnownBadPixels,
}

impl NamedMasters {
    /// Reads the files. A dark whose header has an EXPTIME and does not say `adu/s` is brought to one second; a flat to a
    /// median of 1.
    pub fn load(store: &dyn FitsStore, files: &MasterFiles) -> Result<Self, Gp1Error> {
        let named = [
            (MasterKind::Bias, &files.bias),
            (MasterKind::Dark, &files.dark),
            (MasterKind::Flat, &files.flat),
        ];
        let named = named.into_iter().filter_map(|(kind, path)| Some((kind, path.as_ref()?)));
        let loaded = bands::each(named.collect(), |(kind, path)| {
            let plane = read_plane(store, kind, path)?;
            Ok((kind, path.clone(), sha256_of(path)?, Arc::new(plane)))
        });
        let planes = loaded.into_iter().collect::<Result<_, Gp1Error>>()?;
        Ok(Self { planes, bad_pixels: KnownBadPixels::default() })
    }

    pub fn is_empty(&self) -> bool {
        self.planes.is_empty()
    }

    /// The masters for a frame: the named ones, and for kinds that are not named those in force, if any.
    pub fn for_frame(
        &self,
        frame: &FrameKeywords,
        in_force: Option<&MastersInForce>,
    ) -> MastersInForce {
        let is_named = |kind: MasterKind| self.planes.iter().any(|plane| plane.0 == kind);
        let mut masters: Vec<LoadedMaster> = in_force
            .map(|in_force| in_force.masters().to_vec())
            .unwrap_or_default()
            .into_iter()
            .filter(|master| !is_named(master.record.kind))
            .collect();
        masters.extend(self.planes.iter().map(|(kind, path, sha256, data)| LoadedMaster {
            record: Master {
                kind: *kind,
                instrument: frame.instrument.clone(),
                filter: frame.filter.clone(),
                binning: frame.binning,
                night: frame.date_obs.compact_date(),
                date: frame.date_obs,
                frame_count: 0,
                path: path.clone(),
                sha256: sha256.clone(),
                statistics: MasterStatistics {
                    mean: 0.0,
                    median: 0.0,
                    rms: 0.0,
                    mean_difference: None,
                    median_difference: None,
                    rms_difference: None,
                },
                figures: Default::default(),
                valid: true,
                reason: None,
            },
            data: Arc::clone(data),
        }));
        MastersInForce::sharing(masters, self.bad_pixels.clone())
    }
}

fn read_plane(store: &dyn FitsStore, kind: MasterKind, path: &Path) -> Result<Image, Gp1Error> {
    let image = store.read_image(path)?;
    let mut plane = image.data;
    match kind {
        MasterKind::Bias => {}
        MasterKind::Dark => {
            let unit = image.header.text("BUNIT").unwrap_or_default();
            let exposure = image.header.number("EXPTIME").filter(|seconds| *seconds > 0.0);
            if let Some(seconds) = exposure.filter(|_| !unit.eq_ignore_ascii_case("adu/s")) {
                plane /= seconds as f32;
            }
        }
        MasterKind::Flat => match median_of_plane(&plane).filter(|median| *median > 0.0) {
            Some(1.0) => {}
            Some(median) => plane /= median,
            None => {
                let what = "a flat must have a positive median".to_owned();
                return Err(Gp1Error::Content { path: path.to_owned(), what });
            }
        },
    }
    Ok(plane)
}
