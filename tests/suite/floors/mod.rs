//! Holds the floors of the architecture: a folder of `src/` imports only from lower floors, never
//! from another folder of its own and never from above; and inside a folder no files import each other
//! ([`circles`]).

mod circles;
mod paths;

use std::fmt;
use std::fs;
use std::path::Path;

/// Lowest first; a line is a floor. The last floor has an order of its own: each of its lines is a
/// step.
const FLOORS: &[&[&str]] = &[
    &["crash", "ids", "cursor", "shutdown", "units"],
    &["gtid", "stages", "version", "workers"],
    &["protocol", "event", "sql"],
    &["store", "net", "transcript"],
    &["ack", "tables"],
    &["capture", "ship", "topology"],
    &["session", "migrations", "provision", "verify"],
    &["failover"],
    &["admin"],
    &["config"],
    &["sandbox"],
    &["app"],
    &["cli"],
    &["main"],
];

fn floor(module: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&module))
}

#[derive(Debug, PartialEq, Eq)]
struct Violation {
    file: String,
    line: usize,
    what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "src/{}:{}: {}", self.file, self.line, self.what)
    }
}

/// Everything that `source`, the file `file` of `src/`, imports against the floors.
fn violations(file: &str, source: &str) -> Vec<Violation> {
    let violation = |line, what| Violation {
        file: file.to_owned(),
        line,
        what,
    };
    let module = paths::module_of(file);
    // The root declares the modules and stands above all of them.
    let own = module.first().cloned();
    let own_floor = match &own {
        None => FLOORS.len(),
        Some(name) => match floor(name) {
            Some(floor) => floor,
            None => return vec![violation(1, format!("'{name}' has no floor"))],
        },
    };
    let named = paths::named(file, source);
    let mut bad: Vec<Violation> = named
        .aliased_roots
        .into_iter()
        .map(|line| {
            violation(
                line,
                "another name for the crate's root hides imports".to_owned(),
            )
        })
        .collect();
    for path in named.paths {
        let line = path.line;
        let written = path.segments.join("::");
        let Some(target) = path.segments.first() else {
            bad.push(violation(
                line,
                "a glob of the crate's root hides imports".to_owned(),
            ));
            continue;
        };
        if own.as_ref() == Some(target) || (own.is_none() && floor(target).is_some()) {
            continue;
        }
        match floor(target) {
            // What an inline module of the binary names is its own.
            None if file == "main.rs" => {}
            None => bad.push(violation(line, format!("'{written}' is on no floor"))),
            Some(floor) if floor < own_floor => {}
            Some(floor) => {
                let direction = if floor == own_floor { "sideways" } else { "up" };
                bad.push(violation(line, format!("imports {direction}: '{written}'")));
            }
        }
    }
    bad.sort_by_key(|violation| violation.line);
    bad.dedup();
    bad
}

fn walk(dir: &Path, root: &Path, check: &mut impl FnMut(&str, &str)) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, root, check);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let file = path.strip_prefix(root).unwrap().to_str().unwrap();
            check(file, &fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn imports_go_down() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut bad, mut files) = (Vec::new(), 0);
    walk(&src, &src, &mut |file, source| {
        files += 1;
        bad.extend(violations(file, source));
    });
    assert!(files > 10, "the sources were not found");
    let list: Vec<String> = bad.iter().map(Violation::to_string).collect();
    assert!(bad.is_empty(), "\n{}\n", list.join("\n"));
}

/// A folder opens with its `mod.rs`, and with nothing beside it.
#[test]
fn folders_are_laid_in_one_way() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut beside = Vec::new();
    walk(&src, &src, &mut |file, _| {
        if src.join(file.trim_end_matches(".rs")).is_dir() {
            beside.push(file.to_owned());
        }
    });
    assert!(beside.is_empty(), "beside a folder of the name: {beside:?}");
}

