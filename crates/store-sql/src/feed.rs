//! The revision counter and the change feed.

use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use store::{ChangeKey, Changes, Result, StoreError};

use crate::entity::{change, counter};
use crate::rows::{database, from_change, row_limit, signed, to_change, unsigned};

/// The counter's only row.
const COUNTER: i32 = 1;

/// Rows of one INSERT: far below the databases' limit on parameters.
const ROWS_PER_INSERT: usize = 100;

/// The counter.
pub(crate) struct Counter {
    /// The newest revision.
    pub(crate) revision: u64,
    /// The feed has all changes after this revision.
    pub(crate) floor: u64,
}

fn read_counter(row: Option<&counter::Model>) -> Result<Counter> {
    let what = "the revision counter";
    let row = row.ok_or_else(|| StoreError::Corrupt(what.to_owned()))?;
    Ok(Counter {
        revision: unsigned(row.revision, what)?,
        floor: unsigned(row.feed_floor, what)?,
    })
}

pub(crate) async fn counter(db: &impl ConnectionTrait) -> Result<Counter> {
    let row = counter::Entity::find_by_id(COUNTER).one(db).await;
    read_counter(row.map_err(database)?.as_ref())
}

/// Moves the counter by `by` and returns where it stands then. The row stays locked until the transaction ends.
pub(crate) async fn counter_move(db: &impl ConnectionTrait, by: i64) -> Result<u64> {
    let moved = Expr::col(counter::Column::Revision).add(by);
    let rows = counter::Entity::update_many()
        .col_expr(counter::Column::Revision, moved)
        .filter(counter::Column::Id.eq(COUNTER))
        .exec_with_returning(db)
        .await
        .map_err(database)?;
    Ok(read_counter(rows.first())?.revision)
}

/// What changed after `since`.
///
/// Reads without a transaction and is right all the same: everything up to the counter is visible once the counter
/// shows it, and whatever was pruned between the first and the last query raised the floor before the last.
pub(crate) async fn changes_since(
    db: &impl ConnectionTrait,
    since: u64,
    limit: u64,
) -> Result<Changes> {
    let present = counter(db).await?.revision;
    let mut rows = rows_between(db, since, present, Some(limit.saturating_add(1))).await?;
    let mut upto = present;
    if rows.len() as u64 > limit {
        // The last row is one too many. Its revision may be cut by the limit, so it waits for the next call;
        // if it is the only one, it comes whole, however long it is.
        let cut = rows.last().map_or(0, |row| row.revision);
        rows.retain(|row| row.revision < cut);
        if rows.is_empty() {
            upto = unsigned(cut, "the change feed")?;
            rows = rows_between(db, upto - 1, upto, None).await?;
        } else {
            upto = unsigned(cut, "the change feed")? - 1;
        }
    }
    let floor = counter(db).await?.floor;
    if since > present || since < floor {
        return Ok(Changes {
            changes: Vec::new(),
            upto: present,
            reset: true,
        });
    }
    Ok(Changes {
        changes: rows.into_iter().map(from_change).collect::<Result<_>>()?,
        upto,
        reset: false,
    })
}

/// Rows of the revisions `after < revision <= upto`, in order.
async fn rows_between(
    db: &impl ConnectionTrait,
    after: u64,
    upto: u64,
    limit: Option<u64>,
) -> Result<Vec<change::Model>> {
    change::Entity::find()
        .filter(change::Column::Revision.gt(signed(after)))
        .filter(change::Column::Revision.lte(signed(upto)))
        .order_by_asc(change::Column::Revision)
        .order_by_asc(change::Column::Ordinal)
        .limit(limit.map(row_limit))
        .all(db)
        .await
        .map_err(database)
}

/// Writes the changes of one revision.
pub(crate) async fn append(
    db: &impl ConnectionTrait,
    revision: u64,
    keys: Vec<ChangeKey>,
) -> Result<()> {
    let mut rows = (0..)
        .zip(keys)
        .map(|(ordinal, key)| change::ActiveModel::from(to_change(revision, ordinal, key)));
    loop {
        let part: Vec<_> = rows.by_ref().take(ROWS_PER_INSERT).collect();
        if part.is_empty() {
            return Ok(());
        }
        change::Entity::insert_many(part)
            .exec_without_returning(db)
            .await
            .map_err(database)?;
    }
}

/// Forgets the oldest revisions so that at most `rows_max` rows stay.
pub(crate) async fn prune(db: &impl ConnectionTrait, rows_max: u64) -> Result<()> {
    let newest_to_go = change::Entity::find()
        .order_by_desc(change::Column::Revision)
        .order_by_desc(change::Column::Ordinal)
        .offset(row_limit(rows_max))
        .limit(1)
        .one(db)
        .await
        .map_err(database)?;
    let Some(row) = newest_to_go else {
        return Ok(());
    };
    change::Entity::delete_many()
        .filter(change::Column::Revision.lte(row.revision))
        .exec(db)
        .await
        .map_err(database)?;
    counter::Entity::update_many()
        .col_expr(counter::Column::FeedFloor, Expr::value(row.revision))
        .filter(counter::Column::Id.eq(COUNTER))
        .exec(db)
        .await
        .map_err(database)?;
    Ok(())
}
