//! When things happen in a synthetic night.

use super::SimulationError;
use crate::model::{Role, SkyPosition, UtcTime};

/// When things happen, in seconds after T0. The default is the story of interfaces.md §6.
#[derive(Debug, Clone, PartialEq)]
pub struct StoryParameters {
    pub t0: UtcTime,
    pub role: Role,
    /// The `nn` of `sbYYMMDDnn`.
    pub burst_number: u32,
    pub grm_seconds: f64,
    pub wakeup_seconds: f64,
    pub slewing_seconds: f64,
    pub mxt_seconds: f64,
    pub wakeup_radius_degrees: f64,
    pub slewing_radius_degrees: f64,
    pub mxt_radius_degrees: f64,
    pub first_exposure_seconds: f64,
    /// From the start of an exposure to the start of the next.
    pub cadence_seconds: f64,
    /// With the readout it must fit into the cadence.
    pub exposure_seconds: f64,
    pub exposure_count: usize,
    /// Frames of another programme before the burst.
    pub programme_exposure_count: usize,
    pub programme_exposure_seconds: f64,
    pub programme_centre: SkyPosition,
    pub programme_object: String,
    /// Instrument of a second camera that goes on with the programme during the burst.
    pub second_camera: Option<String>,
    /// Of bias, dark and flat frames each.
    pub calibration_count: usize,
    pub dark_seconds: f64,
    pub flat_seconds: f64,
    /// Twilight on the first flat, data numbers above the bias; each next has nine tenths of it.
    pub first_flat_level: f64,
    /// The clock starts this long before T0.
    pub lead_seconds: f64,
    /// Calibration frames, taken hours before, arrive this far apart from the clock's start on.
    pub calibration_step_seconds: f64,
    /// A file of sensor readings this often.
    pub sensor_step_seconds: f64,
}

impl Default for StoryParameters {
    fn default() -> Self {
        Self {
            // 2026-11-01T04:18:00
            t0: UtcTime::from_unix_microseconds(1_793_506_680_000_000),
            role: Role::Test,
            burst_number: 1,
            grm_seconds: 30.0,
            wakeup_seconds: 95.0,
            slewing_seconds: 260.0,
            mxt_seconds: 600.0,
            wakeup_radius_degrees: 0.065,
            slewing_radius_degrees: 0.055,
            mxt_radius_degrees: 0.0125,
            first_exposure_seconds: 125.0,
            cadence_seconds: 60.0,
            exposure_seconds: 55.0,
            exposure_count: 60,
            programme_exposure_count: 3,
            programme_exposure_seconds: 50.0,
            programme_centre: SkyPosition { ra_degrees: 313.197, dec_degrees: 6.668 },
            programme_object: "P576F".to_owned(),
            second_camera: None,
            calibration_count: 8,
            dark_seconds: 60.0,
            flat_seconds: 5.0,
            first_flat_level: 2800.0,
            lead_seconds: 600.0,
            calibration_step_seconds: 12.0,
            sensor_step_seconds: 60.0,
        }
    }
}

impl StoryParameters {
    /// `sbYYMMDDnn` of T0.
    pub fn burst_id(&self) -> String {
        burst_id_of(self.t0, self.burst_number)
    }

    pub(super) fn check(&self) -> Result<(), SimulationError> {
        let refuse = |parameter, what: &str| {
            Err(SimulationError::Parameter { parameter, what: what.to_owned() })
        };
        let positive = [
            ("wakeup_radius_degrees", self.wakeup_radius_degrees),
            ("slewing_radius_degrees", self.slewing_radius_degrees),
            ("mxt_radius_degrees", self.mxt_radius_degrees),
            ("cadence_seconds", self.cadence_seconds),
            ("exposure_seconds", self.exposure_seconds),
            ("calibration_step_seconds", self.calibration_step_seconds),
            ("sensor_step_seconds", self.sensor_step_seconds),
        ];
        for (parameter, value) in positive {
            if !(value > 0.0 && value.is_finite()) {
                return refuse(parameter, "must be above 0");
            }
        }
        if self.exposure_seconds > self.cadence_seconds {
            return refuse("exposure_seconds", "must not be longer than the cadence");
        }
        if self.burst_number > 99 {
            return refuse("burst_number", "has two digits");
        }
        Ok(())
    }
}

/// `sbYYMMDDnn`, the burst's number on the day of T0.
pub fn burst_id_of(t0: UtcTime, number: u32) -> String {
    let date = t0.compact_date();
    format!("sb{}{number:02}", date.get(2..).unwrap_or(&date))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_story_is_consistent() {
        let story = StoryParameters::default();
        story.check().unwrap();
        assert_eq!(story.t0, UtcTime::parse("2026-11-01T04:18:00").unwrap());
        assert_eq!(story.burst_id(), "sb26110101");
        let later = StoryParameters { burst_number: 79, ..story };
        assert_eq!(later.burst_id(), "sb26110179");
    }

    #[test]
    fn numbers_that_make_no_story_are_refused() {
        let refused = |change: &dyn Fn(&mut StoryParameters)| {
            let mut story = StoryParameters::default();
            change(&mut story);
            matches!(story.check(), Err(SimulationError::Parameter { .. }))
        };
        assert!(refused(&|story| story.mxt_radius_degrees = 0.0));
        assert!(refused(&|story| story.cadence_seconds = f64::NAN));
        assert!(refused(&|story| story.exposure_seconds = 61.0));
        assert!(refused(&|story| story.burst_number = 100));
    }
}
