//! Tokens of issuers outside of the platform.

use std::collections::BTreeMap;

use base::Clock as _;
use policy::{Introspected, NotAnswered, Outside};
use sync::OutsideModel;
use sync::issuer::{
    Application, ClaimPaths, IntrospectionModel, KeySource, RefreshModel, SecretModel,
};

use super::*;

const OUTSIDE: &str = "https://login.example.com";

fn model() -> OutsideModel {
    let paths = |names: &[&str]| names.iter().map(ToString::to_string).collect();
    OutsideModel {
        keys: KeySource::Discovery,
        audience: vec!["orders".to_owned()],
        any_audience: false,
        leeway_s: None,
        types: vec!["at+jwt".to_owned()],
        untyped: false,
        algorithms: vec!["ES256".to_owned()],
        require: Vec::new(),
        claims: ClaimPaths {
            client: paths(&["azp", "client_id"]),
            scopes: paths(&["scope"]),
            roles: paths(&["realm.roles"]),
            subject: paths(&["sub"]),
        },
        application: None,
        refresh: RefreshModel {
            every_ms: 1,
            at_most_ms: 1,
            keep_ms: 1,
        },
        introspection: None,
    }
}

fn introspection(all: bool) -> IntrospectionModel {
    IntrospectionModel {
        endpoint: None,
        all,
        client_id: "gateway".to_owned(),
        in_form: false,
        secret: SecretModel::Env("TOLLWAY_SECRET_X".to_owned()),
        timeout_ms: 1,
        waiting_max: 1,
        ttl_ms: 1,
        negative_ttl_ms: 1,
        entries_max: 1,
    }
}

/// A bench whose API accepts the platform's tokens and those of an issuer with this model and key.
fn bench_with(model: OutsideModel, keys: &[&SigningKey]) -> Bench {
    let bench = Bench::new();
    declare(&bench, model, keys);
    let application = bench.application;
    bench.directory.tables().outside_clients = BTreeMap::from([(
        "shop".to_owned(),
        (application, base::CredentialId::generate()),
    )]);
    bench
}

fn declare(bench: &Bench, model: OutsideModel, keys: &[&SigningKey]) {
    let keys = keys.iter().map(|key| key.public_jwk()).collect();
    let issuer = Issuer {
        name: "corporate".to_owned(),
        issuer: OUTSIDE.to_owned(),
        audience: String::new(),
        keys: KeySet::from_keys(keys).unwrap(),
        outside: Some(Arc::new(Outside::new(model).unwrap())),
    };
    let mut tables = bench.directory.tables();
    tables
        .issuers
        .insert("corporate".to_owned(), Arc::new(issuer));
}

fn both() -> Value {
    json!({"issuers": ["resident", "corporate"]})
}

fn claims(bench: &Bench) -> Value {
    json!({
        "iss": OUTSIDE, "sub": "alice", "aud": "orders", "exp": bench.now_s() + 600, "azp": "shop",
        "scope": ["a", "b"], "realm": {"roles": ["seller"]},
    })
}

fn bearer(key: &SigningKey, claims: &Value) -> HeaderValue {
    let token = key.sign("at+jwt", claims).unwrap();
    format!("Bearer {token}").parse().unwrap()
}

#[test]
fn claims_are_mapped() {
    let key = SigningKey::generate_es256().unwrap();
    let bench = bench_with(model(), &[&key]);
    let principal = call(&bench, &both(), &bearer(&key, &claims(&bench))).unwrap();
    assert_eq!(principal.application, Some(bench.application));
    let identity = principal.identity;
    assert_eq!(identity.subject.as_deref(), Some("alice"));
    assert_eq!(identity.scopes.as_deref().unwrap(), ["a", "b"]);
    assert_eq!(identity.roles, ["seller"]);
    assert_eq!(identity.claims["azp"], "shop");
    // What the platform revoked of its own is none of this issuer's: neither by id nor by user, client or session.
    bench.directory.tables().revoked.push("jti".to_owned());
    let mut marked = claims(&bench);
    marked["jti"] = "jti".into();
    call(&bench, &both(), &bearer(&key, &marked)).unwrap();
}

