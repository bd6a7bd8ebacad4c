//! Detection of sources: matched filter, threshold, connected pixels, deblending, measurement.

use super::{
    CalibratedImage,
    aperture::measure_in,
    background::Background,
    components::{self, Component, ComponentParameters},
    mask_bits, matched_filter,
    planes::Planes,
};
use crate::model::{Source, SourceFlags};

/// Smallest radius of the photometric aperture.
const SMALLEST_APERTURE_PIXELS: f64 = 2.0;
/// Aperture where no stellar width could be measured, in widths of the filter.
const APERTURE_WITHOUT_STARS: f64 = 1.0;
/// Stars for the width: at least this bright.
const WIDTH_SIGNAL_TO_NOISE: f64 = 20.0;
/// Fewer give no width.
const FEWEST_STARS: usize = 3;
/// Iterations of the windowed centroid, and where it has converged.
const CENTROID_ITERATIONS: usize = 16;
const CENTROID_PRECISION_PIXELS: f64 = 2e-4;
/// A windowed centroid farther from the isophotal one is of another source.
const LARGEST_CENTROID_SHIFT_PIXELS: f64 = 1.5;
/// Light within so many widths is all of a star, for the half-light radius.
const WHOLE_LIGHT_WIDTHS: f64 = 2.5;
/// A neighbour nearer than so many apertures, and brighter than this share, crowds a source.
const CROWDING_APERTURES: f64 = 2.0;
const CROWDING_SHARE: f64 = 0.1;
/// Turns a full width at half maximum into a standard deviation.
const FWHM_TO_SIGMA: f64 = 0.424_660_900_144_009_5;

/// Settings of [`detect`]; the defaults suit a seeing of two to four pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DetectionParameters {
    /// Threshold in standard deviations of the filtered background.
    pub threshold_sigma: f64,
    /// Smallest number of connected pixels above the threshold.
    pub minimum_pixels: usize,
    /// Full width at half maximum of the Gaussian matched filter.
    pub filter_fwhm_pixels: f64,
    pub deblend_levels: usize,
    /// Smallest share of the flux for a branch to become a source.
    pub deblend_contrast: f64,
    /// Radius of the photometric aperture; `None`: 1.0 × median FWHM of the stars, at least 2 pixels.
    pub aperture_radius_pixels: Option<f64>,
    /// The most sources kept (brightest first): a bound on time and memory.
    pub maximum_sources: usize,
}

impl Default for DetectionParameters {
    fn default() -> Self {
        Self {
            threshold_sigma: 3.0,
            minimum_pixels: 4,
            filter_fwhm_pixels: 2.5,
            deblend_levels: 32,
            deblend_contrast: 0.005,
            aperture_radius_pixels: None,
            maximum_sources: 20_000,
        }
    }
}

/// Sources of one image and what was learned on the way.
#[derive(Debug, Clone, PartialEq)]
pub struct Detections {
    /// Brightest first.
    pub sources: Vec<Source>,
    /// Median FWHM of unsaturated, unblended, star-like sources; `None` with fewer than three.
    pub stellar_fwhm_pixels: Option<f64>,
    pub aperture_radius_pixels: f64,
    /// Sources beyond `maximum_sources`, left out.
    pub dropped_count: usize,
}

