use std::collections::BTreeSet;

use base::{Diagnostics, Severity};
use spec::RuleSeverity;
use tree::Limits;

use crate::{
    Definition, Dialect, Location, Method, RULES, Read, Rules, SchemeKind, Security, check,
};

/// As [`check`], without the official schemas: the texts here are as short as what they show.
fn checked(text: &str, limits: &Limits) -> Result<Read, Diagnostics> {
    check(text, limits, &without(&[]))
}

/// Without the official schemas and these rules.
pub(crate) fn without(ids: &[&str]) -> Rules {
    let mut rules = Rules::default();
    for rule in RULES {
        if rule.id.starts_with("schema-") || ids.contains(&rule.id) {
            rules.set(rule.id, RuleSeverity::Off).expect("no guard");
        }
    }
    rules
}

fn accept(text: &str) -> Read {
    checked(text, &Limits::default()).unwrap_or_else(|found| panic!("{text}: {found:?}"))
}

fn refuse(text: &str) -> Vec<String> {
    lines(&checked(text, &Limits::default()).expect_err(text))
}

fn lines(found: &Diagnostics) -> Vec<String> {
    found
        .iter()
        .map(|one| format!("{}:{} {} {}", one.line, one.column, one.rule, one.pointer))
        .collect()
}

const PETS: &str = r##"
openapi: 3.0.3
info: {title: Pets, version: "1.0", description: All of them}
servers:
  - url: "{scheme}://pets.example.com/{base}"
    variables: {scheme: {default: https}, base: {default: v1}}
  - url: /relative
security: [{oauth: [pets:read]}]
components:
  securitySchemes:
    oauth:
      type: oauth2
      flows:
        clientCredentials: {tokenUrl: /t, scopes: {"pets:read": Read, "pets:write": Write}}
        implicit: {authorizationUrl: /a, scopes: {"pets:read": Read}}
    key: {type: apiKey, in: header, name: X-Key}
    basic: {type: http, scheme: Basic}
  parameters:
    id: {name: id, in: path, required: true}
paths:
  x-internal: ignored
  /pets:
    get: {operationId: list, summary: All pets, tags: [a, b], parameters: [{name: limit, in: query}]}
    post: {security: [{oauth: [pets:write], key: []}, {basic: []}]}
  /pets/{id}:
    parameters: [{$ref: "#/components/parameters/id"}, {name: X-Trace, in: header}]
    get: {security: [], deprecated: true}
    delete: {security: [{}], parameters: [{name: X-Trace, in: header, required: true}]}
"##;

fn pets() -> Definition {
    accept(PETS).definition
}

#[test]
fn a_definition_becomes_operations() {
    let pets = pets();
    assert_eq!(
        (pets.dialect, pets.title.as_str(), pets.version.as_str()),
        (Dialect::V3_0, "Pets", "1.0")
    );
    assert_eq!(pets.description.as_deref(), Some("All of them"));
    assert_eq!(pets.servers, ["https://pets.example.com/v1", "/relative"]);
    let names: Vec<String> = pets
        .operations
        .iter()
        .map(|operation| format!("{} {}", operation.method, operation.template))
        .collect();
    assert_eq!(
        names,
        [
            "GET /pets",
            "POST /pets",
            "GET /pets/{id}",
            "DELETE /pets/{id}"
        ]
    );
    let list = &pets.operations[0];
    assert_eq!(
        (list.id.as_deref(), list.summary.as_deref()),
        (Some("list"), Some("All pets"))
    );
    assert_eq!(
        (list.tags.join(" "), list.deprecated),
        ("a b".to_owned(), false)
    );
    assert_eq!(
        (
            list.pointer.as_str(),
            list.position.line,
            list.position.column
        ),
        ("/paths/~1pets/get", 23, 5)
    );
    assert!(pets.operations[2].deprecated);
    let delete = &pets.operations[3];
    let parameters: Vec<_> = delete
        .parameters
        .iter()
        .map(|one| (one.name.as_str(), one.location, one.required))
        .collect();
    assert_eq!(
        parameters,
        [
            ("X-Trace", Location::Header, true),
            ("id", Location::Path, true)
        ],
        "own ones win"
    );
}

