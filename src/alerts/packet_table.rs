//! What a packet type is called and does: the table of interfaces.md §3, built from configuration.

use crate::{config::PacketRows, model::NoticeEffect};
use std::collections::BTreeMap;

/// One understood packet type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PacketKind {
    /// `eclairs-wakeup`, …; `svomunknownNNN` for a type the table does not have.
    pub name: String,
    /// What it does here: [`NoticeEffect::ArchiveOnly`] where the row is off or there is none.
    pub effect: NoticeEffect,
}

/// Mission and packet type → name and effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PacketTable {
    rows: BTreeMap<(String, u32), PacketKind>,
}

impl PacketTable {
    /// The table of a configuration (`alerts.effects`). Missions are compared without case; a row whose packet type is
    /// no number, which the configuration refuses, is left out.
    pub fn new(rows: &PacketRows) -> Self {
        let mut table = BTreeMap::new();
        for (mission, rows) in rows {
            for (packet_type, row) in rows {
                let Ok(packet_type) = packet_type.parse::<u32>() else { continue };
                let effect = if row.enabled { row.effect } else { NoticeEffect::ArchiveOnly };
                let kind = PacketKind { name: row.name.clone(), effect };
                table.insert((mission.to_lowercase(), packet_type), kind);
            }
        }
        Self { rows: table }
    }

    /// The row of a packet. An unknown one is archived only and named `<mission>unknownNNN`, as the telescope control
    /// system names it, without digits where the packet has no type.
    pub fn kind(&self, mission: &str, packet_type: Option<u32>) -> PacketKind {
        let mission = mission.to_lowercase();
        let row = packet_type.and_then(|number| self.rows.get(&(mission.clone(), number)));
        row.cloned().unwrap_or_else(|| {
            let number = packet_type.map(|number| number.to_string()).unwrap_or_default();
            PacketKind {
                name: format!("{mission}unknown{number}"),
                effect: NoticeEffect::ArchiveOnly,
            }
        })
    }
}

impl Default for PacketTable {
    /// The shipped rows.
    fn default() -> Self {
        Self::new(&crate::config::AlertsSettings::default().effects)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_table_is_that_of_the_interfaces() {
        use NoticeEffect::{ArchiveOnly, Opens, OpensPreliminary, Refines, Retracts};
        let table = PacketTable::default();
        for (packet_type, effect) in [
            (199, OpensPreliminary),
            (200, OpensPreliminary),
            (201, Opens),
            (202, Opens),
            (203, ArchiveOnly),
            (204, Refines),
            (205, Refines),
            (209, Refines),
            (210, Refines),
            (211, Refines),
            (219, Retracts),
        ] {
            assert_eq!(table.kind("SVOM", Some(packet_type)).effect, effect, "{packet_type}");
        }
        assert_eq!(table.kind("SVOM", Some(202)).name, "eclairs-wakeup");
    }

    #[test]
    fn unknown_types_are_archived_under_their_number() {
        let kind = PacketTable::default().kind("SVOM", Some(298));
        assert_eq!(
            (kind.name.as_str(), kind.effect),
            ("svomunknown298", NoticeEffect::ArchiveOnly)
        );
        assert_eq!(PacketTable::default().kind("Gaia", None).name, "gaiaunknown");
    }

    #[test]
    fn other_missions_are_off_until_the_site_turns_them_on() {
        assert_eq!(
            PacketTable::default().kind("Swift", Some(61)).effect,
            NoticeEffect::ArchiveOnly
        );
        let mut rows = crate::config::AlertsSettings::default().effects;
        rows.get_mut("Swift").unwrap().get_mut("61").unwrap().enabled = true;
        assert_eq!(PacketTable::new(&rows).kind("Swift", Some(61)).effect, NoticeEffect::Opens);
    }
}
