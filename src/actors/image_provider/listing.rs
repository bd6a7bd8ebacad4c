//! A look at the watched directory: which files are images by name, and in which order they are taken.

use crate::{
    config::controller::ImagesSettings,
    fits::FileStem,
    model::{FrameKind, UtcTime},
    storage::{journal::watched_files::Fingerprint, local::StorageError},
};
use std::{
    fs,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    time::{Duration, UNIX_EPOCH},
};

/// Ends of names of files that somebody is still writing.
const TEMPORARY: [&str; 6] = [".tmp", ".part", ".partial", ".filepart", ".temp", "~"];

/// Which files are taken, and with how much patience.
#[derive(Debug, Clone, PartialEq)]
pub struct IntakeRules {
    /// Wall time an unusable file may stand still before it is set aside.
    pub patience: Duration,
    pub subdirectories: bool,
    /// Lower case, longest first.
    pub endings: Vec<String>,
    /// Pixels of the greatest frame.
    pub maximum_pixels: u64,
}

impl IntakeRules {
    pub fn new(settings: &ImagesSettings) -> Self {
        let mut endings: Vec<String> =
            settings.endings.iter().map(|ending| ending.to_ascii_lowercase()).collect();
        endings.sort_by_key(|ending| std::cmp::Reverse(ending.len()));
        Self {
            patience: Duration::from_secs_f64(settings.patience_seconds),
            subdirectories: settings.subdirectories,
            endings,
            maximum_pixels: (settings.maximum_megapixels * 1e6) as u64,
        }
    }

    /// A name without the ending that makes it an image; `None` for other names, hidden ones among them.
    pub fn stem<'a>(&self, name: &'a str) -> Option<&'a str> {
        if name.starts_with('.') {
            return None;
        }
        let lower = name.to_ascii_lowercase();
        let ending = self.endings.iter().find(|ending| lower.ends_with(ending.as_str()))?;
        name.get(..name.len() - ending.len()).filter(|stem| !stem.is_empty())
    }
}

/// A file that is an image by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub path: PathBuf,
    pub fingerprint: Fingerprint,
}

/// How many entries are left alone, and why.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LeftAlone {
    /// Being written, by their names.
    pub temporary: usize,
    /// No image, by their names.
    pub foreign: usize,
    /// Neither a file nor a link to one.
    pub no_file: usize,
}

impl LeftAlone {
    pub fn total(self) -> usize {
        self.temporary + self.foreign + self.no_file
    }
}

/// What a look gave.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    pub files: Vec<Seen>,
    pub left_alone: LeftAlone,
}

/// Looks at a directory, and one level into those inside it if the rules say so.
pub fn list(directory: &Path, rules: &IntakeRules) -> Result<Listing, StorageError> {
    let mut listing = Listing::default();
    let mut inside = Vec::new();
    list_one(directory, rules, &mut listing, Some(&mut inside))?;
    for directory in inside {
        match list_one(&directory, rules, &mut listing, None) {
            Ok(()) => {}
            // One night's directory that cannot be looked into does not hide the others.
            Err(error) => {
                tracing::warn!(%error, "a directory inside the watched one is passed over");
            }
        }
    }
    Ok(listing)
}

fn list_one(
    directory: &Path,
    rules: &IntakeRules,
    listing: &mut Listing,
    mut inside: Option<&mut Vec<PathBuf>>,
) -> Result<(), StorageError> {
    let at = |source: io::Error| StorageError { path: directory.to_owned(), source };
    for entry in fs::read_dir(directory).map_err(at)? {
        let entry = entry.map_err(at)?;
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_directory
            && rules.subdirectories
            && !name.starts_with('.')
            && let Some(inside) = inside.as_deref_mut()
        {
            inside.push(path);
            continue;
        }
        if rules.stem(&name).is_none() {
            let lower = name.to_ascii_lowercase();
            if is_directory {
                listing.left_alone.no_file += 1;
            } else if TEMPORARY.iter().any(|end| lower.ends_with(end)) || name.starts_with('.') {
                listing.left_alone.temporary += 1;
            } else {
                listing.left_alone.foreign += 1;
            }
            continue;
        }
        // Through a link, to what it points at.
        match fs::metadata(&path) {
            Ok(metadata) if metadata.is_file() => {
                listing.files.push(Seen { fingerprint: fingerprint(&metadata), path });
            }
            Ok(_) => listing.left_alone.no_file += 1,
            // Gone since the directory was read, or a link to nothing.
            Err(error) if error.kind() == ErrorKind::NotFound => listing.left_alone.no_file += 1,
            Err(error) => {
                tracing::debug!(path = %path.display(), %error, "passed over at this look");
                listing.left_alone.no_file += 1;
            }
        }
    }
    Ok(())
}

/// Size and modification time of a file.
pub fn fingerprint(metadata: &fs::Metadata) -> Fingerprint {
    let modified_nanoseconds = metadata
        .modified()
        .ok()
        .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
        .and_then(|since| i64::try_from(since.as_nanos()).ok())
        .unwrap_or_default();
    Fingerprint { size: metadata.len(), modified_nanoseconds }
}

