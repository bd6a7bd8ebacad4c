//! Half-light radius of a source from its curve of growth.

use super::{aperture::Circle, surroundings::Surroundings};

/// The first moment is taken within this many rms of the isophotal ellipse (Kron 1980; SExtractor's choice).
const MOMENT_REACH: f64 = 6.0;
/// The total flux is that within this many first-moment radii (Kron 1980).
const TOTAL_REACH: f64 = 2.5;
/// Bounds of the radius of the total flux, pixels.
const SMALLEST_TOTAL: f64 = 3.5;
const LARGEST_TOTAL: f64 = 60.0;

/// Total flux and the radius that holds half of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct HalfLight {
    pub radius: f64,
    pub total_radius: f64,
    pub total_electrons: f64,
}

/// Half-light radius on the curve of growth within a given radius.
#[cfg(test)]
pub(super) fn radius_within(surroundings: &mut Surroundings<'_>, total_radius: f64) -> Option<f64> {
    let growth = Growth::new(surroundings, total_radius);
    let total = growth.within(total_radius);
    if total > 0.0 { growth.radius_of(0.5 * total, total_radius) } else { None }
}

/// Radius of the circle that holds `electrons`, within `reach`.
#[cfg(test)]
pub(super) fn radius_of_light(
    surroundings: &mut Surroundings<'_>,
    electrons: f64,
    reach: f64,
) -> Option<f64> {
    Growth::new(surroundings, reach).radius_of(electrons, reach)
}

/// Half-light radius about the centre of a source of isophotal rms `size`, within circles of exact overlap. The total is
/// the flux within 2.5 first-moment radii r₁ = Σ r·I / Σ I. `None` when there is no light, or no growth.
pub(super) fn measure(surroundings: &mut Surroundings<'_>, size: f64) -> Option<HalfLight> {
    let size = size.max(0.5);
    let moment_reach = (MOMENT_REACH * size).clamp(SMALLEST_TOTAL, LARGEST_TOTAL);
    let growth = Growth::new(surroundings, moment_reach);
    let (mut moment, mut sum) = (0.0, 0.0);
    for light in growth.up_to(moment_reach) {
        if light.distance <= moment_reach {
            moment += light.distance * light.electrons;
            sum += light.electrons;
        }
    }
    // Noise can make the moment of a faint source anything; that of a Gaussian is 1.25 rms.
    let first_moment = if sum > 0.0 { moment / sum } else { 0.0 };
    let first_moment = if first_moment > 0.5 * size && first_moment < 0.5 * moment_reach {
        first_moment
    } else {
        1.25 * size
    };
    let total_radius = (TOTAL_REACH * first_moment).clamp(SMALLEST_TOTAL, moment_reach);
    let total = growth.within(total_radius);
    if total.is_nan() || total <= 0.0 {
        return None;
    }
    let radius = growth.radius_of(0.5 * total, total_radius)?;
    Some(HalfLight { radius, total_radius, total_electrons: total })
}

/// One pixel about the source.
#[derive(Debug, Clone, Copy, Default)]
struct Light {
    dx: f64,
    dy: f64,
    distance: f64,
    electrons: f64,
}

/// Width of a ring, pixels.
const RING: f64 = 0.25;
/// No part of a pixel is farther from its centre than this (half a diagonal, rounded up).
const PIXEL_REACH: f64 = 0.75;

/// Curve of growth: the pixels in order of the ring their centre lies in.
struct Growth {
    lights: Vec<Light>,
    /// Ring i is `lights[starts[i]..starts[i + 1]]`.
    starts: Vec<usize>,
    /// Light of the rings before ring i.
    before: Vec<f64>,
}

impl Growth {
    /// Of the light within `reach` of the centre.
    fn new(surroundings: &mut Surroundings<'_>, reach: f64) -> Self {
        let (x, y) = surroundings.centre();
        let (rows, columns) = surroundings.window(x, y, reach);
        let farthest = reach + PIXEL_REACH;
        let rings = (farthest / RING) as usize + 1;
        let mut starts = vec![0usize; rings + 1];
        let mut found = Vec::with_capacity(rows.len() * columns.len());
        for row in rows {
            let dy = row as f64 - y;
            let (signal, _) = surroundings.row(row, &columns);
            for (column, &electrons) in columns.clone().zip(signal) {
                let dx = column as f64 - x;
                let distance = (dx * dx + dy * dy).sqrt();
                if distance < farthest {
                    let ring = ((distance / RING) as usize).min(rings - 1);
                    starts[ring + 1] += 1;
                    found.push((ring, Light { dx, dy, distance, electrons }));
                }
            }
        }
        for ring in 0..rings {
            starts[ring + 1] += starts[ring];
        }
        let mut next = starts.clone();
        let mut lights = vec![Light::default(); found.len()];
        for (ring, light) in found {
            lights[next[ring]] = light;
            next[ring] += 1;
        }
        let mut before = Vec::with_capacity(rings + 1);
        let mut sum = 0.0;
        before.push(sum);
        for ring in starts.windows(2) {
            sum += lights[ring[0]..ring[1]].iter().map(|light| light.electrons).sum::<f64>();
            before.push(sum);
        }
        Self { lights, starts, before }
    }

