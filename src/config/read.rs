//! The sections, one function each.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use ipnet::IpNet;
use toml_edit::{Document, Item, TableLike};

use super::section::{Errors, Found, Section, Span, Text, unknown};
use super::{
    Binlog, BinlogFormat, Config, DEFAULT_ADMIN_PORT, DEFAULT_FILE_SIZE, DEFAULT_KEEP,
    DEFAULT_LOGIN_TIMEOUT, DEFAULT_MYSQL_PORT, DEFAULT_REPLICATION_PORT, DEFAULT_SERVER_ID,
    FILE_SIZES, Failover, Keep, Listen, Log, LogFormat, Provision, Replication, Role, Secret,
    Server, Tls, User, Verify, address, voters,
};
use crate::ack::policy::{Sync, SyncError, SyncPatch};
use crate::ids::{ServerId, ServerName};
use crate::net::tls::{self, ClientFiles, Connector, Mode, ServerFiles};
use crate::units;

/// Whether it is time is looked at so often.
const LEAST_EVERY: Duration = Duration::from_secs(1);

const SECTIONS: &[&str] = &[
    "listen",
    "server",
    "sync",
    "binlog",
    "replication",
    "admin",
    "failover",
    "verify",
    "sessions",
    "tls",
    "log",
    "user",
];

pub(super) fn config(path: &Path, content: &str) -> Result<Config, Errors> {
    let text = Text::new(path, content);
    let config = match Document::parse(content) {
        Ok(document) => document_of(path, &text, &document),
        Err(error) => {
            let span = error.span().unwrap_or_default();
            text.error(&span, format!("this is not TOML: {}", error.message()));
            None
        }
    };
    text.into_errors()?;
    // Without errors there is a config; this only keeps the compiler company.
    config.ok_or_else(|| Errors(Vec::new()))
}

fn document_of(path: &Path, text: &Text<'_>, document: &Document<&str>) -> Option<Config> {
    let root = document.as_table();
    for (key, item) in root.iter() {
        if !SECTIONS.contains(&key) {
            let span = root.key(key).and_then(|key| key.span()).or(item.span());
            text.error(
                &span.unwrap_or_default(),
                unknown("the file", key, SECTIONS),
            );
        }
    }
    let one = |name: &'static str| section(text, root, name);
    let listen = one("listen").map(listen).unwrap_or_default();
    let binlog = binlog(one("binlog"), text);
    let admin_token = one("admin").and_then(admin_token);
    let log = log(one("log"));
    let failover = one("failover").map(failover).unwrap_or_default();
    let verify = one("verify").map(verify).unwrap_or_default();
    let sessions = one("sessions").map(sessions).unwrap_or_default();
    let tls = one("tls").map(tls_offer).unwrap_or_default();
    let servers = servers(text, root);
    let (sync, sync_keys) = sync(one("sync"), &servers, text);
    let replication = replication(one("replication"), &listen, text);
    let users = many(text, root, "user")
        .into_iter()
        .filter_map(user)
        .collect();
    Some(Config {
        path: path.to_owned(),
        listen,
        servers,
        sync: sync?,
        sync_keys,
        binlog,
        replication,
        admin_token,
        failover,
        verify,
        allow_hazards: sessions.allow_hazards,
        max_connections: sessions.max_connections,
        login_timeout: sessions.login_timeout,
        tls,
        log,
        users,
    })
}

fn section<'a>(text: &'a Text<'a>, root: &'a dyn TableLike, name: &str) -> Option<Section<'a>> {
    let item = root.get(name)?;
    let span = span_of(root, name, item);
    match item.as_table_like() {
        Some(table) => Some(Section::new(text, &format!("[{name}]"), table, span)),
        None => {
            text.error(&span, format!("{name} is a section: write [{name}]"));
            None
        }
    }
}

fn many<'a>(text: &'a Text<'a>, root: &'a dyn TableLike, name: &str) -> Vec<Section<'a>> {
    let Some(item) = root.get(name) else {
        return Vec::new();
    };
    match item.as_array_of_tables() {
        Some(tables) => tables
            .iter()
            .map(|table| {
                let span = table.span().unwrap_or_default();
                Section::new(text, &format!("[[{name}]]"), table, span)
            })
            .collect(),
        None => {
            let span = span_of(root, name, item);
            let message = format!("there may be several: write [[{name}]] with two brackets");
            text.error(&span, message);
            Vec::new()
        }
    }
}

