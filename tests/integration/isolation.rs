//! Two instances at once: what fails in one leaves the other's work as it was.

use crate::night::Night;
use serde_json::Value;

/// Frames of each instance and state.
fn counts(report: &Value) -> &Value {
    &report["frames"]["counts"]
}

fn restarts(report: &Value, actor: &str) -> u64 {
    report["restarts"][actor].as_u64().unwrap()
}

/// A panic of the actor and of a worker, and a full mailbox, about the first two deadlines, in either instance: all frames of both
/// are reduced, and the science centre gets the same products.
#[test]
fn a_failing_instance_leaves_the_other_as_it_was() {
    let calm = Night::of_two_cameras(&[]);
    let quiet = calm.run();
    assert_eq!(counts(&quiet)["svom reduced"], 12, "{:#}", counts(&quiet));
    // Three before the burst, twelve during it.
    assert_eq!(counts(&quiet)["colibri reduced"], 15, "{:#}", counts(&quiet));
    let received = calm.received();
    assert_eq!(received.len(), 2 * 6 + 3 * 7);
    for (instance, other) in [("gp1-colibri", "gp1-svom"), ("gp1-svom", "gp1-colibri")] {
        let faults: Vec<String> = [
            "worker-panic:X@190",
            "full-mailbox:X@290",
            "panic:X@300+3",
            "panic:X@301",
            "panic:X@425",
        ]
        .iter()
        .map(|fault| format!("--fault={}", fault.replace('X', instance)))
        .collect();
        let faults: Vec<&str> = faults.iter().map(String::as_str).collect();
        let troubled = Night::of_two_cameras(&faults);
        let report = troubled.run();
        assert_eq!(troubled.received(), received, "{instance}");
        assert_eq!(counts(&report), counts(&quiet), "{instance}");
        assert!(restarts(&report, instance) >= 3, "{:#}", report["restarts"]);
        assert_eq!(restarts(&report, other), 0, "{:#}", report["restarts"]);
    }
}
