//! `identityHeaders`: tells the backend of the caller and the call, in header fields.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base::Diagnostic;
use base::code::CALLER_NOT_ALLOWED;
use expr::{Attribute, Expr};
use http::header::{HeaderName, HeaderValue};
use policy::{CompileEnv, Outcome, Phase, Policy, PolicyKind, Reject, RequestCx};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::owned_headers;

/// The kind.
pub struct IdentityHeaders;

/// The most fields.
const FIELDS_MAX: usize = 50;
/// The longest value, in bytes, as it is sent: half of what common servers accept of one field. A longer one refuses the call.
const VALUE_BYTES_MAX: usize = 4096;

/// Names of header fields, and what they say: an expression (CEL), such as `principal.subject`, or `{value: …, encoding: …}`.
/// `principal.scopes` and `principal.roles` alone are lists: scopes are joined by spaces, roles by commas. A field whose
/// expression has no value (nobody calls, a claim is not there) is not sent. What clients send under these names never
/// reaches a backend of the API.
#[derive(Deserialize, JsonSchema)]
pub struct Config(BTreeMap<String, Field>);

/// What a field says.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
enum Field {
    /// An expression.
    Expression(String),
    /// An expression, and how its value is sent.
    Encoded(Encoded),
}

/// An expression, and how its value is sent.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Encoded {
    /// The expression (CEL).
    value: String,
    /// How what cannot stand in a header is sent.
    #[serde(default)]
    encoding: Encoding,
}

/// How a value is sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Encoding {
    /// As it is; a call whose value is no printable ASCII is refused.
    #[default]
    None,
    /// As in a URL: all but letters, digits, `-`, `.`, `_`, `~` as `%XX` of UTF-8.
    Percent,
}

/// Evaluates the expressions when everything else has passed. A value that could be taken for several, or for another field,
/// never goes out: one with a control character, with a character beyond ASCII, with a space at an end, or a role with a comma
/// (a scope with a space) in a list.
///
/// # Errors
/// `CALLER_NOT_ALLOWED` (403) for a value that cannot be sent; the backend is not called.
struct Running {
    fields: Box<[(HeaderName, Telling)]>,
}

struct Telling {
    expr: Expr,
    encoding: Encoding,
    /// It is this list of the caller's, and nothing else.
    list: Option<List>,
}

#[derive(Clone, Copy)]
enum List {
    Scopes,
    Roles,
}

