//! Sessions as people see them, consents, and who waits for being told of a logout.

use base::{SessionId, TokensOf, UserId};

use super::grants::{NOW, code, grant, put_code, revoked, session, set};
use super::*;
use crate::grants::{Basis, Consent, Grant, IdPage, Session};
use crate::{GrantStore, HistoryKind};

/// Both sides of what people pass through.
pub trait Both: Store + GrantStore {}

impl<S: Store + GrantStore> Both for S {}

/// When ends of tokens are forgotten.
const KEPT: u64 = NOW + 9_000;

/// A user who is there.
async fn ada(store: &impl Both) -> User {
    let ada = user("ada");
    let put = Write::UserPut(ada.clone(), Expect::Absent);
    store.commit(batch(vec![put])).await.unwrap();
    ada
}

async fn begun(store: &impl Both, secret: &str, user: UserId) -> Session {
    let session = session(secret, user);
    store.session_put(&session, None).await.unwrap();
    session
}

async fn given(store: &impl Both, grant: Grant) -> Grant {
    let code = code(&grant.id.to_string(), &grant);
    put_code(store, &grant, &code).await;
    grant
}

fn end(session: &Session) -> Batch {
    batch(vec![Write::SessionEnd {
        sid: session.sid,
        expires_unix_s: KEPT,
    }])
}

async fn over(store: &impl Both, of: TokensOf) -> bool {
    store.watermark_get(&of).await.unwrap().is_some()
}

/// What a revision says of one kind of thing: names, and whether it was there before and is after.
async fn told(store: &impl Both, revision: u64, kind: HistoryKind) -> Vec<HistoryEntry> {
    let filter = HistoryFilter {
        revision: Some(revision),
        kinds: vec![kind],
        ..HistoryFilter::default()
    };
    store.history_list(&org(), &filter).await.unwrap()
}

fn consent(user: &User, client: &str, scopes: &[&str]) -> Consent {
    Consent {
        user_id: user.id,
        client_id: client.to_owned(),
        scopes: set(scopes),
        resources: set(&[]),
        at_unix_ms: AT_UNIX_MS,
    }
}

/// By organisation and user, in parts, without those that are over.
pub async fn sessions_are_listed(store: &impl Both) {
    let (ada, eve) = (UserId::generate(), UserId::generate());
    let mut all = Vec::new();
    for (secret, user) in [("1", ada), ("2", eve), ("3", ada)] {
        all.push(begun(store, secret, user).await);
    }
    all.sort_by_key(|session| session.sid);
    let over = Session {
        expires_unix_s: NOW,
        ..session("4", ada)
    };
    store.session_put(&over, None).await.unwrap();
    let org = org();
    let list = async |user, page| store.session_list(&org, user, NOW, &page).await.unwrap();
    assert_eq!(list(None, IdPage::first(9)).await, all);
    let of_ada: Vec<_> = all
        .iter()
        .filter(|session| session.user_id == ada)
        .cloned()
        .collect();
    assert_eq!(list(Some(ada), IdPage::first(9)).await, of_ada);
    assert_eq!(list(None, IdPage::first(2)).await, all[..2]);
    let rest = IdPage {
        after: Some(all[1].sid),
        limit: 9,
    };
    assert_eq!(list(None, rest).await, all[2..]);
    let elsewhere = Org::new("elsewhere");
    let none = store
        .session_list(&elsewhere, None, NOW, &IdPage::first(9))
        .await;
    assert_eq!(none.unwrap(), []);
}

