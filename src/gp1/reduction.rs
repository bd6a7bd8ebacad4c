//! Reduction of one raw frame with the masters in force.

use super::masters_in_force::{LoadedMaster, MastersInForce, SelectedMasters};
use super::settings::ReductionParameters;
use crate::fits::{FitsError, FitsStore, ImageRows};
use crate::imaging::{
    CalibratedImage, Image, Mask,
    calibration::{
        CalibrationError, ReductionInputs, measured_saturation, reduce, saturation_of_levels,
    },
    combination::PixelRows,
};
use crate::model::{Degradation, FrameKeywords};

/// Stands for a gain that nobody gives; said in the degradations.
const ASSUMED_GAIN: f64 = 1.0;

/// A reduced frame and how it was reduced.
#[derive(Debug, Clone)]
pub struct Reduction {
    /// Electrons, electrons², mask. Every value is finite.
    pub image: CalibratedImage,
    pub plan: ReductionPlan,
    pub good_fraction: f64,
}

/// With what a frame is reduced.
#[derive(Debug, Clone)]
pub struct ReductionPlan {
    pub gain_electrons: f64,
    pub read_noise_electrons: f64,
    /// Data numbers of the raw frame.
    pub saturation: f64,
    pub masters: SelectedMasters,
    pub degradations: Vec<Degradation>,
    /// One line for each thing that is done, for HISTORY.
    pub history: Vec<String>,
    exposure_seconds: f64,
}

impl ReductionPlan {
    /// For a frame of these rows and columns in which values pile up at that level. Values of the settings come before those of the
    /// header and the camera, and gain and read noise measured on the frames of the masters serve where none is stated; saturation
    /// is the lowest of what is stated and what is measured on the frame. Masters of another shape never come here: they are not
    /// selected, and the frame says what it lacks.
    pub fn new(
        shape: (usize, usize),
        measured_saturation: Option<f32>,
        keywords: &FrameKeywords,
        masters: &MastersInForce,
        parameters: &ReductionParameters,
    ) -> Self {
        let is_raw = !keywords.camera.is_reduced;
        let selected = if parameters.use_masters && is_raw {
            masters.select(keywords, shape, parameters.hot_pixel_sigma)
        } else {
            SelectedMasters::default()
        };
        let mut degradations = selected.degradations.clone();
        let measured_gain = || Some(selected.flat.as_ref()?.record.figures.gain_electrons?.value);
        let stated_gain = parameters.gain_electrons.or(keywords.gain_electrons);
        let gain = stated_gain.or_else(measured_gain);
        if gain.is_none() {
            let reason = "neither settings, header, camera nor flats give a gain: 1 electron per data number";
            degradations.push(Degradation::new("NOGAIN", reason));
        }
        let gain_electrons = gain.unwrap_or(ASSUMED_GAIN);
        let measured_noise =
            || Some(selected.bias.as_ref()?.record.figures.read_noise_dn? * gain_electrons);
        let stated_noise = parameters.read_noise_electrons.or(keywords.read_noise_electrons);
        let read_noise = stated_noise.or_else(measured_noise);
        if read_noise.is_none() {
            let reason =
                "neither settings, header, camera nor biases give a read noise: none is assumed";
            degradations.push(Degradation::new("NORDNOIS", reason));
        }
        let read_noise_electrons = read_noise.unwrap_or(0.0);
        let stated = parameters.saturation.or(keywords.saturation).unwrap_or(f64::INFINITY);
        let saturation = stated.min(measured_saturation.map_or(f64::INFINITY, f64::from));

        let mut history = Vec::new();
        if !is_raw {
            history.push("reduction: the frame came reduced; no master is applied".to_owned());
        }
        for master in [&selected.bias, &selected.dark, &selected.flat].into_iter().flatten() {
            let name = master.record.path.file_name().unwrap_or_default().to_string_lossy();
            history.push(format!(
                "reduction: {} {name} sha256 {}",
                master.record.kind, master.record.sha256
            ));
        }
        history.push(format!(
            "reduction: gain {gain_electrons} e/adu ({}), read noise {read_noise_electrons} e ({}), saturation {saturation} adu",
            origin(stated_gain, gain),
            origin(stated_noise, read_noise),
        ));
        Self {
            gain_electrons,
            read_noise_electrons,
            saturation,
            masters: selected,
            degradations,
            history,
            exposure_seconds: keywords.exposure_seconds,
        }
    }

    pub fn inputs<'a>(&'a self, raw: &'a dyn PixelRows) -> ReductionInputs<'a> {
        let plane = |master: &'a Option<LoadedMaster>| master.as_ref().map(|master| &*master.data);
        ReductionInputs {
            raw,
            bias: plane(&self.masters.bias),
            dark_per_second: plane(&self.masters.dark),
            flat: plane(&self.masters.flat),
            bad_pixels: self.masters.bad_pixels.as_deref(),
            exposure_seconds: self.exposure_seconds,
            gain_electrons: self.gain_electrons,
            read_noise_electrons: self.read_noise_electrons,
            saturation: self.saturation,
        }
    }
}

