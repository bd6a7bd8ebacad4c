//! `gp1.cfg`: which instance of the pipeline takes which frame (seed 002, interfaces.md §5).

use super::{
    embedded::embedded,
    error::{ConfigError, Problem},
    ini::Ini,
    path_map::ConfigPaths,
    pipeline_set::PipelineSet,
    section_reader::{ConfigOrigin, IniReader, SectionReader},
};
use std::path::{Path, PathBuf};

/// How an instance works through its frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ProcessingStrategy {
    /// Image by image, in order of arrival.
    #[default]
    Standard,
}

pub(crate) const STRATEGY_WORDS: [(&str, ProcessingStrategy); 1] =
    [("standard", ProcessingStrategy::Standard)];

/// One instance of the pipeline: any section but `[General]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PipelineSection {
    /// The section's name: `svom`, `colibri`.
    pub name: String,
    pub processing_strategy: ProcessingStrategy,
    /// Header keyword and the value it must have, compared without case; a frame must match all. Empty = takes
    /// every frame.
    pub identifiers: Vec<(String, String)>,
    /// Holds `pipeline.cfg` and the files of the modules. Relative: to the directory of `gp1.cfg`.
    pub configuration_path_dir: PathBuf,
    pub workspace_dir: PathBuf,
}

/// The whole file. Frames go to the first section that matches, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gp1Config {
    /// Directory watched for new frames.
    pub input: PathBuf,
    pub log_path: PathBuf,
    pub pipelines: Vec<PipelineSection>,
    /// Whether this is the file the program carries; then relative pipeline directories are those it carries too.
    pub is_embedded: bool,
    pub origin: ConfigOrigin,
}

const GENERAL: &str = "General";
/// Name of the file that stands in for [`Gp1Config::embedded`] in messages.
const EMBEDDED_NAME: &str = "gp1.cfg";

impl Gp1Config {
    /// Reads a file; touches no path in it. See [`Gp1Config::check_paths`].
    pub fn read(file: &Path) -> Result<Self, ConfigError> {
        Self::from_ini(&Ini::read(file)?)
    }

    pub fn parse(file: &Path, text: &str) -> Result<Self, ConfigError> {
        Self::from_ini(&Ini::parse(file, text)?)
    }

    /// The file this program carries.
    pub fn embedded() -> Result<Self, ConfigError> {
        let text = embedded(EMBEDDED_NAME).unwrap_or_default();
        Ok(Self { is_embedded: true, ..Self::parse(Path::new(EMBEDDED_NAME), text)? })
    }

    fn from_ini(ini: &Ini) -> Result<Self, ConfigError> {
        let mut reader = IniReader::new(ini);
        let mut general = reader.required_section(GENERAL)?;
        let input = general.required_path("input")?;
        let log_path = general.required_path("log_path")?;
        general.finish()?;
        let mut pipelines = Vec::new();
        for section in ini.sections.iter().filter(|section| section.name != GENERAL) {
            pipelines.push(read_pipeline(reader.section(&section.name), &section.name)?);
        }
        if pipelines.is_empty() {
            let expected = "at least one section for a pipeline after [General]".to_owned();
            return Err(ConfigError::new(&ini.file, None, Problem::Syntax(expected)));
        }
        let origin = reader.finish()?;
        Ok(Self { input, log_path, pipelines, is_embedded: false, origin })
    }

    /// All paths that must exist and do not; outputs are made when they are needed. Empty: all is there.
    pub fn check_paths(&self) -> Vec<ConfigError> {
        let input = self.origin.missing_path(GENERAL, "input", &self.input);
        let on_disk = self.pipelines.iter().filter(|pipeline| !self.is_carried(pipeline));
        let directories = on_disk.filter_map(|pipeline| {
            let directory = self.configuration_directory(pipeline);
            self.origin.missing_path(&pipeline.name, "configuration_path_dir", &directory)
        });
        input.into_iter().chain(directories).collect()
    }

