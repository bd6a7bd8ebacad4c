//! GP1 results by burst and deadline.

use super::{JournalError, from_json, to_json};
use crate::model::{AnalysisResult, DeadlineName, UtcTime, normalise_burst_id};
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use std::path::{Path, PathBuf};

/// Stores the result of a deadline; the first one stands.
pub fn save(
    transaction: &Transaction<'_>,
    result: &AnalysisResult,
    path: &Path,
    made_at: UtcTime,
) -> Result<(), JournalError> {
    let burst = normalise_burst_id(&result.burst_id);
    transaction.execute(
        "INSERT OR IGNORE INTO analyses (burst, deadline, path, made_at, result)
         VALUES (?1, ?2, ?3, ?4, ?5)",
        params![
            burst,
            result.deadline.to_string(),
            path.to_string_lossy(),
            made_at.iso_microseconds(),
            to_json("analyses", &burst, result)?,
        ],
    )?;
    Ok(())
}

/// The result of a deadline and where its file lies.
pub fn find(
    connection: &Connection,
    burst_id: &str,
    deadline: DeadlineName,
) -> Result<Option<(PathBuf, AnalysisResult)>, JournalError> {
    let burst = normalise_burst_id(burst_id);
    let found: Option<(String, String)> = connection
        .query_row(
            "SELECT path, result FROM analyses WHERE burst = ?1 AND deadline = ?2",
            params![burst, deadline.to_string()],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()?;
    found
        .map(|(path, text)| Ok((PathBuf::from(path), from_json("analyses", &burst, &text)?)))
        .transpose()
}

/// Where the files of the results lie that were made since an instant, in the order they were made.
pub fn paths_since(connection: &Connection, since: UtcTime) -> Result<Vec<PathBuf>, JournalError> {
    let mut statement = connection
        .prepare("SELECT path FROM analyses WHERE made_at >= ?1 ORDER BY made_at, deadline")?;
    let rows = statement.query_map([since.iso_microseconds()], |row| row.get::<_, String>(0))?;
    rows.map(|path| Ok(PathBuf::from(path?))).collect()
}

/// The results of a burst, in the order they were made.
pub fn of_burst(
    connection: &Connection,
    burst_id: &str,
) -> Result<Vec<(PathBuf, AnalysisResult)>, JournalError> {
    let burst = normalise_burst_id(burst_id);
    let mut statement = connection
        .prepare("SELECT path, result FROM analyses WHERE burst = ?1 ORDER BY made_at, deadline")?;
    let rows = statement
        .query_map([&burst], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?;
    rows.map(|row| {
        let (path, text) = row?;
        Ok((PathBuf::from(path), from_json("analyses", &burst, &text)?))
    })
    .collect()
}
