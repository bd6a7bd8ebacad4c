//! The distortion of a camera as it was learned from stars, remembered between nights.

use super::distortion_fit::{DistortionFit, ORDERS, fit_sip};
use super::sip::SipDistortion;
use super::wcs::{PixelSkyPair, TangentPlane};
use super::world_coordinates::{Distortion, WorldCoordinates};
use crate::model::{SkyPosition, UtcTime};
use serde::{Deserialize, Serialize};

/// Places per side at which a plane is compared with itself about another reference.
const GRID: usize = 5;
/// Places per side of the frame at which a stated distortion is made one of SIP, …
const STATED_GRID: usize = 24;
/// … by the lowest degree that comes so near to it everywhere, pixels, …
const STATED_TOLERANCE: f64 = 1e-3;
/// … or by the highest if it comes so near.
const LARGEST_STATED_ERROR: f64 = 0.02;

/// What the optics of one camera do to positions on its detector. It turns and moves with the camera, so that it holds for every
/// pointing; a frame of another size (binned, or a part of the detector) is not its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CameraDistortion {
    /// Readers refuse what they do not know.
    pub format_version: u32,
    /// Name of the camera.
    pub camera: String,
    /// Rows, columns of its frames.
    pub shape: (usize, usize),
    /// Zero-based: where the polynomials begin.
    pub reference_pixel: (f64, f64),
    pub sip: SipDistortion,
    /// Stars it rests on.
    pub star_count: usize,
    /// Their residual per axis.
    pub rms_pixels: f64,
    /// Of the frame it was learned from.
    pub date: UtcTime,
}

/// Why a remembered distortion does not serve a frame.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CameraDistortionError {
    #[error("format version {found}, this program knows {known}")]
    Version { found: u32, known: u32 },
    #[error("it was learned for {learned}, the frame is of {frame}")]
    OtherCamera { learned: String, frame: String },
    #[error("it was learned for frames of {learned:?} rows and columns, this one has {frame:?}")]
    OtherShape { learned: (usize, usize), frame: (usize, usize) },
}

impl CameraDistortion {
    pub const FORMAT_VERSION: u32 = 1;

    /// What a fit says of the camera; `None` for coordinates that are not of SIP.
    pub fn learned(
        camera: &str,
        shape: (usize, usize),
        fit: &DistortionFit,
        date: UtcTime,
    ) -> Option<Self> {
        let Distortion::Sip(sip) = &fit.coordinates.distortion else { return None };
        Some(Self {
            format_version: Self::FORMAT_VERSION,
            camera: camera.to_owned(),
            shape,
            reference_pixel: fit.coordinates.plane.reference_pixel,
            sip: sip.clone(),
            star_count: fit.star_count,
            rms_pixels: fit.rms_pixels,
            date,
        })
    }

    /// What the header of a frame says of its own distortion: resting on no stars that are known. `None` where it says nothing, and
    /// for a TPV that no polynomial of SIP follows over the frame to a fiftieth of a pixel.
    pub fn stated(
        camera: &str,
        shape: (usize, usize),
        coordinates: &WorldCoordinates,
    ) -> Option<Self> {
        let (reference_pixel, sip, rms_pixels) = match &coordinates.distortion {
            Distortion::None => return None,
            Distortion::Sip(sip) => (coordinates.plane.reference_pixel, sip.clone(), 0.0),
            Distortion::Tpv(_) => as_sip(coordinates, shape)?,
        };
        Some(Self {
            format_version: Self::FORMAT_VERSION,
            camera: camera.to_owned(),
            shape,
            reference_pixel,
            sip,
            star_count: 0,
            rms_pixels,
            date: UtcTime::from_unix_microseconds(0),
        })
    }

    /// Whether it is the distortion of a frame of this camera and shape.
    pub fn check(&self, camera: &str, shape: (usize, usize)) -> Result<(), CameraDistortionError> {
        if self.format_version != Self::FORMAT_VERSION {
            return Err(CameraDistortionError::Version {
                found: self.format_version,
                known: Self::FORMAT_VERSION,
            });
        }
        if self.camera != camera {
            return Err(CameraDistortionError::OtherCamera {
                learned: self.camera.clone(),
                frame: camera.to_owned(),
            });
        }
        if self.shape != shape {
            return Err(CameraDistortionError::OtherShape { learned: self.shape, frame: shape });
        }
        Ok(())
    }

