//! Tokens, metadata and keys in the shape that vendors document, through the presets: what policies see of them, and what is
//! refused. Where each shape is documented: docs/security/issuers.md.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::RSA_PKCS1_SHA256;
use jose::Algorithm;
use parts::pki::{Authority, Issued};

use super::*;
use crate::world::World;

const TENANT: &str = "aaaabbbb-0000-cccc-1111-dddd2222eeee";
const CLIENT: &str = "00001111-aaaa-2222-bbbb-3333cccc4444";
/// The registration of an API at Entra ID.
const API_ID: &str = "11112222-bbbb-3333-cccc-4444dddd5555";

/// One product, or one version of its tokens.
struct Vendor {
    name: &'static str,
    preset: &'static str,
    /// Behind the server's origin: the issuer, and its keys.
    issuer: &'static str,
    keys: &'static str,
    /// What the tokens of another tenant have in the issuer's place.
    other: &'static str,
    /// Whether the set of keys says the algorithm.
    says_alg: bool,
    audience: &'static str,
    /// Header without `alg` and `kid`, and claims without times and `iss`.
    access: fn(&str) -> (Value, Value),
    id: fn() -> (Value, Value),
    /// Members of the metadata beside issuer and keys.
    metadata: fn(&str) -> Value,
    user: &'static str,
    roles: &'static str,
}

