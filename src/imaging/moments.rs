//! What the pixels of a detection say before anything is measured: isophotal moments, peak, flags.

use super::{deblending::Member, mask_bits, planes::Planes};
use crate::model::SourceFlags;

/// A detection: its isophotal quantities. Positions and moments are weighted by the significance of the filtered
/// image, as SExtractor's ISO quantities are by its filtered image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Footprint {
    /// Of its pixels among the owners; 0 until they are its.
    pub label: u32,
    pub x: f64,
    pub y: f64,
    /// Root mean square along the axes, pixels.
    pub semi_major: f64,
    pub semi_minor: f64,
    /// Of the major axis, from x towards y, in (−π/2, π/2].
    pub theta: f64,
    pub pixel_count: usize,
    pub peak_significance: f64,
    pub total_significance: f64,
    /// By how much its `minimum_pixels`-th brightest pixel stands above the threshold.
    pub excess: f64,
    /// Background-subtracted.
    pub peak_electrons: f64,
    pub peak_row: usize,
    pub peak_column: usize,
    /// Sum of the usable pixels.
    pub flux_electrons: f64,
    pub flux_error_electrons: f64,
    pub flags: SourceFlags,
}

impl Footprint {
    /// Root mean square radius per axis of a round source of the same area.
    pub fn size(&self) -> f64 {
        (self.semi_major * self.semi_minor).sqrt()
    }

    /// (distance / size of the ellipse of moments)² of a displacement.
    pub fn elliptical_distance_squared(&self, dx: f64, dy: f64) -> f64 {
        let (sin, cos) = self.theta.sin_cos();
        ((dx * cos + dy * sin) / self.semi_major).powi(2)
            + ((dy * cos - dx * sin) / self.semi_minor).powi(2)
    }
}

/// Measures the pixels `members` of one source above `threshold`. `None` without a usable pixel.
pub(super) fn measure(
    planes: &Planes<'_>,
    members: &[Member],
    threshold: f32,
    minimum_pixels: usize,
) -> Option<Footprint> {
    let first = *members.first()?;
    let (origin_x, origin_y) = (f64::from(first.x), f64::from(first.y));
    let mut flags = SourceFlags::default();
    let (mut sum, mut sum_x, mut sum_y) = (0.0, 0.0, 0.0);
    let (mut sum_xx, mut sum_yy, mut sum_xy) = (0.0, 0.0, 0.0);
    let mut peak_significance = f64::NEG_INFINITY;
    let mut peak: Option<(f64, usize, usize)> = None;
    let (mut flux, mut variance) = (0.0, 0.0);
    for member in members {
        let (column, row) = (member.x as usize, member.y as usize);
        let weight = f64::from(member.value);
        let (dx, dy) = (f64::from(member.x) - origin_x, f64::from(member.y) - origin_y);
        sum += weight;
        sum_x += weight * dx;
        sum_y += weight * dy;
        sum_xx += weight * dx * dx;
        sum_yy += weight * dy * dy;
        sum_xy += weight * dx * dy;
        peak_significance = peak_significance.max(weight);
        let pixel = planes.pixel(row, column);
        if pixel.usable {
            flux += pixel.signal;
            variance += pixel.variance;
            if peak.is_none_or(|(value, _, _)| pixel.signal > value) {
                peak = Some((pixel.signal, row, column));
            }
        } else {
            flags.set(SourceFlags::MASKED);
        }
        if pixel.mask & (mask_bits::SATURATED | mask_bits::BLEED) != 0 {
            flags.set(SourceFlags::SATURATED);
        }
        if row == 0 || column == 0 || row + 1 == planes.height || column + 1 == planes.width {
            flags.set(SourceFlags::TRUNCATED);
        }
    }
    let (peak_electrons, peak_row, peak_column) = peak?;
    if !(sum > 0.0 && sum.is_finite()) {
        return None;
    }
    let (mean_x, mean_y) = (sum_x / sum, sum_y / sum);
    let mut xx = (sum_xx / sum - mean_x * mean_x).max(0.0);
    let mut yy = (sum_yy / sum - mean_y * mean_y).max(0.0);
    let xy = sum_xy / sum - mean_x * mean_y;
    // A source in a line or a point of pixels has the width of a pixel: variance 1/12 of a unit step.
    if xx * yy - xy * xy < 1.0 / 144.0 {
        xx += 1.0 / 12.0;
        yy += 1.0 / 12.0;
    }
    let (mean, half_difference) = ((xx + yy) / 2.0, (xx - yy) / 2.0);
    let root = half_difference.hypot(xy);
    Some(Footprint {
        label: 0,
        x: origin_x + mean_x,
        y: origin_y + mean_y,
        semi_major: (mean + root).sqrt(),
        semi_minor: (mean - root).max(1.0 / 144.0).sqrt(),
        theta: 0.5 * xy.atan2(half_difference),
        pixel_count: members.len(),
        peak_significance,
        total_significance: sum,
        excess: excess(members, threshold, minimum_pixels),
        peak_electrons,
        peak_row,
        peak_column,
        flux_electrons: flux,
        flux_error_electrons: variance.sqrt(),
        flags,
    })
}

