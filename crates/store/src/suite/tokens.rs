//! Ends of tokens, opaque tokens, and what may be used once.

use base::{Digest, GrantId, SessionId, TokenMarks, TokensOf, UserId};
use futures_util::future::join_all;
use serde_json::json;

use super::batch;
use crate::{ChangeKey, OpaqueToken, Revocation, Store, Watermark, Write};

fn end(of: &TokensOf, expires_unix_s: u64) -> Write {
    Write::TokensEnd {
        of: of.clone(),
        expires_unix_s,
    }
}

/// The end of all tokens of something has the revision of its batch; who goes on ends anew, what is over stays over
/// (req: S9).
pub async fn ends_of_tokens_are_kept(store: &dyn Store) {
    let client = TokensOf::Client("twc_shop".to_owned());
    let grant = TokensOf::Grant(GrantId::generate());
    assert_eq!(store.watermark_get(&client).await.unwrap(), None);
    let writes = vec![end(&client, 100), end(&grant, 100)];
    let first = store.commit(batch(writes)).await.unwrap();
    let changes = store.changes_since(first - 1, 10).await.unwrap().changes;
    let told: Vec<ChangeKey> = changes.into_iter().map(|change| change.key).collect();
    let wanted = [&client, &grant].map(|of| ChangeKey::TokensEnd(of.clone()));
    assert_eq!(told, wanted);
    for of in [&client, &grant] {
        let kept = Watermark {
            of: of.clone(),
            revision: first,
            expires_unix_s: 100,
        };
        assert_eq!(store.watermark_get(of).await.unwrap(), Some(kept));
    }
    let again = store.commit(batch(vec![end(&grant, 90)])).await.unwrap();
    assert_eq!(again, first, "it is over: nothing changed");
    let second = store.commit(batch(vec![end(&client, 50)])).await.unwrap();
    let kept = store.watermark_get(&client).await.unwrap().unwrap();
    assert_eq!((kept.revision, kept.expires_unix_s), (second, 100));
    let list = store.watermark_list(99).await.unwrap();
    assert_eq!(list.len(), 2);
    assert_eq!(store.watermark_list(100).await.unwrap(), []);
    assert_eq!(store.tokens_expire(100, 10).await.unwrap(), 0);
    assert_eq!(store.tokens_expire(101, 1).await.unwrap(), 1);
    assert_eq!(store.tokens_expire(101, 10).await.unwrap(), 1);
    assert_eq!(store.watermark_get(&client).await.unwrap(), None);
}

/// A token ends by its id, or with what it comes of; one that was asked for after lives.
pub async fn tokens_end_with_what_they_come_of(store: &dyn Store) {
    let (user, session) = (UserId::generate(), SessionId::generate());
    let marks = |jti: &str, revision: u64| {
        let other = json!({ "sid": session, "rev": revision });
        let other = other.as_object().unwrap();
        TokenMarks::of_claims(jti, "twc_shop", &user.to_string(), other)
    };
    let before = store.revision().await.unwrap();
    let ended = async |marks: TokenMarks| store.token_ended(&marks).await.unwrap();
    assert!(!ended(marks("a", before)).await);
    let revocation = Revocation {
        jti: "a".to_owned(),
        expires_unix_s: 100,
    };
    let one = store.commit(batch(vec![Write::RevocationPut(revocation)]));
    let revision = one.await.unwrap();
    assert!(ended(marks("a", revision)).await);
    assert!(!ended(marks("b", before)).await);
    let all = vec![end(&TokensOf::User(user), 100)];
    let revision = store.commit(batch(all)).await.unwrap();
    assert!(ended(marks("b", before)).await);
    assert!(!ended(marks("b", revision)).await);
    let over = vec![end(&TokensOf::Session(session), 100)];
    let revision = store.commit(batch(over)).await.unwrap();
    assert!(ended(marks("b", revision)).await, "for ever");
}

/// Opaque tokens are found by digest until they are forgotten, and make no revision.
pub async fn opaque_tokens_are_kept(store: &dyn Store) {
    let token = |text: &str, expires_unix_s| OpaqueToken {
        digest: Digest::of(text.as_bytes()),
        claims: json!({ "sub": text, "exp": expires_unix_s }),
        expires_unix_s,
    };
    let before = store.revision().await.unwrap();
    for (text, expires) in [("a", 100), ("b", 200), ("c", 100)] {
        store.opaque_put(&token(text, expires)).await.unwrap();
    }
    assert_eq!(store.revision().await.unwrap(), before);
    let found = store.opaque_get(&Digest::of(b"a")).await.unwrap();
    assert_eq!(found, Some(token("a", 100)));
    assert_eq!(store.opaque_get(&Digest::of(b"x")).await.unwrap(), None);
    assert_eq!(store.tokens_expire(101, 1).await.unwrap(), 1);
    assert_eq!(store.tokens_expire(101, 5).await.unwrap(), 1);
    assert_eq!(store.opaque_get(&Digest::of(b"a")).await.unwrap(), None);
    assert!(store.opaque_get(&Digest::of(b"b")).await.unwrap().is_some());
}

/// Of many that use the same thing at once, one succeeds.
pub async fn what_is_used_once_is_used_once(store: &dyn Store) {
    let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
    let tries = (0..8).map(|_| store.use_once(&a, 100));
    let mut taken = 0;
    for done in join_all(tries).await {
        taken += usize::from(done.unwrap());
    }
    assert_eq!(taken, 1);
    assert!(store.use_once(&b, 100).await.unwrap());
    assert!(!store.use_once(&b, 900).await.unwrap());
    assert_eq!(store.tokens_expire(101, 10).await.unwrap(), 2);
    assert!(store.use_once(&a, 300).await.unwrap(), "forgotten");
}
