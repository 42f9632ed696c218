//! Usage: rows that are added to, questions over them, and their compaction.
//!
//! Counts and sketches are read, merged here and written back, so writers must not overlap: each of their
//! transactions moves the row of `usage_turn` first, and whoever else writes usage waits there. On SQLite there is
//! one writer anyway.

mod boots;
mod compact;
mod keys;
mod query;

use std::collections::BTreeMap;

use async_trait::async_trait;
use base::{Digest, Org};
use sea_orm::sea_query::{Expr, ExprTrait, OnConflict};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, IntoActiveModel, QueryFilter,
    QuerySelect, SqliteTransactionMode, TransactionOptions, TransactionTrait,
};
use store::{
    Boot, Compacted, Put, Result, Retention, Step, StoreError, UsageAnswer, UsageQuery, UsageStore,
};
use usage::{Batch, Counts, Key, Sketch, StatusClass};

use crate::SqlStore;
use crate::entity::{usage_row, usage_turn};
use crate::rows::{database, signed, unsigned};

/// Rows of one statement: far below the databases' limit on parameters.
const ROWS_PER_STATEMENT: usize = 100;

#[async_trait]
impl UsageStore for SqlStore {
    async fn usage_put(&self, batch: &Batch, now_unix_ms: u64) -> Result<Put> {
        let db = begin(self).await?;
        let put = put(&db, batch, now_unix_ms).await;
        end(db, put).await
    }

    async fn usage_query(&self, org: &Org, query: &UsageQuery) -> Result<UsageAnswer> {
        query::answer(&self.readers, org, query).await
    }

    async fn usage_compact(&self, now_unix_ms: u64, keep: &Retention) -> Result<Compacted> {
        let db = begin(self).await?;
        let done = compact::part(&db, now_unix_ms, keep).await;
        end(db, done).await
    }

    async fn usage_boots(&self, limit: u64) -> Result<Vec<Boot>> {
        boots::list(&self.readers, limit).await
    }
}

/// A transaction that no other writer of usage overlaps.
async fn begin(store: &SqlStore) -> Result<DatabaseTransaction> {
    let options = TransactionOptions {
        sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
        ..TransactionOptions::default()
    };
    let db = store
        .writer
        .begin_with_options(options)
        .await
        .map_err(database)?;
    usage_turn::Entity::update_many()
        .col_expr(
            usage_turn::Column::Turn,
            Expr::col(usage_turn::Column::Turn).add(1),
        )
        .exec(&db)
        .await
        .map_err(database)?;
    Ok(db)
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

async fn put(db: &DatabaseTransaction, batch: &Batch, now_unix_ms: u64) -> Result<Put> {
    if boots::note(db, batch, now_unix_ms).await? == Put::Known {
        return Ok(Put::Known);
    }
    let at = Step::Minute.floor(batch.from_unix_ms);
    let mut rows = Rows::new();
    for row in &batch.rows {
        add(&mut rows, Step::Minute, at, row.key.clone(), &row.counts);
    }
    write(db, rows).await?;
    keys::note(db, batch).await?;
    Ok(Put::Stored)
}

/// What a row differs in from others.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    step: Step,
    at_unix_ms: u64,
    key: Key,
}

type Rows = BTreeMap<Place, Counts>;

fn add(rows: &mut Rows, step: Step, at_unix_ms: u64, key: Key, counts: &Counts) {
    let place = Place {
        step,
        at_unix_ms,
        key,
    };
    rows.entry(place).or_default().merge(counts);
}

impl Place {
    fn id(&self) -> Vec<u8> {
        let Key {
            org,
            environment,
            api,
            operation,
            application,
            plan,
            status,
        } = &self.key;
        let texts = [org.as_str(), environment, api, operation, application, plan];
        // JSON keeps the texts apart, whatever they hold.
        let all = (
            step_number(self.step),
            self.at_unix_ms,
            texts,
            status.digit(),
        );
        let text = serde_json::to_vec(&all).expect("numbers and texts are JSON");
        Digest::of(&text).as_bytes().to_vec()
    }
}

