//! Trigger manager: one state machine per burst, and the clock of its deadlines.
//!
//! It takes journaled packets in order, applies them to the trigger of their burst, plans the deadlines and writes the trigger
//! file; when an instant comes it marks the deadline due and tells GP1.

use super::{
    gp1_instance::Gp1Instance,
    messages::{DeadlineDue, Delivered, NoticeReceived, OpenFromFrame, TriggerChanged},
    pump::{PassOutcome, Pump, Pumped, wake},
    sending::hint,
    stopwatch::Stopwatches,
    supervision::Post,
};
use crate::{
    alerts::{
        AlertCards, Outcome, PacketTable, TriggerPolicy, apply, deadlines, from_frame, replan,
        trigger_file, understand,
    },
    clock::Clock,
    fits::{FitsStore, cfitsio::Cfitsio},
    model::{
        Deadline, DeadlineName, DeadlineState, Notice, SkyPosition, Trigger, TriggerState, UtcTime,
        normalise_burst_id,
    },
    storage::{
        journal::{Journal, JournalError, alerts, triggers},
        local::{LocalStorage, StorageError, make_directory, write_atomically},
    },
};
use actix::{
    Actor, ActorFutureExt, AsyncContext, Context, Handler, ResponseFuture, SpawnHandle, Supervised,
    WrapFuture,
};
use futures_util::future::LocalBoxFuture;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

/// What the manager works with; immutable, so that a restart begins from it.
#[derive(Clone)]
pub struct TriggerManagerSettings {
    pub packet_table: Arc<PacketTable>,
    pub policy: TriggerPolicy,
    pub first_result_seconds: f64,
    pub epochs_minutes: Vec<u32>,
    pub journal: Journal,
    pub storage: LocalStorage,
    pub clock: Clock,
    /// All GP1 instances; the one that serves deadlines is named by `deadline_instance`.
    pub instances: Vec<(String, Post<Gp1Instance>)>,
    pub deadline_instance: String,
    pub lateness: Stopwatches<(String, DeadlineName)>,
}

pub struct TriggerManager {
    settings: TriggerManagerSettings,
    pump: Pump,
    /// Timers by burst and deadline, with the instant each is set for.
    timers: BTreeMap<(String, DeadlineName), (UtcTime, SpawnHandle)>,
}

#[derive(Debug, thiserror::Error)]
enum TriggerError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("trigger file: {0}")]
    File(#[from] StorageError),
}

impl TriggerManager {
    pub const NAME: &'static str = "trigger-manager";

    pub fn new(settings: TriggerManagerSettings) -> Self {
        Self { settings, pump: Pump::default(), timers: BTreeMap::new() }
    }

    fn begin(&mut self, context: &mut Context<Self>) {
        let guard = self.settings.clock.hold();
        wake(self, context, Some(guard));
    }

    /// Sets a timer for each planned deadline, and drops those of deadlines that moved or ended.
    fn set_timers(&mut self, planned: Vec<Deadline>, context: &mut Context<Self>) {
        let wanted: BTreeMap<_, _> = planned
            .into_iter()
            .map(|deadline| ((deadline.burst_id, deadline.name), deadline.due_at))
            .collect();
        let obsolete: Vec<_> = self
            .timers
            .iter()
            .filter(|(key, (due_at, _))| wanted.get(key) != Some(due_at))
            .map(|(key, _)| key.clone())
            .collect();
        for key in obsolete {
            if let Some((_, handle)) = self.timers.remove(&key) {
                context.cancel_future(handle);
            }
        }
        for (key, due_at) in wanted {
            if self.timers.contains_key(&key) {
                continue;
            }
            let sleep = self.settings.clock.sleep_until(due_at);
            let timer_key = key.clone();
            let handle = context.spawn(sleep.into_actor(self).map(move |guard, actor, context| {
                actor.timers.remove(&timer_key);
                wake(actor, context, Some(guard));
            }));
            self.timers.insert(key, (due_at, handle));
        }
    }
}

impl Actor for TriggerManager {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        self.begin(context);
    }
}

impl Supervised for TriggerManager {
    /// actix calls `started` again afterwards.
    fn restarting(&mut self, _context: &mut Self::Context) {
        *self = Self::new(self.settings.clone());
    }
}

impl Pumped for TriggerManager {
    fn pump(&mut self) -> &mut Pump {
        &mut self.pump
    }

    fn pass(&mut self) -> LocalBoxFuture<'static, PassOutcome> {
        let settings = self.settings.clone();
        Box::pin(async move {
            match pass(&settings).await {
                Ok(()) => PassOutcome::Done,
                Err(error) => {
                    tracing::error!(%error, "triggers could not be brought up to date");
                    PassOutcome::TryAgain
                }
            }
        })
    }

    fn after_pass(&mut self, context: &mut Context<Self>) {
        // The timers are set from the journal, in the actor, while the pass's guards still hold the clock.
        let hold = self.settings.clock.hold();
        let journal = self.settings.journal.clone();
        let planned = async move {
            journal.read(|c| triggers::deadlines_in(c, DeadlineState::Planned)).await
        };
        context.spawn(planned.into_actor(self).map(move |planned, actor, context| {
            match planned {
                Ok(planned) => actor.set_timers(planned, context),
                Err(error) => {
                    tracing::error!(%error, "the planned deadlines could not be read");
                    wake(actor, context, None);
                }
            }
            drop(hold);
        }));
    }
}

