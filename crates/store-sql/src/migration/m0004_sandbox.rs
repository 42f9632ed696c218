//! Credentials know their environment; those that are there are for production.

use sea_orm_migration::prelude::*;

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m0004_sandbox"
    }
}

#[expect(
    elided_lifetimes_in_paths,
    reason = "the trait is declared so, and async-trait compares the lifetimes"
)]
#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let environment = ColumnDef::new("environment")
            .text()
            .not_null()
            .default("production")
            .take();
        let table = Table::alter()
            .table("credentials")
            .add_column(environment)
            .take();
        manager.alter_table(table).await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}
