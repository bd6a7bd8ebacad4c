//! Flux at given places of an image, whether or not a source is seen there.

use crate::imaging::{
    CalibratedImage, aperture::measure_star, background::Background,
    growth_curve::ApertureCorrection, star_profile::StarProfile,
    world_coordinates::WorldCoordinates,
};
use crate::model::{SkyPosition, Source};

/// An image to be measured, with the sources found on it.
#[derive(Clone, Copy)]
pub struct ForcedField<'a> {
    pub image: &'a CalibratedImage,
    pub background: &'a Background,
    pub sources: &'a [Source],
    pub wcs: &'a WorldCoordinates,
    pub fwhm_pixels: Option<f64>,
    pub aperture_radius_pixels: f64,
    pub response: FieldResponse,
}

/// How light counts over a frame: fluxes are brought to its middle, as those of its sources are.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct FieldResponse {
    pub aperture: Option<ApertureCorrection>,
    /// Of the zero point, magnitudes per pixel.
    pub slope: (f64, f64),
    /// The first pixel from the middle of the frame.
    pub middle: (f64, f64),
}

impl FieldResponse {
    /// Light at a place over light at the middle, by the slope of the zero point.
    pub fn of_scale(&self, x: f64, y: f64) -> f64 {
        let (dx, dy) = (x + self.middle.0, y + self.middle.1);
        10f64.powf(0.4 * (self.slope.0 * dx + self.slope.1 * dy))
    }

    /// The same by the share of a star in the aperture too.
    pub fn at(&self, x: f64, y: f64) -> f64 {
        self.of_scale(x, y) * self.aperture.map_or(1.0, |aperture| aperture.relative_share(x, y))
    }
}

/// A known object whose light is taken off.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Neighbour {
    pub position: SkyPosition,
    pub flux_electrons: f64,
    pub is_extended: bool,
}

/// Flux at one place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ForcedFlux {
    pub flux_electrons: f64,
    pub error_electrons: f64,
    /// The error without the photon noise of the source itself.
    pub sky_error_electrons: f64,
    pub mask_bits: u8,
}

/// Measures every place that is on the image.
pub fn measure_places(
    field: &ForcedField<'_>,
    places: &[SkyPosition],
    _neighbours: &[Neighbour],
) -> Vec<Option<ForcedFlux>> {
    let radius = field.aperture_radius_pixels;
    let fwhm = field.fwhm_pixels.unwrap_or(radius);
    let profile = StarProfile::measure(field.image, field.background, field.sources, radius, fwhm);
    places
        .iter()
        .map(|place| {
            let (x, y) = field.wcs.sky_to_pixel(*place).ok()?;
            let sum = measure_star(field.image, field.background, (x, y), radius, &profile)?;
            let share = field.response.at(x, y);
            let own = sum.flux_electrons.max(0.0);
            let sky = (sum.flux_error_electrons.powi(2) - own).max(1.0).sqrt();
            Some(ForcedFlux {
                flux_electrons: sum.flux_electrons / share,
                error_electrons: sum.flux_error_electrons / share,
                sky_error_electrons: sky / share,
                mask_bits: sum.mask_bits,
            })
        })
        .collect()
}
