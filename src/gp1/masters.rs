//! Masters of a night from its bias, dark and flat frames, compared with those in force and validated
//! (seed 003, "Create Master / Calibration").

use super::frame_pixels::FramePixels;
use super::master_figures::{of_biases, of_darks, of_flats, with_master};
use super::masters_in_force::{LoadedMaster, MastersInForce};
use crate::fits::{FitsStore, Survey};
use crate::imaging::{
    Image,
    calibration::{
        Combination, FlatZero, combine, combine_darks, combine_flats_of_levels, flat_levels,
        measured_saturation,
    },
    combination::PixelRows,
    statistics::{median_of_plane, plane_statistics},
};
use crate::model::{
    FrameKeywords, FrameKind, LeftOut, Master, MasterFigures, MasterKind, MasterStatistics,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Bytes of pixels that stay in memory while a master is made; frames beyond are decoded again where they are wanted.
const KEPT_BYTES: usize = 384 << 20;

/// One raw calibration frame.
#[derive(Debug)]
pub struct CalibrationFrame {
    pub name: String,
    pub keywords: FrameKeywords,
    /// Data numbers.
    pub pixels: FramePixels,
}

/// What came of calibration frames.
#[derive(Debug, Default)]
pub struct MadeMasters {
    pub outcomes: Vec<Result<MasterCandidate, MasterFailure>>,
    /// Frames that could not be read, by their place in the list given, with the reason.
    pub unreadable: Vec<(usize, String)>,
}

/// Limits on the pixel-by-pixel difference from the master in force. The seeds' values are provisional and for bias.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ValidationCuts {
    /// Largest absolute mean of the difference.
    pub mean_difference: f64,
    /// Largest root mean square of the difference.
    pub rms_difference: f64,
}

/// How masters are made and judged.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MasterPolicy {
    /// Fewer good frames make no master.
    pub minimum_frames: usize,
    pub combination: Combination,
    /// A flat with a larger share of its pixels at saturation is left out.
    pub maximum_saturated_fraction: f64,
    /// A flat with a lower median above bias, data numbers, is left out; the camera's own figure comes first.
    pub minimum_flat_level: f64,
    pub bias_cuts: ValidationCuts,
    /// Per second.
    pub dark_cuts: ValidationCuts,
    /// Relative.
    pub flat_cuts: ValidationCuts,
}

impl Default for MasterPolicy {
    fn default() -> Self {
        Self {
            minimum_frames: 3,
            combination: Combination::ClippedMean { sigma: 4.0 },
            maximum_saturated_fraction: 0.01,
            minimum_flat_level: 500.0,
            bias_cuts: ValidationCuts { mean_difference: 2.0, rms_difference: 3.0 },
            dark_cuts: ValidationCuts { mean_difference: 0.2, rms_difference: 3.0 },
            flat_cuts: ValidationCuts { mean_difference: 0.02, rms_difference: 0.05 },
        }
    }
}

impl MasterPolicy {
    fn cuts(&self, kind: MasterKind) -> ValidationCuts {
        match kind {
            MasterKind::Bias => self.bias_cuts,
            MasterKind::Dark => self.dark_cuts,
            MasterKind::Flat => self.flat_cuts,
        }
    }
}

/// A new master, judged, not yet in a file: `record.path` and `record.sha256` are empty until [`write_master`](super::master_file::write_master).
#[derive(Debug, Clone)]
pub struct MasterCandidate {
    pub record: Master,
    pub data: Arc<Image>,
    /// Names of the frames in it.
    pub inputs: Vec<String>,
}

/// A master that could not be made.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("no {kind} master for {instrument} {filter} binning {binning}: {reason}")]
pub struct MasterFailure {
    pub kind: MasterKind,
    pub instrument: String,
    pub filter: String,
    pub binning: u32,
    pub reason: String,
}

/// What belongs into one master: kind first, so that biases come before darks and darks before flats.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Group {
    kind: MasterKind,
    instrument: String,
    filter: String,
    binning: u32,
    shape: (usize, usize),
}

impl Group {
    fn of(frame: &CalibrationFrame) -> Option<Self> {
        let kind = match frame.keywords.kind {
            FrameKind::Bias => MasterKind::Bias,
            FrameKind::Dark => MasterKind::Dark,
            FrameKind::Flat => MasterKind::Flat,
            FrameKind::Object | FrameKind::Focus | FrameKind::Other => return None,
        };
        let filter = match kind {
            MasterKind::Flat => frame.keywords.filter.clone(),
            MasterKind::Bias | MasterKind::Dark => String::new(),
        };
        Some(Self {
            kind,
            instrument: frame.keywords.instrument.clone(),
            filter,
            binning: frame.keywords.binning,
            shape: frame.pixels.dim(),
        })
    }

