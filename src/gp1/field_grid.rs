//! The grid of a field: the pixels of its first frame, and where they lie on the other frames. Alignment and stacks go by it.

use super::measured_frame::MeasuredFrame;
use super::settings::AlignmentParameters;
use super::stacking::StackRefusal;
use crate::imaging::{
    CalibratedImage,
    alignment::{AffineTransform, align},
    background::Background,
    resample::{lanczos3, lanczos3_above_sky, unmoved_above_sky},
    undistorted_pixels::UndistortedPixels,
    world_coordinates::WorldCoordinates,
};
use crate::model::Source;

/// A frame that covers less of the grid than this share is of another field.
const LEAST_OVERLAP: f64 = 0.2;
/// Places of fainter stars say little of how well a frame lies.
const TRUSTED_SIGNAL_TO_NOISE: f64 = 20.0;
/// Points per side on which the overlap is judged.
const OVERLAP_SAMPLES: usize = 16;

/// The grid of a field: that of its first frame.
#[derive(Debug, Clone)]
pub struct FieldGrid {
    pub frame: String,
    /// With the distortion of its camera: what is put on the grid has it too.
    pub wcs: WorldCoordinates,
    pub is_absolute: bool,
    /// Field of the frame, where it is not tied to the sky.
    pub field: Option<String>,
    pub shape: (usize, usize),
    pub sources: Vec<Source>,
}

/// Where the pixels of the grid lie on a frame.
#[derive(Debug, Clone)]
pub struct GridFit<'a> {
    map: GridMap<'a>,
    grid: &'a FieldGrid,
}

/// How a frame lies to the grid, for people and headers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Placement {
    /// `itself`, `coordinates` or `stars`.
    pub by: &'static str,
    /// Where the middle of the grid lies on the frame, less that middle, pixels.
    pub shift: (f64, f64),
    /// From the grid to the frame, degrees, from x to y.
    pub rotation_degrees: f64,
    /// Pixels of the frame in one of the grid.
    pub scale: f64,
    /// Stars of the grid that are on the frame, and those found where they should be.
    pub expected_stars: usize,
    pub matched_stars: usize,
    /// Their distance per axis from where they should be, root mean square, pixels; none without stars.
    pub residual_pixels: Option<f64>,
}

impl FieldGrid {
    /// The grid of `frame`. Refused where the frame has no coordinates.
    pub fn of(frame: &MeasuredFrame) -> Result<Self, StackRefusal> {
        Ok(Self {
            frame: frame.name().to_owned(),
            wcs: frame.wcs.clone().ok_or(StackRefusal::NoCoordinates)?,
            is_absolute: frame.status.is_absolute(),
            field: frame.field().map(str::to_owned),
            shape: frame.measurement.shape,
            sources: frame.bare_sources(),
        })
    }

    /// Whether neither this nor the frame is tied to the sky and they are known to be of different fields.
    pub fn is_apart_from(&self, frame: &MeasuredFrame) -> bool {
        !self.is_absolute && !frame.status.is_absolute() && self.field.as_deref() != frame.field()
    }

