//! Point-spread function of a frame: an elliptical Moffat profile (Moffat 1969), of unit flux.

use std::f64::consts::PI;

pub use super::forced_photometry::{ForcedMeasurement, forced_photometry};
use super::{
    aperture::pixel_overlap,
    psf_variation::{ShapeChange, Variation},
};

/// Nodes and weights of three-point Gauss–Legendre quadrature over a pixel, for the core.
const CORE_NODES: [(f64, f64); 3] = [
    (-0.387_298_334_620_741_7, 5.0 / 18.0),
    (0.0, 8.0 / 18.0),
    (0.387_298_334_620_741_7, 5.0 / 18.0),
];
/// The same of two points, for the wings.
const WING_NODES: [(f64, f64); 2] =
    [(-0.288_675_134_594_812_9, 0.5), (0.288_675_134_594_812_9, 0.5)];
/// Where the core and the wings end, in full widths; farther out pixels are taken at their centre.
const CORE_REACH: f64 = 1.5;
const WING_REACH: f64 = 6.0;

/// Apertures larger than this are integrated without regard to pixels, whose effect is below 1e-4 there.
const LARGEST_PIXEL_APERTURE: f64 = 40.0;

/// Bounds of the Moffat index; near the upper one the profile is a Gaussian.
pub(super) const LEAST_INDEX: f64 = 1.3;
pub(super) const LARGEST_INDEX: f64 = 100.0;

/// I(u) = (β − 1) √det / π · (1 + u)^−β with u = (a·dx + b·dy)² + (c·dy)², so that ∬ I = 1. The wings belong to it:
/// fluxes are those of an infinite aperture. Width and ellipse may vary over the frame: [`PointSpread::at`] is the profile
/// at a place, everything else that of the frame's mean.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PointSpread {
    a: f64,
    b: f64,
    c: f64,
    index: f64,
    /// Full width at half maximum of a profile of unit core radius and this index.
    unit_width: f64,
    star_count: usize,
    variation: Variation,
}

/// Unconstrained parameters of the shape: ln a, b, ln c, ln(β − 1).
pub(super) type Shape = [f64; 4];

/// The share of a pixel and its derivatives.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Share {
    pub value: f64,
    /// By the position of the source.
    pub by_x: f64,
    pub by_y: f64,
    /// By the parameters of the shape.
    pub by_shape: Shape,
}

impl PointSpread {
    /// A round profile. `None` unless the width is positive and the index is in 1.3–100.
    pub fn round(fwhm_pixels: f64, index: f64) -> Option<Self> {
        if !(fwhm_pixels > 0.0 && fwhm_pixels.is_finite()) {
            return None;
        }
        if !(LEAST_INDEX..=LARGEST_INDEX).contains(&index) {
            return None;
        }
        let unit_width = width_of_unit_core(index);
        let (a, variation) = (unit_width / fwhm_pixels, Variation::default());
        Some(Self { a, b: 0.0, c: a, index, unit_width, star_count: 0, variation })
    }

    pub(super) fn from_shape(shape: Shape, star_count: usize) -> Self {
        let index = (1.0 + shape[3].exp()).clamp(LEAST_INDEX, LARGEST_INDEX);
        let (a, b, c) = (shape[0].exp(), shape[1], shape[2].exp());
        let (unit_width, variation) = (width_of_unit_core(index), Variation::default());
        Self { a, b, c, index, unit_width, star_count, variation }
    }

    pub(super) fn shape(&self) -> Shape {
        [self.a.ln(), self.b, self.c.ln(), (self.index - 1.0).ln()]
    }

    pub(super) fn with_variation(self, variation: Variation) -> Self {
        Self { variation, ..self }
    }

    /// The profile at a place of the frame. It does not vary any more.
    pub fn at(&self, x: f64, y: f64) -> Self {
        self.varied(self.variation.at(x, y))
    }

    /// The profile with `change` added to ln a, b and ln c.
    pub(super) fn varied(&self, change: ShapeChange) -> Self {
        Self {
            a: self.a * change[0].exp(),
            b: self.b + change[1],
            c: self.c * change[2].exp(),
            variation: Variation::default(),
            ..*self
        }
    }