#[test]
fn security_is_inherited_replaced_or_lifted() {
    let pets = pets();
    let Security::Any(inherited) = &pets.operations[0].security else {
        panic!("inherited")
    };
    assert_eq!(
        (inherited[0][0].scheme.as_str(), inherited[0][0].token),
        ("oauth", true)
    );
    let Security::Any(own) = &pets.operations[1].security else {
        panic!("its own")
    };
    assert_eq!(own.iter().map(Vec::len).collect::<Vec<_>>(), [2, 1]);
    assert_eq!(pets.operations[2].security, Security::Open);
    assert_eq!(pets.operations[3].security, Security::Open);
    let silent = accept("openapi: 3.1.0\ninfo: {title: t, version: v}\npaths: {/a: {get: {}}}");
    assert_eq!(
        silent.definition.operations[0].security,
        Security::Unspecified
    );
    let schemes: Vec<_> = pets
        .security_schemes
        .iter()
        .map(|one| (one.name.as_str(), one.kind.clone()))
        .collect();
    let key = SchemeKind::ApiKey {
        location: Location::Header,
        parameter: "X-Key".to_owned(),
    };
    assert_eq!(
        schemes,
        [
            ("oauth", SchemeKind::OAuth2),
            ("key", key),
            ("basic", SchemeKind::Http("basic".to_owned()))
        ]
    );
    let scopes: Vec<_> = pets.security_schemes[0]
        .scopes
        .iter()
        .map(|one| one.name.as_str())
        .collect();
    assert_eq!(scopes, ["pets:read", "pets:write"]);
}

#[test]
fn scopes_are_alternatives_not_a_heap() {
    let scopes = |security: &str| -> Vec<Vec<String>> {
        let text = format!(
            "openapi: 3.1.0\ninfo: {{title: t, version: v}}\ncomponents: {{securitySchemes: {{o: {{type: oauth2, flows: {{}}}}, \
             p: {{type: openIdConnect}}, k: {{type: apiKey, in: query, name: k}}, b: {{type: http, scheme: bearer}}}}}}\n\
             paths: {{/a: {{get: {{security: {security}}}}}}}"
        );
        let read = accept(&text);
        let sets: Vec<BTreeSet<&str>> = read.definition.operations[0].scopes();
        sets.iter()
            .map(|set| set.iter().map(|scope| (*scope).to_owned()).collect())
            .collect()
    };
    assert_eq!(scopes("[{o: [x]}, {o: [y]}]"), [["x"], ["y"]]);
    assert_eq!(scopes("[{o: [x], p: [y]}]"), [["x", "y"]]);
    assert_eq!(scopes("[{o: [x, y]}, {o: [x]}]"), [["x"]]);
    assert_eq!(
        scopes("[{o: [x]}, {k: []}]"),
        [["x"]],
        "another way in does not weaken tokens"
    );
    assert_eq!(
        scopes("[{o: [x]}, {b: [role]}]"),
        [["x"]],
        "roles are no scopes"
    );
    assert!(
        scopes("[{o: [x]}, {}]").is_empty(),
        "anonymous callers are let in"
    );
    assert!(
        scopes("[{o: [x]}, {o: []}]").is_empty(),
        "any token will do"
    );
    assert!(scopes("[{k: []}]").is_empty());
    assert!(scopes("[]").is_empty());
}

/// Every list of up to three requirements, held against its meaning word by word: alternatives, each of which needs all of
/// its schemes.
#[test]
fn requirements_are_alternatives_of_what_is_needed_together() {
    // As it is written, and the scopes that it asks of a token; nothing where it asks for no token.
    let pool: [(&str, Option<&[&str]>); 8] = [
        ("{}", None),
        ("{o: []}", Some(&[])),
        ("{o: [x]}", Some(&["x"])),
        ("{o: [x, y]}", Some(&["x", "y"])),
        ("{p: [y]}", Some(&["y"])),
        ("{o: [x], p: [z]}", Some(&["x", "z"])),
        ("{k: []}", None),
        ("{o: [x], k: []}", Some(&["x"])),
    ];
    let mut lists: Vec<Vec<usize>> = (0..pool.len()).map(|one| vec![one]).collect();
    for _ in 0..2 {
        let longer = lists.iter().flat_map(|list| {
            (0..pool.len()).map(|one| list.iter().copied().chain([one]).collect())
        });
        lists = lists.iter().cloned().chain(longer).collect();
    }
    let mut paths = String::new();
    for (index, list) in lists.iter().enumerate() {
        let texts: Vec<&str> = list.iter().map(|one| pool[*one].0).collect();
        paths += &format!(
            "  /a{index}: {{get: {{security: [{}]}}}}\n",
            texts.join(", ")
        );
    }
    let text = format!(
        "openapi: 3.1.0\ninfo: {{title: t, version: v}}\ncomponents: {{securitySchemes: {{o: {{type: oauth2, flows: {{}}}}, \
         p: {{type: openIdConnect}}, k: {{type: apiKey, in: query, name: k}}}}}}\npaths:\n{paths}"
    );
    let read = accept(&text);
    assert_eq!(read.definition.operations.len(), lists.len());
    for operation in &read.definition.operations {
        let path = operation.template.as_str();
        let list = &lists[path[2..].parse::<usize>().unwrap()];
        let tokens: Vec<&[&str]> = list.iter().filter_map(|one| pool[*one].1).collect();
        let anonymous = list.contains(&0);
        let scopes = operation.scopes();
        for held in 0..8_u8 {
            let held: BTreeSet<&str> = ["x", "y", "z"]
                .into_iter()
                .enumerate()
                .filter_map(|(bit, scope)| (held & (1 << bit) != 0).then_some(scope))
                .collect();
            let all = |wanted: &[&str]| wanted.iter().all(|scope| held.contains(scope));
            let meant = anonymous || tokens.is_empty() || tokens.iter().any(|wanted| all(wanted));
            let found = scopes.is_empty() || scopes.iter().any(|wanted| wanted.is_subset(&held));
            assert_eq!(found, meant, "{list:?} with {held:?}: {scopes:?}");
        }
    }
}

