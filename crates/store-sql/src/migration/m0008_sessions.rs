//! Sessions that people see, and clients that wait for being told of a logout.

use sea_orm_migration::prelude::*;

use super::columns::{index, number, table, text, text_null, uuid};

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m0008_sessions"
    }
}

#[expect(
    elided_lifetimes_in_paths,
    reason = "the trait is declared so, and async-trait compares the lifetimes"
)]
#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // SQLite adds one column at a time.
        for column in ["address", "agent"] {
            let alter = Table::alter()
                .table("sessions")
                .add_column(text_null(column))
                .take();
            manager.alter_table(alter).await?;
        }
        let waiting = vec![
            uuid("id"),
            text("org"),
            text("client_id"),
            uuid("user_id"),
            uuid("sid"),
            number("attempts"),
            number("due_unix_ms"),
            number("created_unix_ms"),
        ];
        let waiting = table("waiting_logouts", 1, waiting);
        manager.create_table(waiting).await?;
        for index in [
            index("sessions_user", "sessions", &["user_id"]),
            index("waiting_logouts_due", "waiting_logouts", &["due_unix_ms"]),
        ] {
            manager.create_index(index).await?;
        }
        Ok(())
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}
