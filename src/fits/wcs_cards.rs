//! A tangent-plane solution as header cards (Greisen & Calabretta 2002; FITS Standard 4.0, §8).

use super::Header;
use crate::imaging::wcs::TangentPlane;
use crate::model::SkyPosition;

/// Reads the solution of a header: `RA---TAN`, `DEC--TAN` in either order, with a CD matrix, a PC matrix with CDELT, or
/// CDELT with CROTA2 (Greisen & Calabretta 2002, §2.1 and §6.1), in degrees, ICRS or FK5 J2000.
///
/// Of `TAN-SIP` the linear part is read. `None` where cards are missing, for other projections, frames, units and native
/// pole longitudes than 180°, and for a singular matrix.
pub fn read(header: &Header) -> Option<TangentPlane> {
    let is_swapped = match (axis_of(header, "CTYPE1")?, axis_of(header, "CTYPE2")?) {
        (Axis::RightAscension, Axis::Declination) => false,
        (Axis::Declination, Axis::RightAscension) => true,
        _ => return None,
    };
    if !is_supported_frame(header) {
        return None;
    }
    let pixel = |keyword: &str| Some(optional(header, keyword, 0.0)? - 1.0);
    let reference_pixel = (pixel("CRPIX1")?, pixel("CRPIX2")?);
    let (first, second) = (header.number("CRVAL1")?, header.number("CRVAL2")?);
    let [first_row, second_row] = matrix(header)?;
    let (ra, dec, cd) = if is_swapped {
        (second, first, [second_row, first_row])
    } else {
        (first, second, [first_row, second_row])
    };
    let determinant = cd[0][0] * cd[1][1] - cd[0][1] * cd[1][0];
    let is_usable = determinant.is_normal()
        && ra.is_finite()
        && (-90.0..=90.0).contains(&dec)
        && reference_pixel.0.is_finite()
        && reference_pixel.1.is_finite();
    is_usable.then(|| TangentPlane {
        reference_pixel,
        reference_sky: SkyPosition::new(ra, dec),
        cd,
    })
}

