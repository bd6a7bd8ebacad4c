//! `gic run`.

use super::{
    Failure,
    logging::{self, LogArguments},
};
use crate::controller::{
    run::run_until_stopped,
    run_setup::{RunOptions, RunSetupError, parts_for_run},
};
use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  gic run --config config/gic.toml")]
pub struct RunArguments {
    /// Configuration of the controller (default: built in)
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Directory of the local data storage, in the place of the configured one
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    #[command(flatten)]
    log: LogArguments,
}

pub fn run(arguments: RunArguments) -> Result<(), Failure> {
    logging::install(&arguments.log, "info");
    let options = RunOptions { config: arguments.config, data: arguments.data };
    actix_rt::System::new().block_on(async move {
        let parts = parts_for_run(&options).map_err(failure)?;
        run_until_stopped(parts, |controller| {
            eprintln!("alerts: {}", controller.alert_address());
            eprintln!("pages:  http://{}/", controller.web_address());
        })
        .await?;
        Ok(())
    })
}

fn failure(error: RunSetupError) -> Failure {
    match error {
        RunSetupError::Config(error) => super::config::failure(error),
        RunSetupError::Missing(_) => Failure::InputMissing(error.into()),
        other => Failure::Failed(other.into()),
    }
}
