//! VOEvents, versions 1.1, 2.0 and 2.1 (Seaman et al. 2011, *Sky Event Reporting Metadata Version 2.0*, IVOA
//! Recommendation), as they are really sent: with any prefix or none, with or without position, with times in
//! several spellings. What the standard demands but real packets lack is no error; what cannot be used is left
//! out with a warning that is kept with the event.

use super::xml::{Element, XmlError, XmlLimits};
use crate::model::{Citation, CitationKind, PositionEstimate, Role, SkyPosition, UtcTime};

/// One `Param`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    pub group: Option<String>,
    /// Empty where the packet gives none.
    pub name: String,
    pub value: String,
    pub unit: Option<String>,
}

impl Parameter {
    /// `Group/Name`, or `Name` outside a group.
    pub fn path(&self) -> String {
        match &self.group {
            Some(group) => format!("{group}/{}", self.name),
            None => self.name.clone(),
        }
    }
}

/// A parsed packet.
#[derive(Debug, Clone, PartialEq)]
pub struct VoEvent {
    pub ivorn: String,
    pub role: Role,
    pub version: String,
    pub author_ivorn: Option<String>,
    pub author_title: Option<String>,
    /// `Who/Date`.
    pub date: Option<UtcTime>,
    /// Every `Param` of `What`, in its order.
    pub parameters: Vec<Parameter>,
    /// `UTC-ICRS-GEO` and the like.
    pub coordinate_system: Option<String>,
    /// Equatorial positions only.
    pub position: Option<PositionEstimate>,
    /// `ISOTime`, if its scale is UTC.
    pub iso_time: Option<UtcTime>,
    /// `Why/@importance`.
    pub importance: Option<f64>,
    /// `Why/Inference/@probability`.
    pub probability: Option<f64>,
    pub citations: Vec<Citation>,
    /// `What/Description`, else `How/Description`.
    pub description: Option<String>,
    /// What was left out, and why.
    pub warnings: Vec<String>,
}

/// Why a text is no usable VOEvent. Sending the same text again will not help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VoEventError {
    #[error(transparent)]
    Xml(#[from] XmlError),
    #[error("the root element is {root} of namespace '{namespace}', not VOEvent")]
    NotVoEvent { root: String, namespace: String },
    #[error("VOEvent version '{version}' is not understood; allowed: 1.0, 1.1, 2.0, 2.1")]
    Version { version: String },
    #[error("attribute ivorn is missing")]
    NoIvorn,
    #[error("'{ivorn}' is no identifier: expected ivo://authority/resource#local")]
    Ivorn { ivorn: String },
    #[error("role '{role}' is not understood; allowed: observation, prediction, utility, test")]
    Role { role: String },
}

const VOEVENT_NAMESPACES: &str = "http://www.ivoa.net/xml/VOEvent/";
/// Space-Time Coordinates: `WhereWhen` of VOEvent 1.1.
const STC_NAMESPACES: &str = "http://www.ivoa.net/xml/STC/";
const VERSIONS: [&str; 4] = ["1.0", "1.1", "2.0", "2.1"];
/// Longer than any identifier in use by far; keeps logs and keys in bounds.
const MAXIMUM_IVORN_LENGTH: usize = 512;

impl VoEvent {
    /// Parses a packet within the default limits on its structure.
    pub fn parse(packet: &[u8]) -> Result<Self, VoEventError> {
        Self::parse_within(packet, &XmlLimits::default())
    }

    pub fn parse_within(packet: &[u8], limits: &XmlLimits) -> Result<Self, VoEventError> {
        let is_known = |namespace: &str| {
            namespace.starts_with(VOEVENT_NAMESPACES) || namespace.starts_with(STC_NAMESPACES)
        };
        Self::from_element(&Element::parse(packet, limits, is_known)?)
    }

