//! One instance of the pipeline: frame after frame, and the result at each deadline.
//!
//! An instance belongs to one worker thread. What it remembers follows from the files of its frames and their order, so
//! it can be rebuilt after a restart ([`Instance::restore`]) and then goes on as if nothing had happened.

use super::analysis::{
    Findings, SearchTarget, StackView, analyse, provisional, restack, view_stacks,
};
use super::error::Gp1Error;
use super::frame_group::FrameGroup;
use super::frame_steps::{RawFrame, StepContext, StepTimer, process_raw};
use super::masters_in_force::MastersInForce;
use super::measured_frame::{KnownField, MeasuredFrame};
use super::pixel_budget::PIXELS_PER_DEADLINE;
use super::reduced_file::FrameMeasurement;
use super::report::{ReportInputs, write_report};
use super::result_files::{
    write_cutouts, write_differences, write_provisional, write_result, write_stacks,
    write_stacks_of_filters,
};
use super::settings::InstanceSettings;
use super::stacking::StackSet;
use super::workspace::{FramePaths, Workspace, group_of, make_directory};
use crate::catalogs::Catalogue;
use crate::fits::{FitsStore, keywords::KeywordMap};
use crate::model::{
    AnalysisResult, Candidate, CatalogueStatus, Deadline, Degradation, FrameQuality, FrameRecord,
    FrameUse, ListedCandidate, Provenance, Trigger, normalise_burst_id,
};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// What became of a frame.
#[derive(Debug, Clone)]
pub struct FrameOutcome {
    /// `latency_seconds` is the caller's to fill in.
    pub quality: FrameQuality,
    pub reduced_path: PathBuf,
    pub sources_path: PathBuf,
    /// The candidates as far as the source tables show them, the best first; for frames of a trigger.
    pub provisional: Option<Vec<ListedCandidate>>,
}

/// A frame to be measured, with all that takes.
pub struct FrameWork {
    settings: InstanceSettings,
    catalogue: Arc<dyn Catalogue>,
    store: Arc<dyn FitsStore>,
    frame: FrameRecord,
    paths: FramePaths,
    /// The fields as earlier frames of the group found them.
    references: Vec<KnownField>,
    group_name: String,
    started: Instant,
}

impl FrameWork {
    /// Whether the frames before this one can no longer change how it is measured.
    pub fn has_settled_field(&self) -> bool {
        !self.references.is_empty() && self.references.iter().all(KnownField::is_absolute)
    }

    /// Runs the enabled steps on the raw frame and writes its files.
    pub fn measure(&self, masters: &MastersInForce) -> Result<FrameMeasurement, Gp1Error> {
        let context = context_of(&self.settings, &self.store, &self.catalogue);
        let FrameRecord { path, identity, keywords, .. } = &self.frame;
        let references: Vec<_> = self.references.iter().map(KnownField::as_reference).collect();
        let raw = RawFrame { path, identity, keywords };
        process_raw(context, raw, masters, &references, &self.paths)
    }
}

/// One instance (`svom`, `colibri`) with all it remembers.
#[derive(Clone)]
pub struct Instance {
    settings: InstanceSettings,
    catalogue: Arc<dyn Catalogue>,
    store: Arc<dyn FitsStore>,
    keywords: KeywordMap,
    provenance: Provenance,
    workspace: Workspace,
    groups: BTreeMap<String, FrameGroup>,
}

impl Instance {
    /// An instance without memory. `provenance` gives program, version and configuration; catalogue and masters are
    /// filled in with what was used.
    pub fn new(
        settings: InstanceSettings,
        catalogue: Arc<dyn Catalogue>,
        store: Arc<dyn FitsStore>,
        keywords: KeywordMap,
        provenance: Provenance,
    ) -> Self {
        let workspace = Workspace::new(&settings.workspace_dir, &settings.workspace_headers);
        Self {
            settings,
            catalogue,
            store,
            keywords,
            provenance,
            workspace,
            groups: BTreeMap::new(),
        }
    }

    pub fn settings(&self) -> &InstanceSettings {
        &self.settings
    }

    pub fn workspace(&self) -> &Workspace {
        &self.workspace
    }

