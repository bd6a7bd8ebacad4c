//! The metrics of the process in the Prometheus text format 0.0.4.
//!
//! Every metric of [`crate::model::metric`] exists from the start, at zero for each label whose values the program knows
//! beforehand: a rate or an alarm on a metric that is born with its first event misses that event.

use crate::model::metric::{
    ACTOR_ANSWER_AGE, ACTOR_RESTARTS, ACTOR_UP, ALERT_ACKNOWLEDGE, ALERT_AGE, ALERT_BROKERS_AWAY,
    ALERT_LAST_RECEIVED, ALERTS_RECEIVED, CLOCK_CORRECTION, DATA_FREE_BYTES, DATA_FREE_INODES,
    DEADLINE_LATENESS, DESCRIPTIONS, FRAME_LATENCY, FRAMES, LOG_LINES_LOST, MASTERS,
    MESSAGES_DROPPED, OUTBOX_AGE, OUTBOX_DEPTH, PRODUCTS, QUEUE_DEPTH, STATUS_FILES, UPLOADS,
    WATCHED_FILES, WORKERS_REPLACED,
};
use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use std::sync::OnceLock;

/// The content type of [`Metrics::render`].
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The only metric without a constant in the model: the version, as a label.
const BUILD_INFO: &str = "gic_build_info";

/// A frame must be done within 10 s at one frame a minute, within 30 s at the worst case (design.md §3).
const FRAME_LATENCY_BUCKETS: [f64; 11] =
    [0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 30.0];
/// Deliveries are promised within 10 s of their instant, 30 s at the worst case.
const DEADLINE_LATENESS_BUCKETS: [f64; 10] =
    [0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0];
/// One fsync on a good disk to several seconds on a bad one.
const ACKNOWLEDGE_BUCKETS: [f64; 13] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];

const ALERT_SOURCES: [&str; 2] = ["vtp", "broker"];
const ALERT_RESULTS: [&str; 3] = ["new", "duplicate", "rejected"];
const INSTANCES: [&str; 3] = ["svom", "colibri", "calibration"];
const FRAME_RESULTS: [&str; 5] = ["reduced", "failed", "quarantined", "ignored", "combined"];
const QUEUES: [&str; 3] = ["svom", "colibri", "outbox"];
const DEADLINES: [&str; 5] = ["FIRST", "T005", "T010", "T030", "T060"];
const CARDS: [&str; 8] =
    ["QPO_GFT", "PO_GFT", "DT_GFT", "QF_GFT", "QLC_GFT", "LC_GFT", "QTI_GFT", "GFTMETA"];
const PRODUCT_RESULTS: [&str; 3] = ["made", "delivered", "refused"];
const UPLOAD_RESULTS: [&str; 3] = ["accepted", "refused", "failed"];
/// interfaces.md §6.
const ACTORS: [&str; 10] = [
    "alert-receiver",
    "trigger-manager",
    "image-provider",
    "gp1-colibri",
    "gp1-svom",
    "product-maker",
    "fsc-uploader",
    "calibration-master",
    "status-collector",
    "web",
];
const RESTART_CAUSES: [&str; 2] = ["panic", "stop"];
const TELEMETRY_RECEIVERS: [&str; 2] = ["status-collector", "web"];
const MASTER_KINDS: [&str; 3] = ["bias", "dark", "flat"];
const MASTER_RESULTS: [&str; 2] = ["promoted", "rejected"];

#[derive(Debug, Clone, thiserror::Error)]
pub enum MetricsError {
    /// Not worth a retry: it is an error of the program.
    #[error("metrics: the recorder cannot be installed: {0}")]
    Install(String),
}

/// A handle on the process's metrics, cheap to clone.
#[derive(Debug, Clone)]
pub struct Metrics {
    handle: PrometheusHandle,
}

impl Metrics {
    /// Installs the recorder of the process at the first call; later calls return the same one.
    pub fn install() -> Result<Self, MetricsError> {
        static INSTALLED: OnceLock<Result<Metrics, MetricsError>> = OnceLock::new();
        INSTALLED.get_or_init(install_recorder).clone()
    }

