//! `sandbox.json`: what scripts read. Its names are a contract (DESIGN.md): add to them, keep them.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::folder::write_private;
use super::installation::Installation;
use super::plan::Plan;
use super::process::Process;
use super::server::Server;
use super::{Error, Folder};
use crate::ids::Flavor;

const HOST: &str = "127.0.0.1";

#[derive(Debug, Serialize)]
pub struct Manifest {
    pub flavor: Flavor,
    pub app: App,
    pub replication: Replication,
    pub admin: Admin,
    pub config: PathBuf,
    pub binlog_dir: PathBuf,
    pub source: Database,
    pub replicas: Vec<Replica>,
    pub proxy: Proxy,
    /// Where this is written.
    #[serde(skip)]
    pub path: PathBuf,
    /// The flavor's command line client.
    #[serde(skip)]
    pub client: PathBuf,
}

#[derive(Debug, Serialize)]
pub struct App {
    pub host: &'static str,
    pub port: u16,
    pub user: String,
    pub password: String,
    pub database: String,
}

#[derive(Debug, Serialize)]
pub struct Replication {
    pub host: &'static str,
    pub port: u16,
    pub user: String,
    pub password: String,
}

#[derive(Debug, Serialize)]
pub struct Admin {
    pub url: String,
    pub token: String,
}

#[derive(Debug, Serialize)]
pub struct Database {
    pub name: String,
    pub host: &'static str,
    pub port: u16,
    pub user: String,
    pub password: String,
    pub pid: i32,
}

#[derive(Debug, Serialize)]
pub struct Replica {
    #[serde(flatten)]
    pub database: Database,
    pub ship: &'static str,
}

#[derive(Debug, Serialize)]
pub struct Proxy {
    pub pid: i32,
}

impl Manifest {
    pub(super) fn of(
        folder: &Folder,
        plan: &Plan,
        installation: &Installation,
        servers: &[Server],
        proxy: &Process,
    ) -> Result<Self, Error> {
        let mut databases = Vec::new();
        for server in servers {
            // It answered a moment ago; if it died since, the pid would be a lie.
            let process = server.process().ok_or_else(|| server.died())?;
            databases.push(Database {
                name: server.name.clone(),
                host: HOST,
                port: server.port,
                user: plan.admin.user.clone(),
                password: plan.admin.password.clone(),
                pid: process.pid(),
            });
        }
        let mut databases = databases.into_iter();
        let source = databases
            .next()
            .ok_or_else(|| Error::NoSandbox(folder.root.clone()))?;
        Ok(Self {
            flavor: plan.flavor,
            app: App {
                host: HOST,
                port: plan.ports.proxy(),
                user: plan.app.user.clone(),
                password: plan.app.password.clone(),
                database: plan.database.clone(),
            },
            replication: Replication {
                host: HOST,
                port: plan.ports.replication(),
                user: plan.replication.user.clone(),
                password: plan.replication.password.clone(),
            },
            admin: Admin {
                url: format!("http://{HOST}:{}", plan.ports.admin()),
                token: plan.token.clone(),
            },
            config: folder.config(),
            binlog_dir: folder.binlog(),
            source,
            replicas: databases
                .map(|database| Replica {
                    database,
                    ship: "pull",
                })
                .collect(),
            proxy: Proxy { pid: proxy.pid() },
            path: folder.manifest(),
            client: installation.client(),
        })
    }

    pub(super) fn save(&self) -> Result<(), Error> {
        let text = serde_json::to_string_pretty(self).map_err(|error| Error::Unreadable {
            path: self.path.clone(),
            reason: error.to_string(),
        })?;
        write_private(&self.path, &(text + "\n"))
    }

    pub fn dir(&self) -> &Path {
        self.path.parent().unwrap_or(&self.path)
    }
}
