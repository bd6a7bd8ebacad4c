//! A whole synthetic night: calibration frames, another programme, the alert and its hour of exposures.

use super::SimulationError;
use super::camera::{
    CameraParameters, Exposure, FieldLight, Light, RenderedFrame, SyntheticCamera,
};
use super::random::other_field_seed;
use super::schedule::{Happening, Scheduled};
use super::sky::{SkyParameters, SyntheticSky};
use super::story::Story;
use super::story_parameters::StoryParameters;
use super::truth::Truth;
use crate::model::{FrameKind, UtcTime, normalise_burst_id};
use std::cmp::Ordering;

/// Seconds before T0 at which the first flat, bias and dark were taken, and from one to the next.
const FIRST_FLAT_SECONDS: f64 = -11_100.0;
const FLAT_STEP_SECONDS: f64 = 30.0;
const FIRST_BIAS_SECONDS: f64 = -10_200.0;
const BIAS_STEP_SECONDS: f64 = 10.0;
const FIRST_DARK_SECONDS: f64 = -10_000.0;
const DARK_OVERHEAD_SECONDS: f64 = 10.0;
/// Each twilight flat has this share of the light of the one before.
const TWILIGHT_DECAY: f64 = 0.9;
/// Between frames of the other programme.
const PROGRAMME_OVERHEAD_SECONDS: f64 = 10.0;

/// Frames of one kind are numbered from here on: each number has its own random streams.
const FIRST_OBJECT_NUMBER: u32 = 0;
const FIRST_BIAS_NUMBER: u32 = 10_000;
const FIRST_DARK_NUMBER: u32 = 20_000;
const FIRST_FLAT_NUMBER: u32 = 30_000;
const FIRST_PROGRAMME_NUMBER: u32 = 40_000;
const MOST_FRAMES_OF_A_KIND: usize = 9_999;

/// Everything that a default `gic simulate` shows to the controller.
#[derive(Debug, Clone)]
pub struct SyntheticNight {
    pub seed: u64,
    pub sky: SyntheticSky,
    pub programme_sky: SyntheticSky,
    pub story: Story,
    camera: SyntheticCamera,
    /// On another programme during the burst.
    second_camera: Option<SyntheticCamera>,
    parameters: StoryParameters,
}

impl SyntheticNight {
    /// Makes the night of a seed.
    pub fn new(
        seed: u64,
        sky: &SkyParameters,
        camera: CameraParameters,
        story: StoryParameters,
    ) -> Result<Self, SimulationError> {
        story.check()?;
        check_times(&story, camera.readout_seconds)?;
        let programme = SkyParameters::programme(story.programme_centre);
        let sky = SyntheticSky::new(seed, sky)?;
        let second = story
            .second_camera
            .clone()
            .map(|instrument| CameraParameters { instrument, ..camera.clone() })
            .map(|parameters| SyntheticCamera::new(other_field_seed(seed), parameters))
            .transpose()?;
        if let Some(second) = &second
            && second.parameters().instrument == camera.instrument
        {
            return Err(SimulationError::Parameter {
                parameter: "second_camera",
                what: format!("{} is the first camera's name", camera.instrument),
            });
        }
        let truth = sky.afterglow.map_or(sky.field_centre, |afterglow| afterglow.position);
        Ok(Self {
            seed,
            story: Story::new(seed, &story, sky.field_centre, truth)?,
            programme_sky: SyntheticSky::new(other_field_seed(seed), &programme)?,
            sky,
            camera: SyntheticCamera::new(seed, camera)?,
            second_camera: second,
            parameters: story,
        })
    }

    pub fn camera(&self) -> &SyntheticCamera {
        &self.camera
    }

    pub fn parameters(&self) -> &StoryParameters {
        &self.parameters
    }

    /// When the clock starts.
    pub fn clock_start(&self) -> UtcTime {
        self.parameters.t0.plus_seconds(-self.parameters.lead_seconds)
    }

    /// Bias, dark and flat frames together, of all cameras.
    pub fn calibration_count(&self) -> usize {
        self.calibration_count_of_one() * (1 + usize::from(self.second_camera.is_some()))
    }

