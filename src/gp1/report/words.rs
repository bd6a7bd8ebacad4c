//! Numbers, instants and reasons as people read them.

use crate::model::{SkyPosition, UtcTime, VettingReason};

/// What stands for a number that is not there.
pub const ABSENT: &str = "–";

/// A text as content or attribute of HTML and XML; characters that neither may have are left out.
pub fn escaped(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => result.push_str("&amp;"),
            '<' => result.push_str("&lt;"),
            '>' => result.push_str("&gt;"),
            '"' => result.push_str("&quot;"),
            '\'' => result.push_str("&#39;"),
            '\n' | '\t' => result.push(' '),
            '\u{fffe}' | '\u{ffff}' => {}
            letter if letter.is_control() => {}
            letter => result.push(letter),
        }
    }
    result
}

/// A number with so many decimals; [`ABSENT`] where it is none.
pub fn number(value: f64, decimals: usize) -> String {
    if !value.is_finite() {
        return ABSENT.to_owned();
    }
    let text = format!("{value:.decimals$}");
    match text.strip_prefix('-') {
        Some(rest) if rest.bytes().all(|byte| b"0.".contains(&byte)) => rest.to_owned(),
        Some(rest) => format!("−{rest}"),
        None => text,
    }
}

/// A value with its standard error.
pub fn with_error(value: f64, error: f64, decimals: usize) -> String {
    match value.is_finite() && error.is_finite() && error > 0.0 {
        true => format!("{} ± {}", number(value, decimals), number(error, decimals)),
        false => number(value, decimals),
    }
}

/// Seconds in the unit that is easiest to read.
pub fn duration(seconds: f64) -> String {
    let size = seconds.abs();
    match seconds {
        seconds if !seconds.is_finite() => ABSENT.to_owned(),
        seconds if size < 120.0 => format!("{} s", number(seconds, 0)),
        seconds if size < 7200.0 => format!("{} min", number(seconds / 60.0, 1)),
        seconds if size < 172_800.0 => format!("{} h", number(seconds / 3600.0, 2)),
        seconds => format!("{} d", number(seconds / 86_400.0, 2)),
    }
}

/// An instant so many seconds after T0.
pub fn after_t0(seconds: f64) -> String {
    let sign = if seconds < 0.0 { '−' } else { '+' };
    format!("T0 {sign} {}", duration(seconds.abs()))
}

/// An angle in the unit that is easiest to read.
pub fn angle(arcsec: f64) -> String {
    match arcsec {
        arcsec if !arcsec.is_finite() => ABSENT.to_owned(),
        arcsec if arcsec < 120.0 => format!("{}″", number(arcsec, 1)),
        arcsec if arcsec < 7200.0 => format!("{}′", number(arcsec / 60.0, 1)),
        arcsec => format!("{}°", number(arcsec / 3600.0, 2)),
    }
}

/// `YYYY-MM-DD HH:MM:SS`, UTC.
pub fn date_and_time(instant: UtcTime) -> String {
    instant.plus_seconds(0.5).iso_seconds().replace('T', " ")
}

/// Right ascension and declination in sexagesimal form, to 0.01 s and 0.1″.
pub fn sexagesimal(position: SkyPosition) -> (String, String) {
    if !(position.ra_degrees.is_finite() && position.dec_degrees.is_finite()) {
        return (ABSENT.to_owned(), ABSENT.to_owned());
    }
    let hundredths =
        (position.ra_degrees.rem_euclid(360.0) / 15.0 * 360_000.0).round() as u64 % 8_640_000;
    let tenths = (position.dec_degrees.abs() * 36_000.0).round() as u64;
    let sign = if position.dec_degrees < 0.0 { '-' } else { '+' };
    (
        format!(
            "{:02}:{:02}:{:02}.{:02}",
            hundredths / 360_000,
            hundredths / 6000 % 60,
            hundredths / 100 % 60,
            hundredths % 100
        ),
        format!(
            "{sign}{:02}:{:02}:{:02}.{}",
            tenths / 36_000,
            tenths / 600 % 60,
            tenths / 10 % 60,
            tenths % 10
        ),
    )
}

/// A count with its noun, which takes an s.
pub fn plural(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// A vetting reason in words.
pub fn reason(reason: VettingReason) -> &'static str {
    match reason {
        VettingReason::NotInCatalogue => "not in the catalogue",
        VettingReason::BrighterThanCatalogue => "brighter than the catalogue says",
        VettingReason::Fading => "fading",
        VettingReason::Brightening => "brightening",
        VettingReason::Constant => "constant",
        VettingReason::SeenOnce => "seen once only",
        VettingReason::Intermittent => "not seen on most frames",
        VettingReason::InDifference => "new or brighter than on the template",
        VettingReason::InTemplate => "the same on the template",
        VettingReason::NearEdge => "near the edge",
        VettingReason::NearSaturated => "near a saturated star",
        VettingReason::NearMaskedPixels => "near bad pixels",
        VettingReason::SharperThanStars => "sharper than stars",
        VettingReason::WiderThanStars => "wider than stars",
        VettingReason::InSearchRegion => "in the search region",
        VettingReason::OutsideSearchRegion => "outside the search region",
        VettingReason::FainterThanCatalogueLimit => "fainter than the catalogue's limit",
        VettingReason::NearGalaxy => "near a galaxy",
        VettingReason::MinorPlanet => "where a minor planet is predicted",
        VettingReason::CatalogueUnavailable => "no catalogue to compare with",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_is_harmless() {
        let hostile = "<script>alert('1')</script>\" onload=\"x\u{0}\u{1b}&amp;\n";
        let harmless = escaped(hostile);
        assert!(!harmless.contains(['<', '>', '"', '\'', '\u{0}', '\u{1b}', '\n']));
        assert!(harmless.contains("&lt;script&gt;") && harmless.contains("&amp;amp;"));
    }

    #[test]
    fn numbers_are_as_people_write_them() {
        assert_eq!(number(-0.001, 2), "0.00");
        assert_eq!(number(-1.5, 1), "−1.5");
        assert_eq!(number(f64::NAN, 1), ABSENT);
        assert_eq!(with_error(17.1234, 0.0456, 2), "17.12 ± 0.05");
        assert_eq!(with_error(17.1234, 0.0, 2), "17.12");
        assert_eq!(duration(90.0), "90 s");
        assert_eq!(duration(-300.0), "−5.0 min");
        assert_eq!(after_t0(-300.0), "T0 − 5.0 min");
        assert_eq!(after_t0(90.0), "T0 + 90 s");
        assert_eq!(duration(1e6), "11.57 d");
        assert_eq!(angle(12.34), "12.3″");
        assert_eq!(angle(600.0), "10.0′");
        assert_eq!(plural(1, "frame"), "1 frame");
        assert_eq!(plural(0, "frame"), "0 frames");
    }

    #[test]
    fn sexagesimal_rounds_without_sixties() {
        let of = |ra, dec| sexagesimal(SkyPosition::new(ra, dec));
        assert_eq!(of(30.2695, 24.5099), ("02:01:04.68".into(), "+24:30:35.6".into()));
        assert_eq!(of(359.999_999_9, -0.000_01), ("00:00:00.00".into(), "-00:00:00.0".into()));
        assert_eq!(of(0.0, -89.999_999_9), ("00:00:00.00".into(), "-90:00:00.0".into()));
        assert_eq!(of(f64::NAN, 0.0), (ABSENT.to_owned(), ABSENT.to_owned()));
    }
}
