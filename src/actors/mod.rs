//! Who acts when: one file per actor, the messages between them, and the supervision that keeps them alive.

pub mod alert_receiver;
mod alert_subscription;
pub mod calibration_master;
pub mod fsc_uploader;
pub mod gp1_instance;
pub mod heartbeat;
pub mod image_provider;
pub mod messages;
mod nudge;
pub mod pool;
pub mod product_maker;
pub mod pump;
pub mod sending;
pub mod status_collector;
pub mod stopwatch;
pub mod supervision;
pub mod trigger_manager;
pub mod web;
