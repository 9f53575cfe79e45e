//! Reading one table of the file: every key is asked for by name and type, and whatever was not asked
//! for is an error. All errors are gathered, each with its place.

use std::cell::RefCell;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use thiserror::Error;
use toml_edit::{Item, TableLike, Value};

use super::secret::Secret;

/// One thing that is wrong, where, and what to write.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{}:{line}:{column}: {message}", path.display())]
pub struct Error {
    pub path: PathBuf,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    pub message: String,
}

/// Everything that is wrong with one file, in its order.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub struct Errors(pub Vec<Error>);

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            error.fmt(f)?;
        }
        Ok(())
    }
}

pub(super) type Span = Range<usize>;

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Found<T> {
    pub(super) value: T,
    pub(super) span: Span,
}

/// The file being read.
pub(super) struct Text<'a> {
    path: &'a Path,
    text: &'a str,
    errors: RefCell<Vec<(usize, String)>>,
}

impl<'a> Text<'a> {
    pub(super) fn new(path: &'a Path, text: &'a str) -> Self {
        Self {
            path,
            text,
            errors: RefCell::default(),
        }
    }

    /// The folder that relative paths start from.
    pub(super) fn folder(&self) -> &Path {
        match self.path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        }
    }

    pub(super) fn error(&self, span: &Span, message: impl Into<String>) {
        self.errors.borrow_mut().push((span.start, message.into()));
    }

    pub(super) fn into_errors(self) -> Result<(), Errors> {
        let (path, text) = (self.path, self.text);
        let mut errors = self.errors.into_inner();
        if errors.is_empty() {
            return Ok(());
        }
        errors.sort_by_key(|(offset, _)| *offset);
        errors.dedup();
        let located = |(offset, message): (usize, String)| {
            let (line, column) = place(text, offset);
            Error {
                path: path.to_owned(),
                line,
                column,
                message,
            }
        };
        Err(Errors(errors.into_iter().map(located).collect()))
    }
}

fn place(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (line, before[start..].chars().count() + 1)
}

/// One table.
pub(super) struct Section<'a> {
    text: &'a Text<'a>,
    /// As it is written: `[listen]`, `[[server]]`.
    name: String,
    table: &'a dyn TableLike,
    /// Of the header.
    pub(super) span: Span,
    asked: RefCell<Vec<&'static str>>,
}

impl<'a> Section<'a> {
    pub(super) fn new(
        text: &'a Text<'a>,
        name: &str,
        table: &'a dyn TableLike,
        span: Span,
    ) -> Self {
        Self {
            text,
            name: name.to_owned(),
            table,
            span,
            asked: RefCell::default(),
        }
    }

    pub(super) fn error(&self, span: &Span, message: impl Into<String>) {
        self.text.error(span, message);
    }

    fn ask(&self, key: &'static str) -> Option<(&'a Value, Span)> {
        self.asked.borrow_mut().push(key);
        let (name, item) = self.table.get_key_value(key)?;
        let span = item.span().or_else(|| name.span()).unwrap_or_default();
        match item.as_value() {
            Some(value) => Some((value, span)),
            None => {
                self.error(&span, format!("{key} is one value, not a table"));
                None
            }
        }
    }