    fn calibration_count_of_one(&self) -> usize {
        3 * self.parameters.calibration_count
    }

    /// Frames of the other programme: those before the burst, then those of the second camera during it.
    pub fn programme_count(&self) -> usize {
        let during = if self.second_camera.is_some() { self.object_count() } else { 0 };
        self.parameters.programme_exposure_count + during
    }

    /// Its place among the second camera's frames, and that camera; `None` for what the first takes before the burst.
    fn during_the_burst(&self, index: usize) -> Option<(usize, &SyntheticCamera)> {
        let place = index.checked_sub(self.parameters.programme_exposure_count)?;
        Some((place, self.second_camera.as_ref()?))
    }

    /// The camera of a calibration frame, and its place among that camera's.
    fn calibration_camera(&self, index: usize) -> (&SyntheticCamera, usize) {
        let one = self.calibration_count_of_one();
        match (&self.second_camera, index.checked_sub(one)) {
            (Some(second), Some(place)) => (second, place),
            _ => (&self.camera, index),
        }
    }

    pub fn object_count(&self) -> usize {
        self.parameters.exposure_count
    }

    /// Start of an exposure of the alert's field.
    pub fn object_start(&self, index: usize) -> UtcTime {
        let story = &self.parameters;
        story.t0.plus_seconds(story.first_exposure_seconds + index as f64 * story.cadence_seconds)
    }

    fn programme_start(&self, index: usize) -> UtcTime {
        if let Some((place, _)) = self.during_the_burst(index) {
            return self.object_start(place);
        }
        self.clock_start().plus_seconds(programme_start_seconds(&self.parameters, index))
    }

    fn programme_seconds(&self, index: usize) -> f64 {
        match self.during_the_burst(index) {
            Some(_) => self.parameters.exposure_seconds,
            None => self.parameters.programme_exposure_seconds,
        }
    }

    /// Renders a calibration frame: of each camera bias frames first, then dark, then flat frames.
    pub fn calibration(&self, index: usize) -> Result<RenderedFrame, SimulationError> {
        checked("calibration", index, self.calibration_count())?;
        let (camera, index) = self.calibration_camera(index);
        let (kind, number, start, exposure_seconds, light) = self.calibration_exposure(index);
        Ok(camera.render(&Exposure {
            kind,
            number,
            start,
            exposure_seconds,
            light,
            observer: "colibri",
            object: None,
            alert: None,
        }))
    }

    /// Kind, number, start, length and light of a camera's calibration exposure.
    fn calibration_exposure(&self, index: usize) -> (FrameKind, u32, UtcTime, f64, Light<'_>) {
        let count = self.parameters.calibration_count.max(1);
        let place = index % count;
        let story = &self.parameters;
        let at = |first: f64, step: f64| story.t0.plus_seconds(first + place as f64 * step);
        let (kind, first_number, start, exposure_seconds, light) = match index / count {
            0 => (
                FrameKind::Bias,
                FIRST_BIAS_NUMBER,
                at(FIRST_BIAS_SECONDS, BIAS_STEP_SECONDS),
                0.0,
                Light::Closed,
            ),
            1 => (
                FrameKind::Dark,
                FIRST_DARK_NUMBER,
                at(FIRST_DARK_SECONDS, story.dark_seconds + DARK_OVERHEAD_SECONDS),
                story.dark_seconds,
                Light::Closed,
            ),
            _ => {
                let gain = self.camera.parameters().detector.gain_electrons;
                let level = story.first_flat_level * TWILIGHT_DECAY.powi(place as i32);
                (
                    FrameKind::Flat,
                    FIRST_FLAT_NUMBER,
                    at(FIRST_FLAT_SECONDS, FLAT_STEP_SECONDS),
                    story.flat_seconds,
                    Light::Twilight { electrons: level * gain },
                )
            }
        };
        (kind, first_number + place as u32, start, exposure_seconds, light)
    }

