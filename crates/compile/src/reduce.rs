//! Step one: a document and its definition to a model, with all that is wrong reported at once.

use std::collections::{BTreeMap, BTreeSet};

use base::{Diagnostic, Diagnostics, Digest, Org};
use openapi::{Definition, Rules};
use serde_json::{Value, json};
use spec::{
    ApiSpec, ApplicationSpec, AskMode, Document, Lifecycle, ListenerProtocol, OperationSpec,
    PlanSpec, PolicyEntry, Spec,
};
use sync::model::Deprecation;
use sync::{
    ApiModel, BackendModel, ClientCertificatesModel, DenyModel, ForwardedCertificateModel, Gate,
    ListenerModel, Measure, OperationModel, PlanModel, PolicyUse, Quota,
};
use tree::Limits;

use crate::PROBLEMS_MAX;
use crate::own::Backends;
use crate::security::security;
use crate::upstream::backend_model;

/// Overrides of unknown operations for which a similar one is looked for.
const SUGGESTIONS_MAX: usize = 10;

/// What references of a document may name.
#[derive(Clone, Debug, Default)]
pub struct World {
    /// Names of `Backend` documents.
    pub backends: Names,
    /// Names of `Plan` documents.
    pub plans: Names,
    /// Names of `Gateway` documents.
    pub gateways: Names,
    /// Names of `TokenIssuer` documents.
    pub issuers: Names,
}

/// A set of names.
#[derive(Clone, Debug, Default)]
pub enum Names {
    /// Nobody knows them here (`tollway validate` without a platform): every name is taken.
    #[default]
    Unknown,
    /// These.
    Known(BTreeSet<String>),
}

impl Names {
    pub(crate) fn check(
        &self,
        kind: &str,
        name: &str,
        pointer: String,
        diagnostics: &mut Diagnostics,
    ) {
        let Self::Known(names) = self else { return };
        if names.contains(name) {
            return;
        }
        let fault = Diagnostic::error(
            "unknown-reference",
            pointer,
            format!("there is no {kind} `{name}`"),
        );
        diagnostics.push(
            match spec::nearest(name, names.iter().map(String::as_str)) {
                Some(near) => fault.mend(format!("did you mean `{near}`?")),
                None => fault.mend(format!("create the {kind} first, or in the same `apply`")),
            },
        );
    }
}

/// A reduced API.
#[derive(Clone, PartialEq, Debug)]
pub struct Reduced {
    /// What nodes get.
    pub model: ApiModel,
    /// What the author should know although it is served.
    pub warnings: Diagnostics,
}

/// Reduces an API whose definition was accepted before. Rules are not looked at: what came after it was accepted, may
/// not take it away, and thousands of definitions have to be read when a control plane starts.
///
/// `changed_at_unix_s` is when the document was written: the beginning of a deprecation.
///
/// # Errors
/// Every problem of the document and its definition. Those of the definition have its file, line and column; those of
/// the document have a pointer, and whoever has its text adds the position.
pub fn reduce(
    org: &Org,
    document: &Document,
    definition: &str,
    changed_at_unix_s: u64,
    world: &World,
) -> Result<Reduced, Diagnostics> {
    let reading = Reading::Stored;
    let (model, found) = attempt(
        org,
        document,
        (definition, reading),
        changed_at_unix_s,
        world,
    );
    match model {
        Some(model) if !found.has_errors() => Ok(Reduced {
            model,
            warnings: found,
        }),
        _ => Err(found),
    }
}

/// How a definition is read.
#[derive(Clone, Copy)]
pub(crate) enum Reading<'l> {
    /// It was accepted before: no rule and no limit that came later may refuse it.
    Stored,
    /// It is held against all rules, within these limits.
    New(&'l Limits),
}

/// Reads a definition. What the document says wrong of rules is added to `found`.
fn read(
    api: &ApiSpec,
    definition: &str,
    reading: Reading<'_>,
    found: &mut Diagnostics,
) -> Result<openapi::Read, Diagnostics> {
    match reading {
        Reading::Stored => openapi::read(definition, &Limits::accepted()),
        Reading::New(limits) => openapi::check(definition, limits, &rules(api, found)),
    }
}

/// The severities that a document asks for.
fn rules(api: &ApiSpec, found: &mut Diagnostics) -> Rules {
    let mut rules = Rules::default();
    for (id, severity) in &api.definition.rules {
        if let Err(error) = rules.set(id, *severity) {
            let pointer = tree::pointer::join("/spec/definition/rules", id);
            let fault = Diagnostic::error("definition-rule", pointer, error.to_string());
            found.push(fault.mend(error.mend()));
        }
    }
    rules
}

