//! Imports of archives and URLs.

use std::io::{Cursor, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use control::ControlConfig;
use fetch::{Allow, FetchConfig, Fetcher, Resolve};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use zip::write::SimpleFileOptions;

use crate::definitions::{COMMON, PATHS, ROOT};
use crate::world::World;

fn zip(files: &[(&str, &str)]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in files {
        let options = SimpleFileOptions::default();
        writer.start_file(*name, options).unwrap();
        writer.write_all(content.as_bytes()).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn archive(files: &[(&str, &str)]) -> Value {
    json!({"archive": BASE64_STANDARD.encode(zip(files))})
}

const FILES: &[(&str, &str)] = &[
    ("pets/root.yaml", ROOT),
    ("pets/paths/pets.yaml", PATHS),
    ("pets/common.json", COMMON),
    ("pets/unused.yaml", "a: 1"),
    ("pets/README.md", "read me"),
];

async fn import(world: &World, body: Value) -> Value {
    world.post("paul", "/apis:import", body).await.expect(201)
}

fn kept() -> Value {
    json!({"root": "root.yaml", "files": {"common.json": COMMON, "paths/pets.yaml": PATHS, "root.yaml": ROOT}})
}

// req: multi-file definitions from a zip archive.
#[tokio::test]
async fn an_archive_is_imported_and_its_files_are_kept() {
    let world = World::new().await;
    let made = import(&world, archive(FILES)).await;
    assert_eq!(made["operations"], 1);
    let warning = &made["warnings"][0];
    assert_eq!(warning["rule"], "unused-files");
    assert!(
        warning["message"]
            .as_str()
            .unwrap()
            .ends_with(": pets/unused.yaml"),
        "{warning}"
    );
    let files = world
        .get("paul", "/apis/pets-1.0.0/definition/files")
        .await
        .expect(200);
    assert_eq!(files, kept());
}

#[tokio::test]
async fn the_root_is_named_where_it_is_not_clear() {
    let world = World::new().await;
    let two = [
        ("a.yaml", crate::world::PETS),
        ("b.yaml", crate::world::PETS),
    ];
    let problem = world
        .post("paul", "/apis:import", archive(&two))
        .await
        .problem("INVALID_ARCHIVE");
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .ends_with(": a.yaml, b.yaml"),
        "{problem:#}"
    );
    let mut named = archive(&two);
    named["file"] = "b.yaml".into();
    let made = import(&world, named).await;
    assert_eq!(made["api"]["spec"]["definition"]["file"], "b.yaml");
    let mut missing = archive(&two);
    missing["file"] = "../b.yaml".into();
    world
        .post("paul", "/apis:import", missing)
        .await
        .problem("INVALID_ARCHIVE");
}

// req: S2
#[tokio::test]
async fn archives_that_carry_more_than_texts_are_refused_and_counted() {
    let config = ControlConfig {
        archive: archive::ArchiveLimits {
            entries_max: 5,
            ..Default::default()
        },
        ..ControlConfig::default()
    };
    let world = World::with(config).await;
    let before = world.store.revision().await.unwrap();
    let spaces = " ".repeat(9_000_000);
    let many: Vec<String> = (0..6).map(|number| format!("{number}.yaml")).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|name| (name.as_str(), "")).collect();
    for (files, reason) in [
        (&[("../root.yaml", ROOT)][..], "archive-name"),
        (&[("/root.yaml", ROOT)], "archive-name"),
        (&[("a.yaml", ROOT), ("A.yaml", ROOT)], "archive-duplicate"),
        (&[("a.yaml", &spaces)], "archive-ratio"),
        (&many, "archive-entries"),
    ] {
        world
            .post("paul", "/apis:import", archive(files))
            .await
            .problem("INVALID_ARCHIVE");
        assert!(
            world.control.import_refusals().counts()[reason] > 0,
            "{reason}"
        );
    }
    let text = json!({"archive": BASE64_STANDARD.encode("openapi: 3.1.0")});
    world
        .post("paul", "/apis:import", text)
        .await
        .problem("INVALID_ARCHIVE");
    for odd in [
        json!({}),
        json!({"archive": "?"}),
        json!({"archive": "", "definition": ROOT}),
        json!({"url": "https://example.com/", "definition": ROOT}),
        json!({"archive": "", "files": {"a": "b"}}),
    ] {
        world
            .post("paul", "/apis:import", odd)
            .await
            .problem("BAD_REQUEST");
    }
    assert_eq!(world.store.revision().await.unwrap(), before);
}

/// A server of files; it remembers what was asked for.
async fn serve(files: Vec<(&'static str, Vec<u8>)>) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let log = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            let head = String::from_utf8(head).unwrap();
            let path = head.split(' ').nth(1).unwrap().to_owned();
            let found = files
                .iter()
                .find(|(name, _)| path.split('?').next() == Some(name));
            let (status, body) = match found {
                Some((_, body)) if body.starts_with(b"->") => (
                    format!(
                        "302 Found\r\nlocation: {}",
                        String::from_utf8_lossy(&body[2..])
                    ),
                    &[][..],
                ),
                Some((_, body)) => ("200 OK".to_owned(), body.as_slice()),
                None => ("404 Not Found".to_owned(), b"secret page".as_slice()),
            };
            log.lock().unwrap().push(path);
            let head = format!(
                "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            stream.write_all(head.as_bytes()).await.unwrap();
            stream.write_all(body).await.unwrap();
        }
    });
    (address, asked)
}

