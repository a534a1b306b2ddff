//! Rows of command lines, and lines made of them by chance.

use expect_test::{Expect, expect};

use super::*;

/// A command in short, or what is wrong with it.
fn shown(line: &[u8]) -> String {
    match parse(line) {
        Ok(Command::Mail(mail)) => {
            let from = mail.from.as_ref().map_or("<>", Address::as_str);
            let Mail {
                size,
                body,
                smtputf8,
                auth,
                parameters,
                ..
            } = &mail;
            let others = parameters.iter();
            let others = others.filter(|p| !["BODY", "SMTPUTF8"].contains(&p.name.as_str()));
            let others: String = others.map(shown_parameter).collect();
            format!("Mail {from} {size:?} {body:?} utf8={smtputf8} auth={auth}{others}")
        }
        Ok(Command::Rcpt(rcpt)) => {
            let parameters: String = rcpt.parameters.iter().map(shown_parameter).collect();
            format!("Rcpt {}{parameters}", rcpt.to.as_str())
        }
        Ok(command) => format!("{command:?}"),
        Err(error) => format!("{error:?}"),
    }
}

fn shown_parameter(parameter: &Parameter) -> String {
    match &parameter.value {
        Some(value) => format!(" {}={value}", parameter.name),
        None => format!(" {}", parameter.name),
    }
}

fn check(line: &str, expected: Expect) {
    expected.assert_eq(&shown(line.as_bytes()));
}

