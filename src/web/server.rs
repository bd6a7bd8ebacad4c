//! The web server: routes, security headers, start and stop.

use super::{
    api_error::ApiError,
    cutouts, entity,
    event_stream::EventStreams,
    flow::Flow,
    health::{JOURNAL_TIMEOUT, health},
    metrics::{self, Metrics, MetricsError},
    page, reports,
    snapshot::{SnapshotCache, candidates_of_deadline, trigger_detail},
    status::{StatusSources, with_present},
};
use crate::model::DeadlineName;
use actix_web::{
    App, HttpRequest, HttpResponse, HttpServer, Route,
    dev::ServerHandle,
    guard,
    http::header::{
        CONTENT_SECURITY_POLICY as CONTENT_SECURITY_POLICY_NAME, CONTENT_TYPE, HeaderValue,
    },
    middleware::DefaultHeaders,
    web::{self, Data, Path, PathConfig, ServiceConfig},
};
use std::{
    future::Future,
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};
use tokio::{sync::watch, task::JoinHandle};

/// How long connections may take to end at a stop; the event streams end at once.
const SHUTDOWN_SECONDS: u64 = 2;
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
const KEEP_ALIVE: Duration = Duration::from_secs(30);
const CONNECTIONS_PER_WORKER: usize = 256;
/// How long an answer waits for the journal.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// More would only compete with the image pipelines.
const WORKER_LIMIT: usize = 2;
/// How often recorded samples are moved into their buckets when nobody scrapes.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// Everything comes from this server, and nothing may embed it.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// How to serve.
#[derive(Debug)]
pub struct WebSettings {
    /// Bound by the caller, who keeps a clone: the address survives a restart of the server.
    pub listener: TcpListener,
    /// Threads, 1 or 2; other values are brought to the nearer of them.
    pub workers: usize,
}

#[derive(Debug, thiserror::Error)]
pub enum WebError {
    /// A retry with the same listener is safe.
    #[error("web server on {address}: {source}")]
    Listen { address: String, source: io::Error },
    #[error("web server: {0}")]
    Metrics(#[from] MetricsError),
    /// A retry is safe.
    #[error("web server on {address} ended by itself: {what}")]
    Ended { address: SocketAddr, what: String },
}

/// A server at work. It stops when this is dropped.
#[derive(Debug)]
pub struct RunningWeb {
    address: SocketAddr,
    handle: ServerHandle,
    stop: watch::Sender<bool>,
    /// Taken when its end was seen.
    server: Option<JoinHandle<io::Result<()>>>,
    upkeep: JoinHandle<()>,
}

impl RunningWeb {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends the event streams, lets the other answers finish, and waits for the end.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        self.handle.stop(true).await;
    }

    /// Waits until the server ends without having been told to: always an error.
    pub async fn ended(&mut self) -> WebError {
        let what = match &mut self.server {
            None => "that was told before".to_owned(),
            Some(server) => match server.await {
                Ok(Ok(())) => "no error was given".to_owned(),
                Ok(Err(error)) => error.to_string(),
                Err(error) => error.to_string(),
            },
        };
        self.server = None;
        WebError::Ended { address: self.address, what }
    }
}

impl Drop for RunningWeb {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        self.upkeep.abort();
        // The command is sent by the call; nobody needs to wait for its end.
        drop(self.handle.stop(false));
    }
}

/// What every worker shares.
struct Shared {
    sources: StatusSources,
    metrics: Metrics,
    snapshots: SnapshotCache,
    streams: EventStreams,
}

