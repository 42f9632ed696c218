//! One canonical path for router, policies and backend (req: S1). Bytes on a raw socket.

use e2e::{Backend, Sandbox, raw};

/// `{id}` would swallow anything in one segment; `/admin` is not an operation.
const DEFINITION: &str = r#"
openapi: 3.1.0
info: {title: Files, version: 1.0.0}
paths:
  /files/{id}:
    get: {responses: {"200": {description: ok}}}
  /open:
    get: {responses: {"200": {description: ok}}}
"#;

#[tokio::test]
async fn unsafe_paths_are_refused() {
    let backend = Backend::start().await.unwrap();
    let sandbox = Sandbox::start().await.unwrap();
    let api = sandbox
        .api("files", DEFINITION, &backend.url(), "Unlimited")
        .await
        .unwrap();
    backend.forget();
    for rest in [
        "/files/..",
        "/files/.",
        "/files/../admin",
        "/files/./x",
        "/files/%2e%2e",
        "/files/%2E%2e/admin",
        "/files/.%2e",
        "/files/%2e",
        "/files/..%2fadmin",
        "/files/a%2fb",
        "/files/a%2Fb",
        "/files/%2f",
        "/files/a%5cb",
        "/files/a\\b",
        "/files/..\\admin",
        "/files/%252e%252e",
        "/files/%252f",
        "/files/a%255cb",
        "/files/%25252e",
        "/files/a%00b",
        "/files/%0d%0aX:y",
        "/files/%zz",
        "/files/%2",
        "/files/%",
        "/files/..;/admin",
        "/files/..%3b/admin",
        "/files/a%c0%afb",
        "/files/%e0%80%af",
        "/../files/x",
        "/%2e%2e/files/x",
        "/files/x/..",
        "/files/x/../../open",
    ] {
        let text = format!(
            "GET /files/1.0.0{rest} HTTP/1.1\r\nHost: h\r\nX-Api-Key: {}\r\nConnection: close\r\n\r\n",
            api.key
        );
        let answer = raw::send(sandbox.running.gateway_http(), text.as_bytes())
            .await
            .unwrap();
        let status = answer.status();
        assert!(status == 400, "{rest}: {answer:?}");
        assert!(
            backend.seen().is_empty(),
            "{rest}: reached the backend as {:?}",
            backend.seen()
        );
    }
}

/// Harmless spellings of one path are one path: the backend gets the canonical one.
#[tokio::test]
async fn harmless_spellings_become_one() {
    let backend = Backend::start().await.unwrap();
    let sandbox = Sandbox::start().await.unwrap();
    let api = sandbox
        .api("files", DEFINITION, &backend.url(), "Unlimited")
        .await
        .unwrap();
    for (sent, expected) in [
        ("/files/%61bc", "/files/abc"),
        ("/files/a%20b", "/files/a%20b"),
        ("/files/%c3%a9", "/files/%C3%A9"),
        ("/files/a%2db~", "/files/a-b~"),
        ("/%66iles/x", "/files/x"),
        ("/files/a.b", "/files/a.b"),
        ("/files/x?q=%2e%2e/..", "/files/x?q=%2e%2e/.."),
    ] {
        backend.forget();
        let text = format!(
            "GET /files/1.0.0{sent} HTTP/1.1\r\nHost: h\r\nX-Api-Key: {}\r\nConnection: close\r\n\r\n",
            api.key
        );
        let answer = raw::send(sandbox.running.gateway_http(), text.as_bytes())
            .await
            .unwrap();
        assert_eq!(answer.status(), 200, "{sent}: {answer:?}");
        assert_eq!(backend.seen()[0].target, expected, "{sent}");
    }
}
