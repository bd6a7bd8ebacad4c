//! The report of a deadline as one HTML file that needs no other and no network.

use super::base64::base64;
use super::catalogued::{CalibrationSample, CataloguedSource};
use super::field_plots::{Figure, calibration, residuals, sensitivity, single_frames, variability};
use super::light_curve_plot::light_curve;
use super::page_tables::{candidate_table, catalogued_table, completeness_table, frame_table};
use super::plot::{Mark, legend_mark};
use super::verdict;
use super::words::{
    ABSENT, after_t0, angle, date_and_time, duration, escaped, number, plural, reason, sexagesimal,
    with_error,
};
use crate::alerts::naming::trigger_name;
use crate::model::report_file as files;
use crate::model::{AnalysisResult, ListedCandidate};
use std::fmt::Write;

const STYLE: &str = include_str!("page.css");
/// Nothing may be fetched, nothing may run.
const POLICY: &str = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/// A picture with what it shows.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    pub png: Vec<u8>,
    pub description: String,
}

/// What the page is made of.
#[derive(Debug, Clone, PartialEq)]
pub struct PageContent<'a> {
    pub result: &'a AnalysisResult,
    /// Filters of the frames, in the order of their series.
    pub filters: &'a [String],
    /// All candidates, listed or not.
    pub candidate_count: usize,
    /// Of the first candidates, which are shown in full; nothing where no image covers one.
    pub cutouts: &'a [Option<Picture>],
    pub chart: Option<&'a Picture>,
    pub sources: &'a [CataloguedSource],
    pub calibrations: &'a [CalibrationSample],
    /// What could not be made, in sentences.
    pub omissions: &'a [String],
    pub circular: &'a str,
}

/// The page.
pub fn html(content: &PageContent<'_>) -> String {
    let result = content.result;
    let name = trigger_name("SVOM", result.t0);
    let title = format!("{name} at {}", result.deadline);
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\
         <title>{}</title>\n<style>\n{STYLE}</style></head>\n<body>\n<header><h1>{}</h1>\
         <p class=\"dim\">burst {} · {} {}</p>\
         <p class=\"verdict\">{}</p>{}</header>\n<main>\n",
        escaped(&title),
        escaped(&title),
        escaped(&result.burst_id),
        escaped(&result.telescope),
        escaped(&result.instrument),
        escaped(&verdict::in_words(result, content.candidate_count)),
        links(content),
    );
    page.push_str(&summary(content));
    page.push_str(&degradations(content));
    page.push_str(&candidates(content));
    page.push_str(&variability_section(content));
    page.push_str(&catalogued_section(content));
    page.push_str(&sensitivity_section(content));
    let _ = write!(
        page,
        "<section id=\"frames\"><h2>Frames</h2>{}</section>\n<section id=\"circular\"><h2>Draft of a GCN Circular</h2>\
         <p>Made by the program from this result alone. Nobody has checked it, and it has not been sent.</p><pre>{}</pre></section>\n",
        frame_table(result),
        escaped_lines(content.circular)
    );
    page.push_str(&footer(result));
    page.push_str("</main></body></html>\n");
    page
}

/// Escaped, with its line ends.
fn escaped_lines(text: &str) -> String {
    text.lines().map(escaped).collect::<Vec<_>>().join("\n")
}

fn links(content: &PageContent<'_>) -> String {
    let mut wanted = vec![
        (files::CIRCULAR, "draft circular"),
        (files::REGIONS, "DS9 regions"),
        (files::VOTABLE, "VOTable"),
        (files::CATALOGUED, "catalogued sources (CSV)"),
        (files::CANDIDATES, "all candidates (FITS)"),
        (files::RESULT, "result (JSON)"),
    ];
    if content.chart.is_some() {
        wanted.insert(0, (files::CHART, "finding chart"));
    }
    let items: Vec<String> =
        wanted.iter().map(|(file, words)| format!("<a href=\"{file}\">{words}</a>")).collect();
    format!("<nav aria-label=\"Files\">{}</nav>", items.join(""))
}

fn fact(page: &mut String, term: &str, value: &str, note: &str) {
    let note =
        if note.is_empty() { String::new() } else { format!("<small>{}</small>", escaped(note)) };
    let _ = write!(page, "<div><dt>{}</dt><dd>{}{note}</dd></div>", escaped(term), escaped(value));
}

