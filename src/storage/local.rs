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
    /// Where the file still is, if it could not be moved.
    #[serde(skip_serializing_if = "Option::is_none")]
    stays_at: Option<&'a Path>,
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
            make_directory(&directory)?;
        }
        // Other files that a stop left half written are written again under the same name; these are named after an instant.
        remove_half_written(&storage.status())?;
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

    /// Moves a file to `quarantine/<reason>/` with a JSON beside it that says why. `reason` is a short word of ours. A file that an
    /// earlier life moved there, before it could say so in the journal, stays where it is with the first reason.
    pub fn set_aside(
        &self,
        file: &Path,
        reason: &str,
        detail: &str,
        at: crate::model::UtcTime,
    ) -> Result<PathBuf, StorageError> {
        if !file.exists()
            && let Some(earlier) = self.in_quarantine(&plain_name(file))?
        {
            return Ok(earlier);
        }
        let destination = self.note(file, reason, detail, None, at)?;
        if let Err(error) = move_file(file, &destination) {
            // A note beside nothing would mislead; the first error is the one to be told.
            let _ = fs::remove_file(note_of(&destination));
            return Err(error);
        }
        Ok(destination)
    }

    /// As [`LocalStorage::set_aside`] for a file that cannot be moved: only the JSON is written, with where the file stays.
    pub fn note_aside(
        &self,
        file: &Path,
        reason: &str,
        detail: &str,
        at: crate::model::UtcTime,
    ) -> Result<(), StorageError> {
        self.note(file, reason, detail, Some(file), at).map(|_| ())
    }

    /// Writes the note and returns the place of the file beside it. A name that is taken gets the instant behind it, so that a
    /// thousand files of one name find their places at once.
    fn note(
        &self,
        file: &Path,
        reason: &str,
        detail: &str,
        stays_at: Option<&Path>,
        at: crate::model::UtcTime,
    ) -> Result<PathBuf, StorageError> {
        let directory = self.quarantine().join(reason);
        make_directory(&directory)?;
        let name = plain_name(file);
        let mut destination = directory.join(&name);
        let mut number = 0;
        while destination.exists() || note_of(&destination).exists() {
            number += 1;
            destination = directory.join(format!("{name}.{}", at.unix_microseconds() + number));
        }
        let note = QuarantineNote { file: &name, reason, detail, stays_at, at };
        let text = serde_json::to_vec_pretty(&note).map_err(|error| StorageError {
            path: destination.clone(),
            source: io::Error::other(error),
        })?;
        write_atomically(&note_of(&destination), &text)?;
        Ok(destination)
    }

    /// Where a file of that name lies in the quarantine, under whatever reason.
    fn in_quarantine(&self, name: &str) -> Result<Option<PathBuf>, StorageError> {
        let root = self.quarantine();
        for entry in fs::read_dir(&root).map_err(StorageError::at(&root))? {
            let path = entry.map_err(StorageError::at(&root))?.path().join(name);
            if path.is_file() {
                return Ok(Some(path));
            }
        }
        Ok(None)
    }
}

/// The JSON beside a file of the quarantine.
fn note_of(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".json");
    PathBuf::from(name)
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

/// Makes a directory with its parents, each synced into the one above it: what is put into it later and synced stays
/// reachable after a power cut.
pub fn make_directory(path: &Path) -> Result<(), StorageError> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        make_directory(parent)?;
    }
    match fs::create_dir(path) {
        Ok(()) => sync_directory_of(path),
        // Somebody else made it in between.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) => Err(StorageError { path: path.to_owned(), source: error }),
    }
}

/// Removes what [`write_atomically`] was making in a directory when the program ended.
fn remove_half_written(directory: &Path) -> Result<(), StorageError> {
    for entry in fs::read_dir(directory).map_err(StorageError::at(directory))? {
        let path = entry.map_err(StorageError::at(directory))?.path();
        if path.extension().is_some_and(|extension| extension == "tmp") {
            fs::remove_file(&path).map_err(StorageError::at(&path))?;
        }
    }
    Ok(())
}

/// Syncs a file that another process wrote, and its name: after this the journal may say that it is there.
pub fn make_durable(path: &Path) -> Result<(), StorageError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(StorageError::at(path))?;
    sync_directory_of(path)
}

/// Moves a file, over a copy where the destination is on another file system.
pub fn move_file(from: &Path, to: &Path) -> Result<(), StorageError> {
    if let Some(directory) = to.parent() {
        make_directory(directory)?;
    }
    match fs::rename(from, to) {
        Ok(()) => sync_directory_of(to),
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
            let mut temporary = to.as_os_str().to_owned();
            temporary.push(".tmp");
            let temporary = PathBuf::from(temporary);
            copy_with_sha256(from, &temporary)?;
            fs::rename(&temporary, to).map_err(StorageError::at(to))?;
            sync_directory_of(to)?;
            fs::remove_file(from).map_err(StorageError::at(from))
        }
        Err(error) => Err(StorageError { path: from.to_owned(), source: error }),
    }
}

/// Longest file name that is kept: room for what is put behind it.
const MAXIMUM_NAME: usize = 180;

