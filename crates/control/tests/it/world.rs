//! A platform of one control role: users with tokens, calls, and nodes that acknowledge what they get.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use base::{ManualClock, Org, Secret, UserId};
use control::{Control, ControlConfig, Parts};
use credentials::{KeyFile, PasswordLimits, Passwords, SecretHashes, Tokens, TokensConfig};
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use serde_json::Value;
use store::{Batch, Expect, GrantStore, Role, Store, UsageStore, User, Write};
use store_sql::{OpenOptions, SqlStore};
use sync::{Ack, ApiModel, Entry, EntryKey, Node, NodeId, Update};
use tower::ServiceExt as _;
use utoipa::openapi::OpenApi;

/// How long a test waits for what has to come, on a machine that may be slow and stand still for seconds.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// 2026-01-01
const START_MS: u64 = 1_767_225_600_000;

pub(crate) const PETS: &str = r"openapi: 3.0.3
info: {title: Pets, version: 1.0.0}
servers: [{url: https://pets.example.com/v1}]
components:
  securitySchemes:
    oauth: {type: oauth2, flows: {clientCredentials: {tokenUrl: https://x, scopes: {'pets:read': r, 'pets:write': w}}}}
paths:
  /pets:
    get: {operationId: list, security: [{oauth: ['pets:read']}], responses: {'200': {description: ok}}}
    post: {operationId: add, security: [{oauth: ['pets:write']}], responses: {'200': {description: ok}}}
";

pub(crate) struct World {
    pub(crate) control: Control,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) grants: Arc<dyn GrantStore>,
    pub(crate) usage: Arc<dyn UsageStore>,
    pub(crate) tokens: Tokens,
    pub(crate) clock: Arc<ManualClock>,
    parts: Parts,
    router: Router,
    callers: HashMap<&'static str, String>,
    _folder: tempfile::TempDir,
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes)
            .unwrap_or_else(|_| panic!("no JSON: {}", String::from_utf8_lossy(&self.bytes)))
    }

    /// The body, when the status is this one.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Value {
        assert_eq!(
            self.status.as_u16(),
            status,
            "{}",
            String::from_utf8_lossy(&self.bytes)
        );
        if self.bytes.is_empty() {
            return Value::Null;
        }
        self.json()
    }

    /// The problem, when its code is this one.
    #[track_caller]
    pub(crate) fn problem(self, code: &str) -> Value {
        let problem = self.json();
        assert_eq!(problem["code"], code, "{problem:#}");
        assert_eq!(problem["status"], self.status.as_u16());
        assert_eq!(
            self.headers[header::CONTENT_TYPE],
            "application/problem+json"
        );
        assert_eq!(problem["traceId"].as_str().unwrap().len(), 32);
        problem
    }
}

/// Writers wait long enough for every node that is there.
fn patient() -> ControlConfig {
    ControlConfig {
        acknowledge_ms: 60_000,
        ..ControlConfig::default()
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(patient()).await
    }

    pub(crate) async fn with(config: ControlConfig) -> Self {
        let fetcher = fetch::Fetcher::new(fetch::FetchConfig::default(), fetch::SystemResolver);
        Self::fetching(config, fetcher.unwrap()).await
    }

    /// A platform that fetches URLs in this way.
    pub(crate) async fn fetching(config: ControlConfig, fetcher: fetch::Fetcher) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = OpenOptions::at(folder.path().join("tollway.db"));
        let sql = Arc::new(SqlStore::open(&options).await.unwrap());
        let store: Arc<dyn Store> = sql.clone();
        let clock = Arc::new(ManualClock::at(START_MS));
        let keys = KeyFile::from_root(&Secret::new([7; 32])).unwrap();
        let tokens = Tokens::open(
            Arc::clone(&store),
            keys.clone(),
            clock.clone(),
            TokensConfig::new("http://127.0.0.1:9400"),
        )
        .await
        .unwrap();
        assert!(
            control::bootstrap(store.as_ref(), clock.as_ref())
                .await
                .unwrap()
        );
        let parts = Parts {
            store: Arc::clone(&store),
            grants: sql.clone(),
            usage: sql.clone(),
            tokens: tokens.clone(),
            hashes: SecretHashes::new(&keys),
            passwords: Passwords::new(PasswordLimits::default()),
            clock: clock.clone(),
            fetcher,
        };
        let control = Control::new(parts.clone(), config);
        let mut world = Self {
            router: control::router(control.clone(), OpenApi::default()),
            control,
            parts,
            store,
            grants: sql.clone(),
            usage: sql,
            tokens,
            clock,
            callers: HashMap::new(),
            _folder: folder,
        };
        world.user("admin", Role::Admin).await;
        world.user("paul", Role::Publisher).await;
        world.user("sue", Role::Subscriber).await;
        world.user("sam", Role::Subscriber).await;
        world
    }

    /// Another control role over the same store.
    pub(crate) fn again(&self) -> Control {
        Control::new(self.parts.clone(), ControlConfig::default())
    }

    async fn user(&mut self, name: &'static str, role: Role) {
        let user = User {
            id: UserId::generate(),
            org: Org::default_org(),
            name: name.to_owned(),
            password_hash: "$argon2id$".to_owned(),
            roles: vec![role],
            created_unix_ms: START_MS,
        };
        let token = self.tokens.mint_control_token(&user, 0).unwrap();
        self.callers.insert(name, token.token.expose().clone());
        let batch = Batch {
            org: Org::default_org(),
            actor: "test".to_owned(),
            at_unix_ms: START_MS,
            request: None,
            writes: vec![Write::UserPut(user, Expect::Absent)],
        };
        self.store.commit(batch).await.unwrap();
    }

    /// A request in a user's name, not sent yet; nobody's with `-`.
    pub(crate) fn request(&self, user: &str, method: &str, path: &str) -> http::request::Builder {
        let request = Request::builder()
            .method(Method::from_bytes(method.as_bytes()).unwrap())
            .uri(format!("/api/v1{path}"));
        match self.callers.get(user) {
            Some(token) => request.header(header::AUTHORIZATION, format!("Bearer {token}")),
            None => request,
        }
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        Answer {
            status: parts.status,
            headers: parts.headers,
            bytes: body.collect().await.unwrap().to_bytes().into(),
        }
    }

    /// A call with a JSON body, or without one for `Null`.
    pub(crate) async fn call(&self, user: &str, method: &str, path: &str, body: Value) -> Answer {
        let request = self.request(user, method, path);
        let request = if body.is_null() {
            request.body(Body::empty())
        } else {
            request
                .header(header::CONTENT_TYPE, "application/json")
                .body(body.to_string().into())
        };
        self.send(request.unwrap()).await
    }

    pub(crate) async fn get(&self, user: &str, path: &str) -> Answer {
        self.call(user, "GET", path, Value::Null).await
    }

    pub(crate) async fn post(&self, user: &str, path: &str, body: Value) -> Answer {
        self.call(user, "POST", path, body).await
    }

    pub(crate) async fn delete(&self, user: &str, path: &str) -> Answer {
        self.call(user, "DELETE", path, Value::Null).await
    }

    /// Imports and publishes the pets under this version and the plans Gold and Silver.
    pub(crate) async fn publish_pets(&self, version: &str) -> Value {
        let body = serde_json::json!({
            "definition": PETS, "name": "pets", "version": version, "publish": true,
            "plans": ["Gold", "Silver"], "backend": "http://127.0.0.1:9000",
        });
        self.post("paul", "/apis:import", body).await.expect(201)
    }

    /// An application of this user, subscribed to the pets under Gold.
    pub(crate) async fn subscribed(&self, user: &str, application: &str) {
        let body = serde_json::json!({"kind": "Application", "metadata": {"name": application}, "spec": {}});
        self.post(user, "/applications", body).await.expect(201);
        let body = subscription(application, "1.0.0", "Gold");
        self.post(user, "/subscriptions", body).await.expect(201);
    }

    /// A node that pulls and acknowledges until it is dropped.
    pub(crate) fn node(&self, name: &str, gateway: &str) -> FakeNode {
        let plane = self.control.plane();
        let view = Arc::new(Mutex::new(View::default()));
        let node = node(name, gateway);
        let shared = Arc::clone(&view);
        let task = tokio::spawn(async move {
            let mut since = None;
            loop {
                let update = plane.pull(&node, since).await.unwrap();
                let revision = update.revision;
                let digest = {
                    let mut view = shared.lock().unwrap();
                    view.apply(update);
                    view.digest()
                };
                let ack = Ack {
                    node: node.clone(),
                    revision,
                    digest,
                    broken: Vec::new(),
                    listeners: Vec::new(),
                };
                plane.acknowledge(ack).await.unwrap();
                since = Some(revision);
                plane.changed(revision).await;
            }
        });
        FakeNode { view, task }
    }
}