fn summary(content: &PageContent<'_>) -> String {
    let result = content.result;
    let mut page = String::from("<section id=\"summary\"><h2>Summary</h2><dl class=\"facts\">");
    let since = |instant: crate::model::UtcTime| after_t0(instant.seconds_since(result.t0));
    fact(&mut page, "T0 (UTC)", &date_and_time(result.t0), &format!("from {}", result.t0_source));
    fact(&mut page, "Alert received", &date_and_time(result.opened_at), &since(result.opened_at));
    fact(
        &mut page,
        &format!("Deadline {}", result.deadline),
        &date_and_time(result.due_at),
        &since(result.due_at),
    );
    match result.search_region {
        Some(region) => {
            let (ra, dec) = sexagesimal(region.position);
            let radius = match region.radius_degrees {
                Some(radius) => format!(
                    "radius {} · {}° {}°",
                    angle(radius * 3600.0),
                    number(region.position.ra_degrees, 5),
                    number(region.position.dec_degrees, 5)
                ),
                None => "no radius given: the whole frame counts".to_owned(),
            };
            fact(&mut page, "Search region (ICRS)", &format!("{ra}  {dec}"), &radius);
        }
        None => fact(&mut page, "Search region", "none", "the whole frame counts"),
    }
    let stacked = result.frames.iter().filter(|frame| frame.stacked).count();
    let exposure: f64 = result.frames.iter().map(|frame| frame.exposure_seconds).sum();
    fact(
        &mut page,
        "Frames",
        &format!("{stacked} stacked of {} that had arrived", result.frames.len()),
        &format!("{} of exposure in all", duration(exposure)),
    );
    for limit in &result.limits {
        fact(
            &mut page,
            &format!("Limit in {} (10 σ)", limit.filter),
            &number(limit.limiting_magnitude, 2),
            &format!("{} · {}", limit.image, plural(limit.frame_count, "frame")),
        );
    }
    if result.limits.is_empty() {
        fact(&mut page, "Limit (10 σ)", ABSENT, "no image has a magnitude scale");
    }
    fact(
        &mut page,
        "Catalogue",
        &result.catalogue_status.as_card().to_lowercase(),
        &result.provenance.catalogue,
    );
    page.push_str("</dl></section>\n");
    page
}

fn degradations(content: &PageContent<'_>) -> String {
    let mut page = String::from("<section id=\"degradations\"><h2>What this result lacks</h2>");
    if content.result.degradations.is_empty() && content.omissions.is_empty() {
        page.push_str("<p>Nothing: it is all that it should be.</p></section>\n");
        return page;
    }
    page.push_str("<ul class=\"degradations\">");
    for each in &content.result.degradations {
        let _ = write!(page, "<li><b>{}</b>{}</li>", escaped(&each.code), escaped(&each.reason));
    }
    for each in content.omissions {
        let _ = write!(page, "<li><b>REPORT</b>{}</li>", escaped(each));
    }
    page.push_str("</ul></section>\n");
    page
}

fn picture(picture: &Picture) -> String {
    format!(
        "<img alt=\"{}\" src=\"data:image/png;base64,{}\">",
        escaped(&picture.description),
        base64(&picture.png)
    )
}

fn legend(content: &PageContent<'_>) -> String {
    let mut entries: Vec<String> = content
        .filters
        .iter()
        .enumerate()
        .map(|(series, filter)| {
            format!("<span>{}{}</span>", legend_mark(series, Mark::Point), escaped(filter))
        })
        .collect();
    entries.push(format!("<span>{}stack</span>", legend_mark(0, Mark::Hollow)));
    entries.push(format!("<span>{}upper limit, 10 σ</span>", legend_mark(0, Mark::Limit)));
    format!("<p class=\"legend\">{}</p>", entries.join(""))
}

/// Of the detections that are no candidates.
fn aside(count: usize) -> String {
    match count {
        0 => String::new(),
        1 => " One more detection is in it, set aside with the reason.".to_owned(),
        count => format!(" {count} more detections are in it, each set aside with the reason."),
    }
}

fn candidates(content: &PageContent<'_>) -> String {
    let result = content.result;
    let listed = result.candidates.len();
    let shown = content.cutouts.len().min(listed);
    let mut page = String::from("<section id=\"candidates\"><h2>Sources not in the catalogue</h2>");
    if listed == 0 {
        let reason = result.empty_reason.as_deref().unwrap_or("no new or varying source was found");
        let _ = write!(page, "<p>The list is empty: {}.</p>", escaped(reason));
    } else {
        let _ = write!(
            page,
            "<p>{}, counting sources that are brighter than the catalogue says. The {listed} best are listed here, the first {shown} with pictures and light curves. \
             All {} are in <a href=\"{}\">{}</a>.{}</p>{}",
            plural(content.candidate_count, "candidate"),
            content.candidate_count,
            files::CANDIDATES,
            files::CANDIDATES,
            aside(result.set_aside),
            candidate_table(result.candidates.get(..shown).unwrap_or_default(), true),
        );
    }
    if let Some(chart) = content.chart {
        let _ = write!(
            page,
            "<figure class=\"chart\" id=\"chart\">{}<figcaption>{}</figcaption></figure>",
            picture(chart),
            escaped(&chart.description)
        );
    }
    if shown > 0 {
        page.push_str(&legend(content));
    }
    let singles = single_frames(result);
    for (listed, cutout) in result.candidates.iter().zip(content.cutouts) {
        let _ = write!(page, "<article class=\"candidate\" id=\"candidate-{}\">", listed.rank);
        page.push_str(&candidate_head(listed));
        match cutout {
            Some(cutout) => {
                let _ = write!(
                    page,
                    "<figure>{}<figcaption>{}</figcaption></figure>",
                    picture(cutout),
                    escaped(&cutout.description)
                );
            }
            None => page.push_str("<p class=\"dim\">No image covers this place.</p>"),
        }
        match light_curve(&listed.candidate, result.t0, content.filters, &singles) {
            Some(Figure { svg, caption }) => {
                let _ = write!(
                    page,
                    "<figure>{svg}<figcaption>{}</figcaption></figure>",
                    escaped(&caption)
                );
            }
            None => {
                page.push_str("<p class=\"dim\">No point of its light curve lies after T0.</p>")
            }
        }
        page.push_str("</article>");
    }
    if let Some(others) = result.candidates.get(shown..).filter(|others| !others.is_empty()) {
        page.push_str("<h3 id=\"others\">Further candidates</h3>");
        page.push_str(&candidate_table(others, false));
    }
    page.push_str("</section>\n");
    page
}

