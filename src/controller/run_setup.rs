//! From `gic.toml` to the parts of a headless run.

use super::{
    ControllerParts, FscTarget,
    assembly::{Pipelines, keyword_map, product_settings},
};
use crate::{
    actors::image_provider::ImageSource,
    catalogs::{
        self, Catalogue, CatalogueError, local::NoCatalogue, minor_planets::MinorPlanetCatalogue,
    },
    clock::Clock,
    config::{
        ConfigError, ControllerConfig, Gp1Config, PathMap,
        controller::{CatalogueSettings, SiteSettings},
        read_bounded,
    },
    products::{DescriptorError, DescriptorSet},
    storage::{
        directory_lock::{DirectoryLock, LockError},
        journal::{Journal, JournalError},
        local::{LocalStorage, StorageError},
    },
    web::{
        metrics::{Metrics, MetricsError},
        status::Mode,
    },
};
use std::{io, path::PathBuf, sync::Arc, time::Duration};

/// Longest file of a token, bytes.
const MAXIMUM_TOKEN_BYTES: u64 = 4096;

/// What `gic run` is given.
#[derive(Debug, Clone, Default)]
pub struct RunOptions {
    pub config: Option<PathBuf>,
    pub data: Option<PathBuf>,
}

#[derive(Debug, thiserror::Error)]
pub enum RunSetupError {
    #[error(transparent)]
    Config(ConfigError),
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Missing(Vec<ConfigError>),
    #[error("token file {path}: {source}")]
    Token { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error(transparent)]
    Descriptors(#[from] DescriptorError),
    #[error(transparent)]
    Metrics(#[from] MetricsError),
}

impl From<ConfigError> for RunSetupError {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

/// The configuration of a run, with every path that it names there.
pub fn configuration(options: &RunOptions) -> Result<ControllerConfig, RunSetupError> {
    let mut config = match &options.config {
        Some(file) => {
            let config = ControllerConfig::read(file)?;
            let missing = config.check_paths(file);
            if !missing.is_empty() {
                return Err(RunSetupError::Missing(missing));
            }
            config
        }
        None => ControllerConfig::embedded()?,
    };
    if let Some(data) = &options.data {
        config.data.directory = data.clone();
    }
    Ok(config)
}

/// Opens and reads everything a run needs; nothing is started yet.
pub fn parts_for_run(config: ControllerConfig) -> Result<ControllerParts, RunSetupError> {
    let storage = LocalStorage::open(&config.data.directory)?;
    let lock = DirectoryLock::take(storage.root(), "run")?;
    let journal = Journal::open(&storage.journal())?;
    let keywords = keyword_map(&config)?;
    let gp1 = match &config.gp1.config {
        Some(file) => Gp1Config::read(file)?,
        None => Gp1Config::embedded()?,
    };
    // The shipped gp1.cfg leaves directories to the data storage; a site's own one names them.
    let workspace = config.gp1.config.is_none().then(|| storage.calibrated());
    let pipelines = Pipelines::load(&gp1, &PathMap::default(), &keywords, workspace.as_deref())?;
    let watched = match (&config.images.directory, &config.gp1.config) {
        (Some(directory), _) => directory.clone(),
        (None, Some(_)) => gp1.input.clone(),
        (None, None) => storage.incoming(),
    };
    let clock = Clock::real();
    let started_at = clock.now();
    Ok(ControllerParts {
        fsc: FscTarget {
            url: config.fsc.upload_url.clone(),
            token: token(&config)?,
            timeout: Duration::from_secs_f64(config.fsc.timeout_seconds),
            ca_file: config.fsc.ca_file.clone(),
        },
        source: ImageSource::Directory {
            path: watched,
            scan: Duration::from_secs_f64(config.images.scan_seconds),
        },
        catalogue: catalogue(&config.catalogue, &config.site)?,
        products: product_settings(&config),
        descriptors: match &config.products.descriptors {
            Some(directory) => DescriptorSet::load(directory)?,
            None => DescriptorSet::embedded()?,
        },
        config,
        clock,
        journal,
        storage,
        lock,
        keywords,
        instances: pipelines.instances,
        router: pipelines.router,
        metrics: Metrics::install()?,
        mode: Mode::Run,
        started_at,
    })
}

fn catalogue(
    settings: &CatalogueSettings,
    site: &SiteSettings,
) -> Result<Arc<dyn Catalogue>, CatalogueError> {
    let stars = match &settings.file {
        Some(file) => catalogs::open(file, Some(settings.maximum_age_days))?,
        None => Arc::new(NoCatalogue),
    };
    Ok(match &settings.minor_planets {
        Some(directory) => {
            let age_days = Some(settings.minor_planets_maximum_age_days);
            let orbits = MinorPlanetCatalogue::open(directory, Some(site.observatory()), age_days)?;
            catalogs::with_minor_planets(stars, orbits)
        }
        None => stars,
    })
}

/// The bearer token of the science centre: from its file, else from the environment, else none.
pub fn token(config: &ControllerConfig) -> Result<Option<String>, RunSetupError> {
    if let Some(path) = &config.fsc.token_file {
        let text = read_bounded(path, MAXIMUM_TOKEN_BYTES)
            .and_then(|bytes| String::from_utf8(bytes).map_err(io::Error::other))
            .map_err(|source| RunSetupError::Token { path: path.clone(), source })?;
        return Ok(Some(text.trim().to_owned()));
    }
    let name = &config.fsc.token_environment;
    Ok((!name.is_empty()).then(|| std::env::var(name).ok()).flatten())
}
