//! Sessions and consents.

use base::{Digest, SessionId, UserId};
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, IntoActiveModel, QueryFilter,
    QueryOrder,
};
use store::Result;
use store::grants::{Consent, Grant, GrantFilter, Session};

use super::{of_session, revoke, rows};
use crate::entity::{consent, session};
use crate::rows::{bytes, database, signed};

pub(super) async fn put(
    db: &DatabaseTransaction,
    session: &Session,
    replaced: Option<&Digest>,
) -> Result<()> {
    if let Some(replaced) = replaced {
        let delete = session::Entity::delete_by_id(bytes(*replaced)).exec(db);
        delete.await.map_err(database)?;
    }
    let row = rows::to_session(session)?.into_active_model();
    let insert = session::Entity::insert(row).exec_without_returning(db);
    insert.await.map(|_| ()).map_err(database)
}

pub(super) async fn get(db: &impl ConnectionTrait, hash: &Digest) -> Result<Option<Session>> {
    let found = session::Entity::find_by_id(bytes(*hash)).one(db).await;
    found.map_err(database)?.map(rows::from_session).transpose()
}

pub(super) async fn find(db: &impl ConnectionTrait, sid: SessionId) -> Result<Option<Session>> {
    let found = session::Entity::find()
        .filter(session::Column::Sid.eq(sid.0))
        .one(db)
        .await;
    found.map_err(database)?.map(rows::from_session).transpose()
}

pub(super) async fn seen(db: &impl ConnectionTrait, hash: &Digest, now_unix_s: u64) -> Result<()> {
    session::Entity::update_many()
        .col_expr(session::Column::SeenUnixS, Expr::value(signed(now_unix_s)))
        .filter(session::Column::Hash.eq(bytes(*hash)))
        .exec(db)
        .await
        .map(|_| ())
        .map_err(database)
}

/// The session's row decides who ends it: of two calls one tells the clients.
pub(super) async fn end(
    db: &DatabaseTransaction,
    sid: SessionId,
    now_unix_ms: u64,
) -> Result<Vec<Grant>> {
    let gone = session::Entity::delete_many()
        .filter(session::Column::Sid.eq(sid.0))
        .exec(db)
        .await
        .map_err(database)?;
    if gone.rows_affected == 0 {
        return Ok(Vec::new());
    }
    revoke(db, &GrantFilter::Session(sid), now_unix_ms).await?;
    of_session(db, sid).await
}

pub(super) async fn consent_get(
    db: &impl ConnectionTrait,
    user: UserId,
    client_id: &str,
) -> Result<Option<Consent>> {
    let found = consent::Entity::find_by_id((user.0, client_id.to_owned()))
        .one(db)
        .await;
    found.map_err(database)?.map(rows::from_consent).transpose()
}

pub(super) async fn consent_put(db: &impl ConnectionTrait, consent: &Consent) -> Result<()> {
    use consent::Column;
    let replace = OnConflict::columns([Column::UserId, Column::ClientId])
        .update_columns([Column::Scopes, Column::Resources, Column::AtUnixMs])
        .to_owned();
    consent::Entity::insert(rows::to_consent(consent)?.into_active_model())
        .on_conflict(replace)
        .exec_without_returning(db)
        .await
        .map(|_| ())
        .map_err(database)
}

pub(super) async fn consent_list(db: &impl ConnectionTrait, user: UserId) -> Result<Vec<Consent>> {
    let found = consent::Entity::find()
        .filter(consent::Column::UserId.eq(user.0))
        .order_by_asc(consent::Column::ClientId)
        .all(db)
        .await
        .map_err(database)?;
    found.into_iter().map(rows::from_consent).collect()
}

pub(super) async fn consent_delete(
    db: &impl ConnectionTrait,
    user: UserId,
    client_id: &str,
) -> Result<bool> {
    let gone = consent::Entity::delete_by_id((user.0, client_id.to_owned()))
        .exec(db)
        .await
        .map_err(database)?;
    Ok(gone.rows_affected > 0)
}
