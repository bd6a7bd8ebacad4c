//! What survives: the journal (SQLite) and the local data storage.

pub mod journal;
pub mod local;
