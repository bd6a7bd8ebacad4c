//! Image provider: brings complete images from where they appear (a watched directory, an archive, a synthetic sky) into
//! the local storage and the journal, and tells who must work on them.
//!
//! A directory is looked at when the file system says that something happened in it ([`watching`]) and at every scan. Each look
//! lists what is there ([`listing`]), leaves what was dealt with or is not complete ([`memory`]), and takes the most urgent files
//! in ([`intake`]), a handful between two looks, so that a frame of an open trigger never waits behind a backlog.

mod feed;
mod intake;
mod listing;
mod memory;
mod watching;

pub use intake::{Intake, Unusable, acceptable};
pub use listing::{IntakeRules, LeftAlone, Listing, Seen, list};

use super::{
    calibration_master::{CALIBRATION_INSTANCE, CalibrationMaster},
    gp1_instance::Gp1Instance,
    messages::FrameArrived,
    pool::{PoolError, WorkerPool},
    pump::{PassOutcome, Pump, Pumped, wake},
    sending::hint,
    stopwatch::Stopwatches,
    supervision::Post,
};
use crate::{
    clock::{Clock, WorkGuard},
    model::{FrameState, TriggerState, UtcTime, metric},
    simulation::feed::{FeedError, FrameFeed},
    storage::{
        journal::{Journal, JournalError, frames, triggers, watched_files},
        local::{StorageError, plain_name},
    },
};
use actix::{Actor, ActorFutureExt, AsyncContext, Context, StreamHandler, Supervised, WrapFuture};
use futures_util::{future::LocalBoxFuture, stream};
use intake::Reading;
use memory::{Memory, Standing};
use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::mpsc;
use watching::{Nudge, Watching};

/// Files that are taken in between two looks at the directory.
const TAKEN_BETWEEN_LOOKS: usize = 16;

/// Where images come from.
#[derive(Clone)]
pub enum ImageSource {
    /// Another process writes them into this directory; beside the events of the file system it is looked through every `scan` of
    /// wall time.
    Directory { path: PathBuf, scan: Duration },
    /// A feed makes them and drops each into the incoming directory at its instant.
    Feed(Arc<dyn FrameFeed>),
}

/// What the provider works with; immutable, so that a restart begins from it.
#[derive(Clone)]
pub struct ImageProviderSettings {
    pub source: ImageSource,
    pub intake: Intake,
    pub pool: WorkerPool,
    pub journal: Journal,
    pub clock: Clock,
    pub instances: Vec<(String, Post<Gp1Instance>)>,
    pub calibration_master: Post<CalibrationMaster>,
    pub arrivals: Stopwatches<i64>,
}

impl ImageProviderSettings {
    fn directory(&self) -> PathBuf {
        match &self.source {
            ImageSource::Directory { path, .. } => path.clone(),
            ImageSource::Feed(_) => self.intake.storage.incoming(),
        }
    }

    /// The files of a feed are whole when they appear.
    fn patience(&self) -> Duration {
        match &self.source {
            ImageSource::Directory { .. } => self.intake.rules.patience,
            ImageSource::Feed(_) => Duration::ZERO,
        }
    }
}

pub struct ImageProvider {
    settings: ImageProviderSettings,
    pump: Pump,
    /// Shared with the passes.
    memory: Arc<Mutex<Memory>>,
    watching: Option<Arc<Mutex<Watching>>>,
}

#[derive(Debug, thiserror::Error)]
enum ProviderError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error(transparent)]
    Pool(#[from] PoolError),
    #[error(transparent)]
    Feed(#[from] FeedError),
    /// Nothing is wrong with us: it is looked for at every scan.
    #[error("the watched directory {path} cannot be looked at: {source}")]
    Directory { path: PathBuf, source: std::io::Error },
}

impl ImageProvider {
    pub const NAME: &'static str = "image-provider";

    pub fn new(settings: ImageProviderSettings) -> Self {
        Self { settings, pump: Pump::default(), memory: Arc::default(), watching: None }
    }

    fn begin(&mut self, context: &mut Context<Self>) {
        let guard = self.settings.clock.hold();
        match self.settings.source.clone() {
            ImageSource::Directory { path, scan } => {
                let (sender, receiver) = mpsc::channel(1);
                let subdirectories = self.settings.intake.rules.subdirectories;
                let watching = Watching::new(path, subdirectories, sender);
                self.watching = Some(Arc::new(Mutex::new(watching)));
                context.add_stream(stream::unfold(receiver, |mut receiver| async move {
                    receiver.recv().await.map(|nudge| (nudge, receiver))
                }));
                context.run_interval(scan, |actor, context| wake(actor, context, None));
                wake(self, context, Some(guard));
            }
            ImageSource::Feed(feed) => {
                self.follow(feed, guard, context);
            }
        }
    }

    /// Drops the frames of a feed that have not arrived yet, each at its instant.
    fn follow(&mut self, feed: Arc<dyn FrameFeed>, guard: WorkGuard, context: &mut Context<Self>) {
        let settings = self.settings.clone();
        let following = async move { feed::follow_feed(&settings, feed, guard).await };
        context.spawn(following.into_actor(self).map(|outcome, _, context| {
            if let Err(error) = outcome {
                use actix::ActorContext;
                tracing::error!(%error, "the feed of images failed; it is begun again");
                context.stop();
            }
        }));
    }
}

impl Actor for ImageProvider {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        if let Err(error) = self.settings.intake.clear_copies() {
            tracing::warn!(%error, "copies that were left half made stay");
        }
        self.begin(context);
    }
}

