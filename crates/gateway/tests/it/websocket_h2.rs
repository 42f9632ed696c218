//! WebSockets to backends that speak HTTP/2: a stream becomes the tunnel (RFC 8441).

use bytes::Bytes;
use h2::ext::Protocol as Asked;
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::{Method, Request, Response};
use snapshot::{Protocol, Scheme};
use sync::calls::CaSource;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

use crate::sandbox::{GET, Peer, Sandbox, Setup, Wire, endpoint, field, soon};
use crate::tls::backend_tls;
use crate::websocket::{HANDSHAKE, asked_over_http2};

type Arrived = (Request<RecvStream>, SendResponse<Bytes>);

/// Serves one connection of HTTP/2, and shows what arrives.
fn serve<S>(stream: S, takes_tunnels: bool) -> mpsc::UnboundedReceiver<Arrived>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (arrived, arrivals) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut builder = h2::server::Builder::new();
        if takes_tunnels {
            builder.enable_connect_protocol();
        }
        let mut wire = builder.handshake::<_, Bytes>(stream).await.unwrap();
        while let Some(Ok(call)) = wire.accept().await {
            let _ = arrived.send(call);
        }
    });
    arrivals
}

async fn next(arrivals: &mut mpsc::UnboundedReceiver<Arrived>) -> Arrived {
    soon("a call", arrivals.recv()).await.unwrap()
}

/// A gateway before a backend of HTTP/2 alone.
async fn only_h2() -> (Peer, Sandbox) {
    let peer = Peer::bind().await;
    let mut setup = Setup::new(vec![peer.endpoint()]);
    setup.backend.protocol = Protocol::Http2;
    (peer, setup.start())
}

/// Agrees to a WebSocket.
fn agree(mut respond: SendResponse<Bytes>) -> SendStream<Bytes> {
    let answer = Response::builder()
        .header("sec-websocket-protocol", "chat")
        .body(())
        .unwrap();
    respond.send_response(answer, false).unwrap()
}

/// Says everything back, within the windows of both sides.
async fn echo(mut body: RecvStream, mut send: SendStream<Bytes>) {
    while let Some(Ok(mut data)) = body.data().await {
        body.flow_control().release_capacity(data.len()).unwrap();
        while !data.is_empty() {
            send.reserve_capacity(data.len());
            if send.capacity() == 0 {
                let more = std::future::poll_fn(|cx| send.poll_capacity(cx)).await;
                if !matches!(more, Some(Ok(_))) {
                    return;
                }
            }
            let part = data.split_to(send.capacity().min(data.len()));
            if send.send_data(part, false).is_err() {
                return;
            }
        }
    }
    let _ = send.send_data(Bytes::new(), true);
}

