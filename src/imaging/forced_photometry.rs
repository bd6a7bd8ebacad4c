//! Flux at a known position by a fit of the point-spread function.

use nalgebra::{DMatrix, DVector};

use super::{
    CalibratedImage, background::Background, planes::Planes, psf::PointSpread, statistics,
};

/// Radius of the window in full widths, and its bounds in pixels. The local sky needs the outer part.
const REACH_WIDTHS: f64 = 3.0;
const SMALLEST_REACH: f64 = 4.5;
const LARGEST_REACH: f64 = 24.0;
/// The most neighbours fitted, nearest first: a bound on time.
const MOST_NEIGHBOURS: usize = 12;
/// A neighbour nearer than this is the source itself.
const SAME_SOURCE: f64 = 0.3;
/// Least share of the light in the window that good pixels must hold.
const LEAST_SHARE: f64 = 0.4;
/// The profile is trusted to this share of the light.
const PROFILE_ERROR: f64 = 0.01;
/// Pixels outside the cores that stand out by more are not of the model.
const CLIP_SIGMAS: f64 = 5.0;
const MOST_STEPS: usize = 12;
const LAST_STEP: f64 = 1e-3;

/// Flux by the point-spread function at a position.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ForcedMeasurement {
    /// Of an infinite aperture. May be negative where there is nothing.
    pub flux_electrons: f64,
    /// From the variance plane, with the uncertainty of the local sky, neighbours and (if fitted) position.
    pub flux_error_electrons: f64,
    /// As given, or as fitted.
    pub x: f64,
    pub y: f64,
    /// Local sky above the background, electrons per pixel.
    pub sky_electrons: f64,
    /// Σ residual² / variance, the variance plane's; a bright star's is large where the profile is off by a percent.
    pub chi_square: f64,
    pub degrees_of_freedom: usize,
    /// OR of the mask bits within half a full width of the position.
    pub mask_bits: u8,
}

/// Fits flux and a constant local sky, by weighted linear least squares with the profile of `psf` at that place, in
/// a window of three full widths about (`x`, `y`). `neighbours` within the window are fitted with it at their fixed
/// positions. With `fit_position` the position is refined, by at most half a full width; where that fails the given
/// one stays.
///
/// Weights come from sky noise and the light of the model, not of the data, which would bias fluxes low; errors
/// come from the variance plane through the same weights. Masked pixels (any bit) do not count. `None` when the
/// position is off the image or when good pixels hold less than 0.4 of the profile.
pub fn forced_photometry(
    image: &CalibratedImage,
    background: &Background,
    psf: &PointSpread,
    x: f64,
    y: f64,
    fit_position: bool,
    neighbours: &[(f64, f64)],
) -> Option<ForcedMeasurement> {
    let planes = Planes::new(image, background)?;
    if !planes.contains(x, y) {
        return None;
    }
    let psf = psf.at(x, y);
    let mut window = Window::new(&planes, &psf, x, y, neighbours)?;
    // First with the weights of the sky, then with those of the model found, then without what does not belong.
    let mut design = window.design(None);
    let mut fit = window.solve(&design)?;
    for clip in [false, true] {
        window.weigh(&design, &fit, (x, y), clip);
        fit = window.solve(&design)?;
    }
    let mut position = (x, y);
    let mut moved = false;
    if fit_position && let Some((refined, flux)) = window.refine(&fit, (x, y)) {
        (position, fit, moved) = (refined, flux, true);
        design = window.design(Some(position));
    }
    Some(window.measurement(&design, &fit, position, moved))
}

struct WindowPixel {
    x: f64,
    y: f64,
    /// Share of the source's light at the position given.
    share: f64,
    electrons: f64,
    sky_variance: f64,
    variance: f64,
    weight: f64,
}

struct Window<'a> {
    psf: &'a PointSpread,
    pixels: Vec<WindowPixel>,
    neighbours: Vec<(f64, f64)>,
    /// Electrons² of noise per electron of light, from the variance plane: 1 for a single frame.
    noise_per_electron: f64,
    mask_bits: u8,
}

