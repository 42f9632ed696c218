//! What is told of credentials before they end (req: T6).

use control::expiring::{CREDENTIAL_EXPIRING, note_expiring};
use serde_json::{Value, json};

use crate::world::World;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;
const FORTNIGHT_S: u64 = 14 * 24 * 60 * 60;

async fn noted(world: &World) -> usize {
    let store = world.store.as_ref();
    note_expiring(store, &*world.clock, FORTNIGHT_S)
        .await
        .unwrap()
}

async fn notices(world: &World) -> usize {
    let org = base::Org::default_org();
    let found = world.store.notice_list(&org, None, 100).await;
    found.unwrap().len()
}

/// Each end is told of once, a fortnight before, whoever looks; a month after it the notice goes.
#[tokio::test]
async fn ends_are_told_of_once() {
    let world = World::new().await;
    world.publish_pets("1.0.0").await;
    world.subscribed("sue", "shop").await;
    let days = |days: u64| json!({"expiresIn": days * DAY_MS / 1000});
    let soon = days(10);
    let key = world
        .post("sue", "/applications/shop/api-keys", soon)
        .await
        .expect(201);
    world
        .post("sue", "/applications/shop/credentials", days(30))
        .await
        .expect(201);
    assert_eq!(noted(&world).await, 1);
    assert_eq!(noted(&world).await, 0, "it was told of");
    let told = world.get("admin", "/notices").await.expect(200);
    let told = told["items"].as_array().unwrap();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0]["kind"], CREDENTIAL_EXPIRING);
    assert_eq!(told[0]["subject"], key["id"]);
    let text = told[0].to_string();
    assert!(
        text.contains("API key") && !text.contains(key["key"].as_str().unwrap()),
        "{text}"
    );

    world.clock.advance_ms(20 * DAY_MS);
    assert_eq!(noted(&world).await, 1, "the client ends in ten days");
    assert_eq!(notices(&world).await, 2);
    world.clock.advance_ms(25 * DAY_MS);
    noted(&world).await;
    assert_eq!(notices(&world).await, 1, "the key's notice is a month old");
}

/// What a registration token may be is a setting.
#[tokio::test]
async fn registration_tokens_keep_to_their_limits() {
    let config = control::ControlConfig {
        registration_uses_max: 3,
        registration_s_max: 60,
        ..control::ControlConfig::default()
    };
    let world = World::with(config).await;
    let make = async |wish: Value| world.post("admin", "/registration-tokens", wish).await;
    make(json!({"uses": 3, "expiresIn": 60})).await.expect(201);
    for wish in [
        json!({"uses": 4, "expiresIn": 60}),
        json!({"uses": 1, "expiresIn": 61}),
        json!({"uses": 0}),
    ] {
        make(wish).await.problem("BAD_REQUEST");
    }
}
