//! Copies of archived frames as the controller shall see them (interfaces.md §6): the archive itself is never touched.

use super::SimulationError;
use super::archive::ReplayFrame;
use crate::fits::{FitsStore, Header, NewPlane};
use crate::imaging::Image;
use std::path::{Path, PathBuf};

/// Writes a frame's copy into a directory and gives its path, `<name>.fits`: cards added where they are absent, checksums
/// renewed, dates shifted where the plan says so. The store writes to a temporary name and renames.
///
/// The pixels stay what they were: 16-bit data are written as such, everything else as 32-bit floats. Packed sources give
/// unpacked copies. Only the first image is copied.
pub fn prepare(
    frame: &ReplayFrame,
    destination: &Path,
    store: &dyn FitsStore,
) -> Result<PathBuf, SimulationError> {
    let mut image = store.read_image(&frame.source)?;
    complete(&mut image.header, frame);
    let path = destination.join(format!("{}.fits", frame.name));
    store.write_images(&path, &[("", &image.header, plane_of(&image.data))])?;
    Ok(path)
}

/// Adds what the controller needs to a header.
fn complete(header: &mut Header, frame: &ReplayFrame) {
    let is_absent =
        |header: &Header, keyword: &str| header.text(keyword).is_none_or(|text| text.is_empty());
    let mut added = Vec::new();
    let mut add = |header: &mut Header, keyword: &str, value: &str, comment: &str| {
        if is_absent(header, keyword) {
            header.set(keyword, value, comment);
            added.push(keyword.to_owned());
        }
    };
    if let Some(trigger_id) = &frame.trigger_id {
        add(header, &frame.cards.trigger_id, trigger_id, "identifier of the trigger");
    }
    add(header, &frame.cards.observer, &frame.observer, "programme");
    add(header, &frame.cards.exposure_type, frame.kind.name(), "type of exposure");
    let date_obs = header.text("DATE-OBS");
    if frame.start != frame.date_obs {
        let original = date_obs.unwrap_or_else(|| frame.date_obs.iso_milliseconds());
        header.set("DATE-ORG", original, "DATE-OBS before the replay");
        set_keeping_comment(header, "DATE-OBS", frame.start.iso_milliseconds());
        let own = &frame.cards.date_obs;
        if own != "DATE-OBS" && own != "MJD-OBS" {
            set_keeping_comment(header, own, frame.start.iso_milliseconds());
        }
        if header.get("MJD-OBS").is_some() {
            set_keeping_comment(header, "MJD-OBS", frame.start.mjd());
        }
    }
    if !added.is_empty() {
        header.history(&format!("gic simulate: added {}", added.join(", ")));
    }
}

fn set_keeping_comment(
    header: &mut Header,
    keyword: &str,
    value: impl Into<crate::fits::CardValue>,
) {
    let comment = header.get(keyword).map(|card| card.comment.clone()).unwrap_or_default();
    header.set(keyword, value, &comment);
}

