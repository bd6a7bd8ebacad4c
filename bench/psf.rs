//! The point-spread function of a frame, step by step: of a reduced frame that is given, else of one of the default sky (1024²).
//!
//! `GIC_BENCH_FRAME=frame_reduced.fits cargo bench --bench psf`

use criterion::{Criterion, criterion_group, criterion_main};
use gic::{
    config::SimulationConfig,
    fits::{FitsStore, cfitsio::Cfitsio},
    imaging::{
        CalibratedImage, Image,
        background::estimate,
        calibration::{ReductionInputs, reduce},
        detection::{DetectionParameters, detect},
        psf::PointSpread,
        psf_photometry::point_fluxes,
        spread_model::{StarLook, spread_models},
    },
    simulation::{
        SyntheticNight,
        from_config::{camera_parameters, sky_parameters, story_parameters},
    },
};
use std::{ffi::OsString, hint::black_box, path::Path};

fn synthetic() -> CalibratedImage {
    let config = SimulationConfig::default();
    let sky = sky_parameters(&config);
    let night = SyntheticNight::new(
        config.seed,
        &sky,
        camera_parameters(&config),
        story_parameters(&config),
    )
    .expect("the default night");
    let raw = night.object_frame(3).expect("a frame of the night").data;
    let bias = night.calibration(0).expect("a bias frame").data;
    reduce(&ReductionInputs {
        raw: &raw,
        bias: Some(&bias),
        dark_per_second: None,
        flat: Some(&Image::from_elem(raw.dim(), 1.0)),
        bad_pixels: None,
        exposure_seconds: 50.0,
        gain_electrons: 6.2,
        read_noise_electrons: 8.0,
        saturation: 7000.0,
    })
    .expect("planes of one shape")
}

/// Image, variance and mask, as `gic reduction` writes them.
fn given(path: OsString) -> CalibratedImage {
    let images = Cfitsio.read_images(Path::new(&path)).expect("a reduced frame");
    let plane = |name: &str| {
        let found = images.iter().find(|(extension, _)| extension == name);
        found.map(|(_, image)| image.data.clone()).expect("a plane of a reduced frame")
    };
    CalibratedImage {
        data: images.first().map(|(_, image)| image.data.clone()).expect("an image"),
        variance: plane("VARIANCE"),
        mask: plane("MASK").mapv(|bits| bits as u8),
    }
}

fn psf(criterion: &mut Criterion) {
    let image = std::env::var_os("GIC_BENCH_FRAME").map_or_else(synthetic, given);
    let background = estimate(&image.data, &image.mask, 64);
    let found = detect(&image, &background, &DetectionParameters::default());
    let spread = PointSpread::fit(&image, &background, &found.sources).expect("stars");
    println!("{} sources, {} stars in the fit", found.sources.len(), spread.star_count());

    let mut group = criterion.benchmark_group("point-spread function");
    group.sample_size(10);
    group.bench_function("fit", |bench| {
        bench.iter(|| black_box(PointSpread::fit(&image, &background, &found.sources)));
    });
    group.bench_function("fluxes of all sources", |bench| {
        bench.iter(|| black_box(point_fluxes(&image, &background, &spread, &found.sources).len()));
    });
    if let Some(fwhm) = found.stellar_fwhm_pixels {
        let sources = &found.sources;
        for (name, look) in [
            ("spread models, fitted profile", Some(StarLook::fitted(spread))),
            ("spread models, round profile", StarLook::round(&image, &background, sources, fwhm)),
        ] {
            let Some(look) = look else { continue };
            group.bench_function(name, |bench| {
                bench.iter(|| {
                    black_box(spread_models(&image, &background, &look, sources, fwhm).len())
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, psf);
criterion_main!(benches);
