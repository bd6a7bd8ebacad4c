//! Framing of the VOEvent Transport Protocol: however the bytes are cut, the messages are the same, and memory is bounded.
#![no_main]

use gic::alerts::{TransportMessage, framing::FrameDecoder};
use libfuzzer_sys::fuzz_target;

const LIMIT: usize = 4096;

/// All messages of `bytes`, given in pieces of `size`, and whether a count was above the limit.
fn messages(bytes: &[u8], size: usize) -> (Vec<Vec<u8>>, bool) {
    let mut decoder = FrameDecoder::new(LIMIT);
    let mut found = Vec::new();
    for piece in bytes.chunks(size) {
        decoder.push(piece);
        loop {
            match decoder.next_frame() {
                Ok(Some(message)) => found.push(message),
                Ok(None) => break,
                Err(_) => return (found, true),
            }
        }
        assert!(decoder.pending_bytes() <= LIMIT + 4, "more is kept than one message");
    }
    (found, false)
}

fuzz_target!(|data: &[u8]| {
    let Some((&size, bytes)) = data.split_first() else { return };
    let whole = messages(bytes, bytes.len().max(1));
    assert_eq!(messages(bytes, usize::from(size).max(1)), whole);
    for message in &whole.0 {
        if let Ok(understood) = TransportMessage::parse(message) {
            let again = TransportMessage::parse(understood.to_xml().as_bytes());
            let again = again.expect("what is written is well-formed");
            assert_eq!(again.role, understood.role);
        }
    }
});
