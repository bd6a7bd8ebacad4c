//! Triggers: the life of one burst, and its deadlines.

use super::{Notice, PositionEstimate, UtcTime};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Where T0 was taken from, best first (interfaces.md §2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum T0Source {
    SequenceT0,
    WindowStart,
    IsoTime,
    NoticeDate,
    FrameHeader,
    Reception,
}

impl fmt::Display for T0Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::SequenceT0 => "Alert_Seq_T0",
            Self::WindowStart => "time window start",
            Self::IsoTime => "ISOTime",
            Self::NoticeDate => "notice date",
            Self::FrameHeader => "frame header",
            Self::Reception => "reception",
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TriggerState {
    Preliminary,
    Open,
    Refined,
    Retracted,
    Closed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TriggerOrigin {
    Notice,
    FrameHeader,
}

/// One burst as it is known now: the merged view of its notices.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trigger {
    /// As the first packet wrote it (`sb26110101`); compared through [`normalise_burst_id`].
    pub burst_id: String,
    pub state: TriggerState,
    /// Counts every change.
    pub revision: u32,
    pub origin: TriggerOrigin,
    pub t0: UtcTime,
    pub t0_source: T0Source,
    /// When the first notice that opened it was received.
    pub opened_at: UtcTime,
    /// Smallest uncertainty of all accepted notices; absent = the whole frame counts.
    pub best_position: Option<PositionEstimate>,
    /// Whether the satellite slews (packets 204, 205).
    pub slewing: Option<bool>,
    /// `GRB yymmdd.fff` style name as the telescope control system makes it (domain.md §1.5).
    pub name: String,
    /// Accepted notices with their time of reception, in order of reception.
    pub notices: Vec<(UtcTime, Notice)>,
}

/// Brings every spelling of a trigger id to one: text, trimmed, without a leading `sb`
/// (interfaces.md §3), so `sb22020379`, ` 22020379` and the integer 22020379 are the same burst.
pub fn normalise_burst_id(text: &str) -> String {
    let trimmed = text.trim().trim_matches('\'').trim();
    match trimmed.get(..2) {
        Some(prefix) if prefix.eq_ignore_ascii_case("sb") && trimmed.len() > 2 => {
            trimmed[2..].to_owned()
        }
        _ => trimmed.to_owned(),
    }
}

/// Longest burst id that is taken: it becomes a part of directory and file names.
const LONGEST_BURST_ID: usize = 64;

/// Whether a text from outside may become the name of a directory or a part of a file name, as burst ids do: ASCII letters
/// and digits, `_`, `+`, `-` and inner dots, at most 64. Nothing of that leaves its directory or hides in it.
pub fn is_safe_name(text: &str) -> bool {
    (1..=LONGEST_BURST_ID).contains(&text.len())
        && !text.starts_with('.')
        && !text.contains("..")
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_+-.".contains(&byte))
}

/// Name of a deadline: `FIRST`, or `Tmmm` for T0 + mmm minutes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DeadlineName {
    /// Alert reception + 4 min 30 s.
    First,
    /// T0 + so many minutes.
    Minutes(u32),
}

impl fmt::Display for DeadlineName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::First => formatter.write_str("FIRST"),
            Self::Minutes(minutes) => write!(formatter, "T{minutes:03}"),
        }
    }
}

/// A text that names no deadline.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' names no deadline: FIRST or T followed by minutes, as T005")]
pub struct DeadlineNameError(pub String);

impl std::str::FromStr for DeadlineName {
    type Err = DeadlineNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let failed = || DeadlineNameError(text.to_owned());
        if text == "FIRST" {
            return Ok(Self::First);
        }
        let minutes = text.strip_prefix('T').ok_or_else(failed)?;
        minutes.parse().map(Self::Minutes).map_err(|_| failed())
    }
}

impl Serialize for DeadlineName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DeadlineName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// How far a deadline has come. Only forward, and only through the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeadlineState {
    Planned,
    Due,
    Analysed,
    /// All its products are made.
    Produced,
    /// All its products are receipted.
    Delivered,
    Cancelled,
}

/// An instant at which products must go out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Deadline {
    pub burst_id: String,
    pub name: DeadlineName,
    pub due_at: UtcTime,
    pub state: DeadlineState,
    /// Why it is late or collapsed (`late notice`, `late slew`), if it is.
    pub cause: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_spellings_of_a_burst_are_one() {
        for text in ["sb22020379", "22020379", " SB22020379 ", "'22020379'"] {
            assert_eq!(normalise_burst_id(text), "22020379");
        }
        assert_eq!(normalise_burst_id("929744"), "929744");
        assert_eq!(normalise_burst_id("sb"), "sb");
        assert_eq!(normalise_burst_id("é"), "é");
    }

    #[test]
    fn deadline_names_round_trip() {
        for text in ["FIRST", "T005", "T060", "T120"] {
            assert_eq!(text.parse::<DeadlineName>().unwrap().to_string(), text);
        }
        assert!("T".parse::<DeadlineName>().is_err());
        assert!("later".parse::<DeadlineName>().is_err());
    }
}
