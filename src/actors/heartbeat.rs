//! Whether each actor answers: a message goes through its mailbox and is answered on its own thread.
//!
//! A state says what an actor last did; only an answer says that its thread is free and its mailbox is read. What an actor waits for does
//! not keep it from answering, because actors never block; one that does is hung, and nobody inside the process can free
//! its thread. The watchdog outside is fed only while all answer.

use super::{
    alert_receiver::AlertReceiver, calibration_master::CalibrationMaster,
    fsc_uploader::FscUploader, gp1_instance::Gp1Instance, image_provider::ImageProvider,
    product_maker::ProductMaker, status_collector::StatusCollector,
    trigger_manager::TriggerManager, web::WebActor,
};
use crate::model::{ActorAnswer, metric};
use actix::{Handler, Message, Recipient};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// How often each actor is asked.
const PERIOD: Duration = Duration::from_secs(1);
/// An actor that has not answered for so long is hung. A busy machine delays an answer by far less.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Asks an actor for a sign of life.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub enum Ping {
    Answer,
    /// Never to return: blocks the actor's thread, to try what happens then.
    Hang,
}

macro_rules! answers {
    ($($actor:ty),* $(,)?) => {$(
        impl Handler<Ping> for $actor {
            type Result = ();

            fn handle(&mut self, ping: Ping, _context: &mut Self::Context) {
                ping.take();
            }
        }
    )*};
}

answers!(
    AlertReceiver,
    TriggerManager,
    ImageProvider,
    Gp1Instance,
    ProductMaker,
    FscUploader,
    CalibrationMaster,
    StatusCollector,
    WebActor,
);

impl Ping {
    fn take(self) {
        match self {
            Self::Answer => {}
            Self::Hang => loop {
                std::thread::park();
            },
        }
    }
}

/// No actor of that name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no actor is called '{0}'")]
pub struct NoSuchActor(pub String);

/// The signs of life of all permanent actors, cheap to clone.
#[derive(Clone)]
pub struct Heartbeats {
    hearts: Arc<Vec<Heart>>,
}

/// Where an actor is reached now: asked for anew before each question, because a restart may change it.
pub type AddressNow = Box<dyn Fn() -> Recipient<Ping> + Send + Sync>;

struct Heart {
    actor: String,
    address: AddressNow,
    answered: Mutex<Instant>,
}

impl Heart {
    fn answered(&self) -> MutexGuard<'_, Instant> {
        // An instant: sound even if a holder of the lock panicked.
        self.answered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn age(&self) -> Duration {
        self.answered().elapsed()
    }
}

impl Heartbeats {
    /// Begins with everybody as if they had just answered.
    pub fn new(actors: Vec<(String, AddressNow)>) -> Self {
        let heart =
            |(actor, address)| Heart { actor, address, answered: Mutex::new(Instant::now()) };
        Self { hearts: Arc::new(actors.into_iter().map(heart).collect()) }
    }

    /// Asks everybody, again and again, for as long as it is polled. A question is given time before the next one is put, so that a hung
    /// actor's mailbox does not fill with them.
    pub async fn keep_asking(&self) {
        let asking = (0..self.hearts.len()).map(|index| self.keep_asking_one(index));
        futures_util::future::join_all(asking).await;
    }

    async fn keep_asking_one(&self, index: usize) {
        let Some(heart) = self.hearts.get(index) else { return };
        loop {
            // An actor that is being restarted answers afterwards. An error means that the question was lost with what the actor
            // was doing: it is asked again.
            let answer = tokio::time::timeout(PATIENCE, (heart.address)().send(Ping::Answer)).await;
            if matches!(answer, Ok(Ok(()))) {
                *heart.answered() = Instant::now();
            }
            tokio::time::sleep(PERIOD).await;
        }
    }

    /// How long ago each actor answered last; the same goes into the metrics.
    pub fn answers(&self) -> Vec<ActorAnswer> {
        self.hearts
            .iter()
            .map(|heart| {
                let age_seconds = heart.age().as_secs_f64();
                metrics::gauge!(metric::ACTOR_ANSWER_AGE, "actor" => heart.actor.clone())
                    .set(age_seconds);
                ActorAnswer {
                    name: heart.actor.clone(),
                    age_seconds,
                    is_hung: heart.age() > PATIENCE,
                }
            })
            .collect()
    }

    /// Who has not answered for longer than `patience`.
    pub fn silent(&self, patience: Duration) -> Vec<String> {
        let late = self.hearts.iter().filter(|heart| heart.age() > patience);
        late.map(|heart| heart.actor.clone()).collect()
    }

    /// Blocks the thread of an actor for ever, to try what happens then.
    pub async fn hang(&self, actor: &str) -> Result<(), NoSuchActor> {
        let heart = self.hearts.iter().find(|heart| heart.actor == actor);
        let heart = heart.ok_or_else(|| NoSuchActor(actor.to_owned()))?;
        // It is never answered.
        drop(tokio::time::timeout(PERIOD, (heart.address)().send(Ping::Hang)).await);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix::{Actor, Context};
    use actix_rt::Arbiter;

    struct Idle;

    impl Actor for Idle {
        type Context = Context<Self>;
    }

    answers!(Idle);

    #[test]
    fn an_actor_whose_thread_is_blocked_falls_silent_and_the_others_do_not() {
        actix_rt::System::new().block_on(one_of_two_hangs());
    }

    async fn one_of_two_hangs() {
        let arbiters = [Arbiter::new(), Arbiter::new()];
        let addresses = arbiters.each_ref().map(|a| Idle::start_in_arbiter(&a.handle(), |_| Idle));
        let names = ["well", "hung"].map(str::to_owned);
        let recipients =
            addresses.map(|address| Box::new(move || address.clone().recipient()) as AddressNow);
        let beats = Heartbeats::new(names.into_iter().zip(recipients).collect());
        let asking = beats.clone();
        let asked = actix_rt::spawn(async move { asking.keep_asking().await });
        assert_eq!(beats.hang("nobody").await, Err(NoSuchActor("nobody".to_owned())));
        beats.hang("hung").await.unwrap();
        // Asked once a second: more than two questions later only one has answered.
        while beats.silent(3 * PERIOD) != ["hung"] {
            assert!(beats.silent(30 * PERIOD).is_empty(), "nobody was ever silent alone");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let answers = beats.answers();
        assert!(answers[0].age_seconds < answers[1].age_seconds);
        asked.abort();
    }
}
