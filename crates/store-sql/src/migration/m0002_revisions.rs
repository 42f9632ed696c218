//! Revisions of APIs, what the audit needs of the history, and the nodes of all control processes.
//!
//! Every API that is there gets its revision 1.

use base::Digest;
use sea_orm::sea_query::{Alias, ExprTrait};
use sea_orm_migration::prelude::*;
use serde_json::Value;

use super::columns::{bytes, bytes_null, index, number, number_null, table, text, text_null};

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m0002_revisions"
    }
}

#[expect(
    elided_lifetimes_in_paths,
    reason = "the trait is declared so, and async-trait compares the lifetimes"
)]
#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.create_table(api_revisions()).await?;
        manager.create_table(nodes()).await?;
        for column in [
            text_null("request"),
            bytes_null("before_blob"),
            bytes_null("after_blob"),
        ] {
            // SQLite adds one column at a time.
            let alter = Table::alter().table("history").add_column(column).take();
            manager.alter_table(alter).await?;
        }
        let columns = ["org", "actor", "revision", "ordinal"];
        manager
            .create_index(index("history_actor", "history", &columns))
            .await?;
        first_revisions(manager.get_connection()).await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}

fn api_revisions() -> TableCreateStatement {
    let columns = vec![
        text("org"),
        text("api"),
        number("number"),
        bytes("digest"),
        text("document"),
        bytes_null("blob"),
        number("at_unix_ms"),
        text("actor"),
        number("revision"),
    ];
    table("api_revisions", 3, columns)
}

fn nodes() -> TableCreateStatement {
    let columns = vec![
        text("id"),
        text("gateway"),
        text("control"),
        number("lease_until_unix_ms"),
        number_null("revision"),
        bytes_null("digest"),
        text("report"),
    ];
    table("nodes", 1, columns)
}

async fn first_revisions(db: &SchemaManagerConnection<'_>) -> Result<(), DbErr> {
    let kept = [
        "org",
        "name",
        "document",
        "blob",
        "revision",
        "updated_unix_ms",
    ];
    let apis = Query::select()
        .columns(kept)
        .from("resources")
        .and_where(Expr::col(Alias::new("kind")).eq("Api"))
        .take();
    for row in db.query_all(&apis).await? {
        let document: String = row.try_get("", "document")?;
        let blob: Option<Vec<u8>> = row.try_get("", "blob")?;
        let (content, digest) = content(&document, blob.as_deref())?;
        let insert = Query::insert()
            .into_table("api_revisions")
            .columns([
                "org",
                "api",
                "number",
                "digest",
                "document",
                "blob",
                "at_unix_ms",
                "actor",
                "revision",
            ])
            .values_panic([
                row.try_get::<String>("", "org")?.into(),
                row.try_get::<String>("", "name")?.into(),
                1_i64.into(),
                digest.as_bytes().to_vec().into(),
                content.into(),
                blob.into(),
                row.try_get::<i64>("", "updated_unix_ms")?.into(),
                "system".into(),
                row.try_get::<i64>("", "revision")?.into(),
            ])
            .take();
        db.execute(&insert).await?;
    }
    Ok(())
}

/// The content of an API's document and its digest, as `spec` made them when this migration was written.
fn content(document: &str, blob: Option<&[u8]>) -> Result<(String, Digest), DbErr> {
    let mut document: Value = serde_json::from_str(document)
        .map_err(|error| DbErr::Migration(format!("an API cannot be read: {error}")))?;
    if let Some(spec) = document["spec"].as_object_mut() {
        spec.retain(|key, _| !["deployments", "lifecycle", "sunset"].contains(&key.as_str()));
    }
    let mut sorted = document.clone();
    sorted.sort_all_objects();
    let own = Digest::of(sorted.to_string().as_bytes());
    let digest = match blob {
        None => own,
        Some(blob) => Digest::of_list(&[own.as_bytes(), blob]),
    };
    Ok((document.to_string(), digest))
}