/// Each of these must be noticed, on its line.
#[test]
fn planted_violations_are_found() {
    for (file, line, source) in [
        ("store/reader.rs", 1, "use crate::net::PacketStream;"),
        ("store/mod.rs", 1, "use super::net::PacketStream;"),
        ("store/a/b.rs", 1, "use super::super::super::ack::Acks;"),
        (
            "capture/mod.rs",
            2,
            "use crate::ids::Epoch;\npub use crate::ship::Dump;",
        ),
        (
            "ack/engine.rs",
            1,
            "pub(crate) use crate::session::Session as S;",
        ),
        (
            "capture/mod.rs",
            5,
            "use crate::{\n    ids::{Epoch, Level},\n    store::Store,\n    ship::{\n        Dump,\n    },\n};",
        ),
        (
            "gtid/set.rs",
            2,
            "fn f() {\n    crate::event::seal(&mut v, 1);\n}",
        ),
        ("gtid/set.rs", 1, "impl From<crate::sql::X> for Y {}"),
        ("gtid/set.rs", 1, "fn f(x: &'static crate::sql::X) {}"),
        (
            "gtid/mod.rs",
            1,
            "mod tests { mod deep { use super::super::super::event; } }",
        ),
        (
            "gtid/mod.rs",
            1,
            "mod tests { fn f() { if a { b } } use super::super::event; }",
        ),
        (
            "gtid/mod.rs",
            1,
            "/* crate::ids */ vec![crate::store::X { a: 1 }]",
        ),
        (
            "gtid/mod.rs",
            1,
            "let s = \"\\\"\"; let c = '\"'; crate::store::open();",
        ),
        (
            "gtid/mod.rs",
            1,
            "let s = r#\"a\"b\"#; crate::store::open();",
        ),
        (
            "gtid/mod.rs",
            1,
            "macro_rules! m { () => { $crate::store::open() } }",
        ),
        ("gtid/mod.rs", 1, "use crate as root;"),
        ("gtid/mod.rs", 1, "use super as root;"),
        ("gtid/mod.rs", 1, "use crate::*;"),
        ("gtid/mod.rs", 1, "use super::{self as root, ids};"),
        ("gtid/mod.rs", 1, "use crate::{ids as a, store as b};"),
        ("event/mod.rs", 1, "use crate::Nonsense;"),
        ("gtid/mod.rs", 1, "pub(in crate::store) struct X;"),
        ("cursor.rs", 1, "use crate::ids::Epoch;"),
        ("config.rs", 1, "use crate::app::App;"),
        ("app.rs", 1, "use crate::cli::Cli;"),
        ("sandbox/mod.rs", 1, "use crate::app::run;"),
        ("cli/mod.rs", 1, "crate::main::run();"),
        ("helpers.rs", 1, ""),
    ] {
        let found = violations(file, source);
        let lines: Vec<usize> = found.iter().map(|violation| violation.line).collect();
        // A group is reported where each of its paths stands.
        assert_eq!(lines, [line], "{file}: {source}\n{found:?}");
    }
}

#[test]
fn what_goes_down_or_is_no_path_is_left_alone() {
    for (file, source) in [
        (
            "store/reader.rs",
            "use crate::event::{self, checksum::{seal, verify}, *};",
        ),
        (
            "store/reader.rs",
            "use super::{Error, Shared, writer::{self, Writer}};",
        ),
        (
            "store/a/b.rs",
            "use super::super::{Error, super::event::Header};",
        ),
        (
            "store/mod.rs",
            "mod tests { use super::*; mod deep { use super::super::X; } } use self::sync::Y;",
        ),
        (
            "store/mod.rs",
            "pub(crate) fn f(self) -> Self { self.x; pub(super) struct X; }",
        ),
        (
            "store/mod.rs",
            "// crate::app\n/* crate::app /* */ super::super::app */ \"crate::app\"",
        ),
        (
            "store/mod.rs",
            "r##\"crate::app \"# \"##; b\"crate::app\"; 'c'; '\\''; '\\u{7f}'; r#type",
        ),
        (
            "store/mod.rs",
            "fn f<'crate_a>(x: &'crate_a str) {} std::net::lookup(); x::crate_app();",
        ),
        (
            "lib.rs",
            "pub mod app; pub use crate::ids::Epoch; //! [`crate::app`]",
        ),
        (
            "main.rs",
            "use ackline::cli; fn main() { ackline::app::run() }",
        ),
        ("cli/status.rs", "use crate::{app, config, sandbox};"),
        (
            "app.rs",
            "use crate::{admin::x, config::Config, session, store::Store};",
        ),
        ("ids.rs", "use std::fmt;"),
    ] {
        assert_eq!(violations(file, source), [], "{file}: {source}");
    }
}
