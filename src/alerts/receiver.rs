//! The receiving side of one connection from an author (VTP 2.0, §4.1), as Comet keeps it: one message, one answer, close.
//!
//! Whoever accepts connections checks the address first ([`super::transport::AllowList`]), then hands the stream to
//! [`serve_author`]. The packet is acknowledged only after the caller has taken it, which is to say written it to the journal.

use super::{
    framing::{FrameDecoder, FramingError, read_frame, write_frame},
    transport::{TransportMessage, TransportRole},
    voevent::{VoEvent, VoEventError},
};
use crate::model::UtcTime;
use std::{future::Future, time::Duration};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

/// How one connection is served.
#[derive(Debug, Clone, PartialEq)]
pub struct ReceiverSettings {
    /// `Response` of the answers.
    pub local_ivo: String,
    pub maximum_packet_bytes: usize,
    /// Time the author has to send its packet, and to take the answer.
    pub idle_timeout: Duration,
}

impl ReceiverSettings {
    pub fn new(settings: &crate::config::AlertsSettings) -> Self {
        Self {
            local_ivo: settings.local_ivo.clone(),
            maximum_packet_bytes: settings.maximum_packet_bytes,
            idle_timeout: Duration::from_secs_f64(settings.idle_timeout_seconds),
        }
    }
}

/// What the caller did with a packet, and its clock's time.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// It is safe in the journal (or was already: a duplicate is acknowledged, VTP 2.0 §3.2): `ack`.
    Accepted { at: UtcTime },
    /// It will never be taken: `nak`, and the author must not send it again.
    Rejected { at: UtcTime, reason: String },
    /// It cannot be taken now (the journal fails): no answer, so that the author tries again.
    Unavailable { reason: String },
}

/// How a connection ended.
#[derive(Debug)]
pub enum Reception {
    Acknowledged {
        ivorn: String,
    },
    Refused {
        ivorn: String,
        reason: String,
    },
    /// Taken or refused, but the author did not get the answer and may send it again.
    Unanswered {
        ivorn: String,
        was_accepted: bool,
        error: FramingError,
    },
    /// Closed without an answer.
    Dropped {
        reason: DropReason,
    },
}

