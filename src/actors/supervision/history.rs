//! The failures of one actor over all its lives, and what follows from them.

use super::{ChildPolicy, Escalation, ExitReason};
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

#[derive(Debug, Default)]
pub(super) struct History {
    failures: VecDeque<(Instant, ExitReason)>,
    backoff_step: u32,
}

impl History {
    /// Notes a failure: how long to wait before the next start, or that restarting does not help.
    pub(super) fn record(
        &mut self,
        actor: &str,
        exit: &ExitReason,
        policy: &ChildPolicy,
        now: Instant,
    ) -> Result<Duration, Escalation> {
        let is_healthy = self
            .failures
            .back()
            .is_none_or(|(last, _)| now.duration_since(*last) >= policy.healthy_after);
        if is_healthy {
            self.backoff_step = 0;
        }
        self.failures.push_back((now, exit.clone()));
        while let Some((oldest, _)) = self.failures.front()
            && now.duration_since(*oldest) > policy.period
        {
            self.failures.pop_front();
        }
        if self.failures.len() > policy.maximum_restarts {
            let first_cause =
                self.failures.front().map_or_else(|| exit.clone(), |(_, cause)| cause.clone());
            return Err(Escalation {
                actor: actor.to_owned(),
                failures: self.failures.len(),
                period_seconds: policy.period.as_secs(),
                first_cause,
                last_cause: exit.clone(),
            });
        }
        Ok(self.next_backoff(actor, policy))
    }

    fn next_backoff(&mut self, actor: &str, policy: &ChildPolicy) -> Duration {
        let doubled = policy.first_backoff.saturating_mul(1 << self.backoff_step.min(20));
        self.backoff_step += 1;
        let wait = doubled.min(policy.maximum_backoff);
        wait + wait.mul_f64(0.25 * jitter(actor, self.backoff_step))
    }
}

/// A number in 0..1 that differs from actor to actor and from step to step, so that actors that fail together do not come
/// back together.
fn jitter(name: &str, step: u32) -> f64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325 ^ u64::from(step);
    for byte in name.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    (hash >> 11) as f64 / (1_u64 << 53) as f64
}
