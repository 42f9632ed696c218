//! Migrations of files that have data, with a second migration that only tests know.

use base::{Digest, Org};
use sea_orm_migration::prelude::*;
use store::record::Links;
use store::{Batch, Expect, RecordKind, ResourceStore, Store, Write};
use tempfile::TempDir;

use std::time::{SystemTime, UNIX_EPOCH};

use super::*;
use crate::migration::Migrator;

/// The program of tomorrow: one migration more.
struct Tomorrow;

impl MigratorTrait for Tomorrow {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        let mut migrations = Migrator::migrations();
        migrations.push(Box::new(AddColumn));
        migrations
    }
}

struct AddColumn;

impl MigrationName for AddColumn {
    fn name(&self) -> &'static str {
        "m9999_add_column"
    }
}

#[expect(
    elided_lifetimes_in_paths,
    reason = "the trait is declared so, and async-trait compares the lifetimes"
)]
#[async_trait::async_trait]
impl MigrationTrait for AddColumn {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let table = Table::alter()
            .table("users")
            .add_column(ColumnDef::new("email").text().null())
            .take();
        manager.alter_table(table).await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}

/// A migration that fails half way.
struct Broken;

impl MigratorTrait for Broken {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        let mut migrations = Migrator::migrations();
        migrations.push(Box::new(DropAndFail));
        migrations
    }
}

struct DropAndFail;

impl MigrationName for DropAndFail {
    fn name(&self) -> &'static str {
        "m9999_drop_and_fail"
    }
}

#[expect(
    elided_lifetimes_in_paths,
    reason = "the trait is declared so, and async-trait compares the lifetimes"
)]
#[async_trait::async_trait]
impl MigrationTrait for DropAndFail {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let drop = Table::drop().table("users").take();
        manager.drop_table(drop).await?;
        Err(DbErr::Custom("out of luck".to_owned()))
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}

/// The newest migration of today's program.
fn newest() -> String {
    names::<Migrator>().pop().unwrap()
}

fn api(name: &str) -> Batch {
    Batch {
        org: Org::default_org(),
        actor: "ada".to_owned(),
        at_unix_ms: 1,
        request: None,
        writes: vec![Write::RecordPut {
            kind: RecordKind::Api,
            name: name.to_owned(),
            new_id: uuid::Uuid::now_v7(),
            document: serde_json::json!({"name": name}),
            digest: Digest::of(name.as_bytes()),
            blob: None,
            links: Links::default(),
            expect: Expect::Absent,
        }],
    }
}

fn backups(folder: &TempDir) -> Vec<PathBuf> {
    let mut paths: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().contains(".backup-"))
        .collect();
    paths.sort();
    paths
}

async fn has_api(store: &SqlStore, name: &str) -> bool {
    let org = Org::default_org();
    let record = store.record_get(&org, RecordKind::Api, name).await;
    record.unwrap().is_some()
}

/// A file written by today's program, whose last commit is still in its log alone.
async fn with_data() -> (TempDir, OpenOptions, SqlStore) {
    let folder = TempDir::new().unwrap();
    let options = OpenOptions::at(folder.path().join("tollway.db"));
    let store = open::<Migrator>(&options).await.unwrap();
    store.commit(api("pets")).await.unwrap();
    let main_file = std::fs::read(folder.path().join("tollway.db")).unwrap();
    assert!(
        !main_file.windows(4).any(|part| part == b"pets"),
        "the log holds it"
    );
    (folder, options, store)
}

#[tokio::test]
async fn a_migration_backs_up_what_was_there() {
    let (folder, options, _still_open) = with_data().await;
    assert!(backups(&folder).is_empty());

    let store = open::<Tomorrow>(&options).await.unwrap();
    assert!(has_api(&store, "pets").await);
    store.commit(api("cats")).await.unwrap();
    store.close().await;

    let copies = backups(&folder);
    assert_eq!(copies.len(), 1);
    let name = copies[0].file_name().unwrap().to_str().unwrap();
    let seconds = name
        .strip_prefix(&format!("tollway.db.backup-{}-", newest()))
        .unwrap();
    assert!(seconds.parse::<u64>().unwrap() > 1_700_000_000);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(&copies[0]).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    // Today's program runs on the copy, which is as the file was before.
    let copy = open::<Migrator>(&OpenOptions::at(&copies[0]))
        .await
        .unwrap();
    assert!(has_api(&copy, "pets").await);
    assert!(!has_api(&copy, "cats").await);
    assert_eq!(copy.revision().await.unwrap(), 1);
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let (folder, options, _still_open) = with_data().await;
    open::<Tomorrow>(&options).await.unwrap().close().await;
    let before = std::fs::read_dir(folder.path()).unwrap().count();
    let error = open::<Migrator>(&options).await.unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, OpenError::Newer { .. }), "{text}");
    for part in ["tollway.db", "m9999_add_column", &newest(), "newer"] {
        assert!(text.contains(part), "{text}");
    }
    let after = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(after, before, "no backup, no migration");
    // Still good for the newer program.
    let store = open::<Tomorrow>(&options).await.unwrap();
    assert!(has_api(&store, "pets").await);
}

