//! A second session at the source: it holds rows, so that nobody changes them while a replica is looked at.
//!
//! Whoever changed them before has committed before, and stands before a commit that is made while they are held. So a
//! replica that has applied that commit has these rows as the source has them, or it differs.

use std::time::Duration;

use super::source::{ATTEMPTS, Error, FORGOTTEN, KEPT, LOCKED, SEES_ALIKE, locked_out};
use crate::net::admin::{Account, Admin, Row};
use crate::tables::{Definition, Name, definition, travel};

const SETTINGS: [&str; 3] = [
    "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
    "SET SESSION innodb_lock_wait_timeout=1, lock_wait_timeout=5, autocommit=1",
    travel::AS_IT_LIES,
];
const ANSWERS: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Holder {
    admin: Admin,
}

impl Holder {
    pub async fn connect(account: &Account) -> Result<Self, Error> {
        let mut admin = Admin::connect_for_bulk(account, ANSWERS).await?;
        for setting in SEES_ALIKE.iter().chain(&SETTINGS) {
            admin.execute(setting).await?;
        }
        Ok(Self { admin })
    }

    /// The rows that a SELECT finds: until [`Self::let_go`] nobody changes them, and nobody puts others among them. Or why
    /// not.
    pub async fn hold(&mut self, select: &str) -> Result<Vec<Row>, String> {
        let locking = format!("{select} LOCK IN SHARE MODE");
        for attempt in 1..=ATTEMPTS {
            for statement in [FORGOTTEN, "START TRANSACTION"] {
                self.admin.execute(statement).await.map_err(refused)?;
            }
            let error = match self.admin.query(&locking).await {
                Ok(rows) => return Ok(rows),
                Err(error) => error,
            };
            self.let_go().await;
            let code = error.server_code();
            if !code.is_some_and(|code| LOCKED.contains(&code)) {
                return Err(refused(error));
            }
            tokio::time::sleep(Duration::from_millis(10) * attempt).await;
        }
        Err(locked_out())
    }

    /// Where that fails the connection is gone, and the locks with it.
    pub async fn let_go(&mut self) {
        for statement in ["ROLLBACK", KEPT] {
            if let Err(error) = self.admin.execute(statement).await {
                tracing::debug!(%error, "the source's session that held rows has ended");
            }
        }
    }

    /// Of held rows.
    pub async fn rows(&mut self, question: &str) -> Result<Vec<Row>, String> {
        self.admin.query(question).await.map_err(refused)
    }

    /// While rows are held, it stays so.
    pub async fn definition(&mut self, table: &Name) -> Result<Option<Definition>, String> {
        definition::ask(&mut self.admin, table)
            .await
            .map_err(refused)
    }

    pub async fn is_read_only(&mut self) -> Result<bool, String> {
        self.admin.is_read_only().await.map_err(refused)
    }

    pub fn session(&mut self) -> &mut Admin {
        &mut self.admin
    }
}

fn refused(error: crate::net::Error) -> String {
    format!("the source refused it: {error}")
}
