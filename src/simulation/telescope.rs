//! The stand-in for the telescope's status writer: files of sensor readings (domain.md §4.9, seed 003).

use super::random::{Purpose, stream};
use crate::model::{SensorFile, SensorReading, UtcTime};
use rand_distr::{Distribution, StandardNormal};
use std::f64::consts::TAU;

/// A sensor that swings over a day about a mean, with some noise.
struct Swing {
    subsystem: &'static str,
    component: &'static str,
    group: &'static str,
    unit: &'static str,
    model: &'static str,
    mean: f64,
    daily: f64,
    noise: f64,
    decimals: usize,
    /// Name of the correction with its coefficients, and what the sensor shows before it.
    correction: Option<(&'static str, f64)>,
}

const fn swing(
    (subsystem, component, group): (&'static str, &'static str, &'static str),
    (unit, model): (&'static str, &'static str),
    (mean, daily, noise, decimals): (f64, f64, f64, usize),
) -> Swing {
    Swing {
        subsystem,
        component,
        group,
        unit,
        model,
        mean,
        daily,
        noise,
        decimals,
        correction: None,
    }
}

const fn corrected(sensor: Swing, name: &'static str, offset: f64) -> Swing {
    Swing { correction: Some((name, offset)), ..sensor }
}

const SENSORS: [Swing; 17] = [
    swing(("instrument", "C0", "detector-temperature"), ("C", "ML0053812"), (-40.0, 0.0, 0.05, 2)),
    swing(("instrument", "C0", "detector-cooler-power"), ("%", "ML0053812"), (61.0, 4.0, 0.6, 1)),
    swing(
        ("instrument", "C0", "detector-housing-temperature"),
        ("C", "ML0053812"),
        (9.5, 3.0, 0.1, 1),
    ),
    swing(("weather", "station", "external-temperature"), ("C", "WXT520"), (8.0, 4.5, 0.1, 1)),
    swing(("weather", "station", "external-humidity"), ("%", "WXT520"), (34.0, 9.0, 0.8, 1)),
    swing(("weather", "station", "wind-average-speed"), ("km/h", "WXT520"), (14.0, 5.0, 2.0, 1)),
    swing(("weather", "station", "pressure"), ("mbar", "WXT520"), (731.5, 0.8, 0.1, 1)),
    corrected(
        swing(("building", "dome", "air-temperature"), ("C", "MS-TH"), (8.6, 3.0, 0.1, 2)),
        "MS-T:1.0:-0.35",
        -0.35,
    ),
    corrected(
        swing(("building", "dome", "air-humidity"), ("%", "MS-TH"), (36.0, 8.0, 0.6, 1)),
        "MS-H:1.0:1.8",
        1.8,
    ),
    swing(("building", "plant-room", "air-temperature"), ("C", "ENV"), (17.5, 2.0, 0.2, 1)),
    corrected(
        swing(("telescope", "primary", "temperature"), ("C", "PT-100"), (8.9, 2.0, 0.05, 2)),
        "PT-100:1.0:0.12:1.0",
        0.12,
    ),
    corrected(
        swing(("telescope", "tube", "temperature"), ("C", "PT-100"), (8.3, 2.6, 0.05, 2)),
        "PT-100:1.0:-0.08:1.0",
        -0.08,
    ),
    swing(("telescope", "secondary", "focus-position"), ("um", "dummy"), (5120.0, 14.0, 1.0, 0)),
    swing(("ups", "ups0", "battery-charge"), ("%", "SMX"), (100.0, 0.0, 0.0, 0)),
    swing(("ups", "ups0", "input-voltage"), ("V", "SMX"), (121.0, 1.5, 0.6, 1)),
    swing(("ups", "ups0", "load"), ("%", "SMX"), (32.0, 2.0, 0.8, 1)),
    swing(("control-system", "host-a", "disk-free"), ("GB", "dummy"), (812.0, 0.0, 0.4, 1)),
];

/// Sensors whose value is a word.
const WORDS: [(&str, &str, &str, &str); 3] = [
    ("building", "dome", "shutters", "open"),
    ("weather", "station", "rain", "no"),
    ("telescope", "mount", "state", "tracking"),
];

/// Name of the file of an instant: `sensors-YYYYMMDDTHHMMSS.json`.
pub fn sensor_file_name(at: UtcTime) -> String {
    format!("sensors-{}.json", at.compact())
}

/// The telescope's sensors at an instant.
pub fn sensor_file(at: UtcTime, seed: u64) -> SensorFile {
    let minute = at.unix_seconds().div_euclid(60.0) as u32;
    let mut generator = stream(seed, Purpose::Sensors, minute);
    let day_angle = TAU * (at.mjd().rem_euclid(1.0) - 0.95);
    let date = at.iso_seconds();
    let mut sensor: Vec<SensorReading> = SENSORS
        .iter()
        .map(|sensor| {
            let noise: f64 = StandardNormal.sample(&mut generator);
            let value = sensor.mean + sensor.daily * day_angle.cos() + sensor.noise * noise;
            numeric_reading(sensor, value, &date)
        })
        .collect();
    sensor.extend(WORDS.iter().map(|(subsystem, component, group, word)| SensorReading {
        value: (*word).to_owned(),
        raw_value: (*word).to_owned(),
        value_type: "string".to_owned(),
        ..blank_reading((subsystem, component, group), "dummy", &date)
    }));
    SensorFile { frame_model: "1.0".to_owned(), producer_name: "TCS".to_owned(), sensor }
}

fn numeric_reading(sensor: &Swing, value: f64, date: &str) -> SensorReading {
    let decimals = sensor.decimals;
    let written = |number: f64| format!("{number:+.decimals$}");
    let (correction_model, raw) = match sensor.correction {
        Some((name, offset)) => (name, value - offset),
        None => ("", value),
    };
    SensorReading {
        value: written(value),
        raw_value: written(raw),
        value_type: "float".to_owned(),
        unit: sensor.unit.to_owned(),
        correction_model: correction_model.to_owned(),
        ..blank_reading((sensor.subsystem, sensor.component, sensor.group), sensor.model, date)
    }
}

fn blank_reading(
    (subsystem, component, group): (&str, &str, &str),
    model: &str,
    date: &str,
) -> SensorReading {
    SensorReading {
        name: format!("{subsystem}-{component}-{group}"),
        value: String::new(),
        date: date.to_owned(),
        pretty_name: format!("{component} {}", group.replace('-', " ")),
        subsystem: subsystem.to_owned(),
        component: component.to_owned(),
        group: group.to_owned(),
        model: model.to_owned(),
        identifier: "0".to_owned(),
        firmware: String::new(),
        value_type: String::new(),
        unit: String::new(),
        correction_model: String::new(),
        raw_value: String::new(),
        error_code: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_file_has_the_fields_of_the_telescope() {
        let at = UtcTime::parse("2026-11-01T04:18:00").unwrap();
        assert_eq!(sensor_file_name(at), "sensors-20261101T041800.json");
        let file = sensor_file(at, 1);
        assert_eq!(file.sensor.len(), 20);
        let names: BTreeSet<&str> = file.sensor.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names.len(), 20, "names are unique");
        let json = serde_json::to_value(&file).unwrap();
        for reading in json["sensor"].as_array().unwrap() {
            let reading = reading.as_object().unwrap();
            assert_eq!(reading.len(), 15);
            for (key, value) in reading {
                assert_eq!(value.is_string(), key != "error_code", "{key}");
            }
        }
        for reading in file.sensor.iter().filter(|one| one.value_type == "float") {
            assert!(reading.value.parse::<f64>().is_ok(), "{}", reading.value);
            assert!(reading.value.starts_with(['+', '-']));
        }
    }

    #[test]
    fn readings_follow_seed_and_time() {
        let at = UtcTime::parse("2026-11-01T04:18:00").unwrap();
        assert_eq!(sensor_file(at, 1), sensor_file(at, 1));
        assert_ne!(sensor_file(at, 1), sensor_file(at, 2));
        assert_ne!(sensor_file(at, 1).sensor, sensor_file(at.plus_seconds(60.0), 1).sensor);
        let corrected = sensor_file(at, 1);
        let primary = corrected
            .sensor
            .iter()
            .find(|one| one.name == "telescope-primary-temperature")
            .unwrap();
        let number = |text: &str| text.parse::<f64>().unwrap();
        let difference = number(&primary.value) - number(&primary.raw_value);
        assert!((difference - 0.12).abs() < 0.011, "{difference}");
    }
}
