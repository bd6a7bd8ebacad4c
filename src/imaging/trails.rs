//! Trails of satellites and aircraft: straight bright tracks across a frame.
//!
//! The frame is cut into blocks of pixels, values in units of the noise and cut at a few of them, so that a star lights no more than the blocks it
//! lies in. Lit blocks vote for lines (the Hough transform in the form of Duda & Hart 1972, CACM 15, 11); a trail lights nearly
//! every block along its chord through the frame, stars light some. Medians along the line, over which a star has no power, then say
//! where the trail is, whether it is there all along, and how wide it is.

use super::{
    CalibratedImage, background::Background, line_votes::LitBlocks, mask_bits, planes::Planes,
    statistics,
};

/// What makes a trail; the defaults find those 1.5 times the noise of a pixel bright and three pixels wide,
/// on large frames fainter ones.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrailParameters {
    /// A block is lit when its mean exceeds the sky by so many standard errors.
    pub block_sigma: f32,
    /// Least share of the blocks along a line that are lit, of those that are not lit at random anyway.
    pub least_cover: f64,
    /// Least excess of lit blocks along a line over those of a random one, standard deviations.
    pub least_significance: f64,
    /// Least brightness on the middle of the trail, in units of the noise of a pixel: fainter ones harm nothing, and what reads
    /// out a detector leaves such patterns too.
    pub least_peak: f32,
    /// The mask reaches to where the trail is this bright, in units of the noise of a pixel.
    pub edge: f32,
    /// Most pixels that the mask reaches to either side.
    pub widest_pixels: usize,
    pub most_trails: usize,
}

impl Default for TrailParameters {
    fn default() -> Self {
        Self {
            block_sigma: 2.5,
            least_cover: 0.5,
            least_significance: 8.0,
            least_peak: 0.5,
            edge: 0.35,
            widest_pixels: 40,
            most_trails: 4,
        }
    }
}

/// A straight line through a frame with a width.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Trail {
    /// A point of its middle, pixels.
    pub x: f64,
    pub y: f64,
    /// Its direction, a unit vector.
    pub along_x: f64,
    pub along_y: f64,
    /// Pixels this near to the middle are of the trail.
    pub half_width_pixels: f64,
    /// Brightness on the middle, in units of the noise of a pixel.
    pub peak: f64,
}

impl Trail {
    /// Distance of a position from the middle of the trail, pixels, positive on one side.
    pub fn distance(&self, x: f64, y: f64) -> f64 {
        (y - self.y) * self.along_x - (x - self.x) * self.along_y
    }
}

/// Finds straight trails that cross the frame, the most striking first. `background` is that of the image; masked pixels do not
/// count. A trail that begins or ends on the frame is found when it is seen on three fifths of its line.
pub fn find(
    image: &CalibratedImage,
    background: &Background,
    parameters: &TrailParameters,
) -> Vec<Trail> {
    let Some(planes) = Planes::new(image, background) else { return Vec::new() };
    let mut blocks = LitBlocks::new(&planes, parameters.block_sigma);
    let mut trails = Vec::new();
    let mut failures = 0;
    while trails.len() < parameters.most_trails && failures < MOST_FAILURES {
        let (cover, significance) = (parameters.least_cover, parameters.least_significance);
        let Some(line) = blocks.best_line(cover, significance) else { break };
        let trail = refine(&planes, line, blocks.side() as f64)
            .and_then(|line| with_width(&planes, line, parameters));
        failures += usize::from(trail.is_none());
        let cleared = trail.unwrap_or(line);
        blocks.clear_near(&cleared);
        trails.extend(trail);
    }
    trails
}

/// Sets [`mask_bits::COSMIC`] on the pixels of the trails that [`find`] finds, and returns them.
pub fn mark(
    image: &mut CalibratedImage,
    background: &Background,
    parameters: &TrailParameters,
) -> Vec<Trail> {
    let trails = find(image, background, parameters);
    for trail in &trails {
        for ((row, column), bits) in image.mask.indexed_iter_mut() {
            if trail.distance(column as f64, row as f64).abs() <= trail.half_width_pixels {
                *bits |= mask_bits::COSMIC;
            }
        }
    }
    trails
}

/// After so many lines that are no trails no more are looked for.
const MOST_FAILURES: usize = 2;
/// Pixels of the line that one place of it is measured on.
const SEGMENT_PIXELS: f64 = 64.0;
const FEWEST_SEGMENTS: usize = 6;
/// Least share of the segments that show the trail.
const LEAST_SEEN: f64 = 0.6;
/// A segment agrees with the line within so many pixels.
const AGREEMENT_PIXELS: f64 = 2.0;
/// Least height of the trail in a segment, in standard errors of its median.
const LEAST_HEIGHT: f32 = 5.0;
/// Standard error of a median over that of a mean, for Gaussian noise.
const MEDIAN_TO_MEAN: f32 = 1.2533;

