//! Archived nights of real telescopes through the whole program. Each test says that it was skipped where the data are absent.

use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// A directory of the test data.
fn archive(name: &str) -> Option<PathBuf> {
    let root = std::env::var_os("GIC_TEST_DATA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data"),
        PathBuf::from,
    );
    let path = root.join(name);
    if path.is_dir() {
        return Some(path);
    }
    println!("skipped: {} is not there", path.display());
    None
}

/// Replays an archive to its end; the report.
fn replay(archive: &Path, out: &Path, more: &[&str]) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_gic"))
        .args(["simulate", "--json", "--speed", "100000", "--archive"])
        .arg(archive)
        .arg("--out")
        .arg(out)
        .args(more)
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{:?}\n{stderr}", output.status);
    serde_json::from_slice(&output.stdout).unwrap()
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(f64::NAN)
}

fn master<'a>(report: &'a Value, kind: &str) -> &'a Value {
    list(report, "masters").iter().find(|each| each["kind"] == kind).unwrap()
}

/// Every deadline served, with products that say what they lack, each with its receipt.
fn assert_degraded_and_receipted(report: &Value) {
    assert_eq!(report["verdict"]["ok"], true, "{:#}", report["verdict"]);
    let deadlines = list(report, "deadlines");
    assert_eq!(deadlines.len(), 5);
    for deadline in deadlines {
        assert_eq!(deadline["state"], "delivered", "{deadline:#}");
        assert!(number(&deadline["products"]) >= 6.0, "{deadline:#}");
        assert_eq!(deadline["products"], deadline["receipts"]);
        let codes = list(deadline, "degradations");
        assert!(codes.iter().any(|code| code == "NOCAT"), "{deadline:#}");
    }
}

/// Names of the frames of each group.
fn group_names(report: &Value) -> Vec<Vec<String>> {
    list(report, "groups")
        .iter()
        .map(|group| {
            let name = |frame: &Value| frame["name"].as_str().unwrap().to_owned();
            list(group, "frames").iter().map(name).collect()
        })
        .collect()
}

/// The night of 2013-07-16 of RATIR C1 at San Pedro Mártir. The figures were measured on the same frames with numpy and sep.
#[test]
fn ratir_golden_values() {
    let Some(archive) = archive("ratir_20130716") else { return };
    let directory = tempfile::tempdir().unwrap();
    let report = replay(&archive, &directory.path().join("out"), &[]);
    assert_degraded_and_receipted(&report);

    let bias = &master(&report, "bias")["figures"];
    assert_eq!(bias["level_dn"], serde_json::json!([640.0, 640.0]));
    assert!((number(&bias["read_noise_dn"]) - 2.41).abs() < 0.03, "{bias:#}");
    let dark = &master(&report, "dark")["figures"];
    // Medians go in eighths with a mean bias, in halves with a median one (8.5 to 9: see the tests of the masters).
    assert_eq!(dark["level_dn"], serde_json::json!([8.375, 8.75]));
    let flat = master(&report, "flat");
    let figures = &flat["figures"];
    assert_eq!(flat["frame_count"], 13);
    assert!(number(&figures["half_difference"]) <= 0.0037, "{figures:#}");
    assert!((number(&figures["gain_electrons"]["value"]) - 4.69).abs() < 0.05, "{figures:#}");
    assert_eq!(figures["gain_pairs"], 12);
    let percentiles = list(figures, "percentiles");
    assert!((number(&percentiles[0]) - 0.947).abs() < 0.002, "{figures:#}");
    assert!((number(&percentiles[1]) - 1.023).abs() < 0.002, "{figures:#}");
    // Six are saturated, found by their pile-up (without the camera's figure too: see the test of the masters); the camera's file
    // calls six more too faint.
    let reasons: Vec<&str> =
        list(figures, "left_out").iter().map(|frame| frame["reason"].as_str().unwrap()).collect();
    assert_eq!(reasons.len(), 12, "{reasons:#?}");
    assert_eq!(
        reasons.iter().filter(|reason| reason.contains("saturated at 16384 (measured")).count(),
        6
    );
    assert_eq!(reasons.iter().filter(|reason| reason.contains("too low")).count(), 6);
    assert!(list(&report, "masters").iter().all(|each| each["in_force"] == true));

    let oracle: Value = serde_json::from_str(include_str!("../oracles/ratir_night.json")).unwrap();
    let groups = group_names(&report);
    let expected = [
        ["110452", "110712", "110750", "110958", "111041"],
        ["110553", "110629", "110834", "110910", "111123"],
    ];
    let expected = expected.map(|group| group.map(|time| format!("20130716T{time}C1o")).to_vec());
    assert_eq!(groups, expected);
    for group in list(&report, "groups") {
        assert_eq!(group["stacked"], 5, "{group:#}");
        let range = number(&group["zero_point_range"]);
        assert!((0.2..0.35).contains(&range), "clouds: {range}");
        for frame in list(group, "frames") {
            let expected = &oracle["calibrated"]["objects"][frame["name"].as_str().unwrap()];
            let fwhm = number(&frame["fwhm_pixels"]);
            assert!((3.8..=4.95).contains(&fwhm), "{frame:#}");
            let ratio = fwhm / number(&expected["moffat_fwhm"]);
            assert!((ratio - 1.0).abs() < 0.06, "{frame:#} {expected:#}");
            // 2.89 with nothing but the bias taken off: see the tests of the masters.
            let noise = number(&frame["sky_noise_dn"]);
            assert!(
                (noise / number(&expected["noise"]) - 1.0).abs() < 0.015,
                "{frame:#} {expected:#}"
            );
        }
    }
}

