//! Events of the file system: they make a look at the directory prompt. That nothing is missed is the work of the scans.

use notify::{
    Config, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher,
    event::{AccessKind, AccessMode, ModifyKind},
};
use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};
use tokio::sync::mpsc::Sender;

/// Something may have arrived.
#[derive(Debug, Clone, Copy)]
pub struct Nudge;

/// Watches a directory for as long as it is there, and again when it comes back.
pub struct Watching {
    directory: PathBuf,
    mode: RecursiveMode,
    /// Room for one nudge: more say nothing more.
    nudges: Sender<Nudge>,
    state: State,
}

enum State {
    /// The directory was not there when it was looked for.
    Absent,
    Watched {
        /// Device and inode of the directory: another one may be mounted in its place.
        identity: (u64, u64),
        _watcher: RecommendedWatcher,
    },
    /// The system gives no events for it; the scans do the work. Not tried again for this directory.
    Refused { identity: (u64, u64) },
}

impl Watching {
    pub fn new(directory: PathBuf, subdirectories: bool, nudges: Sender<Nudge>) -> Self {
        let mode =
            if subdirectories { RecursiveMode::Recursive } else { RecursiveMode::NonRecursive };
        Self { directory, mode, nudges, state: State::Absent }
    }

    /// Watches the directory if it is not watched yet, or is another one than before. Called before each look, so that what
    /// arrives after the look makes an event. The error says that the directory is not there.
    pub fn renew(&mut self) -> io::Result<()> {
        let metadata = match fs::metadata(&self.directory) {
            Ok(metadata) => metadata,
            Err(error) => {
                self.state = State::Absent;
                return Err(error);
            }
        };
        let identity = (metadata.dev(), metadata.ino());
        match &self.state {
            State::Watched { identity: known, .. } | State::Refused { identity: known }
                if *known == identity => {}
            _ => {
                self.state = match watch(&self.directory, self.mode, self.nudges.clone()) {
                    Ok(watcher) => State::Watched { identity, _watcher: watcher },
                    Err(error) => {
                        tracing::warn!(
                            directory = %self.directory.display(),
                            %error,
                            "no events of the file system: files are found by the scans alone"
                        );
                        State::Refused { identity }
                    }
                };
            }
        }
        Ok(())
    }
}

fn watch(
    directory: &Path,
    mode: RecursiveMode,
    nudges: Sender<Nudge>,
) -> notify::Result<RecommendedWatcher> {
    let heard = move |event: notify::Result<Event>| {
        if event.as_ref().is_ok_and(|event| !is_news(event)) {
            return;
        }
        // A full channel holds a nudge already; a closed one belongs to an actor that was restarted.
        let _ = nudges.try_send(Nudge);
    };
    // Links to directories are not followed: they may lead anywhere.
    let mut watcher =
        RecommendedWatcher::new(heard, Config::default().with_follow_symlinks(false))?;
    watcher.watch(directory, mode)?;
    Ok(watcher)
}

/// Whether a file may have become complete: closed after writing, moved into place, linked. Each single write of a slow writer
/// is not news; events that were lost (overflow) are.
fn is_news(event: &Event) -> bool {
    event.need_rescan()
        || matches!(
            event.kind,
            EventKind::Access(AccessKind::Close(AccessMode::Write))
                | EventKind::Create(_)
                | EventKind::Modify(ModifyKind::Name(_) | ModifyKind::Metadata(_))
                | EventKind::Other
                | EventKind::Any
        )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::sync::mpsc::{Receiver, channel};

    async fn heard(nudges: &mut Receiver<Nudge>) -> bool {
        tokio::time::timeout(Duration::from_secs(20), nudges.recv())
            .await
            .is_ok_and(|n| n.is_some())
    }

    #[tokio::test]
    async fn a_file_moved_into_place_is_heard_of_also_after_the_directory_was_lost() {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("incoming");
        let (sender, mut nudges) = channel(1);
        let mut watching = Watching::new(directory.clone(), false, sender);
        assert!(watching.renew().is_err());
        for _ in 0..2 {
            fs::create_dir(&directory).unwrap();
            watching.renew().unwrap();
            let elsewhere = parent.path().join("a.fits.tmp");
            fs::write(&elsewhere, b"x").unwrap();
            fs::rename(&elsewhere, directory.join("a.fits")).unwrap();
            assert!(heard(&mut nudges).await);
            fs::rename(&directory, parent.path().join("gone")).unwrap();
            assert!(watching.renew().is_err());
            fs::remove_dir_all(parent.path().join("gone")).unwrap();
            while nudges.try_recv().is_ok() {}
        }
    }
}
