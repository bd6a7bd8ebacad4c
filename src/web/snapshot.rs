//! What the journal says, read at one go and bounded in size.

use super::{
    addresses,
    flow::waiting_frames,
    view::{
        AlertView, AnalysisView, CandidateList, CandidateView, DeadlineView, FrameView, ListOrigin,
        MasterView, OlderTrigger, ProductView, TriggerView, clipped,
    },
};
use crate::{
    model::{
        AnalysisResult, DeadlineName, DeadlineState, ListedCandidate, Trigger, UtcTime,
        normalise_burst_id,
    },
    storage::journal::{
        Journal, JournalError, alerts, analyses, events, frames, masters, products, triggers,
    },
};
use rusqlite::Connection;
use serde::Serialize;
use tokio::sync::Mutex;

const ALERT_LIMIT: u32 = 50;
const FRAME_LIMIT: u32 = 200;
const EVENT_LIMIT: u32 = 50;
const MASTER_LIMIT: usize = 60;
/// Triggers shown with all that belongs to them.
const TRIGGER_LIMIT: usize = 5;
/// Triggers shown by name after those.
const OLDER_TRIGGER_LIMIT: usize = 50;
/// Products of a trigger: eight cards at seven deadlines, and some to spare.
const PRODUCT_LIMIT: usize = 64;
const CANDIDATE_LIMIT: usize = 25;
/// Points of a light curve in the status; the candidates' own address has all.
const POINT_LIMIT: usize = 150;
/// A candidate of a provisional list takes the cut-out of the analysed one nearer than this.
const SAME_CANDIDATE_ARCSEC: f64 = 2.0;
/// Everything shown that comes from the journal. It does not depend on the time it is read at.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct JournalSnapshot {
    /// Newest first.
    pub alerts: Vec<AlertView>,
    /// Newest first.
    pub triggers: Vec<TriggerView>,
    pub older_triggers: Vec<OlderTrigger>,
    /// Newest first.
    pub frames: Vec<FrameView>,
    pub masters: Vec<MasterView>,
    /// Newest first.
    pub events: Vec<EventView>,
    pub queues: Vec<QueueView>,
    pub counts: Counts,
}

/// What happened to the controller itself.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EventView {
    pub at: UtcTime,
    pub actor: String,
    pub what: String,
    pub detail: String,
}

/// Work waiting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct QueueView {
    /// An instance's name, or `outbox`.
    pub queue: String,
    pub waiting: u64,
}

/// Numbers of all there is, also beyond what is listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Counts {
    pub triggers: usize,
    pub masters: usize,
    pub frames: Vec<FrameCount>,
    pub deliveries: Vec<DeliveryCount>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FrameCount {
    pub instance: String,
    pub state: String,
    pub count: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeliveryCount {
    /// `waiting`, `delivered`, `refused`.
    pub state: String,
    pub count: u64,
}

/// One trigger with every notice and product.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TriggerDetail {
    #[serde(flatten)]
    pub view: TriggerView,
    /// The merged view as journaled, with its notices.
    pub trigger: Trigger,
}

/// Keeps the last snapshot until the journal changes, so that many readers cost one reading.
#[derive(Debug)]
pub(super) struct SnapshotCache {
    /// With the version of the data it was read from.
    last: Mutex<Option<(i64, JournalSnapshot)>>,
}

impl SnapshotCache {
    pub fn new() -> Self {
        Self { last: Mutex::new(None) }
    }

    /// The state of the journal now.
    pub async fn get(&self, journal: &Journal) -> Result<JournalSnapshot, JournalError> {
        let mut last = self.last.lock().await;
        let known = last.as_ref().map(|(version, _)| *version);
        let renewed = journal.read(move |connection| read_if_changed(connection, known)).await?;
        if let Some(renewed) = renewed {
            return Ok(last.insert(renewed).1.clone());
        }
        match &*last {
            Some((_, snapshot)) => Ok(snapshot.clone()),
            // Nothing was kept, so something was read: this is never reached, and reading again is never wrong.
            None => journal.read(JournalSnapshot::read).await,
        }
    }
}

/// The snapshot with its version, unless the data are still of the known version. SQLite changes `data_version` of a
/// connection whenever another one has committed; it is looked at first, so that what is read is never older than it says.
fn read_if_changed(
    connection: &Connection,
    known: Option<i64>,
) -> Result<Option<(i64, JournalSnapshot)>, JournalError> {
    let version = connection.pragma_query_value(None, "data_version", |row| row.get(0))?;
    if known == Some(version) {
        return Ok(None);
    }
    Ok(Some((version, JournalSnapshot::read(connection)?)))
}