    fn failure(&self, reason: String) -> MasterFailure {
        MasterFailure {
            kind: self.kind,
            instrument: self.instrument.clone(),
            filter: self.filter.clone(),
            binning: self.binning,
            reason,
        }
    }
}

/// A frame that was read once, with its median.
struct Surveyed {
    frame: CalibrationFrame,
    median: f64,
}

/// Makes and judges every master that the frames allow: bias first, then dark (per second, bias taken off), then one flat
/// per filter (bias and dark taken off, median 1). A dark or flat uses the bias and dark just made if they are valid, else
/// those in force. Frames that are not for calibration are passed over. Order of the answer: bias, dark, flat, then
/// instrument and filter.
///
/// Memory does not grow with the number of frames: some of the pixels of one master's frames are kept, the others decoded again.
pub fn make_masters(
    frames: Vec<CalibrationFrame>,
    store: &dyn FitsStore,
    in_force: &MastersInForce,
    policy: &MasterPolicy,
) -> MadeMasters {
    let mut groups: BTreeMap<Group, Vec<(usize, CalibrationFrame)>> = BTreeMap::new();
    for (place, frame) in frames.into_iter().enumerate() {
        if let Some(group) = Group::of(&frame) {
            groups.entry(group).or_default().push((place, frame));
        }
    }
    let mut answer = MadeMasters::default();
    for (group, mut members) in groups {
        members.sort_by(|left, right| left.1.name.cmp(&right.1.name));
        let MadeMasters { outcomes: made, unreadable } = &mut answer;
        let usable = |kind: MasterKind| -> Option<Arc<Image>> {
            let new = made.iter().flatten().find(|candidate| {
                let record = &candidate.record;
                record.kind == kind
                    && record.valid
                    && record.instrument == group.instrument
                    && record.binning == group.binning
                    && candidate.data.dim() == group.shape
            });
            new.map(|candidate| Arc::clone(&candidate.data)).or_else(|| {
                in_force
                    .latest(kind, &group.instrument, "", group.binning, group.shape)
                    .map(|master| Arc::clone(&master.data))
            })
        };
        let (bias, dark) = (usable(MasterKind::Bias), usable(MasterKind::Dark));
        let read_noise_dn = made
            .iter()
            .flatten()
            .map(|candidate| &candidate.record)
            .find(|record| {
                record.kind == MasterKind::Bias
                    && record.instrument == group.instrument
                    && record.binning == group.binning
            })
            .or_else(|| {
                let shape = group.shape;
                in_force
                    .latest(MasterKind::Bias, &group.instrument, "", group.binning, shape)
                    .map(|master| &master.record)
            })
            .and_then(|record| record.figures.read_noise_dn);
        let reference = in_force
            .latest(group.kind, &group.instrument, &group.filter, group.binning, group.shape)
            .cloned();
        let detector =
            Detector { bias: bias.as_deref(), dark_per_second: dark.as_deref(), read_noise_dn };
        let (surveyed, left_out) = survey(members, store, unreadable);
        made.push(make_one(&group, surveyed, left_out, &detector, reference.as_ref(), policy));
    }
    answer
}

/// Reads each frame once; what cannot be read or has no defined pixel is left out.
fn survey(
    members: Vec<(usize, CalibrationFrame)>,
    store: &dyn FitsStore,
    unreadable: &mut Vec<(usize, String)>,
) -> (Vec<Surveyed>, Vec<LeftOut>) {
    let (mut surveyed, mut left_out) = (Vec::new(), Vec::new());
    let mut kept_bytes = 0;
    for (place, mut frame) in members {
        let bytes = frame.pixels.bytes();
        let keep = kept_bytes + bytes <= KEPT_BYTES;
        match frame.pixels.survey(store, keep) {
            Ok(Survey { median: Some(median), .. }) => {
                let median = f64::from(median);
                kept_bytes += if keep { bytes } else { 0 };
                surveyed.push(Surveyed { frame, median });
            }
            Ok(Survey { median: None, .. }) => {
                let reason = "no defined pixel".to_owned();
                left_out.push(LeftOut { name: frame.name, reason });
            }
            Err(error) => {
                unreadable.push((place, error.to_string()));
                left_out.push(LeftOut { name: frame.name, reason: error.to_string() });
            }
        }
    }
    (surveyed, left_out)
}

