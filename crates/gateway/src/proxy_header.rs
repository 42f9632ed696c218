//! The header by which a load balancer says whose connection it passes on: the PROXY protocol, versions 1 and 2.
//!
//! It is read before everything else, TLS included, and only from those who may send it. Source:
//! <https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// How version 2 begins (§2.2).
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, command, family, length.
const V2_HEAD_BYTES: usize = 16;
/// The longest line of version 1, with its end (§2.1).
const V1_BYTES_MAX: usize = 107;

/// A connection does not begin with a header that can be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HeaderFault {
    /// The connection broke or ended.
    #[error("the connection broke within the header of the PROXY protocol: {0}")]
    Read(#[from] io::Error),
    /// It begins with something else.
    #[error("the connection does not begin with a header of the PROXY protocol")]
    Missing,
    /// It is too long.
    #[error("the header of the PROXY protocol is too long")]
    TooLong,
    /// It is no header of version 1 or 2.
    #[error("the header of the PROXY protocol is malformed")]
    Malformed,
}

/// Takes the header off the front of a connection, and nothing behind it. `None`: the proxy speaks for itself, as for
/// its health checks (`LOCAL`, `UNKNOWN`), or for a client without an IP address.
///
/// `bytes_max` is for version 2: addresses have at most 216 bytes, what is beyond may say more.
pub(crate) async fn take(
    tcp: &mut TcpStream,
    bytes_max: usize,
) -> Result<Option<IpAddr>, HeaderFault> {
    // Both versions are longer than that.
    let mut first = [0; SIGNATURE.len()];
    for at in 0..first.len() {
        tcp.read_exact(&mut first[at..=at]).await?;
        let begun = &first[..=at];
        if !SIGNATURE.starts_with(begun) && !b"PROXY ".starts_with(&begun[..begun.len().min(6)]) {
            return Err(HeaderFault::Missing);
        }
    }
    if first == SIGNATURE {
        take_v2(tcp, bytes_max).await
    } else {
        take_v1(tcp, &first).await
    }
}

async fn take_v1(tcp: &mut TcpStream, first: &[u8]) -> Result<Option<IpAddr>, HeaderFault> {
    let mut line = [0; V1_BYTES_MAX];
    line[..first.len()].copy_from_slice(first);
    let mut length = first.len();
    while !line[..length].ends_with(b"\n") {
        if length == line.len() {
            return Err(HeaderFault::TooLong);
        }
        tcp.read_exact(&mut line[length..=length]).await?;
        length += 1;
    }
    let line = std::str::from_utf8(&line[..length]).ok();
    let line = line.and_then(|line| line.strip_suffix("\r\n"));
    line.and_then(source_v1).ok_or(HeaderFault::Malformed)
}

/// The client of a line of version 1; `Some(None)` where it names none.
fn source_v1(line: &str) -> Option<Option<IpAddr>> {
    let mut words = line.split(' ');
    if words.next() != Some("PROXY") {
        return None;
    }
    let family = words.next()?;
    if family == "UNKNOWN" {
        // What stands behind it is to be passed over.
        return Some(None);
    }
    let source: IpAddr = words.next()?.parse().ok()?;
    let destination: IpAddr = words.next()?.parse().ok()?;
    let fits = |ip: IpAddr| match family {
        "TCP4" => ip.is_ipv4(),
        "TCP6" => ip.is_ipv6(),
        _ => false,
    };
    let mut port = || words.next()?.parse::<u16>().ok();
    let _ports = [port()?, port()?];
    let whole = fits(source) && fits(destination) && words.next().is_none();
    whole.then_some(Some(source))
}

async fn take_v2(tcp: &mut TcpStream, bytes_max: usize) -> Result<Option<IpAddr>, HeaderFault> {
    let mut head = [0; V2_HEAD_BYTES];
    head[..SIGNATURE.len()].copy_from_slice(&SIGNATURE);
    tcp.read_exact(&mut head[SIGNATURE.len()..]).await?;
    let [.., high, low] = head;
    let length = V2_HEAD_BYTES + usize::from(u16::from_be_bytes([high, low]));
    if length > bytes_max {
        return Err(HeaderFault::TooLong);
    }
    let mut bytes = vec![0; length];
    bytes[..V2_HEAD_BYTES].copy_from_slice(&head);
    tcp.read_exact(&mut bytes[V2_HEAD_BYTES..]).await?;
    source_v2(head[12], head[13], &bytes[V2_HEAD_BYTES..]).ok_or(HeaderFault::Malformed)
}

