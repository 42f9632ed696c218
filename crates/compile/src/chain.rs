//! The policies of operations. What all operations of an API share is compiled once.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use base::{Diagnostic, Diagnostics};
use policy::{Access, Chain, CompileEnv, ErasedPolicyKind, Phase, Policy, Step};
use serde_json::{Value, json};
use sync::{ApiModel, OperationModel, PolicyUse};

use crate::PROBLEMS_MAX;

/// A policy with its name and phase.
type Compiled = (Cow<'static, str>, Phase, Box<dyn Policy>);

/// The policies that the operations of an API share.
pub(crate) struct Shared<'m> {
    model: &'m ApiModel,
    env: CompileEnv,
    /// Passed by every answer, also by those that no operation made: CORS, deprecation.
    always: Vec<Step>,
    /// How callers are known, where the operation says nothing else.
    authenticate: Option<Step>,
    /// Subscription and plan; empty where none is needed.
    subscribed: Vec<Step>,
    /// Those that the document names.
    named: Vec<Step>,
    /// The chains of operations that differ in nothing but the scopes that they need.
    chains: HashMap<&'m [Vec<String>], Arc<Chain>>,
}

impl<'m> Shared<'m> {
    /// Compiles what is shared; faults are recorded with their places in the document.
    pub(crate) fn new(model: &'m ApiModel, found: &mut Diagnostics) -> Self {
        let env = CompileEnv {
            org: model.org.clone(),
            api: model.name.clone(),
        };
        let mut always = Vec::new();
        if let Some(config) = &model.transports {
            // Before everything: what came over the wrong transport is looked at no further.
            let used = implied("transports", config.clone(), "/spec/transports");
            always.extend(shared(&used, &env, found));
        }
        if let sync::Gate::Serve {
            deprecation: Some(signals),
        } = &model.gate
        {
            // Before CORS, which may answer by itself.
            always.push(Step::new(
                "deprecation",
                Phase::Preflight,
                Arc::from(policies::deprecation::policy(signals)),
            ));
        }
        if let Some(cors) = &model.cors {
            always.extend(shared(
                &implied("cors", cors.clone(), "/spec/cors"),
                &env,
                found,
            ));
        }
        let authenticate = authenticators(&model.security, &env, found);
        let mut subscribed = Vec::new();
        if model.subscription_required {
            for policy in ["subscription", "planQuota"] {
                subscribed.extend(shared(
                    &implied(policy, json!({}), "/spec/plans"),
                    &env,
                    found,
                ));
            }
        }
        let named = model
            .policies
            .iter()
            .filter_map(|used| shared(used, &env, found))
            .collect();
        Self {
            model,
            always,
            authenticate: authenticate.map(step),
            subscribed,
            named,
            env,
            chains: HashMap::new(),
        }
    }

    /// What answers that no operation made have to pass: `OPTIONS`, 404, 405.
    pub(crate) fn preflight(&self) -> Chain {
        Chain::new(self.always.clone(), Access::Open)
    }

    /// One operation's chain. Operations that have nothing of their own share one.
    pub(crate) fn chain(
        &mut self,
        operation: &'m OperationModel,
        found: &mut Diagnostics,
    ) -> Arc<Chain> {
        let own = operation.security.is_some() || !operation.policies.is_empty();
        if own {
            return Arc::new(self.build(operation, found));
        }
        if let Some(chain) = self.chains.get(&*operation.scopes) {
            return Arc::clone(chain);
        }
        let chain = Arc::new(self.build(operation, found));
        self.chains.insert(&operation.scopes, Arc::clone(&chain));
        chain
    }

