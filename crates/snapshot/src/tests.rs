//! Matching, by example and against a simple model.

use proptest::prelude::*;

use super::*;
use policy::{Access, Chain};

fn operation(label: &str) -> Operation {
    Operation {
        chain: Chain::new(Vec::new(), Access::Open).into(),
        targets: Arc::default(),
        mark: Mark::default(),
        label: label.into(),
        template: label.into(),
    }
}

fn builder(templates: &[&str]) -> RouterBuilder {
    let mut router = RouterBuilder::default();
    for template in templates {
        router
            .insert(template, Method::GET, operation(template))
            .unwrap();
    }
    router
}

fn router(templates: &[&str]) -> Router {
    builder(templates).build()
}

fn api(name: &str, vhosts: &[&str], mounts: &[&str], templates: &[&str]) -> Arc<Api> {
    Arc::new(Api {
        org: Org::default_org(),
        name: name.into(),
        api: name.into(),
        version: "1".into(),
        vhosts: vhosts.iter().map(ToString::to_string).collect(),
        mounts: mounts.iter().map(ToString::to_string).collect(),
        gate: Gate::Serve,
        router: router(templates),
        preflight: Chain::new(Vec::new(), Access::Open),
        protected: None,
        backend_keys: Box::default(),
        digest: base::Digest::of(name.as_bytes()),
    })
}

fn found(snapshot: &Snapshot, host: &str, path: &str) -> Option<(String, String, String)> {
    match snapshot.find(host, path, &Method::GET) {
        Found::Operation {
            api,
            operation,
            rest_at,
        } => Some((
            api.name.clone(),
            operation.label.to_string(),
            path[rest_at..].to_owned(),
        )),
        _ => None,
    }
}

fn label(router: &Router, path: &str) -> Option<String> {
    router
        .find(path)
        .and_then(|methods| methods.get(&Method::GET))
        .map(|operation| operation.label.to_string())
}

#[test]
fn literal_before_mixed_before_parameter_and_back() {
    let router = router(&[
        "/",
        "/pets/{id}",
        "/pets/mine",
        "/pets/{id}/toys",
        "/pets/mine/{x}/y",
        "/report.{format}",
        "/{name}",
        "/{a}-{b}",
        "/trailing/",
    ]);
    for (path, expected) in [
        ("", Some("/")),
        ("/", Some("/")),
        ("/pets/7", Some("/pets/{id}")),
        ("/pets/mine", Some("/pets/mine")),
        ("/pets/mine/toys", Some("/pets/{id}/toys")),
        ("/pets/mine/1/y", Some("/pets/mine/{x}/y")),
        ("/pets/", None),
        ("/pets//toys", None),
        ("/report.pdf", Some("/report.{format}")),
        ("/report.", Some("/{name}")),
        ("/a-b", Some("/{a}-{b}")),
        ("/-", Some("/{name}")),
        ("/a-b-c", Some("/{a}-{b}")),
        ("/trailing/", Some("/trailing/")),
        ("/trailing", Some("/{name}")),
        ("/nothing/here", None),
    ] {
        assert_eq!(label(&router, path).as_deref(), expected, "{path}");
    }
}

#[test]
fn same_shape_twice_is_refused() {
    let mut router = builder(&["/pets/{id}"]);
    assert_eq!(
        router.insert("/pets/{name}", Method::GET, operation("x")),
        Err(RouterError::Duplicate)
    );
    assert_eq!(
        router.insert("/pets/{name}", Method::PUT, operation("x")),
        Ok(())
    );
    for bad in ["pets", "/{", "/}", "/{}", "/{a{b}}"] {
        assert!(
            router.insert(bad, Method::GET, operation("x")).is_err(),
            "{bad}"
        );
    }
}

#[test]
fn head_falls_to_get_and_allow_is_complete() {
    let router = router(&["/pets"]);
    let methods = router.find("/pets").unwrap();
    assert!(methods.get(&Method::HEAD).is_some());
    assert!(methods.get(&Method::POST).is_none());
    assert_eq!(methods.allowed().to_string(), "GET, HEAD, OPTIONS");
}

