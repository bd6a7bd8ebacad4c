//! The local data storage: one directory layout, files that appear whole or not at all.

use serde::Serialize;
use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

/// A file operation that failed, with the path it failed on.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {source}")]
pub struct StorageError {
    pub path: PathBuf,
    pub source: io::Error,
}

impl StorageError {
    fn at(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |source| Self { path: path.to_owned(), source }
    }
}

/// The directories of one controller (design.md §6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalStorage {
    root: PathBuf,
}

/// Why a file was set aside, written beside it.
#[derive(Debug, Serialize)]
struct QuarantineNote<'a> {
    file: &'a str,
    reason: &'a str,
    detail: &'a str,
    at: crate::model::UtcTime,
}

impl LocalStorage {
    /// Uses `root`, making the directories that are missing.
    pub fn open(root: &Path) -> Result<Self, StorageError> {
        let storage = Self { root: root.to_owned() };
        for directory in [
            storage.incoming(),
            storage.incoming_sensors(),
            storage.raw(),
            storage.calibrated(),
            storage.masters(),
            storage.triggers(),
            storage.products(),
            storage.status(),
            storage.quarantine(),
        ] {
            fs::create_dir_all(&directory).map_err(StorageError::at(&directory))?;
        }
        Ok(storage)
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where images arrive.
    pub fn incoming(&self) -> PathBuf {
        self.root.join("incoming")
    }

    /// Where the telescope writes its sensor files.
    pub fn incoming_sensors(&self) -> PathBuf {
        self.root.join("incoming_sensors")
    }

    /// Raw frames, by night.
    pub fn raw(&self) -> PathBuf {
        self.root.join("raw")
    }

    /// Workspaces of the GP1 instances.
    pub fn calibrated(&self) -> PathBuf {
        self.root.join("calibrated")
    }

    pub fn masters(&self) -> PathBuf {
        self.root.join("masters")
    }

    pub fn triggers(&self) -> PathBuf {
        self.root.join("triggers")
    }

    pub fn products(&self) -> PathBuf {
        self.root.join("products")
    }

    pub fn status(&self) -> PathBuf {
        self.root.join("status")
    }

    pub fn quarantine(&self) -> PathBuf {
        self.root.join("quarantine")
    }

    pub fn journal(&self) -> PathBuf {
        Self::journal_in(&self.root)
    }

    /// The journal of the storage at `root`, which need not be there.
    pub fn journal_in(root: &Path) -> PathBuf {
        root.join("gic.sqlite")
    }

    /// Moves a file to `quarantine/<reason>/` with a JSON beside it that says why. `reason` is a short word of ours.
    pub fn set_aside(
        &self,
        file: &Path,
        reason: &str,
        detail: &str,
        at: crate::model::UtcTime,
    ) -> Result<PathBuf, StorageError> {
        let directory = self.quarantine().join(reason);
        fs::create_dir_all(&directory).map_err(StorageError::at(&directory))?;
        let name = file.file_name().map_or_else(|| "unnamed".into(), |name| name.to_string_lossy());
        let mut destination = directory.join(name.as_ref());
        let mut number = 1;
        while destination.exists() {
            destination = directory.join(format!("{name}.{number}"));
            number += 1;
        }
        let note = QuarantineNote { file: &name, reason, detail, at };
        let text = serde_json::to_vec_pretty(&note).map_err(|error| StorageError {
            path: destination.clone(),
            source: io::Error::other(error),
        })?;
        let mut beside = destination.clone().into_os_string();
        beside.push(".json");
        write_atomically(Path::new(&beside), &text)?;
        move_file(file, &destination)?;
        Ok(destination)
    }
}

/// Writes a whole file: to a temporary name, synced, renamed, directory synced.
pub fn write_atomically(path: &Path, content: &[u8]) -> Result<(), StorageError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    let temporary = PathBuf::from(name);
    let mut file = File::create(&temporary).map_err(StorageError::at(&temporary))?;
    file.write_all(content).map_err(StorageError::at(&temporary))?;
    file.sync_all().map_err(StorageError::at(&temporary))?;
    drop(file);
    fs::rename(&temporary, path).map_err(StorageError::at(path))?;
    sync_directory_of(path)
}

/// Moves a file, over a copy where the destination is on another file system.
pub fn move_file(from: &Path, to: &Path) -> Result<(), StorageError> {
    if let Some(directory) = to.parent() {
        fs::create_dir_all(directory).map_err(StorageError::at(directory))?;
    }
    match fs::rename(from, to) {
        Ok(()) => sync_directory_of(to),
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
            let content = fs::read(from).map_err(StorageError::at(from))?;
            write_atomically(to, &content)?;
            fs::remove_file(from).map_err(StorageError::at(from))
        }
        Err(error) => Err(StorageError { path: from.to_owned(), source: error }),
    }
}

/// SHA-256 of a file, hexadecimal.
pub fn sha256_of_file(path: &Path) -> Result<String, StorageError> {
    use sha2::{Digest, Sha256};
    use std::io::Read;
    let mut file = File::open(path).map_err(StorageError::at(path))?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0_u8; 1 << 20];
    loop {
        let count = file.read(&mut buffer).map_err(StorageError::at(path))?;
        if count == 0 {
            break;
        }
        hasher.update(&buffer[..count]);
    }
    Ok(hexadecimal(&hasher.finalize()))
}

/// SHA-256 of bytes, hexadecimal.
pub fn sha256_of_bytes(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    hexadecimal(&Sha256::digest(bytes))
}

fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn sync_directory_of(path: &Path) -> Result<(), StorageError> {
    let Some(directory) = path.parent() else { return Ok(()) };
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(StorageError::at(directory))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::UtcTime;

    #[test]
    fn a_file_set_aside_keeps_its_content_and_says_why() {
        let directory = tempfile::tempdir().unwrap();
        let storage = LocalStorage::open(directory.path()).unwrap();
        let at = UtcTime::parse("2026-11-02T04:00:00Z").unwrap();
        for content in [b"first", b"other"] {
            let file = storage.incoming().join("bad.fits");
            fs::write(&file, content).unwrap();
            let kept = storage.set_aside(&file, "damaged", "the file ends early", at).unwrap();
            assert!(!file.exists());
            assert_eq!(fs::read(&kept).unwrap(), content);
            let note = fs::read_to_string(format!("{}.json", kept.display())).unwrap();
            assert!(note.contains("the file ends early"));
        }
        assert!(storage.quarantine().join("damaged/bad.fits.1").exists());
    }

    #[test]
    fn hash_of_a_file_is_that_of_its_bytes() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("abc");
        write_atomically(&path, b"abc").unwrap();
        // FIPS 180-2, appendix B.1.
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256_of_file(&path).unwrap(), expected);
        assert_eq!(sha256_of_bytes(b"abc"), expected);
    }
}
