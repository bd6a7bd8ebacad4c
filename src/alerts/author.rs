//! Sending a packet as an author (VTP 2.0, §4.1), as `comet-sendvo` does: success only on an acknowledgement.

use super::{
    framing::{COMET_MAXIMUM_BYTES, FrameDecoder, FramingError, read_frame, write_frame},
    transport::{TransportError, TransportMessage, TransportRole},
};
use crate::model::UtcTime;
use std::{io, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, ToSocketAddrs},
    time::{Instant, timeout_at},
};

/// The receiver has the packet.
#[derive(Debug, Clone, PartialEq)]
pub struct Acknowledgement {
    /// Identifier of the packet, as the receiver read it.
    pub origin: String,
    /// Who has it.
    pub response: Option<String>,
    pub time_stamp: Option<UtcTime>,
}

/// Why a packet is not known to have arrived.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    #[error("cannot connect: {0}")]
    Connect(#[source] io::Error),
    #[error("no connection within {seconds} s")]
    ConnectTimeout { seconds: f64 },
    #[error(transparent)]
    Framing(#[from] FramingError),
    #[error(
        "the receiver closed without an answer: it does not understand the packet, or cannot take it now"
    )]
    NoAnswer,
    #[error("the receiver refuses the packet: {reason}")]
    Refused { reason: String },
    #[error("the answer is not understood: {0}")]
    Unintelligible(#[from] TransportError),
    #[error("the answer is '{}', neither ack nor nak", role.word())]
    UnexpectedRole { role: TransportRole },
}

impl SendError {
    /// Whether sending the same packet again may help. It does no harm even if the packet had arrived: receivers know
    /// duplicates.
    pub fn is_retry_useful(&self) -> bool {
        match self {
            Self::Refused { .. } | Self::Framing(FramingError::TooLong { .. }) => false,
            Self::Connect(_)
            | Self::ConnectTimeout { .. }
            | Self::Framing(_)
            | Self::NoAnswer
            | Self::Unintelligible(_)
            | Self::UnexpectedRole { .. } => true,
        }
    }
}

/// Sends a packet to `address` and waits for the answer, all within `timeout`.
pub async fn send(
    address: impl ToSocketAddrs,
    packet: &[u8],
    timeout: Duration,
) -> Result<Acknowledgement, SendError> {
    let end = Instant::now() + timeout;
    let stream = match timeout_at(end, TcpStream::connect(address)).await {
        Ok(connected) => connected.map_err(SendError::Connect)?,
        Err(_) => return Err(SendError::ConnectTimeout { seconds: timeout.as_secs_f64() }),
    };
    send_over(stream, packet, end.saturating_duration_since(Instant::now())).await
}

/// Sends a packet over an open connection and waits for the answer, all within `timeout`.
pub async fn send_over<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    packet: &[u8],
    timeout: Duration,
) -> Result<Acknowledgement, SendError> {
    let end = Instant::now() + timeout;
    write_frame(&mut stream, packet, COMET_MAXIMUM_BYTES, timeout).await?;
    let mut decoder = FrameDecoder::new(COMET_MAXIMUM_BYTES);
    let left = end.saturating_duration_since(Instant::now());
    let answer = read_frame(&mut stream, &mut decoder, left).await?.ok_or(SendError::NoAnswer)?;
    let message = TransportMessage::parse(&answer)?;
    match message.role {
        TransportRole::Acknowledge => Ok(Acknowledgement {
            origin: message.origin,
            response: message.response,
            time_stamp: message.time_stamp,
        }),
        TransportRole::Refuse => Err(SendError::Refused {
            reason: message.result.unwrap_or_else(|| "no reason given".to_owned()),
        }),
        role => Err(SendError::UnexpectedRole { role }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerts::{
        fixtures::packet,
        receiver::{Decision, ReceiverSettings, Reception, serve_author},
    };
    use tokio::net::TcpListener;

    const SECONDS: Duration = Duration::from_secs(5);

    /// Serves one connection on the loopback while a packet is sent to it.
    async fn send_to(decision: Decision) -> (Reception, Result<Acknowledgement, SendError>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let settings = ReceiverSettings::new(&crate::config::AlertsSettings::default());
        let serving = async {
            let (stream, _) = listener.accept().await.unwrap();
            serve_author(stream, &settings, |_, _| async { decision }).await
        };
        tokio::join!(serving, send(address, packet("mxt-initial").as_bytes(), SECONDS))
    }

    fn now() -> UtcTime {
        UtcTime::parse("2026-11-01T03:15:09Z").unwrap()
    }

    #[tokio::test]
    async fn only_an_acknowledgement_is_success() {
        let (_, sent) = send_to(Decision::Accepted { at: now() }).await;
        assert_eq!(sent.unwrap().origin, "ivo://org.svom/fsc#sb26110101_mxt-initial_qf4");

        let (_, sent) = send_to(Decision::Rejected { at: now(), reason: "no".into() }).await;
        let error = sent.unwrap_err();
        assert!(matches!(&error, SendError::Refused { reason } if reason == "Event rejected: no"));
        assert!(!error.is_retry_useful());

        let (_, sent) = send_to(Decision::Unavailable { reason: "disk full".into() }).await;
        let error = sent.unwrap_err();
        assert!(matches!(error, SendError::NoAnswer), "{error:?}");
        assert!(error.is_retry_useful());
    }

    #[tokio::test]
    async fn nobody_there_or_nobody_answering() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let sent = send(address, b"<x/>", Duration::from_millis(50)).await;
        assert!(matches!(sent, Err(SendError::Framing(FramingError::Timeout { .. }))), "{sent:?}");
        drop(listener);
        let sent = send(address, b"<x/>", SECONDS).await;
        assert!(matches!(sent, Err(SendError::Connect(_))), "{sent:?}");
    }

    #[tokio::test]
    async fn a_packet_too_long_for_any_broker_is_not_sent() {
        let (stream, _peer) = tokio::io::duplex(10);
        let sent = send_over(stream, &[b' '; COMET_MAXIMUM_BYTES + 1], SECONDS).await;
        assert!(matches!(sent, Err(SendError::Framing(FramingError::TooLong { .. }))));
    }
}
