//! Replay of an archived night: which files, in which order, when (interfaces.md §6).

use super::SimulationError;
use super::archive_files::{fits_files, frame_name};
use super::archive_nights::{Found, is_series, select_night};
use super::story::{StoryPacket, eclairs_notice};
use super::story_parameters::burst_id_of;
use crate::fits::FitsStore;
use crate::fits::keywords::{KeywordLists, KeywordMap};
use crate::model::{FrameKeywords, FrameKind, SkyPosition, UtcTime, normalise_burst_id};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Between the last calibration frame and T0: time to make the masters.
const MASTER_SECONDS: f64 = 120.0;

/// How a night is replayed.
#[derive(Debug, Clone, PartialEq)]
pub struct ArchiveOptions {
    /// Absent: `t0_lead_seconds` before the first object frame.
    pub t0: Option<UtcTime>,
    /// Absent: the trigger that most object frames name, else one made from T0.
    pub burst_id: Option<String>,
    /// Arrivals of object frames so far apart, with DATE-OBS shifted; absent: as they were taken.
    pub interval_seconds: Option<f64>,
    pub t0_lead_seconds: f64,
    /// From the end of an exposure to the last byte of its file.
    pub readout_seconds: f64,
    /// Calibration frames arrive this far apart.
    pub calibration_step_seconds: f64,
    /// Programme written where a frame names none.
    pub alert_observer: String,
    pub calibration_observer: String,
    /// The notice at the header's target comes this long after T0, with this error radius.
    pub notice_delay_seconds: f64,
    pub notice_radius_degrees: f64,
}

impl Default for ArchiveOptions {
    fn default() -> Self {
        Self {
            t0: None,
            burst_id: None,
            interval_seconds: None,
            t0_lead_seconds: 120.0,
            readout_seconds: 5.0,
            calibration_step_seconds: 12.0,
            alert_observer: "svom".to_owned(),
            calibration_observer: "colibri".to_owned(),
            notice_delay_seconds: 95.0,
            notice_radius_degrees: 0.065,
        }
    }
}

impl ArchiveOptions {
    fn check(&self) -> Result<(), SimulationError> {
        let refuse = |parameter| {
            let what = "must be above 0".to_owned();
            Err(SimulationError::Parameter { parameter, what })
        };
        // Written so that NaN is refused.
        if self.interval_seconds.is_some_and(|interval| !(interval > 0.0 && interval.is_finite())) {
            return refuse("interval");
        }
        if !(self.calibration_step_seconds > 0.0 && self.calibration_step_seconds.is_finite()) {
            return refuse("calibration_step_seconds");
        }
        if !(self.notice_radius_degrees > 0.0 && self.notice_radius_degrees.is_finite()) {
            return refuse("notice_radius_degrees");
        }
        Ok(())
    }
}

/// A frame to replay.
#[derive(Debug, Clone, PartialEq)]
pub struct ReplayFrame {
    pub source: PathBuf,
    /// File name without directory and endings.
    pub name: String,
    pub kind: FrameKind,
    /// Start of the exposure as archived.
    pub date_obs: UtcTime,
    /// Start of the exposure as replayed; differs only with `--interval`.
    pub start: UtcTime,
    pub exposure_seconds: f64,
    /// When its last byte is there.
    pub arrival: UtcTime,
    /// TRGID to add where the header has none; `None` for calibration frames.
    pub trigger_id: Option<String>,
    /// OBSERVER to add where the header has none.
    pub observer: String,
    pub cards: ReplayCards,
}

/// The keywords under which the controller looks first for what a replay adds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayCards {
    pub trigger_id: String,
    pub observer: String,
    pub exposure_type: String,
    /// Start of the exposure.
    pub date_obs: String,
}

impl Default for ReplayCards {
    fn default() -> Self {
        Self {
            trigger_id: "TRGID".to_owned(),
            observer: "OBSERVER".to_owned(),
            exposure_type: "EXPTYPE".to_owned(),
            date_obs: "DATE-OBS".to_owned(),
        }
    }
}

