//! Issuers outside of the platform: their documents, what nodes get of them, their clients.

use serde_json::json;
use sync::issuer::{Application, KeySource};
use sync::{Entry, EntryKey, IssuerReport, ResourceKey};

use crate::world::{World, node};

async fn declare(world: &World, more: serde_json::Value) {
    let mut spec = json!({"issuer": "https://login.example.com/realms/main", "preset": "keycloak"});
    for (key, value) in more.as_object().unwrap() {
        spec[key] = value.clone();
    }
    let document = json!({"kind": "TokenIssuer", "metadata": {"name": "corporate"}, "spec": spec});
    let path = "/token-issuers/corporate";
    let answer = world.call("admin", "PUT", path, document).await;
    assert!(answer.status.is_success(), "{}", answer.json());
}

#[tokio::test]
async fn nodes_get_an_issuer_with_its_preset() {
    let world = World::new().await;
    let shown = world.node("n1", "default");
    declare(&world, json!({"audience": ["orders"], "require": ["true"]})).await;
    shown.see(|view| {
        let model = &view.outside["corporate"];
        assert_eq!(model.keys, KeySource::Discovery);
        assert_eq!(model.claims.client, ["azp", "client_id"]);
        assert_eq!(model.claims.roles, ["realm_access.roles"]);
        assert_eq!(model.types, ["at+jwt", "JWT"]);
        assert_eq!(model.require.len(), 2, "the preset's and its own");
        assert_eq!(model.application, None);
        // The platform itself stays what it was.
        assert!(!view.outside.contains_key("resident"));
    });
    world
        .delete("admin", "/token-issuers/corporate")
        .await
        .expect(204);
    shown.see(|view| assert!(view.outside.is_empty()));
}

/// The application that an issuer names goes and comes with another id.
#[tokio::test]
async fn an_issuer_follows_its_application() {
    let world = World::new().await;
    let shown = world.node("n1", "default");
    let application = json!({"kind": "Application", "metadata": {"name": "shop"}, "spec": {}});
    world
        .post("sue", "/applications", application.clone())
        .await
        .expect(201);
    declare(&world, json!({"application": "shop"})).await;
    let id = shown.see(|view| match view.outside["corporate"].application {
        Some(Application::Is(id)) => id,
        ref other => panic!("{other:?}"),
    });
    shown.see(|view| assert!(view.entries.contains_key(&EntryKey::Application(id))));
    world
        .delete("sue", "/applications/shop")
        .await
        .problem("IN_USE");
}

/// Callers with passwords and certificates call for applications that are there.
#[tokio::test]
async fn the_applications_of_callers_are_there() {
    let world = World::new().await;
    world.publish_pets("1.0.0").await;
    let path = "/apis/pets-1.0.0";
    let wanted = async |name: &str| {
        let mut document = world.get("paul", path).await.expect(200);
        document["spec"]["security"] = json!([{"allOf": [
            {"apiKey": {}},
            {"anyOf": [
                {"basic": {"users": {"secretRef": "partners"}, "application": "shop"}},
                {"mutualTls": {"ca": {"secretRef": "partners"}, "callers": [{"dns": "a.example", "application": name}]}},
            ]},
        ]}]);
        world.call("paul", "PUT", path, document).await
    };
    let application = json!({"kind": "Application", "metadata": {"name": "shop"}, "spec": {}});
    let made = world.post("sue", "/applications", application).await;
    made.expect(201);
    let told = wanted("till").await.problem("INVALID_DOCUMENT");
    let errors = told["errors"].as_array().unwrap();
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert_eq!(
        errors[0]["pointer"],
        "/spec/security/0/allOf/1/anyOf/1/mutualTls/callers/0/application"
    );
    wanted("shop").await.expect(200);
    // It may go, and then the document can be changed all the same.
    world.delete("sue", "/applications/shop").await.expect(204);
    wanted("shop").await.expect(200);
    wanted("till").await.problem("INVALID_DOCUMENT");
}

