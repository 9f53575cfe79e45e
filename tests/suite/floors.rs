//! Holds the floors of the architecture: a folder of `src/` imports only from lower floors, never
//! from another folder of its own and never from above.
//!
//! Reads the sources token by token, so that every path counts: `use` with nested groups over many
//! lines, `pub use`, inline paths in code, signatures and macros, `super::super::`, and paths within
//! inline modules. Comments and strings do not.

use std::fmt;
use std::fs;
use std::path::Path;

/// Lowest first; a line is a floor. The last floor has an order of its own: each of its lines is a
/// step.
const FLOORS: &[&[&str]] = &[
    &["ids", "cursor", "shutdown", "units"],
    &["gtid", "stages", "version", "workers"],
    &["protocol", "event", "sql"],
    &["store", "net"],
    &["ack"],
    &["capture", "ship", "topology"],
    &["session"],
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

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    /// `::`
    Path,
    Other(char),
}

/// Words, `::` and single characters with their lines; no comments, no literals.
fn tokens(source: &str) -> Vec<(Token, usize)> {
    let chars: Vec<char> = source.chars().collect();
    let at = |index: usize| chars.get(index).copied().unwrap_or('\0');
    let word = |c: char| c.is_alphanumeric() || c == '_';
    let mut found = Vec::new();
    let (mut i, mut line) = (0, 1);
    while i < chars.len() {
        let start = i;
        match at(i) {
            '/' if at(i + 1) == '/' => {
                while i < chars.len() && at(i) != '\n' {
                    i += 1;
                }
            }
            '/' if at(i + 1) == '*' => {
                let mut depth = 0;
                loop {
                    match (at(i), at(i + 1)) {
                        ('/', '*') => (depth, i) = (depth + 1, i + 2),
                        ('*', '/') => (depth, i) = (depth - 1, i + 2),
                        _ => i += 1,
                    }
                    if depth == 0 || i >= chars.len() {
                        break;
                    }
                }
            }
            '"' => i = string_end(&chars, i),
            '\'' => {
                // A character literal; else a lifetime.
                if at(i + 1) == '\\' {
                    i += 3;
                    while i < chars.len() && at(i) != '\'' {
                        i += 1;
                    }
                    i += 1;
                } else if at(i + 2) == '\'' {
                    i += 3;
                } else {
                    i += 1;
                }
            }
            c if word(c) => {
                while word(at(i)) {
                    i += 1;
                }
                let text: String = chars[start..i].iter().collect();
                let prefix = matches!(text.as_str(), "r" | "b" | "br" | "c" | "cr");
                if prefix && at(i) == '"' && !text.ends_with('r') {
                    i = string_end(&chars, i);
                } else if prefix && text.ends_with('r') && matches!(at(i), '"' | '#') {
                    i = raw_string_end(&chars, i);
                } else {
                    found.push((Token::Word(text), line));
                }
            }
            ':' if at(i + 1) == ':' => {
                found.push((Token::Path, line));
                i += 2;
            }
            c => {
                if !c.is_whitespace() {
                    found.push((Token::Other(c), line));
                }
                i += 1;
            }
        }
        let end = i.min(chars.len());
        line += chars[start..end].iter().filter(|c| **c == '\n').count();
    }
    found
}

fn string_end(chars: &[char], quote: usize) -> usize {
    let mut i = quote + 1;
    while i < chars.len() && chars[i] != '"' {
        i += if chars[i] == '\\' { 2 } else { 1 };
    }
    i + 1
}

/// From the hashes or the quote on; a raw identifier (`r#type`) ends at once.
fn raw_string_end(chars: &[char], from: usize) -> usize {
    let hashes = chars[from..].iter().take_while(|c| **c == '#').count();
    if chars.get(from + hashes) != Some(&'"') {
        return from + hashes;
    }
    let mut i = from + hashes + 1;
    while i < chars.len() {
        let closing = chars[i] == '"' && chars[i + 1..].iter().take(hashes).all(|c| *c == '#');
        if closing && chars.len() > i + hashes {
            return i + 1 + hashes;
        }
        i += 1;
    }
    i
}

/// The module that a file of `src/` is: `ship/dump.rs` is `ship::dump`, `ship/mod.rs` is `ship`.
fn module_of(file: &str) -> Vec<String> {
    let stem = file.trim_end_matches(".rs");
    let stem = stem.strip_suffix("/mod").unwrap_or(stem);
    match stem {
        "lib" => Vec::new(),
        stem => stem.split('/').map(str::to_owned).collect(),
    }
}

struct Reader<'a> {
    tokens: &'a [(Token, usize)],
    at: usize,
    /// Of the file, then the inline modules around, each with the depth of its braces.
    module: Vec<String>,
    inline: Vec<usize>,
    depth: usize,
    /// The package's own name is the crate's root for a binary.
    binary: bool,
    /// Absolute path and line of everything that is named.
    found: Vec<(Vec<String>, usize)>,
    aliased_roots: Vec<usize>,
}

