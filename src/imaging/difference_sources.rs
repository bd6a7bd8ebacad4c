//! What stands out of a difference image, brighter or fainter than before, with what tells a star from an artefact.

use super::matched_filter::FWHM_PER_SIGMA;
use super::subtraction::Difference;
use super::{CalibratedImage, bands, statistics};

/// Settings of [`find`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DifferenceSearch {
    /// Least significance, of either sign.
    pub threshold_sigma: f64,
    /// The most sources kept, most significant first: a bound on time and memory.
    pub maximum_sources: usize,
}

impl Default for DifferenceSearch {
    fn default() -> Self {
        Self { threshold_sigma: 5.0, maximum_sources: 20_000 }
    }
}

/// A point source of a difference.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DifferenceSource {
    /// Zero-based pixels.
    pub x: f64,
    pub y: f64,
    /// Standard error of each coordinate, pixels: that of a Gaussian in even noise.
    pub position_error: f64,
    /// Signed: negative for what has become fainter.
    pub significance: f64,
    /// Electrons of the new image, of the same sign; the error holds the noise of both images.
    pub flux_electrons: f64,
    pub flux_error: f64,
    /// Light of the other sign nearby over that of this sign: near one where a star was subtracted out of place.
    pub opposite_share: f64,
    /// How far the middle pixel rises above its neighbours, over how far that of a star of this flux would: well above one for a
    /// cosmic ray, below it for what is broad.
    pub sharpness: f64,
    /// Share of a star's light here that falls on masked pixels.
    pub masked_share: f64,
    /// Distance of the next masked pixel, if there is one within three widths.
    pub masked_distance: Option<f64>,
    /// Flux over that of the star that was subtracted here; infinite where there was none.
    pub changed_share: f64,
}

/// Sources, most significant first.
#[derive(Debug, Clone, PartialEq)]
pub struct DifferenceSources {
    pub sources: Vec<DifferenceSource>,
    /// Peaks beyond `maximum_sources`, left out.
    pub dropped_count: usize,
}

/// Finds and measures the peaks of the significance of a difference, and of its negative, each the highest within a stellar width.
/// `new` is the image it was made of.
pub fn find(
    difference: &Difference,
    new: &CalibratedImage,
    search: &DifferenceSearch,
) -> DifferenceSources {
    let shape = difference.significance.dim();
    let (rows, columns) = shape;
    let planes = Planes { difference, new, columns };
    let is_whole = difference.image.shape() == shape && new.shape() == shape;
    let threshold = search.threshold_sigma.max(1.0) as f32;
    let lines: Vec<usize> = (0..if is_whole { rows } else { 0 }).collect();
    let reach = (difference.fwhm_pixels.round() as usize).clamp(1, 16);
    let peaks = bands::map(&lines, |&row| {
        let values = difference.significance.row(row);
        let high = values.iter().enumerate().filter(|(_, value)| value.abs() >= threshold);
        high.map(|(column, value)| (row, column, *value))
            .filter(|peak| planes.is_highest(*peak, reach))
            .collect::<Vec<_>>()
    });
    let mut peaks = peaks.concat();
    peaks.sort_by(|a, b| b.2.abs().total_cmp(&a.2.abs()).then(a.0.cmp(&b.0)).then(a.1.cmp(&b.1)));
    let dropped_count = peaks.len().saturating_sub(search.maximum_sources);
    peaks.truncate(search.maximum_sources);
    let sources = bands::map(&peaks, |(row, column, value)| planes.source(*row, *column, *value));
    DifferenceSources { sources, dropped_count }
}

struct Planes<'a> {
    difference: &'a Difference,
    new: &'a CalibratedImage,
    columns: usize,
}

/// Radius within which light of the other sign counts, and of the ring of the surroundings, in stellar widths.
const DIPOLE_WIDTHS: f64 = 1.5;
const RING_WIDTHS: f64 = 3.0;
/// Pixels below so many of their standard deviations are noise, to whichever sign they lean.
const DIPOLE_SIGMAS: f64 = 1.5;

