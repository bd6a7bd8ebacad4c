//! Decoder of Rice-coded tiles of 16-bit pixels (FITS Standard 4.0, §10.4.1).

use crate::imaging::widest::widest;

/// Bits of the code word that says how the pixels of a block are split.
const SPLIT_BITS: u32 = 4;
/// Split of a block whose differences are stored as they are.
const UNSPLIT: u32 = 14;
const PIXEL_BITS: u32 = 16;
/// Bits that are at hand after a refill.
const AT_HAND: u32 = 56;

/// The bits of a stream, first ones highest. Past its end come zeros, which [`Bits::is_overrun`] tells.
struct Bits<'a> {
    bytes: &'a [u8],
    /// Next byte that is not counted as being in `window`.
    place: usize,
    window: u64,
    /// Bits of `window` that count; those below them are either zero or the ones that follow.
    count: u32,
}

impl Bits<'_> {
    /// Brings the count to at least [`AT_HAND`].
    #[inline(always)]
    fn refill(&mut self) {
        let rest = self.bytes.get(self.place..).unwrap_or_default();
        let word = match rest.first_chunk::<8>() {
            Some(bytes) => u64::from_be_bytes(*bytes),
            None => {
                rest.iter().zip((0..8).rev()).map(|(byte, at)| u64::from(*byte) << (8 * at)).sum()
            }
        };
        self.window |= word >> self.count;
        self.place += ((63 - self.count) >> 3) as usize;
        self.count |= AT_HAND;
    }

    /// Takes at most 32 bits, which must be at hand.
    #[inline(always)]
    fn take(&mut self, bits: u32) -> u32 {
        // In two steps: a shift by 64 is none.
        let value = (self.window >> 1 >> (63 - bits)) as u32;
        self.window <<= bits;
        self.count -= bits;
        value
    }

    fn is_overrun(&self) -> bool {
        (self.place as u64) * 8 - u64::from(self.count) > self.bytes.len() as u64 * 8
    }

    /// A number of zeros, closed by a one, of any length. `None` past the end.
    #[cold]
    fn long_run(&mut self) -> Option<u32> {
        let mut zeros = 0_u32;
        loop {
            self.refill();
            let here = self.window.leading_zeros();
            if here < self.count {
                self.window <<= here;
                self.window <<= 1;
                self.count -= here + 1;
                self.refill();
                return zeros.checked_add(here);
            }
            zeros = zeros.checked_add(self.count)?;
            self.window <<= self.count;
            self.count = 0;
            if self.is_overrun() {
                return None;
            }
        }
    }
}

widest! {
/// Decodes a tile into its stored 16-bit pixels. `None` if it is no sound tile of so many pixels in blocks of `block` pixels.
pub(super) fn decode<'a>(bytes: &'a [u8], block: usize, pixels: &'a mut [u16]) -> Option<()> {
    let (first, rest) = bytes.split_first_chunk::<2>()?;
    let mut last = u16::from_be_bytes(*first);
    let mut bits = Bits { bytes: rest, place: 0, window: 0, count: 0 };
    for pixels in pixels.chunks_mut(block.max(1)) {
        bits.refill();
        match bits.take(SPLIT_BITS) {
            0 => pixels.fill(last),
            split if split <= 5 => split_block::<4>(&mut bits, split - 1, &mut last, pixels)?,
            split if split <= UNSPLIT => {
                split_block::<2>(&mut bits, split - 1, &mut last, pixels)?;
            }
            _ => {
                for pixel in pixels {
                    bits.refill();
                    last = last.wrapping_add(difference(bits.take(PIXEL_BITS)));
                    *pixel = last;
                }
            }
        }
    }
    (!bits.is_overrun()).then_some(())
}
}

