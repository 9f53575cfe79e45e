//! The MySQL of `deploy/install.sh mysql`, for the tests that need it.

use std::io::Write;
use std::path::PathBuf;

/// Where its programs are. None where there is no MySQL: then `test` is said to be skipped, and should
/// return.
pub fn programs(test: &str) -> Option<PathBuf> {
    let programs = installed();
    if programs.is_none() {
        skipped(test);
    }
    programs
}

#[allow(dead_code, reason = "each test program uses a part of it")]
pub fn is_installed() -> bool {
    installed().is_some()
}

/// One of them, in a test that is not skipped.
#[allow(dead_code, reason = "each test program uses a part of it")]
pub fn program(name: &str) -> PathBuf {
    installed().expect("MySQL is installed").join(name)
}

/// MYSQL_ROOT/bin, as deploy/unpack.sh decides it.
fn installed() -> Option<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let root = variable("MYSQL_ROOT").map(PathBuf::from).or_else(|| {
        let cache = variable("XDG_CACHE_HOME").map(PathBuf::from);
        let cache = cache.or_else(|| Some(PathBuf::from(variable("HOME")?).join(".cache")));
        Some(cache?.join("ackline/mysql-9.7"))
    });
    let programs = root.map(|root| root.join("bin"));
    programs.filter(|programs| programs.join("mysqld").is_file())
}

/// Past the test harness, which keeps what a passing test prints: tests/run.sh counts it.
fn skipped(test: &str) {
    let line = format!("\nSKIPPED HERE: {test}: no MySQL, see deploy/install.sh mysql\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}
