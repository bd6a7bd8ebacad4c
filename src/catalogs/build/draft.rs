//! The directory in which a store is made before it has its name.

use super::{super::store::HEADER_FILE, super::store_header::FORMAT, BuildError};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::{
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
};

const LOCK_FILE: &str = "lock";

/// A directory beside the store, held by a lock of the kernel that ends with the process. Removed unless it was published.
pub(in crate::catalogs) struct Draft {
    path: PathBuf,
    output: PathBuf,
    replaces: bool,
    is_published: bool,
    _lock: File,
}

impl Draft {
    /// Makes the directory, and clears away what an ended build left in it.
    pub fn begin(output: &Path, replace: bool) -> Result<Self, BuildError> {
        let replaces = output.symlink_metadata().is_ok();
        if replaces {
            if !replace {
                return Err(BuildError::Exists { path: output.to_owned() });
            }
            if !is_catalogue(output) {
                return Err(BuildError::Foreign { path: output.to_owned() });
            }
        }
        let Some(name) = output.file_name() else {
            return Err(BuildError::Foreign { path: output.to_owned() });
        };
        let mut hidden = std::ffi::OsString::from(".");
        hidden.push(name);
        hidden.push(".building");
        let path = parent_of(output).join(hidden);
        fs::create_dir_all(&path).map_err(BuildError::at(&path))?;
        let lock_path = path.join(LOCK_FILE);
        let lock = File::create(&lock_path).map_err(BuildError::at(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => (),
            Err(TryLockError::WouldBlock) => {
                return Err(BuildError::Busy { path: output.to_owned() });
            }
            Err(TryLockError::Error(source)) => {
                return Err(BuildError::Io { path: lock_path, source });
            }
        }
        for entry in fs::read_dir(&path).map_err(BuildError::at(&path))? {
            let entry = entry.map_err(BuildError::at(&path))?;
            if entry.file_name() != LOCK_FILE {
                fs::remove_file(entry.path()).map_err(BuildError::at(&entry.path()))?;
            }
        }
        Ok(Self { path, output: output.to_owned(), replaces, is_published: false, _lock: lock })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Gives the finished store its name, at once: nobody sees half of it, or none where one was.
    pub fn publish(mut self) -> Result<(), BuildError> {
        let lock = self.path.join(LOCK_FILE);
        fs::remove_file(&lock).map_err(BuildError::at(&lock))?;
        sync(&self.path)?;
        if self.replaces {
            renameat_with(CWD, &self.path, CWD, &self.output, RenameFlags::EXCHANGE)
                .map_err(|error| BuildError::at(&self.output)(error.into()))?;
            // What has the draft's name now is the store of before; should it stay, the next build removes it.
            let _ = fs::remove_dir_all(&self.path);
        } else {
            // Refuses a store that came to be meanwhile.
            renameat_with(CWD, &self.path, CWD, &self.output, RenameFlags::NOREPLACE)
                .map_err(|error| BuildError::at(&self.output)(error.into()))?;
        }
        self.is_published = true;
        sync(parent_of(&self.output))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.is_published {
            // The error that led here is the one to be told.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

fn parent_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn sync(directory: &Path) -> Result<(), BuildError> {
    File::open(directory).and_then(|file| file.sync_all()).map_err(BuildError::at(directory))
}

/// Whether a path is a directory with a header of ours, of whatever version and however damaged otherwise.
fn is_catalogue(path: &Path) -> bool {
    fs::read_to_string(path.join(HEADER_FILE)).is_ok_and(|text| text.contains(FORMAT))
}
