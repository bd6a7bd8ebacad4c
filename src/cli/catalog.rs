//! `gic catalog`: catalogues offline.

use super::{Failure, minor_planets};
use crate::{
    catalogs::{
        InputError,
        build::{
            BuildError, BuildPhase, BuildProgress, BuildReport, BuildRequest, CHUNK_OBJECTS,
            Rejected, StatedCoverage, build,
        },
        julian_year_of_mjd,
        minor_planets::store::holds_orbits,
        store::{CatalogueStore, PlacedObject, StoreError},
        store_header::{Origin, StoreHeader},
    },
    clock::Clock,
    config::CatalogueMap,
    model::{ObjectKind, SkyPosition, UtcTime},
};
use anyhow::anyhow;
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    io::{self, BufWriter, IsTerminal, Write},
    path::{Path, PathBuf},
};

#[derive(Debug, Subcommand)]
pub enum CatalogCommand {
    /// Build a catalogue from published tables
    Build(BuildArguments),
    /// What a catalogue is, where it comes from, what it covers
    Info(InfoArguments),
    /// The objects about a position
    Cone(ConeArguments),
    /// The minor planets about a position at an instant
    MinorPlanets(minor_planets::MinorPlanetsArguments),
}

#[derive(Debug, Args)]
#[command(
    after_help = "Files: FITS binary tables (also FITS-LDAC), CSV and other delimited text, VOTable (TABLEDATA, BINARY,\n\
    BINARY2); all also as .gz. Builds with the feature hats: HATS catalogues (their directory) and Parquet.\n\
    Orbits of minor planets: MPCORB.DAT, with --map mpcorb.\n\
    Maps that the program carries: 2mass, apass, field, gaia_dr2, gaia_dr3, ps1, tycho2, usno_b1; another is a file (see \
    config/catalogues).\nRows that cannot be used are left out, counted and told with their reason.\n\n\
    Example:\n  gic catalog build --from gaia/*.csv.gz --map gaia_dr3 --out catalogues/gaia"
)]
pub struct BuildArguments {
    /// Files of the published catalogue
    #[arg(long, required = true, num_args = 1.., value_name = "FILE")]
    pub(super) from: Vec<PathBuf>,
    /// Directory to make
    #[arg(long, value_name = "DIR")]
    pub(super) out: PathBuf,
    /// Which columns hold what: a name or a TOML file
    #[arg(long, value_name = "NAME|FILE")]
    map: String,
    /// Name in headers (default: the map's)
    #[arg(long)]
    pub(super) name: Option<String>,
    /// Where the files were taken from
    #[arg(long)]
    pub(super) url: Option<String>,
    /// How the catalogue is cited (default: the map's)
    #[arg(long)]
    pub(super) citation: Option<String>,
    /// Date of the data, ISO 8601, from which its age counts (default: now)
    #[arg(long, value_name = "DATE")]
    pub(super) dated: Option<UtcTime>,
    /// The catalogue covers the whole sky (default: where its objects are)
    #[arg(long, conflicts_with = "covers")]
    pub(super) all_sky: bool,
    /// It covers these cones, degrees
    #[arg(long, value_name = "RA,DEC,RADIUS", value_parser = cone, num_args = 1.., allow_hyphen_values = true)]
    pub(super) covers: Vec<(SkyPosition, f64)>,
    /// Replace a catalogue that is there
    #[arg(long)]
    pub(super) replace: bool,
    /// The report as JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  gic catalog info catalogues/gaia --verify")]
pub struct InfoArguments {
    /// The catalogue
    pub(super) directory: PathBuf,
    /// Read all of it and compare the checksums; exit code 5 if they differ
    #[arg(long)]
    pub(super) verify: bool,
    /// The whole header as JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Exit code 0 whether or not there is anything; the answer says FOUND, EMPTY or UNAVAILABLE (not covered).\n\n\
    Example:\n  gic catalog cone catalogues/gaia --ra 110.3 --dec 24.0 --radius-arcmin 5 --epoch 2026.9"
)]
pub struct ConeArguments {
    /// The catalogue
    directory: PathBuf,
    /// Right ascension of the centre (ICRS), degrees
    #[arg(long, allow_hyphen_values = true)]
    ra: f64,
    /// Declination of the centre (ICRS), degrees
    #[arg(long, allow_hyphen_values = true)]
    dec: f64,
    /// Radius, arcminutes
    #[arg(long)]
    radius_arcmin: f64,
    /// Julian year, or ISO 8601 date, to which stars are moved (default: each at its own epoch)
    #[arg(long, value_name = "YEAR|DATE", value_parser = epoch)]
    epoch: Option<f64>,
    /// The answer as JSON
    #[arg(long)]
    json: bool,
}

