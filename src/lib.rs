//! `gic`: the real-time controller of the COLIBRI telescope's Instrument Center.
//!
//! A satellite's alert goes in at one end, a receipted scientific product comes out at the other, through
//! supervised actors. Arrows point down only (`docs/architecture.md`): cli → controller → actors → {gp1, products, fsc,
//! simulation, web} → {catalogs, alerts, storage} → {imaging, fits} → {config, clock} → model.

pub mod actors;
pub mod alerts;
pub mod catalogs;
pub mod cli;
pub mod clock;
pub mod config;
pub mod controller;
pub mod fits;
pub mod fsc;
pub mod gp1;
pub mod imaging;
pub mod model;
pub mod products;
pub mod progress;
pub mod simulation;
pub mod storage;
pub mod web;

/// Of all programs, tests and benches alike: the planes of frames go into large pages (`.cargo/config.toml`), which are filled and given back
/// several times faster than small ones.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;
