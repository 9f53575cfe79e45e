//! A replica: what it is asked, and how long it is waited for.

use std::collections::BTreeMap;
use std::time::Duration;

use super::source::{KEPT, SEES_ALIKE};
use super::statement::{self, Place};
use super::verdict::Held;
use crate::gtid::Position;
use crate::ids::{Flavor, ServerName};
use crate::net;
use crate::net::admin::{Account, Admin};
use crate::tables::{Definition, LEFT_OUT, Name, definition};
use crate::topology::applied;

const ANSWERS: Duration = Duration::from_secs(10);

/// A replica as the configuration has it.
#[derive(Clone, Debug)]
pub struct Server {
    pub name: ServerName,
    pub account: Account,
    /// It is to be compared.
    pub wanted: bool,
    /// Why what it has does not come from our binlog. Behind another replica, which may log rows, it would have that one's
    /// results.
    pub stray: Option<String>,
}

#[derive(Debug)]
pub(super) struct Replica {
    pub name: ServerName,
    /// Somebody wants to know about it; the others are only seen to bear our statements.
    pub wanted: bool,
    /// Why what it has did not come to it from our binlog.
    stray: Option<String>,
    account: Account,
    link: Link,
    /// It was waited for once, in vain.
    late: bool,
}

#[derive(Debug)]
enum Link {
    Up(Box<Admin>),
    /// Why not.
    Down(String),
}

impl Replica {
    pub async fn connect(server: Server) -> Self {
        let link = match connect(&server.account).await {
            Ok(admin) => Link::Up(Box::new(admin)),
            Err(error) => Link::Down(format!("it does not answer: {error}")),
        };
        Self {
            name: server.name,
            wanted: server.wanted,
            stray: server.stray,
            account: server.account,
            link,
            late: false,
        }
    }

    async fn ask<T>(
        &mut self,
        question: impl AsyncFnOnce(&mut Admin) -> Result<T, net::Error>,
    ) -> Result<T, String> {
        let admin = match &mut self.link {
            Link::Up(admin) => admin,
            Link::Down(why) => return Err(why.clone()),
        };
        let answer = question(admin).await.map_err(|error| error.to_string());
        if let Err(why) = &answer
            && !admin.is_usable()
        {
            self.link = Link::Down(format!("it does not answer any more: {why}"));
        }
        answer
    }

    /// Waits for what was committed at the source. After one wait in vain nothing more is waited for.
    pub async fn applies(&mut self, position: &Position, wait: Duration) -> Result<(), String> {
        if let Some(why) = &self.stray {
            return Err(why.clone());
        }
        let within = if self.late { Duration::ZERO } else { wait };
        let reached = self
            .ask(async |admin| applied::comes_to(admin, position, within).await)
            .await?;
        self.late = !reached;
        match reached {
            true => Ok(()),
            false => Err(format!(
                "it has not applied {position} within {} s",
                wait.as_secs_f64()
            )),
        }
    }

    /// The same, for who holds locks meanwhile.
    pub async fn is_at(&mut self, position: &Position, within: Duration) -> Result<(), String> {
        let question = async |admin: &mut Admin| applied::comes_to(admin, position, within).await;
        match self.ask(question).await? {
            true => Ok(()),
            false => Err(format!(
                "it comes more than {} s behind the source",
                within.as_secs_f64()
            )),
        }
    }

    /// By its own word: a position may be claimed. Or why not.
    pub async fn has_mark(&mut self, place: &Place<'_>, time: u64) -> Result<(), String> {
        let passed = self.rows(&place.passed()).await?;
        match passed.first().and_then(|row| row.at(0)) == Some(&Place::time(time)) {
            true => Ok(()),
            false => {
                Err("it does not have our mark (does it skip or filter ackline.checksums?)".into())
            }
        }
    }

    pub async fn rows(&mut self, question: &str) -> Result<Vec<net::admin::Row>, String> {
        self.ask(async |admin| admin.query(question).await).await
    }

    pub fn account(&self) -> &Account {
        &self.account
    }

    pub async fn definition(&mut self, table: &Name) -> Result<Option<Definition>, String> {
        self.ask(async |admin| definition::ask(admin, table).await)
            .await
    }

    /// Whether its applier takes statements. It may be told not to (MySQL), and would stop at ours. None: it does not
    /// answer.
    pub async fn takes_statements(&mut self) -> Option<Result<bool, String>> {
        let Link::Up(admin) = &mut self.link else {
            return None;
        };
        if admin.flavor() == Flavor::MariaDb {
            return Some(Ok(true));
        }
        let question = "SELECT COUNT(*) FROM mysql.slave_relay_log_info \
             WHERE Require_row_format <> 0 OR Privilege_checks_username IS NOT NULL";
        let refuse = self.ask(async |admin| admin.value(question).await).await;
        Some(refuse.map(|refuse| refuse.as_deref() == Some("0")))
    }

    /// Those that hold rows.
    pub async fn tables(&mut self) -> Result<Vec<Name>, String> {
        let question = format!(
            "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES \
             WHERE TABLE_TYPE = 'BASE TABLE' AND TABLE_SCHEMA NOT IN ({LEFT_OUT})"
        );
        let rows = self.ask(async |admin| admin.query(&question).await).await?;
        let name = |row: &net::admin::Row| {
            Some(Name {
                database: row.at(0)?.to_owned(),
                table: row.at(1)?.to_owned(),
            })
        };
        Ok(rows.iter().filter_map(name).collect())
    }

    pub async fn results(
        &mut self,
        run: &str,
        table: &Name,
    ) -> Result<BTreeMap<u64, Held>, String> {
        let question = statement::results(run, table);
        let rows = self.ask(async |admin| admin.query(&question).await).await?;
        let held = |row: &net::admin::Row| {
            let number = |index: usize| row.at(index)?.parse::<u64>().ok();
            let told = number(3).zip(row.at(4).map(str::to_owned));
            let (rows, sum) = (number(1)?, row.at(2)?.to_owned());
            Some((number(0)?, Held { rows, sum, told }))
        };
        Ok(rows.iter().filter_map(held).collect())
    }
}

async fn connect(account: &Account) -> Result<Admin, net::Error> {
    let mut admin = Admin::connect(account, ANSWERS).await?;
    for setting in SEES_ALIKE.iter().chain([&KEPT]) {
        admin.execute(setting).await?;
    }
    Ok(admin)
}
