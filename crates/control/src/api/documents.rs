//! Documents of every kind: one set of endpoints, mounted once for each.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base::code;
use http::{HeaderValue, StatusCode, header};
use spec::{Document, Kind};
use store::{Filter, Page, Record, RecordKind, Role};
use utoipa_axum::router::OpenApiRouter;

use super::{DeleteParams, List, ListParams, Object, Waiting, operations, paths, status};
use crate::Control;
use crate::catalogue::record_kind;
use crate::change::{Change, Delete, Put, Source, prepare};
use crate::http::precondition::etag;
use crate::http::{Action, ApiError, ApiResult, Caller, Json, Name, Params, Precondition, Text};

pub(super) fn router() -> OpenApiRouter<Control> {
    Kind::ALL
        .into_iter()
        .fold(OpenApiRouter::new(), |router, kind| {
            let collection = get(
                move |State(control): State<Control>,
                      caller: Caller,
                      Params(params): Params<ListParams>| async move {
                    list(&control, &caller, kind, &params).await
                },
            )
            .post(
                move |State(control): State<Control>,
                      caller: Caller,
                      Params(waiting): Params<Waiting>,
                      Text(text): Text| async move {
                    create(&control, &caller, kind, waiting, &text).await
                },
            );
            let item = get(
                move |State(control): State<Control>,
                      caller: Caller,
                      Name(name): Name,
                      known: Precondition| async move {
                    read(&control, &caller, kind, &name, &known).await
                },
            )
            .put(
                move |State(control): State<Control>,
                      caller: Caller,
                      Name(name): Name,
                      Params(waiting): Params<Waiting>,
                      known: Precondition,
                      Text(text): Text| async move {
                    replace(&control, &caller, (kind, &name), waiting, &known, &text).await
                },
            )
            .delete(
                move |State(control): State<Control>,
                      caller: Caller,
                      Name(name): Name,
                      Params(params): Params<DeleteParams>,
                      known: Precondition| async move {
                    delete(&control, &caller, (kind, name), params, &known).await
                },
            );
            router
                .routes((Vec::new(), operations::collection(kind), collection))
                .routes((Vec::new(), operations::item(kind), item))
        })
}

async fn list(
    control: &Control,
    caller: &Caller,
    kind: Kind,
    params: &ListParams,
) -> ApiResult<Json<List<Object>>> {
    caller.require_for(record_kind(kind), Action::Read)?;
    check_filters(kind, params)?;
    let limit = limit(control, params.limit)?;
    let mut records = if matches!(kind, Kind::Application | Kind::Subscription) {
        let filter = Filter {
            owner: caller.owner_filter().map(str::to_owned),
            application: params.application.clone(),
            api: params.api.clone(),
        };
        let page = Page {
            after: params.after.clone(),
            limit: limit + 1,
        };
        let kind = record_kind(kind);
        let store = control.store();
        store.record_list(&caller.org, kind, &filter, &page).await?
    } else {
        listed(control, caller, kind, params, limit + 1).await?
    };
    let next = cut(&mut records, limit, |record| record.name.clone());
    let mut items = Vec::with_capacity(records.len());
    for record in records {
        items.push(status::object(control, record).await?);
    }
    Ok(Json(List { items, next }))
}

/// Documents of the kinds that the catalogue holds, filtered by it.
async fn listed(
    control: &Control,
    caller: &Caller,
    kind: Kind,
    params: &ListParams,
    limit: u64,
) -> ApiResult<Vec<Record>> {
    let catalogue = control.hub().catalogue(&caller.org).await?;
    let is =
        |wanted: &Option<String>, value: &str| wanted.as_ref().is_none_or(|wanted| wanted == value);
    let names = catalogue
        .of_kind(kind)
        .filter(|held| sees(caller, &held.document))
        .filter(|held| {
            held.document
                .as_api()
                .is_none_or(|api| is(&params.name, &api.name) && is(&params.version, &api.version))
        })
        .map(|held| held.document.name())
        .filter(|name| params.after.as_deref().is_none_or(|after| *name > after))
        .take(usize::try_from(limit).unwrap_or(usize::MAX));
    let mut records = Vec::new();
    for name in names {
        // Deleted meanwhile: then it is not in the list.
        records.extend(
            control
                .store()
                .record_get(&caller.org, record_kind(kind), name)
                .await?,
        );
    }
    Ok(records)
}

