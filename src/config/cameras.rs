//! `cameras/*.toml`: what each camera's headers say and mean. The program carries those of `config/cameras`; a directory
//! named in `gic.toml` (`[cameras] directory`) adds to them, and a file of the same name takes the place of a carried one.

use super::{
    embedded::{embedded, embedded_paths},
    error::{ConfigError, Problem},
    toml_reader::{Checks, parse, read_text},
};
use crate::model::{FilterRules, FrameKind, PixelSection};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// Keyword lists that take the place of the shipped ones (`fits::keywords::KeywordLists`): the keywords that may hold each
/// thing, best first.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KeywordChanges {
    pub trigger_id: Option<Vec<String>>,
    pub observer: Option<Vec<String>>,
    pub object: Option<Vec<String>>,
    pub exposure_type: Option<Vec<String>>,
    pub instrument: Option<Vec<String>>,
    pub filter: Option<Vec<String>>,
    pub exposure_seconds: Option<Vec<String>>,
    pub date_obs: Option<Vec<String>>,
    pub right_ascension: Option<Vec<String>>,
    pub declination: Option<Vec<String>>,
    pub gain_electrons: Option<Vec<String>>,
    pub read_noise_electrons: Option<Vec<String>>,
    pub saturation: Option<Vec<String>>,
    pub binning: Option<Vec<String>>,
    pub software_gain: Option<Vec<String>>,
    pub pixel_scale: Option<Vec<String>>,
    pub data_section: Option<Vec<String>>,
    pub overscan_section: Option<Vec<String>>,
}

/// How a frame of the camera is told from others. Everything that is given must fit.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Recognition {
    /// Keyword and the values it may have, any case; `*` stands for any text.
    pub header: BTreeMap<String, Vec<String>>,
    /// Names of the camera, from the header or the file name: `C0`.
    pub cameras: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExposureUnit {
    #[default]
    Seconds,
    Milliseconds,
}

/// What holds for a frame where its header is silent.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FrameRules {
    /// Where neither header nor file name says it.
    pub kind: Option<FrameKind>,
    /// Kinds of the letter at the end of the file name; empty: those of the telescope control system.
    pub letters: BTreeMap<char, FrameKind>,
    pub filter: Option<String>,
    pub exposure_unit: ExposureUnit,
    /// No master is applied.
    pub is_reduced: bool,
}

/// What the card SOFTGAIN means for the electrons of a data number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SoftwareGain {
    #[default]
    Ignored,
    Divides,
    Multiplies,
}

/// The detector. A card of the header comes before a figure here.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DetectorRules {
    /// Electrons per number, before the software gain.
    pub gain_electrons: Option<f64>,
    pub software_gain: SoftwareGain,
    pub read_noise_electrons: Option<f64>,
    /// Data numbers of the frame.
    pub saturation_dn: Option<f64>,
    /// End of the converter; the software gain divides it.
    pub full_scale_dn: Option<f64>,
    /// `[x1:x2,y1:y2]` as in FITS, for headers without such a card.
    pub data_section: Option<String>,
    pub overscan_section: Option<String>,
    /// Above bias.
    pub minimum_flat_level_dn: Option<f64>,
}

/// How the frame lies on the sky, for headers without coordinates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SkyRules {
    pub pixel_scale_arcsec: Option<f64>,
    /// Binning at which the scale holds.
    pub pixel_scale_binning: u32,
    /// Of the frame's upward direction, from north through east.
    pub rotation_degrees: f64,
    /// East lies clockwise of north.
    pub is_mirrored: bool,
}

impl Default for SkyRules {
    fn default() -> Self {
        Self {
            pixel_scale_arcsec: None,
            pixel_scale_binning: 1,
            rotation_degrees: 0.0,
            is_mirrored: false,
        }
    }
}

/// One file.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CameraConfig {
    /// Name of the file without its ending.
    #[serde(skip)]
    pub name: String,
    pub description: String,
    /// Name of the telescope in products.
    pub telescope: String,
    pub recognise: Recognition,
    pub keywords: KeywordChanges,
    pub frame: FrameRules,
    pub detector: DetectorRules,
    pub sky: SkyRules,
    /// By filter, as headers name it: what its magnitudes are.
    pub photometry: BTreeMap<String, FilterRules>,
}

impl CameraConfig {
    pub fn read(file: &Path) -> Result<Self, ConfigError> {
        Self::parse(file, &read_text(file)?)
    }

    pub fn parse(file: &Path, text: &str) -> Result<Self, ConfigError> {
        let mut camera: Self = parse(file, text)?;
        camera.check(&Checks { file, text })?;
        camera.name =
            file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        Ok(camera)
    }

