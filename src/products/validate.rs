//! Whether a product is what its descriptor says.

use super::descriptor::{Descriptor, DescriptorSet, Entry};
use super::value::{Format, Value};
use crate::fits::{Column, ColumnData, FitsTables, Header, Table};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Something in a product that its descriptor does not allow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Keyword, or column with its row counted from 1.
    pub place: String,
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.place, self.what)
    }
}

/// Cards with one row for each filter of the keyword FILTERS.
const CARDS_BY_FILTER: [&str; 3] = ["DT_GFT", "QF_GFT", "QTI_GFT"];
/// Of a row with DETECTED = 0 these are 0, so that no error bar stands on a limit.
const ZERO_WITHOUT_DETECTION: [&str; 3] = ["MAGERR", "DT", "DT_MJD"];
/// Of a row with FITNPTS < 2 these are 0.
const ZERO_WITHOUT_FIT: [&str; 8] = [
    "FITNORM",
    "FITINDEX",
    "ERFITINDEX",
    "FITCHI2",
    "TFSTART",
    "TFSTOP",
    "TFSTARTMJD",
    "TFSTOPMJD",
];

/// Checks a product of a card (`DT_GFT` or `DT_GFT_FGFT`): keywords present, of their type and among the expected values;
/// the table with its columns, formats, units and UCDs; every cell finite and expected; the number of rows; what must be 0
/// without a detection or a fit. An empty list says that the product conforms.
pub fn validate(tables: &FitsTables, card: &str, descriptors: &DescriptorSet) -> Vec<Finding> {
    let mut check = Check { findings: Vec::new() };
    match descriptors.get(card) {
        Some(descriptor) => check.product(tables, descriptor),
        None => check.add("CARD", format!("no descriptor of the card '{card}'")),
    }
    check.findings
}

struct Check {
    findings: Vec<Finding>,
}

impl Check {
    fn add(&mut self, place: impl Into<String>, what: impl Into<String>) {
        self.findings.push(Finding { place: place.into(), what: what.into() });
    }

    fn product(&mut self, tables: &FitsTables, descriptor: &Descriptor) {
        self.header(&tables.primary, &descriptor.primary);
        if let Some(card) = tables.primary.text("CARD")
            && card != descriptor.extension
        {
            self.add("CARD", format!("'{card}' instead of '{}'", descriptor.extension));
        }
        self.check_counts(&tables.primary);
        let [table] = tables.tables.as_slice() else {
            self.add(&descriptor.extension, format!("{} tables, not one", tables.tables.len()));
            return;
        };
        if table.name != descriptor.extension {
            let what = format!("the table is called '{}'", table.name);
            self.add(&descriptor.extension, what);
        }
        self.header(&table.header, &descriptor.table);
        self.columns(table, descriptor);
        if CARDS_BY_FILTER.contains(&descriptor.card.as_str()) {
            self.filters(&tables.primary, table);
        }
        self.zeros(table, "DETECTED", 1.0, &ZERO_WITHOUT_DETECTION);
        self.zeros(table, "FITNPTS", 2.0, &ZERO_WITHOUT_FIT);
    }

    fn header(&mut self, header: &Header, entries: &[Entry]) {
        for entry in entries.iter().filter(|entry| !entry.numbered) {
            match header.get(&entry.name).map(|card| card.value.as_ref()) {
                None => self.add(&entry.name, "the keyword is missing"),
                Some(None) => self.add(&entry.name, "the keyword has no value"),
                Some(Some(value)) => self.value(entry, &entry.name, &Value::of_card(value)),
            }
        }
        for card in &header.cards {
            let name = card.keyword.as_str();
            if matches!(name, "HISTORY" | "COMMENT") || name.starts_with("TUCD") {
                continue;
            }
            let described = entries.iter().find(|entry| {
                entry.name == name || (entry.numbered && is_numbered(name, &entry.name))
            });
            match (described, &card.value) {
                (None, _) => self.add(name, "the descriptor has no such keyword"),
                (Some(entry), Some(value)) if entry.numbered => {
                    self.value(entry, name, &Value::of_card(value));
                }
                _ => {}
            }
            if header.cards.iter().filter(|other| other.keyword == name).count() > 1 {
                self.add(name, "the keyword is there more than once");
            }
        }
    }

    /// A count of 0 needs its reason, and NDEGR must count.
    fn check_counts(&mut self, primary: &Header) {
        if primary.number("CANDNUMB") == Some(0.0)
            && primary.text("EMPTYWHY").is_none_or(|reason| reason.is_empty())
        {
            self.add("EMPTYWHY", "no candidate and no reason");
        }
        let count = primary.cards.iter().filter(|card| is_numbered(&card.keyword, "DEGR")).count();
        if let Some(said) = primary.number("NDEGR")
            && said != count as f64
        {
            self.add("NDEGR", format!("says {said}, there are {count} DEGRnn cards"));
        }
    }

