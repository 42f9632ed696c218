//! The policies of operations. What all operations of an API share is compiled once.

use std::borrow::Cow;
use std::sync::Arc;

use base::{Diagnostic, Diagnostics};
use policy::{
    Access, Chain, CompileEnv, ErasedPolicyKind, Outcome, Phase, Policy, RequestCx, ResponseCx,
    Step,
};
use serde_json::{Value, json};
use sync::{ApiModel, OperationModel, PolicyUse};

use crate::PROBLEMS_MAX;

/// A policy with its name and phase.
type Compiled = (Cow<'static, str>, Phase, Box<dyn Policy>);
/// One that several chains share.
type SharedStep = (Cow<'static, str>, Phase, Arc<dyn Policy>);

/// The policies that the operations of an API share.
pub(crate) struct Shared<'m> {
    model: &'m ApiModel,
    env: CompileEnv,
    /// Passed by every answer, also by those that no operation made: CORS, deprecation.
    always: Vec<SharedStep>,
    /// How callers are known, where the operation says nothing else.
    authenticate: Option<SharedStep>,
    /// Subscription and plan; empty where none is needed.
    subscribed: Vec<SharedStep>,
    /// Those that the document names.
    named: Vec<SharedStep>,
}

/// One policy in several chains.
struct InChain(Arc<dyn Policy>);

impl Policy for InChain {
    fn on_request<'a>(&'a self, cx: &'a mut RequestCx) -> Outcome<'a> {
        self.0.on_request(cx)
    }

    fn on_response(&self, cx: &mut ResponseCx<'_>) {
        self.0.on_response(cx);
    }
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
            always.push((
                "deprecation".into(),
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
            authenticate: authenticate.map(share),
            subscribed,
            named,
            env,
        }
    }

    /// What answers that no operation made have to pass: `OPTIONS`, 404, 405.
    pub(crate) fn preflight(&self) -> Chain {
        Chain::new(in_chain(&self.always).collect(), Access::Open)
    }

    /// One operation's chain: authenticate, authorise, limit, then the document's policies in its order.
    pub(crate) fn chain(&self, operation: &OperationModel, found: &mut Diagnostics) -> Chain {
        let security = operation.security.as_ref().unwrap_or(&self.model.security);
        let access = if security.is_empty() {
            Access::Open
        } else {
            Access::Authenticated
        };
        let mut steps: Vec<Step> = in_chain(&self.always).collect();
        if access == Access::Authenticated {
            match &operation.security {
                Some(own) => steps.extend(authenticators(own, &self.env, found).map(step)),
                None => steps.extend(in_chain(self.authenticate.as_slice())),
            }
            if !operation.scopes.is_empty() {
                let config = json!({"anyOf": operation.scopes});
                let scopes = implied("scopes", config, "/spec/definition");
                steps.extend(compile(&scopes, &self.env, found).map(step));
            }
            steps.extend(in_chain(&self.subscribed));
        }
        steps.extend(in_chain(&self.named));
        steps.extend(
            operation
                .policies
                .iter()
                .filter_map(|used| compile(used, &self.env, found).map(step)),
        );
        Chain::new(steps, access)
    }
}

fn in_chain(steps: &[SharedStep]) -> impl Iterator<Item = Step> {
    steps.iter().map(|(name, phase, policy)| {
        Step::new(name.clone(), *phase, Box::new(InChain(Arc::clone(policy))))
    })
}

fn step((name, phase, policy): Compiled) -> Step {
    Step::new(name, phase, policy)
}

fn share((name, phase, policy): Compiled) -> SharedStep {
    (name, phase, Arc::from(policy))
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

fn shared(used: &PolicyUse, env: &CompileEnv, found: &mut Diagnostics) -> Option<SharedStep> {
    compile(used, env, found).map(share)
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
