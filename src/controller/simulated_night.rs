//! A night on the simulated clock: the same controller, with stand-ins for the satellite's ground segment, the telescope and the
//! science centre. The science centre's receiver is the real one, on loopback.

use super::{
    Controller, ControllerError, ControllerParts,
    night_directory::{NightDirectory, NightDirectoryError},
    night_plan::NightPlan,
    report::{NightReport, make_report},
};
use crate::{
    actors::supervision::{Escalation, Fault, FaultRefused, Supervision},
    alerts::author,
    clock::Clock,
    fsc::server::{FscError, RunningReceiver},
    model::{DeadlineState, FrameState, UtcTime, report_file},
    simulation::telescope,
    storage::{
        journal::{
            Journal, JournalError, alerts, analyses, events, frames, products, triggers, unfinished,
        },
        local::{LocalStorage, StorageError, sha256_of_bytes, write_atomically},
    },
};
use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

/// How often the night is looked at for progress and for its end.
const LOOK: Duration = Duration::from_millis(200);
/// The longest the end of a night waits for reports that are still being made: a disk may refuse even the page that says that there is none.
const REPORT_PATIENCE: Duration = Duration::from_secs(120);
/// How often, and how many times, an author tries to hand over a packet.
const AUTHOR_RETRY: Duration = Duration::from_millis(200);
const AUTHOR_ATTEMPTS: usize = 300;
const AUTHOR_TIMEOUT: Duration = Duration::from_secs(20);

/// Under this name the journal keeps the instant the clock has reached.
pub const INSTANT_NOTE: &str = "simulated instant";

/// An actor fails T seconds after T0: `--kill ACTOR@T`, `--fault FAULT:ACTOR@T+STEPS`.
#[derive(Debug, Clone, PartialEq)]
pub struct FaultOrder {
    pub fault: Fault,
    pub actor: String,
    pub seconds_after_t0: f64,
    /// Steps the actor still makes from that instant on, so that it is struck in the middle of what is due then.
    pub after_steps: u32,
}

/// How far a night has come.
#[derive(Debug, Clone, PartialEq)]
pub struct NightProgress {
    pub frames_planned: u64,
    pub frames_done: u64,
    pub seconds_after_t0: f64,
    pub phase: String,
    pub candidates: usize,
    pub receipts: u64,
}

/// Somebody who watches a night.
pub trait NightWatcher: Send + Sync {
    fn see(&self, progress: &NightProgress);
    /// Something worth a line: an address, a trigger, a receipt.
    fn announce(&self, text: &str);
    fn finish(&self);
}

