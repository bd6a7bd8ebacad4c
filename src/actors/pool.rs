//! Bounded pools of named threads for work that takes time: pixels, files, catalogues.
//!
//! An actor's own thread never computes: it submits a job and gets the result as a message of a future. A job that
//! panics loses that job, not its thread. A job that makes no progress (`crate::progress`) for the pool's patience is given up and its
//! thread is replaced; the waiter, which is on another thread, notices.

use super::supervision::panic_message;
use crate::{
    model::metric,
    progress::{self, Progress},
};
use crossbeam::channel::{Receiver, Sender, TrySendError, bounded};
use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU8, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use tokio::sync::oneshot;

/// How long a submitter sleeps before it tries a full queue again.
const FULL_QUEUE_WAIT: Duration = Duration::from_millis(10);
/// How often a waiter looks whether its job makes progress.
const LOOK: Duration = Duration::from_millis(100);
/// Threads that were given up and still hang: with more, the actor fails, and its supervision decides.
const MOST_HUNG_THREADS: usize = 4;
/// A hang on request ends by itself after this long, should nobody notice it.
const LONGEST_HANG: Duration = Duration::from_secs(600);

#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PoolError {
    /// The same job may fail again: the caller counts its attempts.
    #[error("the job panicked: {0}")]
    Panicked(String),
    /// The same job may hang again: the caller counts its attempts. Its thread was replaced.
    #[error("the job made no progress for {seconds:.1} s; its thread was replaced")]
    Hung { seconds: f64 },
    #[error("{hung} threads of the worker pool hang; it is not replaced any more")]
    Exhausted { hung: usize },
    #[error("the worker pool has ended")]
    Ended,
}

/// A job, with the place where the thread that takes it leaves its progress.
struct Job {
    work: Box<dyn FnOnce() + Send>,
    taken_by: Arc<Mutex<Option<Arc<Progress>>>>,
}

/// A pool of threads called `<name>-<n>`, cheap to clone. The threads end when the last handle is dropped and the
/// queue is empty.
#[derive(Clone)]
pub struct WorkerPool {
    name: Arc<str>,
    queue: Sender<Job>,
    threads: Arc<Threads>,
}

/// What the threads of a pool share, and what is needed to start one more.
struct Threads {
    jobs: Receiver<Job>,
    patience: Duration,
    started: AtomicUsize,
    /// Given up and not ended yet.
    hung: AtomicUsize,
    /// The failure that the next job shall have, on request.
    next_failure: Mutex<FailureRequest>,
}

/// One of the constants below, shared by the pools of which one shall fail.
type FailureRequest = Arc<AtomicU8>;

const NO_FAILURE: u8 = 0;
const PANIC: u8 = 1;
const HANG: u8 = 2;

impl WorkerPool {
    /// Starts `threads` threads with room for `capacity` waiting jobs. A job without progress for `patience` is given up.
    pub fn start(
        name: &str,
        threads: usize,
        capacity: usize,
        patience: Duration,
    ) -> io::Result<Self> {
        let (queue, jobs): (Sender<Job>, Receiver<Job>) = bounded(capacity.max(1));
        let shared = Arc::new(Threads {
            jobs,
            patience,
            started: AtomicUsize::new(0),
            hung: AtomicUsize::new(0),
            next_failure: Mutex::default(),
        });
        let pool = Self { name: name.into(), queue, threads: shared };
        for _ in 0..threads.max(1) {
            pool.start_thread()?;
        }
        Ok(pool)
    }

    fn start_thread(&self) -> io::Result<()> {
        let number = self.threads.started.fetch_add(1, Ordering::Relaxed);
        // The thread holds the receiver, not the sender: it ends when the last handle is dropped.
        let shared = Arc::downgrade(&self.threads);
        let jobs = self.threads.jobs.clone();
        thread::Builder::new().name(format!("{}-{number}", self.name)).spawn(move || {
            let progress = Arc::new(Progress::default());
            progress::watch_this_thread(progress.clone());
            for job in jobs {
                *locked(&job.taken_by) = Some(progress.clone());
                (job.work)();
                progress::step();
                if progress.is_given_up() {
                    tracing::warn!("a worker thread that was given up has come back, and ends");
                    if let Some(shared) = shared.upgrade() {
                        shared.hung.fetch_sub(1, Ordering::Relaxed);
                    }
                    return;
                }
            }
        })?;
        Ok(())
    }

