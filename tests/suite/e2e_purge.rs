//! `[binlog] keep` and `keep_at_most` at work, and `ackline binlog list`, `check`, `purge`, on real servers.
//!
//! `ACKLINE_PURGE_ROUNDS`: how often the proxy is killed during a purge.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use crate::support::{Flavor, Part, SOON, Sandbox, on_both_flavors, wait_until};
use serde_json::Value;

on_both_flavors!(
    files_stay_as_long_as_a_voter_needs_them,
    beyond_the_utmost_they_go_and_the_replica_is_told
);

const FILE_SIZE: u64 = 64 << 10;
const REPLICA: Part = Part::Replica(1);

/// Small files, of which a few are kept, and a table.
async fn with_small_files(flavor: Flavor, keep: &str) -> Sandbox {
    let sandbox = Sandbox::of(flavor).await;
    let config = sandbox.config();
    let section = "[binlog]\n";
    assert!(config.contains(section), "{config}");
    let small = format!("{section}file_size = \"64KiB\"\nkeep = \"{keep}\"\n");
    sandbox.save_config(&config.replacen(section, &small, 1));
    sandbox.stop(Part::Proxy);
    sandbox.start(Part::Proxy);
    sandbox.serves().await;
    let mut app = sandbox.app().connect().await;
    app.run("CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, b TEXT) ENGINE=InnoDB")
        .await;
    sandbox
}

/// About so many files' worth.
async fn load(sandbox: &Sandbox, files: u64) {
    let mut app = sandbox.app().connect().await;
    let row = "x".repeat(8 << 10);
    for _ in 0..files * FILE_SIZE / row.len() as u64 {
        app.run(&format!("INSERT INTO t (b) VALUES ('{row}')"))
            .await;
    }
}

/// As the command lists them.
fn list(sandbox: &Sandbox) -> Vec<Value> {
    let output = sandbox.ackline(&["binlog", "list", "--json"]);
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn first(sandbox: &Sandbox) -> u32 {
    let name = list(sandbox)[0]["file"].as_str().unwrap().to_owned();
    name.strip_prefix("binlog.").unwrap().parse().unwrap()
}

fn path(sandbox: &Sandbox, number: u32) -> PathBuf {
    let dir = &sandbox.manifest.binlog_dir;
    dir.join(format!("binlog.{number:06}"))
}

async fn purged_to(sandbox: &Sandbox, bytes: u64) {
    let what = format!("the binlog is down to {bytes} bytes");
    sandbox
        .status_until(&what, SOON, |status| status.number("binlog.bytes") <= bytes)
        .await;
}

/// (exit status, what it printed and complained)
fn run(sandbox: &Sandbox, arguments: &[&str]) -> (i32, String) {
    let output = sandbox.ackline(arguments);
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.code().unwrap(),
        String::from_utf8(text).unwrap(),
    )
}

#[track_caller]
fn check(sandbox: &Sandbox) {
    let (status, text) = run(sandbox, &["binlog", "check"]);
    assert!(status == 0 && text.contains("nothing is wrong"), "{text}");
}

async fn files_stay_as_long_as_a_voter_needs_them(flavor: Flavor) {
    let sandbox = with_small_files(flavor, "200KiB").await;
    load(&sandbox, 6).await;
    purged_to(&sandbox, 200 << 10).await;
    assert!(first(&sandbox) > 2);
    assert!(!path(&sandbox, 1).exists());
    listed_as_it_is(&sandbox).await;
    check(&sandbox);

    // It is gone, and so is what we knew of it: all that there is stays.
    sandbox.stop(REPLICA);
    load(&sandbox, 2).await;
    sandbox.kill(Part::Proxy);
    sandbox.start(Part::Proxy);
    sandbox.serves().await;
    let oldest = first(&sandbox);
    load(&sandbox, 5).await;
    sandbox
        .status_until("somebody holds files back", SOON, |status| {
            let problems = status.list("problems");
            problems
                .iter()
                .any(|problem| problem.starts_with("replica2 holds binlog files back"))
        })
        .await;
    let newest = format!("binlog.{:06}", oldest + 5);
    for more in [&["--to", &newest][..], &["--keep", "64KiB"], &["--dry-run"]] {
        let purge = [&["binlog", "purge"], more].concat();
        let (status, text) = run(&sandbox, &purge);
        assert!(status == 0 && text.contains("0 files"), "{text}");
        assert!(text.contains("replica2 holds files back"), "{text}");
    }
    assert_eq!(first(&sandbox), oldest);

    sandbox.start(REPLICA);
    purged_to(&sandbox, 200 << 10).await;
    assert!(first(&sandbox) > oldest);
    sandbox.assert_equal().await;
    sandbox
        .status_until("nothing is held back", SOON, |status| {
            status.list("problems").is_empty()
        })
        .await;

    killed_while_it_purges(&sandbox).await;
    without_a_proxy(&sandbox).await;
}