    /// Runs the enabled steps on a raw frame, writes its files, and takes it into the stacks. Frames must come in their order
    /// of arrival. The same frame again writes the same files and changes nothing else.
    ///
    /// An error concerns this frame only; [`Gp1Error::is_retry_safe`] says whether to try it again.
    pub fn process_frame(
        &mut self,
        frame: &FrameRecord,
        masters: &MastersInForce,
        trigger: Option<&Trigger>,
    ) -> Result<FrameOutcome, Gp1Error> {
        let work = self.prepare(frame, trigger)?;
        let measurement = work.measure(masters)?;
        self.take_in(work, measurement, trigger)
    }

    /// Puts together what measuring a frame needs. The measuring itself leaves the instance alone: it may fail in any way
    /// without harm to what the instance remembers.
    pub fn prepare(
        &self,
        frame: &FrameRecord,
        trigger: Option<&Trigger>,
    ) -> Result<FrameWork, Gp1Error> {
        let burst_id = trigger.map(|trigger| trigger.burst_id.as_str());
        let group_name = group_of(&frame.keywords, burst_id);
        let references =
            self.groups.get(&group_name).map(FrameGroup::references).unwrap_or_default();
        Ok(FrameWork {
            settings: self.settings.clone(),
            catalogue: self.catalogue.clone(),
            store: self.store.clone(),
            paths: self.frame_paths(frame, burst_id)?,
            references,
            frame: frame.clone(),
            group_name,
            started: Instant::now(),
        })
    }

    /// Takes a measured frame into the stacks, and lists what it shows. `trigger` as it was given to [`Instance::prepare`].
    pub fn take_in(
        &mut self,
        work: FrameWork,
        measurement: FrameMeasurement,
        trigger: Option<&Trigger>,
    ) -> Result<FrameOutcome, Gp1Error> {
        let FrameWork { frame, paths, group_name, started, .. } = work;
        let context = context_of(&self.settings, &self.store, &self.catalogue);
        let group = self.groups.entry(group_name.clone()).or_default();
        // The provisional list rests on the source tables: it is out before the pixels go into the stacks.
        let reduced = group.enlist(context, &frame, &paths)?;
        let list = match trigger {
            Some(trigger) if self.settings.steps.summary => {
                let mut timer = StepTimer::new(&frame.identity.name);
                let frames: Vec<&MeasuredFrame> = group.frames().iter().collect();
                let mut list = provisional(context, &frames, target_of(trigger));
                list.retain(|candidate| candidate.set_aside.is_none());
                let list = listed(list);
                let path = self.workspace.provisional(&trigger.burst_id);
                let written = write_provisional(&path, &list);
                timer.done("provisional");
                written.map(|()| Some(list))
            }
            _ => Ok(None),
        };
        let provisional_milliseconds = started.elapsed().as_secs_f64() * 1e3;
        if let Some(reduced) = reduced {
            group.stack_last(context, &reduced);
        }
        // Only now: the stacks hold the frames of the list, whatever became of the file.
        let list = list?;
        let quality = measurement.quality;
        tracing::info!(
            instance = %self.settings.name,
            frame = %frame.identity.name,
            group = %group_name,
            sources = quality.source_count,
            fwhm_pixels = quality.fwhm_pixels,
            astrometry = %quality.astrometry,
            zero_point = quality.zero_point,
            limiting_magnitude = quality.limiting_magnitude,
            provisional_milliseconds,
            milliseconds = started.elapsed().as_secs_f64() * 1e3,
            "frame processed"
        );
        Ok(FrameOutcome {
            quality,
            reduced_path: paths.reduced,
            sources_path: paths.sources,
            provisional: list,
        })
    }

    /// Takes in frames processed before, in their order, from the files of the workspace. Afterwards the instance is as if it
    /// had processed them itself. `trigger` as it was given to [`Instance::process_frame`].
    pub fn restore(
        &mut self,
        frames: &[FrameRecord],
        trigger: Option<&Trigger>,
    ) -> Result<(), Gp1Error> {
        let burst_id = trigger.map(|trigger| trigger.burst_id.as_str());
        for frame in frames {
            let paths = self.frame_paths(frame, burst_id)?;
            let context = context_of(&self.settings, &self.store, &self.catalogue);
            let group = self.groups.entry(group_of(&frame.keywords, burst_id)).or_default();
            group.absorb(context, frame, &paths)?;
        }
        Ok(())
    }

    /// Analyses a trigger with `frames` (those whose last byte had arrived, in order of arrival, reduced or not) and writes
    /// `<workspace>/<TRGID>/<deadline>/result.json` with what belongs to it. Always gives a result: what could not be used
    /// is in it with the reason. Returns the path of the JSON.
    pub fn analyse(
        &mut self,
        trigger: &Trigger,
        deadline: &Deadline,
        frames: &[FrameRecord],
    ) -> Result<PathBuf, Gp1Error> {
        self.take_in_missing(trigger, frames);
        self.analyse_taken_in(trigger, deadline, frames)
    }

