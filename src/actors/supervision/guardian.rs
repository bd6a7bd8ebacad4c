//! Polls one actor's context and decides what follows its end.

use super::{
    ChildPolicy, Escalation, ExitReason, KillSwitch, RestartPolicy, Supervision, panic_message,
};
use crate::{
    clock::WorkGuard,
    model::{ActorState, metric},
};
use actix::{Actor, Context, Supervised, dev::ContextFut};
use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{self, Poll},
    time::{Duration, Instant},
};

type ActorContext<A> = Pin<Box<ContextFut<A, Context<A>>>>;

enum Phase {
    /// With what holds the clock until the first poll after a start: in it the actor takes its own hold.
    Running { resuming: Option<WorkGuard> },
    /// Waiting for the next start; the simulated clock waits too.
    BackingOff { sleep: Pin<Box<tokio::time::Sleep>>, guard: WorkGuard },
}

/// Polls one actor's context and decides what follows its end.
pub(super) struct Guardian<A>
where
    A: Actor<Context = Context<A>> + Supervised,
{
    /// `None` once the actor has ended for good.
    context: Option<ActorContext<A>>,
    phase: Phase,
    failures: VecDeque<(Instant, ExitReason)>,
    backoff_step: u32,
    name: String,
    policy: ChildPolicy,
    kill: Arc<KillSwitch>,
    supervision: Supervision,
}

impl<A> Unpin for Guardian<A> where A: Actor<Context = Context<A>> + Supervised {}

impl<A> Future for Guardian<A>
where
    A: Actor<Context = Context<A>> + Supervised,
{
    type Output = ();

    fn poll(self: Pin<&mut Self>, task: &mut task::Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        loop {
            let exit = match &mut this.phase {
                Phase::Running { resuming } => {
                    let resuming = resuming.take();
                    this.kill.waker.register(task.waker());
                    let polled = this.poll_actor(task);
                    drop(resuming);
                    match polled {
                        Poll::Pending => return Poll::Pending,
                        Poll::Ready(exit) => exit,
                    }
                }
                Phase::BackingOff { sleep, .. } => {
                    if sleep.as_mut().poll(task).is_pending() {
                        return Poll::Pending;
                    }
                    match this.restart_actor() {
                        Ok(true) => {
                            this.supervision.update(&this.name, ActorState::Running, None);
                            tracing::info!(actor = %this.name, "restarted");
                            let backing_off = std::mem::replace(
                                &mut this.phase,
                                Phase::Running { resuming: None },
                            );
                            if let Phase::BackingOff { guard, .. } = backing_off {
                                this.phase = Phase::Running { resuming: Some(guard) };
                            }
                            continue;
                        }
                        // Nobody holds its address any more: there is nothing to restart for.
                        Ok(false) => return this.end(),
                        Err(exit) => exit,
                    }
                }
            };
            if !this.shall_restart(&exit) {
                return this.end();
            }
            if let Err(escalation) = this.begin_backoff(exit) {
                return this.give_up(escalation);
            }
        }
    }
}

