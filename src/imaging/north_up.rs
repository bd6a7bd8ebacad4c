//! A piece of the sky as a person expects it: north up, east to the left.

use super::{Image, statistics::median_and_deviation, world_coordinates::WorldCoordinates};
use crate::model::SkyPosition;
use ndarray::Array2;

/// The largest side of a picture, pixels: a bound on memory.
const LARGEST_SIDE: usize = 2048;
/// Spacing of the places at which the coordinates are evaluated; between them they are taken as linear.
const STEP: usize = 16;

/// A square piece of the sky on the tangent plane at its centre. Row 0 is the northern edge, column 0 the eastern one.
#[derive(Debug, Clone, PartialEq)]
pub struct SkyPicture {
    pub centre: SkyPosition,
    /// Arcseconds per pixel of the picture.
    pub scale_arcsec: f64,
    /// As the image has them; not a number where it has none.
    pub pixels: Array2<f32>,
}

impl SkyPicture {
    /// The piece of `side` pixels (2048 at most) of `scale_arcsec` about `centre`: each has the value of the image's pixel that is nearest.
    /// A distortion is followed at places 16 pixels apart.
    pub fn of(
        image: &Image,
        coordinates: &WorldCoordinates,
        centre: SkyPosition,
        side: usize,
        scale_arcsec: f64,
    ) -> Self {
        let side = side.min(LARGEST_SIDE);
        let middle = (side as f64 - 1.0) / 2.0;
        let nodes = side.div_ceil(STEP) + 1;
        let place = |node: usize| (node * STEP) as f64;
        let node_pixels: Vec<(f64, f64)> = (0..nodes * nodes)
            .map(|index| {
                let (row, column) = (place(index / nodes), place(index % nodes));
                let (east, north) = ((middle - column), (middle - row));
                let sky = centre.offset_arcsec(east * scale_arcsec, north * scale_arcsec);
                coordinates.sky_to_pixel(sky).unwrap_or((f64::NAN, f64::NAN))
            })
            .collect();
        let node = |row: usize, column: usize| {
            node_pixels.get(row * nodes + column).copied().unwrap_or((f64::NAN, f64::NAN))
        };
        let (height, width) = image.dim();
        let pixels = Array2::from_shape_fn((side, side), |(row, column)| {
            let (above, left) = (row / STEP, column / STEP);
            let down = (row % STEP) as f64 / STEP as f64;
            let right = (column % STEP) as f64 / STEP as f64;
            let corners = [(0, 0), (0, 1), (1, 0), (1, 1)].map(|(a, b)| node(above + a, left + b));
            let shares = [
                (1.0 - down) * (1.0 - right),
                (1.0 - down) * right,
                down * (1.0 - right),
                down * right,
            ];
            let (mut x, mut y) = (0.5, 0.5);
            for (corner, share) in corners.iter().zip(shares) {
                x += corner.0 * share;
                y += corner.1 * share;
            }
            // Not a number fails this too.
            let is_inside = x >= 0.0 && y >= 0.0 && x < width as f64 && y < height as f64;
            if is_inside {
                image.get((y as usize, x as usize)).copied().unwrap_or(f32::NAN)
            } else {
                f32::NAN
            }
        });
        Self { centre, scale_arcsec, pixels }
    }

    /// Column and row of a place, which may lie outside; `None` on the far hemisphere.
    pub fn place_of(&self, sky: SkyPosition) -> Option<(f64, f64)> {
        let (east, north) = tangent_offset_arcsec(self.centre, sky)?;
        let middle = (self.pixels.nrows() as f64 - 1.0) / 2.0;
        Some((middle - east / self.scale_arcsec, middle - north / self.scale_arcsec))
    }

    /// Sky level and its noise: median and robust deviation. `None` where the image has no pixel.
    pub fn sky(&self) -> Option<(f64, f64)> {
        let values: Vec<f64> = self.pixels.iter().map(|value| f64::from(*value)).collect();
        median_and_deviation(&values)
    }
}

/// Offset of `sky` from `centre` on the tangent plane there, arcseconds east and north (Calabretta & Greisen 2002, §5.1.3); `None` on
/// the far hemisphere.
pub fn tangent_offset_arcsec(centre: SkyPosition, sky: SkyPosition) -> Option<(f64, f64)> {
    let (sin_0, cos_0) = centre.dec_degrees.to_radians().sin_cos();
    let (sin_dec, cos_dec) = sky.dec_degrees.to_radians().sin_cos();
    let (sin_ra, cos_ra) = (sky.ra_degrees - centre.ra_degrees).to_radians().sin_cos();
    let depth = sin_dec * sin_0 + cos_dec * cos_0 * cos_ra;
    let arcsec = |value: f64| value.to_degrees() * 3600.0;
    (depth > 0.0).then(|| {
        let east = cos_dec * sin_ra / depth;
        let north = (sin_dec * cos_0 - cos_dec * sin_0 * cos_ra) / depth;
        (arcsec(east), arcsec(north))
    })
}