    /// The same with what the instance remembers already: it is left as it is.
    pub fn analyse_taken_in(
        &self,
        trigger: &Trigger,
        deadline: &Deadline,
        frames: &[FrameRecord],
    ) -> Result<PathBuf, Gp1Error> {
        let empty = FrameGroup::default();
        let group = self.groups.get(&group_of_trigger(trigger)).unwrap_or(&empty);
        self.analyse_group(group, trigger, deadline, frames)
    }

    /// The same with frames that another remembers.
    pub(crate) fn analyse_group(
        &self,
        group: &FrameGroup,
        trigger: &Trigger,
        deadline: &Deadline,
        frames: &[FrameRecord],
    ) -> Result<PathBuf, Gp1Error> {
        let started = Instant::now();
        let context = context_of(&self.settings, &self.store, &self.catalogue);
        let usable: Vec<&MeasuredFrame> =
            frames.iter().filter_map(|record| group.find(&record.identity)).collect();

        // The running stacks serve when they hold just these frames; later ones in them would tell of what had not happened.
        let is_exact = !self.settings.steps.stacking || group.stacks().is_of(&usable);
        let pixels: usize =
            usable.iter().map(|f| f.measurement.shape.0 * f.measurement.shape.1).sum();
        // Stacking hundreds of frames anew would make everything late: then the stacks serve as they are, and the result says so.
        let has_time = pixels <= PIXELS_PER_DEADLINE;
        let rebuilt: Option<(StackSet, Vec<Option<String>>)> =
            if is_exact || !has_time { None } else { Some(restack(context, &usable)?) };
        let stacks = rebuilt.as_ref().map_or(group.stacks(), |(stacks, _)| stacks);
        let views = view_stacks(context, stacks, &usable);
        let mut findings = analyse(context, &usable, &views, target_of(trigger))?;
        if !is_exact && !has_time {
            let reason = "the stacks hold frames that came after the instant: there was no time to make them anew";
            findings.degradations.push(Degradation::new("LATERFRM", reason));
        }

        let directory = self.workspace.deadline_directory(&trigger.burst_id, deadline.name);
        make_directory(&directory)?;
        write_stacks(context, &directory, &usable, &views)?;
        write_stacks_of_filters(context, &directory, stacks)?;
        let mut uses = frame_uses(frames, group);
        if let Some((_, refusals)) = &rebuilt {
            let reduced = uses.iter_mut().filter(|(is_reduced, _)| *is_reduced);
            for ((_, each), refusal) in reduced.zip(refusals) {
                each.stacked = refusal.is_none();
                each.reason = refusal.clone();
            }
        }
        for (_, each) in &mut uses {
            each.group = stacks.group_of(&each.instrument, &each.filter, &each.name);
        }
        let frame_list = uses.into_iter().map(|(_, each)| each).collect();
        let differences = std::mem::take(&mut findings.differences);
        let path =
            self.write(trigger, deadline, &usable, &views, findings, frame_list, &directory)?;
        // Pictures of them are for people: the result does not wait, and is none the worse without.
        if let Err(error) = write_differences(context, &directory, &differences) {
            tracing::warn!(%error, "a difference could not be written");
        }
        tracing::info!(
            instance = %self.settings.name,
            burst = %trigger.burst_id,
            deadline = %deadline.name,
            frames = usable.len(),
            milliseconds = started.elapsed().as_secs_f64() * 1e3,
            "deadline analysed"
        );
        Ok(path)
    }

    /// Writes the report for people beside a result of this instance. The same result gives the same bytes whenever it is called.
    /// Returns the path of the page.
    pub fn report(&self, result_path: &Path) -> Result<PathBuf, Gp1Error> {
        let result = read_result(result_path)?;
        let empty = FrameGroup::default();
        let group = self.groups.get(&group_of_burst(&result.burst_id)).unwrap_or(&empty);
        self.report_of_group(group, &result, result_path)
    }

    /// The same with frames that another remembers.
    pub(crate) fn report_with(
        &self,
        group: &FrameGroup,
        result_path: &Path,
    ) -> Result<PathBuf, Gp1Error> {
        self.report_of_group(group, &read_result(result_path)?, result_path)
    }

