//! The tables of a report.

use super::catalogued::CataloguedSource;
use super::light_curve_plot::strongest;
use super::words::{ABSENT, duration, escaped, number, plural, reason, sexagesimal, with_error};
use crate::model::report_file as files;
use crate::model::{AnalysisResult, InjectionStudy, ListedCandidate, ObjectKind};
use std::fmt::Write;

/// Catalogued sources in the page, the brightest; all are in the file beside it.
const MOST_CATALOGUED: usize = 40;

fn head(columns: &[(&str, bool)]) -> String {
    let cells: Vec<String> = columns
        .iter()
        .map(|(words, is_figure)| {
            let class = if *is_figure { " class=\"figure\"" } else { "" };
            format!("<th scope=\"col\"{class}>{}</th>", escaped(words))
        })
        .collect();
    format!("<thead><tr>{}</tr></thead>", cells.join(""))
}

fn figure(cell: &str) -> String {
    format!("<td class=\"figure\">{}</td>", escaped(cell))
}

fn words(cell: &str) -> String {
    format!("<td>{}</td>", escaped(cell))
}

/// Candidates, a row each; with `are_shown` their names lead to where they are shown in full.
pub fn candidate_table(candidates: &[ListedCandidate], are_shown: bool) -> String {
    let mut table = format!(
        "<div class=\"scroll\"><table><caption>Candidates, the best first</caption>{}<tbody>",
        head(&[
            ("#", true),
            ("Name", false),
            ("Right ascension", false),
            ("Declination", false),
            ("First magnitude", true),
            ("Decay index α", true),
            ("Score", true),
            ("Offset, ″", true),
            ("Region", false),
            ("Seen", true),
            ("Reasons", false),
        ])
    );
    for listed in candidates {
        let candidate = &listed.candidate;
        let (ra, dec) = sexagesimal(candidate.position);
        let class = if candidate.in_search_region { "" } else { " class=\"out\"" };
        let name = match are_shown {
            true => {
                format!("<a href=\"#candidate-{}\">{}</a>", listed.rank, escaped(&candidate.id))
            }
            false => escaped(&candidate.id),
        };
        let magnitude = candidate.light_curve.iter().find(|point| point.detected).map_or_else(
            || ABSENT.to_owned(),
            |point| {
                format!(
                    "{} {}",
                    point.filter,
                    with_error(point.magnitude, point.magnitude_error, 2)
                )
            },
        );
        let decay = strongest(candidate)
            .map_or_else(|| ABSENT.to_owned(), |fit| with_error(fit.index, fit.index_error, 2));
        let reasons: Vec<&str> = candidate.reasons.iter().map(|each| reason(*each)).collect();
        let _ = write!(
            table,
            "<tr{class}>{}<td>{name}</td>{}{}{}{}{}{}{}{}<td class=\"words\">{}</td></tr>",
            figure(&listed.rank.to_string()),
            words(&ra),
            words(&dec),
            figure(&magnitude),
            figure(&decay),
            figure(&number(candidate.score, 3)),
            figure(&number(candidate.offset_arcsec.unwrap_or(f64::NAN), 1)),
            words(if candidate.in_search_region { "in" } else { "out" }),
            figure(&candidate.detection_count.to_string()),
            escaped(&reasons.join(", "))
        );
    }
    table.push_str("</tbody></table></div>");
    table
}

/// The brightest catalogued sources with what the frames measure of them, filter by filter.
pub fn catalogued_table(sources: &[CataloguedSource], filters: &[String]) -> String {
    if sources.is_empty() {
        return "<p>No catalogued source was measured.</p>".to_owned();
    }
    let mut columns = vec![
        ("Catalogue's name".to_owned(), false),
        ("Kind".to_owned(), false),
        ("Right ascension".to_owned(), false),
        ("Declination".to_owned(), false),
    ];
    for filter in filters {
        columns.push((format!("{filter}, measured"), true));
        columns.push((format!("{filter}, catalogue"), true));
        columns.push(("difference".to_owned(), true));
        columns.push(("frames".to_owned(), true));
    }
    let columns: Vec<(&str, bool)> =
        columns.iter().map(|(name, is_figure)| (name.as_str(), *is_figure)).collect();
    let shown = sources.len().min(MOST_CATALOGUED);
    let mut table = format!(
        "<p>{} were measured, on at most {} frames and of the {} brightest sources of each. The {shown} brightest are here, all in <a href=\"{}\">{}</a>. \
         Measured magnitudes are means with the scatter of one frame; those of the catalogue are as the frames see them, the colour term taken off.</p>\
         <div class=\"scroll\"><table><caption>Band photometry of catalogued sources</caption>{}<tbody>",
        plural(sources.len(), "catalogued source"),
        super::catalogued::MOST_FRAMES,
        super::catalogued::MOST_SOURCES,
        files::CATALOGUED,
        files::CATALOGUED,
        head(&columns)
    );
    for source in sources.iter().take(MOST_CATALOGUED) {
        let (ra, dec) = sexagesimal(source.position);
        let kind = match source.kind {
            ObjectKind::Star => "star",
            ObjectKind::Galaxy => "galaxy",
            ObjectKind::Unknown => ABSENT,
        };
        let _ =
            write!(table, "<tr>{}{}{}{}", words(&source.id), words(kind), words(&ra), words(&dec));
        for measured in &source.magnitudes {
            match measured {
                Some(measured) => {
                    let expected = measured.expected.unwrap_or(f64::NAN);
                    let _ = write!(
                        table,
                        "{}{}{}{}",
                        figure(&with_error(measured.magnitude, measured.scatter.unwrap_or(0.0), 3)),
                        figure(&number(expected, 3)),
                        figure(&number(measured.magnitude - expected, 3)),
                        figure(&measured.frame_count.to_string())
                    );
                }
                None => table.push_str(&figure(ABSENT).repeat(4)),
            }
        }
        table.push_str("</tr>");
    }
    table.push_str("</tbody></table></div>");
    table
}