const VENDORS: [Vendor; 6] = [
    Vendor {
        name: "okta",
        preset: "okta",
        issuer: "/oauth2/default",
        keys: "/oauth2/default/v1/keys",
        other: "/oauth2/aus9o8wzjhckw9TLa0h7",
        says_alg: true,
        audience: "api://default",
        access: |_| {
            let claims = json!({
                "ver": 1, "jti": "AT.0mP4JKAZX1iACIT4vbEDF7LpvDVjxypPMf0D7uX39RE", "aud": "api://default",
                "cid": CLIENT, "uid": "00ujmkLgagxeRrAg20g3", "scp": ["openid", "pets:write"],
                "sub": "isaac.brock@example.com", "groups": ["Everyone", "Sellers"],
            });
            (json!({}), claims)
        },
        id: || {
            let claims = json!({
                "ver": 1, "jti": "ID.Ysq7iPMhcQIvLbEGaQ-5TQ", "aud": CLIENT, "sub": "00ujmkLgagxeRrAg20g3",
                "name": "Isaac Brock", "amr": ["pwd"], "idp": "00ok1u7AsAkrwdZL3z0g3",
                "preferred_username": "isaac.brock@example.com", "auth_time": 1_311_280_969, "nonce": "n-0S6_WzA2Mj",
                "groups": ["Everyone"],
            });
            (json!({}), claims)
        },
        metadata: |url| {
            json!({
                "token_endpoint": format!("{url}/oauth2/default/v1/token"),
                "introspection_endpoint": format!("{url}/oauth2/default/v1/introspect"),
                "subject_types_supported": ["public"], "id_token_signing_alg_values_supported": ["RS256"],
            })
        },
        user: "isaac.brock@example.com",
        roles: "Everyone,Sellers",
    },
    Vendor {
        name: "entra-1",
        preset: "entra",
        issuer: "/aaaabbbb-0000-cccc-1111-dddd2222eeee/",
        keys: "/common/discovery/keys",
        other: "/bbbbcccc-1111-dddd-2222-eeee3333ffff/",
        says_alg: false,
        audience: "api://pets",
        access: |url| {
            let claims = json!({
                "aud": "api://pets", "acr": "1", "aio": "AXQAi/8IAAAA", "amr": ["pwd"], "appid": CLIENT, "appidacr": "0",
                "idp": format!("{url}/{TENANT}/"), "ipaddr": "203.0.113.9", "name": "Abeli", "oid": "aaaaaaaa-0000-1111-2222-bbbbbbbbbbbb",
                "rh": "0.AXEA", "roles": ["Pets.Sell"], "scp": "user_impersonation pets:write", "sub": "AAAAAAAAAAAAAAAAAAAAAIkzqFVrSaSaFHy782bbtaQ",
                "tid": TENANT, "unique_name": "abeli@example.com", "uti": "fqiBqXLPj0eQa82S-IYFAA", "ver": "1.0",
            });
            (
                json!({"typ": "JWT", "x5t": "i6lGk3FZzxRcUb2C3nEQ7syHJlY"}),
                claims,
            )
        },
        id: || {
            let claims = json!({
                "aud": CLIENT, "amr": ["pwd"], "family_name": "Lincoln", "name": "Abe Lincoln", "nonce": "123523",
                "oid": "aaaaaaaa-0000-1111-2222-bbbbbbbbbbbb", "sub": "Z4uCaYUzJnWHpB5WQdKLY", "tid": TENANT,
                "unique_name": "abeli@example.com", "ver": "1.0", "roles": ["Pets.Sell"],
            });
            (
                json!({"typ": "JWT", "x5t": "i6lGk3FZzxRcUb2C3nEQ7syHJlY"}),
                claims,
            )
        },
        metadata: |url| {
            json!({
                "token_endpoint": format!("{url}/{TENANT}/oauth2/token"), "tenant_region_scope": "NA",
                "subject_types_supported": ["pairwise"], "id_token_signing_alg_values_supported": ["RS256"],
            })
        },
        user: "AAAAAAAAAAAAAAAAAAAAAIkzqFVrSaSaFHy782bbtaQ",
        roles: "Pets.Sell",
    },
    Vendor {
        name: "entra-2",
        preset: "entra",
        issuer: "/aaaabbbb-0000-cccc-1111-dddd2222eeee/v2.0",
        keys: "/aaaabbbb-0000-cccc-1111-dddd2222eeee/discovery/v2.0/keys",
        other: "/bbbbcccc-1111-dddd-2222-eeee3333ffff/v2.0",
        says_alg: false,
        audience: API_ID,
        access: |_| {
            let claims = json!({
                "aud": API_ID, "aio": "ATQAy/8TAAAA", "azp": CLIENT, "azpacr": "0", "name": "Abe Lincoln",
                "oid": "aaaaaaaa-0000-1111-2222-bbbbbbbbbbbb", "preferred_username": "abeli@example.com", "rh": "0.AXEA",
                "roles": ["Pets.Sell"], "scp": "access_as_user pets:write", "sub": "HKZpfaHyWadeOouYlitjrI-KffTm222X5rrV3xDqfKQ",
                "tid": TENANT, "uti": "fqiBqXLPj0eQa82S-IYFAA", "ver": "2.0",
            });
            (json!({"typ": "JWT"}), claims)
        },
        id: || {
            let claims = json!({
                "aud": CLIENT, "name": "Abe Lincoln", "nonce": "123523", "oid": "aaaaaaaa-0000-1111-2222-bbbbbbbbbbbb",
                "preferred_username": "abeli@example.com", "sub": "AAAAAAAAAAAAAAAAAAAAAIkzqFVrSaSaFHy782bbtaQ",
                "tid": TENANT, "ver": "2.0", "roles": ["Pets.Sell"],
            });
            (json!({"typ": "JWT"}), claims)
        },
        metadata: |url| {
            json!({
                "token_endpoint": format!("{url}/{TENANT}/oauth2/v2.0/token"), "cloud_instance_name": "microsoftonline.com",
                "subject_types_supported": ["pairwise"], "id_token_signing_alg_values_supported": ["RS256"],
            })
        },
        user: "HKZpfaHyWadeOouYlitjrI-KffTm222X5rrV3xDqfKQ",
        roles: "Pets.Sell",
    },
    Vendor {
        name: "auth0",
        preset: "auth0",
        issuer: "/",
        keys: "/.well-known/jwks.json",
        other: "",
        says_alg: true,
        audience: "https://pets.example.com/api",
        access: |url| {
            let claims = json!({
                "sub": "auth0|6553da60a54af58e29493993", "aud": ["https://pets.example.com/api", format!("{url}/userinfo")],
                "azp": CLIENT, "scope": "openid profile pets:write", "gty": "password", "permissions": ["pets:write", "pets:sell"],
            });
            (json!({"typ": "JWT"}), claims)
        },
        id: auth0_id,
        metadata: auth0_metadata,
        user: "auth0|6553da60a54af58e29493993",
        roles: "pets:write,pets:sell",
    },
    Vendor {
        name: "auth0-rfc9068",
        preset: "auth0",
        issuer: "/",
        keys: "/.well-known/jwks.json",
        other: "",
        says_alg: true,
        audience: "https://pets.example.com/api",
        access: |url| {
            let claims = json!({
                "sub": "auth0|6553da60a54af58e29493993", "aud": ["https://pets.example.com/api", format!("{url}/userinfo")],
                "client_id": CLIENT, "jti": "73WakrfVbNJBaAmhQtEeDv", "scope": "openid profile pets:write",
                "permissions": ["pets:write"],
            });
            (json!({"typ": "at+jwt"}), claims)
        },
        id: auth0_id,
        metadata: auth0_metadata,
        user: "auth0|6553da60a54af58e29493993",
        roles: "pets:write",
    },
    Vendor {
        name: "wso2",
        preset: "wso2",
        issuer: "/oauth2/token",
        keys: "/oauth2/jwks",
        other: "/t/other.example.com/oauth2/token",
        says_alg: true,
        audience: "pets",
        access: |_| {
            let claims = json!({
                "sub": "2c16b987-4e01-40c1-b706-5f8550ebec0e", "aut": "APPLICATION_USER", "aud": [CLIENT, "pets"],
                "azp": CLIENT, "client_id": CLIENT, "scope": "openid pets:write", "roles": ["seller", "everyone"],
                "jti": "f30911fa-6675-4f30-8d47-19fb3e791888", "org_name": "Super",
            });
            (
                json!({"typ": "at+jwt", "x5t": "NTAxZmMxNDMyZDg3MTU1ZGM0MzEzODJhZWI4NDNlZDU1OGFkNjFiMQ"}),
                claims,
            )
        },
        id: || {
            let claims = json!({
                "sub": "2c16b987-4e01-40c1-b706-5f8550ebec0e", "aud": [CLIENT, "pets"], "azp": CLIENT, "amr": ["BasicAuthenticator"],
                "isk": "9d3e8fda79c44bc47bd61b9e5ff6d2d4c6e5b5ac5eb0b5b0b50b0f5eaf3a3d2f", "sid": "7c3b2f9e", "org_name": "Super",
            });
            (
                json!({"typ": "JWT", "x5t": "NTAxZmMxNDMyZDg3MTU1ZGM0MzEzODJhZWI4NDNlZDU1OGFkNjFiMQ"}),
                claims,
            )
        },
        metadata: |url| {
            json!({
                "token_endpoint": format!("{url}/oauth2/token"), "introspection_endpoint": format!("{url}/oauth2/introspect"),
                "subject_types_supported": ["public"], "id_token_signing_alg_values_supported": ["RS256"],
            })
        },
        user: "2c16b987-4e01-40c1-b706-5f8550ebec0e",
        roles: "seller,everyone",
    },
];

