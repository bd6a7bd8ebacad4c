//! Status collector: merges the sensor readings of all providers into one JSON file at each period of clock time
//! (seed 003: every 5 minutes), with GP1's own figures among them.

use super::{
    messages::FrameReduced,
    pool::WorkerPool,
    pump::{PassOutcome, Pump, Pumped, wake},
};
use crate::{
    clock::Clock,
    model::{FrameQuality, SensorFile, SensorReading, UtcTime, metric},
    storage::{
        journal::{Journal, JournalError, events, frames, products},
        local::{LocalStorage, StorageError, move_file, write_atomically},
    },
};
use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, Supervised, WrapFuture};
use futures_util::future::LocalBoxFuture;
use std::{collections::BTreeMap, fs, io, path::PathBuf};

/// A sensor file larger than this is no sensor file.
const MAXIMUM_FILE_BYTES: u64 = 4 << 20;
const LAST_WRITTEN: &str = "status last written";

/// What the collector works with; immutable, so that a restart begins from it.
#[derive(Clone)]
pub struct StatusCollectorSettings {
    pub period_seconds: f64,
    pub pool: WorkerPool,
    pub journal: Journal,
    pub storage: LocalStorage,
    pub clock: Clock,
}

pub struct StatusCollector {
    settings: StatusCollectorSettings,
    pump: Pump,
    /// Set when the next file is due.
    due: bool,
}

#[derive(Debug, thiserror::Error)]
enum StatusError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error(transparent)]
    Pool(#[from] super::pool::PoolError),
}

impl StatusCollector {
    pub const NAME: &'static str = "status-collector";

    pub fn new(settings: StatusCollectorSettings) -> Self {
        Self { settings, pump: Pump::default(), due: false }
    }

    /// A file whose instant came and which was not written, because the program ended before, is written now. The first start
    /// notes that nothing was owed before it, so that the first file is made up for as well.
    fn begin(&mut self, context: &mut Context<Self>) {
        let guard = self.settings.clock.hold();
        self.set_timer(context);
        let (journal, last_due) = (self.settings.journal.clone(), self.instant_after_now(0));
        let last_written = async move {
            let noted = journal.read(|c| events::note(c, LAST_WRITTEN)).await?;
            if noted.is_none() {
                let text = last_due.iso_microseconds();
                journal.write(move |t| events::set_note(t, LAST_WRITTEN, &text)).await?;
            }
            Ok::<_, JournalError>(noted)
        };
        context.spawn(last_written.into_actor(self).map(move |last_written, actor, context| {
            match last_written {
                Ok(Some(text)) => {
                    if UtcTime::parse(&text).is_ok_and(|written| written < last_due) {
                        actor.due = true;
                        wake(actor, context, Some(guard));
                    }
                }
                // The first one is written at the next instant; until its note is on disk, the instant does not come.
                Ok(None) => drop(guard),
                Err(error) => {
                    tracing::error!(%error, "when the last status file was written is not known");
                }
            }
        }));
    }

    /// The last whole multiple of the period, or the `count`-th after it.
    fn instant_after_now(&self, count: i64) -> UtcTime {
        let now = self.settings.clock.now();
        let period = (self.settings.period_seconds.max(1.0) * 1e6) as i64;
        let last = now.unix_microseconds().div_euclid(period);
        UtcTime::from_unix_microseconds((last + count) * period)
    }

    /// Files are written at whole multiples of the period, so that a restart keeps the rhythm.
    fn set_timer(&mut self, context: &mut Context<Self>) {
        let sleep = self.settings.clock.sleep_until(self.instant_after_now(1));
        context.spawn(sleep.into_actor(self).map(|guard, actor, context| {
            actor.due = true;
            wake(actor, context, Some(guard));
            actor.set_timer(context);
        }));
    }
}

impl Actor for StatusCollector {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        self.begin(context);
    }
}

impl Supervised for StatusCollector {
    /// actix calls `started` again afterwards.
    fn restarting(&mut self, _context: &mut Self::Context) {
        *self = Self::new(self.settings.clone());
    }
}

impl Handler<FrameReduced> for StatusCollector {
    type Result = ();

    /// The figures themselves are read from the journal when the file is written.
    fn handle(&mut self, message: FrameReduced, _context: &mut Self::Context) {
        tracing::debug!(frame = message.frame.identity.name, "frame noted");
    }
}

impl Pumped for StatusCollector {
    fn pump(&mut self) -> &mut Pump {
        &mut self.pump
    }

