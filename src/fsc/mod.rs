//! The science centre's receiving side (Colibri-SVOM interface, seed 003) and the client that uploads to it.
//!
//! A product goes through [`screening`], is kept by the [`archive`], and is answered with a receipt by the [`server`]. The
//! client is [`upload`]. Receipts are idempotent by product key (interfaces.md §8).

pub mod archive;
pub mod screening;
pub mod server;
pub mod tls;
pub mod upload;

#[cfg(test)]
mod round_trip_tests;
#[cfg(test)]
mod sample;
#[cfg(test)]
mod tls_tests;
