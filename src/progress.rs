//! Signs of progress of a thread that works for long, for whoever watches it from another thread.
//!
//! Long work calls [`step`] between its parts. A thread that is not watched makes no use of it.

use std::{
    cell::RefCell,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

/// The progress of one thread, seen from outside.
#[derive(Debug, Default)]
pub struct Progress {
    steps: AtomicU64,
    given_up: AtomicBool,
}

impl Progress {
    /// Steps made so far: a number that stands still tells of a thread that hangs.
    pub fn steps(&self) -> u64 {
        self.steps.load(Ordering::Relaxed)
    }

    /// Nobody waits for this thread any more.
    pub fn give_up(&self) {
        self.given_up.store(true, Ordering::SeqCst);
    }

    pub fn is_given_up(&self) -> bool {
        self.given_up.load(Ordering::SeqCst)
    }
}

thread_local! {
    static OF_THIS_THREAD: RefCell<Option<Arc<Progress>>> = const { RefCell::new(None) };
}

/// From now on the steps of this thread are counted in `progress`.
pub fn watch_this_thread(progress: Arc<Progress>) {
    OF_THIS_THREAD.with(|own| *own.borrow_mut() = Some(progress));
}

/// This thread has come one part further.
pub fn step() {
    OF_THIS_THREAD.with(|own| {
        if let Some(progress) = own.borrow().as_ref() {
            progress.steps.fetch_add(1, Ordering::Relaxed);
        }
    });
}

/// Whether this thread has been replaced: what it makes is no longer wanted.
pub fn is_given_up() -> bool {
    OF_THIS_THREAD.with(|own| own.borrow().as_ref().is_some_and(|own| own.is_given_up()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_count_for_the_watched_thread_only() {
        step();
        assert!(!is_given_up());
        let progress = Arc::new(Progress::default());
        let own = progress.clone();
        let thread = std::thread::spawn(move || {
            watch_this_thread(own.clone());
            step();
            step();
            own.give_up();
            is_given_up()
        });
        assert!(thread.join().unwrap());
        assert_eq!(progress.steps(), 2);
    }
}
