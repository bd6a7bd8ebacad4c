//! `gic catalog build --map mpcorb`, `gic catalog info` of what it made, and `gic catalog minor-planets`.

use super::{
    Failure,
    catalog::{
        BuildArguments, BuildBar, InfoArguments, build_failure, lines_of_store, store_failure,
        tell_header, tell_rejected,
    },
};
use crate::{
    catalogs::minor_planets::{
        MinorPlanetCatalogue,
        build::{OrbitsRequest, build_orbits},
        store::OrbitsHeader,
    },
    clock::Clock,
    config::controller::SiteSettings,
    model::{MinorPlanet, MinorPlanetAnswer, Observatory, SkyPosition, UtcTime},
};
use anyhow::anyhow;
use clap::Args;
use serde_json::{Value, json};
use std::path::PathBuf;

/// The name under which `gic catalog build` knows the format.
pub const MAP: &str = "mpcorb";
const NAME: &str = "MPCORB";
const CITATION: &str = "Minor Planet Center, International Astronomical Union";

#[derive(Debug, Args)]
#[command(
    after_help = "Exit code 0 whether or not there is anything; the answer says FOUND, EMPTY, UNAVAILABLE or STALE.\nPlaces are astrometric \
    (ICRS) and topocentric, with the pull of the planets since the epoch of the elements.\n\n\
    Example:\n  gic catalog minor-planets catalogues/orbits --ra 110.3 --dec 24.0 --radius-arcmin 20 --time 2026-11-21T08:00:00"
)]
pub struct MinorPlanetsArguments {
    /// The catalogue that gic catalog build --map mpcorb made
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
    /// Instant (UTC), ISO 8601
    #[arg(long, value_name = "DATE")]
    time: UtcTime,
    /// Observatory: latitude and longitude (degrees, north and east positive), altitude (metres); default: COLIBRI
    #[arg(long, value_name = "LAT,LON,ALT", value_parser = site, allow_hyphen_values = true, conflicts_with = "geocentric")]
    site: Option<Observatory>,
    /// As seen from the middle of the Earth
    #[arg(long)]
    geocentric: bool,
    /// Orbits of a date further than this from the instant are called stale, days
    #[arg(long, value_name = "DAYS", default_value_t = 60.0)]
    maximum_age_days: f64,
    /// None fainter than this, V
    #[arg(long, value_name = "MAGNITUDE")]
    faintest: Option<f64>,
    /// The answer as JSON
    #[arg(long)]
    json: bool,
}

fn site(text: &str) -> Result<Observatory, String> {
    let numbers: Option<Vec<f64>> = text.split(',').map(|part| part.trim().parse().ok()).collect();
    match numbers.as_deref() {
        Some(&[latitude_degrees, longitude_degrees, altitude_metres])
            if (-90.0..=90.0).contains(&latitude_degrees)
                && (-180.0..=360.0).contains(&longitude_degrees)
                && (-500.0..=9000.0).contains(&altitude_metres) =>
        {
            Ok(Observatory { latitude_degrees, longitude_degrees, altitude_metres })
        }
        _ => Err("expected LAT,LON,ALT in degrees and metres".to_owned()),
    }
}

pub fn build(arguments: &BuildArguments) -> Result<(), Failure> {
    if arguments.all_sky || !arguments.covers.is_empty() {
        return Err(Failure::Usage(anyhow!("orbits cover no part of the sky: leave --covers out")));
    }
    let request = OrbitsRequest {
        inputs: arguments.from.clone(),
        output: arguments.out.clone(),
        name: arguments.name.clone().unwrap_or_else(|| NAME.to_owned()),
        url: arguments.url.clone(),
        citation: arguments.citation.clone().or_else(|| Some(CITATION.to_owned())),
        dated: arguments.dated,
        built_at: Clock::real().now(),
        replace: arguments.replace,
    };
    let bar = BuildBar::new();
    let outcome = build_orbits(&request, &mut |progress| bar.show(progress));
    bar.finish();
    let report = outcome.map_err(build_failure)?;
    tell_rejected(&report.rejected);
    let catalogue =
        MinorPlanetCatalogue::open(&arguments.out, None, None).map_err(store_failure)?;
    match arguments.json {
        true => println!("{}", serde_json::to_string_pretty(catalogue.header())?),
        false => print!("{}", header_text(catalogue.header())),
    }
    Ok(())
}

pub fn info(arguments: &InfoArguments) -> Result<(), Failure> {
    let catalogue =
        MinorPlanetCatalogue::open(&arguments.directory, None, None).map_err(store_failure)?;
    if arguments.verify {
        catalogue.verify().map_err(store_failure)?;
    }
    tell_header(catalogue.header(), &header_text(catalogue.header()), arguments)
}

