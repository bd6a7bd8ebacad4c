//! The journal: what must survive is here before it is acknowledged or acted on.
//!
//! SQLite in WAL mode with `synchronous=FULL`. One thread owns the writing connection; a second one reads, so that no actor ever
//! waits on the disk in its own thread. Every change is a transaction; every step is idempotent by its key. A person can look
//! with `sqlite3 gic.sqlite`.

pub mod alerts;
pub mod analyses;
pub mod events;
pub mod frames;
pub mod inspection;
pub mod masters;
pub mod products;
mod schema;
pub mod triggers;
pub mod unfinished;
pub mod watched_files;

use crate::model::UtcTime;
use crossbeam::channel::{Receiver, Sender, bounded};
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::Duration,
};
use tokio::sync::{oneshot, watch};

/// Jobs waiting for the writer; senders wait beyond it.
const QUEUE_LENGTH: usize = 1024;
/// How long SQLite waits for another process that holds the file (a person with `sqlite3`).
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error("journal {path}: {source}")]
    Open { path: PathBuf, source: rusqlite::Error },
    #[error(
        "journal {path} was written by a newer version of the program (schema {found}, this one knows {known})"
    )]
    TooNew { path: PathBuf, found: i64, known: i64 },
    #[error("journal: {0}")]
    Sqlite(#[from] rusqlite::Error),
    #[error("journal: {table}, {key}: what is stored cannot be read: {what}")]
    Damaged { table: &'static str, key: String, what: String },
    #[error("journal: cannot start its thread: {0}")]
    Thread(std::io::Error),
    #[error("journal: its thread has stopped")]
    Stopped,
}

impl JournalError {
    /// Whether the same call may succeed later (the disk was full, the file was locked).
    pub fn is_retry_safe(&self) -> bool {
        match self {
            Self::Sqlite(error) => matches!(
                error.sqlite_error_code(),
                Some(
                    rusqlite::ErrorCode::DatabaseBusy
                        | rusqlite::ErrorCode::DatabaseLocked
                        | rusqlite::ErrorCode::DiskFull
                        | rusqlite::ErrorCode::SystemIoFailure
                )
            ),
            Self::Open { .. } | Self::Thread(_) => true,
            Self::TooNew { .. } | Self::Damaged { .. } | Self::Stopped => false,
        }
    }
}

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// A handle on the journal, cheap to clone. The threads end when the last handle is dropped.
#[derive(Clone, Debug)]
pub struct Journal {
    writer: Sender<Job>,
    reader: Sender<Job>,
    changes: Arc<watch::Sender<u64>>,
    path: PathBuf,
}

impl Journal {
    /// Opens or creates the journal and brings its schema forward.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        let failed = |source| JournalError::Open { path: path.to_owned(), source };
        let mut connection = Connection::open(path).map_err(failed)?;
        connection.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
        connection.pragma_update(None, "journal_mode", "WAL").map_err(failed)?;
        connection.pragma_update(None, "synchronous", "FULL").map_err(failed)?;
        connection.pragma_update(None, "foreign_keys", "ON").map_err(failed)?;
        schema::migrate(&mut connection, path)?;
        let reading = Connection::open_with_flags(
            path,
            OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )
        .map_err(failed)?;
        reading.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
        let (changes, _) = watch::channel(0);
        Ok(Self {
            writer: start_thread("journal-writer", connection)?,
            reader: start_thread("journal-reader", reading)?,
            changes: Arc::new(changes),
            path: path.to_owned(),
        })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Counts the committed changes: a receiver wakes after each of them.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Runs `change` in one transaction on the writer thread; committed and synced when this returns `Ok`.
    pub async fn write<T, F>(&self, change: F) -> Result<T, JournalError>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> Result<T, JournalError> + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        let job = self.writing_job(change, move |result| drop(sender.send(result)));
        send_without_blocking(&self.writer, job).await?;
        receiver.await.map_err(|_| JournalError::Stopped)?
    }

    /// As [`Journal::write`], for threads that may block.
    pub fn write_blocking<T, F>(&self, change: F) -> Result<T, JournalError>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> Result<T, JournalError> + Send + 'static,
    {
        let (sender, receiver) = bounded(1);
        let job = self.writing_job(change, move |result| drop(sender.send(result)));
        self.writer.send(job).map_err(|_| JournalError::Stopped)?;
        receiver.recv().map_err(|_| JournalError::Stopped)?
    }

    /// Runs `query` on the reader thread; it sees every change committed before.
    pub async fn read<T, F>(&self, query: F) -> Result<T, JournalError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, JournalError> + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        let job: Job = Box::new(move |connection| drop(sender.send(query(connection))));
        send_without_blocking(&self.reader, job).await?;
        receiver.await.map_err(|_| JournalError::Stopped)?
    }

    /// As [`Journal::read`], for threads that may block.
    pub fn read_blocking<T, F>(&self, query: F) -> Result<T, JournalError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, JournalError> + Send + 'static,
    {
        let (sender, receiver) = bounded(1);
        let job: Job = Box::new(move |connection| drop(sender.send(query(connection))));
        self.reader.send(job).map_err(|_| JournalError::Stopped)?;
        receiver.recv().map_err(|_| JournalError::Stopped)?
    }

    fn writing_job<T, F, D>(&self, change: F, done: D) -> Job
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> Result<T, JournalError> + Send + 'static,
        D: FnOnce(Result<T, JournalError>) + Send + 'static,
    {
        let changes = self.changes.clone();
        Box::new(move |connection| {
            let result = in_transaction(connection, change);
            if result.is_ok() {
                changes.send_modify(|count| *count += 1);
            }
            done(result);
        })
    }
}

