//! Tests of the two engines against each other and against the standard's own tools.

use super::cfitsio::Cfitsio;
use super::plain_files::PlainFiles;
use super::pure::PureRust;
use super::screening::screen;
use super::{Column, ColumnData, FitsError, FitsStore, FitsTables, Header, NewPlane, Table};
use crate::imaging::Image;
use ndarray::Array2;
use proptest::prelude::*;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const ENGINES: [(&str, &dyn FitsStore); 4] = [
    ("cfitsio", &Cfitsio),
    ("fitsio-pure", &PureRust),
    ("plain", &PlainFiles::SYNCED),
    ("plain-unsynced", &PlainFiles::UNSYNCED),
];

fn header() -> Header {
    let mut header = Header::new();
    header.set("OBJECT", "GRB 191016A 'bright'", "what was looked at");
    header.set("EXPTIME", 60.5, "[s] exposure time");
    header.set("TRGID", 929744_i64, "trigger");
    header.set("FLAG", true, "a logical");
    header.set("TINY", -1.234567890123e-250, "a small number");
    header.set("LONGTEXT", "0123456789 ".repeat(20).trim_end(), "more than a card holds");
    header.history(&"Bias and dark taken off, divided by the flat. ".repeat(4));
    header
}

/// A header as it comes back: broken texts are several cards.
fn written(header: &Header) -> Header {
    super::card_format::parse_header(&super::card_format::format_header(header).unwrap())
}

fn image() -> Image {
    Array2::from_shape_fn((37, 53), |(row, column)| (row * 1000 + column * 7) as f32)
}

fn tables() -> FitsTables {
    let column = |name: &str, unit: &str, data| Column {
        name: name.to_owned(),
        unit: unit.to_owned(),
        description: format!("the {name}"),
        data,
    };
    let columns = vec![
        column("NUMBER", "", ColumnData::Integer16(vec![1, -2, i16::MAX])),
        column("COUNT", "count", ColumnData::Integer32(vec![i32::MIN, 0, 7])),
        column("BIG", "", ColumnData::Integer64(vec![i64::MIN, 0, i64::MAX])),
        column("MAG", "mag", ColumnData::Float32(vec![16.5, -0.0, f32::MAX])),
        column("RA", "deg", ColumnData::Float64(vec![30.2695, 1e-300, -359.9])),
        column(
            "OBJECTID",
            "",
            ColumnData::Text {
                width: 12,
                values: vec!["J020105".to_owned(), String::new(), "exactly 12 c".to_owned()],
            },
        ),
    ];
    let empty = vec![column("NOTHING", "", ColumnData::Float64(Vec::new()))];
    FitsTables {
        primary: written(&header()),
        tables: vec![
            Table { name: "CANDIDATES".to_owned(), header: written(&header()), columns },
            Table { name: "EMPTY".to_owned(), header: Header::new(), columns: empty },
        ],
    }
}

/// Has fitsverify look at a file; says so where it is not installed.
fn fitsverify(path: &Path) {
    match Command::new("fitsverify").arg(path).output() {
        Err(error) => println!("skipped: fitsverify cannot be run ({error})"),
        Ok(output) => {
            let report = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(report.contains(" 0 warning(s) and 0 error(s)"), "{report}");
        }
    }
}

