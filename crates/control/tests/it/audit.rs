//! Who changed what, and taking it back.

use serde_json::{Value, json};

use crate::world::{PETS, World};

async fn audit(world: &World, user: &str, query: &str) -> Vec<Value> {
    let list = world.get(user, &format!("/audit{query}")).await.expect(200);
    list["items"].as_array().unwrap().clone()
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_default()
}

/// The last revision that changed this.
async fn revision_of(world: &World, query: &str) -> u64 {
    audit(world, "admin", query).await[0]["revision"]
        .as_u64()
        .unwrap()
}

async fn undo(world: &World, revision: u64, query: &str) -> crate::world::Answer {
    let path = format!("/revisions/{revision}/undo{query}");
    world.post("admin", &path, Value::Null).await
}

/// req: O6
#[tokio::test]
async fn every_change_is_told_with_actor_call_and_difference() {
    let world = World::new().await;
    world.publish_pets("1.0.0").await;
    world.subscribed("sue", "shop").await;
    let key = world
        .post("sue", "/applications/shop/api-keys", Value::Null)
        .await
        .expect(201);
    let key_path = format!("/applications/shop/api-keys/{}", text(&key, "id"));
    world.delete("sue", &key_path).await.expect(204);
    let user =
        json!({"name": "una", "password": "correct horse battery staple", "roles": ["subscriber"]});
    world.post("admin", "/users", user).await.expect(201);
    let change = json!({"roles": ["publisher"], "password": "another horse battery staple"});
    world
        .call("admin", "PATCH", "/users/una", change)
        .await
        .expect(200);
    world.delete("admin", "/users/una").await.expect(204);
    let blocked = json!({"state": "Blocked"});
    let moved = world
        .post("paul", "/apis/pets-1.0.0/lifecycle", blocked)
        .await;
    let call = moved.headers["x-request-id"].to_str().unwrap().to_owned();
    moved.expect(200);
    world
        .call(
            "paul",
            "PUT",
            "/apis/pets-1.0.0/deployments/default",
            json!({"revision": 1}),
        )
        .await
        .expect(200);
    let mut document = world.get("paul", "/apis/pets-1.0.0").await.expect(200);
    document["spec"]["defaultVersion"] = json!(true);
    world
        .call("paul", "PUT", "/apis/pets-1.0.0", document)
        .await
        .expect(200);
    world
        .delete("sue", "/subscriptions/shop-pets-1.0.0")
        .await
        .expect(204);

    let all = audit(&world, "admin", "").await;
    let told: Vec<(&str, &str, &str)> = all
        .iter()
        .map(|entry| {
            (
                text(entry, "actor"),
                text(entry, "action"),
                text(entry, "kind"),
            )
        })
        .take_while(|(actor, _, _)| !matches!(*actor, "test" | "system"))
        .collect();
    assert_eq!(
        told,
        [
            ("sue", "deleted", "Subscription"),
            ("paul", "changed", "Api"),
            ("paul", "deployed", "Api"),
            ("paul", "moved", "Api"),
            ("admin", "deleted", "User"),
            ("admin", "revoked", "Token"),
            ("admin", "changed", "User"),
            ("admin", "revoked", "Token"),
            ("admin", "created", "User"),
            ("sue", "deleted", "Credential"),
            ("sue", "created", "Credential"),
            ("sue", "created", "Subscription"),
            ("sue", "created", "Application"),
            ("paul", "created", "Api"),
        ]
    );
    let (changed, moved, user) = (&all[1], &all[3], &all[6]);
    assert_eq!(
        changed["fields"],
        json!([{"pointer": "/spec/defaultVersion", "before": false, "after": true}])
    );
    assert_eq!(
        moved["request"], call,
        "the audit names the call by its trace id"
    );
    assert_eq!(moved["atUnixMs"], 1_767_225_600_000_u64);
    assert_eq!(
        user["fields"],
        json!([
            {"pointer": "/roles/0", "before": "subscriber", "after": "publisher"},
            {"pointer": "/password", "after": "changed"},
        ])
    );
    let whole = serde_json::to_string(&all).unwrap();
    for secret in ["argon2", "horse", text(&key, "key")] {
        assert!(!whole.contains(secret), "{secret}");
    }
}

