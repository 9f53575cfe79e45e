use proptest::prelude::*;

use super::*;

fn read(text: &str) -> Option<String> {
    let found = find(text.as_bytes(), Backslash::Escapes);
    found.map(|hazard| hazard.to_string())
}

/// In every case of letters, in comments and blanks, behind others, in parts, and prepared.
fn every_way(text: &str, expected: Option<&str>) {
    assert_eq!(read(text).as_deref(), expected, "{text}");
    let odd = text.replace(' ', " /* x */\t\r\n-- y\n\x0b");
    let literal = text.replace('\\', "\\\\").replace('\'', "\\'");
    for written in [
        text.to_ascii_uppercase(),
        odd,
        format!("/*!50003 {text} */"),
        format!("/*M!100000 {text}*/"),
        format!("SELECT 'a;b', `c;d`; {text}; SELECT 1"),
        format!("/*!99999 ' */; {text} -- '"),
        format!("BEGIN NOT ATOMIC IF @a THEN SELECT 1; {text}; END IF; END"),
        format!("CREATE OR REPLACE PROCEDURE p(a INT) NOT DETERMINISTIC COMMENT 'x' {text}"),
        format!("CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO BEGIN {text}; END"),
        format!("PREPARE s FROM '{literal}'"),
        format!("EXECUTE IMMEDIATE '{literal}' USING 1"),
        format!("SELECT 1; PREPARE s FROM '{literal}'; EXECUTE s"),
    ] {
        let found = read(&written).map(|found| found.to_ascii_lowercase());
        let expected = expected.map(str::to_ascii_lowercase);
        assert_eq!(found, expected, "{written}");
    }
    for size in [1, 2, 5, 7] {
        let mut scan = Scan::new(Backslash::Escapes);
        text.as_bytes()
            .chunks(size)
            .for_each(|part| scan.feed(part));
        let found = scan.finish().map(|hazard| hazard.to_string());
        assert_eq!(found.as_deref(), expected, "{text} in parts of {size}");
    }
}

#[test]
fn session_variables() {
    for text in [
        "set sql_log_bin=0",
        "set sql_log_bin = off",
        "set session sql_log_bin=0",
        "set local sql_log_bin=0",
        "set @@sql_log_bin := 0",
        "set @@session.sql_log_bin=0",
        "set @@local . sql_log_bin=0",
        "set `sql_log_bin`=0",
        "set @@session.`sql_log_bin`=0",
        "set \"sql_log_bin\"=0",
        "set global sql_log_bin=0",
        "set @@global.sql_log_bin=0",
        "set a=1, @@session.sql_log_bin = 0",
        "set @a=if(1, 2, (select 3)), sql_log_bin=0, b=4",
        "set names utf8mb4, sql_log_bin=0",
        "set @a := 'x, sql_log_bin=1', sql_log_bin=0",
        "set sql_log_bin=@old",
        "set sql_log_bin=@@global.sql_log_bin",
        "set sql_log_bin=1-1",
        "set sql_log_bin=-0",
        "set sql_log_bin=(0)",
        "set sql_log_bin=?",
        "set sql_log_bin=1 and 0, a=1",
        "set statement sql_log_bin=0 for insert into t values (1)",
        "set statement max_statement_time=if(1, 2, 3), sql_log_bin=0 for select 1",
        "set statement max_statement_time=1 for set sql_log_bin=0",
        "set statement sql_log_bin=1 for set statement lock_wait_timeout=1 for set sql_log_bin=0",
    ] {
        every_way(text, Some("SET sql_log_bin"));
    }
    for (text, name) in [
        ("set skip_replication=1", "skip_replication"),
        ("set @@skip_replication=on", "skip_replication"),
        ("set gtid_domain_id=5", "gtid_domain_id"),
        ("set @@session.gtid_domain_id=0", "gtid_domain_id"),
        ("set gtid_seq_no=100", "gtid_seq_no"),
        ("set session server_id=7", "server_id"),
        ("set @@session.gtid_next='uuid:1'", "gtid_next"),
        ("set session gtid_next = 'anonymous'", "gtid_next"),
    ] {
        every_way(text, Some(&format!("SET {name}")));
    }
}

#[test]
fn values_that_a_session_has_anyway() {
    for text in [
        "set sql_log_bin=1",
        "set sql_log_bin=on",
        "set @@session.sql_log_bin := true",
        "set sql_log_bin='on', autocommit=1",
        "set sql_log_bin=default",
        "set skip_replication=0",
        "set skip_replication=off",
        "set gtid_domain_id=default",
        "set server_id=default",
        "set gtid_seq_no=0",
        "set gtid_next='automatic'",
        "set gtid_next=automatic",
        "set statement sql_log_bin=1 for insert into t values (0)",
    ] {
        every_way(text, None);
    }
}

