//! Typed reading of an [`Ini`]: every key asked for is an allowed key, and what nobody asked for is an error that
//! lists them.

use super::{
    error::{ConfigError, Problem, nearest_name},
    ini::Ini,
};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// Where the values of a configuration stood, so that later complaints (a missing path) can name the line.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConfigOrigin {
    pub file: PathBuf,
    lines: BTreeMap<(String, String), usize>,
}

impl ConfigOrigin {
    /// Line of a key, if the file has it.
    pub fn line(&self, section: &str, key: &str) -> Option<usize> {
        self.lines.get(&(section.to_owned(), key.to_lowercase())).copied()
    }

    /// The complaint about a path that is not there; `None` if it is.
    pub(crate) fn missing_path(
        &self,
        section: &str,
        key: &str,
        path: &Path,
    ) -> Option<ConfigError> {
        if path.exists() {
            return None;
        }
        let problem = Problem::MissingPath { role: key.to_owned(), path: path.to_owned() };
        Some(ConfigError::new(&self.file, self.line(section, key), problem))
    }
}

/// Reads the sections of one file.
pub(crate) struct IniReader<'a> {
    ini: &'a Ini,
    asked_sections: Vec<String>,
    origin: ConfigOrigin,
}

impl<'a> IniReader<'a> {
    pub fn new(ini: &'a Ini) -> Self {
        let origin = ConfigOrigin { file: ini.file.clone(), lines: BTreeMap::new() };
        Self { ini, asked_sections: Vec::new(), origin }
    }

    /// A section that may be absent; then every key of it takes its default.
    pub fn section(&mut self, name: &str) -> SectionReader<'_, 'a> {
        self.asked_sections.push(name.to_owned());
        SectionReader { reader: self, name: name.to_owned(), asked_keys: Vec::new() }
    }

    /// A section that must be there.
    pub fn required_section(&mut self, name: &str) -> Result<SectionReader<'_, 'a>, ConfigError> {
        if self.ini.section(name).is_some() {
            return Ok(self.section(name));
        }
        // A section written in another case is unknown *and* missing: say the more helpful thing.
        let similar = self
            .ini
            .sections
            .iter()
            .find(|section| nearest_name(&section.name, [name]).is_some())
            .map(|section| (section.name.clone(), section.line));
        let section = name.to_owned();
        let (line, problem) = match similar {
            Some((written, line)) => {
                let (allowed, suggestion) = (vec![section.clone()], Some(section));
                let problem = Problem::UnknownSection { section: written, allowed, suggestion };
                (Some(line), problem)
            }
            None => (None, Problem::MissingSection { section }),
        };
        Err(ConfigError::new(&self.ini.file, line, problem))
    }

    /// Refuses sections nobody asked for.
    pub fn finish(self) -> Result<ConfigOrigin, ConfigError> {
        let unknown =
            self.ini.sections.iter().find(|section| !self.asked_sections.contains(&section.name));
        match unknown {
            None => Ok(self.origin),
            Some(section) => {
                let suggestion =
                    nearest_name(&section.name, self.asked_sections.iter().map(String::as_str));
                let problem = Problem::UnknownSection {
                    section: section.name.clone(),
                    allowed: self.asked_sections,
                    suggestion,
                };
                Err(ConfigError::new(&self.ini.file, Some(section.line), problem))
            }
        }
    }
}

/// Reads the keys of one section. An empty value counts as absent where the key has a default.
pub(crate) struct SectionReader<'r, 'a> {
    reader: &'r mut IniReader<'a>,
    name: String,
    asked_keys: Vec<String>,
}

impl SectionReader<'_, '_> {
    /// The value as it stands, or `None` if the key is absent or empty.
    pub fn text(&mut self, key: &str) -> Result<Option<String>, ConfigError> {
        self.asked_keys.push(key.to_owned());
        let Some((value, line)) = self.reader.ini.get(&self.name, key)? else { return Ok(None) };
        self.reader.origin.lines.insert((self.name.clone(), key.to_lowercase()), line);
        Ok((!value.is_empty()).then_some(value))
    }

    pub fn path(&mut self, key: &str) -> Result<Option<PathBuf>, ConfigError> {
        Ok(self.text(key)?.map(PathBuf::from))
    }

    pub fn required_path(&mut self, key: &str) -> Result<PathBuf, ConfigError> {
        self.path(key)?.ok_or_else(|| self.missing(key, "a path"))
    }

    /// A comma-separated list; empty where the key is absent.
    pub fn list(&mut self, key: &str) -> Result<Vec<String>, ConfigError> {
        let text = self.text(key)?.unwrap_or_default();
        if text.is_empty() {
            return Ok(Vec::new());
        }
        let items: Vec<String> = text.split(',').map(|item| item.trim().to_owned()).collect();
        if items.iter().any(String::is_empty) {
            return Err(self.wrong(key, &text, "names separated by single commas"));
        }
        Ok(items)
    }

    /// The words of Python's `getboolean`.
    pub fn boolean(&mut self, key: &str) -> Result<Option<bool>, ConfigError> {
        let Some(text) = self.text(key)? else { return Ok(None) };
        match text.to_lowercase().as_str() {
            "yes" | "true" | "on" | "1" => Ok(Some(true)),
            "no" | "false" | "off" | "0" => Ok(Some(false)),
            _ => Err(self.wrong(key, &text, "yes or no (also true/false, on/off, 1/0)")),
        }
    }

    /// A finite number within `minimum..=maximum`.
    pub fn number(
        &mut self,
        key: &str,
        minimum: f64,
        maximum: f64,
    ) -> Result<Option<f64>, ConfigError> {
        let Some(text) = self.text(key)? else { return Ok(None) };
        match text.parse::<f64>() {
            Ok(number) if (minimum..=maximum).contains(&number) => Ok(Some(number)),
            _ => Err(self.wrong(key, &text, &format!("a number from {minimum} to {maximum}"))),
        }
    }

