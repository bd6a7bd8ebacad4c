//! Whole nights with the real program: real sockets, real files, the simulated clock. Order and content are asserted, never seconds.

use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

/// A quarter of the default sky for a quarter of an hour: the same story, small enough for a test.
const SMALL_NIGHT: &str = "speed = 100000.0\n\
    [sky]\nwidth_pixels = 512\nheight_pixels = 512\nstar_count = 1634\ndither_arcsec = 10.0\n\
    calibration_frame_count = 4\n\
    [sky.afterglow]\noffset_arcsec = [20.0, 90.0]\n\
    [story]\nduration_minutes = 12.0\n";

/// The longest a night may take before the test gives it up.
const PATIENCE: Duration = Duration::from_secs(600);

pub struct Night {
    directory: tempfile::TempDir,
    arguments: Vec<String>,
}

impl Night {
    fn new(arguments: &[&str]) -> Self {
        Self::with_config(SMALL_NIGHT, arguments)
    }

    /// One in which a second camera goes on with another programme during the burst: both instances have work.
    pub fn of_two_cameras(arguments: &[&str]) -> Self {
        Self::with_config(&format!("{SMALL_NIGHT}second_camera = \"C1\"\n"), arguments)
    }

    fn with_config(config: &str, arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("night.toml"), config).unwrap();
        Self { directory, arguments: arguments.iter().map(|text| (*text).to_owned()).collect() }
    }

    fn out(&self) -> PathBuf {
        self.directory.path().join("out")
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gic"));
        command
            .arg("simulate")
            .arg("--config")
            .arg(self.directory.path().join("night.toml"))
            .arg("--out")
            .arg(self.out())
            .arg("--json")
            .args(&self.arguments)
            .stdin(Stdio::null());
        command
    }

    /// Runs the night to its end and returns its report.
    pub fn run(&self) -> Value {
        let output = self.command().output().unwrap();
        let report = parse_report(&output);
        assert!(
            output.status.success(),
            "{:?}\n{}\n{:#}",
            output.status,
            String::from_utf8_lossy(&output.stderr),
            report["verdict"]
        );
        report
    }

    /// Product and SHA-256 of everything the science centre has stored.
    pub fn received(&self) -> BTreeMap<String, String> {
        let mut received = BTreeMap::new();
        for file in files_below(&self.out().join("fsc/archive")) {
            if file.to_string_lossy().ends_with(".fits.json") {
                let receipt: Value =
                    serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
                assert_eq!(receipt["status"], "stored", "{receipt:#}");
                let product = receipt["product"].as_str().unwrap().to_owned();
                let sha256 = receipt["sha256"].as_str().unwrap().to_owned();
                assert!(received.insert(product, sha256).is_none(), "two receipts for one product");
            }
        }
        received
    }
}

/// What a deadline leaves for people.
const REPORT_FILES: [&str; 6] = [
    "report.html",
    "finding_chart.png",
    "candidates.reg",
    "candidates.vot",
    "catalogued_sources.csv",
    "circular_draft.txt",
];

/// Name, with that of its deadline, and content of every file of the reports of a night.
fn reports(night: &Night) -> BTreeMap<String, Vec<u8>> {
    let mut reports = BTreeMap::new();
    for file in files_below(&night.out().join("data/calibrated")) {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        if REPORT_FILES.contains(&name.as_str()) {
            let deadline = file.parent().unwrap().file_name().unwrap().to_string_lossy();
            let content = fs::read(&file).unwrap();
            assert!(reports.insert(format!("{deadline}/{name}"), content).is_none());
        }
    }
    reports
}

fn assert_reports_are_whole(night: &Night, deadlines: &[&str]) {
    let reports = reports(night);
    assert_eq!(reports.len(), deadlines.len() * REPORT_FILES.len(), "{:?}", reports.keys());
    for deadline in deadlines {
        let content = |name: &str| &reports[&format!("{deadline}/{name}")];
        let text = |name: &str| std::str::from_utf8(content(name)).unwrap();
        let page = text("report.html");
        assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>\n"), "{deadline}");
        assert!(page.contains("stands out") && !page.contains("<script"), "{deadline}");
        assert!(page.matches("data:image/png;base64,").count() > 2, "{deadline}");
        let chart = image::load_from_memory(content("finding_chart.png")).unwrap();
        assert!(chart.width() >= 600, "{deadline}");
        assert!(text("candidates.reg").starts_with("# Region file format: DS9"), "{deadline}");
        let mut reader = quick_xml::Reader::from_str(text("candidates.vot"));
        while !matches!(reader.read_event().unwrap(), quick_xml::events::Event::Eof) {}
        assert!(text("catalogued_sources.csv").lines().count() > 20, "{deadline}");
        assert!(text("circular_draft.txt").starts_with("DRAFT"), "{deadline}");
    }
}

fn parse_report(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!(
            "no report ({error}): {:?}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        )
    })
}

fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

