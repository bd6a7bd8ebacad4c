//! What survives: the journal (SQLite) and the local data storage.

pub mod directory_lock;
pub mod disk;
pub mod journal;
pub mod local;
