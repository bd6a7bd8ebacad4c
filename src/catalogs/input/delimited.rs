//! Delimited text: CSV, tab-separated, `;` or `|` between the fields; comment lines (`#`), as in ECSV and VizieR's files.
//!
//! A line is a row; a quoted field may hold the delimiter, a doubled quotation mark, but no end of line.

use super::{Choice, InputColumn, InputError, TableValue, Take, checked, text_value};
use std::{
    io::{self, BufRead, Read as _},
    path::Path,
};

/// Longest line, bytes.
const MAXIMUM_LINE: u64 = 1 << 20;
/// Looked for in the header line in this order; a comma if there is none of them.
const DELIMITERS: [char; 4] = [',', '\t', ';', '|'];

pub(super) fn rows<E: From<InputError>>(
    path: &Path,
    mut reader: Box<dyn BufRead>,
    choose: &mut Choice<'_>,
    take: &mut Take<'_, E>,
) -> Result<(), E> {
    let io_error = |source| InputError::Io { path: path.to_owned(), source };
    let format_error = |what: &str| InputError::Format { path: path.to_owned(), what: what.into() };
    let mut line = Vec::new();
    let mut number = 0_u64;
    let mut chosen: Option<(char, usize, Vec<usize>)> = None;
    let mut fields = Vec::new();
    let mut values: Vec<TableValue> = Vec::new();
    while read_line(reader.as_mut(), &mut line).map_err(io_error)? {
        number += 1;
        let Ok(text) = std::str::from_utf8(&line) else {
            if chosen.is_none() {
                return Err(format_error("the header line is not UTF-8").into());
            }
            take((number, Err("the line is not UTF-8")))?;
            continue;
        };
        let text = text.trim_start_matches('\u{feff}').trim_end_matches(['\n', '\r']);
        if text.trim().is_empty() || text.starts_with('#') {
            continue;
        }
        let Some((delimiter, count, places)) = &chosen else {
            let delimiter = DELIMITERS.into_iter().find(|each| text.contains(*each)).unwrap_or(',');
            if !split(text, delimiter, &mut fields) {
                return Err(
                    format_error("a quotation mark in the header line is not closed").into()
                );
            }
            let columns: Vec<InputColumn> = fields
                .iter()
                .map(|name| InputColumn { name: name.trim().to_owned(), unit: String::new() })
                .collect();
            let columns_error = |what| InputError::Columns { path: path.to_owned(), what };
            let places = choose(&columns).map_err(columns_error)?.ok_or_else(|| {
                columns_error(format!(
                    "the header line has not the columns of the map: {text:.300}"
                ))
            })?;
            let places = checked(places, columns.len()).map_err(columns_error)?;
            chosen = Some((delimiter, columns.len(), places));
            continue;
        };
        if !split(text, *delimiter, &mut fields) {
            take((number, Err("a quotation mark is not closed")))?;
        } else if fields.len() != *count {
            take((number, Err("the line has not as many fields as the header")))?;
        } else {
            values.clear();
            values.extend(places.iter().map(|&place| {
                fields.get(place).map_or(TableValue::Missing, |field| text_value(field))
            }));
            take((number, Ok(&values)))?;
        }
    }
    match chosen {
        Some(_) => Ok(()),
        None => Err(format_error("no header line").into()),
    }
}

/// Reads a line with its end. `false` at the end of the file.
fn read_line(reader: &mut dyn BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    let count = reader.take(MAXIMUM_LINE).read_until(b'\n', line)?;
    if count as u64 == MAXIMUM_LINE && line.last() != Some(&b'\n') {
        let what = format!("a line is longer than the {MAXIMUM_LINE} bytes that are read");
        return Err(io::Error::new(io::ErrorKind::InvalidData, what));
    }
    Ok(count > 0)
}

/// Splits a line into its fields. `false` if a quotation mark is not closed.
fn split(line: &str, delimiter: char, fields: &mut Vec<String>) -> bool {
    fields.clear();
    if !line.contains('"') {
        fields.extend(line.split(delimiter).map(str::to_owned));
        return true;
    }
    let mut field = String::new();
    let mut is_quoted = false;
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if is_quoted && characters.peek() == Some(&'"') => {
                field.push('"');
                characters.next();
            }
            '"' => is_quoted = !is_quoted,
            _ if character == delimiter && !is_quoted => fields.push(std::mem::take(&mut field)),
            _ => field.push(character),
        }
    }
    fields.push(field);
    !is_quoted
}
