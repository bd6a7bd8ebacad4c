//! The modules and the pipeline on files, as the seeds' command lines run them (seed 002).

use super::aligned_frames::FieldSet;
use super::all_filters::{StackOfFilters, stacks_of_filters};
use super::astrometry::AstrometryStatus;
use super::error::Gp1Error;
use super::frame_group::FrameGroup;
use super::frame_input::{
    RAW_NAME, expand, frame_stem, is_reduced_here, raw_record, record_of_raw, reduced_record,
};
use super::frame_steps::{
    CalibratedFrame, RawFrame, StepContext, measure_calibrated, process_image,
};
use super::masters_in_force::MastersInForce;
use super::measured_frame::KnownField;
use super::named_masters::NamedMasters;
use super::pipeline::Instance;
use super::reduced_file::{ReducedFrame, read_measurement, read_reduced, write_stack};
use super::reduction_to_file::reduce_to_file;
use super::settings::{CosmicRayStep, InstanceSettings, Module, Steps};
use super::subtraction::{NewImage, subtract_configured, subtract_stack};
use super::trigger_of_frame::trigger_of_frame;
use super::workspace::{FramePaths, Workspace, component, group_of, make_directory};
use crate::catalogs::Catalogue;
use crate::fits::{FitsStore, Header, ImageRows, keywords::KeywordMap};
use crate::imaging::combination::PixelRows;
use crate::model::{
    Deadline, DeadlineName, DeadlineState, FrameKind, FrameRecord, Provenance, Trigger, UtcTime,
};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a batch works with.
#[derive(Clone)]
pub struct BatchTools {
    pub store: Arc<dyn FitsStore>,
    pub catalogue: Arc<dyn Catalogue>,
    pub keywords: KeywordMap,
    /// Those of `reduction.cfg`.
    pub named_masters: NamedMasters,
    pub masters_in_force: Arc<MastersInForce>,
    pub provenance: Provenance,
}

impl BatchTools {
    pub(crate) fn masters_for(&self, record: &FrameRecord) -> Arc<MastersInForce> {
        if self.named_masters.is_empty() {
            Arc::clone(&self.masters_in_force)
        } else {
            let in_force = Some(&*self.masters_in_force);
            Arc::new(self.named_masters.for_frame(&record.keywords, in_force))
        }
    }

    fn context<'a>(&'a self, settings: &'a InstanceSettings) -> StepContext<'a> {
        StepContext { settings, store: &*self.store, catalogue: &*self.catalogue }
    }
}

/// The files a batch wrote, and the inputs it could not use: one bad frame costs one frame.
#[derive(Debug, Default)]
pub struct BatchOutcome {
    pub written: Vec<PathBuf>,
    pub failed: Vec<(PathBuf, Gp1Error)>,
}

/// Runs one module on files or directories and writes into `output`.
///
/// `reduction` takes raw frames; every other module takes frames that `reduction` wrote (`*_reduced.fits`), or images from elsewhere
/// as they are, and measures on
/// them first what it needs and is not there yet. `alignment` and `stacking` take the sources, coordinates and zero point of a frame that `photometry` has
/// measured from the files beside it. `alignment` writes each frame on the grid of the first of its field, `stacking` writes a stack for each camera and filter, and one over
/// the filters of each camera, `summary` the result of
/// the trigger named in the headers, as of the last frame.
pub fn run_module(
    module: Module,
    inputs: &[PathBuf],
    output: &Path,
    settings: &InstanceSettings,
    tools: &BatchTools,
) -> Result<BatchOutcome, Gp1Error> {
    let files = expand(inputs)?;
    let wanted: Vec<PathBuf> = match module {
        Module::Reduction => files,
        // Something can be subtracted from a stack too.
        Module::Subtraction => {
            files.into_iter().filter(|path| is_stack(path) || !is_by_product(path)).collect()
        }
        _ => files.into_iter().filter(|path| !is_by_product(path)).collect(),
    };
    if wanted.is_empty() {
        return Err(Gp1Error::Input {
            module: module.name().to_owned(),
            what: "no FITS frame among the inputs".to_owned(),
        });
    }
    make_directory(output)?;
    let mut settings = settings.clone();
    settings.steps = steps_for(module);
    if settings.reduction.cosmic_ray_step == CosmicRayStep::Module {
        settings.reduction.cosmic_ray_step = CosmicRayStep::Always;
    }
    match module {
        Module::Reduction => Ok(reduce_files(&wanted, output, &settings, tools)),
        Module::Findstars | Module::Astrometry | Module::Photometry => {
            Ok(measure_files(&wanted, output, &settings, tools))
        }
        Module::Subtraction => Ok(subtract_files(&wanted, output, &settings, tools)),
        Module::Alignment | Module::Stacking | Module::Summary => {
            combine_files(module, &wanted, output, &settings, tools)
        }
    }
}

