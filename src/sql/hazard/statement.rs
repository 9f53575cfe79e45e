//! One statement after another, token by token. Nothing is kept of a statement but where we are in it.

use super::Hazard;
use super::variable::{Scope, Target};
use crate::sql::lexer::Token;
use crate::sql::requirement;

#[derive(Clone, Debug, Default)]
pub(super) struct Statements {
    at: At,
    found: Option<Hazard>,
    /// One of them sets [`crate::sql::requirement::VARIABLE`].
    sets_requirement: bool,
}

#[derive(Clone, Debug, Default)]
enum At {
    /// The next word says what it is.
    #[default]
    Start,
    /// Rows are read or written: up to the semicolon nothing else can come.
    Rows,
    /// Something else, in which a compound statement may open.
    Other,
    /// CREATE, ALTER: of what?
    Create,
    /// ALTER INSTANCE.
    Instance,
    /// A routine or an event, up to its body; also a handler.
    Head {
        /// A SET behind it begins no statement.
        after_character: bool,
    },
    /// A trigger, up to FOR EACH ROW.
    Trigger,
    Set(Set),
    Reset {
        /// Until a comma nothing else is reset.
        listed: bool,
    },
    Flush,
    Purge,
    Change,
    /// START, STOP: these are what it would be.
    Run(Hazard),
    Uninstall,
    Execute,
    /// PREPARE, EXECUTE IMMEDIATE: literals are statements.
    Dynamic,
}

/// SET.
#[derive(Clone, Debug)]
struct Set {
    /// SET STATEMENT … FOR.
    for_statement: bool,
    /// GLOBAL and SESSION also hold for the assignments behind them.
    scope: Scope,
    /// Open parentheses.
    depth: u32,
    at: Assignment,
}

#[derive(Clone, Debug)]
enum Assignment {
    First,
    Target,
    /// @
    User,
    /// @@
    System,
    /// `@@global`, `@@session`
    Scoped(Scope),
    Named(Target),
    Value(Target),
    /// After a word that may be all of the value.
    Valued(Target, Option<Hazard>),
    Rest,
}

/// Words behind which another statement begins.
const OPENERS: [&str; 7] = ["begin", "then", "else", "do", "loop", "repeat", "row"];
const ROWS: [&str; 14] = [
    "select", "insert", "update", "delete", "replace", "with", "values", "table", "load", "show",
    "explain", "describe", "desc", "call",
];

fn is_any(token: Token<'_>, words: &[&str]) -> bool {
    words.iter().any(|word| token.is_word(word))
}

impl Statements {
    pub(super) fn found(&self) -> Option<&Hazard> {
        self.found.as_ref()
    }

    pub(super) fn note(&mut self, hazard: Hazard) {
        self.found.get_or_insert(hazard);
    }

    pub(super) fn sets_requirement(&self) -> bool {
        self.sets_requirement
    }

    pub(super) fn note_requirement(&mut self) {
        self.sets_requirement = true;
    }

    /// Whether a literal that comes now is a statement.
    pub(super) fn runs_literals(&self) -> bool {
        matches!(self.at, At::Dynamic)
    }

    /// Only a semicolon matters now.
    pub(super) fn skips_words(&self) -> bool {
        matches!(self.at, At::Rows)
    }

    /// The text is complete.
    pub(super) fn end(&mut self) {
        self.token(Token::Symbol(b';'));
    }

