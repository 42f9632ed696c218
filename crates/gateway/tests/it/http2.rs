//! HTTP/2 on both sides.

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Body, Frame, Incoming};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use snapshot::Protocol;
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::sandbox::{OK, Peer, Sandbox, Setup, field, soon};

async fn h2_client<B>(stream: TcpStream) -> SendRequest<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

fn get(path: &str) -> Request<Full<Bytes>> {
    Request::get(format!("http://Shop.example:80{path}"))
        .body(Full::default())
        .unwrap()
}

#[tokio::test]
async fn prior_knowledge_and_many_streams_on_one_connection() {
    let peer = Peer::bind().await;
    let sandbox = Sandbox::to(&peer);
    let mut sender = h2_client(sandbox.connect_stream().await).await;
    let first = tokio::spawn(sender.send_request(get("/shop/items/1")));
    let mut one = peer.accept().await;
    let head = one.head().await;
    assert!(head.starts_with("get /base/items/1 http/1.1\r\n"));
    assert_eq!(field(&head, "x-forwarded-host"), Some("shop.example:80"));
    let second = tokio::spawn(sender.send_request(get("/shop/items/2")));
    let mut two = peer.accept().await;
    assert!(two.head().await.starts_with("get /base/items/2 "));
    // The later one is answered first.
    for (wire, call) in [(&mut two, second), (&mut one, first)] {
        wire.send(OK).await;
        let response = soon("answer", call).await.unwrap().unwrap();
        assert_eq!(response.version(), Version::HTTP_2);
        assert_eq!(
            response.into_body().collect().await.unwrap().to_bytes(),
            "ok"
        );
    }
    sandbox
        .counts("tollway_gateway_connections_open{protocol=\"h2c\"} 1")
        .await;
    drop(sender);
    sandbox
        .counts("tollway_gateway_connections_open{protocol=\"h2c\"} 0")
        .await;
}

#[tokio::test]
async fn a_stream_that_breaks_is_reset_and_one_that_is_given_up_ends_the_call() {
    let peer = Peer::bind().await;
    let sandbox = Sandbox::to(&peer);
    let mut sender = h2_client(sandbox.connect_stream().await).await;
    let call = tokio::spawn(sender.send_request(get("/shop/items")));
    let mut backend = peer.accept().await;
    backend.head().await;
    backend
        .send("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\npart")
        .await;
    let mut body = soon("answer", call).await.unwrap().unwrap().into_body();
    assert_eq!(
        body.frame().await.unwrap().unwrap().into_data().unwrap(),
        "part"
    );
    drop(backend);
    assert!(soon("reset", body.frame()).await.unwrap().is_err());

    let call = tokio::spawn(sender.send_request(get("/shop/items")));
    let mut backend = peer.accept().await;
    backend.head().await;
    call.abort();
    assert!(backend.closes().await);
}

#[tokio::test]
async fn too_many_header_fields_are_refused() {
    let peer = Peer::bind().await;
    let mut setup = Setup::new(vec![peer.endpoint()]);
    setup.config.limits.headers_max = 5;
    let sandbox = setup.start();
    let mut sender = h2_client(sandbox.connect_stream().await).await;
    let mut request = get("/shop/items");
    for index in 0..6 {
        let name: http::HeaderName = format!("x-{index}").parse().unwrap();
        request.headers_mut().insert(name, "1".parse().unwrap());
    }
    let response = soon("answer", sender.send_request(request)).await.unwrap();
    assert_eq!(response.status(), 431);
    sandbox
        .counts("tollway_gateway_limits_hit_total{limit=\"head\"} 1")
        .await;
}

/// Beyond twice the limit the library answers, before the gateway sees a request: that counts all the same, and once. So
/// do answers of our own beside it, resets and bodies not.
#[tokio::test]
async fn a_head_that_the_library_refuses_is_counted() {
    let peer = Peer::bind().await;
    let mut setup = Setup::new(vec![peer.endpoint()]);
    setup.config.limits.head_bytes_max = 4_000;
    let sandbox = setup.start();
    let mut sender = h2_client(sandbox.connect_stream().await).await;
    let with_field = |bytes: usize| {
        let mut request = get("/none");
        let value = "v".repeat(bytes).parse().unwrap();
        request.headers_mut().insert("x-large", value);
        request
    };
    let mut hits = 0;
    for (bytes, status, hit) in [
        (10, 404, false),
        (5_000, 431, true),
        (10_000, 431, true),
        (10, 404, false),
        (12_000, 431, true),
        (12_000, 431, true),
        (5_000, 431, true),
        (10, 404, false),
    ] {
        let sent = sender.send_request(with_field(bytes));
        let response = soon("answer", sent).await.unwrap();
        assert_eq!(response.status(), status, "{bytes}");
        hits += u32::from(hit);
        sandbox
            .counts(&format!(
                "tollway_gateway_limits_hit_total{{limit=\"head\"}} {hits}"
            ))
            .await;
    }
}

/// A backend over HTTP/2 that echoes bodies, with their trailers.
fn serve_echo(stream: TcpStream) {
    let service = hyper::service::service_fn(|request: Request<Incoming>| async move {
        let path = request.uri().to_string();
        let mut response = Response::new(request.into_body());
        response
            .headers_mut()
            .insert("x-uri", path.parse().unwrap());
        Ok::<_, std::convert::Infallible>(response)
    });
    let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    tokio::spawn(builder.serve_connection(TokioIo::new(stream), service));
}

