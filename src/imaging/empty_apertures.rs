//! The noise of aperture fluxes, measured where nothing is.
//!
//! Noise of neighbouring pixels that belongs together (resampling, flat fields), stars too faint to be found, and what the background leaves are all in
//! the scatter of fluxes in apertures on empty sky; a sum over the noise map has none of them.

use super::{
    CalibratedImage, aperture::measure_in, background::Background, planes::Planes,
    statistics::median_and_deviation,
};
use crate::model::{Source, SourceFlags};

/// Places tried, and apertures that are enough: their robust deviation is known to 1.17 / √1200, a thirtieth.
const MOST_TRIED: usize = 12_000;
const ENOUGH: usize = 1200;
/// With fewer the scatter is known to less than a sixth, and the noise map decides.
const FEWEST: usize = 50;
/// A source keeps apertures away from its pixels above the threshold and from its light out to so many rms. Where that leaves too little
/// room, as in crowded fields, only from the former.
const WIDE_REACH: f64 = 5.0;
const NARROW_REACH: f64 = 2.5;
/// Largest reach: of bright galaxies and bled-out stars.
const LARGEST_REACH_PIXELS: f64 = 100.0;
/// Side of the cells of the map of taken places, pixels.
const CELL_PIXELS: f64 = 2.0;
/// Of the sequence of places: the inverse of the plastic number and its square (Roberts 2018), which cover a plane evenly and lie on no grid.
const STEPS: (f64, f64) = (0.754_877_666_246_692_8, 0.569_840_290_998_053_2);

/// What fluxes in empty apertures are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ApertureNoise {
    /// Robust deviation from nothing: their scatter, and in quadrature the median that a background above or below the sky leaves in
    /// all of them, as it does in crowds.
    pub electrons: f64,
    /// Apertures it rests on; none: the noise map says it.
    pub aperture_count: usize,
}

/// Standard deviation of the flux of apertures of `radius` pixels on empty sky: no source of `sources`, no masked pixel and no edge in them.
pub fn aperture_noise(
    image: &CalibratedImage,
    background: &Background,
    sources: &[Source],
    radius: f64,
) -> ApertureNoise {
    let from_map = ApertureNoise {
        electrons: background.global_noise * (std::f64::consts::PI * radius * radius).sqrt(),
        aperture_count: 0,
    };
    let Some(planes) = Planes::new(image, background).filter(|_| radius > 0.0) else {
        return from_map;
    };
    for reach in [WIDE_REACH, NARROW_REACH] {
        let taken = Taken::new(sources, radius, reach, image.shape());
        let fluxes = empty_fluxes(&planes, &taken, radius, image.shape());
        if fluxes.len() >= ENOUGH || (reach == NARROW_REACH && fluxes.len() >= FEWEST) {
            return match median_and_deviation(&fluxes) {
                Some((offset, scatter)) if scatter > 0.0 => {
                    let electrons = scatter.hypot(offset);
                    ApertureNoise { electrons, aperture_count: fluxes.len() }
                }
                _ => from_map,
            };
        }
    }
    from_map
}

/// Places of empty apertures in the order of the sequence; at most `count`.
#[cfg(test)]
pub(crate) fn empty_places(
    image: &CalibratedImage,
    background: &Background,
    sources: &[Source],
    radius: f64,
    count: usize,
) -> Vec<(f64, f64)> {
    let Some(planes) = Planes::new(image, background) else { return Vec::new() };
    let taken = Taken::new(sources, radius, WIDE_REACH, image.shape());
    places(&taken, radius, image.shape())
        .filter(|(x, y)| flux_at(&planes, *x, *y, radius).is_some())
        .take(count)
        .collect()
}

fn empty_fluxes(
    planes: &Planes<'_>,
    taken: &Taken,
    radius: f64,
    shape: (usize, usize),
) -> Vec<f64> {
    places(taken, radius, shape)
        .filter_map(|(x, y)| flux_at(planes, x, y, radius))
        .take(ENOUGH)
        .collect()
}

/// Places that no source takes, whole apertures within the frame.
fn places(
    taken: &Taken,
    radius: f64,
    (rows, columns): (usize, usize),
) -> impl Iterator<Item = (f64, f64)> {
    let margin = radius + 1.0;
    let room = |size: usize| size as f64 - 1.0 - 2.0 * margin;
    let (width, height) = (room(columns), room(rows));
    (1..=MOST_TRIED)
        .filter(move |_| width > 0.0 && height > 0.0)
        .map(move |step| {
            let at = |rate: f64, length: f64| margin + (step as f64 * rate).fract() * length;
            (at(STEPS.0, width), at(STEPS.1, height))
        })
        .filter(|(x, y)| !taken.holds(*x, *y))
}

/// `None` where a pixel of the aperture is masked or off the image.
fn flux_at(planes: &Planes<'_>, x: f64, y: f64, radius: f64) -> Option<f64> {
    measure_in(planes, x, y, radius)
        .filter(|sum| sum.mask_bits == 0 && sum.lost_area_pixels < 1e-6)
        .map(|sum| sum.flux_electrons)
}

/// Centres of apertures that would touch a source.
struct Taken {
    columns: usize,
    cells: Vec<bool>,
}

