//! How an actor is kept alive, and why it ended.

use std::{fmt, time::Duration};

/// When an ended actor is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestartPolicy {
    /// Always.
    Permanent,
    /// After a failure, not after a stop of its own.
    Transient,
    /// Never.
    Temporary,
}

/// How one actor is kept alive.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ChildPolicy {
    pub restart: RestartPolicy,
    /// More restarts than this within `period` escalate.
    pub maximum_restarts: usize,
    pub period: Duration,
    /// Wait before the first restart; doubled for each further one, with up to a quarter of jitter.
    pub first_backoff: Duration,
    pub maximum_backoff: Duration,
    /// After this long without a failure the backoff starts anew.
    pub healthy_after: Duration,
    /// An actor whose thread does not answer for so long is replaced.
    pub answer_timeout: Duration,
}

impl Default for ChildPolicy {
    fn default() -> Self {
        Self {
            restart: RestartPolicy::Permanent,
            maximum_restarts: 5,
            period: Duration::from_secs(60),
            first_backoff: Duration::from_millis(100),
            maximum_backoff: Duration::from_secs(5),
            healthy_after: Duration::from_secs(60),
            answer_timeout: Duration::from_secs(10),
        }
    }
}

/// Why an actor ended.
#[derive(Debug, Clone, PartialEq)]
pub enum ExitReason {
    /// It stopped itself.
    Stopped,
    /// A handler, future or timer of it panicked.
    Panicked(String),
    /// Its thread did not answer for so long, in seconds of wall time.
    Hung { seconds: f64 },
}

impl ExitReason {
    /// The label of the metrics.
    pub fn cause(&self) -> &'static str {
        match self {
            Self::Stopped => "stop",
            Self::Panicked(_) => "panic",
            Self::Hung { .. } => "hang",
        }
    }
}

impl fmt::Display for ExitReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped => formatter.write_str("stopped itself"),
            Self::Panicked(message) => write!(formatter, "panicked: {message}"),
            Self::Hung { seconds } => {
                write!(formatter, "hung: its thread did not answer for {seconds:.1} s")
            }
        }
    }
}

/// An actor failed too often: the controller must end.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error(
    "actor {actor} failed {failures} times within {period_seconds} s; the first cause: {first_cause}; the last: {last_cause}"
)]
pub struct Escalation {
    pub actor: String,
    pub failures: usize,
    pub period_seconds: u64,
    pub first_cause: ExitReason,
    pub last_cause: ExitReason,
}
