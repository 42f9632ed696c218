use base::Diagnostics;
use tree::{Limits, Node, Value};

use crate::tests::without;
use crate::{Bundled, Definition, Files, Read, bundle, check};

/// As `check`, without what these short texts break on purpose or by the way.
fn read(text: &str, limits: &Limits) -> Result<Read, Diagnostics> {
    check(
        text,
        limits,
        &without(&["discriminator-mapping", "default-mismatch"]),
    )
}

const ROOT: &str = r##"openapi: 3.0.3
info: {title: Pets, version: "1"}
servers: [{url: https://pets.example.com}]
security: [{oauth: [read]}]
components:
  securitySchemes:
    oauth: {$ref: "common/security.yaml#/oauth"}
  schemas:
    Pet: {$ref: ./schemas/pet.yaml}
    Error: {type: object}
paths:
  /pets: {$ref: "paths/pets.yaml#/pets"}
  /pets/{id}:
    $ref: paths/pet.yaml
"##;

const FILES: &[(&str, &str)] = &[
    ("api/root.yaml", ROOT),
    (
        "api/common/security.yaml",
        "oauth: {$ref: '#/real'}\nreal:\n  type: oauth2\n  flows: {clientCredentials: {tokenUrl: /t, scopes: {read: R}}}\n",
    ),
    (
        "api/paths/pets.yaml",
        "pets:
  get:
    operationId: list
    parameters: [{$ref: '../common/parameters.json#/limit'}]
    responses:
      '200': {description: ok, content: {application/json: {schema: {type: array, items: {$ref: ../schemas/pet.yaml}}}}}
      default: {$ref: '../common/responses.yaml#/Error'}
  post:
    security: []
    requestBody: {$ref: '../common/responses.yaml#/bodies/Pet'}
    responses: {'201': {description: made}}
",
    ),
    (
        "api/paths/pet.yaml",
        "parameters: [{$ref: '../common/parameters.json#/id'}]\nget: {operationId: get, responses: {'200': {description: ok}}}\n",
    ),
    (
        "api/common/parameters.json",
        r#"{"id": {"name": "id", "in": "path", "required": true, "schema": {"type": "string"}},
 "limit": {"name": "limit", "in": "query", "schema": {"$ref": "../schemas/limit.yaml"}}}"#,
    ),
    (
        "api/common/responses.yaml",
        "Error:
  description: no
  content: {application/json: {schema: {$ref: '../root.yaml#/components/schemas/Error'}, example: {$ref: not-a-reference.yaml}}}
bodies:
  Pet: {content: {application/json: {schema: {$ref: '../schemas/pet.yaml'}}}}
",
    ),
    (
        "api/schemas/pet.yaml",
        "type: object
properties:
  name: {type: string}
  $ref: {type: string}
  owner: {$ref: '#/$defs/Owner'}
  friends: {type: array, items: {$ref: '#'}}
$defs:
  Owner: {type: object, properties: {pets: {type: array, items: {$ref: pet.yaml}}}}
discriminator: {propertyName: kind, mapping: {cat: cat.yaml, dog: Dog}}
",
    ),
    ("api/schemas/cat.yaml", "allOf: [{$ref: pet.yaml}]\n"),
    ("api/schemas/limit.yaml", "{type: integer, default: {$ref: x.yaml}}\n"),
];

fn packed(files: &[(&str, &str)]) -> String {
    let texts = files
        .iter()
        .map(|(name, text)| ((*name).to_owned(), (*text).into()));
    Files::new(files[0].0, texts).unwrap().pack().to_string()
}

fn bundled(files: &[(&str, &str)]) -> Bundled {
    bundle(&packed(files), &Limits::default()).unwrap_or_else(|found| panic!("{found:#?}"))
}

fn lines(found: &Diagnostics) -> Vec<String> {
    let line = |one: &base::Diagnostic| {
        let file = one.file.as_deref().unwrap_or("-");
        format!(
            "{file}:{}:{} {} {}",
            one.line, one.column, one.rule, one.pointer
        )
    };
    found.iter().map(line).collect()
}

fn refused(files: &[(&str, &str)]) -> Vec<String> {
    lines(&read(&packed(files), &Limits::default()).unwrap_err())
}

/// References in the places where they are references, as far as these tests go.
fn references(node: &Node, found: &mut Vec<String>) {
    match &node.value {
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        Value::Object(object) => {
            for entry in object {
                if let ("$ref", Some(text)) = (entry.key.as_str(), entry.node.as_str()) {
                    found.push(text.to_owned());
                }
                if !matches!(entry.key.as_str(), "example" | "default") {
                    references(&entry.node, found);
                }
            }
        }
        _ => {}
    }
}

fn shown(definition: &Definition) -> Vec<String> {
    let operations = definition.operations.iter();
    operations
        .map(|one| {
            let parameters: Vec<_> = one.parameters.iter().map(|p| p.name.as_str()).collect();
            let (method, template) = (one.method, &one.template);
            format!(
                "{method} {template} {:?} {parameters:?} {:?}",
                one.id,
                one.scopes()
            )
        })
        .collect()
}

// req: multi-file definitions: path items, parameters, security schemes, bodies, responses, schemas.
#[test]
fn references_into_other_files_are_followed_everywhere() {
    let read =
        read(&packed(FILES), &Limits::default()).unwrap_or_else(|found| panic!("{found:#?}"));
    assert_eq!(
        shown(&read.definition),
        [
            r#"GET /pets Some("list") ["limit"] [{"read"}]"#,
            "POST /pets None [] []",
            r#"GET /pets/{id} Some("get") ["id"] [{"read"}]"#,
        ]
    );
    let schemes = &read.definition.security_schemes;
    assert_eq!((schemes.len(), schemes[0].name.as_str()), (1, "oauth"));
    assert_eq!(lines(&read.warnings), [""; 0]);
}

#[test]
fn the_bundled_tree_needs_no_other_file() {
    let bundled = bundled(FILES);
    let tree = bundled.tree();
    let mut found = Vec::new();
    references(tree, &mut found);
    assert!(found.len() > 8, "{found:?}");
    for reference in &found {
        let pointer = reference
            .strip_prefix('#')
            .unwrap_or_else(|| panic!("{reference}"));
        assert!(tree.pointer(pointer).is_some(), "{reference}");
    }
    let text = |pointer: &str| {
        tree.pointer(pointer)
            .and_then(Node::as_str)
            .map(str::to_owned)
    };
    // An entry that is nothing but a reference becomes what it stands for, and the others lead to it.
    assert_eq!(text("/components/schemas/Pet/type").unwrap(), "object");
    let friends = "/components/schemas/Pet/properties/friends/items/$ref";
    assert_eq!(text(friends).unwrap(), "#/components/schemas/Pet");
    let mapping = "/components/schemas/Pet/discriminator/mapping";
    assert_eq!(
        text(&format!("{mapping}/cat")).unwrap(),
        "#/components/schemas/cat"
    );
    assert_eq!(text(&format!("{mapping}/dog")).unwrap(), "Dog");
    // Back into the root.
    let error = "/components/responses/Error/content/application~1json";
    assert_eq!(
        text(&format!("{error}/schema/$ref")).unwrap(),
        "#/components/schemas/Error"
    );
    assert_eq!(
        text(&format!("{error}/example/$ref")).unwrap(),
        "not-a-reference.yaml"
    );
    let names = |section: &str| {
        let section = tree.pointer(&format!("/components/{section}")).unwrap();
        let names = section
            .as_object()
            .unwrap()
            .iter()
            .map(|entry| entry.key.clone());
        names.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(names("schemas"), "Pet Error Owner cat limit");
    assert_eq!(names("parameters"), "limit id");
    assert_eq!(bundled.origin("/info"), (None, "/info".to_owned()));
    let (file, pointer) = bundled.origin("/paths/~1pets/get/operationId");
    assert_eq!(
        (file, pointer.as_str()),
        (Some("api/paths/pets.yaml"), "/pets/get/operationId")
    );
    // The text of the bundle is a definition by itself.
    let again = read(&tree.to_json().to_string(), &Limits::default()).unwrap();
    let first = read(&packed(FILES), &Limits::default()).unwrap();
    assert_eq!(shown(&again.definition), shown(&first.definition));
}

fn with(name: &'static str, text: &'static str) -> Vec<(&'static str, &'static str)> {
    let change = |(file, old): &(&'static str, &'static str)| {
        (*file, if *file == name { text } else { *old })
    };
    FILES.iter().map(change).collect()
}

// req: L7, diagnostics name the right file, line and column.
#[test]
fn problems_name_the_file_they_stand_in() {
    let parameters = "{\"id\": {\"name\": \"id\",\n  \"in\": \"nowhere\"}, \"limit\": {\"name\": \"l\", \"in\": 7}}";
    assert_eq!(
        refused(&with("api/common/parameters.json", parameters)),
        [
            "api/common/parameters.json:2:3 unknown-value /id/in",
            "api/common/parameters.json:2:44 wrong-type /limit/in",
            "api/paths/pet.yaml:2:1 undeclared-parameter /get",
        ]
    );
    assert_eq!(
        refused(&with("api/paths/pets.yaml", "pets:\n  get:\n   - no\n")),
        ["api/paths/pets.yaml:2:3 wrong-type /pets/get"]
    );
    assert_eq!(
        refused(&with("api/paths/pets.yaml", "pets: [no]\n")),
        ["api/paths/pets.yaml:1:7 wrong-type /pets"]
    );
    let broken = refused(&with("api/schemas/pet.yaml", "type: object\n a: [\n"));
    assert!(
        broken[0].starts_with("api/schemas/pet.yaml:2:"),
        "{broken:?}"
    );
    assert_eq!(broken.len(), 1, "told once: {broken:?}");
    assert_eq!(
        refused(&with("api/common/security.yaml", "other: 1\n")),
        ["-:7:13 reference /components/securitySchemes/oauth/$ref"]
    );
}

#[test]
fn a_missing_file_and_a_missing_part_are_told_where_they_are_needed() {
    let without: Vec<_> = FILES
        .iter()
        .copied()
        .filter(|(name, _)| *name != "api/schemas/limit.yaml")
        .collect();
    assert_eq!(
        refused(&without),
        ["api/common/parameters.json:2:55 missing-file /limit/schema/$ref"]
    );
    let text = "type: object\nproperties: {x: {$ref: 'cat.yaml#/nowhere'}}\n";
    assert_eq!(
        refused(&with("api/schemas/pet.yaml", text)),
        ["api/schemas/pet.yaml:2:18 reference /properties/x/$ref"]
    );
}

// req: S2
#[test]
fn references_never_leave_the_definition() {
    for outside in [
        "../../../secret.yaml",
        "/etc/passwd",
        "file:///etc/passwd",
        "FILE:passwd",
        r"C:\secret.yaml",
        r"..\..\secret.yaml",
        "%2e%2e/%2e%2e/%2e%2e/x.yaml",
        "..%2f..%2f..%2fx.yaml",
        "//host/x.yaml",
        "ftp://host/x.yaml",
        "a//b.yaml",
    ] {
        let text = format!("type: object\nproperties: {{x: {{$ref: '{outside}#/x'}}}}\n");
        let mut files = with("api/schemas/pet.yaml", "");
        files.retain(|(name, _)| *name != "api/schemas/pet.yaml");
        files.push(("api/schemas/pet.yaml", &text));
        assert_eq!(
            refused(&files),
            ["api/schemas/pet.yaml:2:18 reference-outside /properties/x/$ref"],
            "{outside}"
        );
        let alone = format!(
            "openapi: 3.0.0\ninfo: {{title: t, version: '1'}}\npaths: {{}}\ncomponents: {{schemas: {{A: {{$ref: '{outside}'}}}}}}\n"
        );
        let found = read(&alone, &Limits::default()).unwrap_err();
        assert_eq!(
            lines(&found),
            ["-:4:28 reference-outside /components/schemas/A/$ref"],
            "{outside}"
        );
        let data = alone
            .replace("{$ref:", "{example: {$ref:")
            .replace("'}}", "'}}}");
        read(&data, &Limits::default()).expect("an example is data");
    }
    let absolute = ROOT.replace("./schemas/pet.yaml", "https://example.com/pet.yaml");
    let mut files = FILES.to_vec();
    files[0].1 = &absolute;
    read(&packed(&files), &Limits::default()).expect("nobody follows an absolute URL");
}

#[test]
fn circles_of_references_are_found_across_files() {
    let files = [
        (
            "a.yaml",
            "openapi: 3.1.0\ninfo: {title: t, version: '1'}\npaths:\n  /a: {$ref: b.yaml}\ncomponents: {schemas: {X: {$ref: 'b.yaml#/x'}}}\n",
        ),
        ("b.yaml", "$ref: c.yaml\n"),
        ("c.yaml", "{$ref: b.yaml}\n"),
    ];
    let found = refused(&files);
    assert_eq!(
        found[0], "-:4:8 reference-cycle /paths/~1a/$ref",
        "{found:?}"
    );
    assert_eq!(
        found[1], "-:5:28 reference /components/schemas/X/$ref",
        "{found:?}"
    );
    let through_root = [
        (
            "a.yaml",
            "openapi: 3.1.0\ninfo: {title: t, version: '1'}\npaths: {/a: {parameters: [{$ref: '#/components/parameters/p'}]}}\ncomponents: {parameters: {p: {$ref: 'b.yaml#/p'}}}\n",
        ),
        ("b.yaml", "p: {$ref: 'a.yaml#/components/parameters/p'}\n"),
    ];
    let found = refused(&through_root);
    assert!(
        found.iter().any(|line| line.contains("reference-cycle")),
        "{found:?}"
    );
}

#[test]
fn the_work_is_bounded_over_all_files() {
    let big = format!("a: [{}]\n", "{type: string}, ".repeat(2_000));
    let mut root = "openapi: 3.1.0\ninfo: {title: t, version: '1'}\npaths:\n".to_owned();
    for number in 0..2_000 {
        root.push_str(&format!("  /p{number}: {{$ref: big.yaml}}\n"));
    }
    let text = packed(&[("root.yaml", &root), ("big.yaml", &big)]);
    let limits = Limits {
        bytes_max: 1_000_000,
        ..Limits::default()
    };
    let found = read(&text, &limits).unwrap_err();
    assert!(found.iter().any(|one| one.rule == "too-large"), "{found:?}");
    let tight = Limits {
        nodes_max: 5_000,
        ..Limits::default()
    };
    let small_root = "openapi: 3.1.0\ninfo: {title: t, version: '1'}\npaths: {}\ncomponents: {schemas: {a: {$ref: big.yaml}, b: {$ref: two.yaml}}}\n";
    let text = packed(&[
        ("root.yaml", small_root),
        ("big.yaml", &big),
        ("two.yaml", &big),
    ]);
    assert!(read(&text, &Limits::default()).is_ok());
    let found = read(&text, &tight).unwrap_err();
    assert!(
        lines(&found)
            .iter()
            .any(|line| line.starts_with("two.yaml:")),
        "{found:?}"
    );
}

#[test]
fn swagger_2_has_its_own_places() {
    let files = [
        (
            "swagger.json",
            r#"{"swagger": "2.0", "info": {"title": "t", "version": "1"}, "paths": {"/a": {"get": {
 "parameters": [{"$ref": "p.yaml#/x-odd name"}], "responses": {"200": {"$ref": "p.yaml#/r"}}}, "$ref": "item.yaml"}}}"#,
        ),
        (
            "p.yaml",
            "x-odd name: {name: q, in: query, type: string}\nr: {description: ok, schema: {$ref: 's.yaml'}}\n",
        ),
        ("s.yaml", "type: object\n"),
        ("item.yaml", "post: {responses: {}}\n"),
    ];
    let bundled = bundled(&files);
    let tree = bundled.tree();
    assert!(tree.pointer("/parameters/x-oddname/name").is_some());
    assert_eq!(
        tree.pointer("/responses/r/schema/$ref")
            .and_then(Node::as_str),
        Some("#/definitions/s")
    );
    // A path item with more than the reference keeps it.
    assert!(tree.pointer("/x-references/item/post").is_some());
    let read = read(&packed(&files), &Limits::default()).unwrap();
    assert_eq!(
        shown(&read.definition),
        ["GET /a None [\"q\"] []", "POST /a None [] []"]
    );
}
