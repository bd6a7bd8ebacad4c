//! Laplacian edge detection on single pixels, as L.A.Cosmic does it (van Dokkum 2001, PASP 113, 1420, §3), computed only where
//! it can matter.
//!
//! The paper doubles the sampling, convolves with the Laplacian kernel, sets negative values to zero and averages back. Of the four
//! quarters of a pixel each sees two neighbours and twice the pixel itself, so that the average is
//! `L⁺ = ¼ Σ max(2p − v − h, 0)` over the vertical neighbours v and horizontal neighbours h of p: no larger image is needed.
//!
//! Medians are what costs time. The significance `S = L⁺ / 2N` is never below `S′ = S − median₅(S)`, as S has no
//! negative values, and the local noise N = √median₅(variance) is never below the least variance around. A pixel
//! whose Laplacian is small compared with the least variance is therefore passed over without any median, and no result differs
//! from that of whole planes. What is computed is kept for the pixels around.

use super::{
    CalibratedImage,
    cosmic_rays::NoiseModel,
    mask_bits,
    planes::UNUSABLE,
    small_medians::{greater, lesser, median, median_of_nine},
    statistics,
};

/// Not to be flagged: masked, or without value; replaced by its surroundings.
const MASKED: u8 = 1;
/// Not to be flagged: of a saturated star.
const PROTECTED: u8 = 2;
/// Flagged in an iteration before; replaced by its surroundings.
const FLAGGED: u8 = 4;
/// In the list that is being made.
const LISTED: u8 = 8;

/// What is to be flagged lies within this distance of a change of the image: the fine structure beside a pixel is made of seven by
/// seven medians of three by three medians.
const REACH: usize = 5;
/// Smallest fine structure, in units of the noise: where there is none, a ratio to it says nothing.
const LEAST_FINE_STRUCTURE: f32 = 0.01;
/// Smallest variance made from data: noise is never nothing.
const LEAST_VARIANCE: f32 = 1e-5;
/// Pixels from which the level of the whole frame is taken.
const LEVEL_SAMPLE: usize = 1 << 16;

/// What a pixel must exceed to count as struck.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// S′, standard deviations.
    pub significance: f32,
    /// Ratio of S′ to the fine structure F of the pixel, F in units of the noise (van Dokkum 2001, §3.3; S′ where the paper has
    /// L⁺, as in the author's program).
    pub contrast: f32,
    /// Ratio of S′ to the greatest fine structure of the pixels around; 0 for none.
    pub flank_contrast: f32,
}

/// An image with its noise, cleaned as the search goes on. Edges are continued by their outermost pixels.
pub(super) struct LaplacianPlanes {
    height: usize,
    width: usize,
    data: Vec<f32>,
    variance: Vec<f32>,
    state: Vec<u8>,
    /// Local noise N; zero where not yet computed.
    noise: Vec<f32>,
    /// Three by three medians of the data; zero where not yet computed.
    smoothed: Vec<f32>,
    /// Median of the frame.
    level: f32,
    level_variance: f32,
}

impl LaplacianPlanes {
    /// Working copies; pixels that hold no light are replaced by the median of the good ones within two pixels. `None` when
    /// the planes differ in shape or no pixel is good.
    pub fn new(image: &CalibratedImage, noise: NoiseModel) -> Option<Self> {
        let (height, width) = image.shape();
        let shape = (height, width);
        if image.variance.dim() != shape || image.mask.dim() != shape || height * width == 0 {
            return None;
        }
        let count = height * width;
        let (values, variances) =
            (image.data.as_standard_layout(), image.variance.as_standard_layout());
        let mask = image.mask.as_standard_layout();
        let data = values.as_slice()?.to_vec();
        let variance: Vec<f32> = match noise {
            NoiseModel::VariancePlane => variances.as_slice()?.to_vec(),
            NoiseModel::LocalMedian { electrons_per_unit, read_noise_electrons } => {
                let read_noise = read_noise_electrons / electrons_per_unit;
                let square = read_noise * read_noise;
                let of_value = |&value: &f32| {
                    (value.max(0.0) / electrons_per_unit).max(LEAST_VARIANCE) + square
                };
                data.iter().map(of_value).collect()
            }
        };
        let mut state = vec![0; count];
        for (((state, value), variance), bits) in
            state.iter_mut().zip(&data).zip(&variance).zip(mask.as_slice()?)
        {
            let is_defined = value.is_finite()
                & variance.is_finite()
                & (*variance > 0.0)
                & (bits & UNUSABLE == 0);
            *state = if is_defined { 0 } else { MASKED };
        }
        let mut planes = Self {
            height,
            width,
            data,
            variance,
            state,
            // Zeroed memory is not touched until written to: the cost is that of the pixels looked at.
            noise: vec![0.0; count],
            smoothed: vec![0.0; count],
            level: 0.0,
            level_variance: 0.0,
        };
        (planes.level, planes.level_variance) = planes.whole_frame()?;
        let masked: Vec<usize> = (0..count).filter(|&place| planes.state[place] != 0).collect();
        planes.fill(&masked);
        Some(planes)
    }

