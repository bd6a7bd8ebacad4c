//! The masters in force, and which of them a frame gets.

use super::error::Gp1Error;
use crate::fits::FitsStore;
use crate::imaging::{Image, Mask, calibration};
use crate::model::{Degradation, FrameKeywords, Master, MasterKind};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// A master taken farther from a frame than this is not of its night.
const SAME_NIGHT_SECONDS: f64 = 86_400.0;

/// A master with its pixels: data numbers (bias), data numbers per second (dark), or relative response with median 1 (flat).
#[derive(Debug, Clone)]
pub struct LoadedMaster {
    pub record: Master,
    pub data: Arc<Image>,
}

/// What a frame is reduced with.
#[derive(Debug, Clone, Default)]
pub struct SelectedMasters {
    pub bias: Option<LoadedMaster>,
    pub dark: Option<LoadedMaster>,
    pub flat: Option<LoadedMaster>,
    /// Seen in those masters.
    pub bad_pixels: Option<Arc<Mask>>,
    /// `NOBIAS`, `OLDFLAT`, …
    pub degradations: Vec<Degradation>,
}

impl SelectedMasters {
    /// `kind:hash` of each, for provenance.
    pub fn hashes(&self) -> Vec<String> {
        [&self.bias, &self.dark, &self.flat]
            .into_iter()
            .flatten()
            .map(|master| format!("{}:{}", master.record.kind, master.record.sha256))
            .collect()
    }
}

type BadPixelMasks = BTreeMap<(Vec<String>, u32), Option<Arc<Mask>>>;

/// Bad pixels of each combination of masters, looked for once; shared by its clones.
#[derive(Debug, Clone, Default)]
pub struct KnownBadPixels(Arc<Mutex<BadPixelMasks>>);

/// All valid masters, loaded. Cheap to share between threads; bad pixels are looked for once for each combination.
#[derive(Debug, Default)]
pub struct MastersInForce {
    masters: Vec<LoadedMaster>,
    bad_pixels: KnownBadPixels,
}

impl MastersInForce {
    /// Keeps the valid ones. They may come in any order: the choice for a frame depends on dates and hashes only.
    pub fn new(masters: Vec<LoadedMaster>) -> Self {
        Self::sharing(masters, KnownBadPixels::default())
    }

    /// The same, with the bad pixels that are known already.
    pub fn sharing(mut masters: Vec<LoadedMaster>, bad_pixels: KnownBadPixels) -> Self {
        masters.retain(|master| master.record.valid);
        masters.sort_by(|left, right| {
            let key = |master: &LoadedMaster| (master.record.date, master.record.sha256.clone());
            key(left).cmp(&key(right))
        });
        Self { masters, bad_pixels }
    }

    /// Reads the files of the valid ones among `records`.
    pub fn load(store: &dyn FitsStore, records: &[Master]) -> Result<Self, Gp1Error> {
        let mut masters = Vec::new();
        for record in records.iter().filter(|record| record.valid) {
            let image = store.read_image(&record.path)?;
            masters.push(LoadedMaster { record: record.clone(), data: Arc::new(image.data) });
        }
        Ok(Self::new(masters))
    }

    pub fn masters(&self) -> &[LoadedMaster] {
        &self.masters
    }

    /// The master in force before a new one of that kind: the latest.
    pub fn latest(
        &self,
        kind: MasterKind,
        instrument: &str,
        filter: &str,
        binning: u32,
        shape: (usize, usize),
    ) -> Option<&LoadedMaster> {
        self.masters.iter().rev().find(|master| {
            let record = &master.record;
            record.kind == kind
                && record.instrument == instrument
                && (kind != MasterKind::Flat || record.filter == filter)
                && record.binning == binning
                && master.data.dim() == shape
        })
    }

    /// The masters for a frame of `shape` (rows, columns): of its instrument, binning, shape and, for flats, filter; of its
    /// night, else the nearest older one, else none. What is less than right is said.
    pub fn select(
        &self,
        frame: &FrameKeywords,
        shape: (usize, usize),
        hot_sigma: f32,
    ) -> SelectedMasters {
        let mut selected = SelectedMasters::default();
        for kind in [MasterKind::Bias, MasterKind::Dark, MasterKind::Flat] {
            let (choice, degradation) = self.choose(kind, frame, shape);
            selected.degradations.extend(degradation);
            match kind {
                MasterKind::Bias => selected.bias = choice.cloned(),
                MasterKind::Dark => selected.dark = choice.cloned(),
                MasterKind::Flat => selected.flat = choice.cloned(),
            }
        }
        selected.bad_pixels = self.bad_pixels_of(&selected, hot_sigma);
        selected
    }

