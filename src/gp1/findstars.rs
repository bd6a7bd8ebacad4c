//! Sky background and sources of a reduced frame.

use super::settings::FindstarsParameters;
use crate::imaging::{
    CalibratedImage,
    background::{self, Background},
    detection::{Detections, detect},
};

/// What was found.
#[derive(Debug, Clone)]
pub struct StarField {
    pub background: Background,
    pub detections: Detections,
}

/// Estimates the background and finds the sources. A frame without stars gives an empty list.
pub fn find_stars(image: &CalibratedImage, parameters: &FindstarsParameters) -> StarField {
    let background = background::estimate(&image.data, &image.mask, parameters.mesh_pixels);
    let detections = detect(image, &background, &parameters.detection);
    StarField { background, detections }
}
