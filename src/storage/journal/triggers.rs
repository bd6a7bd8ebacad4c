//! Triggers and their deadlines.

use super::{JournalError, from_json, state_from_name, state_name, time_from_text, to_json};
use crate::model::{Deadline, DeadlineName, DeadlineState, Trigger, UtcTime, normalise_burst_id};
use rusqlite::{Connection, OptionalExtension, Transaction, params};

/// Stores the merged view of a burst.
pub fn save(transaction: &Transaction<'_>, trigger: &Trigger) -> Result<(), JournalError> {
    let burst = normalise_burst_id(&trigger.burst_id);
    transaction.execute(
        "INSERT INTO triggers (burst, revision, state, t0, opened_at, trigger)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (burst) DO UPDATE SET revision = excluded.revision, state = excluded.state,
             t0 = excluded.t0, trigger = excluded.trigger",
        params![
            burst,
            trigger.revision,
            state_name(&trigger.state),
            trigger.t0.iso_microseconds(),
            trigger.opened_at.iso_microseconds(),
            to_json("triggers", &burst, trigger)?,
        ],
    )?;
    Ok(())
}

/// The trigger of a burst, in any spelling of its id.
pub fn find(connection: &Connection, burst_id: &str) -> Result<Option<Trigger>, JournalError> {
    let burst = normalise_burst_id(burst_id);
    let text: Option<String> = connection
        .query_row("SELECT trigger FROM triggers WHERE burst = ?1", [&burst], |row| row.get(0))
        .optional()?;
    text.map(|text| from_json("triggers", &burst, &text)).transpose()
}

/// All triggers, newest first.
pub fn all(connection: &Connection) -> Result<Vec<Trigger>, JournalError> {
    let mut statement =
        connection.prepare("SELECT burst, trigger FROM triggers ORDER BY opened_at DESC")?;
    let rows =
        statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?;
    rows.map(|row| {
        let (burst, text) = row?;
        from_json("triggers", &burst, &text)
    })
    .collect()
}

/// Stores deadlines: new ones are added; one that is still planned takes the new instant, state and cause;
/// one that has begun is left alone.
pub fn plan_deadlines(
    transaction: &Transaction<'_>,
    deadlines: &[Deadline],
) -> Result<(), JournalError> {
    for deadline in deadlines {
        transaction.execute(
            "INSERT INTO deadlines (burst, name, due_at, state, cause) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (burst, name) DO UPDATE SET due_at = excluded.due_at,
                 state = excluded.state, cause = excluded.cause WHERE state = 'planned'",
            params![
                normalise_burst_id(&deadline.burst_id),
                deadline.name.to_string(),
                deadline.due_at.iso_microseconds(),
                state_name(&deadline.state),
                deadline.cause,
            ],
        )?;
    }
    Ok(())
}

/// Moves a deadline forward; a step back is ignored, so that repeating a step does no harm.
pub fn advance_deadline(
    transaction: &Transaction<'_>,
    burst_id: &str,
    name: DeadlineName,
    state: DeadlineState,
) -> Result<bool, JournalError> {
    let burst = normalise_burst_id(burst_id);
    let Some(known) = deadline(transaction, &burst, name)? else { return Ok(false) };
    if known.state >= state {
        return Ok(false);
    }
    transaction.execute(
        "UPDATE deadlines SET state = ?3 WHERE burst = ?1 AND name = ?2",
        params![burst, name.to_string(), state_name(&state)],
    )?;
    Ok(true)
}

/// Cancels the deadlines of a burst that have not begun.
pub fn cancel_planned(
    transaction: &Transaction<'_>,
    burst_id: &str,
    cause: &str,
) -> Result<usize, JournalError> {
    let count = transaction.execute(
        "UPDATE deadlines SET state = 'cancelled', cause = ?2 WHERE burst = ?1 AND state = 'planned'",
        params![normalise_burst_id(burst_id), cause],
    )?;
    Ok(count)
}

