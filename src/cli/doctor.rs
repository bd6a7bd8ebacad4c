//! `gic doctor` and `gic status`.

use super::Failure;
use crate::controller::{
    doctor::{DoctorOptions, Verdict, examine},
    run_setup::{RunOptions, RunSetupError, configuration},
    status::controller_status,
};
use anyhow::anyhow;
use clap::Args;
use std::path::PathBuf;

/// Which controller is meant.
#[derive(Debug, Args)]
pub struct WhichArguments {
    /// Configuration of the controller (default: built in)
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Directory of the local data storage, in the place of the configured one
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Exit code 0: a run can start, or goes on; 1: something has failed.\n\n\
    Example:\n  gic doctor --config config/gic.toml --network")]
pub struct DoctorArguments {
    #[command(flatten)]
    which: WhichArguments,
    /// Also see whether the science centre answers
    #[arg(long)]
    network: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Exit code 0: it runs and is healthy; 1: it is not.\n\n\
    Example:\n  gic status --config config/gic.toml")]
pub struct StatusArguments {
    #[command(flatten)]
    which: WhichArguments,
}

impl WhichArguments {
    fn options(&self) -> RunOptions {
        RunOptions { config: self.config.clone(), data: self.data.clone() }
    }
}

pub fn doctor(arguments: DoctorArguments) -> Result<(), Failure> {
    let options = DoctorOptions { run: arguments.which.options(), network: arguments.network };
    let diagnosis = actix_rt::System::new().block_on(examine(&options));
    if arguments.which.json {
        println!("{}", serde_json::to_string_pretty(&diagnosis)?);
    } else {
        print!("{}", diagnosis.text());
    }
    if diagnosis.verdict == Verdict::Failed {
        return Err(Failure::Failed(anyhow!("the doctor found what keeps gic from working")));
    }
    Ok(())
}

pub fn status(arguments: StatusArguments) -> Result<(), Failure> {
    let config = configuration(&arguments.which.options()).map_err(|error| match error {
        RunSetupError::Config(error) => super::config::failure(error),
        RunSetupError::Missing(_) => Failure::InputMissing(error.into()),
        other => Failure::Failed(other.into()),
    })?;
    let status = actix_rt::System::new().block_on(controller_status(&config));
    if arguments.which.json {
        println!("{}", serde_json::to_string_pretty(&status)?);
    } else {
        print!("{}", status.text());
    }
    if !status.healthy {
        return Err(Failure::Failed(anyhow!("gic is not healthy")));
    }
    Ok(())
}