/// Level at which the values of a frame pile up, if they do; its pixels stay in memory.
///
/// # Errors
/// As [`ImageRows::survey`].
pub fn surveyed_saturation(
    store: &dyn FitsStore,
    rows: &mut ImageRows,
) -> Result<Option<f32>, FitsError> {
    let survey = rows.survey(store, true)?;
    Ok(match rows.held() {
        Some(image) => measured_saturation(image),
        None => saturation_of_levels(&survey.levels),
    })
}

/// Reduces a frame as it was planned (`raw` in data numbers).
pub fn reduce_as_planned(
    raw: &dyn PixelRows,
    plan: ReductionPlan,
) -> Result<Reduction, CalibrationError> {
    let image = reduce(&plan.inputs(raw))?;
    let good_fraction = good_fraction(&image.mask);
    Ok(Reduction { image, plan, good_fraction })
}

/// Reduces a frame (`raw` in data numbers).
pub fn reduce_frame(
    raw: &Image,
    keywords: &FrameKeywords,
    masters: &MastersInForce,
    parameters: &ReductionParameters,
) -> Result<Reduction, CalibrationError> {
    let plan =
        ReductionPlan::new(raw.dim(), measured_saturation(raw), keywords, masters, parameters);
    reduce_as_planned(raw, plan)
}

/// Share of the pixels with an empty mask.
pub fn good_fraction(mask: &Mask) -> f64 {
    let good = mask.iter().filter(|bits| **bits == 0).count();
    good as f64 / mask.len().max(1) as f64
}

/// Where a figure comes from, in a word.
fn origin(stated: Option<f64>, found: Option<f64>) -> &'static str {
    match (stated, found) {
        (Some(_), _) => "stated",
        (None, Some(_)) => "measured",
        (None, None) => "assumed",
    }
}

#[cfg(test)]
mod tests {
    use super::super::masters_in_force::tests::master;
    use super::*;
    use crate::imaging::mask_bits;
    use crate::model::{FrameKind, MasterKind, UtcTime};
    use std::sync::Arc;

    fn keywords() -> FrameKeywords {
        FrameKeywords {
            kind: FrameKind::Object,
            trigger_id: None,
            observer: None,
            object: None,
            instrument: "C0".into(),
            filter: "w".into(),
            exposure_seconds: 10.0,
            date_obs: UtcTime::parse("2019-10-16T04:20:01").unwrap(),
            pointing: None,
            gain_electrons: Some(2.0),
            read_noise_electrons: Some(5.0),
            saturation: Some(1000.0),
            binning: 1,
            size_pixels: (8, 8),
            camera: Default::default(),
        }
    }

    fn codes(reduction: &Reduction) -> Vec<&str> {
        reduction.plan.degradations.iter().map(|each| each.code.as_str()).collect()
    }

    #[test]
    fn the_formula_with_all_masters() {
        let night = "2019-10-16T01:00:00";
        let plane = |kind, value: f32| {
            let mut master = master(kind, "w", night, (8, 8));
            master.data = Arc::new(Image::from_elem((8, 8), value));
            master
        };
        let masters = MastersInForce::new(vec![
            plane(MasterKind::Bias, 100.0),
            plane(MasterKind::Dark, 0.5),
            plane(MasterKind::Flat, 1.0),
        ]);
        let raw = Image::from_elem((8, 8), 205.0);
        let reduction =
            reduce_frame(&raw, &keywords(), &masters, &ReductionParameters::default()).unwrap();
        assert!((reduction.image.data[[4, 4]] - 200.0).abs() < 1e-3);
        // Signal 210 e (dark current makes noise too) or 200 e, and 25 e² of read noise.
        let variance = reduction.image.variance[[4, 4]];
        assert!((225.0..=235.1).contains(&variance), "{variance}");
        assert_eq!(codes(&reduction), Vec::<&str>::new());
        assert_eq!(reduction.plan.masters.hashes().len(), 3);
    }

    #[test]
    fn what_is_missing_is_said_and_undefined_pixels_are_set_aside() {
        let mut raw = Image::from_elem((8, 8), 50.0);
        raw[[2, 3]] = f32::NAN;
        raw[[5, 5]] = 2000.0;
        let mut keywords = keywords();
        keywords.gain_electrons = None;
        let reduction = reduce_frame(
            &raw,
            &keywords,
            &MastersInForce::default(),
            &ReductionParameters::default(),
        )
        .unwrap();
        assert_eq!(codes(&reduction), ["NOBIAS", "NODARK", "NOFLAT", "NOGAIN"]);
        assert!(reduction.image.data.iter().all(|value| value.is_finite()));
        assert!(reduction.image.variance.iter().all(|value| value.is_finite()));
        assert_ne!(reduction.image.mask[[2, 3]] & mask_bits::BAD, 0);
        assert_ne!(reduction.image.mask[[5, 5]] & mask_bits::SATURATED, 0);
    }
}
