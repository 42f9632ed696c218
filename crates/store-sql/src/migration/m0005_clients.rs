//! Clients become records of their own: what they are registered with, secrets in rows of their own, when they were
//! used; signing keys have a state; registration tokens; notices.
//!
//! Clients that are there have a secret and get tokens for themselves, as before.

use sea_orm_migration::prelude::*;

use super::columns::{
    add_columns, bytes, bytes_null, index, number, number_null, number_with, table, text,
    text_null, text_with, uuid,
};

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m0005_clients"
    }
}

/// What a client of before is registered with.
const CLIENT: &str =
    r#"{"token_endpoint_auth_method":"client_secret_basic","grant_types":["client_credentials"]}"#;

#[expect(
    elided_lifetimes_in_paths,
    reason = "the trait is declared so, and async-trait compares the lifetimes"
)]
#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for create in [secrets(), registration_tokens(), notices()] {
            manager.create_table(create).await?;
        }
        add_columns(
            manager,
            "credentials",
            vec![
                text_with("name", ""),
                text_with("settings", "{}"),
                text_with("issuer", ""),
                bytes_null("registration"),
                number_with("updated_unix_ms", 0),
                number_null("used_unix_s"),
            ],
        )
        .await?;
        let db = manager.get_connection();
        for statement in [
            "INSERT INTO credential_secrets (id, credential_id, hash, prefix, created_unix_ms, expires_unix_s) \
             SELECT id, id, hash, prefix, created_unix_ms, NULL FROM credentials"
                .to_owned(),
            "UPDATE credentials SET updated_unix_ms = created_unix_ms".to_owned(),
            format!(
                "UPDATE credentials SET settings = '{CLIENT}', issuer = 'resident' WHERE client_id IS NOT NULL"
            ),
        ] {
            db.execute_unprepared(&statement).await?;
        }
        let mut gone = Index::drop();
        gone.name("credentials_key_hash").table("credentials");
        manager.drop_index(gone).await?;
        for column in ["hash", "prefix"] {
            let alter = Table::alter()
                .table("credentials")
                .drop_column(column)
                .take();
            manager.alter_table(alter).await?;
        }
        for create in indexes() {
            manager.create_index(create).await?;
        }
        let columns = vec![
            text_with("algorithm", "ES256"),
            text_with("state", "signing"),
            number_with("since_unix_ms", 0),
            number_null("until_unix_s"),
        ];
        add_columns(manager, "signing_keys", columns).await?;
        db.execute_unprepared("UPDATE signing_keys SET since_unix_ms = created_unix_ms")
            .await?;
        Ok(())
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}

fn secrets() -> TableCreateStatement {
    let columns = vec![
        uuid("id"),
        uuid("credential_id"),
        bytes("hash"),
        text_null("prefix"),
        number("created_unix_ms"),
        number_null("expires_unix_s"),
        number_null("used_unix_s"),
    ];
    let mut table = table("credential_secrets", 1, columns);
    let mut key = ForeignKey::create();
    key.from("credential_secrets", "credential_id")
        .to("credentials", "id");
    table.foreign_key(&mut key);
    table
}

fn registration_tokens() -> TableCreateStatement {
    let columns = vec![
        uuid("id"),
        text("org"),
        text("name"),
        bytes("hash"),
        number("uses_left"),
        text("owner"),
        number("created_unix_ms"),
        number("expires_unix_s"),
    ];
    table("registration_tokens", 1, columns)
}

fn notices() -> TableCreateStatement {
    let columns = vec![
        uuid("id"),
        text("org"),
        text("kind"),
        text("subject"),
        number("due_unix_s"),
        number("at_unix_ms"),
        text("body"),
    ];
    table("notices", 1, columns)
}

fn indexes() -> Vec<IndexCreateStatement> {
    let unique = |name, table, columns| index(name, table, columns).unique().take();
    vec![
        index(
            "credential_secrets_credential",
            "credential_secrets",
            &["credential_id"],
        ),
        // Of API keys alone: the key is looked up by its hash, a client by its id.
        unique("credential_secrets_key", "credential_secrets", &["hash"])
            .and_where(Expr::col("prefix").is_not_null())
            .take(),
        index(
            "credential_secrets_expiry",
            "credential_secrets",
            &["expires_unix_s"],
        ),
        index("credentials_expiry", "credentials", &["expires_unix_s"]),
        unique("registration_tokens_hash", "registration_tokens", &["hash"]),
        unique(
            "notices_thing",
            "notices",
            &["org", "kind", "subject", "due_unix_s"],
        ),
        index("notices_due", "notices", &["due_unix_s"]),
    ]
}
