//! Usage: rows of minutes, hours and days, and the boots of nodes.

use sea_orm_migration::prelude::*;

use super::columns::{bytes, index, number, table, text};

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m0003_usage"
    }
}

#[expect(
    elided_lifetimes_in_paths,
    reason = "the trait is declared so, and async-trait compares the lifetimes"
)]
#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in [rows(), boots(), turn()] {
            manager.create_table(table).await?;
        }
        for index in [
            index("usage_rows_org", "usage_rows", &["org", "at_unix_ms"]),
            index("usage_rows_step", "usage_rows", &["step", "at_unix_ms"]),
            index("usage_boots_latest", "usage_boots", &["latest_unix_ms"]),
        ] {
            manager.create_index(index).await?;
        }
        let first = Query::insert()
            .into_table("usage_turn")
            .columns(["id", "turn"])
            .values_panic([1.into(), 0.into()])
            .take();
        manager.get_connection().execute(&first).await?;
        Ok(())
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}

fn rows() -> TableCreateStatement {
    let columns = vec![
        bytes("id"),
        number("step"),
        number("at_unix_ms"),
        text("org"),
        text("environment"),
        text("api"),
        text("operation"),
        text("application"),
        text("plan"),
        number("status"),
        number("requests"),
        number("bytes_in"),
        number("bytes_out"),
        bytes("gateway"),
        bytes("backend"),
    ];
    table("usage_rows", 1, columns)
}

fn boots() -> TableCreateStatement {
    let columns = vec![
        text("node"),
        text("epoch"),
        number("sequence"),
        number("batches"),
        number("requests"),
        number("sent_requests"),
        number("lost_batches"),
        number("lost_requests"),
        number("first_unix_ms"),
        number("latest_unix_ms"),
        number("end_kind"),
        number("end_sequence"),
    ];
    table("usage_boots", 2, columns)
}

fn turn() -> TableCreateStatement {
    let id = ColumnDef::new("id").integer().not_null().take();
    table("usage_turn", 1, vec![id, number("turn")])
}