    /// The first ring that may hold a pixel farther out than `distance`.
    fn ring_at(&self, distance: f64) -> usize {
        ((distance / RING).max(0.0) as usize).min(self.before.len() - 1)
    }

    /// The pixels whose centres lie within `distance`, and a few more.
    fn up_to(&self, distance: f64) -> &[Light] {
        let end = self.starts.get(self.ring_at(distance) + 1).copied();
        &self.lights[..end.unwrap_or(self.lights.len())]
    }

    /// Flux within `radius`.
    fn within(&self, radius: f64) -> f64 {
        let circle = Circle::new(radius);
        let whole = self.ring_at(radius - PIXEL_REACH);
        let cut = self.up_to(radius + PIXEL_REACH).get(self.starts[whole]..).unwrap_or(&[]);
        let border = cut.iter().map(|light| light.electrons * circle.overlap(light.dx, light.dy));
        self.before[whole] + border.sum::<f64>()
    }

    /// Radius at which the curve of growth passes `target` (bisection narrowed by the secant). The curve of a noisy source may
    /// pass it several times: the innermost crossing on steps of half a pixel is taken.
    fn radius_of(&self, target: f64, largest: f64) -> Option<f64> {
        let (mut low, mut low_flux) = (0.0, 0.0);
        let (mut high, mut high_flux) = (0.0, 0.0);
        while high < largest && high_flux < target {
            (low, low_flux) = (high, high_flux);
            high = (high + 0.5).min(largest);
            high_flux = self.within(high);
        }
        if high_flux < target {
            return None;
        }
        for _ in 0..8 {
            if high - low < 1e-4 {
                break;
            }
            let share = ((target - low_flux) / (high_flux - low_flux)).clamp(0.1, 0.9);
            let middle = low + share * (high - low);
            let flux = self.within(middle);
            if flux < target {
                (low, low_flux) = (middle, flux);
            } else {
                (high, high_flux) = (middle, flux);
            }
        }
        let span = high_flux - low_flux;
        let share = if span > 0.0 { ((target - low_flux) / span).clamp(0.0, 1.0) } else { 0.5 };
        Some(low + share * (high - low))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imaging::{
        CalibratedImage, Image, Mask,
        background::Background,
        mask_bits,
        planes::{Owners, Planes},
    };

    fn gaussian(sigma: f64) -> (CalibratedImage, Background) {
        let shape = (61, 61);
        let image = CalibratedImage {
            data: Image::from_shape_fn(shape, |(y, x)| {
                let square = (x as f64 - 30.2).powi(2) + (y as f64 - 29.7).powi(2);
                (1e5 * (-0.5 * square / (sigma * sigma)).exp()) as f32
            }),
            variance: Image::ones(shape),
            mask: Mask::zeros(shape),
        };
        let background = Background {
            level: Image::zeros(shape).into(),
            noise: Image::ones(shape).into(),
            global_level: 0.0,
            global_noise: 1.0,
        };
        (image, background)
    }

    fn measured(planes: &Planes<'_>, (x, y): (f64, f64), size: f64) -> Option<HalfLight> {
        let owners = Owners::default();
        measure(&mut Surroundings::new(planes, &owners, 0, x, y), size)
    }

    #[test]
    fn half_the_light_of_a_gaussian_is_within_1_177_sigma() {
        for sigma in [1.5, 2.0, 4.0] {
            let (mut image, background) = gaussian(sigma);
            for masked in [false, true] {
                if masked {
                    image.mask[[29, 32]] = mask_bits::BAD;
                    image.data[[29, 32]] = 1e7;
                }
                let planes = Planes::new(&image, &background).unwrap();
                let half = measured(&planes, (30.2, 29.7), sigma).unwrap();
                // Overlap fractions spread a sampled profile by one pixel's variance 1/12; 2.5 r₁ holds 99.3 % of
                // the light, so that half of that is 0.7 % nearer.
                let spread = (sigma * sigma + 1.0 / 12.0f64).sqrt();
                let expected = 1.177_41 * spread;
                // The mirror of a pixel is its counterpart only to half a pixel.
                let tolerance = if masked { 0.03 } else { 0.01 };
                assert!(
                    (half.radius / expected - 1.0).abs() < tolerance,
                    "{sigma} {half:?} {expected}"
                );
            }
        }
    }

    #[test]
    fn no_light_no_radius() {
        let (mut image, background) = gaussian(2.0);
        image.data.mapv_inplace(|value| -value);
        let planes = Planes::new(&image, &background).unwrap();
        assert_eq!(measured(&planes, (30.0, 30.0), 2.0), None);
        image.data.fill(f32::NAN);
        let planes = Planes::new(&image, &background).unwrap();
        assert_eq!(measured(&planes, (30.0, 30.0), 2.0), None);
        assert_eq!(measured(&planes, (f64::NAN, 30.0), 2.0), None);
    }
}
