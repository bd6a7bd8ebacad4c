//! The seeds' `.cfg` files, read as Python's `configparser.ConfigParser()` reads them with its defaults:
//! keys are case-insensitive, sections are not; `=` or `:` between key and value, the first one counts;
//! whole-line comments with `#` or `;`, none after a value; a line indented deeper than its key goes on with the
//! value, blank lines included; `[DEFAULT]` lends its keys to all sections; `%(key)s` is interpolated and `%%` is a
//! per cent sign; sections and keys must not stand twice. `tests/oracles/ini.py` holds this reader to Python's.
//!
//! Unlike Python's, each section and key remembers its line.

use super::error::{ConfigError, Problem};
use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

/// One key with its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IniEntry {
    /// In lower case.
    pub key: String,
    /// Lines of a continued value are separated by `\n`; not yet interpolated.
    pub value: String,
    /// Line of the key, counted from 1.
    pub line: usize,
}

/// One section in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IniSection {
    pub name: String,
    /// Line of the header, counted from 1.
    pub line: usize,
    pub entries: Vec<IniEntry>,
}

impl IniSection {
    /// The entry of a key given in any case.
    pub fn entry(&self, key: &str) -> Option<&IniEntry> {
        let key = key.to_lowercase();
        self.entries.iter().find(|entry| entry.key == key)
    }
}

/// A parsed file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ini {
    /// The file the text came from; only for messages.
    pub file: PathBuf,
    /// All sections but `[DEFAULT]`.
    pub sections: Vec<IniSection>,
    /// The keys of `[DEFAULT]`.
    pub defaults: Vec<IniEntry>,
}

const DEFAULT_SECTION: &str = "DEFAULT";
/// Depth to which Python follows `%(key)s` in the value of another key.
const MAXIMUM_INTERPOLATION_DEPTH: usize = 10;

impl Ini {
    /// Reads and parses a file of UTF-8 text.
    pub fn read(file: &Path) -> Result<Self, ConfigError> {
        let text = super::bounded_file::read_bounded_text(file).map_err(|error| {
            ConfigError::new(file, None, Problem::Unreadable { reason: error.to_string() })
        })?;
        Self::parse(file, &text)
    }

    /// Parses a text; `file` is named in the errors. Stops at the first error.
    pub fn parse(file: &Path, text: &str) -> Result<Self, ConfigError> {
        let mut parser = Parser::new(file);
        for (index, line) in lines(text).enumerate() {
            parser.take_line(index + 1, line)?;
        }
        Ok(parser.finish())
    }

    pub fn section(&self, name: &str) -> Option<&IniSection> {
        self.sections.iter().find(|section| section.name == name)
    }

    /// Value of a key, interpolated, from its section or else from `[DEFAULT]`, with its line.
    pub fn get(&self, section: &str, key: &str) -> Result<Option<(String, usize)>, ConfigError> {
        let Some(entry) = self.entry(section, key) else { return Ok(None) };
        let value = self.interpolate(section, entry, 1)?;
        Ok(Some((value, entry.line)))
    }

    fn entry(&self, section: &str, key: &str) -> Option<&IniEntry> {
        let key = key.to_lowercase();
        self.section(section)
            .and_then(|section| section.entry(&key))
            .or_else(|| self.defaults.iter().find(|entry| entry.key == key))
    }

    fn interpolate(
        &self,
        section: &str,
        entry: &IniEntry,
        depth: usize,
    ) -> Result<String, ConfigError> {
        let failed = |what: String| {
            let expected = format!("{what}; write %% for a per cent sign");
            let problem = Problem::WrongValue {
                section: section.to_owned(),
                key: entry.key.clone(),
                value: entry.value.clone(),
                expected,
            };
            ConfigError::new(&self.file, Some(entry.line), problem)
        };
        if !entry.value.contains('%') {
            return Ok(entry.value.clone());
        }
        if depth > MAXIMUM_INTERPOLATION_DEPTH {
            return Err(failed("fewer than 11 levels of %(key)s".to_owned()));
        }
        let mut interpolated = String::new();
        let mut rest = entry.value.as_str();
        while let Some((before, after)) = rest.split_once('%') {
            interpolated.push_str(before);
            if let Some(after_sign) = after.strip_prefix('%') {
                interpolated.push('%');
                rest = after_sign;
                continue;
            }
            let reference = after
                .strip_prefix('(')
                .and_then(|inner| inner.split_once(")s"))
                .filter(|(name, _)| !name.is_empty() && !name.contains(')'));
            let Some((name, after_reference)) = reference else {
                return Err(failed("%(key)s after a single %".to_owned()));
            };
            let referred = self.entry(section, name).ok_or_else(|| {
                failed(format!("%(key)s with a key of this section, not '{name}'"))
            })?;
            interpolated.push_str(&self.interpolate(section, referred, depth + 1)?);
            rest = after_reference;
        }
        interpolated.push_str(rest);
        Ok(interpolated)
    }

