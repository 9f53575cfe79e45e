//! Changes of `[sync]` in the file, comments kept. The file is where the policy lives, so a change
//! that cannot be written is refused as a whole.

use std::fs;
use std::io::Write;
use std::path::Path;

use serde::Deserialize;
use toml_edit::{DocumentMut, Item, Table, value};

use super::{Config, Error, raw};

/// The keys of `[sync]`; what is absent stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SyncPatch {
    pub mode: Option<String>,
    pub acks: Option<u32>,
    pub level: Option<String>,
    pub require: Option<String>,
    pub timeout: Option<String>,
    pub on_timeout: Option<String>,
}

/// Writes the patch into the file and answers with the configuration as it then is. A patch that
/// makes the file invalid leaves it untouched.
pub fn write_sync(path: &Path, patch: &SyncPatch) -> Result<Config, Error> {
    let text = fs::read_to_string(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })?;
    let parse = |error: toml_edit::TomlError| Error::Parse {
        path: path.to_owned(),
        message: error.to_string(),
    };
    let mut document: DocumentMut = text.parse().map_err(parse)?;
    let section = document.entry("sync").or_insert(Item::Table(Table::new()));
    let Some(section) = section.as_table_like_mut() else {
        return Err(Error::Parse {
            path: path.to_owned(),
            message: "sync is not a section".into(),
        });
    };
    let mut set = |key: &str, text: &Option<String>| {
        if let Some(text) = text {
            match section.get_mut(key).and_then(Item::as_value_mut) {
                // In place: the comment behind the value stays.
                Some(old) => {
                    let decor = old.decor().clone();
                    *old = text.as_str().into();
                    *old.decor_mut() = decor;
                }
                None => {
                    section.insert(key, value(text));
                }
            }
        }
    };
    set("mode", &patch.mode);
    set("level", &patch.level);
    set("require", &patch.require);
    set("timeout", &patch.timeout);
    set("on_timeout", &patch.on_timeout);
    if let Some(acks) = patch.acks {
        section.insert("acks", value(i64::from(acks)));
    }
    // One of the two rules; the one that was asked for now.
    if patch.mode.is_some() && patch.require.is_none() {
        section.remove("require");
    } else if patch.require.is_some() && patch.mode.is_none() {
        section.remove("mode");
    }
    let changed = document.to_string();
    let config = raw::parse(&changed, path)?;
    replace(path, &changed).map_err(|source| Error::Write {
        path: path.to_owned(),
        source,
    })?;
    Ok(config)
}

/// Write, fsync, rename, fsync of the folder; the permissions stay.
fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    // A link is followed: what it names is replaced, not the link.
    let path = fs::canonicalize(path)?;
    let folder = path.parent().unwrap_or(Path::new("/"));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = folder.join(format!(".{name}.ackline-{}", std::process::id()));
    let written = (|| {
        let mut file = fs::File::create(&temporary)?;
        file.set_permissions(fs::metadata(&path)?.permissions())?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, &path)?;
        fs::File::open(folder)?.sync_all()
    })();
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}