#[test]
fn swagger_2_is_read_in_its_own_words() {
    let text = r##"{
      "swagger": "2.0", "info": {"title": "t", "version": "v"},
      "host": "h.example.com", "basePath": "/v1", "schemes": ["https", "http"],
      "securityDefinitions": {"o": {"type": "oauth2", "flow": "implicit", "scopes": {"a": "A", "x-b": 1}}, "b": {"type": "basic"}},
      "parameters": {"id": {"name": "id", "in": "path", "required": true, "type": "string"}},
      "paths": {"/a/{id}": {"parameters": [{"$ref": "#/parameters/id"}],
        "post": {"parameters": [{"name": "body", "in": "body"}], "security": [{"o": ["a"]}]},
        "put": {"parameters": [{"name": "f", "in": "formData"}], "consumes": ["multipart/form-data"]}}}
    }"##;
    let Read {
        definition,
        warnings,
        ..
    } = accept(text);
    assert!(warnings.is_empty(), "{warnings:?}");
    assert_eq!(definition.dialect, Dialect::V2);
    assert_eq!(
        definition.servers,
        ["https://h.example.com/v1", "http://h.example.com/v1"]
    );
    let places = |index: usize| -> Vec<_> {
        let parameters = definition.operations[index].parameters.iter();
        parameters.map(|one| one.location).collect()
    };
    assert_eq!(places(0), [Location::Body, Location::Path]);
    assert_eq!(places(1), [Location::Form, Location::Path]);
    assert_eq!(definition.security_schemes[0].scopes.len(), 1);
    let host_only = "swagger: '2.0'\ninfo: {title: t, version: v}\nhost: h\n";
    assert_eq!(accept(host_only).definition.servers, ["https://h"]);
    assert_eq!(
        accept("swagger: '2.0'\ninfo: {title: t, version: v}\nbasePath: /b\n")
            .definition
            .servers,
        ["/b"]
    );
}

#[test]
fn version_3_2_is_read_by_the_rules_of_3_1() {
    let text = "openapi: 3.2.0\ninfo: {title: t, version: v}\npaths:\n  /a:\n    query: {}\n    additionalOperations: {COPY: {}}\n";
    let Read {
        definition,
        warnings,
        ..
    } = accept(text);
    assert_eq!(definition.operations[0].method, Method::Query);
    assert_eq!(lines(&warnings), ["4:3 unserved-methods /paths/~1a"]);
    let in_3_0 =
        accept("openapi: 3.0.0\ninfo: {title: t, version: v}\npaths: {/a: {query: {}, GET: {}}}");
    assert!(in_3_0.definition.operations.is_empty());
    assert_eq!(in_3_0.warnings.0.len(), 2);
}

