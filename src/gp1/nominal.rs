//! Where a frame is thought to lie before it is solved, and what is known of the distortion of its camera.

use super::camera_distortions::camera_name;
use crate::fits::{Header, wcs_cards};
use crate::imaging::{
    camera_distortion::CameraDistortion, wcs::TangentPlane, world_coordinates::WorldCoordinates,
};
use crate::model::FrameKeywords;
use std::borrow::Cow;

/// The coordinates of a header with their distortion (SIP, TPV). A distortion that is not known leaves the linear part.
pub fn coordinates_of(header: &Header) -> Option<WorldCoordinates> {
    wcs_cards::read_distorted(header)
        .ok()
        .or_else(|| wcs_cards::read(header).map(WorldCoordinates::from))
}

/// The plane nearest to the coordinates of a header, their distortion taken into account over an image of `shape` (rows, columns).
pub fn plane_of(header: &Header, shape: (usize, usize)) -> Option<TangentPlane> {
    coordinates_of(header)?.closest_plane(shape)
}

/// Whose word a distortion is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DistortionOrigin {
    /// Learned from stars of the camera, confirmed by others.
    Camera,
    /// The header of the frame says so.
    Header,
}

/// A distortion with its origin.
#[derive(Debug, Clone, PartialEq)]
pub struct KnownDistortion<'a> {
    pub distortion: Cow<'a, CameraDistortion>,
    pub origin: DistortionOrigin,
}

/// Where a frame is thought to lie.
#[derive(Debug, Clone, PartialEq)]
pub struct Nominal<'a> {
    /// The plane that comes closest to the coordinates.
    pub plane: TangentPlane,
    /// What stands if nothing better is found.
    pub coordinates: WorldCoordinates,
    pub distortion: Option<KnownDistortion<'a>>,
}

impl<'a> Nominal<'a> {
    /// On a perfect camera.
    pub fn undistorted(plane: TangentPlane) -> Self {
        Self { plane, coordinates: plane.into(), distortion: None }
    }

    /// A plane before a camera whose distortion was learned.
    pub fn learned(plane: TangentPlane, learned: &'a CameraDistortion) -> Self {
        Self {
            coordinates: learned.world_coordinates(&plane).unwrap_or_else(|| plane.into()),
            plane,
            distortion: Some(KnownDistortion {
                distortion: Cow::Borrowed(learned),
                origin: DistortionOrigin::Camera,
            }),
        }
    }

    /// Where the telescope says it looks: the header's own coordinates, else the pointing with `scale_degrees` per pixel or the scale of the camera,
    /// whose file also says how the frame lies. Its distortion is what was `learned` of the camera, else what the header
    /// says. `shape` is rows, columns.
    pub fn of(
        header: &Header,
        keywords: &FrameKeywords,
        scale_degrees: Option<f64>,
        shape: (usize, usize),
        learned: Option<&'a CameraDistortion>,
    ) -> Option<Self> {
        let own = coordinates_of(header)
            .and_then(|own| Some((own.closest_plane(shape).filter(is_sound)?, own)));
        let Some((plane, own)) = own else {
            let plane = of_pointing(keywords, scale_degrees, shape)?;
            return Some(
                learned.map_or(Self::undistorted(plane), |known| Self::learned(plane, known)),
            );
        };
        if let Some(known) = learned {
            let nominal = Self::learned(plane, known);
            // The header's own word on the same distortion goes with its own plane.
            return Some(if own.is_distorted() {
                Self { coordinates: own, ..nominal }
            } else {
                nominal
            });
        }
        let distortion =
            CameraDistortion::stated(camera_name(keywords), shape, &own).map(|stated| {
                KnownDistortion { distortion: Cow::Owned(stated), origin: DistortionOrigin::Header }
            });
        Some(Self { plane, coordinates: own, distortion })
    }
}

fn is_sound(wcs: &TangentPlane) -> bool {
    let [[a, b], [c, d]] = wcs.cd;
    let determinant = a * d - b * c;
    determinant.is_finite() && determinant != 0.0
}

