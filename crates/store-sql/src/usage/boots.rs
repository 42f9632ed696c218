//! The boots of nodes: what makes a batch count once, and what the reconciliation tells.

use sea_orm::{
    ActiveModelTrait, ConnectionTrait, EntityTrait, IntoActiveModel, QueryOrder, QuerySelect,
};
use store::{Boot, End, Put, Result, StoreError};
use usage::{Batch, Epoch, Unclean};

use crate::entity::usage_boot;
use crate::rows::{database, row_limit, signed, unsigned};

const OPEN: i64 = 0;
const CLEAN: i64 = 1;
const UNCLEAN: i64 = 2;

/// Notes that a batch is there; [`Put::Known`] when it was noted before.
pub(super) async fn note(
    db: &impl ConnectionTrait,
    batch: &Batch,
    now_unix_ms: u64,
) -> Result<Put> {
    let now = signed(now_unix_ms);
    let found = find(db, &batch.node, batch.epoch).await?;
    let new = found.is_none();
    let mut boot = found.unwrap_or_else(|| unheard(&batch.node, batch.epoch, now));
    if signed(batch.sequence) <= boot.sequence {
        return Ok(Put::Known);
    }
    boot.sequence = signed(batch.sequence);
    boot.batches += 1;
    boot.requests += signed(batch.requests());
    boot.sent_requests = signed(batch.sent_requests);
    boot.lost_batches = signed(batch.lost.batches);
    boot.lost_requests = signed(batch.lost.requests);
    boot.latest_unix_ms = now;
    if batch.last {
        boot.end_kind = CLEAN;
    }
    write(db, boot, new).await?;
    if let Some(Unclean { epoch, sequence }) = batch.unclean {
        let found = find(db, &batch.node, epoch).await?;
        let new = found.is_none();
        let mut boot = found.unwrap_or_else(|| unheard(&batch.node, epoch, now));
        boot.end_kind = UNCLEAN;
        boot.end_sequence = signed(sequence);
        write(db, boot, new).await?;
    }
    Ok(Put::Stored)
}

async fn find(
    db: &impl ConnectionTrait,
    node: &str,
    epoch: Epoch,
) -> Result<Option<usage_boot::Model>> {
    usage_boot::Entity::find_by_id((node.to_owned(), epoch.to_string()))
        .one(db)
        .await
        .map_err(database)
}

/// A start of which nothing has come yet.
fn unheard(node: &str, epoch: Epoch, now: i64) -> usage_boot::Model {
    usage_boot::Model {
        node: node.to_owned(),
        epoch: epoch.to_string(),
        sequence: 0,
        batches: 0,
        requests: 0,
        sent_requests: 0,
        lost_batches: 0,
        lost_requests: 0,
        first_unix_ms: now,
        latest_unix_ms: now,
        end_kind: OPEN,
        end_sequence: 0,
    }
}

async fn write(db: &impl ConnectionTrait, boot: usage_boot::Model, new: bool) -> Result<()> {
    let row = boot.into_active_model();
    if new {
        usage_boot::Entity::insert(row)
            .exec_without_returning(db)
            .await
            .map_err(database)?;
    } else {
        usage_boot::Entity::update(row.reset_all())
            .exec(db)
            .await
            .map_err(database)?;
    }
    Ok(())
}

/// The boots that were heard of last come first; of the same moment, the later start.
pub(super) async fn list(db: &impl ConnectionTrait, limit: u64) -> Result<Vec<Boot>> {
    usage_boot::Entity::find()
        .order_by_desc(usage_boot::Column::LatestUnixMs)
        .order_by_desc(usage_boot::Column::Epoch)
        .limit(row_limit(limit))
        .all(db)
        .await
        .map_err(database)?
        .into_iter()
        .map(from_boot)
        .collect()
}

fn from_boot(model: usage_boot::Model) -> Result<Boot> {
    let what = format!("a boot of node {}", model.node);
    let corrupt = || StoreError::Corrupt(what.clone());
    let number = |number| unsigned(number, &what);
    Ok(Boot {
        epoch: model.epoch.parse().map_err(|_| corrupt())?,
        sequence: number(model.sequence)?,
        batches: number(model.batches)?,
        requests: number(model.requests)?,
        sent_requests: number(model.sent_requests)?,
        lost_batches: number(model.lost_batches)?,
        lost_requests: number(model.lost_requests)?,
        first_unix_ms: number(model.first_unix_ms)?,
        latest_unix_ms: number(model.latest_unix_ms)?,
        end: match model.end_kind {
            OPEN => End::Open,
            CLEAN => End::Clean,
            UNCLEAN => End::Unclean {
                sequence: number(model.end_sequence)?,
            },
            _ => return Err(corrupt()),
        },
        node: model.node,
    })
}
