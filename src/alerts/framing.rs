//! Framing of the VOEvent Transport Protocol (IVOA Recommendation VTP 2.0, 2017-03-20, §3.1): every message is a
//! four-byte big-endian count and so many bytes.

use std::{io, time::Duration};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// What Comet takes; a longer message ends the connection.
pub const COMET_MAXIMUM_BYTES: usize = 99_999;
const COUNT_BYTES: usize = 4;
const READ_BUFFER_BYTES: usize = 8192;

/// Why a message did not come or go. Trying again on a new connection is safe for all but [`FramingError::TooLong`]; a
/// packet may then be seen twice, which receivers recognise.
#[derive(Debug, thiserror::Error)]
pub enum FramingError {
    #[error("a message of {length} bytes is longer than the {limit} allowed")]
    TooLong { length: usize, limit: usize },
    #[error("the connection ended after {received} bytes of a message")]
    Truncated { received: usize },
    #[error("nothing complete came within {seconds} s")]
    Timeout { seconds: f64 },
    #[error("the connection failed: {0}")]
    Connection(#[from] io::Error),
}

/// Takes bytes as they come and gives messages as they are complete. Memory is bounded by the limit and by what is pushed
/// at once; a count alone reserves nothing.
#[derive(Debug, Clone)]
pub struct FrameDecoder {
    limit: usize,
    buffer: Vec<u8>,
}

impl FrameDecoder {
    pub fn new(limit: usize) -> Self {
        Self { limit, buffer: Vec::new() }
    }

    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Length of the message at the front, if its count is there; refuses one above the limit before any of it is read.
    fn check(&self) -> Result<Option<usize>, FramingError> {
        let Some(count) = self.buffer.first_chunk::<COUNT_BYTES>() else { return Ok(None) };
        // A count that does not fit in memory is above any limit.
        let length = usize::try_from(u32::from_be_bytes(*count)).unwrap_or(usize::MAX);
        if length > self.limit {
            return Err(FramingError::TooLong { length, limit: self.limit });
        }
        Ok(Some(length))
    }

    /// The next complete message, if there is one.
    pub fn next_frame(&mut self) -> Result<Option<Vec<u8>>, FramingError> {
        let Some(length) = self.check()? else { return Ok(None) };
        if self.buffer.len() < COUNT_BYTES + length {
            return Ok(None);
        }
        let rest = self.buffer.split_off(COUNT_BYTES + length);
        let mut frame = std::mem::replace(&mut self.buffer, rest);
        Ok(Some(frame.split_off(COUNT_BYTES)))
    }

