//! Examples of answers and calls: by case, and for every operation of the corpus.

use std::time::{Duration, Instant};

use openapi::mock::{self, Options, Wanted};
use openapi::{Dialect, Method};
use serde_json::{Value, json};
use tree::Node;

/// A schema as JSON Schema has it, in a definition as it stands: dialects before 3.1 say some things differently.
fn translated(value: &Value, dialect: Dialect) -> Value {
    match value {
        Value::Array(items) => items.iter().map(|item| translated(item, dialect)).collect(),
        Value::Object(members) => {
            let mut out = serde_json::Map::new();
            // Before 3.1 nothing beside `$ref` counts.
            if dialect != Dialect::V3_1
                && let Some(reference) = members.get("$ref").filter(|node| node.is_string())
            {
                return json!({"$ref": reference});
            }
            for (key, member) in members {
                // A value of an example, a default or an enumeration is no schema.
                if matches!(
                    key.as_str(),
                    "enum" | "const" | "default" | "required" | "properties"
                ) {
                    let kept = if key == "properties" {
                        member.as_object().map_or_else(
                            || member.clone(),
                            |all| {
                                all.iter()
                                    .map(|(name, value)| (name.clone(), translated(value, dialect)))
                                    .collect()
                            },
                        )
                    } else {
                        member.clone()
                    };
                    out.insert(key.clone(), kept);
                    continue;
                }
                if matches!(key.as_str(), "example" | "examples") && member.get("$ref").is_none() {
                    continue;
                }
                out.insert(key.clone(), translated(member, dialect));
            }
            if dialect != Dialect::V3_1 {
                exclusive(&mut out, "minimum", "exclusiveMinimum");
                exclusive(&mut out, "maximum", "exclusiveMaximum");
                if out.get("type") == Some(&json!("file")) {
                    out.insert("type".into(), json!("string"));
                }
                let nullable = ["nullable", "x-nullable"]
                    .iter()
                    .any(|key| out.get(*key) == Some(&json!(true)));
                if nullable {
                    return json!({"anyOf": [{"type": "null"}, Value::Object(out)]});
                }
            }
            Value::Object(out)
        }
        other => other.clone(),
    }
}

fn exclusive(schema: &mut serde_json::Map<String, Value>, key: &str, flag: &str) {
    match schema.get(flag) {
        Some(Value::Bool(true)) => {
            schema.remove(flag);
            if let Some(limit) = schema.remove(key) {
                schema.insert(flag.to_owned(), limit);
            }
        }
        Some(Value::Bool(false)) => {
            schema.remove(flag);
        }
        _ => {}
    }
}

/// What the mock did for one operation.
enum Outcome {
    NoSchema,
    Valid,
    Invalid(String),
}

struct Subject<'a> {
    root: &'a Node,
    json: &'a Value,
    document: &'a Value,
    dialect: Dialect,
}

fn follow<'a>(document: &'a Value, mut value: &'a Value) -> &'a Value {
    for _ in 0..32 {
        let Some(target) = value
            .get("$ref")
            .and_then(Value::as_str)
            .and_then(|reference| document.pointer(reference.strip_prefix('#')?))
        else {
            break;
        };
        value = target;
    }
    value
}

/// The schema of the answer that the mock gave, found without our code.
fn schema_of<'a>(
    subject: &Subject<'a>,
    item: &'a Value,
    method: &str,
    answer: &mock::Answer,
) -> Option<&'a Value> {
    let body = answer.body.as_ref()?;
    if !body.media_type.contains("json") {
        return None;
    }
    let responses = item.get(method)?.get("responses")?;
    let code = answer.status.to_string();
    let response = responses
        .get(&code)
        .or_else(|| responses.get("2XX"))
        .or_else(|| responses.get("default"))?;
    let response = follow(subject.json, response);
    if subject.dialect == Dialect::V2 {
        return response.get("schema");
    }
    let content = response.get("content")?.as_object()?;
    let named = |(name, _): &(&String, &'a Value)| {
        name.split(';')
            .next()
            .unwrap()
            .eq_ignore_ascii_case(&body.media_type)
            || name.starts_with("*/")
    };
    content.iter().find(named)?.1.get("schema")
}

