//! Wires the parts together, runs them, and lets them leave in order.
//!
//! ```text
//! store ─► acks ─► guard ─► capture and ship (one thread) ─► sessions (a thread a core), admin ─► wait for a signal ─► drain: sessions, then the rest
//! ```

mod backend;
mod certificates;
mod configuring;
mod descriptors;
mod events;
mod fencing;
mod following;
mod gate;
mod hashes;
mod histories;
mod keeper;
mod log;
mod logging;
mod lost_and_found;
mod moving;
mod origins;
mod provisioning;
mod proxy;
mod purge;
mod releasing;
mod reload;
mod roster;
mod status;
pub mod verifying;

use certificates::Certificates;
use descriptors::Descriptors;
use following::Following;
use keeper::Keeper;
pub use roster::server_config;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::ack::Acks;
use crate::admin;
use crate::capture::{self, Capture, Console, Guard, View};
use crate::config::Config;
use crate::gtid::Position;
use crate::ids::{Epoch, Flavor};
use crate::net::listener::Listeners;
use crate::protocol::password::Password;
use crate::session;
use crate::ship::{self, Ship, SourceFacts};
use crate::shutdown::Shutdown;
use crate::store::origins::PendingOrigins;
use crate::store::{self, Store};
use crate::version;
use crate::workers::{Worker, Workers};

const TICK: Duration = Duration::from_millis(10);
const HEARTBEAT: Duration = Duration::from_secs(2);
const GUARD_POLL: Duration = Duration::from_millis(250);
const DRAIN: Duration = Duration::from_secs(10);
/// What readers are told before the source was ever reached.
const UNKNOWN_VERSION: &str = "10.11.0-MariaDB-ackline";

/// What the running parts share.
pub struct App {
    pub path: PathBuf,
    pub config: Arc<arc_swap::ArcSwap<Config>>,
    pub acks: Acks,
    pub store: Store,
    pub capture: View,
    pub guard: Arc<Guard>,
    pub ship: Arc<Ship>,
    pub servers: Arc<roster::Servers>,
    pub sessions: session::Shared,
    pub metrics: metrics_exporter_prometheus::PrometheusHandle,
    pub log_level: Box<dyn Fn(&str) + Send + Sync>,
    pub following: Arc<Following>,
    pub console: Console,
    pub moving: moving::Moving,
    pub provisioning: Arc<provisioning::Provisioning>,
    pub verifying: Arc<verifying::Verifying>,
    pub audited: capture::audit::Counts,
    pub logging: Arc<parking_lot::Mutex<logging::Logging>>,
    pub purger: Arc<purge::Purger>,
    pub certificates: Certificates,
    pub descriptors: Descriptors,
    /// Why the file on disk is not what runs.
    pub config_problem: parking_lot::Mutex<Option<String>>,
    shutdown: Shutdown,
    /// Some of it takes a restart.
    begun_with: Config,
    /// Held by who changes configuration or roles.
    changing: parking_lot::Mutex<()>,
}

/// Sessions leave first: a commit that is at the source needs capture, shipping and the console to
/// come to its end.
#[derive(Default)]
struct Endings {
    sessions: Shutdown,
    rest: Shutdown,
}

/// `ackline serve`: until SIGTERM or SIGINT.
pub async fn serve(path: &Path) -> anyhow::Result<()> {
    let config = Config::load(path)?;
    let log_level = log::start(&config);
    let descriptors = descriptors::raise();
    let endings = Endings::default();
    let shutdown = &endings.rest;
    let metrics = admin::metrics::install()?;
    shutdown.spawn(admin::metrics::upkeep(metrics.clone(), shutdown.clone()));
    let app = start(path, config, log_level, metrics, descriptors, &endings).await?;
    tracing::info!(source = %app.config.load().source().name, binlog = %app.config.load().binlog.dir.display(), "ackline serves");
    reload::run_until_stopped(&app).await?;
    tracing::info!("draining");
    if !endings.sessions.drain(DRAIN).await {
        tracing::warn!("some sessions did not end within 10 s and are cut");
    }
    keeper::keep_at_the_end(&app.keeper());
    if !endings.rest.drain(DRAIN).await {
        tracing::warn!("some connections did not end within 10 s and are cut");
    }
    keeper::keep_at_the_end(&app.keeper());
    let config = app.config.load();
    let source = &config.source().name;
    tracing::info!(%source, "drained. The source is as it was: what is committed there waits until ackline is back; ackline help leaving lets it go");
    Ok(())
}

