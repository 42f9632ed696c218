use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use base::{ApplicationId, Clock, ManualClock, Org, Secret, UserId, code};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use credentials::{
    AccessGrant, KeyFile, REVOCATION_MARGIN_S, Subject, TokenError, Tokens, TokensConfig,
    TokensError, gateway_audience, revocation,
};
use jose::{JoseError, SigningKey};
use serde_json::{Value, json};
use store::{Role, User};

use crate::memory::Memory;

const ISSUER: &str = "https://id.example.com";
const START_MS: u64 = 1_700_000_000_000;

struct World {
    store: Arc<Memory>,
    clock: Arc<ManualClock>,
    tokens: Tokens,
}

fn key_file() -> KeyFile {
    KeyFile::from_root(&Secret::new([1; 32])).unwrap()
}

async fn open(store: &Arc<Memory>, clock: &Arc<ManualClock>) -> Result<Tokens, TokensError> {
    let config = TokensConfig::new(ISSUER);
    Tokens::open(store.clone(), key_file(), clock.clone(), config).await
}

async fn world() -> World {
    let store = Arc::new(Memory::default());
    let clock = Arc::new(ManualClock::at(START_MS));
    let tokens = open(&store, &clock).await.unwrap();
    store.rows().users.push(user("admin", vec![Role::Admin]));
    World {
        store,
        clock,
        tokens,
    }
}

fn user(name: &str, roles: Vec<Role>) -> User {
    User {
        id: UserId::generate(),
        org: Org::default_org(),
        name: name.to_owned(),
        password_hash: String::new(),
        roles,
        created_unix_ms: 0,
    }
}

fn access_grant(scopes: &[&str]) -> AccessGrant {
    let subject = Subject::Application(ApplicationId::generate());
    AccessGrant {
        scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
        revision: 7,
        ..AccessGrant::new(Org::default_org(), "twc_shop", subject)
    }
}

fn control_token(world: &World) -> Secret<String> {
    let admin = world.store.rows().users[0].clone();
    world.tokens.mint_control_token(&admin, 7).unwrap().token
}

fn parts(token: &str) -> (Value, Value) {
    let decoded: Vec<Value> = token
        .split('.')
        .take(2)
        .map(|part| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap())
        .collect();
    (decoded[0].clone(), decoded[1].clone())
}

/// RFC 9068 §2: header and claims of an access token.
#[tokio::test]
async fn an_access_token_has_what_rfc_9068_wants() {
    let world = world().await;
    let grant = access_grant(&["pets:write", "pets:read"]);
    let minted = world.tokens.mint_access_token(&grant).unwrap();
    assert_eq!(minted.expires_in, 3600);

    let (header, claims) = parts(minted.token.expose());
    assert_eq!(header["typ"], "at+jwt");
    assert_eq!(header["alg"], "ES256");
    assert_eq!(header["kid"], world.tokens.jwks()["keys"][0]["kid"]);
    let now_s = START_MS / 1000;
    let subject = claims["sub"].as_str().unwrap().parse().unwrap();
    assert_eq!(grant.subject, Subject::Application(subject));
    assert_eq!(
        claims,
        json!({
            "iss": ISSUER,
            "aud": "urn:tollway:default:gateway",
            "sub": claims["sub"],
            "client_id": "twc_shop",
            "org": "default",
            "rev": 7,
            "scope": "pets:read pets:write",
            "iat": now_s,
            "exp": now_s + 3600,
            "jti": minted.jti,
        })
    );
    let verified = world
        .tokens
        .verify_access(&grant.org, minted.token.expose())
        .await
        .unwrap();
    assert_eq!(verified.jti, Some(minted.jti.clone()));

    let again = world.tokens.mint_access_token(&grant).unwrap();
    assert_ne!(again.jti, minted.jti);
    let short = AccessGrant {
        lifetime_s: Some(5),
        scopes: BTreeSet::new(),
        ..grant
    };
    let short = world.tokens.mint_access_token(&short).unwrap();
    assert_eq!(short.expires_in, 5);
    assert_eq!(parts(short.token.expose()).1.get("scope"), None);
}

/// Both ways: the audience keeps them apart.
#[tokio::test]
async fn a_gateway_token_is_no_control_token_nor_the_reverse() {
    let world = world().await;
    let org = Org::default_org();
    let gateway = world.tokens.mint_access_token(&access_grant(&[])).unwrap();
    let control = control_token(&world);

    assert!(
        world
            .tokens
            .verify_access(&org, gateway.token.expose())
            .await
            .is_ok()
    );
    assert!(world.tokens.verify_control(control.expose()).await.is_ok());
    let as_control = world.tokens.verify_control(gateway.token.expose()).await;
    assert!(matches!(
        as_control,
        Err(TokenError::Refused(JoseError::Audience { .. }))
    ));
    let as_gateway = world.tokens.verify_access(&org, control.expose()).await;
    assert!(matches!(
        as_gateway,
        Err(TokenError::Refused(JoseError::Audience { .. }))
    ));
}