    /// Writes the file so that reading it gives the same sections, keys and values (lines may differ).
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        write_section(&mut text, DEFAULT_SECTION, &self.defaults);
        for section in &self.sections {
            write_section(&mut text, &section.name, &section.entries);
        }
        text
    }
}

fn write_section(text: &mut String, name: &str, entries: &[IniEntry]) {
    if name == DEFAULT_SECTION && entries.is_empty() {
        return;
    }
    // Writing to a String cannot fail.
    let _ = writeln!(text, "[{name}]");
    for entry in entries {
        let _ = writeln!(text, "{} = {}", entry.key, entry.value.replace('\n', "\n\t"));
    }
    text.push('\n');
}

/// Lines as Python's universal newlines split them: at `\n`, `\r\n` and `\r`.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let Some(end) = rest.find(['\n', '\r']) else {
            return Some(std::mem::take(&mut rest));
        };
        let (line, after) = rest.split_at(end);
        rest = after.strip_prefix("\r\n").or_else(|| after.get(1..)).unwrap_or_default();
        Some(line)
    })
}

/// What `str.isspace` says: Unicode white space and the four ASCII separators.
fn is_space(letter: char) -> bool {
    letter.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&letter)
}

/// The value being read, which the next lines may go on with.
struct OpenValue {
    entry: IniEntry,
    value_lines: Vec<String>,
}

struct Parser<'a> {
    file: &'a Path,
    ini: Ini,
    /// `None` before the first header.
    in_section: Option<Place>,
    open_value: Option<OpenValue>,
    /// Columns of white space before the last header or key.
    indentation: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Defaults,
    LastSection,
}

impl<'a> Parser<'a> {
    fn new(file: &'a Path) -> Self {
        Self {
            file,
            ini: Ini { file: file.to_owned(), ..Ini::default() },
            in_section: None,
            open_value: None,
            indentation: 0,
        }
    }

    fn error(&self, line: usize, problem: Problem) -> ConfigError {
        ConfigError::new(self.file, Some(line), problem)
    }

    fn take_line(&mut self, number: usize, line: &str) -> Result<(), ConfigError> {
        let stripped = line.trim_matches(is_space);
        if stripped.starts_with(['#', ';']) {
            return Ok(());
        }
        if stripped.is_empty() {
            if let Some(open) = &mut self.open_value {
                open.value_lines.push(String::new());
            }
            return Ok(());
        }
        let indentation = line.chars().take_while(|letter| is_space(*letter)).count();
        if indentation > self.indentation
            && let Some(open) = &mut self.open_value
        {
            open.value_lines.push(stripped.to_owned());
            return Ok(());
        }
        self.indentation = indentation;
        if let Some(name) = section_name(stripped) {
            return self.open_section(number, name);
        }
        let Some(place) = self.in_section else {
            let problem = Problem::Syntax(format!("expected a [section] before '{stripped}'"));
            return Err(self.error(number, problem));
        };
        let Some((key, value)) = stripped.split_once(['=', ':']) else {
            let problem =
                Problem::Syntax(format!("expected [section] or key = value, not '{stripped}'"));
            return Err(self.error(number, problem));
        };
        self.open_key(number, place, key.trim_end_matches(is_space), value.trim_matches(is_space))
    }

    fn open_section(&mut self, number: usize, name: &str) -> Result<(), ConfigError> {
        self.close_value();
        if name == DEFAULT_SECTION {
            self.in_section = Some(Place::Defaults);
            return Ok(());
        }
        if let Some(first) = self.ini.section(name) {
            let problem =
                Problem::DuplicateSection { section: name.to_owned(), first_line: first.line };
            return Err(self.error(number, problem));
        }
        self.in_section = Some(Place::LastSection);
        self.ini.sections.push(IniSection {
            name: name.to_owned(),
            line: number,
            entries: Vec::new(),
        });
        Ok(())
    }

    fn open_key(
        &mut self,
        number: usize,
        place: Place,
        key: &str,
        value: &str,
    ) -> Result<(), ConfigError> {
        self.close_value();
        if key.is_empty() {
            let problem = Problem::Syntax(format!("a key is missing before '= {value}'"));
            return Err(self.error(number, problem));
        }
        let key = key.to_lowercase();
        let (section, entries) = match (place, self.ini.sections.last()) {
            (Place::LastSection, Some(section)) => (section.name.as_str(), &section.entries),
            _ => (DEFAULT_SECTION, &self.ini.defaults),
        };
        if let Some(first) = entries.iter().find(|entry| entry.key == key) {
            let problem =
                Problem::DuplicateKey { section: section.to_owned(), key, first_line: first.line };
            return Err(self.error(number, problem));
        }
        self.open_value = Some(OpenValue {
            entry: IniEntry { key, value: String::new(), line: number },
            value_lines: vec![value.to_owned()],
        });
        Ok(())
    }

