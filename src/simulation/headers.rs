//! Headers of rendered frames: the cards of the telescope control system that the controller reads (domain.md §4.2).

use super::observing::Conditions;
use crate::fits::{Header, wcs_cards};
use crate::model::{FrameKind, PositionEstimate, SkyPosition, UtcTime, normalise_burst_id};

/// San Pedro Mártir: degrees north, degrees east.
const SITE_LATITUDE: f64 = 31.0449;
const SITE_LONGITUDE: f64 = -115.4646;
/// Lower than this the airmass card is left out: the formula means nothing there.
const LOWEST_ALTITUDE_DEGREES: f64 = 5.0;

/// What a header says besides the instant.
#[derive(Debug, Clone, PartialEq)]
pub struct HeaderContent<'a> {
    pub kind: FrameKind,
    pub start: UtcTime,
    pub exposure_seconds: f64,
    pub filter: &'a str,
    pub telescope: &'a str,
    pub instrument: &'a str,
    /// Programme that asked for it: `svom`, `colibri`.
    pub observer: &'a str,
    pub object: Option<&'a str>,
    pub target: Option<SkyPosition>,
    pub alert: Option<AlertCards>,
    pub gain_electrons: f64,
    pub read_noise_electrons: f64,
    pub saturation: f64,
    pub temperature_celsius: f64,
    pub readout_mode: &'a str,
}

/// The alert a frame was taken for, as it was known when the exposure began.
#[derive(Debug, Clone, PartialEq)]
pub struct AlertCards {
    pub burst_id: String,
    pub event_time: UtcTime,
    pub estimate: Option<PositionEstimate>,
}

/// Builds the header of a raw frame. Its world coordinates are the nominal ones: north up, at the pointing.
pub fn raw_header(content: &HeaderContent<'_>, conditions: Option<&Conditions>) -> Header {
    let mut header = Header::new();
    header.set("EXPTIME", content.exposure_seconds, "[s] exposure time");
    header.set("DATE-OBS", content.start.iso_milliseconds(), "UTC of the start of the exposure");
    header.set("MJD-OBS", content.start.mjd(), "[d] MJD of the start of the exposure");
    header.set("FILTER", content.filter, "filter");
    header.set("INSTRUME", content.instrument, "camera");
    header.set("TELESCOP", content.telescope, "telescope");
    header.set("ORIGIN", "OAN/SPM", "observatory");
    header.set("OBSERVER", content.observer, "programme");
    header.set("EXPTYPE", content.kind.name(), "type of exposure");
    if let Some(alert) = &content.alert {
        header.set("TRGID", normalise_burst_id(&alert.burst_id), "identifier of the trigger");
    }
    // As on the real camera SOFTGAIN stands beside GAIN and is no gain by itself.
    header.set("SOFTGAIN", content.gain_electrons, "software gain");
    header.set("GAIN", content.gain_electrons, "[electron/adu] gain");
    header.set("RDNOISE", content.read_noise_electrons, "[electron] read noise");
    header.set("SATURATE", content.saturation, "[adu] saturation");
    header.set("BINNING", 1u32, "pixels binned on each axis");
    header.set("CCDTEMP", content.temperature_celsius, "[degC] detector temperature");
    header.set("READMODE", content.readout_mode, "readout mode");
    if let Some(object) = content.object {
        header.set("OBJECT", object, "target");
    }
    if let Some(target) = content.target {
        header.set("STRCURA", target.ra_degrees, "[deg] pointing, right ascension");
        header.set("STRCUDE", target.dec_degrees, "[deg] pointing, declination");
        let middle = content.start.plus_seconds(content.exposure_seconds / 2.0);
        if let Some(airmass) = airmass(target, middle) {
            header.set("AIRMASS", (airmass * 1000.0).round() / 1000.0, "airmass at mid-exposure");
        }
    }
    if let Some(alert) = &content.alert {
        header.set("ALEVT", alert.event_time.iso_milliseconds(), "UTC of the event");
        if let Some(estimate) = &alert.estimate {
            header.set("ALRA", estimate.position.ra_degrees, "[deg] alert, right ascension");
            header.set("ALDE", estimate.position.dec_degrees, "[deg] alert, declination");
            if let Some(radius) = estimate.radius_degrees {
                header.set("ALUN", radius, "[deg] alert, uncertainty");
            }
        }
    }
    if let Some(conditions) = conditions {
        wcs_cards::write(&mut header, &conditions.nominal);
    }
    header
}

