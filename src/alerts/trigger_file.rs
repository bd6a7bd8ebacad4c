//! The trigger file: JSON Lines, one record per accepted notice with the keys of the telescope control system, and the merged view last
//! (interfaces.md §4, domain.md §1.5).

use super::trigger_state::name_of;
use crate::model::{Notice, NoticeEffect, Trigger, UtcTime, normalise_burst_id};
use serde_json::{Value, json};

/// Priority of SVOM alerts at the telescope (domain.md §1.5).
const PRIORITY: u32 = 5;

/// The record of one notice.
pub fn record(notice: &Notice, received_at: UtcTime, t0: UtcTime) -> Value {
    let (alpha, delta) = match &notice.position {
        Some(estimate) => (
            format!("{:.6}d", estimate.position.ra_degrees),
            format!("{:+.6}d", estimate.position.dec_degrees),
        ),
        // Where the telescope control system puts what has no position.
        None => ("0h".to_owned(), "-90d".to_owned()),
    };
    let radius = notice.position.and_then(|estimate| estimate.radius_degrees);
    let identifier = notice.burst_id.as_deref().map(normalise_burst_id).unwrap_or_default();
    let event_time = notice.sequence_t0.or(notice.window_start).or(notice.event_time);
    json!({
        "name": name_of(t0),
        "origin": notice.mission.to_lowercase(),
        "identifier": identifier,
        "type": format!("{}{}", notice.mission.to_lowercase(), notice.packet_name.replace('-', "")),
        "priority": PRIORITY,
        "alpha": alpha,
        "delta": delta,
        "equinox": 2000,
        "uncertainty": radius.map_or_else(|| "180d".to_owned(), |radius| format!("{radius:.6}d")),
        "enabled": enabled(notice),
        "preliminary": notice.effect == NoticeEffect::OpensPreliminary,
        "eventtimestamp": event_time.map(UtcTime::iso_milliseconds),
        "alerttimestamp": notice.date.unwrap_or(received_at).iso_milliseconds(),
        "ivorn": notice.ivorn,
    })
}

/// Catalogued sources and retractions disable, slew notices leave it as it is (an empty text), all others enable.
fn enabled(notice: &Notice) -> Value {
    match notice.packet_type {
        Some(203 | 219) => json!(false),
        Some(204 | 205) => json!(""),
        _ => json!(true),
    }
}

/// The whole file.
pub fn render(trigger: &Trigger) -> String {
    let mut text = String::new();
    for (received_at, notice) in &trigger.notices {
        text += &record(notice, *received_at, trigger.t0).to_string();
        text.push('\n');
    }
    let merged = json!({
        "merged": {
            "burst_id": trigger.burst_id,
            "name": trigger.name,
            "state": trigger.state,
            "revision": trigger.revision,
            "origin": trigger.origin,
            "t0": trigger.t0,
            "t0_source": trigger.t0_source.to_string(),
            "opened_at": trigger.opened_at,
            "position": trigger.best_position,
            "slewing": trigger.slewing,
        }
    });
    text += &merged.to_string();
    text.push('\n');
    text
}
