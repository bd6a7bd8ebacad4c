//! Overscan: its level is taken off row by row, and what does not see the sky is cut away.

use crate::fits::Header;
use crate::imaging::{Image, statistics::median_in_place};
use crate::model::{CameraTraits, PixelSection};
use ndarray::s;

/// What was done, for HISTORY; empty for frames without sections.
pub type SectionHistory = Vec<String>;

/// The part that sees the sky, and the overscan, of a frame of these rows and columns; those that do not lie within it are none.
pub(super) fn sections_within(
    camera: &CameraTraits,
    shape: (usize, usize),
) -> (Option<PixelSection>, Option<PixelSection>) {
    let within = |section: &Option<PixelSection>| section.filter(|each| each.is_within(shape));
    (within(&camera.data_section), within(&camera.overscan_section))
}

/// Whether all of a frame sees the sky, so that [`cut`] leaves it as it is.
pub fn is_whole(camera: &CameraTraits, shape: (usize, usize)) -> bool {
    let (sky, overscan) = sections_within(camera, shape);
    overscan.is_none() && sky.is_none_or(|sky| sky.shape() == shape)
}

/// The part of a raw frame that sees the sky, less the median of the overscan in each row. Sections that do not lie within the
/// frame, as in one that was cut already, change nothing. Coordinates in the header follow the cut.
pub fn cut(
    data: Image,
    header: Option<&mut Header>,
    camera: &CameraTraits,
) -> (Image, SectionHistory) {
    let (sky, overscan) = sections_within(camera, data.dim());
    let mut history = Vec::new();
    let mut data = data;
    if let Some(overscan) = overscan {
        let strip = data.slice(s![.., overscan.first_column - 1..overscan.last_column]).to_owned();
        let rows = overscan.first_row - 1..overscan.last_row;
        // Where the strip does not stand beside a row, the level of the whole strip serves.
        let mut all: Vec<f32> = strip.slice(s![rows.clone(), ..]).iter().copied().collect();
        let whole = median_in_place(&mut all).unwrap_or(0.0);
        for (row, (mut values, beside)) in data.rows_mut().into_iter().zip(strip.rows()).enumerate()
        {
            let own = if rows.contains(&row) {
                median_in_place(&mut beside.to_vec()).unwrap_or(whole)
            } else {
                whole
            };
            values.mapv_inplace(|value| value - own);
        }
        history.push(format!("reduction: overscan of {whole} adu taken off row by row"));
    }
    let Some(sky) = sky.filter(|sky| sky.shape() != data.dim()) else { return (data, history) };
    let part = data
        .slice(s![sky.first_row - 1..sky.last_row, sky.first_column - 1..sky.last_column])
        .to_owned();
    if let Some(header) = header {
        for (keyword, cut) in [("CRPIX1", sky.first_column - 1), ("CRPIX2", sky.first_row - 1)] {
            if let Some(pixel) = header.number(keyword) {
                header.set(keyword, pixel - cut as f64, "reference pixel");
            }
        }
    }
    history.push(format!(
        "reduction: cut to columns {} to {}, rows {} to {}",
        sky.first_column, sky.last_column, sky.first_row, sky.last_row
    ));
    (part, history)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn camera(data: &str, overscan: &str) -> CameraTraits {
        CameraTraits {
            data_section: PixelSection::parse(data),
            overscan_section: PixelSection::parse(overscan),
            ..CameraTraits::default()
        }
    }

    /// Four columns of overscan, then ten of sky; each row has its own offset.
    fn raw() -> Image {
        Image::from_shape_fn((6, 14), |(row, column)| {
            let light = if column >= 4 { 50.0 + column as f32 } else { 0.0 };
            300.0 + 2.0 * row as f32 + light
        })
    }

    #[test]
    fn the_overscan_is_taken_off_and_cut_away() {
        let mut header = Header::new();
        header.set("CRPIX1", 8.5, "");
        header.set("CRPIX2", 3.0, "");
        let (part, history) = cut(raw(), Some(&mut header), &camera("[5:14,2:6]", "[1:4,1:6]"));
        assert_eq!(part.dim(), (5, 10));
        for ((_, column), value) in part.indexed_iter() {
            assert_eq!(*value, 54.0 + column as f32);
        }
        assert_eq!((header.number("CRPIX1"), header.number("CRPIX2")), (Some(4.5), Some(2.0)));
        assert_eq!(history.len(), 2);
    }

    #[test]
    fn sections_that_do_not_fit_change_nothing() {
        for (data, overscan) in [("", ""), ("[5:99,1:6]", "[90:99,1:6]"), ("[1:14,1:6]", "")] {
            let (part, history) = cut(raw(), None, &camera(data, overscan));
            assert_eq!(part, raw());
            assert!(history.is_empty());
        }
    }
}
