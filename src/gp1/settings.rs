//! Settings of one instance of the pipeline, as plain data.

use super::report::circular::CircularLines;
use crate::imaging::astrometry::AstrometryParameters;
use crate::imaging::camera_distortion::CameraDistortion;
use crate::imaging::cosmic_rays::CosmicRayParameters;
use crate::imaging::detection::DetectionParameters;
use crate::imaging::difference_sources::DifferenceSearch;
use crate::imaging::subtraction::SubtractionParameters;
use std::path::PathBuf;

/// The modules of the pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Module {
    Reduction,
    Findstars,
    Astrometry,
    Alignment,
    Stacking,
    Subtraction,
    Photometry,
    Summary,
}

impl Module {
    /// Name on the command line and in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Reduction => "reduction",
            Self::Findstars => "findstars",
            Self::Astrometry => "astrometry",
            Self::Alignment => "alignment",
            Self::Stacking => "stacking",
            Self::Subtraction => "subtraction",
            Self::Photometry => "photometry",
            Self::Summary => "summary",
        }
    }
}

/// Which modules an instance runs. Each needs those before it on the same frame: without sources there is no astrometry,
/// without astrometry no zero point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Steps {
    pub reduction: bool,
    pub findstars: bool,
    pub astrometry: bool,
    pub alignment: bool,
    pub stacking: bool,
    pub photometry: bool,
    /// Templates, where the settings name a place of them, are subtracted at deadlines.
    pub subtraction: bool,
    pub summary: bool,
}

impl Steps {
    /// Alert frames: everything.
    pub const ALL: Self = Self {
        reduction: true,
        findstars: true,
        astrometry: true,
        alignment: true,
        stacking: true,
        photometry: true,
        subtraction: true,
        summary: true,
    };
    /// Other frames: reduced, measured, not stacked.
    pub const QUALITY: Self =
        Self { alignment: false, stacking: false, subtraction: false, summary: false, ..Self::ALL };
}

/// Where cosmic rays and trails are looked for on single frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CosmicRayStep {
    /// By the module `reduction`: provisional candidates do not wait for it, and those of stacks do not need it.
    Module,
    Always,
    Never,
}

/// Values of `reduction.cfg`; what is absent comes from the header.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ReductionParameters {
    /// Degrees.
    pub pixel_scale_degrees: Option<f64>,
    /// Electrons per data number.
    pub gain_electrons: Option<f64>,
    pub read_noise_electrons: Option<f64>,
    /// Data numbers.
    pub saturation: Option<f64>,
    /// Pixels farther than this many robust deviations above the sky do not count for the sky statistics in the
    /// header of a frame on which no sources are sought.
    pub detection_threshold_sigma: f64,
    /// Whether masters in force are applied at all.
    pub use_masters: bool,
    /// Pixels of the dark this many robust deviations above the others are hot.
    pub hot_pixel_sigma: f32,
    pub cosmic_ray_step: CosmicRayStep,
    pub cosmic_rays: CosmicRayParameters,
}

impl Default for ReductionParameters {
    fn default() -> Self {
        Self {
            pixel_scale_degrees: None,
            gain_electrons: None,
            read_noise_electrons: None,
            saturation: None,
            detection_threshold_sigma: 1.0,
            use_masters: true,
            hot_pixel_sigma: 10.0,
            cosmic_ray_step: CosmicRayStep::Module,
            cosmic_rays: CosmicRayParameters::default(),
        }
    }
}

/// Values of `findstars.cfg`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FindstarsParameters {
    /// Side of a cell of the background mesh.
    pub mesh_pixels: usize,
    pub detection: DetectionParameters,
    /// Fit the point-spread function of the frame and measure every source with it.
    pub psf_photometry: bool,
    /// Tell stars and galaxies apart.
    pub spread_model: bool,
}

impl Default for FindstarsParameters {
    fn default() -> Self {
        let detection = DetectionParameters {
            threshold_sigma: 5.0,
            minimum_pixels: 5,
            filter_fwhm_pixels: 3.0,
            ..DetectionParameters::default()
        };
        Self { mesh_pixels: 64, detection, psf_photometry: false, spread_model: true }
    }
}

/// Values of `alignment.cfg`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AlignmentParameters {
    /// Fewer matched sources are no alignment.
    pub minimum_matches: usize,
    /// A larger residual per axis is no alignment, pixels.
    pub match_radius_pixels: f64,
    /// Brightest sources used.
    pub maximum_sources: usize,
}

impl Default for AlignmentParameters {
    fn default() -> Self {
        Self { minimum_matches: 6, match_radius_pixels: 1.5, maximum_sources: 300 }
    }
}

