//! Photometric zero point of a frame against catalogue magnitudes.

/// One star: flux in electrons per second with its error, and the catalogue magnitude with its error.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CalibrationStar {
    pub flux: f64,
    pub flux_error: f64,
    pub magnitude: f64,
    pub magnitude_error: f64,
}

/// m = zero point − 2.5 log₁₀(electrons per second).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ZeroPoint {
    pub value: f64,
    /// Standard error of the value.
    pub error: f64,
    /// Robust scatter of the stars about it.
    pub scatter: f64,
    pub star_count: usize,
}

/// Weighted fit with clipping about the median. `None` with fewer than `minimum_stars` after clipping.
pub fn fit(stars: &[CalibrationStar], minimum_stars: usize) -> Option<ZeroPoint> {
    let _ = (stars, minimum_stars);
    unimplemented!()
}