/// Starts the server on the runtime of the calling thread (an actor's arbiter); requests are answered by threads of its
/// own.
pub async fn start(settings: WebSettings, sources: StatusSources) -> Result<RunningWeb, WebError> {
    let metrics = Metrics::install()?;
    let address = settings
        .listener
        .local_addr()
        .map_err(|source| WebError::Listen { address: "an unknown address".to_owned(), source })?;
    let (stop, stopped) = watch::channel(false);
    let shared = Data::from(Arc::new(Shared {
        streams: EventStreams::new(sources.journal.changes(), stopped),
        snapshots: SnapshotCache::new(),
        metrics: metrics.clone(),
        sources,
    }));
    let server = HttpServer::new(move || {
        App::new().app_data(shared.clone()).wrap(security_headers()).configure(routes)
    })
    .workers(settings.workers.clamp(1, WORKER_LIMIT))
    .disable_signals()
    .shutdown_timeout(SHUTDOWN_SECONDS)
    .client_request_timeout(REQUEST_TIMEOUT)
    .keep_alive(KEEP_ALIVE)
    .max_connections(CONNECTIONS_PER_WORKER)
    .listen(settings.listener)
    .map_err(|source| WebError::Listen { address: address.to_string(), source })?
    .run();
    let handle = server.handle();
    Ok(RunningWeb {
        address,
        handle,
        stop,
        server: Some(actix_web::rt::spawn(server)),
        upkeep: actix_web::rt::spawn(async move {
            let mut interval = tokio::time::interval(UPKEEP_INTERVAL);
            loop {
                interval.tick().await;
                metrics.upkeep();
            }
        }),
    })
}

fn security_headers() -> DefaultHeaders {
    // What sets its own Cache-Control keeps it.
    DefaultHeaders::new()
        .add(("Content-Security-Policy", CONTENT_SECURITY_POLICY))
        .add(("X-Content-Type-Options", "nosniff"))
        .add(("X-Frame-Options", "DENY"))
        .add(("Referrer-Policy", "no-referrer"))
        .add(("Cache-Control", "no-store"))
}

fn routes(config: &mut ServiceConfig) {
    config.app_data(
        PathConfig::default()
            .error_handler(|error, _| ApiError::BadAddress { what: error.to_string() }.into()),
    );
    let answers: [(&str, Route); 10] = [
        ("/", reading().to(index)),
        ("/page/{file}", reading().to(page_file)),
        ("/metrics", reading().to(metrics_text)),
        ("/health", reading().to(health_report)),
        ("/api/status", reading().to(api_status)),
        ("/api/triggers/{burst}", reading().to(api_trigger)),
        ("/api/candidates/{burst}/{deadline}", reading().to(api_candidates)),
        ("/api/events", web::get().to(api_events)),
        ("/cutouts/{burst}/{deadline}/{file:.*}", reading().to(cutout)),
        ("/reports/{burst}/{deadline}/{file}", reading().to(report)),
    ];
    for (path, route) in answers {
        let others = web::to(|| async { Err::<HttpResponse, _>(ApiError::MethodNotAllowed) });
        config.service(web::resource(path).route(route).default_service(others));
    }
    config.default_service(web::to(|request: HttpRequest| async move {
        Err::<HttpResponse, _>(ApiError::not_found(format!("page {}", request.path())))
    }));
}

/// GET and HEAD.
fn reading() -> Route {
    web::route().guard(guard::Any(guard::Get()).or(guard::Head()))
}

async fn index(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    page::file(&request, "index.html").ok_or_else(|| ApiError::not_found("page"))
}

async fn page_file(request: HttpRequest, name: Path<String>) -> Result<HttpResponse, ApiError> {
    page::file(&request, &name).ok_or_else(|| ApiError::not_found(format!("file {name}")))
}

/// What was counted is given even when the journal is silent: then, above all, somebody looks.
async fn metrics_text(shared: Data<Shared>) -> HttpResponse {
    match tokio::time::timeout(JOURNAL_TIMEOUT, Flow::read(&shared.sources)).await {
        Ok(Ok(flow)) => flow.set_gauges(&shared.sources),
        Ok(Err(error)) => tracing::warn!(%error, "the gauges of the metrics are not renewed"),
        Err(_) => {
            tracing::warn!("the journal is silent: the gauges of the metrics are not renewed")
        }
    }
    HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, metrics::CONTENT_TYPE))
        .body(shared.metrics.render())
}

