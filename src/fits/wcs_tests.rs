//! World coordinates of headers against astropy, and headers of all sorts of numbers.

use super::wcs_cards::{WcsCardsError, read_distorted, write_distorted};
use super::{CardValue, FitsStore, Header, pure::PureRust};
use crate::imaging::world_coordinates::{Distortion, WorldCoordinates};
use crate::model::SkyPosition;
use proptest::prelude::*;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Written by `tests/oracles/wcs_distorted.py` with astropy; the second for images that are not in the repository.
const ORACLE: &str = include_str!("../../tests/oracles/wcs_distorted.json");
const REAL: &str = include_str!("../../tests/oracles/wcs_real.json");

/// The rounding of a right ascension in degrees near 360, four times: no position is better known than that.
const ROUNDING_DEGREES: f64 = 2e-13;

fn header_of(cards: &Value) -> Header {
    let mut header = Header::new();
    for (keyword, value) in cards.as_object().unwrap() {
        let value = match value.as_str() {
            Some(text) => CardValue::from(text),
            None => CardValue::from(value.as_f64().unwrap()),
        };
        header.set(keyword, value, "");
    }
    header
}

/// Largest errors over the points (x, y, right ascension, declination): pixels, and degrees on the sky.
fn worst_errors(wcs: &WorldCoordinates, points: &Value) -> (f64, f64) {
    let (mut pixels, mut degrees) = (0.0_f64, 0.0_f64);
    for point in points.as_array().unwrap() {
        let [x, y, ra, dec] = [0, 1, 2, 3].map(|index: usize| point[index].as_f64().unwrap());
        let sky = SkyPosition::new(ra, dec);
        let found = wcs.sky_to_pixel(sky).unwrap();
        pixels = pixels.max((found.0 - x).hypot(found.1 - y));
        degrees = degrees.max(wcs.pixel_to_sky(x, y).separation_arcsec(sky) / 3600.0);
    }
    (pixels, degrees)
}

#[test]
fn agrees_with_astropy_to_a_billionth_of_a_pixel() {
    let oracle: Value = serde_json::from_str(ORACLE).unwrap();
    let cases = oracle["cases"].as_array().unwrap();
    assert!(cases.len() >= 30);
    for case in cases {
        let name = case["name"].as_str().unwrap();
        let wcs = read_distorted(&header_of(&case["cards"])).unwrap();
        let expected = name.split([' ', ',']).next().unwrap();
        let kind = match &wcs.distortion {
            Distortion::None => "TAN",
            Distortion::Sip(_) => "SIP",
            Distortion::Tpv(_) => "TPV",
        };
        assert_eq!(kind, expected, "{name}");
        let (pixels, degrees) = worst_errors(&wcs, &case["points"]);
        println!("{name}: {pixels:.1e} pixel, {degrees:.1e} degrees");
        let scale = wcs.scale_arcsec(1024.0, 1024.0) / 3600.0;
        assert!(pixels < (ROUNDING_DEGREES / scale).max(1e-9), "{name}: {pixels:e} pixel");
        assert!(degrees < 1e-11, "{name}: {degrees:e} degrees");
    }
}

#[test]
fn a_written_solution_says_the_same() {
    let oracle: Value = serde_json::from_str(ORACLE).unwrap();
    for case in oracle["cases"].as_array().unwrap() {
        let wcs = read_distorted(&header_of(&case["cards"])).unwrap();
        let mut header = header_of(&case["cards"]);
        write_distorted(&mut header, &wcs);
        let count = header.cards.len();
        let back = read_distorted(&header).unwrap();
        assert_eq!(back.distortion, wcs.distortion, "{}", case["name"]);
        let (pixels, degrees) = worst_errors(&back, &case["points"]);
        assert!(pixels < 3e-9 && degrees < 1e-11, "{}: {pixels:e}", case["name"]);
        write_distorted(&mut header, &back);
        assert_eq!(header.cards.len(), count, "written twice, there once");
    }
}

/// The same solution with the declination first says the same; the numbers of PV cards go with their axes.
#[test]
fn the_order_of_the_axes_does_not_matter() {
    let oracle: Value = serde_json::from_str(ORACLE).unwrap();
    let named =
        ["TPV of degree 7 with all powers of r", "TPV, LONPOLE", "SIP, LONPOLE", "TAN at the pole"];
    for name in named {
        let cases = oracle["cases"].as_array().unwrap();
        let case = cases.iter().find(|case| case["name"] == name).unwrap();
        let straight = header_of(&case["cards"]);
        let mut swapped = straight.clone();
        for card in &mut swapped.cards {
            let other = |stem: &str, axis: char, rest: &str| {
                format!("{stem}{}{rest}", if axis == '1' { '2' } else { '1' })
            };
            for stem in ["CTYPE", "CRVAL", "CUNIT", "CD", "PV"] {
                let Some(rest) = card.keyword.strip_prefix(stem) else { continue };
                let mut characters = rest.chars();
                if let Some(axis @ ('1' | '2')) = characters.next() {
                    card.keyword = other(stem, axis, characters.as_str());
                    break;
                }
            }
        }
        assert_ne!(swapped, straight);
        let wcs = read_distorted(&swapped).unwrap();
        assert_eq!(wcs, read_distorted(&straight).unwrap(), "{name}");
    }
}

