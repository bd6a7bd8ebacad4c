//! Stores as they are built and asked.

use super::{
    Catalogue,
    build::{BuildError, BuildReport, BuildRequest, StatedCoverage, build},
    open,
    store::{CatalogueStore, HEADER_FILE, INDEX_FILE, OBJECTS_FILE, StoreError},
};
use crate::{
    config::CatalogueMap,
    model::{CatalogueAnswer, CatalogueStatus, ObjectKind, SkyPosition, UtcTime},
};
use proptest::prelude::*;
use std::{
    fs,
    path::{Path, PathBuf},
};

fn request(map: &str, inputs: Vec<PathBuf>, output: PathBuf) -> BuildRequest {
    BuildRequest {
        inputs,
        output,
        map: CatalogueMap::named(map).unwrap(),
        name: None,
        url: None,
        citation: None,
        dated: None,
        built_at: UtcTime::parse("2026-11-02T03:04:05").unwrap(),
        coverage: StatedCoverage::Objects,
        replace: false,
        chunk_objects: 100,
    }
}

/// Builds from a CSV of the given text.
fn build_text(
    directory: &Path,
    map: &str,
    text: &str,
    change: impl FnOnce(&mut BuildRequest),
) -> Result<(BuildReport, CatalogueStore), BuildError> {
    let input = directory.join("in.csv");
    fs::write(&input, text).unwrap();
    let mut request = request(map, vec![input], directory.join("store"));
    change(&mut request);
    let report = build(&request, &mut |_| ())?;
    Ok((report, CatalogueStore::open(&request.output).unwrap()))
}

fn ids(answer: &CatalogueAnswer) -> Vec<&str> {
    answer.objects().iter().map(|object| object.id.as_str()).collect()
}

const HEADER: &str = "id,kind,ra,dec,mag,mag_error\n";

/// A square of stars, 72" apart.
fn grid(ra_from: f64, dec_from: f64, side: usize) -> String {
    let mut text = HEADER.to_owned();
    for i in 0..side {
        for j in 0..side {
            let ra = (ra_from + 0.02 * i as f64).rem_euclid(360.0);
            let dec = dec_from + 0.02 * j as f64;
            text.push_str(&format!("{i}-{j},star,{ra:.4},{dec:.4},{},0.02\n", 10 + (i + j) % 9));
        }
    }
    text
}

#[test]
fn the_header_tells_what_went_in_and_what_was_left_out() {
    let directory = tempfile::tempdir().unwrap();
    let text = "source_id,ra,dec,pmra,pmdec,phot_g_mean_mag,phot_rp_mean_mag\n\
        1,10,20,100,-200,17.5,16\n2,11,20,null,null,18.5,null\n2,11,20,null,null,18.5,null\n\
        3,12,x,1,1,12,12\n4,12,20,1,1,null,null\n5,12\n6,12.5,20.5,3,4,,15\n";
    let (report, store) = build_text(directory.path(), "gaia_dr3", text, |request| {
        request.url = Some("https://gea.esac.esa.int".to_owned());
        request.dated = UtcTime::parse("2022-06-13T00:00:00").ok();
    })
    .unwrap();
    assert_eq!((report.rows, report.objects), (7, 3));
    let rejected: Vec<(&str, u64)> =
        report.rejected.iter().map(|(why, each)| (why.as_str(), each.count)).collect();
    assert_eq!(
        rejected,
        [
            ("declination is not a number", 1),
            ("no magnitude in any band", 1),
            ("the line has not as many fields as the header", 1),
            ("the same object again (identifier and position are equal)", 1),
        ]
    );
    assert_eq!(report.rejected["declination is not a number"].examples, ["in.csv row 5"]);
    let header = store.header();
    assert_eq!(header.bands, ["G", "RP"]);
    assert_eq!((header.object_count, header.star_count, header.galaxy_count), (3, 3, 0));
    assert_eq!(header.faintest_magnitude, Some(18.5));
    assert_eq!(header.origin.files[0].rows, 7);
    assert_eq!(header.origin.files[0].sha256, super::store_header::sha256(text.as_bytes()));
    assert_eq!(header.rejected_rows.values().sum::<u64>(), 4);
    assert!((header.greatest_proper_motion_mas - 50_000_f64.sqrt()).abs() < 1e-3);
    assert!(header.origin.citation.as_deref().unwrap().contains("Gaia Collaboration"));
    assert_eq!(header.dated, "2022-06-13T00:00:00Z");
    store.verify().unwrap();
    let described = store.describe();
    let expected = "Gaia DR3, 3 objects to G 18.51, epoch 2016.0, dated 2022-06-13, sha256 ";
    assert!(described.starts_with(expected), "{described}");
    // A magnitude of another band is told by its error.
    let answer = store.cone(SkyPosition::new(12.5, 20.5), 0.1);
    assert_eq!((answer.objects()[0].magnitude, answer.objects()[0].magnitude_error), (15.0, 0.5));
}