/// Notes how late the last receipt of a deadline was, in wall seconds.
pub fn set_lateness(
    transaction: &Transaction<'_>,
    burst_id: &str,
    name: DeadlineName,
    seconds: f64,
) -> Result<(), JournalError> {
    transaction.execute(
        "UPDATE deadlines SET lateness_seconds = ?3 WHERE burst = ?1 AND name = ?2",
        params![normalise_burst_id(burst_id), name.to_string(), seconds],
    )?;
    Ok(())
}

/// One deadline.
pub fn deadline(
    connection: &Connection,
    burst_id: &str,
    name: DeadlineName,
) -> Result<Option<Deadline>, JournalError> {
    let burst = normalise_burst_id(burst_id);
    let found = deadlines_of(connection, &burst)?;
    Ok(found.into_iter().find(|(deadline, _)| deadline.name == name).map(|(deadline, _)| deadline))
}

/// The deadlines of a burst with the lateness of each, in order of their instants.
pub fn deadlines_of(
    connection: &Connection,
    burst_id: &str,
) -> Result<Vec<(Deadline, Option<f64>)>, JournalError> {
    query_deadlines(connection, "WHERE burst = ?1", &[&normalise_burst_id(burst_id)])
}

/// All deadlines in a state, in order of their instants.
pub fn deadlines_in(
    connection: &Connection,
    state: DeadlineState,
) -> Result<Vec<Deadline>, JournalError> {
    let rows = query_deadlines(connection, "WHERE state = ?1", &[&state_name(&state)])?;
    Ok(rows.into_iter().map(|(deadline, _)| deadline).collect())
}

/// The triggers whose deadlines are all over and which are not closed yet, each with its last deadline.
pub fn to_be_closed(connection: &Connection) -> Result<Vec<Deadline>, JournalError> {
    let mut statement = connection.prepare(
        "SELECT t.burst FROM triggers t WHERE t.state NOT IN ('closed', 'retracted')
         AND EXISTS (SELECT 1 FROM deadlines d WHERE d.burst = t.burst)
         AND NOT EXISTS (SELECT 1 FROM deadlines d WHERE d.burst = t.burst
                         AND d.state NOT IN ('delivered', 'cancelled'))
         ORDER BY t.burst",
    )?;
    let bursts = statement.query_map([], |row| row.get::<_, String>(0))?;
    let mut last_deadlines = Vec::new();
    for burst in bursts {
        last_deadlines.extend(deadlines_of(connection, &burst?)?.pop().map(|(last, _)| last));
    }
    Ok(last_deadlines)
}

fn query_deadlines(
    connection: &Connection,
    condition: &str,
    parameters: &[&dyn rusqlite::ToSql],
) -> Result<Vec<(Deadline, Option<f64>)>, JournalError> {
    let mut statement = connection.prepare(&format!(
        "SELECT burst, name, due_at, state, cause, lateness_seconds FROM deadlines {condition}
         ORDER BY due_at, name"
    ))?;
    let rows = statement.query_map(parameters, |row| {
        Ok((
            row.get::<_, String>(0)?,
            row.get::<_, String>(1)?,
            row.get::<_, String>(2)?,
            row.get::<_, String>(3)?,
            row.get::<_, Option<String>>(4)?,
            row.get::<_, Option<f64>>(5)?,
        ))
    })?;
    rows.map(|row| {
        let (burst, name, due_at, state, cause, lateness) = row?;
        let key = format!("{burst} {name}");
        let parsed = name.parse::<DeadlineName>().map_err(|error| JournalError::Damaged {
            table: "deadlines",
            key: key.clone(),
            what: error.to_string(),
        })?;
        let due_at: UtcTime = time_from_text("deadlines", &key, &due_at)?;
        let state = state_from_name("deadlines", &key, &state)?;
        Ok((Deadline { burst_id: burst, name: parsed, due_at, state, cause }, lateness))
    })
    .collect()
}
