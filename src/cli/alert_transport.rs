//! `gic alert send` and `gic alert subscribe`: packets over the VOEvent Transport Protocol.

use super::{
    Failure,
    alert::read_packet,
    logging::{self, LogArguments},
};
use crate::{
    alerts::{self, Decision, PacketTable, SubscriberSettings, SubscriptionEvent, VoEvent, follow},
    clock::Clock,
    config::{AlertsSettings, LogSettings, is_host_and_port},
    model::UtcTime,
    storage::local::{sha256_of_bytes, write_atomically},
};
use anyhow::{Context, anyhow};
use clap::Args;
use std::{
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::signal::unix::{SignalKind, signal};

#[derive(Debug, Args)]
#[command(
    disable_help_flag = true,
    after_help = "The options are those of comet-sendvo.\n\n\
    Example:\n  gic alert send -h 127.0.0.1 -p 8098 -f packet.xml"
)]
pub struct SendArguments {
    /// Who receives
    #[arg(short = 'h', long, value_name = "NAME", default_value = "localhost")]
    host: String,
    #[arg(short, long, value_name = "NUMBER", default_value_t = 8098)]
    port: u16,
    /// File of the packet; - is standard input
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    file: PathBuf,
    /// Seconds to wait for the answer
    #[arg(long, value_name = "SECONDS", default_value_t = 20)]
    timeout: u64,
    /// Print help
    #[arg(long, action = clap::ArgAction::Help)]
    help: Option<bool>,
}

/// Success only when the packet is acknowledged.
pub fn send(arguments: SendArguments) -> Result<(), Failure> {
    let file = (arguments.file.as_os_str() != "-").then_some(arguments.file.as_path());
    let packet = read_packet(file)?;
    let event = VoEvent::parse(&packet)
        .map_err(|error| Failure::Invalid(anyhow::Error::new(error).context("packet")))?;
    let timeout = Duration::from_secs(arguments.timeout);
    let address = (arguments.host.as_str(), arguments.port);
    let acknowledgement = actix_rt::System::new()
        .block_on(alerts::send(address, &packet, timeout))
        .with_context(|| format!("{}:{}", arguments.host, arguments.port))?;
    println!(
        "acknowledged  {} by {}",
        event.ivorn,
        acknowledgement.response.as_deref().unwrap_or("no name")
    );
    Ok(())
}

#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  gic alert subscribe --remote voevent.example.org:8099 -r packets\n\n\
    Each packet is a line on standard output. What is journaled and makes triggers is the business \
    of gic run ([alerts] remotes)."
)]
pub struct SubscribeArguments {
    /// Broker to follow, as host:port
    #[arg(long, value_name = "HOST:PORT", required = true)]
    remote: Vec<String>,
    /// Directory the packets are written to
    #[arg(short = 'r', long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// End after so many packets (default: never)
    #[arg(long, value_name = "NUMBER")]
    count: Option<usize>,
    #[command(flatten)]
    log: LogArguments,
}

pub fn subscribe(arguments: SubscribeArguments) -> Result<(), Failure> {
    logging::install(&arguments.log, "info", &LogSettings::default())?;
    if let Some(wrong) = arguments.remote.iter().find(|remote| !is_host_and_port(remote)) {
        return Err(Failure::Usage(anyhow!("--remote {wrong}: expected host:port")));
    }
    if let Some(directory) = &arguments.output {
        std::fs::create_dir_all(directory)
            .with_context(|| directory.display().to_string())
            .map_err(Failure::Failed)?;
    }
    let settings = SubscriberSettings::new(&AlertsSettings::default());
    actix_rt::System::new().block_on(async move {
        let mut terminate = signal(SignalKind::terminate())?;
        let (taken, mut packets) = tokio::sync::mpsc::unbounded_channel::<()>();
        let clock = Clock::real();
        for remote in &arguments.remote {
            let (remote, settings, clock) = (remote.clone(), settings.clone(), clock.clone());
            let (output, taken) = (arguments.output.clone(), taken.clone());
            actix_rt::spawn(async move {
                let now = || clock.now();
                let on_packet = |packet: Vec<u8>, event: VoEvent| {
                    let decision = show(&remote, output.as_deref(), &packet, &event, clock.now());
                    std::future::ready(decision)
                };
                let observe = |event: SubscriptionEvent| {
                    if matches!(event, SubscriptionEvent::Acknowledged { .. }) {
                        // Nobody counts any more only if the command is over.
                        let _ = taken.send(());
                    }
                    tell(&remote, &event);
                };
                follow(&remote, &settings, now, on_packet, observe).await
            });
        }
        let counting = async {
            let mut left = arguments.count.unwrap_or(usize::MAX);
            while left > 0 && packets.recv().await.is_some() {
                left = left.saturating_sub(usize::from(arguments.count.is_some()));
            }
        };
        tokio::select! {
            () = counting => {}
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
        Ok(())
    })
}

/// One packet: a line, and a file if a directory is given. What cannot be written is not acknowledged.
fn show(
    remote: &str,
    output: Option<&Path>,
    packet: &[u8],
    event: &VoEvent,
    at: UtcTime,
) -> Decision {
    let notice = alerts::notice(event, &PacketTable::default());
    let burst = notice.burst_id.as_deref().unwrap_or("no burst");
    println!("{at}  {remote}  {}  {burst}  {}", notice.packet_name, notice.ivorn);
    let Some(directory) = output else { return Decision::Accepted { at } };
    let name: String = event
        .ivorn
        .trim_start_matches("ivo://")
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || "-_.+".contains(c) { c } else { '_' })
        .take(150)
        .collect();
    // Two packets may have one identifier; two files may not have one name.
    let digest: String = sha256_of_bytes(packet).chars().take(8).collect();
    let path = directory.join(format!("{name}_{digest}.xml"));
    match write_atomically(&path, packet) {
        Ok(()) => Decision::Accepted { at },
        Err(error) => Decision::Unavailable { reason: error.to_string() },
    }
}

fn tell(remote: &str, event: &SubscriptionEvent) {
    match event {
        SubscriptionEvent::Connected => tracing::info!(remote, "connected"),
        SubscriptionEvent::Greeted(role) => tracing::debug!(remote, role = role.word(), "answered"),
        SubscriptionEvent::Acknowledged { ivorn } => {
            tracing::debug!(remote, ivorn, "acknowledged");
        }
        SubscriptionEvent::Rejected { ivorn, reason } => {
            tracing::warn!(remote, ivorn, reason, "refused");
        }
        SubscriptionEvent::Unintelligible { reason } => {
            tracing::warn!(remote, reason, "not understood");
        }
        SubscriptionEvent::Parted { reason, wait } => {
            let again_in_seconds = wait.as_secs_f64();
            tracing::warn!(remote, %reason, again_in_seconds, "not connected");
        }
    }
}
