//! What was received: products with their receipts, and what was refused.
//!
//! ```text
//! incoming/                      uploads under way; emptied at the start
//! archive/<burst>/<file>         a product
//! archive/<burst>/<file>.json    its receipt
//! refused/<sha>_<file>           what was not kept
//! refused/<sha>_<file>.json      the answer that was given, with the reason
//! ```
//!
//! A product is renamed into the archive, synced, and only then receipted; the receipt is on disk before it is answered.
//! After a stop at any point, a product without receipt is screened again at the next start and receipted or refused.

use super::screening::{Screened, ScreeningError, name_agrees, screen_product};
use crate::{
    model::{DeliveryStatus, ProductKey, Receipt, UtcTime},
    storage::local,
};
use sha2::{Digest as _, Sha256};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// The clock of the receiving side.
pub type Now = Arc<dyn Fn() -> UtcTime + Send + Sync>;

/// What became of an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Kept.
    Stored,
    /// The same product is there already.
    Duplicate,
    /// Another file is there under the same key.
    Conflict,
    /// Not fit to be kept.
    Unfit,
}

/// The archive could not do its work: a failing disk, a directory without permission. Another try may help.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {source}")]
pub struct ArchiveError {
    pub path: PathBuf,
    pub source: io::Error,
}

trait At<T> {
    fn at(self, path: &Path) -> Result<T, ArchiveError>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, path: &Path) -> Result<T, ArchiveError> {
        self.map_err(|source| ArchiveError { path: path.to_owned(), source })
    }
}

/// The directory tree and the locks on the keys in work.
pub struct Archive {
    incoming: PathBuf,
    archive: PathBuf,
    refused: PathBuf,
    now: Now,
    uploads: AtomicU64,
    /// One lock for each product key that is being settled.
    keys: Mutex<BTreeMap<String, Arc<Mutex<()>>>>,
}

impl Archive {
    /// Opens or makes the tree, drops uploads that never ended, and receipts what a stop left without one.
    ///
    /// # Errors
    /// [`ArchiveError`] with the path that could not be made or read.
    pub fn open(directory: &Path, now: Now) -> Result<Self, ArchiveError> {
        let archive = Self {
            incoming: directory.join("incoming"),
            archive: directory.join("archive"),
            refused: directory.join("refused"),
            now,
            uploads: AtomicU64::new(0),
            keys: Mutex::default(),
        };
        for path in [&archive.incoming, &archive.archive, &archive.refused] {
            make_directory(path)?;
        }
        for path in entries(&archive.incoming)? {
            fs::remove_file(&path).at(&path)?;
        }
        archive.receipt_the_unreceipted()?;
        Ok(archive)
    }

    /// A new path for an upload under way.
    pub fn incoming_path(&self) -> PathBuf {
        let number = self.uploads.fetch_add(1, Ordering::Relaxed);
        self.incoming.join(format!("{number}.part"))
    }

    /// Decides on a complete upload and puts it where it belongs. Uploads of one key wait for each other. `offered_name`
    /// is the name it came under, if any.
    ///
    /// # Errors
    /// [`ArchiveError`]; the upload is then neither kept nor receipted.
    pub fn settle(
        &self,
        upload: &Path,
        sha256: &str,
        offered_name: Option<&str>,
    ) -> Result<(Outcome, Receipt), ArchiveError> {
        let screened = match screen_product(upload) {
            Ok(screened) => screened,
            Err(ScreeningError::Io(source)) => return Err(source).at(upload),
            Err(ScreeningError::Refused(reason)) => {
                let name = offered_name.map_or("unnamed", |name| name.trim_end_matches(".fits"));
                let receipt = self.refusal(name.to_owned(), sha256, reason);
                self.set_aside(upload, offered_name, &receipt)?;
                return Ok((Outcome::Unfit, receipt));
            }
        };
        if let Some(name) = offered_name.filter(|name| !name_agrees(name, &screened)) {
            let expected = screened.key.file_name();
            let reason = format!("the file is called '{name}', its header says {expected}");
            let receipt = self.refusal(screened.key.to_string(), sha256, reason);
            self.set_aside(upload, offered_name, &receipt)?;
            return Ok((Outcome::Unfit, receipt));
        }
        self.with_key(&screened.key, || self.keep(upload, sha256, &screened))
    }

