//! FITS headers as ordered cards (FITS Standard 4.0, §4).

use serde::{Deserialize, Serialize};

/// Value of a card (FITS Standard 4.0, §4.2).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum CardValue {
    Logical(bool),
    Integer(i64),
    Float(f64),
    Text(String),
}

/// One card of a header.
///
/// A card without a value is a commentary (`COMMENT`, `HISTORY`), a keyword whose value is undefined, or a card that
/// could not be read: then the comment holds its text. Engines write the two last kinds as `COMMENT` cards.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Card {
    /// At most eight characters, upper case. `HISTORY` and `COMMENT` may repeat and have no value.
    pub keyword: String,
    pub value: Option<CardValue>,
    /// With the unit in brackets where there is one: `[s] exposure time`.
    pub comment: String,
}

/// Cards in file order, without the structural ones (SIMPLE, BITPIX, NAXISn, XTENSION, PCOUNT, GCOUNT, TFIELDS, TFORMn, TTYPEn,
/// TUNITn, BSCALE, BZERO, ZIMAGE…, CHECKSUM, DATASUM, END), which the engines write themselves.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Header {
    pub cards: Vec<Card>,
}

impl Header {
    pub fn new() -> Self {
        Self::default()
    }

    /// First card of that keyword.
    pub fn get(&self, keyword: &str) -> Option<&Card> {
        self.cards.iter().find(|card| card.keyword == keyword)
    }

    /// Value as text, trimmed; numbers and logicals are written out (an integer 929744 gives "929744").
    pub fn text(&self, keyword: &str) -> Option<String> {
        match self.get(keyword)?.value.as_ref()? {
            CardValue::Text(text) => Some(text.trim().to_owned()),
            CardValue::Integer(number) => Some(number.to_string()),
            CardValue::Float(number) => Some(number.to_string()),
            CardValue::Logical(flag) => Some(if *flag { "T" } else { "F" }.to_owned()),
        }
    }

    /// Value as a number; texts that hold a number count.
    pub fn number(&self, keyword: &str) -> Option<f64> {
        match self.get(keyword)?.value.as_ref()? {
            CardValue::Integer(number) => Some(*number as f64),
            CardValue::Float(number) => Some(*number),
            CardValue::Text(text) => text.trim().parse().ok(),
            CardValue::Logical(_) => None,
        }
    }

    /// Sets the value of the first card of that keyword in place, or appends a card.
    pub fn set(&mut self, keyword: &str, value: impl Into<CardValue>, comment: &str) {
        let card = Card {
            keyword: keyword.to_owned(),
            value: Some(value.into()),
            comment: comment.to_owned(),
        };
        match self.cards.iter_mut().find(|existing| existing.keyword == keyword) {
            Some(existing) => *existing = card,
            None => self.cards.push(card),
        }
    }

    /// Appends a HISTORY card; long texts are broken by the engine.
    pub fn history(&mut self, text: &str) {
        self.cards.push(Card {
            keyword: "HISTORY".to_owned(),
            value: None,
            comment: text.to_owned(),
        });
    }

    pub fn remove(&mut self, keyword: &str) {
        self.cards.retain(|card| card.keyword != keyword);
    }
}

impl From<bool> for CardValue {
    fn from(value: bool) -> Self {
        Self::Logical(value)
    }
}

impl From<i64> for CardValue {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}

impl From<usize> for CardValue {
    fn from(value: usize) -> Self {
        Self::Integer(value as i64)
    }
}

impl From<u32> for CardValue {
    fn from(value: u32) -> Self {
        Self::Integer(i64::from(value))
    }
}

impl From<f64> for CardValue {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

impl From<&str> for CardValue {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<String> for CardValue {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}
