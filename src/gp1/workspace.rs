//! Names and places of the files of an instance (interfaces.md §5).

use super::error::Gp1Error;
use crate::model::{DeadlineName, FrameKeywords, normalise_burst_id};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Stands for a directory whose header value is absent.
const UNKNOWN: &str = "unknown";
/// Longer header values are cut, so that the names of files stay within what file systems take.
const LONGEST_COMPONENT: usize = 64;

/// The directory tree of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workspace {
    root: PathBuf,
    headers: Vec<String>,
}

/// The files made of one frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FramePaths {
    pub directory: PathBuf,
    pub reduced: PathBuf,
    pub sources: PathBuf,
    /// What was measured, as JSON; written last, so that its presence says the frame is done.
    pub quality: PathBuf,
}

impl Workspace {
    /// `headers` as in `pipeline.cfg`: `TRGID,INSTRUME,FILTER`.
    pub fn new(root: impl Into<PathBuf>, headers: &[String]) -> Self {
        Self { root: root.into(), headers: headers.to_vec() }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Whether all header names are among the mapped ones, so that a frame's place is known from its keywords alone.
    pub fn is_known_from_keywords(&self) -> bool {
        self.headers.iter().all(|name| is_mapped(name))
    }

    /// Directory of a frame. `burst_id` names the trigger a caller gave it to when its header names none; `value_of` gives
    /// the value of header names that are not mapped ones.
    pub fn frame_directory(
        &self,
        keywords: &FrameKeywords,
        burst_id: Option<&str>,
        value_of: &dyn Fn(&str) -> Option<String>,
    ) -> PathBuf {
        self.headers.iter().fold(self.root.clone(), |directory, name| {
            let value = mapped_value(keywords, burst_id, name).or_else(|| value_of(name));
            directory.join(component(value.as_deref().unwrap_or(UNKNOWN)))
        })
    }

    /// Files of a frame in its directory.
    pub fn frame_paths(&self, directory: PathBuf, frame: &str) -> FramePaths {
        let name = component(frame);
        FramePaths {
            reduced: directory.join(format!("{name}_reduced.fits")),
            sources: directory.join(format!("{name}_sources.fits")),
            quality: directory.join(format!("{name}_quality.json")),
            directory,
        }
    }

    /// Directory of a trigger.
    pub fn trigger_directory(&self, burst_id: &str) -> PathBuf {
        self.root.join(component(&normalise_burst_id(burst_id)))
    }

    /// Directory of the result of a deadline.
    pub fn deadline_directory(&self, burst_id: &str, deadline: DeadlineName) -> PathBuf {
        self.trigger_directory(burst_id).join(component(&deadline.to_string()))
    }

    /// The list after the last frame.
    pub fn provisional(&self, burst_id: &str) -> PathBuf {
        self.trigger_directory(burst_id).join("provisional.json")
    }
}

/// The group a frame belongs to: its trigger, else its programme, else its target.
pub fn group_of(keywords: &FrameKeywords, burst_id: Option<&str>) -> String {
    let trigger = keywords.trigger_id.as_deref().filter(|text| !text.trim().is_empty());
    let name = match trigger.or(burst_id) {
        Some(id) => normalise_burst_id(id),
        None => keywords
            .observer
            .as_deref()
            .or(keywords.object.as_deref())
            .unwrap_or(UNKNOWN)
            .to_owned(),
    };
    component(&name)
}

/// Header text as one component of a path: nothing that leads elsewhere, nothing that a shell or a file system trips
/// over.
pub fn component(text: &str) -> String {
    let cleaned: String = text
        .trim()
        .chars()
        .map(|letter| match letter {
            letter if letter.is_ascii_alphanumeric() => letter,
            '-' | '_' | '.' | '+' => letter,
            _ => '_',
        })
        .take(LONGEST_COMPONENT)
        .collect();
    match cleaned.strip_prefix('.') {
        Some(rest) => format!("_{rest}"),
        None if cleaned.is_empty() => UNKNOWN.to_owned(),
        None => cleaned,
    }
}

fn is_mapped(name: &str) -> bool {
    matches!(
        name.trim().to_ascii_uppercase().as_str(),
        "TRGID" | "INSTRUME" | "FILTER" | "OBSERVER" | "OBJECT" | "EXPTYPE"
    )
}

fn mapped_value(keywords: &FrameKeywords, burst_id: Option<&str>, name: &str) -> Option<String> {
    match name.trim().to_ascii_uppercase().as_str() {
        "TRGID" => Some(group_of(keywords, burst_id)),
        "INSTRUME" => Some(keywords.instrument.clone()),
        "FILTER" => Some(keywords.filter.clone()),
        "OBSERVER" => keywords.observer.clone(),
        "OBJECT" => keywords.object.clone(),
        "EXPTYPE" => Some(keywords.kind.name().to_owned()),
        _ => None,
    }
}

/// Makes a directory with its parents, durably.
pub fn make_directory(path: &Path) -> Result<(), Gp1Error> {
    crate::storage::local::make_directory(path)
        .map_err(|error| Gp1Error::Io { path: error.path, source: error.source })
}

/// Writes a file so that a reader sees either all of it or the one before: temporary name, sync, rename, sync of the
/// directory.
pub fn write_atomically(path: &Path, content: &[u8]) -> Result<(), Gp1Error> {
    let failed = |source| Gp1Error::Io { path: path.to_owned(), source };
    replace(path, content, |file| file.sync_all())?;
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        std::fs::File::open(parent).and_then(|directory| directory.sync_all()).map_err(failed)?;
    }
    Ok(())
}

