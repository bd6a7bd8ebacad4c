//! A draft of a GCN Circular: plain ASCII in 72 columns. A person checks, completes and sends it; this program never does.

use super::light_curve_plot::strongest;
use super::verdict::{Verdict, verdict};
use super::votable::systems;
use super::words::sexagesimal;
use crate::alerts::naming::trigger_name;
use crate::model::{AnalysisResult, LightCurvePoint, ListedCandidate, UtcTime, VettingReason};
use std::fmt::Write;

/// Longest line.
pub const COLUMNS: usize = 72;
/// Rows of the table of magnitudes; how many are left out is said.
const MOST_ROWS: usize = 12;

/// The lines that only the observatory can give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CircularLines {
    /// `A. Author (Institute), B. Author (Institute)`.
    pub authors: String,
    /// Name and address of who answers questions.
    pub contact: String,
}

impl CircularLines {
    /// What is not configured is left for a person to fill in.
    pub fn new(authors: Option<&str>, contact: Option<&str>) -> Self {
        Self {
            authors: authors.unwrap_or("[authors: circular_authors of summary.cfg]").to_owned(),
            contact: contact.unwrap_or("[contact: circular_contact of summary.cfg]").to_owned(),
        }
    }
}

impl Default for CircularLines {
    fn default() -> Self {
        Self::new(None, None)
    }
}

/// ASCII, without control characters.
fn ascii(text: &str) -> String {
    text.chars()
        .map(|letter| match letter {
            '−' | '–' => '-',
            '″' => '"',
            '′' => '\'',
            letter if letter.is_ascii() && !letter.is_ascii_control() => letter,
            letter if letter.is_whitespace() => ' ',
            _ => '?',
        })
        .collect()
}

/// A text in lines of [`COLUMNS`]; a word that is longer is broken.
fn wrapped(text: &str, indent: &str) -> String {
    let mut lines = String::new();
    let mut line = String::new();
    let room = COLUMNS - indent.len();
    for word in ascii(text).split_whitespace() {
        let mut rest = word;
        loop {
            let needed = line.len() + usize::from(!line.is_empty()) + rest.len();
            if needed <= room {
                if !line.is_empty() {
                    line.push(' ');
                }
                line.push_str(rest);
                break;
            }
            if line.is_empty() {
                // ASCII: every byte is a character.
                let (head, tail) = rest.split_at(room);
                let _ = writeln!(lines, "{indent}{head}");
                rest = tail;
            } else {
                let _ = writeln!(lines, "{indent}{line}");
                line.clear();
            }
        }
    }
    if !line.is_empty() {
        let _ = writeln!(lines, "{indent}{line}");
    }
    lines
}

/// `T0+3.2 min`.
fn after(result: &AnalysisResult, instant: UtcTime) -> String {
    let seconds = instant.seconds_since(result.t0);
    let sign = if seconds < 0.0 { '-' } else { '+' };
    match seconds.abs() {
        seconds if seconds < 120.0 => format!("T0{sign}{seconds:.0} s"),
        seconds if seconds < 7200.0 => format!("T0{sign}{:.1} min", seconds / 60.0),
        seconds => format!("T0{sign}{:.2} h", seconds / 3600.0),
    }
}