#[test]
fn simple_commands() {
    check(
        "EHLO mx.example.org",
        expect![[r#"Ehlo("mx.example.org")"#]],
    );
    check("helo [192.0.2.1] x", expect![[r#"Helo("[192.0.2.1]")"#]]);
    check(
        "LHLO [IPv6:2001:db8::1]",
        expect![[r#"Lhlo("[IPv6:2001:db8::1]")"#]],
    );
    check(
        "EHLO",
        expect![[r#"Syntax("EHLO, HELO or LHLO, and the name of your host")"#]],
    );
    check(
        "EHLO (evil)",
        expect![[r#"Syntax("EHLO, HELO or LHLO, and the name of your host")"#]],
    );
    check(
        "EHLO a:b",
        expect![[r#"Syntax("EHLO, HELO or LHLO, and the name of your host")"#]],
    );
    check("data", expect!["Data"]);
    check("DATA x", expect![[r#"Syntax("DATA")"#]]);
    check("RSET  ", expect!["Rset"]);
    check("NOOP whatever", expect!["Noop"]);
    check("VRFY bob", expect!["Vrfy"]);
    check("StartTLS", expect!["StartTls"]);
    check("STARTTLS now", expect![[r#"Syntax("STARTTLS")"#]]);
    check("", expect!["UnknownCommand"]);
    check(" NOOP", expect!["UnknownCommand"]);
    check("NOOPE", expect!["UnknownCommand"]);
    check("GET / HTTP/1.1", expect!["OtherProtocol"]);
}

#[test]
fn chunks() {
    check("BDAT 86 LAST", expect!["Bdat { size: 86, last: true }"]);
    check("bdat 0", expect!["Bdat { size: 0, last: false }"]);
    let most = expect!["Bdat { size: 18446744073709551615, last: false }"];
    check("BDAT 99999999999999999999", most);
    check("BDAT 999999999999999999999", expect!["ChunkSize"]);
    check("BDAT", expect!["ChunkSize"]);
    check("BDAT -1", expect!["ChunkSize"]);
    check("BDAT 1 FIRST", expect!["ChunkSize"]);
    check("BDAT 1 LAST LAST", expect!["ChunkSize"]);
}

#[test]
fn auth() {
    let with = r#"Auth { mechanism: "PLAIN", initial: Some(Secret(…)) }"#;
    assert_eq!(shown(b"AUTH PLAIN AGEAYg=="), with);
    check(
        "AUTH LOGIN",
        expect![[r#"Auth { mechanism: "LOGIN", initial: None }"#]],
    );
    check(
        "AUTH",
        expect![[r#"Syntax("AUTH mechanism [initial-response]")"#]],
    );
    check(
        "AUTH PLAIN a b",
        expect![[r#"Syntax("AUTH mechanism [initial-response]")"#]],
    );
}

#[test]
fn mail_parameters() {
    check(
        "MAIL FROM:<a@b.example>",
        expect!["Mail a@b.example None None utf8=false auth=false"],
    );
    check(
        "mail from: <> ",
        expect!["Mail <> None None utf8=false auth=false"],
    );
    let all = expect!["Mail a@b.example Some(1000) Some(EightBitMime) utf8=true auth=true"];
    check(
        "MAIL FROM:<a@b.example> size=1000 body=8bitmime SMTPUTF8 AUTH=<>",
        all,
    );
    check(
        "MAIL FROM:<a@b.example> BODY=7BIT",
        expect!["Mail a@b.example None Some(SevenBit) utf8=false auth=false"],
    );
    check(
        "MAIL FROM:<> BODY=BINARYMIME",
        expect!["Mail <> None Some(BinaryMime) utf8=false auth=false"],
    );
    check("MAIL FROM:<> BODY", expect!["ParameterValue"]);
    check("MAIL FROM:<> SIZE=", expect!["ParameterValue"]);
    check("MAIL FROM:<> SIZE=1k", expect!["ParameterValue"]);
    check("MAIL FROM:<> SIZE=1 SIZE=1", expect!["ParameterValue"]);
    check("MAIL FROM:<> SMTPUTF8=1", expect!["ParameterValue"]);
    check("MAIL FROM:<> X=HDRS", expect!["UnknownParameter"]);
    check("MAIL FROM:<> NOTIFY=NEVER", expect!["UnknownParameter"]);
    check("MAIL FROM:<> RET=HDRS RET=HDRS", expect!["ParameterValue"]);
    check(
        "MAIL FROM:<> RET=HDRS ENVID=a+2Bb+3Dc BY=120;R REQUIRETLS MT-PRIORITY=-3 HOLDFOR=60",
        expect![
            "Mail <> None None utf8=false auth=false RET=HDRS ENVID=a+b=c BY=120;R REQUIRETLS MT-PRIORITY=-3 HOLDFOR=60"
        ],
    );
    check(
        "MAIL FROM:<> HOLDFOR=60 HOLDUNTIL=2026-12-01T09:00:00Z",
        expect!["ParameterValue"],
    );
    check("MAIL FROM:<> ENVID=a+0Ab", expect!["ParameterValue"]);
    check("MAIL FROM:<> REQUIRETLS=1", expect!["ParameterValue"]);
    check(
        "MAIL FROM:<>SIZE=1",
        expect![[r#"Syntax("MAIL FROM:<address>")"#]],
    );
    check(
        "MAIL FROM <a@b.example>",
        expect![[r#"Syntax("MAIL FROM:<address>")"#]],
    );
    check("MAIL", expect![[r#"Syntax("MAIL FROM:<address>")"#]]);
    check(
        "RCPT TO:<a@b.example> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;a+2Bb@c.example",
        expect!["Rcpt a@b.example NOTIFY=SUCCESS,DELAY ORCPT=rfc822;a+b@c.example"],
    );
    check(
        "RCPT TO:<a@b.example> NOTIFY=NEVER,DELAY",
        expect!["ParameterValue"],
    );
    check(
        "RCPT TO:<a@b.example> ORCPT=rfc822;a+0D@b",
        expect!["ParameterValue"],
    );
    check(
        "RCPT TO:<a@b.example> RET=HDRS",
        expect!["UnknownParameter"],
    );
}

#[test]
fn xtext_values() {
    let rows: [(&[u8], Option<&str>); 9] = [
        (b"", Some("")),
        (b"a+2Bb", Some("a+b")),
        (b"a+2bb", Some("a+b")),
        (b"+C3+BC", Some("\u{fc}")),
        ("\u{fc}".as_bytes(), Some("\u{fc}")),
        (b"+FF", None),
        (b"a+2", None),
        (b"a=b", None),
        (b"+GG", None),
    ];
    for (octets, text) in rows {
        assert_eq!(xtext(octets).as_deref(), text, "{}", octets.escape_ascii());
    }
}

#[test]
fn paths() {
    let good = [
        ("<a@b>", "a@b"),
        ("<a.b+c@d-e.example>", "a.b+c@d-e.example"),
        ("<a..b.@example.org>", "a..b.@example.org"),
        ("<@relay.example,@two.example:a@b.example>", "a@b.example"),
        (
            r#"<"quoted \" > local"@b.example>"#,
            r#""quoted \" > local"@b.example"#,
        ),
        ("<a@[192.0.2.1]>", "a@[192.0.2.1]"),
        ("<a@[IPv6:2001:db8::1]>", "a@[IPv6:2001:db8::1]"),
        ("<用户@例子.example>", "用户@例子.example"),
        ("<Postmaster>", "Postmaster"),
        ("<postmaster@b.example>", "postmaster@b.example"),
    ];
    for (path, address) in good {
        assert_eq!(
            shown(format!("RCPT TO:{path}").as_bytes()),
            format!("Rcpt {address}")
        );
    }
    let bad = [
        "",
        "<",
        "<>",
        "<a>",
        "<a@>",
        "<@b>",
        "<a@b",
        "a@b",
        "<a b@c>",
        "<a@b..c>",
        "<a@b.>",
        "<a@-b>",
        "<a@b c>",
        "<a@[192.0.2]>",
        "<a@[2001:db8::1]>",
        "<a@[IPv6:192.0.2.1]>",
        "<a@[x:y]>",
        "<\"a@b>",
        "<\"a\"b@c>",
        "<@b:>",
        "<@b,a@c>",
        "<a@b\u{7f}>",
        "<a\t@b>",
        "<postmaster",
        "<a@b>>",
    ];
    for path in bad {
        let result = parse(format!("RCPT TO:{path}").as_bytes());
        assert!(result.is_err(), "{path}");
    }
    assert!(parse(b"RCPT TO:<a\xff@b>").is_err());
    assert!(parse(b"RCPT TO:<\"a\0\"@b>").is_err());
}

#[test]
fn limits_and_one_past_each() {
    use super::path::{DOMAIN_OCTETS_MAX, LABEL_OCTETS_MAX, LOCAL_PART_OCTETS_MAX};
    let recipient = |local: usize, domain: &str| {
        let line = format!("MAIL FROM:<{}@{domain}>", "a".repeat(local));
        parse(line.as_bytes()).is_ok()
    };
    assert!(recipient(LOCAL_PART_OCTETS_MAX, "b"));
    assert!(!recipient(LOCAL_PART_OCTETS_MAX + 1, "b"));
    assert!(recipient(1, &"b".repeat(LABEL_OCTETS_MAX)));
    assert!(!recipient(1, &"b".repeat(LABEL_OCTETS_MAX + 1)));
    let domain = "b.".repeat(DOMAIN_OCTETS_MAX / 2) + "b";
    assert_eq!(domain.len(), DOMAIN_OCTETS_MAX);
    assert!(recipient(1, &domain));
    assert!(!recipient(1, &format!("{domain}.b")));
    let hello = |length: usize| parse(format!("EHLO {}", "a".repeat(length)).as_bytes()).is_ok();
    assert!(hello(HELLO_OCTETS_MAX));
    assert!(!hello(HELLO_OCTETS_MAX + 1));
    let noop = |length: usize| parse(format!("NOOP {}", "a".repeat(length - 7)).as_bytes());
    assert!(noop(COMMAND_OCTETS_MAX).is_ok());
    assert_eq!(
        noop(COMMAND_OCTETS_MAX + 1).err(),
        Some(ParseError::TooLong)
    );
    let mail = |length: usize| {
        let mut line = "MAIL FROM:<> AUTH=".to_owned();
        line.push_str(&"a".repeat(length - line.len() - 2));
        parse(line.as_bytes())
    };
    assert!(mail(MAIL_OCTETS_MAX).is_ok());
    assert_eq!(mail(MAIL_OCTETS_MAX + 1).err(), Some(ParseError::TooLong));
    let rcpt = |length: usize| {
        let line = "RCPT TO:<a@b>".to_owned();
        let spaces = " ".repeat(length - line.len() - 2);
        parse((line + &spaces).as_bytes())
    };
    assert!(rcpt(RCPT_OCTETS_MAX).is_ok());
    assert_eq!(rcpt(RCPT_OCTETS_MAX + 1).err(), Some(ParseError::TooLong));
    let auth = |length: usize| {
        let mut line = "AUTH PLAIN ".to_owned();
        line.push_str(&"A".repeat(length - line.len() - 2));
        parse(line.as_bytes())
    };
    assert!(auth(AUTH_OCTETS_MAX).is_ok());
    assert_eq!(auth(AUTH_OCTETS_MAX + 1).err(), Some(ParseError::TooLong));
    let chunk = format!("BDAT 1{}", " ".repeat(COMMAND_OCTETS_MAX));
    assert_eq!(parse(chunk.as_bytes()).err(), Some(ParseError::ChunkSize));
}

#[test]
fn what_goes_into_a_header_field_cannot_end_it() {
    let mut rng = Random(0x5eed);
    for _ in 0..200_000 {
        let line = rng.line();
        let text = match parse(&line) {
            Ok(Command::Ehlo(name) | Command::Helo(name) | Command::Lhlo(name)) => name,
            Ok(Command::Mail(Mail {
                from: Some(address),
                ..
            })) => address.into_string(),
            Ok(Command::Rcpt(rcpt)) => {
                let values = rcpt.parameters.iter().filter_map(|p| p.value.as_deref());
                values.fold(rcpt.to.into_string(), |text, value| text + value)
            }
            _ => continue,
        };
        let harmless = !text.is_empty() && !text.chars().any(char::is_control);
        assert!(
            harmless,
            "seed {:#x}: {:?}",
            0x5eed,
            line.escape_ascii().to_string()
        );
    }
}

/// xorshift64
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }

    /// A proper line that was damaged, or nothing but chance.
    fn line(&mut self) -> Vec<u8> {
        const SEEDS: [&str; 8] = [
            "EHLO [IPv6:2001:db8::1]",
            "MAIL FROM:<\"a\\\"b\"@example.org> SIZE=123 BODY=8BITMIME SMTPUTF8 AUTH=<>",
            "RCPT TO:<@a.example,@b.example:用户@[192.0.2.1]>",
            "RCPT TO:<Postmaster> NOTIFY=SUCCESS ORCPT=rfc822;a+2Bb@c",
            "BDAT 1234 LAST",
            "AUTH PLAIN AGEAYg==",
            "HELO host_name.example.org",
            "MAIL FROM:<a.b@[IPv6:::1]>",
        ];
        const PIECES: [&[u8]; 12] = [
            b"<", b">", b"@", b"\"", b"\\", b":", b"[", b"]", b" ", b"\r", b"\0", b"\xff",
        ];
        let mut line = SEEDS[self.below(SEEDS.len())].as_bytes().to_vec();
        for _ in 0..self.below(6) {
            let at = self.below(line.len() + 1);
            match self.below(4) {
                0 => drop(line.splice(at..at, PIECES[self.below(PIECES.len())].iter().copied())),
                1 => line.truncate(at),
                2 if at < line.len() => line[at] = self.below(256) as u8,
                _ => {
                    let end = at + self.below(line.len() + 1 - at);
                    let piece = line[at..end].to_vec();
                    let to = self.below(line.len() + 1);
                    line.splice(to..to, piece);
                }
            }
        }
        line
    }
}
