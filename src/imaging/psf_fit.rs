//! Fit of the point-spread function to the stars of a frame, all at once.

use nalgebra::{Matrix4, SMatrix, SVector, Vector4};

use super::{
    CalibratedImage,
    background::Background,
    neighbourhood::Neighbourhood,
    planes::Planes,
    psf::{LARGEST_INDEX, LEAST_INDEX, PointSpread, Shape, Share},
    psf_variation::{Variation, WidthOfStar},
    stellar_width::{self, WidthSample},
};
use crate::model::{Source, SourceFlags};

/// The most stars used, brightest first.
const MOST_STARS: usize = 60;
const FEWEST_STARS: usize = 3;
const LEAST_SIGNAL_TO_NOISE: f64 = 20.0;
/// Stars lie within this share of the stellar width.
const LOCUS_HALF_WIDTH: f64 = 0.25;
/// Half-width of the pixels about a star, in its widths (twice the half-light radius) and in pixels.
const REACH_WIDTHS: f64 = 3.5;
const SMALLEST_REACH: f64 = 6.0;
const LARGEST_REACH: f64 = 20.0;
/// Pixels within this many widths of another source are left out.
const KEEP_CLEAR_WIDTHS: f64 = 1.5;
/// The profile is trusted to this share of the light: it keeps the brightest stars from ruling the fit.
const PROFILE_ERROR: f64 = 0.01;
/// Rounds of weighting and clipping, and steps within a round.
const ROUNDS: usize = 3;
const MOST_STEPS: usize = 15;
const CLIP_SIGMAS: f64 = 5.0;
/// Stars that fit worse than the median star by this factor are left out.
const WORST_STAR: f64 = 4.0;
/// Moffat index expected before the fit, and the deviation of its ln(β − 1): of little weight against bright stars.
const EXPECTED_INDEX: f64 = 3.0;
const INDEX_DEVIATION: f64 = 1.0;

struct Pixel {
    x: f64,
    y: f64,
    electrons: f64,
    sky_variance: f64,
    /// 0 when clipped.
    weight: f64,
}

struct Star {
    x: f64,
    y: f64,
    flux: f64,
    sky: f64,
    /// ln of its width relative to the mean profile's.
    width: f64,
    pixels: Vec<Pixel>,
}

impl PointSpread {
    /// Fits an elliptical Moffat profile to the frame's stars: unflagged `sources` of S/N > 20 and of the stellar
    /// width, up to sixty. Shape, and flux, position and local sky of each star, are found together
    /// (Levenberg–Marquardt, the stars' own parameters eliminated); how the width varies over the frame is a
    /// polynomial of second degree through the widths of the stars, with fewer than 24 a slope, with fewer than 12
    /// none. Pixels that stand out by 5σ and stars that do not fit are left out.
    ///
    /// `None` with fewer than three such stars, or when no sensible profile fits them.
    pub fn fit(
        image: &CalibratedImage,
        background: &Background,
        sources: &[Source],
    ) -> Option<Self> {
        let planes = Planes::new(image, background)?;
        let (mut stars, width) = select(&planes, sources)?;
        // The half-light diameter of an index of 3 is 1.26 full widths.
        let mut spread = Self::round(width / 1.26, EXPECTED_INDEX)?;
        let mut variation = Variation::default();
        for round in 0..ROUNDS {
            for star in &mut stars {
                weigh(star, &spread);
            }
            spread = settle(&mut stars, spread)?;
            drop_misfits(&mut stars, &spread);
            if stars.len() < FEWEST_STARS {
                return None;
            }
            // The variation follows the mean profile, and the last round has both.
            if round + 1 < ROUNDS {
                let widths: Vec<WidthOfStar> =
                    stars.iter().filter_map(|star| width_of(star, &spread)).collect();
                variation = Variation::fit(&widths, image.shape());
                for star in &mut stars {
                    star.width = variation.at(star.x, star.y);
                }
            }
        }
        let fwhm = spread.fwhm_pixels();
        let sensible = fwhm > 0.3 * width && fwhm < 3.0 * width && spread.elongation() < 3.0;
        sensible.then(|| Self::from_shape(spread.shape(), stars.len()).with_variation(variation))
    }
}

