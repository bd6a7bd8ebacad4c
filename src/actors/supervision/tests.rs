use super::*;
use crate::model::UtcTime;
use actix::{AsyncContext, Handler, Message, ResponseActFuture, WrapFuture};
use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

#[derive(Message)]
#[rtype(result = "u32")]
struct Add(u32);

#[derive(Message)]
#[rtype(result = "()")]
enum Fail {
    InHandler,
    InFuture,
    InTimer,
    ByStopping,
    ByHanging(std::sync::mpsc::Receiver<()>),
}

/// Sums what it is told; its sum is rebuilt as zero at each restart.
struct Adder {
    sum: u32,
    starts: Arc<AtomicU32>,
    restarts: Arc<AtomicU32>,
    fails_at_restart: bool,
}

impl Actor for Adder {
    type Context = Context<Self>;

    fn started(&mut self, _context: &mut Context<Self>) {
        self.starts.fetch_add(1, Ordering::SeqCst);
    }
}

impl Supervised for Adder {
    fn restarting(&mut self, _context: &mut Context<Self>) {
        self.sum = 0;
        self.restarts.fetch_add(1, Ordering::SeqCst);
        assert!(!self.fails_at_restart, "cannot come back");
    }
}

impl Handler<Add> for Adder {
    type Result = u32;

    fn handle(&mut self, Add(number): Add, _context: &mut Context<Self>) -> u32 {
        self.sum += number;
        self.sum
    }
}

impl Handler<Nudge> for Adder {
    type Result = ();

    fn handle(&mut self, _nudge: Nudge, _context: &mut Context<Self>) {}
}

impl Handler<Fail> for Adder {
    type Result = ResponseActFuture<Self, ()>;

    fn handle(&mut self, how: Fail, context: &mut Context<Self>) -> Self::Result {
        use actix::ActorContext;
        match how {
            Fail::InHandler => panic!("in the handler"),
            Fail::InFuture => Box::pin(async { panic!("in the future") }.into_actor(self)),
            Fail::InTimer => {
                context.run_later(Duration::from_millis(1), |_, _| panic!("in the timer"));
                Box::pin(async {}.into_actor(self))
            }
            Fail::ByHanging(release) => {
                let _ = release.recv();
                Box::pin(async {}.into_actor(self))
            }
            Fail::ByStopping => {
                context.stop();
                Box::pin(async {}.into_actor(self))
            }
        }
    }
}

struct Bench {
    supervision: Supervision,
    address: Post<Adder>,
    starts: Arc<AtomicU32>,
    restarts: Arc<AtomicU32>,
    clock: Clock,
    _directory: tempfile::TempDir,
}

fn bench(policy: ChildPolicy, fails_at_restart: bool) -> Bench {
    let directory = tempfile::tempdir().unwrap();
    let journal = Journal::open(&directory.path().join("gic.sqlite")).unwrap();
    let start = UtcTime::parse("2026-11-02T04:00:00Z").unwrap();
    let clock = Clock::simulated(start, 1e6, true);
    let supervision = Supervision::new(clock.clone(), journal);
    let (address, mail) = mailbox::<Adder>(8);
    let restarts = Arc::new(AtomicU32::new(0));
    let starts = Arc::new(AtomicU32::new(0));
    let (counter, start_counter) = (restarts.clone(), starts.clone());
    supervision.start("adder", policy, mail, move || Adder {
        sum: 0,
        starts: start_counter.clone(),
        restarts: counter.clone(),
        fails_at_restart,
    });
    actix_rt::spawn(supervision.clone().watch());
    Bench { supervision, address, starts, restarts, clock, _directory: directory }
}

fn quick() -> ChildPolicy {
    ChildPolicy {
        maximum_restarts: 20,
        first_backoff: Duration::from_millis(2),
        maximum_backoff: Duration::from_millis(4),
        ..ChildPolicy::default()
    }
}

async fn until(condition: impl Fn() -> bool) {
    for _ in 0..500 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the condition never held");
}