#[test]
fn global_variables() {
    for (text, name) in [
        (
            "set global rpl_semi_sync_master_enabled=0",
            "rpl_semi_sync_master_enabled",
        ),
        (
            "set @@global.rpl_semi_sync_source_timeout=1",
            "rpl_semi_sync_source_timeout",
        ),
        (
            "set persist rpl_semi_sync_source_enabled = default",
            "rpl_semi_sync_source_enabled",
        ),
        ("set @@persist_only.sync_binlog=0", "sync_binlog"),
        ("set a=1, global sync_binlog=0", "sync_binlog"),
        ("set global a=1, sync_binlog=0", "sync_binlog"),
        ("set global binlog_format='row'", "binlog_format"),
        ("set global log_bin_compress=1", "log_bin_compress"),
        (
            "set global innodb_flush_log_at_trx_commit=0",
            "innodb_flush_log_at_trx_commit",
        ),
        ("set global read_only=0", "read_only"),
        ("set global super_read_only=on", "super_read_only"),
        ("set global server_id=5", "server_id"),
        ("set global gtid_domain_id=5", "gtid_domain_id"),
        ("set global gtid_slave_pos='0-1-5'", "gtid_slave_pos"),
        ("set @@global.gtid_purged='+uuid:1-5'", "gtid_purged"),
        ("set global expire_logs_days=1", "expire_logs_days"),
    ] {
        every_way(text, Some(&format!("SET GLOBAL {name}")));
    }
    for text in [
        // The session's own.
        "set binlog_format=row",
        "set session binlog_row_image=minimal",
        "set global a=1, session binlog_format=row",
        "set @@global.a=1, binlog_format=row",
        // No concern of ours.
        "set global max_connections=500",
        "set global binlog_cache_size=65536",
        "set global log_bin_trust_function_creators=1",
        "set session_track_system_variables='*'",
        "set session session_track_gtids=own_gtid",
    ] {
        every_way(text, None);
    }
}

#[test]
fn statements() {
    for (text, expected) in [
        ("reset master", "RESET MASTER"),
        ("reset query cache, master", "RESET MASTER"),
        ("reset master to 5", "RESET MASTER"),
        ("reset binary logs and gtids", "RESET MASTER"),
        ("reset slave all", "RESET REPLICA"),
        ("reset replica", "RESET REPLICA"),
        ("purge binary logs to 'bin.000005'", "PURGE BINARY LOGS"),
        ("purge master logs before now()", "PURGE BINARY LOGS"),
        (
            "flush binary logs delete_domain_id=(1)",
            "FLUSH BINARY LOGS DELETE_DOMAIN_ID",
        ),
        (
            "flush no_write_to_binlog binary logs delete_domain_id = (1,2)",
            "FLUSH BINARY LOGS DELETE_DOMAIN_ID",
        ),
        ("change master to master_host='x'", "CHANGE MASTER"),
        ("change master 'a' to master_port=1", "CHANGE MASTER"),
        (
            "change replication source to source_host='x'",
            "CHANGE MASTER",
        ),
        (
            "change replication filter replicate_do_db=(a)",
            "CHANGE MASTER",
        ),
        ("start slave", "START REPLICA"),
        ("start all slaves", "START REPLICA"),
        ("start replica io_thread", "START REPLICA"),
        ("stop slave sql_thread", "STOP REPLICA"),
        ("stop all replicas", "STOP REPLICA"),
        (
            "uninstall plugin rpl_semi_sync_source",
            "UNINSTALL of the semi-sync plugin",
        ),
        (
            "uninstall soname 'semisync_master'",
            "UNINSTALL of the semi-sync plugin",
        ),
    ] {
        every_way(text, Some(expected));
    }
}

