//! What `run`, `simulate` and `gp1` share: from configuration files to the settings of instances.

use crate::products::ProductSettings;
use crate::{
    config::{
        CameraConfig, ConfigError, ConfigPaths, ControllerConfig, Gp1Config, PathMap, Problem,
        modules::{AstrometryConfig, ModuleConfig},
    },
    fits::KeywordMap,
    gp1::{
        router::{Route, Router},
        settings::InstanceSettings,
    },
};
use std::path::Path;

/// The instances of a gp1.cfg and who gets which frame.
pub struct Pipelines {
    /// In the order of the file.
    pub instances: Vec<InstanceSettings>,
    pub router: Router,
}

impl Pipelines {
    /// Reads the pipeline directories that a gp1.cfg names. `workspace` takes the place of the workspaces named there.
    pub fn load(
        gp1: &Gp1Config,
        paths: &PathMap,
        keywords: &KeywordMap,
        workspace: Option<&Path>,
    ) -> Result<Self, ConfigError> {
        let mut instances = Vec::new();
        let mut routes = Vec::new();
        for section in &gp1.pipelines {
            let mut set = gp1.pipeline_set(section)?;
            set.map_paths(paths);
            let directory =
                workspace.map_or_else(|| section.workspace_dir.clone(), Path::to_path_buf);
            let settings = InstanceSettings::from_config(&section.name, &set, directory)
                .with_distortions(set.astrometry.distortion.as_deref())
                .map_err(|error| {
                    let problem = Problem::Unreadable { reason: error.to_string() };
                    ConfigError::new(AstrometryConfig::FILE_NAME, None, problem)
                })?;
            instances.push(settings);
            routes.push(Route {
                instance: section.name.clone(),
                identifiers: section.identifiers.clone(),
            });
        }
        Ok(Self { instances, router: Router::new(routes, keywords.clone()) })
    }
}

/// The keyword lists of every camera: the program's files and those of the site.
pub fn keyword_map(config: &ControllerConfig) -> Result<KeywordMap, ConfigError> {
    let cameras = match &config.cameras.directory {
        Some(directory) => CameraConfig::all_with(directory)?,
        None => CameraConfig::embedded_all()?,
    };
    Ok(KeywordMap::new(&config.keywords.clone().unwrap_or_default(), cameras))
}

/// How products are made at this site.
pub fn product_settings(config: &ControllerConfig) -> ProductSettings {
    ProductSettings {
        filters: config.products.filters.clone(),
        telescope: config.site.telescope.clone(),
        processing_version: config.products.processing_version,
        ..ProductSettings::default()
    }
}
