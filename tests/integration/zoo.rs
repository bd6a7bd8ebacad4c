//! A running controller and the files that others drop into its directory: odd, damaged, late, many. Order and content are
//! asserted, never seconds.

use flate2::{Compression, write::GzEncoder};
use rusqlite::{Connection, OpenFlags, OptionalExtension};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::Write,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// The longest anything may take before a test gives it up.
const PATIENCE: Duration = Duration::from_secs(300);
/// The bound on the memory of a controller that is given bad files, kB.
const MAXIMUM_MEMORY: u64 = 1 << 20;
const BLOCK: usize = 2880;

/// A `gic run` on free ports.
struct Run {
    child: Child,
    root: PathBuf,
    incoming: PathBuf,
}

impl Run {
    /// `images` are lines of `[images]`; the watched directory is the controller's own where they name none.
    fn start(root: &Path, images: &str) -> Self {
        let config = root.join("gic.toml");
        fs::write(
            &config,
            format!(
                "[alerts]\nlisten = \"127.0.0.1:0\"\n[web]\nlisten = \"127.0.0.1:0\"\n\
                 [images]\nscan_seconds = 0.1\n{images}\n"
            ),
        )
        .unwrap();
        let data = root.join("data");
        let incoming = data.join("incoming");
        fs::create_dir_all(&incoming).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_gic"))
            .args(["run", "--config"])
            .arg(&config)
            .arg("--data")
            .arg(&data)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(root.join("log")).unwrap())
            .spawn()
            .unwrap();
        Self { child, root: root.to_owned(), incoming }
    }

    fn journal(&self) -> Option<Connection> {
        let path = self.root.join("data/gic.sqlite");
        let journal = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).ok()?;
        journal.busy_timeout(Duration::from_secs(10)).unwrap();
        Some(journal)
    }

    /// Waits until `condition` gives something; the controller must live all the while.
    fn until<T>(&mut self, what: &str, condition: impl Fn(&Self) -> Option<T>) -> T {
        let began = Instant::now();
        loop {
            if let Some(found) = condition(self) {
                return found;
            }
            let log = || fs::read_to_string(self.root.join("log")).unwrap_or_default();
            assert!(self.child.try_wait().unwrap().is_none(), "it ended: {}", log());
            assert!(began.elapsed() < PATIENCE, "not in time: {what}\n{}", log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// State of the newest frame of that name.
    fn state(&self, name: &str) -> Option<String> {
        let query = "SELECT state FROM frames WHERE name = ?1 ORDER BY id DESC LIMIT 1";
        self.journal()?.query_row(query, [name], |row| row.get(0)).optional().ok()?
    }

    fn until_state(&mut self, name: &str, state: &str) {
        self.until(&format!("{name} {state}"), |run| {
            run.state(name).filter(|found| found == state)
        });
    }

    /// Names of frames in the order in which they were journaled.
    fn names(&self) -> Vec<String> {
        let Some(journal) = self.journal() else { return Vec::new() };
        let Ok(mut statement) = journal.prepare("SELECT name FROM frames ORDER BY id") else {
            return Vec::new();
        };
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }

    /// Reason by file name, from the JSON files of the quarantine.
    fn quarantined(&self) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        for reason in entries(&self.root.join("data/quarantine")) {
            for file in entries(&reason) {
                if file.extension().is_some_and(|extension| extension == "json") {
                    let note: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
                    assert!(!note["detail"].as_str().unwrap().is_empty(), "{note}");
                    let text = |key: &str| note[key].as_str().unwrap().to_owned();
                    found.insert(text("file"), text("reason"));
                }
            }
        }
        found
    }

    /// The greatest memory the process has held, kB.
    fn memory_peak(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    fn is_restarted(&self) -> bool {
        let query = "SELECT count(*) FROM events WHERE what = 'restarted'";
        self.journal().unwrap().query_row(query, [], |row| row.get::<_, i64>(0)).unwrap() > 0
    }

    /// Writes under a temporary name and renames, as the telescope does.
    fn drop_in(&self, name: impl AsRef<Path>, bytes: &[u8]) {
        let temporary = self.incoming.join("arriving.partial.tmp");
        fs::write(&temporary, bytes).unwrap();
        fs::rename(temporary, self.incoming.join(name)).unwrap();
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

fn card(keyword: &str, value: &str) -> Vec<u8> {
    let mut card = format!("{keyword:8}= {value:>20}").into_bytes();
    card.resize(80, b' ');
    card
}

fn header(cards: &[(&str, String)]) -> Vec<u8> {
    let mut bytes: Vec<u8> =
        cards.iter().flat_map(|(keyword, value)| card(keyword, value)).collect();
    bytes.extend_from_slice(b"END");
    bytes.resize(bytes.len().next_multiple_of(BLOCK), b' ');
    bytes
}

fn text(text: &str) -> String {
    format!("'{text:8}'")
}

/// A sound 16-bit frame with stars on a sky; `kind` as in `EXPTYPE`.
fn frame(kind: &str, seed: u64) -> Vec<u8> {
    const SIDE: usize = 200;
    let mut bytes = header(&[
        ("SIMPLE", "T".into()),
        ("BITPIX", "16".into()),
        ("NAXIS", "2".into()),
        ("NAXIS1", SIDE.to_string()),
        ("NAXIS2", SIDE.to_string()),
        ("BSCALE", "1.0".into()),
        ("BZERO", "32768.0".into()),
        ("DATE-OBS", text("2026-11-02T04:02:05")),
        ("EXPTIME", "10.0".into()),
        ("EXPTYPE", text(kind)),
        ("INSTRUME", text("C1")),
        ("FILTER", text("r")),
        ("OBJECT", text("field")),
        ("BINNING", "1".into()),
    ]);
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1_u64 << 53) as f64
    };
    let mut stars = Vec::new();
    for _ in 0..30 {
        stars.push((random() * SIDE as f64, random() * SIDE as f64, 500.0 + 9000.0 * random()));
    }
    for row in 0..SIDE {
        for column in 0..SIDE {
            let noise = 20.0 * (random() + random() + random() - 1.5);
            let light: f64 = stars
                .iter()
                .map(|(x, y, peak)| {
                    let distance = (column as f64 - x).powi(2) + (row as f64 - y).powi(2);
                    peak * (-distance / 4.5).exp()
                })
                .sum();
            let value = (1000.0 + noise + light).clamp(0.0, 65_535.0) as u16;
            bytes.extend((value ^ 0x8000).to_be_bytes());
        }
    }
    bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
    bytes
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A tile-compressed image of the given size and tiles: one descriptor per tile, then the heap.
fn compressed(
    codec: &str,
    bits: &str,
    axes: [&str; 2],
    tile: [&str; 2],
    descriptors: &[(u32, u32)],
    heap: &[u8],
) -> Vec<u8> {
    let mut bytes = header(&[
        ("SIMPLE", "T".into()),
        ("BITPIX", "8".into()),
        ("NAXIS", "0".into()),
        ("EXTEND", "T".into()),
    ]);
    bytes.extend(header(&[
        ("XTENSION", text("BINTABLE")),
        ("BITPIX", "8".into()),
        ("NAXIS", "2".into()),
        ("NAXIS1", "8".into()),
        ("NAXIS2", descriptors.len().to_string()),
        ("PCOUNT", heap.len().to_string()),
        ("GCOUNT", "1".into()),
        ("TFIELDS", "1".into()),
        ("TTYPE1", text("COMPRESSED_DATA")),
        ("TFORM1", text("1PB(64)")),
        ("ZIMAGE", "T".into()),
        ("ZBITPIX", bits.into()),
        ("ZNAXIS", "2".into()),
        ("ZNAXIS1", axes[0].into()),
        ("ZNAXIS2", axes[1].into()),
        ("ZTILE1", tile[0].into()),
        ("ZTILE2", tile[1].into()),
        ("ZCMPTYPE", text(codec)),
        ("ZNAME1", text("BLOCKSIZE")),
        ("ZVAL1", "32".into()),
        ("DATE-OBS", text("2026-11-02T04:02:05")),
        ("EXPTIME", "10.0".into()),
        ("EXPTYPE", text("object")),
        ("INSTRUME", text("C1")),
        ("FILTER", text("r")),
    ]));
    for (count, start) in descriptors {
        bytes.extend(count.to_be_bytes());
        bytes.extend(start.to_be_bytes());
    }
    bytes.extend_from_slice(heap);
    bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
    bytes
}

/// Files that claim to be FITS and are not sound, each with the reasons that are right for it.
fn damaged_files() -> Vec<(String, Vec<u8>, &'static [&'static str])> {
    const CUT: &[&str] = &["truncated"];
    const BAD: &[&str] = &["damaged"];
    const NONE: &[&str] = &["not-fits"];
    let sound = frame("object", 1);
    let mut files: Vec<(String, Vec<u8>, &'static [&'static str])> = Vec::new();
    let mut add =
        |name: &str, bytes: Vec<u8>, reasons| files.push((name.to_owned(), bytes, reasons));
    for edge in (0..sound.len()).step_by(BLOCK) {
        for cut in [edge.saturating_sub(1), edge, edge + 1] {
            add(&format!("cut{cut:06}.fits"), sound[..cut].to_vec(), CUT);
        }
    }
    add("hello.fits.fz", b"hello\n".repeat(2000), NONE);
    add("zeros.fits", vec![0; 10 * BLOCK], NONE);
    add("trailing.fits", [sound.as_slice(), b"more than there should be"].concat(), BAD);
    let with = |keyword: &str, value: &str| {
        let mut bytes = sound.clone();
        let place = bytes.windows(8).position(|w| w == format!("{keyword:8}").as_bytes()).unwrap();
        bytes[place..place + 80].copy_from_slice(&card(keyword, value));
        bytes
    };
    add("naxis.fits", with("NAXIS", "999999"), BAD);
    add("naxis_no_number.fits", with("NAXIS", "'two     '"), BAD);
    add("huge.fits", with("NAXIS1", "9223372036854775807"), BAD);
    add("large.fits", with("NAXIS1", "2000000000"), CUT);
    add("negative.fits", with("NAXIS2", "-200"), BAD);
    add("bitpix.fits", with("BITPIX", "17"), BAD);
    add("simple.fits", with("SIMPLE", "F"), BAD);
    let mut endless = sound[..80].to_vec();
    endless.resize(2001 * BLOCK, b' ');
    add("endless.fits", endless, &["too-large"]);
    let sparse = header(&[
        ("SIMPLE", "T".into()),
        ("BITPIX", "8".into()),
        ("NAXIS", "2".into()),
        ("NAXIS1", "15000".into()),
        ("NAXIS2", "15000".into()),
    ]);
    let mut bomb = sparse;
    bomb.resize((bomb.len() + 15_000 * 15_000).next_multiple_of(BLOCK), 0);
    add("bomb.fits.gz", gzip(&bomb), &["too-large"]);
    add("zeros_of_200_megabytes.fits.gz", gzip(&vec![0; 200 << 20]), &["too-large"]);
    add("cut.fits.gz", gzip(&sound)[..5000].to_vec(), CUT);
    let mut changed = gzip(&sound);
    let place = changed.len() - 6;
    changed[place] ^= 1;
    add("changed.fits.gz", changed, BAD);

    let small = ["64", "64"];
    let heap = [0_u8; 64];
    add(
        "tile_outside.fits.fz",
        compressed("RICE_1", "16", small, small, &[(64, 4096)], &heap),
        BAD,
    );
    add(
        "tile_length.fits.fz",
        compressed("RICE_1", "16", small, small, &[(u32::MAX, 0)], &heap),
        BAD,
    );
    add(
        "tile_count.fits.fz",
        compressed("RICE_1", "16", small, ["64", "1"], &[(64, 0)], &heap),
        BAD,
    );
    add(
        "tile_size.fits.fz",
        compressed("RICE_1", "16", small, ["1000000000", "64"], &[(64, 0)], &heap),
        BAD,
    );
    add(
        "tile_zero.fits.fz",
        compressed("RICE_1", "16", small, ["0", "64"], &[(64, 0)], &heap),
        BAD,
    );
    add("zbitpix.fits.fz", compressed("RICE_1", "15", small, small, &[(64, 0)], &heap), BAD);
    add("znaxis.fits.fz", compressed("RICE_1", "16", ["-64", "64"], small, &[(64, 0)], &heap), BAD);
    let wide = ["2000000000", "2000000000"];
    add("znaxis_bomb.fits.fz", compressed("RICE_1", "16", wide, wide, &[(64, 0)], &heap), BAD);
    let many = ["9000", "9000"];
    add(
        "pixels.fits.fz",
        compressed("RICE_1", "16", many, many, &[(64, 0)], &[0; 60_000]),
        &["too-large"],
    );
    let unfolds = gzip(&vec![0; 50 << 20]);
    let length = unfolds.len() as u32;
    add(
        "tile_gzip_bomb.fits.fz",
        compressed("GZIP_1", "16", small, small, &[(length, 0)], &unfolds),
        &["too-large"],
    );
    let mut hcompress = vec![0xdd, 0x99];
    hcompress.extend(30_000_i32.to_be_bytes());
    hcompress.extend(30_000_i32.to_be_bytes());
    hcompress.resize(64, 0xff);
    add(
        "hcompress_bomb.fits.fz",
        compressed("HCOMPRESS_1", "16", small, small, &[(64, 0)], &hcompress),
        BAD,
    );
    let mut endless = compressed("RICE_1", "16", small, small, &[(64, 0)], &heap);
    let place = endless.windows(8).position(|window| window == b"ZVAL1   ").unwrap();
    endless[place..place + 80].copy_from_slice(&card("ZVAL1", "-2"));
    add("rice_block.fits.fz", endless, BAD);
    // Sound by their headers: the decoder finds out, in the analysis.
    for codec in ["RICE_1", "HCOMPRESS_1"] {
        let mut stream = vec![0xdd, 0x99];
        stream.extend([64_i32.to_be_bytes(), 64_i32.to_be_bytes()].concat());
        stream.resize(40, 0xff);
        let name = format!("stream_{}.fits.fz", codec.to_ascii_lowercase());
        add(
            &name,
            compressed(codec, "16", small, small, &[(40, 0)], &stream),
            &["damaged", "pixels"],
        );
    }
    files
}

#[test]
fn damaged_files_are_set_aside_with_their_reasons_and_the_real_frame_after_them_is_reduced() {
    let directory = tempfile::tempdir().unwrap();
    let mut run = Run::start(directory.path(), "patience_seconds = 0.3");
    let files = damaged_files();
    for (name, bytes, _) in &files {
        run.drop_in(name, bytes);
    }
    // Bits of the header turned, one file for each card: refused, or a frame like another.
    let sound = frame("object", 2);
    let turned: BTreeSet<String> = (0..15).map(|card| format!("turned{card:02}")).collect();
    for (card, name) in turned.iter().enumerate() {
        let mut bytes = sound.clone();
        bytes[card * 80 + 29] ^= 4;
        bytes[card * 80 + 2] ^= 1;
        run.drop_in(format!("{name}.fits"), &bytes);
    }
    run.drop_in("20261102T040205C1o.fits", &frame("object", 3));
    run.until_state("20261102T040205C1o", "reduced");
    let expected = files.len();
    run.until("every damaged file set aside", |run| {
        let quarantined = run.quarantined();
        files.iter().all(|(name, ..)| quarantined.contains_key(name)).then_some(())
    });
    run.until("every turned file came to an end", |run| {
        let quarantined = run.quarantined();
        let is_over = |name: &String| {
            quarantined.contains_key(&format!("{name}.fits"))
                || run.state(name).is_some_and(|state| state != "arrived")
        };
        turned.iter().all(is_over).then_some(())
    });
    let quarantined = run.quarantined();
    let wrong: Vec<_> = files
        .iter()
        .filter(|(name, _, reasons)| !reasons.contains(&quarantined[name].as_str()))
        .map(|(name, ..)| (name, &quarantined[name]))
        .collect();
    assert!(wrong.is_empty(), "of {expected}: {wrong:?}");
    run.until("nothing is left", |run| entries(&run.incoming).is_empty().then_some(()));
    assert!(!run.is_restarted());
    let peak = run.memory_peak();
    println!(
        "{expected} damaged files, {} of them turned; peak memory {} MB",
        turned.len(),
        peak >> 10
    );
    assert!(peak < MAXIMUM_MEMORY, "{peak} kB");
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

#[test]
fn every_file_of_the_zoo_comes_to_an_end_and_a_real_frame_after_them_is_reduced() {
    let Some(zoo) = test_data("fits_zoo") else { return };
    let directory = tempfile::tempdir().unwrap();
    let mut run = Run::start(directory.path(), "patience_seconds = 0.3");
    let mut images = BTreeMap::new();
    let mut foreign = 0;
    for folder in entries(&zoo) {
        for file in entries(&folder) {
            let folder = folder.file_name().unwrap().to_string_lossy();
            let name = format!("{folder}-{}", file.file_name().unwrap().to_string_lossy());
            run.drop_in(&name, &fs::read(&file).unwrap());
            let ending =
                [".fits", ".fits.fz", ".fits.gz"].into_iter().find(|end| name.ends_with(end));
            match ending {
                Some(ending) => {
                    images.insert(name.clone(), name.strip_suffix(ending).unwrap().to_owned());
                }
                None => foreign += 1,
            }
        }
    }
    assert!(images.len() > 50 && foreign > 3, "{} and {foreign} files", images.len());
    run.drop_in("20261102T040205C1o.fits", &frame("object", 4));
    run.until_state("20261102T040205C1o", "reduced");
    let outcomes = run.until("every file came to an end", |run| {
        let quarantined = run.quarantined();
        let mut outcomes = BTreeMap::new();
        for (file, stem) in &images {
            let outcome = match quarantined.get(file) {
                Some(reason) => format!("quarantined: {reason}"),
                None => run.state(stem).filter(|state| state != "arrived")?,
            };
            outcomes.insert(file.clone(), outcome);
        }
        Some(outcomes)
    });
    for (file, outcome) in &outcomes {
        println!("{file:60} {outcome}");
    }
    run.until("only what is no image by its name stays", |run| {
        (entries(&run.incoming).len() == foreign).then_some(())
    });
    assert!(!run.is_restarted());
    let peak = run.memory_peak();
    println!("{} files, {foreign} left alone; peak memory {} MB", outcomes.len(), peak >> 10);
    assert!(peak < MAXIMUM_MEMORY, "{peak} kB");
}

#[test]
fn files_arrive_in_every_way_and_each_is_taken_once() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let before = root.join("data/incoming");
    fs::create_dir_all(&before).unwrap();
    // There before the start, in the order of urgency: object frames before calibration, the oldest first.
    for (name, kind) in [
        ("20261101T040000C1f", "flat"),
        ("20261101T050000C1o", "object"),
        ("20261101T030000C1o", "object"),
    ] {
        fs::write(before.join(format!("{name}.fits")), frame(kind, 5 + name.len() as u64)).unwrap();
    }
    let mut run = Run::start(root, "patience_seconds = 3600.0");
    run.until_state("20261101T050000C1o", "reduced");
    run.until("the flat arrived", |run| run.state("20261101T040000C1f"));
    assert_eq!(run.names(), ["20261101T030000C1o", "20261101T050000C1o", "20261101T040000C1f"]);

    // A slow writer, and one of whom first only an empty file is seen; neither stops the next one.
    let late = frame("object", 6);
    let slow = run.incoming.join("20261102T040000C1o.fits");
    fs::write(&slow, &late[..BLOCK + 100]).unwrap();
    fs::write(run.incoming.join("20261102T040001C1o.fits"), b"").unwrap();
    run.drop_in("20261102T040002C1o.fits", &frame("object", 7));
    run.until_state("20261102T040002C1o", "reduced");
    assert_eq!(run.state("20261102T040000C1o"), None);
    fs::write(run.incoming.join("20261102T040001C1o.fits"), frame("object", 8)).unwrap();
    run.until_state("20261102T040001C1o", "reduced");
    let mut writer = fs::OpenOptions::new().append(true).open(&slow).unwrap();
    for piece in late[BLOCK + 100..].chunks(30_000) {
        writer.write_all(piece).unwrap();
        std::thread::sleep(Duration::from_millis(30));
    }
    drop(writer);
    run.until_state("20261102T040000C1o", "reduced");

    // Packed, linked, oddly named.
    run.drop_in("20261102T040003C1o.fits.gz", &gzip(&frame("object", 9)));
    run.until_state("20261102T040003C1o", "reduced");
    let elsewhere = root.join("archived.fits");
    fs::write(&elsewhere, frame("object", 10)).unwrap();
    std::os::unix::fs::symlink(&elsewhere, run.incoming.join("linked.fits")).unwrap();
    run.until_state("linked", "reduced");
    assert!(elsewhere.exists());
    run.drop_in("with a blank [1].fits", &frame("object", 11));
    run.until_state("with a blank [1]", "reduced");
    run.drop_in(std::ffi::OsStr::from_bytes(b"latin-\xe9.fits"), &frame("object", 12));
    run.until_state("latin-%E9", "reduced");

    // The same file again is nothing new; another version of it is.
    let count = run.names().len();
    run.drop_in("20261102T040002C1o.fits", &frame("object", 7));
    run.until("the copy is gone", |run| {
        (!run.incoming.join("20261102T040002C1o.fits").exists()).then_some(())
    });
    run.drop_in("20261102T040002C1o.fits", &frame("object", 13));
    run.until("the new version", |run| (run.names().len() > count).then_some(()));
    run.until_state("20261102T040002C1o", "reduced");

    // The directory is lost and comes back.
    let away = root.join("away");
    fs::rename(&run.incoming, &away).unwrap();
    fs::create_dir(&run.incoming).unwrap();
    run.drop_in("20261102T040004C1o.fits", &frame("object", 14));
    run.until_state("20261102T040004C1o", "reduced");
    let names = run.names();
    assert_eq!(names.len(), count + 2, "{names:?}");
    run.until("nothing is left", |run| entries(&run.incoming).is_empty().then_some(()));
    assert!(!run.is_restarted());
}

#[test]
fn files_of_a_directory_that_is_not_ours_stay_and_are_read_once() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let night = root.join("telescope/20261102");
    fs::create_dir_all(&night).unwrap();
    let images = "directory = \"../telescope\"\nsubdirectories = true\npatience_seconds = 0.3";
    let images = images.replace("../telescope", &root.join("telescope").to_string_lossy());
    for number in 0..40 {
        let name = format!("20261102T0400{number:02}C1f.fits");
        fs::write(night.join(name), frame("flat", 100 + number)).unwrap();
    }
    fs::write(night.join("bad.fits"), b"no image").unwrap();
    let mut run = Run::start(root, &images);
    run.until("all are taken", |run| (run.names().len() == 40).then_some(()));
    run.until("the bad one is set aside", |run| run.quarantined().get("bad.fits").cloned());
    run.until("it is gone from where it was", |_| (entries(&night).len() == 40).then_some(()));
    drop(run);

    // After a restart nothing is read again that has not changed.
    let mut run = Run::start(root, &images);
    fs::write(night.join("20261102T040000C1f.fits"), frame("flat", 200)).unwrap();
    fs::write(night.join("20261102T050000C1o.fits"), frame("object", 201)).unwrap();
    run.until_state("20261102T050000C1o", "reduced");
    run.until("the new version", |run| (run.names().len() == 42).then_some(()));
    let settled: i64 = run
        .journal()
        .unwrap()
        .query_row("SELECT count(*) FROM watched_files WHERE outcome = 'taken'", [], |row| {
            row.get(0)
        })
        .unwrap();
    assert_eq!(settled, 41);
}

