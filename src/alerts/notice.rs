//! From a packet to a [`Notice`]: which mission sent it, what kind it is, which burst it is about.

use super::{packet_table::PacketTable, voevent::VoEvent};
use crate::model::{Notice, UtcTime};
use std::collections::BTreeMap;

/// Parameters that hold the identity of a burst, best first: SVOM, the GCN missions, IGWN, IceCube.
const BURST_ID_PARAMETERS: [&str; 5] = ["Burst_Id", "TrigID", "GraceID", "AMON_ID", "event_id"];
const OBSERVATION_ID_PARAMETERS: [&str; 3] = ["Obs_Id", "Observation_Id", "ObsId"];

/// Reads a packet as the table says. Never fails: a packet of an unknown mission or type becomes a notice that is
/// archived only.
pub fn notice(event: &VoEvent, table: &PacketTable) -> Notice {
    let mission = mission_of(&event.ivorn);
    let packet_type = event.parameter("Packet_Type").and_then(|text| text.parse().ok());
    let kind = table.kind(&mission, packet_type);
    let text = |name: &str| event.parameter(name).map(str::to_owned);
    let time = |name: &str| event.parameter(name).and_then(|text| UtcTime::parse(text).ok());
    let first_of = |names: &[&str]| names.iter().find_map(|name| text(name));
    Notice {
        ivorn: event.ivorn.clone(),
        role: event.role,
        packet_type,
        packet_name: kind.name,
        effect: kind.effect,
        instrument: text("Instrument").or_else(|| instrument_of(&mission, &event.ivorn)),
        burst_id: first_of(&BURST_ID_PARAMETERS),
        observation_id: first_of(&OBSERVATION_ID_PARAMETERS),
        notice_level: text("Notice_Level"),
        date: event.date,
        event_time: event.iso_time,
        sequence_t0: time("Alert_Seq_T0"),
        window_start: time("Time_Window_Start"),
        window_end: time("Time_Window_End"),
        position: event.position,
        slew_status: text("Slew_Status"),
        importance: event.importance.or(event.probability),
        citations: event.citations.clone(),
        parameters: parameters_of(event),
        mission,
    }
}

/// Mission of an identifier: by authority, and by the first part of the resource where an authority speaks for many.
fn mission_of(ivorn: &str) -> String {
    let rest = ivorn.strip_prefix("ivo://").unwrap_or(ivorn);
    let (path, _local) = rest.split_once('#').unwrap_or((rest, ""));
    let (authority, resource) = path.split_once('/').unwrap_or((path, ""));
    let first_of_resource = resource.split('/').next().unwrap_or_default();
    match authority.to_ascii_lowercase().as_str() {
        "org.svom" | "svom.lal.in2p3.fr" => "SVOM".to_owned(),
        "gwnet" => "IGWN".to_owned(),
        _ => match first_of_resource.to_ascii_lowercase().as_str() {
            "swift" => "Swift".to_owned(),
            "fermi" => "Fermi".to_owned(),
            "lvc" => "IGWN".to_owned(),
            "amon" | "icecube" => "IceCube".to_owned(),
            "" => authority.to_owned(),
            _ => first_of_resource.to_owned(),
        },
    }
}

/// Instrument of a packet that names none: GCN writes it at the beginning of the local part (`BAT_GRB_Pos_…`).
fn instrument_of(mission: &str, ivorn: &str) -> Option<String> {
    let (_, local) = ivorn.split_once('#')?;
    let first = local.split('_').next().filter(|first| !first.is_empty())?;
    matches!(mission, "Swift" | "Fermi").then(|| first.to_owned())
}

