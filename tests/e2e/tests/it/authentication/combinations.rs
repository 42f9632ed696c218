//! What docs/security/gateway-authentication.md says of scopes, of several credentials together, and of listeners.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;

impl World {
    /// Users of `partners`, with what the document says of them beside.
    fn users(&self, more: &Value) -> Value {
        let mut basic = json!({"users": {"secretRef": "partners"}, "application": self.api.app});
        for (name, value) in more.as_object().unwrap() {
            basic[name] = value.clone();
        }
        json!({ "basic": basic })
    }

    fn post(&self, client: &Client) -> RequestBuilder {
        let url = format!("https://{}/pets/1.0.0/pets", self.sandbox.gateway_https());
        client.post(url)
    }
}

/// Scopes that an operation asks for, by its definition or by the document.
///
/// req: GW5
#[tokio::test]
async fn scopes_of_operations_hold_for_every_kind_of_caller() {
    let world = World::start(|_| {}).await;
    world.secret("partners/users", &made_line("alice", "correct horse").await);
    let root = Authority::root("partners");
    let tls = json!({"ca": {"inline": root.pem()}, "application": world.api.app});
    let mut with_scopes = tls.clone();
    with_scopes["scopes"] = json!(["pets:write"]);
    let till = client(Some(&root.issue("till", 7, |_| {})));
    let plain = client(None);
    let alice = |request: RequestBuilder| request.basic_auth("alice", Some("correct horse"));
    let insufficient = refused(403, "SCOPE_INSUFFICIENT");

    let users = world.users(&json!({}));
    world.security(json!([users, {"mutualTls": tls}])).await;
    assert_eq!(answer(alice(world.get(&plain, "/pets"))).await, passed());
    assert_eq!(answer(alice(world.post(&plain))).await, insufficient);
    assert_eq!(answer(world.get(&till, "/pets")).await, passed());
    assert_eq!(answer(world.post(&till)).await, insufficient);

    let users = world.users(&json!({"scopes": ["x", "pets:write"]}));
    world
        .security(json!([users, {"mutualTls": with_scopes}, {"jwt": {}}, {"apiKey": {}}]))
        .await;
    assert_eq!(answer(alice(world.post(&plain))).await, passed());
    assert_eq!(answer(world.post(&till)).await, passed());
    let token = || world.post(&plain).bearer_auth(&world.api.token);
    assert_eq!(answer(token()).await, passed());
    // An API key stands for all that its application may do.
    let key = world.post(&plain).header("x-api-key", &world.api.key);
    assert_eq!(answer(key).await, passed());

    // What the document says goes before the definition.
    world
        .change(|spec| {
            spec["operations"] = json!([
                {"match": "POST /pets", "scopes": ["pets:admin"]}, {"match": "GET /pets", "scopes": ["pets:write", "x"]},
            ]);
        })
        .await;
    assert_eq!(answer(token()).await, insufficient);
    assert_eq!(answer(alice(world.post(&plain))).await, insufficient);
    assert_eq!(answer(alice(world.get(&plain, "/pets"))).await, passed());
    assert_eq!(
        answer(world.get(&till, "/pets")).await,
        insufficient,
        "all of them"
    );
}

/// An API key stands for all that its application may do, unless it was made with scopes of its own.
///
/// req: GW5
#[tokio::test]
async fn a_key_with_scopes_of_its_own_has_those_alone() {
    let world = World::start(|_| {}).await;
    let plain = client(None);
    let limited = async |scopes: Value| {
        let wish = json!({"limits": {"scopes": scopes}});
        world.key(&world.api.app, wish).await
    };
    let get = async |key: &str| answer(world.get(&plain, "/pets").header("x-api-key", key)).await;
    let post = async |key: &str| answer(world.post(&plain).header("x-api-key", key)).await;
    let insufficient = refused(403, "SCOPE_INSUFFICIENT");

    // By the definition `POST` asks for `pets:write`, and `GET` for none.
    let (id, reads) = limited(json!(["pets:read"])).await;
    let (_, writes) = limited(json!(["pets:write"])).await;
    for key in [&world.api.key, &reads, &writes] {
        assert_eq!(get(key).await, passed());
    }
    assert_eq!(post(&world.api.key).await, passed());
    assert_eq!(post(&reads).await, insufficient);
    assert_eq!(post(&writes).await, passed());

    // By the document it asks for two; a key without scopes of its own is not held up by any.
    let asked = json!([{"match": "POST /pets", "scopes": ["pets:write", "pets:admin"]}]);
    world.change(|spec| spec["operations"] = asked).await;
    let (_, both) = limited(json!(["pets:admin", "x", "pets:write"])).await;
    assert_eq!(post(&world.api.key).await, passed());
    assert_eq!(post(&writes).await, insufficient);
    assert_eq!(post(&both).await, passed());

    // The scopes are the key's, not the text's, and go when it is limited no more.
    let path = format!("/applications/{}/api-keys/{id}", world.api.app);
    let rotate = format!("{path}/rotate");
    let rotated = world.sandbox.call(Method::POST, &rotate, Some(json!({})));
    let rotated = rotated.await.unwrap()["key"].as_str().unwrap().to_owned();
    assert_eq!(post(&rotated).await, insufficient);
    let unlimited = json!({"limits": {}});
    let changed = world.sandbox.call(Method::PATCH, &path, Some(unlimited));
    changed.await.unwrap();
    assert_eq!(post(&reads).await, passed());
    assert_eq!(post(&rotated).await, passed());
}