    /// Finds a frame's place: by coordinates where both are tied to the sky, else by the pattern of the stars, where a camera without
    /// distortion would have them. Refused where the frame does not fit or covers too little.
    pub fn fit<'a>(
        &'a self,
        frame: &'a MeasuredFrame,
        alignment: &AlignmentParameters,
    ) -> Result<GridFit<'a>, StackRefusal> {
        let fit = GridFit { map: self.to_input(frame, alignment)?, grid: self };
        check_overlap(&fit.map, self.shape, frame.measurement.shape)?;
        Ok(fit)
    }

    /// Where another grid lies under this one, both tied to the sky.
    pub(super) fn fit_grid<'a>(&'a self, other: &'a Self) -> Result<GridFit<'a>, StackRefusal> {
        if !(self.is_absolute && other.is_absolute) {
            return Err(StackRefusal::OtherStars { reference: self.frame.clone() });
        }
        let map = GridMap::Sky { grid: &self.wcs, frame: &other.wcs };
        check_overlap(&map, self.shape, other.shape)?;
        Ok(GridFit { map, grid: self })
    }

    fn to_input<'a>(
        &'a self,
        frame: &'a MeasuredFrame,
        alignment: &AlignmentParameters,
    ) -> Result<GridMap<'a>, StackRefusal> {
        if frame.name() == self.frame {
            return Ok(GridMap::Same);
        }
        if self.is_absolute && frame.status.is_absolute() {
            let frame = frame.wcs.as_ref().ok_or(StackRefusal::NoCoordinates)?;
            return Ok(GridMap::Sky { grid: &self.wcs, frame });
        }
        let grid_pixels = UndistortedPixels::of(Some(&self.wcs), self.shape);
        let frame_pixels = UndistortedPixels::of(frame.wcs.as_ref(), frame.measurement.shape);
        let limit = |sources: &[Source], pixels: &UndistortedPixels| -> Vec<Source> {
            let moved = |source: &Source| {
                let (x, y) = pixels.from_frame(source.x, source.y);
                Source { x, y, ..source.clone() }
            };
            sources.iter().take(alignment.maximum_sources).map(moved).collect()
        };
        let (transform, count, residual) = align(
            &limit(&self.sources, &grid_pixels),
            &limit(&frame.bare_sources(), &frame_pixels),
        )
        .map_err(|failure| StackRefusal::Misaligned(failure.to_string()))?;
        if count < alignment.minimum_matches || residual > alignment.match_radius_pixels {
            return Err(StackRefusal::Misaligned(format!(
                "it fits {} by {count} sources only, residual {residual:.2} pixels",
                self.frame
            )));
        }
        let inverse = transform
            .inverse()
            .ok_or_else(|| StackRefusal::Misaligned("the alignment is singular".into()))?;
        let map = StarMap { grid: grid_pixels, transform: inverse, frame: frame_pixels };
        Ok(GridMap::Stars(Box::new(map)))
    }
}

impl GridFit<'_> {
    /// The frame's image on the grid, sky taken off, in its own electrons.
    pub fn resample(&self, image: &CalibratedImage, background: &Background) -> CalibratedImage {
        let shape = self.grid.shape;
        if let (GridMap::Same, true) = (&self.map, image.shape() == shape) {
            return unmoved_above_sky(image, &background.level);
        }
        lanczos3_above_sky(image, &background.level, shape, &|x, y| self.map.apply(x, y))
    }

    /// An image on the grid, as it is.
    pub(super) fn resample_plain(&self, image: &CalibratedImage) -> CalibratedImage {
        lanczos3(image, self.grid.shape, &|x, y| self.map.apply(x, y))
    }

    /// How the frame lies, and how well its stars agree with that: those of the grid's brightest that are on the frame are sought within
    /// the matching radius.
    pub fn placement(&self, frame: &MeasuredFrame, alignment: &AlignmentParameters) -> Placement {
        let (rows, columns) = self.grid.shape;
        let middle = ((columns as f64 - 1.0) / 2.0, (rows as f64 - 1.0) / 2.0);
        let (here, right, up) = (
            self.map.apply(middle.0, middle.1),
            self.map.apply(middle.0 + 1.0, middle.1),
            self.map.apply(middle.0, middle.1 + 1.0),
        );
        let (along, across) =
            ((right.0 - here.0, right.1 - here.1), (up.0 - here.0, up.1 - here.1));
        let area = along.0 * across.1 - along.1 * across.0;
        let (rows, columns) = frame.measurement.shape;
        let (mut expected, mut matched, mut squares) = (0_usize, 0_usize, 0.0);
        let bright = |star: &&Source| star.signal_to_noise() >= TRUSTED_SIGNAL_TO_NOISE;
        for star in self.grid.sources.iter().take(alignment.maximum_sources).filter(bright) {
            let (x, y) = self.map.apply(star.x, star.y);
            let is_on_frame =
                x >= 0.0 && y >= 0.0 && x <= columns as f64 - 1.0 && y <= rows as f64 - 1.0;
            if !is_on_frame {
                continue;
            }
            expected += 1;
            let offsets = frame.sources.iter().map(|each| (each.source.x - x, each.source.y - y));
            let nearest = offsets
                .map(|(dx, dy)| dx * dx + dy * dy)
                .filter(|square| *square <= alignment.match_radius_pixels.powi(2))
                .min_by(f64::total_cmp);
            if let Some(square) = nearest {
                matched += 1;
                squares += square;
            }
        }
        Placement {
            by: match self.map {
                GridMap::Same => "itself",
                GridMap::Sky { .. } => "coordinates",
                GridMap::Stars(_) => "stars",
            },
            shift: (here.0 - middle.0, here.1 - middle.1),
            rotation_degrees: along.1.atan2(along.0).to_degrees(),
            scale: area.abs().sqrt(),
            expected_stars: expected,
            matched_stars: matched,
            residual_pixels: (matched > 0).then(|| (squares / (2 * matched) as f64).sqrt()),
        }
    }
}

