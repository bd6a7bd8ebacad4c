//! HATS catalogues (Hierarchical Adaptive Tiling Scheme, https://hats.readthedocs.io): a directory of Parquet files, one for each HEALPix
//! cell, whose size goes by how many objects there are.
//!
//! * `hats.properties` or `properties`: what the catalogue is, a line `key = value` each.
//! * `partition_info.csv`: `Norder` and `Npix` of every cell; where it is missing, the directories are looked through.
//! * `dataset/Norder=<k>/Dir=<n>/Npix=<m>.parquet`, or a directory `Npix=<m>` of files; HiPSCat, the form before HATS, has no `dataset`.

use super::InputError;
use crate::config::read_bounded;
use std::{
    fs, io,
    path::{Path, PathBuf},
};

const PROPERTIES: [&str; 3] = ["hats.properties", "properties", "catalog_info.json"];
const PARTITIONS: &str = "partition_info.csv";
const MAXIMUM_BYTES: u64 = 64 << 20;
/// Cells of a directory `Dir=`.
const CELLS_OF_DIRECTORY: u64 = 10_000;
/// Cells of a catalogue.
const MAXIMUM_CELLS: usize = 1_000_000;
/// Finest order of cells that are partitions.
const MAXIMUM_ORDER: u64 = 29;

/// The Parquet files of a HATS catalogue, by cell.
///
/// # Errors
/// A directory that is no HATS catalogue, or one that lacks a file it names.
pub(in crate::catalogs) fn files_of(directory: &Path) -> Result<Vec<PathBuf>, InputError> {
    let format_error = |what: String| InputError::Format { path: directory.to_owned(), what };
    let io_error = |path: &Path| {
        let path = path.to_owned();
        move |source: io::Error| InputError::Io { path, source }
    };
    let root = directory.join("dataset");
    let root = if root.is_dir() { root } else { directory.to_owned() };
    // The list of cells may lie beside the properties or with the data.
    let places = [directory.join(PARTITIONS), root.join(PARTITIONS)];
    let partitions = places.iter().find(|path| path.is_file());
    let is_hats = PROPERTIES.iter().any(|name| directory.join(name).is_file());
    if !is_hats && partitions.is_none() {
        let what =
            "a directory that is no HATS catalogue: no hats.properties, no partition_info.csv";
        return Err(format_error(what.to_owned()));
    }
    let cells = match partitions {
        Some(path) => {
            let bytes = read_bounded(path, MAXIMUM_BYTES).map_err(io_error(path))?;
            cells_of(&String::from_utf8_lossy(&bytes))
                .map_err(|what| InputError::Format { path: path.clone(), what })?
        }
        None => cells_found(&root).map_err(io_error(&root))?,
    };
    if cells.is_empty() {
        return Err(format_error("a HATS catalogue without cells".to_owned()));
    }
    let mut files = Vec::with_capacity(cells.len());
    for (order, cell) in cells {
        let cell_path = place_of(&root, order, cell);
        let file = cell_path.with_extension("parquet");
        if file.is_file() {
            files.push(file);
        } else if cell_path.is_dir() {
            let mut parts = parquet_files(&cell_path).map_err(io_error(&cell_path))?;
            parts.sort();
            files.append(&mut parts);
        } else {
            let what = format!("it names the cell Norder={order} Npix={cell}, which is not there");
            return Err(format_error(what));
        }
    }
    Ok(files)
}

/// `dataset/Norder=1/Dir=0/Npix=44`, without the ending.
fn place_of(root: &Path, order: u64, cell: u64) -> PathBuf {
    let directory = cell / CELLS_OF_DIRECTORY * CELLS_OF_DIRECTORY;
    root.join(format!("Norder={order}"))
        .join(format!("Dir={directory}"))
        .join(format!("Npix={cell}"))
}

