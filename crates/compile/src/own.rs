//! The backends of one API: those that it names, those that exist for it alone, and which of them an operation calls.

use std::collections::HashMap;

use base::{Diagnostic, Diagnostics, Environment, Org};
use openapi::Definition;
use spec::{ApiSpec, BackendRef, BackendSpec, OperationSpec};
use sync::{BackendModel, OperationModel};

use crate::upstream::backend_model;

/// The backends of one API.
pub(crate) struct Backends<'d> {
    org: &'d Org,
    document: &'d str,
    api: &'d ApiSpec,
    /// Where calls go that no operation of the document says more about.
    shared: Targets,
    own: Vec<BackendModel>,
    /// The names of own backends by environment and content: equal ones are one, with one pool of connections.
    known: HashMap<(Environment, String), String>,
}

/// Names of backends, by environment.
#[derive(Clone, Default)]
pub(crate) struct Targets {
    pub(crate) production: Option<String>,
    pub(crate) sandbox: Option<String>,
}

impl Targets {
    fn of_mut(&mut self, environment: Environment) -> &mut Option<String> {
        match environment {
            Environment::Production => &mut self.production,
            Environment::Sandbox => &mut self.sandbox,
        }
    }
}

impl<'d> Backends<'d> {
    /// Those that the API's document names for all operations; for production else the first absolute server of the
    /// definition.
    pub(crate) fn of(
        org: &'d Org,
        document: &'d str,
        api: &'d ApiSpec,
        definition: &Definition,
    ) -> Self {
        let mut all = Self {
            org,
            document,
            api,
            shared: Targets::default(),
            own: Vec::new(),
            known: HashMap::new(),
        };
        let mut targets = Targets::default();
        all.take(api.backends.as_ref(), None, &mut targets);
        if targets.production.is_none() {
            let mut servers = definition.servers.iter();
            targets.production = servers
                .find(|url| spec::names::is_backend_url(url))
                .map(|url| all.own(Environment::Production, None, &BackendSpec::at(url)));
        }
        all.shared = targets;
        all
    }

    /// Where the calls of one operation go.
    pub(crate) fn of_operation(
        &mut self,
        method: &str,
        template: &str,
        differs: Option<&OperationSpec>,
    ) -> Targets {
        let mut targets = self.shared.clone();
        if let Some(differs) = differs {
            if let Some(name) = &differs.backend {
                targets.production = Some(name.clone());
            }
            let label = format!("{method} {template}");
            self.take(differs.backends.as_ref(), Some(&label), &mut targets);
        }
        targets
    }

    fn take(
        &mut self,
        named: Option<&spec::Backends>,
        operation: Option<&str>,
        targets: &mut Targets,
    ) {
        let Some(named) = named else { return };
        for (environment, backend) in [
            (Environment::Production, &named.production),
            (Environment::Sandbox, &named.sandbox),
        ] {
            let name = match backend {
                None => continue,
                Some(BackendRef::Name(name)) => name.clone(),
                Some(BackendRef::Inline(backend)) => self.own(environment, operation, backend),
            };
            *targets.of_mut(environment) = Some(name);
        }
    }

    /// The name of a backend that exists for this API alone; `#` stands in no document's name.
    fn own(
        &mut self,
        environment: Environment,
        operation: Option<&str>,
        backend: &BackendSpec,
    ) -> String {
        let content = serde_json::to_string(backend).expect("specs have string keys only");
        let (org, document, own) = (self.org, self.document, &mut self.own);
        let known = self.known.entry((environment, content));
        let name = known.or_insert_with(|| {
            let name = match operation {
                None => format!("{document}#{environment}"),
                Some(operation) => format!("{document}#{environment}#{operation}"),
            };
            own.push(backend_model(org, &name, backend));
            name
        });
        name.clone()
    }

    /// Operations that cannot be called. An API that is not served yet may still be without backends.
    pub(crate) fn check(&self, operations: &[OperationModel], found: &mut Diagnostics) {
        let without = |operation: &&OperationModel| operation.backend.is_none();
        let Some(first) = operations.iter().find(without) else {
            return;
        };
        let nowhere = operations
            .iter()
            .find(|operation| operation.backend.is_none() && operation.sandbox.is_none());
        let severe = nowhere.is_some() && self.api.lifecycle.serves();
        let message = match nowhere {
            Some(_) => "there is no backend: the definition names no absolute server".to_owned(),
            None => format!(
                "there is no production backend for {} {}: calls of production credentials are refused",
                first.method, first.template
            ),
        };
        let fault = if severe {
            Diagnostic::error("no-backend", "/spec/backends", message)
        } else {
            Diagnostic::warning("no-backend", "/spec/backends", message)
        };
        found.push(fault.mend(
            "set spec.backends.production to a Backend's name or to {endpoints: [{url: …}]}",
        ));
    }

    /// Those that exist for this API alone.
    pub(crate) fn into_models(self) -> Vec<BackendModel> {
        self.own
    }
}
