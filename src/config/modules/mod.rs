//! The `.cfg` files of the modules: each has `[Input and Output]` (both keys optional; the command line masks them)
//! and `[Parameters]`; the reduction also has `[Calibration]`, the subtraction `[Template]`. Every key has a default, so an empty file is a right
//! one, and the defaults are those of the `Default` implementations.

mod alignment;
mod astrometry;
mod findstars;
mod photometry;
mod reduction;
mod stacking;
mod subtraction;
mod summary;

pub use alignment::AlignmentConfig;
pub use astrometry::AstrometryConfig;
pub use findstars::FindstarsConfig;
pub use photometry::PhotometryConfig;
pub use reduction::{CalibrationChoice, CosmicRayChoice, ReductionConfig};
pub use stacking::StackingConfig;
pub use subtraction::{ConvolvedChoice, SubtractionConfig};
pub use summary::SummaryConfig;

use super::{
    error::ConfigError,
    ini::Ini,
    path_map::ConfigPaths,
    section_reader::{ConfigOrigin, IniReader, SectionReader},
};
use std::path::{Path, PathBuf};

const INPUT_AND_OUTPUT: &str = "Input and Output";
const PARAMETERS: &str = "Parameters";

/// Where a module reads and writes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InputAndOutput {
    /// A frame or a directory of frames.
    pub input: Option<PathBuf>,
    pub output: Option<PathBuf>,
    pub origin: ConfigOrigin,
}

impl InputAndOutput {
    /// All paths that must exist and do not. Empty: all is there.
    pub fn check_paths(&self) -> Vec<ConfigError> {
        let input = self.input.as_ref();
        input
            .and_then(|path| self.origin.missing_path(INPUT_AND_OUTPUT, "input", path))
            .into_iter()
            .collect()
    }
}

impl ConfigPaths for InputAndOutput {
    fn paths_mut(&mut self) -> Vec<&mut PathBuf> {
        self.input.iter_mut().chain(&mut self.output).collect()
    }
}

/// What the files of the modules have in common.
pub trait ModuleConfig: Sized + Default {
    /// Name of the file in the pipeline's directory.
    const FILE_NAME: &'static str;

    #[doc(hidden)]
    fn from_ini(ini: &Ini) -> Result<Self, ConfigError>;

    /// Reads a file; touches no path in it.
    fn read(file: &Path) -> Result<Self, ConfigError> {
        Self::from_ini(&Ini::read(file)?)
    }

    fn parse(file: &Path, text: &str) -> Result<Self, ConfigError> {
        Self::from_ini(&Ini::parse(file, text)?)
    }
}

/// Reads a file of the common form; `read_parameters` reads `[Parameters]`.
fn read_module<T>(
    ini: &Ini,
    read_parameters: impl FnOnce(&mut SectionReader<'_, '_>) -> Result<T, ConfigError>,
) -> Result<(InputAndOutput, T), ConfigError> {
    let mut reader = IniReader::new(ini);
    let (input, output) = read_input_and_output(&mut reader)?;
    let mut section = reader.section(PARAMETERS);
    let parameters = read_parameters(&mut section)?;
    section.finish()?;
    Ok((InputAndOutput { input, output, origin: reader.finish()? }, parameters))
}

type OptionalPaths = (Option<PathBuf>, Option<PathBuf>);

fn read_input_and_output(reader: &mut IniReader<'_>) -> Result<OptionalPaths, ConfigError> {
    let mut section = reader.section(INPUT_AND_OUTPUT);
    let paths = (section.path("input")?, section.path("output")?);
    section.finish()?;
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::embedded::embedded;
    use std::fmt::Debug;

    fn check<T: ModuleConfig + Debug + PartialEq>() {
        let without_origin =
            |config: T| format!("{config:?}").split("origin:").next().unwrap().to_owned();
        for pipeline in ["svom", "colibri"] {
            let name = format!("pipelines/{pipeline}/{}", T::FILE_NAME);
            T::parse(Path::new(&name), embedded(&name).unwrap()).unwrap();
        }
        let empty = T::parse(Path::new("empty.cfg"), "").unwrap();
        assert_eq!(without_origin(empty), without_origin(T::default()));
        let error = T::parse(Path::new("x.cfg"), "[Parameters]\nno_such_key = 1\n").unwrap_err();
        assert!(error.to_string().starts_with("x.cfg, line 2: unknown key 'no_such_key'"));
        assert_eq!(error.exit_code(), 2);
    }

    #[test]
    fn shipped_and_empty_files_are_right_and_unknown_keys_wrong() {
        check::<ReductionConfig>();
        check::<FindstarsConfig>();
        check::<AstrometryConfig>();
        check::<AlignmentConfig>();
        check::<StackingConfig>();
        check::<SubtractionConfig>();
        check::<PhotometryConfig>();
        check::<SummaryConfig>();
    }
}
