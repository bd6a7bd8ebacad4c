//! The packets under `tests/fixtures/voevents` are ours, with the structure of real ones.

use super::*;
use proptest::prelude::*;

const WAKEUP: &str = include_str!("../../../tests/fixtures/voevents/eclairs-wakeup.xml");
const GRM: &str = include_str!("../../../tests/fixtures/voevents/grm-trigger-without-position.xml");
const PRELIMINARY: &str = include_str!("../../../tests/fixtures/voevents/grm-preliminary.xml");
const RETRACTION: &str = include_str!("../../../tests/fixtures/voevents/retraction.xml");
const VERSION_1_1: &str = include_str!("../../../tests/fixtures/voevents/version-1.1.xml");

fn parse(text: &str) -> Result<VoEvent, VoEventError> {
    VoEvent::parse(text.as_bytes())
}

fn time(text: &str) -> Option<UtcTime> {
    Some(UtcTime::parse(text).unwrap())
}

#[test]
fn a_wakeup_is_understood_whole() {
    let event = parse(WAKEUP).unwrap();
    assert_eq!(event.ivorn, "ivo://org.svom/fsc#sb26110101_eclairs-wakeup");
    assert_eq!((event.role, event.version.as_str()), (Role::Observation, "2.0"));
    assert_eq!(event.date, time("2026-11-01T03:15:05Z"));
    assert_eq!(event.iso_time, time("2026-11-01T03:13:30.25Z"));
    assert_eq!(event.author_title.as_deref(), Some("{\"full_name\": \"Stand-in science centre\"}"));
    assert_eq!(event.parameter("burst_id"), Some("sb26110101"));
    assert_eq!(event.parameter("Packet_Type"), Some("202"));
    assert_eq!(event.parameter("Nothing"), None);
    let position = event.position.unwrap();
    assert_eq!(position.position, SkyPosition::new(30.2695, 24.5099));
    assert_eq!(position.radius_degrees, Some(0.1));
    assert_eq!(event.parameters[3].path(), "Svom_Identifiers/Notice_Level");
    assert_eq!(event.description.as_deref(), Some("N1e notice, data from ECLAIRs"));
    assert_eq!(event.citations[0].kind, CitationKind::Followup);
    assert_eq!(event.warnings, [""; 0]);
}

#[test]
fn a_packet_without_position_has_none() {
    let event = parse(GRM).unwrap();
    assert_eq!(event.position, None);
    assert_eq!(event.warnings, [""; 0]);
    assert!(event.iso_time.is_some());
}

#[test]
fn a_radius_of_minus_one_is_no_radius_and_times_need_no_zone() {
    let event = parse(PRELIMINARY).unwrap();
    assert_eq!(event.position.unwrap().radius_degrees, None);
    assert_eq!(event.iso_time, time("2026-11-01T03:13:29Z"));
    assert_eq!(event.date, time("2026-11-01T03:13:48Z"));
    assert_eq!((event.importance, event.probability), (Some(0.57), Some(0.61)));
}

#[test]
fn a_retraction_cites_all_it_retracts() {
    let event = parse(RETRACTION).unwrap();
    let kinds: Vec<CitationKind> = event.citations.iter().map(|citation| citation.kind).collect();
    assert_eq!(kinds, [CitationKind::Retraction; 2]);
    assert!(event.position.is_some());
    assert_eq!(event.description, None);
}

#[test]
fn version_1_1_with_a_default_namespace_is_understood() {
    let event = parse(VERSION_1_1).unwrap();
    assert_eq!(event.version, "1.1");
    assert_eq!(event.parameter("TrigID"), Some("700123"));
    assert_eq!(event.parameter("Comment"), Some("a value of its own"));
    assert_eq!(event.position.unwrap().position, SkyPosition::new(123.5, -45.25));
    // The observatory's own coordinates come first in the file.
    assert_eq!(event.position.unwrap().radius_degrees, Some(0.05));
}

#[test]
fn prefixes_and_namespaces_may_vary() {
    let other_prefix = WAKEUP.replace("voe:", "x:").replace("xmlns:voe", "xmlns:x");
    assert_eq!(parse(&other_prefix).unwrap(), parse(WAKEUP).unwrap());
    let without = WAKEUP
        .replace("voe:", "")
        .replace("xmlns:voe=\"http://www.ivoa.net/xml/VOEvent/v2.0\"", "");
    assert_eq!(parse(&without).unwrap(), parse(WAKEUP).unwrap());
    let version_2_1 = WAKEUP
        .replace("VOEvent/v2.0", "VOEvent/v2.1")
        .replace("version=\"2.0\"", "version=\"2.1\"");
    assert_eq!(parse(&version_2_1).unwrap().version, "2.1");
}

