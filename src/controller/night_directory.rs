//! The directory of a simulated night: what it was run with, whether it is finished, where things lie.

use crate::storage::{
    directory_lock::{self, DirectoryLock, LockError},
    local::{StorageError, make_directory, sha256_of_bytes, write_atomically},
};
use serde::{Deserialize, Serialize};
use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

#[derive(Debug, thiserror::Error)]
pub enum NightDirectoryError {
    #[error("{path}: this night is finished; give another --out, or --fresh to run it again")]
    Finished { path: PathBuf },
    #[error(
        "{path}: begun with another configuration or other arguments; give another --out, or --fresh"
    )]
    OtherConfiguration { path: PathBuf },
    #[error("{path} is not empty and holds no simulated night; give another --out")]
    Foreign { path: PathBuf },
    #[error("{path}: {what}")]
    Damaged { path: PathBuf, what: String },
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// `night.json`: how a night was begun.
#[derive(Debug, Serialize, Deserialize)]
struct NightFile {
    program_version: String,
    /// SHA-256 of everything that decides the result.
    fingerprint: String,
    finished: bool,
    /// The arguments and configuration, for people.
    settings: serde_json::Value,
}

/// An opened directory of a night; while it is open, no other process has it.
#[derive(Debug, Clone)]
pub struct NightDirectory {
    root: PathBuf,
    is_resumed: bool,
    _lock: Arc<DirectoryLock>,
}

impl NightDirectory {
    /// Opens `root` for a night with these settings: new, or to be resumed if it was begun with the same ones.
    pub fn open(
        root: &Path,
        settings: &serde_json::Value,
        fresh: bool,
    ) -> Result<Self, NightDirectoryError> {
        let file = root.join("night.json");
        let fingerprint = sha256_of_bytes(settings.to_string().as_bytes());
        if read(&file)?.is_none() && root.exists() && !is_empty(root)? {
            return Err(NightDirectoryError::Foreign { path: root.to_owned() });
        }
        make_directory(root)?;
        let lock = Arc::new(DirectoryLock::take(root, "simulate")?);
        // Read under the lock: the night may have been finished meanwhile.
        let known = read(&file)?;
        if fresh && known.is_some() {
            throw_away_all_but(&file, root)?;
        } else if let Some(known) = known {
            if known.finished {
                return Err(NightDirectoryError::Finished { path: root.to_owned() });
            }
            if known.fingerprint != fingerprint {
                return Err(NightDirectoryError::OtherConfiguration { path: root.to_owned() });
            }
            return Ok(Self { root: root.to_owned(), is_resumed: true, _lock: lock });
        }
        let begun = NightFile {
            program_version: env!("CARGO_PKG_VERSION").to_owned(),
            fingerprint,
            finished: false,
            settings: settings.clone(),
        };
        write(&file, &begun)?;
        Ok(Self { root: root.to_owned(), is_resumed: false, _lock: lock })
    }

    /// Marks the night finished and writes its report.
    pub fn finish(&self, report: &impl Serialize) -> Result<(), NightDirectoryError> {
        write(&self.report_file(), report)?;
        let file = self.root.join("night.json");
        let mut night = read(&file)?.ok_or_else(|| NightDirectoryError::Damaged {
            path: file.clone(),
            what: "it is gone".to_owned(),
        })?;
        night.finished = true;
        write(&file, &night)
    }

