//! Alerts: VOEvents, the VOEvent Transport Protocol, the packet table, and what notices make of a trigger.
//!
//! Nothing here owns a listening socket, a clock or a journal: accepting, storing and timing belong to the actors.

pub mod deadlines;
#[cfg(test)]
mod fixtures;
pub mod naming;
pub mod notice;
pub mod packet_table;
#[cfg(test)]
mod real_packets;
pub mod t0;
pub mod trigger_file;
pub mod trigger_state;
pub mod voevent;
pub mod xml;
