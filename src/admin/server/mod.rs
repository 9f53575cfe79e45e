//! Routes, and the connections that they are reached by.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::accept::{Accepted, Holes, Source};
use super::moves::{Rejoin, Request as MoveRequest};
use super::page::PAGE;
use super::provision::{Begun, Request as ProvisionRequest};
use super::purge::{Answer, Order};
use super::status::Status;
use super::{metrics, token, trace, verify};
use crate::failover::Moved;
use crate::failover::mover::Rehearsal;
use crate::failover::rejoin::Home;
use crate::shutdown::Shutdown;
use crate::store::state::MoveKind;

const LARGEST_BODY: usize = 64 * 1024;
/// Scrapers, status pages and scripts are few; whoever is beyond this waits.
const MOST_CONNECTIONS: usize = 128;
/// For a request's head, and so also for how long an idle connection is kept.
const HEAD_WITHIN: Duration = Duration::from_secs(15);
/// From a request's head to its answer. A change of policy is a few fsyncs.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// A reader that takes nothing is given up after this.
const LONGEST_CONNECTION: Duration = Duration::from_secs(600);
/// After a failed accept (usually: no descriptor left), so that the loop does not spin.
const PAUSE: Duration = Duration::from_millis(50);

/// A change of `[sync]`, as JSON; its keys are the file's.
pub type Change = serde_json::Value;

/// Why a change was not made; nothing has changed then.
#[derive(Debug)]
pub enum Refusal {
    /// The request is wrong.
    Invalid(String),
    /// It could not be written into the configuration file.
    Failed(String),
    /// As things are, it must not be done.
    Conflict(String),
}

/// What the API shows and changes.
pub trait Backend: Send + Sync + 'static {
    fn status(&self) -> Status;
    /// Why nobody is served now.
    fn not_ready(&self) -> Option<String>;
    /// Counters and histograms, in Prometheus' text format; the gauges are made from `status`.
    fn metrics(&self) -> String;
    /// The present `[sync]`.
    fn sync(&self) -> serde_json::Value;
    /// Writes the change into the file and lets it take effect. Blocks on the disk.
    fn change_sync(&self, change: Change) -> Result<serde_json::Value, Refusal>;
    /// Removes binlog files. Blocks on the disk.
    fn purge(&self, order: &Order) -> Result<Answer, Refusal>;
    /// What a replica lacks is no hole any more. Blocks on the disk.
    fn accept_holes(&self, holes: &Holes) -> Result<Accepted, Refusal>;
    /// The source's binlog, as it is now, is the one to go on with. Blocks on the disk.
    fn accept_source(&self, source: &Source) -> Result<Source, Refusal>;
    /// Makes a replica of a server that was the source, to the end, though the one who asked for it leaves.
    fn rejoin(&self, server: &Rejoin) -> Homecoming;
    /// Begins to make a replica of a server, and returns.
    fn provision(&self, request: ProvisionRequest) -> Beginning;
    /// Begins to compare the replicas' rows with the source's, and returns.
    fn verify(&self, request: verify::Request) -> Comparing;
    /// Moves the source, to the end, though the one who asked for it leaves.
    fn move_source(&self, kind: MoveKind, request: MoveRequest) -> Moving;
    fn token(&self) -> Option<String>;
}

/// What came of a move, or why there was none.
pub type Moving = Pin<Box<dyn Future<Output = Result<Outcome, Refusal>> + Send>>;

pub type Homecoming = Pin<Box<dyn Future<Output = Result<Home, Refusal>> + Send>>;

pub type Beginning = Pin<Box<dyn Future<Output = Result<Begun, Refusal>> + Send>>;

pub type Comparing = Pin<Box<dyn Future<Output = Result<verify::Begun, Refusal>> + Send>>;

pub enum Outcome {
    Rehearsed(Rehearsal),
    Moved(Moved),
}

/// Serves until shutdown.
pub async fn serve(
    listener: TcpListener,
    backend: Arc<dyn Backend>,
    shutdown: Shutdown,
) -> std::io::Result<()> {
    let router = router(backend);
    let free = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            // Cancel-safe, both.
            accepted = async {
                let place = free.clone().acquire_owned().await;
                (listener.accept().await, place)
            } => accepted,
            () = shutdown.cancelled() => return Ok(()),
        };
        match accepted {
            (Ok((stream, peer)), Ok(place)) => {
                let router = router.clone().layer(Extension(Peer(peer)));
                let connection = answer(stream, router, shutdown.clone());
                shutdown.spawn(async move {
                    connection.await;
                    drop(place);
                });
            }
            (Err(error), _) => {
                tracing::warn!(%error, "accepting a connection of the admin port failed");
                tokio::time::sleep(PAUSE).await;
            }
            // The semaphore is never closed.
            (Ok(_), Err(_)) => {}
        }
    }
}

