//! How long to wait before connecting again: doubled with each failure, never the same for two that failed together.

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

/// The part of a wait that chance may take away.
const JITTER: f64 = 0.25;

/// The waits of one connection.
#[derive(Debug, Clone)]
pub struct Reconnection {
    first: Duration,
    longest: Duration,
    failures: u32,
    /// The standard library's hashes begin at random: enough chance for a wait.
    chance: RandomState,
}

impl Reconnection {
    pub fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, failures: 0, chance: RandomState::new() }
    }

    /// The connection served: the next wait is the first one again.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// The wait after one more failure: between three quarters of the doubled wait and all of it.
    pub fn next_wait(&mut self) -> Duration {
        let factor = 1_u32.checked_shl(self.failures).unwrap_or(u32::MAX);
        let wait = self.first.saturating_mul(factor).min(self.longest);
        self.failures = self.failures.saturating_add(1);
        let thousandths = (self.chance.hash_one(self.failures) % 1000) as f64 / 1000.0;
        wait.mul_f64(1.0 - JITTER * thousandths)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_begin_again_after_a_success() {
        let mut reconnection = Reconnection::new(Duration::from_secs(1), Duration::from_secs(60));
        for expected in [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0] {
            let wait = reconnection.next_wait().as_secs_f64();
            assert!(wait <= expected && wait >= 0.75 * expected, "{wait} for {expected}");
        }
        for _ in 0..100 {
            assert!(reconnection.next_wait() <= Duration::from_secs(60));
        }
        reconnection.reset();
        assert!(reconnection.next_wait() <= Duration::from_secs(1));
    }

    #[test]
    fn two_that_failed_together_do_not_come_back_together() {
        let waits = || {
            let mut reconnection =
                Reconnection::new(Duration::from_secs(1), Duration::from_secs(60));
            (0..8).map(|_| reconnection.next_wait()).collect::<Vec<_>>()
        };
        assert_ne!(waits(), waits());
    }
}
