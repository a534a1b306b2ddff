//! A query asked of a text that isn't indexed yet, and the places in a text that a query is about.
//!
//! Holds: `matches` gives the answer that the index would give.
//! Other half: `plan` asks the index.

use std::collections::HashMap;
use std::ops::Range;

use super::document::{DocumentText, Field, IndexField, each_text};
use super::error::SearchError;
use super::query::{Leaf, Node, Query, compile};
use super::token::{HeaderTokenizer, Lexer};
use tantivy::tokenizer::{TokenStream, Tokenizer};

/// A query, ready to be asked of texts.
pub struct Matcher {
    root: Tree,
    leaves: Vec<Leaf>,
    /// Every token of the query, and the places in leaves it belongs to.
    words: HashMap<String, Vec<(usize, usize)>>,
    /// The same for tokens that may go on.
    prefixes: Vec<(String, (usize, usize))>,
}

/// The query's tree, its leaves numbered.
enum Tree {
    And(Vec<Tree>),
    Or(Vec<Tree>),
    Not(Box<Tree>),
    Leaf(usize),
}

impl Matcher {
    /// Errors: `SearchError::QueryTooLarge`.
    pub fn new(query: &Query) -> Result<Matcher, SearchError> {
        let mut leaves = Vec::new();
        let root = number(compile(query)?, &mut leaves);
        let mut words: HashMap<String, Vec<(usize, usize)>> = HashMap::new();
        let mut prefixes = Vec::new();
        for (leaf_at, leaf) in leaves.iter().enumerate() {
            for (token_at, (_, token)) in leaf.tokens.iter().enumerate() {
                let place = (leaf_at, token_at);
                if leaf.prefix && token_at + 1 == leaf.tokens.len() {
                    prefixes.push((token.clone(), place));
                } else {
                    words.entry(token.clone()).or_default().push(place);
                }
            }
        }
        Ok(Matcher {
            root,
            leaves,
            words,
            prefixes,
        })
    }

    /// Whether the document matches.
    pub fn matches(&self, document: &DocumentText) -> bool {
        let mut found = vec![false; self.leaves.len()];
        each_text(document, |field, text| {
            let seen = self.see(field, text);
            for (at, leaf) in self.leaves.iter().enumerate() {
                if !found[at] && leaf.fields.contains(&field) {
                    found[at] = starts(leaf, &seen[at]).next().is_some();
                }
            }
        });
        holds(&self.root, &found)
    }

    /// The octet ranges of `text`, a text of `field`, that words and phrases of the query match; in
    /// order, not overlapping. What stands under a `Not` is left out. For search snippets (RFC 8621 §5).
    pub fn marks(&self, field: Field, text: &str) -> Vec<Range<usize>> {
        let field = IndexField::Text(field);
        let seen = self.see(field, text);
        let mut wanted = vec![false; self.leaves.len()];
        positive(&self.root, &mut wanted);
        let mut marks = Vec::new();
        for (at, leaf) in self.leaves.iter().enumerate() {
            if !wanted[at] || !leaf.fields.contains(&field) {
                continue;
            }
            for start in starts(leaf, &seen[at]) {
                let mark = leaf
                    .tokens
                    .iter()
                    .zip(&seen[at])
                    .filter_map(|((offset, _), places)| {
                        let place = places
                            .binary_search_by_key(&(start + offset), |(position, _)| *position)
                            .ok()?;
                        Some(places[place].1.clone())
                    });
                marks.extend(mark.reduce(|a, b| a.start.min(b.start)..a.end.max(b.end)));
            }
        }
        merged(marks)
    }

    /// Where the tokens of the leaves are in a text.
    fn see(&self, field: IndexField, text: &str) -> Vec<Vec<Places>> {
        let mut seen: Vec<Vec<Places>> = self
            .leaves
            .iter()
            .map(|leaf| vec![Vec::new(); leaf.tokens.len()])
            .collect();
        let mut note = |token: &str, position: u32, range: Range<usize>| {
            let words = self.words.get(token).into_iter().flatten();
            let prefixes = self
                .prefixes
                .iter()
                .filter(|(prefix, _)| token.starts_with(prefix.as_str()))
                .map(|(_, place)| place);
            for &(leaf, at) in words.chain(prefixes) {
                let places = &mut seen[leaf][at];
                // A prefix may be that of both tokens of one position.
                if places.last().is_none_or(|(last, _)| *last != position) {
                    places.push((position, range.clone()));
                }
            }
        };
        if field == IndexField::Header {
            let mut tokenizer = HeaderTokenizer;
            let mut stream = tokenizer.token_stream(text);
            while stream.advance() {
                let token = stream.token();
                note(&token.text, token.position as u32, 0..0);
            }
        } else {
            let mut lexer = Lexer::new(text);
            let mut word = String::new();
            while let Some(lexeme) = lexer.next(&mut word) {
                note(&word, lexeme.position, lexeme.range);
            }
        }
        seen
    }
}

/// Position and octets of each occurrence of one token, in order.
type Places = Vec<(u32, Range<usize>)>;

/// The positions where all tokens of a leaf follow each other as they should.
fn starts<'a>(leaf: &'a Leaf, seen: &'a [Places]) -> impl Iterator<Item = u32> + 'a {
    let first = seen.first().map(Vec::as_slice).unwrap_or_default();
    first
        .iter()
        .map(|(position, _)| *position)
        .filter(move |start| {
            leaf.tokens.iter().zip(seen).all(|((offset, _), places)| {
                places
                    .binary_search_by_key(&(start + offset), |(position, _)| *position)
                    .is_ok()
            })
        })
}

fn number(node: Node, leaves: &mut Vec<Leaf>) -> Tree {
    match node {
        Node::And(children) => Tree::And(children.into_iter().map(|n| number(n, leaves)).collect()),
        Node::Or(children) => Tree::Or(children.into_iter().map(|n| number(n, leaves)).collect()),
        Node::Not(child) => Tree::Not(Box::new(number(*child, leaves))),
        Node::Leaf(leaf) => {
            leaves.push(leaf);
            Tree::Leaf(leaves.len() - 1)
        }
    }
}

fn holds(tree: &Tree, found: &[bool]) -> bool {
    match tree {
        Tree::And(children) => children.iter().all(|child| holds(child, found)),
        Tree::Or(children) => children.iter().any(|child| holds(child, found)),
        Tree::Not(child) => !holds(child, found),
        Tree::Leaf(at) => found[*at],
    }
}

fn positive(tree: &Tree, wanted: &mut [bool]) {
    match tree {
        Tree::And(children) | Tree::Or(children) => {
            children.iter().for_each(|child| positive(child, wanted));
        }
        Tree::Not(_) => {}
        Tree::Leaf(at) => wanted[*at] = true,
    }
}

fn merged(mut marks: Vec<Range<usize>>) -> Vec<Range<usize>> {
    marks.sort_by_key(|mark| (mark.start, mark.end));
    let mut merged: Vec<Range<usize>> = Vec::with_capacity(marks.len());
    for mark in marks {
        match merged.last_mut() {
            Some(last) if mark.start < last.end => last.end = last.end.max(mark.end),
            _ => merged.push(mark),
        }
    }
    merged
}
