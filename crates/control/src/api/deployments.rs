//! Revisions of APIs, and which of them each gateway serves.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use base::{Diagnostics, Org, code};
use http::header;
use spec::{Deployment, Document, Extensions, RevisionRef, Spec};
use store::{ApiRevision, HistoryFilter, RecordKind, Role};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::apis::checked;
use super::documents::{cut, limit, visible};
use super::{
    ApiRevisionDiff, ApiRevisionDocument, ApiRevisionItem, DefinitionChange, DeployRequest,
    DeployState, Deployed, DeploymentItem, FieldChange, List, PartParams, Waiting,
};
use crate::Control;
use crate::catalogue::read;
use crate::change::{Change, Put, definition_text, prepare};
use crate::definition::stored;
use crate::http::precondition::etag;
use crate::http::{
    Action, ApiError, ApiResult, Caller, Json, Name, Names, OptionalJson, Params, Precondition,
};

pub(super) fn router() -> OpenApiRouter<Control> {
    OpenApiRouter::new()
        .routes(routes!(revision_list))
        .routes(routes!(revision_get))
        .routes(routes!(revision_diff))
        .routes(routes!(deployment_list))
        .routes(routes!(deploy, undeploy))
        .routes(routes!(rollback))
}

/// List the revisions of an API
#[utoipa::path(get, path = "/apis/{name}/revisions", operation_id = "api_revision_list", tag = "revisions",
    params(("name" = String, Path, description = "The API's document name"), PartParams),
    responses((status = 200, description = "Newest first; also of an API that was deleted", body = List<ApiRevisionItem>)))]
async fn revision_list(
    State(control): State<Control>,
    caller: Caller,
    Name(name): Name,
    Params(params): Params<PartParams>,
) -> ApiResult<Json<List<ApiRevisionItem>>> {
    caller.require(&[Role::Publisher])?;
    let limit = limit(&control, params.limit)?;
    let before = params.after.map(|after| number(&after)).transpose()?;
    let store = control.store();
    let mut found = store
        .api_revision_list(&caller.org, &name, before, limit + 1)
        .await?;
    if found.is_empty() && before.is_none() {
        return Err(ApiError::not_found(format!("Api `{name}`")));
    }
    let next = cut(&mut found, limit, |last| last.number.to_string());
    let places = places(&control, &caller.org, &name).await?;
    let items = found.into_iter().map(|found| item(found, &places));
    Ok(Json(List {
        items: items.collect(),
        next,
    }))
}

/// Read a revision of an API
#[utoipa::path(get, path = "/apis/{name}/revisions/{number}", operation_id = "api_revision_get", tag = "revisions",
    params(("name" = String, Path, description = "The API's document name"), ("number" = u64, Path, description = "The revision's number")),
    responses((status = 200, description = "The document and the definition as they were", body = ApiRevisionDocument)))]
async fn revision_get(
    State(control): State<Control>,
    caller: Caller,
    Names(name, wanted): Names,
) -> ApiResult<Json<ApiRevisionDocument>> {
    caller.require(&[Role::Publisher])?;
    let found = revision(&control, &caller, &name, &wanted).await?;
    let files = stored(control.store(), &found.read, found.revision.blob).await?;
    let places = places(&control, &caller.org, &name).await?;
    Ok(Json(ApiRevisionDocument {
        revision: item(found.revision, &places),
        document: found.content,
        definition: files.root_text().to_string(),
        files: files
            .others()
            .map(|(name, text)| (name.to_owned(), text.to_string()))
            .collect(),
    }))
}

/// Compare two revisions of an API
#[utoipa::path(get, path = "/apis/{name}/revisions/{number}/diff/{to}", operation_id = "api_revision_diff", tag = "revisions",
    params(("name" = String, Path, description = "The API's document name"), ("number" = u64, Path, description = "The revision to compare with"),
        ("to" = u64, Path, description = "The revision to compare")),
    responses((status = 200, description = "What differs", body = ApiRevisionDiff)))]
