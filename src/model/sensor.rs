//! Sensor readings: the 15 fields of seed 003, in its order.

use serde::{Deserialize, Serialize};

/// One reading; values are texts, as the telescope writes them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SensorReading {
    pub name: String,
    pub value: String,
    pub date: String,
    pub pretty_name: String,
    pub subsystem: String,
    pub component: String,
    pub group: String,
    pub model: String,
    pub identifier: String,
    pub firmware: String,
    #[serde(rename = "type")]
    pub value_type: String,
    pub unit: String,
    pub correction_model: String,
    pub raw_value: String,
    pub error_code: i32,
}

/// A file of readings, as the telescope's `logsensors` writes it (domain.md §4.9).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SensorFile {
    pub frame_model: String,
    pub producer_name: String,
    pub sensor: Vec<SensorReading>,
}