/// By `Group/Name`; of two of the same name the first counts.
fn parameters_of(event: &VoEvent) -> BTreeMap<String, String> {
    let mut parameters = BTreeMap::new();
    for parameter in event.parameters.iter().filter(|parameter| !parameter.name.is_empty()) {
        parameters.entry(parameter.path()).or_insert_with(|| parameter.value.clone());
    }
    parameters
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerts::fixtures;
    use crate::model::NoticeEffect;

    #[test]
    fn a_wakeup_becomes_a_notice() {
        let notice = fixtures::notice("eclairs-wakeup");
        assert_eq!(notice.mission, "SVOM");
        assert_eq!(notice.packet_type, Some(202));
        assert_eq!(notice.packet_name, "eclairs-wakeup");
        assert_eq!(notice.effect, NoticeEffect::Opens);
        assert_eq!(notice.instrument.as_deref(), Some("ECLAIRs"));
        assert_eq!(notice.burst_id.as_deref(), Some("sb26110101"));
        assert_eq!(notice.notice_level.as_deref(), Some("N1e"));
        assert_eq!(notice.sequence_t0, UtcTime::parse("2026-11-01T03:13:31.5").ok());
        assert_eq!(notice.window_start, UtcTime::parse("2026-11-01T03:13:30.25").ok());
        assert_eq!(notice.window_end, UtcTime::parse("2026-11-01T03:13:40.45").ok());
        assert_eq!(notice.slew_status.as_deref(), Some("requested"));
        assert_eq!(notice.parameters["Detection_Info/SNR"], "9.10");
        assert_eq!(notice.parameters["Packet_Type"], "202");
    }

    #[test]
    fn a_packet_of_unknown_type_is_archived_and_named_after_it() {
        let notice = fixtures::notice("unknown-type");
        assert_eq!(notice.packet_name, "svomunknown298");
        assert_eq!(notice.effect, NoticeEffect::ArchiveOnly);
    }

    #[test]
    fn a_packet_without_any_identity_has_none() {
        let notice = fixtures::notice("without-burst-id");
        assert_eq!((notice.burst_id, notice.observation_id), (None, None));
        assert_eq!(notice.effect, NoticeEffect::ArchiveOnly);
    }

    #[test]
    fn missions_of_identifiers() {
        for (ivorn, mission) in [
            ("ivo://org.svom/fsc#sb26051102_grm-trigger", "SVOM"),
            ("ivo://org.svom/FSC#sb1", "SVOM"),
            ("ivo://nasa.gsfc.gcn/SWIFT#BAT_GRB_Pos_532871-729", "Swift"),
            ("ivo://nasa.gsfc.gcn/Fermi#GBM_Flt_Pos", "Fermi"),
            ("ivo://gwnet/LVC#S190521r-3-Initial", "IGWN"),
            ("ivo://nasa.gsfc.gcn/LVC#S190521r", "IGWN"),
            ("ivo://nasa.gsfc.gcn/AMON#ICECUBE_GOLD_Event", "IceCube"),
            ("ivo://gaia.cam.uk/alerts#Gaia16aac", "alerts"),
            ("ivo://example", "example"),
        ] {
            assert_eq!(mission_of(ivorn), mission, "{ivorn}");
        }
    }

    #[test]
    fn a_swift_packet_is_known_by_its_identifier() {
        let notice = fixtures::notice("version-1.1");
        assert_eq!(notice.mission, "Swift");
        assert_eq!(notice.instrument.as_deref(), Some("XRT"));
        assert_eq!(notice.packet_name, "xrt-position");
        assert_eq!(notice.burst_id.as_deref(), Some("700123"));
    }

    /// Every SVOM packet of the collection is known by its burst and by a row of the table.
    #[test]
    fn real_packets_of_svom_are_all_in_the_table() {
        let Some(directory) = crate::alerts::real_packets::directory() else { return };
        let table = PacketTable::default();
        for file in crate::alerts::real_packets::files(&directory.join("svom")) {
            let event = VoEvent::parse(&std::fs::read(&file).unwrap()).unwrap();
            let notice = notice(&event, &table);
            assert_eq!(notice.mission, "SVOM", "{}", file.display());
            assert!(!notice.packet_name.contains("unknown"), "{}", file.display());
            assert!(notice.ivorn.contains(&notice.packet_name), "{}", file.display());
            assert!(notice.burst_id.is_some(), "{}", file.display());
        }
    }
}
