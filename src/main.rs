//! `gic`: the real-time controller of the COLIBRI telescope's Instrument Center.

use std::process::ExitCode;

fn main() -> ExitCode {
    gic::cli::main(std::env::args_os().collect())
}
