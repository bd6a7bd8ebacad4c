//! The module `subtraction`: what a frame has that a template has not, as `<frame>_difference.fits` and
//! `<frame>_difference_sources.fits`.

use super::error::Gp1Error;
use super::frame_group::FrameGroup;
use super::frame_input::frame_stem;
use super::frame_steps::StepContext;
use super::reduced_file::{extensions, read_reduced};
use super::settings::SubtractionSettings;
use super::template::{self, TEMPLATE_CARD, Template, sky_coordinates};
use super::workspace::component;
use crate::fits::{Column, ColumnData, FitsStore, FitsTables, Header, NewPlane, Table};
use crate::imaging::{
    CalibratedImage,
    difference_sources::{DifferenceSource, DifferenceSources, find},
    stamp_stars::{bright_stars, stellar_width},
    subtraction::{Difference, SubtractionInput, subtract},
    world_coordinates::WorldCoordinates,
};
use std::path::{Path, PathBuf};

/// A frame from which something is to be subtracted.
#[derive(Debug, Clone)]
pub struct NewImage {
    pub path: PathBuf,
    /// Its files are named by it.
    pub name: String,
    pub header: Header,
    pub image: CalibratedImage,
    pub wcs: Option<WorldCoordinates>,
}

impl NewImage {
    /// Reads a reduced frame, or any image with VARIANCE and MASK.
    pub fn read(store: &dyn FitsStore, path: &Path) -> Result<Self, Gp1Error> {
        let reduced = read_reduced(store, path)?;
        let stem = frame_stem(path).unwrap_or_default();
        let name = component(stem.strip_suffix("_reduced").unwrap_or(stem));
        let wcs = sky_coordinates(&reduced.header);
        let (header, image) = (reduced.header, reduced.image);
        Ok(Self { path: path.to_owned(), name, header, image, wcs })
    }
}

/// Subtracts the first template that fits, of a file or of a directory, and writes the files; the path of the difference. The error is
/// that of the last template that was tried.
pub fn subtract_configured(
    context: StepContext<'_>,
    new: &NewImage,
    place: &Path,
    output: &Path,
) -> Result<PathBuf, Gp1Error> {
    let unusable = |what: String| Gp1Error::Unusable { path: new.path.clone(), what };
    let mut refused = unusable(format!("{}: no template for it", place.display()));
    for path in template::candidates(context.store, place, &new.header, new.image.shape())? {
        let tried = Template::read(context.store, &path)
            .and_then(|template| subtract_template(context, new, &template, output));
        match tried {
            Ok(written) => return Ok(written),
            Err(error) => {
                tracing::info!(template = %path.display(), %error, "template passed over");
                refused = error;
            }
        }
    }
    Err(refused)
}

/// Subtracts the stack of the frames in a group, of the frame's camera and filter, and writes the files.
pub fn subtract_stack(
    context: StepContext<'_>,
    new: &NewImage,
    group: &FrameGroup,
    output: &Path,
) -> Result<PathBuf, Gp1Error> {
    let unusable =
        |what: &str| Gp1Error::Unusable { path: new.path.clone(), what: what.to_owned() };
    let of_filter = new.header.text("FILTER").unwrap_or_default();
    let named = group.stacks().named();
    let (name, stack) = named
        .into_iter()
        .find(|(_, stack)| stack.filter == of_filter && !stack.stacked.is_empty())
        .ok_or_else(|| unusable("no earlier frame of its filter to subtract"))?;
    let header = stack.header();
    let wcs = stack.reference.is_absolute.then(|| stack.reference.wcs.clone());
    let template = Template { name, header, image: stack.image(), wcs };
    subtract_template(context, new, &template, output)
}

/// The difference of an image to a template, and what stands out of it. The error says why there is none.
pub(super) fn difference_to(
    image: &CalibratedImage,
    wcs: Option<&WorldCoordinates>,
    template: &Template,
    settings: &SubtractionSettings,
) -> Result<(Difference, DifferenceSources), String> {
    let refused = |why: &dyn std::fmt::Display| format!("template {}: {why}", template.name);
    let on_grid =
        template::on_grid(template, wcs, image.shape()).map_err(|refusal| refused(&refusal))?;
    let stars = bright_stars(image);
    let width = |image: &CalibratedImage| {
        stellar_width(image, &stars).ok_or_else(|| refused(&"no star tells its width"))
    };
    let input = SubtractionInput {
        new: image,
        template: &on_grid.image,
        stars: &stars,
        new_fwhm_pixels: width(image)?,
        template_fwhm_pixels: width(&on_grid.image)?,
        new_noise_factor: 1.0,
        template_noise_factor: on_grid.noise_factor,
    };
    let difference = subtract(&input, &settings.kernel).map_err(|refusal| refused(&refusal))?;
    let found = find(&difference, image, &settings.search);
    Ok((difference, found))
}

