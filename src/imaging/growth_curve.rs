//! The light of a star outside the photometric aperture, from the curve of growth of the frame's own stars (Howell 1989, PASP 101, 616; Stetson 1990,
//! PASP 102, 932).
//!
//! Each step of the curve is the median over the stars of the light between two circles, relative to that within the aperture, so that neighbours of single stars
//! do not count. The curve ends where most stars have neighbours, or at five full widths; a Moffat profile fitted to it says what lies beyond, and how much of a star's own wings
//! was taken for sky.

use super::{
    CalibratedImage,
    aperture::{HALF_DIAGONAL, pixel_overlap},
    background::Background,
    bands,
    neighbourhood::Neighbourhood,
    planes::Planes,
    robust_plane::{PlacedValue, fit_plane},
    statistics::median_and_deviation,
};
use crate::model::{Source, SourceFlags};
use serde::{Deserialize, Serialize};
use std::f64::consts::PI;

/// Stars used at most, and how bright they must be.
const MOST_STARS: usize = 200;
const FEWEST_STARS: usize = 8;
const LEAST_SIGNAL_TO_NOISE: f64 = 60.0;
/// Widths about the frame's that are stars.
const STELLAR_WIDTHS: std::ops::RangeInclusive<f64> = 0.85..=1.15;
/// The curve ends at so many full widths at most …
const LARGEST_REACH_WIDTHS: f64 = 5.0;
/// … and goes on in steps of this share of a full width.
const STEP_WIDTHS: f64 = 0.25;
/// The sky of a star lies between so many times the end of the curve.
const SKY_RING: (f64, f64) = (1.0, 1.5);
/// A neighbour with more than this share of a star's flux, within reach, takes the star off the curve.
const NEIGHBOUR_SHARE: f64 = 0.003;
/// Exponents of Moffat profiles.
const EXPONENTS: (f64, f64) = (1.6, 20.0);
/// Of the light that the fitted profile puts beyond the curve, or into its sky, this share is in doubt.
const TAIL_DOUBT: f64 = 0.5;
/// The share varies over the frame if its slopes are as significant (by chance once in ten thousand frames), and as large from edge to edge.
const LEAST_SIGNIFICANCE: f64 = 18.4;
const LEAST_VARIATION: f64 = 0.004;
/// Flat fields and shapes of pixels leave this much of a star's share.
const LEAST_SHARE_ERROR: f64 = 0.003;
/// A share that is known worse corrects nothing: in crowds neighbours of all stars are in the curve.
const LARGEST_ERROR: f64 = 0.02;
/// With fewer stars a variation over the frame is not looked for.
const FEWEST_FOR_SLOPE: usize = 20;

/// Which share of a star's light the photometric aperture holds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ApertureCorrection {
    /// At the middle of the frame, 0 to 1.
    pub share: f64,
    /// Standard error, the doubt of what lies beyond the curve included.
    pub share_error: f64,
    pub star_count: usize,
    /// Where the measured curve ends, pixels.
    pub reach_pixels: f64,
    /// Relative change of the share for each pixel along x and y from the middle; zero where it is not significant.
    pub gradient: (f64, f64),
    /// The middle of the frame, x and y.
    middle: (f64, f64),
}

impl ApertureCorrection {
    /// The share at a place, over that at the middle of the frame.
    pub fn relative_share(&self, x: f64, y: f64) -> f64 {
        let (along_x, along_y) = self.gradient;
        let change = along_x * (x - self.middle.0) + along_y * (y - self.middle.1);
        if change.is_finite() { 1.0 + change.clamp(-0.5, 0.5) } else { 1.0 }
    }

    /// What is added to a magnitude in the aperture to make it one of all light, at the middle of the frame: not positive.
    pub fn magnitudes(&self) -> f64 {
        2.5 * self.share.log10()
    }

