//! Deterministic star fields for tests, with arithmetic that a script in another language repeats bit for bit:
//! only additions, multiplications, divisions and square roots in double precision.
//!
//! `tests/oracles/detection.py` builds the same field.

use super::{CalibratedImage, Image, Mask};

/// Linear congruential generator (modulus 2⁶⁴, Knuth's multiplier).
pub struct Generator(u64);

impl Generator {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Uniform in [0, 1).
    pub fn uniform(&mut self) -> f64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / 9_007_199_254_740_992.0
    }

    /// Nearly normal: the sum of twelve uniform numbers less six.
    pub fn normal(&mut self) -> f64 {
        let mut sum = 0.0;
        for _ in 0..12 {
            sum += self.uniform();
        }
        sum - 6.0
    }
}

/// A star: position in pixels, electrons.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Star {
    pub x: f64,
    pub y: f64,
    pub flux: f64,
}

/// Moffat profile of index 3, of unit flux, sampled at 3×3 Gauss–Legendre nodes of the pixel.
pub fn pixel_light(dx: f64, dy: f64, core: f64) -> f64 {
    let node = 0.774_596_669_241_483_4 / 2.0;
    let positions = [-node, 0.0, node];
    let weights = [5.0 / 18.0, 8.0 / 18.0, 5.0 / 18.0];
    let square = core * core;
    let mut sum = 0.0;
    for j in 0..3 {
        for i in 0..3 {
            let (u, v) = (dx + positions[i], dy + positions[j]);
            let q = 1.0 + (u * u + v * v) / square;
            sum += weights[i] * weights[j] / (q * q * q);
        }
    }
    sum * 2.0 / (std::f64::consts::PI * square)
}

/// Core radius of a Moffat profile of index 3 with this full width at half maximum.
pub fn core_radius(fwhm: f64) -> f64 {
    // 2 √(2^(1/3) − 1)
    fwhm / 1.019_649_057_067_917_3
}

/// Adds stars without noise, each within `reach` pixels of its centre.
pub fn add_stars(data: &mut ndarray::Array2<f64>, stars: &[Star], fwhm: f64, reach: i64) {
    let (height, width) = data.dim();
    let core = core_radius(fwhm);
    for star in stars {
        let (column, row) = (star.x.round() as i64, star.y.round() as i64);
        for y in (row - reach).max(0)..(row + reach + 1).min(height as i64) {
            for x in (column - reach).max(0)..(column + reach + 1).min(width as i64) {
                data[[y as usize, x as usize]] +=
                    star.flux * pixel_light(x as f64 - star.x, y as f64 - star.y, core);
            }
        }
    }
}

/// A frame with a sloping sky of `sky` electrons at its lower left corner, photon noise, and a read noise of 5 electrons.
pub fn frame(
    shape: (usize, usize),
    stars: &[Star],
    fwhm: f64,
    sky: f64,
    slope: f64,
    seed: u64,
) -> CalibratedImage {
    let mut light = ndarray::Array2::<f64>::zeros(shape);
    add_stars(&mut light, stars, fwhm, 60);
    exposed(&light, sky, slope, seed)
}

/// [`frame`] with any light on it.
pub fn exposed(light: &ndarray::Array2<f64>, sky: f64, slope: f64, seed: u64) -> CalibratedImage {
    let mut generator = Generator::new(seed);
    let shape = light.dim();
    let mut data = Image::zeros(shape);
    let mut variance = Image::zeros(shape);
    for ((y, x), &electrons) in light.indexed_iter() {
        let expected = electrons + sky + slope * (x as f64 + 0.5 * y as f64);
        let noise_squared = expected + 25.0;
        data[[y, x]] = (expected + noise_squared.sqrt() * generator.normal()) as f32;
        variance[[y, x]] = noise_squared as f32;
    }
    CalibratedImage { data, variance, mask: Mask::zeros(shape) }
}

/// A star, or an exponential disk.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Object {
    pub star: Star,
    /// Scale length, pixels; 0 for a star.
    pub scale: f64,
    /// Minor over major axis, and the direction of the major one.
    pub ratio: f64,
    pub direction: (f64, f64),
}

/// Radii in scale lengths and shares of the light of four rings: Gauss's quadrature of r exp(−r).
const RINGS: [(f64, f64); 4] = [
    (0.743_291_927_981_431_4, 0.446_870_593_218_776_37),
    (2.571_635_007_646_278_4, 0.477_635_772_363_868_2),
    (5.731_178_751_689_099, 0.074_177_784_731_052_09),
    (10.953_894_312_683_191, 0.001_315_849_686_303_245),
];

impl Object {
    /// The object as stars: a disk is four rings of eight.
    pub fn stars(&self) -> Vec<Star> {
        let Star { x, y, flux } = self.star;
        if self.scale == 0.0 {
            return vec![self.star];
        }
        let half = std::f64::consts::FRAC_1_SQRT_2;
        let directions = [
            (1.0, 0.0),
            (half, half),
            (0.0, 1.0),
            (-half, half),
            (-1.0, 0.0),
            (-half, -half),
            (0.0, -1.0),
            (half, -half),
        ];
        let (cos, sin) = self.direction;
        let mut stars = Vec::with_capacity(32);
        for (radius, share) in RINGS {
            for (along, across) in directions {
                let u = radius * self.scale * along;
                let v = self.ratio * (radius * self.scale * across);
                let (x, y) = (x + (u * cos - v * sin), y + (u * sin + v * cos));
                stars.push(Star { x, y, flux: flux * share / 8.0 });
            }
        }
        stars
    }
}

/// As many stars as galaxies, one object in each 56 pixels of a square of 18 × 18 cells (1024 pixels), over a ratio of fluxes of 280.
/// `tests/oracles/spread.py` has the same.
pub fn stars_and_galaxies(seed: u64) -> Vec<Object> {
    let mut draw = Generator::new(seed);
    let cells = 18;
    (0..cells * cells)
        .map(|number| {
            let x = 36.0 + f64::from(56 * (number % cells)) + 16.0 * (draw.uniform() - 0.5);
            let y = 36.0 + f64::from(56 * (number / cells)) + 16.0 * (draw.uniform() - 0.5);
            let steps = (24.0 * draw.uniform()) as usize;
            let flux = (0..steps).fold(700.0, |flux, _| flux * 1.2789);
            let (scale, ratio) = (0.8 + 0.8 * draw.uniform(), 0.4 + 0.6 * draw.uniform());
            let (u, v) = (draw.uniform() - 0.5, draw.uniform() - 0.5);
            let length = (u * u + v * v).sqrt();
            let scale = if number % 2 == 1 { scale } else { 0.0 };
            Object { star: Star { x, y, flux }, scale, ratio, direction: (u / length, v / length) }
        })
        .collect()
}

/// Stars scattered over a frame at least `margin` from its edge, fluxes from `faintest` to `brightest` with as many in each
/// ratio of fluxes.
pub fn scattered(
    count: usize,
    shape: (usize, usize),
    margin: f64,
    faintest: f64,
    brightest: f64,
    seed: u64,
) -> Vec<Star> {
    let mut generator = Generator::new(seed);
    (0..count)
        .map(|_| Star {
            x: margin + (shape.1 as f64 - 1.0 - 2.0 * margin) * generator.uniform(),
            y: margin + (shape.0 as f64 - 1.0 - 2.0 * margin) * generator.uniform(),
            flux: faintest * (brightest / faintest).powf(generator.uniform()),
        })
        .collect()
}
