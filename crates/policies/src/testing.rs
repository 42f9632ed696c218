//! What the tests of policies share: a directory in memory, a clock moved by hand, requests.

use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use base::{
    ApplicationId, Clock, CredentialId, Diagnostic, Digest, Environment, KeyMark, ManualClock, Org,
    SubscriptionId, TokenMarks,
};
use http::{HeaderMap, HeaderValue, StatusCode};
use jose::{Claims, KeySet, SigningKey};
use limits::{Authority, Quotas, Room};
use policy::{
    ApiKeyView, ApiTold, ApplicationView, Asking, BackendAuth, Client, ClientView, CompileEnv,
    Core, Directory, Guessed, Identity, Introspected, Issuer, NotAnswered, Once, Outcome,
    PasswordGuess, Passwords, Plan, Policy, Principal, Reject, Remembered, RequestCx, Response,
    ResponseCx, Runtime, Secrets, Slots, SubscriptionView, Trace, Verdict, Window,
};
use serde_json::{Value, json};

use crate::backend_credentials::tests::FakeTokens;

pub(crate) const API_KEY: &str = "twk_abcdefghijkmnpqrstuvwxyz23456789abcdefghijkmnpqrstuvixdc7di";
pub(crate) const API: &str = "pets-1.0.0";
pub(crate) const CLIENT: &str = "client-1";
pub(crate) const APPLICATION: &str = "shop";
const NOW_UNIX_MS: u64 = 1_800_000_000_000;

pub(crate) trait ManualTime {
    fn advance_s(&self, s: u64);
}

impl ManualTime for ManualClock {
    fn advance_s(&self, s: u64) {
        self.advance_ms(s * 1000);
    }
}

/// Everything that tests change of a directory.
pub(crate) struct Tables {
    pub(crate) org: Org,
    pub(crate) issuers: HashMap<String, Arc<Issuer>>,
    pub(crate) clients: HashMap<String, (ApplicationId, CredentialId)>,
    pub(crate) api_keys: HashMap<String, (ApplicationId, CredentialId)>,
    pub(crate) api_key_expires_unix_s: Option<u64>,
    pub(crate) api_key_limits: Option<Arc<policy::LimitedKey>>,
    /// Of all clients and keys.
    pub(crate) environment: Environment,
    pub(crate) subscriptions: HashMap<(ApplicationId, String), SubscriptionView>,
    pub(crate) applications: HashMap<String, ApplicationId>,
    /// Of every application.
    pub(crate) application_limits: Option<Arc<Plan>>,
    pub(crate) denials: Option<Arc<policy::Denials>>,
    pub(crate) revoked: Vec<String>,
    /// What the control plane knows of opaque tokens; `None` when it does not answer.
    pub(crate) opaque: Option<HashMap<Digest, Value>>,
    /// The keys that the control plane has, once they are asked for.
    pub(crate) newer: Option<Arc<Issuer>>,
    /// Clients of issuers outside of the platform.
    pub(crate) outside_clients: BTreeMap<String, (ApplicationId, CredentialId)>,
    /// The issuers outside of the platform that were asked.
    pub(crate) asked_of: Vec<String>,
    /// What such an issuer is, once newer keys are asked for.
    pub(crate) newer_outside: Option<Arc<Issuer>>,
    /// What such an issuer says of every token.
    pub(crate) introspected: Result<Option<Arc<Introspected>>, NotAnswered>,
    /// How often it was asked.
    pub(crate) asked: usize,
    pub(crate) not_known_max: usize,
    /// Answers that were not remembered.
    pub(crate) not_remembered: usize,
    pub(crate) used: Vec<Digest>,
    pub(crate) used_max: usize,
}

pub(crate) struct FakeDirectory {
    version: AtomicU64,
    tables: Mutex<Tables>,
    pub(crate) client_lookups: AtomicU64,
}

impl FakeDirectory {
    /// The tables, to be changed; counts as a change.
    pub(crate) fn tables(&self) -> MutexGuard<'_, Tables> {
        self.version.fetch_add(1, Ordering::SeqCst);
        self.tables.lock().unwrap()
    }

    pub(crate) fn set_application_limits(&self, limits: Option<Plan>) {
        self.tables().application_limits = limits.map(Arc::new);
    }

    pub(crate) fn set_denials(&self, denials: Option<policy::Denials>) {
        self.tables().denials = denials.map(Arc::new);
    }

    pub(crate) fn set_plan(&self, plan: Option<Plan>) {
        let plan = plan.map(Arc::new);
        for view in self.tables().subscriptions.values_mut() {
            view.plan = plan.clone();
        }
    }
}

impl Directory for FakeDirectory {
    fn version(&self) -> u64 {
        self.version.load(Ordering::SeqCst)
    }