/// The line through the places where the trail is seen in segments along `line`; `None` when it is seen on too few.
fn refine(planes: &Planes<'_>, line: Trail, block_side: f64) -> Option<Trail> {
    let (start, end) = chord(planes, &line)?;
    let count = ((end - start) / SEGMENT_PIXELS).ceil().max(FEWEST_SEGMENTS as f64) as usize;
    let length = (end - start) / count as f64;
    // The line is right to a block, and to the step of the angles over its length.
    let reach = (2.0 * block_side).ceil() as i64 + 8;
    let mut usable = 0;
    let mut seen: Vec<(f64, f64)> = Vec::new();
    for segment in 0..count {
        let first = start + length * segment as f64;
        let Some(profile) = profile(planes, &line, (first, first + length), reach) else {
            continue;
        };
        usable += 1;
        if let Some(offset) = peak_of(&profile, length as f32) {
            seen.push((first + length / 2.0, offset - reach as f64));
        }
    }
    let (shift, slope) = robust_line(&seen)?;
    let agreeing: Vec<(f64, f64)> = seen
        .into_iter()
        .filter(|(t, offset)| (offset - shift - slope * t).abs() < AGREEMENT_PIXELS)
        .collect();
    if agreeing.len() < FEWEST_SEGMENTS || (agreeing.len() as f64) < LEAST_SEEN * usable as f64 {
        return None;
    }
    let (shift, slope) = least_squares(&agreeing)?;
    let norm = slope.hypot(1.0);
    Some(Trail {
        x: line.x - shift * line.along_y,
        y: line.y + shift * line.along_x,
        along_x: (line.along_x - slope * line.along_y) / norm,
        along_y: (line.along_y + slope * line.along_x) / norm,
        ..line
    })
}

/// The trail with its width and brightness from the medians along its whole length; `None` when it is too faint.
fn with_width(planes: &Planes<'_>, line: Trail, parameters: &TrailParameters) -> Option<Trail> {
    let range = chord(planes, &line)?;
    let reach = parameters.widest_pixels;
    let profile = profile(planes, &line, range, reach as i64)?;
    let sky = lower_quartile(&profile);
    let middle = profile.get(reach.saturating_sub(1)..=reach + 1).unwrap_or(&profile);
    let peak = middle.iter().copied().fold(f32::NEG_INFINITY, f32::max) - sky;
    if peak < parameters.least_peak {
        return None;
    }
    let is_trail = |value: &&f32| **value - sky >= parameters.edge;
    let after = profile.iter().skip(reach + 1).take_while(is_trail).count();
    let before = profile.iter().rev().skip(reach + 1).take_while(is_trail).count();
    // One more for where the trail lies between two pixels.
    let half_width_pixels = (before.max(after) + 1).min(reach) as f64 + 0.5;
    Some(Trail { half_width_pixels, peak: f64::from(peak), ..line })
}

/// Median over the line from `range.0` to `range.1` (pixels from its point) of the light at each distance of −reach..=reach, in
/// units of the noise; zero at distances with less than a third of their pixels usable. `None` when half of them are so.
fn profile(planes: &Planes<'_>, line: &Trail, range: (f64, f64), reach: i64) -> Option<Vec<f32>> {
    let steps = (range.1 - range.0).floor().max(1.0) as usize;
    let mut values = Vec::with_capacity(steps);
    let mut unknown = 0;
    let mut medians = Vec::new();
    for distance in -reach..=reach {
        values.clear();
        for step in 0..steps {
            let t = range.0 + step as f64 + 0.5;
            let x = line.x + t * line.along_x - distance as f64 * line.along_y;
            let y = line.y + t * line.along_y + distance as f64 * line.along_x;
            if planes.contains(x, y) {
                let (row, column) = (y.round().max(0.0) as usize, x.round().max(0.0) as usize);
                values.extend(in_noise(planes, row, column));
            }
        }
        let is_known = 3 * values.len() >= steps;
        unknown += usize::from(!is_known);
        let median = statistics::median_in_place(&mut values).filter(|_| is_known);
        medians.push(median.unwrap_or(0.0));
    }
    (2 * unknown <= medians.len()).then_some(medians)
}

/// Light of a pixel above the sky in units of the noise, if it is a good one.
pub(super) fn in_noise(planes: &Planes<'_>, row: usize, column: usize) -> Option<f32> {
    let of = |line: &[f32]| line.get(column).copied();
    let bits = planes.mask_row(row).get(column).copied()?;
    let noise = planes.noise(row, column);
    let value = (of(planes.data_row(row))? - planes.level(row, column)) / noise;
    (bits == 0 && noise > 0.0 && value.is_finite()).then_some(value)
}

