//! A row's literals make a server store the same row: the tables of the golden files are created on a real
//! server, each inserted row of theirs is inserted by its literals, and the rows that this server logs are the
//! golden ones.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::{mysql, session};
use ackline::event::query::{Query, Statement};
use ackline::event::rows::json::Document;
use ackline::event::rows::{Row, RowsEvent, Value};
use ackline::event::table_map::TableMap;
use ackline::event::{Algorithm, EventType, Header, MAGIC, checksum};

use session::{PASSWORD, Server, USER};

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden");

/// Not by what a row says alone: columns that the server computes, or of a server of other settings.
const LEFT_OUT: [&str; 4] = ["hidden", "keyless", "versioned", "old"];

fn events(path: &Path) -> Vec<Vec<u8>> {
    let file = std::fs::read(path).unwrap();
    let mut rest = file.strip_prefix(&MAGIC).unwrap();
    let mut events = Vec::new();
    while !rest.is_empty() {
        let header = Header::parse(rest).unwrap();
        let (event, behind) = rest.split_at(header.length as usize);
        rest = behind;
        if header.kind != EventType::FORMAT_DESCRIPTION {
            events.push(checksum::strip(event, Algorithm::Crc32).unwrap().to_vec());
        }
    }
    events
}

/// What is done to each inserted row of the tables of schema `g`.
fn inserted(events: &[Vec<u8>], mut each: impl FnMut(&TableMap<'_>, Vec<(usize, Value<'_>)>)) {
    let mut map = None;
    for event in events {
        match Header::parse(event).unwrap().kind {
            EventType::TABLE_MAP => map = Some(TableMap::parse(event).unwrap()),
            kind if RowsEvent::is(kind) => {
                let table = map.as_ref().unwrap();
                let rows = RowsEvent::parse(event).unwrap();
                for row in rows.iter(table).unwrap() {
                    if let Row::Inserted(after) = row.unwrap()
                        && table.database == b"g"
                    {
                        each(table, after.values().map(Result::unwrap).collect());
                    }
                }
            }
            _ => {}
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The statements that create the golden tables, and those that fill them.
fn script(events: &[Vec<u8>]) -> String {
    let mut script =
        String::from("SET sql_mode = 'NO_BACKSLASH_ESCAPES'; CREATE DATABASE g; USE g;\n");
    for event in events {
        if let Ok(query) = Query::parse(event)
            && let Statement::Text(statement) = query.statement
            && statement.starts_with(b"CREATE TABLE")
        {
            let statement = text(statement);
            let name = statement.split(' ').nth(2).unwrap();
            if !LEFT_OUT.contains(&name.trim_matches('`')) {
                script += &format!("{statement};\n");
            }
        }
    }
    inserted(events, |table, values| {
        let name = text(table.table);
        if LEFT_OUT.contains(&name.as_str()) {
            return;
        }
        let names: Vec<String> = table
            .names()
            .unwrap()
            .unwrap()
            .map(|n| text(n.unwrap()))
            .collect();
        let columns: Vec<&str> = values.iter().map(|(index, _)| &*names[*index]).collect();
        let literals: Vec<String> = values
            .iter()
            .map(|(index, value)| {
                let literal = value.literal(&table.columns()[*index]);
                literal.unwrap().to_string()
            })
            .collect();
        let (columns, literals) = (columns.join("`, `"), literals.join(", "));
        script += &format!("INSERT INTO `{name}` (`{columns}`) VALUES ({literals});\n");
    });
    script
}

/// Rows by table, for people to compare.
fn rows(events: &[Vec<u8>]) -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    inserted(events, |table, values| {
        let shown = values.iter().map(|(index, value)| match value {
            // Of JSON the text is what comes back, and not of what JSON has no type for.
            Value::Json(json) => match json.document().unwrap() {
                document if has_opaque(&document) => OPAQUE.to_owned(),
                document => document.to_string(),
            },
            value => format!("{index} {value:?}"),
        });
        let shown = shown.collect::<Vec<_>>().join("\n");
        found.entry(text(table.table)).or_default().push(shown);
    });
    found
}

/// DECIMAL comes back as a double, all else as a string.
const OPAQUE: &str = "opaque";

fn has_opaque(document: &Document<'_>) -> bool {
    match document {
        Document::Opaque { .. } => true,
        Document::Array(members) => members.iter().any(has_opaque),
        Document::Object(members) => members.iter().any(|(_, value)| has_opaque(value)),
        _ => false,
    }
}

fn literals_make_the_same_rows(version: &str, server: &Server, client: &mut Command) {
    // The second file has table maps as they are by default, without names.
    let files = ["types.000001", "types.000003"].map(|file| format!("{GOLDEN}/{version}/{file}"));
    let files = files.iter().map(Path::new).filter(|path| {
        let newer = path.ends_with("types.000003");
        !newer || (version == "mariadb-11.8")
    });
    let golden: Vec<_> = files.flat_map(events).collect();
    let mut client = client
        .arg("--host=127.0.0.1")
        .arg(format!("--port={}", server.port))
        .arg(format!("--user={USER}"))
        .arg(format!("--password={PASSWORD}"))
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let script = script(&golden);
    client
        .stdin
        .take()
        .unwrap()
        .write_all(script.as_bytes())
        .unwrap();
    let done = client.wait_with_output().unwrap();
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
    let mut expected = rows(&golden);
    for name in LEFT_OUT {
        expected.remove(name);
    }
    let data = server.folder().join("data");
    let logged = std::fs::read_dir(&data)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut logged: Vec<_> = logged
        .filter(|path| {
            // MariaDB 11 has an index of GTIDs beside each.
            let name = path.file_name().map(|name| name.to_string_lossy());
            name.is_some_and(|name| name.starts_with("bin.0") && !name.ends_with(".idx"))
        })
        .collect();
    logged.sort();
    let found: Vec<Vec<u8>> = logged.iter().flat_map(|path| events(path)).collect();
    let found = rows(&found);
    assert!(expected.len() > 5, "{:?}", expected.keys());
    for (table, rows) in expected {
        let again = &found[&table];
        assert_eq!(rows.len(), again.len(), "{table}");
        for (row, again) in rows.iter().zip(again) {
            for (value, again) in row.lines().zip(again.lines()) {
                let same = value == again || value == OPAQUE;
                assert!(same, "{table}: {value}\nhas become {again}");
            }
        }
    }
}

const OPTIONS: [&str; 3] = [
    "--binlog-format=ROW",
    "--binlog-row-metadata=FULL",
    "--default-time-zone=+00:00",
];

#[test]
fn literals_make_the_same_rows_on_mariadb() {
    let server = Server::start(&OPTIONS);
    let mut client = Command::new("mariadb");
    client.arg("--no-defaults");
    let version = match server.is_mariadb_11() {
        true => "mariadb-11.8",
        false => "mariadb-10.11",
    };
    literals_make_the_same_rows(version, &server, &mut client);
}

#[test]
fn literals_make_the_same_rows_on_mysql() {
    let Some(programs) = mysql::programs("literals_make_the_same_rows_on_mysql") else {
        return;
    };
    let server = Server::start_mysql_with(&programs, &OPTIONS);
    let mut client = Command::new(programs.join("mysql"));
    client.args(["--no-defaults", "--get-server-public-key"]);
    literals_make_the_same_rows("mysql-9.7", &server, &mut client);
}
