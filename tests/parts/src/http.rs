//! One call over HTTP/1.1, without a library: what the parts here need to be asked.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// A machine that is busy with everything else may stand still for seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// Status and body of a `GET`; `None` when nobody answers in time.
pub(crate) fn get(address: &str, target: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    // HTTP/1.0: the body ends with the connection and comes in one piece.
    let request = format!("GET {target} HTTP/1.0\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, body.to_owned()))
}
