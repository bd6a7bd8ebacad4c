//! What a notice does to the trigger of its burst: a pure state machine (interfaces.md §2, §3).
//!
//! The merged view does not depend on the order in which notices arrive: T0 is that of the best source (of equal sources
//! the earliest), the position is the one of the smallest uncertainty, and the state follows from the set of notices.
//! Only what records the reception does: `opened_at`, `revision`, the order of `notices` and the spelling of the burst id.

use super::{naming, t0::t0};
use crate::model::{
    FrameKeywords, Notice, NoticeEffect, PositionEstimate, Role, SkyPosition, T0Source, Trigger,
    TriggerOrigin, TriggerState, UtcTime, is_safe_name, normalise_burst_id,
};
use std::{cmp::Ordering, fmt};

/// Which notices count.
#[derive(Debug, Clone, PartialEq)]
pub struct TriggerPolicy {
    pub accept_roles: Vec<Role>,
    /// An alert whose T0 is longer ago than this at its reception opens nothing.
    pub maximum_alert_age_seconds: f64,
}

impl TriggerPolicy {
    pub fn new(settings: &crate::config::AlertsSettings) -> Self {
        Self {
            accept_roles: settings.accept_roles.clone(),
            maximum_alert_age_seconds: settings.maximum_alert_age_hours * 3600.0,
        }
    }
}

/// What became of a notice.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The first of its burst.
    Opened(Trigger),
    /// The trigger has changed, if only by the notice.
    Updated(Trigger),
    /// The trigger is retracted now. A retraction that comes first leaves a retracted trigger, so that what it
    /// retracts does not open one later.
    Retracted(Trigger),
    /// No trigger changes; the notice is kept and shown.
    Archived { reason: ArchiveReason },
}

/// Why a notice changes no trigger.
#[derive(Debug, Clone, PartialEq)]
pub enum ArchiveReason {
    RoleNotAccepted(Role),
    ArchiveOnly {
        packet_name: String,
    },
    NoBurstId,
    /// Burst ids become names of directories: this one cannot.
    UnusableBurstId {
        burst_id: String,
    },
    TooOld {
        age_seconds: f64,
    },
    /// The same notice is in the trigger already.
    Duplicate,
}

impl fmt::Display for ArchiveReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RoleNotAccepted(role) => {
                write!(formatter, "role {role:?} is not accepted here")
            }
            Self::ArchiveOnly { packet_name } => {
                write!(formatter, "packets of type {packet_name} change no trigger")
            }
            Self::NoBurstId => formatter.write_str("the packet names no burst"),
            Self::UnusableBurstId { burst_id } => {
                write!(formatter, "the burst id {burst_id:?} cannot be the name of a directory")
            }
            Self::TooOld { age_seconds } => {
                write!(formatter, "the alert was {:.1} h old when it came", age_seconds / 3600.0)
            }
            Self::Duplicate => formatter.write_str("the same notice came before"),
        }
    }
}

