//! A GP1 instance (`svom`, `colibri`): takes its frames and, where it serves deadlines, the deadlines, one after the other in the
//! order of their instants, and has each worked on by its own thread.
//!
//! The image state (running stacks, tracks) lives in a slot that only the worker thread opens. Whatever breaks, the slot is emptied and
//! rebuilt from the reduced frames in the workspace: the same frames in the same order give the same state.

use super::{
    messages::{
        AnalysisReady, DeadlineDue, FrameArrived, FrameReduced, MasterPromoted, OpenFromFrame,
        TriggerChanged,
    },
    pool::{PoolError, WorkerPool},
    product_maker::ProductMaker,
    pump::{PassOutcome, Pump, Pumped, wake},
    sending::{ask, hint, tell},
    status_collector::StatusCollector,
    stopwatch::Stopwatches,
    trigger_manager::TriggerManager,
};
use crate::{
    alerts::known_before,
    clock::Clock,
    fits::FitsStore,
    gp1::{
        Gp1Error, MastersInForce,
        failed_analysis::failed_analysis,
        pipeline::{FrameOutcome, Instance},
    },
    model::{
        AnalysisResult, Deadline, DeadlineState, FrameRecord, FrameState, Master, Provenance,
        Trigger, metric, normalise_burst_id,
    },
    storage::{
        journal::{Journal, JournalError, analyses, frames, masters, triggers},
        local::{LocalStorage, write_atomically},
    },
};
use actix::{Actor, Addr, Context, Handler, Supervised};
use futures_util::future::LocalBoxFuture;
use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// A frame that ended its worker this often is set aside.
const MAXIMUM_ATTEMPTS: u32 = 6;
/// How long the trigger manager may take to open a trigger from a frame.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);

/// Makes the image side of an instance, empty.
pub type InstanceFactory = Arc<dyn Fn() -> Instance + Send + Sync>;

/// What an instance works with; immutable, so that a restart begins from it.
#[derive(Clone)]
pub struct Gp1InstanceSettings {
    /// Section of gp1.cfg.
    pub name: String,
    pub factory: InstanceFactory,
    pub store: Arc<dyn FitsStore>,
    /// Its own pool of one thread: the other instance cannot starve it.
    pub pool: WorkerPool,
    pub journal: Journal,
    pub storage: LocalStorage,
    pub clock: Clock,
    pub trigger_manager: Addr<TriggerManager>,
    /// Where the results of deadlines go, for the instance that serves them.
    pub product_maker: Option<Addr<ProductMaker>>,
    pub status_collector: Addr<StatusCollector>,
    /// Wall time since each frame's last byte.
    pub arrivals: Stopwatches<i64>,
}

impl Gp1InstanceSettings {
    fn serves_deadlines(&self) -> bool {
        self.product_maker.is_some()
    }
}

/// The masters in force, loaded once for each set of them.
#[derive(Clone, Default)]
struct MastersCache {
    loaded: Arc<Mutex<Option<LoadedSet>>>,
}

/// Hashes of a set of masters, and the set.
type LoadedSet = (Vec<String>, Arc<MastersInForce>);

impl MastersCache {
    fn load(
        &self,
        store: &dyn FitsStore,
        in_force: &[Master],
    ) -> Result<Arc<MastersInForce>, Gp1Error> {
        let hashes: Vec<String> = in_force.iter().map(|master| master.sha256.clone()).collect();
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, masters)) = loaded.as_ref()
            && *known == hashes
        {
            return Ok(masters.clone());
        }
        let masters = Arc::new(MastersInForce::load(store, in_force)?);
        *loaded = Some((hashes, masters.clone()));
        Ok(masters)
    }
}

/// The image state, opened by the worker thread only. `None`: to be rebuilt.
type Slot = Arc<Mutex<Option<Instance>>>;

pub struct Gp1Instance {
    settings: Gp1InstanceSettings,
    slot: Slot,
    masters: MastersCache,
    pump: Pump,
}

