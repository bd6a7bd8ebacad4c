//! One program at a time in one directory.
//!
//! The lock is the kernel's (`flock`) on a file in the directory: it ends with the process that holds it, however that one ends, so
//! it is never stale. What is written in the file only tells a person who holds it.

use super::local::StorageError;
use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

/// Name of the file in the directory.
pub const FILE_NAME: &str = "gic.lock";
/// How long a start waits for the one before it to be gone: a restart may begin while the old process is being taken down.
const PATIENCE: Duration = Duration::from_secs(2);
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// More than this is not our text.
const LONGEST_TEXT: u64 = 300;

/// Why a directory was not locked.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// A retry is safe when the other one has ended.
    #[error(
        "{directory} is in use by another gic ({holder}); end that one first, or use another directory"
    )]
    Held { directory: PathBuf, holder: String },
    /// The directory cannot be written to, or its file system has no locks.
    #[error("the directory cannot be locked: {0}")]
    File(#[from] StorageError),
}

/// While it lives, no other process has the directory.
#[derive(Debug)]
pub struct DirectoryLock {
    _file: File,
}

impl DirectoryLock {
    /// Takes the directory, which must be there, for `purpose` (`run`, `simulate`).
    pub fn take(directory: &Path, purpose: &str) -> Result<Self, LockError> {
        let path = directory.join(FILE_NAME);
        let failed = |source: io::Error| StorageError { path: path.clone(), source };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(failed)?;
        let began = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if began.elapsed() < PATIENCE => {
                    thread::sleep(LOOK_AGAIN);
                }
                Err(TryLockError::WouldBlock) => {
                    let holder = read_holder(&mut file);
                    return Err(LockError::Held { directory: directory.to_owned(), holder });
                }
                Err(TryLockError::Error(source)) => return Err(failed(source).into()),
            }
        }
        let text = format!("pid {}, gic {purpose}\n", std::process::id());
        // The lock is what counts: on a full disk the text may be missing.
        let written = file.set_len(0).and_then(|()| file.write_all(text.as_bytes()));
        if let Err(error) = written {
            tracing::warn!(path = %path.display(), %error, "the lock does not say who holds it");
        }
        Ok(Self { _file: file })
    }

    /// Who has the directory now, without taking it; `None` if nobody has.
    pub fn holder(directory: &Path) -> Result<Option<String>, StorageError> {
        let path = directory.join(FILE_NAME);
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(StorageError { path, source }),
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(None),
            Err(TryLockError::WouldBlock) => Ok(Some(read_holder(&mut file))),
            Err(TryLockError::Error(source)) => Err(StorageError { path, source }),
        }
    }
}

fn read_holder(file: &mut File) -> String {
    let mut text = String::new();
    let read = file
        .seek(SeekFrom::Start(0))
        .and_then(|_| file.take(LONGEST_TEXT).read_to_string(&mut text));
    match read {
        Ok(_) if !text.trim().is_empty() => text.trim().to_owned(),
        _ => "it does not say which".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_directory_has_one_holder_and_a_left_over_file_holds_nothing() {
        let directory = tempfile::tempdir().unwrap();
        // As a crash leaves it: the file, and nobody behind it.
        fs::write(directory.path().join(FILE_NAME), "pid 1, gic run\n").unwrap();
        assert_eq!(DirectoryLock::holder(directory.path()).unwrap(), None);
        let lock = DirectoryLock::take(directory.path(), "run").unwrap();
        let me = format!("pid {}, gic run", std::process::id());
        assert_eq!(DirectoryLock::holder(directory.path()).unwrap(), Some(me.clone()));
        match DirectoryLock::take(directory.path(), "simulate") {
            Err(LockError::Held { holder, .. }) => assert_eq!(holder, me),
            other => panic!("{other:?}"),
        }
        drop(lock);
        assert_eq!(DirectoryLock::holder(directory.path()).unwrap(), None);
        DirectoryLock::take(directory.path(), "run").unwrap();
    }

    #[test]
    fn a_directory_that_is_not_there_is_an_error_with_its_path() {
        let directory = tempfile::tempdir().unwrap();
        let absent = directory.path().join("absent");
        assert_eq!(DirectoryLock::holder(&absent).unwrap(), None);
        let error = DirectoryLock::take(&absent, "run").unwrap_err();
        assert!(error.to_string().contains("absent/gic.lock"), "{error}");
    }
}
