//! Puts values where the descriptor says: the only way a product comes to be.

use super::descriptor::{Descriptor, Entry};
use super::maker::ProductError;
use super::value::{Format, Value};
use crate::fits::{Card, CardValue, Column, ColumnData, FitsTables, Header, Table};
use std::collections::BTreeMap;

/// Characters of a text that fits on one card with its quotes (FITS Standard 4.0, §4.2.1.1).
const CARD_TEXT_LENGTH: usize = 68;
/// Characters of a HISTORY card.
const HISTORY_LENGTH: usize = 72;

/// A row of a table: column names with their values.
pub(super) type Row = Vec<(&'static str, Value)>;

/// What a product says, before it has a form.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Content {
    pub keywords: BTreeMap<&'static str, Value>,
    /// Values of numbered keywords (`DEGR`), from 1.
    pub numbered: BTreeMap<&'static str, Vec<Value>>,
    /// Lines for HISTORY.
    pub history: Vec<String>,
    pub rows: Vec<Row>,
}

/// Forms the product of a descriptor.
///
/// Texts are brought to printable ASCII and cut to their width, numbers that are not finite become 0 (no NaN anywhere: seed
/// 003); both are said in HISTORY.
///
/// # Errors
/// [`ProductError`] for a value the descriptor has no place for, a place without value or default, and a value of another
/// type.
pub(super) fn place(
    descriptor: &Descriptor,
    content: &Content,
) -> Result<FitsTables, ProductError> {
    let mut placement = Placement { descriptor, content, notes: BTreeMap::new() };
    placement.check_offered()?;
    let mut primary = placement.header(&descriptor.primary)?;
    let mut header = placement.header(&descriptor.table)?;
    let mut columns = Vec::with_capacity(descriptor.columns.len());
    for (index, entry) in descriptor.columns.iter().enumerate() {
        if !entry.ucd.is_empty() {
            let comment = format!("UCD of {}", entry.name);
            header.set(&format!("TUCD{}", index + 1), entry.ucd.as_str(), &comment);
        }
        columns.push(placement.column(entry)?);
    }
    for line in &content.history {
        add_history(&mut primary, line);
    }
    for (name, (what, count)) in &placement.notes {
        let times = if *count == 1 { "once".to_owned() } else { format!("{count} times") };
        add_history(&mut primary, &format!("{name}: {what}, {times}"));
    }
    let table = Table { name: descriptor.extension.clone(), header, columns };
    Ok(FitsTables { primary, tables: vec![table] })
}

/// Adds HISTORY cards, broken at words so that every engine reads back what was written.
fn add_history(header: &mut Header, text: &str) {
    let mut line = String::new();
    for word in printable(text).split_whitespace() {
        let mut rest = word;
        while !rest.is_empty() {
            let separator = usize::from(!line.is_empty());
            if line.len() + separator + rest.len() <= HISTORY_LENGTH {
                if separator == 1 {
                    line.push(' ');
                }
                line.push_str(rest);
                rest = "";
            } else if line.is_empty() {
                // ASCII only, so any position is a character boundary.
                let (head, tail) = rest.split_at(HISTORY_LENGTH.min(rest.len()));
                header.history(head);
                rest = tail;
            } else {
                header.history(&line);
                line.clear();
            }
        }
    }
    if !line.is_empty() {
        header.history(&line);
    }
}

/// Other characters than printable ASCII become `?` (FITS Standard 4.0, §4.2.1).
fn printable(text: &str) -> String {
    text.chars().map(|c| if (' '..='~').contains(&c) { c } else { '?' }).collect()
}

struct Placement<'a> {
    descriptor: &'a Descriptor,
    content: &'a Content,
    /// What had to be changed, by column or keyword, and how often.
    notes: BTreeMap<String, (&'static str, usize)>,
}

