//! Moving everything from one database to another: all tables, row by row, each compared after it was written.

use std::collections::BTreeSet;
use std::marker::PhantomData;

use async_trait::async_trait;
use sea_orm::{
    ConnectionTrait, DatabaseTransaction, DbErr, EntityTrait, IntoActiveModel, Iterable,
    PrimaryKeyToColumn, QueryOrder, QuerySelect, TransactionTrait,
};
use store::{Store, StoreError};

use crate::entity::{
    api_revision, application, blob, change, code, consent, counter, credential, credential_secret,
    device_code, grant, history, node, notice, opaque_token, pushed_request, refresh_token,
    registration_token, resource, revocation, session, signing_key, subscription, usage_boot,
    usage_row, usage_turn, used_once, user, waiting_logout, watermark,
};
use crate::{SqlStore, feed};

/// Why a database was not moved. Nothing was written then; the target may have got its empty tables.
#[derive(Debug, thiserror::Error)]
pub enum MoveError {
    /// The target has data.
    #[error("the target holds data already (it is at revision {0}); name an empty database")]
    NotEmpty(u64),
    /// What the target holds cannot be read.
    #[error("the target cannot be read")]
    Target(#[source] StoreError),
    /// A table that this program does not know of.
    #[error("the source has a table `{0}` that is not known here; nothing was moved")]
    Unknown(String),
    /// A row came out other than it went in.
    #[error("a row of the table `{0}` differs after it was written; nothing was moved")]
    Differs(&'static str),
    /// A database refused.
    #[error("moving the table `{table}` failed")]
    Database {
        /// Which table, or what else.
        table: &'static str,
        /// What the database said.
        #[source]
        cause: DbErr,
    },
}

/// Rows of one table that were moved.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Moved {
    /// The table.
    pub table: &'static str,
    /// How many rows.
    pub rows: u64,
}

/// Every table, in an order in which rows refer only to those before them, with how many rows are in memory at a time.
/// A table that is missing here would stay behind: a test holds this list against the schema.
fn tables() -> Vec<Box<dyn Table>> {
    const MANY: u64 = 200;
    const FEW: u64 = 4;
    vec![
        table::<counter::Entity>(MANY),
        table::<blob::Entity>(FEW),
        table::<resource::Entity>(MANY),
        table::<application::Entity>(MANY),
        table::<subscription::Entity>(MANY),
        table::<credential::Entity>(MANY),
        table::<credential_secret::Entity>(MANY),
        table::<registration_token::Entity>(MANY),
        table::<notice::Entity>(MANY),
        table::<history::Entity>(MANY),
        table::<change::Entity>(MANY),
        table::<api_revision::Entity>(MANY),
        table::<node::Entity>(MANY),
        table::<revocation::Entity>(MANY),
        table::<watermark::Entity>(MANY),
        table::<opaque_token::Entity>(MANY),
        table::<used_once::Entity>(MANY),
        table::<user::Entity>(MANY),
        table::<signing_key::Entity>(MANY),
        table::<usage_row::Entity>(MANY),
        table::<usage_boot::Entity>(MANY),
        table::<usage_turn::Entity>(MANY),
        table::<session::Entity>(MANY),
        table::<consent::Entity>(MANY),
        table::<grant::Entity>(MANY),
        table::<code::Entity>(MANY),
        table::<refresh_token::Entity>(MANY),
        table::<device_code::Entity>(MANY),
        table::<pushed_request::Entity>(MANY),
        table::<waiting_logout::Entity>(MANY),
    ]
}

/// Moves everything from one store to another, empty one, in one transaction. Nobody may write to either meanwhile.
///
/// # Errors
/// [`MoveError`].
pub(crate) async fn move_all(from: &SqlStore, to: &SqlStore) -> Result<Vec<Moved>, MoveError> {
    let failed = |table| move |cause| MoveError::Database { table, cause };
    let source = from.readers.begin().await.map_err(failed("(source)"))?;
    let target = to.writer.begin().await.map_err(failed("(target)"))?;
    let there = from.backend.tables(&source).await;
    check_known(there.map_err(failed("(source)"))?)?;
    let tables = tables();
    let revision = feed::counter(&target).await.map_err(MoveError::Target)?;
    if revision.revision > 0 {
        return Err(MoveError::NotEmpty(revision.revision));
    }
    // Nothing was ever committed there: what is in it are rows that migrations made.
    for table in tables.iter().rev() {
        table.clear(&target).await.map_err(failed(table.name()))?;
    }
    let mut moved = Vec::new();
    for table in &tables {
        moved.push(Moved {
            table: table.name(),
            rows: table.copy(&source, &target).await?,
        });
    }
    let numbered = to.backend.rows_moved_in(&target).await;
    numbered.map_err(failed("(target)"))?;
    target.commit().await.map_err(failed("(target)"))?;
    Ok(moved)
}

/// The migrations' own table is not moved: the target's migrations have filled it.
fn check_known(there: Vec<String>) -> Result<(), MoveError> {
    let tables = tables();
    let known: BTreeSet<&str> = tables.iter().map(|table| table.name()).collect();
    let unknown = there
        .into_iter()
        .find(|name| name != "seaql_migrations" && !known.contains(name.as_str()));
    unknown.map_or(Ok(()), |name| Err(MoveError::Unknown(name)))
}

impl SqlStore {
    /// Moves everything there is, history, feed and counter too, from this store to an empty one. Nobody may write to
    /// either meanwhile.
    ///
    /// # Errors
    /// [`MoveError`]; then the target holds no row of it.
    pub async fn move_to(&self, target: &Self) -> Result<Vec<Moved>, MoveError> {
        let moved = move_all(self, target).await?;
        // Its own picture of the newest revision is from before.
        if let Ok(revision) = target.revision().await {
            target.news.tell(revision);
        }
        Ok(moved)
    }
}

#[async_trait]
trait Table: Send + Sync {
    fn name(&self) -> &'static str;
    async fn clear(&self, db: &DatabaseTransaction) -> Result<(), DbErr>;
    async fn copy(
        &self,
        from: &DatabaseTransaction,
        to: &DatabaseTransaction,
    ) -> Result<u64, MoveError>;
}

struct Of<E> {
    rows_at_a_time: u64,
    entity: PhantomData<fn() -> E>,
}

fn table<E>(rows_at_a_time: u64) -> Box<dyn Table>
where
    E: EntityTrait,
    E::Model: IntoActiveModel<E::ActiveModel> + PartialEq + Clone + Send + Sync,
    E::ActiveModel: Send,
{
    Box::new(Of::<E> {
        rows_at_a_time,
        entity: PhantomData,
    })
}

impl<E: EntityTrait> Of<E>
where
    E::Model: Send + Sync,
{
    /// A part of the table in the order of its primary key, which is the same in all databases.
    async fn page(&self, db: &impl ConnectionTrait, offset: u64) -> Result<Vec<E::Model>, DbErr> {
        let mut query = E::find();
        for key in E::PrimaryKey::iter() {
            query = query.order_by_asc(key.into_column());
        }
        let page = query.offset(offset).limit(self.rows_at_a_time);
        page.all(db).await
    }
}

#[async_trait]
impl<E> Table for Of<E>
where
    E: EntityTrait,
    E::Model: IntoActiveModel<E::ActiveModel> + PartialEq + Clone + Send + Sync,
    E::ActiveModel: Send,
{
    fn name(&self) -> &'static str {
        E::default().table_name()
    }

    async fn clear(&self, db: &DatabaseTransaction) -> Result<(), DbErr> {
        E::delete_many().exec(db).await.map(|_| ())
    }

    async fn copy(
        &self,
        from: &DatabaseTransaction,
        to: &DatabaseTransaction,
    ) -> Result<u64, MoveError> {
        let table = self.name();
        let failed = |cause| MoveError::Database { table, cause };
        let mut rows = 0;
        loop {
            let page = self.page(from, rows).await.map_err(failed)?;
            if page.is_empty() {
                break;
            }
            rows += page.len() as u64;
            let models = page.into_iter().map(IntoActiveModel::into_active_model);
            E::insert_many(models)
                .exec_without_returning(to)
                .await
                .map_err(failed)?;
        }
        for offset in (0..rows).step_by(usize::try_from(self.rows_at_a_time).unwrap_or(1)) {
            let written = self.page(to, offset).await.map_err(failed)?;
            if written != self.page(from, offset).await.map_err(failed)? {
                return Err(MoveError::Differs(table));
            }
        }
        Ok(rows)
    }
}

#[cfg(test)]
mod tests;