fn outcome(subject: &Subject<'_>, item: &Value, path: &str, method: Method) -> Outcome {
    let key = method.as_str().to_lowercase();
    let answer = match mock::response(
        subject.root,
        method,
        path,
        &Wanted::default(),
        &Options::default(),
    ) {
        Ok(answer) => answer,
        Err(mock::MockError::NoAnswers) => return Outcome::NoSchema,
        Err(error) => return Outcome::Invalid(error.to_string()),
    };
    let again = mock::response(
        subject.root,
        method,
        path,
        &Wanted::default(),
        &Options::default(),
    );
    assert_eq!(again.as_ref(), Ok(&answer), "the same seed gives the same");
    let item = follow(subject.json, item);
    let Some(schema) = schema_of(subject, item, &key, &answer) else {
        return Outcome::NoSchema;
    };
    let body = answer.body.unwrap();
    let text = body.text().unwrap();
    assert!(text.len() < 1_000_000, "{} bytes", text.len());
    // The definition itself holds what `$ref`s point at.
    let mut document = subject.document.clone();
    document["x-schema"] = translated(schema, subject.dialect);
    document["$ref"] = json!("#/x-schema");
    document["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    let validator = match jsonschema::options().build(&document) {
        Ok(validator) => validator,
        Err(error) => return Outcome::Invalid(format!("the schema itself is invalid: {error}")),
    };
    match validator.iter_errors(&body.value).next() {
        None => Outcome::Valid,
        Some(error) => {
            let origin = if body.written {
                "the author's own example"
            } else {
                "generated"
            };
            Outcome::Invalid(format!(
                "{origin}: {} at {}: {error:.200}",
                error.schema_path(),
                error.instance_path()
            ))
        }
    }
}

#[test]
fn every_answer_of_the_corpus_has_an_example_that_fits_its_schema() {
    let (mut operations, mut with_schema, mut invalid) = (0, 0, Vec::new());
    for name in ["v2", "v3.0", "v3.1", "v3.2", "valid-3.1"] {
        let Some(files) = crate::folder(name) else {
            return;
        };
        for (path, text) in &files {
            let root = tree::parse(text, &tree::Limits::default()).unwrap();
            let definition = openapi::read(text, &tree::Limits::default())
                .unwrap()
                .definition;
            let json = root.to_json();
            let document = translated(&json, definition.dialect);
            let subject = Subject {
                root: &root,
                json: &json,
                document: &document,
                dialect: definition.dialect,
            };
            let started = Instant::now();
            for operation in &definition.operations {
                operations += 1;
                let template = operation.template.as_str();
                let one = Instant::now();
                match outcome(
                    &subject,
                    &json["paths"][template],
                    template,
                    operation.method,
                ) {
                    Outcome::NoSchema => {}
                    Outcome::Valid => with_schema += 1,
                    Outcome::Invalid(reason) => {
                        with_schema += 1;
                        invalid.push(format!(
                            "{}: {} {template}: {reason}",
                            path.display(),
                            operation.method
                        ));
                    }
                }
                assert!(one.elapsed() < Duration::from_mins(1), "{template}");
                let request =
                    mock::request(&root, operation.method, template, None, &Options::default())
                        .unwrap();
                assert!(!request.path.contains(['{', ' ']), "{}", request.path);
            }
            eprintln!("{}: {:?}", path.display(), started.elapsed());
        }
    }
    eprintln!(
        "{operations} operations, {with_schema} with a JSON schema, {} do not fit",
        invalid.len()
    );
    assert!(
        invalid.len() * 100 <= with_schema,
        "{} of {with_schema}: {invalid:#?}",
        invalid.len()
    );
    let known = |line: &&String| {
        UNFIT
            .iter()
            .any(|(operation, reason)| line.contains(operation) && line.contains(reason))
    };
    let unknown: Vec<&String> = invalid.iter().filter(|line| !known(line)).collect();
    assert!(unknown.is_empty(), "{unknown:#?}");
    assert_eq!(
        invalid.len(),
        UNFIT.len(),
        "an entry of UNFIT is no longer needed"
    );
}

