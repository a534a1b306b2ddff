//! Queries: the tree a caller builds, JMAP's rule for text (RFC 8621 §4.4.1), and the compiled form.
//!
//! Holds: a compiled query is within the limits, and its tokens were cut as those of texts are.
//! Other half: `plan` runs the compiled form on the index, `matcher` on a text.

use super::document::{Field, IndexField};
use super::error::SearchError;
use super::token::{Lexer, Part, header_name};

/// Nodes of one query, its words among them.
pub const QUERY_NODES_MAX: usize = 1024;
/// Levels of one query.
pub const QUERY_DEPTH_MAX: usize = 32;
/// Tokens of one word or phrase.
pub const PHRASE_TOKENS_MAX: usize = 128;
/// A shorter prefix only matches whole words: it would stand for most of the dictionary.
pub const PREFIX_CHARS_MIN: usize = 2;

/// What to look for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    /// All of them; an empty list matches every document.
    And(Vec<Query>),
    /// Any of them; an empty list matches none.
    Or(Vec<Query>),
    Not(Box<Query>),
    /// A word or phrase in one of the fields of `scope`.
    Text {
        scope: Scope,
        term: TextTerm,
    },
    /// There is a header field of this name, among those indexed.
    HasHeader(String),
}

/// Where to look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// In all fields of `Field::ALL`.
    Any,
    Field(Field),
    /// In the values of the header fields of this name.
    Header(String),
}

/// What to look for in a text. Each is cut into tokens, which have to be found next to each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TextTerm {
    Word(String),
    Phrase(String),
    /// The last token may go on.
    Prefix(String),
}

impl TextTerm {
    fn text(&self) -> &str {
        match self {
            TextTerm::Word(text) | TextTerm::Phrase(text) | TextTerm::Prefix(text) => text,
        }
    }
}

impl Query {
    /// Matches every document.
    pub const fn all() -> Query {
        Query::And(Vec::new())
    }

    /// Matches no document.
    pub const fn none() -> Query {
        Query::Or(Vec::new())
    }

    /// The query for a `String` condition of RFC 8621 §4.4.1: all words and quoted phrases must be there.
    /// An empty text is in every document; one of nothing but punctuation is in none.
    pub fn text(scope: Scope, text: &str) -> Query {
        let terms = parse_text(text);
        let blank = terms.is_empty();
        let mut words: Vec<Query> = terms
            .into_iter()
            .filter(|term| has_tokens(term.text()))
            .map(|term| Query::Text {
                scope: scope.clone(),
                term,
            })
            .collect();
        match words.len() {
            0 if blank => Query::all(),
            0 => Query::none(),
            1 => words.remove(0),
            _ => Query::And(words),
        }
    }
}

/// Cuts the text of a condition as RFC 8621 §4.4.1 says: white space divides words; text in single or
/// double quotes is a phrase, in which a backslash takes the meaning from `'`, `"` and `\`.
/// A quote opens a phrase only at the start of a word and when its partner follows.
pub fn parse_text(text: &str) -> Vec<TextTerm> {
    let mut terms = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        if let Some((phrase, after)) = quoted(rest, first) {
            terms.push(TextTerm::Phrase(phrase));
            rest = after.trim_start();
            continue;
        }
        let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
        // In the midst of a word a double quote can only be the start of a phrase: `from"alice b"`.
        let end = rest[..end]
            .char_indices()
            .skip(1)
            .find(|&(at, ch)| {
                ch == '"' && !rest[..at].ends_with('\\') && quoted(&rest[at..], '"').is_some()
            })
            .map_or(end, |(at, _)| at);
        terms.push(TextTerm::Word(rest[..end].to_owned()));
        rest = rest[end..].trim_start();
    }
    terms
}

/// The phrase at the start of `text`, and what follows it.
fn quoted(text: &str, quote: char) -> Option<(String, &str)> {
    if !matches!(quote, '\'' | '"') {
        return None;
    }
    let mut phrase = String::new();
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, ch)) = chars.next() {
        if ch == '\\' {
            let escaped = chars.next_if(|&(_, next)| matches!(next, '\'' | '"' | '\\'));
            phrase.push(escaped.map_or('\\', |(_, next)| next));
            continue;
        }
        // Leniency: an apostrophe with a letter after it doesn't end a phrase ('don't panic').
        let next_is_letter = chars.peek().is_some_and(|(_, next)| next.is_alphanumeric());
        if ch == quote && !(quote == '\'' && next_is_letter) {
            return Some((phrase, &text[at + 1..]));
        }
        phrase.push(ch);
    }
    None
}