    fn choose(
        &self,
        kind: MasterKind,
        frame: &FrameKeywords,
        shape: (usize, usize),
    ) -> (Option<&LoadedMaster>, Option<Degradation>) {
        let of_camera = |master: &&LoadedMaster| {
            let record = &master.record;
            record.kind == kind
                && record.instrument == frame.instrument
                && (kind != MasterKind::Flat || record.filter == frame.filter)
        };
        let fitting =
            self.masters.iter().filter(of_camera).filter(|master| {
                master.record.binning == frame.binning && master.data.dim() == shape
            });
        let age = |master: &LoadedMaster| frame.date_obs.seconds_since(master.record.date);
        let nearest = fitting
            .filter(|master| age(master) >= -SAME_NIGHT_SECONDS)
            .min_by(|left, right| age(left).abs().total_cmp(&age(right).abs()));
        let code = kind.to_string().to_ascii_uppercase();
        match nearest {
            Some(master) if age(master).abs() <= SAME_NIGHT_SECONDS => (Some(master), None),
            Some(master) => {
                let reason = format!(
                    "no {kind} of the night: the one of {} is used, {:.0} days old",
                    master.record.night,
                    age(master) / SAME_NIGHT_SECONDS
                );
                (Some(master), Some(Degradation::new(&format!("OLD{code}"), reason)))
            }
            None => {
                let filter = match kind {
                    MasterKind::Flat => format!(", filter {}", frame.filter),
                    MasterKind::Bias | MasterKind::Dark => String::new(),
                };
                let others = self.masters.iter().filter(of_camera).count();
                let reason = format!(
                    "no {kind} for {}{filter}, binning {}, {} x {} pixels ({others} of other formats or later nights)",
                    frame.instrument, frame.binning, shape.1, shape.0
                );
                (None, Some(Degradation::new(&format!("NO{code}"), reason)))
            }
        }
    }

    fn bad_pixels_of(&self, selected: &SelectedMasters, hot_sigma: f32) -> Option<Arc<Mask>> {
        let key = (selected.hashes(), hot_sigma.to_bits());
        if key.0.is_empty() {
            return None;
        }
        // A panic elsewhere cannot leave the map half written.
        let mut masks = self.bad_pixels.0.lock().unwrap_or_else(PoisonError::into_inner);
        masks
            .entry(key)
            .or_insert_with(|| {
                let plane = |master: &Option<LoadedMaster>| {
                    master.as_ref().map(|master| Arc::clone(&master.data))
                };
                calibration::bad_pixels(
                    plane(&selected.bias).as_deref(),
                    plane(&selected.dark).as_deref(),
                    plane(&selected.flat).as_deref(),
                    hot_sigma,
                )
                .map(Arc::new)
            })
            .clone()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::model::{FrameKind, MasterStatistics, UtcTime};

    pub(crate) fn master(
        kind: MasterKind,
        filter: &str,
        date: &str,
        shape: (usize, usize),
    ) -> LoadedMaster {
        let date = UtcTime::parse(date).unwrap();
        LoadedMaster {
            record: Master {
                kind,
                instrument: "C0".into(),
                filter: filter.into(),
                binning: 1,
                night: date.compact_date(),
                date,
                frame_count: 8,
                path: format!("{kind}.fits").into(),
                sha256: format!("{kind}{filter}{date}"),
                statistics: MasterStatistics {
                    mean: 1.0,
                    median: 1.0,
                    rms: 0.1,
                    mean_difference: None,
                    median_difference: None,
                    rms_difference: None,
                },
                figures: Default::default(),
                valid: true,
                reason: None,
            },
            data: Arc::new(Image::from_elem(shape, 1.0)),
        }
    }

    fn frame(date: &str) -> FrameKeywords {
        FrameKeywords {
            kind: FrameKind::Object,
            trigger_id: None,
            observer: None,
            object: None,
            instrument: "C0".into(),
            filter: "w".into(),
            exposure_seconds: 60.0,
            date_obs: UtcTime::parse(date).unwrap(),
            pointing: None,
            gain_electrons: None,
            read_noise_electrons: None,
            saturation: None,
            binning: 1,
            size_pixels: (4, 4),
            camera: Default::default(),
        }
    }

    fn choice(masters: Vec<LoadedMaster>, kind: MasterKind) -> (Option<String>, Option<String>) {
        let in_force = MastersInForce::new(masters);
        let (master, degradation) = in_force.choose(kind, &frame("2019-10-16T04:20:01"), (4, 4));
        (master.map(|master| master.record.night.clone()), degradation.map(|each| each.code))
    }

    #[test]
    fn of_the_night_then_the_nearest_older_one_then_none() {
        let bias = |date| master(MasterKind::Bias, "", date, (4, 4));
        let all = vec![
            bias("2019-10-20T01:00:00"),
            bias("2019-10-10T01:00:00"),
            bias("2019-10-16T01:00:00"),
            bias("2019-09-01T01:00:00"),
        ];
        let text = |night: &str| Some(night.to_owned());
        assert_eq!(choice(all.clone(), MasterKind::Bias), (text("20191016"), None));
        let older = vec![all[0].clone(), all[1].clone(), all[3].clone()];
        assert_eq!(choice(older, MasterKind::Bias), (text("20191010"), text("OLDBIAS")));
        // A master of a later night says nothing about this one.
        assert_eq!(choice(vec![all[0].clone()], MasterKind::Bias), (None, text("NOBIAS")));
        assert_eq!(choice(Vec::new(), MasterKind::Dark), (None, text("NODARK")));
    }

    #[test]
    fn another_filter_shape_or_a_rejected_master_does_not_fit() {
        let date = "2019-10-16T01:00:00";
        let flat = |filter, shape| master(MasterKind::Flat, filter, date, shape);
        let none = (None, Some("NOFLAT".to_owned()));
        assert_eq!(choice(vec![flat("r", (4, 4))], MasterKind::Flat), none);
        assert_eq!(choice(vec![flat("w", (8, 4))], MasterKind::Flat), none);
        let mut rejected = flat("w", (4, 4));
        rejected.record.valid = false;
        assert_eq!(choice(vec![rejected], MasterKind::Flat), none);
        assert_eq!(choice(vec![flat("w", (4, 4))], MasterKind::Flat).1, None);
    }
}