/// One connection, to its end.
async fn answer(stream: TcpStream, router: Router, shutdown: Shutdown) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    tokio::pin!(connection);
    tokio::select! {
        // What goes wrong here is the client's (it left, it sent no HTTP): there is nobody to tell.
        _ = tokio::time::timeout(LONGEST_CONNECTION, &mut connection) => return,
        () = shutdown.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

fn router(backend: Arc<dyn Backend>) -> Router {
    Router::new()
        .route("/", get(page))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(scrape))
        .route("/api/v1/status", get(status))
        .route("/api/v1/sync", get(sync).put(change_sync))
        .route("/api/v1/binlog/purge", post(purge))
        .route("/api/v1/accept", post(accept_holes))
        .route("/api/v1/source/accept", post(accept_source))
        .route("/api/v1/trace", post(take_trace))
        .layer(middleware::from_fn(within_time))
        // These take as long as they take, up to the connection's end.
        .route("/api/v1/switchover", post(switchover))
        .route("/api/v1/failover", post(failover))
        .route("/api/v1/rejoin", post(rejoin))
        .route("/api/v1/provision", post(provision))
        .route("/api/v1/verify", post(compare))
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .with_state(backend)
}

type Shared = State<Arc<dyn Backend>>;

/// Who asks.
#[derive(Clone, Copy)]
struct Peer(SocketAddr);

async fn within_time(request: Request, next: Next) -> Response {
    let mut answer = match tokio::time::timeout(ANSWER_WITHIN, next.run(request)).await {
        Ok(answer) => answer,
        Err(_) => refuse(StatusCode::REQUEST_TIMEOUT, "the request took too long"),
    };
    let headers = answer.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    answer
}

async fn page() -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        // The page is one file: whatever else asked to be loaded would be somebody else's.
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
             connect-src 'self'; frame-ancestors 'none'; base-uri 'none'",
        ),
    ];
    (headers, PAGE).into_response()
}

async fn ready(State(backend): Shared) -> Response {
    match backend.not_ready() {
        None => "ready\n".into_response(),
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response(),
    }
}

async fn scrape(State(backend): Shared) -> Response {
    let headers = [(header::CONTENT_TYPE, "text/plain; version=0.0.4")];
    let text = backend.metrics() + &metrics::gauges(&backend.status());
    (headers, text).into_response()
}

async fn status(State(backend): Shared) -> Json<Status> {
    Json(backend.status())
}

async fn sync(State(backend): Shared) -> Json<serde_json::Value> {
    Json(backend.sync())
}

async fn change_sync(
    State(backend): Shared,
    Extension(Peer(peer)): Extension<Peer>,
    headers: HeaderMap,
    body: axum::body::Bytes,
) -> Response {
    ordered(
        backend,
        &headers,
        &body,
        move |backend, change: Change| match change {
            Change::Object(_) => {
                tracing::info!(%peer, %change, "somebody asks for another [sync]");
                backend.change_sync(change)
            }
            _ => Err(Refusal::Invalid("the body is no JSON object".into())),
        },
    )
    .await
}

async fn purge(State(backend): Shared, headers: HeaderMap, body: axum::body::Bytes) -> Response {
    ordered(backend, &headers, &body, |backend, order: Order| {
        backend.purge(&order)
    })
    .await
}

async fn accept_holes(
    State(backend): Shared,
    headers: HeaderMap,
    body: axum::body::Bytes,
) -> Response {
    ordered(backend, &headers, &body, |backend, holes: Holes| {
        backend.accept_holes(&holes)
    })
    .await
}

async fn take_trace(
    State(backend): Shared,
    headers: HeaderMap,
    body: axum::body::Bytes,
) -> Response {
    if let Err((status, message)) = token::authorize(&headers, backend.token().as_deref()) {
        return refuse(status, message);
    }
    let duration = match serde_json::from_slice::<trace::Request>(&body) {
        Ok(request) => request.duration(),
        Err(error) => Err(format!("the body is no order to trace: {error}")),
    };
    match duration {
        Err(message) => refuse(StatusCode::BAD_REQUEST, &message),
        Ok(duration) => match trace::run(duration).await {
            Some(trace) => Json(trace).into_response(),
            None => refuse(StatusCode::CONFLICT, "another trace is under way"),
        },
    }
}

async fn accept_source(
    State(backend): Shared,
    headers: HeaderMap,
    body: axum::body::Bytes,
) -> Response {
    ordered(backend, &headers, &body, |backend, source: Source| {
        backend.accept_source(&source)
    })
    .await
}