pub fn run(command: CatalogCommand) -> Result<(), Failure> {
    match command {
        CatalogCommand::Build(arguments) => build_catalogue(&arguments),
        CatalogCommand::Info(arguments) => info(&arguments),
        CatalogCommand::Cone(arguments) => cone_search(&arguments),
        CatalogCommand::MinorPlanets(arguments) => minor_planets::search(&arguments),
    }
}

fn cone(text: &str) -> Result<(SkyPosition, f64), String> {
    let numbers: Option<Vec<f64>> = text.split(',').map(|part| part.trim().parse().ok()).collect();
    match numbers.as_deref() {
        Some(&[ra, dec, radius])
            if (-180.0..=360.0).contains(&ra)
                && (-90.0..=90.0).contains(&dec)
                && (0.0..=180.0).contains(&radius) =>
        {
            Ok((SkyPosition::new(ra, dec), radius))
        }
        _ => Err("expected RA,DEC,RADIUS in degrees".to_owned()),
    }
}

fn epoch(text: &str) -> Result<f64, String> {
    let year = match text.parse::<f64>() {
        Ok(year) => year,
        Err(_) => {
            julian_year_of_mjd(UtcTime::parse(text).map_err(|error| error.to_string())?.mjd())
        }
    };
    match (1000.0..=3000.0).contains(&year) {
        true => Ok(year),
        false => Err("expected a year between 1000 and 3000, or a date".to_owned()),
    }
}

fn build_catalogue(arguments: &BuildArguments) -> Result<(), Failure> {
    for file in &arguments.from {
        if !file.exists() {
            return Err(Failure::InputMissing(anyhow!(
                "{}: no such file or directory",
                file.display()
            )));
        }
    }
    if arguments.map == minor_planets::MAP {
        return minor_planets::build(arguments);
    }
    let map = CatalogueMap::named(&arguments.map).map_err(|error| {
        if Path::new(&arguments.map).exists() {
            return Failure::Usage(error.into());
        }
        let carried: Vec<&str> = CatalogueMap::carried().collect();
        Failure::Usage(anyhow!(
            "no column map '{}': it is no file, and the program carries {}",
            arguments.map,
            carried.join(", ")
        ))
    })?;
    let coverage = match (arguments.all_sky, arguments.covers.as_slice()) {
        (true, _) => StatedCoverage::AllSky,
        (false, []) => StatedCoverage::Objects,
        (false, cones) => StatedCoverage::Cones(cones.to_vec()),
    };
    let request = BuildRequest {
        inputs: arguments.from.clone(),
        output: arguments.out.clone(),
        map,
        name: arguments.name.clone(),
        url: arguments.url.clone(),
        citation: arguments.citation.clone(),
        dated: arguments.dated,
        built_at: Clock::real().now(),
        coverage,
        replace: arguments.replace,
        chunk_objects: CHUNK_OBJECTS,
    };
    let bar = BuildBar::new();
    let outcome = build(&request, &mut |progress| bar.show(progress));
    bar.finish();
    let report = outcome.map_err(build_failure)?;
    tell_rejected(&report.rejected);
    let store = CatalogueStore::open(&arguments.out).map_err(store_failure)?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&report_json(&report, store.header()))?);
    } else {
        print!("{}", header_text(store.header()));
    }
    Ok(())
}

pub(super) fn build_failure(error: BuildError) -> Failure {
    match error {
        BuildError::Input(InputError::WithoutHats { .. }) => Failure::Usage(error.into()),
        BuildError::Input(_) | BuildError::NoObjects { .. } => Failure::Invalid(error.into()),
        BuildError::Exists { .. } | BuildError::Foreign { .. } => Failure::Usage(error.into()),
        _ => Failure::Failed(error.into()),
    }
}

pub(super) fn store_failure(error: StoreError) -> Failure {
    match error {
        StoreError::Damaged { .. } => Failure::Invalid(error.into()),
        StoreError::Cone(_) => Failure::Usage(error.into()),
        StoreError::Io { .. } => Failure::Failed(error.into()),
    }
}

fn report_json(report: &BuildReport, header: &StoreHeader) -> Value {
    let rejected: serde_json::Map<String, Value> = report
        .rejected
        .iter()
        .map(|(why, each)| (why.clone(), json!({"count": each.count, "examples": each.examples})))
        .collect();
    json!({
        "rows": report.rows,
        "objects": report.objects,
        "cells": report.cells,
        "rejected": rejected,
        "name": header.name,
        "area_square_degrees": header.coverage.area_square_degrees(),
    })
}

