use super::*;
use crate::{alerts::fixtures, model::FrameKind};
use proptest::prelude::*;

fn time(text: &str) -> UtcTime {
    UtcTime::parse(text).unwrap()
}

fn received() -> UtcTime {
    time("2026-11-01T03:40:00Z")
}

fn policy() -> TriggerPolicy {
    TriggerPolicy::new(&crate::config::AlertsSettings::default())
}

/// Applies notices one minute apart and gives the trigger that stands at the end.
fn run(notices: &[Notice]) -> Option<Trigger> {
    let mut trigger = None;
    for (index, notice) in notices.iter().enumerate() {
        let received_at = received().plus_seconds(60.0 * index as f64);
        match apply(trigger.as_ref(), notice, received_at, &policy()) {
            Outcome::Opened(new) | Outcome::Updated(new) | Outcome::Retracted(new) => {
                trigger = Some(new);
            }
            Outcome::Archived { .. } => {}
        }
    }
    trigger
}

fn run_named(names: &[&str]) -> Option<Trigger> {
    run(&names.iter().map(|name| fixtures::notice(name)).collect::<Vec<_>>())
}

#[test]
fn the_usual_sequence_refines_step_by_step() {
    let grm = run_named(&["grm-trigger-without-position"]).unwrap();
    assert_eq!((grm.state, grm.best_position), (TriggerState::Open, None));
    assert_eq!(grm.t0_source, T0Source::WindowStart);

    let wakeup = run_named(&["grm-trigger-without-position", "eclairs-wakeup"]).unwrap();
    assert_eq!((wakeup.state, wakeup.revision), (TriggerState::Open, 2));
    assert_eq!(
        (wakeup.t0, wakeup.t0_source),
        (time("2026-11-01T03:13:31.5"), T0Source::SequenceT0)
    );
    assert_eq!(wakeup.best_position.unwrap().radius_degrees, Some(0.1));
    assert_eq!(wakeup.opened_at, received());
    assert_eq!(wakeup.name, "SVOM 261101.134");

    let all =
        run_named(&["grm-trigger-without-position", "eclairs-wakeup", "slewing", "mxt-initial"])
            .unwrap();
    assert_eq!((all.state, all.slewing), (TriggerState::Refined, Some(true)));
    assert_eq!(all.best_position.unwrap().radius_degrees, Some(0.01));
    assert_eq!(all.t0_source, T0Source::SequenceT0);
}

#[test]
fn a_preliminary_notice_opens_a_preliminary_trigger_until_a_real_one_comes() {
    let preliminary = run_named(&["grm-preliminary"]).unwrap();
    assert_eq!(preliminary.state, TriggerState::Preliminary);
    assert_eq!(preliminary.best_position, None, "a radius of -1 is no search region");
    assert_eq!(
        run_named(&["grm-preliminary", "grm-trigger-without-position"]).unwrap().state,
        TriggerState::Open
    );
}

#[test]
fn a_refinement_of_an_unknown_burst_opens_it() {
    let outcome = apply(None, &fixtures::notice("mxt-initial"), received(), &policy());
    let Outcome::Opened(trigger) = outcome else { panic!("{outcome:?}") };
    assert_eq!((trigger.state, trigger.t0_source), (TriggerState::Open, T0Source::NoticeDate));
    assert_eq!(run_named(&["not-slewing"]).unwrap().slewing, Some(false));
}

#[test]
fn a_retraction_ends_a_trigger_and_one_that_comes_first_keeps_it_from_opening() {
    let open = run_named(&["eclairs-wakeup"]).unwrap();
    let retraction = fixtures::notice("retraction");
    let outcome = apply(Some(&open), &retraction, received(), &policy());
    assert!(
        matches!(&outcome, Outcome::Retracted(trigger) if trigger.state == TriggerState::Retracted)
    );

    let outcome = apply(None, &retraction, received(), &policy());
    let Outcome::Retracted(first) = outcome else { panic!("{outcome:?}") };
    let outcome = apply(Some(&first), &fixtures::notice("eclairs-wakeup"), received(), &policy());
    let Outcome::Updated(later) = outcome else { panic!("{outcome:?}") };
    assert_eq!(later.state, TriggerState::Retracted);
}

#[test]
fn what_changes_no_trigger_says_why() {
    let reason = |notice: &Notice| match apply(None, notice, received(), &policy()) {
        Outcome::Archived { reason } => reason,
        other => panic!("{other:?}"),
    };
    let wakeup = fixtures::notice("eclairs-wakeup");
    assert!(matches!(
        reason(&fixtures::notice("eclairs-catalog")),
        ArchiveReason::ArchiveOnly { .. }
    ));
    assert!(matches!(reason(&fixtures::notice("unknown-type")), ArchiveReason::ArchiveOnly { .. }));
    assert_eq!(
        reason(&Notice { role: Role::Test, ..wakeup.clone() }),
        ArchiveReason::RoleNotAccepted(Role::Test)
    );
    assert_eq!(reason(&Notice { burst_id: None, ..wakeup.clone() }), ArchiveReason::NoBurstId);
    assert_eq!(
        reason(&Notice { burst_id: Some(" ".into()), ..wakeup.clone() }),
        ArchiveReason::NoBurstId
    );
    let open = run_named(&["eclairs-wakeup"]).unwrap();
    let again = apply(Some(&open), &wakeup, received(), &policy());
    assert_eq!(again, Outcome::Archived { reason: ArchiveReason::Duplicate });
}

