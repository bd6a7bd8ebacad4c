//! Streams of random numbers, one per purpose and number, so that changing the count of one thing leaves the others alone.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// What a stream is drawn for. The numbers are part of what a seed means: append, never renumber.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Purpose {
    Afterglow = 1,
    BrightStar = 2,
    Star = 3,
    Galaxy = 4,
    NewSource = 5,
    Detector = 6,
    PixelResponse = 7,
    Pointing = 8,
    Conditions = 9,
    Photons = 10,
    CosmicRays = 11,
    Trail = 12,
    Catalogue = 13,
    Packets = 14,
    Sensors = 15,
}

/// The stream of a purpose and a number within it: ChaCha with 8 rounds, whose 64-bit stream number holds both.
pub fn stream(seed: u64, purpose: Purpose, index: u32) -> ChaCha8Rng {
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    generator.set_stream((u64::from(purpose as u32) << 32) | u64::from(index));
    generator
}

/// A seed of its own for the sky of another field seen in the same night.
pub fn other_field_seed(seed: u64) -> u64 {
    seed ^ 0x9e37_79b9_7f4a_7c15
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::Rng;

    #[test]
    fn streams_repeat_and_differ() {
        let draw = |seed, purpose, index| stream(seed, purpose, index).random::<u64>();
        let first = draw(1, Purpose::Star, 0);
        assert_eq!(first, draw(1, Purpose::Star, 0));
        assert_ne!(first, draw(1, Purpose::Star, 1));
        assert_ne!(first, draw(1, Purpose::Galaxy, 0));
        assert_ne!(first, draw(2, Purpose::Star, 0));
        assert_ne!(first, draw(other_field_seed(1), Purpose::Star, 0));
    }
}
