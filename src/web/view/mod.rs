//! What the API and the page show of the model: bounded in size, without NaN, angles also in sexagesimal form.
//!
//! Every number in these types is finite: what is not becomes absent (`null`).

mod alert;
mod candidate;
mod frame;
mod position;
mod trigger;

pub use alert::AlertView;
pub use candidate::{
    CandidateList, CandidateView, FitView, LatestView, LightCurveView, ListOrigin, ReasonView,
};
pub use frame::{FrameView, MasterView, QualityView};
pub use position::{PositionView, RegionView};
pub use trigger::{AnalysisView, DeadlineView, LimitView, OlderTrigger, ProductView, TriggerView};

/// The longest text shown of a reason or detail, characters: a panic's message can be pages long.
const TEXT_LIMIT: usize = 400;

/// The value with so many decimals, or nothing when it is no number.
pub(super) fn rounded(value: f64, decimals: i32) -> Option<f64> {
    let scale = 10f64.powi(decimals);
    let result = (value * scale).round() / scale;
    result.is_finite().then_some(result)
}

/// The beginning of a text, marked where it was cut.
pub(super) fn clipped(text: &str) -> String {
    match text.char_indices().nth(TEXT_LIMIT) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_finite_and_short() {
        assert_eq!(rounded(18.123456, 3), Some(18.123));
        assert_eq!(rounded(f64::NAN, 3), None);
        assert_eq!(rounded(f64::INFINITY, 3), None);
        assert_eq!(rounded(1e308, 3), None);
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(clipped("short"), "short");
        let long = "é".repeat(TEXT_LIMIT + 1);
        let cut = clipped(&long);
        assert_eq!(cut.chars().count(), TEXT_LIMIT + 1);
        assert!(cut.ends_with("é…"));
    }
}
