//! The seeds' `gp1` level: a directory is watched, and each new frame goes to the pipeline its header names.

use super::batch::BatchTools;
use super::error::Gp1Error;
use super::frame_input::{expand, raw_record};
use super::pipeline::{FrameOutcome, Instance};
use super::router::{Route, Router};
use super::settings::InstanceSettings;
use crate::model::UtcTime;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What became of a new file.
#[derive(Debug)]
pub enum Sighting {
    /// Name of the instance that took it.
    Processed {
        instance: String,
        outcome: Box<FrameOutcome>,
    },
    /// No section of `gp1.cfg` takes frames of its kind.
    NotTaken,
    Failed(Gp1Error),
}

/// A watched directory with its instances.
pub struct Watch {
    input: PathBuf,
    router: Router,
    instances: BTreeMap<String, (Instance, BatchTools)>,
    seen: BTreeSet<PathBuf>,
    tools: BatchTools,
}

impl Watch {
    /// `pipelines`: the sections of `gp1.cfg` in the order of the file, with their settings and tools (each pipeline names its
    /// own masters). `tools` opens frames before they are routed.
    pub fn new(
        input: PathBuf,
        pipelines: Vec<(Route, InstanceSettings, BatchTools)>,
        tools: BatchTools,
    ) -> Self {
        let routes = pipelines.iter().map(|(route, _, _)| route.clone()).collect();
        let instances = pipelines
            .into_iter()
            .map(|(route, settings, own)| {
                let instance = Instance::new(
                    settings,
                    Arc::clone(&own.catalogue),
                    Arc::clone(&own.store),
                    own.keywords.clone(),
                    own.provenance.clone(),
                );
                (route.instance, (instance, own))
            })
            .collect();
        let router = Router::new(routes, tools.keywords.clone());
        Self { input, router, instances, seen: BTreeSet::new(), tools }
    }

    pub fn input(&self) -> &Path {
        &self.input
    }

    /// Processes the files that are new since the last call, by name, and says what became of each. A file that fails with
    /// a retry being safe is tried again at the next call. `now` becomes the instant of arrival.
    pub fn scan_once(&mut self, now: UtcTime) -> Result<Vec<(PathBuf, Sighting)>, Gp1Error> {
        let mut sightings = Vec::new();
        for path in expand(std::slice::from_ref(&self.input))? {
            if self.seen.contains(&path) {
                continue;
            }
            let sighting = self.take(&path, now);
            let again = matches!(&sighting, Sighting::Failed(error) if error.is_retry_safe());
            if !again {
                self.seen.insert(path.clone());
            }
            sightings.push((path, sighting));
        }
        Ok(sightings)
    }

    fn take(&mut self, path: &Path, now: UtcTime) -> Sighting {
        let opened = raw_record(&*self.tools.store, &self.tools.keywords, path, "", now);
        let (mut record, header) = match opened {
            Ok((record, image)) => (record, image.header),
            Err(error) => return Sighting::Failed(error),
        };
        let Some(name) = self.router.instance_of(&header, &record.keywords) else {
            return Sighting::NotTaken;
        };
        record.instance = name.to_owned();
        let Some((instance, tools)) = self.instances.get_mut(&record.instance) else {
            return Sighting::NotTaken;
        };
        let masters = tools.masters_for(&record);
        match instance.process_frame(&record, &masters, None) {
            Ok(outcome) => {
                Sighting::Processed { instance: record.instance, outcome: Box::new(outcome) }
            }
            Err(error) => Sighting::Failed(error),
        }
    }
}
