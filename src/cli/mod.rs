//! Arguments in, text or JSON and exit codes out; no logic.
//!
//! Results go to standard output, messages to standard error. Exit codes: 0 done, 1 failed, 2 usage, 3 input missing,
//! 5 validation failed.

mod alert;
mod alert_transport;
mod batch_tools;
mod calibrate;
mod catalog;
mod config;
mod distortion;
mod doctor;
mod fsc;
mod gp1;
mod log_file;
mod logging;
mod minor_planets;
mod module;
mod products;
mod progress;
mod run;
mod screen;
mod simulate;

use clap::{Parser, Subcommand};
use std::{ffi::OsString, fmt, path::Path, process::ExitCode};

/// Real-time controller of the COLIBRI telescope's Instrument Center.
#[derive(Debug, Parser)]
#[command(name = "gic", version, propagate_version = true, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the controller headless, until it is told to stop
    Run(run::RunArguments),
    /// Run a night on a synthetic sky or an archive, from the alert to the receipts
    Simulate(simulate::SimulateArguments),
    /// Reduce the images of a directory as they arrive, with the pipelines of gp1.cfg
    Gp1(gp1::Gp1Arguments),
    /// Run one pipeline over a set of images
    Pipeline(gp1::PipelineArguments),
    /// Masters: made of bias, dark and flat frames
    Calibrate(calibrate::CalibrateArguments),
    /// Module: bias, dark, flat; electrons with variance and mask
    Reduction(module::ModuleArguments),
    /// Module: find and measure sources
    Findstars(module::ModuleArguments),
    /// Module: solve world coordinates against the local catalogue
    Astrometry(module::ModuleArguments),
    /// Module: put frames on the grid of the first one of their field
    Alignment(module::ModuleArguments),
    /// Module: align and stack
    Stacking(module::ModuleArguments),
    /// Module: difference to a template, and what stands out of it
    Subtraction(module::ModuleArguments),
    /// Module: zero point, calibrated magnitudes, limiting magnitude
    Photometry(module::ModuleArguments),
    /// Module: candidates, light curves, fading
    Summary(module::ModuleArguments),
    /// Alerts: understand packets, send them, follow brokers
    #[command(subcommand)]
    Alert(alert::AlertCommand),
    /// Products: show them
    #[command(subcommand)]
    Products(products::ProductsCommand),
    /// Catalogues offline: build them, describe them, ask them
    #[command(subcommand)]
    Catalog(catalog::CatalogCommand),
    /// Learn the distortion of a camera from frames that were solved
    Distortion(distortion::DistortionArguments),
    /// Reception of products at the science centre
    #[command(subcommand)]
    Fsc(fsc::FscCommand),
    /// Look through files from outside: which are frames, which would be set aside, and why
    Screen(screen::ScreenArguments),
    /// Look at everything a run needs, and say what to do
    Doctor(doctor::DoctorArguments),
    /// Ask a running controller how it is
    Status(doctor::StatusArguments),
    /// Configuration files: check them
    #[command(subcommand)]
    Config(config::ConfigCommand),
}

/// Subcommands that the program also answers to by its own name (a symbolic link), so that the
/// seeds' command lines work as written.
const NAMES_AS_PROGRAM: [&str; 10] = [
    "gp1",
    "pipeline",
    "reduction",
    "findstars",
    "astrometry",
    "alignment",
    "stacking",
    "subtraction",
    "photometry",
    "summary",
];

/// How a command failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It was tried and did not work.
    Failed(anyhow::Error),
    /// The arguments or a configuration file are wrong.
    Usage(anyhow::Error),
    /// A file or directory that was named is not there.
    InputMissing(anyhow::Error),
    /// The input was read and found wanting.
    Invalid(anyhow::Error),
}

impl Failure {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Failed(_) => 1,
            Self::Usage(_) => 2,
            Self::InputMissing(_) => 3,
            Self::Invalid(_) => 5,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Failed(error)
        | Self::Usage(error)
        | Self::InputMissing(error)
        | Self::Invalid(error)) = self;
        write!(formatter, "{error:#}")
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// Parses the arguments, runs the command, and turns its end into an exit code.
pub fn main(arguments: Vec<OsString>) -> ExitCode {
    // One TLS provider for the whole process; a second call would be the error, so its result says nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let arguments = match Arguments::try_parse_from(as_subcommand(arguments)) {
        Ok(arguments) => arguments,
        Err(error) => {
            let is_help = !error.use_stderr();
            let _ = error.print();
            return ExitCode::from(if is_help { 0 } else { 2 });
        }
    };
    let outcome = match arguments.command {
        Command::Run(arguments) => run::run(arguments),
        Command::Simulate(arguments) => simulate::simulate(arguments),
        Command::Gp1(arguments) => gp1::gp1(arguments),
        Command::Pipeline(arguments) => gp1::pipeline(arguments),
        Command::Calibrate(arguments) => calibrate::run(arguments),
        Command::Reduction(arguments) => module::run(module::Module::Reduction, arguments),
        Command::Findstars(arguments) => module::run(module::Module::Findstars, arguments),
        Command::Astrometry(arguments) => module::run(module::Module::Astrometry, arguments),
        Command::Alignment(arguments) => module::run(module::Module::Alignment, arguments),
        Command::Stacking(arguments) => module::run(module::Module::Stacking, arguments),
        Command::Subtraction(arguments) => module::run(module::Module::Subtraction, arguments),
        Command::Photometry(arguments) => module::run(module::Module::Photometry, arguments),
        Command::Summary(arguments) => module::run(module::Module::Summary, arguments),
        Command::Alert(command) => alert::run(command),
        Command::Products(command) => products::run(command),
        Command::Catalog(command) => catalog::run(command),
        Command::Distortion(arguments) => distortion::run(arguments),
        Command::Fsc(command) => fsc::run(command),
        Command::Screen(arguments) => screen::run(arguments),
        Command::Doctor(arguments) => doctor::doctor(arguments),
        Command::Status(arguments) => doctor::status(arguments),
        Command::Config(command) => config::run(command),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("gic: {failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}

/// `reduction -s …` becomes `gic reduction -s …`.
fn as_subcommand(mut arguments: Vec<OsString>) -> Vec<OsString> {
    let name = arguments
        .first()
        .and_then(|program| Path::new(program).file_name())
        .map(|name| name.to_string_lossy().into_owned());
    if let Some(name) = name
        && NAMES_AS_PROGRAM.contains(&name.as_str())
    {
        arguments.splice(0..1, [OsString::from("gic"), OsString::from(name)]);
    }
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_of_the_arguments_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn called_as_a_module_it_is_that_module() {
        let given = ["/usr/bin/reduction", "-s", "in"].map(OsString::from).to_vec();
        assert_eq!(as_subcommand(given), ["gic", "reduction", "-s", "in"]);
        let given = ["target/release/gic", "run"].map(OsString::from).to_vec();
        assert_eq!(as_subcommand(given.clone()), given);
    }
}
