//! Background, detection and measurements against sep, the library of SExtractor's code. `tests/oracles/detection.py`
//! made the values; `extraction_oracle.rs` has the comparison with source-extractor's own catalogues.

use serde_json::Value;

use super::{
    CalibratedImage, Image, aperture,
    background::{self, Background},
    detection::{DetectionParameters, Detections, detect},
    ellipse::Ellipse,
    half_light, kron, mask_bits,
    planes::{Owners, Planes},
    surroundings::Surroundings,
    synthetic::{self, Star},
    windowed_centroid,
};
use crate::model::{Source, SourceFlags};

fn oracle() -> Value {
    serde_json::from_str(include_str!("../../tests/oracles/detection.json")).unwrap()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(number).collect()
}

fn stars(oracle: &Value) -> Vec<Star> {
    let star = |value: &Value| Star {
        x: number(&value[0]),
        y: number(&value[1]),
        flux: number(&value[2]),
    };
    oracle["stars"].as_array().unwrap().iter().map(star).collect()
}

fn frame(oracle: &Value) -> CalibratedImage {
    let seed = oracle["seed"].as_u64().unwrap();
    let (fwhm, sky, slope) =
        (number(&oracle["fwhm"]), number(&oracle["sky"]), number(&oracle["slope"]));
    synthetic::frame((256, 256), &stars(oracle), fwhm, sky, slope, seed)
}

/// A background without structure: what the oracle subtracts before it measures.
fn plain(oracle: &Value, image: &CalibratedImage) -> Background {
    let level = number(&oracle["plain_level"]);
    Background {
        level: Image::from_elem(image.shape(), level as f32).into(),
        noise: Image::ones(image.shape()).into(),
        global_level: level,
        global_noise: 1.0,
    }
}

fn assert_near(found: f64, expected: f64, relative: f64, what: &str) {
    assert!(
        (found - expected).abs() <= relative * expected.abs(),
        "{what}: {found}, sep has {expected}"
    );
}

#[test]
fn the_field_is_the_same_bit_for_bit() {
    let oracle = oracle();
    let image = frame(&oracle);
    let sum: f64 = image.data.iter().map(|&value| f64::from(value)).sum();
    // The order of the additions differs.
    assert_near(sum, number(&oracle["image"]["sum"]), 1e-12, "sum");
    for pixel in oracle["image"]["pixels"].as_array().unwrap() {
        let pixel = numbers(pixel);
        assert_eq!(image.data[[pixel[1] as usize, pixel[0] as usize]], pixel[2] as f32);
    }
}

#[test]
fn background_agrees_with_sep() {
    let oracle = oracle();
    let image = frame(&oracle);
    let expected = &oracle["background"];
    let found = background::estimate(&image.data, &image.mask, 64);
    // Both quantise a cell's pixels to 1/400 of their deviation; sep takes the median to a whole bin, which 2.5 × median −
    // 1.5 × mean makes 0.006 deviations, and extrapolation to the corners twice that: 0.2 in 210.
    assert_near(found.global_level, number(&expected["global_level"]), 2e-4, "global level");
    assert_near(found.global_noise, number(&expected["global_noise"]), 2e-3, "global noise");
    for sample in expected["samples"].as_array().unwrap() {
        let sample = numbers(sample);
        let pixel = [sample[1] as usize, sample[0] as usize];
        assert_near(f64::from(found.level.at(pixel[0], pixel[1])), sample[2], 1e-3, "level");
        assert_near(f64::from(found.noise.at(pixel[0], pixel[1])), sample[3], 5e-3, "noise");
    }
}

