//! Forced photometry against the truth of simulated frames.

use super::{
    CalibratedImage, Image, Mask,
    background::{self, Background},
    detection::{DetectionParameters, Detections, detect},
    mask_bits,
    psf::{PointSpread, forced_photometry},
    statistics,
    synthetic::{self, Star},
};

/// Stars on a lattice of 40 pixels, off the pixel centres.
fn lattice(count: u32, flux: impl Fn(u32) -> f64) -> Vec<Star> {
    let columns = (0..).find(|side| side * side >= count).unwrap_or(1);
    (0..count)
        .map(|star| Star {
            x: 30.0 + 40.0 * f64::from(star % columns) + 0.17 * f64::from(star % 6),
            y: 30.0 + 40.0 * f64::from(star / columns) + 0.13 * f64::from(star % 7),
            flux: flux(star),
        })
        .collect()
}

fn measured(image: &CalibratedImage) -> (Background, Detections, PointSpread) {
    let background = background::estimate(&image.data, &image.mask, 64);
    let found = detect(image, &background, &DetectionParameters::default());
    let psf = PointSpread::fit(image, &background, &found.sources).expect("stars");
    (background, found, psf)
}

#[test]
fn isolated_stars_have_their_flux_within_a_percent() {
    let stars = lattice(36, |star| 2e4 * 1.12f64.powi(star as i32));
    for fwhm in [2.3, 3.2] {
        let image = synthetic::frame((290, 290), &stars, fwhm, 150.0, 0.02, 77);
        let (background, found, psf) = measured(&image);
        let (mut ratios, mut apertures) = (Vec::new(), Vec::new());
        let radius = found.aperture_radius_pixels;
        for star in &stars {
            let forced =
                forced_photometry(&image, &background, &psf, star.x + 0.1, star.y - 0.1, true, &[])
                    .unwrap();
            let ratio = forced.flux_electrons / star.flux;
            let allowed = 0.01 + 3.0 * forced.flux_error_electrons / star.flux;
            assert!((ratio - 1.0).abs() < allowed, "{star:?}: {ratio}");
            assert!((forced.x - star.x).hypot(forced.y - star.y) < 0.05);
            ratios.push(ratio);
            let source = found
                .sources
                .iter()
                .find(|source| (source.x - star.x).hypot(source.y - star.y) < 1.0)
                .unwrap();
            apertures.push(source.flux_electrons / psf.aperture_correction(radius) / star.flux);
        }
        let (forced, _) = statistics::median_and_deviation(&ratios).unwrap();
        let (aperture, _) = statistics::median_and_deviation(&apertures).unwrap();
        assert!((forced - 1.0).abs() < 0.006, "{fwhm}: {forced}");
        // One scale: the aperture corrected by the same profile.
        assert!((aperture - 1.0).abs() < 0.01, "{fwhm}: {aperture}");
    }
}

/// Pulls (measured − true) / error of faint stars in a field of bright ones.
fn pulls(fit_position: bool, flux: f64) -> (f64, f64, f64) {
    let stars = lattice(100, |star| if star % 3 == 0 { 1e5 } else { flux });
    let image = synthetic::frame((450, 450), &stars, 3.0, 200.0, 0.0, 91);
    let (background, _, psf) = measured(&image);
    let (mut pulls, mut sum) = (Vec::new(), 0.0);
    for star in stars.iter().filter(|star| star.flux == flux) {
        let forced =
            forced_photometry(&image, &background, &psf, star.x, star.y, fit_position, &[])
                .unwrap();
        pulls.push((forced.flux_electrons - star.flux) / forced.flux_error_electrons);
        sum += forced.flux_electrons;
    }
    let count = pulls.len() as f64;
    let mean = pulls.iter().sum::<f64>() / count;
    let rms = (pulls.iter().map(|pull| (pull - mean).powi(2)).sum::<f64>() / count).sqrt();
    (mean, rms, sum / count)
}

#[test]
fn faint_stars_are_unbiased_and_errors_right() {
    // 66 stars of S/N 4 and 15: the mean pull is known to 0.12, its rms to 9 %.
    for flux in [600.0, 2500.0] {
        let (mean, rms, _) = pulls(false, flux);
        assert!(mean.abs() < 0.4, "{flux}: {mean}");
        assert!((0.75..1.25).contains(&rms), "{flux}: {rms}");
    }
    let (mean, rms, _) = pulls(true, 2500.0);
    assert!(mean.abs() < 0.5 && (0.75..1.25).contains(&rms), "{mean} {rms}");
}

