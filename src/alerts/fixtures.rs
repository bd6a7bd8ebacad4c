//! The packets under `tests/fixtures/voevents`, for the tests of this room.

use super::{notice::notice as read_notice, packet_table::PacketTable, voevent::VoEvent};
use crate::model::Notice;

macro_rules! packets {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../tests/fixtures/voevents/", $name, ".xml")))),*]
    };
}

const PACKETS: &[(&str, &str)] = packets![
    "eclairs-catalog",
    "eclairs-wakeup",
    "grm-preliminary",
    "grm-trigger-without-position",
    "mxt-initial",
    "not-slewing",
    "retraction",
    "slewing",
    "unknown-type",
    "version-1.1",
    "without-burst-id",
];

pub fn packet(name: &str) -> &'static str {
    PACKETS.iter().find(|(each, _)| *each == name).unwrap_or_else(|| panic!("no {name}")).1
}

pub fn notice(name: &str) -> Notice {
    read_notice(&VoEvent::parse(packet(name).as_bytes()).unwrap(), &PacketTable::default())
}