#[tokio::test]
async fn another_organisations_token_is_refused() {
    let world = world().await;
    let minted = world.tokens.mint_access_token(&access_grant(&[])).unwrap();
    for name in ["other", "control", "", "default:gateway"] {
        let refused = world
            .tokens
            .verify_access(&Org::new(name), minted.token.expose())
            .await;
        assert!(refused.is_err(), "{name}");
        assert_ne!(gateway_audience(&Org::new(name)), "urn:tollway:control");
    }
}

#[tokio::test]
async fn a_control_token_carries_no_roles_they_are_read_at_each_call() {
    let world = world().await;
    let token = control_token(&world);
    let (_, claims) = parts(token.expose());
    assert!(claims.get("roles").is_none());
    assert_eq!(claims["aud"], "urn:tollway:control");

    let caller = world.tokens.verify_control(token.expose()).await.unwrap();
    assert_eq!(
        (caller.user.as_str(), caller.roles),
        ("admin", vec![Role::Admin])
    );
    world.store.rows().users[0].roles = vec![Role::Subscriber];
    let caller = world.tokens.verify_control(token.expose()).await.unwrap();
    assert_eq!(caller.roles, [Role::Subscriber]);
}

#[tokio::test]
async fn a_deleted_user_is_out_and_a_namesake_is_somebody_else() {
    let world = world().await;
    let token = control_token(&world);
    world.store.rows().users.clear();
    let gone = world.tokens.verify_control(token.expose()).await;
    assert!(matches!(gone, Err(TokenError::UserGone)));
    world
        .store
        .rows()
        .users
        .push(user("admin", vec![Role::Admin]));
    let namesake = world.tokens.verify_control(token.expose()).await;
    assert!(matches!(namesake, Err(TokenError::UserGone)));
}

/// req: S9
#[tokio::test]
async fn a_revoked_token_is_refused_until_no_leeway_can_revive_it() {
    let world = world().await;
    let org = Org::default_org();
    let minted = world.tokens.mint_access_token(&access_grant(&[])).unwrap();
    let claims = world
        .tokens
        .read_access(&org, minted.token.expose())
        .unwrap();
    let row = revocation(&minted.jti, claims.exp);
    assert_eq!(row.expires_unix_s, claims.exp + REVOCATION_MARGIN_S);
    const { assert!(REVOCATION_MARGIN_S > jose::LEEWAY_S_DEFAULT) };
    world.store.rows().revocations.push(row);
    let refused = world
        .tokens
        .verify_access(&org, minted.token.expose())
        .await;
    assert!(matches!(refused, Err(TokenError::Revoked)));

    let control = control_token(&world);
    let caller = world.tokens.verify_control(control.expose()).await.unwrap();
    world
        .store
        .rows()
        .revocations
        .push(revocation(&caller.jti, caller.expires_unix_s));
    let refused = world.tokens.verify_control(control.expose()).await;
    assert!(matches!(refused, Err(TokenError::Revoked)));
}

#[tokio::test]
async fn tokens_end_by_the_injected_clock() {
    let world = world().await;
    let token = control_token(&world);
    world.clock.advance_ms(8 * 3600 * 1000 + 59_000);
    assert!(world.tokens.verify_control(token.expose()).await.is_ok());
    world.clock.advance_ms(2_000);
    let late = world
        .tokens
        .verify_control(token.expose())
        .await
        .unwrap_err();
    assert!(matches!(
        late,
        TokenError::Refused(JoseError::Expired { .. })
    ));
    assert_eq!(late.code(), code::UNAUTHENTICATED);
}

#[tokio::test]
async fn a_failing_store_fails_closed() {
    let world = world().await;
    let token = control_token(&world);
    world.store.failing.store(true, Ordering::SeqCst);
    let refused = world
        .tokens
        .verify_control(token.expose())
        .await
        .unwrap_err();
    assert!(matches!(refused, TokenError::Store(_)));
    assert_eq!(refused.code(), code::STORE_UNAVAILABLE);
    assert!(world.tokens.reload().await.is_err());
    world.store.failing.store(false, Ordering::SeqCst);
    assert!(
        world.tokens.verify_control(token.expose()).await.is_ok(),
        "the keys stayed"
    );
}

/// req: S13
#[tokio::test]
async fn forged_tokens_are_refused() {
    let world = world().await;
    let genuine = control_token(&world);
    let (header, claims) = parts(genuine.expose());
    let stranger = SigningKey::generate_es256().unwrap();
    let strange = stranger.sign("at+jwt", &claims).unwrap();

    let mut pieces = genuine.expose().split('.');
    let (own_header, payload, signature) = (
        pieces.next().unwrap(),
        pieces.next().unwrap(),
        pieces.next().unwrap(),
    );
    let strange_parts: Vec<&str> = strange.split('.').collect();
    let with_header = |changed: Value| format!("{}.{payload}.{signature}", base64url(&changed));
    let mut none = header.clone();
    none["alg"] = "none".into();
    let mut hmac = header.clone();
    hmac["alg"] = "HS256".into();
    let mut embedded = header.clone();
    embedded["jwk"] = stranger.public_jwk().to_json();
    let mut promoted = claims.clone();
    promoted["username"] = "root".into();
    for forged in [
        strange.clone(),
        format!("{own_header}.{}.{}", strange_parts[1], strange_parts[2]),
        format!("{own_header}.{}.{signature}", base64url(&promoted)),
        with_header(none.clone()),
        format!("{}.{payload}.", base64url(&none)),
        with_header(hmac),
        with_header(embedded),
        String::new(),
        "a.b.c".to_owned(),
        format!("{} ", genuine.expose()),
    ] {
        let refused = world.tokens.verify_control(&forged).await;
        assert!(matches!(refused, Err(TokenError::Refused(_))), "{forged}");
    }
}