#[tokio::test]
async fn a_backend_over_http2_streams_both_ways_with_trailers() {
    let peer = Peer::bind().await;
    let mut setup = Setup::new(vec![peer.endpoint()]);
    setup.backend.protocol = Protocol::Http2;
    let sandbox = setup.start();
    let mut sender = h2_client(sandbox.connect_stream().await).await;
    let (frames, mut queue) = mpsc::channel::<Frame<Bytes>>(1);
    let body = StreamBody::new(futures_util::stream::poll_fn(move |cx| {
        queue
            .poll_recv(cx)
            .map(|frame| frame.map(Ok::<_, std::convert::Infallible>))
    }));
    let request = Request::post("http://shop.example/shop/items")
        .body(body)
        .unwrap();
    let call = tokio::spawn(sender.send_request(request));
    serve_echo(peer.accept_stream().await);
    let response = soon("answer", call).await.unwrap().unwrap();
    let uri = format!("http://{}/base/items", peer.addr);
    assert_eq!(response.headers()["x-uri"], uri.as_str());
    let mut body = response.into_body();
    for text in ["one", "two"] {
        frames.send(Frame::data(text.into())).await.unwrap();
        let frame = soon("echo", body.frame()).await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), text);
    }
    let mut trailers = http::HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().unwrap());
    frames
        .send(Frame::trailers(trailers.clone()))
        .await
        .unwrap();
    let last = soon("trailers", body.frame()).await.unwrap().unwrap();
    assert_eq!(last.into_trailers().unwrap(), trailers);
    // Another call takes another stream of the same connection.
    let mut client = sandbox.connect().await;
    client
        .send("GET /shop/items HTTP/1.1\r\nhost: x\r\n\r\n")
        .await;
    assert!(client.head().await.starts_with("http/1.1 200 "));
    sandbox
        .counts("tollway_gateway_upstream_connections_total{event=\"opened\"} 1")
        .await;
}

#[tokio::test]
async fn a_closed_http2_connection_is_replaced() {
    let peer = Peer::bind().await;
    let mut setup = Setup::new(vec![peer.endpoint()]);
    setup.backend.protocol = Protocol::Http2;
    let sandbox = setup.start();
    let mut client = sandbox.connect().await;
    for _ in 0..2 {
        client
            .send("GET /shop/items HTTP/1.1\r\nhost: x\r\n\r\n")
            .await;
        let stream = peer.accept_stream().await;
        let service = hyper::service::service_fn(|_: Request<Incoming>| async move {
            Ok::<_, std::convert::Infallible>(Response::new(Full::new(Bytes::from("ok"))))
        });
        let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        let serving = tokio::spawn(builder.serve_connection(TokioIo::new(stream), service));
        assert!(client.head().await.starts_with("http/1.1 200 "));
        client.until("ok").await;
        serving.abort();
        sandbox.counts("tollway_gateway_upstream_open 0").await;
    }
}

#[tokio::test]
async fn a_client_that_does_not_go_when_it_is_told_is_cut() {
    let peer = Peer::bind().await;
    let clock = std::sync::Arc::new(base::ManualClock::at(1_700_000_000_000));
    let mut setup = Setup::new(vec![peer.endpoint()]);
    setup.clock = clock.clone();
    let sandbox = setup.start();
    // It says hello and never reads or writes again.
    let mut client = sandbox.connect().await;
    client
        .send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        .await;
    sandbox
        .counts("tollway_gateway_connections_open{protocol=\"h2c\"} 1")
        .await;
    clock.advance_ms(76_000);
    sandbox
        .counts("tollway_gateway_limits_hit_total{limit=\"idle_timeout\"} 1")
        .await;
    clock.advance_ms(76_000);
    sandbox
        .counts("tollway_gateway_connections_open{protocol=\"h2c\"} 0")
        .await;
}

/// The gateway's stream limit is announced, and a stream beyond it is not served.
#[tokio::test]
async fn streams_at_a_time_are_limited() {
    let peer = Peer::bind().await;
    let mut setup = Setup::new(vec![peer.endpoint()]);
    setup.config.limits.h2.streams_max = 1;
    let sandbox = setup.start();
    let mut sender = h2_client(sandbox.connect_stream().await).await;
    // One answered call first, so that the client has read the announcement.
    let response = soon("answer", sender.send_request(get("/none")))
        .await
        .unwrap();
    drop(response);
    let first = tokio::spawn(sender.send_request(get("/shop/items/1")));
    let mut one = peer.accept().await;
    one.head().await;
    let second = tokio::spawn(sender.send_request(get("/shop/items/2")));
    one.send(OK).await;
    let body = soon("answer", first).await.unwrap().unwrap().into_body();
    assert_eq!(body.collect().await.unwrap().to_bytes(), "ok");
    // The second waited for its turn, and came over the connection that the first one used.
    assert!(one.head().await.starts_with("get /base/items/2 "));
    one.send(OK).await;
    soon("answer", second).await.unwrap().unwrap();
}
