//! Rows of responses, by the examples of the RFCs; inverses with `parse`; and data that tries to break lines.

use expect_test::Expect;

use super::*;

mod hostile;
mod inverse;
mod messages;
mod rows;

fn octets(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out);
    out
}

/// What is written, with line ends as in the row.
fn text_of(write: impl FnOnce(&mut Vec<u8>)) -> String {
    String::from_utf8_lossy(&octets(write)).replace("\r\n", "\n")
}

fn check(write: impl FnOnce(&mut Vec<u8>), expected: Expect) {
    expected.assert_eq(&text_of(write));
}

const HOSTILE: [&str; 14] = [
    "INBOX2",
    "",
    "NIL",
    "a b",
    "a\"b\\c",
    "x\r\n* BYE bye",
    "x\n",
    "日本/語",
    "a&b",
    "&Jjo-",
    "{5}",
    "(a) [b] *%",
    "\u{7f}\t",
    "😀",
];