    fn value(&mut self, entry: &Entry, place: &str, value: &Value) {
        if !entry.format.accepts(value) {
            self.add(place, format!("{value} is not of format {}", entry.format));
            return;
        }
        if value.number().is_some_and(|number| !number.is_finite()) {
            self.add(place, format!("{value} is not finite"));
            return;
        }
        if let (Format::Text(width), Value::Text(text)) = (entry.format, value)
            && text.len() > width
        {
            self.add(place, format!("{value} has more than {width} characters"));
        }
        if !entry.expected.holds(value) {
            self.add(place, format!("{value} is not {}", entry.expected));
        }
    }

    fn columns(&mut self, table: &Table, descriptor: &Descriptor) {
        let found: Vec<&str> = table.columns.iter().map(|column| column.name.as_str()).collect();
        let described: Vec<&str> =
            descriptor.columns.iter().map(|entry| entry.name.as_str()).collect();
        if found != described {
            let what = format!("columns {} instead of {}", found.join(" "), described.join(" "));
            self.add(&descriptor.extension, what);
        }
        let rows = table.row_count();
        for (index, entry) in descriptor.columns.iter().enumerate() {
            let Some(column) = table.column(&entry.name) else { continue };
            if column.data.len() != rows {
                let what = format!("{} rows, the first column has {rows}", column.data.len());
                self.add(&entry.name, what);
            }
            if column.unit != entry.unit {
                self.add(&entry.name, format!("unit '{}', not '{}'", column.unit, entry.unit));
            }
            let format = format_of(&column.data);
            if format != entry.format {
                self.add(&entry.name, format!("format {format}, not {}", entry.format));
                continue;
            }
            let ucd = table.header.text(&format!("TUCD{}", index + 1)).unwrap_or_default();
            if ucd != entry.ucd {
                self.add(&entry.name, format!("UCD '{ucd}', not '{}'", entry.ucd));
            }
            for row in 0..column.data.len() {
                if let Some(value) = cell(column, row) {
                    self.value(entry, &format!("{} row {}", entry.name, row + 1), &value);
                }
            }
        }
    }

    fn filters(&mut self, primary: &Header, table: &Table) {
        let configured = primary.text("FILTERS").unwrap_or_default();
        let found = match table.column("FILTER").map(|column| &column.data) {
            Some(ColumnData::Text { values, .. }) => {
                values.iter().map(|filter| filter.trim_end()).collect::<Vec<_>>().join(",")
            }
            _ => return,
        };
        if found != configured {
            self.add("FILTER", format!("rows for '{found}', FILTERS is '{configured}'"));
        }
    }

    /// Columns that must be 0 where another one is below a threshold.
    fn zeros(&mut self, table: &Table, of: &str, threshold: f64, names: &[&str]) {
        let Some(deciding) = table.column(of) else { return };
        for name in names {
            let Some(column) = table.column(name) else { continue };
            for row in 0..table.row_count() {
                let number = |column| cell(column, row).and_then(|value| value.number());
                if number(deciding).is_some_and(|number| number < threshold)
                    && number(column).is_some_and(|number| number != 0.0)
                {
                    self.add(format!("{name} row {}", row + 1), format!("not 0 with {of} so low"));
                }
            }
        }
    }
}

/// `DEGR07` of `DEGR`.
fn is_numbered(name: &str, stem: &str) -> bool {
    name.strip_prefix(stem)
        .is_some_and(|digits| digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit()))
}

fn format_of(data: &ColumnData) -> Format {
    match data {
        ColumnData::Integer16(_) => Format::Integer16,
        ColumnData::Integer32(_) => Format::Integer32,
        ColumnData::Integer64(_) => Format::Integer64,
        ColumnData::Float32(_) => Format::Float32,
        ColumnData::Float64(_) => Format::Float64,
        ColumnData::Text { width, .. } => Format::Text(*width),
    }
}

