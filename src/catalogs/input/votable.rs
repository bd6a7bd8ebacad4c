//! VOTable (Ochsenbein et al. 2019, *VOTable Format Definition Version 1.4*, IVOA Recommendation) with its data in TABLEDATA, or
//! in BINARY or BINARY2 in base64 (`votable_binary`).

use super::{
    Choice, InputColumn, InputError, TableValue, Take, checked, text_value,
    votable_binary::{BinaryRows, CellForm, Serialisation},
};
use quick_xml::{
    Reader,
    escape::resolve_predefined_entity,
    events::{BytesRef, BytesStart, Event},
};
use std::{
    io::{self, BufRead},
    path::Path,
};

/// Most columns of a table.
const MAXIMUM_FIELDS: usize = 10_000;
/// Longest content of a cell, bytes.
const MAXIMUM_CELL: usize = 1 << 16;

/// What is known of the table that is being read.
#[derive(Default)]
struct State {
    columns: Vec<InputColumn>,
    /// `VALUES null` of each column.
    nulls: Vec<Option<String>>,
    /// What the cells look like in a binary stream; what is wrong with a field matters only there.
    forms: Vec<Result<CellForm, String>>,
    /// Of the data that are read, if they are binary.
    serialisation: Option<Serialisation>,
    /// A binary stream was read, and must end here.
    is_stream_read: bool,
    /// Of the table that is read.
    places: Option<Vec<usize>>,
    has_read_any: bool,
    row: Vec<String>,
    is_in_cell: bool,
    number: u64,
}

pub(super) fn rows<E: From<InputError>>(
    path: &Path,
    reader: Box<dyn BufRead>,
    choose: &mut Choice<'_>,
    take: &mut Take<'_, E>,
) -> Result<(), E> {
    let format_error = |what: String| InputError::Format { path: path.to_owned(), what };
    let columns_error = |what: String| InputError::Columns { path: path.to_owned(), what };
    let mut reader = Reader::from_reader(reader);
    let mut buffer = Vec::new();
    let mut state = State::default();
    let mut values: Vec<TableValue> = Vec::new();
    let mut depth = 0_u64;
    loop {
        let at = reader.buffer_position();
        let event = reader
            .read_event_into(&mut buffer)
            .map_err(|error| format_error(format!("byte {at}: {error}")))?;
        if std::mem::take(&mut state.is_stream_read) && !matches!(event, Event::End(_)) {
            return Err(format_error(format!("byte {at}: a stream with markup inside")).into());
        }
        match event {
            Event::Eof => break,
            Event::Start(ref element) => {
                depth += 1;
                match element.local_name().as_ref() {
                    "FITS" => {
                        let what = "its data are in FITS; ask for TABLEDATA or BINARY2";
                        return Err(format_error(what.to_owned()).into());
                    }
                    "TABLEDATA" => state.begin(choose).map_err(columns_error)?,
                    "BINARY" | "BINARY2" => {
                        state.begin(choose).map_err(columns_error)?;
                        state.serialisation = Some(match element.local_name().as_ref() {
                            "BINARY" => Serialisation::Binary,
                            _ => Serialisation::Binary2,
                        });
                    }
                    "STREAM" if state.serialisation.is_some() => {
                        check_stream(element).map_err(format_error)?;
                        let stream = reader.stream();
                        stream_rows(path, stream, &mut state, take)?;
                        state.is_stream_read = true;
                    }
                    name => state.open(name, element).map_err(format_error)?,
                }
            }
            Event::Empty(ref element) => match element.local_name().as_ref() {
                "TD" => state.row.push(String::new()),
                name => state.open(name, element).map_err(format_error)?,
            },
            Event::Text(ref text) if state.is_in_cell => {
                state.add(&text.xml10_content()).map_err(format_error)?;
            }
            Event::CData(ref text) if state.is_in_cell => {
                state.add(&text.xml10_content()).map_err(format_error)?;
            }
            Event::GeneralRef(ref reference) if state.is_in_cell => {
                let text = resolved(reference).map_err(format_error)?;
                state.add(&text).map_err(format_error)?;
            }
            Event::End(ref element) => {
                depth = depth.saturating_sub(1);
                match element.local_name().as_ref() {
                    "TD" => state.is_in_cell = false,
                    "TR" => {
                        state.number += 1;
                        if let Some(places) = &state.places {
                            if state.row.len() == state.columns.len() {
                                values.clear();
                                values.extend(places.iter().map(|&place| state.value(place)));
                                take((state.number, Ok(&values)))?;
                            } else {
                                let what = "the row has not as many cells as the table has fields";
                                take((state.number, Err(what)))?;
                            }
                        }
                    }
                    "BINARY" | "BINARY2" => state.serialisation = None,
                    "TABLE" => {
                        state.columns.clear();
                        state.nulls.clear();
                        state.forms.clear();
                        state.places = None;
                    }
                    _ => (),
                }
            }
            _ => (),
        }
        buffer.clear();
    }
    if depth > 0 {
        return Err(format_error("truncated: elements are not closed".to_owned()).into());
    }
    if !state.has_read_any {
        return Err(columns_error("no table has the columns of the map".to_owned()).into());
    }
    Ok(())
}