fn candidate_head(listed: &ListedCandidate) -> String {
    let candidate = &listed.candidate;
    let (ra, dec) = sexagesimal(candidate.position);
    let place = match candidate.offset_arcsec {
        Some(offset) => format!(
            "{} from the centre of the search region, {} it",
            angle(offset),
            if candidate.in_search_region { "inside" } else { "outside" }
        ),
        None => "no search region".to_owned(),
    };
    let mut reasons: Vec<String> =
        candidate.reasons.iter().map(|each| reason(*each).to_owned()).collect();
    if let Some(planet) = &candidate.minor_planet {
        reasons.push(format!(
            "{} predicted {} away, with an error of {}",
            planet.name,
            angle(planet.separation_arcsec),
            angle(planet.position_error_arcsec)
        ));
    }
    format!(
        "<header><h3>{}. {}</h3><p>{ra} {dec} ± {}″ · {} · score {}<br><small>{}</small></p></header>",
        listed.rank,
        escaped(&candidate.id),
        number(candidate.position_error_arcsec, 2),
        escaped(&place),
        number(candidate.score, 3),
        escaped(&reasons.join(" · "))
    )
}

fn figure(page: &mut String, figure: &Figure) {
    let _ = write!(
        page,
        "<figure>{}<figcaption>{}</figcaption></figure>",
        figure.svg,
        escaped(&figure.caption)
    );
}

fn variability_section(content: &PageContent<'_>) -> String {
    let mut page = String::from("<section id=\"variability\"><h2>Variability</h2>");
    let figures: Vec<Figure> = (0..content.filters.len())
        .filter_map(|series| variability(content.result, content.filters, series, content.sources))
        .collect();
    if figures.is_empty() {
        page.push_str("<p>No source was seen on three frames of one filter: there is nothing to compare yet.</p>");
    }
    figures.iter().for_each(|each| figure(&mut page, each));
    page.push_str("</section>\n");
    page
}

fn catalogued_section(content: &PageContent<'_>) -> String {
    let mut page = String::from("<section id=\"catalogued\"><h2>Catalogued sources</h2>");
    page.push_str(&catalogued_table(content.sources, content.filters));
    page.push_str("<h2 id=\"calibration\">Calibration</h2>");
    for sample in content.calibrations {
        let series = content.filters.iter().position(|name| *name == sample.filter).unwrap_or(0);
        let _ = write!(
            page,
            "<h3>Filter {}: zero point {} mag on frame {}</h3><div class=\"pair\">",
            escaped(&sample.filter),
            with_error(sample.zero_point, sample.zero_point_error, 3),
            escaped(&sample.frame)
        );
        calibration(sample, series).iter().for_each(|each| figure(&mut page, each));
        if let Some(drawn) = residuals(content.filters, series, content.sources) {
            figure(&mut page, &drawn);
        }
        page.push_str("</div>");
        if sample.points.iter().all(|point| point.colour.is_none()) {
            page.push_str("<p>The catalogue gives no colours of these stars.</p>");
        }
    }
    if content.calibrations.is_empty() {
        page.push_str("<p>No catalogue calibrates these frames: magnitudes are instrumental, or there are none.</p>");
    }
    page.push_str("</section>\n");
    page
}

fn sensitivity_section(content: &PageContent<'_>) -> String {
    let mut page = String::from("<section id=\"sensitivity\"><h2>Sensitivity</h2>");
    match sensitivity(content.result, content.filters) {
        Some(drawn) => {
            page.push_str(&legend(content));
            figure(&mut page, &drawn);
        }
        None => page.push_str("<p>No image has a limiting magnitude.</p>"),
    }
    for study in &content.result.completeness {
        page.push_str(&completeness_table(study));
    }
    page.push_str("</section>\n");
    page
}

fn footer(result: &AnalysisResult) -> String {
    let made = &result.provenance;
    let masters = match made.masters.as_slice() {
        [] => "no masters".to_owned(),
        masters => masters.join(", "),
    };
    format!(
        "<footer>{} {}, instance {}, configuration {} · {} · all times UTC, positions ICRS</footer>\n",
        escaped(&made.program),
        escaped(&made.version),
        escaped(&made.instance),
        escaped(&made.configuration_sha256),
        escaped(&masters)
    )
}
