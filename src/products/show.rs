//! A product for people (aligned text) and for machines (JSON).

use super::validate::cell;
use super::value::Value;
use crate::fits::{Card, CardValue, Column, FitsTables, Header, Table};
use serde_json::{Map, Value as Json, json};
use std::fmt::Write as _;

/// The card of a product as its header names it: `DT_GFT_FGFT`.
pub fn card_of(tables: &FitsTables) -> Option<String> {
    tables.primary.text("CARD").filter(|card| !card.is_empty())
}

/// The product as aligned text: keywords, HISTORY, then each table with its units.
pub fn text(tables: &FitsTables) -> String {
    let mut out = String::new();
    write_header(&mut out, &tables.primary);
    for table in &tables.tables {
        write_table(&mut out, table);
    }
    out
}

/// Writing to a `String` cannot fail.
fn line(out: &mut String, arguments: std::fmt::Arguments<'_>) {
    let before = out.len();
    if out.write_fmt(arguments).is_ok() {
        let kept = out.get(before..).map_or(0, |added| added.trim_end().len());
        out.truncate(before + kept);
    }
    out.push('\n');
}

fn card_text(card: &Card) -> String {
    match &card.value {
        None => String::new(),
        Some(CardValue::Text(text)) => text.trim_end().to_owned(),
        Some(value) => match Value::of_card(value) {
            Value::Text(text) => text,
            number => number.to_string(),
        },
    }
}

fn write_header(out: &mut String, header: &Header) {
    let is_commentary = |card: &&Card| matches!(card.keyword.as_str(), "HISTORY" | "COMMENT");
    let width = header
        .cards
        .iter()
        .filter(|card| !is_commentary(card))
        .map(|card| card_text(card).chars().count())
        .max()
        .unwrap_or_default()
        .min(30);
    for card in header.cards.iter().filter(|card| !is_commentary(card)) {
        let value = card_text(card);
        line(out, format_args!("{:<8}  {value:<width$}  {}", card.keyword, card.comment));
    }
    for card in header.cards.iter().filter(is_commentary) {
        line(out, format_args!("{:<8}  {}", card.keyword, card.comment));
    }
}

fn write_table(out: &mut String, table: &Table) {
    let rows = table.row_count();
    let noun = if rows == 1 { "row" } else { "rows" };
    out.push('\n');
    line(out, format_args!("{}: {rows} {noun}", table.name));
    let columns: Vec<(Vec<String>, bool)> = table
        .columns
        .iter()
        .map(|column| {
            let mut lines = vec![column.name.clone(), column.unit.clone()];
            let cells = (0..rows).filter_map(|row| cell(column, row));
            let mut is_number = false;
            for value in cells {
                is_number = value.number().is_some();
                lines.push(cell_text(column, &value));
            }
            (lines, is_number)
        })
        .collect();
    let widths: Vec<usize> = columns
        .iter()
        .map(|(lines, _)| lines.iter().map(|text| text.chars().count()).max().unwrap_or_default())
        .collect();
    for index in 0..rows + 2 {
        let mut text = String::new();
        for ((lines, is_number), width) in columns.iter().zip(&widths) {
            let cell = lines.get(index).map_or("", String::as_str);
            let padding = " ".repeat(width.saturating_sub(cell.chars().count()));
            if *is_number {
                text.push_str(&padding);
                text.push_str(cell);
            } else {
                text.push_str(cell);
                text.push_str(&padding);
            }
            text.push_str("  ");
        }
        line(out, format_args!("{text}"));
    }
}

/// As many decimals as the unit deserves: days to the microsecond, degrees to the milliarcsecond.
fn cell_text(column: &Column, value: &Value) -> String {
    match value {
        Value::Text(text) => text.trim_end().to_owned(),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => match column.unit.as_str() {
            "d" => format!("{number:.8}"),
            "deg" => format!("{number:.6}"),
            _ => format!("{number:.3}"),
        },
    }
}

/// The product as JSON: `{"primary": {"keywords": {…}, "history": […]}, "tables": [{"name", "keywords", "columns", "rows"}]}`;
/// rows are objects by column name.
pub fn json(tables: &FitsTables) -> Json {
    let history: Vec<&str> = tables
        .primary
        .cards
        .iter()
        .filter(|card| card.keyword == "HISTORY")
        .map(|card| card.comment.as_str())
        .collect();
    json!({
        "primary": { "keywords": keywords_json(&tables.primary), "history": history },
        "tables": tables.tables.iter().map(table_json).collect::<Vec<_>>(),
    })
}

fn keywords_json(header: &Header) -> Json {
    let mut keywords = Map::new();
    for card in &header.cards {
        if let Some(value) = &card.value {
            keywords.insert(card.keyword.clone(), value_json(&Value::of_card(value)));
        }
    }
    Json::Object(keywords)
}

fn value_json(value: &Value) -> Json {
    match value {
        Value::Text(text) => json!(text.trim_end()),
        Value::Integer(number) => json!(number),
        Value::Float(number) => json!(number),
    }
}

fn table_json(table: &Table) -> Json {
    let columns: Vec<Json> = table
        .columns
        .iter()
        .map(|column| {
            json!({ "name": column.name, "unit": column.unit, "description": column.description })
        })
        .collect();
    let rows: Vec<Json> = (0..table.row_count())
        .map(|row| {
            let mut object = Map::new();
            for column in &table.columns {
                if let Some(value) = cell(column, row) {
                    object.insert(column.name.clone(), value_json(&value));
                }
            }
            Json::Object(object)
        })
        .collect();
    json!({
        "name": table.name,
        "keywords": keywords_json(&table.header),
        "columns": columns,
        "rows": rows,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::products::{DescriptorSet, make, sample};

    fn product() -> FitsTables {
        let result = sample::result();
        let descriptors = DescriptorSet::embedded().unwrap();
        make("DT_GFT", &result, &sample::settings(), result.due_at, &descriptors).unwrap()
    }

    #[test]
    fn text_is_aligned_with_units_below_the_names() {
        let text = text(&product());
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines.iter().any(|line| line.starts_with("BURST_ID  sb26110101  ")), "{text}");
        let at = lines.iter().position(|line| *line == "DT_GFT_FGFT: 6 rows").unwrap();
        assert!(lines[at + 1].starts_with("FILTER"));
        let magnitude = lines[at + 1].find("MAG ").unwrap() + 3;
        assert_eq!(lines[at + 2].get(magnitude - 3..magnitude), Some("mag"));
        assert_eq!(lines[at + 4].get(magnitude - 6..magnitude), Some("17.000"));
        assert!(lines.iter().all(|line| line.trim_end() == *line));
    }

    #[test]
    fn json_has_rows_by_column_name() {
        let json = json(&product());
        assert_eq!(json["primary"]["keywords"]["CARD"], "DT_GFT_FGFT");
        assert_eq!(json["tables"][0]["rows"][1]["FILTER"], "r");
        assert_eq!(json["tables"][0]["rows"][1]["DT"], 125.0);
        assert_eq!(json["tables"][0]["rows"].as_array().unwrap().len(), 6);
        assert_eq!(json["tables"][0]["keywords"]["TUCD1"], "instr.filter");
        assert!(json["primary"]["history"][0].as_str().unwrap().starts_with("made by gic"));
    }

    #[test]
    fn the_card_is_read_from_the_header() {
        let mut tables = product();
        assert_eq!(card_of(&tables).as_deref(), Some("DT_GFT_FGFT"));
        tables.primary.remove("CARD");
        assert_eq!(card_of(&tables), None);
    }
}
