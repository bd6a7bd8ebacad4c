//! The headless run: the controller on the real clock, until it is told to stop or gives up.

use super::{Controller, ControllerError, ControllerParts, service_manager::ServiceManager};
use crate::{
    actors::{
        heartbeat::{Heartbeats, NoSuchActor, PATIENCE},
        supervision::Escalation,
    },
    clock::Clock,
    storage::journal::{Journal, JournalError, events},
};
use std::{io, time::Duration};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The longest a clean end takes. What is not done by then is in the journal and is done after the next start.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(4);
/// How often the service manager's status line is renewed.
const STATUS_PERIOD: Duration = Duration::from_secs(30);
/// Under this name events of the whole program are journaled.
pub const PROGRAM: &str = "controller";
/// The events of a start and of a clean end: between them the program ran, or crashed.
pub const STARTED: &str = "started";
pub const STOPPED: &str = "stopped";

/// `--trial-hang ACTOR@S`: an actor's thread is blocked for ever, so many seconds after the start.
#[derive(Debug, Clone, PartialEq)]
pub struct HangOrder {
    pub actor: String,
    pub after: Duration,
}

/// Why a run ended.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error(transparent)]
    Start(#[from] ControllerError),
    #[error("signals cannot be heard: {0}")]
    Signals(io::Error),
    #[error(transparent)]
    Hang(#[from] NoSuchActor),
    #[error(transparent)]
    GaveUp(Escalation),
    #[error("ended at once by a second signal; what was begun is done after the next start")]
    Impatience,
}

/// Runs until SIGTERM or SIGINT (then `Ok`), or until an actor has failed too often. `ready` is told the addresses.
pub async fn run_until_stopped(
    parts: ControllerParts,
    hang: Option<HangOrder>,
    ready: impl FnOnce(&Controller),
) -> Result<(), RunError> {
    let mut signals = StopSignals::listen()?;
    let manager = ServiceManager::from_environment();
    let (journal, clock) = (parts.journal.clone(), parts.clock.clone());
    let pid = format!("pid {}", std::process::id());
    if let Err(error) = record(&journal, &clock, STARTED, pid).await {
        // On a full disk an alert can still be refused, and its author tries again.
        tracing::error!(%error, "the start could not be journaled");
    }
    let controller = Controller::start(parts)?;
    let beats = controller.heartbeats();
    manager.ready(&format!(
        "alerts {}, pages http://{}/",
        controller.alert_address(),
        controller.web_address()
    ));
    ready(&controller);
    let outcome = tokio::select! {
        name = signals.next() => {
            tracing::info!(signal = name, "told to stop");
            Ok(name)
        }
        escalation = controller.escalated() => Err(RunError::GaveUp(escalation)),
        error = hang_when_asked(&beats, hang) => Err(error.into()),
        () = look_after(&manager, &beats, &controller) => Ok("the watch ended"),
    };
    manager.stopping("what was begun is in the journal");
    tracing::info!("shutting down; what was begun is in the journal");
    let why = match &outcome {
        Ok(signal) => (*signal).to_owned(),
        Err(error) => error.to_string(),
    };
    let ending = async {
        controller.shut_down().await;
        // The writer does its jobs in order: when this one is committed, so are all before it.
        if let Err(error) = record(&journal, &clock, STOPPED, why).await {
            tracing::warn!(%error, "the end could not be journaled");
        }
    };
    tokio::select! {
        ended = tokio::time::timeout(SHUTDOWN_PATIENCE, ending) => {
            if ended.is_err() {
                tracing::warn!("not everything ended in time; it is taken up at the next start");
            }
        }
        _ = signals.next() => return Err(RunError::Impatience),
    }
    outcome.map(|_| ())
}

/// SIGTERM and SIGINT.
struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    fn listen() -> Result<Self, RunError> {
        Ok(Self {
            terminate: signal(SignalKind::terminate()).map_err(RunError::Signals)?,
            interrupt: signal(SignalKind::interrupt()).map_err(RunError::Signals)?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

async fn record(
    journal: &Journal,
    clock: &Clock,
    what: &str,
    detail: String,
) -> Result<(), JournalError> {
    let event =
        events::Event { at: clock.now(), actor: PROGRAM.to_owned(), what: what.to_owned(), detail };
    journal.write(move |t| events::record(t, &event)).await
}

/// Feeds the watchdog while all actors give signs of life.
async fn look_after(manager: &ServiceManager, beats: &Heartbeats, controller: &Controller) {
    let feeding = async {
        let Some(watchdog) = manager.watchdog() else { return std::future::pending().await };
        let period = watchdog / 2;
        let patience = PATIENCE.min(period);
        let mut was_silent = Vec::new();
        loop {
            let silent = beats.silent(patience);
            if silent.is_empty() {
                manager.feed_watchdog();
            } else if silent != was_silent {
                let who = silent.join(", ");
                tracing::error!(actors = who, "no answer: the watchdog is not fed");
                manager.status(&format!("no answer from {who}"));
            }
            was_silent = silent;
            tokio::time::sleep(period).await;
        }
    };
    let telling = async {
        loop {
            tokio::time::sleep(STATUS_PERIOD).await;
            let silent = beats.silent(PATIENCE);
            if silent.is_empty() {
                let actors = controller.actors();
                let restarts: u64 = actors.iter().map(|actor| actor.restarts).sum();
                manager.status(&format!(
                    "{} actors answer, {restarts} restarts, pages http://{}/",
                    actors.len(),
                    controller.web_address()
                ));
            }
        }
    };
    let ((), ()) = futures_util::future::join(feeding, telling).await;
}

/// Comes back only with an error.
async fn hang_when_asked(beats: &Heartbeats, order: Option<HangOrder>) -> NoSuchActor {
    if let Some(order) = order {
        tokio::time::sleep(order.after).await;
        tracing::warn!(actor = order.actor, "its thread is blocked, as asked");
        if let Err(error) = beats.hang(&order.actor).await {
            return error;
        }
    }
    std::future::pending().await
}