    /// Standard error of [`Self::magnitudes`].
    pub fn magnitude_error(&self) -> f64 {
        2.5 / std::f64::consts::LN_10 * self.share_error / self.share
    }

    /// Largest difference of magnitudes in the aperture over the frame.
    pub fn variation_magnitudes(&self) -> f64 {
        let (along_x, along_y) = self.gradient;
        let half = along_x.abs() * self.middle.0 + along_y.abs() * self.middle.1;
        2.5 / std::f64::consts::LN_10 * 2.0 * half
    }
}

/// Light of one star, relative to that within the aperture.
struct Growth {
    x: f64,
    y: f64,
    /// Light within each radius.
    curve: Vec<f64>,
    /// Relative error of the light in the aperture.
    error: f64,
}

/// Measures the curve of growth. `sources` have their flux in an aperture of `radius` pixels; `fwhm` is that of the stars. `None` with fewer than eight
/// stars that are bright, whole and lone.
pub fn measure(
    image: &CalibratedImage,
    background: &Background,
    sources: &[Source],
    radius: f64,
    fwhm: f64,
) -> Option<ApertureCorrection> {
    let planes = Planes::new(image, background)?;
    if !(radius > 0.0 && fwhm > 0.5 && radius.is_finite() && fwhm.is_finite()) {
        return None;
    }
    let least = (radius + STEP_WIDTHS * fwhm).max(1.5 * fwhm);
    let reach = LARGEST_REACH_WIDTHS * fwhm;
    // First as far as it goes; where the stars stand too near each other, less far.
    let reaches = [1.0, 0.75, 0.5, 0.35].map(|share| (share * reach).max(least));
    reaches.into_iter().find_map(|reach| curve_to(&planes, sources, radius, fwhm, reach))
}

fn curve_to(
    planes: &Planes<'_>,
    sources: &[Source],
    radius: f64,
    fwhm: f64,
    reach: f64,
) -> Option<ApertureCorrection> {
    let stars = lone_stars(sources, fwhm, SKY_RING.1 * reach);
    if stars.len() < FEWEST_STARS {
        return None;
    }
    let steps = ((reach - radius) / (STEP_WIDTHS * fwhm)).ceil().max(1.0) as usize;
    let radii: Vec<f64> =
        (0..=steps).map(|step| radius + (reach - radius) * step as f64 / steps as f64).collect();
    let growths: Vec<Growth> =
        bands::map(&stars, |star| growth(planes, star, &radii)).into_iter().flatten().collect();
    if growths.len() < FEWEST_STARS {
        return None;
    }
    // Steps, not the curves themselves: a neighbour far out must not lift what lies inside.
    let mut curve = vec![1.0];
    let mut variance = 0.0;
    for step in 1..radii.len() {
        let steps: Vec<f64> = growths
            .iter()
            .filter_map(|each| Some(each.curve.get(step)? - each.curve.get(step - 1)?))
            .collect();
        let (median, deviation) = median_and_deviation(&steps)?;
        curve.push(curve.last()? + median);
        variance += (1.2533 * deviation).powi(2) / steps.len() as f64;
    }
    let lights: Vec<(f64, f64)> = radii.iter().copied().zip(curve.iter().copied()).collect();
    let profile = Profile::fit(&lights, fwhm, reach);
    // All light is the end of the curve over the model's share there; to the light within the aperture comes what was taken for sky.
    let last = *curve.last()?;
    let seen = profile.seen(reach, reach);
    let share = seen / last + profile.within(radius) - profile.seen(radius, reach);
    let share_error = share * (variance.sqrt() / last).hypot(TAIL_DOUBT * (1.0 - seen));
    let middle = ((planes.width as f64 - 1.0) / 2.0, (planes.height as f64 - 1.0) / 2.0);
    let gradient = gradient(&growths, &radii, middle).unwrap_or((0.0, 0.0));
    (share.is_finite() && share > 0.05 && share <= 1.05 && share_error <= LARGEST_ERROR).then_some(
        ApertureCorrection {
            share: share.min(1.0),
            share_error,
            star_count: growths.len(),
            reach_pixels: reach,
            gradient,
            middle,
        },
    )
}