/// The time of an entry that is kept, and what its issuer's document says by now, count at every call.
#[test]
fn a_cached_token_follows_its_issuer() {
    let key = SigningKey::generate_es256().unwrap();
    let bench = bench_with(model(), &[&key]);
    let token = bearer(&key, &claims(&bench));
    let identity = call(&bench, &both(), &token).unwrap().identity;
    // Newer keys, the old one among them: it is not verified again.
    let other = SigningKey::generate_es256().unwrap();
    declare(&bench, model(), &[&other, &key]);
    let again = call(&bench, &both(), &token).unwrap().identity;
    assert!(Arc::ptr_eq(&identity, &again));
    // Another rule.
    let strict = OutsideModel {
        require: vec!["principal.claims.azp == 'till'".to_owned()],
        ..model()
    };
    declare(&bench, strict, &[&key]);
    let reject = call(&bench, &both(), &token).unwrap_err();
    assert_eq!(reject.code.name, "TOKEN_INVALID");
    // Another client's application, none, all of one.
    declare(&bench, model(), &[&key]);
    bench.directory.tables().outside_clients.clear();
    let reject = call(&bench, &both(), &token).unwrap_err();
    assert!(
        reject.detail.contains("registered for no application"),
        "{}",
        reject.detail
    );
    let application = base::ApplicationId::generate();
    for (of, expected) in [
        (Application::Is(application), Some(application)),
        (Application::Gone, None),
    ] {
        let model = OutsideModel {
            application: Some(of),
            ..model()
        };
        declare(&bench, model, &[&key]);
        let called = call(&bench, &both(), &token);
        assert_eq!(
            called.ok().and_then(|principal| principal.application),
            expected
        );
    }
    // The key is gone.
    declare(&bench, model(), &[&other]);
    assert_eq!(
        call(&bench, &both(), &token).unwrap_err().code.name,
        "TOKEN_INVALID"
    );
    declare(&bench, model(), &[&key]);
    bench.clock.advance_s(660);
    assert_eq!(
        call(&bench, &both(), &token).unwrap_err().code.name,
        "TOKEN_EXPIRED"
    );
}

/// Leeway: the API's, or else the issuer's, or else the usual one.
#[test]
fn who_says_by_how_much_times_may_be_missed() {
    let key = SigningKey::generate_es256().unwrap();
    for (of_issuer, of_api, leeway_s) in [
        (None, None, 60),
        (Some(5), None, 5),
        (Some(5), Some("20s"), 20),
        (None, Some("0s"), 0),
    ] {
        let model = OutsideModel {
            leeway_s: of_issuer,
            ..model()
        };
        let bench = bench_with(model, &[&key]);
        let mut config = both();
        if let Some(leeway) = of_api {
            config["leeway"] = leeway.into();
        }
        let token = bearer(&key, &claims(&bench));
        bench.clock.advance_s(600 + leeway_s);
        assert_eq!(
            call(&bench, &config, &token).unwrap_err().code.name,
            "TOKEN_EXPIRED"
        );
        if leeway_s > 0 {
            let token = bearer(&key, &{
                let mut claims = claims(&bench);
                claims["exp"] = (bench.now_s() + 1 - leeway_s).into();
                claims
            });
            call(&bench, &config, &token).unwrap();
        }
    }
}

/// The issuer that a token claims is asked for newer keys, and nobody else.
#[test]
fn an_unknown_key_is_asked_for_where_it_belongs() {
    let key = SigningKey::generate_es256().unwrap();
    let bench = bench_with(model(), &[]);
    let token = bearer(&key, &claims(&bench));
    // Nothing is known of this issuer's keys, and nobody tells.
    let reject = call(&bench, &both(), &token).unwrap_err();
    assert_eq!(
        (reject.code.name, reject.retry_after_s),
        ("TOKEN_UNVERIFIED", Some(1))
    );
    assert_eq!(bench.directory.tables().asked_of, ["corporate"]);
    let bench = bench_with(model(), &[&SigningKey::generate_es256().unwrap()]);
    let issuer = bench_with(model(), &[&key]).directory.tables().issuers["corporate"].clone();
    bench.directory.tables().newer_outside = Some(issuer);
    call(&bench, &both(), &token).unwrap();
    assert_eq!(
        bench.directory.tables().asked,
        0,
        "the control plane was asked"
    );
    // A key that nobody knows is asked for once.
    let stranger = SigningKey::generate_es256().unwrap();
    let unknown = bearer(&stranger, &claims(&bench));
    for _ in 0..3 {
        assert_eq!(
            call(&bench, &both(), &unknown).unwrap_err().code.name,
            "TOKEN_INVALID"
        );
    }
    assert_eq!(bench.directory.tables().asked_of.len(), 2);
}

