//! Whether an uploaded file is a product that can be kept: read in Rust only, before anything else opens it.

use crate::fits::{
    ColumnData, FitsError, FitsStore, FitsTables, Header, Table, pure::PureRust, screen,
};
use crate::model::{DeadlineName, ProductKey, is_safe_name};
use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

/// CARD is the card's short name and the instrument (domain.md §3.1).
const CARD_SUFFIX: &str = "_FGFT";
/// First characters of every FITS file (FITS Standard 4.0, §4.4.1.1).
const SIGNATURE: &[u8; 9] = b"SIMPLE  =";

/// What a sound product says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Screened {
    pub key: ProductKey,
    /// The keyword CARD: `DT_GFT_FGFT`.
    pub card_keyword: String,
}

/// Why a file is not kept.
#[derive(Debug, thiserror::Error)]
pub enum ScreeningError {
    /// The file is at fault: another try will not help.
    #[error("{0}")]
    Refused(String),
    /// This machine is: another try may help.
    #[error("cannot read the uploaded file: {0}")]
    Io(#[from] io::Error),
}

impl From<FitsError> for ScreeningError {
    /// Paths of the receiving side say nothing to the sender and are left out.
    fn from(error: FitsError) -> Self {
        match error {
            FitsError::Io { source, .. } => Self::Io(source),
            FitsError::Damaged { what, .. }
            | FitsError::Missing { what, .. }
            | FitsError::Write { what, .. } => Self::Refused(what),
        }
    }
}

fn refused<T>(what: impl Into<String>) -> Result<T, ScreeningError> {
    Err(ScreeningError::Refused(what.into()))
}

/// Looks through a file: whole and plain FITS, checksums present and right in every HDU, tables readable, the keywords of
/// the product key there, TELESCOP = SVOM, no NaN and no infinity.
///
/// # Errors
/// [`ScreeningError::Refused`] with the reason in one sentence.
pub fn screen_product(path: &Path) -> Result<Screened, ScreeningError> {
    let mut start = Vec::new();
    File::open(path)?.take(SIGNATURE.len() as u64).read_to_end(&mut start)?;
    if start != SIGNATURE {
        return refused("not a FITS file: it does not begin with SIMPLE");
    }
    let screening = screen(path)?;
    if screening.with_checksums < screening.hdus {
        let without = screening.hdus - screening.with_checksums;
        return refused(format!(
            "{without} of {} HDUs without CHECKSUM and DATASUM",
            screening.hdus
        ));
    }
    if screening.unreadable_cards > 0 {
        return refused(format!("{} unreadable header cards", screening.unreadable_cards));
    }
    let tables = PureRust.read_tables(path)?;
    if tables.tables.is_empty() {
        return refused("no binary table in it");
    }
    let screened = key_of(&tables.primary)?;
    check_finite(&tables)?;
    Ok(screened)
}

fn key_of(primary: &Header) -> Result<Screened, ScreeningError> {
    let text = |keyword: &str| match primary.text(keyword).filter(|text| !text.is_empty()) {
        Some(text) => Ok(text),
        None => refused(format!("{keyword} is missing in the primary header")),
    };
    let telescope = text("TELESCOP")?;
    if telescope != "SVOM" {
        return refused(format!("TELESCOP is '{telescope}', not 'SVOM'"));
    }
    let card_keyword = text("CARD")?;
    let Some(card) = card_keyword.strip_suffix(CARD_SUFFIX) else {
        return refused(format!("CARD is '{card_keyword}', which does not end in {CARD_SUFFIX}"));
    };
    let burst_id = text("BURST_ID")?;
    for (keyword, name) in [("CARD", card), ("BURST_ID", burst_id.as_str())] {
        if !is_safe_name(name) {
            return refused(format!("{keyword} '{name}' cannot be a file name"));
        }
    }
    let deadline = text("DEADLINE")?;
    let Ok(deadline_name) = deadline.parse::<DeadlineName>() else {
        return refused(format!("DEADLINE '{deadline}' is neither FIRST nor T and minutes"));
    };
    // T5 and T005 would be one deadline under two names.
    if deadline_name.to_string() != deadline {
        return refused(format!("DEADLINE '{deadline}' is not written as {deadline_name}"));
    }
    let version = text("PROC_VER")?;
    let Some(processing_version) = version.parse().ok().filter(|version: &u32| *version > 0) else {
        return refused(format!("PROC_VER '{version}' is not a positive whole number"));
    };
    let key =
        ProductKey { burst_id, card: card.to_owned(), deadline: deadline_name, processing_version };
    Ok(Screened { key, card_keyword })
}

fn check_finite(tables: &FitsTables) -> Result<(), ScreeningError> {
    for table in &tables.tables {
        for column in &table.columns {
            let bad_row = match &column.data {
                ColumnData::Float32(values) => values.iter().position(|value| !value.is_finite()),
                ColumnData::Float64(values) => values.iter().position(|value| !value.is_finite()),
                ColumnData::Integer16(_)
                | ColumnData::Integer32(_)
                | ColumnData::Integer64(_)
                | ColumnData::Text { .. } => None,
            };
            if let Some(row) = bad_row {
                return refused(not_finite(table, &column.name, row));
            }
        }
    }
    Ok(())
}

fn not_finite(table: &Table, column: &str, row: usize) -> String {
    format!("{} row {} of {} is not a finite number", column, row + 1, table.name)
}

/// Whether the name an upload came under agrees with its key: the name of interfaces.md §8, or `<CARD>.fits` as in the
/// command of seed 003.
pub fn name_agrees(offered: &str, screened: &Screened) -> bool {
    offered == screened.key.file_name() || offered == format!("{}.fits", screened.card_keyword)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fits::{Column, cfitsio::Cfitsio};
    use crate::fsc::sample;

    fn answer(change: impl Fn(&mut FitsTables)) -> Result<Screened, ScreeningError> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("product.fits");
        let mut tables = sample::product("sb26110101", 17.0);
        change(&mut tables);
        Cfitsio.write_tables(&path, &tables).unwrap();
        screen_product(&path)
    }

