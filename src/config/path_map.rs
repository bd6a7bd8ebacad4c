//! Moving the paths of a configuration: `--path-map OLD=NEW`, and relative paths.

use std::{
    path::{Path, PathBuf},
    str::FromStr,
};

/// One `OLD=NEW`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathRule {
    pub old: PathBuf,
    pub new: PathBuf,
}

/// A text that is not `OLD=NEW`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no path map: expected OLD=NEW, as /data=/home/me/data")]
pub struct PathRuleError(pub String);

impl FromStr for PathRule {
    type Err = PathRuleError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('=') {
            Some((old, new)) if !old.is_empty() && !new.is_empty() => {
                Ok(Self { old: old.into(), new: new.into() })
            }
            _ => Err(PathRuleError(text.to_owned())),
        }
    }
}

/// Rewrites the beginnings of paths, on whole components: `/data=/mnt` turns `/data/in` into `/mnt/in` and leaves
/// `/database/in` alone. Of several rules the one with the longest `OLD` wins; no path is rewritten twice.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PathMap {
    pub rules: Vec<PathRule>,
}

impl PathMap {
    pub fn apply(&self, path: &Path) -> PathBuf {
        self.rules
            .iter()
            .filter_map(|rule| path.strip_prefix(&rule.old).ok().map(|rest| (rule, rest)))
            // The first of equals wins, as it would for a reader going down the command line.
            .rev()
            .max_by_key(|(rule, _)| rule.old.components().count())
            .map(
                |(rule, rest)| {
                    if rest.as_os_str().is_empty() { rule.new.clone() } else { rule.new.join(rest) }
                },
            )
            .unwrap_or_else(|| path.to_owned())
    }
}

/// A configuration that names files or directories.
pub trait ConfigPaths {
    /// Every path in it.
    fn paths_mut(&mut self) -> Vec<&mut PathBuf>;

    /// The paths among them that may be given relative to the data directory; all, unless said otherwise.
    fn data_paths_mut(&mut self) -> Vec<&mut PathBuf> {
        self.paths_mut()
    }

    /// Rewrites every path.
    fn map_paths(&mut self, map: &PathMap) {
        for path in self.paths_mut() {
            *path = map.apply(path);
        }
    }

    /// Makes the relative ones of [`ConfigPaths::data_paths_mut`] start at `data_directory`.
    fn resolve_paths(&mut self, data_directory: &Path) {
        for path in self.data_paths_mut() {
            // Joining an absolute path gives that path.
            *path = data_directory.join(&*path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(rules: &[&str]) -> PathMap {
        PathMap { rules: rules.iter().map(|rule| rule.parse().unwrap()).collect() }
    }

    #[test]
    fn whole_components_are_rewritten() {
        let map = map(&["/data=/mnt/disk", "/data/cal=/cal"]);
        let applied = |path: &str| map.apply(Path::new(path));
        assert_eq!(applied("/data/in/x.fits"), Path::new("/mnt/disk/in/x.fits"));
        assert_eq!(applied("/data"), Path::new("/mnt/disk"));
        assert_eq!(applied("/database/in"), Path::new("/database/in"));
        assert_eq!(applied("/data/cal/dark.fits"), Path::new("/cal/dark.fits"));
        assert_eq!(applied("relative"), Path::new("relative"));
    }

    #[test]
    fn the_first_of_two_equal_rules_wins_and_none_is_applied_twice() {
        let map = map(&["/a=/b", "/a=/c", "/b=/d"]);
        assert_eq!(map.apply(Path::new("/a/x")), Path::new("/b/x"));
    }

    #[test]
    fn what_is_no_rule_is_refused() {
        for text in ["", "/data", "=/new", "/old="] {
            assert!(text.parse::<PathRule>().is_err(), "{text}");
        }
    }
}