    /// Where a source would be without distortion: with such positions a tangent plane is all there is to find, so
    /// that stars are matched as on a perfect camera.
    pub fn undistorted(&self, x: f64, y: f64) -> (f64, f64) {
        let (x0, y0) = self.reference_pixel;
        let (u, v) = self.sip.undistorted(x - x0, y - y0);
        (x0 + u, y0 + v)
    }

    /// Coordinates of the frame's own pixels from the plane found with [`CameraDistortion::undistorted`] positions. `None` for a
    /// plane that is singular or far outside the frame.
    pub fn world_coordinates(&self, plane: &TangentPlane) -> Option<WorldCoordinates> {
        let plane = self.about_the_reference(plane)?;
        Some(WorldCoordinates { plane, distortion: Distortion::Sip(self.sip.clone()) })
    }

    /// The same plane with the reference pixel of the polynomials, as SIP asks for. Another tangent point makes the matrix another
    /// by the square of the way between them only.
    fn about_the_reference(&self, plane: &TangentPlane) -> Option<TangentPlane> {
        if plane.reference_pixel == self.reference_pixel {
            return Some(*plane);
        }
        let pairs = pairs_on_grid(self.shape, GRID, |x, y| plane.pixel_to_sky(x, y));
        TangentPlane::fit(&pairs, self.reference_pixel)
    }
}

/// Places spread evenly over a frame with their positions on the sky.
fn pairs_on_grid(
    shape: (usize, usize),
    per_side: usize,
    to_sky: impl Fn(f64, f64) -> SkyPosition,
) -> Vec<PixelSkyPair> {
    let (height, width) = (shape.0 as f64 - 1.0, shape.1 as f64 - 1.0);
    let step = 1.0 / (per_side as f64 - 1.0);
    (0..per_side * per_side)
        .map(|place| {
            let x = (place % per_side) as f64 * step * width;
            let y = (place / per_side) as f64 * step * height;
            PixelSkyPair { pixel: (x, y), sky: to_sky(x, y), weight: 1.0 }
        })
        .collect()
}

