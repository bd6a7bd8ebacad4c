//! What can be wrong with a configuration, said so that a person can put it right.

use std::{fmt, path::PathBuf};

/// One thing wrong with a configuration file. Reading the file again will not help: a retry is safe but useless until
/// a person has changed something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The file, or what stands for it (`command line`, `embedded gic.toml`).
    pub file: PathBuf,
    /// Line in the file, counted from 1, where the problem has one.
    pub line: Option<usize>,
    /// Boxed, so that results stay small.
    pub problem: Box<Problem>,
}

/// What is wrong, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    #[error("{0}")]
    Syntax(String),
    #[error("section [{section}] stands twice; first on line {first_line}")]
    DuplicateSection { section: String, first_line: usize },
    #[error("key '{key}' stands twice in [{section}]; first on line {first_line}")]
    DuplicateKey { section: String, key: String, first_line: usize },
    #[error("unknown section [{section}]{}; allowed: {}", suggest(suggestion), list(allowed))]
    UnknownSection { section: String, allowed: Vec<String>, suggestion: Option<String> },
    #[error(
        "unknown key '{key}' in [{section}]{}; allowed: {}",
        suggest(suggestion),
        list(allowed)
    )]
    UnknownKey { section: String, key: String, allowed: Vec<String>, suggestion: Option<String> },
    #[error("section [{section}] is missing")]
    MissingSection { section: String },
    #[error("key '{key}' is missing in [{section}]; expected {expected}")]
    MissingKey { section: String, key: String, expected: String },
    #[error("{key} = '{value}' in [{section}] is wrong: expected {expected}")]
    WrongValue { section: String, key: String, value: String, expected: String },
    /// A value of the TOML files; the message names what is allowed.
    #[error("{message}{}", suggest(suggestion))]
    Rejected { message: String, suggestion: Option<String> },
    #[error("{role} '{}' does not exist", path.display())]
    MissingPath { role: String, path: PathBuf },
    #[error("cannot read the file: {reason}")]
    Unreadable { reason: String },
}

/// Whose move it is, and so the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigErrorKind {
    /// The text of the configuration is wrong.
    Usage,
    /// The text is right, but something it names is not there.
    MissingInput,
}

impl ConfigError {
    pub fn new(file: impl Into<PathBuf>, line: Option<usize>, problem: Problem) -> Self {
        Self { file: file.into(), line, problem: Box::new(problem) }
    }

    pub fn kind(&self) -> ConfigErrorKind {
        match *self.problem {
            Problem::MissingPath { .. } | Problem::Unreadable { .. } => {
                ConfigErrorKind::MissingInput
            }
            _ => ConfigErrorKind::Usage,
        }
    }

    /// 2 for a wrong text, 3 for a missing input (design.md §5).
    pub fn exit_code(&self) -> u8 {
        match self.kind() {
            ConfigErrorKind::Usage => 2,
            ConfigErrorKind::MissingInput => 3,
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(formatter, ", line {line}")?;
        }
        write!(formatter, ": {}", self.problem)
    }
}

impl std::error::Error for ConfigError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(self.problem.as_ref())
    }
}

fn suggest(suggestion: &Option<String>) -> String {
    suggestion.as_ref().map(|name| format!(" (did you mean '{name}'?)")).unwrap_or_default()
}

fn list(allowed: &[String]) -> String {
    if allowed.is_empty() { "nothing".to_owned() } else { allowed.join(", ") }
}

/// The allowed name nearest to `name`, if one is near enough to be a slip of the hand: at most a third of its
/// letters wrong.
pub fn nearest_name<'a>(name: &str, allowed: impl IntoIterator<Item = &'a str>) -> Option<String> {
    allowed
        .into_iter()
        .map(|candidate| {
            let distance = edit_distance(&name.to_lowercase(), &candidate.to_lowercase());
            (distance, candidate)
        })
        .filter(|(distance, candidate)| {
            *distance <= (candidate.chars().count().max(name.chars().count()) / 3).max(1)
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate.to_owned())
}

/// Levenshtein distance (insertions, deletions, substitutions of one letter).
fn edit_distance(left: &str, right: &str) -> usize {
    let right_letters: Vec<char> = right.chars().collect();
    let mut previous: Vec<usize> = (0..=right_letters.len()).collect();
    for (row, left_letter) in left.chars().enumerate() {
        let mut current = Vec::with_capacity(previous.len());
        current.push(row + 1);
        let mut to_the_left = row + 1;
        for (&right_letter, pair) in right_letters.iter().zip(previous.windows(2)) {
            let (diagonal, above) = (pair[0], pair[1]);
            let substitution = diagonal + usize::from(left_letter != right_letter);
            to_the_left = substitution.min(above + 1).min(to_the_left + 1);
            current.push(to_the_left);
        }
        previous = current;
    }
    previous.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_hand_finds_its_name() {
        let allowed = ["detect_thresh", "gain", "ps", "sat_level"];
        assert_eq!(nearest_name("detect_tresh", allowed), Some("detect_thresh".into()));
        assert_eq!(nearest_name("GAIN", allowed), Some("gain".into()));
        assert_eq!(nearest_name("satlevel", allowed), Some("sat_level".into()));
        assert_eq!(nearest_name("temperature", allowed), None);
        assert_eq!(nearest_name("", allowed), None);
    }

    #[test]
    fn edit_distance_of_known_pairs() {
        assert_eq!(edit_distance("kitten", "sitting"), 3);
        assert_eq!(edit_distance("", "abc"), 3);
        assert_eq!(edit_distance("abc", ""), 3);
        assert_eq!(edit_distance("été", "ete"), 2);
    }

    #[test]
    fn the_message_says_where_what_and_what_is_allowed() {
        let error = ConfigError::new(
            "gp1.cfg",
            Some(7),
            Problem::UnknownKey {
                section: "General".into(),
                key: "imput".into(),
                allowed: vec!["input".into(), "log_path".into()],
                suggestion: Some("input".into()),
            },
        );
        assert_eq!(
            error.to_string(),
            "gp1.cfg, line 7: unknown key 'imput' in [General] (did you mean 'input'?); allowed: input, log_path"
        );
        assert_eq!(error.exit_code(), 2);
        let missing = ConfigError::new(
            "gp1.cfg",
            Some(2),
            Problem::MissingPath { role: "input".into(), path: "/nowhere".into() },
        );
        assert_eq!(missing.exit_code(), 3);
    }
}
