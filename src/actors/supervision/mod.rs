//! Our own thin supervision over actix.
//!
//! actix restarts an actor that stops itself, but an actor that panics is gone for ever, with its mail. Here each actor's context is
//! polled inside `catch_unwind`: whatever ends it (a handler, a future, a timer that panics; a stop), it is restarted after a
//! backoff with the same address and the mail that waits in its mailbox. Only the message being handled is lost; the work it stood for
//! is in the journal. `Supervised::restarting` must throw the actor's state away, because state left by a panic is never trusted; actix then calls
//! `Actor::started` again, which begins from the settings and the journal. Too many restarts in a period escalate: the controller ends with a non-zero exit code.
//!
//! An actor whose thread hangs cannot be ended at all. [`Supervision::watch`], on another thread, asks each for a sign of life; one
//! that stays silent is left behind and a new one is started on a new thread, with a new mailbox behind the same [`Post`].

mod fault;
mod guardian;
mod heartbeat;
mod history;
mod policy;
mod post;
#[cfg(test)]
mod tests;

pub use fault::Fault;
pub use policy::{ChildPolicy, Escalation, ExitReason, RestartPolicy};
pub use post::{Mailbox, Post, mailbox};

use super::{messages::Nudge, pool::WorkerPool};
use crate::{
    clock::{Clock, WorkGuard},
    model::{ActorSnapshot, ActorState, metric},
    storage::journal::{Journal, events},
};
use actix::{Actor, Context, Handler, Supervised, dev::channel::AddressReceiver};
use actix_rt::Arbiter;
use fault::{Controls, Request};
use guardian::{Guardian, Identity, locked};
use history::History;
use std::{
    any::Any,
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// How often the threads of the actors are asked for a sign of life.
const WATCH_INTERVAL: Duration = Duration::from_millis(250);
/// A watcher that was itself held up for so long judges nobody.
const WATCHER_HELD_UP: Duration = Duration::from_secs(2);

/// Registry of all supervised actors, cheap to clone.
#[derive(Clone)]
pub struct Supervision {
    inner: Arc<Inner>,
}

struct Inner {
    clock: Clock,
    journal: Journal,
    children: Mutex<BTreeMap<String, Child>>,
    escalation: watch::Sender<Option<Escalation>>,
}

struct Child {
    snapshot: ActorSnapshot,
    /// When it failed, until it runs again.
    failed_at: Option<Instant>,
    controls: Arc<Controls>,
    identity: Identity,
    /// The thread of the present life.
    arbiter: Arbiter,
    begin_life: Arc<dyn Fn(WorkGuard) -> Option<Life> + Send + Sync>,
    /// Its worker threads, for failures on request: the first that gets a job fails.
    pools: Vec<WorkerPool>,
}

/// What the supervision keeps of one life of an actor.
struct Life {
    controls: Arc<Controls>,
    arbiter: Arbiter,
}

/// No actor of that name, or the failure cannot be had of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FaultRefused {
    #[error("no actor is called '{name}'; there are {known}")]
    UnknownActor { name: String, known: String },
    #[error("actor {name} has no worker threads")]
    NoWorkers { name: String },
}

impl Supervision {
    pub fn new(clock: Clock, journal: Journal) -> Self {
        let (escalation, _) = watch::channel(None);
        let children = Mutex::new(BTreeMap::new());
        Self { inner: Arc::new(Inner { clock, journal, children, escalation }) }
    }

    /// Starts an actor on a thread of its own, under `policy`. Each life of it is made by `make`. Must be called inside an actix system.
    pub fn start<A, F>(&self, name: &str, policy: ChildPolicy, mailbox: Mailbox<A>, make: F)
    where
        A: Actor<Context = Context<A>> + Supervised + Handler<Nudge>,
        F: Fn() -> A + Send + Sync + 'static,
    {
        let Mailbox { receiver, readdress } = mailbox;
        let readdress = Arc::new(readdress);
        let filled = readdress.clone();
        let identity = Identity {
            name: name.to_owned(),
            policy,
            history: Arc::new(Mutex::new(History::default())),
            fill_mailbox: Arc::new(move || {
                if let Some(address) = filled.address() {
                    while address.try_send(Nudge).is_ok() {}
                }
            }),
        };
        metrics::gauge!(metric::ACTOR_UP, "actor" => name.to_owned()).set(1.0);
        for cause in ["panic", "stop", "hang"] {
            metrics::counter!(
                metric::ACTOR_RESTARTS, "actor" => name.to_owned(), "cause" => cause
            )
            .absolute(0);
        }
        let make = Arc::new(make);
        let (supervision, life_identity) = (Arc::downgrade(&self.inner), identity.clone());
        // The clock must not pass the instants that the actor registers when its thread comes to it.
        let starting = self.inner.clock.hold();
        let life = begin_life(&supervision, receiver, &life_identity, make.clone(), starting);
        let snapshot = ActorSnapshot {
            name: name.to_owned(),
            state: ActorState::Running,
            restarts: 0,
            last_exit: None,
            last_restart_seconds: None,
            since: self.inner.clock.now(),
        };
        let child = Child {
            snapshot,
            failed_at: None,
            controls: life.controls,
            identity,
            arbiter: life.arbiter,
            begin_life: Arc::new(move |guard| {
                let receiver = readdress.new_mailbox()?;
                let make = make.clone();
                Some(begin_life(&supervision, receiver, &life_identity, make, guard))
            }),
            pools: Vec::new(),
        };
        self.children().insert(name.to_owned(), child);
    }

