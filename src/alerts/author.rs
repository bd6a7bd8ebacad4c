//! The author's side: hand over one packet and wait for its acknowledgement.

use super::transport::{Transport, TransportError, TransportRole, read_frame, write_frame};
use std::{io, net::SocketAddr, time::Duration};
use tokio::net::TcpStream;

/// Longest answer that is read.
const MAXIMUM_ANSWER_BYTES: usize = 99_999;

/// Why a packet was not acknowledged.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    #[error("cannot connect to {address}: {source}")]
    Connect { address: SocketAddr, source: io::Error },
    #[error(transparent)]
    Transport(#[from] TransportError),
    #[error("the receiver closed the connection without an answer")]
    NoAnswer,
    /// A permanent failure: the same packet is not to be sent again.
    #[error("refused: {reason}")]
    Nak { reason: String },
    #[error("the answer is neither ack nor nak")]
    Unexpected,
}

impl SendError {
    /// Whether the same packet may be sent again.
    pub fn is_retry_safe(&self) -> bool {
        !matches!(self, Self::Nak { .. })
    }
}

/// Sends a packet; returns the acknowledged identifier. Success only on ack.
pub async fn send(
    address: SocketAddr,
    packet: &[u8],
    timeout: Duration,
) -> Result<String, SendError> {
    let connecting = tokio::time::timeout(timeout, TcpStream::connect(address));
    let mut stream = connecting
        .await
        .map_err(|_| SendError::Transport(TransportError::Timeout(timeout)))?
        .map_err(|source| SendError::Connect { address, source })?;
    write_frame(&mut stream, packet, timeout).await?;
    let answer =
        read_frame(&mut stream, MAXIMUM_ANSWER_BYTES, timeout).await?.ok_or(SendError::NoAnswer)?;
    let message = Transport::parse(&answer)?;
    match message.role {
        TransportRole::Ack => Ok(message.origin),
        TransportRole::Nak => Err(SendError::Nak { reason: message.result.unwrap_or_default() }),
        TransportRole::IAmAlive | TransportRole::Authenticate => Err(SendError::Unexpected),
    }
}
