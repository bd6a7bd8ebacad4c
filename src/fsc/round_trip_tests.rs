//! Real uploads to a real receiver on loopback.

use super::sample;
use super::server::{FscError, ReceiverSettings, RunningReceiver, start, start_on_thread};
use super::upload::{UploadError, upload};
use crate::model::{DeliveryStatus, Receipt, UtcTime};
use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};
use tempfile::TempDir;

const TOKEN: &str = "a token of the tests";
const TIMEOUT: Duration = Duration::from_secs(20);

fn settings(directory: &Path) -> ReceiverSettings {
    ReceiverSettings {
        listen: "127.0.0.1:0".parse().unwrap(),
        directory: directory.to_owned(),
        token: Some(TOKEN.to_owned()),
        maximum_bytes: 100_000,
        tls: None,
        now: Arc::new(|| UtcTime::parse("2026-11-01T00:06:00Z").unwrap()),
    }
}

struct Site {
    directory: TempDir,
    sources: TempDir,
    receiver: RunningReceiver,
    client: reqwest::Client,
}

fn client() -> reqwest::Client {
    // Already installed by another test is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().build().unwrap()
}

fn site() -> Site {
    let directory = tempfile::tempdir().unwrap();
    let receiver = start_on_thread(settings(directory.path())).unwrap();
    Site { directory, sources: tempfile::tempdir().unwrap(), receiver, client: client() }
}

impl Site {
    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.receiver.address())
    }

    fn product(&self, magnitude: f64) -> PathBuf {
        sample::write(self.sources.path(), "sb26110101", magnitude)
    }

    async fn send(&self, path: &Path) -> Result<Receipt, UploadError> {
        let name = sample::file_name("sb26110101");
        upload(&self.client, &self.url("/upload-product"), Some(TOKEN), path, &name, TIMEOUT).await
    }

    async fn get(&self, path: &str, token: Option<&str>) -> (u16, String) {
        let mut request = self.client.get(self.url(path));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }
}

#[actix_web::test]
async fn a_product_is_stored_once_and_receipted_every_time() {
    let site = site();
    let path = site.product(17.0);
    let first = site.send(&path).await.unwrap();
    assert_eq!(first.status, DeliveryStatus::Stored);
    assert_eq!(first.received_at, UtcTime::parse("2026-11-01T00:06:00Z").unwrap());
    let second = site.send(&path).await.unwrap();
    assert_eq!(second, Receipt { status: DeliveryStatus::Duplicate, ..first.clone() });
    let stored = site.directory.path().join("archive/sb26110101").join(path.file_name().unwrap());
    assert_eq!(fs::read(stored).unwrap(), fs::read(&path).unwrap());
    let (status, body) = site.get("/products", Some(TOKEN)).await;
    assert_eq!(status, 200);
    assert_eq!(serde_json::from_str::<Vec<Receipt>>(&body).unwrap(), [first]);
}

#[actix_web::test]
async fn another_file_of_the_same_key_is_refused_for_good() {
    let site = site();
    site.send(&site.product(17.0)).await.unwrap();
    let error = site.send(&site.product(18.0)).await.unwrap_err();
    assert!(matches!(error, UploadError::Refused { status: 409, .. }), "{error}");
    assert!(!error.is_retry_safe());
    assert_eq!(error.into_receipt().unwrap().status, DeliveryStatus::Refused);
}

#[actix_web::test]
async fn a_damaged_file_is_refused_with_the_reason_and_kept_aside() {
    let site = site();
    let path = site.product(17.0);
    let mut bytes = fs::read(&path).unwrap();
    let last = bytes.len() - 2880;
    bytes[last] ^= 0x40;
    fs::write(&path, bytes).unwrap();
    let error = site.send(&path).await.unwrap_err();
    assert!(matches!(error, UploadError::Refused { status: 422, .. }), "{error}");
    assert!(error.to_string().contains("DATASUM"), "{error}");
    assert_eq!(fs::read_dir(site.directory.path().join("refused")).unwrap().count(), 2);
    let (_, body) = site.get("/products", Some(TOKEN)).await;
    assert_eq!(body, "[]");
}