async fn health_report(shared: Data<Shared>) -> HttpResponse {
    let report = health(&shared.sources).await;
    let mut response =
        if report.healthy { HttpResponse::Ok() } else { HttpResponse::ServiceUnavailable() };
    response.json(report)
}

async fn api_status(shared: Data<Shared>) -> Result<HttpResponse, ApiError> {
    let snapshot = in_time(shared.snapshots.get(&shared.sources.journal)).await?;
    Ok(HttpResponse::Ok().json(with_present(&shared.sources, snapshot)))
}

async fn api_trigger(shared: Data<Shared>, burst: Path<String>) -> Result<HttpResponse, ApiError> {
    let burst = burst.into_inner();
    let wanted = burst.clone();
    let reading =
        shared.sources.journal.read(move |connection| trigger_detail(connection, &wanted));
    let detail =
        in_time(reading).await?.ok_or_else(|| ApiError::not_found(format!("trigger {burst}")))?;
    Ok(HttpResponse::Ok().json(detail))
}

async fn api_candidates(
    shared: Data<Shared>,
    address: Path<(String, String)>,
) -> Result<HttpResponse, ApiError> {
    let (burst, deadline) = address.into_inner();
    let deadline = deadline_named(&deadline)?;
    let wanted = burst.clone();
    let reading = shared
        .sources
        .journal
        .read(move |connection| candidates_of_deadline(connection, &wanted, deadline));
    let list = in_time(reading)
        .await?
        .ok_or_else(|| ApiError::not_found(format!("analysis of {burst} {deadline}")))?;
    Ok(HttpResponse::Ok().json(list))
}

async fn cutout(
    request: HttpRequest,
    shared: Data<Shared>,
    address: Path<(String, String, String)>,
) -> Result<HttpResponse, ApiError> {
    let (burst, deadline, name) = address.into_inner();
    let deadline = deadline_named(&deadline)?;
    let bytes = tokio::time::timeout(
        ANSWER_TIMEOUT,
        cutouts::read(&shared.sources, &burst, deadline, &name),
    )
    .await
    .map_err(|_| ApiError::JournalSilent)??;
    Ok(entity::respond(&request, "image/png", bytes.into()))
}

async fn report(
    request: HttpRequest,
    shared: Data<Shared>,
    address: Path<(String, String, String)>,
) -> Result<HttpResponse, ApiError> {
    let (burst, deadline, name) = address.into_inner();
    let deadline = deadline_named(&deadline)?;
    let reading = reports::read(&shared.sources, &burst, deadline, &name);
    let (content_type, bytes) = tokio::time::timeout(ANSWER_TIMEOUT, reading)
        .await
        .map_err(|_| ApiError::JournalSilent)??;
    let mut response = entity::respond(&request, content_type, bytes.into());
    let policy = HeaderValue::from_static(reports::PAGE_POLICY);
    response.headers_mut().insert(CONTENT_SECURITY_POLICY_NAME, policy);
    Ok(response)
}

async fn api_events(shared: Data<Shared>) -> Result<HttpResponse, ApiError> {
    shared.streams.open()
}

fn deadline_named(text: &str) -> Result<DeadlineName, ApiError> {
    text.parse().map_err(|error: crate::model::trigger::DeadlineNameError| ApiError::BadAddress {
        what: error.to_string(),
    })
}

