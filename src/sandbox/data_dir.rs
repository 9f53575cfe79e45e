//! Data directories: one is installed, the others are copies of it.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::process::{Command, Stdio};

use super::folder::{errors, write_private};
use super::plan::Plan;
use super::server::Server;
use super::{Error, Folder, Report, accounts};

const INSTALL: &str = "mariadb-install-db";
pub(super) const INSTALL_HINT: &str =
    "on Debian, apt-get install mariadb-server-core mariadb-client (or run deploy/quickstart.sh)";

/// Gives each server that has none a data directory.
pub(super) fn provide(
    folder: &Folder,
    plan: &Plan,
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
            install(folder, plan)?;
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

fn install(folder: &Folder, plan: &Plan) -> Result<(), Error> {
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
    let mut command = Command::new(INSTALL);
    command
        .env("TMPDIR", &temporary)
        .arg("--no-defaults")
        .arg(with_path("--datadir=", &unfinished))
        .arg(with_path("--extra-file=", &sql))
        .args(["--skip-test-db", "--skip-name-resolve"])
        // Small, since it is copied; the server resizes it to its own at the first start.
        .args(["--innodb-log-file-size=4M", "--innodb-buffer-pool-size=32M"]);
    if rustix::process::geteuid().is_root() {
        command.arg("--user=root");
    }
    let status = command
        .stdin(Stdio::null())
        .stdout(file)
        .stderr(stderr)
        .status()
        .map_err(|error| super::server::cannot_run(INSTALL, error))?;
    remove(&sql)?;
    remove(&temporary)?;
    if !status.success() {
        let tail = errors(&log);
        return Err(Error::Install { log, tail });
    }
    remove(&log)?;
    fs::rename(&unfinished, folder.template())
        .map_err(Error::io("renaming the template of data directories"))
}

fn with_path(option: &str, path: &Path) -> std::ffi::OsString {
    let mut argument = std::ffi::OsString::from(option);
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
