//! `subtraction.cfg`.

use super::{InputAndOutput, ModuleConfig, PARAMETERS, read_input_and_output};
use crate::config::{
    error::ConfigError, ini::Ini, path_map::ConfigPaths, section_reader::IniReader,
};
use std::path::PathBuf;

/// Which image is convolved to be like the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ConvolvedChoice {
    /// The sharper one.
    #[default]
    Automatic,
    Template,
    New,
}

/// The subtraction of a template.
#[derive(Debug, Clone, PartialEq)]
pub struct SubtractionConfig {
    /// `template`: a reduced image or a stack, or a directory of them; absent: the stack of the earlier frames of the same set.
    pub template: Option<PathBuf>,
    pub convolve: ConvolvedChoice,
    /// Highest powers with which kernel and background vary over the image.
    pub kernel_degree: usize,
    pub background_degree: usize,
    /// Stars are taken from about the square of so many cells, and at most so many of each.
    pub cells: usize,
    pub stars_per_cell: usize,
    /// With fewer stars there is no difference.
    pub minimum_stars: usize,
    /// Side of the cells in which the residual background and the scatter of the significance are measured, pixels.
    pub mesh_pixels: usize,
    /// Least significance of a source of the difference.
    pub threshold_sigma: f64,
    /// The most sources in the table, most significant first.
    pub maximum_sources: usize,
    pub paths: InputAndOutput,
}

const TEMPLATE: &str = "Template";

impl Default for SubtractionConfig {
    fn default() -> Self {
        Self {
            template: None,
            convolve: ConvolvedChoice::Automatic,
            kernel_degree: 2,
            background_degree: 2,
            cells: 12,
            stars_per_cell: 2,
            minimum_stars: 5,
            mesh_pixels: 128,
            threshold_sigma: 5.0,
            maximum_sources: 20_000,
            paths: InputAndOutput::default(),
        }
    }
}

impl SubtractionConfig {
    /// All paths that must exist and do not. Empty: all is there.
    pub fn check_paths(&self) -> Vec<ConfigError> {
        let template = self.template.as_ref();
        let missing =
            template.and_then(|path| self.paths.origin.missing_path(TEMPLATE, "template", path));
        self.paths.check_paths().into_iter().chain(missing).collect()
    }
}

impl ModuleConfig for SubtractionConfig {
    const FILE_NAME: &'static str = "subtraction.cfg";

    fn from_ini(ini: &Ini) -> Result<Self, ConfigError> {
        let defaults = Self::default();
        let mut reader = IniReader::new(ini);
        let (input, output) = read_input_and_output(&mut reader)?;

        let mut section = reader.section(TEMPLATE);
        let template = section.path("template")?;
        section.finish()?;

        let mut section = reader.section(PARAMETERS);
        let choices = [
            ("automatic", ConvolvedChoice::Automatic),
            ("template", ConvolvedChoice::Template),
            ("new", ConvolvedChoice::New),
        ];
        let mut config = Self {
            template,
            convolve: section.word("convolve", &choices)?.unwrap_or_default(),
            kernel_degree: section.whole("kernel_degree", 0, 2)?.unwrap_or(defaults.kernel_degree),
            background_degree: section
                .whole("background_degree", 0, 2)?
                .unwrap_or(defaults.background_degree),
            cells: section.whole("cells", 1, 100)?.unwrap_or(defaults.cells),
            stars_per_cell: section
                .whole("stars_per_cell", 1, 100)?
                .unwrap_or(defaults.stars_per_cell),
            minimum_stars: section
                .whole("minimum_stars", 1, 10_000)?
                .unwrap_or(defaults.minimum_stars),
            mesh_pixels: section.whole("mesh", 16, 4096)?.unwrap_or(defaults.mesh_pixels),
            threshold_sigma: section
                .number("threshold", 2.0, 1000.0)?
                .unwrap_or(defaults.threshold_sigma),
            maximum_sources: section
                .whole("maximum_sources", 1, 1_000_000)?
                .unwrap_or(defaults.maximum_sources),
            paths: InputAndOutput::default(),
        };
        section.finish()?;
        config.paths = InputAndOutput { input, output, origin: reader.finish()? };
        Ok(config)
    }
}

impl ConfigPaths for SubtractionConfig {
    fn paths_mut(&mut self) -> Vec<&mut PathBuf> {
        self.template.iter_mut().chain(self.paths.paths_mut()).collect()
    }
}
