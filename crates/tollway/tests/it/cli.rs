//! The command line against a platform, as the README and the documentation show it.

use serde_json::Value;

use crate::platform::User;

const PETSTORE: &str = include_str!("../../../../examples/main-job/petstore.yaml");

fn import(user: &User) {
    std::fs::write(user.path("petstore.yaml"), PETSTORE).unwrap();
    user.ok(&[
        "api",
        "import",
        "petstore.yaml",
        "--name",
        "pets",
        "--version",
        "1.0.0",
        "--context",
        "/pets",
        "--backend",
        "http://127.0.0.1:9",
        "--plan",
        "Gold",
        "--publish",
    ]);
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn the_main_job_by_commands() {
    let user = User::start();
    import(&user);
    assert!(user.ok(&["api", "list"]).contains("pets"));
    assert_eq!(
        json(&user.ok(&["api", "get", "pets:1.0.0", "-o", "json"]))["spec"]["lifecycle"],
        "Published"
    );
    user.subscribe(&["pets:1.0.0"], "Gold");
    let subscriptions = json(&user.ok(&["subscription", "list", "-o", "json"]));
    assert_eq!(subscriptions[0]["spec"]["plan"], "Gold");
    let client = json(&user.ok(&["credentials", "create", "--app", "shop", "-o", "json"]));
    assert!(client["clientId"].is_string() && client["clientSecret"].is_string());
    let key = json(&user.ok(&["apikey", "create", "--app", "shop", "-o", "json"]));
    assert!(key["key"].is_string());
    let listed = user.ok(&["apikey", "list", "--app", "shop"]);
    assert!(
        !listed.contains(key["key"].as_str().unwrap()),
        "a list shows no key"
    );
    assert_eq!(
        user.ok(&["token", "--app", "shop"])
            .trim()
            .split('.')
            .count(),
        3
    );
    user.ok(&[
        "api",
        "state",
        "pets:1.0.0",
        "deprecated",
        "--sunset",
        "2099-01-01",
    ]);
    let refused = user.fails(3, &["api", "state", "pets:1.0.0", "published"]);
    assert!(refused.contains("TRANSITION_NOT_ALLOWED"), "{refused}");
    user.ok(&["app", "delete", "shop"]);
    user.ok(&["api", "state", "pets:1.0.0", "retired"]);
    user.ok(&["api", "delete", "pets:1.0.0"]);
    assert_eq!(
        json(&user.ok(&["api", "list", "-o", "json"])),
        Value::Array(vec![])
    );
}

/// `apply` of an export, then `diff`, prints nothing; on an empty platform the digests are the same (req: C9, C10).
#[test]
fn export_apply_diff_are_one_language() {
    let user = User::start();
    import(&user);
    user.subscribe(&["pets:1.0.0"], "Gold");
    let secret = json(&user.ok(&["credentials", "create", "--app", "shop", "-o", "json"]));
    user.ok(&["export", "-d", "conf"]);
    let mut texts = String::new();
    for entry in walk(&user.path("conf")) {
        texts.push_str(&std::fs::read_to_string(entry).unwrap());
    }
    assert!(
        texts.contains(PETSTORE),
        "the definition is exported byte for byte"
    );
    assert!(!texts.contains(secret["clientSecret"].as_str().unwrap()));
    assert_eq!(user.ok(&["diff", "-f", "conf"]), "");
    assert_eq!(user.ok(&["apply", "-f", "conf"]), "");
    assert_eq!(user.ok(&["diff", "-f", "conf", "--prune"]), "");

    let empty = User::start();
    let conf = user.path("conf");
    let conf = conf.to_str().unwrap();
    empty.fails(1, &["diff", "-f", conf]);
    let planned = empty.ok(&["apply", "-f", conf, "--dry-run"]);
    let done = empty.ok(&["apply", "-f", conf]);
    assert_eq!(planned.replace("would create", "created"), done);
    assert_eq!(empty.ok(&["diff", "-f", conf, "--prune"]), "");
    let digests = |user: &User| -> Vec<(Value, Value)> {
        ["api", "plan", "backend", "app", "subscription", "gateway"]
            .iter()
            .flat_map(|kind| {
                json(&user.ok(&[kind, "list", "-o", "json"]))
                    .as_array()
                    .unwrap()
                    .clone()
            })
            .map(|object| {
                (
                    object["metadata"]["name"].clone(),
                    object["status"]["digest"].clone(),
                )
            })
            .collect()
    };
    assert_eq!(digests(&empty), digests(&user));

    // A change shows, and `--prune` alone deletes.
    let plan = walk(&user.path("conf"))
        .into_iter()
        .find(|file| file.ends_with("plans/Gold.yaml"))
        .expect("a file a document");
    let text = std::fs::read_to_string(&plan).unwrap();
    std::fs::write(&plan, text.replace("5000", "6000")).unwrap();
    let diff = user.fails(1, &["diff", "-f", "conf"]);
    assert!(
        diff.contains("~ Plan Gold") && diff.contains("5000 -> 6000"),
        "{diff}"
    );
    std::fs::remove_file(&plan).unwrap();
    assert_eq!(user.ok(&["diff", "-f", "conf"]), "");
    let pruned = user.fails(3, &["apply", "-f", "conf", "--prune"]);
    assert!(
        pruned.contains("Gold"),
        "a plan in use is not pruned: {pruned}"
    );
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(walk(&path));
        } else {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// Every problem at once, each with place, pointer and mend (req: C8, L7).
#[test]
fn validate_names_every_problem() {
    let user = User::start();
    std::fs::write(user.path("petstore.yaml"), PETSTORE).unwrap();
    let text = "kind: Api\nmetadata: {name: pets}\nspec:\n  name: pets\n  version: 1.0.0\n  contxt: /pets\n  context: pets\n  \
                definition: {file: petstore.yaml}\n---\nkind: Plan\nmetadata: {name: P}\nspec: {quota: {requests: 5, per: 60}}\n";
    std::fs::write(user.path("bad.yaml"), text).unwrap();
    let found = user.fails(1, &["validate", "bad.yaml"]);
    let lines: Vec<_> = found.lines().collect();
    assert!(
        lines.iter().any(|line| line.starts_with("bad.yaml:6:")
            && line.contains("/spec/contxt")
            && line.contains("context")),
        "{found}"
    );
    assert!(
        lines
            .iter()
            .any(|line| line.starts_with("bad.yaml:7:") && line.contains("/spec/context")),
        "{found}"
    );
    assert!(
        lines
            .iter()
            .any(|line| line.starts_with("bad.yaml:12:") && line.contains("/spec/quota/per")),
        "{found}"
    );

    std::fs::write(user.path("good.yaml"), text.replace("  contxt: /pets\n", "").replace("context: pets", "context: /pets").replace("per: 60", "per: 60s")
        .replace("  definition: {file: petstore.yaml}", "  definition: {file: petstore.yaml}\n  backends: {production: {endpoints: [{url: \"http://127.0.0.1:9\"}]}}")).unwrap();
    assert_eq!(user.ok(&["validate", "good.yaml"]), "");

    std::fs::write(
        user.path("broken.openapi.yaml"),
        "openapi: 3.0.0\ninfo: {title: x, version: 1}\npaths:\n  /a: 7\n",
    )
    .unwrap();
    let found = user.fails(1, &["validate", "broken.openapi.yaml"]);
    assert!(found.starts_with("broken.openapi.yaml:"), "{found}");
    // What validate refuses, the platform refuses too.
    user.fails(3, &["apply", "-f", "bad.yaml"]);
}

#[test]
fn exit_codes_are_as_documented() {
    let user = User::start();
    user.fails(2, &["no-such-noun"]);
    user.fails(2, &["api", "import", "no-such-file.yaml"]);
    let missing = user.fails(3, &["api", "get", "ghost:1.0.0"]);
    assert!(missing.contains("NOT_FOUND"), "{missing}");
    let unreachable = user.fails(
        4,
        &[
            "api",
            "list",
            "--server",
            "http://127.0.0.1:9",
            "--token",
            "t",
        ],
    );
    assert!(unreachable.contains("127.0.0.1:9"), "{unreachable}");
    let stranger = user.fails(2, &["api", "list", "--server", "http://127.0.0.1:9"]);
    assert!(
        stranger.contains("not logged in"),
        "a token goes to no other server: {stranger}"
    );
    for shell in ["bash", "zsh", "fish"] {
        assert!(user.ok(&["completion", shell]).contains("tollway"));
    }
    assert!(user.ok(&["explain-kind", "plan"]).contains("quota"));
}

/// Roles: a subscriber has applications of its own and nothing else.
#[test]
fn a_subscriber_sees_only_its_own() {
    let user = User::start();
    import(&user);
    user.ok(&["app", "create", "shop"]);
    std::fs::write(user.path("alice"), "wonderland is far 3").unwrap();
    user.ok(&[
        "user",
        "create",
        "alice",
        "--role",
        "subscriber",
        "--password-file",
        "alice",
    ]);
    user.ok(&[
        "login",
        "--server",
        &user.platform.control,
        "--user",
        "alice",
        "--password-file",
        "alice",
    ]);
    user.fails(3, &["app", "get", "shop"]);
    user.fails(3, &["plan", "delete", "Gold"]);
    user.fails(3, &["user", "list"]);
    user.ok(&["app", "create", "mine"]);
    user.ok(&[
        "subscription",
        "create",
        "--app",
        "mine",
        "--api",
        "pets:1.0.0",
        "--plan",
        "Gold",
    ]);
    assert!(!user.ok(&["app", "list"]).contains("shop"));
    user.ok(&["logout"]);
    user.fails(2, &["app", "list"]);
}

/// Status line and body of a call to the gateway.
fn called(user: &User, path: &str) -> String {
    use std::io::{Read as _, Write as _};
    let address = user.platform.gateway.trim_start_matches("http://");
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// req: O5
#[test]
fn a_refused_call_is_explained_by_the_id_in_its_answer() {
    let user = User::start();
    import(&user);
    let answer = called(&user, "/pets/1.0.0/pets");
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    let problem = json(answer.split("\r\n\r\n").nth(1).unwrap());
    let id = problem["traceId"].as_str().unwrap();
    // Nodes tell it every second.
    let patience = std::time::Instant::now() + crate::platform::PATIENCE;
    while user.run(&["explain", id]).status.code() == Some(1) {
        assert!(std::time::Instant::now() < patience, "{id} stays unknown");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let text = user.ok(&["explain", id]);
    for line in [
        "call         GET /pets/1.0.0/pets",
        "policy       1. jwt or apiKey: REJECTED",
        "rule         token-missing",
    ] {
        assert!(text.lines().any(|have| have == line), "{line}\n{text}");
    }
    let all = json(&user.ok(&["explain", id, "-o", "json"]));
    assert_eq!(all["traceId"], id);
    assert_eq!(
        all["calls"][0]["decision"]["answer"]["code"],
        "CREDENTIALS_MISSING"
    );
    assert!(
        user.ok(&["explain", id, "-o", "yaml"])
            .contains("rule: token-missing")
    );
    let unknown = user.fails(1, &["explain", &"0".repeat(32)]);
    assert!(unknown.contains("may have succeeded"), "{unknown}");
}

/// A definition with keys of WSO2's gateways, by commands (req: GW17).
#[test]
fn keys_of_other_gateways_are_explained_imported_and_tried_out() {
    let user = User::start();
    let text = "openapi: 3.0.0\ninfo: {title: Pets, version: 1.0.0}\nx-wso2-basePath: /pets/{version}\n\
                x-wso2-production-endpoints: {urls: [\"http://127.0.0.1:9\"]}\nx-wso2-owner: alice\n\
                paths: {/a: {get: {responses: {'200': {description: ok}}}}}\n";
    std::fs::write(user.path("pets.yaml"), text).unwrap();
    // A warning with its place; the answer is yes.
    let found = user.ok(&["validate", "pets.yaml"]);
    assert!(
        found.starts_with("pets.yaml:5:1 /x-wso2-owner warning: "),
        "{found}"
    );
    user.ok(&["api", "import", "pets.yaml", "--plan", "Gold", "--publish"]);
    let api = json(&user.ok(&["api", "get", "pets:1.0.0", "-o", "json"]));
    assert_eq!(api["spec"]["context"], "/pets");
    let endpoints = &api["spec"]["backends"]["production"]["endpoints"];
    assert_eq!(endpoints[0]["url"], "http://127.0.0.1:9");

    let faulty = text.replace("urls", "url");
    std::fs::write(user.path("faulty.yaml"), faulty).unwrap();
    let found = user.fails(1, &["validate", "faulty.yaml"]);
    assert!(found.contains("faulty.yaml:4:1"), "{found}");
    let found = user.fails(3, &["api", "import", "faulty.yaml", "--name", "other"]);
    assert!(found.contains("faulty.yaml:4:1"), "{found}");

    user.ok(&["app", "create", "shop"]);
    user.ok(&["credentials", "create", "--app", "shop"]);
    let none = user.fails(3, &["token", "--app", "shop", "--sandbox"]);
    assert!(
        none.contains("credentials create --app shop --sandbox"),
        "{none}"
    );
    user.ok(&["credentials", "create", "--app", "shop", "--sandbox"]);
    assert!(!user.ok(&["token", "--app", "shop", "--sandbox"]).is_empty());
    user.ok(&["apikey", "create", "--app", "shop", "--sandbox"]);
    let listed = json(&user.ok(&["apikey", "list", "--app", "shop", "-o", "json"]));
    assert_eq!(listed[0]["environment"], "sandbox");
    let listed = user.ok(&["credentials", "list", "--app", "shop"]);
    assert!(
        listed.contains("production") && listed.contains("sandbox"),
        "{listed}"
    );
}

/// req: L7
#[test]
fn severities_of_rules_are_chosen_on_the_command_line() {
    let user = User::start();
    let operation = "get: {operationId: same, responses: {'200': {description: ok}}}";
    let text = format!(
        "openapi: 3.0.3\ninfo: {{title: x, version: '1'}}\nservers: [{{url: 'http://127.0.0.1:9'}}]\npaths:\n  /a:\n    {operation}\n  /b:\n    {operation}\n"
    );
    std::fs::write(user.path("twice.openapi.yaml"), text).unwrap();
    let file = "twice.openapi.yaml";
    let found = user.fails(1, &["validate", file]);
    assert!(found.starts_with("twice.openapi.yaml:8:"), "{found}");
    let rule = "duplicate-operation-id=warning";
    let told = user.ok(&["validate", file, "--rule", rule]);
    assert!(told.contains("warning: the operationId `same`"), "{told}");
    let wrong = user.fails(2, &["validate", file, "--rule", "duplicate-operation=off"]);
    assert!(
        wrong.contains("did you mean `duplicate-operation-id`?"),
        "{wrong}"
    );
    user.fails(2, &["validate", file, "--rule", "duplicate-tag=loud"]);
    user.fails(3, &["api", "import", file]);
    user.ok(&["api", "import", file, "--rule", rule]);
}
