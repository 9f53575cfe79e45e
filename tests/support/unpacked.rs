//! Servers of another version than the machine's own, as deploy/install.sh unpacks them beside it.

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;

/// MariaDB 11.8. None where it is not there: then `test` is said to be skipped, and should return.
pub fn mariadb_11_8(test: &str) -> Option<PathBuf> {
    let found = programs("MARIADB_11_8_ROOT", "mariadb-11.8", "mariadbd");
    if found.is_none() {
        skipped(test, "no MariaDB 11.8, see deploy/install.sh mariadb-11.8");
    }
    found
}

/// The folder of its programs, as deploy/unpack.sh decides it.
pub fn programs(variable: &str, folder: &str, program: &str) -> Option<PathBuf> {
    let root = set(variable).map(PathBuf::from).or_else(|| cached(folder));
    let programs = root.map(|root| root.join("bin"));
    programs.filter(|programs| programs.join(program).is_file())
}

/// Where the server's plugins are: beside an unpacked server its own, else what tests/auth/install.sh fetched. None
/// where this one is not among them: then `test` is said to be skipped, and should return.
pub fn plugins(test: &str, plugin: &str) -> Option<PathBuf> {
    let folder = set("MARIADB_ROOT").map(|root| PathBuf::from(root).join("usr/lib/mysql/plugin"));
    let folder = folder.or_else(|| cached("mariadb-plugins"));
    let found = folder.filter(|folder| folder.join(plugin).exists());
    if found.is_none() {
        skipped(test, &format!("no {plugin}, see tests/auth/install.sh"));
    }
    found
}

fn cached(folder: &str) -> Option<PathBuf> {
    let cache = set("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(set("HOME")?).join(".cache")));
    Some(cache?.join("ackline").join(folder))
}

fn set(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// Past the test harness, which keeps what a passing test prints: tests/run.sh counts it.
pub fn skipped(test: &str, why: &str) {
    let line = format!("\nSKIPPED HERE: {test}: {why}\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}
