use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::*;
use crate::ack::policy::{Mode, OnTimeout};

/// The least that is a whole file.
const LEAST: &str = r#"
[[server]]
name = "db1"
address = "127.0.0.1:3306"
role = "source"
user = "ackline"
password = "one secret"

[[server]]
name = "db2"
address = "127.0.0.1:3316"
role = "replica"
user = "ackline"
password = "another secret"

[replication]
password = "a third secret"
"#;

fn parse(text: &str) -> Result<Config, Errors> {
    Config::parse(Path::new("/etc/ackline/config.toml"), text)
}

/// All errors as lines, without the path.
fn errors(text: &str) -> Vec<String> {
    let Err(Errors(errors)) = parse(text) else {
        panic!("no error in:\n{text}");
    };
    assert!(!errors.is_empty());
    errors
        .iter()
        .map(|e| format!("{}:{}: {}", e.line, e.column, e.message))
        .collect()
}

/// `LEAST` with more in the source's section; its first line is line 8.
fn with_server_keys(keys: &str) -> String {
    let at = LEAST.find("\n\n[[server]]\nname = \"db2\"").unwrap();
    format!("{}\n{keys}{}", &LEAST[..at], &LEAST[at..])
}

/// `LEAST` with another section behind it; that one's header is line 18.
fn with_section(section: &str) -> String {
    format!("{LEAST}{section}")
}

#[test]
fn the_committed_example_says_the_defaults() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config.toml");
    let example = Config::load(&path).unwrap();
    let silent = Config::parse(&path, LEAST).unwrap();
    assert_eq!(example.listen, silent.listen);
    assert_eq!(example.sync, silent.sync);
    assert_eq!(example.binlog, silent.binlog);
    assert_eq!(example.admin_token, silent.admin_token);
    assert_eq!(example.log, silent.log);
    assert_eq!(example.users, silent.users);
    assert_eq!(example.allow_hazards, silent.allow_hazards);
    assert!(silent.allow_hazards.is_empty());
    assert_eq!(example.max_connections, silent.max_connections);
    assert_eq!(silent.max_connections, 0);
    assert_eq!(example.login_timeout, silent.login_timeout);
    assert_eq!(silent.login_timeout, Duration::from_secs(8));
    assert_eq!(example.replication.user, silent.replication.user);
    assert_eq!(example.replication.server_id, silent.replication.server_id);
    let (written, assumed) = (example.source(), silent.source());
    assert_eq!(
        (written.vote, written.promotable, &written.zone),
        (assumed.vote, assumed.promotable, &assumed.zone)
    );

    assert_eq!(silent.listen.mysql[0], "0.0.0.0:3307");
    assert_eq!(silent.listen.replication[0], "0.0.0.0:3308");
    assert_eq!(silent.listen.admin[0], "127.0.0.1:3309");
    assert_eq!(silent.sync.mode, Mode::SemiSync);
    assert_eq!(silent.sync.acks, 1);
    assert_eq!(silent.sync.timeout, Duration::from_secs(10));
    assert_eq!(silent.sync.on_timeout, OnTimeout::Block);
    assert_eq!(silent.binlog.file_size, 128 << 20);
    assert_eq!(silent.binlog.keep.to_string(), "7d");
    assert_eq!(silent.failover.hold, Duration::from_secs(10));
    assert_eq!(example.failover.hold, silent.failover.hold);
}

/// Whoever takes the comment sign away gets a key that is known.
#[test]
fn what_the_example_only_mentions_is_known_too() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config.toml");
    let text = fs::read_to_string(path).unwrap();
    let mut mentioned = 0;
    let all: Vec<&str> = text
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(key) if key.starts_with("[[") || key.contains(" = ") && !key.contains("  the") => {
                mentioned += 1;
                key
            }
            _ => line,
        })
        .collect();
    assert!(mentioned >= 9, "{mentioned}");
    for error in errors(&all.join("\n")) {
        assert!(!error.contains("is not known"), "{error}");
    }
}