#[test]
fn images_come_back_from_either_engine_and_the_files_are_the_same_bytes() {
    let directory = tempfile::tempdir().unwrap();
    let (first, second) = (image(), image().mapv(|value| value - 0.25));
    let mask = Array2::from_elem((5, 4), 3.0);
    let planes = [
        ("", &header(), NewPlane::Unsigned16(&first)),
        ("VARIANCE", &Header::new(), NewPlane::Float32(&second)),
        ("MASK", &Header::new(), NewPlane::Byte(&mask)),
    ];
    let mut files = Vec::new();
    for (name, engine) in ENGINES {
        for turn in 0..2 {
            let path = directory.path().join(format!("{name}{turn}.fits"));
            engine.write_images(&path, &planes).unwrap();
            files.push(fs::read(&path).unwrap());
            fitsverify(&path);
        }
        let path = directory.path().join(format!("{name}0.fits"));
        for (reader_name, reader) in ENGINES {
            reader.verify_checksums(&path).unwrap();
            let read = reader.read_images(&path).unwrap();
            let names: Vec<&str> = read.iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!(names, ["", "VARIANCE", "MASK"], "{reader_name}");
            assert_eq!(read[0].1.data, first);
            assert_eq!(read[0].1.header, written(&header()));
            assert_eq!(read[1].1.data, second);
            assert_eq!(read[2].1.data, mask);
            assert_eq!(reader.read_image(&path).unwrap(), read[0].1);
            assert_eq!(reader.read_header(&path).unwrap(), read[0].1.header);
        }
        let screened = screen(&path).unwrap();
        assert_eq!((screened.hdus, screened.with_checksums), (3, 3));
    }
    assert!(files.iter().all(|bytes| bytes == &files[0]), "the files differ");
    let count = fs::read_dir(directory.path()).unwrap().count();
    assert_eq!(count, 2 * ENGINES.len(), "temporary files are left");
}

#[test]
fn tables_come_back_from_either_engine_and_the_files_are_the_same_bytes() {
    let directory = tempfile::tempdir().unwrap();
    let content = tables();
    let mut files = Vec::new();
    for (name, engine) in ENGINES {
        let path = directory.path().join(format!("{name}.fits"));
        engine.write_tables(&path, &content).unwrap();
        fitsverify(&path);
        files.push(fs::read(&path).unwrap());
        for (reader_name, reader) in ENGINES {
            reader.verify_checksums(&path).unwrap();
            assert_eq!(reader.read_tables(&path).unwrap(), content, "{name} by {reader_name}");
            assert!(matches!(reader.read_image(&path), Err(FitsError::Missing { .. })));
        }
    }
    assert!(files.iter().all(|bytes| bytes == &files[0]), "the files differ");
}

#[test]
fn large_images_shared_out_among_threads_are_the_same_bytes_and_values() {
    let directory = tempfile::tempdir().unwrap();
    // Odd numbers of rows and columns: no share ends with a row, and the last word of the bytes is not full.
    let image = Array2::from_shape_fn((1801, 1407), |(row, column)| {
        (row * 31 + column * 7) as f32 % 60_000.0
    });
    let mask = image.mapv(|value| (value as u32 % 251) as u8);
    let planes = [
        ("", &header(), NewPlane::Float32(&image)),
        ("COUNTS", &Header::new(), NewPlane::Unsigned16(&image)),
        ("MASK", &Header::new(), NewPlane::Bits(&mask)),
    ];
    let mut files = Vec::new();
    for (name, engine) in ENGINES {
        let path = directory.path().join(format!("{name}.fits"));
        engine.write_images(&path, &planes).unwrap();
        files.push(fs::read(&path).unwrap());
        let read = engine.read_planes(&path).unwrap();
        assert_eq!(read[0].pixels.clone().into_values(), image, "{name}");
        assert_eq!(read[1].pixels.clone().into_values(), image, "{name}");
        assert_eq!(read[2].pixels.clone().into_bits(), mask, "{name}");
        engine.verify_checksums(&path).unwrap();
    }
    assert!(files.iter().all(|bytes| bytes == &files[0]), "the files differ");
}

#[test]
fn another_header_leaves_the_rest_of_a_file_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.fits");
    let (first, mask) = (image(), Array2::from_elem((5, 4), 3));
    let planes = [
        ("", &header(), NewPlane::Float32(&first)),
        ("MASK", &Header::new(), NewPlane::Bits(&mask)),
    ];
    for engine in [PlainFiles::SYNCED, PlainFiles::UNSYNCED] {
        engine.write_images(&path, &planes).unwrap();
        let mut longer = header();
        for number in 0..90 {
            longer.set(&format!("CARD{number}"), i64::from(number), "one of many");
        }
        for header in [&longer, &header()] {
            assert!(engine.replace_header(&path, header).unwrap());
            let rewritten = directory.path().join("b.fits");
            let [_, extension] = planes;
            let whole = [("", header, NewPlane::Float32(&first)), extension];
            engine.write_images(&rewritten, &whole).unwrap();
            assert_eq!(fs::read(&path).unwrap(), fs::read(&rewritten).unwrap());
            fitsverify(&path);
        }
    }
    // A table has no image to be the header of, and cfitsio leaves this to others.
    let table = directory.path().join("t.fits");
    Cfitsio.write_tables(&table, &tables()).unwrap();
    assert!(!PlainFiles::SYNCED.replace_header(&table, &header()).unwrap());
    assert!(!Cfitsio.replace_header(&path, &header()).unwrap());
}

