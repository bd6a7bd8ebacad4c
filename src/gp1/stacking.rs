//! The running stack of one filter: a frame is resampled to the grid of the first one, scaled to its zero point and added.

use super::field_grid::{FieldGrid, offer_in_turn};
use super::measured_frame::MeasuredFrame;
use super::settings::{AlignmentParameters, StackingParameters};
use super::workspace::component;
use crate::fits::{Header, wcs_cards};
use crate::imaging::{
    CalibratedImage,
    background::Background,
    stack::{DepthMap, RunningStack, StackInput},
};
use crate::model::{FilterRules, FrameIdentity, MagnitudeScale, UtcTime};
use std::collections::BTreeMap;
use std::ops::Deref;

/// Instrument and filter: each pair has its own stack.
pub type StackKey = (String, String);

/// All running stacks of a trigger: for each camera and filter one per field. What they are follows from the frames offered and
/// their order alone.
#[derive(Debug, Clone, Default)]
pub struct StackSet {
    stacks: BTreeMap<StackKey, Vec<FilterStack>>,
    offered: Vec<FrameIdentity>,
}

impl StackSet {
    /// Offers a frame to the stacks of its camera and filter; the first fit one founds one. A frame of another field founds the
    /// next: fields are kept apart, never averaged. Returns why it was refused.
    pub fn offer(
        &mut self,
        frame: &MeasuredFrame,
        image: &CalibratedImage,
        background: &Background,
        parameters: &StackingParameters,
        alignment: &AlignmentParameters,
    ) -> Result<(), StackRefusal> {
        self.offered.push(frame.record.identity.clone());
        let stacks = self.stacks.entry(key_of(frame)).or_default();
        let mut take =
            |stack: &mut FilterStack| stack.add(frame, image, background, parameters, alignment);
        let is_tied = |stack: &FilterStack| stack.reference.is_absolute;
        if offer_in_turn(stacks, frame, is_tied, &mut take)?.is_some() {
            return Ok(());
        }
        let mut founded = FilterStack::new(frame, parameters)?;
        take(&mut founded)?;
        stacks.push(founded);
        Ok(())
    }

    /// Whether exactly these frames were offered, in this order.
    pub fn is_of(&self, frames: &[&MeasuredFrame]) -> bool {
        self.offered.len() == frames.len()
            && self.offered.iter().zip(frames).all(|(one, other)| *one == other.record.identity)
    }

    /// The stack that a frame is in, else the first one it was offered to.
    pub fn of_frame(&self, frame: &MeasuredFrame) -> Option<&FilterStack> {
        let stacks = self.stacks.get(&key_of(frame))?;
        stacks.iter().find(|stack| stack.holds(frame.name())).or_else(|| stacks.first())
    }

    /// Which of the stacks of its camera and filter holds a frame, counted from 1.
    pub fn group_of(&self, instrument: &str, filter: &str, frame: &str) -> Option<usize> {
        let stacks = self.stacks.get(&(instrument.to_owned(), filter.to_owned()))?;
        stacks.iter().position(|stack| stack.holds(frame)).map(|index| index + 1)
    }

    /// Every stack with the name it goes by in results: `stack_w`; with the camera in it where two cameras share a filter, and
    /// with a number from the second field on: `stack_w_2`.
    pub fn named(&self) -> Vec<(String, &FilterStack)> {
        let mut named = Vec::new();
        for ((instrument, filter), stacks) in &self.stacks {
            let sharing = self.stacks.keys().filter(|(_, other)| other == filter).count();
            let filter = component(filter);
            let name = if sharing > 1 {
                format!("stack_{}_{filter}", component(instrument))
            } else {
                format!("stack_{filter}")
            };
            for (index, stack) in stacks.iter().enumerate() {
                let number = if index == 0 { String::new() } else { format!("_{}", index + 1) };
                named.push((format!("{name}{number}"), stack));
            }
        }
        named
    }
}

pub(super) fn key_of(frame: &MeasuredFrame) -> StackKey {
    (frame.record.keywords.instrument.clone(), frame.filter().to_owned())
}