/// The stars to fit and their typical width.
fn select(planes: &Planes<'_>, sources: &[Source]) -> Option<(Vec<Star>, f64)> {
    let sample = |source: &Source| WidthSample {
        half_light_diameter: 2.0 * source.half_light_radius_pixels,
        signal_to_noise: source.signal_to_noise(),
        flagged: source.flags != SourceFlags::default(),
        elongation: source.semi_major_pixels / source.semi_minor_pixels,
        sharp: !planes.contains(source.x, source.y)
            || stellar_width::is_sharp(
                planes,
                source.y.round().max(0.0) as usize,
                source.x.round().max(0.0) as usize,
            ),
    };
    let samples: Vec<WidthSample> = sources.iter().map(sample).collect();
    let width = stellar_width::star_locus(&samples)?.half_light_diameter;
    let mut chosen: Vec<&Source> = sources
        .iter()
        .zip(&samples)
        .filter(|(_, sample)| {
            !sample.flagged
                && !sample.sharp
                && sample.signal_to_noise > LEAST_SIGNAL_TO_NOISE
                && (sample.half_light_diameter / width - 1.0).abs() < LOCUS_HALF_WIDTH
        })
        .map(|(source, _)| source)
        .collect();
    chosen.sort_by(|a, b| {
        b.flux_electrons
            .total_cmp(&a.flux_electrons)
            .then(a.y.total_cmp(&b.y))
            .then(a.x.total_cmp(&b.x))
    });
    chosen.truncate(MOST_STARS);
    let positions: Vec<(f64, f64)> = sources.iter().map(|source| (source.x, source.y)).collect();
    let index = Neighbourhood::new(&positions, 32.0);
    let stars: Vec<Star> =
        chosen.into_iter().map(|source| star(planes, source, width, &positions, &index)).collect();
    (stars.len() >= FEWEST_STARS).then_some((stars, width))
}

fn star(
    planes: &Planes<'_>,
    source: &Source,
    width: f64,
    positions: &[(f64, f64)],
    index: &Neighbourhood<'_>,
) -> Star {
    let reach = (REACH_WIDTHS * width).clamp(SMALLEST_REACH, LARGEST_REACH);
    let clear = KEEP_CLEAR_WIDTHS * width;
    let others: Vec<(f64, f64)> = index
        .within(source.x, source.y, reach * std::f64::consts::SQRT_2 + clear)
        .map(|near| positions[near])
        .filter(|&(x, y)| (x, y) != (source.x, source.y))
        .collect();
    let (rows, columns) = planes.window(source.x, source.y, reach);
    let mut pixels = Vec::with_capacity(rows.len() * columns.len());
    for row in rows {
        for column in columns.clone() {
            let pixel = planes.pixel(row, column);
            let (x, y) = (column as f64, row as f64);
            let taken = others.iter().any(|&(u, v)| (u - x).hypot(v - y) < clear);
            if pixel.mask == 0 && pixel.usable && !taken {
                let noise = planes.noise_row(row).get(column).copied().map_or(0.0, f64::from);
                let sky_variance = if noise > 0.0 { noise * noise } else { pixel.variance };
                pixels.push(Pixel { x, y, electrons: pixel.signal, sky_variance, weight: 0.0 });
            }
        }
    }
    // Aperture fluxes hold most of the light; the fit finds the rest.
    Star {
        x: source.x,
        y: source.y,
        flux: 1.2 * source.flux_electrons,
        sky: 0.0,
        width: 0.0,
        pixels,
    }
}

/// Weights by the model, not by the data, which would favour pixels that happen to be faint. Pixels that are off by
/// 5σ after the first round are clipped.
fn weigh(star: &mut Star, spread: &PointSpread) {
    let first = star.pixels.iter().all(|pixel| pixel.weight == 0.0);
    let local = spread.widened(star.width);
    for pixel in &mut star.pixels {
        let light = star.flux * local.pixel_share(pixel.x - star.x, pixel.y - star.y);
        let variance = pixel.sky_variance + light.max(0.0) + (PROFILE_ERROR * light).powi(2);
        let residual = pixel.electrons - star.sky - light;
        let clipped = !first && residual * residual > CLIP_SIGMAS * CLIP_SIGMAS * variance;
        pixel.weight = if !clipped && variance > 0.0 { 1.0 / variance } else { 0.0 };
    }
}