    /// Full width at half maximum, the geometric mean of the axes.
    pub fn fwhm_pixels(&self) -> f64 {
        self.unit_width / (self.a * self.c).sqrt()
    }

    /// Full width at half maximum of a profile of this index whose argument is the square of the distance.
    pub(super) fn unit_width(&self) -> f64 {
        self.unit_width
    }

    /// u of a displacement.
    pub(super) fn argument(&self, dx: f64, dy: f64) -> f64 {
        let (p, q) = (self.a * dx + self.b * dy, self.c * dy);
        p * p + q * q
    }

    /// (1 + u)^−β.
    pub(super) fn density_at(&self, argument: f64) -> f64 {
        (1.0 + argument).powf(-self.index)
    }

    /// I at the centre.
    pub(super) fn height(&self) -> f64 {
        (self.index - 1.0) * self.a * self.c / PI
    }

    /// β.
    pub fn index(&self) -> f64 {
        self.index
    }

    /// Major over minor axis.
    pub fn elongation(&self) -> f64 {
        let (trace, determinant) =
            (self.a.powi(2) + self.b.powi(2) + self.c.powi(2), (self.a * self.c).powi(2));
        let root = (trace * trace / 4.0 - determinant).max(0.0).sqrt();
        ((trace / 2.0 + root) / (trace / 2.0 - root).max(f64::MIN_POSITIVE)).sqrt()
    }

    /// Stars it was fitted to; 0 for an assumed one.
    pub fn star_count(&self) -> usize {
        self.star_count
    }

    /// Share of the flux in the pixel whose centre is (`dx`, `dy`) from the source.
    pub fn pixel_share(&self, dx: f64, dy: f64) -> f64 {
        let height = self.height();
        let density = |dx: f64, dy: f64| {
            let (p, q) = (self.a * dx + self.b * dy, self.c * dy);
            (-self.index * (1.0 + p * p + q * q).ln()).exp()
        };
        let integrated = |nodes: &[(f64, f64)]| -> f64 {
            let line = |v: f64| -> f64 {
                nodes.iter().map(|(u, weight)| weight * density(dx + u, dy + v)).sum()
            };
            nodes.iter().map(|(v, weight)| weight * line(*v)).sum()
        };
        let share = match self.nodes(dx, dy) {
            Some(nodes) => integrated(nodes),
            None => density(dx, dy),
        };
        height * share
    }

