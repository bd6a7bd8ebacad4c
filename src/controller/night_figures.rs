//! The masters of a night with their figures, and the groups its frames fall into, for the report.

use crate::model::{AnalysisResult, FrameRecord, FrameState, FrameUse, Master, MasterKind};
use serde::Serialize;
use std::fmt::Write;

/// A master and what was measured when it was made.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MasterLine {
    pub in_force: bool,
    #[serde(flatten)]
    pub master: Master,
}

/// A frame of a group.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GroupFrame {
    pub name: String,
    /// In a stack at the last deadline.
    pub stacked: bool,
    pub sources: usize,
    pub fwhm_pixels: f64,
    pub sky_noise_electrons: f64,
    /// Data numbers, where the gain is known.
    pub sky_noise_dn: Option<f64>,
    /// In the scale of the first frame of the field, or of the catalogue.
    pub zero_point: Option<f64>,
}

/// Frames of one camera and filter that have the same stars: what one stack is made of.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GroupLine {
    pub instrument: String,
    pub filter: String,
    /// Of its camera and filter, counted from 1.
    pub number: usize,
    /// First frame, where the field is not tied to the sky.
    pub field: Option<String>,
    /// Frames in the stack of the last deadline.
    pub stacked: usize,
    pub exposure_seconds: f64,
    /// Largest less smallest.
    pub zero_point_range: Option<f64>,
    pub frames: Vec<GroupFrame>,
}

/// Groups of the reduced frames, in order of their first frames. `last` is the analysis of the last deadline.
pub fn groups(
    frames: &[FrameRecord],
    last: Option<&AnalysisResult>,
    masters: &[MasterLine],
) -> Vec<GroupLine> {
    let mut groups: Vec<GroupLine> = Vec::new();
    let mut reduced: Vec<&FrameRecord> =
        frames.iter().filter(|frame| frame.state == FrameState::Reduced).collect();
    reduced.sort_by(|one, other| {
        (one.arrived_at, &one.identity.name).cmp(&(other.arrived_at, &other.identity.name))
    });
    for frame in reduced {
        let Some(quality) = &frame.quality else { continue };
        let keywords = &frame.keywords;
        let of_pair = |group: &&mut GroupLine| {
            group.instrument == keywords.instrument && group.filter == keywords.filter
        };
        let number = 1 + groups.iter_mut().filter(of_pair).count();
        let known = groups.iter_mut().filter(of_pair).find(|group| group.field == quality.field);
        let group = match known {
            Some(group) => group,
            None => {
                groups.push(GroupLine {
                    instrument: keywords.instrument.clone(),
                    filter: keywords.filter.clone(),
                    number,
                    field: quality.field.clone(),
                    stacked: 0,
                    exposure_seconds: 0.0,
                    zero_point_range: None,
                    frames: Vec::new(),
                });
                let Some(group) = groups.last_mut() else { continue };
                group
            }
        };
        let used: Option<&FrameUse> = last.and_then(|analysis| {
            analysis.frames.iter().find(|each| each.name == frame.identity.name)
        });
        let is_stacked = used.is_some_and(|each| each.stacked);
        if is_stacked {
            group.stacked += 1;
            group.exposure_seconds += keywords.exposure_seconds;
        }
        let gain = keywords.gain_electrons.or_else(|| measured_gain(frame, masters));
        group.frames.push(GroupFrame {
            name: frame.identity.name.clone(),
            stacked: is_stacked,
            sources: quality.source_count,
            fwhm_pixels: quality.fwhm_pixels,
            sky_noise_electrons: quality.sky_noise_electrons,
            sky_noise_dn: gain.map(|gain| quality.sky_noise_electrons / gain),
            zero_point: used.and_then(|each| each.relative_zero_point).or(quality.zero_point),
        });
    }
    for group in &mut groups {
        let points = group.frames.iter().filter_map(|frame| frame.zero_point);
        let range = points.fold(None, |range: Option<(f64, f64)>, point| {
            let (low, high) = range.unwrap_or((point, point));
            Some((low.min(point), high.max(point)))
        });
        group.zero_point_range = range.map(|(low, high)| high - low);
    }
    groups
}

