//! Sessions, consents, grants and what belongs to them.
//!
//! What may happen once is decided by an UPDATE that names the state it starts from: of racing transactions one changes
//! the row, the others find it changed. Refresh tokens of one grant are decided one after the other: each use moves the
//! grant's row first and so waits for the others.

mod codes;
mod devices;
mod expire;
mod refresh;
pub(crate) mod rows;
mod sessions;
mod waiting;

use async_trait::async_trait;
use base::{Digest, GrantId, Org, SessionId, UserId};
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, IntoActiveModel, QueryFilter,
    QueryOrder, SqliteTransactionMode, TransactionOptions, TransactionTrait,
};
use store::Result;
use store::grants::{
    AuthorizationCode, Basis, CodeUse, Consent, DeviceCode, DevicePoll, Grant, GrantFilter,
    GrantStore, IdPage, PushedRequest, RefreshRule, RefreshToken, RefreshUse, Session,
    WaitingLogout,
};
use uuid::Uuid;

use crate::SqlStore;
use crate::entity::grant::{self, Column};
use crate::rows::{database, signed};

#[async_trait]
impl GrantStore for SqlStore {
    async fn session_put(&self, session: &Session, replaced: Option<&Digest>) -> Result<()> {
        let db = begin(self).await?;
        let put = sessions::put(&db, session, replaced).await;
        end(db, put).await
    }

    async fn session_get(&self, hash: &Digest) -> Result<Option<Session>> {
        sessions::get(&self.readers, hash).await
    }

    async fn session_find(&self, sid: SessionId) -> Result<Option<Session>> {
        sessions::find(&self.readers, sid).await
    }

    async fn session_seen(&self, hash: &Digest, now_unix_s: u64) -> Result<()> {
        sessions::seen(&self.writer, hash, now_unix_s).await
    }

    async fn session_list(
        &self,
        org: &Org,
        user: Option<UserId>,
        now_unix_s: u64,
        page: &IdPage<SessionId>,
    ) -> Result<Vec<Session>> {
        sessions::list(&self.readers, org, user, now_unix_s, page).await
    }

    async fn consent_get(&self, user: UserId, client_id: &str) -> Result<Option<Consent>> {
        sessions::consent_get(&self.readers, user, client_id).await
    }

    async fn consent_list(&self, user: UserId) -> Result<Vec<Consent>> {
        sessions::consent_list(&self.readers, user).await
    }

    async fn consent_list_of(
        &self,
        org: &Org,
        after: Option<(UserId, String)>,
        limit: u64,
    ) -> Result<Vec<Consent>> {
        sessions::consent_list_of(&self.readers, org, after, limit).await
    }

    async fn code_put(
        &self,
        grant: &Grant,
        basis: Basis,
        code: &AuthorizationCode,
    ) -> Result<bool> {
        let db = begin(self).await?;
        let put = codes::put(&db, grant, basis, code).await;
        end(db, put).await
    }

    async fn code_get(&self, hash: &Digest) -> Result<Option<(AuthorizationCode, Grant)>> {
        codes::get(&self.readers, hash).await
    }

    async fn code_use(
        &self,
        hash: &Digest,
        now_unix_ms: u64,
        refresh: Option<&RefreshToken>,
    ) -> Result<CodeUse> {
        let db = begin(self).await?;
        let used = codes::take(&db, hash, now_unix_ms, refresh).await;
        end(db, used).await
    }

    async fn refresh_get(&self, hash: &Digest) -> Result<Option<(RefreshToken, Grant)>> {
        refresh::get(&self.readers, hash).await
    }

    async fn refresh_put(&self, token: &RefreshToken) -> Result<()> {
        refresh::put(&self.writer, token, None).await
    }

    async fn refresh_use(&self, hash: &Digest, rule: &RefreshRule) -> Result<RefreshUse> {
        let db = begin(self).await?;
        let used = refresh::take(&db, hash, rule).await;
        end(db, used).await
    }

    async fn grant_get(&self, id: GrantId) -> Result<Option<Grant>> {
        get(&self.readers, id).await
    }

    async fn grants_of_sessions(&self, sids: &[SessionId]) -> Result<Vec<Grant>> {
        let mut grants = of_sessions(&self.readers, sids).await?;
        grants.retain(|grant| grant.revoked_unix_ms.is_none());
        Ok(grants)
    }

    async fn grants_revoke(&self, filter: &GrantFilter, now_unix_ms: u64) -> Result<Vec<Grant>> {
        let db = begin(self).await?;
        let revoked = revoke(&db, filter, now_unix_ms).await;
        end(db, revoked).await
    }

    async fn device_put(&self, device: &DeviceCode) -> Result<()> {
        devices::put(&self.writer, device).await
    }