#[test]
fn apertures_agree_with_sep() {
    let oracle = oracle();
    let mut image = frame(&oracle);
    let background = plain(&oracle, &image);
    let (x, y) = (numbers(&oracle["detection"]["x"]), numbers(&oracle["detection"]["y"]));
    for expected in oracle["apertures"].as_array().unwrap() {
        let radius = number(&expected["radius"]);
        let (flux, error) = (numbers(&expected["flux"]), numbers(&expected["error"]));
        for star in 0..x.len() {
            let found = aperture::measure(&image, &background, x[star], y[star], radius).unwrap();
            // Exact overlaps on both sides. Fluxes near zero are compared on the scale of their error.
            let tolerance = 1e-9 * flux[star].abs().max(error[star]);
            assert!((found.flux_electrons - flux[star]).abs() <= tolerance, "{star} {radius}");
            // sep keeps the variance in single precision.
            assert_near(found.flux_error_electrons, error[star], 1e-6, "error");
        }
    }
    for star in 0..x.len() {
        let column = (x[star] + 0.5).floor() as usize + 1;
        image.mask[[(y[star] + 0.5).floor() as usize, column.min(255)]] = mask_bits::BAD;
    }
    let expected = &oracle["masked_aperture"];
    let (radius, flux) = (number(&expected["radius"]), numbers(&expected["flux"]));
    for star in 0..x.len() {
        let found = aperture::measure(&image, &background, x[star], y[star], radius).unwrap();
        assert_near(found.flux_electrons, flux[star], 1e-9, "masked");
    }
}

#[test]
fn windowed_positions_agree_with_sep() {
    let oracle = oracle();
    let image = frame(&oracle);
    let background = plain(&oracle, &image);
    let planes = Planes::new(&image, &background).unwrap();
    let owners = Owners::default();
    let expected = &oracle["windowed"];
    let (x, y) = (numbers(&oracle["detection"]["x"]), numbers(&oracle["detection"]["y"]));
    let (xwin, ywin) = (numbers(&expected["x"]), numbers(&expected["y"]));
    let mut converged = 0;
    for star in 0..x.len() {
        let mut surroundings = Surroundings::new(&planes, &owners, 0, x[star], y[star]);
        let sigma = number(&expected["sigma"]);
        let Some(found) = windowed_centroid::measure(&mut surroundings, sigma, 5.0) else {
            continue;
        };
        converged += 1;
        // sep subsamples the pixels at the border of the window, where its weight is 3e-4, and ends its iteration at
        // steps of 2e-4 pixels, which for a slowly converging one leaves a little more.
        let distance = (found.x - xwin[star]).hypot(found.y - ywin[star]);
        assert!(distance < 2e-3, "{star}: {distance}");
    }
    // Those without light on balance, as the plain level is above the sky there, have no centroid.
    assert!(converged >= 20, "{converged} of {}", x.len());
}

#[test]
fn half_light_radii_agree_with_sep() {
    let oracle = oracle();
    let image = frame(&oracle);
    let background = plain(&oracle, &image);
    let planes = Planes::new(&image, &background).unwrap();
    let owners = Owners::default();
    let expected = &oracle["half_light"];
    let (x, y) = (numbers(&oracle["detection"]["x"]), numbers(&oracle["detection"]["y"]));
    let radii = numbers(&expected["radius"]);
    let totals = numbers(&expected["total"]);
    for star in 0..x.len() {
        let mut surroundings = Surroundings::new(&planes, &owners, 0, x[star], y[star]);
        let total_radius = number(&expected["total_radius"]);
        let found = half_light::radius_within(&mut surroundings, total_radius);
        // Where the plain level is above the sky, faint stars have no light on balance.
        assert_eq!(found.is_some(), totals[star] > 0.0, "{star}");
        if let Some(found) = found {
            // sep interpolates a curve of growth of 64 steps (0.125 pixels) linearly.
            assert!((found - radii[star]).abs() < 0.02, "{star}: {found} {}", radii[star]);
        }
    }
}

#[test]
fn kron_fluxes_agree_with_sep() {
    let oracle = oracle();
    let image = frame(&oracle);
    let background = plain(&oracle, &image);
    let planes = Planes::new(&image, &background).unwrap();
    let owners = Owners::default();
    let (detection, expected) = (&oracle["detection"], &oracle["kron"]);
    let of = |values: &Value, star: usize| numbers(values)[star];
    let mut measured = 0;
    for star in 0..numbers(&detection["x"]).len() {
        let place = (of(&detection["x"], star), of(&detection["y"], star));
        let axes =
            (of(&detection["a"], star), of(&detection["b"], star), of(&detection["theta"], star));
        let ellipse = Ellipse::new(place.0, place.1, axes.0, axes.1, axes.2).unwrap();
        let mut surroundings = Surroundings::new(&planes, &owners, 0, place.0, place.1);
        let moment = kron::first_moment(&mut surroundings, &ellipse);
        // sep says 0 where the plain level is above the sky and there is no light on balance.
        let first_moment = of(&expected["first_moment"], star);
        assert_eq!(moment.is_some(), first_moment > 0.0, "{star}");
        let Some(moment) = moment else { continue };
        measured += 1;
        assert_near(moment, first_moment, 1e-6, "first moment");
        let found = kron::measure(&mut surroundings, axes).unwrap();
        assert_near(found.radius, of(&expected["radius"], star), 1e-6, "radius");
        let (flux, error) = (of(&expected["flux"], star), of(&expected["error"], star));
        assert!((found.flux_electrons - flux).abs() <= 1e-6 * flux.abs().max(error), "{star}");
        assert_near(found.flux_error_electrons, error, 1e-5, "error");
    }
    assert_eq!(measured, 15, "of 24: the plain level lies above the sky of the others");
}

