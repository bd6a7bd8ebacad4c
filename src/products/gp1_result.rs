//! The GP1 result as a file: JSON of [`AnalysisResult`], read by the product maker, GP2 and people (interfaces.md §7).

use crate::model::AnalysisResult;
use serde::Deserialize;
use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

/// Why a GP1 result cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Gp1ResultError {
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("{path}: no GP1 result: {source}")]
    Format { path: PathBuf, source: serde_json::Error },
    #[error("{path}: format version {found}, this program reads version {known}")]
    Version { path: PathBuf, found: u32, known: u32 },
}

impl Gp1ResultError {
    /// Whether the same call may succeed later.
    pub fn is_retry_safe(&self) -> bool {
        matches!(self, Self::Io { .. })
    }
}

#[derive(Deserialize)]
struct Versioned {
    format_version: u32,
}

/// Reads a result; one of another format version is refused before its content is looked at.
///
/// # Errors
/// [`Gp1ResultError`] with the path.
pub fn read_result(path: &Path) -> Result<AnalysisResult, Gp1ResultError> {
    let io_error = |source| Gp1ResultError::Io { path: path.to_owned(), source };
    let format_error = |source| Gp1ResultError::Format { path: path.to_owned(), source };
    let bytes = fs::read(path).map_err(io_error)?;
    let found = serde_json::from_slice::<Versioned>(&bytes).map_err(format_error)?.format_version;
    let known = AnalysisResult::FORMAT_VERSION;
    if found != known {
        return Err(Gp1ResultError::Version { path: path.to_owned(), found, known });
    }
    serde_json::from_slice(&bytes).map_err(format_error)
}

/// Writes a result to `<path>.tmp`, syncs it and renames it: readers see the old file or the new one, whole.
///
/// # Errors
/// [`Gp1ResultError`] with the path.
pub fn write_result(path: &Path, result: &AnalysisResult) -> Result<(), Gp1ResultError> {
    let mut bytes = serde_json::to_vec_pretty(result)
        .map_err(|source| Gp1ResultError::Format { path: path.to_owned(), source })?;
    bytes.push(b'\n');
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".tmp");
    let temporary = PathBuf::from(temporary);
    let replace = || {
        let mut file = File::create(&temporary)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        match path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            Some(parent) => File::open(parent)?.sync_all(),
            None => File::open(".")?.sync_all(),
        }
    };
    replace().map_err(|source| Gp1ResultError::Io { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::products::sample;

    #[test]
    fn a_result_comes_back_as_it_was_written() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("result.json");
        let result = sample::result();
        write_result(&path, &result).unwrap();
        assert_eq!(read_result(&path).unwrap(), result);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "no temporary file is left");
    }

    #[test]
    fn another_version_and_another_file_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("result.json");
        fs::write(&path, "{\"format_version\": 2, \"other\": true}").unwrap();
        let error = read_result(&path).unwrap_err();
        assert!(matches!(error, Gp1ResultError::Version { found: 2, known: 1, .. }));
        assert!(!error.is_retry_safe());
        fs::write(&path, "not JSON").unwrap();
        assert!(matches!(read_result(&path), Err(Gp1ResultError::Format { .. })));
        assert!(read_result(&directory.path().join("missing")).unwrap_err().is_retry_safe());
    }
}
