//! The MySQL of `deploy/install.sh mysql`, for the tests that need it.

use std::path::PathBuf;

use super::unpacked;

/// Where its programs are. None where there is no MySQL: then `test` is said to be skipped, and should
/// return.
pub fn programs(test: &str) -> Option<PathBuf> {
    let programs = installed();
    if programs.is_none() {
        unpacked::skipped(test, "no MySQL, see deploy/install.sh mysql");
    }
    programs
}

pub fn is_installed() -> bool {
    installed().is_some()
}

/// One of them, in a test that is not skipped.
pub fn program(name: &str) -> PathBuf {
    installed().expect("MySQL is installed").join(name)
}

fn installed() -> Option<PathBuf> {
    unpacked::programs("MYSQL_ROOT", "mysql-9.7", "mysqld")
}