/// A night of ARCSAT at Apache Point: another dialect, gain and read noise measured because no card states them.
#[test]
fn arcsat_measures_its_gain() {
    let Some(archive) = archive("arcsat_xo1_z") else { return };
    let directory = tempfile::tempdir().unwrap();
    let report = replay(&archive, &directory.path().join("out"), &["--interval", "90"]);
    assert_degraded_and_receipted(&report);
    assert_eq!(report["frames"]["counts"]["svom reduced"], 12);
    let gain = &master(&report, "flat")["figures"]["gain_electrons"];
    assert!(number(&gain["value"]) > 0.0, "{gain:#}");
    let names = group_names(&report);
    assert_eq!(names.iter().map(Vec::len).collect::<Vec<_>>(), [12], "{names:?}");
    for deadline in list(&report, "deadlines") {
        let codes = list(deadline, "degradations");
        assert!(codes.iter().all(|code| code != "NOGAIN" && code != "NORDNOIS"), "{deadline:#}");
    }
}

/// Epochs of many nights, reduced by OGLE, without coordinates: one series, one group, one stack.
#[test]
fn ogle_epochs_are_one_series() {
    let Some(archive) = archive("ogle4_lmc531_I") else { return };
    let directory = tempfile::tempdir().unwrap();
    let report = replay(&archive, &directory.path().join("out"), &[]);
    assert_degraded_and_receipted(&report);
    assert!(list(&report, "masters").is_empty());
    assert!(report["notes"][0].as_str().unwrap().contains("one series"), "{:#}", report["notes"]);
    let groups = list(&report, "groups");
    assert_eq!(groups.len(), 1, "{:?}", group_names(&report));
    assert_eq!(list(&groups[0], "frames").len(), 13);
    assert!(number(&groups[0]["stacked"]) >= 12.0, "{:#}", groups[0]);
    for deadline in list(&report, "deadlines") {
        let codes = list(deadline, "degradations");
        assert!(codes.iter().all(|code| code != "NOBIAS" && code != "NOFLAT"), "{deadline:#}");
    }
}

/// A drifting series without a type of exposure and without calibration frames.
#[test]
fn microobservatory_drifts_within_one_group() {
    let Some(archive) = archive("microobs_hatp32") else { return };
    let directory = tempfile::tempdir().unwrap();
    let report = replay(&archive, &directory.path().join("out"), &["--interval", "70"]);
    assert_degraded_and_receipted(&report);
    let groups = list(&report, "groups");
    assert_eq!(groups.len(), 1, "{:?}", group_names(&report));
    assert_eq!(list(&groups[0], "frames").len(), 16);
}
