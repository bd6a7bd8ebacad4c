//! Masters of a night from its bias, dark and flat frames, compared with those in force and validated
//! (seed 003, "Create Master / Calibration").

use super::master_figures::{of_biases, of_darks, of_flats, with_master};
use super::masters_in_force::{LoadedMaster, MastersInForce};
use crate::imaging::{
    Image,
    calibration::{CalibrationError, Combination, combine, combine_flats, measured_saturation},
    statistics::plane_statistics,
};
use crate::model::{
    FrameKeywords, FrameKind, LeftOut, Master, MasterFigures, MasterKind, MasterStatistics,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// One raw calibration frame.
#[derive(Debug, Clone)]
pub struct CalibrationFrame {
    pub name: String,
    pub keywords: FrameKeywords,
    /// Data numbers.
    pub data: Image,
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
            shape: frame.data.dim(),
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

/// Makes and judges every master that the frames allow: bias first, then dark (per second, bias taken off), then one flat
/// per filter (bias and dark taken off, median 1). A dark or flat uses the bias and dark just made if they are valid, else
/// those in force. Frames that are not for calibration are passed over. Order of the answer: bias, dark, flat, then
/// instrument and filter.
pub fn make_masters(
    frames: Vec<CalibrationFrame>,
    in_force: &MastersInForce,
    policy: &MasterPolicy,
) -> Vec<Result<MasterCandidate, MasterFailure>> {
    let mut groups: BTreeMap<Group, Vec<CalibrationFrame>> = BTreeMap::new();
    for frame in frames {
        if let Some(group) = Group::of(&frame) {
            groups.entry(group).or_default().push(frame);
        }
    }
    let mut made: Vec<Result<MasterCandidate, MasterFailure>> = Vec::new();
    for (group, mut members) in groups {
        members.sort_by(|left, right| left.name.cmp(&right.name));
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
        let candidate = make_one(&group, members, &detector, reference.as_ref(), policy);
        made.push(candidate);
    }
    made
}

/// What is known of the detector when a master is made.
struct Detector<'a> {
    bias: Option<&'a Image>,
    dark_per_second: Option<&'a Image>,
    read_noise_dn: Option<f64>,
}

fn make_one(
    group: &Group,
    members: Vec<CalibrationFrame>,
    detector: &Detector<'_>,
    reference: Option<&LoadedMaster>,
    policy: &MasterPolicy,
) -> Result<MasterCandidate, MasterFailure> {
    let Detector { bias, dark_per_second, read_noise_dn } = *detector;
    let mut left_out = Vec::new();
    let mut kept: Vec<CalibrationFrame> = Vec::new();
    for frame in members {
        match unfit(&frame, group.kind, bias, policy) {
            Some(reason) => left_out.push(LeftOut { name: frame.name, reason }),
            None => kept.push(frame),
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
        .map(|frame| frame.keywords.date_obs)
        .min()
        .ok_or_else(|| group.failure("no frames".to_owned()))?;
    let inputs: Vec<String> = kept.iter().map(|frame| frame.name.clone()).collect();
    let mut exposures: Vec<f64> =
        kept.iter().map(|frame| frame.keywords.exposure_seconds).collect();
    let mut planes: Vec<Image> = kept.into_iter().map(|frame| frame.data).collect();
    let how = policy.combination;
    let failed = |error: CalibrationError| group.failure(error.to_string());
    let (data, figures) = match group.kind {
        MasterKind::Bias => {
            let figures = of_biases(&planes);
            (combine(&planes, how).map_err(failed)?, figures)
        }
        MasterKind::Dark => {
            let Some(bias) = bias else {
                return Err(group.failure("there is no bias to take off".to_owned()));
            };
            let figures = of_darks(&planes, bias);
            for (plane, exposure) in planes.iter_mut().zip(&exposures) {
                let seconds = *exposure as f32;
                ndarray::Zip::from(plane)
                    .and(bias)
                    .for_each(|value, level| *value = (*value - level) / seconds);
            }
            (combine(&planes, how).map_err(failed)?, figures)
        }
        MasterKind::Flat => {
            let figures = of_flats(&planes, bias, read_noise_dn.unwrap_or(0.0));
            let flats = |planes: &[Image], exposures: &[f64]| {
                combine_flats(planes, exposures, bias, dark_per_second, how)
            };
            let data = flats(&planes, &exposures).map_err(failed)?;
            // Every other frame first, so that either half has all levels.
            let half = interleave(&mut planes);
            interleave(&mut exposures);
            let halves = planes.split_at(half);
            let times = exposures.split_at(half);
            let halves = flats(halves.0, times.0).ok().zip(flats(halves.1, times.1).ok());
            let halves = halves.as_ref().map(|(one, other)| (one, other));
            let figures = with_master(figures, &data, halves);
            (data, figures)
        }
    };
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

/// Why a frame cannot be part of a master.
fn unfit(
    frame: &CalibrationFrame,
    kind: MasterKind,
    bias: Option<&Image>,
    policy: &MasterPolicy,
) -> Option<String> {
    let statistics = plane_statistics(&frame.data);
    if !statistics.median.is_finite() {
        return Some("no defined pixel".to_owned());
    }
    match kind {
        MasterKind::Bias => None,
        MasterKind::Dark => (frame.keywords.exposure_seconds <= 0.0)
            .then(|| format!("an exposure of {} s is no dark", frame.keywords.exposure_seconds)),
        MasterKind::Flat => {
            // The header's figure may be far too high (anchors.md C3, trap 1), so what piles up counts as well.
            let measured = measured_saturation(&frame.data).map(f64::from);
            let level = [measured, frame.keywords.saturation]
                .into_iter()
                .flatten()
                .fold(f64::INFINITY, f64::min);
            let saturated = frame.data.iter().filter(|value| f64::from(**value) >= level).count();
            let fraction = saturated as f64 / frame.data.len().max(1) as f64;
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
            let zero = bias.map_or(0.0, |bias| plane_statistics(bias).median);
            let above = statistics.median - zero;
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
            data,
        }
    }

    fn night() -> Vec<CalibrationFrame> {
        let mut frames: Vec<_> =
            (0..5).map(|number| frame(FrameKind::Bias, number, 0.0, 600.0)).collect();
        frames.extend((10..15).map(|number| frame(FrameKind::Dark, number, 50.0, 610.0)));
        frames.extend((20..25).map(|number| frame(FrameKind::Flat, number, 5.0, 2600.0)));
        frames
    }

    #[test]
    fn a_night_gives_bias_dark_per_second_and_flat_of_median_one() {
        let made = make_masters(night(), &MastersInForce::default(), &MasterPolicy::default());
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
            each.data.fill(16384.0);
            each.keywords.saturation = None;
        }
        let made = make_masters(frames, &MastersInForce::default(), &MasterPolicy::default());
        let failure = made[2].as_ref().unwrap_err();
        assert_eq!(failure.kind, MasterKind::Flat);
        assert!(failure.reason.starts_with("2 good frames, 3 needed; 3 left out"), "{failure}");
        assert!(failure.reason.contains("saturated"), "{failure}");
    }

    #[test]
    fn a_dark_without_any_bias_says_so() {
        let darks: Vec<_> =
            night().into_iter().filter(|each| each.keywords.kind == FrameKind::Dark).collect();
        let made = make_masters(darks, &MastersInForce::default(), &MasterPolicy::default());
        assert!(made[0].as_ref().unwrap_err().reason.contains("no bias"));
    }

    #[test]
    fn a_master_far_from_the_one_in_force_is_rejected_with_the_figure() {
        let mut before = master(MasterKind::Bias, "", "2019-10-10T01:00:00", (16, 16));
        before.data = Arc::new(Image::from_elem((16, 16), 590.0));
        let made =
            make_masters(night(), &MastersInForce::new(vec![before]), &MasterPolicy::default());
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
