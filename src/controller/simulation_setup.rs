//! From the options of `gic simulate` to a planned night and the controller that lives through it.

use super::{
    ControllerParts, FscTarget,
    assembly::{Pipelines, keyword_map, product_settings},
    night_directory::{NightDirectory, NightDirectoryError},
    night_plan::NightPlan,
    report::NightReport,
    simulated_night::{FaultOrder, INSTANT_NOTE, NightError, NightWatcher, run_night},
};
use crate::{
    actors::image_provider::ImageSource,
    catalogs::{self, Catalogue, CatalogueError, local::NoCatalogue},
    clock::Clock,
    config::{ConfigError, ControllerConfig, Gp1Config, PathMap, SimulationConfig},
    fits::{FitsStore, plain_files::PlainFiles},
    fsc::server::{ReceiverSettings, start_on_thread},
    model::{Role, UtcTime},
    products::{DescriptorError, DescriptorSet, ProductSettings},
    simulation::{
        SimulationError, SyntheticNight, Truth,
        archive::{ArchiveOptions as ReplayOptions, plan},
        catalogue_trial::blurred_catalogue,
        feed::{ArchiveFeed, SyntheticFeed},
        from_config::{camera_parameters, catalogue_parameters, sky_parameters, story_parameters},
        truth::write_catalogue,
    },
    storage::{
        directory_lock::{DirectoryLock, LockError},
        journal::{Journal, JournalError, events},
        local::{LocalStorage, StorageError},
    },
    web::{
        metrics::{Metrics, MetricsError},
        status::Mode,
    },
};
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// Bearer token between the uploader and the receiver of one night, both on loopback.
const NIGHT_TOKEN: &str = "simulated-night";
/// Masters are made when no calibration frame has come for so long.
const QUIET_SECONDS: f64 = 20.0;
/// Largest product the receiver takes.
const MAXIMUM_PRODUCT_BYTES: usize = 64 << 20;

/// `--archive` and what goes with it.
#[derive(Debug, Clone)]
pub struct ArchiveOptions {
    pub directory: PathBuf,
    pub alert: Option<PathBuf>,
    pub t0: Option<UtcTime>,
    pub interval_seconds: Option<f64>,
    pub truth: Option<PathBuf>,
}

/// What a simulated night is made from.
#[derive(Debug, Clone)]
pub struct NightOptions {
    pub config: SimulationConfig,
    pub archive: Option<ArchiveOptions>,
    pub catalogue: Option<PathBuf>,
    pub blur_catalogue: bool,
    pub out: Option<PathBuf>,
    pub fresh: bool,
    pub faults: Vec<FaultOrder>,
    pub holds: bool,
    pub web: String,
}