fn excess(members: &[Member], threshold: f32, minimum_pixels: usize) -> f64 {
    let rank = minimum_pixels.clamp(1, members.len());
    // The few brightest in descending order; `minimum_pixels` is small.
    let mut brightest: Vec<f32> = Vec::with_capacity(rank + 1);
    for member in members {
        let place = brightest.partition_point(|&value| value >= member.value);
        if place < rank {
            brightest.insert(place, member.value);
            brightest.truncate(rank);
        }
    }
    brightest.last().map_or(0.0, |&value| f64::from(value) - f64::from(threshold))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imaging::{CalibratedImage, Image, Mask, background::Background};

    fn planes_of(shape: (usize, usize)) -> (CalibratedImage, Background) {
        let image = CalibratedImage {
            data: Image::from_shape_fn(shape, |(y, x)| (x + y) as f32),
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

    /// An elliptical Gaussian of rms 6 and 3 pixels, inclined by 0.5 rad.
    fn ellipse() -> Vec<Member> {
        let (sin, cos) = 0.5f64.sin_cos();
        let mut members = Vec::new();
        for y in 0..90u32 {
            for x in 0..100u32 {
                let (dx, dy) = (f64::from(x) - 50.25, f64::from(y) - 44.5);
                let (u, v) = ((dx * cos + dy * sin) / 6.0, (dy * cos - dx * sin) / 3.0);
                let value = (1e6 * (-0.5 * (u * u + v * v)).exp()) as f32;
                if value > 0.01 {
                    members.push(Member { x, y, value });
                }
            }
        }
        members
    }

    #[test]
    fn moments_of_an_ellipse() {
        let (image, background) = planes_of((90, 100));
        let planes = Planes::new(&image, &background).unwrap();
        let footprint = measure(&planes, &ellipse(), 0.01, 4).unwrap();
        assert!((footprint.x - 50.25).abs() < 1e-4 && (footprint.y - 44.5).abs() < 1e-4);
        assert!((footprint.semi_major - 6.0).abs() < 1e-3);
        assert!((footprint.semi_minor - 3.0).abs() < 1e-3);
        assert!((footprint.theta - 0.5).abs() < 1e-5);
        let (sin, cos) = 0.5f64.sin_cos();
        assert!((footprint.elliptical_distance_squared(12.0 * cos, 12.0 * sin) - 4.0).abs() < 2e-3);
        assert!((footprint.elliptical_distance_squared(-6.0 * sin, 6.0 * cos) - 4.0).abs() < 2e-3);
    }

    #[test]
    fn flags_peak_and_excess() {
        let (mut image, background) = planes_of((10, 10));
        image.mask[[4, 5]] = mask_bits::SATURATED;
        image.mask[[4, 6]] = mask_bits::COSMIC;
        let planes = Planes::new(&image, &background).unwrap();
        let member = |x, y, value| Member { x, y, value };
        let members = [member(4, 4, 5.0), member(5, 4, 9.0), member(6, 4, 7.0), member(5, 5, 6.0)];
        let footprint = measure(&planes, &members, 3.0, 3).unwrap();
        assert!(
            footprint.flags.has(SourceFlags::SATURATED) && footprint.flags.has(SourceFlags::MASKED)
        );
        assert!(!footprint.flags.has(SourceFlags::TRUNCATED));
        assert_eq!(footprint.excess, 3.0);
        assert_eq!(
            (footprint.peak_electrons, footprint.peak_row, footprint.peak_column),
            (10.0, 5, 5)
        );
        assert_eq!(footprint.flux_electrons, 8.0 + 9.0 + 10.0);
        let edge = measure(&planes, &[member(9, 4, 5.0)], 3.0, 1).unwrap();
        assert!(edge.flags.has(SourceFlags::TRUNCATED));
        assert!((edge.semi_major - (1.0f64 / 12.0).sqrt()).abs() < 1e-12);
        assert_eq!(measure(&planes, &[member(6, 4, 5.0)], 3.0, 1), None, "no usable pixel");
        assert_eq!(measure(&planes, &[], 3.0, 1), None);
    }
}