#[test]
fn methods_that_openapi_does_not_know_are_told_apart() {
    let mut router = RouterBuilder::default();
    let own = |name: &str| Method::from_bytes(name.as_bytes()).unwrap();
    for method in [own("QUERY"), Method::PATCH, own("PURGE")] {
        let label = method.to_string();
        router.insert("/pets", method, operation(&label)).unwrap();
    }
    let router = router.build();
    let methods = router.find("/pets").unwrap();
    for name in ["QUERY", "PATCH", "PURGE"] {
        let operation = methods.get(&own(name)).unwrap();
        assert_eq!(&*operation.label, name);
    }
    assert!(methods.get(&own("LOCK")).is_none() && methods.get(&Method::HEAD).is_none());
    assert_eq!(
        methods.allowed().to_string(),
        "OPTIONS, PATCH, PURGE, QUERY"
    );
    assert!(RouterBuilder::default().build().find("/").is_none());
}

#[test]
fn explicit_version_wins_over_a_template_of_the_default_version() {
    let (snapshot, conflicts) = Snapshot::new(
        1,
        [
            api("orders-1", &[], &["/orders/1.0.0"], &["/x"]),
            api(
                "orders-2",
                &[],
                &["/orders/2.0.0", "/orders"],
                &["/x", "/{any}/x", "/{any}"],
            ),
        ],
        [],
    );
    assert!(conflicts.is_empty());
    let got = |path| {
        found(&snapshot, "h", path).map(|(api, label, rest)| format!("{api} {label} {rest}"))
    };
    assert_eq!(got("/orders/1.0.0/x").as_deref(), Some("orders-1 /x /x"));
    assert_eq!(got("/orders/2.0.0/x").as_deref(), Some("orders-2 /x /x"));
    assert_eq!(got("/orders/x").as_deref(), Some("orders-2 /x /x"));
    assert_eq!(
        got("/orders/3.0.0/x").as_deref(),
        Some("orders-2 /{any}/x /3.0.0/x")
    );
    // The version's own mount answers, even though the default version has a template that would fit.
    assert_eq!(got("/orders/1.0.0"), None);
    assert_eq!(got("/ordersx/x"), None);
}

#[test]
fn hosts_go_before_every_host() {
    let (snapshot, conflicts) = Snapshot::new(
        1,
        [
            api("a", &["a.example"], &["/x"], &["/y"]),
            api("b", &[], &["/x", "/x/y"], &["/y", "/"]),
        ],
        [],
    );
    assert!(conflicts.is_empty());
    assert_eq!(found(&snapshot, "a.example", "/x/y").unwrap().0, "a");
    assert_eq!(found(&snapshot, "b.example", "/x/y").unwrap().0, "b");
}

#[test]
fn first_by_name_keeps_a_mount() {
    let (snapshot, conflicts) = Snapshot::new(
        1,
        [
            api("b", &[], &["/x"], &["/y"]),
            api("a", &[], &["/x"], &["/y"]),
        ],
        [],
    );
    assert_eq!(found(&snapshot, "h", "/x/y").unwrap().0, "a");
    assert_eq!(
        conflicts,
        [Conflict {
            host: None,
            mount: "/x".into(),
            holder: "a".into(),
            loser: "b".into()
        }]
    );
}

/// The rule in its plainest form: of the templates that fit segment by segment, the one whose first differing
/// segment is the more concrete.
fn model(templates: &[String], path: &str) -> Option<String> {
    let segments: Vec<&str> = path[1..].split('/').collect();
    let rank = |template: &str| -> Option<Vec<u8>> {
        let parsed = Segment::parse_all(template).unwrap();
        (parsed.len() == segments.len()
            && parsed
                .iter()
                .zip(&segments)
                .all(|(pattern, text)| pattern.matches(text)))
        .then(|| {
            parsed
                .iter()
                .map(|segment| u8::from(*segment == Segment::Parameter))
                .collect()
        })
    };
    templates
        .iter()
        .filter_map(|template| Some((rank(template)?, template)))
        .min()
        .map(|(_, template)| template.clone())
}

proptest! {
    #[test]
    fn router_agrees_with_the_model(
        templates in prop::collection::btree_set("(/(a|b|c|\\{p\\})){1,4}", 1..20),
        path in "(/(a|b|c|d)){1,4}",
    ) {
        let templates: Vec<String> = templates.into_iter().collect();
        let refs: Vec<&str> = templates.iter().map(String::as_str).collect();
        prop_assert_eq!(label(&router(&refs), &path), model(&templates, &path));
    }

    #[test]
    fn matching_never_panics(template in "/[a-z{}./-]{0,20}", path in "/\\PC{0,30}") {
        let mut router = RouterBuilder::default();
        if router.insert(&template, Method::GET, operation("x")).is_ok() {
            let _ = router.build().find(&path);
        }
    }
}