/// Finds and measures the sources of a reduced image. The background is subtracted here. Positions are
/// windowed centroids where they converge, isophotal ones otherwise; fluxes are in a circular aperture with
/// exact pixel overlap; errors hold sky noise, source noise and read noise through the variance plane.
/// Deterministic: the same input gives the same list, in the same order.
pub fn detect(
    image: &CalibratedImage,
    background: &Background,
    parameters: &DetectionParameters,
) -> Detections {
    let fallback =
        SMALLEST_APERTURE_PIXELS.max(APERTURE_WITHOUT_STARS * parameters.filter_fwhm_pixels);
    let nothing = Detections {
        sources: Vec::new(),
        stellar_fwhm_pixels: None,
        aperture_radius_pixels: parameters.aperture_radius_pixels.unwrap_or(fallback),
        dropped_count: 0,
    };
    let Some(planes) = Planes::new(image, background) else { return nothing };
    let filtered = matched_filter::filter(&planes, parameters.filter_fwhm_pixels);
    let found = components::find(
        &filtered.light,
        &filtered.significance,
        &ComponentParameters {
            threshold: parameters.threshold_sigma as f32,
            minimum_pixels: parameters.minimum_pixels.max(1),
            contrast: parameters.deblend_contrast as f32,
        },
    );
    let mut sources: Vec<Source> =
        found.iter().filter_map(|component| shape_of(&planes, component)).collect();
    for source in &mut sources {
        source.fwhm_pixels = half_light_width(&planes, source, parameters.filter_fwhm_pixels);
    }
    let first_radius = parameters.aperture_radius_pixels.unwrap_or(fallback);
    measure_all(&planes, &mut sources, first_radius);
    let stellar_fwhm_pixels = stellar_width(&sources);
    let radius = parameters.aperture_radius_pixels.unwrap_or_else(|| {
        stellar_fwhm_pixels.map_or(fallback, |fwhm| fwhm.max(SMALLEST_APERTURE_PIXELS))
    });
    let window = FWHM_TO_SIGMA * stellar_fwhm_pixels.unwrap_or(parameters.filter_fwhm_pixels);
    for source in &mut sources {
        centre(&planes, source, window);
    }
    measure_all(&planes, &mut sources, radius);
    sources.sort_by(|left, right| {
        right
            .flux_electrons
            .total_cmp(&left.flux_electrons)
            .then_with(|| left.y.total_cmp(&right.y))
            .then_with(|| left.x.total_cmp(&right.x))
    });
    let dropped_count = sources.len().saturating_sub(parameters.maximum_sources);
    sources.truncate(parameters.maximum_sources);
    mark_crowded(&mut sources, radius);
    Detections { sources, stellar_fwhm_pixels, aperture_radius_pixels: radius, dropped_count }
}

/// Isophotal centroid and second moments (Bertin 2010, SExtractor manual §10), peak and flags.
fn shape_of(planes: &Planes<'_>, component: &Component) -> Option<Source> {
    let (mut sum, mut x, mut y) = (0.0, 0.0, 0.0);
    let (mut xx, mut yy, mut xy) = (0.0, 0.0, 0.0);
    let mut peak = f64::MIN;
    let mut flags = SourceFlags::default();
    for &(row, column) in &component.pixels {
        let pixel = planes.pixel(row, column);
        let light = pixel.signal.max(0.0);
        let (column_position, row_position) = (column as f64, row as f64);
        sum += light;
        x += light * column_position;
        y += light * row_position;
        xx += light * column_position * column_position;
        yy += light * row_position * row_position;
        xy += light * column_position * row_position;
        peak = peak.max(pixel.signal);
        if pixel.mask & (mask_bits::SATURATED | mask_bits::BLEED) != 0 {
            flags.set(SourceFlags::SATURATED);
        }
        let at_edge =
            row == 0 || column == 0 || row + 1 == planes.height || column + 1 == planes.width;
        if at_edge {
            flags.set(SourceFlags::TRUNCATED);
        }
    }
    if !(sum > 0.0) {
        return None;
    }
    if component.is_blended {
        flags.set(SourceFlags::BLENDED);
    }
    let (x, y) = (x / sum, y / sum);
    // A source of a single bright pixel still has the width of that pixel.
    let pixel_moment = 1.0 / 12.0;
    let xx = (xx / sum - x * x).max(pixel_moment);
    let yy = (yy / sum - y * y).max(pixel_moment);
    let xy = xy / sum - x * y;
    let half_sum = f64::midpoint(xx, yy);
    let spread = (((xx - yy) / 2.0).powi(2) + xy * xy).sqrt();
    Some(Source {
        x,
        y,
        position_error_pixels: 0.0,
        peak_electrons: peak,
        flux_electrons: 0.0,
        flux_error_electrons: 0.0,
        aperture_radius_pixels: 0.0,
        semi_major_pixels: (half_sum + spread).sqrt(),
        semi_minor_pixels: (half_sum - spread).max(pixel_moment).sqrt(),
        theta_radians: 0.5 * (2.0 * xy).atan2(xx - yy),
        fwhm_pixels: 0.0,
        pixel_count: component.pixels.len(),
        flags,
    })
}