    /// The worker threads of an actor, for failures on request.
    pub fn knows_workers_of(&self, name: &str, pools: Vec<WorkerPool>) {
        if let Some(child) = self.children().get_mut(name) {
            child.pools = pools;
        }
    }

    /// The actors as they stand, by name.
    pub fn snapshot(&self) -> Vec<ActorSnapshot> {
        self.children().values().map(|child| child.snapshot.clone()).collect()
    }

    /// For how long each actor's thread has owed an answer, by name: zero when it owes none.
    pub fn silences(&self) -> Vec<(String, Duration)> {
        let now = Instant::now();
        let children = self.children();
        children.iter().map(|(name, c)| (name.clone(), c.controls.heartbeat.silence(now))).collect()
    }

    /// Makes an actor fail after `after_polls` more steps of it.
    pub fn request(&self, name: &str, fault: Fault, after_polls: u32) -> Result<(), FaultRefused> {
        let children = self.children();
        let Some(child) = children.get(name) else {
            let known = children.keys().cloned().collect::<Vec<_>>().join(", ");
            return Err(FaultRefused::UnknownActor { name: name.to_owned(), known });
        };
        if matches!(fault, Fault::WorkerPanic | Fault::WorkerHang) {
            if child.pools.is_empty() {
                return Err(FaultRefused::NoWorkers { name: name.to_owned() });
            }
            WorkerPool::fail_next_of(&child.pools, fault == Fault::WorkerHang);
            return Ok(());
        }
        let guard = self.inner.clock.hold();
        child.controls.request(Request { fault, after_polls, guard });
        Ok(())
    }

    /// Becomes `Some` when an actor has failed too often; the first one stands.
    pub fn escalations(&self) -> watch::Receiver<Option<Escalation>> {
        self.inner.escalation.subscribe()
    }

    /// Asks the threads of the actors for signs of life, for as long as the future is polled, and replaces actors that stay silent.
    /// It must run on a thread that is none of theirs.
    pub async fn watch(self) {
        let mut last = Instant::now();
        loop {
            tokio::time::sleep(WATCH_INTERVAL).await;
            let now = Instant::now();
            let is_held_up = now.duration_since(last) > WATCHER_HELD_UP;
            last = now;
            let silent: Vec<(String, Duration)> = {
                let children = self.children();
                let asked =
                    children.iter().filter(|(_, child)| is_alive(child)).map(|(name, c)| {
                        let silence = c.controls.heartbeat.ask(now);
                        c.controls.waker.wake();
                        (name.clone(), silence, c.identity.policy.answer_timeout)
                    });
                asked
                    .filter(|(_, silence, patience)| silence > patience)
                    .map(|(name, silence, _)| (name, silence))
                    .collect()
            };
            for (name, silence) in silent {
                if is_held_up {
                    tracing::warn!(actor = name, "the watcher was held up; nobody is judged");
                } else {
                    self.replace(&name, ExitReason::Hung { seconds: silence.as_secs_f64() });
                }
            }
        }
    }

    /// Leaves the present life of an actor behind and begins another after the backoff.
    fn replace(&self, name: &str, exit: ExitReason) {
        let guard = self.inner.clock.hold();
        let identity = {
            let children = self.children();
            let Some(child) = children.get(name) else { return };
            child.controls.supersede();
            // Its thread ends if it ever comes back.
            child.arbiter.stop();
            child.identity.clone()
        };
        tracing::error!(actor = name, reason = %exit, "actor is replaced");
        let wait = match self.note_failure(&identity, &exit) {
            Ok(wait) => wait,
            Err(escalation) => return self.give_up(escalation),
        };
        let supervision = self.clone();
        actix_rt::spawn(async move {
            tokio::time::sleep(wait).await;
            let begin = {
                let children = supervision.children();
                children.get(&identity.name).map(|child| child.begin_life.clone())
            };
            let Some(life) = begin.and_then(|begin| begin(guard)) else { return };
            if let Some(child) = supervision.children().get_mut(&identity.name) {
                child.controls = life.controls;
                child.arbiter = life.arbiter;
            }
            supervision.update(&identity.name, ActorState::Running, None);
            tracing::info!(actor = %identity.name, "restarted on a new thread");
        });
    }