    fn issuer(&self, org: &Org, name: &str) -> Option<Arc<Issuer>> {
        let tables = self.tables.lock().unwrap();
        (tables.org == *org).then(|| tables.issuers.get(name).cloned())?
    }

    fn client(&self, client_id: &str) -> Option<ClientView> {
        self.client_lookups.fetch_add(1, Ordering::SeqCst);
        let tables = self.tables.lock().unwrap();
        let (application, credential) = *tables.clients.get(client_id)?;
        Some(ClientView {
            org: tables.org.clone(),
            application,
            credential,
            environment: tables.environment,
        })
    }

    fn api_key(&self, presented: &str) -> Option<ApiKeyView> {
        let tables = self.tables.lock().unwrap();
        let (application, credential) = *tables.api_keys.get(presented)?;
        Some(ApiKeyView {
            org: tables.org.clone(),
            application,
            credential,
            mark: KeyMark::of(&Digest::of(presented.as_bytes())),
            environment: tables.environment,
            expires_unix_s: tables.api_key_expires_unix_s,
            limited: tables.api_key_limits.clone(),
        })
    }

    fn application(&self, org: &Org, name: &str) -> Option<ApplicationId> {
        let tables = self.tables.lock().unwrap();
        (tables.org == *org).then(|| tables.applications.get(name).copied())?
    }

    fn application_view(&self, application: ApplicationId) -> Option<ApplicationView> {
        let tables = self.tables.lock().unwrap();
        let mut named = tables.applications.iter();
        let (name, _) = named.find(|(_, id)| **id == application)?;
        Some(ApplicationView {
            name: name.clone(),
            owner: Some("alice".to_owned()),
        })
    }

    fn subscription(&self, application: ApplicationId, api: &str) -> Option<SubscriptionView> {
        let tables = self.tables.lock().unwrap();
        tables
            .subscriptions
            .get(&(application, api.to_owned()))
            .cloned()
    }

    fn denials(&self) -> Option<Arc<policy::Denials>> {
        self.tables.lock().unwrap().denials.clone()
    }
    fn application_limits(&self, _: ApplicationId) -> Option<Arc<Plan>> {
        self.tables.lock().unwrap().application_limits.clone()
    }
    fn is_revoked(&self, token: &TokenMarks) -> bool {
        self.tables
            .lock()
            .unwrap()
            .revoked
            .iter()
            .any(|revoked| **revoked == *token.jti)
    }

    fn opaque_token(&self, digest: Digest) -> Asking<Option<Claims>> {
        let mut tables = self.tables.lock().unwrap();
        tables.asked += 1;
        let answer = match &tables.opaque {
            None => Err(NotAnswered::Unavailable),
            Some(known) => Ok(known
                .get(&digest)
                .map(|claims| Claims::from_value(claims.clone()).unwrap())),
        };
        Box::pin(std::future::ready(answer))
    }

    fn catch_up(&self) -> Asking<()> {
        let mut tables = self.tables();
        tables.asked += 1;
        if let Some(newer) = tables.newer.take() {
            tables.issuers.insert("resident".to_owned(), newer);
        }
        Box::pin(std::future::ready(Ok(())))
    }

    fn not_known_max(&self) -> usize {
        self.tables().not_known_max
    }

    fn not_remembered(&self) {
        self.tables().not_remembered += 1;
    }

    fn outside_client(&self, org: &Org, issuer: &str, client_id: &str) -> Option<ClientView> {
        let tables = self.tables.lock().unwrap();
        let (application, credential) = *tables.outside_clients.get(client_id)?;
        (issuer != "resident").then(|| ClientView {
            org: org.clone(),
            application,
            credential,
            environment: tables.environment,
        })
    }

    fn newer_keys(&self, _: &Org, issuer: &str) -> Asking<()> {
        let mut tables = self.tables();
        tables.asked_of.push(issuer.to_owned());
        if let Some(newer) = tables.newer_outside.take() {
            tables.issuers.insert(newer.name.clone(), newer);
        }
        Box::pin(std::future::ready(Ok(())))
    }

    fn introspect(&self, _: &Org, issuer: &str, _: &str) -> Asking<Option<Arc<Introspected>>> {
        let mut tables = self.tables.lock().unwrap();
        tables.asked_of.push(issuer.to_owned());
        Box::pin(std::future::ready(tables.introspected.clone()))
    }

    fn use_once(&self, digest: Digest, _: u64) -> Once {
        let mut tables = self.tables.lock().unwrap();
        if tables.used.contains(&digest) {
            return Once::Again;
        }
        if tables.used.len() >= tables.used_max {
            return Once::Full;
        }
        tables.used.push(digest);
        Once::First
    }
}

