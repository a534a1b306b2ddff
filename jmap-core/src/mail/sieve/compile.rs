//! From the octets of a script to what can be run.
//!
//! Holds: what is returned requires only extensions that this server has; a script that makes the compiler panic is one that is wrong.
//! Other half: `run`.

use std::{
    collections::BTreeSet,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;

use ::sieve::{Compiler, Sieve};

use super::{EXTENSIONS, SCRIPT_OCTETS_MAX};

pub(super) type Compiled = Arc<Sieve>;

/// Blocks within blocks, and tests within tests.
const NESTED_MAX: usize = 15;
const NESTED_FOREVERYPART_MAX: usize = 3;

/// Whether the octets are a script that can be stored; if not, why, with the line.
pub fn check(octets: &[u8]) -> Result<(), String> {
    compile(octets).map(drop)
}

/// How long the compiler may take; regular expressions can keep it busy.
const COMPILE_TIME_MAX: Duration = Duration::from_secs(5);

/// Compiles on a thread of its own, in bounded time.
pub(super) async fn compile_aside(octets: Bytes) -> Result<Compiled, String> {
    let task = tokio::task::spawn_blocking(move || compile(&octets));
    match tokio::time::timeout(COMPILE_TIME_MAX, task).await {
        Ok(Ok(compiled)) => compiled,
        Ok(Err(_)) => Err("The server is stopping.".to_owned()),
        Err(_) => Err("The script takes too long to compile.".to_owned()),
    }
}

/// The same as [`check`], on a thread of its own.
pub async fn check_aside(octets: Bytes) -> Result<(), String> {
    compile_aside(octets).await.map(drop)
}

pub(super) fn compile(octets: &[u8]) -> Result<Compiled, String> {
    if octets.len() > SCRIPT_OCTETS_MAX {
        return Err(format!("A script has at most {SCRIPT_OCTETS_MAX} octets."));
    }
    let text = std::str::from_utf8(octets)
        .map_err(|_| "A script is text in UTF-8 (RFC 5228 §2.1).".to_owned())?;
    if text.contains('\0') {
        return Err("A script has no NUL (RFC 5228 §8.1).".to_owned());
    }
    let prelude = Outline::read(text)?.prelude();
    let compiler = Compiler::new()
        .with_max_script_size(SCRIPT_OCTETS_MAX * 2)
        .with_max_string_size(SCRIPT_OCTETS_MAX)
        // How many a run includes is counted when it runs.
        .with_max_includes(SCRIPT_OCTETS_MAX)
        .with_max_nested_blocks(NESTED_MAX)
        .with_max_nested_tests(NESTED_MAX)
        .with_max_nested_foreverypart(NESTED_FOREVERYPART_MAX);
    let lines = format!("{prelude}{}", with_crlf(text));
    let compiled = catch_unwind(AssertUnwindSafe(|| compiler.compile(lines.as_bytes())));
    match compiled {
        Ok(Ok(script)) => Ok(Arc::new(script)),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("The script can't be compiled.".to_owned()),
    }
}

/// RFC 5228 §2.2: lines end with CRLF; many editors write LF.
fn with_crlf(text: &str) -> String {
    let mut lines = String::with_capacity(text.len() + text.len() / 32);
    let mut last = '\0';
    for c in text.chars() {
        if c == '\n' && last != '\r' {
            lines.push('\r');
        }
        lines.push(c);
        last = c;
    }
    lines
}

/// What a script says of itself.
#[derive(Default)]
struct Outline {
    required: Vec<String>,
    /// Variables that it sets.
    variables: BTreeSet<String>,
    /// Variables that it shares with others (RFC 6609 §3.4).
    globals: BTreeSet<String>,
}

impl Outline {
    /// RFC 5228 §3.2: every extension that is required must be known. The compiler would notice only when the script runs.
    fn read(text: &str) -> Result<Self, String> {
        let mut outline = Self::default();
        let mut tokens = Tokens { text, at: 0 };
        while let Some(token) = tokens.next() {
            let Token::Word(word) = token else {
                continue;
            };
            match word.to_ascii_lowercase().as_str() {
                "require" => {
                    for name in tokens.strings() {
                        if !EXTENSIONS.contains(&name.as_str()) {
                            let line = tokens.line();
                            return Err(format!(
                                "The extension \"{name}\" is not supported (line {line})."
                            ));
                        }
                        outline.required.push(name);
                    }
                }
                "set" | "extracttext" => outline.variables.extend(tokens.first_string()),
                "global" => {
                    let names = tokens.strings().into_iter();
                    outline
                        .globals
                        .extend(names.map(|name| name.to_ascii_lowercase()));
                }
                _ => {}
            }
        }
        Ok(outline)
    }

    fn requires(&self, name: &str) -> bool {
        self.required.iter().any(|required| required == name)
    }

    /// What is put before the script, in its first line.
    ///
    /// The compiler takes a variable that is first set within a block for one of that block; RFC 5229 §3 has them all belong to the
    /// script. And it takes `:mailboxid` (RFC 9042) only where `mailbox` is required as well.
    fn prelude(&self) -> String {
        let mut prelude = String::new();
        if self.requires("mailboxid") && !self.requires("mailbox") {
            prelude.push_str("require \"mailbox\"; ");
        }
        if !self.requires("variables") {
            return prelude;
        }
        let is_name = |name: &&String| {
            let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
            name.chars().all(is_word) && !name.starts_with(|c: char| c.is_ascii_digit())
        };
        let mut own = self.variables.iter().filter(is_name).peekable();
        if own.peek().is_some() {
            prelude.push_str("require \"variables\"; ");
        }
        for name in own.filter(|name| !name.is_empty() && !self.globals.contains(*name)) {
            prelude.push_str(&format!("set \"{name}\" \"\"; "));
        }
        prelude
    }
}

enum Token<'t> {
    Word(&'t str),
    Text(String),
    Other(char),
}

/// The tokens of RFC 5228 §8.1, as far as it takes to find `require`.
struct Tokens<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Tokens<'t> {
    fn line(&self) -> usize {
        let before = self.text.as_bytes().get(..self.at).unwrap_or_default();
        before.iter().filter(|octet| **octet == b'\n').count() + 1
    }

    /// The strings up to the end of a command.
    fn strings(&mut self) -> Vec<String> {
        let mut strings = Vec::new();
        for token in self.by_ref() {
            match token {
                Token::Text(text) => strings.push(text),
                Token::Other('[' | ',') => {}
                Token::Other(_) | Token::Word(_) => break,
            }
        }
        strings
    }

    /// The first string of a command, behind its tags.
    fn first_string(&mut self) -> Option<String> {
        for token in self.by_ref() {
            match token {
                Token::Text(text) => return Some(text.to_ascii_lowercase()),
                Token::Other(';' | '{' | '}') => break,
                Token::Other(_) | Token::Word(_) => {}
            }
        }
        None
    }

    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// Goes on after `end`, or to the end of the text.
    fn skip_past(&mut self, end: &str) {
        self.at = match self.rest().find(end) {
            Some(found) => self.at + found + end.len(),
            None => self.text.len(),
        };
    }

    fn quoted(&mut self) -> String {
        let mut text = String::new();
        let mut is_escaped = false;
        for (offset, c) in self.rest().char_indices() {
            match c {
                _ if is_escaped => {
                    text.push(c);
                    is_escaped = false;
                }
                '\\' => is_escaped = true,
                '"' => {
                    self.at += offset + 1;
                    return text;
                }
                _ => text.push(c),
            }
        }
        self.at = self.text.len();
        text
    }

    /// RFC 5228 §2.4.2 `text:`, from behind the colon.
    fn multi_line(&mut self) -> String {
        self.skip_past("\n");
        let start = self.at;
        loop {
            let line = self.rest();
            if line.is_empty() {
                break;
            }
            self.skip_past("\n");
            if line.lines().next().map(str::trim_end) == Some(".") {
                break;
            }
        }
        self.text.get(start..self.at).unwrap_or_default().to_owned()
    }
}

impl<'t> Iterator for Tokens<'t> {
    type Item = Token<'t>;

    fn next(&mut self) -> Option<Token<'t>> {
        loop {
            let rest = self.rest();
            let first = rest.chars().next()?;
            match first {
                c if c.is_whitespace() => self.at += c.len_utf8(),
                '#' => self.skip_past("\n"),
                '/' if rest.starts_with("/*") => {
                    self.at += 2;
                    self.skip_past("*/");
                }
                '"' => {
                    self.at += 1;
                    return Some(Token::Text(self.quoted()));
                }
                c if c.is_ascii_alphabetic() || c == '_' => {
                    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
                    let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
                    let word = rest.get(..end).unwrap_or_default();
                    self.at += end;
                    if word.eq_ignore_ascii_case("text") && self.rest().starts_with(':') {
                        self.at += 1;
                        return Some(Token::Text(self.multi_line()));
                    }
                    return Some(Token::Word(word));
                }
                c => {
                    self.at += c.len_utf8();
                    return Some(Token::Other(c));
                }
            }
        }
    }
}