/// Applies a notice to the trigger of its burst, if there is one. The caller finds it by [`normalise_burst_id`]; a
/// trigger of another burst is taken for none.
pub fn apply(
    existing: Option<&Trigger>,
    notice: &Notice,
    received_at: UtcTime,
    policy: &TriggerPolicy,
) -> Outcome {
    let archived = |reason| Outcome::Archived { reason };
    if !policy.accept_roles.contains(&notice.role) {
        return archived(ArchiveReason::RoleNotAccepted(notice.role));
    }
    if notice.effect == NoticeEffect::ArchiveOnly {
        return archived(ArchiveReason::ArchiveOnly { packet_name: notice.packet_name.clone() });
    }
    let Some(burst_id) = notice.burst_id.as_deref().filter(|id| !id.trim().is_empty()) else {
        return archived(ArchiveReason::NoBurstId);
    };
    if !is_safe_name(burst_id.trim()) {
        return archived(ArchiveReason::UnusableBurstId { burst_id: burst_id.to_owned() });
    }
    let same_burst =
        |trigger: &&Trigger| normalise_burst_id(&trigger.burst_id) == normalise_burst_id(burst_id);
    let Some(existing) = existing.filter(same_burst) else {
        let age_seconds = received_at.seconds_since(t0(notice, received_at).0);
        if age_seconds > policy.maximum_alert_age_seconds {
            return archived(ArchiveReason::TooOld { age_seconds });
        }
        let trigger = opened_by(burst_id, notice, received_at);
        return match trigger.state {
            TriggerState::Retracted => Outcome::Retracted(trigger),
            _ => Outcome::Opened(trigger),
        };
    };
    if existing.notices.iter().any(|(_, earlier)| earlier == notice) {
        return archived(ArchiveReason::Duplicate);
    }
    let trigger = joined_by(existing, notice, received_at);
    let is_news = existing.state != TriggerState::Retracted;
    match trigger.state {
        TriggerState::Retracted if is_news => Outcome::Retracted(trigger),
        _ => Outcome::Updated(trigger),
    }
}

/// The trigger as it was known before `instant`: the merged view of the notices received until then. What serves a deadline
/// goes by this, so that its result is the same whether or not a notice of that very instant, or a later one, was heard
/// before the work was done. A trigger opened by a frame header, or with no notice before `instant`, stays as it is.
pub fn known_before(trigger: &Trigger, instant: UtcTime) -> Trigger {
    let mut earlier = trigger.notices.iter().filter(|(received_at, _)| *received_at < instant);
    let opening = match trigger.origin {
        TriggerOrigin::Notice => earlier.next(),
        TriggerOrigin::FrameHeader => None,
    };
    let Some((received_at, notice)) = opening else { return trigger.clone() };
    let opened = opened_by(&trigger.burst_id, notice, *received_at);
    earlier.fold(opened, |known, (received_at, notice)| joined_by(&known, notice, *received_at))
}

/// What the first notice of a burst makes.
fn opened_by(burst_id: &str, notice: &Notice, received_at: UtcTime) -> Trigger {
    let (t0, t0_source) = t0(notice, received_at);
    let mut trigger = Trigger {
        burst_id: burst_id.trim().to_owned(),
        state: TriggerState::Open,
        revision: 1,
        origin: TriggerOrigin::Notice,
        t0,
        t0_source,
        opened_at: received_at,
        best_position: notice.position.filter(|estimate| estimate.radius_degrees.is_some()),
        slewing: None,
        name: String::new(),
        notices: vec![(received_at, notice.clone())],
    };
    derive_state(&mut trigger);
    trigger
}

/// What a further notice makes.
fn joined_by(known: &Trigger, notice: &Notice, received_at: UtcTime) -> Trigger {
    let mut trigger = known.clone();
    trigger.revision = trigger.revision.saturating_add(1);
    let (t0, t0_source) = t0(notice, received_at);
    if (t0_source, t0) < (trigger.t0_source, trigger.t0) {
        (trigger.t0, trigger.t0_source) = (t0, t0_source);
    }
    trigger.best_position = better_position(trigger.best_position, notice.position);
    trigger.notices.push((received_at, notice.clone()));
    derive_state(&mut trigger);
    trigger
}

/// State, slewing and name follow from the notices and from T0.
fn derive_state(trigger: &mut Trigger) {
    let has = |effect| trigger.notices.iter().any(|(_, notice)| notice.effect == effect);
    let opened_by_frame = trigger.origin == TriggerOrigin::FrameHeader;
    trigger.state = if has(NoticeEffect::Retracts) {
        TriggerState::Retracted
    } else if trigger.state == TriggerState::Closed {
        TriggerState::Closed
    } else if has(NoticeEffect::Refines) && (trigger.notices.len() > 1 || opened_by_frame) {
        TriggerState::Refined
    } else if has(NoticeEffect::Opens) || has(NoticeEffect::Refines) || opened_by_frame {
        TriggerState::Open
    } else {
        TriggerState::Preliminary
    };
    trigger.slewing = slewing(trigger);
    trigger.name = naming::trigger_name(mission(trigger), trigger.t0);
}

