//! A look at a journal from outside, while its program runs or when it does not: nothing is changed.

use super::{JournalError, events, masters, products, schema, triggers};
use crate::model::{Deadline, DeadlineState, Master, UtcTime};
use rusqlite::{Connection, OpenFlags};
use std::path::Path;

/// Complaints of SQLite that are listed.
const COMPLAINT_LIMIT: usize = 5;

/// What the journal says of itself and of the work in it.
#[derive(Debug, Clone, PartialEq)]
pub struct JournalInspection {
    /// Of SQLite's quick check; empty: it is sound.
    pub complaints: Vec<String>,
    pub outbox_depth: u64,
    /// DATE of the product that has waited longest.
    pub outbox_since: Option<UtcTime>,
    pub masters_in_force: Vec<Master>,
    /// Deadlines that are not served yet.
    pub open_deadlines: Vec<Deadline>,
    /// The newest start or end of the program.
    pub last_of_program: Option<events::Event>,
}

impl JournalInspection {
    /// Looks at the journal at `path`. `program` is the name under which starts and ends are noted.
    ///
    /// # Errors
    /// It is not there, is no journal, is damaged where it is read, or was written by a newer version.
    pub fn of(path: &Path, program: &str) -> Result<Self, JournalError> {
        let failed = |source| JournalError::Open { path: path.to_owned(), source };
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
        connection.busy_timeout(super::BUSY_TIMEOUT).map_err(failed)?;
        schema::check_version(&connection, path)?;
        let complaints = quick_check(&connection).map_err(failed)?;
        let mut open_deadlines = Vec::new();
        for state in [
            DeadlineState::Planned,
            DeadlineState::Due,
            DeadlineState::Analysed,
            DeadlineState::Produced,
        ] {
            open_deadlines.extend(triggers::deadlines_in(&connection, state)?);
        }
        open_deadlines.sort_by_key(|deadline| deadline.due_at);
        Ok(Self {
            complaints,
            outbox_depth: products::outbox_depth(&connection)?,
            outbox_since: products::outbox_since(&connection)?,
            masters_in_force: masters::in_force(&connection)?,
            open_deadlines,
            last_of_program: events::last_of(&connection, program)?,
        })
    }
}

fn quick_check(connection: &Connection) -> Result<Vec<String>, rusqlite::Error> {
    let mut statement = connection.prepare("PRAGMA quick_check")?;
    let rows = statement.query_map([], |row| row.get::<_, String>(0))?;
    let mut complaints = Vec::new();
    for row in rows {
        let text = row?;
        if text != "ok" && complaints.len() < COMPLAINT_LIMIT {
            complaints.push(text);
        }
    }
    Ok(complaints)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::journal::Journal;
    use std::fs;

    #[tokio::test]
    async fn a_sound_journal_is_looked_at_while_it_is_written() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("gic.sqlite");
        let journal = Journal::open(&path).unwrap();
        let at = UtcTime::parse("2026-11-02T04:00:00Z").unwrap();
        for (actor, what) in [("controller", "started"), ("web", "restarted")] {
            let event = events::Event {
                at,
                actor: actor.to_owned(),
                what: what.to_owned(),
                detail: String::new(),
            };
            journal.write(move |t| events::record(t, &event)).await.unwrap();
        }
        let seen = JournalInspection::of(&path, "controller").unwrap();
        assert_eq!(seen.complaints, Vec::<String>::new());
        assert_eq!(seen.last_of_program.unwrap().what, "started");
        assert_eq!((seen.outbox_depth, seen.outbox_since), (0, None));
    }

    #[test]
    fn what_is_no_journal_is_an_error_with_its_path() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("gic.sqlite");
        assert!(JournalInspection::of(&path, "x").is_err());
        fs::write(&path, vec![7; 8192]).unwrap();
        for error in [
            JournalInspection::of(&path, "x").unwrap_err(),
            Journal::open(&path).map(|_| ()).unwrap_err(),
        ] {
            assert!(error.to_string().contains("gic.sqlite: file is not a database"), "{error}");
        }
        assert_eq!(fs::read(&path).unwrap(), vec![7; 8192]);
    }
}
