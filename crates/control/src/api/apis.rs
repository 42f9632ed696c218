//! What only APIs have: import, life cycle.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use base::{Diagnostics, code};
use http::{HeaderValue, StatusCode, header};
use spec::{ApiSpec, BackendRef, BackendSpec, Backends, Definition, Document, Kind, Spec};
use store::{HistoryEntry, HistoryFilter, RecordKind, Role};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::documents::{store_one, visible};
use super::extensions;
use super::{
    ImportAnswer, ImportRequest, Lifecycle, LifecycleChange, LifecycleRequest, Waiting, paths,
    status,
};
use crate::Control;
use crate::catalogue::read;
use crate::change::{Put, Source};
use crate::http::precondition::etag;
use crate::http::{Action, ApiError, ApiResult, Caller, Json, Name, Params};

/// The plan that an import offers when it names none.
const PLAN_DEFAULT: &str = "Unlimited";

/// The annotation that remembers where a definition was fetched from.
const SOURCE_URL: &str = "tollway.dev/source-url";

pub(super) fn router() -> OpenApiRouter<Control> {
    OpenApiRouter::new()
        .routes(routes!(import))
        .routes(routes!(lifecycle_get, lifecycle_set))
}

/// Make an API of an OpenAPI definition
#[utoipa::path(post, path = "/apis:import", operation_id = "api_import", tag = "apis",
    params(Waiting), request_body = ImportRequest,
    responses((status = 201, description = "The API, with `Location` and `ETag`", body = ImportAnswer)))]
async fn import(
    State(control): State<Control>,
    caller: Caller,
    Params(waiting): Params<Waiting>,
    Json(request): Json<ImportRequest>,
) -> ApiResult<Response> {
    caller.require_for(RecordKind::Api, Action::Write)?;
    let source = super::source::read(&control, &request).await?;
    let text = source.files.pack();
    let limits = &control.config().definition_limits;
    // What the rules say of it, `prepare` finds out; a text that cannot even be read is told all that is wrong with it.
    let read = openapi::read(&text, limits).map_err(|problems| {
        let all = openapi::check(&text, limits, &openapi::Rules::default());
        source.faulty(all.err().unwrap_or(problems))
    })?;
    let operations = read.definition.operations.len() as u64;
    let chosen = extensions::chosen(&request);
    let mut api = document(request, &source, &read.definition);
    let mut warnings =
        extensions::apply(&control, &caller, &source, &read, &chosen, &mut api).await?;
    let mut document = Document::api(api);
    if let Some(url) = &source.url {
        let annotations = &mut document.metadata.annotations;
        annotations.insert(SOURCE_URL.to_owned(), url.clone());
    }
    let document = checked(&document)?;
    let name = document.name().to_owned();
    let put = Put {
        document,
        definition: Some(text),
        source: Source::default(),
    };
    let writing = control.writing().await?;
    let store = control.store();
    let there = store
        .record_get(&caller.org, RecordKind::Api, &name)
        .await?;
    if there.is_some() {
        return Err(ApiError::new(
            code::CONFLICT,
            format!(
                "the API `{name}` exists already; give another version, or change it with `apply`"
            ),
        ));
    }
    let change = crate::change::Change {
        puts: vec![put],
        ..Default::default()
    };
    let prepared = crate::change::prepare(&control, &caller, change).await?;
    warnings.extend(source.warnings);
    warnings.extend(prepared.warnings);
    let revision = control.commit(&caller, prepared.writes).await?;
    drop(writing);
    waiting.acknowledged(&control, revision).await?;
    let record = visible(&control, &caller, RecordKind::Api, &name).await?;
    let tag = etag(record.revision);
    let answer = ImportAnswer {
        api: status::object(&control, record).await?,
        operations,
        warnings,
    };
    let location = HeaderValue::try_from(paths::item(RecordKind::Api, &name))
        .map_err(|error| ApiError::internal("writing a location", &error))?;
    let headers = [(header::LOCATION, location), (header::ETAG, tag)];
    Ok((StatusCode::CREATED, headers, Json(answer)).into_response())
}

/// The API that an import means, but for what the keys of other products in its definition add.
fn document(
    request: ImportRequest,
    source: &super::source::ImportSource,
    definition: &openapi::Definition,
) -> ApiSpec {
    let name = request.name.unwrap_or_else(|| slug(&definition.title));
    let version = request
        .version
        .unwrap_or_else(|| definition.version.clone());
    let context = request.context.unwrap_or_else(|| format!("/{name}"));
    let file = if source.named {
        source.files.root().to_owned()
    } else {
        let json = source.files.root_text().trim_start().starts_with('{');
        let extension = if json { "json" } else { "yaml" };
        format!("{}.openapi.{extension}", slug(&name))
    };
    let mut spec = ApiSpec::new(name, version, context, Definition::File(file));
    spec.definition.rules = request.rules;
    spec.default_version = request.default_version;
    spec.plans = request.plans;
    if spec.plans.is_empty() {
        spec.plans.push(PLAN_DEFAULT.to_owned());
    }
    if request.publish {
        spec.lifecycle = spec::Lifecycle::Published;
    }
    spec.backends = request.backend.map(|url| {
        let backend = BackendRef::Inline(Box::new(BackendSpec::at(url)));
        Backends::new(Some(backend), None)
    });
    spec
}

