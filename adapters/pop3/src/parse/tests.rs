use expect_test::{Expect, expect};

use super::*;

fn shown(line: &[u8]) -> String {
    match parse(line) {
        Ok(Command::Pass(password)) => format!("Pass({:?})", password.expose()),
        Ok(Command::Auth { mechanism, initial }) => {
            let initial = initial.map(|i| String::from_utf8_lossy(i.expose()).into_owned());
            format!("Auth({mechanism}, {initial:?})")
        }
        Ok(command) => format!("{command:?}"),
        Err(error) => format!("error {error:?}"),
    }
}

fn check(line: &str, expected: Expect) {
    expected.assert_eq(&shown(line.as_bytes()));
}

#[test]
fn names_and_passwords_keep_their_spaces() {
    check("USER ann", expect![[r#"User("ann")"#]]);
    check("user jörg", expect![[r#"User("jörg")"#]]);
    check("PASS two words ", expect![[r#"Pass("two words ")"#]]);
    check("PASS  x", expect![[r#"Pass(" x")"#]]);
    check("USER", expect![[r#"error Syntax("USER name")"#]]);
    check("PASS ", expect![[r#"error Syntax("PASS password")"#]]);
    assert_eq!(shown(b"USER \xff"), "error NotUtf8");
    assert_eq!(shown(b"PASS a\0b"), "error Syntax(\"PASS password\")");
}

#[test]
fn numbers_are_digits() {
    check("LIST", expect!["List(None)"]);
    check("LIST ", expect!["List(None)"]);
    check("list 2", expect!["List(Some(2))"]);
    check("LIST 002", expect!["List(Some(2))"]);
    check("LIST 2 3", expect![[r#"error Syntax("LIST [number]")"#]]);
    check("LIST -1", expect![[r#"error Syntax("LIST [number]")"#]]);
    check("UIDL 1", expect!["Uidl(Some(1))"]);
    check("RETR 1", expect!["Retr(1)"]);
    check("RETR  1", expect![[r#"error Syntax("RETR number")"#]]);
    check("RETR", expect![[r#"error Syntax("RETR number")"#]]);
    check("RETR +1", expect![[r#"error Syntax("RETR number")"#]]);
    check("RETR 99999999999999999999999", expect!["Retr(4294967295)"]);
    check("DELE 7", expect!["Dele(7)"]);
    check("TOP 1 0", expect!["Top { number: 1, lines: 0 }"]);
    check("TOP 1", expect![[r#"error Syntax("TOP number lines")"#]]);
    check("TOP 1 -1", expect![[r#"error Syntax("TOP number lines")"#]]);
}

#[test]
fn commands_without_arguments_have_none() {
    for name in ["STLS", "UTF8", "CAPA", "QUIT", "STAT", "NOOP", "RSET"] {
        assert!(parse(name.as_bytes()).is_ok(), "{name}");
        assert!(parse(name.to_lowercase().as_bytes()).is_ok(), "{name}");
        let given = format!("{name} 1");
        let error = parse(given.as_bytes()).err();
        assert!(matches!(error, Some(ParseError::Syntax(_))), "{given}");
    }
    check("", expect!["error UnknownCommand"]);
    check("APOP ann 0", expect!["error UnknownCommand"]);
    check(" STAT", expect!["error UnknownCommand"]);
}

#[test]
fn auth_takes_an_initial_response() {
    check("AUTH PLAIN", expect!["Auth(PLAIN, None)"]);
    check("AUTH PLAIN =", expect![[r#"Auth(PLAIN, Some("="))"#]]);
    check(
        "AUTH plain AGEAYg==",
        expect![[r#"Auth(plain, Some("AGEAYg=="))"#]],
    );
    let syntax = "error Syntax(\"AUTH mechanism [initial-response]\")";
    assert_eq!(shown(b"AUTH"), syntax);
    assert_eq!(shown(b"AUTH PLAIN a b"), syntax);
    assert_eq!(shown(b"AUTH PL\xc3\xa4IN"), syntax);
}

#[test]
fn one_octet_past_the_longest_line_is_too_long() {
    let line = |octets: usize| format!("USER {}", "a".repeat(octets - 5)).into_bytes();
    assert!(parse(&line(COMMAND_OCTETS_MAX - 2)).is_ok());
    let longer = parse(&line(COMMAND_OCTETS_MAX - 1));
    assert_eq!(longer.err(), Some(ParseError::TooLong));
    let auth = |octets: usize| format!("AUTH PLAIN {}", "a".repeat(octets - 11)).into_bytes();
    assert!(parse(&auth(AUTH_OCTETS_MAX - 2)).is_ok());
    let longer = parse(&auth(AUTH_OCTETS_MAX - 1));
    assert_eq!(longer.err(), Some(ParseError::TooLong));
}
