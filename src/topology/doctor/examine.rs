//! Asks one server everything that the checks look at.

use std::collections::BTreeMap;

use super::accounts::Accounts;
use super::features::Features;
use super::grants::Grants;
use super::own::Executed;
use crate::gtid::{Position, mariadb};
use crate::ids::{Flavor, ServerName};
use crate::net::admin::Admin;
use crate::net::{self, binlog_filters};
use crate::topology::report::{self, Report, is_denied};
use crate::topology::roster::{Role, ServerConfig};

/// Where a variable's present value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// A configuration file or the command line: a restart keeps it.
    Boot,
    /// SET GLOBAL: a restart undoes it.
    RunTime,
}

/// Who is attached to a server's binlog.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dumps {
    /// Under our own account, so it is us.
    pub ours: usize,
    /// `user@host` of everybody else.
    pub others: Vec<String>,
}

/// What one server answered.
#[derive(Clone, Debug)]
pub struct Examination {
    pub name: ServerName,
    pub role: Role,
    pub address: String,
    pub report: Report,
    /// As CURRENT_USER() says it.
    pub account: String,
    pub grants: Grants,
    pub origins: BTreeMap<String, Origin>,
    pub dumps: Dumps,
    /// `binlog_do_db=…`; None where it could not be asked.
    pub binlog_filters: Option<Vec<String>>,
    pub features: Features,
    /// MariaDB: the last transaction in the binlog of a replica, where it was written there and did not come to it.
    pub last_is_own: Option<String>,
    /// What its binlog holds.
    pub executed: Option<Executed>,
    /// Of the source only.
    pub accounts: Option<Accounts>,
}

impl Examination {
    pub async fn of(server: &ServerConfig, admin: &mut Admin) -> Result<Self, report::Error> {
        let report = Report::ask(admin, true).await?;
        let account = admin.value("SELECT CURRENT_USER()").await?;
        let grants = admin.query("SHOW GRANTS").await?;
        let grants = Grants::parse(grants.iter().filter_map(|row| row.at(0)));
        Ok(Self {
            name: server.name.clone(),
            role: server.role,
            address: server.account.address.clone(),
            account: account.unwrap_or_default(),
            grants,
            origins: origins(admin).await?,
            dumps: dumps(admin).await?,
            binlog_filters: binlog_filters::read(admin).await?,
            features: Features::ask(admin).await?,
            last_is_own: match server.role {
                Role::Replica => last_is_own(admin, &report).await?,
                Role::Source => None,
            },
            executed: Executed::ask(admin, server.role == Role::Source).await?,
            accounts: match server.role {
                Role::Source => Some(Accounts::ask(admin).await?),
                Role::Replica => None,
            },
            report,
        })
    }

    pub(super) fn origin(&self, variable: &str) -> Origin {
        self.origins
            .get(variable)
            .copied()
            .unwrap_or(Origin::Default)
    }
}

async fn origins(admin: &mut Admin) -> Result<BTreeMap<String, Origin>, net::Error> {
    let statement = match admin.flavor() {
        Flavor::MariaDb => {
            "SELECT LOWER(VARIABLE_NAME) AS name, GLOBAL_VALUE_ORIGIN AS origin \
             FROM information_schema.SYSTEM_VARIABLES"
        }
        Flavor::MySql => {
            "SELECT LOWER(VARIABLE_NAME) AS name, VARIABLE_SOURCE AS origin \
             FROM performance_schema.variables_info"
        }
    };
    let rows = match admin.query(statement).await {
        Ok(rows) => rows,
        // MySQL: performance_schema takes a GRANT of its own.
        Err(error) if is_denied(&error) => return Ok(BTreeMap::new()),
        Err(error) => return Err(error),
    };
    let origins = rows.iter().filter_map(|row| {
        let origin = match row.text("origin")? {
            "CONFIG" | "COMMAND-LINE" => Origin::Boot,
            "SQL" | "DYNAMIC" => Origin::RunTime,
            "COMPILED" | "COMPILE-TIME" | "AUTO" => Origin::Default,
            // MySQL names each place of an option file, and PERSISTED.
            _ if admin.flavor() == Flavor::MySql => Origin::Boot,
            _ => Origin::Default,
        };
        Some((row.text("name")?.to_owned(), origin))
    });
    Ok(origins.collect())
}

async fn last_is_own(admin: &mut Admin, report: &Report) -> Result<Option<String>, net::Error> {
    if report.flavor == Flavor::MySql {
        return Ok(None);
    }
    let text = admin.value("SELECT @@global.gtid_binlog_pos").await?;
    let Ok(Position::MariaDb(last)) = Position::parse(report.flavor, &text.unwrap_or_default())
    else {
        return Ok(None);
    };
    let came = |own: &mariadb::Gtid| match &report.applied {
        Position::MariaDb(applied) => applied.iter().any(|came| came == *own),
        Position::MySql(_) => false,
    };
    let mut own = last.iter().filter(|gtid| gtid.server == report.server_id.0);
    Ok(own.find(|gtid| !came(gtid)).map(|gtid| gtid.to_string()))
}

async fn dumps(admin: &mut Admin) -> Result<Dumps, net::Error> {
    let user = admin.user().await?;
    let rows = admin.processes().await?;
    let mut dumps = Dumps::default();
    for row in rows.iter().filter(|row| row.is_dump()) {
        if row.text("user") == Some(user.as_str()) {
            dumps.ours += 1;
        } else {
            let part = |column: &str| row.text(column).unwrap_or_default().to_owned();
            dumps
                .others
                .push(format!("{}@{}", part("user"), part("host")));
        }
    }
    Ok(dumps)
}
