//! From a camera's header dialect to the cards the controller acts on, with fall-backs.
//!
//! The telescope leaves cards of missing values out, writes strings unpadded and has no `TRGID`, `OBSERVER` or (in old
//! files) `EXPTYPE`; other telescopes write sexagesimal angles and blank strings. `SOFTGAIN` divides data numbers in the
//! controller of the camera and says nothing by itself of electrons: it is not in the default table.

use super::{CardValue, FileStem, Header};
use crate::model::{FrameKeywords, FrameKind, SkyPosition, UtcTime};
use serde::{Deserialize, Serialize};

/// For each thing the controller wants, the keywords that may hold it, best first. Loaded from
/// `config/gic.toml` (`[keywords]`); [`KeywordMap::default`] is the shipped table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KeywordMap {
    pub trigger_id: Vec<String>,
    pub observer: Vec<String>,
    pub object: Vec<String>,
    pub exposure_type: Vec<String>,
    pub instrument: Vec<String>,
    pub filter: Vec<String>,
    pub exposure_seconds: Vec<String>,
    pub date_obs: Vec<String>,
    /// Runs parallel to `declination`: the first pair of which both can be read is taken.
    pub right_ascension: Vec<String>,
    pub declination: Vec<String>,
    pub gain_electrons: Vec<String>,
    pub read_noise_electrons: Vec<String>,
    pub saturation: Vec<String>,
    pub binning: Vec<String>,
}

impl Default for KeywordMap {
    fn default() -> Self {
        let list = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        Self {
            trigger_id: list(&["TRGID", "ALID", "ALSVID", "BLKID"]),
            observer: list(&["OBSERVER", "PRPID", "ALOR"]),
            object: list(&["OBJECT", "ALNM", "BLKNM"]),
            exposure_type: list(&["EXPTYPE", "IMAGETYP", "OBSTYPE"]),
            instrument: list(&["INSTRUME"]),
            filter: list(&["FILTER"]),
            exposure_seconds: list(&["EXPTIME", "EXPOSURE"]),
            date_obs: list(&["DATE-OBS", "DATE_OBS", "MJD-OBS"]),
            // The telescope's standard coordinates are those of J2000; its current ones are of date.
            right_ascension: list(&["STRSTRA", "STRCURA", "CRVAL1", "RA", "OBJCTRA"]),
            declination: list(&["STRSTDE", "STRCUDE", "CRVAL2", "DEC", "OBJCTDEC"]),
            gain_electrons: list(&["GAIN", "EGAIN"]),
            read_noise_electrons: list(&["RDNOISE", "READNOIS"]),
            saturation: list(&["SATURATE", "DATASAT"]),
            binning: list(&["BINNING", "XBINNING", "CCDSUM"]),
        }
    }
}

/// Why a frame cannot be used at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeywordError {
    #[error("none of {tried:?} is in the header: {wanted} unknown")]
    Missing { wanted: String, tried: Vec<String> },
    #[error("{keyword} = '{value}' is not {expected}")]
    Unreadable { keyword: String, value: String, expected: String },
}

impl KeywordMap {
    /// Reads the keywords of a frame. `file_stem` (`20191016T042001C0o`) gives kind, camera and date where the header does
    /// not. Size comes from the caller: columns, rows.
    ///
    /// Bias and dark frames may lack a filter (it is then empty), bias frames an exposure time (then 0).
    pub fn read(
        &self,
        header: &Header,
        file_stem: &str,
        size_pixels: (usize, usize),
    ) -> Result<FrameKeywords, KeywordError> {
        let stem = FileStem::parse(file_stem);
        let kind = self.kind(header, stem.as_ref())?;
        let instrument = first_text(header, &self.instrument)
            .or_else(|| stem.as_ref().map(|stem| stem.camera.clone()))
            .ok_or_else(|| missing("instrument", &self.instrument))?;
        let filter = match first_text(header, &self.filter) {
            Some(filter) => filter,
            None if matches!(kind, FrameKind::Object | FrameKind::Flat) => {
                return Err(missing("filter", &self.filter));
            }
            None => String::new(),
        };
        Ok(FrameKeywords {
            kind,
            trigger_id: first_text(header, &self.trigger_id),
            observer: first_text(header, &self.observer),
            object: first_text(header, &self.object),
            instrument,
            filter,
            exposure_seconds: self.exposure(header, kind)?,
            date_obs: self.date(header, stem.as_ref())?,
            pointing: self.pointing(header),
            gain_electrons: positive(header, &self.gain_electrons),
            read_noise_electrons: positive(header, &self.read_noise_electrons),
            saturation: positive(header, &self.saturation),
            binning: self.binning(header),
            size_pixels,
        })
    }

