//! The receiving side of one author's connection: one packet, stored, then acknowledged (VTP 2.0, §2.1).

use super::{
    transport::{Transport, TransportError, TransportRole, read_frame, write_frame},
    voevent::{VoEvent, VoEventError},
};
use crate::{config::alerts::AlertsSettings, model::UtcTime};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};

/// How an author is served.
#[derive(Debug, Clone, PartialEq)]
pub struct AuthorSettings {
    pub local_ivo: String,
    pub maximum_packet_bytes: usize,
    pub idle_timeout: Duration,
}

impl AuthorSettings {
    pub fn from_config(settings: &AlertsSettings) -> Self {
        Self {
            local_ivo: settings.local_ivo.clone(),
            maximum_packet_bytes: settings.maximum_packet_bytes,
            idle_timeout: Duration::from_secs_f64(settings.idle_timeout_seconds),
        }
    }
}

/// The packet is stored: it may be acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// When, for the time stamp of the ack.
    pub at: UtcTime,
}

/// The packet is not stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    pub reason: String,
    pub at: UtcTime,
}

#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    #[error(transparent)]
    Transport(#[from] TransportError),
    #[error("the author closed without a packet")]
    NoPacket,
    /// As Comet does, the connection is closed without a nak: there is no identifier to name.
    #[error("no VOEvent: {0}")]
    NoVoEvent(#[from] VoEventError),
    #[error("the packet was rejected: {0}")]
    Rejected(String),
}

/// Serves one author: reads a packet, has it stored by `store`, answers ack or nak. A packet heard before is acknowledged like any
/// other (VTP 2.0 reserves nak for permanent failures).
pub async fn serve_author<S, F, R>(
    mut stream: S,
    settings: &AuthorSettings,
    store: F,
) -> Result<(), ReceiveError>
where
    S: AsyncRead + AsyncWrite + Unpin,
    F: FnOnce(Vec<u8>) -> R,
    R: Future<Output = Result<Accepted, Rejected>>,
{
    let packet = read_frame(&mut stream, settings.maximum_packet_bytes, settings.idle_timeout)
        .await?
        .ok_or(ReceiveError::NoPacket)?;
    let ivorn = VoEvent::parse(&packet)?.ivorn;
    let outcome = store(packet).await;
    let (role, time, result) = match &outcome {
        Ok(accepted) => (TransportRole::Ack, accepted.at, None),
        Err(rejected) => {
            (TransportRole::Nak, rejected.at, Some(format!("Event rejected: {}", rejected.reason)))
        }
    };
    let answer = Transport {
        role,
        origin: ivorn,
        response: Some(settings.local_ivo.clone()),
        time: Some(time),
        result,
    };
    write_frame(&mut stream, &answer.render(), settings.idle_timeout).await?;
    outcome.map(|_| ()).map_err(|rejected| ReceiveError::Rejected(rejected.reason))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerts::author::{SendError, send};
    use tokio::net::TcpListener;

    const PACKET: &[u8] = include_bytes!("../../tests/fixtures/voevents/eclairs-wakeup.xml");

    fn settings() -> AuthorSettings {
        AuthorSettings {
            idle_timeout: Duration::from_secs(2),
            ..AuthorSettings::from_config(&AlertsSettings::default())
        }
    }

    async fn exchange(
        packet: &[u8],
        answer: Result<Accepted, Rejected>,
    ) -> (Result<(), ReceiveError>, Result<String, SendError>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = async {
            let (stream, _) = listener.accept().await.unwrap();
            serve_author(stream, &settings(), |_| async { answer }).await
        };
        tokio::join!(serving, send(address, packet, Duration::from_secs(5)))
    }

    #[tokio::test]
    async fn a_stored_packet_is_acknowledged_and_a_rejected_one_is_not() {
        let at = UtcTime::parse("2026-11-01T04:19:35Z").unwrap();
        let (served, sent) = exchange(PACKET, Ok(Accepted { at })).await;
        served.unwrap();
        assert!(sent.unwrap().contains("eclairs-wakeup"));
        let rejected = Rejected { reason: "the disk is full".to_owned(), at };
        let (served, sent) = exchange(PACKET, Err(rejected)).await;
        assert!(matches!(served, Err(ReceiveError::Rejected(_))));
        assert!(matches!(sent, Err(SendError::Nak { reason }) if reason.contains("disk is full")));
    }

    #[tokio::test]
    async fn what_is_no_event_is_closed_without_an_answer() {
        let at = UtcTime::parse("2026-11-01T04:19:35Z").unwrap();
        let (served, sent) = exchange(b"<html/>", Ok(Accepted { at })).await;
        assert!(matches!(served, Err(ReceiveError::NoVoEvent(_))));
        assert!(matches!(sent, Err(SendError::NoAnswer)));
    }
}
