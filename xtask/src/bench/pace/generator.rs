//! A load generator that begins calls at a constant rate, whether the answers to earlier ones are there or not: wrk
//! and h2load wait for answers, and so do not see what a queue costs. One thread, HTTP/1.1, connections kept alive.
//!
//! A machine that is held up for 20 ms, as virtual machines are, delays one call in a hundred of two seconds by itself. So
//! percentiles are those of short windows: what happens in most of them belongs to what is measured.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};
use rustix::thread::set_current_timer_slack;
use serde::{Deserialize, Serialize};

/// Connections that calls are spread over.
pub(crate) const CONNECTIONS: usize = 64;
/// The first part of the calls warms up and is not counted: one in so many.
const WARM_UP: u64 = 10;
/// Calls belong to the window in which they were due.
const WINDOW: Duration = Duration::from_millis(250);
/// A turn of the generator's own loop that takes so long was not its doing: it never waits for anything that long.
const HELD_UP: Duration = Duration::from_millis(2);
/// How long the last answers may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// What came out.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Latency {
    /// Calls that were counted.
    pub(crate) calls: u64,
    /// The median, in microseconds from when a call was due until its answer was read.
    pub(crate) p50_us: f64,
    /// What one in a hundred of all exceeds.
    pub(crate) p99_us: f64,
    /// The same of each window.
    pub(crate) windows_p99_us: Vec<f64>,
    /// Windows in which the generator itself was held up.
    pub(crate) held_up: usize,
}

/// `ADDRESS PATH RATE SECONDS`; prints a [`Latency`] as JSON.
///
/// # Errors
/// When a call fails, or an answer has another length than the first.
pub(crate) fn main(arguments: impl Iterator<Item = String>) -> anyhow::Result<()> {
    let arguments: Vec<String> = arguments.collect();
    let [address, path, rate, seconds] = &arguments[..] else {
        anyhow::bail!("usage: bench-pace ADDRESS PATH RATE SECONDS");
    };
    let (rate, seconds): (u64, u64) = (rate.parse()?, seconds.parse()?);
    ensure!(rate > 0, "the rate is at least 1");
    // Otherwise the kernel puts off the end of a pause by up to 50 µs, to spare wake-ups.
    set_current_timer_slack(NonZeroU64::new(1))?;
    let latency = Pacer::connect(address.parse()?, path)?.run(rate, rate * seconds)?;
    println!("{}", serde_json::to_string(&latency)?);
    Ok(())
}

struct Pacer {
    connections: Vec<Connection>,
    epoll: rustix::fd::OwnedFd,
    request: Vec<u8>,
    /// Bytes of an answer, head and body: all are alike.
    answer: usize,
}

struct Connection {
    socket: TcpStream,
    due: Instant,
    counted: bool,
    got: usize,
}

impl Pacer {
    fn connect(address: SocketAddr, path: &str) -> anyhow::Result<Self> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n").into_bytes();
        let answer = probe(address, &request)?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut connections = Vec::with_capacity(CONNECTIONS);
        for number in 0..CONNECTIONS {
            let socket = TcpStream::connect(address)?;
            socket.set_nodelay(true)?;
            socket.set_nonblocking(true)?;
            let data = epoll::EventData::new_u64(number as u64);
            epoll::add(&epoll, &socket, data, epoll::EventFlags::IN)?;
            connections.push(Connection {
                socket,
                due: Instant::now(),
                counted: false,
                got: 0,
            });
        }
        Ok(Self {
            connections,
            epoll,
            request,
            answer,
        })
    }

    fn run(mut self, rate: u64, calls: u64) -> anyhow::Result<Latency> {
        let mut free: Vec<usize> = (0..self.connections.len()).collect();
        let mut waiting: VecDeque<(Instant, bool)> = VecDeque::new();
        let mut took = Vec::new();
        let mut held_up = BTreeSet::new();
        let mut events = Vec::with_capacity(CONNECTIONS);
        let begin = Instant::now();
        let due = |call: u64| begin + Duration::from_nanos(call * 1_000_000_000 / rate);
        let (mut next, mut done) = (0, 0);
        let mut turn = begin;
        while done < calls {
            let now = Instant::now();
            if next < calls && now - turn > HELD_UP {
                held_up.insert(window(now - begin));
            }
            turn = now;
            while next < calls && due(next) <= now {
                waiting.push_back((due(next), next >= calls / WARM_UP));
                next += 1;
            }
            while let (Some(at), Some((due, counted))) = (free.last(), waiting.front()) {
                let connection = &mut self.connections[*at];
                (connection.due, connection.counted) = (*due, *counted);
                connection
                    .socket
                    .write_all(&self.request)
                    .context("writing a request")?;
                free.pop();
                waiting.pop_front();
            }
            let until = if next < calls {
                due(next).saturating_duration_since(Instant::now())
            } else {
                ensure!(now < due(calls) + PATIENCE, "answers are missing");
                Duration::from_millis(100)
            };
            // `epoll_wait` counts whole milliseconds, in which dozens of calls fall due; `ppoll` counts nanoseconds.
            let until = Timespec::try_from(until)?;
            poll(&mut [PollFd::new(&self.epoll, PollFlags::IN)], Some(&until))?;
            events.clear();
            let spare = rustix::buffer::spare_capacity(&mut events);
            epoll::wait(&self.epoll, spare, Some(&Timespec::default()))?;
            for event in &events {
                let at = usize::try_from(event.data.u64())?;
                if let Some(us) = self.read(at)? {
                    done += 1;
                    free.push(at);
                    let connection = &self.connections[at];
                    if connection.counted {
                        took.push((window(connection.due - begin), us));
                    }
                }
            }
        }
        Ok(latency(took, held_up.len()))
    }

    /// Reads what is there; gives the time of the call when its answer is complete.
    fn read(&mut self, at: usize) -> anyhow::Result<Option<u64>> {
        let connection = &mut self.connections[at];
        let mut buffer = [0; 4096];
        let length = match connection.socket.read(&mut buffer) {
            Ok(length) => length,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error).context("reading an answer"),
        };
        ensure!(length > 0, "a connection was closed");
        connection.got += length;
        ensure!(
            connection.got <= self.answer,
            "an answer is longer than the first"
        );
        if connection.got < self.answer {
            return Ok(None);
        }
        connection.got = 0;
        Ok(Some(u64::try_from(connection.due.elapsed().as_micros())?))
    }
}