#[derive(Debug, thiserror::Error)]
pub enum NightError {
    #[error(transparent)]
    Directory(#[from] NightDirectoryError),
    #[error(transparent)]
    Controller(#[from] ControllerError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error("the receiver of the science centre: {0}")]
    Receiver(#[from] FscError),
    #[error(transparent)]
    Fault(#[from] FaultRefused),
    #[error("the packet '{label}' could not be handed over: {what}")]
    Author { label: String, what: String },
    #[error(transparent)]
    GaveUp(Box<Escalation>),
    #[error("interrupted; the same command with the same directory goes on from here")]
    Interrupted,
}

/// Runs a planned night to its end and reports.
pub async fn run_night(
    parts: ControllerParts,
    plan: Arc<NightPlan>,
    directory: &NightDirectory,
    receiver: RunningReceiver,
    faults: &[FaultOrder],
    watcher: Arc<dyn NightWatcher>,
) -> Result<NightReport, NightError> {
    let (clock, journal, storage) =
        (parts.clock.clone(), parts.journal.clone(), parts.storage.clone());
    let metrics = parts.metrics.clone();
    let controller = Controller::start(parts)?;
    watcher.announce(&format!("pages: http://{}/", controller.web_address()));
    check_faults(&controller, faults)?;

    let (stand_in_failed, mut failures) = tokio::sync::mpsc::channel(4);
    let stand_ins = StandIns {
        clock: clock.clone(),
        journal: journal.clone(),
        storage: storage.clone(),
        plan: plan.clone(),
        supervision: controller.supervision(),
        alert_address: controller.alert_address(),
        failed: stand_in_failed,
    };
    let tasks = stand_ins.start(faults);

    let outcome = {
        let probe = journal.clone();
        let noted = journal.clone();
        let driving = clock.drive(
            move |now| unfinished_work(&probe, now),
            move |instant| note_instant(&noted, instant),
        );
        tokio::select! {
            () = driving => Ok(()),
            end = watch(&journal, &clock, &plan, watcher.as_ref()) => end,
            failure = next_failure(&mut failures) => Err(failure),
            escalation = controller.escalated() => Err(NightError::GaveUp(Box::new(escalation))),
            _ = tokio::signal::ctrl_c() => Err(NightError::Interrupted),
        }
    };
    for task in tasks {
        task.abort();
    }
    metrics.upkeep();
    write_atomically(&directory.metrics_file(), metrics.render().as_bytes())?;
    let actors = controller.actors();
    controller.shut_down().await;
    watcher.finish();
    receiver.stop();
    outcome?;
    let report = make_report(&journal, &clock, &plan, directory, &actors).await?;
    directory.finish(&report)?;
    Ok(report)
}

/// The stand-ins may all be done long before the night is: that is no end.
async fn next_failure(failures: &mut tokio::sync::mpsc::Receiver<NightError>) -> NightError {
    match failures.recv().await {
        Some(failure) => failure,
        None => std::future::pending().await,
    }
}

fn check_faults(controller: &Controller, faults: &[FaultOrder]) -> Result<(), FaultRefused> {
    let actors = controller.actors();
    for order in faults {
        if !actors.iter().any(|actor| actor.name == order.actor) {
            let known = actors.iter().map(|a| a.name.clone()).collect::<Vec<_>>().join(", ");
            return Err(FaultRefused::UnknownActor { name: order.actor.clone(), known });
        }
    }
    Ok(())
}

/// What the simulated clock waits for. A journal that cannot be read counts as unfinished work: the clock stands, up to its cap.
fn unfinished_work(journal: &Journal, now: UtcTime) -> Option<String> {
    match journal.read_blocking(move |c| unfinished::first(c, now)) {
        Ok(work) => work,
        Err(error) => Some(format!("the journal: {error}")),
    }
}

fn note_instant(journal: &Journal, instant: UtcTime) {
    let text = instant.iso_microseconds();
    if let Err(error) = journal.write_blocking(move |t| events::set_note(t, INSTANT_NOTE, &text)) {
        tracing::warn!(%error, "the instant could not be journaled");
    }
}

/// The outside world of a simulated night.
#[derive(Clone)]
struct StandIns {
    clock: Clock,
    journal: Journal,
    storage: LocalStorage,
    plan: Arc<NightPlan>,
    supervision: Supervision,
    alert_address: SocketAddr,
    failed: tokio::sync::mpsc::Sender<NightError>,
}

impl StandIns {
    fn start(self, faults: &[FaultOrder]) -> Vec<actix_rt::task::JoinHandle<()>> {
        let mut tasks = Vec::new();
        // Each instant is registered here, before the clock is driven.
        for index in 0..self.plan.packets.len() {
            let world = self.clone();
            let instant = self.clock.sleep_until(self.plan.packets[index].at);
            tasks.push(actix_rt::spawn(async move {
                let _guard = instant.await;
                if let Err(error) = world.send_packet(index).await {
                    let _ = world.failed.send(error).await;
                }
            }));
        }
        let now = self.clock.now();
        for at in self.plan.sensor_files.iter().copied().filter(|at| *at >= now) {
            let world = self.clone();
            let instant = self.clock.sleep_until(at);
            tasks.push(actix_rt::spawn(async move {
                let _guard = instant.await;
                if let Err(error) = world.write_sensors(at) {
                    tracing::warn!(%error, "the stand-in telescope could not write its sensors");
                }
            }));
        }
        for order in faults.iter().cloned() {
            let at = self.plan.t0.plus_seconds(order.seconds_after_t0);
            if at < now {
                continue;
            }
            let world = self.clone();
            let instant = self.clock.sleep_until(at);
            tasks.push(actix_rt::spawn(async move {
                let _guard = instant.await;
                if let Err(error) =
                    world.supervision.request(&order.actor, order.fault, order.after_steps)
                {
                    let _ = world.failed.send(error.into()).await;
                }
            }));
        }
        tasks
    }

    /// As the ground segment: over a real connection, again and again until it is acknowledged.
    async fn send_packet(&self, index: usize) -> Result<(), NightError> {
        let packet = &self.plan.packets[index];
        let sha256 = sha256_of_bytes(&packet.bytes);
        if self.journal.read(move |c| alerts::is_known(c, &sha256)).await? {
            return Ok(());
        }
        let mut last = String::new();
        for _ in 0..AUTHOR_ATTEMPTS {
            match author::send(self.alert_address, &packet.bytes, AUTHOR_TIMEOUT).await {
                Ok(_) => return Ok(()),
                Err(error) => last = error.to_string(),
            }
            tokio::time::sleep(AUTHOR_RETRY).await;
        }
        Err(NightError::Author { label: packet.label.clone(), what: last })
    }

    fn write_sensors(&self, at: UtcTime) -> Result<(), StorageError> {
        let file = telescope::sensor_file(at, self.plan.seed);
        let path = self.storage.incoming_sensors().join(telescope::sensor_file_name(at));
        let text = serde_json::to_vec_pretty(&file)
            .map_err(|error| StorageError { path: path.clone(), source: error.into() })?;
        write_atomically(&path, &text)
    }
}

/// Watches the night until everything planned has happened and everything begun is done.
async fn watch(
    journal: &Journal,
    clock: &Clock,
    plan: &NightPlan,
    watcher: &dyn NightWatcher,
) -> Result<(), NightError> {
    let mut announced = usize::MAX;
    let mut over_since = None;
    loop {
        let view = look(journal, clock, plan).await?;
        watcher.see(&view.progress);
        if announced != usize::MAX && view.settled_deadlines.len() > announced {
            for text in &view.settled_deadlines[announced..] {
                watcher.announce(text);
            }
        }
        announced = view.settled_deadlines.len();
        if view.is_over {
            let since = *over_since.get_or_insert_with(Instant::now);
            if !view.awaits_report || since.elapsed() > REPORT_PATIENCE {
                return Ok(());
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

struct View {
    progress: NightProgress,
    settled_deadlines: Vec<String>,
    /// Everything planned has happened, and every product is delivered.
    is_over: bool,
    /// A result has no report yet: no product waits for it, and no part of the journal says so.
    awaits_report: bool,
}

async fn look(journal: &Journal, clock: &Clock, plan: &NightPlan) -> Result<View, NightError> {
    let now = clock.now();
    let burst = plan.burst_id.clone();
    let t0 = plan.t0;
    let (counts, deadlines, provisional, receipts, open, results) = journal
        .read(move |c| {
            Ok((
                frames::counts(c)?,
                triggers::deadlines_of(c, &burst)?,
                frames::last_provisional(c, &burst)?,
                products::receipt_counts(c)?,
                unfinished::first(c, now)?,
                analyses::paths_since(c, t0)?,
            ))
        })
        .await?;
    let waiting = serde_name(FrameState::Arrived);
    let arrived: u64 = counts.iter().map(|(_, _, count)| count).sum();
    let done: u64 =
        counts.iter().filter(|(_, state, _)| *state != waiting).map(|(_, _, count)| count).sum();
    let planned = plan.feed.plan().len() as u64;
    let settled =
        |state: DeadlineState| matches!(state, DeadlineState::Delivered | DeadlineState::Cancelled);
    let settled_deadlines: Vec<String> = deadlines
        .iter()
        .filter(|(deadline, _)| deadline.state == DeadlineState::Delivered)
        .map(|(deadline, lateness)| {
            let late = lateness.map_or(String::new(), |seconds| format!(" after {seconds:.2} s"));
            format!("{} delivered{late}", deadline.name)
        })
        .collect();
    let is_over = arrived >= planned
        && done >= planned
        && now >= plan.last_instant
        && open.is_none()
        && !deadlines.is_empty()
        && deadlines.iter().all(|(deadline, _)| settled(deadline.state));
    let phase = deadlines
        .iter()
        .find(|(deadline, _)| !settled(deadline.state))
        .map_or_else(|| "waiting".to_owned(), |(deadline, _)| format!("next {}", deadline.name));
    let delivered = receipts.iter().find(|(state, _)| state == "delivered");
    let progress = NightProgress {
        frames_planned: planned,
        frames_done: done,
        seconds_after_t0: now.seconds_since(plan.t0),
        phase,
        candidates: provisional.map_or(0, |(_, list)| list.len()),
        receipts: delivered.map_or(0, |(_, count)| *count),
    };
    let awaits_report = results
        .iter()
        .any(|path| path.exists() && !path.with_file_name(report_file::REPORT).exists());
    Ok(View { progress, settled_deadlines, is_over, awaits_report })
}

fn serde_name(state: FrameState) -> String {
    serde_json::to_value(state)
        .ok()
        .and_then(|value| value.as_str().map(str::to_owned))
        .unwrap_or_default()
}
