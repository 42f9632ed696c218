//! `explain`: why a call was refused or failed.

use std::fmt::Write as _;

use base::code;
use control::api::{ExplainedCall, Explanation, paths};
use sync::decision::{Decision, StepOutcome};

use super::args::Explain;
use super::failure::Failure;
use super::{client, output};

/// Asks the control plane. Nothing known of the trace id is an answer: exit code 1.
pub(crate) async fn run(explain: Explain) -> Result<(), Failure> {
    let client = client(&explain.common.target)?;
    let found: Result<Explanation, Failure> = client.get(&paths::trace(&explain.trace_id)).await;
    match found {
        Ok(explanation) => output::one(&explanation, explain.common.output, text),
        Err(Failure::Refused(problem)) if problem.code == code::NOT_FOUND.name => {
            eprintln!("{}: {}", explain.trace_id, problem.detail);
            Err(Failure::No)
        }
        Err(other) => Err(other),
    }
}

fn text(explanation: &Explanation) -> String {
    let calls: Vec<String> = explanation.calls.iter().map(call).collect();
    calls.join("\n\n")
}

/// A call for people: what came, where it led, which rule ended it.
fn call(call: &ExplainedCall) -> String {
    let decision = &call.decision;
    let mut out = Lines::default();
    let request = &decision.request;
    let query = request
        .query
        .as_ref()
        .map_or_else(String::new, |query| format!("?{query}"));
    out.line(
        "call",
        format!("{} {}{query}", request.method, request.path),
    );
    out.line("host", &request.host);
    out.line("from", &request.client_ip);
    let at = output::time(decision.at_unix_ms);
    out.line(
        "at",
        format!("{at}, {} on {}", span(decision.took_us), call.node),
    );
    for (name, value) in &request.headers {
        out.line("header", format!("{name}: {value}"));
    }
    matched(&mut out, decision);
    caller(&mut out, call);
    for (index, step) in decision.policies.iter().enumerate() {
        let outcome = match step.outcome {
            StepOutcome::Passed => "passed",
            StepOutcome::Rejected => "REJECTED",
            StepOutcome::NotReached => "not reached",
        };
        out.line(
            "policy",
            format!("{}. {}: {outcome}", index + 1, step.policy),
        );
    }
    quota(&mut out, decision);
    upstream(&mut out, decision);
    answer(&mut out, decision);
    out.0
}

fn matched(out: &mut Lines, decision: &Decision) {
    let matched = &decision.matched;
    if let Some(api) = &matched.api {
        let gate = &api.gate;
        out.line(
            "api",
            format!("{} version {} ({gate})", api.name, api.version),
        );
    }
    if let Some(operation) = &matched.operation {
        let text = operation_text(&operation.name, &operation.template);
        out.line("operation", text);
    }
    if !matched.missing.is_empty() {
        out.line("operation", format!("none: {}", matched.missing));
    }
}

/// An operation that is named by method and template says the template by its name.
fn operation_text(name: &str, template: &str) -> String {
    if name.ends_with(template) {
        return name.to_owned();
    }
    format!("{name} ({template})")
}

fn caller(out: &mut Lines, call: &ExplainedCall) {
    let Some(caller) = &call.decision.caller else {
        return;
    };
    let id = caller.application.map(|id| id.to_string());
    if let Some(name) = call.application.clone().or(id) {
        out.line("application", name);
    }
    if let Some(scopes) = &caller.scopes {
        out.line("scopes", scopes.join(" "));
    }
    if let Some(plan) = &caller.plan {
        out.line("plan", plan);
    }
}

fn quota(out: &mut Lines, decision: &Decision) {
    let Some(quota) = &decision.quota else {
        return;
    };
    let window = quota.window_ms.div_ceil(1000);
    let reset = quota.reset_ms.div_ceil(1000);
    let whose = match quota.window.as_str() {
        "policy" => format!("limit {}", quota.name),
        of_plan => format!("{of_plan} of plan {}", quota.name),
    };
    let text = format!(
        "{} of {} used in {window}s ({whose}), more in {reset}s",
        quota.used, quota.limit
    );
    out.line("quota", text);
}