    fn close_value(&mut self) {
        let Some(OpenValue { mut entry, value_lines }) = self.open_value.take() else { return };
        entry.value = value_lines.join("\n").trim_end_matches(is_space).to_owned();
        match (self.in_section, self.ini.sections.last_mut()) {
            (Some(Place::LastSection), Some(section)) => section.entries.push(entry),
            _ => self.ini.defaults.push(entry),
        }
    }

    fn finish(mut self) -> Ini {
        self.close_value();
        self.ini
    }
}

/// The name in `[name]`: up to the last closing bracket, as Python's greedy expression takes it; what follows the
/// bracket is ignored.
fn section_name(stripped: &str) -> Option<&str> {
    let inner = stripped.strip_prefix('[')?;
    let name = inner.get(..inner.rfind(']')?)?;
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn parse(text: &str) -> Result<Ini, ConfigError> {
        Ini::parse(Path::new("test.cfg"), text)
    }

    /// Sections, keys and values as Python's parser gives them, `[DEFAULT]` merged in.
    fn as_python_sees_it(ini: &Ini) -> Result<Value, ConfigError> {
        let mut sections = serde_json::Map::new();
        for section in &ini.sections {
            let mut values = serde_json::Map::new();
            for entry in ini.defaults.iter().chain(&section.entries) {
                let (value, _) = ini.get(&section.name, &entry.key)?.expect("it stands there");
                values.insert(entry.key.clone(), Value::String(value));
            }
            sections.insert(section.name.clone(), Value::Object(values));
        }
        Ok(Value::Object(sections))
    }

    #[test]
    fn reads_what_python_reads_and_refuses_what_python_refuses() {
        let cases: Vec<Value> =
            serde_json::from_str(include_str!("../../tests/oracles/ini.json")).unwrap();
        assert!(cases.len() > 30);
        for case in cases {
            let text = case["text"].as_str().unwrap();
            let ours = parse(text).and_then(|ini| as_python_sees_it(&ini));
            match &case["sections"] {
                Value::Null => assert!(ours.is_err(), "Python refuses {text:?}: {ours:?}"),
                sections => assert_eq!(&ours.unwrap(), sections, "{text:?}"),
            }
        }
    }

    #[test]
    fn errors_carry_file_and_line() {
        let error = parse("[A]\nx = 1\n# no\n\nX : 2\n").unwrap_err();
        assert_eq!(
            error.to_string(),
            "test.cfg, line 5: key 'x' stands twice in [A]; first on line 2"
        );
        let error = parse("[A]\nx = 1\n[B]\n[A]\n").unwrap_err();
        assert_eq!(
            error.to_string(),
            "test.cfg, line 4: section [A] stands twice; first on line 1"
        );
        let error = parse("\nx = 1\n").unwrap_err();
        assert_eq!(error.line, Some(2));
        let error = parse("[A]\nx = 1\r\n\r\njunk\r\n").unwrap_err();
        assert_eq!(error.line, Some(4));
    }

    #[test]
    fn lines_of_keys_are_kept() {
        let ini = parse("[A]\n\nImage subtraction = yes\n  and more\nps : 1\n").unwrap();
        assert_eq!(ini.get("A", "IMAGE SUBTRACTION").unwrap(), Some(("yes\nand more".into(), 3)));
        assert_eq!(ini.get("A", "ps").unwrap(), Some(("1".into(), 5)));
        assert_eq!(ini.get("a", "ps").unwrap(), None);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(\\[[a-zA-Z\\]]*\\]|[ \t]*[a-z%()#;]*[ ]*[=:]?[ ]*[a-z%()s]*|\\PC{0,12})(\n|\r\n|\r|\n\n){1}(\\PC|\n){0,60}") {
            if let Ok(ini) = parse(&text) {
                let _ = as_python_sees_it(&ini);
            }
        }

        #[test]
        fn what_is_written_is_read_back(
            names in prop::collection::btree_set("[A-Za-z][A-Za-z0-9 _-]{0,8}[a-z]", 1..4),
            keys in prop::collection::btree_set("[a-z][a-z0-9_ ]{0,8}[a-z]", 0..5),
            values in prop::collection::vec("[a-z0-9/.,=:]{0,5}(\n[a-z0-9/.,=:\\[]{1,5}){0,2}", 5),
        ) {
            let entries: Vec<IniEntry> = keys
                .into_iter()
                .zip(values)
                .map(|(key, value)| IniEntry { key, value, line: 0 })
                .collect();
            let sections = names
                .into_iter()
                .map(|name| IniSection { name, line: 0, entries: entries.clone() })
                .collect();
            let written = Ini { file: "test.cfg".into(), sections, defaults: Vec::new() };
            let mut read = parse(&written.to_text()).unwrap();
            for section in &mut read.sections {
                section.line = 0;
                section.entries.iter_mut().for_each(|entry| entry.line = 0);
            }
            prop_assert_eq!(read, written);
        }
    }
}
