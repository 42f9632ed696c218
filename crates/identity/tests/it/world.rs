//! A platform with one admin, two applications with a client each, and doubles for what the control role does.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use base::{ApplicationId, Clock as _, Digest, ManualClock, Org, Secret, UserId};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use credentials::{
    Acknowledged, KeyFile, Nonces, NotAcknowledged, PasswordLimits, Passwords, SecretHashes,
    TermsSource, TokenTerms, Tokens, TokensConfig, Wish, bootstrap,
};
use http::{HeaderMap, HeaderName, Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use identity::{
    IdentityConfig, IdentityMetrics, IdentityState, People, PeopleConfig, Proving, ProvingConfig,
    router,
};
use serde_json::{Value, json};
use store::record::Links;
use store::{
    Batch, ClientMetadata, Credential, Expect, GrantStore, RecordKind, Store, User, Write,
};
use store_sql::{OpenOptions, SqlStore};
use tower::ServiceExt as _;

pub(crate) const ISSUER: &str = "https://id.example.com";
pub(crate) const PASSWORD: &str = "kT4%xs9q-long";
/// The resource of the API that applications with scopes are subscribed to.
pub(crate) const PETS: &str = "https://pets.example";
pub(crate) const START_S: u64 = 1_700_000_000;

pub(crate) struct World {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) grants: Arc<dyn GrantStore>,
    pub(crate) secrets: SecretHashes,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) tokens: Tokens,
    pub(crate) passwords: Passwords,
    pub(crate) scopes: Arc<Scopes>,
    pub(crate) nodes: Arc<Nodes>,
    pub(crate) metrics: Arc<IdentityMetrics>,
    pub(crate) router: Router,
    /// Tells clients of logouts as long as it is held.
    pub(crate) _telling: Telling,
    /// Client of an application with the scopes `pets:read` and `pets:write`.
    pub(crate) shop: TestClient,
    /// Client of an application without any.
    pub(crate) rival: TestClient,
}

/// A task that ends with this.
pub(crate) struct Telling(pub(crate) tokio::task::AbortHandle);

