//! What people pass through moves along.

use base::{ApplicationId, Digest, GrantId, Org, SessionId, UserId};
use serde_json::json;
use store::grants::{
    AuthorizationCode, Basis, CodeBinding, Consent, DeviceCode, DeviceWish, Grant, GrantTerms,
    Login, Place, PushedRequest, RefreshToken, Session,
};
use store::{Batch, Expect, GrantStore, Store, User, Write};

use super::Home;

const END: u64 = 4_000_000_000;

fn session(ada: UserId) -> Session {
    Session {
        hash: Digest::of(b"session"),
        sid: SessionId::generate(),
        org: Org::default_org(),
        user_id: ada,
        user: "ada".to_owned(),
        seen_unix_s: 2,
        expires_unix_s: END,
        login: Login {
            at_unix_s: 1,
            amr: vec!["pwd".to_owned()],
            acr: "1".to_owned(),
            stamp: Digest::of(b"hash"),
        },
        place: Place {
            address: Some("192.0.2.7".to_owned()),
            agent: Some("a browser".to_owned()),
        },
    }
}

/// Ada, who allows something.
fn batch(consent: &Consent) -> Batch {
    let ada = User {
        id: consent.user_id,
        org: Org::default_org(),
        name: "ada".to_owned(),
        password_hash: "hash".to_owned(),
        roles: Vec::new(),
        created_unix_ms: 1,
    };
    Batch {
        org: Org::default_org(),
        actor: "ada".to_owned(),
        at_unix_ms: 1,
        request: None,
        writes: vec![
            Write::UserPut(ada, Expect::Absent),
            Write::ConsentAdd(consent.clone()),
        ],
    }
}

fn grant(session: &Session) -> Grant {
    Grant {
        id: GrantId::generate(),
        org: session.org.clone(),
        client_id: "client".to_owned(),
        user_id: session.user_id,
        sid: Some(session.sid),
        offline: true,
        revoked_unix_ms: None,
        created_unix_ms: 1,
        expires_unix_s: END,
        terms: GrantTerms {
            application: ApplicationId::generate(),
            user: "ada".to_owned(),
            subject: None,
            login: session.login.clone(),
            scopes: ["a \u{1F43E}".to_owned()].into(),
            resources: ["https://api.example".to_owned()].into(),
            claims: Some(json!({"userinfo": {}})),
        },
    }
}

/// From SQLite to PostgreSQL, each kind of row.
#[tokio::test]
async fn what_people_pass_through_moves_along() {
    let homes = (Home::folder(), Home::server());
    let (from, to) = (homes.0.open().await, homes.1.open().await);
    let ada = UserId::generate();
    let session = session(ada);
    let grant = grant(&session);
    let code = AuthorizationCode {
        hash: Digest::of(b"code"),
        grant: grant.id,
        expires_unix_s: END,
        binding: CodeBinding {
            redirect_uri: "https://app.example/cb".to_owned(),
            redirect_uri_named: false,
            challenge: Some("challenge".to_owned()),
            nonce: Some("n".to_owned()),
            dpop_jkt: None,
        },
    };
    let token = RefreshToken {
        hash: Digest::of(b"refresh"),
        grant: grant.id,
        binding: None,
        expires_unix_s: END,
    };
    let device = DeviceCode {
        hash: Digest::of(b"device"),
        user_code: "BCDFGHJK".to_owned(),
        org: session.org.clone(),
        client_id: "tv".to_owned(),
        expires_unix_s: END,
        interval_s: 5,
        wish: DeviceWish {
            application: ApplicationId::generate(),
            scopes: ["a".to_owned()].into(),
            resources: [].into(),
        },
    };
    let pushed = PushedRequest {
        hash: Digest::of(b"pushed"),
        client_id: "client".to_owned(),
        parameters: json!({"state": "\u{0}"}),
        expires_unix_s: END,
    };
    let consent = Consent {
        user_id: ada,
        client_id: "client".to_owned(),
        scopes: grant.terms.scopes.clone(),
        resources: grant.terms.resources.clone(),
        at_unix_ms: 1,
    };
    from.session_put(&session, None).await.unwrap();
    from.commit(batch(&consent)).await.unwrap();
    from.code_put(&grant, Basis::NOTHING, &code).await.unwrap();
    from.refresh_put(&token).await.unwrap();
    from.device_put(&device).await.unwrap();
    from.pushed_put(&pushed).await.unwrap();

    let moved = from.move_to(&to).await.unwrap();
    for table in [
        "sessions",
        "consents",
        "grants",
        "codes",
        "refresh_tokens",
        "device_codes",
        "pushed_requests",
    ] {
        let rows = moved
            .iter()
            .find(|moved| moved.table == table)
            .unwrap()
            .rows;
        assert_eq!(rows, 1, "{table}");
    }
    assert_eq!(to.session_get(&session.hash).await.unwrap(), Some(session));
    assert_eq!(to.consent_list(ada).await.unwrap(), [consent]);
    let found = to.code_get(&code.hash).await.unwrap();
    assert_eq!(found, Some((code, grant.clone())));
    let found = to.refresh_get(&token.hash).await.unwrap();
    assert_eq!(found, Some((token, grant)));
    let found = to.device_find("BCDFGHJK", 1).await.unwrap();
    assert_eq!(found, Some(device));
    let found = to.pushed_take(&pushed.hash, 1).await.unwrap();
    assert_eq!(found, Some(pushed));
}