/// What is known of the detector when a master is made.
struct Detector<'a> {
    bias: Option<&'a Image>,
    dark_per_second: Option<&'a Image>,
    read_noise_dn: Option<f64>,
}

fn make_one(
    group: &Group,
    members: Vec<Surveyed>,
    mut left_out: Vec<LeftOut>,
    detector: &Detector<'_>,
    reference: Option<&LoadedMaster>,
    policy: &MasterPolicy,
) -> Result<MasterCandidate, MasterFailure> {
    let zero = detector.bias.and_then(median_of_plane).map_or(0.0, f64::from);
    let mut kept: Vec<Surveyed> = Vec::new();
    for member in members {
        match unfit(&member, group.kind, zero, policy) {
            Some(reason) => left_out.push(LeftOut { name: member.frame.name, reason }),
            None => kept.push(member),
        }
    }
    if kept.len() < policy.minimum_frames {
        let mut reason = format!("{} good frames, {} needed", kept.len(), policy.minimum_frames);
        if let Some(first) = left_out.first() {
            let LeftOut { name, reason: why } = first;
            reason += &format!("; {} left out ({name}: {why})", left_out.len());
        }
        return Err(group.failure(reason));
    }
    let first = kept
        .iter()
        .map(|member| member.frame.keywords.date_obs)
        .min()
        .ok_or_else(|| group.failure("no frames".to_owned()))?;
    let inputs: Vec<String> = kept.iter().map(|member| member.frame.name.clone()).collect();
    let members = Members {
        exposures: kept.iter().map(|member| member.frame.keywords.exposure_seconds).collect(),
        medians: kept.iter().map(|member| member.median).collect(),
        frames: kept.into_iter().map(|member| member.frame.pixels).collect(),
    };
    let (data, figures) = members
        .combined(group.kind, detector, policy.combination)
        .map_err(|reason| group.failure(reason))?;
    let figures = MasterFigures { left_out, ..figures };
    let statistics = compare(&data, reference);
    let reason = judge(&statistics, policy.cuts(group.kind), group.kind);
    let record = Master {
        kind: group.kind,
        instrument: group.instrument.clone(),
        filter: group.filter.clone(),
        binning: group.binning,
        night: first.compact_date(),
        date: first,
        frame_count: inputs.len(),
        path: Default::default(),
        sha256: String::new(),
        statistics,
        figures,
        valid: reason.is_none(),
        reason,
    };
    Ok(MasterCandidate { record, data: Arc::new(data), inputs })
}

/// The frames of a master; the lists run parallel.
struct Members {
    frames: Vec<FramePixels>,
    exposures: Vec<f64>,
    medians: Vec<f64>,
}

impl Members {
    /// The master and what its frames say of the detector, or why there is none.
    fn combined(
        mut self,
        kind: MasterKind,
        detector: &Detector<'_>,
        how: Combination,
    ) -> Result<(Image, MasterFigures), String> {
        let Detector { bias, dark_per_second, read_noise_dn } = *detector;
        let words = |error: &dyn std::fmt::Display| error.to_string();
        match kind {
            MasterKind::Bias => {
                let figures = of_biases(&self.frames, &self.medians);
                Ok((combine(&self.frames, how).map_err(|error| words(&error))?, figures))
            }
            MasterKind::Dark => {
                let bias = bias.ok_or("there is no bias to take off")?;
                let figures = of_darks(&self.frames, bias).map_err(|error| words(&error))?;
                let dark = combine_darks(&self.frames, &self.exposures, bias, how);
                Ok((dark.map_err(|error| words(&error))?, figures))
            }
            MasterKind::Flat => {
                let noise = read_noise_dn.unwrap_or(0.0);
                let figures = of_flats(&self.frames, &self.medians, bias, noise)
                    .map_err(|error| words(&error))?;
                let zero = FlatZero { bias, dark_per_second };
                let mut levels = flat_levels(&self.frames, &self.exposures, zero)
                    .map_err(|error| words(&error))?;
                // Every other frame first, so that either half has all levels.
                let half = interleave(&mut self.frames);
                interleave(&mut self.exposures);
                interleave(&mut levels);
                let flat = |from: usize, to: usize| {
                    let part = from..to;
                    combine_flats_of_levels(
                        self.frames.get(part.clone()).unwrap_or_default(),
                        self.exposures.get(part.clone()).unwrap_or_default(),
                        levels.get(part).unwrap_or_default(),
                        zero,
                        how,
                    )
                };
                let count = self.frames.len();
                let data = flat(0, count).map_err(|error| words(&error))?;
                let halves = flat(0, half).ok().zip(flat(half, count).ok());
                let halves = halves.as_ref().map(|(one, other)| (one, other));
                let figures = with_master(figures, &data, halves);
                Ok((data, figures))
            }
        }
    }
}

