//! One bad peer harms itself alone: it hits its limit, the limit is counted, and others go on being served in time.
//! req: S12

mod http1;
mod http2;
mod opening;

use std::sync::Arc;
use std::time::Duration;

use base::{Clock, ManualClock};
use gateway::Limits;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::sandbox::{GET, OK, Peer, Sandbox, Setup, Wire, runs, soon, standing};

/// Nobody waits that long for an answer, whatever a bad peer does, in milliseconds of a clock that stands while the machine does.
const IN_TIME_MS: u64 = 3_000;
/// Who calls while the bad peer is at work.
const HONEST: usize = 3;
/// What each of them gets answered, at least.
const CALLS: usize = 30;

/// A backend that answers every request at once with `ok`, but those of `/slow` never, and those of `/large` with more
/// than all buffers hold.
fn serve(peer: Peer) {
    tokio::spawn(async move {
        loop {
            let mut backend = peer.accept_when_it_comes().await;
            tokio::spawn(async move {
                while let Some(head) = backend.head_or_end().await {
                    if head.contains("/slow ") {
                        std::future::pending::<()>().await;
                    }
                    let sent = if head.contains("/large ") {
                        let size = 64 << 20;
                        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {size}\r\n\r\n");
                        backend.send_all(head.as_bytes()).await
                            && backend.send_all(&vec![b'x'; size]).await
                    } else {
                        backend.send_all(OK.as_bytes()).await
                    };
                    if !sent {
                        break;
                    }
                }
            });
        }
    });
}

/// What honest clients get while a bad peer is at work.
struct Beside {
    sandbox: Sandbox,
    done: watch::Sender<bool>,
    honest: JoinSet<Vec<u64>>,
}

impl Beside {
    /// A gateway under these limits, with honest clients at work.
    async fn start(change: impl FnOnce(&mut Limits)) -> Self {
        let peer = Peer::bind().await;
        let mut setup = Setup::new(vec![peer.endpoint()]);
        change(&mut setup.config.limits);
        Self::over(setup, peer).await
    }

    async fn over(mut setup: Setup, peer: Peer) -> Self {
        serve(peer);
        let clock = standing();
        setup.clock = clock.clone();
        let sandbox = setup.start();
        let (done, _) = watch::channel(false);
        let mut honest = JoinSet::new();
        for _ in 0..HONEST {
            // Time begins when all are there: none is cut off because it was slow to begin.
            let mut client = Wire::new(sandbox.connect_stream().await);
            one_call(&mut client).await;
            honest.spawn(calls(client, Arc::clone(&clock), done.subscribe()));
        }
        runs(&clock);
        Self {
            sandbox,
            done,
            honest,
        }
    }

    /// The bad peer has hit this limit, and nobody else has noticed.
    async fn hit(self, limit: &str) -> Sandbox {
        let Self {
            sandbox,
            done,
            mut honest,
        } = self;
        hit(&sandbox, limit).await;
        done.send(true).unwrap();
        let mut times = Vec::new();
        while let Some(of_one) = soon("honest calls", honest.join_next()).await {
            let of_one = of_one.unwrap();
            assert!(of_one.len() >= CALLS);
            times.extend(of_one);
        }
        times.sort_unstable();
        let p99 = times[times.len() * 99 / 100];
        assert!(p99 < IN_TIME_MS, "p99 of {} calls: {p99} ms", times.len());
        sandbox
    }
}

/// Waits until a limit was counted.
async fn hit(sandbox: &Sandbox, limit: &str) {
    let counted = async {
        let zero = format!("tollway_gateway_limits_hit_total{{limit=\"{limit}\"}} 0");
        let name = zero.trim_end_matches('0').to_owned();
        loop {
            let metrics = sandbox.metrics();
            assert!(metrics.contains(&name), "there is no limit {limit}");
            if !metrics.contains(&format!("{zero}\n")) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon(limit, counted).await;
}

async fn one_call(client: &mut Wire) {
    client.send(GET).await;
    let (head, body) = client.answer().await;
    assert!(head.starts_with("http/1.1 200 ") && body == "ok", "{head}");
}

/// Calls one after the other until the bad peer is done; how many milliseconds each took.
async fn calls(mut client: Wire, clock: Arc<ManualClock>, done: watch::Receiver<bool>) -> Vec<u64> {
    let mut times = Vec::new();
    while times.len() < CALLS || !*done.borrow() {
        let begun_ms = clock.monotonic_ms();
        one_call(&mut client).await;
        times.push(clock.monotonic_ms() - begun_ms);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    times
}
