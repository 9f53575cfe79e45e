//! The file as it is written, and the way from there to a [`Config`].

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::{
    Binlog, BinlogFormat, Config, Error, Listen, Log, LogFormat, Replication, Role, Secret, Server,
    units,
};
use crate::ack::Sync;
use crate::ack::policy::{Mode, OnTimeout, Requirement};
use crate::ids::{Level, ServerId, ServerName};

/// High, so that it meets no server's; `[replication] server_id` changes it.
const DEFAULT_SERVER_ID: u32 = 4_294_900_001;
const DEFAULT_FILE_SIZE: u64 = 128 << 20;
const SMALLEST_FILE: u64 = 4096;
/// Positions in the format have 32 bits.
const LARGEST_FILE: u64 = 1 << 31;
const DEFAULT_HOLD: Duration = Duration::from_secs(10);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    listen: RawListen,
    #[serde(default)]
    server: Vec<Spanned<RawServer>>,
    sync: Option<Spanned<RawSync>>,
    binlog: Option<RawBinlog>,
    failover: Option<RawFailover>,
    replication: Option<Spanned<RawReplication>>,
    admin: Option<Spanned<RawAdmin>>,
    tls: Option<Spanned<toml::Table>>,
    log: Option<RawLog>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    fn into_vec(self) -> Vec<String> {
        match self {
            Self::One(one) => vec![one],
            Self::Many(many) => many,
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawListen {
    mysql: Option<OneOrMany>,
    socket: Option<PathBuf>,
    replication: Option<OneOrMany>,
    admin: Option<OneOrMany>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawServer {
    name: String,
    address: String,
    role: Spanned<String>,
    ship: Option<Spanned<String>>,
    zone: Option<String>,
    vote: Option<bool>,
    promotable: Option<bool>,
    user: String,
    password: Option<String>,
    password_file: Option<Spanned<PathBuf>>,
    tls: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSync {
    mode: Option<Spanned<String>>,
    acks: Option<usize>,
    level: Option<Spanned<String>>,
    require: Option<Spanned<String>>,
    timeout: Option<Spanned<String>>,
    on_timeout: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawBinlog {
    dir: Option<PathBuf>,
    format: Option<Spanned<String>>,
    file_size: Option<Spanned<String>>,
    keep: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFailover {
    hold: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawReplication {
    user: String,
    password: Option<String>,
    password_file: Option<Spanned<PathBuf>>,
    server_id: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAdmin {
    token: Option<String>,
    token_file: Option<Spanned<PathBuf>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLog {
    level: Option<Spanned<String>>,
    format: Option<Spanned<String>>,
}

/// Where errors are, and where relative paths start.
struct Place<'a> {
    path: &'a Path,
    text: &'a str,
}

pub(super) fn parse(text: &str, path: &Path) -> Result<Config, Error> {
    let place = Place { path, text };
    let file: File = toml::from_str(text).map_err(|error| Error::Parse {
        path: path.to_owned(),
        message: error.to_string().trim_end().to_owned(),
    })?;
    if let Some(tls) = &file.tls {
        return Err(place.error(tls.span(), "[tls] is not supported yet: remove the section"));
    }
    let servers = place.servers(file.server)?;
    let sync = match file.sync {
        Some(sync) => place.sync(sync.into_inner(), &servers)?,
        None => Sync::default(),
    };
    let replication = match file.replication {
        Some(raw) => {
            let span = raw.span();
            let raw = raw.into_inner();
            Replication {
                user: raw.user,
                password: place.secret(span, raw.password, raw.password_file, "password")?,
                server_id: ServerId(raw.server_id.unwrap_or(DEFAULT_SERVER_ID)),
            }
        }
        None => {
            return Err(place.error(
                0..0,
                "[replication] is missing: user and password with which replicas pull from us",
            ));
        }
    };
    let admin_token = match file.admin {
        Some(raw) => {
            let span = raw.span();
            let raw = raw.into_inner();
            let some = raw.token.is_some() || raw.token_file.is_some();
            some.then(|| place.secret(span, raw.token, raw.token_file, "token"))
                .transpose()?
        }
        None => None,
    };
    let listen = file.listen;
    let list = |value: Option<OneOrMany>, default: &str| {
        value.map_or_else(|| vec![default.to_owned()], OneOrMany::into_vec)
    };
    Ok(Config {
        listen: Listen {
            mysql: list(listen.mysql, "0.0.0.0:3307"),
            socket: listen.socket.map(|socket| place.resolve(&socket)),
            replication: list(listen.replication, "0.0.0.0:3308"),
            admin: list(listen.admin, "127.0.0.1:3309"),
        },
        servers,
        sync,
        binlog: place.binlog(file.binlog)?,
        replication,
        admin_token,
        hold: match file.failover.and_then(|failover| failover.hold) {
            Some(hold) => place.value(&hold, units::duration)?,
            None => DEFAULT_HOLD,
        },
        log: place.log(file.log)?,
    })
}

impl Place<'_> {
    fn error(&self, span: Range<usize>, message: impl Into<String>) -> Error {
        let before = self.text.get(..span.start).unwrap_or_default();
        Error::Invalid {
            path: self.path.to_owned(),
            line: before.matches('\n').count() + 1,
            message: message.into(),
        }
    }

    fn value<T>(
        &self,
        value: &Spanned<String>,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<T, Error> {
        parse(value.get_ref()).map_err(|message| self.error(value.span(), message))
    }

    fn resolve(&self, path: &Path) -> PathBuf {
        self.path.parent().unwrap_or(Path::new(".")).join(path)
    }

    fn secret(
        &self,
        span: Range<usize>,
        text: Option<String>,
        file: Option<Spanned<PathBuf>>,
        key: &str,
    ) -> Result<Secret, Error> {
        match (text, file) {
            (Some(text), None) => Ok(Secret::new(text)),
            (None, Some(file)) => {
                let path = self.resolve(file.get_ref());
                let text = std::fs::read_to_string(&path).map_err(|error| {
                    self.error(file.span(), format!("{}: {error}", path.display()))
                })?;
                Ok(Secret::new(text.trim_end_matches(['\r', '\n']).to_owned()))
            }
            (Some(_), Some(file)) => Err(self.error(
                file.span(),
                format!("{key} and {key}_file are both given: keep one"),
            )),
            (None, None) => Err(self.error(span, format!("{key} or {key}_file is missing"))),
        }
    }

    fn servers(&self, raw: Vec<Spanned<RawServer>>) -> Result<Vec<Server>, Error> {
        let mut names = BTreeSet::new();
        let mut servers: Vec<Server> = Vec::new();
        for server in raw {
            let span = server.span();
            let raw = server.into_inner();
            if raw.name.is_empty()
                || !raw
                    .name
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
            {
                return Err(self.error(
                    span,
                    format!(
                        "server name '{}': use letters, digits, '-', '_' and '.'",
                        raw.name
                    ),
                ));
            }
            if !names.insert(raw.name.clone()) {
                return Err(self.error(
                    span,
                    format!("there are two servers with the name '{}'", raw.name),
                ));
            }
            let role = self.value(&raw.role, |text| match text {
                "source" => Ok(Role::Source),
                "replica" => Ok(Role::Replica),
                "witness" => Err("role \"witness\" is not supported yet".to_owned()),
                other => Err(format!("'{other}' is not a role: use source or replica")),
            })?;
            if role == Role::Source && servers.iter().any(|server| server.role == Role::Source) {
                return Err(self.error(raw.role.span(), "there are two sources: one server has role = \"source\", the others \"replica\""));
            }
            if let Some(ship) = &raw.ship {
                self.value(ship, |text| match text {
                    "pull" => Ok(()),
                    "push" | "witness" => {
                        Err(format!("ship = \"{text}\" is not supported yet: use pull"))
                    }
                    other => Err(format!("'{other}' is no way of shipping: use pull")),
                })?;
            }
            if let Some(tls) = &raw.tls {
                self.value(tls, |text| {
                    if text == "off" {
                        Ok(())
                    } else {
                        Err("TLS is not supported yet: use tls = \"off\"".to_owned())
                    }
                })?;
            }
            servers.push(Server {
                name: ServerName::new(&raw.name),
                address: raw.address,
                role,
                zone: raw.zone,
                vote: raw.vote.unwrap_or(true),
                promotable: raw.promotable.unwrap_or(true),
                user: raw.user,
                password: self.secret(span, raw.password, raw.password_file, "password")?,
            });
        }
        if !servers.iter().any(|server| server.role == Role::Source) {
            return Err(self.error(0..0, "no [[server]] has role = \"source\""));
        }
        Ok(servers)
    }

    fn sync(&self, raw: RawSync, servers: &[Server]) -> Result<Sync, Error> {
        let default = Sync::default();
        let level = raw
            .level
            .as_ref()
            .map(|level| self.value(level, str::parse::<Level>))
            .transpose()?;
        let acks = raw.acks.unwrap_or(default.acks);
        let (mode, require) =
            match (&raw.mode, &raw.require) {
                (Some(_), Some(require)) => return Err(self.error(
                    require.span(),
                    "mode and require are both given: mode is a short name for a require, keep one",
                )),
                (None, Some(require)) => {
                    let parsed = self.value(require, |text| {
                        text.parse::<Requirement>()
                            .map_err(|error| format!("require: {error}"))
                    })?;
                    for name in parsed.servers() {
                        if !servers.iter().any(|server| {
                            server.name == name && server.role == Role::Replica && server.vote
                        }) {
                            return Err(self.error(
                                require.span(),
                                format!("require: '{name}' is no replica with a vote"),
                            ));
                        }
                    }
                    for zone in parsed.zones() {
                        if !servers
                            .iter()
                            .any(|server| server.zone.as_ref() == Some(&zone))
                        {
                            return Err(self.error(
                                require.span(),
                                format!("require: no server is in zone '{zone}'"),
                            ));
                        }
                    }
                    (Mode::Custom, parsed)
                }
                (Some(mode), None) => {
                    let mode = self.value(mode, str::parse::<Mode>)?;
                    (mode, Sync::of_mode(mode, acks, level))
                }
                (None, None) => (Mode::SemiSync, Sync::of_mode(Mode::SemiSync, acks, level)),
            };
        if acks == 0 {
            return Err(self.error(raw.mode.as_ref().map_or(0..0, Spanned::span), "acks = 0: to wait for no replica write require = \"LOCAL durable\" or mode = \"async\""));
        }
        Ok(Sync {
            mode,
            acks,
            level,
            require,
            timeout: raw
                .timeout
                .as_ref()
                .map(|timeout| self.value(timeout, units::duration))
                .transpose()?
                .unwrap_or(default.timeout),
            on_timeout: raw
                .on_timeout
                .as_ref()
                .map(|on| self.value(on, str::parse::<OnTimeout>))
                .transpose()?
                .unwrap_or(default.on_timeout),
        })
    }

    fn binlog(&self, raw: Option<RawBinlog>) -> Result<Binlog, Error> {
        let raw = raw.unwrap_or(RawBinlog {
            dir: None,
            format: None,
            file_size: None,
            keep: None,
        });
        if let Some(keep) = &raw.keep {
            return Err(self.error(
                keep.span(),
                "[binlog] keep is not supported yet: files are not purged, remove the key",
            ));
        }
        Ok(Binlog {
            dir: self.resolve(&raw.dir.unwrap_or_else(|| "binlog".into())),
            format: match &raw.format {
                Some(format) => self.value(format, |text| match text {
                    "statement" => Ok(BinlogFormat::Statement),
                    "row" => Ok(BinlogFormat::Row),
                    "mixed" => Ok(BinlogFormat::Mixed),
                    other => Err(format!(
                        "'{other}' is no binlog format: use mixed, row or statement"
                    )),
                })?,
                None => BinlogFormat::Mixed,
            },
            file_size: match &raw.file_size {
                Some(size) => self.value(size, |text| match units::size(text)? {
                    bytes @ SMALLEST_FILE..=LARGEST_FILE => Ok(bytes),
                    _ => Err(format!("file_size '{text}': from 4KiB to 2GiB")),
                })?,
                None => DEFAULT_FILE_SIZE,
            },
        })
    }

    fn log(&self, raw: Option<RawLog>) -> Result<Log, Error> {
        let raw = raw.unwrap_or(RawLog {
            level: None,
            format: None,
        });
        Ok(Log {
            level: match &raw.level {
                Some(level) => self.value(level, |text| match text {
                    "error" | "warn" | "info" | "debug" | "trace" => Ok(text.to_owned()),
                    other => Err(format!(
                        "'{other}' is no log level: use error, warn, info, debug or trace"
                    )),
                })?,
                None => "info".to_owned(),
            },
            format: match &raw.format {
                Some(format) => self.value(format, |text| match text {
                    "text" => Ok(LogFormat::Text),
                    "json" => Ok(LogFormat::Json),
                    other => Err(format!("'{other}' is no log format: use text or json")),
                })?,
                None => LogFormat::Text,
            },
        })
    }
}
