//! Users, for admins.

use serde_json::json;

use crate::world::World;

#[tokio::test]
async fn users_come_change_and_go() {
    let world = World::new().await;
    let new = json!({"name": "ann@example.com", "password": "correct horse battery", "roles": ["publisher"]});
    let made = world.post("admin", "/users", new.clone()).await;
    assert!(made.headers.contains_key("location"));
    let text = String::from_utf8(made.bytes.clone()).unwrap();
    assert!(!text.contains("correct horse") && !text.contains("argon2"));
    made.expect(201);
    world.post("admin", "/users", new).await.problem("CONFLICT");
    let changed = world
        .call(
            "admin",
            "PATCH",
            "/users/ann@example.com",
            json!({"roles": ["subscriber", "publisher"]}),
        )
        .await;
    assert_eq!(
        changed.expect(200)["roles"],
        json!(["subscriber", "publisher"])
    );
    let hash = world
        .store
        .user_get(&base::Org::default_org(), "ann@example.com")
        .await
        .unwrap()
        .unwrap()
        .password_hash;
    world
        .call(
            "admin",
            "PATCH",
            "/users/ann@example.com",
            json!({"password": "another long secret"}),
        )
        .await
        .expect(200);
    let after = world
        .store
        .user_get(&base::Org::default_org(), "ann@example.com")
        .await
        .unwrap()
        .unwrap()
        .password_hash;
    assert_ne!(hash, after);
    let list = world.get("admin", "/users").await.expect(200);
    assert_eq!(list["items"].as_array().unwrap().len(), 5);
    world
        .delete("admin", "/users/ann@example.com")
        .await
        .expect(204);
    world
        .delete("admin", "/users/ann@example.com")
        .await
        .problem("NOT_FOUND");
    world
        .call("admin", "PATCH", "/users/nobody", json!({}))
        .await
        .problem("NOT_FOUND");
}

#[tokio::test]
async fn weak_passwords_odd_names_and_no_roles_are_refused() {
    let world = World::new().await;
    let good = json!({"name": "ann", "password": "correct horse battery", "roles": ["subscriber"]});
    for (key, value) in [
        ("password", json!("short")),
        ("name", json!("a/b")),
        ("name", json!("system")),
        ("roles", json!([])),
        ("roles", json!(["root"])),
    ] {
        let mut bad = good.clone();
        bad[key] = value;
        world
            .post("admin", "/users", bad)
            .await
            .problem("BAD_REQUEST");
    }
}

#[tokio::test]
async fn the_last_admin_stays() {
    let world = World::new().await;
    world
        .delete("admin", "/users/admin")
        .await
        .problem("CONFLICT");
    world
        .call(
            "admin",
            "PATCH",
            "/users/admin",
            json!({"roles": ["publisher"]}),
        )
        .await
        .problem("CONFLICT");
    world
        .call("admin", "PATCH", "/users/paul", json!({"roles": ["admin"]}))
        .await
        .expect(200);
    world.delete("admin", "/users/admin").await.expect(204);
    world.get("admin", "/me").await.problem("UNAUTHENTICATED");
    assert_eq!(
        world.get("paul", "/me").await.expect(200)["roles"],
        json!(["admin"])
    );
}

#[tokio::test]
async fn nobody_inherits_applications_by_name() {
    let world = World::new().await;
    let body = json!({"kind": "Application", "metadata": {"name": "shop"}, "spec": {}});
    world.post("sue", "/applications", body).await.expect(201);
    let problem = world.delete("admin", "/users/sue").await.problem("IN_USE");
    assert!(problem["detail"].as_str().unwrap().contains("shop"));
    let given =
        json!({"kind": "Application", "metadata": {"name": "shop"}, "spec": {"owner": "sam"}});
    world
        .call("admin", "PUT", "/applications/shop", given)
        .await
        .expect(200);
    world
        .get("sue", "/applications/shop")
        .await
        .problem("NOT_FOUND");
    world.delete("admin", "/users/sue").await.expect(204);
}

/// A new password and a deletion end the tokens about a user that were asked for before, and none that come later.
///
/// req: S9
#[tokio::test]
async fn tokens_of_a_user_end_with_the_password_and_with_the_user() {
    let world = World::new().await;
    let new = json!({"name": "ann", "password": "correct horse battery", "roles": ["subscriber"]});
    world.post("admin", "/users", new).await.expect(201);
    let org = base::Org::default_org();
    let ann = world.store.user_get(&org, "ann").await.unwrap().unwrap();
    let asked_now = async || base::TokenMarks {
        jti: "token".into(),
        from: Box::default(),
        of: [base::TokensOf::User(ann.id)].into(),
        revision: world.store.revision().await.unwrap(),
    };
    let is_ended = async |marks: &base::TokenMarks| world.store.token_ended(marks).await.unwrap();
    let change = async |change| {
        let answer = world.call("admin", "PATCH", "/users/ann", change).await;
        answer.expect(200);
    };

    let first = asked_now().await;
    change(json!({"roles": ["publisher"]})).await;
    assert!(
        !is_ended(&first).await,
        "roles are looked at when a token is made"
    );
    change(json!({"password": "another long secret"})).await;
    assert!(is_ended(&first).await);
    let second = asked_now().await;
    assert!(!is_ended(&second).await);
    world.delete("admin", "/users/ann").await.expect(204);
    assert!(is_ended(&second).await);
}
