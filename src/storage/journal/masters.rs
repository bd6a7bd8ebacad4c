//! Calibration masters: which are in force, and what was decided about each.

use super::{JournalError, from_json, to_json};
use crate::model::{Master, UtcTime};
use rusqlite::{Connection, Transaction, params};

/// Stores a master. A valid one takes force and the one of its kind, camera, filter and binning before it becomes old.
pub fn save(
    transaction: &Transaction<'_>,
    master: &Master,
    made_at: UtcTime,
) -> Result<(), JournalError> {
    if master.valid {
        for (old, in_force) in all(transaction)? {
            if in_force && takes_the_place_of(master, &old) {
                transaction
                    .execute("UPDATE masters SET in_force = 0 WHERE sha256 = ?1", [&old.sha256])?;
            }
        }
    }
    transaction.execute(
        "INSERT INTO masters (sha256, kind, instrument, filter, night, in_force, made_at, master)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
         ON CONFLICT (sha256) DO UPDATE SET in_force = excluded.in_force,
             made_at = excluded.made_at, master = excluded.master",
        params![
            master.sha256,
            master.kind.to_string(),
            master.instrument,
            master.filter,
            master.night,
            master.valid,
            made_at.iso_microseconds(),
            to_json("masters", &master.sha256, master)?,
        ],
    )?;
    Ok(())
}

fn takes_the_place_of(new: &Master, old: &Master) -> bool {
    new.kind == old.kind
        && new.instrument == old.instrument
        && new.filter == old.filter
        && new.binning == old.binning
}

/// The masters in force, in a fixed order.
pub fn in_force(connection: &Connection) -> Result<Vec<Master>, JournalError> {
    Ok(all(connection)?
        .into_iter()
        .filter(|(_, in_force)| *in_force)
        .map(|(master, _)| master)
        .collect())
}

/// All masters with whether they are in force: by kind, camera, filter, then age.
pub fn all(connection: &Connection) -> Result<Vec<(Master, bool)>, JournalError> {
    let mut statement = connection.prepare(
        "SELECT sha256, master, in_force FROM masters
         ORDER BY kind, instrument, filter, made_at, sha256",
    )?;
    let rows = statement.query_map([], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, bool>(2)?))
    })?;
    rows.map(|row| {
        let (sha256, text, in_force) = row?;
        Ok((from_json("masters", &sha256, &text)?, in_force))
    })
    .collect()
}
