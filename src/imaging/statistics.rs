//! Robust statistics.

/// Median of the finite values; reorders the slice. `None` for none.
pub fn median_in_place(values: &mut [f32]) -> Option<f32> {
    let _ = values;
    unimplemented!()
}

/// Median and 1.4826 × median absolute deviation. `None` for no values.
pub fn median_and_deviation(values: &[f64]) -> Option<(f64, f64)> {
    let _ = values;
    unimplemented!()
}

/// Mean, median and standard deviation of a plane's finite values (all pixels, no clipping).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PlaneStatistics {
    pub mean: f64,
    pub median: f64,
    pub rms: f64,
}

/// Statistics of a whole plane.
pub fn plane_statistics(plane: &crate::imaging::Image) -> PlaneStatistics {
    let _ = plane;
    unimplemented!()
}
