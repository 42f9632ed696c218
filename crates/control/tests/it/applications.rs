//! Applications, subscriptions, credentials, tokens.

use base::Org;
use serde_json::{Value, json};
use sync::{Entry, EntryKey};

use crate::world::{World, subscription};

fn subscriptions(entry: &Entry) -> bool {
    matches!(entry, Entry::Subscription { .. })
}

fn clients(entry: &Entry) -> bool {
    matches!(entry, Entry::Client { .. })
}

fn keys(entry: &Entry) -> bool {
    matches!(entry, Entry::ApiKey { .. })
}

#[tokio::test]
async fn subscribing_answers_when_the_nodes_have_it() {
    // req: S9
    let world = World::new().await;
    let node = world.node("n1", "default");
    world.publish_pets("1.0.0").await;
    world.subscribed("sue", "shop").await;
    node.see(|view| {
        assert_eq!(view.count(subscriptions), 1);
        let plan = view.entries.values().find_map(|entry| match entry {
            Entry::Subscription { plan, api, .. } => Some((plan.clone(), api.clone())),
            _ => None,
        });
        assert_eq!(plan, Some(("Gold".to_owned(), "pets-1.0.0".to_owned())));
        assert_eq!(view.plans["Gold"], 5000);
    });
    world
        .delete("sue", "/subscriptions/shop-pets-1.0.0")
        .await
        .expect(204);
    node.see(|view| assert_eq!(view.count(subscriptions), 0));
}

#[tokio::test]
async fn a_subscription_names_what_is_there() {
    let world = World::new().await;
    world.publish_pets("1.0.0").await;
    world.subscribed("sue", "shop").await;
    let try_one = async |application: &str, version: &str, plan: &str| {
        let mut body = subscription(application, version, plan);
        body["metadata"]["name"] = "another".into();
        world.post("sue", "/subscriptions", body).await
    };
    let problem = try_one("nobody", "9", "Gold")
        .await
        .problem("INVALID_DOCUMENT");
    assert_eq!(
        problem["errors"].as_array().unwrap().len(),
        2,
        "application and API: {problem:#}"
    );
    try_one("shop", "1.0.0", "Bronze")
        .await
        .problem("INVALID_DOCUMENT");
    let twice = try_one("shop", "1.0.0", "Gold").await.problem("CONFLICT");
    assert!(
        twice["detail"]
            .as_str()
            .unwrap()
            .contains("shop-pets-1.0.0")
    );
}

#[tokio::test]
async fn an_application_takes_along_what_it_has() {
    // req: S9
    let world = World::new().await;
    let node = world.node("n1", "default");
    world.publish_pets("1.0.0").await;
    world.subscribed("sue", "shop").await;
    world
        .post("sue", "/applications/shop/credentials", Value::Null)
        .await
        .expect(201);
    world
        .post("sue", "/applications/shop/api-keys", Value::Null)
        .await
        .expect(201);
    node.see(|view| {
        let counts = (
            view.count(subscriptions),
            view.count(clients),
            view.count(keys),
        );
        assert_eq!(counts, (1, 1, 1));
        assert!(view.entries.contains_key(&EntryKey::ApiKeyHashing));
        assert_eq!(view.issuers["resident"], "urn:tollway:default:gateway");
    });
    world.delete("sue", "/applications/shop").await.expect(204);
    node.see(|view| assert_eq!(view.entries.len(), 1, "{:?}", view.entries));
    assert_eq!(
        world.get("sue", "/subscriptions").await.expect(200)["items"],
        json!([])
    );
}

