//! The dialect of the telescope control system and those of other telescopes: each trait on a header written here, card by card,
//! and on real frames where the test data are.

use super::{FitsStore, KeywordMap, cfitsio::Cfitsio, pure::PureRust};
use crate::model::{FrameKeywords, FrameKind, UtcTime};
use std::path::{Path, PathBuf};

/// A frame of 4 × 3 pixels, 16 bits, with these cards as they stand.
fn write_frame(directory: &Path, name: &str, cards: &[String]) -> PathBuf {
    let mut header: Vec<String> = [
        "SIMPLE  =                    T",
        "BITPIX  =                   16",
        "NAXIS   =                    2",
        "NAXIS1  =                    4",
        "NAXIS2  =                    3",
    ]
    .map(str::to_owned)
    .to_vec();
    header.extend_from_slice(cards);
    header.push("END".to_owned());
    let mut bytes: Vec<u8> =
        header.iter().flat_map(|card| format!("{card:<80}").into_bytes()).collect();
    bytes.resize(bytes.len().div_ceil(2880) * 2880, b' ');
    bytes.extend([0_u8, 7].repeat(12));
    bytes.resize(bytes.len().div_ceil(2880) * 2880, 0);
    let path = directory.join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

/// As both engines read it; they must agree.
fn read(path: &Path) -> FrameKeywords {
    let stem = path.file_name().unwrap().to_str().unwrap().split(".fits").next().unwrap();
    let map = KeywordMap::shipped().unwrap();
    let of =
        |store: &dyn FitsStore| map.read(&store.read_header(path).unwrap(), stem, (4, 3)).unwrap();
    let ours = of(&Cfitsio);
    assert_eq!(ours, of(&PureRust), "{}", path.display());
    ours
}

fn data(relative: &str) -> Option<PathBuf> {
    let root = std::env::var_os("GIC_TEST_DATA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data"),
        PathBuf::from,
    );
    let path = root.join(relative);
    if path.exists() {
        return Some(path);
    }
    println!("skipped: {} is not there", path.display());
    None
}

/// Everything at once: a comment for each missing value, strings without padding, upper-case floats in free format, no
/// coordinates, a thousand cards, no type of exposure, a software gain.
fn telescope_cards(telescope: &str, instrument: Option<&str>) -> Vec<String> {
    let mut cards = vec![
        "COMMENT no EXPTYPE value            / exposure type".to_owned(),
        "COMMENT no GAIN value               / gain".to_owned(),
        "COMMENT no ALID value               / alert identifier".to_owned(),
        format!("TELESCOP= '{telescope}'"),
        "EXPTIME = 6.0E1".to_owned(),
        "DATE-OBS= '2019-10-16T04:20:01.5'".to_owned(),
        "FILTER  = 'i'".to_owned(),
        "BINNING = '2x2'".to_owned(),
        "SOFTGAIN= 4".to_owned(),
        "STRSTRA = 3.1319708333333335E2 / target".to_owned(),
        "STRSTDE = 6.668055555555556E+0".to_owned(),
        "BLKID   = '929744'".to_owned(),
    ];
    cards.extend(instrument.map(|name| format!("INSTRUME= '{name}'")));
    cards.extend((0..1000).map(|number| format!("S{number:05}  = 'x'")));
    cards
}