#[actix_web::test]
async fn without_the_token_nothing_is_taken_or_shown() {
    let site = site();
    let path = site.product(17.0);
    let name = sample::file_name("sb26110101");
    let url = site.url("/colibri/upload-product");
    for token in [None, Some("another token"), Some("")] {
        let error = upload(&site.client, &url, token, &path, &name, TIMEOUT).await.unwrap_err();
        assert!(matches!(error, UploadError::Answer { status: 401, .. }), "{error}");
        assert!(!error.is_retry_safe());
        assert_eq!(site.get("/products", token).await.0, 401);
    }
    assert_eq!(site.get("/products", Some(TOKEN)).await.1, "[]");
    assert_eq!(fs::read_dir(site.directory.path().join("incoming")).unwrap().count(), 0);
}

#[actix_web::test]
async fn a_file_that_is_too_large_is_answered_and_not_kept() {
    let site = site();
    let path = site.sources.path().join("large");
    fs::write(&path, vec![0; 2_000_000]).unwrap();
    let error = site.send(&path).await.unwrap_err();
    assert!(matches!(error, UploadError::Answer { status: 413, .. }), "{error}");
    assert!(!error.is_retry_safe());
    for part in ["incoming", "refused"] {
        assert_eq!(fs::read_dir(site.directory.path().join(part)).unwrap().count(), 0, "{part}");
    }
}

#[actix_web::test]
async fn uploads_of_one_key_at_once_store_it_once() {
    let site = site();
    let path = site.product(17.0);
    let other = tempfile::tempdir().unwrap();
    let different = sample::write(other.path(), "sb26110101", 18.0);
    let sends = (0..24).map(|index| {
        let path = if index % 3 == 2 { &different } else { &path };
        site.send(path)
    });
    let answers = futures_util::future::join_all(sends).await;
    let count = |wanted: DeliveryStatus| {
        answers.iter().flatten().filter(|receipt| receipt.status == wanted).count()
    };
    let refused = answers.iter().filter(|answer| answer.is_err()).count();
    assert_eq!(count(DeliveryStatus::Stored), 1);
    // Which of the two files came first is open; the other one is refused every time.
    assert!(refused == 8 || refused == 16, "{refused}");
    assert_eq!(count(DeliveryStatus::Duplicate), 23 - refused);
    for error in answers.into_iter().filter_map(Result::err) {
        assert!(matches!(error, UploadError::Refused { status: 409, .. }), "{error}");
    }
}

#[actix_web::test]
async fn the_public_pages_answer() {
    let site = site();
    assert_eq!(site.get("/colibri", None).await, (200, "Colibri interface is alive".to_owned()));
    assert_eq!(site.get("/health", None).await, (200, "{\"status\":\"ok\"}".to_owned()));
    assert_eq!(site.get("/nothing", None).await.0, 404);
}