/// Of two credentials of one application the first in the order of the list is the caller, and has its own scopes alone.
#[tokio::test]
async fn the_scopes_of_the_other_credential_do_not_count() {
    let world = World::start(|_| {}).await;
    let wish = json!({"limits": {"scopes": ["pets:read"]}});
    let (_, reads) = world.key(&world.api.app, wish).await;
    let plain = client(None);
    // The token has the scope that `POST` asks for, the key has another one.
    let call = async || {
        let request = world.post(&plain).bearer_auth(&world.api.token);
        answer(request.header("x-api-key", &reads)).await
    };
    let (token, key) = (json!({"jwt": {}}), json!({"apiKey": {}}));
    for (order, expected) in [
        ([&token, &key], passed()),
        ([&key, &token], refused(403, "SCOPE_INSUFFICIENT")),
    ] {
        world.security(json!([{ "allOf": order }])).await;
        assert_eq!(call().await, expected, "{order:?}");
    }
}

/// Several requirements of an operation are alternatives; the schemes of one are needed together.
///
/// req: GW5
#[tokio::test]
async fn scopes_of_one_alternative_are_enough_and_all_of_it_are_needed() {
    let world = World::start(|_| {}).await;
    world.secret("partners/users", &made_line("alice", "correct horse").await);
    let definition = r"
openapi: 3.1.0
info: {title: Pets, version: 1.0.0}
security: [{one: [a], two: [b]}, {one: [c]}]
paths:
  /pets:
    get: {responses: {'200': {description: ok}}}
    post: {security: [], responses: {'200': {description: ok}}}
components:
  securitySchemes:
    one: {type: oauth2, flows: {clientCredentials: {tokenUrl: /t, scopes: {a: A, c: C}}}}
    two: {type: oauth2, flows: {clientCredentials: {tokenUrl: /t, scopes: {b: B}}}}
";
    let plain = client(None);
    let alice = |request: RequestBuilder| request.basic_auth("alice", Some("correct horse"));
    for (held, expected) in [
        (json!(["a", "b"]), passed()),
        (json!(["c"]), passed()),
        (json!(["a"]), refused(403, "SCOPE_INSUFFICIENT")),
        (json!(["b", "x"]), refused(403, "SCOPE_INSUFFICIENT")),
    ] {
        let users = world.users(&json!({ "scopes": held }));
        world
            .change(|spec| {
                spec["definition"] = json!({ "inline": definition });
                spec["security"] = json!([users]);
            })
            .await;
        let got = answer(alice(world.get(&plain, "/pets"))).await;
        assert_eq!(got, expected, "{held}");
        // An operation without requirements needs no scope, but a caller, since the document says who may call.
        assert_eq!(answer(alice(world.post(&plain))).await, passed());
        let missing = refused(401, "CREDENTIALS_MISSING");
        assert_eq!(answer(world.post(&plain)).await, missing);
    }
}

/// Of several credentials one is the caller, and its scopes are its own.
#[tokio::test]
async fn all_of_them_are_of_one_application_and_one_environment() {
    let world = World::start(|_| {}).await;
    world
        .sandbox
        .subscribe("rival", "pets", "Gold")
        .await
        .unwrap();
    let (_, rival) = world.key("rival", json!({})).await;
    let trial = json!({"environment": "sandbox"});
    let (_, trial) = world.key(&world.api.app, trial).await;
    world
        .security(json!([{"allOf": [{"jwt": {}}, {"apiKey": {}}]}]))
        .await;
    let plain = client(None);
    let call = async |key: &str| {
        let request = world.get(&plain, "/pets").bearer_auth(&world.api.token);
        answer(request.header("x-api-key", key)).await
    };
    assert_eq!(call(&world.api.key).await, passed());
    let conflict = refused(401, "CREDENTIALS_CONFLICT");
    assert_eq!(call(&rival).await, conflict);
    assert_eq!(call(&trial).await, conflict);

    // The certificate has the scope; the caller is the user, who is the application and has none.
    world.secret("partners/users", &made_line("alice", "correct horse").await);
    let root = Authority::root("partners");
    let till = client(Some(&root.issue("till", 7, |_| {})));
    let tls = json!({"mutualTls": {"ca": {"inline": root.pem()}, "scopes": ["pets:write"]}});
    let users = world.users(&json!({}));
    world.security(json!([{"allOf": [tls, users]}])).await;
    let alice = |request: RequestBuilder| request.basic_auth("alice", Some("correct horse"));
    assert_eq!(answer(alice(world.get(&till, "/pets"))).await, passed());
    let insufficient = refused(403, "SCOPE_INSUFFICIENT");
    assert_eq!(answer(alice(world.post(&till))).await, insufficient);
}