/// Full width at half maximum of a Gaussian with the half-light radius of the source: twice that radius.
fn half_light_width(planes: &Planes<'_>, source: &Source, filter_fwhm: f64) -> f64 {
    let reach = (WHOLE_LIGHT_WIDTHS * filter_fwhm.max(2.0 * source.semi_minor_pixels)).min(30.0);
    let (rows, columns) = planes.window(source.x, source.y, reach);
    let mut light = Vec::new();
    for row in rows {
        for column in columns.clone() {
            let distance = (column as f64 - source.x).hypot(row as f64 - source.y);
            if distance <= reach {
                light.push((distance, planes.pixel(row, column).signal));
            }
        }
    }
    light.sort_by(|left, right| left.0.total_cmp(&right.0));
    let total: f64 = light.iter().map(|(_, signal)| signal).sum();
    if !(total > 0.0) {
        return 0.0;
    }
    let (mut sum, mut before) = (0.0, 0.0);
    for (distance, signal) in &light {
        let next = sum + signal;
        if next >= total / 2.0 {
            let share = if next > sum { (total / 2.0 - sum) / (next - sum) } else { 0.0 };
            // The area of the pixels so far gives a radius that does not jump from ring to ring.
            return 2.0 * (before + share * (distance - before)).max(0.5);
        }
        (sum, before) = (next, *distance);
    }
    2.0 * reach
}

/// Aperture flux, its error, and what the aperture touches.
fn measure_all(planes: &Planes<'_>, sources: &mut [Source], radius: f64) {
    for source in sources {
        source.aperture_radius_pixels = radius;
        let Some(sum) = measure_in(planes, source.x, source.y, radius) else {
            source.flags.set(SourceFlags::TRUNCATED);
            continue;
        };
        source.flux_electrons = sum.flux_electrons;
        source.flux_error_electrons = sum.flux_error_electrons;
        if sum.mask_bits & (mask_bits::SATURATED | mask_bits::BLEED) != 0 {
            source.flags.set(SourceFlags::SATURATED);
        }
        if sum.mask_bits & !(mask_bits::SATURATED | mask_bits::BLEED) != 0 {
            source.flags.set(SourceFlags::MASKED);
        }
        let circle = std::f64::consts::PI * radius * radius;
        if sum.area_pixels < 0.999 * circle {
            source.flags.set(SourceFlags::TRUNCATED);
        }
        // Standard error of a centroid weighted like the profile itself (King 1983): width over signal to noise.
        let signal_to_noise = source.signal_to_noise();
        if signal_to_noise > 0.0 {
            let sigma = f64::midpoint(source.semi_major_pixels, source.semi_minor_pixels);
            source.position_error_pixels = sigma / signal_to_noise;
        }
    }
}

/// Windowed centroid (SExtractor manual §10.5.1): Gaussian window of `sigma`, each step moves by twice the weighted mean offset.
fn centre(planes: &Planes<'_>, source: &mut Source, sigma: f64) {
    if source.flags.has(SourceFlags::SATURATED) || !(sigma > 0.0) {
        return;
    }
    let (mut x, mut y) = (source.x, source.y);
    for _ in 0..CENTROID_ITERATIONS {
        let (mut weight_sum, mut dx, mut dy) = (0.0, 0.0, 0.0);
        let (rows, columns) = planes.window(x, y, 4.0 * sigma);
        for row in rows {
            for column in columns.clone() {
                let (u, v) = (column as f64 - x, row as f64 - y);
                let square = u * u + v * v;
                if square > 16.0 * sigma * sigma {
                    continue;
                }
                let weight =
                    (-square / (2.0 * sigma * sigma)).exp() * planes.pixel(row, column).signal;
                weight_sum += weight;
                dx += weight * u;
                dy += weight * v;
            }
        }
        if !(weight_sum > 0.0) {
            return;
        }
        let (step_x, step_y) = (2.0 * dx / weight_sum, 2.0 * dy / weight_sum);
        x += step_x;
        y += step_y;
        if (x - source.x).hypot(y - source.y) > LARGEST_CENTROID_SHIFT_PIXELS {
            return;
        }
        if step_x.hypot(step_y) < CENTROID_PRECISION_PIXELS {
            break;
        }
    }
    (source.x, source.y) = (x, y);
}

