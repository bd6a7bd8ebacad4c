//! Cut-outs of candidates: the PNG files beside a result file, and no other file of the machine.

use super::{api_error::ApiError, status::StatusSources};
use crate::{
    model::{AnalysisResult, DeadlineName},
    storage::journal::analyses,
};
use std::{
    io,
    path::{Component, Path, PathBuf},
};

/// A cut-out is a few kilobytes.
const SIZE_LIMIT: u64 = 4 << 20;
const PNG_SIGNATURE: [u8; 8] = [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n'];

/// The bytes of a cut-out that the result of the deadline lists under exactly this name.
pub(super) async fn read(
    sources: &StatusSources,
    burst_id: &str,
    deadline: DeadlineName,
    name: &str,
) -> Result<Vec<u8>, ApiError> {
    let burst = burst_id.to_owned();
    let found = sources
        .journal
        .read(move |connection| analyses::find(connection, &burst, deadline))
        .await?;
    let (result_path, result) =
        found.ok_or_else(|| ApiError::not_found(format!("analysis of {burst_id} {deadline}")))?;
    let missing = || ApiError::not_found(format!("cut-out {name} of {burst_id} {deadline}"));
    if !is_listed(&result, name) || !stays_below(name) {
        return Err(missing());
    }
    let directory = result_directory(&sources.directory, &result_path).await;
    // Links are followed before the comparison: a listed name cannot lead out of the directory by one.
    let directory =
        tokio::fs::canonicalize(directory).await.map_err(|error| missing_or(error, name))?;
    let file = tokio::fs::canonicalize(directory.join(name))
        .await
        .map_err(|error| missing_or(error, name))?;
    if !file.starts_with(&directory) {
        return Err(missing());
    }
    let metadata = tokio::fs::metadata(&file).await.map_err(|error| missing_or(error, name))?;
    if !metadata.is_file() || metadata.len() > SIZE_LIMIT {
        return Err(missing());
    }
    let bytes = tokio::fs::read(&file).await.map_err(|error| missing_or(error, name))?;
    if bytes.starts_with(&PNG_SIGNATURE) {
        Ok(bytes)
    } else {
        Err(ApiError::File { what: format!("cut-out {name} is no PNG") })
    }
}

fn is_listed(result: &AnalysisResult, name: &str) -> bool {
    result.candidates.iter().any(|listed| listed.cutout.as_deref() == Some(name))
}

/// Whether a relative name has nothing in it that climbs.
fn stays_below(name: &str) -> bool {
    let path = Path::new(name);
    path.components().all(|part| matches!(part, Component::Normal(_)))
        && path.extension().is_some_and(|extension| extension == "png")
}

/// The directory of a result file. A relative path counts from the storage's root, or else from where the program runs.
async fn result_directory(root: &Path, result_path: &Path) -> PathBuf {
    let in_root = root.join(result_path);
    let is_in_root = tokio::fs::try_exists(&in_root).await.unwrap_or(false);
    let path = if is_in_root { in_root } else { result_path.to_owned() };
    path.parent().map(Path::to_owned).unwrap_or_default()
}

fn missing_or(error: io::Error, name: &str) -> ApiError {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            ApiError::not_found(format!("cut-out {name}"))
        }
        _ => ApiError::File { what: format!("cut-out {name}: {error}") },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::made_up_night::MadeUpNight;

    const DEADLINE: DeadlineName = DeadlineName::Minutes(5);

    #[test]
    fn names_that_climb_are_refused() {
        for good in ["a.png", "cutouts/a.png", "a..png"] {
            assert!(stays_below(good), "{good}");
        }
        for bad in ["../a.png", "/a.png", "a/../../b.png", "./a.png", "", "a.json", "..", "png"] {
            assert!(!stays_below(bad), "{bad}");
        }
    }

    #[tokio::test]
    async fn only_listed_names_inside_the_directory_are_read() {
        let night = MadeUpNight::filled().await;
        let sources = night.sources();
        let listed = "cutouts/candidate_1.png";
        let bytes = read(&sources, "sb26110101", DEADLINE, listed).await.unwrap();
        assert!(bytes.starts_with(&PNG_SIGNATURE));
        // There, beside the result, but not listed.
        let unlisted = read(&sources, "26110101", DEADLINE, "result.json").await;
        assert!(matches!(unlisted, Err(ApiError::NotFound { .. })));
        let unknown = read(&sources, "26110199", DEADLINE, listed).await;
        assert!(matches!(unknown, Err(ApiError::NotFound { .. })));
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_listed_link_that_leads_out_and_a_file_that_is_no_picture_are_refused() {
        let night = MadeUpNight::filled().await;
        let sources = night.sources();
        let directory = night.result_directory(DEADLINE);
        let secret = night.directory().join("secret.png");
        std::fs::write(&secret, PNG_SIGNATURE).unwrap();
        let listed = directory.join("cutouts/candidate_2.png");
        std::fs::remove_file(&listed).unwrap();
        std::os::unix::fs::symlink(&secret, &listed).unwrap();
        let led_out = read(&sources, "26110101", DEADLINE, "cutouts/candidate_2.png").await;
        assert!(matches!(led_out, Err(ApiError::NotFound { .. })));
        std::fs::write(directory.join("cutouts/candidate_3.png"), "text").unwrap();
        let text = read(&sources, "26110101", DEADLINE, "cutouts/candidate_3.png").await;
        assert!(matches!(text, Err(ApiError::File { .. })));
        std::fs::remove_file(directory.join("cutouts/candidate_4.png")).unwrap();
        let gone = read(&sources, "26110101", DEADLINE, "cutouts/candidate_4.png").await;
        assert!(matches!(gone, Err(ApiError::NotFound { .. })));
    }
}