fn header_text(header: &OrbitsHeader) -> String {
    let absent = || "not stated".to_owned();
    let (earliest, latest) = header.epoch_range_mjd;
    let day = |mjd: f64| UtcTime::from_mjd(mjd).iso_seconds().chars().take(10).collect::<String>();
    let lines = vec![
        ("name", header.name.clone()),
        ("orbits", header.orbit_count.to_string()),
        ("epochs", format!("{} to {}", day(earliest), day(latest))),
        ("citation", header.origin.citation.clone().unwrap_or_else(absent)),
        ("url", header.origin.url.clone().unwrap_or_else(absent)),
        ("built", header.built_at.clone()),
        ("dated", header.dated.clone()),
        ("sha256", header.orbits_sha256.clone()),
    ];
    lines_of_store(lines, &header.origin, &header.rejected_rows)
}

pub fn search(arguments: &MinorPlanetsArguments) -> Result<(), Failure> {
    let (ra, dec, radius) = (arguments.ra, arguments.dec, arguments.radius_arcmin / 60.0);
    let is_cone = (-180.0..=360.0).contains(&ra)
        && (-90.0..=90.0).contains(&dec)
        && (0.0..=180.0).contains(&radius);
    if !is_cone {
        let what =
            "no cone: right ascension -180 to 360, declination -90 to 90, radius 0 to 10800'";
        return Err(Failure::Usage(anyhow!(what)));
    }
    if !arguments.directory.exists() {
        return Err(Failure::InputMissing(anyhow!("{}: not there", arguments.directory.display())));
    }
    let observatory = match (arguments.geocentric, arguments.site) {
        (true, _) => None,
        (false, Some(site)) => Some(site),
        (false, None) => Some(SiteSettings::default().observatory()),
    };
    let catalogue = MinorPlanetCatalogue::open(
        &arguments.directory,
        observatory,
        Some(arguments.maximum_age_days),
    )
    .map_err(store_failure)?;
    let answer = catalogue.within(SkyPosition::new(ra, dec), radius, &[arguments.time]);
    let (status, age_days, reason) = match &answer {
        MinorPlanetAnswer::Found { .. } => ("FOUND", None, None),
        MinorPlanetAnswer::Empty => ("EMPTY", None, None),
        MinorPlanetAnswer::Unavailable { reason } => ("UNAVAILABLE", None, Some(reason)),
        MinorPlanetAnswer::Stale { age_days, .. } => ("STALE", Some(age_days), None),
    };
    let is_bright = |each: &&MinorPlanet| {
        arguments.faintest.is_none_or(|limit| each.magnitude.is_some_and(|value| value <= limit))
    };
    let objects: Vec<&MinorPlanet> = answer.objects().iter().filter(is_bright).collect();
    if arguments.json {
        let answer = json!({
            "status": status,
            "age_days": age_days,
            "reason": reason,
            "catalogue": catalogue.header().name,
            "dated": catalogue.header().dated,
            "time": arguments.time,
            "objects": objects.iter().map(|each| object_json(each)).collect::<Vec<_>>(),
        });
        println!("{}", serde_json::to_string_pretty(&answer)?);
        return Ok(());
    }
    println!("{status}: {} minor planets", objects.len());
    if let Some(reason) = reason {
        eprintln!("gic: {reason}");
    }
    if let Some(age_days) = age_days {
        eprintln!("gic: the orbits are {age_days:.0} days from the date");
    }
    if !objects.is_empty() {
        println!(
            "{:<28} {:>11} {:>11} {:>8} {:>6} {:>9} {:>9} {:>7} {:>7}",
            "name", "ra", "dec", "+- \"", "V", "\"/h east", "\"/h north", "au", "au Sun"
        );
    }
    for object in objects {
        println!("{}", object_line(object));
    }
    Ok(())
}

fn object_line(object: &MinorPlanet) -> String {
    let place = object.places.first().copied().unwrap_or(SkyPosition::new(0.0, 0.0));
    let (east, north) = object.motion_arcsec_per_hour;
    let magnitude = object.magnitude.map_or_else(|| "-".to_owned(), |value| format!("{value:.2}"));
    format!(
        "{:<28} {:>11.6} {:>+11.6} {:>8.2} {magnitude:>6} {east:>9.2} {north:>9.2} {:>7.3} {:>7.3}",
        object.name,
        place.ra_degrees,
        place.dec_degrees,
        object.position_error_arcsec,
        object.earth_distance_au,
        object.sun_distance_au
    )
}

fn object_json(object: &MinorPlanet) -> Value {
    let place = object.places.first();
    json!({
        "name": object.name,
        "ra_degrees": place.map(|place| place.ra_degrees),
        "dec_degrees": place.map(|place| place.dec_degrees),
        "position_error_arcsec": object.position_error_arcsec,
        "magnitude": object.magnitude,
        "motion_east_arcsec_per_hour": object.motion_arcsec_per_hour.0,
        "motion_north_arcsec_per_hour": object.motion_arcsec_per_hour.1,
        "earth_distance_au": object.earth_distance_au,
        "sun_distance_au": object.sun_distance_au,
        "phase_angle_degrees": object.phase_angle_degrees,
        "epoch_age_days": object.epoch_age_days,
        "orbit_is_unsure": object.orbit_is_unsure,
    })
}
