//! The file: reopening, refusing what is not ours, its mode.

use base::Org;
use store::{Page, RecordKind, ResourceStore, Store, StoreError};
use store_sql::{OpenError, OpenOptions, SqlStore};
use tempfile::TempDir;

use super::{api, batch, fresh, options};

#[tokio::test]
async fn reopening_keeps_everything() {
    let (store, folder) = fresh().await;
    for number in 0..20 {
        let write = api(&format!("api-{number:02}"), "text");
        store.commit(batch(vec![write])).await.unwrap();
    }
    let list = async |store: &SqlStore| {
        let (org, kind) = (Org::default_org(), RecordKind::Api);
        let filter = store::Filter::default();
        let list = store.record_list(&org, kind, &filter, &Page::ALL).await;
        (list.unwrap(), store.changes_since(0, 100).await.unwrap())
    };
    let before = list(&store).await;
    store.close().await;
    let closed = store.commit(batch(vec![api("late", "")])).await;
    assert!(matches!(closed, Err(StoreError::Database(_))));
    let store = SqlStore::open(&options(folder.path())).await.unwrap();
    assert_eq!(list(&store).await, before);
    assert_eq!(store.revision().await.unwrap(), 20);
}

/// A plain start leaves no copies: only migrations do.
#[tokio::test]
async fn reopening_makes_no_backup() {
    let (store, folder) = fresh().await;
    store.close().await;
    SqlStore::open(&options(folder.path()))
        .await
        .unwrap()
        .close()
        .await;
    let files: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(files, ["tollway.db"]);
}

#[cfg(unix)]
#[tokio::test]
async fn only_the_owner_can_read_the_files() {
    use std::os::unix::fs::PermissionsExt;
    let (store, folder) = fresh().await;
    store.commit(batch(vec![api("pets", "")])).await.unwrap();
    let mut count = 0;
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{:?}", entry.file_name());
        count += 1;
    }
    assert_eq!(count, 3, "the database, its log and the log's index");
}

#[tokio::test]
async fn foreign_files_are_refused_and_left_alone() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("notes.txt");
    std::fs::write(&path, "dear diary, this is no database").unwrap();
    let error = SqlStore::open(&OpenOptions::at(&path)).await.unwrap_err();
    assert!(matches!(error, OpenError::Foreign { .. }));
    assert!(error.to_string().contains("notes.txt"), "{error}");
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text, "dear diary, this is no database");

    // The head is right, the rest is not.
    let path = folder.path().join("torn.db");
    let mut torn = b"SQLite format 3\0".to_vec();
    torn.resize(5000, 0xee);
    std::fs::write(&path, torn).unwrap();
    let error = SqlStore::open(&OpenOptions::at(&path)).await.unwrap_err();
    assert!(error.to_string().contains("torn.db"), "{error}");
    assert!(error.to_string().contains("not a database"), "{error}");
}

#[tokio::test]
async fn another_programs_database_is_refused() {
    use sea_orm::ConnectionTrait;
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("other.db");
    let url = format!("sqlite://{}?mode=rwc", path.display());
    let other = sea_orm::Database::connect(url).await.unwrap();
    other
        .execute_unprepared("CREATE TABLE songs (title TEXT)")
        .await
        .unwrap();
    other.close().await.unwrap();
    let before = std::fs::read(&path).unwrap();
    let error = SqlStore::open(&OpenOptions::at(&path)).await.unwrap_err();
    assert!(matches!(error, OpenError::Foreign { .. }), "{error}");
    assert!(error.to_string().contains("another program"), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[tokio::test]
async fn an_unusable_path_is_named_with_its_cause() {
    let folder = TempDir::new().unwrap();
    for (path, cause) in [
        (folder.path().join("no/such/tollway.db"), "No such file"),
        (folder.path().to_owned(), "directory"),
    ] {
        let error = SqlStore::open(&OpenOptions::at(&path)).await.unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, OpenError::File { .. }), "{text}");
        assert!(text.contains(&*path.to_string_lossy()), "{text}");
        assert!(text.contains(cause), "{text}");
    }
}

/// A writer that cannot get the file within the lock timeout fails with an error, and works again afterwards.
#[tokio::test]
async fn a_busy_file_is_an_error_after_the_timeout() {
    use sea_orm::{SqliteTransactionMode, TransactionOptions, TransactionTrait};
    let folder = TempDir::new().unwrap();
    let store = SqlStore::open(&OpenOptions {
        lock_timeout: std::time::Duration::from_millis(50),
        ..options(folder.path())
    })
    .await
    .unwrap();
    let path = folder.path().join("tollway.db");
    let other = sea_orm::Database::connect(format!("sqlite://{}", path.display()));
    let other = other.await.unwrap();
    let options = TransactionOptions {
        sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
        ..TransactionOptions::default()
    };
    let lock = other.begin_with_options(options).await.unwrap();
    let busy = store.commit(batch(vec![api("pets", "")])).await;
    assert!(matches!(busy, Err(StoreError::Database(_))));
    assert_eq!(store.revision().await.unwrap(), 0);
    lock.rollback().await.unwrap();
    let revision = store.commit(batch(vec![api("pets", "")])).await.unwrap();
    assert_eq!(revision, 1);
}
