//! Tokens: ends of all tokens of something, opaque tokens, and what may be used once.

use sea_orm_migration::prelude::*;

use super::columns::{bytes, index, number, table, text};

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m0007_tokens"
    }
}

#[expect(
    elided_lifetimes_in_paths,
    reason = "the trait is declared so, and async-trait compares the lifetimes"
)]
#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let watermarks = vec![text("id"), number("revision"), number("expires_unix_s")];
        let opaque = vec![bytes("digest"), text("claims"), number("expires_unix_s")];
        let used = vec![bytes("digest"), number("expires_unix_s")];
        for (name, columns) in [
            ("watermarks", watermarks),
            ("opaque_tokens", opaque),
            ("used_once", used),
        ] {
            manager.create_table(table(name, 1, columns)).await?;
        }
        for (name, table) in [
            ("watermarks_expiry", "watermarks"),
            ("opaque_tokens_expiry", "opaque_tokens"),
            ("used_once_expiry", "used_once"),
        ] {
            manager
                .create_index(index(name, table, &["expires_unix_s"]))
                .await?;
        }
        Ok(())
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}