#[test]
fn every_section_is_read() {
    let config = parse(
        r#"
        [listen]
        mysql = ["127.0.0.1:3307", "[::1]:3307", "proxy.example.org"]
        socket = "run/a.sock"
        replication = []
        admin = "localhost:9999"
        [[server]]
        name = "db1"
        address = "db1.example.org"
        role = "source"
        zone = "east"
        vote = false
        user = "u"
        password = ""
        [[server]]
        name = "w"
        address = "[2001:db8::1]:3400"
        role = "replica"
        ship = "pull"
        promotable = false
        user = "u"
        password = ""
        [failover]
        hold = "1500ms"
        [sync]
        require = "all (w) durable"
        timeout = "500ms"
        on_timeout = "degrade"
        [binlog]
        dir = "/var/lib/ackline"
        format = "row"
        file_size = "1GiB"
        keep = "100GiB"
        keep_at_most = "30d, 200GiB"
        provision = "auto"
        [replication]
        user = "r"
        server_id = 77
        [admin]
        token = "t"
        [log]
        level = "debug"
        format = "json"
        [[user]]
        name = "app"
        password = "p"
        "#,
    )
    .unwrap();
    assert_eq!(
        config.listen.mysql,
        ["127.0.0.1:3307", "[::1]:3307", "proxy.example.org:3307"]
    );
    assert_eq!(
        config.listen.socket,
        Some(PathBuf::from("/etc/ackline/run/a.sock"))
    );
    assert!(config.listen.replication.is_empty());
    assert_eq!(config.source().address, "db1.example.org:3306");
    assert_eq!(config.servers[1].address, "[2001:db8::1]:3400");
    assert!(!config.servers[1].promotable);
    assert_eq!(config.failover.hold, Duration::from_millis(1500));
    let voters = config.voters(&config.source().name);
    assert_eq!(voters.len(), 1);
    assert_eq!(config.sync.mode, Mode::Custom);
    assert_eq!(config.sync.require.to_string(), "ALL (w) durable");
    assert_eq!(config.binlog.keep, Keep::size(100 << 30));
    assert_eq!(config.binlog.keep_at_most.to_string(), "30d, 200GiB");
    assert_eq!(config.binlog.provision, Provision::Auto);
    assert_eq!(config.replication.server_id, ServerId(77));
    assert_eq!(config.admin_token.unwrap().expose(), "t");
    assert_eq!(config.log.format, LogFormat::Json);
    assert_eq!(config.users[0].name, "app");
}

