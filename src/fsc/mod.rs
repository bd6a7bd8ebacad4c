//! The receiving side at the science centre (Colibri-SVOM interface): reception, screening, archive; and the upload to it.

pub mod archive;
pub mod screening;
pub mod server;
pub mod upload;