    /// Where an instance's files are: its `configuration_path_dir` seen from the directory of this file.
    pub fn configuration_directory(&self, pipeline: &PipelineSection) -> PathBuf {
        match self.origin.file.parent() {
            Some(directory) => directory.join(&pipeline.configuration_path_dir),
            None => pipeline.configuration_path_dir.clone(),
        }
    }

    /// The files of an instance.
    pub fn pipeline_set(&self, pipeline: &PipelineSection) -> Result<PipelineSet, ConfigError> {
        if self.is_carried(pipeline) {
            PipelineSet::embedded(&pipeline.configuration_path_dir)
        } else {
            PipelineSet::read(&self.configuration_directory(pipeline))
        }
    }

    fn is_carried(&self, pipeline: &PipelineSection) -> bool {
        self.is_embedded && pipeline.configuration_path_dir.is_relative()
    }

    /// Index of the section that takes a frame: the first all of whose identifiers agree. `value_of` gives the value of
    /// a header keyword.
    pub fn route(&self, value_of: impl Fn(&str) -> Option<String>) -> Option<usize> {
        self.pipelines.iter().position(|pipeline| {
            pipeline.identifiers.iter().all(|(header, wanted)| {
                value_of(header).is_some_and(|value| {
                    value.trim().to_lowercase() == wanted.trim().to_lowercase()
                })
            })
        })
    }
}

fn read_pipeline(
    mut section: SectionReader<'_, '_>,
    name: &str,
) -> Result<PipelineSection, ConfigError> {
    let processing_strategy =
        section.word("processing_strategy", &STRATEGY_WORDS)?.unwrap_or_default();
    let headers = section.list("identifier_header")?;
    let values = section.list("identifier_value")?;
    if headers.len() != values.len() {
        let expected = format!(
            "as many values as identifier_header has names: {} for {}",
            headers.len(),
            if headers.is_empty() { "none".to_owned() } else { headers.join(",") }
        );
        return Err(section.wrong("identifier_value", &values.join(","), &expected));
    }
    let pipeline = PipelineSection {
        name: name.to_owned(),
        processing_strategy,
        identifiers: headers.into_iter().zip(values).collect(),
        configuration_path_dir: section.required_path("configuration_path_dir")?,
        workspace_dir: section.required_path("workspace_dir")?,
    };
    section.finish()?;
    Ok(pipeline)
}

impl ConfigPaths for Gp1Config {
    fn paths_mut(&mut self) -> Vec<&mut PathBuf> {
        let mut paths = vec![&mut self.input, &mut self.log_path];
        for pipeline in &mut self.pipelines {
            paths.push(&mut pipeline.configuration_path_dir);
            paths.push(&mut pipeline.workspace_dir);
        }
        paths
    }

