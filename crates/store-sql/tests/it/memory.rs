//! Memory stays small: it does not grow with what is stored.
//!
//! Measured in a process of its own, which is this test binary called for the ignored test [`child`].

use std::process::Command;
use std::sync::Arc;

use store::{Store, Write};
use store_sql::SqlStore;

use super::{api, batch, fresh};

const ASKED: &str = "STORE_SQL_MEMORY";
const COMMITS: usize = 600;
const BLOB_BYTES: usize = 100_000;

/// Resident memory in KiB, from the kernel.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.unwrap().trim().trim_end_matches(" kB");
    number.parse().unwrap()
}

async fn commit(store: &SqlStore, number: usize) {
    let mut content = vec![7; BLOB_BYTES];
    content[..8].copy_from_slice(&number.to_le_bytes());
    let blob = Write::BlobPut {
        digest: base::Digest::of(&content),
        content: content.into(),
    };
    let writes = vec![blob, api(&format!("api-{number}"), "")];
    store.commit(batch(writes)).await.unwrap();
    store.changes_since(0, 1000).await.unwrap();
}

#[tokio::test]
#[ignore = "called by memory_does_not_grow_with_the_data"]
async fn child() {
    if std::env::var_os(ASKED).is_none() {
        return;
    }
    let (store, _folder) = fresh().await;
    let store = Arc::new(store);
    // What a database costs once, its migrations among it, is not what is asked about.
    commit(&store, COMMITS).await;
    let before = resident_kib();
    for number in 0..COMMITS {
        commit(&store, number).await;
    }
    println!("grown by {} KiB", resident_kib() - before);
}

#[cfg(target_os = "linux")]
#[test]
fn memory_does_not_grow_with_the_data() {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["memory::child", "--exact", "--ignored", "--nocapture"])
        .env(ASKED, "1")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let grown = text.split_once("grown by ").unwrap().1;
    let kib: u64 = grown.split_once(" KiB").unwrap().0.parse().unwrap();
    println!("{COMMITS} blobs of {BLOB_BYTES} bytes: {kib} KiB");
    // 60 MB are stored meanwhile.
    assert!(kib < 16 * 1024, "{kib} KiB");
}
