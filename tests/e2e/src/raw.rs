//! Bytes on a socket, for what no HTTP client would send.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::PATIENCE;

/// What came back.
#[derive(Debug)]
pub struct Answer {
    /// All bytes, as text.
    pub text: String,
    /// The peer closed the connection.
    pub closed: bool,
}

impl Answer {
    /// The status of the first answer; 0 where there is none.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.text
            .strip_prefix("HTTP/1.1 ")
            .and_then(|rest| rest.get(..3))
            .and_then(|code| code.parse().ok())
            .unwrap_or(0)
    }

    /// How many answers came.
    #[must_use]
    pub fn answers(&self) -> usize {
        self.text.matches("HTTP/1.1 ").count()
    }
}

/// Sends bytes and reads until the peer closes, or has said nothing for longer than anybody waits.
///
/// # Errors
/// When the connection cannot be made; a reset counts as closed.
pub async fn send(address: SocketAddr, bytes: &[u8]) -> anyhow::Result<Answer> {
    let mut stream = TcpStream::connect(address).await?;
    // A peer that closes while it is still being written to is an answer, not a fault of the test.
    let _ = stream.write_all(bytes).await;
    let mut received = Vec::new();
    let mut buffer = [0; 16 * 1024];
    let closed = loop {
        match tokio::time::timeout(PATIENCE, stream.read(&mut buffer)).await {
            Ok(Ok(0) | Err(_)) => break true,
            Ok(Ok(count)) => received.extend_from_slice(&buffer[..count]),
            Err(_) => break false,
        }
    };
    Ok(Answer {
        text: String::from_utf8_lossy(&received).into_owned(),
        closed,
    })
}
