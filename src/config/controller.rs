//! `gic.toml`: the controller (`gic run`). The shipped file holds every key with its default and says what it is for;
//! a key that a site's own file leaves out has that default.

use super::{
    alerts::AlertsSettings,
    cameras::KeywordChanges,
    embedded::embedded,
    error::{ConfigError, Problem},
    log::LogSettings,
    path_map::ConfigPaths,
    toml_reader::{Checks, parse, read_text},
};
use crate::model::Observatory;
use serde::{Deserialize, Serialize};
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

/// The whole file.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ControllerConfig {
    pub site: SiteSettings,
    pub data: DataSettings,
    pub gp1: Gp1Settings,
    pub alerts: AlertsSettings,
    pub deadlines: DeadlinesSettings,
    pub images: ImagesSettings,
    pub cameras: CamerasSettings,
    /// For each thing the controller wants from a header, the keywords that may hold it, best first; what is not
    /// named here keeps the shipped list (`fits::KeywordMap`). The lists of a camera's file come before these.
    pub keywords: Option<KeywordChanges>,
    pub products: ProductsSettings,
    pub fsc: FscSettings,
    pub web: WebSettings,
    pub status: StatusSettings,
    pub catalogue: CatalogueSettings,
    pub calibration: CalibrationSettings,
    pub supervision: SupervisionSettings,
    pub workers: WorkersSettings,
    pub log: LogSettings,
}

/// Who and where the telescope is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SiteSettings {
    /// TELESCOP of calibration records and products.
    pub telescope: String,
    /// ORIGIN of calibration records.
    pub origin: String,
    /// Geodetic, north positive.
    pub latitude_degrees: f64,
    /// Geodetic, east positive.
    pub longitude_degrees: f64,
    pub altitude_metres: f64,
}

/// The local data storage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DataSettings {
    pub directory: PathBuf,
}

/// The image analysis.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Gp1Settings {
    /// A `gp1.cfg`; absent: the one the program carries.
    pub config: Option<PathBuf>,
}

/// When products go out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DeadlinesSettings {
    /// After the reception of the notice that opens the trigger.
    pub first_result_seconds: f64,
    /// After T0, ascending.
    pub epochs_minutes: Vec<u32>,
}

/// Where frames come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ImagesSettings {
    /// Watched directory; absent: the input of `gp1.cfg`.
    pub directory: Option<PathBuf>,
    /// Period of the full scans, which find what was not announced (network file systems).
    pub scan_seconds: f64,
    /// Wall time that a file may stay incomplete or unreadable since its last change.
    pub patience_seconds: f64,
    /// Whether the directories inside are looked into as well, one level deep (one per night).
    pub subdirectories: bool,
    /// What names of images end with; case does not count.
    pub endings: Vec<String>,
    /// Greatest frame that is taken, million pixels.
    pub maximum_megapixels: f64,
}

/// What is known of each camera.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CamerasSettings {
    /// Directory of camera files; absent: those the program carries.
    pub directory: Option<PathBuf>,
}

/// The scientific products.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProductsSettings {
    /// One row per filter in the cards that have them, in this order.
    pub filters: Vec<String>,
    /// PROC_VER.
    pub processing_version: u32,
    /// Directory of descriptors; absent: those the program carries.
    pub descriptors: Option<PathBuf>,
}

/// The science centre: where products go, and the receiver (`gic fsc serve`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FscSettings {
    pub upload_url: String,
    /// File that holds the bearer token.
    pub token_file: Option<PathBuf>,
    /// Environment variable that holds it, or empty; the file comes first.
    pub token_environment: String,
    pub timeout_seconds: f64,
    /// Certificates (PEM) to trust for https, in the place of the system's.
    pub ca_file: Option<PathBuf>,
    /// Address the receiver listens on.
    pub receiver_listen: SocketAddr,
    /// Where the receiver stores products; absent: `received` in the data directory.
    pub receiver_directory: Option<PathBuf>,
    /// Certificate chain and private key (PEM) of the receiver; with both it speaks https only.
    pub receiver_certificate: Option<PathBuf>,
    pub receiver_key: Option<PathBuf>,
}

