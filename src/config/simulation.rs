//! `simulation.toml`: the sky and the story of `gic simulate` (interfaces.md §6). The shipped file holds every key
//! with its default and says what it is for.

use super::{
    embedded::embedded,
    error::ConfigError,
    toml_reader::{Checks, parse, read_text},
};
use crate::model::{SkyPosition, UtcTime};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The whole file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SimulationConfig {
    /// Everything random follows from it.
    pub seed: u64,
    /// Clock seconds per wall second, at most.
    pub speed: f64,
    pub sky: SkySettings,
    pub story: StorySettings,
    pub catalogue: SimulatedCatalogueSettings,
    pub products: SimulatedProductsSettings,
}

/// The synthetic sky and the camera that looks at it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SkySettings {
    /// Columns and rows of a frame.
    pub width_pixels: usize,
    pub height_pixels: usize,
    pub scale_degrees: f64,
    /// Centre of the field.
    pub right_ascension_degrees: f64,
    pub declination_degrees: f64,
    pub instrument: String,
    pub filter: String,
    /// Electrons per data number.
    pub gain_electrons: f64,
    pub read_noise_electrons: f64,
    pub bias_level_dn: f64,
    pub dark_electrons_per_second: f64,
    /// Data numbers at which pixels saturate and bleed.
    pub saturation_dn: f64,
    pub bad_column_count: usize,
    pub star_count: usize,
    pub galaxy_count: usize,
    /// Faintest star or galaxy.
    pub magnitude_limit: f64,
    /// Constant sources that no catalogue has.
    pub new_source_count: usize,
    /// Brightest and faintest of them.
    pub new_source_magnitudes: [f64; 2],
    /// Magnitude that gives one electron per second.
    pub zero_point: f64,
    /// Sky light on each pixel.
    pub sky_electrons_per_second: f64,
    /// Smallest and largest full width at half maximum of a star.
    pub seeing_arcsec: [f64; 2],
    /// Largest dither on each axis.
    pub dither_arcsec: f64,
    /// Smallest and largest pointing error of a night; the header does not know of it.
    pub pointing_error_arcsec: [f64; 2],
    /// Rotation of the camera the header does not know of.
    pub rotation_degrees: f64,
    /// Mean number.
    pub cosmic_rays_per_second: f64,
    /// Share of the frames that a satellite crosses.
    pub satellite_trail_probability: f64,
    /// Frames of each kind made before the story begins.
    pub calibration_frame_count: usize,
    pub afterglow: AfterglowSettings,
}

/// The fading source: m(t) = m₆₀ + 2.5 α log₁₀((t − T0)/60 s).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AfterglowSettings {
    /// m₆₀.
    pub magnitude_at_60_seconds: f64,
    /// α.
    pub index: f64,
    /// Smallest and largest distance of the afterglow from the centre of the field.
    pub offset_arcsec: [f64; 2],
    /// Its host galaxy: distance from it, and magnitude.
    pub galaxy_offset_arcsec: [f64; 2],
    pub galaxy_magnitude: f64,
}

/// What happens when. All times are seconds after T0 unless said otherwise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StorySettings {
    pub t0: UtcTime,
    /// The last two digits of the burst id `sbYYMMDDnn`.
    pub burst_number: u32,
    /// GRM notice without position.
    pub grm_seconds: f64,
    /// ECLAIRs wake-up.
    pub eclairs_seconds: f64,
    pub slewing_seconds: f64,
    pub mxt_seconds: f64,
    /// 90 % radii the notices give.
    pub eclairs_radius_arcmin: f64,
    pub slewing_radius_arcmin: f64,
    pub mxt_radius_arcmin: f64,
    /// Start of the first exposure.
    pub first_exposure_seconds: f64,
    /// From the start of one exposure to that of the next.
    pub cadence_seconds: f64,
    pub exposure_seconds: f64,
    /// From the end of an exposure to the last byte of its file.
    pub readout_seconds: f64,
    /// How long frames are taken, from the first.
    pub duration_minutes: f64,
    /// Instrument of a second camera that works through another programme while the first follows the burst, at the same cadence;
    /// empty: there is none.
    pub second_camera: String,
}

