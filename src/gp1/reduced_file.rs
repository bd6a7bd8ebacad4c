//! The files of a reduced frame: `<frame>_reduced.fits` (electrons, VARIANCE, MASK) and `<frame>_quality.json`.

use super::astrometry::AstrometryStatus;
use super::error::Gp1Error;
use super::nominal::coordinates_of;
use super::workspace::{replace_unsynced, write_atomically};
use crate::fits::{FitsImage, FitsStore, Header, NewPlane, wcs_cards};
use crate::imaging::{
    CalibratedImage, growth_curve::ApertureCorrection, stack::DepthMap,
    world_coordinates::WorldCoordinates,
};
use crate::model::{CatalogueStatus, FrameIdentity, FrameQuality, MagnitudeScale};
use serde::{Deserialize, Serialize};
use std::path::Path;

const VARIANCE: &str = "VARIANCE";
const MASK: &str = "MASK";
const WEIGHT: &str = "WEIGHT";
const FRAMES: &str = "FRAMES";

/// What was measured on a frame, as the JSON beside it says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FrameMeasurement {
    /// Readers refuse what they do not know.
    pub format_version: u32,
    pub identity: FrameIdentity,
    pub quality: FrameQuality,
    /// Rows, columns.
    pub shape: (usize, usize),
    pub aperture_radius_pixels: f64,
    /// How much of a star's light that aperture holds, where the frame's stars say it.
    #[serde(default)]
    pub aperture_correction: Option<ApertureCorrection>,
    /// Standard deviation of the flux in an empty aperture.
    pub aperture_noise_electrons: f64,
    pub zero_point_error: Option<f64>,
    /// Sources beyond the most that are kept.
    pub dropped_source_count: usize,
    /// `kind:hash` of the masters applied.
    pub masters: Vec<String>,
    pub catalogue: String,
    pub catalogue_status: CatalogueStatus,
}

impl FrameMeasurement {
    pub const FORMAT_VERSION: u32 = 1;
}

/// The planes of a reduced frame with its coordinates.
#[derive(Debug, Clone)]
pub struct ReducedFrame {
    pub header: Header,
    pub image: CalibratedImage,
    pub wcs: Option<WorldCoordinates>,
}

/// Writes the three planes. `header` holds what the raw frame's did; coordinates and measurements are put in.
pub fn write_reduced(
    store: &dyn FitsStore,
    path: &Path,
    header: &Header,
    image: &CalibratedImage,
) -> Result<(), Gp1Error> {
    let [(variance, variance_header), (mask, mask_header)] = extensions();
    store.write_images(
        path,
        &[
            ("", header, NewPlane::Float32(&image.data)),
            (variance, &variance_header, NewPlane::Float32(&image.variance)),
            (mask, &mask_header, NewPlane::Bits(&image.mask)),
        ],
    )?;
    Ok(())
}

/// Writes a stack as [`write_reduced`] does, with how deep it is: WEIGHT, the sum of the frames' weights, and FRAMES, their number.
pub fn write_stack(
    store: &dyn FitsStore,
    path: &Path,
    header: &Header,
    image: &CalibratedImage,
    depth: &DepthMap,
) -> Result<(), Gp1Error> {
    let [(variance, variance_header), (mask, mask_header)] = extensions();
    let (mut weight_header, mut frames_header) = (Header::new(), Header::new());
    weight_header.set("BUNIT", "electron-2", "unit of the pixels");
    frames_header.set("BUNIT", "count", "unit of the pixels");
    let frames = depth.frames.mapv(f32::from);
    store.write_images(
        path,
        &[
            ("", header, NewPlane::Float32(&image.data)),
            (variance, &variance_header, NewPlane::Float32(&image.variance)),
            (mask, &mask_header, NewPlane::Bits(&image.mask)),
            (WEIGHT, &weight_header, NewPlane::Float32(&depth.weight)),
            (FRAMES, &frames_header, NewPlane::Unsigned16(&frames)),
        ],
    )?;
    Ok(())
}

