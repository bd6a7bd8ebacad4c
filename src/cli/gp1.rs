//! `gic gp1` and `gic pipeline`: the seeds' levels above the modules.

use super::{
    Failure,
    batch_tools::{self, Pipeline},
    logging::{self, LogArguments},
};
use crate::{
    clock::Clock,
    config::{ConfigPaths, Gp1Config, LogSettings, PathMap, PathRule, PipelineSet},
    fits::plain_files::PlainFiles,
    gp1::{
        batch::run_pipeline,
        router::Route,
        watch::{Sighting, Watch},
    },
};
use anyhow::anyhow;
use clap::Args;
use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  gic gp1 --config config/gp1.cfg --path-map /data=/srv/data")]
pub struct Gp1Arguments {
    /// gp1.cfg: which pipeline gets which image
    #[arg(short, long, value_name = "FILE")]
    config: PathBuf,
    /// Rewrite paths that begin with OLD (may be given several times)
    #[arg(long, value_name = "OLD=NEW")]
    path_map: Vec<PathRule>,
    /// Local catalogue, CSV: id,kind,ra,dec,mag
    #[arg(long, value_name = "FILE")]
    catalog: Option<PathBuf>,
    /// Orbits of minor planets (gic catalog build --map mpcorb), seen from COLIBRI
    #[arg(long, value_name = "DIR")]
    minor_planets: Option<PathBuf>,
    /// Process what is there and end
    #[arg(long)]
    once: bool,
    /// Seconds between two looks at the input directory
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0)]
    every: f64,
    #[command(flatten)]
    log: LogArguments,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  gic pipeline --config config/pipelines/svom -s night/ -r out/")]
pub struct PipelineArguments {
    /// Directory of pipeline.cfg and the modules' .cfg files
    #[arg(short, long, value_name = "DIR")]
    config: PathBuf,
    /// Images, or directories of them (default: as configured)
    #[arg(short = 's', long, value_name = "PATH", num_args = 1..)]
    input: Vec<PathBuf>,
    /// Output directory (default: as configured)
    #[arg(short = 'r', long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Rewrite paths that begin with OLD (may be given several times)
    #[arg(long, value_name = "OLD=NEW")]
    path_map: Vec<PathRule>,
    /// Local catalogue, CSV: id,kind,ra,dec,mag
    #[arg(long, value_name = "FILE")]
    catalog: Option<PathBuf>,
    /// Orbits of minor planets (gic catalog build --map mpcorb), seen from COLIBRI
    #[arg(long, value_name = "DIR")]
    minor_planets: Option<PathBuf>,
    #[command(flatten)]
    log: LogArguments,
}

pub fn gp1(arguments: Gp1Arguments) -> Result<(), Failure> {
    logging::install(&arguments.log, "info", &LogSettings::default())?;
    let paths = PathMap { rules: arguments.path_map };
    let mut config = Gp1Config::read(&arguments.config).map_err(super::config::failure)?;
    config.map_paths(&paths);
    if let Some(missing) = config.check_paths().into_iter().next() {
        return Err(super::config::failure(missing));
    }
    let catalogue =
        batch_tools::catalogue(arguments.catalog.as_deref(), arguments.minor_planets.as_deref())?;
    let mut pipelines = Vec::new();
    let mut common = None;
    for section in &config.pipelines {
        let mut set = config.pipeline_set(section).map_err(super::config::failure)?;
        set.map_paths(&paths);
        let Pipeline { settings, tools } = batch_tools::pipeline(
            &section.name,
            &set,
            section.workspace_dir.clone(),
            &catalogue,
            PlainFiles::SYNCED,
        )?;
        let route =
            Route { instance: section.name.clone(), identifiers: section.identifiers.clone() };
        common.get_or_insert_with(|| tools.clone());
        pipelines.push((route, settings, tools));
    }
    let common = common.ok_or_else(|| Failure::Usage(anyhow!("gp1.cfg names no pipeline")))?;
    let mut watch = Watch::new(config.input.clone(), pipelines, common);
    let stop = Arc::new(AtomicBool::new(false));
    if !arguments.once {
        eprintln!("watching {}; end with Ctrl-C", watch.input().display());
        stop_on_signals(stop.clone())?;
    }
    let clock = Clock::real();
    let mut failures = 0;
    loop {
        for (path, sighting) in watch.scan_once(clock.now())? {
            match sighting {
                Sighting::Processed { instance, outcome } => {
                    println!("{instance}: {}", outcome.reduced_path.display());
                }
                Sighting::NotTaken => {
                    tracing::info!(path = %path.display(), "no pipeline takes this image");
                }
                Sighting::Failed(error) => {
                    failures += 1;
                    eprintln!("gic: {error}");
                }
            }
        }
        if arguments.once || stop.load(Ordering::SeqCst) {
            break;
        }
        std::thread::sleep(Duration::from_secs_f64(arguments.every.clamp(0.05, 3600.0)));
    }
    match failures {
        0 => Ok(()),
        count => Err(Failure::Failed(anyhow!("{count} images could not be processed"))),
    }
}

/// SIGINT and SIGTERM end the loop after the image in hand.
fn stop_on_signals(stop: Arc<AtomicBool>) -> Result<(), Failure> {
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        runtime.block_on(async move {
            let (Ok(mut terminate), Ok(mut interrupt)) =
                (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
            else {
                return;
            };
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            stop.store(true, Ordering::SeqCst);
        });
    })?;
    Ok(())
}

pub fn pipeline(arguments: PipelineArguments) -> Result<(), Failure> {
    logging::install(&arguments.log, "warn", &LogSettings::default())?;
    let paths = PathMap { rules: arguments.path_map };
    let mut set = PipelineSet::read(&arguments.config).map_err(super::config::failure)?;
    set.map_paths(&paths);
    let (inputs, output) = batch_tools::inputs_and_output(
        arguments.input,
        arguments.output,
        set.pipeline.input.clone(),
        set.pipeline.output.clone(),
    )?;
    let catalogue =
        batch_tools::catalogue(arguments.catalog.as_deref(), arguments.minor_planets.as_deref())?;
    let name = arguments
        .config
        .file_name()
        .map_or_else(|| "pipeline".to_owned(), |name| name.to_string_lossy().into_owned());
    let Pipeline { settings, tools } =
        batch_tools::pipeline(&name, &set, output.clone(), &catalogue, PlainFiles::UNSYNCED)?;
    batch_tools::finish(run_pipeline(&inputs, &output, &settings, &tools)?)
}
