//! Files that fuzzing has found, made of ours by changed bits.

use super::{FitsStore, cfitsio::Cfitsio, pure::PureRust};
use std::path::{Path, PathBuf};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/fits").join(name)
}

/// Regressions: the chain of HDUs and the tiles of these files are sound. On the one, cfitsio's HCOMPRESS decoder wrote
/// beyond its memory; on the other it divided by zero, which ends the process. Compressed images are read in Rust now,
/// whichever engine is asked.
#[test]
fn hostile_compressed_images_never_reach_the_c_code() {
    for name in ["hcompress-breaks-cfitsio.fits", "zero-tile-stops-cfitsio.fits"] {
        let path = fixture(name);
        let said = |store: &dyn FitsStore| {
            let told = |error: super::FitsError| error.to_string();
            (
                store.read_header(&path).map_err(told),
                store.read_image(&path).map(|image| image.data).map_err(told),
                store.read_tables(&path).map(|content| content.tables.len()).map_err(told),
                store.verify_checksums(&path).map_err(told),
            )
        };
        assert_eq!(said(&Cfitsio), said(&PureRust), "{name}");
    }
}
