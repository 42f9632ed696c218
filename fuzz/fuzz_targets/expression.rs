//! Expressions (CEL): any text compiles or is refused with a place in it, and what compiled is evaluated to a value or an
//! error.
#![no_main]

use std::sync::LazyLock;

use expr::{Attribute, Attributes, Expr, Value};
use libfuzzer_sys::fuzz_target;

struct Request;

static ROLES: LazyLock<Vec<String>> = LazyLock::new(|| vec!["a".to_owned(), "b".to_owned()]);
static CLAIM: LazyLock<serde_json::Value> =
    LazyLock::new(|| serde_json::json!({"a": ["b", 1, 2.5, null, true], "b": {"a": "ä"}}));

impl Attributes for Request {
    fn value(&self, attribute: &Attribute) -> Option<Value<'_>> {
        match attribute {
            Attribute::Method => Some("GET".into()),
            Attribute::Path => Some("/a/ä".into()),
            Attribute::Query | Attribute::Application | Attribute::Scopes => None,
            Attribute::Header(name) | Attribute::Parameter(name) => Some(name.clone().into()),
            Attribute::Subject => Some("alice".into()),
            Attribute::Roles => Some(Value::Texts(&ROLES)),
            Attribute::Claim(_) => Some(Value::Json(&CLAIM)),
            Attribute::ClientIp => Some("192.0.2.7".into()),
        }
    }
}

fuzz_target!(|source: &str| {
    match Expr::compile(source) {
        Ok(expr) => {
            let text = expr.text(&Request);
            // Sums of what it looks at and what it says; it has no way to more.
            assert!(text.is_ok_and(|text| text.len() <= 64 * 1024) || expr.text(&Request).is_err());
            let _ = expr.holds(&Request);
        }
        Err(error) => {
            assert!(
                error.line >= 1 && error.line <= source.lines().count() + 1,
                "{error}"
            );
            assert!(
                error.column >= 1 && error.column <= source.len() + 2,
                "{error}"
            );
        }
    }
});
