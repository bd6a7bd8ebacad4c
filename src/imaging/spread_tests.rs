//! Stars and galaxies told apart: against SPREAD_MODEL of source-extractor with the model of PSFEx, and against the truth.
//! `tests/oracles/spread.py` made the values.

use serde_json::Value;

use super::{
    CalibratedImage,
    background::{self, Background},
    detection::{DetectionParameters, Detections, detect},
    psf::PointSpread,
    psf_photometry::point_fluxes,
    spread_model::{StarLook, spread_models},
    statistics::median_and_deviation,
    synthetic::{self, Object},
};
use crate::model::{Source, SpreadModel};

const FWHM: f64 = 3.0;
const SKY: f64 = 300.0;

fn field(objects: &[Object], noise_seed: u64) -> CalibratedImage {
    let mut light = ndarray::Array2::zeros((1024, 1024));
    for object in objects {
        synthetic::add_stars(&mut light, &object.stars(), FWHM, 25);
    }
    synthetic::exposed(&light, SKY, 0.0, noise_seed)
}

fn found(image: &CalibratedImage) -> (Background, Detections) {
    let background = background::estimate(&image.data, &image.mask, 64);
    let detections = detect(image, &background, &DetectionParameters::default());
    (background, detections)
}

/// Of each object: the source that it became, and its spread.
type Measured = Vec<Option<(Source, SpreadModel)>>;

fn measured(objects: &[Object], image: &CalibratedImage, is_fitted: bool) -> Measured {
    let (background, mut detections) = found(image);
    let fwhm = detections.stellar_fwhm_pixels.unwrap();
    let sources = &mut detections.sources;
    let look = match is_fitted {
        true => {
            let spread = PointSpread::fit(image, &background, sources).unwrap();
            let fluxes = point_fluxes(image, &background, &spread, sources);
            for (source, flux) in sources.iter_mut().zip(fluxes) {
                source.point = flux;
            }
            StarLook::fitted(spread)
        }
        false => StarLook::round(image, &background, sources, fwhm).unwrap(),
    };
    let spreads = spread_models(image, &background, &look, sources, fwhm);
    objects
        .iter()
        .map(|object| {
            let distance =
                |source: &Source| (source.x - object.star.x).hypot(source.y - object.star.y);
            let pairs = sources.iter().zip(&spreads);
            let (source, spread) =
                pairs.min_by(|one, other| distance(one.0).total_cmp(&distance(other.0)))?;
            (distance(source) < 1.5).then_some((source.clone(), (*spread)?))
        })
        .collect()
}

/// Completeness and contamination of the galaxies among objects of a range of fluxes: shares of galaxies and of stars that are called extended.
fn shares(
    objects: &[Object],
    spreads: &[Option<SpreadModel>],
    fluxes: std::ops::Range<f64>,
) -> (f64, f64) {
    let share = |is_galaxy: bool| {
        let (mut called, mut all) = (0.0, 0.0);
        for (object, spread) in objects.iter().zip(spreads) {
            let Some(spread) = spread else { continue };
            if (object.scale > 0.0) == is_galaxy && fluxes.contains(&object.star.flux) {
                all += 1.0;
                called += f64::from(u8::from(spread.is_extended()));
            }
        }
        called / all
    };
    (share(true), share(false))
}

fn values(measured: &Measured) -> Vec<Option<SpreadModel>> {
    measured.iter().map(|each| each.as_ref().map(|pair| pair.1)).collect()
}

#[test]
fn spreads_are_those_of_source_extractor() {
    let oracle: Value =
        serde_json::from_str(include_str!("../../tests/oracles/spread.json")).unwrap();
    let objects = synthetic::stars_and_galaxies(61);
    let image = field(&objects, 62);
    let sum: f64 = image.data.iter().map(|&value| f64::from(value)).sum();
    assert!((sum / oracle["sum"].as_f64().unwrap() - 1.0).abs() < 1e-12, "{sum}");
    let theirs: Vec<Option<SpreadModel>> = oracle["spreads"]
        .as_array()
        .unwrap()
        .iter()
        .map(|pair| {
            Some(SpreadModel { value: pair.get(0)?.as_f64()?, error: pair.get(1)?.as_f64()? })
        })
        .collect();
    for is_fitted in [true, false] {
        let ours = measured(&objects, &image, is_fitted);
        let mut scales = Vec::new();
        let (mut offsets, mut errors) = (Vec::new(), Vec::new());
        for ((object, ours), theirs) in objects.iter().zip(&ours).zip(&theirs) {
            let (Some((_, ours)), Some(theirs)) = (ours, theirs) else { continue };
            if object.scale > 0.0 && object.star.flux > 1e4 {
                scales.push(ours.value / theirs.value);
            }
            offsets.push((ours.value - theirs.value) / theirs.error.hypot(0.001));
            errors.push(ours.error / theirs.error);
        }
        let (scale, scatter) = median_and_deviation(&scales).unwrap();
        let (offset, width) = median_and_deviation(&offsets).unwrap();
        let (error, error_scatter) = median_and_deviation(&errors).unwrap();
        println!(
            "fitted {is_fitted}: galaxies {scale:.3} ± {scatter:.3} of theirs, all off by {offset:.2} ± {width:.2} errors, errors {error:.2} ± {error_scatter:.2}"
        );
        for fluxes in [700.0..1500.0, 1500.0..3000.0, 3000.0..6000.0, 6000.0..1e6] {
            let (own, other) = (
                shares(&objects, &values(&ours), fluxes.clone()),
                shares(&objects, &theirs, fluxes.clone()),
            );
            println!(
                "{fluxes:?}: galaxies and stars called extended {own:.2?}, theirs {other:.2?}"
            );
            assert!(own.0 >= other.0 && own.1 <= other.1 + 0.05);
        }
        assert!((0.78..0.86).contains(&scale) && scatter < 0.01);
        assert!(offset.abs() < 0.5 && width < 1.0);
        assert!((0.78..0.88).contains(&error));
    }
}

/// Six fields, half of the objects galaxies of scale lengths from 0.27 to 0.53 full widths.
#[test]
fn galaxies_are_told_from_stars() {
    let (mut objects, mut fitted, mut round) = (Vec::new(), Vec::new(), Vec::new());
    for seed in 0..6 {
        let own = synthetic::stars_and_galaxies(1000 + seed);
        let image = field(&own, 2000 + seed);
        fitted.extend(values(&measured(&own, &image, true)));
        round.extend(values(&measured(&own, &image, false)));
        objects.extend(own);
    }
    for (name, spreads) in [("fitted", &fitted), ("round", &round)] {
        let mut pulls = Vec::new();
        for (object, spread) in objects.iter().zip(spreads) {
            if let Some(spread) = spread
                && object.scale == 0.0
            {
                pulls.push(spread.value / spread.error.hypot(0.0002));
            }
        }
        let (zero, width) = median_and_deviation(&pulls).unwrap();
        println!("{name}: stars at {zero:.2} ± {width:.2} errors");
        for (fluxes, completeness, contamination) in [
            (700.0..1500.0, 0.0, 0.06),
            (1500.0..3000.0, 0.85, 0.06),
            (3000.0..6000.0, 0.97, 0.03),
            (6000.0..1e6, 0.99, 0.01),
        ] {
            let (galaxies, stars) = shares(&objects, spreads, fluxes.clone());
            println!("{name} {fluxes:?}: {galaxies:.3} of the galaxies, {stars:.3} of the stars");
            assert!(galaxies >= completeness && stars <= contamination);
        }
        assert!(zero.abs() < 0.3 && (0.7..1.4).contains(&width));
    }
}