#[test]
fn one_alert_becomes_receipted_products_and_the_afterglow_is_first() {
    let night = Night::new(&[]);
    let report = night.run();
    assert_eq!(report["verdict"]["ok"], true);
    let packets: Vec<&str> = report["alerts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|a| a["packet"].as_str().unwrap())
        .collect();
    assert_eq!(packets, ["grm-trigger", "eclairs-wakeup", "slewing", "mxt-initial"]);
    let deadlines = report["deadlines"].as_array().unwrap();
    let names: Vec<&str> = deadlines.iter().map(|d| d["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["FIRST", "T005", "T010", "T030", "T060"]);
    for deadline in deadlines {
        assert_eq!(deadline["state"], "delivered");
        assert_eq!(deadline["products"], deadline["receipts"]);
        let expected = if deadline["seconds_after_t0"].as_f64().unwrap() <= 300.0 { 6 } else { 7 };
        assert_eq!(deadline["products"], expected, "{deadline:#}");
    }
    for deadline in &deadlines[..2] {
        assert_eq!(deadline["truth"]["afterglow_counterpart_rank"], 1, "{deadline:#}");
        assert!(deadline["truth"]["afterglow_offset_arcsec"].as_f64().unwrap() < 1.0);
    }
    assert_eq!(night.received().len(), 2 * 6 + 3 * 7);
    assert_reports_are_whole(&night, &["FIRST", "T005", "T010", "T030", "T060"]);
    let restarts = report["restarts"].as_object().unwrap();
    assert_eq!(restarts.len(), 10);
    assert!(restarts.values().all(|count| *count == 0));

    // A finished night is not run over.
    let again = night.command().output().unwrap();
    assert_eq!(again.status.code(), Some(2));
}

#[test]
fn a_failure_of_every_actor_changes_nothing() {
    let calm = Night::new(&[]);
    calm.run();
    let mut arguments = Vec::new();
    let orders: Vec<String> = [
        ("alert-receiver", 94.0),
        ("trigger-manager", 200.0),
        ("image-provider", 215.0),
        ("gp1-svom", 238.0),
        ("gp1-svom", 299.0),
        ("product-maker", 300.0),
        ("fsc-uploader", 300.0),
        ("trigger-manager", 300.0),
        ("gp1-colibri", -200.0),
        ("calibration-master", -400.0),
        ("status-collector", 100.0),
        ("web", 120.0),
        ("image-provider", 598.0),
    ]
    .iter()
    .map(|(actor, at)| format!("{actor}@{at}"))
    .collect();
    for order in &orders {
        // One argument: a time before T0 begins with a minus sign.
        arguments.push(format!("--kill={order}"));
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let troubled = Night::new(&arguments);
    let report = troubled.run();
    assert_eq!(troubled.received(), calm.received());
    assert_eq!(reports(&troubled), reports(&calm));
    let restarts = report["restarts"].as_object().unwrap();
    for (actor, count) in restarts {
        let expected = orders.iter().filter(|o| o.starts_with(&format!("{actor}@"))).count();
        assert_eq!(count.as_u64().unwrap(), expected as u64, "{actor}");
    }
}

#[test]
fn a_night_killed_in_the_middle_is_finished_by_the_same_command() {
    let calm = Night::new(&[]);
    calm.run();
    let cut = Night::new(&[]);
    // Killed when so many products are there: at other instants of the story each time.
    for wanted in [1, 9, 20] {
        let mut child = cut.command().stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let began = Instant::now();
        while product_count(&cut) < wanted && began.elapsed() < PATIENCE {
            assert!(child.try_wait().unwrap().is_none(), "it ended before it could be killed");
            std::thread::sleep(Duration::from_millis(5));
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
    cut.run();
    assert_eq!(cut.received(), calm.received());
    assert_eq!(reports(&cut), reports(&calm));
}

#[test]
fn an_alert_that_comes_late_is_caught_up_with_after_its_first_frame() {
    let night = Night::new(&[]);
    let late = SMALL_NIGHT.replace("duration_minutes = 12.0", "duration_minutes = 3.0")
        + "grm_seconds = 390.0\neclairs_seconds = 400.0\nslewing_seconds = 410.0\n\
           first_exposure_seconds = 450.0\n";
    fs::write(night.directory.path().join("night.toml"), late).unwrap();
    // The afterglow has faded and one frame is little: whether it is the first of the list is not asked here.
    let report = parse_report(&night.command().output().unwrap());
    let deadlines = report["deadlines"].as_array().unwrap();
    let early = deadlines.iter().find(|deadline| deadline["name"] == "T005").unwrap();
    assert_eq!(early["state"], "delivered", "{early:#}");
    assert_eq!(early["receipts"], 6, "{early:#}");
}

fn product_count(night: &Night) -> usize {
    let directory = night.out().join("data/products");
    if !directory.exists() {
        return 0;
    }
    files_below(&directory)
        .iter()
        .filter(|file| file.extension().is_some_and(|extension| extension == "fits"))
        .count()
}
