//! `gic fsc`.

use super::{
    Failure,
    logging::{self, LogArguments},
};
use crate::{
    clock::Clock,
    config::ControllerConfig,
    controller::run_setup::token,
    fsc::{
        server::{ReceiverSettings, start},
        tls::TlsIdentity,
    },
    storage::directory_lock::DirectoryLock,
};
use anyhow::Context as _;
use clap::{Args, Subcommand};
use std::{net::SocketAddr, path::PathBuf, sync::Arc};
use tokio::signal::unix::{SignalKind, signal};

/// Largest product taken.
const MAXIMUM_PRODUCT_BYTES: usize = 256 << 20;

#[derive(Debug, Subcommand)]
pub enum FscCommand {
    /// Receive, screen and archive products, and answer with receipts
    Serve(ServeArguments),
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  gic fsc serve --listen 127.0.0.1:5000 --directory received\n  \
    curl -F Product=@product.fits http://127.0.0.1:5000/upload-product\n  \
    gic fsc serve --listen 0.0.0.0:5000 --tls-cert receiver.pem --tls-key receiver.key   (needs a token)"
)]
pub struct ServeArguments {
    /// Configuration of the controller, of which [fsc] is used (default: built in)
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address to listen on
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Directory of the archive
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
    /// Certificate chain (PEM): with it and the key, https only
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Private key (PEM) of the certificate
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    #[command(flatten)]
    log: LogArguments,
}

pub fn run(command: FscCommand) -> Result<(), Failure> {
    let FscCommand::Serve(arguments) = command;
    let config = match &arguments.config {
        Some(file) => ControllerConfig::read(file).map_err(super::config::failure)?,
        None => ControllerConfig::embedded().map_err(super::config::failure)?,
    };
    let log_file = logging::install(&arguments.log, "info", &config.log)?;
    let directory = arguments
        .directory
        .or_else(|| config.fsc.receiver_directory.clone())
        .unwrap_or_else(|| config.data.directory.join("received"));
    let certificate = arguments.tls_cert.or_else(|| config.fsc.receiver_certificate.clone());
    let key = arguments.tls_key.or_else(|| config.fsc.receiver_key.clone());
    let tls = certificate.zip(key).map(|(certificate, key)| TlsIdentity { certificate, key });
    let scheme = if tls.is_some() { "https" } else { "http" };
    let clock = Clock::real();
    let settings = ReceiverSettings {
        listen: arguments.listen.unwrap_or(config.fsc.receiver_listen),
        directory,
        token: token(&config)?,
        maximum_bytes: MAXIMUM_PRODUCT_BYTES,
        tls,
        now: Arc::new(move || clock.now()),
    };
    actix_rt::System::new().block_on(async move {
        logging::follow_hangups(log_file)?;
        std::fs::create_dir_all(&settings.directory)
            .with_context(|| settings.directory.display().to_string())?;
        let _lock = DirectoryLock::take(&settings.directory, "fsc serve")?;
        let mut terminate = signal(SignalKind::terminate())?;
        let receiver = start(settings).await?;
        eprintln!("receiver: {scheme}://{}/upload-product", receiver.address());
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
        receiver.stop();
        Ok(())
    })
}
