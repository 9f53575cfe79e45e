//! `POST /api/v1/switchover` and `/api/v1/failover`: what is asked. What comes back is
//! [`Moved`](crate::failover::Moved), or with `dry_run` a [`Rehearsal`](crate::failover::mover::Rehearsal); of
//! `POST /api/v1/rejoin` it is [`Home`](crate::failover::rejoin::Home).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::failover::Order;
use crate::ids::ServerName;
use crate::store::state::MoveKind;
use crate::units::parse_duration;

const DEADLINE: Duration = Duration::from_secs(10);

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Request {
    /// A `[[server]]`, by its name or its address. Failover finds one by itself.
    pub to: Option<String>,
    /// How long running transactions may go on.
    pub deadline: Option<String>,
    /// Switchover: cut transactions that do not end in time. Failover: though the source answers.
    pub force: bool,
    /// Failover: go on where completeness cannot be proven.
    pub accept_loss: bool,
    /// Also a server of whose binlog a part was gone before it was read.
    pub accept_unproven: bool,
    /// The plan and every check's result; nothing is changed.
    pub dry_run: bool,
}

/// Of a server that was the source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rejoin {
    /// A `[[server]]`, by its name or its address.
    pub server: String,
}

impl Request {
    /// `meant`: the server that a text names.
    pub fn order(&self, kind: MoveKind, meant: impl Fn(&str) -> ServerName) -> Order {
        Order {
            kind,
            to: self.to.as_deref().map(meant),
            force: self.force,
            accept_loss: self.accept_loss,
            accept_unproven: self.accept_unproven,
        }
    }

    pub fn deadline(&self) -> Result<Duration, String> {
        self.deadline
            .as_deref()
            .map_or(Ok(DEADLINE), parse_duration)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_name_the_target_and_may_set_a_deadline() {
        let request: Request = serde_json::from_str(r#"{"to":"db2","deadline":"3s"}"#).unwrap();
        assert_eq!(
            request.order(MoveKind::Switchover, ServerName::new).to,
            Some(ServerName::new("db2"))
        );
        assert_eq!(request.deadline(), Ok(Duration::from_secs(3)));
        assert_eq!(Request::default().deadline(), Ok(DEADLINE));
        assert!(serde_json::from_str::<Request>(r#"{"target":"db2"}"#).is_err());
    }
}