impl ReplayCards {
    /// The first of each list of the frame's camera.
    fn of(lists: &KeywordLists) -> Self {
        let first = |list: &[String], usual: String| list.first().cloned().unwrap_or(usual);
        let usual = Self::default();
        Self {
            trigger_id: first(&lists.trigger_id, usual.trigger_id),
            observer: first(&lists.observer, usual.observer),
            exposure_type: first(&lists.exposure_type, usual.exposure_type),
            date_obs: first(&lists.date_obs, usual.date_obs),
        }
    }
}

/// A night ready for replay.
#[derive(Debug, Clone, PartialEq)]
pub struct ArchivePlan {
    /// In order of arrival: calibration frames first.
    pub frames: Vec<ReplayFrame>,
    pub t0: UtcTime,
    pub burst_id: String,
    /// Pointing of the first object frame that says it.
    pub target: Option<SkyPosition>,
    /// When the clock starts. Calibration frames, whenever they were taken, arrive from here on and end before T0 and the
    /// first object frame: nobody waits for the hours between.
    pub clock_start: UtcTime,
    /// Name of the telescope, where the camera's file has one.
    pub telescope: Option<String>,
    /// Filters of the object frames, each once, as they come.
    pub filters: Vec<String>,
    /// Why the exposures are not replayed as they were taken, if they are not.
    pub shifted: Option<String>,
    /// Files left out, with the reason, in order of their paths.
    pub skipped: Vec<(PathBuf, String)>,
    notice_at: UtcTime,
    notice_radius_degrees: f64,
}

impl ArchivePlan {
    /// How many frames of a kind are replayed.
    pub fn count(&self, kind: FrameKind) -> usize {
        self.frames.iter().filter(|frame| frame.kind == kind).count()
    }

    /// The notice for a replay without `--alert`: an ECLAIRs wake-up at the header's target. Without a target there is
    /// none, and the frames themselves open the trigger (interfaces.md §3).
    pub fn notice(&self) -> Option<StoryPacket> {
        self.target.map(|target| {
            let radius = self.notice_radius_degrees;
            eclairs_notice(&self.burst_id, target, radius, self.t0, self.notice_at)
        })
    }
}

/// Plans the replay of the FITS files under a directory. A file that cannot be used is in `skipped` with the reason; only
/// a directory that cannot be read, or that has no object frame, is an error.
pub fn plan(
    directory: &Path,
    options: &ArchiveOptions,
    store: &dyn FitsStore,
    keywords: &KeywordMap,
) -> Result<ArchivePlan, SimulationError> {
    options.check()?;
    let mut skipped = Vec::new();
    let mut found = Vec::new();
    let mut names = BTreeSet::new();
    for path in fits_files(directory, &mut skipped)? {
        let name = frame_name(&path);
        if !names.insert(name.clone()) {
            skipped.push((path, format!("another file of the name {name} is replayed")));
            continue;
        }
        match read_keywords(&path, &name, store, keywords) {
            Ok((keywords, cards)) => found.push(Found { path, name, keywords, cards }),
            Err(reason) => skipped.push((path, reason)),
        }
    }
    found.sort_by(|a, b| a.start().cmp(&b.start()).then_with(|| a.path.cmp(&b.path)));
    let is_series = is_series(&found);
    let (objects, calibration) = select_night(found, is_series, &mut skipped);
    skipped.sort();
    let mut options = options.clone();
    let mut shifted = None;
    if is_series && options.interval_seconds.is_none() {
        // Epochs of many nights are replayed one after the other.
        let exposures = objects.iter().map(|frame| frame.keywords.exposure_seconds);
        let interval = exposures.fold(0.0, f64::max) + options.readout_seconds.max(1.0);
        options.interval_seconds = Some(interval);
        shifted = Some(format!(
            "{} exposures of as many nights are replayed as one series, {interval:.0} s apart; DATE-ORG keeps their dates",
            objects.len()
        ));
    }
    let options = &options;
    let Some(first) = objects.first() else {
        let path = directory.to_owned();
        return Err(SimulationError::EmptyArchive { path, skipped: skipped.len() });
    };
    let first_start = first.start();
    let t0 = options.t0.unwrap_or_else(|| first_start.plus_seconds(-options.t0_lead_seconds));
    let burst_id = options
        .burst_id
        .clone()
        .or_else(|| {
            most_frequent(objects.iter().filter_map(|frame| frame.keywords.trigger_id.clone()))
        })
        .unwrap_or_else(|| burst_id_of(t0, 1));
    let target = objects.iter().find_map(|frame| frame.keywords.pointing);
    let telescope = objects
        .iter()
        .map(|frame| frame.keywords.camera.telescope.clone())
        .find(|telescope| !telescope.is_empty());
    let mut filters: Vec<String> = Vec::new();
    for frame in &objects {
        if !filters.contains(&frame.keywords.filter) {
            filters.push(frame.keywords.filter.clone());
        }
    }
    let lead = calibration.len() as f64 * options.calibration_step_seconds + MASTER_SECONDS;
    let clock_start = t0.min(first_start).plus_seconds(-lead);
    let mut frames: Vec<ReplayFrame> = calibration
        .into_iter()
        .enumerate()
        .map(|(index, frame)| {
            let after = index as f64 * options.calibration_step_seconds;
            let observer = options.calibration_observer.clone();
            replay(frame, clock_start.plus_seconds(after), None, observer)
        })
        .collect();
    frames.extend(object_frames(objects, options, &burst_id));
    Ok(ArchivePlan {
        frames,
        t0,
        burst_id,
        target,
        clock_start,
        telescope,
        filters,
        shifted,
        skipped,
        notice_at: t0.plus_seconds(options.notice_delay_seconds),
        notice_radius_degrees: options.notice_radius_degrees,
    })
}