/// A call that changes something, and may block on the disk.
async fn ordered<Q, A>(
    backend: Arc<dyn Backend>,
    headers: &HeaderMap,
    body: &[u8],
    carry_out: impl FnOnce(&dyn Backend, Q) -> Result<A, Refusal> + Send + 'static,
) -> Response
where
    Q: serde::de::DeserializeOwned + Send + 'static,
    A: serde::Serialize + Send + 'static,
{
    if let Err((status, message)) = token::authorize(headers, backend.token().as_deref()) {
        return refuse(status, message);
    }
    let order: Q = match serde_json::from_slice(body) {
        Ok(order) => order,
        Err(error) => {
            let message = format!("the body is not what is asked for here: {error}");
            return refuse(StatusCode::BAD_REQUEST, &message);
        }
    };
    changed(tokio::task::spawn_blocking(move || carry_out(&*backend, order)).await)
}

async fn switchover(backend: Shared, headers: HeaderMap, body: axum::body::Bytes) -> Response {
    move_source(backend, MoveKind::Switchover, &headers, &body).await
}

async fn failover(backend: Shared, headers: HeaderMap, body: axum::body::Bytes) -> Response {
    move_source(backend, MoveKind::Failover, &headers, &body).await
}

async fn rejoin(State(backend): Shared, headers: HeaderMap, body: axum::body::Bytes) -> Response {
    let order = |server: Rejoin| backend.rejoin(&server);
    carried_out(backend.token(), &headers, &body, "to bring home", order).await
}

async fn provision(
    State(backend): Shared,
    headers: HeaderMap,
    body: axum::body::Bytes,
) -> Response {
    let order = |request: ProvisionRequest| backend.provision(request);
    carried_out(backend.token(), &headers, &body, "to provision", order).await
}

async fn compare(State(backend): Shared, headers: HeaderMap, body: axum::body::Bytes) -> Response {
    if let Err((status, message)) = token::authorize(&headers, backend.token().as_deref()) {
        return refuse(status, message);
    }
    // Without a word, everything.
    let asked = match body.is_empty() {
        true => Ok(verify::Request::default()),
        false => serde_json::from_slice(&body),
    };
    match asked {
        Ok(asked) => changed(Ok(backend.verify(asked).await)),
        Err(error) => {
            let message = format!("the body does not say what to compare: {error}");
            refuse(StatusCode::BAD_REQUEST, &message)
        }
    }
}

/// What is done with a server that the body names.
async fn carried_out<Q: serde::de::DeserializeOwned, A: serde::Serialize>(
    token: Option<String>,
    headers: &HeaderMap,
    body: &[u8],
    what: &str,
    order: impl FnOnce(Q) -> Pin<Box<dyn Future<Output = Result<A, Refusal>> + Send>>,
) -> Response {
    if let Err((status, message)) = token::authorize(headers, token.as_deref()) {
        return refuse(status, message);
    }
    match serde_json::from_slice(body) {
        Ok(asked) => changed(Ok(order(asked).await)),
        Err(error) => {
            let message = format!("the body names no server {what}: {error}");
            refuse(StatusCode::BAD_REQUEST, &message)
        }
    }
}

async fn move_source(
    State(backend): Shared,
    kind: MoveKind,
    headers: &HeaderMap,
    body: &[u8],
) -> Response {
    if let Err((status, message)) = token::authorize(headers, backend.token().as_deref()) {
        return refuse(status, message);
    }
    let request = match body {
        [] => Ok(MoveRequest::default()),
        body => serde_json::from_slice(body),
    };
    let request = match request {
        Ok(request) => request,
        Err(error) => {
            let message = format!("the body is no order to move the source: {error}");
            return refuse(StatusCode::BAD_REQUEST, &message);
        }
    };
    match backend.move_source(kind, request).await {
        Ok(Outcome::Rehearsed(rehearsal)) => Json(rehearsal).into_response(),
        Ok(Outcome::Moved(moved)) if moved.is_done() => Json(moved).into_response(),
        Ok(Outcome::Moved(moved)) => (StatusCode::CONFLICT, Json(moved)).into_response(),
        Err(Refusal::Invalid(message)) => refuse(StatusCode::BAD_REQUEST, &message),
        Err(Refusal::Failed(message)) => refuse(StatusCode::INTERNAL_SERVER_ERROR, &message),
        Err(Refusal::Conflict(message)) => refuse(StatusCode::CONFLICT, &message),
    }
}

fn changed<T: serde::Serialize>(
    done: Result<Result<T, Refusal>, tokio::task::JoinError>,
) -> Response {
    match done {
        Ok(Ok(now)) => Json(now).into_response(),
        Ok(Err(Refusal::Invalid(message))) => refuse(StatusCode::BAD_REQUEST, &message),
        Ok(Err(Refusal::Failed(message))) => refuse(StatusCode::INTERNAL_SERVER_ERROR, &message),
        Ok(Err(Refusal::Conflict(message))) => refuse(StatusCode::CONFLICT, &message),
        Err(_) => refuse(StatusCode::INTERNAL_SERVER_ERROR, "the change failed"),
    }
}

fn refuse(status: StatusCode, message: &str) -> Response {
    (status, Json(serde_json::json!({ "error": message }))).into_response()
}

#[cfg(test)]
mod tests;