async fn revision_diff(
    State(control): State<Control>,
    caller: Caller,
    axum::extract::Path((name, from, to)): axum::extract::Path<(String, String, String)>,
) -> ApiResult<Json<ApiRevisionDiff>> {
    caller.require(&[Role::Publisher])?;
    let from = revision(&control, &caller, &name, &from).await?;
    let to = revision(&control, &caller, &name, &to).await?;
    let store = control.store();
    let old = definition_text(store, &from.read, from.revision.blob).await?;
    let new = definition_text(store, &to.read, to.revision.blob).await?;
    let differences = compared(old, new).await?;
    let fields = spec::diff_json(Some(&from.content), Some(&to.content));
    Ok(Json(ApiRevisionDiff {
        from: from.revision.number,
        to: to.revision.number,
        breaking: differences.iter().any(|difference| difference.breaking),
        definition: differences,
        fields: fields.into_iter().map(FieldChange::from).collect(),
        definition_changed: from.revision.blob != to.revision.blob,
    }))
}

/// What differs between two definitions for callers. Long definitions take their time, so not on a thread that serves.
async fn compared(old: Arc<str>, new: Arc<str>) -> ApiResult<Vec<DefinitionChange>> {
    let compare = move || {
        let limits = tree::Limits::default();
        let (old, new) = (
            openapi::bundle(&old, &limits)?,
            openapi::bundle(&new, &limits)?,
        );
        let limits = openapi::diff::Limits::default();
        let found = openapi::diff(old.tree(), new.tree(), &limits);
        Ok::<_, Diagnostics>(found.into_iter().map(DefinitionChange::from).collect())
    };
    let compared = tokio::task::spawn_blocking(compare).await;
    compared
        .map_err(|error| ApiError::internal("comparing definitions", &error))?
        .map_err(|problems| ApiError::faulty(code::INVALID_DOCUMENT, problems))
}

/// List the gateways that serve an API, and what they serve of it
#[utoipa::path(get, path = "/apis/{name}/deployments", operation_id = "deployment_list", tag = "revisions",
    params(("name" = String, Path, description = "The API's document name")),
    responses((status = 200, description = "In the order of the document", body = List<DeploymentItem>)))]
async fn deployment_list(
    State(control): State<Control>,
    caller: Caller,
    Name(name): Name,
) -> ApiResult<Json<List<DeploymentItem>>> {
    caller.require(&[Role::Publisher])?;
    visible(&control, &caller, RecordKind::Api, &name).await?;
    let items = places(&control, &caller.org, &name).await?;
    Ok(Json(List { items, next: None }))
}

/// Let a gateway serve a revision of an API
#[utoipa::path(put, path = "/apis/{name}/deployments/{gateway}", operation_id = "deploy", tag = "revisions",
    params(("name" = String, Path, description = "The API's document name"), ("gateway" = String, Path, description = "The gateway's name"),
        Waiting, ("If-Match" = Option<String>, Header, description = "Only when the API is at this revision")),
    request_body = DeployRequest,
    responses((status = 200, description = "Every live node of the gateway serves it, or there is none (`Pending`); with `ETag`", body = Deployed)))]
async fn deploy(
    State(control): State<Control>,
    caller: Caller,
    Names(name, gateway): Names,
    Params(waiting): Params<Waiting>,
    known: Precondition,
    OptionalJson(wish): OptionalJson<DeployRequest>,
) -> ApiResult<Response> {
    let wish = Wish::Serve(wish.revision);
    place(&control, &caller, (&name, &gateway), wish, waiting, &known).await
}

/// Let a gateway serve an API no more
#[utoipa::path(delete, path = "/apis/{name}/deployments/{gateway}", operation_id = "undeploy", tag = "revisions",
    params(("name" = String, Path, description = "The API's document name"), ("gateway" = String, Path, description = "The gateway's name"),
        Waiting, ("If-Match" = Option<String>, Header, description = "Only when the API is at this revision")),
    responses((status = 200, description = "No live node of the gateway serves it; with `ETag`", body = Deployed)))]
