//! One database server of the sandbox.

use std::fs::OpenOptions;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::folder::{tail, write_private};
use super::installation::{Installation, MARIADB_HINT};
use super::plan::Plan;
use super::process::{self, Process};
use super::{Error, Folder, option_file};
use crate::net::admin::{Account, Admin};
use crate::net::tls::Connector;

/// Long, since it may have to recover from a crash.
const READY_WITHIN: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(50);
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

    fn log(&self) -> PathBuf {
        self.dir.join("server.log")
    }

    /// None where it is dead.
    pub fn process(&self) -> Option<Process> {
        process::server_of(&self.dir)
    }

    fn start(&self, plan: &Plan, installation: &Installation) -> Result<Child, Error> {
        let options = self.dir.join("my.cnf");
        if !options.exists() {
            write_private(&options, &option_file::text(self, plan, installation))?;
        }
        let temporary = self.dir.join("tmp");
        std::fs::create_dir_all(&temporary)
            .map_err(Error::io(format!("creating {}", temporary.display())))?;
        let mut argument = std::ffi::OsString::from("--defaults-file=");
        argument.push(&options);
        detached(installation.server().as_os_str(), &self.log())?
            .arg(argument)
            .spawn()
            .map_err(|error| cannot_run("setsid".as_ref(), error))
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

/// A server on its way to answering.
pub(super) struct Startup<'a> {
    pub server: &'a Server,
    installation: &'a Installation,
    /// None for one that ran already.
    child: Option<Child>,
}

/// How a start-up ended.
pub(super) enum Outcome {
    Started(Process),
    /// It ran already.
    Runs,
    /// It runs, but somebody has stopped it with SIGSTOP: it is left alone.
    Stopped,
}

impl<'a> Startup<'a> {
    /// Starts the server unless it runs.
    pub fn begin(
        server: &'a Server,
        plan: &Plan,
        installation: &'a Installation,
    ) -> Result<Self, Error> {
        let child = match server.process() {
            Some(_) => None,
            None => Some(server.start(plan, installation)?),
        };
        Ok(Self {
            server,
            installation,
            child,
        })
    }

    pub async fn finish(mut self, plan: &Plan) -> Result<Outcome, Error> {
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            if self.child.is_none() {
                match self.server.process() {
                    Some(process) if process.is_stopped() => return Ok(Outcome::Stopped),
                    Some(_) => {}
                    // A process that was just killed is seen for a moment longer.
                    None => self.child = Some(self.server.start(plan, self.installation)?),
                }
            }
            if let Ok(admin) = self.server.connect(plan).await {
                admin.close().await;
                if let Some(process) = self.server.process() {
                    let started = self.child.is_some();
                    return Ok(if started {
                        Outcome::Started(process)
                    } else {
                        Outcome::Runs
                    });
                }
            }
            // Also buries it, where it has died.
            if let Some(child) = &mut self.child
                && !matches!(child.try_wait(), Ok(None))
            {
                return Err(self.server.died());
            }
            if Instant::now() > deadline {
                let log = self.server.log();
                return Err(Error::Silent {
                    name: self.server.name.clone(),
                    seconds: READY_WITHIN.as_secs(),
                    tail: tail(&log),
                    log,
                });
            }
            tokio::time::sleep(POLL).await;
        }
    }
}

/// A program in a session of its own, which outlives us and our terminal; its output goes to `log`.
///
/// Through the `setsid` of util-linux, which becomes the program: the pid stays the same.
pub(super) fn detached(program: &std::ffi::OsStr, log: &Path) -> Result<Command, Error> {
    let opening = || format!("opening {}", log.display());
    let output = OpenOptions::new()
        .create(true)
        .append(true)
        .open(log)
        .map_err(Error::io(opening()))?;
    let errors = output.try_clone().map_err(Error::io(opening()))?;
    let mut command = Command::new("setsid");
    command
        .arg(program)
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors)
        .current_dir("/");
    Ok(command)
}

/// MySQL's programs were looked for before ([`Installation::find`]).
pub(super) fn cannot_run(program: &Path, error: io::Error) -> Error {
    let program = program.display().to_string();
    if error.kind() == ErrorKind::NotFound {
        Error::NotInstalled {
            program,
            hint: MARIADB_HINT,
        }
    } else {
        Error::io(format!("running {program}"))(error)
    }
}