#[test]
fn errors_show_the_place_and_what_to_write() {
    let mut wrong = Vec::new();
    for (text, expected) in [
        // Text that is no TOML.
        (with_section("[sync\n"), "18:"),
        (
            with_section("[sync]\nmode = semi\n"),
            "19:8: this is not TOML",
        ),
        (
            with_section("[sync]\nmode = \"sync\"\nmode = \"async\"\n"),
            "20:",
        ),
        // Keys and sections that do not exist.
        (
            with_section("[synk]\n"),
            "18:2: 'synk' is not known in the file: write 'sync'",
        ),
        (
            with_section("[sync]\nmod = \"sync\"\n"),
            "19:1: 'mod' is not known in [sync]: write 'mode'",
        ),
        (
            with_section("[log]\ncolour = 1\n"),
            "19:1: 'colour' is not known in [log]: its keys are level, format",
        ),
        (
            with_section("[failover]\nautomatic = true\n"),
            "19:1: 'automatic' is not known in [failover]: its keys are hold, auto_rejoin, fence_command, after_command",
        ),
        (with_section("[server]\nname = \"x\"\n"), "18:"),
        (
            with_server_keys("adress = \"x\"\n"),
            "8:1: 'adress' is not known in [[server]]: write 'address'",
        ),
        (
            "[server]\nname = \"x\"\n".to_owned(),
            "1:1: there may be several: write [[server]]",
        ),
        // Types.
        (
            with_section("[sync]\nacks = \"1\"\n"),
            "19:8: acks is of type string: write a whole number",
        ),
        (
            with_section("[sync]\nacks = -1\n"),
            "19:8: acks = -1 is out of range",
        ),
        (
            with_section("[sync]\ntimeout = 10\n"),
            "19:11: timeout is of type integer: write timeout = \"…\"",
        ),
        (
            with_section("[listen]\nmysql = [1]\n"),
            "19:10: mysql is of type integer: write mysql = \"…\" or",
        ),
        (with_section("[listen.mysql]\n"), "18:"),
        (
            with_server_keys("vote = \"yes\"\n"),
            "8:8: vote is of type string: write vote = true",
        ),
        (
            "listen = 1\n".to_owned(),
            "1:10: listen is a section: write [listen]",
        ),
        // Values.
        (
            with_section("[listen]\nmysql = \"::1\"\n"),
            "19:9: mysql: '::1' is no address: write \"host:port\"",
        ),
        (
            with_section("[listen]\nmysql = \"h:99999\"\n"),
            "19:9: mysql: 'h:99999' is no address",
        ),
        (
            with_section("[sync]\nmode = \"semisync\"\n"),
            "19:8: mode: 'semisync' is no mode: write \"async\"",
        ),
        (
            with_section("[sync]\nmode = \"custom\"\n"),
            "19:8: mode: 'custom' is no mode",
        ),
        (
            with_section("[sync]\nmode = \"sync\"\nrequire = \"ALL applied\"\n"),
            "19:8: mode: mode and require are two ways",
        ),
        (
            with_section("[sync]\nrequire = \"ALL applied\"\nacks = 1\n"),
            "20:8: acks: acks only fills in a mode",
        ),
        (
            with_section("[sync]\nrequire = \"ANY (*) received\"\n"),
            "19:11: require: column 5: '(' stands where one must write how many",
        ),
        (
            with_section("[sync]\nrequire = \"ANY 1 (db9) received\"\n"),
            "19:11: require: 'db9' is no [[server]] with vote = true; the voters are: db1, db2",
        ),
        (
            with_section("[sync]\nrequire = \"ANY 1 (zone:x) received\"\n"),
            "19:11: require: no [[server]] with vote = true has zone = \"x\"",
        ),
        (
            with_section("[sync]\nacks = 2\n"),
            "19:8: acks: 'ANY 2 (*) received' needs 2 voting servers besides the source, and 1 are listed",
        ),
        (
            with_section("[sync]\nacks = 0\n"),
            "19:8: acks: acks = 0 asks for nobody",
        ),
        (
            with_section("[sync]\nlevel = \"safe\"\n"),
            "19:9: level: 'safe' is not a level: use received",
        ),
        (
            with_section("[sync]\ntimeout = \"10 seconds\"\n"),
            "19:11: timeout: '10 seconds' cannot be read: write",
        ),
        (
            with_section("[sync]\ntimeout = \"0s\"\n"),
            "19:11: timeout: a timeout of 0",
        ),
        (
            with_section("[sync]\non_timeout = \"fail\"\n"),
            "19:14: on_timeout: 'fail' is not known: write \"block\" or \"degrade\"",
        ),
        (
            with_section("[binlog]\nfile_size = \"1GB\"\n"),
            "19:13: file_size: '1GB' cannot be read: write",
        ),
        (
            with_section("[binlog]\nfile_size = \"1KiB\"\n"),
            "19:13: file_size is between \"64KiB\" and \"2GiB\"",
        ),
        (
            with_section("[binlog]\nkeep = \"long\"\n"),
            "19:8: keep: 'long' cannot be read: write a time",
        ),
        (
            with_section("[binlog]\nformat = \"text\"\n"),
            "19:10: format: 'text' is not known: write \"mixed\" or \"row\" or \"statement\"",
        ),
        (
            with_section("[log]\nlevel = \"loud\"\n"),
            "19:9: level: 'loud' is not known: write \"error\" or",
        ),
        (
            with_section("[admin]\ntoken = \"\"\n"),
            "19:9: the token is empty",
        ),
        (
            with_section("[admin]\ntoken_file = \"nowhere\"\n"),
            "19:14: /etc/ackline/nowhere cannot be read:",
        ),
        (
            with_section("[admin]\ntoken = \"x\"\ntoken_file = \"y\"\n"),
            "20:14: token is given as well: remove token or token_file",
        ),
        (
            with_section("[sessions]\nmax_connections = -1\n"),
            "19:19: max_connections = -1 is out of range",
        ),
        (
            with_section("[sessions]\nlogin_timeout = \"0s\"\n"),
            "19:17: login_timeout is 0",
        ),
        (
            with_section("[tls]\nkey = \"server.key\"\n"),
            "19:7: cert and key belong together",
        ),
        (
            with_section("[tls]\ncert = \"nowhere.crt\"\nkey = \"server.key\"\n"),
            "19:8: /etc/ackline/nowhere.crt cannot be read:",
        ),
        (
            with_server_keys("tls = \"on\"\n"),
            "8:7: tls: 'on' is not known: write \"off\" or \"preferred\" or \"required\"",
        ),
        (
            with_server_keys("tls_ca = \"nowhere.crt\"\n"),
            "8:10: /etc/ackline/nowhere.crt cannot be read:",
        ),
        (
            with_server_keys("tls_key = \"client.key\"\n"),
            "8:11: tls_cert and tls_key belong together",
        ),
        (
            with_server_keys("ship = \"carry\"\n"),
            "8:8: ship: 'carry' is not known: write \"pull\" or \"push\" or \"witness\"",
        ),
        (
            with_server_keys("ship = \"witness\"\n"),
            "8:8: only ship = \"pull\" is supported yet",
        ),
        (
            with_section("[listen]\nproxy_protocol_from = \"10.0.0.0/33\"\n"),
            "19:23: proxy_protocol_from: '10.0.0.0/33' is no network: write",
        ),
        (
            with_section("[[user]]\nname = \"app\"\n"),
            "18:1: [[user]] lacks password or password_file",
        ),
        // Servers as a whole.
        (String::new(), "1:1: there is no server"),
        (
            LEAST.replace("\"source\"", "\"replica\""),
            "9:1: no server has role = \"source\"",
        ),
        (
            LEAST.replace("\"replica\"", "\"source\""),
            "12:8: there is a source already",
        ),
        (
            LEAST.replace("\"replica\"", "\"witness\""),
            "12:8: role = \"witness\" is not supported yet",
        ),
        (
            LEAST.replace("\"a third secret\"", "\"\""),
            "17:12: the password is empty",
        ),
        (
            LEAST.replace("\"db2\"", "\"db1\""),
            "10:8: the name 'db1' is taken",
        ),
        (
            LEAST.replace("3316", "3306"),
            "10:8: 127.0.0.1:3306 is the address of 'db1' already",
        ),
        (
            LEAST.replace("\"db2\"", "\"db 2\""),
            "10:8: name: 'db 2' is no name: write letters",
        ),
        (
            LEAST.replace("\"db2\"", "\"unlisted-2\""),
            "10:8: name: names that begin with 'unlisted-'",
        ),
        (
            LEAST.replace("name = \"db2\"\n", ""),
            "9:1: [[server]] lacks name: write name = \"db1\"",
        ),
        (
            LEAST.replace("role = \"replica\"\n", ""),
            "9:1: [[server]] lacks role: write role = \"replica\"",
        ),
        (
            LEAST.replace("password = \"another secret\"\n", ""),
            "9:1: [[server]] lacks password or password_file",
        ),
        (
            LEAST.replace("password = \"a third secret\"\n", ""),
            "16:1: replicas log in with it: write [replication]",
        ),
        (
            LEAST.replace("\"a third secret\"", "\"x\"\nserver_id = 0"),
            "18:13: server_id = 0 gets no events",
        ),
        (
            LEAST.replace("\"a third secret\"", "\"x\"\nserver_id = 4294967296"),
            "18:13: server_id = 4294967296 is out of range",
        ),
    ] {
        let found = errors(&text);
        if !found.iter().any(|error| error.starts_with(expected)) {
            wrong.push(format!("expected {expected}\nfound {found:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn all_errors_are_shown_at_once_in_the_order_of_the_file() {
    let text = with_section("[sync]\nmode = \"x\"\nfoo = 1\n[log]\nlevel = \"y\"\n");
    let lines: Vec<String> = errors(&text).iter().map(|e| e[..3].to_owned()).collect();
    assert_eq!(lines, ["19:", "20:", "22:"]);
    let Err(error) = parse(&text) else { panic!() };
    assert!(
        error
            .to_string()
            .starts_with("/etc/ackline/config.toml:19:8: mode: 'x'")
    );
}

#[test]
fn without_a_section_sync_the_default_may_still_be_wrong() {
    let alone = LEAST.split("\n[[server]]\nname = \"db2\"").next().unwrap();
    let found = errors(alone);
    assert!(
        found[0].contains("'ANY 1 (*) received' needs 1 voting servers"),
        "{found:?}"
    );
    assert!(found[0].contains("there is no [sync]"), "{found:?}");
    let told =
        format!("{alone}\n[replication]\npassword = \"p\"\n[sync]\nmode = \"async\"\nacks = 1\n");
    assert_eq!(parse(&told).unwrap().sync.mode, Mode::Async);
}

#[test]
fn secrets_are_not_shown() {
    let config = parse(LEAST).unwrap();
    let shown = format!("{config:?} {config:#?} {}", config.servers[0].password);
    for secret in ["one secret", "another secret", "a third secret"] {
        assert!(!shown.contains(secret));
    }
    assert_eq!(config.servers[0].password.expose(), "one secret");
}

#[test]
fn secrets_come_from_files_beside_the_config() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("pw"), "from file\n").unwrap();
    let text = LEAST.replace("password = \"one secret\"", "password_file = \"pw\"");
    let config = Config::parse(&dir.path().join("config.toml"), &text).unwrap();
    assert_eq!(config.servers[0].password.expose(), "from file");
}

#[test]
fn a_running_proxy_takes_over_sync_keep_log_and_replicas() {
    let old = parse(LEAST).unwrap();
    assert!(old.reloadable_diff(&old).unwrap().is_empty());
    let db3 = "[[server]]\nname = \"db3\"\naddress = \"h3\"\nrole = \"replica\"\nuser = \"u\"\npassword = \"\"\n";
    let new = parse(&format!(
        "{LEAST}{db3}[sync]\nmode = \"quorum\"\n[log]\nlevel = \"warn\"\n[binlog]\nkeep = \"all\"\n"
    ))
    .unwrap();
    let changes = old.reloadable_diff(&new).unwrap();
    assert_eq!(changes.added, [new.servers[2].clone()]);
    assert_eq!(
        changes.sync.as_ref().map(|sync| sync.mode),
        Some(Mode::Quorum)
    );
    assert_eq!(changes.keep, Some(Keep::ALL));
    assert_eq!(changes.log.as_ref().map(|log| &*log.level), Some("warn"));
    assert!(changes.roster() && changes.removed.is_empty());
    let back = new.reloadable_diff(&old).unwrap();
    assert_eq!(back.removed, [ServerName::new("db3")]);

    let moved = parse(&LEAST.replace("3316", "3317")).unwrap();
    let changes = old.reloadable_diff(&moved).unwrap();
    assert_eq!((changes.removed.len(), changes.added.len()), (1, 1));

    let silent = parse(&with_server_keys("vote = false\n")).unwrap();
    assert!(old.reloadable_diff(&silent).unwrap().source.is_some());
}

#[test]
fn what_needs_a_restart_is_said_by_name() {
    let old = parse(LEAST).unwrap();
    let new = with_section("[listen]\nmysql = \":3\"\n").replace("\":3\"", "\"h:3\"");
    let new = parse(&new.replace("3306", "3305")).unwrap();
    let NeedsRestart(what) = old.reloadable_diff(&new).unwrap_err();
    assert_eq!(what, ["[listen]", "the source's [[server]]"]);
}

fn patch(keys: &[(&str, &str)]) -> SyncPatch {
    let text: String = keys.iter().map(|(k, v)| format!("{k} = {v}\n")).collect();
    toml::from_str(&text).unwrap()
}

fn file_with(sync: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.toml");
    fs::write(&path, format!("# head\n{LEAST}\n{sync}# tail\n")).unwrap();
    (dir, path)
}

const SYNC: &str = "# the policy\n[sync]   # here\n# ours since May\nmode = \"semi-sync\"  # asked by Ann\nacks = 1\n\n# patience\ntimeout = \"5s\"\n";

#[test]
fn writing_sync_changes_its_keys_and_keeps_all_comments() {
    let (_dir, path) = file_with(SYNC);
    let config = write_sync(
        &path,
        &patch(&[("mode", "\"quorum\""), ("on_timeout", "\"degrade\"")]),
    )
    .unwrap();
    assert_eq!(config.sync.mode, Mode::Quorum);
    let text = fs::read_to_string(&path).unwrap();
    let expected = SYNC.replace("semi-sync", "quorum") + "on_timeout = \"degrade\"\n# tail\n";
    assert_eq!(text, format!("# head\n{LEAST}\n{expected}"));
    assert_eq!(Config::load(&path).unwrap(), config);
}

#[test]
fn writing_require_takes_the_place_of_mode_and_back() {
    let (_dir, path) = file_with(SYNC);
    let config = write_sync(&path, &patch(&[("require", "\"ALL durable\"")])).unwrap();
    assert_eq!(config.sync.mode, Mode::Custom);
    let text = fs::read_to_string(&path).unwrap();
    assert!(!text.contains("acks") && !text.contains("mode ="), "{text}");
    assert!(
        text.contains("# ours since May\nrequire = \"ALL durable\""),
        "{text}"
    );
    let config = write_sync(&path, &patch(&[("mode", "\"sync\"")])).unwrap();
    assert_eq!(config.sync.mode, Mode::Sync);
    let text = fs::read_to_string(&path).unwrap();
    assert!(
        text.contains("# ours since May\nmode = \"sync\"\n"),
        "{text}"
    );
    assert!(
        text.contains("# patience\ntimeout = \"5s\"\n") && text.ends_with("# tail\n"),
        "{text}"
    );
}

#[test]
fn writing_into_a_file_without_sync_adds_it() {
    let (_dir, path) = file_with("");
    write_sync(&path, &patch(&[("mode", "\"async\"")])).unwrap();
    assert!(
        fs::read_to_string(&path)
            .unwrap()
            .contains("[sync]\nmode = \"async\"\n")
    );
}

#[test]
fn a_wrong_change_changes_nothing() {
    let (_dir, path) = file_with(SYNC);
    let before = fs::read_to_string(&path).unwrap();
    for keys in [
        patch(&[("mode", "\"fast\"")]),
        patch(&[("acks", "9")]),
        patch(&[("require", "\"ANY 1 (nobody) received\"")]),
        patch(&[("mode", "\"sync\""), ("require", "\"ALL applied\"")]),
    ] {
        let error = write_sync(&path, &keys).unwrap_err();
        assert!(matches!(error, WriteError::Invalid(_)), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), before);
    }
    assert!(write_sync(Path::new("/nowhere/config.toml"), &SyncPatch::default()).is_err());
}

#[test]
fn the_file_keeps_its_permissions_and_its_link() {
    let (dir, path) = file_with(SYNC);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let link = dir.path().join("link.toml");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    write_sync(&link, &patch(&[("mode", "\"async\"")])).unwrap();
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o640
    );
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(
        fs::read_dir(dir.path()).unwrap().count(),
        2,
        "nothing left behind"
    );
}

