//! Headers, proper and not.

use super::*;

const MESSAGE: &[u8] = b"Subject: one\r\n two\r\nBcc: a@b,\r\n\tc@d\r\nReceived : x\r\njunk\r\nbcc:\r\n\r\nBcc: body\r\n";

#[test]
fn fields_with_their_folded_lines() {
    let names: Vec<String> = fields(MESSAGE)
        .map(|field| String::from_utf8_lossy(field.name).into_owned())
        .collect();
    assert_eq!(names, ["Subject", "Bcc", "Received", "bcc"]);
    let first = fields(MESSAGE).next().unwrap();
    assert_eq!(&MESSAGE[first.range], b"Subject: one\r\n two\r\n");
    assert_eq!(count(MESSAGE, "BCC"), 2);
    assert_eq!(count(b"", "Bcc"), 0);
    assert_eq!(count(b"Bcc: without end", "Bcc"), 1);
}

#[test]
fn fields_are_taken_out_and_nothing_else() {
    let rows: [(&[u8], &[u8]); 6] = [
        (
            MESSAGE,
            b"Subject: one\r\n two\r\nReceived : x\r\njunk\r\n\r\nBcc: body\r\n",
        ),
        (b"Bcc: a\r\n", b""),
        (b"Bcc: a\r\n\r\n", b"\r\n"),
        (b"Bccc: a\r\nBcc: b", b"Bccc: a\r\n"),
        (b"\r\nBcc: a\r\n", b"\r\nBcc: a\r\n"),
        (b"", b""),
    ];
    for (before, after) in rows {
        let mut octets = b"front".to_vec();
        octets.extend_from_slice(before);
        remove(&mut octets, 5, &["Bcc", "Resent-Bcc"]);
        assert_eq!(&octets[..5], b"front");
        assert_eq!(
            octets[5..].escape_ascii().to_string(),
            after.escape_ascii().to_string()
        );
    }
}

#[test]
fn whether_there_is_a_header() {
    let rows: [(&[u8], bool); 8] = [
        (b"A: b\r\n", true),
        (b"\r\nbody", true),
        (b"From someone Mon Nov 23\r\nA: b\r\n", true),
        (b"", false),
        (b"hello\r\n", false),
        (b"hello: \r\n", true),
        (b"see this: it\r\n", false),
        (b": x\r\n", false),
    ];
    for (message, expected) in rows {
        assert_eq!(
            begins_with_header(message),
            expected,
            "{}",
            message.escape_ascii()
        );
    }
}

#[test]
fn line_endings() {
    let rows: [(&[u8], bool); 8] = [
        (b"", true),
        (b"a", true),
        (b"a\r\nb\r\n\r\n", true),
        (b"a\nb", false),
        (b"a\rb", false),
        (b"a\r", false),
        (b"a\r\r\n", false),
        (b"\n", false),
    ];
    for (message, expected) in rows {
        assert_eq!(is_strict(message), expected, "{}", message.escape_ascii());
    }
}

#[test]
fn the_header_alone() {
    let rows: [(&[u8], &[u8]); 5] = [
        (b"A: b\r\n\r\nbody\r\n\r\n", b"A: b\r\n\r\n"),
        (b"\r\nbody\r\n\r\n", b"\r\n"),
        (b"A: b\r\n", b"A: b\r\n"),
        (b"A: b\n\nbody", b"A: b\n\nbody"),
        (b"", b""),
    ];
    for (message, expected) in rows {
        assert_eq!(header(message), expected, "{}", message.escape_ascii());
    }
}

/// Messages of few different octets, so that fields, folding and line ends come in all orders.
#[test]
fn no_message_is_too_strange() {
    let seed = 0x5eed_u64;
    let mut state = seed;
    let mut below = |end: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % end as u64) as usize
    };
    for round in 0..100_000 {
        let length = below(24);
        let octets: Vec<u8> = (0..length).map(|_| b"\r\n\n :aB\xff"[below(8)]).collect();
        let context = format!("seed {seed:#x}, round {round}: {}", octets.escape_ascii());
        let bare = octets.iter().enumerate().any(|(at, octet)| match octet {
            b'\r' => octets.get(at + 1) != Some(&b'\n'),
            b'\n' => at == 0 || octets[at - 1] != b'\r',
            _ => false,
        });
        assert_eq!(is_strict(&octets), !bare, "{context}");
        begins_with_header(&octets);
        let mut kept = octets.clone();
        remove(&mut kept, 0, &["B"]);
        let doomed: usize = fields(&octets)
            .filter(|f| f.is("b"))
            .map(|f| f.range.len())
            .sum();
        assert_eq!(kept.len(), octets.len() - doomed, "{context}");
        remove(&mut kept, length + 1, &["a"]);
    }
}
