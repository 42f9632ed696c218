//! The REST API: its bodies and paths for callers, and the router.

mod apis;
mod audit;
mod backends;
mod bundle;
mod credentials;
mod definitions;
mod deployments;
mod documents;
mod dto;
mod explanation;
mod extensions;
mod issuers;
mod keys;
mod operations;
mod params;
pub mod paths;
mod registration;
mod schema;
mod sessions;
mod source;
mod status;
mod traces;
mod undo;
mod usage;
mod users;
mod waiting;

use ::http::{HeaderValue, header};
use axum::Router;
use axum::extract::State;
use axum::http::Request;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use base::code;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{InfoBuilder, OpenApi, OpenApiBuilder, SecurityRequirement};
use utoipa::{PartialSchema, ToSchema};
use utoipa_axum::router::OpenApiRouter;

pub use self::usage::bodies::*;
pub use backends::{BackendStatus, EndpointItem, NodeEndpoints};
pub use dto::*;
pub use explanation::*;
pub use issuers::{IssuerStatus, NodeIssuer};
pub use keys::{RollRequest, SigningKeyItem};
pub use params::*;
pub use registration::{RegistrationTokenItem, RegistrationTokenRequest};
pub use sessions::{ClientName, ConsentItem, SessionItem};

use crate::Control;
use crate::http::{ApiError, ApiResult, caller, trace};

/// The control API, under [`paths::PREFIX`]. `beside` describes what the same listener serves besides.
pub fn router(control: Control, beside: OpenApi) -> Router {
    let (inside, document) = described(beside);
    let document: axum::body::Bytes = text(&document).into();
    let inside = inside
        .route(
            "/openapi.json",
            axum::routing::get(move || {
                let document = document.clone();
                async move { ([(header::CONTENT_TYPE, "application/json")], document) }
            }),
        )
        .fallback(unknown_path)
        .method_not_allowed_fallback(unknown_method)
        .layer(from_fn_with_state(control.clone(), caller::authenticate));
    let all = Router::new()
        .route(
            "/health",
            axum::routing::get(health).fallback(unknown_method),
        )
        .fallback_service(inside.with_state(control.clone()))
        .with_state(control);
    Router::new().nest(paths::PREFIX, guarded(all))
}

/// Whatever happens inside, the answer is one of ours.
fn guarded(router: Router) -> Router {
    router
        .layer(CatchPanicLayer::custom(trace::panicked))
        .layer(from_fn(trace::trace))
}

/// The OpenAPI document of the control API, as `GET /api/v1/openapi.json` answers it.
#[must_use]
pub fn openapi(beside: OpenApi) -> String {
    text(&described(beside).1)
}

fn text(document: &OpenApi) -> String {
    let mut value = serde_json::to_value(document).unwrap_or_default();
    let items = value["paths"].as_object_mut().into_iter().flatten();
    for operation in items.flat_map(|(_, item)| item.as_object_mut().into_iter().flatten()) {
        // OAuth has errors of its own.
        if operation.1["responses"].get("default").is_some() {
            continue;
        }
        operation.1["responses"]["default"] = serde_json::json!({
            "description": "What went wrong",
            "content": {base::problem::MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        });
    }
    let mut text =
        serde_json::to_string_pretty(&value).expect("an OpenAPI document has string keys only");
    text.push('\n');
    text
}

/// The endpoints with their description.
fn described(beside: OpenApi) -> (Router<Control>, OpenApi) {
    let info = InfoBuilder::new()
        .title("Tollway control API")
        .version("v1")
        .description(Some(
            "Documents, their life cycle, credentials. Calls need a bearer token of `POST /api/v1/login`, \
             unless they say otherwise. Errors are RFC 9457 problems with a stable `code`.",
        ))
        .build();
    let base = OpenApiBuilder::new().info(info).build();
    let (router, mut document) = OpenApiRouter::with_openapi(base)
        .merge(documents::router())
        .merge(apis::router())
        .merge(definitions::router())
        .merge(deployments::router())
        .merge(audit::router())
        .merge(backends::router())
        .merge(issuers::router())
        .merge(undo::router())
        .merge(credentials::router())
        .merge(keys::router())
        .merge(registration::router())
        .merge(bundle::router())
        .merge(users::router())
        .merge(sessions::router())
        .merge(self::usage::router())
        .merge(traces::router())
        .split_for_parts();
    let paths = std::mem::take(&mut document.paths.paths);
    document.paths.paths = paths
        .into_iter()
        .map(|(path, item)| (format!("{}{path}", paths::PREFIX), item))
        .collect();
    document.merge(beside);
    let components = document.components.get_or_insert_default();
    components
        .schemas
        .insert("Diagnostic".to_owned(), schema::diagnostic());
    components
        .schemas
        .insert("Problem".to_owned(), schema::problem());
    let mut documents = vec![
        ("Document".to_owned(), Object::schema()),
        ("List_Document".to_owned(), <List<Object>>::schema()),
    ];
    <Object as ToSchema>::schemas(&mut documents);
    components.schemas.extend(documents);
    components.add_security_scheme(
        "bearer",
        SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)),
    );
    document.security = Some(vec![SecurityRequirement::new("bearer", [""; 0])]);
    (router, document)
}

/// 200 when the store answers; the one endpoint without a token.
async fn health(State(control): State<Control>) -> ApiResult<Response> {
    control.store().revision().await?;
    Ok(axum::Json(serde_json::json!({"status": "ok"})).into_response())
}

async fn unknown_path() -> ApiError {
    ApiError::new(code::NOT_FOUND, "there is no such path")
}

async fn unknown_method(request: Request<axum::body::Body>) -> ApiError {
    ApiError::new(
        code::CONTROL_METHOD_NOT_ALLOWED,
        format!("this path has no {}", request.method()),
    )
}

/// Secrets are kept by nobody on the way.
pub(crate) const NO_STORE: (::http::HeaderName, HeaderValue) =
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store"));

#[cfg(test)]
mod tests {
    use ::http::StatusCode;
    use tower::ServiceExt as _;

    use super::*;

    #[tokio::test]
    async fn a_defect_is_a_problem_that_tells_nothing() {
        async fn boom() -> StatusCode {
            panic!("secret of the house")
        }
        let router = guarded(Router::new().route("/", axum::routing::get(boom)));
        let request = Request::get("/").body(axum::body::Body::empty());
        let response = router
            .oneshot(request.expect("a request"))
            .await
            .expect("an answer");
        assert_eq!(response.status(), 500);
        let body = axum::body::to_bytes(response.into_body(), 10_000).await;
        let problem: base::Problem =
            serde_json::from_slice(&body.expect("a body")).expect("a problem");
        assert_eq!(problem.code, "INTERNAL");
        assert_eq!(problem.trace_id.len(), 32);
        assert_eq!(problem.detail, "");
    }

    #[test]
    fn every_reference_of_the_document_leads_somewhere() {
        let document: serde_json::Value =
            serde_json::from_str(&openapi(OpenApi::default())).expect("a JSON document");
        let text = document.to_string();
        let references: Vec<&str> = text
            .split(r#""$ref":"#)
            .skip(1)
            .filter_map(|rest| rest.split('"').nth(1))
            .collect();
        assert!(references.len() > 50);
        for reference in references {
            let pointer = reference.strip_prefix('#').expect("a local reference");
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
    }
}
