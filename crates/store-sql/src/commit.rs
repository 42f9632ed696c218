//! The one way to write: a batch is a transaction.

use std::sync::atomic::Ordering;

use base::{ApplicationId, Digest, Org, UserId};
use sea_orm::sea_query::{Order, Query};
use sea_orm::{
    ActiveModelTrait, ActiveValue, ColumnTrait, ConnectionTrait, DatabaseTransaction, DbErr,
    EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, SqlErr, SqliteTransactionMode,
    TransactionOptions, TransactionTrait,
};
use serde_json::{Value, json};
use store::record::Links;
use store::{
    Batch, ChangeKey, Expect, HistoryKind, Record, RecordKind, Result, Revocation,
    SigningKeyRecord, StoreError, User, Write,
};

use crate::audit::{self, Sides};
use crate::entity::{application, blob, resource, revocation, signing_key, subscription, user};
use crate::read::record_get;
use crate::rows::{
    database, from_signing_key, from_subscription, from_user, named, row_limit, signed,
    to_application, to_resource, to_signing_key, to_subscription, to_user, unsigned,
};
use crate::{SqlStore, feed};

/// Writes a batch and returns the newest revision, which is the batch's own if it changed anything.
pub(crate) async fn commit(store: &SqlStore, batch: Batch) -> Result<u64> {
    let options = TransactionOptions {
        sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
        ..TransactionOptions::default()
    };
    let db = store
        .writer
        .begin_with_options(options)
        .await
        .map_err(database)?;
    match write_all(&db, store, batch).await {
        Ok(revision) => {
            db.commit().await.map_err(database)?;
            Ok(revision)
        }
        Err(error) => {
            db.rollback().await.map_err(database)?;
            Err(error)
        }
    }
}

async fn write_all(db: &DatabaseTransaction, store: &SqlStore, batch: Batch) -> Result<u64> {
    // First of all, so that commits queue here and their revisions become visible in order.
    let revision = feed::counter_move(db, 1).await?;
    let mut writer = Writer {
        db,
        org: batch.org,
        actor: batch.actor,
        request: batch.request,
        at_unix_ms: batch.at_unix_ms,
        revision,
        changed: false,
        changes: Vec::new(),
        history_rows: 0,
    };
    for write in batch.writes {
        writer.apply(write).await?;
    }
    if !writer.changed {
        return feed::counter_move(db, -1).await;
    }
    let added = writer.changes.len() as u64;
    feed::append(db, revision, writer.changes).await?;
    store.backend.announce(db, revision).await?;
    let since_look = store.feed_rows_added.fetch_add(added, Ordering::Relaxed) + added;
    // An eighth over the bound is what looking seldom costs.
    if since_look > store.feed_rows_max / 8 {
        store.feed_rows_added.store(0, Ordering::Relaxed);
        feed::prune(db, store.feed_rows_max).await?;
    }
    Ok(revision)
}

/// A document to put, without its organisation.
struct Put {
    kind: RecordKind,
    name: String,
    new_id: uuid::Uuid,
    document: Value,
    digest: Digest,
    blob: Option<Digest>,
    links: Links,
    expect: Expect,
}

/// A batch under way.
pub(crate) struct Writer<'a> {
    pub(crate) db: &'a DatabaseTransaction,
    pub(crate) org: Org,
    pub(crate) actor: String,
    pub(crate) request: Option<String>,
    pub(crate) at_unix_ms: u64,
    pub(crate) revision: u64,
    /// Whether anything changed that deserves a revision.
    pub(crate) changed: bool,
    changes: Vec<ChangeKey>,
    pub(crate) history_rows: i64,
}

