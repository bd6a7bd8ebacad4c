//! The report of a simulated night: what happened, how late, how it compares with the truth, and where to look.

use super::{
    night_directory::NightDirectory,
    night_figures::{GroupLine, MasterLine, groups, write_groups, write_masters},
    night_plan::NightPlan,
    simulated_night::NightError,
};
use crate::{
    clock::{Clock, HoldFigures},
    model::{
        ActorSnapshot, AnalysisResult, Deadline, DeadlineName, DeadlineState, FrameRecord,
        FrameState, Trigger, UtcTime,
    },
    simulation::{TruthComparison, compare},
    storage::journal::{
        Journal, alerts, alerts::AlertRow, analyses, frames, masters, products,
        products::ProductRow, triggers,
    },
};
use serde::Serialize;
use std::{collections::BTreeMap, fmt::Write, path::PathBuf};

/// More frames and alerts than a night has.
const EVERYTHING: u32 = 1_000_000;

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AlertLine {
    pub packet: String,
    pub received_at: UtcTime,
    pub seconds_after_t0: f64,
    pub state: String,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TriggerLine {
    pub burst_id: String,
    pub state: String,
    pub t0: UtcTime,
    pub t0_source: String,
    pub opened_at: UtcTime,
    pub revision: u32,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct FrameFigures {
    /// By instance and state.
    pub counts: BTreeMap<String, u64>,
    /// Wall seconds from last byte to journaled result.
    pub latency_median_seconds: Option<f64>,
    pub latency_maximum_seconds: Option<f64>,
    pub astrometry_solved: usize,
    pub object_frames: usize,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DeadlineLine {
    pub name: String,
    pub due_at: UtcTime,
    pub seconds_after_t0: f64,
    pub state: String,
    pub cause: Option<String>,
    /// Wall seconds from the instant to the last receipt.
    pub lateness_seconds: Option<f64>,
    pub frames_used: usize,
    pub candidates: usize,
    /// Detections that are no candidates.
    pub set_aside: usize,
    pub best_candidate: Option<String>,
    pub products: usize,
    pub receipts: usize,
    pub degradations: Vec<String>,
    pub truth: Option<TruthComparison>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verdict {
    pub ok: bool,
    /// What is not as it should be.
    pub complaints: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NightReport {
    pub verdict: Verdict,
    pub alerts: Vec<AlertLine>,
    pub trigger: Option<TriggerLine>,
    pub frames: FrameFigures,
    pub masters: Vec<MasterLine>,
    /// Frames that have the same stars.
    pub groups: Vec<GroupLine>,
    /// What differs from the archive.
    pub notes: Vec<String>,
    pub deadlines: Vec<DeadlineLine>,
    pub holds: u64,
    pub hold_seconds: f64,
    pub holds_expired: Vec<String>,
    pub restarts: BTreeMap<String, u64>,
    /// Wall seconds from the last failure of an actor being noticed until it ran again.
    pub restart_seconds: BTreeMap<String, f64>,
    /// Files of the night that were left out, with the reason.
    pub left_out: Vec<String>,
    pub places: BTreeMap<String, PathBuf>,
}

/// Reads the night back from the journal.
pub async fn make_report(
    journal: &Journal,
    clock: &Clock,
    plan: &NightPlan,
    directory: &NightDirectory,
    actors: &[ActorSnapshot],
) -> Result<NightReport, NightError> {
    let burst = plan.burst_id.clone();
    let night = journal
        .read(move |c| {
            Ok(Night {
                alerts: alerts::recent(c, EVERYTHING)?,
                trigger: triggers::find(c, &burst)?,
                deadlines: triggers::deadlines_of(c, &burst)?,
                frames: frames::recent(c, EVERYTHING)?,
                analyses: analyses::of_burst(c, &burst)?,
                products: products::of_burst(c, &burst)?,
                masters: masters::all(c)?
                    .into_iter()
                    .map(|(master, in_force)| MasterLine { in_force, master })
                    .collect(),
            })
        })
        .await?;
    let deadlines: Vec<DeadlineLine> = night
        .deadlines
        .iter()
        .map(|(deadline, lateness)| deadline_line(deadline, *lateness, &night, plan))
        .collect();
    let figures = clock.hold_figures();
    let verdict = judge(&night, &deadlines, plan, &figures);
    Ok(NightReport {
        verdict,
        alerts: night.alerts.iter().rev().map(|alert| alert_line(alert, plan)).collect(),
        trigger: night.trigger.as_ref().map(trigger_line),
        frames: frame_figures(&night.frames),
        groups: groups(&night.frames, last_analysis(&night), &night.masters),
        masters: night.masters,
        notes: plan.notes.clone(),
        deadlines,
        holds: figures.count,
        hold_seconds: figures.seconds,
        holds_expired: figures.expired,
        restarts: actors.iter().map(|actor| (actor.name.clone(), actor.restarts)).collect(),
        restart_seconds: actors
            .iter()
            .filter_map(|actor| Some((actor.name.clone(), actor.last_restart_seconds?)))
            .collect(),
        left_out: plan.left_out.clone(),
        places: places(directory),
    })
}

struct Night {
    alerts: Vec<AlertRow>,
    trigger: Option<Trigger>,
    deadlines: Vec<(Deadline, Option<f64>)>,
    frames: Vec<FrameRecord>,
    analyses: Vec<(PathBuf, AnalysisResult)>,
    products: Vec<ProductRow>,
    masters: Vec<MasterLine>,
}

/// The analysis of the last deadline.
fn last_analysis(night: &Night) -> Option<&AnalysisResult> {
    night.analyses.iter().map(|(_, analysis)| analysis).max_by_key(|analysis| analysis.due_at)
}

fn alert_line(alert: &AlertRow, plan: &NightPlan) -> AlertLine {
    let packet = alert.notice.as_ref().map(|notice| notice.packet_name.clone());
    AlertLine {
        packet: packet.unwrap_or_else(|| "not understood".to_owned()),
        received_at: alert.received_at,
        seconds_after_t0: alert.received_at.seconds_since(plan.t0),
        state: alert.state.clone(),
    }
}

fn trigger_line(trigger: &Trigger) -> TriggerLine {
    TriggerLine {
        burst_id: trigger.burst_id.clone(),
        state: format!("{:?}", trigger.state).to_lowercase(),
        t0: trigger.t0,
        t0_source: trigger.t0_source.to_string(),
        opened_at: trigger.opened_at,
        revision: trigger.revision,
    }
}

fn frame_figures(frames: &[FrameRecord]) -> FrameFigures {
    let mut figures = FrameFigures::default();
    let mut latencies = Vec::new();
    for frame in frames {
        let key = format!("{} {}", frame.instance, format!("{:?}", frame.state).to_lowercase());
        *figures.counts.entry(key).or_default() += 1;
        let Some(quality) = frame.quality.as_ref().filter(|_| frame.state == FrameState::Reduced)
        else {
            continue;
        };
        figures.object_frames += 1;
        figures.astrometry_solved += usize::from(quality.astrometry == "solved");
        latencies.push(quality.latency_seconds);
    }
    latencies.sort_by(f64::total_cmp);
    figures.latency_median_seconds = latencies.get(latencies.len() / 2).copied();
    figures.latency_maximum_seconds = latencies.last().copied();
    figures
}

fn deadline_line(
    deadline: &Deadline,
    lateness: Option<f64>,
    night: &Night,
    plan: &NightPlan,
) -> DeadlineLine {
    let analysis = night
        .analyses
        .iter()
        .find(|(_, analysis)| analysis.deadline == deadline.name)
        .map(|(_, analysis)| analysis);
    let products: Vec<_> =
        night.products.iter().filter(|row| row.record.key.deadline == deadline.name).collect();
    DeadlineLine {
        name: deadline.name.to_string(),
        due_at: deadline.due_at,
        seconds_after_t0: deadline.due_at.seconds_since(plan.t0),
        state: format!("{:?}", deadline.state).to_lowercase(),
        cause: deadline.cause.clone(),
        lateness_seconds: lateness,
        frames_used: analysis.map_or(0, |analysis| analysis.frames.len()),
        candidates: analysis.map_or(0, |analysis| analysis.candidates.len()),
        set_aside: analysis.map_or(0, |analysis| analysis.set_aside),
        best_candidate: analysis
            .and_then(|analysis| analysis.best())
            .map(|best| best.candidate.id.clone()),
        products: products.len(),
        receipts: products
            .iter()
            .filter(|row| row.delivery.as_deref() == Some("delivered"))
            .count(),
        degradations: analysis.map_or_else(Vec::new, |analysis| {
            analysis.degradations.iter().map(|degradation| degradation.code.clone()).collect()
        }),
        truth: analysis.zip(plan.truth.as_ref()).map(|(analysis, truth)| compare(analysis, truth)),
    }
}

/// What a night must show: every deadline served and receipted, and with a known truth the afterglow first at the
/// first two.
fn judge(
    night: &Night,
    deadlines: &[DeadlineLine],
    plan: &NightPlan,
    figures: &HoldFigures,
) -> Verdict {
    let mut complaints = Vec::new();
    if night.trigger.is_none() {
        complaints.push("no trigger was opened".to_owned());
    }
    if deadlines.is_empty() {
        complaints.push("no deadline was planned".to_owned());
    }
    for line in deadlines {
        if line.state == "cancelled" {
            continue;
        }
        if line.state != format!("{:?}", DeadlineState::Delivered).to_lowercase() {
            complaints.push(format!("{} is {}, not delivered", line.name, line.state));
        }
        if line.products == 0 || line.receipts != line.products {
            complaints.push(format!(
                "{}: {} products, {} receipts",
                line.name, line.products, line.receipts
            ));
        }
        let is_early = line.name == DeadlineName::First.to_string()
            || line.name == DeadlineName::Minutes(5).to_string();
        if let Some(truth) = line.truth.as_ref().filter(|_| is_early) {
            complaints.extend(
                truth.complaints().into_iter().map(|text| format!("{}: {text}", line.name)),
            );
        }
    }
    if plan.truth.is_some() && figures.expired.is_empty() && night.frames.is_empty() {
        complaints.push("no frame arrived".to_owned());
    }
    for expired in &figures.expired {
        complaints.push(format!("the clock gave up waiting: {expired}"));
    }
    Verdict { ok: complaints.is_empty(), complaints }
}

fn places(directory: &NightDirectory) -> BTreeMap<String, PathBuf> {
    let data = directory.data();
    BTreeMap::from([
        ("journal".to_owned(), data.join("gic.sqlite")),
        ("trigger files".to_owned(), data.join("triggers")),
        ("workspaces and GP1 results".to_owned(), data.join("calibrated")),
        ("products".to_owned(), data.join("products")),
        ("products as the science centre has them".to_owned(), directory.science_centre()),
        ("status files".to_owned(), data.join("status")),
        ("quarantine".to_owned(), data.join("quarantine")),
        ("truth".to_owned(), directory.truth_file()),
        ("metrics".to_owned(), directory.metrics_file()),
        ("this report".to_owned(), directory.report_file()),
    ])
}

impl NightReport {
    /// The report as a person reads it.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = self.write_text(&mut text);
        text
    }

    fn write_text(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, "\nAlerts")?;
        for alert in &self.alerts {
            writeln!(
                out,
                "  T0{:+7.0} s  {:<22} {}",
                alert.seconds_after_t0, alert.packet, alert.state
            )?;
        }
        match &self.trigger {
            Some(trigger) => writeln!(
                out,
                "Trigger  {}  {}  T0 {} ({}), {} changes",
                trigger.burst_id, trigger.state, trigger.t0, trigger.t0_source, trigger.revision
            )?,
            None => writeln!(out, "Trigger  none")?,
        }
        let counts: Vec<String> =
            self.frames.counts.iter().map(|(key, count)| format!("{count} {key}")).collect();
        writeln!(out, "Frames   {}", counts.join(", "))?;
        if let (Some(median), Some(maximum)) =
            (self.frames.latency_median_seconds, self.frames.latency_maximum_seconds)
        {
            writeln!(
                out,
                "         {} of {} solved; last byte to result {median:.2} s (median), {maximum:.2} s (longest)",
                self.frames.astrometry_solved, self.frames.object_frames
            )?;
        }
        self.notes.iter().try_for_each(|note| writeln!(out, "         {note}"))?;
        write_masters(out, &self.masters)?;
        write_groups(out, &self.groups)?;
        writeln!(out, "Deadlines")?;
        writeln!(
            out,
            "  name   due        late     frames  candidates  best             products  receipts"
        )?;
        for line in &self.deadlines {
            writeln!(
                out,
                "  {:<5}  T0{:+6.0} s  {:>7}  {:>6}  {:>10}  {:<15}  {:>8}  {:>8}",
                line.name,
                line.seconds_after_t0,
                line.lateness_seconds.map_or("-".to_owned(), |seconds| format!("{seconds:.2} s")),
                line.frames_used,
                line.candidates,
                line.best_candidate.as_deref().unwrap_or("-"),
                line.products,
                line.receipts,
            )?;
            if let Some(cause) = &line.cause {
                writeln!(out, "         {}: {cause}", line.state)?;
            }
            if let Some(truth) = &line.truth {
                writeln!(out, "         truth: {}", truth.summary())?;
            }
            if !line.degradations.is_empty() {
                writeln!(out, "         degraded: {}", line.degradations.join(", "))?;
            }
        }
        writeln!(
            out,
            "Clock    {} holds, {:.1} s in all{}",
            self.holds,
            self.hold_seconds,
            if self.holds_expired.is_empty() { "" } else { ", some gave up" }
        )?;
        let restarts: Vec<String> = self
            .restarts
            .iter()
            .filter(|(_, count)| **count > 0)
            .map(|(actor, count)| format!("{actor} {count}"))
            .collect();
        writeln!(
            out,
            "Restarts {}",
            if restarts.is_empty() { "none".to_owned() } else { restarts.join(", ") }
        )?;
        if !self.left_out.is_empty() {
            writeln!(out, "Left out {} files of the archive", self.left_out.len())?;
        }
        writeln!(out, "Where to look")?;
        for (what, path) in &self.places {
            writeln!(out, "  {what:<40} {}", path.display())?;
        }
        if self.verdict.ok {
            writeln!(out, "Everything is as it should be.")
        } else {
            writeln!(out, "NOT as it should be:")?;
            self.verdict.complaints.iter().try_for_each(|text| writeln!(out, "  {text}"))
        }
    }
}