/// Where the line enters and leaves the frame, pixels from its point.
fn chord(planes: &Planes<'_>, line: &Trail) -> Option<(f64, f64)> {
    let limits = [
        (line.x, line.along_x, planes.width as f64 - 1.0),
        (line.y, line.along_y, planes.height as f64 - 1.0),
    ];
    clip(limits)
}

/// The interval of t in which `place + t · step` lies in 0..=last, for both axes.
pub(super) fn clip(axes: [(f64, f64, f64); 2]) -> Option<(f64, f64)> {
    let mut range = (f64::NEG_INFINITY, f64::INFINITY);
    for (place, step, last) in axes {
        if step.abs() < 1e-12 {
            if !(0.0..=last).contains(&place) {
                return None;
            }
            continue;
        }
        let (one, other) = (-place / step, (last - place) / step);
        range = (range.0.max(one.min(other)), range.1.min(one.max(other)));
    }
    (range.0 < range.1 && range.0.is_finite() && range.1.is_finite()).then_some(range)
}

/// Place in the profile of its peak, if it stands out of the noise of medians of `length` pixels.
fn peak_of(profile: &[f32], length: f32) -> Option<f64> {
    let sky = lower_quartile(profile);
    let smooth = |place: usize| -> Option<f32> {
        let three = profile.get(place.checked_sub(1)?..=place + 1)?;
        Some(three.iter().sum::<f32>() / 3.0 - sky)
    };
    let (place, height) = (0..profile.len())
        .filter_map(|place| Some((place, smooth(place)?)))
        .max_by(|one, other| one.1.total_cmp(&other.1))?;
    if height < LEAST_HEIGHT * MEDIAN_TO_MEAN / (3.0 * length).sqrt() {
        return None;
    }
    // The middle of what is above half of the height, connected with the peak: trails may be flat on top.
    let is_high = |place: &usize| smooth(*place).is_some_and(|value| value > height / 2.0);
    let after = (place + 1..profile.len()).take_while(is_high).count();
    let before = (0..place).rev().take_while(is_high).count();
    let high = place - before..=place + after;
    let (mut weights, mut sum) = (0.0, 0.0);
    for place in high {
        let weight = f64::from(smooth(place).unwrap_or(0.0));
        weights += weight;
        sum += weight * place as f64;
    }
    (weights > 0.0).then(|| sum / weights)
}

fn lower_quartile(values: &[f32]) -> f32 {
    let mut values = values.to_vec();
    let place = values.len() / 4;
    if values.is_empty() {
        return 0.0;
    }
    *values.select_nth_unstable_by(place, f32::total_cmp).1
}

/// Offset and slope by medians of the slopes and offsets of pairs (Theil 1950, Sen 1968, JASA 63, 1379).
fn robust_line(points: &[(f64, f64)]) -> Option<(f64, f64)> {
    let slopes: Vec<f64> = points
        .iter()
        .enumerate()
        .flat_map(|(index, one)| {
            points.iter().skip(index + 1).map(move |other| (other.1 - one.1) / (other.0 - one.0))
        })
        .collect();
    let (slope, _) = statistics::median_and_deviation(&slopes)?;
    let offsets: Vec<f64> = points.iter().map(|(t, offset)| offset - slope * t).collect();
    Some((statistics::median_and_deviation(&offsets)?.0, slope))
}

fn least_squares(points: &[(f64, f64)]) -> Option<(f64, f64)> {
    let count = points.len() as f64;
    let mean_t = points.iter().map(|point| point.0).sum::<f64>() / count;
    let mean = points.iter().map(|point| point.1).sum::<f64>() / count;
    let square: f64 = points.iter().map(|point| (point.0 - mean_t).powi(2)).sum();
    let product: f64 = points.iter().map(|point| (point.0 - mean_t) * (point.1 - mean)).sum();
    (square > 0.0).then(|| (mean - product / square * mean_t, product / square))
}

#[cfg(test)]
mod tests {
    use super::super::{Image, Mask, background, synthetic};
    use super::*;

    fn background_of(image: &CalibratedImage) -> Background {
        background::estimate(&image.data, &image.mask, 64)
    }

    /// Adds a trail of Gaussian profile through a position, its peak in electrons.
    fn add_trail(
        image: &mut CalibratedImage,
        through: (f64, f64),
        degrees: f64,
        peak: f64,
        fwhm: f64,
    ) {
        let (sin, cos) = degrees.to_radians().sin_cos();
        let sigma = fwhm / 2.354_820_045;
        for ((row, column), value) in image.data.indexed_iter_mut() {
            let across = (row as f64 - through.1) * cos - (column as f64 - through.0) * sin;
            *value += (peak * (-0.5 * (across / sigma).powi(2)).exp()) as f32;
        }
    }