fn check_filters(kind: Kind, params: &ListParams) -> ApiResult<()> {
    let of_apis = params.name.is_some() || params.version.is_some();
    let of_subscriptions = params.application.is_some() || params.api.is_some();
    if (of_apis && kind != Kind::Api) || (of_subscriptions && kind != Kind::Subscription) {
        return Err(ApiError::bad_request(
            "`name` and `version` are for APIs, `application` and `api` for subscriptions",
        ));
    }
    Ok(())
}

/// How many items of a list are answered at once.
pub(super) fn limit(control: &Control, wanted: Option<u64>) -> ApiResult<u64> {
    let max = control.config().page_max;
    let limit = wanted.unwrap_or(control.config().page_default);
    if (1..=max).contains(&limit) {
        return Ok(limit);
    }
    Err(ApiError::bad_request(format!("`limit` is 1 to {max}")))
}

/// Cuts what was found to a part of `limit` items; one more was asked for, and tells whether there is another part: the
/// place of the last item, which that one begins behind.
pub(super) fn cut<T>(
    found: &mut Vec<T>,
    limit: u64,
    place: impl FnOnce(&T) -> String,
) -> Option<String> {
    let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
    if found.len() <= wanted {
        return None;
    }
    found.truncate(wanted);
    found.last().map(place)
}

/// Those who only subscribe see APIs once they serve.
fn sees(caller: &Caller, document: &Document) -> bool {
    caller.is(Role::Publisher) || document.as_api().is_none_or(|api| api.lifecycle.serves())
}

/// A document that the caller may know of; of others it is not told whether they exist.
pub(super) async fn visible(
    control: &Control,
    caller: &Caller,
    kind: RecordKind,
    name: &str,
) -> ApiResult<Record> {
    find(control, caller, kind, name)
        .await?
        .ok_or_else(|| ApiError::not_found(format!("{} `{name}`", kind.as_str())))
}

async fn find(
    control: &Control,
    caller: &Caller,
    kind: RecordKind,
    name: &str,
) -> ApiResult<Option<Record>> {
    let store = control.store();
    let Some(record) = store.record_get(&caller.org, kind, name).await? else {
        return Ok(None);
    };
    let sees = match (kind, caller.owner_filter()) {
        (RecordKind::Application, Some(user)) => record.links.owner.as_deref() == Some(user),
        (RecordKind::Subscription, Some(user)) => {
            let application = record.document["spec"]["application"]
                .as_str()
                .unwrap_or_default();
            let kind = RecordKind::Application;
            let owner = store.record_get(&caller.org, kind, application).await?;
            owner.is_some_and(|owner| owner.links.owner.as_deref() == Some(user))
        }
        (RecordKind::Api, _) => sees(caller, &crate::catalogue::read(&record)?),
        _ => true,
    };
    Ok(Some(record).filter(|_| sees))
}

async fn read(
    control: &Control,
    caller: &Caller,
    kind: Kind,
    name: &str,
    known: &Precondition,
) -> ApiResult<Response> {
    let kind = record_kind(kind);
    caller.require_for(kind, Action::Read)?;
    let record = visible(control, caller, kind, name).await?;
    known.check_read(record.revision)?;
    let tag = [(header::ETAG, etag(record.revision))];
    if known.is_fresh(record.revision) {
        return Ok((StatusCode::NOT_MODIFIED, tag).into_response());
    }
    Ok((tag, Json(status::object(control, record).await?)).into_response())
}

