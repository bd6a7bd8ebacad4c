//! The candidates and their light curves as a VOTable (IVOA recommendation VOTable 1.4), with UCDs (UCD1+ 1.4) and units (VOUnits 1.0).

use super::light_curve_plot::strongest;
use super::words::{escaped, reason};
use crate::model::{AnalysisResult, LightCurvePoint, ListedCandidate, MagnitudeSystem};
use std::fmt::Write;

/// What a column holds, and how it is taken from a row.
enum Cell<T> {
    /// Not a number where absent.
    Number(fn(&T) -> f64),
    Whole(fn(&T) -> usize),
    Truth(fn(&T) -> bool),
    Text(fn(&T) -> String),
}

impl<T> Cell<T> {
    fn datatype(&self) -> &'static str {
        match self {
            Self::Number(_) => "datatype=\"double\"",
            Self::Whole(_) => "datatype=\"int\"",
            Self::Truth(_) => "datatype=\"boolean\"",
            Self::Text(_) => "datatype=\"char\" arraysize=\"*\"",
        }
    }

    fn written(&self, row: &T) -> String {
        match self {
            Self::Number(value) => match value(row) {
                value if value.is_finite() => value.to_string(),
                _ => "NaN".to_owned(),
            },
            Self::Whole(value) => value(row).to_string(),
            Self::Truth(value) => value(row).to_string(),
            Self::Text(value) => plain(&value(row)),
        }
    }
}

struct Column<T> {
    name: &'static str,
    ucd: &'static str,
    /// VOUnits; empty for none.
    unit: &'static str,
    /// `ref`: coordinate or time system.
    system: &'static str,
    description: &'static str,
    value: Cell<T>,
}

/// A candidate of the list.
type CandidateRow<'a> = &'a ListedCandidate;
/// Rank, name, and a point of its light curve.
type PointRow<'a> = (usize, &'a str, &'a LightCurvePoint);

fn first_detected(listed: &ListedCandidate) -> Option<&LightCurvePoint> {
    listed.candidate.light_curve.iter().find(|point| point.detected)
}

fn candidate_columns<'a>() -> Vec<Column<CandidateRow<'a>>> {
    use Cell::{Number, Text, Truth, Whole};
    vec![
        Column {
            name: "rank",
            ucd: "meta.id;meta.main",
            unit: "",
            system: "",
            description: "1 is the best",
            value: Whole(|row| row.rank),
        },
        Column {
            name: "id",
            ucd: "meta.id",
            unit: "",
            system: "",
            description: "name, from the position",
            value: Text(|row| row.candidate.id.clone()),
        },
        Column {
            name: "ra",
            ucd: "pos.eq.ra;meta.main",
            unit: "deg",
            system: "icrs",
            description: "right ascension",
            value: Number(|row| row.candidate.position.ra_degrees),
        },
        Column {
            name: "dec",
            ucd: "pos.eq.dec;meta.main",
            unit: "deg",
            system: "icrs",
            description: "declination",
            value: Number(|row| row.candidate.position.dec_degrees),
        },
        Column {
            name: "position_error",
            ucd: "stat.error;pos.eq",
            unit: "arcsec",
            system: "",
            description: "standard error of the position",
            value: Number(|row| row.candidate.position_error_arcsec),
        },
        Column {
            name: "score",
            ucd: "stat.likelihood",
            unit: "",
            system: "",
            description: "0 to 1, larger is more like the counterpart",
            value: Number(|row| row.candidate.score),
        },
        Column {
            name: "in_search_region",
            ucd: "meta.code",
            unit: "",
            system: "",
            description: "inside the search region",
            value: Truth(|row| row.candidate.in_search_region),
        },
        Column {
            name: "offset",
            ucd: "pos.angDistance",
            unit: "arcsec",
            system: "",
            description: "from the centre of the search region",
            value: Number(|row| row.candidate.offset_arcsec.unwrap_or(f64::NAN)),
        },
        Column {
            name: "detections",
            ucd: "meta.number;obs.image",
            unit: "",
            system: "",
            description: "frames with a detection",
            value: Whole(|row| row.candidate.detection_count),
        },
        Column {
            name: "first_detected",
            ucd: "time.epoch",
            unit: "d",
            system: "utc",
            description: "start of the first frame with a detection, MJD",
            value: Number(|row| row.candidate.first_detected.mjd()),
        },
        Column {
            name: "filter",
            ucd: "meta.id;instr.filter",
            unit: "",
            system: "",
            description: "filter of the first detection",
            value: Text(|row| {
                first_detected(row).map(|point| point.filter.clone()).unwrap_or_default()
            }),
        },
        Column {
            name: "magnitude",
            ucd: "phot.mag",
            unit: "mag",
            system: "",
            description: "at the first detection",
            value: Number(|row| first_detected(row).map_or(f64::NAN, |point| point.magnitude)),
        },
        Column {
            name: "magnitude_error",
            ucd: "stat.error;phot.mag",
            unit: "mag",
            system: "",
            description: "standard error",
            value: Number(|row| {
                first_detected(row).map_or(f64::NAN, |point| point.magnitude_error)
            }),
        },
        Column {
            name: "decay_index",
            ucd: "stat.fit.param",
            unit: "",
            system: "",
            description: "alpha of flux proportional to (t - T0)^-alpha, in the filter where fading explains most",
            value: Number(|row| strongest(&row.candidate).map_or(f64::NAN, |fit| fit.index)),
        },
        Column {
            name: "decay_index_error",
            ucd: "stat.error;stat.fit.param",
            unit: "",
            system: "",
            description: "standard error",
            value: Number(|row| strongest(&row.candidate).map_or(f64::NAN, |fit| fit.index_error)),
        },
        Column {
            name: "decay_reduced_chi2",
            ucd: "stat.fit.chi2",
            unit: "",
            system: "",
            description: "chi-square per degree of freedom of that law",
            value: Number(|row| {
                strongest(&row.candidate).map_or(f64::NAN, |fit| fit.reduced_chi_square)
            }),
        },
        Column {
            name: "reasons",
            ucd: "meta.note",
            unit: "",
            system: "",
            description: "what speaks for and against",
            value: Text(|row| {
                row.candidate
                    .reasons
                    .iter()
                    .map(|each| reason(*each))
                    .collect::<Vec<_>>()
                    .join("; ")
            }),
        },
        Column {
            name: "minor_planet",
            ucd: "meta.id.assoc",
            unit: "",
            system: "",
            description: "minor planet predicted there",
            value: Text(|row| {
                row.candidate
                    .minor_planet
                    .as_ref()
                    .map(|each| each.name.clone())
                    .unwrap_or_default()
            }),
        },
    ]
}

