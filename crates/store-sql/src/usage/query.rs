//! Questions: rows are read in one statement, which is one moment of the database, and put together here.

use std::collections::BTreeMap;

use base::Org;
use futures_util::TryStreamExt as _;
use sea_orm::{ColumnTrait, Condition, DatabaseConnection, EntityTrait, QueryFilter, QuerySelect};
use store::{Dimension, GroupKey, Result, Step, UsageAnswer, UsageGroup, UsageQuery};
use usage::{Counts, Key};

use super::{from_row, step_number};
use crate::entity::usage_row::{self, Column};
use crate::rows::{database, row_limit, signed};

pub(super) async fn answer(
    db: &DatabaseConnection,
    org: &Org,
    query: &UsageQuery,
) -> Result<UsageAnswer> {
    let rows = usage_row::Entity::find()
        .filter(condition(org, query))
        // One more than is read: it tells that there are more.
        .limit(row_limit(query.rows_max.saturating_add(1)));
    let mut rows = rows.stream(db).await.map_err(database)?;
    let (mut groups, mut read) = (BTreeMap::new(), 0_u64);
    let cut = loop {
        let Some(model) = rows.try_next().await.map_err(database)? else {
            break false;
        };
        read += 1;
        if read > query.rows_max {
            break true;
        }
        let (at, key, counts) = from_row(model)?;
        put(&mut groups, group_key(query, at, &key), &key, &counts);
        if groups.len() > query.groups_max {
            break true;
        }
    };
    Ok(UsageAnswer {
        groups: groups.into_values().collect(),
        cut,
    })
}

fn condition(org: &Org, query: &UsageQuery) -> Condition {
    let begins = Step::ALL.into_iter().fold(Condition::any(), |any, step| {
        let from = signed(step.floor(query.from_unix_ms));
        let of_step = Column::Step.eq(step_number(step));
        any.add(
            Condition::all()
                .add(of_step)
                .add(Column::AtUnixMs.gte(from)),
        )
    });
    // The day is the longest step: nothing before it can be wanted, and the index is over one range.
    let earliest = signed(Step::Day.floor(query.from_unix_ms));
    let text = |column: Column, value: &Option<String>| {
        value.as_ref().map(|value| column.eq(value.as_str()))
    };
    Condition::all()
        .add(Column::Org.eq(org.as_str()))
        .add(Column::AtUnixMs.gte(earliest))
        .add(Column::AtUnixMs.lt(signed(query.to_unix_ms)))
        .add(begins)
        .add_option(text(Column::Api, &query.api))
        .add_option(text(Column::Operation, &query.operation))
        .add_option(text(Column::Plan, &query.plan))
        .add_option(text(Column::Environment, &query.environment))
        .add_option(
            query
                .status
                .map(|status| Column::Status.eq(i64::from(status.digit()))),
        )
        .add_option(
            query
                .applications
                .as_ref()
                .map(|ids| Column::Application.is_in(ids.iter().map(String::as_str))),
        )
}

fn group_key(query: &UsageQuery, at_unix_ms: u64, key: &Key) -> GroupKey {
    let by = |dimension, text: &String| query.by.contains(&dimension).then(|| text.clone());
    GroupKey {
        at_unix_ms: query.step.map(|step| step.floor(at_unix_ms)),
        api: by(Dimension::Api, &key.api),
        operation: by(Dimension::Operation, &key.operation),
        application: by(Dimension::Application, &key.application),
        plan: by(Dimension::Plan, &key.plan),
        status: query.by.contains(&Dimension::Status).then_some(key.status),
        environment: by(Dimension::Environment, &key.environment),
    }
}

fn put(groups: &mut BTreeMap<GroupKey, UsageGroup>, to: GroupKey, key: &Key, counts: &Counts) {
    let group = groups.entry(to).or_insert_with_key(|key| UsageGroup {
        key: key.clone(),
        ..UsageGroup::default()
    });
    group.counts.merge(counts);
    match key.status.digit() {
        4 => group.client_errors += counts.requests,
        5 => group.server_errors += counts.requests,
        _ => {}
    }
}
