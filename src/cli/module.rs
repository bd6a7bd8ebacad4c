//! The modules of GP1, each a command: `gic reduction -s INPUT… -r OUTPUT -c FILE.cfg`.

use super::{
    Failure,
    batch_tools::{self, Pipeline},
    logging::{self, LogArguments},
};
use crate::{
    config::{
        ConfigError, ConfigPaths, InputAndOutput, LogSettings, ModuleConfig, PathMap, PathRule,
        PipelineSet,
    },
    fits::plain_files::PlainFiles,
    gp1::batch::run_module,
};
use clap::Args;
use std::path::{Path, PathBuf};

pub use crate::gp1::Module;

#[derive(Debug, Args)]
pub struct ModuleArguments {
    /// Images, or directories of them (default: as configured)
    #[arg(short = 's', long, value_name = "PATH", num_args = 1..)]
    input: Vec<PathBuf>,
    /// Output directory (default: as configured)
    #[arg(short = 'r', long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Configuration of the module (default: built in)
    #[arg(short, long, value_name = "FILE.cfg")]
    config: Option<PathBuf>,
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

pub fn run(module: Module, arguments: ModuleArguments) -> Result<(), Failure> {
    logging::install(&arguments.log, "warn", &LogSettings::default())?;
    let mut set =
        PipelineSet::embedded(Path::new("pipelines/svom")).map_err(super::config::failure)?;
    if let Some(file) = &arguments.config {
        read_module(module, file, &mut set).map_err(super::config::failure)?;
    }
    set.map_paths(&PathMap { rules: arguments.path_map });
    let configured = paths_of(module, &set);
    let (inputs, output) = batch_tools::inputs_and_output(
        arguments.input,
        arguments.output,
        configured.input.clone(),
        configured.output.clone(),
    )?;
    let catalogue =
        batch_tools::catalogue(arguments.catalog.as_deref(), arguments.minor_planets.as_deref())?;
    let Pipeline { settings, tools } = batch_tools::pipeline(
        module.name(),
        &set,
        output.clone(),
        &catalogue,
        PlainFiles::UNSYNCED,
    )?;
    batch_tools::finish(run_module(module, &inputs, &output, &settings, &tools)?)
}

/// Puts the module's own file in the place of the built-in one.
fn read_module(module: Module, file: &Path, set: &mut PipelineSet) -> Result<(), ConfigError> {
    match module {
        Module::Reduction => set.reduction = ModuleConfig::read(file)?,
        Module::Findstars => set.findstars = ModuleConfig::read(file)?,
        Module::Astrometry => set.astrometry = ModuleConfig::read(file)?,
        Module::Alignment => set.alignment = ModuleConfig::read(file)?,
        Module::Stacking => set.stacking = ModuleConfig::read(file)?,
        Module::Subtraction => set.subtraction = ModuleConfig::read(file)?,
        Module::Photometry => set.photometry = ModuleConfig::read(file)?,
        Module::Summary => set.summary = ModuleConfig::read(file)?,
    }
    Ok(())
}

fn paths_of(module: Module, set: &PipelineSet) -> &InputAndOutput {
    match module {
        Module::Reduction => &set.reduction.paths,
        Module::Findstars => &set.findstars.paths,
        Module::Astrometry => &set.astrometry.paths,
        Module::Alignment => &set.alignment.paths,
        Module::Stacking => &set.stacking.paths,
        Module::Subtraction => &set.subtraction.paths,
        Module::Photometry => &set.photometry.paths,
        Module::Summary => &set.summary.paths,
    }
}
