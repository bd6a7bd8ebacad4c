//! The fitsio-pure engine.

use super::{FitsError, FitsImage, FitsStore, FitsTables, Header, PixelFormat};
use crate::imaging::Image;
use std::path::Path;

/// The fitsio-pure engine.
#[derive(Debug, Clone, Copy, Default)]
pub struct PureRust;

impl FitsStore for PureRust {
    fn read_header(&self, path: &Path) -> Result<Header, FitsError> {
        let _ = path;
        unimplemented!()
    }

    fn read_image(&self, path: &Path) -> Result<FitsImage, FitsError> {
        let _ = path;
        unimplemented!()
    }

    fn read_images(&self, path: &Path) -> Result<Vec<(String, FitsImage)>, FitsError> {
        let _ = path;
        unimplemented!()
    }

    fn read_tables(&self, path: &Path) -> Result<FitsTables, FitsError> {
        let _ = path;
        unimplemented!()
    }

    fn write_images(
        &self,
        path: &Path,
        images: &[(&str, &Header, &Image, PixelFormat)],
    ) -> Result<(), FitsError> {
        let _ = (path, images);
        unimplemented!()
    }

    fn write_tables(&self, path: &Path, content: &FitsTables) -> Result<(), FitsError> {
        let _ = (path, content);
        unimplemented!()
    }

    fn verify_checksums(&self, path: &Path) -> Result<(), FitsError> {
        let _ = path;
        unimplemented!()
    }
}