/// Airmass of a position seen from the observatory, by the interpolation of Pickering (2002, DIO 12, 1, 20);
/// `None` near and below the horizon.
fn airmass(position: SkyPosition, instant: UtcTime) -> Option<f64> {
    // Greenwich mean sidereal time to the arcminute (Astronomical Almanac, B8, linear term).
    let days = instant.mjd() - 51_544.5;
    let sidereal_degrees = 280.460_618 + 360.985_647_37 * days + SITE_LONGITUDE;
    let hour_angle = (sidereal_degrees - position.ra_degrees).to_radians();
    let (sin_latitude, cos_latitude) = SITE_LATITUDE.to_radians().sin_cos();
    let (sin_dec, cos_dec) = position.dec_degrees.to_radians().sin_cos();
    let sin_altitude = sin_latitude * sin_dec + cos_latitude * cos_dec * hour_angle.cos();
    let altitude = sin_altitude.clamp(-1.0, 1.0).asin().to_degrees();
    (altitude > LOWEST_ALTITUDE_DEGREES).then(|| {
        let bent = altitude + 244.0 / (165.0 + 47.0 * altitude.powf(1.1));
        1.0 / bent.to_radians().sin()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn airmass_of_known_instants() {
        // tests/oracles/airmass.py (astropy AltAz at the site, no refraction).
        #[derive(serde::Deserialize)]
        struct Case {
            ra: f64,
            dec: f64,
            instant: UtcTime,
            altitude: f64,
        }
        let cases: Vec<Case> =
            serde_json::from_str(include_str!("../../tests/oracles/airmass.json")).unwrap();
        for case in cases {
            let found = airmass(SkyPosition::new(case.ra, case.dec), case.instant);
            if case.altitude < LOWEST_ALTITUDE_DEGREES {
                assert_eq!(found, None);
            } else {
                let plane_parallel = 1.0 / case.altitude.to_radians().sin();
                // Half a percent: precession since J2000 and refraction, which Pickering's form includes.
                let found = found.unwrap();
                assert!((found / plane_parallel - 1.0).abs() < 5e-3, "{found} {plane_parallel}");
            }
        }
    }

    #[test]
    fn an_alert_frame_says_what_was_known() {
        let centre = SkyPosition::new(30.2695, 24.5099);
        let content = HeaderContent {
            kind: FrameKind::Object,
            start: UtcTime::parse("2026-11-01T04:20:05").unwrap(),
            exposure_seconds: 55.0,
            filter: "w",
            telescope: "COATLI",
            instrument: "C0",
            observer: "svom",
            object: Some("SB26110101"),
            target: Some(centre),
            alert: Some(AlertCards {
                burst_id: "sb26110101".to_owned(),
                event_time: UtcTime::parse("2026-11-01T04:18:00").unwrap(),
                estimate: Some(PositionEstimate { position: centre, radius_degrees: None }),
            }),
            gain_electrons: 6.2,
            read_noise_electrons: 8.0,
            saturation: 7000.0,
            temperature_celsius: -40.0,
            readout_mode: "1MHz",
        };
        let header = raw_header(&content, None);
        assert_eq!(header.text("TRGID").as_deref(), Some("26110101"));
        assert_eq!(header.text("DATE-OBS").as_deref(), Some("2026-11-01T04:20:05.000"));
        assert_eq!(header.number("ALRA"), Some(30.2695));
        assert!(header.get("ALUN").is_none(), "no radius was known");
        assert!(header.get("CRVAL1").is_none());
        let other = HeaderContent { alert: None, kind: FrameKind::Bias, ..content };
        let header = raw_header(&other, None);
        assert!(header.get("TRGID").is_none() && header.get("ALEVT").is_none());
        assert_eq!(header.text("EXPTYPE").as_deref(), Some("bias"));
    }
}
