//! A line of MPCORB.DAT (*Export Format for Minor-Planet Orbits*, Minor Planet Center): fixed columns, also of the files derived
//! from it (NEA.txt, Distant.txt, DAILY.DAT).

use super::{
    designation::{packed_date_mjd, plain_date_mjd, unpacked},
    orbit::{Elements, GAUSS_CONSTANT},
};

/// H and G where the file gives no G (Bowell et al. 1989).
const USUAL_SLOPE: f32 = 0.15;
/// n and a are rounded; what differs by more than this share is no orbit about the Sun.
const AGREEMENT: f64 = 1e-3;
const LARGEST_AXIS_AU: f64 = 1e5;

/// An orbit as the store keeps it.
#[derive(Debug, Clone, PartialEq)]
pub struct Orbit {
    /// `(433) Eros`, `2007 TA418`.
    pub name: String,
    pub elements: Elements,
    /// H of the H, G system, V.
    pub absolute_magnitude: Option<f32>,
    /// G.
    pub slope: f32,
    /// Uncertainty U, 0 to 9; `None` where the file gives none, or a letter because something was assumed.
    pub uncertainty: Option<u8>,
    /// MJD of the last observation.
    pub last_observed_mjd: Option<f32>,
}

/// The text of columns, counted from one as in the description of the format.
fn columns(line: &str, first: usize, last: usize) -> &str {
    line.get(first - 1..last.min(line.len())).unwrap_or_default().trim()
}

fn number(line: &str, first: usize, last: usize) -> Option<f64> {
    columns(line, first, last).parse::<f64>().ok().filter(|value| value.is_finite())
}

