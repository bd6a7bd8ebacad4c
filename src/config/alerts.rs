//! `[alerts]` of `gic.toml`: what is listened to, and what each packet type does.

use super::{
    error::ConfigError,
    network::{IpNetwork, is_host_and_port},
    toml_reader::Checks,
};
use crate::model::{NoticeEffect, Role};
use serde::{Deserialize, Deserializer, Serialize};
use std::{collections::BTreeMap, net::SocketAddr};

/// The alert receiver and the rules for triggers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AlertsSettings {
    /// Address of the VOEvent Transport Protocol listener.
    pub listen: SocketAddr,
    /// The receiver's own identifier in its acknowledgements.
    pub local_ivo: String,
    /// Packets of other roles are archived only.
    pub accept_roles: Vec<Role>,
    /// An older alert opens no trigger.
    pub maximum_alert_age_hours: f64,
    /// Networks that may send; others are refused without a word.
    pub allow: Vec<IpNetwork>,
    /// Longer packets end the connection.
    pub maximum_packet_bytes: usize,
    /// How long an author may take to send its packet.
    pub idle_timeout_seconds: f64,
    /// Brokers to follow, as `host:port`.
    pub remotes: Vec<String>,
    /// A broker that says nothing for so long, not even `iamalive`, is given up and connected to again.
    pub silence_seconds: f64,
    /// Wait before connecting to a broker again: the first one, doubled with each failure up to the second.
    pub reconnect_seconds: [f64; 2],
    /// Mission, then packet type, then what it does. Rows of a site's file replace or join the shipped ones, one by one.
    #[serde(deserialize_with = "over_shipped_rows")]
    pub effects: PacketRows,
}

/// Mission → packet type → row.
pub type PacketRows = BTreeMap<String, BTreeMap<String, PacketRow>>;

/// What one packet type is called and does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PacketRow {
    pub name: String,
    pub effect: NoticeEffect,
    /// Off: such packets are archived and shown, whatever their effect would be.
    #[serde(default = "switched_on")]
    pub enabled: bool,
}

fn switched_on() -> bool {
    true
}

impl Default for AlertsSettings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8098)),
            local_ivo: "ivo://svom/colibri".into(),
            accept_roles: vec![Role::Observation],
            maximum_alert_age_hours: 48.0,
            allow: ["127.0.0.0/8", "::1/128"].iter().flat_map(|text| text.parse()).collect(),
            // The limit of Comet, the broker the science centre runs.
            maximum_packet_bytes: 99_999,
            idle_timeout_seconds: 20.0,
            remotes: Vec::new(),
            silence_seconds: 120.0,
            reconnect_seconds: [1.0, 60.0],
            effects: shipped_rows(),
        }
    }
}

impl AlertsSettings {
    pub(super) fn check(&self, checks: &Checks<'_>) -> Result<(), ConfigError> {
        checks.require(
            "alerts.local_ivo",
            &self.local_ivo,
            self.local_ivo.starts_with("ivo://") && self.local_ivo.len() > "ivo://".len(),
            "an identifier that begins with ivo://",
        )?;
        let age = self.maximum_alert_age_hours;
        checks.range("alerts.maximum_alert_age_hours", age, 0.0, 1e6)?;
        let bytes = self.maximum_packet_bytes as f64;
        checks.range("alerts.maximum_packet_bytes", bytes, 1000.0, 100e6)?;
        checks.range("alerts.idle_timeout_seconds", self.idle_timeout_seconds, 0.1, 3600.0)?;
        checks.require(
            "alerts.remotes",
            format!("{:?}", self.remotes),
            self.remotes.iter().all(|remote| is_host_and_port(remote)),
            "brokers as host:port",
        )?;
        checks.range("alerts.silence_seconds", self.silence_seconds, 0.1, 86_400.0)?;
        checks.interval("alerts.reconnect_seconds", self.reconnect_seconds)?;
        let [first, longest] = self.reconnect_seconds;
        checks.range("alerts.reconnect_seconds", first, 0.01, 3600.0)?;
        checks.range("alerts.reconnect_seconds", longest, 0.01, 3600.0)?;
        for (mission, rows) in &self.effects {
            for packet_type in rows.keys() {
                checks.require(
                    &format!("alerts.effects.{mission}.{packet_type}"),
                    packet_type,
                    packet_type.parse::<u32>().is_ok(),
                    "a packet type: a whole number",
                )?;
            }
        }
        Ok(())
    }
}

fn over_shipped_rows<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PacketRows, D::Error> {
    let own = PacketRows::deserialize(deserializer)?;
    let mut rows = shipped_rows();
    for (mission, own_rows) in own {
        rows.entry(mission).or_default().extend(own_rows);
    }
    Ok(rows)
}

