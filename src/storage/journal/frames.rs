//! Frames, from their last byte to what was measured on them.

use super::{JournalError, from_json, state_from_name, state_name, time_from_text, to_json};
use crate::model::{
    FrameIdentity, FrameKeywords, FrameQuality, FrameRecord, FrameState, ListedCandidate, UtcTime,
    normalise_burst_id,
};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use std::path::{Path, PathBuf};

/// A complete file to be journaled before anything is done with it.
#[derive(Debug, Clone)]
pub struct ArrivedFrame {
    pub identity: FrameIdentity,
    pub path: PathBuf,
    pub keywords: FrameKeywords,
    pub instance: String,
    pub arrived_at: UtcTime,
    /// `Arrived`, or `Ignored` with a reason for kinds nothing is done with.
    pub state: FrameState,
    pub reason: Option<String>,
}

/// What [`insert`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    New(i64),
    /// Same name and same data: seen before.
    Known(i64),
    /// Same name, other data: a new version, to be reported.
    NewVersion(i64),
}

/// Stores a frame; its identity is its name and the hash of its data.
pub fn insert(
    transaction: &Transaction<'_>,
    frame: &ArrivedFrame,
) -> Result<Arrival, JournalError> {
    let name = &frame.identity.name;
    let known: Option<i64> = transaction
        .query_row(
            "SELECT id FROM frames WHERE name = ?1 AND data_sha256 = ?2",
            params![name, frame.identity.data_sha256],
            |row| row.get(0),
        )
        .optional()?;
    if let Some(id) = known {
        return Ok(Arrival::Known(id));
    }
    let has_older = is_known_name(transaction, name)?;
    transaction.execute(
        "INSERT INTO frames (name, data_sha256, path, instance, burst, kind, arrived_at, state,
                             reason, keywords)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        params![
            name,
            frame.identity.data_sha256,
            frame.path.to_string_lossy(),
            frame.instance,
            frame.keywords.trigger_id.as_deref().map(normalise_burst_id),
            frame.keywords.kind.name(),
            frame.arrived_at.iso_microseconds(),
            state_name(&frame.state),
            frame.reason,
            to_json("frames", name, &frame.keywords)?,
        ],
    )?;
    let id = transaction.last_insert_rowid();
    Ok(if has_older { Arrival::NewVersion(id) } else { Arrival::New(id) })
}

/// Whether a frame of that name has arrived.
pub fn is_known_name(connection: &Connection, name: &str) -> Result<bool, JournalError> {
    let found = connection
        .query_row("SELECT 1 FROM frames WHERE name = ?1 LIMIT 1", [name], |_| Ok(()))
        .optional()?;
    Ok(found.is_some())
}

/// Counts one more attempt at a frame and returns how many there have been, before the work is begun.
pub fn begin_attempt(transaction: &Transaction<'_>, id: i64) -> Result<u32, JournalError> {
    let attempts = transaction.query_row(
        "UPDATE frames SET attempts = attempts + 1 WHERE id = ?1 RETURNING attempts",
        [id],
        |row| row.get(0),
    )?;
    Ok(attempts)
}

/// Notes why the first attempt at a frame failed; the frame waits for its second one.
pub fn note_failure(
    transaction: &Transaction<'_>,
    id: i64,
    reason: &str,
) -> Result<(), JournalError> {
    transaction.execute("UPDATE frames SET reason = ?2 WHERE id = ?1", params![id, reason])?;
    Ok(())
}

/// The frame is reduced and measured.
pub fn set_reduced(
    transaction: &Transaction<'_>,
    id: i64,
    quality: &FrameQuality,
    reduced_path: &Path,
) -> Result<(), JournalError> {
    transaction.execute(
        "UPDATE frames SET state = 'reduced', reason = NULL, quality = ?2, reduced_path = ?3
         WHERE id = ?1",
        params![id, to_json("frames", &id.to_string(), quality)?, reduced_path.to_string_lossy()],
    )?;
    Ok(())
}

/// The frame came to another end.
pub fn set_state(
    transaction: &Transaction<'_>,
    id: i64,
    state: FrameState,
    reason: Option<&str>,
) -> Result<(), JournalError> {
    transaction.execute(
        "UPDATE frames SET state = ?2, reason = ?3 WHERE id = ?1",
        params![id, state_name(&state), reason],
    )?;
    Ok(())
}

/// Notes where the file lies now.
pub fn set_path(transaction: &Transaction<'_>, id: i64, path: &Path) -> Result<(), JournalError> {
    transaction.execute(
        "UPDATE frames SET path = ?2 WHERE id = ?1",
        params![id, path.to_string_lossy()],
    )?;
    Ok(())
}

/// Frames of an instance in a state, in order of arrival.
pub fn of_instance(
    connection: &Connection,
    instance: &str,
    state: FrameState,
) -> Result<Vec<FrameRecord>, JournalError> {
    query(
        connection,
        "WHERE instance = ?1 AND state = ?2 ORDER BY arrived_at, id",
        &[&instance, &state_name(&state)],
    )
}

/// The next frames an instance has to work on, in order of arrival, at most `limit`.
pub fn next_of_instance(
    connection: &Connection,
    instance: &str,
    limit: u32,
) -> Result<Vec<FrameRecord>, JournalError> {
    query(
        connection,
        "WHERE instance = ?1 AND state = ?2 ORDER BY arrived_at, id LIMIT ?3",
        &[&instance, &state_name(&FrameState::Arrived), &limit],
    )
}

