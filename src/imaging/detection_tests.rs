//! Detection on odd images, in bounded time, always alike.

use ndarray::ShapeBuilder;

use super::{
    CalibratedImage, Image, Mask,
    background::{self, Background},
    detection::{DetectionParameters, Detections, detect},
    mask_bits,
    synthetic::{self, Star},
};
use crate::model::SourceFlags;

fn find(image: &CalibratedImage) -> Detections {
    let background = background::estimate(&image.data, &image.mask, 64);
    detect(image, &background, &DetectionParameters::default())
}

fn image_of(data: Image) -> CalibratedImage {
    let shape = data.dim();
    CalibratedImage { data, variance: Image::ones(shape), mask: Mask::zeros(shape) }
}

#[test]
fn images_without_information_have_no_sources() {
    for shape in [(0, 0), (1, 1), (5, 5), (1, 300), (100, 100)] {
        for value in [0.0, 1000.0, f32::NAN, f32::INFINITY, f32::MAX, -f32::MAX] {
            let found = find(&image_of(Image::from_elem(shape, value)));
            assert!(found.sources.is_empty(), "{shape:?} {value}");
            assert_eq!(found.stellar_fwhm_pixels, None);
            assert_eq!(found.aperture_radius_pixels, 2.5);
        }
    }
    let stars = synthetic::scattered(10, (80, 80), 10.0, 1e4, 1e5, 1);
    let mut image = synthetic::frame((80, 80), &stars, 3.0, 100.0, 0.0, 2);
    assert!(find(&image).sources.len() >= 8);
    image.mask.fill(mask_bits::BAD);
    assert!(find(&image).sources.is_empty());
}

#[test]
fn planes_of_different_shapes_have_no_sources() {
    let image = image_of(Image::zeros((20, 20)));
    let other = background::estimate(&Image::zeros((9, 9)), &Mask::zeros((9, 9)), 64);
    assert!(detect(&image, &other, &DetectionParameters::default()).sources.is_empty());
}

#[test]
fn an_image_full_of_saturation_is_survived() {
    let stars = synthetic::scattered(10, (80, 80), 10.0, 1e4, 1e5, 1);
    let mut image = synthetic::frame((80, 80), &stars, 3.0, 100.0, 0.0, 2);
    image.mask.fill(mask_bits::SATURATED);
    for source in find(&image).sources {
        assert!(source.flags.has(SourceFlags::SATURATED));
    }
    // No sky to subtract: the whole image is one bright, saturated thing.
    let mut level = image_of(Image::from_elem((80, 80), 65535.0));
    level.mask.fill(mask_bits::SATURATED);
    let found = find(&level);
    assert_eq!(found.sources.len(), 1);
    assert!(found.sources[0].flags.has(SourceFlags::SATURATED | SourceFlags::TRUNCATED));
}

#[test]
fn sources_on_a_noiseless_sky_are_found_by_the_variance_plane() {
    let mut light = ndarray::Array2::zeros((60, 60));
    synthetic::add_stars(&mut light, &[Star { x: 30.3, y: 28.8, flux: 5000.0 }], 3.0, 6);
    let image = image_of(light.mapv(|value| value as f32));
    let background = Background {
        level: Image::zeros((60, 60)).into(),
        noise: Image::zeros((60, 60)).into(),
        global_level: 0.0,
        global_noise: 0.0,
    };
    let found = detect(&image, &background, &DetectionParameters::default());
    assert_eq!(found.sources.len(), 1);
    assert!((found.sources[0].x - 30.3).abs() < 0.01 && (found.sources[0].y - 28.8).abs() < 0.01);
}

#[test]
fn a_saturated_star_is_one_source() {
    let stars = [Star { x: 60.2, y: 60.7, flux: 3e6 }, Star { x: 20.0, y: 90.0, flux: 2e4 }];
    let mut image = synthetic::frame((120, 120), &stars, 3.5, 100.0, 0.0, 3);
    let mut generator = synthetic::Generator::new(8);
    for ((y, x), value) in image.data.indexed_iter_mut() {
        if *value > 40_000.0 {
            // A flat field makes ripples on what was cut off.
            *value = 40_000.0 * (1.0 + 0.02 * generator.normal()) as f32;
            image.mask[[y, x]] = mask_bits::SATURATED;
        }
    }
    let found = find(&image);
    let near: Vec<_> = found
        .sources
        .iter()
        .filter(|source| (source.x - 60.2).hypot(source.y - 60.7) < 25.0)
        .collect();
    assert_eq!(near.len(), 1);
    assert!(near[0].flags.has(SourceFlags::SATURATED));
    assert!((near[0].x - 60.2).hypot(near[0].y - 60.7) < 0.1);
    let other = found.sources.iter().find(|source| (source.x - 20.0).abs() < 1.0).unwrap();
    assert!(!other.flags.has(SourceFlags::SATURATED));
}

