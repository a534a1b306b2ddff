//! Each limit: what is at it passes, what is one past it doesn't. And commands made by chance, which must not panic.

use super::*;

fn passes(command: impl AsRef<[u8]>) {
    let parsed = parse(command.as_ref(), REV1);
    assert!(parsed.is_ok(), "{:?}", parsed.err());
}

fn is_too_much(command: impl AsRef<[u8]>, why: &str) {
    let Err(error) = parse(command.as_ref(), REV1) else {
        panic!("it passes");
    };
    assert_eq!(error.kind, ErrorKind::Limit);
    assert!(error.why.ends_with(why), "{}", error.why);
}

#[test]
fn tags() {
    passes(format!("{} NOOP", "a".repeat(TAG_OCTETS_MAX)));
    is_too_much(
        format!("{} NOOP", "a".repeat(TAG_OCTETS_MAX + 1)),
        "octets in a tag",
    );
}

#[test]
fn depth_of_search_keys() {
    let forms: [fn(usize) -> String; 4] = [
        |depth| format!("a SEARCH {}ALL{}", "(".repeat(depth), ")".repeat(depth)),
        |depth| format!("a SEARCH {}ALL", "NOT ".repeat(depth)),
        |depth| format!("a SEARCH {}ALL", "OR SEEN ".repeat(depth)),
        |depth| format!("a SEARCH {}ALL", "FUZZY ".repeat(depth)),
    ];
    for form in forms {
        passes(form(SEARCH_DEPTH_MAX));
        is_too_much(
            form(SEARCH_DEPTH_MAX + 1),
            "search keys inside of each other",
        );
        is_too_much(form(100_000), "search keys inside of each other");
    }
}

#[test]
fn number_of_search_keys() {
    passes(format!("a SEARCH{}", " ALL".repeat(SEARCH_KEYS_MAX)));
    is_too_much(
        format!("a SEARCH{}", " ALL".repeat(SEARCH_KEYS_MAX + 1)),
        "search keys",
    );
    let pairs = " (ALL)".repeat(SEARCH_KEYS_MAX / 2);
    passes(format!("a SEARCH{pairs}"));
    is_too_much(format!("a SEARCH{pairs} ALL"), "search keys");
}

#[test]
fn ranges_of_a_set() {
    let set = vec!["1:2"; RANGES_MAX].join(",");
    passes(format!("a FETCH {set} FLAGS"));
    is_too_much(format!("a FETCH {set},3 FLAGS"), "ranges in a sequence set");
}

#[test]
fn items_of_a_list() {
    let items = |number: usize| vec!["UID"; number].join(" ");
    passes(format!("a FETCH 1 ({})", items(LIST_ITEMS_MAX)));
    is_too_much(
        format!("a FETCH 1 ({})", items(LIST_ITEMS_MAX + 1)),
        "items in a list",
    );
    passes(format!("a STORE 1 FLAGS {}", items(LIST_ITEMS_MAX)));
    is_too_much(
        format!("a STORE 1 FLAGS {}", items(LIST_ITEMS_MAX + 1)),
        "items in a list",
    );
    let macros = vec!["FULL"; LIST_ITEMS_MAX / 5].join(" ");
    passes(format!("a FETCH 1 ({macros})"));
    is_too_much(format!("a FETCH 1 ({macros} UID)"), "items in a list");
    let events = |number: usize| {
        let events = vec!["FlagChange"; number].join(" ");
        format!("a NOTIFY SET (selected {events})")
    };
    passes(events(LIST_ITEMS_MAX));
    is_too_much(events(LIST_ITEMS_MAX + 1), "items in a list");
}

#[test]
fn literals() {
    let names = |number: usize| {
        let names = vec!["{1}\r\nx"; number].join(" ");
        format!("a LIST \"\" ({names})")
    };
    passes(names(LITERALS_MAX));
    is_too_much(names(LITERALS_MAX + 1), "literals in a command");
}