    /// Under the lock of the key.
    fn keep(
        &self,
        upload: &Path,
        sha256: &str,
        screened: &Screened,
    ) -> Result<(Outcome, Receipt), ArchiveError> {
        let path = self.path_of(&screened.key);
        let receipt_path = receipt_path(&path);
        let stored = match read_receipt(&receipt_path)? {
            Some(receipt) => Some(receipt),
            // A receipt could not be written the last time, though the product is there.
            None if path.exists() => self.receipt_stored(&path)?,
            None => None,
        };
        let Some(stored) = stored else {
            let directory = self.archive.join(&screened.key.burst_id);
            make_directory(&directory)?;
            move_durably(upload, &path)?;
            let receipt = self.receipt(screened.key.to_string(), sha256);
            write_receipt(&receipt_path, &receipt)?;
            return Ok((Outcome::Stored, receipt));
        };
        if stored.sha256 == sha256 {
            if path.exists() {
                fs::remove_file(upload).at(upload)?;
            } else {
                // Receipted and lost since: what was promised to be kept is kept again.
                move_durably(upload, &path)?;
            }
            return Ok((
                Outcome::Duplicate,
                Receipt { status: DeliveryStatus::Duplicate, ..stored },
            ));
        }
        let reason = format!(
            "another file was stored under this key on {} with SHA-256 {}",
            stored.received_at, stored.sha256
        );
        let receipt = self.refusal(screened.key.to_string(), sha256, reason);
        self.set_aside(upload, Some(&screened.key.file_name()), &receipt)?;
        Ok((Outcome::Conflict, receipt))
    }

    /// Receipts of everything stored, by burst and file name.
    ///
    /// # Errors
    /// [`ArchiveError`] with the path that could not be read.
    pub fn receipts(&self) -> Result<Vec<Receipt>, ArchiveError> {
        let mut receipts = Vec::new();
        for directory in entries(&self.archive)?.iter().filter(|path| path.is_dir()) {
            for path in entries(directory)?.iter().filter(|path| has_extension(path, "json")) {
                receipts.extend(read_receipt(path)?);
            }
        }
        Ok(receipts)
    }

    fn path_of(&self, key: &ProductKey) -> PathBuf {
        self.archive.join(&key.burst_id).join(key.file_name())
    }

    fn receipt(&self, product: String, sha256: &str) -> Receipt {
        Receipt {
            product,
            sha256: sha256.to_owned(),
            received_at: (self.now)(),
            status: DeliveryStatus::Stored,
            reason: None,
            sdb: None,
        }
    }

    fn refusal(&self, product: String, sha256: &str, reason: String) -> Receipt {
        let receipt = self.receipt(product, sha256);
        Receipt { status: DeliveryStatus::Refused, reason: Some(reason), ..receipt }
    }

    /// Keeps a refused file with its reason. The same file refused again takes the same place.
    fn set_aside(
        &self,
        upload: &Path,
        offered_name: Option<&str>,
        receipt: &Receipt,
    ) -> Result<(), ArchiveError> {
        let digest: String = receipt.sha256.chars().take(16).collect();
        let name: String = offered_name
            .unwrap_or("unnamed")
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || "_+-.".contains(c) { c } else { '_' })
            .take(100)
            .collect();
        let path = self.refused.join(format!("{digest}_{name}"));
        write_receipt(&receipt_path(&path), receipt)?;
        move_durably(upload, &path)
    }

    fn receipt_the_unreceipted(&self) -> Result<(), ArchiveError> {
        remove_temporary(&self.refused)?;
        for directory in entries(&self.archive)?.iter().filter(|path| path.is_dir()) {
            remove_temporary(directory)?;
            for path in entries(directory)? {
                if has_extension(&path, "fits") && !receipt_path(&path).exists() {
                    self.receipt_stored(&path)?;
                }
            }
        }
        Ok(())
    }

    /// Receipts a product of the archive that has no receipt; one that is not sound, or lies under a wrong name, is refused.
    fn receipt_stored(&self, path: &Path) -> Result<Option<Receipt>, ArchiveError> {
        let sha256 = sha256_of(path)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let reason = match screen_product(path) {
            Ok(screened) if self.path_of(&screened.key) == path => {
                let receipt = self.receipt(screened.key.to_string(), &sha256);
                write_receipt(&receipt_path(path), &receipt)?;
                tracing::info!(product = receipt.product, "receipted after a stop");
                return Ok(Some(receipt));
            }
            Ok(screened) => format!("lies under a wrong name: its header says {}", screened.key),
            Err(ScreeningError::Io(source)) => return Err(source).at(path),
            Err(ScreeningError::Refused(reason)) => reason,
        };
        tracing::warn!(file = name, reason, "set aside after a stop");
        let receipt = self.refusal(name.trim_end_matches(".fits").to_owned(), &sha256, reason);
        self.set_aside(path, Some(&name), &receipt)?;
        Ok(None)
    }

    /// Runs with the lock of a key held; the lock is dropped when nobody waits for it.
    fn with_key<T>(&self, key: &ProductKey, work: impl FnOnce() -> T) -> T {
        let name = key.to_string();
        let lock = self.locks().entry(name.clone()).or_default().clone();
        let result = {
            // What a panic left is on disk and is looked at there.
            let _held = lock.lock().unwrap_or_else(PoisonError::into_inner);
            work()
        };
        let mut locks = self.locks();
        drop(lock);
        if locks.get(&name).is_some_and(|lock| Arc::strong_count(lock) == 1) {
            locks.remove(&name);
        }
        result
    }

    fn locks(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Mutex<()>>>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Receipts whose writing was cut off.
fn remove_temporary(directory: &Path) -> Result<(), ArchiveError> {
    for path in entries(directory)?.iter().filter(|path| has_extension(path, "tmp")) {
        fs::remove_file(path).at(path)?;
    }
    Ok(())
}

fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|found| found == extension)
}