/// Sends bytes as they stand and gives the status of the answer.
fn raw(site: &Site, body: &[u8], boundary: &str) -> String {
    let mut stream = TcpStream::connect(site.receiver.address()).unwrap();
    let head = format!(
        "POST /upload-image HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\
         Content-Type: multipart/form-data; boundary={boundary}\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn part(name: &str, file_name: &str, content: &[u8]) -> Vec<u8> {
    let mut part = format!(
        "--cut\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"{file_name}\"\r\n\
         Content-Type: application/octet-stream\r\n\r\n"
    )
    .into_bytes();
    part.extend_from_slice(content);
    part.extend_from_slice(b"\r\n");
    part
}

#[test]
fn the_body_as_curl_writes_it_is_understood() {
    let site = site();
    let bytes = fs::read(site.product(17.0)).unwrap();
    let end = b"--cut--\r\n".to_vec();
    let other = [part("Other", "x", b"x"), end.clone()].concat();
    assert!(raw(&site, &other, "cut").starts_with("HTTP/1.1 400 "));
    let twice = [part("Product", "a", b"x"), part("Product", "b", b"x"), end.clone()].concat();
    assert!(raw(&site, &twice, "cut").starts_with("HTTP/1.1 400 "));
    assert!(raw(&site, &part("Product", "a", b"no end"), "cut").starts_with("HTTP/1.1 400 "));
    assert!(raw(&site, b"no parts", "cut").starts_with("HTTP/1.1 400 "));
    // The file's name is the one in the command of seed 003.
    let sound = [part("Product", "DT_GFT_FGFT.fits", &bytes), end].concat();
    let answer = raw(&site, &sound, "cut");
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    assert_eq!(fs::read_dir(site.directory.path().join("incoming")).unwrap().count(), 0);
}

#[test]
fn the_command_of_the_users_works() {
    if Command::new("curl").arg("--version").output().is_err() {
        println!("skipped: curl is not installed");
        return;
    }
    let site = site();
    let form = format!("Product=@{}", site.product(17.0).display());
    let output = Command::new("curl")
        .args(["-s", "-F", &form, "-H", &format!("Authorization: Bearer {TOKEN}")])
        .arg(site.url("/upload-image"))
        .output()
        .unwrap();
    let receipt: Receipt = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(receipt.status, DeliveryStatus::Stored);
}

#[actix_web::test]
async fn a_receiver_started_again_knows_what_it_stored() {
    let directory = tempfile::tempdir().unwrap();
    let sources = tempfile::tempdir().unwrap();
    let path = sample::write(sources.path(), "sb26110101", 17.0);
    let name = sample::file_name("sb26110101");
    let client = client();
    for expected in [DeliveryStatus::Stored, DeliveryStatus::Duplicate] {
        let receiver = start(settings(directory.path())).await.unwrap();
        let url = format!("http://{}/upload-product", receiver.address());
        let receipt = upload(&client, &url, Some(TOKEN), &path, &name, TIMEOUT).await.unwrap();
        assert_eq!(receipt.status, expected);
        receiver.stop();
    }
}

#[test]
fn a_stopped_receiver_listens_no_more() {
    let directory = tempfile::tempdir().unwrap();
    let receiver = start_on_thread(settings(directory.path())).unwrap();
    let address = receiver.address();
    assert!(TcpStream::connect(address).is_ok());
    receiver.stop();
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn a_receiver_that_cannot_work_says_why() {
    let directory = tempfile::tempdir().unwrap();
    let open = ReceiverSettings {
        listen: "0.0.0.0:0".parse().unwrap(),
        token: None,
        ..settings(directory.path())
    };
    assert!(matches!(start_on_thread(open), Err(FscError::OpenWithoutToken { .. })));
    let running = start_on_thread(settings(directory.path())).unwrap();
    let other = tempfile::tempdir().unwrap();
    let taken = ReceiverSettings { listen: running.address(), ..settings(other.path()) };
    assert!(matches!(start_on_thread(taken), Err(FscError::Listen { .. })));
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(matches!(start_on_thread(settings(&file)), Err(FscError::Archive(_))));
}

#[actix_web::test]
async fn nobody_listening_is_worth_another_try_and_a_missing_file_is_not() {
    let site = site();
    let (path, url) = (site.product(17.0), site.url("/upload-product"));
    let name = sample::file_name("sb26110101");
    let missing = site.sources.path().join("missing");
    let error = site.send(&missing).await.unwrap_err();
    assert!(matches!(error, UploadError::File { .. }) && !error.is_retry_safe());
    site.receiver.stop();
    let error = upload(&site.client, &url, Some(TOKEN), &path, &name, TIMEOUT).await.unwrap_err();
    assert!(matches!(error, UploadError::Network { .. }) && error.is_retry_safe(), "{error}");
}