#[test]
fn the_telescopes_dialect_as_it_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let cards = telescope_cards("OAN/SPM COATLI 50-cm f/8", Some("C0"));
    let flat = read(&write_frame(directory.path(), "20191016T042001C0f.fits", &cards));
    assert_eq!(flat.kind, FrameKind::Flat, "of the name alone");
    assert_eq!(flat.exposure_seconds, 60.0);
    assert_eq!(flat.date_obs, UtcTime::parse("2019-10-16T04:20:01.5").unwrap());
    assert_eq!(flat.trigger_id.as_deref(), Some("929744"), "ALID is missing, BLKID is there");
    assert_eq!((flat.instrument.as_str(), flat.filter.as_str()), ("C0", "i"));
    let pointing = flat.pointing.unwrap();
    assert!((pointing.ra_degrees - 313.197_083_333).abs() < 1e-8);
    assert!((pointing.dec_degrees - 6.668_055_555).abs() < 1e-8);
    assert_eq!(flat.camera.name, "coatli_c0");
    assert!((flat.gain_electrons.unwrap() - 3.1).abs() < 1e-9, "0.775 times SOFTGAIN");
    assert_eq!(flat.saturation, Some(7000.0));
    let scale = flat.camera.pixel_scale_degrees.unwrap() * 3600.0;
    assert!((scale - 0.702).abs() < 1e-9, "binned twice: {scale}");
    for (letter, kind) in [("o", FrameKind::Object), ("b", FrameKind::Bias), ("d", FrameKind::Dark)]
    {
        let name = format!("20191016T042001C0{letter}.fits");
        assert_eq!(read(&write_frame(directory.path(), &name, &cards)).kind, kind);
    }
}

#[test]
fn the_software_gain_divides_on_ratir() {
    let directory = tempfile::tempdir().unwrap();
    let cards = telescope_cards("1.5m", Some("RATIR"));
    for (camera, gain) in [("C0", 4.2), ("C1", 4.66)] {
        let name = format!("20130716T110452{camera}o.fits");
        let frame = read(&write_frame(directory.path(), &name, &cards));
        assert_eq!(frame.instrument, camera, "INSTRUME is the same for all of them");
        assert!((frame.gain_electrons.unwrap() - gain).abs() < 1e-9);
        assert_eq!(frame.saturation, Some(16384.0));
        assert_eq!(frame.camera.telescope, "RATIR");
        assert_eq!(frame.camera.minimum_flat_level_dn, Some(3000.0));
    }
}

#[test]
fn colibri_has_sections_and_no_stated_gain() {
    let directory = tempfile::tempdir().unwrap();
    let mut cards = telescope_cards("OAN COLIBRI 1.3-m", Some("C2"));
    cards.push("DATASEC = '[51:4146,1:4096]'".to_owned());
    cards.push("BIASSEC = '[1:50,1:4096]'".to_owned());
    let frame = read(&write_frame(directory.path(), "20260101T010101C2o.fits", &cards));
    assert_eq!((frame.camera.name.as_str(), frame.gain_electrons), ("ddrago_c2", None));
    assert_eq!(frame.camera.data_section.unwrap().shape(), (4096, 4096));
    assert_eq!(frame.camera.overscan_section.unwrap().shape(), (4096, 50));
}

#[test]
fn other_telescopes_as_their_files_describe_them() {
    let directory = tempfile::tempdir().unwrap();
    let cards = |texts: &[&str]| -> Vec<String> { texts.iter().map(|&t| t.to_owned()).collect() };
    let arcsat = cards(&[
        "TELESCOP= 'ARCSAT 0.5-m'",
        "INSTRUME= 'dcam-spare'",
        "IMAGETYP= 'LIGHT   '",
        "OBSERVER= 'AS06'",
        "EXPTIME =   6.00000000000E+001",
        "DATE-OBS= '2025-06-02T04:10:14.288'",
        "FILTER  = 'z'",
        "OBJCTRA = '16 02 11.83'",
        "OBJCTDEC= '+28 10 10.7'",
    ]);
    let arcsat = read(&write_frame(directory.path(), "light.fits", &arcsat));
    assert_eq!((arcsat.kind, arcsat.observer.as_deref()), (FrameKind::Object, None));
    assert!(arcsat.camera.is_mirrored && arcsat.camera.rotation_degrees == 180.0);
    let ogle = cards(&[
        "TELESCOP= 'LCO-Warsaw-1.3m   '",
        "INSTRUME= '32-MOSAIC'",
        "IMAGETYP= 'object'",
        "EXPTIME =               150.00",
        "DATE-OBS= '2011-12-27T05:27:26'",
        "FILTER  = 'I'",
        "RA      = '4:52:22.0'",
        "DEC     = '-69:18:29'",
        "GAIN    =                  1.8",
        "SECPIX  =            0.2604096",
    ]);
    let ogle = read(&write_frame(directory.path(), "o4197842.10.fits", &ogle));
    assert!(ogle.camera.is_reduced);
    assert!((ogle.camera.pixel_scale_degrees.unwrap() * 3600.0 - 0.2604096).abs() < 1e-9);
    let small = cards(&[
        "CREATOR = 'MicroObservatory2014-05-23' / Version",
        "INSTRUME= 'Main'",
        "OBSERVER= 'moguest'",
        "DATE-OBS= '2017-12-19T18:33:43.317-0700'",
        "UT-OBS  = '2017-12-20T01:33:43.317-0000'",
        "EXPTIME = 060.00",
        "FILTER  = 'Clear'",
    ]);
    let small = read(&write_frame(directory.path(), "HATP-32171220013343.fits", &small));
    assert_eq!((small.kind, small.exposure_seconds), (FrameKind::Object, 60.0));
    assert_eq!(small.date_obs, UtcTime::parse("2017-12-20T01:33:43.317Z").unwrap());
    assert_eq!(small.saturation, Some(4095.0));
}

