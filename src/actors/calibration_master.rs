//! Calibration master: makes the masters of a night from its bias, dark and flat frames, validates them against those in force, and
//! promotes the valid ones.
//!
//! It begins when no calibration frame has come for a while, or when told to. No frames, nothing done.

use super::{
    gp1_instance::Gp1Instance,
    messages::{FrameArrived, MakeMasters, MasterPromoted},
    pool::{PoolError, WorkerPool},
    pump::{PassOutcome, Pump, Pumped, wake},
    sending::hint,
    supervision::Post,
};
use crate::{
    clock::{Clock, WorkGuard},
    fits::FitsStore,
    gp1::{
        Gp1Error,
        night_masters::{MasterSettings, make_night_masters},
    },
    model::{FrameState, UtcTime, metric},
    storage::{
        journal::{Journal, JournalError, frames, masters},
        local::LocalStorage,
    },
};
use actix::{
    Actor, ActorFutureExt, AsyncContext, Context, Handler, SpawnHandle, Supervised, WrapFuture,
};
use futures_util::future::LocalBoxFuture;
use std::sync::Arc;

/// Name under which calibration frames stand in the journal.
pub const CALIBRATION_INSTANCE: &str = "calibration";

/// What the actor works with; immutable, so that a restart begins from it.
#[derive(Clone)]
pub struct CalibrationMasterSettings {
    /// Clock seconds without a new calibration frame after which the masters are made.
    pub quiet_seconds: f64,
    pub masters: MasterSettings,
    pub store: Arc<dyn FitsStore>,
    pub pool: WorkerPool,
    pub journal: Journal,
    pub storage: LocalStorage,
    pub clock: Clock,
    pub instances: Vec<(String, Post<Gp1Instance>)>,
}

pub struct CalibrationMaster {
    settings: CalibrationMasterSettings,
    pump: Pump,
    quiet_timer: Option<SpawnHandle>,
}

#[derive(Debug, thiserror::Error)]
enum CalibrationError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Pool(#[from] PoolError),
    #[error(transparent)]
    Masters(#[from] Gp1Error),
}

impl CalibrationMaster {
    pub const NAME: &'static str = "calibration-master";

    pub fn new(settings: CalibrationMasterSettings) -> Self {
        Self { settings, pump: Pump::default(), quiet_timer: None }
    }

    /// Frames may have been left by an earlier life. On the real clock others may have come meanwhile, which are still to be taken
    /// in: the quiet time begins now. On a simulated one nothing came meanwhile: the quiet time goes on where it was.
    fn begin(&mut self, context: &mut Context<Self>) {
        if !self.settings.clock.is_simulated() {
            self.wait_for_quiet(context);
            return;
        }
        let hold = self.settings.clock.hold();
        self.look_whether_quiet(hold, context);
    }

    /// Makes the masters if no frame has come for the quiet time, else waits on. The journal says when the last one came: the word
    /// of it may be late, or lost.
    fn look_whether_quiet(&mut self, hold: WorkGuard, context: &mut Context<Self>) {
        let journal = self.settings.journal.clone();
        let waiting = async move {
            journal
                .read(|c| frames::of_instance(c, CALIBRATION_INSTANCE, FrameState::Arrived))
                .await
        };
        context.spawn(waiting.into_actor(self).map(move |waiting, actor, context| {
            let last = match waiting {
                Ok(waiting) => waiting.iter().map(|frame| frame.arrived_at).max(),
                Err(error) => {
                    tracing::error!(%error, "the waiting calibration frames could not be read");
                    return actor.wait_for_quiet(context);
                }
            };
            let Some(last) = last else { return };
            let is_quiet =
                last.plus_seconds(actor.settings.quiet_seconds) <= actor.settings.clock.now();
            if is_quiet {
                wake(actor, context, Some(hold));
            } else if actor.quiet_timer.is_none() {
                actor.wait_for_quiet_after(last, context);
            }
        }));
    }

    fn wait_for_quiet(&mut self, context: &mut Context<Self>) {
        self.wait_for_quiet_after(self.settings.clock.now(), context);
    }

    fn wait_for_quiet_after(&mut self, last_arrival: UtcTime, context: &mut Context<Self>) {
        if let Some(handle) = self.quiet_timer.take() {
            context.cancel_future(handle);
        }
        let instant = last_arrival.plus_seconds(self.settings.quiet_seconds);
        let sleep = self.settings.clock.sleep_until(instant);
        let handle = context.spawn(sleep.into_actor(self).map(|guard, actor, context| {
            actor.quiet_timer = None;
            actor.look_whether_quiet(guard, context);
        }));
        self.quiet_timer = Some(handle);
    }
}

impl Actor for CalibrationMaster {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        self.begin(context);
    }
}

impl Supervised for CalibrationMaster {
    /// actix calls `started` again afterwards.
    fn restarting(&mut self, _context: &mut Self::Context) {
        *self = Self::new(self.settings.clone());
    }
}

impl Handler<FrameArrived> for CalibrationMaster {
    type Result = ();

    fn handle(&mut self, _hint: FrameArrived, context: &mut Self::Context) {
        self.wait_for_quiet(context);
    }
}

impl Handler<MakeMasters> for CalibrationMaster {
    type Result = ();

    fn handle(&mut self, _command: MakeMasters, context: &mut Self::Context) {
        wake(self, context, None);
    }
}

impl Pumped for CalibrationMaster {
    fn pump(&mut self) -> &mut Pump {
        &mut self.pump
    }

