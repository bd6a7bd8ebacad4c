//! The story of a burst: which packet says what, and when (interfaces.md §6).

use super::SimulationError;
use super::headers::AlertCards;
use super::packet::{
    PacketContent, Parameter, ivorn, parameter_time, target_parameters, write_packet,
};
use super::random::{Purpose, stream};
use super::story_parameters::StoryParameters;
use crate::model::{PositionEstimate, Role, SkyPosition, UtcTime};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use std::f64::consts::TAU;

/// ECLAIRs' time window opens this long after the T0 of the sequence, GRM's a little later.
const WINDOW_START_SECONDS: f64 = 0.06;
const GRM_WINDOW_START_SECONDS: f64 = 0.3;
/// MXT finds the source this long before its packet goes out: its ISOTime is not T0.
const MXT_DETECTION_LEAD_SECONDS: f64 = 180.0;

/// A packet on its way.
#[derive(Debug, Clone, PartialEq)]
pub struct StoryPacket {
    /// For people: `ECLAIRs wake-up`.
    pub label: String,
    pub packet_type: u32,
    pub ivorn: String,
    /// When it is sent.
    pub at: UtcTime,
    pub estimate: Option<PositionEstimate>,
    pub bytes: Vec<u8>,
}

impl StoryPacket {
    fn new(label: &str, content: &PacketContent) -> Self {
        Self {
            label: label.to_owned(),
            packet_type: content.packet_type,
            ivorn: ivorn(&content.burst_id, &content.notice_type),
            at: content.sent_at,
            estimate: content.position,
            bytes: write_packet(content),
        }
    }
}

/// The packets of one burst, in order.
#[derive(Debug, Clone, PartialEq)]
pub struct Story {
    pub burst_id: String,
    pub t0: UtcTime,
    pub packets: Vec<StoryPacket>,
}

impl Story {
    /// Writes the packets. ECLAIRs' position is `pointing`, because the telescope points where ECLAIRs says; the later ones
    /// are drawn about `truth`, within their error radius.
    pub fn new(
        seed: u64,
        parameters: &StoryParameters,
        pointing: SkyPosition,
        truth: SkyPosition,
    ) -> Result<Self, SimulationError> {
        parameters.check()?;
        let distance_degrees = pointing.separation_arcsec(truth) / 3600.0;
        if distance_degrees > parameters.wakeup_radius_degrees {
            return Err(SimulationError::Parameter {
                parameter: "wakeup_radius_degrees",
                what: format!(
                    "the source is {distance_degrees:.4} degrees from the pointing, outside the first error circle"
                ),
            });
        }
        let burst_id = parameters.burst_id();
        let t0 = parameters.t0;
        let at = |seconds: f64| t0.plus_seconds(seconds);
        let mut generator = stream(seed, Purpose::Packets, 0);
        let mut about_truth = |radius_degrees| PositionEstimate {
            position: within(&mut generator, truth, radius_degrees),
            radius_degrees: Some(radius_degrees),
        };
        let refined = about_truth(parameters.slewing_radius_degrees);
        let x_ray = about_truth(parameters.mxt_radius_degrees);
        let first = PositionEstimate {
            position: pointing,
            radius_degrees: Some(parameters.wakeup_radius_degrees),
        };
        let wakeup = PacketContent {
            role: parameters.role,
            follows: vec!["grm-trigger".to_owned()],
            ..wakeup_content(&burst_id, first, t0, at(parameters.wakeup_seconds))
        };
        let slewing = PacketContent {
            packet_type: 204,
            notice_type: "slewing".to_owned(),
            sent_at: at(parameters.slewing_seconds),
            position: Some(refined),
            target: target_parameters(refined.position, t0),
            satellite: satellite("accepted", pointing),
            follows: vec!["grm-trigger".to_owned(), "eclairs-wakeup".to_owned()],
            ..wakeup.clone()
        };
        let packets = vec![
            StoryPacket::new(
                "GRM trigger without position",
                &grm_content(parameters, &burst_id, pointing),
            ),
            StoryPacket::new("ECLAIRs wake-up", &wakeup),
            StoryPacket::new("slewing", &slewing),
            StoryPacket::new("MXT initial", &mxt_content(parameters, &burst_id, refined, x_ray)),
        ];
        Ok(Self { burst_id, t0, packets })
    }