fn has_tokens(text: &str) -> bool {
    Lexer::new(text).next(&mut String::new()).is_some()
}

/// A query within the limits, its texts cut into tokens.
#[derive(Clone, Debug)]
pub(super) enum Node {
    And(Vec<Node>),
    Or(Vec<Node>),
    Not(Box<Node>),
    Leaf(Leaf),
}

/// Tokens at fixed distances from each other, in any of some fields.
#[derive(Clone, Debug)]
pub(super) struct Leaf {
    pub fields: Vec<IndexField>,
    /// Token and its distance from the first; never empty, distances ascend.
    pub tokens: Vec<(u32, String)>,
    /// The last token may go on.
    pub prefix: bool,
}

/// Checks the limits and cuts the texts.
pub(super) fn compile(query: &Query) -> Result<Node, SearchError> {
    let mut nodes = QUERY_NODES_MAX;
    compile_node(query, QUERY_DEPTH_MAX, &mut nodes)
}

fn compile_node(query: &Query, depth: usize, nodes: &mut usize) -> Result<Node, SearchError> {
    let Some(depth) = depth.checked_sub(1) else {
        return Err(SearchError::QueryTooLarge("QUERY_DEPTH_MAX"));
    };
    *nodes = nodes
        .checked_sub(1)
        .ok_or(SearchError::QueryTooLarge("QUERY_NODES_MAX"))?;
    let mut all = |children: &[Query]| {
        children
            .iter()
            .map(|child| compile_node(child, depth, nodes))
            .collect::<Result<Vec<_>, _>>()
    };
    Ok(match query {
        Query::And(children) => Node::And(all(children)?),
        Query::Or(children) => Node::Or(all(children)?),
        Query::Not(child) => Node::Not(Box::new(compile_node(child, depth, nodes)?)),
        Query::HasHeader(name) => Node::Leaf(Leaf {
            fields: vec![IndexField::Header],
            tokens: vec![(0, header_name(name))],
            prefix: false,
        }),
        Query::Text { scope, term } => compile_text(scope, term)?,
    })
}

fn compile_text(scope: &Scope, term: &TextTerm) -> Result<Node, SearchError> {
    let (mut tokens, ends_in_word) = phrase_tokens(term.text())?;
    if tokens.is_empty() {
        return Ok(Node::Or(Vec::new()));
    }
    let last = tokens.last().map_or(0, |(_, token)| token.chars().count());
    let prefix = matches!(term, TextTerm::Prefix(_)) && ends_in_word && last >= PREFIX_CHARS_MIN;
    let fields = match scope {
        Scope::Any => Field::ALL.map(IndexField::Text).to_vec(),
        Scope::Field(field) => vec![IndexField::Text(*field)],
        Scope::Header(name) => {
            let name = header_name(name);
            for (_, token) in &mut tokens {
                token.insert_str(0, &name);
            }
            vec![IndexField::Header]
        }
    };
    Ok(Node::Leaf(Leaf {
        fields,
        tokens,
        prefix,
    }))
}

/// The tokens to look for. Of a run of grams the pairs are enough, they're rarer than the single ones; its last
/// one stays when more follows, because tantivy's phrases with a prefix allow for no gap.
fn phrase_tokens(text: &str) -> Result<(Vec<(u32, String)>, bool), SearchError> {
    let mut lexer = Lexer::new(text);
    let mut word = String::new();
    let mut found: Vec<(u32, String)> = Vec::new();
    let mut last_of_run = None;
    let mut ends_in_word = false;
    while let Some(lexeme) = lexer.next(&mut word) {
        ends_in_word = lexeme.part == Part::Word;
        let former = last_of_run.take();
        if lexeme.part != Part::Pair {
            found.extend(former);
        }
        if lexeme.part == Part::InRun {
            last_of_run = Some((lexeme.position, word.clone()));
        } else {
            found.push((lexeme.position, word.clone()));
        }
        if found.len() > PHRASE_TOKENS_MAX {
            return Err(SearchError::QueryTooLarge("PHRASE_TOKENS_MAX"));
        }
    }
    let first = found.first().map_or(0, |(position, _)| *position);
    for (position, _) in &mut found {
        *position -= first;
    }
    Ok((found, ends_in_word))
}
