//! From a VOEvent to a notice, by a table of packet types (interfaces.md §3). The table is configuration: names changed in 2026, and
//! a type that is not in it is archived and shown, never dropped.

use super::voevent::VoEvent;
use crate::{
    config::{PacketRow, alerts::AlertsSettings},
    model::{Notice, NoticeEffect, PositionEstimate, UtcTime},
};
use std::collections::BTreeMap;

/// Authority of the identifier, in lower case, and the mission its packets are of.
const AUTHORITIES: [(&str, &str); 8] = [
    ("org.svom", "SVOM"),
    ("svom", "SVOM"),
    ("nasa.gsfc.gcn/swift", "Swift"),
    ("nasa.gsfc.gcn/fermi", "Fermi"),
    ("nasa.gsfc.gcn/einsteinprobe", "Einstein Probe"),
    ("nasa.gsfc.gcn/amon", "IceCube"),
    ("gwnet", "IGWN"),
    ("nasa.gsfc.gcn/lvc", "IGWN"),
];

/// What each packet type of each mission is called and does.
#[derive(Debug, Clone, PartialEq)]
pub struct PacketTable {
    /// Mission in lower case → packet type → row.
    rows: BTreeMap<String, BTreeMap<u32, PacketRow>>,
}

impl PacketTable {
    /// The table of `gic.toml` (`[alerts.effects]`). Types that are no number are those of missions that name their packets: they have no row
    /// here.
    pub fn from_config(settings: &AlertsSettings) -> Self {
        let rows = settings
            .effects
            .iter()
            .map(|(mission, rows)| {
                let rows = rows
                    .iter()
                    .filter_map(|(packet, row)| Some((packet.parse().ok()?, row.clone())))
                    .collect();
                (key_of(mission), rows)
            })
            .collect();
        Self { rows }
    }

    fn row(&self, mission: &str, packet_type: Option<u32>) -> Option<&PacketRow> {
        self.rows.get(&key_of(mission))?.get(&packet_type?)
    }

    /// The notice of a VOEvent.
    pub fn notice(&self, event: &VoEvent) -> Notice {
        let mission = mission_of(&event.ivorn);
        let packet_type = event.parameter("Packet_Type").and_then(|text| text.parse().ok());
        let row = self.row(&mission, packet_type);
        let packet_name = match (row, packet_type) {
            (Some(row), _) => row.name.clone(),
            (None, Some(number)) => {
                format!("{}unknown{number}", key_of(&mission))
            }
            (None, None) => format!("{}unknown", key_of(&mission)),
        };
        let effect = match row {
            Some(row) if row.enabled => row.effect,
            _ => NoticeEffect::ArchiveOnly,
        };
        let text = |name: &str| event.parameter(name).map(str::to_owned);
        let time = |name: &str| event.parameter(name).and_then(|text| UtcTime::parse(text).ok());
        let identified = |names: &[&str]| names.iter().find_map(|name| text(name));
        Notice {
            ivorn: event.ivorn.clone(),
            role: event.role,
            mission,
            packet_type,
            packet_name,
            effect,
            instrument: text("Instrument"),
            burst_id: identified(&["Burst_Id", "TrigID", "GraceID"]),
            observation_id: identified(&["Obs_Id", "Observation_Id", "OBS_ID"]),
            notice_level: text("Notice_Level"),
            date: event.date,
            event_time: event.iso_time,
            sequence_t0: time("Alert_Seq_T0"),
            window_start: time("Time_Window_Start"),
            window_end: time("Time_Window_End"),
            position: event.position.map(with_meaningful_radius),
            slew_status: text("Slew_Status"),
            importance: event.importance.or(event.probability),
            citations: event.citations.clone(),
            parameters: event
                .parameters
                .iter()
                .map(|parameter| (parameter.path(), parameter.value.trim().to_owned()))
                .collect(),
        }
    }
}

/// A radius of −1 says that there is none.
fn with_meaningful_radius(estimate: PositionEstimate) -> PositionEstimate {
    let radius_degrees = estimate.radius_degrees.filter(|radius| *radius > 0.0);
    PositionEstimate { radius_degrees, ..estimate }
}

fn mission_of(ivorn: &str) -> String {
    let identifier = ivorn.trim().to_ascii_lowercase();
    let path = identifier.strip_prefix("ivo://").unwrap_or(&identifier);
    AUTHORITIES.iter().find(|(authority, _)| path.starts_with(authority)).map_or_else(
        || path.split(['/', '#']).next().unwrap_or_default().to_owned(),
        |(_, mission)| (*mission).to_owned(),
    )
}

/// Missions are compared as words of letters and digits.
fn key_of(mission: &str) -> String {
    mission.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerts::understand;

    fn table() -> PacketTable {
        PacketTable::from_config(&AlertsSettings::default())
    }

    fn read(name: &str) -> Notice {
        let path = format!("{}/tests/fixtures/voevents/{name}.xml", env!("CARGO_MANIFEST_DIR"));
        understand(&std::fs::read(path).unwrap(), &table()).unwrap()
    }

    #[test]
    fn every_packet_type_has_its_name_and_effect() {
        for (file, name, effect) in [
            ("grm-preliminary", "grm-preliminary", NoticeEffect::OpensPreliminary),
            ("grm-trigger-without-position", "grm-trigger", NoticeEffect::Opens),
            ("eclairs-wakeup", "eclairs-wakeup", NoticeEffect::Opens),
            ("eclairs-catalog", "eclairs-catalog", NoticeEffect::ArchiveOnly),
            ("slewing", "slewing", NoticeEffect::Refines),
            ("not-slewing", "not-slewing", NoticeEffect::Refines),
            ("mxt-initial", "mxt-initial", NoticeEffect::Refines),
            ("retraction", "retraction", NoticeEffect::Retracts),
        ] {
            let notice = read(file);
            assert_eq!((notice.packet_name.as_str(), notice.effect), (name, effect), "{file}");
            assert_eq!(notice.mission, "SVOM");
            assert!(notice.burst_id.is_some(), "{file}");
        }
        assert!(read("grm-trigger-without-position").position.is_none());
        let unknown = read("unknown-type");
        assert!(unknown.packet_name.starts_with("svomunknown"), "{}", unknown.packet_name);
        assert_eq!(unknown.effect, NoticeEffect::ArchiveOnly);
        assert_eq!(read("without-burst-id").burst_id, None);
    }

    #[test]
    fn all_real_svom_packets_become_notices() {
        let Some(directory) = crate::alerts::real_packets::directory() else { return };
        let mut named = 0;
        for file in crate::alerts::real_packets::files(&directory.join("svom")) {
            let notice = understand(&std::fs::read(&file).unwrap(), &table()).unwrap();
            assert_eq!(notice.mission, "SVOM", "{}", file.display());
            assert!(notice.burst_id.is_some() && notice.packet_type.is_some());
            if let Some(radius) = notice.position.and_then(|estimate| estimate.radius_degrees) {
                assert!(radius > 0.0);
            }
            named += usize::from(!notice.packet_name.contains("unknown"));
        }
        assert!(named >= 50, "{named}");
    }
}
