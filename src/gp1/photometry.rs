//! Zero point of a frame against the catalogue, and the limiting magnitude measured on its own sky.

use super::settings::PhotometryParameters;
use crate::imaging::{
    CalibratedImage,
    aperture::measure,
    background::Background,
    statistics::median_and_deviation,
    wcs::TangentPlane,
    zero_point::{CalibrationStar, ZeroPoint, fit},
};
use crate::model::{CatalogueObject, ObjectKind, Source, SourceFlags};

/// Signal-to-noise of the limiting magnitude (interfaces.md §9, domain.md §5).
pub const LIMIT_SIGNAL_TO_NOISE: f64 = 10.0;
/// Standard error in magnitudes of a relative error of one: 2.5 / ln 10.
pub const MAGNITUDES_PER_RELATIVE_ERROR: f64 = 1.085_736_204_758_129_6;
/// A neighbour in the catalogue spoils a star within this many aperture radii …
const NEIGHBOUR_RADII: f64 = 2.5;
/// … unless it is fainter by this much.
const NEIGHBOUR_MAGNITUDES: f64 = 4.0;
/// Empty apertures are tried on a grid of this many points per side.
const EMPTY_APERTURES_PER_SIDE: usize = 24;
/// With fewer empty apertures the noise map decides.
const FEWEST_EMPTY_APERTURES: usize = 40;

/// Flags of sources that do not calibrate.
pub const UNFIT_FLAGS: u16 = SourceFlags::SATURATED
    | SourceFlags::TRUNCATED
    | SourceFlags::MASKED
    | SourceFlags::BLENDED
    | SourceFlags::CROWDED;

/// Magnitude scale of a frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FramePhotometry {
    /// For fluxes in the aperture of the frame.
    pub zero_point: Option<ZeroPoint>,
    /// Standard deviation of the flux in an empty aperture, electrons.
    pub aperture_noise_electrons: f64,
    /// Magnitude of a source of ten times its noise; `None` without zero point.
    pub limiting_magnitude: Option<f64>,
}

/// Measures the magnitude scale of a frame. `identity` gives for each source its catalogue object.
#[allow(clippy::too_many_arguments)]
pub fn calibrate(
    image: &CalibratedImage,
    background: &Background,
    sources: &[Source],
    aperture_radius_pixels: f64,
    exposure_seconds: f64,
    wcs: Option<&TangentPlane>,
    catalogue: &[CatalogueObject],
    identity: &[Option<usize>],
    parameters: &PhotometryParameters,
) -> FramePhotometry {
    let noise = aperture_noise(image, background, sources, aperture_radius_pixels);
    let zero_point = wcs.filter(|_| exposure_seconds > 0.0).and_then(|wcs| {
        let neighbour_arcsec = NEIGHBOUR_RADII * aperture_radius_pixels * wcs.scale_arcsec();
        let stars: Vec<CalibrationStar> = sources
            .iter()
            .zip(identity)
            .filter_map(|(source, object)| {
                let index = (*object)?;
                let object = catalogue.get(index)?;
                let is_fit = object.kind != ObjectKind::Galaxy
                    && !source.flags.has(UNFIT_FLAGS)
                    && source.signal_to_noise() >= parameters.minimum_signal_to_noise
                    && !has_neighbour(catalogue, index, neighbour_arcsec);
                is_fit.then(|| CalibrationStar {
                    flux: source.flux_electrons / exposure_seconds,
                    flux_error: source.flux_error_electrons / exposure_seconds,
                    magnitude: object.magnitude,
                    magnitude_error: object.magnitude_error,
                })
            })
            .collect();
        fit(&stars, parameters.minimum_stars)
    });
    FramePhotometry {
        limiting_magnitude: zero_point
            .and_then(|zero| limiting_magnitude(noise, zero.value, exposure_seconds)),
        zero_point,
        aperture_noise_electrons: noise,
    }
}

/// Whether another object of the catalogue disturbs this one.
pub fn has_neighbour(catalogue: &[CatalogueObject], index: usize, radius_arcsec: f64) -> bool {
    let Some(star) = catalogue.get(index) else { return false };
    let radius_degrees = radius_arcsec / 3600.0;
    catalogue.iter().enumerate().any(|(other, object)| {
        other != index
            && (object.position.dec_degrees - star.position.dec_degrees).abs() <= radius_degrees
            && object.magnitude < star.magnitude + NEIGHBOUR_MAGNITUDES
            && object.position.separation_arcsec(star.position) <= radius_arcsec
    })
}