#[test]
fn real_frames_of_the_telescope() {
    let Some(night) = data("ratir_20130716") else { return };
    for (name, kind) in [
        ("20130716T110452C1o", FrameKind::Object),
        ("20130716T031009C1f", FrameKind::Flat),
        ("20130716T032429C1b", FrameKind::Bias),
        ("20130716T035610C1d", FrameKind::Dark),
    ] {
        let path = night.join(format!("{name}.fits.fz"));
        let header = Cfitsio.read_header(&path).unwrap();
        assert!(header.cards.len() > 900, "{} cards", header.cards.len());
        assert!(header.get("EXPTYPE").is_none() && header.get("CRVAL1").is_none());
        let missing = header.cards.iter().filter(|card| {
            card.keyword == "COMMENT" && card.comment.trim_start().starts_with("no ")
        });
        assert!(missing.count() > 10, "missing values are comments");
        assert_eq!(header.get("SEXALT"), None, "one of them");
        let frame = read(&path);
        assert_eq!((frame.kind, frame.instrument.as_str()), (kind, "C1"));
        assert_eq!((frame.filter.as_str(), frame.binning), ("i", 2));
        assert!((frame.gain_electrons.unwrap() - 4.66).abs() < 1e-9);
        assert_eq!(frame.saturation, Some(16384.0));
    }
    let object = read(&night.join("20130716T110452C1o.fits.fz"));
    let pointing = object.pointing.unwrap();
    assert!((pointing.ra_degrees - 313.197_083_333).abs() < 1e-8);
    let infrared = read(&night.join("p20130704T035256C3o_img_H.fits"));
    assert_eq!((infrared.instrument.as_str(), infrared.kind), ("C3", FrameKind::Object));
    assert!(infrared.camera.is_reduced);
}

#[test]
fn real_frames_of_others() {
    if let Some(light) = data("arcsat_xo1_z/XO1-b_z_20250602_041008.fits.fz") {
        let frame = read(&light);
        assert_eq!((frame.kind, frame.camera.name.as_str()), (FrameKind::Object, "arcsat"));
        assert_eq!((frame.observer, frame.gain_electrons), (None, None));
    }
    if let Some(epoch) = data("ogle4_lmc531_I/o4197842.10.fts") {
        let frame = read(&epoch);
        assert_eq!((frame.camera.name.as_str(), frame.gain_electrons), ("ogle4", Some(1.8)));
        assert!((frame.pointing.unwrap().dec_degrees + 69.308).abs() < 0.001);
    }
    if let Some(frame) = data("microobs_hatp32/HATP-32171220013343.FITS") {
        let frame = read(&frame);
        assert_eq!(frame.date_obs, UtcTime::parse("2017-12-20T01:33:43.317Z").unwrap());
        assert_eq!((frame.kind, frame.exposure_seconds), (FrameKind::Object, 60.0));
    }
}
