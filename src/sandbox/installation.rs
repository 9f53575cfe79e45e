//! Where the locally installed server's programs are.

use std::env;
use std::path::PathBuf;

use super::Error;
use crate::ids::Flavor;

/// Below the user's cache directory; `deploy/mysql.sh` decides it in the same way.
const MYSQL: &str = "ackline/mysql-9.7";
pub(super) const MARIADB_HINT: &str =
    "on Debian, apt-get install mariadb-server-core mariadb-client (or run deploy/quickstart.sh)";
const MYSQL_HINT: &str =
    "run deploy/install.sh mysql, or set MYSQL_ROOT to the basedir of a MySQL 9.7";

/// MariaDB is found on the PATH. MySQL has a folder of its own, since MariaDB's packages bring a
/// `mysqld` too.
pub(super) struct Installation {
    pub flavor: Flavor,
    /// None where it is searched on the PATH.
    programs: Option<PathBuf>,
}

impl Installation {
    pub fn find(flavor: Flavor) -> Result<Self, Error> {
        let programs = match flavor {
            Flavor::MariaDb => None,
            Flavor::MySql => Some(mysql_programs()),
        };
        let installation = Self { flavor, programs };
        let server = installation.server();
        // On the PATH it is searched when it is run.
        if installation.programs.is_some() && !server.is_file() {
            return Err(Error::NotInstalled {
                program: server.display().to_string(),
                hint: MYSQL_HINT,
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

fn mysql_programs() -> PathBuf {
    let variable = |name| env::var_os(name).filter(|value| !value.is_empty());
    let root = variable("MYSQL_ROOT").map(PathBuf::from).or_else(|| {
        let cache = variable("XDG_CACHE_HOME").map(PathBuf::from);
        let cache = cache.or_else(|| Some(PathBuf::from(variable("HOME")?).join(".cache")));
        Some(cache?.join(MYSQL))
    });
    let programs = root.unwrap_or_default().join("bin");
    // A server stands in another folder than the one that it was called from.
    std::path::absolute(&programs).unwrap_or(programs)
}