impl JournalSnapshot {
    /// Reads everything through one connection.
    pub fn read(connection: &Connection) -> Result<Self, JournalError> {
        let mut all_triggers = triggers::all(connection)?.into_iter();
        let trigger_count = all_triggers.len();
        let shown = all_triggers
            .by_ref()
            .take(TRIGGER_LIMIT)
            .map(|trigger| trigger_view(connection, trigger, PRODUCT_LIMIT))
            .collect::<Result<Vec<_>, _>>()?;
        let older = all_triggers.take(OLDER_TRIGGER_LIMIT).map(OlderTrigger::from).collect();
        let mut all_masters: Vec<MasterView> =
            masters::all(connection)?.into_iter().map(MasterView::from).collect();
        let master_count = all_masters.len();
        // Those in force first: they are what the reductions use.
        all_masters.sort_by_key(|master| !master.in_force);
        all_masters.truncate(MASTER_LIMIT);
        let frame_counts = frames::counts(connection)?;
        Ok(Self {
            alerts: alerts::recent(connection, ALERT_LIMIT)?
                .into_iter()
                .map(AlertView::from)
                .collect(),
            triggers: shown,
            older_triggers: older,
            frames: frames::recent(connection, FRAME_LIMIT)?
                .into_iter()
                .map(FrameView::from)
                .collect(),
            masters: all_masters,
            events: events::recent(connection, EVENT_LIMIT)?
                .into_iter()
                .map(|event| EventView {
                    at: event.at,
                    actor: event.actor,
                    what: event.what,
                    detail: clipped(&event.detail),
                })
                .collect(),
            queues: queues(&frame_counts, products::outbox_depth(connection)?),
            counts: Counts {
                triggers: trigger_count,
                masters: master_count,
                frames: frame_counts
                    .into_iter()
                    .map(|(instance, state, count)| FrameCount { instance, state, count })
                    .collect(),
                deliveries: products::receipt_counts(connection)?
                    .into_iter()
                    .map(|(state, count)| DeliveryCount { state, count })
                    .collect(),
            },
        })
    }
}

/// The instances' frames, then the outbox.
fn queues(frame_counts: &[(String, String, u64)], outbox_depth: u64) -> Vec<QueueView> {
    let mut queues: Vec<QueueView> = waiting_frames(frame_counts)
        .into_iter()
        .map(|(queue, waiting)| QueueView { queue, waiting })
        .collect();
    queues.push(QueueView { queue: "outbox".to_owned(), waiting: outbox_depth });
    queues
}

/// One burst in full.
pub(super) fn trigger_detail(
    connection: &Connection,
    burst_id: &str,
) -> Result<Option<TriggerDetail>, JournalError> {
    let Some(trigger) = triggers::find(connection, burst_id)? else { return Ok(None) };
    let view = trigger_view(connection, trigger.clone(), usize::MAX)?;
    Ok(Some(TriggerDetail { view, trigger }))
}

/// The candidates of a deadline in full.
pub(super) fn candidates_of_deadline(
    connection: &Connection,
    burst_id: &str,
    deadline: DeadlineName,
) -> Result<Option<CandidateList>, JournalError> {
    let found = analyses::find(connection, burst_id, deadline)?;
    Ok(found.map(|(_, result)| analysed_list(&result, result.t0, usize::MAX, usize::MAX)))
}

fn trigger_view(
    connection: &Connection,
    trigger: Trigger,
    product_limit: usize,
) -> Result<TriggerView, JournalError> {
    let burst = normalise_burst_id(&trigger.burst_id);
    let deadlines = triggers::deadlines_of(connection, &burst)?;
    let mut newest = None;
    for (deadline, _) in deadlines.iter().rev() {
        let may_be_analysed =
            !matches!(deadline.state, DeadlineState::Planned | DeadlineState::Due);
        if may_be_analysed
            && let Some((_, result)) = analyses::find(connection, &burst, deadline.name)?
        {
            newest = Some(result);
            break;
        }
    }
    let provisional = frames::last_provisional(connection, &burst)?;
    let candidates = newest_list(newest.as_ref(), provisional, trigger.t0);
    let made = products::of_burst(connection, &burst)?;
    Ok(TriggerView::new(
        trigger,
        deadlines
            .into_iter()
            .map(|(deadline, lateness)| DeadlineView::new(deadline, lateness))
            .collect(),
        newest.as_ref().map(AnalysisView::from),
        candidates,
        made.into_iter().map(ProductView::from).collect(),
        product_limit,
    ))
}

