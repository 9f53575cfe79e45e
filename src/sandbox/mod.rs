//! A source, its replicas and the proxy on loopback, out of the locally installed server.
//!
//! ```text
//! DIR/plan.json        what was decided once: ports, passwords, options (0600)
//! DIR/config.toml      the proxy's configuration
//! DIR/sandbox.json     for scripts: addresses, passwords, pids of the last `up` (0600)
//! DIR/binlog/          the proxy's store and state
//! DIR/proxy.log
//! DIR/source/          data/ tmp/ my.cnf server.log server.pid, MariaDB: sock
//! DIR/replica1/ …      the same
//! ```
//!
//! Invariants:
//! - The plan is on disk before the first process starts, and every data directory appears by a
//!   rename when it is complete: after a kill at any moment both `up` and `down` go on from there.
//! - A process is ours because its *command line names our folder*, never because a file names its
//!   pid: pids are used again, and a server writes its pid file late. Signals go through a pidfd.
//! - One command at a time works on a folder (`DIR/.lock`). A forked child holds the lock until its
//!   exec has given it the command line by which it is found.
//! - Nothing is overwritten that a user may have edited (`my.cnf`, `config.toml`).

mod accounts;
mod data_dir;
mod error;
mod folder;
mod installation;
mod lock;
mod manifest;
mod option_file;
mod plan;
mod process;
mod proxy;
mod replication;
mod server;
mod startup;

use std::path::Path;
use std::time::Duration;

pub use error::Error;
pub use manifest::Manifest;
pub use plan::Request;

use folder::Folder;
use installation::Installation;
use lock::Lock;
use plan::Plan;
use process::Process;
use server::Server;
use startup::{Outcome, Startup};

/// How long a part may take to leave before it is killed.
const PROXY_LEAVES: Duration = Duration::from_secs(20);
const SERVERS_LEAVE: Duration = Duration::from_secs(60);

/// Takes one line of progress at a time.
pub type Report<'a> = &'a dyn Fn(&str);

/// Starts whatever is not running, and returns once a commit through the proxy worked.
pub async fn up(request: &Request, report: Report<'_>) -> Result<Manifest, Error> {
    let folder = Folder::create(&request.dir)?;
    let _lock = Lock::acquire(&folder).await?;
    let plan = Plan::load_or_decide(&folder, request).await?;
    let installation = Installation::find(plan.flavor, plan.server_root.as_deref())?;
    let servers = Server::all(&folder, &plan);

    for server in &servers {
        if server.process().is_none() {
            plan.ports.check(server.port, &server.name).await?;
        }
    }
    if proxy::running(&folder).is_none() {
        plan.ports.check_proxy().await?;
    }

    let kept = crate::store::state::DurableState::load(&folder.binlog()).unwrap_or_default();
    let source = kept.source.map(|source| source.name.to_string());

    data_dir::provide(&folder, &plan, &installation, &servers, report)?;
    let startups: Vec<Startup<'_>> = servers
        .iter()
        .map(|server| Startup::begin(server, &plan, &installation))
        .collect::<Result<_, _>>()?;
    let mut replicas = Vec::new();
    for startup in startups {
        let server = startup.server;
        let name = &server.name;
        match startup.finish(&plan).await? {
            Outcome::Started(process) => {
                let (port, pid) = (server.port, process.pid());
                report(&format!("{name} runs on 127.0.0.1:{port} (pid {pid})"));
            }
            Outcome::Runs => {}
            Outcome::Stopped => {
                report(&format!("{name} is stopped by SIGSTOP and left alone"));
                continue;
            }
        }
        // After a move the old source comes home by `ackline rejoin`, once it was judged.
        if source.as_ref() != Some(&server.name) && !server.is_source() {
            replicas.push(server);
        }
    }

    proxy::write_config(&folder, &plan)?;
    // First the proxy: a replica that does not find it asks again after a second only, and one of MySQL's that comes
    // before the first transactions gives up.
    let proxy = proxy::begin(&folder, &plan, report).await?;
    for replica in replicas {
        replication::attach(replica, &plan, report).await?;
    }
    let process = proxy::commits(&folder, &plan, proxy, report).await?;
    let manifest = Manifest::of(&folder, &plan, &installation, &servers, &process)?;
    manifest.save()?;
    Ok(manifest)
}

/// Stops the proxy, then the servers; the data stays.
pub async fn down(dir: &Path, report: Report<'_>) -> Result<(), Error> {
    let folder = Folder::open(dir)?;
    let _lock = Lock::acquire(&folder).await?;
    // The proxy first: it drains, and no commit is cut off by a source that leaves before it.
    let proxies = process::proxies_of(&folder);
    let mut stopped = process::stop(proxies, PROXY_LEAVES, report).await?;
    // Whatever is started in this very moment (an installation whose `up` was killed) is met by the
    // next look.
    loop {
        let rest = process::all_of(&folder);
        if rest.is_empty() {
            break;
        }
        stopped += process::stop(rest, SERVERS_LEAVE, report).await?;
    }
    if stopped == 0 {
        report(&format!("nothing was running in {}", folder.root.display()));
    }
    Ok(())
}

/// One part of a sandbox as `status` shows it.
pub struct Part {
    pub name: String,
    pub port: u16,
    pub pid: Option<i32>,
}

pub fn status(dir: &Path) -> Result<Vec<Part>, Error> {
    let folder = Folder::open(dir)?;
    let plan = Plan::load(&folder)?.ok_or_else(|| Error::NoSandbox(folder.root.clone()))?;
    let pid = |process: Option<Process>| process.map(|process| process.pid());
    let mut parts = vec![Part {
        name: "proxy".into(),
        port: plan.ports.proxy(),
        pid: pid(proxy::running(&folder)),
    }];
    parts.extend(Server::all(&folder, &plan).iter().map(|server| Part {
        name: server.name.clone(),
        port: server.port,
        pid: pid(server.process()),
    }));
    Ok(parts)
}
