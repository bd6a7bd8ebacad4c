//! Small changes to sound files, thousands of them: whatever they make of a file, both engines come back from it.
//!
//! `GIC_MUTATIONS=5000` sets how many changes are tried on each file (seeded: the same number gives the same files).

use super::cfitsio::Cfitsio;
use super::pure::PureRust;
use super::screening::examine;
use super::{FitsStore, Header, NewPlane};
use crate::imaging::Image;
use ndarray::Array2;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

const RECORD: usize = 80;

/// Names and bytes of the sound files: our own, packed in every way that fpack knows, and some of the zoo.
fn sound_files(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let mut random = ChaCha8Rng::seed_from_u64(3);
    let image: Image =
        Array2::from_shape_fn((33, 47), |(row, _)| row as f32 + random.random_range(0.0..90.0));
    let mut header = Header::new();
    header.set("OBJECT", "field", "");
    let plain = directory.join("plain.fits");
    let mut files = Vec::new();
    for (format, plane) in
        [("Unsigned16", NewPlane::Unsigned16(&image)), ("Float32", NewPlane::Float32(&image))]
    {
        Cfitsio.write_images(&plain, &[("", &header, plane)]).unwrap();
        let bytes = fs::read(&plain).unwrap();
        files.push((format!("plain {format}"), bytes.clone()));
        files.push((format!("gzip {format}"), fitsio_pure::gzip::compress(&bytes, 6)));
        for options in
            [&["-r"][..], &["-g"], &["-h"], &["-p"], &["-r", "-w"], &["-r", "-t", "20,10"]]
        {
            let packed = directory.join("plain.fits.fz");
            let _ = fs::remove_file(&packed);
            let made = Command::new("fpack").args(options).arg(&plain).output();
            if made.is_ok_and(|output| output.status.success()) {
                files.push((format!("fpack {options:?} {format}"), fs::read(&packed).unwrap()));
            } else {
                println!("skipped: fpack {options:?} of {format}");
            }
        }
    }
    let zoo = std::env::var_os("GIC_TEST_DATA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data"), PathBuf::from)
        .join("fits_zoo");
    for name in [
        "fits_astropy/compressed_image.fits",
        "fits_astropy/compressed_float_bzero.fits",
        "fits_astropy/m13_hcomp.fits",
        "fits_astropy/m13_rice.fits",
        "fits_astropy/tb.fits",
        "fits_astropy/variable_length_table.fits",
        "fits_fitsio/test_gzip_compressed_image.fits.fz",
        "fits_fitsio/test_rice_dither2_seed42.fits.fz",
        "fits_nomtam/bt12.fits.fz",
    ] {
        match fs::read(zoo.join(name)) {
            Ok(bytes) => files.push((name.to_owned(), bytes)),
            Err(_) => println!("skipped: {name} is absent"),
        }
    }
    files
}

/// Changes a few bytes where it hurts: digits of sizes in cards, descriptors, streams, anywhere; sometimes the end is cut.
fn mutate(sound: &[u8], random: &mut ChaCha8Rng) -> Vec<u8> {
    let mut bytes = sound.to_vec();
    for _ in 0..random.random_range(1..5) {
        let cards = bytes.len() / RECORD;
        match random.random_range(0..8) {
            0 | 1 => {
                // A digit of a value in a header.
                let card = random.random_range(0..cards.min(72)) * RECORD;
                let digits: Vec<usize> = (card + 10..card + 30)
                    .filter(|&place| bytes.get(place).is_some_and(u8::is_ascii_digit))
                    .collect();
                if !digits.is_empty() {
                    let place = digits[random.random_range(0..digits.len())];
                    bytes[place] = b"0123456789-.E'"[random.random_range(0..14)];
                }
            }
            2 => {
                // One card in the place of another.
                let (from, to) = (
                    random.random_range(0..cards) * RECORD,
                    random.random_range(0..cards) * RECORD,
                );
                let card = bytes[from..from + RECORD].to_vec();
                bytes[to..to + RECORD].copy_from_slice(&card);
            }
            3 => {
                // A word of extremes.
                let place = random.random_range(0..bytes.len() / 4) * 4;
                let word =
                    [0_u32, 1, 0x7fff_ffff, 0x8000_0000, u32::MAX][random.random_range(0..5)];
                bytes[place..place + 4].copy_from_slice(&word.to_be_bytes());
            }
            4 => {
                // In the second half: the stream of a compressed file.
                let place = random.random_range(bytes.len() / 2..bytes.len());
                bytes[place] = random.random();
            }
            5 => {
                let place = random.random_range(0..bytes.len());
                bytes[place] = random.random();
            }
            6 => {
                let place = random.random_range(0..bytes.len());
                bytes[place] ^= 1 << random.random_range(0..8);
            }
            _ if random.random_bool(0.2) => {
                let length = random.random_range(1..bytes.len());
                bytes.truncate(length);
            }
            _ => {}
        }
        if bytes.len() < 4 * RECORD {
            break;
        }
    }
    bytes
}

#[test]
fn no_change_to_a_file_stops_an_engine() {
    let count: usize = std::env::var("GIC_MUTATIONS").map_or(60, |text| text.parse().unwrap());
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("changed.fits");
    let (mut total, mut screened, mut read) = (0, 0, 0);
    for (name, sound) in sound_files(directory.path()) {
        let mut random = ChaCha8Rng::seed_from_u64(11);
        let began = Instant::now();
        fs::write(&path, &sound).unwrap();
        examine(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
        let (before_screened, before_read) = (screened, read);
        for _ in 0..count {
            fs::write(&path, mutate(&sound, &mut random)).unwrap();
            total += 1;
            screened += usize::from(examine(&path).is_ok());
            // Whether or not it passes: no caller can reach the C code with a file that was not looked through.
            let one = Cfitsio.read_images(&path);
            let other = PureRust.read_images(&path);
            let _ = (Cfitsio.read_header(&path), Cfitsio.read_tables(&path));
            let _ = (Cfitsio.verify_checksums(&path), PureRust.read_tables(&path));
            read += usize::from(one.is_ok());
            if let (Ok(one), Ok(other)) = (one, other) {
                assert_eq!(one.len(), other.len(), "{name}");
            }
        }
        println!(
            "{name}: of {count} changed files {} pass the screening, {} are read; {:.1} s",
            screened - before_screened,
            read - before_read,
            began.elapsed().as_secs_f64()
        );
    }
    println!("{total} changed files, {screened} passed the screening, {read} were read");
}
