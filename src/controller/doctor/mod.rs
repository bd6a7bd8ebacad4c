//! `gic doctor`: looks at everything a run needs, before or while it runs, and changes nothing.

mod surroundings;
mod work;

use super::run_setup::{RunOptions, RunSetupError, configuration};
use crate::{clock::Clock, config::ControllerConfig};
use serde::Serialize;

/// How one thing stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Ok,
    /// It works, and somebody should look after it.
    Warning,
    /// A run cannot start, or would lose what it promises.
    Failed,
}

/// One line of the diagnosis.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub subject: String,
    pub verdict: Verdict,
    pub text: String,
    /// What to do next, where something is to be done.
    pub advice: Option<String>,
}

impl Finding {
    fn ok(subject: &str, text: impl Into<String>) -> Self {
        Self { subject: subject.to_owned(), verdict: Verdict::Ok, text: text.into(), advice: None }
    }

    fn warning(subject: &str, text: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            subject: subject.to_owned(),
            verdict: Verdict::Warning,
            text: text.into(),
            advice: Some(advice.into()),
        }
    }

    fn failed(subject: &str, text: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            subject: subject.to_owned(),
            verdict: Verdict::Failed,
            text: text.into(),
            advice: Some(advice.into()),
        }
    }
}

/// The whole diagnosis.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnosis {
    /// The worst of the findings.
    pub verdict: Verdict,
    pub findings: Vec<Finding>,
}

impl Diagnosis {
    /// For people: a line each, with what to do under it.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for finding in &self.findings {
            let word = match finding.verdict {
                Verdict::Ok => "ok",
                Verdict::Warning => "warning",
                Verdict::Failed => "FAILED",
            };
            text.push_str(&format!("{word:8} {:14} {}\n", finding.subject, finding.text));
            if let Some(advice) = &finding.advice {
                text.push_str(&format!("{:24}→ {advice}\n", ""));
            }
        }
        let count = |verdict| self.findings.iter().filter(|f| f.verdict == verdict).count();
        text.push_str(&match (count(Verdict::Failed), count(Verdict::Warning)) {
            (0, 0) => "all is well\n".to_owned(),
            (0, warnings) => format!("it can run; {warnings} to look after\n"),
            (failed, warnings) => format!("{failed} failed, {warnings} to look after\n"),
        });
        text
    }
}

/// What the doctor is asked to look at.
#[derive(Debug, Clone, Default)]
pub struct DoctorOptions {
    pub run: RunOptions,
    /// Also reach out to the science centre.
    pub network: bool,
}

/// Looks at everything.
pub async fn examine(options: &DoctorOptions) -> Diagnosis {
    let mut findings = Vec::new();
    match configuration(&options.run) {
        Ok(config) => {
            let name = options
                .run
                .config
                .as_ref()
                .map_or_else(|| "the built-in one".to_owned(), |file| file.display().to_string());
            findings.push(Finding::ok("configuration", name));
            examine_with(&config, options.network, &mut findings).await;
        }
        Err(error) => findings.push(configuration_finding(&error)),
    }
    let verdict = findings.iter().map(|finding| finding.verdict).max().unwrap_or(Verdict::Ok);
    Diagnosis { verdict, findings }
}

fn configuration_finding(error: &RunSetupError) -> Finding {
    let advice = match error {
        RunSetupError::Missing(_) => "make what is missing, or correct the path",
        _ => "correct the file; config/gic.toml says what each key is for",
    };
    Finding::failed("configuration", error.to_string(), advice)
}

async fn examine_with(config: &ControllerConfig, network: bool, findings: &mut Vec<Finding>) {
    let now = Clock::real().now();
    findings.extend(surroundings::directories(config));
    findings.push(surroundings::space(&config.data.directory));
    findings.extend(surroundings::ports(config));
    findings.push(surroundings::clock(&config.data.directory, now));
    findings.push(work::catalogue(config, now));
    findings.extend(work::minor_planets(config, now));
    findings.extend(work::journal(config, now));
    findings.push(work::token(config));
    if network {
        findings.push(surroundings::science_centre(config).await);
    }
}