/// A core with one application that is subscribed to [`API`] under the plan Gold.
pub(crate) struct Bench {
    pub(crate) directory: Arc<FakeDirectory>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) core: Rc<Core>,
    pub(crate) application: ApplicationId,
    pub(crate) key: SigningKey,
    /// The node's folder of secrets.
    pub(crate) secrets: tempfile::TempDir,
    pub(crate) passwords: Arc<FakePasswords>,
    pub(crate) tokens: Arc<FakeTokens>,
}

/// Takes a password whose hash ends with it, and notes what it was asked.
#[derive(Default)]
pub(crate) struct FakePasswords {
    pub(crate) asked: Mutex<Vec<(String, bool)>>,
    /// What it answers instead.
    pub(crate) answer: Mutex<Option<Result<Guessed, NotAnswered>>>,
}

impl Passwords for FakePasswords {
    fn check(&self, guess: PasswordGuess) -> Asking<Guessed> {
        let known = guess.stored.is_some();
        self.asked.lock().unwrap().push((guess.name, known));
        let right = guess
            .stored
            .is_some_and(|stored| stored.ends_with(guess.password.expose().as_str()));
        let own = if right {
            Guessed::Right
        } else {
            Guessed::Wrong
        };
        let answer = self.answer.lock().unwrap().unwrap_or(Ok(own));
        Box::pin(std::future::ready(answer))
    }
}

pub(crate) fn issuer_of(key: &SigningKey) -> Arc<Issuer> {
    Arc::new(Issuer {
        name: "resident".to_owned(),
        issuer: "https://id.example.com".to_owned(),
        audience: "gateway".to_owned(),
        keys: KeySet::from_keys(vec![key.public_jwk().clone()]).unwrap(),
        outside: None,
    })
}

pub(crate) fn gold() -> Plan {
    Plan {
        name: "Gold".to_owned(),
        quota: Some(Window {
            requests: 5000,
            window_ms: 60_000,
            measure: policy::Measure::Requests,
        }),
        burst: None,
    }
}

impl Bench {
    pub(crate) fn new() -> Self {
        let (application, credential) = (ApplicationId::generate(), CredentialId::generate());
        let key = SigningKey::generate_es256().unwrap();
        let subscription = SubscriptionView {
            id: SubscriptionId::generate(),
            plan: Some(Arc::new(gold())),
        };
        let directory = Arc::new(FakeDirectory {
            version: AtomicU64::new(1),
            client_lookups: AtomicU64::new(0),
            tables: Mutex::new(Tables {
                org: Org::default_org(),
                issuers: HashMap::from([("resident".to_owned(), issuer_of(&key))]),
                clients: HashMap::from([(CLIENT.to_owned(), (application, credential))]),
                api_keys: HashMap::from([(API_KEY.to_owned(), (application, credential))]),
                api_key_expires_unix_s: None,
                api_key_limits: None,
                environment: Environment::Production,
                subscriptions: HashMap::from([((application, API.to_owned()), subscription)]),
                applications: HashMap::from([(APPLICATION.to_owned(), application)]),
                application_limits: None,
                denials: None,
                revoked: Vec::new(),
                opaque: Some(HashMap::new()),
                newer: None,
                outside_clients: BTreeMap::new(),
                asked_of: Vec::new(),
                newer_outside: None,
                introspected: Ok(None),
                asked: 0,
                not_known_max: 4,
                not_remembered: 0,
                used: Vec::new(),
                used_max: 10,
            }),
        });
        let clock = Arc::new(ManualClock::at(NOW_UNIX_MS));
        let secrets = tempfile::tempdir().unwrap();
        let passwords = Arc::<FakePasswords>::default();
        let tokens = Arc::<FakeTokens>::default();
        let runtime = Runtime {
            directory: directory.clone(),
            limits: Arc::new(Authority::local(Quotas::new(Room::for_keys(100)))),
            clock: clock.clone(),
            secrets: Secrets::at(secrets.path().to_owned()),
            passwords: passwords.clone(),
            backend_auth: Arc::new(BackendAuth {
                jwts_max: 8,
                tokens_max: 4,
                ..BackendAuth::default()
            }),
            backend_tokens: tokens.clone(),
            authorization: Arc::default(),
            remembered: Arc::new(Remembered {
                passwords_max: 2,
                certificates_max: 2,
                ..Remembered::default()
            }),
        };
        Self {
            directory,
            clock,
            core: Core::new(Arc::new(runtime)),
            application,
            key,
            secrets,
            passwords,
            tokens,
        }
    }

    pub(crate) fn now_s(&self) -> u64 {
        self.clock.unix_s()
    }

