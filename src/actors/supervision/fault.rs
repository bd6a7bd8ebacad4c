//! Failures on request, for trials of the supervision.

use crate::clock::WorkGuard;
use futures_util::task::AtomicWaker;
use std::{
    fmt,
    str::FromStr,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// How long a slow actor stays slow, of wall time.
pub const SLOW_FOR: Duration = Duration::from_secs(2);
/// How long each step of a slow actor takes in addition.
pub const SLOW_STEP: Duration = Duration::from_millis(20);
/// How long an actor leaves its full mailbox unread, of wall time.
pub const UNREAD_FOR: Duration = Duration::from_secs(1);

/// A way to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The actor's code panics.
    Panic,
    /// The actor's thread stops doing anything.
    Hang,
    /// Each step of the actor takes [`SLOW_STEP`] more, for [`SLOW_FOR`].
    Slow,
    /// The mailbox is filled and left unread for [`UNREAD_FOR`].
    FullMailbox,
    /// The next job of the actor's worker thread panics.
    WorkerPanic,
    /// The next job of the actor's worker thread makes no progress.
    WorkerHang,
}

impl Fault {
    pub const ALL: [Self; 6] = [
        Self::Panic,
        Self::Hang,
        Self::Slow,
        Self::FullMailbox,
        Self::WorkerPanic,
        Self::WorkerHang,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Panic => "panic",
            Self::Hang => "hang",
            Self::Slow => "slow",
            Self::FullMailbox => "full-mailbox",
            Self::WorkerPanic => "worker-panic",
            Self::WorkerHang => "worker-hang",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|fault| fault.name() == text).ok_or_else(|| {
            let known = Self::ALL.map(Self::name).join(", ");
            format!("'{text}' is no failure; there are {known}")
        })
    }
}

/// A failure that waits for its moment.
pub(super) struct Request {
    pub fault: Fault,
    /// Polls of the actor that still pass before it happens.
    pub after_polls: u32,
    /// The simulated clock stands until it has happened.
    pub guard: WorkGuard,
}

/// Through this the supervision reaches one life of an actor from another thread.
#[derive(Default)]
pub(super) struct Controls {
    request: Mutex<Option<Request>>,
    superseded: AtomicBool,
    pub heartbeat: super::heartbeat::Heartbeat,
    pub waker: AtomicWaker,
}

impl Controls {
    fn lock(&self) -> MutexGuard<'_, Option<Request>> {
        self.request.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn request(&self, request: Request) {
        *self.lock() = Some(request);
        self.waker.wake();
    }

    /// The failure whose moment is this poll.
    pub(super) fn due(&self) -> Option<Request> {
        let mut request = self.lock();
        match request.as_mut() {
            Some(waiting) if waiting.after_polls > 0 => {
                waiting.after_polls -= 1;
                None
            }
            _ => request.take(),
        }
    }

    /// This life is over: another one has taken its place.
    pub(super) fn supersede(&self) {
        self.superseded.store(true, Ordering::SeqCst);
        self.waker.wake();
    }

    pub(super) fn is_superseded(&self) -> bool {
        self.superseded.load(Ordering::SeqCst)
    }
}