/// `<file>.json` beside the file.
fn receipt_path(path: &Path) -> PathBuf {
    with_suffix(path, ".json")
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Paths in a directory, sorted.
fn entries(directory: &Path) -> Result<Vec<PathBuf>, ArchiveError> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory).at(directory)? {
        paths.push(entry.at(directory)?.path());
    }
    paths.sort();
    Ok(paths)
}

fn sync_directory(directory: &Path) -> Result<(), ArchiveError> {
    File::open(directory).and_then(|handle| handle.sync_all()).at(directory)
}

fn make_directory(directory: &Path) -> Result<(), ArchiveError> {
    local::make_directory(directory)
        .map_err(|error| ArchiveError { path: error.path, source: error.source })
}

/// Renames a file that was already synced, and syncs the directory it goes to.
fn move_durably(from: &Path, to: &Path) -> Result<(), ArchiveError> {
    fs::rename(from, to).at(to)?;
    to.parent().map_or(Ok(()), sync_directory)
}

/// `None` if there is none. One that cannot be read is an error: the key's history is not guessed.
fn read_receipt(path: &Path) -> Result<Option<Receipt>, ArchiveError> {
    match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(io::Error::from).at(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).at(path),
    }
}

fn write_receipt(path: &Path, receipt: &Receipt) -> Result<(), ArchiveError> {
    let temporary = with_suffix(path, ".tmp");
    let mut bytes = serde_json::to_vec_pretty(receipt).map_err(io::Error::from).at(path)?;
    bytes.push(b'\n');
    let mut file = File::create(&temporary).at(&temporary)?;
    file.write_all(&bytes).and_then(|()| file.sync_all()).at(&temporary)?;
    move_durably(&temporary, path)
}

/// SHA-256 of a file, hexadecimal.
fn sha256_of(path: &Path) -> Result<String, ArchiveError> {
    let mut file = File::open(path).at(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let count = file.read(&mut buffer).at(path)?;
        match buffer.get(..count) {
            Some(chunk) if count > 0 => hasher.update(chunk),
            _ => return Ok(hexadecimal(&hasher.finalize())),
        }
    }
}

