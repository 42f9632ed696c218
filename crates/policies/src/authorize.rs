//! `authorize`: which callers may, by conditions on who they are and what they ask for.

use base::Diagnostic;
use base::code::{CALLER_NOT_ALLOWED, CREDENTIALS_MISSING};
use expr::{Attribute, Attributes as _, Expr, Value};
use policy::{CompileEnv, Nobody, Outcome, Phase, Policy, PolicyKind, Reject, RequestCx};
use schemars::JsonSchema;
use serde::Deserialize;

/// The kind.
pub struct Authorize;

/// The most rules.
const RULES_MAX: usize = 100;
/// The longest message and name.
const TEXT_CHARS_MAX: usize = 500;

/// What callers must be.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Config {
    /// A condition (CEL) that must hold, such as `'admin' in principal.roles` or `principal.claims.dept == 'sales'`. Either
    /// this or `rules`.
    #[schemars(length(min = 1, max = 2048))]
    require: Option<String>,
    /// What a caller is told who may not; default: that it may not.
    #[schemars(length(min = 1, max = 500))]
    message: Option<String>,
    /// Several conditions, all of which must hold.
    #[serde(default)]
    #[schemars(length(max = 100))]
    rules: Vec<RuleConfig>,
}

/// One condition of several.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RuleConfig {
    /// What operators see of it; default: the text of `require`.
    #[schemars(length(min = 1, max = 500))]
    name: Option<String>,
    /// For which calls it is meant: a condition (CEL); absent = all. A call for which it has no answer is meant too.
    #[schemars(length(min = 1, max = 2048))]
    when: Option<String>,
    /// What must hold for them: a condition (CEL). Without an answer (a claim is not there) it does not hold.
    #[schemars(length(min = 1, max = 2048))]
    require: String,
    /// What a caller is told who may not.
    #[schemars(length(min = 1, max = 500))]
    message: Option<String>,
}

/// Holds a call against all rules; the first that does not hold refuses. An expression that has no value protects: a rule
/// is meant, and does not hold.
///
/// # Errors
/// `CALLER_NOT_ALLOWED` (403), which tells the caller the rule's message and nothing of what was compared;
/// `CREDENTIALS_MISSING` (401) where who called as nobody would have to be somebody.
struct Running {
    rules: Box<[Rule]>,
}

struct Rule {
    name: String,
    when: Option<Expr>,
    require: Expr,
    message: String,
    /// Whether it looks at who calls.
    of_caller: bool,
}

impl PolicyKind for Authorize {
    const NAME: &'static str = "authorize";
    const PHASE: Phase = Phase::Authorize;
    const SUMMARY: &'static str =
        "Lets only callers pass for which conditions on roles, claims and the request hold.";
    type Config = Config;

    fn compile(&self, config: Config, _: &CompileEnv) -> Result<Box<dyn Policy>, Vec<Diagnostic>> {
        let mut faults = Vec::new();
        if config.require.is_some() != config.rules.is_empty() {
            let message = "exactly one of `require`, `rules` is expected";
            faults.push(
                Diagnostic::error("one-key", "", message)
                    .mend("write `require: \"'admin' in principal.roles\"`, or a list of `rules`"),
            );
        }
        if config.rules.len() > RULES_MAX {
            let message = format!("at most {RULES_MAX} rules are accepted");
            faults.push(Diagnostic::error("rules-max", "/rules", message));
        }
        let alone = config.require.map(|require| RuleConfig {
            name: None,
            when: None,
            require,
            message: None,
        });
        let of_list = alone.is_none();
        let rules = alone.into_iter().chain(config.rules).enumerate();
        let rules: Vec<Rule> = rules
            .filter_map(|(index, rule)| {
                let pointer = if of_list {
                    format!("/rules/{index}")
                } else {
                    String::new()
                };
                Rule::compile(rule, config.message.as_deref(), &pointer, &mut faults)
            })
            .collect();
        if !faults.is_empty() {
            return Err(faults);
        }
        Ok(Box::new(Running {
            rules: rules.into(),
        }))
    }
}

