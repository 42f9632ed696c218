//! The public suite for HTTP/2, over clear text and over TLS. What does not pass is listed, with its reason; a case that
//! passes and is listed fails the test too, so that the list stays true.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use parts::h2spec::{self, Outcome};
use tokio::net::TcpListener;

use crate::sandbox::Setup;
use crate::tls::https;

/// Cases that do not pass: over what, which one, why. It is the table of docs/http2.md.
const NOT_PASSED: &[(&str, &str, &str)] = &[(
    "clear text",
    "http2/3.5: Sends invalid connection preface",
    "the port speaks HTTP/1.1 too, and what does not begin like HTTP/2 is answered as HTTP/1.1, with 400",
)];

/// A backend that reads whole requests and answers each with more than one window of one byte.
fn serve(listener: TcpListener) {
    let service =
        hyper::service::service_fn(|request: http::Request<hyper::body::Incoming>| async {
            use http_body_util::BodyExt;
            let _read = request.into_body().collect().await;
            let body = http_body_util::Full::new(bytes::Bytes::from(vec![b'x'; 1000]));
            Ok::<_, std::convert::Infallible>(http::Response::new(body))
        });
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let io = hyper_util::rt::TokioIo::new(stream);
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(io, service));
        }
    });
}

async fn suite(server: SocketAddr, tls: bool) -> BTreeMap<String, Outcome> {
    let run = move || h2spec::run(server, tls, "/shop/items");
    tokio::task::spawn_blocking(run).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_case_passes_or_is_listed_with_its_reason() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    serve(listener);
    let folder = tempfile::tempdir().unwrap();
    let endpoint = crate::sandbox::endpoint(snapshot::Scheme::Http, "127.0.0.1", addr.port());
    let mut setup = Setup::new(vec![endpoint]);
    https(&mut setup, folder.path());
    let sandbox = setup.start();
    let clear = suite(sandbox.gateway.http_addr().unwrap(), false).await;
    let tls = suite(sandbox.gateway.https_addr().unwrap(), true).await;
    for (over, cases) in [("clear text", clear), ("TLS", tls)] {
        assert!(cases.len() > 140, "{over}: {} cases", cases.len());
        let not_passed: BTreeMap<_, _> = cases
            .iter()
            .filter(|(_, outcome)| **outcome != Outcome::Passed)
            .collect();
        let found: Vec<_> = not_passed.keys().map(|name| name.as_str()).collect();
        let here = NOT_PASSED.iter().filter(|(where_to, ..)| *where_to == over);
        let mut listed: Vec<_> = here.map(|(_, name, _)| *name).collect();
        listed.sort_unstable();
        assert_eq!(found, listed, "over {over}: {not_passed:#?}");
    }
}
