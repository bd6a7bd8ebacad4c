//! How much room there is where the data lie.

use super::local::StorageError;
use std::{io, path::Path};

/// A file system, as an ordinary user may use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskSpace {
    pub free_bytes: u64,
    pub total_bytes: u64,
    /// Files and directories that can still be made; `None` where the file system does not count them.
    pub free_inodes: Option<u64>,
    pub is_read_only: bool,
}

impl DiskSpace {
    /// Of the file system that `path`, which must be there, lies on.
    pub fn of(path: &Path) -> Result<Self, StorageError> {
        let found = rustix::fs::statvfs(path).map_err(|source| StorageError {
            path: path.to_owned(),
            source: io::Error::from(source),
        })?;
        Ok(Self {
            free_bytes: found.f_bavail.saturating_mul(found.f_frsize),
            total_bytes: found.f_blocks.saturating_mul(found.f_frsize),
            free_inodes: (found.f_files > 0).then_some(found.f_favail),
            is_read_only: found.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY),
        })
    }
}

/// Refuses to begin what needs `bytes` in `directory` when there is no room for them: work that has not begun can wait, work that failed in
/// the middle counts as an attempt.
///
/// # Errors
/// [`io::ErrorKind::StorageFull`]; a retry is safe when there is room again.
pub fn require_room(directory: &Path, bytes: u64) -> Result<(), StorageError> {
    let free = DiskSpace::of(directory)?.free_bytes;
    if free >= bytes {
        return Ok(());
    }
    Err(StorageError {
        path: directory.to_owned(),
        source: io::Error::new(
            io::ErrorKind::StorageFull,
            format!("disk full: {free} bytes are free, {bytes} are needed"),
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_measured_and_missing_room_is_a_full_disk() {
        let directory = tempfile::tempdir().unwrap();
        let space = DiskSpace::of(directory.path()).unwrap();
        assert!(space.free_bytes <= space.total_bytes && !space.is_read_only);
        require_room(directory.path(), 0).unwrap();
        let error = require_room(directory.path(), u64::MAX).unwrap_err();
        assert_eq!(error.source.kind(), io::ErrorKind::StorageFull);
        assert!(DiskSpace::of(&directory.path().join("absent")).is_err());
    }
}
