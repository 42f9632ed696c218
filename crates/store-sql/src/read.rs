//! Everything that only reads.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use base::{Digest, Org};
use sea_orm::sea_query::Query;
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    QueryTrait,
};
use store::{
    CredentialStore, Filter, HistoryEntry, HistoryFilter, Page, Record, RecordKind, ResourceStore,
    Result, Revocation, SigningKeyRecord, User,
};

use crate::SqlStore;
use crate::entity::{
    application, blob, history, resource, revocation, signing_key, subscription, user,
};
use crate::rows::{
    database, from_application, from_history, from_resource, from_revocation, from_signing_key,
    from_subscription, from_user, row_limit, signed,
};

/// One document; shared with the writer, which reads within its transaction.
pub(crate) async fn record_get(
    db: &impl ConnectionTrait,
    org: &Org,
    kind: RecordKind,
    name: &str,
) -> Result<Option<Record>> {
    let key = (org.as_str().to_owned(), name.to_owned());
    match kind {
        RecordKind::Application => application::Entity::find_by_id(key)
            .one(db)
            .await
            .map_err(database)?
            .map(from_application),
        RecordKind::Subscription => subscription::Entity::find_by_id(key)
            .one(db)
            .await
            .map_err(database)?
            .map(from_subscription),
        RecordKind::Api
        | RecordKind::Backend
        | RecordKind::Plan
        | RecordKind::Gateway
        | RecordKind::DenyRule
        | RecordKind::TokenIssuer => {
            resource::Entity::find_by_id((key.0, kind.as_str().to_owned(), key.1))
                .one(db)
                .await
                .map_err(database)?
                .map(from_resource)
        }
    }
    .transpose()
}

/// The ids of an organisation's applications, of one owner or of one name.
fn application_ids(
    org: &Org,
    column: application::Column,
    value: &str,
) -> sea_orm::sea_query::SelectStatement {
    Query::select()
        .column(application::Column::Id)
        .from(application::Entity)
        .and_where(application::Column::Org.eq(org.as_str()))
        .and_where(column.eq(value))
        .take()
}

async fn application_list(
    db: &impl ConnectionTrait,
    org: &Org,
    filter: &Filter,
    page: &Page,
) -> Result<Vec<Record>> {
    application::Entity::find()
        .filter(application::Column::Org.eq(org.as_str()))
        .apply_if(page.after.as_deref(), |query, after| {
            query.filter(application::Column::Name.gt(after))
        })
        .apply_if(filter.owner.as_deref(), |query, owner| {
            query.filter(application::Column::Owner.eq(owner))
        })
        .order_by_asc(application::Column::Name)
        .limit(row_limit(page.limit))
        .all(db)
        .await
        .map_err(database)?
        .into_iter()
        .map(from_application)
        .collect()
}

async fn subscription_list(
    db: &impl ConnectionTrait,
    org: &Org,
    filter: &Filter,
    page: &Page,
) -> Result<Vec<Record>> {
    let of = |column, value: &str| {
        subscription::Column::ApplicationId.in_subquery(application_ids(org, column, value))
    };
    subscription::Entity::find()
        .filter(subscription::Column::Org.eq(org.as_str()))
        .apply_if(page.after.as_deref(), |query, after| {
            query.filter(subscription::Column::Name.gt(after))
        })
        .apply_if(filter.owner.as_deref(), |query, owner| {
            query.filter(of(application::Column::Owner, owner))
        })
        .apply_if(filter.application.as_deref(), |query, name| {
            query.filter(of(application::Column::Name, name))
        })
        .apply_if(filter.api.as_deref(), |query, api| {
            query.filter(subscription::Column::Api.eq(api))
        })
        .order_by_asc(subscription::Column::Name)
        .limit(row_limit(page.limit))
        .all(db)
        .await
        .map_err(database)?
        .into_iter()
        .map(from_subscription)
        .collect()
}

async fn resource_list(
    db: &impl ConnectionTrait,
    org: &Org,
    kind: RecordKind,
    page: &Page,
) -> Result<Vec<Record>> {
    resource::Entity::find()
        .filter(resource::Column::Org.eq(org.as_str()))
        .filter(resource::Column::Kind.eq(kind.as_str()))
        .apply_if(page.after.as_deref(), |query, after| {
            query.filter(resource::Column::Name.gt(after))
        })
        .order_by_asc(resource::Column::Name)
        .limit(row_limit(page.limit))
        .all(db)
        .await
        .map_err(database)?
        .into_iter()
        .map(from_resource)
        .collect()
}