/// Answers that do not fit their schema, and why.
const UNFIT: &[(&str, &str)] = &[
    // The alternatives of `oneOf` do not exclude each other: what meets the second meets the first.
    (
        "arazzo-FAPI-PAR.yaml: POST /as/token.oauth2",
        "under more than one",
    ),
    // The author's example breaks the author's pattern.
    (
        "twilio-verify-v2.yaml: POST /v2/Services/{ServiceSid}/Passkeys/Challenges",
        "the author's own example",
    ),
    (
        "twilio-verify-v2.yaml: POST /v2/Services/{ServiceSid}/Passkeys/ApproveChallenge",
        "the author's own example",
    ),
];

/// A definition with one answer and one body of a schema; `schemas` are more of them.
fn definition(schema: &str, schemas: &str) -> Node {
    let text = format!(
        "openapi: 3.1.0
info: {{title: t, version: '1'}}
paths:
  /a:
    post:
      requestBody: {{content: {{application/json: {{schema: {schema}}}}}}}
      responses: {{'200': {{description: ok, content: {{application/json: {{schema: {schema}}}}}}}}}
components: {{schemas: {{{schemas}}}}}
"
    );
    tree::parse(&text, &tree::Limits::default()).unwrap_or_else(|found| panic!("{found:?}\n{text}"))
}

fn answer(root: &Node, seed: u64) -> Value {
    let options = Options {
        seed,
        ..Options::default()
    };
    mock::response(root, Method::Post, "/a", &Wanted::default(), &options)
        .unwrap()
        .body
        .unwrap()
        .value
}

