use super::*;
use crate::OpenOptions;

/// A table that was added to the schema and not to the list above would stay behind.
#[tokio::test]
async fn every_table_is_moved() {
    let folder = tempfile::TempDir::new().unwrap();
    let options = OpenOptions::at(folder.path().join("tollway.db"));
    let store = SqlStore::open(&options).await.unwrap();
    let db = store.readers.begin().await.unwrap();
    let mut there = store.backend.tables(&db).await.unwrap();
    there.retain(|name| name != "seaql_migrations");
    there.sort();
    let mut known: Vec<_> = tables().iter().map(|table| table.name()).collect();
    known.sort_unstable();
    assert_eq!(known, there, "add what is missing to `tables()`");
}