/// That one issuer has no key of an id says nothing of another issuer's.
#[test]
fn an_unknown_key_is_unknown_at_its_issuer_alone() {
    let (key, known) = (SigningKey::generate_es256(), SigningKey::generate_es256());
    let (key, known) = (key.unwrap(), known.unwrap());
    let bench = bench_with(model(), &[&known]);
    let forged = bearer(&key, &claims(&bench));
    assert_eq!(refused_by_both(&bench, &forged), "TOKEN_INVALID");
    assert_eq!(bench.directory.tables().asked_of, ["corporate"]);
    // The platform has made this very key a moment ago.
    bench.directory.tables().newer = Some(crate::testing::issuer_of(&key));
    call(&bench, &both(), &bearer(&key, &bench.claims())).unwrap();
    assert_eq!(bench.directory.tables().asked, 1);
}

fn refused_by_both(bench: &Bench, token: &HeaderValue) -> &'static str {
    call(bench, &both(), token).unwrap_err().code.name
}

#[test]
fn what_an_issuer_says_of_a_token_is_kept_for_its_time() {
    let opaque = OutsideModel {
        introspection: Some(introspection(false)),
        ..model()
    };
    let bench = bench_with(opaque, &[]);
    let token = HeaderValue::from_static("Bearer opaque");
    let said = |bench: &Bench, change: &[(&str, Value)]| {
        let mut claims = claims(bench).as_object().unwrap().clone();
        for (name, value) in change {
            claims.insert((*name).to_owned(), value.clone());
        }
        Ok(Some(Arc::new(Introspected {
            claims,
            good_until_unix_ms: bench.clock.unix_ms() + 5_000,
        })))
    };
    bench.directory.tables().introspected = said(&bench, &[]);
    for _ in 0..3 {
        let principal = call(&bench, &both(), &token).unwrap();
        assert_eq!(principal.identity.roles, ["seller"]);
    }
    assert_eq!(bench.directory.tables().asked_of.len(), 1);
    bench.clock.advance_s(5);
    bench.directory.tables().introspected = Ok(None);
    assert_eq!(
        call(&bench, &both(), &token).unwrap_err().code.name,
        "TOKEN_INVALID"
    );
    bench.directory.tables().introspected = Err(NotAnswered::TooMany);
    assert_eq!(
        call(&bench, &both(), &token).unwrap_err().code.name,
        "TOKEN_UNVERIFIED"
    );
    for (change, code) in [
        (("aud", json!("other")), "TOKEN_INVALID"),
        (("exp", json!(5)), "TOKEN_EXPIRED"),
        (("exp", json!("soon")), "TOKEN_INVALID"),
        (("iss", json!("https://other.example")), "TOKEN_INVALID"),
        (("cnf", json!({"jkt": "a"})), "PROOF_INVALID"),
    ] {
        bench.directory.tables().introspected = said(&bench, std::slice::from_ref(&change));
        assert_eq!(
            call(&bench, &both(), &token).unwrap_err().code.name,
            code,
            "{change:?}"
        );
    }
    // The platform's own opaque tokens go to the platform.
    let asked = bench.directory.tables().asked_of.len();
    assert_eq!(
        refused(&bench, &HeaderValue::from_static("Bearer twa_x")).0,
        "TOKEN_INVALID"
    );
    assert_eq!(bench.directory.tables().asked_of.len(), asked);
}