    /// Medians of data and variance over a sample of the good pixels.
    fn whole_frame(&self) -> Option<(f32, f32)> {
        let good = self.state.iter().filter(|&&state| state == 0).count();
        let step = good.div_ceil(LEVEL_SAMPLE).max(1);
        let places = (0..self.state.len()).filter(|&place| self.state[place] == 0).step_by(step);
        let (mut values, mut variances): (Vec<f32>, Vec<f32>) =
            places.map(|place| (self.data[place], self.variance[place])).unzip();
        Some((
            statistics::median_in_place(&mut values)?,
            statistics::median_in_place(&mut variances)?,
        ))
    }

    pub fn width(&self) -> usize {
        self.width
    }

    /// Keeps saturated stars, what bled from them and `growth` pixels around from being flagged. A connected group of saturated
    /// and bled pixels is of a star when one of them bled, or when light is all around one of them: the median of its five by five pixels
    /// lies above the sky by `least_share` of its own height. Other groups are particles that saturated a few pixels.
    pub fn protect_saturated(&mut self, image: &CalibratedImage, least_share: f32, growth: usize) {
        const BRIGHT: u8 = mask_bits::SATURATED | mask_bits::BLEED;
        let mask = image.mask.as_standard_layout();
        let Some(bits) = mask.as_slice() else { return };
        let mut is_seen = vec![false; bits.len()];
        for start in (0..bits.len()).filter(|&place| bits[place] & BRIGHT != 0) {
            if is_seen[start] {
                continue;
            }
            is_seen[start] = true;
            let mut group = vec![start];
            let mut next = 0;
            let mut is_star = false;
            while let Some(&place) = group.get(next) {
                next += 1;
                is_star |=
                    bits[place] & mask_bits::BLEED != 0 || self.is_in_light(place, least_share);
                self.each_within(place, 1, |near| {
                    if bits[near] & BRIGHT != 0 && !is_seen[near] {
                        is_seen[near] = true;
                        group.push(near);
                    }
                });
            }
            if is_star {
                for place in group {
                    self.protect_around(place, growth);
                }
            }
        }
    }

    fn is_in_light(&self, place: usize, least_share: f32) -> bool {
        let window = self.window::<5, 25>(&self.data, place);
        median(&window) - self.level > least_share * (self.data[place] - self.level)
    }

    fn protect_around(&mut self, place: usize, growth: usize) {
        let (row, column) = (place / self.width, place % self.width);
        let first = column.saturating_sub(growth);
        let last = (column + growth).min(self.width - 1);
        for row in row.saturating_sub(growth)..=(row + growth).min(self.height - 1) {
            for state in &mut self.state[row * self.width + first..=row * self.width + last] {
                *state |= PROTECTED;
            }
        }
    }