#[test]
fn limits_of_sessions() {
    let old = parse(LEAST).unwrap();
    let new = with_section("[sessions]\nmax_connections = 151\n");
    let new = parse(&new).unwrap();
    let changes = old.reloadable_diff(&new).unwrap();
    assert_eq!(changes.max_connections, Some(151));
    let slow = parse(&with_section("[sessions]\nlogin_timeout = \"1m\"\n")).unwrap();
    assert_eq!(slow.login_timeout, Duration::from_secs(60));
    let NeedsRestart(what) = old.reloadable_diff(&slow).unwrap_err();
    assert_eq!(what, ["[sessions] login_timeout"]);
}

#[test]
fn who_may_run_hazards() {
    let one = parse(&with_section("[sessions]\nallow_hazards = \"admin\"")).unwrap();
    assert_eq!(one.allow_hazards, ["admin"]);
    let two = parse(&with_section(
        "[sessions]\nallow_hazards = [\"admin\", \"jane@corp\"]",
    ))
    .unwrap();
    assert_eq!(two.allow_hazards, ["admin", "jane@corp"]);
    let changes = one.reloadable_diff(&two).unwrap();
    assert_eq!(changes.allow_hazards.as_ref(), Some(&two.allow_hazards));
    for account in ["", "'admin'@'10.0.0.1'", "admin@%", "admin@localhost"] {
        let text = with_section(&format!("[sessions]\nallow_hazards = [\"{account}\"]"));
        let errors = errors(&text);
        assert!(errors[0].starts_with("19:"), "{errors:?}");
        assert!(errors[0].contains("without a host"), "{errors:?}");
    }
    let unknown = errors(&with_section("[sessions]\nallow_hazard = \"a\""));
    assert!(unknown[0].contains("write 'allow_hazards'"), "{unknown:?}");
}

#[test]
fn a_server_is_meant_by_its_name_or_its_address() {
    let mut config = Config::load(Path::new(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/config.toml"
    )))
    .unwrap();
    let addresses = ["10.0.0.1:3306", "[fd00::2]:3307", "db3.example:3306"];
    for (server, address) in config.servers.iter_mut().zip(addresses) {
        server.address = address.into();
    }
    let names: Vec<ServerName> = config.servers.iter().map(|one| one.name.clone()).collect();
    for (text, index) in [
        (names[1].as_str(), 1),
        ("10.0.0.1:3306", 0),
        ("10.0.0.1", 0),
        ("[fd00::2]:3307", 1),
        ("fd00::2", 1),
    ] {
        assert_eq!(config.meant(text), names[index], "{text}");
    }
    config.servers[1].address = "10.0.0.1:3307".into();
    for nobody in ["10.0.0.1", "10.0.0.9", ""] {
        assert_eq!(config.meant(nobody).as_str(), nobody);
    }
}
