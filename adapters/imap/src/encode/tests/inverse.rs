//! What is written is read again by `parse`, as the same.

use expect_test::expect;

use super::*;
use crate::command::{Command, FetchItem, SearchKey, SequenceNumber, SequenceSet};
use crate::parse;

const REV1: parse::Mode = parse::Mode { utf8: false };
const UTF8: parse::Mode = parse::Mode { utf8: true };

/// A set, written and read, has the numbers it had.
#[test]
fn sets_are_read_again() {
    let mut seed = 1u32;
    for _ in 0..200 {
        let mut numbers = Vec::new();
        for _ in 0..40 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            numbers.push(1 + (seed >> 16) % 60);
        }
        numbers.sort_unstable();
        numbers.dedup();
        let line = octets(|out| set::numbers(out, numbers.iter().copied()));
        let Some(SequenceSet::Ranges(ranges)) = parse::sequence_set(&line) else {
            panic!("{line:?}");
        };
        let read: Vec<u32> = ranges
            .iter()
            .flat_map(|range| match range {
                (SequenceNumber::Number(first), SequenceNumber::Number(last)) => *first..=*last,
                _ => panic!("{range:?}"),
            })
            .collect();
        assert_eq!(read, numbers);
        assert_eq!(octets(|out| set::numbers(out, read)), line);
    }
}

/// A date, written and read, is the same second; every day of 1583 to 2600 and the ends.
#[test]
fn dates_are_read_again() {
    let days = (-141_428i64..230_000).map(|day| day * 86_400 + (day * 7_919).rem_euclid(86_400));
    for seconds in days.chain([-62_135_596_800, 253_402_300_799, 0, -1]) {
        let mut command = b"a APPEND x ".to_vec();
        date::date_time(&mut command, seconds);
        assert_eq!(command.len(), 11 + 28);
        command.extend_from_slice(b" {0}\r\n");
        let Ok(Command::Append { messages, .. }) =
            parse::parse(&command, REV1).map(|tagged| tagged.command)
        else {
            panic!("{seconds}");
        };
        assert_eq!(
            messages.first().and_then(|message| message.date),
            Some(seconds)
        );
    }
    check(
        |out| date::date_time(out, i64::MAX),
        expect![[r#""31-Dec-9999 23:59:59 +0000""#]],
    );
    check(
        |out| date::date_time(out, i64::MIN),
        expect![[r#"" 1-Jan-0001 00:00:00 +0000""#]],
    );
}

/// A name, written and read, is the same; and nothing of it gets into a line.
#[test]
fn names_are_read_again() {
    for (utf8, mode) in [(false, REV1), (true, UTF8)] {
        for name in HOSTILE {
            let mut command = b"a DELETE ".to_vec();
            text::mailbox_name(&mut command, name, utf8);
            match parse::parse(&command, mode).map(|tagged| tagged.command) {
                Ok(Command::Delete(read)) => assert_eq!(read, name),
                // A name with a line end is refused at the door, but can be shown.
                Err(_) => assert!(
                    name.contains('\n'),
                    "{name:?}: {}",
                    String::from_utf8_lossy(&command)
                ),
                Ok(other) => panic!("{other:?}"),
            }
        }
    }
}

#[test]
fn strings_are_read_again() {
    for value in HOSTILE {
        let mut command = b"a SEARCH TEXT ".to_vec();
        text::astring(&mut command, value.as_bytes());
        let Ok(Command::Search { search, .. }) =
            parse::parse(&command, REV1).map(|tagged| tagged.command)
        else {
            panic!("{value:?}");
        };
        assert_eq!(search.key, SearchKey::Text(value.to_owned()));
    }
}

#[test]
fn sections_are_read_again() {
    let sections = [
        "[]",
        "[1]",
        "[1.2.3]",
        "[HEADER]",
        "[TEXT]",
        "[3.MIME]",
        "[1.HEADER]",
        "[1.TEXT]",
        "[HEADER.FIELDS (DATE From)]",
        "[2.HEADER.FIELDS.NOT (\"X#Y\")]",
    ];
    for section in sections {
        let command = format!("a FETCH 1 BODY{section}<5.7>");
        let Ok(Command::Fetch { fetch, .. }) =
            parse::parse(command.as_bytes(), REV1).map(|tagged| tagged.command)
        else {
            panic!("{section}");
        };
        let [
            FetchItem::Section {
                section: read,
                partial: Some((5, 7)),
                peek: false,
            },
        ] = fetch.items.as_slice()
        else {
            panic!("{:?}", fetch.items);
        };
        assert_eq!(text_of(|out| fetch::section_spec(out, read)), section);
    }
}
