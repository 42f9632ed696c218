//! Sessions, consents, grants, codes, refresh tokens, devices, pushed requests.

use base::{GrantId, SessionId, UserId};

use super::*;
use crate::grants::{
    AuthorizationCode, Basis, CodeBinding, CodeUse, DeviceCode, DevicePoll, DeviceWish, Grant,
    GrantFilter, GrantStore, GrantTerms, Login, Place, PushedRequest, RefreshRule, RefreshToken,
    RefreshUse, Session,
};

/// Now, in seconds since 1970.
pub(super) const NOW: u64 = AT_UNIX_MS / 1000;

pub(super) fn set(names: &[&str]) -> std::collections::BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

pub(super) fn login() -> Login {
    Login {
        at_unix_s: NOW - 5,
        amr: vec!["pwd".to_owned()],
        acr: "1".to_owned(),
        stamp: Digest::of(b"$argon2id$"),
    }
}

pub(super) fn session(secret: &str, user_id: UserId) -> Session {
    Session {
        hash: Digest::of(secret.as_bytes()),
        sid: SessionId::generate(),
        org: org(),
        user_id,
        user: "ada".to_owned(),
        seen_unix_s: NOW,
        expires_unix_s: NOW + 3600,
        login: login(),
        place: Place {
            address: Some("192.0.2.7".to_owned()),
            agent: None,
        },
    }
}

pub(super) fn grant(client_id: &str, user_id: UserId, sid: Option<SessionId>) -> Grant {
    Grant {
        id: GrantId::generate(),
        org: org(),
        client_id: client_id.to_owned(),
        user_id,
        sid,
        offline: false,
        revoked_unix_ms: None,
        created_unix_ms: AT_UNIX_MS,
        expires_unix_s: NOW + 1000,
        terms: GrantTerms {
            application: ApplicationId::generate(),
            user: "ada".to_owned(),
            subject: None,
            login: login(),
            scopes: set(&["openid", "pets:read"]),
            resources: set(&["https://api.example"]),
            claims: Some(json!({"userinfo": {"name": null}})),
        },
    }
}

pub(super) fn code(text: &str, grant: &Grant) -> AuthorizationCode {
    AuthorizationCode {
        hash: Digest::of(text.as_bytes()),
        grant: grant.id,
        expires_unix_s: NOW + 60,
        binding: CodeBinding {
            redirect_uri: "https://app.example/cb".to_owned(),
            redirect_uri_named: true,
            challenge: Some("challenge".to_owned()),
            nonce: None,
            dpop_jkt: Some("jkt".to_owned()),
        },
    }
}

fn refresh(text: &str, grant: &Grant) -> RefreshToken {
    RefreshToken {
        hash: Digest::of(text.as_bytes()),
        grant: grant.id,
        binding: Some("jkt:key".to_owned()),
        expires_unix_s: NOW + 500,
    }
}

fn rotation(next: &str, grant: &Grant, now_unix_ms: u64) -> RefreshRule {
    RefreshRule {
        now_unix_ms,
        next: Some(refresh(next, grant)),
        stays_until_unix_s: NOW + 700,
        grace_ms: 10_000,
        siblings_max: 3,
    }
}

/// A grant with a code, whatever stands.
pub(super) async fn put_code(store: &dyn GrantStore, grant: &Grant, code: &AuthorizationCode) {
    let put = store.code_put(grant, Basis::NOTHING, code).await;
    assert!(put.unwrap());
}

async fn granted(store: &dyn GrantStore) -> Grant {
    let grant = grant("app", UserId::generate(), None);
    let code = code(&grant.id.to_string(), &grant);
    put_code(store, &grant, &code).await;
    grant
}

async fn use_refresh(store: &dyn GrantStore, text: &str, rule: &RefreshRule) -> RefreshUse {
    let hash = Digest::of(text.as_bytes());
    store.refresh_use(&hash, rule).await.unwrap()
}