#[test]
fn pixels_are_rounded_and_clamped_to_their_format() {
    let directory = tempfile::tempdir().unwrap();
    let values =
        Array2::from_shape_vec((1, 5), vec![-3.0, 0.5, 255.4, 70_000.0, f32::NAN]).unwrap();
    for (name, engine) in ENGINES {
        let path = directory.path().join(format!("{name}.fits"));
        let header = Header::new();
        let read = |plane| {
            engine.write_images(&path, &[("", &header, plane)]).unwrap();
            Cfitsio.read_image(&path).unwrap().data.into_raw_vec_and_offset().0
        };
        assert_eq!(read(NewPlane::Unsigned16(&values)), [0.0, 1.0, 255.0, 65_535.0, 0.0]);
        assert_eq!(read(NewPlane::Byte(&values)), [0.0, 1.0, 255.0, 255.0, 0.0]);
        assert!(read(NewPlane::Float32(&values))[4].is_nan());
    }
}

#[test]
fn what_cannot_be_written_is_refused_and_leaves_no_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.fits");
    let mut not_a_number = Header::new();
    not_a_number.set("FWHM", f64::NAN, "");
    let mut unequal = tables();
    unequal.tables[0].columns[1].data = ColumnData::Integer32(vec![1]);
    let mut wide = tables();
    wide.tables[0].columns[5].data =
        ColumnData::Text { width: 2, values: vec!["abc".to_owned(); 3] };
    let mut twice = tables();
    twice.tables[1].name = "candidates".to_owned();
    for (_, engine) in ENGINES {
        let error = engine
            .write_images(&path, &[("", &not_a_number, NewPlane::Float32(&image()))])
            .unwrap_err();
        assert!(error.to_string().contains("FWHM is not a finite number"), "{error}");
        for (content, complaint) in
            [(&unequal, "COUNT"), (&wide, "OBJECTID"), (&twice, "candidates")]
        {
            let error = engine.write_tables(&path, content).unwrap_err().to_string();
            assert!(error.contains(complaint), "{error}");
        }
        assert!(engine.write_images(&path, &[]).is_err());
        let nowhere = directory.path().join("absent").join("a.fits");
        assert!(matches!(engine.write_tables(&nowhere, &tables()), Err(FitsError::Write { .. })));
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn a_path_with_the_signs_of_cfitsios_syntax_is_only_a_name() {
    let directory = tempfile::tempdir().unwrap();
    for name in ["!a.fits", "b[1].fits", "c(x).fits", "d+1", " e.fits", "ftp:__f"] {
        let path = directory.path().join(name);
        for (_, engine) in ENGINES {
            engine.write_images(&path, &[("", &header(), NewPlane::Float32(&image()))]).unwrap();
            assert_eq!(engine.read_image(&path).unwrap().data, image(), "{name}");
        }
    }
    let absent = directory.path().join("absent.fits");
    for (_, engine) in ENGINES {
        assert!(matches!(engine.read_image(&absent), Err(FitsError::Io { .. })));
    }
}

#[test]
fn changed_bytes_are_seen_by_the_checksums() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.fits");
    Cfitsio.write_tables(&path, &tables()).unwrap();
    let sound = fs::read(&path).unwrap();
    let data = sound.windows(8).position(|window| window == b"J020105 ").unwrap();
    let card = sound.windows(8).position(|window| window == b"EXPTIME ").unwrap() + 28;
    for (place, hdu, what) in [(data, "HDU 2 (CANDIDATES)", "DATASUM"), (card, "HDU 1", "CHECKSUM")]
    {
        let mut damaged = sound.clone();
        damaged[place] = b'9';
        fs::write(&path, &damaged).unwrap();
        for (_, engine) in ENGINES {
            let error = engine.verify_checksums(&path).unwrap_err().to_string();
            assert!(error.contains(hdu) && error.contains(what), "{error}");
        }
        assert!(screen(&path).unwrap_err().to_string().contains(what));
    }
}

