//! The archive of received products: a file and its receipt beside it, idempotent by product key.
//!
//! A receipt is written before it is sent. After a crash between file and receipt the file is there without one: the next
//! upload of the same bytes finds it and writes the receipt.

use super::screening::{ScreeningError, screen_product};
use crate::{
    model::{DeliveryStatus, ProductKey, Receipt, UtcTime},
    storage::local::{StorageError, move_file, sha256_of_file, write_atomically},
};
use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

/// The archive under one directory.
#[derive(Debug, Clone)]
pub struct Archive {
    directory: PathBuf,
    /// One lock per key: two uploads of the same product are taken one after the other.
    locks: Arc<Mutex<HashMap<String, Arc<Mutex<()>>>>>,
}

#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error("{path}: the stored receipt cannot be read: {what}")]
    Receipt { path: PathBuf, what: String },
}

impl Archive {
    /// Opens the archive, making its directories.
    pub fn open(directory: &Path) -> Result<Self, StorageError> {
        let archive = Self { directory: directory.to_owned(), locks: Arc::default() };
        for path in [archive.incoming(), archive.products(), archive.refused()] {
            fs::create_dir_all(&path).map_err(|source| StorageError { path, source })?;
        }
        Ok(archive)
    }

    /// Where uploads are written while they come in.
    pub fn incoming(&self) -> PathBuf {
        self.directory.join("incoming")
    }

    fn products(&self) -> PathBuf {
        self.directory.join("products")
    }

    fn refused(&self) -> PathBuf {
        self.directory.join("refused")
    }

    /// Screens an uploaded file, stores it, and answers. The file leaves the incoming directory in every case.
    pub fn take_in(
        &self,
        upload: &Path,
        name: &str,
        now: UtcTime,
    ) -> Result<Receipt, ArchiveError> {
        let sha256 = sha256_of_file(upload)?;
        let key = match screen_product(upload, name) {
            Ok(key) => key,
            Err(error) => return self.refuse(upload, name, &sha256, &error, now),
        };
        let lock = self.lock_of(&key);
        let _guard = lock.lock().unwrap_or_else(PoisonError::into_inner);
        let stored = self.product_path(&key);
        let Some(known) = self.stored_sha256(&stored)? else {
            move_file(upload, &stored)?;
            return self.write_receipt(&key, &stored, sha256, now);
        };
        if known != sha256 {
            let reason = format!("another file with this key is stored (SHA-256 {known})");
            self.set_aside(upload, name, &reason, now)?;
            return Ok(refusal(&key.to_string(), sha256, reason, now));
        }
        remove(upload)?;
        match self.read_receipt(&stored)? {
            Some(first) => Ok(Receipt { status: DeliveryStatus::Duplicate, ..first }),
            None => self.write_receipt(&key, &stored, sha256, now),
        }
    }

    /// All receipts, by file name.
    pub fn receipts(&self) -> Result<Vec<Receipt>, ArchiveError> {
        let mut receipts = Vec::new();
        for burst in sorted_entries(&self.products())? {
            for file in sorted_entries(&burst)? {
                if file.extension().is_some_and(|extension| extension == "fits") {
                    receipts.extend(self.read_receipt(&file)?);
                }
            }
        }
        Ok(receipts)
    }

    fn product_path(&self, key: &ProductKey) -> PathBuf {
        self.products().join(safe(&key.burst_id)).join(safe(&key.file_name()))
    }

    fn lock_of(&self, key: &ProductKey) -> Arc<Mutex<()>> {
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        locks.entry(key.to_string()).or_default().clone()
    }

    fn stored_sha256(&self, stored: &Path) -> Result<Option<String>, StorageError> {
        if stored.exists() { sha256_of_file(stored).map(Some) } else { Ok(None) }
    }

    fn write_receipt(
        &self,
        key: &ProductKey,
        stored: &Path,
        sha256: String,
        now: UtcTime,
    ) -> Result<Receipt, ArchiveError> {
        let receipt = Receipt {
            product: key.to_string(),
            sha256,
            received_at: now,
            status: DeliveryStatus::Stored,
            reason: None,
            sdb: None,
        };
        write_json(&receipt_path(stored), &receipt)?;
        Ok(receipt)
    }

    fn read_receipt(&self, stored: &Path) -> Result<Option<Receipt>, ArchiveError> {
        let path = receipt_path(stored);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(StorageError { path, source }.into()),
        };
        serde_json::from_str(&text)
            .map(Some)
            .map_err(|error| ArchiveError::Receipt { path, what: error.to_string() })
    }

    fn refuse(
        &self,
        upload: &Path,
        name: &str,
        sha256: &str,
        error: &ScreeningError,
        now: UtcTime,
    ) -> Result<Receipt, ArchiveError> {
        let reason = error.to_string();
        self.set_aside(upload, name, &reason, now)?;
        let product = name.strip_suffix(".fits").unwrap_or(name);
        Ok(refusal(product, sha256.to_owned(), reason, now))
    }

    /// Keeps a refused file with the reason beside it.
    fn set_aside(
        &self,
        upload: &Path,
        name: &str,
        reason: &str,
        now: UtcTime,
    ) -> Result<(), ArchiveError> {
        let mut kept = self.refused().join(safe(name));
        let mut number = 1;
        while kept.exists() {
            kept = self.refused().join(format!("{}.{number}", safe(name)));
            number += 1;
        }
        let note = serde_json::json!({ "file": name, "reason": reason, "at": now });
        write_json(&receipt_path(&kept), &note)?;
        Ok(move_file(upload, &kept)?)
    }
}

fn refusal(product: &str, sha256: String, reason: String, now: UtcTime) -> Receipt {
    Receipt {
        product: product.to_owned(),
        sha256,
        received_at: now,
        status: DeliveryStatus::Refused,
        reason: Some(reason),
        sdb: None,
    }
}

/// `<file>.receipt.json`.
fn receipt_path(file: &Path) -> PathBuf {
    let mut path = file.as_os_str().to_owned();
    path.push(".receipt.json");
    PathBuf::from(path)
}

/// Names come from outside: only what cannot leave the directory is kept.
fn safe(name: &str) -> String {
    let kept: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' })
        .take(200)
        .collect();
    if kept.trim_matches('.').is_empty() { "unnamed".to_owned() } else { kept }
}

fn sorted_entries(directory: &Path) -> Result<Vec<PathBuf>, StorageError> {
    let at = |source| StorageError { path: directory.to_owned(), source };
    let mut entries = Vec::new();
    for entry in fs::read_dir(directory).map_err(at)? {
        entries.push(entry.map_err(at)?.path());
    }
    entries.sort();
    Ok(entries)
}

fn write_json(path: &Path, value: &impl serde::Serialize) -> Result<(), StorageError> {
    let text = serde_json::to_vec_pretty(value)
        .map_err(|error| StorageError { path: path.to_owned(), source: error.into() })?;
    write_atomically(path, &text)
}

fn remove(path: &Path) -> Result<(), StorageError> {
    fs::remove_file(path).map_err(|source| StorageError { path: path.to_owned(), source })
}