/// Rows of the linear equations, one behind the other.
struct Design {
    width: usize,
    values: Vec<f64>,
}

impl Design {
    fn rows(&self) -> std::slice::ChunksExact<'_, f64> {
        self.values.chunks_exact(self.width)
    }
}

/// Sums of normal equations, the lower triangle of the matrix alone.
struct Sums {
    width: usize,
    matrix: Vec<f64>,
    right: Vec<f64>,
}

impl Sums {
    fn new(width: usize) -> Self {
        Self { width, matrix: vec![0.0; width * width], right: vec![0.0; width] }
    }

    fn add(&mut self, row: &[f64], weight: f64, value: f64) {
        if weight <= 0.0 {
            return;
        }
        let lines = self.matrix.chunks_exact_mut(self.width).zip(&mut self.right);
        for (number, ((line, right), entry)) in lines.zip(row).enumerate() {
            let weighted = weight * entry;
            *right += weighted * value;
            line.iter_mut()
                .zip(row)
                .take(number + 1)
                .for_each(|(sum, other)| *sum += weighted * other);
        }
    }

    fn symmetric(&self) -> DMatrix<f64> {
        let entry = |row: usize, column: usize| {
            let (row, column) = (row.max(column), row.min(column));
            self.matrix.get(row * self.width + column).copied().unwrap_or(0.0)
        };
        DMatrix::from_fn(self.width, self.width, entry)
    }

    fn solved(&self) -> Option<Vec<f64>> {
        let solution = self.symmetric().cholesky()?.solve(&DVector::from_column_slice(&self.right));
        solution.iter().all(|value| value.is_finite()).then(|| solution.as_slice().to_vec())
    }
}

/// Fluxes: of the source, of the sky per pixel, of the neighbours.
struct Fit {
    values: Vec<f64>,
}

impl Fit {
    /// Of the model in the pixel of a row.
    fn light(&self, row: &[f64]) -> f64 {
        row.iter().zip(&self.values).map(|(entry, value)| entry * value).sum()
    }

    fn flux(&self) -> f64 {
        self.values.first().copied().unwrap_or(0.0)
    }

    fn sky(&self) -> f64 {
        self.values.get(1).copied().unwrap_or(0.0)
    }
}

impl<'a> Window<'a> {
    fn new(
        planes: &Planes<'_>,
        psf: &'a PointSpread,
        x: f64,
        y: f64,
        neighbours: &[(f64, f64)],
    ) -> Option<Self> {
        let fwhm = psf.fwhm_pixels();
        let reach = (REACH_WIDTHS * fwhm).clamp(SMALLEST_REACH, LARGEST_REACH);
        let (rows, columns) = planes.window(x, y, reach);
        let mut pixels = Vec::with_capacity(rows.len() * columns.len());
        let (mut share, mut good_share, mut mask_bits) = (0.0, 0.0, 0);
        for row in rows {
            for column in columns.clone() {
                let (dx, dy) = (column as f64 - x, row as f64 - y);
                let square = dx * dx + dy * dy;
                if square > reach * reach {
                    continue;
                }
                let pixel = planes.pixel(row, column);
                let light = psf.pixel_share(dx, dy);
                share += light;
                if square <= (0.5 * fwhm).max(1.0).powi(2) {
                    mask_bits |= pixel.mask;
                }
                if pixel.mask != 0 || !pixel.usable {
                    continue;
                }
                good_share += light;
                let noise = f64::from(planes.noise(row, column));
                let sky_variance = if noise > 0.0 { noise * noise } else { pixel.variance };
                pixels.push(WindowPixel {
                    x: column as f64,
                    y: row as f64,
                    share: light,
                    electrons: pixel.signal,
                    sky_variance,
                    variance: pixel.variance,
                    // Without any noise known all pixels count alike.
                    weight: if sky_variance > 0.0 { 1.0 / sky_variance } else { 1.0 },
                });
            }
        }
        // At the edge the window itself is cut: the share is then of what a window should hold.
        let expected = share.max(psf.share_within(reach) * 0.9);
        if good_share.is_nan() || good_share <= LEAST_SHARE * expected {
            return None;
        }
        let mut near: Vec<(f64, f64, f64)> = neighbours
            .iter()
            .map(|&(u, v)| ((u - x).hypot(v - y), u, v))
            .filter(|near| near.0 > SAME_SOURCE && near.0 <= reach + 0.5 * fwhm)
            .collect();
        near.sort_by(|a, b| {
            a.0.total_cmp(&b.0).then(a.2.total_cmp(&b.2)).then(a.1.total_cmp(&b.1))
        });
        near.dedup_by(|a, b| (a.1 - b.1).hypot(a.2 - b.2) <= SAME_SOURCE);
        near.truncate(MOST_NEIGHBOURS);
        let noise_per_electron = noise_per_electron(&pixels, x, y, fwhm);
        let neighbours = near.into_iter().map(|(_, u, v)| (u, v)).collect();
        Some(Self { psf, pixels, neighbours, noise_per_electron, mask_bits })
    }

