//! One file, from the watched directory into the local data storage: looked through, copied, hashed, routed.
//!
//! What is journaled and analysed is our own copy, looked through after it was made: whoever wrote the file may go on writing
//! it, replace it or take it away, and no one sees a mixture.

use super::listing::{IntakeRules, Seen, fingerprint};
use crate::{
    actors::calibration_master::CALIBRATION_INSTANCE,
    fits::{
        Defect, KeywordMap, Screening,
        screening::{self, ScreeningError},
    },
    gp1::router::Router,
    model::{FrameIdentity, FrameKeywords, FrameState, UtcTime},
    storage::{
        disk::require_room,
        journal::frames::ArrivedFrame,
        local::{
            LocalStorage, StorageError, copy_with_sha256, make_directory, move_file, plain_name,
            sha256_of_file,
        },
    },
};
use std::{
    fs,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

/// End of the names of copies that are being made; what an earlier life left of them is removed at the start.
const COPYING: &str = ".copying";
/// Longest file that is copied, bytes.
const MAXIMUM_FILE: u64 = 2_000_000_000;

/// Room that must be there for each byte of an image before it is taken in: itself, its reduction with variance and mask, stacks, products.
const ROOM_PER_BYTE: u64 = 8;
/// And for the journal and what is small.
const ROOM_BESIDES: u64 = 1 << 20;

/// What is needed to take a file in.
#[derive(Clone)]
pub struct Intake {
    pub storage: LocalStorage,
    pub keywords: KeywordMap,
    pub router: Router,
    pub rules: IntakeRules,
}

/// What reading a file gave.
pub enum Reading {
    /// It is in the storage; the journal must have it next.
    Frame(Box<ArrivedFrame>),
    /// Not complete, or not usable.
    Unusable { reason: &'static str, detail: String },
    /// It changed while it was read, or it is gone: the next look will tell.
    Changed,
}

/// Why a file is not taken: a short word, which is its directory in the quarantine, and a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unusable {
    pub reason: &'static str,
    pub detail: String,
}

impl From<ScreeningError> for Unusable {
    fn from(error: ScreeningError) -> Self {
        match error {
            ScreeningError::Io(error) => Self { reason: "unreadable", detail: error.to_string() },
            ScreeningError::Refused(refusal) => {
                Self { reason: refusal.defect.name(), detail: refusal.what }
            }
        }
    }
}

/// What a screened file says of itself, if it is a frame that is taken.
pub fn acceptable(
    screened: &Screening,
    name: &str,
    rules: &IntakeRules,
    keywords: &KeywordMap,
) -> Result<FrameKeywords, Unusable> {
    let refuse = |reason, detail| Err(Unusable { reason, detail });
    let (Some(header), Some((columns, rows))) = (&screened.header, screened.plane) else {
        let detail = match screened.images {
            0 => "there is no image in it",
            _ => "its first image is not a plane",
        };
        return refuse("no-image", detail.to_owned());
    };
    let pixels = (columns as u64).saturating_mul(rows as u64);
    if pixels > rules.maximum_pixels {
        let detail = format!(
            "an image of {columns} × {rows} pixels; images.maximum_megapixels allows {} in all",
            rules.maximum_pixels
        );
        return refuse(Defect::TooLarge.name(), detail);
    }
    keywords
        .read(header, name, (columns, rows))
        .or_else(|error| refuse("keywords", error.to_string()))
}

impl Intake {
    /// Removes the copies that a crash left half made.
    pub fn clear_copies(&self) -> Result<(), StorageError> {
        let directory = self.copies()?;
        let at = |source: io::Error| StorageError { path: directory.clone(), source };
        for entry in fs::read_dir(&directory).map_err(at)? {
            let path = entry.map_err(at)?.path();
            if path.to_string_lossy().ends_with(COPYING) {
                fs::remove_file(&path).map_err(|source| StorageError { path, source })?;
            }
        }
        Ok(())
    }

    fn copies(&self) -> Result<PathBuf, StorageError> {
        let directory = self.storage.root().join("staging");
        make_directory(&directory)?;
        Ok(directory)
    }

    /// Takes a file in. An error is one of our own storage, and no fault of the file.
    pub fn take(&self, seen: &Seen, now: UtcTime) -> Result<Reading, StorageError> {
        let file = seen.path.as_path();
        if seen.fingerprint.size > MAXIMUM_FILE {
            let detail = format!(
                "{} bytes are more than the {MAXIMUM_FILE} that are taken",
                seen.fingerprint.size
            );
            return Ok(Reading::Unusable { reason: Defect::TooLarge.name(), detail });
        }
        // A look at the headers is cheap: a file that still grows is not copied each time.
        match screening::is_whole(file) {
            Ok(()) => {}
            Err(ScreeningError::Io(error)) if error.kind() == ErrorKind::NotFound => {
                return Ok(Reading::Changed);
            }
            Err(error) => return Ok(Unusable::from(error).into()),
        }
        // On a full disk it waits where it is: nothing of it is begun that could only fail.
        let size = seen.fingerprint.size;
        require_room(self.storage.root(), ROOM_PER_BYTE * size + ROOM_BESIDES)?;
        let copy = self.copies()?.join(format!("{}{COPYING}", plain_name(file)));
        let data_sha256 = match copy_with_sha256(file, &copy) {
            Ok(hash) => hash,
            Err(error) if error.path == file => {
                return Ok(match error.source.kind() {
                    ErrorKind::NotFound => Reading::Changed,
                    _ => {
                        Reading::Unusable { reason: "unreadable", detail: error.source.to_string() }
                    }
                });
            }
            Err(error) => return Err(error),
        };
        let outcome = self.take_copy(seen, &copy, data_sha256, now);
        if !matches!(outcome, Ok(Reading::Frame(_))) {
            // Beside a frame there is no copy left; a copy that cannot be removed is removed at the next start.
            let _ = fs::remove_file(&copy);
        }
        outcome
    }

    fn take_copy(
        &self,
        seen: &Seen,
        copy: &Path,
        data_sha256: String,
        now: UtcTime,
    ) -> Result<Reading, StorageError> {
        let is_as_seen = fs::metadata(&seen.path)
            .is_ok_and(|metadata| fingerprint(&metadata) == seen.fingerprint);
        if !is_as_seen {
            return Ok(Reading::Changed);
        }
        let screened = match screening::examine(copy) {
            Ok(screened) => screened,
            Err(error) => return Ok(Unusable::from(error).into()),
        };
        let file_name = plain_name(&seen.path);
        let name = self.rules.stem(&file_name).unwrap_or(&file_name).to_owned();
        let mut frame = match self.describe(screened, name, data_sha256, now) {
            Ok(frame) => frame,
            Err(unusable) => return Ok(unusable.into()),
        };
        frame.path = self.place(copy, &file_name, &frame)?;
        Ok(Reading::Frame(Box::new(frame)))
    }

    /// The frame that a screened file is, without its path.
    fn describe(
        &self,
        screened: Screening,
        name: String,
        data_sha256: String,
        now: UtcTime,
    ) -> Result<ArrivedFrame, Unusable> {
        let keywords = acceptable(&screened, &name, &self.rules, &self.keywords)?;
        let header = screened.header.unwrap_or_default();
        let (instance, state, reason) = if keywords.kind.is_calibration() {
            (CALIBRATION_INSTANCE.to_owned(), FrameState::Arrived, None)
        } else {
            match self.router.instance_of(&header, &keywords) {
                Some(instance) => (instance.to_owned(), FrameState::Arrived, None),
                None => {
                    let what =
                        format!("no section of gp1.cfg takes {} frames like this", keywords.kind);
                    ("none".to_owned(), FrameState::Ignored, Some(what))
                }
            }
        };
        Ok(ArrivedFrame {
            identity: FrameIdentity { name, data_sha256 },
            path: PathBuf::new(),
            keywords,
            instance,
            arrived_at: now,
            state,
            reason,
        })
    }

    /// Moves the copy to its place under `raw/<night>/`. The file it was made of is removed only when the journal has the frame,
    /// so that a crash in between loses nothing.
    fn place(
        &self,
        copy: &Path,
        file_name: &str,
        frame: &ArrivedFrame,
    ) -> Result<PathBuf, StorageError> {
        let data_sha256 = &frame.identity.data_sha256;
        let directory = self.storage.raw().join(frame.keywords.date_obs.compact_date());
        let mut destination = directory.join(file_name);
        if destination.exists() && sha256_of_file(&destination)? != *data_sha256 {
            // Another version of the same frame: both are kept.
            let version = data_sha256.get(..12).unwrap_or(data_sha256);
            destination = directory.join(format!("version-{version}")).join(file_name);
        }
        move_file(copy, &destination)?;
        Ok(destination)
    }
}

impl From<Unusable> for Reading {
    fn from(Unusable { reason, detail }: Unusable) -> Self {
        Self::Unusable { reason, detail }
    }
}

/// Removes a file that was taken in, if it is still the one that was read; a newer one in its place is left for the next look.
/// False where it stays because it cannot be removed.
pub fn remove_taken(seen: &Seen) -> bool {
    let is_as_seen =
        fs::metadata(&seen.path).is_ok_and(|metadata| fingerprint(&metadata) == seen.fingerprint);
    if !is_as_seen {
        return true;
    }
    match fs::remove_file(&seen.path) {
        Ok(()) => true,
        Err(error) if error.kind() == ErrorKind::NotFound => true,
        Err(error) => {
            tracing::warn!(path = %seen.path.display(), %error, "a stored image stays where it arrived");
            false
        }
    }
}
