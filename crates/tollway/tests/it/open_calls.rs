//! Calls that are open for long end with what let them in: WebSockets and event streams (req: T2).

use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::response::IntoResponse;
use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use reqwest::Method;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;

use crate::kills::claims::{redeem, revoke};
use crate::kills::site::{Secret, Site};
use crate::kills::tab::{CALLBACK, Tab};
use crate::platform::{PASSWORD, PATIENCE, User};
use crate::websockets::{Socket, echo, opened};

/// Longer than the test takes.
const LONG: Duration = Duration::from_secs(3600);

/// A backend that sends an event from time to time; gives its URL.
async fn events() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().fallback(stream);
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

async fn stream() -> impl IntoResponse {
    let (sender, mut receiver) = mpsc::channel::<Bytes>(1);
    tokio::spawn(async move {
        let event = Bytes::from_static(b"data: x\n\n");
        while sender.send(event.clone()).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let chunks = futures_util::stream::poll_fn(move |cx| receiver.poll_recv(cx));
    let chunks = chunks.map(Ok::<_, std::convert::Infallible>);
    let kind = [("content-type", "text/event-stream")];
    (kind, Body::from_stream(chunks))
}

/// An open call of either sort.
enum Open {
    Socket(Box<Socket>),
    Events(futures_util::stream::BoxStream<'static, bool>),
}

impl Open {
    async fn socket(site: &Site, header: (&'static str, &str)) -> Self {
        let address = site.gateway.strip_prefix("http://").unwrap();
        Self::Socket(Box::new(opened(address, "/ws/1.0.0/x", header).await))
    }

    async fn events(site: &Site, header: (&'static str, &str)) -> Self {
        let request = site.http.get(format!("{}/sse/1.0.0/x", site.gateway));
        let request = request.header(header.0, header.1).timeout(LONG);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200);
        Self::Events(answer.bytes_stream().map(|chunk| chunk.is_ok()).boxed())
    }

    async fn both(site: &Site, header: (&'static str, &str)) -> [Self; 2] {
        [
            Self::socket(site, header).await,
            Self::events(site, header).await,
        ]
    }

    /// Something comes.
    async fn goes_on(&mut self, why: &str) {
        let came = async {
            match self {
                Self::Socket(socket) => {
                    let message = Message::text("still there");
                    if socket.send(message.clone()).await.is_err() {
                        return false;
                    }
                    matches!(socket.next().await, Some(Ok(back)) if back == message)
                }
                Self::Events(events) => {
                    // What lies there may be of before.
                    while let Some(Some(true)) = events.next().now_or_never() {}
                    events.next().await == Some(true)
                }
            }
        };
        let came = tokio::time::timeout(PATIENCE, came).await;
        assert!(came.unwrap_or(false), "{why}");
    }

    /// It ends, however.
    async fn ends(mut self, why: &str) {
        let end = async {
            match &mut self {
                Self::Socket(socket) => {
                    while let Some(Ok(message)) = socket.next().await {
                        if message.is_close() {
                            return;
                        }
                    }
                }
                Self::Events(events) => while events.next().await == Some(true) {},
            }
        };
        let ended = tokio::time::timeout(PATIENCE, end).await;
        ended.unwrap_or_else(|_| panic!("it is still open: {why}"));
    }
}

/// A platform with an API for each backend, and a client that is subscribed to both.
async fn setting(user: &User) -> (Site, Secret) {
    for (name, backend) in [("ws", echo().await), ("sse", events().await)] {
        user.publish(name, &backend, "Unlimited");
    }
    user.subscribe(&["ws:1.0.0", "sse:1.0.0"], "Unlimited");
    let site = Site::of(user);
    let metadata = json!({
        "grant_types": ["authorization_code", "refresh_token"], "redirect_uris": [CALLBACK],
    });
    let body = json!({"metadata": metadata});
    let made = site.made("/applications/shop/credentials", body).await;
    let made = made.unwrap();
    let client = Secret {
        id: made.member("clientId"),
        secret: made.member("clientSecret"),
    };
    (site, client)
}

/// Ending a session, revoking a token and deleting a key end the calls that are open with them, and no others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn open_calls_end_with_what_let_them_in() {
    let user = tokio::task::spawn_blocking(User::start).await.unwrap();
    let (site, client) = setting(&user).await;
    let mut sessions = Vec::new();
    for _ in 0..2 {
        let mut tab = Tab::of("admin", PASSWORD);
        let code = tab.code(&site, &client).await.unwrap();
        let answer = redeem(&site, &client, &code).await.unwrap();
        let bearer = format!("Bearer {}", answer.member("access_token"));
        let open = Open::both(&site, ("authorization", &bearer)).await;
        sessions.push((tab, answer, open));
    }
    let keys = "/applications/shop/api-keys";
    let key = site.made(keys, json!({})).await.unwrap();
    let mut keyed = Open::both(&site, ("x-api-key", &key.member("key"))).await;
    let (_, other, mut others) = sessions.pop().unwrap();
    let (mut tab, answer, ended) = sessions.pop().unwrap();

    let out = tab.log_out(&site, &answer.member("id_token")).await;
    assert_eq!(out.unwrap().status, 200);
    for open in ended {
        open.ends("its session ended").await;
    }
    for open in others.iter_mut().chain(&mut keyed) {
        open.goes_on("another session's, or a key's").await;
    }

    let token = other.member("access_token");
    let answer = revoke(&site, &client, &token).await.unwrap();
    assert_eq!(answer.status, 200);
    for open in others {
        open.ends("its token was revoked").await;
    }
    for open in &mut keyed {
        open.goes_on("a key's").await;
    }

    let path = format!("{keys}/{}", key.member("id"));
    let gone = site.admin(Method::DELETE, &path, None).await.unwrap();
    assert_eq!(gone.status, 204);
    for open in keyed {
        open.ends("its key is gone").await;
    }
}
