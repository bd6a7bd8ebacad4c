//! The trigger file, which is the reference file too: `triggers/<burst>/trigger_<burst>.dat` (interfaces.md §4).
//! JSON Lines, one record per accepted notice in order of reception with the keys and the conventions of the
//! telescope control system (domain.md §1.5), and a last record `{"merged": …}`. Writing it to disk is the caller's.

use super::{
    naming::trigger_name,
    t0::{is_event_time, t0},
};
use crate::model::{
    Notice, NoticeEffect, PositionEstimate, Trigger, TriggerState, UtcTime, normalise_burst_id,
};
use serde_json::{Map, Value, json};

/// Right ascension, declination and uncertainty of an event that has no position.
const NO_POSITION: [&str; 3] = ["0h", "-90d", "180d"];
const EQUINOX: u32 = 2000;
/// Priorities of the telescope control system: 2 multi-messenger, 5 SVOM, 6 Fermi LAT and IceCube, 8 Swift. It publishes
/// none for gamma-ray monitors; they come last.
const MONITOR_PRIORITY: u32 = 9;

/// Name of the file of a burst.
pub fn file_name(trigger: &Trigger) -> String {
    format!("trigger_{}.dat", trigger.burst_id)
}

/// The record of one notice.
pub fn record(notice: &Notice, received_at: UtcTime) -> Value {
    let (event_time, source) = t0(notice, received_at);
    let [alpha, delta, uncertainty] = position_texts(notice.position.as_ref());
    let event_timestamp =
        if is_event_time(source) { Value::String(timestamp(event_time)) } else { json!("") };
    let burst_id = notice.burst_id.as_deref().map(normalise_burst_id).unwrap_or_default();
    json!({
        "name": trigger_name(&notice.mission, event_time),
        "origin": notice.mission.to_lowercase(),
        "identifier": burst_id,
        "type": record_type(notice),
        "priority": priority(notice),
        "alpha": alpha,
        "delta": delta,
        "equinox": EQUINOX,
        "uncertainty": uncertainty,
        "enabled": enabled(notice),
        "preliminary": notice.effect == NoticeEffect::OpensPreliminary,
        "eventtimestamp": event_timestamp,
        "alerttimestamp": timestamp(received_at),
        "ivorn": notice.ivorn,
    })
}

/// The whole file: the records, then the merged view.
pub fn render(trigger: &Trigger) -> String {
    let mut text = String::new();
    for (received_at, notice) in &trigger.notices {
        text.push_str(&record(notice, *received_at).to_string());
        text.push('\n');
    }
    text.push_str(&json!({ "merged": merged(trigger) }).to_string());
    text.push('\n');
    text
}

