//! The policies of operations. What all operations of an API share is compiled once.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use base::{Diagnostic, Diagnostics};
use policy::{Access, ApiTold, Chain, CompileEnv, ErasedPolicyKind, Phase, Policy, Step};
use serde_json::{Value, json};
use sync::{ApiModel, OperationModel, PolicyUse};

use crate::PROBLEMS_MAX;
use crate::security::{ALL_OF, ANY_OF, OPTIONAL};

/// A policy with its name and phase.
type Compiled = (Cow<'static, str>, Phase, Box<dyn Policy>);

/// The policies that the operations of an API share.
pub(crate) struct Shared<'m> {
    env: CompileEnv,
    /// Passed by every answer, also by those that no operation made: CORS, deprecation.
    always: Vec<Step>,
    /// How callers are known, where the operation says nothing else, and whether they have to be.
    authenticate: Option<(Step, Access)>,
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
            told: ApiTold {
                name: model.api.clone(),
                version: model.version.clone(),
                context: model.context.clone(),
            },
        };
        let mut always = owned(model);
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
            always,
            authenticate,
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
        let authenticate = match &operation.security {
            Some(own) => authenticators(own, &self.env, found),
            None => self.authenticate.clone(),
        };
        let mut steps = self.always.clone();
        steps.push(step((
            policies::deny::NAME.into(),
            Phase::Authorize,
            policies::deny::policy(&self.env),
        )));
        let mut access = Access::Open;
        if let Some((authenticate, wanted)) = authenticate {
            access = wanted;
            steps.push(authenticate);
            if !operation.scopes.is_empty() {
                let config = json!({"anyOf": operation.scopes});
                let scopes = implied("scopes", config, "/spec/definition");
                steps.extend(compile(&scopes, &self.env, found).map(step));
            }
            steps.extend(self.subscribed.iter().cloned());
            if self.subscribed.is_empty() {
                steps.push(step((
                    policies::application_limits::NAME.into(),
                    Phase::Limit,
                    policies::application_limits::policy(),
                )));
            }
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

/// What takes out of every request the fields that policies of the API set, on operations too that have no such policy.
fn owned(model: &ApiModel) -> Vec<Step> {
    let of_operations = model.operations.iter().flat_map(|of| &of.policies);
    let uses = model.policies.iter().chain(of_operations);
    let names = uses.filter_map(|used| {
        let kind = policies::find(&used.policy)?;
        Some(kind.owned(&used.config))
    });
    let policy = policies::owned_headers::policy(names.flatten());
    let step = |policy| {
        Step::new(
            policies::owned_headers::NAME,
            Phase::Preflight,
            Arc::from(policy),
        )
    };
    policy.map(step).into_iter().collect()
}

fn step((name, phase, policy): Compiled) -> Step {
    Step::new(name, phase, Arc::from(policy))
}

/// Any of these ways to authenticate, and whether callers have to be known by it; nothing for an empty list.
fn authenticators(
    uses: &[PolicyUse],
    env: &CompileEnv,
    found: &mut Diagnostics,
) -> Option<(Step, Access)> {
    if uses.is_empty() {
        return None;
    }
    let way = any_of(uses, env, found);
    let access = if way.nobody {
        Access::Optional
    } else {
        Access::Authenticated
    };
    let step = Step::new(way.name, Phase::Authenticate, Arc::from(way.policy));
    Some((step, access))
}

/// A way to authenticate.
struct Authenticator {
    name: String,
    policy: Box<dyn Policy>,
    /// Whether nobody at all may pass, as nobody.
    nobody: bool,
}

/// With faults the list may be empty: then nobody passes, and the API is broken anyway.
fn any_of(uses: &[PolicyUse], env: &CompileEnv, found: &mut Diagnostics) -> Authenticator {
    let (optional, uses): (Vec<_>, Vec<_>) = uses.iter().partition(|used| used.policy == OPTIONAL);
    let ways: Vec<_> = uses
        .into_iter()
        .filter_map(|used| authenticator(used, env, found))
        .collect();
    let mut names: Vec<&str> = ways.iter().map(|way| way.name.as_str()).collect();
    if !optional.is_empty() {
        names.push("nobody");
    }
    let name = names.join(" or ");
    let nobody = !optional.is_empty() || ways.iter().any(|way| way.nobody);
    let policies = ways.into_iter().map(|way| way.policy).collect();
    Authenticator {
        name,
        policy: policies::any_of::policy(policies, nobody),
        nobody,
    }
}

fn all_of(uses: &[PolicyUse], env: &CompileEnv, found: &mut Diagnostics) -> Authenticator {
    let needed: Vec<_> = uses
        .iter()
        .filter_map(|used| authenticator(used, env, found))
        .collect();
    let names: Vec<&str> = needed.iter().map(|needed| needed.name.as_str()).collect();
    let name = format!("({})", names.join(" and "));
    let nobody = !needed.is_empty() && needed.iter().all(|needed| needed.nobody);
    let policies = needed.into_iter().map(|needed| needed.policy).collect();
    Authenticator {
        name,
        policy: policies::all_of::policy(policies),
        nobody,
    }
}

fn authenticator(
    used: &PolicyUse,
    env: &CompileEnv,
    found: &mut Diagnostics,
) -> Option<Authenticator> {
    let together: fn(&[PolicyUse], &CompileEnv, &mut Diagnostics) -> Authenticator =
        match used.policy.as_str() {
            ALL_OF => all_of,
            ANY_OF => any_of,
            _ => {
                let (name, phase, policy) = compile(used, env, found)?;
                if phase != Phase::Authenticate {
                    found.push(no_authenticator(used));
                    return None;
                }
                return Some(Authenticator {
                    name: name.into_owned(),
                    policy,
                    nobody: false,
                });
            }
        };
    match serde_json::from_value::<Vec<PolicyUse>>(used.config.clone()) {
        Ok(uses) => {
            let mut together = together(&uses, env, found);
            if used.policy == ANY_OF && uses.len() > 1 {
                together.name = format!("({})", together.name);
            }
            Some(together)
        }
        Err(_) => {
            found.push(no_authenticator(used));
            None
        }
    }
}

fn no_authenticator(used: &PolicyUse) -> Diagnostic {
    let message = format!("`{}` does not authenticate", used.policy);
    Diagnostic::error("no-authenticator", used.pointer.clone(), message)
        .mend("use `jwt`, `apiKey`, `basic` or `mutualTls`")
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