/// Why a frame is not in the stack.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum StackRefusal {
    #[error("it has no coordinates and cannot be put on the grid")]
    NoCoordinates,
    #[error("{found} sources are too few (need {needed})")]
    TooFewSources { found: usize, needed: usize },
    #[error(
        "its stars of {fwhm:.1} pixels are more than {ratio:.1} times as wide as the best ({best:.1})"
    )]
    TooWide { fwhm: f64, best: f64, ratio: f64 },
    #[error("it has no zero point in the scale of the stack")]
    NoZeroPoint,
    #[error("its noise is not defined")]
    NoNoise,
    #[error("it covers {percent:.0} % of the grid: another field")]
    OtherField { percent: f64 },
    #[error("it has not the stars of {reference}: another field")]
    OtherStars { reference: String },
    #[error("{0}")]
    Misaligned(String),
}

impl StackRefusal {
    /// Whether the frame may be fit for a stack of another field.
    pub(super) fn is_of_another_field(&self) -> bool {
        matches!(self, Self::OtherField { .. } | Self::OtherStars { .. } | Self::Misaligned(_))
    }
}

/// The grid and scale of a stack: those of its first frame.
#[derive(Debug, Clone)]
pub struct StackReference {
    pub grid: FieldGrid,
    pub zero_point: f64,
    pub zero_point_error: f64,
    pub magnitude_scale: Option<MagnitudeScale>,
    pub filter_rules: FilterRules,
    pub exposure_seconds: f64,
}

/// A reference is a grid that has a scale.
impl Deref for StackReference {
    type Target = FieldGrid;

    fn deref(&self) -> &FieldGrid {
        &self.grid
    }
}

/// The running stack of one filter of one trigger.
#[derive(Debug, Clone)]
pub struct FilterStack {
    pub instrument: String,
    pub filter: String,
    pub reference: StackReference,
    stack: RunningStack,
    /// Names of the frames in it, in order.
    pub stacked: Vec<String>,
    pub exposure_seconds: f64,
    pub first_start: UtcTime,
    pub last_end: UtcTime,
    best_fwhm_pixels: f64,
}

impl FilterStack {
    /// An empty stack on the grid of `frame`. Refused where the frame cannot give grid and scale.
    pub fn new(
        frame: &MeasuredFrame,
        parameters: &StackingParameters,
    ) -> Result<Self, StackRefusal> {
        let grid = FieldGrid::of(frame)?;
        let (zero_point, zero_point_error) = frame.zero_point.ok_or(StackRefusal::NoZeroPoint)?;
        check_sources(frame, parameters)?;
        let shape = grid.shape;
        Ok(Self {
            instrument: frame.record.keywords.instrument.clone(),
            filter: frame.filter().to_owned(),
            reference: StackReference {
                grid,
                zero_point,
                zero_point_error,
                magnitude_scale: frame.magnitude_scale().cloned(),
                filter_rules: frame.record.keywords.camera.filter_rules.clone(),
                exposure_seconds: frame.exposure_seconds(),
            },
            stack: RunningStack::new(shape, parameters.clip_sigma),
            stacked: Vec::new(),
            exposure_seconds: 0.0,
            first_start: frame.start(),
            last_end: frame.end(),
            best_fwhm_pixels: f64::INFINITY,
        })
    }

