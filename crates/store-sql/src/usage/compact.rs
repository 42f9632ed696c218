//! Minutes become hours, hours become days, days go: one small transaction after the other.

use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use store::{Compacted, Result, Retention, Step};

use super::{Rows, add, from_row, step_number, write};
use crate::entity::{usage_boot, usage_row};
use crate::rows::{database, row_limit, signed};

/// Does one part of what is due, the finest step first.
pub(super) async fn part(
    db: &impl ConnectionTrait,
    now_unix_ms: u64,
    keep: &Retention,
) -> Result<Compacted> {
    let before = |kept_ms: u64| now_unix_ms.saturating_sub(kept_ms);
    let coarser = [
        (Step::Minute, Step::Hour, keep.minutes_ms),
        (Step::Hour, Step::Day, keep.hours_ms),
    ];
    for (from, to, kept_ms) in coarser {
        // A whole step of the coarser kind at a time: none is half of one kind and half of the other.
        let due = to.floor(before(kept_ms));
        let merged = merge(db, from, to, due, keep.rows_max).await?;
        if merged > 0 {
            return Ok(Compacted { merged, expired: 0 });
        }
    }
    let mut expired = expire(db, Step::Day.floor(before(keep.days_ms)), keep.rows_max).await?;
    if expired == 0 {
        expired = expire_boots(db, before(keep.hours_ms), keep).await?;
    }
    Ok(Compacted { merged: 0, expired })
}

async fn merge(
    db: &impl ConnectionTrait,
    from: Step,
    to: Step,
    before_unix_ms: u64,
    rows_max: u64,
) -> Result<u64> {
    let models = oldest(db, from, before_unix_ms, rows_max).await?;
    let mut rows = Rows::new();
    let mut ids = Vec::with_capacity(models.len());
    for model in models {
        ids.push(model.id.clone());
        let (at, key, counts) = from_row(model)?;
        add(&mut rows, to, to.floor(at), key, &counts);
    }
    write(db, rows).await?;
    delete(db, ids).await
}

async fn expire(db: &impl ConnectionTrait, before_unix_ms: u64, rows_max: u64) -> Result<u64> {
    let models = oldest(db, Step::Day, before_unix_ms, rows_max).await?;
    delete(db, models.into_iter().map(|model| model.id).collect()).await
}

async fn oldest(
    db: &impl ConnectionTrait,
    step: Step,
    before_unix_ms: u64,
    rows_max: u64,
) -> Result<Vec<usage_row::Model>> {
    usage_row::Entity::find()
        .filter(usage_row::Column::Step.eq(step_number(step)))
        .filter(usage_row::Column::AtUnixMs.lt(signed(before_unix_ms)))
        .order_by_asc(usage_row::Column::AtUnixMs)
        .limit(row_limit(rows_max))
        .all(db)
        .await
        .map_err(database)
}

async fn delete(db: &impl ConnectionTrait, ids: Vec<Vec<u8>>) -> Result<u64> {
    let mut deleted = 0;
    for part in ids.chunks(super::ROWS_PER_STATEMENT) {
        let done = usage_row::Entity::delete_many()
            .filter(usage_row::Column::Id.is_in(part.iter().cloned()))
            .exec(db)
            .await
            .map_err(database)?;
        deleted += done.rows_affected;
    }
    Ok(deleted)
}

/// Forgets the boots that were last heard of before this time, and the oldest ones beyond [`Retention::boots_max`].
async fn expire_boots(
    db: &impl ConnectionTrait,
    before_unix_ms: u64,
    keep: &Retention,
) -> Result<u64> {
    let too_many = usage_boot::Entity::find()
        .order_by_desc(usage_boot::Column::LatestUnixMs)
        .order_by_desc(usage_boot::Column::Epoch)
        .offset(row_limit(keep.boots_max))
        .limit(row_limit(keep.rows_max))
        .all(db)
        .await
        .map_err(database)?;
    let silent = usage_boot::Entity::find()
        .filter(usage_boot::Column::LatestUnixMs.lt(signed(before_unix_ms)))
        .limit(row_limit(keep.rows_max))
        .all(db)
        .await
        .map_err(database)?;
    let out = if too_many.is_empty() {
        silent
    } else {
        too_many
    };
    let mut deleted = 0;
    for boot in out {
        let done = usage_boot::Entity::delete_by_id((boot.node, boot.epoch))
            .exec(db)
            .await
            .map_err(database)?;
        deleted += done.rows_affected;
    }
    Ok(deleted)
}
