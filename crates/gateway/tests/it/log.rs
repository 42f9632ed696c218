//! The access log.

use gateway::AccessLogConfig;
use std::time::Duration;

use crate::sandbox::{OK, Peer, Setup};

#[tokio::test]
async fn a_line_says_what_happened_and_nothing_secret() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("access.log");
    let peer = Peer::bind().await;
    let mut setup = Setup::new(vec![peer.endpoint()]);
    setup.config.access_log = Some(AccessLogConfig {
        file: Some(file.clone()),
        ..AccessLogConfig::default()
    });
    let sandbox = setup.start();
    let mut client = sandbox.connect().await;
    client
        .send("GET /shop/items?apikey=geheim HTTP/1.1\r\nhost: Shop.example\r\nauthorization: Bearer geheim\r\n\r\n")
        .await;
    let mut backend = peer.accept().await;
    backend.head().await;
    backend.send(OK).await;
    client.answer().await;
    client.send("GET /none HTTP/1.1\r\nhost: x\r\n\r\n").await;
    client.answer().await;
    drop(client);
    sandbox.gateway.drain(Duration::from_mins(1)).await;
    // The writer ends with the last thread of the gateway.
    let text = crate::sandbox::soon("log", async {
        loop {
            let text = std::fs::read_to_string(&file).unwrap_or_default();
            if text.lines().count() == 2 {
                return text;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
    assert!(!text.contains("geheim"), "{text}");
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines[0]["status"], 200);
    assert_eq!(lines[0]["api"], "shop-1.0.0");
    assert_eq!(lines[0]["operation"], "GET /items");
    assert_eq!(lines[0]["host"], "shop.example");
    assert_eq!(lines[0]["query"], "apikey=*");
    assert_eq!(lines[0]["bytesOut"], 2);
    assert!(lines[0]["backendUs"].is_u64());
    assert_eq!(lines[1]["status"], 404);
    assert_eq!(lines[1]["code"], "ROUTE_NOT_FOUND");
    assert_eq!(lines[1]["traceId"].as_str().unwrap().len(), 32);
}
