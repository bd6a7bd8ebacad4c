//! Who acts when: one file per actor, the messages between them, and the supervision that keeps them alive.

pub mod messages;
pub mod pool;
pub mod pump;
pub mod sending;
pub mod stopwatch;
pub mod supervision;
