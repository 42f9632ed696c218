//! Usage: what was called, and whether all that nodes sent is stored.

pub(super) mod bodies;

use std::collections::HashMap;

use axum::extract::State;
use base::ApplicationId;
use spec::Duration;
use store::{
    Boot, Dimension, End, Filter, Page, RecordKind, Role, UsageAnswer, UsageGroup, UsageQuery,
};
use usage::{Counts, Sketch};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::bodies::{
    BootEnd, BootItem, Latency, Reconciliation, UsageItem, UsageParams, UsageReport,
};
use super::documents::visible;
use crate::Control;
use crate::http::{ApiError, ApiResult, Caller, Json, Params};

/// What is looked at when the caller names no time.
const SINCE_DEFAULT_MS: u64 = 3_600_000;
/// Boots of nodes that a reconciliation lists, the latest ones.
const BOOTS_MAX: u64 = 1_000;

pub(super) fn router() -> OpenApiRouter<Control> {
    OpenApiRouter::new()
        .routes(routes!(report))
        .routes(routes!(reconciliation))
}

/// What was called
///
/// Subscribers see the calls of their own applications; publishers and admins those of the whole organisation.
#[utoipa::path(get, path = "/usage", operation_id = "usage_get", tag = "usage", params(UsageParams),
    responses((status = 200, description = "The groups and their total", body = UsageReport)))]
async fn report(
    State(control): State<Control>,
    caller: Caller,
    Params(params): Params<UsageParams>,
) -> ApiResult<Json<UsageReport>> {
    caller.require(&[Role::Publisher, Role::Subscriber])?;
    let query = query(&control, &caller, &params).await?;
    let found = control.usage().usage_query(&caller.org, &query).await?;
    if found.cut {
        return Err(ApiError::bad_request(format!(
            "the answer is made of more than {} stored rows or {} groups: ask for a shorter time, a longer step, or \
             less to group by",
            query.rows_max, query.groups_max
        )));
    }
    let names = if query.by.contains(&Dimension::Application) {
        applications(&control, &caller).await?
    } else {
        HashMap::new()
    };
    Ok(Json(written(&query, found, &names)))
}

/// Whether all usage that nodes sent is stored
///
/// One line for each start of a node, the latest ones first. `difference` is 0 when nothing is missing.
#[utoipa::path(get, path = "/usage/reconciliation", operation_id = "usage_reconcile", tag = "usage",
    responses((status = 200, description = "Sent and stored, by node and start", body = Reconciliation)))]
async fn reconciliation(
    State(control): State<Control>,
    caller: Caller,
) -> ApiResult<Json<Reconciliation>> {
    // Nodes belong to the platform, not to an organisation.
    caller.require(&[Role::Admin])?;
    let boots = control.usage().usage_boots(BOOTS_MAX).await?;
    let items: Vec<BootItem> = boots.into_iter().map(boot).collect();
    let sum = |count: fn(&BootItem) -> u64| items.iter().map(count).sum::<u64>();
    let (sent_requests, stored_requests) = (
        sum(|item| item.sent_requests),
        sum(|item| item.stored_requests),
    );
    Ok(Json(Reconciliation {
        sent_requests,
        stored_requests,
        difference: difference(sent_requests, stored_requests),
        lost_requests: sum(|item| item.lost_requests),
        unclean_boots: sum(|item| u64::from(item.end == BootEnd::Unclean)),
        items,
    }))
}

fn difference(sent: u64, stored: u64) -> i64 {
    let signed = |number| i64::try_from(number).unwrap_or(i64::MAX);
    signed(sent) - signed(stored)
}

fn boot(boot: Boot) -> BootItem {
    let (end, found_sequence) = match boot.end {
        End::Open => (BootEnd::Open, None),
        End::Clean => (BootEnd::Clean, None),
        End::Unclean { sequence } => (BootEnd::Unclean, Some(sequence)),
    };
    BootItem {
        node: boot.node,
        epoch: boot.epoch.to_string(),
        first_unix_ms: boot.first_unix_ms,
        latest_unix_ms: boot.latest_unix_ms,
        end,
        found_sequence,
        sequence: boot.sequence,
        stored_batches: boot.batches,
        missing_batches: boot.sequence.saturating_sub(boot.batches),
        sent_requests: boot.sent_requests,
        stored_requests: boot.requests,
        difference: difference(boot.sent_requests, boot.requests),
        lost_batches: boot.lost_batches,
        lost_requests: boot.lost_requests,
    }
}

async fn query(control: &Control, caller: &Caller, params: &UsageParams) -> ApiResult<UsageQuery> {
    let (from_unix_ms, to_unix_ms) = times(control.clock().unix_ms(), params)?;
    let api = match &params.api {
        Some(api) => Some(api_name(control, caller, api).await?),
        None => None,
    };
    let status = match &params.status {
        Some(text) => Some(
            text.parse()
                .map_err(|error| ApiError::bad_request(format!("`status`: {error}")))?,
        ),
        None => None,
    };
    let config = control.config();
    Ok(UsageQuery {
        from_unix_ms,
        to_unix_ms,
        api,
        operation: params.operation.clone(),
        applications: callers(control, caller, params.application.as_deref()).await?,
        plan: params.plan.clone(),
        status,
        environment: params.environment.clone(),
        by: params.group_by()?,
        step: params.step,
        rows_max: config.usage_rows_max,
        groups_max: config.usage_groups_max,
    })
}

