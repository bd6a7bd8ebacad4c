//! The Transport messages of the VOEvent Transport Protocol (VTP 2.0, §3.2): `iamalive`, `authenticate`, `ack` and `nak`,
//! and who may connect.

use super::xml::{Element, XmlError, XmlLimits};
use crate::{config::IpNetwork, model::UtcTime};
use quick_xml::escape::escape;
use std::{fmt::Write as _, net::IpAddr};

/// Roles of a Transport message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransportRole {
    IAmAlive,
    Authenticate,
    Acknowledge,
    /// A permanent refusal: the packet must not be sent again.
    Refuse,
}

impl TransportRole {
    const WORDS: [(&str, Self); 4] = [
        ("iamalive", Self::IAmAlive),
        ("authenticate", Self::Authenticate),
        ("ack", Self::Acknowledge),
        ("nak", Self::Refuse),
    ];

    pub fn word(self) -> &'static str {
        match self {
            Self::IAmAlive => "iamalive",
            Self::Authenticate => "authenticate",
            Self::Acknowledge => "ack",
            Self::Refuse => "nak",
        }
    }
}

/// One message.
#[derive(Debug, Clone, PartialEq)]
pub struct TransportMessage {
    pub role: TransportRole,
    /// Of `ack` and `nak`: identifier of the VOEvent.
    pub origin: String,
    /// Identifier of who answers.
    pub response: Option<String>,
    /// When it was sent; `None` if absent or unreadable (some clients write local time).
    pub time_stamp: Option<UtcTime>,
    /// `Meta/Result`: why a packet was refused.
    pub result: Option<String>,
    /// `Meta/Param` as name and value (`xpath-filter` and others).
    pub parameters: Vec<(String, String)>,
}

/// Why a text is no Transport message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    #[error(transparent)]
    Xml(#[from] XmlError),
    #[error("the root element is {root} of namespace '{namespace}', not Transport")]
    NotTransport { root: String, namespace: String },
    #[error("Transport role '{role}' is not understood; allowed: iamalive, authenticate, ack, nak")]
    Role { role: String },
    #[error("element Origin is missing")]
    NoOrigin,
}

/// All three are in use; brokers built on Comet write the last.
const NAMESPACES: [&str; 3] = [
    "http://telescope-networks.org/xml/Transport/v1.1",
    "http://telescope-networks.org/schema/Transport/v1.1",
    "http://www.telescope-networks.org/xml/Transport/v1.1",
];
const WRITTEN_NAMESPACE: &str = NAMESPACES[2];
const SCHEMA_LOCATION: &str = "http://telescope-networks.org/schema/Transport/v1.1 http://www.telescope-networks.org/schema/Transport-v1.1.xsd";

impl TransportMessage {
    /// A message without result and parameters.
    pub fn new(role: TransportRole, origin: &str, response: Option<&str>, now: UtcTime) -> Self {
        Self {
            role,
            origin: origin.to_owned(),
            response: response.map(str::to_owned),
            time_stamp: Some(now),
            result: None,
            parameters: Vec::new(),
        }
    }

    /// The refusal of a packet, with its reason.
    pub fn refusal(ivorn: &str, response: &str, reason: &str, now: UtcTime) -> Self {
        let result = Some(format!("Event rejected: {reason}"));
        Self { result, ..Self::new(TransportRole::Refuse, ivorn, Some(response), now) }
    }

    pub fn parse(bytes: &[u8]) -> Result<Self, TransportError> {
        let root = Element::parse(bytes, &XmlLimits::default(), |_| false)?;
        if root.name != "Transport" || !NAMESPACES.contains(&root.namespace.as_str()) {
            let (root, namespace) = (root.name, root.namespace);
            return Err(TransportError::NotTransport { root, namespace });
        }
        let word = root.attribute("role").unwrap_or_default().trim();
        let role = TransportRole::WORDS
            .into_iter()
            .find(|(known, _)| *known == word)
            .map(|(_, role)| role)
            .ok_or_else(|| TransportError::Role { role: word.to_owned() })?;
        let text = |name: &str| root.child(name).and_then(Element::trimmed_text);
        // What cannot be written in an answer is not there.
        let origin = text("Origin").map(without_controls).filter(|text| !text.trim().is_empty());
        let meta = root.child("Meta");
        let parameters = meta.into_iter().flat_map(|meta| meta.children_named("Param"));
        let result = meta.and_then(|meta| meta.child("Result")).and_then(Element::trimmed_text);
        Ok(Self {
            role,
            origin: origin.ok_or(TransportError::NoOrigin)?,
            response: text("Response").map(str::to_owned),
            time_stamp: text("TimeStamp").and_then(|text| UtcTime::parse(text).ok()),
            result: result.map(str::to_owned),
            parameters: parameters
                .filter_map(|parameter| {
                    let name = parameter.attribute("name")?;
                    Some((name.to_owned(), parameter.attribute("value")?.to_owned()))
                })
                .collect(),
        })
    }

