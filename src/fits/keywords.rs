//! From a camera's header dialect to the cards the controller acts on, with fall-backs (domain.md §4.2).

use super::Header;
use crate::model::FrameKeywords;
use serde::{Deserialize, Serialize};

/// For each thing the controller wants, the keywords that may hold it, best first. Loaded from
/// `config/gic.toml` (`[keywords]`); [`KeywordMap::default`] is the shipped table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KeywordMap {
    pub trigger_id: Vec<String>,
    pub observer: Vec<String>,
    pub object: Vec<String>,
    pub exposure_type: Vec<String>,
    pub instrument: Vec<String>,
    pub filter: Vec<String>,
    pub exposure_seconds: Vec<String>,
    pub date_obs: Vec<String>,
    pub right_ascension: Vec<String>,
    pub declination: Vec<String>,
    pub gain_electrons: Vec<String>,
    pub read_noise_electrons: Vec<String>,
    pub saturation: Vec<String>,
    pub binning: Vec<String>,
}

impl Default for KeywordMap {
    fn default() -> Self {
        unimplemented!()
    }
}

/// Why a frame cannot be used at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeywordError {
    #[error("none of {tried:?} is in the header: {wanted} unknown")]
    Missing { wanted: String, tried: Vec<String> },
    #[error("{keyword} = '{value}' is not {expected}")]
    Unreadable { keyword: String, value: String, expected: String },
}

impl KeywordMap {
    /// Reads the keywords of a frame. `file_stem` (`20191016T042001C0o`) gives kind, camera and date where the header does
    /// not. Size comes from the caller.
    pub fn read(
        &self,
        header: &Header,
        file_stem: &str,
        size_pixels: (usize, usize),
    ) -> Result<FrameKeywords, KeywordError> {
        let _ = (header, file_stem, size_pixels);
        unimplemented!()
    }

    /// Value of the seeds' `identifier_header` names: looked up through the map when the name is a
    /// mapped one (`TRGID`, `OBSERVER`, `EXPTYPE`, `INSTRUME`, `FILTER`), then as a card of that name.
    pub fn value_of(
        &self,
        header: &Header,
        keywords: &FrameKeywords,
        name: &str,
    ) -> Option<String> {
        let _ = (header, keywords, name);
        unimplemented!()
    }
}
