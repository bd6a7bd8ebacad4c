//! `gic calibrate`: masters of bias, dark and flat frames in files.

use super::{
    Failure,
    logging::{self, LogArguments},
};
use crate::{
    config::{ControllerConfig, LogSettings},
    controller::assembly::keyword_map,
    fits::plain_files::PlainFiles,
    gp1::night_masters::{MasterSettings, make_masters_of_files},
};
use anyhow::anyhow;
use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(
    after_help = "Valid masters go to DIR/<kind>/current/, rejected ones to DIR/<kind>/rejected/, each with its record beside it; their paths \
    are printed. Exit code 5 if one is rejected, 1 if a frame cannot be read or a master cannot be made.\n\n\
    Example:\n  gic calibrate -s night/ -r masters/"
)]
pub struct CalibrateArguments {
    /// Frames, or directories of them; what is neither bias nor dark nor flat is passed over
    #[arg(short = 's', long, value_name = "PATH", num_args = 1.., required = true)]
    input: Vec<PathBuf>,
    /// Output directory
    #[arg(short = 'r', long, value_name = "DIR")]
    output: PathBuf,
    /// Configuration of the controller, for keywords and [calibration] (default: built in)
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    log: LogArguments,
}

pub fn run(arguments: CalibrateArguments) -> Result<(), Failure> {
    logging::install(&arguments.log, "warn", &LogSettings::default())?;
    let config = match &arguments.config {
        Some(file) => ControllerConfig::read(file).map_err(super::config::failure)?,
        None => ControllerConfig::embedded().map_err(super::config::failure)?,
    };
    if let Some(input) = arguments.input.iter().find(|input| !input.exists()) {
        return Err(Failure::InputMissing(anyhow!("{}: not there", input.display())));
    }
    let keywords = keyword_map(&config)?;
    let settings = MasterSettings::from_config(&config.calibration, &config.site);
    let made = make_masters_of_files(
        &arguments.input,
        &arguments.output,
        &PlainFiles::UNSYNCED,
        &keywords,
        &settings,
    )?;
    for master in &made.masters {
        println!("{}", master.path.display());
    }
    // The reasons name their files.
    for reason in made.failed.iter().map(|(_, reason)| reason).chain(&made.missing) {
        eprintln!("gic: {reason}");
    }
    let mut rejected = 0;
    for master in made.masters.iter().filter(|master| !master.valid) {
        let reason = master.reason.as_deref().unwrap_or("no reason given");
        eprintln!("gic: {}: rejected: {reason}", master.path.display());
        rejected += 1;
    }
    if !made.failed.is_empty() || !made.missing.is_empty() {
        let (frames, masters) = (made.failed.len(), made.missing.len());
        return Err(Failure::Failed(anyhow!(
            "{frames} frames could not be read, {masters} masters not be made"
        )));
    }
    match (made.masters.len(), rejected) {
        (0, _) => Err(Failure::InputMissing(anyhow!("no bias, dark or flat among the frames"))),
        (_, 0) => Ok(()),
        (all, _) => Err(Failure::Invalid(anyhow!("{rejected} of {all} masters are rejected"))),
    }
}