#[test]
fn what_only_looks_like_one() {
    for text in [
        "",
        ";",
        "select @@sql_log_bin",
        "select 'reset master'",
        "select \"; set sql_log_bin=0; \"",
        "select 1 as `; reset master; `",
        "select reset master from t",
        "select case when a then 1 else sql_log_bin end from t",
        "show variables like 'sql_log_bin'",
        "show binary logs",
        "set @sql_log_bin=0",
        "set @a='set sql_log_bin=0'",
        "set @a=1, @@x=2, @sql_log_bin := 0",
        "set @a=sql_log_bin=0",
        "set @a=f(1, sql_log_bin=0)",
        "set hot.sql_log_bin=0",
        "set my_sql_log_bin=0",
        "set sql_log_bin_x=0",
        "set password for a@b = 'sql_log_bin=0'",
        "set transaction isolation level read committed",
        "set role admin",
        "set",
        "set @",
        "set @@",
        "set sql_log_bin",
        "update t set sql_log_bin=0",
        "update t set a=1, server_id=5, read_only=1",
        "update begin set server_id=5",
        "insert into t set server_id=5 on duplicate key update server_id=6",
        "insert into t values ('\\'; reset master; \\'')",
        "load data infile 'x' into table t (a) set server_id=5",
        "create table t (a set('x','y'), server_id int, event int, b set('sql_log_bin'))",
        "alter table t add sql_log_bin int, change master slave int",
        "create function f(a varchar(3) character set utf8) returns set('a') return a",
        "create event e on schedule every 1 day starts now() do update t set server_id=5",
        "create trigger t before update on a for each row set new.server_id=5",
        "create view v as select 1 as reset",
        "reset query cache",
        "flush binary logs",
        "flush tables, logs",
        "start transaction",
        "start transaction with consistent snapshot",
        "stop",
        "reset",
        "purge",
        "begin",
        "execute s using 'reset master'",
        "uninstall plugin audit",
        "-- reset master",
        "/* reset master */",
        "select 1 # reset master",
    ] {
        assert_eq!(read(text), None, "{text}");
        assert_eq!(read(&format!("select 1; {text}")), None, "{text}");
    }
    // Known limits: they are put together at run time.
    assert_eq!(read("prepare s from @a"), None);
    assert_eq!(read("execute immediate concat('reset ', 'master')"), None);
}

#[test]
fn routines() {
    for text in [
        "create definer=`a`@`%` procedure p() sql security invoker set sql_log_bin=0",
        "create procedure p(a varchar(3) character set utf8) set sql_log_bin=0",
        "create procedure p(reset int, a set('x')) modifies sql data begin set sql_log_bin=0; end",
        "create event e on schedule every 1 day on completion not preserve do set sql_log_bin=0",
        "create procedure p() begin declare a int; declare exit handler for sqlexception set \
         sql_log_bin=0; end",
        "create procedure p() l: loop set sql_log_bin=0; leave l; end loop",
        "create procedure p() case 1 when 2 then set a=1; else set sql_log_bin=0; end case",
        "create trigger t after insert on a for each row set sql_log_bin=0",
        "begin not atomic while 1 do set sql_log_bin=0; end while; end",
        "begin not atomic execute immediate 'begin not atomic set sql_log_bin=0; end'; end",
        "if 1 then set sql_log_bin=0; end if",
    ] {
        assert_eq!(read(text).as_deref(), Some("SET sql_log_bin"), "{text}");
    }
}

