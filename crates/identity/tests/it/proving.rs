//! What clients prove themselves and their keys by.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use axum::body::Body;
use base::{Org, TokensOf};
use http::{Method, Request};
use identity::ClientCertificate;
use jose::{Confirmation, SigningKey};
use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};
use store::{AuthMethod, Batch, ClientMetadata, TokenFormat, Write};

use crate::world::{Answer, ISSUER, START_S, TestClient, World, basic, world};

const TOKEN: &str = "/oauth2/token";
const GRANT: &str = "grant_type=client_credentials";
const ASSERTION: &str = "client_assertion_type=\
    urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&client_assertion=";

/// A JWS of exactly this header and these claims.
pub(crate) fn signed(key: &SigningKey, header: &Value, claims: &Value) -> String {
    let b64 = |value: &Value| jose::base64url(value.to_string().as_bytes());
    let message = format!("{}.{}", b64(header), b64(claims));
    let pkcs8 = key.to_pkcs8().unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.expose()).unwrap();
    let signature = pair.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
    format!("{message}.{}", jose::base64url(signature.as_ref()))
}

fn with(mut claims: Value, changes: &[(&str, Value)]) -> Value {
    for (claim, value) in changes {
        claims[*claim] = value.clone();
    }
    claims
}

/// A client with a key pair, and the pair.
async fn keyed(world: &World) -> (TestClient, SigningKey) {
    let key = SigningKey::generate_es256().unwrap();
    let metadata = ClientMetadata {
        token_endpoint_auth_method: AuthMethod::PrivateKeyJwt,
        jwks: Some(json!({ "keys": [key.public_jwk().to_json()] })),
        ..ClientMetadata::default()
    };
    (world.registered("keyed", metadata).await, key)
}

fn assertion(client: &TestClient, key: &SigningKey, changes: &[(&str, Value)]) -> String {
    let id = &client.client_id;
    let claims = json!({
        "iss": id, "sub": id, "aud": ISSUER, "jti": "a-1", "iat": START_S, "exp": START_S + 60,
    });
    let header = json!({ "alg": "ES256", "kid": key.kid() });
    signed(key, &header, &with(claims, changes))
}

/// RFC 7523 §3: for this server, in its time, once.
#[tokio::test]
async fn private_key_jwt_proves_a_client_once() {
    let world = world().await;
    let (client, key) = keyed(&world).await;
    let ask = async |assertion: String| {
        let body = format!("{GRANT}&{ASSERTION}{assertion}");
        world.form(TOKEN, &body).await
    };
    let first = assertion(&client, &key, &[]);
    let answer = ask(first.clone()).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(
        ask(first).await.oauth_error(),
        (401, "invalid_client".into()),
        "a replay"
    );
    let endpoint = format!("{ISSUER}/oauth2/token");
    let other = [("jti", json!("a-2")), ("aud", json!([endpoint, "x"]))];
    assert_eq!(ask(assertion(&client, &key, &other)).await.status, 200);
    let stranger = SigningKey::generate_es256().unwrap();
    for refused in [
        assertion(&client, &stranger, &[("jti", json!("a-3"))]),
        assertion(
            &client,
            &key,
            &[
                ("jti", json!("a-3")),
                ("aud", json!("https://other.example")),
            ],
        ),
        assertion(
            &client,
            &key,
            &[("jti", json!("a-3")), ("sub", json!(world.shop.client_id))],
        ),
        assertion(
            &client,
            &key,
            &[("jti", json!("a-3")), ("exp", json!(START_S - 31))],
        ),
        assertion(
            &client,
            &key,
            &[("jti", json!("a-3")), ("exp", json!(START_S + 9_000))],
        ),
        assertion(&world.shop, &key, &[("jti", json!("a-3"))]),
        "garbage".to_owned(),
    ] {
        assert_eq!(
            ask(refused).await.oauth_error(),
            (401, "invalid_client".into())
        );
    }
    let good = [("jti", json!("a-3"))];
    assert_eq!(
        ask(assertion(&client, &key, &good)).await.status,
        200,
        "not used up"
    );
}

