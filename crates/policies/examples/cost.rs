//! Prints what the policies of a managed call cost, in nanoseconds per call:
//! `cargo run --release -p policies --example cost`.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a program for people"
)]

use std::collections::HashMap;
use std::hint::black_box;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use base::{ApplicationId, Clock, CredentialId, Org, SubscriptionId, SystemClock};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use policies::identity_headers::Peer;
use policies::normalize_path::{PathRules, canonical};
use policy::{
    ApiKeyView, Client, ClientView, CompileEnv, Core, Directory, Issuer, Outcome, Plan, Policy,
    RequestCx, ResponseCx, Runtime, Slots, SubscriptionView, Trace, Verdict, Window,
};
use serde_json::json;

const ROUNDS: u32 = 200_000;

/// One application that may do everything; look-ups as cheap as they can be.
struct OneApplication {
    org: Org,
    application: ApplicationId,
    credential: CredentialId,
    issuer: Arc<Issuer>,
    keys: HashMap<String, ()>,
    subscription: SubscriptionView,
}

impl Directory for OneApplication {
    fn version(&self) -> u64 {
        1
    }

    fn issuer(&self, _: &Org, _: &str) -> Option<Arc<Issuer>> {
        Some(Arc::clone(&self.issuer))
    }

    fn client(&self, _: &str) -> Option<ClientView> {
        let (application, credential) = (self.application, self.credential);
        Some(ClientView {
            org: self.org.clone(),
            application,
            credential,
            environment: base::Environment::Production,
        })
    }

    fn api_key(&self, presented: &str) -> Option<ApiKeyView> {
        self.keys.get(presented)?;
        let (application, credential) = (self.application, self.credential);
        Some(ApiKeyView {
            org: self.org.clone(),
            application,
            credential,
            environment: base::Environment::Production,
            expires_unix_s: None,
            limits: None,
        })
    }

    fn subscription(&self, _: ApplicationId, _: &str) -> Option<SubscriptionView> {
        Some(self.subscription.clone())
    }

    fn is_revoked(&self, _: &base::TokenMarks) -> bool {
        false
    }
}

fn request(core: &Rc<Core>, now: (u64, u64)) -> RequestCx {
    RequestCx {
        method: Method::GET,
        path: String::new(),
        rest_at: 0,
        query: None,
        headers: HeaderMap::new(),
        client: Client {
            ip: [127, 0, 0, 1].into(),
            tls: false,
        },
        trace: Trace {
            trace_id: [1; 16],
            span_id: [1; 8],
            flags: 0,
        },
        unix_ms: now.0,
        monotonic_ms: now.1,
        timeout_ms: None,
        body_bytes_max: None,
        principal: None,
        subscription: None,
        slots: Slots::default(),
        core: Rc::clone(core),
    }
}

fn measure(what: &str, mut call: impl FnMut()) {
    for _ in 0..ROUNDS / 10 {
        call();
    }
    let start = Instant::now();
    for _ in 0..ROUNDS {
        call();
    }
    println!(
        "{what:32} {:>6} ns",
        start.elapsed().as_nanos() / u128::from(ROUNDS)
    );
}

fn compile(name: &str) -> Box<dyn Policy> {
    let env = CompileEnv {
        org: Org::default_org(),
        api: "pets-1.0.0".to_owned(),
    };
    policies::find(name)
        .unwrap()
        .compile(&json!({}), &env)
        .unwrap()
}

fn pass(policy: &dyn Policy, cx: &mut RequestCx) {
    assert!(matches!(
        policy.on_request(cx),
        Outcome::Now(Verdict::Continue)
    ));
}

