//! Bodies stream; events reach the client when they are sent (req: L6).

use e2e::{Backend, PATIENCE, Sandbox};
use futures_util::StreamExt;

use crate::PETS;

#[tokio::test]
async fn events_pass_one_by_one() {
    let backend = Backend::start().await.unwrap();
    let sandbox = Sandbox::start().await.unwrap();
    let api = sandbox
        .api("pets", PETS, &backend.url(), "Gold")
        .await
        .unwrap();
    let answer = sandbox
        .http
        .get(format!("{}/sse", api.url))
        .bearer_auth(&api.token)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    let mut body = answer.bytes_stream();
    for event in ["data: one\n\n", "data: two\n\n", "data: three\n\n"] {
        assert!(backend.push(event).await);
        // The next one is sent only after this one has arrived: nothing may wait for more.
        let chunk = tokio::time::timeout(PATIENCE, body.next())
            .await
            .expect("the event hangs");
        assert_eq!(chunk.unwrap().unwrap(), event.as_bytes());
    }
    backend.end_events();
    assert!(body.next().await.is_none());
}

#[tokio::test]
async fn calls_in_flight_finish_when_the_platform_stops() {
    let backend = Backend::start().await.unwrap();
    let sandbox = Sandbox::start().await.unwrap();
    let api = sandbox
        .api("pets", PETS, &backend.url(), "Gold")
        .await
        .unwrap();
    let slow = tokio::spawn(
        sandbox
            .http
            .get(format!("{}/slow", api.url))
            .bearer_auth(&api.token)
            .send(),
    );
    while !backend.seen().iter().any(|seen| seen.target == "/slow") {
        tokio::task::yield_now().await;
    }
    sandbox.running.shutdown().await;
    assert_eq!(slow.await.unwrap().unwrap().status(), 200);
    // The port may be somebody else's by now, who would not take this token.
    let again = sandbox.http.get(format!("{}/pets", api.url));
    let again = again.bearer_auth(&api.token).send().await;
    assert!(
        !again.is_ok_and(|answer| answer.status() == 200),
        "the listener is still there"
    );
}
