//! Clients that cannot keep a secret (RFC 8252, RFC 9700 §2.1), end to end; and keys that their codes and refresh tokens
//! are bound to (RFC 9449 §5, §10).

use http::Method;
use jose::SigningKey;
use serde_json::{Value, json};
use store::{AuthMethod, ClientMetadata, GrantType};

use crate::proving::signed;
use crate::tab::{CALLBACK, CHALLENGE, Tab, VERIFIER, app, claims, code_of, query, request, text};
use crate::world::{Answer, ISSUER, PETS, TestClient, World, world};

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

pub(crate) fn metadata() -> ClientMetadata {
    ClientMetadata {
        token_endpoint_auth_method: AuthMethod::None,
        grant_types: [GrantType::AuthorizationCode, GrantType::RefreshToken].into(),
        ..crate::tab::metadata()
    }
}

/// A key of a client, with which it proves each request anew.
pub(crate) struct Prover {
    key: SigningKey,
    proofs: std::cell::Cell<u32>,
}

impl Prover {
    pub(crate) fn new() -> Self {
        Self {
            key: SigningKey::generate_es256().unwrap(),
            proofs: std::cell::Cell::new(0),
        }
    }

    pub(crate) fn thumbprint(&self) -> String {
        self.key.public_jwk().thumbprint()
    }

    /// A proof for this request; `more` adds claims (RFC 9449 §4.2).
    pub(crate) fn proof(&self, world: &World, method: &str, path: &str, more: &Value) -> String {
        self.proofs.set(self.proofs.get() + 1);
        let jti = format!("p-{}", self.proofs.get());
        let url = format!("{ISSUER}{path}");
        let mut claims = json!({"htm": method, "htu": url, "jti": jti, "iat": world.now_s()});
        for (claim, value) in more.as_object().unwrap() {
            claims[claim] = value.clone();
        }
        let jwk = self.key.public_jwk().to_json();
        let header = json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": jwk});
        signed(&self.key, &header, &claims)
    }
}

/// A form of a public client, with the proof that the server wants after it has told its nonce.
async fn form(
    world: &World,
    client: &TestClient,
    path: &str,
    fields: &[(&str, &str)],
    prover: Option<&Prover>,
) -> Answer {
    let mut all = vec![("client_id", client.client_id.as_str())];
    all.extend(fields);
    let body = query(&all);
    let Some(prover) = prover else {
        return world.send(Method::POST, path, &[FORM], &body).await;
    };
    let first = prover.proof(world, "POST", path, &json!({}));
    let headers = [FORM, ("dpop", first.as_str())];
    let told = world.send(Method::POST, path, &headers, &body).await;
    assert_eq!(told.oauth_error(), (400, "use_dpop_nonce".into()), "{path}");
    let nonce = json!({"nonce": told.header("dpop-nonce")});
    let second = prover.proof(world, "POST", path, &nonce);
    let headers = [FORM, ("dpop", second.as_str())];
    world.send(Method::POST, path, &headers, &body).await
}

pub(crate) async fn redeem(
    world: &World,
    client: &TestClient,
    code: &str,
    prover: Option<&Prover>,
) -> Answer {
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", CALLBACK),
        ("code_verifier", VERIFIER),
    ];
    form(world, client, "/oauth2/token", &fields, prover).await
}

async fn refresh(
    world: &World,
    client: &TestClient,
    token: &str,
    prover: Option<&Prover>,
) -> Answer {
    let fields = [("grant_type", "refresh_token"), ("refresh_token", token)];
    form(world, client, "/oauth2/token", &fields, prover).await
}

