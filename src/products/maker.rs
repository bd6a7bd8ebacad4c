//! From the GP1 result of a deadline to a product: a pure function.

use super::descriptor::{DescriptorError, DescriptorSet};
use super::header_values::header_values;
use super::placement::place;
use super::{detection, light_curve, observations, position, time_index};
use crate::fits::FitsTables;
use crate::model::{AnalysisResult, DeadlineName, Degradation, UtcTime};
use std::collections::BTreeSet;

/// Numbered keywords have two digits.
pub(super) const LISTED_DEGRADATIONS: usize = 99;

/// What does not come from the GP1 result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProductSettings {
    /// Filters that have a row in DT, QF and QTI, in this order.
    pub filters: Vec<String>,
    /// Name of the ground telescope; empty: as the GP1 result has it.
    pub telescope: String,
    /// PROC_VER.
    pub processing_version: u32,
    /// PIP_VER.
    pub program_version: String,
    /// Observation of the satellite, where it is known.
    pub observation_id: Option<String>,
}

impl Default for ProductSettings {
    /// The six filters of COLIBRI, first processing, this program.
    fn default() -> Self {
        Self {
            filters: ["g", "r", "i", "z", "J", "H"].map(str::to_owned).to_vec(),
            telescope: String::new(),
            processing_version: 1,
            program_version: env!("CARGO_PKG_VERSION").to_owned(),
            observation_id: None,
        }
    }
}

/// Why a product could not be made. The same input gives the same error: another try will not help before the descriptors
/// or the program are changed.
#[derive(Debug, thiserror::Error)]
pub enum ProductError {
    #[error(transparent)]
    Descriptors(#[from] DescriptorError),
    #[error("no descriptor of the card {0}")]
    UnknownCard(String),
    #[error("{0} has a descriptor, but no rows are known for it")]
    UnknownContent(String),
    #[error("{card}: the descriptor has no keyword {keyword}")]
    KeywordNotDescribed { card: String, keyword: String },
    #[error("{card}: the keyword {keyword} has neither value nor default")]
    KeywordWithoutValue { card: String, keyword: String },
    #[error("{card}: the descriptor has no column {column}")]
    ColumnNotDescribed { card: String, column: String },
    #[error("{card}: the column {column} has neither value nor default in row {row}")]
    ColumnWithoutValue { card: String, column: String, row: usize },
    #[error("{card}: {name} = {value} is not of format {format}")]
    WrongType { card: String, name: String, format: String, value: String },
}

const EARLY_CARDS: [&str; 6] = ["QPO_GFT", "DT_GFT", "QF_GFT", "QLC_GFT", "QTI_GFT", "GFTMETA"];
const LATER_CARDS: [&str; 7] =
    ["DT_GFT", "PO_GFT", "QF_GFT", "LC_GFT", "QLC_GFT", "QTI_GFT", "GFTMETA"];
/// The last deadline that gets the quick cards.
const EARLY_MINUTES: u32 = 5;

/// The cards that go out at a deadline (interfaces.md §8).
pub fn cards_of(deadline: DeadlineName) -> &'static [&'static str] {
    match deadline {
        DeadlineName::First => &EARLY_CARDS,
        DeadlineName::Minutes(minutes) if minutes <= EARLY_MINUTES => &EARLY_CARDS,
        DeadlineName::Minutes(_) => &LATER_CARDS,
    }
}

/// Makes the product of a card.
///
/// `date` becomes DATE; the caller keeps it, so that a product made again is the same, bit for bit. The file name is
/// [`crate::model::ProductKey::file_name`].
///
/// # Errors
/// [`ProductError`] where descriptor and content do not agree.
pub fn make(
    card: &str,
    analysis: &AnalysisResult,
    settings: &ProductSettings,
    date: UtcTime,
    descriptors: &DescriptorSet,
) -> Result<FitsTables, ProductError> {
    let descriptor =
        descriptors.get(card).ok_or_else(|| ProductError::UnknownCard(card.to_owned()))?;
    let filters = &settings.filters;
    let mut degradations = analysis.degradations.clone();
    degradations.extend(filters_without_a_row(analysis, filters));
    let rows = match descriptor.card.as_str() {
        "DT_GFT" => detection::detection_times(analysis, filters),
        "QF_GFT" => detection::quick_fluxes(analysis, filters),
        "PO_GFT" | "QPO_GFT" => position::positions(analysis),
        "LC_GFT" => light_curve::light_curve(analysis, filters),
        "QLC_GFT" => {
            let (rows, late) = light_curve::quick_light_curve(analysis, filters);
            degradations.extend(late);
            rows
        }
        "QTI_GFT" => time_index::time_indices(analysis, filters),
        "GFTMETA" => observations::observations(analysis),
        other => return Err(ProductError::UnknownContent(other.to_owned())),
    };
    let mut content = header_values(&descriptor.extension, analysis, &degradations, settings, date);
    content.rows = rows;
    place(descriptor, &content)
}