/// Why a value cannot be sent.
struct Unsafe(&'static str);

impl PolicyKind for IdentityHeaders {
    const NAME: &'static str = "identityHeaders";
    const PHASE: Phase = Phase::Transform;
    const SUMMARY: &'static str = "Tells the backend of the caller, in header fields.";
    type Config = Config;

    fn owned(config: &Config) -> Vec<HeaderName> {
        config
            .0
            .keys()
            .filter_map(|name| name.parse().ok())
            .collect()
    }

    fn compile(&self, config: Config, _: &CompileEnv) -> Result<Box<dyn Policy>, Vec<Diagnostic>> {
        let mut faults = Vec::new();
        if config.0.len() > FIELDS_MAX {
            let message = format!("at most {FIELDS_MAX} fields are accepted");
            faults.push(Diagnostic::error("header-count", "", message));
        }
        let mut fields: Vec<(HeaderName, Telling)> = Vec::new();
        for (text, field) in config.0 {
            let pointer = format!("/{}", text.replace('~', "~0").replace('/', "~1"));
            let name = owned_headers::name(&pointer, &text, &mut faults);
            let telling = Telling::compile(field, &pointer, &mut faults);
            let (Some(name), Some(telling)) = (name, telling) else {
                continue;
            };
            if fields.iter().any(|(known, _)| *known == name) {
                let message = format!("the header {text:?} is named twice; case does not matter");
                faults.push(Diagnostic::error("header-twice", pointer, message));
                continue;
            }
            fields.push((name, telling));
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        Ok(Box::new(Running {
            fields: fields.into(),
        }))
    }
}

impl Telling {
    fn compile(field: Field, pointer: &str, faults: &mut Vec<Diagnostic>) -> Option<Self> {
        let (source, encoding, pointer) = match field {
            Field::Expression(source) => (source, Encoding::None, pointer.to_owned()),
            Field::Encoded(of) => (of.value, of.encoding, format!("{pointer}/value")),
        };
        let fault = |error: expr::CompileError| {
            faults.push(Diagnostic::error("expression", pointer, error.to_string()));
        };
        let expr = Expr::compile(&source).map_err(fault).ok()?;
        let list = match source.trim() {
            "principal.scopes" => Some(List::Scopes),
            "principal.roles" => Some(List::Roles),
            _ => None,
        };
        Some(Self {
            expr,
            encoding,
            list,
        })
    }

    /// The value; `None` where there is none.
    fn value(&self, cx: &RequestCx) -> Result<Option<HeaderValue>, Unsafe> {
        let text: Option<Cow<'_, str>> = match (self.list, self.expr.alone()) {
            (Some(list), _) => self.list(cx, list)?.map(Cow::Owned),
            // The usual one: what it costs to evaluate is saved.
            (None, Some(Attribute::Subject)) => {
                let principal = cx.principal.as_ref();
                let subject = principal.and_then(|of| of.identity.subject.as_deref());
                subject.map(Cow::Borrowed)
            }
            (None, _) => self.expr.text(cx).ok().map(Cow::Owned),
        };
        text.map(|text| self.sent(&text)).transpose()
    }

    fn list(&self, cx: &RequestCx, list: List) -> Result<Option<String>, Unsafe> {
        let Some(principal) = &cx.principal else {
            return Ok(None);
        };
        let identity = &*principal.identity;
        let (texts, joint, fault) = match list {
            List::Scopes => (
                identity.scopes.as_deref(),
                ' ',
                "a scope has a space, and would be taken for two",
            ),
            List::Roles => (
                Some(identity.roles.as_slice()),
                ',',
                "a role has a comma, and would be taken for two",
            ),
        };
        let texts = texts.filter(|texts| !texts.is_empty());
        let Some(texts) = texts else { return Ok(None) };
        if self.encoding == Encoding::None && texts.iter().any(|text| text.contains(joint)) {
            return Err(Unsafe(fault));
        }
        // An encoded list has its joints as they are, and those of its members encoded.
        let member = |text: &String| match self.encoding {
            Encoding::None => text.clone(),
            Encoding::Percent => percent(text),
        };
        let members: Vec<String> = texts.iter().map(member).collect();
        Ok(Some(members.join(&joint.to_string())))
    }

    fn sent(&self, text: &str) -> Result<HeaderValue, Unsafe> {
        let encoded = match self.encoding {
            Encoding::Percent if self.list.is_none() => Cow::Owned(percent(text)),
            _ => Cow::Borrowed(text),
        };
        if encoded.len() > VALUE_BYTES_MAX {
            return Err(Unsafe("the value is longer than 4096 bytes"));
        }
        if !encoded.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
            return Err(Unsafe(
                "the value has characters that are no printable ASCII",
            ));
        }
        if encoded.starts_with(' ') || encoded.ends_with(' ') {
            return Err(Unsafe("the value begins or ends with a space"));
        }
        HeaderValue::from_str(&encoded).map_err(|_| Unsafe("the value cannot stand in a header"))
    }
}

/// RFC 3986 §2.3: all but unreserved characters.
fn percent(text: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").expect("writing to a String never fails");
        }
    }
    out
}

