//! Is a pixel of one frame an outlier against a reference image of the same field?

/// Share of the flux nearby by which a value may differ besides the noise: small shifts and changes of seeing
/// move that much between the pixels of a star.
const FLUX_SHARE: f32 = 0.3;
/// A star counts as near where the reference reaches this share of the deviation within two pixels.
const STAR_SHARE: f32 = 0.2;
/// With a star near, the deviations around must add up to this multiple of the largest to be new light:
/// when the seeing changes they cancel.
const EXCESS_SHARE: f32 = 0.75;
/// A deficit no deeper than the star itself is a star in worse seeing or a fading one, not a defect.
const DEFICIT_SHARE: f32 = 1.2;
/// Half-width of the box in which a star's light may move from pixel to pixel.
const NEAR: usize = 2;
/// In worse seeing a star's wings reach as far as this, with this share of what they may have nearer.
const FAR: usize = 6;
const FAR_SHARE: f32 = 1.0 / 15.0;
/// Half-width of the box over which deviations are summed: wide enough for the light that worse seeing spreads.
const SUM: usize = 5;

/// Noise alone would throw away the cores of stars whenever the seeing changes, and so lose flux
/// (the reason why drizzle's cosmic-ray step scales with the derivative of the image). Here the tolerance is
/// `clip_sigma` times the noise plus a share of the flux nearby; what exceeds it near a star must besides
/// be new light, not light moved.
#[derive(Debug, Clone, Copy)]
pub struct OutlierTest {
    pub clip_sigma: f32,
}

/// One pixel of one frame against what the other frames say there.
#[derive(Debug, Clone, Copy)]
pub struct Suspect {
    pub place: (usize, usize),
    /// Value less reference.
    pub deviation: f32,
    /// Variance of the deviation.
    pub variance: f32,
    /// The [`flux_nearby`] of the reference.
    pub nearby: f32,
}

impl OutlierTest {
    /// Whether noise alone explains a deviation of this variance, wherever the pixel is.
    #[inline(always)]
    pub fn is_within_noise(&self, deviation: f32, variance: f32) -> bool {
        deviation * deviation <= self.clip_sigma * self.clip_sigma * variance.max(0.0)
    }

    /// Whether the suspect is an outlier. `deviation_at` gives the frame's deviation at any pixel around, `None`
    /// where it has none; it is asked only near stars.
    pub fn is_outlier(
        &self,
        suspect: &Suspect,
        deviation_at: impl Fn((usize, usize)) -> Option<f32>,
    ) -> bool {
        let Suspect { place, deviation, variance, nearby } = *suspect;
        if !deviation.is_finite() {
            return true;
        }
        let flux = if nearby.is_finite() { nearby.max(0.0) } else { 0.0 };
        let noise = self.clip_sigma * variance.max(0.0).sqrt();
        if deviation.abs() <= noise + FLUX_SHARE * flux {
            return false;
        }
        // The flux nearby is a star only if it stands above the noise.
        if flux <= noise {
            return true;
        }
        if deviation < 0.0 {
            return -deviation > noise + DEFICIT_SHARE * flux;
        }
        if flux < STAR_SHARE * deviation {
            return true;
        }
        let (excess, largest) = excess(place, deviation_at);
        excess > EXCESS_SHARE * largest.max(deviation)
    }
}

/// Sum of the deviations in the box around a pixel, and the largest near it: beside the core of a star in better
/// seeing the excess of the whole star is to be held against that of the core.
fn excess(
    (row, column): (usize, usize),
    deviation_at: impl Fn((usize, usize)) -> Option<f32>,
) -> (f32, f32) {
    let (mut sum, mut largest) = (0.0, f32::NEG_INFINITY);
    for near_row in row.saturating_sub(SUM)..=row + SUM {
        for near_column in column.saturating_sub(SUM)..=column + SUM {
            let deviation = deviation_at((near_row, near_column));
            let Some(deviation) = deviation.filter(|deviation| deviation.is_finite()) else {
                continue;
            };
            sum += deviation;
            if near_row.abs_diff(row) <= NEAR && near_column.abs_diff(column) <= NEAR {
                largest = largest.max(deviation);
            }
        }
    }
    (sum, largest)
}