    pub(super) fn token(&mut self, token: Token<'_>) {
        if token.is_symbol(b';') {
            if let At::Set(set) = std::mem::take(&mut self.at)
                && let Some(hazard) = set.end()
            {
                self.note(hazard);
            }
            return;
        }
        let mut hazard = None;
        let next = match &mut self.at {
            At::Rows => None,
            At::Start => Some(start(token)),
            At::Other => is_any(token, &OPENERS).then_some(At::Start),
            At::Create => creates(token),
            At::Instance => {
                hazard = token.is_word("disable").then_some(Hazard::DisableRedoLog);
                Some(At::HEAD)
            }
            At::Head { after_character } => {
                let was_after = std::mem::replace(after_character, token.is_word("character"));
                if was_after { None } else { body(token) }
            }
            At::Trigger => token.is_word("row").then_some(At::Start),
            At::Set(set) => match set.token(token) {
                Step::Goes => None,
                Step::Requirement => {
                    self.sets_requirement = true;
                    None
                }
                Step::NoSet => Some(At::HEAD),
                Step::Found(found) => {
                    hazard = Some(found);
                    None
                }
                Step::For(found) => {
                    hazard = found;
                    Some(At::Start)
                }
            },
            At::Reset { listed: true } => token.is_symbol(b',').then_some(At::RESET),
            At::Reset { listed: false } => {
                if is_any(token, &["master", "binary"]) {
                    hazard = Some(Hazard::ResetBinlog);
                } else if is_any(token, &["slave", "replica"]) {
                    hazard = Some(Hazard::ResetReplica);
                }
                let more = hazard.is_some() || is_any(token, &["query", "persist"]);
                Some(if more {
                    At::Reset { listed: true }
                } else {
                    At::HEAD
                })
            }
            At::Flush => {
                hazard = token
                    .is_word("delete_domain_id")
                    .then_some(Hazard::DeleteDomain);
                None
            }
            At::Purge => {
                hazard = is_any(token, &["binary", "master"]).then_some(Hazard::Purge);
                Some(At::HEAD)
            }
            At::Change => {
                hazard = is_any(token, &["master", "replication"]).then_some(Hazard::ChangeSource);
                Some(At::HEAD)
            }
            At::Run(_) if token.is_word("all") => None,
            At::Run(run) => {
                let replica = is_any(token, &["slave", "slaves", "replica", "replicas"]);
                hazard = replica.then(|| run.clone());
                Some(At::HEAD)
            }
            At::Uninstall => {
                let name = token.text();
                let begins = |with: &[u8]| {
                    name.get(..with.len())
                        .is_some_and(|start| start.eq_ignore_ascii_case(with))
                };
                hazard = (begins(b"rpl_semi_sync") || begins(b"semisync"))
                    .then_some(Hazard::UninstallSemiSync);
                None
            }
            At::Execute if token.is_word("immediate") => Some(At::Dynamic),
            At::Execute => Some(At::Other),
            At::Dynamic => token.is_word("using").then_some(At::Other),
        };
        if let Some(hazard) = hazard {
            self.note(hazard);
        }
        if let Some(next) = next {
            self.at = next;
        }
    }
}

impl At {
    const RESET: Self = Self::Reset { listed: false };
    const HEAD: Self = Self::Head {
        after_character: false,
    };
}

fn start(token: Token<'_>) -> At {
    let Token::Word(word) = token else {
        return if token.is_symbol(b'(') {
            At::Start
        } else {
            At::Other
        };
    };
    // Most statements end here.
    if is_any(token, &ROWS) {
        return At::Rows;
    }
    let is = |other: &str| word.eq_ignore_ascii_case(other.as_bytes());
    let target = Target::of(word, Scope::Session);
    if target != Target::Other {
        // `sql_log_bin := 0`, with MariaDB's sql_mode=ORACLE.
        return At::Set(Set::assigning(target));
    }
    if is("set") {
        At::Set(Set::default())
    } else if is("reset") {
        At::RESET
    } else if is("flush") {
        At::Flush
    } else if is("purge") {
        At::Purge
    } else if is("change") {
        At::Change
    } else if is("start") {
        At::Run(Hazard::StartReplica)
    } else if is("stop") {
        At::Run(Hazard::StopReplica)
    } else if is("uninstall") {
        At::Uninstall
    } else if is("prepare") {
        At::Dynamic
    } else if is("execute") {
        At::Execute
    } else if is("create") || is("alter") {
        At::Create
    } else if is("declare") {
        At::HEAD
    } else if is("not") || is("atomic") || is_any(token, &OPENERS) {
        // BEGIN NOT ATOMIC.
        At::Start
    } else {
        At::Other
    }
}

fn creates(token: Token<'_>) -> Option<At> {
    if token.is_word("instance") {
        Some(At::Instance)
    } else if is_any(token, &["procedure", "function", "event", "package"]) {
        Some(At::HEAD)
    } else {
        token.is_word("trigger").then_some(At::Trigger)
    }
}