/// What the local catalogue knows of the sky.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SimulatedCatalogueSettings {
    /// Standard deviation per axis.
    pub position_blur_arcsec: f64,
    pub magnitude_blur: f64,
    /// Faintest object.
    pub limit: f64,
}

/// What differs in the products from `gic.toml`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SimulatedProductsSettings {
    pub filters: Vec<String>,
}

/// T0 of the default story: 2026-11-02T04:18:00, which the test holds to the shipped file.
const DEFAULT_T0: UtcTime = UtcTime::from_unix_microseconds(1_793_593_080_000_000);

impl Default for SimulationConfig {
    fn default() -> Self {
        Self {
            seed: 1,
            speed: 60.0,
            sky: SkySettings::default(),
            story: StorySettings::default(),
            catalogue: SimulatedCatalogueSettings::default(),
            products: SimulatedProductsSettings::default(),
        }
    }
}

impl Default for SkySettings {
    fn default() -> Self {
        Self {
            width_pixels: 1024,
            height_pixels: 1024,
            scale_degrees: 0.000195,
            right_ascension_degrees: 30.2695,
            declination_degrees: 24.5099,
            instrument: "C0".into(),
            filter: "w".into(),
            gain_electrons: 6.2,
            read_noise_electrons: 8.0,
            bias_level_dn: 600.0,
            dark_electrons_per_second: 0.05,
            saturation_dn: 7000.0,
            bad_column_count: 3,
            star_count: 1634,
            galaxy_count: 263,
            magnitude_limit: 21.8,
            new_source_count: 40,
            new_source_magnitudes: [16.5, 20.7],
            zero_point: 22.8,
            sky_electrons_per_second: 6.5,
            seeing_arcsec: [1.2, 2.5],
            dither_arcsec: 30.0,
            pointing_error_arcsec: [25.0, 45.0],
            rotation_degrees: 0.1,
            cosmic_rays_per_second: 0.5,
            satellite_trail_probability: 0.04,
            calibration_frame_count: 8,
            afterglow: AfterglowSettings::default(),
        }
    }
}

impl Default for AfterglowSettings {
    fn default() -> Self {
        Self {
            magnitude_at_60_seconds: 16.0,
            index: 1.0,
            offset_arcsec: [40.0, 190.0],
            galaxy_offset_arcsec: [4.0, 6.0],
            galaxy_magnitude: 20.4,
        }
    }
}

impl Default for StorySettings {
    fn default() -> Self {
        Self {
            t0: DEFAULT_T0,
            burst_number: 1,
            grm_seconds: 30.0,
            eclairs_seconds: 95.0,
            slewing_seconds: 260.0,
            mxt_seconds: 600.0,
            eclairs_radius_arcmin: 3.9,
            slewing_radius_arcmin: 3.3,
            mxt_radius_arcmin: 0.75,
            first_exposure_seconds: 125.0,
            cadence_seconds: 60.0,
            exposure_seconds: 50.0,
            readout_seconds: 3.0,
            duration_minutes: 60.0,
            second_camera: String::new(),
        }
    }
}

impl Default for SimulatedCatalogueSettings {
    fn default() -> Self {
        Self { position_blur_arcsec: 0.05, magnitude_blur: 0.03, limit: 19.5 }
    }
}

impl Default for SimulatedProductsSettings {
    fn default() -> Self {
        Self { filters: ["w", "BB", "BV", "BR", "BI"].map(str::to_owned).to_vec() }
    }
}

impl SkySettings {
    pub fn centre(&self) -> SkyPosition {
        SkyPosition::new(self.right_ascension_degrees, self.declination_degrees)
    }
}

impl SimulationConfig {
    pub fn read(file: &Path) -> Result<Self, ConfigError> {
        Self::parse(file, &read_text(file)?)
    }

    pub fn parse(file: &Path, text: &str) -> Result<Self, ConfigError> {
        let config: Self = parse(file, text)?;
        config.check(&Checks { file, text })?;
        Ok(config)
    }