/// The flux that could move into a pixel, for [`Suspect::nearby`]: the largest value within two rows and columns, or
/// a fifteenth of the largest within six, whichever is more; −∞ where there is none. The image is of `shape` (rows, columns), `value_at` gives its values.
pub fn flux_nearby_at(
    (row, column): (usize, usize),
    (rows, columns): (usize, usize),
    value_at: impl Fn((usize, usize)) -> f32,
) -> f32 {
    let (mut near, mut far) = (f32::NEG_INFINITY, f32::NEG_INFINITY);
    for near_row in row.saturating_sub(FAR)..(row + FAR + 1).min(rows) {
        for near_column in column.saturating_sub(FAR)..(column + FAR + 1).min(columns) {
            // `max` takes the number where the other is NaN.
            let value = value_at((near_row, near_column));
            far = far.max(value);
            if near_row.abs_diff(row) <= NEAR && near_column.abs_diff(column) <= NEAR {
                near = near.max(value);
            }
        }
    }
    near.max(far * FAR_SHARE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imaging::Image;
    use ndarray::s;

    /// The same of all pixels.
    fn flux_nearby(image: &Image) -> Image {
        let mut near = local_maximum(image, NEAR);
        let far = local_maximum(image, FAR);
        near.zip_mut_with(&far, |near, far| *near = near.max(far * FAR_SHARE));
        near
    }

    /// Largest finite value within `reach` rows and columns of each pixel; −∞ where there is none.
    fn local_maximum(image: &Image, reach: usize) -> Image {
        let (rows, columns) = image.dim();
        let mut along_rows = Image::from_elem((rows, columns), f32::NEG_INFINITY);
        for (source, mut target) in image.rows().into_iter().zip(along_rows.rows_mut()) {
            for step in 0..=reach.min(columns.saturating_sub(1)) {
                // `max` takes the number where the other is NaN.
                let larger = |largest: &mut f32, value: &f32| *largest = largest.max(*value);
                let (left, right) = (..columns - step, step..);
                target.slice_mut(s![left]).zip_mut_with(&source.slice(s![right.clone()]), larger);
                target.slice_mut(s![right]).zip_mut_with(&source.slice(s![left]), larger);
            }
        }
        let mut result = Image::from_elem((rows, columns), f32::NEG_INFINITY);
        for (row, mut target) in result.rows_mut().into_iter().enumerate() {
            for near in row.saturating_sub(reach)..(row + reach + 1).min(rows) {
                target.zip_mut_with(&along_rows.row(near), |largest, value| {
                    *largest = largest.max(*value);
                });
            }
        }
        result
    }

    #[test]
    fn the_flux_nearby_of_one_pixel_is_that_of_the_plane() {
        let mut image = Image::from_shape_fn((23, 31), |(row, column)| {
            ((row * 31 + column) * 7919 % 1013) as f32 - 400.0
        });
        image[(3, 4)] = f32::NAN;
        image.slice_mut(s![10.., 20..]).fill(f32::NAN);
        let plane = flux_nearby(&image);
        for (place, expected) in plane.indexed_iter() {
            let found = flux_nearby_at(place, image.dim(), |at| image[at]);
            assert_eq!(found, *expected, "{place:?}");
        }
    }

    #[test]
    fn local_maximum_is_that_of_the_box() {
        let mut image = Image::zeros((9, 9));
        image[(4, 4)] = 5.0;
        image[(0, 0)] = f32::NAN;
        let result = local_maximum(&image, 2);
        for ((row, column), value) in result.indexed_iter() {
            let near = row.abs_diff(4) <= 2 && column.abs_diff(4) <= 2;
            assert_eq!(*value, if near { 5.0 } else { 0.0 });
        }
        assert_eq!(local_maximum(&Image::zeros((0, 0)), 2).dim(), (0, 0));
        let none = local_maximum(&Image::from_elem((2, 2), f32::NAN), 2);
        assert!(none.iter().all(|value| *value == f32::NEG_INFINITY));
    }

    /// Moffat of β = 3, as seeing is.
    fn star(fwhm: f64, flux: f64) -> Image {
        let square_width = (fwhm / 2.0).powi(2) / (2f64.powf(1.0 / 3.0) - 1.0);
        Image::from_shape_fn((31, 31), |(row, column)| {
            let square = (row as f64 - 15.0).powi(2) + (column as f64 - 15.2).powi(2);
            let peak = flux * 2.0 / (std::f64::consts::PI * square_width);
            (peak * (1.0 + square / square_width).powi(-3)) as f32
        })
    }

    fn outliers(reference: &Image, frame: &Image) -> Vec<(usize, usize)> {
        let test = OutlierTest { clip_sigma: 4.0 };
        let nearby = flux_nearby(reference);
        let deviations = frame - reference;
        let is_outlier = |place: (usize, usize)| {
            let suspect = Suspect {
                place,
                deviation: deviations[place],
                variance: 100.0 + reference[place],
                nearby: nearby[place],
            };
            test.is_outlier(&suspect, |at| deviations.get(at).copied())
        };
        let places = frame.indexed_iter().map(|(place, _)| place);
        places.filter(|place| is_outlier(*place)).collect()
    }

    #[test]
    fn seeing_is_no_outlier_either_way() {
        for (one, other) in [(1.8, 3.6), (3.6, 1.8), (2.5, 3.0)] {
            for flux in [3e3, 1e5, 1e6] {
                let (reference, frame) = (star(one, flux), star(other, flux));
                let lost: f32 = outliers(&reference, &frame)
                    .into_iter()
                    .map(|place| frame[place] - reference[place])
                    .sum();
                // The farthest wings of bright stars may be lost, two thousandths of the flux at most.
                assert!(f64::from(lost.abs()) <= 2e-3 * flux, "{one} {other} {flux}: {lost}");
            }
        }
    }

    #[test]
    fn cosmic_rays_are_outliers_on_the_sky_and_on_a_star() {
        let mut frame = star(2.5, 1e4);
        frame[(2, 2)] += 500.0;
        frame[(15, 15)] += 3000.0;
        assert_eq!(outliers(&star(2.5, 1e4), &frame), [(2, 2), (15, 15)]);
    }

    #[test]
    fn a_fading_star_is_kept_and_a_dead_pixel_is_not() {
        assert_eq!(outliers(&star(2.5, 1e5), &star(2.5, 2e4)), []);
        let mut frame = star(2.5, 1e4);
        frame[(2, 2)] -= 500.0;
        frame[(3, 28)] = f32::NAN;
        assert_eq!(outliers(&star(2.5, 1e4), &frame), [(2, 2), (3, 28)]);
    }
}
