//! Image provider: brings complete images from where they appear (a watched directory, an archive, a synthetic sky) into
//! the local storage and the journal, and tells who must work on them.

use super::{
    calibration_master::{CALIBRATION_INSTANCE, CalibrationMaster},
    gp1_instance::Gp1Instance,
    messages::FrameArrived,
    pool::WorkerPool,
    pump::{PassOutcome, Pump, Pumped, wake},
    sending::hint,
    stopwatch::Stopwatches,
};
use crate::{
    clock::{Clock, WorkGuard},
    fits::{FitsError, FitsStore, KeywordMap, screening},
    gp1::router::Router,
    model::{FrameIdentity, FrameState, UtcTime, metric},
    simulation::feed::{FeedError, FrameFeed},
    storage::{
        disk::require_room,
        journal::{Journal, JournalError, frames},
        local::{LocalStorage, StorageError, move_file, sha256_of_file},
    },
};
use actix::{Actor, ActorFutureExt, Addr, AsyncContext, Context, Supervised, WrapFuture};
use futures_util::future::LocalBoxFuture;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Wall time after which a file that stays incomplete is set aside.
const PATIENCE: Duration = Duration::from_secs(60);

/// Room that must be there for each byte of an image before it is taken in: itself, its reduction with variance and mask, stacks, products.
const ROOM_PER_BYTE: u64 = 8;
/// And for the journal and what is small.
const ROOM_BESIDES: u64 = 1 << 20;

/// Where images come from.
#[derive(Clone)]
pub enum ImageSource {
    /// Another process writes them into this directory; it is looked through every `scan` of wall time.
    Directory { path: PathBuf, scan: Duration },
    /// A feed makes them and drops each into the incoming directory at its instant.
    Feed(Arc<dyn FrameFeed>),
}

/// What the provider works with; immutable, so that a restart begins from it.
#[derive(Clone)]
pub struct ImageProviderSettings {
    pub source: ImageSource,
    pub keywords: KeywordMap,
    pub router: Router,
    pub store: Arc<dyn FitsStore>,
    pub pool: WorkerPool,
    pub journal: Journal,
    pub storage: LocalStorage,
    pub clock: Clock,
    pub instances: Vec<(String, Addr<Gp1Instance>)>,
    pub calibration_master: Addr<CalibrationMaster>,
    pub arrivals: Stopwatches<i64>,
}

pub struct ImageProvider {
    settings: ImageProviderSettings,
    pump: Pump,
    /// What was seen of files that are not complete yet; shared with the passes.
    incomplete: Incomplete,
}

/// Size and time of first sight of incomplete files.
type Incomplete = Arc<Mutex<BTreeMap<PathBuf, (u64, Instant)>>>;

