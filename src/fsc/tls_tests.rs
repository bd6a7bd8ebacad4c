//! Uploads over https with certificates made here, and a client that keeps its token to itself.

use super::{
    sample,
    server::{FscError, ReceiverSettings, RunningReceiver, start_on_thread},
    tls::{TlsError, TlsIdentity},
    upload::{ClientError, UploadError, client, is_readable_on_the_way, upload},
};
use crate::model::{DeliveryStatus, Receipt, UtcTime};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpListener,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tempfile::TempDir;

const TOKEN: &str = "a token of the tests";
const TIMEOUT: Duration = Duration::from_secs(20);

/// An authority, and a receiver's certificate and key signed by it, for the name or address given.
fn certificates(directory: &Path, name: &str) -> (PathBuf, TlsIdentity) {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.distinguished_name.push(DnType::CommonName, "Authority of the tests");
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let own = CertificateParams::new(vec![name.to_owned()]).unwrap();
    let certificate = own.signed_by(&key, &authority).unwrap();
    let write = |file: &str, text: String| {
        let path = directory.join(file);
        fs::write(&path, text).unwrap();
        path
    };
    let identity = TlsIdentity {
        certificate: write("receiver.pem", certificate.pem()),
        key: write("receiver.key", key.serialize_pem()),
    };
    (write("authority.pem", authority.pem()), identity)
}

struct Site {
    directory: TempDir,
    authority: PathBuf,
    receiver: RunningReceiver,
}

fn settings(directory: &Path, tls: Option<TlsIdentity>) -> ReceiverSettings {
    ReceiverSettings {
        listen: "127.0.0.1:0".parse().unwrap(),
        directory: directory.join("received"),
        token: Some(TOKEN.to_owned()),
        maximum_bytes: 100_000,
        tls,
        now: Arc::new(|| UtcTime::parse("2026-11-01T00:06:00Z").unwrap()),
    }
}

fn provider() {
    // Already installed by another test is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

fn site(name: &str) -> Site {
    provider();
    let directory = tempfile::tempdir().unwrap();
    let (authority, identity) = certificates(directory.path(), name);
    let receiver = start_on_thread(settings(directory.path(), Some(identity))).unwrap();
    Site { directory, authority, receiver }
}

impl Site {
    async fn send(&self, ca_file: Option<&Path>, scheme: &str) -> Result<Receipt, UploadError> {
        let url = format!("{scheme}://{}/upload-product", self.receiver.address());
        send_to(&url, ca_file, self.directory.path()).await
    }

    fn is_empty(&self) -> bool {
        fs::read_dir(self.directory.path().join("received/archive")).unwrap().next().is_none()
    }
}

async fn send_to(
    url: &str,
    ca_file: Option<&Path>,
    directory: &Path,
) -> Result<Receipt, UploadError> {
    let path = sample::write(directory, "sb26110101", 17.0);
    let name = sample::file_name("sb26110101");
    upload(&client(ca_file).unwrap(), url, Some(TOKEN), &path, &name, TIMEOUT).await
}

#[actix_web::test]
async fn a_product_goes_over_https_to_a_receiver_of_the_configured_authority() {
    let site = site("127.0.0.1");
    let receipt = site.send(Some(&site.authority), "https").await.unwrap();
    assert_eq!(receipt.status, DeliveryStatus::Stored);
}

#[actix_web::test]
async fn a_receiver_that_cannot_prove_itself_gets_nothing() {
    let refuses = |sent: Result<Receipt, UploadError>| {
        let error = sent.unwrap_err();
        assert!(error.is_retry_safe(), "the product stays in the outbox");
        assert!(matches!(error, UploadError::Network { .. }), "{error}");
        error.to_string()
    };
    // Of no authority the system knows.
    let ours = site("127.0.0.1");
    let unknown = refuses(ours.send(None, "https").await);
    assert!(unknown.to_lowercase().contains("certificate"), "{unknown}");
    // Of another authority than the configured one.
    let other = site("127.0.0.1");
    refuses(ours.send(Some(&other.authority), "https").await);
    // Of the right authority, for another name.
    let elsewhere = site("fsc.example.org");
    refuses(elsewhere.send(Some(&elsewhere.authority), "https").await);
    // Without TLS at all.
    assert!(ours.send(Some(&ours.authority), "http").await.is_err());
    assert!(ours.is_empty() && elsewhere.is_empty());
}

#[test]
fn unfit_files_are_named_and_their_content_is_not_told() {
    provider();
    let directory = tempfile::tempdir().unwrap();
    let (authority, sound) = certificates(directory.path(), "127.0.0.1");
    let junk = directory.path().join("junk.pem");
    fs::write(&junk, "-----BEGIN NOTHING-----\nc2VjcmV0\n-----END NOTHING-----\n").unwrap();
    let failure = |certificate: &Path, key: &Path| {
        let (certificate, key) = (certificate.to_owned(), key.to_owned());
        let settings = settings(directory.path(), Some(TlsIdentity { certificate, key }));
        match start_on_thread(settings) {
            Err(FscError::Tls(error)) => {
                assert!(!error.to_string().contains("c2Vjc"), "{error}");
                error
            }
            Err(error) => panic!("{error}"),
            Ok(_) => panic!("it listens"),
        }
    };
    let missing = directory.path().join("missing");
    assert!(matches!(failure(&missing, &sound.key), TlsError::Io { .. }));
    assert!(matches!(failure(&junk, &sound.key), TlsError::Certificate { .. }));
    assert!(matches!(failure(&sound.certificate, &junk), TlsError::Key { .. }));
    // The key of another certificate.
    assert!(matches!(failure(&authority, &sound.key), TlsError::Unfit(_)));
    assert!(matches!(client(Some(&junk)), Err(ClientError::NoCertificate { .. })));
    assert!(matches!(client(Some(&missing)), Err(ClientError::CertificateFile { .. })));
}

#[test]
fn only_https_and_this_machine_keep_a_token_to_themselves() {
    for url in
        ["http://fsc.example.org/upload", "http://10.0.0.1:5000/", "http://localhost.example/"]
    {
        assert!(is_readable_on_the_way(url), "{url}");
    }
    for url in [
        "https://fsc.example.org/",
        "http://127.0.0.1:5000/",
        "http://[::1]/",
        "http://localhost:1/",
    ] {
        assert!(!is_readable_on_the_way(url), "{url}");
    }
}

/// Answers one request with `answer`, and gives what was asked.
fn answer_once(answer: String) -> (String, std::thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/upload-product", listener.local_addr().unwrap());
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        let mut asked = Vec::new();
        // Until the sender waits for the answer.
        let _ = stream.read_to_end(&mut asked);
        // It may hang up before it has read all.
        let _ = stream.write_all(answer.as_bytes());
        String::from_utf8_lossy(&asked).into_owned()
    });
    (url, thread)
}