fn span_of(root: &dyn TableLike, name: &str, item: &Item) -> Span {
    let key = root.key(name).and_then(|key| key.span());
    item.span().or(key).unwrap_or_default()
}

fn addresses(section: &Section<'_>, key: &'static str, port: u16) -> Option<Vec<String>> {
    let found = section.strings(key)?;
    let read = |found: Found<String>| {
        let read = section.understood(key, found, |text| address::read(text, port));
        read.map(|found| found.value)
    };
    Some(found.into_iter().filter_map(read).collect())
}

fn listen(section: Section<'_>) -> Listen {
    let default = Listen::default();
    let addresses = |key, port| addresses(&section, key, port);
    let mysql = addresses("mysql", DEFAULT_MYSQL_PORT).unwrap_or(default.mysql);
    let replication =
        addresses("replication", DEFAULT_REPLICATION_PORT).unwrap_or(default.replication);
    let admin = addresses("admin", DEFAULT_ADMIN_PORT).unwrap_or(default.admin);
    let socket = section.path("socket").map(|found| found.value);
    let from = section.strings("proxy_protocol_from").unwrap_or_default();
    let from = from.into_iter().filter_map(|found| {
        let read = section.understood("proxy_protocol_from", found, network);
        read.map(|found| found.value)
    });
    let proxy_protocol_from = from.collect();
    section.finish();
    Listen {
        mysql,
        socket,
        proxy_protocol_from,
        replication,
        admin,
    }
}

/// A network, or one address.
fn network(text: &str) -> Result<IpNet, String> {
    let one = |_| text.parse::<IpAddr>().map(IpNet::from);
    let net = text.parse::<IpNet>().or_else(one);
    net.map_err(|_| {
        format!("'{text}' is no network: write \"10.0.0.0/8\", \"fd00::/8\" or one address")
    })
}

fn binlog(section: Option<Section<'_>>, text: &Text<'_>) -> Binlog {
    let mut binlog = Binlog {
        dir: text.folder().join("binlog"),
        format: BinlogFormat::Mixed,
        file_size: DEFAULT_FILE_SIZE,
        keep: DEFAULT_KEEP,
        keep_at_most: Keep::ALL,
        provision: Provision::Manual,
    };
    let Some(section) = section else {
        return binlog;
    };
    if let Some(dir) = section.path("dir") {
        binlog.dir = dir.value;
    }
    let formats = [
        ("mixed", BinlogFormat::Mixed),
        ("row", BinlogFormat::Row),
        ("statement", BinlogFormat::Statement),
    ];
    if let Some(format) = section.word("format", &formats) {
        binlog.format = format.value;
    }
    if let Some(size) = section.read("file_size", units::parse_size) {
        if FILE_SIZES.contains(&size.value) {
            binlog.file_size = size.value;
        } else {
            let (least, most) = (FILE_SIZES.start(), FILE_SIZES.end());
            let (least, most) = (units::show_size(*least), units::show_size(*most));
            let message = format!("file_size is between \"{least}\" and \"{most}\"");
            section.error(&size.span, message);
        }
    }
    if let Some(keep) = section.read("keep", str::parse) {
        binlog.keep = keep.value;
    }
    if let Some(most) = section.read("keep_at_most", str::parse) {
        binlog.keep_at_most = most.value;
    }
    let provisions = [("manual", Provision::Manual), ("auto", Provision::Auto)];
    if let Some(provision) = section.word("provision", &provisions) {
        binlog.provision = provision.value;
    }
    section.finish();
    binlog
}

fn admin_token(section: Section<'_>) -> Option<Secret> {
    let token = section.secret("token", "token_file");
    if token
        .as_ref()
        .is_some_and(|token| token.expose().is_empty())
    {
        let span = section.span_of("token");
        section.error(
            &span,
            "the token is empty: write a long random one, or remove it",
        );
    }
    section.finish();
    token
}

fn failover(section: Section<'_>) -> Failover {
    let mut failover = Failover::default();
    if let Some(hold) = section.read("hold", units::parse_duration) {
        failover.hold = hold.value;
    }
    failover.auto_rejoin = section.boolean("auto_rejoin").unwrap_or(false);
    failover.fence_command = command(&section, "fence_command");
    failover.after_command = command(&section, "after_command");
    section.finish();
    failover
}

fn verify(section: Section<'_>) -> Verify {
    let mut verify = Verify::default();
    if let Some(every) = section.read("every", units::parse_duration) {
        if every.value < LEAST_EVERY {
            let message =
                "every is at least \"1s\"; without it the proxy compares nothing by itself";
            section.error(&every.span, message);
        }
        verify.every = Some(every.value);
    }
    if let Some(lag) = section.read("max_lag", units::parse_duration) {
        verify.max_lag = lag.value;
    }
    section.finish();
    verify
}