/// The end of a session revokes its grants but those that outlive it, ends its tokens, names all clients of it, is in the
/// history, and happens once.
pub async fn a_session_takes_its_grants_and_tokens_along(store: &impl Both) {
    let ada = UserId::generate();
    let session = begun(store, "one", ada).await;
    let short = given(store, grant("app", ada, Some(session.sid))).await;
    let long = Grant {
        offline: true,
        ..grant("mail", ada, Some(session.sid))
    };
    let long = given(store, long).await;
    let other = given(store, grant("app", ada, Some(SessionId::generate()))).await;
    let live = store.grants_of_sessions(&[session.sid]).await.unwrap();
    assert_eq!(live, [short.clone(), long.clone()]);

    let elsewhere = Batch {
        org: Org::new("elsewhere"),
        ..end(&session)
    };
    assert!(is_missing(&store.commit(elsewhere).await.unwrap_err()));
    let revision = store.commit(end(&session)).await.unwrap();
    assert!(is_missing(&store.commit(end(&session)).await.unwrap_err()));
    assert_eq!(store.session_get(&session.hash).await.unwrap(), None);
    assert!(revoked(store, short.id).await);
    assert!(!revoked(store, long.id).await);
    assert!(!revoked(store, other.id).await);
    assert!(over(store, TokensOf::Session(session.sid)).await);
    let live = store.grants_of_sessions(&[session.sid]).await.unwrap();
    assert_eq!(live, [long]);

    let waiting = store.logouts_take(AT_UNIX_MS, 1_000, 9).await.unwrap();
    let mut clients: Vec<_> = waiting.iter().map(|one| one.client_id.as_str()).collect();
    clients.sort_unstable();
    assert_eq!(clients, ["app", "mail"]);
    assert!(
        waiting
            .iter()
            .all(|one| (one.sid, one.user_id) == (session.sid, ada))
    );
    let entries = told(store, revision, HistoryKind::Session).await;
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].name, session.sid.to_string());
    assert_eq!(entries[0].after, None);
    let before = entries[0].before.as_ref().unwrap();
    assert_eq!(
        (&before["user"], &before["clients"]),
        (&json!("ada"), &json!(["app", "mail"]))
    );
    assert!(
        !before.to_string().contains("192.0.2.7"),
        "the history is no list of addresses"
    );
}

/// … with what is left of sessions that others took the place of.
pub async fn all_sessions_of_a_user_end(store: &impl Both) {
    let (ada, eve) = (UserId::generate(), UserId::generate());
    let first = begun(store, "1", ada).await;
    let left = given(store, grant("app", ada, Some(first.sid))).await;
    let second = session("2", ada);
    store.session_put(&second, Some(&first.hash)).await.unwrap();
    let third = begun(store, "3", ada).await;
    let other = begun(store, "4", eve).await;
    let all = || {
        batch(vec![Write::SessionsEnd {
            user: ada,
            expires_unix_s: KEPT,
        }])
    };
    let revision = store.commit(all()).await.unwrap();
    for session in [&first, &second, &third] {
        assert_eq!(store.session_get(&session.hash).await.unwrap(), None);
        assert!(over(store, TokensOf::Session(session.sid)).await);
    }
    assert!(revoked(store, left.id).await);
    assert!(store.session_get(&other.hash).await.unwrap().is_some());
    assert_eq!(told(store, revision, HistoryKind::Session).await.len(), 2);
    assert_eq!(
        store.commit(all()).await.unwrap(),
        revision,
        "nothing is left"
    );
}

/// Of calls that end one session at the same time one does.
pub async fn one_of_racing_ends_of_a_session_wins(store: &impl Both) {
    let session = begun(store, "one", UserId::generate()).await;
    given(store, grant("app", session.user_id, Some(session.sid))).await;
    let calls = (0..8).map(|_| store.commit(end(&session)));
    let ended = futures_util::future::join_all(calls).await;
    assert_eq!(ended.iter().filter(|ended| ended.is_ok()).count(), 1);
    assert_eq!(store.logouts_waiting().await.unwrap(), 1);
}

/// A consent grows, and the history tells of what is new alone.
pub async fn consents_are_kept(store: &impl Both) {
    let ada = ada(store).await;
    let add = async |consent: Consent| store.commit(batch(vec![Write::ConsentAdd(consent)])).await;
    assert_eq!(store.consent_get(ada.id, "app").await.unwrap(), None);
    let first = add(consent(&ada, "app", &["a"])).await.unwrap();
    let wide = Consent {
        resources: set(&["https://api.example"]),
        at_unix_ms: AT_UNIX_MS + 1,
        ..consent(&ada, "app", &["b"])
    };
    let second = add(wide.clone()).await.unwrap();
    add(consent(&ada, "zoo", &[])).await.unwrap();
    let again = add(consent(&ada, "app", &["a"])).await.unwrap();
    assert_eq!(again, second + 1, "nothing new is no change");
    let both = Consent {
        scopes: set(&["a", "b"]),
        ..wide
    };
    assert_eq!(
        store.consent_get(ada.id, "app").await.unwrap(),
        Some(both.clone())
    );
    let list = store.consent_list(ada.id).await.unwrap();
    assert_eq!(list, [both, consent(&ada, "zoo", &[])]);
    let of = async |after| store.consent_list_of(&org(), after, 1).await.unwrap();
    assert_eq!(of(None).await, list[..1]);
    assert_eq!(of(Some((ada.id, "app".to_owned()))).await, list[1..]);
    assert_eq!(of(Some((ada.id, "zoo".to_owned()))).await, []);
    let elsewhere = store.consent_list_of(&Org::new("elsewhere"), None, 9).await;
    assert_eq!(elsewhere.unwrap(), []);

    for (revision, before) in [(first, None), (second, Some(json!(["a"])))] {
        let entries = told(store, revision, HistoryKind::Consent).await;
        assert_eq!(entries.len(), 1);
        assert_eq!(
            (entries[0].name.as_str(), entries[0].actor.as_str()),
            ("ada/app", "ada")
        );
        let was = entries[0]
            .before
            .as_ref()
            .map(|before| before["scopes"].clone());
        assert_eq!(was, before);
    }
    let nobody = consent(&user("nobody"), "app", &["a"]);
    assert!(is_missing(&add(nobody).await.unwrap_err()));
    store
        .commit(batch(vec![Write::UserDelete("ada".to_owned())]))
        .await
        .unwrap();
    assert_eq!(store.consent_list(ada.id).await.unwrap(), []);
}