    fn check(&self, checks: &Checks<'_>) -> Result<(), ConfigError> {
        let recognition = &self.recognise;
        checks.require(
            "recognise.header",
            format!("{:?}", recognition.header),
            !recognition.header.is_empty()
                && recognition.header.values().all(|values| !values.is_empty()),
            "at least one keyword with the values it may have",
        )?;
        let detector = &self.detector;
        for (key, value, maximum) in [
            ("detector.gain_electrons", detector.gain_electrons, 1e4),
            ("detector.read_noise_electrons", detector.read_noise_electrons, 1e5),
            ("detector.saturation_dn", detector.saturation_dn, 1e10),
            ("detector.full_scale_dn", detector.full_scale_dn, 1e10),
            ("detector.minimum_flat_level_dn", detector.minimum_flat_level_dn, 1e10),
            ("sky.pixel_scale_arcsec", self.sky.pixel_scale_arcsec, 3600.0),
        ] {
            if let Some(value) = value {
                checks.range(key, value, 1e-6, maximum)?;
            }
        }
        for (filter, rules) in &self.photometry {
            for (key, value) in [
                ("reference_colour", rules.reference_colour),
                ("colour_term", rules.colour_term),
                ("colour_term_error", rules.colour_term_error),
            ] {
                let key = format!("photometry.{filter}.{key}");
                checks.range(&key, value.unwrap_or(0.0), -10.0, 10.0)?;
            }
            checks.require(
                &format!("photometry.{filter}.colour_term"),
                format!("{:?}", rules.colour_term),
                rules.colour_term.is_none()
                    || (rules.colour.is_some() && rules.reference_colour.is_some()),
                "with the colour and the reference_colour for which it holds",
            )?;
        }
        checks.range("sky.rotation_degrees", self.sky.rotation_degrees, -360.0, 360.0)?;
        let binning = self.sky.pixel_scale_binning;
        checks.require("sky.pixel_scale_binning", binning, binning > 0, "1 or more")?;
        for (key, text) in [
            ("detector.data_section", &detector.data_section),
            ("detector.overscan_section", &detector.overscan_section),
        ] {
            if let Some(text) = text {
                let is_right = PixelSection::parse(text).is_some();
                checks.require(key, text, is_right, "[x1:x2,y1:y2], counted from 1")?;
            }
        }
        Ok(())
    }

    /// The camera files that the program carries, by name.
    pub fn embedded_all() -> Result<Vec<Self>, ConfigError> {
        embedded_paths()
            .filter(|path| path.starts_with("cameras/"))
            .map(|path| Self::parse(Path::new(path), embedded(path).unwrap_or_default()))
            .collect()
    }

    /// Those of a directory, by name, with the carried ones that it does not replace after them: its own are tried first.
    pub fn all_with(directory: &Path) -> Result<Vec<Self>, ConfigError> {
        let unreadable = |error: std::io::Error| {
            ConfigError::new(directory, None, Problem::Unreadable { reason: error.to_string() })
        };
        let mut files: Vec<PathBuf> = Vec::new();
        for entry in std::fs::read_dir(directory).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            if path.extension().is_some_and(|extension| extension == "toml") {
                files.push(path);
            }
        }
        files.sort();
        let mut cameras =
            files.iter().map(|file| Self::read(file)).collect::<Result<Vec<_>, _>>()?;
        for carried in Self::embedded_all()? {
            if cameras.iter().all(|camera| camera.name != carried.name) {
                cameras.push(carried);
            }
        }
        Ok(cameras)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: &str = "[recognise.header]\nTELESCOP = [\"X\"]\n";

    fn message(text: &str) -> String {
        CameraConfig::parse(Path::new("x.toml"), text).unwrap_err().to_string()
    }

    #[test]
    fn the_carried_cameras_are_sound() {
        let cameras = CameraConfig::embedded_all().unwrap();
        let names: Vec<&str> = cameras.iter().map(|camera| camera.name.as_str()).collect();
        for name in ["arcsat", "cagire", "coatli_c0", "ddrago_c1", "ddrago_c2", "ratir_c1"] {
            assert!(names.contains(&name), "{names:?}");
        }
        assert!(cameras.iter().all(|camera| !camera.description.is_empty()));
    }

    #[test]
    fn mistakes_are_explained_with_line_and_names() {
        let unknown = message(&format!("{LEAST}[keywords]\nfilter = [\"F\"]\nfiltre = [\"F\"]\n"));
        assert!(
            unknown.starts_with("x.toml, line 5: unknown field `filtre`, expected"),
            "{unknown}"
        );
        assert!(unknown.contains("`overscan_section`"), "{unknown}");
        assert!(unknown.ends_with("(did you mean 'filter'?)"), "{unknown}");
        assert!(message("description = \"x\"\n").contains("at least one keyword"));
        let negative = message(&format!("{LEAST}[detector]\n\ngain_electrons = -1.0\n"));
        assert!(negative.starts_with("x.toml, line 5: gain_electrons = '-1'"), "{negative}");
        let section = message(&format!("{LEAST}[detector]\ndata_section = \"[2:1,1:5]\"\n"));
        assert!(section.contains("line 4") && section.contains("[x1:x2,y1:y2]"), "{section}");
        assert!(
            message(&format!("{LEAST}[detector]\nsoftware_gain = \"adds\"\n"))
                .contains("unknown variant `adds`, expected one of `ignored`, `divides`")
        );
    }

    #[test]
    fn a_directory_adds_and_replaces() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            std::fs::write(directory.path().join(name), text).unwrap();
        };
        write("arcsat.toml", LEAST);
        write("zadko.toml", LEAST);
        write("notes.txt", "none");
        let cameras = CameraConfig::all_with(directory.path()).unwrap();
        let carried = CameraConfig::embedded_all().unwrap().len();
        assert_eq!(cameras.len(), carried + 1);
        assert_eq!((cameras[0].name.as_str(), cameras[1].name.as_str()), ("arcsat", "zadko"));
        assert!(cameras[0].description.is_empty(), "the site's own");
        write("wrong.toml", "x = 1\n");
        assert!(CameraConfig::all_with(directory.path()).is_err());
        assert!(CameraConfig::all_with(&directory.path().join("none")).is_err());
    }
}
