//! Alert receiver: the VTP listener, and the brokers that are followed. A packet is in the journal, synced, before it is acknowledged; what it means is the trigger
//! manager's business.

use super::{
    alert_subscription::follow_broker,
    messages::NoticeReceived,
    sending::hint,
    supervision::{Post, panic_message},
    trigger_manager::TriggerManager,
};
use crate::{
    alerts::{AllowList, Decision, ReceiverSettings, Reception, SubscriberSettings, serve_author},
    clock::Clock,
    model::metric,
    storage::{
        journal::{Journal, alerts},
        local::sha256_of_bytes,
    },
};
use actix::{Actor, ActorFutureExt, AsyncContext, Context, Supervised, WrapFuture};
use std::{io, net::SocketAddr, sync::Arc, time::Instant};
use tokio::{net::TcpListener, sync::Semaphore};

/// Connections served at the same time; more wait in the listen queue.
const MAXIMUM_CONNECTIONS: usize = 64;

/// What the receiver works with; immutable, so that a restart begins from it.
#[derive(Clone)]
pub struct AlertReceiverSettings {
    /// Bound once by the controller: a restart does not lose the port.
    pub listener: Arc<std::net::TcpListener>,
    pub allow: AllowList,
    pub author: ReceiverSettings,
    /// Brokers to follow, as `host:port`, and how.
    pub remotes: Vec<String>,
    pub subscriber: SubscriberSettings,
    pub journal: Journal,
    pub clock: Clock,
    pub trigger_manager: Post<TriggerManager>,
}

pub struct AlertReceiver {
    settings: AlertReceiverSettings,
    connections: Arc<Semaphore>,
}

impl AlertReceiver {
    pub const NAME: &'static str = "alert-receiver";

    pub fn new(settings: AlertReceiverSettings) -> Self {
        Self { settings, connections: Arc::new(Semaphore::new(MAXIMUM_CONNECTIONS)) }
    }

    fn begin(&mut self, context: &mut Context<Self>) {
        let settings = self.settings.clone();
        let connections = self.connections.clone();
        let listening = async move { listen(settings, connections).await };
        context.spawn(listening.into_actor(self).map(|outcome, _, context| {
            use actix::ActorContext;
            if let Err(error) = outcome {
                // The supervision restarts the actor after its backoff, and gives up when that does not help.
                tracing::error!(%error, "the alert listener failed");
                context.stop();
            }
        }));
        for remote in &self.settings.remotes {
            // In the context of the actor: its end is the end of the connection, and its restart connects again.
            let following = follow_broker(remote.clone(), self.settings.clone());
            context.spawn(following.into_actor(self).map(|never, _, _| match never {}));
        }
    }
}

impl Actor for AlertReceiver {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        self.begin(context);
    }
}

impl Supervised for AlertReceiver {
    /// actix calls `started` again afterwards.
    fn restarting(&mut self, _context: &mut Self::Context) {
        *self = Self::new(self.settings.clone());
    }
}

async fn listen(settings: AlertReceiverSettings, connections: Arc<Semaphore>) -> io::Result<()> {
    let listener = settings.listener.try_clone()?;
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    loop {
        let Ok(permit) = connections.clone().acquire_owned().await else { return Ok(()) };
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) if is_of_one_connection(&error) => continue,
            Err(error) => return Err(error),
        };
        if !settings.allow.allows(peer.ip()) {
            tracing::warn!(%peer, "connection refused: not in the allow list");
            continue;
        }
        let settings = settings.clone();
        let serving = actix_rt::spawn(async move {
            let _permit = permit;
            serve(stream, peer, &settings).await;
        });
        actix_rt::spawn(async move {
            if let Err(error) = serving.await
                && let Ok(payload) = error.try_into_panic()
            {
                tracing::error!(%peer, what = panic_message(payload.as_ref()), "a connection failed");
            }
        });
    }
}

/// Errors of `accept` that concern the connection, not the listener.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

async fn serve(stream: tokio::net::TcpStream, peer: SocketAddr, settings: &AlertReceiverSettings) {
    let reception = serve_author(stream, &settings.author, |packet: Vec<u8>, _event| {
        let settings = settings.clone();
        async move { accept(packet, &format!("vtp {}", peer.ip()), &settings).await }
    })
    .await;
    match reception {
        Reception::Acknowledged { .. } => {}
        Reception::Refused { ivorn, reason } => {
            tracing::warn!(%peer, ivorn, reason, "packet refused");
            count("vtp", "rejected");
        }
        Reception::Unanswered { ivorn, was_accepted, error } => {
            tracing::warn!(%peer, ivorn, was_accepted, %error, "the author did not take its answer");
        }
        Reception::Dropped { reason } => {
            tracing::warn!(%peer, %reason, "no packet accepted from this connection");
            count("vtp", "rejected");
        }
    }
}

/// Journals a packet; only then may it be acknowledged. `source` is the way it came and who sent it: `vtp 127.0.0.1`.
pub(super) async fn accept(
    packet: Vec<u8>,
    source: &str,
    settings: &AlertReceiverSettings,
) -> Decision {
    let began = Instant::now();
    let received = alerts::ReceivedPacket {
        sha256: sha256_of_bytes(&packet),
        received_at: settings.clock.now(),
        source: source.to_owned(),
        packet,
    };
    let stored = settings.journal.write(move |t| alerts::insert(t, &received)).await;
    let (alert_id, is_new) = match stored {
        Ok(stored) => stored,
        Err(error) => {
            tracing::error!(source, %error, "a packet could not be journaled: it is not acknowledged");
            return Decision::Unavailable { reason: error.to_string() };
        }
    };
    metrics::histogram!(metric::ALERT_ACKNOWLEDGE).record(began.elapsed().as_secs_f64());
    let way = source.split(' ').next().unwrap_or_default().to_owned();
    count(way, if is_new { "new" } else { "duplicate" });
    metrics::gauge!(metric::ALERT_LAST_RECEIVED).set(settings.clock.now().unix_seconds());
    tracing::info!(source, alert_id, is_new, "packet journaled");
    if is_new {
        let trigger_manager = settings.trigger_manager.clone();
        // The ack must not wait for the trigger manager: the packet is safe.
        actix_rt::spawn(async move {
            hint(&trigger_manager, TriggerManager::NAME, NoticeReceived { alert_id }).await;
        });
    }
    Decision::Accepted { at: settings.clock.now() }
}

/// One more packet, by the way it came (`vtp`, `broker`) and what became of it.
pub(super) fn count(way: impl Into<String>, result: &'static str) {
    metrics::counter!(metric::ALERTS_RECEIVED, "source" => way.into(), "result" => result)
        .increment(1);
}
