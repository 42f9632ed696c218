//! Revisions of APIs.

use async_trait::async_trait;
use base::{Digest, Org};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder,
    QuerySelect, QueryTrait,
};
use serde_json::Value;
use store::{ApiRevision, Result, RevisionStore};

use crate::SqlStore;
use crate::commit::Writer;
use crate::entity::api_revision::{self, Column};
use crate::rows::{bytes, database, digest, json, row_limit, signed, unsigned};

/// A row without its document, which may be long.
type Head = (i64, Vec<u8>, Option<Vec<u8>>, i64, String, i64);

const HEAD: [Column; 6] = [
    Column::Number,
    Column::Digest,
    Column::Blob,
    Column::AtUnixMs,
    Column::Actor,
    Column::Revision,
];

fn from_head(api: &str, (number, content, blob, at, actor, revision): Head) -> Result<ApiRevision> {
    let what = format!("revision {number} of {api}");
    Ok(ApiRevision {
        number: unsigned(number, &what)?,
        digest: digest(&content, &what)?,
        blob: blob.map(|blob| digest(&blob, &what)).transpose()?,
        at_unix_ms: unsigned(at, &what)?,
        actor,
        revision: unsigned(revision, &what)?,
    })
}

async fn list(
    db: &impl ConnectionTrait,
    org: &Org,
    api: &str,
    before: Option<u64>,
    limit: u64,
) -> Result<Vec<ApiRevision>> {
    let rows: Vec<Head> = api_revision::Entity::find()
        .select_only()
        .columns(HEAD)
        .filter(Column::Org.eq(org.as_str()))
        .filter(Column::Api.eq(api))
        .apply_if(before, |query, before| {
            query.filter(Column::Number.lt(signed(before)))
        })
        .order_by_desc(Column::Number)
        .limit(row_limit(limit))
        .into_tuple()
        .all(db)
        .await
        .map_err(database)?;
    rows.into_iter().map(|row| from_head(api, row)).collect()
}

#[async_trait]
impl RevisionStore for SqlStore {
    async fn api_revision_get(
        &self,
        org: &Org,
        api: &str,
        number: u64,
    ) -> Result<Option<(ApiRevision, Value)>> {
        let key = (org.as_str().to_owned(), api.to_owned(), signed(number));
        let row = api_revision::Entity::find_by_id(key)
            .one(&self.readers)
            .await
            .map_err(database)?;
        let Some(row) = row else { return Ok(None) };
        let document = json(&row.document, &format!("revision {number} of {api}"))?;
        let head = (
            row.number,
            row.digest,
            row.blob,
            row.at_unix_ms,
            row.actor,
            row.revision,
        );
        Ok(Some((from_head(api, head)?, document)))
    }

    async fn api_revision_list(
        &self,
        org: &Org,
        api: &str,
        before: Option<u64>,
        limit: u64,
    ) -> Result<Vec<ApiRevision>> {
        list(&self.readers, org, api, before, limit).await
    }
}

impl Writer<'_> {
    /// Makes the next revision of an API, unless the newest one has this digest.
    pub(crate) async fn api_revision_put(
        &mut self,
        api: String,
        digest: Digest,
        document: &Value,
        blob: Option<Digest>,
    ) -> Result<()> {
        let newest = list(self.db, &self.org, &api, None, 1).await?.pop();
        if newest
            .as_ref()
            .is_some_and(|newest| newest.digest == digest)
        {
            return Ok(());
        }
        let row = api_revision::Model {
            org: self.org.as_str().to_owned(),
            api,
            number: signed(newest.map_or(1, |newest| newest.number + 1)),
            digest: bytes(digest),
            document: document.to_string(),
            blob: blob.map(bytes),
            at_unix_ms: signed(self.at_unix_ms),
            actor: self.actor.clone(),
            revision: signed(self.revision),
        };
        api_revision::Entity::insert(row.into_active_model())
            .exec_without_returning(self.db)
            .await
            .map_err(database)?;
        self.changed = true;
        Ok(())
    }
}