    fn field(stars: usize, seed: u64) -> CalibratedImage {
        let shape = (500, 640);
        let stars = synthetic::scattered(stars, shape, 10.0, 300.0, 1e6, seed);
        synthetic::frame(shape, &stars, 3.0, 400.0, 0.0, seed + 1)
    }

    #[test]
    fn trails_are_found_with_their_width_among_many_stars() {
        // Noise of a pixel: 21 electrons.
        for (number, (degrees, peak, fwhm)) in [
            (0.0, 200.0, 3.0),
            (17.3, 60.0, 3.0),
            (45.0, 1000.0, 4.0),
            (88.0, 30.0, 4.0),
            (90.0, 200.0, 2.5),
            (133.0, 300.0, 12.0),
            (171.0, 5000.0, 3.0),
        ]
        .into_iter()
        .enumerate()
        {
            let mut image = field(400, 10 * number as u64);
            let through = (250.0 + 30.0 * number as f64, 270.0 - 11.0 * number as f64);
            add_trail(&mut image, through, degrees, peak, fwhm);
            let background = background_of(&image);
            let trails = mark(&mut image, &background, &TrailParameters::default());
            assert_eq!(trails.len(), 1, "{degrees}: {trails:?}");
            let trail = trails[0];
            assert!(trail.distance(through.0, through.1).abs() < 0.5, "{degrees}: {trail:?}");
            // What is left of the light outside the mask is no more than a third of the noise.
            let sigma = fwhm / 2.354_820_045;
            let needed = sigma * (2.0 * (peak / 7.0).ln()).sqrt();
            let half = trail.half_width_pixels;
            assert!((needed - 0.5..needed + 6.0).contains(&half), "{degrees}: {half} {needed}");
            let (sin, cos) = degrees.to_radians().sin_cos();
            for ((row, column), bits) in image.mask.indexed_iter() {
                let across = (row as f64 - through.1) * cos - (column as f64 - through.0) * sin;
                let is_masked = bits & mask_bits::COSMIC != 0;
                assert!(across.abs() > needed - 1.0 || is_masked, "{degrees}: {row} {column}");
                assert!(across.abs() < needed + 7.0 || !is_masked, "{degrees}: {row} {column}");
            }
        }
    }

    #[test]
    fn two_trails_are_two() {
        let mut image = field(300, 5);
        add_trail(&mut image, (300.0, 200.0), 30.0, 400.0, 3.0);
        add_trail(&mut image, (200.0, 300.0), 100.0, 150.0, 3.0);
        let trails = find(&image, &background_of(&image), &TrailParameters::default());
        assert_eq!(trails.len(), 2, "{trails:?}");
        assert!(trails[0].distance(300.0, 200.0).abs() < 0.5);
        assert!(trails[1].distance(200.0, 300.0).abs() < 0.5);
    }

    #[test]
    fn frames_without_a_trail_have_none() {
        for (number, stars) in [0, 5, 50, 400, 400, 1500, 4000].into_iter().enumerate() {
            let image = field(stars, 100 + number as u64);
            let trails = find(&image, &background_of(&image), &TrailParameters::default());
            assert!(trails.is_empty(), "{stars}: {trails:?}");
        }
        // A saturated star with its bleeding column, marked by the reduction.
        let mut image = field(100, 200);
        for row in 40..460 {
            for column in 300..303 {
                image.data[[row, column]] = 30_000.0;
                image.mask[[row, column]] = mask_bits::BLEED;
            }
        }
        assert!(find(&image, &background_of(&image), &TrailParameters::default()).is_empty());
    }

    #[test]
    fn odd_images_have_no_trails() {
        for shape in [(0, 0), (1, 1), (1, 300), (300, 1), (9, 9), (60, 60)] {
            for value in [0.0, 1000.0, f32::NAN, f32::INFINITY, f32::MAX] {
                let image = CalibratedImage {
                    data: Image::from_elem(shape, value),
                    variance: Image::ones(shape),
                    mask: Mask::zeros(shape),
                };
                let found = find(&image, &background_of(&image), &TrailParameters::default());
                assert!(found.is_empty(), "{shape:?} {value} {found:?}");
            }
        }
        let none = TrailParameters { most_trails: 0, ..TrailParameters::default() };
        let mut image = field(10, 3);
        add_trail(&mut image, (300.0, 200.0), 30.0, 400.0, 3.0);
        assert!(find(&image, &background_of(&image), &none).is_empty());
        image.mask.fill(mask_bits::BAD);
        assert!(find(&image, &background_of(&image), &TrailParameters::default()).is_empty());
    }
}
