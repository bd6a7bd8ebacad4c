//! The receiver: takes products over HTTP, keeps them, and answers with receipts.
//!
//! | request | answer |
//! |---|---|
//! | `POST /upload-product`, `/colibri/upload-product`, `/upload-image` | field `Product`, bearer token → a receipt: 201 stored, 200 duplicate, 409 the key holds another file, 422 not fit |
//! | `GET /products` | bearer token → the receipts of everything stored |
//! | `GET /colibri` | `Colibri interface is alive` |
//! | `GET /health` | `{"status": "ok"}` |
//!
//! Errors are `{"error": …}`: 400 no such field, 401 no or another token, 408 too slow, 413 too large, 500 the archive failed.

use super::archive::{Archive, ArchiveError, Now, Outcome, hexadecimal};
use super::tls::{TlsError, TlsIdentity};
use super::upload::FIELD;
use actix_multipart::{Field, Multipart, MultipartError};
use actix_web::{
    App, HttpRequest, HttpResponse, HttpServer,
    dev::{Server, ServerHandle},
    http::{StatusCode, header},
    web,
};
use futures_util::StreamExt as _;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use std::{
    io,
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
    time::Duration,
};
use tokio::io::AsyncWriteExt as _;

/// A whole upload takes no longer than this.
const RECEPTION_TIMEOUT: Duration = Duration::from_secs(300);
/// Bytes of a refused upload that are still read, so that the sender hears the answer instead of a broken connection.
const DRAINED_BYTES: usize = 32 << 20;
/// Seconds that uploads under way have to end when the receiver stops.
const SHUTDOWN_SECONDS: u64 = 5;
const WORKERS: usize = 2;
const CONNECTIONS_PER_WORKER: usize = 64;
/// Time a sender has for the head of its request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// What the receiver works with.
#[derive(Clone)]
pub struct ReceiverSettings {
    /// Port 0 takes a free one.
    pub listen: SocketAddr,
    pub directory: PathBuf,
    /// Bearer token that uploads must bring. Without one the receiver listens on loopback only.
    pub token: Option<String>,
    /// Largest product.
    pub maximum_bytes: usize,
    /// With it the receiver speaks https only.
    pub tls: Option<TlsIdentity>,
    /// The clock of `received_at`.
    pub now: Now,
}

