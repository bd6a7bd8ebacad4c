//! Scientific products and their receipts.

use super::{DeadlineName, UtcTime};
use serde::{Deserialize, Serialize};
use std::{fmt, path::PathBuf};

/// Key of a product: (burst, card, deadline, processing version) (interfaces.md §8).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ProductKey {
    pub burst_id: String,
    /// Short card name: `QPO_GFT`, …, `GFTMETA`.
    pub card: String,
    pub deadline: DeadlineName,
    pub processing_version: u32,
}

impl ProductKey {
    /// `<CARD>_FGFT_<burst>_<deadline>_v<PROC_VER>.fits`.
    pub fn file_name(&self) -> String {
        format!("{self}.fits")
    }
}

impl fmt::Display for ProductKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{}_FGFT_{}_{}_v{}",
            self.card, self.burst_id, self.deadline, self.processing_version
        )
    }
}

/// A product as the journal knows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProductRecord {
    pub key: ProductKey,
    pub path: PathBuf,
    pub sha256: String,
    /// DATE of the file: journaled once, reused if the product is made again.
    pub date: UtcTime,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeliveryStatus {
    Stored,
    Duplicate,
    Refused,
}

/// The answer of the receiving side.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Receipt {
    /// The product key as text.
    pub product: String,
    pub sha256: String,
    pub received_at: UtcTime,
    pub status: DeliveryStatus,
    pub reason: Option<String>,
    /// What the scientific data base answered, where there is one.
    pub sdb: Option<String>,
}
