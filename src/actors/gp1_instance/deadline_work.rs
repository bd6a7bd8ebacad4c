//! A deadline of an instance: the analysis, or what goes out in its place.

use super::{InstanceError, frames_work::Worker};
use crate::{
    actors::{messages::AnalysisReady, product_maker::ProductMaker, sending::hint},
    alerts::known_before,
    gp1::{failed_analysis::failed_analysis, pipeline::Instance},
    model::{
        AnalysisResult, Deadline, DeadlineState, FrameRecord, Provenance, Trigger,
        normalise_burst_id,
    },
    storage::{
        journal::{JournalError, analyses, frames, triggers},
        local::write_atomically,
    },
};
use std::path::PathBuf;

impl Worker {
    pub(super) async fn do_deadline(&self, deadline: &Deadline) -> Result<(), InstanceError> {
        // The report follows when nothing at this instant is unfinished any more: a simulated clock waits for it all the same.
        let _until_reported = self.settings.clock.hold();
        let burst = deadline.burst_id.clone();
        let name = self.settings.name.clone();
        // The frames whose last byte had arrived by the instant; a catch-up serves what there is now.
        let until =
            if deadline.cause.is_some() { self.settings.clock.now() } else { deadline.due_at };
        let found = self
            .settings
            .journal
            .read(move |c| {
                let trigger = triggers::find(c, &burst)?;
                let used = frames::reduced_of_burst(c, &name, &burst, until)?;
                Ok(trigger.map(|trigger| (trigger, used)))
            })
            .await?;
        let Some((trigger, used)) = found else { return Ok(()) };
        let trigger = known_before(&trigger, until);
        let path = match self.analyse(&trigger, deadline, &used).await {
            Ok(path) => path,
            Err(first) => {
                tracing::error!(deadline = %deadline.name, error = %first, "analysis failed; once more");
                match self.analyse(&trigger, deadline, &used).await {
                    Ok(path) => path,
                    Err(second) => {
                        self.without_analysis(&trigger, deadline, &used, &second.to_string())?
                    }
                }
            }
        };
        let result = read_result(&path)?;
        let result_path = path.clone();
        let (moved, at) = (deadline.clone(), self.settings.clock.now());
        self.settings
            .journal
            .write(move |t| {
                analyses::save(t, &result, &path, at)?;
                triggers::advance_deadline(t, &moved.burst_id, moved.name, DeadlineState::Analysed)
            })
            .await?;
        tracing::info!(burst = deadline.burst_id, deadline = %deadline.name, "analysis ready");
        if let Some(product_maker) = &self.settings.product_maker {
            let message =
                AnalysisReady { burst_id: deadline.burst_id.clone(), deadline: deadline.name };
            hint(product_maker, ProductMaker::NAME, message).await;
        }
        self.report(&result_path).await;
        Ok(())
    }

    async fn analyse(
        &self,
        trigger: &Trigger,
        deadline: &Deadline,
        used: &[FrameRecord],
    ) -> Result<PathBuf, InstanceError> {
        let (burst, frames) = (trigger.clone(), used.to_vec());
        self.state.changing(move |instance| instance.take_in_missing(&burst, &frames)).await?;
        let (trigger, deadline, used) = (trigger.clone(), deadline.clone(), used.to_vec());
        let analysing =
            move |instance: &Instance| instance.analyse_taken_in(&trigger, &deadline, &used);
        Ok(self.state.reading(analysing).await??)
    }

    /// A deadline always yields products: an analysis that fails twice gives an empty list with the reason.
    fn without_analysis(
        &self,
        trigger: &Trigger,
        deadline: &Deadline,
        used: &[FrameRecord],
        reason: &str,
    ) -> Result<PathBuf, InstanceError> {
        tracing::error!(deadline = %deadline.name, reason, "products go out without an analysis");
        let provenance = Provenance {
            program: env!("CARGO_PKG_NAME").to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            instance: self.settings.name.clone(),
            masters: Vec::new(),
            catalogue: String::new(),
            configuration_sha256: String::new(),
        };
        let result = failed_analysis(trigger, deadline, used, provenance, reason);
        let directory = self
            .settings
            .storage
            .calibrated()
            .join(normalise_burst_id(&deadline.burst_id))
            .join(deadline.name.to_string());
        let path = directory.join("result.json");
        let failed = |what: String| InstanceError::Result { path: path.clone(), what };
        let text = serde_json::to_vec_pretty(&result).map_err(|error| failed(error.to_string()))?;
        std::fs::create_dir_all(&directory).map_err(|error| failed(error.to_string()))?;
        write_atomically(&path, &text).map_err(|error| failed(error.to_string()))?;
        Ok(path)
    }
}

/// Deadlines that are due and can be served now: a catch-up waits for its first frame.
pub(super) fn serviceable_deadlines(
    connection: &rusqlite::Connection,
    instance: &str,
) -> Result<Vec<Deadline>, JournalError> {
    let mut serviceable = Vec::new();
    for deadline in triggers::deadlines_in(connection, DeadlineState::Due)? {
        if deadline.cause.is_none()
            || frames::has_reduced_of_burst(connection, instance, &deadline.burst_id)?
        {
            serviceable.push(deadline);
        }
    }
    Ok(serviceable)
}

fn read_result(path: &PathBuf) -> Result<AnalysisResult, InstanceError> {
    let failed = |what: String| InstanceError::Result { path: path.clone(), what };
    let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
    serde_json::from_str(&text).map_err(|error| failed(error.to_string()))
}
