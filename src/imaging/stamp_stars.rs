//! Bright stars of an image in one pass, and how wide they are: enough for a kernel, where no table of sources is at hand.

use super::kernel_stamps::{Side, StampStar};
use super::matched_filter::FWHM_PER_SIGMA;
use super::{CalibratedImage, bands, statistics};

/// A peak counts from so many standard deviations of the sky on.
const THRESHOLD_SIGMAS: f32 = 15.0;
/// A peak is the highest pixel within this distance along both axes.
const PEAK_REACH: usize = 3;
/// The four pixels beside a peak have at least this share of it on average: a star of one and a half pixels; a cosmic ray has less.
const LEAST_NEIGHBOURS: f32 = 0.2;
/// The brightest stars that tell the width.
const WIDTH_STARS: usize = 200;
/// Pixels that tell level and noise of the sky.
const SKY_SAMPLES: usize = 40_000;

/// Peaks of good pixels that look like stars, brightest first; `flux` is the height of the peak above the sky.
pub fn bright_stars(image: &CalibratedImage) -> Vec<StampStar> {
    let side = Side::of(image);
    let Some((level, noise)) = sky(&side) else { return Vec::new() };
    let threshold = level + THRESHOLD_SIGMAS * noise;
    let lines: Vec<usize> = (PEAK_REACH..side.rows.saturating_sub(PEAK_REACH)).collect();
    let found = bands::map(&lines, |&row| {
        let own = side.data.get(row * side.columns..(row + 1) * side.columns).unwrap_or_default();
        let inner = PEAK_REACH..side.columns.saturating_sub(PEAK_REACH).max(PEAK_REACH);
        let high = inner.filter(|column| own.get(*column).is_some_and(|value| *value > threshold));
        high.filter_map(|column| star(&side, row, column, level)).collect::<Vec<_>>()
    });
    let mut stars = found.concat();
    stars.sort_by(|a, b| b.flux.total_cmp(&a.flux).then(a.y.total_cmp(&b.y)));
    stars
}

/// Full width at half maximum of stars, from the curvature of their peaks: that of the Gaussian with which they begin. `None` without
/// any star.
pub fn stellar_width(image: &CalibratedImage, stars: &[StampStar]) -> Option<f64> {
    let side = Side::of(image);
    let (level, _) = sky(&side)?;
    let mut widths: Vec<f32> = stars
        .iter()
        .take(WIDTH_STARS)
        .filter_map(|star| {
            let place = star.y.round() as usize * side.columns + star.x.round() as usize;
            let above = |offset: isize| {
                let place = place.checked_add_signed(offset)?;
                let (value, _) = side.pixel(place)?;
                let above = value + f64::from(side.level - level);
                (above > 0.0).then(|| above.ln())
            };
            let here = above(0)?;
            let along = |step: isize| Some(2.0 * here - above(-step)? - above(step)?);
            let curvature = (along(1)? + along(isize::try_from(side.columns).ok()?)?) / 2.0;
            (curvature > 0.0).then(|| (FWHM_PER_SIGMA / curvature.sqrt()) as f32)
        })
        .collect();
    statistics::median_in_place(&mut widths).map(f64::from)
}

/// Level and noise of the sky: median, and median deviation of what lies below it, where no star is.
fn sky(side: &Side<'_>) -> Option<(f32, f32)> {
    let step = (side.data.len() / SKY_SAMPLES).max(1) | 1;
    let pairs = side.data.iter().zip(side.mask.iter()).step_by(step);
    let good = pairs.filter(|(value, bits)| **bits == 0 && value.is_finite());
    let mut values: Vec<f32> = good.map(|(value, _)| *value).collect();
    let level = statistics::median_in_place(&mut values)?;
    let below = values.iter().filter(|value| **value <= level);
    let mut depths: Vec<f32> = below.map(|value| level - value).collect();
    let noise = 1.4826 * statistics::median_in_place(&mut depths)?;
    (noise > 0.0).then_some((level, noise))
}

/// The star whose peak is this pixel.
fn star(side: &Side<'_>, row: usize, column: usize, level: f32) -> Option<StampStar> {
    let at = |y: usize, x: usize| side.data.get(y * side.columns + x).copied();
    let value = at(row, column)?;
    side.pixel(row * side.columns + column)?;
    for y in row - PEAK_REACH..=row + PEAK_REACH {
        for x in column - PEAK_REACH..=column + PEAK_REACH {
            let other = at(y, x)?;
            let comes_first = (y, x) < (row, column);
            if other > value || (comes_first && other == value) {
                return None;
            }
        }
    }
    let (left, right) = (at(row, column - 1)?, at(row, column + 1)?);
    let (below, above) = (at(row - 1, column)?, at(row + 1, column)?);
    let height = value - level;
    let neighbours = (left + right + below + above) / 4.0 - level;
    if neighbours < LEAST_NEIGHBOURS * height {
        return None;
    }
    let offset = |before: f32, after: f32| {
        let shift = 0.5 * (before - after) / (before - 2.0 * value + after);
        if shift.is_finite() { f64::from(shift.clamp(-0.5, 0.5)) } else { 0.0 }
    };
    Some(StampStar {
        x: column as f64 + offset(left, right),
        y: row as f64 + offset(below, above),
        flux: f64::from(height),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imaging::{mask_bits, synthetic};

    #[test]
    fn stars_are_found_with_place_and_width_and_cosmic_rays_are_not() {
        let stars = [(40.3, 50.6, 30_000.0), (120.0, 80.2, 90_000.0), (70.0, 130.0, 60_000.0)];
        let stars = stars.map(|(x, y, flux)| synthetic::Star { x, y, flux });
        let mut image = synthetic::frame((180, 160), &stars, 3.0, 200.0, 0.0, 3);
        image.data[(20, 20)] = 50_000.0;
        image.mask[(130, 70)] = mask_bits::SATURATED;
        let found = bright_stars(&image);
        assert_eq!(found.len(), 2, "{found:?}");
        for (found, (x, y)) in found.iter().zip([(120.0, 80.2), (40.3, 50.6)]) {
            assert!((found.x - x).hypot(found.y - y) < 0.2, "{found:?}");
        }
        let width = stellar_width(&image, &found).unwrap();
        assert!((width / 3.0 - 1.0).abs() < 0.15, "{width}");
        assert_eq!(stellar_width(&image, &[]), None);
    }
}