/// Subtracts one template and writes the files.
fn subtract_template(
    context: StepContext<'_>,
    new: &NewImage,
    template: &Template,
    output: &Path,
) -> Result<PathBuf, Gp1Error> {
    let settings = &context.settings.subtraction;
    let (difference, found) = difference_to(&new.image, new.wcs.as_ref(), template, settings)
        .map_err(|what| Gp1Error::Unusable { path: new.path.clone(), what })?;
    let mut header = new.header.clone();
    set_cards(&mut header, template, &difference, &found);
    let path = output.join(format!("{}_difference.fits", new.name));
    write_difference(context.store, &path, &header, &difference)?;
    let table = source_table(&header, &found.sources, new.wcs.as_ref());
    let tables = FitsTables { primary: Header::new(), tables: vec![table] };
    let sources = output.join(format!("{}_difference_sources.fits", new.name));
    context.store.write_tables(&sources, &tables)?;
    Ok(path)
}

/// Says how the difference was made.
pub(super) fn set_cards(
    header: &mut Header,
    template: &Template,
    difference: &Difference,
    found: &DifferenceSources,
) {
    let kernel = &difference.kernel;
    header.set(TEMPLATE_CARD, template.name.as_str(), "template that was subtracted");
    if let Some(date) = template.header.text("DATE-OBS") {
        header.set("TMPLDATE", date.as_str(), "its DATE-OBS");
    }
    header.set("CONVOLVE", kernel.direction.name(), "image that was convolved");
    header.set("KERSUM", kernel.scale, "flux in the frame for one of the template");
    header.set("KERREACH", kernel.reach, "[pixel] half-side of the kernel");
    header.set("KERDEG", kernel.degree, "powers with which it varies in place");
    header.set("KERCHI2", kernel.reduced_chi_square, "chi-square per pixel of its stars");
    header.set("KERNUSED", kernel.stamps_used, "stars it rests on");
    header.set("KERNREJ", kernel.stamps_rejected, "stars that disagree");
    header.set("KERRESID", kernel.residual_share, "residuals over the light of stars");
    header.set("SIGRATIO", kernel.noise_ratio, "scatter over the noise before correction");
    header.set("DIFFFWHM", difference.fwhm_pixels, "[pixel] width of stars on the difference");
    header.set("NDIFF", found.sources.len(), "sources of the difference");
    header.set("NDIFFOUT", found.dropped_count, "sources beyond the most that are kept");
    header.history(&format!("subtraction: {} subtracted", template.name));
}

fn write_difference(
    store: &dyn FitsStore,
    path: &Path,
    header: &Header,
    difference: &Difference,
) -> Result<(), Gp1Error> {
    let [(variance, variance_header), (mask, mask_header)] = extensions();
    let mut significance = Header::new();
    significance.set("BUNIT", "sigma", "of a point source at each pixel");
    store.write_images(
        path,
        &[
            ("", header, NewPlane::Float32(&difference.image.data)),
            (variance, &variance_header, NewPlane::Float32(&difference.image.variance)),
            (mask, &mask_header, NewPlane::Bits(&difference.image.mask)),
            ("SIGNIFICANCE", &significance, NewPlane::Float32(&difference.significance)),
        ],
    )?;
    Ok(())
}

/// The sources as a table; X and Y are FITS pixel coordinates, RA and DEC 0 where the frame has no coordinates.
fn source_table(
    header: &Header,
    sources: &[DifferenceSource],
    wcs: Option<&WorldCoordinates>,
) -> Table {
    let number =
        |name: &str, unit: &str, description: &str, value: &dyn Fn(&DifferenceSource) -> f64| {
            Column {
                name: name.to_owned(),
                unit: unit.to_owned(),
                description: description.to_owned(),
                data: ColumnData::Float64(sources.iter().map(value).collect()),
            }
        };
    let sky = |each: &DifferenceSource| wcs.map(|wcs| wcs.pixel_to_sky(each.x, each.y));
    let columns = vec![
        number("X", "pixel", "column, first is 1", &|each| each.x + 1.0),
        number("Y", "pixel", "row, first is 1", &|each| each.y + 1.0),
        number("XYERR", "pixel", "standard error on each axis", &|each| each.position_error),
        number("RA", "deg", "right ascension", &|each| sky(each).map_or(0.0, |sky| sky.ra_degrees)),
        number("DEC", "deg", "declination", &|each| sky(each).map_or(0.0, |sky| sky.dec_degrees)),
        number("SIGMA", "", "significance, negative for fainter", &|each| each.significance),
        number("FLUX", "electron", "change of flux", &|each| each.flux_electrons),
        number("FLUXERR", "electron", "standard error", &|each| each.flux_error),
        number("OPPOSITE", "", "light of the other sign nearby", &|each| {
            each.opposite_share.min(LARGEST_SHARE)
        }),
        number("SHARP", "", "rise of the middle over that of a star", &|each| each.sharpness),
        number("MASKED", "", "share of its light on masked pixels", &|each| each.masked_share),
        number("MASKDIST", "pixel", "to a masked pixel, -1: none near", &|each| {
            each.masked_distance.unwrap_or(-1.0)
        }),
        number("CHANGE", "", "change over the light subtracted here", &|each| {
            each.changed_share.min(LARGEST_SHARE)
        }),
    ];
    Table { name: "DIFFERENCE".to_owned(), header: header.clone(), columns }
}

/// Stands for any share above it.
const LARGEST_SHARE: f64 = 1e6;