/// The client of a header of version 2, of which these are the command, the family, and what stands behind the length.
/// `Some(None)` where it names none.
fn source_v2(command: u8, family: u8, payload: &[u8]) -> Option<Option<IpAddr>> {
    const LOCAL: u8 = 0x20;
    const PROXY: u8 = 0x21;
    match (command, family) {
        (LOCAL, _) | (PROXY, 0x00) => Some(None),
        // TCP over IPv4 and IPv6: source and destination, and both ports behind them.
        (PROXY, 0x11) => {
            let source = payload.get(..12)?.first_chunk::<4>()?;
            Some(Some(Ipv4Addr::from(*source).into()))
        }
        (PROXY, 0x21) => {
            let source = payload.get(..36)?.first_chunk::<16>()?;
            Some(Some(Ipv6Addr::from(*source).into()))
        }
        // A stream of a UNIX socket has two paths.
        (PROXY, 0x31) if payload.len() >= 216 => Some(None),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    const V2_BYTES_MAX: usize = 300;

    /// What is made of these bytes, and what is left behind them.
    async fn read(bytes: &[u8]) -> Result<(Option<IpAddr>, Vec<u8>), HeaderFault> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let (mut served, _) = listener.accept().await.unwrap();
        client.write_all(bytes).await.unwrap();
        client.shutdown().await.unwrap();
        let found = take(&mut served, V2_BYTES_MAX).await?;
        let mut rest = Vec::new();
        served.read_to_end(&mut rest).await.unwrap();
        Ok((found, rest))
    }

    fn v2(command: u8, family: u8, payload: &[u8], rest: &str) -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend([command, family]);
        bytes.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
        bytes.extend_from_slice(payload);
        bytes.extend_from_slice(rest.as_bytes());
        bytes
    }

    #[tokio::test]
    async fn headers_of_both_versions_name_the_client_and_nothing_more_is_taken() {
        let mut v4 = vec![192, 0, 2, 7, 10, 0, 0, 1, 0, 80, 1, 187];
        let mut v6 = vec![0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9];
        v6.extend([0; 20]);
        let plain = v2(0x21, 0x11, &v4, "GET");
        // A further field behind the addresses: its type, its length, three bytes.
        v4.extend([0x04, 0, 3, 1, 2, 3]);
        for (bytes, ip) in [
            (
                b"PROXY TCP4 192.0.2.7 10.0.0.1 80 443\r\nGET".to_vec(),
                Some("192.0.2.7"),
            ),
            (
                b"PROXY TCP6 2001:db8::9 ::1 80 443\r\nGET".to_vec(),
                Some("2001:db8::9"),
            ),
            (b"PROXY UNKNOWN\r\nGET".to_vec(), None),
            (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\nGET".to_vec(), None),
            (plain, Some("192.0.2.7")),
            (v2(0x21, 0x11, &v4, "GET"), Some("192.0.2.7")),
            (v2(0x21, 0x21, &v6, "GET"), Some("2001:db8::9")),
            (v2(0x20, 0x00, &[], "GET"), None),
            (v2(0x20, 0x11, &v4, "GET"), None),
            (v2(0x21, 0x31, &[1; 216], "GET"), None),
        ] {
            let (found, rest) = read(&bytes).await.unwrap();
            let text = String::from_utf8_lossy(&bytes);
            assert_eq!(found, ip.map(|ip| ip.parse().unwrap()), "{text}");
            assert_eq!(rest, b"GET", "{text}");
        }
    }

    #[tokio::test]
    async fn anything_else_is_refused() {
        let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(100));
        let larger = v2(0x21, 0x11, &[0; V2_BYTES_MAX], "");
        for bytes in [
            &b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"[..],
            b"PROXY TCP4 192.0.2.7",
            b"PROXY TCP4 192.0.2.300 10.0.0.1 80 443\r\n",
            b"PROXY TCP4 192.0.2.7 10.0.0.1 80 443\n",
            b"PROXY TCP9 192.0.2.7 10.0.0.1 80 443\r\n",
            b"proxy tcp4 192.0.2.7 10.0.0.1 80 443\r\n",
            b"",
            long.as_bytes(),
            &larger,
            // A version that there is not, a command that there is not, addresses that are not all there.
            &v2(0x31, 0x11, &[0; 12], ""),
            &v2(0x2f, 0x11, &[0; 12], ""),
            &v2(0x21, 0x11, &[0; 4], ""),
        ] {
            let text = String::from_utf8_lossy(bytes).into_owned();
            assert!(read(bytes).await.is_err(), "{text:?}");
        }
    }
}
