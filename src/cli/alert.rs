//! `gic alert`.

use super::Failure;
use crate::{
    alerts::{Outcome, PacketTable, TriggerPolicy, apply, t0, trigger_file, understand},
    clock::Clock,
    config::ControllerConfig,
    model::{Role, UtcTime},
    storage::local::write_atomically,
};
use anyhow::Context;
use clap::{Args, Subcommand};
use std::{
    io::Read,
    path::{Path, PathBuf},
};

/// A packet larger than this is none.
const MAXIMUM_PACKET_BYTES: u64 = 1 << 20;

#[derive(Debug, Subcommand)]
pub enum AlertCommand {
    /// Understand a packet from standard input or a file, and write its trigger file
    Parse(ParseArguments),
    /// Send a packet to a receiver or broker, as its author; done when it is acknowledged
    Send(super::alert_transport::SendArguments),
    /// Follow brokers and show what they send; nothing is journaled
    Subscribe(super::alert_transport::SubscribeArguments),
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  gic alert parse < packet.xml\n\n\
    The trigger file trigger_<burst>.dat is named by the burst id, else by the observation id. \
    A packet with neither makes no file; that is no failure.")]
pub struct ParseArguments {
    /// File of the packet (default: standard input)
    file: Option<PathBuf>,
    /// Directory of the trigger file
    #[arg(short = 'r', long, value_name = "DIR", default_value = ".")]
    output: PathBuf,
    /// When the packet was received (default: now)
    #[arg(long, value_name = "UTC")]
    received: Option<UtcTime>,
    /// The notice as JSON
    #[arg(long)]
    json: bool,
}

pub fn run(command: AlertCommand) -> Result<(), Failure> {
    match command {
        AlertCommand::Parse(arguments) => parse(arguments),
        AlertCommand::Send(arguments) => super::alert_transport::send(arguments),
        AlertCommand::Subscribe(arguments) => super::alert_transport::subscribe(arguments),
    }
}

fn parse(arguments: ParseArguments) -> Result<(), Failure> {
    let packet = read_packet(arguments.file.as_deref())?;
    let config = ControllerConfig::embedded().map_err(super::config::failure)?;
    let table = PacketTable::new(&config.alerts.effects);
    let notice = understand(&packet, &table)
        .map_err(|error| Failure::Invalid(anyhow::Error::new(error).context("packet")))?;
    let received_at = arguments.received.unwrap_or_else(|| Clock::real().now());
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&notice)?);
    } else {
        let (t0, source) = t0(&notice, received_at);
        println!("packet    {} ({})", notice.packet_name, notice.ivorn);
        println!("burst     {}", notice.burst_id.as_deref().unwrap_or("none"));
        println!("T0        {t0} ({source})");
        match &notice.position {
            Some(estimate) => println!(
                "position  {:.5} {:+.5}  radius {}",
                estimate.position.ra_degrees,
                estimate.position.dec_degrees,
                estimate.radius_degrees.map_or("unknown".to_owned(), |r| format!("{r:.4} deg"))
            ),
            None => println!("position  none"),
        }
    }
    let Some(id) = notice.burst_id.clone().or_else(|| notice.observation_id.clone()) else {
        eprintln!("no trigger file: the packet has neither burst id nor observation id");
        return Ok(());
    };
    let mut named = notice;
    named.burst_id = Some(id.clone());
    let policy = TriggerPolicy {
        accept_roles: vec![Role::Observation, Role::Prediction, Role::Utility, Role::Test],
        maximum_alert_age_seconds: f64::INFINITY,
    };
    let trigger = match apply(None, &named, received_at, &policy) {
        Outcome::Opened(trigger) | Outcome::Updated(trigger) | Outcome::Retracted(trigger) => {
            trigger
        }
        Outcome::Archived { reason } => {
            eprintln!("no trigger file: {reason}");
            return Ok(());
        }
    };
    let name: String = id
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || "-_".contains(c) { c } else { '_' })
        .collect();
    let path = arguments.output.join(format!("trigger_{name}.dat"));
    write_atomically(&path, trigger_file::render(&trigger).as_bytes())?;
    eprintln!("wrote {}", path.display());
    Ok(())
}

pub(super) fn read_packet(file: Option<&Path>) -> Result<Vec<u8>, Failure> {
    let mut packet = Vec::new();
    match file {
        Some(path) => {
            let opened = std::fs::File::open(path)
                .with_context(|| path.display().to_string())
                .map_err(Failure::InputMissing)?;
            opened.take(MAXIMUM_PACKET_BYTES).read_to_end(&mut packet)?;
        }
        None => {
            std::io::stdin().lock().take(MAXIMUM_PACKET_BYTES).read_to_end(&mut packet)?;
        }
    }
    Ok(packet)
}
