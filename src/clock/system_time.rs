//! The system's time as the controller takes it.
//!
//! What is promised is counted from now on ("270 s after the reception"), so an instant that was set must not move away: when the
//! system's clock goes back, our time goes on at the pace of the monotonic clock, ahead of the system's by a *correction*
//! that is kept until the system's clock has been put forward again or the program ends. When the system's clock goes forward, our time
//! follows at once: what lies in between is due. So a step never makes a delivery late; a wrong step forward makes it early.

use crate::model::UtcTime;
use std::{
    fmt::Debug,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// A difference between the two clocks from one look to the next that is no step but their drift and the pace of looking.
const SMALLEST_STEP: Duration = Duration::from_millis(200);

/// Where real time comes from.
pub trait TimeSource: Debug + Send + Sync {
    /// Time since 1970-01-01 UTC, as the system has it: it may be put back and forward.
    fn system(&self) -> Duration;
    /// Time since some start: it never goes back and has no steps.
    fn monotonic(&self) -> Duration;
}

/// The operating system's clocks.
#[derive(Debug)]
pub struct SystemTimeSource {
    began: Instant,
}

impl Default for SystemTimeSource {
    fn default() -> Self {
        Self { began: Instant::now() }
    }
}

impl TimeSource for SystemTimeSource {
    fn system(&self) -> Duration {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
    }

    fn monotonic(&self) -> Duration {
        self.began.elapsed()
    }
}

/// System time that does not go back.
#[derive(Debug)]
pub(super) struct SteadyTime {
    source: Arc<dyn TimeSource>,
    last: Mutex<Look>,
}

/// What was seen when the time was last asked for.
#[derive(Debug, Clone, Copy)]
struct Look {
    system: Duration,
    monotonic: Duration,
    correction: Duration,
    told: Duration,
}

impl SteadyTime {
    pub fn new(source: Arc<dyn TimeSource>) -> Self {
        let (system, monotonic) = (source.system(), source.monotonic());
        let look = Look { system, monotonic, correction: Duration::ZERO, told: system };
        Self { source, last: Mutex::new(look) }
    }

    pub fn now(&self) -> UtcTime {
        let told = self.look().told;
        UtcTime::from_unix_microseconds(i64::try_from(told.as_micros()).unwrap_or(i64::MAX))
    }

    /// How far our time is ahead of the system's.
    pub fn correction(&self) -> Duration {
        self.look().correction
    }

    fn look(&self) -> Look {
        // Plain numbers: sound even if a holder of the lock panicked.
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let (system, monotonic) = (self.source.system(), self.source.monotonic());
        let expected = last.system + monotonic.saturating_sub(last.monotonic);
        if system + SMALLEST_STEP < expected {
            let back = expected - system;
            last.correction += back;
            tracing::error!(
                seconds = back.as_secs_f64(),
                "the system clock was put back; the controller's time goes on as before"
            );
        } else if system > expected + SMALLEST_STEP {
            let forward = system - expected;
            let undone = forward.min(last.correction);
            last.correction -= undone;
            if forward > undone {
                tracing::error!(
                    seconds = (forward - undone).as_secs_f64(),
                    "the system clock was put forward; what lies in between is due"
                );
            } else {
                tracing::warn!(seconds = undone.as_secs_f64(), "the system clock was put right");
            }
        }
        last.told = last.told.max(system + last.correction);
        last.system = system;
        last.monotonic = monotonic;
        *last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default)]
    struct ByHand {
        system: Mutex<f64>,
        monotonic: Mutex<f64>,
    }

    impl TimeSource for ByHand {
        fn system(&self) -> Duration {
            Duration::from_secs_f64(*self.system.lock().unwrap())
        }

        fn monotonic(&self) -> Duration {
            Duration::from_secs_f64(*self.monotonic.lock().unwrap())
        }
    }

    fn seconds(time: &SteadyTime) -> f64 {
        time.now().unix_seconds()
    }

    #[test]
    fn steps_back_are_bridged_and_steps_forward_followed() {
        let source = Arc::new(ByHand::default());
        *source.system.lock().unwrap() = 10_000.0;
        let time = SteadyTime::new(source.clone());
        let mut told = Vec::new();
        // System time and monotonic time, one look each: a pause, an hour back, half an hour forward, an hour forward, slow drift.
        for (system, monotonic) in [
            (10_010.0, 10.0),
            (6_420.0, 20.0),
            (6_430.0, 30.0),
            (8_240.0, 40.0),
            (11_850.0, 50.0),
            (11_860.1, 60.0),
            (11_860.0, 60.0),
        ] {
            *source.system.lock().unwrap() = system;
            *source.monotonic.lock().unwrap() = monotonic;
            told.push((seconds(&time), time.correction().as_secs()));
        }
        assert_eq!(
            told,
            [
                (10_010.0, 0),
                (10_020.0, 3600),
                (10_030.0, 3600),
                (10_040.0, 1800),
                (11_850.0, 0),
                (11_860.1, 0),
                (11_860.1, 0),
            ]
        );
    }
}