/// Puts the values of even places before those of odd ones; returns how many there are of the first.
fn interleave<T>(values: &mut Vec<T>) -> usize {
    let all = std::mem::take(values);
    let half = all.len().div_ceil(2);
    let mut odd = Vec::new();
    for (index, value) in all.into_iter().enumerate() {
        if index % 2 == 0 { values.push(value) } else { odd.push(value) }
    }
    values.extend(odd);
    half
}

/// Why a frame cannot be part of a master. `zero` is the level of the bias.
fn unfit(member: &Surveyed, kind: MasterKind, zero: f64, policy: &MasterPolicy) -> Option<String> {
    let frame = &member.frame;
    match kind {
        MasterKind::Bias => None,
        MasterKind::Dark => (frame.keywords.exposure_seconds <= 0.0)
            .then(|| format!("an exposure of {} s is no dark", frame.keywords.exposure_seconds)),
        MasterKind::Flat => {
            let data = match frame.pixels.image() {
                Ok(data) => data,
                Err(error) => return Some(error.to_string()),
            };
            // The header's figure may be far too high (anchors.md C3, trap 1), so what piles up counts as well.
            let measured = measured_saturation(&data).map(f64::from);
            let level = [measured, frame.keywords.saturation]
                .into_iter()
                .flatten()
                .fold(f64::INFINITY, f64::min);
            let saturated = data.iter().filter(|value| f64::from(**value) >= level).count();
            let fraction = saturated as f64 / data.len().max(1) as f64;
            if fraction > policy.maximum_saturated_fraction {
                let how = match measured {
                    Some(_) => "measured: they pile up there",
                    None => "as stated",
                };
                return Some(format!(
                    "{:.0} % of the pixels are saturated at {level:.0} ({how})",
                    100.0 * fraction
                ));
            }
            let above = member.median - zero;
            let least =
                frame.keywords.camera.minimum_flat_level_dn.unwrap_or(policy.minimum_flat_level);
            (above < least).then(|| {
                format!("its level of {above:.0} above bias is too low ({least:.0} are needed)")
            })
        }
    }
}

fn compare(data: &Image, reference: Option<&LoadedMaster>) -> MasterStatistics {
    let own = plane_statistics(data);
    let difference = reference.map(|master| plane_statistics(&(data - &*master.data)));
    MasterStatistics {
        mean: own.mean,
        median: own.median,
        rms: own.rms,
        mean_difference: difference.map(|each| each.mean),
        median_difference: difference.map(|each| each.median),
        rms_difference: difference.map(|each| each.rms),
    }
}

/// Why a master is not valid. The first of its kind has nothing to be compared with: it must only be a sound plane.
fn judge(statistics: &MasterStatistics, cuts: ValidationCuts, kind: MasterKind) -> Option<String> {
    let own = [statistics.mean, statistics.median, statistics.rms];
    if own.iter().any(|value| !value.is_finite()) {
        return Some("its statistics are not defined".to_owned());
    }
    if kind == MasterKind::Flat && !(0.5..2.0).contains(&statistics.mean) {
        return Some(format!("the mean response is {:.3}, not near 1", statistics.mean));
    }
    let outside = |name: &str, value: Option<f64>, limit: f64| {
        value
            .filter(|value| value.is_nan() || value.abs() > limit)
            .map(|value| format!("{name} {value:.4} is beyond {limit}"))
    };
    outside("mean difference", statistics.mean_difference, cuts.mean_difference)
        .or_else(|| outside("rms difference", statistics.rms_difference, cuts.rms_difference))
}

#[cfg(test)]
mod tests {
    use super::super::master_file::master_file_name;
    use super::super::masters_in_force::tests::master;
    use super::*;
    use crate::fits::cfitsio::Cfitsio;
    use crate::model::UtcTime;