/// A cell of a column; `None` beyond its last row.
pub(super) fn cell(column: &Column, row: usize) -> Option<Value> {
    match &column.data {
        ColumnData::Integer16(values) => values.get(row).map(|n| Value::Integer(i64::from(*n))),
        ColumnData::Integer32(values) => values.get(row).map(|n| Value::Integer(i64::from(*n))),
        ColumnData::Integer64(values) => values.get(row).map(|n| Value::Integer(*n)),
        ColumnData::Float32(values) => values.get(row).map(|n| Value::Float(f64::from(*n))),
        ColumnData::Float64(values) => values.get(row).map(|n| Value::Float(*n)),
        ColumnData::Text { values, .. } => values.get(row).map(|text| text.as_str().into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::products::{make, sample};

    fn product(card: &str) -> (FitsTables, DescriptorSet) {
        let descriptors = DescriptorSet::embedded().unwrap();
        let result = sample::result();
        let tables = make(card, &result, &sample::settings(), result.due_at, &descriptors).unwrap();
        (tables, descriptors)
    }

    fn findings(card: &str, change: impl Fn(&mut FitsTables)) -> Vec<String> {
        let (mut tables, descriptors) = product(card);
        change(&mut tables);
        validate(&tables, card, &descriptors).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn header_faults_are_found() {
        assert_eq!(findings("DT_GFT", |_| {}), Vec::<String>::new());
        assert_eq!(
            findings("DT_GFT", |tables| tables.primary.remove("TRIG_MJD")),
            ["TRIG_MJD: the keyword is missing"]
        );
        assert_eq!(
            findings("DT_GFT", |tables| tables.primary.set("PROC_VER", "one", "")),
            ["PROC_VER: 'one' is not of format J"]
        );
        assert_eq!(
            findings("DT_GFT", |tables| tables.primary.set("CATSTAT", "PERHAPS", "")),
            ["CATSTAT: 'PERHAPS' is not one of FOUND, EMPTY, UNAVAILABLE, STALE"]
        );
        assert_eq!(
            findings("DT_GFT", |tables| tables.primary.set("COLOUR", "blue", "")),
            ["COLOUR: the descriptor has no such keyword"]
        );
        assert_eq!(
            findings("DT_GFT", |tables| tables.primary.set("NDEGR", 3_i64, "")),
            ["NDEGR: says 3, there are 0 DEGRnn cards"]
        );
        assert_eq!(
            findings("DT_GFT", |tables| tables.primary.set("CANDNUMB", 0_i64, "")),
            ["EMPTYWHY: no candidate and no reason"]
        );
    }

    #[test]
    fn table_faults_are_found() {
        assert_eq!(
            findings("DT_GFT", |tables| tables.tables.clear()),
            ["DT_GFT_FGFT: 0 tables, not one"]
        );
        assert_eq!(
            findings("DT_GFT", |tables| tables.tables[0].columns[5].unit = "Jy".to_owned()),
            ["MAG: unit 'Jy', not 'mag'"]
        );
        assert_eq!(
            findings("DT_GFT", |tables| {
                tables.tables[0].columns[5].data = ColumnData::Float32(vec![0.0; 6]);
            }),
            ["MAG: format E, not D"]
        );
        assert_eq!(
            findings("DT_GFT", |tables| {
                let ColumnData::Float64(values) = &mut tables.tables[0].columns[5].data else {
                    panic!("MAG is a number")
                };
                values[1] = f64::NAN;
                values[2] = 99.0;
            }),
            ["MAG row 2: NaN is not finite", "MAG row 3: 99.0 is not -5 to 40"]
        );
        assert_eq!(
            findings("DT_GFT", |tables| tables.tables[0].header.remove("TUCD6")),
            ["MAG: UCD '', not 'phot.mag;em.opt'"]
        );
        assert_eq!(
            findings("QF_GFT", |tables| tables.primary.set("FILTERS", "r,i", "")),
            ["FILTER: rows for 'g,r,i,z,J,H', FILTERS is 'r,i'"]
        );
        let missing = findings("QF_GFT", |tables| {
            tables.tables[0].columns.pop();
        });
        assert_eq!(missing.len(), 1);
        assert!(missing[0].starts_with("QF_GFT_FGFT: columns FILTER DETECTED"), "{missing:?}");
    }

    #[test]
    fn figures_without_detection_or_fit_must_be_zero() {
        let (tables, _) = product("LC_GFT");
        let error = tables.tables[0].columns.iter().position(|column| column.name == "MAGERR");
        assert_eq!(
            findings("LC_GFT", |tables| {
                let ColumnData::Float64(values) =
                    &mut tables.tables[0].columns[error.unwrap()].data
                else {
                    panic!("MAGERR is a number")
                };
                values[2] = 0.1;
            }),
            ["MAGERR row 3: not 0 with DETECTED so low"]
        );
        assert_eq!(
            findings("QTI_GFT", |tables| {
                let ColumnData::Float64(values) = &mut tables.tables[0].columns[3].data else {
                    panic!("FITINDEX is a number")
                };
                values[0] = 1.2;
            }),
            ["FITINDEX row 1: not 0 with FITNPTS so low"]
        );
    }

    #[test]
    fn another_card_is_named() {
        let (tables, descriptors) = product("LC_GFT");
        let found = validate(&tables, "QLC_GFT", &descriptors);
        assert_eq!(found[0].to_string(), "CARD: 'LC_GFT_FGFT' instead of 'QLC_GFT_FGFT'");
        assert_eq!(
            validate(&tables, "VT", &descriptors)[0].to_string(),
            "CARD: no descriptor of the card 'VT'"
        );
    }
}