/// Later records win; the position is that of the smallest uncertainty, the priority the smallest; preliminary only if
/// all are.
fn merged(trigger: &Trigger) -> Map<String, Value> {
    let [alpha, delta, uncertainty] = position_texts(trigger.best_position.as_ref());
    let notices = || trigger.notices.iter().map(|(_, notice)| notice);
    let origin = notices().map(|notice| notice.mission.to_lowercase()).min();
    let mut is_enabled = true;
    for notice in notices() {
        if let Value::Bool(value) = enabled(notice) {
            is_enabled = value;
        }
    }
    is_enabled &= trigger.state != TriggerState::Retracted;
    let first_reception = trigger.notices.first().map_or(trigger.opened_at, |(at, _)| *at);
    let event_timestamp =
        if is_event_time(trigger.t0_source) { timestamp(trigger.t0) } else { String::new() };
    let merged = json!({
        "name": trigger.name,
        "origin": origin.unwrap_or_default(),
        "identifier": normalise_burst_id(&trigger.burst_id),
        "burst_id": trigger.burst_id,
        "priority": notices().map(priority).min(),
        "alpha": alpha,
        "delta": delta,
        "equinox": EQUINOX,
        "uncertainty": uncertainty,
        "enabled": is_enabled,
        "preliminary": trigger.state == TriggerState::Preliminary,
        "eventtimestamp": event_timestamp,
        "alerttimestamp": timestamp(first_reception),
        "state": trigger.state,
        "slewing": trigger.slewing,
        "opened_by": trigger.origin,
        "revision": trigger.revision,
        "t0": trigger.t0,
        "t0_source": trigger.t0_source,
    });
    match merged {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// False for a catalogued source and for a retraction; unchanged (blank) for slewing or not; else true.
fn enabled(notice: &Notice) -> Value {
    match (notice.effect, notice.packet_name.as_str()) {
        (NoticeEffect::Retracts, _) | (_, "eclairs-catalog") => Value::Bool(false),
        (_, "slewing" | "not-slewing") => json!(""),
        _ => Value::Bool(true),
    }
}

/// `svomeclairs-wakeup`; an unknown packet has the mission in its name already.
fn record_type(notice: &Notice) -> String {
    let mission = notice.mission.to_lowercase();
    if notice.packet_name.starts_with(&mission) {
        notice.packet_name.clone()
    } else {
        format!("{mission}{}", notice.packet_name)
    }
}

fn priority(notice: &Notice) -> u32 {
    let instrument = notice.instrument.as_deref().unwrap_or_default().to_ascii_uppercase();
    match (notice.mission.as_str(), instrument.as_str()) {
        ("IGWN", _) => 2,
        (_, "GRM" | "GBM") => MONITOR_PRIORITY,
        ("SVOM", _) => 5,
        ("Fermi" | "IceCube", _) => 6,
        ("Swift", _) => 8,
        _ => MONITOR_PRIORITY,
    }
}

/// Angles in degrees with their unit, as the telescope control system writes them.
fn position_texts(estimate: Option<&PositionEstimate>) -> [String; 3] {
    let Some(PositionEstimate { position, radius_degrees }) = estimate else {
        return NO_POSITION.map(str::to_owned);
    };
    let uncertainty = match radius_degrees {
        Some(radius) => format!("{radius}d"),
        None => "180d".to_owned(),
    };
    [format!("{}d", position.ra_degrees), format!("{}d", position.dec_degrees), uncertainty]
}

fn timestamp(time: UtcTime) -> String {
    time.iso_milliseconds()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerts::{
        fixtures,
        trigger_state::{Outcome, TriggerPolicy, apply},
    };

    fn received() -> UtcTime {
        UtcTime::parse("2026-11-01T03:15:09.25Z").unwrap()
    }

    #[test]
    fn a_record_has_the_keys_of_the_telescope_control_system() {
        let expected = concat!(
            r#"{"name":"SVOM 261101.134","origin":"svom","identifier":"26110101","type":"svomeclairs-wakeup","#,
            r#""priority":5,"alpha":"30.2695d","delta":"24.5099d","equinox":2000,"uncertainty":"0.1d","#,
            r#""enabled":true,"preliminary":false,"eventtimestamp":"2026-11-01T03:13:31.500","#,
            r#""alerttimestamp":"2026-11-01T03:15:09.250","ivorn":"ivo://org.svom/fsc#sb26110101_eclairs-wakeup"}"#
        );
        assert_eq!(record(&fixtures::notice("eclairs-wakeup"), received()).to_string(), expected);
    }

    #[test]
    fn the_conventions_for_what_is_absent() {
        let record = |name: &str| record(&fixtures::notice(name), received());
        let grm = record("grm-trigger-without-position");
        assert_eq!([&grm["alpha"], &grm["delta"], &grm["uncertainty"]], ["0h", "-90d", "180d"]);
        let preliminary = record("grm-preliminary");
        assert_eq!(preliminary["uncertainty"], "180d");
        assert_eq!(
            (&preliminary["alpha"], &preliminary["preliminary"]),
            (&json!("41.2d"), &json!(true))
        );
        assert_eq!(record("slewing")["enabled"], "");
        assert_eq!(record("not-slewing")["enabled"], "");
        assert_eq!(record("eclairs-catalog")["enabled"], false);
        assert_eq!(record("retraction")["enabled"], false);
        assert_eq!(
            record("mxt-initial")["eventtimestamp"],
            "",
            "the time of MXT is not the burst's"
        );
        assert_eq!(record("unknown-type")["type"], "svomunknown298");
    }

    #[test]
    fn the_file_ends_with_the_merged_view() {
        let policy = TriggerPolicy::new(&crate::config::AlertsSettings::default());
        let mut trigger: Option<Trigger> = None;
        for name in ["grm-trigger-without-position", "eclairs-wakeup", "slewing", "mxt-initial"] {
            match apply(trigger.as_ref(), &fixtures::notice(name), received(), &policy) {
                Outcome::Opened(new) | Outcome::Updated(new) => trigger = Some(new),
                other => panic!("{other:?}"),
            }
        }
        let trigger = trigger.unwrap();
        assert_eq!(file_name(&trigger), "trigger_sb26110101.dat");
        let lines: Vec<Value> =
            render(&trigger).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 5);
        assert_eq!(lines[0]["type"], "svomgrm-trigger");
        let merged = &lines[4]["merged"];
        assert_eq!(merged["uncertainty"], "0.01d");
        assert_eq!(merged["t0"], "2026-11-01T03:13:31.500000Z");
        assert_eq!(merged["t0_source"], "sequence-t0");
        assert_eq!((&merged["priority"], &merged["enabled"]), (&json!(5), &json!(true)));
        assert_eq!((&merged["state"], &merged["slewing"]), (&json!("refined"), &json!(true)));
    }
}
