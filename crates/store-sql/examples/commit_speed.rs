//! Commits a second and resident memory, printed: one writer, then eight at once.
//!
//! `cargo run --release -p store-sql --example commit_speed [folder]`; the folder decides which disk is measured.
#![expect(clippy::print_stdout, reason = "a measurement prints its result")]

use std::sync::Arc;
use std::time::Instant;

use base::{Digest, Org};
use serde_json::json;
use store::record::Links;
use store::{Batch, Expect, Filter, Page, RecordKind, ResourceStore, Store, Write};
use store_sql::{OpenOptions, SqlStore};

const COMMITS: usize = 2000;

fn batch(name: &str, number: usize) -> Batch {
    let text = "a document of some two kilobytes ".repeat(60);
    let document = json!({"metadata": {"name": name}, "spec": {"number": number, "text": text}});
    Batch {
        org: Org::default_org(),
        actor: "ada".to_owned(),
        at_unix_ms: 0,
        request: None,
        writes: vec![Write::RecordPut {
            kind: RecordKind::Api,
            name: name.to_owned(),
            new_id: uuid::Uuid::now_v7(),
            digest: Digest::of(document.to_string().as_bytes()),
            document,
            blob: None,
            links: Links::default(),
            expect: Expect::Any,
        }],
    }
}

/// Resident memory in MB, from the kernel.
fn resident_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|value| value.trim().trim_end_matches(" kB").parse::<f64>().ok());
    kib.map_or(0.0, |kib| kib / 1024.0)
}

async fn write(store: &SqlStore, writer: usize, commits: usize) {
    for number in 0..commits {
        let name = format!("{writer}-{}", number % 500);
        let committed = store.commit(batch(&name, number)).await;
        committed.expect("the disk has room");
    }
}

#[tokio::main]
async fn main() {
    let parent = std::env::args().nth(1).unwrap_or_else(|| ".".to_owned());
    let folder = tempfile::tempdir_in(parent).expect("the folder can be written");
    println!("at start          {:>8.1} MB", resident_mb());
    let began = Instant::now();
    let options = OpenOptions::at(folder.path().join("tollway.db"));
    let store = SqlStore::open(&options).await.expect("the folder is new");
    let opened_ms = began.elapsed().as_millis();
    println!(
        "open, new file    {opened_ms:>8} ms, {:.1} MB",
        resident_mb()
    );
    let store = Arc::new(store);
    for writers in [1, 8] {
        let began = Instant::now();
        let tasks: Vec<_> = (0..writers)
            .map(|writer| {
                let store = store.clone();
                tokio::spawn(async move { write(&store, writer, COMMITS / writers).await })
            })
            .collect();
        for task in tasks {
            task.await.expect("the writer ends");
        }
        #[expect(clippy::cast_precision_loss, reason = "a small number")]
        let rate = COMMITS as f64 / began.elapsed().as_secs_f64();
        println!(
            "{writers} writers         {rate:>8.0} commits/s, {:.1} MB",
            resident_mb()
        );
    }
    let began = Instant::now();
    let org = Org::default_org();
    let filter = Filter::default();
    let list = store
        .record_list(&org, RecordKind::Api, &filter, &Page::ALL)
        .await;
    let count = list.expect("the list is read").len();
    let took_ms = began.elapsed().as_millis();
    println!(
        "list of {count:>5}     {took_ms:>8} ms, {:.1} MB",
        resident_mb()
    );
    store.close().await;
}
