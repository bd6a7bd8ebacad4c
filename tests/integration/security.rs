//! The real program with a secret: it delivers over https, and the secret is nowhere to be read afterwards.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

const SECRET: &str = "sEcReT-tOkEn-31415926";
const PATIENCE: Duration = Duration::from_secs(120);

/// A process of the program, its output in a file; it ends with the test.
struct Running {
    child: Child,
    log: PathBuf,
}

impl Running {
    fn start(name: &str, arguments: &[&str], directory: &Path, token: Option<&str>) -> Self {
        let log = directory.join(format!("{name}.log"));
        let output = fs::File::create(&log).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_gic"));
        command
            .args(arguments)
            .args(["--log", "trace"])
            .current_dir(directory)
            .env_remove("GIC_FSC_TOKEN")
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output);
        if let Some(token) = token {
            command.env("GIC_FSC_TOKEN", token);
        }
        Self { child: command.spawn().unwrap(), log }
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// What stands after `word` on a line of its output, when it comes.
    fn announced(&mut self, word: &str) -> String {
        let announcement = wait_for(word, || {
            let text = self.text();
            text.lines().find_map(|line| line.strip_prefix(word).map(|rest| rest.trim().to_owned()))
        });
        assert!(self.child.try_wait().unwrap().is_none(), "{}", self.text());
        announcement
    }

    /// SIGTERM, and a clean end.
    fn stop(mut self) {
        let sent = Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        assert!(sent.success());
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}: {}", self.text());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // One that has ended is left in peace.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn wait_for<T>(what: &str, question: impl Fn() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(answer) = question() {
            return answer;
        }
        assert!(began.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() { open.push(path) } else { found.push(path) }
        }
    }
    found
}

fn get(address: &str, path: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 "), "{path}");
    answer
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// `authority.pem`, `receiver.pem` and `receiver.key` for 127.0.0.1.
fn make_certificates(directory: &Path) {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.distinguished_name.push(DnType::CommonName, "Authority of the tests");
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let own = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let certificate = own.signed_by(&key, &authority).unwrap();
    fs::write(directory.join("authority.pem"), authority.pem()).unwrap();
    fs::write(directory.join("receiver.pem"), certificate.pem()).unwrap();
    fs::write(directory.join("receiver.key"), key.serialize_pem()).unwrap();
}

#[test]
fn products_go_over_https_and_the_token_is_nowhere_to_be_read() {
    let here = tempfile::tempdir().unwrap();
    let directory = here.path();
    make_certificates(directory);
    // The one side has the token from its environment, the other from a file.
    let arguments = ["fsc", "serve", "--listen", "127.0.0.1:0", "--directory", "received"];
    let tls = ["--tls-cert", "receiver.pem", "--tls-key", "receiver.key"];
    let arguments = [&arguments[..], &tls[..]].concat();
    let mut receiver = Running::start("fsc", &arguments, directory, Some(SECRET));
    let url = receiver.announced("receiver:");
    assert!(url.starts_with("https://127.0.0.1:"), "{url}");
    fs::write(directory.join("fsc.token"), format!("{SECRET}\n")).unwrap();
    let config = format!(
        "[data]\ndirectory = \"data\"\n[web]\nlisten = \"127.0.0.1:0\"\n\
         [alerts]\nlisten = \"127.0.0.1:0\"\nmaximum_alert_age_hours = 1e6\n\
         [deadlines]\nfirst_result_seconds = 0.0\nepochs_minutes = []\n\
         [fsc]\nupload_url = \"{url}\"\ntoken_file = \"fsc.token\"\nca_file = \"authority.pem\"\n"
    );
    fs::write(directory.join("gic.toml"), config).unwrap();
    let arguments = ["run", "--config", "gic.toml"];
    let mut controller = Running::start("gic", &arguments, directory, None);
    let alerts = controller.announced("alerts:");
    let page = controller.announced("pages:").replace("http://", "").replace('/', "");

    let packet =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/voevents/eclairs-wakeup.xml");
    let (host, port) = alerts.rsplit_once(':').unwrap();
    let sent = Command::new(env!("CARGO_BIN_EXE_gic"))
        .args(["alert", "send", "-h", host, "-p", port, "-f"])
        .arg(packet)
        .output()
        .unwrap();
    assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
    let receipts = || {
        let stored = files_below(&directory.join("received/archive"));
        stored.iter().filter(|path| path.extension().is_some_and(|e| e == "json")).count()
    };
    wait_for("six receipts of the first result", || (receipts() == 6).then_some(()));

    for path in ["/", "/api/status", "/api/triggers/sb26110101", "/metrics", "/health"] {
        assert!(!holds(&get(&page, path), SECRET), "{path} tells the token");
    }
    controller.stop();
    receiver.stop();
    fs::remove_file(directory.join("fsc.token")).unwrap();
    let files = files_below(directory);
    assert!(files.iter().any(|file| file.ends_with("gic.sqlite")), "{files:?}");
    for file in &files {
        assert!(!holds(&fs::read(file).unwrap(), SECRET), "{} tells the token", file.display());
    }
    for log in ["gic.log", "fsc.log"] {
        let text = fs::read_to_string(directory.join(log)).unwrap();
        assert!(text.contains("TRACE"), "{log} holds all there is to be logged");
    }
}

#[test]
fn a_receiver_open_to_the_network_wants_a_token() {
    let here = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_gic"))
        .args(["fsc", "serve", "--listen", "0.0.0.0:0", "--directory", "received"])
        .current_dir(here.path())
        .env_remove("GIC_FSC_TOKEN")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("loopback"));
}
