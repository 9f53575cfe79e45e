//! One pass over the tokens of a statement. Memory does not depend on its length.

use std::iter::Peekable;

use super::names::{self, Spelling, Table};
use super::{Reading, Subject, Unsafe, Verdict};
use crate::ids::Flavor;
use crate::sql::lexer::{Lexer, Token};

/// The longest name in any of the lists.
const LONGEST: usize = 32;

/// A word in capitals.
struct Upper {
    bytes: [u8; LONGEST],
    length: usize,
}

impl Upper {
    fn of(word: &[u8]) -> Self {
        let mut bytes = [0; LONGEST];
        // What is longer is in no list.
        let length = if word.len() <= LONGEST { word.len() } else { 0 };
        bytes[..length].copy_from_slice(&word[..length]);
        bytes.make_ascii_uppercase();
        Self { bytes, length }
    }

    fn get(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// Depths of parentheses; those beyond the 64th are in none.
#[derive(Clone, Copy, Debug, Default)]
struct Depths(u64);

impl Depths {
    fn has(self, depth: u32) -> bool {
        self.0 & Self::bit(depth) != 0
    }

    fn set(&mut self, depth: u32, is_in: bool) {
        if is_in {
            self.0 |= Self::bit(depth);
        } else {
            self.0 &= !Self::bit(depth);
        }
    }

    fn bit(depth: u32) -> u64 {
        1_u64.checked_shl(depth).unwrap_or(0)
    }
}

/// Which statement it is, and how far in it we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// INSERT and REPLACE, up to what tells where the rows come from.
    Target {
        replaces: bool,
        ignores: bool,
    },
    /// The rows of INSERT IGNORE and so on are selected.
    InsertSelect,
    /// UPDATE [IGNORE], up to SET.
    Tables {
        /// IGNORE, and one table so far.
        ignores_one: bool,
        /// Parentheses around the tables themselves.
        around: u32,
    },
    /// CREATE TABLE, up to the query.
    Columns {
        /// IGNORE or REPLACE.
        duplicates: Option<Unsafe>,
    },
    Rest,
}

/// What came before a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    /// A name with a parenthesis behind it is a call here.
    Expression,
    /// It is a table, an index, a column.
    Name,
    Dot,
    Opening,
    Comma,
    /// FROM, JOIN.
    Tables,
}

pub(super) struct Scan<'a> {
    reading: Reading,
    lexer: Peekable<Tokens<'a>>,
    before: Before,
    depth: u32,
    /// Where commas separate tables.
    tables: Depths,
    /// Where commas separate the names that a WITH defines.
    defines: Depths,
    part: Part,
    /// FOR UPDATE, FOR SHARE, LOCK IN SHARE MODE.
    locks: bool,
    verdict: Verdict<'a>,
    /// CREATE … AUTO_INCREMENT, which matters once a query follows.
    numbers: bool,
    first_from_is_target: bool,
}

/// Tokens, each with what follows it at once.
#[derive(Clone, Debug)]
struct Tokens<'a>(Lexer<'a>);

#[derive(Clone, Copy, Debug)]
struct Spaced<'a> {
    token: Token<'a>,
    adjacent: Option<u8>,
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Spaced<'a>;

    fn next(&mut self) -> Option<Spaced<'a>> {
        let token = self.0.next()?;
        let adjacent = self.0.rest().first().copied();
        Some(Spaced { token, adjacent })
    }
}

impl<'a> Scan<'a> {
    pub(super) fn new(reading: Reading, text: &'a [u8]) -> Self {
        Self {
            reading,
            lexer: Tokens(Lexer::by(reading.server, text, reading.backslash)).peekable(),
            before: Before::Expression,
            depth: 0,
            tables: Depths::default(),
            defines: Depths::default(),
            part: Part::Rest,
            locks: false,
            verdict: Verdict::default(),
            numbers: false,
            first_from_is_target: false,
        }
    }

