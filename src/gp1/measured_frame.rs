//! A frame as the instance remembers it: everything but the pixels, read from the files of the workspace.
//!
//! Both a frame just processed and one found after a restart come through here, so that what follows is the same to the
//! last bit.

use super::astrometry::{AstrometryStatus, ReferenceField};
use super::error::Gp1Error;
use super::forced::FieldResponse;
use super::reduced_file::{FrameMeasurement, ReducedFrame, read_measurement, read_reduced};
use super::relative_zero_point::RelativeZeroPoint;
use super::source_table::{MeasuredSource, read_sources};
use super::workspace::FramePaths;
use crate::fits::FitsStore;
use crate::imaging::world_coordinates::WorldCoordinates;
use crate::model::{
    FrameCalibration, FrameRecord, FrameUse, MagnitudeScale, SkyPosition, Source, UtcTime,
};

/// Magnitude of one electron per second where nothing calibrates the frames: the first of them has this zero point.
pub const INSTRUMENTAL_ZERO_POINT: f64 = 25.0;

/// What others inherit from a frame whose coordinates are known.
#[derive(Debug, Clone, PartialEq)]
pub struct KnownField {
    name: String,
    wcs: WorldCoordinates,
    shape: (usize, usize),
    status: AstrometryStatus,
    sources: Vec<Source>,
}

impl KnownField {
    /// Nothing for a frame without coordinates.
    pub fn of(frame: &MeasuredFrame) -> Option<Self> {
        Some(Self {
            name: frame.name().to_owned(),
            wcs: frame.wcs.clone()?,
            shape: frame.measurement.shape,
            status: frame.status,
            sources: frame.bare_sources(),
        })
    }

    /// Solved against the catalogue: no later frame takes its place.
    pub fn is_absolute(&self) -> bool {
        self.status.is_absolute()
    }

    pub fn as_reference(&self) -> ReferenceField<'_> {
        let Self { name, wcs, shape, status, sources } = self;
        ReferenceField { name, wcs, shape: *shape, status: *status, sources }
    }
}

/// A reduced frame without its pixels.
#[derive(Debug, Clone, PartialEq)]
pub struct MeasuredFrame {
    pub record: FrameRecord,
    pub paths: FramePaths,
    pub measurement: FrameMeasurement,
    pub status: AstrometryStatus,
    pub wcs: Option<WorldCoordinates>,
    pub telescope: String,
    /// Brightest first.
    pub sources: Vec<MeasuredSource>,
    /// Value and error; of the catalogue, else relative to the first frame.
    pub zero_point: Option<(f64, f64)>,
    /// How that zero point changes over the frame, magnitudes per pixel; the sources' fluxes in the aperture have it taken out.
    pub zero_point_slope: (f64, f64),
    /// Why it is not in the stack of its filter.
    pub not_stacked: Option<String>,
}

impl MeasuredFrame {
    /// Reads the files of a frame; the pixels come beside it.
    pub fn read(
        store: &dyn FitsStore,
        record: &FrameRecord,
        paths: &FramePaths,
    ) -> Result<(Self, ReducedFrame), Gp1Error> {
        let measurement = read_measurement(&paths.quality)?;
        if measurement.identity != record.identity {
            let what = format!(
                "made of {} with SHA-256 {}, not of the frame asked for",
                measurement.identity.name, measurement.identity.data_sha256
            );
            return Err(Gp1Error::Content { path: paths.quality.clone(), what });
        }
        let reduced = read_reduced(store, &paths.reduced)?;
        let sources = read_sources(store, &paths.sources)?;
        let zero_point = measurement.quality.zero_point.zip(measurement.zero_point_error);
        let frame = Self {
            record: record.clone(),
            paths: paths.clone(),
            status: AstrometryStatus::from_word(&measurement.quality.astrometry),
            wcs: reduced.wcs.clone(),
            telescope: reduced.header.text("TELESCOP").unwrap_or_default(),
            sources,
            zero_point,
            zero_point_slope: (0.0, 0.0),
            not_stacked: None,
            measurement,
        };
        Ok((frame, reduced))
    }

    /// Takes on a scale that others give it.
    pub fn calibrate_by(&mut self, zero: RelativeZeroPoint) {
        self.zero_point = Some((zero.value, zero.error));
        self.zero_point_slope = zero.slope;
        let response = self.response();
        for each in &mut self.sources {
            let light = response.of_scale(each.source.x, each.source.y);
            each.source.flux_electrons /= light;
            each.source.flux_error_electrons /= light;
        }
    }