/// One call on a connection of its own; gives the length of its answer.
fn probe(address: SocketAddr, request: &[u8]) -> anyhow::Result<usize> {
    let mut socket = TcpStream::connect(address)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.write_all(request)?;
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let length = socket.read(&mut buffer)?;
        ensure!(length > 0, "the connection was closed");
        answer.extend_from_slice(&buffer[..length]);
        if let Some(length) = length_of(&answer)? {
            return Ok(length);
        }
    }
}

/// The length of an answer, once its head is there.
fn length_of(answer: &[u8]) -> anyhow::Result<Option<usize>> {
    let text = String::from_utf8_lossy(answer);
    let Some((head, _)) = text.split_once("\r\n\r\n") else {
        return Ok(None);
    };
    ensure!(
        head.starts_with("HTTP/1.1 200"),
        "the first call got: {head}"
    );
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse::<usize>().ok())?
    });
    let length = length.context("an answer needs a Content-Length here")?;
    Ok(Some(head.len() + 4 + length))
}

fn window(since_begin: Duration) -> u128 {
    since_begin.as_nanos() / WINDOW.as_nanos()
}

/// Of times in microseconds with the windows they belong to.
fn latency(took: Vec<(u128, u64)>, held_up: usize) -> Latency {
    let mut windows: BTreeMap<u128, Vec<u64>> = BTreeMap::new();
    let mut all = Vec::with_capacity(took.len());
    for (window, us) in took {
        windows.entry(window).or_default().push(us);
        all.push(us);
    }
    all.sort_unstable();
    Latency {
        calls: all.len() as u64,
        p50_us: at(&all, 50),
        p99_us: at(&all, 99),
        windows_p99_us: windows
            .into_values()
            .map(|mut us| {
                us.sort_unstable();
                at(&us, 99)
            })
            .collect(),
        held_up,
    }
}

fn at(sorted_us: &[u64], percent: usize) -> f64 {
    let index = (sorted_us.len() * percent / 100).min(sorted_us.len().saturating_sub(1));
    #[expect(clippy::cast_precision_loss, reason = "a call takes less than 2^53 µs")]
    sorted_us.get(index).map_or(0.0, |us| *us as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_all_that_was_counted() {
        let latency = latency((1..=1000).rev().map(|us| (0, us)).collect(), 0);
        assert_eq!(latency.calls, 1000);
        assert!((latency.p50_us - 501.0).abs() < 1e-9 && (latency.p99_us - 991.0).abs() < 1e-9);
    }

    #[test]
    fn what_holds_up_one_window_is_not_in_the_others() {
        let calls = |window, us| (0..100).map(move |_| (window, us));
        let took = calls(0, 10).chain(calls(1, 20_000)).chain(calls(2, 10));
        let latency = latency(took.collect(), 1);
        assert_eq!(latency.windows_p99_us, [10.0, 20_000.0, 10.0]);
        assert!((latency.p99_us - 20_000.0).abs() < 1e-9);
        assert_eq!(latency.held_up, 1);
    }

    #[test]
    fn an_answer_is_as_long_as_it_says() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-length: 3\r\n\r\nabc";
        assert_eq!(length_of(answer).unwrap(), Some(answer.len()));
        assert_eq!(length_of(&answer[..20]).unwrap(), None);
        assert!(length_of(b"HTTP/1.1 404 no\r\n\r\n").is_err());
    }

    #[test]
    fn calls_are_due_at_a_constant_rate_and_all_are_answered() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for socket in listener.incoming() {
                let mut socket = socket.unwrap();
                std::thread::spawn(move || {
                    let mut buffer = [0; 1024];
                    while socket.read(&mut buffer).is_ok_and(|length| length > 0) {
                        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
                        if socket.write_all(answer).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        let begin = Instant::now();
        let pacer = Pacer::connect(address, "/").unwrap();
        let latency = pacer.run(1000, 200).unwrap();
        assert_eq!(latency.calls, 180);
        assert!(begin.elapsed() >= Duration::from_millis(199));
        assert!(latency.p50_us <= latency.p99_us);
    }
}
