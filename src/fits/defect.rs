//! Why a file from outside is refused, in one word and in a sentence.

use std::fmt;

/// What kind of fault a file has. The name of a kind is the name of its directory under `quarantine/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Defect {
    /// It does not begin as FITS does.
    Foreign,
    /// Bytes are missing at its end: it is still being written, or its writer was stopped.
    Truncated,
    /// Its headers contradict each other, the file, or the standard.
    Damaged,
    /// Its bytes are not those the checksums were taken of.
    Checksum,
    /// It holds, or says it holds, more than is read.
    TooLarge,
}

impl Defect {
    /// One short word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Foreign => "not-fits",
            Self::Truncated => "truncated",
            Self::Damaged => "damaged",
            Self::Checksum => "checksum",
            Self::TooLarge => "too-large",
        }
    }
}

/// A defect with the words that say where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub defect: Defect,
    pub what: String,
}

impl Refusal {
    pub(super) fn new(defect: Defect, what: impl Into<String>) -> Self {
        Self { defect, what: what.into() }
    }

    pub(super) fn damaged(what: impl Into<String>) -> Self {
        Self::new(Defect::Damaged, what)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.what)
    }
}