/// Sums of the normal equations; the stars' own parameters are flux, sky, x, y.
struct Normal {
    shared: Matrix4<f64>,
    shared_right: Vector4<f64>,
    stars: Vec<(Matrix4<f64>, Matrix4<f64>, Vector4<f64>)>,
}

fn normal_equations(stars: &[Star], spread: &PointSpread) -> Normal {
    let mut normal = Normal {
        shared: Matrix4::zeros(),
        shared_right: Vector4::zeros(),
        stars: Vec::with_capacity(stars.len()),
    };
    for star in stars {
        let (mut own, mut cross, mut own_right) =
            (Matrix4::zeros(), Matrix4::zeros(), Vector4::zeros());
        let local = spread.widened(star.width);
        for pixel in star.pixels.iter().filter(|pixel| pixel.weight > 0.0) {
            let share = local.share(pixel.x - star.x, pixel.y - star.y);
            let residual = pixel.electrons - star.sky - star.flux * share.value;
            // Flux in units of itself, so that all derivatives are of one scale.
            let by_own = Vector4::new(
                star.flux * share.value,
                1.0,
                star.flux * share.by_x,
                star.flux * share.by_y,
            );
            let mut by_shape = Vector4::from(share.by_shape) * star.flux;
            // Logarithms are shared as they are; this one is scaled with the width.
            by_shape[1] *= (-star.width).exp();
            let weighted_own = by_own * pixel.weight;
            normal.shared += by_shape * (by_shape * pixel.weight).transpose();
            normal.shared_right += by_shape * (pixel.weight * residual);
            own += weighted_own * by_own.transpose();
            cross += weighted_own * by_shape.transpose();
            own_right += weighted_own * residual;
        }
        normal.stars.push((own, cross, own_right));
    }
    let shape = spread.shape();
    let prior = INDEX_DEVIATION.powi(-2);
    normal.shared[(3, 3)] += prior;
    normal.shared_right[3] -= prior * (shape[3] - (EXPECTED_INDEX - 1.0).ln());
    normal
}

fn cost(stars: &[Star], spread: &PointSpread) -> f64 {
    let mut sum = ((spread.shape()[3] - (EXPECTED_INDEX - 1.0).ln()) / INDEX_DEVIATION).powi(2);
    for star in stars {
        let local = spread.widened(star.width);
        for pixel in star.pixels.iter().filter(|pixel| pixel.weight > 0.0) {
            let share = local.pixel_share(pixel.x - star.x, pixel.y - star.y);
            sum += pixel.weight * (pixel.electrons - star.sky - star.flux * share).powi(2);
        }
    }
    sum
}

/// Levenberg–Marquardt at fixed weights. `None` when the equations are singular from the start.
fn settle(stars: &mut Vec<Star>, mut spread: PointSpread) -> Option<PointSpread> {
    // A star without enough pixels has no parameters.
    stars.retain(|star| star.pixels.iter().filter(|pixel| pixel.weight > 0.0).count() > 12);
    if stars.len() < FEWEST_STARS {
        return None;
    }
    let mut damping = 1e-3;
    let mut lowest = cost(stars, &spread);
    let mut solved = false;
    for _ in 0..MOST_STEPS {
        let normal = normal_equations(stars, &spread);
        let Some((by_shape, by_stars)) = step(&normal, damping) else {
            damping *= 10.0;
            continue;
        };
        solved = true;
        let mut shape: Shape = spread.shape();
        for (value, change) in shape.iter_mut().zip(by_shape.iter()) {
            *value += change.clamp(-0.5, 0.5);
        }
        shape[3] = shape[3].clamp((LEAST_INDEX - 1.0).ln(), (LARGEST_INDEX - 1.0).ln());
        let next = PointSpread::from_shape(shape, 0);
        let before: Vec<(f64, f64, f64, f64)> =
            stars.iter().map(|star| (star.x, star.y, star.flux, star.sky)).collect();
        for (star, change) in stars.iter_mut().zip(&by_stars) {
            star.flux *= 1.0 + change[0].clamp(-0.5, 0.5);
            star.sky += change[1];
            star.x += change[2].clamp(-0.5, 0.5);
            star.y += change[3].clamp(-0.5, 0.5);
        }
        let now = cost(stars, &next);
        if now.is_finite() && now <= lowest {
            let gain = lowest - now;
            (spread, lowest) = (next, now);
            damping = (damping * 0.2).max(1e-9);
            if gain < 1e-6 * lowest.max(1.0) {
                break;
            }
        } else {
            for (star, &(x, y, flux, sky)) in stars.iter_mut().zip(&before) {
                (star.x, star.y, star.flux, star.sky) = (x, y, flux, sky);
            }
            damping *= 8.0;
            if damping > 1e8 {
                break;
            }
        }
    }
    solved.then_some(spread)
}