    fn typed<T>(
        &self,
        key: &'static str,
        example: &str,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Option<Found<T>> {
        let (value, span) = self.ask(key)?;
        let read = read(value);
        if read.is_none() {
            let found = value.type_name();
            self.error(&span, format!("{key} is of type {found}: write {example}"));
        }
        Some(Found { value: read?, span })
    }

    pub(super) fn string(&self, key: &'static str) -> Option<Found<String>> {
        let read = |value: &Value| value.as_str().map(str::to_owned);
        self.typed(key, &format!("{key} = \"…\""), read)
    }

    pub(super) fn boolean(&self, key: &'static str) -> Option<bool> {
        let read = |value: &Value| value.as_bool();
        let found = self.typed(key, &format!("{key} = true or {key} = false"), read);
        found.map(|found| found.value)
    }

    /// A whole number that fits.
    pub(super) fn number<T: TryFrom<i64>>(&self, key: &'static str) -> Option<Found<T>> {
        let read = |value: &Value| value.as_integer();
        let found = self.typed(key, &format!("a whole number, as in {key} = 1"), read)?;
        match T::try_from(found.value) {
            Ok(value) => Some(Found {
                value,
                span: found.span,
            }),
            Err(_) => {
                let message = format!("{key} = {} is out of range", found.value);
                self.error(&found.span, message);
                None
            }
        }
    }

    /// One string, or a list of them.
    pub(super) fn strings(&self, key: &'static str) -> Option<Vec<Found<String>>> {
        let (value, span) = self.ask(key)?;
        let one = |value: &Value, span: Span| match value.as_str() {
            Some(text) => Some(Found {
                value: text.to_owned(),
                span,
            }),
            None => {
                let found = value.type_name();
                let advice = format!("write {key} = \"…\" or {key} = [\"…\", \"…\"]");
                self.error(&span, format!("{key} is of type {found}: {advice}"));
                None
            }
        };
        Some(match value.as_array() {
            None => one(value, span).into_iter().collect(),
            Some(list) => list
                .iter()
                .filter_map(|item| one(item, item.span().unwrap_or_else(|| span.clone())))
                .collect(),
        })
    }

    /// A string that `read` understands; its error says what to write.
    pub(super) fn read<T>(
        &self,
        key: &'static str,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Found<T>> {
        let found = self.string(key)?;
        self.understood(key, found, read)
    }

    pub(super) fn understood<T>(
        &self,
        key: &str,
        found: Found<String>,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Found<T>> {
        match read(&found.value) {
            Ok(value) => Some(Found {
                value,
                span: found.span,
            }),
            Err(message) => {
                self.error(&found.span, format!("{key}: {message}"));
                None
            }
        }
    }

    /// One of a few words.
    pub(super) fn word<T: Copy>(&self, key: &'static str, words: &[(&str, T)]) -> Option<Found<T>> {
        self.read(key, |text| {
            let found = words.iter().find(|(word, _)| *word == text);
            found.map(|(_, value)| *value).ok_or_else(|| {
                let known: Vec<String> = words
                    .iter()
                    .map(|(word, _)| format!("\"{word}\""))
                    .collect();
                format!("'{text}' is not known: write {}", known.join(" or "))
            })
        })
    }

    pub(super) fn path(&self, key: &'static str) -> Option<Found<PathBuf>> {
        let found = self.string(key)?;
        if found.value.is_empty() {
            self.error(&found.span, format!("{key} is empty: write a path"));
            return None;
        }
        Some(Found {
            value: self.text.folder().join(found.value),
            span: found.span,
        })
    }

    /// `key`, or the content of the file that `file_key` names, without its last newline.
    pub(super) fn secret(&self, key: &'static str, file_key: &'static str) -> Option<Secret> {
        let inline = self.string(key);
        let file = self.path(file_key);
        match (inline, file) {
            (Some(_), Some(file)) => {
                let message = format!("{key} is given as well: remove {key} or {file_key}");
                self.error(&file.span, message);
                None
            }
            (Some(inline), None) => Some(Secret::new(inline.value)),
            (None, Some(file)) => match std::fs::read_to_string(&file.value) {
                Ok(content) => {
                    let content = content.strip_suffix('\n').unwrap_or(&content);
                    let content = content.strip_suffix('\r').unwrap_or(content);
                    Some(Secret::new(content))
                }
                Err(error) => {
                    let path = file.value.display();
                    self.error(&file.span, format!("{path} cannot be read: {error}"));
                    None
                }
            },
            (None, None) => None,
        }
    }

    /// Whether the key is written at all.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Where a key stands, or else the section.
    pub(super) fn span_of(&self, key: &str) -> Span {
        self.table
            .get(key)
            .and_then(Item::span)
            .unwrap_or_else(|| self.span.clone())
    }

    /// What this section is, for messages.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Everything that has not been asked for is an error.
    pub(super) fn finish(self) {
        let asked = self.asked.borrow();
        for (key, item) in self.table.iter() {
            if asked.contains(&key) {
                continue;
            }
            let span = self.table.key(key).and_then(|key| key.span());
            let span = span.or_else(|| item.span()).unwrap_or_default();
            self.text
                .error(&span, unknown(&self.name, key, asked.as_slice()));
        }
    }
}

pub(super) fn unknown(section: &str, key: &str, known: &[&str]) -> String {
    let near = known.iter().min_by_key(|known| distance(key, known));
    match near {
        None => format!("{section} has no keys yet: remove '{key}'"),
        Some(near) if distance(key, near) <= 2 => {
            format!("'{key}' is not known in {section}: write '{near}'")
        }
        Some(_) => format!(
            "'{key}' is not known in {section}: its keys are {}",
            known.join(", ")
        ),
    }
}

/// Levenshtein's.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
