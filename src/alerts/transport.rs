//! The VOEvent Transport Protocol 2.0 (IVOA Recommendation 2017-03-20): frames of a 4-byte big-endian length and XML, and
//! the Transport messages.

use super::xml::{Element, XmlLimits};
use crate::{config::IpNetwork, model::UtcTime};
use std::{fmt::Write, io, net::IpAddr, time::Duration};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Namespaces in use; Comet sends the last (domain.md §2.1).
const NAMESPACES: [&str; 3] = [
    "http://telescope-networks.org/xml/Transport/v1.1",
    "http://telescope-networks.org/schema/Transport/v1.1",
    "http://www.telescope-networks.org/xml/Transport/v1.1",
];
const LENGTH_BYTES: usize = 4;

#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    #[error("connection: {0}")]
    Io(#[from] io::Error),
    #[error("nothing heard for {} s", .0.as_secs_f64())]
    Timeout(Duration),
    #[error("a message of {length} bytes is longer than {limit}")]
    TooLong { length: usize, limit: usize },
    #[error("an empty message")]
    Empty,
    #[error("not a Transport message: {0}")]
    NoTransport(String),
}

/// Reads one frame. The length is checked before anything is allocated. `None`: the far side closed before a new one began.
pub async fn read_frame<S: AsyncRead + Unpin>(
    stream: &mut S,
    limit: usize,
    timeout: Duration,
) -> Result<Option<Vec<u8>>, TransportError> {
    tokio::time::timeout(timeout, read_whole_frame(stream, limit))
        .await
        .map_err(|_| TransportError::Timeout(timeout))?
}

async fn read_whole_frame<S: AsyncRead + Unpin>(
    stream: &mut S,
    limit: usize,
) -> Result<Option<Vec<u8>>, TransportError> {
    let mut prefix = [0; LENGTH_BYTES];
    let first = stream.read(&mut prefix[..1]).await?;
    if first == 0 {
        return Ok(None);
    }
    stream.read_exact(&mut prefix[1..]).await?;
    let length = u32::from_be_bytes(prefix) as usize;
    if length == 0 {
        return Err(TransportError::Empty);
    }
    if length > limit {
        return Err(TransportError::TooLong { length, limit });
    }
    let mut payload = vec![0; length];
    stream.read_exact(&mut payload).await?;
    Ok(Some(payload))
}

/// Writes one frame.
pub async fn write_frame<S: AsyncWrite + Unpin>(
    stream: &mut S,
    payload: &[u8],
    timeout: Duration,
) -> Result<(), TransportError> {
    let length = u32::try_from(payload.len())
        .map_err(|_| TransportError::TooLong { length: payload.len(), limit: u32::MAX as usize })?;
    let writing = async {
        stream.write_all(&length.to_be_bytes()).await?;
        stream.write_all(payload).await?;
        stream.flush().await
    };
    tokio::time::timeout(timeout, writing)
        .await
        .map_err(|_| TransportError::Timeout(timeout))?
        .map_err(TransportError::Io)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransportRole {
    IAmAlive,
    Authenticate,
    Ack,
    Nak,
}

impl TransportRole {
    fn name(self) -> &'static str {
        match self {
            Self::IAmAlive => "iamalive",
            Self::Authenticate => "authenticate",
            Self::Ack => "ack",
            Self::Nak => "nak",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::IAmAlive, Self::Authenticate, Self::Ack, Self::Nak]
            .into_iter()
            .find(|role| role.name() == name)
    }
}

/// A Transport message.
#[derive(Debug, Clone, PartialEq)]
pub struct Transport {
    pub role: TransportRole,
    /// Of an ack or nak: the identifier of the event. Else the sender.
    pub origin: String,
    pub response: Option<String>,
    pub time: Option<UtcTime>,
    /// `Meta/Result`: why an event was rejected.
    pub result: Option<String>,
}

impl Transport {
    /// Reads a message in any of the three namespaces.
    pub fn parse(payload: &[u8]) -> Result<Self, TransportError> {
        let failed = |what: &str| TransportError::NoTransport(what.to_owned());
        let root =
            Element::parse(payload, &XmlLimits::default(), |name| NAMESPACES.contains(&name))
                .map_err(|error| TransportError::NoTransport(error.to_string()))?;
        if root.name != "Transport" || !NAMESPACES.contains(&root.namespace.as_str()) {
            return Err(failed("the root element is another one"));
        }
        let role = root.attribute("role").unwrap_or_default();
        let text = |path: &[&str]| {
            root.descendant(path).and_then(Element::trimmed_text).map(str::to_owned)
        };
        Ok(Self {
            role: TransportRole::from_name(role).ok_or_else(|| failed("unknown role"))?,
            origin: text(&["Origin"]).ok_or_else(|| failed("there is no Origin"))?,
            response: text(&["Response"]),
            time: text(&["TimeStamp"]).and_then(|text| UtcTime::parse(&text).ok()),
            result: text(&["Meta", "Result"]),
        })
    }

