//! The subscriber against brokers made here: real sockets on loopback, order and content of what happens.

use super::{
    fixtures::packet,
    framing::{COMET_MAXIMUM_BYTES, FrameDecoder, encode, read_frame},
    receiver::Decision,
    subscriber::{Parting, SubscriberSettings, SubscriptionEvent, follow},
    transport::{TransportMessage, TransportRole},
};
use crate::model::UtcTime;
use std::{cell::RefCell, net::SocketAddr, rc::Rc, time::Duration};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
};

const PATIENCE: Duration = Duration::from_secs(20);

fn now() -> UtcTime {
    UtcTime::parse("2026-11-01T03:15:09Z").unwrap()
}

fn settings() -> SubscriberSettings {
    SubscriberSettings {
        silence: PATIENCE,
        patience: PATIENCE,
        reconnection: [Duration::from_millis(2), Duration::from_millis(10)],
        ..SubscriberSettings::new(&crate::config::AlertsSettings::default())
    }
}

/// A broker's end of one connection.
struct Broker {
    stream: TcpStream,
    decoder: FrameDecoder,
}

impl Broker {
    async fn accept(listener: &TcpListener) -> Self {
        let accepted = tokio::time::timeout(PATIENCE, listener.accept()).await;
        let (stream, _) = accepted.expect("nobody connects").unwrap();
        Self { stream, decoder: FrameDecoder::new(COMET_MAXIMUM_BYTES) }
    }

    async fn send(&mut self, payload: &str) {
        let bytes = encode(payload.as_bytes(), usize::MAX).unwrap();
        self.stream.write_all(&bytes).await.unwrap();
    }

    async fn say(&mut self, role: TransportRole) {
        self.send(&TransportMessage::new(role, "ivo://broker/x", None, now()).to_xml()).await;
    }

    /// The next message of the subscriber; `None` if it has closed.
    async fn hear(&mut self) -> Option<TransportMessage> {
        let bytes = read_frame(&mut self.stream, &mut self.decoder, PATIENCE).await.unwrap()?;
        Some(TransportMessage::parse(&bytes).unwrap())
    }

    async fn heard_role(&mut self) -> Option<TransportRole> {
        self.hear().await.map(|message| message.role)
    }
}

#[derive(Default)]
struct Seen {
    packets: RefCell<Vec<Vec<u8>>>,
    events: RefCell<Vec<String>>,
}

/// One word for an event.
fn word(event: &SubscriptionEvent) -> &'static str {
    match event {
        SubscriptionEvent::Connected => "connected",
        SubscriptionEvent::Greeted(_) => "greeted",
        SubscriptionEvent::Acknowledged { .. } => "acknowledged",
        SubscriptionEvent::Rejected { .. } => "rejected",
        SubscriptionEvent::Unintelligible { .. } => "unintelligible",
        SubscriptionEvent::Parted { reason, .. } => match reason {
            Parting::Unreachable(_) | Parting::ConnectTimeout { .. } => "unreachable",
            Parting::Closed => "closed",
            Parting::Silent { .. } => "silent",
            Parting::Framing(_) => "framing",
            Parting::Unintelligible { .. } => "given up",
            Parting::Unavailable { .. } => "unavailable",
        },
    }
}

/// Follows `address` while `story` goes on, taking every packet as `decision` says.
async fn while_following<F: Future<Output = ()>>(
    address: SocketAddr,
    settings: SubscriberSettings,
    decision: impl Fn() -> Decision,
    story: F,
) -> Rc<Seen> {
    let seen = Rc::new(Seen::default());
    let on_packet = |bytes: Vec<u8>, _| {
        seen.packets.borrow_mut().push(bytes);
        std::future::ready(decision())
    };
    let observe = |event: SubscriptionEvent| seen.events.borrow_mut().push(word(&event).to_owned());
    let remote = address.to_string();
    tokio::select! {
        never = follow(&remote, &settings, now, on_packet, observe) => match never {},
        () = story => {}
    }
    seen.clone()
}

fn accepted() -> Decision {
    Decision::Accepted { at: now() }
}

#[tokio::test]
async fn a_broker_is_greeted_and_its_packets_are_acknowledged() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let story = async {
        let mut broker = Broker::accept(&listener).await;
        broker.say(TransportRole::Authenticate).await;
        let answer = broker.hear().await.unwrap();
        assert_eq!(answer.role, TransportRole::Authenticate);
        assert_eq!(answer.origin, "ivo://broker/x");
        assert_eq!(answer.response.as_deref(), Some("ivo://svom/colibri"));
        broker.say(TransportRole::IAmAlive).await;
        assert_eq!(broker.heard_role().await, Some(TransportRole::IAmAlive));
        // Two at once: taken one after the other.
        broker.send(packet("grm-preliminary")).await;
        broker.send(packet("mxt-initial")).await;
        let first = broker.hear().await.unwrap();
        assert_eq!(first.role, TransportRole::Acknowledge);
        let second = broker.hear().await.unwrap();
        assert_eq!(second.origin, "ivo://org.svom/fsc#sb26110101_mxt-initial_qf4");
    };
    let address = listener.local_addr().unwrap();
    let seen = while_following(address, settings(), accepted, story).await;
    let expected =
        [packet("grm-preliminary"), packet("mxt-initial")].map(|p| p.as_bytes().to_vec());
    assert_eq!(*seen.packets.borrow(), expected, "the bytes as they came");
}

