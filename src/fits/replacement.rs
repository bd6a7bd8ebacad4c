//! Files that appear whole or not at all: written beside their place, synced, renamed.

use super::FitsError;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// Whether a file has to be on the disk when its writing returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Durability {
    Synced,
    Unsynced,
}

/// Has `write` make `<path>.tmp`, then puts it in the place of `path`. A failed write leaves neither.
pub(super) fn replace(
    path: &Path,
    durability: Durability,
    write: impl FnOnce(&Path) -> Result<(), FitsError>,
) -> Result<(), FitsError> {
    let failed = |what: &str, error: &std::io::Error| FitsError::Write {
        path: path.to_owned(),
        what: format!("{what}: {error}"),
    };
    if path.extension().is_some_and(|extension| extension == "gz" || extension == "fz") {
        return Err(FitsError::Write {
            path: path.to_owned(),
            what: "files are written uncompressed: a name in .gz or .fz would lie".to_owned(),
        });
    }
    // An absolute path: a relative one could begin with a blank, which cfitsio skips.
    let absolute = std::path::absolute(path).map_err(|error| failed("no such place", &error))?;
    let mut name = absolute.clone().into_os_string();
    name.push(".tmp");
    let temporary = PathBuf::from(name);
    match fs::remove_file(&temporary) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed("a left-over temporary file stays", &error)),
    }
    let outcome = write(&temporary).and_then(|()| {
        if durability == Durability::Synced {
            File::open(&temporary)
                .and_then(|file| file.sync_all())
                .map_err(|error| failed("sync", &error))?;
        }
        if durability == Durability::Unsynced {
            return put(&temporary, &absolute).map_err(|error| failed("rename", &error));
        }
        fs::rename(&temporary, &absolute).map_err(|error| failed("rename", &error))?;
        match absolute.parent() {
            Some(directory) => File::open(directory)
                .and_then(|directory| directory.sync_all())
                .map_err(|error| failed("sync of the directory", &error)),
            None => Ok(()),
        }
    });
    if outcome.is_err() {
        // The first error is the one to tell; that the temporary file stays as well would add nothing.
        let _ = fs::remove_file(&temporary);
    }
    outcome
}

/// Puts a file in the place of another at once. An ordinary renaming has some file systems write all of the new file to the disk
/// first where there is an old one (ext4 with `auto_da_alloc`); an exchange of the two names does not.
fn put(temporary: &Path, path: &Path) -> std::io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        if renameat_with(CWD, temporary, CWD, path, RenameFlags::EXCHANGE).is_ok() {
            return fs::remove_file(temporary);
        }
    }
    // There is no old file, or the file system cannot exchange.
    fs::rename(temporary, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_the_old_file_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.fits");
        replace(&path, Durability::Synced, |temporary| {
            fs::write(temporary, b"old").unwrap();
            Ok(())
        })
        .unwrap();
        let error = replace(&path, Durability::Synced, |temporary| {
            fs::write(temporary, b"half").unwrap();
            Err(FitsError::Write { path: temporary.to_owned(), what: "disk full".to_owned() })
        })
        .unwrap_err();
        assert!(error.to_string().contains("disk full"));
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_left_over_temporary_file_is_no_obstacle_and_compressed_names_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("a.fits.tmp"), b"crashed").unwrap();
        replace(&directory.path().join("a.fits"), Durability::Unsynced, |temporary| {
            assert!(!temporary.exists());
            fs::write(temporary, b"new").unwrap();
            Ok(())
        })
        .unwrap();
        replace(&directory.path().join("a.fits"), Durability::Unsynced, |temporary| {
            fs::write(temporary, b"newer").unwrap();
            Ok(())
        })
        .unwrap();
        assert_eq!(fs::read(directory.path().join("a.fits")).unwrap(), b"newer");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        assert!(
            replace(&directory.path().join("a.fits.fz"), Durability::Synced, |_| Ok(())).is_err()
        );
    }
}
