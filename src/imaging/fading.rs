//! Does a source fade? Weighted fit of a power law against a constant.

/// A flux at a time; any linear flux unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FluxPoint {
    /// Seconds after T0, > 0.
    pub seconds: f64,
    pub flux: f64,
    pub flux_error: f64,
}

/// F = F₆₀ (t / 60 s)^(−α).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PowerLaw {
    pub flux_at_60_seconds: f64,
    pub index: f64,
    pub index_error: f64,
    pub chi_square: f64,
    pub degrees_of_freedom: usize,
    /// χ² of the best constant.
    pub constant_chi_square: f64,
    pub point_count: usize,
}

/// Fits in flux (not magnitudes, so that points of low signal count rightly), with `relative_floor` of systematic error
/// added in quadrature (0.01 is one hundredth of the flux). `None` with fewer than two usable points.
pub fn fit_power_law(points: &[FluxPoint], relative_floor: f64) -> Option<PowerLaw> {
    let _ = (points, relative_floor);
    unimplemented!()
}
