//! What is due and not done: by this the simulated clock knows that it must stand.

use super::JournalError;
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
    Ok(None)
}