    /// Where a pixel is to be sampled; `None` for its centre alone.
    fn nodes(&self, dx: f64, dy: f64) -> Option<&'static [(f64, f64)]> {
        // The square of the distance in full widths.
        let square = (dx * dx + dy * dy) * self.a * self.c / (self.unit_width * self.unit_width);
        if square < CORE_REACH * CORE_REACH {
            Some(&CORE_NODES)
        } else if square < WING_REACH * WING_REACH {
            Some(&WING_NODES)
        } else {
            None
        }
    }

    /// Share of the flux that an aperture of `radius_pixels` sums ([`super::aperture::measure`]), in 0–1: aperture
    /// flux divided by it is on the scale of [`forced_photometry`].
    ///
    /// Small apertures are summed over pixels as the measurement does, which blurs the aperture by two pixel widths,
    /// averaged over the position of the source in its pixel; large ones are integrated.
    pub fn aperture_correction(&self, radius_pixels: f64) -> f64 {
        if radius_pixels.is_nan() || radius_pixels <= 0.0 {
            return 0.0;
        }
        if radius_pixels > LARGEST_PIXEL_APERTURE {
            return self.share_within(radius_pixels);
        }
        let reach = radius_pixels as i64 + 2;
        let mut sum = 0.0;
        for (x, y) in [(0.25, 0.25), (-0.25, 0.25), (0.25, -0.25), (-0.25, -0.25)] {
            for row in -reach..=reach {
                for column in -reach..=reach {
                    let overlap = pixel_overlap(x, y, radius_pixels, column, row);
                    if overlap > 0.0 {
                        sum += overlap * self.pixel_share(column as f64 - x, row as f64 - y);
                    }
                }
            }
        }
        (sum / 4.0).clamp(0.0, 1.0)
    }

    /// ∬ I over a circle: the radial integral is elementary, the angular one periodic, for which equal steps
    /// converge exponentially.
    pub(super) fn share_within(&self, radius: f64) -> f64 {
        let steps = 128;
        let sum: f64 = (0..steps)
            .map(|step| {
                let (sin, cos) = (PI * f64::from(step) / f64::from(steps)).sin_cos();
                let growth = (self.a * cos + self.b * sin).powi(2) + (self.c * sin).powi(2);
                (1.0 - (1.0 + growth * radius * radius).powf(1.0 - self.index)) / growth
            })
            .sum();
        (self.a * self.c * sum / f64::from(steps)).clamp(0.0, 1.0)
    }

    /// The share of a pixel with derivatives.
    pub(super) fn share(&self, dx: f64, dy: f64) -> Share {
        match self.nodes(dx, dy) {
            Some(nodes) => self.integrated(dx, dy, nodes),
            None => self.density(dx, dy),
        }
    }

    fn integrated(&self, dx: f64, dy: f64, nodes: &[(f64, f64)]) -> Share {
        let mut total = Share::default();
        for (v, weight_y) in nodes {
            for (u, weight_x) in nodes {
                let sample = self.density(dx + u, dy + v);
                let weight = weight_x * weight_y;
                total.value += weight * sample.value;
                total.by_x += weight * sample.by_x;
                total.by_y += weight * sample.by_y;
                for (sum, value) in total.by_shape.iter_mut().zip(sample.by_shape) {
                    *sum += weight * value;
                }
            }
        }
        total
    }

    fn density(&self, dx: f64, dy: f64) -> Share {
        let (p, q) = (self.a * dx + self.b * dy, self.c * dy);
        let base = 1.0 + p * p + q * q;
        let logarithm = base.ln();
        let value = (self.index - 1.0) * self.a * self.c / PI * (-self.index * logarithm).exp();
        // −∂I/∂u
        let fall = self.index * value / base;
        Share {
            value,
            by_x: 2.0 * fall * p * self.a,
            by_y: 2.0 * fall * (p * self.b + q * self.c),
            by_shape: [
                value - 2.0 * fall * p * self.a * dx,
                -2.0 * fall * p * dy,
                value - 2.0 * fall * q * q,
                value * (1.0 - (self.index - 1.0) * logarithm),
            ],
        }
    }
}