impl<A> Guardian<A>
where
    A: Actor<Context = Context<A>> + Supervised,
{
    pub(super) fn new(
        context: ActorContext<A>,
        name: String,
        policy: ChildPolicy,
        kill: Arc<KillSwitch>,
        supervision: Supervision,
        starting: WorkGuard,
    ) -> Self {
        Self {
            context: Some(context),
            phase: Phase::Running { resuming: Some(starting) },
            failures: VecDeque::new(),
            backoff_step: 0,
            name,
            policy,
            kill,
            supervision,
        }
    }

    fn poll_actor(&mut self, task: &mut task::Context<'_>) -> Poll<ExitReason> {
        let Some(context) = self.context.as_mut() else { return Poll::Ready(ExitReason::Stopped) };
        let kill = &self.kill;
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            if kill.requested.swap(false, Ordering::SeqCst) {
                kill_this_actor();
            }
            context.as_mut().poll(task)
        }));
        match outcome {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(())) => Poll::Ready(ExitReason::Stopped),
            Err(payload) => Poll::Ready(ExitReason::Panicked(panic_message(payload.as_ref()))),
        }
    }

    fn restart_actor(&mut self) -> Result<bool, ExitReason> {
        let Some(context) = self.context.as_mut() else { return Ok(false) };
        catch_unwind(AssertUnwindSafe(|| context.as_mut().get_mut().restart()))
            .map_err(|payload| ExitReason::Panicked(panic_message(payload.as_ref())))
    }

    fn shall_restart(&self, exit: &ExitReason) -> bool {
        match self.policy.restart {
            RestartPolicy::Permanent => true,
            RestartPolicy::Transient => !matches!(exit, ExitReason::Stopped),
            RestartPolicy::Temporary => false,
        }
    }

    fn begin_backoff(&mut self, exit: ExitReason) -> Result<(), Escalation> {
        let now = Instant::now();
        let healthy = self
            .failures
            .back()
            .is_none_or(|(last, _)| now.duration_since(*last) >= self.policy.healthy_after);
        if healthy {
            self.backoff_step = 0;
        }
        self.failures.push_back((now, exit.clone()));
        while let Some((oldest, _)) = self.failures.front()
            && now.duration_since(*oldest) > self.policy.period
        {
            self.failures.pop_front();
        }
        tracing::error!(actor = %self.name, reason = %exit, "actor ended; it will be restarted");
        metrics::counter!(
            metric::ACTOR_RESTARTS, "actor" => self.name.clone(), "cause" => exit.cause()
        )
        .increment(1);
        if self.failures.len() > self.policy.maximum_restarts {
            let first_cause =
                self.failures.front().map_or_else(|| exit.clone(), |(_, cause)| cause.clone());
            return Err(Escalation {
                actor: self.name.clone(),
                failures: self.failures.len(),
                period_seconds: self.policy.period.as_secs(),
                first_cause,
                last_cause: exit,
            });
        }
        self.supervision.update(&self.name, ActorState::Restarting, Some(&exit));
        self.supervision.record(&self.name, "restarted", exit.to_string());
        let wait = self.next_backoff();
        let guard = match std::mem::replace(&mut self.phase, Phase::Running { resuming: None }) {
            Phase::BackingOff { guard, .. } => guard,
            Phase::Running { .. } => self.supervision.inner.clock.hold(),
        };
        self.phase = Phase::BackingOff { sleep: Box::pin(tokio::time::sleep(wait)), guard };
        Ok(())
    }

    fn next_backoff(&mut self) -> Duration {
        let doubled = self.policy.first_backoff.saturating_mul(1 << self.backoff_step.min(20));
        self.backoff_step += 1;
        let wait = doubled.min(self.policy.maximum_backoff);
        wait + wait.mul_f64(0.25 * jitter(&self.name, self.backoff_step))
    }

    fn end(&mut self) -> Poll<()> {
        self.drop_context();
        self.supervision.update(&self.name, ActorState::Stopped, None);
        tracing::info!(actor = %self.name, "ended");
        Poll::Ready(())
    }

    fn give_up(&mut self, escalation: Escalation) -> Poll<()> {
        tracing::error!(%escalation, "restarting does not help");
        self.drop_context();
        self.supervision.update(&self.name, ActorState::GaveUp, Some(&escalation.last_cause));
        self.supervision.record(&self.name, "gave up", escalation.to_string());
        self.supervision.inner.escalation.send_if_modified(|current| {
            let is_first = current.is_none();
            if is_first {
                *current = Some(escalation);
            }
            is_first
        });
        Poll::Ready(())
    }

    /// actix polls a context once more when it is dropped: that may panic too.
    fn drop_context(&mut self) {
        let context = self.context.take();
        if catch_unwind(AssertUnwindSafe(|| drop(context))).is_err() {
            tracing::error!(actor = %self.name, "panicked while it was taken down");
        }
    }
}

/// The deliberate failure of `--kill`: it unwinds like any panic of the actor's own code.
fn kill_this_actor() -> ! {
    std::panic::resume_unwind(Box::new("killed on request".to_owned()))
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