/// Values of `stacking.cfg`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StackingParameters {
    pub clip_sigma: f64,
    /// A frame whose stars are wider than this many times the best so far is not stacked.
    pub maximum_fwhm_ratio: f64,
    /// A frame with fewer sources is not stacked.
    pub minimum_stars: usize,
}

impl Default for StackingParameters {
    fn default() -> Self {
        Self { clip_sigma: 4.0, maximum_fwhm_ratio: 2.0, minimum_stars: 5 }
    }
}

/// Values of `subtraction.cfg`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SubtractionSettings {
    /// A file or a directory; `None`: the stack of the earlier frames of the same set.
    pub template: Option<PathBuf>,
    pub kernel: SubtractionParameters,
    pub search: DifferenceSearch,
}

/// Values of `photometry.cfg`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PhotometryParameters {
    /// Within this distance a source is the catalogue star.
    pub match_radius_arcsec: f64,
    /// Fewer stars give no zero point.
    pub minimum_stars: usize,
    /// Fainter stars are not used for the zero point.
    pub minimum_signal_to_noise: f64,
}

impl Default for PhotometryParameters {
    fn default() -> Self {
        Self { match_radius_arcsec: 1.5, minimum_stars: 5, minimum_signal_to_noise: 10.0 }
    }
}

/// Values of `summary.cfg`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SummaryParameters {
    /// A source nearer than this to a catalogue object is that object.
    pub catalogue_match_radius_arcsec: f64,
    /// Detections on different images nearer than this are one source.
    pub association_radius_arcsec: f64,
    /// A point of a light curve counts as detected from here.
    pub minimum_signal_to_noise: f64,
    /// A catalogued source brighter than expected by this many standard errors is a candidate.
    pub variability_sigma: f64,
    /// Nearer than this to the edge a candidate is marked so.
    pub edge_pixels: usize,
    /// The most candidates in the list of the result; all are in the table beside it.
    pub maximum_candidates: usize,
    /// Side of a cut-out.
    pub cutout_pixels: usize,
    /// Whether artificial stars measure how complete the list is.
    pub injections: bool,
}

impl Default for SummaryParameters {
    fn default() -> Self {
        Self {
            catalogue_match_radius_arcsec: 2.0,
            association_radius_arcsec: 1.0,
            minimum_signal_to_noise: 5.0,
            variability_sigma: 5.0,
            edge_pixels: 8,
            maximum_candidates: 200,
            cutout_pixels: 64,
            injections: true,
        }
    }
}

/// One instance of the pipeline.
#[derive(Debug, Clone, PartialEq)]
pub struct InstanceSettings {
    /// Name of the section of `gp1.cfg`: `svom`, `colibri`.
    pub name: String,
    pub steps: Steps,
    pub workspace_dir: PathBuf,
    /// Header keywords whose values name the directories under the workspace, outermost first.
    pub workspace_headers: Vec<String>,
    pub reduction: ReductionParameters,
    pub findstars: FindstarsParameters,
    pub astrometry: AstrometryParameters,
    /// What is known of the cameras ([`super::camera_distortions`]).
    pub distortions: Vec<CameraDistortion>,
    pub alignment: AlignmentParameters,
    pub stacking: StackingParameters,
    pub subtraction: SubtractionSettings,
    pub photometry: PhotometryParameters,
    pub summary: SummaryParameters,
    /// What only the observatory can say in the draft of a circular.
    pub circular: CircularLines,
}

impl InstanceSettings {
    /// Everything that decides a result, as one text: all but where the files lie and who signs.
    pub fn fingerprint(&self) -> String {
        let circular = CircularLines::default();
        format!("{:?}", Self { workspace_dir: PathBuf::new(), circular, ..self.clone() })
    }

    /// An instance with every parameter at its default.
    pub fn new(name: &str, steps: Steps, workspace_dir: impl Into<PathBuf>) -> Self {
        Self {
            name: name.to_owned(),
            steps,
            workspace_dir: workspace_dir.into(),
            workspace_headers: ["TRGID", "INSTRUME", "FILTER"].map(str::to_owned).to_vec(),
            reduction: ReductionParameters::default(),
            findstars: FindstarsParameters::default(),
            astrometry: AstrometryParameters::default(),
            distortions: Vec::new(),
            alignment: AlignmentParameters::default(),
            stacking: StackingParameters::default(),
            subtraction: SubtractionSettings::default(),
            photometry: PhotometryParameters::default(),
            summary: SummaryParameters::default(),
            circular: CircularLines::default(),
        }
    }
}