    fn data_paths_mut(&mut self) -> Vec<&mut PathBuf> {
        let mut paths = vec![&mut self.input, &mut self.log_path];
        paths.extend(self.pipelines.iter_mut().map(|pipeline| &mut pipeline.workspace_dir));
        paths
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::path_map::PathMap;

    /// As seed 002 has it.
    const SEED: &str = "[General]\n\ninput = /data/pipeline_test/Simulation_online/input\nlog_path = /data/pipeline_test/Simulation_online/output\n\n# Pipelines\n\n[pipeline-test]\n\nprocessing_strategy = standard\nidentifier_header = EXPTYPE,OBSERVER\nidentifier_value = object,svom\nconfiguration_path_dir = /data/pipeline_test/GP1-V7/config/pipeline-test\nworkspace_dir = /data/pipeline_test/Simulation_online/output\n";

    fn parse(text: &str) -> Result<Gp1Config, ConfigError> {
        Gp1Config::parse(Path::new("gp1.cfg"), text)
    }

    #[test]
    fn the_seed_is_understood_as_it_stands() {
        let config = parse(SEED).unwrap();
        assert_eq!(config.input, Path::new("/data/pipeline_test/Simulation_online/input"));
        let [pipeline] = config.pipelines.as_slice() else { panic!("one section") };
        assert_eq!(pipeline.name, "pipeline-test");
        let identifiers = [("EXPTYPE".into(), "object".into()), ("OBSERVER".into(), "svom".into())];
        assert_eq!(pipeline.identifiers, identifiers);
    }

    #[test]
    fn all_missing_paths_are_reported_with_their_lines() {
        let errors: Vec<String> =
            parse(SEED).unwrap().check_paths().iter().map(ToString::to_string).collect();
        assert_eq!(
            errors,
            [
                "gp1.cfg, line 3: input '/data/pipeline_test/Simulation_online/input' does not exist",
                "gp1.cfg, line 13: configuration_path_dir '/data/pipeline_test/GP1-V7/config/pipeline-test' does not exist",
            ]
        );
    }

    #[test]
    fn a_path_map_moves_every_path() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(directory.path().join("Simulation_online/input")).unwrap();
        std::fs::create_dir_all(directory.path().join("GP1-V7/config/pipeline-test")).unwrap();
        let mut config = parse(SEED).unwrap();
        let rule = format!("/data/pipeline_test={}", directory.path().display());
        config.map_paths(&PathMap { rules: vec![rule.parse().unwrap()] });
        assert_eq!(config.check_paths(), []);
        assert!(config.pipelines[0].workspace_dir.starts_with(directory.path()));
    }

    #[test]
    fn frames_go_to_the_first_section_that_matches() {
        let config = Gp1Config::embedded().unwrap();
        let names: Vec<&str> = config.pipelines.iter().map(|each| each.name.as_str()).collect();
        assert_eq!(names, ["svom", "colibri"]);
        assert_eq!(config.check_paths().len(), 1, "only the input directory is not there yet");
        assert!(config.pipeline_set(&config.pipelines[0]).unwrap().pipeline.steps.summary);
        let route = |kind: &'static str, observer: Option<&'static str>| {
            config.route(move |header| match header {
                "EXPTYPE" => Some(kind.to_owned()),
                "OBSERVER" => observer.map(str::to_owned),
                _ => None,
            })
        };
        assert_eq!(route("object", Some("SVOM ")), Some(0));
        assert_eq!(route("Object", Some("someone")), Some(1));
        assert_eq!(route("object", None), Some(1));
        assert_eq!(route("bias", Some("svom")), None);
    }

    #[test]
    fn the_shipped_file_on_disk_finds_its_pipelines_beside_it() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/gp1.cfg");
        let config = Gp1Config::read(&file).unwrap();
        for pipeline in &config.pipelines {
            assert!(config.pipeline_set(pipeline).unwrap().pipeline.steps.reduction);
        }
        let text = std::fs::read_to_string(&file).unwrap();
        let elsewhere = Gp1Config::parse(Path::new("/nowhere/gp1.cfg"), &text).unwrap();
        let error = elsewhere.pipeline_set(&elsewhere.pipelines[0]).unwrap_err();
        assert_eq!(error.exit_code(), 3);
    }

    #[test]
    fn a_section_without_identifiers_takes_everything() {
        let config = parse(
            "[General]\ninput=a\nlog_path=b\n[all]\nconfiguration_path_dir=c\nworkspace_dir=d\n",
        )
        .unwrap();
        assert_eq!(config.route(|_| None), Some(0));
    }

    #[test]
    fn mistakes_are_explained() {
        let message = |text: &str| parse(text).unwrap_err().to_string();
        assert!(message("[General]\ninput=a\n").contains("line 1: key 'log_path' is missing"));
        assert!(message("[General]\ninput=a\nlog_path=b\n").contains("at least one section"));
        assert!(message(&SEED.replace("= object,svom", "= object")).contains(
            "line 12: identifier_value = 'object' in [pipeline-test] is wrong: expected as many values"
        ));
        assert!(message(&SEED.replace("standard", "fast")).contains("expected standard"));
        assert!(
            message(&SEED.replace("workspace_dir", "workspacedir"))
                .contains("'workspace_dir' is missing")
        );
    }
}