/// What a module needs on a frame, itself included.
fn steps_for(module: Module) -> Steps {
    let none = Steps {
        reduction: false,
        findstars: false,
        astrometry: false,
        alignment: false,
        stacking: false,
        photometry: false,
        subtraction: false,
        summary: false,
    };
    match module {
        Module::Reduction => Steps { reduction: true, ..none },
        Module::Findstars => Steps { findstars: true, ..none },
        Module::Astrometry => Steps { findstars: true, astrometry: true, ..none },
        Module::Photometry => Steps { findstars: true, astrometry: true, photometry: true, ..none },
        Module::Alignment | Module::Stacking | Module::Subtraction | Module::Summary => Steps::ALL,
    }
}

/// Tables, stacks, differences and aligned frames that lie beside reduced ones.
fn is_by_product(path: &Path) -> bool {
    let endings = ["_sources", "_aligned", "_difference"];
    is_stack(path)
        || frame_stem(path).is_some_and(|stem| endings.iter().any(|ending| stem.ends_with(ending)))
}

fn is_stack(path: &Path) -> bool {
    frame_stem(path).is_some_and(|stem| stem.starts_with("stack_"))
}

fn reduce_files(
    files: &[PathBuf],
    output: &Path,
    settings: &InstanceSettings,
    tools: &BatchTools,
) -> BatchOutcome {
    let mut outcome = BatchOutcome::default();
    for path in files {
        outcome.note(path, reduce_file(path, output, settings, tools));
    }
    outcome
}

fn reduce_file(
    path: &Path,
    output: &Path,
    settings: &InstanceSettings,
    tools: &BatchTools,
) -> Result<PathBuf, Gp1Error> {
    let context = tools.context(settings);
    let mut rows = ImageRows::open(context.store, path)?;
    let (header, shape) = (rows.header(), rows.dim());
    let record = record_of_raw(&tools.keywords, path, header, shape, &settings.name, epoch())?;
    let (raw, paths) = (raw_of(&record), flat_paths(output, &record.identity.name));
    let masters = tools.masters_for(&record);
    if reduce_to_file(context, raw, &mut rows, &masters, &paths)?.is_none() {
        process_image(context, raw, rows.into_image()?, &masters, &[], &paths)?;
    }
    Ok(paths.reduced)
}

/// Instant of arrival where nobody saw the frame arrive and nothing asks for it.
fn epoch() -> UtcTime {
    UtcTime::from_unix_microseconds(0)
}

impl BatchOutcome {
    fn note(&mut self, input: &Path, result: Result<PathBuf, Gp1Error>) {
        match result {
            Ok(path) => self.written.push(path),
            Err(error) => {
                tracing::warn!(input = %input.display(), %error, "input left out");
                self.failed.push((input.to_owned(), error));
            }
        }
    }
}

fn raw_of(record: &FrameRecord) -> RawFrame<'_> {
    RawFrame { path: &record.path, identity: &record.identity, keywords: &record.keywords }
}

/// The module level writes straight into its output directory.
fn flat_paths(output: &Path, frame: &str) -> FramePaths {
    Workspace::new(output, &[]).frame_paths(output.to_owned(), frame)
}

