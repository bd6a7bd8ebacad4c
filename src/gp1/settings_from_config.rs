//! What the `.cfg` files of a pipeline say, as settings of an instance.

use super::settings::{
    AlignmentParameters, FindstarsParameters, InstanceSettings, PhotometryParameters,
    ReductionParameters, StackingParameters, Steps, SummaryParameters,
};
use crate::{
    config::{CalibrationChoice, PipelineSet, PipelineSteps},
    imaging::{astrometry::AstrometryParameters, detection::DetectionParameters},
};
use std::path::PathBuf;

impl InstanceSettings {
    /// The settings of a section of `gp1.cfg` with the files of its directory.
    pub fn from_config(name: &str, set: &PipelineSet, workspace_dir: PathBuf) -> Self {
        Self {
            name: name.to_owned(),
            steps: Steps::from_config(&set.pipeline.steps),
            workspace_dir,
            workspace_headers: set.pipeline.workspace_headers.clone(),
            reduction: reduction(set),
            findstars: findstars(set),
            astrometry: AstrometryParameters {
                maximum_offset_arcsec: set.astrometry.maximum_offset_arcsec,
                maximum_rotation_degrees: set.astrometry.maximum_rotation_degrees,
                scale_tolerance: set.astrometry.scale_tolerance,
                match_radius_arcsec: set.astrometry.match_radius_arcsec,
                minimum_matches: set.astrometry.minimum_matches,
                maximum_rms_arcsec: set.astrometry.maximum_rms_arcsec,
            },
            alignment: AlignmentParameters {
                minimum_matches: set.alignment.minimum_matches,
                match_radius_pixels: set.alignment.match_radius_pixels,
                maximum_sources: set.alignment.maximum_sources,
            },
            stacking: StackingParameters {
                clip_sigma: set.stacking.clip_sigma,
                maximum_fwhm_ratio: set.stacking.maximum_fwhm_ratio,
                minimum_stars: set.stacking.minimum_stars,
            },
            photometry: PhotometryParameters {
                match_radius_arcsec: set.photometry.match_radius_arcsec,
                minimum_stars: set.photometry.minimum_stars,
                minimum_signal_to_noise: set.photometry.minimum_signal_to_noise,
            },
            summary: SummaryParameters {
                catalogue_match_radius_arcsec: set.summary.catalogue_match_radius_arcsec,
                association_radius_arcsec: set.summary.association_radius_arcsec,
                minimum_signal_to_noise: set.summary.minimum_signal_to_noise,
                variability_sigma: set.summary.variability_sigma,
                edge_pixels: set.summary.edge_pixels,
                maximum_candidates: set.summary.maximum_candidates,
                cutout_pixels: set.summary.cutout_pixels,
            },
        }
    }
}

impl Steps {
    /// The steps that `pipeline.cfg` switches on.
    pub fn from_config(steps: &PipelineSteps) -> Self {
        Self {
            reduction: steps.reduction,
            findstars: steps.findstars,
            astrometry: steps.astrometry,
            alignment: steps.alignment,
            stacking: steps.stacking,
            photometry: steps.photometry,
            summary: steps.summary,
        }
    }
}

fn reduction(set: &PipelineSet) -> ReductionParameters {
    ReductionParameters {
        pixel_scale_degrees: set.reduction.pixel_scale_degrees,
        gain_electrons: set.reduction.gain_electrons,
        read_noise_electrons: set.reduction.read_noise_electrons,
        saturation: set.reduction.saturation,
        detection_threshold_sigma: set.reduction.detection_threshold_sigma,
        use_masters: set.reduction.calibrations != CalibrationChoice::None,
        ..ReductionParameters::default()
    }
}

fn findstars(set: &PipelineSet) -> FindstarsParameters {
    FindstarsParameters {
        mesh_pixels: set.findstars.mesh_pixels,
        detection: DetectionParameters {
            threshold_sigma: set.findstars.threshold_sigma,
            minimum_pixels: set.findstars.minimum_pixels,
            filter_fwhm_pixels: set.findstars.filter_fwhm_pixels,
            deblend_levels: set.findstars.deblend_levels,
            deblend_contrast: set.findstars.deblend_contrast,
            maximum_sources: set.findstars.maximum_sources,
            aperture_radius_pixels: set.photometry.aperture_radius_pixels,
        },
    }
}