/// What belongs to no way of the list is the backend's own, and none of the gateway's.
#[tokio::test]
async fn credentials_for_the_backend_pass_where_nobody_has_to_be_known() {
    let world = World::start(|_| {}).await;
    world
        .change(|spec| {
            spec["security"] = json!([{"apiKey": {}}, {"optional": true}]);
            spec["operations"] = json!([{"match": "GET /pets/{id}", "security": []}]);
        })
        .await;
    let plain = client(None);
    for path in ["/pets", "/pets/7"] {
        let request = world.get(&plain, path).basic_auth("own", Some("backend"));
        assert_eq!(answer(request).await, passed(), "{path}");
        let seen = world.backend.seen();
        let got = &seen.last().unwrap().headers["authorization"];
        let expected = format!("Basic {}", STANDARD.encode("own:backend"));
        assert_eq!(got.to_str().unwrap(), expected, "{path}");
    }
}

/// A caller that is no application has no subscription; a prototype needs none.
#[tokio::test]
async fn a_prototype_takes_callers_that_are_no_application() {
    let world = World::start(|_| {}).await;
    let root = Authority::root("partners");
    let tls = json!({"mutualTls": {"ca": {"inline": root.pem()}}});
    world.security(json!([tls])).await;
    let till = client(Some(&root.issue("till", 7, |_| {})));
    let call = async || answer(world.get(&till, "/pets")).await;
    assert_eq!(call().await, refused(403, "SUBSCRIPTION_MISSING"));
    let path = format!("/apis/{}/lifecycle", world.api.name);
    let body = json!({"state": "Prototyped"});
    let set = world.sandbox.call(Method::POST, &path, Some(body)).await;
    set.unwrap();
    assert_eq!(call().await, passed());
}

/// Listeners of a `Gateway` document ask for certificates, or take them from a proxy.
///
/// req: S6
#[tokio::test]
async fn listeners_of_a_gateway_ask_for_certificates_and_take_forwarded_ones() {
    let world = World::start(|_| {}).await;
    let root = Authority::root("partners");
    world.secret("partners/ca.crt", &root.pem());
    let tls = json!({"mutualTls": {"ca": {"secretRef": "partners"}, "application": world.api.app}});
    world.security(json!([tls])).await;
    let of = |mode: &str| json!({"mode": mode, "caSecretRef": "partners"});
    let path = "/gateways/default";
    // A port that was free a moment ago may be somebody's by now.
    let (asks, requires, proxied) = loop {
        let ports = (parts::free_port(), parts::free_port(), parts::free_port());
        let listeners = json!([
            {"port": ports.0, "protocol": "HTTPS", "clientCertificates": of("request")},
            {"port": ports.1, "protocol": "HTTPS", "clientCertificates": of("require")},
            {"port": ports.2, "protocol": "HTTP", "forwardedCertificate": {"from": ["127.0.0.0/8"], "header": "Client-Cert"}},
        ]);
        let document = json!({"kind": "Gateway", "metadata": {"name": "default"}, "spec": {"listeners": listeners}});
        let put = world.sandbox.call(Method::PUT, path, Some(document));
        put.await.unwrap();
        let gateway = world.sandbox.call(Method::GET, path, None).await.unwrap();
        let conditions = gateway["status"]["conditions"].as_array().unwrap();
        let listening = conditions.iter().find(|found| found["type"] == "Listening");
        if listening.unwrap()["status"] == true {
            break ports;
        }
    };

    let own = root.issue("till", 7, |_| {});
    let foreign = Authority::root("partners").issue("till", 7, |_| {});
    let get = |client: &Client, port: u16| {
        client.get(format!("https://127.0.0.1:{port}/pets/1.0.0/pets"))
    };
    let missing = refused(401, "CREDENTIALS_MISSING");
    for port in [asks, requires] {
        assert_eq!(answer(get(&client(Some(&own)), port)).await, passed());
        // The handshake ends: with TLS 1.3 the client hears of it when it reads.
        let ended = get(&client(Some(&foreign)), port).send().await;
        assert!(ended.is_err(), "{port}");
    }
    assert_eq!(answer(get(&client(None), asks)).await, missing);
    assert!(get(&client(None), requires).send().await.is_err());

    let url = format!("http://127.0.0.1:{proxied}/pets/1.0.0/pets");
    let forwarded = |field: &str, shown: &Issued| {
        let value = format!(":{}:", STANDARD.encode(&shown.der));
        world.sandbox.http.get(&url).header(field, value)
    };
    assert_eq!(answer(forwarded("client-cert", &own)).await, passed());
    let invalid = refused(401, "CERTIFICATE_INVALID");
    assert_eq!(answer(forwarded("client-cert", &foreign)).await, invalid);
    // Under another name it is none.
    let other = forwarded("ssl-client-cert", &own);
    assert_eq!(answer(other).await, missing);
    let twice = forwarded("client-cert", &own).header("client-cert", "x");
    assert_eq!(answer(twice).await, missing);
}