#[test]
fn path_items_behind_references() {
    let head = "openapi: 3.1.0\ninfo: {title: t, version: v}\n";
    let text = format!(
        "{head}components:\n  pathItems:\n    \"a b\":\n      get: {{summary: target}}\n      put: {{summary: target}}\n\
         paths:\n  /a:\n    $ref: \"#/components/pathItems/a%20b\"\n    get: {{summary: own}}\n"
    );
    let found: Vec<_> = accept(&text).definition.operations;
    let told: Vec<_> = found
        .iter()
        .map(|one| (one.method, one.summary.as_deref(), one.pointer.as_str()))
        .collect();
    assert_eq!(
        told,
        [
            (Method::Get, Some("own"), "/paths/~1a/get"),
            (Method::Put, Some("target"), "/components/pathItems/a b/put"),
        ]
    );
    let text = format!(
        "{head}paths:\n  /a: {{$ref: \"other.yaml#/a\"}}\n  /b: {{$ref: \"#/paths/~1b\"}}\n  /c: {{$ref: \"#/no\"}}\n  /d: {{$ref: 1}}\n"
    );
    assert_eq!(
        refuse(&text),
        [
            "4:8 external-reference /paths/~1a/$ref",
            "5:8 reference-cycle /paths/~1b/$ref",
            "6:8 reference /paths/~1c/$ref",
            "7:8 wrong-type /paths/~1d/$ref",
        ]
    );
    let scheme =
        format!("{head}components: {{securitySchemes: {{o: {{$ref: \"other.yaml#/o\"}}}}}}");
    assert_eq!(
        lines(&accept(&scheme).warnings),
        ["3:36 unread-reference /components/securitySchemes/o/$ref"]
    );
    let schema = format!(
        "{head}paths: {{/a: {{get: {{responses: {{\"200\": {{$ref: \"other.yaml\"}}}}}}}}}}"
    );
    assert_eq!(
        accept(&schema).definition.operations.len(),
        1,
        "what is not needed is not followed"
    );
}

#[test]
fn parameter_references_end() {
    let text = "openapi: 3.0.0\ninfo: {title: t, version: v}\ncomponents:\n  parameters:\n    a: {$ref: \"#/components/parameters/b\"}\n    \
                b: {$ref: \"#/components/parameters/a\"}\n    c: {$ref: \"#/components/parameters/d\"}\n    d: {name: d, in: query}\n\
                paths:\n  /x:\n    get:\n      parameters:\n        - $ref: \"#/components/parameters/a\"\n        - $ref: \"#/components/parameters/c\"\n";
    assert_eq!(
        refuse(text),
        [
            "5:9 circular-reference /components/parameters/a/$ref",
            "6:9 circular-reference /components/parameters/b/$ref",
            "13:11 reference-cycle /paths/~1x/get/parameters/0/$ref",
        ]
    );
}

