//! What is subtracted from a frame: found in a directory or named, and brought to the frame's grid.

use super::error::Gp1Error;
use super::frame_input::{expand, frame_stem};
use super::nominal::coordinates_of;
use super::reduced_file::read_reduced;
use crate::fits::{FitsStore, Header};
use crate::imaging::{
    CalibratedImage, resample::lanczos3, statistics::median_in_place,
    world_coordinates::WorldCoordinates,
};
use crate::model::{SkyPosition, UtcTime};
use std::path::{Path, PathBuf};

/// Card of a difference that names what was subtracted.
pub(super) const TEMPLATE_CARD: &str = "TMPLNAME";

/// An image that may be subtracted.
#[derive(Debug, Clone)]
pub struct Template {
    /// Name of the file without ending, or of the stack.
    pub name: String,
    pub header: Header,
    pub image: CalibratedImage,
    pub wcs: Option<WorldCoordinates>,
}

impl Template {
    /// Reads a reduced image or a stack.
    pub fn read(store: &dyn FitsStore, path: &Path) -> Result<Self, Gp1Error> {
        let reduced = read_reduced(store, path)?;
        let name = frame_stem(path).unwrap_or_default().to_owned();
        let wcs = sky_coordinates(&reduced.header);
        Ok(Self { name, header: reduced.header, image: reduced.image, wcs })
    }
}

/// Coordinates that tie an image to the sky: of a frame that was solved or aligned, or of an image of which nothing is said.
pub(super) fn sky_coordinates(header: &Header) -> Option<WorldCoordinates> {
    match header.text("WCSSTAT").as_deref() {
        None | Some("solved" | "aligned") => coordinates_of(header),
        Some(_) => None,
    }
}

/// A template on the grid of a frame.
#[derive(Debug, Clone)]
pub struct OnGrid {
    pub image: CalibratedImage,
    /// How much noisier a sum over many of its pixels is, in variance, than they say.
    pub noise_factor: f64,
}

/// Why a template cannot be brought to a grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GridRefusal {
    #[error("one of the two has coordinates and the other has not")]
    NoCoordinates,
    #[error("neither has coordinates, and they differ in size")]
    OtherSize,
}

/// Resamples a template to the grid of an image of `shape` (rows, columns) by the coordinates of both; without any on either side
/// images of one size are taken to lie on one grid, as do such of the same coordinates.
pub fn on_grid(
    template: &Template,
    wcs: Option<&WorldCoordinates>,
    shape: (usize, usize),
) -> Result<OnGrid, GridRefusal> {
    let is_of_shape = template.image.shape() == shape;
    let as_it_is = || OnGrid { image: template.image.clone(), noise_factor: 1.0 };
    let (frame, own) = match (wcs, &template.wcs) {
        (Some(frame), Some(own)) if frame == own && is_of_shape => return Ok(as_it_is()),
        (Some(frame), Some(own)) => (frame, own),
        (None, None) if is_of_shape => return Ok(as_it_is()),
        (None, None) => return Err(GridRefusal::OtherSize),
        _ => return Err(GridRefusal::NoCoordinates),
    };
    let image = lanczos3(&template.image, shape, &|x, y| {
        own.sky_to_pixel(frame.pixel_to_sky(x, y)).unwrap_or((f64::NAN, f64::NAN))
    });
    let area = (frame.central_scale_arcsec(shape)
        / own.central_scale_arcsec(template.image.shape()))
    .powi(2);
    let factor = match (usual_variance(&template.image), usual_variance(&image)) {
        (Some(before), Some(after)) if after > 0.0 => area * before / after,
        _ => 1.0,
    };
    let noise_factor = if factor.is_finite() { factor.clamp(1.0, 4.0) } else { 1.0 };
    Ok(OnGrid { image, noise_factor })
}

/// Pixels that tell the variance of the sky.
const SAMPLES: usize = 20_000;

fn usual_variance(image: &CalibratedImage) -> Option<f64> {
    let step = (image.variance.len() / SAMPLES).max(1) | 1;
    let pairs = image.variance.iter().zip(&image.mask).step_by(step);
    let mut good: Vec<f32> =
        pairs.filter(|(_, bits)| **bits == 0).map(|(value, _)| *value).collect();
    median_in_place(&mut good).map(f64::from)
}

/// The templates for a frame in a directory: of its filter, its middle on them or near to it, taken before it; the deepest first. A file
/// is one itself. What cannot be read is passed over.
pub fn candidates(
    store: &dyn FitsStore,
    place: &Path,
    header: &Header,
    shape: (usize, usize),
) -> Result<Vec<PathBuf>, Gp1Error> {
    if place.is_file() {
        return Ok(vec![place.to_owned()]);
    }
    let wcs = sky_coordinates(header);
    let middle = wcs
        .as_ref()
        .map(|wcs| wcs.pixel_to_sky((shape.1 as f64 - 1.0) / 2.0, (shape.0 as f64 - 1.0) / 2.0));
    let reach_degrees = wcs
        .as_ref()
        .map_or(0.0, |wcs| wcs.central_scale_arcsec(shape) * shape.0.max(shape.1) as f64 / 3600.0);
    let filter = header.text("FILTER").unwrap_or_default();
    let start = start_of(header);
    let mut found: Vec<(f64, PathBuf)> = Vec::new();
    for path in expand(&[place.to_owned()])? {
        let Ok(own) = store.read_header(&path) else { continue };
        let is_of_filter = own.text("FILTER").unwrap_or_default() == filter;
        let is_earlier = match (start_of(&own), start) {
            (Some(own), Some(start)) => own < start,
            _ => true,
        };
        let is_other = own.text("RAWNAME").is_none_or(|name| Some(name) != header.text("RAWNAME"));
        let is_difference = own.get(TEMPLATE_CARD).is_some();
        if is_of_filter
            && is_earlier
            && is_other
            && !is_difference
            && is_near(&own, middle, reach_degrees)
        {
            found.push((depth(&own), path));
        }
    }
    found.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

fn start_of(header: &Header) -> Option<UtcTime> {
    UtcTime::parse(&header.text("DATE-OBS")?).ok()
}

/// Whether an image may show a place. Images without coordinates go with frames without.
fn is_near(header: &Header, middle: Option<SkyPosition>, reach_degrees: f64) -> bool {
    match (sky_coordinates(header), middle) {
        (Some(wcs), Some(middle)) => {
            let half = reach_degrees * 3600.0 / wcs.scale_arcsec(0.0, 0.0);
            wcs.sky_to_pixel(middle).is_ok_and(|(x, y)| x > -half && y > -half)
        }
        (None, None) => true,
        _ => false,
    }
}

/// What grows with the depth of an image: the exposures in it, where there are any, a limit as a tie-break.
fn depth(header: &Header) -> f64 {
    let exposure = header.number("TOTEXP").or_else(|| header.number("EXPTIME")).unwrap_or(0.0);
    exposure + 1e-6 * header.number("LIMMAG").unwrap_or(0.0)
}