/// The journal's answer, or an error when it takes too long.
async fn in_time<T, E: Into<ApiError>>(
    reading: impl Future<Output = Result<T, E>>,
) -> Result<T, ApiError> {
    match tokio::time::timeout(ANSWER_TIMEOUT, reading).await {
        Ok(result) => result.map_err(Into::into),
        Err(_) => Err(ApiError::JournalSilent),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{ActorState, metric},
        storage::journal::events,
        web::made_up_night::{BURST, MadeUpNight, t0},
    };
    use serde_json::Value;
    use std::time::Instant;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
    };

    struct Answer {
        status: u16,
        head: String,
        body: Vec<u8>,
    }

    impl Answer {
        fn json(&self) -> Value {
            serde_json::from_slice(&self.body).unwrap()
        }

        fn header(&self, name: &str) -> Option<&str> {
            self.head.lines().find_map(|line| {
                let (found, value) = line.split_once(':')?;
                found.eq_ignore_ascii_case(name).then(|| value.trim())
            })
        }
    }

    /// Asks with the path exactly as it is given: no client tidies it up on the way.
    async fn ask(address: SocketAddr, method: &str, path: &str) -> Answer {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request =
            format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.unwrap();
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head, body: bytes[end + 4..].to_vec() }
    }

    async fn get(address: SocketAddr, path: &str) -> Answer {
        ask(address, "GET", path).await
    }

    fn loopback() -> TcpListener {
        TcpListener::bind(("127.0.0.1", 0)).unwrap()
    }

    async fn serve(sources: StatusSources) -> RunningWeb {
        start(WebSettings { listener: loopback(), workers: 1 }, sources).await.unwrap()
    }

    #[actix_web::test]
    async fn the_page_and_its_files_are_served_with_security_headers() {
        let night = MadeUpNight::filled().await;
        let web = serve(night.sources()).await;
        let page = get(web.address(), "/").await;
        assert_eq!(page.status, 200);
        assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
        assert!(page.header("content-security-policy").unwrap().contains("default-src 'none'"));
        assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
        let text = String::from_utf8(page.body).unwrap();
        assert!(text.contains("/page/page.js"));
        let script = get(web.address(), "/page/page.js").await;
        assert_eq!(script.status, 200);
        assert_eq!(script.header("content-type"), Some("text/javascript; charset=utf-8"));
        assert_eq!(get(web.address(), "/page/other.js").await.status, 404);
        let head = ask(web.address(), "HEAD", "/").await;
        assert_eq!((head.status, head.body.len()), (200, 0));
        web.stop().await;
    }

    #[actix_web::test]
    async fn the_api_answers_with_the_journal() {
        let night = MadeUpNight::filled().await;
        let web = serve(night.sources()).await;
        let answer = get(web.address(), "/api/status").await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        let status = answer.json();
        assert_eq!(status["triggers"][0]["burst_id"], BURST);
        assert_eq!(status["triggers"][0]["candidates"]["listed"][0]["rank"], 1);
        assert_eq!(status["actors"].as_array().unwrap().len(), 10);

        let trigger = get(web.address(), &format!("/api/triggers/{BURST}")).await.json();
        assert_eq!(trigger["trigger"]["notices"].as_array().unwrap().len(), 4);
        assert_eq!(trigger["burst"], "26110101");
        let unknown = get(web.address(), "/api/triggers/sb1").await;
        assert_eq!(unknown.status, 404);
        assert_eq!(unknown.json()["error"]["message"], "there is no trigger sb1");

        let address = status["triggers"][0]["deadlines"][1]["candidates_url"].as_str().unwrap();
        assert_eq!(address, "/api/candidates/26110101/T005");
        let candidates = get(web.address(), address).await.json();
        assert_eq!(candidates["listed"].as_array().unwrap().len(), 5);
        assert_eq!(candidates["deadline"], "T005");
        assert_eq!(get(web.address(), "/api/candidates/26110101/T060").await.status, 404);
        assert_eq!(get(web.address(), "/api/candidates/26110101/later").await.status, 400);
        web.stop().await;
    }

    #[actix_web::test]
    async fn a_report_is_served_with_a_policy_of_its_own() {
        let night = MadeUpNight::filled().await;
        let web = serve(night.sources()).await;
        let directory = night.result_directory(DeadlineName::Minutes(10));
        std::fs::write(directory.join("report.html"), "<!DOCTYPE html>").unwrap();
        let status = get(web.address(), "/api/status").await.json();
        let files = status["triggers"][0]["analysis"]["files"].as_array().unwrap();
        let address = files[0]["url"].as_str().unwrap();
        assert_eq!(address, "/reports/26110101/T010/report.html");
        let page = get(web.address(), address).await;
        assert_eq!(page.status, 200);
        assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
        let policy = page.header("content-security-policy").unwrap();
        assert!(policy.contains("img-src data:") && !policy.contains("script"));
        for trick in ["../result.json", "%2e%2e%2fresult.json", "result.json%00", "a/b"] {
            let answer = get(web.address(), &format!("/reports/26110101/T010/{trick}")).await;
            assert_eq!(answer.status, 404, "{trick}");
        }
        assert_eq!(get(web.address(), "/reports/26110101/T0x/report.html").await.status, 400);
    }

    #[actix_web::test]
    async fn listed_cutouts_are_served_and_path_tricks_are_not() {
        let night = MadeUpNight::filled().await;
        std::fs::write(night.directory().join("secret.png"), "secret").unwrap();
        let web = serve(night.sources()).await;
        let status = get(web.address(), "/api/status").await.json();
        let listed = &status["triggers"][0]["candidates"]["listed"];
        let address = listed[0]["cutout_url"].as_str().unwrap();
        assert_eq!(address, "/cutouts/26110101/T010/cutouts/candidate_1.png");
        let cutout = get(web.address(), address).await;
        assert_eq!(cutout.status, 200);
        assert_eq!(cutout.header("content-type"), Some("image/png"));
        assert_eq!(cutout.header("cache-control"), Some("no-cache"));
        assert!(cutout.header("etag").is_some());
        let picture = image::load_from_memory(&cutout.body).unwrap();
        assert_eq!((picture.width(), picture.height()), (64, 64));
        for trick in [
            "../../../secret.png",
            "..%2f..%2f..%2fsecret.png",
            "%2e%2e/%2e%2e/%2e%2e/secret.png",
            "cutouts/../cutouts/candidate_1.png",
            "cutouts//candidate_1.png",
            "/etc/passwd",
            "%2fetc%2fpasswd",
            "result.json",
            "cutouts/candidate_1.png%00",
            "cutouts/candidate_9.png",
            "",
        ] {
            let answer = get(web.address(), &format!("/cutouts/26110101/T010/{trick}")).await;
            assert_eq!(answer.status, 404, "{trick}");
            assert!(answer.json()["error"]["status"] == 404, "{trick}");
        }
        assert_eq!(get(web.address(), "/cutouts/26110101/T0x/a.png").await.status, 400);
        assert_eq!(get(web.address(), "/cutouts/../T010/a.png").await.status, 404);
        web.stop().await;
    }

    #[actix_web::test]
    async fn what_would_write_and_what_is_not_there_are_refused_as_json() {
        let night = MadeUpNight::empty().await;
        let web = serve(night.sources()).await;
        for method in ["POST", "PUT", "DELETE", "PATCH"] {
            let answer = ask(web.address(), method, "/api/status").await;
            assert_eq!(answer.status, 405, "{method}");
            assert_eq!(answer.header("allow"), Some("GET, HEAD"));
            assert_eq!(answer.json()["error"]["retry_safe"], false);
        }
        let nowhere = get(web.address(), "/somewhere").await;
        assert_eq!(nowhere.status, 404);
        assert_eq!(nowhere.json()["error"]["message"], "there is no page /somewhere");
        web.stop().await;
    }

    #[actix_web::test]
    async fn health_is_503_with_the_reason_when_an_actor_gave_up() {
        let night = MadeUpNight::filled().await;
        let web = serve(night.sources()).await;
        let well = get(web.address(), "/health").await;
        assert_eq!(well.status, 200);
        assert_eq!(well.json()["healthy"], true);
        web.stop().await;
        let mut sources = night.sources();
        let mut actors = (sources.actors)();
        actors[6].state = ActorState::GaveUp;
        sources.actors = Arc::new(move || actors.clone());
        let web = serve(sources).await;
        let ill = get(web.address(), "/health").await;
        assert_eq!(ill.status, 503);
        assert_eq!(ill.json()["reasons"][0], "actor fsc-uploader gave up");
        web.stop().await;
    }

    #[actix_web::test]
    async fn metrics_show_the_journal_of_this_moment() {
        let night = MadeUpNight::filled().await;
        let web = serve(night.sources()).await;
        let answer = get(web.address(), "/metrics").await;
        assert_eq!(answer.header("content-type"), Some(metrics::CONTENT_TYPE));
        let text = String::from_utf8(answer.body).unwrap();
        for (name, sort, _) in metric::DESCRIPTIONS {
            assert!(text.contains(&format!("# HELP {name} ")), "{name}");
            assert!(text.contains(&format!("# TYPE {name} {sort}\n")), "{name}");
        }
        let last = t0().plus_seconds(701.0).unix_seconds();
        for line in [
            "gic_outbox_depth 2".to_owned(),
            "gic_queue_depth{queue=\"svom\"} 1".to_owned(),
            "gic_alert_age_seconds 83".to_owned(),
            format!("gic_alert_last_received_timestamp_seconds {last}"),
            "gic_actor_up{actor=\"gp1-svom\"} 1".to_owned(),
        ] {
            assert!(text.lines().any(|one| one == line), "{line}\n{text}");
        }
        web.stop().await;
    }

    #[actix_web::test]
    async fn a_change_of_the_journal_reaches_an_open_stream_and_a_stop_ends_it() {
        let night = MadeUpNight::empty().await;
        let web = serve(night.sources()).await;
        let address = web.address();
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET /api/events HTTP/1.1\r\nHost: {address}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut heard = String::new();
        read_until(&mut stream, &mut heard, "data: {\"change\":0}").await;
        assert!(heard.contains("text/event-stream"));
        let event = events::Event {
            at: t0(),
            actor: "web".to_owned(),
            what: "test".to_owned(),
            detail: String::new(),
        };
        night.journal.write(move |change| events::record(change, &event)).await.unwrap();
        read_until(&mut stream, &mut heard, "data: {\"change\":1}").await;
        let began = Instant::now();
        web.stop().await;
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.unwrap();
        assert!(began.elapsed() < Duration::from_secs(SHUTDOWN_SECONDS + 2));
    }

    async fn read_until(stream: &mut TcpStream, heard: &mut String, wanted: &str) {
        let mut buffer = [0_u8; 1024];
        while !heard.contains(wanted) {
            let reading = tokio::time::timeout(Duration::from_secs(5), stream.read(&mut buffer));
            let count = reading.await.expect("in time").unwrap();
            assert!(count > 0, "the stream ended: {heard}");
            heard.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
        }
    }

    #[actix_web::test]
    async fn the_address_survives_a_server_that_is_dropped() {
        let night = MadeUpNight::empty().await;
        let listener = loopback();
        let settings = || WebSettings { listener: listener.try_clone().unwrap(), workers: 1 };
        let first = start(settings(), night.sources()).await.unwrap();
        let address = first.address();
        assert_eq!(get(address, "/health").await.status, 200);
        drop(first);
        // Let the old server hear it: until then it may still take a connection and let it fall.
        tokio::time::sleep(Duration::from_millis(200)).await;
        let second = start(settings(), night.sources()).await.unwrap();
        assert_eq!(second.address(), address);
        for _ in 0..3 {
            assert_eq!(get(address, "/health").await.status, 200);
        }
        second.stop().await;
    }

    /// Serves the made-up night for a person to look at: `GIC_DEMO_SECONDS=60 GIC_DEMO=filled cargo test --lib
    /// look_at_the_page -- --ignored --nocapture` prints the address.
    #[actix_web::test]
    #[ignore = "for people: serves the page for a while"]
    async fn look_at_the_page() {
        let variable = |name: &str| std::env::var(name).unwrap_or_default();
        let night = MadeUpNight::empty().await;
        if variable("GIC_DEMO") != "empty" {
            night.fill().await;
        }
        let web = serve(night.sources()).await;
        println!("http://{}/", web.address());
        let seconds = variable("GIC_DEMO_SECONDS").parse().unwrap_or(60);
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        assert_eq!(get(web.address(), "/health").await.status, 200);
        web.stop().await;
    }
}
