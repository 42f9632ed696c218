//! Ambiguous framing never reaches the backend as a second request (req: S4). Bytes on a raw socket.

use e2e::{Backend, Sandbox, raw};

use crate::PETS;

const HIDDEN: &str = "GET /pets/1.0.0/pets/666 HTTP/1.1\r\nHost: h\r\nX-Api-Key: KEY\r\n\r\n";

/// Heads that must be refused: what stands between the request line and the empty line, and the body behind it.
const FORBIDDEN: &[(&str, &str, &str)] = &[
    (
        "CL then TE",
        "Host: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "0\r\n\r\n",
    ),
    (
        "TE then CL",
        "Host: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "0\r\n\r\n",
    ),
    (
        "two different CL",
        "Host: h\r\nContent-Length: 5\r\nContent-Length: 6\r\n",
        "hello",
    ),
    (
        "two equal CL",
        "Host: h\r\nContent-Length: 5\r\nContent-Length: 5\r\n",
        "hello",
    ),
    ("CL list", "Host: h\r\nContent-Length: 5, 5\r\n", "hello"),
    ("CL plus", "Host: h\r\nContent-Length: +5\r\n", "hello"),
    ("CL negative", "Host: h\r\nContent-Length: -5\r\n", "hello"),
    ("CL empty", "Host: h\r\nContent-Length: \r\n", "hello"),
    (
        "CL hexadecimal",
        "Host: h\r\nContent-Length: 0x5\r\n",
        "hello",
    ),
    (
        "CL too large",
        "Host: h\r\nContent-Length: 99999999999999999999999\r\n",
        "hello",
    ),
    (
        "TE identity",
        "Host: h\r\nTransfer-Encoding: identity\r\n",
        "",
    ),
    (
        "TE gzip, chunked",
        "Host: h\r\nTransfer-Encoding: gzip, chunked\r\n",
        "0\r\n\r\n",
    ),
    (
        "TE chunked twice",
        "Host: h\r\nTransfer-Encoding: chunked, chunked\r\n",
        "0\r\n\r\n",
    ),
    (
        "two TE",
        "Host: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "0\r\n\r\n",
    ),
    (
        "TE misspelt",
        "Host: h\r\nTransfer-Encoding: xchunked\r\n",
        "0\r\n\r\n",
    ),
    (
        "TE with vertical tab",
        "Host: h\r\nTransfer-Encoding: \x0bchunked\r\n",
        "0\r\n\r\n",
    ),
    (
        "TE space before colon",
        "Host: h\r\nTransfer-Encoding : chunked\r\n",
        "0\r\n\r\n",
    ),
    (
        "chunk size plus",
        "Host: h\r\nTransfer-Encoding: chunked\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
    ),
    (
        "chunk size 0x",
        "Host: h\r\nTransfer-Encoding: chunked\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
    ),
    (
        "chunk size not hex",
        "Host: h\r\nTransfer-Encoding: chunked\r\n",
        "5g\r\nhello\r\n0\r\n\r\n",
    ),
    (
        "chunk size empty",
        "Host: h\r\nTransfer-Encoding: chunked\r\n",
        "\r\nhello\r\n0\r\n\r\n",
    ),
    (
        "chunk size overflow",
        "Host: h\r\nTransfer-Encoding: chunked\r\n",
        "10000000000000005\r\nhello\r\n0\r\n\r\n",
    ),
    (
        "chunk without CRLF",
        "Host: h\r\nTransfer-Encoding: chunked\r\n",
        "5\r\nhelloXX0\r\n\r\n",
    ),
    (
        "chunk size with bare LF",
        "Host: h\r\nTransfer-Encoding: chunked\r\n",
        "5\nhello\r\n0\r\n\r\n",
    ),
    ("bare LF in the head", "Host: h\nX: y\r\n", ""),
    ("bare CR in a value", "Host: h\r\nX: a\rb\r\n", ""),
    ("obs-fold", "Host: h\r\nX: a\r\n b\r\n", ""),
    ("no Host", "X: y\r\n", ""),
    ("two Hosts", "Host: h\r\nHost: h\r\n", ""),
    ("NUL in a value", "Host: h\r\nX: a\0b\r\n", ""),
    ("NUL in a name", "Host: h\r\nX\0: a\r\n", ""),
    (
        "Connection names Content-Length",
        "Host: h\r\nConnection: content-length\r\nContent-Length: 5\r\n",
        "hello",
    ),
    (
        "Connection names Transfer-Encoding",
        "Host: h\r\nConnection: close, Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n",
        "0\r\n\r\n",
    ),
    (
        "Connection names Host",
        "Host: h\r\nConnection: host\r\n",
        "",
    ),
    (
        "Connection names Authorization",
        "Host: h\r\nConnection: Authorization\r\n",
        "",
    ),
    (
        "Connection names X-Forwarded-For",
        "Host: h\r\nConnection: x-forwarded-for\r\n",
        "",
    ),
    ("empty name", "Host: h\r\n: y\r\n", ""),
    ("no colon", "Host: h\r\nnonsense\r\n", ""),
];