    fn pass(&mut self) -> LocalBoxFuture<'static, PassOutcome> {
        let settings = self.settings.clone();
        let due = std::mem::take(&mut self.due);
        Box::pin(async move {
            if due && let Err(error) = write_status(&settings).await {
                tracing::error!(%error, "the status file could not be written");
            }
            PassOutcome::Done
        })
    }
}

async fn write_status(settings: &StatusCollectorSettings) -> Result<(), StatusError> {
    let now = settings.clock.now();
    let own = own_readings(settings, now).await?;
    let job = settings.clone();
    let (path, consumed) = settings
        .pool
        .run(move || {
            let (mut readings, consumed) = provider_readings(&job, now)?;
            for reading in own {
                readings.insert(reading.name.clone(), reading);
            }
            let file = SensorFile {
                frame_model: "1.0".to_owned(),
                producer_name: "GIC".to_owned(),
                sensor: readings.into_values().collect(),
            };
            let path = job.storage.status().join(format!("status-{}.json", now.compact()));
            let text = serde_json::to_vec_pretty(&file).map_err(|error| StorageError {
                path: path.clone(),
                source: io::Error::other(error),
            })?;
            write_atomically(&path, &text)?;
            Ok::<_, StorageError>((path, consumed))
        })
        .await??;
    metrics::counter!(metric::STATUS_FILES).increment(1);
    tracing::info!(path = %path.display(), "status file written");
    let text = now.iso_microseconds();
    settings.journal.write(move |t| events::set_note(t, LAST_WRITTEN, &text)).await?;
    // Only now may the providers' files leave the incoming directory: a file that is written again is whole again.
    let archive = settings.storage.status().join("archive");
    let moving = move || {
        for file in consumed {
            let Some(name) = file.file_name() else { continue };
            move_file(&file, &archive.join(name))?;
        }
        Ok::<_, StorageError>(())
    };
    settings.pool.run(moving).await??;
    Ok(())
}

/// The latest reading of each sensor in the providers' files, by name; files that cannot be read are set aside.
fn provider_readings(
    settings: &StatusCollectorSettings,
    now: UtcTime,
) -> Result<(BTreeMap<String, SensorReading>, Vec<PathBuf>), StorageError> {
    let directory = settings.storage.incoming_sensors();
    let at = |source| StorageError { path: directory.clone(), source };
    let mut files = Vec::new();
    for entry in fs::read_dir(&directory).map_err(at)? {
        let path = entry.map_err(at)?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            files.push(path);
        }
    }
    files.sort();
    let mut latest: BTreeMap<String, SensorReading> = BTreeMap::new();
    let mut consumed = Vec::new();
    for path in files {
        match read_sensor_file(&path) {
            Ok(file) => {
                for reading in file.sensor {
                    let is_newer =
                        latest.get(&reading.name).is_none_or(|known| known.date <= reading.date);
                    if is_newer {
                        latest.insert(reading.name.clone(), reading);
                    }
                }
                consumed.push(path);
            }
            Err(what) => {
                tracing::warn!(path = %path.display(), what, "sensor file set aside");
                settings.storage.set_aside(&path, "sensor-file", &what, now)?;
            }
        }
    }
    Ok((latest, consumed))
}

fn read_sensor_file(path: &PathBuf) -> Result<SensorFile, String> {
    let size = fs::metadata(path).map_err(|error| error.to_string())?.len();
    if size > MAXIMUM_FILE_BYTES {
        return Err(format!("{size} bytes is more than {MAXIMUM_FILE_BYTES}"));
    }
    let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
    serde_json::from_str(&text).map_err(|error| error.to_string())
}

/// GP1's own figures, as readings.
async fn own_readings(
    settings: &StatusCollectorSettings,
    now: UtcTime,
) -> Result<Vec<SensorReading>, StatusError> {
    let (counts, newest, outbox) = settings
        .journal
        .read(|c| Ok((frames::counts(c)?, frames::recent(c, 50)?, products::outbox_depth(c)?)))
        .await?;
    let mut readings = Vec::new();
    for (instance, state, count) in counts {
        let name = format!("gp1-{instance}-frames-{state}");
        readings.push(reading(&name, &instance, "frames", "integer", "", count.to_string(), now));
    }
    readings.push(reading(
        "gic-outbox-depth",
        "gic",
        "products",
        "integer",
        "",
        outbox.to_string(),
        now,
    ));
    let last = newest.iter().find_map(|frame| Some((frame, frame.quality.as_ref()?)));
    if let Some((frame, quality)) = last {
        readings.extend(quality_readings(&frame.instance, quality, now));
    }
    Ok(readings)
}

