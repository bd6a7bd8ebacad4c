//! The seeds' INI files: read or refused with a line; what is read and written again is read the same.
#![no_main]

use gic::config::{Gp1Config, ini::Ini};
use libfuzzer_sys::fuzz_target;
use std::path::Path;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let file = Path::new("fuzz.cfg");
    let _ = Gp1Config::parse(file, text);
    let Ok(ini) = Ini::parse(file, text) else { return };
    let written = ini.to_text();
    let again = Ini::parse(file, &written).expect("what is written can be read");
    assert_eq!(again.to_text(), written);
});
