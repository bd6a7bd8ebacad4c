//! What the batch commands share: inputs, outputs, and the tools of a pipeline.

use super::Failure;
use crate::{
    catalogs::{self, Catalogue, local::NoCatalogue, minor_planets::MinorPlanetCatalogue},
    config::{
        PipelineSet,
        controller::{CatalogueSettings, SiteSettings},
    },
    fits::{FitsStore, KeywordMap, plain_files::PlainFiles},
    gp1::{
        InstanceSettings, MastersInForce,
        batch::{BatchOutcome, BatchTools},
        named_masters::{MasterFiles, NamedMasters},
    },
    model::Provenance,
    storage::local::sha256_of_bytes,
};
use anyhow::anyhow;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// A pipeline ready to run.
pub struct Pipeline {
    pub settings: InstanceSettings,
    pub tools: BatchTools,
}

/// The catalogue that was named, or none, with the orbits that were named.
pub fn catalogue(
    file: Option<&Path>,
    minor_planets: Option<&Path>,
) -> Result<Arc<dyn Catalogue>, Failure> {
    if let Some(missing) = [file, minor_planets].into_iter().flatten().find(|path| !path.exists()) {
        return Err(Failure::InputMissing(anyhow!("{}: not there", missing.display())));
    }
    let stars: Arc<dyn Catalogue> = match file {
        None => Arc::new(NoCatalogue),
        Some(file) => catalogs::open(file, None)?,
    };
    let Some(directory) = minor_planets else { return Ok(stars) };
    let site = SiteSettings::default().observatory();
    let age_days = CatalogueSettings::default().minor_planets_maximum_age_days;
    let orbits = MinorPlanetCatalogue::open(directory, Some(site), Some(age_days))?;
    Ok(catalogs::with_minor_planets(stars, orbits))
}

/// Settings and tools of a directory of `.cfg` files.
pub fn pipeline(
    name: &str,
    set: &PipelineSet,
    workspace: PathBuf,
    catalogue: &Arc<dyn Catalogue>,
    files: PlainFiles,
) -> Result<Pipeline, Failure> {
    let masters = MasterFiles {
        bias: set.reduction.bias.clone(),
        dark: set.reduction.dark.clone(),
        flat: set.reduction.flat.clone(),
    };
    for file in [&masters.bias, &masters.dark, &masters.flat].into_iter().flatten() {
        if !file.exists() {
            return Err(Failure::InputMissing(anyhow!("{}: not there", file.display())));
        }
    }
    let settings = InstanceSettings::from_config(name, set, workspace)
        .with_distortions(set.astrometry.distortion.as_deref())?;
    let store: Arc<dyn FitsStore> = Arc::new(files);
    let tools = BatchTools {
        named_masters: NamedMasters::load(store.as_ref(), &masters)?,
        store,
        catalogue: catalogue.clone(),
        keywords: KeywordMap::shipped().map_err(super::config::failure)?,
        masters_in_force: Arc::new(MastersInForce::default()),
        provenance: Provenance {
            program: env!("CARGO_PKG_NAME").to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            instance: name.to_owned(),
            masters: Vec::new(),
            catalogue: String::new(),
            configuration_sha256: sha256_of_bytes(settings.fingerprint().as_bytes()),
        },
    };
    Ok(Pipeline { settings, tools })
}

/// Paths of the command line mask those of the file. Inputs must be there.
pub fn inputs_and_output(
    given: Vec<PathBuf>,
    output: Option<PathBuf>,
    configured: Option<PathBuf>,
    configured_output: Option<PathBuf>,
) -> Result<(Vec<PathBuf>, PathBuf), Failure> {
    let inputs = if given.is_empty() { configured.into_iter().collect() } else { given };
    if inputs.is_empty() {
        return Err(Failure::Usage(anyhow!("no input: give -s, or 'input' in the configuration")));
    }
    for input in &inputs {
        if !input.exists() {
            return Err(Failure::InputMissing(anyhow!("{}: not there", input.display())));
        }
    }
    let output = output.or(configured_output).ok_or_else(|| {
        Failure::Usage(anyhow!("no output: give -r, or 'output' in the configuration"))
    })?;
    Ok((inputs, output))
}

/// Files written to standard output, complaints to standard error.
pub fn finish(outcome: BatchOutcome) -> Result<(), Failure> {
    for path in &outcome.written {
        println!("{}", path.display());
    }
    for (path, error) in &outcome.failed {
        eprintln!("gic: {}: {error}", path.display());
    }
    match (outcome.written.len(), outcome.failed.len()) {
        (_, 0) => Ok(()),
        (written, failed) => {
            Err(Failure::Failed(anyhow!("{failed} of {} frames failed", written + failed)))
        }
    }
}