#[test]
fn what_is_no_voevent_says_so() {
    assert!(matches!(parse("<html/>"), Err(VoEventError::NotVoEvent { .. })));
    assert!(matches!(
        parse("<VOEvent xmlns='urn:other' ivorn='ivo://a/b#c'/>"),
        Err(VoEventError::NotVoEvent { .. })
    ));
    assert_eq!(parse("<VOEvent/>"), Err(VoEventError::NoIvorn));
    assert!(matches!(parse("<VOEvent ivorn='http://x'/>"), Err(VoEventError::Ivorn { .. })));
    assert!(matches!(parse("<VOEvent ivorn='ivo://#x'/>"), Err(VoEventError::Ivorn { .. })));
    assert!(matches!(
        parse("<VOEvent ivorn='ivo://a/b#c' role='joke'/>"),
        Err(VoEventError::Role { .. })
    ));
    assert!(matches!(
        parse("<VOEvent ivorn='ivo://a/b#c' version='3.0'/>"),
        Err(VoEventError::Version { .. })
    ));
    assert!(matches!(parse(&WAKEUP[..WAKEUP.len() / 2]), Err(VoEventError::Xml(_))));
    let empty = parse("<VOEvent ivorn='ivo://a/b#c'/>").unwrap();
    assert_eq!((empty.position, empty.iso_time, empty.date), (None, None, None));
}

#[test]
fn what_cannot_be_used_is_left_out_with_a_warning() {
    let warned = |from: &str, to: &str| {
        let changed = WAKEUP.replace(from, to);
        assert_ne!(changed, WAKEUP);
        parse(&changed).unwrap()
    };
    for (from, to) in [
        ("<C2>24.5099</C2>", "<C2>124.5</C2>"),
        ("<C2>24.5099</C2>", "<C2>NaN</C2>"),
        ("<C2>24.5099</C2>", ""),
        ("UTC-ICRS-GEO", "UTC-GALACTIC-GEO"),
        ("<Position2D unit=\"deg\">", "<Position2D unit=\"rad\">"),
    ] {
        let event = warned(from, to);
        assert_eq!(event.position, None, "{to}");
        assert_eq!(event.warnings.len(), 1, "{to}");
    }
    let event = warned("2026-11-01T03:13:30.250000", "last night");
    assert_eq!((event.iso_time, event.warnings.len()), (None, 1));
    let event = warned("UTC-ICRS-GEO", "TDB-ICRS-BARY");
    assert_eq!((event.iso_time, event.warnings.len()), (None, 1));
    assert!(event.position.is_some());
}

/// Every packet of the collection, where it is there: SVOM packets parse, others parse or say why not.
#[test]
fn real_packets() {
    let Some(directory) = crate::alerts::real_packets::directory() else { return };
    let mut parsed = 0;
    for file in crate::alerts::real_packets::files(&directory) {
        let packet = std::fs::read(&file).unwrap();
        match VoEvent::parse(&packet) {
            Ok(event) => {
                parsed += 1;
                if file.to_string_lossy().contains("/svom/") {
                    assert_eq!(event.warnings, [""; 0], "{}", file.display());
                    assert!(event.parameter("Burst_Id").is_some(), "{}", file.display());
                    assert!(event.date.is_some() && event.iso_time.is_some(), "{}", file.display());
                }
            }
            Err(error) => {
                assert!(!file.to_string_lossy().contains("/svom/"), "{}: {error}", file.display());
                println!("{}: {error}", file.display());
            }
        }
    }
    assert!(parsed > 100, "{parsed}");
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = VoEvent::parse(&bytes);
    }

    #[test]
    fn no_change_of_a_packet_makes_it_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
        insertion in "(<|>|&|;|\"|'|/|!|\\[|CDATA|xmlns|-|\\?|[0-9a-z]){0,12}",
    ) {
        let mut bytes = WAKEUP.as_bytes().to_vec();
        for (index, byte) in changes {
            let position = index.index(bytes.len());
            bytes[position] = byte;
        }
        let position = cut.index(bytes.len());
        bytes.splice(position..position, insertion.bytes());
        let _ = VoEvent::parse(&bytes);
        bytes.truncate(position);
        let _ = VoEvent::parse(&bytes);
    }
}