/// Each was run on a real server, which then wrote past its binlog.
#[test]
fn nothing_hides_one() {
    let session = |variable| Some(Hazard::Session(variable));
    let log_bin = || session(SessionVariable::SqlLogBin);
    for (text, found) in [
        // With SET NAMES gbk the backslash is half of a character.
        (
            &b"SELECT '\xbf\x5c'; SET sql_log_bin=0; SELECT 'end'"[..],
            log_bin(),
        ),
        (
            b"SET NAMES sjis; SELECT '\x95\x5c'; SET sql_log_bin=0; SELECT 'end'",
            log_bin(),
        ),
        (
            b"SELECT '\xa4\x5c'; SET sql_log_bin=0; SELECT 'end'",
            log_bin(),
        ),
        (
            b"SELECT 1 AS \xbf`; SET sql_log_bin=0; SELECT 1 AS \xbf`",
            log_bin(),
        ),
        // With ANSI_QUOTES a backslash is nothing special in a name.
        (
            br#"SELECT 1 AS "a\"; SET sql_log_bin=0; SELECT 1 AS "b""#,
            log_bin(),
        ),
        // A mode that the text sets itself.
        (
            br"SET sql_mode='NO_BACKSLASH_ESCAPES'; SELECT 'a\'; SET sql_log_bin=0; SELECT 'b'",
            log_bin(),
        ),
        // MySQL compares names without accents.
        ("SET sql_l\u{f6}g_bin=0".as_bytes(), log_bin()),
        ("SET \u{17f}ql_log_bin=0".as_bytes(), log_bin()),
        (b"SET sql_l\xf6g_bin=0", log_bin()),
        (
            "SET @@session.gtid_n\u{e9}xt='x:1'".as_bytes(),
            session(SessionVariable::GtidNext),
        ),
        // MariaDB's sql_mode=ORACLE.
        (b"sql_log_bin := 0", log_bin()),
        (b"BEGIN NOT ATOMIC sql_log_bin := 0; END", log_bin()),
        (
            b"skip_replication := 1",
            session(SessionVariable::SkipReplication),
        ),
        (
            b"ALTER INSTANCE DISABLE INNODB REDO_LOG",
            Some(Hazard::DisableRedoLog),
        ),
        // And what only looks like it.
        (b"ALTER INSTANCE ENABLE INNODB REDO_LOG", None),
        (b"sql_log_bin := 1", None),
        ("SET @sql_l\u{f6}g_bin=0".as_bytes(), None),
        ("SET sql_l\u{f6}g_binary=0".as_bytes(), None),
        (
            "INSERT INTO t VALUES ('\u{e4}\\'; SET sql_log_bin=0; ')".as_bytes(),
            None,
        ),
        (br#"SELECT "a\\"; SELECT 'it''s'; SET autocommit=1"#, None),
    ] {
        assert_eq!(
            find(text, Backslash::Escapes),
            found,
            "{}",
            String::from_utf8_lossy(text)
        );
        for size in [1, 3] {
            let mut scan = Scan::new(Backslash::Escapes);
            text.chunks(size).for_each(|part| scan.feed(part));
            assert_eq!(
                scan.finish(),
                found,
                "{} in parts",
                String::from_utf8_lossy(text)
            );
        }
    }
}

#[test]
fn what_the_source_reports() {
    for (name, value, expected) in [
        (
            "sql_log_bin",
            "OFF",
            Some((SessionVariable::SqlLogBin, true)),
        ),
        (
            "sql_log_bin",
            "ON",
            Some((SessionVariable::SqlLogBin, false)),
        ),
        (
            "gtid_next",
            "AUTOMATIC",
            Some((SessionVariable::GtidNext, false)),
        ),
        (
            "gtid_seq_no",
            "1000",
            Some((SessionVariable::GtidSeqNo, true)),
        ),
        (
            "skip_replication",
            "OFF",
            Some((SessionVariable::SkipReplication, false)),
        ),
        ("autocommit", "OFF", None),
        ("last_gtid", "0-1-7", None),
    ] {
        let reported = SessionVariable::reported(name.as_bytes(), value.as_bytes());
        assert_eq!(reported, expected, "{name}={value}");
    }
}

#[test]
fn strings_end_where_the_session_ends_them() {
    let text = br"SELECT 'a\'; RESET MASTER; -- '";
    assert_eq!(find(text, Backslash::Escapes), None);
    assert_eq!(find(text, Backslash::IsPlain), Some(Hazard::ResetBinlog));
}

#[test]
fn the_middle_of_a_large_text() {
    let filler = format!("INSERT INTO t VALUES ('{}');", "x; it''s ".repeat(1 << 16));
    let mut scan = Scan::new(Backslash::Escapes);
    let text = format!("{filler}SET sql_log_bin=0;{filler}");
    let mut until = None;
    for (number, part) in text.as_bytes().chunks(1 << 14).enumerate() {
        scan.feed(part);
        if scan.found().is_some() {
            until.get_or_insert(number);
        }
    }
    assert_eq!(until, Some(filler.len() >> 14));
}

#[test]
fn who_sets_the_requirement() {
    let sets = |text: &str| {
        let mut scan = Scan::new(Backslash::Escapes);
        text.as_bytes().chunks(3).for_each(|part| scan.feed(part));
        scan.sets_requirement()
    };
    for text in [
        "set @ackline_require = 'ALL applied';",
        "select 1; set a = 1, @`ACKLINE_require` := 5;",
        "prepare s from 'set @ackline_require = 5';",
        "begin not atomic set @ackline_require = 5; end",
        "/*!99999 set @ackline_require = 5 */",
    ] {
        assert!(sets(text), "{text}");
    }
    for text in [
        "insert into t values ('set @ackline_require = 5')",
        "select @ackline_require;",
        "set @ackline_required = 5, @@ackline_require = 6",
        "set @a = @ackline_require",
    ] {
        assert!(!sets(text), "{text}");
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        find(&bytes, Backslash::Escapes);
        find(&bytes, Backslash::IsPlain);
    }

    #[test]
    fn no_words_panic_and_parts_do_not_matter(
        words in prop::collection::vec(prop::sample::select(vec![
            "set", "sql_log_bin", "=", ":=", "0", "1", "@@", "@", "global", ".", ",", ";", "(", ")",
            "statement", "for", "reset", "master", "prepare", "from", "'", "\"", "`", "/*!50000",
            "/*", "*/", "--", "\n", "\\", "begin", "create", "procedure", "execute", "immediate",
            "binlog_format", "flush", "delete_domain_id", "case", "then", "x", "update",
        ]), 0..40),
        spaced in any::<bool>(),
        size in 1usize..20,
    ) {
        let text = words.join(if spaced { " " } else { "" });
        let whole = find(text.as_bytes(), Backslash::Escapes);
        let mut scan = Scan::new(Backslash::Escapes);
        text.as_bytes().chunks(size).for_each(|part| scan.feed(part));
        // A compound statement without a semicolon is none, and only one of both readings knows it.
        let compound = ["begin", "then"].iter().any(|opener| text.contains(opener));
        if text.contains([';', '!']) || !compound {
            prop_assert_eq!(scan.finish(), whole);
        }
    }
}
