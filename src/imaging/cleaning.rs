//! Removal of detections that only the wings of brighter neighbours raise above the threshold
//! (Bertin & Arnouts 1996, §5: "cleaning").

use super::{moments::Footprint, neighbourhood::Neighbourhood};

/// The wings are followed down to this share of the threshold.
const FAINTEST_WING: f64 = 0.02;
/// And no farther than this, pixels.
const FARTHEST_WING: f64 = 1000.0;

/// For each detection, whether it would still be there without its brighter neighbours.
///
/// The wings of a neighbour are a Moffat profile of index 1 (the slowest fall that SExtractor's default assumes) on the ellipse of its
/// moments, through its peak and through the threshold at the edge of its isophote. A detection goes when the wing at
/// its centre is more than its `minimum_pixels`-th brightest pixel stands above the threshold.
pub(super) fn survivors(footprints: &[Footprint], threshold: f64) -> Vec<bool> {
    let positions: Vec<(f64, f64)> =
        footprints.iter().map(|footprint| (footprint.x, footprint.y)).collect();
    let index = Neighbourhood::new(&positions, 16.0);
    let mut kept = vec![true; footprints.len()];
    for bright in footprints {
        let contrast = bright.peak_significance / threshold;
        if contrast.is_nan() || contrast <= 1.0 {
            continue;
        }
        let area = std::f64::consts::PI * bright.semi_major * bright.semi_minor;
        // (Edge of the isophote / size of the ellipse)².
        let edge = bright.pixel_count as f64 / area;
        let fall = (contrast - 1.0) / edge;
        let reach = bright.semi_major * ((contrast / FAINTEST_WING - 1.0).max(0.0) / fall).sqrt();
        for near in index.within(bright.x, bright.y, reach.min(FARTHEST_WING)) {
            let faint = &footprints[near];
            if faint.total_significance >= bright.total_significance {
                continue;
            }
            let distance =
                bright.elliptical_distance_squared(faint.x - bright.x, faint.y - bright.y);
            if bright.peak_significance / (1.0 + fall * distance) > faint.excess {
                kept[near] = false;
            }
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::SourceFlags;

    fn footprint(x: f64, total: f64, peak: f64, excess: f64) -> Footprint {
        Footprint {
            label: 0,
            x,
            y: 50.0,
            semi_major: 2.0,
            semi_minor: 2.0,
            theta: 0.0,
            pixel_count: 100,
            peak_significance: peak,
            total_significance: total,
            excess,
            peak_electrons: peak,
            peak_row: 50,
            peak_column: x as usize,
            flux_electrons: total,
            flux_error_electrons: 1.0,
            flags: SourceFlags::default(),
        }
    }

    #[test]
    fn what_stands_on_a_wing_goes() {
        // Isophotal radius √(100/π) = 5.6 pixels; the wing at 9 pixels is 3 (5.6/9)² = 1.2.
        let bright = footprint(50.0, 30_000.0, 3000.0, 500.0);
        let on_wing = footprint(59.0, 20.0, 4.0, 0.8);
        let real = footprint(41.0, 40.0, 9.0, 4.0);
        let far = footprint(90.0, 20.0, 4.0, 0.8);
        assert_eq!(survivors(&[on_wing, bright, real, far], 3.0), [false, true, true, true]);
    }

    #[test]
    fn equals_spare_each_other() {
        let one = footprint(50.0, 100.0, 30.0, 0.1);
        assert_eq!(survivors(&[one, footprint(53.0, 100.0, 30.0, 0.1)], 3.0), [true, true]);
        assert_eq!(survivors(&[], 3.0), Vec::<bool>::new());
    }
}
