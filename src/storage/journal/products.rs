//! Products, the outbox, and receipts.

use super::{JournalError, from_json, time_from_text, to_json};
use crate::model::{
    DeadlineName, DeliveryStatus, ProductKey, ProductRecord, Receipt, UtcTime, normalise_burst_id,
};
use rusqlite::{Connection, Row, Transaction, params};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// A product and how its delivery stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ProductRow {
    #[serde(flatten)]
    pub record: ProductRecord,
    /// `waiting`, `delivered`, `refused`.
    pub delivery: Option<String>,
    pub attempts: u32,
    pub last_error: Option<String>,
    pub receipt: Option<Receipt>,
}

/// Reserves a product before it is made, and returns its DATE: the one journaled first stands.
pub fn reserve(
    transaction: &Transaction<'_>,
    key: &ProductKey,
    date: UtcTime,
) -> Result<UtcTime, JournalError> {
    let name = key.to_string();
    transaction.execute(
        "INSERT OR IGNORE INTO products (key, burst, card, deadline, version, date)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![
            name,
            normalise_burst_id(&key.burst_id),
            key.card,
            key.deadline.to_string(),
            key.processing_version,
            date.iso_microseconds(),
        ],
    )?;
    let text: String =
        transaction
            .query_row("SELECT date FROM products WHERE key = ?1", [&name], |row| row.get(0))?;
    time_from_text("products", &name, &text)
}

/// The file is in place: it goes into the outbox in the same transaction.
pub fn set_made(
    transaction: &Transaction<'_>,
    key: &ProductKey,
    path: &Path,
    sha256: &str,
) -> Result<(), JournalError> {
    let name = key.to_string();
    transaction.execute(
        "UPDATE products SET path = ?2, sha256 = ?3 WHERE key = ?1",
        params![name, path.to_string_lossy(), sha256],
    )?;
    transaction
        .execute("INSERT OR IGNORE INTO deliveries (key, state) VALUES (?1, 'waiting')", [&name])?;
    Ok(())
}

/// Products that wait for their delivery, in the order they were made.
pub fn outbox(connection: &Connection) -> Result<Vec<ProductRow>, JournalError> {
    query(connection, "WHERE d.state = 'waiting' ORDER BY p.rowid", &[])
}

/// Number of products that wait for their delivery.
pub fn outbox_depth(connection: &Connection) -> Result<u64, JournalError> {
    let count: i64 = connection.query_row(
        "SELECT count(*) FROM deliveries WHERE state = 'waiting'",
        [],
        |row| row.get(0),
    )?;
    Ok(count.max(0) as u64)
}

/// DATE of the product that has waited longest for its delivery.
pub fn outbox_since(connection: &Connection) -> Result<Option<UtcTime>, JournalError> {
    let oldest: Option<String> = connection.query_row(
        "SELECT min(p.date) FROM products p JOIN deliveries d ON d.key = p.key
         WHERE d.state = 'waiting'",
        [],
        |row| row.get(0),
    )?;
    oldest.map(|text| time_from_text("products", "outbox", &text)).transpose()
}

/// One more attempt failed; the product stays in the outbox.
pub fn set_attempt_failed(
    transaction: &Transaction<'_>,
    key: &ProductKey,
    error: &str,
) -> Result<(), JournalError> {
    transaction.execute(
        "UPDATE deliveries SET attempts = attempts + 1, last_error = ?2 WHERE key = ?1",
        params![key.to_string(), error],
    )?;
    Ok(())
}