/// Width of a star relative to the mean profile's, by Gauss–Newton on flux, sky, position and ln width. `None` when
/// it does not settle.
fn width_of(star: &Star, spread: &PointSpread) -> Option<WidthOfStar> {
    let (mut flux, mut sky, mut x, mut y) = (star.flux, star.sky, star.x, star.y);
    let mut logarithm = star.width;
    for _ in 0..MOST_STEPS {
        let local = spread.widened(logarithm);
        let middle = local.shape()[1];
        let (mut normal, mut right) = (SMatrix::<f64, 5, 5>::zeros(), SVector::<f64, 5>::zeros());
        for pixel in star.pixels.iter().filter(|pixel| pixel.weight > 0.0) {
            let Share { value, by_x, by_y, by_shape } = local.share(pixel.x - x, pixel.y - y);
            // The width divides all three of the shape's lengths.
            let by_width = -(by_shape[0] + middle * by_shape[1] + by_shape[2]);
            let row = SVector::from([value, 1.0, flux * by_x, flux * by_y, flux * by_width]);
            let residual = pixel.electrons - sky - flux * value;
            normal += row * row.transpose() * pixel.weight;
            right += row * (pixel.weight * residual);
        }
        let inverse = normal.try_inverse()?;
        let change = inverse * right;
        flux += change[0];
        sky += change[1];
        x += change[2].clamp(-0.5, 0.5);
        y += change[3].clamp(-0.5, 0.5);
        logarithm += change[4].clamp(-0.3, 0.3);
        let near = (x - star.x).hypot(y - star.y) < 1.0 && logarithm.abs() < 1.0;
        if !near || flux <= 0.0 {
            return None;
        }
        if change[4].abs() < 1e-4 {
            let error = inverse[(4, 4)].max(0.0).sqrt();
            return error.is_finite().then_some(WidthOfStar { x, y, logarithm, error });
        }
    }
    None
}

/// Solves the damped equations by eliminating the stars' own parameters (Schur complement).
fn step(normal: &Normal, damping: f64) -> Option<(Vector4<f64>, Vec<Vector4<f64>>)> {
    let damp = |mut matrix: Matrix4<f64>| {
        for diagonal in 0..4 {
            matrix[(diagonal, diagonal)] *= 1.0 + damping;
        }
        matrix
    };
    let mut reduced = damp(normal.shared);
    let mut right = normal.shared_right;
    let mut inverses = Vec::with_capacity(normal.stars.len());
    for (own, cross, own_right) in &normal.stars {
        let inverse = damp(*own).try_inverse()?;
        reduced -= cross.transpose() * inverse * cross;
        right -= cross.transpose() * inverse * own_right;
        inverses.push(inverse);
    }
    let by_shape = reduced.try_inverse()? * right;
    let by_stars = normal
        .stars
        .iter()
        .zip(&inverses)
        .map(|((_, cross, own_right), inverse)| inverse * (own_right - cross * by_shape))
        .collect();
    by_shape.iter().all(|value| value.is_finite()).then_some((by_shape, by_stars))
}