pub(crate) fn subscription(application: &str, version: &str, plan: &str) -> Value {
    serde_json::json!({
        "kind": "Subscription", "metadata": {"name": format!("{application}-pets-{version}")},
        "spec": {"application": application, "api": {"name": "pets", "version": version}, "plan": plan},
    })
}

pub(crate) fn node(name: &str, gateway: &str) -> Node {
    Node {
        id: NodeId(name.to_owned()),
        gateway: gateway.to_owned(),
    }
}

/// What a node has.
#[derive(Default)]
pub(crate) struct View {
    pub(crate) revision: u64,
    pub(crate) resets: u32,
    pub(crate) apis: BTreeMap<String, Arc<ApiModel>>,
    pub(crate) plans: BTreeMap<String, u64>,
    pub(crate) issuers: BTreeMap<String, String>,
    pub(crate) outside: BTreeMap<String, sync::OutsideModel>,
    pub(crate) entries: HashMap<EntryKey, Entry>,
}

impl View {
    pub(crate) fn apply(&mut self, update: Update) {
        if update.reset {
            let resets = self.resets + 1;
            *self = Self {
                resets,
                ..Self::default()
            };
        }
        self.revision = update.revision;
        for change in update.apis {
            match change.model {
                Some(model) => self.apis.insert(change.key.name, Arc::new(model.open())),
                None => self.apis.remove(&change.key.name),
            };
        }
        for change in update.plans {
            match change.model {
                Some(plan) => self.plans.insert(
                    change.key.name,
                    plan.quota.map_or(0, |quota| quota.requests),
                ),
                None => self.plans.remove(&change.key.name),
            };
        }
        for change in update.issuers {
            self.outside.remove(&change.key.name);
            if let Some(issuer) = change.model {
                if let Some(outside) = &issuer.outside {
                    self.outside
                        .insert(change.key.name.clone(), (**outside).clone());
                }
                self.issuers
                    .insert(change.key.name, issuer.audience.clone());
            }
        }
        for (key, entry) in update.entries {
            match entry {
                Some(entry) => self.entries.insert(key, entry),
                None => self.entries.remove(&key),
            };
        }
    }

    /// The digest over all APIs that the node has.
    pub(crate) fn digest(&self) -> base::Digest {
        sync::served_digest(self.apis.iter().map(|(name, model)| {
            let key = sync::ResourceKey {
                org: model.org.clone(),
                name: name.clone(),
            };
            sync::served_mark(&key, &model.digest)
        }))
    }

    /// How many entries are of this sort.
    pub(crate) fn count(&self, is: impl Fn(&Entry) -> bool) -> usize {
        self.entries.values().filter(|entry| is(entry)).count()
    }
}

pub(crate) struct FakeNode {
    view: Arc<Mutex<View>>,
    task: tokio::task::JoinHandle<()>,
}

impl FakeNode {
    pub(crate) fn see<T>(&self, look: impl FnOnce(&View) -> T) -> T {
        look(&self.view.lock().unwrap())
    }
}

impl Drop for FakeNode {
    fn drop(&mut self) {
        self.task.abort();
    }
}