/// In the head of a routine: whether its body begins here.
fn body(token: Token<'_>) -> Option<At> {
    // NOT DETERMINISTIC.
    if !matches!(token, Token::Word(_)) || token.is_word("not") {
        return None;
    }
    match start(token) {
        At::Other => None,
        body => Some(body),
    }
}

enum Step {
    Goes,
    /// The variable by which a session asks for more.
    Requirement,
    /// The word was not the statement: a column of type SET.
    NoSet,
    Found(Hazard),
    /// SET STATEMENT is over, and what follows FOR begins.
    For(Option<Hazard>),
}

impl Default for Set {
    fn default() -> Self {
        Self {
            for_statement: false,
            scope: Scope::Session,
            depth: 0,
            at: Assignment::First,
        }
    }
}

impl Set {
    /// The variable was named, without a SET.
    fn assigning(target: Target) -> Self {
        Self {
            at: Assignment::Named(target),
            ..Self::default()
        }
    }

    fn token(&mut self, token: Token<'_>) -> Step {
        let found = match std::mem::replace(&mut self.at, Assignment::Rest) {
            Assignment::First if token.is_word("statement") => {
                self.for_statement = true;
                self.at = Assignment::Target;
                None
            }
            Assignment::First if token.is_symbol(b'(') => return Step::NoSet,
            Assignment::First | Assignment::Target => {
                self.at = self.target(token);
                None
            }
            Assignment::User => {
                if token.is_symbol(b'@') {
                    self.at = Assignment::System;
                }
                let name = token.text();
                if name.eq_ignore_ascii_case(requirement::VARIABLE.as_bytes()) {
                    return Step::Requirement;
                }
                None
            }
            Assignment::System => {
                self.at = match Scope::of(token) {
                    Some(scope) => Assignment::Scoped(scope),
                    None => Assignment::Named(Target::of(token.text(), Scope::Session)),
                };
                None
            }
            Assignment::Scoped(scope) => {
                self.at = if token.is_symbol(b'.') {
                    Assignment::Scoped(scope)
                } else {
                    Assignment::Named(Target::of(token.text(), scope))
                };
                None
            }
            Assignment::Named(target) if token.is_symbol(b'=') => {
                self.at = Assignment::Value(target);
                None
            }
            Assignment::Named(target) if token.is_symbol(b':') => {
                self.at = Assignment::Named(target);
                None
            }
            Assignment::Value(target) if matches!(token, Token::Word(_) | Token::Text(_)) => {
                let hazard = target.clone().set_to(token);
                self.at = Assignment::Valued(target, hazard);
                None
            }
            Assignment::Value(target) => {
                self.rest(token);
                target.set()
            }
            Assignment::Valued(target, hazard) => {
                let hazard = if self.ends(token) {
                    hazard
                } else {
                    target.set()
                };
                if self.rest(token) {
                    return Step::For(hazard);
                }
                hazard
            }
            Assignment::Named(_) | Assignment::Rest => {
                if self.rest(token) {
                    return Step::For(None);
                }
                None
            }
        };
        found.map_or(Step::Goes, Step::Found)
    }

    fn target(&mut self, token: Token<'_>) -> Assignment {
        if let Some(scope) = Scope::of(token) {
            self.scope = scope;
            return Assignment::Target;
        }
        match token {
            Token::Symbol(b'@') => Assignment::User,
            Token::Symbol(_) => Assignment::Rest,
            // In quotes too: ANSI_QUOTES.
            Token::Word(name) | Token::Name(name) | Token::Text(name) => {
                Assignment::Named(Target::of(name, self.scope))
            }
        }
    }

    /// Whether it ends an assignment.
    fn ends(&self, token: Token<'_>) -> bool {
        self.depth == 0 && (token.is_symbol(b',') || self.for_statement && token.is_word("for"))
    }

    /// A token behind what matters; true when it is the FOR of SET STATEMENT.
    fn rest(&mut self, token: Token<'_>) -> bool {
        if self.ends(token) {
            self.at = Assignment::Target;
            return !token.is_symbol(b',');
        }
        match token {
            Token::Symbol(b'(') => self.depth = self.depth.saturating_add(1),
            Token::Symbol(b')') => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        false
    }

    /// At the end of the statement.
    fn end(self) -> Option<Hazard> {
        match self.at {
            Assignment::Valued(_, hazard) => hazard,
            _ => None,
        }
    }
}