    fn frame(kind: FrameKind, number: usize, exposure: f64, level: f32) -> CalibrationFrame {
        // A fixed pattern that a combination must keep, and a ripple that it must average away.
        let data = Image::from_shape_fn((16, 16), |(row, column)| {
            let ripple = ((row * 7 + column * 3 + number * 5) % 5) as f32 - 2.0;
            level + if (row, column) == (3, 4) { 40.0 } else { 0.0 } + ripple
        });
        CalibrationFrame {
            name: format!("20191016T01{number:04}C0{}", kind.letter()),
            keywords: FrameKeywords {
                kind,
                trigger_id: None,
                observer: None,
                object: None,
                instrument: "C0".into(),
                filter: "w".into(),
                exposure_seconds: exposure,
                date_obs: UtcTime::parse("2019-10-16T01:00:00")
                    .unwrap()
                    .plus_seconds(number as f64),
                pointing: None,
                gain_electrons: None,
                read_noise_electrons: None,
                saturation: Some(7000.0),
                binning: 1,
                size_pixels: (16, 16),
                camera: Default::default(),
            },
            pixels: data.into(),
        }
    }

    fn night() -> Vec<CalibrationFrame> {
        let mut frames: Vec<_> =
            (0..5).map(|number| frame(FrameKind::Bias, number, 0.0, 600.0)).collect();
        frames.extend((10..15).map(|number| frame(FrameKind::Dark, number, 50.0, 610.0)));
        frames.extend((20..25).map(|number| frame(FrameKind::Flat, number, 5.0, 2600.0)));
        frames
    }

    fn made_of(
        frames: Vec<CalibrationFrame>,
        in_force: &MastersInForce,
    ) -> Vec<Result<MasterCandidate, MasterFailure>> {
        make_masters(frames, &Cfitsio, in_force, &MasterPolicy::default()).outcomes
    }

    #[test]
    fn a_night_gives_bias_dark_per_second_and_flat_of_median_one() {
        let made = made_of(night(), &MastersInForce::default());
        let [bias, dark, flat] = made.as_slice() else { panic!("{made:?}") };
        let (bias, dark, flat) =
            (bias.as_ref().unwrap(), dark.as_ref().unwrap(), flat.as_ref().unwrap());
        assert!((bias.record.statistics.median - 600.0).abs() < 0.5);
        assert!((bias.data[[3, 4]] - 640.0).abs() < 1.5);
        assert!((dark.record.statistics.median - 0.2).abs() < 0.02, "{:?}", dark.record);
        assert!((flat.record.statistics.median - 1.0).abs() < 1e-3);
        assert_eq!(flat.record.filter, "w");
        assert_eq!(bias.record.filter, "");
        assert!(made.iter().flatten().all(|each| each.record.valid));
        assert_eq!(bias.record.date, UtcTime::parse("2019-10-16T01:00:00").unwrap());
    }

    #[test]
    fn saturated_flats_are_left_out_and_too_few_frames_are_no_master() {
        let mut frames = night();
        for each in frames.iter_mut().filter(|each| each.keywords.kind == FrameKind::Flat).take(3) {
            each.pixels = Image::from_elem((16, 16), 16384.0).into();
            each.keywords.saturation = None;
        }
        let made = made_of(frames, &MastersInForce::default());
        let failure = made[2].as_ref().unwrap_err();
        assert_eq!(failure.kind, MasterKind::Flat);
        assert!(failure.reason.starts_with("2 good frames, 3 needed; 3 left out"), "{failure}");
        assert!(failure.reason.contains("saturated"), "{failure}");
    }

    #[test]
    fn a_dark_without_any_bias_says_so() {
        let darks: Vec<_> =
            night().into_iter().filter(|each| each.keywords.kind == FrameKind::Dark).collect();
        let made = made_of(darks, &MastersInForce::default());
        assert!(made[0].as_ref().unwrap_err().reason.contains("no bias"));
    }

    #[test]
    fn a_master_far_from_the_one_in_force_is_rejected_with_the_figure() {
        let mut before = master(MasterKind::Bias, "", "2019-10-10T01:00:00", (16, 16));
        before.data = Arc::new(Image::from_elem((16, 16), 590.0));
        let made = made_of(night(), &MastersInForce::new(vec![before]));
        let bias = made[0].as_ref().unwrap();
        assert!(!bias.record.valid);
        assert!(bias.record.reason.as_deref().unwrap().starts_with("mean difference 10."));
        // The dark then takes the bias in force, not the rejected one.
        let dark = made[1].as_ref().unwrap();
        assert!((dark.record.statistics.median - 0.4).abs() < 0.02);
    }

    #[test]
    fn names_of_files_say_what_is_in_them() {
        let record = master(MasterKind::Flat, "w", "2018-03-06T02:11:23", (4, 4)).record;
        assert_eq!(master_file_name(&record), "flat_20180306T021123_C0_w_1.fits");
        let record = master(MasterKind::Bias, "", "2018-03-06T02:11:23", (4, 4)).record;
        assert_eq!(master_file_name(&record), "bias_20180306T021123_C0_none_1.fits");
    }
}