#[test]
fn an_alert_older_than_the_policy_opens_nothing_but_still_refines() {
    let wakeup = fixtures::notice("eclairs-wakeup");
    let t0 = wakeup.sequence_t0.unwrap();
    let at = |hours: f64| t0.plus_seconds(hours * 3600.0);
    assert!(matches!(apply(None, &wakeup, at(48.0), &policy()), Outcome::Opened(_)));
    let outcome = apply(None, &wakeup, at(48.01), &policy());
    assert!(matches!(outcome, Outcome::Archived { reason: ArchiveReason::TooOld { .. } }));
    let open = run_named(&["grm-trigger-without-position"]).unwrap();
    assert!(matches!(apply(Some(&open), &wakeup, at(50.0), &policy()), Outcome::Updated(_)));
}

#[test]
fn spellings_of_a_burst_are_one_and_other_bursts_are_others() {
    let open = run_named(&["eclairs-wakeup"]).unwrap();
    let bare = Notice { burst_id: Some("26110101".into()), ..fixtures::notice("slewing") };
    assert!(matches!(apply(Some(&open), &bare, received(), &policy()), Outcome::Updated(_)));
    let other = Notice { burst_id: Some("sb26110109".into()), ..fixtures::notice("slewing") };
    assert!(matches!(apply(Some(&open), &other, received(), &policy()), Outcome::Opened(_)));
}

#[test]
fn a_closed_trigger_stays_closed_unless_it_is_retracted() {
    let closed = Trigger { state: TriggerState::Closed, ..run_named(&["eclairs-wakeup"]).unwrap() };
    let Outcome::Updated(later) =
        apply(Some(&closed), &fixtures::notice("mxt-initial"), received(), &policy())
    else {
        panic!()
    };
    assert_eq!(later.state, TriggerState::Closed);
    assert_eq!(later.best_position.unwrap().radius_degrees, Some(0.01));
    let outcome = apply(Some(&closed), &fixtures::notice("retraction"), received(), &policy());
    assert!(matches!(outcome, Outcome::Retracted(_)));
}

fn frame(trigger_id: Option<&str>) -> FrameKeywords {
    FrameKeywords {
        kind: FrameKind::Object,
        trigger_id: trigger_id.map(str::to_owned),
        observer: None,
        object: None,
        instrument: "C0".into(),
        filter: "w".into(),
        exposure_seconds: 50.0,
        date_obs: time("2026-11-01T03:16:00Z"),
        pointing: Some(SkyPosition::new(30.0, 24.0)),
        gain_electrons: None,
        read_noise_electrons: None,
        saturation: None,
        binning: 2,
        size_pixels: (1024, 1024),
        camera: Default::default(),
    }
}

#[test]
fn a_frame_opens_a_trigger_that_no_notice_announced() {
    let bare = from_frame(&frame(Some("929744")), &AlertCards::default(), received()).unwrap();
    assert_eq!((bare.origin, bare.state), (TriggerOrigin::FrameHeader, TriggerState::Open));
    assert_eq!((bare.t0, bare.t0_source), (time("2026-11-01T03:16:00Z"), T0Source::FrameHeader));
    assert_eq!(bare.best_position.unwrap().position, SkyPosition::new(30.0, 24.0));
    assert_eq!(bare.best_position.unwrap().radius_degrees, None);

    let cards = AlertCards {
        event_time: Some(time("2026-11-01T03:13:00Z")),
        position: Some(SkyPosition::new(30.1, 24.1)),
        radius_degrees: Some(0.2),
    };
    let full = from_frame(&frame(Some("26110101")), &cards, received()).unwrap();
    assert_eq!(full.t0, time("2026-11-01T03:13:00Z"));
    assert_eq!(full.best_position.unwrap().radius_degrees, Some(0.2));

    for id in [None, Some(""), Some("  ")] {
        assert_eq!(from_frame(&frame(id), &cards, received()), None);
    }

    // The notice that comes after all is better informed.
    let Outcome::Updated(merged) =
        apply(Some(&full), &fixtures::notice("slewing"), received(), &policy())
    else {
        panic!()
    };
    assert_eq!((merged.state, merged.t0_source), (TriggerState::Refined, T0Source::SequenceT0));
    assert_eq!(merged.best_position.unwrap().radius_degrees, Some(0.082));
    assert_eq!(merged.origin, TriggerOrigin::FrameHeader);
}

