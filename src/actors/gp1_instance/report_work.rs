//! The report of a deadline for people, made when its result is out: products do not wait for it.

use super::{InstanceError, frames_work::Worker};
use crate::{
    gp1::{pipeline::Instance, report::write_failed_report},
    model::report_file,
    storage::journal::analyses,
};
use std::path::{Path, PathBuf};

/// Results older than this are not looked through for a missing report.
const LOOKED_BACK_SECONDS: f64 = 86_400.0;

impl Worker {
    /// Makes a report. Where that fails, by an error, a panic or a hang, a page with the reason takes its place; nothing else is
    /// lost by it.
    pub(super) async fn report(&self, result_path: &Path) {
        let path = result_path.to_owned();
        let making = move |instance: &Instance| instance.report(&path);
        let made = match self.state.reading(making).await {
            Ok(made) => made.map_err(InstanceError::from),
            Err(error) => Err(error),
        };
        if let Err(error) = made {
            let result = result_path.display();
            tracing::error!(%result, %error, "no report could be made");
            if let Err(error) = write_failed_report(result_path, &error.to_string()) {
                tracing::error!(%result, %error, "nor a page that says so");
            }
        }
    }

    /// Makes the reports that an end of the program, or of the actor, has kept from being made.
    pub(super) async fn missing_reports(&self) -> Result<(), InstanceError> {
        let since = self.settings.clock.now().plus_seconds(-LOOKED_BACK_SECONDS);
        let paths: Vec<PathBuf> =
            self.settings.journal.read(move |c| analyses::paths_since(c, since)).await?;
        for path in paths {
            let is_missing = !path.with_file_name(report_file::REPORT).exists();
            if is_missing && path.exists() {
                self.report(&path).await;
            }
        }
        Ok(())
    }
}