/// fpack's output for `image()`, if fpack is there.
fn fpacked(directory: &Path, options: &[&str], plane: NewPlane<'_>) -> Option<PathBuf> {
    let path = directory.join("packed.fits");
    Cfitsio.write_images(&path, &[("", &header(), plane)]).unwrap();
    let packed = directory.join("packed.fits.fz");
    let _ = fs::remove_file(&packed);
    match Command::new("fpack").args(options).arg(&path).status() {
        Ok(status) if status.success() => Some(packed),
        outcome => {
            println!("skipped: fpack cannot be run ({outcome:?})");
            None
        }
    }
}

#[test]
fn both_engines_read_the_same_from_tile_compressed_files() {
    let directory = tempfile::tempdir().unwrap();
    for options in [&["-r"][..], &["-g"], &["-h"], &["-r", "-w"]] {
        let Some(path) = fpacked(directory.path(), options, NewPlane::Unsigned16(&image())) else {
            return;
        };
        for (name, engine) in ENGINES {
            let read = engine.read_images(&path).unwrap();
            assert_eq!(read.len(), 1, "{name} {options:?}");
            assert_eq!(read[0].0, "");
            assert_eq!(read[0].1.data, image(), "{name} {options:?}");
            assert_eq!(read[0].1.header, written(&header()), "{name} {options:?}");
            engine.verify_checksums(&path).unwrap();
        }
        screen(&path).unwrap();
    }
    // Quantised floats: both engines restore the same values.
    let Some(path) = fpacked(directory.path(), &["-r"], NewPlane::Float32(&image())) else {
        return;
    };
    let one = Cfitsio.read_image(&path).unwrap().data;
    let other = PureRust.read_image(&path).unwrap().data;
    assert!(one.iter().zip(&other).all(|(a, b)| (a - b).abs() <= 1e-6 * a.abs().max(1.0)));
}

#[test]
fn gzip_files_are_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.fits");
    Cfitsio.write_images(&path, &[("", &header(), NewPlane::Unsigned16(&image()))]).unwrap();
    let packed = directory.path().join("a.fits.gz");
    fs::write(&packed, fitsio_pure::gzip::compress(&fs::read(&path).unwrap(), 6)).unwrap();
    for (_, engine) in ENGINES {
        assert_eq!(engine.read_image(&packed).unwrap().data, image());
    }
    // One whose length is not what it announces is refused, and so is one that unfolds to more than is held.
    let mut changed = fs::read(&packed).unwrap();
    let end = changed.len();
    changed[end - 4..].copy_from_slice(&[0xff; 4]);
    let bomb =
        fitsio_pure::gzip::compress(&vec![0; super::source::MAXIMUM_UNFOLDED as usize + 1], 1);
    for bytes in [changed, bomb] {
        fs::write(&packed, &bytes).unwrap();
        for (_, engine) in ENGINES {
            assert!(matches!(engine.read_image(&packed), Err(FitsError::Damaged { .. })));
        }
    }
}

/// A small file with an image, a table and, where fpack is there, a compressed image.
fn sample_files(directory: &Path) -> Vec<Vec<u8>> {
    let small = image().slice_move(ndarray::s![..4, ..6]);
    let path = directory.join("sample.fits");
    Cfitsio.write_images(&path, &[("", &header(), NewPlane::Unsigned16(&small))]).unwrap();
    let mut files = vec![fs::read(&path).unwrap()];
    Cfitsio.write_tables(&path, &tables()).unwrap();
    files.push(fs::read(&path).unwrap());
    if let Some(packed) = fpacked(directory, &["-r"], NewPlane::Unsigned16(&image())) {
        files.push(fs::read(packed).unwrap());
    }
    files
}

