//! What can go wrong in the image modules.

use crate::fits::{FitsError, keywords::KeywordError};
use crate::imaging::calibration::CalibrationError;
use std::path::PathBuf;

/// Why a module could not do its work on a file.
#[derive(Debug, thiserror::Error)]
pub enum Gp1Error {
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Fits(#[from] FitsError),
    /// The header lacks what no module can do without.
    #[error("{path}: {source}")]
    Keywords { path: PathBuf, source: KeywordError },
    #[error("{path}: {source}")]
    Calibration { path: PathBuf, source: CalibrationError },
    /// The pixels cannot be used: all saturated, all undefined, empty.
    #[error("{path}: {what}")]
    Unusable { path: PathBuf, what: String },
    /// A file of the workspace does not hold what this program writes.
    #[error("{path}: {what}")]
    Content { path: PathBuf, what: String },
    /// A list of inputs that has nothing for the module.
    #[error("{module}: {what}")]
    Input { module: String, what: String },
}

impl Gp1Error {
    /// The directory of the quarantine for a frame that ends with this error.
    pub fn quarantine_reason(&self) -> &'static str {
        match self {
            Self::Io { .. } => "unreadable",
            Self::Fits(_) => "damaged",
            Self::Keywords { .. } => "keywords",
            Self::Calibration { .. } => "calibration",
            Self::Unusable { .. } => "unusable",
            Self::Content { .. } | Self::Input { .. } => "workspace",
        }
    }

    /// Whether the same call may succeed later without anything being mended: only trouble with the disk is of that kind.
    pub fn is_retry_safe(&self) -> bool {
        match self {
            Self::Io { source, .. } => source.kind() != std::io::ErrorKind::NotFound,
            Self::Fits(error) => error.is_retry_safe(),
            Self::Keywords { .. }
            | Self::Calibration { .. }
            | Self::Unusable { .. }
            | Self::Content { .. }
            | Self::Input { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Error, ErrorKind};

    #[test]
    fn only_trouble_with_the_disk_is_worth_another_try() {
        let io = |kind| Gp1Error::Io { path: "a".into(), source: Error::from(kind) };
        assert!(io(ErrorKind::StorageFull).is_retry_safe());
        assert!(!io(ErrorKind::NotFound).is_retry_safe());
        let unusable = Gp1Error::Unusable { path: "f.fits".into(), what: "no good pixel".into() };
        assert!(!unusable.is_retry_safe());
        assert_eq!(unusable.to_string(), "f.fits: no good pixel");
    }
}
