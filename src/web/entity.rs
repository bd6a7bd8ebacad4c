//! Bodies that seldom change: sent with an entity tag, so that asking again costs a line (RFC 9110 §8.8.3, §13.1.2).

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH},
    web::Bytes,
};
use sha2::{Digest, Sha256};

/// The body, or 304 when the asker has it already. The tag is a hash of the bytes.
pub(super) fn respond(request: &HttpRequest, content_type: &str, body: Bytes) -> HttpResponse {
    let tag = entity_tag(&body);
    let is_known =
        request.headers().get(IF_NONE_MATCH).and_then(|value| value.to_str().ok()).is_some_and(
            |tags| tags.split(',').any(|one| one.trim().trim_start_matches("W/") == tag),
        );
    let mut response = if is_known { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    response.insert_header((ETAG, tag)).insert_header((CACHE_CONTROL, "no-cache"));
    if is_known {
        response.finish()
    } else {
        response.insert_header((CONTENT_TYPE, content_type.to_owned())).body(body)
    }
}

/// Sixteen hexadecimal digits of the SHA-256 in quotes.
fn entity_tag(body: &[u8]) -> String {
    let digest = Sha256::digest(body);
    let digits: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("\"{digits}\"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    #[test]
    fn what_is_known_is_not_sent_again() {
        let body = || Bytes::from_static(b"pixels");
        let first = respond(&TestRequest::get().to_http_request(), "image/png", body());
        assert_eq!(first.status(), 200);
        let tag = first.headers().get(ETAG).unwrap().clone();
        let ask = |tag: &str| {
            let request = TestRequest::get().insert_header((IF_NONE_MATCH, tag)).to_http_request();
            respond(&request, "image/png", body()).status()
        };
        assert_eq!(ask(tag.to_str().unwrap()), 304);
        assert_eq!(ask(&format!("\"other\", W/{}", tag.to_str().unwrap())), 304);
        assert_eq!(ask("\"other\""), 200);
    }
}