    pub(super) fn run(mut self) -> (Subject, Verdict<'a>) {
        if !self.head() {
            return (Subject::Other, Verdict::default());
        }
        while let Some(spaced) = self.lexer.next() {
            self.step(spaced);
        }
        // CREATE TABLE without a query.
        if let Part::Columns { .. } = self.part {
            return (Subject::Other, Verdict::default());
        }
        (Subject::Rows, self.verdict)
    }

    /// Of a text that is a part of something else: all of it counts.
    pub(super) fn expression(mut self) -> Verdict<'a> {
        while let Some(spaced) = self.lexer.next() {
            self.step(spaced);
        }
        self.verdict
    }

    fn add(&mut self, reason: Unsafe) {
        self.verdict.reasons.add(reason);
    }

    fn blame(&mut self, reason: Unsafe, culprit: &'a [u8]) {
        self.add(reason);
        self.verdict.culprit.get_or_insert(culprit);
    }

    fn peek_is(&mut self, word: &str) -> bool {
        self.lexer
            .peek()
            .is_some_and(|spaced| spaced.token.is_word(word))
    }

    fn peek_symbol(&mut self, symbol: u8) -> bool {
        self.lexer
            .peek()
            .is_some_and(|spaced| spaced.token.is_symbol(symbol))
    }

    fn eat(&mut self, word: &str) -> bool {
        self.lexer
            .next_if(|spaced| spaced.token.is_word(word))
            .is_some()
    }

    fn eat_symbol(&mut self, symbol: u8) -> bool {
        self.lexer
            .next_if(|spaced| spaced.token.is_symbol(symbol))
            .is_some()
    }

    /// `a`, `a.b`: a table's name, whatever it looks like.
    fn eat_name(&mut self) {
        self.lexer.next();
        while self.eat_symbol(b'.') {
            self.lexer.next();
        }
    }

    /// Up to where the pass begins; false for statements that are not judged.
    fn head(&mut self) -> bool {
        while let Some(spaced) = self.lexer.next() {
            let Token::Word(word) = spaced.token else {
                return false;
            };
            match Upper::of(word).get() {
                // SET STATEMENT … FOR another statement.
                b"SET" if self.peek_is("statement") => {
                    if !self.skip_to_depth_zero("for") {
                        return false;
                    }
                }
                b"WITH" => return self.common_tables(),
                verb => return self.verb(verb),
            }
        }
        false
    }

    /// Over everything up to this word outside of parentheses.
    fn skip_to_depth_zero(&mut self, word: &str) -> bool {
        let mut depth = 0_u32;
        for spaced in self.lexer.by_ref() {
            match spaced.token {
                Token::Symbol(b'(') => depth += 1,
                Token::Symbol(b')') => depth = depth.saturating_sub(1),
                token if depth == 0 && token.is_word(word) => return true,
                _ => {}
            }
        }
        false
    }

    /// WITH … in front of UPDATE or DELETE.
    fn common_tables(&mut self) -> bool {
        self.before = Before::Name;
        self.defines.set(0, true);
        while let Some(spaced) = self.lexer.next() {
            if self.depth == 0
                && let Token::Word(word) = spaced.token
            {
                match Upper::of(word).get() {
                    verb @ (b"UPDATE" | b"DELETE") => return self.verb(verb),
                    b"SELECT" | b"TABLE" | b"VALUES" => return false,
                    _ => {}
                }
            }
            self.step(spaced);
        }
        false
    }

    fn verb(&mut self, verb: &[u8]) -> bool {
        match verb {
            b"INSERT" | b"REPLACE" => {
                let replaces = verb == b"REPLACE";
                let mut ignores = false;
                loop {
                    if self.eat("ignore") {
                        ignores = true;
                    } else if !["low_priority", "delayed", "high_priority", "into"]
                        .into_iter()
                        .any(|word| self.eat(word))
                    {
                        break;
                    }
                }
                self.eat_name();
                self.part = Part::Target { replaces, ignores };
                self.before = Before::Name;
            }
            b"UPDATE" => {
                self.eat("low_priority");
                let ignores_one = self.eat("ignore");
                let mut around = 0;
                while self.eat_symbol(b'(') {
                    around += 1;
                }
                self.depth = around;
                self.part = Part::Tables {
                    ignores_one,
                    around,
                };
                self.read_tables();
            }
            b"DELETE" => self.first_from_is_target = true,
            b"LOAD" => {
                if self.skip_to_depth_zero("table") {
                    self.eat_name();
                }
                self.before = Before::Name;
            }
            b"CREATE" => {
                if self.eat("or") {
                    self.eat("replace");
                }
                self.eat("temporary");
                if !self.eat("table") {
                    return false;
                }
                if self.eat("if") {
                    self.eat("not");
                    self.eat("exists");
                }
                self.eat_name();
                self.part = Part::Columns { duplicates: None };
                self.before = Before::Name;
            }
            _ => return false,
        }
        true
    }

    fn step(&mut self, spaced: Spaced<'a>) {
        let before = std::mem::replace(&mut self.before, Before::Expression);
        match spaced.token {
            Token::Symbol(b'@') => self.variable(spaced),
            Token::Symbol(symbol) => self.symbol(symbol, before),
            Token::Name(name) => {
                self.name(name, before, Some(b'`'));
            }
            // A string; in ANSI_QUOTES a name.
            Token::Text(name) => {
                self.name(name, before, Some(b'"'));
            }
            Token::Word([b'0'..=b'9', ..]) => {}
            Token::Word(word) if before == Before::Dot => {
                self.name(word, before, None);
            }
            Token::Word(word) => self.word(word, before, spaced.adjacent),
        }
    }

    fn symbol(&mut self, symbol: u8, before: Before) {
        match symbol {
            b'(' => {
                // FROM (a, b), FROM (SELECT …
                let tables = before == Before::Tables;
                self.depth = self.depth.saturating_add(1);
                self.tables.set(self.depth, tables);
                self.defines.set(self.depth, false);
                self.before = if tables {
                    Before::Tables
                } else {
                    Before::Opening
                };
            }
            b')' => {
                self.locks = false;
                self.depth = self.depth.saturating_sub(1);
                // What follows is an alias with its columns, never a call.
                self.before = Before::Name;
            }
            b',' => {
                if let Part::Tables {
                    ignores_one,
                    around,
                } = &mut self.part
                    && self.depth <= *around
                {
                    *ignores_one = false;
                }
                self.before = if self.defines.has(self.depth) {
                    Before::Name
                } else if self.tables.has(self.depth) {
                    Before::Tables
                } else {
                    Before::Comma
                };
            }
            b'.' => self.before = Before::Dot,
            _ => {}
        }
    }

    /// `@a`, `@'a'`, `@@a`, `@@global.a`.
    fn variable(&mut self, at: Spaced<'a>) {
        if at.adjacent != Some(b'@') {
            self.lexer.next();
            return;
        }
        self.lexer.next();
        let Some(first) = self.lexer.next() else {
            return;
        };
        let first = first.token.text();
        let mut name = first;
        let mut scoped = false;
        while self.eat_symbol(b'.') {
            scoped = true;
            if let Some(next) = self.lexer.next() {
                name = next.token.text();
            }
        }
        let scope = Upper::of(first);
        let of_session = !scoped || matches!(scope.get(), b"SESSION" | b"LOCAL");
        let flavor = self.reading.server.flavor;
        if !of_session || !names::is_carried(flavor, Upper::of(name).get()) {
            self.blame(Unsafe::SystemVariable, name);
        }
    }

    /// Something that is a name here: of a table, where tables stand, or of a function in backquotes.
    fn name(&mut self, name: &'a [u8], before: Before, quote: Option<u8>) {
        if before == Before::Tables && self.peek_symbol(b'.') {
            self.table(name);
            return;
        }
        if before != Before::Dot
            && before != Before::Name
            && quote == Some(b'`')
            && self.peek_symbol(b'(')
        {
            let flavor = self.reading.server.flavor;
            if names::function(flavor, Upper::of(name).get()) == Some(Spelling::ByName) {
                self.blame(Unsafe::SystemFunction, name);
            }
        }
        self.before = Before::Expression;
    }

    /// `schema.table` where tables are read.
    fn table(&mut self, schema: &'a [u8]) {
        self.eat_symbol(b'.');
        let Some(table) = self.lexer.next() else {
            return;
        };
        let table = table.token.text();
        match Upper::of(schema).get() {
            b"PERFORMANCE_SCHEMA" => self.blame(Unsafe::SystemTable, table),
            b"MYSQL" => match names::table(self.reading.server.flavor, Upper::of(table).get()) {
                Some(Table::System) => self.blame(Unsafe::SystemTable, table),
                // UPDATE locks the rows of all its tables.
                Some(Table::Acl) if matches!(self.part, Part::Tables { .. }) => {}
                Some(Table::Acl) => self.blame(Unsafe::AclTable, table),
                None => {}
            },
            _ => {}
        }
        self.before = Before::Expression;
    }

    fn word(&mut self, word: &'a [u8], before: Before, adjacent: Option<u8>) {
        let upper = Upper::of(word);
        let upper = upper.get();
        let flavor = self.reading.server.flavor;
        if before == Before::Tables && self.peek_symbol(b'.') {
            self.table(word);
            return;
        }
        if self.peek_symbol(b'(') {
            self.call(word, upper, before, adjacent);
        } else if names::is_bare_function(flavor, upper) {
            self.blame(Unsafe::SystemFunction, word);
        }
        match upper {
            b"LIMIT" => self.limit(),
            b"FETCH" if flavor == Flavor::MariaDb => self.fetch(),
            b"OFFSET" if flavor == Flavor::MariaDb => self.offset(),
            b"PREVIOUS" if flavor == Flavor::MariaDb && self.peek_is("value") => {
                self.blame(Unsafe::SystemFunction, word);
            }
            b"FROM" if std::mem::take(&mut self.first_from_is_target) => self.eat_target(),
            b"FROM" | b"JOIN" | b"STRAIGHT_JOIN" => {
                self.read_tables();
            }
            // DELETE … USING; a JOIN's USING has columns in parentheses.
            b"USING" if !self.peek_symbol(b'(') => self.read_tables(),
            b"SELECT" => {
                self.locks = false;
                self.defines.set(self.depth, false);
                self.tables.set(self.depth, false);
            }
            b"WHERE" | b"GROUP" | b"ORDER" | b"HAVING" | b"UNION" | b"WINDOW" | b"SET" => {
                self.tables.set(self.depth, false);
            }
            b"FOR" if self.peek_is("update") || self.peek_is("share") => self.locks = true,
            b"LOCK" if self.peek_is("in") => self.locks = true,
            b"SKIP" if self.locks && self.peek_is("locked") => self.add(Unsafe::SkipLocked),
            b"NOWAIT" if self.locks && flavor == Flavor::MySql => self.add(Unsafe::NoWait),
            b"WITH"
                if !["rollup", "ties"]
                    .into_iter()
                    .any(|word| self.peek_is(word)) =>
            {
                self.defines.set(self.depth, true);
                self.before = Before::Name;
            }
            b"INTO" | b"TABLE" | b"KEY" | b"INDEX" | b"UNIQUE" | b"FULLTEXT" | b"SPATIAL"
            | b"REFERENCES" | b"AS" | b"RECURSIVE" => self.before = Before::Name,
            _ => {}
        }
        self.advance(upper, before);
    }

    fn read_tables(&mut self) {
        self.tables.set(self.depth, true);
        self.before = Before::Tables;
    }

    /// DELETE FROM this.
    fn eat_target(&mut self) {
        self.eat_name();
        self.before = Before::Name;
    }

    fn call(&mut self, word: &'a [u8], upper: &[u8], before: Before, adjacent: Option<u8>) {
        if before == Before::Name {
            return;
        }
        let Some(spelling) = names::function(self.reading.server.flavor, upper) else {
            return;
        };
        let is_call = match spelling {
            Spelling::ByName | Spelling::Keyword => true,
            Spelling::Adjacent => adjacent == Some(b'(') || self.reading.ignores_space,
        };
        if is_call {
            self.blame(Unsafe::SystemFunction, word);
        }
    }

    /// MariaDB knows that a literal LIMIT 0 is the same everywhere.
    fn limit(&mut self) {
        if self.reading.server.flavor == Flavor::MySql {
            self.add(Unsafe::Limit);
            return;
        }
        let mut count = self.lexer.next_if(|spaced| is_number(spaced.token));
        if self.eat_symbol(b',') {
            count = self.lexer.next_if(|spaced| is_number(spaced.token));
        }
        if !is_zero(count) {
            self.add(Unsafe::Limit);
        }
        // LIMIT n OFFSET m is no OFFSET of its own.
        if self.eat("offset") {
            self.lexer.next();
        }
    }

    /// FETCH FIRST n ROWS ONLY.
    fn fetch(&mut self) {
        if self.eat("first") || self.eat("next") {
            let count = self.lexer.next_if(|spaced| is_number(spaced.token));
            if !is_zero(count) {
                self.add(Unsafe::Limit);
            }
        }
    }

    /// OFFSET n ROWS.
    fn offset(&mut self) {
        self.lexer.next();
        if (self.eat("row") || self.eat("rows")) && !self.peek_is("fetch") {
            self.add(Unsafe::Limit);
        }
    }

    /// What the word is to the statement's own form.
    fn advance(&mut self, upper: &[u8], before: Before) {
        match &mut self.part {
            Part::Target { replaces, ignores } => {
                let (replaces, ignores) = (*replaces, *ignores);
                match upper {
                    b"VALUES" | b"SET" => self.part = Part::Rest,
                    b"VALUE" if self.depth == 0 => self.part = Part::Rest,
                    b"SELECT" | b"WITH" | b"TABLE" => {
                        self.part = Part::InsertSelect;
                        if replaces {
                            self.add(Unsafe::ReplaceSelect);
                        }
                        if ignores {
                            self.add(Unsafe::InsertIgnoreSelect);
                        }
                    }
                    _ => {}
                }
            }
            Part::InsertSelect => {
                if upper == b"ON" && self.depth == 0 && self.peek_is("duplicate") {
                    self.lexer.next();
                    if self.peek_is("key") {
                        self.tables.set(self.depth, false);
                        self.add(Unsafe::InsertSelectUpdate);
                    }
                }
            }
            Part::Tables { ignores_one, .. } => match upper {
                b"JOIN" | b"STRAIGHT_JOIN" => *ignores_one = false,
                b"SET" => {
                    let ignores_one = *ignores_one;
                    self.part = Part::Rest;
                    self.depth = 0;
                    if ignores_one {
                        self.add(Unsafe::UpdateIgnore);
                    }
                }
                _ => {}
            },
            Part::Columns { duplicates } => match upper {
                b"SELECT" => {
                    let duplicates = *duplicates;
                    self.query(duplicates);
                }
                b"TABLE" | b"VALUES" if self.depth == 0 => {
                    let duplicates = *duplicates;
                    self.query(duplicates);
                }
                b"IGNORE" if self.depth == 0 => *duplicates = Some(Unsafe::CreateIgnoreSelect),
                b"REPLACE" if self.depth == 0 => *duplicates = Some(Unsafe::CreateReplaceSelect),
                b"AUTO_INCREMENT" | b"SERIAL"
                    if self.depth > 0 && !matches!(before, Before::Opening | Before::Comma) =>
                {
                    self.numbers = true;
                }
                _ => {}
            },
            Part::Rest => {}
        }
    }

    /// The query of CREATE TABLE … SELECT begins.
    fn query(&mut self, duplicates: Option<Unsafe>) {
        self.part = Part::Rest;
        if let Some(reason) = duplicates {
            self.add(reason);
        }
        if self.numbers {
            self.add(Unsafe::CreateSelectAutoIncrement);
        }
    }
}

fn is_number(token: Token<'_>) -> bool {
    matches!(token, Token::Word(word) if word.iter().all(u8::is_ascii_digit))
}

fn is_zero(count: Option<Spaced<'_>>) -> bool {
    count.is_some_and(|count| count.token.text().iter().all(|digit| *digit == b'0'))
}
