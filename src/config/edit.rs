//! Writing `[sync]` back into the file, with everything else, comments included, as it was.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};

use thiserror::Error;
use toml_edit::{Decor, DocumentMut, Item, Table, TableLike, Value};

use super::{Config, Errors};
use crate::ack::policy::SyncPatch;

#[derive(Debug, Error)]
pub enum WriteError {
    #[error("{} cannot be written: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    /// The file is broken already, or would be after the change.
    #[error(transparent)]
    Invalid(#[from] Errors),
}

/// Changes the keys of `[sync]` that `patch` gives, and returns the config that the file now says.
/// Where that would be wrong, or the file cannot be written, nothing changes.
///
/// The file is replaced whole, so a reader never sees a half of it; its permissions and, where we
/// may, its owner stay.
pub fn write_sync(path: &Path, patch: &SyncPatch) -> Result<Config, WriteError> {
    // A link stays one: what it points to is replaced.
    let target = fs::canonicalize(path).map_err(|source| io_error(path, source))?;
    let text = fs::read_to_string(&target).map_err(|source| io_error(path, source))?;
    // A broken file is shown as such, with its own places.
    let config = Config::parse(path, &text)?;
    let changed = edited(&text, &config.sync_keys.patched(patch));
    let config = Config::parse(path, &changed)?;
    if changed != text {
        replace(&target, changed.as_bytes()).map_err(|source| io_error(path, source))?;
    }
    Ok(config)
}

fn io_error(path: &Path, source: io::Error) -> WriteError {
    WriteError::Io {
        path: path.to_owned(),
        source,
    }
}

/// `text` with exactly `keys` in `[sync]`.
fn edited(text: &str, keys: &SyncPatch) -> String {
    // It was read before as a whole file, so it is TOML.
    let Ok(mut document) = text.parse::<DocumentMut>() else {
        return text.to_owned();
    };
    let section = document
        .entry("sync")
        .or_insert_with(|| Item::Table(Table::new()));
    let Some(table) = section.as_table_like_mut() else {
        return text.to_owned();
    };
    let string = |text: &Option<String>| text.as_deref().map(Value::from);
    let wanted = [
        ("mode", string(&keys.mode)),
        ("acks", keys.acks.map(|acks| Value::from(acks as i64))),
        ("level", string(&keys.level)),
        ("require", string(&keys.require)),
        ("timeout", string(&keys.timeout)),
        ("on_timeout", string(&keys.on_timeout)),
    ];
    // The comments above a key that goes stay, above the one that takes its place.
    let mut orphans = String::new();
    for (key, value) in &wanted {
        if value.is_none() {
            orphans.push_str(&comments_above(table, key));
            table.remove(key);
        }
    }
    for (key, value) in wanted {
        if let Some(value) = value {
            set(table, key, value, &mut orphans);
        }
    }
    document.to_string()
}

fn comments_above(table: &dyn TableLike, key: &str) -> String {
    let decor = table.key(key).map(|key| key.leaf_decor());
    let prefix = decor.and_then(Decor::prefix).and_then(|raw| raw.as_str());
    prefix.unwrap_or_default().to_owned()
}

fn set(table: &mut dyn TableLike, key: &str, value: Value, orphans: &mut String) {
    if let Some(old) = table.get_mut(key).and_then(Item::as_value_mut) {
        let decor = old.decor().clone();
        *old = value;
        *old.decor_mut() = decor;
        return;
    }
    table.insert(key, Item::Value(value));
    if let Some(mut key) = table.key_mut(key) {
        key.leaf_decor_mut().set_prefix(std::mem::take(orphans));
    }
}

fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let temporary = folder.join(name);
    let result = (|| {
        let old = fs::metadata(path)?;
        let mut file = File::create(&temporary)?;
        // Before the content: it may hold passwords.
        fs::set_permissions(&temporary, Permissions::clone(&old.permissions()))?;
        // Only root may give a file away; for everybody else it is theirs already or stays so.
        let _ = chown(&temporary, Some(old.uid()), Some(old.gid()));
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        File::open(folder)?.sync_all()
    })();
    if result.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    result
}