pub(super) async fn revoked(store: &dyn GrantStore, id: GrantId) -> bool {
    let grant = store.grant_get(id).await.unwrap().unwrap();
    grant.revoked_unix_ms.is_some()
}

/// A session is found by its secret's digest and its public name; a login ends the one before.
pub async fn sessions_are_kept(store: &dyn GrantStore) {
    let ada = UserId::generate();
    let (first, second) = (session("one", ada), session("two", ada));
    store.session_put(&first, None).await.unwrap();
    assert_eq!(
        store.session_get(&first.hash).await.unwrap(),
        Some(first.clone())
    );
    store.session_put(&second, Some(&first.hash)).await.unwrap();
    assert_eq!(store.session_get(&first.hash).await.unwrap(), None);
    assert_eq!(store.session_find(first.sid).await.unwrap(), None);
    assert_eq!(
        store.session_find(second.sid).await.unwrap(),
        Some(second.clone())
    );
    store.session_seen(&second.hash, NOW + 60).await.unwrap();
    let seen = store.session_get(&second.hash).await.unwrap().unwrap();
    assert_eq!(seen.seen_unix_s, NOW + 60);
}

/// A code is good once and until its end; the second use revokes what it gave.
pub async fn a_code_is_used_once(store: &dyn GrantStore) {
    let grant = grant("app", UserId::generate(), None);
    let code = code("code", &grant);
    put_code(store, &grant, &code).await;
    let found = store.code_get(&code.hash).await.unwrap();
    assert_eq!(found, Some((code.clone(), grant.clone())));
    let token = refresh("refresh", &grant);
    let used = store.code_use(&code.hash, AT_UNIX_MS, Some(&token)).await;
    assert_eq!(used.unwrap(), CodeUse::Granted);
    let kept = store.refresh_get(&token.hash).await.unwrap();
    assert_eq!(kept, Some((token, grant.clone())));
    assert!(!revoked(store, grant.id).await);
    let again = store.code_use(&code.hash, AT_UNIX_MS + 1, None).await;
    assert_eq!(again.unwrap(), CodeUse::Replayed);
    assert!(revoked(store, grant.id).await);
    let rule = rotation("next", &grant, AT_UNIX_MS + 2);
    assert_eq!(
        use_refresh(store, "refresh", &rule).await,
        RefreshUse::Unknown
    );

    let unknown = store.code_use(&Digest::of(b"?"), AT_UNIX_MS, None).await;
    assert_eq!(unknown.unwrap(), CodeUse::Unknown);
    let late = granted(store).await;
    let hash = Digest::of(late.id.to_string().as_bytes());
    let over = store
        .code_use(&hash, (NOW + 60) * 1000, None)
        .await
        .unwrap();
    assert_eq!(over, CodeUse::Unknown);
    assert!(!revoked(store, late.id).await);
}

/// Of many calls at once one gets the code, and the others revoke it.
pub async fn one_of_racing_codes_wins(store: &dyn GrantStore) {
    let grant = granted(store).await;
    let hash = Digest::of(grant.id.to_string().as_bytes());
    let calls = (0..32).map(|_| store.code_use(&hash, AT_UNIX_MS, None));
    let mut granted = 0;
    for used in futures_all(calls).await {
        granted += u32::from(used.unwrap() == CodeUse::Granted);
    }
    assert_eq!(granted, 1);
    assert!(revoked(store, grant.id).await);
}

