//! Triggers with their deadlines, the newest analysis, and products with receipts.

use super::{CandidateList, RegionView, clipped, rounded};
use crate::{
    model::{
        AnalysisResult, CatalogueStatus, Deadline, DeadlineName, DeadlineState, Degradation,
        FilterLimit, Receipt, T0Source, Trigger, TriggerOrigin, TriggerState, UtcTime,
        normalise_burst_id, report_file,
    },
    storage::journal::products::ProductRow,
    web::{
        addresses,
        reports::{self, ReportFileView},
    },
};
use serde::Serialize;

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TriggerView {
    /// Normalised: the form used in addresses.
    pub burst: String,
    /// As the first packet wrote it.
    pub burst_id: String,
    pub name: String,
    pub state: TriggerState,
    pub is_open: bool,
    pub revision: u32,
    pub origin: TriggerOrigin,
    pub t0: UtcTime,
    pub t0_source: T0Source,
    /// The source in words.
    pub t0_source_words: String,
    pub opened_at: UtcTime,
    pub position: Option<RegionView>,
    pub slewing: Option<bool>,
    pub notice_count: usize,
    pub deadlines: Vec<DeadlineView>,
    pub analysis: Option<AnalysisView>,
    pub candidates: CandidateList,
    pub products: Vec<ProductView>,
    /// How many there are; `products` may hold fewer.
    pub product_count: usize,
}

/// A trigger of which only the name is shown.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OlderTrigger {
    pub burst: String,
    pub name: String,
    pub state: TriggerState,
    pub t0: UtcTime,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DeadlineView {
    pub name: DeadlineName,
    pub due_at: UtcTime,
    pub state: DeadlineState,
    pub cause: Option<String>,
    /// Wall seconds from the instant to the last receipt, once delivered.
    pub lateness_seconds: Option<f64>,
    /// Where its candidates are, once it is analysed.
    pub candidates_url: Option<String>,
    /// Where its report is, seconds after it is analysed.
    pub report_url: Option<String>,
}

/// What the newest analysis says besides its candidates.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AnalysisView {
    pub deadline: DeadlineName,
    pub due_at: UtcTime,
    pub telescope: String,
    pub instrument: String,
    pub frames_stacked: usize,
    pub frames_in_all: usize,
    pub catalogue_status: CatalogueStatus,
    pub limits: Vec<LimitView>,
    pub degradations: Vec<Degradation>,
    pub empty_reason: Option<String>,
    /// The report and what belongs to it.
    pub files: Vec<ReportFileView>,
}

/// Depth reached in a filter.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LimitView {
    pub filter: String,
    /// 10σ.
    pub limiting_magnitude: Option<f64>,
    pub frame_count: usize,
    pub exposure_seconds: Option<f64>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ProductView {
    pub key: String,
    pub card: String,
    pub deadline: DeadlineName,
    pub processing_version: u32,
    pub made_at: UtcTime,
    /// Empty until the file is in place.
    pub sha256: String,
    /// `making`, `waiting`, `delivered`, `refused`.
    pub delivery: String,
    pub attempts: u32,
    pub last_error: Option<String>,
    pub receipt: Option<Receipt>,
}

impl TriggerView {
    pub fn new(
        trigger: Trigger,
        deadlines: Vec<DeadlineView>,
        analysis: Option<AnalysisView>,
        candidates: CandidateList,
        mut products: Vec<ProductView>,
        product_limit: usize,
    ) -> Self {
        let product_count = products.len();
        products.drain(..product_count.saturating_sub(product_limit));
        Self {
            burst: normalise_burst_id(&trigger.burst_id),
            is_open: is_open(trigger.state),
            state: trigger.state,
            revision: trigger.revision,
            origin: trigger.origin,
            t0: trigger.t0,
            t0_source: trigger.t0_source,
            t0_source_words: trigger.t0_source.to_string(),
            opened_at: trigger.opened_at,
            position: trigger.best_position.map(RegionView::from),
            slewing: trigger.slewing,
            notice_count: trigger.notices.len(),
            burst_id: trigger.burst_id,
            name: trigger.name,
            deadlines,
            analysis,
            candidates,
            products,
            product_count,
        }
    }
}

/// Whether the clocks of the trigger run.
fn is_open(state: TriggerState) -> bool {
    match state {
        TriggerState::Preliminary | TriggerState::Open | TriggerState::Refined => true,
        TriggerState::Retracted | TriggerState::Closed => false,
    }
}

impl From<Trigger> for OlderTrigger {
    fn from(trigger: Trigger) -> Self {
        Self {
            burst: normalise_burst_id(&trigger.burst_id),
            name: trigger.name,
            state: trigger.state,
            t0: trigger.t0,
        }
    }
}

impl DeadlineView {
    pub fn new(deadline: Deadline, lateness: Option<f64>) -> Self {
        let is_analysed = matches!(
            deadline.state,
            DeadlineState::Analysed | DeadlineState::Produced | DeadlineState::Delivered
        );
        Self {
            candidates_url: is_analysed
                .then(|| addresses::candidates(&deadline.burst_id, deadline.name)),
            report_url: is_analysed
                .then(|| addresses::report(&deadline.burst_id, deadline.name, report_file::REPORT)),
            name: deadline.name,
            due_at: deadline.due_at,
            state: deadline.state,
            cause: deadline.cause.as_deref().map(clipped),
            lateness_seconds: lateness.and_then(|seconds| rounded(seconds, 3)),
        }
    }
}

impl From<&AnalysisResult> for AnalysisView {
    fn from(result: &AnalysisResult) -> Self {
        Self {
            deadline: result.deadline,
            due_at: result.due_at,
            telescope: result.telescope.clone(),
            instrument: result.instrument.clone(),
            frames_stacked: result.frames.iter().filter(|frame| frame.stacked).count(),
            frames_in_all: result.frames.len(),
            catalogue_status: result.catalogue_status,
            limits: result.limits.iter().map(LimitView::from).collect(),
            degradations: result.degradations.clone(),
            empty_reason: result.empty_reason.clone(),
            files: reports::files_of(result),
        }
    }
}

impl From<&FilterLimit> for LimitView {
    fn from(limit: &FilterLimit) -> Self {
        Self {
            filter: limit.filter.clone(),
            limiting_magnitude: rounded(limit.limiting_magnitude, 2),
            frame_count: limit.frame_count,
            exposure_seconds: rounded(limit.exposure_seconds, 1),
        }
    }
}

impl From<ProductRow> for ProductView {
    fn from(row: ProductRow) -> Self {
        let record = row.record;
        Self {
            key: record.key.to_string(),
            card: record.key.card,
            deadline: record.key.deadline,
            processing_version: record.key.processing_version,
            made_at: record.date,
            sha256: record.sha256,
            delivery: row.delivery.unwrap_or_else(|| "making".to_owned()),
            attempts: row.attempts,
            last_error: row.last_error.as_deref().map(clipped),
            receipt: row.receipt,
        }
    }
}
