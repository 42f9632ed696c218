//! The rules of the life cycle, of references and of failing closed.

use base::Org;
use compile::{Names, World};
use http::Method;
use policy::Access;
use serde_json::json;
use snapshot::{Found, Gate, Snapshot};
use spec::{
    ApiSpec, BackendRef, BackendSpec, Backends, Definition, Document, Lifecycle, PolicyEntry, Spec,
};

const DEFINITION: &str = "openapi: 3.1.0
info: {title: t, version: '1'}
paths:
  /pets: {get: {operationId: pets_list}, post: {}}
  /pets/{id}: {get: {operationId: pet_get}}
";

fn api(change: impl FnOnce(&mut ApiSpec)) -> Document {
    let mut api = ApiSpec::new(
        "pets",
        "1.0.0",
        "/pets",
        Definition::Inline(DEFINITION.to_owned()),
    );
    api.lifecycle = Lifecycle::Published;
    api.backends = Some(Backends::new(
        Some(BackendRef::Inline(Box::new(BackendSpec::at(
            "http://backend:9000",
        )))),
        None,
    ));
    change(&mut api);
    Document::api(api)
}

fn reduce(document: &Document) -> sync::ApiModel {
    let reduced = compile::check(
        &Org::default_org(),
        document,
        DEFINITION,
        1_000,
        &World::default(),
    );
    reduced
        .unwrap_or_else(|problems| panic!("{problems:#?}"))
        .model
}

fn faults(document: &Document, world: &World) -> Vec<String> {
    let problems =
        compile::check(&Org::default_org(), document, DEFINITION, 1_000, world).unwrap_err();
    let errors = problems
        .iter()
        .filter(|problem| problem.severity == base::Severity::Error);
    errors
        .map(|problem| format!("{} {}", problem.rule, problem.pointer))
        .collect()
}

#[test]
fn states_become_gates_and_only_serving_ones_route() {
    for (state, gate, routed) in [
        (Lifecycle::Created, Gate::NotPublished, false),
        (Lifecycle::Prototyped, Gate::Serve, true),
        (Lifecycle::Published, Gate::Serve, true),
        (Lifecycle::Blocked, Gate::Blocked, false),
        (Lifecycle::Deprecated, Gate::Serve, true),
        (Lifecycle::Retired, Gate::Retired, false),
    ] {
        let model = reduce(&api(|api| api.lifecycle = state));
        let built = compile::build(&model).api;
        assert_eq!(built.gate, gate, "{state}");
        assert_eq!(built.router.is_empty(), !routed, "{state}");
        assert_eq!(built.mounts, ["/pets/1.0.0"]);
        assert_eq!(
            model.subscription_required,
            state != Lifecycle::Prototyped,
            "{state}"
        );
    }
}

#[test]
fn a_deprecation_has_its_dates() {
    let model = reduce(&api(|api| {
        api.lifecycle = Lifecycle::Deprecated;
        api.sunset = Some("1970-01-02".parse().unwrap());
    }));
    let sync::Gate::Serve {
        deprecation: Some(signals),
    } = &model.gate
    else {
        panic!("{:?}", model.gate)
    };
    assert_eq!(
        (signals.since_unix_s, signals.sunset_unix_s),
        (1_000, Some(86_400))
    );
    // One policy more, also for answers that no operation made.
    let plain = compile::build(&reduce(&api(|_| {}))).api;
    let deprecated = compile::build(&model).api;
    assert_eq!(deprecated.preflight.len(), plain.preflight.len() + 1);
}