#[test]
fn structural_errors_come_all_at_once_with_their_places() {
    let text = r##"openapi: 3.0.0
info: {title: 1, description: x}
servers: [{}, {url: "/{v}", variables: {v: {}}}, {url: "/{w}"}]
components: {securitySchemes: {o: {type: magic}, k: {type: apiKey, in: body, name: k}}}
security: [{missing: []}]
paths:
  /a/{id: {}
  b: {}
  /c: 1
  /d:
    get: [x]
    put: {operationId: {}, tags: a, deprecated: maybe, parameters: [{name: x, in: nowhere}, {in: query}]}
  /e/{one}:
    parameters: [{name: one, in: path, required: true}]
    get: {}
  /e/{two}:
    get: {parameters: [{name: x, in: query}, {name: x, in: query}]}
"##;
    assert_eq!(
        refuse(text),
        [
            "2:1 missing-key /info",
            "2:8 wrong-type /info/title",
            "3:11 missing-key /servers/0",
            "3:41 missing-key /servers/1/variables/v",
            "3:51 server-variable /servers/2/url",
            "4:36 unknown-value /components/securitySchemes/o/type",
            "4:68 unknown-value /components/securitySchemes/k/in",
            "5:13 unknown-scheme /security/0/missing",
            "7:3 path-template /paths/~1a~1{id",
            "8:3 path-template /paths/b",
            "9:3 wrong-type /paths/~1c",
            "11:5 wrong-type /paths/~1d/get",
            "12:11 wrong-type /paths/~1d/put/operationId",
            "12:28 wrong-type /paths/~1d/put/tags",
            "12:37 wrong-type /paths/~1d/put/deprecated",
            "12:79 unknown-value /paths/~1d/put/parameters/0/in",
            "12:93 missing-key /paths/~1d/put/parameters/1",
            "16:3 duplicate-path /paths/~1e~1{two}",
            "17:5 undeclared-parameter /paths/~1e~1{two}/get",
            "17:46 duplicate-parameter /paths/~1e~1{two}/get/parameters/1",
        ]
    );
    let found = checked(text, &Limits::default()).expect_err("errors");
    let without_mend: Vec<_> = found
        .iter()
        .filter(|one| one.mend.is_none() && one.rule != "wrong-type")
        .collect();
    assert!(without_mend.is_empty(), "{without_mend:?}");
}

#[test]
fn what_is_no_definition_is_refused() {
    assert_eq!(refuse("a: 1"), ["1:1 missing-key "]);
    assert_eq!(refuse("- 1"), ["1:1 wrong-type "]);
    assert_eq!(refuse("openapi: 4.0.0"), ["1:1 unknown-version /openapi"]);
    assert_eq!(refuse("swagger: '1.2'"), ["1:1 unknown-version /swagger"]);
    assert_eq!(refuse("openapi: 3.0.0"), ["1:1 missing-key "]);
    assert_eq!(refuse("openapi: 3.0.0\ninfo: x"), ["2:1 wrong-type /info"]);
    assert_eq!(
        refuse("openapi: 3.0.0\ninfo: {title: t, version: v}\npaths: []"),
        ["3:1 wrong-type /paths"]
    );
    assert_eq!(refuse("a: *b"), ["1:4 syntax "]);
    let number = accept("swagger: 2.0\ninfo: {title: t, version: v}");
    assert_eq!(lines(&number.warnings), ["1:1 version-number /swagger"]);
    assert!(
        number.definition.operations.is_empty(),
        "no paths, no operations"
    );
    let version = checked(
        "openapi: 3.0.0\ninfo: {title: t, version: 1.0}",
        &Limits::default(),
    )
    .expect_err("a number");
    assert_eq!(version.0[0].mend.as_deref(), Some("put it in quotes"));
}

#[test]
fn warnings_do_not_refuse() {
    let text = r##"openapi: 3.1.0
info: {title: t, version: v}
components: {securitySchemes: {o: {type: oauth2, flows: {}}}}
paths:
  /a: {get: {operationId: same}}
  /b: {get: {operationId: other, security: [{o: [x]}]}}
  /b#frag: {get: {operationId: same}}
  /c: {get: {parameters: [{name: id, in: path, required: true}]}}
"##;
    let Read {
        definition,
        warnings,
        ..
    } = accept(text);
    assert_eq!(
        lines(&warnings),
        [
            "6:46 unknown-scope /paths/~1b/get/security/0/o",
            "7:3 unroutable-path /paths/~1b#frag",
            "8:8 unused-parameter /paths/~1c/get",
        ]
    );
    assert!(warnings.iter().all(|one| one.severity == Severity::Warning));
    assert_eq!(
        definition.operations.len(),
        3,
        "the path with a fragment does not route"
    );
}

#[test]
fn faults_under_an_unroutable_path_are_still_told() {
    let text = "openapi: 3.0.0\ninfo: {title: t, version: v}\npaths: {\"/a#b\": {get: 1}}";
    assert_eq!(
        refuse(text),
        [
            "3:9 unroutable-path /paths/~1a#b",
            "3:18 wrong-type /paths/~1a#b/get"
        ]
    );
}

#[test]
fn references_cannot_multiply_beyond_the_budget() {
    let parameters: Vec<_> = (0..2000)
        .map(|n| format!("{{name: p{n}, in: query}}"))
        .collect();
    let paths: Vec<_> = (0..5000)
        .map(|n| format!("/p{n}: {{$ref: '#/components/pathItems/x'}}"))
        .collect();
    let text = format!(
        "openapi: 3.1.0\ninfo: {{title: t, version: v}}\ncomponents: {{pathItems: {{x: {{get: {{parameters: [{}]}}}}}}}}\npaths: {{{}}}",
        parameters.join(", "),
        paths.join(", ")
    );
    assert_eq!(refuse(&text), ["1:1 too-large "]);
    let small = Limits {
        bytes_max: PETS.len(),
        ..Limits::default()
    };
    assert!(
        checked(PETS, &small).is_ok(),
        "a definition that repeats little stays within the budget"
    );
}

#[test]
fn errors_are_kept_before_warnings() {
    let paths: Vec<_> = (0..20).map(|n| format!("/p{n}#x: {{}}")).collect();
    let text = format!(
        "openapi: 3.1.0\ninfo: {{title: t, version: v}}\npaths: {{{}, /bad: 1}}",
        paths.join(", ")
    );
    for problems_max in [0, 1, 5, 20, 100] {
        let found = checked(
            &text,
            &Limits {
                problems_max,
                ..Limits::default()
            },
        )
        .expect_err("an error");
        assert!(found.has_errors(), "{problems_max}");
        assert!(found.0.len() <= problems_max.max(1));
    }
}
