//! The report of a deadline and the files that belong to it, read only.

use super::{
    addresses,
    api_error::ApiError,
    beside_result::{self, Wanted},
    status::StatusSources,
};
use crate::model::{AnalysisResult, DeadlineName, report_file};
use serde::Serialize;

/// A page with its pictures is some megabytes; a table of all candidates of a crowded field may be more.
const SIZE_LIMIT: u64 = 64 << 20;

/// The page brings its own style and pictures, and nothing else: nothing is fetched, nothing runs.
pub(super) const PAGE_POLICY: &str = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Name, content type, words for a link.
const FILES: [(&str, &str, &str); 8] = [
    (report_file::REPORT, "text/html; charset=utf-8", "report"),
    (report_file::CHART, "image/png", "finding chart"),
    (report_file::CIRCULAR, "text/plain; charset=us-ascii", "draft circular"),
    (report_file::REGIONS, "text/plain; charset=us-ascii", "DS9 regions"),
    (report_file::VOTABLE, "application/x-votable+xml", "VOTable"),
    (report_file::CATALOGUED, "text/csv; charset=utf-8", "catalogued sources"),
    (report_file::CANDIDATES, "application/fits", "all candidates"),
    (report_file::RESULT, "application/json", "result"),
];

/// A file of a report, for a link.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReportFileView {
    pub words: &'static str,
    pub url: String,
}

/// The files of the report of a result.
pub(super) fn files_of(result: &AnalysisResult) -> Vec<ReportFileView> {
    FILES
        .iter()
        // Without a candidate there may be no chart.
        .filter(|(name, _, _)| *name != report_file::CHART || !result.candidates.is_empty())
        .map(|(name, _, words)| ReportFileView {
            words,
            url: addresses::report(&result.burst_id, result.deadline, name),
        })
        .collect()
}

/// The bytes of a file of a report with its content type.
pub(super) async fn read(
    sources: &StatusSources,
    burst_id: &str,
    deadline: DeadlineName,
    name: &str,
) -> Result<(&'static str, Vec<u8>), ApiError> {
    let (name, content_type, _) = FILES
        .iter()
        .find(|(known, _, _)| *known == name)
        .ok_or_else(|| ApiError::not_found(format!("file {name} of a report")))?;
    let wanted = Wanted { burst_id, deadline, name, what: name, size_limit: SIZE_LIMIT };
    Ok((content_type, beside_result::read(sources, wanted, |_| true).await?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::made_up_night::MadeUpNight;

    const DEADLINE: DeadlineName = DeadlineName::Minutes(5);

    #[tokio::test]
    async fn the_files_of_a_report_are_given_and_no_others() {
        let night = MadeUpNight::filled().await;
        let sources = night.sources();
        let directory = night.result_directory(DEADLINE);
        std::fs::write(directory.join(report_file::REPORT), "<!DOCTYPE html>").unwrap();
        std::fs::write(directory.join("secret.html"), "secret").unwrap();
        let (content_type, bytes) =
            read(&sources, "sb26110101", DEADLINE, report_file::REPORT).await.unwrap();
        assert_eq!(
            (content_type, bytes.as_slice()),
            ("text/html; charset=utf-8", &b"<!DOCTYPE html>"[..])
        );
        for name in
            ["secret.html", "../result.json", "/etc/passwd", "", "report.html/", "REPORT.HTML"]
        {
            let refused = read(&sources, "26110101", DEADLINE, name).await;
            assert!(matches!(refused, Err(ApiError::NotFound { .. })), "{name}");
        }
        let not_there = read(&sources, "26110101", DEADLINE, report_file::CHART).await;
        assert!(matches!(not_there, Err(ApiError::NotFound { .. })));
        let unknown = read(&sources, "26110199", DEADLINE, report_file::REPORT).await;
        assert!(matches!(unknown, Err(ApiError::NotFound { .. })));
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_link_that_leads_out_is_refused() {
        let night = MadeUpNight::filled().await;
        let secret = night.directory().join("secret");
        std::fs::write(&secret, "secret").unwrap();
        let link = night.result_directory(DEADLINE).join(report_file::CIRCULAR);
        std::os::unix::fs::symlink(&secret, &link).unwrap();
        let led_out = read(&night.sources(), "26110101", DEADLINE, report_file::CIRCULAR).await;
        assert!(matches!(led_out, Err(ApiError::NotFound { .. })));
    }
}
