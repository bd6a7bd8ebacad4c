//! The life of a trigger: what a notice makes of it, and the deadlines that follow.
//!
//! ```text
//!             199, 200                   202, 201, refining notices
//!  (unknown) ──────────▶ preliminary ──────────────────────────▶ open ──▶ refined ──▶ closed
//!      │                      │                                    │         │
//!      └── 201, 202, 204… ────┼──────────────▶ open                └────┬────┘
//!                             └──────── retraction (219) ───────────────┴──▶ retracted
//! ```
//!
//! The same notices in any order give the same trigger, but for what is about their reception: a better T0 source replaces a
//! worse one, the smallest uncertainty is the best position, a retraction is final.

use super::t0::t0;
use crate::{
    config::alerts::AlertsSettings,
    model::{
        Deadline, DeadlineName, DeadlineState, FrameKeywords, Notice, NoticeEffect,
        PositionEstimate, Role, T0Source, Trigger, TriggerOrigin, TriggerState, UtcTime,
        normalise_burst_id,
    },
};

/// What a site accepts.
#[derive(Debug, Clone, PartialEq)]
pub struct TriggerPolicy {
    pub accept_roles: Vec<Role>,
    /// An older alert is archived and shown, and gets no epochs.
    pub maximum_alert_age_seconds: f64,
}

impl TriggerPolicy {
    pub fn from_config(settings: &AlertsSettings) -> Self {
        Self {
            accept_roles: settings.accept_roles.clone(),
            maximum_alert_age_seconds: settings.maximum_alert_age_hours * 3600.0,
        }
    }
}

/// What a notice did.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    Opened(Trigger),
    Updated(Trigger),
    Retracted(Trigger),
    /// No trigger changed.
    Archived {
        reason: String,
    },
}

/// Applies a notice to the trigger of its burst.
pub fn apply(
    existing: Option<&Trigger>,
    notice: &Notice,
    received_at: UtcTime,
    policy: &TriggerPolicy,
) -> Outcome {
    let archived = |reason: &str| Outcome::Archived { reason: reason.to_owned() };
    if !policy.accept_roles.contains(&notice.role) {
        return archived(&format!("role {:?} is not accepted here", notice.role));
    }
    if notice.effect == NoticeEffect::ArchiveOnly {
        return archived(&format!("{} opens nothing", notice.packet_name));
    }
    let Some(burst_id) = notice.burst_id.as_deref() else {
        return archived("the packet names no burst");
    };
    let (notice_t0, source) = t0(notice, received_at);
    let age = received_at.seconds_since(notice_t0);
    if existing.is_none() && age > policy.maximum_alert_age_seconds {
        return archived(&format!("{:.1} h old, older than what is followed", age / 3600.0));
    }
    let mut trigger = match existing {
        Some(trigger) => {
            if trigger.notices.iter().any(|(_, known)| known == notice) {
                return archived("heard before");
            }
            let mut trigger = trigger.clone();
            trigger.revision += 1;
            trigger
        }
        None => Trigger {
            burst_id: burst_id.to_owned(),
            state: TriggerState::Preliminary,
            revision: 1,
            origin: TriggerOrigin::Notice,
            t0: notice_t0,
            t0_source: source,
            opened_at: received_at,
            best_position: None,
            slewing: None,
            name: String::new(),
            notices: Vec::new(),
        },
    };
    trigger.notices.push((received_at, notice.clone()));
    merge(&mut trigger);
    match (existing, trigger.state) {
        (_, TriggerState::Retracted) => Outcome::Retracted(trigger),
        (None, _) => Outcome::Opened(trigger),
        (Some(_), _) => Outcome::Updated(trigger),
    }
}

/// Makes the merged view from all notices, so that their order does not matter.
fn merge(trigger: &mut Trigger) {
    let from_notices = trigger
        .notices
        .iter()
        .map(|(received_at, notice)| {
            let (instant, source) = t0(notice, *received_at);
            (source, instant)
        })
        .min();
    if let Some((source, instant)) = from_notices
        && (trigger.origin == TriggerOrigin::Notice || source < trigger.t0_source)
    {
        (trigger.t0, trigger.t0_source) = (instant, source);
    }
    let best = trigger
        .notices
        .iter()
        .filter_map(|(_, notice)| notice.position.map(|position| (position, &notice.ivorn)))
        .min_by(|(left, left_ivorn), (right, right_ivorn)| {
            radius_of(left).total_cmp(&radius_of(right)).then_with(|| left_ivorn.cmp(right_ivorn))
        })
        .map(|(position, _)| position);
    if best.is_some() {
        trigger.best_position = best;
    }
    trigger.slewing = slewing_of(&trigger.notices).or(trigger.slewing);
    trigger.name = name_of(trigger.t0);
    let has = |effect: NoticeEffect| trigger.notices.iter().any(|(_, n)| n.effect == effect);
    let was_closed = trigger.state == TriggerState::Closed;
    trigger.state = if has(NoticeEffect::Retracts) {
        TriggerState::Retracted
    } else if was_closed {
        TriggerState::Closed
    } else if has(NoticeEffect::Refines) {
        TriggerState::Refined
    } else if has(NoticeEffect::Opens) || trigger.origin == TriggerOrigin::FrameHeader {
        TriggerState::Open
    } else {
        TriggerState::Preliminary
    };
}

