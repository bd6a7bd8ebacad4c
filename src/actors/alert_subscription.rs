//! Following a broker: packets it sends are journaled as those of authors are, and acknowledged after that.

use super::alert_receiver::{AlertReceiverSettings, accept, count};
use crate::{
    alerts::{Decision, SubscriptionEvent, follow},
    model::metric,
};
use std::{convert::Infallible, time::Duration};

/// A packet that cannot be journaled is tried so often before the connection is given up: the broker sends it only once.
const JOURNAL_TRIES: u32 = 30;
const JOURNAL_TRY_INTERVAL: Duration = Duration::from_secs(1);

/// Follows one broker until it is dropped.
pub(super) async fn follow_broker(remote: String, settings: AlertReceiverSettings) -> Infallible {
    let mut away = Some(Away::new());
    let source = format!("broker {remote}");
    let on_packet = |packet: Vec<u8>, _event| {
        let (source, settings) = (source.clone(), settings.clone());
        async move {
            let mut tries = 1;
            loop {
                let decision = accept(packet.clone(), &source, &settings).await;
                if tries >= JOURNAL_TRIES || !matches!(decision, Decision::Unavailable { .. }) {
                    return decision;
                }
                tries += 1;
                tokio::time::sleep(JOURNAL_TRY_INTERVAL).await;
            }
        }
    };
    let clock = settings.clock.clone();
    follow(
        &remote,
        &settings.subscriber,
        || clock.now(),
        on_packet,
        |event| tell(&remote, event, &mut away),
    )
    .await
}

fn tell(remote: &str, event: SubscriptionEvent, away: &mut Option<Away>) {
    match event {
        SubscriptionEvent::Connected => {
            tracing::info!(remote, "connected to the broker");
            *away = None;
        }
        SubscriptionEvent::Greeted(role) => {
            tracing::debug!(remote, role = role.word(), "the broker was answered");
        }
        SubscriptionEvent::Acknowledged { ivorn } => {
            tracing::debug!(remote, ivorn, "acknowledged to the broker");
        }
        SubscriptionEvent::Rejected { ivorn, reason } => {
            tracing::warn!(remote, ivorn, reason, "packet refused");
            count("broker", "rejected");
        }
        SubscriptionEvent::Unintelligible { reason } => {
            tracing::warn!(remote, reason, "a message of the broker means nothing here");
            count("broker", "rejected");
        }
        SubscriptionEvent::Parted { reason, wait } => {
            let seconds = wait.as_secs_f64();
            tracing::warn!(remote, %reason, again_in_seconds = seconds, "not connected to the broker");
            away.get_or_insert_with(Away::new);
        }
    }
}

/// A broker there is no connection to, counted for as long as this lives.
struct Away;

impl Away {
    fn new() -> Self {
        metrics::gauge!(metric::ALERT_BROKERS_AWAY).increment(1.0);
        Self
    }
}

impl Drop for Away {
    fn drop(&mut self) {
        metrics::gauge!(metric::ALERT_BROKERS_AWAY).decrement(1.0);
    }
}
