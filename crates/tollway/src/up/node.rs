//! What an operator's tools ask a node: probes and metrics. Open on loopback, with a token elsewhere (req: S3).

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base::{Problem, Secret, code};
use prometheus_client::registry::Registry;
use store::Store;

use super::exposition;

/// What the probes and the metrics page read.
pub(crate) struct NodeState {
    /// Whether everything has been started once.
    pub(crate) started: Box<dyn Fn() -> bool + Send + Sync>,
    /// Why the node should get no traffic; empty when it should.
    pub(crate) not_ready: Box<dyn Fn() -> Vec<String> + Send + Sync>,
    /// What is worth knowing of a node that should get traffic.
    pub(crate) notes: Box<dyn Fn() -> Vec<String> + Send + Sync>,
    /// Asked whether it answers; `None` where the node serves without it.
    pub(crate) store: Option<Arc<dyn Store>>,
    /// All metrics.
    pub(crate) registry: Registry,
    /// The bearer token that callers need; `None` = open.
    pub(crate) token: Option<Secret<String>>,
}

/// The router of the node's own listener.
pub(crate) fn router(state: Arc<NodeState>) -> Router {
    Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/startupz", get(startup))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .layer(middleware::from_fn_with_state(
            Arc::clone(&state),
            authorize,
        ))
        .with_state(state)
}

async fn startup(State(state): State<Arc<NodeState>>) -> Response {
    if (state.started)() {
        "ok\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "starting\n").into_response()
    }
}

async fn ready(State(state): State<Arc<NodeState>>) -> Response {
    let mut reasons = (state.not_ready)();
    if let Some(store) = &state.store
        && store.revision().await.is_err()
    {
        reasons.push("the store does not answer".into());
    }
    if reasons.is_empty() {
        let mut lines = vec!["ok".to_owned()];
        lines.extend((state.notes)());
        return format!("{}\n", lines.join("\n")).into_response();
    }
    (
        StatusCode::SERVICE_UNAVAILABLE,
        format!("{}\n", reasons.join("\n")),
    )
        .into_response()
}

async fn metrics(State(state): State<Arc<NodeState>>, headers: HeaderMap) -> Response {
    let mut text = String::new();
    if prometheus_client::encoding::text::encode(&mut text, &state.registry).is_err() {
        return problem(code::INTERNAL, "the metrics cannot be written");
    }
    let (content_type, text) = if exposition::wants_openmetrics(&headers) {
        (exposition::OPENMETRICS, text)
    } else {
        (exposition::TEXT, exposition::classic(&text))
    };
    let content_type = HeaderValue::from_static(content_type);
    ([(header::CONTENT_TYPE, content_type)], text).into_response()
}

async fn authorize(State(state): State<Arc<NodeState>>, request: Request, next: Next) -> Response {
    let Some(token) = &state.token else {
        return next.run(request).await;
    };
    let presented = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let presented = presented
        .and_then(|value| value.strip_prefix("Bearer "))
        .unwrap_or_default();
    if credentials::equal(presented.as_bytes(), token.expose().as_bytes()) {
        return next.run(request).await;
    }
    problem(
        code::UNAUTHENTICATED,
        "this address needs the node's bearer token",
    )
}

fn problem(code: base::Code, detail: &str) -> Response {
    let status = StatusCode::from_u16(code.status).expect("the table of codes has valid statuses");
    let body = serde_json::to_string(&Problem::new(code, detail)).expect("a problem is plain JSON");
    (
        status,
        [(header::CONTENT_TYPE, base::problem::MEDIA_TYPE)],
        body,
    )
        .into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn status(
        token: Option<&str>,
        path: &str,
        authorization: Option<&str>,
        ready: bool,
    ) -> StatusCode {
        use tower::ServiceExt;
        let folder = tempfile::tempdir().unwrap();
        let options = store_sql::OpenOptions::at(folder.path().join("tollway.db"));
        let store = store_sql::SqlStore::open(&options).await.unwrap();
        let state = NodeState {
            started: Box::new(|| true),
            not_ready: Box::new(move || {
                if ready {
                    vec![]
                } else {
                    vec!["store".to_owned()]
                }
            }),
            notes: Box::new(Vec::new),
            store: Some(Arc::new(store)),
            registry: Registry::default(),
            token: token.map(|token| Secret::new(token.to_owned())),
        };
        let mut request = Request::get(path);
        if let Some(value) = authorization {
            request = request.header(header::AUTHORIZATION, value);
        }
        let request = request.body(axum::body::Body::empty()).unwrap();
        router(Arc::new(state))
            .oneshot(request)
            .await
            .unwrap()
            .status()
    }

    #[tokio::test]
    async fn readiness_tells_the_truth() {
        assert_eq!(status(None, "/readyz", None, true).await, StatusCode::OK);
        assert_eq!(
            status(None, "/readyz", None, false).await,
            StatusCode::SERVICE_UNAVAILABLE
        );
        assert_eq!(status(None, "/livez", None, false).await, StatusCode::OK);
        assert_eq!(status(None, "/metrics", None, false).await, StatusCode::OK);
    }

    /// req: S3
    #[tokio::test]
    async fn a_token_is_demanded_where_there_is_one() {
        for path in ["/livez", "/readyz", "/startupz", "/metrics"] {
            assert_eq!(
                status(Some("t0ken"), path, None, true).await,
                StatusCode::UNAUTHORIZED,
                "{path}"
            );
            assert_eq!(
                status(Some("t0ken"), path, Some("Bearer no"), true).await,
                StatusCode::UNAUTHORIZED
            );
            assert_eq!(
                status(Some("t0ken"), path, Some("Bearer t0ken"), true).await,
                StatusCode::OK,
                "{path}"
            );
        }
    }
}