#[test]
fn real_headers_agree_with_astropy() {
    let root = std::env::var_os("GIC_TEST_DATA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data"),
        PathBuf::from,
    );
    let oracle: Value = serde_json::from_str(REAL).unwrap();
    for case in oracle["cases"].as_array().unwrap() {
        let name = case["file"].as_str().unwrap();
        let path = root.join(name);
        if !path.is_file() {
            println!("skipped: {} is not there", path.display());
            continue;
        }
        let header = PureRust.read_header(&path).unwrap();
        let wcs = read_distorted(&header).unwrap();
        let (pixels, degrees) = worst_errors(&wcs, &case["points"]);
        println!("{name}: {pixels:.1e} pixel, {degrees:.1e} degrees");
        let scale = wcs.scale_arcsec(0.0, 0.0) / 3600.0;
        assert!(pixels < (ROUNDING_DEGREES / scale).max(1e-9), "{name}: {pixels:e} pixel");
        assert!(degrees < 1e-11, "{name}: {degrees:e} degrees");
    }
}

#[test]
fn what_cannot_be_read_says_why() {
    let oracle: Value = serde_json::from_str(ORACLE).unwrap();
    let sound = |name: &str| {
        let cases = oracle["cases"].as_array().unwrap();
        header_of(&cases.iter().find(|case| case["name"] == name).unwrap()["cards"])
    };
    let refusal = |header: &Header| read_distorted(header).unwrap_err();
    let with = |name: &str, keyword: &str, value: CardValue| {
        let mut header = sound(name);
        header.set(keyword, value, "");
        refusal(&header)
    };
    const SIP: &str = "SIP of order 3, rotated";
    const TPV: &str = "TPV of degree 3 with r";
    const TAN: &str = "TAN, LONPOLE by PV";
    assert!(matches!(refusal(&Header::new()), WcsCardsError::Axes(..)));
    assert!(matches!(with(SIP, "CTYPE1", "RA---ZPN".into()), WcsCardsError::Axes(..)));
    assert!(matches!(with(SIP, "CTYPE1", "RA---TPV".into()), WcsCardsError::Axes(..)));
    assert!(matches!(with(SIP, "CUNIT2", "m".into()), WcsCardsError::Unit(_)));
    assert!(matches!(with(SIP, "RADESYS", "FK4".into()), WcsCardsError::System(_)));
    assert!(matches!(with(SIP, "CRVAL1", "east".into()), WcsCardsError::NotANumber(_)));
    assert!(matches!(with(SIP, "CRVAL2", 90.5.into()), WcsCardsError::Unusable));
    assert!(matches!(with(SIP, "A_2_0", f64::NAN.into()), WcsCardsError::NotANumber(_)));
    assert!(matches!(with(SIP, "A_ORDER", 10.0.into()), WcsCardsError::Distortion(_)));
    assert!(matches!(with(SIP, "B_ORDER", 2.5.into()), WcsCardsError::Distortion(_)));
    assert!(matches!(with(SIP, "CPDIS1", "Lookup".into()), WcsCardsError::Distortion(_)));
    assert!(matches!(with(TPV, "PV2_7", f64::INFINITY.into()), WcsCardsError::NotANumber(_)));
    assert!(matches!(with(TPV, "LONPOLE", "north".into()), WcsCardsError::NotANumber(_)));
    assert!(matches!(with(TAN, "PV1_2", 45.0.into()), WcsCardsError::Distortion(_)));
    let mut lacking = sound(SIP);
    lacking.remove("CRVAL1");
    assert_eq!(refusal(&lacking), WcsCardsError::Missing("CRVAL1".into()));
    let mut lacking = sound(SIP);
    lacking.remove("B_ORDER");
    assert!(matches!(refusal(&lacking), WcsCardsError::Distortion(_)));
    let mut disguised = sound("TPV under the name of TAN");
    disguised.set("CTYPE1", "RA---TAN-SIP", "");
    assert!(matches!(refusal(&disguised), WcsCardsError::Distortion(_)));
}

proptest! {
    #[test]
    fn no_card_leads_to_a_panic(
        kinds in (0..6usize, 0..6usize),
        numbers in prop::collection::vec(
            prop_oneof![prop::num::f64::ANY, -1.0..1.0, -100.0..100.0],
            40,
        ),
        (x, y) in (prop::num::f64::ANY, -1e4..1e4),
    ) {
        const KINDS: [&str; 6] =
            ["RA---TAN", "DEC--TAN", "RA---TAN-SIP", "DEC--TAN-SIP", "RA---TPV", "DEC--TPV"];
        const KEYWORDS: [&str; 40] = [
            "CRPIX1", "CRPIX2", "CRVAL1", "CRVAL2", "CD1_1", "CD1_2", "CD2_1", "CD2_2", "A_ORDER",
            "B_ORDER", "A_2_0", "A_1_1", "A_0_2", "B_2_0", "B_1_1", "B_0_2", "AP_ORDER", "BP_ORDER",
            "AP_1_0", "BP_0_1", "PV1_0", "PV1_1", "PV1_2", "PV1_3", "PV1_4", "PV1_11", "PV1_39",
            "PV1_40", "PV2_0", "PV2_1", "PV2_2", "PV2_5", "PV2_11", "PV2_23", "LONPOLE", "LATPOLE",
            "CDELT1", "CDELT2", "CROTA2", "PC1_1",
        ];
        let mut header = Header::new();
        header.set("CTYPE1", KINDS[kinds.0], "");
        header.set("CTYPE2", KINDS[kinds.1], "");
        for (keyword, number) in KEYWORDS.iter().zip(numbers) {
            // Some cards are absent.
            if number.to_bits() % 3 != 0 {
                let is_order = keyword.ends_with("ORDER");
                header.set(keyword, if is_order { number.abs().ceil() % 6.0 } else { number }, "");
            }
        }
        let _ = super::wcs_cards::read(&header);
        if let Ok(wcs) = read_distorted(&header) {
            let _ = wcs.sky_to_pixel(wcs.pixel_to_sky(x, y));
            let _ = wcs.closest_plane((100, 100));
            write_distorted(&mut header, &wcs);
            let _ = read_distorted(&header);
        }
    }
}
