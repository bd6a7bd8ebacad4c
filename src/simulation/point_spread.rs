//! The point-spread function: an elliptical Moffat profile, integrated over pixels
//! (Moffat 1969, A&A 3, 455; Trujillo et al. 2001, MNRAS 328, 977, eq. 1–5).

use crate::imaging::Image;
use std::f64::consts::PI;

/// Nodes on −½..½ and weights of Gauss–Legendre quadrature with four points.
const FOUR_POINTS: [(f64, f64); 4] = [
    (-0.430_568_155_797_026_3, 0.173_927_422_568_726_93),
    (-0.169_990_521_792_428_13, 0.326_072_577_431_273_07),
    (0.169_990_521_792_428_13, 0.326_072_577_431_273_07),
    (0.430_568_155_797_026_3, 0.173_927_422_568_726_93),
];
const TWO_POINTS: [(f64, f64); 2] =
    [(-0.288_675_134_594_812_9, 0.5), (0.288_675_134_594_812_9, 0.5)];
const ONE_POINT: [(f64, f64); 1] = [(0.0, 1.0)];

/// Fainter than this per pixel, electrons, a star's wings are lost in any sky.
const FAINTEST_PIXEL: f64 = 0.05;
/// Share of the light that every stamp holds at least.
const SMALLEST_SHARE: f64 = 0.995;

/// A normalised elliptical Moffat profile on the pixel grid: I(u) = (β−1)/(π a b) (1 + u)^(−β), u = (x'/a)² + (y'/b)².
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PointSpread {
    beta: i32,
    /// Full width at half maximum, geometric mean of the axes, pixels.
    fwhm_pixels: f64,
    /// √(a b), pixels.
    core_pixels: f64,
    /// u = xx dx² + xy dx dy + yy dy².
    xx: f64,
    xy: f64,
    yy: f64,
}

impl PointSpread {
    /// `fwhm_pixels` is the geometric mean of both axes; `ellipticity` 1 − minor/major; `angle` of the major axis from the
    /// x axis, radians; `beta` at least 2.
    pub fn new(fwhm_pixels: f64, ellipticity: f64, angle: f64, beta: i32) -> Self {
        let beta = beta.max(2);
        let core = fwhm_pixels / (2.0 * (2f64.powf(1.0 / f64::from(beta)) - 1.0).sqrt());
        let ratio = (1.0 - ellipticity).clamp(0.05, 1.0).sqrt();
        let (major, minor) = (core / ratio, core * ratio);
        let (sin, cos) = angle.sin_cos();
        let (along, across) = (major.powi(-2), minor.powi(-2));
        Self {
            beta,
            fwhm_pixels,
            core_pixels: core,
            xx: cos * cos * along + sin * sin * across,
            xy: 2.0 * sin * cos * (along - across),
            yy: sin * sin * along + cos * cos * across,
        }
    }

    /// Radius in units of the core within which lies `share` of the light: 1 − (1 + u)^(1−β).
    fn radius_of_share(&self, share: f64) -> f64 {
        ((1.0 - share).powf(1.0 / (1.0 - f64::from(self.beta))) - 1.0).sqrt()
    }

    /// Radius in pixels that a stamp of this flux needs.
    pub fn stamp_radius(&self, flux: f64) -> f64 {
        let peak = flux * self.normalisation();
        let faded = (peak / FAINTEST_PIXEL).max(1.0).powf(1.0 / f64::from(self.beta)) - 1.0;
        self.core_pixels * faded.sqrt().max(self.radius_of_share(SMALLEST_SHARE))
    }

    fn normalisation(&self) -> f64 {
        (f64::from(self.beta) - 1.0) / (PI * self.core_pixels * self.core_pixels)
    }

    /// Share of the light per square pixel at an offset from the centre.
    fn density(&self, dx: f64, dy: f64) -> f64 {
        let u = self.xx * dx * dx + self.xy * dx * dy + self.yy * dy * dy;
        (1.0 + u).powi(-self.beta)
    }

    /// Adds a point source of `flux` electrons at (`x`, `y`), zero-based pixel centres at integers. Pixels are integrated
    /// more finely where the profile is steep.
    pub fn add_star(&self, plane: &mut Image, x: f64, y: f64, flux: f64) {
        let fine = (1.5 * self.fwhm_pixels).powi(2);
        let coarse = (6.0 * self.fwhm_pixels).powi(2);
        self.add(plane, (x, y), flux, |distance_squared| {
            if distance_squared < fine {
                &FOUR_POINTS
            } else if distance_squared < coarse {
                &TWO_POINTS
            } else {
                &ONE_POINT
            }
        });
    }

    /// Adds one of many points of an extended source: its neighbours even out what a coarse integration misses.
    pub fn add_share(&self, plane: &mut Image, x: f64, y: f64, flux: f64) {
        let fine = (1.2 * self.fwhm_pixels).powi(2);
        self.add(plane, (x, y), flux, |distance_squared| {
            if distance_squared < fine { &TWO_POINTS } else { &ONE_POINT }
        });
    }

