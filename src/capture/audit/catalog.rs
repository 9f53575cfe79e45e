//! What the source's `information_schema` says of what statements name, kept until a definition passes.
//!
//! It is asked after the statement, so it is the schema of now: see `sql::unsafe_statement::schema`. Where it
//! cannot be asked, or may not be seen, statements are judged by their text alone; that is counted, and said
//! once.

use std::time::Duration;

use metrics::{Counter, counter};
use tokio::time::Instant;

use super::Open;
use crate::net;
use crate::net::admin::{Account, Admin, literal};
use crate::sql::Server;
use crate::sql::lexer::Backslash;
use crate::sql::unsafe_statement::Reading;
use crate::sql::unsafe_statement::body::Body;
use crate::sql::unsafe_statement::named::{Events, Name};
use crate::sql::unsafe_statement::schema::{
    self, AutoIncrement, BySchema, Object, Outcome, Schema, Shape, Table, Trigger, judge,
};

/// The present source.
pub type WhomToAsk = Box<dyn Fn() -> Account + Send>;

const TIMEOUT: Duration = Duration::from_secs(3);
/// After a failure it is left alone for so long.
const REST: Duration = Duration::from_secs(10);
/// What a statement names is asked for, then what that names, and so on.
const DEEPEST: usize = 20;

enum State {
    Closed,
    Connected(Box<Admin>, Account),
    Resting { until: Instant },
}

pub(super) struct Catalog {
    source: WhomToAsk,
    schema: Schema,
    state: State,
    /// See `Auditor::definitions`.
    definitions: u64,
    /// Something was not to be seen: new privileges count for new connections.
    has_hidden: bool,
    said: Said,
    unjudged: Counter,
}

/// What stands in the log already.
#[derive(Default)]
struct Said {
    fails: bool,
    hidden: bool,
}

impl Catalog {
    pub(super) fn new(source: WhomToAsk) -> Self {
        Self {
            source,
            schema: Schema::default(),
            state: State::Closed,
            definitions: 0,
            has_hidden: false,
            said: Said::default(),
            unjudged: counter!("ackline_schema_unjudged_statements_total"),
        }
    }

    /// Forgets everything where a definition has passed: what it touches is not worth finding out.
    pub(super) fn renew(&mut self, definitions: u64) {
        if definitions == self.definitions {
            return;
        }
        self.definitions = definitions;
        self.forget();
    }

    fn forget(&mut self) {
        self.schema.clear();
        if std::mem::take(&mut self.has_hidden) && matches!(self.state, State::Connected(..)) {
            self.state = State::Closed;
        }
    }

    /// None where the schema cannot be had.
    pub(super) async fn judge(&mut self, open: &Open) -> Option<BySchema> {
        let judged = self.judge_or_fail(open).await;
        let is_whole = match &judged {
            Some(BySchema { hidden: None, .. }) => true,
            Some(BySchema {
                hidden: Some(object),
                ..
            }) => {
                self.has_hidden = true;
                if !std::mem::replace(&mut self.said.hidden, true) {
                    let (Object::Table(name) | Object::Function(name)) = object;
                    tracing::info!(
                        database = name.database,
                        name = name.name,
                        "not to be seen in the source's information_schema: it is temporary or gone, or our account may not see it, for which it needs SELECT, SHOW VIEW and TRIGGER ON *.*; statements that name such are judged without it"
                    );
                }
                false
            }
            None => false,
        };
        if !is_whole {
            self.unjudged.increment(1);
        }
        judged
    }

    async fn judge_or_fail(&mut self, open: &Open) -> Option<BySchema> {
        for _ in 0..DEEPEST {
            let asks = match judge(open.server.flavor, &open.named, &self.schema) {
                Outcome::Judged(by_schema) => return Some(by_schema),
                Outcome::Asks(objects) => objects,
            };
            for object in asks {
                match self.ask(open.server, &object).await {
                    Ok(Some(shape)) => self.schema.add(object, shape),
                    Ok(None) => return None,
                    Err(error) => {
                        self.fail(&error);
                        return None;
                    }
                }
            }
        }
        None
    }

    fn fail(&mut self, error: &net::Error) {
        self.state = State::Resting {
            until: Instant::now() + REST,
        };
        if !std::mem::replace(&mut self.said.fails, true) {
            tracing::warn!(%error, "the source cannot be asked for its schema: statements are judged by their text alone");
        }
    }

    /// None while the source is left alone.
    async fn ask(&mut self, server: Server, object: &Object) -> Result<Option<Shape>, net::Error> {
        let account = (self.source)();
        match &self.state {
            State::Resting { until } if Instant::now() < *until => return Ok(None),
            State::Connected(admin, of) if admin.is_usable() && *of == account => {}
            _ => {
                // It may be another server now.
                self.schema.clear();
                self.state = State::Closed;
                let mut admin = Admin::connect(&account, TIMEOUT).await?;
                self.note_privileges(&mut admin).await?;
                self.state = State::Connected(Box::new(admin), account);
            }
        }
        let State::Connected(admin, _) = &mut self.state else {
            return Ok(None);
        };
        let reading = Reading {
            server,
            backslash: Backslash::Escapes,
            ignores_space: false,
        };
        let shape = match object {
            Object::Table(name) => table(admin, reading, name).await?,
            Object::Function(name) => function(admin, reading, name).await?,
        };
        if std::mem::take(&mut self.said.fails) {
            tracing::info!("the source is asked for its schema again");
        }
        Ok(Some(shape))
    }

