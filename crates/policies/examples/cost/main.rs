//! Prints what policies cost, in nanoseconds of one core per call: each alone, and what the typical stack costs more with
//! it than without.
//!
//! `cargo run --release -p policies --example cost`; with `--json` a line for each figure, which `cargo xtask bench` reads.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a program for people"
)]

mod world;

use std::hint::black_box;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _,
    ParsedPublicKey,
};
use base::Org;
use http::{HeaderMap, StatusCode};
use policies::normalize_path::{PathRules, canonical};
use policy::{Access, Chain, CompileEnv, Phase, RequestCx, Step};
use serde_json::{Value, json};

use world::World;

/// Calls of one round. The fastest round counts: others were disturbed.
const CALLS: u32 = 20_000;
const ROUNDS: usize = 9;

/// What a call has to bring.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Caller {
    /// No credential.
    Nobody,
    /// An API key.
    Key,
    /// A token that the core has seen before.
    Token,
    /// A token that it has not.
    NewToken,
    /// A name and a password that the core has seen before.
    Password,
    /// A client certificate that the core has seen before.
    Certificate,
}

/// A policy with what it needs.
struct Case {
    policy: &'static str,
    /// What it is that is measured, beside the policy's name.
    what: &'static str,
    config: Value,
    caller: Caller,
    /// What has to run before it.
    after: &'static [&'static str],
    /// Whether it is a part of the typical stack.
    typical: bool,
}

/// All policies that can be named in a document. `main` makes sure that none is missing.
fn cases() -> Vec<Case> {
    let case = |policy, what, config, caller, after, typical| Case {
        policy,
        what,
        config,
        caller,
        after,
        typical,
    };
    let nobody = Caller::Nobody;
    let rate = |name: &str, burst: Option<u32>| {
        let mut config = json!({"name": name, "limit": "1000000000/s"});
        if let Some(burst) = burst {
            config["burst"] = burst.into();
        }
        config
    };
    let set = json!({"request": {"x-gateway": "tollway"}, "response": {"x-served-by": "tollway"}});
    vec![
        case(
            "transports",
            "",
            json!({"allow": ["http"]}),
            nobody,
            &[],
            false,
        ),
        case(
            "cors",
            "a page's call",
            json!({"allowOrigins": ["https://shop.example.com"]}),
            nobody,
            &[],
            true,
        ),
        case("jwt", "seen before", json!({}), Caller::Token, &[], true),
        case("jwt", "new", json!({}), Caller::NewToken, &[], false),
        case("apiKey", "", json!({}), Caller::Key, &[], false),
        case(
            "basic",
            "seen before",
            json!({"users": {"secretRef": "callers"}}),
            Caller::Password,
            &[],
            false,
        ),
        case(
            "mutualTls",
            "seen before",
            json!({"ca": {"secretRef": "callers"}}),
            Caller::Certificate,
            &[],
            false,
        ),
        case(
            "authorize",
            "one rule",
            json!({"require": "'orders:read' in principal.scopes"}),
            Caller::Token,
            &["jwt"],
            false,
        ),
        case(
            "scopes",
            "",
            json!({"anyOf": [["orders:read"]]}),
            Caller::Token,
            &["jwt"],
            true,
        ),
        case("subscription", "", json!({}), Caller::Token, &["jwt"], true),
        case(
            "planQuota",
            "one quota",
            json!({}),
            Caller::Token,
            &["jwt", "subscription"],
            true,
        ),
        case(
            "rateLimit",
            "of an address",
            rate("a", None),
            nobody,
            &[],
            true,
        ),
        case(
            "rateLimit",
            "with a burst",
            rate("b", Some(1_000_000_000)),
            nobody,
            &[],
            true,
        ),
        case(
            "identityHeaders",
            "one field",
            json!({"X-User": "principal.subject"}),
            Caller::Token,
            &["jwt"],
            false,
        ),
        case(
            "backendJwt",
            "signed before",
            json!({"key": {"secretRef": "backend"}}),
            Caller::Token,
            &["jwt"],
            true,
        ),
        case(
            "backendCredentials",
            "a password",
            json!({"basic": {"secretRef": "backend"}}),
            nobody,
            &[],
            false,
        ),
        case(
            "extAuthz",
            "without its service",
            json!({"backend": "authz", "grpc": {}}),
            Caller::Token,
            &["jwt"],
            false,
        ),
        case("setHeaders", "one field each way", set, nobody, &[], false),
        case(
            "removeHeaders",
            "one field",
            json!({"request": ["x-old"]}),
            nobody,
            &[],
            false,
        ),
        case(
            "renameHeaders",
            "one field",
            json!({"request": {"x-old": "x-new"}}),
            nobody,
            &[],
            false,
        ),
        case("timeout", "", json!("5s"), nobody, &[], false),
        case(
            "payloadLimits",
            "",
            json!({"maxBody": "1Mi"}),
            nobody,
            &[],
            false,
        ),
    ]
}

fn compile(name: &str, config: &Value) -> Step {
    let env = CompileEnv {
        org: Org::default_org(),
        api: "pets-1.0.0".to_owned(),
        told: policy::ApiTold::default(),
    };
    let kind = policies::find(name).unwrap();
    let policy = kind.compile(config, &env).unwrap();
    Step::new(kind.name(), kind.phase(), Arc::from(policy))
}

/// A chain of these, with what asks all limits at once behind those that have one.
fn chain(mut steps: Vec<Step>) -> Chain {
    if steps.iter().any(|step| step.phase() == Phase::Limit) {
        let admission = Arc::from(policies::admission::policy());
        steps.push(Step::new(
            policies::admission::NAME,
            Phase::Limit,
            admission,
        ));
    }
    Chain::new(steps, Access::Open)
}