#[test]
fn references_are_checked_where_names_are_known() {
    let document = api(|api| {
        api.plans = vec!["Gold".to_owned(), "Glod".to_owned()];
        api.backends = Some(Backends::new(
            Some(BackendRef::Name("order".to_owned())),
            None,
        ));
        api.operations = vec![operation(
            json!({"match": "GET /pets", "backend": "nowhere"}),
        )];
    });
    let known = |names: &[&str]| Names::Known(names.iter().map(ToString::to_string).collect());
    let world = World {
        backends: known(&["orders"]),
        plans: known(&["Gold"]),
        gateways: known(&["edge"]),
        issuers: Names::Unknown,
    };
    assert_eq!(
        faults(&document, &world),
        [
            "unknown-reference /spec/plans/1",
            "unknown-reference /spec/deployments/0/gateway",
            "unknown-reference /spec/backends/production",
            "unknown-reference /spec/operations/0/backend",
        ]
    );
    // `tollway validate` without a platform knows no names.
    reduce(&document);
}

fn operation(value: serde_json::Value) -> spec::OperationSpec {
    serde_json::from_value(value).unwrap()
}

#[test]
fn faults_of_policies_are_all_reported_once_with_their_place() {
    let document = api(|api| {
        api.policies = vec![
            PolicyEntry::new("timeout", json!("0s")),
            PolicyEntry::new("setHeader", json!({})),
        ];
        api.operations = vec![
            operation(json!({"match": "GET /pets", "policies": [{"timeout": 5}]})),
            operation(json!({"match": "PUT /pets", "policies": [{"timeout": 5}]})),
        ];
    });
    assert_eq!(
        faults(&document, &World::default()),
        [
            "unknown-operation /spec/operations/1/match",
            "timeout-range /spec/policies/0/timeout",
            "unknown-policy /spec/policies/1/setHeader",
            "unit-missing /spec/operations/0/policies/0/timeout",
        ]
    );
}

#[test]
fn problems_are_counted() {
    let many = |policy: &str, count: usize| {
        let named = |index| {
            operation(json!({"match": format!("GET /x{index}"), "policies": [{policy: {}}]}))
        };
        (0..count).map(named).collect::<Vec<_>>()
    };
    let document = api(|api| api.operations = many("timeout", 5_000));
    assert_eq!(
        faults(&document, &World::default()).len(),
        compile::PROBLEMS_MAX
    );
    let mut model = reduce(&api(|_| {}));
    let template = model.operations[0].clone();
    model.operations = (0..5_000)
        .map(|index| sync::OperationModel {
            template: format!("/x{index}"),
            policies: vec![sync::PolicyUse {
                policy: "none".to_owned(),
                config: json!({}),
                pointer: String::new(),
            }],
            ..template.clone()
        })
        .collect();
    let built = compile::build(&model);
    assert_eq!(built.diagnostics.0.len(), compile::PROBLEMS_MAX);
    assert_eq!(built.api.gate, Gate::Broken);
}

#[test]
fn a_faulty_model_is_broken_alone_and_the_others_serve() {
    let mut faulty = reduce(&api(|api| api.name = "broken".to_owned()));
    faulty.name = "broken-1".to_owned();
    faulty.context = "/broken".to_owned();
    faulty.policies = vec![sync::PolicyUse {
        policy: "fromTheFuture".to_owned(),
        config: json!({}),
        pointer: "/spec/policies/0/fromTheFuture".to_owned(),
    }];
    let built = compile::build(&faulty);
    assert_eq!(
        (built.api.gate, built.api.router.is_empty()),
        (Gate::Broken, true)
    );
    assert_eq!(
        built.diagnostics.0[0].pointer,
        "/spec/policies/0/fromTheFuture"
    );
    let good = compile::build(&reduce(&api(|_| {})));
    let (snapshot, _) = Snapshot::new(1, [built.api, good.api], []);
    assert!(matches!(
        snapshot.find("h", "/pets/1.0.0/pets", &Method::GET),
        Found::Operation { .. }
    ));
    assert!(matches!(
        snapshot.find("h", "/broken/1.0.0/pets", &Method::GET),
        Found::NoOperation { api } if api.gate == Gate::Broken
    ));
    // What did not even reduce, answers at its mounts too.
    let document = api(|_| {});
    let model = compile::broken(
        &Org::default_org(),
        document.name(),
        document.as_api().unwrap(),
    );
    let built = compile::build(&model).api;
    assert_eq!(
        (built.gate, built.mounts.as_slice()),
        (Gate::Broken, &["/pets/1.0.0".to_owned()][..])
    );
}

