//! Connecting to the first of several addresses that answers: happy eyeballs, version 2 (RFC 8305).

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::net::TcpStream;

/// Connects; a further address is tried when the one before failed, or did not answer for `delay` (RFC 8305 §5). Without a
/// time limit of its own.
///
/// # Errors
/// That of the address that failed last; `NotFound` without addresses.
pub(super) async fn connect(addresses: &[SocketAddr], delay: Duration) -> io::Result<TcpStream> {
    if let [only] = addresses {
        return to(*only).await;
    }
    let mut waiting = interleaved(addresses);
    let mut trying = FuturesUnordered::new();
    let mut fault = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    loop {
        match waiting.pop_front() {
            Some(next) => trying.push(to(next)),
            None if trying.is_empty() => return Err(fault),
            None => {}
        }
        let next_one = async {
            match waiting.is_empty() {
                true => std::future::pending().await,
                false => tokio::time::sleep(delay).await,
            }
        };
        tokio::select! {
            Some(tried) = trying.next() => match tried {
                Ok(connected) => return Ok(connected),
                Err(error) => fault = error,
            },
            () = next_one => {}
        }
    }
}

async fn to(address: SocketAddr) -> io::Result<TcpStream> {
    let connected = TcpStream::connect(address).await?;
    connected.set_nodelay(true)?;
    Ok(connected)
}

/// The families in turn, IPv6 first (RFC 8305 §4).
fn interleaved(addresses: &[SocketAddr]) -> VecDeque<SocketAddr> {
    let mut six = addresses.iter().filter(|address| address.is_ipv6());
    let mut four = addresses.iter().filter(|address| address.is_ipv4());
    let mut all = VecDeque::with_capacity(addresses.len());
    while all.len() < addresses.len() {
        all.extend(six.next());
        all.extend(four.next());
    }
    all
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use tokio::net::{TcpListener, TcpSocket};

    use super::*;

    #[test]
    fn families_take_turns_and_ipv6_begins() {
        let addresses = [
            "10.0.0.1:1",
            "10.0.0.2:1",
            "10.0.0.3:1",
            "[::1]:1",
            "[::2]:1",
        ];
        let addresses: Vec<SocketAddr> = addresses.map(|text| text.parse().unwrap()).into();
        let shown: Vec<_> = interleaved(&addresses)
            .iter()
            .map(ToString::to_string)
            .collect();
        let expected = [
            "[::1]:1",
            "10.0.0.1:1",
            "[::2]:1",
            "10.0.0.2:1",
            "10.0.0.3:1",
        ];
        assert_eq!(shown, expected);
    }

    #[tokio::test]
    async fn an_address_that_refuses_costs_no_time() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let good = listener.local_addr().unwrap();
        // Bound, so that nobody else gets it, and not listening.
        let closed = TcpSocket::new_v4().unwrap();
        closed.bind(([127, 0, 0, 1], 0).into()).unwrap();
        let bad = closed.local_addr().unwrap();
        let connected = connect(&[bad, good], Duration::from_secs(60))
            .await
            .unwrap();
        assert_eq!(connected.peer_addr().unwrap(), good);
        assert!(connect(&[bad, bad], Duration::from_secs(60)).await.is_err());
        assert!(connect(&[], Duration::from_secs(60)).await.is_err());
    }

    /// An address that takes a connection's first packet and says nothing: a listener whose queue is full.
    #[tokio::test]
    async fn an_address_that_says_nothing_is_passed_by_after_the_delay() {
        let silent =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        silent
            .bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())
            .unwrap();
        silent.listen(0).unwrap();
        let silent_at = silent.local_addr().unwrap().as_socket().unwrap();
        // Fills the queue.
        let mut held = Vec::new();
        for _ in 0..4 {
            let limit = Duration::from_millis(50);
            if let Ok(Ok(stream)) = tokio::time::timeout(limit, TcpStream::connect(silent_at)).await
            {
                held.push(stream);
            }
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let good = listener.local_addr().unwrap();
        let begun = Instant::now();
        let connected = connect(&[silent_at, good], Duration::from_millis(30))
            .await
            .unwrap();
        assert_eq!(connected.peer_addr().unwrap(), good);
        assert!(begun.elapsed() >= Duration::from_millis(30));
    }
}