/// A weaker way does not stand open beside the registered one.
#[tokio::test]
async fn no_other_method_than_the_registered_one_is_taken() {
    let world = world().await;
    let (client, key) = keyed(&world).await;
    let (id, secret) = (&world.shop.client_id, world.shop.client_secret.expose());
    let mine = &client.client_id;
    for body in [
        format!("{GRANT}&client_id={id}&client_secret={secret}"),
        format!("{GRANT}&client_id={id}"),
        format!("{GRANT}&client_id={mine}"),
        format!("{GRANT}&client_id={mine}&client_secret={secret}"),
        format!("{GRANT}&{ASSERTION}{}", assertion(&world.shop, &key, &[])),
    ] {
        let answer = world.form(TOKEN, &body).await;
        assert_eq!(
            answer.oauth_error(),
            (401, "invalid_client".into()),
            "{body}"
        );
    }
    let assertion = assertion(&client, &key, &[]);
    let both = format!("{GRANT}&client_id={mine}&client_secret=x&{ASSERTION}{assertion}");
    for body in [both, format!("{GRANT}&client_assertion={assertion}")] {
        let answer = world.form(TOKEN, &body).await;
        assert_eq!(
            answer.oauth_error(),
            (400, "invalid_request".into()),
            "{body}"
        );
    }
    // A public client has named itself, and gets nothing for itself.
    let metadata = ClientMetadata {
        token_endpoint_auth_method: AuthMethod::None,
        ..ClientMetadata::default()
    };
    let public = world.registered("public", metadata).await;
    let body = format!("{GRANT}&client_id={}", public.client_id);
    let answer = world.form(TOKEN, &body).await;
    assert_eq!(answer.oauth_error(), (400, "unauthorized_client".into()));
    let body = format!("token=x&client_id={}", public.client_id);
    let told = world.form("/oauth2/introspect", &body).await;
    assert_eq!(told.oauth_error(), (401, "invalid_client".into()));
}

fn proof(key: &SigningKey, nonce: Option<&str>, changes: &[(&str, Value)]) -> String {
    let mut claims = json!({
        "htm": "POST", "htu": format!("{ISSUER}/oauth2/token"), "jti": "p-1", "iat": START_S,
    });
    if let Some(nonce) = nonce {
        claims["nonce"] = nonce.into();
    }
    let jwk = key.public_jwk().to_json();
    let header = json!({ "typ": "dpop+jwt", "alg": "ES256", "jwk": jwk });
    signed(key, &header, &with(claims, changes))
}

async fn with_proof(world: &World, client: &TestClient, proof: &str) -> Answer {
    let basic = basic(&client.client_id, client.client_secret.expose());
    let headers = [
        ("content-type", "application/x-www-form-urlencoded"),
        ("authorization", basic.as_str()),
        ("dpop", proof),
    ];
    world.send(Method::POST, TOKEN, &headers, GRANT).await
}

/// RFC 9449 §5 and §8: a proof with the server's nonce binds the token to its key, once.
#[tokio::test]
async fn dpop_binds_tokens_to_a_key() {
    let world = world().await;
    let key = SigningKey::generate_es256().unwrap();
    let first = with_proof(&world, &world.shop, &proof(&key, None, &[])).await;
    assert_eq!(first.oauth_error(), (400, "use_dpop_nonce".into()));
    let nonce = first.header("dpop-nonce").to_owned();
    let stale = with_proof(&world, &world.shop, &proof(&key, Some("other"), &[])).await;
    assert_eq!(stale.oauth_error(), (400, "use_dpop_nonce".into()));
    let good = proof(&key, Some(&nonce), &[]);
    let answer = with_proof(&world, &world.shop, &good).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let body = answer.json();
    assert_eq!(body["token_type"], "DPoP");
    let token = body["access_token"].as_str().unwrap();
    let claims = world
        .tokens
        .verify_access(&Org::default_org(), token)
        .await
        .unwrap();
    let bound = Confirmation::from_claim(&claims.other["cnf"]).unwrap();
    assert_eq!(bound, Confirmation::Key(key.public_jwk().thumbprint()));
    let told = world
        .form_as(&world.shop, "/oauth2/introspect", &format!("token={token}"))
        .await;
    assert_eq!(told.json()["token_type"], "DPoP");
    assert_eq!(told.json()["cnf"], claims.other["cnf"]);

    let replayed = with_proof(&world, &world.shop, &good).await;
    assert_eq!(replayed.oauth_error(), (400, "invalid_dpop_proof".into()));
    for (claim, value) in [
        ("htm", json!("GET")),
        ("htu", json!("https://evil.example/oauth2/token")),
        ("htu", json!(format!("{ISSUER}/oauth2/revoke"))),
        ("iat", json!(START_S - 61)),
    ] {
        let proof = proof(&key, Some(&nonce), &[("jti", json!("p-2")), (claim, value)]);
        let answer = with_proof(&world, &world.shop, &proof).await;
        assert_eq!(
            answer.oauth_error(),
            (400, "invalid_dpop_proof".into()),
            "{claim}"
        );
    }
    let metadata = ClientMetadata {
        dpop_bound_access_tokens: true,
        ..ClientMetadata::default()
    };
    let strict = world.registered("strict", metadata).await;
    let plain = world.form_as(&strict, TOKEN, GRANT).await;
    assert_eq!(plain.oauth_error(), (400, "invalid_dpop_proof".into()));
}

