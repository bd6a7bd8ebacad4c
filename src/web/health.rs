//! Whether the controller is well: for whoever watches it by machine.

use super::{flow::Flow, status::StatusSources, view::rounded};
use crate::{
    model::{ActorState, UtcTime},
    storage::journal::JournalError,
};
use serde::Serialize;
use std::{future::Future, time::Duration};

/// A journal that does not answer within it is as good as gone.
pub const JOURNAL_TIMEOUT: Duration = Duration::from_secs(2);

/// Answer of `/health`: 200 when healthy, else 503.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HealthReport {
    pub healthy: bool,
    /// What is wrong, one sentence each.
    pub reasons: Vec<String>,
    pub now: UtcTime,
    pub actors_running: usize,
    pub actors_in_all: usize,
    /// Clock seconds since the last packet; absent before the first one, or without a journal.
    pub alert_age_seconds: Option<f64>,
    /// Clock seconds since the last frame.
    pub last_frame_age_seconds: Option<f64>,
    /// Products waiting for their receipt.
    pub outbox_depth: Option<u64>,
}

/// Healthy when every actor runs and the journal answers within [`JOURNAL_TIMEOUT`].
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
    let now = sources.clock.now();
    let age = |instant: UtcTime| rounded(now.seconds_since(instant), 3);
    HealthReport {
        healthy: reasons.is_empty(),
        reasons,
        now,
        actors_running: actors.iter().filter(|one| one.state == ActorState::Running).count(),
        actors_in_all: actors.len(),
        alert_age_seconds: flow.as_ref().and_then(|flow| flow.last_alert_at).and_then(age),
        last_frame_age_seconds: flow.as_ref().and_then(|flow| flow.last_frame_at).and_then(age),
        outbox_depth: flow.map(|flow| flow.outbox_depth),
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
