//! How an actor stands: published by the supervision, shown by health and page.

use super::UtcTime;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ActorState {
    Running,
    /// Failed; waiting for its next start.
    Restarting,
    /// Ended for good, as it should.
    Stopped,
    /// Failed too often: the controller ends.
    GaveUp,
}

/// The last sign of life of an actor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ActorAnswer {
    pub name: String,
    /// Wall seconds since it answered.
    pub age_seconds: f64,
    /// It has not answered for so long that its thread must be blocked.
    pub is_hung: bool,
}

/// One supervised actor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ActorSnapshot {
    pub name: String,
    pub state: ActorState,
    pub restarts: u64,
    /// Why it ended last: the first cause.
    pub last_exit: Option<String>,
    /// Wall seconds from its last failure being noticed until it ran again.
    #[serde(default)]
    pub last_restart_seconds: Option<f64>,
    /// When it took its present state.
    pub since: UtcTime,
}
