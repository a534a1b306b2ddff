//! Rows of commands: what they are understood as, or what is wrong with them.

use expect_test::Expect;

use super::*;

mod limits;
mod messages;
mod rows;
mod tables;

const REV1: Mode = Mode { utf8: false };
const UTF8: Mode = Mode { utf8: true };

/// A command in short, or what is wrong with it.
fn shown(octets: &[u8], mode: Mode) -> String {
    match parse(octets, mode) {
        Ok(Tagged { tag, command }) => format!("{tag}: {command:?}"),
        Err(ParseError { tag, kind, why }) => {
            format!("{}: {kind:?}: {why}", tag.as_deref().unwrap_or("*"))
        }
    }
}

/// In the row, a line end is CRLF.
fn check(row: &str, expected: Expect) {
    expected.assert_eq(&shown(row.replace('\n', "\r\n").as_bytes(), REV1));
}

fn check_utf8(row: &str, expected: Expect) {
    expected.assert_eq(&shown(row.replace('\n', "\r\n").as_bytes(), UTF8));
}