/// 16-bit unsigned when every value is one, so that nothing is lost either way.
fn plane_of(data: &Image) -> NewPlane<'_> {
    let is_unsigned = |value: &f32| value.fract() == 0.0 && (0.0..=65535.0).contains(value);
    if data.iter().all(is_unsigned) { NewPlane::Unsigned16(data) } else { NewPlane::Float32(data) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fits::cfitsio::Cfitsio;
    use crate::model::{FrameKind, UtcTime};

    fn frame(source: PathBuf) -> ReplayFrame {
        let start = UtcTime::parse("2013-07-16T04:20:01").unwrap();
        ReplayFrame {
            source,
            name: "20130716T042001C1o".to_owned(),
            kind: FrameKind::Object,
            date_obs: start,
            start,
            exposure_seconds: 10.0,
            arrival: start.plus_seconds(15.0),
            trigger_id: Some("13071601".to_owned()),
            observer: "svom".to_owned(),
            cards: Default::default(),
        }
    }

    fn archive(directory: &Path, plane: NewPlane<'_>) -> (PathBuf, Header) {
        let mut header = Header::new();
        header.set("DATE-OBS", "2013-07-16T04:20:01.5", "start");
        header.set("MJD-OBS", 56489.18, "[d] start");
        header.set("OBSERVER", "", "blank");
        header.set("SOFTGAIN", 4.0, "software gain");
        let path = directory.join("source.fits");
        Cfitsio.write_images(&path, &[("", &header, plane)]).unwrap();
        (path, header)
    }

    #[test]
    fn absent_cards_are_added_and_the_rest_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let data = Image::from_shape_fn((6, 7), |(row, column)| (row * 9000 + column) as f32);
        let (source, _) = archive(directory.path(), NewPlane::Unsigned16(&data));
        let before = std::fs::read(&source).unwrap();
        let path = prepare(&frame(source.clone()), directory.path(), &Cfitsio).unwrap();
        assert_eq!(path, directory.path().join("20130716T042001C1o.fits"));
        assert_eq!(std::fs::read(&source).unwrap(), before, "the archive is untouched");
        Cfitsio.verify_checksums(&path).unwrap();
        let copy = Cfitsio.read_image(&path).unwrap();
        assert_eq!(copy.data, data);
        let text = |keyword| copy.header.text(keyword);
        assert_eq!(text("TRGID").as_deref(), Some("13071601"));
        assert_eq!(text("OBSERVER").as_deref(), Some("svom"), "a blank card counts as absent");
        assert_eq!(text("EXPTYPE").as_deref(), Some("object"));
        assert_eq!(text("DATE-OBS").as_deref(), Some("2013-07-16T04:20:01.5"));
        assert_eq!(copy.header.number("SOFTGAIN"), Some(4.0));
        assert!(copy.header.get("DATE-ORG").is_none());
        // 16-bit data stay 16-bit: a copy is no larger than its source but for the added cards' block.
        let size = std::fs::metadata(&path).unwrap().len();
        assert!(size <= before.len() as u64 + 2880, "{size}");

        // The copy of a complete frame adds nothing.
        let again = frame(path.clone());
        let second = tempfile::tempdir().unwrap();
        let path = prepare(&again, second.path(), &Cfitsio).unwrap();
        let histories =
            |header: &Header| header.cards.iter().filter(|c| c.keyword == "HISTORY").count();
        let twice = Cfitsio.read_image(&path).unwrap();
        assert_eq!(histories(&twice.header), histories(&copy.header));
    }

    #[test]
    fn shifted_dates_keep_the_original() {
        let directory = tempfile::tempdir().unwrap();
        let data = Image::from_elem((4, 4), 1.5);
        let (source, _) = archive(directory.path(), NewPlane::Float32(&data));
        let mut shifted = frame(source);
        shifted.start = shifted.date_obs.plus_seconds(3600.0);
        let path = prepare(&shifted, directory.path(), &Cfitsio).unwrap();
        let copy = Cfitsio.read_image(&path).unwrap();
        assert_eq!(copy.data, data, "fractions are kept");
        assert_eq!(copy.header.text("DATE-OBS").as_deref(), Some("2013-07-16T05:20:01.000"));
        assert_eq!(copy.header.text("DATE-ORG").as_deref(), Some("2013-07-16T04:20:01.5"));
        let mjd = copy.header.number("MJD-OBS").unwrap();
        assert!((mjd - shifted.start.mjd()).abs() < 1e-8);
    }

    #[test]
    fn an_unreadable_source_is_a_fits_error() {
        let directory = tempfile::tempdir().unwrap();
        let source = directory.path().join("broken.fits");
        std::fs::write(&source, "SIMPLE  = ").unwrap();
        let result = prepare(&frame(source), directory.path(), &Cfitsio);
        assert!(matches!(result, Err(SimulationError::Fits(_))));
    }
}
