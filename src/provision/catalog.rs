//! Asks a donor what it holds.

use super::object::{Account, Catalog, Kind, Object, Rows, Table, account_name, show_create};
use crate::ids::Flavor;
use crate::net;
use crate::net::admin::{Admin, Row};
use crate::tables::travel::UnknownType;
use crate::tables::{Name, SYSTEM, Travel, definition, quoted};
use crate::topology::doctor::grants::{self, Grants};

/// The server's own accounts.
const SYSTEM_USERS: &str =
    "'mariadb.sys', 'mysql.sys', 'mysql.session', 'mysql.infoschema', 'PUBLIC'";

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Net(#[from] net::Error),
    #[error(
        "our account sees only a part of it: an administrator has to run {0}; at the source, from where it comes to all"
    )]
    Denied(String),
    #[error("{name}: {unknown}")]
    UnknownType { name: Name, unknown: UnknownType },
    #[error(
        "{name} is of the engine {engine}, which stands for rows elsewhere and is not copied: drop it, or set the replica up from a copy of the source's files"
    )]
    Engine { name: Name, engine: String },
    #[error(
        "{0} is system-versioned, and its history is not copied yet: set the replica up from a copy of the source's files"
    )]
    Versioned(Name),
    #[error("{0} was altered or dropped meanwhile: give the command again")]
    Gone(String),
}

/// What our account may not see would be left out without a word.
pub async fn sees_all(admin: &mut Admin) -> Result<(), Error> {
    let lines = admin.query("SHOW GRANTS").await?;
    let lines: Vec<&str> = lines.iter().filter_map(|row| row.at(0)).collect();
    let needed = grants::donor(admin.flavor());
    let mut lacks = Grants::parse(lines.iter().copied()).lacks(needed);
    // MySQL's partial_revokes.
    if lines.iter().any(|line| line.starts_with("REVOKE ")) {
        lacks = needed.iter().map(|(name, _)| *name).collect();
    }
    match lacks.is_empty() {
        true => Ok(()),
        false => Err(denied(admin, &lacks).await?),
    }
}

async fn denied(admin: &mut Admin, lacks: &[&str]) -> Result<Error, net::Error> {
    let account = admin.value("SELECT CURRENT_USER()").await?;
    let account = account.unwrap_or_default();
    Ok(Error::Denied(grants::statement(lacks, &account)))
}

impl Error {
    /// Something went away between two questions: ER_NO_SUCH_TABLE, ER_BAD_DB_ERROR.
    pub fn is_altered(&self) -> bool {
        match self {
            Self::Gone(_) => true,
            Self::Net(error) => matches!(error.server_code(), Some(1146 | 1049)),
            _ => false,
        }
    }
}

/// Everything but rows. `accounts`: those as well.
pub async fn read(admin: &mut Admin, accounts: bool) -> Result<Catalog, Error> {
    let mut catalog = Catalog {
        databases: databases(admin).await?,
        ..Catalog::default()
    };
    tables(admin, &mut catalog).await?;
    for (kind, name) in listed(admin).await? {
        catalog.objects.push(object(admin, kind, name).await?);
    }
    catalog.objects.sort_by_key(|object| object.kind);
    if accounts {
        catalog.accounts = read_accounts(admin).await?;
    }
    Ok(catalog)
}

/// Those that are not the server's own.
pub async fn database_names(admin: &mut Admin) -> Result<Vec<String>, net::Error> {
    let question = format!(
        "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME NOT IN ({SYSTEM}) ORDER BY 1"
    );
    let rows = admin.query(&question).await?;
    Ok(rows
        .iter()
        .filter_map(|row| Some(row.at(0)?.to_owned()))
        .collect())
}

async fn databases(admin: &mut Admin) -> Result<Vec<(String, String)>, Error> {
    let mut databases = Vec::new();
    for name in database_names(admin).await? {
        let shown = admin
            .query(&format!("SHOW CREATE DATABASE {}", quoted(&name)))
            .await?;
        let create = shown.first().and_then(|row| row.at(1));
        let create = create.ok_or_else(|| Error::Gone(name.clone()))?.to_owned();
        databases.push((name, create));
    }
    Ok(databases)
}