    /// What the telescope knows of the alert at an instant: the position of smallest uncertainty among the packets sent by
    /// then. `None` before the first.
    pub fn alert_at(&self, instant: UtcTime) -> Option<AlertCards> {
        let known = self.packets.iter().filter(|packet| packet.at <= instant);
        let radius = |estimate: &PositionEstimate| estimate.radius_degrees.unwrap_or(f64::INFINITY);
        let mut heard = false;
        let mut best: Option<PositionEstimate> = None;
        for packet in known {
            heard = true;
            if let Some(estimate) = packet.estimate
                && best.is_none_or(|other| radius(&estimate) <= radius(&other))
            {
                best = Some(estimate);
            }
        }
        heard.then(|| AlertCards {
            burst_id: self.burst_id.clone(),
            event_time: self.t0,
            estimate: best,
        })
    }
}

/// An ECLAIRs wake-up for the replay of an archived night without its own alert.
pub fn eclairs_notice(
    burst_id: &str,
    position: SkyPosition,
    radius_degrees: f64,
    t0: UtcTime,
    sent_at: UtcTime,
) -> StoryPacket {
    let estimate = PositionEstimate { position, radius_degrees: Some(radius_degrees) };
    StoryPacket::new("ECLAIRs wake-up", &wakeup_content(burst_id, estimate, t0, sent_at))
}

/// Uniform over the disc of this radius about a position. The disc is drawn a little smaller, so that the four decimals of
/// a packet cannot round the true position out of it.
fn within(generator: &mut ChaCha8Rng, centre: SkyPosition, radius_degrees: f64) -> SkyPosition {
    let radius = 0.95 * radius_degrees * 3600.0 * generator.random::<f64>().sqrt();
    let (sin, cos) = (TAU * generator.random::<f64>()).sin_cos();
    centre.offset_arcsec(radius * sin, radius * cos)
}