#[test]
fn stars_are_where_they_are_at_the_date() {
    let directory = tempfile::tempdir().unwrap();
    // Barnard's star, and one that stands still.
    let text = "source_id,ra,dec,pmra,pmdec,phot_g_mean_mag\n\
        4472832130942575872,269.448502525438,4.739420051112412,-801.551,10362.394,8.193974\n\
        2,269.4485,4.75,0,0,15\n";
    let (_, store) = build_text(directory.path(), "gaia_dr3", text, |_| ()).unwrap();
    // By astropy's apply_space_motion without distance and radial velocity, from J2016.0 to J2026.0.
    let expected = SkyPosition::new(269.446_268_262_697_8, 4.768_204_472_859_952);
    let date = UtcTime::parse("2026-01-01T12:00:00").unwrap();
    let answer = store.cone_at(expected, 2.0 / 3600.0, date);
    assert_eq!(ids(&answer), ["4472832130942575872"]);
    let off = answer.objects()[0].position.separation_arcsec(expected);
    assert!(off < 0.02, "{off}");
    assert!(ids(&store.cone(expected, 2.0 / 3600.0)).is_empty());
    assert_eq!(ids(&store.cone(SkyPosition::new(269.4485, 4.75), 1.0)).len(), 2);
}

#[test]
fn empty_unavailable_and_partly_covered_are_told_apart() {
    let directory = tempfile::tempdir().unwrap();
    let (_, store) =
        build_text(directory.path(), "field", &grid(359.0, -1.0, 100), |_| ()).unwrap();
    let between = SkyPosition::new(359.97, 0.01);
    assert_eq!(store.cone(between, 0.005), CatalogueAnswer::Empty);
    let CatalogueAnswer::Found { covered_share, .. } = store.cone(between, 0.3) else { panic!() };
    assert_eq!(covered_share, 1.0);
    let edge = store.cone(SkyPosition::new(0.0, 0.95), 0.4);
    assert!((0.2..0.8).contains(&edge.covered_share()), "{}", edge.covered_share());
    assert_eq!(edge.status(), CatalogueStatus::Found);
    let CatalogueAnswer::Unavailable { reason } = store.cone(SkyPosition::new(90.0, 0.0), 0.1)
    else {
        panic!()
    };
    assert!(reason.contains("of which it covers 0 %"), "{reason}");
    let nowhere = SkyPosition { ra_degrees: f64::NAN, dec_degrees: 0.0 };
    assert_eq!(store.cone(nowhere, 0.1).status(), CatalogueStatus::Unavailable);
    // What a person states goes before what the objects show.
    let stated = tempfile::tempdir().unwrap();
    let few = format!("{HEADER}1,galaxy,10,20,15,\n");
    let (_, store) = build_text(stated.path(), "field", &few, |request| {
        request.coverage = StatedCoverage::AllSky;
    })
    .unwrap();
    assert_eq!(store.cone(SkyPosition::new(200.0, -80.0), 1.0), CatalogueAnswer::Empty);
    let galaxy = store.cone(SkyPosition::new(10.0, 20.0), 0.1);
    assert_eq!(galaxy.objects()[0].kind, ObjectKind::Galaxy);
}

#[test]
fn opened_by_path_a_store_grows_old_and_a_csv_is_still_read() {
    let directory = tempfile::tempdir().unwrap();
    build_text(directory.path(), "field", &grid(10.0, 10.0, 50), |_| ()).unwrap();
    let centre = SkyPosition::new(10.5, 10.5);
    let date = UtcTime::parse("2028-11-02T03:04:05").unwrap();
    let store = open(&directory.path().join("store"), Some(730.0)).unwrap();
    let csv = open(&directory.path().join("in.csv"), None).unwrap();
    assert_eq!(store.object_count(), csv.object_count());
    let CatalogueAnswer::Stale { age_days, .. } = store.cone_at(centre, 0.2, date) else {
        panic!()
    };
    assert_eq!(age_days, 731.0);
    let today = store.dated().unwrap();
    assert_eq!(ids(&store.cone_at(centre, 0.2, today)), ids(&csv.cone_at(centre, 0.2, today)));
    assert!(csv.dated().is_some());
    let no_store = open(directory.path(), None).err().map(|error| error.to_string());
    assert!(no_store.is_some_and(|error| error.contains("header.json")));
}

