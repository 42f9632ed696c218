//! Sessions and consents: one's own, and everybody's for admins.

use base::{ApplicationId, Digest, GrantId, Org, SessionId};
use serde_json::{Value, json};
use store::grants::{
    AuthorizationCode, Basis, CodeBinding, Consent, Grant, GrantTerms, Login, Place, Session,
};
use store::{Batch, Write};

use crate::world::World;

/// Somebody who logged in, and was given something for a client.
async fn logged_in(world: &World, name: &str, client_id: &str) -> Session {
    let org = Org::default_org();
    let user = world.store.user_get(&org, name).await.unwrap().unwrap();
    let now = base::Clock::unix_s(&*world.clock);
    let sid = SessionId::generate();
    let session = Session {
        hash: Digest::of(sid.0.as_bytes()),
        sid,
        org: org.clone(),
        user_id: user.id,
        user: name.to_owned(),
        seen_unix_s: now,
        expires_unix_s: now + 40_000,
        login: Login {
            at_unix_s: now,
            amr: vec!["pwd".to_owned()],
            acr: "1".to_owned(),
            stamp: user.password_stamp(),
        },
        place: Place {
            address: Some("192.0.2.7".to_owned()),
            agent: Some("a browser".to_owned()),
        },
    };
    let grant = Grant {
        id: GrantId::generate(),
        org: org.clone(),
        client_id: client_id.to_owned(),
        user_id: user.id,
        sid: Some(sid),
        offline: false,
        revoked_unix_ms: None,
        created_unix_ms: now * 1000,
        expires_unix_s: now + 40_000,
        terms: GrantTerms {
            application: ApplicationId::generate(),
            user: name.to_owned(),
            subject: None,
            login: session.login.clone(),
            scopes: ["openid".to_owned()].into(),
            resources: [].into(),
            claims: None,
        },
    };
    let code = AuthorizationCode {
        hash: Digest::of(grant.id.0.as_bytes()),
        grant: grant.id,
        expires_unix_s: now + 30,
        binding: CodeBinding {
            redirect_uri: "https://app.example/cb".to_owned(),
            redirect_uri_named: true,
            challenge: None,
            nonce: None,
            dpop_jkt: None,
        },
    };
    world.grants.session_put(&session, None).await.unwrap();
    world
        .grants
        .code_put(&grant, Basis::NOTHING, &code)
        .await
        .unwrap();
    let consent = Consent {
        user_id: user.id,
        client_id: client_id.to_owned(),
        scopes: ["openid".to_owned()].into(),
        resources: [].into(),
        at_unix_ms: now * 1000,
    };
    let batch = Batch {
        org,
        actor: name.to_owned(),
        at_unix_ms: now * 1000,
        request: None,
        writes: vec![Write::ConsentAdd(consent)],
    };
    world.store.commit(batch).await.unwrap();
    session
}

/// The values of one member, in the order of the list.
async fn listed(world: &World, user: &str, path: &str, member: &str) -> Vec<String> {
    let list = world.get(user, path).await.expect(200);
    let items = list["items"].as_array().unwrap().iter();
    let text = |item: &Value| item[member].as_str().unwrap().to_owned();
    items.map(text).collect()
}

#[tokio::test]
async fn people_see_their_own_and_admins_all() {
    let world = World::new().await;
    let sue = logged_in(&world, "sue", "twc_shop").await;
    let sam = logged_in(&world, "sam", "twc_mail").await;
    let ids = [sue.sid.to_string(), sam.sid.to_string()];
    assert_eq!(listed(&world, "admin", "/sessions", "id").await, ids);
    assert_eq!(
        listed(&world, "admin", "/sessions?user=sam", "id").await,
        ids[1..]
    );
    assert_eq!(listed(&world, "sue", "/sessions", "id").await, ids[..1]);
    assert_eq!(
        listed(&world, "sue", "/sessions?user=sue", "id").await,
        ids[..1]
    );
    world
        .get("sue", "/sessions?user=sam")
        .await
        .problem("FORBIDDEN");
    world
        .get("sue", "/consents?user=sam")
        .await
        .problem("FORBIDDEN");
    world
        .get("admin", "/sessions?user=nobody")
        .await
        .problem("NOT_FOUND");
    world
        .get("admin", "/sessions?after=x")
        .await
        .problem("BAD_REQUEST");
    let first = world.get("admin", "/sessions?limit=1").await.expect(200);
    assert_eq!(first["next"], ids[0].as_str());
    let rest = format!("/sessions?limit=1&after={}", ids[0]);
    assert_eq!(listed(&world, "admin", &rest, "id").await, ids[1..]);
    let item = &first["items"][0];
    assert_eq!(
        (&item["user"], &item["address"]),
        (&json!("sue"), &json!("192.0.2.7"))
    );
    assert_eq!(item["agent"], "a browser");
    assert_eq!(item["clients"], json!([{"clientId": "twc_shop"}]));
    assert!(
        !first.to_string().contains(&sue.hash.to_string()),
        "the cookie's digest is nobody's"
    );

    let mut clients = listed(&world, "admin", "/consents", "clientId").await;
    clients.sort_unstable();
    assert_eq!(clients, ["twc_mail", "twc_shop"]);
    let first = world.get("admin", "/consents?limit=1").await.expect(200);
    let next = first["next"].as_str().unwrap();
    let rest = format!("/consents?limit=1&after={next}");
    assert_eq!(listed(&world, "admin", &rest, "clientId").await.len(), 1);
    let own = world.get("sue", "/consents").await.expect(200);
    assert_eq!(own["items"][0]["user"], "sue");
    assert_eq!(own["items"][0]["scopes"], json!(["openid"]));

    // Unused for too long, or with another password by now: no session any more.
    world.clock.advance_ms(7_200_000);
    assert_eq!(
        listed(&world, "admin", "/sessions", "id").await,
        Vec::<String>::new()
    );
}

