//! A small product for the tests of this room.

use crate::fits::{Column, ColumnData, FitsStore, FitsTables, Header, Table, cfitsio::Cfitsio};
use std::path::{Path, PathBuf};

pub(super) fn product(burst_id: &str, magnitude: f64) -> FitsTables {
    let mut primary = Header::new();
    primary.set("TELESCOP", "SVOM", "Mission");
    primary.set("CARD", "DT_GFT_FGFT", "Product card");
    primary.set("BURST_ID", burst_id, "Burst");
    primary.set("DEADLINE", "T005", "Delivery");
    primary.set("PROC_VER", 1_i64, "Processing version");
    let column = |name: &str, unit: &str, data| Column {
        name: name.to_owned(),
        unit: unit.to_owned(),
        description: name.to_lowercase(),
        data,
    };
    let filters = ColumnData::Text { width: 8, values: vec!["r".to_owned()] };
    let table = Table {
        name: "DT_GFT_FGFT".to_owned(),
        header: Header::new(),
        columns: vec![
            column("FILTER", "", filters),
            column("MAG", "mag", ColumnData::Float64(vec![magnitude])),
        ],
    };
    FitsTables { primary, tables: vec![table] }
}

/// The name of the product above.
pub(super) fn file_name(burst_id: &str) -> String {
    format!("DT_GFT_FGFT_{burst_id}_T005_v1.fits")
}

/// Writes it as a file of that name.
pub(super) fn write(directory: &Path, burst_id: &str, magnitude: f64) -> PathBuf {
    let path = directory.join(file_name(burst_id));
    Cfitsio.write_tables(&path, &product(burst_id, magnitude)).unwrap();
    path
}
