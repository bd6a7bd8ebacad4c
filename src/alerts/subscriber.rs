//! The receiving side of a connection to a broker (VTP 2.0, §4.2), and the loop that holds one for ever.
//!
//! A broker keeps nothing for those who are away: what it sends while there is no connection is not heard. So a lost
//! connection is made again soon, a silent one is given up, and both are told.

use super::{
    framing::{FrameDecoder, FramingError, read_frame, write_frame},
    receiver::Decision,
    reconnection::Reconnection,
    transport::{TransportMessage, TransportRole},
    voevent::{VoEvent, VoEventError},
    xml::XmlLimits,
};
use crate::model::UtcTime;
use std::{convert::Infallible, future::Future, io, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};

/// So many messages in a row that are neither packet nor transport end a connection: nothing sensible speaks there.
const UNINTELLIGIBLE_IN_A_ROW: u32 = 10;

/// How a broker is followed.
#[derive(Debug, Clone, PartialEq)]
pub struct SubscriberSettings {
    /// `Response` of the answers.
    pub local_ivo: String,
    pub maximum_packet_bytes: usize,
    /// Without a complete message for so long a connection is given up. Brokers send `iamalive` every minute.
    pub silence: Duration,
    /// Time to connect, and time the broker has to take an answer.
    pub patience: Duration,
    /// The first wait before connecting again, and the longest.
    pub reconnection: [Duration; 2],
}

impl SubscriberSettings {
    pub fn new(settings: &crate::config::AlertsSettings) -> Self {
        Self {
            local_ivo: settings.local_ivo.clone(),
            maximum_packet_bytes: settings.maximum_packet_bytes,
            silence: Duration::from_secs_f64(settings.silence_seconds),
            patience: Duration::from_secs_f64(settings.idle_timeout_seconds),
            reconnection: settings.reconnect_seconds.map(Duration::from_secs_f64),
        }
    }
}

/// What happens on the way.
#[derive(Debug)]
pub enum SubscriptionEvent {
    Connected,
    /// `iamalive` or `authenticate` was heard and answered.
    Greeted(TransportRole),
    /// A packet was taken, and the broker told so.
    Acknowledged {
        ivorn: String,
    },
    /// A packet will never be taken. The broker is told `ack`: after a `nak` it would send nothing more.
    Rejected {
        ivorn: String,
        reason: String,
    },
    /// A message that means nothing here. It is not answered.
    Unintelligible {
        reason: String,
    },
    /// The connection is over; another is tried after the wait.
    Parted {
        reason: Parting,
        wait: Duration,
    },
}

/// Why a connection to a broker is over, or never was. Connecting again is safe in each case.
#[derive(Debug, thiserror::Error)]
pub enum Parting {
    #[error("cannot connect: {0}")]
    Unreachable(#[source] io::Error),
    #[error("no connection within {seconds} s")]
    ConnectTimeout { seconds: f64 },
    #[error("the broker closed the connection")]
    Closed,
    #[error("nothing was heard for {seconds} s, not even iamalive")]
    Silent { seconds: f64 },
    #[error(transparent)]
    Framing(FramingError),
    #[error(
        "{UNINTELLIGIBLE_IN_A_ROW} messages in a row were not understood, the last one: {reason}"
    )]
    Unintelligible { reason: String },
    #[error("the packet {ivorn} cannot be taken now: {reason}")]
    Unavailable { ivorn: String, reason: String },
}

/// A message of a broker.
enum Message {
    Packet(VoEvent),
    Transport(TransportMessage),
}

/// Follows the broker at `remote` (`host:port`; the name is looked up each time) until it is dropped. `on_packet` gets the
/// bytes as they came and the parsed event, one after the other; its packet is acknowledged only after it has decided.
pub async fn follow<N, P, D, O>(
    remote: &str,
    settings: &SubscriberSettings,
    now: N,
    mut on_packet: P,
    mut observe: O,
) -> Infallible
where
    N: Fn() -> UtcTime,
    P: FnMut(Vec<u8>, VoEvent) -> D,
    D: Future<Output = Decision>,
    O: FnMut(SubscriptionEvent),
{
    let [first, longest] = settings.reconnection;
    let mut reconnection = Reconnection::new(first, longest);
    loop {
        let connecting = tokio::time::timeout(settings.patience, TcpStream::connect(remote));
        let reason = match connecting.await {
            Ok(Ok(stream)) => {
                observe(SubscriptionEvent::Connected);
                let observe = |event: SubscriptionEvent| {
                    // A broker that closes at once, before a word, does not want us: the waits go on growing.
                    if matches!(
                        event,
                        SubscriptionEvent::Greeted(_) | SubscriptionEvent::Acknowledged { .. }
                    ) {
                        reconnection.reset();
                    }
                    observe(event);
                };
                listen_to_broker(stream, settings, &now, &mut on_packet, observe).await
            }
            Ok(Err(error)) => Parting::Unreachable(error),
            Err(_) => Parting::ConnectTimeout { seconds: settings.patience.as_secs_f64() },
        };
        let wait = reconnection.next_wait();
        observe(SubscriptionEvent::Parted { reason, wait });
        tokio::time::sleep(wait).await;
    }
}