impl Drop for Telling {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What applications are granted, as the control role would compute it.
#[derive(Default)]
pub(crate) struct Scopes {
    pub(crate) granted: Mutex<BTreeMap<ApplicationId, BTreeSet<String>>>,
    pub(crate) lifetime_s: Mutex<Option<u64>>,
    /// Scopes that users have only with one of these roles.
    pub(crate) roles: Mutex<BTreeMap<String, BTreeSet<String>>>,
    pub(crate) failing: AtomicBool,
}

#[async_trait]
impl TermsSource for Scopes {
    async fn terms_of(&self, _org: &Org, application: ApplicationId) -> store::Result<TokenTerms> {
        if self.failing.load(Ordering::SeqCst) {
            let cause = "disk of host db7 is full";
            return Err(store::StoreError::Database(cause.into()));
        }
        let granted = self.granted.lock().unwrap();
        let scopes = granted.get(&application).cloned().unwrap_or_default();
        let pets = credentials::ApiTerms {
            name: "pets".to_owned(),
            audiences: vec![PETS.to_owned()],
            mounts: vec!["/pets/1".to_owned()],
            scopes: scopes.clone(),
            roles: self.roles.lock().unwrap().clone(),
            lifetime_s_max: None,
            ..credentials::ApiTerms::default()
        };
        Ok(TokenTerms {
            apis: if scopes.is_empty() {
                Vec::new()
            } else {
                vec![pets]
            },
            scopes,
            lifetime_s: *self.lifetime_s.lock().unwrap(),
            ..TokenTerms::default()
        })
    }
}

/// The nodes' acknowledgements.
pub(crate) struct Nodes {
    store: Arc<dyn Store>,
    pub(crate) away: AtomicBool,
    /// Each acknowledgement takes one permit.
    pub(crate) gate: tokio::sync::Semaphore,
    /// What was waited for, and how many revocations the database had by then.
    pub(crate) waits: Mutex<Vec<(u64, usize)>>,
}

#[async_trait]
impl Acknowledged for Nodes {
    async fn acknowledged(&self, revision: u64) -> Result<(), NotAcknowledged> {
        assert!(
            self.store.revision().await.unwrap() >= revision,
            "committed first"
        );
        let revocations = self.store.revocation_list(0).await.unwrap().len();
        self.waits.lock().unwrap().push((revision, revocations));
        self.gate.acquire().await.unwrap().forget();
        if self.away.load(Ordering::SeqCst) {
            Err(NotAcknowledged { revision })
        } else {
            Ok(())
        }
    }
}

pub(crate) async fn open_store(folder: &Path) -> Arc<SqlStore> {
    let options = OpenOptions::at(folder.join("tollway.db"));
    Arc::new(SqlStore::open(&options).await.unwrap())
}

pub(crate) async fn world() -> World {
    world_with(IdentityConfig::default(), PasswordLimits::default()).await
}

/// A world in which logins and the like are limited in another way.
pub(crate) async fn world_of(config: PeopleConfig) -> World {
    make(
        IdentityConfig::default(),
        PasswordLimits::default(),
        config,
        ISSUER,
    )
    .await
}

/// A world that is reached under this URL.
pub(crate) async fn world_at(issuer: &str) -> World {
    let (config, limits) = (IdentityConfig::default(), PasswordLimits::default());
    make(config, limits, PeopleConfig::default(), issuer).await
}

pub(crate) async fn world_with(config: IdentityConfig, limits: PasswordLimits) -> World {
    make(config, limits, PeopleConfig::default(), ISSUER).await
}

async fn make(
    config: IdentityConfig,
    limits: PasswordLimits,
    people: PeopleConfig,
    issuer: &str,
) -> World {
    let folder = tempfile::tempdir().unwrap();
    let store = open_store(folder.path()).await;
    let clock = Arc::new(ManualClock::at(START_S * 1000));
    let key_file = KeyFile::open_or_create(&folder.path().join("key")).unwrap();
    let secrets = SecretHashes::new(&key_file);
    let nonces = Nonces::new(&key_file);
    let passwords = Passwords::new(limits);
    let given = Some(Secret::new(PASSWORD.to_owned()));
    bootstrap(store.as_ref(), &passwords, clock.as_ref(), given)
        .await
        .unwrap();
    let tokens_config = TokensConfig::new(issuer);
    let people_keys = key_file.clone();
    let tokens = Tokens::open(store.clone(), key_file, clock.clone(), tokens_config)
        .await
        .unwrap();
    let shop = client(store.as_ref(), &secrets, "shop", None).await;
    let rival = client(store.as_ref(), &secrets, "rival", None).await;
    let scopes = Arc::new(Scopes::default());
    let granted = ["pets:read", "pets:write"].map(str::to_owned);
    scopes
        .granted
        .lock()
        .unwrap()
        .insert(shop.credential.application, granted.into());
    let nodes = Arc::new(Nodes {
        store: store.clone(),
        away: AtomicBool::new(false),
        gate: tokio::sync::Semaphore::new(1000),
        waits: Mutex::default(),
    });
    let metrics = Arc::new(IdentityMetrics::default());
    let proving = Proving::new(fetcher(), nonces, ProvingConfig::default());
    let state = Arc::new(IdentityState {
        store: store.clone(),
        clock: clock.clone(),
        tokens: tokens.clone(),
        passwords: passwords.clone(),
        secrets: secrets.clone(),
        terms: scopes.clone(),
        acknowledged: nodes.clone(),
        proving,
        config,
        people: People::new(store.clone(), people_keys, issuer, Some(fetcher()), people),
        metrics: metrics.clone(),
    });
    let telling = tokio::spawn(identity::tell_of_logouts(Arc::clone(&state)));
    World {
        router: router(state),
        _telling: Telling(telling.abort_handle()),
        folder,
        secrets,
        grants: store.clone(),
        store,
        clock,
        tokens,
        passwords,
        scopes,
        nodes,
        metrics,
        shop,
        rival,
    }
}

/// The guarded client, allowed to reach this machine.
fn fetcher() -> fetch::Fetcher {
    let allow = fetch::Allow::parse(["127.0.0.1"]).unwrap();
    let config = fetch::FetchConfig {
        allow,
        ..fetch::FetchConfig::default()
    };
    fetch::Fetcher::new(config, fetch::SystemResolver).unwrap()
}

/// A new application with a client.
pub(crate) async fn client(
    store: &dyn Store,
    secrets: &SecretHashes,
    name: &str,
    expires_unix_s: Option<u64>,
) -> TestClient {
    client_with(
        store,
        secrets,
        name,
        expires_unix_s,
        ClientMetadata::default(),
    )
    .await
}

/// A new application with a client of this registration.
pub(crate) async fn client_with(
    store: &dyn Store,
    secrets: &SecretHashes,
    name: &str,
    expires_unix_s: Option<u64>,
    metadata: ClientMetadata,
) -> TestClient {
    let org = Org::default_org();
    let application = ApplicationId::generate();
    let document = json!({ "kind": "Application", "metadata": { "name": name } });
    let new = secrets
        .client_create(
            Wish {
                expires_unix_s,
                ..Wish::new(&org, application)
            },
            metadata,
            START_S * 1000,
        )
        .unwrap();
    let batch = Batch {
        org,
        actor: "admin".to_owned(),
        at_unix_ms: START_S * 1000,
        request: None,
        writes: vec![
            Write::RecordPut {
                kind: RecordKind::Application,
                name: name.to_owned(),
                new_id: application.0,
                digest: Digest::of(document.to_string().as_bytes()),
                document,
                blob: None,
                links: Links {
                    owner: Some("admin".to_owned()),
                    ..Links::default()
                },
                expect: Expect::Absent,
            },
            Write::CredentialPut(new.credential.clone()),
        ],
    };
    store.commit(batch).await.unwrap();
    TestClient {
        client_id: new.client_id,
        client_secret: new
            .client_secret
            .unwrap_or_else(|| Secret::new(String::new())),
        credential: new.credential,
    }
}

/// A client with a secret.
pub(crate) struct TestClient {
    pub(crate) client_id: String,
    pub(crate) client_secret: Secret<String>,
    pub(crate) credential: Credential,
}

/// An answer, read whole.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    /// Status and OAuth error code.
    pub(crate) fn oauth_error(&self) -> (u16, String) {
        let error = self.json()["error"].as_str().unwrap().to_owned();
        (self.status.as_u16(), error)
    }