/// The provisional list if it is newer than the newest analysis, else that.
fn newest_list(
    analysis: Option<&AnalysisResult>,
    provisional: Option<(UtcTime, Vec<ListedCandidate>)>,
    t0: UtcTime,
) -> CandidateList {
    match (analysis, provisional) {
        (Some(result), Some((at, listed))) if at > result.due_at => {
            provisional_list(at, &listed, Some(result), t0)
        }
        (Some(result), _) => analysed_list(result, t0, CANDIDATE_LIMIT, POINT_LIMIT),
        (None, Some((at, listed))) => provisional_list(at, &listed, None, t0),
        (None, None) => CandidateList::nothing(),
    }
}

fn analysed_list(
    result: &AnalysisResult,
    t0: UtcTime,
    candidate_limit: usize,
    point_limit: usize,
) -> CandidateList {
    let views = result
        .candidates
        .iter()
        .take(candidate_limit)
        .map(|listed| CandidateView::new(listed, t0, cutout_of(result, listed), point_limit));
    CandidateList {
        origin: ListOrigin::Analysis,
        deadline: Some(result.deadline),
        at: Some(result.due_at),
        total: result.candidates.len(),
        listed: views.collect(),
    }
}

/// Provisional lists have no files: their candidates borrow the cut-outs of the analysis before.
fn provisional_list(
    at: UtcTime,
    listed: &[ListedCandidate],
    analysis: Option<&AnalysisResult>,
    t0: UtcTime,
) -> CandidateList {
    let views = listed.iter().take(CANDIDATE_LIMIT).map(|one| {
        let cutout = analysis.and_then(|result| {
            let same = result.candidates.iter().find(|known| {
                let distance = known.candidate.position.separation_arcsec(one.candidate.position);
                distance < SAME_CANDIDATE_ARCSEC
            })?;
            cutout_of(result, same)
        });
        CandidateView::new(one, t0, cutout, POINT_LIMIT)
    });
    CandidateList {
        origin: ListOrigin::Provisional,
        deadline: None,
        at: Some(at),
        total: listed.len(),
        listed: views.collect(),
    }
}

fn cutout_of(result: &AnalysisResult, listed: &ListedCandidate) -> Option<String> {
    let name = listed.cutout.as_deref()?;
    Some(addresses::cutout(&result.burst_id, result.deadline, name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::made_up_night::{MadeUpNight, analysis, t0};

    #[test]
    fn a_newer_provisional_list_is_shown_with_the_cutouts_of_the_analysis() {
        let result = analysis(DeadlineName::Minutes(5));
        let mut listed = result.candidates.clone();
        listed.truncate(2);
        for one in &mut listed {
            one.cutout = None;
        }
        listed[1].candidate.position = listed[1].candidate.position.offset_arcsec(60.0, 0.0);
        let older = newest_list(
            Some(&result),
            Some((result.due_at.plus_seconds(-30.0), listed.clone())),
            t0(),
        );
        assert_eq!(older.origin, ListOrigin::Analysis);
        assert_eq!(older.total, result.candidates.len());
        let newer =
            newest_list(Some(&result), Some((result.due_at.plus_seconds(30.0), listed)), t0());
        assert_eq!(newer.origin, ListOrigin::Provisional);
        assert_eq!(newer.listed[0].cutout_url, older.listed[0].cutout_url);
        assert!(newer.listed[0].cutout_url.is_some());
        assert_eq!(newer.listed[1].cutout_url, None);
        assert_eq!(newest_list(None, None, t0()), CandidateList::nothing());
    }

    #[tokio::test]
    async fn the_cache_follows_the_journal() {
        let night = MadeUpNight::empty().await;
        let cache = SnapshotCache::new();
        let before = cache.get(&night.journal).await.unwrap();
        assert!(before.alerts.is_empty() && before.triggers.is_empty());
        night.fill().await;
        let after = cache.get(&night.journal).await.unwrap();
        assert_eq!(after.triggers.len(), 2);
        assert_eq!(after, cache.get(&night.journal).await.unwrap());
        let version = cache.last.lock().await.as_ref().map(|(version, _)| *version);
        let unchanged = night.journal.read(move |c| read_if_changed(c, version)).await.unwrap();
        assert!(unchanged.is_none(), "nothing is read twice");
    }
}
