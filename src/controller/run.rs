//! The headless run: the controller on the real clock, until it is told to stop or gives up.

use super::{Controller, ControllerError, ControllerParts};
use crate::actors::supervision::Escalation;
use std::io;
use tokio::signal::unix::{SignalKind, signal};

/// Why a run ended.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error(transparent)]
    Start(#[from] ControllerError),
    #[error("signals cannot be heard: {0}")]
    Signals(io::Error),
    #[error(transparent)]
    GaveUp(Escalation),
}

/// Runs until SIGTERM or SIGINT (then `Ok`), or until an actor has failed too often. `ready` is told the addresses.
pub async fn run_until_stopped(
    parts: ControllerParts,
    ready: impl FnOnce(&Controller),
) -> Result<(), RunError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(RunError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(RunError::Signals)?;
    let controller = Controller::start(parts)?;
    ready(&controller);
    let outcome = tokio::select! {
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
        escalation = controller.escalated() => Err(RunError::GaveUp(escalation)),
    };
    tracing::info!("shutting down; what was begun is in the journal");
    controller.shut_down().await;
    outcome
}