#[actix_web::test]
async fn a_redirection_is_not_followed() {
    provider();
    let directory = tempfile::tempdir().unwrap();
    let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
    elsewhere.set_nonblocking(true).unwrap();
    let location = format!("http://{}/upload-product", elsewhere.local_addr().unwrap());
    for status in ["302 Found", "307 Temporary Redirect"] {
        let (url, asked) = answer_once(format!(
            "HTTP/1.1 {status}\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
        ));
        let error = send_to(&url, None, directory.path()).await.unwrap_err();
        assert!(matches!(error, UploadError::Answer { status: 300..=399, .. }), "{error}");
        assert!(error.is_retry_safe());
        assert!(asked.join().unwrap().contains(TOKEN), "the test sees what is sent");
        assert!(elsewhere.accept().is_err(), "nobody was sent elsewhere, with or without token");
    }
}

#[actix_web::test]
async fn an_answer_without_end_is_cut() {
    provider();
    let directory = tempfile::tempdir().unwrap();
    let body = "x".repeat(2 << 20);
    let (url, _asked) = answer_once(format!(
        "HTTP/1.1 201 Created\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ));
    let error = send_to(&url, None, directory.path()).await.unwrap_err();
    assert!(error.to_string().contains("no receipt"), "{error}");
    assert!(error.to_string().len() < 1000);
}

#[actix_web::test]
async fn a_request_of_too_many_or_too_long_headers_is_refused() {
    provider();
    let directory = tempfile::tempdir().unwrap();
    let receiver = start_on_thread(settings(directory.path(), None)).unwrap();
    let answer = |headers: String| {
        let mut stream = std::net::TcpStream::connect(receiver.address()).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        // The receiver may hang up before it has taken all.
        let _ = write!(stream, "GET /health HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    };
    let close = "Connection: close\r\n";
    assert!(answer(close.to_owned()).starts_with("HTTP/1.1 200"));
    let many: String = (0..200).map(|n| format!("X-{n}: y\r\n")).collect();
    assert!(!answer(many + close).starts_with("HTTP/1.1 2"));
    let long = format!("X: {}\r\n", "y".repeat(200_000));
    assert!(!answer(long + close).starts_with("HTTP/1.1 2"));
}