#[actix::test]
async fn every_way_to_fail_ends_in_a_restart_with_the_same_address_and_mail() {
    let bench = bench(quick(), false);
    for (count, how) in
        [Fail::InHandler, Fail::InFuture, Fail::InTimer, Fail::ByStopping].into_iter().enumerate()
    {
        assert_eq!(bench.address.address().send(Add(1)).await.unwrap(), 1);
        let failing = bench.address.address().send(how);
        let waiting: Vec<_> = (0..3).map(|_| bench.address.address().send(Add(10))).collect();
        let _ = failing.await;
        let answers = futures_util::future::join_all(waiting).await;
        assert!(answers.iter().all(Result::is_ok), "mail was lost: {answers:?}");
        let expected = count as u32 + 1;
        let restarts = bench.restarts.clone();
        until(move || restarts.load(Ordering::SeqCst) == expected).await;
        // The state is the rebuilt one, whatever the messages before the failure did.
        let sum = bench.address.address().send(Add(0)).await.unwrap();
        assert!(sum <= 30, "state survived the failure: {sum}");
        // Bring the sum to zero for the next round.
        bench.supervision.request("adder", Fault::Panic, 0).unwrap();
        let restarts = bench.restarts.clone();
        until(move || restarts.load(Ordering::SeqCst) == expected + 1).await;
        bench.restarts.store(expected, Ordering::SeqCst);
    }
    let snapshot = bench.supervision.snapshot();
    assert_eq!(snapshot[0].state, ActorState::Running);
    assert_eq!(snapshot[0].restarts, 8);
}