/// One piece of work, with the instant that orders it.
enum Work {
    Frame(Box<FrameRecord>),
    Deadline(Deadline),
}

impl Gp1Instance {
    /// Actor name of an instance.
    pub fn actor_name(instance: &str) -> String {
        format!("gp1-{instance}")
    }

    pub fn new(settings: Gp1InstanceSettings) -> Self {
        Self {
            settings,
            slot: Slot::default(),
            masters: MastersCache::default(),
            pump: Pump::default(),
        }
    }

    fn begin(&mut self, context: &mut Context<Self>) {
        let guard = self.settings.clock.hold();
        wake(self, context, Some(guard));
    }
}

impl Actor for Gp1Instance {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        self.begin(context);
    }
}

impl Supervised for Gp1Instance {
    /// actix calls `started` again afterwards.
    fn restarting(&mut self, _context: &mut Self::Context) {
        *self = Self::new(self.settings.clone());
    }
}

impl Pumped for Gp1Instance {
    fn pump(&mut self) -> &mut Pump {
        &mut self.pump
    }

    fn pass(&mut self) -> LocalBoxFuture<'static, PassOutcome> {
        let worker = Worker {
            settings: self.settings.clone(),
            slot: self.slot.clone(),
            masters: self.masters.clone(),
        };
        Box::pin(async move {
            match worker.do_all().await {
                Ok(()) => PassOutcome::Done,
                Err(error) => {
                    let instance = &worker.settings.name;
                    tracing::error!(instance, %error, "work is left; it will be tried again");
                    PassOutcome::TryAgain
                }
            }
        })
    }
}

macro_rules! wakes_on {
    ($($message:ty),*) => {$(
        impl Handler<$message> for Gp1Instance {
            type Result = ();

            fn handle(&mut self, _hint: $message, context: &mut Self::Context) {
                wake(self, context, None);
            }
        }
    )*};
}

wakes_on!(FrameArrived, DeadlineDue, TriggerChanged, MasterPromoted);

