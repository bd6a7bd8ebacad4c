//! What a product looks like: the compiled form of the descriptors under `config/products/`.

use super::compiler::{self, Source};
use super::value::{Format, Value};
use serde_json::{Value as Json, json};
use std::{fmt, path::Path, path::PathBuf};

/// Values a keyword or a column may have.
#[derive(Debug, Clone, PartialEq)]
pub enum Expected {
    /// Anything of the right type.
    Any,
    /// One of an enumeration, as text.
    OneOf(Vec<String>),
    /// A number of a closed interval.
    Between(f64, f64),
}

impl Expected {
    /// Whether a value is one of them.
    pub fn holds(&self, value: &Value) -> bool {
        match (self, value) {
            (Self::Any, _) => true,
            (Self::Between(low, high), _) => {
                value.number().is_some_and(|number| (*low..=*high).contains(&number))
            }
            (Self::OneOf(names), Value::Text(text)) => names.iter().any(|name| name == text),
            (Self::OneOf(names), _) => value.number().is_some_and(|number| {
                names.iter().any(|name| name.parse::<f64>().is_ok_and(|named| named == number))
            }),
        }
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => formatter.write_str("anything"),
            Self::OneOf(names) => write!(formatter, "one of {}", names.join(", ")),
            Self::Between(low, high) => write!(formatter, "{low} to {high}"),
        }
    }
}

/// One row of a descriptor: a keyword of a header or a column of the table.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Keyword or column name. Of a numbered keyword (`DEGRnn`) the stem (`DEGR`).
    pub name: String,
    pub description: String,
    pub format: Format,
    /// Unit in the form of the FITS Standard; empty for none.
    pub unit: String,
    /// Taken where the maker offers nothing; without one the maker must offer a value.
    pub default: Option<Value>,
    pub expected: Expected,
    pub remark: String,
    /// Unified content descriptor (IVOA UCD1+) of a column; empty for none.
    pub ucd: String,
    /// Whether the scientific data base can be searched by it.
    pub searchable: bool,
    /// A keyword that repeats with a two-digit number, from none to 99 times.
    pub numbered: bool,
}

/// A product card, compiled.
#[derive(Debug, Clone, PartialEq)]
pub struct Descriptor {
    /// Short name, as in file names and product keys: `DT_GFT`.
    pub card: String,
    /// Name of the table extension and value of CARD: `DT_GFT_FGFT`.
    pub extension: String,
    /// Keywords of the primary header, in file order.
    pub primary: Vec<Entry>,
    /// Keywords of the table's header.
    pub table: Vec<Entry>,
    /// Columns of the table.
    pub columns: Vec<Entry>,
}

impl Descriptor {
    /// The column of that name.
    pub fn column(&self, name: &str) -> Option<&Entry> {
        self.columns.iter().find(|entry| entry.name == name)
    }

    /// The JSON form of the descriptor, for other parties.
    pub fn to_json(&self) -> Json {
        let entries = |entries: &[Entry]| -> Vec<Json> { entries.iter().map(entry_json).collect() };
        json!({
            "card": self.extension,
            "PrimaryHDU": entries(&self.primary),
            "extension": {
                "name": self.extension,
                "keywords": entries(&self.table),
                "columns": entries(&self.columns),
            },
        })
    }
}

fn entry_json(entry: &Entry) -> Json {
    let default = entry.default.as_ref().map(|value| match value {
        Value::Text(text) => json!(text),
        Value::Integer(number) => json!(number),
        Value::Float(number) => json!(number),
    });
    let expected = match &entry.expected {
        Expected::Any => Json::Null,
        Expected::OneOf(names) => json!(names),
        Expected::Between(low, high) => json!({ "minimum": low, "maximum": high }),
    };
    json!({
        "name": if entry.numbered { format!("{}nn", entry.name) } else { entry.name.clone() },
        "description": entry.description,
        "format": entry.format.to_string(),
        "unit": entry.unit,
        "default": default,
        "expected": expected,
        "ucd": entry.ucd,
        "remark": entry.remark,
        "sdb": entry.searchable,
    })
}

/// A place in a descriptor that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {what}")]
pub struct DescriptorFault {
    pub file: String,
    /// Counted from 1.
    pub line: usize,
    pub what: String,
}

/// Why descriptors cannot be used. Another try will not help before the files are changed.
#[derive(Debug, thiserror::Error)]
pub enum DescriptorError {
    #[error("{path}: {source}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{path}: no descriptor (*.tsv) in it")]
    Nothing { path: PathBuf },
    /// Every fault of every file.
    #[error("{}", list(.0))]
    Invalid(Vec<DescriptorFault>),
}