/// Bright, whole stars without a neighbour within `reach`, brightest first.
fn lone_stars(sources: &[Source], fwhm: f64, reach: f64) -> Vec<Source> {
    let positions: Vec<(f64, f64)> = sources.iter().map(|source| (source.x, source.y)).collect();
    let index = Neighbourhood::new(&positions, reach);
    let is_lone = |own: usize, star: &Source| {
        index
            .within(star.x, star.y, reach)
            .filter(|near| *near != own)
            .filter_map(|near| sources.get(near))
            .all(|near| near.flux_electrons < NEIGHBOUR_SHARE * star.flux_electrons)
    };
    let mut stars: Vec<Source> = sources
        .iter()
        .enumerate()
        .filter(|(own, source)| {
            source.flags == SourceFlags::default()
                && source.signal_to_noise() >= LEAST_SIGNAL_TO_NOISE
                && STELLAR_WIDTHS.contains(&(source.fwhm_pixels / fwhm))
                && is_lone(*own, source)
        })
        .map(|(_, source)| source.clone())
        .collect();
    stars.sort_by(|one, other| other.flux_electrons.total_cmp(&one.flux_electrons));
    stars.truncate(MOST_STARS);
    stars
}

/// Light within each radius over that within the first, above the sky in a ring about the last. `None` with a masked pixel.
fn growth(planes: &Planes<'_>, star: &Source, radii: &[f64]) -> Option<Growth> {
    let reach = *radii.last()?;
    let sky = ring_sky(planes, star.x, star.y, SKY_RING.0 * reach, SKY_RING.1 * reach)?;
    let lights = lights(planes, star.x, star.y, radii, sky)?;
    let first = *lights.first()?;
    (first > 0.0).then(|| Growth {
        x: star.x,
        y: star.y,
        curve: lights.iter().map(|light| light / first).collect(),
        error: star.flux_error_electrons / star.flux_electrons,
    })
}

/// Light above `sky` within each of the ascending radii, in one look at the pixels. `None` with a masked pixel, and off the frame.
fn lights(planes: &Planes<'_>, x: f64, y: f64, radii: &[f64], sky: f64) -> Option<Vec<f64>> {
    let reach = *radii.last()?;
    let inside =
        |value: f64, size: usize| value - reach >= -0.5 && value + reach <= size as f64 - 0.5;
    if !(inside(x, planes.width) && inside(y, planes.height)) {
        return None;
    }
    // Whole pixels count from the first circle that holds all of them.
    let mut whole = vec![0.0; radii.len() + 1];
    let mut partial = vec![0.0; radii.len()];
    let (rows, columns) = planes.window(x, y, reach);
    for row in rows {
        for column in columns.clone() {
            let distance = (column as f64 - x).hypot(row as f64 - y);
            if distance > reach + HALF_DIAGONAL {
                continue;
            }
            let pixel = planes.pixel(row, column);
            if pixel.mask != 0 {
                return None;
            }
            let light = pixel.signal - sky;
            let touched = radii.partition_point(|radius| *radius < distance - HALF_DIAGONAL);
            let held = radii.partition_point(|radius| *radius < distance + HALF_DIAGONAL);
            if let Some(sum) = whole.get_mut(held) {
                *sum += light;
            }
            for (radius, sum) in radii.iter().zip(&mut partial).take(held).skip(touched) {
                *sum += light * pixel_overlap(x, y, *radius, column as i64, row as i64);
            }
        }
    }
    let mut held = 0.0;
    let sums = partial.into_iter().zip(whole).map(|(partial, whole)| {
        held += whole;
        held + partial
    });
    Some(sums.collect())
}

