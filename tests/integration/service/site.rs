//! A telescope in a temporary directory: its configuration, its images, and the real program at work on it.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

/// The longest anything is waited for before a test gives up.
const PATIENCE: Duration = Duration::from_secs(120);
const SIDE: usize = 128;

pub fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub struct Site {
    directory: tempfile::TempDir,
    data: PathBuf,
    pages: SocketAddr,
}

impl Site {
    /// `more` is added to its gic.toml.
    pub fn new(more: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("data");
        Self::with_data(directory, data, more)
    }

    pub fn with_data(directory: tempfile::TempDir, data: PathBuf, more: &str) -> Self {
        // gic status asks at the configured address: a port that was free a moment ago.
        let pages = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let text = format!(
            "[data]\ndirectory = {data:?}\n[alerts]\nlisten = \"127.0.0.1:0\"\n\
             [web]\nlisten = \"{pages}\"\n{more}"
        );
        fs::write(directory.path().join("gic.toml"), text).unwrap();
        Self { directory, data, pages }
    }

    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub fn data(&self) -> &Path {
        &self.data
    }

    pub fn pages(&self) -> SocketAddr {
        self.pages
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gic"));
        command.args(arguments).arg("--config").arg("gic.toml");
        command.current_dir(self.directory()).stdin(Stdio::null());
        command.env_remove("NOTIFY_SOCKET").env_remove("WATCHDOG_USEC");
        command
    }

    pub fn start(&self) -> Run {
        self.start_with(&[], |_| ())
    }

    /// Starts `gic run` and waits until it serves.
    pub fn start_with(&self, arguments: &[&str], change: impl FnOnce(&mut Command)) -> Run {
        let log = self.directory().join("stderr");
        let mut command = self.command(&["run"]);
        command.args(arguments).stderr(File::create(&log).unwrap()).stdout(Stdio::null());
        change(&mut command);
        let mut run = Run { child: command.spawn().unwrap(), log };
        wait_for("the start", || {
            assert!(run.child.try_wait().unwrap().is_none(), "{}", run.log());
            run.log().contains("pages:  http://")
        });
        run
    }

    /// What `gic run` says when it does not start.
    pub fn refused(&self) -> String {
        let output = self.command(&["run"]).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    /// An image of some stars arrives, as the telescope writes it: under another name, then renamed.
    pub fn drop_frame(&self, number: usize) {
        self.drop_frame_in(&self.data.join("incoming"), number);
    }

    pub fn drop_frame_in(&self, incoming: &Path, number: usize) {
        fs::create_dir_all(incoming).unwrap();
        let name = format!("20261102T04{:02}{:02}C0o.fits", number / 60, number % 60);
        let temporary = incoming.join(format!("{name}.tmp"));
        fs::write(&temporary, frame(number)).unwrap();
        fs::rename(temporary, incoming.join(name)).unwrap();
    }

    /// Files of the data whose names end so.
    pub fn files_named(&self, end: &str) -> Vec<String> {
        let mut found = Vec::new();
        let mut open = vec![self.data.clone()];
        while let Some(directory) = open.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    open.push(path);
                } else if path.to_string_lossy().ends_with(end) {
                    found.push(path.display().to_string());
                }
            }
        }
        found
    }

    pub fn journal(&self) -> Option<rusqlite::Connection> {
        let path = self.data.join("gic.sqlite");
        let connection = path.exists().then(|| rusqlite::Connection::open(path).unwrap())?;
        connection.busy_timeout(PATIENCE).unwrap();
        Some(connection)
    }
}

/// `gic run` at work; killed when it is dropped.
pub struct Run {
    child: Child,
    log: PathBuf,
}

impl Run {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&mut self, name: &str) {
        assert!(self.child.try_wait().unwrap().is_none(), "it has ended:\n{}", self.log());
        let pid = self.pid().to_string();
        let sent = Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap();
        assert!(sent.success());
    }

    pub fn wait(&mut self) -> ExitStatus {
        let mut ended = None;
        wait_for("the end", || {
            ended = self.child.try_wait().unwrap();
            ended.is_some()
        });
        ended.unwrap()
    }

    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// State of each image in the journal, by name.
pub fn frame_states(site: &Site) -> BTreeMap<String, String> {
    let Some(journal) = site.journal() else { return BTreeMap::new() };
    let Ok(mut statement) = journal.prepare("SELECT name, state FROM frames") else {
        return BTreeMap::new();
    };
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    rows.map(Result::unwrap).collect()
}

/// Starts and ends of the program, in order, with what is said of them.
pub fn events(site: &Site) -> Vec<(String, String)> {
    let journal = site.journal().unwrap();
    let mut statement = journal
        .prepare("SELECT what, detail FROM events WHERE actor = 'controller' ORDER BY id")
        .unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    rows.map(Result::unwrap).collect()
}

/// A small image with stars on a sky, as big-endian 16-bit integers.
fn frame(number: usize) -> Vec<u8> {
    let cards = [
        "SIMPLE  =                    T".to_owned(),
        "BITPIX  =                   16".to_owned(),
        "NAXIS   =                    2".to_owned(),
        format!("NAXIS1  = {SIDE:>20}"),
        format!("NAXIS2  = {SIDE:>20}"),
        "EXPTIME =                 30.0".to_owned(),
        "EXPTYPE = 'object  '".to_owned(),
        "FILTER  = 'r       '".to_owned(),
        "INSTRUME= 'C0      '".to_owned(),
        format!("DATE-OBS= '2026-11-02T04:{:02}:{:02}.000'", number / 60, number % 60),
        "END".to_owned(),
    ];
    let mut bytes: Vec<u8> =
        cards.iter().flat_map(|card| format!("{card:<80}").into_bytes()).collect();
    bytes.resize(bytes.len().next_multiple_of(2880), b' ');
    let mut state = number as u64 + 1;
    let mut random = move || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f64 / f64::from(1 << 24)
    };
    for row in 0..SIDE {
        for column in 0..SIDE {
            let noise: f64 = (0..12).map(|_| random()).sum::<f64>() - 6.0;
            let light: f64 = (0..16)
                .map(|star| {
                    let (x, y) =
                        (16.0 + 30.0 * f64::from(star % 4), 16.0 + 30.0 * f64::from(star / 4));
                    let square = (column as f64 - x).powi(2) + (row as f64 - y).powi(2);
                    (400.0 + 150.0 * f64::from(star)) * (-square / 4.5).exp()
                })
                .sum();
            bytes.extend_from_slice(&((300.0 + light + 8.0 * noise) as i16).to_be_bytes());
        }
    }
    bytes.resize(bytes.len().next_multiple_of(2880), 0);
    bytes
}