fn mission(trigger: &Trigger) -> &str {
    // The smallest, so that the order of notices of several missions does not matter.
    trigger.notices.iter().map(|(_, notice)| notice.mission.as_str()).min().unwrap_or("GRB")
}

/// What the latest of the packets about slewing says (204 slewing, 205 not slewing).
fn slewing(trigger: &Trigger) -> Option<bool> {
    trigger
        .notices
        .iter()
        .filter_map(|(_, notice)| {
            let slews = match notice.packet_name.as_str() {
                "slewing" => true,
                "not-slewing" => false,
                _ => return None,
            };
            Some((notice.date, slews))
        })
        .max()
        .map(|(_, slews)| slews)
}

/// The position of the smallest uncertainty. A position without one is no search region; it stays only where there is
/// nothing else (the pointing of a trigger opened by a frame).
fn better_position(
    known: Option<PositionEstimate>,
    new: Option<PositionEstimate>,
) -> Option<PositionEstimate> {
    let new = new.filter(|estimate| estimate.radius_degrees.is_some());
    match (known, new) {
        (Some(known), Some(new)) => {
            Some(if compare_positions(&new, &known).is_lt() { new } else { known })
        }
        (known, new) => known.or(new),
    }
}

/// By radius, none last; equal radii by position, so that order of arrival does not matter.
fn compare_positions(left: &PositionEstimate, right: &PositionEstimate) -> Ordering {
    let key = |estimate: &PositionEstimate| {
        let radius = estimate.radius_degrees.unwrap_or(f64::INFINITY);
        [radius, estimate.position.ra_degrees, estimate.position.dec_degrees]
    };
    let (left, right) = (key(left), key(right));
    left.iter()
        .zip(&right)
        .map(|(left, right)| left.total_cmp(right))
        .find(|order| order.is_ne())
        .unwrap_or(Ordering::Equal)
}

/// What the alert cards of a frame say of its trigger (`ALEVT`, `ALRA`, `ALDE`, `ALUN`); each may be absent.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct AlertCards {
    pub event_time: Option<UtcTime>,
    pub position: Option<SkyPosition>,
    /// 90 % error radius.
    pub radius_degrees: Option<f64>,
}

/// The trigger that a frame opens whose burst no notice has announced. `None` if the frame names no trigger. T0 without
/// `ALEVT` is the start of the exposure: the burst was before it. Without a radius the position (that of the cards, else
/// the pointing) is no search region, and the whole frame counts.
pub fn from_frame(
    keywords: &FrameKeywords,
    cards: &AlertCards,
    received_at: UtcTime,
) -> Option<Trigger> {
    let burst_id = keywords.trigger_id.as_deref()?.trim();
    if normalise_burst_id(burst_id).is_empty() || !is_safe_name(burst_id) {
        return None;
    }
    let radius_degrees = cards
        .position
        .and(cards.radius_degrees)
        .filter(|radius| *radius > 0.0 && radius.is_finite());
    let position = cards.position.or(keywords.pointing);
    let mut trigger = Trigger {
        burst_id: burst_id.to_owned(),
        state: TriggerState::Open,
        revision: 1,
        origin: TriggerOrigin::FrameHeader,
        t0: cards.event_time.unwrap_or(keywords.date_obs),
        t0_source: T0Source::FrameHeader,
        opened_at: received_at,
        best_position: position.map(|position| PositionEstimate { position, radius_degrees }),
        slewing: None,
        name: String::new(),
        notices: Vec::new(),
    };
    derive_state(&mut trigger);
    Some(trigger)
}

#[cfg(test)]
mod tests;
