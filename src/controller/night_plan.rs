//! The plan of a simulated night: what arrives when, what is really there.

use crate::{
    model::{UtcTime, normalise_burst_id},
    simulation::{Happening, SyntheticNight, Truth, archive::ArchivePlan, feed::FrameFeed},
};
use std::sync::Arc;

/// A packet that was given is sent so long after T0, as an ECLAIRs wake-up would be (domain.md §1.4: the median).
const NOTICE_SECONDS: f64 = 95.0;
/// The stand-in telescope writes its sensors this often.
const SENSOR_STEP_SECONDS: f64 = 60.0;

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
    /// Name of the telescope in the products.
    pub telescope: String,
    /// Filters of the object frames of an archive; empty for a synthetic night.
    pub filters: Vec<String>,
    /// What differs from the archive, in words.
    pub notes: Vec<String>,
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
            telescope: night.camera().parameters().telescope.clone(),
            filters: Vec::new(),
            notes: Vec::new(),
            left_out: Vec::new(),
        }
    }

    /// A night out of an archive. `packet` takes the place of the notice that the plan would send.
    pub fn archive(
        replayed: &ArchivePlan,
        packet: Option<Vec<u8>>,
        truth: Option<Truth>,
        feed: Arc<dyn FrameFeed>,
        seed: u64,
    ) -> Self {
        let notice = replayed.notice();
        let at = notice.as_ref().map_or(replayed.t0.plus_seconds(NOTICE_SECONDS), |n| n.at);
        let packets = match (packet, notice) {
            (Some(bytes), _) => {
                vec![TimedPacket { at, label: "the packet given".to_owned(), bytes }]
            }
            (None, Some(notice)) => {
                vec![TimedPacket { at, label: notice.label, bytes: notice.bytes }]
            }
            // Without a target the frames themselves open the trigger.
            (None, None) => Vec::new(),
        };
        let last_frame = replayed.frames.last().map_or(replayed.t0, |frame| frame.arrival);
        let last_instant = last_frame.max(at);
        let step = SENSOR_STEP_SECONDS;
        let count = (last_instant.seconds_since(replayed.clock_start) / step).max(0.0) as usize;
        Self {
            seed,
            burst_id: normalise_burst_id(&replayed.burst_id),
            t0: replayed.t0,
            clock_start: replayed.clock_start,
            last_instant,
            feed,
            packets,
            sensor_files: (0..=count)
                .map(|index| replayed.clock_start.plus_seconds(index as f64 * step))
                .collect(),
            truth,
            telescope: replayed.telescope.clone().unwrap_or_else(|| "COATLI".to_owned()),
            filters: replayed.filters.clone(),
            notes: replayed.shifted.clone().into_iter().collect(),
            left_out: replayed
                .skipped
                .iter()
                .map(|(path, reason)| format!("{}: {reason}", path.display()))
                .collect(),
        }
    }
}