/// req: O6, S9
#[tokio::test]
async fn what_ends_is_over_everywhere_and_in_the_audit() {
    let world = World::new().await;
    let node = world.node("n1", "default");
    let sue = logged_in(&world, "sue", "twc_shop").await;
    let path = format!("/sessions/{}", sue.sid);
    world.delete("sam", &path).await.problem("NOT_FOUND");
    world.delete("sue", &path).await.expect(204);
    let ended = sync::EntryKey::TokensEnd(base::TokensOf::Session(sue.sid));
    assert!(
        node.see(|view| view.entries.contains_key(&ended)),
        "the node knows when it is answered"
    );
    world.delete("sue", &path).await.problem("NOT_FOUND");
    let audit = world.get("admin", "/audit?kind=Session").await.expect(200);
    let entry = &audit["items"][0];
    assert_eq!(
        (&entry["actor"], &entry["action"]),
        (&json!("sue"), &json!("deleted"))
    );
    assert_eq!(entry["name"], sue.sid.to_string());
    assert!(entry["request"].is_string());

    logged_in(&world, "sue", "twc_shop").await;
    let second = logged_in(&world, "sue", "twc_mail").await;
    world
        .delete("paul", "/sessions?user=sue")
        .await
        .problem("FORBIDDEN");
    world
        .delete("admin", "/sessions?user=sue")
        .await
        .expect(204);
    assert_eq!(
        listed(&world, "sue", "/sessions", "id").await,
        Vec::<String>::new()
    );
    let ended = sync::EntryKey::TokensEnd(base::TokensOf::Session(second.sid));
    assert!(node.see(|view| view.entries.contains_key(&ended)));
    let audit = world
        .get("admin", "/audit?kind=Session&actor=admin")
        .await
        .expect(200);
    assert_eq!(audit["items"].as_array().unwrap().len(), 2);
    world.delete("sue", "/sessions").await.expect(204);

    world
        .delete("sam", "/consents/twc_shop")
        .await
        .problem("NOT_FOUND");
    world.delete("sue", "/consents/twc_shop").await.expect(204);
    world
        .delete("admin", "/consents?user=sue")
        .await
        .expect(204);
    assert_eq!(
        listed(&world, "admin", "/consents", "clientId").await,
        Vec::<String>::new()
    );
    let audit = world
        .get("admin", "/audit?kind=Consent&name=sue/twc_shop")
        .await
        .expect(200);
    let told: Vec<_> = audit["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| (entry["actor"].clone(), entry["action"].clone()))
        .collect();
    assert_eq!(
        told,
        [
            (json!("sue"), json!("deleted")),
            (json!("sue"), json!("created"))
        ]
    );
    let by_admin = world
        .get("admin", "/audit?kind=Consent&name=sue/twc_mail")
        .await
        .expect(200);
    assert_eq!(by_admin["items"][0]["actor"], "admin");
    let revision = by_admin["items"][0]["revision"].as_u64().unwrap();
    let undo = world
        .post("admin", &format!("/revisions/{revision}/undo"), Value::Null)
        .await;
    assert!(
        undo.json().to_string().contains("Consent"),
        "what cannot be taken back is told"
    );
}

/// A new password and the end of a user are ends of sessions, too.
#[tokio::test]
async fn sessions_end_with_the_password_and_with_the_user() {
    let world = World::new().await;
    for user in ["sue", "sam"] {
        logged_in(&world, user, "twc_shop").await;
    }
    let password = json!({"password": "another one, long enough 9"});
    world
        .call("admin", "PATCH", "/users/sue", password)
        .await
        .expect(200);
    world.delete("admin", "/users/sam").await.expect(204);
    assert_eq!(
        world.grants.logouts_waiting().await.unwrap(),
        2,
        "their clients are told"
    );
    let audit = world.get("admin", "/audit?kind=Session").await.expect(200);
    assert_eq!(audit["items"].as_array().unwrap().len(), 2);
    let clients = listed(&world, "admin", "/consents", "user").await;
    assert_eq!(clients, ["sue"], "what somebody allowed goes with them");
}
