//! A camera as its file describes it: which frames are its, and what their headers leave out.

use super::{
    Header,
    card_reading::{first_text, positive},
    keywords::KeywordLists,
};
use crate::{
    config::cameras::{CameraConfig, ExposureUnit, SoftwareGain},
    model::{CameraTraits, FrameKind, PixelSection},
};

const ARCSEC_PER_DEGREE: f64 = 3600.0;

/// A camera with its keyword lists complete.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Camera {
    config: CameraConfig,
    pub(super) lists: KeywordLists,
}

impl Camera {
    /// `general` are the lists for what the camera's file does not name.
    pub(super) fn new(config: CameraConfig, general: &KeywordLists) -> Self {
        let lists = general.with(&config.keywords);
        Self { config, lists }
    }

    /// Whether a header is of this camera. `stem_camera` is what the file name says.
    pub(super) fn took(&self, header: &Header, stem_camera: Option<&str>) -> bool {
        let recognition = &self.config.recognise;
        let fits_header = recognition.header.iter().all(|(keyword, patterns)| {
            header
                .text(keyword)
                .is_some_and(|value| patterns.iter().any(|pattern| matches(pattern, &value)))
        });
        let of_camera = || {
            let named = first_text(header, &self.lists.instrument);
            [named.as_deref(), stem_camera].into_iter().flatten().any(|name| {
                recognition.cameras.iter().any(|camera| camera.eq_ignore_ascii_case(name.trim()))
            })
        };
        fits_header && (recognition.cameras.is_empty() || of_camera())
    }

    /// Kind of a file-name letter.
    pub(super) fn kind_of_letter(&self, letter: char) -> Option<FrameKind> {
        self.config.frame.letters.get(&letter).copied()
    }

    /// Whether the file names its own letters.
    pub(super) fn has_letters(&self) -> bool {
        !self.config.frame.letters.is_empty()
    }

    pub(super) fn default_kind(&self) -> Option<FrameKind> {
        self.config.frame.kind
    }

    pub(super) fn default_filter(&self) -> Option<String> {
        self.config.frame.filter.clone()
    }

    /// Seconds in the header's unit of exposure times.
    pub(super) fn exposure_unit_seconds(&self) -> f64 {
        match self.config.frame.exposure_unit {
            ExposureUnit::Seconds => 1.0,
            ExposureUnit::Milliseconds => 1e-3,
        }
    }

    /// Electrons per data number where no card says it.
    pub(super) fn gain_electrons(&self, header: &Header) -> Option<f64> {
        let detector = &self.config.detector;
        let gain = detector.gain_electrons?;
        let software = positive(header, &self.lists.software_gain);
        match (detector.software_gain, software) {
            (SoftwareGain::Ignored, _) => Some(gain),
            (SoftwareGain::Divides, Some(software)) => Some(gain / software),
            (SoftwareGain::Multiplies, Some(software)) => Some(gain * software),
            // Without the card the figure cannot be brought to data numbers.
            (_, None) => None,
        }
    }

    pub(super) fn read_noise_electrons(&self) -> Option<f64> {
        self.config.detector.read_noise_electrons
    }

    /// Data numbers, where no card says it: the lower of what the file gives and the converter's end.
    pub(super) fn saturation(&self, header: &Header) -> Option<f64> {
        let detector = &self.config.detector;
        let software = positive(header, &self.lists.software_gain).unwrap_or(1.0);
        let end = detector.full_scale_dn.map(|scale| scale / software);
        [detector.saturation_dn, end].into_iter().flatten().reduce(f64::min)
    }

