//! The nodes of all control processes.

use super::*;
use crate::NodeRecord;

/// A node is replaced by what is said of it next, goes when its lease is over, and makes no revision.
pub async fn nodes_are_kept_until_they_expire(store: &dyn Store) {
    let node = |id: &str, until: u64, revision| NodeRecord {
        id: id.to_owned(),
        gateway: "default".to_owned(),
        control: "c1".to_owned(),
        lease_until_unix_ms: until,
        revision,
        digest: revision.map(|revision: u64| Digest::of(&revision.to_be_bytes())),
        report: json!([{"key": "pets"}]),
    };
    assert_eq!(store.node_list().await.unwrap(), []);
    store.node_put(&[]).await.unwrap();
    let (a, b) = (node("a", 100, None), node("b", 200, Some(7)));
    store.node_put(&[b.clone(), a.clone()]).await.unwrap();
    assert_eq!(store.node_list().await.unwrap(), [a, b.clone()]);
    let mut moved = node("a", 300, Some(8));
    moved.control = "c2".to_owned();
    moved.gateway = "edge".to_owned();
    store.node_put(std::slice::from_ref(&moved)).await.unwrap();
    assert_eq!(store.node_list().await.unwrap(), [moved.clone(), b]);
    store.node_expire(201).await.unwrap();
    assert_eq!(store.node_list().await.unwrap(), [moved]);
    assert_eq!(store.revision().await.unwrap(), 0);
}
