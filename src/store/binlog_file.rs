//! One binlog file: its name, and the events that it begins with.

use std::path::{Path, PathBuf};

use crate::event::format_description::FormatDescription;
use crate::event::{self, EventType, Header, MAGIC, gtid_list, previous_gtids, seal};
use crate::gtid::State;
use crate::gtid::mariadb::BinlogState;

/// Where the first event of every file stands.
pub const FIRST_EVENT: u64 = MAGIC.len() as u64;

/// `binlog.000001`; beyond 999999 the number just gets longer, as the servers do it.
pub fn file_name(number: u32) -> String {
    format!("binlog.{number:06}")
}

/// The number of one of our files, and of nothing else: `binlog.1` is not ours.
pub fn file_number(name: &str) -> Option<u32> {
    let digits = name.strip_prefix("binlog.")?;
    let number: u32 = digits.parse().ok().filter(|number| *number > 0)?;
    (file_name(number) == name).then_some(number)
}

pub(super) fn path(dir: &Path, number: u32) -> PathBuf {
    dir.join(file_name(number))
}

/// Magic, format description, and what came before the file: GTID_LIST, or MySQL's PREVIOUS_GTIDS.
pub(super) fn head(
    template: &FormatDescription,
    state: &State,
    timestamp: u32,
) -> Result<Vec<u8>, event::Error> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&template.write()?);
    let server_id = template.header()?.server_id;
    let mut list = match state {
        State::MariaDb(state) => gtid_list::write(state, server_id, timestamp),
        State::MySql(set) => previous_gtids::write(set, server_id, timestamp),
    };
    let end = bytes.len() + list.len() + event::CHECKSUM_LENGTH;
    seal(&mut list, end as u32)?;
    bytes.extend_from_slice(&list);
    Ok(bytes)
}

/// The way back: what came before a file, from the second event of its head (without checksum).
pub(super) fn state_before(event: &[u8]) -> Result<State, event::Error> {
    match Header::parse(event)?.kind {
        EventType::PREVIOUS_GTIDS => previous_gtids::parse(event).map(State::MySql),
        _ => {
            let list = gtid_list::parse(event)?;
            Ok(State::MariaDb(BinlogState::from_list(&list)))
        }
    }
}
