//! Who changed what, and when.

use axum::extract::State;
use base::code;
use store::{HistoryEntry, HistoryFilter, HistoryKind, RecordKind, Role};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::documents::{cut, limit};
use super::{AuditAction, AuditEntry, AuditParams, FieldChange, List};
use crate::Control;
use crate::http::{ApiError, ApiResult, Caller, Json, Params};

/// What a publisher is told of: what publishers change. An admin is told of everything.
pub(super) const OF_PUBLISHERS: [HistoryKind; 2] = [
    HistoryKind::Record(RecordKind::Api),
    HistoryKind::Record(RecordKind::Backend),
];

pub(super) fn router() -> OpenApiRouter<Control> {
    OpenApiRouter::new().routes(routes!(audit))
}

/// List changes
///
/// An admin sees every change in the organisation, a publisher those of APIs and backends.
#[utoipa::path(get, path = "/audit", operation_id = "audit", tag = "audit", params(AuditParams),
    responses((status = 200, description = "Newest first", body = List<AuditEntry>)))]
async fn audit(
    State(control): State<Control>,
    caller: Caller,
    Params(params): Params<AuditParams>,
) -> ApiResult<Json<List<AuditEntry>>> {
    caller.require(&[Role::Publisher])?;
    let limit = limit(&control, params.limit)?;
    let filter = HistoryFilter {
        kinds: kinds(&caller, params.kind.as_deref())?,
        name: params.name,
        actor: params.actor,
        since_unix_ms: params.since_unix_ms,
        until_unix_ms: params.until_unix_ms,
        revision: params.revision,
        later_than: None,
        before: params.after.as_deref().map(place).transpose()?,
        limit: limit + 1,
    };
    let mut entries = control.store().history_list(&caller.org, &filter).await?;
    let next = cut(&mut entries, limit, |last| {
        format!("{}.{}", last.revision, last.ordinal)
    });
    let items = entries.into_iter().map(told).collect();
    Ok(Json(List { items, next }))
}

/// The kinds that the caller may see of those that are asked for.
fn kinds(caller: &Caller, wanted: Option<&str>) -> ApiResult<Vec<HistoryKind>> {
    let wanted = wanted.map(|name| {
        HistoryKind::parse(name).ok_or_else(|| {
            let known = HistoryKind::ALL.map(HistoryKind::as_str).join(", ");
            ApiError::bad_request(format!("`{name}` is no kind; kinds are {known}"))
        })
    });
    match wanted.transpose()? {
        Some(kind) if caller.is(Role::Admin) || OF_PUBLISHERS.contains(&kind) => Ok(vec![kind]),
        Some(kind) => Err(ApiError::new(
            code::FORBIDDEN,
            format!("changes of kind {} are for admins", kind.as_str()),
        )),
        None if caller.is(Role::Admin) => Ok(Vec::new()),
        None => Ok(OF_PUBLISHERS.to_vec()),
    }
}

/// The last entry of the part before: `revision.ordinal`.
fn place(after: &str) -> ApiResult<(u64, u64)> {
    let read =
        |(revision, ordinal): (&str, &str)| Some((revision.parse().ok()?, ordinal.parse().ok()?));
    let place = after.split_once('.').and_then(read);
    place.ok_or_else(|| ApiError::bad_request("`after` is the `next` of the part before"))
}

fn told(entry: HistoryEntry) -> AuditEntry {
    let fields = spec::diff_json(entry.before.as_ref(), entry.after.as_ref());
    // Of changes that are older than the record of definitions nothing is known.
    let both = entry.before.is_some() && entry.after.is_some();
    let definition_changed = both && entry.before_blob != entry.after_blob;
    AuditEntry {
        revision: entry.revision,
        at_unix_ms: entry.at_unix_ms,
        action: action(&entry, &fields, definition_changed),
        actor: entry.actor,
        request: entry.request,
        kind: entry.kind.as_str().to_owned(),
        name: entry.name,
        fields: fields.into_iter().map(FieldChange::from).collect(),
        definition_changed,
    }
}

fn action(
    entry: &HistoryEntry,
    fields: &[spec::FieldChange],
    definition_changed: bool,
) -> AuditAction {
    let only = |places: &[&str]| {
        entry.kind == HistoryKind::Record(RecordKind::Api)
            && !definition_changed
            && !fields.is_empty()
            && fields
                .iter()
                .all(|field| places.iter().any(|place| field.pointer.starts_with(place)))
    };
    match (&entry.before, &entry.after) {
        (None, _) if entry.kind == HistoryKind::Token => AuditAction::Revoked,
        (None, _) => AuditAction::Created,
        (_, None) => AuditAction::Deleted,
        _ if only(&["/spec/deployments"]) => AuditAction::Deployed,
        _ if only(&["/spec/lifecycle", "/spec/sunset"]) => AuditAction::Moved,
        _ => AuditAction::Changed,
    }
}
