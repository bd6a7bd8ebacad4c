//! Sources measured on one image.

use serde::{Deserialize, Serialize};

/// Flags of a measured source, with the bits of SExtractor's FLAGS where the meaning is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SourceFlags(pub u16);

impl SourceFlags {
    /// Has neighbours bright enough to bias the aperture.
    pub const CROWDED: u16 = 1;
    /// Was blended with another source.
    pub const BLENDED: u16 = 2;
    /// At least one pixel is saturated.
    pub const SATURATED: u16 = 4;
    /// Truncated by the image boundary.
    pub const TRUNCATED: u16 = 8;
    /// Aperture data incomplete (masked pixels in the aperture).
    pub const MASKED: u16 = 16;

    pub fn has(self, bit: u16) -> bool {
        self.0 & bit != 0
    }

    pub fn set(&mut self, bit: u16) {
        self.0 |= bit;
    }
}

/// One source on one image. Positions are zero-based pixels, fluxes electrons.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Source {
    pub x: f64,
    pub y: f64,
    /// Standard error of the centroid on each axis, pixels.
    pub position_error_pixels: f64,
    pub peak_electrons: f64,
    /// Background-subtracted flux in the photometric aperture.
    pub flux_electrons: f64,
    pub flux_error_electrons: f64,
    /// Radius of that aperture.
    pub aperture_radius_pixels: f64,
    /// Root mean square along the major and minor axis, pixels.
    pub semi_major_pixels: f64,
    pub semi_minor_pixels: f64,
    pub theta_radians: f64,
    /// Full width at half maximum, pixels: the diameter of half of the light, times what makes it that of the fitted profile for the
    /// stars of its frame.
    pub fwhm_pixels: f64,
    /// Radius of the circle that holds half of the light within 2.5 first-moment radii.
    pub half_light_radius_pixels: f64,
    /// Flux of the pixels above the threshold (FLUX_ISO of SExtractor).
    pub isophotal_flux_electrons: f64,
    pub isophotal_flux_error_electrons: f64,
    /// `None` for a source without light on balance.
    pub total: Option<TotalFlux>,
    /// By the point-spread function of its frame, where that was asked for and could be measured.
    pub point: Option<PointFlux>,
    /// Star or galaxy. `None` where the frame has too few stars to compare with.
    pub spread: Option<SpreadModel>,
    pub pixel_count: usize,
    pub flags: SourceFlags,
}

/// Flux of a point source at the place of the source: of an infinite aperture.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PointFlux {
    pub electrons: f64,
    pub error_electrons: f64,
    /// About 1 for a point source; large for galaxies, and for particle hits.
    pub reduced_chi_square: f64,
}

/// How much wider than the stars of its frame a source is: SPREAD_MODEL and SPREADERR_MODEL of SExtractor.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SpreadModel {
    /// About 0 for a star, positive for a galaxy, negative for a particle hit.
    pub value: f64,
    /// Standard error, from the noise of the pixels alone.
    pub error: f64,
}

/// Flux in the elliptical aperture of Kron (1980): FLUX_AUTO, FLUXERR_AUTO and KRON_RADIUS of SExtractor.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TotalFlux {
    pub electrons: f64,
    pub error_electrons: f64,
    /// Semi-axes of the aperture over those of the source.
    pub kron_radius: f64,
}

impl SpreadModel {
    /// Below this, what is wider than a star may be so because the profile varies over the frame.
    pub const LEAST_SPREAD: f64 = 0.003;

    /// Wider than a star: by 0.003 (Desai et al. 2012, §4.3) and by two standard errors.
    pub fn is_extended(self) -> bool {
        self.value > Self::LEAST_SPREAD.max(2.0 * self.error)
    }
}

impl Source {
    /// Flux over its error.
    pub fn signal_to_noise(&self) -> f64 {
        if self.flux_error_electrons > 0.0 {
            self.flux_electrons / self.flux_error_electrons
        } else {
            0.0
        }
    }
}
