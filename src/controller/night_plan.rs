//! The plan of a simulated night: what arrives when, what is really there.

use crate::{
    model::{UtcTime, normalise_burst_id},
    simulation::{Happening, SyntheticNight, Truth, feed::FrameFeed},
};
use std::sync::Arc;

/// A packet and its instant.
#[derive(Debug, Clone, PartialEq)]
pub struct TimedPacket {
    pub at: UtcTime,
    pub label: String,
    pub bytes: Vec<u8>,
}

/// Everything that will happen to the controller.
pub struct NightPlan {
    pub seed: u64,
    pub burst_id: String,
    pub t0: UtcTime,
    pub clock_start: UtcTime,
    /// When the last of it has happened.
    pub last_instant: UtcTime,
    pub feed: Arc<dyn FrameFeed>,
    pub packets: Vec<TimedPacket>,
    pub sensor_files: Vec<UtcTime>,
    pub truth: Option<Truth>,
    /// Files that are not part of the night, with the reason.
    pub left_out: Vec<String>,
}

impl NightPlan {
    /// A night on the synthetic sky.
    pub fn synthetic(night: &SyntheticNight, feed: Arc<dyn FrameFeed>) -> Self {
        let schedule = night.schedule();
        let packets = night
            .story
            .packets
            .iter()
            .map(|packet| TimedPacket {
                at: packet.at,
                label: packet.label.clone(),
                bytes: packet.bytes.clone(),
            })
            .collect();
        let sensor_files = schedule
            .iter()
            .filter(|scheduled| scheduled.happening == Happening::SensorFile)
            .map(|scheduled| scheduled.at)
            .collect();
        Self {
            seed: night.seed,
            burst_id: normalise_burst_id(&night.story.burst_id),
            t0: night.story.t0,
            clock_start: night.clock_start(),
            last_instant: schedule.last().map_or(night.story.t0, |last| last.at),
            feed,
            packets,
            sensor_files,
            truth: Some(night.truth()),
            left_out: Vec::new(),
        }
    }
}
