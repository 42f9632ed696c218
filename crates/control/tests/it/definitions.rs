//! Definitions of several files: imported, kept byte for byte, exported and applied again.

use serde_json::{Value, json};

use crate::world::World;

pub(crate) const ROOT: &str = "# the root\r\nopenapi: 3.0.3
info: {title: Pets, version: 1.0.0}
servers: [{url: https://pets.example.com/v1}]
paths:
  /pets: {$ref: paths/pets.yaml}
";
pub(crate) const PATHS: &str = "get:
  operationId: list
  parameters: [{$ref: '../common.json#/limit'}]
  responses: {'200': {description: ok}}
";
pub(crate) const COMMON: &str =
    "{\"limit\": {\"name\": \"limit\", \"in\": \"query\", \"schema\": {\"type\": \"string\"}}}";

fn import() -> Value {
    json!({"definition": ROOT, "file": "root.yaml",
        "files": {"paths/pets.yaml": PATHS, "common.json": COMMON, "notes.yaml": "nobody: refers to it"}})
}

async fn raw(world: &World, path: &str) -> Vec<u8> {
    let answer = world.get("paul", path).await;
    assert_eq!(answer.status, 200);
    answer.bytes
}

// req: multi-file definitions; the original text is kept byte for byte.
#[tokio::test]
async fn files_that_are_referred_to_are_kept_byte_for_byte() {
    let world = World::new().await;
    let made = world
        .post("paul", "/apis:import", import())
        .await
        .expect(201);
    assert_eq!(made["operations"], 1, "{made:#}");
    assert_eq!(made["api"]["spec"]["definition"]["file"], "root.yaml");
    let text = raw(&world, "/apis/pets-1.0.0/definition").await;
    assert_eq!(text, ROOT.as_bytes());
    let files = world
        .get("paul", "/apis/pets-1.0.0/definition/files")
        .await
        .expect(200);
    assert_eq!(
        files,
        json!({"root": "root.yaml", "files": {"common.json": COMMON, "paths/pets.yaml": PATHS, "root.yaml": ROOT}})
    );
    let bundled = raw(&world, "/apis/pets-1.0.0/definition?bundled=true").await;
    let bundled: Value = serde_json::from_slice(&bundled).unwrap();
    assert_eq!(bundled["paths"]["/pets"]["get"]["operationId"], "list");
    assert!(!bundled.to_string().contains("common.json"), "{bundled}");
    world
        .get("paul", "/apis/pets-1.0.0/definition?bundeld=true")
        .await
        .problem("BAD_REQUEST");
}

#[tokio::test]
async fn one_file_is_its_own_bytes_and_bundled_as_json() {
    let world = World::new().await;
    world.publish_pets("1.0.0").await;
    let text = raw(&world, "/apis/pets-1.0.0/definition").await;
    assert_eq!(text, crate::world::PETS.as_bytes());
    let bundled = raw(&world, "/apis/pets-1.0.0/definition?bundled=true").await;
    let bundled: Value = serde_json::from_slice(&bundled).unwrap();
    assert_eq!(bundled["openapi"], "3.0.3");
}

// req: C9
#[tokio::test]
async fn what_was_exported_applies_without_a_difference() {
    let world = World::new().await;
    world
        .post("paul", "/apis:import", import())
        .await
        .expect(201);
    let export = world.get("admin", "/export").await.expect(200);
    let mut documents = Vec::new();
    let mut definitions = serde_json::Map::new();
    for item in export["documents"].as_array().unwrap() {
        let document = spec::from_json(item["document"].clone()).unwrap();
        documents.push(json!({"file": item["file"], "text": document.to_yaml()}));
        if let Some(definition) = item["definition"].as_object() {
            let root = definition["file"].as_str().unwrap().to_owned();
            definitions.insert(root, definition["text"].clone());
            definitions.extend(definition["files"].as_object().unwrap().clone());
        }
    }
    assert_eq!(definitions["apis/pets-1.0.0/paths/pets.yaml"], PATHS);
    let exported = json!({"documents": documents, "definitions": definitions});
    let same = world
        .post("admin", "/diff?prune=true", exported.clone())
        .await
        .expect(200);
    assert_eq!(same["changes"], json!([]));
    let other = World::new().await;
    other
        .post("admin", "/apply", exported.clone())
        .await
        .expect(200);
    assert_eq!(other.get("admin", "/export").await.expect(200), export);
    let mut changed = exported;
    changed["definitions"]["apis/pets-1.0.0/common.json"] =
        COMMON.replace("string", "number").into();
    let diff = world.post("admin", "/diff", changed).await.expect(200);
    assert_eq!(diff["changes"][0]["definitionChanged"], true, "{diff:#}");
}

// req: L7
#[tokio::test]
async fn problems_name_the_file_as_its_author_does() {
    let world = World::new().await;
    let mut wrong = import();
    wrong["files"]["common.json"] = COMMON.replace("query", "nowhere").into();
    let problem = world
        .post("paul", "/apis:import", wrong)
        .await
        .problem("INVALID_DOCUMENT");
    let place = |error: &Value| format!("{}:{}", error["file"].as_str().unwrap(), error["pointer"]);
    assert_eq!(place(&problem["errors"][0]), r#"common.json:"/limit/in""#);
    let document = "kind: Api\nspec: {name: pets, version: 1.0.0, context: /pets, definition: {file: api/root.yaml}}\n";
    let bundle = |common: &str| {
        json!({"documents": [{"file": "dir/pets.yaml", "text": document}], "definitions": {
            "dir/api/root.yaml": ROOT, "dir/api/paths/pets.yaml": PATHS, "dir/api/common.json": common}})
    };
    let problem = world
        .post("paul", "/apply", bundle("{}"))
        .await
        .problem("INVALID_DOCUMENT");
    let places: Vec<_> = problem["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(place)
        .collect();
    assert_eq!(
        places,
        [r#"dir/api/paths/pets.yaml:"/get/parameters/0/$ref""#],
        "{problem:#}"
    );
    world
        .post("paul", "/apply", bundle(COMMON))
        .await
        .expect(200);
}

// req: S2
#[tokio::test]
async fn names_and_references_cannot_leave_the_definition() {
    let world = World::new().await;
    for name in ["../root.yaml", "/root.yaml", r"a\root.yaml", "C:root.yaml"] {
        let mut request = import();
        request["file"] = name.into();
        let answer = world.post("paul", "/apis:import", request).await;
        assert_eq!(answer.status, 400, "{name}");
    }
    let mut request = import();
    request["definition"] = ROOT.replace("paths/pets.yaml", "../pets.yaml").into();
    request["files"]["../pets.yaml"] = PATHS.into();
    let problem = world
        .post("paul", "/apis:import", request)
        .await
        .problem("INVALID_DOCUMENT");
    assert_eq!(
        problem["errors"][0]["rule"], "reference-outside",
        "{problem:#}"
    );
    let mut request = import();
    request["definition"] = "\0tollway definition 1\n1 1\nab".into();
    let answer = world.post("paul", "/apis:import", request).await;
    assert_eq!(answer.status, 422);
}

#[tokio::test]
async fn a_definition_has_so_many_files_at_most() {
    let config = control::ControlConfig {
        definition_files_max: 2,
        ..control::ControlConfig::default()
    };
    let world = World::with(config).await;
    let problem = world
        .post("paul", "/apis:import", import())
        .await
        .problem("INVALID_DOCUMENT");
    assert_eq!(problem["errors"][0]["rule"], "too-many-files");
}
