//! World coordinates as header cards (Greisen & Calabretta 2002, Calabretta & Greisen 2002; FITS Standard 4.0, §8).

use super::Header;
use super::distortion_cards::{self, Convention};
use crate::imaging::tpv::pole_turn;
use crate::imaging::wcs::TangentPlane;
use crate::imaging::world_coordinates::{Distortion, WorldCoordinates};
use crate::model::SkyPosition;

/// Why a header gives no coordinates.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum WcsCardsError {
    #[error("there is no card {0}")]
    Missing(String),
    #[error("card {0} holds no finite number")]
    NotANumber(String),
    #[error(
        "the axes \"{0}\" and \"{1}\" are not a gnomonic projection of right ascension and declination"
    )]
    Axes(String, String),
    #[error("the unit \"{0}\" is not one of an angle")]
    Unit(String),
    #[error("the reference system is {0}, not ICRS or FK5 of J2000")]
    System(String),
    #[error("the distortion is not one of SIP or TPV: {0}")]
    Distortion(String),
    #[error("the numbers are no solution: a declination beyond a pole, or a singular matrix")]
    Unusable,
}

/// Reads the linear solution of a header: `RA---TAN`, `DEC--TAN` in either order, with a CD matrix, a PC matrix with CDELT, or
/// CDELT with CROTA2 (Greisen & Calabretta 2002, §2.1 and §6.1), ICRS or FK5 J2000.
///
/// Of `TAN-SIP` the linear part is read. `None` where cards are missing, for other projections (TPV too), frames and
/// units, and for a singular matrix; [`read_distorted`] reads more and says why it does not.
pub fn read(header: &Header) -> Option<TangentPlane> {
    let linear = Linear::read(header).ok()?;
    if linear.projection == Projection::Tpv {
        return None;
    }
    let pole = linear.pole_longitude_degrees;
    Some(turned(&linear.plane, pole))
}

/// Reads the solution of a header with its distortion: TAN, TAN-SIP and TPV as astropy and wcslib understand them.
///
/// * The cards of [`read`], and CUNIT in degrees, arc minutes, arc seconds or radians.
/// * SIP: A_i_j and B_i_j up to A_ORDER and B_ORDER (2 to 9), also where CTYPE lacks `-SIP`; AP and BP where both are there.
/// * TPV: PVi_0 to PVi_39; also where CTYPE is `TAN` and some PVi_m with m ≥ 5 tells that SCAMP wrote it. An absent PVi_1
///   is one, as the convention says (wcslib takes zero, of which no image can be made).
///   The polynomials are of degrees, after CDELT, and numbered by their axes in either order (wcslib applies them before CDELT,
///   and mixes the axes where the declination is first).
/// * A header with both: SIP where CTYPE says `-SIP`, else TPV.
/// * LONPOLE, or PVi_3 of the right-ascension axis of a plain TAN; without either 180°, at a reference declination of
///   90° 0°. LATPOLE has no meaning for these projections.
pub fn read_distorted(header: &Header) -> Result<WorldCoordinates, WcsCardsError> {
    let linear = Linear::read(header)?;
    distortion_cards::refuse_lookup_tables(header)?;
    let pole = linear.pole_longitude_degrees;
    let distortion = match linear.convention(header) {
        Convention::None => Distortion::None,
        Convention::Sip => distortion_cards::read_sip(header)?,
        Convention::Tpv => distortion_cards::read_tpv(header, linear.right_ascension_axis, pole)?,
    };
    let plane = match distortion {
        Distortion::Tpv(_) => linear.plane,
        Distortion::None | Distortion::Sip(_) => turned(&linear.plane, pole),
    };
    Ok(WorldCoordinates { plane, distortion })
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
    // What readers assume without the card is another value at the pole alone.
    if default_pole_longitude(wcs.reference_sky.dec_degrees) != 180.0 {
        header.set("LONPOLE", 180.0, "[deg] native longitude of the celestial pole");
    }
    header.set("RADESYS", "ICRS", "celestial reference system");
}

