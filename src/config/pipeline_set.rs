//! All the files of one pipeline's directory.

use super::{
    embedded::embedded,
    error::{ConfigError, Problem},
    modules::{
        AlignmentConfig, AstrometryConfig, FindstarsConfig, ModuleConfig, PhotometryConfig,
        ReductionConfig, StackingConfig, SubtractionConfig, SummaryConfig,
    },
    path_map::ConfigPaths,
    pipeline::PipelineConfig,
};
use std::path::{Path, PathBuf};

const PIPELINE_FILE: &str = "pipeline.cfg";

/// `pipeline.cfg` and the files of its modules.
#[derive(Debug, Clone, PartialEq)]
pub struct PipelineSet {
    pub pipeline: PipelineConfig,
    pub reduction: ReductionConfig,
    pub findstars: FindstarsConfig,
    pub astrometry: AstrometryConfig,
    pub alignment: AlignmentConfig,
    pub stacking: StackingConfig,
    pub subtraction: SubtractionConfig,
    pub photometry: PhotometryConfig,
    pub summary: SummaryConfig,
}

impl PipelineSet {
    /// Reads a directory. `pipeline.cfg` must be there; a module without a file has its defaults, as the seeds'
    /// directories hold only the files of the modules they run.
    pub fn read(directory: &Path) -> Result<Self, ConfigError> {
        let pipeline_file = directory.join(PIPELINE_FILE);
        if !pipeline_file.exists() {
            let problem = Problem::MissingPath { role: PIPELINE_FILE.into(), path: pipeline_file };
            return Err(ConfigError::new(directory, None, problem));
        }
        let read_text = |name: &str| read_text(&directory.join(name));
        let pipeline_text = read_text(PIPELINE_FILE)?;
        Self::from_texts(directory, &pipeline_text, |name| {
            if directory.join(name).exists() { read_text(name).map(Some) } else { Ok(None) }
        })
    }

    /// A directory this program carries: `pipelines/svom`, `pipelines/colibri`.
    pub fn embedded(directory: &Path) -> Result<Self, ConfigError> {
        let text_of = |name: &str| embedded(directory.join(name).to_str()?);
        let Some(pipeline_text) = text_of(PIPELINE_FILE) else {
            let role = "embedded pipeline".to_owned();
            let problem = Problem::MissingPath { role, path: directory.to_owned() };
            return Err(ConfigError::new(directory, None, problem));
        };
        Self::from_texts(directory, pipeline_text, |name| Ok(text_of(name).map(str::to_owned)))
    }

    fn from_texts(
        directory: &Path,
        pipeline_text: &str,
        text_of: impl Fn(&str) -> Result<Option<String>, ConfigError>,
    ) -> Result<Self, ConfigError> {
        fn module<T: ModuleConfig>(
            directory: &Path,
            text_of: &impl Fn(&str) -> Result<Option<String>, ConfigError>,
        ) -> Result<T, ConfigError> {
            match text_of(T::FILE_NAME)? {
                Some(text) => T::parse(&directory.join(T::FILE_NAME), &text),
                None => Ok(T::default()),
            }
        }
        Ok(Self {
            pipeline: PipelineConfig::parse(&directory.join(PIPELINE_FILE), pipeline_text)?,
            reduction: module(directory, &text_of)?,
            findstars: module(directory, &text_of)?,
            astrometry: module(directory, &text_of)?,
            alignment: module(directory, &text_of)?,
            stacking: module(directory, &text_of)?,
            subtraction: module(directory, &text_of)?,
            photometry: module(directory, &text_of)?,
            summary: module(directory, &text_of)?,
        })
    }

    /// All paths that must exist and do not. Empty: all is there.
    pub fn check_paths(&self) -> Vec<ConfigError> {
        let others = [
            &self.findstars.paths,
            &self.alignment.paths,
            &self.stacking.paths,
            &self.photometry.paths,
            &self.summary.paths,
        ];
        let mut missing = self.pipeline.check_paths();
        missing.extend(self.reduction.check_paths());
        missing.extend(self.astrometry.check_paths());
        missing.extend(self.subtraction.check_paths());
        missing.extend(others.into_iter().flat_map(|paths| paths.check_paths()));
        missing
    }
}

fn read_text(file: &Path) -> Result<String, ConfigError> {
    super::bounded_file::read_bounded_text(file).map_err(|error| {
        ConfigError::new(file, None, Problem::Unreadable { reason: error.to_string() })
    })
}

impl ConfigPaths for PipelineSet {
    fn paths_mut(&mut self) -> Vec<&mut PathBuf> {
        let others = [
            &mut self.findstars.paths,
            &mut self.alignment.paths,
            &mut self.stacking.paths,
            &mut self.photometry.paths,
            &mut self.summary.paths,
        ];
        let mut paths = self.pipeline.paths_mut();
        paths.extend(self.reduction.paths_mut());
        paths.extend(self.astrometry.paths_mut());
        paths.extend(self.subtraction.paths_mut());
        paths.extend(others.into_iter().flat_map(|each| each.paths_mut()));
        paths
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_pipelines_run_what_they_should() {
        let svom = PipelineSet::embedded(Path::new("pipelines/svom")).unwrap().pipeline.steps;
        assert!(svom.reduction && svom.astrometry && svom.stacking && svom.summary);
        let colibri = PipelineSet::embedded(Path::new("pipelines/colibri")).unwrap().pipeline.steps;
        assert!(colibri.reduction && colibri.astrometry && colibri.photometry);
        assert!(!colibri.stacking && !colibri.alignment && !colibri.summary);
    }

    #[test]
    fn a_directory_on_disk_is_read_and_its_missing_modules_have_defaults() {
        let directory = tempfile::tempdir().unwrap();
        let pipeline = directory.path().join("pipeline.cfg");
        std::fs::write(pipeline, "[Structure of pipeline]\nreduction = yes\n").unwrap();
        let reduction = directory.path().join("reduction.cfg");
        std::fs::write(reduction, "[Parameters]\ngain = 6.2\n[Calibration]\ndark = /no/dark\n")
            .unwrap();
        let set = PipelineSet::read(directory.path()).unwrap();
        assert_eq!(set.reduction.gain_electrons, Some(6.2));
        assert_eq!(set.findstars, FindstarsConfig::default());
        assert_eq!(set.check_paths().len(), 1);
    }

    #[test]
    fn a_directory_without_pipeline_cfg_is_a_missing_input() {
        let directory = tempfile::tempdir().unwrap();
        let error = PipelineSet::read(directory.path()).unwrap_err();
        assert_eq!(error.exit_code(), 3);
        let error = PipelineSet::embedded(Path::new("pipelines/ratir")).unwrap_err();
        assert_eq!(error.exit_code(), 3);
    }
}
