//! The daily record of calibration masters for the web side of the Instrument Center (seed 003).

use super::master_file::master_file_name;
use crate::model::Master;
use serde_json::{Map, Value, json};

/// One master as the status database takes it: the keys of seed 003 with plain values, and under `PARAMETERS` the last seven
/// again with name, value, type, unit and error code, as the seed asks. A difference that does not exist, because the
/// master is the first of its kind, is null with error code 1.
pub fn calibration_record(master: &Master, origin: &str, telescope: &str) -> Value {
    let statistics = &master.statistics;
    let unit = match master.kind {
        crate::model::MasterKind::Bias => "adu",
        crate::model::MasterKind::Dark => "adu/s",
        crate::model::MasterKind::Flat => "",
    };
    let figures = [
        ("MEAN", Some(statistics.mean)),
        ("MEDIAN", Some(statistics.median)),
        ("RMS", Some(statistics.rms)),
        ("MEANDIFF", statistics.mean_difference),
        ("MEDIANDIF", statistics.median_difference),
        ("RMSDIFF", statistics.rms_difference),
    ];
    let image_name = match master.path.file_name() {
        Some(name) => name.to_string_lossy().into_owned(),
        None => master_file_name(master),
    };
    let mut record = Map::new();
    record.insert("IM_NAME".into(), json!(image_name));
    record.insert("TYPE".into(), json!(master.kind.to_string()));
    record.insert("DATE".into(), json!(master.date.iso_seconds().replace('T', " ")));
    record.insert("ORIGIN".into(), json!(origin));
    record.insert("TELESCOP".into(), json!(telescope));
    record.insert("INSTRUME".into(), json!(master.instrument));
    record.insert("FILTER".into(), json!(master.filter));
    for (name, value) in figures {
        record.insert(name.into(), json!(value));
    }
    record.insert("VALID".into(), json!(master.valid));
    let mut parameters: Vec<Value> = figures
        .iter()
        .map(|(name, value)| {
            let error = i32::from(value.is_none());
            json!({"name": name, "value": value, "type": "float", "unit": unit, "errorcode": error})
        })
        .collect();
    parameters.push(
        json!({"name": "VALID", "value": master.valid, "type": "bool", "unit": "", "errorcode": 0}),
    );
    record.insert("PARAMETERS".into(), Value::Array(parameters));
    // Beyond the seed: what was measured on the frames, and which of them are not in it.
    record.insert("FIGURES".into(), json!(master.figures));
    Value::Object(record)
}

#[cfg(test)]
mod tests {
    use super::super::masters_in_force::tests::master;
    use super::*;
    use crate::model::MasterKind;

    #[test]
    fn the_keys_of_the_seed_in_its_order() {
        let mut master = master(MasterKind::Bias, "", "2018-03-06T02:11:23", (4, 4)).record;
        master.statistics.mean_difference = Some(0.2067);
        let record = calibration_record(&master, "OAN/SPM", "COLIBRI");
        let keys: Vec<&str> = record.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(
            keys[..14],
            [
                "IM_NAME",
                "TYPE",
                "DATE",
                "ORIGIN",
                "TELESCOP",
                "INSTRUME",
                "FILTER",
                "MEAN",
                "MEDIAN",
                "RMS",
                "MEANDIFF",
                "MEDIANDIF",
                "RMSDIFF",
                "VALID"
            ]
        );
        assert_eq!(record["DATE"], "2018-03-06 02:11:23");
        assert_eq!(record["MEANDIFF"], 0.2067);
        assert_eq!(record["RMSDIFF"], Value::Null);
        assert_eq!(record["PARAMETERS"].as_array().unwrap().len(), 7);
        assert_eq!(record["PARAMETERS"][5]["errorcode"], 1);
    }
}