fn replay(
    frame: Found,
    arrival: UtcTime,
    trigger_id: Option<String>,
    observer: String,
) -> ReplayFrame {
    ReplayFrame {
        source: frame.path,
        name: frame.name,
        kind: frame.keywords.kind,
        date_obs: frame.keywords.date_obs,
        start: frame.keywords.date_obs,
        exposure_seconds: frame.keywords.exposure_seconds,
        arrival,
        trigger_id,
        observer,
        cards: frame.cards,
    }
}

/// Object frames with their arrivals, which follow the exposures or the interval.
fn object_frames(
    objects: Vec<Found>,
    options: &ArchiveOptions,
    burst_id: &str,
) -> Vec<ReplayFrame> {
    let taken = |frame: &Found| frame.keywords.exposure_seconds + options.readout_seconds;
    let first_arrival = objects.first().map(|first| first.start().plus_seconds(taken(first)));
    let mut frames: Vec<ReplayFrame> = objects
        .into_iter()
        .enumerate()
        .map(|(index, frame)| {
            let taken = taken(&frame);
            let trigger = Some(normalise_burst_id(burst_id));
            let as_taken = frame.start().plus_seconds(taken);
            let observer = options.alert_observer.clone();
            let mut replayed = replay(frame, as_taken, trigger, observer);
            if let (Some(interval), Some(first)) = (options.interval_seconds, first_arrival) {
                replayed.arrival = first.plus_seconds(index as f64 * interval);
                replayed.start = replayed.arrival.plus_seconds(-taken);
            }
            replayed
        })
        .collect();
    // A short exposure may arrive before a longer one that began earlier.
    frames.sort_by_key(|frame| frame.arrival);
    frames
}

fn read_keywords(
    path: &Path,
    name: &str,
    store: &dyn FitsStore,
    map: &KeywordMap,
) -> Result<(FrameKeywords, ReplayCards), String> {
    let header = store.read_header(path).map_err(|error| error.to_string())?;
    // The size is not in the header that the store gives, and the plan has no use for it.
    let keywords = map.read(&header, name, (0, 0)).map_err(|error| error.to_string())?;
    match keywords.kind {
        FrameKind::Focus | FrameKind::Other => {
            Err(format!("nothing is done with frames of kind '{}'", keywords.kind))
        }
        _ => Ok((keywords, ReplayCards::of(map.lists(&header, name)))),
    }
}