fn command(section: &Section<'_>, key: &'static str) -> Option<String> {
    let command = section.string(key)?;
    if command.value.trim().is_empty() {
        section.error(&command.span, format!("{key} is empty: remove it"));
    }
    Some(command.value)
}

struct Sessions {
    allow_hazards: Vec<String>,
    max_connections: usize,
    login_timeout: Duration,
}

impl Default for Sessions {
    fn default() -> Self {
        Self {
            allow_hazards: Vec::new(),
            max_connections: 0,
            login_timeout: DEFAULT_LOGIN_TIMEOUT,
        }
    }
}

fn sessions(section: Section<'_>) -> Sessions {
    let mut sessions = Sessions {
        allow_hazards: allow_hazards(&section),
        ..Sessions::default()
    };
    if let Some(limit) = section.number("max_connections") {
        sessions.max_connections = limit.value;
    }
    if let Some(timeout) = section.read("login_timeout", units::parse_duration) {
        if timeout.value.is_zero() {
            section.error(&timeout.span, "login_timeout is 0: nobody could log in");
        }
        sessions.login_timeout = timeout.value;
    }
    section.finish();
    sessions
}

fn allow_hazards(section: &Section<'_>) -> Vec<String> {
    let mut users = Vec::new();
    for user in section.strings("allow_hazards").unwrap_or_default() {
        // An account as SQL writes it; a login brings only the name (in which an @ may be).
        let is_account =
            user.value.contains(['\'', '`', '%']) || user.value.ends_with("@localhost");
        if user.value.is_empty() || is_account {
            let message = format!(
                "{} is no user name: write it as in a login, without a host",
                user.value
            );
            section.error(&user.span, message);
        } else {
            users.push(user.value);
        }
    }
    users
}

fn log(section: Option<Section<'_>>) -> Log {
    let mut log = Log {
        level: "info".to_owned(),
        format: LogFormat::Text,
    };
    let Some(section) = section else {
        return log;
    };
    let levels = ["error", "warn", "info", "debug", "trace"].map(|level| (level, level));
    if let Some(level) = section.word("level", &levels) {
        log.level = level.value.to_owned();
    }
    let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
    if let Some(format) = section.word("format", &formats) {
        log.format = format.value;
    }
    section.finish();
    log
}

const TLS_MODES: &[(&str, Mode)] = &[
    ("off", Mode::Off),
    ("preferred", Mode::Preferred),
    ("required", Mode::Required),
];

fn tls_offer(section: Section<'_>) -> Tls {
    let mode = section.word("mode", TLS_MODES);
    let replication = section.word("replication", TLS_MODES);
    let (cert, key) = (section.path("cert"), section.path("key"));
    let client_ca = section.path("client_ca").map(|path| path.value);
    let files = match (cert, key) {
        (Some(cert), Some(key)) => {
            let files = ServerFiles {
                cert: cert.value,
                key: key.value,
                client_ca: client_ca.clone(),
            };
            // Read here already, so that a broken file is refused with the place that names it.
            if let Err(error) = files.load() {
                let blamed = match error.path() {
                    path if path == files.cert => "cert",
                    path if path == files.key => "key",
                    _ => "client_ca",
                };
                section.error(&section.span_of(blamed), error.to_string());
            }
            Some(files)
        }
        (None, None) => None,
        (Some(found), None) | (None, Some(found)) => {
            if !(section.has("cert") && section.has("key")) {
                section.error(&found.span, "cert and key belong together: write both");
            }
            None
        }
    };
    section.finish();
    let mode = mode.map_or(Mode::Preferred, |mode| mode.value);
    Tls {
        mode,
        replication: replication.map_or(mode, |mode| mode.value),
        files,
        client_ca,
    }
}

fn user(section: Section<'_>) -> Option<User> {
    let name = required(&section, "name", "name = \"app\"");
    let password = required_secret(&section);
    section.finish();
    Some(User {
        name: name?.value,
        password: password?,
    })
}

fn required(section: &Section<'_>, key: &'static str, example: &str) -> Option<Found<String>> {
    let there = section.has(key);
    let found = section.string(key);
    if !there {
        let message = format!("{} lacks {key}: write {example}", section.name());
        section.error(&section.span, message);
    }
    let found = found?;
    if found.value.is_empty() {
        section.error(&found.span, format!("{key} is empty: write {example}"));
        return None;
    }
    Some(found)
}