#[tokio::test]
async fn a_broker_is_followed_through_its_restarts() {
    let first = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = first.local_addr().unwrap();
    let story = async move {
        let mut broker = Broker::accept(&first).await;
        broker.send(packet("grm-preliminary")).await;
        assert_eq!(broker.heard_role().await, Some(TransportRole::Acknowledge));
        // It goes, and its port with it: the subscriber finds nobody.
        drop((broker, first));
        tokio::time::sleep(Duration::from_millis(50)).await;
        let second = TcpListener::bind(address).await.unwrap();
        let mut broker = Broker::accept(&second).await;
        // Cut in the middle of a packet.
        let bytes = encode(packet("slewing").as_bytes(), usize::MAX).unwrap();
        broker.stream.write_all(&bytes[..bytes.len() / 2]).await.unwrap();
        drop(broker);
        let mut broker = Broker::accept(&second).await;
        broker.send(packet("slewing")).await;
        assert_eq!(broker.heard_role().await, Some(TransportRole::Acknowledge));
    };
    let seen = while_following(address, settings(), accepted, story).await;
    let expected = [packet("grm-preliminary"), packet("slewing")].map(|p| p.as_bytes().to_vec());
    assert_eq!(*seen.packets.borrow(), expected);
    let mut events = seen.events.borrow().clone();
    assert!(events.iter().any(|event| event == "unreachable"), "{events:?}");
    events.retain(|event| event != "unreachable");
    let order = ["connected", "acknowledged", "closed", "connected", "framing", "connected"];
    assert_eq!(events[..order.len()], order, "{events:?}");
}

#[tokio::test]
async fn a_silent_broker_is_given_up_and_connected_to_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let story = async {
        let mut silent = Broker::accept(&listener).await;
        // Bytes that never become a message are silence, too.
        silent.stream.write_all(b"\x00\x00\x01\x00never").await.unwrap();
        assert!(silent.heard_role().await.is_none());
        // On a busy machine the next connections may be silent for too long as well.
        loop {
            let mut speaking = Broker::accept(&listener).await;
            let bytes = encode(packet("slewing").as_bytes(), usize::MAX).unwrap();
            let sent = speaking.stream.write_all(&bytes).await;
            let heard = read_frame(&mut speaking.stream, &mut speaking.decoder, PATIENCE).await;
            if let (Ok(()), Ok(Some(_))) = (sent, heard) {
                break;
            }
        }
    };
    let settings = SubscriberSettings { silence: Duration::from_millis(60), ..settings() };
    let address = listener.local_addr().unwrap();
    let seen = while_following(address, settings, accepted, story).await;
    let events = seen.events.borrow();
    assert_eq!(events[..3], ["connected", "silent", "connected"], "{events:?}");
    assert!(!seen.packets.borrow().is_empty());
}

#[tokio::test]
async fn broken_messages_do_not_end_a_connection_and_broken_frames_do() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let story = async {
        let mut broker = Broker::accept(&listener).await;
        broker.send("").await;
        broker.send("junk").await;
        broker.send(&packet("slewing")[..500]).await;
        broker.send("<!DOCTYPE a [<!ENTITY b 'bb'>]><a>&b;</a>").await;
        broker.say(TransportRole::Acknowledge).await;
        broker.send(packet("slewing")).await;
        assert_eq!(broker.heard_role().await, Some(TransportRole::Acknowledge));
        broker.stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        // It hangs up; bytes unread on its side make that a reset rather than a close.
        let _ = read_frame(&mut broker.stream, &mut broker.decoder, PATIENCE).await;
        let mut broker = Broker::accept(&listener).await;
        for _ in 0..10 {
            broker.send("junk").await;
        }
        assert!(broker.heard_role().await.is_none());
        let mut broker = Broker::accept(&listener).await;
        broker.say(TransportRole::IAmAlive).await;
        assert_eq!(broker.heard_role().await, Some(TransportRole::IAmAlive));
    };
    let address = listener.local_addr().unwrap();
    let seen = while_following(address, settings(), accepted, story).await;
    let events = seen.events.borrow();
    let mut expected = vec!["connected"];
    expected.extend(["unintelligible"; 5]);
    expected.extend(["acknowledged", "framing", "connected"]);
    expected.extend(["unintelligible"; 9]);
    expected.extend(["given up", "connected"]);
    assert_eq!(events[..expected.len()], expected, "{events:?}");
    assert_eq!(seen.packets.borrow().len(), 1);
}

#[tokio::test]
async fn what_cannot_be_journaled_is_not_acknowledged_and_what_is_refused_is() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let story = async {
        let mut broker = Broker::accept(&listener).await;
        broker.send(packet("slewing")).await;
        assert!(broker.heard_role().await.is_none(), "closed without an answer");
        drop(Broker::accept(&listener).await);
    };
    let unavailable = || Decision::Unavailable { reason: "disk full".into() };
    let seen = while_following(address, settings(), unavailable, story).await;
    assert_eq!(seen.events.borrow()[..2], ["connected", "unavailable"]);

    let story = async {
        let mut broker = Broker::accept(&listener).await;
        broker.send(packet("slewing")).await;
        // A nak would end the subscription at a Comet broker.
        assert_eq!(broker.heard_role().await, Some(TransportRole::Acknowledge));
        broker.say(TransportRole::IAmAlive).await;
        assert_eq!(broker.heard_role().await, Some(TransportRole::IAmAlive));
    };
    let rejected = || Decision::Rejected { at: now(), reason: "no".into() };
    let seen = while_following(address, settings(), rejected, story).await;
    assert_eq!(seen.events.borrow()[..2], ["connected", "rejected"]);
}
