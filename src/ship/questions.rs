//! What a replica or a dump tool asks its source before it asks for events, and what we answer.
//!
//! The list is measured, not guessed: it is what the IO threads of MariaDB 10.11 and MySQL 9.7,
//! `mariadb-binlog` and `mysqlbinlog` send (MariaDB's IO thread may pipeline its `SET`s). A statement that is not in it gets a clear error instead
//! of an invented result.

use std::time::Duration;

use super::about::{self, About, Variable};
use crate::gtid::{Position, mariadb};
use crate::ids::{Flavor, ServerId};
use crate::protocol::result_set::Column;

/// What one dump connection has said of itself so far.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// `@replica_uuid`, of a MySQL replica.
    pub uuid: Option<String>,
    /// `@master_heartbeat_period`; none asked for means none sent.
    pub heartbeat: Option<Duration>,
    /// `@slave_connect_state`, or the set in COM_BINLOG_DUMP_GTID: present means that the dump starts
    /// by GTID.
    pub connect_state: Option<Position>,
    /// `@slave_until_gtid`: where the dump ends (START SLAVE UNTIL).
    pub until: Option<mariadb::Position>,
    /// `@mariadb_slave_capability`; 4 understands GTID events.
    pub capability: u8,
    /// Whether `@master_binlog_checksum` was set at all, and to what.
    pub checksum: Checksum,
    /// `@rpl_semi_sync_slave=1`: events carry the semi-sync header, acks may come.
    pub semi_sync: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Checksum {
    /// Never asked: the reader cannot know of checksums, and a server refuses it with 1236.
    #[default]
    Unaware,
    /// `'NONE'`: only the artificial ROTATE goes without; events keep what the file has.
    None,
    Crc32,
}

/// What the answers draw on; filled per connection from the store and the config.
pub struct Facts {
    pub flavor: Flavor,
    pub server_id: ServerId,
    pub server_uuid: String,
    pub version: String,
    pub gtid_domain_id: u32,
    pub unix_time: u64,
    /// (name, bytes) of each binlog file, oldest first.
    pub files: Vec<(String, u64)>,
    /// Where readers without a vote stand: file, offset, GTID position.
    pub end: (String, u64, String),
}

#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    Ok,
    Rows {
        columns: Vec<Column>,
        rows: Vec<Vec<String>>,
    },
    /// `KILL n`: STOP SLAVE opens a second connection to end the first.
    Kill(u32),
    Error {
        code: u16,
        state: &'static [u8; 5],
        message: String,
    },
}

/// Answers one COM_QUERY of a replication connection, noting what it sets.
pub fn answer(asked: &mut Asked, statement: &str, facts: &Facts) -> Answer {
    let text = normalized(statement);
    if let Some(assignments) = text.strip_prefix("set ") {
        return set(asked, assignments);
    }
    if let Some(id) = text.strip_prefix("kill ") {
        let id = id
            .trim_start_matches("connection ")
            .trim_start_matches("hard ");
        return match id.parse() {
            Ok(id) => Answer::Kill(id),
            Err(_) => unknown(statement),
        };
    }
    if let Some(of @ (About::Logs | About::Status | About::Position(_))) =
        about::about(statement.as_bytes())
    {
        return answer_about(of, facts);
    }
    match text.as_str() {
        "select version()" | "select @@version" => one("VERSION()", facts.version.clone()),
        "select unix_timestamp()" => one("UNIX_TIMESTAMP()", facts.unix_time.to_string()),
        "select @@global.server_id" => one("@@GLOBAL.server_id", facts.server_id.to_string()),
        "select @@global.gtid_domain_id" => one("@@GLOBAL.gtid_domain_id", facts.gtid_domain_id.to_string()),
        "select @master_binlog_checksum" => one("@master_binlog_checksum", checksum_name(asked.checksum).to_owned()),
        "select @@version_comment limit 1" => one("@@version_comment", "Ackline replication port".to_owned()),
        "show variables like 'server_id'" => variable("server_id", facts.server_id.to_string()),
        "select @@global.server_uuid" => one("@@GLOBAL.SERVER_UUID", facts.server_uuid.clone()),
        "select @@global.gtid_mode" => one("@@GLOBAL.GTID_MODE", "ON".to_owned()),
        "select @source_binlog_checksum" => one("@source_binlog_checksum", checksum_name(asked.checksum).to_owned()),
        "select @@global.rpl_semi_sync_source_enabled" => one("@@global.rpl_semi_sync_source_enabled", "1".to_owned()),
        "show variables like 'rpl_semi_sync_master_enabled'" => variable("rpl_semi_sync_master_enabled", "ON".to_owned()),
        _ if text.starts_with("select binlog_gtid_pos(") => Answer::Error {
            code: 1236,
            state: b"HY000",
            message: "ackline: a replica follows this port by GTID: run CHANGE MASTER TO MASTER_USE_GTID=slave_pos on it".to_owned(),
        },
        _ => unknown(statement),
    }
}