/// Has both engines and the screening read a file, whatever it is; that they come back is what is tested.
fn read_all(path: &Path) -> Vec<String> {
    let mut outcomes = Vec::new();
    let mut note = |outcome: Result<String, FitsError>| {
        outcomes.push(outcome.unwrap_or_else(|error| match error {
            FitsError::Io { source, .. } => format!("i/o: {source}"),
            FitsError::Damaged { what, .. } => format!("damaged: {what}"),
            FitsError::Missing { what, .. } => format!("missing: {what}"),
            FitsError::Write { what, .. } => format!("write: {what}"),
        }));
    };
    note(screen(path).map(|screened| format!("{} HDUs", screened.hdus)));
    for (_, engine) in ENGINES {
        note(engine.read_header(path).map(|header| format!("{} cards", header.cards.len())));
        note(engine.read_images(path).map(|images| format!("{} images", images.len())));
        note(engine.read_tables(path).map(|content| format!("{} tables", content.tables.len())));
        note(engine.verify_checksums(path).map(|()| "checksums right".to_owned()));
    }
    outcomes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn random_bytes_are_no_fits_file(bytes in prop::collection::vec(any::<u8>(), 0..6000)) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("noise.fits");
        fs::write(&path, &bytes).unwrap();
        for (_, engine) in ENGINES {
            prop_assert!(engine.read_image(&path).is_err());
            prop_assert!(engine.read_tables(&path).is_err());
        }
        prop_assert!(screen(&path).is_err());
    }
}

#[test]
fn truncated_and_damaged_files_never_stop_an_engine() {
    use rand::{Rng, SeedableRng};
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("damaged.fits");
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(1);
    for sound in sample_files(directory.path()) {
        for _ in 0..120 {
            let mut bytes = sound.clone();
            if random.random_bool(0.3) {
                bytes.truncate(random.random_range(0..bytes.len()));
            }
            for _ in 0..random.random_range(0..4) {
                if !bytes.is_empty() {
                    let place = random.random_range(0..bytes.len());
                    bytes[place] ^= 1 << random.random_range(0..8);
                }
            }
            // Cards are where damage hurts: a digit of a size is changed as well.
            if random.random_bool(0.5) && bytes.len() > 2880 {
                let card = random.random_range(1..24) * 80;
                bytes[card + 20 + random.random_range(0..10)] = b'0' + random.random_range(0..10);
            }
            fs::write(&path, &bytes).unwrap();
            assert_eq!(read_all(&path).len(), 1 + 4 * ENGINES.len());
        }
    }
}

/// The folder of test data, or `None` with a word on standard output.
fn test_data(folder: &str) -> Option<PathBuf> {
    let root = std::env::var_os("GIC_TEST_DATA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data"),
        PathBuf::from,
    );
    let path = root.join(folder);
    if path.is_dir() {
        return Some(path);
    }
    println!("skipped: {} is absent", path.display());
    None
}

fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { open.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    files
}

#[test]
fn the_zoo_of_odd_files_is_read_or_refused() {
    let Some(zoo) = test_data("fits_zoo") else { return };
    let mut damaged_and_read = Vec::new();
    for path in files_below(&zoo) {
        let outcomes = read_all(&path);
        let name = path.strip_prefix(&zoo).unwrap();
        println!("{} | {}", name.display(), outcomes.join(" | "));
        // Where both engines give images they give the same ones.
        if let (Ok(one), Ok(other)) = (Cfitsio.read_images(&path), PureRust.read_images(&path)) {
            assert_eq!(one.len(), other.len(), "{}", name.display());
            for (one, other) in one.iter().zip(&other) {
                assert_eq!(one.1.header, other.1.header, "{}", name.display());
                let differ = one.1.data.iter().zip(&other.1.data).any(|(a, b)| {
                    !(a.is_nan() && b.is_nan()) && (a - b).abs() > 1e-6 * a.abs().max(b.abs())
                });
                assert!(!differ, "{}: the engines read different pixels", name.display());
            }
        }
        if name.starts_with("derived_damage") && outcomes[0].ends_with("HDUs") {
            damaged_and_read.push(name.to_owned());
        }
    }
    println!("damaged files that pass the screening: {damaged_and_read:?}");
}
