//! The loop that most actors share: a message is a hint, the journal holds the work.
//!
//! A hint starts a pass over the journal that does all the work it finds there; hints that come meanwhile cause one more
//! pass. So no message is needed for the work to be done: after a restart one pass finds what is left.

use crate::clock::WorkGuard;
use actix::{Actor, ActorFutureExt, AsyncContext, Context, WrapFuture};
use futures_util::future::LocalBoxFuture;
use std::time::Duration;

/// How long after a pass that failed the next one begins.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// Whether a pass is running, whether another was asked for, and what keeps the clock until it ends.
#[derive(Debug, Default)]
pub struct Pump {
    running: bool,
    again: bool,
    guards: Vec<WorkGuard>,
}

/// What a pass says at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PassOutcome {
    /// Nothing is left to do.
    Done,
    /// Something failed that may work later (it has been logged).
    TryAgain,
}

/// An actor whose work is found in the journal.
pub trait Pumped: Actor<Context = Context<Self>> {
    fn pump(&mut self) -> &mut Pump;

    /// One pass over the journal. The future must not borrow the actor: it works on clones of its settings.
    fn pass(&mut self) -> LocalBoxFuture<'static, PassOutcome>;

    /// Called in the actor after each pass.
    fn after_pass(&mut self, context: &mut Context<Self>) {
        let _ = context;
    }
}

/// Asks for a pass. The guard, if any, is held until a pass that begins after this call has ended.
pub fn wake<A: Pumped>(actor: &mut A, context: &mut Context<A>, guard: Option<WorkGuard>) {
    let pump = actor.pump();
    pump.guards.extend(guard);
    if pump.running {
        pump.again = true;
    } else {
        begin(actor, context);
    }
}

fn begin<A: Pumped>(actor: &mut A, context: &mut Context<A>) {
    let pump = actor.pump();
    pump.running = true;
    pump.again = false;
    let guards = std::mem::take(&mut pump.guards);
    let pass = actor.pass().into_actor(actor).map(move |outcome, actor, context| {
        actor.pump().running = false;
        actor.after_pass(context);
        drop(guards);
        if actor.pump().again {
            begin(actor, context);
        } else if outcome == PassOutcome::TryAgain {
            context.run_later(RETRY_AFTER, |actor, context| wake(actor, context, None));
        }
    });
    context.spawn(pass);
}
