//! One database server of the sandbox.

use std::path::PathBuf;
use std::time::Duration;

use super::folder::tail;
use super::plan::Plan;
use super::process::{self, Process};
use super::{Error, Folder};
use crate::net::admin::{Account, Admin};
use crate::net::tls::Connector;

const QUESTION: Duration = Duration::from_secs(10);

pub(super) struct Server {
    pub name: String,
    /// `DIR/source`, `DIR/replica1`, …
    pub dir: PathBuf,
    pub port: u16,
    pub id: u16,
}

impl Server {
    /// The source first.
    pub fn all(folder: &Folder, plan: &Plan) -> Vec<Self> {
        let server = |name: String, port, id| Self {
            dir: folder.server(&name),
            name,
            port,
            id,
        };
        let source = server("source".into(), plan.ports.source(), 1);
        let replicas = (1..=plan.replicas).map(|number| {
            server(
                format!("replica{number}"),
                plan.ports.replica(number),
                number + 1,
            )
        });
        std::iter::once(source).chain(replicas).collect()
    }

    pub fn is_source(&self) -> bool {
        self.id == 1
    }

    pub fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    pub fn log(&self) -> PathBuf {
        self.dir.join("server.log")
    }

    /// None where it is dead.
    pub fn process(&self) -> Option<Process> {
        process::server_of(&self.dir)
    }

    /// A connection as the administrator.
    pub async fn connect(&self, plan: &Plan) -> Result<Admin, Error> {
        let account = Account {
            address: format!("127.0.0.1:{}", self.port),
            user: plan.admin.user.clone(),
            password: plan.admin.password.clone(),
            tls: Connector::default(),
        };
        Admin::connect(&account, QUESTION)
            .await
            .map_err(|cause| self.sql(cause))
    }

    pub fn died(&self) -> Error {
        let log = self.log();
        Error::Died {
            name: self.name.clone(),
            tail: tail(&log),
            log,
        }
    }

    pub fn sql(&self, cause: crate::net::Error) -> Error {
        Error::Sql {
            name: self.name.clone(),
            cause,
        }
    }
}