/// Reads a line. The error says what is wrong with it.
pub(super) fn orbit_of(line: &str) -> Result<Orbit, &'static str> {
    if !line.is_ascii() {
        return Err("the line is not ASCII");
    }
    let packed = columns(line, 1, 7);
    let readable = columns(line, 167, 194);
    let name = match readable {
        "" => unpacked(packed).ok_or("no designation")?,
        _ => readable.to_owned(),
    };
    let angle = |first, last, what| number(line, first, last).ok_or(what);
    let eccentricity = number(line, 71, 79).ok_or("no eccentricity")?;
    if !(0.0..1.0).contains(&eccentricity) {
        return Err("the orbit is no ellipse");
    }
    let positive = |first, last| number(line, first, last).filter(|value| *value > 0.0);
    let motion_of = |axis: f64| (GAUSS_CONSTANT / axis.powf(1.5)).to_degrees();
    let (mean_motion, axis) = match (positive(81, 91), positive(93, 103)) {
        (Some(motion), Some(axis)) if (motion / motion_of(axis) - 1.0).abs() > AGREEMENT => {
            return Err("mean motion and semi-major axis contradict each other");
        }
        (Some(motion), Some(axis)) => (motion, axis),
        (None, Some(axis)) => (motion_of(axis), axis),
        (Some(motion), None) => (motion, (GAUSS_CONSTANT / motion.to_radians()).powf(2.0 / 3.0)),
        (None, None) => return Err("neither mean motion nor semi-major axis"),
    };
    if axis > LARGEST_AXIS_AU {
        return Err("the semi-major axis is out of range");
    }
    let inclination = angle(60, 68, "no inclination")?;
    if !(0.0..=180.0).contains(&inclination) {
        return Err("the inclination is out of range");
    }
    Ok(Orbit {
        name,
        elements: Elements {
            epoch_mjd: packed_date_mjd(columns(line, 21, 25)).ok_or("no epoch")?,
            mean_anomaly_degrees: angle(27, 35, "no mean anomaly")?,
            argument_of_perihelion_degrees: angle(38, 46, "no argument of perihelion")?,
            ascending_node_degrees: angle(49, 57, "no ascending node")?,
            inclination_degrees: inclination,
            eccentricity,
            mean_motion_degrees_per_day: mean_motion,
            semi_major_axis_au: axis,
        },
        absolute_magnitude: number(line, 9, 13).map(|value| value as f32),
        slope: number(line, 15, 19).map_or(USUAL_SLOPE, |value| value as f32),
        uncertainty: match columns(line, 106, 106).as_bytes() {
            [digit @ b'0'..=b'9'] => Some(digit - b'0'),
            _ => None,
        },
        last_observed_mjd: plain_date_mjd(columns(line, 195, 202)).map(|mjd| mjd as f32),
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A line in the format, without what is not read.
    pub fn line_of(packed: &str, orbit: &Orbit) -> String {
        let Elements {
            epoch_mjd: _,
            mean_anomaly_degrees,
            argument_of_perihelion_degrees,
            ascending_node_degrees,
            inclination_degrees,
            eccentricity,
            mean_motion_degrees_per_day,
            semi_major_axis_au,
        } = orbit.elements;
        let magnitude =
            orbit.absolute_magnitude.map_or(String::new(), |value| format!("{value:.2}"));
        let uncertainty =
            orbit.uncertainty.map_or_else(|| "E".to_owned(), |value| value.to_string());
        let mut line = format!(
            "{packed:<7} {magnitude:>5} {:>5.2} K25BL {mean_anomaly_degrees:>9.5}  \
             {argument_of_perihelion_degrees:>9.5}  {ascending_node_degrees:>9.5}  \
             {inclination_degrees:>9.5}  {eccentricity:>9.7} {mean_motion_degrees_per_day:>11.8} \
             {semi_major_axis_au:>11.7}  {uncertainty} MPO000000",
            orbit.slope
        );
        line = format!("{line:<166}{:<28}", orbit.name);
        if orbit.last_observed_mjd.is_some() {
            line.push_str("20251101");
        }
        line
    }

    fn orbit() -> Orbit {
        Orbit {
            name: "(433) Eros".into(),
            elements: Elements {
                epoch_mjd: 61_000.0,
                mean_anomaly_degrees: 310.55433,
                argument_of_perihelion_degrees: 178.92978,
                ascending_node_degrees: 304.2701,
                inclination_degrees: 10.82847,
                eccentricity: 0.2228359,
                mean_motion_degrees_per_day: 0.5597799,
                semi_major_axis_au: 1.4581209,
            },
            absolute_magnitude: Some(10.39),
            slope: 0.15,
            uncertainty: Some(0),
            last_observed_mjd: Some(60_980.0),
        }
    }

    #[test]
    fn a_line_is_read_by_its_columns() {
        let line = line_of("00433", &orbit());
        assert_eq!(orbit_of(&line), Ok(orbit()));
        let bare = Orbit {
            name: "2007 TA418".into(),
            absolute_magnitude: None,
            uncertainty: None,
            last_observed_mjd: None,
            ..orbit()
        };
        assert_eq!(orbit_of(&line_of("K07Tf8A", &bare)), Ok(bare.clone()));
        // Without the readable name the packed one is unfolded.
        assert_eq!(orbit_of(&line_of("K07Tf8A", &bare)[..120]), Ok(bare));
    }

    #[test]
    fn what_is_no_orbit_is_refused_with_the_reason() {
        let mut wrong = orbit();
        wrong.elements.semi_major_axis_au = 2.0;
        let reason = orbit_of(&line_of("00433", &wrong)).unwrap_err();
        assert!(reason.contains("contradict"));
        wrong = orbit();
        wrong.elements.eccentricity = 1.2;
        assert_eq!(orbit_of(&line_of("00433", &wrong)).unwrap_err(), "the orbit is no ellipse");
        assert!(orbit_of("").is_err());
        assert!(orbit_of("MINOR PLANET CENTER ORBIT DATABASE (MPCORB)").is_err());
    }

    proptest! {
        #[test]
        fn any_line_is_an_orbit_or_an_error(line in "\\PC{0,260}") {
            let _ = orbit_of(&line);
        }

        #[test]
        fn a_line_with_a_wrong_byte_too(place in 0..200_usize, byte in 32..127_u8) {
            let mut line = line_of("00433", &orbit()).into_bytes();
            if let Some(slot) = line.get_mut(place) {
                *slot = byte;
            }
            if let Ok(orbit) = orbit_of(std::str::from_utf8(&line).unwrap()) {
                prop_assert!((0.0..1.0).contains(&orbit.elements.eccentricity));
            }
        }
    }
}