/// Writes a solution, in place of any the header holds.
pub fn write(header: &mut Header, wcs: &TangentPlane) {
    header.cards.retain(|card| !belongs_to_another_solution(&card.keyword));
    header.set("CTYPE1", "RA---TAN", "right ascension, gnomonic projection");
    header.set("CTYPE2", "DEC--TAN", "declination, gnomonic projection");
    header.set("CUNIT1", "deg", "unit of CRVAL1 and CD1_j");
    header.set("CUNIT2", "deg", "unit of CRVAL2 and CD2_j");
    header.set("CRPIX1", wcs.reference_pixel.0 + 1.0, "[pixel] reference column, first is 1");
    header.set("CRPIX2", wcs.reference_pixel.1 + 1.0, "[pixel] reference row, first is 1");
    header.set("CRVAL1", wcs.reference_sky.ra_degrees, "[deg] right ascension there");
    header.set("CRVAL2", wcs.reference_sky.dec_degrees, "[deg] declination there");
    for (row, elements) in (1..).zip(wcs.cd) {
        for (column, element) in (1..).zip(elements) {
            header.set(&format!("CD{row}_{column}"), element, "[deg/pixel]");
        }
    }
    header.set("RADESYS", "ICRS", "celestial reference system");
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Axis {
    RightAscension,
    Declination,
}

fn axis_of(header: &Header, keyword: &str) -> Option<Axis> {
    let text = header.text(keyword)?.to_ascii_uppercase();
    match text.strip_suffix("-SIP").unwrap_or(&text) {
        "RA---TAN" => Some(Axis::RightAscension),
        "DEC--TAN" => Some(Axis::Declination),
        _ => None,
    }
}

fn is_supported_frame(header: &Header) -> bool {
    let text = |keyword: &str| header.text(keyword).unwrap_or_default().to_ascii_lowercase();
    let units = ["CUNIT1", "CUNIT2"].map(text);
    let frame = [text("RADESYS"), text("RADECSYS")];
    units.iter().all(|unit| matches!(unit.as_str(), "" | "deg" | "degree" | "degrees"))
        && frame.iter().all(|frame| matches!(frame.as_str(), "" | "icrs" | "fk5"))
        && header.number("EQUINOX").is_none_or(|equinox| equinox == 2000.0)
        && header.number("LONPOLE").is_none_or(|longitude| longitude == 180.0)
}

/// A number with a default for an absent card; `None` where the card holds something else.
fn optional(header: &Header, keyword: &str, default: f64) -> Option<f64> {
    match header.get(keyword) {
        None => Some(default),
        Some(_) => header.number(keyword),
    }
}

fn matrix(header: &Header) -> Option<[[f64; 2]; 2]> {
    let has = |stem: &str| {
        ["1_1", "1_2", "2_1", "2_2"]
            .iter()
            .any(|place| header.get(&format!("{stem}{place}")).is_some())
    };
    let read = |stem: &str, diagonal: f64| {
        let element = |place: &str, default| optional(header, &format!("{stem}{place}"), default);
        Some([
            [element("1_1", diagonal)?, element("1_2", 0.0)?],
            [element("2_1", 0.0)?, element("2_2", diagonal)?],
        ])
    };
    if has("CD") {
        return read("CD", 0.0);
    }
    let steps = [header.number("CDELT1")?, header.number("CDELT2")?];
    if has("PC") {
        let [first, second] = read("PC", 1.0)?;
        return Some([
            first.map(|element| element * steps[0]),
            second.map(|element| element * steps[1]),
        ]);
    }
    // The rotation stands with the declination axis, whichever it is (Greisen & Calabretta 2002, §6.1).
    let is_swapped = axis_of(header, "CTYPE1") == Some(Axis::Declination);
    let rotation = optional(header, if is_swapped { "CROTA1" } else { "CROTA2" }, 0.0)?;
    let sense = if is_swapped { -1.0 } else { 1.0 };
    let (sine, cosine) = (sense * rotation).to_radians().sin_cos();
    Some([[steps[0] * cosine, -steps[1] * sine], [steps[0] * sine, steps[1] * cosine]])
}

/// Cards that would say something else about the same axes.
fn belongs_to_another_solution(keyword: &str) -> bool {
    const EXACT: [&str; 10] = [
        "CDELT1", "CDELT2", "CROTA1", "CROTA2", "LONPOLE", "LATPOLE", "EQUINOX", "EPOCH",
        "RADECSYS", "WCSAXES",
    ];
    // Polynomials of SIP (A_2_0, BP_ORDER, A_DMAX) and of TPV (PV1_3), and the matrix of PCi_j.
    const STEMS: [&str; 8] = ["A_", "B_", "AP_", "BP_", "PV1_", "PV2_", "PC1_", "PC2_"];
    EXACT.contains(&keyword) || STEMS.iter().any(|stem| keyword.starts_with(stem))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fits::CardValue;

    const ORACLE: &str = include_str!("../../tests/oracles/wcs_cards.json");

    /// Cards in several dialects with the matrix astropy makes of them (tests/oracles/wcs_cards.py).
    #[test]
    fn every_dialect_gives_the_matrix_of_astropy() {
        let cases: serde_json::Value = serde_json::from_str(ORACLE).unwrap();
        let cases = cases.as_array().unwrap();
        assert!(cases.len() >= 5);
        for case in cases {
            let mut header = Header::new();
            for (keyword, value) in case["cards"].as_object().unwrap() {
                let value = match value.as_str() {
                    Some(text) => CardValue::from(text),
                    None => CardValue::from(value.as_f64().unwrap()),
                };
                header.set(keyword, value, "");
            }
            let wcs = read(&header).unwrap();
            for row in 0..2 {
                for column in 0..2 {
                    let expected = case["cd"][row][column].as_f64().unwrap();
                    // Tolerance: the rounding of a sine and a product in 64 bits.
                    assert!((wcs.cd[row][column] - expected).abs() < 1e-17, "{}", case["name"]);
                }
            }
            assert_eq!(wcs.reference_sky.ra_degrees, case["ra"].as_f64().unwrap());
            assert_eq!(wcs.reference_sky.dec_degrees, case["dec"].as_f64().unwrap());
            assert_eq!(wcs.reference_pixel.0, case["x"].as_f64().unwrap());
            assert_eq!(wcs.reference_pixel.1, case["y"].as_f64().unwrap());
        }
    }

    #[test]
    fn a_written_solution_replaces_the_old_one_and_reads_back() {
        let mut header = Header::new();
        header.set("A_2_0", 1e-6, "");
        header.set("PC1_1", 2.0, "");
        header.set("CTYPE1", "RA---TPV", "");
        header.set("EQUINOX", 1950.0, "");
        let wcs = TangentPlane {
            reference_pixel: (511.25, 0.1 + 0.2),
            reference_sky: SkyPosition::new(30.2695, -24.5099),
            cd: [[-1.95e-4, 3.4e-7], [3.3e-7, 1.95e-4]],
        };
        write(&mut header, &wcs);
        let back = read(&header).unwrap();
        assert_eq!((back.reference_sky, back.cd), (wcs.reference_sky, wcs.cd));
        assert!((back.reference_pixel.1 - wcs.reference_pixel.1).abs() < 1e-15);
        assert!(header.get("A_2_0").is_none() && header.get("PC1_1").is_none());
        let count = header.cards.len();
        write(&mut header, &wcs);
        assert_eq!(header.cards.len(), count, "written twice, there once");
    }

    #[test]
    fn what_is_no_tangent_plane_is_not_read() {
        let wcs = TangentPlane::nominal((0.0, 0.0), SkyPosition::new(10.0, 20.0), 1e-4);
        let mut sound = Header::new();
        write(&mut sound, &wcs);
        assert_eq!(read(&sound), Some(wcs));
        for (keyword, value) in [
            ("CTYPE1", CardValue::from("RA---TPV")),
            ("CTYPE2", "RA---TAN".into()),
            ("CUNIT1", "rad".into()),
            ("RADESYS", "FK4".into()),
            ("EQUINOX", 1950.0.into()),
            ("LONPOLE", 90.0.into()),
            ("CRVAL2", 91.0.into()),
            ("CD1_1", 0.0.into()),
            ("CRVAL1", "east".into()),
        ] {
            let mut header = sound.clone();
            header.set(keyword, value, "");
            assert_eq!(read(&header), None, "{keyword}");
        }
        assert_eq!(read(&Header::new()), None);
    }
}