    /// Adds a frame, or says why it does not belong.
    pub fn add(
        &mut self,
        frame: &MeasuredFrame,
        image: &CalibratedImage,
        background: &Background,
        parameters: &StackingParameters,
        alignment: &AlignmentParameters,
    ) -> Result<(), StackRefusal> {
        check_sources(frame, parameters)?;
        if self.reference.is_apart_from(frame) {
            return Err(StackRefusal::OtherStars { reference: self.reference.frame.clone() });
        }
        let fwhm = frame.fwhm_pixels().unwrap_or(f64::NAN);
        if fwhm > self.best_fwhm_pixels * parameters.maximum_fwhm_ratio {
            return Err(StackRefusal::TooWide {
                fwhm,
                best: self.best_fwhm_pixels,
                ratio: parameters.maximum_fwhm_ratio,
            });
        }
        let (zero_point, _) = frame.zero_point.ok_or(StackRefusal::NoZeroPoint)?;
        let scale = self.scale_of(zero_point, frame.exposure_seconds());
        // Depth for point sources: the sky under a star grows with the square of its width.
        let noise = background.global_noise * scale * if fwhm.is_nan() { 1.0 } else { fwhm };
        let weight = 1.0 / (noise * noise);
        if !(weight.is_finite() && scale.is_finite() && weight > 0.0 && scale > 0.0) {
            return Err(StackRefusal::NoNoise);
        }
        let on_grid = self.on_grid(frame, image, background, alignment)?;
        self.stack.add(&StackInput { image: &on_grid, scale, weight });
        self.stacked.push(frame.name().to_owned());
        self.exposure_seconds += frame.exposure_seconds();
        self.first_start = self.first_start.min(frame.start());
        self.last_end = self.last_end.max(frame.end());
        if fwhm < self.best_fwhm_pixels {
            self.best_fwhm_pixels = fwhm;
        }
        Ok(())
    }

    /// What brings electrons of an exposure with this zero point to the scale of the stack.
    pub(super) fn scale_of(&self, zero_point: f64, exposure_seconds: f64) -> f64 {
        10f64.powf(0.4 * (self.reference.zero_point - zero_point)) * self.reference.exposure_seconds
            / exposure_seconds
    }

    /// Whether a frame is in it.
    pub fn holds(&self, frame: &str) -> bool {
        self.stacked.iter().any(|name| name == frame)
    }

    /// The stack as it is, in electrons of the reference exposure, sky taken off.
    pub fn image(&self) -> CalibratedImage {
        self.stack.image()
    }

    /// [`Self::image`] and how deep it is: sum of the weights and number of frames of each pixel.
    pub fn image_with_depth(&self) -> (CalibratedImage, DepthMap) {
        self.stack.image_with_depth()
    }

    /// Memory that the stack takes now, bytes.
    pub fn bytes(&self) -> usize {
        self.stack.bytes()
    }

    /// Header of the stack's file.
    pub fn header(&self) -> Header {
        let mut header = Header::new();
        let reference = &self.reference;
        header.set("FILTER", self.filter.as_str(), "filter");
        header.set("NCOMBINE", self.stacked.len(), "frames in the stack");
        header.set("EXPTIME", reference.exposure_seconds, "[s] exposure the fluxes are scaled to");
        header.set("TOTEXP", self.exposure_seconds, "[s] sum of the exposures");
        header.set("DATE-OBS", self.first_start.iso_milliseconds(), "UTC of the first start");
        header.set("DATE-END", self.last_end.iso_milliseconds(), "UTC of the last end");
        header.set("ZPMAG", reference.zero_point, "[mag] of one electron per second");
        header.set("ZPERR", reference.zero_point_error, "[mag] its standard error");
        header.set("REFFRAME", reference.frame.as_str(), "frame that gives grid and scale");
        header.set("BUNIT", "electron", "unit of the pixels");
        wcs_cards::write_distorted(&mut header, &reference.wcs);
        for name in &self.stacked {
            header.history(&format!("stacking: {name}"));
        }
        header
    }

    /// A frame on the grid of the stack, sky taken off, in its own electrons.
    pub fn on_grid(
        &self,
        frame: &MeasuredFrame,
        image: &CalibratedImage,
        background: &Background,
        alignment: &AlignmentParameters,
    ) -> Result<CalibratedImage, StackRefusal> {
        Ok(self.reference.fit(frame, alignment)?.resample(image, background))
    }
}

fn check_sources(
    frame: &MeasuredFrame,
    parameters: &StackingParameters,
) -> Result<(), StackRefusal> {
    let found = frame.sources.len();
    if found < parameters.minimum_stars {
        return Err(StackRefusal::TooFewSources { found, needed: parameters.minimum_stars });
    }
    Ok(())
}
