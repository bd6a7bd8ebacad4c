//! Our own writer of SVOM-like VOEvents (VOEvent 2.0, IVOA Recommendation 2011-07-11; element layout of domain.md §1.2).

use crate::model::{PositionEstimate, Role, SkyPosition, UtcTime};
use quick_xml::escape::escape;

/// Authority and stream of the packets.
const STREAM: &str = "ivo://org.svom/fsc";

/// One `What` parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    pub name: &'static str,
    pub value: String,
    pub unit: Option<&'static str>,
    pub ucd: &'static str,
}

impl Parameter {
    pub fn new(
        name: &'static str,
        value: impl Into<String>,
        unit: Option<&'static str>,
        ucd: &'static str,
    ) -> Self {
        Self { name, value: value.into(), unit, ucd }
    }
}

/// What a packet says.
#[derive(Debug, Clone, PartialEq)]
pub struct PacketContent {
    pub role: Role,
    pub packet_type: u32,
    /// Last part of the IVORN: `eclairs-wakeup`.
    pub notice_type: String,
    pub instrument: &'static str,
    pub notice_level: &'static str,
    pub burst_id: String,
    /// `Alert_Seq_T0`.
    pub sequence_t0: Option<UtcTime>,
    pub sent_at: UtcTime,
    /// `ISOTime`.
    pub event_time: UtcTime,
    pub position: Option<PositionEstimate>,
    pub detection: Vec<Parameter>,
    pub target: Vec<Parameter>,
    pub satellite: Vec<Parameter>,
    /// Notice types of the same burst that this one follows.
    pub follows: Vec<String>,
}

/// IVORN of a notice of a burst.
pub fn ivorn(burst_id: &str, notice_type: &str) -> String {
    format!("{STREAM}#{burst_id}_{notice_type}")
}

/// Instant as SVOM writes it in parameters.
pub fn parameter_time(instant: UtcTime) -> String {
    format!("{}Z", instant.iso_milliseconds())
}

/// Galactic coordinates and the angle to the Sun, as ECLAIRs and MXT packets carry them.
pub fn target_parameters(position: SkyPosition, instant: UtcTime) -> Vec<Parameter> {
    let (longitude, latitude) = position.galactic_degrees();
    let sun_angle = position.separation_arcsec(sun_position(instant)) / 3600.0;
    let degrees = Some("deg");
    vec![
        Parameter::new("Galactic_Lon", format!("{longitude:.2}"), degrees, "pos.galactic.lon"),
        Parameter::new("Galactic_Lat", format!("{latitude:.2}"), degrees, "pos.galactic.lat"),
        Parameter::new("Sun_Angle", format!("{sun_angle:.2}"), degrees, "pos.angDistance"),
    ]
}

/// Apparent position of the Sun to 0.01° (Astronomical Almanac, C5, low precision formulae).
fn sun_position(instant: UtcTime) -> SkyPosition {
    let days = instant.mjd() - 51_544.5;
    let longitude = 280.460 + 0.985_647_4 * days;
    let anomaly = (357.528 + 0.985_600_3 * days).to_radians();
    let ecliptic = (longitude + 1.915 * anomaly.sin() + 0.020 * (2.0 * anomaly).sin()).to_radians();
    let obliquity = (23.439 - 4e-7 * days).to_radians();
    let ra = (obliquity.cos() * ecliptic.sin()).atan2(ecliptic.cos());
    let dec = (obliquity.sin() * ecliptic.sin()).asin();
    SkyPosition::new(ra.to_degrees(), dec.to_degrees())
}

/// Indented XML text; every text and attribute is escaped.
struct XmlText {
    text: String,
    depth: usize,
}

impl XmlText {
    fn line(&mut self, line: &str) {
        self.text.push_str(&"  ".repeat(self.depth));
        self.text.push_str(line);
        self.text.push('\n');
    }

    fn tag(name: &str, attributes: &[(&str, &str)]) -> String {
        let mut tag = name.to_owned();
        for (attribute, value) in attributes {
            tag.push_str(&format!(" {attribute}=\"{}\"", escape(*value)));
        }
        tag
    }