    /// The message as Comet writes it: Origin, Response, TimeStamp, Meta.
    pub fn render(&self) -> Vec<u8> {
        let namespace = NAMESPACES[2];
        let mut text = format!(
            "<?xml version='1.0' encoding='UTF-8'?>\n<trn:Transport xmlns:trn=\"{namespace}\" version=\"1.0\" role=\"{}\">",
            self.role.name()
        );
        let mut element = |name: &str, value: &Option<String>| {
            if let Some(value) = value {
                // Writing to a String cannot fail.
                let _ = write!(text, "<{name}>{}</{name}>", escaped(value));
            }
        };
        element("Origin", &Some(self.origin.clone()));
        element("Response", &self.response);
        element("TimeStamp", &self.time.map(|time| format!("{}Z", time.iso_seconds())));
        if let Some(result) = &self.result {
            let _ = write!(text, "<Meta><Result>{}</Result></Meta>", escaped(result));
        }
        text += "</trn:Transport>";
        text.into_bytes()
    }
}

fn escaped(text: &str) -> String {
    quick_xml::escape::escape(text).into_owned()
}

/// Who may connect.
#[derive(Debug, Clone, PartialEq)]
pub struct AllowList {
    networks: Vec<IpNetwork>,
}

impl AllowList {
    pub fn new(networks: &[IpNetwork]) -> Self {
        Self { networks: networks.to_vec() }
    }

    /// An IPv4 address that came over an IPv6 socket is looked up as what it is.
    pub fn allows(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks.iter().any(|network| network.contains(address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PATIENCE: Duration = Duration::from_secs(5);

    fn block_on<F: Future>(future: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
    }

    proptest! {
        #[test]
        fn frames_survive_any_split(
            payload in proptest::collection::vec(any::<u8>(), 1..2000),
            chunk in 1_usize..70,
        ) {
            let read = block_on(async {
                let (mut near, mut far) = tokio::io::duplex(chunk);
                let sent = payload.clone();
                let writing = tokio::spawn(async move {
                    write_frame(&mut near, &sent, PATIENCE).await.unwrap();
                });
                let read = read_frame(&mut far, 4000, PATIENCE).await.unwrap().unwrap();
                writing.await.unwrap();
                assert!(read_frame(&mut far, 4000, PATIENCE).await.unwrap().is_none());
                read
            });
            prop_assert_eq!(read, payload);
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = Transport::parse(&bytes);
            block_on(async {
                let mut stream: &[u8] = &bytes;
                let _ = read_frame(&mut stream, 300, PATIENCE).await;
            });
        }
    }

    #[test]
    fn a_length_beyond_the_limit_is_refused_before_it_is_read() {
        block_on(async {
            let mut stream: &[u8] = &[0xff, 0xff, 0xff, 0xff, 1, 2, 3];
            let error = read_frame(&mut stream, 99_999, PATIENCE).await.unwrap_err();
            assert!(matches!(error, TransportError::TooLong { length: 0xffff_ffff, .. }));
        });
    }

    #[test]
    fn messages_of_all_namespaces_are_read_and_ours_round_trip() {
        let message = Transport {
            role: TransportRole::Nak,
            origin: "ivo://org.svom/fsc#sb26110101_eclairs-wakeup".to_owned(),
            response: Some("ivo://svom/colibri".to_owned()),
            time: Some(UtcTime::parse("2026-11-01T04:19:35Z").unwrap()),
            result: Some("a < b & c".to_owned()),
        };
        let written = String::from_utf8(message.render()).unwrap();
        for namespace in NAMESPACES {
            let other = written.replace(NAMESPACES[2], namespace);
            assert_eq!(Transport::parse(other.as_bytes()).unwrap(), message);
        }
        let foreign = written.replace(NAMESPACES[2], "http://example.org/");
        assert!(Transport::parse(foreign.as_bytes()).is_err());
    }

    #[test]
    fn networks_decide_who_may_connect() {
        let networks = ["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()];
        let list = AllowList::new(&networks);
        for (address, allowed) in [
            ("127.0.0.1", true),
            ("::1", true),
            ("::ffff:127.0.0.1", true),
            ("192.0.2.1", false),
            ("2001:db8::1", false),
        ] {
            assert_eq!(list.allows(address.parse().unwrap()), allowed, "{address}");
        }
    }
}
