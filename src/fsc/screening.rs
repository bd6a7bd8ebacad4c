//! Is an uploaded file a product? Looked at in Rust only: no C code sees a file from outside.

use crate::{
    fits::{
        ColumnData, FitsError, FitsStore, FitsTables, Header, pure::PureRust, screening::screen,
    },
    model::ProductKey,
};
use std::path::Path;

/// Why a file is refused.
#[derive(Debug, thiserror::Error)]
pub enum ScreeningError {
    #[error("not a sound FITS file: {0}")]
    Fits(#[from] FitsError),
    #[error("{keyword} is missing from the primary header")]
    MissingKeyword { keyword: &'static str },
    #[error("{keyword} = '{value}' is not {expected}")]
    WrongKeyword { keyword: &'static str, value: String, expected: String },
    #[error("the file has no table")]
    NoTable,
    #[error("table {table}, column {column}, row {row}: not a number")]
    NotANumber { table: String, column: String, row: usize },
    #[error("the file is called '{found}', its header says '{expected}'")]
    WrongName { found: String, expected: String },
}

/// Screens a file and reads its key from its own header. `name` is the file name the sender gave.
pub fn screen_product(path: &Path, name: &str) -> Result<ProductKey, ScreeningError> {
    screen(path)?;
    PureRust.verify_checksums(path)?;
    let content = PureRust.read_tables(path)?;
    if content.tables.is_empty() {
        return Err(ScreeningError::NoTable);
    }
    let key = key_of(&content.primary)?;
    check_numbers(&content)?;
    let expected = key.file_name();
    if name != expected {
        return Err(ScreeningError::WrongName { found: name.to_owned(), expected });
    }
    Ok(key)
}

fn key_of(primary: &Header) -> Result<ProductKey, ScreeningError> {
    expect(primary, "TELESCOP", "SVOM")?;
    expect(primary, "INSTRUME", "FGFT")?;
    let card = required(primary, "CARD")?;
    let deadline = required(primary, "DEADLINE")?;
    let version = required(primary, "PROC_VER")?;
    Ok(ProductKey {
        burst_id: required(primary, "BURST_ID")?,
        // `DT_GFT_FGFT` is the card of the ground follow-up telescope `FGFT`; keys carry the short name.
        card: card.strip_suffix("_FGFT").unwrap_or(&card).to_owned(),
        deadline: deadline.parse().map_err(|_| wrong("DEADLINE", &deadline, "a deadline"))?,
        processing_version: version
            .parse()
            .map_err(|_| wrong("PROC_VER", &version, "a whole number"))?,
    })
}

fn required(primary: &Header, keyword: &'static str) -> Result<String, ScreeningError> {
    primary
        .text(keyword)
        .filter(|text| !text.is_empty())
        .ok_or(ScreeningError::MissingKeyword { keyword })
}

fn expect(primary: &Header, keyword: &'static str, expected: &str) -> Result<(), ScreeningError> {
    let value = required(primary, keyword)?;
    if value == expected { Ok(()) } else { Err(wrong(keyword, &value, &format!("'{expected}'"))) }
}

fn wrong(keyword: &'static str, value: &str, expected: &str) -> ScreeningError {
    ScreeningError::WrongKeyword { keyword, value: value.to_owned(), expected: expected.to_owned() }
}

/// No NaN anywhere (seed 003): absent is blank or zero.
fn check_numbers(content: &FitsTables) -> Result<(), ScreeningError> {
    for table in &content.tables {
        for column in &table.columns {
            let bad = match &column.data {
                ColumnData::Float32(values) => values.iter().position(|v| !v.is_finite()),
                ColumnData::Float64(values) => values.iter().position(|v| !v.is_finite()),
                _ => None,
            };
            if let Some(row) = bad {
                return Err(ScreeningError::NotANumber {
                    table: table.name.clone(),
                    column: column.name.clone(),
                    row: row + 1,
                });
            }
        }
    }
    Ok(())
}
