//! Definitions of several files through the command line: folders, archives, URLs.

use std::io::{Cursor, Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;

use serde_json::Value;
use zip::write::SimpleFileOptions;

use crate::platform::User;

const FILES: &[(&str, &str)] = &[
    (
        "v1/root.yaml",
        "# kept as it is\r\nopenapi: 3.1.0\ninfo: {title: Pets, version: 1.0.0}\nservers: [{url: 'http://127.0.0.1:9'}]\npaths:\n  /pets: {$ref: ../parts/pets.yaml}\n",
    ),
    (
        "parts/pets.yaml",
        "get: {operationId: list, responses: {'200': {description: ok, content: {application/json: {schema: {$ref: 'schemas.json#/Pet'}}}}}}\n",
    ),
    ("parts/schemas.json", "{\"Pet\": {\"type\": \"object\"}}"),
];

fn write(folder: &Path) {
    for (name, text) in FILES {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
}

fn zip(files: &[(&str, &str)]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, text) in files {
        let options = SimpleFileOptions::default();
        writer.start_file(*name, options).unwrap();
        writer.write_all(text.as_bytes()).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn same(folder: &Path) {
    for (name, text) in FILES {
        let found = std::fs::read_to_string(folder.join(name)).unwrap();
        assert_eq!(found, *text, "{name}");
    }
}

/// A metric's value on the node's page.
fn metric(user: &User, line: &str) -> Option<u64> {
    let page = http_get(&format!("{}/metrics", user.platform.node));
    let found = page.lines().find_map(|found| found.strip_prefix(line))?;
    found.trim().parse().ok()
}

pub(crate) fn http_get(url: &str) -> String {
    let rest = url.strip_prefix("http://").unwrap();
    let (address, path) = rest.split_once('/').unwrap();
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    write!(
        stream,
        "GET /{path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    )
    .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

/// Serves [`FILES`] until the test ends.
fn serve() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() > 0 {
                head.push(byte[0]);
            }
            let head = String::from_utf8(head).unwrap();
            let path = head
                .split([' ', '?'])
                .nth(1)
                .unwrap()
                .trim_start_matches('/');
            let found = FILES.iter().find(|(name, _)| *name == path);
            let (status, body) = found.map_or(("404 Not Found", ""), |(_, text)| ("200 OK", *text));
            let length = body.len();
            let _ = write!(
                stream,
                "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
            );
        }
    });
    port
}

// req: multi-file definitions, kept byte for byte; export → apply → diff prints nothing (C9).
#[test]
fn folders_travel_whole() {
    let user = User::start();
    let folder = user.path("conf");
    write(&folder);
    let document = "kind: Api\nspec: {name: pets, version: 1.0.0, context: /pets, definition: {file: v1/root.yaml}}\n";
    std::fs::write(folder.join("api.yaml"), document).unwrap();
    assert_eq!(user.ok(&["validate", "conf"]), "");
    user.ok(&["apply", "-f", "conf"]);
    user.ok(&["diff", "-f", "conf"]);
    user.ok(&["export", "-d", "out"]);
    same(&user.path("out/apis/pets-1.0.0"));
    assert_eq!(user.ok(&["diff", "-f", "out"]), "");
    assert!(user.ok(&["apply", "-f", "out"]).is_empty());
    let digest = |user: &User| {
        let api: Value =
            serde_json::from_str(&user.ok(&["api", "get", "pets:1.0.0", "-o", "json"])).unwrap();
        api["status"]["digest"].clone()
    };
    let before = digest(&user);
    let other = User::start();
    let out = user.path("out");
    other.ok(&["apply", "-f", out.to_str().unwrap()]);
    assert_eq!(digest(&other), before);
    assert_eq!(other.ok(&["api", "definition", "pets:1.0.0"]), FILES[0].1);
    other.ok(&["api", "definition", "pets:1.0.0", "-d", "files"]);
    same(&other.path("files"));
    let bundled: Value =
        serde_json::from_str(&other.ok(&["api", "definition", "pets:1.0.0", "--bundled"])).unwrap();
    assert_eq!(bundled["components"]["schemas"]["Pet"]["type"], "object");
    // A fault in a file that is referred to has that file's place.
    std::fs::write(folder.join("parts/pets.yaml"), "get:\n - no\n").unwrap();
    let found = user.fails(1, &["validate", "conf"]);
    assert!(
        found.starts_with("conf/parts/pets.yaml:1:1 /get "),
        "{found}"
    );
    let refused = user.fails(3, &["apply", "-f", "conf"]);
    assert!(
        refused.contains("conf/parts/pets.yaml:1:1 /get "),
        "{refused}"
    );
}

// req: S2
#[test]
fn archives_are_imported_or_refused() {
    let user = User::start();
    let mut files = FILES.to_vec();
    std::fs::write(user.path("pets.zip"), zip(&files)).unwrap();
    user.ok(&["api", "import", "pets.zip"]);
    user.ok(&["api", "definition", "pets:1.0.0", "-d", "files"]);
    same(&user.path("files"));
    files.push(("../../evil.yaml", "x"));
    std::fs::write(user.path("evil.zip"), zip(&files)).unwrap();
    let refused = user.fails(3, &["api", "import", "evil.zip", "--version", "2"]);
    assert!(
        refused.contains("INVALID_ARCHIVE") && refused.contains("../../evil.yaml"),
        "{refused}"
    );
    let two = [("a.yaml", FILES[0].1), ("b.yaml", FILES[0].1)];
    std::fs::write(user.path("two.zip"), zip(&two)).unwrap();
    let refused = user.fails(3, &["api", "import", "two.zip"]);
    assert!(refused.contains("a.yaml, b.yaml"), "{refused}");
    let refusals = "tollway_import_refusals_total{reason=\"archive-name\"}";
    assert_eq!(metric(&user, refusals), Some(1));
}

// req: S7
#[test]
fn urls_are_fetched_by_the_platform_where_the_operator_allows_it() {
    let port = serve();
    let url = format!("http://127.0.0.1:{port}/v1/root.yaml?token=secret");
    let closed = User::start();
    let refused = closed.fails(3, &["api", "import", &url]);
    assert!(
        refused.contains("ADDRESS_BLOCKED: Address blocked"),
        "{refused}"
    );
    let blocked = "tollway_outbound_fetches_total{result=\"blocked\"}";
    assert_eq!(metric(&closed, blocked), Some(1));
    let open = User::start_with(&["--outbound-allow", "127.0.0.1"]);
    open.ok(&["api", "import", &url]);
    open.ok(&["api", "definition", "pets:1.0.0", "-d", "files"]);
    same(&open.path("files"));
    let api = open.ok(&["api", "get", "pets:1.0.0"]);
    let source = format!("tollway.dev/source-url: http://127.0.0.1:{port}/v1/root.yaml\n");
    assert!(api.contains(&source) && !api.contains("secret"), "{api}");
    let fetched = "tollway_outbound_fetches_total{result=\"ok\"}";
    assert_eq!(metric(&open, fetched), Some(3));
}
