//! Notices: what a satellite or another observatory said about a burst.

use super::{SkyPosition, UtcTime};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The `role` of a VOEvent (VOEvent 2.0, §3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    Observation,
    Prediction,
    Utility,
    Test,
}

/// What a packet type does to the trigger of its burst (interfaces.md §3; the table is configuration).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NoticeEffect {
    /// Opens the trigger as preliminary.
    OpensPreliminary,
    /// Opens the trigger.
    Opens,
    /// Refines an open trigger; opens it if the burst is unknown.
    Refines,
    /// Ends the epochs; products stay.
    Retracts,
    /// Archived and shown, no effect on any trigger.
    ArchiveOnly,
}

/// A position with its uncertainty.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PositionEstimate {
    pub position: SkyPosition,
    /// 90 % error radius, degrees; absent when the packet says -1 or nothing.
    pub radius_degrees: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CitationKind {
    Followup,
    Supersedes,
    Retraction,
}

/// A citation of an earlier event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Citation {
    pub ivorn: String,
    pub kind: CitationKind,
}

/// One packet, understood.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Notice {
    pub ivorn: String,
    pub role: Role,
    /// `SVOM`, `Swift`, `Fermi`, … from the authority and the packet.
    pub mission: String,
    pub packet_type: Option<u32>,
    /// `eclairs-wakeup`, …; `svomunknownNNN` for a type the table does not have.
    pub packet_name: String,
    pub effect: NoticeEffect,
    pub instrument: Option<String>,
    /// As the packet writes it, trimmed (`sb25022114`).
    pub burst_id: Option<String>,
    pub observation_id: Option<String>,
    pub notice_level: Option<String>,
    /// `Who/Date`: when the author made the packet.
    pub date: Option<UtcTime>,
    /// `ISOTime` of WhereWhen.
    pub event_time: Option<UtcTime>,
    /// `Alert_Seq_T0`.
    pub sequence_t0: Option<UtcTime>,
    pub window_start: Option<UtcTime>,
    pub window_end: Option<UtcTime>,
    pub position: Option<PositionEstimate>,
    pub slew_status: Option<String>,
    pub importance: Option<f64>,
    pub citations: Vec<Citation>,
    /// Every `What` parameter, as `Group/Name` or `Name`, with its text.
    pub parameters: BTreeMap<String, String>,
}