    /// Value of the seeds' `identifier_header` names: looked up through the map when the name is a
    /// mapped one (`TRGID`, `OBSERVER`, `EXPTYPE`, `INSTRUME`, `FILTER`), then as a card of that name.
    pub fn value_of(
        &self,
        header: &Header,
        keywords: &FrameKeywords,
        name: &str,
    ) -> Option<String> {
        let name = name.trim().to_ascii_uppercase();
        let mapped = match name.as_str() {
            "TRGID" => keywords.trigger_id.clone(),
            "OBSERVER" => keywords.observer.clone(),
            "EXPTYPE" => Some(keywords.kind.name().to_owned()),
            "INSTRUME" => Some(keywords.instrument.clone()),
            "FILTER" => Some(keywords.filter.clone()),
            _ => None,
        };
        mapped.or_else(|| header.text(&name)).filter(|value| !value.is_empty())
    }

    fn kind(&self, header: &Header, stem: Option<&FileStem>) -> Result<FrameKind, KeywordError> {
        if let Some(text) = first_text(header, &self.exposure_type) {
            return Ok(kind_of(&text));
        }
        stem.map(|stem| stem.kind).ok_or_else(|| missing("kind of exposure", &self.exposure_type))
    }

    fn exposure(&self, header: &Header, kind: FrameKind) -> Result<f64, KeywordError> {
        for keyword in &self.exposure_seconds {
            let Some(text) = non_blank(header, keyword) else { continue };
            return match header.number(keyword) {
                Some(seconds) if seconds.is_finite() && seconds >= 0.0 => Ok(seconds),
                _ => Err(unreadable(keyword, text, "an exposure time in seconds")),
            };
        }
        if kind == FrameKind::Bias {
            return Ok(0.0);
        }
        Err(missing("exposure time", &self.exposure_seconds))
    }

    fn date(&self, header: &Header, stem: Option<&FileStem>) -> Result<UtcTime, KeywordError> {
        let mut refused = None;
        for keyword in &self.date_obs {
            let Some(text) = non_blank(header, keyword) else { continue };
            match read_date(header, keyword, &text) {
                Some(date) => return Ok(date),
                None => {
                    refused.get_or_insert_with(|| {
                        unreadable(keyword, text, "a date and time of the exposure's start")
                    });
                }
            }
        }
        match (stem, refused) {
            (Some(stem), _) => Ok(stem.date),
            (None, Some(error)) => Err(error),
            (None, None) => Err(missing("date of observation", &self.date_obs)),
        }
    }

    fn pointing(&self, header: &Header) -> Option<SkyPosition> {
        self.right_ascension.iter().zip(&self.declination).find_map(|(ra, dec)| {
            let ra = angle(header, ra, DEGREES_PER_HOUR)?;
            let dec = angle(header, dec, 1.0)?;
            ((-360.0..=360.0).contains(&ra) && (-90.0..=90.0).contains(&dec))
                .then(|| SkyPosition::new(ra, dec))
        })
    }

    /// `2`, `'2x2'`, `'2 2'`; 1 where nothing can be read.
    fn binning(&self, header: &Header) -> u32 {
        let read = |keyword: &String| {
            let text = non_blank(header, keyword)?;
            let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
            digits.parse().ok().filter(|&binning| binning > 0)
        };
        self.binning.iter().find_map(read).unwrap_or(1)
    }
}

const DEGREES_PER_HOUR: f64 = 15.0;
/// Cards that give the time of day where DATE-OBS gives the day alone, as old headers do.
const TIMES_OF_DAY: [&str; 4] = ["TIME-OBS", "UTC-OBS", "UT", "UTSTART"];

/// Kind of an exposure type in the words of several telescopes; unknown words are [`FrameKind::Other`].
fn kind_of(text: &str) -> FrameKind {
    let words = text.to_ascii_lowercase();
    let word = words.trim().trim_end_matches("frame").trim_end_matches("field").trim();
    match word {
        "light" | "science" => FrameKind::Object,
        "zero" => FrameKind::Bias,
        "skyflat" | "sky flat" | "domeflat" | "dome flat" | "twilight flat" => FrameKind::Flat,
        word => FrameKind::from_exposure_type(word).unwrap_or(FrameKind::Other),
    }
}

