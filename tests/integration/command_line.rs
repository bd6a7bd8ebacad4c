//! The command line: exit codes, what goes where, what the seeds' files give.

use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Output, Stdio},
};

fn gic(arguments: &[&str], directory: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gic"))
        .args(arguments)
        .current_dir(directory)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

const GP1_CFG: &str = "[General]
input    = /data/pipeline_test/Simulation_online/input 
log_path = /data/pipeline_test/Simulation_online/output

# Pipelines
[pipeline-test]
processing_strategy = standard\t
identifier_header   = EXPTYPE,OBSERVER
identifier_value    = object,svom
configuration_path_dir  = /data/pipeline_test/GP1-V7/config/pipeline-test
workspace_dir       = /data/pipeline_test/Simulation_online/output
";

#[test]
fn no_command_is_a_usage_error_and_help_is_none() {
    let here = tempfile::tempdir().unwrap();
    assert_eq!(gic(&[], here.path()).status.code(), Some(2));
    assert_eq!(gic(&["simulate", "--speed", "fast"], here.path()).status.code(), Some(2));
    let help = gic(&["--help"], here.path());
    assert_eq!(help.status.code(), Some(0));
    let listed = text(&help.stdout);
    let commands: Vec<&str> =
        listed.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next()).collect();
    for there in ["simulate", "findstars", "alignment", "stacking", "subtraction", "summary"] {
        assert!(commands.contains(&there), "{commands:?}");
    }
}

#[test]
fn the_built_in_configuration_has_no_complaints() {
    let here = tempfile::tempdir().unwrap();
    let output = gic(&["config", "check"], here.path());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
}

#[test]
fn of_the_seeds_gp1_cfg_only_the_paths_are_complained_of() {
    let here = tempfile::tempdir().unwrap();
    fs::write(here.path().join("gp1.cfg"), GP1_CFG).unwrap();
    let output = gic(&["config", "check", "gp1.cfg"], here.path());
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    let complaints = text(&output.stdout);
    assert!(complaints.lines().count() > 0);
    assert!(complaints.lines().all(|line| line.contains("/data/pipeline_test")), "{complaints}");

    fs::create_dir_all(here.path().join("new/Simulation_online/input")).unwrap();
    fs::create_dir_all(here.path().join("new/GP1-V7/config/pipeline-test")).unwrap();
    let map = format!("/data/pipeline_test={}", here.path().join("new").display());
    let output = gic(&["config", "check", "gp1.cfg", "--path-map", &map], here.path());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
}

#[test]
fn an_unknown_key_is_named_with_its_line_and_the_allowed_ones() {
    let here = tempfile::tempdir().unwrap();
    let wrong = format!("{GP1_CFG}workspace_dri = /data/other\n");
    fs::write(here.path().join("gp1.cfg"), wrong).unwrap();
    let output = gic(&["config", "check", "gp1.cfg"], here.path());
    assert_eq!(output.status.code(), Some(2));
    let complaint = text(&output.stdout);
    assert!(complaint.contains("gp1.cfg, line 12"), "{complaint}");
    assert!(complaint.contains("workspace_dri") && complaint.contains("workspace_dir"));
}

#[test]
fn a_packet_is_understood_and_its_trigger_file_written() {
    let here = tempfile::tempdir().unwrap();
    let packet = include_bytes!("../fixtures/voevents/eclairs-wakeup.xml");
    let mut child = Command::new(env!("CARGO_BIN_EXE_gic"))
        .args(["alert", "parse"])
        .current_dir(here.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(packet).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("eclairs-wakeup"));
    let files: Vec<String> = fs::read_dir(here.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    assert_eq!(files.len(), 1, "{files:?}");
    assert!(files[0].starts_with("trigger_sb") && files[0].ends_with(".dat"), "{files:?}");
    for line in fs::read_to_string(here.path().join(&files[0])).unwrap().lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap();
    }
}

#[test]
fn what_is_no_packet_fails_the_validation() {
    let here = tempfile::tempdir().unwrap();
    fs::write(here.path().join("packet.xml"), "<!DOCTYPE x [<!ENTITY a \"b\">]><x>&a;</x>")
        .unwrap();
    let output = gic(&["alert", "parse", "packet.xml"], here.path());
    assert_eq!(output.status.code(), Some(5));
    assert_eq!(gic(&["alert", "parse", "absent.xml"], here.path()).status.code(), Some(3));
}

#[test]
fn missing_inputs_of_a_simulation_are_named_before_anything_begins() {
    let here = tempfile::tempdir().unwrap();
    let output = gic(&["simulate", "--archive", "nowhere", "--out", "out"], here.path());
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("nowhere"));
    assert!(!here.path().join("out").exists());
    let output = gic(&["simulate", "--kill", "nobody", "--out", "out"], here.path());
    assert_eq!(output.status.code(), Some(2));
}