    fn from_element(root: &Element) -> Result<Self, VoEventError> {
        let namespace_is_right =
            root.namespace.is_empty() || root.namespace.starts_with(VOEVENT_NAMESPACES);
        if root.name != "VOEvent" || !namespace_is_right {
            return Err(VoEventError::NotVoEvent {
                root: root.name.clone(),
                namespace: root.namespace.clone(),
            });
        }
        let version = version_of(root)?;
        let mut warnings = Vec::new();
        let who = root.child("Who");
        let who_text = |path: &[&str]| {
            who.and_then(|who| who.descendant(path)).and_then(Element::trimmed_text)
        };
        let date = who_text(&["Date"]).and_then(|text| parse_time(text, "Who/Date", &mut warnings));
        let what = root.child("What");
        let where_when = WhereWhen::read(root.child("WhereWhen"), &mut warnings);
        let why = root.child("Why");
        let inference = why.and_then(|why| why.child("Inference"));
        let importance = number_attribute(why, "importance", &mut warnings);
        let probability = number_attribute(inference, "probability", &mut warnings);
        let description = [what, root.child("How")]
            .into_iter()
            .flatten()
            .find_map(|part| part.child("Description")?.trimmed_text());
        Ok(Self {
            ivorn: ivorn_of(root)?,
            role: role_of(root)?,
            version,
            author_ivorn: who_text(&["AuthorIVORN"]).map(str::to_owned),
            author_title: who_text(&["Author", "title"]).map(str::to_owned),
            date,
            parameters: what.map(parameters_of).unwrap_or_default(),
            coordinate_system: where_when.coordinate_system,
            position: where_when.position,
            iso_time: where_when.iso_time,
            importance,
            probability,
            citations: citations_of(root, &mut warnings),
            description: description.map(str::to_owned),
            warnings,
        })
    }

    /// Value of the first parameter of that name, in whatever group, compared without case. `None` if absent or blank.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters
            .iter()
            .find(|parameter| parameter.name.eq_ignore_ascii_case(name))
            .map(|parameter| parameter.value.trim())
            .filter(|value| !value.is_empty())
    }
}

fn version_of(root: &Element) -> Result<String, VoEventError> {
    let from_namespace = root.namespace.strip_prefix(VOEVENT_NAMESPACES);
    let written = root.attribute("version").map(str::trim);
    let version = written
        .or_else(|| from_namespace.map(|text| text.trim_start_matches('v')))
        .unwrap_or("2.0");
    if VERSIONS.contains(&version) {
        Ok(version.to_owned())
    } else {
        Err(VoEventError::Version { version: version.to_owned() })
    }
}

fn ivorn_of(root: &Element) -> Result<String, VoEventError> {
    let ivorn = root.attribute("ivorn").ok_or(VoEventError::NoIvorn)?.trim();
    let authority =
        ivorn.strip_prefix("ivo://").map(|rest| rest.split(['/', '#']).next().unwrap_or_default());
    let is_right = authority.is_some_and(|authority| !authority.is_empty())
        && ivorn.len() <= MAXIMUM_IVORN_LENGTH
        && !ivorn.contains(|letter: char| letter.is_control());
    if is_right {
        Ok(ivorn.to_owned())
    } else {
        let ivorn = ivorn.chars().take(MAXIMUM_IVORN_LENGTH).collect();
        Err(VoEventError::Ivorn { ivorn })
    }
}

fn role_of(root: &Element) -> Result<Role, VoEventError> {
    // The schema's default.
    match root.attribute("role").map(str::trim).unwrap_or("observation") {
        "observation" => Ok(Role::Observation),
        "prediction" => Ok(Role::Prediction),
        "utility" => Ok(Role::Utility),
        "test" => Ok(Role::Test),
        role => Err(VoEventError::Role { role: role.to_owned() }),
    }
}

fn parameters_of(what: &Element) -> Vec<Parameter> {
    let mut parameters = Vec::new();
    collect_parameters(what, None, &mut parameters);
    parameters
}

/// The parser bounds the depth.
fn collect_parameters(parent: &Element, group: Option<&str>, parameters: &mut Vec<Parameter>) {
    for child in &parent.children {
        match child.name.as_str() {
            "Param" => parameters.push(parameter_of(child, group)),
            "Group" => {
                let name = child.attribute("name").or(group);
                collect_parameters(child, name, parameters);
            }
            _ => {}
        }
    }
}

fn parameter_of(element: &Element, group: Option<&str>) -> Parameter {
    // VOEvent 2.0 allows the value as an element.
    let in_element = || element.child("Value").and_then(Element::trimmed_text);
    let value = element.attribute("value").or_else(in_element).unwrap_or_default();
    Parameter {
        group: group.map(str::to_owned),
        name: element.attribute("name").unwrap_or_default().trim().to_owned(),
        value: value.to_owned(),
        unit: element.attribute("unit").map(str::to_owned),
    }
}

#[derive(Default)]
struct WhereWhen {
    coordinate_system: Option<String>,
    position: Option<PositionEstimate>,
    iso_time: Option<UtcTime>,
}

