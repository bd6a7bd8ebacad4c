//! What the keys of `simulation.toml` mean for the sky, the camera and the story.

use super::{
    CameraParameters, CatalogueParameters, SkyParameters, StoryParameters, sky::AfterglowParameters,
};
use crate::config::SimulationConfig;

/// The sky.
pub fn sky_parameters(config: &SimulationConfig) -> SkyParameters {
    let sky = &config.sky;
    let default = SkyParameters::default();
    let [brightest, faintest] = sky.new_source_magnitudes;
    let mut parameters = SkyParameters {
        field_centre: sky.centre(),
        star_count: sky.star_count,
        galaxy_count: sky.galaxy_count,
        new_source_count: sky.new_source_count,
        afterglow: Some(AfterglowParameters {
            magnitude_at_60_seconds: sky.afterglow.magnitude_at_60_seconds,
            decay_index: sky.afterglow.index,
            offset_arcsec: sky.afterglow.offset_arcsec.into(),
            host_magnitude: sky.afterglow.galaxy_magnitude,
            host_distance_arcsec: sky.afterglow.galaxy_offset_arcsec.into(),
        }),
        ..default
    };
    parameters.star_magnitudes.faintest = sky.magnitude_limit;
    parameters.galaxy_magnitudes.faintest = sky.magnitude_limit;
    parameters.new_source_magnitudes.brightest = brightest;
    parameters.new_source_magnitudes.faintest = faintest;
    parameters
}

/// The camera and the air.
pub fn camera_parameters(config: &SimulationConfig) -> CameraParameters {
    let sky = &config.sky;
    let mut camera = CameraParameters {
        zero_point: sky.zero_point,
        instrument: sky.instrument.clone(),
        filter: sky.filter.clone(),
        readout_seconds: config.story.readout_seconds,
        ..CameraParameters::default()
    };
    let detector = &mut camera.detector;
    detector.size_pixels = (sky.width_pixels, sky.height_pixels);
    detector.gain_electrons = sky.gain_electrons;
    detector.read_noise_electrons = sky.read_noise_electrons;
    detector.bias_level = sky.bias_level_dn;
    detector.dark_electrons_per_second = sky.dark_electrons_per_second;
    detector.stated_saturation = sky.saturation_dn;
    detector.bad_column_count = sky.bad_column_count;
    let observing = &mut camera.observing;
    observing.scale_degrees = sky.scale_degrees;
    observing.sky_electrons_per_second = sky.sky_electrons_per_second;
    observing.seeing_arcsec = sky.seeing_arcsec.into();
    observing.dither_arcsec = sky.dither_arcsec;
    observing.pointing_error_arcsec = sky.pointing_error_arcsec.into();
    observing.rotation_degrees = sky.rotation_degrees;
    observing.cosmic_rays_per_second = sky.cosmic_rays_per_second;
    observing.trail_probability = sky.satellite_trail_probability;
    camera
}

/// What happens when.
pub fn story_parameters(config: &SimulationConfig) -> StoryParameters {
    let story = &config.story;
    let arcminute = 1.0 / 60.0;
    StoryParameters {
        t0: story.t0,
        burst_number: story.burst_number,
        grm_seconds: story.grm_seconds,
        wakeup_seconds: story.eclairs_seconds,
        slewing_seconds: story.slewing_seconds,
        mxt_seconds: story.mxt_seconds,
        wakeup_radius_degrees: story.eclairs_radius_arcmin * arcminute,
        slewing_radius_degrees: story.slewing_radius_arcmin * arcminute,
        mxt_radius_degrees: story.mxt_radius_arcmin * arcminute,
        first_exposure_seconds: story.first_exposure_seconds,
        cadence_seconds: story.cadence_seconds,
        exposure_seconds: story.exposure_seconds,
        exposure_count: (story.duration_minutes * 60.0 / story.cadence_seconds).round() as usize,
        calibration_count: config.sky.calibration_frame_count,
        second_camera: Some(story.second_camera.clone()).filter(|name| !name.is_empty()),
        ..StoryParameters::default()
    }
}

/// What the local catalogue knows.
pub fn catalogue_parameters(config: &SimulationConfig) -> CatalogueParameters {
    CatalogueParameters {
        position_error_mas: config.catalogue.position_blur_arcsec * 1000.0,
        magnitude_error: config.catalogue.magnitude_blur,
        faintest_magnitude: config.catalogue.limit,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_configuration_is_the_default_sky() {
        let config = SimulationConfig::default();
        assert_eq!(sky_parameters(&config), SkyParameters::default());
        assert_eq!(catalogue_parameters(&config), CatalogueParameters::default());
        let camera = camera_parameters(&config);
        assert_eq!(camera.detector, CameraParameters::default().detector);
        assert_eq!(camera.observing, CameraParameters::default().observing);
        let story = story_parameters(&config);
        assert_eq!(story.exposure_count, 60);
        assert_eq!(story.burst_id(), "sb26110201");
    }
}