    /// Of hidden triggers there is no sign but this.
    async fn note_privileges(&mut self, admin: &mut Admin) -> Result<(), net::Error> {
        let rows = admin
            .query(
                "SELECT PRIVILEGE_TYPE FROM information_schema.USER_PRIVILEGES WHERE GRANTEE = \
                 CONCAT('''', LEFT(CURRENT_USER(), CHAR_LENGTH(CURRENT_USER()) - 1 - \
                 CHAR_LENGTH(SUBSTRING_INDEX(CURRENT_USER(), '@', -1))), '''@''', \
                 SUBSTRING_INDEX(CURRENT_USER(), '@', -1), '''')",
            )
            .await?;
        let has = |needed: &&str| rows.iter().any(|row| row.at(0) == Some(needed));
        let lacks: Vec<&str> = schema::PRIVILEGES
            .into_iter()
            .filter(|needed| !has(needed))
            .collect();
        if lacks.is_empty() {
            return Ok(());
        }
        self.has_hidden = true;
        if !std::mem::replace(&mut self.said.hidden, true) {
            let lacks = lacks.join(", ");
            tracing::info!(
                lacks,
                "our account may not see all of the source's schema: statements are judged for AUTO_INCREMENT, unique keys, triggers, views and functions as far as it does"
            );
        }
        Ok(())
    }
}

async fn table(admin: &mut Admin, reading: Reading, name: &Name) -> Result<Shape, net::Error> {
    let database = literal(&name.database);
    let table = literal(&name.name);
    let is_it = format!("TABLE_SCHEMA = {database} AND TABLE_NAME = {table}");
    let columns = admin
        .query(&format!(
            "SELECT COLUMN_NAME, EXTRA FROM information_schema.COLUMNS WHERE {is_it} ORDER BY ORDINAL_POSITION"
        ))
        .await?;
    if columns.is_empty() {
        return Ok(Shape::Hidden);
    }
    let views = admin
        .query(&format!(
            "SELECT VIEW_DEFINITION FROM information_schema.VIEWS WHERE {is_it}"
        ))
        .await?;
    if let Some(view) = views.first() {
        return Ok(match view.at(0) {
            None | Some("") => Shape::Hidden,
            Some(query) => Shape::View(Body::of(reading, &name.database, query.as_bytes())),
        });
    }
    let parts = admin
        .query(&format!(
            "SELECT INDEX_NAME, NON_UNIQUE, SEQ_IN_INDEX, COLUMN_NAME FROM information_schema.STATISTICS \
             WHERE {is_it} ORDER BY INDEX_NAME, SEQ_IN_INDEX"
        ))
        .await?;
    let triggers = admin
        .query(&format!(
            "SELECT TRIGGER_NAME, EVENT_MANIPULATION, ACTION_STATEMENT FROM information_schema.TRIGGERS \
             WHERE EVENT_OBJECT_SCHEMA = {database} AND EVENT_OBJECT_TABLE = {table}"
        ))
        .await?;

    let numbered = columns.iter().find(|row| {
        row.at(1)
            .is_some_and(|extra| extra.contains("auto_increment"))
    });
    let auto_increment = numbered.and_then(|row| row.at(0)).map(|column| {
        let mut parts = parts.iter();
        AutoIncrement {
            column: column.to_owned(),
            is_first: parts.any(|part| part.at(2) == Some("1") && part.at(3) == Some(column)),
        }
    });
    let mut unique_keys: Vec<Vec<Option<String>>> = Vec::new();
    for part in parts.iter().filter(|part| part.at(1) == Some("0")) {
        if part.at(2) == Some("1") {
            unique_keys.push(Vec::new());
        }
        if let Some(key) = unique_keys.last_mut() {
            key.push(part.at(3).map(str::to_owned));
        }
    }
    let triggers = triggers.iter().map(|row| Trigger {
        name: row.at(0).unwrap_or_default().to_owned(),
        events: Events::parse(row.at(1).unwrap_or_default()),
        body: Body::of(
            reading,
            &name.database,
            row.at(2).unwrap_or_default().as_bytes(),
        ),
    });
    Ok(Shape::Table(Table {
        columns: columns
            .iter()
            .filter_map(|row| row.at(0).map(str::to_owned))
            .collect(),
        auto_increment,
        unique_keys,
        triggers: triggers.collect(),
    }))
}

async fn function(admin: &mut Admin, reading: Reading, name: &Name) -> Result<Shape, net::Error> {
    let rows = admin
        .query(&format!(
            "SELECT ROUTINE_DEFINITION FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = {} \
             AND ROUTINE_NAME = {} AND ROUTINE_TYPE = 'FUNCTION'",
            literal(&name.database),
            literal(&name.name)
        ))
        .await?;
    Ok(match rows.first().map(|row| row.at(0)) {
        None => Shape::NoFunction,
        Some(None) => Shape::Hidden,
        Some(Some(text)) => Shape::Function(Body::of(reading, &name.database, text.as_bytes())),
    })
}