/// Sends a form over a connection that has shown a certificate.
async fn over(world: &World, certificate: &ClientCertificate, body: &str) -> Answer {
    over_at(world, TOKEN, certificate, body).await
}

async fn over_at(world: &World, path: &str, certificate: &ClientCertificate, body: &str) -> Answer {
    let mut request = Request::new(Body::from(body.to_owned()));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = path.parse().unwrap();
    let form = "application/x-www-form-urlencoded".parse().unwrap();
    request.headers_mut().insert("content-type", form);
    request.extensions_mut().insert(certificate.clone());
    world.answer(request).await
}

pub(crate) fn certificate(trusted: bool) -> (ClientCertificate, KeyPair) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["client.example.com".to_owned()]).unwrap();
    // The clock of these tests stands in 2023.
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    let der = params.self_signed(&key).unwrap().der().to_vec().into();
    (ClientCertificate { der, trusted }, key)
}

/// RFC 8705 §2 and §3.
#[tokio::test]
async fn certificates_prove_clients_and_bind_their_tokens() {
    let world = world().await;
    let (shown, key) = certificate(true);
    let metadata = ClientMetadata {
        token_endpoint_auth_method: AuthMethod::TlsClientAuth,
        tls_client_auth_san_dns: Some("client.example.com".to_owned()),
        tls_client_certificate_bound_access_tokens: true,
        ..ClientMetadata::default()
    };
    let named = world.registered("named", metadata).await;
    let body = format!("{GRANT}&client_id={}", named.client_id);
    let answer = over(&world, &shown, &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.json()["token_type"], "Bearer");
    let token = answer.json()["access_token"].as_str().unwrap().to_owned();
    let claims = world
        .tokens
        .verify_access(&Org::default_org(), &token)
        .await
        .unwrap();
    assert_eq!(claims.other["cnf"]["x5t#S256"], shown.thumbprint());
    let (untrusted, _) = certificate(false);
    let refused = over(&world, &untrusted, &body).await;
    assert_eq!(refused.oauth_error(), (401, "invalid_client".into()));
    let nothing = world.form(TOKEN, &body).await;
    assert_eq!(nothing.oauth_error(), (401, "invalid_client".into()));

    let raw = key.public_key_raw();
    let (x, y) = (jose::base64url(&raw[1..33]), jose::base64url(&raw[33..]));
    let jwk = json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y });
    let metadata = ClientMetadata {
        token_endpoint_auth_method: AuthMethod::SelfSignedTlsClientAuth,
        jwks: Some(json!({ "keys": [jwk] })),
        ..ClientMetadata::default()
    };
    let own = world.registered("own", metadata).await;
    let body = format!("{GRANT}&client_id={}", own.client_id);
    let unsigned = ClientCertificate {
        trusted: false,
        ..shown
    };
    assert_eq!(over(&world, &unsigned, &body).await.status, 200);
    let refused = over(&world, &untrusted, &body).await;
    assert_eq!(refused.oauth_error(), (401, "invalid_client".into()));
}

/// As at the token endpoint: RFC 9126 §2, RFC 8628 §3.1, RFC 7662 §2.1, RFC 7009 §2.1. An assertion may be for the endpoint
/// that it is sent to.
#[tokio::test]
async fn clients_prove_themselves_at_every_endpoint() {
    let world = world().await;
    let (shown, _) = certificate(true);
    let named = ClientMetadata {
        token_endpoint_auth_method: AuthMethod::TlsClientAuth,
        tls_client_auth_san_dns: Some("client.example.com".to_owned()),
        ..crate::tab::metadata()
    };
    let named = world.registered("named", named).await;
    let key = SigningKey::generate_es256().unwrap();
    let keyed = ClientMetadata {
        token_endpoint_auth_method: AuthMethod::PrivateKeyJwt,
        jwks: Some(json!({ "keys": [key.public_jwk().to_json()] })),
        ..crate::tab::metadata()
    };
    let keyed = world.registered("keyed", keyed).await;
    let asked = crate::tab::query(&[
        ("response_type", "code"),
        ("redirect_uri", crate::tab::CALLBACK),
        ("code_challenge", crate::tab::CHALLENGE),
        ("code_challenge_method", "S256"),
        ("scope", "pets:read"),
        ("resource", crate::world::PETS),
    ]);
    let endpoints = [
        ("/oauth2/par", asked.as_str(), 201),
        ("/oauth2/device_authorization", "scope=pets:read", 200),
        ("/oauth2/introspect", "token=x", 200),
        ("/oauth2/revoke", "token=x", 200),
    ];
    for (at, (path, fields, expected)) in endpoints.into_iter().enumerate() {
        let body = format!("{fields}&client_id={}", named.client_id);
        let answer = over_at(&world, path, &shown, &body).await;
        assert_eq!(answer.status, expected, "{path}: {}", answer.text);
        let bare = world.form(path, &body).await;
        assert_eq!(bare.oauth_error(), (401, "invalid_client".into()), "{path}");

        let ask = async |number: usize, audience: String| {
            let jti = json!(format!("{at}-{number}"));
            let changes = [("aud", json!(audience)), ("jti", jti)];
            let assertion = assertion(&keyed, &key, &changes);
            world
                .form(path, &format!("{fields}&{ASSERTION}{assertion}"))
                .await
        };
        let own = [
            ISSUER.to_owned(),
            format!("{ISSUER}{TOKEN}"),
            format!("{ISSUER}{path}"),
        ];
        for (number, audience) in own.into_iter().enumerate() {
            let answer = ask(number, audience).await;
            assert_eq!(answer.status, expected, "{path}: {}", answer.text);
        }
        for (number, audience) in ["https://other.example", "https://id.example.com/other"]
            .into_iter()
            .enumerate()
        {
            let answer = ask(number + 10, audience.to_owned()).await;
            let error = answer.oauth_error();
            assert_eq!(error, (401, "invalid_client".into()), "{path} {audience}");
        }
    }
}