/// req: GW14
#[tokio::test]
async fn a_client_of_http1_reaches_a_stream() {
    let (peer, sandbox) = only_h2().await;
    let mut client = sandbox.connect().await;
    client.send(format!("{HANDSHAKE}ahead")).await;
    let mut arrivals = serve(peer.accept_stream().await, true);
    let (request, respond) = next(&mut arrivals).await;
    assert_eq!(request.method(), Method::CONNECT);
    let asked = request.extensions().get::<Asked>();
    assert_eq!(asked.map(Asked::as_str), Some("websocket"));
    assert_eq!(request.uri().path(), "/base/items/live");
    assert_eq!(request.uri().query(), Some("x=1"));
    let headers = request.headers();
    assert_eq!(headers["sec-websocket-version"], "13");
    assert_eq!(headers["sec-websocket-protocol"], "chat");
    for name in ["sec-websocket-key", "connection", "upgrade", "host"] {
        assert!(!headers.contains_key(name), "{name}");
    }
    tokio::spawn(echo(request.into_body(), agree(respond)));
    let head = client.head().await;
    assert!(head.starts_with("http/1.1 101 "), "{head}");
    assert_eq!(field(&head, "connection"), Some("upgrade"));
    assert_eq!(field(&head, "sec-websocket-protocol"), Some("chat"));
    assert_eq!(
        field(&head, "sec-websocket-accept"),
        Some("s3pplmbitxaq9kygzzhzrbk+xoo=")
    );
    assert_eq!(client.exactly(5).await, b"ahead");
    sandbox.counts("tollway_gateway_tunnels_open 1").await;
    // More than all windows: both directions at the same time.
    let sent: Vec<u8> = (0..6_000_000_u32)
        .map(|byte| u8::try_from(byte % 251).unwrap())
        .collect();
    let (mut read, mut write) = tokio::io::split(client.into_inner());
    let mut back = vec![0; sent.len()];
    let (wrote, got) = soon("all of it", async {
        tokio::join!(write.write_all(&sent), read.read_exact(&mut back))
    })
    .await;
    wrote.unwrap();
    got.unwrap();
    assert!(back == sent, "other bytes came back");
    // Its end is the stream's, and the echo's is the client's.
    write.shutdown().await.unwrap();
    assert_eq!(soon("end", read.read(&mut [0; 8])).await.unwrap(), 0);
    sandbox.counts("tollway_gateway_tunnels_open 0").await;
    sandbox
        .counts("tollway_gateway_tunnels_ended_total{by=\"client\"} 1")
        .await;
}

/// The connection is shared: calls and tunnels go over it, and a stream that the backend breaks is the end of its tunnel
/// alone.
#[tokio::test]
async fn tunnels_and_calls_share_a_connection() {
    let (peer, sandbox) = only_h2().await;
    let mut caller = sandbox.connect().await;
    caller.send(GET).await;
    let mut arrivals = serve(peer.accept_stream().await, true);
    let (_, mut respond) = next(&mut arrivals).await;
    respond.send_response(Response::new(()), true).unwrap();
    caller.head().await;
    let mut clients = Vec::new();
    for _ in 0..2 {
        let mut client = sandbox.connect().await;
        client.send(HANDSHAKE).await;
        let (request, respond) = next(&mut arrivals).await;
        let send = agree(respond);
        client.head().await;
        clients.push((client, request.into_body(), send));
    }
    let (mut broken, _, mut send) = clients.remove(0);
    send.send_reset(h2::Reason::CANCEL);
    assert!(broken.closes().await);
    sandbox
        .counts("tollway_gateway_tunnels_ended_total{by=\"backend\"} 1")
        .await;
    let (mut client, mut body, mut send) = clients.remove(0);
    client.send("there").await;
    let data = soon("bytes", body.data()).await.unwrap().unwrap();
    assert_eq!(&data[..], b"there");
    send.send_data(Bytes::from("back"), false).unwrap();
    assert_eq!(client.exactly(4).await, b"back");
    caller.send(GET).await;
    let (_, mut respond) = next(&mut arrivals).await;
    respond.send_response(Response::new(()), true).unwrap();
    caller.head().await;
    // A client that goes takes its stream along.
    drop(client);
    let ended = soon("end", body.data()).await;
    assert!(ended.is_none_or(|end| end.is_ok_and(|data| data.is_empty())));
    sandbox
        .counts("tollway_gateway_upstream_connections_total{event=\"opened\"} 1")
        .await;
}

#[tokio::test]
async fn a_refusal_is_an_answer() {
    let (peer, sandbox) = only_h2().await;
    let mut client = sandbox.connect().await;
    client.send(HANDSHAKE).await;
    let mut arrivals = serve(peer.accept_stream().await, true);
    let (_, mut respond) = next(&mut arrivals).await;
    let answer = Response::builder()
        .status(403)
        .header("content-length", "2")
        .body(())
        .unwrap();
    let mut send = respond.send_response(answer, false).unwrap();
    send.send_data(Bytes::from("no"), true).unwrap();
    let (head, body) = client.answer().await;
    assert!(head.starts_with("http/1.1 403 ") && body == "no", "{head}");
    client.send(GET).await;
    let (_, mut respond) = next(&mut arrivals).await;
    respond.send_response(Response::new(()), true).unwrap();
    assert!(client.head().await.starts_with("http/1.1 200 "));
}