impl Placement<'_> {
    /// Everything offered must have a place.
    fn check_offered(&self) -> Result<(), ProductError> {
        let card = || self.descriptor.card.clone();
        let entries = || self.descriptor.primary.iter().chain(&self.descriptor.table);
        for name in self.content.keywords.keys() {
            if !entries().any(|entry| !entry.numbered && entry.name == *name) {
                return Err(ProductError::KeywordNotDescribed {
                    card: card(),
                    keyword: (*name).to_owned(),
                });
            }
        }
        for name in self.content.numbered.keys() {
            if !entries().any(|entry| entry.numbered && entry.name == *name) {
                return Err(ProductError::KeywordNotDescribed {
                    card: card(),
                    keyword: format!("{name}nn"),
                });
            }
        }
        for (name, _) in self.content.rows.iter().flatten() {
            if self.descriptor.column(name).is_none() {
                return Err(ProductError::ColumnNotDescribed {
                    card: card(),
                    column: (*name).to_owned(),
                });
            }
        }
        Ok(())
    }

    fn header(&mut self, entries: &[Entry]) -> Result<Header, ProductError> {
        let mut header = Header::new();
        for entry in entries {
            if entry.numbered {
                let values = self.content.numbered.get(entry.name.as_str());
                for (index, value) in values.into_iter().flatten().enumerate() {
                    let name = format!("{}{:02}", entry.name, index + 1);
                    header.cards.push(self.card(entry, &name, value)?);
                }
            } else {
                let offered = self.content.keywords.get(entry.name.as_str());
                let value = offered.or(entry.default.as_ref()).ok_or_else(|| {
                    ProductError::KeywordWithoutValue {
                        card: self.descriptor.card.clone(),
                        keyword: entry.name.clone(),
                    }
                })?;
                header.cards.push(self.card(entry, &entry.name, value)?);
            }
        }
        Ok(header)
    }

    fn card(&mut self, entry: &Entry, name: &str, value: &Value) -> Result<Card, ProductError> {
        let value = match self.fitted(entry, name, value)? {
            Value::Text(text) => CardValue::Text(self.cut_for_card(name, text)),
            Value::Integer(number) => CardValue::Integer(number),
            Value::Float(number) => CardValue::Float(number),
        };
        let comment = match entry.unit.as_str() {
            "" => entry.description.clone(),
            unit => format!("[{unit}] {}", entry.description),
        };
        Ok(Card { keyword: name.to_owned(), value: Some(value), comment })
    }

    /// Quotes count twice on a card.
    fn cut_for_card(&mut self, name: &str, text: String) -> String {
        let mut length = 0;
        let fits = text.bytes().take_while(|byte| {
            length += if *byte == b'\'' { 2 } else { 1 };
            length <= CARD_TEXT_LENGTH
        });
        let count = fits.count();
        if count < text.len() {
            self.note(name, "text cut to one card");
        }
        text.chars().take(count).collect()
    }

    fn note(&mut self, name: &str, what: &'static str) {
        self.notes.entry(name.to_owned()).or_insert((what, 0)).1 += 1;
    }

    /// The value in the entry's format: of the right type, finite, printable and no wider than it may be.
    fn fitted(&mut self, entry: &Entry, name: &str, value: &Value) -> Result<Value, ProductError> {
        if !entry.format.accepts(value) {
            return Err(ProductError::WrongType {
                card: self.descriptor.card.clone(),
                name: name.to_owned(),
                format: entry.format.to_string(),
                value: value.to_string(),
            });
        }
        Ok(match (entry.format, value) {
            (Format::Text(width), Value::Text(text)) => {
                let text = printable(text);
                if text.len() > width {
                    self.note(name, "text cut to its width");
                }
                // Blanks at the end are not significant (FITS Standard 4.0, §4.2.1).
                let cut: String = text.chars().take(width).collect();
                Value::Text(cut.trim_end().to_owned())
            }
            (Format::Float32 | Format::Float64, Value::Integer(number)) => {
                Value::Float(*number as f64)
            }
            (Format::Float32, Value::Float(number)) if !(*number as f32).is_finite() => {
                self.note(name, "value not finite, written as 0");
                Value::Float(0.0)
            }
            (_, Value::Float(number)) if !number.is_finite() => {
                self.note(name, "value not finite, written as 0");
                Value::Float(0.0)
            }
            (_, other) => other.clone(),
        })
    }

    fn column(&mut self, entry: &Entry) -> Result<Column, ProductError> {
        let mut cells = Vec::with_capacity(self.content.rows.len());
        for (index, row) in self.content.rows.iter().enumerate() {
            let offered = row.iter().find(|(name, _)| *name == entry.name).map(|(_, value)| value);
            let value = offered.or(entry.default.as_ref()).ok_or_else(|| {
                ProductError::ColumnWithoutValue {
                    card: self.descriptor.card.clone(),
                    column: entry.name.clone(),
                    row: index + 1,
                }
            })?;
            cells.push(self.fitted(entry, &entry.name, value)?);
        }
        Ok(Column {
            name: entry.name.clone(),
            unit: entry.unit.clone(),
            description: entry.description.clone(),
            data: column_data(entry.format, cells),
        })
    }
}

