//! How calls are read. Every refusal is a problem of ours; nothing of axum's texts gets out.

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::response::{IntoResponse, Response};
use base::code;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{ApiError, ApiResult};
use crate::Control;

/// A JSON body, read and written.
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Control> for Json<T> {
    type Rejection = ApiError;
    async fn from_request(request: Request, control: &Control) -> ApiResult<Self> {
        let format = Format::of(request.headers())?;
        if format != Format::Json {
            return Err(unsupported("this body is read as `application/json` only"));
        }
        let bytes = bytes(request.into_body(), control.config().body_bytes_max).await?;
        read_json(&bytes).map(Self)
    }
}

/// A JSON body that may be absent: then it is the default.
pub(crate) struct OptionalJson<T>(pub(crate) T);

impl<T: DeserializeOwned + Default> FromRequest<Control> for OptionalJson<T> {
    type Rejection = ApiError;
    async fn from_request(request: Request, control: &Control) -> ApiResult<Self> {
        let format = Format::of(request.headers());
        let bytes = bytes(request.into_body(), control.config().body_bytes_max).await?;
        if bytes.is_empty() {
            return Ok(Self(T::default()));
        }
        if format? != Format::Json {
            return Err(unsupported("this body is read as `application/json` only"));
        }
        read_json(&bytes).map(Self)
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

fn read_json<T: DeserializeOwned>(bytes: &[u8]) -> ApiResult<T> {
    serde_json::from_slice(bytes).map_err(|error| {
        ApiError::bad_request(format!("the body is not what is expected: {error}"))
    })
}

/// A document as text, in JSON or YAML.
pub(crate) struct Text(pub(crate) String);

impl FromRequest<Control> for Text {
    type Rejection = ApiError;
    async fn from_request(request: Request, control: &Control) -> ApiResult<Self> {
        Format::of(request.headers())?;
        let bytes = bytes(request.into_body(), control.config().body_bytes_max).await?;
        String::from_utf8(bytes.into())
            .map(Self)
            .map_err(|_| ApiError::bad_request("the body is not UTF-8"))
    }
}

/// Languages of bodies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Format {
    Json,
    Yaml,
}

impl Format {
    fn of(headers: &HeaderMap) -> ApiResult<Self> {
        let value = headers
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let media = value
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase();
        match media.as_str() {
            "application/json" => Ok(Self::Json),
            "application/yaml" | "application/x-yaml" | "text/yaml" | "text/x-yaml" => {
                Ok(Self::Yaml)
            }
            "" => Err(unsupported("the body has no Content-Type")),
            _ => Err(unsupported(
                "the body is neither `application/json` nor `application/yaml`",
            )),
        }
    }
}

fn unsupported(detail: &str) -> ApiError {
    ApiError::new(code::UNSUPPORTED_MEDIA_TYPE, detail)
}

async fn bytes(body: Body, bytes_max: usize) -> ApiResult<Bytes> {
    match Limited::new(body, bytes_max).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(ApiError::new(
            code::PAYLOAD_TOO_LARGE,
            format!("at most {bytes_max} bytes are accepted"),
        )),
        Err(_) => Err(ApiError::bad_request("the body broke off")),
    }
}

/// Parameters of the query; unknown ones are refused by their type.
pub(crate) struct Params<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Params<T> {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> ApiResult<Self> {
        axum::extract::Query::try_from_uri(&parts.uri)
            .map(|axum::extract::Query(params)| Self(params))
            .map_err(|error| ApiError::bad_request(format!("the query: {}", error.body_text())))
    }
}

/// The one name in the path.
pub(crate) struct Name(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for Name {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> ApiResult<Self> {
        Path::from_request_parts(parts, state)
            .await
            .map(|Path(name)| Self(name))
            .map_err(|_| ApiError::bad_request("the path is not UTF-8"))
    }
}

/// The two names in the path.
pub(crate) struct Names(pub(crate) String, pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for Names {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> ApiResult<Self> {
        Path::from_request_parts(parts, state)
            .await
            .map(|Path((outer, inner))| Self(outer, inner))
            .map_err(|_| ApiError::bad_request("the path is not UTF-8"))
    }
}