fn detected(oracle: &Value) -> Detections {
    let image = frame(oracle);
    let background = background::estimate(&image.data, &image.mask, 64);
    let threshold_sigma = number(&oracle["detection"]["threshold"]);
    let parameters = DetectionParameters { threshold_sigma, ..DetectionParameters::default() };
    detect(&image, &background, &parameters)
}

fn nearest(sources: &[Source], x: f64, y: f64) -> (&Source, f64) {
    let distance = |source: &Source| (source.x - x).hypot(source.y - y);
    let source =
        sources.iter().min_by(|a, b| distance(a).total_cmp(&distance(b))).expect("sources");
    (source, distance(source))
}

#[test]
fn detections_agree_with_sep() {
    let oracle = oracle();
    let found = detected(&oracle);
    let expected = &oracle["detection"];
    let (x, y) = (numbers(&expected["x"]), numbers(&expected["y"]));
    let (a, b) = (numbers(&expected["a"]), numbers(&expected["b"]));
    let pixels = numbers(&expected["pixels"]);
    assert_eq!(found.sources.len(), x.len());
    for star in 0..x.len() {
        let (source, distance) = nearest(&found.sources, x[star], y[star]);
        // sep's are isophotal centroids here, ours windowed.
        assert!(distance < 0.8, "{star}: {distance}");
        let blended = expected["blended"][star].as_bool().unwrap();
        let truncated = expected["truncated"][star].as_bool().unwrap();
        assert_eq!(source.flags.has(SourceFlags::BLENDED), blended, "{star}");
        if truncated {
            assert!(source.flags.has(SourceFlags::TRUNCATED), "{star}");
        }
        if !blended {
            // The same pixels up to some at the threshold, which the difference of the backgrounds (a few
            // thousandths of a deviation) and single precision move.
            let difference = (source.pixel_count as f64 - pixels[star]).abs();
            assert!(
                difference <= 1.0 + 0.02 * pixels[star],
                "{star}: {} pixels",
                source.pixel_count
            );
            assert_near(source.semi_major_pixels, a[star], 0.03, "major axis");
            assert_near(source.semi_minor_pixels, b[star], 0.03, "minor axis");
        } else {
            // Pixels between two peaks go to one by flooding here, by chance in the ratio of two Gaussians there.
            assert_near(source.semi_major_pixels, a[star], 0.25, "major axis");
            assert_near(source.semi_minor_pixels, b[star], 0.25, "minor axis");
        }
    }
}

#[test]
fn every_star_is_found_where_it_is() {
    let oracle = oracle();
    let found = detected(&oracle);
    let stars = stars(&oracle);
    for star in &stars[..23] {
        let (source, distance) = nearest(&found.sources, star.x, star.y);
        // Neighbours pull a window; alone, five standard errors or the thousandths of sampling.
        let alone = !source.flags.has(SourceFlags::BLENDED);
        let allowed = if alone { 5.0 * source.position_error_pixels + 0.01 } else { 0.3 };
        assert!(distance < allowed, "{star:?}: {distance}");
    }
    let fwhm = found.stellar_fwhm_pixels.unwrap();
    let truth = number(&oracle["fwhm"]);
    // A pixel adds to the width: 3 becomes 3.119 (see the star profile).
    assert_eq!(truth, 3.0);
    assert!((fwhm / 3.119 - 1.0).abs() < 0.01, "{fwhm}");
    // A Moffat profile of index 3: half of the light within 0.644 α = 0.63 FWHM, less what the total leaves out.
    assert!((1.1..1.3).contains(&(found.aperture_radius_pixels / truth)), "{found:?}");
}
