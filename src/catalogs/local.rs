//! A catalogue from a local CSV file: `id,kind,ra,dec,mag[,mag_error]`, one header line.

use super::Catalogue;
use crate::model::{CatalogueAnswer, SkyPosition};
use std::path::{Path, PathBuf};

/// A catalogue file read whole into memory, sorted by declination.
#[derive(Debug)]
pub struct LocalCatalogue {
    path: PathBuf,
}

#[derive(Debug, thiserror::Error)]
pub enum LocalCatalogueError {
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: std::io::Error },
    #[error("{path}, line {line}: {what}")]
    Line { path: PathBuf, line: usize, what: String },
}

impl LocalCatalogue {
    /// Reads the file. Errors name the line. The faint limit is the magnitude at the 98th percentile.
    pub fn open(path: &Path) -> Result<Self, LocalCatalogueError> {
        let _ = path;
        unimplemented!()
    }
}

impl Catalogue for LocalCatalogue {
    fn cone(&self, centre: SkyPosition, radius_degrees: f64) -> CatalogueAnswer {
        let _ = (centre, radius_degrees, &self.path);
        unimplemented!()
    }

    fn describe(&self) -> String {
        unimplemented!()
    }
}

/// The catalogue of a field for which none is installed: always `Unavailable`.
#[derive(Debug)]
pub struct NoCatalogue;

impl Catalogue for NoCatalogue {
    fn cone(&self, _centre: SkyPosition, _radius_degrees: f64) -> CatalogueAnswer {
        CatalogueAnswer::Unavailable { reason: "no catalogue is configured".to_owned() }
    }

    fn describe(&self) -> String {
        "none".to_owned()
    }
}
