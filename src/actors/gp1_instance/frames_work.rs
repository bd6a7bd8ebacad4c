//! The frames of an instance: measured, taken in, or set aside.

use super::{
    Gp1InstanceSettings, InstanceError,
    deadline_work::serviceable_deadlines,
    image_state::{ImageState, MastersCache},
};
use crate::{
    actors::{
        messages::{FrameReduced, OpenFromFrame},
        pool::PoolError,
        sending::{ask, tell},
        status_collector::StatusCollector,
    },
    gp1::{
        Gp1Error,
        pipeline::{FrameOutcome, FrameWork, Instance},
        reduced_file::FrameMeasurement,
    },
    model::{Deadline, FrameRecord, FrameState, Trigger, metric},
    storage::{
        disk::require_room,
        journal::{frames, masters, triggers},
    },
};
use actix_rt::task::JoinHandle;
use std::time::Duration;

/// A frame at which work was begun more often than this, without ever coming to an end, has ended the whole program: it is
/// set aside. (A panic or a hang of the worker is an end, and is noted with the frame: the second one sets it aside.)
const MAXIMUM_ATTEMPTS: u32 = 6;
/// Room that must be there for each byte of a frame: its reduction with variance and mask.
const ROOM_PER_BYTE: u64 = 5;
/// And for its sources and the journal.
const ROOM_BESIDES: u64 = 1 << 20;
/// How long the trigger manager may take to open a trigger from a frame.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);

/// One piece of work, with the instant that orders it.
enum Work {
    Frame(Box<FrameRecord>),
    Deadline(Deadline),
}

/// What measuring a frame gives.
type Measured = (FrameWork, FrameMeasurement);

/// A frame that is being measured.
struct Begun {
    frame: FrameRecord,
    trigger: Option<Trigger>,
    measuring: JoinHandle<Result<Measured, InstanceError>>,
}

/// Does the work of one instance; it is the actor's settings and image state, apart from the actor.
pub(super) struct Worker {
    pub(super) settings: Gp1InstanceSettings,
    pub(super) state: ImageState,
    pub(super) masters: MastersCache,
}

impl Worker {
    /// Works until nothing is left. Frames are taken in and deadlines served one after the other in their order; meanwhile the frame that
    /// follows is measured on the other thread.
    pub(super) async fn do_all(&self) -> Result<(), InstanceError> {
        let mut ahead: Option<Begun> = None;
        while let Some((work, following)) = self.next_work().await? {
            let measured = match work {
                Work::Frame(frame) => {
                    let begun = match ahead.take_if(|begun| begun.frame.id == frame.id) {
                        Some(begun) => Some(begun),
                        None => self.begin(*frame, false).await?,
                    };
                    let Some(Begun { frame, trigger, measuring }) = begun else { continue };
                    let measured = measuring.await.unwrap_or(Err(PoolError::Ended.into()));
                    Ok((frame, trigger, measured))
                }
                Work::Deadline(deadline) => Err(deadline),
            };
            if let (None, Some(following)) = (&ahead, following) {
                ahead = self.begin(following, true).await?;
            }
            match measured {
                Ok((frame, trigger, measured)) => self.finish(frame, trigger, measured).await?,
                Err(deadline) => self.do_deadline(&deadline).await?,
            }
        }
        Ok(())
    }

    /// The earliest work: frames by arrival, deadlines by their instant, frames first at the same instant. Beside it the frame that comes
    /// next after it.
    async fn next_work(&self) -> Result<Option<(Work, Option<FrameRecord>)>, InstanceError> {
        let name = self.settings.name.clone();
        let serves_deadlines = self.settings.serves_deadlines();
        let (count, waiting, due) = self
            .settings
            .journal
            .read(move |connection| {
                let count = frames::count_of_instance(connection, &name, FrameState::Arrived)?;
                let waiting = frames::next_of_instance(connection, &name, 2)?;
                let due = if serves_deadlines {
                    serviceable_deadlines(connection, &name)?
                } else {
                    Vec::new()
                };
                Ok((count, waiting, due))
            })
            .await?;
        let queue = self.settings.name.clone();
        metrics::gauge!(metric::QUEUE_DEPTH, "queue" => queue).set(count as f64);
        let mut waiting = waiting.into_iter();
        let (frame, following) = (waiting.next(), waiting.next());
        let deadline = due.into_iter().next();
        Ok(match (frame, deadline) {
            (Some(frame), Some(deadline)) if deadline.due_at < frame.arrived_at => {
                Some((Work::Deadline(deadline), Some(frame)))
            }
            (Some(frame), _) => Some((Work::Frame(Box::new(frame)), following)),
            (None, Some(deadline)) => Some((Work::Deadline(deadline), None)),
            (None, None) => None,
        })
    }

