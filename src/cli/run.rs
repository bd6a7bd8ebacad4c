//! `gic run`.

use super::{
    Failure,
    logging::{self, LogArguments},
};
use crate::controller::{
    Controller,
    run::{HangOrder, run_until_stopped},
    run_setup::{RunOptions, RunSetupError, configuration, parts_for_run},
};
use clap::Args;
use std::{io::Write, path::PathBuf, str::FromStr, time::Duration};

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  gic run --config config/gic.toml")]
pub struct RunArguments {
    /// Configuration of the controller (default: built in)
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Directory of the local data storage, in the place of the configured one
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Block an actor's thread for ever so many seconds after the start: a trial of the watchdog
    #[arg(long, value_name = "ACTOR@S", hide = true)]
    trial_hang: Option<HangOrder>,
    #[command(flatten)]
    log: LogArguments,
}

impl FromStr for HangOrder {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let form = || format!("'{text}' is not ACTOR@SECONDS, as web@3");
        let (actor, seconds) = text.split_once('@').ok_or_else(form)?;
        let seconds = seconds.parse().map_err(|_| form())?;
        let after = Duration::try_from_secs_f64(seconds).map_err(|_| form())?;
        Ok(Self { actor: actor.to_owned(), after })
    }
}

pub fn run(arguments: RunArguments) -> Result<(), Failure> {
    let options = RunOptions { config: arguments.config, data: arguments.data };
    let config = configuration(&options).map_err(failure)?;
    let log_file = logging::install(&arguments.log, "info", &config.log)?;
    actix_rt::System::new().block_on(async move {
        logging::follow_hangups(log_file)?;
        let parts = parts_for_run(config).map_err(failure)?;
        run_until_stopped(parts, arguments.trial_hang, announce).await?;
        Ok(())
    })
}

/// Says the addresses on standard error; one that is closed is no reason not to run.
fn announce(controller: &Controller) {
    let text = format!(
        "alerts: {}\npages:  http://{}/\n",
        controller.alert_address(),
        controller.web_address()
    );
    let _ = std::io::stderr().write_all(text.as_bytes());
}

fn failure(error: RunSetupError) -> Failure {
    match error {
        RunSetupError::Config(error) => super::config::failure(error),
        RunSetupError::Missing(_) => Failure::InputMissing(error.into()),
        other => Failure::Failed(other.into()),
    }
}
