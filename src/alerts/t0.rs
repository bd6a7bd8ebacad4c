//! Which instant of a notice is T0 (interfaces.md §2).

use crate::model::{Notice, T0Source, UtcTime};

/// `Alert_Seq_T0` if present; else the start of the time window, or ISOTime, of an ECLAIRs or GRM packet (never of MXT or VT, whose
/// times are those of their own detection); else the notice's date; else its reception.
pub fn t0(notice: &Notice, received_at: UtcTime) -> (UtcTime, T0Source) {
    if let Some(instant) = notice.sequence_t0 {
        return (instant, T0Source::SequenceT0);
    }
    if sees_the_burst_itself(notice) {
        if let Some(instant) = notice.window_start {
            return (instant, T0Source::WindowStart);
        }
        if let Some(instant) = notice.event_time {
            return (instant, T0Source::IsoTime);
        }
    }
    match notice.date {
        Some(instant) => (instant, T0Source::NoticeDate),
        None => (received_at, T0Source::Reception),
    }
}

/// Gamma-ray instruments see the burst; the others look at its afterglow later.
fn sees_the_burst_itself(notice: &Notice) -> bool {
    let instrument = notice.instrument.as_deref().unwrap_or_default().to_ascii_uppercase();
    let is_late = ["MXT", "VT"].contains(&instrument.as_str())
        || notice.packet_name.starts_with("mxt")
        || notice.packet_name.starts_with("vt");
    !is_late
}
