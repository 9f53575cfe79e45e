//! Runs what a check says may be run.

use super::grants;
use super::{Check, Examination};
use crate::net;
use crate::net::admin::Admin;
use crate::topology::plugins;
use crate::topology::report::is_denied;

/// What became of one check's statements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// The account may not: this lets it.
    Denied {
        statement: String,
        grant: String,
    },
    Failed {
        statement: String,
        reason: String,
    },
}

/// Runs the statements of `check`, in order, up to the first that does not work. The server is not left open by that.
pub async fn repair(admin: &mut Admin, check: &Check, server: &Examination) -> Outcome {
    let statements = check.fix_sql();
    for statement in statements {
        let Err(error) = admin.execute(statement).await else {
            continue;
        };
        if statements
            .last()
            .is_some_and(|last| last == plugins::CLOSES)
            && let Err(error) = admin.execute(plugins::CLOSES).await
        {
            return Outcome::Failed {
                statement: plugins::CLOSES.to_owned(),
                reason: error.to_string(),
            };
        }
        let statement = statement.clone();
        return match denied(&error) {
            Some(_) if statement.starts_with("INSTALL PLUGIN") => Outcome::Denied {
                statement,
                grant: grants::statement_for_plugins(&server.account),
            },
            Some(privilege) => Outcome::Denied {
                statement,
                grant: grants::statement(&[&privilege], &server.account),
            },
            None => Outcome::Failed {
                statement,
                reason: error.to_string(),
            },
        };
    }
    Outcome::Done
}

/// The privilege that is missing, where that is what is wrong.
fn denied(error: &net::Error) -> Option<String> {
    if !is_denied(error) {
        return None;
    }
    // Where the server names none, only all of them are sure to suffice.
    Some(grants::named_in_refusal(&error.to_string()).unwrap_or_else(|| "SUPER".to_owned()))
}