async fn undeploy(
    State(control): State<Control>,
    caller: Caller,
    Names(name, gateway): Names,
    Params(waiting): Params<Waiting>,
    known: Precondition,
) -> ApiResult<Response> {
    place(
        &control,
        &caller,
        (&name, &gateway),
        Wish::Nothing,
        waiting,
        &known,
    )
    .await
}

/// Let a gateway serve the revision that it served before
#[utoipa::path(post, path = "/apis/{name}/deployments/{gateway}/rollback", operation_id = "rollback", tag = "revisions",
    params(("name" = String, Path, description = "The API's document name"), ("gateway" = String, Path, description = "The gateway's name"),
        Waiting, ("If-Match" = Option<String>, Header, description = "Only when the API is at this revision")),
    responses((status = 200, description = "From which revision to which; with `ETag`", body = Deployed)))]
async fn rollback(
    State(control): State<Control>,
    caller: Caller,
    Names(name, gateway): Names,
    Params(waiting): Params<Waiting>,
    known: Precondition,
) -> ApiResult<Response> {
    place(
        &control,
        &caller,
        (&name, &gateway),
        Wish::Before,
        waiting,
        &known,
    )
    .await
}

/// What a gateway is to serve.
enum Wish {
    Serve(RevisionRef),
    /// What it served before.
    Before,
    Nothing,
}

async fn place(
    control: &Control,
    caller: &Caller,
    (name, gateway): (&str, &str),
    wish: Wish,
    waiting: Waiting,
    known: &Precondition,
) -> ApiResult<Response> {
    caller.require_for(RecordKind::Api, Action::Write)?;
    let writing = control.writing().await?;
    let record = visible(control, caller, RecordKind::Api, name).await?;
    known.check(Some(record.revision))?;
    let document = read(&record)?;
    let served = places(control, &caller.org, name).await?;
    let served = served.iter().find(|place| place.gateway == gateway);
    let from = served.map(|place| place.number);
    let wanted = match wish {
        Wish::Serve(revision) => Some(revision),
        Wish::Before => Some(before(control, caller, name, gateway, from).await?),
        Wish::Nothing if served.is_none() => {
            let what = format!("deployment of `{name}` on the gateway `{gateway}`");
            return Err(ApiError::not_found(what));
        }
        Wish::Nothing => None,
    };
    let change = Change {
        puts: vec![Put::of(with(document, gateway, wanted)?)],
        ..Change::default()
    };
    let prepared = prepare(control, caller, change).await?;
    let Diagnostics(warnings) = prepared.warnings;
    let revision = if prepared.writes.is_empty() {
        control.store().revision().await?
    } else {
        control.commit(caller, prepared.writes).await?
    };
    drop(writing);
    let gateways = [gateway.to_owned()];
    let reached = waiting.reached(control, revision, Some(&gateways)).await?;
    let places = places(control, &caller.org, name).await?;
    let to = places.iter().find(|place| place.gateway == gateway);
    let answer = Deployed {
        api: name.to_owned(),
        gateway: gateway.to_owned(),
        from,
        to: to.map(|place| place.number),
        latest: to.is_some_and(|place| place.revision.is_latest()),
        state: match reached {
            None => DeployState::Stored,
            Some(0) => DeployState::Pending,
            Some(_) => DeployState::Deployed,
        },
        nodes: reached.unwrap_or_default() as u64,
        revision,
        warnings,
    };
    let record = visible(control, caller, RecordKind::Api, name).await?;
    let tag = [(header::ETAG, etag(record.revision))];
    Ok((tag, Json(answer)).into_response())
}

/// The document with this revision on this gateway, or with none.
fn with(mut document: Document, gateway: &str, wanted: Option<RevisionRef>) -> ApiResult<Document> {
    if let Spec::Api(api) = &mut document.spec {
        let mut there = api.deployments.iter_mut();
        let there = there.find(|deployment| deployment.gateway == gateway);
        match (wanted, there) {
            (Some(revision), Some(deployment)) => deployment.revision = revision,
            (Some(revision), None) => api.deployments.push(Deployment {
                gateway: gateway.to_owned(),
                revision,
                extensions: Extensions::new(),
            }),
            (None, _) => api
                .deployments
                .retain(|deployment| deployment.gateway != gateway),
        }
    }
    checked(&document)
}

