//! Sessions and consents.

use base::{Digest, Org, SessionId, UserId};
use sea_orm::sea_query::{Expr, ExprTrait, LockType, Query};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, IntoActiveModel, QueryFilter,
    QueryOrder, QuerySelect, QueryTrait,
};
use store::Result;
use store::grants::{Basis, Consent, Grant, IdPage, Session};

use super::rows;
use crate::entity::{consent, session, user};
use crate::rows::{bytes, database, row_limit, signed};

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

/// Whether what a grant goes by stands, and goes on standing until the transaction is over: who ends it waits and finds the
/// grant. Sessions before consents, as those lock who end both.
pub(super) async fn stands(db: &DatabaseTransaction, grant: &Grant, basis: Basis) -> Result<bool> {
    if basis.session {
        let Some(sid) = grant.sid else {
            return Ok(false);
        };
        let found = session::Entity::find()
            .filter(session::Column::Sid.eq(sid.0))
            .lock(LockType::KeyShare)
            .one(db)
            .await;
        if found.map_err(database)?.is_none() {
            return Ok(false);
        }
    }
    if basis.consent {
        let key = (grant.user_id.0, grant.client_id.clone());
        let found = consent::Entity::find_by_id(key)
            .lock(LockType::KeyShare)
            .one(db)
            .await;
        let given = found.map_err(database)?.map(rows::from_consent);
        let terms = &grant.terms;
        return Ok(given.transpose()?.is_some_and(|given| {
            terms.scopes.is_subset(&given.scopes) && terms.resources.is_subset(&given.resources)
        }));
    }
    Ok(true)
}

pub(super) async fn list(
    db: &impl ConnectionTrait,
    org: &Org,
    user: Option<UserId>,
    now_unix_s: u64,
    page: &IdPage<SessionId>,
) -> Result<Vec<Session>> {
    use session::Column;
    let found = session::Entity::find()
        .filter(Column::Org.eq(org.as_str()))
        .filter(Column::ExpiresUnixS.gt(signed(now_unix_s)))
        .apply_if(user, |query, user| query.filter(Column::UserId.eq(user.0)))
        .apply_if(page.after, |query, after| {
            query.filter(Column::Sid.gt(after.0))
        })
        .order_by_asc(Column::Sid)
        .limit(row_limit(page.limit))
        .all(db)
        .await
        .map_err(database)?;
    found.into_iter().map(rows::from_session).collect()
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

pub(super) async fn consent_list(db: &impl ConnectionTrait, user: UserId) -> Result<Vec<Consent>> {
    let found = consent::Entity::find()
        .filter(consent::Column::UserId.eq(user.0))
        .order_by_asc(consent::Column::ClientId)
        .all(db)
        .await
        .map_err(database)?;
    found.into_iter().map(rows::from_consent).collect()
}

pub(super) async fn consent_list_of(
    db: &impl ConnectionTrait,
    org: &Org,
    after: Option<(UserId, String)>,
    limit: u64,
) -> Result<Vec<Consent>> {
    use consent::Column;
    let users = Query::select()
        .column(user::Column::Id)
        .from(user::Entity)
        .and_where(user::Column::Org.eq(org.as_str()))
        .take();
    let found = consent::Entity::find()
        .filter(Column::UserId.in_subquery(users))
        .apply_if(after, |query, (user, client_id)| {
            let same = Column::UserId
                .eq(user.0)
                .and(Column::ClientId.gt(client_id));
            query.filter(Column::UserId.gt(user.0).or(same))
        })
        .order_by_asc(Column::UserId)
        .order_by_asc(Column::ClientId)
        .limit(row_limit(limit))
        .all(db)
        .await
        .map_err(database)?;
    found.into_iter().map(rows::from_consent).collect()
}
