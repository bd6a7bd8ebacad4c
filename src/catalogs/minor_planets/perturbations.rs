//! The pull of the planets on a minor planet between the epoch of its elements and a date.

use super::{
    earth::J2000_MJD,
    orbit::{Ellipse, SUN, State, eccentric_anomaly, equatorial},
    vector::{Vector, dot, minus, norm, plus, times},
};

const DAYS_PER_CENTURY: f64 = 36_525.0;
/// Length of a step as a share of the shortest time in which the motion changes, √(d³/μ).
const STEP_SHARE: f64 = 0.05;
/// Longest step, days: further out the body moves slowly, but the inner planets do not.
const LONGEST_STEP_DAYS: f64 = 15.0;
/// More steps than this are not taken: only a body that stays close to a planet would need them.
const MOST_STEPS: usize = 20_000;
/// The planets' mean elements and this integration are meant for years, not decades, days.
pub(super) const LONGEST_SPAN_DAYS: f64 = 3652.5;

/// Mean elements of a planet (Standish & Williams in Urban & Seidelmann 2013, Explanatory Supplement, table 8.10.2, for 1800 to 2050): at
/// J2000.0, and their change in a Julian century. Good to some tens of arcseconds inside Mars, to ten arcminutes for Saturn.
struct Planet {
    /// Mass of the Sun in units of that of the planet with its moons (IAU 2009).
    inverse_mass: f64,
    axis_au: [f64; 2],
    eccentricity: [f64; 2],
    inclination: [f64; 2],
    mean_longitude: [f64; 2],
    perihelion_longitude: [f64; 2],
    node: [f64; 2],
}

/// All but Mercury, whose mass moves nothing by an arcsecond in ten years.
const PLANETS: [Planet; 7] = [
    Planet {
        inverse_mass: 408_523.72,
        axis_au: [0.723_335_66, 0.000_003_90],
        eccentricity: [0.006_776_72, -0.000_041_07],
        inclination: [3.394_676_05, -0.000_788_90],
        mean_longitude: [181.979_099_50, 58_517.815_387_29],
        perihelion_longitude: [131.602_467_18, 0.002_683_29],
        node: [76.679_842_55, -0.277_694_18],
    },
    // The Earth with the Moon.
    Planet {
        inverse_mass: 328_900.56,
        axis_au: [1.000_002_61, 0.000_005_62],
        eccentricity: [0.016_711_23, -0.000_043_92],
        inclination: [-0.000_015_31, -0.012_946_68],
        mean_longitude: [100.464_571_66, 35_999.372_449_81],
        perihelion_longitude: [102.937_681_93, 0.323_273_64],
        node: [0.0, 0.0],
    },
    Planet {
        inverse_mass: 3_098_703.6,
        axis_au: [1.523_710_34, 0.000_018_47],
        eccentricity: [0.093_394_10, 0.000_078_82],
        inclination: [1.849_691_42, -0.008_131_31],
        mean_longitude: [-4.553_432_05, 19_140.302_684_99],
        perihelion_longitude: [-23.943_629_59, 0.444_410_88],
        node: [49.559_538_91, -0.292_573_43],
    },
    Planet {
        inverse_mass: 1_047.348_6,
        axis_au: [5.202_887_00, -0.000_116_07],
        eccentricity: [0.048_386_24, -0.000_132_53],
        inclination: [1.304_396_95, -0.001_837_14],
        mean_longitude: [34.396_440_51, 3_034.746_127_75],
        perihelion_longitude: [14.728_479_83, 0.212_526_68],
        node: [100.473_909_09, 0.204_691_06],
    },
    Planet {
        inverse_mass: 3_497.901_8,
        axis_au: [9.536_675_94, -0.001_250_60],
        eccentricity: [0.053_861_79, -0.000_509_91],
        inclination: [2.485_991_87, 0.001_936_09],
        mean_longitude: [49.954_244_23, 1_222.493_622_01],
        perihelion_longitude: [92.598_878_31, -0.418_972_16],
        node: [113.662_424_48, -0.288_677_94],
    },
    Planet {
        inverse_mass: 22_902.98,
        axis_au: [19.189_164_64, -0.001_961_76],
        eccentricity: [0.047_257_44, -0.000_043_97],
        inclination: [0.772_637_83, -0.002_429_39],
        mean_longitude: [313.238_104_51, 428.482_027_85],
        perihelion_longitude: [170.954_276_30, 0.408_052_81],
        node: [74.016_925_03, 0.042_405_89],
    },
    Planet {
        inverse_mass: 19_412.26,
        axis_au: [30.069_922_76, 0.000_262_91],
        eccentricity: [0.008_590_48, 0.000_051_05],
        inclination: [1.770_043_47, 0.000_353_72],
        mean_longitude: [-55.120_029_69, 218.459_453_25],
        perihelion_longitude: [44.964_762_27, -0.322_414_64],
        node: [131.784_225_74, -0.005_086_64],
    },
];