/// Orders and numbers of the cells in `partition_info.csv`; each once, in the order of the list.
fn cells_of(text: &str) -> Result<Vec<(u64, u64)>, String> {
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    let head: Vec<&str> = lines.next().unwrap_or_default().split(',').map(str::trim).collect();
    let place = |name: &str| head.iter().position(|each| each.eq_ignore_ascii_case(name));
    let (Some(order), Some(cell)) = (place("Norder"), place("Npix")) else {
        return Err("no columns Norder and Npix".to_owned());
    };
    let mut cells = Vec::new();
    for (number, line) in lines.enumerate() {
        let fields: Vec<&str> = line.split(',').map(str::trim).collect();
        let value = |place: usize| fields.get(place)?.parse::<u64>().ok();
        match (value(order), value(cell)) {
            (Some(order), Some(cell)) if is_cell(order, cell) => cells.push((order, cell)),
            _ => return Err(format!("line {}: no cell", number + 2)),
        }
        if cells.len() > MAXIMUM_CELLS {
            return Err(format!("more than {MAXIMUM_CELLS} cells"));
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    cells.retain(|each| seen.insert(*each));
    Ok(cells)
}

fn is_cell(order: u64, cell: u64) -> bool {
    order <= MAXIMUM_ORDER && cell < 12 << (2 * order)
}

/// The cells whose directories are there.
fn cells_found(root: &Path) -> io::Result<Vec<(u64, u64)>> {
    let mut cells = Vec::new();
    for (order, path) in numbered(root, "Norder=")? {
        for (_, path) in numbered(&path, "Dir=")? {
            for (cell, _) in numbered(&path, "Npix=")? {
                cells.push((order, cell));
            }
        }
    }
    cells.retain(|(order, cell)| is_cell(*order, *cell));
    cells.sort_unstable();
    cells.dedup();
    Ok(cells)
}

/// What is in a directory under `name=<number>`.
fn numbered(directory: &Path, name: &str) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let stem = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let number = stem.strip_prefix(name).and_then(|rest| rest.split('.').next()?.parse().ok());
        found.extend(number.map(|number| (number, path)));
    }
    Ok(found)
}

fn parquet_files(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "parquet") {
            files.push(path);
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touched(directory: &Path, names: &[&str]) {
        for name in names {
            let path = directory.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
    }

    #[test]
    fn both_layouts_are_found_with_and_without_the_list() {
        for (root, properties) in [("dataset/", "hats.properties"), ("", "catalog_info.json")] {
            let here = tempfile::tempdir().unwrap();
            let names = [
                format!("{root}Norder=0/Dir=0/Npix=4.parquet"),
                format!("{root}Norder=7/Dir=20000/Npix=20345.parquet"),
                format!("{root}Norder=1/Dir=0/Npix=44/part1.parquet"),
                format!("{root}Norder=1/Dir=0/Npix=44/part0.parquet"),
                properties.to_owned(),
            ];
            touched(here.path(), &names.each_ref().map(String::as_str));
            let expected: Vec<PathBuf> =
                [0, 3, 2, 1].map(|each: usize| here.path().join(&names[each])).into();
            assert_eq!(files_of(here.path()).unwrap(), expected);
            let list = "Norder,Npix,num_rows\n1,44,3\n0,4,9\n0,4,9\n";
            fs::write(here.path().join(PARTITIONS), list).unwrap();
            let listed: Vec<PathBuf> =
                [3, 2, 0].map(|each: usize| here.path().join(&names[each])).into();
            assert_eq!(files_of(here.path()).unwrap(), listed);
        }
    }

    #[test]
    fn what_is_no_catalogue_is_told() {
        let here = tempfile::tempdir().unwrap();
        let complaint = || files_of(here.path()).unwrap_err().to_string();
        assert!(complaint().contains("no HATS catalogue"));
        fs::write(here.path().join("properties"), "obs_collection = x\n").unwrap();
        assert!(complaint().contains("without cells"));
        for (list, what) in [
            ("Norder,Dir\n", "no columns"),
            ("Norder,Npix\n0,12\n", "line 2"),
            ("Norder,Npix\n77,1\n", "line 2"),
            ("Norder,Npix\n0,../x\n", "line 2"),
            ("Norder,Npix\n0,3\n", "Norder=0 Npix=3"),
        ] {
            fs::write(here.path().join(PARTITIONS), list).unwrap();
            assert!(complaint().contains(what), "{list}: {}", complaint());
        }
    }
}
