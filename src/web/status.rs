//! The state of the controller as one serialisable value.

use super::{snapshot::JournalSnapshot, view::rounded};
use crate::{
    clock::Clock,
    model::{ActorAnswer, ActorSnapshot, UtcTime},
    storage::journal::{Journal, JournalError},
};
use serde::Serialize;
use std::{fmt, path::PathBuf, sync::Arc};

/// The newest of the expired holds that are listed.
const EXPIRED_HOLD_LIMIT: usize = 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    Run,
    Simulate,
}

/// What program this is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Program {
    pub name: String,
    pub version: String,
}

impl Program {
    /// This program, as it was built.
    pub fn this() -> Self {
        Self {
            name: env!("CARGO_PKG_NAME").to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

/// Where everything shown comes from; cheap to clone.
#[derive(Clone)]
pub struct StatusSources {
    pub journal: Journal,
    pub clock: Clock,
    /// The published states of the supervised actors.
    pub actors: Arc<dyn Fn() -> Vec<ActorSnapshot> + Send + Sync>,
    /// How long ago each actor gave a sign of life.
    pub answers: Arc<dyn Fn() -> Vec<ActorAnswer> + Send + Sync>,
    pub program: Program,
    pub mode: Mode,
    /// Clock instant of the start.
    pub started_at: UtcTime,
    /// Root of the local data storage; relative paths of the journal are taken from here.
    pub directory: PathBuf,
}

impl fmt::Debug for StatusSources {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("StatusSources")
            .field("journal", &self.journal)
            .field("program", &self.program)
            .field("mode", &self.mode)
            .field("started_at", &self.started_at)
            .field("directory", &self.directory)
            .finish_non_exhaustive()
    }
}

#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    #[error("status: {0}")]
    Journal(#[from] JournalError),
}

impl StatusError {
    /// Whether the same question may be answered later.
    pub fn is_retry_safe(&self) -> bool {
        match self {
            Self::Journal(error) => error.is_retry_safe(),
        }
    }
}

/// Answer of `/api/status`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ApiStatus {
    pub program: Program,
    pub mode: Mode,
    pub started_at: UtcTime,
    pub clock: ClockView,
    /// One for each open trigger among those listed.
    pub trigger_clocks: Vec<TriggerClock>,
    pub actors: Vec<ActorSnapshot>,
    pub storage: StorageView,
    #[serde(flatten)]
    pub journal: JournalSnapshot,
}

/// The controller's clock.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClockView {
    pub now: UtcTime,
    pub is_simulated: bool,
    pub holds: HoldsView,
}

/// How the simulated clock waited for work.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HoldsView {
    pub count: u64,
    /// Wall seconds.
    pub seconds: Option<f64>,
    pub expired_count: usize,
    /// The newest of those that reached the cap, newest first.
    pub expired: Vec<String>,
}

/// The two clocks of an open trigger.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TriggerClock {
    pub burst: String,
    pub seconds_since_t0: Option<f64>,
    pub seconds_since_alert: Option<f64>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StorageView {
    pub directory: String,
    /// Size of the journal with what is not yet folded in.
    pub journal_bytes: u64,
}

/// The state now.
pub async fn status(sources: &StatusSources) -> Result<ApiStatus, StatusError> {
    let snapshot = sources.journal.read(JournalSnapshot::read).await?;
    Ok(with_present(sources, snapshot))
}

/// Adds to a snapshot of the journal what changes without it: the clocks and the actors.
pub(super) fn with_present(sources: &StatusSources, journal: JournalSnapshot) -> ApiStatus {
    let now = sources.clock.now();
    let trigger_clocks = journal
        .triggers
        .iter()
        .filter(|trigger| trigger.is_open)
        .map(|trigger| TriggerClock {
            burst: trigger.burst.clone(),
            seconds_since_t0: rounded(now.seconds_since(trigger.t0), 3),
            seconds_since_alert: rounded(now.seconds_since(trigger.opened_at), 3),
        })
        .collect();
    ApiStatus {
        program: sources.program.clone(),
        mode: sources.mode,
        started_at: sources.started_at,
        clock: clock_view(&sources.clock, now),
        trigger_clocks,
        actors: (sources.actors)(),
        storage: StorageView {
            directory: sources.directory.to_string_lossy().into_owned(),
            journal_bytes: journal_bytes(&sources.journal),
        },
        journal,
    }
}

fn clock_view(clock: &Clock, now: UtcTime) -> ClockView {
    let figures = clock.hold_figures();
    ClockView {
        now,
        is_simulated: clock.is_simulated(),
        holds: HoldsView {
            count: figures.count,
            seconds: rounded(figures.seconds, 3),
            expired_count: figures.expired.len(),
            expired: figures.expired.into_iter().rev().take(EXPIRED_HOLD_LIMIT).collect(),
        },
    }
}

/// The file and its write-ahead log; a file that is not there counts nothing.
fn journal_bytes(journal: &Journal) -> u64 {
    let mut log = journal.path().as_os_str().to_owned();
    log.push("-wal");
    [journal.path().to_owned(), PathBuf::from(log)]
        .iter()
        .filter_map(|path| path.metadata().ok())
        .map(|metadata| metadata.len())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::made_up_night::MadeUpNight;
    use serde_json::Value;

    /// Every number that JSON could not hold became null where the type says it may.
    fn count_nulls(value: &Value) -> usize {
        match value {
            Value::Null => 1,
            Value::Array(items) => items.iter().map(count_nulls).sum(),
            Value::Object(fields) => fields.values().map(count_nulls).sum(),
            _ => 0,
        }
    }

    #[tokio::test]
    async fn an_empty_journal_has_a_status() {
        let night = MadeUpNight::empty().await;
        let status = status(&night.sources()).await.unwrap();
        let value = serde_json::to_value(&status).unwrap();
        assert_eq!(value["mode"], "simulate");
        assert_eq!(value["clock"]["is_simulated"], true);
        assert_eq!(value["queues"][0]["queue"], "outbox");
        assert_eq!(value["triggers"].as_array().unwrap().len(), 0);
        assert_eq!(count_nulls(&value["clock"]), 0);
        assert!(value["storage"]["journal_bytes"].as_u64().unwrap() > 0);
    }

    #[tokio::test]
    async fn the_status_of_a_night_is_whole_and_bounded() {
        let night = MadeUpNight::filled().await;
        let status = status(&night.sources()).await.unwrap();
        let text = serde_json::to_string(&status).unwrap();
        assert!(text.len() < 250_000, "{} bytes", text.len());
        let trigger = &status.journal.triggers[0];
        assert_eq!(trigger.burst, "26110101");
        assert_eq!(trigger.deadlines.len(), 5);
        assert_eq!(trigger.deadlines[0].lateness_seconds, Some(2.418));
        assert_eq!(trigger.candidates.listed.len(), 5);
        assert_eq!(trigger.product_count, 19);
        assert!(trigger.products.iter().any(|product| product.receipt.is_some()));
        // Only the open trigger has clocks; they differ by the time from T0 to the first packet.
        assert_eq!(status.trigger_clocks.len(), 1);
        let clock = &status.trigger_clocks[0];
        let difference = clock.seconds_since_t0.unwrap() - clock.seconds_since_alert.unwrap();
        assert!((difference - 30.0).abs() < 1e-6, "{difference}");
        assert_eq!(status.journal.counts.triggers, 2);
        assert!(status.journal.frames.len() <= 200);
        let waiting = status.journal.queues.iter().find(|queue| queue.queue == "outbox").unwrap();
        assert_eq!(waiting.waiting, 2);
    }
}
