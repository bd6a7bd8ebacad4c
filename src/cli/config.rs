//! `gic config`.

use super::Failure;
use crate::config::{
    CameraConfig, ConfigError, ConfigErrorKind, ConfigPaths, ControllerConfig, Gp1Config, PathMap,
    PathRule, PipelineConfig, PipelineSet, SimulationConfig,
    modules::{
        AlignmentConfig, AstrometryConfig, FindstarsConfig, ModuleConfig, PhotometryConfig,
        ReductionConfig, StackingConfig, SubtractionConfig, SummaryConfig,
    },
};
use anyhow::anyhow;
use clap::{Args, Subcommand};
use std::path::{Path, PathBuf};

#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Check configuration files: every key, every type, every path
    Check(CheckArguments),
}

#[derive(Debug, Args)]
#[command(
    after_help = "The kind of a file is known by its name: gic.toml, simulation.toml, gp1.cfg, \
    pipeline.cfg, reduction.cfg, … A directory is checked as a pipeline's, one named cameras \
    as files of cameras.\n\n\
    Example:\n  gic config check config/gp1.cfg --path-map /data=/srv/data"
)]
pub struct CheckArguments {
    /// Files, or directories of a pipeline (none: the built-in ones)
    files: Vec<PathBuf>,
    /// Rewrite paths that begin with OLD (may be given several times)
    #[arg(long, value_name = "OLD=NEW")]
    path_map: Vec<PathRule>,
    /// What kind of file it is, where the name does not say
    #[arg(long, value_name = "KIND", value_parser = KINDS)]
    kind: Option<String>,
    /// Findings as JSON
    #[arg(long)]
    json: bool,
}

const KINDS: [&str; 13] = [
    "gic",
    "camera",
    "simulation",
    "gp1",
    "pipeline",
    "reduction",
    "findstars",
    "astrometry",
    "alignment",
    "stacking",
    "subtraction",
    "photometry",
    "summary",
];

/// The exit code a configuration error deserves.
pub fn failure(error: ConfigError) -> Failure {
    match error.kind() {
        ConfigErrorKind::Usage => Failure::Usage(error.into()),
        ConfigErrorKind::MissingInput => Failure::InputMissing(error.into()),
    }
}

pub fn run(command: ConfigCommand) -> Result<(), Failure> {
    let ConfigCommand::Check(arguments) = command;
    let paths = PathMap { rules: arguments.path_map };
    let mut findings: Vec<ConfigError> = Vec::new();
    if arguments.files.is_empty() {
        findings.extend(ControllerConfig::embedded().err());
        findings.extend(SimulationConfig::embedded().err());
        findings.extend(CameraConfig::embedded_all().err());
        findings.extend(check_embedded_pipelines().err());
    }
    for file in &arguments.files {
        findings.extend(check(file, arguments.kind.as_deref(), &paths)?);
    }
    report(&findings, arguments.json)?;
    let has_usage = findings.iter().any(|finding| finding.kind() == ConfigErrorKind::Usage);
    match findings.len() {
        0 => Ok(()),
        count if has_usage => Err(Failure::Usage(anyhow!("{count} complaints"))),
        count => Err(Failure::InputMissing(anyhow!("{count} paths are not there"))),
    }
}

fn check_embedded_pipelines() -> Result<(), ConfigError> {
    let gp1 = Gp1Config::embedded()?;
    for section in &gp1.pipelines {
        gp1.pipeline_set(section)?;
    }
    Ok(())
}

fn report(findings: &[ConfigError], json: bool) -> Result<(), Failure> {
    if json {
        let rows: Vec<_> = findings
            .iter()
            .map(|finding| {
                serde_json::json!({
                    "file": finding.file,
                    "line": finding.line,
                    "problem": finding.problem.to_string(),
                })
            })
            .collect();
        println!("{}", serde_json::to_string_pretty(&rows)?);
    } else if findings.is_empty() {
        println!("no complaints");
    } else {
        for finding in findings {
            println!("{finding}");
        }
    }
    Ok(())
}

/// Complaints about one file or directory.
fn check(file: &Path, kind: Option<&str>, paths: &PathMap) -> Result<Vec<ConfigError>, Failure> {
    if !file.exists() {
        return Err(Failure::InputMissing(anyhow!("{}: not there", file.display())));
    }
    if file.is_dir() && (kind == Some("camera") || file.ends_with("cameras")) {
        return Ok(check_cameras(file));
    }
    if file.is_dir() {
        return Ok(match PipelineSet::read(file) {
            Ok(mut set) => {
                set.map_paths(paths);
                set.check_paths()
            }
            Err(error) => vec![error],
        });
    }
    let stem = file.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let is_camera = file.parent().is_some_and(|parent| parent.ends_with("cameras"));
    let of_place = is_camera.then(|| "camera".to_owned());
    let kind = kind.map(str::to_owned).or(of_place).or(stem).unwrap_or_default();
    let findings = match kind.as_str() {
        "gic" => ControllerConfig::read(file).map(|mut config| {
            config.map_paths(paths);
            let mut findings = config.check_paths(file);
            if let Some(directory) = config.cameras.directory.filter(|each| each.is_dir()) {
                findings.extend(check_cameras(&directory));
            }
            findings
        }),
        "camera" => CameraConfig::read(file).map(|_| Vec::new()),
        "simulation" => SimulationConfig::read(file).map(|_| Vec::new()),
        "gp1" => Gp1Config::read(file).map(|mut config| {
            config.map_paths(paths);
            config.check_paths()
        }),
        "pipeline" => PipelineConfig::read(file).map(|mut config| {
            config.map_paths(paths);
            config.check_paths()
        }),
        "reduction" => ReductionConfig::read(file).map(|mut config| {
            config.map_paths(paths);
            config.check_paths()
        }),
        "findstars" => module::<FindstarsConfig>(file),
        "astrometry" => module::<AstrometryConfig>(file),
        "alignment" => module::<AlignmentConfig>(file),
        "stacking" => module::<StackingConfig>(file),
        "subtraction" => module::<SubtractionConfig>(file),
        "photometry" => module::<PhotometryConfig>(file),
        "summary" => module::<SummaryConfig>(file),
        other => {
            return Err(Failure::Usage(anyhow!(
                "{}: '{other}' names no kind of configuration; give --kind, one of {}",
                file.display(),
                KINDS.join(", ")
            )));
        }
    };
    Ok(findings.unwrap_or_else(|error| vec![error]))
}

/// Complaints about every camera file of a directory.
fn check_cameras(directory: &Path) -> Vec<ConfigError> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    files.sort();
    files.iter().filter_map(|file| CameraConfig::read(file).err()).collect()
}

fn module<T: ModuleConfig>(file: &Path) -> Result<Vec<ConfigError>, ConfigError> {
    T::read(file).map(|_| Vec::new())
}
