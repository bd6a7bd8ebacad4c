//! Whether an actor's thread still answers: asked from another thread, answered at the actor's next poll.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// One question at a time, and when it was put.
#[derive(Debug, Default)]
pub struct Heartbeat {
    asked_at: Mutex<Option<Instant>>,
}

impl Heartbeat {
    fn lock(&self) -> MutexGuard<'_, Option<Instant>> {
        self.asked_at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts the question unless one is open, and tells for how long the open one has waited.
    pub fn ask(&self, now: Instant) -> Duration {
        let mut asked_at = self.lock();
        match *asked_at {
            Some(asked) => now.saturating_duration_since(asked),
            None => {
                *asked_at = Some(now);
                Duration::ZERO
            }
        }
    }

    /// The thread lives.
    pub fn answer(&self) {
        *self.lock() = None;
    }

    /// How long the open question has waited; zero if none is open.
    pub fn silence(&self, now: Instant) -> Duration {
        self.lock().map_or(Duration::ZERO, |asked| now.saturating_duration_since(asked))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_silence_grows_until_the_answer() {
        let heartbeat = Heartbeat::default();
        let start = Instant::now();
        let later = start + Duration::from_secs(3);
        assert_eq!(heartbeat.ask(start), Duration::ZERO);
        assert_eq!(heartbeat.ask(later), Duration::from_secs(3));
        assert_eq!(heartbeat.silence(later), Duration::from_secs(3));
        heartbeat.answer();
        assert_eq!(heartbeat.silence(later), Duration::ZERO);
        assert_eq!(heartbeat.ask(later), Duration::ZERO);
    }
}