    /// Has a frame measured on the measuring thread. Nothing if it was set aside, or if it must wait for those before it: measured
    /// ahead, it must not give another result than in its turn.
    async fn begin(
        &self,
        frame: FrameRecord,
        is_ahead: bool,
    ) -> Result<Option<Begun>, InstanceError> {
        let trigger = self.trigger_of(&frame).await?;
        let (job_frame, burst) = (frame.clone(), trigger.clone());
        let preparing = move |instance: &Instance| instance.prepare(&job_frame, burst.as_ref());
        let work = match self.state.reading(preparing).await {
            Ok(Ok(work)) => work,
            // In its turn it will fail again, and be dealt with.
            _ if is_ahead => return Ok(None),
            Ok(Err(error)) => {
                self.fail(&frame, error.into()).await?;
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        if is_ahead && !work.has_settled_field() {
            return Ok(None);
        }
        // A full disk is no fault of the frame: it waits, and no attempt is counted.
        let size = std::fs::metadata(&frame.path).map_or(0, |metadata| metadata.len());
        require_room(self.settings.storage.root(), ROOM_PER_BYTE * size + ROOM_BESIDES)?;
        let id = frame.id;
        let attempts = self.settings.journal.write(move |t| frames::begin_attempt(t, id)).await?;
        if attempts > MAXIMUM_ATTEMPTS {
            let reason =
                format!("{MAXIMUM_ATTEMPTS} times the program ended while it was worked on");
            self.set_frame_aside(&frame, "program-ended", &reason).await?;
            return Ok(None);
        }
        let in_force = self.settings.journal.read(masters::in_force).await?;
        let (cache, store) = (self.masters.clone(), self.settings.store.clone());
        let pool = self.settings.measuring_pool.clone();
        let measuring = actix_rt::spawn(async move {
            let job = move || {
                let masters = cache.load(store.as_ref(), &in_force)?;
                let measurement = work.measure(&masters)?;
                Ok::<_, Gp1Error>((work, measurement))
            };
            Ok(pool.run(job).await??)
        });
        Ok(Some(Begun { frame, trigger, measuring }))
    }

    async fn finish(
        &self,
        frame: FrameRecord,
        trigger: Option<Trigger>,
        measured: Result<Measured, InstanceError>,
    ) -> Result<(), InstanceError> {
        let taken_in = match measured {
            Ok((work, measurement)) => {
                let burst = trigger.clone();
                let taking_in = move |instance: &mut Instance| {
                    instance.take_in(work, measurement, burst.as_ref())
                };
                match self.state.changing(taking_in).await {
                    Ok(outcome) => outcome.map_err(InstanceError::from),
                    Err(error) => Err(error),
                }
            }
            Err(error) => Err(error),
        };
        match taken_in {
            Ok(outcome) => self.finish_frame(frame, trigger, outcome).await,
            Err(failure) => self.fail(&frame, failure).await,
        }
    }

    /// A frame that failed is tried once more where that may help; then it is set aside with both reasons.
    async fn fail(&self, frame: &FrameRecord, failure: InstanceError) -> Result<(), InstanceError> {
        let (reason, is_retry_safe) = match &failure {
            InstanceError::Analysis(error) => (error.quarantine_reason(), error.is_retry_safe()),
            InstanceError::Pool(PoolError::Panicked(_)) => ("worker-panicked", true),
            InstanceError::Pool(PoolError::Hung { .. }) => ("worker-hung", true),
            _ => return Err(failure),
        };
        let (id, text) = (frame.id, failure.to_string());
        match &frame.reason {
            None if is_retry_safe => {
                tracing::error!(frame = frame.identity.name, reason = text, "once more");
                self.settings.journal.write(move |t| frames::note_failure(t, id, &text)).await?;
                Ok(())
            }
            None => self.set_frame_aside(frame, reason, &text).await,
            Some(first) => {
                let detail = format!("{text}; the first time: {first}");
                self.set_frame_aside(frame, reason, &detail).await
            }
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
            Ok(Err(reason)) => {
                tracing::warn!(burst, reason, "no trigger could be opened from the frame");
            }
            // It is being restarted: the frame waits for it.
            Err(reason) => return Err(InstanceError::NoAnswer(reason)),
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