#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    #[error("{path}: {what}")]
    InputMissing { path: PathBuf, what: String },
    #[error("{0}")]
    Usage(String),
    #[error(transparent)]
    Directory(#[from] NightDirectoryError),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Simulation(#[from] SimulationError),
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error("the receiver of the science centre: {0}")]
    Receiver(#[from] crate::fsc::server::FscError),
    #[error(transparent)]
    Descriptors(#[from] DescriptorError),
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    #[error(transparent)]
    Night(#[from] NightError),
}

/// Runs a night from its options to its report.
pub async fn simulate_night(
    options: NightOptions,
    watcher: Arc<dyn NightWatcher>,
) -> Result<NightReport, SetupError> {
    check_inputs(&options)?;
    let web: SocketAddr = options
        .web
        .parse()
        .map_err(|_| SetupError::Usage(format!("--web {}: not an address", options.web)))?;
    let root = options.out.clone().unwrap_or_else(default_directory);
    let directory = NightDirectory::open(&root, &fingerprint(&options), options.fresh)?;
    let word = if directory.is_resumed() { "going on in" } else { "night in" };
    watcher.announce(&format!("{word} {}", root.display()));

    let store: Arc<dyn FitsStore> = Arc::new(PlainFiles::SYNCED);
    let controller_config = controller_config(&options, web, &directory)?;
    let keywords = keyword_map(&controller_config)?;
    let (plan, catalogue) = match &options.archive {
        None => plan_synthetic(&options, &directory, store.clone())?,
        Some(archive) => plan_archive(&options, archive, &directory, store.clone(), &keywords)?,
    };
    let storage = LocalStorage::open(&directory.data())?;
    let lock = DirectoryLock::take(storage.root(), "simulate")?;
    let journal = Journal::open(&storage.journal())?;
    let reached = journal.read(|c| events::note(c, INSTANT_NOTE)).await?;
    let start = reached
        .and_then(|text| UtcTime::parse(&text).ok())
        .map_or(plan.clock_start, |reached| reached.max(plan.clock_start));
    let clock = Clock::simulated(start, options.config.speed, options.holds);

    let receiver_clock = clock.clone();
    let receiver = start_on_thread(ReceiverSettings {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        directory: directory.science_centre(),
        token: Some(NIGHT_TOKEN.to_owned()),
        maximum_bytes: MAXIMUM_PRODUCT_BYTES,
        tls: None,
        now: Arc::new(move || receiver_clock.now()),
    })?;
    let gp1 = Gp1Config::embedded()?;
    let pipelines =
        Pipelines::load(&gp1, &PathMap::default(), &keywords, Some(&storage.calibrated()))?;
    let descriptors = DescriptorSet::embedded()?;
    let products = ProductSettings {
        filters: product_filters(&options.config.products.filters, &plan.filters),
        telescope: plan.telescope.clone(),
        ..product_settings(&controller_config)
    };
    let parts = ControllerParts {
        fsc: FscTarget {
            url: format!("http://{}/upload-product", receiver.address()),
            token: Some(NIGHT_TOKEN.to_owned()),
            timeout: Duration::from_secs_f64(controller_config.fsc.timeout_seconds),
            ca_file: None,
        },
        config: controller_config,
        clock,
        journal,
        storage,
        lock,
        catalogue,
        keywords,
        instances: pipelines.instances,
        router: pipelines.router,
        products,
        descriptors,
        source: ImageSource::Feed(plan.feed.clone()),
        metrics: Metrics::install()?,
        mode: Mode::Simulate,
        started_at: start,
    };
    let plan = Arc::new(plan);
    Ok(run_night(parts, plan, &directory, receiver, &options.faults, watcher).await?)
}

/// The rows of the products: the configured filters, or those of an archived night that has others.
fn product_filters(configured: &[String], of_night: &[String]) -> Vec<String> {
    let is_known = of_night.iter().all(|filter| configured.contains(filter));
    if is_known { configured.to_vec() } else { of_night.to_vec() }
}

/// Paths that were named must be there: nothing is begun otherwise.
fn check_inputs(options: &NightOptions) -> Result<(), SetupError> {
    let mut named: Vec<(&Path, &str)> = Vec::new();
    if let Some(catalogue) = &options.catalogue {
        named.push((catalogue, "the catalogue (--catalog) is not there"));
    }
    if let Some(archive) = &options.archive {
        named.push((&archive.directory, "the archive (--archive) is not there"));
        if let Some(alert) = &archive.alert {
            named.push((alert, "the packet (--alert) is not there"));
        }
        if let Some(truth) = &archive.truth {
            named.push((truth, "the truth (--truth) is not there"));
        }
    }
    for (path, what) in named {
        if !path.exists() {
            return Err(SetupError::InputMissing { path: path.to_owned(), what: what.to_owned() });
        }
    }
    Ok(())
}

/// `simulation/<date of now>`: the one place where a simulation looks at the wall clock, to name its directory.
fn default_directory() -> PathBuf {
    Path::new("simulation").join(Clock::real().now().compact())
}

/// Everything that decides the result, so that a directory is not gone on with by another night.
fn fingerprint(options: &NightOptions) -> serde_json::Value {
    let archive = options.archive.as_ref().map(|archive| {
        serde_json::json!({
            "directory": archive.directory,
            "alert": archive.alert,
            "t0": archive.t0,
            "interval_seconds": archive.interval_seconds,
        })
    });
    let mut config = options.config.clone();
    // How fast the clock runs decides nothing.
    config.speed = 1.0;
    serde_json::json!({
        "config": config,
        "archive": archive,
        "catalogue": options.catalogue,
        "blur_catalogue": options.blur_catalogue,
    })
}

/// The shipped configuration with what a simulation changes: free ports, test packets accepted.
fn controller_config(
    options: &NightOptions,
    web: SocketAddr,
    directory: &NightDirectory,
) -> Result<ControllerConfig, SetupError> {
    let mut config = ControllerConfig::embedded()?;
    config.data.directory = directory.data();
    config.alerts.listen = SocketAddr::from(([127, 0, 0, 1], 0));
    // The calibration frames of a simulated night come one after the other and then the sky at once.
    config.calibration.quiet_seconds = QUIET_SECONDS;
    config.alerts.accept_roles = vec![Role::Observation, Role::Test];
    config.web.listen = web;
    config.products.filters = options.config.products.filters.clone();
    Ok(config)
}

type Planned = (NightPlan, Arc<dyn Catalogue>);

fn plan_synthetic(
    options: &NightOptions,
    directory: &NightDirectory,
    store: Arc<dyn FitsStore>,
) -> Result<Planned, SetupError> {
    let config = &options.config;
    let night = SyntheticNight::new(
        config.seed,
        &sky_parameters(config),
        camera_parameters(config),
        story_parameters(config),
    )?;
    let skies = [&night.sky, &night.programme_sky];
    let file = directory.catalogue_file();
    write_catalogue(&file, config.seed, &skies, &catalogue_parameters(config))?;
    let night = Arc::new(night);
    let feed = Arc::new(SyntheticFeed::new(night.clone(), store));
    let plan = NightPlan::synthetic(&night, feed);
    write_truth(&plan, directory)?;
    let catalogue = open_catalogue(options, Some(&file))?;
    Ok((plan, catalogue))
}

fn plan_archive(
    options: &NightOptions,
    archive: &ArchiveOptions,
    directory: &NightDirectory,
    store: Arc<dyn FitsStore>,
    keywords: &crate::fits::KeywordMap,
) -> Result<Planned, SetupError> {
    let replay = ReplayOptions {
        interval_seconds: archive.interval_seconds,
        t0: archive.t0,
        readout_seconds: options.config.story.readout_seconds,
        ..ReplayOptions::default()
    };
    let replayed = plan(&archive.directory, &replay, store.as_ref(), keywords)?;
    let packet = match &archive.alert {
        Some(file) => Some(
            std::fs::read(file).map_err(|source| StorageError { path: file.clone(), source })?,
        ),
        None => None,
    };
    let truth = match &archive.truth {
        Some(tables) => Some(Truth::read_tables(tables)?),
        None => None,
    };
    let feed = Arc::new(ArchiveFeed::new(&replayed, store));
    let plan = NightPlan::archive(&replayed, packet, truth, feed, options.config.seed);
    write_truth(&plan, directory)?;
    let file = match (&options.catalogue, options.blur_catalogue) {
        (Some(catalogue), true) => {
            let blurred = directory.catalogue_file();
            blurred_catalogue(
                catalogue,
                &blurred,
                options.config.seed,
                &catalogue_parameters(&options.config),
            )?;
            Some(blurred)
        }
        _ => None,
    };
    let catalogue = open_catalogue(options, file.as_deref())?;
    Ok((plan, catalogue))
}

fn write_truth(plan: &NightPlan, directory: &NightDirectory) -> Result<(), SetupError> {
    if let Some(truth) = &plan.truth {
        truth.write(&directory.truth_file())?;
    }
    Ok(())
}

/// The catalogue that was made for the night, else the one that was named, else none.
fn open_catalogue(
    options: &NightOptions,
    made: Option<&Path>,
) -> Result<Arc<dyn Catalogue>, SetupError> {
    match made.or(options.catalogue.as_deref()) {
        Some(file) => Ok(catalogs::open(file, None)?),
        None => Ok(Arc::new(NoCatalogue)),
    }
}
