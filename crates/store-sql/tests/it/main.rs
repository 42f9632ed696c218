//! The store on both databases: the common suite, and what only an implementation can show.
#![expect(clippy::unwrap_used, reason = "tests: a panic is the verdict")]

mod copies;
mod crash;
mod feed;
mod file;
mod memory;
mod moving;
mod moving_grants;
mod server;

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
    patient(OpenOptions::at(folder.join("tollway.db")))
}

/// Waits for others as long as a busy machine may take.
fn patient(options: OpenOptions) -> OpenOptions {
    let patience = std::time::Duration::from_mins(1);
    OpenOptions {
        lock_timeout: patience,
        queue_timeout: patience,
        connect_timeout: patience,
        ..options
    }
}

/// Where the database of a test is.
enum Home {
    Folder(TempDir),
    /// The URL of a database on the server that the tests share.
    Server(String),
}

impl Home {
    fn folder() -> Self {
        Self::Folder(TempDir::new().unwrap())
    }

    fn server() -> Self {
        Self::Server(parts::Postgres::shared().database())
    }

    fn options(&self) -> OpenOptions {
        match self {
            Self::Folder(folder) => options(folder.path()),
            Self::Server(url) => patient(OpenOptions::on(url.parse().unwrap())),
        }
    }

    async fn open(&self) -> SqlStore {
        SqlStore::open(&self.options()).await.unwrap()
    }
}

/// An empty store on the server; the guard is there to have the shape of [`fresh`].
async fn fresh_on_server() -> (Box<SqlStore>, ()) {
    (Box::new(Home::server().open().await), ())
}

/// Makes two tests of a behaviour, one on each database: it gets a [`Home`].
macro_rules! on_both {
    ($($name:ident)+) => {
        mod file {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name($crate::Home::folder()).await;
            })+
        }
        mod server {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name($crate::Home::server()).await;
            })+
        }
    };
}
use on_both;

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
    mod file {
        store::store_suite!(crate::fresh());
    }
    mod server {
        store::store_suite!(crate::fresh_on_server());
    }
}