fn measure_files(
    files: &[PathBuf],
    output: &Path,
    settings: &InstanceSettings,
    tools: &BatchTools,
) -> BatchOutcome {
    let mut outcome = BatchOutcome::default();
    let mut group = FrameGroup::default();
    for (index, path) in files.iter().enumerate() {
        let measured = measure_file(path, output, settings, tools, &group);
        // Only a later frame can be aligned with this one.
        let is_reference = settings.steps.astrometry && index + 1 < files.len();
        let written = measured.and_then(|(record, paths)| {
            if is_reference {
                group.absorb(tools.context(settings), &record, &paths)?;
            }
            Ok(paths.sources)
        });
        outcome.note(path, written);
    }
    outcome
}

/// Measures a reduced file into `output`; where it cannot be solved it is aligned with the frames of the group. An image that
/// this program has not reduced is taken as it is: brought to electrons, its variance that of its light and read noise.
fn measure_file(
    path: &Path,
    output: &Path,
    settings: &InstanceSettings,
    tools: &BatchTools,
    group: &FrameGroup,
) -> Result<(FrameRecord, FramePaths), Gp1Error> {
    let context = tools.context(settings);
    let known = group.references();
    let references: Vec<_> = known.iter().map(KnownField::as_reference).collect();
    if !is_reduced_here(&context.store.read_header(path)?) {
        let (record, image) =
            raw_record(context.store, &tools.keywords, path, &settings.name, epoch())?;
        let paths = flat_paths(output, &record.identity.name);
        let masters = MastersInForce::default();
        process_image(context, raw_of(&record), image, &masters, &references, &paths)?;
        return Ok((record, paths));
    }
    let ReducedFrame { header, image, .. } = read_reduced(context.store, path)?;
    let record = reduced_record(&tools.keywords, path, &header, image.shape(), &settings.name)?;
    let paths = flat_paths(output, &record.identity.name);
    let frame = CalibratedFrame {
        header,
        image,
        masters: Vec::new(),
        degradations: Vec::new(),
        history: Vec::new(),
        is_in_place: is_same_file(path, &paths.reduced),
    };
    measure_calibrated(context, raw_of(&record), frame, &references, &paths)?;
    Ok((record, paths))
}