    fn element(&mut self, name: &str, attributes: &[(&str, &str)], inside: impl FnOnce(&mut Self)) {
        self.line(&format!("<{}>", Self::tag(name, attributes)));
        self.depth += 1;
        inside(self);
        self.depth -= 1;
        self.line(&format!("</{name}>"));
    }

    fn leaf(&mut self, name: &str, attributes: &[(&str, &str)], text: &str) {
        self.line(&format!("<{}>{}</{name}>", Self::tag(name, attributes), escape(text)));
    }

    fn parameter(&mut self, parameter: &Parameter) {
        let mut attributes = vec![("name", parameter.name), ("value", parameter.value.as_str())];
        attributes.extend(parameter.unit.map(|unit| ("unit", unit)));
        attributes.push(("ucd", parameter.ucd));
        self.line(&format!("<{}/>", Self::tag("Param", &attributes)));
    }

    fn group(&mut self, name: &str, parameters: &[Parameter]) {
        if !parameters.is_empty() {
            self.element("Group", &[("name", name)], |group| {
                parameters.iter().for_each(|parameter| group.parameter(parameter));
            });
        }
    }
}

/// The packet as the bytes that go over the wire.
pub fn write_packet(content: &PacketContent) -> Vec<u8> {
    let role = match content.role {
        Role::Observation => "observation",
        Role::Prediction => "prediction",
        Role::Utility => "utility",
        Role::Test => "test",
    };
    let mut xml = XmlText { text: String::new(), depth: 0 };
    xml.line("<?xml version=\"1.0\" encoding=\"UTF-8\"?>");
    let root = [
        ("xmlns:voe", "http://www.ivoa.net/xml/VOEvent/v2.0"),
        ("xmlns:xsi", "http://www.w3.org/2001/XMLSchema-instance"),
        (
            "xsi:schemaLocation",
            "http://www.ivoa.net/xml/VOEvent/v2.0 http://www.ivoa.net/xml/VOEvent/VOEvent-v2.0.xsd",
        ),
        ("role", role),
        ("version", "2.0"),
        ("ivorn", &ivorn(&content.burst_id, &content.notice_type)),
    ];
    xml.element("voe:VOEvent", &root, |event| {
        write_who(event, content);
        write_what(event, content);
        write_where_when(event, content);
        event.element("How", &[], |how| {
            let level = content.notice_level;
            how.leaf(
                "Description",
                &[],
                &format!("{level} notice, simulated data of {}", content.instrument),
            );
        });
        if !content.follows.is_empty() {
            event.element("Citations", &[], |citations| {
                for notice_type in &content.follows {
                    let cited = ivorn(&content.burst_id, notice_type);
                    citations.leaf("EventIVORN", &[("cite", "followup")], &cited);
                }
            });
        }
    });
    xml.text.into_bytes()
}

fn write_who(event: &mut XmlText, content: &PacketContent) {
    event.element("Who", &[], |who| {
        who.leaf("AuthorIVORN", &[], STREAM);
        who.leaf("Date", &[], &format!("{}+00:00", content.sent_at.iso_seconds()));
        who.element("Author", &[], |author| {
            author.leaf("title", &[], "Stand-in for the SVOM French Science Center");
            author.leaf("shortName", &[], "FSC");
        });
    });
}

fn write_what(event: &mut XmlText, content: &PacketContent) {
    let identifier = |name, value: &str| Parameter::new(name, value, None, "meta.id");
    event.element("What", &[], |what| {
        what.parameter(&identifier("Packet_Type", &content.packet_type.to_string()));
        what.parameter(&identifier("Pkt_Ser_Num", "1"));
        what.parameter(&Parameter::new("Instrument", content.instrument, None, "instr"));
        let mut identifiers = vec![
            identifier("Notice_Level", content.notice_level),
            identifier("Burst_Id", &content.burst_id),
        ];
        identifiers.extend(
            content
                .sequence_t0
                .map(|t0| Parameter::new("Alert_Seq_T0", parameter_time(t0), None, "time.start")),
        );
        what.group("Svom_Identifiers", &identifiers);
        what.group("Detection_Info", &content.detection);
        what.group("Target_Info", &content.target);
        what.group("Satellite_Info", &content.satellite);
    });
}