/// Cells that were already brought to the format.
fn column_data(format: Format, cells: Vec<Value>) -> ColumnData {
    let integers = || {
        cells.iter().map(|cell| match cell {
            Value::Integer(number) => *number,
            Value::Float(_) | Value::Text(_) => 0,
        })
    };
    let floats = || cells.iter().map(|cell| cell.number().unwrap_or_default());
    match format {
        Format::Integer16 => ColumnData::Integer16(
            integers().map(|n| i16::try_from(n).unwrap_or_default()).collect(),
        ),
        Format::Integer32 => ColumnData::Integer32(
            integers().map(|n| i32::try_from(n).unwrap_or_default()).collect(),
        ),
        Format::Integer64 => ColumnData::Integer64(integers().collect()),
        Format::Float32 => ColumnData::Float32(floats().map(|n| n as f32).collect()),
        Format::Float64 => ColumnData::Float64(floats().collect()),
        Format::Text(width) => ColumnData::Text {
            width,
            values: cells
                .into_iter()
                .map(|cell| match cell {
                    Value::Text(text) => text,
                    Value::Integer(_) | Value::Float(_) => String::new(),
                })
                .collect(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::products::compiler::{Source, compile};

    fn descriptor() -> Descriptor {
        let head = "name\tdescription\tformat\tunit\tdefault\texpected\tremark\tSdB";
        let text = format!(
            "PrimaryHDU\n{head}\nNOTE\tA note\t40A\nSPEED\tSpeed\tD\tm/s\t1.5\nDEGRnn\tRule\t8A\n\
             XX_FGFT\n{head}\n[col#1] NAME\tName\t4A\t\t''\t\tucd=meta.id\n[col#2] SIZE\tSize\tE\tmag\n"
        );
        let source = Source { stem: "XX".to_owned(), file: "XX.tsv".to_owned(), text };
        compile(&[source]).unwrap().remove(0)
    }

    fn content() -> Content {
        Content {
            keywords: BTreeMap::from([("NOTE", Value::from("all is well"))]),
            rows: vec![vec![("SIZE", Value::from(2.5))]],
            ..Content::default()
        }
    }

    #[test]
    fn values_stand_where_the_descriptor_says() {
        let mut content = content();
        content.numbered.insert("DEGR", vec![Value::from("NODARK"), Value::from("NOZP")]);
        content.history.push("one line".to_owned());
        let tables = place(&descriptor(), &content).unwrap();
        let keywords: Vec<&str> =
            tables.primary.cards.iter().map(|card| card.keyword.as_str()).collect();
        assert_eq!(keywords, ["NOTE", "SPEED", "DEGR01", "DEGR02", "HISTORY"]);
        assert_eq!(tables.primary.get("SPEED").unwrap().comment, "[m/s] Speed");
        let table = &tables.tables[0];
        assert_eq!(table.name, "XX_FGFT");
        assert_eq!(table.header.text("TUCD1").unwrap(), "meta.id");
        assert_eq!(table.columns[1].data, ColumnData::Float32(vec![2.5]));
        assert_eq!(table.columns[1].unit, "mag");
        let names = ColumnData::Text { width: 4, values: vec![String::new()] };
        assert_eq!(table.columns[0].data, names);
    }

    #[test]
    fn what_has_no_place_and_what_is_missing_are_errors() {
        let mut unknown = content();
        unknown.keywords.insert("OTHER", Value::from(1_i64));
        assert!(matches!(
            place(&descriptor(), &unknown),
            Err(ProductError::KeywordNotDescribed { keyword, .. }) if keyword == "OTHER"
        ));
        let mut unknown = content();
        unknown.rows[0].push(("COLOUR", Value::from(1.0)));
        assert!(matches!(
            place(&descriptor(), &unknown),
            Err(ProductError::ColumnNotDescribed { column, .. }) if column == "COLOUR"
        ));
        let mut missing = content();
        missing.keywords.clear();
        assert!(matches!(
            place(&descriptor(), &missing),
            Err(ProductError::KeywordWithoutValue { keyword, .. }) if keyword == "NOTE"
        ));
        let mut missing = content();
        missing.rows.push(Row::new());
        assert!(matches!(
            place(&descriptor(), &missing),
            Err(ProductError::ColumnWithoutValue { column, row: 2, .. }) if column == "SIZE"
        ));
        let mut wrong = content();
        wrong.keywords.insert("SPEED", Value::from("fast"));
        assert!(matches!(place(&descriptor(), &wrong), Err(ProductError::WrongType { .. })));
    }

    #[test]
    fn nothing_unprintable_too_wide_or_not_finite_gets_in_and_history_says_so() {
        let mut content = content();
        content.rows = vec![
            vec![("NAME", Value::from("éclairs")), ("SIZE", Value::from(f64::NAN))],
            vec![("SIZE", Value::from(1e300))],
        ];
        let tables = place(&descriptor(), &content).unwrap();
        let table = &tables.tables[0];
        assert_eq!(table.columns[1].data, ColumnData::Float32(vec![0.0, 0.0]));
        let names = vec!["?cla".to_owned(), String::new()];
        assert_eq!(table.columns[0].data, ColumnData::Text { width: 4, values: names });
        let history: Vec<&str> =
            tables.primary.cards[2..].iter().map(|card| card.comment.as_str()).collect();
        assert_eq!(
            history,
            ["NAME: text cut to its width, once", "SIZE: value not finite, written as 0, 2 times"]
        );
    }

    #[test]
    fn quotes_count_twice_on_a_card_and_history_is_broken_at_words() {
        let mut content = content();
        let head = "name\tdescription\tformat\tunit\tdefault\texpected\tremark\tSdB";
        let text = format!(
            "PrimaryHDU\n{head}\nNOTE\tA note\t90A\nXX_FGFT\n{head}\n[col#1] SIZE\tSize\tE\n"
        );
        let source = Source { stem: "XX".to_owned(), file: "XX.tsv".to_owned(), text };
        let descriptor = compile(&[source]).unwrap().remove(0);
        content.keywords.insert("NOTE", Value::from("'".repeat(50)));
        content.history.push(format!("{} {}", "word ".repeat(30), "x".repeat(100)));
        let tables = place(&descriptor, &content).unwrap();
        assert_eq!(tables.primary.text("NOTE").unwrap().len(), 34);
        let lines: Vec<&str> =
            tables.primary.cards[1..].iter().map(|card| card.comment.as_str()).collect();
        assert!(lines.iter().all(|line| line.len() <= 72));
        let joined: usize = lines.iter().map(|line| line.matches('x').count()).sum();
        assert_eq!(joined, 101, "100 and the one of `text` in the note on NOTE: {lines:?}");
        assert!(lines.contains(&"NOTE: text cut to one card, once"));
    }
}