/// Leaves out stars that fit much worse than the others: close pairs, galaxies, unmasked blemishes.
fn drop_misfits(stars: &mut Vec<Star>, spread: &PointSpread) {
    let misfit = |star: &Star| {
        let (mut sum, mut count) = (0.0, 0.0);
        let local = spread.widened(star.width);
        for pixel in star.pixels.iter().filter(|pixel| pixel.weight > 0.0) {
            let light = star.flux * local.pixel_share(pixel.x - star.x, pixel.y - star.y);
            sum += pixel.weight * (pixel.electrons - star.sky - light).powi(2);
            count += 1.0;
        }
        sum / f64::max(count, 1.0)
    };
    let misfits: Vec<f64> = stars.iter().map(misfit).collect();
    let Some((median, _)) = super::statistics::median_and_deviation(&misfits) else {
        return;
    };
    let mut misfits = misfits.into_iter();
    stars.retain(|star| {
        let fits = misfits.next().is_some_and(|value| value <= WORST_STAR * median);
        fits && star.flux > 0.0
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imaging::{
        Image, Mask, background,
        detection::{DetectionParameters, detect},
        synthetic,
    };

    fn fitted(image: &CalibratedImage) -> Option<PointSpread> {
        let background = background::estimate(&image.data, &image.mask, 64);
        let found = detect(image, &background, &DetectionParameters::default());
        PointSpread::fit(image, &background, &found.sources)
    }

    #[test]
    fn the_profile_of_the_field_is_found() {
        for fwhm in [2.2, 3.0, 4.5] {
            let stars = synthetic::scattered(40, (300, 300), 15.0, 3e3, 3e5, 31);
            let image = synthetic::frame((300, 300), &stars, fwhm, 200.0, 0.05, 32);
            let spread = fitted(&image).unwrap();
            assert!((spread.fwhm_pixels() / fwhm - 1.0).abs() < 0.01, "{spread:?}");
            assert!((spread.index() - 3.0).abs() < 0.25, "{spread:?}");
            assert!(spread.elongation() < 1.03);
            assert!(spread.star_count() >= 10);
        }
    }

    #[test]
    fn a_width_that_varies_over_the_frame_is_followed() {
        let shape = (400, 400);
        let stars = synthetic::scattered(60, shape, 15.0, 1e4, 3e5, 41);
        let width =
            |x: f64, y: f64| 2.6 * (1.0 + 0.08 * ((x - 200.0).powi(2) + (y - 200.0).powi(2)) / 4e4);
        let mut light = ndarray::Array2::zeros(shape);
        for star in &stars {
            synthetic::add_stars(&mut light, &[*star], width(star.x, star.y), 60);
        }
        let mut generator = synthetic::Generator::new(42);
        let image = CalibratedImage {
            data: light.mapv(|electrons| {
                (electrons + 200.0 + (electrons + 225.0f64).sqrt() * generator.normal()) as f32
            }),
            variance: light.mapv(|electrons| (electrons + 225.0) as f32),
            mask: Mask::zeros(shape),
        };
        let spread = fitted(&image).unwrap();
        for (x, y) in [(200.0, 200.0), (30.0, 200.0), (370.0, 360.0), (100.0, 320.0)] {
            let found = spread.at(x, y).fwhm_pixels();
            assert!((found / width(x, y) - 1.0).abs() < 0.015, "{x} {y}: {found}");
        }
    }

    #[test]
    fn without_stars_there_is_none() {
        let shape = (64, 64);
        let noise = synthetic::frame(shape, &[], 3.0, 100.0, 0.0, 5);
        assert_eq!(fitted(&noise), None);
        let nothing = CalibratedImage {
            data: Image::from_elem(shape, f32::NAN),
            variance: Image::from_elem(shape, f32::NAN),
            mask: Mask::zeros(shape),
        };
        assert_eq!(fitted(&nothing), None);
        let stars = synthetic::scattered(20, (200, 200), 15.0, 2e4, 2e5, 3);
        let image = synthetic::frame((200, 200), &stars, 3.0, 100.0, 0.0, 4);
        let background = background::estimate(&image.data, &image.mask, 64);
        let found = detect(&image, &background, &DetectionParameters::default());
        let mut sources = found.sources;
        for source in &mut sources {
            (source.x, source.y) = (f64::NAN, 1e9);
        }
        assert_eq!(PointSpread::fit(&image, &background, &sources), None);
    }
}
