//! Which files of an archive claim to be frames.

use super::SimulationError;
use std::path::{Path, PathBuf};

const FITS_ENDINGS: [&str; 3] = [".fits", ".fit", ".fts"];
const PACKED_ENDINGS: [&str; 2] = [".fz", ".gz"];

/// Whether a file claims to be FITS by its name.
fn is_fits_name(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let unpacked = PACKED_ENDINGS.iter().find_map(|e| lower.strip_suffix(e)).unwrap_or(&lower);
    !name.starts_with('.') && FITS_ENDINGS.iter().any(|ending| unpacked.ends_with(ending))
}

/// File name without directory and endings.
pub fn frame_name(path: &Path) -> String {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let lower = name.to_ascii_lowercase();
    let packed = PACKED_ENDINGS.iter().find(|e| lower.ends_with(**e)).map_or(0, |e| e.len());
    let unpacked = lower.get(..lower.len() - packed).unwrap_or(&lower);
    let ending = FITS_ENDINGS.iter().find(|e| unpacked.ends_with(**e)).map_or(0, |e| e.len());
    name.get(..name.len() - packed - ending).unwrap_or(&name).to_owned()
}

/// All files under a directory that claim to be FITS by their names, in order of their paths. Links to directories are not
/// followed; a subdirectory that cannot be read is skipped.
pub fn fits_files(
    directory: &Path,
    skipped: &mut Vec<(PathBuf, String)>,
) -> Result<Vec<PathBuf>, SimulationError> {
    let top = |source| SimulationError::Io { path: directory.to_owned(), source };
    let mut files = Vec::new();
    let mut waiting = vec![directory.to_owned()];
    while let Some(next) = waiting.pop() {
        let entries = match std::fs::read_dir(&next) {
            Ok(entries) => entries,
            Err(error) if next == directory => return Err(top(error)),
            Err(error) => {
                skipped.push((next, error.to_string()));
                continue;
            }
        };
        for entry in entries {
            let entry = entry.map_err(top)?;
            let path = entry.path();
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => waiting.push(path),
                Ok(_) if is_fits_name(&entry.file_name().to_string_lossy()) => files.push(path),
                Ok(_) => {}
                Err(error) => skipped.push((path, error.to_string())),
            }
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lose_their_endings() {
        for (file, name) in [
            ("a/20191016T042001C0o.fits.fz", "20191016T042001C0o"),
            ("20191016T042001C0o.FITS", "20191016T042001C0o"),
            ("x.fit.gz", "x"),
            ("x.y.fts", "x.y"),
        ] {
            assert!(is_fits_name(file));
            assert_eq!(frame_name(Path::new(file)), name);
        }
        for file in ["a.fits.tmp", ".hidden.fits", "a.txt", "a.npz", "a.gz"] {
            assert!(!is_fits_name(file), "{file}");
        }
    }
}