    fn report_of_group(
        &self,
        group: &FrameGroup,
        result: &AnalysisResult,
        result_path: &Path,
    ) -> Result<PathBuf, Gp1Error> {
        let frames: Vec<&MeasuredFrame> = result
            .frames
            .iter()
            .filter_map(|used| group.frames().iter().find(|frame| frame.name() == used.name))
            .collect();
        write_report(&ReportInputs {
            context: context_of(&self.settings, &self.store, &self.catalogue),
            result,
            directory: result_path.parent().unwrap_or(Path::new(".")),
            frames: &frames,
        })
    }

    #[allow(clippy::too_many_arguments)]
    fn write(
        &self,
        trigger: &Trigger,
        deadline: &Deadline,
        usable: &[&MeasuredFrame],
        views: &[StackView<'_>],
        findings: Findings,
        frames: Vec<FrameUse>,
        directory: &Path,
    ) -> Result<PathBuf, Gp1Error> {
        let context = context_of(&self.settings, &self.store, &self.catalogue);
        let summary = &self.settings.summary;
        let mut degradations = findings.degradations;
        let all = findings.candidates;
        let standing: Vec<&Candidate> =
            all.iter().filter(|candidate| candidate.set_aside.is_none()).collect();
        let (shown, hidden) = standing.split_at(standing.len().min(summary.maximum_candidates));
        if !hidden.is_empty() {
            let best_hidden = hidden.iter().map(|each| each.score).fold(0.0, f64::max);
            let reason = format!(
                "{} more candidates, none of a score above {best_hidden:.3}, are in candidates.fits only",
                hidden.len()
            );
            degradations.push(Degradation::new("MORECAND", reason));
        }
        if let Some(cause) = &deadline.cause {
            degradations.push(Degradation::new("LATE", cause.clone()));
        }
        let empty_reason = empty_reason(&frames, usable, &standing, all.len());
        if usable.is_empty() {
            let reason = empty_reason.clone().unwrap_or_default();
            degradations.push(Degradation::new("NOFRAME", reason));
        }
        let cutouts =
            write_cutouts(context, directory, usable, views, shown, summary.cutout_pixels)?;
        let candidates = listed(shown.iter().map(|each| (*each).clone()).collect())
            .into_iter()
            .zip(cutouts)
            .map(|(listed, cutout)| ListedCandidate { cutout, ..listed })
            .collect();
        let catalogue_status = match usable.is_empty() {
            // Nothing was asked: that is not the same as an empty field.
            true => CatalogueStatus::Unavailable,
            false => findings.catalogue_status,
        };
        let result = AnalysisResult {
            format_version: AnalysisResult::FORMAT_VERSION,
            burst_id: trigger.burst_id.clone(),
            deadline: deadline.name,
            due_at: deadline.due_at,
            t0: trigger.t0,
            t0_source: trigger.t0_source,
            opened_at: trigger.opened_at,
            search_region: trigger.best_position,
            field_centre: findings.field_centre,
            telescope: usable.first().map(|frame| frame.telescope.clone()).unwrap_or_default(),
            instrument: joined(usable.iter().map(|frame| &frame.record.keywords.instrument)),
            frames,
            limits: findings.limits,
            catalogue_status,
            candidates,
            set_aside: all.len() - standing.len(),
            completeness: findings.completeness,
            degradations,
            empty_reason,
            provenance: self.provenance_of(usable),
        };
        write_result(context, directory, &result, &all)
    }

    fn provenance_of(&self, frames: &[&MeasuredFrame]) -> Provenance {
        let mut masters: Vec<String> =
            frames.iter().flat_map(|frame| frame.measurement.masters.clone()).collect();
        masters.sort();
        masters.dedup();
        Provenance {
            instance: self.settings.name.clone(),
            catalogue: self.catalogue.describe(),
            masters,
            ..self.provenance.clone()
        }
    }

    /// Frames whose files are there but not in memory; what cannot be read is left to the list of frames to say.
    pub fn take_in_missing(&mut self, trigger: &Trigger, frames: &[FrameRecord]) {
        let group_name = group_of_trigger(trigger);
        for record in frames {
            let known = self
                .groups
                .get(&group_name)
                .is_some_and(|group| group.find(&record.identity).is_some());
            if known || group_of(&record.keywords, Some(&trigger.burst_id)) != group_name {
                continue;
            }
            let Ok(paths) = self.frame_paths(record, Some(&trigger.burst_id)) else { continue };
            if !paths.quality.exists() {
                continue;
            }
            let context = context_of(&self.settings, &self.store, &self.catalogue);
            let group = self.groups.entry(group_name.clone()).or_default();
            if let Err(error) = group.absorb(context, record, &paths) {
                tracing::warn!(frame = %record.identity.name, %error, "a reduced frame cannot be read");
            }
        }
    }

    fn frame_paths(
        &self,
        frame: &FrameRecord,
        burst_id: Option<&str>,
    ) -> Result<FramePaths, Gp1Error> {
        let header = match self.workspace.is_known_from_keywords() {
            true => None,
            false => Some(self.store.read_header(&frame.path)?),
        };
        let value_of = |name: &str| self.keywords.value_of(header.as_ref()?, &frame.keywords, name);
        let directory = self.workspace.frame_directory(&frame.keywords, burst_id, &value_of);
        Ok(self.workspace.frame_paths(directory, &frame.identity.name))
    }
}

fn context_of<'a>(
    settings: &'a InstanceSettings,
    store: &'a Arc<dyn FitsStore>,
    catalogue: &'a Arc<dyn Catalogue>,
) -> StepContext<'a> {
    StepContext { settings, store: &**store, catalogue: &**catalogue }
}

