//! Rows to records and back. What cannot be read is [`StoreError::Corrupt`] with the object's name, never a panic.

use base::{ApplicationId, CredentialId, Digest, Org, UserId};
use sea_orm::sea_query::{Order, Query};
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, PrimaryKeyToColumn, QueryFilter};
use serde_json::Value;
use store::record::Links;
use store::{
    Change, ChangeKey, HistoryEntry, HistoryKind, KeyState, Record, RecordKind, Result, Revocation,
    SigningAlgorithm, SigningKeyRecord, StoreError, User,
};
use uuid::Uuid;

use crate::entity::{
    application, change, history, resource, revocation, signing_key, subscription, user,
};

/// The database's own errors.
pub(crate) fn database(error: DbErr) -> StoreError {
    StoreError::Database(Box::new(error))
}

/// A number as SQL keeps it. Above `i64::MAX` (times in 292 million years) it is cut, which keeps comparisons right.
pub(crate) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A number that was [`signed`]; a negative one was never written by us.
pub(crate) fn unsigned(number: i64, what: &str) -> Result<u64> {
    u64::try_from(number).map_err(|_| corrupt(what))
}

/// A LIMIT that every database takes.
pub(crate) fn row_limit(limit: u64) -> u64 {
    Ord::min(limit, i64::MAX as u64)
}

pub(crate) fn corrupt(what: &str) -> StoreError {
    StoreError::Corrupt(what.to_owned())
}

pub(crate) fn digest(bytes: &[u8], what: &str) -> Result<Digest> {
    let bytes = bytes.try_into().map_err(|_| corrupt(what))?;
    Ok(Digest::from_bytes(bytes))
}

pub(crate) fn json(text: &str, what: &str) -> Result<Value> {
    serde_json::from_str(text).map_err(|_| corrupt(what))
}

/// How errors name a document.
pub(crate) fn named(kind: RecordKind, name: &str) -> String {
    format!("{} {name}", kind.as_str())
}

/// Turns the columns that all documents share into a [`Record`].
macro_rules! record {
    ($model:ident, $kind:expr, $links:expr) => {{
        let kind = $kind;
        let what = named(kind, &$model.name);
        Ok(Record {
            org: Org::new(&$model.org),
            kind,
            id: $model.id,
            document: json(&$model.document, &what)?,
            digest: digest(&$model.digest, &what)?,
            blob: match &$model.blob {
                Some(bytes) => Some(digest(bytes, &what)?),
                None => None,
            },
            links: $links,
            revision: unsigned($model.revision, &what)?,
            created_unix_ms: unsigned($model.created_unix_ms, &what)?,
            updated_unix_ms: unsigned($model.updated_unix_ms, &what)?,
            name: $model.name,
        })
    }};
}

pub(crate) fn from_resource(model: resource::Model) -> Result<Record> {
    let kind = RecordKind::parse(&model.kind).ok_or_else(|| corrupt(&model.name))?;
    record!(model, kind, Links::default())
}

pub(crate) fn from_application(model: application::Model) -> Result<Record> {
    let links = Links {
        owner: model.owner,
        ..Links::default()
    };
    record!(model, RecordKind::Application, links)
}

pub(crate) fn from_subscription(model: subscription::Model) -> Result<Record> {
    let links = Links {
        owner: None,
        application: Some(ApplicationId(model.application_id)),
        api: model.api,
        plan: model.plan,
    };
    record!(model, RecordKind::Subscription, links)
}

pub(crate) fn bytes(digest: Digest) -> Vec<u8> {
    digest.as_bytes().to_vec()
}

pub(crate) fn to_resource(record: &Record) -> resource::Model {
    resource::Model {
        org: record.org.as_str().to_owned(),
        kind: record.kind.as_str().to_owned(),
        name: record.name.clone(),
        id: record.id,
        document: record.document.to_string(),
        digest: bytes(record.digest),
        blob: record.blob.map(bytes),
        revision: signed(record.revision),
        created_unix_ms: signed(record.created_unix_ms),
        updated_unix_ms: signed(record.updated_unix_ms),
    }
}