/// How many frames of an instance are in a state.
pub fn count_of_instance(
    connection: &Connection,
    instance: &str,
    state: FrameState,
) -> Result<u64, JournalError> {
    let count: i64 = connection.query_row(
        "SELECT count(*) FROM frames WHERE instance = ?1 AND state = ?2",
        params![instance, state_name(&state)],
        |row| row.get(0),
    )?;
    Ok(count.max(0) as u64)
}

/// The reduced frames of a burst in one instance whose last byte had arrived by `until`, in order of arrival.
pub fn reduced_of_burst(
    connection: &Connection,
    instance: &str,
    burst_id: &str,
    until: UtcTime,
) -> Result<Vec<FrameRecord>, JournalError> {
    query(
        connection,
        "WHERE instance = ?1 AND burst = ?2 AND state = 'reduced' AND arrived_at <= ?3
         ORDER BY arrived_at, id",
        &[&instance, &normalise_burst_id(burst_id), &until.iso_microseconds()],
    )
}

/// Whether a burst has a reduced frame in one instance.
pub fn has_reduced_of_burst(
    connection: &Connection,
    instance: &str,
    burst_id: &str,
) -> Result<bool, JournalError> {
    let found = connection
        .query_row(
            "SELECT 1 FROM frames WHERE instance = ?1 AND burst = ?2 AND state = 'reduced' LIMIT 1",
            params![instance, normalise_burst_id(burst_id)],
            |_| Ok(()),
        )
        .optional()?;
    Ok(found.is_some())
}

/// All frames in order of arrival, newest first, at most `limit`.
pub fn recent(connection: &Connection, limit: u32) -> Result<Vec<FrameRecord>, JournalError> {
    query(connection, "ORDER BY arrived_at DESC, id DESC LIMIT ?1", &[&limit])
}

/// Number of frames by instance and state.
pub fn counts(connection: &Connection) -> Result<Vec<(String, String, u64)>, JournalError> {
    let mut statement = connection.prepare(
        "SELECT instance, state, count(*) FROM frames GROUP BY instance, state ORDER BY 1, 2",
    )?;
    let rows = statement
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get::<_, i64>(2)?.max(0) as u64)))?;
    rows.map(|row| Ok(row?)).collect()
}

/// Stores the provisional list made after a frame.
pub fn save_provisional(
    transaction: &Transaction<'_>,
    burst_id: &str,
    frame_id: i64,
    at: UtcTime,
    candidates: &[ListedCandidate],
) -> Result<(), JournalError> {
    let burst = normalise_burst_id(burst_id);
    transaction.execute(
        "INSERT INTO provisional_lists (burst, frame_id, at, candidates) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (burst, frame_id) DO UPDATE SET at = excluded.at,
             candidates = excluded.candidates",
        params![
            burst,
            frame_id,
            at.iso_microseconds(),
            to_json("provisional_lists", &burst, &candidates)?
        ],
    )?;
    Ok(())
}

/// The newest provisional list of a burst.
pub fn last_provisional(
    connection: &Connection,
    burst_id: &str,
) -> Result<Option<(UtcTime, Vec<ListedCandidate>)>, JournalError> {
    let burst = normalise_burst_id(burst_id);
    let found: Option<(String, String)> = connection
        .query_row(
            "SELECT at, candidates FROM provisional_lists WHERE burst = ?1
             ORDER BY at DESC, frame_id DESC LIMIT 1",
            [&burst],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()?;
    found
        .map(|(at, text)| {
            Ok((
                time_from_text("provisional_lists", &burst, &at)?,
                from_json("provisional_lists", &burst, &text)?,
            ))
        })
        .transpose()
}

type RawFrame = (
    (i64, String, String, String, String),
    (String, String, Option<String>, u32, String, Option<String>),
);

fn raw_frame(row: &Row<'_>) -> rusqlite::Result<RawFrame> {
    Ok((
        (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?),
        (row.get(5)?, row.get(6)?, row.get(7)?, row.get(8)?, row.get(9)?, row.get(10)?),
    ))
}

fn query(
    connection: &Connection,
    condition: &str,
    parameters: &[&dyn rusqlite::ToSql],
) -> Result<Vec<FrameRecord>, JournalError> {
    let mut statement = connection.prepare(&format!(
        "SELECT id, name, data_sha256, path, instance, arrived_at, state, reason, attempts,
                keywords, quality FROM frames {condition}"
    ))?;
    let rows = statement.query_map(parameters, raw_frame)?;
    rows.map(|row| frame_record(row?)).collect()
}

fn frame_record(raw: RawFrame) -> Result<FrameRecord, JournalError> {
    let (
        (id, name, data_sha256, path, instance),
        (arrived_at, state, reason, attempts, keywords, quality),
    ) = raw;
    Ok(FrameRecord {
        id,
        path: PathBuf::from(path),
        instance,
        arrived_at: time_from_text("frames", &name, &arrived_at)?,
        state: state_from_name("frames", &name, &state)?,
        reason,
        attempts,
        keywords: from_json("frames", &name, &keywords)?,
        quality: quality.map(|text| from_json("frames", &name, &text)).transpose()?,
        identity: FrameIdentity { name, data_sha256 },
    })
}