/// The commonest text, the alphabetically first of equals.
fn most_frequent(texts: impl Iterator<Item = String>) -> Option<String> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for text in texts {
        *counts.entry(text).or_default() += 1;
    }
    let largest = counts.values().copied().max()?;
    counts.into_iter().find(|(_, count)| *count == largest).map(|(text, _)| text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fits::cfitsio::Cfitsio;
    use crate::fits::{Header, NewPlane};
    use crate::imaging::Image;

    fn write(directory: &Path, name: &str, cards: &[(&str, &str)], exposure: f64) {
        let mut header = Header::new();
        for (keyword, value) in cards {
            header.set(keyword, *value, "");
        }
        header.set("EXPTIME", exposure, "");
        header.set("FILTER", "w", "");
        let data = Image::from_elem((4, 5), 600.0);
        let path = directory.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        Cfitsio.write_images(&path, &[("", &header, NewPlane::Unsigned16(&data))]).unwrap();
    }

    fn archive() -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        let object = |name: &str, date: &str, exposure| {
            let cards = [("DATE-OBS", date), ("OBJECT", "field")];
            write(directory.path(), name, &cards, exposure);
        };
        object("raw/20191016T042001C0o.fits", "2019-10-16T04:20:01", 60.0);
        object("raw/20191016T042106C0o.fits", "2019-10-16T04:21:06", 60.0);
        object("raw/20191016T042107C1o.fits", "2019-10-16T04:21:07", 10.0);
        object("ref/20190920T060000C0o.fits", "2019-09-20T06:00:00", 60.0);
        object("raw/20191016T050000C0u.fits", "2019-10-16T05:00:00", 60.0);
        let bias = [("DATE-OBS", "2019-10-16T01:00:00")];
        write(directory.path(), "cal/20191016T010000C0b.fits", &bias, 0.0);
        let morning = [("DATE-OBS", "2019-10-16T12:00:00")];
        write(directory.path(), "cal/20191016T120000C0f.fits", &morning, 5.0);
        let old = [("DATE-OBS", "2019-10-01T01:00:00")];
        write(directory.path(), "cal/20191001T010000C0b.fits", &old, 0.0);
        std::fs::write(directory.path().join("raw/20191016T043000C0o.fits"), "no FITS").unwrap();
        std::fs::write(directory.path().join("raw/20191016T044000C0o.fits.tmp"), "part").unwrap();
        std::fs::write(directory.path().join("notes.txt"), "none").unwrap();
        directory
    }

    fn plan_of(directory: &Path, options: &ArchiveOptions) -> ArchivePlan {
        plan(directory, options, &Cfitsio, &KeywordMap::default()).unwrap()
    }

    fn time(text: &str) -> UtcTime {
        UtcTime::parse(text).unwrap()
    }

    #[test]
    fn the_night_with_most_object_frames_is_replayed_in_order() {
        let directory = archive();
        let plan = plan_of(directory.path(), &ArchiveOptions::default());
        let names: Vec<&str> = plan.frames.iter().map(|frame| frame.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "20191016T010000C0b",
                "20191016T120000C0f",
                "20191016T042001C0o",
                "20191016T042107C1o",
                "20191016T042106C0o",
            ],
            "calibration first, then by arrival: the short exposure overtakes"
        );
        assert_eq!(plan.t0, time("2019-10-16T04:18:01"));
        assert_eq!(plan.burst_id, "sb19101601");
        assert_eq!(plan.target, None);
        assert!(plan.notice().is_none());
        assert_eq!(plan.frames[0].arrival, plan.clock_start);
        assert!(plan.frames[1].arrival < plan.t0);
        assert_eq!(plan.frames[2].arrival, time("2019-10-16T04:21:06"));
        assert_eq!(plan.frames[2].trigger_id.as_deref(), Some("19101601"));
        assert_eq!(plan.frames[0].trigger_id, None);
        let reasons: Vec<(String, &str)> =
            plan.skipped.iter().map(|(path, reason)| (frame_name(path), reason.as_str())).collect();
        assert_eq!(reasons.len(), 4, "{reasons:?}");
        for (name, part) in [
            ("20190920T060000C0o", "another night"),
            ("20191001T010000C0b", "another night"),
            ("20191016T050000C0u", "focus"),
            ("20191016T043000C0o", ""),
        ] {
            assert!(reasons.iter().any(|(n, reason)| n == name && reason.contains(part)), "{name}");
        }
    }

    #[test]
    fn an_interval_shifts_the_exposures() {
        let directory = archive();
        let options = ArchiveOptions { interval_seconds: Some(30.0), ..ArchiveOptions::default() };
        let plan = plan_of(directory.path(), &options);
        let objects: Vec<&ReplayFrame> =
            plan.frames.iter().filter(|frame| frame.kind == FrameKind::Object).collect();
        assert_eq!(objects[0].start, objects[0].date_obs);
        assert_eq!(objects[1].arrival.seconds_since(objects[0].arrival), 30.0);
        assert_eq!(objects[2].arrival.seconds_since(objects[1].arrival), 30.0);
        for frame in objects {
            let taken = frame.arrival.seconds_since(frame.start);
            assert_eq!(taken, frame.exposure_seconds + 5.0);
        }
        for interval in [0.0, -1.0, f64::NAN] {
            let options =
                ArchiveOptions { interval_seconds: Some(interval), ..ArchiveOptions::default() };
            assert!(plan_fails(directory.path(), &options));
        }
    }

    fn plan_fails(directory: &Path, options: &ArchiveOptions) -> bool {
        plan(directory, options, &Cfitsio, &KeywordMap::default()).is_err()
    }

    #[test]
    fn t0_and_burst_can_be_given() {
        let directory = archive();
        let options = ArchiveOptions {
            t0: Some(time("2019-10-16T04:09:00.91")),
            burst_id: Some("sb19101607".to_owned()),
            ..ArchiveOptions::default()
        };
        let plan = plan_of(directory.path(), &options);
        assert_eq!(plan.burst_id, "sb19101607");
        assert_eq!(plan.frames[2].trigger_id.as_deref(), Some("19101607"));
        assert!(plan.frames[1].arrival < plan.t0);
    }

    #[test]
    fn an_archive_without_object_frames_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let bias = [("DATE-OBS", "2019-10-16T01:00:00")];
        write(directory.path(), "20191016T010000C0b.fits", &bias, 0.0);
        let result =
            plan(directory.path(), &ArchiveOptions::default(), &Cfitsio, &KeywordMap::default());
        assert!(matches!(result, Err(SimulationError::EmptyArchive { skipped: 1, .. })));
        assert!(plan_fails(&directory.path().join("absent"), &ArchiveOptions::default()));
    }

    #[test]
    fn the_simulated_archive_when_it_is_there() {
        let data = std::env::var("GIC_TEST_DATA").map_or_else(
            |_| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data"),
            PathBuf::from,
        );
        let directory = data.join("coatli_simulated");
        if !directory.is_dir() {
            println!("skipped: {} is not there", directory.display());
            return;
        }
        let plan = plan_of(&directory, &ArchiveOptions::default());
        let counts = [FrameKind::Bias, FrameKind::Dark, FrameKind::Flat, FrameKind::Object]
            .map(|kind| plan.count(kind));
        assert_eq!(counts, [8, 8, 8, 60]);
        assert_eq!(plan.skipped.len(), 3, "the reference exposures: {:?}", plan.skipped);
        assert_eq!(plan.t0, time("2019-10-16T04:18:01"));
        assert_eq!(plan.burst_id, "929744");
        let target = plan.target.unwrap();
        assert!(target.separation_arcsec(SkyPosition::new(30.2695, 24.5099)) < 1.0);
        assert_eq!(plan.notice().unwrap().at, plan.t0.plus_seconds(95.0));
        assert!(plan.frames.windows(2).all(|pair| pair[0].arrival <= pair[1].arrival));

        let copies = tempfile::tempdir().unwrap();
        let copy = crate::simulation::prepare(&plan.frames[24], copies.path(), &Cfitsio).unwrap();
        assert!(copy.ends_with("20191016T042001C0o.fits"));
        Cfitsio.verify_checksums(&copy).unwrap();
        let copied = Cfitsio.read_image(&copy).unwrap();
        assert_eq!(copied.data, Cfitsio.read_image(&plan.frames[24].source).unwrap().data);
        assert_eq!(copied.header.number("TRGID"), Some(929_744.0), "the integer is kept");

        let truth = crate::simulation::Truth::read_tables(&directory.join("truth")).unwrap();
        assert_eq!((truth.objects.len(), truth.new_sources().count()), (1940, 40));
        assert_eq!(truth.frame_magnitudes.len(), 60);
        assert_eq!(truth.frame_magnitudes.get("20191016T042001C0o"), Some(&17.0021));
    }
}