/// Median width of the stars: of bright, whole, lone sources, those about the most frequent width. Cosmic rays are sharper, galaxies
/// wider, and both are fewer.
fn stellar_width(sources: &[Source]) -> Option<f64> {
    let mut widths: Vec<f64> = sources
        .iter()
        .filter(|source| {
            source.flags == SourceFlags::default()
                && source.signal_to_noise() > WIDTH_SIGNAL_TO_NOISE
                && source.semi_minor_pixels > 0.6 * source.semi_major_pixels
                && source.fwhm_pixels > 0.0
        })
        .map(|source| source.fwhm_pixels)
        .collect();
    widths.sort_by(f64::total_cmp);
    // The half of the widths that lie closest together, twice (half-sample mode), then the median about it.
    let mut dense: &[f64] = &widths;
    for _ in 0..2 {
        let half = dense.len().div_ceil(2);
        if half < FEWEST_STARS {
            break;
        }
        let start = (0..=dense.len() - half).min_by(|left, right| {
            let spread = |start: usize| dense[start + half - 1] - dense[start];
            spread(*left).total_cmp(&spread(*right))
        });
        dense = &dense[start.unwrap_or(0)..start.unwrap_or(0) + half];
    }
    let mode = *dense.get(dense.len() / 2)?;
    let stars: Vec<f64> =
        widths.iter().copied().filter(|width| (0.75..=1.3).contains(&(width / mode))).collect();
    (stars.len() >= FEWEST_STARS).then(|| stars[stars.len() / 2])
}