    /// Ends the threads of all actors.
    pub fn stop_all(&self) {
        for child in self.children().values() {
            child.arbiter.stop();
        }
    }

    fn children(&self) -> MutexGuard<'_, BTreeMap<String, Child>> {
        // Plain values: sound even if a holder of the lock panicked.
        self.inner.children.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts, publishes and journals a failure: how long to wait before the next start.
    fn note_failure(&self, identity: &Identity, exit: &ExitReason) -> Result<Duration, Escalation> {
        let name = &identity.name;
        metrics::counter!(metric::ACTOR_RESTARTS, "actor" => name.clone(), "cause" => exit.cause())
            .increment(1);
        let now = Instant::now();
        let wait = locked(&identity.history).record(name, exit, &identity.policy, now)?;
        self.update(name, ActorState::Restarting, Some(exit));
        self.record(name, "restarted", exit.to_string());
        Ok(wait)
    }

    fn give_up(&self, escalation: Escalation) {
        let name = escalation.actor.clone();
        tracing::error!(%escalation, "restarting does not help");
        self.update(&name, ActorState::GaveUp, Some(&escalation.last_cause));
        self.record(&name, "gave up", escalation.to_string());
        self.inner.escalation.send_if_modified(|current| {
            let is_first = current.is_none();
            if is_first {
                *current = Some(escalation);
            }
            is_first
        });
    }

    fn update(&self, name: &str, state: ActorState, exit: Option<&ExitReason>) {
        let mut children = self.children();
        let Some(child) = children.get_mut(name) else { return };
        if state == ActorState::Restarting {
            child.failed_at.get_or_insert_with(Instant::now);
        }
        if state == ActorState::Running && child.snapshot.state == ActorState::Restarting {
            child.snapshot.restarts += 1;
            let took = child.failed_at.take().map(|failed| failed.elapsed().as_secs_f64());
            child.snapshot.last_restart_seconds = took;
        }
        child.snapshot.state = state;
        child.snapshot.since = self.inner.clock.now();
        if let Some(exit) = exit {
            child.snapshot.last_exit = Some(exit.to_string());
        }
        let up = f64::from(u8::from(state == ActorState::Running));
        metrics::gauge!(metric::ACTOR_UP, "actor" => name.to_owned()).set(up);
    }

    fn record(&self, name: &str, what: &str, detail: String) {
        let event = events::Event {
            at: self.inner.clock.now(),
            actor: name.to_owned(),
            what: what.to_owned(),
            detail,
        };
        let journal = self.inner.journal.clone();
        actix_rt::spawn(async move {
            if let Err(error) = journal.write(move |t| events::record(t, &event)).await {
                tracing::error!(%error, "an event of the supervision could not be journaled");
            }
        });
    }
}

/// Whether an actor has a life that can be asked for a sign of it.
fn is_alive(child: &Child) -> bool {
    !child.controls.is_superseded()
        && matches!(child.snapshot.state, ActorState::Running | ActorState::Restarting)
}

/// Starts one life of an actor on a new thread.
fn begin_life<A, F>(
    supervision: &Weak<Inner>,
    receiver: AddressReceiver<A>,
    identity: &Identity,
    make: Arc<F>,
    starting: WorkGuard,
) -> Life
where
    A: Actor<Context = Context<A>> + Supervised,
    F: Fn() -> A + Send + Sync + 'static,
{
    let controls = Arc::new(Controls::default());
    let arbiter = Arbiter::new();
    let (supervision, identity) = (supervision.clone(), identity.clone());
    let life_controls = controls.clone();
    arbiter.spawn_fn(move || {
        let Some(inner) = supervision.upgrade() else { return };
        let context = Context::with_receiver(receiver);
        let context = Box::pin(context.into_future(make()));
        let supervision = Supervision { inner };
        let guardian = Guardian::new(context, identity, life_controls, supervision, starting);
        actix_rt::spawn(guardian);
    });
    Life { controls, arbiter }
}

/// The text of a panic.
pub fn panic_message(payload: &(dyn Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "a panic without a text".to_owned()
    }
}
