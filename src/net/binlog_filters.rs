//! What a server leaves out of its binlog: `binlog_do_db` and `binlog_ignore_db`.

use super::Error;
use super::admin::Admin;
use crate::ids::Flavor;
use crate::protocol::semi_sync::Names;

const SYNTAX: u16 = 1064;

/// `name=value` of each that is set; none where it may not be asked. MariaDB 10.11 and MySQL tell them in SHOW MASTER
/// STATUS only (MySQL 9 calls it SHOW BINARY LOG STATUS), which hangs behind a commit that waits for its
/// acknowledgement: then it is not asked, either.
pub async fn read(admin: &mut Admin) -> Result<Option<Vec<String>>, Error> {
    let waiting = Names::of(admin.flavor()).waiting;
    let counter = admin
        .query(&format!("SHOW GLOBAL STATUS LIKE '{waiting}'"))
        .await?;
    let counter = counter.first().and_then(|row| row.text("Value"));
    if counter.is_some_and(|sessions| sessions != "0") {
        return Ok(None);
    }
    let statement = match admin.flavor() {
        Flavor::MariaDb => "SHOW MASTER STATUS",
        Flavor::MySql => "SHOW BINARY LOG STATUS",
    };
    let rows = match admin.query(statement).await {
        Ok(rows) => rows,
        Err(error) if error.is_denied() || error.server_code() == Some(SYNTAX) => return Ok(None),
        Err(error) => return Err(error),
    };
    let columns = [
        ("Binlog_Do_DB", "binlog_do_db"),
        ("Binlog_Ignore_DB", "binlog_ignore_db"),
    ];
    let filters = rows.iter().flat_map(|row| {
        columns.iter().filter_map(|(column, variable)| {
            let value = row.text(column).filter(|value| !value.is_empty())?;
            Some(format!("{variable}={value}"))
        })
    });
    Ok(Some(filters.collect()))
}