    /// Authenticate, authorise, limit, then the document's policies in its order.
    fn build(&self, operation: &OperationModel, found: &mut Diagnostics) -> Chain {
        let security = operation.security.as_ref().unwrap_or(&self.model.security);
        let access = if security.is_empty() {
            Access::Open
        } else {
            Access::Authenticated
        };
        let mut steps = self.always.clone();
        if access == Access::Authenticated {
            match &operation.security {
                Some(own) => steps.extend(authenticators(own, &self.env, found).map(step)),
                None => steps.extend(self.authenticate.clone()),
            }
            if !operation.scopes.is_empty() {
                let config = json!({"anyOf": operation.scopes});
                let scopes = implied("scopes", config, "/spec/definition");
                steps.extend(compile(&scopes, &self.env, found).map(step));
            }
            steps.extend(self.subscribed.iter().cloned());
        }
        steps.extend(self.named.iter().cloned());
        steps.extend(
            operation
                .policies
                .iter()
                .filter_map(|used| compile(used, &self.env, found).map(step)),
        );
        if steps.iter().any(|step| step.phase() == Phase::Limit) {
            // Behind the others of its phase, so that all that they ask is asked at once.
            steps.push(step((
                policies::admission::NAME.into(),
                Phase::Limit,
                policies::admission::policy(),
            )));
        }
        Chain::new(steps, access)
    }
}

fn step((name, phase, policy): Compiled) -> Step {
    Step::new(name, phase, Arc::from(policy))
}

/// Any of these ways to authenticate; nothing for an empty list.
fn authenticators(
    uses: &[PolicyUse],
    env: &CompileEnv,
    found: &mut Diagnostics,
) -> Option<Compiled> {
    let mut policies = Vec::new();
    let mut names = Vec::new();
    for used in uses {
        match compile(used, env, found) {
            Some((name, Phase::Authenticate, policy)) => {
                names.push(name);
                policies.push(policy);
            }
            Some(_) => found.push(no_authenticator(used)),
            None => {}
        }
    }
    // With faults the list may be empty: then nobody passes, and the API is broken anyway.
    (!uses.is_empty()).then(|| {
        let name = names.join(" or ").into();
        (
            name,
            Phase::Authenticate,
            policies::any_of::policy(policies),
        )
    })
}

fn no_authenticator(used: &PolicyUse) -> Diagnostic {
    let message = format!("`{}` does not authenticate", used.policy);
    Diagnostic::error("no-authenticator", used.pointer.clone(), message)
        .mend("use `jwt` or `apiKey`")
}

/// A policy that a model's own fields stand for.
fn implied(policy: &str, config: Value, pointer: &str) -> PolicyUse {
    PolicyUse {
        policy: policy.to_owned(),
        config,
        pointer: pointer.to_owned(),
    }
}

fn shared(used: &PolicyUse, env: &CompileEnv, found: &mut Diagnostics) -> Option<Step> {
    compile(used, env, found).map(step)
}

/// Compiles one policy; its faults get the pointer of its place in the document.
fn compile(used: &PolicyUse, env: &CompileEnv, found: &mut Diagnostics) -> Option<Compiled> {
    let Some(kind) = policies::find(&used.policy) else {
        found.push(unknown_policy(used));
        return None;
    };
    match kind.compile(&used.config, env) {
        Ok(policy) => Some((kind.name().into(), kind.phase(), policy)),
        Err(faults) => {
            let unread = faults.iter().any(|fault| fault.rule == "policy-config");
            let worded = if unread {
                misfits(kind, &used.config)
            } else {
                Vec::new()
            };
            let faults = if worded.is_empty() { faults } else { worded };
            found.extend(faults.into_iter().map(|mut fault| {
                fault.pointer = format!("{}{}", used.pointer, fault.pointer);
                fault
            }));
            None
        }
    }
}

/// What does not fit the schema of a policy's configuration: all of it, where reading stops at the first.
fn misfits(kind: &dyn ErasedPolicyKind, config: &Value) -> Vec<Diagnostic> {
    let schema = kind.schema().to_value();
    spec::schema_faults(&schema, config, PROBLEMS_MAX).0
}

fn unknown_policy(used: &PolicyUse) -> Diagnostic {
    let names: Vec<&str> = policies::POLICIES.iter().map(|kind| kind.name()).collect();
    let mend = match spec::nearest(&used.policy, names.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("policies are {}", names.join(", ")),
    };
    let message = format!("there is no policy `{}`", used.policy);
    Diagnostic::error("unknown-policy", used.pointer.clone(), message).mend(mend)
}
