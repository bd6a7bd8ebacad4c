//! More objects than memory holds, put into the order of their cells: sorted runs on disk, then merged.

use super::{
    healpix::{MAXIMUM_ORDER, cell_at},
    record::{IdentifierForm, RecordLayout, StoredObject},
};
use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    fs::{self, File},
    io::{self, BufReader, BufWriter, Read, Write},
    path::{Path, PathBuf},
};

/// Files merged at a time.
const MERGE_WIDTH: usize = 64;
const BUFFER_BYTES: usize = 1 << 18;

/// Takes objects in any order, and hands them out by cell at the finest order, then by identifier.
pub struct SortedRuns {
    directory: PathBuf,
    /// Objects held in memory before they become a run.
    chunk_objects: usize,
    band_count: usize,
    held: Vec<(u64, StoredObject)>,
    runs: Vec<PathBuf>,
    /// Runs that were ever made: the number of the next.
    made: usize,
}

impl SortedRuns {
    pub fn new(directory: &Path, chunk_objects: usize, band_count: usize) -> Self {
        Self {
            directory: directory.to_owned(),
            chunk_objects: chunk_objects.max(1),
            band_count,
            held: Vec::new(),
            runs: Vec::new(),
            made: 0,
        }
    }

    pub fn push(&mut self, object: StoredObject) -> io::Result<()> {
        self.held.push((cell_at(MAXIMUM_ORDER, object.position), object));
        if self.held.len() >= self.chunk_objects {
            self.write_held()?;
        }
        Ok(())
    }

    fn write_held(&mut self) -> io::Result<()> {
        if self.held.is_empty() {
            return Ok(());
        }
        self.held.sort_by(|a, b| a.0.cmp(&b.0).then_with(|| a.1.id.cmp(&b.1.id)));
        let mut run = self.new_run()?;
        let mut bytes = Vec::new();
        for (key, object) in self.held.drain(..) {
            write_object(&mut run, key, &object, &mut bytes)?;
        }
        run.flush()
    }

    fn new_run(&mut self) -> io::Result<BufWriter<File>> {
        let path = self.directory.join(format!("run-{:06}", self.made));
        self.made += 1;
        let file = File::create(&path)?;
        self.runs.push(path);
        Ok(BufWriter::with_capacity(BUFFER_BYTES, file))
    }

    /// Gives all objects in order to `each` with their cell at the finest order, and removes the runs.
    pub fn merged<E: From<io::Error>>(
        mut self,
        mut each: impl FnMut(u64, StoredObject) -> Result<(), E>,
    ) -> Result<(), E> {
        self.write_held()?;
        while self.runs.len() > MERGE_WIDTH {
            let some: Vec<PathBuf> = self.runs.drain(..MERGE_WIDTH).collect();
            let mut run = self.new_run()?;
            let mut bytes = Vec::new();
            merge(&some, self.band_count, &mut |key, object: StoredObject| {
                write_object(&mut run, key, &object, &mut bytes)
            })?;
            run.flush()?;
            remove(&some)?;
        }
        merge(&self.runs, self.band_count, &mut each)?;
        remove(&self.runs)?;
        Ok(())
    }
}

fn remove(runs: &[PathBuf]) -> io::Result<()> {
    runs.iter().try_for_each(fs::remove_file)
}

fn merge<E: From<io::Error>>(
    runs: &[PathBuf],
    band_count: usize,
    each: &mut impl FnMut(u64, StoredObject) -> Result<(), E>,
) -> Result<(), E> {
    let mut readers = Vec::with_capacity(runs.len());
    let mut fronts: Vec<Option<StoredObject>> = Vec::with_capacity(runs.len());
    let mut heap = BinaryHeap::new();
    for (number, run) in runs.iter().enumerate() {
        let mut reader = BufReader::with_capacity(BUFFER_BYTES, File::open(run)?);
        let front = read_object(&mut reader, band_count)?;
        readers.push(reader);
        fronts.push(front.map(|(key, object)| {
            heap.push(Reverse((key, object.id.clone(), number)));
            object
        }));
    }
    while let Some(Reverse((key, _, number))) = heap.pop() {
        let (Some(front), Some(reader)) = (fronts.get_mut(number), readers.get_mut(number)) else {
            continue;
        };
        let next = read_object(reader, band_count)?.map(|(key, object)| {
            heap.push(Reverse((key, object.id.clone(), number)));
            object
        });
        if let Some(object) = std::mem::replace(front, next) {
            each(key, object)?;
        }
    }
    Ok(())
}

fn layout(identifier_bytes: usize, band_count: usize) -> RecordLayout {
    RecordLayout { identifier_form: IdentifierForm::Text, identifier_bytes, band_count }
}

/// An object of a run: its cell (64 bits), the length of its identifier (8 bits), and a record with that length.
fn write_object(
    run: &mut impl Write,
    key: u64,
    object: &StoredObject,
    bytes: &mut Vec<u8>,
) -> io::Result<()> {
    let broken = || io::Error::new(io::ErrorKind::InvalidData, "an object does not fit a record");
    bytes.clear();
    bytes.extend_from_slice(&key.to_le_bytes());
    bytes.push(u8::try_from(object.id.len()).map_err(|_| broken())?);
    layout(object.id.len(), object.magnitudes.len()).encode(object, bytes).ok_or_else(broken)?;
    run.write_all(bytes)
}

/// `None` at the end of the run.
fn read_object(run: &mut impl Read, band_count: usize) -> io::Result<Option<(u64, StoredObject)>> {
    let mut key = [0; 8];
    match run.read_exact(&mut key) {
        Ok(()) => (),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let mut length = [0];
    run.read_exact(&mut length)?;
    let layout = layout(usize::from(length[0]), band_count);
    let mut record = vec![0; layout.record_bytes()];
    run.read_exact(&mut record)?;
    let object = layout
        .decode(&record)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "a run on disk is damaged"))?;
    Ok(Some((u64::from_le_bytes(key), object)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ObjectKind, SkyPosition};

    #[test]
    fn many_runs_come_out_in_order_and_leave_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let mut runs = SortedRuns::new(directory.path(), 3, 1);
        // 334 runs: merged in two steps.
        for number in 0..1000_u32 {
            let place = f64::from((number * 7919) % 1000) * 0.36;
            runs.push(StoredObject {
                id: number.to_string(),
                kind: ObjectKind::Star,
                position: SkyPosition::new(place, place / 2.0 - 90.0),
                proper_motion: None,
                epoch_year: 2000.0,
                magnitudes: vec![None],
            })
            .unwrap();
        }
        let mut cells = Vec::new();
        let mut ids = Vec::new();
        runs.merged::<io::Error>(|cell, object| {
            assert_eq!(cell, cell_at(MAXIMUM_ORDER, object.position));
            cells.push(cell);
            ids.push(object.id.parse::<u32>().unwrap());
            Ok(())
        })
        .unwrap();
        assert!(cells.is_sorted());
        ids.sort_unstable();
        assert_eq!(ids, (0..1000).collect::<Vec<_>>());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
