//! The collection of real packets beside the checkout; only for tests, and only where it is.

use std::path::{Path, PathBuf};

/// `$GIC_TEST_DATA/voevents`, or `../shared/data/voevents` beside the package.
pub fn directory() -> Option<PathBuf> {
    let data = match std::env::var_os("GIC_TEST_DATA") {
        Some(data) => PathBuf::from(data),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data"),
    };
    let directory = data.join("voevents");
    if directory.is_dir() {
        return Some(directory);
    }
    println!("skipped: no directory {}", directory.display());
    None
}

/// All its XML files, in order of name.
pub fn files(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "xml") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}
