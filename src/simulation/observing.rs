//! The state of telescope and air during one exposure: dither, pointing error, rotation, seeing, transparency, sky.

use super::random::{Purpose, stream};
use crate::imaging::wcs::TangentPlane;
use crate::model::SkyPosition;
use rand::Rng;
use rand_distr::{Distribution, StandardNormal};
use std::f64::consts::{PI, TAU};

/// How well the telescope points and what the air does. The default is that of the simulated archive.
#[derive(Debug, Clone, PartialEq)]
pub struct ObservingParameters {
    pub scale_degrees: f64,
    /// Dithers are uniform within this of the target on each axis; the first exposure has none.
    pub dither_arcsec: f64,
    /// Least and greatest pointing error of a night, and its scatter from frame to frame.
    pub pointing_error_arcsec: (f64, f64),
    pub pointing_scatter_arcsec: f64,
    pub rotation_degrees: f64,
    pub rotation_scatter_degrees: f64,
    /// Full width at half maximum, best and worst.
    pub seeing_arcsec: (f64, f64),
    /// 1 − minor/major axis, largest.
    pub ellipticity: f64,
    /// β of the Moffat profile.
    pub moffat_beta: i32,
    /// Share of the light that the worst air takes.
    pub transparency_loss: f64,
    pub sky_electrons_per_second: f64,
    /// Relative rise and fall of the sky over the hour.
    pub sky_variation: f64,
    /// Relative difference of the sky from one edge of the frame to the other.
    pub sky_gradient: f64,
    pub trail_probability: f64,
    pub cosmic_rays_per_second: f64,
}

impl Default for ObservingParameters {
    fn default() -> Self {
        Self {
            scale_degrees: 0.000195,
            dither_arcsec: 30.0,
            pointing_error_arcsec: (25.0, 45.0),
            pointing_scatter_arcsec: 3.0,
            rotation_degrees: 0.1,
            rotation_scatter_degrees: 0.01,
            seeing_arcsec: (1.2, 2.5),
            ellipticity: 0.08,
            moffat_beta: 3,
            transparency_loss: 0.1,
            sky_electrons_per_second: 6.5,
            sky_variation: 0.09,
            sky_gradient: 0.03,
            trail_probability: 0.04,
            cosmic_rays_per_second: 0.5,
        }
    }
}

/// One exposure's state.
#[derive(Debug, Clone, PartialEq)]
pub struct Conditions {
    /// What the header says.
    pub nominal: TangentPlane,
    /// What is so.
    pub actual: TangentPlane,
    pub fwhm_arcsec: f64,
    pub ellipticity: f64,
    /// Of the long axis of star images, from the x axis, radians.
    pub elongation_angle: f64,
    pub transparency: f64,
    pub sky_electrons_per_second: f64,
    /// Of the brighter side of the sky, from the x axis, radians.
    pub gradient_angle: f64,
    pub has_trail: bool,
}

impl Conditions {
    /// Draws the conditions of frame `number` of a night. `target` is where the telescope is sent, `sequence` the place in
    /// its visit (0 has no dither), `size_pixels` columns and rows.
    pub fn draw(
        seed: u64,
        parameters: &ObservingParameters,
        number: u32,
        sequence: usize,
        target: SkyPosition,
        size_pixels: (usize, usize),
    ) -> Self {
        let (error_east, error_north) = pointing_error(seed, parameters);
        let mut generator = stream(seed, Purpose::Conditions, number);
        let mut normal = || -> f64 { StandardNormal.sample(&mut generator) };
        let scatter = parameters.pointing_scatter_arcsec;
        let east = error_east + scatter * normal();
        let north = error_north + scatter * normal();
        let rotation = (parameters.rotation_degrees
            + parameters.rotation_scatter_degrees * normal())
        .to_radians();
        let mut uniform = |low: f64, high: f64| low + (high - low) * generator.random::<f64>();
        let dither = if sequence == 0 { 0.0 } else { parameters.dither_arcsec };
        let pointed = target.offset_arcsec(uniform(-dither, dither), uniform(-dither, dither));
        let centre = ((size_pixels.0 as f64 - 1.0) / 2.0, (size_pixels.1 as f64 - 1.0) / 2.0);
        let nominal = TangentPlane::nominal(centre, pointed, parameters.scale_degrees);
        let (sin, cos) = rotation.sin_cos();
        let scale = parameters.scale_degrees;
        let actual = TangentPlane {
            reference_pixel: centre,
            reference_sky: pointed.offset_arcsec(east, north),
            cd: [[-scale * cos, scale * sin], [scale * sin, scale * cos]],
        };
        let fwhm_arcsec = uniform(parameters.seeing_arcsec.0, parameters.seeing_arcsec.1);
        let ellipticity = uniform(0.2, 1.0) * parameters.ellipticity;
        let elongation_angle = uniform(0.0, PI);
        // Slow thin clouds and a little scatter on top.
        let minutes = sequence as f64;
        let cloud = 0.5 - 0.5 * (TAU * minutes / 37.0).cos();
        let transparency = 1.0 - parameters.transparency_loss * (0.8 * cloud + uniform(0.0, 0.2));
        let sky_level = 1.0 + parameters.sky_variation * (TAU * minutes / 55.0).sin();
        Self {
            nominal,
            actual,
            fwhm_arcsec,
            ellipticity,
            elongation_angle,
            transparency,
            sky_electrons_per_second: parameters.sky_electrons_per_second * sky_level,
            gradient_angle: uniform(0.0, TAU),
            has_trail: uniform(0.0, 1.0) < parameters.trail_probability,
        }
    }
}

/// East and north error of the pointing model in a night.
fn pointing_error(seed: u64, parameters: &ObservingParameters) -> (f64, f64) {
    let mut generator = stream(seed, Purpose::Pointing, 0);
    let (least, greatest) = parameters.pointing_error_arcsec;
    let size = least + (greatest - least) * generator.random::<f64>();
    let (sin, cos) = (TAU * generator.random::<f64>()).sin_cos();
    (size * sin, size * cos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_stay_in_their_ranges_and_depend_on_the_number_only() {
        let parameters = ObservingParameters::default();
        let target = SkyPosition::new(30.2695, 24.5099);
        let draw = |number: u32| {
            Conditions::draw(1, &parameters, number, number as usize, target, (1024, 1024))
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        let all: Vec<Conditions> = (0..60).map(draw).collect();
        assert_eq!(all[0].nominal.reference_sky, target);
        for (number, one) in all.iter().enumerate() {
            assert!((1.2..=2.5).contains(&one.fwhm_arcsec));
            assert!((0.9..=1.0).contains(&one.transparency));
            assert!((5.9..7.1).contains(&one.sky_electrons_per_second));
            let error = one.actual.reference_sky.separation_arcsec(one.nominal.reference_sky);
            assert!((10.0..60.0).contains(&error), "{number}: {error}");
            let dither = one.nominal.reference_sky.separation_arcsec(target);
            assert!(dither <= 30.0 * 2f64.sqrt() + 1e-6);
            let angle = one.actual.cd[1][0].atan2(one.actual.cd[1][1]).to_degrees();
            assert!((angle - 0.1).abs() < 0.06, "{angle}");
        }
        let dithered =
            all.iter().filter(|one| one.nominal.reference_sky.separation_arcsec(target) > 10.0);
        assert!(dithered.count() > 40);
    }
}