    /// Renders a frame of the other programme.
    pub fn programme_frame(&self, index: usize) -> Result<RenderedFrame, SimulationError> {
        checked("programme", index, self.programme_count())?;
        let camera = self.during_the_burst(index).map_or(&self.camera, |(_, camera)| camera);
        Ok(camera.render(&Exposure {
            kind: FrameKind::Object,
            number: FIRST_PROGRAMME_NUMBER + index as u32,
            start: self.programme_start(index),
            exposure_seconds: self.programme_seconds(index),
            light: Light::Field(FieldLight {
                sky: &self.programme_sky,
                t0: self.parameters.t0,
                sequence: index,
                target: self.programme_sky.field_centre,
            }),
            observer: "colibri",
            object: Some(&self.parameters.programme_object),
            alert: None,
        }))
    }

    /// Renders a frame of the alert's field.
    pub fn object_frame(&self, index: usize) -> Result<RenderedFrame, SimulationError> {
        checked("object", index, self.object_count())?;
        let start = self.object_start(index);
        let object = format!("SVOM{}", normalise_burst_id(&self.story.burst_id));
        Ok(self.camera.render(&Exposure {
            kind: FrameKind::Object,
            number: FIRST_OBJECT_NUMBER + index as u32,
            start,
            exposure_seconds: self.parameters.exposure_seconds,
            light: Light::Field(FieldLight {
                sky: &self.sky,
                t0: self.parameters.t0,
                sequence: index,
                target: self.sky.field_centre,
            }),
            observer: "svom",
            object: Some(&object),
            alert: self.story.alert_at(start),
        }))
    }

    /// File name, without ending, of the frame that happens; `None` for what is no frame.
    pub fn frame_name(&self, happening: Happening) -> Option<String> {
        let (camera, kind, start) = match happening {
            Happening::Calibration(index) => {
                let (camera, index) = self.calibration_camera(index);
                let (kind, _, start, _, _) = self.calibration_exposure(index);
                (camera, kind, start)
            }
            Happening::ProgrammeFrame(index) => {
                let camera =
                    self.during_the_burst(index).map_or(&self.camera, |(_, camera)| camera);
                (camera, FrameKind::Object, self.programme_start(index))
            }
            Happening::ObjectFrame(index) => {
                (&self.camera, FrameKind::Object, self.object_start(index))
            }
            Happening::Packet(_) | Happening::SensorFile => return None,
        };
        let name = camera.file_name(kind, start);
        Some(name.strip_suffix(".fits").unwrap_or(&name).to_owned())
    }

    /// Everything that happens, in order of time. A frame happens when its last byte is there.
    pub fn schedule(&self) -> Vec<Scheduled> {
        let story = &self.parameters;
        let readout = self.camera.parameters().readout_seconds;
        let start = self.clock_start();
        let mut all = Vec::new();
        for index in 0..self.calibration_count() {
            // Two cameras read out side by side.
            let (_, place) = self.calibration_camera(index);
            let at = start.plus_seconds(place as f64 * story.calibration_step_seconds);
            all.push(Scheduled { at, happening: Happening::Calibration(index) });
        }
        for index in 0..self.programme_count() {
            let taken = self.programme_seconds(index) + readout;
            let at = self.programme_start(index).plus_seconds(taken);
            all.push(Scheduled { at, happening: Happening::ProgrammeFrame(index) });
        }
        for (index, packet) in self.story.packets.iter().enumerate() {
            all.push(Scheduled { at: packet.at, happening: Happening::Packet(index) });
        }
        for index in 0..self.object_count() {
            let taken = story.exposure_seconds + readout;
            let at = self.object_start(index).plus_seconds(taken);
            all.push(Scheduled { at, happening: Happening::ObjectFrame(index) });
        }
        super::schedule::with_sensor_files(all, start, story.sensor_step_seconds)
    }

    /// What is really there.
    pub fn truth(&self) -> Truth {
        Truth::of_sky(self.seed, self.parameters.t0, &self.sky, &self.programme_sky)
    }
}

