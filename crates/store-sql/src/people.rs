//! What people allowed clients, and the end of their sessions: with the history and the ends of tokens in one
//! transaction.

use std::collections::BTreeSet;

use base::{SessionId, TokensOf, UserId};
use sea_orm::sea_query::Expr;
use sea_orm::{ActiveModelTrait, ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter};
use serde_json::{Value, json};
use store::grants::{Consent, Grant, GrantFilter, Session};
use store::{HistoryKind, Result, StoreError};
use uuid::Uuid;

use crate::audit::Sides;
use crate::commit::Writer;
use crate::entity::{consent, grant, session, user, waiting_logout};
use crate::grants::{of_sessions, revoke, rows};
use crate::rows::{database, signed};

impl Writer<'_> {
    pub(crate) async fn session_end(&mut self, sid: SessionId, expires_unix_s: u64) -> Result<()> {
        let which = session::Column::Sid.eq(sid.0);
        let gone = self.sessions_take(which).await?;
        let gone = gone.first();
        let gone = gone.ok_or_else(|| StoreError::Missing(format!("session {sid}")))?;
        revoke(self.db, &GrantFilter::Session(sid), self.at_unix_ms).await?;
        self.session_ended(gone, expires_unix_s).await
    }

    pub(crate) async fn sessions_end(&mut self, user: UserId, expires_unix_s: u64) -> Result<()> {
        let which = session::Column::UserId.eq(user.0);
        let gone = self.sessions_take(which).await?;
        let filter = GrantFilter::UserSessions(user);
        let revoked = revoke(self.db, &filter, self.at_unix_ms).await?;
        for session in &gone {
            self.session_ended(session, expires_unix_s).await?;
        }
        // A browser that began another session left the grants of the one before.
        let named: BTreeSet<SessionId> = gone.iter().map(|session| session.sid).collect();
        let left: BTreeSet<SessionId> = revoked.iter().filter_map(|grant| grant.sid).collect();
        for sid in left.difference(&named) {
            self.tokens_end(TokensOf::Session(*sid), expires_unix_s)
                .await?;
        }
        Ok(())
    }

    /// The sessions' rows decide who ends them: of two calls one tells the clients.
    async fn sessions_take(&self, which: Expr) -> Result<Vec<Session>> {
        let found = session::Entity::find()
            .filter(session::Column::Org.eq(self.org.as_str()))
            .filter(which)
            .all(self.db)
            .await
            .map_err(database)?;
        let mut gone = Vec::new();
        for model in found {
            let deleted = session::Entity::delete_by_id(model.hash.clone()).exec(self.db);
            if deleted.await.map_err(database)?.rows_affected > 0 {
                gone.push(rows::from_session(model)?);
            }
        }
        Ok(gone)
    }

    async fn session_ended(&mut self, session: &Session, expires_unix_s: u64) -> Result<()> {
        let sid = session.sid;
        let grants = of_sessions(self.db, &[sid]).await?;
        let clients: BTreeSet<&str> = grants.iter().map(|grant| &*grant.client_id).collect();
        for client_id in &clients {
            let row = waiting_logout::Model {
                id: Uuid::now_v7(),
                org: self.org.as_str().to_owned(),
                client_id: (*client_id).to_owned(),
                user_id: session.user_id.0,
                sid: sid.0,
                attempts: 0,
                due_unix_ms: signed(self.at_unix_ms),
                created_unix_ms: signed(self.at_unix_ms),
            };
            let insert = waiting_logout::Entity::insert(row.into_active_model());
            let insert = insert.exec_without_returning(self.db).await;
            insert.map_err(database)?;
        }
        let before = json!({
            "user": session.user,
            "userId": session.user_id,
            "loggedInUnixS": session.login.at_unix_s,
            "clients": clients,
        });
        let name = sid.to_string();
        self.log(HistoryKind::Session, &name, Sides::before(before))
            .await?;
        self.tokens_end(TokensOf::Session(sid), expires_unix_s)
            .await
    }

    pub(crate) async fn consent_add(&mut self, added: Consent) -> Result<()> {
        let name = self.user_name(added.user_id).await?;
        let name = name.ok_or_else(|| StoreError::Missing(format!("user {}", added.user_id)))?;
        let before = self.consent(added.user_id, &added.client_id).await?;
        let mut after = added;
        if let Some(before) = &before {
            after.scopes.extend(before.scopes.iter().cloned());
            after.resources.extend(before.resources.iter().cloned());
            if (&after.scopes, &after.resources) == (&before.scopes, &before.resources) {
                return Ok(());
            }
        }
        let row = rows::to_consent(&after)?.into_active_model();
        if before.is_some() {
            let update = consent::Entity::update(row.reset_all()).exec(self.db);
            update.await.map_err(database)?;
        } else {
            let insert = consent::Entity::insert(row).exec_without_returning(self.db);
            insert.await.map_err(database)?;
        }
        let sides = Sides {
            before: before.as_ref().map(told),
            after: Some(told(&after)),
            ..Sides::default()
        };
        let name = format!("{name}/{}", after.client_id);
        self.changed = true;
        self.log(HistoryKind::Consent, &name, sides).await
    }

    pub(crate) async fn consent_delete(
        &mut self,
        user: UserId,
        client_id: &str,
        expires_unix_s: u64,
    ) -> Result<()> {
        let missing = || StoreError::Missing(format!("consent of {user} to {client_id}"));
        let name = self.user_name(user).await?.ok_or_else(missing)?;
        let before = self.consent(user, client_id).await?;
        // Before the grants: one that begins by it now is there once its row can be deleted, and none begins afterwards.
        if let Some(before) = &before {
            self.consent_gone(&name, before).await?;
        }
        let filter = GrantFilter::Consent(user, client_id.to_owned());
        let grants: Vec<Grant> = revoke(self.db, &filter, self.at_unix_ms).await?;
        if before.is_none() && grants.is_empty() {
            return Err(missing());
        }
        for grant in grants {
            self.tokens_end(TokensOf::Grant(grant.id), expires_unix_s)
                .await?;
        }
        Ok(())
    }

    /// Of a user who is deleted: its tokens end with it.
    pub(crate) async fn consents_delete(&mut self, user: UserId, name: &str) -> Result<()> {
        let which = consent::Column::UserId.eq(user.0);
        let found = consent::Entity::find().filter(which).all(self.db).await;
        for model in found.map_err(database)? {
            let before = rows::from_consent(model)?;
            self.consent_gone(name, &before).await?;
        }
        Ok(())
    }

    async fn consent_gone(&mut self, name: &str, before: &Consent) -> Result<()> {
        let key = (before.user_id.0, before.client_id.clone());
        let delete = consent::Entity::delete_by_id(key).exec(self.db);
        delete.await.map_err(database)?;
        self.changed = true;
        let name = format!("{name}/{}", before.client_id);
        let sides = Sides::before(told(before));
        self.log(HistoryKind::Consent, &name, sides).await
    }

    /// The pairwise names under which tokens about a user were given.
    pub(crate) async fn subjects_of(&self, user: UserId) -> Result<BTreeSet<String>> {
        let found = grant::Entity::find()
            .filter(grant::Column::UserId.eq(user.0))
            .all(self.db)
            .await
            .map_err(database)?;
        let mut subjects = BTreeSet::new();
        for model in found {
            subjects.extend(rows::from_grant(model)?.terms.subject);
        }
        Ok(subjects)
    }

    async fn consent(&self, user: UserId, client_id: &str) -> Result<Option<Consent>> {
        let key = (user.0, client_id.to_owned());
        let found = consent::Entity::find_by_id(key).one(self.db).await;
        found.map_err(database)?.map(rows::from_consent).transpose()
    }

    /// The name of a user of this organisation.
    async fn user_name(&self, id: UserId) -> Result<Option<String>> {
        let found = user::Entity::find()
            .filter(user::Column::Org.eq(self.org.as_str()))
            .filter(user::Column::Id.eq(id.0))
            .one(self.db)
            .await
            .map_err(database)?;
        Ok(found.map(|user| user.name))
    }
}

fn told(consent: &Consent) -> Value {
    json!({
        "userId": consent.user_id,
        "clientId": consent.client_id,
        "scopes": consent.scopes,
        "resources": consent.resources,
    })
}