fn detection(
    signal_to_noise: &str,
    timescale_seconds: f64,
    window_start: UtcTime,
    band_kev: (&str, &str),
    last: (&'static str, &str),
) -> Vec<Parameter> {
    let energy = Some("keV");
    let window_end = window_start.plus_seconds(timescale_seconds);
    vec![
        Parameter::new("SNR", signal_to_noise, Some("sigma"), "stat.snr"),
        Parameter::new("Timescale", format!("{timescale_seconds}"), Some("s"), "time.interval"),
        Parameter::new("Time_Window_Start", parameter_time(window_start), None, "time.start"),
        Parameter::new("Time_Window_End", parameter_time(window_end), None, "time.end"),
        Parameter::new("Lower_Energy_Bound", band_kev.0, energy, "em.energy"),
        Parameter::new("Upper_Energy_Bound", band_kev.1, energy, "em.energy"),
        Parameter::new(last.0, last.1, None, "instr.param"),
    ]
}

fn satellite(slew_status: &str, attitude: SkyPosition) -> Vec<Parameter> {
    let mut parameters = vec![Parameter::new("Slew_Status", slew_status, None, "meta.code.status")];
    parameters.extend(attitude_parameters(attitude));
    parameters
}

fn attitude_parameters(attitude: SkyPosition) -> Vec<Parameter> {
    let degrees = Some("deg");
    vec![
        Parameter::new(
            "Attitude_Ra",
            format!("{:.2}", attitude.ra_degrees),
            degrees,
            "instr.param",
        ),
        Parameter::new(
            "Attitude_Dec",
            format!("{:.2}", attitude.dec_degrees),
            degrees,
            "instr.param",
        ),
    ]
}

/// GRM alone: no position, and no `Alert_Seq_T0`, so that T0 comes from its time window until ECLAIRs speaks.
fn grm_content(
    parameters: &StoryParameters,
    burst_id: &str,
    pointing: SkyPosition,
) -> PacketContent {
    let window_start = parameters.t0.plus_seconds(GRM_WINDOW_START_SECONDS);
    PacketContent {
        role: parameters.role,
        packet_type: 201,
        notice_type: "grm-trigger".to_owned(),
        instrument: "GRM",
        notice_level: "N1g",
        burst_id: burst_id.to_owned(),
        sequence_t0: None,
        sent_at: parameters.t0.plus_seconds(parameters.grm_seconds),
        event_time: window_start,
        position: None,
        detection: detection(
            "9.40",
            0.1,
            window_start,
            ("51.24", "264.7"),
            ("Triggered_GRDs", "110"),
        ),
        target: Vec::new(),
        satellite: attitude_parameters(pointing.offset_arcsec(3600.0 * 14.0, 3600.0 * 9.0)),
        follows: Vec::new(),
    }
}

fn wakeup_content(
    burst_id: &str,
    estimate: PositionEstimate,
    t0: UtcTime,
    sent_at: UtcTime,
) -> PacketContent {
    let window_start = t0.plus_seconds(WINDOW_START_SECONDS);
    PacketContent {
        role: Role::Test,
        packet_type: 202,
        notice_type: "eclairs-wakeup".to_owned(),
        instrument: "ECLAIRs",
        notice_level: "N1e",
        burst_id: burst_id.to_owned(),
        sequence_t0: Some(t0),
        sent_at,
        event_time: window_start,
        position: Some(estimate),
        detection: detection("14.62", 10.2, window_start, ("8", "50"), ("Trigger_Type", "CRT")),
        target: target_parameters(estimate.position, t0),
        // Before the slew the satellite looks some way off.
        satellite: satellite(
            "requested",
            estimate.position.offset_arcsec(3600.0 * 14.0, 3600.0 * 9.0),
        ),
        follows: Vec::new(),
    }
}

fn mxt_content(
    parameters: &StoryParameters,
    burst_id: &str,
    refined: PositionEstimate,
    x_ray: PositionEstimate,
) -> PacketContent {
    let sent_at = parameters.t0.plus_seconds(parameters.mxt_seconds);
    let detected_at = sent_at.plus_seconds(-MXT_DETECTION_LEAD_SECONDS);
    let angle = refined.position.separation_arcsec(x_ray.position);
    let inside = refined.radius_degrees.is_some_and(|radius| angle <= radius * 3600.0);
    let mut target = vec![
        Parameter::new(
            "Within_ECLAIRs_R90",
            if inside { "True" } else { "False" },
            None,
            "instr.param",
        ),
        Parameter::new(
            "ECLAIRs_Angle",
            format!("{:.2}", angle / 60.0),
            Some("arcmin"),
            "pos.angdistance",
        ),
    ];
    target.extend(target_parameters(x_ray.position, detected_at));
    let flux_unit = Some("erg.cm^-2.s^-1");
    PacketContent {
        role: parameters.role,
        packet_type: 209,
        notice_type: format!("mxt-initial_qf{}", quality_factor(parameters.mxt_radius_degrees)),
        instrument: "MXT",
        notice_level: "N2m",
        burst_id: burst_id.to_owned(),
        sequence_t0: Some(parameters.t0),
        sent_at,
        event_time: detected_at,
        position: Some(x_ray),
        detection: vec![
            Parameter::new("SNR", "31.00", Some("sigma"), "stat.snr"),
            Parameter::new("Mean_Flux", "1.1e-09", flux_unit, "phot.flux"),
            Parameter::new("Flux_Error", "1.6e-10", flux_unit, "phot.flux"),
        ],
        target,
        satellite: attitude_parameters(refined.position),
        follows: ["grm-trigger", "eclairs-wakeup", "slewing"].map(str::to_owned).to_vec(),
    }
}

/// MXT's quality factor of a 90 % radius (domain.md §1.1).
fn quality_factor(radius_degrees: f64) -> u32 {
    match radius_degrees * 3600.0 {
        radius if radius < 30.0 => 4,
        radius if radius < 60.0 => 3,
        radius if radius < 120.0 => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quick_xml::events::Event;

    const POINTING: SkyPosition = SkyPosition { ra_degrees: 30.2695, dec_degrees: 24.5099 };

    fn story(seed: u64) -> (Story, SkyPosition) {
        let truth = POINTING.offset_arcsec(120.0, -70.0);
        (Story::new(seed, &StoryParameters::default(), POINTING, truth).unwrap(), truth)
    }

    /// Text of the elements and `value` of the parameters, by name; fails on XML that is not well formed.
    fn read(bytes: &[u8]) -> Vec<(String, String)> {
        let mut reader = quick_xml::Reader::from_reader(bytes);
        let mut found = Vec::new();
        let mut open: Vec<String> = Vec::new();
        loop {
            match reader.read_event().unwrap() {
                Event::Start(tag) => {
                    open.push(tag.name().as_ref().to_owned());
                }
                Event::End(_) => {
                    open.pop().unwrap();
                }
                Event::Empty(tag) => {
                    let value = |name: &str| {
                        tag.try_get_attribute(name).unwrap().map(|a| a.value.into_owned())
                    };
                    if let (Some(name), Some(value)) = (value("name"), value("value")) {
                        found.push((name, value));
                    }
                }
                Event::Text(text) => {
                    let text = text.to_string();
                    if !text.trim().is_empty() {
                        found.push((open.last().unwrap().clone(), text));
                    }
                }
                Event::Eof => break,
                _ => {}
            }
        }
        assert!(open.is_empty());
        found
    }

    fn value<'a>(read: &'a [(String, String)], name: &str) -> Option<&'a str> {
        read.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    #[test]
    fn the_packets_come_in_order_with_the_traps_of_the_real_ones() {
        let (story, truth) = story(1);
        assert_eq!(story.burst_id, "sb26110101");
        let after: Vec<f64> =
            story.packets.iter().map(|packet| packet.at.seconds_since(story.t0)).collect();
        assert_eq!(after, [30.0, 95.0, 260.0, 600.0]);
        let types: Vec<u32> = story.packets.iter().map(|packet| packet.packet_type).collect();
        assert_eq!(types, [201, 202, 204, 209]);
        let packets: Vec<_> = story.packets.iter().map(|packet| read(&packet.bytes)).collect();

        let grm = &packets[0];
        assert_eq!(value(grm, "C1"), None, "no position");
        assert_eq!(value(grm, "Alert_Seq_T0"), None);
        assert_eq!(value(grm, "Burst_Id"), Some("sb26110101"));

        let wakeup = &packets[1];
        assert_eq!(value(wakeup, "Alert_Seq_T0"), Some("2026-11-01T04:18:00.000Z"));
        assert_eq!(value(wakeup, "Date"), Some("2026-11-01T04:19:35+00:00"));
        assert_eq!(value(wakeup, "ISOTime"), Some("2026-11-01T04:18:00.060"));
        assert_eq!(value(wakeup, "C1"), Some("30.2695"));
        assert_eq!(value(wakeup, "Error2Radius"), Some("0.0650"));

        let mxt = &packets[3];
        assert_eq!(value(mxt, "ISOTime"), Some("2026-11-01T04:25:00.000"), "not T0");
        assert!(story.packets[3].ivorn.ends_with("#sb26110101_mxt-initial_qf3"));
        let text = String::from_utf8(story.packets[3].bytes.clone()).unwrap();
        assert!(text.contains("role=\"test\"") && !text.contains("Comet"));
        assert_eq!(text.matches("cite=\"followup\"").count(), 3);

        for (packet, fields) in story.packets.iter().zip(&packets).skip(1) {
            // The numbers as written, rounding included, must still hold the source.
            let number = |name| value(fields, name).unwrap().parse::<f64>().unwrap();
            let written = SkyPosition::new(number("C1"), number("C2"));
            let distance = written.separation_arcsec(truth) / 3600.0;
            assert!(distance <= number("Error2Radius"), "{}: {distance}", packet.label);
        }
    }

    #[test]
    fn the_seed_decides_the_positions() {
        assert_eq!(story(1).0, story(1).0);
        assert_ne!(story(1).0.packets[3].estimate, story(2).0.packets[3].estimate);
    }

    #[test]
    fn the_telescope_knows_what_has_been_sent() {
        let (story, _) = story(1);
        let at = |seconds: f64| story.alert_at(story.t0.plus_seconds(seconds));
        assert_eq!(at(0.0), None);
        assert_eq!(at(30.0).unwrap().estimate, None);
        assert_eq!(at(95.0).unwrap().estimate, story.packets[1].estimate);
        assert_eq!(at(599.9).unwrap().estimate, story.packets[2].estimate);
        assert_eq!(at(4000.0).unwrap().estimate, story.packets[3].estimate);
    }

    #[test]
    fn a_source_outside_the_first_circle_is_refused() {
        let far = POINTING.offset_arcsec(300.0, 0.0);
        let result = Story::new(1, &StoryParameters::default(), POINTING, far);
        assert!(matches!(result, Err(SimulationError::Parameter { .. })));
        let long = StoryParameters { exposure_seconds: 61.0, ..StoryParameters::default() };
        assert!(Story::new(1, &long, POINTING, POINTING).is_err());
    }

    #[test]
    fn the_replay_notice_names_the_burst_as_given() {
        let t0 = UtcTime::parse("2019-10-16T04:18:01").unwrap();
        let packet = eclairs_notice("sb929744", POINTING, 0.05, t0, t0.plus_seconds(60.0));
        let fields = read(&packet.bytes);
        assert_eq!(value(&fields, "Burst_Id"), Some("sb929744"));
        assert_eq!(value(&fields, "Packet_Type"), Some("202"));
        assert_eq!(value(&fields, "Alert_Seq_T0"), Some("2019-10-16T04:18:01.000Z"));
        assert_eq!(packet.at, t0.plus_seconds(60.0));
    }
}
