//! Products as files: both engines read back what was made, and the standard's own checker has nothing to say.

use super::{DescriptorSet, make, sample, validate};
use crate::fits::{FitsStore, FitsTables, cfitsio::Cfitsio, pure::PureRust};
use crate::model::{AnalysisResult, Degradation};
use std::{path::Path, process::Command};

const CARDS: [&str; 8] =
    ["DT_GFT", "QPO_GFT", "PO_GFT", "QF_GFT", "LC_GFT", "QLC_GFT", "QTI_GFT", "GFTMETA"];

/// A full result, one with long texts and degradations, and one with nothing.
fn results() -> Vec<AnalysisResult> {
    let full = sample::result();
    let mut strained = sample::result();
    strained.provenance.catalogue =
        "a catalogue with a name that is longer than one card ".repeat(3);
    strained.degradations.push(Degradation::new("NODARK", "the observer's dark is missing"));
    strained.candidates[0].cutout = Some("x".repeat(300));
    let mut nothing = sample::result();
    nothing.frames.clear();
    nothing.limits.clear();
    nothing.candidates.clear();
    nothing.search_region = None;
    nothing.empty_reason = Some("nothing arrived: it's cloudy. ".repeat(5));
    vec![full, strained, nothing]
}

fn each_file(check: impl Fn(&str, &Path, &FitsTables)) {
    let directory = tempfile::tempdir().unwrap();
    let descriptors = DescriptorSet::embedded().unwrap();
    for (index, result) in results().iter().enumerate() {
        for card in CARDS {
            let tables =
                make(card, result, &sample::settings(), result.due_at, &descriptors).unwrap();
            let path = directory.path().join(format!("{card}_{index}.fits"));
            Cfitsio.write_tables(&path, &tables).unwrap();
            check(card, &path, &tables);
        }
    }
}

#[test]
fn both_engines_read_back_a_conforming_product() {
    let descriptors = DescriptorSet::embedded().unwrap();
    each_file(|card, path, made| {
        for store in [&Cfitsio as &dyn FitsStore, &PureRust] {
            store.verify_checksums(path).unwrap();
            let read = store.read_tables(path).unwrap();
            let findings = validate(&read, card, &descriptors);
            assert!(findings.is_empty(), "{}: {findings:?}", path.display());
            assert_eq!(read.tables[0].columns, made.tables[0].columns, "{card}");
            let values = |tables: &FitsTables| {
                tables
                    .primary
                    .cards
                    .iter()
                    .filter(|card| card.keyword != "HISTORY")
                    .map(|card| (card.keyword.clone(), tables.primary.text(&card.keyword)))
                    .collect::<Vec<_>>()
            };
            assert_eq!(values(&read), values(made), "{card}");
        }
    });
}

#[test]
fn fitsverify_has_neither_error_nor_warning() {
    if Command::new("fitsverify").arg("-h").output().is_err() {
        println!("skipped: fitsverify (Debian package fitsverify) is not installed");
        return;
    }
    each_file(|card, path, _| {
        let output = Command::new("fitsverify").arg("-q").arg(path).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("verification OK"), "{card}: {said}");
    });
}