fn auth0_id() -> (Value, Value) {
    let claims = json!({
        "sub": "auth0|6553da60a54af58e29493993", "aud": CLIENT, "name": "Jane Doe", "email": "janedoe@example.com",
        "nonce": "n-0S6_WzA2Mj", "sid": "mGJ1",
    });
    (json!({"typ": "JWT"}), claims)
}

fn auth0_metadata(url: &str) -> Value {
    json!({
        "token_endpoint": format!("{url}/oauth/token"), "device_authorization_endpoint": format!("{url}/oauth/device/code"),
        "subject_types_supported": ["public"], "id_token_signing_alg_values_supported": ["HS256", "RS256", "PS256"],
    })
}

/// A vendor whose server runs.
struct Running {
    vendor: &'static Vendor,
    server: OutsideIssuer,
    key: SigningKey,
}

impl Running {
    async fn start(vendor: &'static Vendor, shows: &Issued) -> Self {
        let key = SigningKey::generate(Algorithm::Rs256).unwrap();
        let server = OutsideIssuer::start_tls(&[], shows).await.unwrap();
        // It has what the vendor has, and nothing where other servers have it.
        server.answer_with("/.well-known/openid-configuration", 404, &[], "");
        server.answer_with("/keys", 404, &[], "");
        let mut jwk = json!(key.public_jwk());
        jwk["use"] = "sig".into();
        jwk["x5c"] = json!(["MIIC/jCCAeagAwIBAgIJAL"]);
        if !vendor.says_alg {
            jwk.as_object_mut().unwrap().remove("alg");
        }
        server.answer(vendor.keys, &json!({ "keys": [jwk] }));
        let running = Self {
            vendor,
            server,
            key,
        };
        let mut metadata = (vendor.metadata)(&running.server.url);
        metadata["issuer"] = running.issuer().into();
        metadata["jwks_uri"] = format!("{}{}", running.server.url, vendor.keys).into();
        let below = vendor.issuer.trim_end_matches('/');
        let path = format!("{below}/.well-known/openid-configuration");
        running.server.answer(&path, &metadata);
        running
    }