#[tokio::test]
async fn admins_register_clients_of_other_issuers() {
    let world = World::new().await;
    let shown = world.node("n1", "default");
    declare(&world, json!({})).await;
    let application = json!({"kind": "Application", "metadata": {"name": "shop"}, "spec": {}});
    world
        .post("sue", "/applications", application)
        .await
        .expect(201);
    let wish = json!({"issuer": "corporate", "clientId": "web", "environment": "sandbox"});
    let path = "/applications/shop/credentials";
    world
        .post("sue", path, wish.clone())
        .await
        .problem("FORBIDDEN");
    let made = world.post("admin", path, wish.clone()).await.expect(201);
    assert_eq!(made["clientId"], "web");
    assert!(made.get("clientSecret").is_none());
    world.post("admin", path, wish).await.problem("CONFLICT");
    shown.see(|view| {
        let mut clients = view.entries.values().filter_map(|entry| match entry {
            Entry::Client {
                issuer, client_id, ..
            } => Some((issuer.clone(), client_id.clone())),
            _ => None,
        });
        let (issuer, id) = clients.next().unwrap();
        assert_eq!(
            (issuer.unwrap().name.as_str(), id.as_str()),
            ("corporate", "web")
        );
    });
    let one = format!("{path}/{}", made["id"].as_str().unwrap());
    let item = world.get("sue", &one).await.expect(200);
    assert_eq!(
        (&item["issuer"], &item["metadata"]),
        (&json!("corporate"), &json!(null))
    );
    // It has no secret, and nothing of it is the platform's to change.
    world
        .post("admin", &format!("{one}/rotate"), json!({}))
        .await
        .problem("CONFLICT");
    let patch = json!({"metadata": {"grant_types": ["client_credentials"]}});
    world
        .call("admin", "PATCH", &one, patch)
        .await
        .problem("CONFLICT");
    world
        .call("admin", "PATCH", &one, json!({"name": "Web"}))
        .await
        .expect(200);
    world
        .delete("admin", "/token-issuers/corporate")
        .await
        .problem("IN_USE");
    world.delete("sue", &one).await.expect(204);
    world
        .delete("admin", "/token-issuers/corporate")
        .await
        .expect(204);
}

#[tokio::test]
async fn what_nodes_say_of_an_issuer_is_shown() {
    let world = World::new().await;
    let _node = world.node("n1", "default");
    declare(&world, json!({})).await;
    let plane = world.control.plane();
    let path = "/token-issuers/corporate";
    let condition = async || {
        let document = world.get("paul", path).await.expect(200);
        let conditions = document["status"]["conditions"].as_array().unwrap().clone();
        let known = conditions
            .into_iter()
            .find(|one| one["type"] == "KeysKnown");
        known.unwrap()["reason"].clone()
    };
    assert_eq!(condition().await, "Pending");
    let report = |kids: &[&str], fault: Option<&str>| IssuerReport {
        key: ResourceKey {
            org: base::Org::default_org(),
            name: "corporate".to_owned(),
        },
        kids: kids.iter().map(ToString::to_string).collect(),
        fetched_unix_ms: (!kids.is_empty()).then_some(7),
        fault: fault.map(str::to_owned),
        introspection_fault: None,
    };
    for (kids, fault, reason) in [
        (&["a"][..], None, "Fetched"),
        (&["a"][..], Some("away"), "Stale"),
        (&[][..], Some("away"), "NotFetched"),
        (&[][..], None, "NoKeys"),
    ] {
        let reports = vec![report(kids, fault)];
        plane
            .issuers(&node("n1", "default"), reports)
            .await
            .unwrap();
        assert_eq!(condition().await, reason);
        let status = world
            .get("paul", &format!("{path}/status"))
            .await
            .expect(200);
        assert_eq!(status["nodes"][0]["keys"], json!(kids));
        assert_eq!(status["nodes"][0]["fault"], json!(fault));
    }
    world
        .get("paul", "/token-issuers/nobody/status")
        .await
        .problem("NOT_FOUND");
}