fn write_where_when(event: &mut XmlText, content: &PacketContent) {
    const SYSTEM: &str = "UTC-ICRS-GEO";
    event.element("WhereWhen", &[], |where_when| {
        where_when.element("ObsDataLocation", &[], |location| {
            location.line("<ObservatoryLocation id=\"GEOLEO\"/>");
            location.element("ObservationLocation", &[], |observation| {
                observation.line(&format!("<AstroCoordSystem id=\"{SYSTEM}\"/>"));
                observation.element("AstroCoords", &[("coord_system_id", SYSTEM)], |coordinates| {
                    coordinates.element("Time", &[("unit", "s")], |time| {
                        time.element("TimeInstant", &[], |instant| {
                            // Without a zone, as the satellite's packets have it.
                            instant.leaf("ISOTime", &[], &content.event_time.iso_milliseconds());
                        });
                    });
                    if let Some(estimate) = &content.position {
                        write_position(coordinates, estimate);
                    }
                });
            });
        });
    });
}

fn write_position(coordinates: &mut XmlText, estimate: &PositionEstimate) {
    coordinates.element("Position2D", &[("unit", "deg")], |position| {
        position.leaf("Name1", &[], "RA");
        position.leaf("Name2", &[], "Dec");
        position.element("Value2", &[], |value| {
            value.leaf("C1", &[], &format!("{:.4}", estimate.position.ra_degrees));
            value.leaf("C2", &[], &format!("{:.4}", estimate.position.dec_degrees));
        });
        let radius = estimate.radius_degrees.unwrap_or(-1.0);
        position.leaf("Error2Radius", &[], &format!("{radius:.4}"));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content() -> PacketContent {
        PacketContent {
            role: Role::Test,
            packet_type: 202,
            notice_type: "eclairs-wakeup".to_owned(),
            instrument: "ECLAIRs",
            notice_level: "N1e",
            burst_id: "sb<&>\"1".to_owned(),
            sequence_t0: None,
            sent_at: UtcTime::parse("2026-11-01T04:19:35").unwrap(),
            event_time: UtcTime::parse("2026-11-01T04:18:00").unwrap(),
            position: Some(PositionEstimate {
                position: SkyPosition::new(30.0, -4.5),
                radius_degrees: None,
            }),
            detection: Vec::new(),
            target: Vec::new(),
            satellite: Vec::new(),
            follows: vec!["grm-trigger".to_owned()],
        }
    }

    #[test]
    fn every_text_is_escaped_and_a_missing_radius_is_minus_one() {
        let bytes = write_packet(&content());
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.contains("value=\"sb&lt;&amp;&gt;&quot;1\""), "{text}");
        assert!(text.contains("<Error2Radius>-1.0000</Error2Radius>"));
        assert!(!text.contains("Detection_Info"), "empty groups are left out");
        let mut reader = quick_xml::Reader::from_str(&text);
        let mut depth = 0i32;
        loop {
            match reader.read_event().unwrap() {
                quick_xml::events::Event::Start(_) => depth += 1,
                quick_xml::events::Event::End(_) => depth -= 1,
                quick_xml::events::Event::Eof => break,
                _ => {}
            }
        }
        assert_eq!(depth, 0);
    }

    #[test]
    fn the_sun_is_where_the_almanac_has_it() {
        // astropy: get_sun(t).transform_to(TETE(obstime=t)), 2026-11-01T04:18:00. The formulae claim 0.01°.
        let sun = sun_position(UtcTime::parse("2026-11-01T04:18:00").unwrap());
        let expected = SkyPosition::new(216.372_600, -14.418_071);
        assert!(sun.separation_arcsec(expected) < 0.02 * 3600.0, "{sun:?}");
    }
}
