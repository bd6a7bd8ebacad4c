//! Files that lie beside the result of a deadline, and no other file of the machine.

use super::{api_error::ApiError, status::StatusSources};
use crate::{
    model::{AnalysisResult, DeadlineName},
    storage::journal::analyses,
};
use std::{
    io,
    path::{Component, Path, PathBuf},
};

/// A file that is asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub burst_id: &'a str,
    pub deadline: DeadlineName,
    /// Relative to the directory of the result.
    pub name: &'a str,
    /// Its name in messages.
    pub what: &'a str,
    /// A larger file is not given, bytes.
    pub size_limit: u64,
}

/// The bytes of a file in the directory of a result, if `is_served` says that this result has it.
pub(super) async fn read(
    sources: &StatusSources,
    wanted: Wanted<'_>,
    is_served: impl Fn(&AnalysisResult) -> bool,
) -> Result<Vec<u8>, ApiError> {
    let Wanted { burst_id, deadline, name, what, size_limit } = wanted;
    let burst = burst_id.to_owned();
    let found = sources
        .journal
        .read(move |connection| analyses::find(connection, &burst, deadline))
        .await?;
    let (result_path, result) =
        found.ok_or_else(|| ApiError::not_found(format!("analysis of {burst_id} {deadline}")))?;
    let missing = || ApiError::not_found(format!("{what} of {burst_id} {deadline}"));
    if !is_served(&result) || !stays_below(name) {
        return Err(missing());
    }
    let directory = result_directory(&sources.directory, &result_path).await;
    // Links are followed before the comparison: a served name cannot lead out of the directory by one.
    let directory =
        tokio::fs::canonicalize(directory).await.map_err(|error| missing_or(error, what))?;
    let file = tokio::fs::canonicalize(directory.join(name))
        .await
        .map_err(|error| missing_or(error, what))?;
    if !file.starts_with(&directory) {
        return Err(missing());
    }
    let metadata = tokio::fs::metadata(&file).await.map_err(|error| missing_or(error, what))?;
    if !metadata.is_file() || metadata.len() > size_limit {
        return Err(missing());
    }
    tokio::fs::read(&file).await.map_err(|error| missing_or(error, what))
}

/// Whether a relative name has nothing in it that climbs.
pub(super) fn stays_below(name: &str) -> bool {
    !name.is_empty()
        && Path::new(name).components().all(|part| matches!(part, Component::Normal(_)))
}

/// The directory of a result file. A relative path counts from the storage's root, or else from where the program runs.
async fn result_directory(root: &Path, result_path: &Path) -> PathBuf {
    let in_root = root.join(result_path);
    let is_in_root = tokio::fs::try_exists(&in_root).await.unwrap_or(false);
    let path = if is_in_root { in_root } else { result_path.to_owned() };
    path.parent().map(Path::to_owned).unwrap_or_default()
}

fn missing_or(error: io::Error, what: &str) -> ApiError {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => ApiError::not_found(what),
        _ => ApiError::File { what: format!("{what}: {error}") },
    }
}