#[actix::test]
async fn only_the_offending_message_is_lost() {
    let bench = bench(quick(), false);
    let before: Vec<_> = (0..3).map(|_| bench.address.address().send(Add(1))).collect();
    let offending = bench.address.address().send(Fail::InHandler);
    let after: Vec<_> = (0..3).map(|_| bench.address.address().send(Add(1))).collect();
    let before: Vec<_> = futures_util::future::join_all(before).await;
    assert!(offending.await.is_err());
    let after: Vec<_> = futures_util::future::join_all(after).await;
    assert_eq!(before.into_iter().map(Result::unwrap).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(after.into_iter().map(Result::unwrap).collect::<Vec<_>>(), [1, 2, 3]);
}

#[actix::test]
async fn an_actor_is_started_once_in_each_of_its_lives() {
    // Regression: actors that began their work in both `restarting` and `started` did it twice after a failure.
    let bench = bench(quick(), false);
    for life in 1..4 {
        bench.address.address().send(Add(1)).await.unwrap();
        assert_eq!(bench.starts.load(Ordering::SeqCst), life);
        assert_eq!(bench.restarts.load(Ordering::SeqCst), life - 1);
        let _ = bench.address.address().send(Fail::InHandler).await;
    }
}

#[actix::test]
async fn too_many_failures_escalate_with_the_first_cause() {
    let policy = ChildPolicy { maximum_restarts: 3, ..quick() };
    let bench = bench(policy, true);
    let mut escalations = bench.supervision.escalations();
    let _ = bench.address.address().send(Fail::InHandler).await;
    escalations.changed().await.unwrap();
    let escalation = escalations.borrow().clone().unwrap();
    assert_eq!(escalation.actor, "adder");
    assert_eq!(escalation.failures, 4);
    assert_eq!(escalation.first_cause, ExitReason::Panicked("in the handler".to_owned()));
    assert_eq!(escalation.last_cause, ExitReason::Panicked("cannot come back".to_owned()));
    assert_eq!(bench.supervision.snapshot()[0].state, ActorState::GaveUp);
    assert!(bench.address.address().send(Add(1)).await.is_err());
}

#[actix::test]
async fn policies_say_who_comes_back() {
    let transient = bench(ChildPolicy { restart: RestartPolicy::Transient, ..quick() }, false);
    let _ = transient.address.address().send(Fail::InHandler).await;
    assert_eq!(transient.address.address().send(Add(1)).await.unwrap(), 1);
    let _ = transient.address.address().send(Fail::ByStopping).await;
    let supervision = transient.supervision.clone();
    until(move || supervision.snapshot()[0].state == ActorState::Stopped).await;

    let temporary = bench(ChildPolicy { restart: RestartPolicy::Temporary, ..quick() }, false);
    let _ = temporary.address.address().send(Fail::InHandler).await;
    let supervision = temporary.supervision.clone();
    until(move || supervision.snapshot()[0].state == ActorState::Stopped).await;
    assert_eq!(temporary.restarts.load(Ordering::SeqCst), 0);
}

#[actix::test]
async fn the_simulated_clock_stands_while_an_actor_is_down() {
    let policy = ChildPolicy { first_backoff: Duration::from_millis(200), ..quick() };
    let bench = bench(ChildPolicy { maximum_backoff: Duration::from_secs(1), ..policy }, false);
    let clock = bench.clock.clone();
    let driver = clock.clone();
    bench.supervision.request("adder", Fault::Panic, 0).unwrap();
    actix_rt::spawn(async move { driver.drive(|_| None, |_| ()).await });
    let down_at = clock.now();
    let (ticker, restarts) = (clock.clone(), bench.restarts.clone());
    let guard = ticker.sleep_until(down_at.plus_seconds(1.0)).await;
    assert_eq!(restarts.load(Ordering::SeqCst), 1, "the clock moved while the actor was down");
    drop(guard);
}

#[actix::test]
async fn a_thousand_panics_in_a_row_are_survived() {
    let policy = ChildPolicy {
        maximum_restarts: 2000,
        first_backoff: Duration::ZERO,
        maximum_backoff: Duration::ZERO,
        ..quick()
    };
    let bench = bench(policy, false);
    for _ in 0..1000 {
        let _ = bench.address.address().send(Fail::InHandler).await;
    }
    assert_eq!(bench.address.address().send(Add(7)).await.unwrap(), 7);
    assert_eq!(bench.supervision.snapshot()[0].restarts, 1000);
}

#[actix::test]
async fn a_failure_of_an_unknown_actor_names_the_known_ones() {
    let bench = bench(quick(), false);
    let error = bench.supervision.request("nobody", Fault::Hang, 0).unwrap_err();
    let unknown =
        FaultRefused::UnknownActor { name: "nobody".to_owned(), known: "adder".to_owned() };
    assert_eq!(error, unknown);
    let error = bench.supervision.request("adder", Fault::WorkerHang, 0).unwrap_err();
    assert_eq!(error, FaultRefused::NoWorkers { name: "adder".to_owned() });
}

fn impatient() -> ChildPolicy {
    ChildPolicy { answer_timeout: Duration::from_millis(600), ..quick() }
}

#[actix::test]
async fn an_actor_whose_thread_hangs_is_replaced_behind_the_same_post() {
    let bench = bench(impatient(), false);
    assert_eq!(bench.address.address().send(Add(1)).await.unwrap(), 1);
    let (release, held) = std::sync::mpsc::channel();
    let before = bench.address.address();
    let hanging = before.send(Fail::ByHanging(held));
    let supervision = bench.supervision.clone();
    actix_rt::spawn(hanging);
    until(move || supervision.snapshot()[0].restarts == 1).await;
    // The one that hung has not moved; its place is taken all the same, with an empty sum.
    assert_eq!(bench.address.address().send(Add(5)).await.unwrap(), 5);
    assert_eq!(bench.starts.load(Ordering::SeqCst), 2);
    let snapshot = bench.supervision.snapshot();
    assert!(snapshot[0].last_exit.as_ref().unwrap().starts_with("hung"), "{snapshot:?}");
    assert!(snapshot[0].last_restart_seconds.is_some());
    // When it comes back, it ends: its old mailbox is closed, and the new one's state is left alone.
    drop(release);
    for _ in 0..500 {
        if !before.connected() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(!before.connected());
    assert_eq!(bench.address.address().send(Add(1)).await.unwrap(), 6);
    assert_eq!(bench.supervision.snapshot()[0].restarts, 1);
}

#[actix::test]
async fn hangs_on_request_hold_the_simulated_clock_until_the_new_life_begins() {
    let bench = bench(impatient(), false);
    let clock = bench.clock.clone();
    let driver = clock.clone();
    // It has started before it hangs.
    assert_eq!(bench.address.address().send(Add(1)).await.unwrap(), 1);
    bench.supervision.request("adder", Fault::Hang, 0).unwrap();
    actix_rt::spawn(async move { driver.drive(|_| None, |_| ()).await });
    let guard = clock.sleep_until(clock.now().plus_seconds(1.0)).await;
    assert_eq!(bench.starts.load(Ordering::SeqCst), 2, "the clock moved while the actor hung");
    drop(guard);
}

#[actix::test]
async fn a_slow_actor_is_not_taken_for_a_hung_one() {
    let bench = bench(impatient(), false);
    bench.supervision.request("adder", Fault::Slow, 0).unwrap();
    for number in 1..=20 {
        assert_eq!(bench.address.address().send(Add(1)).await.unwrap(), number);
    }
    assert_eq!(bench.supervision.snapshot()[0].restarts, 0);
}

#[actix::test]
async fn a_full_mailbox_loses_nothing_that_waits_for_room() {
    let bench = bench(impatient(), false);
    bench.supervision.request("adder", Fault::FullMailbox, 0).unwrap();
    let supervision = bench.supervision.clone();
    let waiting: Vec<_> = (0..20).map(|_| bench.address.address().send(Add(1))).collect();
    let answers = futures_util::future::join_all(waiting).await;
    let sums: Vec<u32> = answers.into_iter().map(Result::unwrap).collect();
    assert_eq!(sums.iter().max(), Some(&20), "{sums:?}");
    assert_eq!(supervision.snapshot()[0].restarts, 0);
}

#[actix::test]
async fn hanging_again_and_again_escalates() {
    let policy = ChildPolicy { maximum_restarts: 1, ..impatient() };
    let bench = bench(policy, false);
    let mut escalations = bench.supervision.escalations();
    let starts = bench.starts.clone();
    // A hang asked for before there is an actor would be counted as one with the next.
    until(move || starts.load(Ordering::SeqCst) == 1).await;
    for _ in 0..2 {
        let life = bench.starts.load(Ordering::SeqCst);
        bench.supervision.request("adder", Fault::Hang, 0).unwrap();
        let (supervision, starts) = (bench.supervision.clone(), bench.starts.clone());
        until(move || {
            starts.load(Ordering::SeqCst) > life
                || supervision.snapshot()[0].state == ActorState::GaveUp
        })
        .await;
    }
    let changed = tokio::time::timeout(Duration::from_secs(10), escalations.changed()).await;
    changed.expect("an escalation").unwrap();
    let escalation = escalations.borrow().clone().unwrap();
    assert!(matches!(escalation.last_cause, ExitReason::Hung { .. }), "{escalation}");
}

/// Registers an instant of the clock when it starts, and notes when it was woken.
struct Sleeper {
    clock: Clock,
    instant: UtcTime,
    woken_at: Arc<Mutex<Option<UtcTime>>>,
}

impl Actor for Sleeper {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        let (clock, woken_at) = (self.clock.clone(), self.woken_at.clone());
        let sleep = self.clock.sleep_until(self.instant);
        context.spawn(
            async move {
                let _guard = sleep.await;
                *woken_at.lock().unwrap() = Some(clock.now());
            }
            .into_actor(self),
        );
    }
}

impl Supervised for Sleeper {}

impl Handler<Nudge> for Sleeper {
    type Result = ();

    fn handle(&mut self, _nudge: Nudge, _context: &mut Context<Self>) {}
}

#[actix::test]
async fn the_clock_does_not_pass_what_an_actor_registers_at_its_start() {
    let directory = tempfile::tempdir().unwrap();
    let journal = Journal::open(&directory.path().join("gic.sqlite")).unwrap();
    let start = UtcTime::parse("2026-11-02T04:00:00Z").unwrap();
    let clock = Clock::simulated(start, 1e6, true);
    let supervision = Supervision::new(clock.clone(), journal);
    let (_address, mail) = mailbox::<Sleeper>(8);
    let woken_at = Arc::new(Mutex::new(None));
    let (actor_clock, noted) = (clock.clone(), woken_at.clone());
    supervision.start("sleeper", quick(), mail, move || {
        // The thread comes to it late.
        std::thread::sleep(Duration::from_millis(100));
        Sleeper {
            clock: actor_clock.clone(),
            instant: start.plus_seconds(10.0),
            woken_at: noted.clone(),
        }
    });
    let later = clock.sleep_until(start.plus_seconds(20.0));
    tokio::select! {
        () = clock.drive(|_| None, |_| {}) => {}
        _ = later => {}
    }
    assert_eq!(*woken_at.lock().unwrap(), Some(start.plus_seconds(10.0)));
    supervision.stop_all();
}