    /// All metrics in the text format, families in the order of their names.
    pub fn render(&self) -> String {
        sort_families(&self.handle.render())
    }

    /// Moves recorded samples into their buckets; to be called every few seconds, or memory grows with each sample.
    pub fn upkeep(&self) {
        self.handle.run_upkeep();
    }
}

fn install_recorder() -> Result<Metrics, MetricsError> {
    let failed =
        |error: metrics_exporter_prometheus::BuildError| MetricsError::Install(error.to_string());
    let mut builder = PrometheusBuilder::new();
    for (name, buckets) in [
        (FRAME_LATENCY, &FRAME_LATENCY_BUCKETS[..]),
        (DEADLINE_LATENESS, &DEADLINE_LATENESS_BUCKETS[..]),
        (ALERT_ACKNOWLEDGE, &ACKNOWLEDGE_BUCKETS[..]),
    ] {
        builder = builder
            .set_buckets_for_metric(Matcher::Full(name.to_owned()), buckets)
            .map_err(failed)?;
    }
    let handle = builder.install_recorder().map_err(failed)?;
    describe();
    register();
    Ok(Metrics { handle })
}

fn describe() {
    for (name, sort, help) in DESCRIPTIONS {
        match sort {
            "counter" => describe_counter!(name, help),
            "histogram" => describe_histogram!(name, help),
            _ => describe_gauge!(name, help),
        }
    }
}

