//! What happened to the controller itself, and small notes it keeps (the instant a simulation has reached).

use super::{JournalError, time_from_text};
use crate::model::UtcTime;
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use serde::Serialize;

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Event {
    pub at: UtcTime,
    pub actor: String,
    pub what: String,
    pub detail: String,
}

/// Notes an event.
pub fn record(transaction: &Transaction<'_>, event: &Event) -> Result<(), JournalError> {
    transaction.execute(
        "INSERT INTO events (at, actor, what, detail) VALUES (?1, ?2, ?3, ?4)",
        params![event.at.iso_microseconds(), event.actor, event.what, event.detail],
    )?;
    Ok(())
}

/// The newest events, newest first.
pub fn recent(connection: &Connection, limit: u32) -> Result<Vec<Event>, JournalError> {
    let mut statement = connection
        .prepare("SELECT id, at, actor, what, detail FROM events ORDER BY id DESC LIMIT ?1")?;
    let rows = statement.query_map([limit], |row| {
        Ok((
            row.get::<_, i64>(0)?,
            row.get::<_, String>(1)?,
            row.get::<_, String>(2)?,
            row.get::<_, String>(3)?,
            row.get::<_, String>(4)?,
        ))
    })?;
    rows.map(|row| {
        let (id, at, actor, what, detail) = row?;
        let at = time_from_text("events", &id.to_string(), &at)?;
        Ok(Event { at, actor, what, detail })
    })
    .collect()
}

/// The newest event of an actor.
pub fn last_of(connection: &Connection, actor: &str) -> Result<Option<Event>, JournalError> {
    let found = connection
        .query_row(
            "SELECT at, what, detail FROM events WHERE actor = ?1 ORDER BY id DESC LIMIT 1",
            [actor],
            |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?))
            },
        )
        .optional()?;
    found
        .map(|(at, what, detail)| {
            let at = time_from_text("events", actor, &at)?;
            Ok(Event { at, actor: actor.to_owned(), what, detail })
        })
        .transpose()
}

/// Number of events of one sort, by actor.
pub fn counts(connection: &Connection, what: &str) -> Result<Vec<(String, u64)>, JournalError> {
    let mut statement = connection.prepare(
        "SELECT actor, count(*) FROM events WHERE what = ?1 GROUP BY actor ORDER BY actor",
    )?;
    let rows = statement
        .query_map([what], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?.max(0) as u64)))?;
    rows.map(|row| Ok(row?)).collect()
}

/// Keeps a small text under a name.
pub fn set_note(
    transaction: &Transaction<'_>,
    name: &str,
    value: &str,
) -> Result<(), JournalError> {
    transaction.execute(
        "INSERT INTO notes (name, value) VALUES (?1, ?2)
         ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        params![name, value],
    )?;
    Ok(())
}

/// The text kept under a name.
pub fn note(connection: &Connection, name: &str) -> Result<Option<String>, JournalError> {
    Ok(connection
        .query_row("SELECT value FROM notes WHERE name = ?1", [name], |row| row.get(0))
        .optional()?)
}