impl Policy for Running {
    fn on_request<'a>(&'a self, cx: &'a mut RequestCx) -> Outcome<'a> {
        for (name, telling) in &self.fields {
            match telling.value(cx) {
                Ok(Some(value)) => cx.headers.insert(name.clone(), value),
                Ok(None) => cx.headers.remove(name),
                Err(Unsafe(fault)) => {
                    let detail =
                        "what the backend has to be told of the caller cannot stand in a header";
                    return Reject::new(CALLER_NOT_ALLOWED, detail)
                        .because("identity-header")
                        .fact("header", fault, name.as_str())
                        .into();
                }
            };
        }
        Outcome::CONTINUE
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use policy::Identity;
    use serde_json::json;

    use super::*;
    use crate::testing::{Bench, compile, compile_errors};

    fn identity() -> Identity {
        let claims =
            json!({"tenant": "acme", "name": "Zoë", "level": 3, "evil": "a\r\nX-Admin: 1"});
        Identity {
            subject: Some("alice".to_owned()),
            scopes: Some(vec!["orders:read".to_owned(), "orders:write".to_owned()]),
            roles: vec!["seller".to_owned(), "eu".to_owned()],
            claims: claims.as_object().unwrap().clone(),
        }
    }

    fn sent(
        config: serde_json::Value,
        identity: Option<Identity>,
    ) -> Result<Vec<(String, String)>, Reject> {
        let bench = Bench::new();
        let policy = compile("identityHeaders", config);
        let mut cx = bench.request_of("GET", "/pets", None);
        match identity {
            Some(identity) => crate::testing::principal_mut(&mut cx).identity = Arc::new(identity),
            None => cx.principal = None,
        }
        // What was put there behind the removal of what clients send.
        cx.headers.insert("x-user", "forged".parse().unwrap());
        bench.run(&*policy, &mut cx)?;
        let mut sent: Vec<_> = cx
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
            .collect();
        sent.sort();
        Ok(sent)
    }

    /// req: GW10
    #[test]
    fn the_backend_is_told_of_the_caller() {
        let config = json!({
            "X-User": "principal.subject",
            "X-Roles": "principal.roles",
            "X-Scopes": "principal.scopes",
            "X-Tenant": "principal.claims['tenant']",
            "X-Level": "principal.claims['level']",
            "X-Absent": "principal.claims['absent']",
            "X-What": "request.method + ' ' + request.path",
            "X-Name": {"value": "principal.claims['name']", "encoding": "percent"},
        });
        let expected = [
            ("x-level", "3"),
            ("x-name", "Zo%C3%AB"),
            ("x-roles", "seller,eu"),
            ("x-scopes", "orders:read orders:write"),
            ("x-tenant", "acme"),
            ("x-user", "alice"),
            ("x-what", "GET /pets"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(sent(config, Some(identity())).unwrap(), expected);
    }

    /// req: S6
    #[test]
    fn nobody_is_told_as_nobody() {
        let config = json!({"X-User": "principal.subject", "X-Roles": "principal.roles"});
        assert!(sent(config, None).unwrap().is_empty());
    }

    /// req: S6
    #[test]
    fn no_value_becomes_another_field_or_two_values() {
        let of = |change: &dyn Fn(&mut Identity)| {
            let mut identity = identity();
            change(&mut identity);
            Some(identity)
        };
        let two = |identity: &mut Identity| identity.roles = vec!["a,admin".to_owned()];
        let scope = |identity: &mut Identity| identity.scopes = Some(vec!["a admin".to_owned()]);
        let long = |identity: &mut Identity| identity.subject = Some("a".repeat(5000));
        let none = |_: &mut Identity| {};
        for (value, identity) in [
            ("principal.claims['evil']", of(&none)),
            ("principal.claims['name']", of(&none)),
            ("principal.claims['tenant'] + ' '", of(&none)),
            ("principal.roles", of(&two)),
            ("principal.scopes", of(&scope)),
            ("principal.subject", of(&long)),
        ] {
            let refused = sent(json!({"X-It": value}), identity).unwrap_err();
            assert_eq!(refused.code, CALLER_NOT_ALLOWED, "{value}");
            let reason = refused.reason.unwrap();
            assert_eq!(reason.rule, "identity-header");
            assert!(!format!("{reason:?}").contains("Admin"), "{reason:?}");
        }
        let encoded = |value: &str| json!({"X-It": {"value": value, "encoding": "percent"}});
        let told = |value, identity| sent(encoded(value), identity).unwrap()[0].1.clone();
        assert_eq!(
            told("principal.claims['evil']", of(&none)),
            "a%0D%0AX-Admin%3A%201"
        );
        assert_eq!(told("principal.roles", of(&two)), "a%2Cadmin");
    }

    #[test]
    fn faults_have_their_places() {
        let config = json!({
            "Host": "principal.subject",
            "X-User": "principal.",
            "X-Twice": "client.ip",
            "x-twice": "client.ip",
            "X-Deep": {"value": "nonsense.x"},
        });
        let faults = compile_errors("identityHeaders", config);
        let mut places: Vec<_> = faults
            .iter()
            .map(|fault| (fault.pointer.as_str(), &*fault.rule))
            .collect();
        places.sort_unstable();
        let expected = [
            ("/Host", "header-reserved"),
            ("/X-Deep/value", "expression"),
            ("/X-User", "expression"),
            ("/x-twice", "header-twice"),
        ];
        assert_eq!(places, expected);
    }
}