#[tokio::test]
async fn a_failing_migration_changes_nothing() {
    let (folder, options, _still_open) = with_data().await;
    let error = open::<Broken>(&options).await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("migrate") && text.contains("out of luck"),
        "{text}"
    );
    assert_eq!(backups(&folder).len(), 1);
    let store = open::<Migrator>(&options).await.unwrap();
    assert!(has_api(&store, "pets").await);
    let org = Org::default_org();
    let users = store::CredentialStore::user_list(&store, &org).await;
    assert_eq!(users.unwrap(), []);
}

#[tokio::test]
async fn a_backup_that_cannot_be_made_stops_the_migration() {
    let (folder, options, store) = with_data().await;
    // A folder that stands where the copy would go, for this second and the next ones.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    for second in now.as_secs()..now.as_secs() + 600 {
        let name = format!("tollway.db.backup-{}-{second}", newest());
        std::fs::create_dir(folder.path().join(name)).unwrap();
    }
    let error = open::<Tomorrow>(&options).await.unwrap_err();
    assert!(matches!(error, OpenError::Backup { .. }), "{error}");
    assert!(has_api(&store, "pets").await);
    assert!(open::<Migrator>(&options).await.is_ok(), "not migrated");
}

/// The program of the first schema.
struct First;

impl MigratorTrait for First {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        Migrator::migrations().into_iter().take(1).collect()
    }
}

/// An API of the first schema gets its revision 1, with the digest that `spec::content_digest` gives such a document
/// (its tests have the same constant).
#[tokio::test]
async fn apis_of_the_first_schema_get_their_first_revision() {
    let folder = TempDir::new().unwrap();
    let options = OpenOptions::at(folder.path().join("tollway.db"));
    let store = open::<First>(&options).await.unwrap();
    let definition = Digest::of(b"openapi: 3.0.3");
    let document = r#"{"kind":"Api","spec":{"version":"1.0.0","name":"pets","lifecycle":"Deprecated","sunset":"2027-06-30","deployments":[{"gateway":"edge"}]}}"#;
    let row = crate::entity::resource::Model {
        org: "default".to_owned(),
        kind: "Api".to_owned(),
        name: "pets-1.0.0".to_owned(),
        id: uuid::Uuid::now_v7(),
        document: document.to_owned(),
        digest: vec![7; 32],
        blob: Some(definition.as_bytes().to_vec()),
        revision: 17,
        created_unix_ms: 1,
        updated_unix_ms: 5,
    };
    crate::entity::resource::Entity::insert(sea_orm::IntoActiveModel::into_active_model(row))
        .exec_without_returning(&store.writer)
        .await
        .unwrap();
    store.close().await;

    let store = open::<Migrator>(&options).await.unwrap();
    let org = Org::default_org();
    let found = store::RevisionStore::api_revision_get(&store, &org, "pets-1.0.0", 1).await;
    let (revision, content) = found.unwrap().unwrap();
    assert_eq!((revision.revision, revision.at_unix_ms), (17, 5));
    assert_eq!(
        (revision.actor.as_str(), revision.blob),
        ("system", Some(definition))
    );
    let expected = serde_json::json!({"kind": "Api", "spec": {"version": "1.0.0", "name": "pets"}});
    assert_eq!(content, expected);
    assert_eq!(
        revision.digest.to_string(),
        "8e8783b2548051a33a9853699a09654ac5d5340e78ccc1814e4a2eb25ca7e3fd"
    );
}

const APPLICATION: &str = "INSERT INTO applications \
    (org, name, id, document, digest, revision, created_unix_ms, updated_unix_ms) \
    VALUES ('default', 'shop', X'01900000000070008000000000000009', '{}', X'00', 1, 1, 1)";

/// The program before credentials had an environment.
struct BeforeSandbox;