/// From when, and before when.
fn times(now_ms: u64, params: &UsageParams) -> ApiResult<(u64, u64)> {
    let time = |name: &str, text: &Option<String>| {
        let read = |text: &String| -> ApiResult<u64> {
            let time: jiff::Timestamp = text.parse().map_err(|_| {
                ApiError::bad_request(format!("`{name}` is no time such as 2026-01-31T12:00:00Z"))
            })?;
            Ok(u64::try_from(time.as_millisecond()).unwrap_or(0))
        };
        text.as_ref().map(read).transpose()
    };
    let to = time("to", &params.to)?.unwrap_or_else(|| now_ms.saturating_add(1));
    let from = match (time("from", &params.from)?, &params.since) {
        (Some(_), Some(_)) => {
            return Err(ApiError::bad_request(
                "`since` and `from` exclude each other",
            ));
        }
        (Some(from), None) => from,
        (None, since) => {
            let length = match since {
                Some(text) => text
                    .parse::<Duration>()
                    .map_err(|error| ApiError::bad_request(format!("`since`: {error}")))?
                    .as_ms(),
                None => SINCE_DEFAULT_MS,
            };
            to.saturating_sub(length)
        }
    };
    if from >= to {
        return Err(ApiError::bad_request("`from` is not before `to`"));
    }
    Ok((from, to))
}

/// An API by its document's name, or by `NAME:VERSION`. One that is gone can still be named by its document's name.
async fn api_name(control: &Control, caller: &Caller, text: &str) -> ApiResult<String> {
    let Some((name, version)) = text.split_once(':') else {
        return Ok(text.to_owned());
    };
    let catalogue = control.hub().catalogue(&caller.org).await?;
    catalogue
        .api_called(name, version)
        .map(|(document, _)| document.to_owned())
        .ok_or_else(|| ApiError::not_found(format!("API {name} in version {version}")))
}

/// The ids of the applications whose calls are wanted and may be seen; `None` = of all, and of nobody's.
async fn callers(
    control: &Control,
    caller: &Caller,
    application: Option<&str>,
) -> ApiResult<Option<Vec<String>>> {
    let sees_all = caller.is(Role::Publisher);
    if let Some(name) = application {
        // An application that is gone is named by its id, and by those alone who see everything.
        if sees_all && let Ok(id) = name.parse::<ApplicationId>() {
            return Ok(Some(vec![id.to_string()]));
        }
        let kind = RecordKind::Application;
        let record = if sees_all {
            let found = control.store().record_get(&caller.org, kind, name).await?;
            found.ok_or_else(|| ApiError::not_found(format!("Application `{name}`")))?
        } else {
            visible(control, caller, kind, name).await?
        };
        return Ok(Some(vec![record.id.to_string()]));
    }
    if sees_all {
        return Ok(None);
    }
    let own = applications(control, caller).await?;
    Ok(Some(own.into_keys().collect()))
}

/// Names of the applications that the caller sees, by id.
async fn applications(control: &Control, caller: &Caller) -> ApiResult<HashMap<String, String>> {
    let filter = Filter {
        owner: (!caller.is(Role::Publisher)).then(|| caller.user.clone()),
        ..Filter::default()
    };
    let kind = RecordKind::Application;
    let records = control
        .store()
        .record_list(&caller.org, kind, &filter, &Page::ALL)
        .await?;
    Ok(records
        .into_iter()
        .map(|record| (record.id.to_string(), record.name))
        .collect())
}

fn written(query: &UsageQuery, found: UsageAnswer, names: &HashMap<String, String>) -> UsageReport {
    let mut total = UsageGroup::default();
    for group in &found.groups {
        total.counts.merge(&group.counts);
        total.client_errors += group.client_errors;
        total.server_errors += group.server_errors;
    }
    UsageReport {
        from_unix_ms: query.from_unix_ms,
        to_unix_ms: query.to_unix_ms,
        total: item(total, names),
        items: found
            .groups
            .into_iter()
            .map(|group| item(group, names))
            .collect(),
    }
}

fn item(group: UsageGroup, names: &HashMap<String, String>) -> UsageItem {
    let UsageGroup {
        key,
        counts,
        client_errors,
        server_errors,
    } = group;
    let Counts {
        requests,
        bytes_in,
        bytes_out,
        gateway,
        backend,
    } = counts;
    let name = |id: &String| names.get(id).unwrap_or(id).clone();
    UsageItem {
        at_unix_ms: key.at_unix_ms,
        api: key.api,
        operation: key.operation,
        application: key.application.as_ref().map(name),
        application_id: key.application,
        plan: key.plan,
        status: key.status.map(|status| status.to_string()),
        environment: key.environment,
        requests,
        client_errors,
        server_errors,
        error_share: share(client_errors + server_errors, requests),
        bytes_in,
        bytes_out,
        gateway: latency(&gateway),
        backend: latency(&backend),
    }
}

#[expect(clippy::cast_precision_loss, reason = "a share for people")]
fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        return 0.0;
    }
    part as f64 / whole as f64
}

fn latency(sketch: &Sketch) -> Latency {
    Latency {
        count: sketch.count(),
        p50_us: sketch.quantile(0.5),
        p95_us: sketch.quantile(0.95),
        p99_us: sketch.quantile(0.99),
        max_us: sketch.max(),
    }
}