    /// For each pixel the derivatives of its light by the linear parameters. `None` stands for the position given.
    fn design(&self, moved: Option<(f64, f64)>) -> Design {
        let width = 2 + self.neighbours.len();
        let mut values = Vec::with_capacity(width * self.pixels.len());
        for pixel in &self.pixels {
            let share = |x: f64, y: f64| self.psf.pixel_share(pixel.x - x, pixel.y - y);
            values.push(moved.map_or(pixel.share, |(x, y)| share(x, y)));
            values.push(1.0);
            values.extend(self.neighbours.iter().map(|&(x, y)| share(x, y)));
        }
        Design { width, values }
    }

    fn solve(&self, design: &Design) -> Option<Fit> {
        let mut sums = Sums::new(design.width);
        for (pixel, row) in self.pixels.iter().zip(design.rows()) {
            sums.add(row, pixel.weight, pixel.electrons);
        }
        Some(Fit { values: sums.solved()? })
    }

    /// Weights of the model's own noise; with `clip`, none for pixels outside the cores that stand out.
    fn weigh(&mut self, design: &Design, fit: &Fit, position: (f64, f64), clip: bool) {
        let core = self.psf.fwhm_pixels();
        let weights: Vec<f64> = self
            .pixels
            .iter()
            .zip(design.rows())
            .map(|(pixel, row)| {
                let model = fit.light(row);
                let light = (model - fit.sky()).max(0.0);
                let variance = pixel.sky_variance
                    + self.noise_per_electron * light
                    + (PROFILE_ERROR * light).powi(2);
                if variance.is_nan() || variance <= 0.0 {
                    return 1.0;
                }
                let residual = pixel.electrons - model;
                let stands_out = residual * residual > CLIP_SIGMAS * CLIP_SIGMAS * variance;
                let in_core = || {
                    std::iter::once(&position)
                        .chain(&self.neighbours)
                        .any(|&(x, y)| (pixel.x - x).powi(2) + (pixel.y - y).powi(2) < core * core)
                };
                if clip && stands_out && !in_core() { 0.0 } else { 1.0 / variance }
            })
            .collect();
        for (pixel, weight) in self.pixels.iter_mut().zip(weights) {
            pixel.weight = weight;
        }
    }

