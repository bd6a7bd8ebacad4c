//! Our own thin supervision over actix.
//!
//! actix restarts an actor that stops itself, but an actor that panics is gone for ever, with its mail. Here each actor's context is
//! polled inside `catch_unwind`: whatever ends it (a handler, a future, a timer that panics; a stop), it is restarted after a
//! backoff with the same address and the mail that waits in its mailbox. Only the message being handled is lost; the work it stood for
//! is in the journal. `Supervised::restarting` must throw the actor's state away, because state left by a panic is never trusted; actix then calls
//! `Actor::started` again, which begins from the settings and the journal. Too many restarts in a period escalate: the controller ends with a non-zero exit code.

mod guardian;
mod policy;
#[cfg(test)]
mod tests;

pub use policy::{ChildPolicy, Escalation, ExitReason, RestartPolicy};

use crate::{
    clock::Clock,
    model::{ActorSnapshot, ActorState, metric},
    storage::journal::{Journal, events},
};
use actix::{Actor, Addr, Context, Supervised, dev::channel};
use actix_rt::ArbiterHandle;
use futures_util::task::AtomicWaker;
use guardian::Guardian;
use std::{
    any::Any,
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::sync::watch;

/// The mailbox of an actor that is not started yet: its address can be given to others first.
pub struct Mailbox<A: Actor> {
    receiver: channel::AddressReceiver<A>,
}

/// A mailbox of `capacity` messages and the address of the actor that will read it.
pub fn mailbox<A: Actor<Context = Context<A>>>(capacity: usize) -> (Addr<A>, Mailbox<A>) {
    let (sender, receiver) = channel::channel(capacity);
    (Addr::new(sender), Mailbox { receiver })
}

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
    kill: Arc<KillSwitch>,
}

/// Asks an actor to panic at its next poll: for trials of the supervision (`--kill`).
#[derive(Default)]
struct KillSwitch {
    requested: AtomicBool,
    waker: AtomicWaker,
}

/// No actor of that name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no actor is called '{name}'; there are {known}")]
pub struct UnknownActor {
    pub name: String,
    pub known: String,
}

impl Supervision {
    pub fn new(clock: Clock, journal: Journal) -> Self {
        let (escalation, _) = watch::channel(None);
        let children = Mutex::new(BTreeMap::new());
        Self { inner: Arc::new(Inner { clock, journal, children, escalation }) }
    }

    /// Starts an actor on an arbiter's thread, under `policy`.
    pub fn start<A, F>(
        &self,
        arbiter: &ArbiterHandle,
        name: &str,
        policy: ChildPolicy,
        mailbox: Mailbox<A>,
        make: F,
    ) where
        A: Actor<Context = Context<A>> + Supervised,
        F: FnOnce(&mut Context<A>) -> A + Send + 'static,
    {
        let kill = Arc::new(KillSwitch::default());
        let snapshot = ActorSnapshot {
            name: name.to_owned(),
            state: ActorState::Running,
            restarts: 0,
            last_exit: None,
            since: self.inner.clock.now(),
        };
        metrics::gauge!(metric::ACTOR_UP, "actor" => name.to_owned()).set(1.0);
        for cause in ["panic", "stop"] {
            metrics::counter!(
                metric::ACTOR_RESTARTS, "actor" => name.to_owned(), "cause" => cause
            )
            .absolute(0);
        }
        self.children().insert(name.to_owned(), Child { snapshot, kill: kill.clone() });
        let supervision = self.clone();
        let name = name.to_owned();
        // The clock must not pass the instants that the actor registers when its thread comes to it.
        let starting = self.inner.clock.hold();
        arbiter.spawn_fn(move || {
            let mut context = Context::with_receiver(mailbox.receiver);
            let actor = make(&mut context);
            let context = Box::pin(context.into_future(actor));
            actix_rt::spawn(Guardian::new(context, name, policy, kill, supervision, starting));
        });
    }

    /// The actors as they stand, by name.
    pub fn snapshot(&self) -> Vec<ActorSnapshot> {
        self.children().values().map(|child| child.snapshot.clone()).collect()
    }

    /// Makes an actor panic at its next poll.
    pub fn kill(&self, name: &str) -> Result<(), UnknownActor> {
        let children = self.children();
        let Some(child) = children.get(name) else {
            let known = children.keys().cloned().collect::<Vec<_>>().join(", ");
            return Err(UnknownActor { name: name.to_owned(), known });
        };
        child.kill.requested.store(true, Ordering::SeqCst);
        child.kill.waker.wake();
        Ok(())
    }

    /// Becomes `Some` when an actor has failed too often; the first one stands.
    pub fn escalations(&self) -> watch::Receiver<Option<Escalation>> {
        self.inner.escalation.subscribe()
    }

    fn children(&self) -> MutexGuard<'_, BTreeMap<String, Child>> {
        // Plain values: sound even if a holder of the lock panicked.
        self.inner.children.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn update(&self, name: &str, state: ActorState, exit: Option<&ExitReason>) {
        let mut children = self.children();
        let Some(child) = children.get_mut(name) else { return };
        if state == ActorState::Running && child.snapshot.state == ActorState::Restarting {
            child.snapshot.restarts += 1;
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