    fn add(
        &self,
        plane: &mut Image,
        (x, y): (f64, f64),
        flux: f64,
        nodes_at: impl Fn(f64) -> &'static [(f64, f64)],
    ) {
        let (rows, columns) = plane.dim();
        let radius = self.stamp_radius(flux);
        let Some((first_column, last_column)) = covered(x, radius, columns) else { return };
        let Some((first_row, last_row)) = covered(y, radius, rows) else { return };
        let radius_squared = radius * radius;
        let scale = flux * self.normalisation();
        for row in first_row..=last_row {
            let dy = row as f64 - y;
            for column in first_column..=last_column {
                let dx = column as f64 - x;
                let distance_squared = dx * dx + dy * dy;
                if distance_squared > radius_squared {
                    continue;
                }
                let nodes = nodes_at(distance_squared);
                let mut sum = 0.0;
                for (node_y, weight_y) in nodes {
                    for (node_x, weight_x) in nodes {
                        sum += weight_x * weight_y * self.density(dx + node_x, dy + node_y);
                    }
                }
                plane[[row, column]] += (scale * sum) as f32;
            }
        }
    }
}

/// First and last pixel of an axis within `radius` of `centre`; `None` when all are off the plane.
fn covered(centre: f64, radius: f64, length: usize) -> Option<(usize, usize)> {
    let first = (centre - radius).ceil().max(0.0);
    let last = (centre + radius).floor().min(length as f64 - 1.0);
    (last >= first).then_some((first as usize, last as usize))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(spread: &PointSpread, x: f64, y: f64, flux: f64) -> Image {
        let mut plane = Image::zeros((121, 121));
        spread.add_star(&mut plane, x, y, flux);
        plane
    }

    fn moment(plane: &Image, weight: impl Fn(f64, f64) -> f64) -> f64 {
        plane
            .indexed_iter()
            .map(|((row, column), value)| f64::from(*value) * weight(column as f64, row as f64))
            .sum()
    }

    #[test]
    fn the_flux_is_in_the_stamp_wherever_its_centre_falls() {
        for fwhm in [1.7, 2.4, 3.6] {
            let spread = PointSpread::new(fwhm, 0.1, 0.4, 3);
            for (dx, dy) in [(0.0, 0.0), (0.5, 0.5), (0.23, -0.41)] {
                let plane = stamp(&spread, 60.0 + dx, 60.0 + dy, 1e6);
                let total = moment(&plane, |_, _| 1.0);
                assert!((total / 1e6 - 1.0).abs() < 2e-3, "{fwhm} {dx} {dy}: {total}");
                let x = moment(&plane, |x, _| x) / total;
                let y = moment(&plane, |_, y| y) / total;
                assert!((x - 60.0 - dx).abs() < 5e-3 && (y - 60.0 - dy).abs() < 5e-3, "{x} {y}");
            }
            let faint = moment(&stamp(&spread, 60.3, 59.8, 200.0), |_, _| 1.0);
            assert!((faint / 200.0 - 1.0).abs() < 6e-3, "{faint}");
        }
    }

    #[test]
    fn pixels_agree_with_adaptive_quadrature() {
        // tests/oracles/moffat_pixels.py: scipy.integrate.dblquad of the same profile over single pixels.
        #[derive(serde::Deserialize)]
        struct Pixel {
            column: usize,
            row: usize,
            share: f64,
        }
        #[derive(serde::Deserialize)]
        struct Case {
            fwhm_pixels: f64,
            ellipticity: f64,
            angle: f64,
            beta: i32,
            x: f64,
            y: f64,
            pixels: Vec<Pixel>,
        }
        let cases: Vec<Case> =
            serde_json::from_str(include_str!("../../tests/oracles/moffat_pixels.json")).unwrap();
        assert!(cases.len() >= 3);
        for case in &cases {
            let spread =
                PointSpread::new(case.fwhm_pixels, case.ellipticity, case.angle, case.beta);
            let plane = stamp(&spread, case.x, case.y, 1e6);
            for pixel in &case.pixels {
                let found = f64::from(plane[[pixel.row, pixel.column]]) / 1e6;
                // Of the brightest pixel: a hundredth of what photon noise leaves of a 1e6 e⁻ star.
                assert!(
                    (found - pixel.share).abs() < 2e-5 + 2e-3 * pixel.share,
                    "{} {}: {found} {}",
                    pixel.column,
                    pixel.row,
                    pixel.share
                );
            }
        }
    }

    #[test]
    fn the_half_maximum_lies_at_half_the_width() {
        let spread = PointSpread::new(3.0, 0.0, 0.0, 3);
        assert!((spread.density(1.5, 0.0) - 0.5).abs() < 1e-12);
        let narrow = PointSpread::new(3.0, 0.2, 0.0, 3);
        // Along the major axis the width is 3/√0.8, across it 3·√0.8.
        assert!((narrow.density(1.5 / 0.8f64.sqrt(), 0.0) - 0.5).abs() < 1e-12);
        assert!((narrow.density(0.0, 1.5 * 0.8f64.sqrt()) - 0.5).abs() < 1e-12);
    }

    #[test]
    fn a_star_off_the_plane_touches_nothing_it_should_not() {
        let spread = PointSpread::new(2.0, 0.0, 0.0, 3);
        let mut plane = Image::zeros((20, 20));
        spread.add_star(&mut plane, -500.0, 10.0, 1000.0);
        spread.add_star(&mut plane, 10.0, 4000.0, 1000.0);
        assert!(plane.iter().all(|value| *value == 0.0));
        spread.add_star(&mut plane, -1.0, 10.0, 1000.0);
        assert!(plane[[10, 0]] > 0.0 && plane[[10, 19]] == 0.0);
    }
}