    pub fn is_resumed(&self) -> bool {
        self.is_resumed
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The controller's local data storage.
    pub fn data(&self) -> PathBuf {
        self.root.join("data")
    }

    /// What the science centre received.
    pub fn science_centre(&self) -> PathBuf {
        self.root.join("fsc")
    }

    pub fn catalogue_file(&self) -> PathBuf {
        self.root.join("catalogue.csv")
    }

    pub fn truth_file(&self) -> PathBuf {
        self.root.join("truth.json")
    }

    pub fn report_file(&self) -> PathBuf {
        self.root.join("report.json")
    }

    /// The metrics as they were at the end.
    pub fn metrics_file(&self) -> PathBuf {
        self.root.join("metrics.txt")
    }
}

/// Whether there is nothing but, at most, what a beginning that was cut off leaves: the lock, and the file that says how a night was
/// begun, half written.
fn is_empty(directory: &Path) -> Result<bool, StorageError> {
    let beginnings = ["night.json.tmp", directory_lock::FILE_NAME];
    Ok(entries(directory)?.iter().all(|path| beginnings.iter().any(|name| path.ends_with(name))))
}

/// Empties a night's directory. The file that says that it is one stays: emptying that was cut off can be begun again.
fn throw_away_all_but(kept: &Path, root: &Path) -> Result<(), StorageError> {
    for path in &entries(root)? {
        if path == kept || path.ends_with(directory_lock::FILE_NAME) {
            continue;
        }
        let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
        removed.map_err(|source| StorageError { path: path.clone(), source })?;
    }
    Ok(())
}

fn entries(directory: &Path) -> Result<Vec<PathBuf>, StorageError> {
    let failed = |source| StorageError { path: directory.to_owned(), source };
    let listed = fs::read_dir(directory).map_err(failed)?;
    listed.map(|entry| entry.map(|entry| entry.path()).map_err(failed)).collect()
}

fn read(file: &Path) -> Result<Option<NightFile>, NightDirectoryError> {
    match fs::read_to_string(file) {
        Ok(text) => serde_json::from_str(&text).map(Some).map_err(|error| {
            NightDirectoryError::Damaged { path: file.to_owned(), what: error.to_string() }
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(StorageError { path: file.to_owned(), source }.into()),
    }
}

fn write(file: &Path, content: &impl Serialize) -> Result<(), NightDirectoryError> {
    let text = serde_json::to_vec_pretty(content).map_err(|error| {
        NightDirectoryError::Damaged { path: file.to_owned(), what: error.to_string() }
    })?;
    Ok(write_atomically(file, &text)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_night_is_begun_once_resumed_and_never_run_over() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("night");
        let settings = json!({"seed": 1});
        let open =
            |settings: &serde_json::Value, fresh| NightDirectory::open(&root, settings, fresh);
        let night = open(&settings, false).unwrap();
        assert!(!night.is_resumed());
        for fresh in [false, true] {
            assert!(matches!(
                open(&settings, fresh),
                Err(NightDirectoryError::Lock(LockError::Held { .. }))
            ));
        }
        drop(night);
        let night = open(&settings, false).unwrap();
        assert!(night.is_resumed());
        drop(night);
        assert!(matches!(
            open(&json!({"seed": 2}), false),
            Err(NightDirectoryError::OtherConfiguration { .. })
        ));
        let night = open(&settings, false).unwrap();
        night.finish(&json!({"ok": true})).unwrap();
        drop(night);
        assert!(matches!(open(&settings, false), Err(NightDirectoryError::Finished { .. })));
        assert!(!open(&settings, true).unwrap().is_resumed());
    }

    #[test]
    fn a_beginning_and_a_clearing_that_were_cut_off_are_gone_on_with() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("night");
        std::fs::create_dir(&root).unwrap();
        std::fs::write(root.join("night.json.tmp"), "{\"program").unwrap();
        let settings = json!({"seed": 1});
        assert!(!NightDirectory::open(&root, &settings, false).unwrap().is_resumed());
        std::fs::create_dir(root.join("data")).unwrap();
        std::fs::write(root.join("data/gic.sqlite"), "x").unwrap();
        throw_away_all_but(&root.join("night.json"), &root).unwrap();
        // Here a kill: the directory is still known as a night's.
        assert!(!NightDirectory::open(&root, &settings, true).unwrap().is_resumed());
        assert!(!root.join("data").exists());
    }

    #[test]
    fn a_directory_with_something_else_in_it_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("thesis.tex"), "x").unwrap();
        for fresh in [false, true] {
            assert!(matches!(
                NightDirectory::open(directory.path(), &json!({}), fresh),
                Err(NightDirectoryError::Foreign { .. })
            ));
        }
    }
}
