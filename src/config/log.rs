//! `[log]` of `gic.toml`: the log file beside the log on standard error.

use super::{error::ConfigError, toml_reader::Checks};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The log file: one JSON object a line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogSettings {
    /// Absent: standard error only.
    pub file: Option<PathBuf>,
    /// A file that would grow beyond it is put aside as `<file>.1`; 0: never, somebody else rotates.
    pub maximum_bytes: u64,
    /// Files put aside that are kept.
    pub kept_files: u32,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { file: None, maximum_bytes: 50 << 20, kept_files: 10 }
    }
}

impl LogSettings {
    pub(super) fn check(&self, checks: &Checks<'_>) -> Result<(), ConfigError> {
        checks.range("log.kept_files", f64::from(self.kept_files), 1.0, 1000.0)
    }
}