/// The receiving side answered for good. Returns whether this was the last open delivery of its deadline.
pub fn set_answered(
    transaction: &Transaction<'_>,
    key: &ProductKey,
    receipt: &Receipt,
    at: UtcTime,
) -> Result<bool, JournalError> {
    let name = key.to_string();
    let state = match receipt.status {
        DeliveryStatus::Stored | DeliveryStatus::Duplicate => "delivered",
        DeliveryStatus::Refused => "refused",
    };
    transaction.execute(
        "UPDATE deliveries SET state = ?2, attempts = attempts + 1, last_error = ?3, receipt = ?4,
                delivered_at = ?5 WHERE key = ?1 AND state = 'waiting'",
        params![
            name,
            state,
            receipt.reason,
            to_json("deliveries", &name, receipt)?,
            at.iso_microseconds(),
        ],
    )?;
    let open: i64 = transaction.query_row(
        "SELECT count(*) FROM products p LEFT JOIN deliveries d ON d.key = p.key
         WHERE p.burst = ?1 AND p.deadline = ?2 AND coalesce(d.state, 'waiting') = 'waiting'",
        params![normalise_burst_id(&key.burst_id), key.deadline.to_string()],
        |row| row.get(0),
    )?;
    Ok(open == 0)
}

/// The products of a burst, in the order they were made.
pub fn of_burst(connection: &Connection, burst_id: &str) -> Result<Vec<ProductRow>, JournalError> {
    query(connection, "WHERE p.burst = ?1 ORDER BY p.rowid", &[&normalise_burst_id(burst_id)])
}

/// One product.
pub fn find(connection: &Connection, key: &ProductKey) -> Result<Option<ProductRow>, JournalError> {
    let found = query(connection, "WHERE p.key = ?1", &[&key.to_string()])?;
    Ok(found.into_iter().next())
}

/// Number of receipts by status.
pub fn receipt_counts(connection: &Connection) -> Result<Vec<(String, u64)>, JournalError> {
    let mut statement = connection
        .prepare("SELECT state, count(*) FROM deliveries GROUP BY state ORDER BY state")?;
    let rows =
        statement.query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?.max(0) as u64)))?;
    rows.map(|row| Ok(row?)).collect()
}

type RawProduct = (
    (String, String, String, String, u32, String),
    (Option<String>, Option<String>, Option<String>, Option<u32>, Option<String>, Option<String>),
);

fn raw_product(row: &Row<'_>) -> rusqlite::Result<RawProduct> {
    Ok((
        (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?),
        (row.get(6)?, row.get(7)?, row.get(8)?, row.get(9)?, row.get(10)?, row.get(11)?),
    ))
}

fn query(
    connection: &Connection,
    condition: &str,
    parameters: &[&dyn rusqlite::ToSql],
) -> Result<Vec<ProductRow>, JournalError> {
    let mut statement = connection.prepare(&format!(
        "SELECT p.key, coalesce((SELECT json_extract(t.trigger, '$.burst_id') FROM triggers t
                                 WHERE t.burst = p.burst), p.burst),
                p.card, p.deadline, p.version, p.date, p.path, p.sha256, d.state, d.attempts,
                d.last_error, d.receipt
         FROM products p LEFT JOIN deliveries d ON d.key = p.key {condition}"
    ))?;
    let rows = statement.query_map(parameters, raw_product)?;
    rows.map(|row| product_row(row?)).collect()
}

fn product_row(raw: RawProduct) -> Result<ProductRow, JournalError> {
    let (
        (key, burst_id, card, deadline, version, date),
        (path, sha256, delivery, attempts, last_error, receipt),
    ) = raw;
    let deadline = deadline.parse::<DeadlineName>().map_err(|error| JournalError::Damaged {
        table: "products",
        key: key.clone(),
        what: error.to_string(),
    })?;
    Ok(ProductRow {
        record: ProductRecord {
            key: ProductKey { burst_id, card, deadline, processing_version: version },
            path: PathBuf::from(path.unwrap_or_default()),
            sha256: sha256.unwrap_or_default(),
            date: time_from_text("products", &key, &date)?,
        },
        delivery,
        attempts: attempts.unwrap_or(0),
        last_error,
        receipt: receipt.map(|text| from_json("deliveries", &key, &text)).transpose()?,
    })
}
