//! Where an actor's mail goes: an address that outlives the thread the actor happens to run on.
//!
//! An actor whose thread hangs cannot be taken off it, and its mailbox lies with it. The supervision then starts a new one elsewhere with
//! a new mailbox, and changes the address here; who writes to the post reaches the actor that lives.

use actix::{Actor, Addr, Context, dev::channel};
use std::sync::{Arc, PoisonError, RwLock, Weak};

/// The address of a supervised actor, cheap to clone.
pub struct Post<A: Actor> {
    current: Arc<RwLock<Addr<A>>>,
}

impl<A: Actor> Clone for Post<A> {
    fn clone(&self) -> Self {
        Self { current: self.current.clone() }
    }
}

impl<A: Actor> Post<A> {
    /// The address as it is now. Take it anew for each message.
    pub fn address(&self) -> Addr<A> {
        // An address is replaced as a whole: it is sound even if a holder of the lock panicked.
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The mailbox of an actor that is not started yet: its post can be given to others first.
pub struct Mailbox<A: Actor> {
    pub(super) receiver: channel::AddressReceiver<A>,
    pub(super) readdress: Readdress<A>,
}

/// Gives the actor behind a post a new mailbox. It does not keep the post alive.
pub(super) struct Readdress<A: Actor> {
    post: Weak<RwLock<Addr<A>>>,
    capacity: usize,
}

impl<A: Actor<Context = Context<A>>> Readdress<A> {
    /// A new mailbox, which gets all mail from now on; nothing if nobody holds the post any more.
    pub(super) fn new_mailbox(&self) -> Option<channel::AddressReceiver<A>> {
        let post = self.post.upgrade()?;
        let (sender, receiver) = channel::channel(self.capacity);
        *post.write().unwrap_or_else(PoisonError::into_inner) = Addr::new(sender);
        Some(receiver)
    }

    /// The address as it is now.
    pub(super) fn address(&self) -> Option<Addr<A>> {
        let post = self.post.upgrade()?;
        Some(Post { current: post }.address())
    }
}

/// A mailbox of `capacity` messages and the post of the actor that will read it.
pub fn mailbox<A: Actor<Context = Context<A>>>(capacity: usize) -> (Post<A>, Mailbox<A>) {
    let (sender, receiver) = channel::channel(capacity);
    let current = Arc::new(RwLock::new(Addr::new(sender)));
    let readdress = Readdress { post: Arc::downgrade(&current), capacity };
    (Post { current }, Mailbox { receiver, readdress })
}
