//! The catalogued sources of a field: what the frames measure of them beside what the catalogue says.

use crate::gp1::frame_scale::{BandChoice, FieldCatalogue};
use crate::gp1::measured_frame::MeasuredFrame;
use crate::gp1::photometry::{MAGNITUDES_PER_RELATIVE_ERROR, UNFIT_FLAGS};
use crate::model::{CatalogueObject, MagnitudeScale, ObjectKind, SkyPosition, SourceFlags};
use std::collections::HashMap;

/// Frames that are looked at, evenly spaced in time: a report costs the same however many there are.
pub const MOST_FRAMES: usize = 40;
/// Sources that are looked at on each, the brightest.
pub const MOST_SOURCES: usize = 3000;
/// Sources whose light is not all there.
const INCOMPLETE_FLAGS: u16 = SourceFlags::SATURATED | SourceFlags::TRUNCATED | SourceFlags::MASKED;

/// A source on all frames of one filter.
#[derive(Debug, Clone, PartialEq)]
pub struct FilterMagnitude {
    pub filter: String,
    /// Mean over the frames.
    pub magnitude: f64,
    /// Standard deviation of one frame's magnitude about it; nothing with a single frame.
    pub scatter: Option<f64>,
    /// Mean of the stated errors of one frame.
    pub stated_error: f64,
    pub frame_count: usize,
    /// What the frames should see by the catalogue.
    pub expected: Option<f64>,
}

/// A catalogue object that was seen.
#[derive(Debug, Clone, PartialEq)]
pub struct CataloguedSource {
    pub id: String,
    pub kind: ObjectKind,
    pub position: SkyPosition,
    /// In the order of the report's filters; nothing where it was not measured.
    pub magnitudes: Vec<Option<FilterMagnitude>>,
}

/// One star on the frame that shows a filter's calibration.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CalibrationPoint {
    /// −2.5 log₁₀ of electrons per second.
    pub instrumental: f64,
    pub error: f64,
    /// As the frame sees the catalogue: the colour term taken off.
    pub expected: f64,
    /// Colour, and the magnitude in the band as the catalogue has it.
    pub colour: Option<(f64, f64)>,
    /// Without a flag that keeps it from calibrating.
    pub is_fit: bool,
}

/// How a frame was calibrated.
#[derive(Debug, Clone, PartialEq)]
pub struct CalibrationSample {
    pub frame: String,
    pub filter: String,
    pub zero_point: f64,
    pub zero_point_error: f64,
    pub scale: MagnitudeScale,
    pub points: Vec<CalibrationPoint>,
}

/// Frames, at most so many, evenly spaced and with the first and the last.
fn spaced<'a>(frames: &[&'a MeasuredFrame], most: usize) -> Vec<&'a MeasuredFrame> {
    let count = frames.len().min(most);
    (0..count)
        .filter_map(|index| {
            let place = if count < 2 { 0 } else { index * (frames.len() - 1) / (count - 1) };
            frames.get(place).copied()
        })
        .collect()
}

#[derive(Default, Clone)]
struct Sums {
    count: usize,
    magnitude: f64,
    square: f64,
    error: f64,
    /// The first magnitude: sums are of differences to it, which keeps their digits.
    first: f64,
}

impl Sums {
    fn add(&mut self, magnitude: f64, error: f64) {
        if self.count == 0 {
            self.first = magnitude;
        }
        let difference = magnitude - self.first;
        self.count += 1;
        self.magnitude += difference;
        self.square += difference * difference;
        self.error += error;
    }

    fn mean_and_scatter(&self) -> (f64, Option<f64>) {
        let count = self.count as f64;
        let mean = self.magnitude / count;
        let scatter = (self.count > 1)
            .then(|| ((self.square - count * mean * mean).max(0.0) / (count - 1.0)).sqrt());
        (self.first + mean, scatter)
    }
}

