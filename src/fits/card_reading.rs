//! Values of cards in the forms that telescopes give them: kinds of exposure, dates, angles.

use super::{CardValue, Header};
use crate::model::{FrameKind, UtcTime};

pub(super) const DEGREES_PER_HOUR: f64 = 15.0;
/// Cards that give the time of day where DATE-OBS gives the day alone, as old headers do.
const TIMES_OF_DAY: [&str; 4] = ["TIME-OBS", "UTC-OBS", "UT", "UTSTART"];

/// Kind of an exposure type in the words of several telescopes; unknown words are [`FrameKind::Other`].
pub(super) fn kind_of(text: &str) -> FrameKind {
    let words = text.to_ascii_lowercase();
    let word = words.trim().trim_end_matches("frame").trim_end_matches("field").trim();
    match word {
        "light" | "science" => FrameKind::Object,
        "zero" => FrameKind::Bias,
        "skyflat" | "sky flat" | "domeflat" | "dome flat" | "twilight flat" => FrameKind::Flat,
        word => FrameKind::from_exposure_type(word).unwrap_or(FrameKind::Other),
    }
}

/// Text of a card that is there and not blank.
pub(super) fn non_blank(header: &Header, keyword: &str) -> Option<String> {
    header.text(keyword).filter(|text| !text.is_empty())
}

pub(super) fn first_text(header: &Header, keywords: &[String]) -> Option<String> {
    keywords.iter().find_map(|keyword| non_blank(header, keyword))
}

pub(super) fn positive(header: &Header, keywords: &[String]) -> Option<f64> {
    keywords
        .iter()
        .filter_map(|keyword| header.number(keyword))
        .find(|number| number.is_finite() && *number > 0.0)
}

/// A date and time; of a bare day only with a card for the time of day.
pub(super) fn read_date(header: &Header, keyword: &str, text: &str) -> Option<UtcTime> {
    if keyword.starts_with("MJD") {
        let mjd = header.number(keyword)?;
        return (0.0..200_000.0).contains(&mjd).then(|| UtcTime::from_mjd(mjd));
    }
    if text.contains(['T', ' ']) {
        return UtcTime::parse(text).ok();
    }
    let time = TIMES_OF_DAY.iter().find_map(|keyword| non_blank(header, keyword))?;
    UtcTime::parse(&format!("{text}T{time}")).ok()
}

/// An angle in degrees: a number of degrees, or sexagesimal text whose unit is worth `degrees_per_unit`.
pub(super) fn angle(header: &Header, keyword: &str, degrees_per_unit: f64) -> Option<f64> {
    if let Some(degrees) = header.number(keyword) {
        return degrees.is_finite().then_some(degrees);
    }
    match &header.get(keyword)?.value {
        Some(CardValue::Text(text)) => sexagesimal(text).map(|value| value * degrees_per_unit),
        _ => None,
    }
}

/// `+31 54 01`, `08:51:52.3`, `12h30m05s`, `-00:30:15`; also with minutes alone.
fn sexagesimal(text: &str) -> Option<f64> {
    let text = text.trim();
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    let parts: Vec<&str> = digits
        .split([':', ' ', 'h', 'd', 'm', 's', '\'', '"'])
        .filter(|part| !part.is_empty())
        .collect();
    if !(2..=3).contains(&parts.len()) {
        return None;
    }
    let mut value = 0.0;
    let mut unit = 1.0;
    for (index, part) in parts.iter().enumerate() {
        let number: f64 = part.parse().ok()?;
        if !number.is_finite() || number < 0.0 || (index > 0 && number >= 60.5) {
            return None;
        }
        value += number * unit;
        unit /= 60.0;
    }
    Some(sign * value)
}