/// Pages, API and metrics.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WebSettings {
    pub listen: SocketAddr,
}

/// The sensors file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StatusSettings {
    pub period_seconds: f64,
    /// Where the telescope leaves its files; absent: `status/incoming` in the data directory.
    pub incoming: Option<PathBuf>,
}

/// The local catalogue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CatalogueSettings {
    /// A directory that `gic catalog build` made, or a CSV. Absent: the catalogue is unavailable, and products say so.
    pub file: Option<PathBuf>,
    /// One that is older than this at the date of a frame answers as stale.
    pub maximum_age_days: f64,
    /// A directory that `gic catalog build --map mpcorb` made. Absent: minor planets are not told from other candidates.
    pub minor_planets: Option<PathBuf>,
    /// Orbits of a date further than this from that of a frame answer as stale.
    pub minor_planets_maximum_age_days: f64,
}

/// Calibration masters (the cuts of seed 003).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CalibrationSettings {
    /// Masters are made when no calibration frame has come for so long (clock time).
    pub quiet_seconds: f64,
    pub minimum_frames: usize,
    pub clip_sigma: f64,
    /// Allowed mean of candidate minus master.
    pub mean_difference: [f64; 2],
    /// Allowed root mean square of candidate minus master.
    pub rms_difference: [f64; 2],
}

/// How failed actors are restarted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SupervisionSettings {
    /// More restarts than this within the period end the program.
    pub maximum_restarts: u32,
    pub period_seconds: f64,
    pub first_backoff_milliseconds: u64,
    pub maximum_backoff_milliseconds: u64,
    /// An actor whose thread does not answer for so long is replaced.
    pub answer_timeout_seconds: f64,
}

/// The worker threads of GP1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WorkersSettings {
    /// A worker that makes no progress for so long is replaced.
    pub frame_timeout_seconds: f64,
}

impl Default for SiteSettings {
    fn default() -> Self {
        Self {
            telescope: "COLIBRI".into(),
            origin: "OAN/SPM".into(),
            latitude_degrees: 31.0449,
            longitude_degrees: -115.4646,
            altitude_metres: 2792.0,
        }
    }
}

impl SiteSettings {
    pub fn observatory(&self) -> Observatory {
        Observatory {
            latitude_degrees: self.latitude_degrees,
            longitude_degrees: self.longitude_degrees,
            altitude_metres: self.altitude_metres,
        }
    }
}

impl Default for DataSettings {
    fn default() -> Self {
        Self { directory: "data".into() }
    }
}

impl Default for DeadlinesSettings {
    fn default() -> Self {
        Self { first_result_seconds: 270.0, epochs_minutes: vec![5, 10, 30, 60] }
    }
}

impl Default for ImagesSettings {
    fn default() -> Self {
        Self {
            directory: None,
            scan_seconds: 1.0,
            patience_seconds: 60.0,
            subdirectories: false,
            endings: [".fits", ".fits.fz", ".fits.gz"].map(str::to_owned).to_vec(),
            maximum_megapixels: 20.0,
        }
    }
}

impl Default for ProductsSettings {
    fn default() -> Self {
        let filters = ["g", "r", "i", "z", "J", "H"].map(str::to_owned).to_vec();
        Self { filters, processing_version: 1, descriptors: None }
    }
}

impl Default for FscSettings {
    fn default() -> Self {
        Self {
            upload_url: "http://127.0.0.1:5000/upload-product".into(),
            token_file: None,
            token_environment: "GIC_FSC_TOKEN".into(),
            timeout_seconds: 30.0,
            receiver_listen: SocketAddr::from(([127, 0, 0, 1], 5000)),
            receiver_directory: None,
            ca_file: None,
            receiver_certificate: None,
            receiver_key: None,
        }
    }
}