/// The order of taking: first what may be a frame of an open trigger, then other object frames and names that say nothing, then
/// calibration; within each the oldest first, for the first minutes of a burst are the ones that do not come back.
///
/// `open_since` is the earliest T0 of the open triggers.
pub fn in_order(
    mut files: Vec<Seen>,
    rules: &IntakeRules,
    open_since: Option<UtcTime>,
) -> Vec<Seen> {
    files.sort_by_cached_key(|seen| {
        let name = seen.path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
        let stem = rules.stem(&name).and_then(FileStem::parse);
        let (kind, date) = match stem {
            Some(stem) => (Some(stem.kind), stem.date),
            None => {
                let modified = seen.fingerprint.modified_nanoseconds / 1000;
                (None, UtcTime::from_unix_microseconds(modified))
            }
        };
        let is_calibration = kind.is_some_and(FrameKind::is_calibration);
        let is_recent = open_since.is_some_and(|since| date >= since);
        let rank = match (is_calibration, is_recent && kind == Some(FrameKind::Object)) {
            (_, true) => 0,
            (false, false) if is_recent => 1,
            (false, false) => 2,
            (true, false) => 3,
        };
        (rank, date, seen.path.clone())
    });
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(settings: ImagesSettings) -> IntakeRules {
        IntakeRules::new(&settings)
    }

    fn names(files: &[Seen]) -> Vec<String> {
        files
            .iter()
            .map(|seen| seen.path.file_name().unwrap().to_string_lossy().into_owned())
            .collect()
    }

    #[test]
    fn the_stem_is_the_name_without_its_ending() {
        let rules = rules(ImagesSettings::default());
        for name in
            ["20191016T042001C0o.fits", "20191016T042001C0o.fits.fz", "20191016T042001C0o.FITS"]
        {
            assert_eq!(rules.stem(name), Some("20191016T042001C0o"));
        }
        for name in [".fits", ".hidden.fits", "a.fits.tmp", "a.fit", "a.gz", "notes.txt"] {
            assert_eq!(rules.stem(name), None, "{name}");
        }
        let more = ImagesSettings { endings: vec![".FIT".into()], ..Default::default() };
        assert_eq!(IntakeRules::new(&more).stem("a.fit"), Some("a"));
    }

    #[test]
    fn foreign_and_temporary_files_are_left_alone_and_counted() {
        use std::{ffi::OsStr, os::unix::ffi::OsStrExt};
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        for name in
            ["b.fits", "a b.fits.fz", "c.fits.partial.tmp", "d.fits.part", "notes.txt", ".e.fits"]
        {
            fs::write(at(name), b"x").unwrap();
        }
        let odd = directory.path().join(OsStr::from_bytes(b"\xff.fits"));
        fs::write(&odd, b"x").unwrap();
        fs::create_dir(at("night.fits")).unwrap();
        std::os::unix::fs::symlink(at("nowhere"), at("link.fits")).unwrap();
        std::os::unix::fs::symlink(at("b.fits"), at("to_b.fits")).unwrap();
        let listing = list(directory.path(), &rules(ImagesSettings::default())).unwrap();
        let mut found = names(&listing.files);
        found.sort();
        assert_eq!(found, ["a b.fits.fz", "b.fits", "to_b.fits", "\u{fffd}.fits"]);
        assert_eq!(listing.left_alone, LeftAlone { temporary: 3, foreign: 1, no_file: 2 });
    }

    #[test]
    fn directories_inside_are_looked_into_where_that_is_wanted() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir_all(directory.path().join("20260102/deeper")).unwrap();
        for name in ["20260102/a.fits", "20260102/deeper/b.fits", "c.fits"] {
            fs::write(directory.path().join(name), b"x").unwrap();
        }
        let flat = list(directory.path(), &rules(ImagesSettings::default())).unwrap();
        assert_eq!(names(&flat.files), ["c.fits"]);
        let nights = rules(ImagesSettings { subdirectories: true, ..Default::default() });
        let mut found = names(&list(directory.path(), &nights).unwrap().files);
        found.sort();
        assert_eq!(found, ["a.fits", "c.fits"]);
    }

    #[test]
    fn frames_of_an_open_trigger_come_first_and_calibration_last() {
        let seen = |name: &str, seconds: i64| Seen {
            path: PathBuf::from(name),
            fingerprint: Fingerprint { size: 1, modified_nanoseconds: seconds * 1_000_000_000 },
        };
        let since = UtcTime::parse("2026-11-02T04:00:00Z").unwrap();
        let later = since.unix_microseconds() / 1_000_000 + 60;
        let files = vec![
            seen("20261102T050000C1f.fits", later),
            seen("20261101T050000C1d.fits", 0),
            seen("20261101T050000C1o.fits", later),
            seen("garbage.fits", 0),
            seen("fresh.fits", later),
            seen("20261102T040300C1o.fits", 0),
            seen("20261102T040200C2o.fits.fz", 0),
        ];
        let rules = rules(ImagesSettings::default());
        assert_eq!(
            names(&in_order(files.clone(), &rules, Some(since))),
            [
                "20261102T040200C2o.fits.fz",
                "20261102T040300C1o.fits",
                "fresh.fits",
                "garbage.fits",
                "20261101T050000C1o.fits",
                "20261101T050000C1d.fits",
                "20261102T050000C1f.fits",
            ]
        );
        assert_eq!(names(&in_order(files, &rules, None))[0], "garbage.fits");
    }
}
