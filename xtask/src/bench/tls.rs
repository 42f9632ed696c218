//! HTTPS, beside nginx with the same certificate: calls on kept connections, handshakes, HTTP/2.

use super::Bench;
use super::calls::{APART, Served};
use super::certificate::Certificate;
use super::load::Load;
use super::nginx::Nginx;
use super::report::Report;
use super::tollway::{Folder, Setup};
use super::turns::{Case, by_turns, table};

/// At most so many times the CPU of nginx.
const HTTP1_MAX: f64 = 1.10;
const HANDSHAKE_MAX: f64 = 1.10;
const HTTP2_MAX: f64 = 1.2;
/// What is called.
const PATH: &str = "/plain/1.0.0/items/42";

/// See the module.
pub(crate) async fn measure(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let core = Some("0");
    let certificate = Certificate::new()?;
    let backend = Nginx::backend(&bench.configs, APART.cores).await?;
    let nginx = Nginx::tls(&bench.configs, backend.address, &certificate, core).await?;
    let folder = Folder::new()?;
    let mut setup = Setup::cores(1, core);
    setup.arguments = certificate.arguments();
    let served = Served::start(bench, &folder, &backend, &setup).await?;
    let https = |address| format!("https://{address}{PATH}");
    let loads = |address| {
        [
            Load::Http1 {
                url: https(address),
                header: None,
            },
            handshakes(address, false),
            handshakes(address, true),
            Load::Http2 {
                url: https(address),
            },
        ]
    };
    let process = &served.platform.process;
    let pairs = loads(nginx.address)
        .into_iter()
        .zip(loads(served.platform.gateway_tls));
    for (kind, (theirs, ours)) in KINDS.iter().zip(pairs) {
        let case = |name, process, load| Case {
            name,
            process,
            load,
        };
        let cases = [
            case(kind.nginx, &nginx.process, theirs),
            case(kind.tollway, process, ours),
        ];
        let turns = by_turns(bench, APART, &cases).await?;
        let table = table(kind.title, kind.note, &cases, &turns);
        report.tables.push(table);
        report
            .figures
            .ratio(kind.figure, turns[1].times(&turns[0]), Some(kind.target));
    }
    Ok(())
}

fn handshakes(address: std::net::SocketAddr, resumed: bool) -> Load {
    Load::Handshakes {
        address,
        path: PATH.to_owned(),
        resumed,
    }
}

/// One way to be loaded over TLS.
struct Kind {
    title: &'static str,
    note: &'static str,
    nginx: &'static str,
    tollway: &'static str,
    figure: &'static str,
    target: f64,
}

const KINDS: [Kind; 4] = [
    Kind {
        title: "HTTPS, kept connections, one core",
        note: "HTTP/1.1 over TLS 1.3, AES-256-GCM, both sides ECDSA P-256; 64 connections, wrk.",
        nginx: "nginx, plain proxy, HTTPS",
        tollway: "Tollway, plain call, HTTPS",
        figure: "HTTPS, plain call on kept connections, × nginx",
        target: HTTP1_MAX,
    },
    Kind {
        title: "Handshakes, one core",
        note: "Full handshakes, TLS 1.3, X25519, ECDSA P-256, no resumption; one call on each connection, one connection \
               after the other (`openssl s_time -new`). What one core can do a second is 10⁶ by the CPU time.",
        nginx: "nginx, full handshake and a call",
        tollway: "Tollway, full handshake and a call",
        figure: "TLS handshake (full), × nginx",
        target: HANDSHAKE_MAX,
    },
    Kind {
        title: "Handshakes with resumption, one core",
        note: "The same with the session resumed (`openssl s_time -reuse`).",
        nginx: "nginx, resumed handshake and a call",
        tollway: "Tollway, resumed handshake and a call",
        figure: "TLS handshake (resumed), × nginx",
        target: HANDSHAKE_MAX,
    },
    Kind {
        title: "HTTP/2, one core",
        note: "HTTP/2 over TLS 1.3 from the client, HTTP/1.1 to the backend; 16 connections with 10 streams each, h2load.",
        nginx: "nginx, plain proxy, HTTP/2",
        tollway: "Tollway, plain call, HTTP/2",
        figure: "HTTP/2, plain call, × nginx",
        target: HTTP2_MAX,
    },
];