/// The same without waiting for the disk: whole or not at all but for a power cut.
pub fn replace_unsynced(path: &Path, content: &[u8]) -> Result<(), Gp1Error> {
    replace(path, content, |_| Ok(()))
}

fn replace(
    path: &Path,
    content: &[u8],
    sync: impl Fn(&std::fs::File) -> std::io::Result<()>,
) -> Result<(), Gp1Error> {
    let failed = |source| Gp1Error::Io { path: path.to_owned(), source };
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    let temporary = path.with_file_name(name);
    let mut file = std::fs::File::create(&temporary).map_err(failed)?;
    file.write_all(content).map_err(failed)?;
    sync(&file).map_err(failed)?;
    std::fs::rename(&temporary, path).map_err(failed)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::model::{FrameKind, UtcTime};

    pub(crate) fn keywords(trigger: Option<&str>) -> FrameKeywords {
        FrameKeywords {
            kind: FrameKind::Object,
            trigger_id: trigger.map(str::to_owned),
            observer: Some("survey 3".into()),
            object: Some("M31".into()),
            instrument: "C0".into(),
            filter: "../g".into(),
            exposure_seconds: 60.0,
            date_obs: UtcTime::from_unix_microseconds(0),
            pointing: None,
            gain_electrons: None,
            read_noise_electrons: None,
            saturation: None,
            binning: 1,
            size_pixels: (8, 8),
            camera: Default::default(),
        }
    }

    #[test]
    fn header_text_never_leads_out_of_the_workspace() {
        for (text, expected) in [
            ("w", "w"),
            ("../../etc", "_._.._etc"),
            ("..", "_."),
            ("a/b", "a_b"),
            ("", "unknown"),
            ("  ", "unknown"),
            ("é", "_"),
            ("20191016T042001C0o", "20191016T042001C0o"),
        ] {
            assert_eq!(component(text), expected, "{text}");
        }
        assert_eq!(component(&"x".repeat(500)).len(), 64);
    }

    #[test]
    fn frames_lie_under_trigger_instrument_and_filter() {
        let headers = ["TRGID", "INSTRUME", "FILTER"].map(str::to_owned);
        let workspace = Workspace::new("/w", &headers);
        assert!(workspace.is_known_from_keywords());
        let none = |_: &str| None;
        let directory = |trigger: Option<&str>, burst: Option<&str>| {
            workspace.frame_directory(&keywords(trigger), burst, &none)
        };
        assert_eq!(directory(Some("sb929744"), None), Path::new("/w/929744/C0/_._g"));
        assert_eq!(directory(None, Some("sb1")), Path::new("/w/1/C0/_._g"));
        assert_eq!(directory(None, None), Path::new("/w/survey_3/C0/_._g"));
        let deadline = workspace.deadline_directory("sb929744", DeadlineName::Minutes(5));
        assert_eq!(deadline, Path::new("/w/929744/T005"));
        let own = Workspace::new("/w", &["BLKID".to_owned()]);
        assert!(!own.is_known_from_keywords());
        let block = own.frame_directory(&keywords(None), None, &|name| Some(format!("{name}7")));
        assert_eq!(block, Path::new("/w/BLKID7"));
    }

    #[test]
    fn a_file_is_replaced_whole_and_nothing_is_left_beside_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("result.json");
        write_atomically(&path, b"first, and longer").unwrap();
        write_atomically(&path, b"second").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"second");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
        assert!(write_atomically(&directory.path().join("no/such/file"), b"x").is_err());
    }
}
