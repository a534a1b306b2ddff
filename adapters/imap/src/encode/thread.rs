//! THREAD responses (RFC 5256 §4).
//!
//! Holds: no recursion, since senders choose how deep a thread is.
//! Other half: `commands::search`, which makes the threads.

use super::end;
use super::text::{number, push};

/// A message of a thread, in the order in which the tree is walked: each before its answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Node {
    /// 0 begins a thread. An answer is one deeper than what it answers.
    pub depth: u32,
    /// `None`: a message that isn't there, but has several answers (RFC 5256 §3).
    pub number: Option<u32>,
}

/// `* THREAD (2)(3 6 (4 23)(44 7 96))`
pub fn thread(out: &mut Vec<u8>, nodes: &[Node]) {
    push(out, "* THREAD");
    let answers = count_answers(nodes);
    // The nodes that the present one is below, and whether each has a parenthesis open.
    let mut above: Vec<(usize, bool)> = Vec::new();
    let mut is_first = true;
    for (at, node) in nodes.iter().enumerate() {
        let is_below = |parent: &usize| {
            nodes
                .get(*parent)
                .is_some_and(|parent| parent.depth < node.depth)
        };
        while let Some((parent, is_open)) = above.last().copied() {
            if is_below(&parent) {
                break;
            }
            close(out, is_open);
            above.pop();
        }
        let siblings = above
            .last()
            .and_then(|(parent, _)| answers.get(*parent).copied());
        let has_answers = answers.get(at).is_some_and(|answers| *answers > 0);
        if node.number.is_none() && !has_answers {
            continue;
        }
        // Alone it follows what it answers; among others it has parentheses of its own.
        let is_open = siblings != Some(1);
        let after_number = out.last().is_some_and(u8::is_ascii_digit);
        if after_number || is_first {
            out.push(b' ');
        }
        is_first = false;
        if is_open {
            out.push(b'(');
        }
        if let Some(value) = node.number {
            number(out, value);
        }
        above.push((at, is_open));
    }
    for (_, is_open) in above.into_iter().rev() {
        close(out, is_open);
    }
    end(out);
}

fn close(out: &mut Vec<u8>, is_open: bool) {
    if is_open {
        out.push(b')');
    }
}

/// How many direct answers each has.
fn count_answers(nodes: &[Node]) -> Vec<u32> {
    let mut answers = vec![0u32; nodes.len()];
    let mut above: Vec<(usize, u32)> = Vec::new();
    for (at, node) in nodes.iter().enumerate() {
        while above.last().is_some_and(|(_, depth)| *depth >= node.depth) {
            above.pop();
        }
        if let Some(count) = above
            .last()
            .and_then(|(parent, _)| answers.get_mut(*parent))
        {
            *count = count.saturating_add(1);
        }
        above.push((at, node.depth));
    }
    answers
}
