//! What the controller works with and what it has done: catalogue, masters, journal, outbox.

use super::Finding;
use crate::{
    catalogs::{self, minor_planets::MinorPlanetCatalogue},
    config::ControllerConfig,
    controller::{
        run::{PROGRAM, STARTED},
        run_setup,
    },
    model::{MasterKind, UtcTime},
    storage::{
        directory_lock::DirectoryLock,
        journal::{JournalError, inspection::JournalInspection},
        local::LocalStorage,
    },
    web::health::OLD_OUTBOX_SECONDS,
};
use std::fs;

const DAY_SECONDS: f64 = 86_400.0;
/// Masters are made every clear night: older ones degrade the products.
const OLD_MASTER_DAYS: f64 = 7.0;

pub(super) fn catalogue(config: &ControllerConfig, now: UtcTime) -> Finding {
    let subject = "catalogue";
    let Some(file) = &config.catalogue.file else {
        return Finding::warning(
            subject,
            "none: candidates are sources, not new sources (CATSTAT = UNAVAILABLE)",
            "install one and name it in [catalogue] file",
        );
    };
    let catalogue = match catalogs::open(file, None) {
        Ok(catalogue) => catalogue,
        Err(error) => {
            return Finding::failed(
                subject,
                error.to_string(),
                "install a sound one: gic run refuses to start",
            );
        }
    };
    let age_days = catalogue.dated().map(|dated| now.seconds_since(dated) / DAY_SECONDS);
    let age = age_days.map_or_else(String::new, |days| format!(", {days:.0} days old"));
    let text = format!("{}{age}", catalogue.describe());
    if catalogue.object_count() == 0 {
        Finding::warning(subject, format!("{text}: it is empty"), "install another")
    } else if age_days.is_some_and(|days| days > config.catalogue.maximum_age_days) {
        Finding::warning(
            subject,
            format!("{text}: called stale in the products"),
            "install a newer one",
        )
    } else {
        Finding::ok(subject, text)
    }
}

/// The orbits of minor planets; nothing where none are configured.
pub(super) fn minor_planets(config: &ControllerConfig, now: UtcTime) -> Option<Finding> {
    let subject = "minor planets";
    let directory = config.catalogue.minor_planets.as_ref()?;
    let catalogue = match MinorPlanetCatalogue::open(directory, None, None) {
        Ok(catalogue) => catalogue,
        Err(error) => {
            let advice = "build them anew: gic run refuses to start";
            return Some(Finding::failed(subject, error.to_string(), advice));
        }
    };
    let header = catalogue.header();
    let text = format!("{}: {} orbits of {}", header.name, header.orbit_count, header.dated);
    let age_days = UtcTime::parse(&header.dated)
        .map_or(0.0, |dated| now.seconds_since(dated).abs() / DAY_SECONDS);
    Some(match age_days > config.catalogue.minor_planets_maximum_age_days {
        true => Finding::warning(
            subject,
            format!("{text}: called stale in the products"),
            "build them of a newer MPCORB.DAT",
        ),
        false => Finding::ok(subject, text),
    })
}

/// The journal's soundness, and what it says of the last run, the outbox and the masters.
pub(super) fn journal(config: &ControllerConfig, now: UtcTime) -> Vec<Finding> {
    let subject = "journal";
    let path = LocalStorage::journal_in(&config.data.directory);
    if !path.exists() {
        let text = format!("{}: none yet; the first start makes it", path.display());
        return vec![Finding::ok(subject, text)];
    }
    let seen = match JournalInspection::of(&path, PROGRAM) {
        Ok(seen) => seen,
        Err(error) => return vec![unreadable(&error)],
    };
    let mut findings = vec![if seen.complaints.is_empty() {
        let size = fs::metadata(&path).map_or(0, |metadata| metadata.len() >> 10);
        Finding::ok(subject, format!("{} is sound ({size} KiB)", path.display()))
    } else {
        Finding::failed(subject, seen.complaints.join("; "), DAMAGED)
    }];
    findings.push(last_run(config, &seen));
    findings.push(deadlines(&seen, now));
    findings.push(outbox(&seen, now));
    findings.extend(masters(&seen, now));
    findings
}