/// Names and headers of variance and mask.
pub(super) fn extensions() -> [(&'static str, Header); 2] {
    let mut variance = Header::new();
    variance.set("BUNIT", "electron2", "unit of the pixels");
    let mut mask = Header::new();
    let bits = "1 bad 2 saturated 4 bleed 8 no data 16 cosmic";
    mask.set("MASKBITS", bits, "meaning of the bits");
    [(VARIANCE, variance), (MASK, mask)]
}

/// Reads what [`write_reduced`] wrote.
pub fn read_reduced(store: &dyn FitsStore, path: &Path) -> Result<ReducedFrame, Gp1Error> {
    let wrong = |what: &str| Gp1Error::Content { path: path.to_owned(), what: what.to_owned() };
    let mut primary = None;
    let mut variance = None;
    let mut mask = None;
    for plane in store.read_planes(path)? {
        match plane.name.as_str() {
            VARIANCE => variance = Some(plane.pixels.into_values()),
            MASK => mask = Some(plane.pixels.into_bits()),
            _ if primary.is_none() => {
                primary =
                    Some(FitsImage { header: plane.header, data: plane.pixels.into_values() });
            }
            _ => {}
        }
    }
    let primary = primary.ok_or_else(|| wrong("no image"))?;
    let variance = variance.ok_or_else(|| wrong("no VARIANCE extension"))?;
    let mask = mask.ok_or_else(|| wrong("no MASK extension"))?;
    if variance.dim() != primary.data.dim() || mask.dim() != primary.data.dim() {
        return Err(wrong("the extensions are not of the size of the image"));
    }
    let wcs = match status_of(&primary.header) {
        AstrometryStatus::None => None,
        _ => coordinates_of(&primary.header),
    };
    let image = CalibratedImage { data: primary.data, variance, mask };
    Ok(ReducedFrame { header: primary.header, image, wcs })
}

/// Writes the JSON; last of a frame's files, so that its presence says the others are whole.
pub fn write_measurement(
    store: &dyn FitsStore,
    path: &Path,
    measurement: &FrameMeasurement,
) -> Result<(), Gp1Error> {
    let text = serde_json::to_vec_pretty(measurement)
        .map_err(|error| Gp1Error::Content { path: path.to_owned(), what: error.to_string() })?;
    match store.syncs() {
        true => write_atomically(path, &text),
        false => replace_unsynced(path, &text),
    }
}

/// Reads the JSON of a frame.
pub fn read_measurement(path: &Path) -> Result<FrameMeasurement, Gp1Error> {
    let text =
        std::fs::read(path).map_err(|source| Gp1Error::Io { path: path.to_owned(), source })?;
    let wrong = |what: String| Gp1Error::Content { path: path.to_owned(), what };
    let measurement: FrameMeasurement =
        serde_json::from_slice(&text).map_err(|error| wrong(error.to_string()))?;
    if measurement.format_version != FrameMeasurement::FORMAT_VERSION {
        return Err(wrong(format!(
            "format version {}, this program knows {}",
            measurement.format_version,
            FrameMeasurement::FORMAT_VERSION
        )));
    }
    Ok(measurement)
}

/// Puts coordinates and measurements into the header of a reduced frame or of its source table.
pub fn set_quality_cards(
    header: &mut Header,
    wcs: Option<&WorldCoordinates>,
    measurement: &FrameMeasurement,
) {
    if let Some(wcs) = wcs {
        wcs_cards::write_distorted(header, wcs);
    }
    let quality = &measurement.quality;
    header.set("WCSSTAT", quality.astrometry.as_str(), "solved, aligned, pointing or none");
    header.set("WCSNSTAR", quality.astrometry_matches, "stars of the solution");
    if let Some(rms) = quality.astrometry_rms_arcsec {
        header.set("WCSRMS", rms, "[arcsec] residual per axis");
    }
    header.set("NSOURCES", quality.source_count, "sources found");
    header.set("FWHM", quality.fwhm_pixels, "[pixel] width of the stars, 0 if unknown");
    header.set("SKYLEVEL", quality.sky_electrons, "[electron] sky per pixel");
    header.set("SKYNOISE", quality.sky_noise_electrons, "[electron] its noise");
    header.set("APRADIUS", measurement.aperture_radius_pixels, "[pixel] photometric aperture");
    if let Some(aperture) = &measurement.aperture_correction {
        set_aperture_cards(header, aperture);
        if let Some(zero_point) = quality.zero_point {
            let total = zero_point - aperture.magnitudes();
            header.set("ZPTOTAL", total, "[mag] the same of all light of a star");
        }
    }
    if let (Some(zero_point), Some(error)) = (quality.zero_point, measurement.zero_point_error) {
        header.set("ZPMAG", zero_point, "[mag] of one electron per second");
        header.set("ZPERR", error, "[mag] its standard error");
        header.set("ZPNSTAR", quality.zero_point_stars, "stars it rests on");
        if let Some(scatter) = quality.zero_point_scatter {
            header.set("ZPSCAT", scatter, "[mag] their scatter");
        }
        if let Some(scale) = &quality.magnitude_scale {
            set_scale_cards(header, scale);
        }
    }
    if let Some(limit) = quality.limiting_magnitude {
        header.set("LIMMAG", limit, "[mag] ten sigma, measured");
    }
    header.set("CATSTAT", measurement.catalogue_status.as_card(), "answer of the catalogue");
    for degradation in &quality.degradations {
        header.history(&format!("degraded: {}: {}", degradation.code, degradation.reason));
    }
}

/// Light outside the aperture.
fn set_aperture_cards(header: &mut Header, aperture: &ApertureCorrection) {
    header.set("APCORR", aperture.magnitudes(), "[mag] all light less light in APRADIUS");
    header.set("APCERR", aperture.magnitude_error(), "[mag] its standard error");
    header.set("APCNSTAR", aperture.star_count, "stars of the curve of growth");
    header.set("APCREACH", aperture.reach_pixels, "[pixel] where it ends");
    header.set(
        "APCVAR",
        aperture.variation_magnitudes(),
        "[mag] variation over the frame taken out",
    );
}

/// What the magnitudes are; a frame without these cards has those of a catalogue that does not say.
fn set_scale_cards(header: &mut Header, scale: &MagnitudeScale) {
    header.set("ZPINTR", scale.intrinsic_scatter, "[mag] scatter that errors do not explain");
    if !scale.band.is_empty() {
        header.set("ZPBAND", scale.band.as_str(), "band of the catalogue");
    }
    if let Some(system) = scale.system {
        header.set("MAGSYS", system.as_card(), "magnitude system");
    }
    if let Some(term) = &scale.colour_term {
        let (bluer, redder) = &term.bands;
        header.set("COLTERM", term.value, "catalogue less own magnitude per colour");
        header.set("COLTERR", term.error, "its standard error");
        header.set("COLOUR", format!("{bluer}-{redder}").as_str(), "the colour");
        header.set("COLREF", term.reference_colour, "[mag] magnitudes hold for this colour");
        header.set("COLFIT", term.is_fitted, "T: by these stars, F: as given");
    }
}

fn status_of(header: &Header) -> AstrometryStatus {
    AstrometryStatus::from_word(&header.text("WCSSTAT").unwrap_or_default())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::fits::cfitsio::Cfitsio;
    use crate::imaging::wcs::TangentPlane;
    use crate::imaging::{Image, Mask};
    use crate::model::{Degradation, SkyPosition};

    pub(crate) fn measurement(name: &str) -> FrameMeasurement {
        FrameMeasurement {
            format_version: FrameMeasurement::FORMAT_VERSION,
            identity: FrameIdentity { name: name.into(), data_sha256: "ab".into() },
            quality: FrameQuality {
                source_count: 2,
                fwhm_pixels: 3.1,
                sky_electrons: 400.0,
                sky_noise_electrons: 21.5,
                astrometry: "solved".into(),
                astrometry_matches: 80,
                astrometry_rms_arcsec: Some(0.07),
                field: None,
                zero_point: Some(22.8),
                zero_point_scatter: Some(0.04),
                zero_point_stars: 70,
                magnitude_scale: None,
                limiting_magnitude: Some(19.4),
                degradations: vec![Degradation::new("NOFLAT", "no flat for C0, filter w")],
                latency_seconds: 0.0,
            },
            shape: (6, 8),
            aperture_correction: None,
            aperture_radius_pixels: 3.0,
            aperture_noise_electrons: 120.0,
            zero_point_error: Some(0.005),
            dropped_source_count: 0,
            masters: vec!["bias:00".into()],
            catalogue: "test".into(),
            catalogue_status: CatalogueStatus::Found,
        }
    }

    #[test]
    fn planes_and_coordinates_come_back_as_they_were() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("f_reduced.fits");
        let image = CalibratedImage {
            data: Image::from_shape_fn((6, 8), |(row, column)| row as f32 * 0.1 - column as f32),
            variance: Image::from_elem((6, 8), 0.3),
            mask: Mask::from_shape_fn((6, 8), |(row, _)| if row == 2 { 5 } else { 0 }),
        };
        let mut wcs = TangentPlane::nominal((3.5, 2.5), SkyPosition::new(30.1, 24.2), 0.000195);
        wcs.cd[0][1] = 1.234567890123e-7;
        let mut header = Header::new();
        header.set("TRGID", 929744i64, "");
        let wcs = WorldCoordinates::from(wcs);
        set_quality_cards(&mut header, Some(&wcs), &measurement("f"));
        write_reduced(&Cfitsio, &path, &header, &image).unwrap();
        let read = read_reduced(&Cfitsio, &path).unwrap();
        assert_eq!(read.image, image);
        assert_eq!(read.wcs, Some(wcs));
        assert_eq!(read.header.text("TRGID").as_deref(), Some("929744"));
        assert_eq!(read.header.number("ZPMAG"), Some(22.8));
        Cfitsio.verify_checksums(&path).unwrap();
    }

    #[test]
    fn measurements_round_trip_and_another_version_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("f_quality.json");
        let mut measurement = measurement("f");
        write_measurement(&Cfitsio, &path, &measurement).unwrap();
        assert_eq!(read_measurement(&path).unwrap(), measurement);
        measurement.format_version = 9;
        write_measurement(&Cfitsio, &path, &measurement).unwrap();
        assert!(read_measurement(&path).unwrap_err().to_string().contains("format version 9"));
    }
}
