//! Asks a source what it lacks, and runs it there.

use std::time::{Duration, Instant};

use super::file::{Migration, known};
use super::pending::{Recorded, Refusal, pending};
use crate::net;
use crate::net::admin::Admin;
use crate::topology::doctor::grants::{self, Grants};
use crate::topology::report::{self, Report, Thread, is_denied};

/// The servers' ER_BAD_DB_ERROR and ER_NO_SUCH_TABLE.
const NOT_THERE: [u16; 2] = [1049, 1146];

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("our account may not: an administrator has to run there {grant};")]
    Denied { grant: String },
    #[error(
        "it is read-only: ackline has not opened it for writing, or another server is the source by now (ackline status)"
    )]
    ReadOnly,
    #[error("it replicates from {0}: a source follows nobody")]
    Follows(String),
    #[error(
        "commits wait there until ackline is attached, and it is not: start it (ackline serve), or look at ackline status"
    )]
    NobodyAcknowledges,
    #[error(
        "another ackline migrate is at work there, or a commit of one waits for its acknowledgement (ackline status)"
    )]
    Locked,
    #[error(
        "{statement} did not return within {seconds:.0} s: it is in the source's binlog if its commit waits for acknowledgements (ackline status says for whom); it ends by itself when they come, then give the command again"
    )]
    Waits { statement: String, seconds: f64 },
    #[error("{statement}: {source}")]
    Failed {
        statement: String,
        source: net::Error,
    },
    #[error(transparent)]
    Report(#[from] report::Error),
    #[error(transparent)]
    Net(#[from] net::Error),
}

/// What a server has, as far as our account may see it.
enum Told {
    Recorded(Vec<Recorded>),
    Hidden,
}

/// The files that the server lacks; all where our account may not see that. Nothing is changed.
pub async fn missing(admin: &mut Admin) -> Result<&'static [Migration], Error> {
    let recorded = match told(admin).await? {
        Told::Recorded(recorded) => recorded,
        Told::Hidden => Vec::new(),
    };
    Ok(pending(known(admin.flavor()), &recorded)?)
}

/// Applies them, and names each that is done. A statement that takes longer than `deadline` is given up. The lock goes
/// with the connection.
pub async fn apply(
    admin: &mut Admin,
    deadline: Duration,
    mut done: impl FnMut(&Migration),
) -> Result<(), Error> {
    if missing(admin).await?.is_empty() {
        return Ok(());
    }
    may_write(admin).await?;
    may_be_written(&Report::ask(admin, true).await?)?;
    // A server may have another default.
    admin.execute("SET autocommit=1").await?;
    lock(admin, deadline).await?;
    // Somebody else may have been at work until we had the lock.
    for migration in missing(admin).await? {
        for statement in migration.statements() {
            run(admin, &statement, deadline).await?;
        }
        run(admin, &migration.row(), deadline).await?;
        done(migration);
    }
    Ok(())
}

async fn told(admin: &mut Admin) -> Result<Told, Error> {
    let select = "SELECT number, name, checksum FROM ackline.migrations";
    let rows = match admin.query(select).await {
        Ok(rows) => rows,
        Err(error)
            if error
                .server_code()
                .is_some_and(|code| NOT_THERE.contains(&code)) =>
        {
            return Ok(Told::Recorded(Vec::new()));
        }
        Err(error) if is_denied(&error) => return Ok(Told::Hidden),
        // MySQL: behind a CREATE whose commit waits for its acknowledgement.
        Err(net::Error::Timeout { .. }) => return Err(Error::Locked),
        Err(error) => return Err(error.into()),
    };
    let recorded = rows.iter().filter_map(|row| {
        Some(Recorded {
            number: row.at(0)?.parse().ok()?,
            name: row.at(1)?.to_owned(),
            checksum: row.at(2)?.to_owned(),
        })
    });
    Ok(Told::Recorded(recorded.collect()))
}

async fn may_write(admin: &mut Admin) -> Result<(), Error> {
    let lines = admin.query("SHOW GRANTS").await?;
    let grants = Grants::parse(lines.iter().filter_map(|row| row.at(0)));
    let lacks = grants.lacks_in_schema();
    if lacks.is_empty() {
        return Ok(());
    }
    Err(denied(admin, &lacks).await)
}

async fn denied(admin: &mut Admin, lacks: &[&str]) -> Error {
    match admin.value("SELECT CURRENT_USER()").await {
        Ok(account) => Error::Denied {
            grant: grants::statement_in_schema(lacks, &account.unwrap_or_default()),
        },
        Err(error) => error.into(),
    }
}

fn may_be_written(report: &Report) -> Result<(), Error> {
    if report.read_only {
        return Err(Error::ReadOnly);
    }
    if let Some(replication) = report.main_replication()
        && replication.io != Thread::Stopped
    {
        return Err(Error::Follows(replication.source_address()));
    }
    let gate = &report.semi_sync_source;
    if gate.enabled && gate.clients == 0 {
        return Err(Error::NobodyAcknowledges);
    }
    Ok(())
}

async fn lock(admin: &mut Admin, deadline: Duration) -> Result<(), Error> {
    let seconds = deadline.as_secs_f64().ceil();
    let take = format!("SELECT GET_LOCK('ackline_migrate', {seconds})");
    let answer = admin
        .query_within(&take, deadline + Duration::from_secs(5))
        .await?;
    match answer.first().and_then(|row| row.at(0)) {
        Some("1") => Ok(()),
        _ => Err(Error::Locked),
    }
}

async fn run(admin: &mut Admin, statement: &str, deadline: Duration) -> Result<(), Error> {
    if admin.is_read_only().await? {
        return Err(Error::ReadOnly);
    }
    let begun = Instant::now();
    let Err(error) = admin.execute_within(statement, deadline).await else {
        return Ok(());
    };
    Err(match error {
        net::Error::Timeout { .. } => Error::Waits {
            statement: head(statement),
            seconds: begun.elapsed().as_secs_f64(),
        },
        // Its roles did not say so before.
        error if is_denied(&error) => denied(admin, grants::SCHEMA).await,
        source => Error::Failed {
            statement: head(statement),
            source,
        },
    })
}

/// Enough of a statement to know it by.
fn head(statement: &str) -> String {
    let line = statement.lines().next().unwrap_or_default();
    line.split(" (").next().unwrap_or(line).to_owned()
}
