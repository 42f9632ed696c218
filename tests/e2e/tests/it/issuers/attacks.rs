//! What others may try with tokens, keys and metadata.

use super::*;

/// Signed by a good key, with a header of one's own.
fn with_header(key: &SigningKey, header: &Value, claims: &Value) -> String {
    // What is signed is `header.payload`; the library writes the header itself, so only unsigned parts are changed here.
    let token = key.sign("at+jwt", claims).unwrap();
    let mut parts = token.split('.');
    let (_, payload, signature) = (parts.next(), parts.next().unwrap(), parts.next().unwrap());
    let header = jose::base64url(header.to_string().as_bytes());
    format!("{header}.{payload}.{signature}")
}

/// req: S13
#[tokio::test]
async fn forged_tokens_are_refused_and_no_url_of_a_token_is_fetched() {
    let setting = Setting::new(json!({"refresh": {"every": "1h", "atMost": "1h"}})).await;
    setting.passes(&setting.token(json!({}))).await;
    let kid = setting.key.kid();
    let claims = setting.claims(json!({}));
    let evil = OutsideIssuer::start(&[&setting.key]).await.unwrap();
    for header in [
        json!({"alg": "none", "typ": "at+jwt", "kid": kid}),
        json!({"alg": "HS256", "typ": "at+jwt", "kid": kid}),
        json!({"alg": "RS256", "typ": "at+jwt", "kid": kid}),
        json!({"alg": "ES384", "typ": "at+jwt", "kid": kid}),
        json!({"alg": "ES256", "typ": "at+jwt"}),
        json!({"alg": "ES256", "typ": "at+jwt", "kid": kid, "jku": format!("{}/keys", evil.url)}),
        json!({"alg": "ES256", "typ": "at+jwt", "kid": kid, "x5u": format!("{}/keys", evil.url)}),
        json!({"alg": "ES256", "typ": "at+jwt", "kid": kid, "jwk": setting.key.public_jwk()}),
        json!({"alg": "ES256", "typ": "at+jwt", "kid": kid, "crit": ["x"]}),
    ] {
        let token = with_header(&setting.key, &header, &claims);
        assert_eq!(setting.refused(&token).await, "TOKEN_INVALID", "{header}");
    }
    // A stranger's key under a kid of the issuer's.
    let stranger = SigningKey::generate_es256().unwrap();
    let forged = with_header(
        &stranger,
        &json!({"alg": "ES256", "typ": "at+jwt", "kid": kid}),
        &claims,
    );
    assert_eq!(setting.refused(&forged).await, "TOKEN_INVALID");
    assert!(evil.seen("/keys").is_empty());
    // An ID token, a logout token.
    for typ in ["JWT", "logout+jwt", "dpop+jwt"] {
        let token = sign(&setting.key, typ, claims.clone());
        assert_eq!(setting.refused(&token).await, "TOKEN_INVALID", "{typ}");
    }
}

/// Each API accepts its own issuers' tokens alone, also where two have one key, or say that they are each other.
#[tokio::test]
async fn issuers_are_apart() {
    let setting = Setting::new(json!({})).await;
    // The same key, so the same kid, at two issuers; and one with its own.
    let twin = OutsideIssuer::start(&[&setting.key]).await.unwrap();
    let other_key = SigningKey::generate_es256().unwrap();
    let other = OutsideIssuer::start(&[&other_key]).await.unwrap();
    setting.declare("twin", &twin, json!({})).await;
    setting.declare("other", &other, json!({})).await;
    let app = &setting.api.app;
    register(&setting.sandbox, app, "other", "shop", "production").await;
    let own = setting.token(json!({}));
    let of_twin = sign(&setting.key, "at+jwt", twin.claims("shop", AUDIENCE));
    let of_other = sign(&other_key, "at+jwt", other.claims("shop", AUDIENCE));
    accept(
        &setting.sandbox,
        &setting.api,
        &["outside", "twin", "other"],
    )
    .await;
    until("the keys", async || setting.call(&of_other).await.0 == 200).await;
    setting.passes(&own).await;
    // The client is registered for `outside`, not for its twin.
    until("the twin's refusal", async || {
        let told = setting.call(&of_twin).await;
        assert_eq!(told.0, 401, "{told:?}");
        told.2 == "the token's client is registered for no application here"
    })
    .await;
    // One issuer that says that it is the other one.
    for (key, iss) in [
        (&other_key, &setting.issuer.url),
        (&setting.key, &other.url),
    ] {
        let token = sign(key, "at+jwt", setting.claims(json!({"iss": iss})));
        assert_eq!(setting.refused(&token).await, "TOKEN_INVALID");
    }
    // Verified for one API (and known on the core), it is still none for another one.
    accept(&setting.sandbox, &setting.api, &["other"]).await;
    for _ in 0..2 {
        assert_eq!(setting.refused(&own).await, "TOKEN_INVALID");
        setting.passes(&of_other).await;
    }
    // Nor do the platform's own clients and those of other issuers meet.
    let path = format!("/applications/{app}/credentials");
    let resident = setting
        .sandbox
        .call(Method::POST, &path, None)
        .await
        .unwrap();
    let id = resident["clientId"].as_str().unwrap();
    let token = sign(&other_key, "at+jwt", other.claims(id, AUDIENCE));
    assert_eq!(setting.refused(&token).await, "TOKEN_INVALID");
}

