use std::io;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The command line asks for what cannot be; exit status 2.
    #[error("{0}")]
    Usage(String),
    #[error("there is no sandbox in {0}")]
    NoSandbox(PathBuf),
    #[error(
        "{0} is not empty and holds no sandbox (no plan.json): give another --dir, or remove it"
    )]
    Foreign(PathBuf),
    #[error("another `ackline sandbox` works in {0}: wait for it, or stop it")]
    Busy(PathBuf),
    #[error(
        "port {port} of 127.0.0.1, wanted for {what}, is in use: give another --port (proxy P, replication P+1, admin P+2, source P+10, replicas P+11 and on)"
    )]
    PortInUse { port: u16, what: String },
    #[error("{program} is not installed: {hint}")]
    NotInstalled { program: String, hint: &'static str },
    #[error("{what}: {cause}")]
    Io { what: String, cause: io::Error },
    #[error("{path}: {reason}")]
    Unreadable { path: PathBuf, reason: String },
    #[error("{program} made no data directory, see {log}:\n{tail}")]
    Install {
        program: String,
        log: PathBuf,
        tail: String,
    },
    #[error("{name} ended while it started, see {log}:\n{tail}")]
    Died {
        name: String,
        log: PathBuf,
        tail: String,
    },
    #[error("{name} did not answer within {seconds} s, see {log}:\n{tail}")]
    Silent {
        name: String,
        seconds: u64,
        log: PathBuf,
        tail: String,
    },
    #[error(
        "no commit came back through the proxy within {seconds} s ({last}); everything keeps running, see {log}:\n{tail}"
    )]
    NoCommit {
        seconds: u64,
        last: String,
        log: PathBuf,
        tail: String,
    },
    #[error("{name}: {cause}")]
    Sql {
        name: String,
        cause: crate::net::Error,
    },
    #[error("process {pid} ({what}) does not end, not even by SIGKILL")]
    Immortal { pid: i32, what: String },
}

impl Error {
    /// What was being done, for an error of the file system.
    pub(super) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |cause| Self::Io { what, cause }
    }

    /// Wrong usage rather than a failure.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Usage(_))
    }
}
