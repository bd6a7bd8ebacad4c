//! UTC instants with microsecond resolution.

use jiff::{Timestamp, civil, tz::TimeZone};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{fmt, str::FromStr};

/// An instant of UTC, counted in microseconds since 1970-01-01T00:00:00 (leap seconds are not counted,
/// as in POSIX time). The science products need no better than a millisecond.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UtcTime {
    microseconds: i64,
}

/// A text that is not a date and time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not an ISO 8601 date and time")]
pub struct TimeError {
    /// The text as it was given.
    pub text: String,
}

const MICROSECONDS_PER_SECOND: f64 = 1e6;
const MJD_OF_UNIX_EPOCH: f64 = 40587.0;
const SECONDS_PER_DAY: f64 = 86400.0;

impl UtcTime {
    /// The instant `microseconds` after 1970-01-01T00:00:00.
    pub const fn from_unix_microseconds(microseconds: i64) -> Self {
        Self { microseconds }
    }

    /// Microseconds since 1970-01-01T00:00:00.
    pub const fn unix_microseconds(self) -> i64 {
        self.microseconds
    }

    /// Seconds since 1970-01-01T00:00:00.
    pub fn unix_seconds(self) -> f64 {
        self.microseconds as f64 / MICROSECONDS_PER_SECOND
    }

    /// The instant `seconds` later (earlier if negative), rounded to the microsecond.
    pub fn plus_seconds(self, seconds: f64) -> Self {
        Self {
            microseconds: self
                .microseconds
                .saturating_add((seconds * MICROSECONDS_PER_SECOND).round() as i64),
        }
    }

    /// Seconds from `earlier` to this instant.
    pub fn seconds_since(self, earlier: Self) -> f64 {
        (self.microseconds - earlier.microseconds) as f64 / MICROSECONDS_PER_SECOND
    }

    /// Modified Julian Date of the UTC day.
    pub fn mjd(self) -> f64 {
        MJD_OF_UNIX_EPOCH + self.unix_seconds() / SECONDS_PER_DAY
    }

    /// The instant of a Modified Julian Date.
    pub fn from_mjd(mjd: f64) -> Self {
        Self {
            microseconds: ((mjd - MJD_OF_UNIX_EPOCH) * SECONDS_PER_DAY * MICROSECONDS_PER_SECOND)
                .round() as i64,
        }
    }

    /// The Gregorian calendar date and time of day.
    pub fn civil(self) -> civil::DateTime {
        // An instant outside the years -9999..9999 cannot come from any parser of ours.
        Timestamp::from_microsecond(self.microseconds)
            .unwrap_or(Timestamp::UNIX_EPOCH)
            .to_zoned(TimeZone::UTC)
            .datetime()
    }

    /// Reads the forms found in VOEvents, FITS headers and configuration: date and time separated by
    /// `T` or a blank, with or without fraction, with `Z`, an offset, or no zone (then UTC); a date alone.
    pub fn parse(text: &str) -> Result<Self, TimeError> {
        let trimmed = text.trim();
        let failed = || TimeError { text: text.to_owned() };
        if let Ok(instant) = trimmed.parse::<Timestamp>() {
            return Ok(Self { microseconds: instant.as_microsecond() });
        }
        let without_zone = trimmed.trim_end_matches(['Z', 'z']);
        let local: civil::DateTime = without_zone.parse().map_err(|_| failed())?;
        let zoned = local.to_zoned(TimeZone::UTC).map_err(|_| failed())?;
        Ok(Self { microseconds: zoned.timestamp().as_microsecond() })
    }

    /// `YYYY-MM-DDTHH:MM:SS.sss`, as FITS writes DATE-OBS (no zone: UTC).
    pub fn iso_milliseconds(self) -> String {
        self.rounded_to(1_000).civil().strftime("%Y-%m-%dT%H:%M:%S%.3f").to_string()
    }

    /// `YYYY-MM-DDTHH:MM:SS.ssssssZ`: exact, and in the order of time when sorted as text.
    pub fn iso_microseconds(self) -> String {
        self.civil().strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
    }

    /// `YYYY-MM-DDTHH:MM:SS`, cut to the whole second.
    pub fn iso_seconds(self) -> String {
        self.civil().strftime("%Y-%m-%dT%H:%M:%S").to_string()
    }

    /// `YYYYMMDDTHHMMSS`, the telescope's file name form, cut to the whole second.
    pub fn compact(self) -> String {
        self.civil().strftime("%Y%m%dT%H%M%S").to_string()
    }

    /// `YYYYMMDD` of the UTC day.
    pub fn compact_date(self) -> String {
        self.civil().strftime("%Y%m%d").to_string()
    }

    fn rounded_to(self, step_microseconds: i64) -> Self {
        let half = step_microseconds / 2;
        Self {
            microseconds: (self.microseconds + half).div_euclid(step_microseconds)
                * step_microseconds,
        }
    }
}

impl fmt::Display for UtcTime {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}Z", self.iso_milliseconds())
    }
}

impl fmt::Debug for UtcTime {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl FromStr for UtcTime {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl Serialize for UtcTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.iso_microseconds())
    }
}

impl<'de> Deserialize<'de> for UtcTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_the_notices_is_read_as_the_same_instant() {
        let expected = UtcTime::parse("2025-02-21T20:47:34Z").unwrap();
        for text in [
            "2025-02-21T20:47:34",
            "2025-02-21T20:47:34.000",
            "2025-02-21 20:47:34",
            "2025-02-21T20:47:34+00:00",
            "2025-02-21T21:47:34+01:00",
            " 2025-02-21T20:47:34.000000Z ",
        ] {
            assert_eq!(UtcTime::parse(text).unwrap(), expected, "{text}");
        }
        assert!(UtcTime::parse("yesterday").is_err());
        assert!(UtcTime::parse("").is_err());
    }

    #[test]
    fn modified_julian_date_of_the_svom_epoch() {
        // MJDREFI of every SVOM product: 57754 = 2017-01-01T00:00:00.
        let epoch = UtcTime::parse("2017-01-01").unwrap();
        assert_eq!(epoch.mjd(), 57754.0);
        assert_eq!(UtcTime::from_mjd(57754.0), epoch);
        // astropy: Time('2019-10-16T04:20:01').mjd = 58772.18056712963
        let start = UtcTime::parse("2019-10-16T04:20:01").unwrap();
        assert!((start.mjd() - 58772.18056712963).abs() < 1e-9);
    }

    #[test]
    fn written_forms() {
        let instant = UtcTime::parse("2019-10-16T04:20:01.9996").unwrap();
        assert_eq!(instant.iso_milliseconds(), "2019-10-16T04:20:02.000");
        assert_eq!(instant.iso_seconds(), "2019-10-16T04:20:01");
        assert_eq!(instant.compact(), "20191016T042001");
        assert_eq!(instant.compact_date(), "20191016");
        let text = serde_json::to_string(&instant).unwrap();
        assert_eq!(serde_json::from_str::<UtcTime>(&text).unwrap(), instant);
    }
}
