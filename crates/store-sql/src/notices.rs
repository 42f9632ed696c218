//! Notices: each is noted once.

use async_trait::async_trait;
use base::Org;
use sea_orm::sea_query::{Order, Query};
use sea_orm::{
    ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, QuerySelect, QueryTrait,
};
use store::{Notice, NoticeStore, Result};
use uuid::Uuid;

use crate::SqlStore;
use crate::entity::notice::{self, Column};
use crate::rows::{database, json, row_limit, signed, unsigned};

fn from_notice(model: notice::Model) -> Result<Notice> {
    let what = format!("notice {}", model.id);
    Ok(Notice {
        id: model.id,
        org: Org::new(&model.org),
        due_unix_s: unsigned(model.due_unix_s, &what)?,
        at_unix_ms: unsigned(model.at_unix_ms, &what)?,
        body: json(&model.body, &what)?,
        kind: model.kind,
        subject: model.subject,
    })
}

#[async_trait]
impl NoticeStore for SqlStore {
    async fn notice_put(&self, notices: Vec<Notice>) -> Result<Vec<Notice>> {
        let mut new = Vec::new();
        for notice in notices {
            let row = notice::Model {
                id: notice.id,
                org: notice.org.as_str().to_owned(),
                kind: notice.kind.clone(),
                subject: notice.subject.clone(),
                due_unix_s: signed(notice.due_unix_s),
                at_unix_ms: signed(notice.at_unix_ms),
                body: notice.body.to_string(),
            };
            let rows = notice::Entity::insert(row.into_active_model())
                .on_conflict_do_nothing_on([
                    Column::Org,
                    Column::Kind,
                    Column::Subject,
                    Column::DueUnixS,
                ])
                .exec_without_returning(&self.writer)
                .await
                .map_err(database)?;
            if matches!(rows, sea_orm::TryInsertResult::Inserted(1..)) {
                new.push(notice);
            }
        }
        Ok(new)
    }

    async fn notice_list(&self, org: &Org, after: Option<Uuid>, limit: u64) -> Result<Vec<Notice>> {
        notice::Entity::find()
            .filter(Column::Org.eq(org.as_str()))
            .apply_if(after, |query, after| query.filter(Column::Id.gt(after)))
            .order_by_asc(Column::Id)
            .limit(row_limit(limit))
            .all(&self.readers)
            .await
            .map_err(database)?
            .into_iter()
            .map(from_notice)
            .collect()
    }

    async fn notices_expire(&self, before_unix_s: u64, limit: u64) -> Result<u64> {
        let oldest = Query::select()
            .column(Column::Id)
            .from(notice::Entity)
            .and_where(Column::DueUnixS.lt(signed(before_unix_s)))
            .order_by(Column::DueUnixS, Order::Asc)
            .limit(row_limit(limit))
            .take();
        let deleted = notice::Entity::delete_many()
            .filter(Column::Id.in_subquery(oldest))
            .exec(&self.writer)
            .await
            .map_err(database)?;
        Ok(deleted.rows_affected)
    }
}