/// Brings every known series into being. Touching a counter or histogram leaves what it has counted.
fn register() {
    for source in ALERT_SOURCES {
        for result in ALERT_RESULTS {
            counter!(ALERTS_RECEIVED, "source" => source, "result" => result).absolute(0);
        }
    }
    gauge!(ALERT_LAST_RECEIVED).set(0.0);
    // Until the first packet there is no age, and zero would say "just now".
    gauge!(ALERT_AGE).set(f64::NAN);
    gauge!(ALERT_BROKERS_AWAY).set(0.0);
    let _ = histogram!(ALERT_ACKNOWLEDGE);
    for instance in INSTANCES {
        for result in FRAME_RESULTS {
            counter!(FRAMES, "instance" => instance, "result" => result).absolute(0);
        }
    }
    for what in ["queued", "incomplete", "settled", "left-alone"] {
        gauge!(WATCHED_FILES, "what" => what).set(0.0);
    }
    for instance in ["svom", "colibri"] {
        let _ = histogram!(FRAME_LATENCY, "instance" => instance);
    }
    for queue in QUEUES {
        gauge!(QUEUE_DEPTH, "queue" => queue).set(0.0);
    }
    for deadline in DEADLINES {
        let _ = histogram!(DEADLINE_LATENESS, "deadline" => deadline);
    }
    for card in CARDS {
        for result in PRODUCT_RESULTS {
            counter!(PRODUCTS, "card" => card, "result" => result).absolute(0);
        }
    }
    for result in UPLOAD_RESULTS {
        counter!(UPLOADS, "result" => result).absolute(0);
    }
    gauge!(OUTBOX_DEPTH).set(0.0);
    gauge!(OUTBOX_AGE).set(0.0);
    gauge!(CLOCK_CORRECTION).set(0.0);
    // Until it is measured nothing is known, and zero would be an alarm.
    gauge!(DATA_FREE_BYTES).set(f64::NAN);
    gauge!(DATA_FREE_INODES).set(f64::NAN);
    for actor in ACTORS {
        for cause in RESTART_CAUSES {
            counter!(ACTOR_RESTARTS, "actor" => actor, "cause" => cause).absolute(0);
        }
        gauge!(ACTOR_UP, "actor" => actor).set(0.0);
        gauge!(ACTOR_ANSWER_AGE, "actor" => actor).set(0.0);
    }
    for receiver in TELEMETRY_RECEIVERS {
        counter!(MESSAGES_DROPPED, "receiver" => receiver).absolute(0);
    }
    for kind in MASTER_KINDS {
        for result in MASTER_RESULTS {
            counter!(MASTERS, "kind" => kind, "result" => result).absolute(0);
        }
    }
    counter!(STATUS_FILES).absolute(0);
    counter!(LOG_LINES_LOST).absolute(0);
    counter!(WORKERS_REPLACED).absolute(0);
    gauge!(BUILD_INFO, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
}

/// The exporter writes families in the order of a hash map; two scrapes of the same state should be the same text.
/// Series of a family are sorted too, except a histogram's, whose buckets must keep their order.
fn sort_families(text: &str) -> String {
    let mut families: Vec<Vec<&str>> = text
        .split("\n\n")
        .map(|family| family.lines().filter(|line| !line.is_empty()).collect::<Vec<_>>())
        .filter(|lines| !lines.is_empty())
        .collect();
    for lines in &mut families {
        let is_histogram =
            lines.iter().any(|line| line.starts_with("# TYPE") && line.ends_with(" histogram"));
        if !is_histogram {
            lines.sort_by_key(|line| (!line.starts_with('#'), *line));
        }
    }
    families.sort();
    let mut sorted = String::with_capacity(text.len());
    for line in families.into_iter().flatten() {
        sorted.push_str(line);
        sorted.push('\n');
    }
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        io::Write,
        process::{Command, Stdio},
    };

    #[test]
    fn every_metric_is_there_from_the_start_with_help_and_type() {
        let metrics = Metrics::install().unwrap();
        let again = Metrics::install().unwrap();
        let text = metrics.render();
        for (name, sort, help) in DESCRIPTIONS {
            assert!(text.contains(&format!("# HELP {name} {help}\n")), "{name}: no help");
            assert!(text.contains(&format!("# TYPE {name} {sort}\n")), "{name}: no type");
            let series = text.lines().filter(|line| line.starts_with(name)).count();
            assert!(series > 0, "{name}: no series");
        }
        counter!("gic_uploads_total", "result" => "accepted").increment(3);
        assert!(again.render().contains("gic_uploads_total{result=\"accepted\"} 3\n"));
    }

    #[test]
    fn histograms_have_the_buckets_of_their_quantity() {
        let metrics = Metrics::install().unwrap();
        histogram!(FRAME_LATENCY, "instance" => "bucket-test").record(0.7);
        metrics.upkeep();
        let text = metrics.render();
        let bucket =
            |le: &str| format!("{FRAME_LATENCY}_bucket{{instance=\"bucket-test\",le=\"{le}\"}}");
        assert!(text.contains(&format!("{} 0\n", bucket("0.5"))), "{text}");
        assert!(text.contains(&format!("{} 1\n", bucket("1"))));
        assert!(text.contains(&format!("{} 1\n", bucket("+Inf"))));
        assert!(text.contains("gic_deadline_lateness_seconds_bucket{deadline=\"T005\",le=\"60\"}"));
        assert!(text.contains("gic_alert_acknowledge_seconds_bucket{le=\"0.0005\"}"));
    }

    #[test]
    fn families_come_in_order_and_buckets_stay_in_theirs() {
        let text = "# HELP b x\n# TYPE b counter\nb{a=\"2\"} 1\nb{a=\"1\"} 0\n\n\
                    # HELP a x\n# TYPE a histogram\na_bucket{le=\"2\"} 0\na_bucket{le=\"10\"} 1\n\n";
        assert_eq!(
            sort_families(text),
            "# HELP a x\n# TYPE a histogram\na_bucket{le=\"2\"} 0\na_bucket{le=\"10\"} 1\n\
             # HELP b x\n# TYPE b counter\nb{a=\"1\"} 0\nb{a=\"2\"} 1\n"
        );
    }

    #[test]
    fn promtool_has_no_complaint() {
        let Ok(mut promtool) = Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
        else {
            println!("skipped: promtool (Debian package prometheus) is not installed");
            return;
        };
        let text = Metrics::install().unwrap().render();
        promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let output = promtool.wait_with_output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
        assert!(said.is_empty(), "{}", String::from_utf8_lossy(&said));
    }
}
