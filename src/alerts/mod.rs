//! Alerts: VOEvents, the VOEvent Transport Protocol, the packet table, and what notices make of a trigger.
//!
//! Nothing here owns a listening socket, a clock or a journal: accepting, storing and timing belong to the actors.

pub mod author;
pub mod deadlines;
#[cfg(test)]
mod fixtures;
pub mod framing;
pub mod naming;
pub mod notice;
pub mod packet_table;
#[cfg(test)]
mod real_packets;
pub mod receiver;
pub mod reconnection;
pub mod subscriber;
#[cfg(test)]
mod subscriber_tests;
pub mod t0;
pub mod transport;
pub mod trigger_file;
pub mod trigger_state;
pub mod voevent;
pub mod xml;

pub use author::{Acknowledgement, SendError, send};
pub use deadlines::{deadlines, replan};
pub use notice::notice;
pub use packet_table::{PacketKind, PacketTable};
pub use receiver::{Decision, DropReason, ReceiverSettings, Reception, serve_author};
pub use subscriber::{Parting, SubscriberSettings, SubscriptionEvent, follow};
pub use t0::t0;
pub use transport::{AllowList, TransportMessage, TransportRole};
pub use trigger_state::{
    AlertCards, ArchiveReason, Outcome, TriggerPolicy, apply, from_frame, known_before,
};
pub use voevent::{VoEvent, VoEventError};

use crate::model::Notice;

/// From the bytes of a packet to a notice.
pub fn understand(packet: &[u8], table: &PacketTable) -> Result<Notice, VoEventError> {
    Ok(notice(&VoEvent::parse(packet)?, table))
}
