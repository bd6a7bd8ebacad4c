//! Alerts: VOEvents, the VOEvent Transport Protocol, the packet table, and what notices make of a trigger.
//!
//! Nothing here owns a socket, a clock or a journal: listening, storing and timing belong to the actors.

#[cfg(test)]
mod real_packets;
pub mod voevent;
pub mod xml;
