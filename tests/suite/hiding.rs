//! Statements that are refused, hidden in every way that we know of, and sent to real servers: whatever changed
//! the variable there, the reading of the text has found.

use ackline::sql::hazard;
use ackline::sql::lexer::Backslash;
use mysql_async::prelude::Queryable;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::support::{Flavor, Sandbox, on_both_flavors};

on_both_flavors![what_changed_the_variable_was_found];

/// A long run: ACKLINE_HIDING=20000.
const SHORT: usize = 1_500;

const CHARSETS: [&str; 8] = [
    "utf8mb4", "latin1", "gbk", "sjis", "big5", "cp932", "gb18030", "eucjpms",
];
/// What stands in quotes before and behind it.
const INSIDES: [&[u8]; 16] = [
    b"a",
    b"\\",
    b"\\\\",
    b"\xbf\\",
    b"\x95\\",
    b"\xa4\\",
    b"\xbf\xbf\\",
    b"\xb1\\",
    b"''",
    b"\\'",
    b"\"\"",
    b"\\\"",
    b"``",
    b"\xbf`",
    b"\xc3\xa9\\",
    b"/*",
];
const HARMLESS: [&[u8]; 8] = [
    b"SELECT 1",
    b"SET autocommit=1",
    b"SET @a='it''s; set sql_log_bin=0'",
    b"SELECT 'a;b', \"c;d\", `sql_log_bin` FROM (SELECT 1 AS sql_log_bin) AS t",
    b"SELECT 1 /* SET sql_log_bin=0 */",
    b"SELECT 1 -- ; SET sql_log_bin=0",
    b"SET sql_log_bin=1",
    b"SELECT '\\\\', 'it\\'s; SET sql_log_bin=0'",
];

pub struct Generator {
    random: ChaCha8Rng,
    flavor: Flavor,
}

impl Generator {
    pub fn new(flavor: Flavor) -> Self {
        Self {
            random: ChaCha8Rng::seed_from_u64(16),
            flavor,
        }
    }

    fn one<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of.choose(&mut self.random).copied().unwrap()
    }

    fn statement(&mut self) -> Vec<u8> {
        let plain: [&[u8]; 8] = [
            b"SET sql_log_bin=0",
            b"set @@session.sql_log_bin = 0",
            b"SET SESSION sql_log_bin:=0",
            b"SET @a=1, sql_log_bin=OFF",
            b"SET `sql_log_bin`=0",
            b"sql_log_bin := 0",
            "SET sql_l\u{f6}g_bin=0".as_bytes(),
            b"SET sql_l\xf6g_bin=0",
        ];
        self.one(&plain).to_vec()
    }

    fn literal(&mut self, quote: u8) -> Vec<u8> {
        let inside = self.one(&INSIDES);
        [&[quote], inside, &[quote]].concat()
    }

    pub fn hidden(&mut self) -> Vec<u8> {
        let mut text = self.statement();
        for _ in 0..self.random.random_range(1..=3) {
            text = self.wrapped(text);
        }
        text
    }

    fn wrapped(&mut self, text: Vec<u8>) -> Vec<u8> {
        let name = self.one(CHARSETS.as_slice());
        match self.random.random_range(0..12) {
            0..=2 => {
                let quote = self.random.random_range(0..3);
                let quote = [b'\'', b'"', b'`'][quote];
                let (before, after) = (self.literal(quote), self.literal(quote));
                [
                    b"SELECT 1 AS ",
                    &before[..],
                    b"; ",
                    &text,
                    b"; SELECT 1 AS ",
                    &after,
                ]
                .concat()
            }
            3 => {
                let (before, after) = (self.literal(b'\''), self.literal(b'\''));
                [b"SELECT ", &before[..], b"; ", &text, b"; SELECT ", &after].concat()
            }
            4 => [b"/*! ", &text[..], b" */"].concat(),
            5 => [b"/*!99999 ' */; ", &text[..], b" -- '"].concat(),
            6 => [b"SELECT 1; # '\n", &text[..]].concat(),
            7 => [b"SET NAMES ", name.as_bytes(), b"; ", &text[..]].concat(),
            8 => {
                let mode: &[u8] = self.one(&[
                    &b"NO_BACKSLASH_ESCAPES"[..],
                    b"ANSI_QUOTES",
                    b"ANSI_QUOTES,NO_BACKSLASH_ESCAPES",
                    b"",
                ]);
                [b"SET sql_mode='", mode, b"'; ", &text].concat()
            }
            9 if self.flavor == Flavor::MariaDb => {
                [b"BEGIN NOT ATOMIC ", &text[..], b"; END"].concat()
            }
            10 => {
                let quoted: Vec<u8> = text
                    .iter()
                    .flat_map(|byte| match byte {
                        b'\'' | b'\\' => vec![b'\\', *byte],
                        other => vec![*other],
                    })
                    .collect();
                [b"PREPARE s FROM '", &quoted[..], b"'; EXECUTE s"].concat()
            }
            _ => [b"SELECT 1;", &text[..]].concat(),
        }
    }
}

async fn what_changed_the_variable_was_found(flavor: Flavor) {
    let sandbox = Sandbox::up(&[
        "--replicas",
        "0",
        "--mode",
        "async",
        "--flavor",
        &flavor.to_string(),
    ])
    .await;
    let count = std::env::var("ACKLINE_HIDING");
    let count = count.map_or(SHORT, |text| text.parse().expect("a number"));
    let mut generator = Generator::new(flavor);
    let mut source = sandbox.source().connect().await;
    let (mut changed, mut in_vain) = (0, 0);
    for number in 0..count {
        let mode = match (generator.random.random_range(0..8), flavor) {
            (0, _) => "NO_BACKSLASH_ESCAPES",
            (1, _) => "ANSI_QUOTES",
            (2, Flavor::MariaDb) => "ORACLE",
            _ => "",
        };
        let charset = generator.one(CHARSETS.as_slice());
        for statement in [
            "SET sql_log_bin=1".to_owned(),
            "SET SESSION sql_mode=DEFAULT".to_owned(),
            format!("SET SESSION sql_mode='{mode}'"),
            format!("SET NAMES {charset}"),
        ] {
            // MariaDB has no GB18030.
            let _ = source.try_run(&statement).await;
        }
        let text = generator.hidden();
        // Most are no SQL to most modes and charsets.
        let _ = source.conn.query_drop(&text[..]).await;
        source.run("SET NAMES utf8mb4").await;
        let now = source.value("SELECT @@sql_log_bin").await;
        let backslash = match mode {
            "NO_BACKSLASH_ESCAPES" => Backslash::IsPlain,
            _ => Backslash::Escapes,
        };
        let found = hazard::find(&text, backslash);
        let shown = String::from_utf8_lossy(&text);
        match now.as_str() {
            "0" => {
                changed += 1;
                assert!(
                    found.is_some(),
                    "{number}: {mode} {charset}: {shown} {text:02x?}"
                );
            }
            _ => in_vain += usize::from(found.is_some()),
        }
    }
    println!("{flavor}: {count} texts, {changed} changed it, {in_vain} others were refused");
    assert!(changed > count / 20, "{changed} of {count}");
    for text in HARMLESS {
        let found = hazard::find(text, Backslash::Escapes);
        assert_eq!(found, None, "{}", String::from_utf8_lossy(text));
    }
}
