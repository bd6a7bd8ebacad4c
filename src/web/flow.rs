//! The few figures of the journal that say whether work flows, for health and for the gauges of the metrics.

use super::status::StatusSources;
use crate::{
    model::{
        ActorState, UtcTime,
        metric::{
            ACTOR_UP, ALERT_AGE, ALERT_LAST_RECEIVED, CLOCK_CORRECTION, DATA_FREE_BYTES,
            DATA_FREE_INODES, OUTBOX_AGE, OUTBOX_DEPTH, QUEUE_DEPTH,
        },
    },
    storage::{
        disk::DiskSpace,
        journal::{JournalError, alerts, frames, products},
    },
};
use metrics::gauge;

#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Flow {
    pub last_alert_at: Option<UtcTime>,
    pub last_frame_at: Option<UtcTime>,
    /// Products waiting for their receipt.
    pub outbox_depth: u64,
    /// DATE of the product that has waited longest.
    pub outbox_since: Option<UtcTime>,
    /// Frames waiting by instance; calibration frames, which wait for the end of the night, are not among them.
    pub waiting_frames: Vec<(String, u64)>,
}

/// The instance that has no queue of its own.
const CALIBRATION: &str = "calibration";

impl Flow {
    pub async fn read(sources: &StatusSources) -> Result<Self, JournalError> {
        sources
            .journal
            .read(|connection| {
                let newest_frame = frames::recent(connection, 1)?;
                Ok(Self {
                    last_alert_at: alerts::last_received_at(connection)?,
                    last_frame_at: newest_frame.first().map(|frame| frame.arrived_at),
                    outbox_depth: products::outbox_depth(connection)?,
                    outbox_since: products::outbox_since(connection)?,
                    waiting_frames: waiting_frames(&frames::counts(connection)?),
                })
            })
            .await
    }

    /// Brings the gauges that are states, not events, to what the journal, the clock and the actors say now: so they are
    /// right after a restart too.
    pub fn set_gauges(&self, sources: &StatusSources) {
        let now = sources.clock.now();
        match self.last_alert_at {
            Some(at) => {
                gauge!(ALERT_LAST_RECEIVED).set(at.unix_seconds());
                gauge!(ALERT_AGE).set(now.seconds_since(at));
            }
            None => gauge!(ALERT_AGE).set(f64::NAN),
        }
        gauge!(OUTBOX_DEPTH).set(self.outbox_depth as f64);
        let age = self.outbox_since.map_or(0.0, |since| now.seconds_since(since).max(0.0));
        gauge!(OUTBOX_AGE).set(age);
        gauge!(CLOCK_CORRECTION).set(sources.clock.correction_seconds());
        if let Ok(space) = DiskSpace::of(&sources.directory) {
            gauge!(DATA_FREE_BYTES).set(space.free_bytes as f64);
            if let Some(inodes) = space.free_inodes {
                gauge!(DATA_FREE_INODES).set(inodes as f64);
            }
        }
        // Reading the answers brings their gauges up to date.
        let _ = (sources.answers)();
        gauge!(QUEUE_DEPTH, "queue" => "outbox").set(self.outbox_depth as f64);
        for (instance, waiting) in &self.waiting_frames {
            gauge!(QUEUE_DEPTH, "queue" => instance.clone()).set(*waiting as f64);
        }
        for actor in (sources.actors)() {
            let up = if actor.state == ActorState::Running { 1.0 } else { 0.0 };
            gauge!(ACTOR_UP, "actor" => actor.name).set(up);
        }
    }
}

/// Frames that have arrived and are not done, by instance, from the numbers by instance and state. An instance with
/// nothing waiting is there with zero.
pub(super) fn waiting_frames(counts: &[(String, String, u64)]) -> Vec<(String, u64)> {
    let mut waiting: Vec<(String, u64)> = Vec::new();
    for (instance, state, count) in counts {
        if instance == CALIBRATION {
            continue;
        }
        let more = if state == "arrived" { *count } else { 0 };
        match waiting.iter_mut().find(|(known, _)| known == instance) {
            Some((_, sum)) => *sum += more,
            None => waiting.push((instance.clone(), more)),
        }
    }
    waiting
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calibration_frames_are_no_queue_and_idle_instances_are_zero() {
        let count =
            |instance: &str, state: &str, count| (instance.to_owned(), state.to_owned(), count);
        let counts = [
            count("calibration", "arrived", 9),
            count("colibri", "reduced", 3),
            count("svom", "arrived", 2),
            count("svom", "reduced", 7),
        ];
        assert_eq!(waiting_frames(&counts), [("colibri".to_owned(), 0), ("svom".to_owned(), 2)]);
    }
}
