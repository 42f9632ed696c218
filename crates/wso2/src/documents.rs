//! What the keys mean as a document.

mod credentials;
mod path;
mod security;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use base::{Diagnostic, Diagnostics};
use openapi::{Definition, Method};
use security::Ways;
use spec::{
    ApiSpec, BackendRef, BackendSpec, Backends, Duration, EndpointSpec, HealthSpec, OperationSpec,
    Percent, Protocol,
};

use crate::model::{Cors, EndpointList, EndpointType, Extensions, Operation, Placed};
use crate::read::UNLIMITED;

/// How long WSO2's gateway waits for a backend where the definition says nothing, in milliseconds.
const TIMEOUT_MS: u64 = 60_000;

/// Bytes of URLs that references may put into one document: a short text can name a long list many times.
const COPIED_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What the person who imports has decided already; the keys do not overrule it.
#[derive(Clone, Debug, Default)]
pub struct Chosen {
    /// The context.
    pub context: bool,
    /// The production backend, of all operations.
    pub backend: bool,
    /// The plans.
    pub plans: bool,
}

/// Writes what the keys mean into the document that is made of their definition. `plans` are the names of `Plan`
/// documents that exist; `None`: nobody knows them here.
///
/// # Errors
/// Among the diagnostics: a base path that is no context, and a document that references make too large. They have
/// pointers into the definition, and are not located.
#[must_use]
pub fn into_document(
    extensions: &Extensions,
    definition: &Definition,
    plans: Option<&BTreeSet<String>>,
    chosen: &Chosen,
    api: &mut ApiSpec,
) -> Diagnostics {
    let mut writer = Writer {
        extensions,
        definition,
        defined: definition
            .operations
            .iter()
            .map(|one| ((one.method, one.template.as_str()), one))
            .collect(),
        chosen,
        copied_bytes: 0,
        found: Diagnostics::default(),
    };
    if let (Some(base_path), false) = (&extensions.base_path, chosen.context) {
        writer.context(base_path, api);
    }
    writer.backends(api);
    if let Some(transports) = &extensions.transports {
        api.transports.clone_from(transports);
    }
    let ways = Ways::of(extensions, api);
    api.security = ways.of_api();
    if let Some(tier) = &extensions.keys.tier {
        writer.tier(tier, plans, api);
    }
    if let Some(cors) = &extensions.cors {
        writer.cors(cors, api);
    }
    let operations = extensions.operations.iter();
    let operations = operations.filter_map(|operation| writer.operation(operation, &ways));
    api.operations = operations.collect();
    let shown = credentials::Shown::of(extensions, definition, chosen, api);
    shown.write(api);
    writer.found.extend(shown.diagnostics());
    writer.found.extend(ways.differences(api));
    writer.found
}

struct Writer<'e> {
    extensions: &'e Extensions,
    definition: &'e Definition,
    /// The definition's operations.
    defined: HashMap<(Method, &'e str), &'e openapi::Operation>,
    chosen: &'e Chosen,
    copied_bytes: usize,
    found: Diagnostics,
}