fn list(faults: &[DescriptorFault]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// The shipped descriptors: file stem and text.
const EMBEDDED: [(&str, &str); 10] = [
    ("common", include_str!("../../config/products/common.tsv")),
    ("gft", include_str!("../../config/products/gft.tsv")),
    ("DT_GFT", include_str!("../../config/products/DT_GFT.tsv")),
    ("QPO_GFT", include_str!("../../config/products/QPO_GFT.tsv")),
    ("PO_GFT", include_str!("../../config/products/PO_GFT.tsv")),
    ("QF_GFT", include_str!("../../config/products/QF_GFT.tsv")),
    ("LC_GFT", include_str!("../../config/products/LC_GFT.tsv")),
    ("QLC_GFT", include_str!("../../config/products/QLC_GFT.tsv")),
    ("QTI_GFT", include_str!("../../config/products/QTI_GFT.tsv")),
    ("GFTMETA", include_str!("../../config/products/GFTMETA.tsv")),
];

/// The descriptors of all cards.
#[derive(Debug, Clone, PartialEq)]
pub struct DescriptorSet {
    descriptors: Vec<Descriptor>,
}

impl DescriptorSet {
    /// The descriptors shipped with the program.
    ///
    /// # Errors
    /// [`DescriptorError::Invalid`] if one of them does not compile, which a test rules out.
    pub fn embedded() -> Result<Self, DescriptorError> {
        let sources: Vec<Source> = EMBEDDED
            .iter()
            .map(|(stem, text)| Source {
                stem: (*stem).to_owned(),
                file: format!("config/products/{stem}.tsv"),
                text: (*text).to_owned(),
            })
            .collect();
        compiler::compile(&sources)
            .map(|descriptors| Self { descriptors })
            .map_err(DescriptorError::Invalid)
    }

    /// Compiles every `*.tsv` of a directory.
    ///
    /// # Errors
    /// [`DescriptorError`] with every fault found, with file and line.
    pub fn load(directory: &Path) -> Result<Self, DescriptorError> {
        let read_error = |path: &Path, source| DescriptorError::Read { path: path.into(), source };
        let mut paths = Vec::new();
        for item in std::fs::read_dir(directory).map_err(|error| read_error(directory, error))? {
            let path = item.map_err(|error| read_error(directory, error))?.path();
            if path.extension().is_some_and(|extension| extension == "tsv") {
                paths.push(path);
            }
        }
        paths.sort();
        let mut sources = Vec::new();
        for path in &paths {
            let text =
                crate::config::read_bounded_text(path).map_err(|error| read_error(path, error))?;
            let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            sources.push(Source { stem, file: path.display().to_string(), text });
        }
        let descriptors = compiler::compile(&sources).map_err(DescriptorError::Invalid)?;
        if descriptors.is_empty() {
            return Err(DescriptorError::Nothing { path: directory.to_owned() });
        }
        Ok(Self { descriptors })
    }

    /// The descriptor of a card, by its short name (`DT_GFT`) or its full one (`DT_GFT_FGFT`).
    pub fn get(&self, card: &str) -> Option<&Descriptor> {
        self.descriptors.iter().find(|entry| entry.card == card || entry.extension == card)
    }

    /// All descriptors.
    pub fn iter(&self) -> impl Iterator<Item = &Descriptor> {
        self.descriptors.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_descriptors_compile_and_have_the_common_header() {
        let set = DescriptorSet::embedded().unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(set.iter().count(), 8);
        for descriptor in set.iter() {
            let names: Vec<&str> =
                descriptor.primary.iter().map(|entry| entry.name.as_str()).collect();
            assert_eq!(
                names[..17],
                [
                    "ORIGIN", "TELESCOP", "INSTRUME", "CREATOR", "CARD", "PROGRAM", "PRDM_VER",
                    "GLDM_VER", "PROC_VER", "PIP_VER", "DSTREAM", "DATE", "TIMEREF", "TIMESYS",
                    "TIMEUNIT", "MJDREFI", "MJDREFF"
                ],
                "{}",
                descriptor.card
            );
            for needed in ["BURST_ID", "OBS_ID", "GFT_TGID", "GFT_OBID", "TRIG_MJD", "CANDNUMB"] {
                assert!(names.contains(&needed), "{} lacks {needed}", descriptor.card);
            }
            assert_eq!(descriptor.extension, format!("{}_FGFT", descriptor.card));
            for column in &descriptor.columns {
                assert!(!column.ucd.is_empty(), "{} {}", descriptor.card, column.name);
            }
        }
        assert_eq!(set.get("QLC_GFT"), set.get("QLC_GFT_FGFT"));
        assert!(set.get("XX_GFT").is_none());
    }

    #[test]
    fn a_directory_of_descriptors_gives_the_same_as_the_embedded_ones() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/products");
        let loaded = DescriptorSet::load(&directory).unwrap();
        for descriptor in DescriptorSet::embedded().unwrap().iter() {
            assert_eq!(loaded.get(&descriptor.card), Some(descriptor));
        }
        let empty = tempfile::tempdir().unwrap();
        assert!(matches!(DescriptorSet::load(empty.path()), Err(DescriptorError::Nothing { .. })));
        let missing = empty.path().join("nothing");
        assert!(matches!(DescriptorSet::load(&missing), Err(DescriptorError::Read { .. })));
    }

    #[test]
    fn expected_values() {
        let names = Expected::OneOf(vec!["0".to_owned(), "1".to_owned()]);
        assert!(names.holds(&Value::Integer(1)));
        assert!(!names.holds(&Value::Integer(2)));
        assert!(!names.holds(&Value::from("2")));
        assert!(Expected::Between(0.0, 360.0).holds(&Value::Float(360.0)));
        assert!(!Expected::Between(0.0, 360.0).holds(&Value::Float(f64::NAN)));
        assert!(!Expected::Between(0.0, 360.0).holds(&Value::from("10")));
    }

    #[test]
    fn the_json_form_names_every_column() {
        let set = DescriptorSet::embedded().unwrap();
        let json = set.get("DT_GFT").unwrap().to_json();
        assert_eq!(json["card"], "DT_GFT_FGFT");
        assert_eq!(json["extension"]["columns"][0]["name"], "FILTER");
        assert_eq!(json["PrimaryHDU"][15]["default"], 57754);
    }
}