/// The draft: of a detection where one candidate stands out, else of upper limits.
pub fn draft(result: &AnalysisResult, lines: &CircularLines) -> String {
    let burst = trigger_name("SVOM", result.t0);
    let telescope = match result.telescope.trim() {
        "" => "the telescope",
        name => name,
    };
    let found = match verdict(result) {
        Verdict::Stands(listed) => Some(listed),
        Verdict::Unclear(_) | Verdict::Nothing => None,
    };
    let what = match found {
        Some(_) => "optical counterpart candidate",
        None => "optical upper limits",
    };
    let mut text =
        String::from("DRAFT made by a program. Nobody has checked it. It has not been sent.\n\n");
    text.push_str(&wrapped(
        &format!("SUBJECT: {burst} ({}): {telescope} {what}", result.burst_id),
        "",
    ));
    text.push_str(&wrapped(&format!("FROM:    {}", lines.contact), ""));
    text.push('\n');
    text.push_str(&wrapped(&format!("{} report:", lines.authors), ""));
    text.push('\n');
    text.push_str(&wrapped(&observation(result, &burst, telescope), ""));
    text.push('\n');
    match found {
        Some(listed) => detection(&mut text, result, listed),
        None => upper_limits(&mut text, result),
    }
    text.push('\n');
    text.push_str(&wrapped(&photometric_note(result), ""));
    text.push('\n');
    text.push_str(&wrapped(&format!("Contact: {}", lines.contact), ""));
    text
}

fn observation(result: &AnalysisResult, burst: &str, telescope: &str) -> String {
    let used: Vec<_> =
        result.frames.iter().filter(|frame| frame.reason.is_none() || frame.stacked).collect();
    let t0 = result.t0.iso_milliseconds();
    let Some((first, last)) = used
        .iter()
        .map(|frame| frame.start)
        .min()
        .zip(used.iter().map(|frame| frame.start.plus_seconds(frame.exposure_seconds)).max())
    else {
        return format!(
            "No image of the field of {burst} ({}, T0 = {t0} UTC) with {telescope} could be used by {}.",
            result.burst_id, result.deadline
        );
    };
    let mut filters: Vec<&str> = used.iter().map(|frame| frame.filter.as_str()).collect();
    filters.sort_unstable();
    filters.dedup();
    let exposure: f64 = used.iter().map(|frame| frame.exposure_seconds).sum();
    format!(
        "We observed the field of {burst} ({}, T0 = {t0} UTC) with {telescope} ({}) in filter{} {} from {} to {}, {} image{} and {exposure:.0} s of exposure in all.",
        result.burst_id,
        result.instrument,
        if filters.len() == 1 { "" } else { "s" },
        filters.join(", "),
        after(result, first),
        after(result, last),
        used.len(),
        if used.len() == 1 { "" } else { "s" },
    )
}

fn detection(text: &mut String, result: &AnalysisResult, listed: &ListedCandidate) {
    let candidate = &listed.candidate;
    let (ra, dec) = sexagesimal(candidate.position);
    let place = match candidate.offset_arcsec {
        Some(offset) => format!(
            ", {offset:.1} arcsec from the centre of the search region{}",
            if candidate.in_search_region { " and inside it" } else { "" }
        ),
        None => String::new(),
    };
    let catalogue = catalogue_name(result);
    text.push_str(&wrapped(
        &match candidate.reasons.contains(&VettingReason::NotInCatalogue) {
            true => format!("We find a source that is not in {catalogue} at"),
            false => format!("We find a source that is brighter than in {catalogue} at"),
        },
        "",
    ));
    let _ = write!(
        text,
        "\n  RA  (J2000) = {ra} = {:.6} deg\n  Dec (J2000) = {dec} = {:.6} deg\n\n",
        candidate.position.ra_degrees, candidate.position.dec_degrees
    );
    let error = candidate.position_error_arcsec;
    text.push_str(&wrapped(
        &format!("with an uncertainty of {error:.2} arcsec (1 sigma){place}. Its magnitudes are:"),
        "",
    ));
    text.push('\n');
    magnitudes(text, result, &candidate.light_curve);
    if let Some(fit) = strongest(candidate) {
        text.push('\n');
        text.push_str(&wrapped(
            &format!(
                "Between T0+{:.0} s and T0+{:.0} s it fades in {} as t^-alpha with alpha = {:.2} +/- {:.2} ({} points, reduced chi2 {:.2}).",
                fit.first_seconds,
                fit.last_seconds,
                fit.filter,
                fit.index,
                fit.index_error,
                fit.point_count,
                fit.reduced_chi_square
            ),
            "",
        ));
    }
}

