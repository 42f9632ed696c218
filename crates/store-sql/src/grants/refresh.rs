//! Refresh tokens: rotation, siblings, and the end of a family (req: T4).

use base::{Digest, GrantId};
use sea_orm::sea_query::Expr;
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, IntoActiveModel, QueryFilter,
};
use store::Result;
use store::grants::{Grant, GrantFilter, RefreshRule, RefreshToken, RefreshUse};

use super::{revoke, rows};
use crate::entity::{grant, refresh_token};
use crate::rows::{bytes, database, signed};

/// May be used.
pub(super) const LIVE: i64 = 0;
/// Others came of it.
const ROTATED: i64 = 1;
/// A sibling was used.
const ENDED: i64 = 2;

pub(super) async fn put(
    db: &impl ConnectionTrait,
    token: &RefreshToken,
    parent: Option<&[u8]>,
) -> Result<()> {
    let row = rows::to_refresh(token, parent).into_active_model();
    let insert = refresh_token::Entity::insert(row).exec_without_returning(db);
    insert.await.map(|_| ()).map_err(database)
}

pub(super) async fn get(
    db: &impl ConnectionTrait,
    hash: &Digest,
) -> Result<Option<(RefreshToken, Grant)>> {
    let Some(model) = find(db, hash).await? else {
        return Ok(None);
    };
    let grant = super::get(db, GrantId(model.grant_id)).await?;
    let token = rows::from_refresh(model)?;
    Ok(grant.map(|grant| (token, grant)))
}

async fn find(db: &impl ConnectionTrait, hash: &Digest) -> Result<Option<refresh_token::Model>> {
    let found = refresh_token::Entity::find_by_id(bytes(*hash))
        .one(db)
        .await;
    found.map_err(database)
}

pub(super) async fn take(
    db: &DatabaseTransaction,
    hash: &Digest,
    rule: &RefreshRule,
) -> Result<RefreshUse> {
    let Some(seen) = find(db, hash).await? else {
        return Ok(RefreshUse::Unknown);
    };
    if !hold_family(db, seen.grant_id, rule).await? {
        return Ok(RefreshUse::Unknown);
    }
    // Only now nobody else decides about this family: what was seen before may have changed.
    let Some(token) = find(db, hash).await? else {
        return Ok(RefreshUse::Unknown);
    };
    if token.expires_unix_s <= signed(rule.now_unix_ms / 1000) {
        return Ok(RefreshUse::Unknown);
    }
    let allowed = match token.state {
        LIVE => true,
        ROTATED => within_grace(db, &token, rule).await?,
        _ => false,
    };
    if !allowed {
        let family = GrantFilter::Id(GrantId(token.grant_id));
        revoke(db, &family, rule.now_unix_ms).await?;
        return Ok(RefreshUse::Replayed);
    }
    if let Some(next) = &rule.next {
        if token.state == LIVE {
            rotate(db, &token, rule).await?;
        }
        put(db, next, Some(&token.hash)).await?;
    } else {
        keep(db, &token, rule.stays_until_unix_s).await?;
    }
    Ok(RefreshUse::Granted)
}

/// Locks the grant's row until the transaction ends; `false` when the grant is over.
async fn hold_family(
    db: &DatabaseTransaction,
    grant_id: uuid::Uuid,
    rule: &RefreshRule,
) -> Result<bool> {
    let held = grant::Entity::update_many()
        .col_expr(grant::Column::Offline, Expr::col(grant::Column::Offline))
        .filter(grant::Column::Id.eq(grant_id))
        .filter(grant::Column::RevokedUnixMs.is_null())
        .filter(grant::Column::ExpiresUnixS.gt(signed(rule.now_unix_ms / 1000)))
        .exec(db)
        .await
        .map_err(database)?;
    Ok(held.rows_affected == 1)
}

/// Whether a token that was rotated may come once more.
async fn within_grace(
    db: &DatabaseTransaction,
    token: &refresh_token::Model,
    rule: &RefreshRule,
) -> Result<bool> {
    let since = signed(rule.now_unix_ms).saturating_sub(token.rotated_unix_ms);
    if since > signed(rule.grace_ms) || rule.next.is_none() {
        return Ok(false);
    }
    let children = refresh_token::Entity::find()
        .filter(refresh_token::Column::Parent.eq(token.hash.clone()))
        .all(db)
        .await
        .map_err(database)?;
    let unused = children.iter().all(|child| child.state == LIVE);
    Ok(unused && (children.len() as u64) < rule.siblings_max)
}

/// A token that stays lasts on.
async fn keep(
    db: &DatabaseTransaction,
    token: &refresh_token::Model,
    until_unix_s: u64,
) -> Result<()> {
    refresh_token::Entity::update_many()
        .col_expr(
            refresh_token::Column::ExpiresUnixS,
            Expr::value(signed(until_unix_s)),
        )
        .filter(refresh_token::Column::Hash.eq(token.hash.clone()))
        .exec(db)
        .await
        .map(|_| ())
        .map_err(database)
}

/// The token is used: it gives others from now on, and its siblings are over.
async fn rotate(
    db: &DatabaseTransaction,
    token: &refresh_token::Model,
    rule: &RefreshRule,
) -> Result<()> {
    use refresh_token::Column;
    refresh_token::Entity::update_many()
        .col_expr(Column::State, Expr::value(ROTATED))
        .col_expr(Column::RotatedUnixMs, Expr::value(signed(rule.now_unix_ms)))
        .filter(Column::Hash.eq(token.hash.clone()))
        .exec(db)
        .await
        .map_err(database)?;
    let Some(parent) = &token.parent else {
        return Ok(());
    };
    refresh_token::Entity::update_many()
        .col_expr(Column::State, Expr::value(ENDED))
        .filter(Column::Parent.eq(parent.clone()))
        .filter(Column::Hash.ne(token.hash.clone()))
        .exec(db)
        .await
        .map(|_| ())
        .map_err(database)
}
