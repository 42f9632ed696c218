//! `subscription`: the caller's application must hold a subscription to the API.

use std::rc::Rc;

use base::code::{INTERNAL, SUBSCRIPTION_BLOCKED, SUBSCRIPTION_MISSING};
use base::{ApplicationId, Diagnostic, Digest, Org};
use policy::{
    CompileEnv, Core, Nobody, Outcome, Phase, Policy, PolicyKind, Reject, RequestCx,
    SubscriptionView,
};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::generations::Generations;

/// Subscriptions that one core remembers; what is beyond is looked up again.
const FOUND_MAX: usize = 8192;

/// The kind.
pub struct Subscription;

/// Nothing can be configured.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {}

/// Looks the subscription of the caller's application up in the node's directory, whenever that has changed, so that an ended
/// subscription stops the next call.
///
/// # Errors
/// `SUBSCRIPTION_MISSING` (403), also for an application of another organisation; `SUBSCRIPTION_BLOCKED` (403) when
/// the subscription's plan does not exist (any more).
struct Running {
    org: Org,
    api: String,
    /// Tells this API from all others.
    id: Digest,
}

/// What a core has found, by application and API, with the directory's version of that time.
#[derive(Default)]
struct Found(Generations<(ApplicationId, Digest), (u64, Rc<SubscriptionView>)>);

impl PolicyKind for Subscription {
    const NAME: &'static str = "subscription";
    const PHASE: Phase = Phase::Authorize;
    const SUMMARY: &'static str = "Lets only applications pass that are subscribed to the API.";
    type Config = Config;

    fn compile(&self, _: Config, env: &CompileEnv) -> Result<Box<dyn Policy>, Vec<Diagnostic>> {
        Ok(Box::new(Running {
            org: env.org.clone(),
            api: env.api.clone(),
            id: Digest::of(sync::api_audience(&env.org, &env.api).as_bytes()),
        }))
    }
}

impl Running {
    fn find(&self, core: &Core, application: ApplicationId) -> Option<Rc<SubscriptionView>> {
        let directory = &core.runtime.directory;
        let found = core.memory::<Found>();
        let found = &mut found.borrow_mut().0;
        let key = (application, self.id);
        // Read before the look-up: a change between them makes the next call look again.
        let version = directory.version();
        if let Some((as_of, view)) = found.get(&key)
            && *as_of == version
        {
            return Some(Rc::clone(view));
        }
        let view = Rc::new(directory.subscription(application, &self.api)?);
        found.put(key, (version, Rc::clone(&view)), FOUND_MAX);
        Some(view)
    }
}

impl Policy for Running {
    fn on_request<'a>(&'a self, cx: &'a mut RequestCx) -> Outcome<'a> {
        let Some(principal) = &cx.principal else {
            // As for an operation that is open: who is nobody has no application.
            if cx.slots.get::<Nobody>().is_some() {
                return Outcome::CONTINUE;
            }
            return Reject::new(INTERNAL, "no policy has authenticated the caller").into();
        };
        let found = principal
            .application
            .filter(|_| principal.org == self.org)
            .and_then(|application| self.find(&cx.core, application));
        let Some(subscription) = found else {
            let application = principal.application.map(|id| id.to_string());
            let detail = match application {
                Some(_) => {
                    "the application has no subscription to this API; subscribe it, then call again"
                }
                None => "the caller is no application, and only applications can be subscribed",
            };
            return Reject::new(SUBSCRIPTION_MISSING, detail)
                .because("subscribed")
                .fact("application", application.unwrap_or_default(), "")
                .fact("subscription", "", format!("to {}", self.api))
                .into();
        };
        if subscription.plan.is_none() {
            let detail =
                "the plan of the application's subscription does not exist; choose another plan";
            return Reject::new(SUBSCRIPTION_BLOCKED, detail)
                .because("plan-exists")
                .fact(
                    "subscription",
                    subscription.id.to_string(),
                    "one with a plan that exists",
                )
                .into();
        }
        cx.subscription = Some(subscription);
        Outcome::CONTINUE
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use base::Org;
    use serde_json::json;

    use crate::testing::{Bench, compile};

    /// req: S9
    #[test]
    fn passes_while_the_subscription_lasts() {
        let bench = Bench::new();
        let policy = compile("subscription", json!({}));
        let mut cx = bench.request_of("GET", "/x", None);
        bench.run(&*policy, &mut cx).unwrap();
        let plan = cx.subscription.unwrap().plan.clone();
        assert_eq!(plan.unwrap().name, "Gold");

        bench.directory.tables().subscriptions.clear();
        let mut cx = bench.request_of("GET", "/x", None);
        let reject = bench.run(&*policy, &mut cx).unwrap_err();
        assert_eq!(reject.code.name, "SUBSCRIPTION_MISSING");
        assert!(cx.subscription.is_none());
    }

    #[test]
    fn what_was_found_is_shared_until_the_directory_changes() {
        let bench = Bench::new();
        let policy = compile("subscription", json!({}));
        let found = || {
            let mut cx = bench.request_of("GET", "/x", None);
            bench.run(&*policy, &mut cx).unwrap();
            cx.subscription.unwrap()
        };
        let first = found();
        assert!(Rc::ptr_eq(&first, &found()));
        drop(bench.directory.tables());
        assert!(!Rc::ptr_eq(&first, &found()));
    }

    #[test]
    fn an_application_of_another_organisation_is_not_subscribed() {
        let bench = Bench::new();
        let mut cx = bench.request_of("GET", "/x", None);
        crate::testing::principal_mut(&mut cx).org = Org::new("other");
        let reject = bench
            .run(&*compile("subscription", json!({})), &mut cx)
            .unwrap_err();
        assert_eq!(reject.code.name, "SUBSCRIPTION_MISSING");
    }

    #[test]
    fn a_caller_that_is_no_application_is_not_subscribed() {
        let bench = Bench::new();
        let mut cx = bench.request_of("GET", "/x", None);
        crate::testing::principal_mut(&mut cx).application = None;
        let reject = bench
            .run(&*compile("subscription", json!({})), &mut cx)
            .unwrap_err();
        assert_eq!(reject.code.name, "SUBSCRIPTION_MISSING");
        assert!(
            reject.detail.contains("no application"),
            "{}",
            reject.detail
        );
    }

    #[test]
    fn nobody_passes_where_no_credential_is_needed() {
        let bench = Bench::new();
        let mut cx = bench.request("GET", "/x");
        cx.slots.put(policy::Nobody);
        for name in ["subscription", "planQuota"] {
            bench.run(&*compile(name, json!({})), &mut cx).unwrap();
        }
        assert!(cx.subscription.is_none());
    }

    #[test]
    fn a_plan_that_is_gone_blocks() {
        let bench = Bench::new();
        bench.directory.set_plan(None);
        let mut cx = bench.request_of("GET", "/x", None);
        let reject = bench
            .run(&*compile("subscription", json!({})), &mut cx)
            .unwrap_err();
        assert_eq!(reject.code.name, "SUBSCRIPTION_BLOCKED");
    }

    #[test]
    fn without_a_caller_it_fails_closed() {
        let bench = Bench::new();
        let mut cx = bench.request("GET", "/x");
        let reject = bench
            .run(&*compile("subscription", json!({})), &mut cx)
            .unwrap_err();
        assert_eq!(reject.code.name, "INTERNAL");
    }
}
