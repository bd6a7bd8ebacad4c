//! Values of the keywords that every product has.

use super::maker::{LISTED_DEGRADATIONS, ProductSettings};
use super::placement::Content;
use super::value::Value;
use crate::model::{AnalysisResult, Degradation, FrameUse, ListedCandidate, UtcTime};

/// Candidates inside the search region, best first: those the products list.
pub(super) fn counterparts(result: &AnalysisResult) -> Vec<&ListedCandidate> {
    let mut listed: Vec<&ListedCandidate> =
        result.candidates.iter().filter(|listed| listed.candidate.in_search_region).collect();
    listed.sort_by_key(|listed| listed.rank);
    listed
}

/// GFT_TGID: T0 as `YYYYMMDD_HHMMSS` (domain.md §3.1).
pub(super) fn trigger_identifier(result: &AnalysisResult) -> String {
    result.t0.compact().replace('T', "_")
}

/// GFT_OBID: start of the frame as `HHMMSS` (domain.md §3.1).
pub(super) fn observation_identifier(start: UtcTime) -> String {
    start.compact().split('T').nth(1).unwrap_or_default().to_owned()
}

/// Frames in order of their start.
pub(super) fn ordered_frames(result: &AnalysisResult) -> Vec<&FrameUse> {
    let mut frames: Vec<&FrameUse> = result.frames.iter().collect();
    frames
        .sort_by(|a, b| (a.start, &a.instrument, &a.name).cmp(&(b.start, &b.instrument, &b.name)));
    frames
}

/// Keywords and HISTORY of a product. `degradations` are those of the result and those of the card.
pub(super) fn header_values(
    extension: &str,
    result: &AnalysisResult,
    degradations: &[Degradation],
    settings: &ProductSettings,
    date: UtcTime,
) -> Content {
    let mut content = Content::default();
    let keywords = &mut content.keywords;
    let mut set = |name: &'static str, value: Value| {
        keywords.insert(name, value);
    };
    set("CARD", extension.into());
    set("PROC_VER", settings.processing_version.into());
    set("PIP_VER", settings.program_version.as_str().into());
    set("DATE", date.iso_milliseconds().into());
    set("BURST_ID", result.burst_id.as_str().into());
    set("OBS_ID", settings.observation_id.as_deref().unwrap_or_default().into());
    set("GFT_TGID", trigger_identifier(result).into());
    let frames = ordered_frames(result);
    let first = frames.first().map(|frame| observation_identifier(frame.start));
    set("GFT_OBID", first.unwrap_or_default().into());
    set("T0", result.t0.iso_milliseconds().into());
    set("T0SRC", result.t0_source.to_string().into());
    set("TRIG_MJD", result.t0.mjd().into());
    set("DEADLINE", result.deadline.to_string().into());
    set("DUETIME", result.due_at.iso_milliseconds().into());
    let telescope =
        if settings.telescope.is_empty() { &result.telescope } else { &settings.telescope };
    set("GFT_TEL", telescope.as_str().into());
    set("GFT_INST", result.instrument.as_str().into());
    set("FILTERS", settings.filters.join(",").into());
    set("NFRAMES", frames.len().into());
    let candidates = counterparts(result);
    set("CANDNUMB", candidates.len().into());
    set("CATSTAT", result.catalogue_status.as_card().into());
    set("CATALOG", result.provenance.catalogue.as_str().into());
    set("POSKNOWN", result.search_region.is_some().into());
    if let Some(region) = &result.search_region {
        set("POSRA", region.position.ra_degrees.into());
        set("POSDEC", region.position.dec_degrees.into());
        set("POSRAD", region.radius_degrees.unwrap_or_default().into());
    }
    let listed = degradations.iter().take(LISTED_DEGRADATIONS);
    set("NDEGR", listed.len().into());
    let empty_reason = candidates.is_empty().then(|| empty_reason(result));
    set("EMPTYWHY", empty_reason.clone().unwrap_or_default().into());
    content.numbered.insert("DEGR", listed.map(|rule| rule.code.as_str().into()).collect());
    content.history = history(result, degradations, empty_reason.as_deref());
    content
}

/// A product without candidates always says why.
fn empty_reason(result: &AnalysisResult) -> String {
    match &result.empty_reason {
        Some(reason) => reason.clone(),
        None if result.frames.is_empty() => "no frame had arrived".to_owned(),
        None if result.candidates.is_empty() => "no new source was found".to_owned(),
        None => "no new source inside the search region".to_owned(),
    }
}

fn history(
    result: &AnalysisResult,
    degradations: &[Degradation],
    empty_reason: Option<&str>,
) -> Vec<String> {
    let provenance = &result.provenance;
    let mut lines = vec![
        format!(
            "made by {} {}, instance {}",
            provenance.program, provenance.version, provenance.instance
        ),
        // With the 64 digits of a SHA-256 a short name just fits on one card.
        format!("config:{}", provenance.configuration_sha256),
    ];
    lines.extend(provenance.masters.iter().cloned());
    lines.push(format!("catalogue {} {}", provenance.catalogue, result.catalogue_status.as_card()));
    for (index, rule) in degradations.iter().enumerate() {
        lines.push(format!("DEGR{:02} {}: {}", index + 1, rule.code, rule.reason));
    }
    lines.extend(empty_reason.map(|reason| format!("EMPTYWHY: {reason}")));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::products::sample;

    #[test]
    fn identifiers_follow_the_screens_of_the_data_challenges() {
        let result = sample::result();
        assert_eq!(trigger_identifier(&result), "20261101_000000");
        assert_eq!(observation_identifier(result.frames[0].start), "000205");
    }

    #[test]
    fn an_empty_list_says_why() {
        let mut result = sample::result();
        result.candidates.clear();
        assert_eq!(empty_reason(&result), "no new source was found");
        result.frames.clear();
        assert_eq!(empty_reason(&result), "no frame had arrived");
        result.empty_reason = Some("clouds".to_owned());
        let content = header_values("XX", &result, &[], &sample::settings(), result.t0);
        assert_eq!(content.keywords["EMPTYWHY"], Value::from("clouds"));
        assert_eq!(content.keywords["CANDNUMB"], Value::Integer(0));
        assert_eq!(content.keywords["GFT_OBID"], Value::from(""));
    }

    #[test]
    fn candidates_outside_the_region_are_not_counted() {
        let mut result = sample::result();
        for listed in &mut result.candidates {
            listed.candidate.in_search_region = false;
        }
        assert!(counterparts(&result).is_empty());
        assert_eq!(empty_reason(&result), "no new source inside the search region");
    }
}
