//! The dialect of `http://wso2.org/claims`, for callers as the policies find them.
#![expect(clippy::needless_pass_by_value, reason = "tests read better so")]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use policy::{Measure, Window};

use super::*;
use crate::testing::{API_KEY, APPLICATION, CLIENT, compile_errors, env, gold};

const WSO2: &str = "http://wso2.org/claims/";

/// A call that `security` has let in, of a caller who is subscribed.
fn let_in(bench: &Bench, security: &str, config: Value, field: (&str, String)) -> RequestCx {
    let mut cx = bench.request("GET", "/pets");
    let name: HeaderName = field.0.parse().unwrap();
    cx.headers.insert(name, field.1.parse().unwrap());
    bench.run(&*compile(security, config), &mut cx).unwrap();
    bench
        .run(&*compile("subscription", json!({})), &mut cx)
        .unwrap();
    cx
}

fn with_token(bench: &Bench, change: Value) -> RequestCx {
    let mut claims = bench.claims();
    for (name, value) in change.as_object().unwrap() {
        claims[name] = value.clone();
    }
    let bearer = bench.bearer(&claims).to_str().unwrap().to_owned();
    let_in(bench, "jwt", json!({}), ("authorization", bearer))
}

fn with_password(bench: &Bench) -> RequestCx {
    let folder = bench.secrets.path().join("partners");
    std::fs::create_dir_all(&folder).unwrap();
    let line = "bob:$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$hunter2\n";
    std::fs::write(folder.join("users"), line).unwrap();
    let config = json!({"users": {"secretRef": "partners"}, "application": APPLICATION});
    let pair = format!("Basic {}", STANDARD.encode("bob:hunter2"));
    let_in(bench, "basic", config, ("authorization", pair))
}

fn told(bench: &Bench, key: &SigningKey, more: Value, cx: &mut RequestCx) -> Value {
    let mut asked = json!({"dialect": "wso2", "lifetime": "15m"});
    for (name, value) in more.as_object().unwrap() {
        asked[name] = value.clone();
    }
    let policy = compile("backendJwt", config(asked));
    claims(key, &sent(bench, &*policy, cx))
}

/// All claims of the dialect, for a user, an application that calls for itself, an API key and a user with a password.
///
/// req: GW10
#[test]
fn every_claim_of_every_kind_of_caller() {
    let bench = Bench::new();
    let key = write_key(&bench, "backends/tls.key", Algorithm::Es256);
    let application = bench.application.to_string();
    let user = with_token(&bench, json!({"sub": "alice-1", "email": "a@example.com"}));
    let client = with_token(&bench, json!({}));
    let field = ("x-api-key", API_KEY.to_owned());
    let with_key = let_in(&bench, "apiKey", json!({}), field);
    let with_password = with_password(&bench);
    let (person, itself) = ("Application_User", "Application");
    for (mut cx, sub, usertype, enduser) in [
        (user, "alice-1", person, "alice-1"),
        // An application that calls for itself acts for its owner.
        (client, CLIENT, itself, "alice"),
        (with_key, application.as_str(), itself, "alice"),
        (with_password, "bob", person, "bob"),
    ] {
        let told = told(&bench, &key, json!({}), &mut cx);
        let mut expected = json!({
            "iss": "wso2.org/products/am",
            "sub": sub,
            "iat": bench.now_s(),
            "exp": bench.now_s() + 900,
        });
        for (name, value) in [
            ("subscriber", "alice"),
            ("applicationid", &application),
            ("applicationUUId", &application),
            ("applicationname", APPLICATION),
            ("applicationtier", "Unlimited"),
            ("apiname", "pets"),
            ("apicontext", "/pets/1.0.0"),
            ("version", "1.0.0"),
            ("tier", "Gold"),
            ("keytype", "PRODUCTION"),
            ("usertype", usertype),
            ("enduser", enduser),
            ("enduserTenantId", "-1234"),
        ] {
            expected[format!("{WSO2}{name}")] = value.into();
        }
        assert_eq!(told, expected, "{sub}");
    }
}