#[test]
fn access_is_open_only_where_the_document_says_so() {
    let access = |document: &Document, path: &str| {
        let (snapshot, _) = Snapshot::new(1, [compile::build(&reduce(document)).api], []);
        match snapshot.find("h", path, &Method::GET) {
            Found::Operation { operation, .. } => operation.chain.access(),
            _ => panic!("{path} is not routed"),
        }
    };
    let closed = api(|_| {});
    assert_eq!(access(&closed, "/pets/1.0.0/pets"), Access::Authenticated);
    let open = api(|api| api.security = Vec::new());
    assert_eq!(access(&open, "/pets/1.0.0/pets"), Access::Open);
    let partly =
        api(|api| api.operations = vec![operation(json!({"match": "GET /pets", "security": []}))]);
    assert_eq!(access(&partly, "/pets/1.0.0/pets"), Access::Open);
    assert_eq!(access(&partly, "/pets/1.0.0/pets/7"), Access::Authenticated);
}

#[test]
fn digests_follow_contents() {
    let model = reduce(&api(|_| {}));
    assert_eq!(model.digest, reduce(&api(|_| {})).digest);
    let other = reduce(&api(|api| {
        api.policies = vec![PolicyEntry::new("timeout", json!("5s"))];
    }));
    assert_ne!(model.digest, other.digest);
    assert_eq!(model.backends[0].digest, other.backends[0].digest);
}

#[test]
fn other_kinds_are_no_apis() {
    let plan = Document::new("Gold", Spec::Plan(spec::PlanSpec::default()));
    let refused = compile::check(&Org::default_org(), &plan, DEFINITION, 0, &World::default());
    assert_eq!(refused.unwrap_err().0[0].rule, "kind");
    assert!(compile::reduce_backend(&Org::default_org(), &plan).is_none());
    assert!(compile::reduce_plan(&Org::default_org(), &api(|_| {})).is_none());
    assert_eq!(
        compile::reduce_plan(&Org::default_org(), &plan)
            .unwrap()
            .quota,
        None
    );
}

/// What was accepted once stays served, whatever rules came later.
#[test]
fn rules_judge_new_definitions_only() {
    let strict = DEFINITION.replace("operationId: pet_get", "operationId: pets_list");
    let document = api(|_| {});
    let org = Org::default_org();
    let world = World::default();
    let refused = compile::check(&org, &document, &strict, 0, &world).unwrap_err();
    let errors = refused
        .iter()
        .filter(|one| one.severity == base::Severity::Error);
    let rules: Vec<_> = errors.map(|one| one.rule.as_str()).collect();
    assert_eq!(rules, ["duplicate-operation-id"]);
    let stored = compile::reduce(&org, &document, &strict, 0, &world).unwrap();
    assert_eq!(stored.model.operations.len(), 3);
    compile::check_stored(&org, &document, &strict, 0, &world).unwrap();
    // The document says otherwise.
    let lenient = api(|api| {
        let rules = [(
            "duplicate-operation-id".to_owned(),
            spec::RuleSeverity::Warning,
        )];
        api.definition.rules = rules.into();
    });
    let taken = compile::check(&org, &lenient, &strict, 0, &world).unwrap();
    assert!(
        taken
            .warnings
            .iter()
            .any(|one| one.rule == "duplicate-operation-id")
    );
    let tight = tree::Limits {
        bytes_max: 10,
        ..tree::Limits::default()
    };
    compile::check_within(&org, &document, DEFINITION, 0, &world, &tight).unwrap_err();
}