async fn history_list(
    db: &impl ConnectionTrait,
    org: &Org,
    filter: &HistoryFilter,
) -> Result<Vec<HistoryEntry>> {
    use history::Column;
    let kinds = Some(&filter.kinds).filter(|kinds| !kinds.is_empty());
    history::Entity::find()
        .filter(Column::Org.eq(org.as_str()))
        .apply_if(kinds, |query, kinds| {
            query.filter(Column::Kind.is_in(kinds.iter().map(|kind| kind.as_str())))
        })
        .apply_if(filter.name.as_deref(), |query, name| {
            query.filter(Column::Name.eq(name))
        })
        .apply_if(filter.actor.as_deref(), |query, actor| {
            query.filter(Column::Actor.eq(actor))
        })
        .apply_if(filter.since_unix_ms, |query, since| {
            query.filter(Column::AtUnixMs.gte(signed(since)))
        })
        .apply_if(filter.until_unix_ms, |query, until| {
            query.filter(Column::AtUnixMs.lt(signed(until)))
        })
        .apply_if(filter.revision, |query, revision| {
            query.filter(Column::Revision.eq(signed(revision)))
        })
        .apply_if(filter.later_than, |query, revision| {
            query.filter(Column::Revision.gt(signed(revision)))
        })
        .apply_if(filter.before, |query, (revision, ordinal)| {
            let revision = signed(revision);
            let same = Condition::all()
                .add(Column::Revision.eq(revision))
                .add(Column::Ordinal.lt(signed(ordinal)));
            query.filter(
                Condition::any()
                    .add(Column::Revision.lt(revision))
                    .add(same),
            )
        })
        .order_by_desc(Column::Revision)
        .order_by_desc(Column::Ordinal)
        .limit(row_limit(filter.limit))
        .all(db)
        .await
        .map_err(database)?
        .into_iter()
        .map(from_history)
        .collect()
}

#[async_trait]
impl ResourceStore for SqlStore {
    async fn record_get(&self, org: &Org, kind: RecordKind, name: &str) -> Result<Option<Record>> {
        record_get(&self.readers, org, kind, name).await
    }

    async fn record_list(
        &self,
        org: &Org,
        kind: RecordKind,
        filter: &Filter,
        page: &Page,
    ) -> Result<Vec<Record>> {
        let db = &self.readers;
        match kind {
            RecordKind::Application => application_list(db, org, filter, page).await,
            RecordKind::Subscription => subscription_list(db, org, filter, page).await,
            RecordKind::Api
            | RecordKind::Backend
            | RecordKind::Plan
            | RecordKind::Gateway
            | RecordKind::DenyRule
            | RecordKind::TokenIssuer => resource_list(db, org, kind, page).await,
        }
    }

    async fn history_list(&self, org: &Org, filter: &HistoryFilter) -> Result<Vec<HistoryEntry>> {
        history_list(&self.readers, org, filter).await
    }

    async fn org_list(&self) -> Result<Vec<Org>> {
        let mut names = BTreeSet::new();
        macro_rules! add {
            ($table:ident) => {
                let found: Vec<String> = $table::Entity::find()
                    .select_only()
                    .column($table::Column::Org)
                    .distinct()
                    .into_tuple()
                    .all(&self.readers)
                    .await
                    .map_err(database)?;
                names.extend(found);
            };
        }
        add!(resource);
        add!(application);
        add!(subscription);
        Ok(names.iter().map(|name| Org::new(name)).collect())
    }

    async fn blob_get(&self, digest: &Digest) -> Result<Option<Arc<[u8]>>> {
        let blob = blob::Entity::find_by_id(digest.as_bytes().to_vec())
            .one(&self.readers)
            .await
            .map_err(database)?;
        Ok(blob.map(|blob| blob.content.into()))
    }
}

#[async_trait]
impl CredentialStore for SqlStore {
    async fn user_get(&self, org: &Org, name: &str) -> Result<Option<User>> {
        user::Entity::find_by_id((org.as_str().to_owned(), name.to_owned()))
            .one(&self.readers)
            .await
            .map_err(database)?
            .map(from_user)
            .transpose()
    }

    async fn user_list(&self, org: &Org) -> Result<Vec<User>> {
        user::Entity::find()
            .filter(user::Column::Org.eq(org.as_str()))
            .order_by_asc(user::Column::Name)
            .all(&self.readers)
            .await
            .map_err(database)?
            .into_iter()
            .map(from_user)
            .collect()
    }

    async fn revocation_get(&self, jti: &str) -> Result<Option<Revocation>> {
        revocation::Entity::find_by_id(jti.to_owned())
            .one(&self.readers)
            .await
            .map_err(database)?
            .map(from_revocation)
            .transpose()
    }

    async fn revocation_list(&self, now_unix_s: u64) -> Result<Vec<Revocation>> {
        revocation::Entity::find()
            .filter(revocation::Column::ExpiresUnixS.gt(signed(now_unix_s)))
            .order_by_asc(revocation::Column::ExpiresUnixS)
            .all(&self.readers)
            .await
            .map_err(database)?
            .into_iter()
            .map(from_revocation)
            .collect()
    }

    async fn signing_key_list(&self) -> Result<Vec<SigningKeyRecord>> {
        signing_key::Entity::find()
            .order_by_desc(signing_key::Column::CreatedUnixMs)
            .order_by_desc(signing_key::Column::Kid)
            .all(&self.readers)
            .await
            .map_err(database)?
            .into_iter()
            .map(from_signing_key)
            .collect()
    }
}
