//! What is over goes, a few rows at a time (req: T5).

use sea_orm::sea_query::{Order, Query};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, PrimaryKeyToColumn, QueryFilter};
use store::Result;

use crate::entity::{code, device_code, grant, pushed_request, refresh_token, session};
use crate::rows::{database, row_limit, signed};

/// Each kind is a statement and so a transaction of its own: what is over needs nothing of the others.
pub(super) async fn all(db: &impl ConnectionTrait, now_unix_s: u64, limit: u64) -> Result<u64> {
    let now = signed(now_unix_s);
    let mut gone = 0;
    gone += oldest::<session::Entity>(db, session::Column::ExpiresUnixS, now, limit).await?;
    gone += oldest::<code::Entity>(db, code::Column::ForgetUnixS, now, limit).await?;
    gone += oldest::<refresh_token::Entity>(db, refresh_token::Column::ExpiresUnixS, now, limit)
        .await?;
    gone +=
        oldest::<device_code::Entity>(db, device_code::Column::ExpiresUnixS, now, limit).await?;
    gone += oldest::<pushed_request::Entity>(db, pushed_request::Column::ExpiresUnixS, now, limit)
        .await?;
    gone += oldest::<grant::Entity>(db, grant::Column::ExpiresUnixS, now, limit).await?;
    Ok(gone)
}

async fn oldest<E: EntityTrait>(
    db: &impl ConnectionTrait,
    expires: E::Column,
    now_unix_s: i64,
    limit: u64,
) -> Result<u64> {
    let key = <E::PrimaryKey as sea_orm::Iterable>::iter()
        .next()
        .expect("every table has a key")
        .into_column();
    let oldest = Query::select()
        .column(key)
        .from(E::default())
        .and_where(expires.lt(now_unix_s))
        .order_by(expires, Order::Asc)
        .limit(row_limit(limit))
        .take();
    let deleted = E::delete_many()
        .filter(key.in_subquery(oldest))
        .exec(db)
        .await
        .map_err(database)?;
    Ok(deleted.rows_affected)
}