    fn reason(change: impl Fn(&mut FitsTables)) -> String {
        match answer(change) {
            Err(ScreeningError::Refused(reason)) => reason,
            other => panic!("not refused: {other:?}"),
        }
    }

    #[test]
    fn a_sound_product_gives_its_key_and_names() {
        let screened = answer(|_| {}).unwrap();
        assert_eq!(screened.key.to_string(), "DT_GFT_FGFT_sb26110101_T005_v1");
        assert!(name_agrees("DT_GFT_FGFT_sb26110101_T005_v1.fits", &screened));
        assert!(name_agrees("DT_GFT_FGFT.fits", &screened));
        assert!(!name_agrees("DT_GFT_FGFT_sb26110101_T010_v1.fits", &screened));
    }

    #[test]
    fn each_fault_is_named() {
        let missing = |keyword: &str| reason(|tables| tables.primary.remove(keyword));
        for keyword in ["CARD", "BURST_ID", "DEADLINE", "PROC_VER", "TELESCOP"] {
            assert_eq!(missing(keyword), format!("{keyword} is missing in the primary header"));
        }
        let changed =
            |keyword: &str, value: &str| reason(|tables| tables.primary.set(keyword, value, ""));
        assert_eq!(changed("TELESCOP", "COATLI"), "TELESCOP is 'COATLI', not 'SVOM'");
        assert_eq!(changed("CARD", "DT_MXT"), "CARD is 'DT_MXT', which does not end in _FGFT");
        assert_eq!(changed("BURST_ID", "../../x"), "BURST_ID '../../x' cannot be a file name");
        assert_eq!(changed("CARD", "._FGFT"), "CARD '.' cannot be a file name");
        assert_eq!(
            changed("DEADLINE", "soon"),
            "DEADLINE 'soon' is neither FIRST nor T and minutes"
        );
        assert_eq!(changed("DEADLINE", "T5"), "DEADLINE 'T5' is not written as T005");
        assert_eq!(changed("PROC_VER", "0"), "PROC_VER '0' is not a positive whole number");
        assert_eq!(reason(|tables| tables.tables.clear()), "no binary table in it");
        assert_eq!(
            reason(|tables| tables.tables[0].columns[1].data = ColumnData::Float64(vec![f64::NAN])),
            "MAG row 1 of DT_GFT_FGFT is not a finite number"
        );
        assert_eq!(
            reason(|tables| {
                let data = ColumnData::Float32(vec![f32::INFINITY]);
                let (unit, description) = (String::new(), String::new());
                let column = Column { name: "SNR".to_owned(), unit, description, data };
                tables.tables[0].columns.push(column);
            }),
            "SNR row 1 of DT_GFT_FGFT is not a finite number"
        );
    }

    #[test]
    fn damaged_and_foreign_files_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("product.fits");
        Cfitsio.write_tables(&path, &sample::product("sb26110101", 17.0)).unwrap();
        let sound = std::fs::read(&path).unwrap();
        let refuses = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            assert!(matches!(screen_product(&path), Err(ScreeningError::Refused(_))));
        };
        refuses(b"");
        refuses(b"PK\x03\x04 an archive");
        refuses(&sound[..sound.len() - 1000]);
        let mut flipped = sound.clone();
        let last = flipped.len() - 2880;
        flipped[last] ^= 0x40;
        refuses(&flipped);
        let missing = screen_product(&directory.path().join("missing"));
        assert!(matches!(missing, Err(ScreeningError::Io(_))));
    }
}