#[test]
fn a_store_is_there_whole_or_not_at_all() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("store");
    let draft = directory.path().join(".store.building");
    let text = grid(10.0, 10.0, 20);
    // What a killed build left is cleared away.
    fs::create_dir(&draft).unwrap();
    fs::write(draft.join("run-000000"), b"half").unwrap();
    build_text(directory.path(), "field", &text, |_| ()).unwrap();
    assert!(!draft.exists());
    let mut names: Vec<_> =
        fs::read_dir(&store).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, [INDEX_FILE, HEADER_FILE, OBJECTS_FILE]);
    let again = build_text(directory.path(), "field", &text, |_| ()).unwrap_err();
    assert!(matches!(again, BuildError::Exists { .. }), "{again}");
    // A build that fails leaves the store of before.
    let replacing =
        |text: &str| build_text(directory.path(), "field", text, |request| request.replace = true);
    let bad = replacing(&format!("{HEADER}1,star,x,y,z,\n")).unwrap_err();
    assert!(matches!(bad, BuildError::NoObjects { rows: 1 }), "{bad}");
    assert!(matches!(replacing("a,b\n1,2\n"), Err(BuildError::Input(_))));
    assert_eq!(CatalogueStore::open(&store).unwrap().object_count(), 400);
    let before = CatalogueStore::open(&store).unwrap();
    let (_, after) = replacing(&grid(10.0, 10.0, 10)).unwrap();
    assert_eq!((after.object_count(), draft.exists()), (100, false));
    // Whoever had the store of before open still reads it.
    assert_eq!(before.cone(SkyPosition::new(10.2, 10.2), 1.0).objects().len(), 400);
    // One build at a time, and nothing that is no catalogue is replaced.
    fs::create_dir(&draft).unwrap();
    let lock = fs::File::create(draft.join("lock")).unwrap();
    lock.lock().unwrap();
    assert!(matches!(replacing(&text), Err(BuildError::Busy { .. })));
    drop(lock);
    fs::remove_dir_all(&store).unwrap();
    fs::create_dir(&store).unwrap();
    fs::write(store.join("letter"), b"dear").unwrap();
    assert!(matches!(replacing(&text), Err(BuildError::Foreign { .. })));
    assert!(store.join("letter").exists());
}

#[test]
fn damage_is_an_error_that_says_so() {
    let directory = tempfile::tempdir().unwrap();
    build_text(directory.path(), "field", &grid(10.0, 10.0, 40), |_| ()).unwrap();
    let store = directory.path().join("store");
    let whole = SkyPosition::new(10.4, 10.4);
    for name in [HEADER_FILE, INDEX_FILE, OBJECTS_FILE] {
        let path = store.join(name);
        let sound = fs::read(&path).unwrap();
        // Cut, lengthened, emptied.
        let longer = [sound.as_slice(), b"1"].concat();
        for bytes in [&sound[..sound.len() / 2], &longer, &[]] {
            fs::write(&path, bytes).unwrap();
            let error = CatalogueStore::open(&store).unwrap_err();
            assert!(matches!(error, StoreError::Damaged { .. }), "{name}: {error}");
        }
        for place in (0..sound.len()).step_by(sound.len() / 97 + 1) {
            let mut bytes = sound.clone();
            bytes[place] ^= 0x10;
            fs::write(&path, &bytes).unwrap();
            match CatalogueStore::open(&store) {
                Err(error) => assert!(matches!(error, StoreError::Damaged { .. }), "{error}"),
                // A blank of the header's layout, or a flip among the objects: found when the cell is read.
                Ok(opened) if name == OBJECTS_FILE => {
                    let CatalogueAnswer::Unavailable { reason } = opened.cone(whole, 2.0) else {
                        panic!("{place}")
                    };
                    assert!(reason.contains("damaged"), "{reason}");
                    assert!(opened.verify().is_err());
                }
                Ok(_) => panic!("{name}: byte {place} changed and nobody noticed"),
            }
        }
        fs::remove_file(&path).unwrap();
        assert!(CatalogueStore::open(&store).is_err());
        fs::write(&path, &sound).unwrap();
    }
    assert_eq!(CatalogueStore::open(&store).unwrap().cone(whole, 2.0).objects().len(), 1600);
}

/// The folder of real data, if it is there.
fn real(name: &str) -> Option<PathBuf> {
    let root = std::env::var("GIC_TEST_DATA")
        .unwrap_or_else(|_| format!("{}/../shared/data", env!("CARGO_MANIFEST_DIR")));
    let path = Path::new(&root).join(name);
    if path.exists() {
        return Some(path);
    }
    println!("skipped: no {} (set GIC_TEST_DATA)", path.display());
    None
}