fn point_columns<'a>() -> Vec<Column<PointRow<'a>>> {
    use Cell::{Number, Text, Truth, Whole};
    vec![
        Column {
            name: "rank",
            ucd: "meta.id.parent",
            unit: "",
            system: "",
            description: "candidate",
            value: Whole(|row| row.0),
        },
        Column {
            name: "id",
            ucd: "meta.id.parent",
            unit: "",
            system: "",
            description: "name of the candidate",
            value: Text(|row| row.1.to_owned()),
        },
        Column {
            name: "image",
            ucd: "meta.id;obs.image",
            unit: "",
            system: "",
            description: "frame or stack",
            value: Text(|row| row.2.image.clone()),
        },
        Column {
            name: "filter",
            ucd: "meta.id;instr.filter",
            unit: "",
            system: "",
            description: "filter",
            value: Text(|row| row.2.filter.clone()),
        },
        Column {
            name: "start",
            ucd: "time.start;obs.exposure",
            unit: "d",
            system: "utc",
            description: "start of the exposures, MJD",
            value: Number(|row| row.2.start.mjd()),
        },
        Column {
            name: "end",
            ucd: "time.end;obs.exposure",
            unit: "d",
            system: "utc",
            description: "end of the exposures, MJD",
            value: Number(|row| row.2.end.mjd()),
        },
        Column {
            name: "exposure",
            ucd: "time.duration;obs.exposure",
            unit: "s",
            system: "",
            description: "sum of the exposures",
            value: Number(|row| row.2.exposure_seconds),
        },
        Column {
            name: "detected",
            ucd: "meta.code",
            unit: "",
            system: "",
            description: "whether magnitude is a measurement; else it is the limit",
            value: Truth(|row| row.2.detected),
        },
        Column {
            name: "magnitude",
            ucd: "phot.mag",
            unit: "mag",
            system: "",
            description: "measured, or the limiting magnitude",
            value: Number(|row| row.2.magnitude),
        },
        Column {
            name: "magnitude_error",
            ucd: "stat.error;phot.mag",
            unit: "mag",
            system: "",
            description: "standard error; none for a limit",
            value: Number(|row| if row.2.detected { row.2.magnitude_error } else { f64::NAN }),
        },
        Column {
            name: "signal_to_noise",
            ucd: "stat.snr",
            unit: "",
            system: "",
            description: "signal to noise",
            value: Number(|row| row.2.signal_to_noise),
        },
        Column {
            name: "flux",
            ucd: "phot.flux",
            unit: "",
            system: "",
            description: "1 at magnitude 25",
            value: Number(|row| row.2.flux),
        },
        Column {
            name: "flux_error",
            ucd: "stat.error;phot.flux",
            unit: "",
            system: "",
            description: "standard error",
            value: Number(|row| row.2.flux_error),
        },
        Column {
            name: "limiting_magnitude",
            ucd: "phot.mag;stat.max",
            unit: "mag",
            system: "",
            description: "of ten times the noise there",
            value: Number(|row| row.2.limiting_magnitude),
        },
    ]
}