/// What can be made of an API, and all that is wrong with it. Without errors there is a model; with errors the model
/// lacks what could not be understood, and serves only to find faults of policies in the same pass.
pub(crate) fn attempt(
    org: &Org,
    document: &Document,
    (definition, reading): (&str, Reading<'_>),
    changed_at_unix_s: u64,
    world: &World,
) -> (Option<ApiModel>, Diagnostics) {
    let Some(api) = document.as_api() else {
        let fault = Diagnostic::error("kind", "/kind", format!("a {} is no Api", document.kind()));
        return (None, Diagnostics(vec![fault]));
    };
    let mut found = Diagnostics::default();
    references(api, world, &mut found);
    let mut model = empty(org, document.name(), api, gate(api, changed_at_unix_s));
    match read(api, definition, reading, &mut found) {
        Ok(read) => {
            found.extend(in_definition(api, read.warnings));
            fill(&mut model, api, &read.definition, &mut found);
        }
        Err(faults) => {
            found.extend(in_definition(api, faults));
            model.cors = cors(api, None);
        }
    }
    model.digest = digest(&model);
    (Some(model), found)
}

/// Adds what comes from the definition.
fn fill(model: &mut ApiModel, api: &ApiSpec, definition: &Definition, found: &mut Diagnostics) {
    let mut backends = Backends::of(&model.org, &model.name, api, definition);
    model.cors = cors(api, Some(definition));
    let operations = operations(api, &mut backends, definition, found);
    backends.check(&operations, found);
    model.backends = backends.into_models();
    if api.lifecycle != Lifecycle::Retired {
        model.operations = operations;
    }
}

/// What a node gets of an API that does not reduce: its mounts, which answer `API_BROKEN`, or that it is retired.
#[must_use]
pub fn broken(org: &Org, name: &str, api: &ApiSpec) -> ApiModel {
    let gate = match api.lifecycle {
        Lifecycle::Retired => Gate::Retired,
        _ => Gate::Broken,
    };
    let mut model = empty(org, name, api, gate);
    model.digest = digest(&model);
    model
}

/// A model with all that the document says by itself.
fn empty(org: &Org, name: &str, api: &ApiSpec, gate: Gate) -> ApiModel {
    ApiModel {
        org: org.clone(),
        name: name.to_owned(),
        api: api.name.clone(),
        version: api.version.clone(),
        context: api.context.clone(),
        default_version: api.default_version,
        vhosts: api
            .vhosts
            .iter()
            .map(|host| host.to_ascii_lowercase())
            .collect(),
        gate,
        security: security(&api.security, "/spec/security"),
        subscription_required: api.lifecycle != Lifecycle::Prototyped,
        cors: None,
        transports: transports(api),
        policies: policies(&api.policies, "/spec/policies"),
        operations: Vec::new(),
        backends: Vec::new(),
        digest: Digest::from_bytes([0; 32]),
    }
}

pub(crate) fn digest(model: &impl serde::Serialize) -> Digest {
    Digest::of(&serde_json::to_vec(model).expect("models have string keys only"))
}

fn gate(api: &ApiSpec, changed_at_unix_s: u64) -> Gate {
    match api.lifecycle {
        Lifecycle::Created => Gate::NotPublished,
        Lifecycle::Prototyped | Lifecycle::Published => Gate::Serve { deprecation: None },
        Lifecycle::Blocked => Gate::Blocked,
        Lifecycle::Retired => Gate::Retired,
        Lifecycle::Deprecated => Gate::Serve {
            deprecation: Some(Deprecation {
                since_unix_s: changed_at_unix_s,
                sunset_unix_s: api.sunset.map(spec::Date::unix_s),
            }),
        },
    }
}

fn references(api: &ApiSpec, world: &World, found: &mut Diagnostics) {
    for (index, plan) in api.plans.iter().enumerate() {
        world
            .plans
            .check("Plan", plan, format!("/spec/plans/{index}"), found);
    }
    for (index, deployment) in api.deployments.iter().enumerate() {
        world.gateways.check(
            "Gateway",
            &deployment.gateway,
            format!("/spec/deployments/{index}/gateway"),
            found,
        );
    }
    for (name, pointer) in api.backend_names() {
        world.backends.check("Backend", name, pointer, found);
    }
}

/// Problems of the definition name its file, so that nobody looks for them in the document. Those of another file than
/// the root name it themselves.
fn in_definition(api: &ApiSpec, faults: Diagnostics) -> impl Iterator<Item = Diagnostic> {
    let file = match &api.definition.at {
        spec::Definition::File(file) => file.clone(),
        spec::Definition::Inline(_) => "definition".to_owned(),
    };
    faults.into_iter().map(move |fault| match fault.file {
        Some(_) => fault,
        None => fault.in_file(file.clone()),
    })
}

fn policies(entries: &[PolicyEntry], pointer: &str) -> Vec<PolicyUse> {
    let used = |(index, entry): (usize, &PolicyEntry)| {
        let (policy, config) = entry.parts();
        PolicyUse {
            policy: policy.to_owned(),
            config: config.clone(),
            pointer: format!(
                "{pointer}/{index}/{}",
                policy.replace('~', "~0").replace('/', "~1")
            ),
        }
    };
    entries.iter().enumerate().map(used).collect()
}

/// The configuration of `transports`, where not every call is let in.
fn transports(api: &ApiSpec) -> Option<Value> {
    let all = [spec::Transport::Http, spec::Transport::Https];
    let every = all
        .iter()
        .all(|transport| api.transports.contains(transport));
    (!every).then(|| json!({"allow": api.transports}))
}

/// The configuration of `cors`; methods that the document leaves out are those of the definition.
fn cors(api: &ApiSpec, definition: Option<&Definition>) -> Option<Value> {
    let mut config = serde_json::to_value(api.cors.as_ref()?).expect("specs have string keys only");
    let members = config.as_object_mut().expect("`Cors` is a struct");
    members.retain(|key, _| !key.starts_with("x-"));
    if let Some(definition) = definition {
        let operations = definition.operations.iter();
        let methods: BTreeSet<String> = operations
            .map(|operation| operation.method.to_string())
            .collect();
        members
            .entry("allowMethods")
            .or_insert_with(|| json!(methods));
    }
    Some(config)
}

fn operations(
    api: &ApiSpec,
    backends: &mut Backends<'_>,
    definition: &Definition,
    found: &mut Diagnostics,
) -> Vec<OperationModel> {
    let overrides = overrides(api, definition, found);
    let reduced = |operation: &openapi::Operation| {
        let (method, template) = (operation.method.to_string(), operation.template.as_str());
        let differs = overrides.get(&(method.as_str(), template));
        let scopes = match differs.and_then(|(_, spec)| spec.scopes.as_ref()) {
            Some(scopes) if scopes.is_empty() => Vec::new(),
            Some(scopes) => vec![scopes.clone()],
            None => operation
                .scopes()
                .into_iter()
                .map(|set| set.into_iter().map(str::to_owned).collect())
                .collect(),
        };
        let at = |index: &usize| format!("/spec/operations/{index}");
        let targets = backends.of_operation(&method, template, differs.map(|(_, spec)| *spec));
        OperationModel {
            template: template.to_owned(),
            id: operation.id.clone(),
            scopes,
            security: differs.and_then(|(index, spec)| {
                spec.security
                    .as_ref()
                    .map(|entries| security(entries, &format!("{}/security", at(index))))
            }),
            backend: targets.production,
            sandbox: targets.sandbox,
            policies: differs
                .map(|(index, spec)| policies(&spec.policies, &format!("{}/policies", at(index))))
                .unwrap_or_default(),
            method,
        }
    };
    definition.operations.iter().map(reduced).collect()
}

/// Overrides by method and template; those that name no operation are faults.
fn overrides<'d>(
    api: &'d ApiSpec,
    definition: &Definition,
    found: &mut Diagnostics,
) -> BTreeMap<(&'d str, &'d str), (usize, &'d OperationSpec)> {
    let known: BTreeSet<String> = definition
        .operations
        .iter()
        .map(|operation| format!("{} {}", operation.method, operation.template))
        .collect();
    let mut overrides = BTreeMap::new();
    let mut unknown = 0;
    for (index, operation) in api.operations.iter().enumerate() {
        let (method, template) = operation
            .matching
            .split_once(' ')
            .unwrap_or((&operation.matching, ""));
        if known.contains(&operation.matching) {
            overrides.insert((method, template), (index, operation));
            continue;
        }
        let pointer = format!("/spec/operations/{index}/match");
        let message = format!("the definition has no operation `{}`", operation.matching);
        let fault = Diagnostic::error("unknown-operation", pointer, message);
        // Comparing with every operation is dear, and many faults have one cause.
        let near = (unknown < SUGGESTIONS_MAX)
            .then(|| spec::nearest(&operation.matching, known.iter().map(String::as_str)));
        found.push(match near.flatten() {
            Some(near) => fault.mend(format!("did you mean `{near}`?")),
            None => fault.mend("write method and path template as the definition has them"),
        });
        unknown += 1;
        if unknown >= PROBLEMS_MAX {
            break;
        }
    }
    overrides
}

