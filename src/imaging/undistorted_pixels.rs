//! The pixels of a frame as they would be on a camera without distortion.

use super::wcs::TangentPlane;
use super::world_coordinates::WorldCoordinates;

/// What leads to no pixel.
const NOWHERE: (f64, f64) = (f64::NAN, f64::NAN);

/// Takes pixels of a frame to those of the plane that comes closest to its coordinates, and back. Between two frames of any
/// cameras such pixels differ by an affine transform. Where nothing distorts, or nothing is known, they are the pixels themselves.
#[derive(Debug, Clone, PartialEq)]
pub struct UndistortedPixels {
    distorted: Option<(WorldCoordinates, TangentPlane)>,
}

impl UndistortedPixels {
    /// Of a frame of `shape` (rows, columns).
    pub fn of(coordinates: Option<&WorldCoordinates>, shape: (usize, usize)) -> Self {
        let distorted = coordinates
            .filter(|coordinates| coordinates.is_distorted())
            .and_then(|coordinates| Some((coordinates.clone(), coordinates.closest_plane(shape)?)));
        Self { distorted }
    }

    /// Where a place on the frame would be without distortion; not finite where the sky has no such place.
    pub fn from_frame(&self, x: f64, y: f64) -> (f64, f64) {
        match &self.distorted {
            None => (x, y),
            Some((coordinates, plane)) => {
                plane.sky_to_pixel(coordinates.pixel_to_sky(x, y)).unwrap_or(NOWHERE)
            }
        }
    }

    /// The inverse of [`UndistortedPixels::from_frame`].
    pub fn to_frame(&self, x: f64, y: f64) -> (f64, f64) {
        match &self.distorted {
            None => (x, y),
            Some((coordinates, plane)) => {
                coordinates.sky_to_pixel(plane.pixel_to_sky(x, y)).unwrap_or(NOWHERE)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imaging::distortion_fit::tests::camera;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    const SHAPE: (usize, usize) = (2048, 2048);

    #[test]
    fn the_way_there_and_back_is_exact_and_straightens_lines() {
        let camera = camera(3, &mut ChaCha8Rng::seed_from_u64(8));
        let pixels = UndistortedPixels::of(Some(&camera), SHAPE);
        let mut moved = 0.0_f64;
        for (x, y) in [(0.0, 0.0), (2047.0, 0.0), (300.0, 1900.0), (2047.0, 2047.0)] {
            let (u, v) = pixels.from_frame(x, y);
            moved = moved.max((u - x).hypot(v - y));
            let back = pixels.to_frame(u, v);
            assert!((back.0 - x).hypot(back.1 - y) < 1e-8, "{back:?}");
        }
        assert!(moved > 1.0, "{moved}");
        let plain = UndistortedPixels::of(Some(&camera.plane.into()), SHAPE);
        assert_eq!(plain.from_frame(12.5, 7.0), (12.5, 7.0));
        assert_eq!(UndistortedPixels::of(None, SHAPE).to_frame(12.5, 7.0), (12.5, 7.0));
    }
}