impl Supervised for ImageProvider {
    /// actix calls `started` again afterwards.
    fn restarting(&mut self, _context: &mut Self::Context) {
        *self = Self::new(self.settings.clone());
    }
}

impl StreamHandler<Nudge> for ImageProvider {
    fn handle(&mut self, _: Nudge, context: &mut Self::Context) {
        wake(self, context, None);
    }

    /// The events of an earlier life end with it; the actor does not.
    fn finished(&mut self, _: &mut Self::Context) {}
}

impl Pumped for ImageProvider {
    fn pump(&mut self) -> &mut Pump {
        &mut self.pump
    }

    fn pass(&mut self) -> LocalBoxFuture<'static, PassOutcome> {
        let settings = self.settings.clone();
        let (memory, watching) = (self.memory.clone(), self.watching.clone());
        Box::pin(async move {
            match take_in_all(&settings, &memory, watching).await {
                Ok(()) => PassOutcome::Done,
                // The next scan looks again.
                Err(error @ ProviderError::Directory { .. }) => {
                    tracing::error!("{error}");
                    PassOutcome::Done
                }
                Err(error) => {
                    tracing::error!(%error, "images are left where they arrived");
                    PassOutcome::TryAgain
                }
            }
        })
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes in every complete image of the directory, with a new look after each handful, until a look finds nothing to do.
async fn take_in_all(
    settings: &ImageProviderSettings,
    memory: &Arc<Mutex<Memory>>,
    watching: Option<Arc<Mutex<Watching>>>,
) -> Result<(), ProviderError> {
    // Each file once: one that is written all the time changes between any two looks.
    let mut tried = HashSet::new();
    loop {
        let mut files = look(settings, memory, watching.clone()).await?;
        files.retain(|seen| !tried.contains(&seen.path));
        if files.is_empty() {
            return Ok(());
        }
        for seen in files.into_iter().take(TAKEN_BETWEEN_LOOKS) {
            tried.insert(seen.path.clone());
            take_in(settings, memory, seen).await?;
        }
    }
}

/// What is to be read now, most urgent first.
async fn look(
    settings: &ImageProviderSettings,
    memory: &Arc<Mutex<Memory>>,
    watching: Option<Arc<Mutex<Watching>>>,
) -> Result<Vec<Seen>, ProviderError> {
    let (directory, rules) = (settings.directory(), settings.intake.rules.clone());
    // A network file system may hang: never in the actor's own thread.
    let listing = settings
        .pool
        .run(move || {
            let lost = |source| ProviderError::Directory { path: directory.clone(), source };
            if let Some(watching) = watching {
                locked(&watching).renew().map_err(lost)?;
            }
            list(&directory, &rules).map_err(|error| lost(error.source))
        })
        .await??;
    let unknown = {
        let mut memory = locked(memory);
        memory.keep_only(&listing.files);
        memory.unknown(&listing.files)
    };
    if !unknown.is_empty() {
        let keys: Vec<String> = unknown.iter().map(|path| journal_key(path)).collect();
        let settled = settings.journal.read(move |c| watched_files::settled(c, &keys)).await?;
        let mut memory = locked(memory);
        for (path, settled) in unknown.into_iter().zip(settled) {
            memory.recall(path, settled);
        }
    }
    let since = open_since(settings).await?;
    let patience = settings.patience();
    let memory = locked(memory);
    let mut counts = [("queued", 0_usize), ("incomplete", 0), ("settled", 0)];
    let mut urgent = Vec::new();
    for seen in listing::in_order(listing.files, &settings.intake.rules, since) {
        let standing = memory.standing(&seen, patience);
        let place = match standing {
            Standing::Queued | Standing::LastChance => 0,
            Standing::Incomplete => 1,
            Standing::Settled => 2,
        };
        counts[place].1 += 1;
        if place == 0 {
            urgent.push((seen, standing));
        }
    }
    // What was found wanting waits for what is new.
    urgent.sort_by_key(|(_, standing)| *standing == Standing::LastChance);
    let urgent = urgent.into_iter().map(|(seen, _)| seen).collect();
    for (what, count) in counts.into_iter().chain([("left-alone", listing.left_alone.total())]) {
        metrics::gauge!(metric::WATCHED_FILES, "what" => what).set(count as f64);
    }
    Ok(urgent)
}

/// The earliest T0 of the triggers that are open.
async fn open_since(settings: &ImageProviderSettings) -> Result<Option<UtcTime>, JournalError> {
    let all = settings.journal.read(triggers::all).await?;
    let open = all
        .into_iter()
        .filter(|trigger| !matches!(trigger.state, TriggerState::Retracted | TriggerState::Closed));
    Ok(open.map(|trigger| trigger.t0).min())
}

/// A path as the journal holds it.
fn journal_key(path: &Path) -> String {
    let parent = path.parent().map(Path::to_string_lossy).unwrap_or_default();
    format!("{parent}/{}", plain_name(path))
}

async fn take_in(
    settings: &ImageProviderSettings,
    memory: &Mutex<Memory>,
    seen: Seen,
) -> Result<(), ProviderError> {
    let now = settings.clock.now();
    let began = Instant::now();
    let (intake, job) = (settings.intake.clone(), seen.clone());
    let reading = match settings.pool.run(move || intake.take(&job, now)).await {
        // A file on which the reader stops is one more kind of damage.
        Err(PoolError::Panicked(what)) => {
            let detail = format!("the reader stopped on it: {what}");
            Reading::Unusable { reason: "damaged", detail }
        }
        other => other??,
    };
    match reading {
        Reading::Changed => {
            locked(memory).forget(&seen.path);
            Ok(())
        }
        Reading::Unusable { reason, detail } => {
            let has_patience = locked(memory).wait(&seen, settings.patience());
            if has_patience {
                tracing::debug!(path = %seen.path.display(), reason, detail, "waited for");
                return Ok(());
            }
            set_aside(settings, memory, seen, reason, detail).await
        }
        Reading::Frame(frame) => journal_frame(settings, memory, *frame, began, seen).await,
    }
}

/// Moves an unusable file into the quarantine. Where it cannot be moved the journal remembers it.
async fn set_aside(
    settings: &ImageProviderSettings,
    memory: &Mutex<Memory>,
    seen: Seen,
    reason: &'static str,
    detail: String,
) -> Result<(), ProviderError> {
    let now = settings.clock.now();
    tracing::error!(path = %seen.path.display(), reason, detail, "image set aside");
    count("none", "quarantined");
    let (storage, path, what) =
        (settings.intake.storage.clone(), seen.path.clone(), detail.clone());
    let moved = settings
        .pool
        .run(move || {
            let moved = storage.set_aside(&path, reason, &what, now);
            match moved {
                Err(error) if path.exists() => {
                    storage.note_aside(&path, reason, &what, now)?;
                    tracing::warn!(%error, "it cannot be moved and stays where it arrived");
                    Ok(false)
                }
                Err(error) if error.source.kind() == std::io::ErrorKind::NotFound => Ok(true),
                other => other.map(|_| true),
            }
        })
        .await??;
    if moved {
        locked(memory).forget(&seen.path);
        return Ok(());
    }
    settle(settings, memory, &seen, reason, Some(detail)).await
}

/// Has the journal and the memory know that a file was dealt with although it is still there.
async fn settle(
    settings: &ImageProviderSettings,
    memory: &Mutex<Memory>,
    seen: &Seen,
    outcome: &'static str,
    detail: Option<String>,
) -> Result<(), ProviderError> {
    let (key, fingerprint, now) = (journal_key(&seen.path), seen.fingerprint, settings.clock.now());
    settings
        .journal
        .write(move |t| {
            watched_files::settle(t, &key, fingerprint, outcome, detail.as_deref(), now)
        })
        .await?;
    locked(memory).settle(seen);
    Ok(())
}

async fn journal_frame(
    settings: &ImageProviderSettings,
    memory: &Mutex<Memory>,
    frame: frames::ArrivedFrame,
    began: Instant,
    seen: Seen,
) -> Result<(), ProviderError> {
    let (instance, state, name) =
        (frame.instance.clone(), frame.state, frame.identity.name.clone());
    let arrival = settings.journal.write(move |t| frames::insert(t, &frame)).await?;
    let is_ours = seen.path.starts_with(settings.intake.storage.incoming());
    let job = seen.clone();
    let is_gone = is_ours && settings.pool.run(move || intake::remove_taken(&job)).await?;
    if is_gone {
        locked(memory).forget(&seen.path);
    } else {
        settle(settings, memory, &seen, "taken", None).await?;
    }
    let frame_id = match arrival {
        frames::Arrival::Known(_) => {
            tracing::debug!(frame = name, "seen before");
            return Ok(());
        }
        frames::Arrival::New(id) => id,
        frames::Arrival::NewVersion(id) => {
            tracing::warn!(frame = name, "a new version of a frame: same name, other data");
            id
        }
    };
    settings.arrivals.start(frame_id);
    tracing::info!(
        frame = name,
        instance,
        took_milliseconds = began.elapsed().as_millis() as u64,
        "frame arrived"
    );
    if state != FrameState::Arrived {
        count(&instance, "ignored");
        return Ok(());
    }
    let message = FrameArrived { frame_id };
    if instance == CALIBRATION_INSTANCE {
        hint(&settings.calibration_master, CalibrationMaster::NAME, message).await;
        return Ok(());
    }
    for (name, address) in &settings.instances {
        if *name == instance {
            hint(address, "gp1", message.clone()).await;
        }
    }
    Ok(())
}

fn count(instance: &str, result: &'static str) {
    let instance = instance.to_owned();
    metrics::counter!(metric::FRAMES, "instance" => instance, "result" => result).increment(1);
}
