//! Images, masks, and the three planes that travel together.

use std::borrow::Cow;

use ndarray::Array2;

/// A plane of 32-bit floats, `[row, column]`.
pub type Image = Array2<f32>;

/// A plane of flag bits, see [`mask_bits`]; zero is a good pixel.
pub type Mask = Array2<u8>;

/// Bits of a [`Mask`].
pub mod mask_bits {
    /// Known bad: dead, hot, bad column.
    pub const BAD: u8 = 1;
    /// At or above saturation in the raw frame.
    pub const SATURATED: u8 = 2;
    /// Bled into from a saturated star.
    pub const BLEED: u8 = 4;
    /// Outside the input of a resampled image, or without any data in a stack.
    pub const NO_DATA: u8 = 8;
    /// Cosmic ray or trail.
    pub const COSMIC: u8 = 16;
}

/// The values of a plane row after row: as they lie where they lie so, which is nearly always, else a copy.
pub(crate) fn row_major<T: Copy>(plane: &Array2<T>) -> Cow<'_, [T]> {
    plane.as_slice().map_or_else(|| plane.iter().copied().collect(), Cow::Borrowed)
}

/// A reduced image: electrons, variance in electrons², mask. All three have one shape.
#[derive(Debug, Clone, PartialEq)]
pub struct CalibratedImage {
    pub data: Image,
    pub variance: Image,
    pub mask: Mask,
}

impl CalibratedImage {
    /// Rows, columns.
    pub fn shape(&self) -> (usize, usize) {
        self.data.dim()
    }
}