/// What was allowed ends with the consent: offline grants and all tokens too.
pub async fn consents_go_with_what_they_gave(store: &impl Both) {
    let ada = ada(store).await;
    let add = vec![Write::ConsentAdd(consent(&ada, "app", &["a"]))];
    store.commit(batch(add)).await.unwrap();
    let offline = Grant {
        offline: true,
        ..grant("app", ada.id, None)
    };
    let offline = given(store, offline).await;
    let mail = given(store, grant("mail", ada.id, None)).await;
    let delete = || {
        batch(vec![Write::ConsentDelete {
            user: ada.id,
            client_id: "app".to_owned(),
            expires_unix_s: KEPT,
        }])
    };
    let elsewhere = Batch {
        org: Org::new("elsewhere"),
        ..delete()
    };
    assert!(is_missing(&store.commit(elsewhere).await.unwrap_err()));
    let revision = store.commit(delete()).await.unwrap();
    assert!(revoked(store, offline.id).await);
    assert!(!revoked(store, mail.id).await);
    assert!(over(store, TokensOf::Grant(offline.id)).await);
    assert_eq!(store.consent_list(ada.id).await.unwrap(), []);
    let entries = told(store, revision, HistoryKind::Consent).await;
    assert_eq!((entries.len(), &entries[0].after), (1, &None));
    assert!(is_missing(&store.commit(delete()).await.unwrap_err()));
}

/// Taken ones come again after their lease, unless they were settled.
pub async fn waiting_logouts_are_taken_until_they_are_settled(store: &impl Both) {
    let ada = UserId::generate();
    let session = begun(store, "one", ada).await;
    given(store, grant("app", ada, Some(session.sid))).await;
    store.commit(end(&session)).await.unwrap();
    let take = async |at| store.logouts_take(at, 1_000, 9).await.unwrap();
    assert_eq!(take(AT_UNIX_MS - 1).await, []);
    let taken = take(AT_UNIX_MS).await;
    assert_eq!((taken.len(), taken[0].attempts), (1, 1));
    assert_eq!(taken[0].created_unix_ms, AT_UNIX_MS);
    assert_eq!(take(AT_UNIX_MS + 999).await, []);
    let again = take(AT_UNIX_MS + 1_000).await;
    assert_eq!(
        (again[0].id, again[0].attempts),
        (taken[0].id, 2),
        "nobody settled it"
    );
    let later = Some(AT_UNIX_MS + 5_000);
    store.logout_settle(taken[0].id, later).await.unwrap();
    assert_eq!(take(AT_UNIX_MS + 4_999).await, []);
    assert_eq!(store.logouts_waiting().await.unwrap(), 1);
    assert_eq!(take(AT_UNIX_MS + 5_000).await[0].attempts, 3);
    store.logout_settle(taken[0].id, None).await.unwrap();
    assert_eq!(take(AT_UNIX_MS + 99_000).await, []);
    assert_eq!(store.logouts_waiting().await.unwrap(), 0);
}

/// Of processes that take at the same time one has each.
pub async fn waiting_logouts_are_taken_by_one(store: &impl Both) {
    let ada = UserId::generate();
    let session = begun(store, "one", ada).await;
    for client in ["a", "b", "c", "d", "e"] {
        given(store, grant(client, ada, Some(session.sid))).await;
    }
    store.commit(end(&session)).await.unwrap();
    let calls = (0..8).map(|_| store.logouts_take(AT_UNIX_MS, 1_000, 2));
    let taken = futures_util::future::join_all(calls).await;
    let mut ids: Vec<_> = taken
        .into_iter()
        .flat_map(|taken| taken.unwrap())
        .map(|one| one.id)
        .collect();
    ids.sort_unstable();
    let all = ids.len();
    ids.dedup();
    assert_eq!(all, ids.len(), "one was taken twice");
    assert!(all >= 2);
}