/// What the flats in force say of the camera of a frame.
fn measured_gain(frame: &FrameRecord, masters: &[MasterLine]) -> Option<f64> {
    masters
        .iter()
        .filter(|line| line.in_force && line.master.kind == MasterKind::Flat)
        .map(|line| &line.master)
        .find(|master| {
            master.instrument == frame.keywords.instrument && master.filter == frame.keywords.filter
        })
        .and_then(|master| master.figures.gain_electrons)
        .map(|gain| gain.value)
}

/// The masters as a person reads them.
pub fn write_masters(out: &mut String, masters: &[MasterLine]) -> std::fmt::Result {
    if masters.is_empty() {
        return writeln!(out, "Masters  none");
    }
    writeln!(out, "Masters")?;
    for line in masters {
        let master = &line.master;
        let figures = &master.figures;
        let mut facts = vec![format!("{} frames", master.frame_count)];
        if let Some((low, high)) = figures.level_dn {
            let above = if master.kind == MasterKind::Bias { "" } else { " above bias" };
            facts.push(format!("levels {low:.1} to {high:.1} adu{above}"));
        }
        if let Some(noise) = figures.read_noise_dn {
            facts.push(format!("read noise {noise:.2} adu"));
        }
        if let Some(gain) = figures.gain_electrons {
            let (value, error, pairs) = (gain.value, gain.error, figures.gain_pairs);
            facts.push(format!(
                "gain {value:.3} +- {error:.3} e/adu by photon transfer ({pairs} pairs)"
            ));
        }
        if let Some(difference) = figures.half_difference {
            facts.push(format!("half against half {difference:.4}"));
        }
        if let Some((low, high)) = figures.percentiles {
            facts.push(format!("1 and 99 % {low:.3}, {high:.3}"));
        }
        let name = format!("{} {} {}", master.kind, master.instrument, master.filter);
        let word = match (&master.reason, line.in_force) {
            (Some(reason), _) => format!("rejected: {reason}"),
            (None, true) => "in force".to_owned(),
            (None, false) => "replaced".to_owned(),
        };
        writeln!(out, "  {:<14} {word}; {}", name.trim(), facts.join(", "))?;
        for frame in &figures.left_out {
            writeln!(out, "    without {}: {}", frame.name, frame.reason)?;
        }
    }
    Ok(())
}

/// The groups as a person reads them; a field that is tied to the sky in a line, others with their frames.
pub fn write_groups(out: &mut String, groups: &[GroupLine]) -> std::fmt::Result {
    if groups.is_empty() {
        return Ok(());
    }
    writeln!(out, "Groups")?;
    for group in groups {
        let range = group.zero_point_range;
        writeln!(
            out,
            "  {} {} group {}: {} frames, {} stacked ({:.0} s){}{}",
            group.instrument,
            group.filter,
            group.number,
            group.frames.len(),
            group.stacked,
            group.exposure_seconds,
            range.map_or(String::new(), |range| format!(", zero points over {range:.2} mag")),
            if group.field.is_some() { ", not tied to the sky" } else { "" },
        )?;
        for frame in group.frames.iter().filter(|_| group.field.is_some()) {
            writeln!(
                out,
                "    {:<24} {:>5} sources  FWHM {:.2} px  sky noise {:.1} e{}{}",
                frame.name,
                frame.sources,
                frame.fwhm_pixels,
                frame.sky_noise_electrons,
                frame.sky_noise_dn.map_or(String::new(), |noise| format!(" = {noise:.2} adu")),
                frame.zero_point.map_or(String::new(), |point| format!("  zero point {point:.2}")),
            )?;
        }
    }
    Ok(())
}
