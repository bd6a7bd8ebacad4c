//! Settings of an instance from the seeds' configuration files.

use super::report::circular::CircularLines;
use super::settings::{
    AlignmentParameters, CosmicRayStep, FindstarsParameters, InstanceSettings,
    PhotometryParameters, ReductionParameters, StackingParameters, Steps, SubtractionSettings,
    SummaryParameters,
};
use crate::config::{
    CalibrationChoice, ConvolvedChoice, CosmicRayChoice, PipelineSet, PipelineSteps,
    SubtractionConfig,
};
use crate::imaging::{
    astrometry::AstrometryParameters,
    cosmic_rays::CosmicRayParameters,
    detection::DetectionParameters,
    difference_sources::DifferenceSearch,
    subtraction::{Direction, SubtractionParameters},
};
use std::path::PathBuf;

impl From<PipelineSteps> for Steps {
    fn from(steps: PipelineSteps) -> Self {
        Self {
            reduction: steps.reduction,
            findstars: steps.findstars,
            astrometry: steps.astrometry,
            alignment: steps.alignment,
            stacking: steps.stacking,
            photometry: steps.photometry,
            subtraction: steps.image_subtraction,
            summary: steps.summary,
        }
    }
}

impl From<&SubtractionConfig> for SubtractionSettings {
    fn from(config: &SubtractionConfig) -> Self {
        Self {
            template: config.template.clone(),
            kernel: SubtractionParameters {
                kernel_degree: config.kernel_degree,
                background_degree: config.background_degree,
                cells: config.cells,
                stars_per_cell: config.stars_per_cell,
                least_stamps: config.minimum_stars,
                direction: match config.convolve {
                    ConvolvedChoice::Automatic => None,
                    ConvolvedChoice::Template => Some(Direction::Template),
                    ConvolvedChoice::New => Some(Direction::New),
                },
                mesh_pixels: Some(config.mesh_pixels),
            },
            search: DifferenceSearch {
                threshold_sigma: config.threshold_sigma,
                maximum_sources: config.maximum_sources,
            },
        }
    }
}

impl InstanceSettings {
    /// What the directory of a pipeline says. `name` and `workspace_dir` come from the section of `gp1.cfg` or from the
    /// command line. The distortions of the cameras are files still to be read: [`InstanceSettings::with_distortions`].
    pub fn from_config(name: &str, set: &PipelineSet, workspace_dir: impl Into<PathBuf>) -> Self {
        let defaults = ReductionParameters::default();
        let (reduction, findstars) = (&set.reduction, &set.findstars);
        Self {
            name: name.to_owned(),
            steps: set.pipeline.steps.into(),
            workspace_dir: workspace_dir.into(),
            workspace_headers: set.pipeline.workspace_headers.clone(),
            reduction: ReductionParameters {
                pixel_scale_degrees: reduction.pixel_scale_degrees,
                gain_electrons: reduction.gain_electrons,
                read_noise_electrons: reduction.read_noise_electrons,
                saturation: reduction.saturation,
                detection_threshold_sigma: reduction.detection_threshold_sigma,
                // Named files are masters too; they come to the reduction as those in force do.
                use_masters: reduction.calibrations == CalibrationChoice::Master
                    || [&reduction.bias, &reduction.dark, &reduction.flat]
                        .into_iter()
                        .any(Option::is_some),
                cosmic_ray_step: match reduction.cosmic_rays {
                    CosmicRayChoice::Module => CosmicRayStep::Module,
                    CosmicRayChoice::Always => CosmicRayStep::Always,
                    CosmicRayChoice::Never => CosmicRayStep::Never,
                },
                cosmic_rays: CosmicRayParameters {
                    sigma_limit: reduction.cosmic_ray_sigma as f32,
                    object_contrast: reduction.cosmic_ray_contrast as f32,
                    ..defaults.cosmic_rays
                },
                ..defaults
            },
            findstars: FindstarsParameters {
                mesh_pixels: findstars.mesh_pixels,
                detection: DetectionParameters {
                    threshold_sigma: findstars.threshold_sigma,
                    minimum_pixels: findstars.minimum_pixels,
                    filter_fwhm_pixels: findstars.filter_fwhm_pixels,
                    deblend_levels: findstars.deblend_levels,
                    deblend_contrast: findstars.deblend_contrast,
                    aperture_radius_pixels: set.photometry.aperture_radius_pixels,
                    maximum_sources: findstars.maximum_sources,
                },
                psf_photometry: findstars.psf_photometry,
                spread_model: findstars.spread_model,
            },
            astrometry: AstrometryParameters {
                maximum_offset_arcsec: set.astrometry.maximum_offset_arcsec,
                maximum_rotation_degrees: set.astrometry.maximum_rotation_degrees,
                scale_tolerance: set.astrometry.scale_tolerance,
                match_radius_arcsec: set.astrometry.match_radius_arcsec,
                minimum_matches: set.astrometry.minimum_matches,
                maximum_rms_arcsec: set.astrometry.maximum_rms_arcsec,
            },
            distortions: Vec::new(),
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
            subtraction: (&set.subtraction).into(),
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
                injections: set.summary.injections,
            },
            circular: CircularLines::new(
                set.summary.circular_authors.as_deref(),
                set.summary.circular_contact.as_deref(),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn the_shipped_pipelines_are_the_defaults_with_their_steps() {
        let of = |name: &str| {
            let set = PipelineSet::embedded(&Path::new("pipelines").join(name)).unwrap();
            InstanceSettings::from_config(name, &set, "calibrated")
        };
        assert_eq!(of("svom").steps, Steps::ALL);
        let colibri = of("colibri").steps;
        assert!(colibri.reduction && colibri.photometry && !colibri.summary);
        let defaults = InstanceSettings::new("svom", Steps::ALL, "calibrated");
        assert_eq!(of("svom").stacking, defaults.stacking);
        assert_eq!(of("svom").subtraction, defaults.subtraction);
        assert_eq!(of("svom").summary, defaults.summary);
        assert_eq!(of("svom").findstars, defaults.findstars);
        assert_eq!(of("svom").reduction, defaults.reduction);
    }
}