/// Offers a frame to the fields of its camera and filter in turn, until one takes it or refuses it for a reason that is not the field.
/// `is_tied` says whether a field is tied to the sky. `None` where it is to found the next one.
pub(super) fn offer_in_turn<F, R>(
    fields: &mut [F],
    frame: &MeasuredFrame,
    is_tied: impl Fn(&F) -> bool,
    mut offer: impl FnMut(&mut F) -> Result<R, StackRefusal>,
) -> Result<Option<R>, StackRefusal> {
    let mut refused = None;
    for field in fields.iter_mut() {
        match offer(field) {
            Err(refusal) if refusal.is_of_another_field() => refused = Some(refusal),
            outcome => return outcome.map(Some),
        }
    }
    // Beside fields that are tied to the sky, a frame that is not says less than the reason why it is not.
    match refused {
        Some(refusal) if !frame.status.is_absolute() && fields.iter().any(is_tied) => Err(refusal),
        _ => Ok(None),
    }
}

/// Takes a pixel of the grid to one of the frame.
#[derive(Debug, Clone)]
enum GridMap<'a> {
    Same,
    Sky { grid: &'a WorldCoordinates, frame: &'a WorldCoordinates },
    Stars(Box<StarMap>),
}

/// By the pattern of the stars, between pixels without distortion.
#[derive(Debug, Clone)]
struct StarMap {
    grid: UndistortedPixels,
    transform: AffineTransform,
    frame: UndistortedPixels,
}

impl GridMap<'_> {
    /// Not finite where the sky has no pixel of the frame.
    fn apply(&self, x: f64, y: f64) -> (f64, f64) {
        match self {
            Self::Same => (x, y),
            Self::Sky { grid, frame } => {
                frame.sky_to_pixel(grid.pixel_to_sky(x, y)).unwrap_or((f64::NAN, f64::NAN))
            }
            Self::Stars(map) => {
                let (x, y) = map.grid.from_frame(x, y);
                let (x, y) = map.transform.apply(x, y);
                map.frame.to_frame(x, y)
            }
        }
    }
}

fn check_overlap(
    map: &GridMap<'_>,
    grid: (usize, usize),
    frame: (usize, usize),
) -> Result<(), StackRefusal> {
    let mut inside = 0usize;
    for row in 0..OVERLAP_SAMPLES {
        for column in 0..OVERLAP_SAMPLES {
            let place = |step: usize, size: usize| {
                (step as f64 + 0.5) / OVERLAP_SAMPLES as f64 * size as f64
            };
            let (x, y) = map.apply(place(column, grid.1), place(row, grid.0));
            let is_inside =
                x >= 0.0 && y >= 0.0 && x <= frame.1 as f64 - 1.0 && y <= frame.0 as f64 - 1.0;
            inside += usize::from(is_inside);
        }
    }
    let overlap = inside as f64 / (OVERLAP_SAMPLES * OVERLAP_SAMPLES) as f64;
    if overlap < LEAST_OVERLAP {
        return Err(StackRefusal::OtherField { percent: 100.0 * overlap });
    }
    Ok(())
}
