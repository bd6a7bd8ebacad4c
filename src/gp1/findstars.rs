//! Sky background and sources of a reduced frame.

use super::settings::FindstarsParameters;
use crate::imaging::{
    CalibratedImage,
    background::{self, Background},
    detection::{Detections, detect},
    psf::PointSpread,
    psf_photometry::point_fluxes,
};

/// What was found.
#[derive(Debug, Clone)]
pub struct StarField {
    pub background: Background,
    pub detections: Detections,
    /// `None` where it was not asked for, or where there are too few stars.
    pub point_spread: Option<PointSpread>,
}

/// Estimates the background, finds the sources, and measures them with the point-spread function if that is asked for. A frame without stars gives an empty list.
pub fn find_stars(image: &CalibratedImage, parameters: &FindstarsParameters) -> StarField {
    let background = background::estimate(&image.data, &image.mask, parameters.mesh_pixels);
    let mut detections = detect(image, &background, &parameters.detection);
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
    StarField { background, detections, point_spread }
}