/// What one call costs, in nanoseconds.
fn cost(mut call: impl FnMut()) -> f64 {
    (0..ROUNDS)
        .map(|_| {
            let begin = Instant::now();
            (0..CALLS).for_each(|_| call());
            begin.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS)
        })
        .fold(f64::INFINITY, f64::min)
}

fn request(world: &World, caller: Caller) -> RequestCx {
    let mut cx = world.request();
    match caller {
        Caller::Nobody => {}
        Caller::Key => {
            cx.headers.insert("x-api-key", world::key());
        }
        Caller::Token | Caller::NewToken => {
            cx.headers.insert("authorization", world.bearer.clone());
        }
        Caller::Password => {
            cx.headers.insert("authorization", world::password());
        }
        Caller::Certificate => cx.slots.put(Arc::clone(&world.certificate)),
    }
    cx
}

/// What it costs to make a request and to run it through a chain, both ways.
fn run(world: &World, caller: Caller, chain: &Chain) -> f64 {
    cost(|| {
        let mut cx = request(world, caller);
        if caller == Caller::NewToken {
            world.forget_tokens();
        }
        let (passed, run) = {
            let future = pin!(chain.run(&mut cx));
            match future.poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(ran) => ran,
                Poll::Pending => panic!("a policy waits for something"),
            }
        };
        assert!(run.is_ok(), "a policy refused the call: {run:?}");
        let mut headers = HeaderMap::with_capacity(8);
        chain.run_response(passed, &mut cx, StatusCode::OK, &mut headers);
        black_box((cx, headers));
    })
}

/// One line of the result.
struct Figure {
    what: String,
    alone_ns: Option<f64>,
    /// What the typical stack costs more with it than without.
    stack_ns: Option<f64>,
}

fn policies(world: &World) -> Vec<Figure> {
    let cases = cases();
    let step = |case: &Case| compile(case.policy, &case.config);
    let of = |name: &&str| {
        cases
            .iter()
            .find(|case| case.policy == *name)
            .map(step)
            .unwrap()
    };
    let typical: Vec<&Case> = cases.iter().filter(|case| case.typical).collect();
    let stack = |but: Option<&Case>| {
        let others = typical
            .iter()
            .filter(|case| but.is_none_or(|but| !std::ptr::eq(but, **case)));
        run(
            world,
            Caller::Token,
            &chain(others.map(|case| step(case)).collect()),
        )
    };
    let whole = stack(None);
    let empty = |caller| run(world, caller, &chain(Vec::new()));
    let mut figures = vec![
        Figure {
            what: "a request without policies".to_owned(),
            alone_ns: Some(empty(Caller::Nobody)),
            stack_ns: None,
        },
        Figure {
            what: "the typical stack".to_owned(),
            alone_ns: Some(whole - empty(Caller::Token)),
            stack_ns: None,
        },
    ];
    for case in &cases {
        let before: Vec<Step> = case.after.iter().map(of).collect();
        let without = run(world, case.caller, &chain(before.clone()));
        let with = run(
            world,
            case.caller,
            &chain([before, vec![step(case)]].concat()),
        );
        // What others need cannot be left out of the stack.
        let needed = typical
            .iter()
            .any(|other| other.after.contains(&case.policy));
        figures.push(Figure {
            what: format!("{} {}", case.policy, case.what)
                .trim_end()
                .to_owned(),
            alone_ns: Some(with - without),
            stack_ns: (case.typical && !needed).then(|| whole - stack(Some(case))),
        });
    }
    for kind in policies::POLICIES {
        if !cases.iter().any(|case| case.policy == kind.name()) {
            figures.push(Figure {
                what: kind.name().to_owned(),
                alone_ns: None,
                stack_ns: None,
            });
        }
    }
    figures
}

/// One signature of ES256, verified by the library alone.
fn bare_verify() -> f64 {
    let random = SystemRandom::new();
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let key = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, pair.public_key()).unwrap();
    // As long as the signed part of a token.
    let text = [7; 400];
    let signature = pair.sign(&random, &text).unwrap();
    cost(|| {
        key.verify_sig(black_box(&text), signature.as_ref())
            .unwrap();
    })
}

fn functions() -> Vec<Figure> {
    let rules = PathRules::default();
    let path = |path: &'static str| {
        cost(|| {
            black_box(canonical(black_box(path), &rules).unwrap());
        })
    };
    let figure = |what: &str, alone_ns| Figure {
        what: what.to_owned(),
        alone_ns: Some(alone_ns),
        stack_ns: None,
    };
    vec![
        figure("ES256, bare verification", bare_verify()),
        figure("path, canonical", path("/pets/1.0.0/pets/4711/photos")),
        figure("path, written anew", path("/pets/1.0.0/p%65ts/4711/a%20b")),
    ]
}

fn main() {
    let as_json = std::env::args().any(|argument| argument == "--json");
    let world = World::new();
    let mut figures = policies(&world);
    figures.extend(functions());
    for Figure {
        what,
        alone_ns,
        stack_ns,
    } in figures
    {
        if as_json {
            println!(
                "{}",
                json!({"what": what, "aloneNs": alone_ns, "stackNs": stack_ns})
            );
        } else {
            let text = |ns: Option<f64>| ns.map_or("-".to_owned(), |ns| format!("{ns:.0} ns"));
            println!("{what:32} {:>10} {:>10}", text(alone_ns), text(stack_ns));
        }
    }
}