/// Notes what a guest's statement sets; the source runs it, too.
pub(super) fn note(asked: &mut Asked, statement: &str) {
    if let Some(assignments) = normalized(statement).strip_prefix("set ") {
        // What cannot be read is for the source to refuse.
        set(asked, assignments);
    }
}

/// What a guest asks of the binlog.
pub(super) fn answer_about(about: About, facts: &Facts) -> Answer {
    match about {
        About::Logs => binary_logs(facts),
        About::Status => binlog_status(facts),
        About::Position(Variable::BinlogPos) => one("@@gtid_binlog_pos", facts.end.2.clone()),
        About::Position(Variable::Executed) => one("@@GLOBAL.gtid_executed", facts.end.2.clone()),
        // Whoever gets nothing asks SHOW MASTER STATUS under a lock (mariadb-dump).
        About::Snapshot => Answer::Rows {
            columns: vec![Column::Text("Variable_name"), Column::Text("Value")],
            rows: Vec::new(),
        },
        About::TheSources => Answer::Error {
            code: 1235,
            state: b"42000",
            message: "ackline: the source would answer with its own files and with what is not released; of our binlog ask SHOW BINARY LOGS, SHOW MASTER STATUS (MySQL: SHOW BINARY LOG STATUS), SELECT @@gtid_binlog_pos or SELECT @@gtid_executed, each alone".to_owned(),
        },
    }
}

fn set(asked: &mut Asked, assignments: &str) -> Answer {
    if assignments.starts_with("names ") || assignments.starts_with("character set ") {
        return Answer::Ok;
    }
    for assignment in split(assignments) {
        let answer = assign(asked, assignment);
        if answer != Answer::Ok {
            return answer;
        }
    }
    Answer::Ok
}