/// A rotated token within its grace gives siblings; afterwards, or when a sibling was used, the family ends (req: T4).
pub async fn refresh_tokens_rotate(store: &dyn GrantStore) {
    let grant = granted(store).await;
    store.refresh_put(&refresh("r0", &grant)).await.unwrap();
    let at = |ms: u64| AT_UNIX_MS + ms;
    let used = async |text: &str, next: &str, ms: u64| {
        use_refresh(store, text, &rotation(next, &grant, at(ms))).await
    };
    assert_eq!(used("r0", "r1", 0).await, RefreshUse::Granted);
    assert_eq!(used("r0", "r1b", 10_000).await, RefreshUse::Granted);
    // Either sibling works, and ends the other.
    assert_eq!(used("r1b", "r2", 60_000).await, RefreshUse::Granted);
    assert!(!revoked(store, grant.id).await);
    assert_eq!(used("r1", "r3", 60_001).await, RefreshUse::Replayed);
    assert!(revoked(store, grant.id).await);
    assert_eq!(used("r2", "r4", 60_002).await, RefreshUse::Unknown);
}

/// What is too late, too often, or after a sibling's use ends the family; what stays may come again and again.
pub async fn refresh_tokens_end_their_family(store: &dyn GrantStore) {
    let late = granted(store).await;
    store.refresh_put(&refresh("late", &late)).await.unwrap();
    let rule = |next: &str, ms: u64| rotation(next, &late, AT_UNIX_MS + ms);
    assert_eq!(
        use_refresh(store, "late", &rule("l1", 0)).await,
        RefreshUse::Granted
    );
    assert_eq!(
        use_refresh(store, "late", &rule("l2", 10_001)).await,
        RefreshUse::Replayed
    );
    assert!(revoked(store, late.id).await);

    let often = granted(store).await;
    store.refresh_put(&refresh("often", &often)).await.unwrap();
    for number in 0..3 {
        let rule = rotation(&format!("o{number}"), &often, AT_UNIX_MS);
        assert_eq!(
            use_refresh(store, "often", &rule).await,
            RefreshUse::Granted
        );
    }
    let rule = rotation("o4", &often, AT_UNIX_MS);
    assert_eq!(
        use_refresh(store, "often", &rule).await,
        RefreshUse::Replayed
    );

    let used = granted(store).await;
    store.refresh_put(&refresh("used", &used)).await.unwrap();
    let rule = |next: &str| rotation(next, &used, AT_UNIX_MS);
    assert_eq!(
        use_refresh(store, "used", &rule("u1")).await,
        RefreshUse::Granted
    );
    assert_eq!(
        use_refresh(store, "u1", &rule("u2")).await,
        RefreshUse::Granted
    );
    assert_eq!(
        use_refresh(store, "used", &rule("u3")).await,
        RefreshUse::Replayed
    );

    let stays = granted(store).await;
    store.refresh_put(&refresh("stays", &stays)).await.unwrap();
    let rule = RefreshRule {
        next: None,
        ..rotation("", &stays, AT_UNIX_MS)
    };
    for _ in 0..3 {
        assert_eq!(
            use_refresh(store, "stays", &rule).await,
            RefreshUse::Granted
        );
    }
    let over = RefreshRule {
        now_unix_ms: (NOW + 700) * 1000,
        ..rule
    };
    assert_eq!(
        use_refresh(store, "stays", &over).await,
        RefreshUse::Unknown
    );
    assert!(!revoked(store, stays.id).await);
}

/// Racing uses of one refresh token within the grace all succeed, as many as there may be (req: T4).
pub async fn racing_refreshes_give_siblings(store: &dyn GrantStore) {
    let grant = granted(store).await;
    store.refresh_put(&refresh("r", &grant)).await.unwrap();
    let rules: Vec<_> = (0..3)
        .map(|number| rotation(&format!("s{number}"), &grant, AT_UNIX_MS))
        .collect();
    let calls = rules.iter().map(|rule| use_refresh(store, "r", rule));
    let used = futures_all(calls).await;
    assert_eq!(used, [RefreshUse::Granted; 3]);
    // And of the siblings one lives on.
    let rules: Vec<_> = (0..3)
        .map(|number| rotation(&format!("t{number}"), &grant, AT_UNIX_MS))
        .collect();
    let calls = rules
        .iter()
        .enumerate()
        .map(async |(number, rule)| use_refresh(store, &format!("s{number}"), rule).await);
    let used = futures_all(calls).await;
    let count = |wanted| used.iter().filter(|used| **used == wanted).count();
    assert_eq!(count(RefreshUse::Granted), 1, "{used:?}");
    assert!(count(RefreshUse::Replayed) >= 1, "{used:?}");
    assert!(revoked(store, grant.id).await);
}

