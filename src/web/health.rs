//! Whether the controller is well: for whoever watches it by machine.

use super::{flow::Flow, status::StatusSources, view::rounded};
use crate::{
    model::{ActorAnswer, ActorState, UtcTime},
    storage::{disk::DiskSpace, journal::JournalError},
};
use serde::Serialize;
use std::{future::Future, time::Duration};

/// A journal that does not answer within it is as good as gone.
pub const JOURNAL_TIMEOUT: Duration = Duration::from_secs(2);

/// Below it the disk counts as full: an image of 4096² and what is made of it would not find room.
pub const LITTLE_ROOM_BYTES: u64 = 256 << 20;
/// Below it somebody should make room.
pub const ROOM_BYTES: u64 = 4 << 30;
pub const FEW_INODES: u64 = 10_000;
/// A product that waits longer says that the science centre is out of reach.
pub const OLD_OUTBOX_SECONDS: f64 = 600.0;
/// Corrections of a second are daily work of NTP.
const LARGE_CORRECTION_SECONDS: f64 = 2.0;

/// Answer of `/health`: 200 when healthy, else 503.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HealthReport {
    pub healthy: bool,
    /// What is wrong, one sentence each.
    pub reasons: Vec<String>,
    /// What will be wrong if nobody looks after it, one sentence each.
    pub warnings: Vec<String>,
    pub now: UtcTime,
    pub actors_running: usize,
    pub actors_in_all: usize,
    /// Clock seconds since the last packet; absent before the first one, or without a journal.
    pub alert_age_seconds: Option<f64>,
    /// Clock seconds since the last frame.
    pub last_frame_age_seconds: Option<f64>,
    /// Products waiting for their receipt.
    pub outbox_depth: Option<u64>,
    /// Clock seconds since the oldest of them was made.
    pub outbox_age_seconds: Option<f64>,
    /// Wall seconds since each actor gave a sign of life.
    pub answers: Vec<ActorAnswer>,
    /// Bytes that can still be written where the data lie.
    pub free_bytes: Option<u64>,
    /// Seconds by which the clock is ahead of the system's, which was put back.
    pub clock_correction_seconds: Option<f64>,
}

/// Healthy when every actor runs and answers, the journal answers within [`JOURNAL_TIMEOUT`], and there is room on the disk.
pub async fn health(sources: &StatusSources) -> HealthReport {
    judge(sources, Flow::read(sources), JOURNAL_TIMEOUT).await
}

async fn judge(
    sources: &StatusSources,
    reading: impl Future<Output = Result<Flow, JournalError>>,
    timeout: Duration,
) -> HealthReport {
    let mut reasons = Vec::new();
    let flow = match tokio::time::timeout(timeout, reading).await {
        Ok(Ok(flow)) => Some(flow),
        Ok(Err(error)) => {
            reasons.push(error.to_string());
            None
        }
        Err(_) => {
            reasons.push(format!("journal: no answer within {} s", timeout.as_secs_f64()));
            None
        }
    };
    let actors = (sources.actors)();
    if actors.is_empty() {
        reasons.push("no actor is supervised".to_owned());
    }
    for actor in &actors {
        let said = match actor.state {
            ActorState::Running => continue,
            ActorState::Restarting => "is being restarted",
            ActorState::Stopped => "has stopped",
            ActorState::GaveUp => "gave up",
        };
        let cause = actor.last_exit.as_deref().map(|cause| format!(": {cause}"));
        reasons.push(format!("actor {} {said}{}", actor.name, cause.unwrap_or_default()));
    }
    let answers = (sources.answers)();
    for silent in answers.iter().filter(|answer| answer.is_hung) {
        reasons.push(format!(
            "actor {} has not answered for {:.0} s: its thread is blocked",
            silent.name, silent.age_seconds
        ));
    }
    let mut warnings = Vec::new();
    let space = DiskSpace::of(&sources.directory).ok();
    if let Some(space) = &space {
        look_at_disk(space, &mut reasons, &mut warnings);
    }
    let now = sources.clock.now();
    let outbox_age =
        flow.as_ref().and_then(|flow| flow.outbox_since).map(|since| now.seconds_since(since));
    if let (Some(age), Some(flow)) = (outbox_age, &flow)
        && age > OLD_OUTBOX_SECONDS
    {
        warnings.push(format!(
            "{} products wait for the science centre, the oldest for {age:.0} s",
            flow.outbox_depth
        ));
    }
    let correction = sources.clock.correction_seconds();
    if correction > LARGE_CORRECTION_SECONDS {
        warnings.push(format!(
            "the system clock was put back: the controller's clock is {correction:.0} s ahead of it"
        ));
    }
    let age = |instant: UtcTime| rounded(now.seconds_since(instant), 3);
    HealthReport {
        healthy: reasons.is_empty(),
        reasons,
        warnings,
        now,
        actors_running: actors.iter().filter(|one| one.state == ActorState::Running).count(),
        actors_in_all: actors.len(),
        alert_age_seconds: flow.as_ref().and_then(|flow| flow.last_alert_at).and_then(age),
        last_frame_age_seconds: flow.as_ref().and_then(|flow| flow.last_frame_at).and_then(age),
        outbox_depth: flow.map(|flow| flow.outbox_depth),
        outbox_age_seconds: outbox_age.and_then(|age| rounded(age, 3)),
        answers,
        free_bytes: space.map(|space| space.free_bytes),
        clock_correction_seconds: rounded(correction, 3),
    }
}

