//! What a transaction of our binlog does, in a few words, for people who have to decide about it.

use crate::event::execute_load_query::ExecuteLoadQuery;
use crate::event::format_description::FormatDescription;
use crate::event::query::{Query, SqlMode};
use crate::event::table_map::TableMap;
use crate::event::transaction_payload::TransactionPayload;
use crate::event::{EventType, HEADER_LENGTH, Header};
use crate::gtid::Gtid;
use crate::ids::Flavor;
use crate::sql::Server;
use crate::sql::lexer::Backslash;
use crate::sql::shortened::{printable, shorten};
use crate::store::Store;
use crate::store::skim::LONGEST;

/// As much of a statement is shown.
const SHOWN: usize = 80;

/// Its first statement, without literals, or the table whose rows it changes. None where the store does not
/// hold it any more.
pub fn of(store: &Store, gtid: &Gtid) -> Option<String> {
    let (start, end) = store.extent_of(gtid)?;
    let mut skim = store.skim(start).whole();
    let mut server = None;
    while let Some(event) = skim.next(end).ok()? {
        if event.header.kind == EventType::FORMAT_DESCRIPTION {
            let version = FormatDescription::parse(event.bytes).ok()?;
            let version = version.server_version();
            server = Some(Server::of(Flavor::of_version(version), version));
        } else if let Some(found) = words(server?, event.header.kind, event.body()) {
            return Some(found);
        }
    }
    None
}

/// Whether a MySQL replica with another binlog_format may log nothing of it: it keeps its temporary tables out
/// of its binlog. `by_statement`: the source logs all of them as statements.
pub fn may_leave_nothing(store: &Store, gtid: &Gtid, by_statement: bool) -> bool {
    let Some(text) = of(store, gtid) else {
        return false;
    };
    let words: Vec<&str> = text.split_whitespace().take(2).collect();
    let about_temporary = matches!(words[..], [_, word] if word.eq_ignore_ascii_case("temporary"));
    about_temporary || by_statement && has_rows(store, gtid) == Some(false)
}

fn has_rows(store: &Store, gtid: &Gtid) -> Option<bool> {
    let (start, end) = store.extent_of(gtid)?;
    let mut skim = store.skim(start);
    while let Some(event) = skim.next(end).ok()? {
        let kind = event.header.kind;
        if matches!(kind, EventType::TABLE_MAP | EventType::TRANSACTION_PAYLOAD) {
            return Some(true);
        }
    }
    Some(false)
}

/// Whether it does nothing where the table stands, and is logged nowhere then.
pub fn creates_if_not_there(statement: &str) -> bool {
    let words = statement.split_whitespace().take(5);
    let words: Vec<String> = words.map(str::to_ascii_uppercase).collect();
    words == ["CREATE", "TABLE", "IF", "NOT", "EXISTS"]
}

/// None for what only frames a transaction.
fn words(server: Server, kind: EventType, body: &[u8]) -> Option<String> {
    let short = |text: &[u8], mode: SqlMode| {
        let backslash = match mode.has_no_backslash_escapes() {
            true => Backslash::IsPlain,
            false => Backslash::Escapes,
        };
        shorten(server, text, backslash, SHOWN)
    };
    match kind {
        EventType::QUERY | EventType::QUERY_COMPRESSED => {
            let query = Query::parse(body).ok()?;
            let text = query.statement.text(LONGEST).ok()?;
            let frames = matches!(&*text, b"BEGIN" | b"COMMIT" | b"ROLLBACK");
            (!frames).then(|| short(&text, SqlMode::parse(query.status_variables)))
        }
        EventType::EXECUTE_LOAD_QUERY => {
            let query = ExecuteLoadQuery::parse(body).ok()?;
            Some(short(
                query.statement,
                SqlMode::parse(query.status_variables),
            ))
        }
        EventType::ANNOTATE_ROWS => Some(short(body.get(HEADER_LENGTH..)?, SqlMode::default())),
        // A length, which is too short for most, stands before the text.
        EventType::ROWS_QUERY => Some(short(body.get(HEADER_LENGTH + 1..)?, SqlMode::default())),
        EventType::TABLE_MAP => {
            let map = TableMap::parse(body).ok()?;
            let (database, table) = (printable(map.database), printable(map.table));
            Some(format!("rows of {database}.{table}"))
        }
        EventType::TRANSACTION_PAYLOAD => {
            let payload = TransactionPayload::parse(body).ok()?.unpack(LONGEST).ok()?;
            payload.events().map_while(Result::ok).find_map(|event| {
                let header = Header::parse(event).ok()?;
                words(server, header.kind, event)
            })
        }
        _ => None,
    }
}
