//! Where the locally installed server's programs are.

use std::env;
use std::path::{Path, PathBuf};

use super::Error;
use crate::ids::Flavor;

/// Below the user's cache directory; `deploy/unpack.sh` decides it in the same way.
const MYSQL: &str = "ackline/mysql-9.7";
pub(super) const MARIADB_HINT: &str =
    "on Debian, apt-get install mariadb-server-core mariadb-client (or run deploy/quickstart.sh)";
const ROOT_HINT: &str = "give the folder that has bin/mariadbd to --server-root, or MARIADB_ROOT (deploy/install.sh mariadb-11.8 makes one)";
const MYSQL_HINT: &str =
    "run deploy/install.sh mysql, or set MYSQL_ROOT to the basedir of a MySQL 9.7";

/// MariaDB is found on the PATH, unless MARIADB_ROOT says otherwise. MySQL has a folder of its own, since
/// MariaDB's packages bring a `mysqld` too.
pub(super) struct Installation {
    pub flavor: Flavor,
    /// None where it is searched on the PATH.
    programs: Option<PathBuf>,
}

impl Installation {
    /// `root`: where the one asked for has its `bin`.
    pub fn find(flavor: Flavor, root: Option<&Path>) -> Result<Self, Error> {
        let programs = match (root, flavor) {
            (Some(root), _) => Some(root.join("bin")),
            (None, Flavor::MariaDb) => variable("MARIADB_ROOT").map(|root| absolute(&root)),
            (None, Flavor::MySql) => Some(mysql_programs()),
        };
        let installation = Self { flavor, programs };
        let server = installation.server();
        // On the PATH it is searched when it is run.
        if installation.programs.is_some() && !server.is_file() {
            return Err(Error::NotInstalled {
                program: server.display().to_string(),
                hint: match flavor {
                    Flavor::MariaDb => ROOT_HINT,
                    Flavor::MySql => MYSQL_HINT,
                },
            });
        }
        Ok(installation)
    }

    pub fn server(&self) -> PathBuf {
        self.program(match self.flavor {
            Flavor::MariaDb => "mariadbd",
            Flavor::MySql => "mysqld",
        })
    }

    /// Makes a data directory: MySQL's server does so itself.
    pub fn installer(&self) -> PathBuf {
        self.program(match self.flavor {
            Flavor::MariaDb => "mariadb-install-db",
            Flavor::MySql => "mysqld",
        })
    }

    /// The command line client.
    pub fn client(&self) -> PathBuf {
        self.program(match self.flavor {
            Flavor::MariaDb => "mariadb",
            Flavor::MySql => "mysql",
        })
    }

    fn program(&self, name: &str) -> PathBuf {
        self.programs
            .as_ref()
            .map_or_else(|| name.into(), |folder| folder.join(name))
    }
}

fn variable(name: &str) -> Option<PathBuf> {
    let value = env::var_os(name).filter(|value| !value.is_empty());
    value.map(PathBuf::from)
}

fn mysql_programs() -> PathBuf {
    let root = variable("MYSQL_ROOT").or_else(|| {
        let cache = variable("XDG_CACHE_HOME");
        let cache = cache.or_else(|| Some(variable("HOME")?.join(".cache")));
        Some(cache?.join(MYSQL))
    });
    absolute(&root.unwrap_or_default())
}

/// A server stands in another folder than the one that it was called from.
fn absolute(root: &Path) -> PathBuf {
    let programs = root.join("bin");
    std::path::absolute(&programs).unwrap_or(programs)
}