/// How pixels become grey: the same for all pictures that are to be compared.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AsinhStretch {
    /// Below it everything is blank; counted from the sky.
    lowest: f64,
    /// Up to about here grey is linear in light, beyond it logarithmic.
    softening: f64,
    /// Where everything is full, stretched.
    full: f64,
}

impl AsinhStretch {
    /// From 1.5 σ under the sky to `peak`, at least 25 σ, softened at one σ, with `sigma` that of the sky.
    pub fn for_noise(sigma: f64, peak: f64) -> Self {
        let sigma = if sigma > 0.0 && sigma.is_finite() { sigma } else { 1.0 };
        let highest = if peak.is_finite() { peak.max(25.0 * sigma) } else { 25.0 * sigma };
        let lowest = -1.5 * sigma;
        Self { lowest, softening: sigma, full: ((highest - lowest) / sigma).asinh() }
    }

    /// 0 at the lowest and below, 1 at the peak and above (Lupton et al. 2004, PASP 116, 133, eq. 4, without their slope).
    pub fn share(&self, above_sky: f64) -> f64 {
        let stretched = ((above_sky - self.lowest) / self.softening).asinh();
        (stretched / self.full).clamp(0.0, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imaging::wcs::TangentPlane;

    /// One arcsecond per pixel, turned by `degrees`; east to the left when it is not.
    fn turned(degrees: f64) -> WorldCoordinates {
        let (sin, cos) = degrees.to_radians().sin_cos();
        let scale = 1.0 / 3600.0;
        TangentPlane {
            reference_sky: SkyPosition::new(30.0, 24.0),
            reference_pixel: (50.0, 50.0),
            cd: [[-scale * cos, scale * sin], [scale * sin, scale * cos]],
        }
        .into()
    }

    #[test]
    fn north_is_up_and_east_left_however_the_camera_stands() {
        for degrees in [0.0, 37.0, 90.0, 200.0] {
            let coordinates = turned(degrees);
            let centre = coordinates.pixel_to_sky(50.0, 50.0);
            let star = centre.offset_arcsec(12.0, 20.0);
            let (x, y) = coordinates.sky_to_pixel(star).unwrap();
            let mut image = Image::zeros((101, 101));
            image[[y.round() as usize, x.round() as usize]] = 9.0;
            let picture = SkyPicture::of(&image, &coordinates, centre, 61, 1.0);
            let bright: Vec<(usize, usize)> = picture
                .pixels
                .indexed_iter()
                .filter(|(_, value)| **value == 9.0)
                .map(|(place, _)| place)
                .collect();
            assert!(!bright.is_empty(), "{degrees}");
            for (row, column) in bright {
                assert!((row as f64 - 10.0).abs() <= 1.5 && (column as f64 - 18.0).abs() <= 1.5);
            }
            let (column, row) = picture.place_of(star).unwrap();
            assert!((column - 18.0).abs() < 1e-6 && (row - 10.0).abs() < 1e-6, "{column} {row}");
        }
    }

    #[test]
    fn what_the_image_has_not_is_not_a_number() {
        let coordinates = turned(0.0);
        let corner = coordinates.pixel_to_sky(0.0, 0.0);
        let picture = SkyPicture::of(&Image::ones((101, 101)), &coordinates, corner, 21, 1.0);
        assert_eq!(picture.pixels[[10, 10]], 1.0);
        assert!(picture.pixels[[20, 20]].is_nan() || picture.pixels[[20, 0]].is_nan());
        let far = SkyPosition::new(210.0, -24.0);
        let nothing = SkyPicture::of(&Image::ones((9, 9)), &coordinates, far, 9, 1.0);
        assert!(nothing.pixels.iter().all(|value| value.is_nan()));
        assert_eq!(nothing.sky(), None);
        assert_eq!(picture.place_of(far), None);
    }

    #[test]
    fn offsets_are_the_inverse_of_offsetting() {
        let centre = SkyPosition::new(359.99, -63.0);
        let (east, north) =
            tangent_offset_arcsec(centre, centre.offset_arcsec(123.0, -45.0)).unwrap();
        assert!((east - 123.0).abs() < 1e-6 && (north + 45.0).abs() < 1e-6, "{east} {north}");
    }

    #[test]
    fn the_stretch_shows_faint_and_bright() {
        let stretch = AsinhStretch::for_noise(10.0, 5000.0);
        assert_eq!(stretch.share(-100.0), 0.0);
        assert_eq!(stretch.share(1e9), 1.0);
        let (sky, faint) = (stretch.share(0.0), stretch.share(50.0));
        assert!(sky > 0.1 && sky < 0.25 && faint > sky + 0.1, "{sky} {faint}");
        assert!(AsinhStretch::for_noise(f64::NAN, f64::NAN).share(1.0).is_finite());
    }
}
