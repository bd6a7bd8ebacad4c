//! The deadlines of a trigger (interfaces.md §2).

use crate::model::{Deadline, DeadlineName, DeadlineState, Trigger, TriggerState, UtcTime};

/// Cause of the one delivery that stands for all epochs already past when the trigger opens.
pub const LATE_NOTICE: &str = "late notice";
const RETRACTED: &str = "retracted";
const REFINED_T0: &str = "T0 refined";

/// Plans the deadlines of a trigger that has just opened: `FIRST` at `opened_at` + `first_result_seconds`, always, and the
/// epochs at T0 + minutes. Of the epochs that are past at `now` the last stays planned, with the cause [`LATE_NOTICE`]: it is
/// the one catch-up delivery, due at once (the caller waits for the first frame). The earlier ones are cancelled, saying into
/// which they collapsed. A retracted trigger has all of them cancelled. In order of their instants.
pub fn deadlines(
    trigger: &Trigger,
    first_result_seconds: f64,
    epochs_minutes: &[u32],
    now: UtcTime,
) -> Vec<Deadline> {
    let plan = |name, due_at| Deadline {
        burst_id: trigger.burst_id.clone(),
        name,
        due_at,
        state: DeadlineState::Planned,
        cause: None,
    };
    let first = plan(DeadlineName::First, trigger.opened_at.plus_seconds(first_result_seconds));
    let epochs = epochs_minutes
        .iter()
        .map(|minutes| plan(DeadlineName::Minutes(*minutes), epoch(trigger, *minutes)));
    let mut planned: Vec<Deadline> = epochs.collect();
    collapse(&mut planned, now, LATE_NOTICE);
    planned.push(first);
    if trigger.state == TriggerState::Retracted {
        planned.iter_mut().for_each(|deadline| cancel(deadline, RETRACTED));
    }
    planned.sort_by_key(|deadline| (deadline.due_at, deadline.name));
    planned
}

/// The deadlines of a trigger that has changed. Those still planned and not yet due move with T0; those that thereby come
/// to lie in the past collapse into the last of them, which is due at once, with the cause `T0 refined`. What is due,
/// analysed or delivered, and the catch-up delivery of a late notice, stays as it is; `FIRST` counts from the reception
/// and never moves. A retraction cancels all that are still planned. Gives only those that changed.
pub fn replan(existing: &[Deadline], trigger: &Trigger, now: UtcTime) -> Vec<Deadline> {
    let planned = existing.iter().filter(|deadline| deadline.state == DeadlineState::Planned);
    if trigger.state == TriggerState::Retracted {
        let mut cancelled: Vec<Deadline> = planned.cloned().collect();
        cancelled.iter_mut().for_each(|deadline| cancel(deadline, RETRACTED));
        return cancelled;
    }
    let mut moved: Vec<Deadline> = planned
        .filter(|deadline| deadline.due_at > now)
        .filter_map(|deadline| match deadline.name {
            DeadlineName::First => None,
            DeadlineName::Minutes(minutes) => {
                Some(Deadline { due_at: epoch(trigger, minutes), ..deadline.clone() })
            }
        })
        .collect();
    collapse(&mut moved, now, REFINED_T0);
    moved.retain(|deadline| !existing.contains(deadline));
    moved
}

fn epoch(trigger: &Trigger, minutes: u32) -> UtcTime {
    trigger.t0.plus_seconds(f64::from(minutes) * 60.0)
}

/// Collapses the epochs that are past into the last of them.
fn collapse(epochs: &mut [Deadline], now: UtcTime, cause: &str) {
    let past = epochs.iter().filter(|deadline| deadline.due_at <= now);
    let Some(last) = past.map(|deadline| (deadline.due_at, deadline.name)).max() else { return };
    for deadline in epochs.iter_mut().filter(|deadline| deadline.due_at <= now) {
        if (deadline.due_at, deadline.name) == last {
            deadline.cause = Some(cause.to_owned());
        } else {
            cancel(deadline, &format!("collapsed into {}", last.1));
        }
    }
}

