//! What happens when, in a synthetic night.

use crate::model::UtcTime;

/// Something that reaches the controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Happening {
    /// Number of the calibration frame.
    Calibration(usize),
    /// Number of the frame of the other programme.
    ProgrammeFrame(usize),
    /// Number of the frame of the alert's field.
    ObjectFrame(usize),
    /// Number of the packet in the story.
    Packet(usize),
    /// A file of sensor readings.
    SensorFile,
}

/// A happening at its instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scheduled {
    pub at: UtcTime,
    pub happening: Happening,
}

/// Adds a sensor file every `step_seconds` from `start` to the last happening, and puts all in order of time. What
/// happens at one instant keeps the order in which it was given, sensor files last.
pub fn with_sensor_files(
    mut all: Vec<Scheduled>,
    start: UtcTime,
    step_seconds: f64,
) -> Vec<Scheduled> {
    if let Some(end) = all.iter().map(|scheduled| scheduled.at).max()
        && step_seconds > 0.0
    {
        let count = (end.seconds_since(start) / step_seconds).floor().max(0.0) as usize;
        all.extend((0..=count).map(|index| Scheduled {
            at: start.plus_seconds(index as f64 * step_seconds),
            happening: Happening::SensorFile,
        }));
    }
    all.sort_by_key(|scheduled| scheduled.at);
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulation::{CameraParameters, SkyParameters, StoryParameters, SyntheticNight};

    #[test]
    fn the_default_night_in_order() {
        let mut camera = CameraParameters::default();
        camera.detector.size_pixels = (64, 64);
        let night =
            SyntheticNight::new(1, &SkyParameters::default(), camera, StoryParameters::default())
                .unwrap();
        let schedule = night.schedule();
        assert!(schedule.windows(2).all(|pair| pair[0].at <= pair[1].at));
        let t0 = night.story.t0;
        let times = |wanted: fn(&Happening) -> bool| -> Vec<f64> {
            schedule
                .iter()
                .filter(|scheduled| wanted(&scheduled.happening))
                .map(|scheduled| scheduled.at.seconds_since(t0))
                .collect()
        };
        let calibration = times(|what| matches!(what, Happening::Calibration(_)));
        assert_eq!(calibration.len(), 24);
        assert_eq!(calibration[0], -600.0);
        let programme = times(|what| matches!(what, Happening::ProgrammeFrame(_)));
        assert!(programme.len() == 3 && programme.iter().all(|at| *at < 0.0), "{programme:?}");
        assert!(programme[0] > *calibration.last().unwrap());
        let objects = times(|what| matches!(what, Happening::ObjectFrame(_)));
        assert_eq!(objects.len(), 60);
        assert_eq!((objects[0], objects[59]), (185.0, 3725.0));
        assert_eq!(times(|what| matches!(what, Happening::Packet(_))), [30.0, 95.0, 260.0, 600.0]);
        let sensors = times(|what| *what == Happening::SensorFile);
        assert_eq!(sensors.len(), 73, "every minute from -600 to 3720");
    }

    #[test]
    fn an_empty_schedule_stays_empty() {
        assert!(with_sensor_files(Vec::new(), UtcTime::from_unix_microseconds(0), 60.0).is_empty());
    }
}