/// Pushes an authorization request; `more` adds to what is usual, or replaces it.
async fn push(
    world: &World,
    client: &TestClient,
    more: &[(&str, &str)],
    prover: Option<&Prover>,
) -> Answer {
    let usual = [
        ("response_type", "code"),
        ("redirect_uri", CALLBACK),
        ("scope", "openid pets:read"),
        ("state", "s&=1"),
        ("nonce", "n-1"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ];
    let kept = usual
        .into_iter()
        .filter(|(name, _)| !more.iter().any(|(other, _)| other == name));
    let all: Vec<_> = kept.chain(more.iter().copied()).collect();
    form(world, client, "/oauth2/par", &all, prover).await
}

/// The path of the authorization request that was pushed.
fn pushed(client: &TestClient, answer: &Answer) -> String {
    assert_eq!(answer.status, 201, "{}", answer.text);
    let uri = answer.json()["request_uri"].as_str().unwrap().to_owned();
    let fields = [
        ("client_id", client.client_id.as_str()),
        ("request_uri", &uri),
    ];
    format!("/oauth2/authorize?{}", query(&fields))
}

fn refused(answer: &Answer, error: &str) {
    assert_eq!(answer.oauth_error(), (400, error.to_owned()));
}

/// Code, refresh and PAR without a secret: PKCE is what holds, and refresh tokens rotate.
#[tokio::test]
async fn a_public_client_end_to_end() {
    let world = world().await;
    let client = app(&world, "native", metadata()).await;
    let mut tab = Tab::default();
    let code = tab.code(&world, &client, "openid pets:read").await;
    let bare = [("grant_type", "authorization_code"), ("code", &code)];
    let named = [bare[0], bare[1], ("redirect_uri", CALLBACK)];
    let without = form(&world, &client, "/oauth2/token", &named, None).await;
    refused(&without, "invalid_grant");
    let first = redeem(&world, &client, &code, None).await;
    assert_eq!(first.json()["token_type"], "Bearer");
    assert_eq!(claims(&text(&first, "id_token"))["aud"], client.client_id);

    let second = refresh(&world, &client, &text(&first, "refresh_token"), None).await;
    assert_ne!(
        text(&second, "refresh_token"),
        text(&first, "refresh_token")
    );

    let plain = push(&world, &client, &[("code_challenge_method", "plain")], None).await;
    refused(&plain, "invalid_request");
    let answer = push(&world, &client, &[], None).await;
    let code = code_of(&tab.allow(&world, &pushed(&client, &answer)).await);
    let third = redeem(&world, &client, &code, None).await;
    assert_eq!(third.status, 200, "{}", third.text);

    // Nobody is told what a token is for naming a client, and another client's name opens nothing.
    let rival = app(&world, "rival native", metadata()).await;
    let code = tab.code(&world, &client, "openid").await;
    refused(&redeem(&world, &rival, &code, None).await, "invalid_grant");
    let token = text(&third, "refresh_token");
    refused(
        &refresh(&world, &rival, &token, None).await,
        "invalid_grant",
    );
}

/// RFC 9449 §10: only who has the announced key redeems the code; §5: and refreshes.
#[tokio::test]
async fn codes_and_refresh_tokens_of_public_clients_are_bound_to_a_key() {
    let world = world().await;
    let client = app(&world, "native", metadata()).await;
    let (own, other) = (Prover::new(), Prover::new());
    let jkt = own.thumbprint();
    let path = request(&client, &[("dpop_jkt", &jkt)]);
    let code = code_of(&Tab::default().allow(&world, &path).await);
    for thief in [None, Some(&other)] {
        refused(
            &redeem(&world, &client, &code, thief).await,
            "invalid_grant",
        );
    }
    let first = redeem(&world, &client, &code, Some(&own)).await;
    assert_eq!(first.json()["token_type"], "DPoP");
    assert_eq!(claims(&text(&first, "access_token"))["cnf"]["jkt"], jkt);
    let token = text(&first, "refresh_token");
    for thief in [None, Some(&other)] {
        refused(
            &refresh(&world, &client, &token, thief).await,
            "invalid_grant",
        );
    }
    let second = refresh(&world, &client, &token, Some(&own)).await;
    assert_eq!(claims(&text(&second, "access_token"))["cnf"]["jkt"], jkt);
    // The binding goes on to what comes of it.
    let token = text(&second, "refresh_token");
    refused(
        &refresh(&world, &client, &token, Some(&other)).await,
        "invalid_grant",
    );
    assert_eq!(
        refresh(&world, &client, &token, Some(&own)).await.status,
        200
    );
}

/// RFC 9449 §10.1: a proof at the push announces its key, as the parameter does; both have to agree.
#[tokio::test]
async fn a_proof_at_the_push_binds_the_code() {
    let world = world().await;
    let client = app(&world, "native", metadata()).await;
    let (own, other) = (Prover::new(), Prover::new());
    let jkt = own.thumbprint();
    let mut tab = Tab::default();
    for named in [&[][..], &[("dpop_jkt", jkt.as_str())]] {
        let answer = push(&world, &client, named, Some(&own)).await;
        let code = code_of(&tab.allow(&world, &pushed(&client, &answer)).await);
        refused(
            &redeem(&world, &client, &code, Some(&other)).await,
            "invalid_grant",
        );
        assert_eq!(redeem(&world, &client, &code, Some(&own)).await.status, 200);
    }
    let lie = push(&world, &client, &[("dpop_jkt", &jkt)], Some(&other)).await;
    refused(&lie, "invalid_dpop_proof");
}

/// RFC 8707: an API's URL is a resource in the code flow, too, and stands for the API's audience.
#[tokio::test]
async fn the_url_of_an_api_is_a_resource() {
    let world = world().await;
    let client = app(&world, "native", metadata()).await;
    let url = "https://gateway.example/pets/1";
    let path = request(&client, &[("resource", url)]);
    let code = code_of(&Tab::default().allow(&world, &path).await);
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("redirect_uri", CALLBACK),
        ("code_verifier", VERIFIER),
        ("resource", url),
    ];
    let first = form(&world, &client, "/oauth2/token", &fields, None).await;
    assert_eq!(claims(&text(&first, "access_token"))["aud"], PETS);
    let fresh = refresh(&world, &client, &text(&first, "refresh_token"), None).await;
    assert_eq!(claims(&text(&fresh, "access_token"))["aud"], PETS);
    let other = request(&client, &[("resource", "https://gateway.example/other/1")]);
    let answer = Tab::default().open(&world, &other).await;
    assert_eq!(crate::tab::error_of(&answer), "invalid_target");
}