impl Default for WebSettings {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 8080)) }
    }
}

impl Default for StatusSettings {
    fn default() -> Self {
        Self { period_seconds: 300.0, incoming: None }
    }
}

impl Default for CatalogueSettings {
    fn default() -> Self {
        Self {
            file: None,
            maximum_age_days: 730.0,
            minor_planets: None,
            minor_planets_maximum_age_days: 60.0,
        }
    }
}

impl Default for CalibrationSettings {
    fn default() -> Self {
        Self {
            quiet_seconds: 60.0,
            minimum_frames: 3,
            clip_sigma: 4.0,
            mean_difference: [-2.0, 2.0],
            rms_difference: [0.0, 3.0],
        }
    }
}

impl Default for SupervisionSettings {
    fn default() -> Self {
        Self {
            maximum_restarts: 5,
            period_seconds: 60.0,
            first_backoff_milliseconds: 100,
            maximum_backoff_milliseconds: 5000,
            answer_timeout_seconds: 10.0,
        }
    }
}

impl Default for WorkersSettings {
    fn default() -> Self {
        Self { frame_timeout_seconds: 30.0 }
    }
}

impl ControllerConfig {
    /// Reads a file; touches no path in it.
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
        Self::parse(Path::new("gic.toml"), embedded("gic.toml").unwrap_or_default())
    }

    fn check(&self, checks: &Checks<'_>) -> Result<(), ConfigError> {
        checks.range("site.latitude_degrees", self.site.latitude_degrees, -90.0, 90.0)?;
        checks.range("site.longitude_degrees", self.site.longitude_degrees, -180.0, 360.0)?;
        checks.range("site.altitude_metres", self.site.altitude_metres, -500.0, 9000.0)?;
        self.alerts.check(checks)?;
        let first = self.deadlines.first_result_seconds;
        checks.range("deadlines.first_result_seconds", first, 0.0, 86_400.0)?;
        let epochs = &self.deadlines.epochs_minutes;
        checks.require(
            "deadlines.epochs_minutes",
            format!("{epochs:?}"),
            epochs.windows(2).all(|pair| pair[0] < pair[1]) && epochs.first() != Some(&0),
            "ascending minutes, each once, from 1",
        )?;
        checks.range("images.scan_seconds", self.images.scan_seconds, 0.05, 3600.0)?;
        checks.range("images.patience_seconds", self.images.patience_seconds, 0.0, 86_400.0)?;
        checks.range("images.maximum_megapixels", self.images.maximum_megapixels, 0.01, 400.0)?;
        let endings = &self.images.endings;
        checks.require(
            "images.endings",
            format!("{endings:?}"),
            !endings.is_empty()
                && endings.iter().all(|ending| ending.len() > 1 && ending.starts_with('.')),
            "at least one ending, each with its dot",
        )?;
        let filters = &self.products.filters;
        let all_named = filters.iter().all(|filter| !filter.trim().is_empty());
        checks.require(
            "products.filters",
            format!("{filters:?}"),
            !filters.is_empty() && all_named,
            "at least one filter, each with a name",
        )?;
        checks.require(
            "fsc.upload_url",
            &self.fsc.upload_url,
            ["http://", "https://"].iter().any(|scheme| self.fsc.upload_url.starts_with(scheme)),
            "a URL that begins with http:// or https://",
        )?;
        checks.require(
            "fsc.receiver_certificate",
            "one of the two",
            self.fsc.receiver_certificate.is_some() == self.fsc.receiver_key.is_some(),
            "receiver_certificate and receiver_key, both or neither",
        )?;
        checks.range("fsc.timeout_seconds", self.fsc.timeout_seconds, 0.1, 3600.0)?;
        checks.range("status.period_seconds", self.status.period_seconds, 1.0, 86_400.0)?;
        checks.range("catalogue.maximum_age_days", self.catalogue.maximum_age_days, 0.0, 1e6)?;
        let age_days = self.catalogue.minor_planets_maximum_age_days;
        checks.range("catalogue.minor_planets_maximum_age_days", age_days, 0.0, 1e6)?;
        let minimum_frames = self.calibration.minimum_frames as f64;
        checks.range("calibration.minimum_frames", minimum_frames, 1.0, 10_000.0)?;
        checks.range("calibration.clip_sigma", self.calibration.clip_sigma, 1.0, 100.0)?;
        checks.interval("calibration.mean_difference", self.calibration.mean_difference)?;
        checks.interval("calibration.rms_difference", self.calibration.rms_difference)?;
        checks.range(
            "supervision.period_seconds",
            self.supervision.period_seconds,
            0.1,
            86_400.0,
        )?;
        let (first, longest) = (
            self.supervision.first_backoff_milliseconds,
            self.supervision.maximum_backoff_milliseconds,
        );
        let expected = format!("at least first_backoff_milliseconds = {first}");
        checks.require(
            "supervision.maximum_backoff_milliseconds",
            longest,
            longest >= first,
            &expected,
        )?;
        self.log.check(checks)?;
        checks.range(
            "supervision.answer_timeout_seconds",
            self.supervision.answer_timeout_seconds,
            0.5,
            3600.0,
        )?;
        checks.range(
            "workers.frame_timeout_seconds",
            self.workers.frame_timeout_seconds,
            1.0,
            86_400.0,
        )
    }

    /// All paths that must exist and do not, said of the file the configuration came from. Empty: all is there.
    /// Directories of the data storage are made when they are needed.
    pub fn check_paths(&self, file: &Path) -> Vec<ConfigError> {
        let needed = [
            ("gp1.config", &self.gp1.config),
            ("products.descriptors", &self.products.descriptors),
            ("fsc.token_file", &self.fsc.token_file),
            ("fsc.ca_file", &self.fsc.ca_file),
            ("fsc.receiver_certificate", &self.fsc.receiver_certificate),
            ("fsc.receiver_key", &self.fsc.receiver_key),
            ("catalogue.file", &self.catalogue.file),
            ("catalogue.minor_planets", &self.catalogue.minor_planets),
            ("images.directory", &self.images.directory),
            ("cameras.directory", &self.cameras.directory),
        ];
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let checks = Checks { file, text: &text };
        needed
            .into_iter()
            .filter_map(|(role, path)| Some((role, path.as_ref()?)))
            .filter(|(_, path)| !path.exists())
            .map(|(role, path)| {
                let problem = Problem::MissingPath { role: role.to_owned(), path: path.clone() };
                ConfigError::new(file, checks.line(role), problem)
            })
            .collect()
    }
}