    /// Runs `work` on a thread of the pool. A full queue makes the caller wait.
    pub async fn run<T, F>(&self, work: F) -> Result<T, PoolError>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let (sender, mut receiver) = oneshot::channel();
        let failure = Arc::downgrade(&self.threads);
        let work = Box::new(move || {
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                if let Some(shared) = failure.upgrade() {
                    let request = locked(&shared.next_failure).clone();
                    fail_on_request(request.swap(NO_FAILURE, Ordering::SeqCst));
                }
                work()
            }));
            let result =
                outcome.map_err(|payload| PoolError::Panicked(panic_message(payload.as_ref())));
            // A submitter that was restarted meanwhile is not there to hear it.
            drop(sender.send(result));
        });
        let taken_by = Arc::new(Mutex::new(None));
        let mut job = Job { work, taken_by: taken_by.clone() };
        loop {
            match self.queue.try_send(job) {
                Ok(()) => break,
                Err(TrySendError::Disconnected(_)) => return Err(PoolError::Ended),
                Err(TrySendError::Full(returned)) => {
                    job = returned;
                    tokio::time::sleep(FULL_QUEUE_WAIT).await;
                }
            }
        }
        metrics::gauge!(metric::QUEUE_DEPTH, "queue" => format!("pool {}", self.name))
            .set(self.queue.len() as f64);
        let mut seen: Option<(u64, Instant)> = None;
        loop {
            if let Ok(outcome) = tokio::time::timeout(LOOK, &mut receiver).await {
                return outcome.map_err(|_| PoolError::Ended)?;
            }
            let Some(worker) = locked(&taken_by).clone() else { continue };
            let steps = worker.steps();
            let since = match seen {
                Some((known, since)) if known == steps => since,
                _ => seen.insert((steps, Instant::now())).1,
            };
            if since.elapsed() > self.threads.patience {
                return Err(self.replace(&worker, since.elapsed()));
            }
        }
    }

    /// Gives a hung thread up and starts another in its place.
    fn replace(&self, worker: &Progress, silence: Duration) -> PoolError {
        worker.give_up();
        let hung = self.threads.hung.fetch_add(1, Ordering::Relaxed) + 1;
        let seconds = silence.as_secs_f64();
        tracing::error!(pool = %self.name, seconds, hung, "a worker thread makes no progress");
        metrics::counter!(metric::WORKERS_REPLACED).increment(1);
        if hung > MOST_HUNG_THREADS {
            return PoolError::Exhausted { hung };
        }
        match self.start_thread() {
            Ok(()) => PoolError::Hung { seconds },
            Err(error) => {
                tracing::error!(pool = %self.name, %error, "no thread can be started in its place");
                PoolError::Exhausted { hung }
            }
        }
    }

    /// For trials: the next job of any of the pools hangs, or panics.
    pub fn fail_next_of(pools: &[Self], hang: bool) {
        let request = Arc::new(AtomicU8::new(if hang { HANG } else { PANIC }));
        for pool in pools {
            *locked(&pool.threads.next_failure) = request.clone();
        }
    }
}

fn locked<T>(place: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    place.lock().unwrap_or_else(PoisonError::into_inner)
}

fn fail_on_request(failure: u8) {
    if failure == PANIC {
        std::panic::resume_unwind(Box::new("failed on request".to_owned()));
    }
    if failure == HANG {
        let began = Instant::now();
        while !progress::is_given_up() && began.elapsed() < LONGEST_HANG {
            thread::sleep(Duration::from_millis(10));
        }
        std::panic::resume_unwind(Box::new("hung on request".to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(capacity: usize, patience: Duration) -> WorkerPool {
        WorkerPool::start("trial", 1, capacity, patience).unwrap()
    }

    #[tokio::test]
    async fn a_panic_loses_the_job_and_keeps_the_thread() {
        let pool = pool(2, Duration::from_secs(60));
        let failed: Result<(), _> = pool.run(|| panic!("bad frame")).await;
        assert_eq!(failed, Err(PoolError::Panicked("bad frame".to_owned())));
        let name = pool.run(|| thread::current().name().map(str::to_owned)).await.unwrap();
        assert_eq!(name.as_deref(), Some("trial-0"));
        assert_eq!(pool.run(|| 6 * 7).await, Ok(42));
    }

    #[tokio::test]
    async fn more_jobs_than_room_are_all_done_in_order() {
        let pool = pool(1, Duration::from_secs(60));
        let order = Arc::new(Mutex::new(Vec::new()));
        for number in 0..20 {
            let order = order.clone();
            pool.run(move || order.lock().unwrap().push(number)).await.unwrap();
        }
        assert_eq!(*order.lock().unwrap(), (0..20).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn a_job_without_progress_loses_its_thread_and_those_behind_it_go_on() {
        let pool = pool(2, Duration::from_millis(300));
        let (release, held) = bounded::<()>(0);
        let other = pool.clone();
        let hanging = pool.run(move || held.recv().is_ok());
        let waiting = async move {
            tokio::time::sleep(Duration::from_millis(50)).await;
            other.run(|| thread::current().name().map(str::to_owned)).await
        };
        let (hung, next) = futures_util::future::join(hanging, waiting).await;
        assert!(matches!(hung, Err(PoolError::Hung { .. })), "{hung:?}");
        assert_eq!(next.unwrap().as_deref(), Some("trial-1"));
        drop(release);
        assert_eq!(pool.run(|| 1).await, Ok(1));
    }

    #[tokio::test]
    async fn a_long_job_that_makes_progress_is_left_alone() {
        let pool = pool(1, Duration::from_millis(300));
        let outcome = pool
            .run(|| {
                for _ in 0..10 {
                    thread::sleep(Duration::from_millis(100));
                    progress::step();
                }
                "done"
            })
            .await;
        assert_eq!(outcome, Ok("done"));
    }

    #[tokio::test]
    async fn a_pool_in_which_everything_hangs_says_so_at_last() {
        let pool = pool(1, Duration::from_millis(120));
        let (release, held) = bounded::<()>(0);
        let mut last = None;
        for _ in 0..=MOST_HUNG_THREADS {
            let held = held.clone();
            last = Some(pool.run(move || held.recv().is_ok()).await);
        }
        assert_eq!(last, Some(Err(PoolError::Exhausted { hung: MOST_HUNG_THREADS + 1 })));
        drop(release);
    }

    #[tokio::test]
    async fn failures_on_request_happen_once() {
        let pool = pool(1, Duration::from_millis(150));
        WorkerPool::fail_next_of(std::slice::from_ref(&pool), false);
        assert!(matches!(pool.run(|| ()).await, Err(PoolError::Panicked(_))));
        WorkerPool::fail_next_of(std::slice::from_ref(&pool), true);
        assert!(matches!(pool.run(|| ()).await, Err(PoolError::Hung { .. })));
        assert_eq!(pool.run(|| 3).await, Ok(3));
    }
}
