//! Step two: models to what a node serves. Never fails: what does not compile is served as broken.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use base::{Diagnostic, Diagnostics};
use http::Method;
use openapi::{Part, Template};
use policies::backend_jwt::{self, BackendJwt};
use policies::normalize_path::canonical_literal;
use policy::{Access, Chain, PolicyKind as _};
use snapshot::{Api, Backend, BackendKey, Gate, Mark, Operation, Router, RouterBuilder, Targets};
use sync::{ApiModel, OperationModel};

use crate::PROBLEMS_MAX;
use crate::backend::build_backend;
use crate::chain::Shared;
use crate::protected;

/// What an [`ApiModel`] became.
pub struct Built {
    /// The API, with [`Gate::Broken`] where there are errors.
    pub api: Arc<Api>,
    /// The backends that exist for it alone.
    pub backends: Vec<Arc<Backend>>,
    /// What is wrong; pointers are those of the document.
    pub diagnostics: Diagnostics,
}

/// Builds an API. With errors it serves nothing but `API_BROKEN`, at its mounts (fail closed).
///
/// The operations are built, and their faults found, in every state; an API that does not serve routes none of them.
#[must_use]
pub fn build(model: &ApiModel) -> Built {
    let mut found = Diagnostics::default();
    let backends = own_backends(model, &mut found);
    let mut shared = Shared::new(model, &mut found);
    let router = router(model, &mut shared, &mut found);
    let gate = if found.has_errors() {
        Gate::Broken
    } else {
        gate(&model.gate)
    };
    let api = Api {
        org: model.org.clone(),
        name: model.name.clone(),
        api: model.api.clone(),
        version: model.version.clone(),
        vhosts: model.vhosts.clone(),
        mounts: mounts(model),
        gate,
        router: if gate == Gate::Serve {
            router
        } else {
            Router::default()
        },
        preflight: if gate == Gate::Broken {
            Chain::new(Vec::new(), Access::Open)
        } else {
            shared.preflight()
        },
        protected: protected::protected(model),
        backend_keys: backend_keys(model),
        digest: model.digest,
    };
    Built {
        api: Arc::new(api),
        backends,
        diagnostics: found,
    }
}

/// The paths that an API is reached at.
#[must_use]
pub fn mounts(model: &ApiModel) -> Vec<String> {
    let mut mounts = vec![format!("{}/{}", model.context, model.version)];
    if model.default_version {
        mounts.push(model.context.clone());
    }
    mounts
}

/// The keys of the policy `backendJwt`, each file once.
fn backend_keys(model: &ApiModel) -> Box<[PathBuf]> {
    let of_operations = model.operations.iter().flat_map(|of| &of.policies);
    let uses = model.policies.iter().chain(of_operations);
    let uses = uses.filter(|used| used.policy == BackendJwt::NAME);
    let mut files: Vec<PathBuf> = Vec::new();
    for file in uses.flat_map(|used| backend_jwt::key_files(&used.config)) {
        if !files.contains(&file) {
            files.push(file);
        }
    }
    files.into()
}

fn gate(gate: &sync::Gate) -> Gate {
    match gate {
        sync::Gate::Serve { .. } => Gate::Serve,
        sync::Gate::NotPublished => Gate::NotPublished,
        sync::Gate::Blocked => Gate::Blocked,
        sync::Gate::Retired => Gate::Retired,
        sync::Gate::Broken => Gate::Broken,
    }
}

fn own_backends(model: &ApiModel, found: &mut Diagnostics) -> Vec<Arc<Backend>> {
    let mut backends = Vec::new();
    for backend in &model.backends {
        match build_backend(backend) {
            Ok(backend) => backends.push(backend),
            Err(faults) => found.extend(faults.into_iter().map(|mut fault| {
                // A backend of the API's own stands within its document.
                let inner = fault.pointer.trim_start_matches("/spec");
                fault.pointer = format!("{}{inner}", place(&backend.name));
                fault
            })),
        }
    }
    backends
}

/// Where a backend of the API's own stands in its document, as far as its name tells.
fn place(name: &str) -> &'static str {
    match name.split('#').skip(1).collect::<Vec<_>>()[..] {
        ["production"] => "/spec/backends/production",
        ["sandbox"] => "/spec/backends/sandbox",
        _ => "/spec/operations",
    }
}

fn router<'m>(model: &'m ApiModel, shared: &mut Shared<'m>, found: &mut Diagnostics) -> Router {
    let mut router = RouterBuilder::default();
    let mut texts = Texts::default();
    let mut targets = HashMap::new();
    for operation in &model.operations {
        if found.0.len() >= PROBLEMS_MAX && found.has_errors() {
            break;
        }
        let names = (&operation.backend, &operation.sandbox);
        let targets = targets.entry(names).or_insert_with(|| {
            let mut key = |name: &'m Option<String>| {
                name.as_deref().map(|name| BackendKey {
                    org: model.org.clone(),
                    name: texts.shared(name),
                })
            };
            Arc::new(Targets {
                production: key(names.0),
                sandbox: key(names.1),
            })
        });
        let built = Operation {
            chain: shared.chain(operation, found),
            targets: Arc::clone(targets),
            mark: Mark::default(),
            label: label(operation).into(),
            template: texts.shared(&operation.template),
        };
        let Ok(method) = Method::from_bytes(operation.method.as_bytes()) else {
            let message = format!("`{}` is no HTTP method", operation.method);
            found.push(fault(operation, &message));
            continue;
        };
        let inserted = canonical(&operation.template).and_then(|template| {
            let inserted = router.insert(&template, method, built);
            inserted.map_err(|error| error.to_string())
        });
        if let Err(message) = inserted {
            found.push(fault(operation, &message));
        }
    }
    router.build()
}

/// Texts that several operations have, each kept once.
#[derive(Default)]
struct Texts<'m>(HashMap<&'m str, Arc<str>>);

impl<'m> Texts<'m> {
    fn shared(&mut self, text: &'m str) -> Arc<str> {
        Arc::clone(self.0.entry(text).or_insert_with(|| text.into()))
    }
}

/// How an operation is called in metrics and logs.
fn label(operation: &OperationModel) -> String {
    operation
        .id
        .clone()
        .unwrap_or_else(|| format!("{} {}", operation.method, operation.template))
}

/// The template with its literals as they stand in canonical paths, the only ones that are matched.
fn canonical(template: &str) -> Result<String, String> {
    let parsed = Template::parse(template).map_err(|error| error.to_string())?;
    let mut text = String::with_capacity(template.len());
    for segment in parsed.segments() {
        text.push('/');
        for part in &segment.parts {
            match part {
                Part::Literal(literal) => text.push_str(&canonical_literal(literal)),
                Part::Parameter(name) => {
                    text.push('{');
                    text.push_str(name);
                    text.push('}');
                }
            }
        }
    }
    Ok(text)
}

fn fault(operation: &OperationModel, message: &str) -> Diagnostic {
    let message = format!("{} {}: {message}", operation.method, operation.template);
    Diagnostic::error("operation", "/spec/definition", message)
}

#[cfg(test)]
mod tests {
    use super::canonical;

    #[test]
    fn templates_are_written_as_canonical_paths_are() {
        for (template, expected) in [
            ("/", "/"),
            ("/pets/{id}/", "/pets/{id}/"),
            ("/a%2d%7Eb", "/a-~b"),
            ("/a b/ä", "/a%20b/%C3%A4"),
            ("/f(x='{x}')", "/f(x='{x}')"),
        ] {
            assert_eq!(canonical(template).as_deref(), Ok(expected));
        }
        assert!(canonical("/{a").is_err());
    }
}