fn of_pointing(
    keywords: &FrameKeywords,
    scale_degrees: Option<f64>,
    shape: (usize, usize),
) -> Option<TangentPlane> {
    let centre = ((shape.1 as f64 - 1.0) / 2.0, (shape.0 as f64 - 1.0) / 2.0);
    let camera = &keywords.camera;
    let scale = scale_degrees.or(camera.pixel_scale_degrees)?;
    let nominal = TangentPlane::nominal(centre, keywords.pointing?, scale);
    let cd = orientation(scale, camera.rotation_degrees, camera.is_mirrored);
    Some(TangentPlane { cd, ..nominal })
}

/// The matrix of a frame whose upward direction lies at `rotation_degrees` from north through east; unless it is mirrored, east
/// is a quarter turn counterclockwise of north.
fn orientation(scale_degrees: f64, rotation_degrees: f64, is_mirrored: bool) -> [[f64; 2]; 2] {
    // Without a rotation the zeros are exact.
    let (sin, cos) = match rotation_degrees {
        0.0 => (0.0, 1.0),
        degrees => degrees.to_radians().sin_cos(),
    };
    let side = if is_mirrored { scale_degrees } else { -scale_degrees };
    [[side * cos, scale_degrees * sin], [-side * sin, scale_degrees * cos]]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gp1::workspace::tests::keywords;
    use crate::imaging::distortion_fit::tests::camera;
    use crate::model::SkyPosition;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    const SHAPE: (usize, usize) = (512, 512);
    const SCALE: f64 = 0.000195;

    fn plane() -> TangentPlane {
        TangentPlane::nominal((255.5, 255.5), SkyPosition::new(30.0, 24.0), SCALE)
    }

    #[test]
    fn the_pointing_serves_where_the_header_has_no_coordinates() {
        let pointed =
            FrameKeywords { pointing: Some(SkyPosition::new(30.0, 24.0)), ..keywords(None) };
        let of = |header: &Header, keywords: &FrameKeywords, scale| {
            Nominal::of(header, keywords, scale, SHAPE, None)
        };
        let empty = Header::new();
        assert_eq!(of(&empty, &pointed, Some(SCALE)), Some(Nominal::undistorted(plane())));
        let mut singular = Header::new();
        wcs_cards::write(&mut singular, &TangentPlane { cd: [[0.0; 2]; 2], ..plane() });
        assert_eq!(of(&singular, &pointed, Some(SCALE)), Some(Nominal::undistorted(plane())));
        assert_eq!(of(&empty, &pointed, None), None);
        let lost = FrameKeywords { pointing: None, ..pointed };
        assert_eq!(of(&empty, &lost, Some(SCALE)), None);
    }

    #[test]
    fn what_was_learned_comes_before_what_the_header_says() {
        let shape = (2048, 2048);
        let mut random = ChaCha8Rng::seed_from_u64(4);
        let stated = camera(3, &mut random);
        let learned = CameraDistortion::stated("C1", shape, &camera(2, &mut random)).unwrap();
        let mut header = Header::new();
        wcs_cards::write_distorted(&mut header, &stated);
        let keywords = keywords(None);
        let of_header = Nominal::of(&header, &keywords, None, shape, None).unwrap();
        let known = of_header.distortion.unwrap();
        assert_eq!(known.origin, DistortionOrigin::Header);
        assert_eq!(known.distortion.undistorted(5.0, 7.0), {
            let sip = CameraDistortion::stated("C1", shape, &stated).unwrap();
            sip.undistorted(5.0, 7.0)
        });
        assert_eq!(of_header.coordinates, coordinates_of(&header).unwrap());
        let both = Nominal::of(&header, &keywords, None, shape, Some(&learned)).unwrap();
        let known = both.distortion.unwrap();
        assert_eq!((known.origin, known.distortion.as_ref()), (DistortionOrigin::Camera, &learned));
        assert_eq!(both.coordinates, of_header.coordinates);
    }
}
