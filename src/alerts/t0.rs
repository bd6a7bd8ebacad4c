//! T0 of a notice: the rule of interfaces.md §2.

use crate::model::{Notice, T0Source, UtcTime};

/// Instruments that look at a burst afterwards: their detection time is not the burst's.
const FOLLOWING_INSTRUMENTS: [&str; 4] = ["MXT", "VT", "XRT", "UVOT"];

/// T0 of a notice and where it was taken from: `Alert_Seq_T0`, else the start of the time window or `ISOTime` if the
/// instrument saw the burst itself, else the notice's own date, else its reception.
pub fn t0(notice: &Notice, received_at: UtcTime) -> (UtcTime, T0Source) {
    let saw_the_burst = !is_following_instrument(notice);
    let of_the_burst = |time: Option<UtcTime>| time.filter(|_| saw_the_burst);
    [
        (notice.sequence_t0, T0Source::SequenceT0),
        (of_the_burst(notice.window_start), T0Source::WindowStart),
        (of_the_burst(notice.event_time), T0Source::IsoTime),
        (notice.date, T0Source::NoticeDate),
    ]
    .into_iter()
    .find_map(|(time, source)| Some((time?, source)))
    .unwrap_or((received_at, T0Source::Reception))
}

/// Whether a T0 of that source is the time of the burst, and not only a time by which it had happened.
pub fn is_event_time(source: T0Source) -> bool {
    matches!(
        source,
        T0Source::SequenceT0 | T0Source::WindowStart | T0Source::IsoTime | T0Source::FrameHeader
    )
}

/// By the instrument the packet names; an SVOM packet that names none is judged by its name (`mxt-…`, `vt-…`), and only
/// ECLAIRs and GRM, which see bursts, are believed.
fn is_following_instrument(notice: &Notice) -> bool {
    let named = match &notice.instrument {
        Some(instrument) => instrument.trim().to_ascii_uppercase(),
        None => notice.packet_name.split('-').next().unwrap_or_default().to_ascii_uppercase(),
    };
    if notice.mission.eq_ignore_ascii_case("SVOM") {
        return !matches!(named.as_str(), "ECLAIRS" | "ECL" | "GRM");
    }
    FOLLOWING_INSTRUMENTS.contains(&named.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerts::fixtures;

    fn time(text: &str) -> UtcTime {
        UtcTime::parse(text).unwrap()
    }

    fn received() -> UtcTime {
        time("2026-11-01T04:00:00Z")
    }

    #[test]
    fn the_best_source_wins() {
        let mut notice = fixtures::notice("eclairs-wakeup");
        let mut expect = |change: fn(&mut Notice), instant: &str, source: T0Source| {
            change(&mut notice);
            assert_eq!(t0(&notice, received()), (time(instant), source));
        };
        expect(|_| {}, "2026-11-01T03:13:31.5", T0Source::SequenceT0);
        expect(|notice| notice.sequence_t0 = None, "2026-11-01T03:13:30.25", T0Source::WindowStart);
        expect(|notice| notice.window_start = None, "2026-11-01T03:13:30.25", T0Source::IsoTime);
        expect(|notice| notice.event_time = None, "2026-11-01T03:15:05", T0Source::NoticeDate);
        expect(|notice| notice.date = None, "2026-11-01T04:00:00", T0Source::Reception);
    }

    #[test]
    fn the_time_of_mxt_and_vt_is_never_the_bursts() {
        let notice = fixtures::notice("mxt-initial");
        assert!(notice.event_time.is_some() && notice.sequence_t0.is_none());
        let expected = (time("2026-11-01T03:23:30"), T0Source::NoticeDate);
        assert_eq!(t0(&notice, received()), expected);
        let unnamed = Notice { instrument: None, ..notice };
        assert_eq!(t0(&unnamed, received()), expected);
        let visible = Notice { instrument: Some("VT".into()), ..unnamed };
        assert_eq!(t0(&visible, received()), expected);
    }

    #[test]
    fn an_x_ray_telescope_of_another_mission_is_no_better() {
        assert_eq!(t0(&fixtures::notice("version-1.1"), received()).1, T0Source::NoticeDate);
    }
}
