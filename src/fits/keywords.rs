//! From a camera's header dialect to the cards the controller acts on, with fall-backs.
//!
//! The telescope leaves cards of missing values out, writes strings unpadded and has no `TRGID`, `OBSERVER` or (in old
//! files) `EXPTYPE`; other telescopes write sexagesimal angles and blank strings. `SOFTGAIN` divides data numbers in the
//! controller of the camera and says nothing by itself of electrons: what it means is for the camera's file to say.

use super::{
    FileStem, Header,
    camera::Camera,
    card_reading::{DEGREES_PER_HOUR, angle, first_text, kind_of, non_blank, positive, read_date},
};
use crate::config::{
    ConfigError,
    cameras::{CameraConfig, KeywordChanges},
};
use crate::model::{FrameKeywords, FrameKind, SkyPosition, UtcTime};

macro_rules! keyword_lists {
    ($($(#[$doc:meta])* $name:ident: [$($keyword:literal),*],)*) => {
        /// For each thing the controller wants, the keywords that may hold it, best first. The default is the shipped table.
        #[derive(Debug, Clone, PartialEq)]
        pub struct KeywordLists {
            $($(#[$doc])* pub $name: Vec<String>,)*
        }

        impl Default for KeywordLists {
            fn default() -> Self {
                Self { $($name: vec![$($keyword.to_owned()),*],)* }
            }
        }

        impl KeywordLists {
            /// The lists of a file, and these for what it does not name.
            pub fn with(&self, changes: &KeywordChanges) -> Self {
                Self {
                    $($name: changes.$name.clone().unwrap_or_else(|| self.$name.clone()),)*
                }
            }
        }
    };
}

keyword_lists! {
    trigger_id: ["TRGID", "ALID", "ALSVID", "BLKID"],
    observer: ["OBSERVER", "PRPID", "ALOR"],
    object: ["OBJECT", "ALNM", "BLKNM"],
    exposure_type: ["EXPTYPE", "IMAGETYP", "OBSTYPE"],
    instrument: ["INSTRUME"],
    filter: ["FILTER"],
    exposure_seconds: ["EXPTIME", "EXPOSURE"],
    date_obs: ["DATE-OBS", "DATE_OBS", "MJD-OBS"],
    /// Runs parallel to `declination`: the first pair of which both can be read is taken. The telescope's standard
    /// coordinates are those of J2000; its current ones are of date.
    right_ascension: ["STRSTRA", "STRCURA", "CRVAL1", "RA", "OBJCTRA"],
    declination: ["STRSTDE", "STRCUDE", "CRVAL2", "DEC", "OBJCTDEC"],
    gain_electrons: ["GAIN", "EGAIN"],
    read_noise_electrons: ["RDNOISE", "READNOIS"],
    saturation: ["SATURATE", "DATASAT"],
    binning: ["BINNING", "XBINNING", "CCDSUM"],
    software_gain: ["SOFTGAIN"],
    /// Arcseconds per pixel of the frame.
    pixel_scale: [],
    data_section: [],
    overscan_section: [],
}

/// The keyword lists of every camera: those of its file where one fits the header, else the general ones.
/// [`KeywordMap::default`] knows no cameras.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct KeywordMap {
    general: KeywordLists,
    cameras: Vec<Camera>,
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
    /// `changes` are the site's, for every camera; the lists of a camera's own file come before them.
    pub fn new(changes: &KeywordChanges, cameras: Vec<CameraConfig>) -> Self {
        let general = KeywordLists::default().with(changes);
        let cameras = cameras.into_iter().map(|config| Camera::new(config, &general)).collect();
        Self { general, cameras }
    }

    /// The map with the cameras that the program carries.
    pub fn shipped() -> Result<Self, ConfigError> {
        Ok(Self::new(&KeywordChanges::default(), CameraConfig::embedded_all()?))
    }

    /// The lists for a header: those of the first camera that it is of.
    pub fn lists(&self, header: &Header, file_stem: &str) -> &KeywordLists {
        let stem = FileStem::parse(file_stem);
        self.camera_of(header, stem.as_ref()).map_or(&self.general, |camera| &camera.lists)
    }

    fn camera_of(&self, header: &Header, stem: Option<&FileStem>) -> Option<&Camera> {
        let name = stem.map(|stem| stem.camera.as_str());
        self.cameras.iter().find(|camera| camera.took(header, name))
    }

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
        let camera = self.camera_of(header, stem.as_ref());
        let reader = Reader {
            lists: camera.map_or(&self.general, |camera| &camera.lists),
            camera,
            header,
            stem: stem.as_ref(),
        };
        reader.read(size_pixels)
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
}

/// One header on its way to keywords.
struct Reader<'a> {
    lists: &'a KeywordLists,
    camera: Option<&'a Camera>,
    header: &'a Header,
    stem: Option<&'a FileStem>,
}

impl Reader<'_> {
    fn read(&self, size_pixels: (usize, usize)) -> Result<FrameKeywords, KeywordError> {
        let Self { lists, camera, header, stem } = *self;
        let kind = self.kind()?;
        let instrument = first_text(header, &lists.instrument)
            .or_else(|| stem.map(|stem| stem.camera.clone()))
            .ok_or_else(|| missing("instrument", &lists.instrument))?;
        let filter = first_text(header, &lists.filter).or_else(|| camera?.default_filter());
        let filter = match filter {
            Some(filter) => filter,
            None if matches!(kind, FrameKind::Object | FrameKind::Flat) => {
                return Err(missing("filter", &lists.filter));
            }
            None => String::new(),
        };
        let binning = self.binning();
        let traits = camera.map(|camera| camera.traits_of(header, binning, &filter));
        Ok(FrameKeywords {
            kind,
            trigger_id: first_text(header, &lists.trigger_id),
            observer: first_text(header, &lists.observer),
            object: first_text(header, &lists.object),
            instrument,
            filter,
            exposure_seconds: self.exposure(kind)?,
            date_obs: self.date()?,
            pointing: self.pointing(),
            gain_electrons: positive(header, &lists.gain_electrons)
                .or_else(|| camera?.gain_electrons(header)),
            read_noise_electrons: positive(header, &lists.read_noise_electrons)
                .or_else(|| camera?.read_noise_electrons()),
            saturation: positive(header, &lists.saturation).or_else(|| camera?.saturation(header)),
            binning,
            size_pixels,
            camera: traits.unwrap_or_default(),
        })
    }

    /// Of the header, else of the letter in the file name, else what the camera takes when nothing is said.
    fn kind(&self) -> Result<FrameKind, KeywordError> {
        if let Some(text) = first_text(self.header, &self.lists.exposure_type) {
            return Ok(kind_of(&text));
        }
        let of_letter = self.stem.map(|stem| match self.camera {
            Some(camera) if camera.has_letters() => {
                camera.kind_of_letter(stem.kind.letter()).unwrap_or(FrameKind::Other)
            }
            _ => stem.kind,
        });
        of_letter
            .or_else(|| self.camera?.default_kind())
            .ok_or_else(|| missing("kind of exposure", &self.lists.exposure_type))
    }

    fn exposure(&self, kind: FrameKind) -> Result<f64, KeywordError> {
        let unit = self.camera.map_or(1.0, Camera::exposure_unit_seconds);
        for keyword in &self.lists.exposure_seconds {
            let Some(text) = non_blank(self.header, keyword) else { continue };
            return match self.header.number(keyword) {
                Some(seconds) if seconds.is_finite() && seconds >= 0.0 => Ok(seconds * unit),
                _ => Err(unreadable(keyword, text, "an exposure time in seconds")),
            };
        }
        if kind == FrameKind::Bias {
            return Ok(0.0);
        }
        Err(missing("exposure time", &self.lists.exposure_seconds))
    }

    fn date(&self) -> Result<UtcTime, KeywordError> {
        let mut refused = None;
        for keyword in &self.lists.date_obs {
            let Some(text) = non_blank(self.header, keyword) else { continue };
            match read_date(self.header, keyword, &text) {
                Some(date) => return Ok(date),
                None => {
                    refused.get_or_insert_with(|| {
                        unreadable(keyword, text, "a date and time of the exposure's start")
                    });
                }
            }
        }
        match (self.stem, refused) {
            (Some(stem), _) => Ok(stem.date),
            (None, Some(error)) => Err(error),
            (None, None) => Err(missing("date of observation", &self.lists.date_obs)),
        }
    }

    fn pointing(&self) -> Option<SkyPosition> {
        self.lists.right_ascension.iter().zip(&self.lists.declination).find_map(|(ra, dec)| {
            let ra = angle(self.header, ra, DEGREES_PER_HOUR)?;
            let dec = angle(self.header, dec, 1.0)?;
            ((-360.0..=360.0).contains(&ra) && (-90.0..=90.0).contains(&dec))
                .then(|| SkyPosition::new(ra, dec))
        })
    }

    /// `2`, `'2x2'`, `'2 2'`; 1 where nothing can be read.
    fn binning(&self) -> u32 {
        let read = |keyword: &String| {
            let text = non_blank(self.header, keyword)?;
            let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
            digits.parse().ok().filter(|&binning| binning > 0)
        };
        self.lists.binning.iter().find_map(read).unwrap_or(1)
    }
}

fn missing(wanted: &str, tried: &[String]) -> KeywordError {
    KeywordError::Missing { wanted: wanted.to_owned(), tried: tried.to_vec() }
}

fn unreadable(keyword: &str, value: String, expected: &str) -> KeywordError {
    KeywordError::Unreadable { keyword: keyword.to_owned(), value, expected: expected.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fits::CardValue;
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
            let lists = KeywordLists::default();
            for name in lists.right_ascension.iter().chain(&lists.date_obs).chain(&lists.exposure_seconds).chain(&lists.binning) {
                let mut header = header(&[("FILTER", "w".into()), ("EXPTYPE", "object".into()), ("INSTRUME", "C0".into())]);
                header.set(name, text.as_str(), "");
                let _ = map.read(&header, &stem, (1, 1));
                header.set(name, number, "");
                let _ = map.read(&header, &stem, (1, 1));
            }
        }
    }
}
