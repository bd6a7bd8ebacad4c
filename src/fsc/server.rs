//! The HTTP side of the reception: multipart field `Product`, bearer token, a receipt as the answer.

use super::archive::{Archive, ArchiveError};
use crate::{
    model::{DeliveryStatus, Receipt, UtcTime},
    storage::local::StorageError,
};
use actix_multipart::Multipart;
use actix_web::{
    App, HttpRequest, HttpResponse, HttpServer,
    dev::{Server, ServerHandle},
    http::{StatusCode, header},
    web::{self, Data},
};
use futures_util::StreamExt;
use std::{
    io,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
};
use tokio::{fs::File, io::AsyncWriteExt};

/// Longest file name taken.
const MAXIMUM_NAME_BYTES: usize = 200;

/// How the receiver is set up.
#[derive(Clone)]
pub struct ReceiverSettings {
    /// Port 0 takes a free one.
    pub listen: SocketAddr,
    pub directory: PathBuf,
    /// Expected bearer token; `None` takes uploads from anybody who reaches the port.
    pub token: Option<String>,
    pub maximum_bytes: usize,
    /// The clock of the receipts.
    pub now: Arc<dyn Fn() -> UtcTime + Send + Sync>,
}

#[derive(Debug, thiserror::Error)]
pub enum FscError {
    #[error("cannot listen on {address}: {source}")]
    Listen { address: SocketAddr, source: io::Error },
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error("cannot start: {0}")]
    Start(io::Error),
}

/// A receiver that runs until it is stopped or dropped.
pub struct RunningReceiver {
    address: SocketAddr,
    handle: ServerHandle,
    thread: Option<thread::JoinHandle<()>>,
}

impl RunningReceiver {
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends the receiver; uploads under way are cut off (their senders have no receipt and come again).
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        // The returned future only waits; the command is sent by the call.
        drop(self.handle.stop(false));
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the receiver's thread panicked");
        }
    }
}

impl Drop for RunningReceiver {
    fn drop(&mut self) {
        self.end();
    }
}

struct State {
    archive: Archive,
    settings: ReceiverSettings,
    uploads: AtomicU64,
}

/// Starts the receiver in the running actix system.
pub async fn start(settings: ReceiverSettings) -> Result<RunningReceiver, FscError> {
    let (server, address) = bind(settings)?;
    let handle = server.handle();
    actix_rt::spawn(server);
    Ok(RunningReceiver { address, handle, thread: None })
}

/// Starts the receiver on a thread of its own, as the science centre is apart from the telescope. Returns when it listens.
pub fn start_on_thread(settings: ReceiverSettings) -> Result<RunningReceiver, FscError> {
    let (sender, started) = mpsc::channel();
    let thread = thread::Builder::new()
        .name("fsc-receiver".to_owned())
        .spawn(move || {
            actix_rt::System::new().block_on(async move {
                match bind(settings) {
                    Ok((server, address)) => {
                        let _ = sender.send(Ok((address, server.handle())));
                        if let Err(error) = server.await {
                            tracing::error!(%error, "the receiver failed");
                        }
                    }
                    Err(error) => drop(sender.send(Err(error))),
                }
            });
        })
        .map_err(FscError::Start)?;
    let (address, handle) = started
        .recv()
        .map_err(|_| FscError::Start(io::Error::other("its thread ended at once")))??;
    Ok(RunningReceiver { address, handle, thread: Some(thread) })
}

fn bind(settings: ReceiverSettings) -> Result<(Server, SocketAddr), FscError> {
    let failed = |source| FscError::Listen { address: settings.listen, source };
    let listener = TcpListener::bind(settings.listen).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let archive = Archive::open(&settings.directory)?;
    let state = Data::new(State { archive, settings, uploads: AtomicU64::new(0) });
    let server = HttpServer::new(move || {
        App::new()
            .app_data(state.clone())
            .route("/upload-product", web::post().to(upload))
            .route("/colibri/upload-product", web::post().to(upload))
            .route("/upload-image", web::post().to(upload))
            .route("/colibri", web::get().to(alive))
            .route("/health", web::get().to(alive))
            .route("/products", web::get().to(list))
    })
    .workers(1)
    .disable_signals()
    .listen(listener)
    .map_err(FscError::Start)?
    .run();
    Ok((server, address))
}

async fn alive() -> &'static str {
    "Colibri interface is alive"
}

async fn list(request: HttpRequest, state: Data<State>) -> HttpResponse {
    if !is_authorised(&request, state.settings.token.as_deref()) {
        return unauthorised();
    }
    let archive = state.archive.clone();
    match web::block(move || archive.receipts()).await {
        Ok(Ok(receipts)) => HttpResponse::Ok().json(receipts),
        Ok(Err(error)) => failed(&error.to_string()),
        Err(error) => failed(&error.to_string()),
    }
}