impl ConfigPaths for ControllerConfig {
    fn paths_mut(&mut self) -> Vec<&mut PathBuf> {
        let optional = [
            &mut self.gp1.config,
            &mut self.images.directory,
            &mut self.products.descriptors,
            &mut self.fsc.token_file,
            &mut self.fsc.ca_file,
            &mut self.fsc.receiver_certificate,
            &mut self.fsc.receiver_key,
            &mut self.fsc.receiver_directory,
            &mut self.status.incoming,
            &mut self.catalogue.file,
            &mut self.catalogue.minor_planets,
            &mut self.log.file,
            &mut self.cameras.directory,
        ];
        let mut paths = vec![&mut self.data.directory];
        paths.extend(optional.into_iter().flatten());
        paths
    }

    /// The storage's own directories; the other paths are as seen from where the program was started.
    fn data_paths_mut(&mut self) -> Vec<&mut PathBuf> {
        let own = [
            &mut self.images.directory,
            &mut self.fsc.receiver_directory,
            &mut self.status.incoming,
        ];
        own.into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_text(text: &str) -> Result<ControllerConfig, ConfigError> {
        ControllerConfig::parse(Path::new("gic.toml"), text)
    }

    #[test]
    fn everything_listens_on_loopback_unless_a_site_says_otherwise() {
        let config = ControllerConfig::default();
        for address in [config.alerts.listen, config.web.listen, config.fsc.receiver_listen] {
            assert!(address.ip().is_loopback(), "{address}");
        }
        assert!(config.alerts.allow.iter().all(|network| !network.contains([10, 0, 0, 1].into())));
        assert!(config.alerts.remotes.is_empty());
    }

    #[test]
    fn the_shipped_file_is_the_default() {
        assert_eq!(ControllerConfig::embedded().unwrap(), ControllerConfig::default());
        assert_eq!(parse_text("").unwrap(), ControllerConfig::default());
    }

    /// Every key stands in the shipped file, if only in a comment (the optional ones): it is the reference.
    #[test]
    fn the_shipped_file_names_every_key() {
        fn walk(table: &toml::Table, text: &str) {
            for (key, value) in table {
                let is_there =
                    [" =", "]", "."].iter().any(|end| text.contains(&format!("{key}{end}")));
                assert!(is_there, "{key}");
                if let toml::Value::Table(inner) = value {
                    walk(inner, text);
                }
            }
        }
        let everything = ControllerConfig {
            gp1: Gp1Settings { config: Some("x".into()) },
            images: ImagesSettings { directory: Some("x".into()), ..Default::default() },
            cameras: CamerasSettings { directory: Some("x".into()) },
            keywords: Some(KeywordChanges::default()),
            products: ProductsSettings { descriptors: Some("x".into()), ..Default::default() },
            fsc: FscSettings {
                token_file: Some("x".into()),
                receiver_directory: Some("x".into()),
                ca_file: Some("x".into()),
                receiver_certificate: Some("x".into()),
                receiver_key: Some("x".into()),
                ..Default::default()
            },
            status: StatusSettings { incoming: Some("x".into()), ..Default::default() },
            catalogue: CatalogueSettings { file: Some("x".into()), ..Default::default() },
            log: LogSettings { file: Some("x".into()), ..Default::default() },
            ..Default::default()
        };
        let table = toml::Table::try_from(everything).unwrap();
        walk(&table, embedded("gic.toml").unwrap());
    }

    #[test]
    fn mistakes_are_explained() {
        let message = |text: &str| parse_text(text).unwrap_err().to_string();
        let unknown = message("[web]\nlisten = \"127.0.0.1:8080\"\n\n[fsc]\nupload_ulr = \"x\"\n");
        assert!(
            unknown.starts_with(
                "gic.toml, line 5: unknown field `upload_ulr`, expected one of `upload_url`"
            ),
            "{unknown}"
        );
        assert!(unknown.ends_with("(did you mean 'upload_url'?)"));
        assert!(message("[web]\nlisten = \"nowhere\"\n").contains("line 2"));
        assert_eq!(
            message("[deadlines]\n\nepochs_minutes = [10, 5]\n"),
            "gic.toml, line 3: epochs_minutes = '[10, 5]' in [deadlines] is wrong: expected ascending minutes, each once, from 1"
        );
        assert!(message("[images]\nscan_seconds = nan\n").contains("line 2"));
        assert!(
            message("[calibration]\nmean_difference = [2, -2]\n").contains("[smallest, largest]")
        );
        assert!(message("[observatory]\n").contains("unknown field `observatory`"));
    }

    #[test]
    fn missing_paths_are_all_reported() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("gic.toml");
        std::fs::write(
            &file,
            "[catalogue]\nfile = \"/no/catalogue\"\n[gp1]\nconfig = \"/no/gp1\"\n",
        )
        .unwrap();
        let missing = ControllerConfig::read(&file).unwrap().check_paths(&file);
        assert_eq!(missing.iter().map(|each| each.line).collect::<Vec<_>>(), [Some(4), Some(2)]);
        assert_eq!(ControllerConfig::default().check_paths(&file), []);
    }
}
