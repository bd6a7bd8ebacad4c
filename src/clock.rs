//! Real and simulated time.
//!
//! The controller never asks the operating system for the time: it asks its [`Clock`]. The simulated clock
//! is a discrete-event clock: it stands at an instant until the work due at or before it is done, then moves to the
//! next instant somebody waits for, at most `speed` times as fast as real time (interfaces.md §1).

use crate::model::UtcTime;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use system_time::SteadyTime;
use tokio::sync::{Notify, oneshot};

mod system_time;

pub use system_time::{SystemTimeSource, TimeSource};

/// The longest the real clock sleeps before it looks again: a forward step of the system clock is followed within it.
const LONGEST_REAL_SLEEP: Duration = Duration::from_secs(5);
/// The longest a simulation waits between two instants: gaps without events are skipped.
const LONGEST_PACED_WAIT: Duration = Duration::from_secs(2);
/// The longest the simulated clock is held for work that does not end.
pub const HOLD_CAP: Duration = Duration::from_secs(60);
/// How often unfinished work is looked at again when nobody reports a change.
const WORK_POLL: Duration = Duration::from_millis(20);

/// A source of time, cheap to clone.
#[derive(Clone, Debug)]
pub struct Clock {
    inner: Arc<Inner>,
}

#[derive(Debug)]
enum Inner {
    Real(SteadyTime),
    Simulated(Simulated),
}

#[derive(Debug)]
struct Simulated {
    state: Mutex<State>,
    changed: Notify,
    speed: f64,
    holds_for_work: bool,
}

#[derive(Debug)]
struct State {
    now: UtcTime,
    reached_at: Instant,
    timers: BTreeMap<(UtcTime, u64), oneshot::Sender<WorkGuard>>,
    next_timer: u64,
    guards: usize,
    figures: HoldFigures,
}

/// How often and how long the simulated clock waited for work.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HoldFigures {
    /// Instants at which the clock had to wait for work longer than its speed asked for.
    pub count: u64,
    /// Wall seconds waited in all.
    pub seconds: f64,
    /// What was unfinished each time the cap was reached.
    pub expired: Vec<String>,
}

/// While one lives, the simulated clock stands still. On the real clock it does nothing.
#[derive(Debug)]
pub struct WorkGuard {
    clock: Option<Clock>,
}

impl Drop for WorkGuard {
    fn drop(&mut self) {
        if let Some(clock) = &self.clock
            && let Inner::Simulated(simulated) = &*clock.inner
        {
            simulated.lock().guards -= 1;
            simulated.changed.notify_waiters();
        }
    }
}

/// The instant asked for lies at or before the present one.
struct AlreadyPassed;

impl Simulated {
    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is a few numbers: it is sound even if a holder of the lock panicked.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn register(&self, instant: UtcTime) -> Result<oneshot::Receiver<WorkGuard>, AlreadyPassed> {
        let mut state = self.lock();
        if instant <= state.now {
            return Err(AlreadyPassed);
        }
        let (sender, receiver) = oneshot::channel();
        let key = (instant, state.next_timer);
        state.next_timer += 1;
        state.timers.insert(key, sender);
        Ok(receiver)
    }
}

impl Clock {
    /// The system's clock, in UTC: it follows forward steps of the system's clock and never goes back (`system_time`).
    pub fn real() -> Self {
        Self::real_from(Arc::new(SystemTimeSource::default()))
    }

    /// A real clock over another source of time, to try what a step of the system's clock does.
    pub fn real_from(source: Arc<dyn TimeSource>) -> Self {
        Self { inner: Arc::new(Inner::Real(SteadyTime::new(source))) }
    }

    /// Seconds by which this clock is ahead of the system's because that one went back; 0 for a simulated clock.
    pub fn correction_seconds(&self) -> f64 {
        match &*self.inner {
            Inner::Real(time) => time.correction().as_secs_f64(),
            Inner::Simulated(_) => 0.0,
        }
    }

