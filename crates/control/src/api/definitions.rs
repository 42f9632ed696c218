//! The definition of an API: as it was sent, as one, and its files.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, header};
use openapi::Files;
use store::RecordKind;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::documents::visible;
use super::{DefinitionFiles, DefinitionParams};
use crate::Control;
use crate::catalogue::read;
use crate::definition::stored;
use crate::http::{Action, ApiResult, Caller, Json, Name, Params};

pub(super) fn router() -> OpenApiRouter<Control> {
    OpenApiRouter::new()
        .routes(routes!(definition))
        .routes(routes!(definition_files))
}

async fn files(control: &Control, caller: &Caller, name: &str) -> ApiResult<Files> {
    caller.require_for(RecordKind::Api, Action::Read)?;
    let record = visible(control, caller, RecordKind::Api, name).await?;
    Ok(stored(control.store(), &read(&record)?, record.blob).await?)
}

/// The definition of an API
#[utoipa::path(get, path = "/apis/{name}/definition", operation_id = "api_definition", tag = "apis",
    params(("name" = String, Path, description = "The API's document name"), DefinitionParams),
    responses((status = 200, description = "The text as it was sent, byte for byte; of several files the root's", content((String = "application/yaml"), (String = "application/json")))))]
async fn definition(
    State(control): State<Control>,
    caller: Caller,
    Name(name): Name,
    Params(params): Params<DefinitionParams>,
) -> ApiResult<Response> {
    let files = files(&control, &caller, &name).await?;
    let text = if params.bundled {
        let bundled = openapi::bundle(&files.pack(), &tree::Limits::accepted());
        let bundled =
            bundled.map_err(|_| store::StoreError::Corrupt(format!("the definition of {name}")))?;
        bundled.tree().to_json().to_string()
    } else {
        files.root_text().to_string()
    };
    let media = if text.trim_start().starts_with('{') {
        "application/json"
    } else {
        "application/yaml"
    };
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(media)),
        // The text is somebody else's: nothing may guess that it is a page.
        (
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ),
    ];
    Ok((headers, text).into_response())
}

/// The files of an API's definition
#[utoipa::path(get, path = "/apis/{name}/definition/files", operation_id = "api_definition_files", tag = "apis",
    params(("name" = String, Path, description = "The API's document name")),
    responses((status = 200, description = "Every file as it was sent, byte for byte", body = DefinitionFiles)))]
async fn definition_files(
    State(control): State<Control>,
    caller: Caller,
    Name(name): Name,
) -> ApiResult<Json<DefinitionFiles>> {
    let files = files(&control, &caller, &name).await?;
    let texts = files.iter();
    Ok(Json(DefinitionFiles {
        root: files.root().to_owned(),
        files: texts
            .map(|(name, text)| (name.to_owned(), text.to_string()))
            .collect(),
    }))
}
