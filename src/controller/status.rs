//! `gic status`: asks a running controller how it is, and reads the journal when it does not answer.

use super::run::{PROGRAM, STARTED};
use crate::{
    clock::Clock,
    config::ControllerConfig,
    storage::{
        directory_lock::DirectoryLock, journal::inspection::JournalInspection, local::LocalStorage,
    },
};
use serde::Serialize;
use serde_json::Value;
use std::{error::Error, time::Duration};

/// The pages answer in milliseconds, or something is wrong.
const PATIENCE: Duration = Duration::from_secs(5);

/// How the controller stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ControllerStatus {
    pub healthy: bool,
    /// `running`, `silent` (it has its directory and does not answer), `stopped`, `crashed`.
    pub state: &'static str,
    /// One sentence each, the most important first.
    pub lines: Vec<String>,
    /// The answer of `/health`, if there was one.
    pub health: Option<Value>,
}

impl ControllerStatus {
    pub fn text(&self) -> String {
        let word = if self.healthy { "healthy" } else { "NOT HEALTHY" };
        let mut text = format!("gic is {}, {word}\n", self.state);
        for line in &self.lines {
            text.push_str(&format!("  {line}\n"));
        }
        text
    }
}

/// Asks at `[web] listen`.
pub async fn controller_status(config: &ControllerConfig) -> ControllerStatus {
    match ask(config).await {
        Ok(health) => of_answer(health),
        Err(why) => without_answer(config, &why),
    }
}

async fn ask(config: &ControllerConfig) -> Result<Value, String> {
    let url = format!("http://{}/health", config.web.listen);
    if config.web.listen.port() == 0 {
        return Err("[web] listen has no fixed port to ask at".to_owned());
    }
    let failed = |error: reqwest::Error| format!("{url} does not answer: {}", with_causes(&error));
    let client = reqwest::Client::builder().timeout(PATIENCE).build().map_err(failed)?;
    let body = client.get(&url).send().await.map_err(failed)?.bytes().await.map_err(failed)?;
    let health: Value = serde_json::from_slice(&body)
        .map_err(|_| format!("{url} answers, but it is no gic: another program has the port"))?;
    if health["healthy"].is_boolean() {
        Ok(health)
    } else {
        Err(format!("{url} answers, but it is no gic: another program has the port"))
    }
}

fn of_answer(health: Value) -> ControllerStatus {
    let mut lines = Vec::new();
    for key in ["reasons", "warnings"] {
        let said = health[key].as_array().into_iter().flatten().filter_map(Value::as_str);
        let word = if key == "reasons" { "wrong" } else { "warning" };
        lines.extend(said.map(|text| format!("{word}: {text}")));
    }
    lines.push(format!("{} of {} actors run", health["actors_running"], health["actors_in_all"]));
    for (key, what) in [
        ("alert_age_seconds", "last packet"),
        ("last_frame_age_seconds", "last image"),
        ("outbox_age_seconds", "oldest product in the outbox"),
    ] {
        if let Some(seconds) = health[key].as_f64() {
            lines.push(format!("{what}: {} ago", duration(seconds)));
        }
    }
    if let Some(depth) = health["outbox_depth"].as_u64() {
        lines.push(format!("outbox: {depth} products wait"));
    }
    if let Some(bytes) = health["free_bytes"].as_u64() {
        lines.push(format!("disk: {:.1} GiB free", bytes as f64 / (1_u64 << 30) as f64));
    }
    ControllerStatus {
        healthy: health["healthy"] == true,
        state: "running",
        lines,
        health: Some(health),
    }
}

fn without_answer(config: &ControllerConfig, why: &str) -> ControllerStatus {
    let mut lines = Vec::new();
    let path = LocalStorage::journal_in(&config.data.directory);
    let seen = JournalInspection::of(&path, PROGRAM);
    let holder = DirectoryLock::holder(&config.data.directory).ok().flatten();
    let was_running = matches!(
        &seen,
        Ok(JournalInspection { last_of_program: Some(event), .. }) if event.what == STARTED
    );
    let state = match (&holder, was_running) {
        (Some(_), _) => "silent",
        (None, true) => "crashed",
        (None, false) => "stopped",
    };
    lines.push(why.to_owned());
    if let Some(holder) = &holder {
        lines.push(format!(
            "{holder} has {}: look at its log; if it stays silent, restart it",
            config.data.directory.display()
        ));
    }
    match seen {
        Ok(seen) => {
            if let Some(event) = &seen.last_of_program {
                lines.push(format!("last: {} {} ({})", event.what, event.at, event.detail));
            }
            let now = Clock::real().now();
            if let Some(next) = seen.open_deadlines.first() {
                let seconds = next.due_at.seconds_since(now);
                let when = if seconds < 0.0 {
                    format!("was due {} ago", duration(-seconds))
                } else {
                    format!("is due in {}", duration(seconds))
                };
                lines.push(format!("{} of {} {when}: start gic", next.name, next.burst_id));
            }
            lines.push(format!("outbox: {} products wait", seen.outbox_depth));
        }
        Err(_) if !path.exists() => {
            lines.push(format!("there is no journal at {}", path.display()));
        }
        Err(error) => lines.push(error.to_string()),
    }
    ControllerStatus { healthy: false, state, lines, health: None }
}

/// An error with what caused it, which reqwest keeps apart.
pub(super) fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

/// As a person says it.
fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 7200.0 => format!("{:.0} min", s / 60.0),
        s if s < 172_800.0 => format!("{:.1} h", s / 3600.0),
        s => format!("{:.0} days", s / 86_400.0),
    }
}