/// Catalogue objects seen on the frames, the brightest first.
pub fn catalogued_sources(
    frames: &[&MeasuredFrame],
    filters: &[String],
    catalogue: FieldCatalogue<'_>,
) -> Vec<CataloguedSource> {
    struct Seen<'a> {
        id: &'a str,
        kind: ObjectKind,
        position: SkyPosition,
        magnitude: f64,
        sums: Vec<Sums>,
    }
    let mut index_of: HashMap<&str, usize> = HashMap::new();
    let mut seen: Vec<Seen<'_>> = Vec::new();
    for frame in spaced(frames, MOST_FRAMES) {
        let Some((zero_point, _)) = frame.zero_point else { continue };
        let Some(filter) = filters.iter().position(|name| name == frame.filter()) else { continue };
        let exposure = frame.exposure_seconds();
        for each in frame.sources.iter().take(MOST_SOURCES) {
            let (Some(object), source) = (&each.object, &each.source) else { continue };
            let rate = source.flux_electrons / exposure;
            if source.flags.has(INCOMPLETE_FLAGS) || rate.is_nan() || rate <= 0.0 {
                continue;
            }
            let magnitude = zero_point - 2.5 * rate.log10();
            let error = MAGNITUDES_PER_RELATIVE_ERROR / source.signal_to_noise();
            if !(magnitude.is_finite() && error.is_finite()) {
                continue;
            }
            let index = *index_of.entry(&object.id).or_insert(seen.len());
            if index == seen.len() {
                let sums = vec![Sums::default(); filters.len()];
                let (kind, position, magnitude) = (object.kind, object.position, object.magnitude);
                seen.push(Seen { id: &object.id, kind, position, magnitude, sums });
            }
            if let Some(sums) = seen.get_mut(index).and_then(|seen| seen.sums.get_mut(filter)) {
                sums.add(magnitude, error);
            }
        }
    }
    seen.sort_by(|left, right| {
        left.magnitude.total_cmp(&right.magnitude).then_with(|| left.id.cmp(right.id))
    });
    let expected: Vec<HashMap<&str, f64>> =
        filters.iter().map(|filter| expected_magnitudes(frames, filter, catalogue)).collect();
    seen.into_iter()
        .map(|source| {
            let magnitudes =
                source.sums.iter().zip(filters).zip(&expected).map(|((sums, filter), expected)| {
                    (sums.count > 0).then(|| {
                        let (magnitude, scatter) = sums.mean_and_scatter();
                        FilterMagnitude {
                            filter: filter.clone(),
                            magnitude,
                            scatter,
                            stated_error: sums.error / sums.count as f64,
                            frame_count: sums.count,
                            expected: expected.get(source.id).copied(),
                        }
                    })
                });
            CataloguedSource {
                id: source.id.to_owned(),
                kind: source.kind,
                position: source.position,
                magnitudes: magnitudes.collect(),
            }
        })
        .collect()
}

/// What the first calibrated frame of a filter should see of each object.
fn expected_magnitudes<'a>(
    frames: &[&MeasuredFrame],
    filter: &str,
    catalogue: FieldCatalogue<'a>,
) -> HashMap<&'a str, f64> {
    let scale = frames
        .iter()
        .filter(|frame| frame.filter() == filter)
        .find_map(|frame| frame.magnitude_scale());
    if scale.is_none() {
        return HashMap::new();
    }
    let seen = catalogue.as_seen_by(scale);
    catalogue
        .objects
        .iter()
        .zip(seen.iter())
        .map(|(object, seen)| (object.id.as_str(), seen.magnitude))
        .collect()
}