    /// Places (row-major) whose significance may exceed `limit`, in order: all that do are among them.
    pub fn candidates(&self, limit: f32) -> Vec<usize> {
        let (height, width) = (self.height, self.width);
        if width < 3 {
            return (0..height * width).filter(|&place| self.may_exceed(place, limit)).collect();
        }
        let factor = square_of_sum(limit);
        let inner = width - 2;
        let mut found = Vec::new();
        // Variances of a row begin at the third place: two on either side stay infinite.
        let mut least = vec![f32::INFINITY; width + 4];
        let mut exceeds = vec![0_u8; width];
        for row in 0..height {
            self.least_of_columns(row, &mut least[2..width + 2]);
            let here = self.row(row);
            let above = &self.row(row.saturating_sub(1))[1..][..inner];
            let below = &self.row((row + 1).min(height - 1))[1..][..inner];
            let (left, centre, right) = (&here[..inner], &here[1..][..inner], &here[2..][..inner]);
            let least: [&[f32]; 5] = std::array::from_fn(|shift| &least[1 + shift..][..inner]);
            let target = &mut exceeds[1..][..inner];
            for column in 0..inner {
                let sum = positive_parts(
                    centre[column],
                    (above[column], below[column]),
                    (left[column], right[column]),
                );
                let beside = lesser(least[0][column], least[4][column]);
                let near = lesser(least[1][column], least[3][column]);
                let variance = lesser(lesser(beside, near), least[2][column]);
                target[column] = u8::from(sum * sum > factor * variance);
            }
            for column in [0, width - 1] {
                exceeds[column] = u8::from(self.may_exceed(row * width + column, limit));
            }
            for (start, flags) in (row * width..).step_by(CHUNK).zip(exceeds.chunks(CHUNK)) {
                if flags.iter().fold(0, |any, flag| any | flag) != 0 {
                    let places = (start..).zip(flags).filter(|(_, flag)| **flag != 0);
                    found.extend(places.map(|(place, _)| place));
                }
            }
        }
        found
    }

    fn row(&self, row: usize) -> &[f32] {
        &self.data[row * self.width..][..self.width]
    }

    /// Least variance of each column within two rows.
    fn least_of_columns(&self, row: usize, target: &mut [f32]) {
        let line =
            |row: usize| &self.variance[row.min(self.height - 1) * self.width..][..self.width];
        let lines = [row.saturating_sub(2), row.saturating_sub(1), row, row + 1, row + 2].map(line);
        for (column, least) in target.iter_mut().enumerate() {
            let above = lesser(lines[0][column], lines[1][column]);
            let below = lesser(lines[3][column], lines[4][column]);
            *least = lesser(lesser(above, below), lines[2][column]);
        }
    }

    /// The test of [`Self::candidates`] on one pixel.
    fn may_exceed(&self, place: usize, limit: f32) -> bool {
        let least =
            self.window::<5, 25>(&self.variance, place).into_iter().fold(f32::INFINITY, lesser);
        let sum = self.sum_of_parts(place);
        sum * sum > square_of_sum(limit) * least
    }

    fn sum_of_parts(&self, place: usize) -> f32 {
        let (row, column) = (place / self.width, place % self.width);
        let above = if row > 0 { place - self.width } else { place };
        let below = if row + 1 < self.height { place + self.width } else { place };
        let left = if column > 0 { place - 1 } else { place };
        let right = if column + 1 < self.width { place + 1 } else { place };
        positive_parts(
            self.data[place],
            (self.data[above], self.data[below]),
            (self.data[left], self.data[right]),
        )
    }

    /// May the pixel still be flagged?
    fn is_free(&self, place: usize) -> bool {
        self.state[place] == 0
    }

    /// Is the pixel significant and sharper than a star?
    pub fn is_struck(&mut self, place: usize, limits: Limits) -> bool {
        if !self.is_free(place) {
            return false;
        }
        let significance = self.significance(place);
        if significance <= limits.significance {
            return false;
        }
        let noise = self.noise_at(place);
        let fine_structure = (self.fine_structure(place) / noise).max(LEAST_FINE_STRUCTURE);
        let least = limits.significance.max(limits.contrast * fine_structure);
        // The median of the significance is not negative: what fails without it fails with it.
        if significance <= least {
            return false;
        }
        let cleared = significance - self.median_significance(place);
        cleared > least
            && (limits.flank_contrast <= 0.0
                || cleared > limits.flank_contrast * self.fine_structure_beside(place) / noise)
    }

    /// Greatest fine structure of the pixels around.
    fn fine_structure_beside(&mut self, place: usize) -> f32 {
        let around = self.places_around::<3, 9>(place);
        around.into_iter().fold(0.0, |most, near| greater(most, self.fine_structure(near)))
    }

    /// Adds to `places` the struck pixels beside them.
    pub fn grow(&mut self, places: &mut Vec<usize>, limits: Limits) {
        for &place in &*places {
            self.state[place] |= LISTED;
        }
        for index in 0..places.len() {
            for near in self.places_around::<3, 9>(places[index]) {
                if self.is_struck(near, limits) {
                    self.state[near] |= LISTED;
                    places.push(near);
                }
            }
        }
        for &place in &*places {
            self.state[place] &= !LISTED;
        }
    }