/// An opaque token tells nothing, and is introspected and revoked as any other.
#[tokio::test]
async fn opaque_tokens_live_as_others_do() {
    let world = world().await;
    let metadata = ClientMetadata {
        access_token_format: Some(TokenFormat::Opaque),
        access_token_lifetime_s: Some(120),
        ..ClientMetadata::default()
    };
    let client = world.registered("opaque", metadata).await;
    let answer = world.form_as(&client, TOKEN, GRANT).await.json();
    let token = answer["access_token"].as_str().unwrap();
    assert!(token.starts_with("twa_") && !token.contains('.'));
    assert_eq!(answer["expires_in"], 120);
    assert!(world.active(&client, token).await);
    assert!(!world.active(&world.shop, token).await);
    let body = format!("token={token}");
    let foreign = world.form_as(&world.shop, "/oauth2/revoke", &body).await;
    assert_eq!(foreign.oauth_error(), (400, "unauthorized_client".into()));
    let second = world.token_of(&client).await;
    assert_eq!(
        world.form_as(&client, "/oauth2/revoke", &body).await.status,
        200
    );
    assert!(!world.active(&client, token).await);
    assert!(world.active(&client, &second).await);
    world.clock.advance_ms((120 + 60) * 1000);
    assert!(!world.active(&client, &second).await, "over");
}

/// The end of all tokens of a client ends those that were asked for before, and no other (req: S9).
#[tokio::test]
async fn all_tokens_of_a_client_end_at_once() {
    let world = world().await;
    let (before, rivals) = (
        world.token_of(&world.shop).await,
        world.token_of(&world.rival).await,
    );
    let batch = Batch {
        org: Org::default_org(),
        actor: "admin".to_owned(),
        at_unix_ms: START_S * 1000,
        request: None,
        writes: vec![Write::TokensEnd {
            of: TokensOf::Client(world.shop.client_id.clone()),
            expires_unix_s: START_S + 10_000,
        }],
    };
    world.store.commit(batch).await.unwrap();
    // The clock has not moved: within one second, too.
    let after = world.token_of(&world.shop).await;
    assert!(!world.active(&world.shop, &before).await);
    assert!(world.active(&world.shop, &after).await);
    assert!(world.active(&world.rival, &rivals).await);
}

/// Scripts of other origins may call what needs no cookie, and nothing else.
#[tokio::test]
async fn cors_is_for_clients_in_browsers() {
    let world = world().await;
    let origin = ("origin", "https://app.example.com");
    for path in [TOKEN, "/oauth2/revoke"] {
        let asked = [origin, ("access-control-request-method", "POST")];
        let answer = world.send(Method::OPTIONS, path, &asked, "").await;
        assert_eq!(answer.status, 204, "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), "*");
        assert!(
            answer
                .header("access-control-allow-headers")
                .contains("DPoP")
        );
        assert_eq!(answer.header("access-control-allow-credentials"), "");
        let real = world.send(Method::POST, path, &[origin], "").await;
        assert_eq!(real.header("access-control-allow-origin"), "*");
    }
    let keys = world.send(Method::GET, "/oauth2/jwks", &[origin], "").await;
    assert_eq!(keys.header("access-control-allow-origin"), "*");
    for path in ["/oauth2/introspect", "/oauth2/authorize", "/api/v1/login"] {
        let answer = world.send(Method::POST, path, &[origin], "").await;
        assert_eq!(answer.header("access-control-allow-origin"), "", "{path}");
    }
}
