//! Packets as they came, and what was understood.

use super::{JournalError, from_json, time_from_text, to_json};
use crate::model::{Notice, UtcTime, normalise_burst_id};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use serde::Serialize;

/// A packet to be journaled before it is acknowledged.
#[derive(Debug, Clone)]
pub struct ReceivedPacket {
    pub sha256: String,
    pub received_at: UtcTime,
    pub source: String,
    pub packet: Vec<u8>,
}

/// A packet as the journal holds it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AlertRow {
    pub id: i64,
    pub sha256: String,
    pub received_at: UtcTime,
    pub source: String,
    pub arrivals: u32,
    /// `received`, `applied`, `archived`, `rejected`.
    pub state: String,
    pub reason: Option<String>,
    pub notice: Option<Notice>,
}

/// Stores a packet. Returns its id and whether it is new; the same bytes heard again count as one more arrival.
pub fn insert(
    transaction: &Transaction<'_>,
    packet: &ReceivedPacket,
) -> Result<(i64, bool), JournalError> {
    let known: Option<i64> = transaction
        .query_row("SELECT id FROM alerts WHERE sha256 = ?1", [&packet.sha256], |row| row.get(0))
        .optional()?;
    if let Some(id) = known {
        transaction.execute("UPDATE alerts SET arrivals = arrivals + 1 WHERE id = ?1", [id])?;
        return Ok((id, false));
    }
    transaction.execute(
        "INSERT INTO alerts (sha256, received_at, source, packet, state)
         VALUES (?1, ?2, ?3, ?4, 'received')",
        params![packet.sha256, packet.received_at.iso_microseconds(), packet.source, packet.packet],
    )?;
    Ok((transaction.last_insert_rowid(), true))
}

/// Records what became of a packet: `applied`, `archived` or `rejected`, with the reason where there is one.
pub fn settle(
    transaction: &Transaction<'_>,
    id: i64,
    state: &str,
    reason: Option<&str>,
    notice: Option<&Notice>,
) -> Result<(), JournalError> {
    let text = notice.map(|notice| to_json("alerts", &id.to_string(), notice)).transpose()?;
    transaction.execute(
        "UPDATE alerts SET state = ?2, reason = ?3, notice = ?4, ivorn = ?5, burst_id = ?6,
                packet_name = ?7 WHERE id = ?1",
        params![
            id,
            state,
            reason,
            text,
            notice.map(|notice| &notice.ivorn),
            notice.and_then(|notice| notice.burst_id.as_deref()).map(normalise_burst_id),
            notice.map(|notice| &notice.packet_name),
        ],
    )?;
    Ok(())
}

/// Packets journaled and not yet settled, oldest first: id, time of reception, bytes.
pub fn unsettled(connection: &Connection) -> Result<Vec<(i64, UtcTime, Vec<u8>)>, JournalError> {
    let mut statement = connection.prepare(
        "SELECT id, received_at, packet FROM alerts WHERE state = 'received' ORDER BY id",
    )?;
    let rows = statement.query_map([], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, Vec<u8>>(2)?))
    })?;
    rows.map(|row| {
        let (id, received_at, packet) = row?;
        Ok((id, time_from_text("alerts", &id.to_string(), &received_at)?, packet))
    })
    .collect()
}

/// The newest `limit` packets, newest first.
pub fn recent(connection: &Connection, limit: u32) -> Result<Vec<AlertRow>, JournalError> {
    let mut statement = connection.prepare(
        "SELECT id, sha256, received_at, source, arrivals, state, reason, notice FROM alerts
         ORDER BY id DESC LIMIT ?1",
    )?;
    let rows = statement.query_map([limit], raw_row)?;
    rows.map(|row| alert_row(row?)).collect()
}

/// Whether these bytes were heard before.
pub fn is_known(connection: &Connection, sha256: &str) -> Result<bool, JournalError> {
    let found = connection
        .query_row("SELECT 1 FROM alerts WHERE sha256 = ?1", [sha256], |_| Ok(()))
        .optional()?;
    Ok(found.is_some())
}

/// When the last packet was received.
pub fn last_received_at(connection: &Connection) -> Result<Option<UtcTime>, JournalError> {
    let text: Option<String> =
        connection.query_row("SELECT max(received_at) FROM alerts", [], |row| row.get(0))?;
    text.map(|text| time_from_text("alerts", "last", &text)).transpose()
}

type RawRow = (i64, String, String, String, u32, String, Option<String>, Option<String>);

fn raw_row(row: &Row<'_>) -> rusqlite::Result<RawRow> {
    Ok((
        row.get(0)?,
        row.get(1)?,
        row.get(2)?,
        row.get(3)?,
        row.get(4)?,
        row.get(5)?,
        row.get(6)?,
        row.get(7)?,
    ))
}

fn alert_row(raw: RawRow) -> Result<AlertRow, JournalError> {
    let (id, sha256, received_at, source, arrivals, state, reason, notice) = raw;
    let key = id.to_string();
    Ok(AlertRow {
        id,
        sha256,
        received_at: time_from_text("alerts", &key, &received_at)?,
        source,
        arrivals,
        state,
        reason,
        notice: notice.map(|text| from_json("alerts", &key, &text)).transpose()?,
    })
}
