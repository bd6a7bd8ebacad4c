//! What is known of files that still lie in the watched directory: which were dealt with, and which are waited for.

use super::listing::Seen;
use crate::storage::journal::watched_files::Fingerprint;
use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// One entry for each file that is in the directory; those that left it are forgotten.
#[derive(Debug, Default)]
pub struct Memory {
    /// Files that the journal was asked about, with the state in which they were dealt with.
    settled: HashMap<PathBuf, Option<Fingerprint>>,
    /// Files that could not be used yet.
    waiting: HashMap<PathBuf, Waiting>,
}

#[derive(Debug, Clone, Copy)]
struct Waiting {
    fingerprint: Fingerprint,
    /// Wall instant of the last change that was seen.
    since: Instant,
}

/// What is to be done with a file now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// To be read; if it cannot be used it is waited for.
    Queued,
    /// To be read once more; if it cannot be used it is set aside.
    LastChance,
    /// It has not changed since it was found wanting, and patience is not over.
    Incomplete,
    /// Dealt with.
    Settled,
}

impl Memory {
    /// Forgets the files that are gone.
    pub fn keep_only(&mut self, files: &[Seen]) {
        if self.settled.len() + self.waiting.len() == 0 {
            return;
        }
        let present: HashSet<&Path> = files.iter().map(|seen| seen.path.as_path()).collect();
        self.settled.retain(|path, _| present.contains(path.as_path()));
        self.waiting.retain(|path, _| present.contains(path.as_path()));
    }

    /// Files that the journal must be asked about.
    pub fn unknown(&self, files: &[Seen]) -> Vec<PathBuf> {
        let is_unknown = |seen: &&Seen| !self.settled.contains_key(&seen.path);
        files.iter().filter(is_unknown).map(|seen| seen.path.clone()).collect()
    }

    /// What the journal says of a file.
    pub fn recall(&mut self, path: PathBuf, settled: Option<Fingerprint>) {
        self.settled.insert(path, settled);
    }

    /// The file was dealt with in this state and stays where it is.
    pub fn settle(&mut self, seen: &Seen) {
        self.waiting.remove(&seen.path);
        self.settled.insert(seen.path.clone(), Some(seen.fingerprint));
    }

    /// The file is gone from the directory.
    pub fn forget(&mut self, path: &Path) {
        self.waiting.remove(path);
        self.settled.remove(path);
    }

    /// The file could not be used: it is waited for until it has stood still for long enough. True while there is patience left.
    pub fn wait(&mut self, seen: &Seen, patience: Duration) -> bool {
        let now = Instant::now();
        let fingerprint = seen.fingerprint;
        let entry =
            self.waiting.entry(seen.path.clone()).or_insert(Waiting { fingerprint, since: now });
        if entry.fingerprint != fingerprint {
            *entry = Waiting { fingerprint, since: now };
        }
        now.duration_since(entry.since) < patience
    }

    pub fn standing(&self, seen: &Seen, patience: Duration) -> Standing {
        if self.settled.get(&seen.path) == Some(&Some(seen.fingerprint)) {
            return Standing::Settled;
        }
        match self.waiting.get(&seen.path) {
            Some(waiting) if waiting.fingerprint == seen.fingerprint => {
                if waiting.since.elapsed() < patience {
                    Standing::Incomplete
                } else {
                    Standing::LastChance
                }
            }
            _ => Standing::Queued,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(size: u64) -> Seen {
        let fingerprint = Fingerprint { size, modified_nanoseconds: 0 };
        Seen { path: PathBuf::from("a.fits"), fingerprint }
    }

    #[test]
    fn a_file_that_grows_is_read_again_and_one_that_stands_still_is_given_up() {
        let mut memory = Memory::default();
        let long = Duration::from_secs(3600);
        assert_eq!(memory.standing(&seen(0), long), Standing::Queued);
        assert!(memory.wait(&seen(0), long));
        assert_eq!(memory.standing(&seen(0), long), Standing::Incomplete);
        assert_eq!(memory.standing(&seen(10), long), Standing::Queued);
        assert!(memory.wait(&seen(10), long));
        assert_eq!(memory.standing(&seen(10), Duration::ZERO), Standing::LastChance);
        assert!(!memory.wait(&seen(10), Duration::ZERO));
    }

    #[test]
    fn a_settled_file_is_read_again_when_it_changes_or_comes_back() {
        let mut memory = Memory::default();
        assert_eq!(memory.unknown(&[seen(5)]).len(), 1);
        memory.settle(&seen(5));
        assert!(memory.unknown(&[seen(5)]).is_empty());
        assert_eq!(memory.standing(&seen(5), Duration::ZERO), Standing::Settled);
        assert_eq!(memory.standing(&seen(6), Duration::ZERO), Standing::Queued);
        memory.keep_only(&[]);
        assert_eq!(memory.unknown(&[seen(5)]).len(), 1);
        memory.recall(seen(5).path, None);
        assert_eq!(memory.standing(&seen(5), Duration::ZERO), Standing::Queued);
    }
}