    fn issuer(&self) -> String {
        format!("{}{}", self.server.url, self.vendor.issuer)
    }

    /// A token of this server's key.
    fn token(&self, (mut header, mut claims): (Value, Value), change: Value) -> String {
        header["alg"] = "RS256".into();
        header["kid"] = self.key.kid().into();
        let now_s = e2e::issuer::now_s();
        claims["iss"] = self.issuer().into();
        claims["iat"] = now_s.into();
        claims["exp"] = (now_s + 600).into();
        for (name, value) in change.as_object().unwrap() {
            claims[name] = value.clone();
        }
        let part = |value: &Value| jose::base64url(value.to_string().as_bytes());
        let text = format!("{}.{}", part(&header), part(&claims));
        let pair = KeyPair::from_pkcs8(self.key.to_pkcs8().unwrap().expose()).unwrap();
        let mut signature = vec![0; pair.public_modulus_len()];
        let random = SystemRandom::new();
        let signed = pair.sign(&RSA_PKCS1_SHA256, &random, text.as_bytes(), &mut signature);
        signed.unwrap();
        format!("{text}.{}", jose::base64url(&signature))
    }

    fn access(&self, change: Value) -> String {
        self.token((self.vendor.access)(&self.server.url), change)
    }
}

/// req: GW4
#[tokio::test]
async fn tokens_of_vendors_are_what_their_documentation_says() {
    let authority = Authority::root("vendors");
    let shows = authority.server();
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, authority.pem()).unwrap();
    let world = World::start(|options| {
        options.outbound_allow = Some(vec!["127.0.0.1".to_owned()]);
        options.outbound_ca = Some(ca);
    })
    .await;
    let mut all = Vec::new();
    for vendor in &VENDORS {
        let running = Running::start(vendor, &shows).await;
        let (name, app) = (vendor.name, &world.api.app);
        let spec = json!({"issuer": running.issuer(), "preset": vendor.preset, "audience": [vendor.audience]});
        put(&world.sandbox, name, spec).await;
        register(&world.sandbox, app, name, CLIENT, "production").await;
        all.push(running);
    }
    let names: Vec<&str> = VENDORS.iter().map(|vendor| vendor.name).collect();
    let sees = json!({
        "X-User": "principal.subject", "X-Roles": "principal.roles", "X-Scopes": "principal.scopes", "X-App": "application.id",
    });
    world
        .change(|spec| {
            spec["security"] = json!([{"jwt": {"issuers": names}}]);
            spec["policies"] = json!([{"identityHeaders": sees}]);
        })
        .await;
    for running in &all {
        accepted(&world, running).await;
        refused(&world, running).await;
    }
}