/// Why the receiver does not run.
#[derive(Debug, thiserror::Error)]
pub enum FscError {
    #[error("cannot listen on {address}: {source}")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("{address} is not loopback: a receiver without a token listens on loopback only")]
    OpenWithoutToken { address: SocketAddr },
    #[error("TLS: {0}")]
    Tls(#[from] TlsError),
    #[error("the archive: {0}")]
    Archive(#[from] ArchiveError),
    #[error("cannot start the receiver's thread: {0}")]
    Thread(io::Error),
    #[error("the receiver's thread ended before it listened")]
    ThreadEnded,
}

/// A receiver at work. It stops when this is dropped.
pub struct RunningReceiver {
    address: SocketAddr,
    handle: ServerHandle,
    thread: Option<JoinHandle<()>>,
}

impl RunningReceiver {
    /// Where it listens; the port is the one taken.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops after the uploads under way. If the receiver has its own thread, waits for its end; otherwise the server ends
    /// with the runtime it was started in.
    pub fn stop(mut self) {
        self.ask_to_stop();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the receiver's thread ended with a panic");
        }
    }

    fn ask_to_stop(&self) {
        // The command is sent by the call; the future only waits for its execution.
        drop(self.handle.stop(true));
    }
}

impl Drop for RunningReceiver {
    fn drop(&mut self) {
        self.ask_to_stop();
    }
}

struct State {
    archive: Arc<Archive>,
    /// SHA-256 of the token, so that the comparison takes the same time for every token.
    token_digest: Option<[u8; 32]>,
    maximum_bytes: usize,
}

/// Starts the receiver in the actix system it is called in.
///
/// # Errors
/// [`FscError`]; nothing listens then.
pub async fn start(settings: ReceiverSettings) -> Result<RunningReceiver, FscError> {
    let (server, address) = prepare(settings)?;
    let handle = server.handle();
    actix_rt::spawn(async move {
        if let Err(error) = server.await {
            tracing::error!(%error, "the receiver ended");
        }
    });
    Ok(RunningReceiver { address, handle, thread: None })
}

/// Starts the receiver on a thread of its own, with its own actix system; comes back when it listens.
///
/// # Errors
/// [`FscError`]; nothing listens then and the thread has ended.
pub fn start_on_thread(settings: ReceiverSettings) -> Result<RunningReceiver, FscError> {
    let (sender, receiver) = mpsc::sync_channel(1);
    let run = move || {
        actix_rt::System::new().block_on(async move {
            match prepare(settings) {
                Ok((server, address)) => {
                    if sender.send(Ok((server.handle(), address))).is_ok()
                        && let Err(error) = server.await
                    {
                        tracing::error!(%error, "the receiver ended");
                    }
                }
                // Nobody waits for the answer only if the caller is gone.
                Err(error) => drop(sender.send(Err(error))),
            }
        });
    };
    let thread = thread::Builder::new()
        .name("fsc-receiver".to_owned())
        .spawn(run)
        .map_err(FscError::Thread)?;
    let (handle, address) = receiver.recv().map_err(|_| FscError::ThreadEnded)??;
    Ok(RunningReceiver { address, handle, thread: Some(thread) })
}

/// Opens the archive and binds the address.
fn prepare(settings: ReceiverSettings) -> Result<(Server, SocketAddr), FscError> {
    let address = settings.listen;
    if settings.token.is_none() && !address.ip().is_loopback() {
        return Err(FscError::OpenWithoutToken { address });
    }
    let tls = settings.tls.as_ref().map(TlsIdentity::server_config).transpose()?;
    let archive = Arc::new(Archive::open(&settings.directory, settings.now)?);
    let state = web::Data::new(State {
        archive,
        token_digest: settings.token.map(|token| Sha256::digest(token.as_bytes()).into()),
        maximum_bytes: settings.maximum_bytes,
    });
    let listen_error = |source| FscError::Listen { address, source };
    let listener = TcpListener::bind(address).map_err(listen_error)?;
    let bound = listener.local_addr().map_err(listen_error)?;
    let server = HttpServer::new(move || {
        App::new()
            .app_data(state.clone())
            .route("/upload-product", web::post().to(upload_product))
            .route("/colibri/upload-product", web::post().to(upload_product))
            .route("/upload-image", web::post().to(upload_product))
            .route("/products", web::get().to(products))
            .route("/colibri", web::get().to(alive))
            .route("/health", web::get().to(health))
    })
    .workers(WORKERS)
    .max_connections(CONNECTIONS_PER_WORKER)
    .client_request_timeout(REQUEST_TIMEOUT)
    .shutdown_timeout(SHUTDOWN_SECONDS)
    .disable_signals();
    let server = match tls {
        Some(tls) => server.listen_rustls_0_23(listener, tls),
        None => server.listen(listener),
    }
    .map_err(listen_error)?
    .run();
    Ok((server, bound))
}

async fn alive() -> &'static str {
    "Colibri interface is alive"
}

async fn health() -> HttpResponse {
    HttpResponse::Ok().json(json!({ "status": "ok" }))
}

async fn products(request: HttpRequest, state: web::Data<State>) -> HttpResponse {
    if !is_authorised(&request, &state) {
        return failure(StatusCode::UNAUTHORIZED, "no token, or another one");
    }
    let archive = state.archive.clone();
    match web::block(move || archive.receipts()).await {
        Ok(Ok(receipts)) => HttpResponse::Ok().json(receipts),
        Ok(Err(error)) => archive_failure(&error.to_string()),
        Err(error) => archive_failure(&error.to_string()),
    }
}

fn failure(status: StatusCode, what: impl Into<String>) -> HttpResponse {
    HttpResponse::build(status).json(json!({ "error": what.into() }))
}

/// The sender is told that it was not its fault; paths stay in the log.
fn archive_failure(what: &str) -> HttpResponse {
    tracing::error!(error = what, "the archive failed");
    failure(StatusCode::INTERNAL_SERVER_ERROR, "the archive failed; try again later")
}

fn is_authorised(request: &HttpRequest, state: &State) -> bool {
    let Some(expected) = &state.token_digest else { return true };
    let offered = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim());
    let Some(offered) = offered else { return false };
    let offered: [u8; 32] = Sha256::digest(offered.as_bytes()).into();
    // Every byte is looked at, whatever the first ones were.
    expected.iter().zip(&offered).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
}

/// A complete upload in `incoming/`.
struct Received {
    file: Incoming,
    sha256: String,
    name: Option<String>,
}

/// Removes the file of an upload that was not settled.
struct Incoming(PathBuf);