/// What became of artificial stars in an image, a row for each step of magnitude.
pub fn completeness_table(study: &InjectionStudy) -> String {
    let in_words = |value: Option<f64>, unit: &str, decimals| {
        value
            .map_or_else(|| ABSENT.to_owned(), |value| format!("{}{unit}", number(value, decimals)))
    };
    let mut table = format!(
        "<div class=\"scroll\"><table><caption>Artificial stars in {}: {} of those at its limit of {} mag (10 σ) would be candidates, half of them at {}; {} from nothing, \
         in its negative</caption>{}<tbody>",
        escaped(&study.image),
        in_words(study.at_ten_sigma.map(|share| 100.0 * share), " %", 0),
        number(study.limiting_magnitude, 2),
        in_words(study.half_magnitude, " mag", 2),
        plural(study.false_detections, "candidate"),
        head(&[("Magnitudes", true), ("Put in", true), ("Listed", true), ("Share", true)])
    );
    for step in &study.steps {
        let _ = write!(
            table,
            "<tr>{}{}{}{}</tr>",
            figure(&format!("{} to {}", number(step.brightest, 2), number(step.faintest, 2))),
            figure(&step.injected.to_string()),
            figure(&step.listed.to_string()),
            figure(&in_words(step.share().map(|share| 100.0 * share), " %", 0))
        );
    }
    table.push_str("</tbody></table></div>");
    table
}

/// Every frame that had arrived, and how it was used.
pub fn frame_table(result: &AnalysisResult) -> String {
    if result.frames.is_empty() {
        return "<p>No frame had arrived.</p>".to_owned();
    }
    let mut table = format!(
        "<div class=\"scroll\"><table><caption>Frames in the order of their arrival</caption>{}<tbody>",
        head(&[
            ("Frame", false),
            ("Camera", false),
            ("Filter", false),
            ("Start after T0", true),
            ("Exposure", true),
            ("Astrometry", false),
            ("Zero point", true),
            ("Stars", true),
            ("Limit (10 σ)", true),
            ("FWHM, px", true),
            ("Stacked", false),
        ])
    );
    let absent = || ABSENT.to_owned();
    for frame in &result.frames {
        let zero = frame.zero_point.or(frame.relative_zero_point);
        let error = frame.calibration.as_ref().map_or(0.0, |each| each.error);
        let stacked = match (&frame.reason, frame.stacked) {
            (Some(reason), _) => format!("no: {reason}"),
            (None, true) => "yes".to_owned(),
            (None, false) => "no".to_owned(),
        };
        let _ = write!(
            table,
            "<tr>{}{}{}{}{}{}{}{}{}{}<td class=\"words\">{}</td></tr>",
            words(&frame.name),
            words(&frame.instrument),
            words(&frame.filter),
            figure(&duration(frame.start.seconds_since(result.t0))),
            figure(&duration(frame.exposure_seconds)),
            words(&frame.astrometry),
            figure(&zero.map_or_else(absent, |zero| with_error(zero, error, 3))),
            figure(&frame.calibration.as_ref().map_or_else(absent, |c| c.star_count.to_string())),
            figure(&frame.limiting_magnitude.map_or_else(absent, |limit| number(limit, 2))),
            figure(&frame.fwhm_pixels.map_or_else(absent, |fwhm| number(fwhm, 2))),
            escaped(&stacked)
        );
    }
    table.push_str("</tbody></table></div>");
    table
}