/// A bar on a terminal; silence elsewhere.
pub(super) struct BuildBar {
    bar: ProgressBar,
}

impl BuildBar {
    pub fn new() -> Self {
        let target = match io::stderr().is_terminal() {
            true => ProgressDrawTarget::stderr(),
            false => ProgressDrawTarget::hidden(),
        };
        let bar = ProgressBar::with_draw_target(Some(0), target);
        let style = ProgressStyle::with_template("{elapsed_precise} [{bar:30}] {percent} %  {msg}")
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .progress_chars("=> ");
        bar.set_style(style);
        Self { bar }
    }

    pub fn show(&self, progress: BuildProgress) {
        self.bar.set_length(progress.total);
        self.bar.set_position(progress.done);
        let phase = match progress.phase {
            BuildPhase::Checksums => "checksums",
            BuildPhase::Reading => "reading",
            BuildPhase::Writing => "writing",
        };
        self.bar.set_message(format!(
            "{phase}  {} rows, {} left out",
            progress.rows, progress.rejected
        ));
    }

    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

fn open(directory: &Path) -> Result<CatalogueStore, Failure> {
    if !directory.exists() {
        return Err(Failure::InputMissing(anyhow!("{}: not there", directory.display())));
    }
    CatalogueStore::open(directory).map_err(store_failure)
}

fn info(arguments: &InfoArguments) -> Result<(), Failure> {
    if holds_orbits(&arguments.directory) {
        return minor_planets::info(arguments);
    }
    let store = open(&arguments.directory)?;
    if arguments.verify {
        store.verify().map_err(store_failure)?;
    }
    tell_header(store.header(), &header_text(store.header()), arguments)
}

/// Says what a store holds, to a machine or to a person.
pub(super) fn tell_header(
    header: &impl Serialize,
    text: &str,
    arguments: &InfoArguments,
) -> Result<(), Failure> {
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(header)?);
    } else {
        print!("{text}");
        if arguments.verify {
            println!("checksums     right");
        }
    }
    Ok(())
}

/// Says which rows of the sources a build left out.
pub(super) fn tell_rejected(rejected: &BTreeMap<String, Rejected>) {
    for (reason, rejected) in rejected {
        let (count, examples) = (rejected.count, rejected.examples.join(", "));
        eprintln!("gic: {count} rows left out: {reason} ({examples})");
    }
}

/// Lines of what a store holds: first its own, then the files it was made of and the rows that were left out.
pub(super) fn lines_of_store(
    mut lines: Vec<(&str, String)>,
    origin: &Origin,
    rejected_rows: &BTreeMap<String, u64>,
) -> String {
    for file in &origin.files {
        let text = format!(
            "{}, {} rows, {} bytes, sha256 {}",
            file.name, file.rows, file.bytes, file.sha256
        );
        lines.push(("from", text));
    }
    for (reason, count) in rejected_rows {
        lines.push(("left out", format!("{count} rows: {reason}")));
    }
    lines.into_iter().map(|(what, text)| format!("{what:<13} {text}\n")).collect()
}

fn header_text(header: &StoreHeader) -> String {
    let absent = || "not stated".to_owned();
    let magnitude =
        |value: Option<f64>| value.map_or_else(|| "none".to_owned(), |value| format!("{value:.2}"));
    let band = header.bands.first().map_or("", String::as_str);
    let coverage = &header.coverage;
    let lines = vec![
        ("name", header.name.clone()),
        (
            "objects",
            format!(
                "{} ({} stars, {} galaxies) in {} cells of order {}",
                header.object_count,
                header.star_count,
                header.galaxy_count,
                header.cell_count,
                header.cell_order
            ),
        ),
        ("bands", header.bands.join(", ")),
        (
            "faintest",
            format!(
                "{band} {}; 98 % are brighter than {}",
                magnitude(header.faintest_magnitude),
                magnitude(header.faint_limit)
            ),
        ),
        (
            "epoch",
            format!(
                "{:.2} ({:.2} to {:.2}), proper motion up to {:.3} arcsec a year",
                header.epoch_year,
                header.epoch_range.0,
                header.epoch_range.1,
                header.greatest_proper_motion_mas / 1000.0
            ),
        ),
        (
            "coverage",
            format!(
                "{:.3} square degrees, {} ranges of cells of order {} ({:?})",
                coverage.area_square_degrees(),
                coverage.ranges.len(),
                coverage.order,
                coverage.rule
            ),
        ),
        ("citation", header.origin.citation.clone().unwrap_or_else(absent)),
        ("url", header.origin.url.clone().unwrap_or_else(absent)),
        ("column map", header.origin.column_map.clone()),
        ("built", header.built_at.clone()),
        ("dated", header.dated.clone()),
        ("sha256", header.objects_sha256.clone()),
    ];
    lines_of_store(lines, &header.origin, &header.rejected_rows)
}