/// A block whose differences are a run of zeros for their high bits and `split` low bits. `GROUP` pixels are decoded between
/// refills, as long as their runs are short enough for it.
#[inline(always)]
fn split_block<const GROUP: usize>(
    bits: &mut Bits<'_>,
    split: u32,
    last: &mut u16,
    pixels: &mut [u16],
) -> Option<()> {
    let longest = AT_HAND / GROUP as u32 - 1 - split;
    for group in pixels.chunks_mut(GROUP) {
        bits.refill();
        for pixel in group {
            let zeros = bits.window.leading_zeros();
            let code = if zeros <= longest {
                bits.window <<= zeros + 1;
                bits.count -= zeros + 1;
                (zeros << split) | bits.take(split)
            } else {
                let zeros = bits.long_run()?;
                let code = zeros.wrapping_shl(split) | bits.take(split);
                bits.refill();
                code
            };
            *last = last.wrapping_add(difference(code));
            *pixel = *last;
        }
    }
    Some(())
}

/// Differences are stored as 0, −1, 1, −2, …
#[inline(always)]
fn difference(code: u32) -> u16 {
    ((code >> 1) ^ (code & 1).wrapping_neg()) as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use fitsio_pure::compress::{TileCompression, compress_image_hdu};
    use proptest::prelude::*;

    /// The tile of a row that another encoder wrote: all of the heap of a table of one tile.
    fn encoded(pixels: &[i16]) -> Vec<u8> {
        let hdu =
            compress_image_hdu(&[pixels.len()], pixels, &TileCompression::rice(), &[]).unwrap();
        let header = (0..hdu.len() / 2880)
            .find(|block| {
                hdu[block * 2880..(block + 1) * 2880]
                    .chunks(80)
                    .any(|card| card.starts_with(b"END  "))
            })
            .unwrap();
        let data = &hdu[(header + 1) * 2880..];
        let count = u32::from_be_bytes(data[..4].try_into().unwrap()) as usize;
        let start = u32::from_be_bytes(data[4..8].try_into().unwrap()) as usize;
        data[8 + start..8 + start + count].to_vec()
    }

    fn decoded(bytes: &[u8], count: usize) -> Option<Vec<i16>> {
        let mut pixels = vec![0; count];
        decode(bytes, 32, &mut pixels)?;
        Some(pixels.into_iter().map(u16::cast_signed).collect())
    }

    /// The example can be followed by hand: 7, 7, 8, 6 in one block with one low bit.
    #[test]
    fn a_tile_by_hand() {
        // 0x0007; split + 1 = 2; differences 0, 0, 1, −2 as codes 0, 0, 2, 3: 1·0, 1·0, 01·0, 01·1.
        let bits = "0010".to_owned() + "10" + "10" + "010" + "011";
        let mut bytes = vec![0, 7];
        let padded = format!("{bits:0<16}");
        bytes.extend(u16::from_str_radix(&padded, 2).unwrap().to_be_bytes());
        assert_eq!(decoded(&bytes, 4), Some(vec![7, 7, 8, 6]));
        assert_eq!(decoded(&bytes[..3], 4), None);
        assert_eq!(decoded(&[0], 1), None);
    }

    #[test]
    fn long_runs_and_all_splits() {
        for shift in 0..16 {
            let pixels: Vec<i16> = (0..300_u32)
                .map(|index| {
                    let noise = index.wrapping_mul(2_654_435_761) >> (16 + shift);
                    // Now and then a leap that makes a run of thousands of zeros.
                    if index % 97 == 96 { i16::MAX } else { noise as u16 as i16 }
                })
                .collect();
            assert_eq!(decoded(&encoded(&pixels), 300).as_deref(), Some(pixels.as_slice()));
        }
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded(
            pixels in prop::collection::vec(any::<i16>(), 1..200),
            shift in 0_u32..16,
        ) {
            let pixels: Vec<i16> = pixels.into_iter().map(|pixel| pixel >> shift).collect();
            prop_assert_eq!(decoded(&encoded(&pixels), pixels.len()), Some(pixels));
        }

        #[test]
        fn any_bytes_end(bytes in prop::collection::vec(any::<u8>(), 0..300), count in 0_usize..400) {
            let _ = decoded(&bytes, count);
        }

        #[test]
        fn a_stream_cut_short_is_no_tile(
            pixels in prop::collection::vec(-100_i16..100, 40..200),
            cut in 1_usize..20,
        ) {
            let bytes = encoded(&pixels);
            prop_assert_eq!(decoded(&bytes[..bytes.len() - cut], pixels.len()), None);
        }
    }
}
