//! Polls one actor's context and decides what follows its end.

use super::{
    ChildPolicy, Escalation, ExitReason, Fault, RestartPolicy, Supervision,
    fault::{Controls, SLOW_FOR, SLOW_STEP, UNREAD_FOR},
    history::History,
    panic_message,
};
use crate::{clock::WorkGuard, model::ActorState};
use actix::{Actor, Context, Supervised, dev::ContextFut};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{self, Poll},
    thread,
    time::{Duration, Instant},
};

type ActorContext<A> = Pin<Box<ContextFut<A, Context<A>>>>;

/// A hang on request ends by itself after this long, should nobody notice it.
const LONGEST_HANG: Duration = Duration::from_secs(600);

/// What all lives of one actor share.
#[derive(Clone)]
pub(super) struct Identity {
    pub name: String,
    pub policy: ChildPolicy,
    pub history: Arc<Mutex<History>>,
    /// Fills the actor's mailbox, for trials.
    pub fill_mailbox: Arc<dyn Fn() + Send + Sync>,
}

enum Phase {
    /// With what holds the clock until the first poll of a new life: in it the actor takes its own hold.
    Running { resuming: Option<WorkGuard> },
    /// Waiting for the next start; the simulated clock waits too.
    BackingOff { sleep: Pin<Box<tokio::time::Sleep>>, guard: WorkGuard },
    /// On request: the mailbox is full and not read.
    Unread { sleep: Pin<Box<tokio::time::Sleep>>, guard: WorkGuard },
}