impl MigratorTrait for BeforeSandbox {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        let mut migrations = Migrator::migrations();
        migrations.retain(|migration| migration.name() < "m0004");
        migrations
    }
}

/// req: GW17
#[tokio::test]
async fn credentials_that_are_there_stay_for_production() {
    let folder = TempDir::new().unwrap();
    let options = OpenOptions::at(folder.path().join("tollway.db"));
    let old = open::<BeforeSandbox>(&options).await.unwrap();
    let hash = "0".repeat(64);
    for row in [
        APPLICATION.to_owned(),
        format!(
            "INSERT INTO credentials (id, org, application_id, client_id, hash, created_unix_ms) \
             VALUES (X'01900000000070008000000000000001', 'default', X'01900000000070008000000000000009', 'twc_old', X'{hash}', 1)"
        ),
    ] {
        old.writer.execute_unprepared(&row).await.unwrap();
    }
    old.close().await;
    let store = open::<Migrator>(&options).await.unwrap();
    let raw = "SELECT environment FROM credentials WHERE client_id = 'twc_old'";
    let row = sea_orm::Statement::from_string(sea_orm::DbBackend::Sqlite, raw);
    let row = store.writer.query_one_raw(row).await.unwrap().unwrap();
    let environment: String = row.try_get("", "environment").unwrap();
    assert_eq!(environment, "production");
}

/// The program before clients were records of their own.
struct BeforeClients;

impl MigratorTrait for BeforeClients {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        let mut migrations = Migrator::migrations();
        migrations.retain(|migration| migration.name() < "m0005");
        migrations
    }
}

/// Clients and keys of before go on as they were: the same secret, the grant that there was, the same end.
#[tokio::test]
async fn credentials_that_are_there_become_clients_and_keys() {
    let folder = TempDir::new().unwrap();
    let options = OpenOptions::at(folder.path().join("tollway.db"));
    let old = open::<BeforeClients>(&options).await.unwrap();
    let (secret, key) = (Digest::of(b"secret"), Digest::of(b"key"));
    let row = |number: u8, columns: &str, values: &str| {
        format!(
            "INSERT INTO credentials (id, org, application_id, created_unix_ms, environment, hash, {columns}) \
             VALUES (X'0190000000007000800000000000000{number}', 'default', \
             X'01900000000070008000000000000009', {number}, 'sandbox', {values})"
        )
    };
    for row in [
        APPLICATION.to_owned(),
        row(1, "client_id", &format!("X'{secret}', 'twc_old'")),
        row(2, "prefix, expires_unix_s", &format!("X'{key}', 'twk_abcdefgh', 77")),
        "INSERT INTO signing_keys (kid, sealed, public_jwk, created_unix_ms) VALUES ('k', X'00', '{}', 5)".to_owned(),
    ] {
        old.writer.execute_unprepared(&row).await.unwrap();
    }
    old.close().await;
    let store = open::<Migrator>(&options).await.unwrap();
    let all = store::ClientStore::credential_list(&store, None)
        .await
        .unwrap();
    let [client, api_key] = all.as_slice() else {
        panic!("{all:?}");
    };
    let store::CredentialKind::Client(settings) = &client.kind else {
        panic!("{client:?}");
    };
    assert_eq!(settings.client_id, "twc_old");
    assert_eq!(
        (settings.issuer.as_str(), &settings.registration),
        (store::RESIDENT, &None)
    );
    assert_eq!(settings.metadata, store::ClientMetadata::default());
    assert_eq!((client.secrets.len(), client.secrets[0].hash), (1, secret));
    assert_eq!(client.updated_unix_ms, 1);
    assert_eq!(
        api_key.kind,
        store::CredentialKind::ApiKey(base::KeyLimits::default())
    );
    assert_eq!((api_key.secrets.len(), api_key.secrets[0].hash), (1, key));
    assert_eq!(api_key.secrets[0].prefix.as_deref(), Some("twk_abcdefgh"));
    assert_eq!(
        (api_key.expires_unix_s, api_key.secrets[0].expires_unix_s),
        (Some(77), None)
    );
    assert_eq!(api_key.environment, base::Environment::Sandbox);
    let keys = store::CredentialStore::signing_key_list(&store)
        .await
        .unwrap();
    assert_eq!(
        (keys[0].state, keys[0].since_unix_ms),
        (store::KeyState::Signing, 5)
    );
    assert_eq!(keys[0].algorithm, store::SigningAlgorithm::Es256);
}
