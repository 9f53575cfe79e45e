//! Inside a floor the parts of a folder do not import each other, be it through others.
//!
//! The parts of a folder are its files, and its folders, each as a whole. Its `mod.rs` is none of them: it
//! declares them and shows them to the outside, and they take from it what they share. A name that it shows
//! (`pub use`) is followed to the part that it comes from. What a file's own `tests` name does not count.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;

use super::paths::{self, Module};

/// Of each part of a folder which others it imports, and where.
type Parts = BTreeMap<String, BTreeMap<String, String>>;

/// The files of `src/` as modules, and what the `use` lines of each call by a name of their own.
struct Modules(BTreeMap<Module, BTreeMap<String, Module>>);

impl Modules {
    fn of(sources: &[(String, String)]) -> Self {
        let modules = sources.iter().map(|(file, source)| {
            let module = paths::module_of(file);
            let names = paths::names(&module, source);
            (module, names)
        });
        Self(modules.collect())
    }

    /// The file in which the item of this path is.
    fn home(&self, mut path: Module) -> Option<Module> {
        // However often it is shown on.
        for _ in 0..paths::DEEPEST {
            let known = |depth: &usize| self.0.contains_key(&path[..*depth]);
            let depth = (1..=path.len()).rev().find(known)?;
            let item = path.split_off(depth);
            let shown = item.first().and_then(|name| self.0[&path].get(name));
            let Some(shown) = shown.filter(|shown| shown.first() == path.first()) else {
                return Some(path);
            };
            path = [shown, &item[1..]].concat();
        }
        None
    }
}

/// The parts of every folder.
fn folders(sources: &[(String, String)]) -> BTreeMap<Module, Parts> {
    let modules = Modules::of(sources);
    let mut folders: BTreeMap<Module, Parts> = BTreeMap::new();
    for (file, source) in sources {
        let own = paths::module_of(file);
        for path in paths::named(file, source).paths {
            let Some(other) = modules.home(path.segments).filter(|_| !path.in_tests) else {
                continue;
            };
            let shared = own.iter().zip(&other).take_while(|(a, b)| a == b).count();
            // The folders of `src/` have floors.
            if shared == 0 {
                continue;
            }
            if let (Some(part), Some(imported)) = (own.get(shared), other.get(shared)) {
                let parts = folders.entry(own[..shared].to_vec()).or_default();
                let imports = parts.entry(part.clone()).or_default();
                let place = format!("src/{file}:{}", path.line);
                imports.entry(imported.clone()).or_insert(place);
            }
        }
    }
    folders
}

/// The shortest way from this part back to itself.
fn circle<'a>(parts: &'a Parts, from: &'a str) -> Option<Vec<&'a str>> {
    let mut ways = VecDeque::from([vec![from]]);
    let mut met = BTreeSet::new();
    while let Some(way) = ways.pop_front() {
        for next in parts.get(*way.last()?).into_iter().flat_map(BTreeMap::keys) {
            let further = [&way[..], &[next.as_str()]].concat();
            if next == from {
                return Some(further);
            }
            if met.insert(next) {
                ways.push_back(further);
            }
        }
    }
    None
}

/// A sentence for each circle.
fn circles(sources: &[(String, String)]) -> Vec<String> {
    let mut found = Vec::new();
    for (folder, parts) in &folders(sources) {
        let mut named = BTreeSet::new();
        for part in parts.keys() {
            let Some(circle) = circle(parts, part).filter(|_| !named.contains(part.as_str()))
            else {
                continue;
            };
            named.extend(circle.iter().copied());
            let places = circle
                .windows(2)
                .map(|pair| parts[pair[0]][pair[1]].as_str());
            let places: Vec<&str> = places.collect();
            let (folder, circle) = (folder.join("/"), circle.join(" → "));
            found.push(format!("src/{folder}: {circle} ({})", places.join(", ")));
        }
    }
    found
}

#[test]
fn parts_of_a_folder_do_not_import_each_other() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut sources = Vec::new();
    super::walk(&src, &src, &mut |file, source| {
        sources.push((file.to_owned(), source.to_owned()));
    });
    let found = circles(&sources);
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

fn circles_of(sources: &[(&str, &str)]) -> Vec<String> {
    let owned = |(file, source): &(&str, &str)| (file.to_string(), source.to_string());
    circles(&sources.iter().map(owned).collect::<Vec<_>>())
}

#[test]
fn planted_circles_are_found() {
    let planted: &[(&[(&str, &str)], &str)] = &[
        (
            &[
                ("ack/a.rs", "\nuse super::b::B;"),
                ("ack/b.rs", "fn f() { crate::ack::a::A::new() }"),
            ],
            "src/ack: a → b → a (src/ack/a.rs:2, src/ack/b.rs:1)",
        ),
        // Through a third.
        (
            &[
                ("ack/a.rs", "use super::{Error, b};"),
                ("ack/b.rs", "use super::c::{self};"),
                ("ack/c.rs", "use crate::ack::a::*;"),
            ],
            "src/ack: a → b → c → a (src/ack/a.rs:1, src/ack/b.rs:1, src/ack/c.rs:1)",
        ),
        // By a name that the folder shows.
        (
            &[
                ("ack/mod.rs", "mod a; mod b; pub use self::{a::{A as C}};"),
                ("ack/a.rs", "use super::b::B;"),
                ("ack/b.rs", "use super::C;"),
            ],
            "src/ack: a → b → a (src/ack/a.rs:1, src/ack/b.rs:1)",
        ),
        // By one that is shown twice.
        (
            &[
                ("ack/mod.rs", "pub use a::A;"),
                ("ack/a/mod.rs", "pub(super) use deep::A;"),
                ("ack/a/deep.rs", "use crate::ack::b;"),
                ("ack/b.rs", "use super::A;"),
            ],
            "src/ack: a → b → a (src/ack/a/deep.rs:1, src/ack/b.rs:1)",
        ),
        // A folder is one part of the folder around it, and has parts of its own.
        (
            &[
                ("ack/a/deep.rs", "use crate::ack::b::B;"),
                ("ack/a/mod.rs", "mod deep;"),
                ("ack/b.rs", "use super::a;"),
            ],
            "src/ack: a → b → a (src/ack/a/deep.rs:1, src/ack/b.rs:1)",
        ),
        (
            &[
                ("ack/a/b.rs", "use super::c::C;"),
                ("ack/a/c.rs", "use super::super::a::b::B;"),
            ],
            "src/ack/a: b → c → b (src/ack/a/b.rs:1, src/ack/a/c.rs:1)",
        ),
    ];
    for (sources, circle) in planted {
        assert_eq!(circles_of(sources), [*circle], "{sources:?}");
    }
}

#[test]
fn what_is_no_circle_is_left_alone() {
    let good: &[&[(&str, &str)]] = &[
        // A folder and its parts.
        &[
            (
                "ack/mod.rs",
                "mod a; mod b; pub use a::A; fn f() { b::f() }",
            ),
            ("ack/a.rs", "use super::{Error, b::B};"),
            ("ack/b.rs", "use super::Error;"),
        ],
        // What tests need is not needed by what runs.
        &[
            ("ack/a.rs", "use super::b::B;"),
            ("ack/b.rs", "mod tests { use crate::ack::a::A; }"),
        ],
        // The same names elsewhere.
        &[
            ("ack/a.rs", "use super::b::B; use std::b;"),
            ("ack/b.rs", "use crate::store::a::A;"),
            ("store/a.rs", ""),
        ],
    ];
    for sources in good {
        assert_eq!(circles_of(sources), [""; 0], "{sources:?}");
    }
}