/// The command's rows against the folder and the source.
async fn listed_as_it_is(sandbox: &Sandbox) {
    let files = list(sandbox);
    let (active, sealed) = files.split_last().unwrap();
    assert_eq!(active["state"], "active");
    for file in sealed {
        assert_eq!(file["state"], "sealed", "{file}");
        let path = sandbox
            .manifest
            .binlog_dir
            .join(file["file"].as_str().unwrap());
        assert_eq!(file["bytes"], fs::metadata(path).unwrap().len());
        assert!(file["transactions"].as_u64().unwrap() >= 5, "{file}");
        assert!(file["first_time"].as_str().unwrap().ends_with('Z'));
    }
    let mut source = sandbox.source().connect().await;
    let end = source.gtid_position().await;
    let last = files
        .iter()
        .rev()
        .find_map(|file| file["last_gtid"].as_str());
    let last = last.unwrap().rsplit(['-', ':']).next().unwrap().to_owned();
    assert!(end.ends_with(&last), "{end} {last}");
    let (_, table) = run(sandbox, &["binlog", "list"]);
    assert_eq!(table.lines().count(), files.len() + 1, "{table}");
}

/// Whatever moment it is killed at, it starts, and nothing is missing.
async fn killed_while_it_purges(sandbox: &Sandbox) {
    let rounds = std::env::var("ACKLINE_PURGE_ROUNDS").ok();
    let rounds = rounds.map_or(2, |rounds| rounds.parse().unwrap());
    for round in 0..rounds {
        sandbox.edit_config("keep = ", "keep = \"all\"");
        load(sandbox, 4).await;
        sandbox.assert_equal().await;
        let before = first(sandbox);
        // It is taken over within a quarter of a second, and takes effect within a second.
        sandbox.edit_config("keep = ", "keep = \"64KiB\"");
        let path = path(sandbox, before);
        wait_until("the first file goes", SOON, async || match path.exists() {
            false => Ok(()),
            true => Err("it is there"),
        })
        .await;
        tokio::time::sleep(Duration::from_micros(round * 150)).await;
        sandbox.kill(Part::Proxy);
        sandbox.start(Part::Proxy);
        sandbox.serves().await;
        check(sandbox);
        load(sandbox, 1).await;
        sandbox.assert_equal().await;
        let mut source = sandbox.source().connect().await;
        let (ours, theirs) = (sandbox.status().await, source.gtid_position().await);
        assert_eq!(ours.text("binlog.gtid"), theirs);
        assert!(first(sandbox) > before);
    }
    assert!(!sandbox.proxy_log().contains("panicked"));
}

async fn without_a_proxy(sandbox: &Sandbox) {
    sandbox.edit_config("keep = ", "keep = \"all\"");
    load(sandbox, 4).await;
    sandbox.assert_equal().await;
    sandbox.stop(Part::Proxy);
    check(sandbox);
    let files = list(sandbox);

    // One wrong byte is found where it is.
    let oldest = first(sandbox);
    let path = path(sandbox, oldest);
    let whole = fs::read(&path).unwrap();
    let at = whole.len() / 2;
    let mut damaged = whole.clone();
    damaged[at] ^= 0x01;
    fs::write(&path, &damaged).unwrap();
    let (status, text) = run(sandbox, &["binlog", "check"]);
    assert_eq!(status, 1, "{text}");
    let said = format!("binlog.{oldest:06} is damaged at ");
    let (_, place) = text.split_once(&said).unwrap_or_else(|| panic!("{text}"));
    let (place, reason) = place.split_once(": ").unwrap();
    let place: usize = place.parse().unwrap();
    assert!(place <= at && at - place < 9 << 10, "{place} {at}");
    assert!(reason.contains("checksum"), "{reason}");
    fs::write(&path, &whole).unwrap();
    check(sandbox);

    // The replicas are asked by the command itself.
    sandbox.stop(REPLICA);
    let (status, text) = run(sandbox, &["binlog", "purge", "--keep", "64KiB"]);
    assert!(status == 0 && text.contains("0 files"), "{text}");
    assert!(text.contains("replica2 cannot be asked"), "{text}");
    assert_eq!(list(sandbox), files);
    sandbox.start(REPLICA);
    wait_until("the replica is up", SOON, async || {
        sandbox.replica(1).try_connect().await.map(|_| ())
    })
    .await;
    let (status, text) = run(sandbox, &["binlog", "purge", "--keep", "64KiB"]);
    assert!(status == 0 && text.contains(" purged"), "{text}");
    assert!(first(sandbox) > oldest);
    check(sandbox);
    sandbox.start(Part::Proxy);
    sandbox.serves().await;
    load(sandbox, 1).await;
    sandbox.assert_equal().await;
}

async fn beyond_the_utmost_they_go_and_the_replica_is_told(flavor: Flavor) {
    let sandbox = with_small_files(flavor, "100KiB").await;
    load(&sandbox, 2).await;
    sandbox.assert_equal().await;
    sandbox.stop(REPLICA);
    load(&sandbox, 4).await;
    let oldest = first(&sandbox);
    let config = sandbox.config();
    let most = config.replacen("keep = ", "keep_at_most = \"200KiB\"\nkeep = ", 1);
    sandbox.save_config(&most);
    purged_to(&sandbox, 200 << 10).await;
    assert!(first(&sandbox) > oldest);
    sandbox
        .logged("purged though it needed them: [binlog] keep_at_most")
        .await;
    sandbox.start(REPLICA);
    let told = match flavor {
        Flavor::MariaDb => "required binlog files have been purged",
        Flavor::MySql => "the source purged required binary logs",
    };
    sandbox
        .status_until("the replica is told", SOON, |status| {
            let problem = "replica2 needs binlog files before";
            let row = status.replica("replica2").unwrap();
            row.text("reason").contains(told)
                && row.text("reason").contains("1236")
                && (status.list("problems").iter()).any(|said| said.starts_with(problem))
        })
        .await;
    // The other one goes on.
    load(&sandbox, 1).await;
}