fn name_of(row: &Row) -> Option<Name> {
    Some(Name {
        database: row.at(0)?.to_owned(),
        table: row.at(1)?.to_owned(),
    })
}

async fn tables(admin: &mut Admin, catalog: &mut Catalog) -> Result<(), Error> {
    let question = format!(
        "SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE, ENGINE, COALESCE(DATA_LENGTH, 0), COALESCE(TABLE_ROWS, 0) \
         FROM information_schema.TABLES WHERE TABLE_SCHEMA NOT IN ({SYSTEM}) \
         AND TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED') ORDER BY 1, 2"
    );
    for row in admin.query(&question).await? {
        let Some(name) = name_of(&row).filter(|name| !is_ours(name)) else {
            continue;
        };
        if row.at(2) == Some("SYSTEM VERSIONED") {
            return Err(Error::Versioned(name));
        }
        let engine = row.at(3).unwrap_or_default();
        let rows = Rows::of(engine).ok_or_else(|| Error::Engine {
            name: name.clone(),
            engine: engine.to_owned(),
        })?;
        let number = |index: usize| {
            row.at(index)
                .and_then(|number| number.parse().ok())
                .unwrap_or(0)
        };
        let (bytes, row_count) = (number(4), number(5));
        let gone = || Error::Gone(name.to_string());
        let create = show(admin, "TABLE", &name, "Create Table").await?;
        let definition = definition::ask(admin, &name).await?.ok_or_else(gone)?;
        let travel = match Travel::of(&definition) {
            Ok(travel) => travel,
            Err(unknown) => return Err(Error::UnknownType { name, unknown }),
        };
        catalog.tables.push(Table {
            name,
            create,
            definition,
            travel,
            rows,
            bytes,
            row_count,
        });
    }
    Ok(())
}

/// How far a copy has come is each server's own.
fn is_ours(name: &Name) -> bool {
    name.database == "ackline" && name.table == "provision"
}

async fn listed(admin: &mut Admin) -> Result<Vec<(Kind, Name)>, Error> {
    let mut found = Vec::new();
    if admin.flavor() == Flavor::MariaDb {
        let sequences = format!(
            "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES \
             WHERE TABLE_SCHEMA NOT IN ({SYSTEM}) AND TABLE_TYPE = 'SEQUENCE' ORDER BY 1, 2"
        );
        let rows = admin.query(&sequences).await?;
        found.extend(
            rows.iter()
                .filter_map(|row| Some((Kind::Sequence, name_of(row)?))),
        );
    }
    let routines = format!(
        "SELECT ROUTINE_SCHEMA, ROUTINE_NAME, ROUTINE_TYPE FROM information_schema.ROUTINES \
         WHERE ROUTINE_SCHEMA NOT IN ({SYSTEM}) ORDER BY 1, 2, 3"
    );
    for row in admin.query(&routines).await? {
        let kind = row.at(2).and_then(Kind::of_routine);
        found.extend(kind.zip(name_of(&row)));
    }
    for (kind, columns) in [
        (
            Kind::View,
            "TABLE_SCHEMA, TABLE_NAME FROM information_schema.VIEWS",
        ),
        (
            Kind::Event,
            "EVENT_SCHEMA, EVENT_NAME FROM information_schema.EVENTS",
        ),
    ] {
        let schema = columns.split(',').next().unwrap_or_default();
        let question = format!("SELECT {columns} WHERE {schema} NOT IN ({SYSTEM}) ORDER BY 1, 2");
        let rows = admin.query(&question).await?;
        found.extend(rows.iter().filter_map(|row| Some((kind, name_of(row)?))));
    }
    // In the order in which they fire.
    let triggers = format!(
        "SELECT TRIGGER_SCHEMA, TRIGGER_NAME FROM information_schema.TRIGGERS \
         WHERE TRIGGER_SCHEMA NOT IN ({SYSTEM}) \
         ORDER BY 1, EVENT_OBJECT_TABLE, EVENT_MANIPULATION, ACTION_TIMING, ACTION_ORDER"
    );
    let rows = admin.query(&triggers).await?;
    found.extend(
        rows.iter()
            .filter_map(|row| Some((Kind::Trigger, name_of(row)?))),
    );
    Ok(found)
}