fn is_same_file(one: &Path, other: &Path) -> bool {
    matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

/// The frame of a reduced file that has been measured before, sources, coordinates and zero point: all that alignment and stacks ask for.
fn measured_before(
    tools: &BatchTools,
    path: &Path,
    instance: &str,
) -> Option<(FrameRecord, FramePaths)> {
    let header = tools.store.read_header(path).ok().filter(is_reduced_here)?;
    let name = header.text(RAW_NAME)?;
    let paths = flat_paths(path.parent()?, &name);
    let measurement = read_measurement(&paths.quality).ok()?;
    let is_solved = AstrometryStatus::from_word(&measurement.quality.astrometry).is_absolute();
    let record =
        reduced_record(&tools.keywords, path, &header, measurement.shape, instance).ok()?;
    let is_whole = is_solved
        && measurement.quality.zero_point.is_some()
        && measurement.identity == record.identity
        && is_same_file(path, &paths.reduced)
        && paths.sources.is_file();
    is_whole.then_some((record, paths))
}

fn combine_files(
    module: Module,
    files: &[PathBuf],
    output: &Path,
    settings: &InstanceSettings,
    tools: &BatchTools,
) -> Result<BatchOutcome, Gp1Error> {
    let context = tools.context(settings);
    let mut outcome = BatchOutcome::default();
    let mut group = FrameGroup::default();
    let mut fields = FieldSet::default();
    let mut records: Vec<(FrameRecord, Header)> = Vec::new();
    for path in files {
        let before = match module {
            Module::Summary => None,
            _ => measured_before(tools, path, &settings.name),
        };
        let measured =
            before.map_or_else(|| measure_file(path, output, settings, tools, &group), Ok);
        let taken = measured.and_then(|(record, paths)| match module {
            Module::Alignment => {
                align_file(context, &record, &paths, output, &mut group, &mut fields).map(Some)
            }
            _ => {
                group.absorb(context, &record, &paths)?;
                if module == Module::Summary {
                    records.push((record, context.store.read_header(&paths.reduced)?));
                }
                Ok(None)
            }
        });
        match taken {
            Ok(Some(aligned)) => outcome.note(path, Ok(aligned)),
            Ok(None) => {}
            Err(error) => outcome.note(path, Err(error)),
        }
    }
    match module {
        Module::Summary => {
            let instance = instance(settings, tools, output);
            for (trigger, deadline, members) in triggers_of(&records) {
                let analysed = instance.analyse_group(&group, &trigger, &deadline, &members);
                let report = analysed.as_ref().ok().map(|path| instance.report_with(&group, path));
                outcome.note(output, analysed);
                report.into_iter().for_each(|report| outcome.note(output, report));
            }
        }
        Module::Stacking => {
            for frame in group.frames() {
                if let Some(reason) = &frame.not_stacked {
                    let path = frame.paths.reduced.clone();
                    let refused = Gp1Error::Unusable { path, what: reason.clone() };
                    outcome.note(&frame.paths.reduced, Err(refused));
                }
            }
            for (name, stack) in group.stacks().named() {
                let path = output.join(format!("{name}.fits"));
                let (image, depth) = stack.image_with_depth();
                let written = write_stack(context.store, &path, &stack.header(), &image, &depth);
                outcome.note(&path, written.map(|()| path.clone()));
            }
            for StackOfFilters { name, header, image, depth } in stacks_of_filters(group.stacks()) {
                let path = output.join(format!("{name}.fits"));
                let written = write_stack(context.store, &path, &header, &image, &depth);
                outcome.note(&path, written.map(|()| path.clone()));
            }
        }
        _ => {}
    }
    Ok(outcome)
}

/// Subtracts the template that is configured from every frame, else the stack of those before it.
fn subtract_files(
    files: &[PathBuf],
    output: &Path,
    settings: &InstanceSettings,
    tools: &BatchTools,
) -> BatchOutcome {
    let context = tools.context(settings);
    let mut outcome = BatchOutcome::default();
    let mut group = FrameGroup::default();
    for path in files {
        let written = match &settings.subtraction.template {
            Some(template) => new_image(path, output, settings, tools)
                .and_then(|new| subtract_configured(context, &new, template, output)),
            None => {
                let measured = measure_file(path, output, settings, tools, &group);
                measured.and_then(|(record, paths)| {
                    let new = NewImage::read(context.store, &paths.reduced)?;
                    let written = subtract_stack(context, &new, &group, output);
                    group.absorb(context, &record, &paths)?;
                    written
                })
            }
        };
        outcome.note(path, written);
    }
    outcome
}

/// The image to subtract from: as it lies in a file of this program's, else measured first.
fn new_image(
    path: &Path,
    output: &Path,
    settings: &InstanceSettings,
    tools: &BatchTools,
) -> Result<NewImage, Gp1Error> {
    match NewImage::read(&*tools.store, path) {
        Err(Gp1Error::Content { .. }) => {
            let group = FrameGroup::default();
            let (_, paths) = measure_file(path, output, settings, tools, &group)?;
            NewImage::read(&*tools.store, &paths.reduced)
        }
        read => read,
    }
}

/// Writes a measured frame on the grid of its field. Frames that are not tied to the sky find the first of their field among
/// the group's.
fn align_file(
    context: StepContext<'_>,
    record: &FrameRecord,
    paths: &FramePaths,
    output: &Path,
    group: &mut FrameGroup,
    fields: &mut FieldSet,
) -> Result<PathBuf, Gp1Error> {
    let Some(reduced) = group.enlist(context, record, paths)? else {
        let what = "it is there twice".to_owned();
        return Err(Gp1Error::Unusable { path: record.path.clone(), what });
    };
    let frame = group.frames().last().ok_or_else(|| Gp1Error::Unusable {
        path: record.path.clone(),
        what: "it could not be taken in".to_owned(),
    })?;
    let path = output.join(format!("{}_aligned.fits", component(frame.name())));
    fields.write_aligned(context, frame, reduced, &path)?;
    Ok(path)
}

fn instance(settings: &InstanceSettings, tools: &BatchTools, output: &Path) -> Instance {
    let mut settings = settings.clone();
    settings.workspace_dir = output.to_owned();
    Instance::new(
        settings,
        Arc::clone(&tools.catalogue),
        Arc::clone(&tools.store),
        tools.keywords.clone(),
        tools.provenance.clone(),
    )
}

/// The triggers of frames, from their headers, each with a deadline at the minute after its last frame.
fn triggers_of(records: &[(FrameRecord, Header)]) -> Vec<(Trigger, Deadline, Vec<FrameRecord>)> {
    let mut groups: BTreeMap<String, Vec<&(FrameRecord, Header)>> = BTreeMap::new();
    for each in records {
        groups.entry(group_of(&each.0.keywords, None)).or_default().push(each);
    }
    groups
        .into_values()
        .filter_map(|members| {
            let first = members.iter().min_by_key(|each| each.0.keywords.date_obs)?;
            let trigger = trigger_of_frame(&first.1, &first.0);
            let last = members
                .iter()
                .map(|each| {
                    let keywords = &each.0.keywords;
                    keywords.date_obs.plus_seconds(keywords.exposure_seconds)
                })
                .max()?;
            let minutes = (last.seconds_since(trigger.t0) / 60.0).ceil().clamp(0.0, 1e6) as u32;
            let deadline = Deadline {
                burst_id: trigger.burst_id.clone(),
                name: DeadlineName::Minutes(minutes),
                due_at: trigger.t0.plus_seconds(60.0 * f64::from(minutes)),
                state: DeadlineState::Due,
                cause: None,
            };
            let frames = members.iter().map(|each| each.0.clone()).collect();
            Some((trigger, deadline, frames))
        })
        .collect()
}

/// Runs the whole pipeline on raw frames, in the order of their names, into `<output>/<TRGID>/<INSTRUME>/<FILTER>`, and with
/// the summary enabled the result of each trigger as of its last frame. Frames that are not of objects are passed over.
pub fn run_pipeline(
    inputs: &[PathBuf],
    output: &Path,
    settings: &InstanceSettings,
    tools: &BatchTools,
) -> Result<BatchOutcome, Gp1Error> {
    let files = expand(inputs)?;
    if files.is_empty() {
        return Err(Gp1Error::Input {
            module: "pipeline".to_owned(),
            what: "no FITS frame among the inputs".to_owned(),
        });
    }
    make_directory(output)?;
    let mut outcome = BatchOutcome::default();
    let mut instance = instance(settings, tools, output);
    let mut records = Vec::new();
    for path in &files {
        let opened = raw_record(&*tools.store, &tools.keywords, path, &settings.name, epoch());
        // The pixels are read again when their turn comes: a list of frames must not hold them all.
        let (mut record, header) = match opened {
            Ok((record, image)) => (record, image.header),
            Err(error) => {
                outcome.note(path, Err(error));
                continue;
            }
        };
        if record.keywords.kind != FrameKind::Object {
            continue;
        }
        let keywords = &record.keywords;
        record.arrived_at = keywords.date_obs.plus_seconds(keywords.exposure_seconds);
        let masters = tools.masters_for(&record);
        let processed = instance.process_frame(&record, &masters, None);
        if processed.is_ok() {
            records.push((record, header));
        }
        outcome.note(path, processed.map(|outcome| outcome.reduced_path));
    }
    if settings.steps.summary {
        for (trigger, deadline, members) in triggers_of(&records) {
            let analysed = instance.analyse(&trigger, &deadline, &members);
            let report = analysed.as_ref().ok().map(|path| instance.report(path));
            outcome.note(output, analysed);
            report.into_iter().for_each(|report| outcome.note(output, report));
        }
    }
    Ok(outcome)
}