const DAMAGED: &str =
    "stop gic, keep gic.sqlite* elsewhere, and follow \"A damaged journal\" in docs/operations.md";

fn unreadable(error: &JournalError) -> Finding {
    let advice = match error {
        JournalError::TooNew { .. } => "start the newer program, or give another data directory",
        JournalError::Damaged { .. } | JournalError::Open { .. } => DAMAGED,
        _ => "try again; if it comes back, look at the disk (dmesg)",
    };
    Finding::failed("journal", error.to_string(), advice)
}

fn last_run(config: &ControllerConfig, seen: &JournalInspection) -> Finding {
    let subject = "last run";
    let runs = DirectoryLock::holder(&config.data.directory).ok().flatten().is_some();
    match &seen.last_of_program {
        None => Finding::ok(subject, "none is journaled"),
        Some(event) if event.what == STARTED && !runs => Finding::warning(
            subject,
            format!(
                "started {} and did not end as it should: killed, or the machine went down",
                event.at
            ),
            "start it again: the work goes on; the reason may be in journalctl or dmesg",
        ),
        Some(event) => {
            Finding::ok(subject, format!("{} {} ({})", event.what, event.at, event.detail))
        }
    }
}

fn deadlines(seen: &JournalInspection, now: UtcTime) -> Finding {
    let subject = "deadlines";
    match seen.open_deadlines.first() {
        None => Finding::ok(subject, "none is open"),
        Some(next) => {
            let seconds = next.due_at.seconds_since(now);
            let when = if seconds >= 0.0 {
                format!("in {seconds:.0} s")
            } else {
                format!("{:.0} s ago", -seconds)
            };
            let text = format!(
                "{} open; {} of {} {when}",
                seen.open_deadlines.len(),
                next.name,
                next.burst_id
            );
            if seconds < -60.0 {
                Finding::warning(subject, text, "if gic runs, see gic status; if not, start it")
            } else {
                Finding::ok(subject, text)
            }
        }
    }
}

fn outbox(seen: &JournalInspection, now: UtcTime) -> Finding {
    let subject = "outbox";
    let Some(since) = seen.outbox_since else { return Finding::ok(subject, "empty") };
    let age = now.seconds_since(since);
    let text = format!("{} products wait, the oldest for {age:.0} s", seen.outbox_depth);
    if age > OLD_OUTBOX_SECONDS {
        Finding::warning(
            subject,
            text,
            "gic doctor --network says whether the science centre answers",
        )
    } else {
        Finding::ok(subject, text)
    }
}

fn masters(seen: &JournalInspection, now: UtcTime) -> Vec<Finding> {
    [MasterKind::Bias, MasterKind::Dark, MasterKind::Flat]
        .into_iter()
        .map(|kind| {
            let subject = format!("masters {kind}");
            let newest = seen
                .masters_in_force
                .iter()
                .filter(|master| master.kind == kind)
                .max_by_key(|master| master.date);
            match newest {
                None => Finding::warning(
                    &subject,
                    "none in force: the products are marked degraded",
                    "take calibration frames; masters are made when none has come for a minute",
                ),
                Some(master) => {
                    let days = now.seconds_since(master.date) / DAY_SECONDS;
                    let count =
                        seen.masters_in_force.iter().filter(|master| master.kind == kind).count();
                    let text = format!(
                        "{count} in force, the newest of {} ({days:.1} days)",
                        master.night
                    );
                    if days > OLD_MASTER_DAYS {
                        Finding::warning(&subject, text, "take calibration frames")
                    } else {
                        Finding::ok(&subject, text)
                    }
                }
            }
        })
        .collect()
}

/// The token itself is never shown.
pub(super) fn token(config: &ControllerConfig) -> Finding {
    let subject = "token";
    match run_setup::token(config) {
        Ok(Some(token)) if token.is_empty() => {
            Finding::failed(subject, "it is empty", "put the science centre's token into its file")
        }
        Ok(Some(_)) => Finding::ok(subject, "there is one"),
        Ok(None) => Finding::ok(subject, "none: uploads go without one"),
        Err(error) => Finding::failed(
            subject,
            error.to_string(),
            "make it readable for the user that runs gic",
        ),
    }
}
