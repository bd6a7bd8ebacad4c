//! Incremental stack: a new frame updates the running clipped, weighted mean in constant time.

use super::CalibratedImage;

/// A frame on the stack's grid, background-subtracted, in the stack's flux scale.
#[derive(Debug, Clone, Copy)]
pub struct StackInput<'a> {
    pub image: &'a CalibratedImage,
    /// Multiplies the data to bring it to the common zero point.
    pub scale: f64,
    /// Statistical weight (1 / variance of the sky after scaling).
    pub weight: f64,
}

/// Running stack. Per pixel: the first few values are kept until a robust start is possible, then sums that reject a new value farther
/// than `clip_sigma` from the running mean. Memory is stated by [`RunningStack::bytes_per_pixel`].
#[derive(Debug, Clone)]
pub struct RunningStack {
    shape: (usize, usize),
    clip_sigma: f64,
}

impl RunningStack {
    pub fn new(shape: (usize, usize), clip_sigma: f64) -> Self {
        Self { shape, clip_sigma }
    }

    pub fn bytes_per_pixel() -> usize {
        unimplemented!()
    }

    pub fn frame_count(&self) -> usize {
        let _ = (self.shape, self.clip_sigma);
        unimplemented!()
    }

    /// Adds one frame. Frames must come in the same order for the same result, bit for bit.
    pub fn add(&mut self, input: &StackInput<'_>) {
        let _ = input;
        unimplemented!()
    }

    /// The stack as it is: mean, variance of the mean, mask (NO_DATA where nothing was added).
    pub fn image(&self) -> CalibratedImage {
        unimplemented!()
    }
}