    /// Bytes of an incomplete message.
    pub fn pending_bytes(&self) -> usize {
        self.buffer.len()
    }
}

/// A message as it goes over the wire.
pub fn encode(payload: &[u8], limit: usize) -> Result<Vec<u8>, FramingError> {
    let too_long = || FramingError::TooLong { length: payload.len(), limit };
    let count = u32::try_from(payload.len()).map_err(|_| too_long())?;
    if payload.len() > limit {
        return Err(too_long());
    }
    Ok([count.to_be_bytes().as_slice(), payload].concat())
}

/// Reads one message within `timeout` from now; `Ok(None)` if the peer closes before the first byte.
pub async fn read_frame<S: AsyncRead + Unpin>(
    stream: &mut S,
    decoder: &mut FrameDecoder,
    timeout: Duration,
) -> Result<Option<Vec<u8>>, FramingError> {
    let reading = async {
        let mut bytes = [0_u8; READ_BUFFER_BYTES];
        loop {
            if let Some(frame) = decoder.next_frame()? {
                return Ok(Some(frame));
            }
            match stream.read(&mut bytes).await? {
                0 if decoder.pending_bytes() == 0 => return Ok(None),
                0 => return Err(FramingError::Truncated { received: decoder.pending_bytes() }),
                count => decoder.push(bytes.get(..count).unwrap_or_default()),
            }
        }
    };
    match tokio::time::timeout(timeout, reading).await {
        Ok(result) => result,
        Err(_) => Err(FramingError::Timeout { seconds: timeout.as_secs_f64() }),
    }
}

/// Writes one message and flushes it within `timeout`.
pub async fn write_frame<S: AsyncWrite + Unpin>(
    stream: &mut S,
    payload: &[u8],
    limit: usize,
    timeout: Duration,
) -> Result<(), FramingError> {
    let message = encode(payload, limit)?;
    let writing = async {
        stream.write_all(&message).await?;
        stream.flush().await
    };
    match tokio::time::timeout(timeout, writing).await {
        Ok(result) => result.map_err(FramingError::from),
        Err(_) => Err(FramingError::Timeout { seconds: timeout.as_secs_f64() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_count_is_big_endian() {
        assert_eq!(encode(b"abc", 10).unwrap(), b"\x00\x00\x00\x03abc");
        assert_eq!(encode(b"", 10).unwrap(), b"\x00\x00\x00\x00");
        assert!(matches!(encode(b"abc", 2), Err(FramingError::TooLong { length: 3, limit: 2 })));
    }

    #[test]
    fn a_count_above_the_limit_is_refused_at_once() {
        let mut decoder = FrameDecoder::new(COMET_MAXIMUM_BYTES);
        decoder.push(&100_000_u32.to_be_bytes());
        assert!(matches!(decoder.next_frame(), Err(FramingError::TooLong { length: 100_000, .. })));
        let mut decoder = FrameDecoder::new(COMET_MAXIMUM_BYTES);
        decoder.push(b"GET / HTTP/1.1\r\n");
        assert!(matches!(decoder.next_frame(), Err(FramingError::TooLong { .. })));
    }

    #[tokio::test]
    async fn messages_come_through_a_stream_in_pieces() {
        let (mut writer, mut reader) = tokio::io::duplex(3);
        let writing = async {
            for payload in [b"first".as_slice(), b"", b"second"] {
                write_frame(&mut writer, payload, 100, SECOND).await.unwrap();
            }
            drop(writer);
        };
        let reading = async {
            let mut decoder = FrameDecoder::new(100);
            let mut frames = Vec::new();
            while let Some(frame) = read_frame(&mut reader, &mut decoder, SECOND).await.unwrap() {
                frames.push(frame);
            }
            frames
        };
        let ((), frames) = tokio::join!(writing, reading);
        assert_eq!(frames, [b"first".to_vec(), b"".to_vec(), b"second".to_vec()]);
    }

    #[tokio::test]
    async fn an_incomplete_message_is_truncated_or_times_out() {
        let (mut writer, mut reader) = tokio::io::duplex(100);
        writer.write_all(b"\x00\x00\x00\x09part").await.unwrap();
        let mut decoder = FrameDecoder::new(100);
        let error = read_frame(&mut reader, &mut decoder, Duration::from_millis(20)).await;
        assert!(matches!(error, Err(FramingError::Timeout { .. })));
        drop(writer);
        let error = read_frame(&mut reader, &mut decoder, SECOND).await;
        assert!(matches!(error, Err(FramingError::Truncated { received: 8 })));
    }

    proptest! {
        #[test]
        fn any_split_of_the_bytes_gives_the_same_messages(
            payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..6),
            sizes in prop::collection::vec(1_usize..200, 1..40),
        ) {
            let bytes: Vec<u8> = payloads.iter().flat_map(|each| encode(each, 1000).unwrap()).collect();
            let mut decoder = FrameDecoder::new(1000);
            let mut rest = bytes.as_slice();
            let mut frames = Vec::new();
            for size in sizes.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (piece, after) = rest.split_at((*size).min(rest.len()));
                decoder.push(piece);
                rest = after;
                while let Some(frame) = decoder.next_frame().unwrap() {
                    frames.push(frame);
                }
            }
            prop_assert_eq!(frames, payloads);
            prop_assert_eq!(decoder.pending_bytes(), 0);
        }
    }
}
