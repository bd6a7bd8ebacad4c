//! The image state of an instance (running stacks, tracks) and the jobs that work with it.
//!
//! It lies in a slot. Analysing a deadline leaves it there: a panic or a hang costs nothing of it. Only the job that takes a frame in has it out;
//! what breaks there empties the slot, which is rebuilt from the reduced frames in the workspace: the same frames in the same order give the same state.

use super::{Gp1InstanceSettings, InstanceError, InstanceFactory};
use crate::{
    actors::pool::WorkerPool,
    fits::FitsStore,
    gp1::{Gp1Error, MastersInForce, pipeline::Instance},
    model::{FrameRecord, FrameState, Master, Trigger, normalise_burst_id},
    progress,
    storage::journal::{Journal, frames, triggers},
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

/// The masters in force, loaded once for each set of them.
#[derive(Clone, Default)]
pub(super) struct MastersCache {
    loaded: Arc<Mutex<Option<LoadedSet>>>,
}

/// Hashes of a set of masters, and the set.
type LoadedSet = (Vec<String>, Arc<MastersInForce>);

impl MastersCache {
    pub(super) fn load(
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

/// The image state. `None`: to be rebuilt.
type Slot = Arc<Mutex<Option<Arc<Instance>>>>;

/// Shared by the lives of one actor's passes, cheap to clone.
#[derive(Clone)]
pub(super) struct ImageState {
    slot: Slot,
    /// A pool of one thread: the jobs follow each other.
    pool: WorkerPool,
    factory: InstanceFactory,
    journal: Journal,
    name: String,
}

impl ImageState {
    pub(super) fn new(settings: &Gp1InstanceSettings) -> Self {
        Self {
            slot: Slot::default(),
            pool: settings.pool.clone(),
            factory: settings.factory.clone(),
            journal: settings.journal.clone(),
            name: settings.name.clone(),
        }
    }

    /// Runs `work` on the instance's thread with the image state, which stays in its slot: whatever happens to the job.
    pub(super) async fn reading<T, F>(&self, work: F) -> Result<T, InstanceError>
    where
        T: Send + 'static,
        F: FnOnce(&Instance) -> T + Send + 'static,
    {
        let (slot, rebuilding) = (self.slot.clone(), self.rebuilding());
        self.pool
            .run(move || {
                let kept = locked(&slot).clone();
                let instance = match kept {
                    Some(instance) => instance,
                    None => {
                        let instance = Arc::new(rebuilding()?);
                        put_back(&slot, instance.clone());
                        instance
                    }
                };
                Ok::<T, InstanceError>(work(&instance))
            })
            .await?
    }

    /// Runs `work` on the instance's thread with the image state taken out of its slot. A panic or a hang loses it, and the next job
    /// rebuilds it.
    pub(super) async fn changing<T, F>(&self, work: F) -> Result<T, InstanceError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Instance) -> T + Send + 'static,
    {
        let (slot, rebuilding) = (self.slot.clone(), self.rebuilding());
        self.pool
            .run(move || {
                let kept = locked(&slot).take();
                let mut instance = match kept {
                    Some(instance) => instance,
                    None => Arc::new(rebuilding()?),
                };
                // A copy is made only while a job that was given up still holds the state.
                let value = work(Arc::make_mut(&mut instance));
                put_back(&slot, instance);
                Ok::<T, InstanceError>(value)
            })
            .await?
    }

    fn rebuilding(&self) -> impl FnOnce() -> Result<Instance, InstanceError> + Send + 'static {
        let factory = self.factory.clone();
        let journal = self.journal.clone();
        let name = self.name.clone();
        move || rebuilt(&factory, &journal, &name)
    }
}

fn locked(slot: &Slot) -> std::sync::MutexGuard<'_, Option<Arc<Instance>>> {
    // The slot is only ever filled or emptied: it is sound even if a holder of the lock panicked.
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps the image state for the next job, unless this job was given up and another has taken its place.
fn put_back(slot: &Slot, instance: Arc<Instance>) {
    if !progress::is_given_up() {
        *locked(slot) = Some(instance);
    }
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
