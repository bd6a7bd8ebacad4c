//! The configuration files this program carries, so that it runs with none on disk.

/// Text of a file under `config/`, by its path relative to that directory.
pub fn embedded(relative_path: &str) -> Option<&'static str> {
    FILES.iter().find(|(path, _)| *path == relative_path).map(|(_, text)| *text)
}

/// Relative paths of all files that [`embedded`] has.
pub fn embedded_paths() -> impl Iterator<Item = &'static str> {
    FILES.iter().map(|(path, _)| *path)
}

macro_rules! files {
    ($($path:literal),* $(,)?) => {
        &[$(($path, include_str!(concat!("../../config/", $path)))),*]
    };
}

const FILES: &[(&str, &str)] = files![
    "gic.toml",
    "simulation.toml",
    "gp1.cfg",
    "pipelines/svom/pipeline.cfg",
    "pipelines/svom/reduction.cfg",
    "pipelines/svom/findstars.cfg",
    "pipelines/svom/astrometry.cfg",
    "pipelines/svom/alignment.cfg",
    "pipelines/svom/stacking.cfg",
    "pipelines/svom/photometry.cfg",
    "pipelines/svom/summary.cfg",
    "pipelines/colibri/pipeline.cfg",
    "pipelines/colibri/reduction.cfg",
    "pipelines/colibri/findstars.cfg",
    "pipelines/colibri/astrometry.cfg",
    "pipelines/colibri/alignment.cfg",
    "pipelines/colibri/stacking.cfg",
    "pipelines/colibri/photometry.cfg",
    "pipelines/colibri/summary.cfg",
];
