//! Alerts: VOEvents, the VOEvent Transport Protocol, the packet table, and what notices make of a trigger.
//!
//! Nothing here owns a socket, a clock or a journal: listening, storing and timing belong to the actors.

pub mod author;
#[cfg(test)]
mod real_packets;
pub mod receiver;
pub mod svom;
pub mod t0;
pub mod transport;
pub mod trigger_file;
pub mod trigger_state;
pub mod voevent;
pub mod xml;

use crate::model::Notice;

/// From the bytes of a packet to a notice.
pub fn understand(
    packet: &[u8],
    table: &svom::PacketTable,
) -> Result<Notice, voevent::VoEventError> {
    Ok(table.notice(&voevent::VoEvent::parse(packet)?))
}
