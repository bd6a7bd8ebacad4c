//! `gic simulate`.

use super::{
    Failure,
    logging::{self, LogArguments},
    progress::TerminalProgress,
};
use crate::{
    actors::supervision::Fault,
    config::{LogSettings, SimulationConfig},
    controller::{
        night_directory::NightDirectoryError,
        simulated_night::{FaultOrder, NightError, NightWatcher},
        simulation_setup::{ArchiveOptions, NightOptions, SetupError, simulate_night},
    },
    model::UtcTime,
};
use anyhow::anyhow;
use clap::Args;
use std::{path::PathBuf, sync::Arc};

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  gic simulate\n  gic simulate --seed 7 --json\n  \
    gic simulate --archive nights/20191016 --catalog field.csv --out trial\n  \
    gic simulate --kill gp1-svom@290")]
pub struct SimulateArguments {
    /// Sky, camera and story (default: built in)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Replay the frames of this directory instead of a synthetic sky
    #[arg(long, value_name = "DIR")]
    archive: Option<PathBuf>,
    /// Local catalogue of the field, CSV: id,kind,ra,dec,mag
    #[arg(long, value_name = "FILE")]
    catalog: Option<PathBuf>,
    /// Blur and cut the catalogue as the default sky's is: 50 mas, 0.03 mag, 19.5
    #[arg(long, requires = "catalog")]
    blur_catalog: bool,
    /// Truth of the archive, a directory of tables, to compare the result with
    #[arg(long, value_name = "DIR", requires = "archive")]
    truth: Option<PathBuf>,
    /// Send this VOEvent packet instead of the story's
    #[arg(long, value_name = "FILE", requires = "archive")]
    alert: Option<PathBuf>,
    /// Time of the burst (archive: default 120 s before the first object frame)
    #[arg(long, value_name = "UTC", requires = "archive")]
    t0: Option<UtcTime>,
    /// Let the archive's frames arrive this many seconds apart
    #[arg(long, value_name = "SECONDS", requires = "archive")]
    interval: Option<f64>,
    /// How many times faster than real time the clock may run
    #[arg(long, value_name = "N")]
    speed: Option<f64>,
    /// Seed of the sky and its noise
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Directory of the night; given again, an interrupted night goes on
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Begin again in --out, throwing away the night that is there
    #[arg(long)]
    fresh: bool,
    /// Make an actor panic T seconds after T0 (may be given several times)
    #[arg(long, value_name = "ACTOR@T", value_parser = read_kill)]
    kill: Vec<FaultOrder>,
    /// Make an actor fail T seconds after T0, after STEPS more steps of it: panic, hang, slow, full-mailbox, and of gp1
    /// actors worker-panic, worker-hang
    #[arg(long, value_name = "FAULT:ACTOR@T+STEPS", value_parser = read_fault)]
    fault: Vec<FaultOrder>,
    /// Let the clock run free: lateness then shows in the results
    #[arg(long)]
    no_hold: bool,
    /// Where the pages are served while the night runs
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    web: String,
    /// Report as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    log: LogArguments,
}

fn read_kill(text: &str) -> Result<FaultOrder, String> {
    order(Fault::Panic, text)
        .map_err(|()| format!("'{text}' is not ACTOR@SECONDS, as gp1-svom@290"))
}

fn read_fault(text: &str) -> Result<FaultOrder, String> {
    let form = || format!("'{text}' is not FAULT:ACTOR@SECONDS+STEPS, as hang:gp1-svom@290+2");
    let (fault, rest) = text.split_once(':').ok_or_else(form)?;
    order(fault.parse()?, rest).map_err(|()| form())
}

fn order(fault: Fault, text: &str) -> Result<FaultOrder, ()> {
    let (actor, when) = text.split_once('@').ok_or(())?;
    let (seconds, steps) = when.split_once('+').unwrap_or((when, "0"));
    let seconds_after_t0: f64 = seconds.trim_end_matches('s').parse().map_err(drop)?;
    let after_steps = steps.parse().map_err(drop)?;
    if actor.is_empty() || !seconds_after_t0.is_finite() {
        return Err(());
    }
    Ok(FaultOrder { fault, actor: actor.to_owned(), seconds_after_t0, after_steps })
}

pub fn simulate(arguments: SimulateArguments) -> Result<(), Failure> {
    logging::install(&arguments.log, "warn", &LogSettings::default())?;
    let mut config = match &arguments.config {
        Some(file) => SimulationConfig::read(file).map_err(super::config::failure)?,
        None => SimulationConfig::default(),
    };
    if let Some(seed) = arguments.seed {
        config.seed = seed;
    }
    if let Some(speed) = arguments.speed {
        if !(speed.is_finite() && speed > 0.0) {
            return Err(Failure::Usage(anyhow!("--speed {speed}: it must be above 0")));
        }
        config.speed = speed;
    }
    let options = NightOptions {
        config,
        archive: arguments.archive.map(|directory| ArchiveOptions {
            directory,
            alert: arguments.alert,
            t0: arguments.t0,
            interval_seconds: arguments.interval,
            truth: arguments.truth,
        }),
        catalogue: arguments.catalog,
        blur_catalogue: arguments.blur_catalog,
        out: arguments.out,
        fresh: arguments.fresh,
        faults: [arguments.kill, arguments.fault].concat(),
        holds: !arguments.no_hold,
        web: arguments.web,
    };
    let watcher: Arc<dyn NightWatcher> = Arc::new(TerminalProgress::new(arguments.json));
    let report =
        actix_rt::System::new().block_on(simulate_night(options, watcher)).map_err(failure)?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{}", report.text());
    }
    if report.verdict.ok {
        Ok(())
    } else {
        Err(Failure::Invalid(anyhow!(
            "the night is not as it should be: {}",
            report.verdict.complaints.join("; ")
        )))
    }
}

fn failure(error: SetupError) -> Failure {
    match error {
        SetupError::InputMissing { .. } => Failure::InputMissing(error.into()),
        SetupError::Usage(_) => Failure::Usage(error.into()),
        SetupError::Night(NightError::Fault(_)) => Failure::Usage(error.into()),
        SetupError::Directory(
            NightDirectoryError::Finished { .. }
            | NightDirectoryError::OtherConfiguration { .. }
            | NightDirectoryError::Foreign { .. },
        ) => Failure::Usage(error.into()),
        other => Failure::Failed(other.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_to_fail_are_read() {
        let order = |fault, after_steps| FaultOrder {
            fault,
            actor: "gp1-svom".to_owned(),
            seconds_after_t0: 290.0,
            after_steps,
        };
        assert_eq!(read_kill("gp1-svom@290").unwrap(), order(Fault::Panic, 0));
        assert_eq!(read_fault("hang:gp1-svom@290").unwrap(), order(Fault::Hang, 0));
        assert_eq!(read_fault("worker-hang:gp1-svom@290+3").unwrap(), order(Fault::WorkerHang, 3));
        for text in ["gp1-svom", "@3", "web@soon", "web@inf"] {
            assert!(read_kill(text).is_err(), "{text}");
        }
        for text in ["gp1-svom@3", "sulk:web@3", "hang:web@3+", "hang:web@3+many"] {
            assert!(read_fault(text).is_err(), "{text}");
        }
    }
}