/// interfaces.md §3. Packet types of the other missions are GCN's.
fn shipped_rows() -> PacketRows {
    use NoticeEffect::{ArchiveOnly, Opens, OpensPreliminary, Refines, Retracts};
    const ROWS: &[(&str, u32, &str, NoticeEffect)] = &[
        ("SVOM", 199, "grm-preliminary", OpensPreliminary),
        ("SVOM", 200, "eclairs-preliminary", OpensPreliminary),
        ("SVOM", 201, "grm-trigger", Opens),
        ("SVOM", 202, "eclairs-wakeup", Opens),
        ("SVOM", 203, "eclairs-catalog", ArchiveOnly),
        ("SVOM", 204, "slewing", Refines),
        ("SVOM", 205, "not-slewing", Refines),
        ("SVOM", 209, "mxt-initial", Refines),
        ("SVOM", 210, "mxt-update", Refines),
        ("SVOM", 211, "vt-candidate", Refines),
        ("SVOM", 219, "retraction", Retracts),
        ("Swift", 61, "bat-position", Opens),
        ("Swift", 67, "xrt-position", Refines),
        ("Swift", 81, "uvot-position", Refines),
        ("Fermi", 110, "gbm-alert", OpensPreliminary),
        ("Fermi", 111, "gbm-flight-position", Opens),
        ("Fermi", 112, "gbm-ground-position", Refines),
        ("Fermi", 115, "gbm-final-position", Refines),
        ("Fermi", 120, "lat-initial-position", Opens),
        ("Fermi", 121, "lat-updated-position", Refines),
        ("Fermi", 128, "lat-offline-position", Opens),
        ("IceCube", 173, "astrotrack-gold", Opens),
        ("IceCube", 174, "astrotrack-bronze", Opens),
        ("IGWN", 150, "preliminary", OpensPreliminary),
        ("IGWN", 151, "initial", Opens),
        ("IGWN", 152, "update", Refines),
        ("IGWN", 163, "early-warning", OpensPreliminary),
        ("IGWN", 164, "retraction", Retracts),
    ];
    let mut rows = PacketRows::new();
    for (mission, packet_type, name, effect) in ROWS {
        let row =
            PacketRow { name: (*name).to_owned(), effect: *effect, enabled: *mission == "SVOM" };
        rows.entry((*mission).to_owned()).or_default().insert(packet_type.to_string(), row);
    }
    rows
}

#[cfg(test)]
mod tests {
    use crate::config::ControllerConfig;
    use crate::model::NoticeEffect;
    use std::path::Path;

    fn parse(text: &str) -> Result<ControllerConfig, crate::config::ConfigError> {
        ControllerConfig::parse(Path::new("gic.toml"), text)
    }

    #[test]
    fn a_sites_rows_join_the_shipped_ones() {
        let text = "[alerts.effects.SVOM]\n203 = { name = \"eclairs-catalog\", effect = \"opens\" }\n214 = { name = \"fgft-candidate\", effect = \"refines\", enabled = false }\n";
        let effects = parse(text).unwrap().alerts.effects;
        let svom = &effects["SVOM"];
        assert_eq!(svom["203"].effect, NoticeEffect::Opens);
        assert!(!svom["214"].enabled);
        assert_eq!(svom["202"].effect, NoticeEffect::Opens);
        assert!(!effects["Swift"]["61"].enabled);
    }

    #[test]
    fn wrong_rows_are_explained() {
        let message = |text: &str| parse(text).unwrap_err().to_string();
        let effect = message("[alerts.effects.SVOM]\n203 = { name = \"x\", effect = \"open\" }\n");
        assert!(effect.contains("line 2") && effect.contains("`opens-preliminary`"), "{effect}");
        assert!(effect.contains("did you mean 'opens'"), "{effect}");
        let number =
            message("[alerts.effects.SVOM]\nx203 = { name = \"x\", effect = \"opens\" }\n");
        assert!(number.contains("line 2") && number.contains("whole number"), "{number}");
        assert!(message("[alerts]\nallow = [\"localhost\"]\n").contains("is no network"));
        assert!(message("[alerts]\naccept_roles = [\"tests\"]\n").contains("`observation`"));
        for remote in ["fsc", "fsc:", ":8099", "fsc:0", "fsc:70000", "::1:8099", "f c:8099"] {
            let text = format!("[alerts]\nremotes = [\"127.0.0.1:8099\", \"{remote}\"]\n");
            assert!(message(&text).contains("line 2"), "{remote}: {}", message(&text));
        }
        for remote in ["fsc.svom.org:8099", "[::1]:8099"] {
            assert!(parse(&format!("[alerts]\nremotes = [\"{remote}\"]\n")).is_ok(), "{remote}");
        }
        assert!(message("[alerts]\nreconnect_seconds = [60.0, 1.0]\n").contains("line 2"));
        assert!(message("[alerts]\nlocal_ivo = \"svom\"\n").contains("ivo://"));
    }
}