    async fn device_find(&self, user_code: &str, now_unix_s: u64) -> Result<Option<DeviceCode>> {
        devices::find(&self.readers, user_code, now_unix_s).await
    }

    async fn device_decide(
        &self,
        user_code: &str,
        grant: Option<(&Grant, Basis)>,
        now_unix_s: u64,
    ) -> Result<bool> {
        let db = begin(self).await?;
        let decided = devices::decide(&db, user_code, grant, now_unix_s).await;
        end(db, decided).await
    }

    async fn device_poll(
        &self,
        hash: &Digest,
        client_id: &str,
        now_unix_ms: u64,
        slower_s: u64,
    ) -> Result<DevicePoll> {
        let db = begin(self).await?;
        let told = devices::poll(&db, hash, client_id, now_unix_ms, slower_s).await;
        end(db, told).await
    }

    async fn pushed_put(&self, request: &PushedRequest) -> Result<()> {
        devices::pushed_put(&self.writer, request).await
    }

    async fn pushed_take(&self, hash: &Digest, now_unix_s: u64) -> Result<Option<PushedRequest>> {
        let db = begin(self).await?;
        let taken = devices::pushed_take(&db, hash, now_unix_s).await;
        end(db, taken).await
    }

    async fn logouts_take(
        &self,
        now_unix_ms: u64,
        lease_ms: u64,
        limit: u64,
    ) -> Result<Vec<WaitingLogout>> {
        waiting::take(&self.writer, now_unix_ms, lease_ms, limit).await
    }

    async fn logout_settle(&self, id: Uuid, due_unix_ms: Option<u64>) -> Result<()> {
        waiting::settle(&self.writer, id, due_unix_ms).await
    }

    async fn logouts_waiting(&self) -> Result<u64> {
        waiting::count(&self.readers).await
    }

    async fn grants_expire(&self, now_unix_s: u64, limit: u64) -> Result<u64> {
        expire::all(&self.writer, now_unix_s, limit).await
    }
}

/// A transaction that may write from its first statement on.
async fn begin(store: &SqlStore) -> Result<DatabaseTransaction> {
    let options = TransactionOptions {
        sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
        ..TransactionOptions::default()
    };
    let begun = store.writer.begin_with_options(options).await;
    begun.map_err(database)
}

/// Commits what went well and rolls back what did not.
async fn end<T>(db: DatabaseTransaction, result: Result<T>) -> Result<T> {
    if result.is_ok() {
        db.commit().await.map_err(database)?;
    } else {
        db.rollback().await.map_err(database)?;
    }
    result
}

async fn get(db: &impl ConnectionTrait, id: GrantId) -> Result<Option<Grant>> {
    let found = grant::Entity::find_by_id(id.0).one(db).await;
    found.map_err(database)?.map(rows::from_grant).transpose()
}

async fn put(db: &impl ConnectionTrait, grant: &Grant) -> Result<()> {
    let row = rows::to_grant(grant)?.into_active_model();
    let insert = grant::Entity::insert(row).exec_without_returning(db);
    insert.await.map(|_| ()).map_err(database)
}

/// Revokes those that are not revoked yet and returns them.
pub(crate) async fn revoke(
    db: &DatabaseTransaction,
    filter: &GrantFilter,
    now_unix_ms: u64,
) -> Result<Vec<Grant>> {
    let which = match filter {
        GrantFilter::Id(id) => Column::Id.eq(id.0),
        GrantFilter::Session(sid) => Column::Sid.eq(sid.0).and(Column::Offline.eq(0)),
        GrantFilter::Consent(user, client) => Column::UserId
            .eq(user.0)
            .and(Column::ClientId.eq(client.as_str())),
        GrantFilter::User(user) => Column::UserId.eq(user.0),
        GrantFilter::UserSessions(user) => Column::UserId
            .eq(user.0)
            .and(Column::Offline.eq(0))
            .and(Column::Sid.is_not_null()),
        GrantFilter::Client(client) => Column::ClientId.eq(client.as_str()),
    };
    let revoked = grant::Entity::update_many()
        .col_expr(Column::RevokedUnixMs, Expr::value(signed(now_unix_ms)))
        .filter(which)
        .filter(Column::RevokedUnixMs.is_null())
        .exec_with_returning(db)
        .await
        .map_err(database)?;
    revoked.into_iter().map(rows::from_grant).collect()
}

/// The grants that were given in sessions, in the order in which they were.
pub(crate) async fn of_sessions(
    db: &impl ConnectionTrait,
    sids: &[SessionId],
) -> Result<Vec<Grant>> {
    let found = grant::Entity::find()
        .filter(Column::Sid.is_in(sids.iter().map(|sid| sid.0)))
        .order_by_asc(Column::Id)
        .all(db)
        .await
        .map_err(database)?;
    found.into_iter().map(rows::from_grant).collect()
}