fn required_secret(section: &Section<'_>) -> Option<Secret> {
    let there = section.has("password") || section.has("password_file");
    let secret = section.secret("password", "password_file");
    if !there {
        let message = format!(
            "{} lacks password or password_file: write password_file = \"/etc/ackline/password\"",
            section.name()
        );
        section.error(&section.span, message);
    }
    secret
}

fn servers(text: &Text<'_>, root: &dyn TableLike) -> Vec<Server> {
    let mut servers: Vec<Server> = Vec::new();
    let mut names: BTreeMap<ServerName, Span> = BTreeMap::new();
    let mut sources = 0;
    let sections = many(text, root, "server");
    let (any, last) = match sections.last() {
        Some(last) => (true, last.span.clone()),
        None => (false, 0..0),
    };
    for section in sections {
        let (header, name_span) = (section.span.clone(), section.span_of("name"));
        let role = section.word(
            "role",
            &[
                ("source", Some(Role::Source)),
                ("replica", Some(Role::Replica)),
                ("witness", None),
            ],
        );
        let role = role.and_then(|role| match role.value {
            Some(value) => Some(Found {
                value,
                span: role.span,
            }),
            None => {
                let message = "role = \"witness\" is not supported yet: remove this [[server]]";
                section.error(&role.span, message);
                None
            }
        });
        if !section.has("role") {
            section.error(&header, "[[server]] lacks role: write role = \"replica\"");
        }
        if let Some(role) = &role
            && role.value == Role::Source
        {
            sources += 1;
            if sources > 1 {
                section.error(
                    &role.span,
                    "there is a source already: write role = \"replica\" for all others",
                );
            }
        }
        let wrong_before = sources > 0;
        let Some(server) = server(section, role.map(|role| role.value)) else {
            // It may have been meant to be the source; one error is enough.
            sources += usize::from(!wrong_before);
            continue;
        };
        if names
            .insert(server.name.clone(), name_span.clone())
            .is_some()
        {
            text.error(
                &name_span,
                format!("the name '{}' is taken: write another one", server.name),
            );
        }
        if let Some(other) = servers.iter().find(|s| s.address == server.address) {
            let message = format!(
                "{} is the address of '{}' already: one server is listed once",
                server.address, other.name
            );
            text.error(&name_span, message);
        }
        servers.push(server);
    }
    if !any {
        text.error(
            &last,
            "there is no server: write [[server]] with name, address, role = \"source\", user and password_file",
        );
    } else if sources == 0 {
        text.error(&last, "no server has role = \"source\": one must");
    }
    servers
}

fn server_name(text: &str) -> Result<ServerName, String> {
    let plain = |c: char| c.is_alphanumeric() || "_-.".contains(c);
    if text.is_empty() || !text.chars().all(plain) {
        return Err(format!(
            "'{text}' is no name: write letters, digits, '-', '_' and '.' only"
        ));
    }
    if text.starts_with("unlisted-") {
        return Err("names that begin with 'unlisted-' are for readers that are not listed".into());
    }
    Ok(ServerName::new(text))
}

fn server(section: Section<'_>, role: Option<Role>) -> Option<Server> {
    let name = required(&section, "name", "name = \"db1\"")
        .and_then(|found| section.understood("name", found, server_name));
    let address = required(&section, "address", "address = \"db1.example.org:3306\"")
        .and_then(|found| section.understood("address", found, |text| address::read(text, 3306)));
    let ways = [("pull", true), ("push", false), ("witness", false)];
    if let Some(way) = section.word("ship", &ways).filter(|way| !way.value) {
        let message = "only ship = \"pull\" is supported yet: write that or remove it";
        section.error(&way.span, message);
    }
    let zone = section.read("zone", |text| {
        server_name(text).map(|name| name.as_str().into())
    });
    let vote = section.boolean("vote");
    let promotable = section.boolean("promotable");
    let tls = server_tls(&section);
    let send_proxy_protocol = section.boolean("send_proxy_protocol");
    let user = required(&section, "user", "user = \"ackline\"");
    let password = required_secret(&section);
    section.finish();
    Some(Server {
        name: name?.value,
        address: address?.value,
        role: role?,
        zone: zone.map(|zone| zone.value),
        vote: vote.unwrap_or(true),
        promotable: promotable.unwrap_or(true),
        user: user?.value,
        password: password?,
        send_proxy_protocol: send_proxy_protocol.unwrap_or(false),
        tls,
    })
}