    /// The file this program carries; equal to the default.
    pub fn embedded() -> Result<Self, ConfigError> {
        Self::parse(Path::new("simulation.toml"), embedded("simulation.toml").unwrap_or_default())
    }

    fn check(&self, checks: &Checks<'_>) -> Result<(), ConfigError> {
        checks.range("speed", self.speed, 0.01, 1e6)?;
        let (sky, story) = (&self.sky, &self.story);
        checks.range("sky.width_pixels", sky.width_pixels as f64, 64.0, 8192.0)?;
        checks.range("sky.height_pixels", sky.height_pixels as f64, 64.0, 8192.0)?;
        checks.range("sky.scale_degrees", sky.scale_degrees, 1e-6, 0.01)?;
        checks.range("sky.right_ascension_degrees", sky.right_ascension_degrees, 0.0, 360.0)?;
        checks.range("sky.declination_degrees", sky.declination_degrees, -90.0, 90.0)?;
        checks.range("sky.gain_electrons", sky.gain_electrons, 1e-3, 1e4)?;
        checks.range("sky.read_noise_electrons", sky.read_noise_electrons, 0.0, 1e4)?;
        checks.range("sky.bias_level_dn", sky.bias_level_dn, 0.0, 60_000.0)?;
        checks.range("sky.dark_electrons_per_second", sky.dark_electrons_per_second, 0.0, 1e4)?;
        checks.range("sky.saturation_dn", sky.saturation_dn, 1.0, 65_535.0)?;
        checks.range("sky.bad_column_count", sky.bad_column_count as f64, 0.0, 64.0)?;
        checks.range("sky.star_count", sky.star_count as f64, 0.0, 100_000.0)?;
        checks.range("sky.galaxy_count", sky.galaxy_count as f64, 0.0, 100_000.0)?;
        checks.range("sky.magnitude_limit", sky.magnitude_limit, 5.0, 30.0)?;
        checks.range("sky.new_source_count", sky.new_source_count as f64, 0.0, 10_000.0)?;
        checks.interval("sky.new_source_magnitudes", sky.new_source_magnitudes)?;
        checks.range("sky.zero_point", sky.zero_point, 5.0, 40.0)?;
        checks.range("sky.sky_electrons_per_second", sky.sky_electrons_per_second, 0.0, 1e6)?;
        checks.interval("sky.seeing_arcsec", sky.seeing_arcsec)?;
        let [best, worst] = sky.seeing_arcsec;
        let seeing = format!("[{best}, {worst}]");
        checks.require("sky.seeing_arcsec", seeing, best > 0.0, "widths above 0")?;
        checks.range("sky.dither_arcsec", sky.dither_arcsec, 0.0, 3600.0)?;
        checks.interval("sky.pointing_error_arcsec", sky.pointing_error_arcsec)?;
        checks.range("sky.rotation_degrees", sky.rotation_degrees, -180.0, 180.0)?;
        checks.range("sky.cosmic_rays_per_second", sky.cosmic_rays_per_second, 0.0, 1e4)?;
        let trails = sky.satellite_trail_probability;
        checks.range("sky.satellite_trail_probability", trails, 0.0, 1.0)?;
        checks.range(
            "sky.calibration_frame_count",
            sky.calibration_frame_count as f64,
            0.0,
            100.0,
        )?;
        let afterglow = &sky.afterglow;
        let magnitude = afterglow.magnitude_at_60_seconds;
        checks.range("sky.afterglow.magnitude_at_60_seconds", magnitude, 0.0, 30.0)?;
        checks.range("sky.afterglow.index", afterglow.index, -5.0, 5.0)?;
        checks.interval("sky.afterglow.offset_arcsec", afterglow.offset_arcsec)?;
        checks.interval("sky.afterglow.galaxy_offset_arcsec", afterglow.galaxy_offset_arcsec)?;
        checks.range("sky.afterglow.galaxy_magnitude", afterglow.galaxy_magnitude, 5.0, 40.0)?;
        checks.range("story.burst_number", f64::from(story.burst_number), 0.0, 99.0)?;
        for (key, seconds) in [
            ("story.grm_seconds", story.grm_seconds),
            ("story.eclairs_seconds", story.eclairs_seconds),
            ("story.slewing_seconds", story.slewing_seconds),
            ("story.mxt_seconds", story.mxt_seconds),
            ("story.first_exposure_seconds", story.first_exposure_seconds),
            ("story.readout_seconds", story.readout_seconds),
        ] {
            checks.range(key, seconds, 0.0, 1e6)?;
        }
        for (key, radius) in [
            ("story.eclairs_radius_arcmin", story.eclairs_radius_arcmin),
            ("story.slewing_radius_arcmin", story.slewing_radius_arcmin),
            ("story.mxt_radius_arcmin", story.mxt_radius_arcmin),
        ] {
            checks.range(key, radius, 0.01, 600.0)?;
        }
        checks.range("story.exposure_seconds", story.exposure_seconds, 0.01, 36_000.0)?;
        let expected = format!("at least exposure_seconds = {}", story.exposure_seconds);
        let is_long_enough = (story.exposure_seconds..=1e6).contains(&story.cadence_seconds);
        checks.require(
            "story.cadence_seconds",
            story.cadence_seconds,
            is_long_enough,
            &expected,
        )?;
        checks.range("story.duration_minutes", story.duration_minutes, 0.0, 1e5)?;
        let name = &story.second_camera;
        let is_name = name.len() <= 8 && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let expected = "at most eight letters and digits, or nothing";
        checks.require("story.second_camera", name, is_name, expected)?;
        let blur = self.catalogue.position_blur_arcsec;
        checks.range("catalogue.position_blur_arcsec", blur, 0.0, 60.0)?;
        checks.range("catalogue.magnitude_blur", self.catalogue.magnitude_blur, 0.0, 5.0)?;
        checks.range("catalogue.limit", self.catalogue.limit, 5.0, 40.0)?;
        let filters = &self.products.filters;
        let has_ours = filters.contains(&sky.filter);
        let expected = format!("a list with sky.filter = {}", sky.filter);
        checks.require("products.filters", format!("{filters:?}"), has_ours, &expected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_file_is_the_default() {
        let embedded = SimulationConfig::embedded().unwrap();
        assert_eq!(embedded, SimulationConfig::default());
        assert_eq!(embedded.story.t0, UtcTime::parse("2026-11-02T04:18:00Z").unwrap());
        assert_eq!(
            SimulationConfig::parse(Path::new("x"), "").unwrap(),
            SimulationConfig::default()
        );
    }

    #[test]
    fn the_shipped_file_names_every_key() {
        let text = embedded("simulation.toml").unwrap();
        let shipped: toml::Table = text.parse().unwrap();
        let default = toml::Table::try_from(SimulationConfig::default()).unwrap();
        fn keys(table: &toml::Table) -> Vec<String> {
            let inner = table.iter().flat_map(|(key, value)| match value {
                toml::Value::Table(inner) => {
                    keys(inner).iter().map(|each| format!("{key}.{each}")).collect()
                }
                _ => vec![key.clone()],
            });
            let mut keys: Vec<String> = inner.collect();
            keys.sort();
            keys
        }
        assert_eq!(keys(&shipped), keys(&default));
    }

    #[test]
    fn mistakes_are_explained() {
        let message = |text: &str| {
            SimulationConfig::parse(Path::new("s.toml"), text).unwrap_err().to_string()
        };
        assert!(message("speed = 0\n").starts_with("s.toml, line 1: speed = '0'"));
        assert!(message("[story]\n\nt0 = \"soon\"\n").starts_with("s.toml, line 3: 'soon' is not"));
        assert!(
            message("[story]\ncadence_seconds = 10.0\n").contains("at least exposure_seconds = 50")
        );
        assert!(message("[sky]\nfilter = \"r\"\n").contains("sky.filter = r"));
        assert!(
            message("[sky.afterglow]\noffset_arcsec = [nan, 0]\n").starts_with("s.toml, line 2")
        );
    }
}
