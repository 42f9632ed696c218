//! The nodes of all control processes.

use async_trait::async_trait;
use sea_orm::sea_query::OnConflict;
use sea_orm::{ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder};
use store::{NodeRecord, NodeStore, Result};

use crate::SqlStore;
use crate::entity::node::{self, Column};
use crate::rows::{bytes, database, digest, json, signed, unsigned};

fn to_node(node: &NodeRecord) -> node::Model {
    node::Model {
        id: node.id.clone(),
        gateway: node.gateway.clone(),
        control: node.control.clone(),
        lease_until_unix_ms: signed(node.lease_until_unix_ms),
        revision: node.revision.map(signed),
        digest: node.digest.map(bytes),
        report: node.report.to_string(),
    }
}

fn from_node(model: node::Model) -> Result<NodeRecord> {
    let what = format!("node {}", model.id);
    Ok(NodeRecord {
        lease_until_unix_ms: unsigned(model.lease_until_unix_ms, &what)?,
        revision: model
            .revision
            .map(|revision| unsigned(revision, &what))
            .transpose()?,
        digest: model
            .digest
            .map(|bytes| digest(&bytes, &what))
            .transpose()?,
        report: json(&model.report, &what)?,
        id: model.id,
        gateway: model.gateway,
        control: model.control,
    })
}

#[async_trait]
impl NodeStore for SqlStore {
    async fn node_put(&self, nodes: &[NodeRecord]) -> Result<()> {
        if nodes.is_empty() {
            return Ok(());
        }
        let rows = nodes.iter().map(|node| to_node(node).into_active_model());
        let replace = OnConflict::column(Column::Id)
            .update_columns([
                Column::Gateway,
                Column::Control,
                Column::LeaseUntilUnixMs,
                Column::Revision,
                Column::Digest,
                Column::Report,
            ])
            .to_owned();
        // One statement: all or none, without a transaction of our own.
        node::Entity::insert_many(rows)
            .on_conflict(replace)
            .exec_without_returning(&self.writer)
            .await
            .map_err(database)?;
        Ok(())
    }

    async fn node_list(&self) -> Result<Vec<NodeRecord>> {
        node::Entity::find()
            .order_by_asc(Column::Id)
            .all(&self.readers)
            .await
            .map_err(database)?
            .into_iter()
            .map(from_node)
            .collect()
    }

    async fn node_expire(&self, before_unix_ms: u64) -> Result<()> {
        node::Entity::delete_many()
            .filter(Column::LeaseUntilUnixMs.lt(signed(before_unix_ms)))
            .exec(&self.writer)
            .await
            .map_err(database)?;
        Ok(())
    }
}