impl Writer<'_> {
    async fn apply(&mut self, write: Write) -> Result<()> {
        match write {
            Write::BlobPut { digest, content } => self.blob_put(digest, &content).await,
            Write::RecordPut {
                kind,
                name,
                new_id,
                document,
                digest,
                blob,
                links,
                expect,
            } => {
                self.record_put(Put {
                    kind,
                    name,
                    new_id,
                    document,
                    digest,
                    blob,
                    links,
                    expect,
                })
                .await
            }
            Write::RecordDelete { kind, name, expect } => {
                self.record_delete(kind, &name, expect).await
            }
            Write::ApiRevisionPut {
                api,
                digest,
                document,
                blob,
            } => self.api_revision_put(api, digest, &document, blob).await,
            Write::CredentialPut(credential) => self.credential_put(credential).await,
            Write::CredentialReplace(credential) => self.credential_replace(credential).await,
            Write::CredentialDelete { application, id } => {
                self.credential_delete(application, id).await
            }
            Write::RevocationPut(revocation) => self.revocation_put(revocation).await,
            Write::TokensEnd { of, expires_unix_s } => self.tokens_end(of, expires_unix_s).await,
            Write::SessionEnd {
                sid,
                expires_unix_s,
            } => self.session_end(sid, expires_unix_s).await,
            Write::SessionsEnd {
                user,
                expires_unix_s,
            } => self.sessions_end(user, expires_unix_s).await,
            Write::ConsentAdd(consent) => self.consent_add(consent).await,
            Write::ConsentDelete {
                user,
                client_id,
                expires_unix_s,
            } => self.consent_delete(user, &client_id, expires_unix_s).await,
            Write::UserPut(user, expect) => self.user_put(user, expect).await,
            Write::UserDelete(name) => self.user_delete(&name).await,
            Write::SigningKeyPut(key) => self.signing_key_put(key).await,
            Write::SigningKeyDelete(kid) => self.signing_key_delete(&kid).await,
            Write::RegistrationTokenPut(token) => self.registration_token_put(token).await,
            Write::RegistrationTokenUse(id) => self.registration_token_use(id).await,
            Write::RegistrationTokenDelete(id) => self.registration_token_delete(id).await,
        }
    }

    pub(crate) fn change(&mut self, key: ChangeKey) {
        self.changed = true;
        self.changes.push(key);
    }

    async fn blob_put(&self, digest: Digest, content: &[u8]) -> Result<()> {
        let row = blob::ActiveModel {
            digest: ActiveValue::Set(digest.as_bytes().to_vec()),
            content: ActiveValue::Set(content.to_vec()),
        };
        blob::Entity::insert(row)
            .on_conflict_do_nothing_on([blob::Column::Digest])
            .exec_without_returning(self.db)
            .await
            .map_err(database)?;
        Ok(())
    }

    async fn record_put(&mut self, put: Put) -> Result<()> {
        let present = record_get(self.db, &self.org, put.kind, &put.name).await?;
        let what = named(put.kind, &put.name);
        check(put.expect, present.as_ref().map(|old| old.revision), &what)?;
        if present
            .as_ref()
            .is_some_and(|old| old.digest == put.digest && old.blob == put.blob)
        {
            return Ok(());
        }
        let record = Record {
            org: self.org.clone(),
            kind: put.kind,
            name: put.name,
            id: present.as_ref().map_or(put.new_id, |old| old.id),
            document: put.document,
            digest: put.digest,
            blob: put.blob,
            links: put.links,
            revision: self.revision,
            created_unix_ms: present
                .as_ref()
                .map_or(self.at_unix_ms, |old| old.created_unix_ms),
            updated_unix_ms: self.at_unix_ms,
        };
        self.record_write(&record, present.is_none()).await?;
        let (before, before_blob) =
            present.map_or((None, None), |old| (Some(old.document), old.blob));
        self.record_changed(
            &record,
            Sides {
                before,
                after: Some(record.document.clone()),
                before_blob,
                after_blob: record.blob,
            },
        )
        .await
    }

    async fn record_write(&self, record: &Record, new: bool) -> Result<()> {
        let what = named(record.kind, &record.name);
        /// Inserts or updates one row.
        macro_rules! write {
            ($table:ident, $model:expr) => {{
                let row = $model.into_active_model();
                if new {
                    let insert = $table::Entity::insert(row).exec_without_returning(self.db);
                    insert.await.map_err(|error| taken(error, &what))?;
                } else {
                    let update = $table::Entity::update(row.reset_all()).exec(self.db);
                    update.await.map_err(database)?;
                }
            }};
        }
        match record.kind {
            RecordKind::Application => write!(application, to_application(record)),
            RecordKind::Subscription => {
                let application = record
                    .links
                    .application
                    .ok_or_else(|| StoreError::Missing(format!("the application of {what}")))?;
                self.application_must_exist(application).await?;
                write!(subscription, to_subscription(record, application.0));
            }
            RecordKind::Api
            | RecordKind::Backend
            | RecordKind::Plan
            | RecordKind::Gateway
            | RecordKind::DenyRule
            | RecordKind::TokenIssuer => {
                write!(resource, to_resource(record));
            }
        }
        Ok(())
    }

    /// Notes a change of a document in the feed and in its history.
    async fn record_changed(&mut self, record: &Record, sides: Sides) -> Result<()> {
        self.change(ChangeKey::Record {
            org: record.org.clone(),
            kind: record.kind,
            name: record.name.clone(),
            id: record.id,
        });
        self.log(HistoryKind::Record(record.kind), &record.name, sides)
            .await
    }

    async fn record_delete(&mut self, kind: RecordKind, name: &str, expect: Expect) -> Result<()> {
        let what = named(kind, name);
        let present = record_get(self.db, &self.org, kind, name).await?;
        check(expect, present.as_ref().map(|old| old.revision), &what)?;
        let record = present.ok_or(StoreError::Missing(what))?;
        if kind == RecordKind::Application {
            self.dependants_delete(ApplicationId(record.id), name)
                .await?;
        }
        let key = (self.org.as_str().to_owned(), name.to_owned());
        match kind {
            RecordKind::Application => application::Entity::delete_by_id(key).exec(self.db).await,
            RecordKind::Subscription => subscription::Entity::delete_by_id(key).exec(self.db).await,
            RecordKind::Api
            | RecordKind::Backend
            | RecordKind::Plan
            | RecordKind::Gateway
            | RecordKind::DenyRule
            | RecordKind::TokenIssuer => {
                resource::Entity::delete_by_id((key.0, kind.as_str().to_owned(), key.1))
                    .exec(self.db)
                    .await
            }
        }
        .map_err(database)?;
        self.record_gone(&record).await
    }

    async fn record_gone(&mut self, record: &Record) -> Result<()> {
        let sides = Sides {
            before: Some(record.document.clone()),
            before_blob: record.blob,
            ..Sides::default()
        };
        self.record_changed(record, sides).await
    }

    /// Deletes the subscriptions and credentials of an application, each with its own change.
    async fn dependants_delete(&mut self, application: ApplicationId, name: &str) -> Result<()> {
        let subscriptions = subscription::Entity::find()
            .filter(subscription::Column::ApplicationId.eq(application.0))
            .order_by_asc(subscription::Column::Name)
            .all(self.db)
            .await
            .map_err(database)?;
        for model in subscriptions {
            self.record_gone(&from_subscription(model)?).await?;
        }
        subscription::Entity::delete_many()
            .filter(subscription::Column::ApplicationId.eq(application.0))
            .exec(self.db)
            .await
            .map_err(database)?;
        self.credentials_delete(application, name).await
    }

    /// The application must be one of this organisation: ids of another one are as good as unknown.
    /// Returns its name.
    pub(crate) async fn application_must_exist(&self, id: ApplicationId) -> Result<String> {
        application::Entity::find()
            .filter(application::Column::Id.eq(id.0))
            .filter(application::Column::Org.eq(self.org.as_str()))
            .one(self.db)
            .await
            .map_err(database)?
            .map(|application| application.name)
            .ok_or_else(|| StoreError::Missing(format!("application {id}")))
    }

    /// Credentials and users name their organisation themselves; it must be the batch's.
    pub(crate) fn org_must_match(&self, org: &Org, what: &str) -> Result<()> {
        if *org == self.org {
            return Ok(());
        }
        let here = &self.org;
        Err(StoreError::Missing(format!(
            "{what} in organisation {here}"
        )))
    }

    /// A token that is revoked already stays as it is, unless the new row would keep it longer.
    async fn revocation_put(&mut self, revocation: Revocation) -> Result<()> {
        let expires = signed(revocation.expires_unix_s);
        let present = revocation::Entity::find_by_id(revocation.jti.clone())
            .one(self.db)
            .await
            .map_err(database)?;
        let row = revocation::ActiveModel {
            jti: ActiveValue::Set(revocation.jti.clone()),
            expires_unix_s: ActiveValue::Set(expires),
        };
        match present {
            Some(old) if old.expires_unix_s >= expires => return Ok(()),
            Some(_) => {
                let update = revocation::Entity::update(row).exec(self.db);
                update.await.map_err(database)?;
            }
            None => {
                let insert = revocation::Entity::insert(row).exec_without_returning(self.db);
                insert.await.map_err(database)?;
            }
        }
        let after = json!({"expiresUnixS": revocation.expires_unix_s});
        self.log(HistoryKind::Token, &revocation.jti, Sides::after(after))
            .await?;
        self.change(ChangeKey::Revocation(revocation.jti));
        Ok(())
    }

    async fn user_put(&mut self, user: User, expect: Expect) -> Result<()> {
        let what = format!("user {}", user.name);
        self.org_must_match(&user.org, &what)?;
        let present = user::Entity::find_by_id((user.org.as_str().to_owned(), user.name.clone()))
            .one(self.db)
            .await
            .map_err(database)?;
        let revision = present.as_ref().map(|old| unsigned(old.revision, &what));
        check(expect, revision.transpose()?, &what)?;
        let present = present.map(from_user).transpose()?;
        let sides = audit::user_put(present.as_ref(), &user);
        let name = user.name.clone();
        let row = to_user(user, self.revision)?.into_active_model();
        if present.is_some() {
            let update = user::Entity::update(row.reset_all()).exec(self.db);
            update.await.map_err(database)?;
        } else {
            let insert = user::Entity::insert(row).exec_without_returning(self.db);
            insert.await.map_err(|error| taken(error, &what))?;
        }
        self.changed = true;
        self.log(HistoryKind::User, &name, sides).await
    }

    async fn user_delete(&mut self, name: &str) -> Result<()> {
        let key = (self.org.as_str().to_owned(), name.to_owned());
        let present = user::Entity::find_by_id(key.clone())
            .one(self.db)
            .await
            .map_err(database)?
            .ok_or_else(|| StoreError::Missing(format!("user {name}")))?;
        user::Entity::delete_by_id(key)
            .exec(self.db)
            .await
            .map_err(database)?;
        self.changed = true;
        self.consents_delete(UserId(present.id), name).await?;
        let before = audit::user(&from_user(present)?);
        self.log(HistoryKind::User, name, Sides::before(before))
            .await
    }

    async fn signing_key_put(&mut self, key: SigningKeyRecord) -> Result<()> {
        let (kid, after) = (key.kid.clone(), audit::signing_key(&key));
        let present = signing_key::Entity::find_by_id(kid.clone())
            .one(self.db)
            .await
            .map_err(database)?;
        let row = to_signing_key(key);
        let mut sides = Sides::after(after);
        match present {
            Some(old) if old == row => return Ok(()),
            Some(old) => {
                sides.before = Some(audit::signing_key(&from_signing_key(old)?));
                let update = signing_key::Entity::update(row.into_active_model().reset_all());
                update.exec(self.db).await.map_err(database)?;
            }
            None => {
                let insert = signing_key::Entity::insert(row.into_active_model());
                let insert = insert.exec_without_returning(self.db).await;
                insert.map_err(database)?;
            }
        }
        self.change(ChangeKey::SigningKeys);
        self.log(HistoryKind::SigningKey, &kid, sides).await
    }

    async fn signing_key_delete(&mut self, kid: &str) -> Result<()> {
        let present = signing_key::Entity::find_by_id(kid.to_owned())
            .one(self.db)
            .await
            .map_err(database)?
            .ok_or_else(|| StoreError::Missing(format!("signing key {kid}")))?;
        signing_key::Entity::delete_by_id(kid.to_owned())
            .exec(self.db)
            .await
            .map_err(database)?;
        let before = audit::signing_key(&from_signing_key(present)?);
        self.change(ChangeKey::SigningKeys);
        self.log(HistoryKind::SigningKey, kid, Sides::before(before))
            .await
    }
}