impl Drop for Incoming {
    fn drop(&mut self) {
        // Settled uploads were moved away; a file that stays is removed at the next start.
        let _ = std::fs::remove_file(&self.0);
    }
}

enum ReceptionError {
    Malformed(String),
    TooLarge,
    Io(io::Error),
}

impl From<MultipartError> for ReceptionError {
    fn from(error: MultipartError) -> Self {
        Self::Malformed(error.to_string())
    }
}

async fn upload_product(
    request: HttpRequest,
    mut body: Multipart,
    state: web::Data<State>,
) -> HttpResponse {
    if !is_authorised(&request, &state) {
        drain(&mut body).await;
        return failure(StatusCode::UNAUTHORIZED, "no token, or another one");
    }
    let received = tokio::time::timeout(RECEPTION_TIMEOUT, receive(&mut body, &state)).await;
    let received = match received {
        Ok(Ok(received)) => received,
        Ok(Err(ReceptionError::Malformed(what))) => return failure(StatusCode::BAD_REQUEST, what),
        Ok(Err(ReceptionError::TooLarge)) => {
            drain(&mut body).await;
            let what = format!("larger than {} bytes", state.maximum_bytes);
            return failure(StatusCode::PAYLOAD_TOO_LARGE, what);
        }
        Ok(Err(ReceptionError::Io(error))) => return archive_failure(&error.to_string()),
        Err(_) => return failure(StatusCode::REQUEST_TIMEOUT, "the upload took too long"),
    };
    let archive = state.archive.clone();
    let settled = web::block(move || {
        archive.settle(&received.file.0, &received.sha256, received.name.as_deref())
    })
    .await;
    let (outcome, receipt) = match settled {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => return archive_failure(&error.to_string()),
        Err(error) => return archive_failure(&error.to_string()),
    };
    tracing::info!(product = receipt.product, ?outcome, reason = receipt.reason, "answered");
    let status = match outcome {
        Outcome::Stored => StatusCode::CREATED,
        Outcome::Duplicate => StatusCode::OK,
        Outcome::Conflict => StatusCode::CONFLICT,
        Outcome::Unfit => StatusCode::UNPROCESSABLE_ENTITY,
    };
    HttpResponse::build(status).json(receipt)
}

/// Reads and forgets what a sender is still sending.
async fn drain(body: &mut Multipart) {
    let reading = async {
        let mut count = 0;
        while let Some(Ok(mut field)) = body.next().await {
            while let Some(Ok(chunk)) = field.next().await {
                count += chunk.len();
                if count > DRAINED_BYTES {
                    return;
                }
            }
        }
    };
    // Too slow is as good as too much.
    let _ = tokio::time::timeout(RECEPTION_TIMEOUT / 10, reading).await;
}

/// Streams the field `Product` to a file. Other fields are ignored.
async fn receive(body: &mut Multipart, state: &State) -> Result<Received, ReceptionError> {
    let mut received = None;
    let mut ignored_bytes = 0;
    while let Some(field) = body.next().await {
        let mut field = field?;
        if field.name() != Some(FIELD) {
            while let Some(chunk) = field.next().await {
                ignored_bytes += chunk?.len();
                if ignored_bytes > state.maximum_bytes {
                    return Err(ReceptionError::TooLarge);
                }
            }
        } else if received.is_some() {
            return Err(ReceptionError::Malformed(format!("more than one field {FIELD}")));
        } else {
            received = Some(receive_product(&mut field, state).await?);
        }
    }
    received.ok_or_else(|| ReceptionError::Malformed(format!("no field {FIELD}")))
}

async fn receive_product(field: &mut Field, state: &State) -> Result<Received, ReceptionError> {
    let name = field
        .content_disposition()
        .and_then(|disposition| disposition.get_filename())
        .map(str::to_owned);
    let incoming = Incoming(state.archive.incoming_path());
    let mut file = tokio::fs::File::create(&incoming.0).await.map_err(ReceptionError::Io)?;
    let mut hasher = Sha256::new();
    let mut length = 0;
    while let Some(chunk) = field.next().await {
        let chunk = chunk?;
        length += chunk.len();
        if length > state.maximum_bytes {
            return Err(ReceptionError::TooLarge);
        }
        hasher.update(&chunk);
        file.write_all(&chunk).await.map_err(ReceptionError::Io)?;
    }
    file.sync_all().await.map_err(ReceptionError::Io)?;
    Ok(Received { file: incoming, sha256: hexadecimal(&hasher.finalize()), name })
}
