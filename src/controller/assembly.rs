//! What `run`, `simulate` and `gp1` share: from configuration files to the settings of instances.

use crate::products::ProductSettings;
use crate::{
    config::{ConfigError, ConfigPaths, ControllerConfig, Gp1Config, PathMap},
    fits::KeywordMap,
    gp1::{
        router::{Route, Router},
        settings::InstanceSettings,
    },
};
use std::path::Path;

#[derive(Debug, thiserror::Error)]
pub enum AssemblyError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("[keywords] of gic.toml: {0}")]
    Keywords(serde_json::Error),
}

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
            instances.push(InstanceSettings::from_config(&section.name, &set, directory));
            routes.push(Route {
                instance: section.name.clone(),
                identifiers: section.identifiers.clone(),
            });
        }
        Ok(Self { instances, router: Router::new(routes, keywords.clone()) })
    }
}

/// The shipped keyword map with the lists of `[keywords]` in the place of its own.
pub fn keyword_map(config: &ControllerConfig) -> Result<KeywordMap, AssemblyError> {
    let Some(changes) = &config.keywords else { return Ok(KeywordMap::default()) };
    let changes = serde_json::to_value(changes).map_err(AssemblyError::Keywords)?;
    serde_json::from_value(changes).map_err(AssemblyError::Keywords)
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