/// What a backend names that is not there.
#[must_use]
pub fn backend_references(document: &Document, world: &World) -> Diagnostics {
    let mut found = Diagnostics::default();
    if let Spec::Backend(backend) = &document.spec {
        for (place, name) in backend.failover_names() {
            let pointer = format!("/spec/{place}");
            world.backends.check("Backend", name, pointer, &mut found);
        }
    }
    found
}

/// Reduces a backend; of another document `None`.
#[must_use]
pub fn reduce_backend(org: &Org, document: &Document) -> Option<BackendModel> {
    match &document.spec {
        Spec::Backend(backend) => Some(backend_model(org, document.name(), backend)),
        _ => None,
    }
}

/// The ports that a `Gateway` document asks its nodes to open; none for other kinds.
#[must_use]
pub fn reduce_gateway(document: &Document) -> Vec<ListenerModel> {
    let Spec::Gateway(gateway) = &document.spec else {
        return Vec::new();
    };
    let listeners = gateway.listeners.iter();
    listeners
        .map(|listener| ListenerModel {
            port: listener.port,
            tls: listener.protocol == ListenerProtocol::Https,
            secret: listener.tls.as_ref().map(|tls| tls.secret_ref.clone()),
            proxy_protocol_from: listener
                .proxy_protocol
                .as_ref()
                .map_or_else(Vec::new, |proxy| proxy.from.clone()),
            client_certificates: listener.client_certificates.as_ref().map(|asked| {
                ClientCertificatesModel {
                    required: asked.mode == AskMode::Require,
                    ca_secret: asked.ca_secret_ref.clone(),
                }
            }),
            forwarded_certificate: listener.forwarded_certificate.as_ref().map(|forwarded| {
                ForwardedCertificateModel {
                    from: forwarded.from.clone(),
                    header: forwarded.header.as_str().to_owned(),
                }
            }),
        })
        .collect()
}

