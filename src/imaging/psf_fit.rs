//! Fit of the point-spread function to the stars of a frame, all at once.

use nalgebra::{Matrix4, SMatrix, SVector, Vector4};

use super::{
    CalibratedImage,
    background::Background,
    bands,
    neighbourhood::Neighbourhood,
    planes::Planes,
    psf::{LARGEST_INDEX, LEAST_INDEX, PointSpread, Shape, Share},
    psf_variation::{ShapeChange, ShapeOfStar, VARYING, Variation},
    stellar_width::{self, WidthSample},
};
use crate::model::{Source, SourceFlags};

/// The most stars used, brightest first.
const MOST_STARS: usize = 128;
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
/// Steps end when they gain less than this in Σ residual² / variance: what is left is a small part of any error.
const LEAST_GAIN: f64 = 1.0;
/// The shape of a single star is measured within this many widths, where it shows, until it changes by less than this.
const SHAPE_WIDTHS: f64 = 2.0;
const LAST_CHANGE: f64 = 1e-3;
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
    /// Its shape less that of the mean profile.
    change: ShapeChange,
    pixels: Vec<Pixel>,
}

impl PointSpread {
    /// Fits an elliptical Moffat profile to the frame's stars: unflagged `sources` of S/N > 20 and of the stellar
    /// width, up to 128. Shape, and flux, position and local sky of each star, are found together
    /// (Levenberg–Marquardt, the stars' own parameters eliminated); how width and ellipse vary over the frame are
    /// polynomials of second degree through the shapes of the single stars, with fewer than 24 slopes, with fewer than
    /// 12 none; the index is one. Pixels that stand out by 5σ and stars that do not fit are left out.
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
                let reach = SHAPE_WIDTHS * width;
                let shapes = bands::map(&stars, |star| shape_of(star, &spread, reach));
                let shapes: Vec<ShapeOfStar> = shapes.into_iter().flatten().collect();
                variation = Variation::fit(&shapes, image.shape());
                for star in &mut stars {
                    star.change = variation.at(star.x, star.y);
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
            if (x - source.x).powi(2) + (y - source.y).powi(2) > reach * reach {
                continue;
            }
            let taken =
                others.iter().any(|&(u, v)| (u - x).powi(2) + (v - y).powi(2) < clear * clear);
            if pixel.mask == 0 && pixel.usable && !taken {
                let noise = f64::from(planes.noise(row, column));
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
        change: ShapeChange::default(),
        pixels,
    }
}

/// Weights by the model, not by the data, which would favour pixels that happen to be faint. Pixels that are off by
/// 5σ after the first round are clipped.
fn weigh(star: &mut Star, spread: &PointSpread) {
    let first = star.pixels.iter().all(|pixel| pixel.weight == 0.0);
    let local = spread.varied(star.change);
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
    stars: Vec<StarNormal>,
    /// Σ residual² / variance, with that of what is expected of the index.
    cost: f64,
}

/// The part of one star: of the shape alone, of its own parameters, and of both.
struct StarNormal {
    shared: Matrix4<f64>,
    shared_right: Vector4<f64>,
    own: Matrix4<f64>,
    cross: Matrix4<f64>,
    own_right: Vector4<f64>,
    cost: f64,
}

fn star_normal(star: &Star, spread: &PointSpread) -> StarNormal {
    let (zeros, none) = (Matrix4::zeros(), Vector4::zeros());
    let mut sums = StarNormal {
        shared: zeros,
        shared_right: none,
        own: zeros,
        cross: zeros,
        own_right: none,
        cost: 0.0,
    };
    let local = spread.varied(star.change);
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
        // What is added to the shape of the star is the same for all shapes.
        let by_shape = Vector4::from(share.by_shape) * star.flux;
        let weighted_own = by_own * pixel.weight;
        sums.shared += by_shape * (by_shape * pixel.weight).transpose();
        sums.shared_right += by_shape * (pixel.weight * residual);
        sums.own += weighted_own * by_own.transpose();
        sums.cross += weighted_own * by_shape.transpose();
        sums.own_right += weighted_own * residual;
        sums.cost += pixel.weight * residual * residual;
    }
    sums
}

fn normal_equations(stars: &[Star], spread: &PointSpread) -> Normal {
    let of_stars = bands::map(stars, |star| star_normal(star, spread));
    let (mut shared, mut shared_right) = (Matrix4::zeros(), Vector4::zeros());
    let prior = INDEX_DEVIATION.powi(-2);
    let offset = spread.shape()[3] - (EXPECTED_INDEX - 1.0).ln();
    let mut cost = prior * offset * offset;
    for sums in &of_stars {
        shared += sums.shared;
        shared_right += sums.shared_right;
        cost += sums.cost;
    }
    shared[(3, 3)] += prior;
    shared_right[3] -= prior * offset;
    Normal { shared, shared_right, stars: of_stars, cost }
}