/// Frames of a filter that is not configured would vanish from the per-filter tables without a word.
fn filters_without_a_row(analysis: &AnalysisResult, filters: &[String]) -> Option<Degradation> {
    let unknown: BTreeSet<&str> = analysis
        .frames
        .iter()
        .map(|frame| frame.filter.as_str())
        .filter(|filter| !filters.iter().any(|known| known == filter))
        .collect();
    if unknown.is_empty() {
        return None;
    }
    let names = unknown.into_iter().collect::<Vec<_>>().join(", ");
    Some(Degradation::new("FILTERS", format!("frames in filters without a row: {names}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::products::{sample, validate};

    fn date() -> UtcTime {
        UtcTime::parse("2026-11-01T00:05:01").unwrap()
    }

    fn made(card: &str, result: &AnalysisResult) -> FitsTables {
        let descriptors = DescriptorSet::embedded().unwrap();
        make(card, result, &sample::settings(), date(), &descriptors)
            .unwrap_or_else(|error| panic!("{error}"))
    }

    const ALL_CARDS: [&str; 8] =
        ["DT_GFT", "QPO_GFT", "PO_GFT", "QF_GFT", "LC_GFT", "QLC_GFT", "QTI_GFT", "GFTMETA"];

    #[test]
    fn cards_of_the_deadlines() {
        let early = ["QPO_GFT", "DT_GFT", "QF_GFT", "QLC_GFT", "QTI_GFT", "GFTMETA"];
        assert_eq!(cards_of(DeadlineName::First), early);
        assert_eq!(cards_of(DeadlineName::Minutes(5)), early);
        let later = ["DT_GFT", "PO_GFT", "QF_GFT", "LC_GFT", "QLC_GFT", "QTI_GFT", "GFTMETA"];
        for minutes in [10, 30, 60, 120] {
            assert_eq!(cards_of(DeadlineName::Minutes(minutes)), later);
        }
    }

    #[test]
    fn every_card_conforms_to_its_descriptor_with_and_without_candidates() {
        let descriptors = DescriptorSet::embedded().unwrap();
        let full = sample::result();
        let mut no_candidate = sample::result();
        no_candidate.candidates.clear();
        let mut nothing = no_candidate.clone();
        nothing.frames.clear();
        nothing.limits.clear();
        nothing.search_region = None;
        for result in [&full, &no_candidate, &nothing] {
            for card in ALL_CARDS {
                let tables = made(card, result);
                let findings = validate(&tables, card, &descriptors);
                assert!(findings.is_empty(), "{card}: {findings:?}");
            }
        }
    }

    #[test]
    fn the_header_names_burst_time_and_rules() {
        let mut result = sample::result();
        result.degradations.push(Degradation::new("NODARK", "no dark of this temperature"));
        let primary = made("DT_GFT", &result).primary;
        assert_eq!(primary.text("CARD").unwrap(), "DT_GFT_FGFT");
        assert_eq!(primary.text("TELESCOP").unwrap(), "SVOM");
        assert_eq!(primary.text("BURST_ID").unwrap(), "sb26110101");
        assert_eq!(primary.number("MJDREFI"), Some(57754.0));
        assert_eq!(primary.number("TRIG_MJD"), Some(61345.0));
        assert_eq!(primary.text("DATE").unwrap(), "2026-11-01T00:05:01.000");
        assert_eq!(primary.text("DEGR01").unwrap(), "NODARK");
        assert_eq!(primary.number("NDEGR"), Some(1.0));
        assert_eq!(primary.number("CANDNUMB"), Some(2.0));
        let history: Vec<&str> = primary
            .cards
            .iter()
            .filter(|card| card.keyword == "HISTORY")
            .map(|card| card.comment.as_str())
            .collect();
        assert!(history.contains(&"DEGR01 NODARK: no dark of this temperature"));
        assert!(history.contains(&format!("bias:{}", "a1".repeat(32)).as_str()));
        assert!(history.contains(&format!("config:{}", "c3".repeat(32)).as_str()));
    }

    #[test]
    fn a_late_slew_and_a_strange_filter_are_degradations_of_the_product() {
        let mut result = sample::result();
        result.t0 = result.t0.plus_seconds(-900.0);
        result.frames[1].filter = "B".to_owned();
        let primary = made("QLC_GFT", &result).primary;
        assert_eq!(primary.text("DEGR01").unwrap(), "FILTERS");
        assert_eq!(primary.text("DEGR02").unwrap(), "QLCLATE");
        assert_eq!(primary.number("NDEGR"), Some(2.0));
        assert!(made("LC_GFT", &result).primary.get("DEGR02").is_none());
    }

    #[test]
    fn the_same_input_gives_the_same_product() {
        let result = sample::result();
        for card in ALL_CARDS {
            assert_eq!(made(card, &result), made(card, &result));
        }
    }

    #[test]
    fn a_card_without_descriptor_is_an_error() {
        let descriptors = DescriptorSet::embedded().unwrap();
        let answer = make("VT_GFT", &sample::result(), &sample::settings(), date(), &descriptors);
        assert!(matches!(answer, Err(ProductError::UnknownCard(card)) if card == "VT_GFT"));
    }
}