/// Median of the good pixels between two circles; `None` with fewer than half of them.
fn ring_sky(planes: &Planes<'_>, x: f64, y: f64, inner: f64, outer: f64) -> Option<f64> {
    let (rows, columns) = planes.window(x, y, outer);
    let mut signals = Vec::new();
    for row in rows {
        for column in columns.clone() {
            let distance = (column as f64 - x).hypot(row as f64 - y);
            if (inner..outer).contains(&distance) {
                let pixel = planes.pixel(row, column);
                if pixel.usable && pixel.mask == 0 {
                    signals.push(pixel.signal);
                }
            }
        }
    }
    let area = PI * (outer * outer - inner * inner);
    let (median, _) = median_and_deviation(&signals)?;
    (signals.len() as f64 >= 0.5 * area).then_some(median)
}

/// A Moffat profile (Moffat 1969): light within r is 1 − (1 + r²/α²)^(1 − β).
#[derive(Debug, Clone, Copy)]
struct Profile {
    core_square: f64,
    exponent: f64,
}

impl Profile {
    /// That which the curve, as it was measured to `reach`, has the least squared residuals from.
    fn fit(lights: &[(f64, f64)], fwhm: f64, reach: f64) -> Self {
        let of = |exponent: f64, width: f64| Self {
            core_square: width * width / (4.0 * (2_f64.powf(1.0 / exponent) - 1.0)),
            exponent,
        };
        let misfit = |profile: Self| {
            let first = lights.first().map_or(1.0, |(radius, _)| profile.seen(*radius, reach));
            lights
                .iter()
                .map(|(radius, light)| (profile.seen(*radius, reach) / first - light).powi(2))
                .sum::<f64>()
        };
        let mut best = (f64::INFINITY, of(3.0, fwhm));
        let (low, high) = (EXPONENTS.0.ln(), EXPONENTS.1.ln());
        for step in 0..=60 {
            let exponent = (low + (high - low) * f64::from(step) / 60.0).exp();
            for wide in 0..=40 {
                let profile = of(exponent, fwhm * (0.8 + 0.4 * f64::from(wide) / 40.0));
                let found = misfit(profile);
                if found < best.0 {
                    best = (found, profile);
                }
            }
        }
        best.1
    }

    fn within(self, radius: f64) -> f64 {
        1.0 - (1.0 + radius * radius / self.core_square).powf(1.0 - self.exponent)
    }

    /// The same with the light at the ring of a curve that ends at `reach` taken for sky.
    fn seen(self, radius: f64, reach: f64) -> f64 {
        // The median of a ring is the light at the circle that halves its area.
        let (inner, outer) = (SKY_RING.0 * reach, SKY_RING.1 * reach);
        let square = (inner * inner + outer * outer) / 2.0;
        let height = (self.exponent - 1.0) / (PI * self.core_square);
        let sky = height * (1.0 + square / self.core_square).powf(-self.exponent);
        self.within(radius) - sky * PI * radius * radius
    }
}