#[test]
fn the_deep_patch_of_gaia_is_built_and_asked() {
    let Some(data) = real("catalog_gaia_dr2_ra110_dec24") else { return };
    let inputs = ["chunk-03559.fits", "chunk-03687.fits"].map(|name| data.join(name)).to_vec();
    let directory = tempfile::tempdir().unwrap();
    let request = request("gaia_dr2", inputs, directory.path().join("gaia"));
    let report = build(&request, &mut |_| ()).unwrap();
    assert_eq!((report.rows, report.objects), (1010, 1010));
    let store = CatalogueStore::open(&request.output).unwrap();
    assert_eq!(store.header().bands, ["G", "BP", "RP"]);
    assert_eq!(store.header().epoch_range, (2015.5, 2015.5));
    assert!((21.0..21.5).contains(&store.header().faintest_magnitude.unwrap()));
    let centre = SkyPosition::new(110.287_524_395_068_03, 24.120_792_285_105_6);
    let found = store.objects_within(centre, 1.0 / 3600.0, None).unwrap();
    let star = &found.iter().find(|each| each.object.id == "870044788011182208").unwrap().object;
    let g = star.magnitudes[0].unwrap();
    assert!((g.value - 20.216_095).abs() < 1e-5);
    assert!((f64::from(g.error.unwrap()) - 1.085_736 / 146.971_31).abs() < 1e-6);
}

#[test]
fn apass_is_built_with_its_own_spelling() {
    let Some(data) = real("catalog_eyuma_apass") else { return };
    let input = data.join("low_error_apass_ey_uma_sorted_ra_first_20.fits");
    let directory = tempfile::tempdir().unwrap();
    let request = request("apass", vec![input], directory.path().join("apass"));
    assert_eq!(build(&request, &mut |_| ()).unwrap().objects, 20);
    let store = CatalogueStore::open(&request.output).unwrap();
    assert_eq!(store.header().bands, ["r", "V", "B", "g", "i"]);
    let answer = store.cone(SkyPosition::new(134.012_057, 49.830_256), 0.001);
    assert_eq!(ids(&answer), ["7067067"]);
    assert!((answer.objects()[0].magnitude - 13.04).abs() < 1e-5);
    assert!((answer.objects()[0].magnitude_error - 0.049).abs() < 1e-6);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn a_cone_holds_what_brute_force_finds(
        anchor in (0.0..360.0_f64, prop_oneof![-90.0..=90.0_f64, Just(90.0), Just(-90.0), 89.0..=90.0_f64]),
        offsets in prop::collection::vec((-1.0..1.0_f64, -1.0..1.0_f64, -5.0e3..5.0e3_f64), 1..300),
        spread in 0.01..20.0_f64, radius in 0.0..10.0_f64, shift in (-1.0..1.0_f64, -1.0..1.0_f64),
        year in 1990.0..2060.0_f64,
    ) {
        let anchor = SkyPosition::new(anchor.0, anchor.1);
        let scale = spread * 3600.0;
        let mut text = "source_id,ra,dec,pmra,pmdec,phot_g_mean_mag\n".to_owned();
        let mut stars = Vec::new();
        for (number, (east, north, motion)) in offsets.iter().enumerate() {
            let place = anchor.offset_arcsec(east * scale, north * scale);
            text.push_str(&format!("{number},{},{},{motion},{},15\n", place.ra_degrees, place.dec_degrees, -motion / 2.0));
            stars.push((place, f64::from(*motion as f32), f64::from((-motion / 2.0) as f32)));
        }
        let directory = tempfile::tempdir().unwrap();
        let (_, store) = build_text(directory.path(), "gaia_dr3", &text, |_| ()).unwrap();
        let centre = anchor.offset_arcsec(shift.0 * scale, shift.1 * scale);
        for year in [None, Some(year)] {
            let mut expected: Vec<String> = stars.iter().enumerate().filter(|(_, (place, east, north))| {
                let years = year.map_or(0.0, |year| (year - 2016.0) / 1000.0);
                let there = if year.is_some() { place.offset_arcsec(east * years, north * years) } else { *place };
                there.separation_arcsec(centre) <= radius * 3600.0
            }).map(|(number, _)| number.to_string()).collect();
            expected.sort();
            let found = store.objects_within(centre, radius, year).unwrap();
            let found: Vec<String> = found.into_iter().map(|each| each.object.id).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