/// Why a connection was closed without an answer.
#[derive(Debug, thiserror::Error)]
pub enum DropReason {
    #[error("the author closed without sending anything")]
    Silence,
    #[error(transparent)]
    Framing(#[from] FramingError),
    #[error("the message is no VOEvent: {0}")]
    NotVoEvent(#[from] VoEventError),
    #[error("the packet cannot be taken now: {0}")]
    Unavailable(String),
}

/// Serves one author: reads one message within the idle timeout, drops what is no VOEvent without a word, has `on_packet`
/// decide on the others (it gets the bytes as they came and the parsed event), answers, and closes.
pub async fn serve_author<S, F, D>(
    mut stream: S,
    settings: &ReceiverSettings,
    on_packet: F,
) -> Reception
where
    S: AsyncRead + AsyncWrite + Unpin,
    F: FnOnce(Vec<u8>, VoEvent) -> D,
    D: Future<Output = Decision>,
{
    let reception = match receive(&mut stream, settings).await {
        Ok((packet, event)) => answer(&mut stream, settings, packet, event, on_packet).await,
        Err(reason) => Reception::Dropped { reason },
    };
    // The outcome stands whether or not the peer is still there.
    let _ = tokio::time::timeout(settings.idle_timeout, stream.shutdown()).await;
    reception
}

async fn receive<S: AsyncRead + Unpin>(
    stream: &mut S,
    settings: &ReceiverSettings,
) -> Result<(Vec<u8>, VoEvent), DropReason> {
    let mut decoder = FrameDecoder::new(settings.maximum_packet_bytes);
    let packet = read_frame(stream, &mut decoder, settings.idle_timeout)
        .await?
        .ok_or(DropReason::Silence)?;
    let limits = super::xml::XmlLimits {
        maximum_bytes: settings.maximum_packet_bytes,
        ..super::xml::XmlLimits::default()
    };
    let event = VoEvent::parse_within(&packet, &limits)?;
    Ok((packet, event))
}

async fn answer<S, F, D>(
    stream: &mut S,
    settings: &ReceiverSettings,
    packet: Vec<u8>,
    event: VoEvent,
    on_packet: F,
) -> Reception
where
    S: AsyncWrite + Unpin,
    F: FnOnce(Vec<u8>, VoEvent) -> D,
    D: Future<Output = Decision>,
{
    let ivorn = event.ivorn.clone();
    let response = settings.local_ivo.as_str();
    let (message, refusal) = match on_packet(packet, event).await {
        Decision::Accepted { at } => {
            let role = TransportRole::Acknowledge;
            (TransportMessage::new(role, &ivorn, Some(response), at), None)
        }
        Decision::Rejected { at, reason } => {
            (TransportMessage::refusal(&ivorn, response, &reason, at), Some(reason))
        }
        Decision::Unavailable { reason } => {
            return Reception::Dropped { reason: DropReason::Unavailable(reason) };
        }
    };
    let xml = message.to_xml();
    // The limit is on what comes from others.
    let written = write_frame(stream, xml.as_bytes(), usize::MAX, settings.idle_timeout).await;
    match (written, refusal) {
        (Ok(()), None) => Reception::Acknowledged { ivorn },
        (Ok(()), Some(reason)) => Reception::Refused { ivorn, reason },
        (Err(error), refusal) => {
            Reception::Unanswered { ivorn, was_accepted: refusal.is_none(), error }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerts::fixtures::packet;

    fn settings() -> ReceiverSettings {
        ReceiverSettings {
            idle_timeout: Duration::from_millis(200),
            ..ReceiverSettings::new(&crate::config::AlertsSettings::default())
        }
    }

    fn now() -> UtcTime {
        UtcTime::parse("2026-11-01T03:15:09Z").unwrap()
    }

    /// Sends bytes, serves them, and gives how it ended and all that came back.
    async fn exchange(bytes: &[u8], decision: Decision) -> (Reception, Vec<u8>) {
        use tokio::io::AsyncReadExt;
        let (mut author, receiver) = tokio::io::duplex(1 << 20);
        author.write_all(bytes).await.unwrap();
        let settings = settings();
        let reception = serve_author(receiver, &settings, |_, _| async { decision }).await;
        let mut answer = Vec::new();
        author.read_to_end(&mut answer).await.unwrap();
        (reception, answer)
    }

    fn framed(payload: &str) -> Vec<u8> {
        crate::alerts::framing::encode(payload.as_bytes(), usize::MAX).unwrap()
    }

    fn message(answer: &[u8]) -> TransportMessage {
        let mut decoder = FrameDecoder::new(10_000);
        decoder.push(answer);
        let message = TransportMessage::parse(&decoder.next_frame().unwrap().unwrap()).unwrap();
        assert_eq!(decoder.pending_bytes(), 0, "one answer and no more");
        message
    }

    #[tokio::test]
    async fn a_packet_taken_is_acknowledged() {
        let (author, receiver) = tokio::io::duplex(1 << 20);
        let settings = settings();
        let sent = packet("eclairs-wakeup");
        let serving = serve_author(receiver, &settings, |bytes, event| async move {
            assert_eq!(bytes, sent.as_bytes(), "the bytes as they came");
            assert_eq!(event.ivorn, "ivo://org.svom/fsc#sb26110101_eclairs-wakeup");
            Decision::Accepted { at: now() }
        });
        let authoring =
            crate::alerts::author::send_over(author, sent.as_bytes(), Duration::from_secs(5));
        let (reception, acknowledgement) = tokio::join!(serving, authoring);
        assert!(matches!(reception, Reception::Acknowledged { .. }), "{reception:?}");
        let acknowledgement = acknowledgement.unwrap();
        assert_eq!(acknowledgement.origin, "ivo://org.svom/fsc#sb26110101_eclairs-wakeup");
        assert_eq!(acknowledgement.response.as_deref(), Some("ivo://svom/colibri"));
        assert_eq!(acknowledgement.time_stamp, Some(now()));
    }

    #[tokio::test]
    async fn a_packet_refused_is_told_why() {
        let rejected = Decision::Rejected { at: now(), reason: "not <ours>".into() };
        let (reception, answer) = exchange(&framed(packet("slewing")), rejected).await;
        assert!(matches!(reception, Reception::Refused { .. }), "{reception:?}");
        let message = message(&answer);
        assert_eq!(message.role, TransportRole::Refuse);
        assert_eq!(message.result.as_deref(), Some("Event rejected: not <ours>"));
    }

    #[tokio::test]
    async fn what_is_no_voevent_is_dropped_without_an_answer() {
        let accepted = || Decision::Accepted { at: now() };
        let alive = TransportMessage::new(TransportRole::IAmAlive, "ivo://a/b", None, now());
        for payload in ["", "junk", "<html/>", &alive.to_xml(), &packet("slewing")[..500]] {
            let (reception, answer) = exchange(&framed(payload), accepted()).await;
            let is_right =
                matches!(reception, Reception::Dropped { reason: DropReason::NotVoEvent(_) });
            assert!(is_right, "{payload}: {reception:?}");
            assert_eq!(answer, b"");
        }
    }

    #[tokio::test]
    async fn silence_slowness_and_length_end_the_connection() {
        let accepted = || Decision::Accepted { at: now() };
        let (reception, answer) = exchange(b"\x00\x00\x01\x00slow", accepted()).await;
        let is_right = matches!(
            reception,
            Reception::Dropped { reason: DropReason::Framing(FramingError::Timeout { .. }) }
        );
        assert!(is_right && answer.is_empty(), "{reception:?}");
        let (reception, _) = exchange(&100_000_u32.to_be_bytes(), accepted()).await;
        let is_right = matches!(
            reception,
            Reception::Dropped { reason: DropReason::Framing(FramingError::TooLong { .. }) }
        );
        assert!(is_right, "{reception:?}");

        let (author, receiver) = tokio::io::duplex(10);
        drop(author);
        let reception = serve_author(receiver, &settings(), |_, _| async { accepted() }).await;
        assert!(matches!(reception, Reception::Dropped { reason: DropReason::Silence }));
    }

    #[tokio::test]
    async fn a_journal_that_fails_leaves_the_author_to_try_again() {
        let unavailable = Decision::Unavailable { reason: "disk full".into() };
        let (reception, answer) = exchange(&framed(packet("slewing")), unavailable).await;
        let is_right =
            matches!(reception, Reception::Dropped { reason: DropReason::Unavailable(_) });
        assert!(is_right && answer.is_empty(), "{reception:?}");
    }

    #[tokio::test]
    async fn an_author_that_leaves_early_is_known_to_have_no_answer() {
        let (mut author, receiver) = tokio::io::duplex(1 << 20);
        author.write_all(&framed(packet("slewing"))).await.unwrap();
        let settings = settings();
        let reception = serve_author(receiver, &settings, |_, _| async move {
            drop(author);
            Decision::Accepted { at: now() }
        })
        .await;
        assert!(
            matches!(reception, Reception::Unanswered { was_accepted: true, .. }),
            "{reception:?}"
        );
    }
}