    /// A clock that stands at `start` until [`Clock::drive`] moves it. With `holds_for_work` false it runs free.
    pub fn simulated(start: UtcTime, speed: f64, holds_for_work: bool) -> Self {
        let state = State {
            now: start,
            reached_at: Instant::now(),
            timers: BTreeMap::new(),
            next_timer: 0,
            guards: 0,
            figures: HoldFigures::default(),
        };
        Self {
            inner: Arc::new(Inner::Simulated(Simulated {
                state: Mutex::new(state),
                changed: Notify::new(),
                speed: speed.max(1e-3),
                holds_for_work,
            })),
        }
    }

    pub fn is_simulated(&self) -> bool {
        matches!(&*self.inner, Inner::Simulated(_))
    }

    /// The present instant.
    pub fn now(&self) -> UtcTime {
        match &*self.inner {
            Inner::Real(time) => time.now(),
            Inner::Simulated(simulated) => simulated.lock().now,
        }
    }

    /// Keeps the simulated clock where it is while the guard lives.
    pub fn hold(&self) -> WorkGuard {
        match &*self.inner {
            Inner::Real(_) => WorkGuard { clock: None },
            Inner::Simulated(simulated) => {
                simulated.lock().guards += 1;
                WorkGuard { clock: Some(self.clone()) }
            }
        }
    }

