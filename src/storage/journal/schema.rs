//! The schema and its forward migrations (`PRAGMA user_version` counts them).

use super::JournalError;
use rusqlite::Connection;
use std::path::Path;

/// Migration n brings the schema from version n to n + 1. Never edit one that has been released: append.
const MIGRATIONS: [&str; 2] = [include_str!("schema_1.sql"), include_str!("schema_2.sql")];

/// The version of the schema, which must not be newer than this program's.
pub(super) fn check_version(connection: &Connection, path: &Path) -> Result<i64, JournalError> {
    let found: i64 = connection
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .map_err(|source| JournalError::Open { path: path.to_owned(), source })?;
    let known = MIGRATIONS.len() as i64;
    if found > known {
        return Err(JournalError::TooNew { path: path.to_owned(), found, known });
    }
    Ok(found)
}

pub(super) fn migrate(connection: &mut Connection, path: &Path) -> Result<(), JournalError> {
    let failed = |source| JournalError::Open { path: path.to_owned(), source };
    let found = check_version(connection, path)?;
    for (index, migration) in MIGRATIONS.iter().enumerate().skip(found.max(0) as usize) {
        let transaction = connection.transaction().map_err(failed)?;
        transaction.execute_batch(migration).map_err(failed)?;
        transaction.pragma_update(None, "user_version", index as i64 + 1).map_err(failed)?;
        transaction.commit().map_err(failed)?;
    }
    Ok(())
}