/// Neighbours whose light reaches into an aperture.
fn mark_crowded(sources: &mut [Source], radius: f64) {
    let reach = CROWDING_APERTURES * radius;
    let mut order: Vec<usize> = (0..sources.len()).collect();
    order.sort_by(|left, right| sources[*left].x.total_cmp(&sources[*right].x));
    let mut crowded = Vec::new();
    for (place, &left) in order.iter().enumerate() {
        for &right in &order[place + 1..] {
            if sources[right].x - sources[left].x > reach {
                break;
            }
            let (a, b) = (&sources[left], &sources[right]);
            if (a.x - b.x).hypot(a.y - b.y) > reach {
                continue;
            }
            if b.flux_electrons > CROWDING_SHARE * a.flux_electrons {
                crowded.push(left);
            }
            if a.flux_electrons > CROWDING_SHARE * b.flux_electrons {
                crowded.push(right);
            }
        }
    }
    for index in crowded {
        sources[index].flags.set(SourceFlags::CROWDED);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imaging::{
        Image, Mask, background,
        synthetic::{Star, frame, scattered},
    };

    fn found(image: &CalibratedImage) -> Detections {
        let background = background::estimate(&image.data, &image.mask, 32);
        let parameters = DetectionParameters { threshold_sigma: 4.0, ..Default::default() };
        detect(image, &background, &parameters)
    }

    fn nearest<'a>(detections: &'a Detections, star: &Star) -> Option<(&'a Source, f64)> {
        detections
            .sources
            .iter()
            .map(|source| (source, (source.x - star.x).hypot(source.y - star.y)))
            .min_by(|left, right| left.1.total_cmp(&right.1))
    }

    #[test]
    fn bright_stars_are_all_found_where_they_are_and_as_bright() {
        let stars = scattered(60, (300, 300), 15.0, 2_000.0, 60_000.0, 5);
        let image = frame((300, 300), &stars, 3.0, 300.0, 0.2, 9);
        let detections = found(&image);
        let fwhm = detections.stellar_fwhm_pixels.unwrap();
        assert!((2.7..3.7).contains(&fwhm), "{fwhm}");
        let lone: Vec<&Star> = stars
            .iter()
            .filter(|star| {
                stars.iter().all(|other| {
                    let distance = (star.x - other.x).hypot(star.y - other.y);
                    distance == 0.0 || distance > 20.0
                })
            })
            .collect();
        assert!(lone.len() > 20);
        // All see the same share of their light in the aperture: the ratio to the truth is constant within the noise.
        let mut ratios: Vec<(f64, f64)> = Vec::new();
        for star in &lone {
            let (source, distance) = nearest(&detections, star).unwrap();
            assert!(distance < 4.0 * source.position_error_pixels + 0.02, "{distance} {star:?}");
            let ratio = source.flux_electrons / star.flux;
            ratios.push((ratio, source.flux_error_electrons / star.flux));
        }
        let weight: f64 = ratios.iter().map(|(_, error)| error.powi(-2)).sum();
        let mean = ratios.iter().map(|(ratio, error)| ratio / error.powi(2)).sum::<f64>() / weight;
        let chi_square: f64 =
            ratios.iter().map(|(ratio, error)| ((ratio - mean) / error).powi(2)).sum();
        assert!((0.6..0.98).contains(&mean), "{mean}");
        let reduced = chi_square / (ratios.len() - 1) as f64;
        assert!((0.4..2.0).contains(&reduced), "{reduced}");
    }

    #[test]
    fn two_stars_that_touch_are_two_sources() {
        let stars = [
            Star { x: 60.0, y: 60.0, flux: 30_000.0 },
            Star { x: 66.0, y: 61.0, flux: 12_000.0 },
            Star { x: 20.0, y: 100.0, flux: 30_000.0 },
        ];
        let image = frame((128, 128), &stars, 3.0, 300.0, 0.0, 3);
        let detections = found(&image);
        assert_eq!(detections.sources.len(), 3, "{:#?}", detections.sources);
        for star in &stars[..2] {
            let (source, distance) = nearest(&detections, star).unwrap();
            assert!(distance < 0.5);
            assert!(source.flags.has(SourceFlags::BLENDED));
        }
        let (lone, _) = nearest(&detections, &stars[2]).unwrap();
        assert_eq!(lone.flags, SourceFlags::default());
    }

    #[test]
    fn flags_say_what_is_wrong_with_a_source() {
        let stars = [
            Star { x: 40.0, y: 40.0, flux: 50_000.0 },
            Star { x: 1.0, y: 90.0, flux: 50_000.0 },
            Star { x: 90.0, y: 90.0, flux: 50_000.0 },
        ];
        let mut image = frame((128, 128), &stars, 3.0, 300.0, 0.0, 3);
        image.mask[[40, 40]] = mask_bits::SATURATED;
        image.mask[[91, 92]] = mask_bits::BAD;
        let detections = found(&image);
        let flags: Vec<SourceFlags> =
            stars.iter().map(|star| nearest(&detections, star).unwrap().0.flags).collect();
        assert!(flags[0].has(SourceFlags::SATURATED));
        assert!(flags[1].has(SourceFlags::TRUNCATED));
        assert!(flags[2].has(SourceFlags::MASKED) && !flags[2].has(SourceFlags::SATURATED));
    }

    #[test]
    fn nonsense_gives_no_sources_and_no_panic() {
        for shape in [(1, 1), (5, 5), (64, 64)] {
            for value in [0.0, 100.0, f32::NAN] {
                for bits in [0, mask_bits::BAD, mask_bits::SATURATED] {
                    let image = CalibratedImage {
                        data: Image::from_elem(shape, value),
                        variance: Image::from_elem(shape, 1.0),
                        mask: Mask::from_elem(shape, bits),
                    };
                    assert!(found(&image).sources.is_empty());
                }
            }
        }
    }

    #[test]
    fn noise_alone_gives_hardly_any_source() {
        let image = frame((256, 256), &[], 3.0, 300.0, 0.1, 17);
        assert!(found(&image).sources.len() <= 2);
    }
}
