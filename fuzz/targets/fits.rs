//! FITS from outside: screening refuses or passes; what passes is read by the Rust engine without a panic that gets out,
//! and by cfitsio without a crash.
#![no_main]

use gic::fits::{FitsStore, cfitsio::Cfitsio, pure::PureRust, screen};
use gic::fsc::screening::screen_product;
use libfuzzer_sys::fuzz_target;
use std::{fs, path::PathBuf, sync::LazyLock};

/// In memory where there is such a directory.
static FILE: LazyLock<PathBuf> = LazyLock::new(|| {
    // Panics inside the engine are caught there and count as damage; those that get out still end the target.
    std::panic::set_hook(Box::new(|_| {}));
    let memory = PathBuf::from("/dev/shm");
    let directory = if memory.is_dir() { memory } else { std::env::temp_dir() };
    directory.join(format!("gic-fuzz-{}.fits", std::process::id()))
});

fuzz_target!(|data: &[u8]| {
    if fs::write(&*FILE, data).is_err() {
        return;
    }
    let _ = screen_product(&FILE);
    let Ok(screening) = screen(&FILE) else { return };
    let _ = PureRust.read_header(&FILE);
    let _ = PureRust.read_tables(&FILE);
    if screening.plane.is_some_and(|(columns, rows)| columns * rows <= 1 << 20) {
        let _ = PureRust.read_image(&FILE);
        let _ = Cfitsio.read_image(&FILE);
    }
    let _ = Cfitsio.read_header(&FILE);
    let _ = Cfitsio.verify_checksums(&FILE);
});
