//! Sky background and sources of a reduced frame.

use super::settings::FindstarsParameters;
use crate::imaging::{
    CalibratedImage,
    background::{self, Background},
    detection::{Detections, detect},
    growth_curve::{self, ApertureCorrection},
    psf::PointSpread,
    psf_photometry::point_fluxes,
    settled_apertures,
    spread_model::{StarLook, spread_models},
};

/// What was found.
#[derive(Debug, Clone)]
pub struct StarField {
    pub background: Background,
    pub detections: Detections,
    /// `None` where it was not asked for, or where there are too few stars.
    pub point_spread: Option<PointSpread>,
    /// `None` with too few lone stars.
    pub aperture: Option<ApertureCorrection>,
}

/// Estimates the background, finds the sources, and measures them with the point-spread function if that is asked for. A frame without stars gives an empty list.
///
/// Stars and galaxies are told apart, if that is asked for, by that function, or by a profile read from the stars.
///
/// Where the share of a star's light in the aperture varies over the frame, fluxes in the aperture are brought to the share at its middle.
pub fn find_stars(image: &CalibratedImage, parameters: &FindstarsParameters) -> StarField {
    let background = background::estimate(&image.data, &image.mask, parameters.mesh_pixels);
    let mut detections = detect(image, &background, &parameters.detection);
    let is_radius_given = parameters.detection.aperture_radius_pixels.is_some();
    settled_apertures::settle(image, &background, &mut detections, is_radius_given);
    let aperture = detections.stellar_fwhm_pixels.and_then(|fwhm| {
        let radius = detections.aperture_radius_pixels;
        growth_curve::measure(image, &background, &detections.sources, radius, fwhm)
    });
    let point_spread = parameters
        .psf_photometry
        .then(|| PointSpread::fit(image, &background, &detections.sources))
        .flatten();
    if let Some(spread) = &point_spread {
        let fluxes = point_fluxes(image, &background, spread, &detections.sources);
        for (source, flux) in detections.sources.iter_mut().zip(fluxes) {
            source.point = flux;
        }
    }
    if let Some(fwhm) = detections.stellar_fwhm_pixels.filter(|_| parameters.spread_model) {
        let sources = &mut detections.sources;
        let look = match point_spread {
            Some(spread) => Some(StarLook::fitted(spread)),
            None => StarLook::round(image, &background, sources, fwhm),
        };
        if let Some(look) = look {
            let spreads = spread_models(image, &background, &look, sources, fwhm);
            for (source, spread) in sources.iter_mut().zip(spreads) {
                source.spread = spread;
            }
        }
    }
    if let Some(aperture) = &aperture {
        for source in &mut detections.sources {
            let share = aperture.relative_share(source.x, source.y);
            source.flux_electrons /= share;
            source.flux_error_electrons /= share;
        }
    }
    StarField { background, detections, point_spread, aperture }
}
