//! Who acts when: one file per actor, the messages between them, and the supervision that keeps them alive.

pub mod supervision;
