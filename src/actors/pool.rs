//! Bounded pools of named threads for work that takes time: pixels, files, catalogues.
//!
//! An actor's own thread never computes: it submits a job and gets the result as a message of a future. A job that
//! panics loses that job, not its thread.

use super::supervision::panic_message;
use crate::model::metric;
use crossbeam::channel::{Receiver, Sender, TrySendError, bounded};
use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};
use tokio::sync::oneshot;

/// How long a submitter sleeps before it tries a full queue again.
const FULL_QUEUE_WAIT: Duration = Duration::from_millis(10);

type Job = Box<dyn FnOnce() + Send>;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PoolError {
    /// The same job may fail again: the caller counts its attempts.
    #[error("the job panicked: {0}")]
    Panicked(String),
    #[error("the worker pool has ended")]
    Ended,
}

/// A pool of threads called `<name>-<n>`, cheap to clone. The threads end when the last handle is dropped and the
/// queue is empty.
#[derive(Clone, Debug)]
pub struct WorkerPool {
    name: Arc<str>,
    queue: Sender<Job>,
    finished: Arc<AtomicU64>,
}

impl WorkerPool {
    /// Starts `threads` threads with room for `capacity` waiting jobs.
    pub fn start(name: &str, threads: usize, capacity: usize) -> io::Result<Self> {
        let (queue, jobs): (Sender<Job>, Receiver<Job>) = bounded(capacity.max(1));
        let finished = Arc::new(AtomicU64::new(0));
        for number in 0..threads.max(1) {
            let (jobs, finished) = (jobs.clone(), finished.clone());
            thread::Builder::new().name(format!("{name}-{number}")).spawn(move || {
                for job in jobs {
                    job();
                    finished.fetch_add(1, Ordering::Relaxed);
                }
            })?;
        }
        Ok(Self { name: name.into(), queue, finished })
    }

    /// Runs `work` on a thread of the pool. A full queue makes the caller wait.
    pub async fn run<T, F>(&self, work: F) -> Result<T, PoolError>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        let mut job: Job = Box::new(move || {
            let outcome = catch_unwind(AssertUnwindSafe(work));
            let result =
                outcome.map_err(|payload| PoolError::Panicked(panic_message(payload.as_ref())));
            // A submitter that was restarted meanwhile is not there to hear it.
            drop(sender.send(result));
        });
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
        receiver.await.map_err(|_| PoolError::Ended)?
    }

    /// Jobs finished so far: a number that stands still while jobs wait tells of a hung worker.
    pub fn finished_count(&self) -> u64 {
        self.finished.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_loses_the_job_and_keeps_the_thread() {
        let pool = WorkerPool::start("trial", 1, 2).unwrap();
        let failed: Result<(), _> = pool.run(|| panic!("bad frame")).await;
        assert_eq!(failed, Err(PoolError::Panicked("bad frame".to_owned())));
        let name = pool.run(|| thread::current().name().map(str::to_owned)).await.unwrap();
        assert_eq!(name.as_deref(), Some("trial-0"));
        assert_eq!(pool.run(|| 6 * 7).await, Ok(42));
    }

    #[tokio::test]
    async fn more_jobs_than_room_are_all_done_in_order() {
        let pool = WorkerPool::start("trial", 1, 1).unwrap();
        let order = Arc::new(std::sync::Mutex::new(Vec::new()));
        for number in 0..20 {
            let order = order.clone();
            pool.run(move || order.lock().unwrap().push(number)).await.unwrap();
        }
        assert_eq!(*order.lock().unwrap(), (0..20).collect::<Vec<_>>());
    }
}
