//! Routes.

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Json, Response};
use axum::routing::get;
use tokio::net::TcpListener;

use super::page::PAGE;
use super::status::Status;
use crate::shutdown::Shutdown;

const LARGEST_BODY: usize = 64 * 1024;

/// A change of `[sync]`, as JSON; its keys are the file's.
pub type Change = serde_json::Value;

/// Why a change was not made; nothing has changed then.
#[derive(Debug)]
pub enum Refusal {
    /// The request is wrong.
    Invalid(String),
    /// It could not be written into the configuration file.
    Failed(String),
}

/// What the API shows and changes.
pub trait Backend: Send + Sync + 'static {
    fn status(&self) -> Status;
    /// Why nobody is served now.
    fn not_ready(&self) -> Option<String>;
    /// In Prometheus' text format.
    fn metrics(&self) -> String;
    /// The present `[sync]`.
    fn sync(&self) -> serde_json::Value;
    /// Writes the change into the file and lets it take effect. Blocks on the disk.
    fn change_sync(&self, change: Change) -> Result<serde_json::Value, Refusal>;
    fn token(&self) -> Option<String>;
}

/// Serves until shutdown.
pub async fn serve(
    listener: TcpListener,
    backend: Arc<dyn Backend>,
    shutdown: Shutdown,
) -> std::io::Result<()> {
    let router = Router::new()
        .route("/", get(|| async { Html(PAGE) }))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/api/v1/status", get(status))
        .route("/api/v1/sync", get(sync).put(change_sync))
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .with_state(backend);
    axum::serve(listener, router)
        .with_graceful_shutdown(async move { shutdown.cancelled().await })
        .await
}

type Shared = State<Arc<dyn Backend>>;

async fn ready(State(backend): Shared) -> Response {
    match backend.not_ready() {
        None => "ready\n".into_response(),
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response(),
    }
}

async fn metrics(State(backend): Shared) -> Response {
    (
        [(header::CONTENT_TYPE, "text/plain; version=0.0.4")],
        backend.metrics(),
    )
        .into_response()
}

async fn status(State(backend): Shared) -> Json<Status> {
    Json(backend.status())
}

async fn sync(State(backend): Shared) -> Json<serde_json::Value> {
    Json(backend.sync())
}

async fn change_sync(
    State(backend): Shared,
    headers: HeaderMap,
    body: axum::body::Bytes,
) -> Response {
    if let Err((status, message)) = authorize(&headers, backend.token()) {
        return refuse(status, message);
    }
    let change: Change = match serde_json::from_slice(&body) {
        Ok(change) => change,
        Err(error) => {
            return refuse(
                StatusCode::BAD_REQUEST,
                &format!("the body is no JSON: {error}"),
            );
        }
    };
    match tokio::task::spawn_blocking(move || backend.change_sync(change)).await {
        Ok(Ok(now)) => Json(now).into_response(),
        Ok(Err(Refusal::Invalid(message))) => refuse(StatusCode::BAD_REQUEST, &message),
        Ok(Err(Refusal::Failed(message))) => refuse(StatusCode::INTERNAL_SERVER_ERROR, &message),
        Err(_) => refuse(StatusCode::INTERNAL_SERVER_ERROR, "the change failed"),
    }
}

fn refuse(status: StatusCode, message: &str) -> Response {
    (status, Json(serde_json::json!({ "error": message }))).into_response()
}

fn authorize(headers: &HeaderMap, token: Option<String>) -> Result<(), (StatusCode, &'static str)> {
    let Some(token) = token else {
        return Err((
            StatusCode::FORBIDDEN,
            "calls that change something are off: set [admin] token or token_file",
        ));
    };
    let given = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
    match given {
        Some(given) if same(given, token.as_bytes()) => Ok(()),
        _ => Err((
            StatusCode::UNAUTHORIZED,
            "the Authorization header must be: Bearer TOKEN",
        )),
    }
}

/// In constant time for one length.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_token_opens() {
        let headers =
            |value: &str| HeaderMap::from_iter([(header::AUTHORIZATION, value.parse().unwrap())]);
        let token = || Some("secret".to_owned());
        assert!(authorize(&headers("Bearer secret"), token()).is_ok());
        for wrong in [
            "Bearer secreT",
            "Bearer secret2",
            "Bearer ",
            "secret",
            "Basic secret",
        ] {
            assert_eq!(
                authorize(&headers(wrong), token()).unwrap_err().0,
                StatusCode::UNAUTHORIZED,
                "{wrong}"
            );
        }
        assert_eq!(
            authorize(&HeaderMap::new(), token()).unwrap_err().0,
            StatusCode::UNAUTHORIZED
        );
        assert_eq!(
            authorize(&headers("Bearer "), None).unwrap_err().0,
            StatusCode::FORBIDDEN
        );
    }
}
