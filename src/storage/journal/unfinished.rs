//! What is due and not done: by this the simulated clock knows that it must stand.

use super::{JournalError, triggers};
use crate::model::UtcTime;
use rusqlite::Connection;

/// Names the first kind of work that is due at or before `now` and not finished, or nothing. Calibration frames wait for
/// the calibration master's own instant, and a catch-up deadline for its first frame: they hold nobody.
pub fn first(connection: &Connection, now: UtcTime) -> Result<Option<String>, JournalError> {
    let checks = [
        ("alerts to be understood", "SELECT count(*) FROM alerts WHERE state = 'received'"),
        (
            "frames to be reduced",
            "SELECT count(*) FROM frames WHERE state = 'arrived' AND instance <> 'calibration'",
        ),
        (
            "deadlines to be served",
            "SELECT count(*) FROM deadlines d WHERE d.due_at <= ?1
             AND (d.state IN ('analysed', 'produced')
                  OR (d.state IN ('planned', 'due')
                      AND (d.cause IS NULL OR EXISTS (SELECT 1 FROM frames f
                           WHERE f.burst = d.burst AND f.state = 'reduced'))))",
        ),
        ("products to be delivered", "SELECT count(*) FROM deliveries WHERE state = 'waiting'"),
    ];
    for (what, query) in checks {
        let count: i64 = if query.contains("?1") {
            connection.query_row(query, [now.iso_microseconds()], |row| row.get(0))?
        } else {
            connection.query_row(query, [], |row| row.get(0))?
        };
        if count > 0 {
            return Ok(Some(format!("{count} {what}")));
        }
    }
    let open = triggers::to_be_closed(connection)?;
    if !open.is_empty() {
        return Ok(Some(format!("{} triggers to be closed", open.len())));
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{
            Deadline, DeadlineName, DeadlineState, T0Source, Trigger, TriggerOrigin, TriggerState,
        },
        storage::journal::{Journal, triggers},
    };

    #[test]
    fn a_trigger_whose_deadlines_are_over_is_work_until_it_is_closed() {
        let directory = tempfile::tempdir().unwrap();
        let journal = Journal::open(&directory.path().join("gic.sqlite")).unwrap();
        let t0 = UtcTime::parse("2026-11-02T04:18:00Z").unwrap();
        let mut trigger = Trigger {
            burst_id: "sb26110201".into(),
            state: TriggerState::Open,
            revision: 1,
            origin: TriggerOrigin::Notice,
            t0,
            t0_source: T0Source::SequenceT0,
            opened_at: t0,
            best_position: None,
            slewing: None,
            name: String::new(),
            notices: Vec::new(),
        };
        let deadline = Deadline {
            burst_id: trigger.burst_id.clone(),
            name: DeadlineName::First,
            due_at: t0.plus_seconds(270.0),
            state: DeadlineState::Planned,
            cause: None,
        };
        let stored = trigger.clone();
        let change = move |t: &rusqlite::Transaction<'_>| {
            triggers::save(t, &stored)?;
            triggers::plan_deadlines(t, &[deadline])
        };
        journal.write_blocking(change).unwrap();
        let work = |journal: &Journal| journal.read_blocking(move |c| first(c, t0)).unwrap();
        assert_eq!(work(&journal), None, "the deadline is still to come");
        let over = |t: &rusqlite::Transaction<'_>| {
            triggers::advance_deadline(t, "26110201", DeadlineName::First, DeadlineState::Delivered)
        };
        journal.write_blocking(over).unwrap();
        assert_eq!(work(&journal).as_deref(), Some("1 triggers to be closed"));
        trigger.state = TriggerState::Closed;
        journal.write_blocking(move |t| triggers::save(t, &trigger)).unwrap();
        assert_eq!(work(&journal), None);
    }
}