/// Grants are revoked one by one, by client, consent, user; each is told once.
pub async fn grants_are_revoked(store: &dyn GrantStore) {
    let (ada, eve) = (UserId::generate(), UserId::generate());
    let mut ids = Vec::new();
    for (client, user) in [("app", ada), ("app", eve), ("zoo", ada), ("zoo", eve)] {
        let grant = grant(client, user, None);
        let code = code(&grant.id.to_string(), &grant);
        put_code(store, &grant, &code).await;
        ids.push(grant.id);
    }
    let revoke = async |filter: GrantFilter| -> Vec<GrantId> {
        let revoked = store.grants_revoke(&filter, AT_UNIX_MS).await.unwrap();
        assert!(
            revoked
                .iter()
                .all(|grant| grant.revoked_unix_ms == Some(AT_UNIX_MS))
        );
        revoked.into_iter().map(|grant| grant.id).collect()
    };
    assert_eq!(revoke(GrantFilter::Id(ids[0])).await, [ids[0]]);
    assert_eq!(revoke(GrantFilter::Id(ids[0])).await, []);
    assert_eq!(
        revoke(GrantFilter::Consent(ada, "zoo".to_owned())).await,
        [ids[2]]
    );
    assert_eq!(revoke(GrantFilter::User(eve)).await.len(), 2);
    assert_eq!(revoke(GrantFilter::Client("app".to_owned())).await, []);
    assert_eq!(store.grant_get(GrantId::generate()).await.unwrap(), None);
}

pub(super) fn device(text: &str, user_code: &str) -> DeviceCode {
    DeviceCode {
        hash: Digest::of(text.as_bytes()),
        user_code: user_code.to_owned(),
        org: org(),
        client_id: "tv".to_owned(),
        expires_unix_s: NOW + 600,
        interval_s: 5,
        wish: DeviceWish {
            application: ApplicationId::generate(),
            scopes: set(&["pets:read"]),
            resources: set(&[]),
        },
    }
}

/// A device asks until somebody decides; too early makes it slower; the yes is given once.
pub async fn devices_wait_for_a_decision(store: &dyn GrantStore) {
    let tv = device("tv", "BCDFGHJK");
    store.device_put(&tv).await.unwrap();
    let taken = store.device_put(&device("other", "BCDFGHJK")).await;
    assert!(is_exists(&taken.unwrap_err()));
    let ask = async |client: &str, s: u64| {
        let asked = store.device_poll(&tv.hash, client, (NOW + s) * 1000, 5);
        asked.await.unwrap()
    };
    assert_eq!(ask("radio", 0).await, DevicePoll::Unknown);
    assert_eq!(ask("tv", 0).await, DevicePoll::Pending);
    assert_eq!(ask("tv", 4).await, DevicePoll::SlowDown(10));
    assert_eq!(ask("tv", 14).await, DevicePoll::Pending);
    let shown = store.device_find("BCDFGHJK", NOW).await.unwrap().unwrap();
    assert_eq!((shown.client_id.as_str(), &shown.wish), ("tv", &tv.wish));
    assert_eq!(
        store.device_find("BCDFGHJK", NOW + 600).await.unwrap(),
        None
    );
    assert_eq!(store.device_find("XXXXXXXX", NOW).await.unwrap(), None);

    let yes = grant("tv", UserId::generate(), None);
    assert!(
        store
            .device_decide("BCDFGHJK", Some((&yes, Basis::NOTHING)), NOW)
            .await
            .unwrap()
    );
    assert!(!store.device_decide("BCDFGHJK", None, NOW).await.unwrap());
    assert_eq!(store.device_find("BCDFGHJK", NOW).await.unwrap(), None);
    let calls = (0..8).map(|_| ask("tv", 20));
    let told = futures_all(calls).await;
    let granted = told
        .iter()
        .filter(|told| matches!(told, DevicePoll::Granted(_)));
    assert_eq!(granted.count(), 1);

    let radio = device("radio", "LMNPQRST");
    store.device_put(&radio).await.unwrap();
    assert!(store.device_decide("LMNPQRST", None, NOW).await.unwrap());
    let told = store.device_poll(&radio.hash, "tv", AT_UNIX_MS, 5).await;
    assert_eq!(told.unwrap(), DevicePoll::Denied);
    let late = store.device_poll(&radio.hash, "tv", (NOW + 600) * 1000, 5);
    assert_eq!(late.await.unwrap(), DevicePoll::Expired);
}