/// Reduces a plan; of another document `None`.
#[must_use]
pub fn reduce_plan(org: &Org, document: &Document) -> Option<PlanModel> {
    let Spec::Plan(PlanSpec { quota, burst, .. }) = &document.spec else {
        return None;
    };
    Some(PlanModel {
        org: org.clone(),
        name: document.name().to_owned(),
        quota: quota.as_ref().map(reduce_quota),
        burst: burst.as_ref().map(reduce_quota),
    })
}

/// What an application may call all APIs together; `None` where its document says nothing.
#[must_use]
pub fn reduce_application(org: &Org, name: &str, spec: &ApplicationSpec) -> Option<PlanModel> {
    if spec.quota.is_none() && spec.burst.is_none() {
        return None;
    }
    Some(PlanModel {
        org: org.clone(),
        name: name.to_owned(),
        quota: spec.quota.as_ref().map(reduce_quota),
        burst: spec.burst.as_ref().map(reduce_quota),
    })
}

fn reduce_quota(quota: &spec::Quota) -> Quota {
    // The check of the document saw to it that there is one of them.
    let (measure, count) = match (quota.bytes, quota.events) {
        (Some(size), _) => (Measure::Bytes, size.as_bytes()),
        (None, Some(events)) => (Measure::Events, events),
        (None, None) => (Measure::Requests, quota.requests.unwrap_or(0)),
    };
    Quota {
        requests: count,
        window_ms: quota.per.as_ms(),
        measure,
    }
}

/// Reduces a deny rule; of another document `None`.
#[must_use]
pub fn reduce_deny_rule(document: &Document) -> Option<DenyModel> {
    let Spec::DenyRule(rule) = &document.spec else {
        return None;
    };
    Some(DenyModel {
        clients: rule.clients.clone(),
        applications: rule.applications.clone(),
        users: rule.users.clone(),
        apis: rule.apis.clone(),
        when: rule.when.clone(),
        until_unix_s: rule.until_unix_s(),
        reason: rule.reason.clone().unwrap_or_default(),
    })
}

/// What is wrong with the condition of a deny rule.
#[must_use]
pub fn deny_faults(document: &Document) -> Diagnostics {
    let Spec::DenyRule(rule) = &document.spec else {
        return Diagnostics::default();
    };
    let fault = rule.when.as_deref().map(expr::Expr::compile);
    let fault = fault.and_then(Result::err);
    let found = fault.map(|error| Diagnostic::error("expression", "/spec/when", error.to_string()));
    Diagnostics(found.into_iter().collect())
}