/// Slope of the share over the frame, relative to the share at its middle, from the light within the aperture over that within twice its radius or the end
/// of the curve. `None` where it is not significant.
fn gradient(growths: &[Growth], radii: &[f64], middle: (f64, f64)) -> Option<(f64, f64)> {
    if growths.len() < FEWEST_FOR_SLOPE {
        return None;
    }
    let double = 2.0 * radii.first()?;
    let place = radii.iter().position(|radius| *radius >= double).unwrap_or(radii.len() - 1);
    let values: Vec<PlacedValue> = growths
        .iter()
        .filter_map(|each| {
            let value = 1.0 / each.curve.get(place)?;
            let error = value * each.error.hypot(LEAST_SHARE_ERROR);
            Some(PlacedValue { x: each.x - middle.0, y: each.y - middle.1, value, error })
        })
        .collect();
    let found = fit_plane(&values, FEWEST_FOR_SLOPE)?;
    let gradient = (found.slope.0 / found.height, found.slope.1 / found.height);
    let span = 2.0 * (gradient.0.abs() * middle.0 + gradient.1.abs() * middle.1);
    (found.significance > LEAST_SIGNIFICANCE && span > LEAST_VARIATION).then_some(gradient)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imaging::{
        Image, Mask, aperture, background,
        detection::{DetectionParameters, Detections, detect},
        synthetic::{Star, add_stars, frame, scattered},
    };
    use serde_json::Value;

    fn detected(image: &CalibratedImage) -> (Background, Detections) {
        let background = background::estimate(&image.data, &image.mask, 64);
        let found = detect(image, &background, &DetectionParameters::default());
        (background, found)
    }

    fn correction(image: &CalibratedImage) -> Option<(ApertureCorrection, f64)> {
        let (background, found) = detected(image);
        let radius = found.aperture_radius_pixels;
        let fwhm = found.stellar_fwhm_pixels?;
        Some((measure(image, &background, &found.sources, radius, fwhm)?, radius))
    }

    fn share_without_noise(fwhm: f64, radius: f64) -> f64 {
        let shape = (121, 121);
        let mut light = ndarray::Array2::zeros(shape);
        add_stars(&mut light, &[Star { x: 60.2, y: 59.7, flux: 1e6 }], fwhm, 60);
        let image = CalibratedImage {
            data: light.mapv(|value| value as f32),
            variance: Image::ones(shape),
            mask: Mask::zeros(shape),
        };
        let background = Background {
            level: Image::zeros(shape).into(),
            noise: Image::ones(shape).into(),
            global_level: 0.0,
            global_noise: 1.0,
        };
        let planes = Planes::new(&image, &background).unwrap();
        aperture::measure_in(&planes, 60.2, 59.7, radius).unwrap().flux_electrons / 1e6
    }

    /// Stars on a grid, so that all are alone.
    fn lone(side: usize, apart: f64, faintest: f64, brightest: f64, seed: u64) -> Vec<Star> {
        let mut stars = scattered(side * side, (100, 100), 40.0, faintest, brightest, seed);
        for (index, star) in stars.iter_mut().enumerate() {
            star.x += apart * (index % side) as f64 - 20.0;
            star.y += apart * (index / side) as f64 - 20.0;
        }
        stars
    }

    /// Moffat profiles of index 3 in square pixels.
    #[test]
    fn the_share_is_that_of_the_profile() {
        for (fwhm, seed) in [(2.5, 1), (3.5, 2), (5.0, 3)] {
            let apart = 16.0 * fwhm;
            let size = (60.0 + 6.0 * apart) as usize;
            let stars = lone(6, apart, 3e4, 3e5, seed);
            let image = frame((size, size), &stars, fwhm, 200.0, 0.02, seed + 10);
            let (found, radius) = correction(&image).unwrap();
            // Square pixels, and apertures across them, take light out of the circle: of one star without noise.
            let truth = share_without_noise(fwhm, radius);
            let pulls = (found.share - truth).abs() / found.share_error.hypot(0.003);
            println!("{fwhm}: {found:?}, truth {truth}");
            assert!(pulls < 3.0, "{found:?} {truth}");
            assert!(found.share_error < 0.01 && found.star_count >= 30, "{found:?}");
            assert_eq!(found.gradient, (0.0, 0.0));
        }
    }

    /// Apertures and the share from photutils on the same pixels.
    #[test]
    fn the_curve_is_that_of_photutils() {
        let oracle: Value =
            serde_json::from_str(include_str!("../../tests/oracles/growth_curve.json")).unwrap();
        let number = |value: &Value| value.as_f64().unwrap();
        let text = |key: &str| number(&oracle[key]);
        let fwhm = text("fwhm");
        let stars: Vec<Star> = oracle["stars"]
            .as_array()
            .unwrap()
            .iter()
            .map(|star| Star { x: number(&star[0]), y: number(&star[1]), flux: number(&star[2]) })
            .collect();
        let size = text("size") as usize;
        let image = frame((size, size), &stars, fwhm, text("sky"), 0.0, text("seed") as u64);
        let background = Background {
            level: Image::from_elem((size, size), text("sky") as f32).into(),
            noise: Image::from_elem((size, size), 15.0).into(),
            global_level: text("sky"),
            global_noise: 15.0,
        };
        let planes = Planes::new(&image, &background).unwrap();
        let radii: Vec<f64> = oracle["radii"].as_array().unwrap().iter().map(number).collect();
        for (star, sums) in stars.iter().zip(oracle["sums"].as_array().unwrap()) {
            let at_once = lights(&planes, star.x, star.y, &radii, 0.0).unwrap();
            for (light, sum) in at_once.iter().zip(sums.as_array().unwrap()) {
                assert!((light / number(sum) - 1.0).abs() < 1e-6, "{light} {sum}");
            }
            for (radius, sum) in radii.iter().zip(sums.as_array().unwrap()) {
                let own = aperture::measure_in(&planes, star.x, star.y, *radius).unwrap();
                let expected = number(sum);
                let ratio = own.flux_electrons / expected;
                assert!((ratio - 1.0).abs() < 1e-6, "{radius}: {own:?} {expected}");
            }
        }
        let found = detect(&image, &background, &DetectionParameters::default());
        let own = measure(&image, &background, &found.sources, text("radius"), fwhm).unwrap();
        // The sources were measured in another aperture, which only their brightness is taken from. The median of photutils' curves, normalised
        // at its last radius, is brought to all light by the share of the profile there.
        let expected = text("share");
        println!("{own:?}, photutils {expected}");
        assert!((own.share - expected).abs() < 0.004, "{own:?} {expected}");
    }

    /// Stars that are wider on one side: the share falls across the frame.
    #[test]
    fn a_varying_width_is_seen() {
        let mut light: Option<CalibratedImage> = None;
        let stars = lone(9, 50.0, 1e5, 4e5, 4);
        let size = 510;
        // Columns of the frame by eight widths, each in its own strip.
        for strip in 0..9 {
            let part: Vec<Star> = stars.iter().skip(strip).step_by(9).copied().collect();
            let width = 3.0 + 0.08 * strip as f64;
            let mut image = frame((size, size), &part, width, 100.0, 0.0, 20 + strip as u64);
            match &mut light {
                None => light = Some(image),
                Some(sum) => {
                    // Only the stars are added: sky and noise are those of the first.
                    image.data.mapv_inplace(|value| value - 100.0);
                    sum.data += &image.data;
                    sum.variance += &image.variance;
                }
            }
        }
        let (found, _) = correction(&light.unwrap()).unwrap();
        println!("{found:?}");
        assert!(found.gradient.0 < -1e-4 && found.variation_magnitudes() > 0.05, "{found:?}");
        assert!(found.gradient.1.abs() < 0.2 * found.gradient.0.abs(), "{found:?}");
        assert!(found.relative_share(0.0, 255.0) > 1.0 && found.relative_share(509.0, 255.0) < 1.0);
    }

    #[test]
    fn without_lone_stars_there_is_none() {
        let image = frame((200, 200), &[], 3.0, 100.0, 0.0, 5);
        let (background, found) = detected(&image);
        assert_eq!(measure(&image, &background, &found.sources, 3.0, 3.0), None);
        let stars = scattered(400, (200, 200), 3.0, 5e4, 6e4, 9);
        let image = frame((200, 200), &stars, 3.0, 100.0, 0.0, 5);
        let (background, found) = detected(&image);
        assert_eq!(measure(&image, &background, &found.sources, 3.0, f64::NAN), None);
        // Crowded beyond use: none, or one that knows how little it knows.
        if let Some(found) = measure(&image, &background, &found.sources, 3.0, 3.0) {
            assert!(found.share > 0.5 && found.share <= 1.0, "{found:?}");
        }
    }
}