pub(crate) fn to_application(record: &Record) -> application::Model {
    application::Model {
        org: record.org.as_str().to_owned(),
        name: record.name.clone(),
        id: record.id,
        owner: record.links.owner.clone(),
        document: record.document.to_string(),
        digest: bytes(record.digest),
        blob: record.blob.map(bytes),
        revision: signed(record.revision),
        created_unix_ms: signed(record.created_unix_ms),
        updated_unix_ms: signed(record.updated_unix_ms),
    }
}

pub(crate) fn to_subscription(record: &Record, application: Uuid) -> subscription::Model {
    subscription::Model {
        org: record.org.as_str().to_owned(),
        name: record.name.clone(),
        id: record.id,
        application_id: application,
        api: record.links.api.clone(),
        plan: record.links.plan.clone(),
        document: record.document.to_string(),
        digest: bytes(record.digest),
        blob: record.blob.map(bytes),
        revision: signed(record.revision),
        created_unix_ms: signed(record.created_unix_ms),
        updated_unix_ms: signed(record.updated_unix_ms),
    }
}

pub(crate) fn from_history(model: history::Model) -> Result<HistoryEntry> {
    let what = format!("the history of {} {}", model.kind, model.name);
    let document = |text: Option<String>| text.map(|text| json(&text, &what)).transpose();
    let blob = |bytes: Option<Vec<u8>>| bytes.map(|bytes| digest(&bytes, &what)).transpose();
    Ok(HistoryEntry {
        revision: unsigned(model.revision, &what)?,
        ordinal: unsigned(model.ordinal, &what)?,
        at_unix_ms: unsigned(model.at_unix_ms, &what)?,
        actor: model.actor,
        request: model.request,
        kind: HistoryKind::parse(&model.kind).ok_or_else(|| corrupt(&what))?,
        before: document(model.before)?,
        after: document(model.after)?,
        before_blob: blob(model.before_blob)?,
        after_blob: blob(model.after_blob)?,
        name: model.name,
    })
}

const RECORD: &str = "record";
const CREDENTIAL: &str = "credential";
const REVOCATION: &str = "revocation";
const TOKENS_END: &str = "tokens-end";
const SIGNING_KEYS: &str = "signing-keys";

pub(crate) fn to_change(revision: u64, ordinal: i64, key: ChangeKey) -> change::Model {
    let row = |subject: &str| change::Model {
        revision: signed(revision),
        ordinal,
        subject: subject.to_owned(),
        org: None,
        kind: None,
        name: None,
        id: None,
    };
    match key {
        ChangeKey::Record {
            org,
            kind,
            name,
            id,
        } => change::Model {
            org: Some(org.as_str().to_owned()),
            kind: Some(kind.as_str().to_owned()),
            name: Some(name),
            id: Some(id),
            ..row(RECORD)
        },
        ChangeKey::Credential(id) => change::Model {
            id: Some(id.0),
            ..row(CREDENTIAL)
        },
        ChangeKey::Revocation(jti) => change::Model {
            name: Some(jti),
            ..row(REVOCATION)
        },
        ChangeKey::TokensEnd(of) => change::Model {
            name: Some(of.to_string()),
            ..row(TOKENS_END)
        },
        ChangeKey::SigningKeys => row(SIGNING_KEYS),
    }
}

pub(crate) fn from_change(model: change::Model) -> Result<Change> {
    let what = format!("change {}/{}", model.revision, model.ordinal);
    let missing = || corrupt(&what);
    let key = match model.subject.as_str() {
        RECORD => ChangeKey::Record {
            org: Org::new(&model.org.ok_or_else(missing)?),
            kind: model
                .kind
                .and_then(|kind| RecordKind::parse(&kind))
                .ok_or_else(missing)?,
            name: model.name.ok_or_else(missing)?,
            id: model.id.ok_or_else(missing)?,
        },
        CREDENTIAL => ChangeKey::Credential(CredentialId(model.id.ok_or_else(missing)?)),
        REVOCATION => ChangeKey::Revocation(model.name.ok_or_else(missing)?),
        TOKENS_END => {
            let of = model.name.and_then(|name| name.parse().ok());
            ChangeKey::TokensEnd(of.ok_or_else(missing)?)
        }
        SIGNING_KEYS => ChangeKey::SigningKeys,
        _ => return Err(missing()),
    };
    Ok(Change {
        revision: unsigned(model.revision, &what)?,
        key,
    })
}

