//! A statement under way whose answer is the question.

use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use super::{Account, Database};

/// How long something is watched that must not happen.
pub const STAYS: Duration = Duration::from_millis(1500);

type Outcome = Result<(Database, Duration), mysql_async::Error>;

pub struct Commit {
    statement: String,
    task: JoinHandle<Outcome>,
    /// The server's number of the connection.
    pub connection: u32,
}

impl Commit {
    /// Sends it on a connection of its own.
    pub async fn begin(account: &Account, statement: &str) -> Self {
        Self::begin_on(account.connect().await, statement)
    }

    pub fn begin_on(mut database: Database, statement: &str) -> Self {
        let connection = database.conn.id();
        let text = statement.to_owned();
        let task = tokio::spawn(async move {
            let began = Instant::now();
            database.try_run(&text).await?;
            Ok((database, began.elapsed()))
        });
        Self {
            statement: statement.to_owned(),
            task,
            connection,
        }
    }

    pub fn is_answered(&self) -> bool {
        self.task.is_finished()
    }

    /// It must not be answered for as long as [`STAYS`].
    pub async fn stays_unanswered(&mut self) {
        if let Ok(outcome) = tokio::time::timeout(STAYS, &mut self.task).await {
            let said = describe(&outcome.unwrap());
            panic!("answered, though it must wait: {}: {said}", self.statement);
        }
    }

    /// OK must come within that time; how long the statement took in all.
    pub async fn succeeds_within(self, within: Duration) -> (Database, Duration) {
        match self.answer_within(within).await {
            Ok(done) => done,
            Err(error) => panic!("failed: {error}"),
        }
    }

    /// Whatever the answer is, it must come within that time.
    pub async fn answer_within(mut self, within: Duration) -> Outcome {
        match tokio::time::timeout(within, &mut self.task).await {
            Ok(outcome) => outcome.unwrap(),
            Err(_) => panic!(
                "no answer within {} ms: {}",
                within.as_millis(),
                self.statement
            ),
        }
    }
}

impl Drop for Commit {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn describe(outcome: &Outcome) -> String {
    match outcome {
        Ok((_, took)) => format!("OK after {took:?}"),
        Err(error) => error.to_string(),
    }
}
