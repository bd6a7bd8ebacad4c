//! A GP1 instance (`svom`, `colibri`): takes its frames and, where it serves deadlines, the deadlines, one after the other in the
//! order of their instants. It has two threads of its own, which the other instance cannot starve: one measures frames, the other keeps the
//! image state, takes the measured frames in and analyses.

mod deadline_work;
mod frames_work;
mod image_state;
mod report_work;

use super::{
    messages::{DeadlineDue, FrameArrived, MasterPromoted, TriggerChanged},
    pool::{PoolError, WorkerPool},
    product_maker::ProductMaker,
    pump::{PassOutcome, Pump, Pumped, wake},
    status_collector::StatusCollector,
    stopwatch::Stopwatches,
    supervision::Post,
    trigger_manager::TriggerManager,
};
use crate::{
    clock::Clock,
    fits::FitsStore,
    gp1::{Gp1Error, pipeline::Instance},
    storage::{
        journal::{Journal, JournalError},
        local::{LocalStorage, StorageError},
    },
};
use actix::{Actor, Context, Handler, Supervised};
use frames_work::Worker;
use futures_util::future::LocalBoxFuture;
use image_state::{ImageState, MastersCache};
use std::{path::PathBuf, sync::Arc};

/// Makes the image side of an instance, empty.
pub type InstanceFactory = Arc<dyn Fn() -> Instance + Send + Sync>;

/// What an instance works with; immutable, so that a restart begins from it.
#[derive(Clone)]
pub struct Gp1InstanceSettings {
    /// Section of gp1.cfg.
    pub name: String,
    pub factory: InstanceFactory,
    pub store: Arc<dyn FitsStore>,
    /// The thread of the image state.
    pub pool: WorkerPool,
    /// The thread that measures frames.
    pub measuring_pool: WorkerPool,
    pub journal: Journal,
    pub storage: LocalStorage,
    pub clock: Clock,
    pub trigger_manager: Post<TriggerManager>,
    /// Where the results of deadlines go, for the instance that serves them.
    pub product_maker: Option<Post<ProductMaker>>,
    pub status_collector: Post<StatusCollector>,
    /// Wall time since each frame's last byte.
    pub arrivals: Stopwatches<i64>,
}

impl Gp1InstanceSettings {
    fn serves_deadlines(&self) -> bool {
        self.product_maker.is_some()
    }
}

pub struct Gp1Instance {
    settings: Gp1InstanceSettings,
    state: ImageState,
    masters: MastersCache,
    pump: Pump,
    /// Whether this life has not yet looked for what the one before left undone.
    is_new: bool,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum InstanceError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error(transparent)]
    Pool(#[from] PoolError),
    #[error(transparent)]
    Analysis(#[from] Gp1Error),
    #[error("{path}: {what}")]
    Result { path: PathBuf, what: String },
    #[error("the trigger manager did not answer: {0}")]
    NoAnswer(String),
}

impl Gp1Instance {
    /// Actor name of an instance.
    pub fn actor_name(instance: &str) -> String {
        format!("gp1-{instance}")
    }

    pub fn new(settings: Gp1InstanceSettings) -> Self {
        Self {
            state: ImageState::new(&settings),
            settings,
            masters: MastersCache::default(),
            pump: Pump::default(),
            is_new: true,
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
            state: self.state.clone(),
            masters: self.masters.clone(),
        };
        let is_new = std::mem::take(&mut self.is_new);
        Box::pin(async move {
            let outcome = match worker.do_all().await {
                Ok(()) if is_new && worker.settings.serves_deadlines() => {
                    worker.missing_reports().await
                }
                outcome => outcome,
            };
            match outcome {
                Ok(()) => PassOutcome::Done,
                Err(InstanceError::Pool(error @ PoolError::Exhausted { .. })) => {
                    // The supervision counts it and gives up when that does not help.
                    std::panic::resume_unwind(Box::new(error.to_string()));
                }
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