    /// The message as XML, with the namespace and the order of elements that Comet writes.
    pub fn to_xml(&self) -> String {
        let mut xml = String::from("<?xml version='1.0' encoding='UTF-8'?>\n");
        let mut element = |indent: &str, name: &str, text: Option<&str>| {
            if let Some(text) = text {
                // Writing to a String cannot fail.
                let _ =
                    writeln!(xml, "{indent}<{name}>{}</{name}>", escape(without_controls(text)));
            }
        };
        let time_stamp = self.time_stamp.map(|time| format!("{}Z", time.iso_seconds()));
        element("  ", "Origin", Some(&self.origin));
        element("  ", "Response", self.response.as_deref());
        element("  ", "TimeStamp", time_stamp.as_deref());
        if self.result.is_some() || !self.parameters.is_empty() {
            xml.push_str("  <Meta>\n");
            for (name, value) in &self.parameters {
                let (name, value) = (without_controls(name), without_controls(value));
                let _ = writeln!(
                    xml,
                    "    <Param name=\"{}\" value=\"{}\"/>",
                    escape(name),
                    escape(value)
                );
            }
            if let Some(result) = &self.result {
                let result = without_controls(result);
                let _ = writeln!(xml, "    <Result>{}</Result>", escape(result));
            }
            xml.push_str("  </Meta>\n");
        }
        let (declaration, body) = xml.split_once('\n').unwrap_or(("", &xml));
        format!(
            "{declaration}\n<trn:Transport xmlns:trn=\"{WRITTEN_NAMESPACE}\" \
             xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" \
             xsi:schemaLocation=\"{SCHEMA_LOCATION}\" version=\"1.0\" role=\"{}\">\n{body}</trn:Transport>\n",
            self.role.word()
        )
    }
}

/// XML 1.0 has no control characters but tab, line feed and carriage return (§2.2).
fn without_controls(text: &str) -> String {
    let is_allowed = |letter: &char| {
        matches!(letter, '\t' | '\n' | '\r')
            || (!letter.is_control() && !matches!(letter, '\u{fffe}' | '\u{ffff}'))
    };
    text.chars().filter(is_allowed).collect()
}

/// Networks that may connect.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AllowList {
    networks: Vec<IpNetwork>,
}

impl AllowList {
    /// An empty list allows nobody.
    pub fn new(networks: Vec<IpNetwork>) -> Self {
        Self { networks }
    }