impl WhereWhen {
    fn read(where_when: Option<&Element>, warnings: &mut Vec<String>) -> Self {
        // ObservatoryLocation may hold coordinates too: those of the observatory.
        let Some(location) = where_when.and_then(|element| element.find("ObservationLocation"))
        else {
            return Self::default();
        };
        let Some(coordinates) = location.child("AstroCoords") else { return Self::default() };
        let coordinate_system = coordinates
            .attribute("coord_system_id")
            .or_else(|| location.child("AstroCoordSystem")?.attribute("id"))
            .map(|text| text.trim().to_owned());
        let iso_time = iso_time_of(coordinates, coordinate_system.as_deref(), warnings);
        let position = coordinates
            .child("Position2D")
            .and_then(|element| position_of(element, coordinate_system.as_deref(), warnings));
        Self { coordinate_system, position, iso_time }
    }
}

fn iso_time_of(
    coordinates: &Element,
    coordinate_system: Option<&str>,
    warnings: &mut Vec<String>,
) -> Option<UtcTime> {
    let text = coordinates.descendant(&["Time", "TimeInstant", "ISOTime"])?.trimmed_text()?;
    let scale = coordinate_system.and_then(|system| system.split('-').next()).unwrap_or("UTC");
    if ["TT", "ET", "TAI", "TDB", "TCB", "TCG"].contains(&scale) {
        warnings.push(format!("ISOTime {text} is of time scale {scale}, not UTC: left out"));
        return None;
    }
    parse_time(text, "ISOTime", warnings)
}

fn position_of(
    element: &Element,
    coordinate_system: Option<&str>,
    warnings: &mut Vec<String>,
) -> Option<PositionEstimate> {
    let frame_is_equatorial = coordinate_system.is_none_or(|system| {
        let system = system.to_ascii_uppercase();
        system.contains("ICRS") || system.contains("FK5")
    });
    let unit = element.attribute("unit").unwrap_or("deg");
    let number = |path: &[&str]| -> Option<f64> {
        element.descendant(path)?.trimmed_text()?.parse::<f64>().ok()
    };
    let (first, second) = (number(&["Value2", "C1"]), number(&["Value2", "C2"]));
    let mut leave_out = |reason: &str| {
        warnings.push(format!("position left out: {reason}"));
        None
    };
    if !frame_is_equatorial {
        return leave_out(&format!("{} is no ICRS or FK5", coordinate_system.unwrap_or_default()));
    }
    if !unit.trim().to_ascii_lowercase().starts_with("deg") {
        return leave_out(&format!("unit '{unit}' is not deg"));
    }
    let (Some(ra_degrees), Some(dec_degrees)) = (first, second) else {
        return leave_out("C1 and C2 are not two numbers");
    };
    if !((-360.0..=360.0).contains(&ra_degrees) && (-90.0..=90.0).contains(&dec_degrees)) {
        return leave_out(&format!("({ra_degrees}, {dec_degrees}) is not on the sky"));
    }
    // -1 (GRM with three detectors) and 0 say that the packet knows no radius.
    let radius_degrees =
        number(&["Error2Radius"]).filter(|radius| *radius > 0.0 && *radius <= 180.0);
    Some(PositionEstimate { position: SkyPosition::new(ra_degrees, dec_degrees), radius_degrees })
}

fn parse_time(text: &str, what: &str, warnings: &mut Vec<String>) -> Option<UtcTime> {
    match UtcTime::parse(text) {
        Ok(time) => Some(time),
        Err(error) => {
            warnings.push(format!("{what} left out: {error}"));
            None
        }
    }
}

fn number_attribute(
    element: Option<&Element>,
    name: &str,
    warnings: &mut Vec<String>,
) -> Option<f64> {
    let text = element?.attribute(name)?;
    let number = text.trim().parse::<f64>().ok().filter(|number| number.is_finite());
    if number.is_none() {
        warnings.push(format!("{name} left out: '{text}' is no number"));
    }
    number
}

fn citations_of(root: &Element, warnings: &mut Vec<String>) -> Vec<Citation> {
    let Some(citations) = root.child("Citations") else { return Vec::new() };
    // VOEvent 1.1 writes EventID.
    let cited = citations
        .children
        .iter()
        .filter(|child| matches!(child.name.as_str(), "EventIVORN" | "EventID"));
    cited
        .filter_map(|element| {
            let ivorn = element.trimmed_text()?.to_owned();
            let kind = match element.attribute("cite").map(str::trim) {
                None | Some("followup") => CitationKind::Followup,
                Some("supersedes") => CitationKind::Supersedes,
                Some("retraction") => CitationKind::Retraction,
                Some(other) => {
                    warnings.push(format!("citation of {ivorn} as '{other}' left out"));
                    return None;
                }
            };
            Some(Citation { ivorn, kind })
        })
        .collect()
}

#[cfg(test)]
mod tests;
