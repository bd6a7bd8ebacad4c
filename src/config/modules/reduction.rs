//! `reduction.cfg`.

use super::{InputAndOutput, ModuleConfig, PARAMETERS, read_input_and_output};
use crate::config::{
    error::ConfigError, ini::Ini, path_map::ConfigPaths, section_reader::IniReader,
};
use std::path::PathBuf;

/// Where masters come from that `[Calibration]` does not name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CalibrationChoice {
    /// The masters in force; there need not be any.
    #[default]
    Master,
    /// None: only those that `[Calibration]` names are applied.
    None,
}

/// Where cosmic rays and satellite trails are looked for on single frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CosmicRayChoice {
    /// By the module `reduction`: on files, when nobody waits for a list of candidates.
    #[default]
    Module,
    /// There, in pipelines, and on the frames of an instance before their sources are sought.
    Always,
    Never,
}

/// The reduction of raw frames (the seeds' keys, and ours).
#[derive(Debug, Clone, PartialEq)]
pub struct ReductionConfig {
    /// Master files; a named one is used whatever `calibrations` says.
    pub dark: Option<PathBuf>,
    pub flat: Option<PathBuf>,
    pub bias: Option<PathBuf>,
    /// `calibrations`, ours: `master` or `none`.
    pub calibrations: CalibrationChoice,
    /// `ps`: nominal scale of a pixel, degrees; absent: from the header.
    pub pixel_scale_degrees: Option<f64>,
    /// `gain`: electrons per data number; absent: from the header.
    pub gain_electrons: Option<f64>,
    /// `read_noise`, ours: electrons; absent: from the header, else measured on the bias frames.
    pub read_noise_electrons: Option<f64>,
    /// `sat_level`: data numbers of the raw frame from which a pixel counts as saturated; absent: header or measured.
    pub saturation: Option<f64>,
    /// `detect_thresh`: standard deviations above the background.
    pub detection_threshold_sigma: f64,
    /// `cosmic_rays`, ours: `module`, `always` or `never`.
    pub cosmic_rays: CosmicRayChoice,
    /// `cosmic_ray_sigma`, ours: least significance of a struck pixel, standard deviations.
    pub cosmic_ray_sigma: f64,
    /// `cosmic_ray_contrast`, ours: least ratio of a struck pixel to the fine structure that stars have.
    pub cosmic_ray_contrast: f64,
    pub paths: InputAndOutput,
}

const CALIBRATION: &str = "Calibration";

impl Default for ReductionConfig {
    fn default() -> Self {
        Self {
            dark: None,
            flat: None,
            bias: None,
            calibrations: CalibrationChoice::Master,
            pixel_scale_degrees: None,
            gain_electrons: None,
            read_noise_electrons: None,
            saturation: None,
            detection_threshold_sigma: 1.0,
            cosmic_rays: CosmicRayChoice::Module,
            cosmic_ray_sigma: 5.0,
            cosmic_ray_contrast: 5.0,
            paths: InputAndOutput::default(),
        }
    }
}

impl ReductionConfig {
    /// All paths that must exist and do not. Empty: all is there.
    pub fn check_paths(&self) -> Vec<ConfigError> {
        let masters = [("dark", &self.dark), ("flat", &self.flat), ("bias", &self.bias)];
        let missing_masters = masters.into_iter().filter_map(|(key, path)| {
            self.paths.origin.missing_path(CALIBRATION, key, path.as_ref()?)
        });
        self.paths.check_paths().into_iter().chain(missing_masters).collect()
    }
}

impl ModuleConfig for ReductionConfig {
    const FILE_NAME: &'static str = "reduction.cfg";