/// The end of a user is that of all names that clients know it by.
pub async fn tokens_of_a_user_end_under_all_names(store: &impl Both) {
    let ada = UserId::generate();
    for (client, subject) in [
        ("a", None),
        ("b", Some("p1")),
        ("c", Some("p2")),
        ("d", Some("p2")),
    ] {
        let mut grant = grant(client, ada, None);
        grant.terms.subject = subject.map(str::to_owned);
        given(store, grant).await;
    }
    let end = Write::TokensEnd {
        of: TokensOf::User(ada),
        expires_unix_s: KEPT,
    };
    store.commit(batch(vec![end])).await.unwrap();
    for subject in ["p1", "p2"] {
        assert!(
            over(store, TokensOf::Subject(subject.to_owned())).await,
            "{subject}"
        );
    }
    assert!(over(store, TokensOf::User(ada)).await);
}

/// A grant begins by a session and a consent that are there, and says no more than the consent.
pub async fn grants_begin_by_what_stands(store: &impl Both) {
    const BOTH: Basis = Basis {
        session: true,
        consent: true,
    };
    let ada = ada(store).await;
    let session = begun(store, "one", ada.id).await;
    let mut grant = grant("app", ada.id, Some(session.sid));
    grant.terms.scopes = set(&["a"]);
    grant.terms.resources = set(&[]);
    let put = async |grant: &Grant, basis: Basis| {
        let grant = Grant {
            id: base::GrantId::generate(),
            ..grant.clone()
        };
        let code = code(&grant.id.to_string(), &grant);
        let put = store.code_put(&grant, basis, &code).await.unwrap();
        let kept = store.grant_get(grant.id).await.unwrap().is_some();
        assert_eq!(put, kept, "a grant that does not begin is not there");
        put
    };
    let by_session = Basis {
        consent: false,
        ..BOTH
    };
    assert!(!put(&grant, BOTH).await, "nothing was allowed");
    assert!(put(&grant, by_session).await);
    let add = vec![Write::ConsentAdd(consent(&ada, "app", &["a"]))];
    store.commit(batch(add)).await.unwrap();
    assert!(put(&grant, BOTH).await);
    let mut wide = grant.clone();
    wide.terms.scopes = set(&["a", "b"]);
    assert!(!put(&wide, BOTH).await, "less was allowed");
    wide = grant.clone();
    wide.terms.resources = set(&["https://api.example"]);
    assert!(!put(&wide, BOTH).await, "it was for less");

    let tv = super::grants::device("tv", "BCDFGHJK");
    store.device_put(&tv).await.unwrap();
    let decide = async |grant: &Grant| {
        let yes = Some((grant, BOTH));
        store.device_decide("BCDFGHJK", yes, NOW).await.unwrap()
    };
    assert!(!decide(&wide).await);
    store.commit(end(&session)).await.unwrap();
    assert!(!put(&grant, BOTH).await, "the session is over");
    assert!(!decide(&grant).await);
    let waits = store.device_find("BCDFGHJK", NOW).await.unwrap();
    assert!(waits.is_some(), "nobody has decided");
    assert!(put(&grant, Basis::NOTHING).await);
}

/// Grants that begin while their session or consent ends, ended or did not begin: there is no time between (req: S9).
pub async fn no_grant_outlives_what_it_goes_by(store: &impl Both) {
    const ROUNDS: usize = 25;
    let ada = ada(store).await;
    for round in 0..ROUNDS {
        let session = begun(store, &format!("session {round}"), ada.id).await;
        let add = vec![Write::ConsentAdd(consent(&ada, "app", &["a"]))];
        store.commit(batch(add)).await.unwrap();
        let by_session = round % 2 == 0;
        let basis = Basis {
            session: by_session,
            consent: !by_session,
        };
        let ends = if by_session {
            end(&session)
        } else {
            batch(vec![Write::ConsentDelete {
                user: ada.id,
                client_id: "app".to_owned(),
                expires_unix_s: KEPT,
            }])
        };
        let begin = async || {
            let mut grant = grant("app", ada.id, Some(session.sid));
            grant.terms.scopes = set(&["a"]);
            grant.terms.resources = set(&[]);
            let code = code(&grant.id.to_string(), &grant);
            let put = store.code_put(&grant, basis, &code).await.unwrap();
            put.then_some(grant.id)
        };
        let begins = futures_util::future::join_all((0..6).map(|_| begin()));
        let (begun, ended) = futures_util::future::join(begins, store.commit(ends)).await;
        ended.unwrap();
        for id in begun.into_iter().flatten() {
            assert!(revoked(store, id).await, "round {round}: {id} goes on");
        }
    }
}