/// Levenberg–Marquardt at fixed weights. `None` when the equations are singular from the start.
fn settle(stars: &mut Vec<Star>, mut spread: PointSpread) -> Option<PointSpread> {
    // A star without enough pixels has no parameters.
    stars.retain(|star| star.pixels.iter().filter(|pixel| pixel.weight > 0.0).count() > 12);
    if stars.len() < FEWEST_STARS {
        return None;
    }
    let mut damping = 1e-3;
    let mut normal = normal_equations(stars, &spread);
    let mut solved = false;
    for _ in 0..MOST_STEPS {
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
        // What tells whether the step was good is what the next one needs.
        let now = normal_equations(stars, &next);
        if now.cost.is_finite() && now.cost <= normal.cost {
            let gain = normal.cost - now.cost;
            (spread, normal) = (next, now);
            damping = (damping * 0.2).max(1e-9);
            if gain < LEAST_GAIN {
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

/// Own parameters of a star whose shape is measured: flux, sky, x, y, ln a, b, ln c.
const OWN: usize = 4 + VARYING;

/// Shape of a star less the mean profile's, by Gauss–Newton on flux, sky, position and shape from the pixels within
/// `reach`, the index that of the mean. `None` when it does not settle.
fn shape_of(star: &Star, spread: &PointSpread, reach: f64) -> Option<ShapeOfStar> {
    let (mut flux, mut sky, mut x, mut y) = (star.flux, star.sky, star.x, star.y);
    let mut total = star.change;
    let is_near =
        |pixel: &&Pixel| pixel.weight > 0.0 && (pixel.x - star.x).hypot(pixel.y - star.y) <= reach;
    let pixels: Vec<&Pixel> = star.pixels.iter().filter(is_near).collect();
    for _ in 0..MOST_STEPS {
        let local = spread.varied(total);
        let mut normal = SMatrix::<f64, OWN, OWN>::zeros();
        let mut right = SVector::<f64, OWN>::zeros();
        for pixel in &pixels {
            let Share { value, by_x, by_y, by_shape } = local.share(pixel.x - x, pixel.y - y);
            let [by_a, by_b, by_c, _] = by_shape.map(|derivative| flux * derivative);
            let row = SVector::from([value, 1.0, flux * by_x, flux * by_y, by_a, by_b, by_c]);
            let residual = pixel.electrons - sky - flux * value;
            normal += row * (row * pixel.weight).transpose();
            right += row * (pixel.weight * residual);
        }
        let inverse = normal.try_inverse()?;
        let change = inverse * right;
        flux += change[0];
        sky += change[1];
        x += change[2].clamp(-0.5, 0.5);
        y += change[3].clamp(-0.5, 0.5);
        let mut largest = 0.0_f64;
        for (parameter, total) in total.iter_mut().enumerate() {
            *total += change[4 + parameter].clamp(-0.3, 0.3);
            largest = largest.max(change[4 + parameter].abs());
        }
        let near =
            (x - star.x).hypot(y - star.y) < 1.0 && total.iter().all(|each| each.abs() < 1.0);
        if !near || flux <= 0.0 {
            return None;
        }
        if largest < LAST_CHANGE {
            let error: ShapeChange = std::array::from_fn(|parameter| {
                inverse[(4 + parameter, 4 + parameter)].max(0.0).sqrt()
            });
            let is_known = error.iter().all(|error| error.is_finite());
            return is_known.then_some(ShapeOfStar { x, y, change: total, error });
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
    for StarNormal { own, cross, own_right, .. } in &normal.stars {
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
        .map(|(star, inverse)| inverse * (star.own_right - star.cross * by_shape))
        .collect();
    by_shape.iter().all(|value| value.is_finite()).then_some((by_shape, by_stars))
}

/// Leaves out stars that fit much worse than the others: close pairs, galaxies, unmasked blemishes.
fn drop_misfits(stars: &mut Vec<Star>, spread: &PointSpread) {
    let misfit = |star: &Star| {
        let (mut sum, mut count) = (0.0, 0.0);
        let local = spread.varied(star.change);
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

    /// Drawn out along the radius, as by a field lens: neither width nor ellipse is the same anywhere.
    #[test]
    fn an_ellipse_that_varies_over_the_frame_is_followed() {
        let shape = (500, 500);
        let stars = synthetic::scattered(70, shape, 22.0, 2e4, 4e5, 61);
        let local = |x: f64, y: f64| {
            let (u, v) = ((x - 250.0) / 250.0, (y - 250.0) / 250.0);
            let change = [0.10 * u * u - 0.04 * v, 0.06 * u * v, 0.10 * v * v - 0.05 * u];
            PointSpread::round(3.2, 2.7).unwrap().varied(change)
        };
        let mut light = ndarray::Array2::<f64>::zeros(shape);
        for star in &stars {
            let spread = local(star.x, star.y);
            for ((row, column), value) in light.indexed_iter_mut() {
                let (dx, dy) = (column as f64 - star.x, row as f64 - star.y);
                if dx * dx + dy * dy < 2500.0 {
                    *value += star.flux * spread.pixel_share(dx, dy);
                }
            }
        }
        let mut generator = synthetic::Generator::new(62);
        let image = CalibratedImage {
            data: light.mapv(|electrons| {
                (electrons + 200.0 + (electrons + 225.0).sqrt() * generator.normal()) as f32
            }),
            variance: light.mapv(|electrons| (electrons + 225.0) as f32),
            mask: Mask::zeros(shape),
        };
        let background = background::estimate(&image.data, &image.mask, 64);
        let found = detect(&image, &background, &DetectionParameters::default());
        let spread = PointSpread::fit(&image, &background, &found.sources).unwrap();
        assert!((spread.index() - 2.7).abs() < 0.1, "{spread:?}");
        for (x, y) in [(250.0, 250.0), (40.0, 250.0), (460.0, 440.0), (120.0, 400.0)] {
            let (found, true_one) = (spread.at(x, y).shape(), local(x, y).shape());
            for parameter in 0..VARYING {
                let off = found[parameter] - true_one[parameter];
                assert!(off.abs() < 0.02, "{x} {y}: {found:?} for {true_one:?}");
            }
        }
        let fluxes = super::super::psf_photometry::point_fluxes(
            &image,
            &background,
            &spread,
            &found.sources,
        );
        let mut squares: Vec<f64> =
            fluxes.iter().flatten().map(|flux| flux.reduced_chi_square).collect();
        squares.sort_by(f64::total_cmp);
        let median = squares[squares.len() / 2];
        assert!((median - 1.0).abs() < 0.05, "{median}");
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