    /// A place from the middle of the frame, pixels.
    pub fn from_middle(&self, x: f64, y: f64) -> (f64, f64) {
        let (rows, columns) = self.measurement.shape;
        (x - (columns as f64 - 1.0) / 2.0, y - (rows as f64 - 1.0) / 2.0)
    }

    /// How light counts over the frame.
    pub fn response(&self) -> FieldResponse {
        FieldResponse {
            aperture: self.measurement.aperture_correction,
            slope: self.zero_point_slope,
            middle: self.from_middle(0.0, 0.0),
        }
    }

    pub fn name(&self) -> &str {
        &self.record.identity.name
    }

    pub fn filter(&self) -> &str {
        &self.record.keywords.filter
    }

    pub fn exposure_seconds(&self) -> f64 {
        self.record.keywords.exposure_seconds
    }

    pub fn start(&self) -> UtcTime {
        self.record.keywords.date_obs
    }

    pub fn end(&self) -> UtcTime {
        self.start().plus_seconds(self.exposure_seconds())
    }

    /// Full width at half maximum of the stars; `None` where none was measured.
    pub fn fwhm_pixels(&self) -> Option<f64> {
        Some(self.measurement.quality.fwhm_pixels).filter(|value| *value > 0.0)
    }

    /// The field of a frame that is not tied to the sky: the name of its first frame.
    pub fn field(&self) -> Option<&str> {
        self.measurement.quality.field.as_deref()
    }

    /// Whether positions of the two can be compared: both are tied to the sky, or both have the same stars.
    pub fn shares_sky_with(&self, other: &Self) -> bool {
        match (self.status.is_absolute(), other.status.is_absolute()) {
            (true, true) => true,
            (false, false) => self.field() == other.field(),
            _ => false,
        }
    }

    /// The middle of the frame on the sky.
    pub fn centre(&self) -> Option<SkyPosition> {
        let (rows, columns) = self.measurement.shape;
        Some(self.wcs.as_ref()?.pixel_to_sky(columns as f64 / 2.0, rows as f64 / 2.0))
    }

    /// Whether a position is on the frame, at least `margin_pixels` from its edge; with its pixel.
    pub fn pixel_of(&self, position: SkyPosition, margin_pixels: f64) -> Option<(f64, f64)> {
        let (x, y) = self.wcs.as_ref()?.sky_to_pixel(position).ok()?;
        let (rows, columns) = self.measurement.shape;
        let inside = |value: f64, size: usize| {
            value >= margin_pixels && value <= size as f64 - 1.0 - margin_pixels
        };
        (inside(x, columns) && inside(y, rows)).then_some((x, y))
    }

    /// The bare list of sources, for alignment.
    pub fn bare_sources(&self) -> Vec<Source> {
        self.sources.iter().map(|each| each.source.clone()).collect()
    }

    /// The scale of its magnitudes, where a catalogue calibrates it.
    pub fn magnitude_scale(&self) -> Option<&MagnitudeScale> {
        self.measurement.quality.magnitude_scale.as_ref()
    }

    fn calibration(&self) -> Option<FrameCalibration> {
        let quality = &self.measurement.quality;
        Some(FrameCalibration {
            error: self.measurement.zero_point_error?,
            scatter: quality.zero_point_scatter?,
            star_count: quality.zero_point_stars,
            scale: quality.magnitude_scale.clone()?,
        })
    }

    /// How the frame was used, for the result.
    pub fn as_use(&self) -> FrameUse {
        let quality = &self.measurement.quality;
        FrameUse {
            name: self.name().to_owned(),
            instrument: self.record.keywords.instrument.clone(),
            filter: self.filter().to_owned(),
            start: self.start(),
            exposure_seconds: self.exposure_seconds(),
            arrived_at: self.record.arrived_at,
            stacked: self.not_stacked.is_none(),
            reason: self.not_stacked.clone(),
            zero_point: quality.zero_point,
            relative_zero_point: self.zero_point.map(|(value, _)| value),
            calibration: self.calibration(),
            group: None,
            limiting_magnitude: quality.limiting_magnitude,
            fwhm_pixels: self.fwhm_pixels(),
            astrometry: quality.astrometry.clone(),
        }
    }
}