/// Writes a solution with its distortion, in place of any the header holds.
pub fn write_distorted(header: &mut Header, wcs: &WorldCoordinates) {
    write(header, &wcs.plane);
    match &wcs.distortion {
        Distortion::None => {}
        Distortion::Sip(sip) => distortion_cards::write_sip(header, sip),
        Distortion::Tpv(tpv) => distortion_cards::write_tpv(header, tpv),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Axis {
    RightAscension,
    Declination,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Projection {
    Tan,
    TanSip,
    Tpv,
}

/// The solution without its distortion, right ascension first, before LONPOLE turns it.
struct Linear {
    plane: TangentPlane,
    projection: Projection,
    /// 1 or 2.
    right_ascension_axis: usize,
    pole_longitude_degrees: f64,
}

impl Linear {
    fn read(header: &Header) -> Result<Self, WcsCardsError> {
        let (first_axis, projection) = axes(header)?;
        let is_swapped = first_axis == Axis::Declination;
        check_system(header)?;
        let units = [unit(header, "CUNIT1")?, unit(header, "CUNIT2")?];
        let pixel = |keyword: &str| Ok(optional(header, keyword, 0.0)? - 1.0);
        let reference_pixel = (pixel("CRPIX1")?, pixel("CRPIX2")?);
        let first = required(header, "CRVAL1")? * units[0];
        let second = required(header, "CRVAL2")? * units[1];
        let [first_row, second_row] = matrix(header, is_swapped)?;
        let first_row = first_row.map(|element| element * units[0]);
        let second_row = second_row.map(|element| element * units[1]);
        let (ra, dec, cd) = if is_swapped {
            (second, first, [second_row, first_row])
        } else {
            (first, second, [first_row, second_row])
        };
        let determinant = cd[0][0] * cd[1][1] - cd[0][1] * cd[1][0];
        if !determinant.is_normal() || !ra.is_finite() || !(-90.0..=90.0).contains(&dec) {
            return Err(WcsCardsError::Unusable);
        }
        let plane = TangentPlane { reference_pixel, reference_sky: SkyPosition::new(ra, dec), cd };
        let right_ascension_axis = if is_swapped { 2 } else { 1 };
        let mut linear = Self {
            plane,
            projection,
            right_ascension_axis,
            pole_longitude_degrees: default_pole_longitude(dec),
        };
        linear.read_native_pole(header)?;
        Ok(linear)
    }

    fn convention(&self, header: &Header) -> Convention {
        match self.projection {
            Projection::TanSip => Convention::Sip,
            Projection::Tpv => Convention::Tpv,
            Projection::Tan if distortion_cards::is_tpv_in_disguise(header) => Convention::Tpv,
            Projection::Tan if distortion_cards::has_sip(header) => Convention::Sip,
            Projection::Tan => Convention::None,
        }
    }

    /// Where the celestial pole is in native coordinates. A plain TAN may say so by PVi_3 of the right-ascension axis too, and
    /// may place the reference elsewhere by PVi_1 and PVi_2, which nobody does (Calabretta & Greisen 2002, §2.5).
    fn read_native_pole(&mut self, header: &Header) -> Result<(), WcsCardsError> {
        // wcslib's way to write that the value is not known.
        const UNDEFINED: f64 = 999.0;
        let longitude = optional(header, "LONPOLE", UNDEFINED)?;
        if longitude != UNDEFINED {
            self.pole_longitude_degrees = longitude;
        }
        if self.convention(header) == Convention::None {
            let parameter = |index: usize| format!("PV{}_{index}", self.right_ascension_axis);
            let fiducial =
                [optional(header, &parameter(1), 0.0)?, optional(header, &parameter(2), 90.0)?];
            if fiducial != [0.0, 90.0] {
                let what = format!("{} and {} move the reference", parameter(1), parameter(2));
                return Err(WcsCardsError::Distortion(what));
            }
            self.pole_longitude_degrees =
                optional(header, &parameter(3), self.pole_longitude_degrees)?;
        }
        Ok(())
    }
}

/// What LONPOLE is without its card for a projection whose reference is the native pole (Calabretta & Greisen 2002, §2.4).
fn default_pole_longitude(declination_degrees: f64) -> f64 {
    if declination_degrees < 90.0 { 180.0 } else { 0.0 }
}

/// The plane whose native pole longitude is the usual one: the turn becomes part of the matrix.
fn turned(plane: &TangentPlane, pole_longitude_degrees: f64) -> TangentPlane {
    if pole_longitude_degrees == 180.0 {
        return *plane;
    }
    let (sine, cosine) = pole_turn(pole_longitude_degrees);
    let [[a, b], [c, d]] = plane.cd;
    let cd = [
        [cosine * a - sine * c, cosine * b - sine * d],
        [sine * a + cosine * c, sine * b + cosine * d],
    ];
    TangentPlane { cd, ..*plane }
}

/// The first axis, and the projection of both.
fn axes(header: &Header) -> Result<(Axis, Projection), WcsCardsError> {
    let texts = ["CTYPE1", "CTYPE2"].map(|keyword| header.text(keyword).unwrap_or_default());
    let kinds = [axis_of(&texts[0]), axis_of(&texts[1])];
    let [first, second] = texts;
    match kinds {
        [Some((axis, projection)), Some((other, other_projection))] if axis != other => {
            match (projection, other_projection) {
                (first, second) if first == second => Ok((axis, first)),
                // SIP of which one axis says nothing.
                (Projection::Tan | Projection::TanSip, Projection::Tan | Projection::TanSip) => {
                    Ok((axis, Projection::TanSip))
                }
                _ => Err(WcsCardsError::Axes(first, second)),
            }
        }
        _ => Err(WcsCardsError::Axes(first, second)),
    }
}

fn axis_of(text: &str) -> Option<(Axis, Projection)> {
    match text.to_ascii_uppercase().as_str() {
        "RA---TAN" => Some((Axis::RightAscension, Projection::Tan)),
        "DEC--TAN" => Some((Axis::Declination, Projection::Tan)),
        "RA---TAN-SIP" => Some((Axis::RightAscension, Projection::TanSip)),
        "DEC--TAN-SIP" => Some((Axis::Declination, Projection::TanSip)),
        "RA---TPV" => Some((Axis::RightAscension, Projection::Tpv)),
        "DEC--TPV" => Some((Axis::Declination, Projection::Tpv)),
        _ => None,
    }
}

fn check_system(header: &Header) -> Result<(), WcsCardsError> {
    for keyword in ["RADESYS", "RADECSYS"] {
        let system = header.text(keyword).unwrap_or_default();
        if !matches!(system.to_ascii_lowercase().as_str(), "" | "icrs" | "fk5") {
            return Err(WcsCardsError::System(system));
        }
    }
    match header.number("EQUINOX") {
        Some(equinox) if equinox != 2000.0 => {
            Err(WcsCardsError::System(format!("of the equinox {equinox}")))
        }
        _ => Ok(()),
    }
}

/// Degrees in the unit of an axis.
fn unit(header: &Header, keyword: &str) -> Result<f64, WcsCardsError> {
    let text = header.text(keyword).unwrap_or_default();
    match text.to_ascii_lowercase().as_str() {
        "" | "deg" | "degree" | "degrees" => Ok(1.0),
        "arcmin" => Ok(1.0 / 60.0),
        "arcsec" => Ok(1.0 / 3600.0),
        "rad" => Ok(1f64.to_degrees()),
        _ => Err(WcsCardsError::Unit(text)),
    }
}

/// A finite number with a default for an absent card.
pub(super) fn optional(header: &Header, keyword: &str, default: f64) -> Result<f64, WcsCardsError> {
    match header.get(keyword) {
        None => Ok(default),
        Some(_) => required(header, keyword),
    }
}

fn required(header: &Header, keyword: &str) -> Result<f64, WcsCardsError> {
    if header.get(keyword).is_none() {
        return Err(WcsCardsError::Missing(keyword.to_owned()));
    }
    header
        .number(keyword)
        .filter(|number| number.is_finite())
        .ok_or_else(|| WcsCardsError::NotANumber(keyword.to_owned()))
}

/// By axes of the header, in its units. Where a header has PC and CD both, against the standard, PC counts, as in wcslib.
fn matrix(header: &Header, is_swapped: bool) -> Result<[[f64; 2]; 2], WcsCardsError> {
    let has = |stem: &str| {
        ["1_1", "1_2", "2_1", "2_2"]
            .iter()
            .any(|place| header.get(&format!("{stem}{place}")).is_some())
    };
    let read = |stem: &str, diagonal: f64| {
        let element = |place: &str, default| optional(header, &format!("{stem}{place}"), default);
        Ok([
            [element("1_1", diagonal)?, element("1_2", 0.0)?],
            [element("2_1", 0.0)?, element("2_2", diagonal)?],
        ])
    };
    if has("PC") {
        let steps = [optional(header, "CDELT1", 1.0)?, optional(header, "CDELT2", 1.0)?];
        let [first, second] = read("PC", 1.0)?;
        return Ok([
            first.map(|element| element * steps[0]),
            second.map(|element| element * steps[1]),
        ]);
    }
    if has("CD") {
        return read("CD", 0.0);
    }
    let steps = [required(header, "CDELT1")?, required(header, "CDELT2")?];
    // The rotation stands with the declination axis, whichever it is (Greisen & Calabretta 2002, §6.1).
    let rotation = optional(header, if is_swapped { "CROTA1" } else { "CROTA2" }, 0.0)?;
    let sense = if is_swapped { -1.0 } else { 1.0 };
    let (sine, cosine) = (sense * rotation).to_radians().sin_cos();
    Ok([[steps[0] * cosine, -steps[1] * sine], [steps[0] * sine, steps[1] * cosine]])
}

/// Cards that would say something else about the same axes.
fn belongs_to_another_solution(keyword: &str) -> bool {
    const EXACT: [&str; 10] = [
        "CDELT1", "CDELT2", "CROTA1", "CROTA2", "LONPOLE", "LATPOLE", "EQUINOX", "EPOCH",
        "RADECSYS", "WCSAXES",
    ];
    // Polynomials of SIP (A_2_0, BP_ORDER, A_DMAX) and of TPV (PV1_3), the matrix of PCi_j, lookup tables.
    const STEMS: [&str; 12] = [
        "A_", "B_", "AP_", "BP_", "PV1_", "PV2_", "PC1_", "PC2_", "CPDIS", "CPERR", "D2IMDIS",
        "D2IMERR",
    ];
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
            ("CUNIT1", "h".into()),
            ("RADESYS", "FK4".into()),
            ("EQUINOX", 1950.0.into()),
            ("LONPOLE", "north".into()),
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
