//! What people pass through: sessions, consents, grants, codes, refresh tokens, devices, pushed requests.

use sea_orm_migration::prelude::*;

use super::columns::{bytes, bytes_null, index, number, number_null, table, text, text_null, uuid};

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m0006_grants"
    }
}

#[expect(
    elided_lifetimes_in_paths,
    reason = "the trait is declared so, and async-trait compares the lifetimes"
)]
#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in tables() {
            manager.create_table(table).await?;
        }
        for index in indexes() {
            manager.create_index(index).await?;
        }
        Ok(())
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}

fn tables() -> Vec<TableCreateStatement> {
    let uuid_null = |name: &'static str| ColumnDef::new(name).uuid().null().take();
    let sessions = vec![
        bytes("hash"),
        uuid("sid"),
        text("org"),
        uuid("user_id"),
        text("user_name"),
        number("seen_unix_s"),
        number("expires_unix_s"),
        text("login"),
    ];
    let consents = vec![
        uuid("user_id"),
        text("client_id"),
        text("scopes"),
        text("resources"),
        number("at_unix_ms"),
    ];
    let grants = vec![
        uuid("id"),
        text("org"),
        text("client_id"),
        uuid("user_id"),
        uuid_null("sid"),
        number("offline"),
        number_null("revoked_unix_ms"),
        number("created_unix_ms"),
        number("expires_unix_s"),
        text("terms"),
    ];
    let codes = vec![
        bytes("hash"),
        uuid("grant_id"),
        number("used"),
        number("expires_unix_s"),
        number("forget_unix_s"),
        text("binding"),
    ];
    let refresh = vec![
        bytes("hash"),
        uuid("grant_id"),
        bytes_null("parent"),
        number("state"),
        number("rotated_unix_ms"),
        number("expires_unix_s"),
        text_null("binding"),
    ];
    let devices = vec![
        bytes("hash"),
        text("user_code"),
        text("org"),
        text("client_id"),
        number("state"),
        number("interval_s"),
        number("polled_unix_ms"),
        number("expires_unix_s"),
        uuid_null("grant_id"),
        text("wish"),
    ];
    let pushed = vec![
        bytes("hash"),
        text("client_id"),
        text("parameters"),
        number("expires_unix_s"),
    ];
    vec![
        table("sessions", 1, sessions),
        table("consents", 2, consents),
        table("grants", 1, grants),
        table("codes", 1, codes),
        table("refresh_tokens", 1, refresh),
        table("device_codes", 1, devices),
        table("pushed_requests", 1, pushed),
    ]
}

fn indexes() -> Vec<IndexCreateStatement> {
    let unique = |name, table, columns| index(name, table, columns).unique().take();
    vec![
        unique("sessions_sid", "sessions", &["sid"]),
        index("sessions_expiry", "sessions", &["expires_unix_s"]),
        index("grants_sid", "grants", &["sid"]),
        index("grants_user", "grants", &["user_id", "client_id"]),
        index("grants_client", "grants", &["client_id"]),
        index("grants_expiry", "grants", &["expires_unix_s"]),
        index("codes_expiry", "codes", &["forget_unix_s"]),
        index("refresh_tokens_parent", "refresh_tokens", &["parent"]),
        index(
            "refresh_tokens_expiry",
            "refresh_tokens",
            &["expires_unix_s"],
        ),
        unique("device_codes_user_code", "device_codes", &["user_code"]),
        index("device_codes_expiry", "device_codes", &["expires_unix_s"]),
        index(
            "pushed_requests_expiry",
            "pushed_requests",
            &["expires_unix_s"],
        ),
    ]
}