    /// Flags the pixels and puts the median of the good pixels around in their place.
    pub fn clean(&mut self, places: &[usize]) {
        for &place in places {
            self.state[place] |= FLAGGED;
        }
        self.fill(places);
    }

    fn fill(&mut self, places: &[usize]) {
        for &place in places {
            let mut values = [0.0; 25];
            let mut variances = [0.0; 25];
            let mut count = 0;
            self.each_within(place, 2, |near| {
                if self.state[near] & (MASKED | FLAGGED) == 0 {
                    values[count] = self.data[near];
                    variances[count] = self.variance[near];
                    count += 1;
                }
            });
            let value = statistics::median_in_place(&mut values[..count]);
            let variance = statistics::median_in_place(&mut variances[..count]);
            self.data[place] = value.unwrap_or(self.level);
            self.variance[place] = variance.unwrap_or(self.level_variance);
        }
        for &place in places {
            let (row, column) = (place / self.width, place % self.width);
            for (reach, plane) in [(2, &mut self.noise), (1, &mut self.smoothed)] {
                let first = column.saturating_sub(reach);
                let last = (column + reach).min(self.width - 1);
                for row in row.saturating_sub(reach)..=(row + reach).min(self.height - 1) {
                    plane[row * self.width + first..=row * self.width + last].fill(0.0);
                }
            }
        }
    }

    /// As [`Self::candidates`], among the pixels for which something changed when `places` did.
    pub fn candidates_around(&mut self, places: &[usize], limit: f32) -> Vec<usize> {
        let mut near = Vec::new();
        for &place in places {
            let mut around = Vec::with_capacity((2 * REACH + 1).pow(2));
            self.each_within(place, REACH, |near| around.push(near));
            for place in around {
                if self.state[place] == 0 {
                    self.state[place] = LISTED;
                    near.push(place);
                }
            }
        }
        for &place in &near {
            self.state[place] = 0;
        }
        near.retain(|&place| self.may_exceed(place, limit));
        near
    }

    /// S = L⁺ / 2N.
    fn significance(&mut self, place: usize) -> f32 {
        self.sum_of_parts(place) / (PARTS * self.noise_at(place))
    }

    fn median_significance(&mut self, place: usize) -> f32 {
        let significances = self.places_around::<5, 25>(place).map(|near| self.significance(near));
        median(&significances)
    }

    fn noise_at(&mut self, place: usize) -> f32 {
        let known = self.noise[place];
        if known > 0.0 {
            return known;
        }
        let noise = median(&self.window::<5, 25>(&self.variance, place)).sqrt();
        self.noise[place] = noise;
        noise
    }

    /// F = median₃ − median₇(median₃): what is left of stars and none of cosmic rays.
    fn fine_structure(&mut self, place: usize) -> f32 {
        let smoothed = self.places_around::<7, 49>(place).map(|near| self.smoothed_at(near));
        self.smoothed_at(place) - median(&smoothed)
    }

    fn smoothed_at(&mut self, place: usize) -> f32 {
        let known = self.smoothed[place];
        if known != 0.0 {
            return known;
        }
        let value = median_of_nine(self.window::<3, 9>(&self.data, place));
        self.smoothed[place] = value;
        value
    }

    /// The square of pixels of `SIDE` about a place, in rows; beyond the edge the outermost pixels are repeated.
    fn places_around<const SIDE: usize, const COUNT: usize>(&self, place: usize) -> [usize; COUNT] {
        let (row, column) = (place / self.width, place % self.width);
        let reach = SIDE / 2;
        std::array::from_fn(|index| {
            let row = (row + index / SIDE).saturating_sub(reach).min(self.height - 1);
            let column = (column + index % SIDE).saturating_sub(reach).min(self.width - 1);
            row * self.width + column
        })
    }

    fn window<const SIDE: usize, const COUNT: usize>(
        &self,
        plane: &[f32],
        place: usize,
    ) -> [f32; COUNT] {
        let (row, column) = (place / self.width, place % self.width);
        let reach = SIDE / 2;
        let is_inside = row >= reach
            && column >= reach
            && row + reach < self.height
            && column + reach < self.width;
        if !is_inside {
            return self.places_around::<SIDE, COUNT>(place).map(|near| plane[near]);
        }
        let mut values = [0.0; COUNT];
        let first = place - reach * (self.width + 1);
        for (line, target) in values.chunks_exact_mut(SIDE).enumerate() {
            target.copy_from_slice(&plane[first + line * self.width..][..SIDE]);
        }
        values
    }