fn missing(wanted: &str, tried: &[String]) -> KeywordError {
    KeywordError::Missing { wanted: wanted.to_owned(), tried: tried.to_vec() }
}

fn unreadable(keyword: &str, value: String, expected: &str) -> KeywordError {
    KeywordError::Unreadable { keyword: keyword.to_owned(), value, expected: expected.to_owned() }
}

/// Text of a card that is there and not blank.
fn non_blank(header: &Header, keyword: &str) -> Option<String> {
    header.text(keyword).filter(|text| !text.is_empty())
}

fn first_text(header: &Header, keywords: &[String]) -> Option<String> {
    keywords.iter().find_map(|keyword| non_blank(header, keyword))
}

fn positive(header: &Header, keywords: &[String]) -> Option<f64> {
    keywords
        .iter()
        .filter_map(|keyword| header.number(keyword))
        .find(|number| number.is_finite() && *number > 0.0)
}

/// A date and time; of a bare day only with a card for the time of day.
fn read_date(header: &Header, keyword: &str, text: &str) -> Option<UtcTime> {
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
fn angle(header: &Header, keyword: &str, degrees_per_unit: f64) -> Option<f64> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STEM: &str = "20191016T042001C0o";

    fn header(cards: &[(&str, CardValue)]) -> Header {
        let mut header = Header::new();
        for (keyword, value) in cards {
            header.set(keyword, value.clone(), "");
        }
        header
    }

    fn read(cards: &[(&str, CardValue)], stem: &str) -> Result<FrameKeywords, KeywordError> {
        KeywordMap::default().read(&header(cards), stem, (1092, 736))
    }

    #[test]
    fn a_frame_of_an_alert_is_read_in_the_telescopes_words() {
        let keywords = read(
            &[
                ("TRGID", 929744_i64.into()),
                ("OBSERVER", "  ".into()),
                ("PRPID", 1005_i64.into()),
                ("EXPTYPE", "firstalertobject".into()),
                ("FILTER", "w".into()),
                ("EXPTIME", 60_i64.into()),
                ("DATE-OBS", "2019-10-16T04:20:01.250".into()),
                ("STRSTRA", 30.27.into()),
                ("STRSTDE", 24.51.into()),
                ("STRCURA", 30.54.into()),
                ("STRCUDE", 24.60.into()),
                ("BINNING", "2x2".into()),
                ("SOFTGAIN", 8_i64.into()),
                ("DATASAT", 8191.0.into()),
                ("RDNOISE", 0.0.into()),
            ],
            STEM,
        )
        .unwrap();
        assert_eq!(keywords.trigger_id.as_deref(), Some("929744"));
        assert_eq!(keywords.observer.as_deref(), Some("1005"));
        assert_eq!(keywords.kind, FrameKind::Object);
        assert_eq!(keywords.instrument, "C0", "from the name");
        assert_eq!(keywords.exposure_seconds, 60.0);
        assert_eq!(keywords.date_obs, UtcTime::parse("2019-10-16T04:20:01.250").unwrap());
        assert_eq!(keywords.pointing, Some(SkyPosition::new(30.27, 24.51)));
        assert_eq!(keywords.binning, 2);
        assert_eq!(keywords.gain_electrons, None, "SOFTGAIN is no gain");
        assert_eq!(keywords.read_noise_electrons, None, "zero is no read noise");
        assert_eq!(keywords.saturation, Some(8191.0));
        assert_eq!(keywords.size_pixels, (1092, 736));
    }

    #[test]
    fn the_file_name_speaks_where_the_header_is_silent() {
        let bias = read(&[("INSTRUME", "RATIR".into())], "20130716T032429C1b").unwrap();
        assert_eq!(
            (bias.kind, bias.filter.as_str(), bias.exposure_seconds),
            (FrameKind::Bias, "", 0.0)
        );
        assert_eq!(bias.instrument, "RATIR");
        assert_eq!(bias.date_obs, UtcTime::parse("2013-07-16T03:24:29").unwrap());
        let error = read(&[("EXPTIME", 10.0.into())], STEM).unwrap_err();
        assert!(
            matches!(&error, KeywordError::Missing { wanted, .. } if wanted == "filter"),
            "{error}"
        );
        let cards =
            [("FILTER", "i".into()), ("EXPTIME", 10.0.into()), ("EXPTYPE", "object".into())];
        let error = read(&cards, "unsolved").unwrap_err();
        assert!(error.to_string().contains("instrument"), "{error}");
    }

    #[test]
    fn other_dialects_are_understood() {
        let keywords = read(
            &[
                ("IMAGETYP", "Light Frame".into()),
                ("INSTRUME", "dcam".into()),
                ("FILTER", "z".into()),
                ("EXPOSURE", "12.5".into()),
                ("DATE-OBS", "2025-06-02".into()),
                ("TIME-OBS", "03:21:41.04".into()),
                ("OBJCTRA", "08 51 52".into()),
                ("OBJCTDEC", "-00 54 01".into()),
                ("EGAIN", 1.5.into()),
                ("XBINNING", 4_i64.into()),
            ],
            "light",
        )
        .unwrap();
        assert_eq!(keywords.kind, FrameKind::Object);
        assert_eq!(keywords.exposure_seconds, 12.5);
        assert_eq!(keywords.date_obs, UtcTime::parse("2025-06-02T03:21:41.04").unwrap());
        let pointing = keywords.pointing.unwrap();
        // astropy: Angle('08 51 52', unit='hourangle').deg, Angle('-00 54 01', unit='deg').deg
        assert!((pointing.ra_degrees - 132.966_666_666_666_67).abs() < 1e-10);
        assert!((pointing.dec_degrees + 0.900_277_777_777_777_8).abs() < 1e-12);
        assert_eq!((keywords.gain_electrons, keywords.binning), (Some(1.5), 4));
        for (word, kind) in [
            ("BIAS", FrameKind::Bias),
            ("Zero", FrameKind::Bias),
            ("Flat Field", FrameKind::Flat),
            ("Dark Frame", FrameKind::Dark),
            ("astrometry", FrameKind::Focus),
            ("tricolor", FrameKind::Other),
        ] {
            assert_eq!(kind_of(word), kind, "{word}");
        }
    }

    #[test]
    fn values_that_cannot_be_read_are_told_with_their_card() {
        let cards = |exposure: &str| {
            vec![
                ("FILTER", "w".into()),
                ("EXPTIME", exposure.into()),
                ("DATE-OBS", "2019-10-16".into()),
            ]
        };
        let error = read(&cards("long"), STEM).unwrap_err();
        assert_eq!(error.to_string(), "EXPTIME = 'long' is not an exposure time in seconds");
        assert!(read(&cards("-1"), STEM).is_err() && read(&cards("nan"), STEM).is_err());
        // A day without a time of day would be hours wrong: the name is better, and without one there is no date.
        assert_eq!(read(&cards("1"), STEM).unwrap().date_obs, FileStem::parse(STEM).unwrap().date);
        let mut nameless = cards("1");
        nameless.extend([("INSTRUME", "C0".into()), ("EXPTYPE", "object".into())]);
        assert!(matches!(read(&nameless, "x"), Err(KeywordError::Unreadable { .. })));
    }

    #[test]
    fn identifier_headers_are_mapped_before_they_are_cards() {
        let map = KeywordMap::default();
        let header = header(&[
            ("ALID", "sb22020379".into()),
            ("EXPTIME", 1.0.into()),
            ("FILTER", "r".into()),
            ("PRPID", "1004".into()),
            ("BLANK1", " ".into()),
        ]);
        let keywords = map.read(&header, STEM, (10, 10)).unwrap();
        let value = |name: &str| map.value_of(&header, &keywords, name);
        assert_eq!(value("TRGID").as_deref(), Some("sb22020379"));
        assert_eq!(value("observer").as_deref(), Some("1004"));
        assert_eq!(value("EXPTYPE").as_deref(), Some("object"));
        assert_eq!(value("INSTRUME").as_deref(), Some("C0"));
        assert_eq!(value("FILTER").as_deref(), Some("r"));
        assert_eq!(value("ALID").as_deref(), Some("sb22020379"));
        assert_eq!((value("BLANK1"), value("ABSENT")), (None, None));
    }

    proptest! {
        #[test]
        fn any_header_is_read_or_refused(text in "\\PC{0,30}", stem in "\\PC{0,20}", number in any::<f64>()) {
            let map = KeywordMap::default();
            for name in map.right_ascension.iter().chain(&map.date_obs).chain(&map.exposure_seconds).chain(&map.binning) {
                let mut header = header(&[("FILTER", "w".into()), ("EXPTYPE", "object".into()), ("INSTRUME", "C0".into())]);
                header.set(name, text.as_str(), "");
                let _ = map.read(&header, &stem, (1, 1));
                header.set(name, number, "");
                let _ = map.read(&header, &stem, (1, 1));
            }
        }
    }
}