    /// Gauss–Newton on the position at fixed weights, fluxes solved for at each step. `None` when it does not
    /// settle within half a full width, or the source has no light.
    fn refine(&self, start: &Fit, given: (f64, f64)) -> Option<((f64, f64), Fit)> {
        let farthest = 0.5 * self.psf.fwhm_pixels();
        let (mut x, mut y) = given;
        let mut fit = Fit { values: start.values.clone() };
        for _ in 0..MOST_STEPS {
            if fit.flux() <= 0.0 {
                return None;
            }
            let count = 4 + self.neighbours.len();
            let mut sums = Sums::new(count);
            let design = self.design(Some((x, y)));
            let mut row = Vec::with_capacity(count);
            for (pixel, linear) in self.pixels.iter().zip(design.rows()) {
                self.extend(&mut row, pixel, (x, y), &fit, linear);
                sums.add(&row, pixel.weight, pixel.electrons - fit.light(linear));
            }
            let change = sums.solved()?;
            let longest = 0.3 * self.psf.fwhm_pixels();
            let [.., dx, dy] = change.as_slice() else { return None };
            let (dx, dy) = (*dx, *dy);
            x += dx.clamp(-longest, longest);
            y += dy.clamp(-longest, longest);
            let moved = (x - given.0).hypot(y - given.1);
            if moved.is_nan() || moved > farthest {
                return None;
            }
            fit = self.solve(&self.design(Some((x, y))))?;
            if dx.hypot(dy) < LAST_STEP {
                return Some(((x, y), fit));
            }
        }
        None
    }

    /// Makes `row` that of the design with the derivatives by the position at its end.
    fn extend(
        &self,
        row: &mut Vec<f64>,
        pixel: &WindowPixel,
        (x, y): (f64, f64),
        fit: &Fit,
        linear: &[f64],
    ) {
        let share = self.psf.share(pixel.x - x, pixel.y - y);
        row.clear();
        row.extend(linear);
        row.extend([fit.flux() * share.by_x, fit.flux() * share.by_y]);
    }

    fn measurement(
        &self,
        design: &Design,
        fit: &Fit,
        position: (f64, f64),
        moved: bool,
    ) -> ForcedMeasurement {
        let count = 2 + self.neighbours.len() + if moved { 2 } else { 0 };
        let (mut normal, mut spread) = (Sums::new(count), Sums::new(count));
        let (mut chi_square, mut used) = (0.0, 0);
        let mut longer = Vec::with_capacity(count);
        let pixels = self.pixels.iter().zip(design.rows());
        for (pixel, linear) in pixels.filter(|pair| pair.0.weight > 0.0) {
            let residual = pixel.electrons - fit.light(linear);
            if pixel.variance > 0.0 {
                chi_square += residual * residual / pixel.variance;
            }
            let row = if moved {
                self.extend(&mut longer, pixel, position, fit, linear);
                longer.as_slice()
            } else {
                linear
            };
            normal.add(row, pixel.weight, 0.0);
            // Weights are not the inverse variances: the noise goes through them as it is.
            spread.add(row, pixel.weight * pixel.weight * pixel.variance, 0.0);
            used += 1;
        }
        let error = normal
            .symmetric()
            .try_inverse()
            .map(|inverse| (&inverse * spread.symmetric() * &inverse)[(0, 0)].max(0.0).sqrt())
            .filter(|error| error.is_finite());
        ForcedMeasurement {
            flux_electrons: fit.flux(),
            flux_error_electrons: error.unwrap_or(0.0),
            x: position.0,
            y: position.1,
            sky_electrons: fit.sky(),
            chi_square,
            degrees_of_freedom: usize::saturating_sub(used, count),
            mask_bits: self.mask_bits,
        }
    }
}

/// Slope of the variance over the light in the core.
fn noise_per_electron(pixels: &[WindowPixel], x: f64, y: f64, fwhm: f64) -> f64 {
    let (mut variance, mut light) = (0.0, 0.0);
    let mut sky: Vec<f32> = Vec::with_capacity(pixels.len());
    for pixel in pixels {
        if (pixel.x - x).powi(2) + (pixel.y - y).powi(2) > fwhm * fwhm {
            sky.push(pixel.variance as f32);
        }
    }
    let sky = statistics::median_in_place(&mut sky).map_or(0.0, f64::from);
    for pixel in pixels {
        if (pixel.x - x).powi(2) + (pixel.y - y).powi(2) <= fwhm * fwhm {
            variance += pixel.variance - sky;
            light += pixel.electrons;
        }
    }
    if light > 0.0 { (variance / light).clamp(0.0, 2.0) } else { 0.0 }
}