/// Magnitude at which flux is ten times its noise: sky noise `noise_electrons` in the aperture and the photon noise
/// of the source itself, S = k √(σ² + S).
pub fn limiting_magnitude(
    noise_electrons: f64,
    zero_point: f64,
    exposure_seconds: f64,
) -> Option<f64> {
    let k = LIMIT_SIGNAL_TO_NOISE;
    let flux = (k * k + (k.powi(4) + 4.0 * k * k * noise_electrons * noise_electrons).sqrt()) / 2.0;
    let magnitude = zero_point - 2.5 * (flux / exposure_seconds).log10();
    (magnitude.is_finite() && noise_electrons > 0.0 && exposure_seconds > 0.0).then_some(magnitude)
}

/// Magnitude and its standard error, the zero point's included. `None` for a flux that is not positive.
pub fn magnitude(
    flux_electrons: f64,
    error_electrons: f64,
    exposure_seconds: f64,
    zero_point: f64,
    zero_point_error: f64,
) -> Option<(f64, f64)> {
    let value = zero_point - 2.5 * (flux_electrons / exposure_seconds).log10();
    let own = MAGNITUDES_PER_RELATIVE_ERROR * error_electrons / flux_electrons;
    (value.is_finite() && flux_electrons > 0.0).then(|| (value, own.hypot(zero_point_error)))
}

/// Robust standard deviation of the flux in apertures that hold no source: what correlated noise, faint stars and a bad
/// background do to a measurement is in it. Where there are too few such places, the noise map is summed instead.
pub fn aperture_noise(
    image: &CalibratedImage,
    background: &Background,
    sources: &[Source],
    radius: f64,
) -> f64 {
    let (rows, columns) = image.shape();
    let occupied = Occupied::new(sources, radius, (rows, columns));
    let mut fluxes = Vec::new();
    for row in 0..EMPTY_APERTURES_PER_SIDE {
        for column in 0..EMPTY_APERTURES_PER_SIDE {
            let place = |step: usize, size: usize| {
                (step as f64 + 0.5) / EMPTY_APERTURES_PER_SIDE as f64 * size as f64
            };
            // Sheared, so that no column defect is sampled again and again.
            let x = (place(column, columns) + 0.37 * row as f64) % columns as f64;
            let y = (place(row, rows) + 0.53 * column as f64) % rows as f64;
            let inside = x > radius + 1.0
                && y > radius + 1.0
                && x + radius + 2.0 < columns as f64
                && y + radius + 2.0 < rows as f64;
            if !inside || occupied.holds(x, y) {
                continue;
            }
            if let Some(sum) = measure(image, background, x, y, radius)
                && sum.lost_area_pixels == 0.0
            {
                fluxes.push(sum.flux_electrons);
            }
        }
    }
    match median_and_deviation(&fluxes) {
        Some((_, deviation)) if fluxes.len() >= FEWEST_EMPTY_APERTURES && deviation > 0.0 => {
            deviation
        }
        _ => background.global_noise * (std::f64::consts::PI * radius * radius).sqrt(),
    }
}

/// Places taken by sources, on a coarse grid.
struct Occupied {
    cell_pixels: f64,
    columns: usize,
    taken: Vec<bool>,
}

impl Occupied {
    fn new(sources: &[Source], radius: f64, (rows, columns): (usize, usize)) -> Self {
        let cell_pixels = radius.max(1.0);
        let count = |size: usize| (size as f64 / cell_pixels) as usize + 1;
        let (cell_columns, cell_rows) = (count(columns), count(rows));
        let mut taken = vec![false; cell_columns * cell_rows];
        for source in sources {
            let reach = 2.0 * radius + 4.0 * source.semi_major_pixels.clamp(0.0, 50.0);
            let cell = |value: f64, limit: usize| {
                ((value / cell_pixels).floor().max(0.0) as usize).min(limit - 1)
            };
            for row in cell(source.y - reach, cell_rows)..=cell(source.y + reach, cell_rows) {
                for column in
                    cell(source.x - reach, cell_columns)..=cell(source.x + reach, cell_columns)
                {
                    if let Some(cell) = taken.get_mut(row * cell_columns + column) {
                        *cell = true;
                    }
                }
            }
        }
        Self { cell_pixels, columns: cell_columns, taken }
    }

