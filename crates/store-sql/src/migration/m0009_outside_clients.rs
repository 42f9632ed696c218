//! Clients of other issuers: an id is unique at its issuer, and each organisation has its own issuers.

use sea_orm_migration::prelude::*;

use super::m0001_foundation::index;

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m0009_outside_clients"
    }
}

#[expect(
    elided_lifetimes_in_paths,
    reason = "the trait is declared so, and async-trait compares the lifetimes"
)]
#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let mut gone = Index::drop();
        gone.name("credentials_client_id").table("credentials");
        manager.drop_index(gone).await?;
        // The platform's own are looked up by their id alone.
        let resident = Expr::col("issuer").eq("resident");
        let own = index("credentials_client_id", "credentials", &["client_id"])
            .unique()
            .and_where(resident)
            .take();
        let columns = ["client_id", "issuer", "org"];
        let outside = index("credentials_client_at_issuer", "credentials", &columns)
            .unique()
            .take();
        for create in [own, outside] {
            manager.create_index(create).await?;
        }
        Ok(())
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}