async fn start(
    path: &Path,
    config: Config,
    log_level: Box<dyn Fn(&str) + Send + Sync>,
    metrics: metrics_exporter_prometheus::PrometheusHandle,
    descriptors: Descriptors,
    endings: &Endings,
) -> anyhow::Result<Arc<App>> {
    let shutdown = &endings.rest;
    // Everything that can be refused by the system comes first, so that a second proxy fails before
    // it touches anything.
    let mut mysql = Listeners::bind(&config.listen.mysql).await?;
    if let Some(socket) = &config.listen.socket {
        mysql.bind_unix(socket)?;
    }
    let certificates = Certificates::load(&config.tls, &config.binlog.dir)?;
    let replication = Listeners::bind(&config.listen.replication).await?;
    let mut admin_listeners = Vec::new();
    for address in &config.listen.admin {
        admin_listeners.push(
            TcpListener::bind(address)
                .await
                .with_context(|| format!("cannot listen on {address}"))?,
        );
    }

    let observer = Arc::new(releasing::Told::default());
    let options = store::Options {
        dir: config.binlog.dir.clone(),
        file_size: config.binlog.file_size,
    };
    let (store, writer, recovery) =
        Store::open(options, observer.clone()).context("the binlog store")?;
    tracing::info!(?recovery, end = %store.end(), "binlog opened");
    let durable = store.durable();
    let epoch = durable.epoch.max(Epoch(1));
    let source = following::source_of(&config, &durable);
    let config = following::as_it_is(config, &source)?;
    let following = Arc::new(Following::begin(&config, epoch));
    let acks = releasing::begin(&config, &store, &durable, epoch)?;
    observer.tell(acks.clone(), *store.marks().borrow());

    let guard = Arc::new(Guard::default());
    let source = config.source().clone();
    let console = Console::start(roster::account(&source), shutdown);
    let walker = Worker::start("histories", shutdown).context("cannot start a thread")?;
    let histories = histories::Histories::new(
        acks.clone(),
        store.clone(),
        config.binlog.format == crate::config::BinlogFormat::Statement,
        walker,
        shutdown.clone(),
    );
    let servers = roster::Servers::new(
        acks.clone(),
        store.clone(),
        follow_end(&store, &acks, shutdown),
        histories,
        shutdown.clone(),
    );
    servers.configure(&config);
    let capture_config = capture::Config {
        server_id: config.replication.server_id,
        binlog_format: config.binlog.format.to_string().to_ascii_uppercase(),
        heartbeat: HEARTBEAT,
        replicas: {
            let servers = servers.clone();
            Arc::new(move || servers.replicas())
        },
    };
    let (capture, view) = Capture::new(
        capture_config,
        following.orders(),
        store.clone(),
        writer,
        acks.clone(),
        (guard.clone(), console.clone()),
        shutdown.clone(),
    );
    let ship_config = ship::Config {
        user: config.replication.user.clone(),
        password: config.replication.password.expose().to_owned(),
        server_id: config.replication.server_id,
        tls: certificates.replication.clone(),
    };
    let ship = Ship::new(
        ship_config,
        store.clone(),
        acks.clone(),
        servers.roster(),
        source_facts(&view, recovery.server_version.as_deref(), shutdown),
        shutdown.clone(),
    );

    let pending_origins = PendingOrigins::default();
    let gate = Arc::new(gate::AppGate {
        following: following.clone(),
        acks: acks.clone(),
        guard: guard.clone(),
        console: console.clone(),
        capture: view.clone(),
        origins: pending_origins.clone(),
        hashes: Default::default(),
    });
    let session_config = session::Config {
        tls: certificates.applications.clone(),
        proxy_protocol_from: config.listen.proxy_protocol_from.clone(),
        users: config.users.iter().map(account).collect(),
        login_hold: config.failover.hold,
        login_timeout: config.login_timeout,
        ..session::Config::default()
    };
    let sessions = session::Shared {
        gate,
        config: Arc::new(session_config),
        allowed: session::AllowedUsers::new(config.allow_hazards.clone()),
        metrics: session::Metrics::default(),
        registry: session::Registry::new(),
        passwords: Default::default(),
        password_key: Default::default(),
    };
    let limit = descriptors.limit_of_sessions(config.max_connections);
    sessions.registry.set_limit(limit);
    let begun_with = config.clone();
    let config = Arc::new(arc_swap::ArcSwap::from_pointee(config));
    let provisioning = provisioning::Provisioning::start(shutdown);
    let provisioning = Arc::new(provisioning.context("cannot start a thread")?);
    let app = Arc::new(App {
        path: path.to_owned(),
        verifying: Arc::new(verifying::Verifying::of(&store)),
        purger: purge::Purger::new(
            config.clone(),
            store.clone(),
            servers.clone(),
            ship.clone(),
            provisioning.clone(),
        ),
        provisioning,
        config,
        acks: acks.clone(),
        store,
        capture: view,
        guard: guard.clone(),
        ship: ship.clone(),
        servers,
        sessions: sessions.clone(),
        metrics,
        log_level,
        following,
        console: console.clone(),
        moving: Default::default(),
        audited: capture::audit::Counts::default(),
        logging: Default::default(),
        certificates,
        descriptors,
        config_problem: parking_lot::Mutex::new(None),
        shutdown: shutdown.clone(),
        begun_with,
        changing: parking_lot::Mutex::default(),
    });

    // It begins where our binlog ends now, so before anything is captured.
    let audit_worker = Worker::start("audit", shutdown).context("cannot start a thread")?;
    let following = app.following.clone();
    let audit = capture::audit::follow(
        app.store.clone(),
        Box::new(move || roster::account(&following.present().server)),
        app.audited.clone(),
        shutdown.clone(),
    );
    audit_worker.spawn(shutdown, audit);
    let dir = app.config.load().binlog.dir.as_path().into();
    let origins = origins::keep(
        app.store.clone(),
        dir,
        pending_origins,
        acks.clone(),
        shutdown.clone(),
    );
    audit_worker.spawn(shutdown, origins);
    // Capture and shipping meet at every commit.
    let binlog_worker = Worker::start("binlog", shutdown).context("cannot start a thread")?;
    binlog_worker.spawn(shutdown, run_capture(capture, shutdown.clone()));
    let guests = session::guest::guests(ship.clone(), sessions.clone());
    binlog_worker.spawn(shutdown, ship.listen(replication, guests));
    let ending = &endings.sessions;
    let workers = Workers::start("sessions", ending).context("cannot start threads")?;
    ending.spawn(session::serve(mysql, workers, sessions, ending.clone()));
    for listener in admin_listeners {
        let backend: Arc<dyn admin::Backend> = Arc::new(backend::AppBackend(app.clone()));
        let ending = shutdown.clone();
        shutdown.spawn(async move {
            if let Err(error) = admin::serve(listener, backend, ending).await {
                tracing::error!(%error, "the admin listener ended");
            }
        });
    }
    let ending = shutdown.clone();
    shutdown.spawn(async move { guard.poll(&console, GUARD_POLL, &ending).await });
    let ending = shutdown.clone();
    shutdown.spawn(async move {
        let mut tick = tokio::time::interval(TICK);
        while !ending.is_cancelled() {
            tick.tick().await;
            acks.tick();
        }
    });
    keeper::start(app.keeper(), shutdown);
    let watch = logging::Watch {
        config: app.config.clone(),
        capture: app.capture.state.clone(),
        servers: app.servers.clone(),
        logging: app.logging.clone(),
    };
    logging::start(watch, shutdown);
    app.purger.start(shutdown);
    shutdown.spawn_until_cancelled(fencing::watch(app.clone()));
    shutdown.spawn_until_cancelled(provisioning::watch(app.clone()));
    shutdown.spawn_until_cancelled(verifying::watch(app.clone()));
    events::start(app.clone(), shutdown);
    shutdown.spawn_until_cancelled(moving::finish_later(app.clone()));
    Ok(app)
}