impl Handler<NoticeReceived> for TriggerManager {
    type Result = ();

    fn handle(&mut self, _hint: NoticeReceived, context: &mut Self::Context) {
        wake(self, context, None);
    }
}

impl Handler<Delivered> for TriggerManager {
    type Result = ();

    fn handle(&mut self, delivered: Delivered, context: &mut Self::Context) {
        tracing::info!(burst = delivered.burst_id, deadline = %delivered.deadline, "delivered");
        wake(self, context, None);
    }
}

impl Handler<OpenFromFrame> for TriggerManager {
    type Result = ResponseFuture<Result<(), String>>;

    fn handle(&mut self, request: OpenFromFrame, context: &mut Self::Context) -> Self::Result {
        wake(self, context, None);
        let settings = self.settings.clone();
        Box::pin(async move {
            open_from_frame(&settings, &request).await.map_err(|error| error.to_string())
        })
    }
}

async fn pass(settings: &TriggerManagerSettings) -> Result<(), TriggerError> {
    let unsettled = settings.journal.read(alerts::unsettled).await?;
    for (alert_id, received_at, packet) in unsettled {
        apply_packet(settings, alert_id, received_at, &packet).await?;
    }
    close_finished(settings).await?;
    mark_due(settings).await
}

/// Understands one packet and applies it. Whatever the packet holds, it is settled: nothing is tried for ever.
async fn apply_packet(
    settings: &TriggerManagerSettings,
    alert_id: i64,
    received_at: UtcTime,
    packet: &[u8],
) -> Result<(), TriggerError> {
    let notice = match understand(packet, &settings.packet_table) {
        Ok(notice) => notice,
        Err(error) => {
            tracing::warn!(alert_id, %error, "packet not understood; it is kept");
            let reason = error.to_string();
            settings
                .journal
                .write(move |t| alerts::settle(t, alert_id, "rejected", Some(&reason), None))
                .await?;
            return Ok(());
        }
    };
    let existing = match &notice.burst_id {
        Some(burst) => {
            let burst = burst.clone();
            settings.journal.read(move |c| triggers::find(c, &burst)).await?
        }
        None => None,
    };
    match apply(existing.as_ref(), &notice, received_at, &settings.policy) {
        Outcome::Archived { reason } => {
            let reason = reason.to_string();
            tracing::info!(alert_id, packet = %notice.packet_name, reason, "notice archived");
            settings
                .journal
                .write(move |t| {
                    alerts::settle(t, alert_id, "archived", Some(&reason), Some(&notice))
                })
                .await?;
        }
        Outcome::Opened(trigger) => {
            tracing::info!(burst = trigger.burst_id, packet = %notice.packet_name, "trigger opened");
            store_trigger(settings, Some((alert_id, notice, packet)), &trigger).await?;
        }
        Outcome::Updated(trigger) => {
            tracing::info!(burst = trigger.burst_id, packet = %notice.packet_name, "trigger updated");
            store_trigger(settings, Some((alert_id, notice, packet)), &trigger).await?;
        }
        Outcome::Retracted(trigger) => {
            tracing::warn!(burst = trigger.burst_id, "TRIGGER RETRACTED: its epochs stop");
            store_trigger(settings, Some((alert_id, notice, packet)), &trigger).await?;
        }
    }
    Ok(())
}

/// One transaction: the trigger, its deadlines, and the packet settled; then the trigger file and the hints.
async fn store_trigger(
    settings: &TriggerManagerSettings,
    cause: Option<(i64, Notice, &[u8])>,
    trigger: &Trigger,
) -> Result<(), TriggerError> {
    write_trigger_file(settings, trigger, cause.as_ref().map(|(id, _, packet)| (*id, *packet)))?;
    let now = settings.clock.now();
    let burst = trigger.burst_id.clone();
    let existing = settings.journal.read(move |c| triggers::deadlines_of(c, &burst)).await?;
    let existing: Vec<Deadline> = existing.into_iter().map(|(deadline, _)| deadline).collect();
    let planned = if existing.is_empty() {
        deadlines(trigger, settings.first_result_seconds, &settings.epochs_minutes, now)
    } else {
        replan(&existing, trigger, now)
    };
    let stored = trigger.clone();
    let settled = cause.map(|(id, notice, _)| (id, notice));
    settings
        .journal
        .write(move |t| {
            triggers::save(t, &stored)?;
            triggers::plan_deadlines(t, &planned)?;
            if let Some((id, notice)) = &settled {
                alerts::settle(t, *id, "applied", None, Some(notice))?;
            }
            Ok(())
        })
        .await?;
    for (_, instance) in &settings.instances {
        let message =
            TriggerChanged { burst_id: trigger.burst_id.clone(), revision: trigger.revision };
        hint(instance, "gp1", message).await;
    }
    Ok(())
}

