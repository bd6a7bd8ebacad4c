//! The files of the live page, part of the program: it needs no file on disk and nothing from other hosts.

use super::entity;
use actix_web::{HttpRequest, HttpResponse, web::Bytes};

const HTML: &str = "text/html; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const DRAWING: &str = "image/svg+xml";

/// Name, content type, text.
const FILES: [(&str, &str, &str); 10] = [
    ("index.html", HTML, include_str!("page/index.html")),
    ("page.css", STYLE, include_str!("page/page.css")),
    ("page.js", SCRIPT, include_str!("page/page.js")),
    ("connection.js", SCRIPT, include_str!("page/connection.js")),
    ("format.js", SCRIPT, include_str!("page/format.js")),
    ("elements.js", SCRIPT, include_str!("page/elements.js")),
    ("trigger.js", SCRIPT, include_str!("page/trigger.js")),
    ("light_curve.js", SCRIPT, include_str!("page/light_curve.js")),
    ("panels.js", SCRIPT, include_str!("page/panels.js")),
    ("icon.svg", DRAWING, include_str!("page/icon.svg")),
];

/// The file of that name, if the page has it.
pub(super) fn file(request: &HttpRequest, name: &str) -> Option<HttpResponse> {
    let (_, content_type, text) = FILES.iter().find(|(known, _, _)| *known == name)?;
    Some(entity::respond(request, content_type, Bytes::from_static(text.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_asks_nothing_of_other_hosts_and_is_small() {
        let mut total = 0;
        for (name, _, text) in FILES {
            total += text.len();
            // The only address with a host is the name of the SVG namespace, which nothing fetches.
            for (at, _) in text.match_indices("://") {
                let start =
                    text[..at].rfind(['"', '\'', '`', ' ', '(']).map_or(0, |index| index + 1);
                assert!(
                    text[start..].starts_with("http://www.w3.org/2000/svg"),
                    "{name}: {}",
                    &text[start..(start + 60).min(text.len())]
                );
            }
        }
        assert!(total < 100_000, "{total} bytes");
    }

    #[test]
    fn everything_the_page_refers_to_is_there() {
        for (name, content_type, text) in FILES {
            let marks: &[&str] = match content_type {
                HTML => &["href=\"/page/", "src=\"/page/"],
                SCRIPT => &["from \"./"],
                _ => &[],
            };
            for mark in marks {
                for (at, _) in text.match_indices(mark) {
                    let rest = &text[at + mark.len()..];
                    let wanted = &rest[..rest.find('"').unwrap()];
                    assert!(
                        FILES.iter().any(|(known, _, _)| *known == wanted),
                        "{name} refers to {wanted}"
                    );
                }
            }
        }
        let (_, _, html) = FILES[0];
        assert!(!html.contains("style="), "the content security policy forbids inline styles");
        assert!(!html.contains("<script>"), "the content security policy forbids inline scripts");
    }
}
