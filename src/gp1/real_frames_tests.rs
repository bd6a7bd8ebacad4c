//! Single real frames from elsewhere, without masters or gain: what is found on them beside source-extractor, each with its own background,
//! the same filter, threshold and mesh. `tests/oracles/extraction.py` made the values.

use super::findstars::find_stars;
use super::settings::FindstarsParameters;
use crate::fits::{FitsStore, cfitsio::Cfitsio};
use crate::imaging::{
    CalibratedImage, Image, Mask, background, detection::DetectionParameters,
    statistics::median_and_deviation,
};
use std::path::{Path, PathBuf};

const THRESHOLD: f64 = 5.0;

fn folder() -> Option<PathBuf> {
    let root = std::env::var_os("GIC_TEST_DATA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data"),
        PathBuf::from,
    );
    let folder = root.join("frames_misc");
    if !folder.is_dir() {
        println!("skipped: {} is not there", folder.display());
        return None;
    }
    Some(folder)
}

fn numbers(value: &serde_json::Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
}

/// How far counts may be apart, what share of the brightest must be here, and how far half-light radii may be apart. Out-of-focus images of
/// fourteen pixels fall apart into pieces in one way there and in another here; half-light radii of one pixel depend on how a border is
/// sampled.
const FRAMES: [(&str, f64, f64, f64); 3] = [
    ("fram.fits", 0.3, 0.9, 0.05),
    ("solved.fits.fz", 0.1, 0.97, 0.1),
    ("galaxies.fits", 0.1, 0.97, 0.05),
];

/// A frame out of focus with many hot pixels, one of a Bayer sensor, and a deep field of galaxies. Settings are the defaults. Of the up to
/// a hundred brightest lone sources of source-extractor nearly all are here, within a pixel or 0.3 half-light radii; total fluxes of the median
/// one agree within 1 %.
#[test]
fn sources_of_real_frames_are_those_of_source_extractor() {
    let Some(folder) = folder() else { return };
    let oracle: serde_json::Value =
        serde_json::from_str(include_str!("../../tests/oracles/extraction.json")).unwrap();
    for (name, count_tolerance, least_share, radius_tolerance) in FRAMES {
        let expected = &oracle["frames"][name];
        let data = Cfitsio.read_image(&folder.join(name)).unwrap().data;
        let mask = Mask::zeros(data.dim());
        // The noise of the sky alone: nothing is known of the gain.
        let noise = background::estimate(&data, &mask, 64).global_noise;
        let variance = Image::from_elem(data.dim(), (noise * noise) as f32);
        let image = CalibratedImage { data, variance, mask };
        let detection =
            DetectionParameters { threshold_sigma: THRESHOLD, ..DetectionParameters::default() };
        let parameters = FindstarsParameters { detection, ..FindstarsParameters::default() };
        let found = find_stars(&image, &parameters);
        let sources = &found.detections.sources;
        let count = expected["count"].as_f64().unwrap();
        let (mut fluxes, mut radii) = (Vec::new(), Vec::new());
        let brightest = expected["brightest"].as_array().unwrap();
        for row in brightest {
            let [x, y, flux, radius] = numbers(row)[..] else { panic!("{row}") };
            let place = sources.iter().map(|source| {
                let total = source.total.map_or(f64::NAN, |total| total.electrons);
                let distance = (source.x - x).hypot(source.y - y);
                (distance, total / flux, source.half_light_radius_pixels / radius)
            });
            let nearest = place.min_by(|one, other| one.0.total_cmp(&other.0)).unwrap();
            if nearest.0 < (0.3 * radius).max(1.0) {
                fluxes.push(nearest.1);
                radii.push(nearest.2);
            } else {
                println!("{name}: not here: {row}");
            }
        }
        let (flux, flux_scatter) = median_and_deviation(&fluxes).unwrap();
        let (radius, radius_scatter) = median_and_deviation(&radii).unwrap();
        let extended =
            sources.iter().filter(|each| each.spread.is_some_and(|spread| spread.is_extended()));
        println!(
            "{name}: {} sources, source-extractor {count}; {} of {} brightest, flux {flux:.4} ± {flux_scatter:.4}, half-light radius {radius:.3} ± {radius_scatter:.3}; width {:.2?}, {} extended",
            sources.len(),
            fluxes.len(),
            brightest.len(),
            found.detections.stellar_fwhm_pixels,
            extended.count()
        );
        assert!((sources.len() as f64 / count - 1.0).abs() < count_tolerance, "{name}");
        assert!(fluxes.len() as f64 >= least_share * brightest.len() as f64, "{name}");
        assert!((flux - 1.0).abs() < 0.01 && (radius - 1.0).abs() < radius_tolerance, "{name}");
    }
}
