use std::borrow::Cow;

use proptest::prelude::*;

use super::*;

struct Request;

impl Attributes for Request {
    fn value(&self, attribute: &Attribute) -> Option<Cow<'_, str>> {
        let value = match attribute {
            Attribute::Method => "GET",
            Attribute::Path => "/shop/1.0.0/items/7",
            Attribute::Query => "a=b",
            Attribute::Header(name) if name == "x-user" => "alice",
            Attribute::Header(_) | Attribute::Application => return None,
            Attribute::ClientIp => "192.0.2.7",
        };
        Some(value.into())
    }
}

#[test]
fn values_of_a_request() {
    for (source, expected) in [
        ("request.headers['x-user']", "alice"),
        ("request.headers['X-User']", "alice"),
        ("client.ip + '|' + request.method", "192.0.2.7|GET"),
        (
            "'x-user' in request.headers ? request.headers['x-user'] : client.ip",
            "alice",
        ),
        (
            "'x-other' in request.headers ? request.headers['x-other'] : client.ip",
            "192.0.2.7",
        ),
        ("size(request.path) * 2", "38"),
        ("has(application.id) ? application.id : 'nobody'", "nobody"),
    ] {
        let expr = Expr::compile(source).unwrap();
        assert_eq!(expr.text(&Request).as_deref(), Ok(expected), "{source}");
    }
}

#[test]
fn conditions_hold_or_not_or_have_no_answer() {
    for (source, expected) in [
        (
            "request.path.startsWith('/shop/') && request.method in ['GET', 'HEAD']",
            Ok(true),
        ),
        ("request.query.contains('c=')", Ok(false)),
        ("request.path", Err(EvalError::WrongType("truth value"))),
    ] {
        assert_eq!(
            Expr::compile(source).unwrap().holds(&Request),
            expected,
            "{source}"
        );
    }
    let missing = Expr::compile("application.id == 'a'").unwrap();
    assert!(matches!(
        missing.holds(&Request),
        Err(EvalError::NoValue(_))
    ));
}

#[test]
fn what_is_refused_is_told_with_its_place() {
    for (source, line, column, part) in [
        ("request.path ==", 1, 16, ""),
        ("user == 'a'", 1, 1, "`user` is not known"),
        (
            "true &&\n  request.body == 'a'",
            2,
            10,
            "`request.body` is not known",
        ),
        ("request.headers == {}", 1, 8, "named by a literal"),
        ("request.headers[request.path]", 1, 8, "named by a literal"),
        ("[1, 2].all(x, x > 0)", 1, 11, "loops"),
        (
            "request.path.matches('a+')",
            1,
            21,
            "`matches` is not served",
        ),
        ("a.b.c()", 1, 6, "`c` is not served"),
    ] {
        let error = Expr::compile(source).unwrap_err();
        assert!(error.message.contains(part), "{source}: {error}");
        assert_eq!(
            (error.line, error.column),
            (line, column),
            "{source}: {error}"
        );
    }
}

/// req: S12
#[test]
fn size_and_depth_are_bounded() {
    let long = format!("'{}'", "a".repeat(SOURCE_BYTES_MAX));
    let wide = vec!["1"; SIGNS_MAX + 2].join("+");
    let open = "(".repeat(DEPTH_MAX + 1);
    let signs = format!("{}1", "-".repeat(SIGNS_MAX + 1));
    for source in [&long, &wide, &open, &signs] {
        let error = Expr::compile(source).unwrap_err();
        assert!(error.message.len() < 300, "{error}");
    }
    let deep = format!("{}1{}", "(1+".repeat(DEPTH_MAX), ")".repeat(DEPTH_MAX));
    assert!(Expr::compile(&deep).is_ok());
    // The largest that are let in do not exhaust a small stack.
    let sums = vec!["1"; SIGNS_MAX].join("+");
    let choices = format!("{}1", "true?1:".repeat(SIGNS_MAX / 2));
    let minuses = format!("{}1", "- ".repeat(SIGNS_MAX));
    for source in [sums, choices, minuses] {
        if let Ok(expr) = Expr::compile(&source) {
            expr.text(&Request).unwrap();
        }
    }
}

proptest! {
    /// Whatever the text: it compiles or not, and what compiled is evaluated to a value or an error.
    #[test]
    fn no_text_brings_it_down(source in "[a-z.()'\\[\\]!&|?:+0-9 ]{0,60}") {
        if let Ok(expr) = Expr::compile(&source) {
            let _ = expr.text(&Request);
            let _ = expr.holds(&Request);
        }
    }
}