impl Taken {
    fn new(
        sources: &[Source],
        radius: f64,
        reach_rms: f64,
        (rows, columns): (usize, usize),
    ) -> Self {
        let count = |size: usize| (size as f64 / CELL_PIXELS) as usize + 1;
        let (cell_columns, cell_rows) = (count(columns), count(rows));
        let mut cells = vec![false; cell_columns * cell_rows];
        for source in sources {
            let reach = radius + reach_of(source, reach_rms);
            let cell = |value: f64, limit: usize| {
                ((value / CELL_PIXELS).floor().max(0.0) as usize).min(limit - 1)
            };
            for row in cell(source.y - reach, cell_rows)..=cell(source.y + reach, cell_rows) {
                for column in
                    cell(source.x - reach, cell_columns)..=cell(source.x + reach, cell_columns)
                {
                    let middle = |cell: usize| (cell as f64 + 0.5) * CELL_PIXELS;
                    let near = (middle(column) - source.x).hypot(middle(row) - source.y) <= reach;
                    if let Some(cell) = cells.get_mut(row * cell_columns + column) {
                        *cell |= near;
                    }
                }
            }
        }
        Self { columns: cell_columns, cells }
    }

    fn holds(&self, x: f64, y: f64) -> bool {
        let (column, row) = ((x / CELL_PIXELS) as usize, (y / CELL_PIXELS) as usize);
        self.cells.get(row * self.columns + column).copied().unwrap_or(true)
    }
}

/// How far from its centre a source has light.
fn reach_of(source: &Source, reach_rms: f64) -> f64 {
    let (major, minor) =
        (source.semi_major_pixels.max(0.5), source.semi_minor_pixels.clamp(0.5, 1e3));
    // The isophote as an ellipse of the shape of the moments.
    let isophote = (source.pixel_count as f64 / std::f64::consts::PI * major / minor).sqrt();
    // The isophotes of saturated stars end far inside their wings.
    let wings = if source.flags.has(SourceFlags::SATURATED) { 2.0 } else { 1.0 };
    let reach = (reach_rms * major).max(isophote) * wings;
    if reach.is_finite() { reach.min(LARGEST_REACH_PIXELS) } else { LARGEST_REACH_PIXELS }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imaging::{
        Image, Mask,
        aperture::pixel_overlap,
        background,
        detection::detect,
        mask_bits,
        synthetic::{Generator, frame, scattered},
    };

    /// A plane of Gaussian noise, and its background of zero.
    fn noise_plane(size: usize, sigma: f64) -> (CalibratedImage, Background) {
        let mut generator = Generator::new(5);
        let image = CalibratedImage {
            data: Image::from_shape_simple_fn((size, size), || (sigma * generator.normal()) as f32),
            variance: Image::from_elem((size, size), (sigma * sigma) as f32),
            mask: Mask::zeros((size, size)),
        };
        let background = Background {
            level: Image::zeros((size, size)).into(),
            noise: Image::from_elem((size, size), sigma as f32).into(),
            global_level: 0.0,
            global_noise: sigma,
        };
        (image, background)
    }

    #[test]
    fn empty_apertures_measure_the_noise_of_the_sky() {
        let (image, background) = noise_plane(512, 20.0);
        // Independent pixels count by the square of their share in the aperture; the mean over places on a pixel.
        let mut squares = 0.0;
        for place in 0..64 {
            let (x, y) = (f64::from(place % 8) / 8.0, f64::from(place / 8) / 8.0);
            for column in -5..=6 {
                for row in -5..=6 {
                    squares += pixel_overlap(x, y, 3.0, column, row).powi(2) / 64.0;
                }
            }
        }
        let expected = 20.0 * squares.sqrt();
        let found = aperture_noise(&image, &background, &[], 3.0);
        assert_eq!(found.aperture_count, ENOUGH);
        assert!((found.electrons / expected - 1.0).abs() < 0.1, "{found:?} {expected}");
    }

    #[test]
    fn without_room_the_noise_map_decides() {
        let (mut image, background) = noise_plane(200, 20.0);
        let expected = 20.0 * (std::f64::consts::PI * 9.0f64).sqrt();
        image.mask.fill(mask_bits::BAD);
        let found = aperture_noise(&image, &background, &[], 3.0);
        assert_eq!((found.electrons, found.aperture_count), (expected, 0));
        let (image, background) = noise_plane(6, 20.0);
        assert_eq!(aperture_noise(&image, &background, &[], 3.0).aperture_count, 0);
    }

    /// Stars, edges and bad columns do not come in; nor does the light of bright stars far out.
    #[test]
    fn sources_and_masks_are_kept_clear_of() {
        let stars = scattered(120, (400, 400), 5.0, 1e3, 3e6, 3);
        let mut image = frame((400, 400), &stars, 3.0, 400.0, 0.0, 8);
        for column in (20..400).step_by(40) {
            image.mask.column_mut(column).fill(mask_bits::BAD);
            image.data.column_mut(column).fill(1e6);
        }
        let background = background::estimate(&image.data, &image.mask, 64);
        let found = detect(&image, &background, &Default::default());
        let noise = aperture_noise(&image, &background, &found.sources, 4.0);
        // Sky and read noise alone; wings and faint stars may add a little.
        let expected = (std::f64::consts::PI * 16.0 * 425.0f64).sqrt();
        assert!((0.9..1.2).contains(&(noise.electrons / expected)), "{noise:?} {expected}");
        assert!(noise.aperture_count > 300, "{noise:?}");
    }
}