/// Listens to a broker over an open connection until it is over, and says why it is.
pub async fn listen_to_broker<S, N, P, D, O>(
    mut stream: S,
    settings: &SubscriberSettings,
    now: &N,
    on_packet: &mut P,
    mut observe: O,
) -> Parting
where
    S: AsyncRead + AsyncWrite + Unpin,
    N: Fn() -> UtcTime,
    P: FnMut(Vec<u8>, VoEvent) -> D,
    D: Future<Output = Decision>,
    O: FnMut(SubscriptionEvent),
{
    let mut decoder = FrameDecoder::new(settings.maximum_packet_bytes);
    let mut unintelligible = 0;
    let parting = loop {
        let bytes = match read_frame(&mut stream, &mut decoder, settings.silence).await {
            Ok(Some(bytes)) => bytes,
            Ok(None) => break Parting::Closed,
            Err(FramingError::Timeout { seconds }) => break Parting::Silent { seconds },
            Err(error) => break Parting::Framing(error),
        };
        let (answer, event) = match understand(&bytes, settings.maximum_packet_bytes) {
            Ok(Message::Packet(event)) => {
                let ivorn = event.ivorn.clone();
                let (at, event) = match on_packet(bytes, event).await {
                    Decision::Accepted { at } => {
                        (at, SubscriptionEvent::Acknowledged { ivorn: ivorn.clone() })
                    }
                    Decision::Rejected { at, reason } => {
                        (at, SubscriptionEvent::Rejected { ivorn: ivorn.clone(), reason })
                    }
                    Decision::Unavailable { reason } => {
                        break Parting::Unavailable { ivorn, reason };
                    }
                };
                (answer_of(settings, TransportRole::Acknowledge, &ivorn, at), event)
            }
            Ok(Message::Transport(message)) => match message.role {
                role @ (TransportRole::IAmAlive | TransportRole::Authenticate) => {
                    let answer = answer_of(settings, role, &message.origin, now());
                    (answer, SubscriptionEvent::Greeted(role))
                }
                TransportRole::Acknowledge | TransportRole::Refuse => {
                    let reason = format!("a broker does not send {}", message.role.word());
                    observe(SubscriptionEvent::Unintelligible { reason });
                    continue;
                }
            },
            Err(error) => {
                let reason = error.to_string();
                unintelligible += 1;
                if unintelligible >= UNINTELLIGIBLE_IN_A_ROW {
                    break Parting::Unintelligible { reason };
                }
                observe(SubscriptionEvent::Unintelligible { reason });
                continue;
            }
        };
        unintelligible = 0;
        // The limit is on what comes from others.
        let answer = answer.to_xml();
        match write_frame(&mut stream, answer.as_bytes(), usize::MAX, settings.patience).await {
            Ok(()) => observe(event),
            Err(error) => break Parting::Framing(error),
        }
    };
    // The connection is given up whether or not the broker is still there.
    let _ = tokio::time::timeout(settings.patience, stream.shutdown()).await;
    parting
}

fn answer_of(
    settings: &SubscriberSettings,
    role: TransportRole,
    origin: &str,
    at: UtcTime,
) -> TransportMessage {
    TransportMessage::new(role, origin, Some(&settings.local_ivo), at)
}

/// A packet, or else a transport message; the error is the one of the packet.
fn understand(bytes: &[u8], maximum_bytes: usize) -> Result<Message, VoEventError> {
    let limits = XmlLimits { maximum_bytes, ..XmlLimits::default() };
    match VoEvent::parse_within(bytes, &limits) {
        Ok(event) => Ok(Message::Packet(event)),
        Err(error) => TransportMessage::parse(bytes).map(Message::Transport).map_err(|_| error),
    }
}