/// Start of a frame of the other programme, seconds after the clock's start: after the calibration frames.
fn programme_start_seconds(story: &StoryParameters, index: usize) -> f64 {
    let calibration = 3.0 * story.calibration_count as f64 * story.calibration_step_seconds;
    calibration + index as f64 * (story.programme_exposure_seconds + PROGRAMME_OVERHEAD_SECONDS)
}

/// One camera: no two exposures at once, and everything before the burst ends before its first exposure.
fn check_times(story: &StoryParameters, readout_seconds: f64) -> Result<(), SimulationError> {
    let refuse = |parameter, what: String| Err(SimulationError::Parameter { parameter, what });
    for (parameter, count) in [
        ("exposure_count", story.exposure_count),
        ("programme_exposure_count", story.programme_exposure_count),
        ("calibration_count", story.calibration_count),
    ] {
        if count > MOST_FRAMES_OF_A_KIND {
            return refuse(parameter, format!("must be at most {MOST_FRAMES_OF_A_KIND}"));
        }
    }
    if story.exposure_seconds + readout_seconds > story.cadence_seconds {
        return refuse(
            "cadence_seconds",
            format!(
                "{} s are too short for {} s of exposure and {readout_seconds} s of readout",
                story.cadence_seconds, story.exposure_seconds
            ),
        );
    }
    let ready = programme_start_seconds(story, story.programme_exposure_count);
    let available = story.lead_seconds + story.first_exposure_seconds;
    if ready.partial_cmp(&available).is_none_or(Ordering::is_gt) {
        return refuse(
            "lead_seconds",
            format!("calibration and programme frames take {ready} s, {available} s are there"),
        );
    }
    Ok(())
}

