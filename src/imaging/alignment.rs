//! Frame-to-frame alignment without a catalogue: triangles of bright sources, then a fit.

use crate::model::Source;

/// x' = a·x + b·y + c, y' = d·x + e·y + f, zero-based pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AffineTransform {
    pub a: f64,
    pub b: f64,
    pub c: f64,
    pub d: f64,
    pub e: f64,
    pub f: f64,
}

impl AffineTransform {
    pub const IDENTITY: Self = Self { a: 1.0, b: 0.0, c: 0.0, d: 0.0, e: 1.0, f: 0.0 };

    pub fn apply(&self, x: f64, y: f64) -> (f64, f64) {
        (self.a * x + self.b * y + self.c, self.d * x + self.e * y + self.f)
    }

    /// `None` when singular.
    pub fn inverse(&self) -> Option<Self> {
        unimplemented!()
    }
}

#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error(
    "the frame does not fit its reference: {votes} of {sources} bright sources agree (need {needed})"
)]
pub struct AlignmentFailure {
    pub votes: usize,
    pub sources: usize,
    pub needed: usize,
}

/// The transform that takes positions of `moved` to those of `reference`, with the number of matched sources and their
/// residual per axis (pixels). Any shift and rotation; scale within 2 %. Deterministic.
pub fn align(
    reference: &[Source],
    moved: &[Source],
) -> Result<(AffineTransform, usize, f64), AlignmentFailure> {
    let _ = (reference, moved);
    unimplemented!()
}