fn upstream(out: &mut Lines, decision: &Decision) {
    let Some(backend) = &decision.backend else {
        return;
    };
    out.line("backend", &backend.name);
    for tried in &backend.tries {
        let result = match (tried.status, &tried.error) {
            (Some(status), _) => status.to_string(),
            (None, Some(error)) => error.clone(),
            (None, None) => String::new(),
        };
        let took = span(tried.took_us);
        let text = format!(
            "{} ({}), {took}: {result}",
            tried.endpoint, tried.connection
        );
        out.line("try", text);
    }
}

fn answer(out: &mut Lines, decision: &Decision) {
    let answer = &decision.answer;
    out.line(
        "answer",
        format!("{} {}: {}", answer.status, answer.code, answer.detail),
    );
    if !answer.rule.is_empty() {
        out.line("rule", &answer.rule);
    }
    for fact in &answer.facts {
        let found = if fact.found.is_empty() {
            "nothing"
        } else {
            &fact.found
        };
        let mut text = format!("{}: {found}", fact.name);
        if !fact.expected.is_empty() {
            let _ = write!(text, "; would pass: {}", fact.expected);
        }
        out.line("fact", text);
    }
}

/// Microseconds as people read them.
fn span(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} µs"),
        1_000..1_000_000 => format!("{}.{} ms", us / 1_000, us % 1_000 / 100),
        _ => format!("{}.{} s", us / 1_000_000, us % 1_000_000 / 100_000),
    }
}

/// Lines of a name and a text.
#[derive(Default)]
struct Lines(String);

impl Lines {
    fn line(&mut self, name: &str, text: impl AsRef<str>) {
        if !self.0.is_empty() {
            self.0.push('\n');
        }
        // What strangers sent must not move the cursor.
        let text: String = text
            .as_ref()
            .chars()
            .map(|found| if found.is_control() { '?' } else { found })
            .collect();
        let _ = write!(self.0, "{name:<12} {text}");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn people_read_policy_rule_and_claim() {
        let value = json!({
            "traceId": "t",
            "calls": [{
                "node": "n1",
                "application": "shop",
                "decision": {
                    "traceId": "t", "atUnixMs": 1_767_225_600_000_u64, "tookUs": 1234,
                    "request": {"method": "GET", "host": "h", "path": "/pets/1.0.0/pets\u{1b}[2J",
                                "query": "key=*", "clientIp": "::1"},
                    "matched": {"api": {"org": "default", "name": "pets-1.0.0", "version": "1.0.0", "gate": "serve"},
                                "operation": {"name": "listPets", "template": "/pets"}},
                    "policies": [{"policy": "cors", "outcome": "passed"}, {"policy": "jwt", "outcome": "rejected"},
                                 {"policy": "planQuota", "outcome": "not-reached"}],
                    "quota": {"name": "Gold", "window": "quota", "limit": 5, "used": 5, "windowMs": 60000, "resetMs": 59001},
                    "backend": {"name": "b", "tries": [{"endpoint": "127.0.0.1:1", "connection": "connecting",
                                "begunUs": 0, "tookUs": 10, "error": "connection refused"}]},
                    "answer": {"status": 401, "code": "TOKEN_EXPIRED", "detail": "over", "rule": "token-expired",
                               "facts": [{"name": "claim exp", "found": "7s ago", "expected": "ahead"},
                                         {"name": "header", "found": "", "expected": ""}]},
                },
            }],
        });
        let explanation: Explanation = serde_json::from_value(value).unwrap();
        let text = text(&explanation);
        for line in [
            "call         GET /pets/1.0.0/pets?[2J?key=*",
            "at           2026-01-01T00:00:00Z, 1.2 ms on n1",
            "api          pets-1.0.0 version 1.0.0 (serve)",
            "operation    listPets (/pets)",
            "policy       1. cors: passed",
            "policy       2. jwt: REJECTED",
            "policy       3. planQuota: not reached",
            "quota        5 of 5 used in 60s (quota of plan Gold), more in 60s",
            "try          127.0.0.1:1 (connecting), 10 µs: connection refused",
            "answer       401 TOKEN_EXPIRED: over",
            "rule         token-expired",
            "fact         claim exp: 7s ago; would pass: ahead",
            "fact         header: nothing",
        ] {
            assert!(text.lines().any(|have| have == line), "{line}\n---\n{text}");
        }
    }
}