#[test]
fn messages_of_append() {
    let append = |number: usize| format!("a APPEND x{}", " {1}\r\nx".repeat(number));
    passes(append(APPEND_MESSAGES_MAX));
    is_too_much(append(APPEND_MESSAGES_MAX + 1), "messages in APPEND");
}

#[test]
fn numbers_of_a_part() {
    let fetch = |number: usize| format!("a FETCH 1 BODY[{}]", vec!["1"; number].join("."));
    passes(fetch(PART_DEPTH_MAX));
    is_too_much(fetch(PART_DEPTH_MAX + 1), "numbers in a part");
}

#[test]
fn id() {
    let pairs = |number: usize| format!("a ID ({})", "a b ".repeat(number));
    passes(pairs(ID_PAIRS_MAX));
    is_too_much(pairs(ID_PAIRS_MAX + 1), "fields in ID");
    let field = |octets: usize| format!("a ID ({} NIL)", "a".repeat(octets));
    passes(field(ID_FIELD_OCTETS_MAX));
    is_too_much(field(ID_FIELD_OCTETS_MAX + 1), "octets in a field of ID");
    let value = |octets: usize| format!("a ID (a {})", "a".repeat(octets));
    passes(value(ID_VALUE_OCTETS_MAX));
    is_too_much(value(ID_VALUE_OCTETS_MAX + 1), "octets in a value of ID");
}

#[test]
fn nul_is_for_binary_literals_alone() {
    passes(b"a APPEND x ~{3}\r\na\0b");
    passes(b"a SETMETADATA x (/private/a ~{3}\r\na\0b)");
    for command in [
        b"a APPEND x {3}\r\na\0b".as_slice(),
        b"a APPEND x CATENATE (TEXT {3}\r\na\0b)",
        b"a SETMETADATA x (/private/a {3}\r\na\0b)",
        b"a LOGIN {3}\r\na\0b c",
        b"a LOGIN \"a\0b\" c",
        b"a LOGIN a\0b c",
        b"a\0 NOOP",
        b"\0",
    ] {
        assert!(parse(command, REV1).is_err(), "{command:?}");
    }
}

/// Every prefix of a command, and every command with one octet changed.
#[test]
fn pieces_never_panic() {
    let commands: [&[u8]; 6] = [
        b"a APPEND x (\\Seen) \"17-Jul-1996 02:44:25 -0700\" ~{3}\r\na\0b CATENATE (URL x TEXT {1}\r\na)",
        b"a SEARCH RETURN (PARTIAL -1:-5) CHARSET UTF-8 OR (FROM {1}\r\na ON \"1-Feb-1994\") NOT UID 1:*,$",
        b"a UID FETCH 1:*,2 (BODY.PEEK[1.2.HEADER.FIELDS (A \"b\")]<0.1> BINARY[1] PREVIEW (LAZY)) (CHANGEDSINCE 1 VANISHED)",
        b"a SELECT &Jjo-x (QRESYNC (1 2 3:4 (5 6)))",
        b"a LIST (SUBSCRIBED RECURSIVEMATCH) \"\" (% {1}\r\n*) RETURN (STATUS (SIZE) METADATA (/private/a))",
        b"a NOTIFY SET STATUS (subtree (a b) (MessageNew (UID) X)) (selected NONE)",
    ];
    for command in commands {
        for end in 0..=command.len() {
            let _ = parse(&command[..end], REV1);
            let _ = literal(&command[..end]);
        }
        for at in 0..command.len() {
            for octet in [
                0, b' ', b'(', b')', b'"', b'{', b'\\', b'9', b'*', b'\r', 0xff,
            ] {
                let mut changed = command.to_vec();
                changed[at] = octet;
                let _ = parse(&changed, UTF8);
                changed.insert(at, octet);
                let _ = parse(&changed, REV1);
            }
        }
    }
}