/// Full width at half maximum of a profile of unit core radius.
fn width_of_unit_core(index: f64) -> f64 {
    2.0 * (2f64.powf(1.0 / index) - 1.0).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imaging::{
        CalibratedImage, Image, Mask, aperture,
        background::Background,
        synthetic::{Star, add_stars},
    };

    fn tilted() -> PointSpread {
        PointSpread::from_shape([-0.4, 0.15, -0.55, 0.8], 0)
    }

    #[test]
    fn it_holds_unit_flux() {
        for spread in [PointSpread::round(3.0, 3.0).unwrap(), tilted()] {
            let mut sum = 0.0;
            for row in -400..=400 {
                for column in -400..=400 {
                    sum += spread.pixel_share(f64::from(column) - 0.3, f64::from(row) + 0.2);
                }
            }
            let outside = 1.0 - spread.share_within(400.0);
            assert!((sum + outside - 1.0).abs() < 1e-3, "{sum} {outside}");
        }
    }

    #[test]
    fn derivatives_are_those_of_differences() {
        let spread = tilted();
        let step = 1e-6;
        for (dx, dy) in [(0.3, -0.4), (2.2, 1.7), (-4.0, 3.0), (15.0, 9.0)] {
            let share = spread.share(dx, dy);
            assert!((share.value / spread.pixel_share(dx, dy) - 1.0).abs() < 1e-12);
            let slope = |high: f64, low: f64| (high - low) / (2.0 * step);
            let by_x = slope(spread.pixel_share(dx - step, dy), spread.pixel_share(dx + step, dy));
            let by_y = slope(spread.pixel_share(dx, dy - step), spread.pixel_share(dx, dy + step));
            assert!((share.by_x - by_x).abs() < 1e-8 && (share.by_y - by_y).abs() < 1e-8);
            for parameter in 0..4 {
                let (mut high, mut low) = (spread.shape(), spread.shape());
                high[parameter] += step;
                low[parameter] -= step;
                let expected = slope(
                    PointSpread::from_shape(high, 0).pixel_share(dx, dy),
                    PointSpread::from_shape(low, 0).pixel_share(dx, dy),
                );
                assert!((share.by_shape[parameter] - expected).abs() < 1e-8, "{parameter}");
            }
        }
    }

    #[test]
    fn widths_and_axes() {
        let spread = PointSpread::round(2.7, 2.5).unwrap();
        assert!((spread.fwhm_pixels() - 2.7).abs() < 1e-12);
        assert!((spread.elongation() - 1.0).abs() < 1e-6);
        let half = spread.density(1.35, 0.0).value / spread.density(0.0, 0.0).value;
        assert!((half - 0.5).abs() < 1e-12);
        let long = PointSpread::from_shape([0.0, 0.0, -(2f64.ln()), 0.5], 0);
        assert!((long.elongation() - 2.0).abs() < 1e-9);
        for (fwhm, index) in
            [(0.0, 3.0), (f64::NAN, 3.0), (3.0, 1.0), (3.0, 500.0), (3.0, f64::NAN)]
        {
            assert_eq!(PointSpread::round(fwhm, index), None);
        }
    }

    #[test]
    fn corrected_apertures_give_the_flux() {
        let shape = (121, 121);
        let background = Background {
            level: Image::zeros(shape).into(),
            noise: Image::ones(shape).into(),
            global_level: 0.0,
            global_noise: 1.0,
        };
        for fwhm in [1.8, 2.5, 4.0] {
            let spread = PointSpread::round(fwhm, 3.0).unwrap();
            for (x, y) in [(60.0, 60.0), (60.5, 60.5), (60.31, 59.77)] {
                let mut light = ndarray::Array2::zeros(shape);
                add_stars(&mut light, &[Star { x, y, flux: 1e5 }], fwhm, 60);
                let image = CalibratedImage {
                    data: light.mapv(|value| value as f32),
                    variance: Image::ones(shape),
                    mask: Mask::zeros(shape),
                };
                for radius in [1.0, 1.5, 2.5, 6.0] {
                    let radius = radius * fwhm;
                    let sum = aperture::measure(&image, &background, x, y, radius).unwrap();
                    let flux = sum.flux_electrons / spread.aperture_correction(radius);
                    // The position within the pixel moves a small aperture's flux, the more the fewer pixels it has.
                    let allowed = 1e-3 + 0.07 / (radius * radius);
                    assert!((flux / 1e5 - 1.0).abs() < allowed, "{fwhm} {x} {radius}: {flux}");
                }
            }
        }
    }

    #[test]
    fn corrections_grow_to_one() {
        let spread = tilted();
        let mut last = 0.0;
        for radius in [0.0, 0.5, 1.0, 3.0, 10.0, 39.0, 41.0, 100.0, 1e6] {
            let share = spread.aperture_correction(radius);
            assert!(share >= last, "{radius}: {share} after {last}");
            last = share;
        }
        assert!(last > 0.999_99);
        assert_eq!(spread.aperture_correction(f64::NAN), 0.0);
        assert_eq!(spread.aperture_correction(f64::INFINITY), 1.0);
        // At the change of method.
        let spread = PointSpread::round(3.0, 3.0).unwrap();
        let (below, above) =
            (spread.aperture_correction(40.0), spread.aperture_correction(40.0 + 1e-9));
        assert!((below - above).abs() < 2e-5, "{below} {above}");
    }
}