/// Polls one actor's context and decides what follows its end.
pub(super) struct Guardian<A>
where
    A: Actor<Context = Context<A>> + Supervised,
{
    /// `None` once the actor has ended for good.
    context: Option<ActorContext<A>>,
    phase: Phase,
    slow_until: Option<Instant>,
    identity: Identity,
    controls: Arc<Controls>,
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
            this.controls.waker.register(task.waker());
            if this.controls.is_superseded() {
                // Another life has taken this one's place while the thread hung.
                this.drop_context();
                return Poll::Ready(());
            }
            this.controls.heartbeat.answer();
            let exit = match &mut this.phase {
                Phase::Running { resuming } => {
                    let resuming = resuming.take();
                    let polled = this.poll_actor(task);
                    drop(resuming);
                    match polled {
                        Some(Poll::Ready(exit)) => exit,
                        Some(Poll::Pending) => return Poll::Pending,
                        None => continue,
                    }
                }
                Phase::Unread { sleep, .. } => {
                    if sleep.as_mut().poll(task).is_pending() {
                        return Poll::Pending;
                    }
                    this.resume();
                    continue;
                }
                Phase::BackingOff { sleep, .. } => {
                    if sleep.as_mut().poll(task).is_pending() {
                        return Poll::Pending;
                    }
                    match this.restart_actor() {
                        Ok(true) => {
                            this.supervision.update(&this.identity.name, ActorState::Running, None);
                            tracing::info!(actor = %this.identity.name, "restarted");
                            this.resume();
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
        identity: Identity,
        controls: Arc<Controls>,
        supervision: Supervision,
        starting: WorkGuard,
    ) -> Self {
        Self {
            context: Some(context),
            phase: Phase::Running { resuming: Some(starting) },
            slow_until: None,
            identity,
            controls,
            supervision,
        }
    }

    /// Goes on running; what held the clock holds it until the next poll is over.
    fn resume(&mut self) {
        let before = std::mem::replace(&mut self.phase, Phase::Running { resuming: None });
        if let Phase::BackingOff { guard, .. } | Phase::Unread { guard, .. } = before {
            self.phase = Phase::Running { resuming: Some(guard) };
        }
    }

    /// One poll of the actor; nothing if a failure on request has put another phase in place.
    fn poll_actor(&mut self, task: &mut task::Context<'_>) -> Option<Poll<ExitReason>> {
        let Some(context) = self.context.as_mut() else {
            return Some(Poll::Ready(ExitReason::Stopped));
        };
        let mut shall_panic = None;
        if let Some(request) = self.controls.due() {
            tracing::warn!(actor = %self.identity.name, fault = %request.fault, "failing on request");
            match request.fault {
                Fault::Panic => shall_panic = Some(request.guard),
                Fault::Slow => self.slow_until = Some(Instant::now() + SLOW_FOR),
                Fault::Hang => {
                    hang(&self.controls);
                    drop(request.guard);
                    return None;
                }
                Fault::FullMailbox => {
                    (self.identity.fill_mailbox)();
                    let sleep = Box::pin(tokio::time::sleep(UNREAD_FOR));
                    self.phase = Phase::Unread { sleep, guard: request.guard };
                    return None;
                }
                // Asked of the worker pool, not of the actor.
                Fault::WorkerPanic | Fault::WorkerHang => {}
            }
        }
        if self.slow_until.is_some_and(|until| Instant::now() < until) {
            thread::sleep(SLOW_STEP);
        }
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            if shall_panic.is_some() {
                // It unwinds like any panic of the actor's own code.
                std::panic::resume_unwind(Box::new("killed on request".to_owned()));
            }
            context.as_mut().poll(task)
        }));
        let polled = match outcome {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(())) => Poll::Ready(ExitReason::Stopped),
            Err(payload) => Poll::Ready(ExitReason::Panicked(panic_message(payload.as_ref()))),
        };
        if let (Poll::Ready(_), Some(guard)) = (&polled, shall_panic) {
            // The clock stands until the restart takes its own hold.
            self.phase = Phase::Running { resuming: Some(guard) };
        }
        Some(polled)
    }

    fn restart_actor(&mut self) -> Result<bool, ExitReason> {
        let Some(context) = self.context.as_mut() else { return Ok(false) };
        catch_unwind(AssertUnwindSafe(|| context.as_mut().get_mut().restart()))
            .map_err(|payload| ExitReason::Panicked(panic_message(payload.as_ref())))
    }

    fn shall_restart(&self, exit: &ExitReason) -> bool {
        match self.identity.policy.restart {
            RestartPolicy::Permanent => true,
            RestartPolicy::Transient => !matches!(exit, ExitReason::Stopped),
            RestartPolicy::Temporary => false,
        }
    }

    fn begin_backoff(&mut self, exit: ExitReason) -> Result<(), Escalation> {
        let name = &self.identity.name;
        tracing::error!(actor = %name, reason = %exit, "actor ended; it will be restarted");
        let wait = self.supervision.note_failure(&self.identity, &exit)?;
        let guard = match std::mem::replace(&mut self.phase, Phase::Running { resuming: None }) {
            Phase::BackingOff { guard, .. } | Phase::Unread { guard, .. } => guard,
            Phase::Running { resuming } => {
                let guard = self.supervision.inner.clock.hold();
                drop(resuming);
                guard
            }
        };
        self.phase = Phase::BackingOff { sleep: Box::pin(tokio::time::sleep(wait)), guard };
        Ok(())
    }

    fn end(&mut self) -> Poll<()> {
        self.drop_context();
        self.supervision.update(&self.identity.name, ActorState::Stopped, None);
        tracing::info!(actor = %self.identity.name, "ended");
        Poll::Ready(())
    }

    fn give_up(&mut self, escalation: Escalation) -> Poll<()> {
        self.drop_context();
        self.supervision.give_up(escalation);
        Poll::Ready(())
    }

    /// actix polls a context once more when it is dropped: that may panic too.
    fn drop_context(&mut self) {
        let context = self.context.take();
        if catch_unwind(AssertUnwindSafe(|| drop(context))).is_err() {
            tracing::error!(actor = %self.identity.name, "panicked while it was taken down");
        }
    }
}

/// The deliberate hang: the thread does nothing until it is given up.
fn hang(controls: &Controls) {
    let began = Instant::now();
    while !controls.is_superseded() && began.elapsed() < LONGEST_HANG {
        thread::sleep(Duration::from_millis(10));
    }
}

/// The failures noted so far; sound even if a holder of the lock panicked.
pub(super) fn locked(history: &Mutex<History>) -> std::sync::MutexGuard<'_, History> {
    history.lock().unwrap_or_else(PoisonError::into_inner)
}
