//! The start of a server, until it answers.

use std::fs::OpenOptions;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::folder::{tail, write_private};
use super::installation::{Installation, MARIADB_HINT};
use super::plan::Plan;
use super::process::Process;
use super::server::Server;
use super::{Error, option_file};

/// Long, since it may have to recover from a crash.
const READY_WITHIN: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(50);

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
            None => Some(start(server, plan, installation)?),
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
                    None => self.child = Some(start(self.server, plan, self.installation)?),
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

fn start(server: &Server, plan: &Plan, installation: &Installation) -> Result<Child, Error> {
    let options = server.dir.join("my.cnf");
    if !options.exists() {
        write_private(&options, &option_file::text(server, plan, installation))?;
    }
    let temporary = server.dir.join("tmp");
    std::fs::create_dir_all(&temporary)
        .map_err(Error::io(format!("creating {}", temporary.display())))?;
    let mut argument = std::ffi::OsString::from("--defaults-file=");
    argument.push(&options);
    detached(installation.server().as_os_str(), &server.log())?
        .arg(argument)
        .spawn()
        .map_err(|error| cannot_run("setsid".as_ref(), error))
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