#[tokio::test]
async fn the_audit_is_searched_and_read_in_parts() {
    let world = World::new().await;
    world.publish_pets("1.0.0").await;
    world.clock.advance_ms(1000);
    world.subscribed("sue", "shop").await;
    let backend = json!({"kind": "Backend", "metadata": {"name": "b"}, "spec": {"endpoints": [{"url": "http://b"}]}});
    world.post("paul", "/backends", backend).await.expect(201);
    let names = async |user: &str, query: &str| -> Vec<String> {
        let items = audit(&world, user, query).await;
        items
            .iter()
            .map(|item| text(item, "name").to_owned())
            .collect()
    };
    assert_eq!(names("admin", "?kind=Application").await, ["shop"]);
    assert_eq!(names("admin", "?actor=paul").await, ["b", "pets-1.0.0"]);
    assert_eq!(names("admin", "?name=shop").await, ["shop"]);
    let since = "?sinceUnixMs=1767225601000";
    assert_eq!(names("admin", since).await.len(), 3);
    let until = "?untilUnixMs=1767225601000&actor=paul";
    assert_eq!(names("admin", until).await, ["pets-1.0.0"]);
    let revision = revision_of(&world, "?name=shop").await;
    assert_eq!(
        names("admin", &format!("?revision={revision}")).await,
        ["shop"]
    );
    // Publishers see what publishers change.
    assert_eq!(names("paul", "").await, ["b", "pets-1.0.0"]);
    assert_eq!(names("paul", "?kind=Backend").await, ["b"]);
    world
        .get("paul", "/audit?kind=User")
        .await
        .problem("FORBIDDEN");
    world.get("sue", "/audit").await.problem("FORBIDDEN");
    for wrong in ["?kind=Thing", "?after=x", "?limit=0", "?what=1"] {
        world
            .get("admin", &format!("/audit{wrong}"))
            .await
            .problem("BAD_REQUEST");
    }

    let all = audit(&world, "admin", "").await;
    let (mut parts, mut after) = (Vec::new(), String::new());
    loop {
        let part = world
            .get("admin", &format!("/audit?limit=2{after}"))
            .await
            .expect(200);
        parts.extend(part["items"].as_array().unwrap().clone());
        match part["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    assert_eq!(parts, all);
}

/// req: O6
#[tokio::test]
async fn a_revision_is_taken_back() {
    let world = World::new().await;
    world.publish_pets("1.0.0").await;
    let created = revision_of(&world, "?name=pets-1.0.0").await;
    let before = world.get("paul", "/apis/pets-1.0.0").await.expect(200);
    let mut document = before.clone();
    document["spec"]["plans"] = json!(["Gold"]);
    document["spec"]["deployments"] = json!([]);
    world
        .call("paul", "PUT", "/apis/pets-1.0.0", document)
        .await
        .expect(200);
    let changed = revision_of(&world, "?name=pets-1.0.0").await;

    // Changed: it is again what it was, as a new revision.
    let dry = undo(&world, changed, "?dryRun=true").await.expect(200);
    assert_eq!(
        (&dry["dryRun"], &dry["revision"]),
        (&json!(true), &Value::Null)
    );
    assert_eq!(dry["results"][0]["action"], "updated");
    assert_eq!(
        dry["changes"][0]["fields"][0]["pointer"],
        "/spec/deployments"
    );
    assert_eq!(
        revision_of(&world, "").await,
        changed,
        "a dry run writes nothing"
    );
    let done = undo(&world, changed, "").await.expect(200);
    assert_eq!(done["revision"], changed + 1);
    let after = world.get("paul", "/apis/pets-1.0.0").await.expect(200);
    assert_eq!(after["spec"], before["spec"]);
    assert_eq!(after["status"]["apiRevision"], 3);

    // Changed later: only with force.
    let refused = undo(&world, created, "").await.problem("CANNOT_UNDO");
    let message = refused["errors"][0]["message"].as_str().unwrap();
    assert!(
        message.contains("pets-1.0.0") && message.contains(&format!("{changed} (paul)")),
        "{message}"
    );
    assert!(
        refused["errors"][0]["mend"]
            .as_str()
            .unwrap()
            .contains("--force")
    );
    let done = undo(&world, created, "?force=true").await.expect(200);
    assert_eq!(
        done["results"],
        json!([{"kind": "Api", "name": "pets-1.0.0", "action": "deleted"}])
    );
    world
        .get("paul", "/apis/pets-1.0.0")
        .await
        .problem("NOT_FOUND");

    // Deleted: it comes back with its definition.
    let deleted = revision_of(&world, "?name=pets-1.0.0").await;
    let done = undo(&world, deleted, "").await.expect(200);
    assert_eq!(done["results"][0]["action"], "created");
    let back = world.get("paul", "/apis/pets-1.0.0").await.expect(200);
    assert_eq!(back["spec"], before["spec"]);
    let definition = world.get("paul", "/apis/pets-1.0.0/definition").await;
    assert_eq!(definition.bytes, PETS.as_bytes());
    undo(&world, 99_999, "").await.problem("NOT_FOUND");
}

#[tokio::test]
async fn what_cannot_be_taken_back_is_told() {
    let world = World::new().await;
    world.publish_pets("1.0.0").await;
    world.subscribed("sue", "shop").await;
    world
        .post("sue", "/applications/shop/api-keys", Value::Null)
        .await
        .expect(201);
    let made = revision_of(&world, "?kind=Credential").await;
    let refused = undo(&world, made, "").await.problem("CANNOT_UNDO");
    assert!(
        refused["errors"][0]["message"]
            .as_str()
            .unwrap()
            .starts_with("Credential ")
    );
    // An application comes back with its subscriptions, and without its key.
    world.delete("sue", "/applications/shop").await.expect(204);
    let gone = revision_of(&world, "?name=shop").await;
    let done = undo(&world, gone, "").await.expect(200);
    let names: Vec<&str> = done["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| text(one, "name"))
        .collect();
    assert_eq!(names, ["shop", "shop-pets-1.0.0"]);
    assert_eq!(done["refused"][0]["kind"], "Credential");
    assert!(text(&done["refused"][0], "reason").contains("secret is gone"));
    world
        .get("sue", "/subscriptions/shop-pets-1.0.0")
        .await
        .expect(200);
    let keys = world
        .get("sue", "/applications/shop/api-keys")
        .await
        .expect(200);
    assert_eq!(keys["items"], json!([]));
}

/// The checks of any change: the life cycle goes its ways only, and what is in use stays.
#[tokio::test]
async fn taking_back_is_a_change_like_any_other() {
    let world = World::new().await;
    world.publish_pets("1.0.0").await;
    let created = revision_of(&world, "?name=pets-1.0.0").await;
    world.subscribed("sue", "shop").await;
    undo(&world, created, "").await.problem("IN_USE");
    world
        .post(
            "paul",
            "/apis/pets-1.0.0/lifecycle",
            json!({"state": "Deprecated"}),
        )
        .await
        .expect(200);
    world
        .post(
            "paul",
            "/apis/pets-1.0.0/lifecycle",
            json!({"state": "Retired"}),
        )
        .await
        .expect(200);
    let retired = revision_of(&world, "?name=pets-1.0.0").await;
    undo(&world, retired, "")
        .await
        .problem("TRANSITION_NOT_ALLOWED");
    // Nobody takes back what he may not change.
    let plan = json!({"kind": "Plan", "metadata": {"name": "Tiny"}, "spec": {}});
    world.post("admin", "/plans", plan).await.expect(201);
    let made = revision_of(&world, "?name=Tiny").await;
    let path = format!("/revisions/{made}/undo");
    world
        .post("paul", &path, Value::Null)
        .await
        .problem("FORBIDDEN");
    world
        .post("sue", &path, Value::Null)
        .await
        .problem("FORBIDDEN");
}
