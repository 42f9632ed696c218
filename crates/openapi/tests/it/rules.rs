//! Every rule has a text that breaks it, and obeys the severity that is asked for.

use base::{Diagnostics, Severity};
use openapi::{RULES, Rules, check};
use spec::RuleSeverity;
use tree::Limits;

/// What a definition of each version needs at least.
const V2: &str = "swagger: '2.0'\ninfo: {title: t, version: v}\n";
const V3: &str = "openapi: 3.0.3\ninfo: {title: t, version: v}\n";
const V31: &str = "openapi: 3.1.0\ninfo: {title: t, version: v}\n";
const OK: &str = "responses: {'200': {description: d}}";

/// A rule, the beginning, and what breaks it.
const CASES: &[(&str, &str, &str)] = &[
    ("unknown-version", "", "openapi: 4.0.0"),
    ("missing-key", "", "openapi: 3.0.0\npaths: {}"),
    ("wrong-type", "", "openapi: 3.0.0\ninfo: 1\npaths: {}"),
    (
        "unknown-value",
        V3,
        "paths: {/a: {get: {parameters: [{name: x, in: nowhere, schema: {}}], OK}}}",
    ),
    ("path-template", V3, "paths: {'/a{': {}}"),
    ("duplicate-path", V31, "paths: {'/{a}': {}, '/{b}': {}}"),
    ("reference", V3, "paths: {/a: {$ref: '#/nowhere'}}"),
    (
        "external-reference",
        V3,
        "paths: {/a: {$ref: 'other.yaml#/a'}}",
    ),
    ("reference-cycle", V3, "paths: {/a: {$ref: '#/paths/~1a'}}"),
    (
        "written-password",
        V3,
        "paths: {}\nx-wso2-production-endpoints: {securityConfig: {password: hunter2}}",
    ),
    (
        "reference-outside",
        V3,
        "paths: {/a: {get: {responses: {'200': {$ref: '../../x.yaml'}}}}}",
    ),
    ("unroutable-path", V3, "paths: {'/a#b': {}}"),
    (
        "unserved-methods",
        "openapi: 3.2.0\ninfo: {title: t, version: v}\n",
        "paths: {/a: {additionalOperations: {COPY: {}}}}",
    ),
    ("unknown-key", V3, "paths: {/a: {fetch: {}}}"),
    (
        "server-variable",
        V3,
        "servers: [{url: 'http://{x}'}]\npaths: {}",
    ),
    (
        "version-number",
        "",
        "swagger: 2.0\ninfo: {title: t, version: v}\npaths: {}",
    ),
    ("schema-missing-key", V3, "paths: {/a: {get: {}}}"),
    (
        "schema-wrong-type",
        V3,
        "paths: {}\ncomponents: {schemas: {a: {description: 1}}}",
    ),
    ("schema-unknown-key", V3, "paths: {}\nserver: x"),
    (
        "schema-value",
        V3,
        "paths: {}\ncomponents: {schemas: {a: {type: int}}}",
    ),
    ("schema-form", V31, "components: {schemas: {'a b': {}}}"),
    (
        "schema-format",
        V3,
        "paths: {}\nexternalDocs: {url: 'h<tp://x'}",
    ),
    (
        "schema-range",
        V31,
        "servers: [{url: 'http://{x}', variables: {x: {default: a, enum: []}}}]\ncomponents: {}",
    ),
    (
        "schema-choice",
        V31,
        "components: {parameters: {a: {name: a, in: query, schema: {}, example: 1, examples: {b: {value: 1}}}}}",
    ),
    (
        "duplicate-operation-id",
        V3,
        "paths: {/a: {get: {operationId: x, OK}, put: {operationId: x, OK}}}",
    ),
    (
        "duplicate-parameter",
        V3,
        "paths: {/a: {get: {parameters: [{name: x, in: query, schema: {}}, {name: x, in: query, schema: {type: string}}], OK}}}",
    ),
    ("undeclared-parameter", V3, "paths: {'/{a}': {get: {OK}}}"),
    (
        "unused-parameter",
        V3,
        "paths: {/a: {get: {parameters: [{name: x, in: path, required: true, schema: {}}], OK}}}",
    ),
    ("unknown-scheme", V3, "security: [{x: []}]\npaths: {}"),
    ("faulty-requirement", V3, "security: [x]\npaths: {}"),
    (
        "unknown-scope",
        V3,
        "security: [{o: [x]}]\npaths: {}\ncomponents: {securitySchemes: {o: {type: oauth2, flows: {implicit: {authorizationUrl: /a, scopes: {}}}}}}",
    ),
    (
        "unresolved-reference",
        V3,
        "paths: {}\ncomponents: {schemas: {a: {$ref: '#/components/schemas/b'}}}",
    ),
    (
        "unread-reference",
        V3,
        "paths: {}\ncomponents: {schemas: {a: {$ref: 'other.yaml#/b'}}}",
    ),
    (
        "circular-reference",
        V3,
        "paths: {}\ncomponents: {schemas: {a: {allOf: [{$ref: '#/components/schemas/b'}]}, b: {$ref: '#/components/schemas/a'}}}",
    ),
    (
        "endless-schema",
        V3,
        "paths: {}\ncomponents: {schemas: {a: {required: [b], properties: {b: {$ref: '#/components/schemas/a'}}}}}",
    ),
    (
        "several-bodies",
        V2,
        "paths: {/a: {put: {parameters: [{name: a, in: body, schema: {}}, {name: b, in: body, schema: {}}], OK}}}",
    ),
    (
        "body-and-form",
        V2,
        "paths: {/a: {put: {parameters: [{name: a, in: body, schema: {}}, {name: b, in: formData, type: string}], OK}}}",
    ),
    (
        "form-consumes",
        V2,
        "paths: {/a: {put: {parameters: [{name: b, in: formData, type: string}], OK}}}",
    ),
    (
        "body-of-get",
        V3,
        "paths: {/a: {get: {requestBody: {content: {}}, OK}}}",
    ),
    (
        "reserved-header",
        V3,
        "paths: {/a: {get: {parameters: [{name: Accept, in: header, schema: {}}], OK}}}",
    ),
    (
        "default-mismatch",
        V3,
        "paths: {}\ncomponents: {schemas: {a: {type: integer, default: x}}}",
    ),
    (
        "example-mismatch",
        V3,
        "paths: {}\ncomponents: {schemas: {a: {required: [b], properties: {b: {type: string}}, example: {b: 1}}}}",
    ),
    (
        "enum-mismatch",
        V3,
        "paths: {}\ncomponents: {schemas: {a: {type: string, enum: [a, 1]}}}",
    ),
    (
        "undefined-required",
        V3,
        "paths: {}\ncomponents: {schemas: {a: {required: [nmae], properties: {name: {}}}}}",
    ),
    (
        "array-items",
        V3,
        "paths: {}\ncomponents: {schemas: {a: {type: array}}}",
    ),
    (
        "invalid-pattern",
        V3,
        "paths: {}\ncomponents: {schemas: {a: {type: string, pattern: '('}}}",
    ),
    (
        "discriminator-mapping",
        V3,
        "paths: {}\ncomponents: {schemas: {a: {discriminator: {propertyName: p, mapping: {x: Missing}}}}}",
    ),
    (
        "unused-server-variable",
        V3,
        "servers: [{url: 'http://x', variables: {y: {default: a}}}]\npaths: {}",
    ),
    (
        "server-default",
        V3,
        "servers: [{url: 'http://{y}', variables: {y: {default: a, enum: [b]}}}]\npaths: {}",
    ),
    (
        "link-operation",
        V3,
        "paths: {}\ncomponents: {links: {a: {operationId: missing}}}",
    ),
    (
        "component-name",
        V3,
        "paths: {}\ncomponents: {schemas: {'a b': {}}}",
    ),
    (
        "duplicate-tag",
        V3,
        "tags: [{name: a}, {name: a, description: b}]\npaths: {}",
    ),
    ("undeclared-tag", V3, "paths: {/a: {get: {tags: [x], OK}}}"),
    (
        "unused-component",
        V3,
        "paths: {}\ncomponents: {schemas: {a: {}}}",
    ),
];

