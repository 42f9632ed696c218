//! One request and its answer on an HTTP/1.1 connection to a backend, as the bytes go.

use crate::sandbox::{GET, OK, Peer, Sandbox, called, field};

/// req: S4
#[tokio::test]
async fn an_answer_whose_end_is_ambiguous_is_refused_and_its_connection_closed() {
    for fields in [
        "content-length: 2\r\ntransfer-encoding: chunked",
        "content-length: 2\r\ncontent-length: 3",
        "transfer-encoding: gzip, chunked",
    ] {
        let mut call = called(GET).await;
        call.backend
            .send(format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\nok"))
            .await;
        let (head, body) = call.client.answer().await;
        assert!(head.starts_with("http/1.1 502 "), "{fields}: {head}");
        assert!(body.contains("BACKEND_FAILED"), "{fields}");
        assert!(call.backend.closes().await, "{fields}");
    }
}

#[tokio::test]
async fn interim_answers_are_passed_over_but_not_without_end() {
    let mut call = called(GET).await;
    call.backend
        .send("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n")
        .await;
    call.backend.send(OK).await;
    let (head, body) = call.client.answer().await;
    assert!(head.starts_with("http/1.1 200 "), "{head}");
    assert_eq!((field(&head, "link"), body.as_str()), (None, "ok"));

    call.client.send(GET).await;
    call.backend.head().await;
    call.backend
        .send("HTTP/1.1 103 Early Hints\r\n\r\n".repeat(17))
        .await;
    assert!(call.client.answer().await.0.starts_with("http/1.1 502 "));
    assert!(call.backend.closes().await);
}

#[tokio::test]
async fn what_nobody_asked_for_is_not_taken_for_the_next_answer() {
    let mut call = called(GET).await;
    call.backend
        .send(format!(
            "{OK}HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nother"
        ))
        .await;
    assert_eq!(call.client.answer().await.1, "ok");
    call.client.send(GET).await;
    let mut second = call.peer.accept().await;
    second.head().await;
    second.send(OK).await;
    assert_eq!(call.client.answer().await.1, "ok");
}

#[tokio::test]
async fn bodies_arrive_whole_in_either_coding() {
    let body: String = (0..200_000_u32)
        .map(|index| char::from(b'a' + u8::try_from(index % 26).unwrap()))
        .collect();
    let peer = Peer::bind().await;
    let sandbox = Sandbox::to(&peer);
    let mut client = sandbox.connect().await;
    let post = "POST /shop/items HTTP/1.1\r\nhost: x\r\n";
    client
        .send(format!(
            "{post}content-length: {}\r\n\r\n{body}",
            body.len()
        ))
        .await;
    let mut backend = peer.accept().await;
    let head = backend.head().await;
    assert_eq!(field(&head, "content-length"), Some("200000"));
    assert_eq!(field(&head, "transfer-encoding"), None);
    assert_eq!(backend.exactly(body.len()).await, body.as_bytes());
    backend.send(OK).await;
    assert_eq!(client.answer().await.1, "ok");

    let chunks: String = body
        .as_bytes()
        .chunks(30_000)
        .map(|chunk| {
            let text = std::str::from_utf8(chunk).unwrap();
            format!("{:x}\r\n{text}\r\n", chunk.len())
        })
        .collect();
    client
        .send(format!(
            "{post}transfer-encoding: chunked\r\n\r\n{chunks}0\r\n\r\n"
        ))
        .await;
    let head = backend.head().await;
    assert_eq!(field(&head, "transfer-encoding"), Some("chunked"));
    assert_eq!(field(&head, "content-length"), None);
    let mut joined = String::new();
    loop {
        let line = backend.until("\r\n").await;
        let length = usize::from_str_radix(line.trim_end(), 16).unwrap();
        joined.push_str(&String::from_utf8(backend.exactly(length).await).unwrap());
        assert_eq!(backend.exactly(2).await, b"\r\n");
        if length == 0 {
            break;
        }
    }
    assert_eq!(joined, body);
    backend.send(OK).await;
    assert_eq!(client.answer().await.1, "ok");
}

#[tokio::test]
async fn an_empty_body_says_so_only_where_one_is_expected() {
    let peer = Peer::bind().await;
    let sandbox = Sandbox::to(&peer);
    let mut client = sandbox.connect().await;
    client
        .send("POST /shop/items HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n")
        .await;
    let mut backend = peer.accept().await;
    assert_eq!(field(&backend.head().await, "content-length"), Some("0"));
    backend.send(OK).await;
    client.answer().await;
    client.send(GET).await;
    assert_eq!(field(&backend.head().await, "content-length"), None);
}

#[tokio::test]
async fn a_backend_that_answers_and_closes_before_it_has_read_all_has_answered() {
    let mut call =
        called("POST /shop/items HTTP/1.1\r\nhost: x\r\ncontent-length: 50000000\r\n\r\n").await;
    call.backend
        .send("HTTP/1.1 413 Too Large\r\ncontent-length: 3\r\nconnection: close\r\n\r\nbig")
        .await;
    let (head, body) = call.client.answer().await;
    assert!(head.starts_with("http/1.1 413 "), "{head}");
    assert_eq!(body, "big");
    // The connection is half used: nobody gets it after this request.
    assert!(call.backend.closes().await);
}