    pub fn allows(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn now() -> UtcTime {
        UtcTime::parse("2026-11-01T03:15:09Z").unwrap()
    }

    #[test]
    fn an_acknowledgement_is_written_as_comet_writes_it() {
        let message = TransportMessage::new(
            TransportRole::Acknowledge,
            "ivo://a/b#c",
            Some("ivo://svom/colibri"),
            now(),
        );
        let expected = concat!(
            "<?xml version='1.0' encoding='UTF-8'?>\n",
            "<trn:Transport xmlns:trn=\"http://www.telescope-networks.org/xml/Transport/v1.1\" ",
            "xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" ",
            "xsi:schemaLocation=\"http://telescope-networks.org/schema/Transport/v1.1 ",
            "http://www.telescope-networks.org/schema/Transport-v1.1.xsd\" version=\"1.0\" role=\"ack\">\n",
            "  <Origin>ivo://a/b#c</Origin>\n  <Response>ivo://svom/colibri</Response>\n",
            "  <TimeStamp>2026-11-01T03:15:09Z</TimeStamp>\n</trn:Transport>\n",
        );
        assert_eq!(message.to_xml(), expected);
        assert_eq!(TransportMessage::parse(expected.as_bytes()).unwrap(), message);
    }

    #[test]
    fn all_three_namespaces_are_understood_and_no_other() {
        let message = TransportMessage::new(TransportRole::IAmAlive, "ivo://a/b", None, now());
        for namespace in NAMESPACES {
            let xml = message.to_xml().replace(WRITTEN_NAMESPACE, namespace);
            assert_eq!(TransportMessage::parse(xml.as_bytes()).unwrap(), message);
        }
        let xml = message.to_xml().replace(WRITTEN_NAMESPACE, "urn:other");
        assert!(matches!(
            TransportMessage::parse(xml.as_bytes()),
            Err(TransportError::NotTransport { .. })
        ));
    }

    #[test]
    fn messages_of_other_clients_are_understood() {
        let filter = "<Transport xmlns='http://telescope-networks.org/schema/Transport/v1.1' role='authenticate' version='1.0'>\
            <Origin>ivo://broker</Origin><Response>ivo://me</Response><TimeStamp>2026-11-01T03:15:09</TimeStamp>\
            <Meta><Param name='xpath-filter' value='//Who'/></Meta></Transport>";
        let message = TransportMessage::parse(filter.as_bytes()).unwrap();
        assert_eq!(message.parameters, [("xpath-filter".to_owned(), "//Who".to_owned())]);
        assert_eq!(message.time_stamp, Some(now()));
        let odd_time = filter.replace("2026-11-01T03:15:09", "just now");
        assert_eq!(TransportMessage::parse(odd_time.as_bytes()).unwrap().time_stamp, None);
        let no_origin = filter.replace("<Origin>ivo://broker</Origin>", "");
        assert_eq!(TransportMessage::parse(no_origin.as_bytes()), Err(TransportError::NoOrigin));
        let odd_role = filter.replace("authenticate", "sing");
        assert!(matches!(
            TransportMessage::parse(odd_role.as_bytes()),
            Err(TransportError::Role { .. })
        ));
    }

    /// A regression, found by fuzzing: the answer to such a message could not be understood.
    #[test]
    fn an_origin_of_control_characters_only_is_none() {
        let message =
            TransportMessage::new(TransportRole::IAmAlive, "ivo://a/b", None, now()).to_xml();
        let parse =
            |origin: &str| TransportMessage::parse(message.replace("ivo://a/b", origin).as_bytes());
        assert_eq!(parse("\u{e}\u{0}"), Err(TransportError::NoOrigin));
        assert_eq!(parse("ivo://a\u{e}/b").unwrap().origin, "ivo://a/b");
    }

    #[test]
    fn only_listed_networks_are_allowed() {
        let list =
            AllowList::new(vec!["127.0.0.0/8".parse().unwrap(), "2001:db8::/32".parse().unwrap()]);
        let allows = |address: &str| list.allows(address.parse().unwrap());
        assert!(allows("127.0.0.1") && allows("::ffff:127.0.0.1") && allows("2001:db8::9"));
        assert!(!allows("10.0.0.1") && !allows("::1"));
        assert!(!AllowList::default().allows("127.0.0.1".parse().unwrap()));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            origin in "ivo://[a-z.]{3,9}/[a-z<>&\"']{0,9}#[A-Za-z0-9_]{1,9}",
            result in prop::option::of("[a-z<>&\"'\\]]{1,30}"),
            value in "[ -~é☃]{0,20}",
        ) {
            let message = TransportMessage {
                result,
                parameters: vec![("xpath-filter".to_owned(), value)],
                ..TransportMessage::new(TransportRole::Refuse, &origin, Some("ivo://me"), now())
            };
            prop_assert_eq!(TransportMessage::parse(message.to_xml().as_bytes()).unwrap(), message);
        }

        #[test]
        fn any_reason_gives_well_formed_xml(reason in "\\PC{0,40}|.{0,40}") {
            let message = TransportMessage::refusal("ivo://a/b#c", "ivo://me", &reason, now());
            prop_assert!(TransportMessage::parse(message.to_xml().as_bytes()).is_ok());
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = TransportMessage::parse(&bytes);
        }
    }
}
