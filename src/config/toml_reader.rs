//! The TOML files: serde's errors with the line they belong to, and checks of ranges that name the line as well.

use super::error::{ConfigError, Problem, nearest_name};
use serde::de::DeserializeOwned;
use std::{fmt::Display, ops::Range, path::Path};
use toml::de::{DeTable, DeValue};

/// Reads a text into its type.
pub(crate) fn parse<T: DeserializeOwned>(file: &Path, text: &str) -> Result<T, ConfigError> {
    toml::from_str(text).map_err(|error| {
        let line = error.span().map(|span| line_of_offset(text, span.start));
        let message = error.message().trim_end().to_owned();
        let suggestion = suggestion_in(&message);
        ConfigError::new(file, line, Problem::Rejected { message, suggestion })
    })
}

/// Reads a file into its type, with its text for [`Checks`].
pub(crate) fn read_text(file: &Path) -> Result<String, ConfigError> {
    super::bounded_file::read_bounded_text(file).map_err(|error| {
        ConfigError::new(file, None, Problem::Unreadable { reason: error.to_string() })
    })
}

/// serde writes "unknown field `x`, expected one of `a`, `b`": the nearest of the names.
fn suggestion_in(message: &str) -> Option<String> {
    if !message.starts_with("unknown ") {
        return None;
    }
    let mut quoted = message.split('`').skip(1).step_by(2);
    let wrong = quoted.next()?;
    nearest_name(wrong, quoted)
}

fn line_of_offset(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().get(..offset).unwrap_or(text.as_bytes());
    before.iter().filter(|byte| **byte == b'\n').count() + 1
}

/// Checks of values whose type is right.
pub(crate) struct Checks<'a> {
    pub file: &'a Path,
    pub text: &'a str,
}

impl Checks<'_> {
    /// The value of a dotted key (`alerts.maximum_packet_bytes`) must satisfy `is_right`.
    pub fn require(
        &self,
        key: &str,
        value: impl Display,
        is_right: bool,
        expected: &str,
    ) -> Result<(), ConfigError> {
        if is_right {
            return Ok(());
        }
        let (section, name) = key.rsplit_once('.').unwrap_or(("", key));
        let problem = Problem::WrongValue {
            section: section.to_owned(),
            key: name.to_owned(),
            value: value.to_string(),
            expected: expected.to_owned(),
        };
        Err(ConfigError::new(self.file, self.line(key), problem))
    }

    /// A number of a range; what is no number is in none.
    pub fn range(
        &self,
        key: &str,
        value: f64,
        minimum: f64,
        maximum: f64,
    ) -> Result<(), ConfigError> {
        let expected = format!("a number from {minimum} to {maximum}");
        self.require(key, value, (minimum..=maximum).contains(&value), &expected)
    }

    /// Two numbers in ascending order.
    pub fn interval(&self, key: &str, [low, high]: [f64; 2]) -> Result<(), ConfigError> {
        let is_right = low.is_finite() && high.is_finite() && low <= high;
        self.require(key, format!("[{low}, {high}]"), is_right, "[smallest, largest]")
    }

    pub fn line(&self, key: &str) -> Option<usize> {
        let parsed = DeTable::parse(self.text).ok()?;
        let span = span_of(parsed.get_ref(), key)?;
        Some(line_of_offset(self.text, span.start))
    }
}

fn span_of(table: &DeTable<'_>, key: &str) -> Option<Range<usize>> {
    let (first, rest) = match key.split_once('.') {
        Some((first, rest)) => (first, Some(rest)),
        None => (key, None),
    };
    let (name, value) = table.iter().find(|(name, _)| name.get_ref() == first)?;
    match (rest, value.get_ref()) {
        (None, _) => Some(name.span()),
        (Some(rest), DeValue::Table(inner)) => span_of(inner, rest),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        #[expect(dead_code)]
        speed: f64,
        #[expect(dead_code)]
        seed: Option<u64>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        #[expect(dead_code)]
        inner: Inner,
    }

    fn message(text: &str) -> String {
        parse::<Outer>(Path::new("x.toml"), text).unwrap_err().to_string()
    }

    #[test]
    fn errors_name_line_and_allowed_names() {
        assert_eq!(
            message("# comment\n[inner]\nspeed = 1.0\nsed = 1\n"),
            "x.toml, line 4: unknown field `sed`, expected `speed` or `seed` (did you mean 'seed'?)"
        );
        let wrong_type = message("[inner]\nspeed = \"fast\"\n");
        assert!(
            wrong_type.starts_with("x.toml, line 2: invalid type: string \"fast\""),
            "{wrong_type}"
        );
        assert!(message("[inner\n").starts_with("x.toml, line 1: "));
    }

    #[test]
    fn ranges_name_the_line_of_their_key() {
        let text = "[a]\nx = 1\n[a.b]\n\ny = 2\n";
        let checks = Checks { file: Path::new("x.toml"), text };
        assert_eq!(
            checks.range("a.b.y", 2.0, 3.0, 4.0).unwrap_err().to_string(),
            "x.toml, line 5: y = '2' in [a.b] is wrong: expected a number from 3 to 4"
        );
        assert!(checks.range("a.x", f64::NAN, 0.0, 4.0).is_err());
        assert!(checks.interval("a.x", [1.0, 0.0]).is_err());
        assert!(checks.range("a.x", 1.0, 0.0, 4.0).is_ok());
        // A default that is wrong has no line.
        assert_eq!(checks.range("c.z", 9.0, 0.0, 4.0).unwrap_err().line, None);
    }
}
