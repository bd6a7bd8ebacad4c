//! Cut-outs of candidates: the PNG files beside a result file, and no other file of the machine.

use super::{
    api_error::ApiError,
    beside_result::{self, Wanted},
    status::StatusSources,
};
use crate::model::{AnalysisResult, DeadlineName};
use std::path::Path;

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
    let what = format!("cut-out {name}");
    let wanted = Wanted { burst_id, deadline, name, what: &what, size_limit: SIZE_LIMIT };
    let is_served = |result: &AnalysisResult| is_listed(result, name) && is_png_below(name);
    let bytes = beside_result::read(sources, wanted, is_served).await?;
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
fn is_png_below(name: &str) -> bool {
    beside_result::stays_below(name)
        && Path::new(name).extension().is_some_and(|extension| extension == "png")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::made_up_night::MadeUpNight;

    const DEADLINE: DeadlineName = DeadlineName::Minutes(5);

    #[test]
    fn names_that_climb_are_refused() {
        for good in ["a.png", "cutouts/a.png", "a..png"] {
            assert!(is_png_below(good), "{good}");
        }
        for bad in ["../a.png", "/a.png", "a/../../b.png", "./a.png", "", "a.json", "..", "png"] {
            assert!(!is_png_below(bad), "{bad}");
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