impl Planes<'_> {
    fn significance(&self, row: usize, column: usize) -> f32 {
        self.difference.significance.get((row, column)).copied().unwrap_or_default()
    }

    /// Whether no pixel of the same sign within `reach` is higher; of equal ones the first.
    fn is_highest(&self, (row, column, value): (usize, usize, f32), reach: usize) -> bool {
        let sign = value.signum();
        (row.saturating_sub(reach)..=row + reach).all(|y| {
            (column.saturating_sub(reach)..=column + reach).all(|x| {
                let other = sign * self.significance(y, x);
                let comes_first = (y, x) < (row, column);
                if comes_first { other < value.abs() } else { other <= value.abs() }
            })
        })
    }

    /// The peak of the parabola through a pixel and its neighbours, from the pixel.
    fn offset(before: f32, here: f32, after: f32) -> f64 {
        let curve = f64::from(before) - 2.0 * f64::from(here) + f64::from(after);
        let shift = 0.5 * (f64::from(before) - f64::from(after)) / curve;
        if shift.is_finite() { shift.clamp(-0.6, 0.6) } else { 0.0 }
    }

    fn source(&self, row: usize, column: usize, value: f32) -> DifferenceSource {
        let at = |dy: isize, dx: isize| {
            let (row, column) = (row.wrapping_add_signed(dy), column.wrapping_add_signed(dx));
            // Masked neighbours are zero: no slope towards them.
            match self.significance(row, column) {
                0.0 => value,
                other => other,
            }
        };
        let x = column as f64 + Self::offset(at(0, -1), value, at(0, 1));
        let y = row as f64 + Self::offset(at(-1, 0), value, at(1, 0));
        let width = self.difference.fwhm_pixels;
        let sigma = width / FWHM_PER_SIGMA;
        let of_difference = |place| self.difference.image.data.get(place).map(|v| f64::from(*v));
        let star = self.point(x, y, of_difference);
        let flux = star.flux / self.difference.response;
        let significance = f64::from(value);
        let ring = self.ring_level(x, y, RING_WIDTHS * width);
        let was = self.point(x, y, |place| Some(self.subtracted(place)? - ring)).flux;
        let was = was / self.difference.response;
        DifferenceSource {
            x,
            y,
            position_error: std::f64::consts::SQRT_2 * sigma / significance.abs(),
            significance,
            flux_electrons: flux,
            flux_error: (flux / significance).abs(),
            opposite_share: self.opposite_share(x, y, significance.signum()),
            sharpness: self.sharpness(row, column, &star, sigma),
            masked_share: star.masked_share,
            masked_distance: self.masked_distance(row, column),
            changed_share: if was > 0.0 { flux.abs() / was } else { f64::INFINITY },
        }
    }

    /// What was subtracted from the new image, background included.
    fn subtracted(&self, place: (usize, usize)) -> Option<f64> {
        let (new, left) = (self.new.data.get(place)?, self.difference.image.data.get(place)?);
        Some(f64::from(new - left))
    }

    /// Pixels within `reach` of a place that are on the image.
    fn near(&self, x: f64, y: f64, reach: f64) -> impl Iterator<Item = (usize, usize)> + use<> {
        let range = move |centre: f64, length: usize| {
            let first = (centre - reach).ceil().max(0.0) as usize;
            let last = ((centre + reach).floor().max(-1.0) + 1.0) as usize;
            first..last.min(length)
        };
        let columns = range(x, self.columns);
        range(y, self.difference.significance.nrows())
            .flat_map(move |row| columns.clone().map(move |column| (row, column)))
    }

    fn is_good(&self, place: (usize, usize)) -> bool {
        self.difference.image.mask.get(place).is_some_and(|bits| *bits == 0)
    }

    /// A Gaussian of the stellar width fitted to the good pixels here.
    fn point(&self, x: f64, y: f64, value: impl Fn((usize, usize)) -> Option<f64>) -> Point {
        let sigma = self.difference.fwhm_pixels / FWHM_PER_SIGMA;
        let places = self.near(x, y, 2.5 * sigma).map(|place| (place, self.is_good(place)));
        point(places, (x, y), sigma, value)
    }

    /// Median of what was subtracted on a ring.
    fn ring_level(&self, x: f64, y: f64, radius: f64) -> f64 {
        let mut values: Vec<f32> = self
            .near(x, y, radius + 1.0)
            .filter(|(row, column)| {
                let distance = (*column as f64 - x).hypot(*row as f64 - y);
                (distance - radius).abs() <= 1.0
            })
            .filter(|place| self.is_good(*place))
            .filter_map(|place| self.subtracted(place).map(|value| value as f32))
            .collect();
        statistics::median_in_place(&mut values).map_or(0.0, f64::from)
    }

    fn opposite_share(&self, x: f64, y: f64, sign: f64) -> f64 {
        let image = &self.difference.image;
        let (mut same, mut opposite) = (0.0, 0.0);
        for place in self.near(x, y, DIPOLE_WIDTHS * self.difference.fwhm_pixels) {
            let (Some(value), Some(variance)) = (image.data.get(place), image.variance.get(place))
            else {
                continue;
            };
            let value = f64::from(*value) * sign;
            if value.abs() > DIPOLE_SIGMAS * f64::from(*variance).sqrt() {
                *(if value > 0.0 { &mut same } else { &mut opposite }) += value.abs();
            }
        }
        if same > 0.0 { opposite / same } else { f64::INFINITY }
    }

    fn sharpness(&self, row: usize, column: usize, star: &Point, sigma: f64) -> f64 {
        let at = |place: (usize, usize)| {
            self.difference.image.data.get(place).map_or(0.0, |value| f64::from(*value))
        };
        let (mut sum, mut count) = (0.0, 0.0);
        for (y, x) in self.near(column as f64, row as f64, 1.0) {
            if (y, x) != (row, column) && self.is_good((y, x)) {
                sum += at((y, x));
                count += 1.0;
            }
        }
        let amplitude = star.flux / (2.0 * std::f64::consts::PI * sigma * sigma);
        let edge = (-0.5 / (sigma * sigma)).exp();
        let expected = amplitude * (1.0 - (edge + edge * edge) / 2.0);
        (at((row, column)) - sum / f64::max(count, 1.0)) / expected
    }

    fn masked_distance(&self, row: usize, column: usize) -> Option<f64> {
        let (x, y) = (column as f64, row as f64);
        let reach = RING_WIDTHS * self.difference.fwhm_pixels;
        self.near(x, y, reach)
            .filter(|place| !self.is_good(*place))
            .map(|(other_row, other)| (other as f64 - x).hypot(other_row as f64 - y))
            .filter(|distance| *distance <= reach)
            .min_by(f64::total_cmp)
    }
}

/// The flux of a Gaussian of `sigma` at a place, fitted to the good pixels around it.
pub(super) struct Point {
    pub flux: f64,
    pub masked_share: f64,
}

/// Fits the amplitude of a Gaussian at (x, y) to the values of the places that are good.
pub(super) fn point(
    places: impl Iterator<Item = ((usize, usize), bool)>,
    (x, y): (f64, f64),
    sigma: f64,
    value: impl Fn((usize, usize)) -> Option<f64>,
) -> Point {
    let (mut light, mut squares, mut weight, mut masked) = (0.0, 0.0, 0.0, 0.0);
    for ((row, column), is_good) in places {
        let square = (column as f64 - x).powi(2) + (row as f64 - y).powi(2);
        let profile = (-square / (2.0 * sigma * sigma)).exp();
        weight += profile;
        match value((row, column)).filter(|_| is_good) {
            Some(value) => {
                light += profile * value;
                squares += profile * profile;
            }
            None => masked += profile,
        }
    }
    let area = 2.0 * std::f64::consts::PI * sigma * sigma;
    Point {
        flux: if squares > 0.0 { area * light / squares } else { 0.0 },
        masked_share: if weight > 0.0 { masked / weight } else { 1.0 },
    }
}
