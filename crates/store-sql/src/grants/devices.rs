//! Devices that wait, and pushed requests.

use base::{Digest, GrantId};
use sea_orm::sea_query::Expr;
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, IntoActiveModel, QueryFilter,
    SqlErr,
};
use store::grants::{Basis, DeviceCode, DevicePoll, Grant, PushedRequest};
use store::{Result, StoreError};

use super::{rows, sessions};
use crate::entity::device_code::{self, Column};
use crate::entity::pushed_request;
use crate::rows::{bytes, database, signed, unsigned};

/// Nobody has said anything.
pub(super) const UNDECIDED: i64 = 0;
/// Yes.
const GRANTED: i64 = 1;
/// No.
const DENIED: i64 = 2;
/// The device has had its yes.
const USED: i64 = 3;

pub(super) async fn put(db: &impl ConnectionTrait, device: &DeviceCode) -> Result<()> {
    let row = rows::to_device(device)?.into_active_model();
    let insert = device_code::Entity::insert(row).exec_without_returning(db);
    insert
        .await
        .map(|_| ())
        .map_err(|error| match error.sql_err() {
            Some(SqlErr::UniqueConstraintViolation(_)) => {
                StoreError::Exists("a user code".to_owned())
            }
            _ => database(error),
        })
}

pub(super) async fn find(
    db: &impl ConnectionTrait,
    user_code: &str,
    now_unix_s: u64,
) -> Result<Option<DeviceCode>> {
    let found = device_code::Entity::find()
        .filter(Column::UserCode.eq(user_code))
        .filter(Column::State.eq(UNDECIDED))
        .filter(Column::ExpiresUnixS.gt(signed(now_unix_s)))
        .one(db)
        .await;
    found.map_err(database)?.map(rows::from_device).transpose()
}

pub(super) async fn decide(
    db: &DatabaseTransaction,
    user_code: &str,
    grant: Option<(&Grant, Basis)>,
    now_unix_s: u64,
) -> Result<bool> {
    if let Some((grant, basis)) = grant
        && !sessions::stands(db, grant, basis).await?
    {
        return Ok(false);
    }
    let state = if grant.is_some() { GRANTED } else { DENIED };
    let decided = device_code::Entity::update_many()
        .col_expr(Column::State, Expr::value(state))
        .col_expr(
            Column::GrantId,
            Expr::value(grant.map(|(grant, _)| grant.id.0)),
        )
        .filter(Column::UserCode.eq(user_code))
        .filter(Column::State.eq(UNDECIDED))
        .filter(Column::ExpiresUnixS.gt(signed(now_unix_s)))
        .exec(db)
        .await
        .map_err(database)?;
    if decided.rows_affected == 0 {
        return Ok(false);
    }
    if let Some((grant, _)) = grant {
        super::put(db, grant).await?;
    }
    Ok(true)
}

pub(super) async fn poll(
    db: &DatabaseTransaction,
    hash: &Digest,
    client_id: &str,
    now_unix_ms: u64,
    slower_s: u64,
) -> Result<DevicePoll> {
    let now = signed(now_unix_ms);
    let before = device_code::Entity::find_by_id(bytes(*hash)).one(db).await;
    let Some(before) = before.map_err(database)? else {
        return Ok(DevicePoll::Unknown);
    };
    if before.client_id != client_id || before.state == USED {
        return Ok(DevicePoll::Unknown);
    }
    if before.expires_unix_s <= signed(now_unix_ms / 1000) {
        return Ok(DevicePoll::Expired);
    }
    match before.state {
        DENIED => Ok(DevicePoll::Denied),
        GRANTED => granted(db, &before).await,
        _ => wait(db, &before, now, slower_s).await,
    }
}

/// Of racing questions the one that changes the row gets the grant.
async fn granted(db: &DatabaseTransaction, device: &device_code::Model) -> Result<DevicePoll> {
    let taken = device_code::Entity::update_many()
        .col_expr(Column::State, Expr::value(USED))
        .filter(Column::Hash.eq(device.hash.clone()))
        .filter(Column::State.eq(GRANTED))
        .exec(db)
        .await
        .map_err(database)?;
    let Some(id) = device.grant_id.filter(|_| taken.rows_affected == 1) else {
        return Ok(DevicePoll::Unknown);
    };
    let grant = super::get(db, GrantId(id)).await?;
    Ok(
        match grant.filter(|grant| grant.revoked_unix_ms.is_none()) {
            Some(grant) => DevicePoll::Granted(Box::new(grant)),
            None => DevicePoll::Unknown,
        },
    )
}

async fn wait(
    db: &DatabaseTransaction,
    device: &device_code::Model,
    now_unix_ms: i64,
    slower_s: u64,
) -> Result<DevicePoll> {
    let early =
        now_unix_ms.saturating_sub(device.polled_unix_ms) < device.interval_s.saturating_mul(1000);
    let interval = if early {
        device.interval_s.saturating_add(signed(slower_s))
    } else {
        device.interval_s
    };
    device_code::Entity::update_many()
        .col_expr(Column::PolledUnixMs, Expr::value(now_unix_ms))
        .col_expr(Column::IntervalS, Expr::value(interval))
        .filter(Column::Hash.eq(device.hash.clone()))
        .exec(db)
        .await
        .map_err(database)?;
    if early {
        return Ok(DevicePoll::SlowDown(unsigned(interval, "a device code")?));
    }
    Ok(DevicePoll::Pending)
}

pub(super) async fn pushed_put(db: &impl ConnectionTrait, request: &PushedRequest) -> Result<()> {
    let row = rows::to_pushed(request).into_active_model();
    let insert = pushed_request::Entity::insert(row).exec_without_returning(db);
    insert.await.map(|_| ()).map_err(database)
}

/// Who deletes the row has it.
pub(super) async fn pushed_take(
    db: &DatabaseTransaction,
    hash: &Digest,
    now_unix_s: u64,
) -> Result<Option<PushedRequest>> {
    let found = pushed_request::Entity::find_by_id(bytes(*hash))
        .one(db)
        .await;
    let Some(model) = found.map_err(database)? else {
        return Ok(None);
    };
    let gone = pushed_request::Entity::delete_by_id(model.hash.clone())
        .exec(db)
        .await
        .map_err(database)?;
    let alive = model.expires_unix_s > signed(now_unix_s);
    if gone.rows_affected == 0 || !alive {
        return Ok(None);
    }
    rows::from_pushed(model).map(Some)
}
