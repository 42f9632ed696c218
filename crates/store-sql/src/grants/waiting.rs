//! Clients that have to be told of a logout. They are put by the transaction that ends the session.
//!
//! Who takes one moves the time at which it is due. Of processes that race for one the first moves it, and the others find
//! it moved: an UPDATE that waited for another looks at its condition once more.

use sea_orm::sea_query::{Expr, ExprTrait, Order, Query};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, PaginatorTrait, QueryFilter};
use store::Result;
use store::grants::WaitingLogout;
use uuid::Uuid;

use super::rows;
use crate::entity::waiting_logout::{Column, Entity};
use crate::rows::{database, row_limit, signed};

pub(super) async fn take(
    db: &impl ConnectionTrait,
    now_unix_ms: u64,
    lease_ms: u64,
    limit: u64,
) -> Result<Vec<WaitingLogout>> {
    let now = signed(now_unix_ms);
    let longest = Query::select()
        .column(Column::Id)
        .from(Entity)
        .and_where(Column::DueUnixMs.lte(now))
        .order_by(Column::DueUnixMs, Order::Asc)
        .limit(row_limit(limit))
        .take();
    let due = Expr::value(signed(now_unix_ms.saturating_add(lease_ms)));
    let taken = Entity::update_many()
        .col_expr(Column::DueUnixMs, due)
        .col_expr(Column::Attempts, Expr::col(Column::Attempts).add(1))
        .filter(Column::Id.in_subquery(longest))
        .filter(Column::DueUnixMs.lte(now))
        .exec_with_returning(db)
        .await
        .map_err(database)?;
    taken.into_iter().map(rows::from_waiting).collect()
}

pub(super) async fn settle(
    db: &impl ConnectionTrait,
    id: Uuid,
    due_unix_ms: Option<u64>,
) -> Result<()> {
    let Some(due) = due_unix_ms else {
        let gone = Entity::delete_by_id(id).exec(db).await;
        return gone.map(|_| ()).map_err(database);
    };
    Entity::update_many()
        .col_expr(Column::DueUnixMs, Expr::value(signed(due)))
        .filter(Column::Id.eq(id))
        .exec(db)
        .await
        .map(|_| ())
        .map_err(database)
}

pub(super) async fn count(db: &impl ConnectionTrait) -> Result<u64> {
    Entity::find().count(db).await.map_err(database)
}
