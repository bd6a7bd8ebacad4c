//! Files that fuzzing has found, made of ours by changed bits.

use super::{FitsStore, cfitsio::Cfitsio, pure::PureRust};
use std::path::{Path, PathBuf};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/fits").join(name)
}

/// A regression: the chain of HDUs and the tiles of this file are sound, and cfitsio's HCOMPRESS decoder wrote beyond its
/// memory on it. Tile-compressed images are decoded in Rust now, whichever engine is asked.
#[test]
fn a_hostile_compressed_stream_never_reaches_the_c_code() {
    let path = fixture("hcompress-breaks-cfitsio.fits");
    let said = |store: &dyn FitsStore| {
        (0..20)
            .map(|_| store.read_image(&path).map(|image| image.data).map_err(|e| e.to_string()))
            .next_back()
    };
    assert_eq!(said(&Cfitsio), said(&PureRust));
}