    fn pass(&mut self) -> LocalBoxFuture<'static, PassOutcome> {
        let settings = self.settings.clone();
        Box::pin(async move {
            match make_from_arrived(&settings).await {
                Ok(()) => PassOutcome::Done,
                Err(error) => {
                    tracing::error!(%error, "the masters of the night could not be made");
                    PassOutcome::Done
                }
            }
        })
    }
}

async fn make_from_arrived(settings: &CalibrationMasterSettings) -> Result<(), CalibrationError> {
    let (waiting, in_force) = settings
        .journal
        .read(|c| {
            let waiting = frames::of_instance(c, CALIBRATION_INSTANCE, FrameState::Arrived)?;
            Ok((waiting, masters::in_force(c)?))
        })
        .await?;
    if waiting.is_empty() {
        return Ok(());
    }
    tracing::info!(frames = waiting.len(), "making the masters of the night");
    let job = settings.clone();
    let night = settings
        .pool
        .run(move || {
            make_night_masters(
                &waiting,
                &in_force,
                &job.storage.masters(),
                job.store.as_ref(),
                &job.masters,
            )
        })
        .await??;
    for reason in &night.missing {
        tracing::warn!(reason, "a master could not be made");
    }
    let now = settings.clock.now();
    let stored = night.clone();
    settings
        .journal
        .write(move |t| {
            for master in &stored.masters {
                masters::save(t, master, now)?;
            }
            for id in &stored.combined {
                frames::set_state(t, *id, FrameState::Combined, None)?;
            }
            for (id, reason) in &stored.failed {
                frames::set_state(t, *id, FrameState::Failed, Some(reason))?;
            }
            Ok(())
        })
        .await?;
    for master in night.masters {
        let result = if master.valid { "promoted" } else { "rejected" };
        let kind = master.kind.to_string();
        metrics::counter!(metric::MASTERS, "kind" => kind, "result" => result).increment(1);
        tracing::info!(
            kind = %master.kind, instrument = master.instrument, filter = master.filter,
            frames = master.frame_count, reason = master.reason, "master {result}"
        );
        if master.valid {
            for (_, instance) in &settings.instances {
                hint(instance, "gp1", MasterPromoted { sha256: master.sha256.clone() }).await;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::ControllerConfig,
        fits::cfitsio::Cfitsio,
        model::{FrameIdentity, FrameKeywords, FrameKind},
    };

    fn bias(name: &str, arrived_at: UtcTime) -> frames::ArrivedFrame {
        frames::ArrivedFrame {
            identity: FrameIdentity { name: name.into(), data_sha256: name.into() },
            path: "gone.fits".into(),
            keywords: FrameKeywords {
                kind: FrameKind::Bias,
                camera: crate::model::CameraTraits::default(),
                trigger_id: None,
                observer: None,
                object: None,
                instrument: "C0".into(),
                filter: "w".into(),
                exposure_seconds: 0.0,
                date_obs: arrived_at,
                pointing: None,
                gain_electrons: None,
                read_noise_electrons: None,
                saturation: None,
                binning: 1,
                size_pixels: (4, 4),
            },
            instance: CALIBRATION_INSTANCE.to_owned(),
            arrived_at,
            state: FrameState::Arrived,
            reason: None,
        }
    }

    /// Frames that still wait six seconds later, when one came fifteen seconds before, and perhaps another three seconds after, of which
    /// nobody told.
    async fn waiting_after_six_seconds(unheard: bool) -> u64 {
        let directory = tempfile::tempdir().unwrap();
        let storage = LocalStorage::open(directory.path()).unwrap();
        let journal = Journal::open(&storage.journal()).unwrap();
        let now = UtcTime::parse("2026-11-02T04:10:00Z").unwrap();
        let frame = bias("heard", now.plus_seconds(-15.0));
        journal.write(move |t| frames::insert(t, &frame)).await.unwrap();
        let clock = Clock::simulated(now, 1e6, true);
        let config = ControllerConfig::default();
        let _address = CalibrationMaster::new(CalibrationMasterSettings {
            quiet_seconds: 20.0,
            masters: MasterSettings::from_config(&config.calibration, &config.site),
            store: Arc::new(Cfitsio),
            pool: WorkerPool::start("calibration", 1, 2, std::time::Duration::from_secs(60))
                .unwrap(),
            journal: journal.clone(),
            storage,
            clock: clock.clone(),
            instances: Vec::new(),
        })
        .start();
        // The actor registers its instant before the clock is driven past it.
        tokio::task::yield_now().await;
        let (arrival, later) = (now.plus_seconds(3.0), now.plus_seconds(6.0));
        let (arriving, ending) = (clock.sleep_until(arrival), clock.sleep_until(later));
        let told_to_nobody = async {
            let _guard = arriving.await;
            if unheard {
                let frame = bias("unheard", arrival);
                journal.write(move |t| frames::insert(t, &frame)).await.unwrap();
            }
        };
        let story = futures_util::future::join(told_to_nobody, ending);
        tokio::select! {
            () = clock.drive(|_| None, |_| {}) => {}
            _ = story => {}
        }
        journal
            .read(|c| frames::count_of_instance(c, CALIBRATION_INSTANCE, FrameState::Arrived))
            .await
            .unwrap()
    }

    #[actix::test]
    async fn on_a_simulated_clock_a_restart_does_not_put_the_masters_off() {
        assert_eq!(waiting_after_six_seconds(false).await, 0, "five seconds of quiet were left");
    }

    #[actix::test]
    async fn a_frame_of_which_the_word_was_lost_puts_the_masters_off() {
        // Regression: on a busy machine the masters were made in the middle of the series.
        assert_eq!(waiting_after_six_seconds(true).await, 2);
    }
}
