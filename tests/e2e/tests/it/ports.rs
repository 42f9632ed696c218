//! The ports of a `Gateway` document: open when the change is answered, closed when it is taken back.

use std::net::{Ipv4Addr, TcpListener};

use e2e::{Backend, Sandbox};
use parts::free_port;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::PETS;

async fn set(sandbox: &Sandbox, listeners: Value) -> Value {
    let document = json!({"kind": "Gateway", "metadata": {"name": "default"}, "spec": {"listeners": listeners}});
    let path = "/gateways/default";
    sandbox
        .call(Method::PUT, path, Some(document))
        .await
        .unwrap();
    let gateway = sandbox.call(Method::GET, path, None).await.unwrap();
    let conditions = gateway["status"]["conditions"].as_array().unwrap();
    let listening = conditions.iter().find(|found| found["type"] == "Listening");
    listening.unwrap().clone()
}

#[tokio::test]
async fn ports_open_and_close_with_the_document() {
    let backend = Backend::start().await.unwrap();
    let sandbox = Sandbox::start().await.unwrap();
    let api = sandbox
        .api("pets", PETS, &backend.url(), "Gold")
        .await
        .unwrap();
    let secret = sandbox.data_dir().join("secrets/shop");
    std::fs::create_dir_all(&secret).unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(secret.join("tls.crt"), made.cert.pem()).unwrap();
    std::fs::write(secret.join("tls.key"), made.signing_key.serialize_pem()).unwrap();
    let (clear, own, shop) = (free_port(), free_port(), free_port());

    let listening = set(
        &sandbox,
        json!([
            {"port": clear, "protocol": "HTTP"},
            {"port": own, "protocol": "HTTPS"},
            {"port": shop, "protocol": "HTTPS", "tls": {"secretRef": "shop"}},
        ]),
    )
    .await;
    assert_eq!(listening["status"], true, "{listening}");
    let get = |url: String| {
        sandbox
            .http
            .get(format!("{url}/pets/1.0.0/pets"))
            .header("x-api-key", &api.key)
            .send()
    };
    let bases = [
        format!("http://127.0.0.1:{clear}"),
        format!("https://127.0.0.1:{own}"),
        format!("https://127.0.0.1:{shop}"),
    ];
    for base in &bases {
        let answer = get(base.clone()).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{base}");
    }

    // The port changes its protocol, the others go.
    let listening = set(&sandbox, json!([{"port": clear, "protocol": "HTTPS"}])).await;
    assert_eq!(listening["status"], true, "{listening}");
    let answer = get(format!("https://127.0.0.1:{clear}")).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let fresh = reqwest::Client::builder()
        .tls_danger_accept_invalid_certs(true)
        .build()
        .unwrap();
    for base in &bases[1..] {
        // The port may be somebody else's by now, who does not know this key.
        let call = fresh.get(format!("{base}/pets/1.0.0/pets"));
        let answer = call.header("x-api-key", &api.key).send().await;
        assert!(
            !answer.is_ok_and(|answer| answer.status() == StatusCode::OK),
            "{base}"
        );
    }
}

#[tokio::test]
async fn a_port_that_cannot_be_opened_is_named_and_the_others_serve() {
    let sandbox = Sandbox::start().await.unwrap();
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let taken_port = taken.local_addr().unwrap().port();
    let (good, bare) = (free_port(), free_port());
    let own = sandbox.running.gateway_http().port();
    let listening = set(
        &sandbox,
        json!([
            {"port": taken_port, "protocol": "HTTP"},
            {"port": bare, "protocol": "HTTPS", "tls": {"secretRef": "missing"}},
            {"port": own, "protocol": "HTTPS"},
            {"port": good, "protocol": "HTTP"},
        ]),
    )
    .await;
    assert_eq!(listening["status"], false);
    let message = listening["message"].as_str().unwrap();
    for (port, cause) in [
        (taken_port, "in use"),
        (bare, "missing/tls.crt"),
        (own, "own options"),
    ] {
        let line = message
            .lines()
            .find(|line| line.contains(&format!("port {port}:")));
        assert!(
            line.is_some_and(|line| line.contains(cause)),
            "{port}: {message}"
        );
    }
    let answer = sandbox
        .http
        .get(format!("http://127.0.0.1:{good}/nothing"))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn faulty_listeners_are_refused() {
    let sandbox = Sandbox::start().await.unwrap();
    for (listeners, rule) in [
        (
            json!([{"port": 9000, "protocol": "HTTP"}, {"port": 9000, "protocol": "HTTPS"}]),
            "duplicate",
        ),
        (
            json!([{"port": 9000, "protocol": "HTTP", "tls": {"secretRef": "a"}}]),
            "tls-unused",
        ),
        (
            json!([{"port": 9000, "protocol": "HTTPS", "tls": {"secretRef": "../a"}}]),
            "name",
        ),
        (json!([{"port": 0, "protocol": "HTTP"}]), "port"),
    ] {
        let document = json!({"kind": "Gateway", "metadata": {"name": "default"}, "spec": {"listeners": listeners}});
        let answer = sandbox
            .control(Method::PUT, "/gateways/default")
            .json(&document)
            .send()
            .await
            .unwrap();
        assert!(answer.status().is_client_error(), "{listeners}");
        let text = answer.text().await.unwrap();
        assert!(text.contains(rule), "{listeners}: {text}");
    }
}

#[tokio::test]
async fn a_port_of_load_balancers_takes_their_word_for_the_client() {
    let backend = Backend::start().await.unwrap();
    let sandbox = Sandbox::start().await.unwrap();
    let api = sandbox
        .api("pets", PETS, &backend.url(), "Gold")
        .await
        .unwrap();
    let (theirs, others) = (free_port(), free_port());
    let listening = set(
        &sandbox,
        json!([
            {"port": theirs, "protocol": "HTTP", "proxyProtocol": {"from": ["127.0.0.1"]}},
            {"port": others, "protocol": "HTTP", "proxyProtocol": {"from": ["192.0.2.0/24"]}},
        ]),
    )
    .await;
    assert_eq!(listening["status"], true, "{listening}");
    let send = |port: u16, header: &str| {
        let call = format!(
            "{header}GET /pets/1.0.0/pets HTTP/1.1\r\nhost: x\r\nx-api-key: {}\r\nconnection: close\r\n\r\n",
            api.key
        );
        async move {
            let address = (Ipv4Addr::LOCALHOST, port).into();
            e2e::raw::send(address, call.as_bytes()).await.unwrap()
        }
    };
    const HEADER: &str = "PROXY TCP4 192.0.2.7 10.0.0.1 5000 443\r\n";
    let answer = send(theirs, HEADER).await;
    assert_eq!(answer.status(), 200, "{}", answer.text);
    assert_eq!(backend.seen()[0].headers["x-forwarded-for"], "192.0.2.7");
    for (port, header) in [(theirs, ""), (others, HEADER)] {
        let answer = send(port, header).await;
        assert!(answer.closed && answer.text.is_empty(), "{}", answer.text);
    }
}
