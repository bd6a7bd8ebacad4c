//! VOEvents: whatever comes, it is understood or refused; what is understood makes a trigger or a reason, and a trigger
//! makes a file that is JSON line by line.
#![no_main]

use gic::{
    alerts::{Outcome, PacketTable, TriggerPolicy, apply, trigger_file, understand},
    model::{Role, UtcTime},
};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static TABLE: LazyLock<PacketTable> = LazyLock::new(PacketTable::default);

fuzz_target!(|data: &[u8]| {
    let Ok(notice) = understand(data, &TABLE) else { return };
    let Ok(received_at) = UtcTime::parse("2026-11-01T03:15:09Z") else { return };
    let policy = TriggerPolicy {
        accept_roles: vec![Role::Observation, Role::Prediction, Role::Utility, Role::Test],
        maximum_alert_age_seconds: f64::INFINITY,
    };
    if let Outcome::Opened(trigger) = apply(None, &notice, received_at, &policy) {
        for line in trigger_file::render(&trigger).lines() {
            assert!(line.starts_with('{') && line.ends_with('}'), "{line}");
        }
        let _ = apply(Some(&trigger), &notice, received_at, &policy);
    }
});
