use super::*;

fn shown(octets: &[u8]) -> String {
    match parse(octets) {
        Ok(command) => format!("{command:?}"),
        Err(error) => format!("{error:?}"),
    }
}

#[test]
fn commands() {
    let rows: &[(&[u8], &str)] = &[
        (b"CAPABILITY", "Capability"),
        (b"logout", "Logout"),
        (
            b"STARTTLS x",
            "Syntax(\"nothing may follow the arguments\")",
        ),
        (b"NOOP", "Noop(None)"),
        (b"NOOP \"a\\\"b\"", "Noop(Some(\"a\\\"b\"))"),
        (
            b"HAVESPACE \"x\" 99",
            "HaveSpace { name: \"x\", octets: 99 }",
        ),
        (
            b"HAVESPACE \"x\" 99999999999999999999999",
            "HaveSpace { name: \"x\", octets: 18446744073709551615 }",
        ),
        (b"HAVESPACE \"x\"", "Syntax(\"HAVESPACE name number\")"),
        (
            b"PUTSCRIPT \"x\" {5+}\r\nkeep;",
            "PutScript { name: \"x\", content: [107, 101, 101, 112, 59] }",
        ),
        (
            b"PUTSCRIPT {1+}\r\nx {0+}\r\n",
            "PutScript { name: \"x\", content: [] }",
        ),
        (
            b"PUTSCRIPT \"x\" {6+}\r\nkeep;",
            "Syntax(\"PUTSCRIPT name content\")",
        ),
        (b"SETACTIVE \"\"", "SetActive(\"\")"),
        (b"SETACTIVE x", "Syntax(\"SETACTIVE name\")"),
        (b"GETSCRIPT \"\xff\"", "NotUtf8"),
        (
            b"RENAMESCRIPT \"a\" \"b\"",
            "RenameScript { from: \"a\", to: \"b\" }",
        ),
        (b"DELETESCRIPT \"a", "Syntax(\"DELETESCRIPT name\")"),
        (b"UNAUTHENTICATE", "Unauthenticate"),
        (
            b"AUTHENTICATE \"PLAIN\"",
            "Authenticate { mechanism: \"PLAIN\", initial: None }",
        ),
        (b"EHLO x", "UnknownCommand"),
        (b"", "UnknownCommand"),
    ];
    for (octets, want) in rows {
        assert_eq!(shown(octets), *want, "{}", String::from_utf8_lossy(octets));
    }
}

#[test]
fn one_past_a_quoted_string() {
    let of = |octets: usize| format!("GETSCRIPT \"{}\"", "x".repeat(octets));
    assert!(parse(of(QUOTED_OCTETS_MAX).as_bytes()).is_ok());
    assert!(parse(of(QUOTED_OCTETS_MAX + 1).as_bytes()).is_err());
}

#[test]
fn literals() {
    let rows: &[(&[u8], Option<u64>)] = &[
        (b"PUTSCRIPT \"x\" {12+}", Some(12)),
        (b"{0}", Some(0)),
        (b"{+}", None),
        (b"{x+}", None),
        (b"{99999999999999999999+}", Some(u64::MAX)),
        (b"{999999999999999999999+}", None),
        (b"\"{5+}\"", None),
        (b"", None),
    ];
    for (line, want) in rows {
        assert_eq!(literal(line), *want, "{}", String::from_utf8_lossy(line));
    }
}