/// A pushed request is taken once and before its end.
pub async fn pushed_requests_are_taken_once(store: &dyn GrantStore) {
    let pushed = |text: &str| PushedRequest {
        hash: Digest::of(text.as_bytes()),
        client_id: "app".to_owned(),
        parameters: json!({"scope": "openid \u{0}"}),
        expires_unix_s: NOW + 60,
    };
    for text in ["a", "b"] {
        store.pushed_put(&pushed(text)).await.unwrap();
    }
    let hash = pushed("a").hash;
    let calls = (0..8).map(|_| store.pushed_take(&hash, NOW));
    let taken: Vec<_> = futures_all(calls).await;
    let taken: Vec<_> = taken.into_iter().filter_map(Result::unwrap).collect();
    assert_eq!(taken, [pushed("a")]);
    let late = store.pushed_take(&pushed("b").hash, NOW + 60).await;
    assert_eq!(late.unwrap(), None);
}

/// What is over goes in parts (req: T5); a used code stays as long as its grant.
pub async fn grants_expire_in_parts(store: &dyn GrantStore) {
    let ada = UserId::generate();
    for number in 0..5 {
        let text = number.to_string();
        store.session_put(&session(&text, ada), None).await.unwrap();
    }
    let grant = granted(store).await;
    let unused = granted(store).await;
    let used = Digest::of(grant.id.to_string().as_bytes());
    store.code_use(&used, AT_UNIX_MS, None).await.unwrap();
    store.refresh_put(&refresh("r", &grant)).await.unwrap();
    store.device_put(&device("tv", "BCDFGHJK")).await.unwrap();
    let expire = async |s: u64| store.grants_expire(NOW + s, 2).await.unwrap();
    assert_eq!(expire(0).await, 0);
    assert_eq!(expire(61).await, 1, "the code that nobody used");
    let unused = Digest::of(unused.id.to_string().as_bytes());
    assert_eq!(store.code_get(&unused).await.unwrap(), None);
    assert!(store.code_get(&used).await.unwrap().is_some());
    assert_eq!(expire(700).await, 2, "refresh token and device");
    assert_eq!(expire(1001).await, 3, "two grants and the used code");
    for left in [2, 2, 1, 0] {
        assert_eq!(expire(4000).await, left);
    }
}

/// Waits for all of some calls at once; this crate knows no runtime.
async fn futures_all<F: Future>(calls: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let mut calls: Vec<_> = calls.into_iter().map(Box::pin).collect();
    let mut done: Vec<Option<F::Output>> = calls.iter().map(|_| None).collect();
    std::future::poll_fn(move |cx| {
        for (call, done) in calls.iter_mut().zip(&mut done) {
            if done.is_none()
                && let std::task::Poll::Ready(output) = call.as_mut().poll(cx)
            {
                *done = Some(output);
            }
        }
        if done.iter().all(Option::is_some) {
            return std::task::Poll::Ready(done.iter_mut().filter_map(Option::take).collect());
        }
        std::task::Poll::Pending
    })
    .await
}
