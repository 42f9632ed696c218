use proptest::prelude::*;
use serde_json::json;

use super::*;

struct Request {
    roles: Vec<String>,
    claims: serde_json::Value,
}

fn request() -> Request {
    Request {
        roles: vec!["admin".to_owned()],
        claims: json!({"dept": "sales", "level": 3, "realm": {"roles": ["a", "b"]}, "aud": ["x"]}),
    }
}

impl Attributes for Request {
    fn value(&self, attribute: &Attribute) -> Option<Value<'_>> {
        let value = match attribute {
            Attribute::Parameter(name) if name == "page" => "2",
            Attribute::Subject => "alice",
            Attribute::Roles => return Some(Value::Texts(&self.roles)),
            Attribute::Claim(name) => return self.claims.get(name).map(Value::Json),
            Attribute::Parameter(_) | Attribute::Scopes => return None,
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
        ("request.parameters['page'] + request.parameters.page", "22"),
        (
            "'per' in request.parameters ? request.parameters['per'] : '10'",
            "10",
        ),
        ("principal.subject", "alice"),
        (
            "principal.claims['dept'] + principal.claims.dept",
            "salessales",
        ),
        ("principal.claims.realm.roles[0]", "a"),
        ("principal.claims['realm']['roles'][1]", "b"),
        ("principal.claims.level + 1", "4"),
    ] {
        let expr = Expr::compile(source).unwrap();
        assert_eq!(expr.text(&request()).as_deref(), Ok(expected), "{source}");
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
        ("'admin' in principal.roles", Ok(true)),
        ("'a' in principal.claims.realm.roles", Ok(true)),
        ("!('c' in principal.claims['realm'].roles)", Ok(true)),
        ("'dept' in principal.claims", Ok(true)),
        ("has(principal.claims.group)", Ok(false)),
        (
            "has(principal.scopes) && 'read' in principal.scopes",
            Ok(false),
        ),
        ("principal.claims.aud == ['x']", Ok(true)),
        ("request.path", Err(EvalError::WrongType("truth value"))),
    ] {
        assert_eq!(
            Expr::compile(source).unwrap().holds(&request()),
            expected,
            "{source}"
        );
    }
    let missing = Expr::compile("application.id == 'a'").unwrap();
    assert!(matches!(
        missing.holds(&request()),
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
        ("principal.claims", 1, 10, "named by a literal"),
        (
            "principal.claims[request.path]",
            1,
            10,
            "named by a literal",
        ),
        ("principal.name", 1, 10, "`principal.name` is not known"),
        ("{'a': 1}.a", 1, 9, "is not known"),
        ("[1, 2].all(x, x > 0)", 1, 11, "loops"),
        (
            "request.path.matches(request.query)",
            1,
            29,
            "takes a pattern, written out",
        ),
        ("request.path.matches('(a')", 1, 22, "unclosed group"),
        (
            "'a' == 'b' || 'a'.matches('(a{99}){99}{99}')",
            1,
            27,
            "size limit",
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

/// req: TM1
#[test]
fn networks_are_asked_for_addresses() {
    for (source, expected) in [
        ("inNetwork(client.ip, '192.0.2.0/24')", true),
        ("inNetwork(client.ip, '192.0.2.7')", true),
        ("inNetwork(client.ip, '192.0.2.8/31')", false),
        ("!inNetwork(client.ip, '10.0.0.0/8')", true),
        ("inNetwork(client.ip, '2001:db8::/32')", false),
        ("inNetwork('2001:db8::1', '2001:db8::/32')", true),
        ("inNetwork('::ffff:10.1.2.3', '10.0.0.0/8')", true),
        (
            "inNetwork(client.ip, '0.0.0.0/0') && request.method == 'GET'",
            true,
        ),
    ] {
        let expr = Expr::compile(source).unwrap_or_else(|error| panic!("{source}: {error}"));
        assert_eq!(expr.holds(&request()), Ok(expected), "{source}");
    }
    let no_address = Expr::compile("inNetwork(request.path, '10.0.0.0/8')").unwrap();
    assert!(matches!(
        no_address.holds(&request()),
        Err(EvalError::NoValue(_))
    ));
    for source in [
        "inNetwork(client.ip)",
        "inNetwork(client.ip, '10.0.0.0/33')",
        "inNetwork(client.ip, client.ip)",
        "inNetwork(client.ip, '10.0.0.0/8', '')",
        "inNetwork(user, '10.0.0.0/8')",
        "inNetwork",
    ] {
        assert!(Expr::compile(source).is_err(), "{source}");
    }
}

/// req: TM1
#[test]
fn patterns_are_found_in_texts() {
    for (source, expected) in [
        ("request.method.matches('^G')", true),
        ("request.method.matches('^(POST|PUT)$')", false),
        ("!request.method.matches('^(POST|PUT)$')", true),
        ("matches(request.method, 'E')", true),
        ("client.ip.matches(r'^192\\.0\\.2\\.')", true),
        (
            "'a' .matches('^a$') && 'b'.matches('^b$') && !'b'.matches('^a$')",
            true,
        ),
        // What would take for ever where patterns step back.
        (
            "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab'.matches('^(a+)+$')",
            false,
        ),
    ] {
        let expr = Expr::compile(source).unwrap_or_else(|error| panic!("{source}: {error}"));
        assert_eq!(expr.holds(&request()), Ok(expected), "{source}");
    }
    let missing = Expr::compile("request.headers['x-not-there'].matches('a')").unwrap();
    assert!(matches!(
        missing.holds(&request()),
        Err(EvalError::NoValue(_))
    ));
    let many: Vec<String> = (0..=PATTERNS_MAX)
        .map(|number| format!("'a'.matches('{number}')"))
        .collect();
    assert!(Expr::compile(&many[1..].join("||")).is_ok());
    let long = format!("'a'.matches('{}')", "a".repeat(PATTERN_BYTES_MAX + 1));
    for source in [many.join("||"), long] {
        assert!(Expr::compile(&source).is_err(), "{source}");
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
            expr.text(&request()).unwrap();
        }
    }
}

proptest! {
    /// Whatever the text: it compiles or not, and what compiled is evaluated to a value or an error.
    #[test]
    fn no_text_brings_it_down(source in "[a-z.()'\\[\\]!&|?:+0-9 ]{0,60}") {
        if let Ok(expr) = Expr::compile(&source) {
            let _ = expr.text(&request());
            let _ = expr.holds(&request());
        }
    }
}
