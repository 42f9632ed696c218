//! Authorization codes.

use base::{Digest, GrantId};
use sea_orm::sea_query::Expr;
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, IntoActiveModel, QueryFilter,
};
use store::Result;
use store::grants::{AuthorizationCode, Basis, CodeUse, Grant, GrantFilter, RefreshToken};

use super::{refresh, revoke, rows, sessions};
use crate::entity::code;
use crate::rows::{bytes, database, signed};

pub(super) async fn put(
    db: &DatabaseTransaction,
    grant: &Grant,
    basis: Basis,
    code: &AuthorizationCode,
) -> Result<bool> {
    if !sessions::stands(db, grant, basis).await? {
        return Ok(false);
    }
    super::put(db, grant).await?;
    let row = rows::to_code(code)?.into_active_model();
    let insert = code::Entity::insert(row).exec_without_returning(db);
    insert.await.map(|_| true).map_err(database)
}

pub(super) async fn get(
    db: &impl ConnectionTrait,
    hash: &Digest,
) -> Result<Option<(AuthorizationCode, Grant)>> {
    let found = code::Entity::find_by_id(bytes(*hash)).one(db).await;
    let Some(model) = found.map_err(database)? else {
        return Ok(None);
    };
    let grant = super::get(db, GrantId(model.grant_id)).await?;
    let code = rows::from_code(&model)?;
    Ok(grant.map(|grant| (code, grant)))
}

/// A used code is kept as long as its grant, so that a replay is recognised while there is something to revoke.
pub(super) async fn take(
    db: &DatabaseTransaction,
    hash: &Digest,
    now_unix_ms: u64,
    refresh: Option<&RefreshToken>,
) -> Result<CodeUse> {
    let now_s = signed(now_unix_ms / 1000);
    let taken = code::Entity::update_many()
        .col_expr(code::Column::Used, Expr::value(1_i64))
        .filter(code::Column::Hash.eq(bytes(*hash)))
        .filter(code::Column::Used.eq(0))
        .filter(code::Column::ExpiresUnixS.gt(now_s))
        .exec_with_returning(db)
        .await
        .map_err(database)?;
    let Some(model) = taken.into_iter().next() else {
        return refuse(db, hash, now_unix_ms).await;
    };
    let id = GrantId(model.grant_id);
    let Some(grant) = super::get(db, id)
        .await?
        .filter(|grant| grant.revoked_unix_ms.is_none())
    else {
        return Ok(CodeUse::Unknown);
    };
    code::Entity::update_many()
        .col_expr(
            code::Column::ForgetUnixS,
            Expr::value(signed(grant.expires_unix_s)),
        )
        .filter(code::Column::Hash.eq(bytes(*hash)))
        .exec(db)
        .await
        .map_err(database)?;
    if let Some(token) = refresh {
        refresh::put(db, token, None).await?;
    }
    Ok(CodeUse::Granted)
}

async fn refuse(db: &DatabaseTransaction, hash: &Digest, now_unix_ms: u64) -> Result<CodeUse> {
    let found = code::Entity::find_by_id(bytes(*hash)).one(db).await;
    match found.map_err(database)? {
        Some(model) if model.used != 0 => {
            let filter = GrantFilter::Id(GrantId(model.grant_id));
            revoke(db, &filter, now_unix_ms).await?;
            Ok(CodeUse::Replayed)
        }
        _ => Ok(CodeUse::Unknown),
    }
}