async fn create(
    control: &Control,
    caller: &Caller,
    kind: Kind,
    waiting: Waiting,
    text: &str,
) -> ApiResult<Response> {
    caller.require_for(record_kind(kind), Action::Write)?;
    let put = parse(text, kind)?;
    let name = put.document.name().to_owned();
    let writing = control.writing().await?;
    let store = control.store();
    let there = store
        .record_get(&caller.org, record_kind(kind), &name)
        .await?;
    if there.is_some() {
        return Err(ApiError::new(
            code::CONFLICT,
            format!("{kind} `{name}` exists already; PUT replaces it"),
        ));
    }
    let revision = store_one(control, caller, put).await?;
    drop(writing);
    waiting.acknowledged(control, revision).await?;
    answer(control, caller, (kind, &name), StatusCode::CREATED).await
}

async fn replace(
    control: &Control,
    caller: &Caller,
    (kind, name): (Kind, &str),
    waiting: Waiting,
    known: &Precondition,
    text: &str,
) -> ApiResult<Response> {
    caller.require_for(record_kind(kind), Action::Write)?;
    let put = parse(text, kind)?;
    if put.document.name() != name {
        return Err(ApiError::bad_request(format!(
            "the document is named `{}`, the path says `{name}`",
            put.document.name()
        )));
    }
    let writing = control.writing().await?;
    let store = control.store();
    let stored = store
        .record_get(&caller.org, record_kind(kind), name)
        .await?;
    if stored.is_some() {
        visible(control, caller, record_kind(kind), name).await?;
    }
    known.check(stored.as_ref().map(|record| record.revision))?;
    let revision = store_one(control, caller, put).await?;
    drop(writing);
    waiting.acknowledged(control, revision).await?;
    let done = if stored.is_some() {
        StatusCode::OK
    } else {
        StatusCode::CREATED
    };
    answer(control, caller, (kind, name), done).await
}

async fn delete(
    control: &Control,
    caller: &Caller,
    (kind, name): (Kind, String),
    params: DeleteParams,
    known: &Precondition,
) -> ApiResult<StatusCode> {
    caller.require_for(record_kind(kind), Action::Write)?;
    let writing = control.writing().await?;
    let record = visible(control, caller, record_kind(kind), &name).await?;
    known.check(Some(record.revision))?;
    let change = Change {
        deletes: vec![Delete {
            kind,
            name,
            cascade: params.cascade,
        }],
        ..Change::default()
    };
    let prepared = prepare(control, caller, change).await?;
    let revision = control.commit(caller, prepared.writes).await?;
    drop(writing);
    let waiting = params.waiting();
    waiting.acknowledged(control, revision).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Stores one document; the caller holds the lock. Returns the revision at which it is stored.
pub(super) async fn store_one(control: &Control, caller: &Caller, put: Put) -> ApiResult<u64> {
    let change = Change {
        puts: vec![put],
        ..Change::default()
    };
    let prepared = prepare(control, caller, change).await?;
    if prepared.writes.is_empty() {
        return Ok(control.store().revision().await?);
    }
    control.commit(caller, prepared.writes).await
}

/// A body of exactly one document of this kind.
fn parse(text: &str, kind: Kind) -> ApiResult<Put> {
    let located = spec::parse_located(text, None, &tree::Limits::default())
        .map_err(|problems| ApiError::faulty(code::INVALID_DOCUMENT, problems))?;
    let mut located = located.into_iter();
    let (Some(one), None) = (located.next(), located.next()) else {
        return Err(ApiError::bad_request(
            "the body holds exactly one document; several go to `apply`",
        ));
    };
    if one.document.kind() != kind {
        return Err(ApiError::bad_request(format!(
            "the document is of kind {}, this path takes {kind}",
            one.document.kind()
        )));
    }
    Ok(Put {
        document: one.document.clone(),
        definition: None,
        source: Source {
            located: Some(one),
            beside: false,
        },
    })
}

async fn answer(
    control: &Control,
    caller: &Caller,
    (kind, name): (Kind, &str),
    done: StatusCode,
) -> ApiResult<Response> {
    let record = visible(control, caller, record_kind(kind), name).await?;
    let tag = etag(record.revision);
    let object = status::object(control, record).await?;
    let mut response = (done, [(header::ETAG, tag)], Json(object)).into_response();
    if done == StatusCode::CREATED {
        let location = HeaderValue::try_from(paths::item(record_kind(kind), name))
            .map_err(|error| ApiError::internal("writing a location", &error))?;
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}