#[tokio::test]
async fn forbidden_framing_is_refused_and_closed() {
    let backend = Backend::start().await.unwrap();
    let sandbox = Sandbox::start().await.unwrap();
    let api = sandbox
        .api("pets", PETS, &backend.url(), "Unlimited")
        .await
        .unwrap();
    let address = sandbox.running.gateway_http();
    backend.forget();
    for (name, head, body) in FORBIDDEN {
        let hidden = HIDDEN.replace("KEY", &api.key);
        let text = format!(
            "POST /pets/1.0.0/pets HTTP/1.1\r\nX-Api-Key: {}\r\n{head}\r\n{body}{hidden}",
            api.key
        );
        let answer = raw::send(address, text.as_bytes()).await.unwrap();
        assert!(
            answer.closed,
            "{name}: the connection stayed open: {answer:?}"
        );
        // A body that turns out bad after its head went upstream may also end without any answer.
        let status = answer.status();
        assert!(
            status == 400 || (status == 0 && name.starts_with("chunk")),
            "{name}: {answer:?}"
        );
        assert!(answer.answers() <= 1, "{name}: {answer:?}");
        let seen = backend.seen();
        assert!(
            !seen.iter().any(|seen| seen.target.contains("666")),
            "{name}: a hidden request passed: {seen:?}"
        );
        let whole_passed = seen.iter().any(|seen| seen.method == "POST");
        assert!(!whole_passed, "{name}: the request itself passed: {seen:?}");
    }
}

#[tokio::test]
async fn request_lines_are_strict() {
    let backend = Backend::start().await.unwrap();
    let sandbox = Sandbox::start().await.unwrap();
    let api = sandbox
        .api("pets", PETS, &backend.url(), "Unlimited")
        .await
        .unwrap();
    backend.forget();
    for line in [
        "GET  /pets/1.0.0/pets HTTP/1.1",
        "GET /pets/1.0.0/pets  HTTP/1.1",
        " GET /pets/1.0.0/pets HTTP/1.1",
        "GET /pets/1.0.0/pets HTTP/1.2",
        "GET /pets/1.0.0/pets http/1.1",
        "GET\t/pets/1.0.0/pets HTTP/1.1",
        "G@T /pets/1.0.0/pets HTTP/1.1",
        "GET /pets/1.0.0/pets",
    ] {
        let text = format!("{line}\r\nHost: h\r\nX-Api-Key: {}\r\n\r\n", api.key);
        let answer = raw::send(sandbox.running.gateway_http(), text.as_bytes())
            .await
            .unwrap();
        assert!(
            answer.closed && answer.status() == 400,
            "{line:?}: {answer:?}"
        );
    }
    assert!(backend.seen().is_empty());
}

/// What is well-formed passes, pipelined too.
#[tokio::test]
async fn clean_requests_pass_in_order() {
    let backend = Backend::start().await.unwrap();
    let sandbox = Sandbox::start().await.unwrap();
    let api = sandbox
        .api("pets", PETS, &backend.url(), "Unlimited")
        .await
        .unwrap();
    backend.forget();
    let key = &api.key;
    let post = format!("POST /pets/1.0.0/pets HTTP/1.1\r\nHost: h\r\nX-Api-Key: {key}\r\n");
    let text = format!(
        "{post}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1;a=b\r\n!\r\n0\r\nX-Trailer: t\r\n\r\n\
         {post}Content-Length: 3\r\n\r\nabc\
         GET /pets/1.0.0/pets/7 HTTP/1.1\r\nHost: h\r\nX-Api-Key: {key}\r\nConnection: close\r\n\r\n"
    );
    let answer = raw::send(sandbox.running.gateway_http(), text.as_bytes())
        .await
        .unwrap();
    assert_eq!(answer.answers(), 3, "{answer:?}");
    let seen: Vec<_> = backend
        .seen()
        .into_iter()
        .map(|seen| {
            (
                seen.target,
                String::from_utf8_lossy(&seen.body).into_owned(),
            )
        })
        .collect();
    let expected = [("/pets", "hello!"), ("/pets", "abc"), ("/pets/7", "")];
    assert_eq!(
        seen,
        expected.map(|(target, body)| (target.to_owned(), body.to_owned()))
    );
}
