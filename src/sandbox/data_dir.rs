//! Data directories: one is installed, the others are copies of it.

use std::ffi::OsString;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::folder::{errors, write_private};
use super::installation::Installation;
use super::plan::Plan;
use super::server::Server;
use super::startup::cannot_run;
use super::{Error, Folder, Report, accounts};
use crate::ids::Flavor;

/// Where MySQL keeps the server's uuid; it makes a new one where there is none.
const UUID: &str = "auto.cnf";

/// Gives each server that has none a data directory.
pub(super) fn provide(
    folder: &Folder,
    plan: &Plan,
    installation: &Installation,
    servers: &[Server],
    report: Report<'_>,
) -> Result<(), Error> {
    let missing: Vec<&Server> = servers
        .iter()
        .filter(|server| !server.data().exists())
        .collect();
    if !missing.is_empty() {
        let template = folder.template();
        if !template.exists() {
            report("installing a data directory");
            install(folder, plan, installation)?;
        }
        for server in missing {
            let what = format!("copying a data directory for {}", server.name);
            let unfinished = server.dir.join("data.new");
            remove(&unfinished)?;
            fs::create_dir_all(&server.dir)
                .and_then(|()| copy(&template, &unfinished))
                .and_then(|()| fs::rename(&unfinished, server.data()))
                .map_err(Error::io(what))?;
        }
    }
    remove(&folder.template())
}

fn install(folder: &Folder, plan: &Plan, installation: &Installation) -> Result<(), Error> {
    let unfinished = folder.root.join("template.new");
    remove(&unfinished)?;
    let log = folder.root.join("install.log");
    let sql = folder.root.join("accounts.sql");
    write_private(&sql, &accounts::sql(plan))?;
    let file = fs::File::create(&log).map_err(Error::io(format!("creating {}", log.display())))?;
    let stderr = file.try_clone().map_err(Error::io("duplicating a file"))?;
    // Installations that share one remove each other's temporary tables (measured).
    let temporary = folder.root.join("template.tmp");
    remove(&temporary)?;
    fs::create_dir(&temporary).map_err(Error::io(format!("creating {}", temporary.display())))?;
    let program = installation.installer();
    let paths = Paths {
        data: &unfinished,
        accounts: &sql,
        temporary: &temporary,
    };
    let mut command = Command::new(&program);
    command
        .arg("--no-defaults")
        .args(match installation.flavor {
            Flavor::MariaDb => paths.mariadb(),
            Flavor::MySql => paths.mysql(),
        });
    if rustix::process::geteuid().is_root() {
        command.arg("--user=root");
    }
    let status = command
        .env("TMPDIR", &temporary)
        .stdin(Stdio::null())
        .stdout(file)
        .stderr(stderr)
        .status()
        .map_err(|error| cannot_run(&program, error))?;
    remove(&sql)?;
    remove(&temporary)?;
    if !status.success() {
        let tail = errors(&log);
        let program = program.display().to_string();
        return Err(Error::Install { program, log, tail });
    }
    remove(&log)?;
    // Each copy is a server of its own.
    remove(&unfinished.join(UUID))?;
    fs::rename(&unfinished, folder.template())
        .map_err(Error::io("renaming the template of data directories"))
}

/// What an installation is given.
struct Paths<'a> {
    data: &'a PathBuf,
    accounts: &'a PathBuf,
    temporary: &'a PathBuf,
}

impl Paths<'_> {
    /// The redo log is small in both, since it is copied; the server resizes it to its own at the
    /// first start.
    fn mariadb(&self) -> Vec<OsString> {
        vec![
            with_path("--datadir=", self.data),
            with_path("--extra-file=", self.accounts),
            "--skip-test-db".into(),
            "--skip-name-resolve".into(),
            "--innodb-log-file-size=4M".into(),
            "--innodb-buffer-pool-size=32M".into(),
        ]
    }

    fn mysql(&self) -> Vec<OsString> {
        vec![
            // `root` without a password is gone once the accounts are there.
            "--initialize-insecure".into(),
            with_path("--datadir=", self.data),
            with_path("--init-file=", self.accounts),
            with_path("--tmpdir=", self.temporary),
            // Debian's default is a folder that only its service has.
            "--secure-file-priv=".into(),
            "--mysqlx=OFF".into(),
            "--innodb-redo-log-capacity=32M".into(),
            "--innodb-buffer-pool-size=64M".into(),
        ]
    }
}

fn with_path(option: &str, path: &Path) -> OsString {
    let mut argument = OsString::from(option);
    argument.push(path);
    argument
}

/// A file or a folder with all it holds; fine where it is not there.
fn remove(path: &Path) -> Result<(), Error> {
    let removed = match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    };
    removed.map_err(Error::io(format!("removing {}", path.display())))
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    fs::set_permissions(to, fs::metadata(from)?.permissions())
}
