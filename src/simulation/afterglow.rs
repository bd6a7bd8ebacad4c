//! The fading source: a power law F ∝ t^(−α), that is m = m₆₀ + 2.5 α log₁₀(t / 60 s).

use crate::model::{SkyPosition, UtcTime};
use serde::{Deserialize, Serialize};

/// Before this many seconds after T0 the light stays at its value there: a power law has no finite light at T0.
const ONSET_SECONDS: f64 = 10.0;
const REFERENCE_SECONDS: f64 = 60.0;

/// A fading point source on the sky.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Afterglow {
    pub position: SkyPosition,
    /// Magnitude 60 s after T0.
    pub magnitude_at_60_seconds: f64,
    /// α of F ∝ t^(−α).
    pub decay_index: f64,
}

impl Afterglow {
    /// Magnitude at an instant; `None` before T0.
    pub fn magnitude(&self, t0: UtcTime, instant: UtcTime) -> Option<f64> {
        let seconds = instant.seconds_since(t0);
        (seconds >= 0.0).then(|| {
            self.magnitude_at_60_seconds
                + 2.5 * self.decay_index * (seconds.max(ONSET_SECONDS) / REFERENCE_SECONDS).log10()
        })
    }

    /// Mean flux over an exposure relative to the flux 60 s after T0: the integral of the power law over the exposure,
    /// not its value in the middle.
    pub fn mean_relative_flux(&self, t0: UtcTime, start: UtcTime, exposure_seconds: f64) -> f64 {
        let begin = start.seconds_since(t0);
        let end = begin + exposure_seconds;
        if exposure_seconds <= 0.0 || end <= 0.0 {
            return 0.0;
        }
        (self.integral_to(end) - self.integral_to(begin)) / exposure_seconds
    }

    /// Light received from T0 to `seconds` after it, in units of the flux at 60 s times one second.
    fn integral_to(&self, seconds: f64) -> f64 {
        if seconds <= 0.0 {
            return 0.0;
        }
        let at_onset = (ONSET_SECONDS / REFERENCE_SECONDS).powf(-self.decay_index);
        let constant_part = at_onset * seconds.min(ONSET_SECONDS);
        if seconds <= ONSET_SECONDS {
            return constant_part;
        }
        let from = ONSET_SECONDS / REFERENCE_SECONDS;
        let to = seconds / REFERENCE_SECONDS;
        let power = 1.0 - self.decay_index;
        let fading_part = if power.abs() < 1e-9 {
            (to / from).ln()
        } else {
            (to.powf(power) - from.powf(power)) / power
        };
        constant_part + REFERENCE_SECONDS * fading_part
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn afterglow(decay_index: f64) -> Afterglow {
        Afterglow {
            position: SkyPosition::new(30.0, 24.0),
            magnitude_at_60_seconds: 16.0,
            decay_index,
        }
    }

    #[test]
    fn the_law_of_the_default_story() {
        let t0 = UtcTime::parse("2019-10-16T04:18:00").unwrap();
        let first = t0.plus_seconds(151.0);
        // The first frame of the simulated archive: 17.0021 in its truth table.
        let magnitude = afterglow(1.0).magnitude(t0, first).unwrap();
        assert!((magnitude - 17.0021).abs() < 5e-5, "{magnitude}");
        assert_eq!(afterglow(1.0).magnitude(t0, t0.plus_seconds(-1.0)), None);
    }

    #[test]
    fn mean_flux_is_the_integral_of_the_law() {
        let t0 = UtcTime::from_unix_microseconds(0);
        for index in [0.7, 1.0, 1.3] {
            let source = afterglow(index);
            for (start, exposure) in [(125.0, 55.0), (2.0, 30.0), (-20.0, 60.0), (3000.0, 55.0)] {
                let steps = 200_000;
                let sum: f64 = (0..steps)
                    .map(|step| start + exposure * (f64::from(step) + 0.5) / f64::from(steps))
                    .filter_map(|seconds| source.magnitude(t0, t0.plus_seconds(seconds)))
                    .map(|magnitude| 10f64.powf(-0.4 * (magnitude - 16.0)))
                    .sum();
                let expected = sum / f64::from(steps);
                let found = source.mean_relative_flux(t0, t0.plus_seconds(start), exposure);
                assert!(
                    (found / expected - 1.0).abs() < 1e-4,
                    "{index} {start}: {found} {expected}"
                );
            }
        }
        assert_eq!(afterglow(1.0).mean_relative_flux(t0, t0.plus_seconds(-90.0), 60.0), 0.0);
    }

    #[test]
    fn the_mean_over_an_early_exposure_is_brighter_than_its_middle() {
        let t0 = UtcTime::from_unix_microseconds(0);
        let start = t0.plus_seconds(125.0);
        let mean = afterglow(1.0).mean_relative_flux(t0, start, 55.0);
        let middle = REFERENCE_SECONDS / 152.5;
        assert!(mean > middle && mean < 1.02 * middle);
    }
}
