//! The first schema.
//!
//! Every table whose rows belong to an organisation has `org`, and its keys include it. Names are plain strings here:
//! entities change with the code, a migration stays as it was.

use sea_orm_migration::prelude::*;

// Later migrations may take them from here.
pub(super) use super::columns::{
    bytes, bytes_null, index, number, number_null, table, text, text_null, uuid,
};

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m0001_foundation"
    }
}

#[expect(
    elided_lifetimes_in_paths,
    reason = "the trait is declared so, and async-trait compares the lifetimes"
)]
#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let tables = [
            counter(),
            resources(),
            applications(),
            history(),
            changes(),
            blobs(),
            revocations(),
            users(),
            signing_keys(),
        ];
        for table in tables {
            manager.create_table(table).await?;
        }
        // Foreign keys point at it, and PostgreSQL wants it there before them.
        manager.create_index(applications_id()).await?;
        for table in [subscriptions(), credentials()] {
            manager.create_table(table).await?;
        }
        for index in indexes() {
            manager.create_index(index).await?;
        }
        let first = Query::insert()
            .into_table("counter")
            .columns(["id", "revision", "feed_floor"])
            .values_panic([1.into(), 0.into(), 0.into()])
            .take();
        manager.get_connection().execute(&first).await?;
        Ok(())
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}

/// The columns that all documents have after those of their key.
fn document_columns() -> Vec<ColumnDef> {
    vec![
        uuid("id"),
        text("document"),
        bytes("digest"),
        bytes_null("blob"),
        number("revision"),
        number("created_unix_ms"),
        number("updated_unix_ms"),
    ]
}

fn with_document(mut columns: Vec<ColumnDef>) -> Vec<ColumnDef> {
    columns.extend(document_columns());
    columns
}

fn counter() -> TableCreateStatement {
    let id = ColumnDef::new("id").integer().not_null().take();
    table(
        "counter",
        1,
        vec![id, number("revision"), number("feed_floor")],
    )
}

fn resources() -> TableCreateStatement {
    let columns = vec![text("org"), text("kind"), text("name")];
    table("resources", 3, with_document(columns))
}

fn applications() -> TableCreateStatement {
    let columns = vec![text("org"), text("name"), text_null("owner")];
    table("applications", 2, with_document(columns))
}

/// A row of `of` needs its application: the code deletes dependants first, the database only makes sure.
fn of_application(mut of: TableCreateStatement, name: &'static str) -> TableCreateStatement {
    let mut key = ForeignKey::create();
    key.from(name, "application_id").to("applications", "id");
    of.foreign_key(&mut key);
    of
}

fn subscriptions() -> TableCreateStatement {
    let columns = vec![
        text("org"),
        text("name"),
        uuid("application_id"),
        text_null("api"),
        text_null("plan"),
    ];
    let table = table("subscriptions", 2, with_document(columns));
    of_application(table, "subscriptions")
}

fn history() -> TableCreateStatement {
    let columns = vec![
        number("revision"),
        number("ordinal"),
        text("org"),
        text("kind"),
        text("name"),
        number("at_unix_ms"),
        text("actor"),
        text_null("before"),
        text_null("after"),
    ];
    table("history", 2, columns)
}

fn changes() -> TableCreateStatement {
    let columns = vec![
        number("revision"),
        number("ordinal"),
        text("subject"),
        text_null("org"),
        text_null("kind"),
        text_null("name"),
        ColumnDef::new("id").uuid().null().take(),
    ];
    table("changes", 2, columns)
}

fn blobs() -> TableCreateStatement {
    table("blobs", 1, vec![bytes("digest"), bytes("content")])
}

fn credentials() -> TableCreateStatement {
    let columns = vec![
        uuid("id"),
        text("org"),
        uuid("application_id"),
        text_null("client_id"),
        text_null("prefix"),
        bytes("hash"),
        number("created_unix_ms"),
        number_null("expires_unix_s"),
    ];
    of_application(table("credentials", 1, columns), "credentials")
}

fn revocations() -> TableCreateStatement {
    table(
        "revocations",
        1,
        vec![text("jti"), number("expires_unix_s")],
    )
}

fn users() -> TableCreateStatement {
    let columns = vec![
        text("org"),
        text("name"),
        uuid("id"),
        text("password_hash"),
        text("roles"),
        number("revision"),
        number("created_unix_ms"),
    ];
    table("users", 2, columns)
}

fn signing_keys() -> TableCreateStatement {
    let columns = vec![
        text("kid"),
        bytes("sealed"),
        text("public_jwk"),
        number("created_unix_ms"),
    ];
    table("signing_keys", 1, columns)
}

fn applications_id() -> IndexCreateStatement {
    index("applications_id", "applications", &["id"])
        .unique()
        .take()
}

fn indexes() -> Vec<IndexCreateStatement> {
    let unique = |name, table, columns| index(name, table, columns).unique().take();
    vec![
        unique("resources_id", "resources", &["id"]),
        index(
            "applications_owner",
            "applications",
            &["org", "owner", "name"],
        ),
        unique("subscriptions_id", "subscriptions", &["id"]),
        index(
            "subscriptions_application",
            "subscriptions",
            &["application_id"],
        ),
        index(
            "subscriptions_api",
            "subscriptions",
            &["org", "api", "name"],
        ),
        index(
            "subscriptions_plan",
            "subscriptions",
            &["org", "plan", "name"],
        ),
        index(
            "history_document",
            "history",
            &["org", "kind", "name", "revision", "ordinal"],
        ),
        unique("credentials_client_id", "credentials", &["client_id"]),
        // Of API keys alone: the key is looked up by its hash, a client by its id.
        unique("credentials_key_hash", "credentials", &["hash"])
            .and_where(Expr::col("prefix").is_not_null())
            .take(),
        index(
            "credentials_application",
            "credentials",
            &["application_id"],
        ),
        index("revocations_expiry", "revocations", &["expires_unix_s"]),
    ]
}
