//! The deny rules of operators: a step of every chain, behind authentication and before any limit is asked.

use base::Org;
use base::code::DENIED;
use policy::{CompileEnv, Outcome, Policy, Reject, RequestCx};

/// The step's name in traces.
pub const NAME: &str = "denyRules";

/// Refuses what a rule of the node's tables refuses. Where there is none, it costs a look at one pointer.
///
/// # Errors
/// `DENIED` (403). Callers are not told which rule; the decision tells operators its name and reason.
struct Running {
    org: Org,
    api: String,
}

/// The step of an API's chains.
#[must_use]
pub fn policy(env: &CompileEnv) -> Box<dyn Policy> {
    Box::new(Running {
        org: env.org.clone(),
        api: env.api.clone(),
    })
}

impl Policy for Running {
    fn on_request<'a>(&'a self, cx: &'a mut RequestCx) -> Outcome<'a> {
        let Some(denials) = cx.core.runtime.directory.denials() else {
            return Outcome::CONTINUE;
        };
        let Some(rule) = denials.refusing(cx, &self.org, &self.api) else {
            return Outcome::CONTINUE;
        };
        Reject::new(DENIED, "the operator refuses calls of this caller")
            .because("deny-rule")
            .fact("rule", rule.name.as_str(), "")
            .fact("reason", rule.reason.as_str(), "")
            .into()
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::sync::Arc;

    use expr::Expr;
    use policy::{Denials, DenyRule};

    use super::*;
    use crate::testing::{API, Bench, ManualTime, env};

    fn rule() -> DenyRule {
        DenyRule {
            org: Org::default_org(),
            name: "bad".to_owned(),
            clients: Vec::new(),
            applications: None,
            users: Vec::new(),
            apis: Vec::new(),
            when: None,
            until_unix_s: None,
            reason: "fraud".to_owned(),
        }
    }

    fn denied(bench: &Bench, rule: DenyRule, mut cx: RequestCx) -> bool {
        bench.directory.set_denials(Some(Denials(vec![rule])));
        let result = bench.run(&*policy(&env()), &mut cx);
        if let Err(reject) = &result {
            assert_eq!((reject.code.name, reject.code.status), ("DENIED", 403));
            assert!(!reject.detail.contains("fraud"), "callers are not told why");
            let facts = &reject.reason.as_ref().unwrap().facts;
            assert_eq!(
                (facts[0].found.as_str(), facts[1].found.as_str()),
                ("bad", "fraud")
            );
        }
        result.is_err()
    }

    /// req: TM1
    #[test]
    fn each_part_of_a_rule_is_looked_at() {
        let bench = Bench::new();
        let from = |ip: &str| {
            let mut cx = bench.request_of("GET", "/x", None);
            cx.client.ip = ip.parse::<IpAddr>().unwrap();
            let mut identity = (*cx.principal.as_ref().unwrap().identity).clone();
            identity.subject = Some("eve".to_owned());
            crate::testing::principal_mut(&mut cx).identity = Arc::new(identity);
            cx
        };
        let network = || DenyRule {
            clients: vec!["203.0.113.0/24".parse().unwrap()],
            ..rule()
        };
        assert!(denied(&bench, network(), from("203.0.113.9")));
        assert!(denied(&bench, network(), from("::ffff:203.0.113.9")));
        assert!(!denied(&bench, network(), from("203.0.114.9")));
        let application = |id| DenyRule {
            applications: Some(vec![id]),
            ..rule()
        };
        assert!(denied(
            &bench,
            application(bench.application),
            from("192.0.2.1")
        ));
        let other = base::ApplicationId::generate();
        assert!(!denied(&bench, application(other), from("192.0.2.1")));
        let user = |name: &str| DenyRule {
            users: vec![name.to_owned()],
            ..rule()
        };
        assert!(denied(&bench, user("eve"), from("192.0.2.1")));
        assert!(!denied(&bench, user("bob"), from("192.0.2.1")));
        assert!(!denied(&bench, user("eve"), bench.request("GET", "/x")));
        let api = |name: &str| DenyRule {
            apis: vec![name.to_owned()],
            ..rule()
        };
        assert!(denied(&bench, api(API), from("192.0.2.1")));
        assert!(!denied(&bench, api("other-1.0.0"), from("192.0.2.1")));
        let when = |source: &str| DenyRule {
            when: Some(Expr::compile(source).unwrap()),
            ..rule()
        };
        assert!(denied(
            &bench,
            when("request.method == 'GET'"),
            from("192.0.2.1")
        ));
        assert!(!denied(
            &bench,
            when("request.method == 'PUT'"),
            from("192.0.2.1")
        ));
        assert!(denied(
            &bench,
            when("request.headers['x'] == 'y'"),
            from("192.0.2.1")
        ));
        let both = DenyRule {
            users: vec!["eve".to_owned()],
            ..network()
        };
        assert!(
            !denied(&bench, both, from("192.0.2.1")),
            "all parts must be met"
        );
    }

    #[test]
    fn a_rule_ends_by_the_clock_and_is_of_its_organisation() {
        let bench = Bench::new();
        let until = bench.now_s() + 60;
        let short = || DenyRule {
            until_unix_s: Some(until),
            ..rule()
        };
        assert!(denied(&bench, short(), bench.request("GET", "/x")));
        bench.clock.advance_s(60);
        assert!(!denied(&bench, short(), bench.request("GET", "/x")));
        let foreign = DenyRule {
            org: Org::new("other"),
            ..rule()
        };
        assert!(!denied(&bench, foreign, bench.request("GET", "/x")));
        bench.directory.set_denials(None);
        let mut cx = bench.request("GET", "/x");
        assert!(bench.run(&*policy(&env()), &mut cx).is_ok());
    }
}
