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
    "catalogues/2mass.toml",
    "catalogues/apass.toml",
    "catalogues/field.toml",
    "catalogues/gaia_dr2.toml",
    "catalogues/gaia_dr3.toml",
    "catalogues/ps1.toml",
    "catalogues/tycho2.toml",
    "catalogues/usno_b1.toml",
    "cameras/arcsat.toml",
    "cameras/cagire.toml",
    "cameras/coatli_c0.toml",
    "cameras/ddrago_c1.toml",
    "cameras/ddrago_c2.toml",
    "cameras/microobservatory.toml",
    "cameras/ogle4.toml",
    "cameras/ratir_c0.toml",
    "cameras/ratir_c1.toml",
    "cameras/ratir_infrared.toml",
    "pipelines/svom/pipeline.cfg",
    "pipelines/svom/reduction.cfg",
    "pipelines/svom/findstars.cfg",
    "pipelines/svom/astrometry.cfg",
    "pipelines/svom/alignment.cfg",
    "pipelines/svom/stacking.cfg",
    "pipelines/svom/subtraction.cfg",
    "pipelines/svom/photometry.cfg",
    "pipelines/svom/summary.cfg",
    "pipelines/colibri/pipeline.cfg",
    "pipelines/colibri/reduction.cfg",
    "pipelines/colibri/findstars.cfg",
    "pipelines/colibri/astrometry.cfg",
    "pipelines/colibri/alignment.cfg",
    "pipelines/colibri/stacking.cfg",
    "pipelines/colibri/subtraction.cfg",
    "pipelines/colibri/photometry.cfg",
    "pipelines/colibri/summary.cfg",
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn every_cfg_and_toml_under_config_is_carried() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
        let mut directories = vec![root.clone()];
        let mut count = 0;
        while let Some(directory) = directories.pop() {
            for entry in std::fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    directories.push(path);
                } else if path.extension().is_some_and(|each| each == "cfg" || each == "toml") {
                    let relative = path.strip_prefix(&root).unwrap().to_str().unwrap();
                    assert_eq!(
                        embedded(relative),
                        Some(std::fs::read_to_string(&path).unwrap().as_str()),
                        "{relative}"
                    );
                    count += 1;
                }
            }
        }
        assert_eq!(count, embedded_paths().count());
        assert_eq!(embedded("no/such.cfg"), None);
    }
}