    /// What goes with every frame of the camera.
    pub(super) fn traits_of(&self, header: &Header, binning: u32, filter: &str) -> CameraTraits {
        let CameraConfig { detector, sky, frame, .. } = &self.config;
        let stated = positive(header, &self.lists.pixel_scale);
        let nominal = sky
            .pixel_scale_arcsec
            .map(|scale| scale * f64::from(binning) / f64::from(sky.pixel_scale_binning.max(1)));
        let section = |keywords: &[String], nominal: &Option<String>| {
            keywords
                .iter()
                .filter_map(|keyword| header.text(keyword))
                .find_map(|text| PixelSection::parse(&text))
                .or_else(|| PixelSection::parse(nominal.as_deref()?))
        };
        CameraTraits {
            name: self.config.name.clone(),
            telescope: self.config.telescope.clone(),
            pixel_scale_degrees: stated.or(nominal).map(|scale| scale / ARCSEC_PER_DEGREE),
            rotation_degrees: sky.rotation_degrees,
            is_mirrored: sky.is_mirrored,
            is_reduced: frame.is_reduced,
            data_section: section(&self.lists.data_section, &detector.data_section),
            overscan_section: section(&self.lists.overscan_section, &detector.overscan_section),
            minimum_flat_level_dn: detector.minimum_flat_level_dn,
            filter_rules: self.config.photometry.get(filter).cloned().unwrap_or_default(),
        }
    }
}

/// Whether a text is of a pattern, any case; `*` stands for any text.
fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.trim().to_ascii_lowercase(), text.trim().to_ascii_lowercase());
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut left) = text.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        let Some((_, after)) = left.split_once(part) else { return false };
        left = after;
    }
    left.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn camera(text: &str) -> Camera {
        let config = CameraConfig::parse(Path::new("x.toml"), text).unwrap();
        Camera::new(config, &KeywordLists::default())
    }

    #[test]
    fn patterns() {
        for (pattern, text, fits) in [
            ("RATIR", "ratir ", true),
            ("RATIR", "RATIR2", false),
            ("ARCSAT*", "ARCSAT 0.5-m", true),
            ("*COATLI*", "OAN/SPM COATLI 50-cm f/8", true),
            ("*COATLI*", "OAN COLIBRI 1.3-m", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c", false),
            ("*", "", true),
        ] {
            assert_eq!(matches(pattern, text), fits, "{pattern} {text}");
        }
    }

    #[test]
    fn the_software_gain_means_what_the_file_says() {
        let mut header = Header::new();
        header.set("T", "x", "");
        header.set("SOFTGAIN", 4_i64, "");
        let of = |rule: &str| {
            camera(&format!(
                "[recognise.header]\nT = [\"x\"]\n[detector]\ngain_electrons = 18.64\nsoftware_gain = \"{rule}\"\nfull_scale_dn = 65536\n"
            ))
        };
        let close = |value: Option<f64>, expected: f64| (value.unwrap() - expected).abs() < 1e-9;
        assert!(close(of("divides").gain_electrons(&header), 4.66));
        assert!(close(of("multiplies").gain_electrons(&header), 74.56));
        assert!(close(of("ignored").gain_electrons(&header), 18.64));
        assert!(close(of("ignored").saturation(&header), 16384.0));
        assert_eq!(of("divides").gain_electrons(&Header::new()), None);
    }

    #[test]
    fn the_scale_follows_the_binning_and_sections_come_from_cards_first() {
        let camera = camera(
            "[recognise.header]\nT = [\"x\"]\n[keywords]\ndata_section = [\"DATASEC\"]\n\
             [detector]\ndata_section = \"[1:4,1:4]\"\n\
             [sky]\npixel_scale_arcsec = 0.317\npixel_scale_binning = 2\n",
        );
        let mut header = Header::new();
        let scale = camera.traits_of(&header, 1, "r").pixel_scale_degrees.unwrap() * 3600.0;
        assert!((scale - 0.1585).abs() < 1e-12);
        assert_eq!(
            camera.traits_of(&header, 1, "r").data_section,
            PixelSection::parse("[1:4,1:4]")
        );
        header.set("DATASEC", "[3:9,2:8]", "");
        assert_eq!(
            camera.traits_of(&header, 2, "r").data_section,
            PixelSection::parse("[3:9,2:8]")
        );
    }
}
