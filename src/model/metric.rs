//! Names of the metrics, in one place: base units, `_total` for counters (Prometheus naming practice).

/// Packets received, by `source` and `result` (new, duplicate, rejected).
pub const ALERTS_RECEIVED: &str = "gic_alerts_received_total";
/// Unix time of the last packet received.
pub const ALERT_LAST_RECEIVED: &str = "gic_alert_last_received_timestamp_seconds";
/// Clock seconds since the last packet was received.
pub const ALERT_AGE: &str = "gic_alert_age_seconds";
/// Wall seconds from the last byte of a packet to its acknowledgement.
pub const ALERT_ACKNOWLEDGE: &str = "gic_alert_acknowledge_seconds";
/// Brokers to be followed that there is no connection to.
pub const ALERT_BROKERS_AWAY: &str = "gic_alert_brokers_away";
/// Frames by `instance` and `result` (reduced, failed, quarantined, ignored, combined).
pub const FRAMES: &str = "gic_frames_total";
/// Files in the watched directory at the last look, by `what` (queued, incomplete, settled, left-alone).
pub const WATCHED_FILES: &str = "gic_watched_files";
/// Wall seconds from the last byte of a frame to its journaled result, by `instance`.
pub const FRAME_LATENCY: &str = "gic_frame_latency_seconds";
/// Work waiting, by `queue` (an instance's frames, the outbox, a pool).
pub const QUEUE_DEPTH: &str = "gic_queue_depth";
/// Wall seconds from a deadline's instant to its last receipt, by `deadline`.
pub const DEADLINE_LATENESS: &str = "gic_deadline_lateness_seconds";
/// Products by `card` and `result` (made, delivered, refused).
pub const PRODUCTS: &str = "gic_products_total";
/// Upload attempts by `result` (accepted, refused, failed).
pub const UPLOADS: &str = "gic_uploads_total";
/// Products waiting for their receipt.
pub const OUTBOX_DEPTH: &str = "gic_outbox_depth";
/// Restarts of actors, by `actor` and `cause` (panic, stop, hang).
pub const ACTOR_RESTARTS: &str = "gic_actor_restarts_total";
/// 1 while an actor runs, by `actor`.
pub const ACTOR_UP: &str = "gic_actor_up";
/// Wall seconds since an actor last answered, by `actor`.
pub const ACTOR_ANSWER_AGE: &str = "gic_actor_answer_age_seconds";
/// Telemetry messages dropped on a full mailbox, by `receiver`.
pub const MESSAGES_DROPPED: &str = "gic_messages_dropped_total";
/// Hung worker threads that were replaced.
pub const WORKERS_REPLACED: &str = "gic_workers_replaced_total";
/// Masters by `kind` and `result` (promoted, rejected).
pub const MASTERS: &str = "gic_masters_total";
/// Status files written.
pub const STATUS_FILES: &str = "gic_status_files_total";

/// Clock seconds that the oldest product in the outbox has waited.
pub const OUTBOX_AGE: &str = "gic_outbox_age_seconds";
/// Bytes an ordinary user can still write in the data directory.
pub const DATA_FREE_BYTES: &str = "gic_data_free_bytes";
/// Files that can still be made in the data directory.
pub const DATA_FREE_INODES: &str = "gic_data_free_inodes";
/// Seconds by which the controller's clock is ahead of the system's, which was put back.
pub const CLOCK_CORRECTION: &str = "gic_clock_correction_seconds";

/// Lines that could not be written to the log file.
pub const LOG_LINES_LOST: &str = "gic_log_lines_lost_total";

/// What each metric means: name, sort, help text. The sort is `counter`, `gauge` or `histogram`.
pub const DESCRIPTIONS: [(&str, &str, &str); 26] = [
    (ALERTS_RECEIVED, "counter", "Packets received, by source and result"),
    (ALERT_LAST_RECEIVED, "gauge", "Unix time of the last packet received"),
    (ALERT_AGE, "gauge", "Seconds of clock time since the last packet was received"),
    (ALERT_ACKNOWLEDGE, "histogram", "Wall seconds from a packet's last byte to its ack"),
    (ALERT_BROKERS_AWAY, "gauge", "Brokers to be followed that there is no connection to"),
    (FRAMES, "counter", "Frames by instance and result"),
    (WATCHED_FILES, "gauge", "Files in the watched directory at the last look, by what they are"),
    (FRAME_LATENCY, "histogram", "Wall seconds from a frame's last byte to its result"),
    (QUEUE_DEPTH, "gauge", "Work waiting, by queue"),
    (DEADLINE_LATENESS, "histogram", "Wall seconds from a deadline's instant to its last receipt"),
    (PRODUCTS, "counter", "Products by card and result"),
    (UPLOADS, "counter", "Upload attempts by result"),
    (OUTBOX_DEPTH, "gauge", "Products waiting for their receipt"),
    (ACTOR_RESTARTS, "counter", "Restarts of actors, by actor and cause"),
    (ACTOR_UP, "gauge", "1 while an actor runs"),
    (MESSAGES_DROPPED, "counter", "Telemetry messages dropped on a full mailbox"),
    (WORKERS_REPLACED, "counter", "Hung worker threads that were replaced"),
    (MASTERS, "counter", "Calibration masters by kind and result"),
    (STATUS_FILES, "counter", "Status files written"),
    (ACTOR_ANSWER_AGE, "gauge", "Wall seconds since an actor last answered"),
    (OUTBOX_AGE, "gauge", "Seconds the oldest product has waited for its receipt"),
    (DATA_FREE_BYTES, "gauge", "Bytes free where the data lie"),
    (DATA_FREE_INODES, "gauge", "Files that can still be made where the data lie"),
    (CLOCK_CORRECTION, "gauge", "Seconds by which the clock is ahead of the system's"),
    (LOG_LINES_LOST, "counter", "Lines that could not be written to the log file"),
    ("gic_build_info", "gauge", "Version of the program, always 1"),
];