#[derive(Debug, thiserror::Error)]
enum ProviderError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error(transparent)]
    Pool(#[from] super::pool::PoolError),
    #[error(transparent)]
    Feed(#[from] FeedError),
}

impl ImageProvider {
    pub const NAME: &'static str = "image-provider";

    pub fn new(settings: ImageProviderSettings) -> Self {
        Self { settings, pump: Pump::default(), incomplete: Incomplete::default() }
    }

    fn begin(&mut self, context: &mut Context<Self>) {
        let guard = self.settings.clock.hold();
        match self.settings.source.clone() {
            ImageSource::Directory { scan, .. } => {
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
        let following = async move { follow_feed(&settings, feed, guard).await };
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
        self.begin(context);
    }
}

impl Supervised for ImageProvider {
    /// actix calls `started` again afterwards.
    fn restarting(&mut self, _context: &mut Self::Context) {
        *self = Self::new(self.settings.clone());
    }
}

impl Pumped for ImageProvider {
    fn pump(&mut self) -> &mut Pump {
        &mut self.pump
    }

    fn pass(&mut self) -> LocalBoxFuture<'static, PassOutcome> {
        let settings = self.settings.clone();
        let incomplete = self.incomplete.clone();
        Box::pin(async move {
            match take_in_all(&settings, &incomplete).await {
                Ok(()) => PassOutcome::Done,
                Err(error) => {
                    tracing::error!(%error, "images are left in the incoming directory");
                    PassOutcome::TryAgain
                }
            }
        })
    }
}

/// Makes each frame ahead of its instant, and moves it into the incoming directory at the instant.
async fn follow_feed(
    settings: &ImageProviderSettings,
    feed: Arc<dyn FrameFeed>,
    guard: WorkGuard,
) -> Result<(), ProviderError> {
    let mut guard = Some(guard);
    let staging = settings.storage.root().join("staging");
    fs::create_dir_all(&staging)
        .map_err(|source| StorageError { path: staging.clone(), source })?;
    // What an earlier life left behind comes first.
    take_in_all(settings, &Incomplete::default()).await?;
    for index in 0..feed.plan().len() {
        let planned = feed.plan()[index].clone();
        let name = planned.frame_name.clone();
        let arrived = settings.journal.read(move |c| frames::is_known_name(c, &name)).await?;
        if arrived {
            continue;
        }
        let instant = settings.clock.sleep_until(planned.arrival);
        drop(guard.take());
        let (maker, directory) = (feed.clone(), staging.clone());
        let made = settings.pool.run(move || maker.produce(index, &directory));
        let (made, held) = futures_util::future::join(made, instant).await;
        let made = made??;
        let Some(name) = made.file_name() else { continue };
        let destination = settings.storage.incoming().join(name);
        move_file(&made, &destination)?;
        take_in_all(settings, &Incomplete::default()).await?;
        guard = Some(held);
    }
    Ok(())
}

/// Takes in every complete image of the watched directory.
async fn take_in_all(
    settings: &ImageProviderSettings,
    incomplete: &Incomplete,
) -> Result<(), ProviderError> {
    let directory = match &settings.source {
        ImageSource::Directory { path, .. } => path.clone(),
        ImageSource::Feed(_) => settings.storage.incoming(),
    };
    let listed = directory.clone();
    let files = settings.pool.run(move || list_images(&listed)).await??;
    for file in files {
        take_in(settings, &directory, file, incomplete).await?;
    }
    Ok(())
}

/// Names of images in the directory, oldest name first. Temporary and foreign files are left alone.
fn list_images(directory: &Path) -> Result<Vec<PathBuf>, StorageError> {
    let at = |source: io::Error| StorageError { path: directory.to_owned(), source };
    let mut files = BTreeSet::new();
    for entry in fs::read_dir(directory).map_err(at)? {
        let entry = entry.map_err(at)?;
        let name = entry.file_name().to_string_lossy().to_ascii_lowercase();
        let is_image = [".fits", ".fits.fz", ".fits.gz"].iter().any(|end| name.ends_with(end));
        if is_image && !name.starts_with('.') && entry.path().is_file() {
            files.insert(entry.path());
        }
    }
    Ok(files.into_iter().collect())
}

/// What reading a file gave.
enum Reading {
    Frame(Box<frames::ArrivedFrame>),
    /// Not complete, or not readable: how large it is, and why.
    Unusable {
        size: u64,
        reason: &'static str,
        detail: String,
    },
}

async fn take_in(
    settings: &ImageProviderSettings,
    directory: &Path,
    file: PathBuf,
    incomplete: &Incomplete,
) -> Result<(), ProviderError> {
    let is_ours = directory == settings.storage.incoming();
    if !is_ours && already_taken(settings, &file).await? {
        return Ok(());
    }
    let (job, path) = (settings.clone(), file.clone());
    let now = settings.clock.now();
    let began = Instant::now();
    let reading = settings.pool.run(move || read_and_place(&job, &path, is_ours, now)).await??;
    match reading {
        Reading::Unusable { size, reason, detail } => {
            if has_patience(incomplete, &file, size) {
                return Ok(());
            }
            tracing::error!(path = %file.display(), reason, detail, "image set aside");
            let (storage, path) = (settings.storage.clone(), file.clone());
            settings.pool.run(move || storage.set_aside(&path, reason, &detail, now)).await??;
            count("none", "quarantined");
        }
        Reading::Frame(frame) => {
            forget(incomplete, &file);
            let consumed = is_ours.then_some(file);
            journal_frame(settings, *frame, began, consumed).await?;
        }
    }
    Ok(())
}

/// Files of a directory that is not ours stay there: those in the journal are not read again.
async fn already_taken(
    settings: &ImageProviderSettings,
    file: &Path,
) -> Result<bool, JournalError> {
    let name = frame_name(file);
    settings.journal.read(move |c| frames::is_known_name(c, &name)).await
}

async fn journal_frame(
    settings: &ImageProviderSettings,
    frame: frames::ArrivedFrame,
    began: Instant,
    consumed: Option<PathBuf>,
) -> Result<(), ProviderError> {
    let (instance, state, name) =
        (frame.instance.clone(), frame.state, frame.identity.name.clone());
    let arrival = settings.journal.write(move |t| frames::insert(t, &frame)).await?;
    if let Some(file) = consumed
        && let Err(error) = fs::remove_file(&file)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(path = %file.display(), %error, "a stored image stays in incoming");
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

/// Screens, reads and hashes a file and gives it its place under `raw/<night>/`.
fn read_and_place(
    settings: &ImageProviderSettings,
    file: &Path,
    is_ours: bool,
    now: UtcTime,
) -> Result<Reading, ProviderError> {
    let size =
        fs::metadata(file).map_err(|source| StorageError { path: file.to_owned(), source })?.len();
    let screened = match screening::screen(file) {
        Ok(screened) => screened,
        Err(error) => {
            return Ok(Reading::Unusable { size, reason: "damaged", detail: error.to_string() });
        }
    };
    let Some(size_pixels) = screened.plane else {
        let detail = "there is no image in it".to_owned();
        return Ok(Reading::Unusable { size, reason: "no-image", detail });
    };
    let name = frame_name(file);
    let header = match settings.store.read_header(file) {
        Ok(header) => header,
        Err(error @ FitsError::Io { .. }) => {
            return Ok(Reading::Unusable { size, reason: "unreadable", detail: error.to_string() });
        }
        Err(error) => {
            return Ok(Reading::Unusable { size, reason: "damaged", detail: error.to_string() });
        }
    };
    let keywords = match settings.keywords.read(&header, &name, size_pixels) {
        Ok(keywords) => keywords,
        Err(error) => {
            return Ok(Reading::Unusable { size, reason: "keywords", detail: error.to_string() });
        }
    };
    let data_sha256 = sha256_of_file(file)?;
    let (instance, state, reason) = if keywords.kind.is_calibration() {
        (CALIBRATION_INSTANCE.to_owned(), FrameState::Arrived, None)
    } else {
        match settings.router.instance_of(&header, &keywords) {
            Some(instance) => (instance.to_owned(), FrameState::Arrived, None),
            None => (
                "none".to_owned(),
                FrameState::Ignored,
                Some(format!("no section of gp1.cfg takes {} frames like this", keywords.kind)),
            ),
        }
    };
    // On a full disk it waits where it is: nothing of it is begun that could only fail.
    require_room(settings.storage.root(), ROOM_PER_BYTE * size + ROOM_BESIDES)?;
    let path = place(settings, file, &keywords.date_obs, &data_sha256, is_ours)?;
    Ok(Reading::Frame(Box::new(frames::ArrivedFrame {
        identity: FrameIdentity { name, data_sha256 },
        path,
        keywords,
        instance,
        arrived_at: now,
        state,
        reason,
    })))
}

/// Gives the file a second name under `raw/<night>/` (a hard link, or a copy): the first one is removed only when the journal has
/// it, so that a crash in between loses nothing.
fn place(
    settings: &ImageProviderSettings,
    file: &Path,
    date_obs: &UtcTime,
    data_sha256: &str,
    is_ours: bool,
) -> Result<PathBuf, StorageError> {
    let directory = settings.storage.raw().join(date_obs.compact_date());
    fs::create_dir_all(&directory)
        .map_err(|source| StorageError { path: directory.clone(), source })?;
    let Some(name) = file.file_name() else {
        let source = io::Error::other("the path has no file name");
        return Err(StorageError { path: file.to_owned(), source });
    };
    let mut destination = directory.join(name);
    if destination.exists() {
        if sha256_of_file(&destination)? == data_sha256 {
            return Ok(destination);
        }
        // Another version of the same frame: both are kept.
        let version = data_sha256.get(..12).unwrap_or(data_sha256);
        destination = directory.join(format!("version-{version}")).join(name);
        if let Some(parent) = destination.parent() {
            fs::create_dir_all(parent)
                .map_err(|source| StorageError { path: parent.to_owned(), source })?;
        }
        if destination.exists() {
            return Ok(destination);
        }
    }
    if is_ours && fs::hard_link(file, &destination).is_ok() {
        return Ok(destination);
    }
    let mut temporary = destination.clone().into_os_string();
    temporary.push(".tmp");
    let temporary = PathBuf::from(temporary);
    fs::copy(file, &temporary)
        .and_then(|_| fs::File::open(&temporary)?.sync_all())
        .map_err(|source| StorageError { path: temporary.clone(), source })?;
    move_file(&temporary, &destination)?;
    Ok(destination)
}

/// File name without `.fits`, `.fits.fz`, `.fits.gz`.
fn frame_name(file: &Path) -> String {
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let lower = name.to_ascii_lowercase();
    for end in [".fits.fz", ".fits.gz", ".fits"] {
        if lower.ends_with(end) {
            return name[..name.len() - end.len()].to_owned();
        }
    }
    name
}

/// Whether an unusable file may still be growing: it is left until its size has stood still for a while.
fn has_patience(incomplete: &Incomplete, file: &Path, size: u64) -> bool {
    let mut seen = incomplete.lock().unwrap_or_else(PoisonError::into_inner);
    let entry = seen.entry(file.to_owned()).or_insert((size, Instant::now()));
    if entry.0 != size {
        *entry = (size, Instant::now());
    }
    let waiting = entry.1.elapsed() < PATIENCE;
    if !waiting {
        seen.remove(file);
    }
    waiting
}

fn forget(incomplete: &Incomplete, file: &Path) {
    incomplete.lock().unwrap_or_else(PoisonError::into_inner).remove(file);
}

fn count(instance: &str, result: &'static str) {
    let instance = instance.to_owned();
    metrics::counter!(metric::FRAMES, "instance" => instance, "result" => result).increment(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_frame_name_is_the_file_name_without_its_endings() {
        for file in
            ["20191016T042001C0o.fits", "20191016T042001C0o.fits.fz", "x/20191016T042001C0o.FITS"]
        {
            assert_eq!(frame_name(Path::new(file)), "20191016T042001C0o");
        }
    }

    #[test]
    fn foreign_and_temporary_files_are_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["b.fits", "a.fits.fz", "c.fits.partial.tmp", "notes.txt", ".hidden.fits"] {
            fs::write(directory.path().join(name), b"x").unwrap();
        }
        let names: Vec<_> = list_images(directory.path())
            .unwrap()
            .iter()
            .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
            .collect();
        assert_eq!(names, ["a.fits.fz", "b.fits"]);
    }
}