    /// A whole number within `minimum..=maximum`.
    pub fn whole(
        &mut self,
        key: &str,
        minimum: usize,
        maximum: usize,
    ) -> Result<Option<usize>, ConfigError> {
        let Some(text) = self.text(key)? else { return Ok(None) };
        match text.parse::<usize>() {
            Ok(number) if (minimum..=maximum).contains(&number) => Ok(Some(number)),
            _ => {
                Err(self.wrong(key, &text, &format!("a whole number from {minimum} to {maximum}")))
            }
        }
    }

    /// One of some words, in any case.
    pub fn word<T: Copy>(
        &mut self,
        key: &str,
        words: &[(&str, T)],
    ) -> Result<Option<T>, ConfigError> {
        let Some(text) = self.text(key)? else { return Ok(None) };
        let found = words.iter().find(|(word, _)| word.eq_ignore_ascii_case(&text));
        match found {
            Some((_, meaning)) => Ok(Some(*meaning)),
            None => {
                let allowed: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
                Err(self.wrong(key, &text, &allowed.join(" or ")))
            }
        }
    }

    /// A value of the right form that means nothing.
    pub fn wrong(&self, key: &str, value: &str, expected: &str) -> ConfigError {
        let problem = Problem::WrongValue {
            section: self.name.clone(),
            key: key.to_owned(),
            value: value.to_owned(),
            expected: expected.to_owned(),
        };
        self.error(key, problem)
    }

    pub fn missing(&self, key: &str, expected: &str) -> ConfigError {
        let problem = Problem::MissingKey {
            section: self.name.clone(),
            key: key.to_owned(),
            expected: expected.to_owned(),
        };
        let error = self.error(key, problem);
        let header = self.reader.ini.section(&self.name).map(|section| section.line);
        ConfigError { line: error.line.or(header), ..error }
    }

    fn error(&self, key: &str, problem: Problem) -> ConfigError {
        let line = self.reader.origin.line(&self.name, key);
        ConfigError::new(&self.reader.ini.file, line, problem)
    }

    /// Refuses keys nobody asked for.
    pub fn finish(self) -> Result<(), ConfigError> {
        let Some(section) = self.reader.ini.section(&self.name) else { return Ok(()) };
        let is_asked = |key: &str| self.asked_keys.iter().any(|asked| asked.to_lowercase() == key);
        let Some(unknown) = section.entries.iter().find(|entry| !is_asked(&entry.key)) else {
            return Ok(());
        };
        let problem = Problem::UnknownKey {
            section: self.name,
            key: unknown.key.clone(),
            suggestion: nearest_name(&unknown.key, self.asked_keys.iter().map(String::as_str)),
            allowed: self.asked_keys,
        };
        Err(ConfigError::new(&self.reader.ini.file, Some(unknown.line), problem))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ini(text: &str) -> Ini {
        Ini::parse(Path::new("test.cfg"), text).unwrap()
    }

    #[test]
    fn wrong_values_say_what_is_allowed() {
        let ini = ini("[A]\nflag = maybe\nnumber = many\nsmall = 0\nlist = a,,b\nmode = fast\n");
        let mut reader = IniReader::new(&ini);
        let mut section = reader.section("A");
        let messages = [
            section.boolean("flag").unwrap_err().to_string(),
            section.number("number", 0.0, 9.0).unwrap_err().to_string(),
            section.whole("small", 1, 9).unwrap_err().to_string(),
            section.list("list").unwrap_err().to_string(),
            section.word("mode", &[("standard", 1)]).unwrap_err().to_string(),
        ];
        assert_eq!(
            messages,
            [
                "test.cfg, line 2: flag = 'maybe' in [A] is wrong: expected yes or no (also true/false, on/off, 1/0)",
                "test.cfg, line 3: number = 'many' in [A] is wrong: expected a number from 0 to 9",
                "test.cfg, line 4: small = '0' in [A] is wrong: expected a whole number from 1 to 9",
                "test.cfg, line 5: list = 'a,,b' in [A] is wrong: expected names separated by single commas",
                "test.cfg, line 6: mode = 'fast' in [A] is wrong: expected standard",
            ]
        );
    }

    #[test]
    fn no_number_is_no_number() {
        let ini = ini("[A]\nx = NaN\ny = inf\n");
        let mut reader = IniReader::new(&ini);
        let mut section = reader.section("A");
        assert!(section.number("x", 0.0, 1e9).is_err());
        assert!(section.number("y", 0.0, 1e9).is_err());
    }

    #[test]
    fn unknown_names_list_the_allowed_ones() {
        let ini = ini("[A]\nimput = x\n[b]\n");
        let mut reader = IniReader::new(&ini);
        let mut section = reader.section("A");
        section.path("input").unwrap();
        section.path("output").unwrap();
        assert_eq!(
            section.finish().unwrap_err().to_string(),
            "test.cfg, line 2: unknown key 'imput' in [A] (did you mean 'input'?); allowed: input, output"
        );
        assert_eq!(
            reader.finish().unwrap_err().to_string(),
            "test.cfg, line 3: unknown section [b] (did you mean 'A'?); allowed: A"
        );
    }

    #[test]
    fn a_section_in_the_wrong_case_is_pointed_at() {
        let ini = ini("\n[general]\ninput = x\n");
        let mut reader = IniReader::new(&ini);
        let error = reader.required_section("General").err().unwrap();
        assert_eq!(
            error.to_string(),
            "test.cfg, line 2: unknown section [general] (did you mean 'General'?); allowed: General"
        );
    }
}