fn main() {
    let clock = SystemClock::new();
    let now = (clock.unix_ms(), clock.monotonic_ms());
    let key = jose::SigningKey::generate_es256().unwrap();
    let claims = json!({
        "iss": "https://id.example.com", "sub": "c", "aud": "gateway", "client_id": "c", "jti": "t",
        "exp": now.0 / 1000 + 3600, "iat": now.0 / 1000, "scope": "orders:read orders:write",
    });
    let token = key.sign(jose::TYP_ACCESS_TOKEN, &claims).unwrap();
    let bearer = HeaderValue::from_str(&format!("Bearer {token}")).unwrap();
    let issuer = Issuer {
        name: "resident".to_owned(),
        issuer: "https://id.example.com".to_owned(),
        audience: "gateway".to_owned(),
        keys: jose::KeySet::from_keys(vec![key.public_jwk().clone()]).unwrap(),
    };
    let plan = Plan {
        name: "Gold".to_owned(),
        quota: Some(Window {
            requests: u64::from(u32::MAX / 4),
            window_ms: 60_000,
        }),
        burst: None,
    };
    let subscription = SubscriptionView {
        id: SubscriptionId::generate(),
        plan: Some(Arc::new(plan)),
    };
    let directory = OneApplication {
        org: Org::default_org(),
        application: ApplicationId::generate(),
        credential: CredentialId::generate(),
        issuer: Arc::new(issuer),
        keys: HashMap::from([(
            "twk_abcdefghijkmnpqrstuvwxyz23456789abcdefghijkmnpqrstuvixdc7di".to_owned(),
            (),
        )]),
        subscription,
    };
    let core = Core::new(Arc::new(Runtime {
        directory: Arc::new(directory),
        quotas: Arc::new(limits::Quotas::new(1000, limits::BUCKETS_DEFAULT)),
        clock: Arc::new(clock),
    }));
    steps(&core, now, &bearer);
    functions();
}

fn steps(core: &Rc<Core>, now: (u64, u64), bearer: &HeaderValue) {
    let (jwt, key) = (compile("jwt"), compile("apiKey"));
    let (subscription, quota) = (compile("subscription"), compile("planQuota"));
    let admission = policies::admission::policy();
    measure("empty request context", || {
        black_box(request(core, now));
    });
    measure("jwt, cached", || {
        let mut cx = request(core, now);
        cx.headers.insert("authorization", bearer.clone());
        pass(&*jwt, &mut cx);
        black_box(cx);
    });
    measure("jwt, verified", || {
        let mut cx = request(core, now);
        *core
            .memory::<policies::token_cache::TokenCache>()
            .borrow_mut() = Default::default();
        cx.headers.insert("authorization", bearer.clone());
        pass(&*jwt, &mut cx);
        black_box(cx);
    });
    measure("apiKey, without its hashing", || {
        let mut cx = request(core, now);
        cx.headers.insert(
            "x-api-key",
            HeaderValue::from_static(
                "twk_abcdefghijkmnpqrstuvwxyz23456789abcdefghijkmnpqrstuvixdc7di",
            ),
        );
        pass(&*key, &mut cx);
        black_box(cx);
    });
    let mut known = request(core, now);
    known.headers.insert("authorization", bearer.clone());
    pass(&*jwt, &mut known);
    measure("subscription, planQuota, answer", || {
        let mut cx = request(core, now);
        cx.principal = known.principal.clone();
        pass(&*subscription, &mut cx);
        pass(&*quota, &mut cx);
        pass(&*admission, &mut cx);
        let mut headers = HeaderMap::new();
        let status = StatusCode::OK;
        admission.on_response(&mut ResponseCx {
            request: &mut cx,
            status,
            headers: &mut headers,
        });
        black_box((cx, headers));
    });
}

fn functions() {
    let rules = PathRules::default();
    measure("normalize_path, canonical", || {
        black_box(canonical(black_box("/pets/1.0.0/pets/4711/photos"), &rules).unwrap());
    });
    measure("normalize_path, recoded", || {
        black_box(canonical(black_box("/pets/1.0.0/p%65ts/4711/a%20b"), &rules).unwrap());
    });
    let mut sent = HeaderMap::new();
    for (name, value) in [
        ("host", "api.example.com"),
        ("user-agent", "curl/8.5.0"),
        ("accept", "*/*"),
        ("accept-encoding", "gzip"),
        ("x-request-id", "1234"),
        ("connection", "keep-alive"),
    ] {
        sent.insert(name, HeaderValue::from_static(value));
    }
    measure("copy of a header map", || {
        black_box(sent.clone());
    });
    measure("copy, hop_by_hop", || {
        let mut headers = sent.clone();
        policies::hop_by_hop::strip_request(&mut headers).unwrap();
        black_box(headers);
    });
    let peer = Peer::new(&Client {
        ip: [127, 0, 0, 1].into(),
        tls: false,
    });
    measure("copy, identity_headers", || {
        let mut headers = sent.clone();
        peer.replace(&mut headers, None);
        black_box(headers);
    });
}