async fn accepted(world: &World, running: &Running) {
    let vendor = running.vendor;
    let post = async |token: &str| call(&world.sandbox, &world.api, Method::POST, token).await;
    world.backend.forget();
    let told = post(&running.access(json!({}))).await;
    assert_eq!(told.0, 200, "{}: {told:?}", vendor.name);
    let got = |name: &str| world.got(name).unwrap_or_default();
    assert_eq!(got("x-user"), vendor.user, "{}", vendor.name);
    assert_eq!(got("x-roles"), vendor.roles, "{}", vendor.name);
    assert!(got("x-scopes").ends_with(" pets:write"), "{}", vendor.name);
    // The client's application is the one that it is registered for.
    assert_eq!(got("x-app").len(), 36, "{}", vendor.name);
    // Keys and metadata were found where the vendor has them.
    assert!(!running.server.seen(vendor.keys).is_empty());

    // Without the scope the operation refuses.
    let none = json!({"scp": ["openid"], "scope": "openid"});
    let scopes = match vendor.preset {
        "entra" => json!({"scp": "user_impersonation"}),
        _ => none,
    };
    let told = post(&running.access(scopes)).await;
    assert_eq!(told.1, "SCOPE_INSUFFICIENT", "{}", vendor.name);
}

async fn refused(world: &World, running: &Running) {
    let vendor = running.vendor;
    let get = async |token: &str| call(&world.sandbox, &world.api, Method::GET, token).await;
    let other = format!("{}{}", running.server.url, vendor.other);
    let client = ["cid", "appid", "azp", "client_id"];
    let claims = (vendor.access)(&running.server.url).1;
    let named = client.into_iter().filter(|name| claims.get(name).is_some());
    let stranger: serde_json::Map<_, _> = named
        .map(|name| (name.to_owned(), json!("stranger")))
        .collect();
    for (what, token) in [
        ("an ID token", running.token((vendor.id)(), json!({}))),
        (
            "an ID token for the API",
            running.token((vendor.id)(), json!({"aud": vendor.audience})),
        ),
        (
            "another audience",
            running.access(json!({"aud": "https://other.example.com"})),
        ),
        // Tenants of some vendors share their keys.
        ("another tenant", running.access(json!({"iss": other}))),
        ("an unknown client", running.access(Value::Object(stranger))),
    ] {
        let told = get(&token).await;
        assert_eq!(
            (told.0, told.1.as_str()),
            (401, "TOKEN_INVALID"),
            "{}: {what}: {told:?}",
            vendor.name
        );
    }
    // What was refused is refused for what it is.
    assert_eq!(
        get(&running.access(json!({}))).await.0,
        200,
        "{}",
        vendor.name
    );
}

/// Version 5 of WSO2's Identity Server writes no `typ`; the document may say so, with a condition that ID tokens fail.
#[tokio::test]
async fn untyped_tokens_of_wso2_need_a_document_that_says_so() {
    let more = json!({
        "preset": "wso2", "types": ["none"], "require": ["'aut' in principal.claims"], "claims": {"client": "azp"},
    });
    let setting = Setting::new(more).await;
    let key = SigningKey::generate(Algorithm::Rs256).unwrap();
    setting.issuer.keys(&[&key]);
    let running = Running {
        vendor: &VENDORS[5],
        server: OutsideIssuer::start(&[]).await.unwrap(),
        key,
    };
    let token = |more: Value| {
        let mut claims =
            json!({"sub": "harry", "aud": [AUDIENCE], "azp": "shop", "iss": setting.issuer.url});
        for (name, value) in more.as_object().unwrap() {
            claims[name] = value.clone();
        }
        let iss = claims["iss"].clone();
        running.token((json!({}), claims), json!({ "iss": iss }))
    };
    setting
        .passes(&token(json!({"aut": "APPLICATION_USER"})))
        .await;
    assert_eq!(setting.refused(&token(json!({}))).await, "TOKEN_INVALID");
}