impl Writer<'_> {
    fn warn(&mut self, rule: &str, pointer: &str, message: impl Into<String>, mend: &str) {
        self.found
            .push(Diagnostic::warning(rule, pointer, message).mend(mend));
    }

    fn context(&mut self, base_path: &Placed<String>, api: &mut ApiSpec) {
        match path::mounted(&base_path.value, &api.version, self.definition) {
            Ok((context, default_version)) => {
                api.context = context;
                api.default_version |= default_version;
            }
            Err(message) => {
                let problem = Diagnostic::error("wso2-base-path", &*base_path.pointer, message);
                self.found.push(problem.mend(
                    "name a path of one segment or more, or give the context to the import (`--context`)",
                ));
            }
        }
    }

    /// The API's own backends. What the document has already, the person has chosen.
    fn backends(&mut self, api: &mut ApiSpec) {
        let keys = &self.extensions.keys;
        let production = api.backends.take().and_then(|backends| backends.production);
        let production = production.or_else(|| self.backend(keys.production.as_ref()));
        let sandbox = self.backend(keys.sandbox.as_ref());
        if production.is_some() || sandbox.is_some() {
            api.backends = Some(Backends::new(production, sandbox));
        }
    }

    fn backend(&mut self, list: Option<&Arc<EndpointList>>) -> Option<BackendRef> {
        let list = list?;
        let urls = list.urls.iter();
        let bytes: usize = urls.clone().map(String::len).sum();
        if self.copied_bytes > COPIED_BYTES_MAX {
            return None;
        }
        self.copied_bytes = self.copied_bytes.saturating_add(bytes);
        if self.copied_bytes > COPIED_BYTES_MAX {
            let message = "the references to endpoints expand to more than is accepted";
            let problem = Diagnostic::error("wso2-too-large", "/x-wso2-endpoints", message);
            self.found
                .push(problem.mend("name endpoints at the API instead of at each operation"));
            return None;
        }
        let mut backend = BackendSpec::at(String::new());
        let failover = list.kind == EndpointType::Failover;
        let endpoint = |(place, url): (usize, &String)| EndpointSpec {
            // Whoever stands by for a failure is not called while there is none, and the second before the third.
            priority: if failover {
                u16::try_from(place).unwrap_or(u16::MAX)
            } else {
                0
            },
            ..EndpointSpec::at(url)
        };
        backend.endpoints = urls.enumerate().map(endpoint).collect();
        if failover && list.urls.len() > 1 {
            backend.health = Some(HealthSpec {
                // Each of them may fail, and the last one takes the calls.
                max_ejected: Percent::new(100),
                ..HealthSpec::default()
            });
        }
        let calls = &list.calls;
        backend.timeout = Duration::from_ms(calls.timeout_ms.unwrap_or(TIMEOUT_MS));
        backend.retry = calls.retry.clone().map(Box::new);
        backend.circuit_breaker = calls.breaker.clone().map(Box::new);
        backend.keep_alive = calls.keep_alive.clone().map(Box::new);
        backend.http2 = calls.http2.clone().map(Box::new);
        if self.extensions.http2_backend {
            backend.protocol = Protocol::Http2;
        }
        Some(BackendRef::Inline(Box::new(backend)))
    }

    /// The API's tier is the plan of the same name, where there is one.
    fn tier(&mut self, tier: &Placed<String>, plans: Option<&BTreeSet<String>>, api: &mut ApiSpec) {
        let (name, pointer) = (&tier.value, &tier.pointer);
        let shown = name.chars().take(100).collect::<String>();
        if self.chosen.plans {
            if name != UNLIMITED && !api.plans.contains(name) {
                let message = format!("the tier `{shown}` is not among the plans of the import");
                let mend = "name it with the others, where it shall hold";
                self.warn("wso2-not-served", pointer, message, mend);
            }
        } else if plans.is_none_or(|plans| plans.contains(name)) {
            api.plans = vec![name.clone()];
            if name != UNLIMITED {
                let message =
                    format!("the tier `{shown}` becomes a plan: it counts each subscription alone");
                let mend = "WSO2 counts all callers of the API together: look at the numbers";
                self.warn("wso2-differs", pointer, message, mend);
            }
        } else if name != UNLIMITED {
            let message =
                format!("the tier `{shown}` is not served: there is no Plan of this name");
            let mend = "create it and name it in the API's `plans`";
            self.warn("wso2-not-served", pointer, message, mend);
        }
    }

    fn cors(&mut self, cors: &Placed<Cors>, api: &mut ApiSpec) {
        let Placed { value, pointer } = cors;
        if !value.enabled {
            return;
        }
        if value.allow_origins.is_empty() {
            let message = "no origin is named: no page of another origin may call";
            let mend = "add `accessControlAllowOrigins: [https://shop.example.com]`";
            self.warn("wso2-differs", pointer, message, mend);
            return;
        }
        let every = |names: &Vec<String>| names.iter().any(|name| name == "*");
        let own = self.extensions.auth_header.as_deref();
        let own = own.map(|header| vec![header, "Content-Type", "X-API-Key"]);
        let own = own.map(|names| names.into_iter().map(str::to_owned).collect());
        api.cors = Some(spec::Cors {
            allow_origins: value.allow_origins.clone(),
            allow_methods: value.allow_methods.clone().filter(|names| !every(names)),
            allow_headers: value.allow_headers.clone().or(own),
            expose_headers: value.expose_headers.clone(),
            allow_credentials: value.allow_credentials,
            max_age: Duration::from_s(600),
            extensions: spec::Extensions::new(),
        });
    }

    /// What an operation says that the API does not.
    fn operation(&mut self, operation: &Operation, ways: &Ways<'_>) -> Option<OperationSpec> {
        let keys = &operation.keys;
        let production = keys.production.as_ref().filter(|_| !self.chosen.backend);
        let production = self.backend(production);
        let sandbox = self.backend(keys.sandbox.as_ref());
        let backends =
            (production.is_some() || sandbox.is_some()).then(|| Backends::new(production, sandbox));
        let security = ways.of_operation(keys);
        let scopes = (!operation.scopes.is_empty()).then(|| self.scopes(operation));
        if backends.is_none() && security.is_none() && scopes.is_none() {
            return None;
        }
        Some(OperationSpec {
            matching: format!("{} {}", operation.method, operation.template),
            scopes,
            security,
            backend: None,
            backends,
            policies: Vec::new(),
            extensions: spec::Extensions::new(),
        })
    }

    /// The scopes of `x-scope` with all those of the definition: a token must hold every one of them.
    fn scopes(&self, operation: &Operation) -> Vec<String> {
        let mut scopes: BTreeSet<String> = operation.scopes.iter().cloned().collect();
        let key = (operation.method, operation.template.as_str());
        let defined = self.defined.get(&key).into_iter();
        for set in defined.flat_map(|defined| defined.scopes()) {
            scopes.extend(set.into_iter().map(str::to_owned));
        }
        scopes.into_iter().collect()
    }
}