/// Reads a binary stream up to its end tag. A table that is not chosen is gone through all the same.
fn stream_rows<E: From<InputError>>(
    path: &Path,
    stream: impl BufRead,
    state: &mut State,
    take: &mut Take<'_, E>,
) -> Result<(), E> {
    let Some(serialisation) = state.serialisation else { return Ok(()) };
    let format_error = |what: String| InputError::Format { path: path.to_owned(), what };
    let forms: Vec<CellForm> =
        state.forms.iter().cloned().collect::<Result<_, _>>().map_err(format_error)?;
    let places = state.places.clone().unwrap_or_default();
    let is_chosen = state.places.is_some();
    let mut rows = BinaryRows::new(stream, serialisation, &forms, &state.nulls, &places);
    let mut values: Vec<TableValue> = Vec::new();
    loop {
        let is_row = rows.next_row().map_err(|error| {
            let what = match error.kind() {
                io::ErrorKind::UnexpectedEof => "the stream is truncated".to_owned(),
                _ => error.to_string(),
            };
            format_error(format!("row {}: {what}", state.number + 1))
        })?;
        if !is_row {
            return Ok(());
        }
        state.number += 1;
        if is_chosen {
            values.clear();
            let row = &rows.row;
            values.extend(
                places.iter().map(|&place| row.get(place).cloned().unwrap_or(TableValue::Missing)),
            );
            take((state.number, Ok(&values)))?;
        }
    }
}

/// Only what stands in the file itself, in base64, is read.
fn check_stream(element: &BytesStart<'_>) -> Result<(), String> {
    if attribute(element, "href")?.is_some() {
        return Err("its data are in another file (href); ask for them inside".to_owned());
    }
    match attribute(element, "encoding")?.as_deref() {
        Some("base64") => Ok(()),
        other => {
            let other = other.unwrap_or("none");
            Err(format!("its binary data have the encoding '{other}', not base64"))
        }
    }
}

impl State {
    /// The data of a table begin.
    fn begin(&mut self, choose: &mut Choice<'_>) -> Result<(), String> {
        self.places = match choose(&self.columns)? {
            Some(places) => Some(checked(places, self.columns.len())?),
            None => None,
        };
        self.has_read_any |= self.places.is_some();
        Ok(())
    }

    fn open(&mut self, name: &str, element: &BytesStart<'_>) -> Result<(), String> {
        match name {
            "FIELD" => {
                if self.columns.len() >= MAXIMUM_FIELDS {
                    return Err(format!("more than {MAXIMUM_FIELDS} fields"));
                }
                self.columns.push(InputColumn {
                    name: attribute(element, "name")?.unwrap_or_default(),
                    unit: attribute(element, "unit")?.unwrap_or_default(),
                });
                self.nulls.push(None);
                self.forms.push(CellForm::of(
                    attribute(element, "datatype")?.as_deref(),
                    attribute(element, "arraysize")?.as_deref(),
                ));
            }
            "VALUES" => {
                if let (Some(last), Some(null)) =
                    (self.nulls.last_mut(), attribute(element, "null")?)
                {
                    *last = Some(null);
                }
            }
            "TR" => self.row.clear(),
            "TD" => {
                if self.row.len() >= MAXIMUM_FIELDS {
                    return Err(format!("more than {MAXIMUM_FIELDS} cells in a row"));
                }
                self.row.push(String::new());
                self.is_in_cell = true;
            }
            _ => (),
        }
        Ok(())
    }

    fn add(&mut self, text: &str) -> Result<(), String> {
        let Some(cell) = self.row.last_mut() else { return Ok(()) };
        if cell.len() + text.len() > MAXIMUM_CELL {
            return Err(format!("a cell is longer than the {MAXIMUM_CELL} bytes that are read"));
        }
        cell.push_str(text);
        Ok(())
    }

    fn value(&self, place: usize) -> TableValue {
        let Some(text) = self.row.get(place) else { return TableValue::Missing };
        let null = self.nulls.get(place).and_then(Option::as_deref);
        if null.is_some_and(|null| null == text.trim()) {
            return TableValue::Missing;
        }
        text_value(text)
    }
}

/// The text that a character or entity reference stands for.
fn resolved(reference: &BytesRef<'_>) -> Result<String, String> {
    let character = reference.resolve_char_ref().map_err(|error| error.to_string())?;
    if let Some(character) = character {
        return Ok(character.to_string());
    }
    let name = reference.xml10_content();
    match resolve_predefined_entity(&name) {
        Some(text) => Ok(text.to_owned()),
        None => Err(format!("unknown entity &{name};")),
    }
}

fn attribute(element: &BytesStart<'_>, name: &str) -> Result<Option<String>, String> {
    for attribute in element.attributes() {
        let attribute = attribute.map_err(|error| error.to_string())?;
        if attribute.key.local_name().as_ref() == name {
            return Ok(Some(attribute.value.into_owned()));
        }
    }
    Ok(None)
}