    /// Status and problem code.
    pub(crate) fn problem(&self) -> (u16, String) {
        assert_eq!(self.header("content-type"), "application/problem+json");
        let problem = self.json();
        assert_eq!(problem["status"], self.status.as_u16());
        assert_eq!(problem["traceId"].as_str().unwrap().len(), 32);
        (
            self.status.as_u16(),
            problem["code"].as_str().unwrap().to_owned(),
        )
    }

    pub(crate) fn is_not_stored(&self) -> bool {
        self.header("cache-control") == "no-store" && self.header("pragma") == "no-cache"
    }
}

impl World {
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        self.send_from("192.0.2.1", method, path, headers, body)
            .await
    }

    /// From this address.
    pub(crate) async fn send_from(
        &self,
        address: &str,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let mut request = Request::new(Body::from(body.to_owned()));
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().unwrap();
        for (name, value) in headers {
            let name: HeaderName = name.parse().unwrap();
            request.headers_mut().append(name, value.parse().unwrap());
        }
        let peer = std::net::SocketAddr::new(address.parse().unwrap(), 4711);
        request
            .extensions_mut()
            .insert(axum::extract::ConnectInfo(peer));
        self.answer(request).await
    }

    pub(crate) async fn answer(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Answer {
            status: head.status,
            headers: head.headers,
            text: String::from_utf8(bytes.to_vec()).unwrap(),
        }
    }

    /// A new client of an application with the scopes of the shop.
    pub(crate) async fn registered(&self, name: &str, metadata: ClientMetadata) -> TestClient {
        let store = self.store.as_ref();
        let client = client_with(store, &self.secrets, name, None, metadata).await;
        let scopes = ["pets:read", "pets:write"].map(str::to_owned);
        let mut granted = self.scopes.granted.lock().unwrap();
        granted.insert(client.credential.application, scopes.into());
        drop(granted);
        client
    }

    /// Another user, with the same password as everybody here.
    pub(crate) async fn user(&self, name: &str) {
        let hash = self.passwords.hash(Secret::new(PASSWORD.to_owned())).await;
        let user = User {
            id: UserId::generate(),
            org: Org::default_org(),
            name: name.to_owned(),
            password_hash: hash.unwrap(),
            roles: Vec::new(),
            created_unix_ms: START_S * 1000,
        };
        let batch = Batch {
            org: Org::default_org(),
            actor: "admin".to_owned(),
            at_unix_ms: START_S * 1000,
            request: None,
            writes: vec![Write::UserPut(user, Expect::Absent)],
        };
        self.store.commit(batch).await.unwrap();
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, &[], "").await
    }

    /// A form, without any authentication but what it holds itself.
    pub(crate) async fn form(&self, path: &str, body: &str) -> Answer {
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        self.send(Method::POST, path, &headers, body).await
    }

    /// A form of a client that authenticates by HTTP Basic.
    pub(crate) async fn form_as(&self, client: &TestClient, path: &str, body: &str) -> Answer {
        let basic = basic(&client.client_id, client.client_secret.expose());
        let headers = [
            ("content-type", "application/x-www-form-urlencoded"),
            ("authorization", basic.as_str()),
        ];
        self.send(Method::POST, path, &headers, body).await
    }

    /// A new access token of a client.
    pub(crate) async fn token_of(&self, client: &TestClient) -> String {
        let answer = self
            .form_as(client, "/oauth2/token", "grant_type=client_credentials")
            .await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()["access_token"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn login(&self, body: &Value) -> Answer {
        let headers = [("content-type", "application/json")];
        self.send(Method::POST, "/api/v1/login", &headers, &body.to_string())
            .await
    }

    /// A new control token of the admin.
    pub(crate) async fn control_token(&self) -> String {
        let answer = self
            .login(&json!({ "username": "admin", "password": PASSWORD }))
            .await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()["accessToken"].as_str().unwrap().to_owned()
    }

    /// Whether introspection calls a token active for this client.
    pub(crate) async fn active(&self, client: &TestClient, token: &str) -> bool {
        let answer = self
            .form_as(client, "/oauth2/introspect", &format!("token={token}"))
            .await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let answer = answer.json();
        let active = answer["active"].as_bool().unwrap();
        if !active {
            assert_eq!(answer, json!({ "active": false }), "and nothing more");
        }
        active
    }

    pub(crate) fn now_s(&self) -> u64 {
        self.clock.unix_s()
    }
}

pub(crate) fn basic(id: &str, secret: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")))
}