/// One row of SHOW CREATE.
async fn shown(admin: &mut Admin, word: &str, name: &Name) -> Result<Row, Error> {
    let rows = admin.query(&show_create(word, name)).await?;
    let row = rows.into_iter().next();
    row.ok_or_else(|| Error::Gone(name.to_string()))
}

async fn show(admin: &mut Admin, word: &str, name: &Name, column: &str) -> Result<String, Error> {
    let row = shown(admin, word, name).await?;
    let create = row.text(column).map(str::to_owned);
    create.ok_or_else(|| Error::Gone(name.to_string()))
}

async fn object(admin: &mut Admin, kind: Kind, name: Name) -> Result<Object, Error> {
    let row = shown(admin, kind.word(), &name).await?;
    let Some(create) = row.text(&kind.column()).map(str::to_owned) else {
        let all: Vec<&str> = grants::donor(admin.flavor())
            .iter()
            .map(|(name, _)| *name)
            .collect();
        return Err(denied(admin, &all).await?);
    };
    let mut settings = Vec::new();
    let mut set = |column: &str, variable: &str| {
        if let Some(value) = row.text(column) {
            settings.push(format!(
                "SET SESSION {variable}={}",
                net::admin::literal(value)
            ));
        }
    };
    // We read and write it as UTF-8, whatever it was made in.
    if row
        .text("character_set_client")
        .is_some_and(|charset| charset.starts_with("utf8"))
    {
        set("character_set_client", "character_set_client");
    }
    set("collation_connection", "collation_connection");
    set("sql_mode", "sql_mode");
    set("time_zone", "time_zone");
    Ok(Object {
        kind,
        name,
        create,
        settings,
    })
}

async fn read_accounts(admin: &mut Admin) -> Result<Vec<Account>, Error> {
    let flavor = admin.flavor();
    let (question, hexadecimal) = match flavor {
        Flavor::MariaDb => ("SELECT User, Host, is_role FROM mysql.user", None),
        Flavor::MySql => (
            "SELECT User, Host, 'N' FROM mysql.user",
            // Their bytes may be no text.
            Some("SET SESSION print_identified_with_as_hex=ON"),
        ),
    };
    if let Some(statement) = hexadecimal {
        admin.execute(statement).await?;
    }
    let question = format!("{question} WHERE User NOT IN ({SYSTEM_USERS}) ORDER BY 3 DESC, 1, 2");
    let mut accounts = Vec::new();
    for row in admin.query(&question).await? {
        let user = row.at(0).unwrap_or_default();
        let is_role = row.at(2) == Some("Y");
        let name = account_name(user, row.at(1).filter(|_| !is_role));
        let create = match is_role {
            true => format!("CREATE ROLE {name}"),
            false => {
                let shown = admin.query(&format!("SHOW CREATE USER {name}")).await?;
                let create = shown.first().and_then(|row| row.at(0));
                create.ok_or_else(|| Error::Gone(name.clone()))?.to_owned()
            }
        };
        let grants = admin.query(&format!("SHOW GRANTS FOR {name}")).await?;
        let grants = grants.iter().filter_map(|row| Some(row.at(0)?.to_owned()));
        accounts.push(Account {
            grants: grants.collect(),
            name,
            create,
        });
    }
    Ok(accounts)
}

/// What a sequence is at now, as the row that it is.
pub async fn sequence(admin: &mut Admin, name: &Name) -> Result<String, Error> {
    let select = format!(
        "SELECT CONCAT_WS(', ', next_not_cached_value, minimum_value, maximum_value, start_value, increment, cache_size, \
         cycle_option, cycle_count) FROM {}",
        name.quoted()
    );
    let row = admin.value(&select).await?;
    let row = row.ok_or_else(|| Error::Gone(name.to_string()))?;
    Ok(format!("INSERT INTO {} VALUES ({row})", name.quoted()))
}