fn cone_search(arguments: &ConeArguments) -> Result<(), Failure> {
    let (ra, dec, radius) = (arguments.ra, arguments.dec, arguments.radius_arcmin / 60.0);
    let is_cone = (-180.0..=360.0).contains(&ra)
        && (-90.0..=90.0).contains(&dec)
        && (0.0..=180.0).contains(&radius);
    if !is_cone {
        let what =
            "no cone: right ascension -180 to 360, declination -90 to 90, radius 0 to 10800'";
        return Err(Failure::Usage(anyhow!(what)));
    }
    let store = open(&arguments.directory)?;
    let centre = SkyPosition::new(ra, dec);
    let objects = store.objects_within(centre, radius, arguments.epoch).map_err(store_failure)?;
    let share = store.covered_share(centre, radius);
    let status = match (objects.is_empty(), share >= 1.0) {
        (false, _) => "FOUND",
        (true, true) => "EMPTY",
        (true, false) => "UNAVAILABLE",
    };
    if share < 1.0 {
        let percent = 100.0 * share;
        eprintln!("gic: the catalogue is known to cover {percent:.0} % of this cone");
    }
    let mut out = BufWriter::new(io::stdout().lock());
    if arguments.json {
        let answer = json!({
            "status": status,
            "covered_share": share,
            "catalogue": store.header().name,
            "bands": store.header().bands,
            "epoch_year": arguments.epoch,
            "objects": objects.iter().map(|each| object_json(each, store.header())).collect::<Vec<_>>(),
        });
        serde_json::to_writer_pretty(&mut out, &answer)?;
        writeln!(out)?;
    } else {
        writeln!(out, "{status}: {} objects", objects.len())?;
        if !objects.is_empty() {
            write!(out, "{:<24} {:<7} {:>11} {:>11}", "id", "kind", "ra", "dec")?;
            for band in &store.header().bands {
                write!(out, " {band:>7} {:>6}", "+-")?;
            }
            writeln!(out)?;
        }
        for object in &objects {
            writeln!(out, "{}", object_line(object))?;
        }
    }
    out.flush()?;
    Ok(())
}

fn kind_word(kind: ObjectKind) -> &'static str {
    match kind {
        ObjectKind::Star => "star",
        ObjectKind::Galaxy => "galaxy",
        ObjectKind::Unknown => "unknown",
    }
}

fn object_line(placed: &PlacedObject) -> String {
    let SkyPosition { ra_degrees, dec_degrees } = placed.position;
    let object = &placed.object;
    let kind = kind_word(object.kind);
    let mut line = format!("{:<24} {kind:<7} {ra_degrees:>11.6} {dec_degrees:>+11.6}", object.id);
    for magnitude in &object.magnitudes {
        let text = |value: Option<f32>| value.map_or_else(|| "-".to_owned(), |v| format!("{v:.3}"));
        let value = text(magnitude.map(|magnitude| magnitude.value));
        let error = text(magnitude.and_then(|magnitude| magnitude.error));
        line.push_str(&format!(" {value:>7} {error:>6}"));
    }
    line
}

fn object_json(placed: &PlacedObject, header: &StoreHeader) -> Value {
    let object = &placed.object;
    let magnitudes: serde_json::Map<String, Value> = header
        .bands
        .iter()
        .zip(&object.magnitudes)
        .filter_map(|(band, magnitude)| {
            let magnitude = (*magnitude)?;
            Some((band.clone(), json!({"value": magnitude.value, "error": magnitude.error})))
        })
        .collect();
    json!({
        "id": object.id,
        "kind": kind_word(object.kind),
        "ra": placed.position.ra_degrees,
        "dec": placed.position.dec_degrees,
        "pm_ra_cos_dec_mas": object.proper_motion.map(|motion| motion.east_mas),
        "pm_dec_mas": object.proper_motion.map(|motion| motion.north_mas),
        "epoch_year": object.epoch_year,
        "magnitudes": magnitudes,
    })
}