/// Coordinates of any distortion as SIP about the middle of the frame: reference pixel, polynomials, and what is left, root mean square per axis.
fn as_sip(
    coordinates: &WorldCoordinates,
    shape: (usize, usize),
) -> Option<((f64, f64), SipDistortion, f64)> {
    let middle = ((shape.1 as f64 - 1.0) / 2.0, (shape.0 as f64 - 1.0) / 2.0);
    let pairs = pairs_on_grid(shape, STATED_GRID, |x, y| coordinates.pixel_to_sky(x, y));
    let mut best = None;
    for order in ORDERS {
        // Nothing here is a wrong pair.
        let Ok(fit) = fit_sip(&pairs, middle, order, f64::INFINITY) else { continue };
        let miss = |pair: &PixelSkyPair| match fit.coordinates.sky_to_pixel(pair.sky) {
            Ok((x, y)) => (x - pair.pixel.0).hypot(y - pair.pixel.1),
            Err(_) => f64::INFINITY,
        };
        let worst = pairs.iter().map(miss).fold(0.0, f64::max);
        if worst > LARGEST_STATED_ERROR {
            continue;
        }
        if let Distortion::Sip(sip) = fit.coordinates.distortion {
            best = Some((middle, sip, fit.rms_pixels));
        }
        if worst <= STATED_TOLERANCE {
            break;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imaging::distortion_fit::{fit_sip, tests::camera, tests::stars};
    use crate::imaging::tpv::{TpvAxis, TpvDistortion};
    use crate::imaging::wcs::cd_from_rotation;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    const SHAPE: (usize, usize) = (2048, 2048);
    const CENTRE: (f64, f64) = (1023.5, 1023.5);

    fn learned() -> (WorldCoordinates, CameraDistortion) {
        let mut random = ChaCha8Rng::seed_from_u64(5);
        let camera = camera(3, &mut random);
        let fit = fit_sip(&stars(&camera, 400, 0.0, &mut random), CENTRE, 3, 4.0).unwrap();
        let date = UtcTime::from_unix_microseconds(1_700_000_000_000_000);
        (camera, CameraDistortion::learned("C1", SHAPE, &fit, date).unwrap())
    }

    #[test]
    fn what_was_learned_holds_for_another_pointing_and_rotation() {
        let (mut camera, learned) = learned();
        camera.plane.reference_sky = SkyPosition::new(200.0, -30.0);
        camera.plane.cd = cd_from_rotation((-1.95e-4, 1.95e-4), 250.0);
        // Stars of the new field: positions on the detector, corrected, make a plain plane.
        let pairs: Vec<PixelSkyPair> = (0..100)
            .map(|place| {
                let (x, y) = (f64::from(place % 10) * 227.0, f64::from(place / 10) * 227.0);
                let pixel = learned.undistorted(x, y);
                PixelSkyPair { pixel, sky: camera.pixel_to_sky(x, y), weight: 1.0 }
            })
            .collect();
        for reference_pixel in [CENTRE, (1020.0, 1030.0)] {
            let plane = TangentPlane::fit(&pairs, reference_pixel).unwrap();
            let coordinates = learned.world_coordinates(&plane).unwrap();
            for (x, y) in [(0.0, 0.0), (2047.0, 0.0), (1000.0, 1500.0), (2047.0, 2047.0)] {
                let found = coordinates.sky_to_pixel(camera.pixel_to_sky(x, y)).unwrap();
                assert!((found.0 - x).hypot(found.1 - y) < 1e-5, "{x} {y}: {found:?}");
            }
        }
    }

    #[test]
    fn it_is_remembered_and_not_used_for_another_camera() {
        let (_, learned) = learned();
        let text = serde_json::to_string_pretty(&learned).unwrap();
        let back: CameraDistortion = serde_json::from_str(&text).unwrap();
        // The JSON reader may be wrong by the last digit of a number.
        let (before, after) = (learned.undistorted(30.0, 2000.0), back.undistorted(30.0, 2000.0));
        assert!((before.0 - after.0).hypot(before.1 - after.1) < 1e-11);
        assert_eq!((back.star_count, back.date), (learned.star_count, learned.date));
        assert_eq!(back.check("C1", SHAPE), Ok(()));
        assert!(matches!(back.check("C2", SHAPE), Err(CameraDistortionError::OtherCamera { .. })));
        let binned = (1024, 1024);
        assert!(matches!(back.check("C1", binned), Err(CameraDistortionError::OtherShape { .. })));
        let newer = CameraDistortion { format_version: 2, ..back };
        assert!(matches!(newer.check("C1", SHAPE), Err(CameraDistortionError::Version { .. })));
        let broken = text.replace("\"coefficient\": ", "\"coefficient\": 1e999, \"was\": ");
        assert!(serde_json::from_str::<CameraDistortion>(&broken).is_err());
    }

    /// A chip far from the reference of its mosaic, with polynomials as SCAMP writes them.
    #[test]
    fn a_stated_tpv_serves_as_sip() {
        let axis = |shift: f64| {
            TpvAxis::new(&[
                (0, shift),
                (1, 1.01),
                (4, 0.004),
                (7, -0.012),
                (9, -0.011),
                (10, 0.002),
            ])
        };
        let mosaic = WorldCoordinates {
            plane: TangentPlane {
                reference_pixel: (13_423.2, 6307.3),
                reference_sky: SkyPosition::new(210.0, -5.0),
                cd: cd_from_rotation((-7.3e-5, 7.3e-5), 90.0),
            },
            distortion: Distortion::Tpv(TpvDistortion {
                xi: axis(1e-3).unwrap(),
                eta: axis(-2e-3).unwrap(),
                pole_longitude_degrees: 180.0,
            }),
        };
        let shape = (4096, 2048);
        let stated = CameraDistortion::stated("DECam", shape, &mosaic).unwrap();
        assert_eq!(stated.star_count, 0);
        let pairs: Vec<PixelSkyPair> = pairs_on_grid(shape, 11, |x, y| mosaic.pixel_to_sky(x, y))
            .into_iter()
            .map(|pair| PixelSkyPair {
                pixel: stated.undistorted(pair.pixel.0, pair.pixel.1),
                ..pair
            })
            .collect();
        let plane = TangentPlane::fit(&pairs, (1000.0, 2000.0)).unwrap();
        let coordinates = stated.world_coordinates(&plane).unwrap();
        let miss = |x: f64, y: f64| {
            let (found_x, found_y) = coordinates.sky_to_pixel(mosaic.pixel_to_sky(x, y)).unwrap();
            (found_x - x).hypot(found_y - y)
        };
        let corners = [(0.0, 0.0), (2047.0, 0.0), (0.0, 4095.0), (2047.0, 4095.0)];
        let worst = corners.map(|(x, y)| miss(x, y)).into_iter().fold(0.0, f64::max);
        assert!(worst < 2e-3, "{worst}");
        let plane = mosaic.closest_plane(shape).unwrap();
        assert_eq!(CameraDistortion::stated("DECam", shape, &plane.into()), None);
    }
}