/// A digest as lower-case hexadecimal digits.
pub(super) fn hexadecimal(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fsc::sample;
    use tempfile::TempDir;

    fn now() -> Now {
        Arc::new(|| UtcTime::parse("2026-11-01T00:06:00Z").unwrap())
    }

    struct Site {
        directory: TempDir,
        sources: TempDir,
        archive: Archive,
    }

    fn site() -> Site {
        let directory = tempfile::tempdir().unwrap();
        let archive = Archive::open(directory.path(), now()).unwrap();
        Site { directory, sources: tempfile::tempdir().unwrap(), archive }
    }

    impl Site {
        fn offer(&self, magnitude: f64, name: Option<&str>) -> (Outcome, Receipt) {
            let source = sample::write(self.sources.path(), "sb26110101", magnitude);
            let upload = self.archive.incoming_path();
            fs::copy(source, &upload).unwrap();
            let sha256 = sha256_of(&upload).unwrap();
            let answer = self.archive.settle(&upload, &sha256, name).unwrap();
            assert!(!upload.exists(), "an upload that was settled is gone from incoming");
            answer
        }

        fn product(&self) -> PathBuf {
            let name = sample::file_name("sb26110101");
            self.directory.path().join("archive/sb26110101").join(name)
        }

        fn refused(&self) -> Vec<PathBuf> {
            entries(&self.directory.path().join("refused")).unwrap()
        }
    }

    #[test]
    fn the_same_file_twice_is_stored_once() {
        let site = site();
        let (outcome, first) = site.offer(17.0, None);
        assert_eq!((outcome, first.status), (Outcome::Stored, DeliveryStatus::Stored));
        assert_eq!(first.product, "DT_GFT_FGFT_sb26110101_T005_v1");
        assert_eq!(sha256_of(&site.product()).unwrap(), first.sha256);
        let (outcome, second) = site.offer(17.0, None);
        assert_eq!(outcome, Outcome::Duplicate);
        assert_eq!(second, Receipt { status: DeliveryStatus::Duplicate, ..first.clone() });
        assert_eq!(site.archive.receipts().unwrap(), [first]);
        assert!(site.refused().is_empty());
        assert!(site.archive.locks().is_empty(), "no lock is left behind");
    }

    #[test]
    fn another_file_of_the_same_key_is_refused_and_kept_aside() {
        let site = site();
        let (_, first) = site.offer(17.0, None);
        let (outcome, second) = site.offer(18.0, None);
        assert_eq!((outcome, second.status), (Outcome::Conflict, DeliveryStatus::Refused));
        assert!(second.reason.unwrap().contains(&first.sha256));
        assert_eq!(sha256_of(&site.product()).unwrap(), first.sha256, "the first stays");
        assert_eq!(site.refused().len(), 2, "the file and its answer");
        site.offer(18.0, None);
        assert_eq!(site.refused().len(), 2, "the same refusal takes no more room");
    }

    #[test]
    fn a_name_that_disagrees_is_refused() {
        let site = site();
        let (outcome, receipt) = site.offer(17.0, Some("DT_GFT_FGFT_sb26110102_T005_v1.fits"));
        assert_eq!(outcome, Outcome::Unfit);
        assert!(receipt.reason.unwrap().starts_with("the file is called 'DT_GFT_FGFT_sb26110102"));
        let (outcome, _) = site.offer(17.0, Some("../../etc/passwd"));
        assert_eq!(outcome, Outcome::Unfit);
        assert!(site.refused().iter().all(|path| path.parent().unwrap().ends_with("refused")));
        assert_eq!(site.offer(17.0, Some("DT_GFT_FGFT.fits")).0, Outcome::Stored);
    }

    #[test]
    fn a_stop_between_rename_and_receipt_is_made_good() {
        let site = site();
        let (_, first) = site.offer(17.0, None);
        fs::remove_file(receipt_path(&site.product())).unwrap();
        fs::write(site.directory.path().join("incoming/7.part"), "half").unwrap();
        fs::write(with_suffix(&receipt_path(&site.product()), ".tmp"), "{").unwrap();
        let again = Archive::open(site.directory.path(), now()).unwrap();
        assert_eq!(again.receipts().unwrap(), [first]);
        assert!(entries(&site.directory.path().join("incoming")).unwrap().is_empty());
        assert!(!with_suffix(&receipt_path(&site.product()), ".tmp").exists());
    }

    #[test]
    fn a_receipt_that_could_not_be_written_is_written_at_the_next_upload() {
        let site = site();
        let (_, first) = site.offer(17.0, None);
        fs::remove_file(receipt_path(&site.product())).unwrap();
        let (outcome, receipt) = site.offer(17.0, None);
        assert_eq!((outcome, receipt.sha256), (Outcome::Duplicate, first.sha256));
        assert!(receipt_path(&site.product()).exists());
    }

    #[test]
    fn what_a_stop_left_damaged_is_refused_and_can_be_sent_again() {
        let site = site();
        site.offer(17.0, None);
        fs::remove_file(receipt_path(&site.product())).unwrap();
        let bytes = fs::read(site.product()).unwrap();
        fs::write(site.product(), &bytes[..bytes.len() - 2880]).unwrap();
        let again = Archive::open(site.directory.path(), now()).unwrap();
        assert_eq!(again.receipts().unwrap(), []);
        assert_eq!(site.refused().len(), 2);
        assert_eq!(site.offer(17.0, None).0, Outcome::Stored);
    }

    #[test]
    fn a_receipted_product_that_was_lost_is_kept_again() {
        let site = site();
        site.offer(17.0, None);
        fs::remove_file(site.product()).unwrap();
        assert_eq!(site.offer(17.0, None).0, Outcome::Duplicate);
        assert!(site.product().exists());
    }

    #[test]
    fn an_unreadable_receipt_is_an_error_and_not_a_new_product() {
        let site = site();
        site.offer(17.0, None);
        fs::write(receipt_path(&site.product()), "{").unwrap();
        let upload = site.archive.incoming_path();
        fs::copy(site.product(), &upload).unwrap();
        let sha256 = sha256_of(&upload).unwrap();
        assert!(site.archive.settle(&upload, &sha256, None).is_err());
    }
}
