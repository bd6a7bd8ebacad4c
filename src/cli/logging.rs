//! Structured logs: to standard error, for people or (`--log-format json`) for machines.

use clap::{Args, ValueEnum};
use std::io::IsTerminal;
use tracing_subscriber::{EnvFilter, fmt, prelude::*};

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
}

/// Installs the log of this process, at `default_filter` unless `--log` or `GIC_LOG` says otherwise.
pub fn install(arguments: &LogArguments, default_filter: &str) {
    let filter = arguments
        .log
        .clone()
        .or_else(|| std::env::var("GIC_LOG").ok())
        .unwrap_or_else(|| default_filter.to_owned());
    let filter = EnvFilter::try_new(&filter).unwrap_or_else(|error| {
        eprintln!("gic: log filter '{filter}' not understood ({error}); logging at 'info'");
        EnvFilter::new("info")
    });
    let registry = tracing_subscriber::registry().with(filter);
    let outcome = match arguments.log_format {
        LogFormat::Json => {
            registry.with(fmt::layer().json().with_writer(std::io::stderr)).try_init()
        }
        LogFormat::Text => {
            let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            let layer = fmt::layer().with_writer(std::io::stderr).with_ansi(colours);
            registry.with(layer.with_target(false)).try_init()
        }
    };
    if let Err(error) = outcome {
        eprintln!("gic: the log could not be installed: {error}");
    }
}