/// ASCII, as `char` columns have it.
fn plain(text: &str) -> String {
    let ascii: String =
        text.chars().map(|letter| if letter.is_ascii() { letter } else { '?' }).collect();
    escaped(&ascii)
}

fn write_table<T>(
    text: &mut String,
    name: &str,
    description: &str,
    columns: &[Column<T>],
    rows: &[T],
) {
    let _ = writeln!(
        text,
        "<TABLE name=\"{name}\" nrows=\"{}\">\n<DESCRIPTION>{}</DESCRIPTION>",
        rows.len(),
        plain(description)
    );
    for column in columns {
        let datatype = column.value.datatype();
        let _ = write!(text, "<FIELD name=\"{}\" ucd=\"{}\" {datatype}", column.name, column.ucd);
        if !column.unit.is_empty() {
            let _ = write!(text, " unit=\"{}\"", column.unit);
        }
        if !column.system.is_empty() {
            let _ = write!(text, " ref=\"{}\"", column.system);
        }
        let _ = writeln!(text, "><DESCRIPTION>{}</DESCRIPTION></FIELD>", plain(column.description));
    }
    text.push_str("<DATA><TABLEDATA>\n");
    for row in rows {
        text.push_str("<TR>");
        for column in columns {
            let _ = write!(text, "<TD>{}</TD>", column.value.written(row));
        }
        text.push_str("</TR>\n");
    }
    text.push_str("</TABLEDATA></DATA>\n</TABLE>\n");
}

/// Magnitude systems of the frames, in words.
pub fn systems(result: &AnalysisResult) -> String {
    let mut names: Vec<&str> = result
        .frames
        .iter()
        .map(|frame| match frame.calibration.as_ref().and_then(|each| each.scale.system) {
            Some(MagnitudeSystem::Ab) => "AB",
            Some(MagnitudeSystem::Vega) => "Vega",
            None => "that of the catalogue",
        })
        .collect();
    names.sort_unstable();
    names.dedup();
    names.join(", ")
}

/// Tables `candidates` and `light_curves` (keyed by rank) of the listed candidates; `candidate_count` is how many there are in all.
pub fn votable(result: &AnalysisResult, candidate_count: usize) -> String {
    let mut text = String::from(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <VOTABLE version=\"1.4\" xmlns=\"http://www.ivoa.net/xml/VOTable/v1.3\" xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\">\n",
    );
    let _ = writeln!(
        text,
        "<DESCRIPTION>{}</DESCRIPTION>\n<COOSYS ID=\"icrs\" system=\"ICRS\"/>\n\
         <TIMESYS ID=\"utc\" timeorigin=\"MJD-origin\" timescale=\"UTC\" refposition=\"TOPOCENTER\"/>\n\
         <RESOURCE type=\"results\">\n\
         <INFO name=\"burst\" value=\"{}\"/>\n<INFO name=\"deadline\" value=\"{}\"/>\n<INFO name=\"t0\" value=\"{}\"/>\n\
         <INFO name=\"catalogue\" value=\"{}\"/>\n<INFO name=\"magnitude_system\" value=\"{}\"/>\n\
         <INFO name=\"candidate_count\" value=\"{candidate_count}\"/>",
        plain(&format!(
            "Candidates of {} at {}: {} of {candidate_count}; all are in candidates.fits",
            result.burst_id,
            result.deadline,
            result.candidates.len()
        )),
        plain(&result.burst_id),
        result.deadline,
        result.t0,
        plain(&result.provenance.catalogue),
        plain(&systems(result)),
    );
    let rows: Vec<CandidateRow<'_>> = result.candidates.iter().collect();
    let points: Vec<PointRow<'_>> = result
        .candidates
        .iter()
        .flat_map(|listed| {
            let id = listed.candidate.id.as_str();
            listed.candidate.light_curve.iter().map(move |point| (listed.rank, id, point))
        })
        .collect();
    write_table(
        &mut text,
        "candidates",
        "Sources that are not in the catalogue, or vary, the best first",
        &candidate_columns(),
        &rows,
    );
    write_table(
        &mut text,
        "light_curves",
        "Every measurement of these candidates",
        &point_columns(),
        &points,
    );
    text.push_str("</RESOURCE>\n</VOTABLE>\n");
    text
}
