use super::*;

const MINIMAL: &str = r#"
[[server]]
name = "db1"
address = "127.0.0.1:3306"
role = "source"
user = "ackline"
password = "secret-of-db1"

[[server]]
name = "db2"
address = "127.0.0.1:3316"
role = "replica"
user = "ackline"
password = "secret-of-db2"

[replication]
user = "repl"
password = "secret-of-repl"
"#;

fn parse(text: &str) -> Result<Config, Error> {
    raw::parse(text, Path::new("/etc/ackline/config.toml"))
}

#[test]
fn the_defaults_are_the_documented_ones() {
    let config = parse(MINIMAL).unwrap();
    assert_eq!(config.sync, Sync::default());
    assert_eq!(
        config.sync.require.to_string(),
        "LOCAL durable AND ANY 1 (*) received"
    );
    assert_eq!(config.listen.mysql, ["0.0.0.0:3307"]);
    assert_eq!(config.listen.admin, ["127.0.0.1:3309"]);
    assert_eq!(config.binlog.dir, Path::new("/etc/ackline/binlog"));
    assert!(config.servers.iter().all(|server| server.vote));
    assert_eq!(config.source().name.as_str(), "db1");
}

#[test]
fn the_committed_example_is_complete_and_loads() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config.toml");
    let config = Config::load(&path).unwrap();
    assert_eq!(config.sync, Sync::default());
    assert_eq!(config.hold, Duration::from_secs(10));
}

#[test]
fn errors_say_where_and_what_to_write() {
    for (added, line, says) in [
        (
            "[sync]\nmode = \"fast\"",
            20,
            "use async, semi-sync, quorum or sync",
        ),
        (
            "[sync]\nmode = \"sync\"\nrequire = \"ALL applied\"",
            21,
            "keep one",
        ),
        (
            "[sync]\nrequire = \"ANY 1 (db9) received\"",
            20,
            "'db9' is no replica",
        ),
        ("[sync]\nrequire = \"ANY (*) received\"", 20, "column 5"),
        ("[sync]\ntimeout = \"10\"", 20, "ms, s, m"),
        ("[binlog]\nfile_size = \"1KiB\"", 20, "from 4KiB"),
        ("[binlog]\nkeep = \"7d\"", 20, "not supported yet"),
        ("[log]\nlevel = \"loud\"", 20, "no log level"),
        (
            "[[server]]\nname = \"db1\"\naddress = \"x\"\nrole = \"replica\"\nuser = \"u\"\npassword = \"p\"",
            19,
            "two servers",
        ),
        (
            "[[server]]\nname = \"db3\"\naddress = \"x\"\nrole = \"source\"\nuser = \"u\"\npassword = \"p\"",
            22,
            "two sources",
        ),
    ] {
        match parse(&format!("{MINIMAL}{added}\n")) {
            Err(Error::Invalid {
                line: found,
                message,
                ..
            }) => {
                assert!(message.contains(says), "{added}: {message}");
                assert_eq!(found, line, "{added}: {message}");
            }
            other => panic!("{added}: {other:?}"),
        }
    }
    let error = parse(&format!("{MINIMAL}[sync]\nmood = \"sync\"\n"))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("line 20") && error.contains("mood"),
        "{error}"
    );
}

#[test]
fn secrets_are_shown_nowhere() {
    let config = parse(MINIMAL).unwrap();
    assert!(!format!("{config:?}").contains("secret-of"));
    assert_eq!(config.source().password.expose(), "secret-of-db1");
}

#[test]
fn a_change_keeps_the_comments_and_a_bad_one_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    let text =
        format!("# ours\n{MINIMAL}\n[sync]\nmode = \"semi-sync\" # as agreed\ntimeout = \"5s\"\n");
    std::fs::write(&path, &text).unwrap();
    let patch = SyncPatch {
        mode: Some("quorum".into()),
        ..SyncPatch::default()
    };
    let config = write_sync(&path, &patch).unwrap();
    assert_eq!(config.sync.mode.to_string(), "quorum");
    let written = std::fs::read_to_string(&path).unwrap();
    assert_eq!(
        written,
        text.replace("\"semi-sync\" # as agreed", "\"quorum\" # as agreed")
    );
    let bad = SyncPatch {
        require: Some("nonsense".into()),
        ..SyncPatch::default()
    };
    assert!(write_sync(&path, &bad).is_err());
    assert_eq!(std::fs::read_to_string(&path).unwrap(), written);
    let custom = SyncPatch {
        require: Some("ALL received".into()),
        ..SyncPatch::default()
    };
    assert_eq!(
        write_sync(&path, &custom).unwrap().sync.mode.to_string(),
        "custom"
    );
}
