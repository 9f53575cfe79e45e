//! The files that are part of the binary.

use std::fmt::Write;

use sha2::{Digest, Sha256};

use crate::ids::Flavor;
use crate::net::admin::literal;

const MARIADB: &[Migration] = &[Migration {
    number: 1,
    name: "0001_schema",
    sql: include_str!("../../migrations/mariadb/0001_schema.sql"),
}];

const MYSQL: &[Migration] = &[Migration {
    number: 1,
    name: "0001_schema",
    sql: include_str!("../../migrations/mysql/0001_schema.sql"),
}];

/// In the order of their numbers, which begin at 1 and leave none out.
pub fn known(flavor: Flavor) -> &'static [Migration] {
    match flavor {
        Flavor::MariaDb => MARIADB,
        Flavor::MySql => MYSQL,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Migration {
    pub number: u32,
    /// The file's, without `.sql`.
    pub name: &'static str,
    pub sql: &'static str,
}

impl Migration {
    /// SHA-256 of the file, in hexadecimal.
    pub fn checksum(&self) -> String {
        let mut text = String::new();
        for byte in Sha256::digest(self.sql) {
            // Writing into a String does not fail.
            let _ = write!(text, "{byte:02x}");
        }
        text
    }

    /// Without their semicolons, and without remarks.
    pub fn statements(&self) -> Vec<String> {
        let mut statements = Vec::new();
        let mut lines: Vec<&str> = Vec::new();
        for line in self.sql.lines().map(str::trim_end) {
            if line.is_empty() || line.starts_with("--") {
                continue;
            }
            match line.strip_suffix(';') {
                None => lines.push(line),
                Some(last) => {
                    lines.push(last);
                    statements.push(lines.join("\n"));
                    lines.clear();
                }
            }
        }
        // A test lets no file end without its semicolon; what is left must not be lost all the same.
        if !lines.is_empty() {
            statements.push(lines.join("\n"));
        }
        statements
    }

    /// That it was applied.
    pub fn row(&self) -> String {
        format!(
            "INSERT INTO ackline.migrations (number, name, checksum, applied_at) VALUES ({}, {}, {}, UTC_TIMESTAMP(6))",
            self.number,
            literal(self.name),
            literal(&self.checksum())
        )
    }
}