fn radius_of(estimate: &PositionEstimate) -> f64 {
    estimate.radius_degrees.unwrap_or(180.0)
}

/// Packets 204 and 205 say whether the satellite slews; if both were sent, the later date stands.
fn slewing_of(notices: &[(UtcTime, Notice)]) -> Option<bool> {
    notices
        .iter()
        .filter_map(|(_, notice)| match notice.packet_name.as_str() {
            "slewing" => Some((notice.date, notice.ivorn.as_str(), true)),
            "not-slewing" => Some((notice.date, notice.ivorn.as_str(), false)),
            _ => None,
        })
        .max()
        .map(|(_, _, slews)| slews)
}

/// `SVOM yymmdd.fff`: day fraction in thousandths, cut off, as the telescope control system names bursts (domain.md §1.5).
pub fn name_of(t0: UtcTime) -> String {
    let date = t0.compact_date();
    let day_fraction = t0.mjd().rem_euclid(1.0);
    let thousandths = ((day_fraction * 1000.0).floor() as u32).min(999);
    format!("SVOM {}.{thousandths:03}", date.get(2..).unwrap_or(&date))
}

/// What a frame's own header says of the alert it was taken for (cards ALEVT, ALRA, ALDE, ALUN).
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct FrameAlert {
    pub event_time: Option<UtcTime>,
    pub estimate: Option<PositionEstimate>,
}

/// A trigger for a frame that names a burst which no notice opened: an alert may be lost on the way.
pub fn from_frame(
    keywords: &FrameKeywords,
    alert: &FrameAlert,
    now: UtcTime,
    policy: &TriggerPolicy,
) -> Outcome {
    let Some(burst_id) = keywords.trigger_id.clone().filter(|id| !id.trim().is_empty()) else {
        return Outcome::Archived { reason: "the frame names no trigger".to_owned() };
    };
    if now.seconds_since(keywords.date_obs) > policy.maximum_alert_age_seconds {
        return Outcome::Archived { reason: "the frame is too old to open a trigger".to_owned() };
    }
    let t0 = alert.event_time.unwrap_or(keywords.date_obs);
    let best_position = match alert.estimate {
        Some(estimate) => Some(estimate),
        None => {
            keywords.pointing.map(|position| PositionEstimate { position, radius_degrees: None })
        }
    };
    Outcome::Opened(Trigger {
        burst_id,
        state: TriggerState::Open,
        revision: 1,
        origin: TriggerOrigin::FrameHeader,
        t0,
        t0_source: T0Source::FrameHeader,
        opened_at: now,
        best_position,
        slewing: None,
        name: name_of(t0),
        notices: Vec::new(),
    })
}