fn in_transaction<T>(
    connection: &mut Connection,
    change: impl FnOnce(&Transaction<'_>) -> Result<T, JournalError>,
) -> Result<T, JournalError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let value = change(&transaction)?;
    transaction.commit()?;
    Ok(value)
}

/// A full queue makes the sender wait, but never the actor's thread.
async fn send_without_blocking(queue: &Sender<Job>, job: Job) -> Result<(), JournalError> {
    use crossbeam::channel::TrySendError;
    let mut job = job;
    loop {
        match queue.try_send(job) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Disconnected(_)) => return Err(JournalError::Stopped),
            Err(TrySendError::Full(returned)) => {
                job = returned;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }
}

fn start_thread(name: &str, mut connection: Connection) -> Result<Sender<Job>, JournalError> {
    let (sender, receiver): (Sender<Job>, Receiver<Job>) = bounded(QUEUE_LENGTH);
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            for job in receiver {
                // A panic in a query loses that query (its sender sees `Stopped`), not the journal: the transaction was rolled back
                // by unwinding.
                let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                    job(&mut connection);
                }));
                if outcome.is_err() {
                    tracing::error!("a journal job panicked; its change was rolled back");
                }
            }
        })
        .map_err(JournalError::Thread)?;
    Ok(sender)
}

/// Reads a stored instant back.
fn time_from_text(table: &'static str, key: &str, text: &str) -> Result<UtcTime, JournalError> {
    UtcTime::parse(text).map_err(|error| JournalError::Damaged {
        table,
        key: key.to_owned(),
        what: error.to_string(),
    })
}

/// Serialises a stored value.
fn to_json<T: serde::Serialize>(
    table: &'static str,
    key: &str,
    value: &T,
) -> Result<String, JournalError> {
    serde_json::to_string(value).map_err(|error| JournalError::Damaged {
        table,
        key: key.to_owned(),
        what: error.to_string(),
    })
}

/// Reads a stored value back.
fn from_json<T: serde::de::DeserializeOwned>(
    table: &'static str,
    key: &str,
    text: &str,
) -> Result<T, JournalError> {
    serde_json::from_str(text).map_err(|error| JournalError::Damaged {
        table,
        key: key.to_owned(),
        what: error.to_string(),
    })
}

/// The lower-case or kebab name serde gives a unit variant: how states are stored.
fn state_name<T: serde::Serialize>(state: &T) -> String {
    match serde_json::to_value(state) {
        Ok(serde_json::Value::String(name)) => name,
        _ => String::new(),
    }
}

/// Reads a state back from its name.
fn state_from_name<T: serde::de::DeserializeOwned>(
    table: &'static str,
    key: &str,
    name: &str,
) -> Result<T, JournalError> {
    serde_json::from_value(serde_json::Value::String(name.to_owned())).map_err(|error| {
        JournalError::Damaged { table, key: key.to_owned(), what: error.to_string() }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_failed_change_leaves_nothing_and_a_panic_does_not_stop_the_journal() {
        let directory = tempfile::tempdir().unwrap();
        let journal = Journal::open(&directory.path().join("gic.sqlite")).unwrap();
        let failed: Result<(), _> = journal
            .write(|transaction| {
                events::set_note(transaction, "half", "done")?;
                Err(JournalError::Stopped)
            })
            .await;
        assert!(failed.is_err());
        let panicked: Result<(), _> = journal
            .write(|transaction| {
                events::set_note(transaction, "half", "done")?;
                panic!("in the middle")
            })
            .await;
        assert!(matches!(panicked, Err(JournalError::Stopped)));
        let note = journal.read(|connection| events::note(connection, "half")).await.unwrap();
        assert_eq!(note, None);
        let before = *journal.changes().borrow();
        journal.write(|t| events::set_note(t, "whole", "done")).await.unwrap();
        let note = journal.read_blocking(|c| events::note(c, "whole")).unwrap();
        assert_eq!(note.as_deref(), Some("done"));
        assert!(*journal.changes().borrow() > before);
    }

    #[test]
    fn a_journal_of_a_newer_program_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("gic.sqlite");
        drop(Journal::open(&path).unwrap());
        Connection::open(&path).unwrap().pragma_update(None, "user_version", 999).unwrap();
        assert!(matches!(Journal::open(&path), Err(JournalError::TooNew { found: 999, .. })));
    }
}