impl Reader<'_> {
    fn token(&self, ahead: usize) -> Option<&Token> {
        self.tokens.get(self.at + ahead).map(|(token, _)| token)
    }

    fn word(&self, ahead: usize) -> Option<&str> {
        match self.token(ahead) {
            Some(Token::Word(word)) => Some(word),
            _ => None,
        }
    }

    fn other(&self, ahead: usize) -> Option<char> {
        match self.token(ahead) {
            Some(Token::Other(c)) => Some(*c),
            _ => None,
        }
    }

    fn run(&mut self) {
        while self.at < self.tokens.len() {
            let continued = self.at > 0 && self.tokens[self.at - 1].0 == Token::Path;
            match self.word(0) {
                Some("mod") if self.word(1).is_some() && self.other(2) == Some('{') => {
                    let name = self.word(1).unwrap_or_default().to_owned();
                    self.module.push(name);
                    self.depth += 1;
                    self.inline.push(self.depth);
                    self.at += 3;
                    continue;
                }
                Some("crate" | "super" | "self") if !continued => {
                    self.path(self.module.clone());
                    continue;
                }
                Some("ackline") if self.binary && self.token(1) == Some(&Token::Path) => {
                    self.path(Vec::new());
                    continue;
                }
                _ => {}
            }
            match self.other(0) {
                Some('{') => self.depth += 1,
                Some('}') => {
                    if self.inline.last() == Some(&self.depth) {
                        self.inline.pop();
                        self.module.pop();
                    }
                    self.depth = self.depth.saturating_sub(1);
                }
                _ => {}
            }
            self.at += 1;
        }
    }

    /// Reads one path, or one tree of a `use`, that begins in `base`.
    fn path(&mut self, mut base: Vec<String>) {
        let line = self.tokens[self.at].1;
        let mut named = 0;
        loop {
            match self.token(0) {
                Some(Token::Word(word)) => {
                    match word.as_str() {
                        "crate" => base.clear(),
                        "ackline" if self.binary && named == 0 => base.clear(),
                        "super" => drop(base.pop()),
                        "self" => {}
                        name => {
                            base.push(name.to_owned());
                            named += 1;
                        }
                    }
                    self.at += 1;
                }
                Some(Token::Other('{')) => {
                    self.group(&base);
                    return;
                }
                Some(Token::Other('*')) => {
                    self.at += 1;
                    self.found.push((base, line));
                    return;
                }
                // A turbofish, or the end of the tokens.
                _ => break,
            }
            if self.token(0) != Some(&Token::Path) {
                break;
            }
            self.at += 1;
        }
        if base.is_empty() {
            // `pub(crate)` names nothing; another name for the root would hide what follows it.
            if self.word(0) == Some("as") {
                self.aliased_roots.push(line);
            }
        } else if named > 0 || self.word(0) == Some("as") {
            self.found.push((base, line));
        }
    }

    fn group(&mut self, base: &[String]) {
        self.at += 1;
        while let Some(token) = self.token(0) {
            match token {
                Token::Other('}') => {
                    self.at += 1;
                    return;
                }
                Token::Word(word) if word == "as" => self.at += 2,
                Token::Word(_) | Token::Other('*' | '{') => self.path(base.to_vec()),
                _ => self.at += 1,
            }
        }
    }
}

/// Everything that `source`, the file `file` of `src/`, imports against the floors.
fn violations(file: &str, source: &str) -> Vec<Violation> {
    let violation = |line, what| Violation {
        file: file.to_owned(),
        line,
        what,
    };
    let module = module_of(file);
    // The root declares the modules and stands above all of them.
    let own = module.first().cloned();
    let own_floor = match &own {
        None => FLOORS.len(),
        Some(name) => match floor(name) {
            Some(floor) => floor,
            None => return vec![violation(1, format!("'{name}' has no floor"))],
        },
    };
    let tokens = tokens(source);
    let mut reader = Reader {
        tokens: &tokens,
        at: 0,
        // A binary is its own root, as its `super` would be.
        module: if file == "main.rs" {
            Vec::new()
        } else {
            module
        },
        inline: Vec::new(),
        depth: 0,
        binary: file == "main.rs",
        found: Vec::new(),
        aliased_roots: Vec::new(),
    };
    reader.run();
    let mut bad: Vec<Violation> = reader
        .aliased_roots
        .into_iter()
        .map(|line| {
            violation(
                line,
                "another name for the crate's root hides imports".to_owned(),
            )
        })
        .collect();
    for (path, line) in reader.found {
        let written = path.join("::");
        let Some(target) = path.first() else {
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