    fn holds(&self, x: f64, y: f64) -> bool {
        let (column, row) = ((x / self.cell_pixels) as usize, (y / self.cell_pixels) as usize);
        self.taken.get(row * self.columns + column).copied().unwrap_or(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imaging::{Image, Mask, aperture::pixel_overlap};
    use crate::model::SkyPosition;

    /// A plane of Gaussian noise by the sum of uniform numbers, and its background of zero.
    fn noise_plane(size: usize, sigma: f32) -> (CalibratedImage, Background) {
        let mut state = 88_172_645_463_325_252u64;
        let mut uniform = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1u64 << 24) as f32
        };
        let data = Image::from_shape_simple_fn((size, size), || {
            ((0..12).map(|_| uniform()).sum::<f32>() - 6.0) * sigma
        });
        let image = CalibratedImage {
            data,
            variance: Image::from_elem((size, size), sigma * sigma),
            mask: Mask::zeros((size, size)),
        };
        let background = Background {
            level: Image::zeros((size, size)),
            noise: Image::from_elem((size, size), sigma),
            global_level: 0.0,
            global_noise: f64::from(sigma),
        };
        (image, background)
    }

    #[test]
    fn empty_apertures_measure_the_noise_of_the_sky() {
        let (image, background) = noise_plane(512, 20.0);
        // Independent pixels count by the square of their share in the aperture, here centred on a pixel.
        let overlaps = (-4..=4).flat_map(|column| (-4..=4).map(move |row| (column, row)));
        let squares: f64 =
            overlaps.map(|(column, row)| pixel_overlap(0.0, 0.0, 3.0, column, row).powi(2)).sum();
        let expected = 20.0 * squares.sqrt();
        // Some 480 apertures: the robust deviation is known to 5 %.
        let found = aperture_noise(&image, &background, &[], 3.0);
        assert!((found / expected - 1.0).abs() < 0.15, "{found} {expected}");
    }

    #[test]
    fn without_room_the_noise_map_decides() {
        let (image, background) = noise_plane(24, 20.0);
        let expected = 20.0 * (std::f64::consts::PI * 9.0f64).sqrt();
        let source = super::super::astrometry::tests::source(12.0, 12.0, 1e5);
        let found = aperture_noise(&image, &background, &[source], 3.0);
        assert!((found / expected - 1.0).abs() < 1e-9);
    }

    #[test]
    fn a_source_at_the_limit_has_ten_times_its_noise() {
        for noise in [1.0, 100.0, 5000.0] {
            let limit = limiting_magnitude(noise, 22.8, 60.0).unwrap();
            let flux = 60.0 * 10f64.powf(0.4 * (22.8 - limit));
            let signal_to_noise = flux / (noise * noise + flux).sqrt();
            assert!((signal_to_noise - 10.0).abs() < 1e-6, "{signal_to_noise}");
        }
        assert_eq!(limiting_magnitude(0.0, 22.8, 60.0), None);
        assert_eq!(limiting_magnitude(10.0, 22.8, 0.0), None);
    }

    #[test]
    fn magnitudes_have_the_zero_points_error() {
        let (value, error) = magnitude(6000.0, 60.0, 60.0, 22.8, 0.02).unwrap();
        assert!((value - 17.8).abs() < 1e-9);
        assert!((error - 0.010857f64.hypot(0.02)).abs() < 1e-5);
        assert_eq!(magnitude(-5.0, 1.0, 60.0, 22.8, 0.0), None);
    }

    #[test]
    fn neighbours_that_matter() {
        let object = |east: f64, magnitude: f64| CatalogueObject {
            id: String::new(),
            kind: ObjectKind::Star,
            position: SkyPosition::new(30.0, 24.0).offset_arcsec(east, 0.0),
            magnitude,
            magnitude_error: 0.0,
        };
        let pair = |east, magnitude| [object(0.0, 15.0), object(east, magnitude)];
        assert!(has_neighbour(&pair(3.0, 17.0), 0, 5.0));
        assert!(!has_neighbour(&pair(6.0, 17.0), 0, 5.0));
        assert!(!has_neighbour(&pair(3.0, 19.5), 0, 5.0));
    }
}
