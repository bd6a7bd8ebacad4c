//! The night of RATIR C1 of 2013-07-16: the golden values by the definitions they were measured with. The oracle's figures are
//! those of `tests/oracles/ratir_night.py`.

use super::masters::{CalibrationFrame, MasterPolicy, make_masters};
use super::masters_in_force::MastersInForce;
use crate::fits::{FitsImage, FitsStore, cfitsio::Cfitsio, keywords::KeywordMap};
use crate::gp1::frame_input::frame_stem;
use crate::imaging::{
    Image, Mask, background,
    calibration::{Combination, combine},
    statistics::plane_statistics,
};
use std::path::{Path, PathBuf};

fn night() -> Option<PathBuf> {
    let root = std::env::var_os("GIC_TEST_DATA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data"),
        PathBuf::from,
    );
    let night = root.join("ratir_20130716");
    if !night.is_dir() {
        println!("skipped: {} is not there", night.display());
        return None;
    }
    Some(night)
}

/// Those of C1 whose names end with one of `kinds`, in the order of time.
fn frames_of(night: &Path, kinds: &[char]) -> Vec<(String, FitsImage)> {
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(night).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
        .into_iter()
        .filter_map(|path| frame_stem(&path).map(|stem| (stem.to_owned(), path.clone())))
        .filter(|(stem, _)| kinds.iter().any(|kind| stem.ends_with(&format!("C1{kind}"))))
        .map(|(stem, path)| (stem, Cfitsio.read_image(&path).unwrap()))
        .collect()
}

fn oracle() -> serde_json::Value {
    serde_json::from_str(include_str!("../../tests/oracles/ratir_night.json")).unwrap()
}

/// Dark less bias 8.5 to 9.0, with the median of the biases; sky 6.5 to 7.0 with a noise of 2.89, with nothing but that bias taken
/// off. The noise agrees with sep's to a hundredth.
#[test]
fn golden_levels_with_the_median_bias() {
    let Some(night) = night() else { return };
    let golden = &oracle()["golden"];
    let biases: Vec<Image> =
        frames_of(&night, &['b']).into_iter().map(|(_, image)| image.data).collect();
    assert_eq!(biases.len(), 8);
    let bias = combine(&biases, Combination::Median).unwrap();
    let darks = frames_of(&night, &['d']);
    assert_eq!(darks.len(), 10);
    for (name, dark) in darks {
        let level = plane_statistics(&(dark.data - &bias)).median;
        assert_eq!(level, golden["dark_levels"][&name].as_f64().unwrap(), "{name}");
        assert!((8.5..=9.0).contains(&level), "{name}: {level}");
    }
    let objects = frames_of(&night, &['o']);
    assert_eq!(objects.len(), 10);
    for (name, object) in objects {
        let sky = object.data - &bias;
        let noise = background::estimate(&sky, &Mask::zeros(sky.dim()), 64).global_noise;
        let expected = golden["objects"][&name]["noise"].as_f64().unwrap();
        assert!((noise / expected - 1.0).abs() < 0.01, "{name}: {noise} for sep's {expected}");
        assert!((noise - 2.89).abs() < 0.03, "{name}: {noise}");
    }
}

/// Nothing states a saturation here: no card of the frames does, and no camera is known. The pile-up alone must tell.
#[test]
fn the_saturated_flats_of_ratir_are_found_without_any_stated_limit() {
    let Some(night) = night() else { return };
    let map = KeywordMap::default();
    let frames: Vec<CalibrationFrame> = frames_of(&night, &['f', 'b'])
        .into_iter()
        .map(|(name, image)| {
            let (rows, columns) = image.data.dim();
            let keywords = map.read(&image.header, &name, (columns, rows)).unwrap();
            assert_eq!(keywords.saturation, None);
            CalibrationFrame { name, keywords, pixels: image.data.into() }
        })
        .collect();
    assert_eq!(frames.len(), 25 + 8);
    let in_force = MastersInForce::default();
    let made = make_masters(frames, &Cfitsio, &in_force, &MasterPolicy::default()).outcomes;
    let flat = &made[1].as_ref().unwrap().record;
    assert_eq!(flat.frame_count, 19, "the faint ones are left out by the camera's file only");
    let left_out = &flat.figures.left_out;
    assert_eq!(left_out.len(), 6);
    for (frame, time) in left_out.iter().zip(["1009", "1039", "1108", "1142", "1209", "1239"]) {
        assert_eq!(frame.name, format!("20130716T03{time}C1f"));
        assert!(frame.reason.contains("at 16384 (measured"), "{frame:?}");
    }
}