pub(crate) fn from_revocation(model: revocation::Model) -> Result<Revocation> {
    Ok(Revocation {
        expires_unix_s: unsigned(model.expires_unix_s, "a revocation")?,
        jti: model.jti,
    })
}

pub(crate) fn to_user(user: User, revision: u64) -> Result<user::Model> {
    Ok(user::Model {
        roles: serde_json::to_string(&user.roles)
            .map_err(|error| StoreError::Database(Box::new(error)))?,
        org: user.org.as_str().to_owned(),
        name: user.name,
        id: user.id.0,
        password_hash: user.password_hash,
        revision: signed(revision),
        created_unix_ms: signed(user.created_unix_ms),
    })
}

pub(crate) fn from_user(model: user::Model) -> Result<User> {
    let what = format!("user {}", model.name);
    Ok(User {
        id: UserId(model.id),
        org: Org::new(&model.org),
        roles: serde_json::from_str(&model.roles).map_err(|_| corrupt(&what))?,
        created_unix_ms: unsigned(model.created_unix_ms, &what)?,
        name: model.name,
        password_hash: model.password_hash,
    })
}

pub(crate) fn to_signing_key(key: SigningKeyRecord) -> signing_key::Model {
    signing_key::Model {
        kid: key.kid,
        sealed: key.sealed,
        public_jwk: key.public_jwk.to_string(),
        created_unix_ms: signed(key.created_unix_ms),
        algorithm: key.algorithm.as_str().to_owned(),
        state: key.state.as_str().to_owned(),
        since_unix_ms: signed(key.since_unix_ms),
        until_unix_s: match key.state {
            KeyState::Retiring { until_unix_s } => Some(signed(until_unix_s)),
            KeyState::Next | KeyState::Signing => None,
        },
    }
}

pub(crate) fn from_signing_key(model: signing_key::Model) -> Result<SigningKeyRecord> {
    let what = format!("signing key {}", model.kid);
    let state = match (model.state.as_str(), model.until_unix_s) {
        ("next", None) => KeyState::Next,
        ("signing", None) => KeyState::Signing,
        ("retiring", Some(until)) => KeyState::Retiring {
            until_unix_s: unsigned(until, &what)?,
        },
        _ => return Err(corrupt(&what)),
    };
    Ok(SigningKeyRecord {
        algorithm: SigningAlgorithm::parse(&model.algorithm).ok_or_else(|| corrupt(&what))?,
        state,
        since_unix_ms: unsigned(model.since_unix_ms, &what)?,
        public_jwk: json(&model.public_jwk, &what)?,
        created_unix_ms: unsigned(model.created_unix_ms, &what)?,
        kid: model.kid,
        sealed: model.sealed,
    })
}

/// Deletes the oldest rows of a table with one key column that are over, so many at the most.
pub(crate) async fn delete_expired<E: EntityTrait>(
    db: &impl ConnectionTrait,
    expiry: E::Column,
    before_unix_s: i64,
    limit: u64,
) -> Result<u64> {
    let key = <E::PrimaryKey as sea_orm::Iterable>::iter()
        .next()
        .expect("every table has a key")
        .into_column();
    let oldest = Query::select()
        .column(key)
        .from(E::default())
        .and_where(expiry.lt(before_unix_s))
        .order_by(expiry, Order::Asc)
        .limit(row_limit(limit))
        .take();
    let deleted = E::delete_many()
        .filter(key.in_subquery(oldest))
        .exec(db)
        .await
        .map_err(database)?;
    Ok(deleted.rows_affected)
}