/// Schemas that the generator must meet exactly, for many seeds.
#[test]
fn generated_values_fit_their_schemas() {
    let schemas = "Tree: {type: object, required: [name, children], properties: {name: {type: string}, parent: {$ref: '#/components/schemas/Tree'}, children: {type: array, items: {$ref: '#/components/schemas/Tree'}}}},
      Base: {type: object, required: [kind], properties: {kind: {type: string}}},
      Cat: {allOf: [{$ref: '#/components/schemas/Base'}, {required: [lives], properties: {kind: {const: Cat}, lives: {type: integer, minimum: 1, maximum: 9}}}]},
      Dog: {allOf: [{$ref: '#/components/schemas/Base'}, {required: [bark], properties: {kind: {const: Dog}, bark: {type: boolean}}}]}";
    for schema in [
        "{type: string, format: date-time}",
        "{type: string, format: date}",
        "{type: string, format: time}",
        "{type: string, format: uuid}",
        "{type: string, format: email}",
        "{type: string, format: uri}",
        "{type: string, format: hostname}",
        "{type: string, format: ipv4}",
        "{type: string, format: ipv6}",
        "{type: string, minLength: 40, maxLength: 41}",
        "{type: string, maxLength: 2}",
        "{type: string, pattern: '^[A-Z]{2}-\\\\d{4,6}$'}",
        "{type: string, pattern: '^(red|green)+x?$', minLength: 12}",
        "{type: string, pattern: '[^a-z0-9 ]', maxLength: 5}",
        "{type: integer, minimum: 5, maximum: 5}",
        "{type: integer, exclusiveMinimum: 5, exclusiveMaximum: 7}",
        "{type: integer, minimum: -10, maximum: -3, multipleOf: 4}",
        "{type: number, exclusiveMinimum: 0, maximum: 0.5, multipleOf: 0.25}",
        "{type: number, minimum: 1000000000000}",
        "{type: [string, 'null']}",
        "{enum: [a, 1, null]}",
        "{const: {a: 1}}",
        "{type: array, items: {type: integer, minimum: 1, maximum: 3}, minItems: 3, uniqueItems: true}",
        "{type: array, items: {enum: [a, b]}, minItems: 2, uniqueItems: true}",
        "{type: array, prefixItems: [{type: string}, {type: integer}], items: false}",
        "{type: array, items: {type: integer}, contains: {const: 7}}",
        "{type: object, minProperties: 3, additionalProperties: {type: integer}}",
        "{type: object, required: [a], properties: {a: {type: string}, b: {type: string}}, maxProperties: 1}",
        "{type: object, required: [undeclared], properties: {b: {type: string}}}",
        "{allOf: [{type: object, required: [a], properties: {a: {type: integer, minimum: 3}}}, {properties: {a: {maximum: 4}}}]}",
        "{oneOf: [{type: object, required: [a], properties: {a: {type: string}}, additionalProperties: false}, {type: integer}]}",
        "{type: object, properties: {a: {type: string}}, anyOf: [{required: [a]}, {required: [b]}]}",
        "{oneOf: [{$ref: '#/components/schemas/Cat'}, {$ref: '#/components/schemas/Dog'}], discriminator: {propertyName: kind}}",
        "{$ref: '#/components/schemas/Tree'}",
        "{type: string, not: {enum: [amber, birch]}}",
        "{type: object, propertyNames: {pattern: '^[a-z]{3}$'}, minProperties: 2}",
        "true",
    ] {
        let root = definition(schema, schemas);
        let mut document = root.to_json();
        document["$ref"] = json!("#/paths/~1a/post/responses/200/content/application~1json/schema");
        document["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
        let validator = jsonschema::options()
            .should_validate_formats(true)
            .build(&document)
            .unwrap();
        for seed in 0..50 {
            let value = answer(&root, seed);
            let errors: Vec<String> = validator
                .iter_errors(&value)
                .map(|error| error.to_string())
                .collect();
            assert!(
                errors.is_empty(),
                "{schema} seed {seed}: {value}: {errors:?}"
            );
        }
    }
}

#[test]
fn what_the_author_wrote_comes_first() {
    let value = |schema: &str| answer(&definition(schema, ""), 0);
    assert_eq!(
        value("{type: string, example: mine, default: other}"),
        "mine"
    );
    assert_eq!(value("{type: string, examples: [mine]}"), "mine");
    assert_eq!(value("{type: string, default: other}"), "other");
    assert_eq!(
        value("{type: object, properties: {a: {type: string, x-example: mine}}}"),
        json!({"a": "mine"})
    );
    // An example that does not fit its schema is not taken for one.
    assert!(value("{type: integer, example: '12'}").is_number());
    let text = "openapi: 3.0.3
info: {title: t, version: '1'}
paths:
  /a:
    get:
      responses:
        '200':
          description: ok
          headers: {X-Rate: {schema: {type: integer, enum: [7]}}}
          content:
            text/plain: {schema: {type: string}, example: words}
            application/json:
              schema: {type: object}
              examples: {one: {value: {n: 1}}, two: {$ref: '#/components/examples/Two'}}
        '404': {description: none}
components: {examples: {Two: {value: {n: 2}}}}
";
    let root = tree::parse(text, &tree::Limits::default()).unwrap();
    let get =
        |wanted: Wanted<'_>| mock::response(&root, Method::Get, "/a", &wanted, &Options::default());
    let first = get(Wanted::default()).unwrap();
    assert_eq!(first.status, 200);
    assert_eq!(first.headers, [("X-Rate".to_owned(), "7".to_owned())]);
    assert_eq!(first.body.as_ref().unwrap().text().unwrap(), r#"{"n":1}"#);
    let two = get(Wanted {
        example: Some("two"),
        ..Wanted::default()
    })
    .unwrap();
    assert_eq!(two.body.unwrap().value, json!({"n": 2}));
    let plain = get(Wanted {
        media_type: Some("text/plain"),
        ..Wanted::default()
    })
    .unwrap();
    assert_eq!(plain.body.unwrap().text().unwrap(), "words");
    assert_eq!(
        get(Wanted {
            status: Some(404),
            ..Wanted::default()
        })
        .unwrap()
        .body,
        None
    );
    assert_eq!(
        get(Wanted {
            status: Some(500),
            ..Wanted::default()
        }),
        Err(mock::MockError::Status(500))
    );
    assert!(
        get(Wanted {
            example: Some("x"),
            ..Wanted::default()
        })
        .is_err()
    );
    assert!(
        get(Wanted {
            media_type: Some("image/png"),
            ..Wanted::default()
        })
        .is_err()
    );
}

#[test]
fn each_side_sees_its_own_properties() {
    let root = definition(
        "{type: object, required: [id, secret], properties: {id: {type: string, readOnly: true}, secret: {type: string, writeOnly: true}, both: {type: string}}}",
        "",
    );
    let keys = |value: &Value| {
        value
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect::<Vec<_>>()
    };
    assert_eq!(keys(&answer(&root, 0)), ["id", "both"]);
    let request = mock::request(&root, Method::Post, "/a", None, &Options::default()).unwrap();
    assert_eq!(keys(&request.body.unwrap().value), ["secret", "both"]);
}

#[test]
fn calls_have_their_parameters_in_style() {
    let text = "openapi: 3.0.3
info: {title: t, version: '1'}
paths:
  /a/{id}/{list}:
    get:
      parameters:
        - {name: id, in: path, required: true, example: 'a b/c', schema: {type: string}}
        - {name: list, in: path, required: true, example: [1, 2], schema: {type: array, items: {type: integer}}}
        - {name: tag, in: query, required: true, example: [x, y], schema: {type: array, items: {type: string}}}
        - {name: csv, in: query, explode: false, example: [x, y], schema: {type: array, items: {type: string}}}
        - {name: deep, in: query, style: deepObject, example: {k: v}, schema: {type: object}}
        - {name: maybe, in: query, schema: {type: string}}
        - {name: X-Trace, in: header, schema: {type: string, const: t}, example: t}
      responses: {'200': {description: ok}}
";
    let root = tree::parse(text, &tree::Limits::default()).unwrap();
    let request = mock::request(
        &root,
        Method::Get,
        "/a/{id}/{list}",
        None,
        &Options::default(),
    )
    .unwrap();
    assert_eq!(request.path, "/a/a%20b%2Fc/1,2");
    assert_eq!(request.query, "tag=x&tag=y&csv=x,y&deep%5Bk%5D=v");
    assert_eq!(request.parameters.len(), 7);
    let header = request
        .parameters
        .iter()
        .find(|parameter| parameter.name == "X-Trace")
        .unwrap();
    assert_eq!((header.text.as_str(), header.written), ("t", true));
}

/// Schemas that would make endless or huge examples.
#[test]
fn time_and_size_are_bounded() {
    let many: String = (0..40)
        .map(|index| format!("S{index}: {{type: object, required: [a, b, c], properties: {{a: {{$ref: '#/components/schemas/S{0}'}}, b: {{$ref: '#/components/schemas/S{0}'}}, c: {{oneOf: [{{$ref: '#/components/schemas/S{0}'}}, {{$ref: '#/components/schemas/S{1}'}}]}}}}}},", (index + 1) % 40, (index + 7) % 40))
        .collect();
    for (schema, schemas) in [
        ("{$ref: '#/components/schemas/S0'}", many.as_str()),
        (
            "{$ref: '#/components/schemas/L'}",
            "L: {$ref: '#/components/schemas/L'}",
        ),
        (
            "{$ref: '#/components/schemas/L'}",
            "L: {allOf: [{$ref: '#/components/schemas/L'}]}",
        ),
        (
            "{$ref: '#/components/schemas/L'}",
            "L: {oneOf: [{$ref: '#/components/schemas/L'}, {$ref: '#/components/schemas/L'}]}",
        ),
        (
            "{$ref: '#/components/schemas/L'}",
            "L: {type: object, required: [l], properties: {l: {$ref: '#/components/schemas/L'}}}",
        ),
        (
            "{type: array, minItems: 1000000000, items: {type: array, minItems: 1000000000, items: {type: string}}}",
            "",
        ),
        ("{type: string, minLength: 1000000000}", ""),
        (
            "{type: string, pattern: '^(((a{100}){100}){100}){100}$'}",
            "",
        ),
        ("{type: object, minProperties: 1000000000}", ""),
    ] {
        let started = Instant::now();
        let value = answer(&definition(schema, schemas), 0).to_string();
        assert!(
            started.elapsed() < Duration::from_mins(1),
            "{schema}: {:?}",
            started.elapsed()
        );
        assert!(value.len() < 5_000_000, "{schema}: {} bytes", value.len());
    }
}