/// Adds to the rows that are there, and writes those that are not.
async fn write(db: &impl ConnectionTrait, rows: Rows) -> Result<()> {
    let mut rows = rows.into_iter();
    loop {
        let mut part: BTreeMap<Vec<u8>, (Place, Counts)> = rows
            .by_ref()
            .take(ROWS_PER_STATEMENT)
            .map(|(place, counts)| (place.id(), (place, counts)))
            .collect();
        if part.is_empty() {
            return Ok(());
        }
        for (id, present) in there(db, part.keys().cloned()).await? {
            if let Some((_, counts)) = part.get_mut(&id) {
                counts.merge(&present);
            }
        }
        let models = part
            .into_iter()
            .map(|(id, (place, counts))| to_row(id, place, &counts).into_active_model());
        let mut replace = OnConflict::column(usage_row::Column::Id);
        replace.update_columns([
            usage_row::Column::Requests,
            usage_row::Column::BytesIn,
            usage_row::Column::BytesOut,
            usage_row::Column::Gateway,
            usage_row::Column::Backend,
        ]);
        usage_row::Entity::insert_many(models)
            .on_conflict(replace)
            .exec_without_returning(db)
            .await
            .map_err(database)?;
    }
}

/// What was counted in those of these rows that are there. Their keys are not read: a busy node writes thousands of rows a
/// second.
async fn there(
    db: &impl ConnectionTrait,
    ids: impl Iterator<Item = Vec<u8>>,
) -> Result<Vec<(Vec<u8>, Counts)>> {
    type Found = (Vec<u8>, i64, i64, i64, Vec<u8>, Vec<u8>);
    let found: Vec<Found> = usage_row::Entity::find()
        .select_only()
        .columns([
            usage_row::Column::Id,
            usage_row::Column::Requests,
            usage_row::Column::BytesIn,
            usage_row::Column::BytesOut,
            usage_row::Column::Gateway,
            usage_row::Column::Backend,
        ])
        .filter(usage_row::Column::Id.is_in(ids))
        .into_tuple()
        .all(db)
        .await
        .map_err(database)?;
    found
        .into_iter()
        .map(|(id, requests, bytes_in, bytes_out, gateway, backend)| {
            let counts = counts((requests, bytes_in, bytes_out), (&gateway, &backend))?;
            Ok((id, counts))
        })
        .collect()
}

/// Requests, bytes in and bytes out, and both sketches, as they are stored.
fn counts(
    (requests, bytes_in, bytes_out): (i64, i64, i64),
    (gateway, backend): (&[u8], &[u8]),
) -> Result<Counts> {
    let sketch = |bytes: &[u8]| Sketch::read(bytes).map_err(|_| corrupt());
    Ok(Counts {
        requests: unsigned(requests, ROW)?,
        bytes_in: unsigned(bytes_in, ROW)?,
        bytes_out: unsigned(bytes_out, ROW)?,
        gateway: sketch(gateway)?,
        backend: sketch(backend)?,
    })
}

/// What is said to be damaged.
const ROW: &str = "a row of usage";

fn corrupt() -> StoreError {
    StoreError::Corrupt(ROW.to_owned())
}

fn step_number(step: Step) -> i64 {
    match step {
        Step::Minute => 0,
        Step::Hour => 1,
        Step::Day => 2,
    }
}

fn to_row(id: Vec<u8>, place: Place, counts: &Counts) -> usage_row::Model {
    usage_row::Model {
        id,
        step: step_number(place.step),
        at_unix_ms: signed(place.at_unix_ms),
        org: place.key.org.as_str().to_owned(),
        environment: place.key.environment,
        api: place.key.api,
        operation: place.key.operation,
        application: place.key.application,
        plan: place.key.plan,
        status: place.key.status.digit().into(),
        requests: signed(counts.requests),
        bytes_in: signed(counts.bytes_in),
        bytes_out: signed(counts.bytes_out),
        gateway: counts.gateway.write(),
        backend: counts.backend.write(),
    }
}

/// When a row begins, what it is of, and what was counted.
fn from_row(model: usage_row::Model) -> Result<(u64, Key, Counts)> {
    let counts = counts(
        (model.requests, model.bytes_in, model.bytes_out),
        (&model.gateway, &model.backend),
    )?;
    let status = u8::try_from(model.status)
        .ok()
        .and_then(StatusClass::from_digit);
    let key = Key {
        org: Org::new(&model.org),
        environment: model.environment,
        api: model.api,
        operation: model.operation,
        application: model.application,
        plan: model.plan,
        status: status.ok_or_else(corrupt)?,
    };
    Ok((unsigned(model.at_unix_ms, ROW)?, key, counts))
}
