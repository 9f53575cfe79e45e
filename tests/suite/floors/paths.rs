//! What the sources name, read token by token, so that every path counts: `use` with nested groups over
//! many lines, `pub use`, inline paths in code, signatures and macros, `super::super::`, and paths within
//! inline modules. Comments and strings do not.

use std::collections::BTreeMap;

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
pub fn module_of(file: &str) -> Module {
    let stem = file.trim_end_matches(".rs");
    let stem = stem.strip_suffix("/mod").unwrap_or(stem);
    match stem {
        "lib" => Vec::new(),
        stem => stem.split('/').map(str::to_owned).collect(),
    }
}

/// The names from the crate's root on.
pub type Module = Vec<String>;

/// More modules are in no path.
pub const DEEPEST: usize = 16;

/// What one file names.
#[derive(Debug, Default)]
pub struct Named {
    pub paths: Vec<Path>,
    /// Lines that give the crate's root another name.
    pub aliased_roots: Vec<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    pub segments: Module,
    pub line: usize,
    /// Within the file's inline module `tests`.
    pub in_tests: bool,
}

/// Everything that `source`, the file `file` of `src/`, names of this crate.
pub fn named(file: &str, source: &str) -> Named {
    let tokens = tokens(source);
    let mut reader = Reader {
        tokens: &tokens,
        at: 0,
        // A binary is its own root, as its `super` would be.
        module: if file == "main.rs" {
            Vec::new()
        } else {
            module_of(file)
        },
        inline: Vec::new(),
        depth: 0,
        binary: file == "main.rs",
        found: Named::default(),
    };
    reader.run();
    reader.found
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
    found: Named,
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
                    self.push(base, line);
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
                self.found.aliased_roots.push(line);
            }
        } else if named > 0 || self.word(0) == Some("as") {
            self.push(base, line);
        }
    }

    fn push(&mut self, segments: Vec<String>, line: usize) {
        let inline = &self.module[self.module.len() - self.inline.len()..];
        self.found.paths.push(Path {
            segments,
            line,
            in_tests: inline.iter().any(|name| name == "tests"),
        });
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
                // The module itself.
                Token::Word(word) if word == "self" && !base.is_empty() => {
                    let line = self.tokens[self.at].1;
                    self.push(base.to_vec(), line);
                    self.at += 1;
                }
                Token::Word(_) | Token::Other('*' | '{') => self.path(base.to_vec()),
                _ => self.at += 1,
            }
        }
    }
}

/// What the `use` lines of a module bring into it, by the names that it has there. Without its `tests`.
pub fn names(module: &[String], source: &str) -> BTreeMap<String, Module> {
    let tokens: Vec<Token> = tokens(source).into_iter().map(|(token, _)| token).collect();
    let word = |text: &str| Token::Word(text.to_owned());
    let tests = [word("mod"), word("tests"), Token::Other('{')];
    let end = tokens.windows(3).position(|three| *three == tests);
    let mut rest = &tokens[..end.unwrap_or(tokens.len())];
    let mut names = BTreeMap::new();
    while let Some((token, behind)) = rest.split_first() {
        rest = behind;
        if *token == word("use") {
            tree(&mut rest, module.to_vec(), &mut names);
        }
    }
    names
}

/// One tree of a `use` line, or a branch of it.
fn tree(rest: &mut &[Token], mut path: Module, names: &mut BTreeMap<String, Module>) {
    while let [token, behind @ ..] = *rest {
        match token {
            Token::Path => {}
            Token::Word(word) => match (word.as_str(), behind) {
                ("as", [Token::Word(name), behind @ ..]) => {
                    *rest = behind;
                    names.insert(name.clone(), path);
                    return;
                }
                ("crate", _) => path.clear(),
                ("super", _) => drop(path.pop()),
                ("self", _) => {}
                (name, _) => path.push(name.to_owned()),
            },
            Token::Other('{') => {
                *rest = behind;
                while let [token, behind @ ..] = *rest {
                    match token {
                        Token::Word(_) => tree(rest, path.clone(), names),
                        Token::Other('}') => {
                            *rest = behind;
                            return;
                        }
                        _ => *rest = behind,
                    }
                }
                return;
            }
            Token::Other(_) => break,
        }
        *rest = behind;
    }
    if let Some(name) = path.last().cloned() {
        names.insert(name, path);
    }
}
