//! Addresses of what is served, with every part percent-encoded (RFC 3986 §2.1): a burst id is a text from outside.

use crate::model::{DeadlineName, normalise_burst_id};

/// The candidates of a deadline.
pub(super) fn candidates(burst_id: &str, deadline: DeadlineName) -> String {
    format!("/api/candidates/{}/{deadline}", encoded(&normalise_burst_id(burst_id)))
}

/// A cut-out of a deadline's analysis; `name` may have directories.
pub(super) fn cutout(burst_id: &str, deadline: DeadlineName, name: &str) -> String {
    let name: Vec<String> = name.split('/').map(encoded).collect();
    format!("/cutouts/{}/{deadline}/{}", encoded(&normalise_burst_id(burst_id)), name.join("/"))
}

/// A file of the report of a deadline.
pub(super) fn report(burst_id: &str, deadline: DeadlineName, name: &str) -> String {
    format!("/reports/{}/{deadline}/{}", encoded(&normalise_burst_id(burst_id)), encoded(name))
}

fn encoded(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            result.push(char::from(byte));
        } else {
            result.push_str(&format!("%{byte:02X}"));
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_from_outside_cannot_leave_their_place() {
        let deadline = DeadlineName::Minutes(5);
        assert_eq!(candidates("sb22020379", deadline), "/api/candidates/22020379/T005");
        assert_eq!(candidates("a/../b?c", deadline), "/api/candidates/a%2F..%2Fb%3Fc/T005");
        assert_eq!(
            cutout("sb1", DeadlineName::First, "cutouts/J0326 é.png"),
            "/cutouts/1/FIRST/cutouts/J0326%20%C3%A9.png"
        );
    }
}