#[tokio::test]
async fn secrets_are_shown_once_and_kept_by_nobody() {
    let world = World::new().await;
    let body = json!({"kind": "Application", "metadata": {"name": "shop"}, "spec": {}});
    let application = world.post("sue", "/applications", body).await.expect(201);
    assert_eq!(application["spec"]["owner"], "sue");
    let client = world
        .post("sue", "/applications/shop/credentials", Value::Null)
        .await;
    assert_eq!(client.headers["cache-control"], "no-store");
    let client = client.expect(201);
    let key = world
        .post(
            "sue",
            "/applications/shop/api-keys",
            json!({"expiresIn": 60}),
        )
        .await;
    assert_eq!(key.headers["cache-control"], "no-store");
    let key = key.expect(201);
    let secret = client["clientSecret"].as_str().unwrap();
    for path in [
        "/applications/shop/credentials",
        "/applications/shop/api-keys",
        "/applications/shop",
    ] {
        let text = String::from_utf8(world.get("sue", path).await.bytes).unwrap();
        assert!(!text.contains(secret) && !text.contains(key["key"].as_str().unwrap()));
        assert!(!text.contains("hash"));
    }
    let listed = world
        .get("sue", "/applications/shop/credentials")
        .await
        .expect(200);
    assert_eq!(
        listed["items"].as_array().unwrap().len(),
        1,
        "API keys are not among the clients"
    );
    assert_eq!(listed["items"][0]["clientId"], client["clientId"]);
    let listed = world
        .get("sue", "/applications/shop/api-keys")
        .await
        .expect(200);
    let prefix = listed["items"][0]["prefix"].as_str().unwrap();
    assert!(key["key"].as_str().unwrap().starts_with(prefix));
    world
        .post(
            "sue",
            "/applications/shop/api-keys",
            json!({"expiresIn": 0}),
        )
        .await
        .problem("BAD_REQUEST");
    world
        .post("sue", "/applications/shop/api-keys", json!({"expires": 1}))
        .await
        .problem("BAD_REQUEST");

    let wrong = format!(
        "/applications/shop/api-keys/{}",
        client["id"].as_str().unwrap()
    );
    world.delete("sue", &wrong).await.problem("NOT_FOUND");
    let right = format!(
        "/applications/shop/credentials/{}",
        client["id"].as_str().unwrap()
    );
    world.delete("sue", &right).await.expect(204);
    world.delete("sue", &right).await.problem("NOT_FOUND");
}

#[tokio::test]
async fn credentials_of_one_application_are_limited() {
    let config = control::ControlConfig {
        credentials_max: 2,
        ..control::ControlConfig::default()
    };
    let world = World::with(config).await;
    let body = json!({"kind": "Application", "metadata": {"name": "shop"}, "spec": {}});
    world.post("sue", "/applications", body).await.expect(201);
    world
        .post(
            "sue",
            "/applications/shop/api-keys",
            json!({"expiresIn": 1}),
        )
        .await
        .expect(201);
    world
        .post("sue", "/applications/shop/credentials", Value::Null)
        .await
        .expect(201);
    world
        .post("sue", "/applications/shop/credentials", Value::Null)
        .await
        .problem("CONFLICT");
    world.clock.advance_ms(2_000);
    world
        .post("sue", "/applications/shop/credentials", Value::Null)
        .await
        .expect(201);
}

#[tokio::test]
async fn a_token_has_the_scopes_of_what_is_subscribed() {
    let world = World::new().await;
    world.publish_pets("1.0.0").await;
    world.subscribed("sue", "shop").await;
    let none = world
        .post("sue", "/applications/shop/token", Value::Null)
        .await
        .problem("CONFLICT");
    assert!(
        none["detail"]
            .as_str()
            .unwrap()
            .contains("credentials create"),
        "it names the mend"
    );
    let client = world
        .post("sue", "/applications/shop/credentials", Value::Null)
        .await
        .expect(201);
    let answer = world
        .post("sue", "/applications/shop/token", Value::Null)
        .await;
    assert_eq!(answer.headers["cache-control"], "no-store");
    let answer = answer.expect(200);
    assert_eq!(answer["scope"], "pets:read pets:write");
    assert_eq!(answer["tokenType"], "Bearer");
    assert_eq!(answer["expiresIn"], 3600);
    let token = answer["accessToken"].as_str().unwrap();
    let claims = world
        .tokens
        .verify_access(&Org::default_org(), token)
        .await
        .unwrap();
    assert_eq!(claims.client_id.as_deref(), client["clientId"].as_str());
    let fewer = json!({"scopes": ["pets:read"]});
    let fewer = world
        .post("sue", "/applications/shop/token", fewer)
        .await
        .expect(200);
    assert_eq!(fewer["scope"], "pets:read");
    let more = json!({"scopes": ["root"]});
    world
        .post("sue", "/applications/shop/token", more)
        .await
        .problem("BAD_REQUEST");
    world
        .delete("sue", "/subscriptions/shop-pets-1.0.0")
        .await
        .expect(204);
    let nothing = world
        .post("sue", "/applications/shop/token", Value::Null)
        .await
        .expect(200);
    assert_eq!(nothing["scope"], "");
}

#[tokio::test]
async fn the_application_says_how_long_its_tokens_live() {
    let world = World::new().await;
    let body = json!({"kind": "Application", "metadata": {"name": "shop"}, "spec": {"tokens": {"lifetime": "10m"}}});
    world.post("sue", "/applications", body).await.expect(201);
    world
        .post("sue", "/applications/shop/credentials", Value::Null)
        .await
        .expect(201);
    let answer = world
        .post("sue", "/applications/shop/token", Value::Null)
        .await
        .expect(200);
    assert_eq!(answer["expiresIn"], 600);
}
