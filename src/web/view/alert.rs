//! Alerts as they were received.

use super::{RegionView, clipped};
use crate::{
    model::{NoticeEffect, Role, UtcTime},
    storage::journal::alerts::AlertRow,
};
use serde::Serialize;

/// A packet, and what became of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AlertView {
    pub received_at: UtcTime,
    pub source: String,
    /// How often the same bytes were heard.
    pub arrivals: u32,
    /// `received`, `applied`, `archived`, `rejected`.
    pub state: String,
    pub reason: Option<String>,
    /// These are absent when the packet was not understood.
    pub packet_name: Option<String>,
    pub packet_type: Option<u32>,
    pub mission: Option<String>,
    pub role: Option<Role>,
    pub burst_id: Option<String>,
    pub effect: Option<NoticeEffect>,
    pub ivorn: Option<String>,
    pub position: Option<RegionView>,
}

impl From<AlertRow> for AlertView {
    fn from(row: AlertRow) -> Self {
        let notice = row.notice;
        Self {
            received_at: row.received_at,
            source: row.source,
            arrivals: row.arrivals,
            state: row.state,
            reason: row.reason.as_deref().map(clipped),
            packet_name: notice.as_ref().map(|notice| clipped(&notice.packet_name)),
            packet_type: notice.as_ref().and_then(|notice| notice.packet_type),
            mission: notice.as_ref().map(|notice| clipped(&notice.mission)),
            role: notice.as_ref().map(|notice| notice.role),
            burst_id: notice.as_ref().and_then(|notice| notice.burst_id.clone()),
            effect: notice.as_ref().map(|notice| notice.effect),
            position: notice.as_ref().and_then(|notice| notice.position).map(RegionView::from),
            ivorn: notice.map(|notice| clipped(&notice.ivorn)),
        }
    }
}