impl Planet {
    /// From the Sun on the axes of ICRS, au.
    fn place(&self, mjd: f64) -> Vector {
        let centuries = (mjd - J2000_MJD) / DAYS_PER_CENTURY;
        let at = |[start, rate]: [f64; 2]| start + rate * centuries;
        let (axis, eccentricity) = (at(self.axis_au), at(self.eccentricity));
        let (longitude, perihelion) = (at(self.mean_longitude), at(self.perihelion_longitude));
        let anomaly = eccentric_anomaly((longitude - perihelion).to_radians(), eccentricity);
        let (sin, cos) = anomaly.sin_cos();
        let along = axis * (cos - eccentricity);
        let across = axis * (1.0 - eccentricity * eccentricity).sqrt() * sin;
        let (sin_node, cos_node) = at(self.node).to_radians().sin_cos();
        let (sin_peri, cos_peri) = (perihelion - at(self.node)).to_radians().sin_cos();
        let (sin_tilt, cos_tilt) = at(self.inclination).to_radians().sin_cos();
        let (in_plane, up) =
            (cos_peri * along - sin_peri * across, sin_peri * along + cos_peri * across);
        equatorial([
            cos_node * in_plane - sin_node * up * cos_tilt,
            sin_node * in_plane + cos_node * up * cos_tilt,
            up * sin_tilt,
        ])
    }

    fn mass(&self) -> f64 {
        SUN / self.inverse_mass
    }
}

/// A body after the planets have pulled on it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Propagated {
    pub state: State,
    /// How far the planets have moved it from where the Sun alone would have led it, au; where they were not followed, how far
    /// they may have.
    pub shift_au: f64,
    /// Whether they were followed.
    pub is_perturbed: bool,
}

/// Follows a body from the epoch of its elements to a date, MJD (TT), with Runge and Kutta's steps of the fourth order. Further than
/// [`LONGEST_SPAN_DAYS`] the planets are left out.
pub(super) fn propagated(ellipse: &Ellipse, mjd: f64) -> Propagated {
    let alone = ellipse.state(mjd);
    let span = mjd - ellipse.epoch_mjd;
    let followed =
        (span.abs() <= LONGEST_SPAN_DAYS).then(|| followed(ellipse, mjd)).flatten().map(|state| {
            let shift_au = norm(minus(state.place, alone.place));
            Propagated { state, shift_au, is_perturbed: true }
        });
    followed.unwrap_or_else(|| {
        let (pull, _) = pull_of_planets(alone.place, mjd);
        let shift_au = 0.5 * norm(pull) * span * span;
        Propagated { state: alone, shift_au, is_perturbed: false }
    })
}

fn followed(ellipse: &Ellipse, mjd: f64) -> Option<State> {
    let mut now = ellipse.epoch_mjd;
    let mut state = ellipse.state(now);
    for _ in 0..MOST_STEPS {
        let left = mjd - now;
        if left == 0.0 {
            return Some(state);
        }
        let (acceleration, shortest) = pull(state.place, now);
        let longest = (STEP_SHARE * shortest).min(LONGEST_STEP_DAYS);
        let step = left.clamp(-longest, longest);
        let half = 0.5 * step;
        let later = |slope: State, span: f64| State {
            place: plus(state.place, times(slope.place, span)),
            velocity: plus(state.velocity, times(slope.velocity, span)),
        };
        let slope_at = |state: State, mjd: f64| State {
            place: state.velocity,
            velocity: pull(state.place, mjd).0,
        };
        let first = State { place: state.velocity, velocity: acceleration };
        let second = slope_at(later(first, half), now + half);
        let third = slope_at(later(second, half), now + half);
        let fourth = slope_at(later(third, step), now + step);
        let mean = |first: Vector, second: Vector, third: Vector, fourth: Vector| {
            times(plus(plus(first, fourth), times(plus(second, third), 2.0)), 1.0 / 6.0)
        };
        let slope = State {
            place: mean(first.place, second.place, third.place, fourth.place),
            velocity: mean(first.velocity, second.velocity, third.velocity, fourth.velocity),
        };
        state = later(slope, step);
        now = if step == left { mjd } else { now + step };
    }
    None
}

/// Acceleration by the Sun and the planets, au per day², and the shortest time in which it changes, days.
fn pull(place: Vector, mjd: f64) -> (Vector, f64) {
    let square = dot(place, place);
    let cube = square * square.sqrt();
    let (planets, shortest) = pull_of_planets(place, mjd);
    (plus(times(place, -SUN / cube), planets), shortest.min((cube / SUN).sqrt()))
}

/// Acceleration by the planets relative to the Sun, which they pull as well.
fn pull_of_planets(place: Vector, mjd: f64) -> (Vector, f64) {
    let mut sum = [0.0; 3];
    let mut shortest = f64::INFINITY;
    for planet in &PLANETS {
        let of_planet = planet.place(mjd);
        let (towards, mass) = (minus(of_planet, place), planet.mass());
        let (near, far) = (norm(towards).powi(3), norm(of_planet).powi(3));
        sum = plus(sum, times(towards, mass / near));
        sum = minus(sum, times(of_planet, mass / far));
        shortest = shortest.min((near / mass).sqrt());
    }
    (sum, shortest)
}