fn checked(kind: &'static str, index: usize, count: usize) -> Result<(), SimulationError> {
    if index < count {
        return Ok(());
    }
    Err(SimulationError::NoSuchFrame { kind, index, count })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::SkyPosition;
    use crate::simulation::observing::Conditions;
    use crate::simulation::sky::SourceKind;

    fn night(seed: u64, side: usize) -> SyntheticNight {
        let mut camera = CameraParameters::default();
        camera.detector.size_pixels = (side, side);
        let story = StoryParameters::default();
        SyntheticNight::new(seed, &SkyParameters::default(), camera, story).unwrap()
    }

    fn median(frame: &RenderedFrame) -> f32 {
        let mut values: Vec<f32> = frame.data.iter().copied().collect();
        values.sort_by(f32::total_cmp);
        values[values.len() / 2]
    }

    #[test]
    fn calibration_frames_are_of_their_kind_and_hours_old() {
        let night = night(1, 256);
        let mut names = std::collections::BTreeSet::new();
        for index in 0..night.calibration_count() {
            let frame = night.calibration(index).unwrap();
            let (kind, level, seconds) = match index {
                0..8 => ("bias", 600.0, 0.0),
                8..16 => ("dark", 600.5, 60.0),
                _ => ("flat", 600.0 + 2800.0 * 0.9f32.powi(index as i32 - 16), 5.0),
            };
            assert_eq!(frame.header.text("EXPTYPE").as_deref(), Some(kind));
            assert_eq!(frame.header.number("EXPTIME"), Some(seconds));
            assert!(frame.header.get("TRGID").is_none());
            assert!((median(&frame) - level).abs() < 3.0 + 0.02 * (level - 600.0), "{index}");
            assert!(night.story.t0.seconds_since(frame.truth.middle) > 2.0 * 3600.0);
            assert!(names.insert(frame.file_name));
        }
        assert!(matches!(
            night.calibration(24),
            Err(SimulationError::NoSuchFrame { index: 24, count: 24, .. })
        ));
    }

    #[test]
    fn both_instances_have_frames() {
        let night = night(1, 64);
        let alert = night.object_frame(0).unwrap();
        assert_eq!(alert.header.text("OBSERVER").as_deref(), Some("svom"));
        assert_eq!(alert.header.text("TRGID").as_deref(), Some("26110101"));
        assert_eq!(alert.header.number("ALUN"), Some(0.065));
        assert_eq!(night.object_frame(9).unwrap().header.number("ALUN"), Some(0.0125), "MXT");
        let other = night.programme_frame(0).unwrap();
        assert_eq!(other.header.text("OBSERVER").as_deref(), Some("colibri"));
        assert_eq!(other.header.text("OBJECT").as_deref(), Some("P576F"));
        assert!(other.header.get("TRGID").is_none() && other.truth.afterglow.is_none());
        assert!(night.programme_frame(3).is_err() && night.object_frame(60).is_err());
    }

    #[test]
    fn a_second_camera_goes_on_with_the_programme_during_the_burst() {
        let mut camera = CameraParameters::default();
        camera.detector.size_pixels = (64, 64);
        let story = |second: &str| StoryParameters {
            second_camera: Some(second.to_owned()),
            calibration_count: 4,
            ..StoryParameters::default()
        };
        let make = |second: &str| {
            SyntheticNight::new(1, &SkyParameters::default(), camera.clone(), story(second))
        };
        let night = make("C1").unwrap();
        assert_eq!((night.calibration_count(), night.programme_count()), (24, 63));
        let schedule = night.schedule();
        assert!(schedule.is_sorted_by_key(|each| each.at));
        let mut names = std::collections::BTreeSet::new();
        for scheduled in &schedule {
            if let Some(name) = night.frame_name(scheduled.happening) {
                assert!(names.insert(name.clone()), "{name} twice");
            }
        }
        assert_eq!(names.iter().filter(|name| name.contains("C1")).count(), 12 + 60);
        let frame = night.programme_frame(3 + 5).unwrap();
        assert_eq!(frame.header.text("OBSERVER").as_deref(), Some("colibri"));
        assert_eq!(frame.file_name, night.object_frame(5).unwrap().file_name.replace("C0", "C1"));
        assert_ne!(night.calibration(0).unwrap().data, night.calibration(12).unwrap().data);
        let calibration = night.frame_name(Happening::Calibration(12)).unwrap();
        assert_eq!(night.calibration(12).unwrap().file_name, calibration + ".fits");
        assert!(night.programme_frame(63).is_err() && night.calibration(24).is_err());
        assert!(make("C0").is_err(), "two cameras of one name");
    }

    #[test]
    fn afterglow_and_new_sources_are_on_every_frame() {
        let parameters = CameraParameters::default();
        for seed in 1..=20 {
            let sky = SyntheticSky::new(seed, &SkyParameters::default()).unwrap();
            let mut alone: Vec<SkyPosition> =
                sky.of_kind(SourceKind::NewSource).map(|source| source.position).collect();
            alone.extend(sky.afterglow.map(|afterglow| afterglow.position));
            for index in 0..60 {
                let conditions = Conditions::draw(
                    seed,
                    &parameters.observing,
                    index,
                    index as usize,
                    sky.field_centre,
                    parameters.detector.size_pixels,
                );
                for position in &alone {
                    let (x, y) = conditions.actual.sky_to_pixel(*position).unwrap();
                    let inside = |v: f64| (10.0..1013.0).contains(&v);
                    assert!(inside(x) && inside(y), "seed {seed}, frame {index}: {x} {y}");
                }
            }
        }
    }

    #[test]
    fn nights_of_a_seed_are_the_same() {
        let frame = |seed| night(seed, 64).object_frame(7).unwrap();
        assert_eq!(frame(1), frame(1));
        assert_ne!(frame(1).data, frame(2).data);
        assert_eq!(night(1, 64).truth(), night(1, 64).truth());
    }

    #[test]
    fn exposures_that_overlap_are_refused() {
        let refused = |change: &dyn Fn(&mut StoryParameters)| {
            let mut story = StoryParameters::default();
            change(&mut story);
            let camera = CameraParameters::default();
            SyntheticNight::new(1, &SkyParameters::default(), camera, story).is_err()
        };
        assert!(refused(&|story| story.exposure_seconds = 58.0));
        assert!(refused(&|story| story.lead_seconds = 100.0));
        assert!(refused(&|story| story.calibration_count = 100_000));
    }
}