async fn upload(request: HttpRequest, parts: Multipart, state: Data<State>) -> HttpResponse {
    if !is_authorised(&request, state.settings.token.as_deref()) {
        return unauthorised();
    }
    let number = state.uploads.fetch_add(1, Ordering::Relaxed);
    let file = format!("upload-{}-{number}.part", std::process::id());
    let path = state.archive.incoming().join(file);
    let name = match store_part(parts, &path, state.settings.maximum_bytes).await {
        Ok(name) => name,
        Err(refusal) => {
            let _ = tokio::fs::remove_file(&path).await;
            return refusal.response();
        }
    };
    let (archive, now) = (state.archive.clone(), (state.settings.now)());
    let (upload, given) = (path.clone(), name.clone());
    match web::block(move || archive.take_in(&upload, &given, now)).await {
        Ok(Ok(receipt)) => answer(&receipt),
        Ok(Err(error)) => {
            tracing::error!(name, %error, "an upload could not be stored");
            let _ = tokio::fs::remove_file(&path).await;
            failed(&error.to_string())
        }
        Err(error) => failed(&error.to_string()),
    }
}

fn answer(receipt: &Receipt) -> HttpResponse {
    let status = match receipt.status {
        DeliveryStatus::Stored => StatusCode::CREATED,
        DeliveryStatus::Duplicate => StatusCode::OK,
        DeliveryStatus::Refused
            if receipt.reason.as_deref().is_some_and(|why| why.starts_with("another file")) =>
        {
            StatusCode::CONFLICT
        }
        DeliveryStatus::Refused => StatusCode::UNPROCESSABLE_ENTITY,
    };
    tracing::info!(product = receipt.product, status = ?receipt.status, reason = receipt.reason, "answered");
    HttpResponse::build(status).json(receipt)
}

/// Why a request is no upload.
enum NoUpload {
    /// The body is not what it should be.
    Bad(String),
    TooLarge(usize),
    /// Our own disk.
    Disk(String),
}

impl NoUpload {
    fn response(&self) -> HttpResponse {
        match self {
            Self::Bad(what) => problem(StatusCode::BAD_REQUEST, what),
            Self::TooLarge(limit) => {
                let what = format!("a product may have {limit} bytes");
                problem(StatusCode::PAYLOAD_TOO_LARGE, &what)
            }
            Self::Disk(what) => failed(what),
        }
    }
}

/// Writes the field `Product` to `path` and returns the file name its sender gave.
async fn store_part(
    mut parts: Multipart,
    path: &Path,
    maximum_bytes: usize,
) -> Result<String, NoUpload> {
    while let Some(part) = parts.next().await {
        let mut part = part.map_err(|error| NoUpload::Bad(error.to_string()))?;
        if part.name() != Some("Product") {
            continue;
        }
        let name = part
            .content_disposition()
            .and_then(|disposition| disposition.get_filename())
            .map(str::to_owned)
            .filter(|name| !name.is_empty() && name.len() <= MAXIMUM_NAME_BYTES)
            .ok_or_else(|| NoUpload::Bad("the field Product has no file name".to_owned()))?;
        let disk = |error: io::Error| NoUpload::Disk(error.to_string());
        let mut file = File::create(path).await.map_err(disk)?;
        let mut written = 0_usize;
        while let Some(chunk) = part.next().await {
            let chunk = chunk.map_err(|error| NoUpload::Bad(error.to_string()))?;
            written += chunk.len();
            if written > maximum_bytes {
                return Err(NoUpload::TooLarge(maximum_bytes));
            }
            file.write_all(&chunk).await.map_err(disk)?;
        }
        file.sync_all().await.map_err(disk)?;
        return Ok(name);
    }
    Err(NoUpload::Bad("there is no field Product".to_owned()))
}

fn is_authorised(request: &HttpRequest, token: Option<&str>) -> bool {
    let Some(expected) = token else { return true };
    let given = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "));
    given.is_some_and(|given| equal_in_constant_time(given.as_bytes(), expected.as_bytes()))
}

/// The time taken does not tell how many bytes were right.
fn equal_in_constant_time(left: &[u8], right: &[u8]) -> bool {
    left.len() == right.len()
        && left.iter().zip(right).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
}

fn unauthorised() -> HttpResponse {
    problem(StatusCode::UNAUTHORIZED, "a valid bearer token is needed")
}

fn failed(what: &str) -> HttpResponse {
    problem(StatusCode::INTERNAL_SERVER_ERROR, what)
}

fn problem(status: StatusCode, what: &str) -> HttpResponse {
    HttpResponse::build(status).json(serde_json::json!({ "error": what }))
}

impl From<ArchiveError> for FscError {
    fn from(error: ArchiveError) -> Self {
        match error {
            ArchiveError::Storage(error) => Self::Storage(error),
            other => Self::Start(io::Error::other(other)),
        }
    }
}