    /// Waits until `instant` (ready at once if it has passed). The guard keeps a simulated clock at the
    /// instant until what is due there has been done or journaled. The instant is registered by the call
    /// itself, not by the first poll: the clock cannot pass it in between.
    pub fn sleep_until(&self, instant: UtcTime) -> impl Future<Output = WorkGuard> + 'static {
        let clock = self.clone();
        let pending = match &*self.inner {
            Inner::Real(_) => None,
            Inner::Simulated(simulated) => Some(simulated.register(instant)),
        };
        // For an instant that has passed, too: a caller that lets go of its own guard before the first poll leaves no gap.
        let passed = matches!(pending, Some(Err(AlreadyPassed))).then(|| self.hold());
        if pending.is_some()
            && let Inner::Simulated(simulated) = &*self.inner
        {
            simulated.changed.notify_waiters();
        }
        async move {
            match pending {
                None => clock.sleep_really_until(instant).await,
                Some(Err(AlreadyPassed)) => passed.unwrap_or_else(|| clock.hold()),
                Some(Ok(receiver)) => match receiver.await {
                    Ok(guard) => guard,
                    // The driver is gone: the simulation is over and nothing is due any more.
                    Err(_) => std::future::pending().await,
                },
            }
        }
    }

    async fn sleep_really_until(&self, instant: UtcTime) -> WorkGuard {
        loop {
            let remaining = instant.seconds_since(self.now());
            if remaining <= 0.0 {
                return self.hold();
            }
            let wait = Duration::from_secs_f64(remaining).min(LONGEST_REAL_SLEEP);
            tokio::time::sleep(wait).await;
        }
    }

    /// What the clock waited for so far; zero for the real clock.
    pub fn hold_figures(&self) -> HoldFigures {
        match &*self.inner {
            Inner::Real(_) => HoldFigures::default(),
            Inner::Simulated(simulated) => simulated.lock().figures.clone(),
        }
    }

    /// Moves a simulated clock from instant to instant, for as long as the future is polled. `unfinished` names work that is due at
    /// or before the given instant and not done; `reached` is told every instant before anybody is woken at it: journaled, it is where a
    /// run that was cut off goes on, with the same time for the work that was begun.
    pub async fn drive(
        &self,
        unfinished: impl Fn(UtcTime) -> Option<String>,
        reached: impl Fn(UtcTime),
    ) {
        let Inner::Simulated(simulated) = &*self.inner else { return };
        loop {
            if simulated.holds_for_work {
                self.wait_for_work(simulated, &unfinished).await;
            }
            self.advance(simulated, &reached).await;
        }
    }

    async fn wait_for_work(
        &self,
        simulated: &Simulated,
        unfinished: &impl Fn(UtcTime) -> Option<String>,
    ) {
        let began = Instant::now();
        let mut waited = false;
        loop {
            // Let whoever was just woken take its first step before looking.
            tokio::task::yield_now().await;
            let changed = simulated.changed.notified();
            let (now, guards) = {
                let state = simulated.lock();
                (state.now, state.guards)
            };
            let open = if guards > 0 {
                Some(format!("{guards} actions at work"))
            } else {
                unfinished(now)
            };
            let Some(open) = open else { break };
            if began.elapsed() > HOLD_CAP {
                simulated.lock().figures.expired.push(format!("{now}: {open}"));
                break;
            }
            waited = true;
            let _ = tokio::time::timeout(WORK_POLL, changed).await;
        }
        if waited {
            let mut state = simulated.lock();
            let spent = state.reached_at.elapsed().as_secs_f64();
            let paced = state
                .timers
                .keys()
                .next()
                .map_or(0.0, |(next, _)| next.seconds_since(state.now) / simulated.speed);
            if spent > paced {
                state.figures.count += 1;
                state.figures.seconds += spent - paced;
            }
        }
    }

    /// Waits, at the clock's speed, for the next instant that somebody waits for, and wakes them.
    async fn advance(&self, simulated: &Simulated, reached: &impl Fn(UtcTime)) {
        loop {
            let changed = simulated.changed.notified();
            let (next, wait) = {
                let mut state = simulated.lock();
                state.timers.retain(|_, sender| !sender.is_closed());
                let next = state.timers.keys().next().map(|(instant, _)| *instant);
                let wait = next.map(|next| {
                    let gap = next.seconds_since(state.now).max(0.0) / simulated.speed;
                    let paced = Duration::from_secs_f64(gap).min(LONGEST_PACED_WAIT);
                    paced.saturating_sub(state.reached_at.elapsed())
                });
                (next, wait)
            };
            match (next, wait) {
                (Some(_), Some(wait)) if !wait.is_zero() => {
                    // A timer set meanwhile may be earlier: look again.
                    let _ = tokio::time::timeout(wait, changed).await;
                }
                (Some(next), _) => {
                    reached(next);
                    let mut woken = Vec::new();
                    {
                        let mut state = simulated.lock();
                        state.now = state.now.max(next);
                        state.reached_at = Instant::now();
                        while let Some(entry) = state.timers.first_entry() {
                            if entry.key().0 > next {
                                break;
                            }
                            woken.push(entry.remove());
                        }
                        state.guards += woken.len();
                    }
                    for sender in woken {
                        // A waiter that is gone hands its guard back by dropping it.
                        let _ = sender.send(WorkGuard { clock: Some(self.clone()) });
                    }
                    return;
                }
                (None, _) => changed.await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};

    fn start() -> UtcTime {
        UtcTime::parse("2026-11-02T04:00:00Z").unwrap()
    }

    #[tokio::test]
    async fn an_instant_that_has_passed_holds_the_clock_from_the_call() {
        let clock = Clock::simulated(start(), 1e9, true);
        let passed = clock.sleep_until(start());
        let later = clock.sleep_until(start().plus_seconds(10.0));
        let unpolled = tokio::select! {
            () = clock.drive(|_| None, |_| {}) => false,
            _ = later => false,
            () = tokio::time::sleep(Duration::from_millis(50)) => true,
        };
        assert!(unpolled, "the clock went on before the first poll");
        assert_eq!(clock.now(), start());
        drop(passed);
        let later = clock.sleep_until(start().plus_seconds(10.0));
        tokio::select! {
            () = clock.drive(|_| None, |_| {}) => {}
            _ = later => {}
        }
        assert_eq!(clock.now(), start().plus_seconds(10.0));
    }

    #[tokio::test]
    async fn instants_are_reached_in_order_and_exactly() {
        let clock = Clock::simulated(start(), 1e9, true);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = Vec::new();
        for seconds in [30.0, 10.0, 20.0, 10.0] {
            let (clock, seen) = (clock.clone(), seen.clone());
            tasks.push(tokio::spawn(async move {
                let _guard = clock.sleep_until(start().plus_seconds(seconds)).await;
                seen.lock().unwrap().push((seconds, clock.now().seconds_since(start())));
            }));
        }
        let driver = clock.clone();
        let work = async {
            for task in tasks {
                task.await.unwrap();
            }
        };
        tokio::select! {
            () = driver.drive(|_| None, |_| ()) => unreachable!(),
            () = work => (),
        }
        assert_eq!(
            *seen.lock().unwrap(),
            vec![(10.0, 10.0), (10.0, 10.0), (20.0, 20.0), (30.0, 30.0)]
        );
    }

    #[tokio::test]
    async fn the_clock_stands_while_work_is_unfinished() {
        let clock = Clock::simulated(start(), 1e9, true);
        let done = Arc::new(AtomicBool::new(false));
        let early = clock.sleep_until(start().plus_seconds(1.0));
        let late = clock.sleep_until(start().plus_seconds(2.0));
        let (probe, setter) = (done.clone(), done.clone());
        let story = async {
            drop(early.await);
            tokio::time::sleep(Duration::from_millis(100)).await;
            assert_eq!(clock.now(), start().plus_seconds(1.0));
            setter.store(true, Ordering::SeqCst);
            late.await
        };
        let unfinished = move |now: UtcTime| {
            (now >= start().plus_seconds(1.0) && !probe.load(Ordering::SeqCst))
                .then(|| "the work".to_owned())
        };
        tokio::select! {
            () = clock.drive(unfinished, |_| ()) => unreachable!(),
            _guard = story => (),
        }
        assert_eq!(clock.now(), start().plus_seconds(2.0));
        assert_eq!(clock.hold_figures().count, 1);
        assert!(clock.hold_figures().expired.is_empty());
    }

    #[tokio::test]
    async fn a_waiter_that_gave_up_does_not_hold_the_clock() {
        let clock = Clock::simulated(start(), 1e9, true);
        let given_up = clock.sleep_until(start().plus_seconds(1.0));
        let _ = tokio::time::timeout(Duration::from_millis(5), given_up).await;
        let story = clock.sleep_until(start().plus_seconds(2.0));
        tokio::select! {
            () = clock.drive(|_| None, |_| ()) => unreachable!(),
            _guard = story => (),
        }
        assert_eq!(clock.now(), start().plus_seconds(2.0));
    }

    /// A source whose system time is set by hand over a monotonic time that runs.
    #[derive(Debug)]
    struct Stepped {
        began: Instant,
        offset_seconds: Mutex<i64>,
    }

    impl TimeSource for Stepped {
        fn system(&self) -> Duration {
            let steady = Duration::from_secs(1_800_000_000) + self.began.elapsed();
            let offset = *self.offset_seconds.lock().unwrap();
            if offset < 0 {
                steady - Duration::from_secs(offset.unsigned_abs())
            } else {
                steady + Duration::from_secs(offset.unsigned_abs())
            }
        }

        fn monotonic(&self) -> Duration {
            self.began.elapsed()
        }
    }

    fn stepped() -> (Arc<Stepped>, Clock) {
        let source = Arc::new(Stepped { began: Instant::now(), offset_seconds: Mutex::new(0) });
        (source.clone(), Clock::real_from(source))
    }

    /// Waiting out an hour that was put in between would end the test by its patience.
    const TEST_PATIENCE: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn an_hour_back_delays_no_deadline_and_time_does_not_run_backwards() {
        let (source, clock) = stepped();
        let due = clock.now().plus_seconds(0.3);
        let deadline = clock.sleep_until(due);
        let before = clock.now();
        *source.offset_seconds.lock().unwrap() = -3600;
        assert!(clock.now() >= before);
        assert!((clock.correction_seconds() - 3600.0).abs() < 1.0);
        tokio::time::timeout(TEST_PATIENCE, deadline).await.unwrap();
        assert!(clock.now() >= due);
        // Put right again, nothing is left of it.
        *source.offset_seconds.lock().unwrap() = 0;
        let _ = clock.now();
        assert!(clock.correction_seconds() < 1.0);
        assert!(clock.now().seconds_since(due) < 60.0);
    }

    #[tokio::test]
    async fn an_hour_forward_makes_due_what_lies_within_it() {
        let (source, clock) = stepped();
        let due = clock.now().plus_seconds(1800.0);
        let deadline = clock.sleep_until(due);
        *source.offset_seconds.lock().unwrap() = 3600;
        tokio::time::timeout(TEST_PATIENCE, deadline).await.unwrap();
        assert!(clock.now() >= due);
        assert_eq!(clock.correction_seconds(), 0.0);
    }
}