    pub(crate) fn request(&self, method: &str, path: &str) -> RequestCx {
        RequestCx {
            method: method.parse().unwrap(),
            path: path.to_owned(),
            rest_at: 0,
            query: None,
            headers: HeaderMap::new(),
            client: Client {
                ip: Ipv4Addr::LOCALHOST.into(),
                tls: false,
            },
            trace: Trace {
                trace_id: [1; 16],
                span_id: [2; 8],
                flags: 0,
            },
            unix_ms: self.clock.unix_ms(),
            monotonic_ms: self.clock.monotonic_ms(),
            timeout_ms: None,
            body_bytes_max: None,
            principal: None,
            subscription: None,
            slots: Slots::default(),
            core: Rc::clone(&self.core),
        }
    }

    /// A request of the application, with these scopes.
    pub(crate) fn request_of(
        &self,
        method: &str,
        path: &str,
        scopes: Option<&[&str]>,
    ) -> RequestCx {
        let mut cx = self.request(method, path);
        cx.principal = Some(Rc::new(Principal {
            org: Org::default_org(),
            application: Some(self.application),
            credential: Some(CredentialId::generate()),
            key: None,
            environment: Environment::Production,
            identity: Arc::new(Identity {
                scopes: scopes.map(|scopes| scopes.iter().map(ToString::to_string).collect()),
                ..Identity::default()
            }),
            limits: None,
            token: None,
        }));
        cx
    }

    /// Runs the request side; a policy that answers is a test's mistake.
    pub(crate) fn run(&self, policy: &dyn Policy, cx: &mut RequestCx) -> Result<(), Reject> {
        match self.verdict(policy, cx) {
            Verdict::Continue => Ok(()),
            Verdict::Reject(reject) => Err(*reject),
            Verdict::Respond(response) => panic!("answered {response:?}"),
        }
    }

    /// The answer that a policy gives itself.
    pub(crate) fn answer(&self, policy: &dyn Policy, cx: &mut RequestCx) -> Option<Response> {
        match self.verdict(policy, cx) {
            Verdict::Respond(response) => Some(*response),
            _ => None,
        }
    }

    fn verdict(&self, policy: &dyn Policy, cx: &mut RequestCx) -> Verdict {
        match policy.on_request(cx) {
            Outcome::Now(verdict) => verdict,
            Outcome::Later(future) => futures_util::FutureExt::now_or_never(future)
                .expect("the futures of tests are ready"),
        }
    }

    /// Runs the answer's side and returns the headers.
    pub(crate) fn respond(
        &self,
        policy: &dyn Policy,
        cx: &mut RequestCx,
        status: u16,
        mut headers: HeaderMap,
    ) -> HeaderMap {
        policy.on_response(&mut ResponseCx {
            request: cx,
            status: StatusCode::from_u16(status).unwrap(),
            headers: &mut headers,
        });
        headers
    }

    /// Good claims of an access token.
    pub(crate) fn claims(&self) -> Value {
        json!({
            "iss": "https://id.example.com",
            "sub": CLIENT,
            "aud": "gateway",
            "exp": self.now_s() + 3600,
            "iat": self.now_s(),
            "jti": "token-1",
            "client_id": CLIENT,
            "scope": "orders:read orders:write",
        })
    }

    /// The `Authorization` value of a token with these claims.
    pub(crate) fn bearer(&self, claims: &Value) -> HeaderValue {
        let token = self.key.sign(jose::TYP_ACCESS_TOKEN, claims).unwrap();
        HeaderValue::from_str(&format!("Bearer {token}")).unwrap()
    }
}

pub(crate) fn env() -> CompileEnv {
    CompileEnv {
        org: Org::default_org(),
        api: API.to_owned(),
        told: ApiTold {
            name: "pets".to_owned(),
            version: "1.0.0".to_owned(),
            context: "/pets".to_owned(),
        },
    }
}

/// A policy of [`crate::POLICIES`], compiled.
#[expect(clippy::needless_pass_by_value, reason = "tests read better so")]
pub(crate) fn compile(name: &str, config: Value) -> Box<dyn Policy> {
    crate::find(name)
        .unwrap()
        .compile(&config, &env())
        .unwrap_or_else(|faults| panic!("{faults:?}"))
}

/// What is wrong with a configuration.
#[expect(clippy::needless_pass_by_value, reason = "tests read better so")]
pub(crate) fn compile_errors(name: &str, config: Value) -> Vec<Diagnostic> {
    crate::find(name)
        .unwrap()
        .compile(&config, &env())
        .err()
        .unwrap_or_default()
}

/// The caller of a request that has one, to be another one.
pub(crate) fn principal_mut(cx: &mut RequestCx) -> &mut Principal {
    Rc::make_mut(cx.principal.as_mut().expect("a known caller"))
}