#[test]
fn a_flood_of_garbage_does_not_stop_real_frames() {
    let directory = tempfile::tempdir().unwrap();
    let mut run = Run::start(directory.path(), "patience_seconds = 0.3");
    let mut real = Vec::new();
    for number in 0..1000 {
        // One name again and again, and many names.
        let name =
            if number % 2 == 0 { "same.fits.fz".to_owned() } else { format!("g{number}.fits.fz") };
        run.drop_in(name, format!("garbage {number} ").repeat(50).as_bytes());
        if number % 250 == 249 {
            let name = format!("20261102T0400{:02}C1o", number / 250);
            run.drop_in(format!("{name}.fits"), &frame("object", 300 + number));
            real.push(name);
        }
    }
    for name in &real {
        run.until_state(name, "reduced");
    }
    run.until("the garbage is set aside", |run| entries(&run.incoming).is_empty().then_some(()));
    assert!(run.quarantined().values().all(|reason| reason == "truncated" || reason == "not-fits"));
    assert!(run.memory_peak() < MAXIMUM_MEMORY);
}

#[test]
fn the_table_names_each_file_with_its_outcome() {
    let directory = tempfile::tempdir().unwrap();
    for (name, bytes, _) in damaged_files() {
        fs::write(directory.path().join(name), bytes).unwrap();
    }
    fs::write(directory.path().join("20261102T040205C1o.fits"), frame("object", 15)).unwrap();
    fs::write(directory.path().join("notes.txt"), b"seeing 1.2").unwrap();
    let screen = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gic"));
        command.arg("screen").args(arguments).arg(directory.path()).output().unwrap()
    };
    let output = screen(&["--json"]);
    assert_eq!(output.status.code(), Some(5));
    let rows: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let row = |name: &str| rows.iter().find(|row| row["file"] == name).unwrap();
    for (name, _, reasons) in damaged_files() {
        assert_eq!(row(&name)["outcome"], "refused", "{name}");
        assert!(reasons.contains(&row(&name)["reason"].as_str().unwrap()), "{}", row(&name));
    }
    assert_eq!(row("20261102T040205C1o.fits")["outcome"], "accepted");
    assert_eq!(row("notes.txt")["outcome"], "left alone");
    let text = String::from_utf8(screen(&[]).stdout).unwrap();
    assert!(text.contains("1 accepted") && text.contains("1 left alone"), "{text}");
}