fn target_of(trigger: &Trigger) -> SearchTarget {
    SearchTarget { t0: trigger.t0, region: trigger.best_position }
}

fn group_of_trigger(trigger: &Trigger) -> String {
    group_of_burst(&trigger.burst_id)
}

fn group_of_burst(burst_id: &str) -> String {
    super::workspace::component(&normalise_burst_id(burst_id))
}

fn read_result(path: &Path) -> Result<AnalysisResult, Gp1Error> {
    let text =
        std::fs::read(path).map_err(|source| Gp1Error::Io { path: path.to_owned(), source })?;
    serde_json::from_slice(&text)
        .map_err(|error| Gp1Error::Content { path: path.to_owned(), what: error.to_string() })
}

fn listed(candidates: Vec<Candidate>) -> Vec<ListedCandidate> {
    candidates
        .into_iter()
        .enumerate()
        .map(|(index, candidate)| ListedCandidate { rank: index + 1, candidate, cutout: None })
        .collect()
}

/// How each frame was used, and whether it was reduced at all.
fn frame_uses(frames: &[FrameRecord], group: &FrameGroup) -> Vec<(bool, FrameUse)> {
    frames
        .iter()
        .map(|record| match group.find(&record.identity) {
            Some(frame) => (true, frame.as_use()),
            None => {
                let reason = match &record.reason {
                    Some(reason) => format!("not reduced: {reason}"),
                    None => "not reduced in time".to_owned(),
                };
                let keywords = &record.keywords;
                let unused = FrameUse {
                    name: record.identity.name.clone(),
                    instrument: keywords.instrument.clone(),
                    filter: keywords.filter.clone(),
                    start: keywords.date_obs,
                    exposure_seconds: keywords.exposure_seconds,
                    arrived_at: record.arrived_at,
                    stacked: false,
                    reason: Some(reason),
                    relative_zero_point: None,
                    calibration: None,
                    group: None,
                    zero_point: None,
                    limiting_magnitude: None,
                    fwhm_pixels: None,
                    astrometry: "none".to_owned(),
                };
                (false, unused)
            }
        })
        .collect()
}

fn empty_reason(
    frames: &[FrameUse],
    usable: &[&MeasuredFrame],
    standing: &[&Candidate],
    considered: usize,
) -> Option<String> {
    if !standing.is_empty() {
        return None;
    }
    if frames.is_empty() {
        return Some("no frame had arrived".to_owned());
    }
    if usable.is_empty() {
        let first = frames.iter().find_map(|frame| frame.reason.as_deref()).unwrap_or("");
        return Some(format!("none of {} frames could be used ({first})", frames.len()));
    }
    if usable.iter().all(|frame| frame.wcs.is_none()) {
        return Some("no frame could be located on the sky".to_owned());
    }
    let aside = match considered {
        0 => String::new(),
        count => format!(" ({count} detections are set aside, see candidates.fits)"),
    };
    Some(format!("no source beyond the catalogue on {} frames{aside}", usable.len()))
}

fn joined<'a>(names: impl Iterator<Item = &'a String>) -> String {
    let mut unique: Vec<&str> = names.map(String::as_str).collect();
    unique.sort_unstable();
    unique.dedup();
    unique.join("+")
}
