//! Web: pages, API and metrics. It reads the journal and published snapshots, and changes nothing.

use crate::{
    clock::Clock,
    model::metric,
    storage::journal::{Journal, alerts, products},
    web::{
        metrics::Metrics,
        server::{RunningWeb, WebSettings, start},
        status::StatusSources,
    },
};
use actix::{Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Supervised, WrapFuture};
use std::{
    net::TcpListener,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// How often gauges that age are refreshed and histograms are drained.
const UPKEEP: Duration = Duration::from_secs(2);

/// What the actor works with; immutable, so that a restart begins from it.
#[derive(Clone)]
pub struct WebActorSettings {
    /// Bound once by the controller: a restart does not lose the port.
    pub listener: Arc<TcpListener>,
    pub sources: StatusSources,
    pub metrics: Metrics,
    pub journal: Journal,
    pub clock: Clock,
    /// The server that runs, so that a restarted actor ends it before it starts the next.
    pub running: Arc<Mutex<Option<RunningWeb>>>,
}

pub struct WebActor {
    settings: WebActorSettings,
}

impl WebActor {
    pub const NAME: &'static str = "web";

    pub fn new(settings: WebActorSettings) -> Self {
        Self { settings }
    }

    fn begin(&mut self, context: &mut Context<Self>) {
        let settings = self.settings.clone();
        let starting = async move {
            let previous = settings.running.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(previous) = previous {
                previous.stop().await;
            }
            let listener = settings.listener.try_clone()?;
            let running = start(WebSettings { listener, workers: 1 }, settings.sources.clone())
                .await
                .map_err(std::io::Error::other)?;
            *settings.running.lock().unwrap_or_else(PoisonError::into_inner) = Some(running);
            Ok::<(), std::io::Error>(())
        };
        context.spawn(starting.into_actor(self).map(|outcome, _, context| {
            if let Err(error) = outcome {
                tracing::error!(%error, "the pages cannot be served");
                context.stop();
            }
        }));
        context.run_interval(UPKEEP, |actor, context| {
            actor.settings.metrics.upkeep();
            let refresh =
                refresh_gauges(actor.settings.journal.clone(), actor.settings.clock.clone());
            context.spawn(refresh.into_actor(actor));
        });
    }
}

impl Actor for WebActor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        self.begin(context);
    }
}

impl Supervised for WebActor {
    /// actix calls `started` again afterwards.
    fn restarting(&mut self, _context: &mut Self::Context) {
        *self = Self::new(self.settings.clone());
    }
}

async fn refresh_gauges(journal: Journal, clock: Clock) {
    let found =
        journal.read(|c| Ok((alerts::last_received_at(c)?, products::outbox_depth(c)?))).await;
    let Ok((last, outbox)) = found else { return };
    metrics::gauge!(metric::OUTBOX_DEPTH).set(outbox as f64);
    if let Some(last) = last {
        metrics::gauge!(metric::ALERT_AGE).set(clock.now().seconds_since(last).max(0.0));
    }
}