/// What must not depend on the order of arrival.
fn merged_view(
    trigger: &Trigger,
) -> (TriggerState, UtcTime, T0Source, Option<PositionEstimate>, Option<bool>, String, usize) {
    let Trigger { state, t0, t0_source, best_position, slewing, ref name, ref notices, .. } =
        *trigger;
    (state, t0, t0_source, best_position, slewing, name.clone(), notices.len())
}

/// The real bursts of the collection: any order gives the same trigger, T0 is never that of MXT.
#[test]
fn real_bursts_in_any_order() {
    use crate::alerts::{notice, packet_table::PacketTable, real_packets, voevent::VoEvent};
    let Some(directory) = real_packets::directory() else { return };
    let table = PacketTable::default();
    let mut bursts = std::collections::BTreeMap::<String, Vec<Notice>>::new();
    for file in real_packets::files(&directory.join("svom")) {
        let event = VoEvent::parse(&std::fs::read(&file).unwrap()).unwrap();
        let notice = notice(&event, &table);
        bursts.entry(notice.burst_id.clone().unwrap()).or_default().push(notice);
    }
    let policy = TriggerPolicy { maximum_alert_age_seconds: f64::INFINITY, ..policy() };
    let run = |notices: &[Notice]| {
        let mut trigger = None;
        for notice in notices {
            match apply(trigger.as_ref(), notice, received(), &policy) {
                Outcome::Opened(new) | Outcome::Updated(new) | Outcome::Retracted(new) => {
                    trigger = Some(new)
                }
                Outcome::Archived { .. } => {}
            }
        }
        trigger
    };
    let mut of_several = 0;
    for (burst, mut notices) in bursts {
        let forward = run(&notices);
        of_several += usize::from(notices.len() > 1);
        notices.reverse();
        let backward = run(&notices);
        assert_eq!(
            forward.as_ref().map(merged_view),
            backward.as_ref().map(merged_view),
            "{burst}"
        );
        for (_, notice) in forward.iter().flat_map(|trigger| &trigger.notices) {
            let of_mxt = notice.instrument.as_deref() == Some("MXT");
            assert!(
                !of_mxt || forward.as_ref().unwrap().t0 != notice.event_time.unwrap(),
                "{burst}"
            );
        }
    }
    assert!(of_several > 3, "{of_several}");
}

/// A regression: the burst id of a packet went into the paths of products as it came.
#[test]
fn a_burst_id_that_leads_out_of_its_directory_opens_nothing() {
    let mut notice = fixtures::notice("eclairs-wakeup");
    let long = "1".repeat(65);
    for burst_id in ["../../etc", "/etc", "a/b", ".hidden", "a\u{0}b", "a b", "é", &long] {
        notice.burst_id = Some(burst_id.to_owned());
        let received_at = notice.date.unwrap_or(UtcTime::parse("2026-11-01T03:15:09Z").unwrap());
        let outcome = apply(None, &notice, received_at, &policy());
        assert!(
            matches!(outcome, Outcome::Archived { reason: ArchiveReason::UnusableBurstId { .. } }),
            "{burst_id}: {outcome:?}"
        );
    }
}

proptest! {
    #[test]
    fn the_order_of_notices_does_not_matter(
        shuffled in Just(vec![
            "grm-preliminary", "grm-trigger-without-position", "eclairs-wakeup", "slewing",
            "mxt-initial", "retraction", "eclairs-catalog", "eclairs-wakeup",
        ]).prop_shuffle(),
        count in 1_usize..=8,
        radii in prop::collection::vec(prop::option::of(0.01_f64..0.03), 8),
        without_t0 in any::<bool>(),
    ) {
        let mut notices: Vec<Notice> = shuffled[..count].iter().map(|name| fixtures::notice(name)).collect();
        for (notice, radius) in notices.iter_mut().zip(radii) {
            if without_t0 {
                notice.sequence_t0 = None;
            }
            if let (Some(position), Some(radius)) = (notice.position.as_mut(), radius) {
                // Few distinct values, so that radii tie.
                position.radius_degrees = Some((radius * 100.0).round() / 100.0);
            }
        }
        let forward = run(&notices);
        notices.reverse();
        let backward = run(&notices);
        notices.sort_by(|left, right| left.ivorn.cmp(&right.ivorn));
        let sorted = run(&notices);
        prop_assert_eq!(forward.as_ref().map(merged_view), backward.as_ref().map(merged_view));
        prop_assert_eq!(forward.as_ref().map(merged_view), sorted.as_ref().map(merged_view));
    }
}

#[test]
fn a_deadline_goes_by_the_notices_before_its_instant() {
    let names = ["grm-trigger-without-position", "eclairs-wakeup", "slewing", "mxt-initial"];
    let all = run_named(&names).unwrap();
    for count in 1..=names.len() {
        // Notices come a minute apart: the one of the very instant does not count.
        let instant = received().plus_seconds(60.0 * count as f64);
        assert_eq!(known_before(&all, instant), run_named(&names[..count]).unwrap(), "{count}");
    }
    let before_all = known_before(&all, received());
    assert_eq!(before_all, all, "there is nothing earlier to go by");
}
