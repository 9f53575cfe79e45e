//! The drivers, and how their programs are run.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::said::{Expected, Kind, Said};
use crate::support::{Flavor, mysql};
use crate::ways::Way;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/drivers");
/// A driver that says nothing for so long hangs.
const WITHIN: Duration = Duration::from_secs(300);

pub struct Driver {
    pub name: &'static str,
    program: &'static str,
    arguments: &'static [&'static str],
    /// What has to be there for it to run.
    needs: Needs,
    /// Whether it has a way to go on where its connections have ended.
    pub revives: bool,
}

enum Needs {
    /// A file in the folder of installed drivers.
    Installed(&'static str),
    /// A command that succeeds.
    Command(&'static [&'static str]),
    /// MySQL's own programs. Its client has no `mysql_native_password` any more, which is what accounts
    /// of MariaDB have.
    MySql,
}

pub const DRIVERS: [Driver; 10] = [
    Driver {
        name: "mariadb-client",
        program: "bash",
        arguments: &["command_line/client.sh", "mariadb"],
        needs: Needs::Command(&["mariadb", "--version"]),
        revives: false,
    },
    Driver {
        name: "mysql-client",
        program: "bash",
        arguments: &["command_line/client.sh", "{mysql}"],
        needs: Needs::MySql,
        revives: false,
    },
    Driver {
        name: "PyMySQL",
        program: "{installed}/python/bin/python",
        arguments: &["python/pymysql_smoke.py"],
        needs: Needs::Installed("python/.made-of"),
        revives: true,
    },
    Driver {
        name: "mysql-connector-python",
        program: "{installed}/python/bin/python",
        arguments: &["python/connector_smoke.py"],
        needs: Needs::Installed("python/.made-of"),
        revives: true,
    },
    Driver {
        name: "asyncmy",
        program: "{installed}/python/bin/python",
        arguments: &["python/asyncmy_smoke.py"],
        needs: Needs::Installed("python/.made-of"),
        revives: true,
    },
    Driver {
        name: "npm-mysql2",
        program: "node",
        arguments: &["node/mysql2.js"],
        needs: Needs::Installed("node/.made-of"),
        revives: true,
    },
    Driver {
        name: "npm-mariadb",
        program: "node",
        arguments: &["node/mariadb.js"],
        needs: Needs::Installed("node/.made-of"),
        revives: true,
    },
    Driver {
        name: "DBD-MariaDB",
        program: "perl",
        arguments: &["perl/dbd.pl", "MariaDB"],
        needs: Needs::Command(&["perl", "-MDBD::MariaDB", "-e1"]),
        revives: true,
    },
    Driver {
        name: "DBD-mysql",
        program: "perl",
        arguments: &["perl/dbd.pl", "mysql"],
        needs: Needs::Command(&["perl", "-MDBD::mysql", "-e1"]),
        revives: true,
    },
    Driver {
        name: "connector-j",
        program: "java",
        arguments: &[
            "-Dfile.encoding=UTF-8",
            "-cp",
            "{installed}/java:/usr/share/java/mariadb-java-client.jar",
            "Smoke",
        ],
        needs: Needs::Installed("java/.made-of"),
        revives: true,
    },
];

/// How much of its program.
#[derive(Clone)]
pub enum Part {
    All,
    /// One login, said under this name.
    Login(&'static str),
    /// `ready` is made when the proxy may go, `go` when it is there again.
    Restart {
        ready: PathBuf,
        go: PathBuf,
    },
}

/// ACKLINE_DRIVERS, as tests/drivers/install.sh decides it.
fn installed() -> PathBuf {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(drivers) = variable("ACKLINE_DRIVERS") {
        return PathBuf::from(drivers);
    }
    let cache = variable("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(variable("HOME")?).join(".cache")));
    cache.unwrap_or_default().join("ackline/drivers")
}

impl Driver {
    pub fn is_for(&self, flavor: Flavor) -> bool {
        flavor == Flavor::MySql || !matches!(self.needs, Needs::MySql)
    }

    pub fn is_installed(&self) -> bool {
        match self.needs {
            Needs::Installed(file) => installed().join(file).is_file(),
            Needs::Command(command) => Command::new(command[0])
                .args(&command[1..])
                .stdin(Stdio::null())
                .output()
                .is_ok_and(|output| output.status.success()),
            Needs::MySql => mysql::is_installed(),
        }
    }

    fn command(&self, way: &Way, part: &Part) -> tokio::process::Command {
        let installed = installed().display().to_string();
        let here = |text: &str| match text {
            "{mysql}" => mysql::program("mysql").display().to_string(),
            _ => text.replace("{installed}", &installed),
        };
        let mut command = tokio::process::Command::new(here(self.program));
        command
            .args(self.arguments.iter().map(|argument| here(argument)))
            .current_dir(FOLDER)
            .env("ACKLINE_DRIVERS", &installed)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("PYTHONWARNINGS", "ignore")
            .env("ACKLINE_DB_HOST", &way.account.host)
            .env("ACKLINE_DB_PORT", way.account.port.to_string())
            .env("ACKLINE_DB_USER", &way.account.user)
            .env("ACKLINE_DB_PASSWORD", &way.account.password)
            .env(
                "ACKLINE_DB_DATABASE",
                way.account.database.as_deref().unwrap(),
            )
            .env("ACKLINE_DB_PROCESSES", way.processes())
            .env_remove("ACKLINE_DB_TLS_CA")
            .env_remove("ACKLINE_DB_CHAPTER")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        if let Some(ca) = &way.tls_ca {
            command.env("ACKLINE_DB_TLS_CA", ca);
        }
        match part {
            Part::All => &mut command,
            Part::Login(name) => command.env("ACKLINE_DB_CHAPTER", name),
            Part::Restart { ready, go } => command
                .env("ACKLINE_DB_CHAPTER", "restart")
                .env("ACKLINE_DB_READY", ready)
                .env("ACKLINE_DB_GO", go),
        };
        command
    }

    pub async fn run(&self, way: &Way, part: &Part) -> Said {
        let began = Instant::now();
        let mut command = self.command(way, part);
        match tokio::time::timeout(WITHIN, command.output()).await {
            Ok(Ok(output)) => Said::of(&output, began.elapsed()),
            Ok(Err(error)) => Said::failed(error.to_string(), began.elapsed()),
            Err(_) => {
                let hangs = format!("it hangs ({} s)", WITHIN.as_secs());
                Said::failed(hangs, began.elapsed())
            }
        }
    }

    pub fn expected(&self, flavor: Flavor, kind: Kind) -> Expected {
        Expected::of(&Path::new(FOLDER).join("facts"), self.name, flavor, kind)
    }

    pub fn write_facts(&self, flavor: Flavor, kind: Kind, said: &Said) {
        let base = Path::new(FOLDER).join(format!("facts/{}.txt", self.name));
        self.expected(flavor, kind).write(&base, said);
    }
}