/// Rules that one short text cannot break: several files, and a text that multiplies.
const ELSEWHERE: &[&str] = &["missing-file", "too-large"];

fn found(text: &str, rules: &Rules) -> Diagnostics {
    match check(text, &Limits::default(), rules) {
        Ok(read) => read.warnings,
        Err(found) => found,
    }
}

fn severity(text: &str, id: &str, rules: &Rules) -> Option<Severity> {
    let found = found(text, rules);
    let one = found.iter().find(|one| one.rule == id)?;
    assert!(one.line > 0 && one.column > 0, "{id}: {one}");
    Some(one.severity)
}

#[test]
fn every_rule_finds_what_breaks_it_and_obeys() {
    let mut wrong = Vec::new();
    for rule in RULES {
        if ELSEWHERE.contains(&rule.id) {
            continue;
        }
        let case = CASES.iter().find(|(id, _, _)| *id == rule.id);
        let (_, head, body) = case.unwrap_or_else(|| panic!("{} has no case", rule.id));
        let text = format!("{head}{body}").replace("OK", OK);
        let of = |asked: RuleSeverity| {
            let mut rules = Rules::default();
            rules.set(rule.id, asked).ok()?;
            Some(severity(&text, rule.id, &rules))
        };
        let got = [
            RuleSeverity::Error,
            RuleSeverity::Warning,
            RuleSeverity::Off,
        ]
        .map(of);
        let found_as = |severity| Some(Some(severity));
        let wanted = match rule.least {
            RuleSeverity::Error => [found_as(Severity::Error), None, None],
            RuleSeverity::Warning => [found_as(Severity::Error), found_as(Severity::Warning), None],
            RuleSeverity::Off => [
                found_as(Severity::Error),
                found_as(Severity::Warning),
                Some(None),
            ],
        };
        if got != wanted {
            wrong.push(format!(
                "{}: {got:?} {:?}",
                rule.id,
                found(&text, &Rules::default())
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What was accepted once is read whatever rules say today.
#[test]
fn rules_that_may_be_switched_off_never_refuse_what_is_stored() {
    for rule in RULES.iter().filter(|rule| !rule.is_guard()) {
        let Some((id, head, body)) = CASES.iter().find(|(id, _, _)| *id == rule.id) else {
            continue;
        };
        let text = format!("{head}{body}").replace("OK", OK);
        let read = openapi::read(&text, &Limits::accepted());
        assert!(read.is_ok(), "{id}: {read:#?}");
    }
}

/// req: S9
#[test]
fn passwords_are_found_where_gateways_read_them_and_never_repeated() {
    let list = "{urls: ['http://a'], securityConfig: {type: basic, password: hunter2}}";
    let top = |key: &str, value: &str| format!("{V3}{key}: {value}\npaths: {{}}");
    let path = "x-wso2-sandbox-endpoints";
    for (text, place) in [
        (
            top("x-wso2-sandbox-endpoints", list),
            "/x-wso2-sandbox-endpoints",
        ),
        (
            top("x-wso2-endpoints", &format!("{{a: {list}}}")),
            "/x-wso2-endpoints/a",
        ),
        (
            top("x-wso2-endpoints", &format!("[{{a: {list}}}]")),
            "/x-wso2-endpoints/0/a",
        ),
        (
            format!("{V3}paths: {{/a: {{{path}: {list}}}}}"),
            "/paths/~1a/x-wso2-sandbox-endpoints",
        ),
        (
            format!("{V3}paths: {{/a: {{get: {{{path}: {list}, {OK}}}}}}}"),
            "/paths/~1a/get/x-wso2-sandbox-endpoints",
        ),
    ] {
        let found = found(&text, &Rules::default());
        let one = found.iter().find(|one| one.rule == "written-password");
        let one = one.unwrap_or_else(|| panic!("{text}"));
        assert_eq!(one.pointer, format!("{place}/securityConfig/password"));
        assert!(!format!("{found:?}").contains("hunter2"), "{found:?}");
        // What is stored is served.
        assert!(openapi::read(&text, &Limits::accepted()).is_ok());
        let variable = text.replace("hunter2", "'${PETS_PASSWORD}'");
        assert!(severity(&variable, "written-password", &Rules::default()).is_none());
    }
}

/// What another gateway served is taken over with warnings, unless somebody asks for more.
#[test]
fn extensions_of_another_gateway_soften_rules() {
    let text = format!("{V3}x-wso2-basePath: /a\npaths: {{/a: {{get: {{}}}}}}");
    let rule = "schema-missing-key";
    assert_eq!(
        severity(&text, rule, &Rules::default()),
        Some(Severity::Warning)
    );
    let mut asked = Rules::default();
    asked.set(rule, RuleSeverity::Error).unwrap();
    assert_eq!(severity(&text, rule, &asked), Some(Severity::Error));
    let text = format!("{V3}x-wso2-basePath: /a\npaths: {{/a: 1}}");
    assert_eq!(
        severity(&text, "wrong-type", &Rules::default()),
        Some(Severity::Error)
    );
}

/// A requirement that nobody can read is no open door.
#[test]
fn a_faulty_requirement_lets_nobody_in() {
    let text = format!("{V3}security: [oauth, {{key: admin}}]\npaths: {{/a: {{get: {{{OK}}}}}}}");
    let read = openapi::read(&text, &Limits::default()).unwrap();
    let openapi::Security::Any(ways) = &read.definition.operations[0].security else {
        panic!("{:?}", read.definition.operations[0].security)
    };
    assert!(ways.iter().all(|way| !way.is_empty()));
    assert_eq!(read.definition.operations[0].scopes(), [["admin"].into()]);
}

/// The work on a definition that is nothing but faults is bounded too.
#[test]
fn a_definition_of_faults_costs_little() {
    let deep = |levels: usize| {
        let open: String = (0..levels).map(|_| "{\"properties\": {\"a\": ").collect();
        format!("{open}{{\"type\": \"int\"}}{}", "}}".repeat(levels))
    };
    let schemas: Vec<String> = (0..20_000)
        .map(|n| format!("\"s{n}\": {{\"type\": {n}, \"maximum\": \"x\"}}"))
        .collect();
    let key = "k".repeat(500_000);
    let wide: Vec<String> = (0..5_000).map(|n| format!("\"p{n}\": 1")).collect();
    for inner in [
        format!("\"a\": {}", deep(50)),
        schemas.join(", "),
        format!("\"{key}\": {{\"properties\": {{{}}}}}", wide.join(", ")),
    ] {
        let text = format!(
            "{{\"openapi\": \"3.0.3\", \"info\": {{\"title\": \"t\", \"version\": \"v\"}}, \"paths\": {{}}, \"components\": {{\"schemas\": {{{inner}}}}}}}"
        );
        let started = std::time::Instant::now();
        let found = check(&text, &Limits::default(), &Rules::default()).expect_err("faults");
        assert!(found.0.len() <= Limits::default().problems_max);
        assert!(
            started.elapsed() < std::time::Duration::from_mins(1),
            "{:?}",
            started.elapsed()
        );
    }
}
