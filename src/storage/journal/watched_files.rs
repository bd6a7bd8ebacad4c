//! Files that were dealt with and still lie where they arrived: in a directory that is not ours, or one that nothing can be taken from.
//! They are not read again until they change.

use super::JournalError;
use crate::model::UtcTime;
use rusqlite::{Connection, OptionalExtension, Transaction, params};

/// What tells one state of a file from another without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint {
    /// Bytes.
    pub size: u64,
    /// Modification time, nanoseconds since 1970.
    pub modified_nanoseconds: i64,
}

/// Notes how a file was dealt with: `outcome` is `taken` or the reason why it was refused.
pub fn settle(
    transaction: &Transaction<'_>,
    path: &str,
    fingerprint: Fingerprint,
    outcome: &str,
    detail: Option<&str>,
    at: UtcTime,
) -> Result<(), JournalError> {
    transaction.execute(
        "INSERT INTO watched_files (path, size, modified, outcome, detail, at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (path) DO UPDATE SET size = excluded.size, modified = excluded.modified,
             outcome = excluded.outcome, detail = excluded.detail, at = excluded.at",
        params![
            path,
            fingerprint.size.cast_signed(),
            fingerprint.modified_nanoseconds,
            outcome,
            detail,
            at.iso_microseconds(),
        ],
    )?;
    Ok(())
}

/// The state in which each of these files was dealt with, in their order; `None` for files never dealt with.
pub fn settled(
    connection: &Connection,
    paths: &[String],
) -> Result<Vec<Option<Fingerprint>>, JournalError> {
    let mut statement =
        connection.prepare_cached("SELECT size, modified FROM watched_files WHERE path = ?1")?;
    let found = paths.iter().map(|path| {
        let row = statement.query_row([path], |row| {
            Ok(Fingerprint {
                size: row.get::<_, i64>(0)?.cast_unsigned(),
                modified_nanoseconds: row.get(1)?,
            })
        });
        Ok(row.optional()?)
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::journal::Journal;

    #[test]
    fn the_last_state_counts() {
        let directory = tempfile::tempdir().unwrap();
        let journal = Journal::open(&directory.path().join("gic.sqlite")).unwrap();
        let at = UtcTime::parse("2026-11-02T04:00:00Z").unwrap();
        for size in [2880, 5760] {
            let fingerprint = Fingerprint { size, modified_nanoseconds: -5 };
            journal
                .write_blocking(move |t| settle(t, "a.fits", fingerprint, "taken", None, at))
                .unwrap();
        }
        let paths = ["b.fits".to_owned(), "a.fits".to_owned()];
        let found = journal.read_blocking(move |c| settled(c, &paths)).unwrap();
        assert_eq!(found, [None, Some(Fingerprint { size: 5760, modified_nanoseconds: -5 })]);
    }
}