struct Loopback;

#[async_trait::async_trait]
impl Resolve for Loopback {
    async fn resolve(&self, _: &str) -> std::io::Result<Vec<IpAddr>> {
        Ok(vec!["127.0.0.1".parse().unwrap()])
    }
}

async fn world(allow: &[&str]) -> World {
    let config = FetchConfig {
        allow: Allow::parse(allow.iter().copied()).unwrap(),
        ..FetchConfig::default()
    };
    let fetcher = Fetcher::new(config, Loopback).unwrap();
    World::fetching(ControlConfig::default(), fetcher).await
}

fn pets() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("/v1/root.yaml", ROOT.into()),
        ("/v1/paths/pets.yaml", PATHS.into()),
        ("/v1/common.json", COMMON.into()),
        ("/pets.zip", zip(FILES)),
        ("/moved", b"->/v1/root.yaml".to_vec()),
        ("/inside", b"->http://127.0.0.2/".to_vec()),
        (
            "/odd.yaml",
            ROOT.replace("paths/pets.yaml", "http://127.0.0.1:1/p.yaml")
                .into(),
        ),
        (
            "/gone.yaml",
            ROOT.replace("paths/pets.yaml", "gone/pets.yaml").into(),
        ),
        ("/latin.yaml", b"openapi: \xe4".to_vec()),
    ]
}

// req: S7
#[tokio::test]
async fn a_url_is_fetched_with_what_it_refers_to() {
    let (address, asked) = serve(pets()).await;
    let world = world(&["api.test"]).await;
    let url = format!("http://api.test:{}/moved?token=secret", address.port());
    let made = import(&world, json!({"url": url})).await;
    assert_eq!(made["operations"], 1);
    let annotation = &made["api"]["metadata"]["annotations"]["tollway.dev/source-url"];
    assert_eq!(
        annotation,
        &format!("http://api.test:{}/moved", address.port())
    );
    assert!(!made.to_string().contains("secret"));
    let files = world
        .get("paul", "/apis/pets-1.0.0/definition/files")
        .await
        .expect(200);
    assert_eq!(files, kept());
    assert_eq!(
        *asked.lock().unwrap(),
        [
            "/moved?token=secret",
            "/v1/root.yaml",
            "/v1/paths/pets.yaml",
            "/v1/common.json"
        ]
    );
    let zip =
        json!({"url": format!("http://api.test:{}/pets.zip", address.port()), "version": "2.0.0"});
    import(&world, zip).await;
    let files = world.get("paul", "/apis/pets-2.0.0/definition/files").await;
    assert_eq!(files.expect(200), kept());
}

// req: S7
#[tokio::test]
async fn blocked_addresses_are_told_and_nothing_else() {
    let (address, asked) = serve(pets()).await;
    let world = world(&["api.test"]).await;
    let port = address.port();
    for url in [
        format!("http://other.test:{port}/v1/root.yaml"),
        format!("http://127.0.0.1:{port}/v1/root.yaml"),
        format!("http://2130706433:{port}/v1/root.yaml"),
        "http://169.254.169.254/latest/meta-data/".to_owned(),
    ] {
        let problem = world
            .post("paul", "/apis:import", json!({"url": url}))
            .await
            .problem("ADDRESS_BLOCKED");
        assert_eq!(problem["detail"], "definition: address blocked", "{url}");
    }
    assert!(asked.lock().unwrap().is_empty());
    for (path, code, detail) in [
        ("inside", "ADDRESS_BLOCKED", "definition: address blocked"),
        ("missing", "FETCH_FAILED", "definition: the answer is 404"),
        ("latin.yaml", "FETCH_FAILED", "latin.yaml: not UTF-8"),
    ] {
        let url = format!("http://api.test:{port}/{path}");
        let problem = world
            .post("paul", "/apis:import", json!({"url": url}))
            .await
            .problem(code);
        assert_eq!(problem["detail"], detail, "{path}");
    }
    for odd in [
        "ftp://api.test/x",
        "http://user:secret@api.test/x",
        "no url",
        "file:///etc/passwd",
    ] {
        let problem = world
            .post("paul", "/apis:import", json!({"url": odd}))
            .await
            .problem("BAD_REQUEST");
        assert!(!problem.to_string().contains("secret"));
    }
    // A reference to an absolute URL is fetched by nobody; a file that is not there is told where it is needed.
    asked.lock().unwrap().clear();
    for (path, rule) in [
        ("odd.yaml", "external-reference"),
        ("gone.yaml", "external-reference"),
    ] {
        let url = format!("http://api.test:{port}/{path}");
        let problem = world
            .post("paul", "/apis:import", json!({"url": url}))
            .await
            .problem("INVALID_DOCUMENT");
        assert_eq!(problem["errors"][0]["rule"], rule, "{problem:#}");
        assert_eq!(problem["errors"][0]["file"], path);
    }
    assert_eq!(
        *asked.lock().unwrap(),
        ["/odd.yaml", "/gone.yaml", "/gone/pets.yaml"]
    );
}