#[derive(Debug, thiserror::Error)]
enum InstanceError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Pool(#[from] PoolError),
    #[error("the result of a deadline could not be made: {0}")]
    Analysis(#[from] Gp1Error),
    #[error("{path}: {what}")]
    Result { path: PathBuf, what: String },
}

/// Does the work of one instance; it is the actor's settings and slot, apart from the actor.
struct Worker {
    settings: Gp1InstanceSettings,
    slot: Slot,
    masters: MastersCache,
}

impl Worker {
    async fn do_all(&self) -> Result<(), InstanceError> {
        while let Some(work) = self.next_work().await? {
            match work {
                Work::Frame(frame) => self.do_frame(*frame).await?,
                Work::Deadline(deadline) => self.do_deadline(&deadline).await?,
            }
        }
        Ok(())
    }

    /// The earliest work: frames by arrival, deadlines by their instant, frames first at the same instant.
    async fn next_work(&self) -> Result<Option<Work>, InstanceError> {
        let name = self.settings.name.clone();
        let serves_deadlines = self.settings.serves_deadlines();
        let (waiting, due) = self
            .settings
            .journal
            .read(move |connection| {
                let waiting = frames::of_instance(connection, &name, FrameState::Arrived)?;
                let due = if serves_deadlines {
                    serviceable_deadlines(connection, &name)?
                } else {
                    Vec::new()
                };
                Ok((waiting, due))
            })
            .await?;
        let queue = self.settings.name.clone();
        metrics::gauge!(metric::QUEUE_DEPTH, "queue" => queue).set(waiting.len() as f64);
        let frame = waiting.into_iter().next();
        let deadline = due.into_iter().next();
        Ok(match (frame, deadline) {
            (Some(frame), Some(deadline)) if deadline.due_at < frame.arrived_at => {
                Some(Work::Deadline(deadline))
            }
            (Some(frame), _) => Some(Work::Frame(Box::new(frame))),
            (None, Some(deadline)) => Some(Work::Deadline(deadline)),
            (None, None) => None,
        })
    }

    async fn do_frame(&self, frame: FrameRecord) -> Result<(), InstanceError> {
        let id = frame.id;
        let attempts = self.settings.journal.write(move |t| frames::begin_attempt(t, id)).await?;
        if attempts > MAXIMUM_ATTEMPTS {
            let reason = format!("it ended its worker {MAXIMUM_ATTEMPTS} times");
            return self.set_frame_aside(&frame, "worker-ended", &reason).await;
        }
        let trigger = self.trigger_of(&frame).await?;
        let in_force = self.settings.journal.read(masters::in_force).await?;
        let burst = trigger.clone();
        let job_frame = frame.clone();
        let (cache, store) = (self.masters.clone(), self.settings.store.clone());
        let outcome = self
            .with_instance(move |instance| {
                let masters = cache.load(store.as_ref(), &in_force)?;
                instance.process_frame(&job_frame, &masters, burst.as_ref())
            })
            .await;
        match outcome {
            Ok(Ok(outcome)) => self.finish_frame(frame, trigger, outcome).await,
            Ok(Err(error)) if error.is_retry_safe() && attempts < MAXIMUM_ATTEMPTS => {
                tracing::warn!(frame = frame.identity.name, %error, "frame will be tried again");
                Ok(())
            }
            Ok(Err(error)) => {
                self.set_frame_aside(&frame, error.quarantine_reason(), &error.to_string()).await
            }
            Err(InstanceError::Pool(PoolError::Panicked(message))) => {
                tracing::error!(frame = frame.identity.name, message, "the worker panicked");
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    async fn finish_frame(
        &self,
        mut frame: FrameRecord,
        trigger: Option<Trigger>,
        outcome: FrameOutcome,
    ) -> Result<(), InstanceError> {
        let mut quality = outcome.quality;
        quality.latency_seconds = self.settings.arrivals.stop(&frame.id).unwrap_or(0.0);
        let stored = quality.clone();
        let (id, path, at) = (frame.id, outcome.reduced_path, self.settings.clock.now());
        let provisional = trigger.as_ref().map(|t| t.burst_id.clone()).zip(outcome.provisional);
        self.settings
            .journal
            .write(move |t| {
                frames::set_reduced(t, id, &stored, &path)?;
                if let Some((burst, list)) = &provisional {
                    frames::save_provisional(t, burst, id, at, list)?;
                }
                Ok(())
            })
            .await?;
        let instance = self.settings.name.clone();
        metrics::histogram!(metric::FRAME_LATENCY, "instance" => instance)
            .record(quality.latency_seconds);
        self.count("reduced");
        tracing::info!(
            instance = self.settings.name,
            frame = frame.identity.name,
            sources = quality.source_count,
            astrometry = quality.astrometry,
            limiting_magnitude = quality.limiting_magnitude,
            latency_seconds = quality.latency_seconds,
            "frame reduced"
        );
        frame.state = FrameState::Reduced;
        frame.quality = Some(quality);
        let message = FrameReduced { frame: Box::new(frame) };
        tell(&self.settings.status_collector, StatusCollector::NAME, message);
        Ok(())
    }

    async fn do_deadline(&self, deadline: &Deadline) -> Result<(), InstanceError> {
        let burst = deadline.burst_id.clone();
        let name = self.settings.name.clone();
        // The frames whose last byte had arrived by the instant; a catch-up serves what there is now.
        let until =
            if deadline.cause.is_some() { self.settings.clock.now() } else { deadline.due_at };
        let found = self
            .settings
            .journal
            .read(move |c| {
                let trigger = triggers::find(c, &burst)?;
                let used = frames::reduced_of_burst(c, &name, &burst, until)?;
                Ok(trigger.map(|trigger| (trigger, used)))
            })
            .await?;
        let Some((trigger, used)) = found else { return Ok(()) };
        let trigger = known_before(&trigger, until);
        let path = match self.analyse(&trigger, deadline, &used).await {
            Ok(path) => path,
            Err(first) => {
                tracing::error!(deadline = %deadline.name, error = %first, "analysis failed; once more");
                match self.analyse(&trigger, deadline, &used).await {
                    Ok(path) => path,
                    Err(second) => {
                        self.without_analysis(&trigger, deadline, &used, &second.to_string())?
                    }
                }
            }
        };
        let result = read_result(&path)?;
        let (moved, at) = (deadline.clone(), self.settings.clock.now());
        self.settings
            .journal
            .write(move |t| {
                analyses::save(t, &result, &path, at)?;
                triggers::advance_deadline(t, &moved.burst_id, moved.name, DeadlineState::Analysed)
            })
            .await?;
        tracing::info!(burst = deadline.burst_id, deadline = %deadline.name, "analysis ready");
        if let Some(product_maker) = &self.settings.product_maker {
            let message =
                AnalysisReady { burst_id: deadline.burst_id.clone(), deadline: deadline.name };
            hint(product_maker, ProductMaker::NAME, message).await;
        }
        Ok(())
    }

    async fn analyse(
        &self,
        trigger: &Trigger,
        deadline: &Deadline,
        used: &[FrameRecord],
    ) -> Result<PathBuf, InstanceError> {
        let (trigger, deadline, used) = (trigger.clone(), deadline.clone(), used.to_vec());
        let made = self
            .with_instance(move |instance| instance.analyse(&trigger, &deadline, &used))
            .await?;
        Ok(made?)
    }

    /// A deadline always yields products: an analysis that fails twice gives an empty list with the reason.
    fn without_analysis(
        &self,
        trigger: &Trigger,
        deadline: &Deadline,
        used: &[FrameRecord],
        reason: &str,
    ) -> Result<PathBuf, InstanceError> {
        tracing::error!(deadline = %deadline.name, reason, "products go out without an analysis");
        let provenance = Provenance {
            program: env!("CARGO_PKG_NAME").to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            instance: self.settings.name.clone(),
            masters: Vec::new(),
            catalogue: String::new(),
            configuration_sha256: String::new(),
        };
        let result = failed_analysis(trigger, deadline, used, provenance, reason);
        let directory = self
            .settings
            .storage
            .calibrated()
            .join(normalise_burst_id(&deadline.burst_id))
            .join(deadline.name.to_string());
        let path = directory.join("result.json");
        let failed = |what: String| InstanceError::Result { path: path.clone(), what };
        let text = serde_json::to_vec_pretty(&result).map_err(|error| failed(error.to_string()))?;
        std::fs::create_dir_all(&directory).map_err(|error| failed(error.to_string()))?;
        write_atomically(&path, &text).map_err(|error| failed(error.to_string()))?;
        Ok(path)
    }

    /// Runs `work` on the instance's thread, over the image state, which is rebuilt first if it was lost. A panic loses it.
    async fn with_instance<T, F>(&self, work: F) -> Result<T, InstanceError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Instance) -> T + Send + 'static,
    {
        let slot = self.slot.clone();
        let factory = self.settings.factory.clone();
        let journal = self.settings.journal.clone();
        let name = self.settings.name.clone();
        self.settings
            .pool
            .run(move || {
                // Taken out of the slot: a panic drops it, and the next job rebuilds it.
                let kept = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
                let mut instance = match kept {
                    Some(instance) => instance,
                    None => rebuilt(&factory, &journal, &name)?,
                };
                let value = work(&mut instance);
                *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(instance);
                Ok::<T, InstanceError>(value)
            })
            .await?
    }

    /// The trigger of a frame. If the frame names one that no notice opened, the trigger manager opens it from the frame.
    async fn trigger_of(&self, frame: &FrameRecord) -> Result<Option<Trigger>, InstanceError> {
        let Some(burst) = frame.keywords.trigger_id.clone() else { return Ok(None) };
        let wanted = burst.clone();
        let known = self.settings.journal.read(move |c| triggers::find(c, &wanted)).await?;
        if known.is_some() || !self.settings.serves_deadlines() {
            return Ok(known);
        }
        let request = OpenFromFrame { frame: Box::new(frame.clone()) };
        match ask(&self.settings.trigger_manager, request, OPEN_TIMEOUT).await {
            Ok(Ok(())) => {}
            Ok(Err(reason)) | Err(reason) => {
                tracing::warn!(burst, reason, "no trigger could be opened from the frame");
            }
        }
        Ok(self.settings.journal.read(move |c| triggers::find(c, &burst)).await?)
    }

    async fn set_frame_aside(
        &self,
        frame: &FrameRecord,
        reason: &str,
        detail: &str,
    ) -> Result<(), InstanceError> {
        tracing::error!(frame = frame.identity.name, reason, detail, "frame set aside");
        let now = self.settings.clock.now();
        let moved = match self.settings.storage.set_aside(&frame.path, reason, detail, now) {
            Ok(path) => Some(path),
            Err(error) => {
                tracing::error!(%error, "the file could not be moved to the quarantine");
                None
            }
        };
        let (id, text) = (frame.id, format!("{reason}: {detail}"));
        self.settings
            .journal
            .write(move |t| {
                if let Some(path) = &moved {
                    frames::set_path(t, id, path)?;
                }
                frames::set_state(t, id, FrameState::Quarantined, Some(&text))
            })
            .await?;
        self.count("quarantined");
        Ok(())
    }

    fn count(&self, result: &'static str) {
        let instance = self.settings.name.clone();
        metrics::counter!(metric::FRAMES, "instance" => instance, "result" => result).increment(1);
    }
}

/// Deadlines that are due and can be served now: a catch-up waits for its first frame.
fn serviceable_deadlines(
    connection: &rusqlite::Connection,
    instance: &str,
) -> Result<Vec<Deadline>, JournalError> {
    let mut serviceable = Vec::new();
    for deadline in triggers::deadlines_in(connection, DeadlineState::Due)? {
        if deadline.cause.is_none()
            || frames::has_reduced_of_burst(connection, instance, &deadline.burst_id)?
        {
            serviceable.push(deadline);
        }
    }
    Ok(serviceable)
}

/// The image state as the journal and the workspace have it: the reduced frames, in order of arrival.
fn rebuilt(
    factory: &InstanceFactory,
    journal: &Journal,
    name: &str,
) -> Result<Instance, InstanceError> {
    let mut instance = factory();
    let wanted = name.to_owned();
    let reduced =
        journal.read_blocking(move |c| frames::of_instance(c, &wanted, FrameState::Reduced))?;
    let open: Vec<Trigger> = journal.read_blocking(triggers::all)?;
    if !reduced.is_empty() {
        tracing::info!(instance = name, frames = reduced.len(), "rebuilding the image state");
    }
    let mut by_burst: BTreeMap<Option<String>, Vec<FrameRecord>> = BTreeMap::new();
    for frame in reduced {
        let burst = frame.keywords.trigger_id.as_deref().map(normalise_burst_id);
        by_burst.entry(burst).or_default().push(frame);
    }
    for (burst, frames) in by_burst {
        let trigger = open
            .iter()
            .find(|trigger| burst.as_deref() == Some(&normalise_burst_id(&trigger.burst_id)));
        instance.restore(&frames, trigger)?;
    }
    Ok(instance)
}

fn read_result(path: &PathBuf) -> Result<AnalysisResult, InstanceError> {
    let failed = |what: String| InstanceError::Result { path: path.clone(), what };
    let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
    serde_json::from_str(&text).map_err(|error| failed(error.to_string()))
}