#[test]
fn a_crowded_field_is_capped_and_alike_every_time() {
    let shape = (300, 300);
    let stars = synthetic::scattered(6000, shape, 2.0, 500.0, 1e5, 17);
    let image = synthetic::frame(shape, &stars, 3.0, 100.0, 0.0, 4);
    let all = find(&image);
    assert!(all.sources.len() > 300, "{}", all.sources.len());
    assert_eq!(all.dropped_count, 0);
    let background = background::estimate(&image.data, &image.mask, 64);
    let few = DetectionParameters { maximum_sources: 100, ..DetectionParameters::default() };
    let capped = detect(&image, &background, &few);
    assert_eq!(capped.sources.len(), 100);
    assert_eq!(capped.dropped_count, all.sources.len() - 100);
    assert!(capped.sources.windows(2).all(|pair| pair[0].flux_electrons >= pair[1].flux_electrons));
    assert_eq!(detect(&image, &background, &few), capped);
    let crowded =
        all.sources.iter().filter(|source| source.flags.has(SourceFlags::CROWDED)).count();
    assert!(2 * crowded > all.sources.len(), "{crowded} of {}", all.sources.len());
}

#[test]
fn the_memory_layout_does_not_matter() {
    let stars = synthetic::scattered(12, (90, 110), 10.0, 3e3, 1e5, 1);
    let image = synthetic::frame((90, 110), &stars, 3.0, 100.0, 0.1, 2);
    let mut turned = Image::zeros((90, 110).f());
    turned.assign(&image.data);
    let fortran = CalibratedImage { data: turned, ..image.clone() };
    assert_eq!(find(&fortran), find(&image));
}

#[test]
fn masks_edges_and_cosmic_rays_are_flagged_or_ignored() {
    let stars = [
        Star { x: 30.0, y: 30.0, flux: 2e4 },
        Star { x: 1.0, y: 70.0, flux: 2e4 },
        Star { x: 75.0, y: 75.0, flux: 2e4 },
    ];
    let mut image = synthetic::frame((100, 100), &stars, 3.0, 100.0, 0.0, 6);
    image.mask[[31, 31]] = mask_bits::BAD;
    image.data[[31, 31]] = f32::NAN;
    // A masked hot pixel and a masked cosmic ray.
    image.mask[[50, 50]] = mask_bits::BAD;
    image.data[[50, 50]] = 1e6;
    for column in 60..66 {
        image.mask[[20, column]] = mask_bits::COSMIC;
        image.data[[20, column]] = 5e4;
    }
    let found = find(&image);
    let at = |x: f64, y: f64| {
        found.sources.iter().find(|source| (source.x - x).hypot(source.y - y) < 1.5)
    };
    let (masked, edge, clean) =
        (at(30.0, 30.0).unwrap(), at(1.0, 70.0).unwrap(), at(75.0, 75.0).unwrap());
    assert!(masked.flags.has(SourceFlags::MASKED));
    assert!((masked.x - 30.0).abs() < 0.1 && (masked.y - 30.0).abs() < 0.1);
    assert!(edge.flags.has(SourceFlags::TRUNCATED));
    assert_eq!(clean.flags, SourceFlags::default());
    assert!(at(50.0, 50.0).is_none() && at(62.5, 20.0).is_none());
}

#[test]
fn errors_are_the_scatter_of_the_fluxes() {
    let stars: Vec<Star> = (0..64)
        .map(|star| Star {
            x: 20.0 + 30.0 * f64::from(star % 8) + 0.1 * f64::from(star % 3),
            y: 20.0 + 30.0 * f64::from(star / 8) + 0.13 * f64::from(star % 5),
            flux: 4000.0,
        })
        .collect();
    let image = synthetic::frame((250, 250), &stars, 3.0, 200.0, 0.0, 12);
    let found = find(&image);
    let (mut squares, mut expected, mut count) = (0.0, 0.0, 0);
    let mut fluxes = Vec::new();
    for star in &stars {
        let source = found
            .sources
            .iter()
            .find(|source| (source.x - star.x).hypot(source.y - star.y) < 1.0)
            .unwrap();
        fluxes.push(source.flux_electrons);
        expected += source.flux_error_electrons.powi(2);
        count += 1;
    }
    let mean = fluxes.iter().sum::<f64>() / f64::from(count);
    for flux in fluxes {
        squares += (flux - mean).powi(2);
    }
    // 64 values: the scatter is known to 9 %.
    let ratio = (squares / expected).sqrt();
    assert!((0.75..1.3).contains(&ratio), "{ratio}");
}