/// The revision that a gateway served before the present one, as the API's history tells.
async fn before(
    control: &Control,
    caller: &Caller,
    name: &str,
    gateway: &str,
    present: Option<u64>,
) -> ApiResult<RevisionRef> {
    let (store, org) = (control.store(), &caller.org);
    let revisions = store.api_revision_list(org, name, None, u64::MAX).await?;
    let filter = HistoryFilter::of(RecordKind::Api, name);
    for entry in store.history_list(org, &filter).await? {
        // Before a deletion it was another API of the same name.
        let Some(after) = entry.after else { break };
        let deployments = after["spec"]["deployments"].as_array();
        let there = deployments
            .into_iter()
            .flatten()
            .find(|deployment| deployment["gateway"] == gateway);
        let served = there.and_then(|deployment| {
            let newest_then = || {
                let then = revisions.iter().find(|one| one.revision <= entry.revision);
                then.map(|one| one.number)
            };
            deployment["revision"].as_u64().or_else(newest_then)
        });
        if let Some(number) = served.filter(|_| served != present) {
            return Ok(RevisionRef::Number(number));
        }
    }
    let detail = format!("the gateway `{gateway}` served no other revision of `{name}` before");
    Err(ApiError::new(code::CONFLICT, detail))
}

/// What each gateway is to serve of an API; nothing of one that is not there.
pub(super) async fn places(
    control: &Control,
    org: &Org,
    name: &str,
) -> ApiResult<Vec<DeploymentItem>> {
    let store = control.store();
    let Some(record) = store.record_get(org, RecordKind::Api, name).await? else {
        return Ok(Vec::new());
    };
    let newest = newest(control, org, name).await?;
    let document = read(&record)?;
    let deployments = document
        .as_api()
        .into_iter()
        .flat_map(|api| &api.deployments);
    Ok(deployments
        .map(|deployment| DeploymentItem {
            gateway: deployment.gateway.clone(),
            revision: deployment.revision,
            number: deployment.revision.number().unwrap_or(newest),
        })
        .collect())
}

/// The number of the newest revision of an API; 0 when it has none.
pub(super) async fn newest(control: &Control, org: &Org, name: &str) -> ApiResult<u64> {
    let store = control.store();
    let newest = store.api_revision_list(org, name, None, 1).await?.pop();
    Ok(newest.map_or(0, |newest| newest.number))
}

fn item(revision: ApiRevision, places: &[DeploymentItem]) -> ApiRevisionItem {
    let gateways = places
        .iter()
        .filter(|place| place.number == revision.number);
    ApiRevisionItem {
        number: revision.number,
        digest: revision.digest.to_string(),
        at_unix_ms: revision.at_unix_ms,
        actor: revision.actor,
        revision: revision.revision,
        gateways: gateways.map(|place| place.gateway.clone()).collect(),
    }
}

/// One revision, read.
struct Found {
    revision: ApiRevision,
    content: serde_json::Value,
    read: Document,
}

async fn revision(control: &Control, caller: &Caller, name: &str, text: &str) -> ApiResult<Found> {
    let store = control.store();
    let found = store
        .api_revision_get(&caller.org, name, number(text)?)
        .await?;
    let (revision, content) =
        found.ok_or_else(|| ApiError::not_found(format!("revision {text} of the API `{name}`")))?;
    let read = spec::from_json(content.clone())
        .map_err(|_| store::StoreError::Corrupt(format!("revision {text} of {name}")))?;
    Ok(Found {
        revision,
        content,
        read,
    })
}

fn number(text: &str) -> ApiResult<u64> {
    text.parse()
        .map_err(|_| ApiError::bad_request(format!("`{text}` is no number of a revision")))
}
