//! A reduced frame written while its rows are made: no plane of floats is ever in memory.

use super::layout::{self, PlaneForm, PlanePlace};
use super::plain_files::{
    PIECE, each_pixel, fill, float_bytes, padded_header, write_piece, write_pixels,
};
use super::structure::padded;
use super::{FinishImage, MadeImage, checksum};
use crate::imaging::{Mask, bands};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

const FLOATS: PlaneForm = (-32, false);
const BITS: PlaneForm = (8, false);

/// Writes the new file: image, variance, mask, as [`super::plain_files`] writes whole planes.
pub(super) fn write(
    path: &Path,
    image: &MadeImage<'_>,
    finish: &mut FinishImage<'_>,
) -> io::Result<()> {
    let primary = PlanePlace::Primary { has_extensions: true };
    let cards = |name: &str, header, form, place| {
        layout::plane_records(name, header, form, image.shape, place).map_err(io::Error::other)
    };
    let room = padded_header(cards("", image.expected, FLOATS, primary)?.len());
    let (name, header) = image.variance;
    let variance = cards(name, header, FLOATS, PlanePlace::Extension)?;
    let (name, header) = image.mask;
    let mask = cards(name, header, BITS, PlanePlace::Extension)?;
    let pixels = (image.shape.0 * image.shape.1) as u64;
    let variance_place = room + padded(4 * pixels);
    let variance_start = variance_place + padded_header(variance.len());

    let file = File::options().write(true).create_new(true).open(path)?;
    let mut bits = Mask::zeros(image.shape);
    let [data_sum, variance_sum] =
        write_rows(&file, image, [room, variance_start], bits.as_slice_mut().unwrap_or_default())?;
    fill(&file, room, 4 * pixels)?;
    let mask_place = fill(&file, variance_start, 4 * pixels)?;
    file.write_all_at(&layout::summed_header(&variance, variance_sum), variance_place)?;

    let header = finish(&mut bits).map_err(io::Error::other)?;
    let mask_start = mask_place + padded_header(mask.len());
    let flags = bits.as_slice().unwrap_or_default();
    let (mask_sum, length) = write_pixels(&file, mask_start, flags, each_pixel(|value| [value]))?;
    fill(&file, mask_start, length)?;
    file.write_all_at(&layout::summed_header(&mask, mask_sum), mask_place)?;
    let records = cards("", &header, FLOATS, primary)?;
    if padded_header(records.len()) != room {
        return Err(io::Error::other("the header is not of the length that was expected"));
    }
    file.write_all_at(&layout::summed_header(&records, data_sum), 0)
}

/// Makes the rows, shared out among the cores, and writes values and variances where they belong; the checksums of both.
fn write_rows(
    file: &File,
    image: &MadeImage<'_>,
    starts: [u64; 2],
    mask: &mut [u8],
) -> io::Result<[u32; 2]> {
    let (height, width) = (image.shape.0, image.shape.1.max(1));
    let per_piece = (PIECE / 4 / width).max(1);
    let per_band = bands::rows_per_band(height, width);
    let jobs = mask.chunks_mut(per_band * width).enumerate().collect();
    let outcomes = bands::each(jobs, |(number, mask): (usize, &mut [u8])| -> io::Result<_> {
        let mut planes = [0, 1].map(|_| vec![0.0; per_piece * width]);
        let mut bytes = vec![0; per_piece * width * 4];
        let mut sums = [0; 2];
        for (index, mask) in mask.chunks_mut(per_piece * width).enumerate() {
            let first_row = number * per_band + index * per_piece;
            let [values, variances] = &mut planes;
            let values = values.get_mut(..mask.len()).unwrap_or_default();
            let variances = variances.get_mut(..mask.len()).unwrap_or_default();
            (image.make)(first_row, values, variances, mask).map_err(io::Error::other)?;
            let place = (first_row * width * 4) as u64;
            for ((plane, start), sum) in [values, variances].into_iter().zip(starts).zip(&mut sums)
            {
                *sum = write_piece(file, start + place, plane, &mut bytes, *sum, float_bytes)?;
            }
        }
        Ok(sums)
    });
    let mut totals = [0; 2];
    for sums in outcomes {
        for (total, sum) in totals.iter_mut().zip(sums?) {
            *total = checksum::accumulate(*total, &sum.to_be_bytes());
        }
    }
    Ok(totals)
}