fn server_tls(section: &Section<'_>) -> Connector {
    let mode = section.word("tls", TLS_MODES);
    let ca = section.path("tls_ca");
    let name = section.read("tls_name", tls_name);
    let identity = match (section.path("tls_cert"), section.path("tls_key")) {
        (Some(cert), Some(key)) => Some((cert.value, key.value)),
        (None, None) => None,
        (Some(one), None) | (None, Some(one)) => {
            if !(section.has("tls_cert") && section.has("tls_key")) {
                let message = "tls_cert and tls_key belong together: write both";
                section.error(&one.span, message);
            }
            None
        }
    };
    let by_default = match ca {
        Some(_) => Mode::Required,
        None => Mode::Off,
    };
    let connector = Connector::new(ClientFiles {
        mode: mode.map_or(by_default, |mode| mode.value),
        ca: ca.map(|path| path.value),
        name: name.map(|name| name.value),
        identity,
    });
    if let Err(error) = connector.load() {
        let files = connector.files();
        let blamed = match (&files.ca, &files.identity) {
            (Some(path), _) if path == error.path() => "tls_ca",
            (_, Some((path, _))) if path == error.path() => "tls_cert",
            _ => "tls_key",
        };
        section.error(&section.span_of(blamed), error.to_string());
    }
    connector
}

fn tls_name(text: &str) -> Result<String, String> {
    match tls::is_name(text) {
        true => Ok(text.to_owned()),
        false => Err(format!("'{text}' is neither a host's name nor an address")),
    }
}

fn sync(
    section: Option<Section<'_>>,
    servers: &[Server],
    text: &Text<'_>,
) -> (Option<Sync>, SyncPatch) {
    let mut keys = SyncPatch::default();
    if let Some(section) = &section {
        let string = |key| section.string(key).map(|found| found.value);
        keys = SyncPatch {
            mode: string("mode"),
            acks: section.number("acks").map(|found| found.value),
            level: string("level"),
            require: string("require"),
            timeout: string("timeout"),
            on_timeout: string("on_timeout"),
        };
    }
    let source = servers.iter().find(|server| server.role == Role::Source);
    let sync = Sync::from_keys(&keys).and_then(|sync| {
        // Without a source there is an error already, and nothing to count.
        if let Some(source) = source {
            sync.validate(&voters(servers, &source.name))?;
        }
        Ok(sync)
    });
    if let Err(error) = &sync {
        let key = at_fault(error, &keys);
        let span = section.as_ref().map(|section| section.span_of(key));
        let (span, advice) = match span {
            Some(span) => (span, ""),
            None => (0..0, " (there is no [sync]: mode is \"semi-sync\")"),
        };
        let message = match key {
            "" => format!("{error}{advice}"),
            key => format!("{key}: {error}{advice}"),
        };
        text.error(&span, message);
    }
    if let Some(section) = section {
        section.finish();
    }
    (sync.ok(), keys)
}

fn at_fault(error: &SyncError, keys: &SyncPatch) -> &'static str {
    match error.key() {
        "" if keys.require.is_some() => "require",
        "" if keys.acks.is_some() => "acks",
        "" if keys.mode.is_some() => "mode",
        key => key,
    }
}

fn replication(section: Option<Section<'_>>, listen: &Listen, text: &Text<'_>) -> Replication {
    let mut replication = Replication {
        user: "repl".to_owned(),
        password: Secret::default(),
        server_id: DEFAULT_SERVER_ID,
    };
    let mut span = 0..0;
    if let Some(section) = section {
        span = section.span.clone();
        if section.has("user")
            && let Some(user) = required(&section, "user", "user = \"repl\"")
        {
            replication.user = user.value;
        }
        let password = section.secret("password", "password_file");
        if let Some(id) = section.number::<u32>("server_id") {
            if id.value == 0 {
                section.error(&id.span, "server_id = 0 gets no events: write another one");
            }
            replication.server_id = ServerId(id.value);
        }
        let given = section.has("password") || section.has("password_file");
        if let Some(password) = &password
            && password.expose().is_empty()
        {
            let span = section.span_of("password");
            section.error(&span, "the password is empty: our binlog holds all data");
        }
        section.finish();
        if given {
            replication.password = password.unwrap_or_default();
            return replication;
        }
    }
    if !listen.replication.is_empty() {
        let message = "replicas log in with it: write [replication] with password or password_file";
        text.error(&span, message);
    }
    replication
}