fn look_at_disk(space: &DiskSpace, reasons: &mut Vec<String>, warnings: &mut Vec<String>) {
    let megabytes = space.free_bytes >> 20;
    if space.is_read_only {
        reasons.push("the data directory is on a read-only file system".to_owned());
    } else if space.free_bytes < LITTLE_ROOM_BYTES {
        reasons.push(format!("the disk is full: {megabytes} MiB are free"));
    } else if space.free_bytes < ROOM_BYTES {
        warnings.push(format!("the disk is nearly full: {megabytes} MiB are free"));
    }
    match space.free_inodes {
        Some(0) => reasons.push("no file can be made any more: no inodes are free".to_owned()),
        Some(few) if few < FEW_INODES => {
            warnings.push(format!("only {few} more files can be made (inodes)"));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::made_up_night::MadeUpNight;
    use std::sync::Arc;

    #[tokio::test]
    async fn a_running_controller_is_healthy_and_says_how_work_flows() {
        let night = MadeUpNight::filled().await;
        let report = health(&night.sources()).await;
        assert_eq!(report.reasons, Vec::<String>::new());
        assert!(report.healthy);
        assert_eq!(report.actors_running, 10);
        assert_eq!(report.outbox_depth, Some(2));
        assert!(report.alert_age_seconds.unwrap() > 0.0);
        assert!(report.last_frame_age_seconds.unwrap() >= 0.0);
    }

    #[tokio::test]
    async fn every_actor_that_does_not_run_is_named_with_its_cause() {
        let night = MadeUpNight::filled().await;
        let mut sources = night.sources();
        let mut actors = (sources.actors)();
        actors[2].state = ActorState::GaveUp;
        actors[2].last_exit = Some("panic: no disk".to_owned());
        actors[3].state = ActorState::Restarting;
        sources.actors = Arc::new(move || actors.clone());
        let report = health(&sources).await;
        assert!(!report.healthy);
        assert_eq!(
            report.reasons,
            [
                "actor image-provider gave up: panic: no disk",
                "actor gp1-colibri is being restarted"
            ]
        );
        assert_eq!(report.actors_running, 8);
    }

    #[tokio::test]
    async fn a_silent_or_failing_journal_is_a_reason() {
        let night = MadeUpNight::filled().await;
        let sources = night.sources();
        let silent = judge(&sources, std::future::pending(), Duration::from_millis(20)).await;
        assert_eq!(silent.reasons, ["journal: no answer within 0.02 s"]);
        assert_eq!(silent.outbox_depth, None);
        let failing = async { Err(JournalError::Stopped) };
        let failed = judge(&sources, failing, Duration::from_secs(1)).await;
        assert_eq!(failed.reasons, ["journal: its thread has stopped"]);
    }

    #[tokio::test]
    async fn without_actors_nothing_is_well() {
        let night = MadeUpNight::empty().await;
        let mut sources = night.sources();
        sources.actors = Arc::new(Vec::new);
        let report = health(&sources).await;
        assert_eq!(report.reasons, ["no actor is supervised"]);
    }
}
