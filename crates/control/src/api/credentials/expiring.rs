//! What ends soon.

use std::collections::HashMap;

use axum::extract::State;
use base::ApplicationId;
use store::{Filter, Page, RecordKind, Role};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::item;
use crate::Control;
use crate::api::documents::limit;
use crate::api::{CredentialItem, ExpiringParams, List, NoticeItem, PartParams};
use crate::http::{Action, ApiError, ApiResult, Caller, Json, Params};

/// How far ahead is looked, unless the caller says.
const WITHIN_S: u64 = 14 * 24 * 60 * 60;

pub(super) fn router() -> OpenApiRouter<Control> {
    OpenApiRouter::new()
        .routes(routes!(expiring))
        .routes(routes!(notices))
}

/// List clients and API keys that end soon
///
/// Of all applications that the caller may change: those that end, or one of whose secrets ends; by default within 14
/// days.
#[utoipa::path(get, path = "/credentials", operation_id = "credential_list_expiring", tag = "credentials",
    params(ExpiringParams),
    responses((status = 200, description = "Without secrets, oldest first", body = List<CredentialItem>)))]
async fn expiring(
    State(control): State<Control>,
    caller: Caller,
    Params(params): Params<ExpiringParams>,
) -> ApiResult<Json<List<CredentialItem>>> {
    caller.require_for(RecordKind::Application, Action::Write)?;
    let filter = Filter {
        owner: caller.owner_filter().map(str::to_owned),
        ..Filter::default()
    };
    let kind = RecordKind::Application;
    let own = control
        .store()
        .record_list(&caller.org, kind, &filter, &Page::ALL);
    let names: HashMap<ApplicationId, String> = own
        .await?
        .into_iter()
        .map(|record| (ApplicationId(record.id), record.name))
        .collect();
    let now = control.clock().unix_s();
    let until = now.saturating_add(params.expiring_in.unwrap_or(WITHIN_S));
    let found = control
        .store()
        .credential_list_ending(&caller.org, now, until)
        .await?;
    let items = found
        .iter()
        .filter_map(|credential| {
            Some(CredentialItem {
                application: Some(names.get(&credential.application)?.clone()),
                ..item(credential)
            })
        })
        .collect();
    Ok(Json(List { items, next: None }))
}

/// List notices of what is going to happen
#[utoipa::path(get, path = "/notices", operation_id = "notice_list", tag = "credentials",
    params(PartParams),
    responses((status = 200, description = "Oldest first; `next` is what to pass as `after`", body = List<NoticeItem>)))]
async fn notices(
    State(control): State<Control>,
    caller: Caller,
    Params(params): Params<PartParams>,
) -> ApiResult<Json<List<NoticeItem>>> {
    caller.require(&[Role::Admin])?;
    let after = params.after.as_deref().map(str::parse).transpose();
    let after = after.map_err(|_| ApiError::bad_request("`after` is no id of a notice"))?;
    let limit = limit(&control, params.limit)?;
    let found = control
        .store()
        .notice_list(&caller.org, after, limit)
        .await?;
    let items: Vec<NoticeItem> = found
        .into_iter()
        .map(|notice| NoticeItem {
            id: notice.id.to_string(),
            kind: notice.kind,
            subject: notice.subject,
            due_unix_s: notice.due_unix_s,
            at_unix_ms: notice.at_unix_ms,
            body: notice.body,
        })
        .collect();
    let next = items.last().map(|item| item.id.clone());
    Ok(Json(List { items, next }))
}