/// Forgets at most `limit` revocations, the oldest first; a transaction of its own, and no revision.
pub(crate) async fn revocations_expire(
    db: &impl ConnectionTrait,
    before_unix_s: u64,
    limit: u64,
) -> Result<u64> {
    let oldest = Query::select()
        .column(revocation::Column::Jti)
        .from(revocation::Entity)
        .and_where(revocation::Column::ExpiresUnixS.lt(signed(before_unix_s)))
        .order_by(revocation::Column::ExpiresUnixS, Order::Asc)
        .limit(row_limit(limit))
        .take();
    let deleted = revocation::Entity::delete_many()
        .filter(revocation::Column::Jti.in_subquery(oldest))
        .exec(db)
        .await
        .map_err(database)?;
    Ok(deleted.rows_affected)
}

/// Holds what the writer believes against the object's present revision.
fn check(expect: Expect, present: Option<u64>, what: &str) -> Result<()> {
    match (expect, present) {
        (Expect::Absent, Some(_)) => Err(StoreError::Exists(what.to_owned())),
        (Expect::Revision(_), None) => Err(StoreError::Missing(what.to_owned())),
        (Expect::Revision(expected), Some(present)) if expected != present => {
            Err(StoreError::Stale {
                what: what.to_owned(),
                present,
                expected,
            })
        }
        _ => Ok(()),
    }
}

/// The error of an INSERT: a unique value that is taken is the caller's to mend.
pub(crate) fn taken(error: DbErr, what: &str) -> StoreError {
    match error.sql_err() {
        Some(SqlErr::UniqueConstraintViolation(_)) => StoreError::Exists(what.to_owned()),
        _ => database(error),
    }
}