/// `triggers/<burst>/trigger_<burst>.dat`, and the packet beside it (interfaces.md §4).
fn write_trigger_file(
    settings: &TriggerManagerSettings,
    trigger: &Trigger,
    packet: Option<(i64, &[u8])>,
) -> Result<(), StorageError> {
    let name = file_name_of(&trigger.burst_id);
    let directory = settings.storage.triggers().join(&name);
    make_directory(&directory)?;
    if let Some((alert_id, packet)) = packet {
        let path: PathBuf = directory.join(format!("packet_{alert_id:06}.xml"));
        write_atomically(&path, packet)?;
    }
    let text = trigger_file::render(trigger);
    write_atomically(&directory.join(format!("trigger_{name}.dat")), text.as_bytes())
}

/// A burst id comes from outside: only what is safe in a file name is kept.
fn file_name_of(burst_id: &str) -> String {
    burst_id
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_') { c } else { '_' })
        .collect()
}

async fn open_from_frame(
    settings: &TriggerManagerSettings,
    request: &OpenFromFrame,
) -> Result<(), TriggerError> {
    let Some(burst) = request.frame.keywords.trigger_id.clone() else { return Ok(()) };
    let known = settings.journal.read(move |c| triggers::find(c, &burst)).await?;
    if known.is_some() {
        return Ok(());
    }
    let path = request.frame.path.clone();
    let alert = tokio::task::spawn_blocking(move || alert_of_frame(&path)).await;
    let now = settings.clock.now();
    let opened = from_frame(&request.frame.keywords, &alert.unwrap_or_default(), now);
    let Some(trigger) = opened else { return Ok(()) };
    if now.seconds_since(trigger.t0) > settings.policy.maximum_alert_age_seconds {
        tracing::warn!(burst = trigger.burst_id, "too old to be opened by a frame header");
        return Ok(());
    }
    tracing::warn!(
        burst = trigger.burst_id,
        frame = request.frame.identity.name,
        "trigger opened by a frame header: no notice was heard"
    );
    store_trigger(settings, None, &trigger).await
}

/// The alert cards of a frame; what is not there stays unknown.
fn alert_of_frame(path: &Path) -> AlertCards {
    let Ok(header) = Cfitsio.read_header(path) else { return AlertCards::default() };
    let position = header.number("ALRA").zip(header.number("ALDE"));
    AlertCards {
        event_time: header.text("ALEVT").and_then(|text| UtcTime::parse(&text).ok()),
        position: position.map(|(ra, dec)| SkyPosition::new(ra, dec)),
        radius_degrees: header.number("ALUN"),
    }
}

/// Marks the planned deadlines whose instant has come, and tells GP1.
async fn mark_due(settings: &TriggerManagerSettings) -> Result<(), TriggerError> {
    let planned =
        settings.journal.read(|c| triggers::deadlines_in(c, DeadlineState::Planned)).await?;
    let now = settings.clock.now();
    for deadline in planned.into_iter().filter(|deadline| deadline.due_at <= now) {
        settings.lateness.start((normalise_burst_id(&deadline.burst_id), deadline.name));
        tracing::info!(burst = deadline.burst_id, deadline = %deadline.name, "deadline due");
        let due = deadline.clone();
        settings
            .journal
            .write(move |t| {
                triggers::advance_deadline(t, &due.burst_id, due.name, DeadlineState::Due)
            })
            .await?;
        let message = DeadlineDue { burst_id: deadline.burst_id, deadline: deadline.name };
        for (name, instance) in &settings.instances {
            if *name == settings.deadline_instance {
                hint(instance, "gp1", message.clone()).await;
            }
        }
    }
    Ok(())
}

/// A trigger whose deadlines are all over is closed.
async fn close_finished(settings: &TriggerManagerSettings) -> Result<(), TriggerError> {
    let open = settings.journal.read(triggers::all).await?;
    for mut trigger in open {
        if matches!(trigger.state, TriggerState::Closed | TriggerState::Retracted) {
            continue;
        }
        let burst = trigger.burst_id.clone();
        let deadlines = settings.journal.read(move |c| triggers::deadlines_of(c, &burst)).await?;
        let is_over = !deadlines.is_empty()
            && deadlines.iter().all(|(deadline, _)| {
                matches!(deadline.state, DeadlineState::Delivered | DeadlineState::Cancelled)
            });
        if is_over {
            trigger.state = TriggerState::Closed;
            trigger.revision += 1;
            tracing::info!(burst = trigger.burst_id, "trigger closed: every deadline is served");
            store_trigger(settings, None, &trigger).await?;
        }
    }
    Ok(())
}