    /// Calls for each pixel of the image within `reach` on each axis, the place itself included.
    fn each_within(&self, place: usize, reach: usize, mut call: impl FnMut(usize)) {
        let (row, column) = (place / self.width, place % self.width);
        for row in row.saturating_sub(reach)..=(row + reach).min(self.height - 1) {
            for column in column.saturating_sub(reach)..=(column + reach).min(self.width - 1) {
                call(row * self.width + column);
            }
        }
    }
}

/// Pixels tested together for being worth a look.
const CHUNK: usize = 16;
/// S is the sum of the positive parts over so many times the noise: four quarters, and twice the sampling.
const PARTS: f32 = 8.0;

/// Factor of the variance above which the square of the sum of the positive parts makes a significance above `limit`, with room
/// for rounding.
fn square_of_sum(limit: f32) -> f32 {
    let sum = PARTS * limit * 0.9999;
    sum * sum
}

/// Sum over the four quarters of a pixel of the positive part of their Laplacian.
fn positive_parts(centre: f32, (above, below): (f32, f32), (left, right): (f32, f32)) -> f32 {
    let (up, down) = (centre - above, centre - below);
    let (west, east) = (centre - left, centre - right);
    positive(up + west) + positive(up + east) + positive(down + west) + positive(down + east)
}

/// Unlike `f32::max` it costs one instruction.
fn positive(value: f32) -> f32 {
    if value > 0.0 { value } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::super::{Image, Mask};
    use super::*;
    use proptest::prelude::*;

    fn planes(data: Image) -> LaplacianPlanes {
        let shape = data.dim();
        let image =
            CalibratedImage { data, variance: Image::ones(shape), mask: Mask::zeros(shape) };
        LaplacianPlanes::new(&image, NoiseModel::VariancePlane).unwrap()
    }

    /// The Laplacian as the paper has it: on an image of twice the sampling, negative values cut, averaged back.
    fn by_doubling(data: &Image, row: usize, column: usize) -> f32 {
        let (height, width) = data.dim();
        let fine = |row: i64, column: i64| {
            let row = row.clamp(0, 2 * height as i64 - 1) / 2;
            let column = column.clamp(0, 2 * width as i64 - 1) / 2;
            data[[row as usize, column as usize]]
        };
        let mut sum = 0.0;
        for (y, x) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            let (y, x) = (2 * row as i64 + y, 2 * column as i64 + x);
            let neighbours = fine(y - 1, x) + fine(y + 1, x) + fine(y, x - 1) + fine(y, x + 1);
            sum += (4.0 * fine(y, x) - neighbours).max(0.0);
        }
        sum / 4.0
    }

    proptest! {
        #[test]
        fn the_stencil_is_the_laplacian_of_the_doubled_image(
            values in prop::collection::vec(-100_i16..1000, 30),
        ) {
            let data = Image::from_shape_fn((5, 6), |(y, x)| f32::from(values[y * 6 + x]));
            let mut planes = planes(data.clone());
            for row in 0..5 {
                for column in 0..6 {
                    let expected = by_doubling(&data, row, column) / 2.0;
                    prop_assert!((planes.significance(row * 6 + column) - expected).abs() < 1e-3);
                }
            }
        }

        #[test]
        fn every_significant_pixel_is_a_candidate(
            values in prop::collection::vec((0_u8..40, 1_u8..9), 7 * 40),
            limit in 0.5f32..8.0,
            width in 1_usize..40,
        ) {
            let shape = (7, width);
            let image = CalibratedImage {
                data: Image::from_shape_fn(shape, |(y, x)| f32::from(values[y * width + x].0)),
                variance: Image::from_shape_fn(shape, |(y, x)| f32::from(values[y * width + x].1)),
                mask: Mask::zeros(shape),
            };
            let mut planes = LaplacianPlanes::new(&image, NoiseModel::VariancePlane).unwrap();
            let candidates = planes.candidates(limit);
            prop_assert!(candidates.is_sorted());
            for place in 0..7 * width {
                prop_assert_eq!(candidates.contains(&place), planes.may_exceed(place, limit));
                if planes.significance(place) > limit {
                    prop_assert!(candidates.contains(&place));
                }
            }
        }
    }
}
