//! Errors are problems with a code and a trace id (req: O5).

use axum::body::Body;
use serde_json::{Value, json};

use crate::world::World;

#[tokio::test]
async fn unknown_paths_and_methods_are_problems() {
    let world = World::new().await;
    world.get("admin", "/nothing").await.problem("NOT_FOUND");
    world.get("admin", "/plans/none").await.problem("NOT_FOUND");
    let answer = world.call("admin", "PATCH", "/plans/Gold", json!({})).await;
    assert_eq!(answer.status, 405);
    let allow = answer.headers["allow"].to_str().unwrap().to_owned();
    assert!(allow.contains("PUT") && allow.contains("DELETE"), "{allow}");
    answer.problem("CONTROL_METHOD_NOT_ALLOWED");
    let health = world.call("-", "POST", "/health", Value::Null).await;
    health.problem("CONTROL_METHOD_NOT_ALLOWED");
}

#[tokio::test]
async fn a_trace_id_is_taken_over_or_begun() {
    let world = World::new().await;
    let id = "4bf92f3577b34da6a3ce929d0e0e4736";
    let request = world
        .request("admin", "GET", "/nothing")
        .header("traceparent", format!("00-{id}-00f067aa0ba902b7-01"))
        .body(Body::empty())
        .unwrap();
    assert_eq!(
        world.send(request).await.problem("NOT_FOUND")["traceId"],
        id
    );
    let one = world.get("admin", "/nothing").await.problem("NOT_FOUND");
    let two = world.get("admin", "/nothing").await.problem("NOT_FOUND");
    assert_ne!(one["traceId"], two["traceId"]);
}

#[tokio::test]
async fn bodies_are_bounded_and_of_a_known_type() {
    let config = control::ControlConfig {
        body_bytes_max: 100,
        ..control::ControlConfig::default()
    };
    let world = World::with(config).await;
    let send = |media: Option<&'static str>, body: String| {
        let mut request = world.request("admin", "POST", "/users");
        if let Some(media) = media {
            request = request.header("content-type", media);
        }
        world.send(request.body(body.into()).unwrap())
    };
    let long = json!({"name": "x".repeat(200), "password": "", "roles": []}).to_string();
    let answer = send(Some("application/json"), long).await;
    assert_eq!(answer.status, 413);
    answer.problem("PAYLOAD_TOO_LARGE");
    send(None, "{}".to_owned())
        .await
        .problem("UNSUPPORTED_MEDIA_TYPE");
    send(Some("text/plain"), "{}".to_owned())
        .await
        .problem("UNSUPPORTED_MEDIA_TYPE");
    send(Some("application/yaml"), "{}".to_owned())
        .await
        .problem("UNSUPPORTED_MEDIA_TYPE");
    send(Some("application/json"), "{".to_owned())
        .await
        .problem("BAD_REQUEST");
    let unknown = r#"{"name": "x", "password": "y", "roles": [], "colour": 1}"#;
    let problem = send(Some("application/json"), unknown.to_owned())
        .await
        .problem("BAD_REQUEST");
    assert!(problem["detail"].as_str().unwrap().contains("colour"));
}

#[tokio::test]
async fn names_are_decoded_once() {
    let world = World::new().await;
    world
        .get("admin", "/plans/%2e%2e%2fusers")
        .await
        .problem("NOT_FOUND");
    world
        .get("admin", "/plans/%ff")
        .await
        .problem("BAD_REQUEST");
}