#[tokio::test]
async fn a_backend_that_takes_none_is_told_apart() {
    let (peer, sandbox) = only_h2().await;
    let mut client = sandbox.connect().await;
    client.send(HANDSHAKE).await;
    let mut arrivals = serve(peer.accept_stream().await, false);
    let (head, body) = client.answer().await;
    assert!(head.starts_with("http/1.1 501 "), "{head}");
    assert!(body.contains("UPGRADE_NOT_SUPPORTED"), "{body}");
    assert!(body.contains("takes no WebSockets"), "{body}");
    // Calls go over the connection that was made.
    client.send(GET).await;
    let (_, mut respond) = next(&mut arrivals).await;
    respond.send_response(Response::new(()), true).unwrap();
    assert!(client.head().await.starts_with("http/1.1 200 "));
    sandbox.counts("tollway_gateway_tunnels_open 0").await;
}

/// Where both are spoken, a tunnel goes over a connection of HTTP/2 that stands and takes it, and otherwise over HTTP/1.1.
#[tokio::test]
async fn where_both_are_spoken_it_goes_over_what_stands() {
    for takes_tunnels in [true, false] {
        let peer = Peer::bind().await;
        let (pem, acceptor) = backend_tls(&[b"h2", b"http/1.1"]);
        let mut setup = Setup::new(vec![endpoint(Scheme::Https, "127.0.0.1", peer.addr.port())]);
        setup.backend.calls.tls.ca = Some(CaSource::Inline(pem));
        setup.backend.calls.tls.sni = Some("backend.test".to_owned());
        let sandbox = setup.start();
        // Nothing stands: HTTP/1.1.
        let mut client = sandbox.connect().await;
        client.send(HANDSHAKE).await;
        let stream = acceptor.accept(peer.accept_stream().await).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
        let mut first = Wire::new(stream);
        first.head().await;
        first
            .send("HTTP/1.1 403 No\r\nconnection: close\r\ncontent-length: 2\r\n\r\nno")
            .await;
        assert_eq!(client.answer().await.1, "no");
        // A call brings a connection of HTTP/2.
        client.send(GET).await;
        let stream = acceptor.accept(peer.accept_stream().await).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let mut arrivals = serve(stream, takes_tunnels);
        let (_, mut respond) = next(&mut arrivals).await;
        respond.send_response(Response::new(()), true).unwrap();
        client.head().await;
        client.send(HANDSHAKE).await;
        if takes_tunnels {
            let (request, respond) = next(&mut arrivals).await;
            assert_eq!(request.method(), Method::CONNECT);
            let _send = agree(respond);
            assert!(client.head().await.starts_with("http/1.1 101 "));
        } else {
            let stream = acceptor.accept(peer.accept_stream().await).await.unwrap();
            assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
            let mut backend = Wire::new(stream);
            assert!(backend.head().await.starts_with("get /base/items/live"));
        }
    }
}

/// Streams on both sides.
#[tokio::test]
async fn a_stream_reaches_a_stream() {
    let (peer, sandbox) = only_h2().await;
    let (mut sender, request, driving) = asked_over_http2(&sandbox).await;
    let (answer, mut send) = sender.send_request(request, false).unwrap();
    let mut arrivals = serve(peer.accept_stream().await, true);
    let (request, respond) = next(&mut arrivals).await;
    tokio::spawn(echo(request.into_body(), agree(respond)));
    let answer = soon("answer", answer).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(!answer.headers().contains_key("sec-websocket-accept"));
    send.send_data(Bytes::from("hello"), false).unwrap();
    let mut body = answer.into_body();
    let data = soon("data", body.data()).await.unwrap().unwrap();
    assert_eq!(&data[..], b"hello");
    driving.abort();
}