#[test]
fn nothing_is_measured_as_nothing() {
    let stars = lattice(25, |_| 3e4);
    let image = synthetic::frame((230, 230), &stars, 3.0, 200.0, 0.0, 15);
    let (background, _, psf) = measured(&image);
    let mut pulls = Vec::new();
    for star in &stars {
        let (x, y) = ((star.x + 20.0).min(225.0), (star.y + 20.0).min(225.0));
        let forced = forced_photometry(&image, &background, &psf, x, y, false, &[]).unwrap();
        pulls.push(forced.flux_electrons / forced.flux_error_electrons);
    }
    let mean = pulls.iter().sum::<f64>() / pulls.len() as f64;
    assert!(mean.abs() < 0.6, "{mean}");
    assert!(pulls.iter().all(|pull| pull.abs() < 4.5), "{pulls:?}");
}

#[test]
fn neighbours_are_fitted_together() {
    let mut stars = lattice(25, |_| 6e4);
    stars.push(Star { x: 50.0, y: 50.4, flux: 20_000.0 });
    stars.push(Star { x: 53.6, y: 51.0, flux: 60_000.0 });
    let image = synthetic::frame((230, 230), &stars, 3.0, 150.0, 0.0, 8);
    let (background, _, psf) = measured(&image);
    let alone = forced_photometry(&image, &background, &psf, 50.0, 50.4, false, &[]).unwrap();
    // The list may hold the source itself, far ones and nonsense.
    let neighbours = [(50.0, 50.4), (53.6, 51.0), (200.0, 200.0), (f64::NAN, 50.0)];
    let together =
        forced_photometry(&image, &background, &psf, 50.0, 50.4, false, &neighbours).unwrap();
    assert!((together.flux_electrons / 20_000.0 - 1.0).abs() < 0.02, "{together:?}");
    assert!((alone.flux_electrons / 20_000.0 - 1.0).abs() > 0.2, "{alone:?}");
}

#[test]
fn masks_edges_and_missing_data() {
    let stars = lattice(25, |_| 6e4);
    let mut image = synthetic::frame((230, 230), &stars, 3.0, 150.0, 0.0, 8);
    let (background, _, psf) = measured(&image);
    let star = stars[6];
    let (row, column) = (star.y.round() as usize, star.x.round() as usize);
    image.data[[row, column]] = f32::NAN;
    image.data[[row + 1, column]] = 1e7;
    image.mask[[row + 1, column]] = mask_bits::COSMIC;
    let holed = forced_photometry(&image, &background, &psf, star.x, star.y, true, &[]).unwrap();
    assert!((holed.flux_electrons / star.flux - 1.0).abs() < 0.03, "{holed:?}");
    assert_eq!(holed.mask_bits, mask_bits::COSMIC | mask_bits::NO_DATA);
    for (x, y) in [(-1.0, 5.0), (5.0, 230.0), (f64::NAN, 5.0), (5.0, f64::INFINITY)] {
        assert_eq!(forced_photometry(&image, &background, &psf, x, y, true, &[]), None);
    }
    // On the corner a quarter of the profile is there: refused; on the edge half of it: measured.
    assert_eq!(forced_photometry(&image, &background, &psf, -0.4, -0.4, true, &[]), None);
    assert!(forced_photometry(&image, &background, &psf, 0.0, 100.0, true, &[]).is_some());
    for row in 90..130 {
        for column in 90..130 {
            image.mask[[row, column]] = mask_bits::BAD;
        }
    }
    assert_eq!(forced_photometry(&image, &background, &psf, 110.0, 110.0, true, &[]), None);
    for shape in [(0, 0), (1, 1), (5, 5)] {
        for value in [f32::NAN, 0.0, f32::MAX] {
            let image = CalibratedImage {
                data: Image::from_elem(shape, value),
                variance: Image::from_elem(shape, value),
                mask: Mask::zeros(shape),
            };
            let background = background::estimate(&image.data, &image.mask, 64);
            let forced =
                forced_photometry(&image, &background, &psf, 2.0, 2.0, true, &[(3.0, 3.0)]);
            if let Some(forced) = forced {
                assert!(
                    forced.flux_electrons.is_finite() && forced.flux_error_electrons.is_finite()
                );
            }
        }
    }
}