impl Rule {
    fn compile(
        config: RuleConfig,
        message: Option<&str>,
        pointer: &str,
        faults: &mut Vec<Diagnostic>,
    ) -> Option<Self> {
        let texts = [
            ("name", config.name.as_deref()),
            ("message", config.message.as_deref().or(message)),
        ];
        for (key, text) in texts {
            let Some(text) = text else { continue };
            let chars = text.chars().count();
            if chars == 0 || chars > TEXT_CHARS_MAX || text.chars().any(char::is_control) {
                let pointer = format!("{pointer}/{key}");
                let message = "1 to 500 characters are expected, and no control characters";
                faults.push(Diagnostic::error("rule-text", pointer, message));
            }
        }
        let mut compiled = |key: &str, source: &str| {
            let compiled = Expr::compile(source);
            let fault = |error: expr::CompileError| {
                let pointer = format!("{pointer}/{key}");
                faults.push(Diagnostic::error("expression", pointer, error.to_string()));
            };
            compiled.map_err(fault).ok()
        };
        let when = config.when.as_deref().map(|when| compiled("when", when));
        let require = compiled("require", &config.require)?;
        let when = match when {
            Some(when) => Some(when?),
            None => None,
        };
        let message = config.message.as_deref().or(message);
        Some(Self {
            name: config.name.unwrap_or_else(|| require.source().to_owned()),
            of_caller: require.needs().iter().any(is_of_caller),
            when,
            require,
            message: message
                .unwrap_or("the caller is not allowed to do this")
                .to_owned(),
        })
    }

    fn refuses(&self, cx: &RequestCx) -> bool {
        let is_meant = |when: &Expr| when.holds(cx).unwrap_or(true);
        self.when.as_ref().is_none_or(is_meant) && !self.require.holds(cx).unwrap_or(false)
    }

    fn refusal(&self, cx: &RequestCx) -> Reject {
        if self.of_caller && cx.principal.is_none() && cx.slots.get::<Nobody>().is_some() {
            let detail = "the call needs a credential, and the request carries none";
            return Reject::new(CREDENTIALS_MISSING, detail)
                .because("authorize")
                .fact("rule", "nobody calls", &*self.name);
        }
        let mut reject = Reject::new(CALLER_NOT_ALLOWED, self.message.clone())
            .because("authorize")
            .fact("rule", "does not hold", &*self.name);
        for attribute in self.require.needs() {
            let (name, which) = named(attribute);
            let found = told(cx, attribute);
            reject = reject.fact(name, found, which);
        }
        reject
    }
}

fn is_of_caller(attribute: &Attribute) -> bool {
    matches!(
        attribute,
        Attribute::Application
            | Attribute::Subject
            | Attribute::Scopes
            | Attribute::Roles
            | Attribute::Claim(_)
    )
}

/// What a rule looks at, for operators; and which claim, header or parameter, in place of what would have passed.
fn named(attribute: &Attribute) -> (&'static str, String) {
    match attribute {
        Attribute::Method => ("request.method", String::new()),
        Attribute::Path => ("request.path", String::new()),
        Attribute::Query => ("request.query", String::new()),
        Attribute::Header(name) => ("request.headers", name.clone()),
        Attribute::Parameter(name) => ("request.parameters", name.clone()),
        Attribute::ClientIp => ("client.ip", String::new()),
        Attribute::Application => ("application.id", String::new()),
        Attribute::Subject => ("principal.subject", String::new()),
        Attribute::Scopes => ("principal.scopes", String::new()),
        Attribute::Roles => ("principal.roles", String::new()),
        Attribute::Claim(name) => ("claim", name.clone()),
    }
}

/// What was there, as far as operators may see it: of claims, headers and parameters whether they are there and of what
/// type, never their values.
fn told(cx: &RequestCx, attribute: &Attribute) -> String {
    let asked = match attribute {
        Attribute::Header(name) => &Attribute::Header(name.to_ascii_lowercase()),
        other => other,
    };
    let Some(value) = cx.value(asked) else {
        return "absent".to_owned();
    };
    let open = !matches!(
        attribute,
        Attribute::Query | Attribute::Header(_) | Attribute::Parameter(_) | Attribute::Claim(_)
    );
    match value {
        Value::Text(text) if open => text.into_owned(),
        Value::Texts(texts) if open => texts.join(" "),
        Value::Text(_) => "a text".to_owned(),
        Value::Texts(_) => "a list".to_owned(),
        Value::Json(value) => match value {
            serde_json::Value::Null => "null",
            serde_json::Value::Bool(_) => "a truth value",
            serde_json::Value::Number(_) => "a number",
            serde_json::Value::String(_) => "a text",
            serde_json::Value::Array(_) => "a list",
            serde_json::Value::Object(_) => "an object",
        }
        .to_owned(),
    }
}

impl Policy for Running {
    fn on_request<'a>(&'a self, cx: &'a mut RequestCx) -> Outcome<'a> {
        match self.rules.iter().find(|rule| rule.refuses(cx)) {
            None => Outcome::CONTINUE,
            Some(rule) => rule.refusal(cx).into(),
        }
    }
}

#[cfg(test)]
mod tests;