    fn from_ini(ini: &Ini) -> Result<Self, ConfigError> {
        let defaults = Self::default();
        let mut reader = IniReader::new(ini);
        let (input, output) = read_input_and_output(&mut reader)?;

        let mut section = reader.section(CALIBRATION);
        let dark = section.path("dark")?;
        let flat = section.path("flat")?;
        let bias = section.path("bias")?;
        section.finish()?;

        let mut section = reader.section(PARAMETERS);
        let cosmic_rays = [
            ("module", CosmicRayChoice::Module),
            ("always", CosmicRayChoice::Always),
            ("never", CosmicRayChoice::Never),
        ];
        let choices = [("master", CalibrationChoice::Master), ("none", CalibrationChoice::None)];
        let mut config = Self {
            dark,
            flat,
            bias,
            pixel_scale_degrees: section.number("ps", 1e-7, 1.0)?,
            gain_electrons: section.number("gain", 1e-3, 1e4)?,
            saturation: section.number("sat_level", 1.0, 1e9)?,
            detection_threshold_sigma: section
                .number("detect_thresh", 0.1, 1000.0)?
                .unwrap_or(defaults.detection_threshold_sigma),
            read_noise_electrons: section.number("read_noise", 0.0, 1e4)?,
            calibrations: section.word("calibrations", &choices)?.unwrap_or_default(),
            cosmic_rays: section.word("cosmic_rays", &cosmic_rays)?.unwrap_or_default(),
            cosmic_ray_sigma: section
                .number("cosmic_ray_sigma", 1.0, 1000.0)?
                .unwrap_or(defaults.cosmic_ray_sigma),
            cosmic_ray_contrast: section
                .number("cosmic_ray_contrast", 0.1, 1000.0)?
                .unwrap_or(defaults.cosmic_ray_contrast),
            paths: InputAndOutput::default(),
        };
        section.finish()?;
        config.paths = InputAndOutput { input, output, origin: reader.finish()? };
        Ok(config)
    }
}

impl ConfigPaths for ReductionConfig {
    fn paths_mut(&mut self) -> Vec<&mut PathBuf> {
        let masters = [&mut self.dark, &mut self.flat, &mut self.bias];
        masters.into_iter().flatten().chain(self.paths.paths_mut()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    /// As seed 002 has it.
    const SEED: &str = "[Input and Output]\ninput = /data/pipeline_test/Data/20191016/raw_images\noutput = /data/pipeline_test/output_V6\n\n[Calibration]\ndark = /data/pipeline_test/Data/20191016/masters/dark.fits\nflat = /data/pipeline_test/Data/20191016/masters/flat.fits\nbias = /data/pipeline_test/Data/20191016/masters/bias.fits\n\n[Parameters]\nps      = 0.000195\ngain    = 6.2\nsat_level = 7000\ndetect_thresh = 1\n";

    #[test]
    fn the_seed_is_understood_as_it_stands() {
        let config = ReductionConfig::parse(Path::new("reduction.cfg"), SEED).unwrap();
        assert_eq!(config.pixel_scale_degrees, Some(0.000195));
        assert_eq!(config.gain_electrons, Some(6.2));
        assert_eq!(config.saturation, Some(7000.0));
        assert_eq!(config.detection_threshold_sigma, 1.0);
        let missing = config.check_paths();
        assert_eq!(missing.len(), 4);
        assert_eq!(
            missing.iter().map(|each| each.line).collect::<Vec<_>>(),
            [2, 6, 7, 8].map(Some)
        );
        assert!(missing.iter().all(|each| each.exit_code() == 3));
    }

    #[test]
    fn cosmic_rays_are_looked_for_where_the_file_says() {
        let of = |line: &str| {
            let text = format!("[Parameters]\n{line}\n");
            ReductionConfig::parse(Path::new("reduction.cfg"), &text)
        };
        assert_eq!(of("").unwrap().cosmic_rays, CosmicRayChoice::Module);
        assert_eq!(of("cosmic_rays = always").unwrap().cosmic_rays, CosmicRayChoice::Always);
        assert_eq!(of("cosmic_ray_sigma = 6").unwrap().cosmic_ray_sigma, 6.0);
        let error = of("cosmic_rays = sometimes").unwrap_err().to_string();
        assert!(error.starts_with("reduction.cfg, line 2: cosmic_rays = 'sometimes'"), "{error}");
    }

    #[test]
    fn a_gain_must_be_a_number() {
        let text = SEED.replace("6.2", "six");
        let error = ReductionConfig::parse(Path::new("reduction.cfg"), &text).unwrap_err();
        assert_eq!(
            error.to_string(),
            "reduction.cfg, line 12: gain = 'six' in [Parameters] is wrong: expected a number from 0.001 to 10000"
        );
    }
}
