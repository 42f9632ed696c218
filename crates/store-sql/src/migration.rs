//! The schema's history. A released migration is never edited: a change is a new one at the end of the list.

mod columns;
mod m0001_foundation;
mod m0002_revisions;
mod m0003_usage;
mod m0004_sandbox;
mod m0005_clients;
mod m0006_grants;
mod m0007_tokens;
mod m0008_sessions;
mod m0009_outside_clients;

use sea_orm_migration::{MigrationTrait, MigratorTrait};

/// All migrations, oldest first.
pub(crate) struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m0001_foundation::Migration),
            Box::new(m0002_revisions::Migration),
            Box::new(m0003_usage::Migration),
            Box::new(m0004_sandbox::Migration),
            Box::new(m0005_clients::Migration),
            Box::new(m0006_grants::Migration),
            Box::new(m0007_tokens::Migration),
            Box::new(m0008_sessions::Migration),
            Box::new(m0009_outside_clients::Migration),
        ]
    }
}