/// At the commas outside of quotes.
fn split(assignments: &str) -> Vec<&str> {
    let mut quoted = None;
    let mut parts = Vec::new();
    let mut from = 0;
    for (at, character) in assignments.char_indices() {
        match (quoted, character) {
            (None, '\'' | '"') => quoted = Some(character),
            (Some(quote), _) if quote == character => quoted = None,
            (None, ',') => {
                parts.push(&assignments[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&assignments[from..]);
    parts
}

fn assign(asked: &mut Asked, assignment: &str) -> Answer {
    let Some((name, value)) = assignment.split_once('=') else {
        return unknown(assignment);
    };
    let value = value.trim();
    let bare = value.trim_matches(['\'', '"']);
    match name.trim().trim_end_matches(':') {
        "@master_heartbeat_period" | "@source_heartbeat_period" => match bare.parse::<u64>() {
            Ok(nanos) => asked.heartbeat = (nanos > 0).then(|| Duration::from_nanos(nanos)),
            Err(_) => return invalid(name, value),
        },
        "@mariadb_slave_capability" => match bare.parse() {
            Ok(capability) => asked.capability = capability,
            Err(_) => return invalid(name, value),
        },
        "@replica_uuid" | "@slave_uuid" => asked.uuid = Some(bare.to_owned()),
        "@master_binlog_checksum" | "@source_binlog_checksum" => {
            asked.checksum = if bare.eq_ignore_ascii_case("none") {
                Checksum::None
            } else {
                Checksum::Crc32
            };
        }
        "@slave_connect_state" => match Position::parse(Flavor::MariaDb, bare) {
            Ok(position) => asked.connect_state = Some(position),
            Err(_) => return invalid(name, value),
        },
        "@slave_until_gtid" => match bare.parse() {
            Ok(position) => asked.until = Some(position),
            Err(_) => return invalid(name, value),
        },
        "@rpl_semi_sync_slave" | "@rpl_semi_sync_replica" => asked.semi_sync = bare == "1",
        // What else a replica or a tool sets changes nothing in what we send.
        _ => {}
    }
    Answer::Ok
}

/// With the columns that the flavor's own tools expect.
fn binary_logs(facts: &Facts) -> Answer {
    let rows = facts.files.iter();
    match facts.flavor {
        Flavor::MariaDb => Answer::Rows {
            columns: vec![Column::Text("Log_name"), Column::Number("File_size")],
            rows: rows
                .map(|(name, bytes)| vec![name.clone(), bytes.to_string()])
                .collect(),
        },
        Flavor::MySql => Answer::Rows {
            columns: vec![
                Column::Text("Log_name"),
                Column::Number("File_size"),
                Column::Text("Encrypted"),
            ],
            rows: rows
                .map(|(name, bytes)| vec![name.clone(), bytes.to_string(), "No".to_owned()])
                .collect(),
        },
    }
}

fn binlog_status(facts: &Facts) -> Answer {
    let (file, offset, gtid) = &facts.end;
    let mut columns = vec![
        Column::Text("File"),
        Column::Number("Position"),
        Column::Text("Binlog_Do_DB"),
        Column::Text("Binlog_Ignore_DB"),
    ];
    let mut row = vec![
        file.clone(),
        offset.to_string(),
        String::new(),
        String::new(),
    ];
    if facts.flavor == Flavor::MySql {
        columns.push(Column::Text("Executed_Gtid_Set"));
        row.push(gtid.clone());
    }
    Answer::Rows {
        columns,
        rows: vec![row],
    }
}

fn checksum_name(checksum: Checksum) -> &'static str {
    match checksum {
        Checksum::Crc32 => "CRC32",
        Checksum::None | Checksum::Unaware => "NONE",
    }
}

fn one(column: &'static str, value: String) -> Answer {
    Answer::Rows {
        columns: vec![Column::Text(column)],
        rows: vec![vec![value]],
    }
}

fn variable(name: &str, value: String) -> Answer {
    Answer::Rows {
        columns: vec![Column::Text("Variable_name"), Column::Text("Value")],
        rows: vec![vec![name.to_owned(), value]],
    }
}

fn invalid(name: &str, value: &str) -> Answer {
    Answer::Error {
        code: 1231,
        state: b"42000",
        message: format!(
            "ackline: variable '{}' can't be set to the value of '{value}'",
            name.trim()
        ),
    }
}

fn unknown(statement: &str) -> Answer {
    let shown: String = statement.chars().take(80).collect();
    Answer::Error {
        code: 1235,
        state: b"42000",
        message: format!(
            "ackline: the replication port answers what replicas and dump tools ask, not '{shown}'; for SQL use the application port"
        ),
    }
}

/// Lower case, one blank between words, no blank around `=`, no trailing `;`.
fn normalized(statement: &str) -> String {
    let mut text = String::with_capacity(statement.len());
    for word in statement
        .trim()
        .trim_end_matches(';')
        .split_ascii_whitespace()
    {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(&word.to_ascii_lowercase());
    }
    text.replace(" = ", "=")
        .replace("= ", "=")
        .replace(" =", "=")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        Facts {
            flavor: Flavor::MariaDb,
            server_id: ServerId(4_294_900_001),
            server_uuid: "5f1c3c7e-0000-5000-8000-000000000001".into(),
            version: "10.11.19-MariaDB-log".into(),
            gtid_domain_id: 0,
            unix_time: 1_700_000_000,
            files: vec![("binlog.000001".into(), 4096)],
            end: ("binlog.000001".into(), 4096, "0-1-9".into()),
        }
    }

    #[test]
    fn a_mariadb_replica_gets_through_its_whole_list() {
        let mut asked = Asked::default();
        let facts = facts();
        for statement in [
            "SELECT UNIX_TIMESTAMP()",
            "SHOW VARIABLES LIKE 'SERVER_ID'",
            "SET @master_heartbeat_period= 1000000000",
            "SET @master_binlog_checksum= @@global.binlog_checksum",
            "SELECT @master_binlog_checksum",
            "SET @mariadb_slave_capability=4",
            "SELECT @@GLOBAL.gtid_domain_id",
            "SET @slave_connect_state='0-1-9,1-2-3'",
            "SET @slave_gtid_strict_mode=1",
            "SET @slave_gtid_ignore_duplicates=0",
            "SHOW VARIABLES LIKE 'rpl_semi_sync_master_enabled'",
            "SET @rpl_semi_sync_slave= 1",
        ] {
            let got = answer(&mut asked, statement, &facts);
            assert!(!matches!(got, Answer::Error { .. }), "{statement}: {got:?}");
        }
        assert_eq!(asked.heartbeat, Some(Duration::from_secs(1)));
        assert_eq!(asked.checksum, Checksum::Crc32);
        assert_eq!(asked.capability, 4);
        assert!(asked.semi_sync);
        assert_eq!(
            asked.connect_state.map(|p| p.to_string()),
            Some("0-1-9,1-2-3".into())
        );
    }

    #[test]
    fn a_mysql_replica_gets_through_its_whole_list() {
        let mut asked = Asked::default();
        let facts = Facts {
            flavor: Flavor::MySql,
            version: "9.7.4".into(),
            ..facts()
        };
        for statement in [
            " SELECT UNIX_TIMESTAMP()",
            " SELECT @@GLOBAL.SERVER_ID",
            " SET @master_heartbeat_period = 30000001024, @source_heartbeat_period = 30000001024",
            " SET @master_binlog_checksum = @@global.binlog_checksum, @source_binlog_checksum = @@global.binlog_checksum",
            " SELECT @source_binlog_checksum",
            " SELECT @@GLOBAL.GTID_MODE",
            " SELECT @@GLOBAL.SERVER_UUID",
            " SET @slave_uuid = '5f1c3c7e-1', @replica_uuid = '5f1c3c7e-1'",
            " SELECT @@global.rpl_semi_sync_source_enabled",
            " SET @rpl_semi_sync_replica = 1",
        ] {
            let got = answer(&mut asked, statement, &facts);
            assert!(!matches!(got, Answer::Error { .. }), "{statement}: {got:?}");
        }
        assert_eq!(asked.heartbeat, Some(Duration::from_nanos(30_000_001_024)));
        assert_eq!(asked.checksum, Checksum::Crc32);
        assert_eq!(asked.uuid.as_deref(), Some("5f1c3c7e-1"));
        assert!(asked.semi_sync);
    }

    #[test]
    fn the_dump_tool_sets_no_checksum_and_the_rest_is_refused_by_name() {
        let mut asked = Asked::default();
        assert_eq!(
            answer(&mut asked, "SET @master_binlog_checksum='NONE'", &facts()),
            Answer::Ok
        );
        assert_eq!(asked.checksum, Checksum::None);
        assert!(matches!(
            answer(&mut asked, "SELECT * FROM t", &facts()),
            Answer::Error { code: 1235, .. }
        ));
        assert!(matches!(
            answer(
                &mut asked,
                "SELECT binlog_gtid_pos('bin.000001',1024)",
                &facts()
            ),
            Answer::Error { code: 1236, .. }
        ));
        assert_eq!(answer(&mut asked, "KILL 12", &facts()), Answer::Kill(12));
        assert!(matches!(
            answer(&mut asked, "SET @slave_connect_state='nonsense'", &facts()),
            Answer::Error { code: 1231, .. }
        ));
    }
}