fn quality_readings(instance: &str, quality: &FrameQuality, now: UtcTime) -> Vec<SensorReading> {
    let figures = [
        ("fwhm", "pixel", Some(quality.fwhm_pixels)),
        ("sky", "electron", Some(quality.sky_electrons)),
        ("zero-point", "mag", quality.zero_point),
        ("limiting-magnitude", "mag", quality.limiting_magnitude),
        ("astrometry-rms", "arcsec", quality.astrometry_rms_arcsec),
    ];
    figures
        .into_iter()
        .filter_map(|(what, unit, value)| {
            let value = value.filter(|value| value.is_finite())?;
            let name = format!("gp1-{instance}-last-{what}");
            Some(reading(&name, instance, "performance", "float", unit, format!("{value:.4}"), now))
        })
        .collect()
}

fn reading(
    name: &str,
    component: &str,
    group: &str,
    value_type: &str,
    unit: &str,
    value: String,
    now: UtcTime,
) -> SensorReading {
    SensorReading {
        name: name.to_owned(),
        raw_value: value.clone(),
        value,
        date: now.iso_seconds(),
        pretty_name: name.replace('-', " "),
        subsystem: "gp1".to_owned(),
        component: component.to_owned(),
        group: group.to_owned(),
        model: "gic".to_owned(),
        identifier: "0".to_owned(),
        firmware: env!("CARGO_PKG_VERSION").to_owned(),
        value_type: value_type.to_owned(),
        unit: unit.to_owned(),
        correction_model: String::new(),
        error_code: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[actix::test]
    async fn the_file_of_an_instant_at_which_the_program_ended_is_written_at_the_next_start() {
        let directory = tempfile::tempdir().unwrap();
        let storage = LocalStorage::open(directory.path()).unwrap();
        let journal = Journal::open(&storage.journal()).unwrap();
        let now = UtcTime::parse("2026-11-02T04:10:00Z").unwrap();
        let last = now.plus_seconds(-300.0).iso_microseconds();
        journal.write(move |t| events::set_note(t, LAST_WRITTEN, &last)).await.unwrap();
        let settings = StatusCollectorSettings {
            period_seconds: 300.0,
            pool: WorkerPool::start("status", 1, 2, Duration::from_secs(60)).unwrap(),
            journal: journal.clone(),
            storage: storage.clone(),
            clock: Clock::simulated(now, 1.0, true),
        };
        let _address = StatusCollector::new(settings).start();
        for _ in 0..500 {
            let written = journal.read(|c| events::note(c, LAST_WRITTEN)).await.unwrap();
            if written == Some(now.iso_microseconds()) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(storage.status().join("status-20261102T041000.json").exists());
    }

    /// The first file of a directory too: a start that ended before its first instant left word.
    #[actix::test]
    async fn the_first_start_notes_that_nothing_was_owed_before_it() {
        let directory = tempfile::tempdir().unwrap();
        let storage = LocalStorage::open(directory.path()).unwrap();
        let journal = Journal::open(&storage.journal()).unwrap();
        let now = UtcTime::parse("2026-11-02T04:08:20Z").unwrap();
        let settings = StatusCollectorSettings {
            period_seconds: 300.0,
            pool: WorkerPool::start("status", 1, 2, Duration::from_secs(60)).unwrap(),
            journal: journal.clone(),
            storage,
            clock: Clock::simulated(now, 1.0, true),
        };
        let _address = StatusCollector::new(settings).start();
        let mut noted = None;
        for _ in 0..500 {
            noted = journal.read(|c| events::note(c, LAST_WRITTEN)).await.unwrap();
            if noted.is_some() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(noted.as_deref(), Some("2026-11-02T04:05:00.000000Z"));
    }

    #[test]
    fn sensor_files_that_are_too_long_or_too_deep_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("sensors.json");
        let complaint = |text: &str| {
            fs::write(&path, text).unwrap();
            read_sensor_file(&path).unwrap_err()
        };
        let long = " ".repeat(MAXIMUM_FILE_BYTES as usize + 1);
        assert!(complaint(&long).contains("is more than"));
        complaint(&"[".repeat(100_000));
        complaint(&format!("{{\"x\": {}", "[".repeat(100_000)));
    }
}