/// The deadlines of a trigger (interfaces.md §2): the first result so long after the trigger opened, the epochs after T0. Epochs that
/// had passed when it opened collapse into the last of them, one catch-up delivery with its cause.
pub fn deadlines(
    trigger: &Trigger,
    first_result_seconds: f64,
    epochs_minutes: &[u32],
) -> Vec<Deadline> {
    let burst_id = normalise_burst_id(&trigger.burst_id);
    let planned = |name: DeadlineName, due_at: UtcTime| Deadline {
        burst_id: burst_id.clone(),
        name,
        due_at,
        state: DeadlineState::Planned,
        cause: None,
    };
    let mut all =
        vec![planned(DeadlineName::First, trigger.opened_at.plus_seconds(first_result_seconds))];
    let epochs: Vec<Deadline> = epochs_minutes
        .iter()
        .map(|minutes| {
            let due_at = trigger.t0.plus_seconds(60.0 * f64::from(*minutes));
            planned(DeadlineName::Minutes(*minutes), due_at)
        })
        .collect();
    let catch_up = epochs
        .iter()
        .filter(|epoch| epoch.due_at <= trigger.opened_at)
        .map(|epoch| epoch.name)
        .max();
    for mut epoch in epochs {
        if epoch.due_at <= trigger.opened_at {
            if Some(epoch.name) == catch_up {
                epoch.cause = Some("late notice".to_owned());
            } else {
                epoch.state = DeadlineState::Cancelled;
                epoch.cause = catch_up.map(|name| format!("collapsed into {name}"));
            }
        }
        all.push(epoch);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerts::{svom::PacketTable, understand};
    use proptest::prelude::*;

    fn policy() -> TriggerPolicy {
        TriggerPolicy {
            accept_roles: vec![Role::Observation, Role::Test],
            maximum_alert_age_seconds: f64::INFINITY,
        }
    }

    /// The fixtures, all made to speak of one burst.
    fn notices() -> Vec<Notice> {
        let table = PacketTable::from_config(&AlertsSettings::default());
        [
            "grm-preliminary",
            "grm-trigger-without-position",
            "eclairs-wakeup",
            "slewing",
            "mxt-initial",
        ]
        .iter()
        .map(|name| {
            let path = format!("{}/tests/fixtures/voevents/{name}.xml", env!("CARGO_MANIFEST_DIR"));
            let mut notice = understand(&std::fs::read(path).unwrap(), &table).unwrap();
            notice.burst_id = Some("sb26110101".to_owned());
            notice
        })
        .collect()
    }

    fn after(order: &[Notice]) -> Option<Trigger> {
        let start = UtcTime::parse("2026-11-01T04:18:30Z").unwrap();
        let mut trigger: Option<Trigger> = None;
        for (index, notice) in order.iter().enumerate() {
            let received_at = start.plus_seconds(60.0 * index as f64);
            match apply(trigger.as_ref(), notice, received_at, &policy()) {
                Outcome::Opened(new) | Outcome::Updated(new) | Outcome::Retracted(new) => {
                    trigger = Some(new);
                }
                Outcome::Archived { .. } => {}
            }
        }
        trigger
    }

    proptest! {
        #[test]
        fn any_order_of_the_same_notices_gives_the_same_trigger(
            order in Just(notices()).prop_shuffle(),
        ) {
            let expected = after(&notices()).unwrap();
            let found = after(&order).unwrap();
            prop_assert_eq!(found.state, expected.state);
            prop_assert_eq!((found.t0, found.t0_source), (expected.t0, expected.t0_source));
            prop_assert_eq!(found.best_position, expected.best_position);
            prop_assert_eq!(found.slewing, expected.slewing);
            prop_assert_eq!(found.revision, expected.revision);
        }
    }

    #[test]
    fn a_retraction_is_final_whenever_it_comes() {
        let mut retraction = notices().remove(2);
        retraction.effect = NoticeEffect::Retracts;
        retraction.packet_name = "retraction".to_owned();
        retraction.ivorn += "x";
        let mut order = notices();
        order.insert(0, retraction.clone());
        assert_eq!(after(&order).unwrap().state, TriggerState::Retracted);
        order.rotate_left(1);
        assert_eq!(after(&order).unwrap().state, TriggerState::Retracted);
    }

    #[test]
    fn the_same_notice_twice_changes_nothing() {
        let notices = notices();
        let once = after(&notices).unwrap();
        let twice = after(&[notices.clone(), notices].concat()).unwrap();
        assert_eq!(once, twice);
    }

    #[test]
    fn a_test_packet_opens_nothing_where_tests_are_not_accepted() {
        let mut notice = notices().remove(2);
        notice.role = Role::Test;
        let strict = TriggerPolicy { accept_roles: vec![Role::Observation], ..policy() };
        let outcome = apply(None, &notice, UtcTime::from_unix_microseconds(0), &strict);
        assert!(matches!(outcome, Outcome::Archived { .. }));
    }

    #[test]
    fn epochs_that_have_passed_collapse_into_one() {
        let mut trigger = after(&notices()).unwrap();
        trigger.opened_at = trigger.t0.plus_seconds(1849.0);
        let all = deadlines(&trigger, 270.0, &[5, 10, 30, 60]);
        let states: Vec<(String, DeadlineState, Option<&str>)> =
            all.iter().map(|d| (d.name.to_string(), d.state, d.cause.as_deref())).collect();
        use DeadlineState::{Cancelled, Planned};
        assert_eq!(
            states,
            [
                ("FIRST".to_owned(), Planned, None),
                ("T005".to_owned(), Cancelled, Some("collapsed into T030")),
                ("T010".to_owned(), Cancelled, Some("collapsed into T030")),
                ("T030".to_owned(), Planned, Some("late notice")),
                ("T060".to_owned(), Planned, None),
            ]
        );
        assert_eq!(all[0].due_at.seconds_since(trigger.opened_at), 270.0);
    }

    #[test]
    fn bursts_are_named_by_day_and_thousandth() {
        let t0 = UtcTime::parse("2026-11-02T12:00:00Z").unwrap();
        assert_eq!(name_of(t0), "SVOM 261102.500");
    }
}