/// The calibration of a filter, as the frame with the most calibrating stars shows it. `None` where no catalogue calibrates one.
pub fn calibration_sample(
    frames: &[&MeasuredFrame],
    filter: &str,
    catalogue: FieldCatalogue<'_>,
) -> Option<CalibrationSample> {
    let calibrated = frames.iter().filter(|frame| {
        frame.filter() == filter
            && frame.magnitude_scale().is_some()
            && frame.measurement.quality.zero_point.is_some()
    });
    // The first of equals.
    let frame = calibrated.rev().max_by_key(|frame| frame.measurement.quality.zero_point_stars)?;
    let (zero_point, zero_point_error) = frame.zero_point?;
    let scale = frame.magnitude_scale()?;
    let seen = catalogue.as_seen_by(Some(scale));
    let by_id: HashMap<&str, (&CatalogueObject, f64)> = catalogue
        .objects
        .iter()
        .zip(seen.iter())
        .map(|(object, seen)| (object.id.as_str(), (object, seen.magnitude)))
        .collect();
    let choice = BandChoice::new(
        catalogue.bands,
        frame.filter(),
        &frame.record.keywords.camera.filter_rules,
    );
    let points = frame.sources.iter().take(MOST_SOURCES).filter_map(|each| {
        let source = &each.source;
        let (object, expected) = *by_id.get(each.object.as_ref()?.id.as_str())?;
        let rate = source.flux_electrons / frame.exposure_seconds();
        let rate_error = source.flux_error_electrons / frame.exposure_seconds();
        let (instrumental, error) =
            (-2.5 * rate.log10(), MAGNITUDES_PER_RELATIVE_ERROR / source.signal_to_noise());
        if !(instrumental.is_finite() && error.is_finite()) || object.kind == ObjectKind::Galaxy {
            return None;
        }
        let colour = choice.as_ref().and_then(|choice| {
            let star = choice.star(object, (rate, rate_error))?;
            Some((choice.coloured(object, star)?.colour, star.magnitude))
        });
        let is_fit = !source.flags.has(UNFIT_FLAGS);
        Some(CalibrationPoint { instrumental, error, expected, colour, is_fit })
    });
    Some(CalibrationSample {
        frame: frame.name().to_owned(),
        filter: filter.to_owned(),
        zero_point,
        zero_point_error,
        scale: scale.clone(),
        points: points.collect(),
    })
}

/// The table of all of them as comma-separated text, magnitudes by filter.
pub fn as_csv(sources: &[CataloguedSource], filters: &[String]) -> String {
    let quoted =
        |text: &str| format!("\"{}\"", text.replace('"', "\"\"").replace(['\r', '\n'], " "));
    let mut text = "id,kind,ra_deg,dec_deg".to_owned();
    for filter in filters {
        for column in ["mag", "scatter", "stated_error", "frames", "catalogue_mag"] {
            text.push(',');
            text.push_str(&quoted(&format!("{filter}_{column}")));
        }
    }
    text.push('\n');
    let figure = |value: Option<f64>| value.map(|value| format!("{value:.4}")).unwrap_or_default();
    for source in sources {
        let kind = match source.kind {
            ObjectKind::Star => "star",
            ObjectKind::Galaxy => "galaxy",
            ObjectKind::Unknown => "unknown",
        };
        let SkyPosition { ra_degrees, dec_degrees } = source.position;
        text.push_str(&format!("{},{kind},{ra_degrees:.6},{dec_degrees:.6}", quoted(&source.id)));
        for measured in &source.magnitudes {
            match measured {
                Some(measured) => text.push_str(&format!(
                    ",{:.4},{},{:.4},{},{}",
                    measured.magnitude,
                    figure(measured.scatter),
                    measured.stated_error,
                    measured.frame_count,
                    figure(measured.expected)
                )),
                None => text.push_str(",,,,,"),
            }
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_and_scatters_are_those_of_the_magnitudes() {
        let mut sums = Sums::default();
        for magnitude in [15.01, 14.99, 15.03, 14.97] {
            sums.add(magnitude, 0.01);
        }
        let (mean, scatter) = sums.mean_and_scatter();
        assert!((mean - 15.0).abs() < 1e-12);
        assert!((scatter.unwrap() - (0.002_f64 / 3.0).sqrt()).abs() < 1e-12);
        let mut one = Sums::default();
        one.add(15.0, 0.01);
        assert_eq!(one.mean_and_scatter(), (15.0, None));
    }

    #[test]
    fn the_table_has_a_field_for_every_column() {
        let measured = FilterMagnitude {
            filter: "w".into(),
            magnitude: 15.0,
            scatter: None,
            stated_error: 0.01,
            frame_count: 1,
            expected: Some(15.1),
        };
        let source = CataloguedSource {
            id: "a \"b\",c\n".into(),
            kind: ObjectKind::Star,
            position: SkyPosition::new(30.0, 24.0),
            magnitudes: vec![Some(measured), None],
        };
        let text = as_csv(&[source], &["w".into(), "r".into()]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0].matches(',').count(), 13);
        assert_eq!(
            lines[1],
            "\"a \"\"b\"\",c \",star,30.000000,24.000000,15.0000,,0.0100,1,15.1000,,,,,"
        );
    }
}