fn base64url(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

#[tokio::test]
async fn keys_survive_a_restart_and_lie_sealed() {
    let world = world().await;
    let token = control_token(&world);
    let again = open(&world.store, &world.clock).await.unwrap();
    assert_eq!(again.jwks(), world.tokens.jwks());
    assert!(again.verify_control(token.expose()).await.is_ok());

    let record = world.store.rows().signing_keys[0].clone();
    assert_eq!(world.store.rows().signing_keys.len(), 2);
    assert!(
        SigningKey::from_pkcs8(&Secret::new(record.sealed)).is_err(),
        "what is stored is no private key"
    );
    assert!(world.tokens.jwks()["keys"][0].get("d").is_none());
}

#[tokio::test]
async fn another_key_file_refuses_to_start_and_makes_no_new_key() {
    let world = world().await;
    let other = KeyFile::from_root(&Secret::new([2; 32])).unwrap();
    let config = TokensConfig::new(ISSUER);
    let error = Tokens::open(world.store.clone(), other, world.clock.clone(), config)
        .await
        .unwrap_err();
    assert!(matches!(error, TokensError::Seal { .. }));
    assert_eq!(world.store.rows().signing_keys.len(), 2);
}

#[tokio::test]
async fn after_a_new_key_both_verify_and_the_new_one_signs() {
    let world = world().await;
    let old = control_token(&world);
    // A second platform on an empty store, under the same key file, makes the second key.
    let second = Arc::new(Memory::default());
    open(&second, &world.clock).await.unwrap();
    let record = second.rows().signing_keys[0].clone();
    let kid = record.kid.clone();
    world.store.rows().signing_keys.push(record);
    world.tokens.reload().await.unwrap();

    let new = control_token(&world);
    assert_eq!(parts(new.expose()).0["kid"], kid);
    assert_ne!(parts(old.expose()).0["kid"], kid);
    for token in [old, new] {
        assert!(world.tokens.verify_control(token.expose()).await.is_ok());
    }
    assert_eq!(world.tokens.jwks()["keys"].as_array().unwrap().len(), 3);
}

/// Who can write rows but has no key file cannot bring a key of his own.
#[tokio::test]
async fn a_planted_public_key_verifies_nothing() {
    let world = world().await;
    let stranger = SigningKey::generate_es256().unwrap();
    let (_, claims) = parts(control_token(&world).expose());
    world.store.rows().signing_keys[0].public_jwk = stranger.public_jwk().to_json();
    world.tokens.reload().await.unwrap();
    let forged = stranger.sign("at+jwt", &claims).unwrap();
    assert!(world.tokens.verify_control(&forged).await.is_err());
    assert!(
        world
            .tokens
            .verify_control(control_token(&world).expose())
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn the_issuer_is_a_url_and_loses_its_trailing_slash() {
    let clock = Arc::new(ManualClock::at(START_MS));
    for (url, issuer) in [
        ("https://id.example.com/", Some("https://id.example.com")),
        ("http://127.0.0.1:9400", Some("http://127.0.0.1:9400")),
        (
            "https://example.com/tollway/",
            Some("https://example.com/tollway"),
        ),
        ("", None),
        ("id.example.com", None),
        ("https://", None),
        ("https:///path", None),
        ("ftp://id.example.com", None),
        ("https://user@id.example.com", None),
        ("https://id.example.com?x=1", None),
        ("https://id.example.com#x", None),
        ("https://id.example.com/a b", None),
        ("https://id.example.com\r\nX: y", None),
    ] {
        let store = Arc::new(Memory::default());
        let config = TokensConfig::new(url);
        let opened = Tokens::open(store.clone(), key_file(), clock.clone(), config).await;
        match issuer {
            Some(issuer) => assert_eq!(opened.unwrap().issuer(), issuer),
            None => {
                assert!(matches!(opened, Err(TokensError::Issuer(_))), "{url}");
                assert!(store.rows().signing_keys.is_empty());
            }
        }
    }
}

#[tokio::test]
async fn tokens_are_not_shown() {
    let world = world().await;
    let minted = world.tokens.mint_access_token(&access_grant(&[])).unwrap();
    let shown = format!("{minted:?} {:?}", world.tokens);
    assert!(!shown.contains(minted.token.expose().as_str()));
    assert!(shown.contains("***"));
    assert_eq!(world.clock.unix_ms(), START_MS);
}
