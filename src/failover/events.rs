//! Events of the event scheduler on the way of a move.
//!
//! At a replica each event is SLAVESIDE_DISABLED (MySQL: REPLICA_SIDE_DISABLED), also one that is disabled at the
//! source, so that the list of those that are to run comes from the old source; from a dead one as it was last
//! asked. At the new source each then has the status that it had there. These ALTERs replicate, and make it
//! replica-side disabled everywhere else, at the old source too (measured, as all here, on 10.11.19 and 9.7.4).
//!
//! What is not known is not enabled: a job that did not run can be run later, what a job did that was disabled on
//! purpose cannot be undone. It is named, with the SQL to run.

use super::plan::Plan;
use super::servers::{self, Error};
use crate::ids::ServerName;
use crate::net;
use crate::net::admin::{Admin, Row};
use crate::store::state::{EventStatus, MoveKind, Schedule, ScheduledEvent};
use crate::topology::doctor::grants::Grants;

/// A one-time event that is overdue runs when it is enabled; EXECUTE_AT is in the event's own time zone.
const EVENTS: &str = "SELECT EVENT_SCHEMA, EVENT_NAME, DEFINER, STATUS, CHARACTER_SET_CLIENT, COLLATION_CONNECTION, \
     COALESCE(CONVERT_TZ(EXECUTE_AT, TIME_ZONE, @@session.time_zone) <= NOW(), EXECUTE_AT IS NOT NULL) \
     FROM information_schema.EVENTS ORDER BY EVENT_SCHEMA, EVENT_NAME";

/// What this server's event scheduler runs now. Events are None where our account may not see them.
pub async fn read(admin: &mut Admin, server: &ServerName) -> Result<Schedule, net::Error> {
    let scheduler = admin.value("SELECT @@global.event_scheduler").await?;
    let found = events(admin).await?;
    Ok(Schedule {
        server: server.clone(),
        on: scheduler.is_some_and(|found| found.eq_ignore_ascii_case("ON")),
        events: found.map(|found| found.into_iter().map(|(event, _)| event).collect()),
    })
}

/// Each with whether it is a one-time event that is due.
async fn events(admin: &mut Admin) -> Result<Option<Vec<(ScheduledEvent, bool)>>, net::Error> {
    let rows = admin.query(EVENTS).await?;
    if rows.is_empty() {
        let lines = admin.query("SHOW GRANTS").await?;
        let grants = Grants::parse(lines.iter().filter_map(|row| row.at(0)));
        return Ok(grants.has("EVENT").then(Vec::new));
    }
    Ok(Some(rows.iter().map(event).collect()))
}

fn event(row: &Row) -> (ScheduledEvent, bool) {
    let text = |index| row.at(index).unwrap_or_default().to_owned();
    let event = ScheduledEvent {
        schema: text(0),
        name: text(1),
        definer: text(2),
        status: match text(3).as_str() {
            "ENABLED" => EventStatus::Enabled,
            "DISABLED" => EventStatus::Disabled,
            _ => EventStatus::ReplicaSideDisabled,
        },
        character_set_client: text(4),
        collation_connection: text(5),
    };
    (event, row.at(6) == Some("1"))
}

/// At the new source, which is open. Only what nobody has touched since is changed, so that it may be done twice.
///
/// Errors name each event that does not run as it should, with the SQL to run.
pub async fn hand_over(admin: &mut Admin, plan: &Plan) -> Result<(), Error> {
    let mut left = Vec::new();
    let known = plan.schedule.as_ref();
    let known = known.and_then(|known| known.events.as_deref());
    // Where it may not see them the plan has warned already, or nothing shows that there are any.
    for (event, is_due) in events(admin).await?.unwrap_or_default() {
        if event.status != EventStatus::ReplicaSideDisabled {
            continue;
        }
        let sql = statement(&event, EventStatus::Enabled);
        let was = known.map(|known| known.iter().find(|was| is_same(was, &event)));
        match was {
            None | Some(None) => left.push(format!(
                "whether it ran at {} is not known, it does not now: {sql}",
                plan.from
            )),
            Some(Some(was)) if was.status == EventStatus::ReplicaSideDisabled => {}
            // PRESERVE keeps it where it has run, and a replica does not hear of that.
            Some(Some(was))
                if was.status == EventStatus::Enabled
                    && is_due
                    && plan.order.kind == MoveKind::Failover =>
            {
                left.push(format!(
                    "it was due, whether it ran at {} is not known: {sql}",
                    plan.from
                ));
            }
            Some(Some(was)) => {
                if let Err(error) = alter(admin, &event, was.status).await {
                    let sql = statement(&event, was.status);
                    left.push(format!("{error}: {sql}"));
                }
            }
        }
    }
    if plan.events
        && let Err(error) = servers::set_events(admin, true).await
    {
        left.push(format!("{error}: SET GLOBAL event_scheduler=ON"));
    }
    match left.is_empty() {
        true => Ok(()),
        false => Err(Error::Other(format!("at {}: {}", plan.to, left.join("; ")))),
    }
}

fn is_same(one: &ScheduledEvent, other: &ScheduledEvent) -> bool {
    one.schema == other.schema && one.name == other.name
}

/// Its body is read in the character set of whoever altered it last, though the body was not altered.
async fn alter(
    admin: &mut Admin,
    event: &ScheduledEvent,
    status: EventStatus,
) -> Result<(), Error> {
    let ScheduledEvent {
        character_set_client: charset,
        collation_connection: collation,
        ..
    } = event;
    let sql = statement(event, status);
    if !sql.is_ascii() && !charset.starts_with("utf8") {
        return Err(Error::Other(format!(
            "to be altered by a client that speaks {charset}"
        )));
    }
    let speak = format!("SET character_set_client={charset}, collation_connection={collation}");
    admin.execute(&speak).await?;
    let altered = admin.execute(&sql).await;
    // Where it has no answer yet (it waits for an acknowledgement) the connection is gone.
    if admin.is_usable() {
        admin.execute("SET NAMES utf8mb4").await?;
    }
    Ok(altered?)
}

/// Without its definer it would be ours from then on.
fn statement(event: &ScheduledEvent, status: EventStatus) -> String {
    let ScheduledEvent {
        schema,
        name,
        definer,
        ..
    } = event;
    // A user may contain an @, a host may not.
    let (user, host) = definer.rsplit_once('@').unwrap_or((definer, "%"));
    let [user, host, schema, name] = [user, host, schema, name].map(quoted);
    let status = match status {
        EventStatus::Enabled => "ENABLE",
        EventStatus::Disabled => "DISABLE",
        // Both flavors take this word.
        EventStatus::ReplicaSideDisabled => "DISABLE ON SLAVE",
    };
    format!("ALTER DEFINER={user}@{host} EVENT {schema}.{name} {status}")
}

/// Whatever sql_mode is.
fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definer_stays() {
        let event = ScheduledEvent {
            schema: "shop".into(),
            name: "a`b".into(),
            definer: "joe@home@10.0.0.%".into(),
            status: EventStatus::ReplicaSideDisabled,
            character_set_client: "utf8mb4".into(),
            collation_connection: "utf8mb4_general_ci".into(),
        };
        assert_eq!(
            statement(&event, EventStatus::Enabled),
            "ALTER DEFINER=`joe@home`@`10.0.0.%` EVENT `shop`.`a``b` ENABLE"
        );
    }
}