/// The last part of a path as a name that every tool can take: bytes that are not UTF-8, control characters and `%` as `%XX`, and
/// no longer than 180 bytes; of a longer name the end, with a hash of the whole before it.
pub fn plain_name(path: &Path) -> String {
    let bytes = path.file_name().map_or(b"unnamed".as_slice(), |name| name.as_encoded_bytes());
    let mut name = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            if character.is_control() || character == '%' {
                let mut encoded = [0; 4];
                name.extend(
                    character.encode_utf8(&mut encoded).bytes().map(|b| format!("%{b:02X}")),
                );
            } else {
                name.push(character);
            }
        }
        name.extend(chunk.invalid().iter().map(|byte| format!("%{byte:02X}")));
    }
    if name.len() > MAXIMUM_NAME {
        let hash = sha256_of_bytes(bytes);
        let mut start = name.len() - (MAXIMUM_NAME - 17);
        while !name.is_char_boundary(start) {
            start += 1;
        }
        let end = name.get(start..).unwrap_or_default();
        name = format!("{}-{end}", hash.get(..16).unwrap_or_default());
    }
    name
}

/// Copies a file to a new one, synced, and returns the SHA-256 of what was copied, hexadecimal. A failed copy leaves nothing.
pub fn copy_with_sha256(from: &Path, to: &Path) -> Result<String, StorageError> {
    let outcome = copied(from, to);
    if outcome.is_err() {
        // The first error is the one to be told.
        let _ = fs::remove_file(to);
    }
    outcome
}

fn copied(from: &Path, to: &Path) -> Result<String, StorageError> {
    use sha2::{Digest, Sha256};
    use std::io::Read;
    let mut source = File::open(from).map_err(StorageError::at(from))?;
    let mut copy = File::create(to).map_err(StorageError::at(to))?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0_u8; 1 << 20];
    loop {
        let count = source.read(&mut buffer).map_err(StorageError::at(from))?;
        let piece = buffer.get(..count).unwrap_or_default();
        if piece.is_empty() {
            break;
        }
        hasher.update(piece);
        copy.write_all(piece).map_err(StorageError::at(to))?;
    }
    copy.sync_all().map_err(StorageError::at(to))?;
    Ok(hexadecimal(&hasher.finalize()))
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
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
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
        assert_eq!(fs::read_dir(storage.quarantine().join("damaged")).unwrap().count(), 4);
        let file = storage.incoming().join("stays.fits");
        storage.note_aside(&file, "damaged", "it cannot be moved", at).unwrap();
        let note = storage.quarantine().join("damaged/stays.fits.json");
        assert!(fs::read_to_string(note).unwrap().contains("stays_at"));
    }

    #[test]
    fn every_name_becomes_one_that_every_tool_takes() {
        use std::{ffi::OsStr, os::unix::ffi::OsStrExt};
        let plain = |bytes: &[u8]| plain_name(Path::new(OsStr::from_bytes(bytes)));
        assert_eq!(plain(b"dir/20191016T042001C0o.fits"), "20191016T042001C0o.fits");
        assert_eq!(plain("étoile 1.fits".as_bytes()), "étoile 1.fits");
        assert_eq!(plain(b"a\xff\n%.fits"), "a%FF%0A%25.fits");
        let long = plain("é".repeat(120).as_bytes());
        assert!(long.len() <= 180 && long.ends_with('é'), "{long}");
    }

    #[test]
    fn a_copy_has_the_hash_of_what_was_copied_and_a_failed_one_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let (from, to) = (directory.path().join("from"), directory.path().join("to"));
        fs::write(&from, b"abc").unwrap();
        assert_eq!(copy_with_sha256(&from, &to).unwrap(), sha256_of_bytes(b"abc"));
        assert_eq!(fs::read(&to).unwrap(), b"abc");
        assert!(copy_with_sha256(directory.path(), &directory.path().join("none")).is_err());
        assert!(!directory.path().join("none").exists());
    }

    #[test]
    fn a_file_that_was_set_aside_before_a_stop_is_found_again() {
        let directory = tempfile::tempdir().unwrap();
        let storage = LocalStorage::open(directory.path()).unwrap();
        let at = UtcTime::parse("2026-11-02T04:00:00Z").unwrap();
        let file = storage.raw().join("bad.fits");
        fs::write(&file, b"bad").unwrap();
        let kept = storage.set_aside(&file, "damaged", "the file ends early", at).unwrap();
        assert_eq!(storage.set_aside(&file, "unreadable", "it is gone", at).unwrap(), kept);
        assert!(!storage.quarantine().join("unreadable").exists());
        let other = storage.raw().join("never.fits");
        assert!(storage.set_aside(&other, "unreadable", "it is gone", at).is_err());
    }

    #[test]
    fn a_half_written_status_file_is_gone_after_the_next_start() {
        let directory = tempfile::tempdir().unwrap();
        let storage = LocalStorage::open(directory.path()).unwrap();
        fs::write(storage.status().join("status-20261102T041000.json.tmp"), b"{").unwrap();
        fs::write(storage.status().join("status-20261102T040500.json"), b"{}").unwrap();
        LocalStorage::open(directory.path()).unwrap();
        let left: Vec<_> = fs::read_dir(storage.status()).unwrap().collect();
        assert_eq!(left.len(), 1);
    }

    #[test]
    fn directories_are_made_with_their_parents_and_once() {
        let directory = tempfile::tempdir().unwrap();
        let deep = directory.path().join("a/b/c");
        make_directory(&deep).unwrap();
        make_directory(&deep).unwrap();
        assert!(deep.is_dir());
        fs::write(directory.path().join("file"), b"").unwrap();
        let error = make_directory(&directory.path().join("file")).unwrap_err();
        assert_eq!(error.source.kind(), io::ErrorKind::AlreadyExists);
        assert!(make_directory(&directory.path().join("file/below")).is_err());
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