/// The drain waits for it, because it closes the binlog.
async fn run_capture(capture: Capture, shutdown: Shutdown) {
    capture.run().await;
    if !shutdown.is_cancelled() {
        tracing::error!("capture ended by itself; commits wait until ackline is started again");
    }
}

/// The GTID position at the store's end, kept up to date only while somebody asks replicas for it.
fn follow_end(store: &Store, acks: &Acks, shutdown: &Shutdown) -> watch::Receiver<Position> {
    let (sender, receiver) = watch::channel(store.end());
    let (store, mut needed) = (store.clone(), acks.applied_wanted());
    shutdown.spawn_until_cancelled(async move {
        let mut written = store.written();
        while needed.wait_for(|needed| *needed).await.is_ok() {
            sender.send_replace(store.end());
            if written.changed().await.is_err() {
                return;
            }
        }
    });
    receiver
}

/// Kept while the source is dead: its replicas go on asking us.
fn source_facts(
    view: &View,
    last_known: Option<&str>,
    shutdown: &Shutdown,
) -> watch::Receiver<SourceFacts> {
    let (sender, receiver) = watch::channel(SourceFacts {
        known: last_known.is_some(),
        version: version::greeting(last_known.unwrap_or(UNKNOWN_VERSION)),
        gtid_domain_id: 0,
    });
    let mut source = view.source.clone();
    shutdown.spawn_until_cancelled(async move {
        loop {
            if let Some(source) = &*source.borrow_and_update() {
                sender.send_replace(SourceFacts {
                    known: true,
                    version: version::greeting(&source.version),
                    gtid_domain_id: source.domain,
                });
            }
            if source.changed().await.is_err() {
                return;
            }
        }
    });
    receiver
}

/// Of `[[user]]`, for sessions.
fn account(user: &crate::config::User) -> (Vec<u8>, Arc<Password>) {
    let password = user.password.expose().as_bytes().to_vec();
    let name = user.name.as_bytes().to_vec();
    (name, Arc::new(Password::new(password)))
}

impl App {
    fn keeper(&self) -> Keeper {
        Keeper {
            acks: self.acks.clone(),
            capture: self.capture.clone(),
            following: self.following.clone(),
            store: self.store.clone(),
        }
    }

    /// Of the source; while it has never been reached, of our binlog.
    pub fn flavor(&self) -> Flavor {
        let source = self.capture.source.borrow();
        let of_source = source.as_ref().map(|source| source.flavor);
        of_source.unwrap_or_else(|| self.store.state().flavor())
    }
}
