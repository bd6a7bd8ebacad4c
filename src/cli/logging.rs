//! Structured logs: to standard error, for people or (`--log-format json`) for machines, and to a file if one is named.

use super::{Failure, log_file::LogFile};
use crate::config::LogSettings;
use anyhow::Context as _;
use clap::{Args, ValueEnum};
use std::{
    io::{self, IsTerminal, Write},
    path::PathBuf,
};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::{
    EnvFilter,
    fmt::{self, MakeWriter},
    prelude::*,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Clone, Args)]
pub struct LogArguments {
    /// What is logged: error, warn, info, debug, or a filter like gic::actors=debug
    #[arg(long, value_name = "FILTER", global = true)]
    pub log: Option<String>,
    /// Form of the log on standard error
    #[arg(long, value_enum, default_value = "text", global = true)]
    pub log_format: LogFormat,
    /// Log into this file too, one JSON object a line; it rotates as [log] of gic.toml says
    #[arg(long, value_name = "FILE", global = true)]
    pub log_file: Option<PathBuf>,
}

/// Standard error, whose failures (a closed pipe, a full disk behind it) are no reason to stop.
#[derive(Debug, Clone, Copy)]
struct PatientStderr;

impl Write for PatientStderr {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let _ = io::stderr().write_all(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for PatientStderr {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        *self
    }
}

/// Installs the log of this process, at `default_filter` unless `--log` or `GIC_LOG` says otherwise. The file it writes, if any, is
/// returned for [`follow_hangups`].
pub fn install(
    arguments: &LogArguments,
    default_filter: &str,
    settings: &LogSettings,
) -> Result<Option<LogFile>, Failure> {
    let filter = arguments
        .log
        .clone()
        .or_else(|| std::env::var("GIC_LOG").ok())
        .unwrap_or_else(|| default_filter.to_owned());
    let filter = EnvFilter::try_new(&filter).unwrap_or_else(|error| {
        eprintln!("gic: log filter '{filter}' not understood ({error}); logging at 'info'");
        EnvFilter::new("info")
    });
    let file = match arguments.log_file.as_ref().or(settings.file.as_ref()) {
        Some(path) => Some(
            LogFile::open(path, settings)
                .with_context(|| format!("log file {}", path.display()))?,
        ),
        None => None,
    };
    let to_file = file.clone().map(|file| fmt::layer().json().with_writer(file));
    let registry = tracing_subscriber::registry().with(filter).with(to_file);
    let outcome = match arguments.log_format {
        LogFormat::Json => registry.with(fmt::layer().json().with_writer(PatientStderr)).try_init(),
        LogFormat::Text => {
            let colours = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            let layer = fmt::layer().with_writer(PatientStderr).with_ansi(colours);
            registry.with(layer.with_target(false)).try_init()
        }
    };
    if let Err(error) = outcome {
        eprintln!("gic: the log could not be installed: {error}");
    }
    Ok(file)
}

/// Opens the log file again at each SIGHUP, for as long as the runtime lives. Without a file SIGHUP does nothing: a terminal that goes away must not
/// take the controller with it.
pub fn follow_hangups(file: Option<LogFile>) -> io::Result<()> {
    let mut hangups = signal(SignalKind::hangup())?;
    actix_rt::spawn(async move {
        while hangups.recv().await.is_some() {
            if let Some(file) = &file {
                file.reopen();
                tracing::info!("log file opened again");
            }
        }
    });
    Ok(())
}
