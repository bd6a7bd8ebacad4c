//! `gic catalog` from the outside: exit codes, output, and a build that is killed.

use std::{
    fmt::Write as _,
    fs,
    path::Path,
    process::{Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

fn gic(arguments: &[&str], directory: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gic"))
        .args(arguments)
        .current_dir(directory)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn field(rows: usize) -> String {
    let mut csv = "id,kind,ra,dec,mag,mag_error\n".to_owned();
    for row in 0..rows {
        let (ra, dec) = ((row % 300) as f64 * 0.005, (row / 300) as f64 * 0.005);
        let kind = if row % 10 == 0 { "galaxy" } else { "star" };
        writeln!(csv, "{row},{kind},{ra:.3},{dec:.3},{:.2},0.02", 14.0 + (row % 70) as f64 / 10.0)
            .unwrap();
    }
    csv
}

#[test]
fn a_catalogue_is_built_described_and_asked() {
    let here = tempfile::tempdir().unwrap();
    let mut csv = field(9000);
    csv.push_str("x,star,400,0,15,0.1\n");
    fs::write(here.path().join("field.csv"), csv).unwrap();
    let build = ["catalog", "build", "--from", "field.csv", "--map", "field", "--out", "store"];
    let output = gic(&build, here.path());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let complaint = "1 rows left out: right ascension is out of range (field.csv row 9002)";
    assert!(text(&output.stderr).contains(complaint), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("9000 (8100 stars, 900 galaxies)"));
    assert_eq!(gic(&build, here.path()).status.code(), Some(2));

    let info = gic(&["catalog", "info", "store", "--verify", "--json"], here.path());
    assert_eq!(info.status.code(), Some(0), "{}", text(&info.stderr));
    let header: serde_json::Value = serde_json::from_slice(&info.stdout).unwrap();
    assert_eq!(header["object_count"], 9000);

    let cone = |arguments: &[&str]| {
        let all = [&["catalog", "cone", "store"], arguments].concat();
        gic(&all, here.path())
    };
    let found = cone(&["--ra", "0.75", "--dec", "0.05", "--radius-arcmin", "0.7", "--json"]);
    let answer: serde_json::Value = serde_json::from_slice(&found.stdout).unwrap();
    assert_eq!(answer["status"], "FOUND");
    // Neighbours are 18" apart.
    assert_eq!(answer["objects"].as_array().unwrap().len(), 21);
    let elsewhere = cone(&["--ra", "100", "--dec", "-40", "--radius-arcmin", "3"]);
    assert_eq!(elsewhere.status.code(), Some(0));
    assert_eq!(text(&elsewhere.stdout), "UNAVAILABLE: 0 objects\n");
    assert!(text(&elsewhere.stderr).contains("cover 0 % of this cone"));
    let wrong = cone(&["--ra", "100", "--dec", "95", "--radius-arcmin", "3"]);
    assert_eq!(wrong.status.code(), Some(2));

    assert_eq!(gic(&["catalog", "info", "absent"], here.path()).status.code(), Some(3));
    let other_map = ["catalog", "build", "--from", "field.csv", "--map", "2mass", "--out", "new"];
    assert_eq!(gic(&other_map, here.path()).status.code(), Some(5));
    let no_map = ["catalog", "build", "--from", "field.csv", "--map", "no-map", "--out", "new"];
    assert_eq!(gic(&no_map, here.path()).status.code(), Some(2));
    let no_file = ["catalog", "build", "--from", "no.csv", "--map", "field", "--out", "new"];
    assert_eq!(gic(&no_file, here.path()).status.code(), Some(3));
    assert!(!here.path().join("new").exists());
    let objects = here.path().join("store/objects.data");
    let mut bytes = fs::read(&objects).unwrap();
    bytes[1000] ^= 1;
    fs::write(&objects, bytes).unwrap();
    assert_eq!(gic(&["catalog", "info", "store"], here.path()).status.code(), Some(0));
    assert_eq!(gic(&["catalog", "info", "store", "--verify"], here.path()).status.code(), Some(5));
}

#[test]
fn a_killed_build_leaves_no_half_store_and_does_not_hinder_the_next() {
    let here = tempfile::tempdir().unwrap();
    fs::write(here.path().join("field.csv"), field(90_000)).unwrap();
    let build = ["catalog", "build", "--from", "field.csv", "--map", "field", "--out", "store"];
    let start = Instant::now();
    assert_eq!(gic(&build, here.path()).status.code(), Some(0));
    let whole = start.elapsed();
    let store = here.path().join("store");
    let mut killed = 0;
    for step in 0..10_u32 {
        fs::remove_dir_all(&store).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_gic"))
            .args(build)
            .current_dir(here.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        thread::sleep(whole * step / 10 + Duration::from_millis(1));
        child.kill().unwrap();
        let ended_by_itself = child.wait().unwrap().code().is_some();
        if store.exists() {
            // Renamed before the signal: then it is whole.
            assert_eq!(
                gic(&["catalog", "info", "store", "--verify"], here.path()).status.code(),
                Some(0)
            );
        } else {
            assert!(!ended_by_itself);
            killed += 1;
            let output = gic(&build, here.path());
            assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        }
        assert!(!here.path().join(".store.building").exists());
    }
    assert!(killed > 0, "no build was caught at work");
}

#[test]
fn minor_planets_are_built_described_and_predicted() {
    let here = tempfile::tempdir().unwrap();
    // (1) Ceres and (433) Eros by MPCORB's columns, with a head and a line that is none.
    let line = |packed: &str, elements: &str, name: &str| {
        format!("{:<166}{name:<28}20251101\n", format!("{packed:<7}  3.35  0.15 K25BL {elements}"))
    };
    let ceres =
        "231.53975   73.29975   80.24963   10.58788  0.0795763  0.21429712   2.7656157  0 MPO";
    let eros =
        "310.55433  178.92978  304.27010   10.82847  0.2228359  0.55977990   1.4581209  0 MPO";
    let mut file = format!("MINOR PLANET CENTER ORBIT DATABASE\n\n{}\n", "-".repeat(202));
    file += &line("00001", ceres, "(1) Ceres");
    file += "\nno orbit\n";
    file += &line("00433", eros, "(433) Eros");
    fs::write(here.path().join("MPCORB.DAT"), file).unwrap();
    let build = "catalog build --from MPCORB.DAT --map mpcorb --out orbits --dated 2025-11-21";
    let build: Vec<&str> = build.split(' ').collect();
    let output = gic(&build, here.path());
    assert_eq!(output.status.code(), Some(0), "{}", text_of(&output));
    assert!(text_of(&output).contains("1 rows left out"), "{}", text_of(&output));
    assert_eq!(gic(&build, here.path()).status.code(), Some(2));
    let info = gic(&["catalog", "info", "orbits", "--verify"], here.path());
    assert!(text(&info.stdout).contains("orbits        2"), "{}", text_of(&info));

    // Where scipy and astropy have Ceres (tests/oracles/minor_planets.py).
    let oracle = include_str!("../oracles/minor_planets.json");
    let oracle: serde_json::Value = serde_json::from_str(oracle).unwrap();
    let ceres = oracle["places"]
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row[0] == 0 && row[1] == "2025-11-28T10:00:00" && row[2] == true);
    let (ra, dec) = (ceres.unwrap()[3].as_f64().unwrap(), ceres.unwrap()[4].as_f64().unwrap());
    let ask = |dec: f64, time: &str| {
        let (ra, dec) = (ra.to_string(), dec.to_string());
        let cone = ["catalog", "minor-planets", "orbits", "--ra", &ra, "--dec", &dec];
        let rest = ["--radius-arcmin", "0.02", "--time", time, "--json"];
        let output = gic(&[cone.as_slice(), &rest].concat(), here.path());
        assert_eq!(output.status.code(), Some(0), "{}", text_of(&output));
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()
    };
    let found = ask(dec, "2025-11-28T10:00:00");
    assert_eq!(found["status"], "FOUND");
    assert_eq!(found["objects"][0]["name"], "(1) Ceres");
    assert_eq!(ask(dec + 5.0, "2025-11-28T10:00:00")["status"], "EMPTY");
    assert_eq!(ask(dec, "2026-11-28T10:00:00")["status"], "STALE");
    assert_eq!(ask(dec, "1200-11-28T10:00:00")["status"], "UNAVAILABLE");
}

fn text_of(output: &Output) -> String {
    text(&output.stdout) + &text(&output.stderr)
}

#[cfg(not(feature = "hats"))]
#[test]
fn a_build_without_hats_says_so_and_how_to_get_one() {
    let here = tempfile::tempdir().unwrap();
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/hats/small");
    let cell = fixture.join("dataset/Norder=1/Dir=0/Npix=14.parquet");
    for input in [fixture, cell] {
        let input = input.to_string_lossy().into_owned();
        let build = ["catalog", "build", "--from", &input, "--map", "gaia_dr3", "--out", "store"];
        let output = gic(&build, here.path());
        assert_eq!(output.status.code(), Some(2), "{}", text_of(&output));
        assert!(text(&output.stderr).contains("--features hats"), "{}", text_of(&output));
    }
}

#[cfg(feature = "hats")]
#[test]
fn a_hats_catalogue_answers_like_the_same_rows_in_csv() {
    let here = tempfile::tempdir().unwrap();
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/hats");
    let answers: Vec<Vec<serde_json::Value>> = ["small", "rows.csv"]
        .iter()
        .map(|name| {
            let input = fixture.join(name).to_string_lossy().into_owned();
            let store = format!("store-{name}");
            let build =
                ["catalog", "build", "--from", &input, "--map", "gaia_dr3", "--out", &store];
            let output = gic(&build, here.path());
            assert_eq!(output.status.code(), Some(0), "{}", text_of(&output));
            [("45", "0", "480"), ("305", "55", "480"), ("42", "1", "90"), ("200", "0", "60")]
                .iter()
                .map(|(ra, dec, radius)| {
                    let cone = ["catalog", "cone", &store, "--ra", ra, "--dec", dec];
                    let rest = ["--radius-arcmin", radius, "--epoch", "2026.9", "--json"];
                    let output = gic(&[cone.as_slice(), &rest].concat(), here.path());
                    serde_json::from_slice(&output.stdout).unwrap()
                })
                .collect()
        })
        .collect();
    assert_eq!(answers[0], answers[1]);
    let objects = |cone: usize| answers[0][cone]["objects"].as_array().unwrap().len();
    assert!(objects(0) + objects(1) == 90 && objects(2) > 0, "{} {}", objects(0), objects(1));
}
