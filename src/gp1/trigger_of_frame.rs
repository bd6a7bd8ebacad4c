//! A trigger from the cards of a frame, where no notice opened one (interfaces.md §3).

use crate::fits::Header;
use crate::model::{
    FrameRecord, PositionEstimate, SkyPosition, T0Source, Trigger, TriggerOrigin, TriggerState,
    UtcTime,
};

/// ALEVT gives T0, else the start of the exposure; ALRA, ALDE and ALUN (degrees) the search region. A frame without a trigger's
/// name gives it that of its programme or target.
pub fn trigger_of_frame(header: &Header, record: &FrameRecord) -> Trigger {
    let event = header.text("ALEVT").and_then(|text| UtcTime::parse(&text).ok());
    let position = header
        .number("ALRA")
        .zip(header.number("ALDE"))
        .filter(|(ra, dec)| ra.is_finite() && dec.abs() <= 90.0)
        .map(|(ra, dec)| PositionEstimate {
            position: SkyPosition::new(ra, dec),
            radius_degrees: header.number("ALUN").filter(|radius| *radius > 0.0),
        });
    let burst_id = super::workspace::group_of(&record.keywords, None);
    Trigger {
        state: TriggerState::Open,
        revision: 0,
        origin: TriggerOrigin::FrameHeader,
        t0: event.unwrap_or(record.keywords.date_obs),
        t0_source: T0Source::FrameHeader,
        opened_at: record.arrived_at,
        best_position: position,
        slewing: None,
        name: header.text("ALNM").unwrap_or_else(|| burst_id.clone()),
        burst_id,
        notices: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{FrameIdentity, FrameKeywords, FrameKind, FrameState};

    fn record() -> FrameRecord {
        FrameRecord {
            id: 0,
            identity: FrameIdentity { name: "f".into(), data_sha256: String::new() },
            path: "f.fits".into(),
            keywords: FrameKeywords {
                kind: FrameKind::Object,
                trigger_id: Some("sb929744".into()),
                observer: None,
                object: None,
                instrument: "C0".into(),
                filter: "w".into(),
                exposure_seconds: 60.0,
                date_obs: UtcTime::parse("2019-10-16T04:20:01").unwrap(),
                pointing: None,
                gain_electrons: None,
                read_noise_electrons: None,
                saturation: None,
                binning: 1,
                size_pixels: (8, 8),
                camera: Default::default(),
            },
            instance: "svom".into(),
            arrived_at: UtcTime::parse("2019-10-16T04:21:01").unwrap(),
            state: FrameState::Arrived,
            reason: None,
            attempts: 0,
            quality: None,
        }
    }

    #[test]
    fn the_alert_cards_of_the_telescope_are_understood() {
        let mut header = Header::new();
        header.set("ALEVT", "2019-10-16T04:18:00.000", "");
        header.set("ALRA", 30.296, "");
        header.set("ALDE", 24.501, "");
        header.set("ALUN", 0.05, "");
        let trigger = trigger_of_frame(&header, &record());
        assert_eq!(trigger.burst_id, "929744");
        assert_eq!(trigger.t0, UtcTime::parse("2019-10-16T04:18:00").unwrap());
        assert_eq!(trigger.best_position.unwrap().radius_degrees, Some(0.05));
    }

    #[test]
    fn without_them_the_first_exposure_is_all_there_is() {
        let trigger = trigger_of_frame(&Header::new(), &record());
        assert_eq!(trigger.t0, record().keywords.date_obs);
        assert_eq!(trigger.best_position, None);
    }
}
