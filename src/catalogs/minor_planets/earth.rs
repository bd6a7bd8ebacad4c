//! Where the observer is: the Earth from the Sun, the telescope from the middle of the Earth, and the time that goes with them.

use super::{
    earth_series::{Term, X, Y, Z},
    vector::{Vector, plus, turned},
};
use crate::model::{Observatory, UtcTime};

const DAYS_PER_MILLENNIUM: f64 = 365_250.0;
pub(super) const J2000_MJD: f64 = 51_544.5;
const DAY_SECONDS: f64 = 86_400.0;
/// Terrestrial time is ahead of atomic time by this, seconds.
const TT_MINUS_TAI: f64 = 32.184;
/// Days (MJD) from which atomic time is ahead of UTC by so many seconds (IERS Bulletin C); before 1972 the first is good to a few seconds.
const LEAP_SECONDS: [(f64, f64); 28] = [
    (41_317.0, 10.0),
    (41_499.0, 11.0),
    (41_683.0, 12.0),
    (42_048.0, 13.0),
    (42_413.0, 14.0),
    (42_778.0, 15.0),
    (43_144.0, 16.0),
    (43_509.0, 17.0),
    (43_874.0, 18.0),
    (44_239.0, 19.0),
    (44_786.0, 20.0),
    (45_151.0, 21.0),
    (45_516.0, 22.0),
    (46_247.0, 23.0),
    (47_161.0, 24.0),
    (47_892.0, 25.0),
    (48_257.0, 26.0),
    (48_804.0, 27.0),
    (49_169.0, 28.0),
    (49_534.0, 29.0),
    (50_083.0, 30.0),
    (50_630.0, 31.0),
    (51_179.0, 32.0),
    (53_736.0, 33.0),
    (54_832.0, 34.0),
    (56_109.0, 35.0),
    (57_204.0, 36.0),
    (57_754.0, 37.0),
];
/// From the ecliptic of VSOP87 to the equator of FK5 J2000.0 (Bretagnon & Francou 1988, file vsop87.doc).
const VSOP_TO_EQUATOR: [Vector; 3] = [
    [1.0, 0.000_000_440_360, -0.000_000_190_919],
    [-0.000_000_479_966, 0.917_482_137_087, -0.397_776_982_902],
    [0.0, 0.397_776_982_902, 0.917_482_137_087],
];
/// World Geodetic System 1984.
const EQUATOR_METRES: f64 = 6_378_137.0;
const FLATTENING: f64 = 1.0 / 298.257_223_563;
const AU_METRES: f64 = 149_597_870_700.0;

/// MJD of terrestrial time.
pub(super) fn terrestrial_mjd(time: UtcTime) -> f64 {
    let utc = time.mjd();
    let leap = LEAP_SECONDS.iter().rev().find(|(from, _)| *from <= utc).unwrap_or(&LEAP_SECONDS[0]);
    utc + (leap.1 + TT_MINUS_TAI) / DAY_SECONDS
}

/// The middle of the Earth from that of the Sun on the axes of ICRS, au: VSOP87A, good to 1e-6 au from 1950 to 2050.
pub(super) fn earth_from_sun(mjd: f64) -> Vector {
    let time = (mjd - J2000_MJD) / DAYS_PER_MILLENNIUM;
    let sum = |series: &[&[Term]]| {
        series.iter().rev().fold(0.0, |higher, terms| {
            let of_power: f64 = terms
                .iter()
                .map(|[amplitude, phase, frequency]| amplitude * (phase + frequency * time).cos())
                .sum();
            higher * time + of_power
        })
    };
    turned(VSOP_TO_EQUATOR, [sum(&X), sum(&Y), sum(&Z)])
}

/// The telescope from the Sun on the axes of ICRS, au; without an observatory the middle of the Earth.
pub(super) fn observer_from_sun(time: UtcTime, observatory: Option<Observatory>) -> Vector {
    let earth = earth_from_sun(terrestrial_mjd(time));
    observatory.map_or(earth, |observatory| plus(earth, from_middle(time, observatory)))
}

/// The telescope from the middle of the Earth on the axes of ICRS, au. Polar motion, nutation and UT1 − UTC are left out: below a second of
/// the Earth's turning, a kilometre at most.
fn from_middle(time: UtcTime, observatory: Observatory) -> Vector {
    let (sin_latitude, cos_latitude) = observatory.latitude_degrees.to_radians().sin_cos();
    let eccentricity = FLATTENING * (2.0 - FLATTENING);
    let curvature = EQUATOR_METRES / (1.0 - eccentricity * sin_latitude * sin_latitude).sqrt();
    let across = (curvature + observatory.altitude_metres) * cos_latitude;
    let along = (curvature * (1.0 - eccentricity) + observatory.altitude_metres) * sin_latitude;
    let days = time.mjd() - J2000_MJD;
    let centuries = days / 36_525.0;
    // Mean sidereal time of Greenwich (Capitaine et al. 2003, A&A 406, 1135, eq. 42, to the first order in time).
    let sidereal = (360.0 * (0.779_057_273_264 + 1.002_737_811_911_354_6 * days)
        + (0.014_506 + 4_612.156_534 * centuries) / 3600.0)
        + observatory.longitude_degrees;
    let (sin, cos) = sidereal.rem_euclid(360.0).to_radians().sin_cos();
    let of_date = [across * cos, across * sin, along].map(|metres| metres / AU_METRES);
    // Precession from J2000.0 (Capitaine et al. 2003, eq. 40), turned back: R_z(ζ) R_y(−θ) R_z(z), all linear in time.
    let radians = |arcsec: f64| (arcsec * centuries / 3600.0).to_radians();
    let (zeta, tilt, zed) = (radians(2306.083), radians(2004.192), radians(2306.077));
    let about_pole = |vector: Vector, angle: f64| {
        let (sin, cos) = angle.sin_cos();
        let [x, y, z] = vector;
        [cos * x + sin * y, cos * y - sin * x, z]
    };
    let [x, y, z] = about_pole(of_date, zed);
    let (sin, cos) = tilt.sin_cos();
    about_pole([cos * x + sin * z, y, cos * z - sin * x], zeta)
}