fn cancel(deadline: &mut Deadline, cause: &str) {
    deadline.state = DeadlineState::Cancelled;
    deadline.cause = Some(cause.to_owned());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerts::{
        fixtures,
        trigger_state::{Outcome, TriggerPolicy, apply},
    };

    const EPOCHS: [u32; 4] = [5, 10, 30, 60];

    fn opened(seconds_after_t0: f64) -> (Trigger, UtcTime) {
        let notice = fixtures::notice("eclairs-wakeup");
        let now = notice.sequence_t0.unwrap().plus_seconds(seconds_after_t0);
        let policy = TriggerPolicy::new(&crate::config::AlertsSettings::default());
        let Outcome::Opened(trigger) = apply(None, &notice, now, &policy) else { panic!() };
        (trigger, now)
    }

    /// Name, seconds after T0, state and cause of each.
    fn shown(trigger: &Trigger, deadlines: &[Deadline]) -> Vec<String> {
        let show = |each: &Deadline| {
            let seconds = each.due_at.seconds_since(trigger.t0);
            let cause = each.cause.as_deref().unwrap_or("-");
            format!("{} {seconds} {:?} {cause}", each.name, each.state)
        };
        deadlines.iter().map(show).collect()
    }

    #[test]
    fn a_notice_in_time_plans_them_all() {
        let (trigger, now) = opened(95.0);
        assert_eq!(
            shown(&trigger, &deadlines(&trigger, 270.0, &EPOCHS, now)),
            [
                "T005 300 Planned -",
                "FIRST 365 Planned -",
                "T010 600 Planned -",
                "T030 1800 Planned -",
                "T060 3600 Planned -"
            ]
        );
    }

    #[test]
    fn epochs_already_past_collapse_into_the_last_of_them() {
        let (trigger, now) = opened(1849.0);
        assert_eq!(
            shown(&trigger, &deadlines(&trigger, 270.0, &EPOCHS, now)),
            [
                "T005 300 Cancelled collapsed into T030",
                "T010 600 Cancelled collapsed into T030",
                "T030 1800 Planned late notice",
                "FIRST 2119 Planned -",
                "T060 3600 Planned -",
            ]
        );
        let (trigger, now) = opened(300.0);
        assert_eq!(
            shown(&trigger, &deadlines(&trigger, 270.0, &EPOCHS, now))[0],
            "T005 300 Planned late notice"
        );
        let (trigger, now) = opened(90_000.0);
        let shown = shown(&trigger, &deadlines(&trigger, 270.0, &EPOCHS, now));
        assert_eq!(shown[3..], ["T060 3600 Planned late notice", "FIRST 90270 Planned -"]);
    }

    #[test]
    fn a_refined_t0_moves_what_is_not_yet_due() {
        let (mut trigger, now) = opened(95.0);
        let planned = deadlines(&trigger, 270.0, &EPOCHS, now);
        assert_eq!(replan(&planned, &trigger, now), []);
        let old_t0 = trigger.t0;
        trigger.t0 = old_t0.plus_seconds(-20.0);
        let later = old_t0.plus_seconds(310.0);
        let moved = replan(&planned, &trigger, later);
        assert_eq!(
            shown(&trigger, &moved),
            ["T010 600 Planned -", "T030 1800 Planned -", "T060 3600 Planned -"]
        );
    }

    #[test]
    fn a_t0_much_earlier_makes_one_delivery_due_at_once() {
        let (mut trigger, now) = opened(95.0);
        let planned = deadlines(&trigger, 270.0, &EPOCHS, now);
        trigger.t0 = trigger.t0.plus_seconds(-700.0);
        assert_eq!(
            shown(&trigger, &replan(&planned, &trigger, now)),
            [
                "T005 300 Cancelled collapsed into T010",
                "T010 600 Planned T0 refined",
                "T030 1800 Planned -",
                "T060 3600 Planned -"
            ]
        );
    }

    #[test]
    fn a_retraction_cancels_what_is_still_planned() {
        let (mut trigger, now) = opened(95.0);
        let mut planned = deadlines(&trigger, 270.0, &EPOCHS, now);
        planned[0].state = DeadlineState::Delivered;
        trigger.state = TriggerState::Retracted;
        let cancelled = replan(&planned, &trigger, now);
        assert_eq!(cancelled.len(), 4);
        assert!(cancelled.iter().all(|each| each.state == DeadlineState::Cancelled));
        assert!(
            deadlines(&trigger, 270.0, &EPOCHS, now)
                .iter()
                .all(|each| each.cause.as_deref() == Some("retracted"))
        );
    }
}
