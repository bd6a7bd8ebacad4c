//! `gic screen`: what the controller would do with files from outside.

use super::Failure;
use crate::{
    actors::image_provider::{IntakeRules, Unusable, acceptable},
    config::ControllerConfig,
    controller::assembly::keyword_map,
    fits::{FitsStore, KeywordMap, cfitsio::Cfitsio, screening},
    model::FrameKeywords,
    storage::local::plain_name,
};
use anyhow::{Context, anyhow};
use clap::Args;
use serde::Serialize;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

#[derive(Debug, Args)]
#[command(
    after_help = "Each file is accepted, refused with the reason that would be its directory in the quarantine, or left \
    alone because its name is none of an image. Exit code 5 if one is refused.\n\n\
    Example:\n  gic screen incoming/ --json"
)]
pub struct ScreenArguments {
    /// Files, or directories of them (with everything inside)
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Configuration of the controller, for names, keywords and sizes (default: built in)
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Judge headers and structure only, without decoding the pixels
    #[arg(long)]
    no_pixels: bool,
    /// The table as JSON
    #[arg(long)]
    json: bool,
}

/// A line of the table.
#[derive(Debug, Serialize)]
struct Row {
    file: String,
    /// `accepted`, `refused` or `left alone`.
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    detail: String,
}

pub fn run(arguments: ScreenArguments) -> Result<(), Failure> {
    let config = match &arguments.config {
        Some(file) => ControllerConfig::read(file).map_err(super::config::failure)?,
        None => ControllerConfig::embedded().map_err(super::config::failure)?,
    };
    let keywords = keyword_map(&config)?;
    let rules = IntakeRules::new(&config.images);
    let mut rows = Vec::new();
    for path in &arguments.paths {
        if !path.exists() {
            return Err(Failure::InputMissing(anyhow!("{} does not exist", path.display())));
        }
        for file in files_below(path)? {
            let shown = match file.strip_prefix(path) {
                Ok(inside) if !inside.as_os_str().is_empty() => inside.display().to_string(),
                _ => file.display().to_string(),
            };
            rows.push(judge(&file, shown, &rules, &keywords, !arguments.no_pixels));
        }
    }
    print(&rows, arguments.json)?;
    match rows.iter().filter(|row| row.outcome == "refused").count() {
        0 => Ok(()),
        count => Err(Failure::Invalid(anyhow!("{count} of {} files are refused", rows.len()))),
    }
}

/// Every file below a path, by name.
fn files_below(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    let mut open = vec![path.to_owned()];
    while let Some(directory) = open.pop() {
        let entries = fs::read_dir(&directory).with_context(|| directory.display().to_string())?;
        for entry in entries {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                open.push(entry.path())
            } else {
                files.push(entry.path())
            }
        }
    }
    files.sort();
    Ok(files)
}

fn judge(
    file: &Path,
    shown: String,
    rules: &IntakeRules,
    keywords: &KeywordMap,
    with_pixels: bool,
) -> Row {
    let file_name = plain_name(file);
    let Some(stem) = rules.stem(&file_name) else {
        let detail = "its name is none of an image".to_owned();
        return Row { file: shown, outcome: "left alone", reason: None, detail };
    };
    match verdict(file, stem, rules, keywords, with_pixels) {
        Ok(frame) => {
            let (columns, rows) = frame.size_pixels;
            let detail = format!(
                "{}, {} × {} pixels, {} {}, {} s",
                frame.kind, columns, rows, frame.instrument, frame.filter, frame.exposure_seconds
            );
            Row { file: shown, outcome: "accepted", reason: None, detail }
        }
        Err(Unusable { reason, detail }) => {
            Row { file: shown, outcome: "refused", reason: Some(reason), detail }
        }
    }
}

fn verdict(
    file: &Path,
    stem: &str,
    rules: &IntakeRules,
    keywords: &KeywordMap,
    with_pixels: bool,
) -> Result<FrameKeywords, Unusable> {
    let screened = screening::examine(file)?;
    let frame = acceptable(&screened, stem, rules, keywords)?;
    if with_pixels {
        Cfitsio
            .read_image(file)
            .map_err(|error| Unusable { reason: "pixels", detail: error.to_string() })?;
    }
    Ok(frame)
}

fn print(rows: &[Row], as_json: bool) -> anyhow::Result<()> {
    if as_json {
        println!("{}", serde_json::to_string_pretty(rows)?);
        return Ok(());
    }
    let width = rows.iter().map(|row| row.file.chars().count()).max().unwrap_or_default();
    let mut totals: BTreeMap<String, usize> = BTreeMap::new();
    for row in rows {
        let outcome = match row.reason {
            Some(reason) => format!("{}: {reason}", row.outcome),
            None => row.outcome.to_owned(),
        };
        println!("{:width$}  {outcome:21}  {}", row.file, row.detail);
        *totals.entry(outcome).or_default() += 1;
    }
    let totals: Vec<String> =
        totals.into_iter().map(|(outcome, count)| format!("{count} {outcome}")).collect();
    println!("{} files: {}", rows.len(), totals.join(", "));
    Ok(())
}