/// req: S7
#[tokio::test]
async fn metadata_and_keys_come_from_where_they_may() {
    let setting = Setting::new(json!({})).await;
    setting.passes(&setting.token(json!({}))).await;
    let fault = async |name: &str| {
        let mut told = Value::Null;
        until(name, async || {
            told = status(&setting.sandbox, name).await["fault"].clone();
            told.is_string()
        })
        .await;
        told.as_str().unwrap().to_owned()
    };
    // The metadata of somebody else.
    let liar = OutsideIssuer::start(&[&setting.key]).await.unwrap();
    liar.answer(
        "/.well-known/openid-configuration",
        &setting.issuer.metadata(),
    );
    setting.declare("liar", &liar, json!({})).await;
    assert!(fault("liar").await.contains("is the metadata of"));
    // Keys in private space, at once and by a redirect; in clear text elsewhere.
    let key = SigningKey::generate_es256().unwrap();
    for (name, uri) in [
        ("private", "https://10.0.0.1/keys"),
        ("meta", "https://169.254.169.254/keys"),
    ] {
        let issuer = OutsideIssuer::start(&[&key]).await.unwrap();
        let mut metadata = issuer.metadata();
        metadata["jwks_uri"] = json!(uri);
        issuer.answer("/.well-known/openid-configuration", &metadata);
        setting.declare(name, &issuer, json!({})).await;
        let told = fault(name).await;
        assert!(told.contains("address blocked"), "{told}");
    }
    let issuer = OutsideIssuer::start(&[&key]).await.unwrap();
    issuer.answer_with("/keys", 302, &[("location", "http://10.0.0.1/keys")], "");
    setting.declare("redirected", &issuer, json!({})).await;
    let told = fault("redirected").await;
    assert!(
        told.contains("blocked") || told.contains("another origin"),
        "{told}"
    );
    let clear = json!({"issuer": "http://login.example.com", "audience": [AUDIENCE]});
    put(&setting.sandbox, "clear", clear).await;
    assert!(fault("clear").await.contains("not fetched in clear text"));
    // None of it touched the others.
    setting.passes(&setting.token(json!({"jti": "2"}))).await;
}

/// An issuer that is slow, or never ends, costs nobody else.
#[tokio::test]
async fn a_slow_issuer_holds_nobody_up() {
    let setting = Setting::new(json!({})).await;
    setting.passes(&setting.token(json!({}))).await;
    setting.issuer.delay(60 * PATIENCE);
    let stranger = SigningKey::generate_es256().unwrap();
    let unknown = sign(&stranger, "at+jwt", setting.claims(json!({})));
    let slow = setting.call(&unknown);
    let others = async {
        for number in 0..20 {
            setting
                .passes(&setting.token(json!({"jti": number.to_string()})))
                .await;
            setting.passes(&setting.api.token).await;
        }
    };
    let all = futures_util::future::join(slow, others);
    let (told, ()) = tokio::time::timeout(PATIENCE, all)
        .await
        .expect("nobody waits for the issuer");
    assert_eq!(told.1, "TOKEN_INVALID", "{told:?}");
}
