//! The store on SQLite: the common suite, and what only a file can show.
#![expect(clippy::unwrap_used, reason = "tests: a panic is the verdict")]

mod crash;
mod feed;
mod file;
mod memory;

use std::path::Path;

use base::{Digest, Org};
use serde_json::json;
use store::record::Links;
use store::{Batch, Expect, RecordKind, Write};
use store_sql::{OpenOptions, SqlStore};
use tempfile::TempDir;

/// An empty store in a folder that goes with the guard.
async fn fresh() -> (Box<SqlStore>, TempDir) {
    let folder = TempDir::new().unwrap();
    let store = SqlStore::open(&options(folder.path())).await.unwrap();
    (Box::new(store), folder)
}

fn options(folder: &Path) -> OpenOptions {
    OpenOptions::at(folder.join("tollway.db"))
}

fn batch(writes: Vec<Write>) -> Batch {
    Batch {
        org: Org::default_org(),
        actor: "ada".to_owned(),
        at_unix_ms: 1_790_000_000_000,
        request: None,
        writes,
    }
}

/// An API document with some content.
fn api(name: &str, text: &str) -> Write {
    let document = json!({"metadata": {"name": name}, "spec": {"text": text}});
    Write::RecordPut {
        kind: RecordKind::Api,
        name: name.to_owned(),
        new_id: uuid::Uuid::now_v7(),
        digest: Digest::of(document.to_string().as_bytes()),
        document,
        blob: None,
        links: Links::default(),
        expect: Expect::Any,
    }
}

mod suite {
    store::store_suite!(super::fresh());
}