fn table_row(cells: [&str; 4]) -> String {
    let row =
        format!("  {:<26} {:>9}  {:<8} {}", ascii(cells[0]), cells[1], ascii(cells[2]), cells[3]);
    let cut: String = row.trim_end().chars().take(COLUMNS).collect();
    format!("{cut}\n")
}

fn magnitudes(text: &mut String, result: &AnalysisResult, points: &[LightCurvePoint]) {
    text.push_str(&table_row(["Time (middle)", "Exposure", "Filter", "Magnitude"]));
    for point in points.iter().take(MOST_ROWS) {
        let magnitude = if point.detected {
            format!("{:.2} +/- {:.2}", point.magnitude, point.magnitude_error)
        } else {
            format!("> {:.2}", point.limiting_magnitude)
        };
        let exposure = format!("{:.0} s", point.exposure_seconds);
        text.push_str(&table_row([
            &after(result, point.middle()),
            &exposure,
            &point.filter,
            &magnitude,
        ]));
    }
    if points.len() > MOST_ROWS {
        let _ = writeln!(text, "  ({} more in candidates.vot)", points.len() - MOST_ROWS);
    }
    text.push('\n');
    text.push_str(&wrapped("Limits are at 10 sigma.", ""));
}

fn upper_limits(text: &mut String, result: &AnalysisResult) {
    let region = match result.search_region.and_then(|region| region.radius_degrees) {
        Some(radius) => format!("in the search region of {:.2} arcmin radius", radius * 60.0),
        None => "in the field".to_owned(),
    };
    if result.limits.is_empty() {
        let reason = result.empty_reason.as_deref().unwrap_or("no image has a limiting magnitude");
        text.push_str(&wrapped(&format!("No upper limit can be given: {reason}."), ""));
        return;
    }
    text.push_str(&wrapped(
        &format!("We do not find a new source that fades {region}. The upper limits for a point source are:"),
        "",
    ));
    text.push('\n');
    text.push_str(&table_row(["Time (start - end)", "Exposure", "Filter", "Limit (10 sigma)"]));
    for limit in &result.limits {
        let span =
            format!("{} - {}", after(result, limit.first_start), after(result, limit.last_end));
        let exposure = format!("{:.0} s", limit.exposure_seconds);
        let depth = format!("> {:.2}", limit.limiting_magnitude);
        text.push_str(&table_row([&span, &exposure, &limit.filter, &depth]));
    }
    text.push('\n');
    text.push_str(&wrapped("At 5 sigma the limits are 0.75 mag fainter, at 3 sigma 1.31 mag.", ""));
}

/// The name of the catalogue, without what follows it in its description.
fn catalogue_name(result: &AnalysisResult) -> String {
    result.provenance.catalogue.split(',').next().unwrap_or_default().trim().to_owned()
}

fn photometric_note(result: &AnalysisResult) -> String {
    let mut bands: Vec<String> = result
        .frames
        .iter()
        .filter_map(|frame| {
            let band = &frame.calibration.as_ref()?.scale.band;
            (!band.is_empty()).then(|| format!("{} by band {band}", frame.filter))
        })
        .collect();
    bands.sort();
    bands.dedup();
    if result.frames.is_empty() {
        return "No magnitude is given.".to_owned();
    }
    let is_calibrated = result.frames.iter().any(|frame| frame.calibration.is_some());
    let calibrated = if is_calibrated {
        let bands =
            if bands.is_empty() { String::new() } else { format!(" ({})", bands.join(", ")) };
        format!(
            "Magnitudes are calibrated against stars of {}{bands}; the system is {}.",
            catalogue_name(result),
            systems(result)
        )
    } else {
        "Magnitudes are instrumental: no catalogue calibrates them.".to_owned()
    };
    format!("{calibrated} They are not corrected for Galactic extinction.")
}
