//! `pipeline.cfg`: which modules run, in which order the directories of the workspace are built (seed 002).

use super::{
    error::ConfigError,
    gp1::{ProcessingStrategy, STRATEGY_WORDS},
    ini::Ini,
    path_map::ConfigPaths,
    section_reader::{ConfigOrigin, IniReader},
};
use std::path::{Path, PathBuf};

/// The modules that run, in the order they run in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PipelineSteps {
    pub reduction: bool,
    pub findstars: bool,
    /// Not a key of the seeds. Where it is absent it is `yes` if both findstars and photometry are (the zero point
    /// needs the positions), else `no`: a file of the seeds runs exactly the modules it names.
    pub astrometry: bool,
    pub alignment: bool,
    pub stacking: bool,
    pub photometry: bool,
    pub image_subtraction: bool,
    pub summary: bool,
}

/// The whole file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PipelineConfig {
    /// Header keywords whose values name the directories under the workspace, outermost first.
    pub workspace_headers: Vec<String>,
    /// Directory of frames of a batch; the command line masks it.
    pub input: Option<PathBuf>,
    pub output: Option<PathBuf>,
    pub steps: PipelineSteps,
    pub mode: ProcessingStrategy,
    pub origin: ConfigOrigin,
}

const INPUT_AND_OUTPUT: &str = "Input and Output";

impl PipelineConfig {
    /// Reads a file; touches no path in it.
    pub fn read(file: &Path) -> Result<Self, ConfigError> {
        Self::from_ini(&Ini::read(file)?)
    }

    pub fn parse(file: &Path, text: &str) -> Result<Self, ConfigError> {
        Self::from_ini(&Ini::parse(file, text)?)
    }

    fn from_ini(ini: &Ini) -> Result<Self, ConfigError> {
        let mut reader = IniReader::new(ini);
        let mut section = reader.section("Workspace");
        let mut workspace_headers = section.list("headers")?;
        if workspace_headers.is_empty() {
            workspace_headers = ["TRGID", "INSTRUME", "FILTER"].map(str::to_owned).to_vec();
        }
        section.finish()?;

        let mut section = reader.section(INPUT_AND_OUTPUT);
        let (input, output) = (section.path("input")?, section.path("output")?);
        section.finish()?;

        let mut section = reader.required_section("Structure of pipeline")?;
        let mut step = |key: &str| section.boolean(key);
        let reduction = step("reduction")?.unwrap_or(false);
        let findstars = step("findstars")?.unwrap_or(false);
        let astrometry = step("astrometry")?;
        let alignment = step("alignment")?.unwrap_or(false);
        let stacking = step("stacking")?.unwrap_or(false);
        let photometry = step("Photometry")?.unwrap_or(false);
        let image_subtraction = step("Image subtraction")?.unwrap_or(false);
        let summary = step("Summary")?.unwrap_or(false);
        section.finish()?;

        let mut section = reader.section("Strategy processing");
        let mode = section.word("mode", &STRATEGY_WORDS)?.unwrap_or_default();
        section.finish()?;

        let steps = PipelineSteps {
            reduction,
            findstars,
            astrometry: astrometry.unwrap_or(findstars && photometry),
            alignment,
            stacking,
            photometry,
            image_subtraction,
            summary,
        };
        let origin = reader.finish()?;
        Ok(Self { workspace_headers, input, output, steps, mode, origin })
    }

    /// All paths that must exist and do not. Empty: all is there.
    pub fn check_paths(&self) -> Vec<ConfigError> {
        let input = self.input.as_ref();
        input
            .and_then(|path| self.origin.missing_path(INPUT_AND_OUTPUT, "input", path))
            .into_iter()
            .collect()
    }
}

impl ConfigPaths for PipelineConfig {
    fn paths_mut(&mut self) -> Vec<&mut PathBuf> {
        self.input.iter_mut().chain(&mut self.output).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As seed 002 has it.
    const SEED: &str = "[Workspace]\n\nheaders = TRGID,INSTRUME,FILTER\n\n[Input and Output]\n\ninput = /data/pipeline_test/Data/20191016/raw_images\n\noutput = /data/pipeline_test/output\n\n[Structure of pipeline]\n\nreduction = yes\n\nfindstars = no\n\nalignment = no\n\nstacking = no\n\nPhotometry = no\n\nImage subtraction = no\n\nSummary = no\n\n[Strategy processing]\n\nmode = standard\n";

    fn parse(text: &str) -> Result<PipelineConfig, ConfigError> {
        PipelineConfig::parse(Path::new("pipeline.cfg"), text)
    }

    #[test]
    fn the_seed_runs_the_reduction_alone() {
        let config = parse(SEED).unwrap();
        assert_eq!(config.steps, PipelineSteps { reduction: true, ..PipelineSteps::default() });
        assert_eq!(config.workspace_headers, ["TRGID", "INSTRUME", "FILTER"]);
        assert_eq!(config.output.as_deref(), Some(Path::new("/data/pipeline_test/output")));
        assert_eq!(config.check_paths().len(), 1);
    }

    #[test]
    fn astrometry_follows_findstars_and_photometry_unless_it_is_named() {
        let steps = |findstars: &str, photometry: &str, ours: &str| {
            let text = format!(
                "[Structure of pipeline]\nfindstars = {findstars}\nPhotometry = {photometry}\n{ours}"
            );
            parse(&text).unwrap().steps.astrometry
        };
        assert!(steps("yes", "yes", ""));
        assert!(!steps("yes", "no", ""));
        assert!(!steps("no", "yes", ""));
        assert!(!steps("yes", "yes", "astrometry = no\n"));
        assert!(steps("yes", "no", "Astrometry = on\n"));
    }

    #[test]
    fn mistakes_are_explained() {
        let message = |text: &str| parse(text).unwrap_err().to_string();
        assert_eq!(
            message(&SEED.replace("findstars", "find_stars")),
            "pipeline.cfg, line 15: unknown key 'find_stars' in [Structure of pipeline] (did you mean 'findstars'?); \
             allowed: reduction, findstars, astrometry, alignment, stacking, Photometry, Image subtraction, Summary"
        );
        assert!(message(&SEED.replace("reduction = yes", "reduction = ja")).contains("line 13"));
        assert!(
            message("[Workspace]\nheaders = A\n").contains("[Structure of pipeline] is missing")
        );
    }
}