/// req: GW10
#[test]
fn tiers_environments_and_claims_of_the_callers_token() {
    let bench = Bench::new();
    let key = write_key(&bench, "backends/tls.key", Algorithm::Es256);
    bench.directory.set_application_limits(Some(Plan {
        quota: Some(Window {
            requests: 50,
            window_ms: 60_000,
            measure: Measure::Requests,
        }),
        ..gold()
    }));
    let mut cx = with_token(&bench, json!({"sub": "alice-1", "email": "a@example.com"}));
    crate::testing::principal_mut(&mut cx).environment = Environment::Sandbox;
    let more = json!({"pass": ["email", "absent"]});
    let found = told(&bench, &key, more, &mut cx);
    assert_eq!(found[format!("{WSO2}applicationtier")], "50PerMin");
    assert_eq!(found[format!("{WSO2}keytype")], "SANDBOX");
    assert_eq!(found[format!("{WSO2}email")], "a@example.com");
    assert!(found.get(format!("{WSO2}absent")).is_none());

    // A plan that is gone is not told as one that limits.
    let mut cx = with_token(&bench, json!({"sub": "alice-1"}));
    std::rc::Rc::make_mut(cx.subscription.as_mut().unwrap()).plan = None;
    let found = told(&bench, &key, json!({}), &mut cx);
    assert_eq!(found[format!("{WSO2}tier")], "Unlimited");
}

/// A caller that is no application: nothing is made up for what it has not.
#[test]
fn callers_without_an_application_have_no_claims_of_one() {
    let bench = Bench::new();
    let key = write_key(&bench, "backends/tls.key", Algorithm::Es256);
    let mut cx = with_password(&bench);
    crate::testing::principal_mut(&mut cx).application = None;
    cx.subscription = None;
    let found = told(&bench, &key, json!({}), &mut cx);
    for name in [
        "subscriber",
        "applicationid",
        "applicationUUId",
        "applicationname",
    ] {
        assert!(found.get(format!("{WSO2}{name}")).is_none(), "{name}");
    }
    assert_eq!(found[format!("{WSO2}enduser")], "bob");
}

/// Other issuers call the client otherwise.
#[test]
fn clients_of_other_issuers_call_for_themselves_too() {
    let bench = Bench::new();
    let key = write_key(&bench, "backends/tls.key", Algorithm::Es256);
    for name in ["azp", "cid", "appid"] {
        let mut cx = request(&bench);
        let principal = crate::testing::principal_mut(&mut cx);
        let claims = json!({name: "c-9"});
        principal.identity = Arc::new(Identity {
            subject: Some("c-9".to_owned()),
            claims: claims.as_object().unwrap().clone(),
            ..Identity::default()
        });
        let found = told(&bench, &key, json!({}), &mut cx);
        assert_eq!(found[format!("{WSO2}usertype")], "Application", "{name}");
        let own = compile("backendJwt", config(json!({})));
        let found = super::claims(&key, &sent(&bench, &*own, &mut cx));
        assert_eq!(found["client_id"], "c-9");
    }
}

/// Organisations beside `default` have no number; a document may say one, and what the caller's token has goes before it.
#[test]
fn a_document_may_say_the_tenant() {
    let bench = Bench::new();
    let key = write_key(&bench, "backends/tls.key", Algorithm::Es256);
    let tenant = format!("{WSO2}enduserTenantId");
    let add = json!({"add": {"enduserTenantId": "'7'"}});
    let mut cx = with_token(&bench, json!({"sub": "alice-1"}));
    assert_eq!(told(&bench, &key, add, &mut cx)[&tenant], "7");

    let mut other = env();
    other.org = base::Org::new("acme");
    let wish = config(json!({"dialect": "wso2"}));
    let policy = crate::find("backendJwt").unwrap().compile(&wish, &other);
    let token = sent(&bench, &*policy.unwrap(), &mut request(&bench));
    assert!(claims(&key, &token).get(&tenant).is_none());

    let wish = config(json!({"dialect": "wso2", "add": {"subscriber": "'admin'"}}));
    let faults = compile_errors("backendJwt", wish);
    assert_eq!(faults[0].pointer, "/add/subscriber");
}

/// What `docs/security/backends.md` says is what is told.
#[test]
fn every_claim_is_explained() {
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../docs/security/backends.md"
    );
    let text = std::fs::read_to_string(file).unwrap();
    let bench = Bench::new();
    let key = write_key(&bench, "backends/tls.key", Algorithm::Es256);
    let found = told(&bench, &key, json!({}), &mut request(&bench));
    let names = found
        .as_object()
        .unwrap()
        .keys()
        .filter_map(|name| name.strip_prefix(WSO2));
    for name in names {
        assert!(text.contains(&format!("`{name}`")), "{name}");
    }
}