/// A document that a program made is checked like one that a person wrote.
pub(super) fn checked(document: &Document) -> ApiResult<Document> {
    spec::from_json(document.to_json())
        .map_err(|Diagnostics(problems)| ApiError::faulty(code::INVALID_DOCUMENT, problems))
}

/// A title as a name: `Pet Store (v2)` → `pet-store-v2`.
fn slug(title: &str) -> String {
    let words: Vec<String> = title
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_ascii_lowercase)
        .collect();
    if words.is_empty() {
        return "api".to_owned();
    }
    words.join("-")
}

/// Where an API stands in its life
#[utoipa::path(get, path = "/apis/{name}/lifecycle", operation_id = "api_lifecycle_get", tag = "apis",
    params(("name" = String, Path, description = "The API's document name")),
    responses((status = 200, description = "State, ways from here, history", body = Lifecycle)))]
async fn lifecycle_get(
    State(control): State<Control>,
    caller: Caller,
    Name(name): Name,
) -> ApiResult<Json<Lifecycle>> {
    caller.require(&[Role::Publisher])?;
    lifecycle(&control, &caller, &name).await.map(Json)
}

/// Move an API to another state of its life
#[utoipa::path(post, path = "/apis/{name}/lifecycle", operation_id = "api_lifecycle_set", tag = "apis",
    params(("name" = String, Path, description = "The API's document name"), Waiting), request_body = LifecycleRequest,
    responses((status = 200, description = "The new state", body = Lifecycle)))]
async fn lifecycle_set(
    State(control): State<Control>,
    caller: Caller,
    Name(name): Name,
    Params(waiting): Params<Waiting>,
    Json(request): Json<LifecycleRequest>,
) -> ApiResult<Json<Lifecycle>> {
    caller.require_for(RecordKind::Api, Action::Write)?;
    let state: spec::Lifecycle = request
        .state
        .parse()
        .map_err(|error: spec::lifecycle::UnknownState| ApiError::bad_request(error.to_string()))?;
    let sunset = request
        .sunset
        .map(|day| day.parse::<spec::Date>())
        .transpose()
        .map_err(|error| ApiError::bad_request(format!("`sunset`: {error}")))?;
    let writing = control.writing().await?;
    let record = visible(&control, &caller, RecordKind::Api, &name).await?;
    let mut document = read(&record)?;
    if let Spec::Api(api) = &mut document.spec {
        let keeps = matches!(
            state,
            spec::Lifecycle::Deprecated | spec::Lifecycle::Retired
        );
        api.sunset = sunset.or(api.sunset.filter(|_| keeps));
        api.lifecycle = state;
    }
    let put = Put::of(checked(&document)?);
    let revision = store_one(&control, &caller, put).await?;
    drop(writing);
    waiting.acknowledged(&control, revision).await?;
    lifecycle(&control, &caller, &name).await.map(Json)
}

async fn lifecycle(control: &Control, caller: &Caller, name: &str) -> ApiResult<Lifecycle> {
    let record = visible(control, caller, RecordKind::Api, name).await?;
    let document = read(&record)?;
    let api = document
        .as_api()
        .ok_or_else(|| ApiError::not_found(format!("{} `{name}`", Kind::Api)))?;
    let store = control.store();
    let filter = HistoryFilter::of(RecordKind::Api, name);
    let mut history = store.history_list(&caller.org, &filter).await?;
    history.reverse();
    let allowed = api.lifecycle.transitions().iter();
    Ok(Lifecycle {
        state: api.lifecycle.to_string(),
        sunset: api.sunset.map(|day| day.to_string()),
        allowed: allowed.map(ToString::to_string).collect(),
        history: history.iter().filter_map(step).collect(),
    })
}

/// A change of the document that changed the state.
fn step(entry: &HistoryEntry) -> Option<LifecycleChange> {
    let state = |value: &serde_json::Value| value["spec"]["lifecycle"].as_str().map(str::to_owned);
    let to = state(entry.after.as_ref()?)?;
    let from = entry.before.as_ref().and_then(state);
    (from.as_ref() != Some(&to)).then(|| LifecycleChange {
        from,
        to,
        actor: entry.actor.clone(),
        at_unix_ms: entry.at_unix_ms,
        revision: entry.revision,
    })
}

#[cfg(test)]
mod tests {
    use super::slug;

    #[test]
    fn titles_become_names() {
        assert_eq!(slug("Pet Store (v2)"), "pet-store-v2");
        assert_eq!(slug("  "), "api");
        assert_eq!(slug("Übung"), "bung");
    }
}
